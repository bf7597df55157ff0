/* rig.c: runs a graph on a device and in double on the host, and compares. */
#include "graph/rig.h"
#include "base/sys.h"
#include "kernel/embedded.h"
#include "support/folder.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static double *doubles(const float *x, int64_t count)
{
    double *d = diffad_alloc_array((size_t)count, sizeof *d);
    for (int64_t i = 0; i < count; i++)
        d[i] = x[i];
    return d;
}

/* What the device has before the run is what the reference gets. */
static void prepare(diffad_plan *p, const diffad_graph *g, int run, double **data)
{
    for (int64_t i = 0; i < g->n_values; i++) {
        const diffad_value *v     = g->value[i];
        const int64_t       count = diffad_numel(v);
        if (v->kind == DIFFAD_VALUE_NODE)
            continue;
        cr_assert_eq(v->type, DIFFAD_F32);
        float *x = diffad_alloc_array((size_t)count, sizeof *x);
        if (v->kind == DIFFAD_VALUE_INPUT) {
            numbers(x, count, (unsigned)(7 * i + 1000 * run));
            tensor_put(diffad_plan_tensor(p, v->name), x, count);
        } else {
            tensor_get(*v->slot, x, count);
        }
        data[i] = doubles(x, count);
        diffad_release(x);
    }
}

static void compare(const diffad_tensor *t, const diffad_value *v, const double *want, double tol, const char *what,
                    int run)
{
    const int64_t count = diffad_numel(v);
    float        *x     = diffad_alloc_array((size_t)count, sizeof *x);
    double        scale = 0;
    tensor_get(t, x, count);
    for (int64_t i = 0; i < count; i++)
        scale = fmax(scale, fabs(want[i]));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(x[i] - want[i]) <= tol * scale + 3e-7)) {      /* differences of values near 1 */
            cr_assert_fail("%s, run %d: %s is %.9g at %lld, expected %.9g", what, run, v->name, x[i], (long long)i,
                           want[i]);
            break;
        }
    diffad_release(x);
}

void expect_like_reference(diffad_plan *p, const diffad_graph *g, int runs, double tol, const char *what)
{
    for (int run = 0; run < runs; run++) {
        double **data = diffad_alloc_array((size_t)g->n_values, sizeof *data);
        prepare(p, g, run, data);
        cr_assert_eq(diffad_plan_run(p), DIFFAD_OK, "%s: %s", what, diffad_error_detail());
        cr_assert_eq(diffad_graph_run_ref(g, data), DIFFAD_OK, "%s: %s", what, diffad_error_detail());
        for (int64_t i = 0; i < g->n_values; i++)
            if (g->value[i]->is_output)
                compare(diffad_plan_tensor(p, g->value[i]->name), g->value[i], data[i], tol, what, run);
            else if (g->value[i]->kind == DIFFAD_VALUE_BOUND)
                compare(*g->value[i]->slot, g->value[i], data[i], tol, what, run);
        for (int64_t i = 0; i < g->n_values; i++)
            diffad_release(data[i]);
        diffad_release(data);
    }
}

int launches_of(const diffad_plan *p, const char *kernel)
{
    int n = 0;
    for (int64_t i = 0; i < p->n_launches; i++)
        n += strcmp(p->frozen[i].launch.kernel, kernel) == 0;
    return n;
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

void kernels_with(const char *name, const char *text)
{
    const char *dir = folder_new();
    mkdir(folder_path(dir, "common"), 0777);
    for (const diffad_embedded *e = diffad_embedded_kernels; e->name; e++)
        put(folder_path(dir, e->name), e->text);
    put(folder_path(dir, name), text);
    setenv("DIFFAD_CL_DIR", dir, 1);
}
