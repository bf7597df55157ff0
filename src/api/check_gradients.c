/* check_gradients.c: gradients against central differences of the references, in double, without a device. */
#include "api/check_common.h"
#include "base/rng.h"
#include "base/sys.h"
#include "graph/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DIRECTIONS = 3 };

typedef struct bench {
    const diffad_op      *op;
    const diffad_op_case *c;
    diffad_graph         *g;
    diffad_val            x[DIFFAD_MAX_IN], y[DIFFAD_MAX_OUT], dy[DIFFAD_MAX_OUT];
    diffad_val            dx[DIFFAD_MAX_OUT][DIFFAD_MAX_IN];
    double               *in[DIFFAD_MAX_IN], *seed[DIFFAD_MAX_OUT];
} bench;

static bool carries(const bench *b, int k)
{
    return !(b->op->saved_out >> k & 1u) && diffad_val_type(b->g, b->y[k]) == DIFFAD_F32;
}

static diffad_status build(bench *b)
{
    char name[16];
    DIFFAD_TRY(diffad_graph_create(&b->g));
    static diffad_tensor *no_tensor[DIFFAD_MAX_IN];
    for (int i = 0; i < b->op->n_in; i++) {
        snprintf(name, sizeof name, "x%d", i);
        b->x[i] = diffad_none();
        if (check_is_absent(b->op, b->c, i))
            continue;
        const diffad_dtype type  = check_type(b->op, b->c, i);
        const diffad_shape shape = check_shape(b->op, b->c, i);
        b->x[i] = diffad_op_writes(b->op, i) ? diffad_bound(b->g, name, type, shape, &no_tensor[i]) : diffad_input(b->g, name, type, shape);
    }
    const diffad_val y = diffad_apply(b->g, b->op, b->c->attr, b->op->n_in, b->x);
    for (int k = 0; k < b->op->n_out; k++) {
        b->y[k] = diffad_out(y, k);
        snprintf(name, sizeof name, "y%d", k);
        diffad_output(b->g, name, b->y[k]);
        if (!carries(b, k))
            continue;
        snprintf(name, sizeof name, "dy%d", k);
        b->dy[k] = diffad_input(b->g, name, DIFFAD_F32, *diffad_val_shape(b->g, b->y[k]));
        diffad_graph_grad(b->g, b->y[k], b->dy[k], b->x, b->op->n_in, b->dx[k]);
        for (int i = 0; i < b->op->n_in; i++)
            if (diffad_is_valid(b->dx[k][i]) && b->dx[k][i].id != b->dy[k].id) {
                snprintf(name, sizeof name, "dx%d_%d", k & 15, i & 15);
                if (!b->g->value[b->dx[k][i].id]->is_output)
                    diffad_output(b->g, name, b->dx[k][i]);
            }
    }
    return diffad_graph_status(b->g);
}

/* Runs the graph with x[moved] + h * direction; returns all values (released by release_data). */
static double **evaluate(const bench *b, int moved, const double *direction, double h)
{
    double **data = diffad_alloc_array((size_t)b->g->n_values, sizeof *data);
    bool     ok = data != NULL;
    for (int i = 0; i < b->op->n_in && ok; i++) {
        if (!diffad_is_valid(b->x[i]))
            continue;
        const int64_t n = diffad_shape_count(diffad_val_shape(b->g, b->x[i]));
        double       *x = data[b->x[i].id] = diffad_alloc_array((size_t)n, sizeof *x);
        ok = x != NULL;
        for (int64_t e = 0; e < n && ok; e++)
            x[e] = b->in[i][e] + (i == moved ? h * direction[e] : 0);
    }
    for (int k = 0; k < b->op->n_out && ok; k++)
        if (carries(b, k)) {
            const int64_t n = diffad_shape_count(diffad_val_shape(b->g, b->y[k]));
            data[b->dy[k].id] = diffad_alloc_array((size_t)n, sizeof(double));
            if ((ok = data[b->dy[k].id] != NULL))
                memcpy(data[b->dy[k].id], b->seed[k], (size_t)n * sizeof(double));
        }
    if (ok && diffad_graph_run_ref(b->g, data) == DIFFAD_OK)
        return data;
    for (int64_t i = 0; data && i < b->g->n_values; i++)
        diffad_release(data[i]);
    diffad_release(data);
    return NULL;
}

static void release_data(const bench *b, double **data)
{
    for (int64_t i = 0; data && i < b->g->n_values; i++)
        diffad_release(data[i]);
    diffad_release(data);
}

