/* trail.c: where the values of a description come from, and remarks about what its files say besides. */
#include "base/text.h"
#include "model/desc.h"

#include <stdio.h>
#include <string.h>

static const char *print(diffad_arena *a, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    const int n    = diffad_vformat(NULL, 0, format, again);
    char     *text = n < 0 ? NULL : diffad_arena_alloc(a, (size_t)n + 1);
    va_end(again);
    if (text)
        diffad_vformat(text, (size_t)n + 1, format, args);
    return text;
}

void diffad_trail_set(diffad_trail *t, const char *path, const char *format, ...)
{
    va_list args;
    if (!t)
        return;
    diffad_trail_row *row = t->sources;
    while (row && strcmp(row->path, path) != 0)
        row = row->next;
    if (!row && (row = diffad_arena_alloc(&t->arena, sizeof *row))) {
        row->path  = diffad_arena_strdup(&t->arena, path);
        row->next  = row->path ? t->sources : NULL;
        t->sources = row->path ? row : t->sources;
    }
    va_start(args, format);
    if (row)
        row->text = print(&t->arena, format, args);
    va_end(args);
}

void diffad_trail_note(diffad_trail *t, const char *format, ...)
{
    va_list args;
    if (!t)
        return;
    diffad_trail_row *row = diffad_arena_alloc(&t->arena, sizeof *row), **tail = &t->notes;
    va_start(args, format);
    if (row && (row->text = print(&t->arena, format, args))) {
        while (*tail)
            tail = &(*tail)->next;
        *tail = row;
    }
    va_end(args);
}

const char *diffad_trail_source(const diffad_trail *t, const char *path)
{
    for (const diffad_trail_row *row = t->sources; row; row = row->next)
        if (strcmp(row->path, path) == 0)
            return row->text ? row->text : "";
    return "";
}

void diffad_trail_release(diffad_trail *t)
{
    diffad_arena_release(&t->arena);
    *t = (diffad_trail){ .sources = NULL };
}
