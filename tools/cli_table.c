/* cli_table.c: tables in columns, plain or as Markdown. */
#include "base/sys.h"
#include "cli.h"

#include <string.h>

enum { MAX_COLUMNS = 16 };

cli_table cli_table_new(int columns, uint32_t right)
{
    return (cli_table){ .columns = columns < MAX_COLUMNS ? columns : MAX_COLUMNS, .right = right };
}

void cli_cell(cli_table *t, const char *format, ...)
{
    char    text[512];
    va_list args;
    va_start(args, format);
    diffad_vformat(text, sizeof text, format, args);
    va_end(args);
    char *copy = diffad_strdup(text);
    if (!copy || !diffad_grow(&t->cell, t->count, &t->capacity, sizeof *t->cell)) {
        cli_error("no memory for a table");
        cli_quit(6);
    }
    t->cell[t->count++] = copy;
}

static void release(cli_table *t)
{
    for (int64_t i = 0; i < t->count; i++)
        diffad_release(t->cell[i]);
    diffad_release(t->cell);
    *t = (cli_table){ 0 };
}

static void widths(const cli_table *t, int *width)
{
    for (int i = 0; i < t->columns; i++)
        width[i] = 0;
    for (int64_t i = 0; i < t->count; i++) {
        const int n = (int)strlen(t->cell[i]);
        if (n > width[i % t->columns])
            width[i % t->columns] = n;
    }
}

void cli_table_print(cli_table *t)
{
    int width[MAX_COLUMNS];
    widths(t, width);
    for (int64_t i = 0; i < t->count; i++) {
        const int  column = (int)(i % t->columns);
        const bool is_last = column == t->columns - 1 || i == t->count - 1;
        if (t->right >> column & 1u)
            cli_out("%*s", width[column], t->cell[i]);
        else
            cli_out("%-*s", is_last ? 0 : width[column], t->cell[i]);
        cli_out("%s", is_last ? "\n" : "  ");
    }
    release(t);
}

void cli_table_markdown(cli_table *t)
{
    for (int64_t i = 0; i < t->count; i++) {
        const int column = (int)(i % t->columns);
        cli_out("| %s %s", t->cell[i], column == t->columns - 1 ? "|\n" : "");
        if (i == t->columns - 1)
            for (int k = 0; k < t->columns; k++)
                cli_out("|%s%s", t->right >> k & 1u ? "--:" : "---", k == t->columns - 1 ? "|\n" : "");
    }
    release(t);
}
