/* verify_compare.c: values against a golden file's: absolute tolerance per tensor, relative L2, or bit for bit. */
#include "api/verify_internal.h"
#include "base/text.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int index_of(const verify_run *r, const char *name)
{
    for (int i = 0; i < diffad_file_count(r->file); i++)
        if (strcmp(diffad_file_at(r->file, i)->name, name) == 0)
            return i;
    return -1;
}

bool verify_has(const verify_run *r, const char *name) { return diffad_file_find(r->file, name) != NULL; }

const float *verify_values(verify_run *r, const char *name, int64_t *count)
{
    const diffad_file_tensor *t = diffad_file_find(r->file, name);
    if (!t) {
        diffad_fail(DIFFAD_ERR_CHECKPOINT, "the file has no tensor %s", name);
        return NULL;
    }
    const int64_t n = diffad_shape_count(&t->shape);
    float        *x = diffad_arena_alloc(&r->arena, ((size_t)n + 1) * sizeof *x);
    if (!x)
        diffad_fail(DIFFAD_ERR_MEMORY, "%s: no host memory", name);
    if (!x || diffad_file_to_f32(t, x, n) != DIFFAD_OK)
        return NULL;
    if (count)
        *count = n;
    return x;
}

void verify_complain(verify_run *r, const char *format, ...)
{
    va_list args;
    r->failed++;
    if (r->why[0])
        return;
    va_start(args, format);
    diffad_vformat(r->why, sizeof r->why, format, args);
    va_end(args);
}

void verify_skip(verify_run *r, const char *name)
{
    const int i = index_of(r, name);
    if (i >= 0)
        r->seen[i] = true;
}

void verify_record(verify_run *r, const char *name, double error, double tolerance)
{
    const bool   pass  = error <= tolerance;
    const double ratio = error == 0 ? 0 : tolerance > 0 ? error / tolerance : INFINITY;
    verify_skip(r, name);
    if (!r->compared++ || ratio > r->worst_ratio) {
        snprintf(r->worst, sizeof r->worst, "%s", name);
        r->worst_error     = error;
        r->worst_tolerance = tolerance;
        r->worst_ratio     = ratio;
    }
    if (!pass)
        verify_complain(r, "%s: error %.3g, tolerance %.3g", name, error, tolerance);
    if (r->options->tensor)
        r->options->tensor(r->options->user, r->name, name, error, tolerance, pass);
}

static double difference(float a, float b)
{
    if (a == b || (isnan(a) && isnan(b)))
        return 0;
    const double d = fabs((double)a - (double)b);
    return isnan(d) ? INFINITY : d;
}

/* The number a map of patterns holds for a name: its own entry before a pattern's. */
static bool number_for(const diffad_config *map, const char *name, double *out)
{
    const diffad_config *found = map ? diffad_config_get(map, name) : NULL;
    for (const diffad_config *c = map ? map->first : NULL; !found && c; c = c->next)
        if (c->key && verify_match(c->key, name))
            found = c;
    return found && found->text && diffad_parse_f64(found->text, out);
}

/* What the `*` of a pattern stands for in `name`, put in place of the `*` of another:
 * c*.mask, c0.mask, c*.near -> c0.near */
static void translate(const char *pattern, const char *name, const char *to, char *out, size_t bytes)
{
    const char *star = strchr(pattern, '*'), *place = strchr(to, '*');
    if (!star || !place) {
        snprintf(out, bytes, "%s", to);
        return;
    }
    const size_t before = (size_t)(star - pattern), tail = strlen(star + 1), middle = strlen(name) - before - tail;
    snprintf(out, bytes, "%.*s%.*s%s", (int)(place - to), to, (int)middle, name + before, place + 1);
}

