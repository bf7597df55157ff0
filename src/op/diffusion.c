/* diffusion.c: pointwise steps of the diffusion: sampling the latent, adding noise, DDIM and DDPM steps, with gradients
 * where training needs them. Kernels: cl/diffusion.cl. All keep the zeros of padding lanes. */
#include "op/skeleton.h"

#include <math.h>

static int64_t per_sample(const diffad_value *v) { return diffad_numel(v) / diffad_side(v, 0); }

static diffad_status expect_equal(const diffad_node *n, int inputs, diffad_infer_out *out)
{
    char a[64], b[64];
    if (n->in[0]->type != DIFFAD_F32)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: input 0 is %s, f32 is needed", n->op->name,
                    diffad_dtype_name(n->in[0]->type));
    for (int i = 1; i < inputs; i++)
        if (!diffad_shape_equal(&n->in[0]->shape, &n->in[i]->shape))
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: input %d is %s, input 0 is %s", n->op->name, i,
                        diffad_shape_text(&n->in[i]->shape, b, sizeof b),
                        diffad_shape_text(&n->in[0]->shape, a, sizeof a));
    return diffad_infer_same(n, out);
}

/* Input `at` is t i32 [N], the next `tables` inputs are [T] or [T,columns]. */
static diffad_status expect_time(const diffad_node *n, int at, int tables, int64_t columns)
{
    bool ok = n->in[at]->type == DIFFAD_I32 && diffad_numel(n->in[at]) == diffad_side(n->in[0], 0);
    for (int i = at + 1; i <= at + tables; i++)
        ok = ok && diffad_side(n->in[i], 1) == columns && diffad_side(n->in[i], 0) == diffad_side(n->in[at + 1], 0);
    if (!ok)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: t must be i32 with one time per sample, tables [T] or [T,%lld]", n->op->name,
                    (long long)columns);
    return DIFFAD_OK;
}

/* Rows of a table stay in bounds whatever the time. */
static int64_t row_of(double t, int64_t rows) { return (int64_t)fmin(fmax(t, 0), (double)(rows - 1)); }

/* All inputs, all outputs, then the vectors of a sample and of all. Absent inputs stand in for input 0. */
static diffad_status emit(diffad_emit *e, const diffad_node *n, const char *kernel, int part, int64_t rows)
{
    const int64_t count = diffad_layout_count(n->out[0], e->out[0].block);
    const int64_t width = diffad_vector_width(e->caps, count / diffad_side(n->out[0], 0)), vectors = count / width;
    diffad_launch l     = diffad_launch_make("diffusion", kernel, vectors, DIFFAD_GROUP);
    diffad_launch_def(&l, "PART", part);
    diffad_launch_def(&l, "VEC", width);
    diffad_launch_def(&l, "NOISE", n->in[n->n_in - 1] != NULL);
    for (int i = 0; i < n->n_in; i++)
        diffad_emit_in_or(&l, e, i, 0);
    for (int k = 0; k < n->op->n_out; k++)
        diffad_emit_out(&l, e, k);
    if (rows) {
        diffad_launch_count(&l, vectors / diffad_side(n->out[0], 0));
        diffad_launch_int(&l, rows);
    }
    diffad_launch_count(&l, vectors);
    return diffad_emit_launch(e, &l);
}

/* ---- gaussian_sample: mean, logvar, eps ---- */

static diffad_status gauss_infer(const diffad_node *n, diffad_infer_out *out) { return expect_equal(n, 3, out); }
static diffad_status gauss_emit(diffad_emit *e, const diffad_node *n) { return emit(e, n, "gaussian_sample", 1, 0); }
static diffad_status gauss_bwd_emit(diffad_emit *e, const diffad_node *n)
{
    return emit(e, n, "gaussian_sample_bwd", 2, 0);
}
static diffad_cost   gauss_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 4); }

static void gauss_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = r->in[0][i] + exp(r->in[1][i] / 2) * r->in[2][i];
}

