/* config_fields.c: structs described by field tables: reading, setting, walking, writing. */
#include "base/config.h"
#include "base/sys.h"
#include "base/text.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { MAX_VALUES = 8, TEXT_BYTES = 64, MAX_PATH = 256, MAX_KNOWN = 128 };

/* Where a value stands, for messages: "file.yaml:3:5: unet.channels". */
typedef struct place {
    const char *origin;
    char        path[MAX_PATH];
} place;

static diffad_status fail_at(const place *p, const diffad_config *c, const char *why)
{
    if (c->line > 0)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s:%d:%d: %s: %s", p->origin, c->line, c->column, p->path, why);
    DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: %s: %s", p->origin, p->path, why);
}

static const diffad_field *find_field(const diffad_field *table, const char *name, size_t n)
{
    for (; table->name; table++)
        if (strncmp(table->name, name, n) == 0 && table->name[n] == '\0')
            return table;
    return NULL;
}

static const char *nearest_field(const diffad_field *table, const char *name)
{
    const char *known[MAX_KNOWN];
    int         n = 0;
    for (; table->name && n < MAX_KNOWN; table++)
        known[n++] = table->name;
    return diffad_nearest(name, known, n);
}

static diffad_status fail_unknown(const place *p, const diffad_config *c, const diffad_field *table, const char *name)
{
    diffad_text   t    = { 0 };
    const char   *near = nearest_field(table, name);
    if (near) {
        diffad_text_addf(&t, "unknown key; did you mean \"%s\"?", near);
    } else {
        diffad_text_add(&t, "unknown key; known here:");
        for (int i = 0; table[i].name && i < 16; i++)
            diffad_text_addf(&t, "%s %s", i ? "," : "", table[i].name);
    }
    const diffad_status st = fail_at(p, c, t.failed ? "unknown key" : t.s);
    diffad_text_release(&t);
    return st;
}

static void *field_at(void *s, const diffad_field *f) { return s ? (char *)s + f->offset : NULL; }
static const void *field_of(const void *s, const diffad_field *f) { return (const char *)s + f->offset; }

/* ---- values ---- */

static bool is_null(const diffad_config *c)
{
    return c->kind == DIFFAD_CONFIG_SCALAR && !c->quoted && (!*c->text || strcmp(c->text, "null") == 0 || strcmp(c->text, "~") == 0);
}

static diffad_status read_number(const place *p, const diffad_config *c, const diffad_field *f, bool is_whole, int64_t *whole,
                                 double *real)
{
    char why[160];
    if (c->kind != DIFFAD_CONFIG_SCALAR || c->quoted
        || !(is_whole ? diffad_parse_i64(c->text, whole) : diffad_parse_f64(c->text, real))) {
        snprintf(why, sizeof why, "expected a %s, found %s%.60s%s", is_whole ? "whole number" : "number",
                 c->kind == DIFFAD_CONFIG_SCALAR ? "\"" : "",
                 c->kind == DIFFAD_CONFIG_SCALAR ? c->text : c->kind == DIFFAD_CONFIG_LIST ? "a list" : "a map",
                 c->kind == DIFFAD_CONFIG_SCALAR ? "\"" : "");
        return fail_at(p, c, why);
    }
    if (is_whole)
        *real = (double)*whole;
    if (*real >= f->lo && *real <= f->hi)
        return DIFFAD_OK;
    diffad_text t = { 0 };
    diffad_text_addf(&t, "%.60s is out of range; allowed is ", c->text);
    diffad_text_add_f64(&t, f->lo, 17);
    diffad_text_add(&t, " to ");
    diffad_text_add_f64(&t, f->hi, 17);
    const diffad_status st = fail_at(p, c, t.failed ? "out of range" : t.s);
    diffad_text_release(&t);
    return st;
}

static diffad_status read_int(const place *p, const diffad_config *c, const diffad_field *f, int *out)
{
    int64_t whole = 0;
    double  real;
    DIFFAD_TRY(read_number(p, c, f, true, &whole, &real));
    if (whole < INT_MIN || whole > INT_MAX)
        return fail_at(p, c, "does not fit into 32 bits");
    *out = (int)whole;
    return DIFFAD_OK;
}

