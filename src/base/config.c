/* config.c: YAML as a tree, through libyaml's events. */
#include "base/config.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 16, MAX_BYTES = 1 << 20 };

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t  event;
    bool          has_event;
    diffad_arena *arena;
    const char   *origin;
} reader;

static void drop_event(reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
}

static diffad_status fail_event(const reader *r, const char *why)
{
    return diffad_fail(DIFFAD_ERR_USAGE, "%s:%zu:%zu: %s", r->origin, r->event.start_mark.line + 1,
                       r->event.start_mark.column + 1, why);
}

static diffad_status fail_memory(const reader *r) { return diffad_fail(DIFFAD_ERR_MEMORY, "%s: no host memory", r->origin); }

static diffad_status next_event(reader *r)
{
    drop_event(r);
    r->has_event = yaml_parser_parse(&r->parser, &r->event) != 0;
    if (r->has_event)
        return DIFFAD_OK;
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return fail_memory(r);
    if (p->error == YAML_READER_ERROR)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: %s at byte %zu; the text must be UTF-8 without control characters", r->origin,
                    p->problem ? p->problem : "unreadable", p->problem_offset);
    DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s:%zu:%zu: %s%s%s", r->origin, p->problem_mark.line + 1, p->problem_mark.column + 1,
                p->problem ? p->problem : "not YAML", p->context ? " " : "", p->context ? p->context : "");
}

/* The event's characters; anchors, aliases, tags and characters of number 0 are refused. */
static diffad_status check_plain(const reader *r, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        return fail_event(r, "anchors are not supported; write the value twice");
    if (tag)
        return fail_event(r, "tags are not supported; leave the type to the reader");
    return DIFFAD_OK;
}

static diffad_status take_text(reader *r, const char **out)
{
    const char  *text = (const char *)r->event.data.scalar.value;
    const size_t n    = r->event.data.scalar.length;
    DIFFAD_TRY(check_plain(r, r->event.data.scalar.anchor, r->event.data.scalar.tag));
    if (strlen(text) != n)
        return fail_event(r, "a character of number 0 in a text");
    *out = diffad_arena_strdup(r->arena, text);
    return *out ? DIFFAD_OK : fail_memory(r);
}

static int by_key(const void *a, const void *b)
{
    const diffad_config *x = *(diffad_config *const *)a, *y = *(diffad_config *const *)b;
    const int            d = strcmp(x->key, y->key);
    return d ? d : x->line != y->line ? (x->line > y->line) - (x->line < y->line) : (x->column > y->column) - (x->column < y->column);
}

static diffad_status check_duplicates(const reader *r, const diffad_config *map)
{
    if (map->count < 2)
        return DIFFAD_OK;
    const diffad_config **sorted = diffad_alloc_array((size_t)map->count, sizeof *sorted);
    diffad_status         st     = DIFFAD_OK;
    int                   n      = 0;
    if (!sorted)
        return fail_memory(r);
    for (const diffad_config *c = map->first; c; c = c->next)
        sorted[n++] = c;
    qsort(sorted, (size_t)n, sizeof *sorted, by_key);
    for (int i = 1; st == DIFFAD_OK && i < n; i++)
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
            st = diffad_fail(DIFFAD_ERR_USAGE, "%s:%d:%d: key \"%s\" was given before, in line %d; keep one of them", r->origin,
                             sorted[i]->line, sorted[i]->column, sorted[i]->key, sorted[i - 1]->line);
    diffad_release(sorted);
    return st;
}

static diffad_status read_node(reader *r, int depth, const char *key, diffad_config **out);

/* The children up to the end event, which is left as the current one. */
static diffad_status read_children(reader *r, int depth, diffad_config *parent)
{
    const bool            is_map = parent->kind == DIFFAD_CONFIG_MAP;
    const yaml_event_type_t end  = is_map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    diffad_config       **tail   = &parent->first;
    if (depth == MAX_DEPTH)
        return fail_event(r, "nested more than 16 deep");
    for (;;) {
        const char *key  = NULL;
        size_t      line = 0, column = 0;
        DIFFAD_TRY(next_event(r));
        if (r->event.type == end)
            break;
        if (is_map) {
            if (r->event.type != YAML_SCALAR_EVENT)
                return fail_event(r, "a key must be a word");
            line   = r->event.start_mark.line;
            column = r->event.start_mark.column;
            DIFFAD_TRY(take_text(r, &key));
            if (!*key)
                return fail_event(r, "empty key");
            DIFFAD_TRY(next_event(r));
        }
        DIFFAD_TRY(read_node(r, depth + 1, key, tail));
        if (is_map) {                     /* messages about a field point at its key */
            (*tail)->line   = (int)line + 1;
            (*tail)->column = (int)column + 1;
        }
        tail = &(*tail)->next;
        parent->count++;
    }
    return is_map ? check_duplicates(r, parent) : DIFFAD_OK;
}

