/* batch_norm.c: act(batch norm) with the batch's statistics, or with given ones. Kernels: cl/norm.cl, cl/norm_grad.cl. */
#include "op/norm.h"

enum { X, W, BIAS, MEAN, VAR };      /* inputs of both forward ops: the last two are the running statistics */

static diffad_status fwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    char text[64];
    DIFFAD_TRY(diffad_norm_check(n));
    for (int i = MEAN; i < n->op->n_in; i++)
        if (!diffad_shape_equal(&n->in[i]->shape, &n->in[W]->shape))
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: a running statistic is %s, must be [%lld]", n->op->name,
                        diffad_shape_text(&n->in[i]->shape, text, sizeof text), (long long)n->in[W]->shape.side[0]);
    out[0] = (diffad_infer_out){ DIFFAD_F32, n->in[X]->shape };
    for (int k = 1; k < n->op->n_out; k++)
        out[k] = (diffad_infer_out){ DIFFAD_F32, n->in[W]->shape };
    return DIFFAD_OK;
}

/* The running statistics, or work space in their place: the same kernel, so the same bits. */
static diffad_status add_running(diffad_emit *e, diffad_launch *l, const norm_walk *s, bool has_running)
{
    int32_t unused;
    if (has_running) {
        diffad_emit_in_written(l, e, MEAN);
        diffad_emit_in_written(l, e, VAR);
        return DIFFAD_OK;
    }
    DIFFAD_TRY(diffad_emit_scratch(e, 2 * s->c, 4, &unused));
    diffad_launch_mem(l, unused, 0, DIFFAD_READ_WRITE);
    diffad_launch_mem(l, unused, s->c, DIFFAD_READ_WRITE);
    return DIFFAD_OK;
}

static diffad_status emit_batch(diffad_emit *e, const diffad_node *n, bool has_running)
{
    const diffad_norm_attr *a = n->attr;
    const norm_walk s = diffad_norm_walk(e, n->in[X], e->in[X].block);
    int32_t part, coef;
    DIFFAD_TRY(diffad_norm_moments(e, &s, &part));
    DIFFAD_TRY(diffad_emit_scratch(e, 4 * s.padded, 4, &coef));
    diffad_launch l = diffad_norm_launch(&s, "norm", "batch_stats", DIFFAD_ACT_NONE);
    diffad_launch_items(&l, s.padded * s.group, 1, 1);
    diffad_launch_mem(&l, part, 0, DIFFAD_READ);
    diffad_emit_in(&l, e, W);
    diffad_emit_in(&l, e, BIAS);
    DIFFAD_TRY(add_running(e, &l, &s, has_running));
    diffad_emit_out(&l, e, 1);
    diffad_emit_out(&l, e, 2);
    diffad_launch_mem(&l, coef, 0, DIFFAD_WRITE);
    const int64_t sizes[] = { s.c, s.n, s.units, s.chunks, s.per };
    for (int i = 0; i < 5; i++)
        diffad_launch_int(&l, sizes[i]);
    diffad_launch_float(&l, a->eps);
    diffad_launch_float(&l, a->momentum);
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    return diffad_norm_apply(e, &s, coef, false, a->act);
}

static diffad_status train_emit(diffad_emit *e, const diffad_node *n) { return emit_batch(e, n, true); }
static diffad_status again_emit(diffad_emit *e, const diffad_node *n) { return emit_batch(e, n, false); }

static diffad_status given_emit(diffad_emit *e, const diffad_node *n)
{
    const diffad_norm_attr *a = n->attr;
    const norm_walk s = diffad_norm_walk(e, n->in[X], e->in[X].block);
    int32_t coef;
    DIFFAD_TRY(diffad_emit_scratch(e, 4 * s.padded, 4, &coef));
    diffad_launch l = diffad_norm_launch(&s, "norm", "batch_given", DIFFAD_ACT_NONE);
    diffad_launch_items(&l, s.padded, 1, 1);
    for (int i = W; i <= VAR; i++)
        diffad_emit_in(&l, e, i);
    diffad_launch_mem(&l, coef, 0, DIFFAD_WRITE);
    diffad_launch_int(&l, s.c);
    diffad_launch_int(&l, s.padded);
    diffad_launch_float(&l, a->eps);
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    return diffad_norm_apply(e, &s, coef, false, a->act);
}

static diffad_status train_bwd_emit(diffad_emit *e, const diffad_node *n)
{
    return diffad_norm_emit_grad(e, n, NORM_BATCH);
}

static diffad_status given_bwd_emit(diffad_emit *e, const diffad_node *n)
{
    return diffad_norm_emit_grad(e, n, NORM_GIVEN);
}

static diffad_cost   train_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 8); }
static diffad_cost   given_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 2); }
static diffad_cost   bwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 15); }