static diffad_status read_bool(const place *p, const diffad_config *c, bool *out)
{
    static const char *const words[] = { "false", "False", "FALSE", "true", "True", "TRUE" };
    if (c->kind == DIFFAD_CONFIG_SCALAR && !c->quoted)
        for (int i = 0; i < 6; i++)
            if (strcmp(c->text, words[i]) == 0) {
                *out = i >= 3;
                return DIFFAD_OK;
            }
    return fail_at(p, c, "expected true or false");
}

/* null is the empty text. */
static diffad_status read_text(const place *p, const diffad_config *c, char *out)
{
    if (c->kind != DIFFAD_CONFIG_SCALAR)
        return fail_at(p, c, "expected a text");
    if (strlen(c->text) >= TEXT_BYTES)
        return fail_at(p, c, "longer than 63 bytes");
    if (!diffad_is_utf8(c->text))
        return fail_at(p, c, "not UTF-8");
    if (out) {
        memset(out, 0, TEXT_BYTES);
        memcpy(out, is_null(c) ? "" : c->text, is_null(c) ? 1 : strlen(c->text) + 1);
    }
    return DIFFAD_OK;
}

static diffad_status read_choice(const place *p, const diffad_config *c, const diffad_field *f, int *out)
{
    if (c->kind == DIFFAD_CONFIG_SCALAR)
        for (int i = 0; f->choices[i]; i++)
            if (strcmp(c->text, f->choices[i]) == 0) {
                *out = i;
                return DIFFAD_OK;
            }
    diffad_text t = { 0 };
    diffad_text_add(&t, "expected one of");
    for (int i = 0; f->choices[i]; i++)
        diffad_text_addf(&t, "%s %s", i ? "," : "", f->choices[i]);
    const diffad_status st = fail_at(p, c, t.failed ? "unknown choice" : t.s);
    diffad_text_release(&t);
    return st;
}

/* null and none are the empty list. Exactly one of the results is wanted. */
static diffad_status read_list(const place *p, const diffad_config *c, const diffad_field *f, diffad_ints *ints,
                               diffad_reals *reals)
{
    int     n = 0;
    int64_t whole;
    if (c->kind != DIFFAD_CONFIG_LIST) {
        if (is_null(c) || (c->kind == DIFFAD_CONFIG_SCALAR && !c->quoted && strcmp(c->text, "none") == 0))
            return DIFFAD_OK;
        return fail_at(p, c, "expected a list, such as [1, 2]");
    }
    if (c->count > MAX_VALUES)
        return fail_at(p, c, "a list has at most 8 values");
    for (const diffad_config *e = c->first; e; e = e->next, n++)
        DIFFAD_TRY(ints ? read_int(p, e, f, &ints->v[n]) : read_number(p, e, f, false, &whole, &reals->v[n]));
    *(ints ? &ints->n : &reals->n) = n;
    return DIFFAD_OK;
}

/* ---- reading ---- */

static diffad_status read_map(place *p, const diffad_config *map, const diffad_field *table, void *s);