/* The node of the current event. */
static diffad_status read_node(reader *r, int depth, const char *key, diffad_config **out)
{
    diffad_config *c = diffad_arena_alloc(r->arena, sizeof *c);
    if (!c)
        return fail_memory(r);
    c->key    = key;
    c->line   = (int)r->event.start_mark.line + 1;
    c->column = (int)r->event.start_mark.column + 1;
    switch (r->event.type) {
    case YAML_SCALAR_EVENT:
        c->kind   = DIFFAD_CONFIG_SCALAR;
        c->quoted = r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        DIFFAD_TRY(take_text(r, &c->text));
        break;
    case YAML_SEQUENCE_START_EVENT:
        c->kind = DIFFAD_CONFIG_LIST;
        DIFFAD_TRY(check_plain(r, r->event.data.sequence_start.anchor, r->event.data.sequence_start.tag));
        DIFFAD_TRY(read_children(r, depth, c));
        break;
    case YAML_MAPPING_START_EVENT:
        c->kind = DIFFAD_CONFIG_MAP;
        DIFFAD_TRY(check_plain(r, r->event.data.mapping_start.anchor, r->event.data.mapping_start.tag));
        DIFFAD_TRY(read_children(r, depth, c));
        break;
    default:
        return fail_event(r, "aliases are not supported; write the value twice");
    }
    *out = c;
    return DIFFAD_OK;
}

/* One document; without any, an empty map. */
static diffad_status read_stream(reader *r, diffad_config **out)
{
    diffad_config *root = NULL;
    DIFFAD_TRY(next_event(r));                          /* start of the stream */
    DIFFAD_TRY(next_event(r));
    if (r->event.type == YAML_STREAM_END_EVENT) {
        root = diffad_arena_alloc(r->arena, sizeof *root);
        if (!root)
            return fail_memory(r);
        *root = (diffad_config){ .kind = DIFFAD_CONFIG_MAP, .line = 1, .column = 1 };
        *out  = root;
        return DIFFAD_OK;
    }
    if (r->event.data.document_start.tag_directives.start != r->event.data.document_start.tag_directives.end)
        return fail_event(r, "tags are not supported; leave the type to the reader");
    DIFFAD_TRY(next_event(r));
    DIFFAD_TRY(read_node(r, 0, NULL, &root));
    DIFFAD_TRY(next_event(r));                          /* end of the document */
    DIFFAD_TRY(next_event(r));
    if (r->event.type != YAML_STREAM_END_EVENT)
        return fail_event(r, "a second document begins; one file holds one description");
    *out = root;
    return DIFFAD_OK;
}

diffad_status diffad_config_parse(diffad_arena *arena, const char *origin, const char *text, size_t bytes, diffad_config **out)
{
    reader r = { .arena = arena, .origin = origin };
    if (bytes > MAX_BYTES)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: %zu bytes, more than the 1 MiB of a configuration", origin, bytes);
    if (bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {       /* a byte order mark */
        text += 3;
        bytes -= 3;
    }
    if (!yaml_parser_initialize(&r.parser))
        return fail_memory(&r);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, bytes);
    const diffad_status st = read_stream(&r, out);
    drop_event(&r);
    yaml_parser_delete(&r.parser);
    return st;
}

diffad_status diffad_config_load(diffad_arena *arena, const char *path, diffad_config **out)
{
    unsigned char *data;
    int64_t        bytes;
    DIFFAD_TRY(diffad_file_read(path, MAX_BYTES, DIFFAD_ERR_USAGE, &data, &bytes));
    const diffad_status st = diffad_config_parse(arena, path, (const char *)data, (size_t)bytes, out);
    diffad_release(data);
    return st;
}

const diffad_config *diffad_config_get(const diffad_config *map, const char *key)
{
    if (map->kind != DIFFAD_CONFIG_MAP)
        return NULL;
    const diffad_config *c = map->first;
    while (c && strcmp(c->key, key) != 0)
        c = c->next;
    return c;
}
