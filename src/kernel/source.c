/* source.c: the text of a kernel file with its includes resolved, from the library or from DIFFAD_CL_DIR. */
#include "base/file.h"
#include "kernel/embedded.h"
#include "kernel/program.h"

#include <stdio.h>
#include <string.h>

enum { MAX_DEPTH = 8, MAX_INCLUDED = 32, MAX_SOURCE = 4 << 20 };

typedef struct resolver {
    const char  *dir;                       /* NULL: embedded */
    const char  *included[MAX_INCLUDED];    /* names already taken in: each file counts once */
    int          n_included;
    diffad_text *out;
} resolver;

const diffad_embedded *diffad_embedded_find(const diffad_embedded *table, const char *name)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

/* `name` of `#include "name"`, or false. */
static bool parse_include(const char *line, size_t n, char *name, size_t bytes)
{
    static const char word[] = "#include \"";
    if (n < sizeof word || strncmp(line, word, sizeof word - 1) != 0)
        return false;
    const char  *from = line + sizeof word - 1;
    const char  *to   = memchr(from, '"', n - (sizeof word - 1));
    if (!to || (size_t)(to - from) >= bytes)
        return false;
    memcpy(name, from, (size_t)(to - from));
    name[to - from] = '\0';
    return true;
}

static diffad_status add_file(resolver *r, const char *name, int depth);

static diffad_status add_text(resolver *r, const char *name, const char *text, int depth)
{
    int  number = 0;
    char include[128], line_text[512];
    diffad_text_addf(r->out, "#line 1 \"%s\"\n", name);
    while (*text) {
        const size_t n = strcspn(text, "\n");
        number++;
        if (parse_include(text, n, include, sizeof include)) {
            DIFFAD_TRY(add_file(r, include, depth + 1));
            diffad_text_addf(r->out, "#line %d \"%s\"\n", number + 1, name);
        } else if (n < sizeof line_text) {
            memcpy(line_text, text, n);
            line_text[n] = '\0';
            diffad_text_add(r->out, line_text);
            diffad_text_add(r->out, "\n");
        } else {
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "kernel %s:%d: line too long", name, number);
        }
        text += n + (text[n] == '\n');
    }
    return DIFFAD_OK;
}

static diffad_status add_file(resolver *r, const char *name, int depth)
{
    for (int i = 0; i < r->n_included; i++)
        if (strcmp(r->included[i], name) == 0)
            return DIFFAD_OK;
    if (depth > MAX_DEPTH || r->n_included == MAX_INCLUDED)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "kernel %s: includes nest too deep", name);
    if (!r->dir) {
        const diffad_embedded *e = diffad_embedded_find(diffad_embedded_kernels, name);
        if (!e)
            DIFFAD_FAIL(DIFFAD_ERR_INTERNAL, "kernel file %s is not in the library", name);
        r->included[r->n_included++] = e->name;
        return add_text(r, e->name, e->text, depth);
    }
    char           path[1024];
    unsigned char *data;
    int64_t        bytes;
    snprintf(path, sizeof path, "%s/%s", r->dir, name);
    DIFFAD_TRY(diffad_file_read(path, MAX_SOURCE, DIFFAD_ERR_FILE, &data, &bytes));
    char *kept = diffad_strdup(name);
    if (!kept) {
        diffad_release(data);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "kernel %s: no host memory", name);
    }
    r->included[r->n_included++] = kept;
    const diffad_status st = add_text(r, kept, (const char *)data, depth);
    diffad_release(data);
    return st;
}

diffad_status diffad_source_get(const char *file, diffad_text *out)
{
    resolver r = { .dir = diffad_sys.getenv("DIFFAD_CL_DIR"), .out = out };
    char     name[128];
    if (r.dir && !*r.dir)
        r.dir = NULL;
    snprintf(name, sizeof name, "%s.cl", file);
    diffad_status st = add_file(&r, name, 0);
    for (int i = 0; r.dir && i < r.n_included; i++)
        diffad_release((char *)(uintptr_t)r.included[i]);
    if (st == DIFFAD_OK && out->failed)
        st = diffad_fail(DIFFAD_ERR_MEMORY, "kernel %s: no host memory", file);
    return st;
}