/* Which elements count: NULL all; else those where (*mask)[i] is not 0 (want) or 0. */
static diffad_status mask_of(verify_run *r, const char *name, int64_t n, const float **mask, bool *where_set)
{
    char    other[VERIFY_NAME] = "";
    int64_t count = 0;
    *mask = NULL;
    for (const diffad_config *c = r->exact_except ? r->exact_except->first : NULL; c && !other[0]; c = c->next)
        if (c->key && c->text && verify_match(c->key, name))
            translate(c->key, name, c->text, other, sizeof other);
    *where_set = !other[0];
    if (!other[0] && strncmp(name, "after1.", 7) == 0)
        snprintf(other, sizeof other, "check.%s", name + 7);
    if (!other[0] || !verify_has(r, other))
        return DIFFAD_OK;
    if (!(*mask = verify_values(r, other, &count)))
        return DIFFAD_ERR_CHECKPOINT;
    if (count != n)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s has %lld elements, %s %lld", other, (long long)count, name,
                    (long long)n);
    return DIFFAD_OK;
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The largest difference of those that count, after `share` of them has been set aside. */
static diffad_status largest(verify_run *r, const char *name, const float *have, const float *want, int64_t n,
                             double *out)
{
    const float *mask;
    bool         where_set;
    DIFFAD_TRY(mask_of(r, name, n, &mask, &where_set));
    double *error = diffad_arena_alloc(&r->arena, ((size_t)n + 1) * sizeof *error);
    int64_t count = 0;
    if (!error)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", name);
    for (int64_t i = 0; i < n; i++)
        if (!mask || (mask[i] != 0) == where_set)
            error[count++] = difference(have[i], want[i]);
    const int64_t aside = mask && where_set ? (int64_t)(r->share * (double)count) : 0;
    qsort(error, (size_t)count, sizeof *error, descending);
    *out = aside < count ? error[aside] : 0;
    return DIFFAD_OK;
}

static double relative_l2(const float *have, const float *want, int64_t n)
{
    double d = 0, w = 0;
    for (int64_t i = 0; i < n; i++) {
        const double e = difference(have[i], want[i]);
        d += e * e;
        w += (double)want[i] * want[i];
    }
    return w > 0 ? sqrt(d / w) : d > 0 ? INFINITY : 0;
}

/* Without an entry in `tol`: the share of the largest value that every tolerance contains. */
static double tolerance_of(const verify_run *r, const char *name, const float *want, int64_t n)
{
    double tol, most = 0;
    if (number_for(r->tol, name, &tol))
        return tol;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)want[i]));
    return 4e-6 * most;
}

diffad_status verify_compare(verify_run *r, const char *name, const float *have, int64_t count, bool is_first)
{
    int64_t      n;
    double       error = 0, bound;
    const float *want;
    if (!verify_has(r, name))
        return DIFFAD_OK;
    if (!(want = verify_values(r, name, &n)))
        return DIFFAD_ERR_CHECKPOINT;
    if (count != n && !(is_first && n > 0 && count % n == 0)) {
        verify_skip(r, name);
        verify_complain(r, "%s: %lld elements instead of %lld", name, (long long)count, (long long)n);
        return DIFFAD_OK;
    }
    if (number_for(r->relative, name, &bound)) {
        verify_record(r, name, relative_l2(have, want, n), bound);
        return DIFFAD_OK;
    }
    DIFFAD_TRY(largest(r, name, have, want, n, &error));
    verify_record(r, name, error, verify_listed(r->exact, name) ? 0 : tolerance_of(r, name, want, n));
    return DIFFAD_OK;
}

diffad_status verify_compare_tensor(verify_run *r, const char *name, const diffad_tensor *t)
{
    const int64_t n = diffad_shape_count(&t->shape);
    float        *x;
    if (!verify_has(r, name))
        return DIFFAD_OK;
    if (!(x = diffad_arena_alloc(&r->arena, (size_t)n * sizeof *x)))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", name);
    DIFFAD_TRY(diffad_tensor_read(t, x, (size_t)n * sizeof *x));
    return verify_compare(r, name, x, n, false);
}

void verify_missing(verify_run *r)
{
    for (int i = 0; i < diffad_file_count(r->file); i++) {
        const char *name = diffad_file_at(r->file, i)->name;
        const bool  is_input = verify_listed(r->inputs, name) && !verify_listed(r->outputs, name);
        if (!r->seen[i] && !is_input && !verify_listed(r->unused, name))
            verify_complain(r, "%s was not compared", name);
    }
}