/* Inputs logvar, eps, dy -> d logvar. */
static void gauss_bwd_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = 0.5 * exp(r->in[0][i] / 2) * r->in[1][i] * r->in[2][i];
}

static void gauss_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = dy[0];
    dx[1] = diffad_apply(g, &diffad_op_gaussian_sample_grad, NULL, 3, (diffad_val[]){ n->x[1], n->x[2], dy[0] });
}

/* ---- q_sample: x0, eps, t, a, b ---- */

static diffad_status q_infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(expect_time(n, 2, 2, 1));
    return expect_equal(n, 2, out);
}
static diffad_status q_bwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(expect_time(n, 1, 1, 1));
    return expect_equal(n, 1, out);
}
static diffad_status q_emit(diffad_emit *e, const diffad_node *n)
{
    return emit(e, n, "q_sample", 3, diffad_side(n->in[3], 0));
}
static diffad_status q_bwd_emit(diffad_emit *e, const diffad_node *n)
{
    return emit(e, n, "q_sample_bwd", 4, diffad_side(n->in[2], 0));
}
static diffad_cost   q_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 3); }

static void q_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++) {
        const int64_t t = row_of(r->in[2][i / per_sample(r->n->out[0])], diffad_side(r->n->in[3], 0));
        r->out[0][i] = r->in[3][t] * r->in[0][i] + r->in[4][t] * r->in[1][i];
    }
}

/* Inputs dy, t, a. */
static void q_bwd_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] =
            r->in[2][row_of(r->in[1][i / per_sample(r->n->out[0])], diffad_side(r->n->in[2], 0))] * r->in[0][i];
}

static void q_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_apply(g, &diffad_op_q_sample_grad, NULL, 3, (diffad_val[]){ dy[0], n->x[2], n->x[3] });
}

/* ---- ddim_step: x, eps, coef, noise; ddpm_step: x, eps, noise, t, table ---- */

static diffad_status ddim_infer(const diffad_node *n, diffad_infer_out *out)
{
    if (diffad_numel(n->in[2]) != 5 || (n->in[3] && !diffad_shape_equal(&n->in[3]->shape, &n->in[0]->shape)))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "ddim_step: coef must have 5 elements (it has %lld), noise the shape of x",
                    (long long)diffad_numel(n->in[2]));
    return expect_equal(n, 2, out);
}
static diffad_status ddpm_infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(expect_time(n, 3, 1, 5));
    return expect_equal(n, 3, out);
}
static diffad_status ddim_emit(diffad_emit *e, const diffad_node *n) { return emit(e, n, "ddim_step", 5, 0); }
static diffad_status ddpm_emit(diffad_emit *e, const diffad_node *n)
{
    return emit(e, n, "ddpm_step", 6, diffad_side(n->in[4], 0));
}
static diffad_cost   step_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 8); }

static void ddim_ref(const diffad_ref *r)
{
    const double *c = r->in[2];
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++) {
        r->out[1][i] = (r->in[0][i] - c[1] * r->in[1][i]) / c[0];
        r->out[0][i] = c[2] * r->out[1][i] + c[3] * r->in[1][i] + (r->in[3] ? c[4] * r->in[3][i] : 0);
    }
}

static void ddpm_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++) {
        const double *c  = r->in[4] + 5 * row_of(r->in[3][i / per_sample(r->n->out[0])], diffad_side(r->n->in[4], 0));
        const double  x0 = c[0] * r->in[0][i] - c[1] * r->in[1][i];
        r->out[0][i] = c[2] * x0 + c[3] * r->in[0][i] + c[4] * r->in[2][i];
    }
}

/* ---- descriptors ---- */

#define WAY(way)                                                                                   \
    static const diffad_way way##_ways[] = {                                                       \
        { .name = "plain", .layout = DIFFAD_LAYOUT_ANY, .emit = way##_emit, .is_portable = true }, \
    };