static double loss(const bench *b, double **data)
{
    double sum = 0;
    for (int k = 0; k < b->op->n_out; k++)
        if (carries(b, k))
            for (int64_t e = 0; e < diffad_shape_count(diffad_val_shape(b->g, b->y[k])); e++)
                sum += data[b->y[k].id][e] * b->seed[k][e];
    return sum;
}

static void check_input(const bench *b, int i, double **at, diffad_check_row *row)
{
    const int64_t n = diffad_shape_count(diffad_val_shape(b->g, b->x[i]));
    double       *direction = diffad_alloc_array((size_t)n, sizeof *direction);
    bool          exists = false;
    for (int k = 0; k < b->op->n_out; k++)
        exists = exists || (carries(b, k) && diffad_is_valid(b->dx[k][i]));
    bool any = false;
    for (int k = 0; k < b->op->n_out; k++)
        any = any || carries(b, k);
    if (!exists && any) {
        row->result = DIFFAD_CHECK_FAIL;
        snprintf(row->why, sizeof row->why, "input %d gets no gradient and is not declared constant", i);
    }
    for (int d = 0; d < DIRECTIONS && exists && direction; d++) {
        diffad_rng r = diffad_rng_make(7, DIFFAD_RNG_TEST, (uint32_t)d, (uint32_t)i + 100);
        for (int64_t e = 0; e < n; e++)
            direction[e] = diffad_rng_normal(&r);
        const double h = 1e-6;
        double **up = evaluate(b, i, direction, h), **down = evaluate(b, i, direction, -h);
        double   analytic = 0, size = 0;
        for (int k = 0; k < b->op->n_out; k++)
            if (carries(b, k) && diffad_is_valid(b->dx[k][i]))
                for (int64_t e = 0; e < n; e++) {
                    analytic += at[b->dx[k][i].id][e] * direction[e];
                    size += fabs(at[b->dx[k][i].id][e] * direction[e]);
                }
        const double numeric = up && down ? (loss(b, up) - loss(b, down)) / (2 * h) : NAN;
        const double error   = fabs(numeric - analytic) / fmax(size, 1e-3);
        row->error = fmax(row->error, error);
        if (!(error <= row->tol) && row->result != DIFFAD_CHECK_FAIL) {
            row->result = DIFFAD_CHECK_FAIL;
            snprintf(row->why, sizeof row->why, "input %d: gradient %.9g, differences %.9g", i, analytic, numeric);
        }
        release_data(b, up);
        release_data(b, down);
    }
    diffad_release(direction);
}

static void check_case(const diffad_op *op, const diffad_op_case *c, diffad_check_row *row)
{
    bench    b = { .op = op, .c = c };
    double **at = NULL;
    diffad_status st = build(&b);
    for (int i = 0; i < op->n_in; i++)
        if (!check_is_absent(op, c, i))
            b.in[i] = check_data(op, c, i, 1);
    for (int k = 0; st == DIFFAD_OK && k < op->n_out; k++)
        if (carries(&b, k)) {
            const diffad_op_case seed = { .in = { *diffad_val_shape(b.g, b.y[k]) } };
            b.seed[k] = check_data(op, &seed, 0, (uint32_t)k + 2);
        }
    if (st == DIFFAD_OK && !(at = evaluate(&b, -1, NULL, 0)))
        st = DIFFAD_ERR_INTERNAL;
    for (int i = 0; st == DIFFAD_OK && i < op->n_in; i++)
        if (!check_is_absent(op, c, i) && check_type(op, c, i) == DIFFAD_F32 && !diffad_in_mask(op, op->constant_in, i))
            check_input(&b, i, at, row);
    if (st != DIFFAD_OK) {
        row->result = DIFFAD_CHECK_FAIL;
        snprintf(row->why, sizeof row->why, "%s", diffad_error_detail());
    }
    release_data(&b, at);
    for (int i = 0; i < DIFFAD_MAX_IN; i++)
        diffad_release(b.in[i]);
    for (int k = 0; k < DIFFAD_MAX_OUT; k++)
        diffad_release(b.seed[k]);
    diffad_graph_destroy(b.g);
}

diffad_status diffad_check_gradients(const char *only, diffad_check_fn fn, void *user)
{
    int count;
    const diffad_op *const *table = diffad_op_table(&count);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < table[i]->n_cases; k++) {
            const diffad_op *op = table[i];
            if ((only && strcmp(only, op->name) != 0) || !op->grad || op->cases[k].bench)
                continue;
            diffad_check_row row = { .op = op->name, .way = "gradient", .name = op->cases[k].name, .layout = "plain", .tol = 1e-6 };
            check_case(op, &op->cases[k], &row);
            fn(user, &row);
        }
    return DIFFAD_OK;
}