/* s NULL: checks only. */
static diffad_status read_field(place *p, const diffad_config *c, const diffad_field *f, void *s)
{
    void         *to    = field_at(s, f);
    int           i     = 0;
    int64_t       whole = 0;
    double        real  = 0;
    bool          flag  = false;
    diffad_ints   ints  = { 0 };
    diffad_reals  reals = { 0 };
    const void   *from  = NULL;
    size_t        bytes = 0;
    switch (f->kind) {
    case DIFFAD_FIELD_INT:
        DIFFAD_TRY(read_int(p, c, f, &i));
        from = &i, bytes = sizeof i;
        break;
    case DIFFAD_FIELD_I64:
        DIFFAD_TRY(read_number(p, c, f, true, &whole, &real));
        from = &whole, bytes = sizeof whole;
        break;
    case DIFFAD_FIELD_REAL:
        DIFFAD_TRY(read_number(p, c, f, false, &whole, &real));
        from = &real, bytes = sizeof real;
        break;
    case DIFFAD_FIELD_BOOL:
        DIFFAD_TRY(read_bool(p, c, &flag));
        from = &flag, bytes = sizeof flag;
        break;
    case DIFFAD_FIELD_CHOICE:
        DIFFAD_TRY(read_choice(p, c, f, &i));
        from = &i, bytes = sizeof i;
        break;
    case DIFFAD_FIELD_INTS:
        DIFFAD_TRY(read_list(p, c, f, &ints, NULL));
        from = &ints, bytes = sizeof ints;
        break;
    case DIFFAD_FIELD_REALS:
        DIFFAD_TRY(read_list(p, c, f, NULL, &reals));
        from = &reals, bytes = sizeof reals;
        break;
    case DIFFAD_FIELD_TEXT: return read_text(p, c, to);
    case DIFFAD_FIELD_TABLE: return read_map(p, c, f->table, to);
    }
    if (to)
        memcpy(to, from, bytes);
    return DIFFAD_OK;
}

static diffad_status read_map(place *p, const diffad_config *map, const diffad_field *table, void *s)
{
    const size_t n = strlen(p->path);
    if (map->kind != DIFFAD_CONFIG_MAP)
        return fail_at(p, map, "expected keys and values");
    for (const diffad_config *c = map->first; c; c = c->next) {
        const diffad_field *f = find_field(table, c->key, strlen(c->key));
        snprintf(p->path + n, sizeof p->path - n, "%s%s", n ? "." : "", c->key);
        const diffad_status st = f ? read_field(p, c, f, s) : fail_unknown(p, c, table, c->key);
        p->path[n] = '\0';
        DIFFAD_TRY(st);
    }
    return DIFFAD_OK;
}

/* First everything is checked, then it is stored: a failure leaves *s as it was. */
diffad_status diffad_config_read(const char *origin, const diffad_config *map, const diffad_field *table, void *s)
{
    place p = { .origin = origin };
    DIFFAD_TRY(read_map(&p, map, table, NULL));
    return read_map(&p, map, table, s);
}

/* The field of a dotted path, and the struct it stands in. */
static diffad_status find_path(place *p, const diffad_field *table, void *s, const diffad_field **field, void **at)
{
    const diffad_config nowhere = { .line = 0 };
    const char         *name    = p->path;
    for (;;) {
        char                part[MAX_PATH];
        const size_t        n = strcspn(name, ".");
        const diffad_field *f = find_field(table, name, n);
        if (!f) {
            snprintf(part, sizeof part, "%.*s", (int)n, name);
            return fail_unknown(p, &nowhere, table, part);
        }
        if (!name[n]) {
            *field = f;
            *at    = s;
            return DIFFAD_OK;
        }
        if (f->kind != DIFFAD_FIELD_TABLE)
            return fail_at(p, &nowhere, "has no parts");
        s     = field_at(s, f);
        table = f->table;
        name += n + 1;
    }
}

diffad_status diffad_config_put(const char *origin, const diffad_config *value, const char *path, const diffad_field *table, void *s)
{
    place               p  = { .origin = origin };
    const diffad_field *f  = NULL;
    void               *at = NULL;
    snprintf(p.path, sizeof p.path, "%s", path);
    DIFFAD_TRY(find_path(&p, table, s, &f, &at));
    DIFFAD_TRY(read_field(&p, value, f, NULL));
    return read_field(&p, value, f, at);
}