WAY(gauss)
WAY(gauss_bwd)
WAY(q)
WAY(q_bwd)
WAY(ddim)
WAY(ddpm)
#undef WAY

#define ONE    { 4, { 1, 1, 1, 1 } }
#define ODD    { 4, { 3, 19, 5, 7 } }
#define LATENT { 4, { 8, 4, 32, 32 } }
static const diffad_op_case gauss_cases[] = {
    { .name = "one", .in = { ONE, ONE, ONE } },
    { .name = "odd", .in = { ODD, ODD, ODD }, .range = { { 0 }, { -6, 4 } } },
    { .name = "latent", .in = { LATENT, LATENT, LATENT }, .bench = true },
};
static const diffad_op_case q_cases[] = {
    { .name = "one", .in = { ONE, ONE, { 1, { 1 } }, { 1, { 1 } }, { 1, { 1 } } }, .type = { [2] = DIFFAD_I32 } },
    { .name = "odd", .in = { ODD, ODD, { 1, { 3 } }, { 1, { 9 } }, { 1, { 9 } } },
      .type = { [2] = DIFFAD_I32 }, .range = { [2] = { 0, 8 } } },
    { .name = "latent", .in = { LATENT, LATENT, { 1, { 8 } }, { 1, { 1000 } }, { 1, { 1000 } } },
      .type = { [2] = DIFFAD_I32 }, .range = { [2] = { 0, 999 } },
      .bench = true },
};
static const diffad_op_case q_bwd_cases[] = {
    { .name = "one", .in = { ONE, { 1, { 1 } }, { 1, { 1 } } }, .type = { [1] = DIFFAD_I32 } },
    { .name = "odd", .in = { ODD, { 1, { 3 } }, { 1, { 9 } } },
      .type = { [1] = DIFFAD_I32 }, .range = { [1] = { 0, 8 } } },
    { .name = "out_of_range", .in = { ODD, { 1, { 3 } }, { 1, { 9 } } },
      .type = { [1] = DIFFAD_I32 }, .range = { [1] = { -4, 20 } } },
    { .name = "latent", .in = { LATENT, { 1, { 8 } }, { 1, { 1000 } } },
      .type = { [1] = DIFFAD_I32 }, .range = { [1] = { 0, 999 } },
      .bench = true },
};
static const diffad_op_case ddim_cases[] = {
    { .name = "one", .in = { ONE, ONE, { 1, { 5 } }, ONE }, .range = { [2] = { 0.2, 1 } } },
    { .name = "odd", .in = { ODD, ODD, { 1, { 5 } }, ODD }, .range = { [2] = { 0.2, 1 } } },
    { .name = "without_noise", .in = { ODD, ODD, { 1, { 5 } }, ODD }, .absent = 8, .range = { [2] = { 0.2, 1 } } },
    { .name = "latent", .in = { LATENT, LATENT, { 1, { 5 } }, LATENT }, .absent = 8, .range = { [2] = { 0.2, 1 } },
      .bench = true },
};
static const diffad_op_case ddpm_cases[] = {
    { .name = "one", .in = { ONE, ONE, ONE, { 1, { 1 } }, { 2, { 1, 5 } } }, .type = { [3] = DIFFAD_I32 } },
    { .name = "odd", .in = { ODD, ODD, ODD, { 1, { 3 } }, { 2, { 9, 5 } } },
      .type = { [3] = DIFFAD_I32 }, .range = { [3] = { 0, 8 } } },
    { .name = "latent", .in = { LATENT, LATENT, LATENT, { 1, { 8 } }, { 2, { 1000, 5 } } },
      .type = { [3] = DIFFAD_I32 }, .range = { [3] = { 0, 999 } },
      .bench = true },
};