static void apply_ref(const diffad_ref *r, int64_t c, double mean, double rstd)
{
    const diffad_norm_attr *a = r->n->attr;
    const int64_t N = diffad_side(r->n->in[X], 0), C = diffad_side(r->n->in[X], 1);
    const int64_t HW = diffad_numel(r->n->in[X]) / (N * C);
    for (int64_t n = 0; n < N; n++)
        for (int64_t k = (n * C + c) * HW; k < (n * C + c + 1) * HW; k++)
            r->out[0][k] = diffad_norm_act(a->act, (r->in[X][k] - mean) * rstd * r->in[W][c] + r->in[BIAS][c]);
}

/* With running statistics and without. */
static void train_ref(const diffad_ref *r)
{
    const diffad_norm_attr *a = r->n->attr;
    const int64_t N = diffad_side(r->n->in[X], 0), C = diffad_side(r->n->in[X], 1);
    const int64_t HW = diffad_numel(r->n->in[X]) / (N * C);
    const double  count = (double)(N * HW);
    for (int64_t c = 0; c < C; c++) {
        double mean = 0, m2 = 0;
        for (int64_t n = 0; n < N; n++)
            for (int64_t k = (n * C + c) * HW; k < (n * C + c + 1) * HW; k++)
                mean += r->in[X][k] / count;
        for (int64_t n = 0; n < N; n++)
            for (int64_t k = (n * C + c) * HW; k < (n * C + c + 1) * HW; k++)
                m2 += (r->in[X][k] - mean) * (r->in[X][k] - mean);
        r->out[1][c] = mean;
        r->out[2][c] = 1.0 / sqrt(m2 / count + a->eps);
        if (r->n->op->writes) {
            r->in[MEAN][c] += a->momentum * (mean - r->in[MEAN][c]);
            r->in[VAR][c] += a->momentum * (m2 / fmax(count - 1, 1) - r->in[VAR][c]);
        }
        apply_ref(r, c, mean, r->out[2][c]);
    }
}

static void given_ref(const diffad_ref *r)
{
    for (int64_t c = 0; c < diffad_side(r->n->in[X], 1); c++)
        apply_ref(r, c, r->in[MEAN][c], 1.0 / sqrt(r->in[VAR][c] + ((const diffad_norm_attr *)r->n->attr)->eps));
}

static void train_bwd_ref(const diffad_ref *r) { diffad_norm_ref_grad(r, NORM_BATCH); }
static void given_bwd_ref(const diffad_ref *r) { diffad_norm_ref_grad(r, NORM_GIVEN); }

static void grad(diffad_graph *g, const diffad_node *n, const diffad_op *op, diffad_val mean, diffad_val second,
                 diffad_val dy, diffad_val *dx)
{
    const diffad_val in[] = { n->x[X], n->x[W], n->x[BIAS], mean, second, dy };
    dx[X]    = diffad_apply(g, op, n->attr, 6, in);
    dx[W]    = diffad_out(dx[X], 1);
    dx[BIAS] = diffad_out(dx[X], 2);
}

static void train_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    grad(g, n, &diffad_op_batch_norm_train_grad, n->y[1], n->y[2], dy[0], dx);
}

static void given_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    grad(g, n, &diffad_op_batch_norm_grad, n->x[MEAN], n->x[VAR], dy[0], dx);
}

#define WAYS(array, function) \
    static const diffad_way array[] = { { .name = "chunks", .layout = DIFFAD_LAYOUT_ANY, .emit = function, \
                                          .is_portable = true } }
WAYS(train_ways, train_emit);
WAYS(again_ways, again_emit);
WAYS(given_ways, given_emit);
WAYS(train_bwd_ways, train_bwd_emit);
WAYS(given_bwd_ways, given_bwd_emit);

static const diffad_norm_attr plain = { .eps = 1e-5, .momentum = 0.1 };
static const diffad_norm_attr relu = { .eps = 1e-5, .momentum = 0.1, .act = DIFFAD_ACT_RELU };

#define PER_CHANNEL(c) { 1, { (c) } }, { 1, { (c) } }
#define FORWARD(n, c, h, w) \
    .in = { { 4, { n, c, h, w } }, PER_CHANNEL(c), PER_CHANNEL(c) }, .range = { [VAR] = { 0.5, 1.5 } }
static const diffad_op_case fwd_cases[] = {
    { .name = "one", FORWARD(1, 1, 1, 1), .attr = &plain },
    { .name = "one_value_per_channel", FORWARD(1, 19, 1, 1), .attr = &plain },
    { .name = "odd", FORWARD(3, 21, 5, 7), .attr = &relu },
    { .name = "several_chunks", FORWARD(2, 5, 40, 70), .attr = &plain },
    { .name = "far_from_zero", .in = { { 4, { 2, 5, 40, 70 } }, PER_CHANNEL(5), PER_CHANNEL(5) }, .attr = &plain,
      .range = { [X] = { 100, 101 }, [MEAN] = { 100, 101 }, [VAR] = { 0.5, 1.5 } } },
    { .name = "segmenter", FORWARD(2, 64, 64, 64), .attr = &relu, .bench = true },
};