diffad_status diffad_config_set(const char *assignment, const diffad_field *table, void *s)
{
    place               p     = { .origin = assignment };
    diffad_arena        arena = { 0 };
    diffad_config      *value = NULL;
    const diffad_field *f     = NULL;
    void               *at    = NULL;
    const size_t        n     = strcspn(assignment, "=");
    if (!assignment[n] || n == 0)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "\"%s\": expected key=value, such as train.batch=4", assignment);
    if (n >= sizeof p.path)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "\"%.60s...\": the key is too long", assignment);
    memcpy(p.path, assignment, n);
    DIFFAD_TRY(find_path(&p, table, s, &f, &at));
    const char   *text = assignment + n + 1;
    diffad_config bare = { .kind = DIFFAD_CONFIG_SCALAR, .text = text };
    diffad_status st   = DIFFAD_OK;
    if (!*text || (f->kind == DIFFAD_FIELD_TEXT && *text != '"' && *text != '\''))
        value = &bare;                    /* a shell has taken the quotes: nothing in a text is YAML's */
    else
        st = diffad_config_parse(&arena, assignment, text, strlen(text), &value);
    if (st == DIFFAD_OK) {
        value->line = 0;
        st          = read_field(&p, value, f, NULL);
    }
    if (st == DIFFAD_OK)
        st = read_field(&p, value, f, at);
    diffad_arena_release(&arena);
    return st;
}

/* ---- writing ---- */

static void add_list(diffad_text *t, const diffad_field *f, const void *from)
{
    const diffad_ints  *ints  = from;
    const diffad_reals *reals = from;
    const int           n     = f->kind == DIFFAD_FIELD_INTS ? ints->n : reals->n;
    diffad_text_add(t, "[");
    for (int i = 0; i < n; i++) {
        if (i)
            diffad_text_add(t, ", ");
        if (f->kind == DIFFAD_FIELD_INTS)
            diffad_text_addf(t, "%d", ints->v[i]);
        else
            diffad_text_add_f64(t, reals->v[i], 17);
    }
    diffad_text_add(t, "]");
}

static void add_struct(diffad_text *t, const diffad_field *table, const void *s);

static void add_value(diffad_text *t, const diffad_field *f, const void *s)
{
    const void *from = field_of(s, f);
    switch (f->kind) {
    case DIFFAD_FIELD_INT: diffad_text_addf(t, "%d", *(const int *)from); break;
    case DIFFAD_FIELD_I64: diffad_text_addf(t, "%lld", (long long)*(const int64_t *)from); break;
    case DIFFAD_FIELD_REAL: diffad_text_add_f64(t, *(const double *)from, 17); break;
    case DIFFAD_FIELD_BOOL: diffad_text_add(t, *(const bool *)from ? "true" : "false"); break;
    case DIFFAD_FIELD_TEXT: diffad_text_json(t, from); break;
    case DIFFAD_FIELD_CHOICE: diffad_text_json(t, f->choices[*(const int *)from]); break;
    case DIFFAD_FIELD_INTS:
    case DIFFAD_FIELD_REALS: add_list(t, f, from); break;
    case DIFFAD_FIELD_TABLE: add_struct(t, f->table, from); break;
    }
}

static void add_struct(diffad_text *t, const diffad_field *table, const void *s)
{
    diffad_text_add(t, "{");
    for (const diffad_field *f = table; f->name; f++) {
        if (f != table)
            diffad_text_add(t, ", ");
        diffad_text_json(t, f->name);
        diffad_text_add(t, ": ");
        add_value(t, f, s);
    }
    diffad_text_add(t, "}");
}

char *diffad_config_to_json(const diffad_field *table, const void *s)
{
    diffad_text t = { 0 };
    add_struct(&t, table, s);
    if (t.failed)
        diffad_text_release(&t);
    return t.s;
}

static void walk(char path[MAX_PATH], const diffad_field *table, const void *s, diffad_field_visit visit, void *user)
{
    const size_t n = strlen(path);
    for (const diffad_field *f = table; f->name; f++) {
        snprintf(path + n, MAX_PATH - n, "%s%s", n ? "." : "", f->name);
        if (f->kind == DIFFAD_FIELD_TABLE) {
            walk(path, f->table, field_of(s, f), visit, user);
        } else {
            diffad_text t = { 0 };
            add_value(&t, f, s);
            if (!t.failed)
                visit(user, path, f, t.s);
            diffad_text_release(&t);
        }
    }
    path[n] = '\0';
}

void diffad_config_walk(const diffad_field *table, const void *s, diffad_field_visit visit, void *user)
{
    char path[MAX_PATH] = "";
    walk(path, table, s, visit, user);
}