const diffad_op diffad_op_gaussian_sample = {
    .name = "gaussian_sample", .n_in = 3, .n_out = 1, .tol = 1e-6, .maps_in = 7, .maps_out = 1, .inplace = 7,
    .constant_in = 4, .infer = gauss_infer, DIFFAD_WAYS(gauss_ways), .grad = gauss_grad, .cost = gauss_cost,
    .ref = gauss_ref, DIFFAD_CASES(gauss_cases),
};
const diffad_op diffad_op_gaussian_sample_grad = {
    .name = "gaussian_sample_grad", .n_in = 3, .n_out = 1, .tol = 1e-6, .maps_in = 7, .maps_out = 1, .inplace = 7,
    .infer = gauss_infer, DIFFAD_WAYS(gauss_bwd_ways), .no_grad = "second derivatives are not needed",
    .cost = gauss_cost, .ref = gauss_bwd_ref, DIFFAD_CASES(gauss_cases),
};
const diffad_op diffad_op_q_sample = {
    .name = "q_sample", .n_in = 5, .n_out = 1, .tol = 1e-6, .maps_in = 3, .maps_out = 1, .inplace = 3,
    .constant_in = 2 | 8 | 16, .infer = q_infer, DIFFAD_WAYS(q_ways), .grad = q_grad, .cost = q_cost, .ref = q_ref,
    DIFFAD_CASES(q_cases),
};
const diffad_op diffad_op_q_sample_grad = {
    .name = "q_sample_grad", .n_in = 3, .n_out = 1, .tol = 1e-6, .maps_in = 1, .maps_out = 1, .inplace = 1,
    .infer = q_bwd_infer, DIFFAD_WAYS(q_bwd_ways), .no_grad = "second derivatives are not needed", .cost = q_cost,
    .ref = q_bwd_ref, DIFFAD_CASES(q_bwd_cases),
};
const diffad_op diffad_op_ddim_step = {
    .name = "ddim_step", .n_in = 4, .n_out = 2, .n_required = 3, .tol = 1e-6, .maps_in = 1 | 2 | 8, .maps_out = 3,
    .inplace = 1 | 2 | 8, .infer = ddim_infer, DIFFAD_WAYS(ddim_ways), .no_grad = "sampling is not differentiated",
    .cost = step_cost, .ref = ddim_ref, DIFFAD_CASES(ddim_cases),
};
const diffad_op diffad_op_ddpm_step = {
    .name = "ddpm_step", .n_in = 5, .n_out = 1, .tol = 1e-6, .maps_in = 7, .maps_out = 1, .inplace = 7,
    .infer = ddpm_infer, DIFFAD_WAYS(ddpm_ways), .no_grad = "sampling is not differentiated", .cost = step_cost,
    .ref = ddpm_ref, DIFFAD_CASES(ddpm_cases),
};

diffad_val diffad_gaussian_sample(diffad_graph *g, diffad_val mean, diffad_val logvar, diffad_val eps)
{
    return diffad_apply(g, &diffad_op_gaussian_sample, NULL, 3, (diffad_val[]){ mean, logvar, eps });
}
diffad_val diffad_q_sample(diffad_graph *g, diffad_val x0, diffad_val eps, diffad_val t, diffad_val a, diffad_val b)
{
    return diffad_apply(g, &diffad_op_q_sample, NULL, 5, (diffad_val[]){ x0, eps, t, a, b });
}
diffad_val diffad_ddim_step(diffad_graph *g, diffad_val x, diffad_val eps, diffad_val noise, diffad_val coef,
                            diffad_val *x0)
{
    const diffad_val next = diffad_apply(g, &diffad_op_ddim_step, NULL, 4, (diffad_val[]){ x, eps, coef, noise });
    if (x0)
        *x0 = diffad_out(next, 1);
    return next;
}
diffad_val diffad_ddpm_step(diffad_graph *g, diffad_val x, diffad_val eps, diffad_val noise, diffad_val t,
                            diffad_val table)
{
    return diffad_apply(g, &diffad_op_ddpm_step, NULL, 5, (diffad_val[]){ x, eps, noise, t, table });
}
