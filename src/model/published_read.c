/* published_read.c: keys of a published configuration file: taken, checked, and those that nothing took. */
#include "model/published_read.h"
#include "base/text.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { MAX_KEY = 192, MAX_NAMED = 40 };

/* ---- the tree ---- */

const diffad_config *published_find(const diffad_config *root, const char *key)
{
    char part[MAX_KEY];
    while (root && *key) {
        const size_t n = strcspn(key, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, key);
        root = diffad_config_get(root, part);
        key += n + (key[n] == '.');
    }
    return root;
}

/* NULL: absent, or null. */
const diffad_config *published_take(published_reader *r, const char *prefix, const char *key)
{
    char full[MAX_KEY];
    snprintf(full, sizeof full, "%s%s", prefix, key);
    const diffad_config *c = published_find(r->root, full);
    if (c && r->n_used < PUBLISHED_MAX_USED)
        r->used[r->n_used++] = c;
    return c && c->kind == DIFFAD_CONFIG_SCALAR && !c->quoted && (!*c->text || strcmp(c->text, "null") == 0 || strcmp(c->text, "~") == 0) ? NULL : c;
}

diffad_status published_fail(const published_reader *r, const diffad_config *at, const char *prefix, const char *key, const char *why)
{
    if (at)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s:%d:%d: %s%s: %s", r->origin, at->line, at->column, prefix, key, why);
    DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: %s%s: %s", r->origin, prefix, key, why);
}

const char *published_text(const diffad_config *c) { return c && c->kind == DIFFAD_CONFIG_SCALAR ? c->text : ""; }

/* "rec_network.models.autoencoder.AutoencoderKL" -> "AutoencoderKL" */
const char *published_class(const diffad_config *target)
{
    const char *dot = strrchr(published_text(target), '.');
    return dot ? dot + 1 : published_text(target);
}

/* ---- values that have a field ---- */

/* A value that follows from the file, or that every published training has, written as YAML. */
diffad_status published_put(published_reader *r, const char *path, const char *value, const char *source)
{
    diffad_text t = { 0 };
    diffad_text_addf(&t, "%s=%s", path, value);
    const diffad_status st = t.failed ? diffad_fail(DIFFAD_ERR_MEMORY, "%s: no host memory", r->origin) : diffad_config_set(t.s, diffad_desc_fields, r->d);
    diffad_text_release(&t);
    diffad_trail_set(r->trail, path, "%s: %s", r->origin, source);
    return st;
}

diffad_status published_row(published_reader *r, const char *prefix, const published_key *w)
{
    char source[2 * MAX_KEY];
    const diffad_config *c = published_take(r, prefix, w->key);
    if (c && strstr(published_text(c), "${"))
        return published_fail(r, c, prefix, w->key, "interpolations (${...}) are not resolved: write the value");
    if (c) {
        diffad_trail_set(r->trail, w->path, "%s:%d: %s%s", r->origin, c->line, prefix, w->key);
        return diffad_config_put(r->origin, c, w->path, diffad_desc_fields, r->d);
    }
    if (!w->fallback)
        return published_fail(r, NULL, prefix, w->key, "missing; the published code needs it");
    snprintf(source, sizeof source, "%s%s is absent: the published code's default", prefix, w->key);
    return *w->fallback ? published_put(r, w->path, w->fallback, source) : DIFFAD_OK;
}

diffad_status published_rows(published_reader *r, const char *prefix, const published_key *rows)
{
    for (; rows->key; rows++)
        DIFFAD_TRY(published_row(r, prefix, rows));
    return DIFFAD_OK;
}

bool published_equals(const char *a, const char *b)
{
    static const char *const words[][3] = { { "true", "True", "TRUE" }, { "false", "False", "FALSE" } };
    double x, y;
    if (diffad_parse_f64(a, &x) && diffad_parse_f64(b, &y))
        return x == y;
    for (int w = 0; w < 2; w++)
        for (int i = 0; i < 3; i++)
            if (strcmp(a, words[w][i]) == 0)
                return strcmp(b, words[w][0]) == 0;
    return strcmp(a, b) == 0;
}

diffad_status published_expect(published_reader *r, const char *prefix, const published_only *list)
{
    char why[256];
    for (; list->key; list++) {
        const diffad_config *c = published_take(r, prefix, list->key);
        if (!c || (c->kind == DIFFAD_CONFIG_SCALAR && *list->value && published_equals(c->text, list->value)))
            continue;
        snprintf(why, sizeof why, "%.60s is not supported; %s", c->kind == DIFFAD_CONFIG_SCALAR ? c->text : "this",
                 *list->value ? "the only value is" : "leave it out");
        if (*list->value)
            snprintf(why + strlen(why), sizeof why - strlen(why), " %s", list->value);
        return published_fail(r, c, prefix, list->key, why);
    }
    return DIFFAD_OK;
}

/* ---- numbers that are checked against others ---- */

diffad_status published_whole(published_reader *r, const char *prefix, const char *key, bool needed, int64_t *out)
{
    const diffad_config *c = published_take(r, prefix, key);
    if (!c)
        return needed ? published_fail(r, NULL, prefix, key, "missing; the published code needs it") : DIFFAD_OK;
    if (c->kind != DIFFAD_CONFIG_SCALAR || !diffad_parse_i64(c->text, out) || *out < 0 || *out > INT_MAX)
        return published_fail(r, c, prefix, key, "expected a whole number");
    return DIFFAD_OK;
}

diffad_status published_agree(published_reader *r, const char *prefix, const char *key, bool needed, int64_t want, const char *because)
{
    char    why[160], full[MAX_KEY];
    int64_t is = want;
    DIFFAD_TRY(published_whole(r, prefix, key, needed, &is));
    snprintf(full, sizeof full, "%s%s", prefix, key);
    snprintf(why, sizeof why, "%lld contradicts %s, which asks for %lld", (long long)is, because, (long long)want);
    return is == want ? DIFFAD_OK : published_fail(r, published_find(r->root, full), prefix, key, why);
}

/* ---- keys without a use ---- */

static bool is_used(const published_reader *r, const diffad_config *c)
{
    for (int i = 0; i < r->n_used; i++)
        if (r->used[i] == c)
            return true;
    for (const diffad_config *k = c->kind == DIFFAD_CONFIG_MAP ? c->first : NULL; k; k = k->next)
        if (is_used(r, k))
            return true;
    return false;
}

static void name_unused(const published_reader *r, const diffad_config *map, const char *path, diffad_text *t, int *count)
{
    char full[MAX_KEY];
    for (const diffad_config *c = map->first; c; c = c->next) {
        snprintf(full, sizeof full, "%s%s%.80s", path, *path ? "." : "", c->key);
        if (!is_used(r, c)) {
            if ((*count)++ < MAX_NAMED)
                diffad_text_addf(t, "%s%s", *count > 1 ? ", " : "", full);
        } else if (c->kind == DIFFAD_CONFIG_MAP) {
            name_unused(r, c, full, t, count);
        }
    }
}

void published_note_unused(published_reader *r)
{
    diffad_text t = { 0 };
    int         count = 0;
    name_unused(r, r->root, "", &t, &count);
    if (count > MAX_NAMED)
        diffad_text_addf(&t, " and %d more", count - MAX_NAMED);
    if (count && !t.failed)
        diffad_trail_note(r->trail, "%s: keys without a use here: %s", r->origin, t.s);
    diffad_text_release(&t);
}