#define BACKWARD(n, c, h, w)                                                                                                \
    .in = { { 4, { n, c, h, w } }, PER_CHANNEL(c), PER_CHANNEL(c), { 4, { n, c, h, w } } },                                 \
    .range = { [MEAN] = { -0.5, 0.5 }, [VAR] = { 0.5, 1.5 } }
static const diffad_op_case bwd_cases[] = {
    { .name = "one", BACKWARD(1, 1, 1, 1), .attr = &plain },
    { .name = "odd", BACKWARD(3, 21, 5, 7), .attr = &relu },
    { .name = "several_chunks", BACKWARD(2, 5, 40, 70), .attr = &plain },
    { .name = "segmenter", BACKWARD(2, 64, 64, 64), .attr = &relu, .bench = true },
};

#define AGAIN(n, c, h, w) .in = { { 4, { n, c, h, w } }, PER_CHANNEL(c) }
static const diffad_op_case again_cases[] = {
    { .name = "one", AGAIN(1, 1, 1, 1), .attr = &plain },
    { .name = "odd", AGAIN(3, 21, 5, 7), .attr = &relu },
    { .name = "several_chunks", AGAIN(2, 5, 40, 70), .attr = &plain },
    { .name = "segmenter", AGAIN(2, 64, 64, 64), .attr = &relu, .bench = true },
};

const diffad_op diffad_op_batch_norm_again = {
    .name = "batch_norm_again", .n_in = 3, .n_out = 3, .attr_size = sizeof(diffad_norm_attr), .tol = 2e-6,
    .maps_in = 1, .maps_out = 1, .saved_out = 6, .inplace = 1, .infer = fwd_infer, DIFFAD_WAYS(again_ways),
    .no_grad = "only gradients use it", .cost = train_cost, .ref = train_ref, DIFFAD_CASES(again_cases),
};
const diffad_op diffad_op_batch_norm_train = {
    .name = "batch_norm_train", .n_in = 5, .n_out = 3, .attr_size = sizeof(diffad_norm_attr), .tol = 2e-6,
    .maps_in = 1, .maps_out = 1, .saved_out = 6, .constant_in = 1 << MEAN | 1 << VAR, .writes = 1 << MEAN | 1 << VAR,
    .again = &diffad_op_batch_norm_again, .inplace = 1, .infer = fwd_infer, DIFFAD_WAYS(train_ways), .grad = train_grad, .cost = train_cost, .ref = train_ref,
    DIFFAD_CASES(fwd_cases),
};
const diffad_op diffad_op_batch_norm_train_grad = {
    .name = "batch_norm_train_grad", .n_in = 6, .n_out = 3, .attr_size = sizeof(diffad_norm_attr), .tol = 2e-6,
    .maps_in = 1 | 1 << 5, .maps_out = 1, .inplace = 1 | 1 << 5, .infer = diffad_norm_infer_grad,
    DIFFAD_WAYS(train_bwd_ways), .no_grad = "second derivatives are not needed", .cost = bwd_cost, .ref = train_bwd_ref,
    DIFFAD_CASES(bwd_cases),
};
const diffad_op diffad_op_batch_norm = {
    .name = "batch_norm", .n_in = 5, .n_out = 1, .attr_size = sizeof(diffad_norm_attr), .tol = 2e-6,
    .maps_in = 1, .maps_out = 1, .constant_in = 1 << MEAN | 1 << VAR, .inplace = 1, .infer = fwd_infer,
    DIFFAD_WAYS(given_ways), .grad = given_grad, .cost = given_cost, .ref = given_ref, DIFFAD_CASES(fwd_cases),
};
const diffad_op diffad_op_batch_norm_grad = {
    .name = "batch_norm_grad", .n_in = 6, .n_out = 3, .attr_size = sizeof(diffad_norm_attr), .tol = 2e-6,
    .maps_in = 1 | 1 << 5, .maps_out = 1, .inplace = 1 | 1 << 5, .infer = diffad_norm_infer_grad,
    DIFFAD_WAYS(given_bwd_ways), .no_grad = "second derivatives are not needed", .cost = bwd_cost, .ref = given_bwd_ref,
    DIFFAD_CASES(bwd_cases),
};

diffad_val diffad_batch_norm_train(diffad_graph *g, diffad_val x, diffad_val w, diffad_val b, diffad_val running_mean,
                                   diffad_val running_var, const diffad_norm_attr *attr)
{
    return diffad_apply(g, &diffad_op_batch_norm_train, attr, 5, (diffad_val[]){ x, w, b, running_mean, running_var });
}

diffad_val diffad_batch_norm(diffad_graph *g, diffad_val x, diffad_val w, diffad_val b, diffad_val running_mean,
                             diffad_val running_var, const diffad_norm_attr *attr)
{
    return diffad_apply(g, &diffad_op_batch_norm, attr, 5, (diffad_val[]){ x, w, b, running_mean, running_var });
}
