/* bias.c: y = x + b, x [N,C,...], b [C] or [N,C], and its gradient for b. Kernels: cl/bias.cl,
 * cl/bias_grad.cl, cl/bias_total.cl. */
#include "op/ops.h"

typedef struct bias_grad_attr { int32_t per_sample; } bias_grad_attr;      /* 1: [N,C], 0: [C] */

static int64_t pixels(const diffad_value *x) { return diffad_numel(x) / (diffad_side(x, 0) * diffad_side(x, 1)); }

/* ---- forward ---- */

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    const diffad_shape *x = &n->in[0]->shape, *b = &n->in[1]->shape;
    char have[64], want[64];
    DIFFAD_TRY(diffad_need_f32(n));
    const bool fits = x->rank >= 2 && ((b->rank == 1 && b->side[0] == x->side[1]) ||
                                       (b->rank == 2 && b->side[0] == x->side[0] && b->side[1] == x->side[1]));
    if (!fits)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "bias: b is %s for x %s, [C] or [N,C] is needed",
                    diffad_shape_text(b, have, sizeof have),
                    diffad_shape_text(x, want, sizeof want));
    return diffad_infer_same(n, out);
}

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    const diffad_value *x = n->in[0];
    const int64_t batch = diffad_side(x, 0), c = diffad_side(x, 1), hw = pixels(x), block = e->out[0].block;
    const int64_t vec   = block > 1 ? block : diffad_vector_width(e->caps, hw);
    /* a work-group is one work-item with many pixels */
    const bool    loops = block > 1 && e->caps->local_mem_is_cheap;
    const int64_t run   = loops ? 64 : 1, group = loops ? 1 : DIFFAD_GROUP;
    diffad_launch l = diffad_launch_make("bias", "bias", 1, group);
    if (block > 1)
        diffad_launch_items(&l, diffad_ceil_div(hw, run), diffad_ceil_div(c, block), batch);
    else
        diffad_launch_items(&l, c * (hw / vec), batch, 1);
    diffad_launch_def(&l, "VEC", vec);
    diffad_launch_def(&l, "BLOCKED", block > 1);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, c);
    diffad_launch_int(&l, block > 1 ? hw : hw / vec);
    diffad_launch_int(&l, n->in[1]->shape.rank == 2 ? c : 0);
    diffad_launch_int(&l, run);
    return diffad_emit_launch(e, &l);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 1); }

static void ref(const diffad_ref *r)
{
    const diffad_value *x = r->n->in[0];
    const int64_t c = diffad_side(x, 1), hw = pixels(x);
    for (int64_t i = 0; i < diffad_numel(x); i++)
        r->out[0][i] = r->in[0][i] + r->in[1][r->n->in[1]->shape.rank == 2 ? i / hw : i / hw % c];
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = dy[0];
    dx[1] = diffad_apply(g, &diffad_op_bias_grad, &(bias_grad_attr){ n->in[1]->shape.rank == 2 }, 1, dy);
}

/* ---- gradient for b: sums over H, W and, for b [C], over N ---- */

static bool per_sample(const diffad_node *n) { return ((const bias_grad_attr *)n->attr)->per_sample != 0; }

static diffad_status bias_grad_infer(const diffad_node *n, diffad_infer_out *out)
{
    const diffad_value *dy = n->in[0];
    DIFFAD_TRY(diffad_need_f32(n));
    if (dy->shape.rank < 2)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "bias_grad: dy has rank %d, [N,C,...] is needed", dy->shape.rank);
    out[0] = (diffad_infer_out){ DIFFAD_F32, per_sample(n) ? diffad_shape2(diffad_side(dy, 0), diffad_side(dy, 1))
                                                           : diffad_shape1(diffad_side(dy, 1)) };
    return DIFFAD_OK;
}

/* First sums of `segments` parts of each channel's pixels, then their sum: partial [N, segments, channels]. */
static diffad_status bias_grad_emit(diffad_emit *e, const diffad_node *n)
{
    const diffad_value *dy = n->in[0];
    const int64_t batch = diffad_side(dy, 0), c = diffad_side(dy, 1), hw = pixels(dy), block = e->in[0].block;
    const int64_t vec  = block > 1 ? block : diffad_vector_width(e->caps, hw), vectors = block > 1 ? hw : hw / vec;
    const int64_t rows = diffad_ceil_div(c, block), lanes = rows * block;
    const bool    is_cpu   = e->caps->local_mem_is_cheap;
    const int64_t segments = is_cpu ? diffad_ceil_div(vectors, 4096) : vectors < DIFFAD_GROUP ? vectors : DIFFAD_GROUP;
    const int64_t length   = diffad_ceil_div(vectors, segments);
    int32_t       partial;
    DIFFAD_TRY(diffad_emit_scratch(e, batch * segments * lanes, 4, &partial));

    diffad_launch l = diffad_launch_make("bias_grad", "segments", 1, is_cpu ? 1 : DIFFAD_GROUP);
    diffad_launch_items(&l, segments, rows, batch);
    diffad_launch_def(&l, "VEC", vec);
    diffad_launch_def(&l, "BLOCKED", block > 1);
    diffad_emit_in(&l, e, 0);
    diffad_launch_mem(&l, partial, 0, DIFFAD_WRITE);
    diffad_launch_int(&l, vectors);
    diffad_launch_int(&l, segments);
    diffad_launch_int(&l, length);
    diffad_launch_int(&l, is_cpu ? length : 1);        /* distance of two segments' beginnings: runs, or interleaved */
    diffad_launch_int(&l, is_cpu ? 1 : segments);      /* distance of two vectors of a segment */
    DIFFAD_TRY(diffad_emit_launch(e, &l));

    l = diffad_launch_make("bias_total", "total", c, DIFFAD_GROUP);
    diffad_launch_items(&l, c, per_sample(n) ? batch : 1, 1);
    diffad_launch_mem(&l, partial, 0, DIFFAD_READ);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, c);
    diffad_launch_int(&l, lanes);
    diffad_launch_int(&l, per_sample(n) ? segments : batch * segments);
    return diffad_emit_launch(e, &l);
}

static diffad_cost bias_grad_cost(const diffad_node *n)
{
    const double read = (double)diffad_numel(n->in[0]);
    return (diffad_cost){ read, 4 * (read + (double)diffad_numel(n->out[0])) };
}

static void bias_grad_ref(const diffad_ref *r)
{
    const diffad_value *dy = r->n->in[0];
    const int64_t c = diffad_side(dy, 1), hw = pixels(dy);
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = 0;
    for (int64_t i = 0; i < diffad_numel(dy); i++)
        r->out[0][per_sample(r->n) ? i / hw : i / hw % c] += r->in[0][i];
}

/* ---- descriptors ---- */

static const diffad_way ways[]           = { { .name = "plain", .layout = DIFFAD_LAYOUT_ANY, .emit = emit,
                                               .is_portable = true } };
static const diffad_way bias_grad_ways[] = { { .name = "two_sums", .layout = DIFFAD_LAYOUT_ANY,
                                               .emit = bias_grad_emit, .is_portable = true } };

static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 2, { 1, 1 } }, { 1, { 1 } } } },
    { .name = "odd", .in = { { 4, { 2, 19, 5, 7 } }, { 1, { 19 } } } },
    { .name = "odd_per_sample", .in = { { 4, { 2, 19, 5, 7 } }, { 2, { 2, 19 } } } },
    { .name = "even", .in = { { 4, { 3, 32, 4, 4 } }, { 2, { 3, 32 } } } },
    { .name = "runs", .in = { { 4, { 1, 16, 9, 15 } }, { 1, { 16 } } } },      /* more pixels than one work-item's */
    { .name = "rows", .in = { { 2, { 5, 12 } }, { 1, { 12 } } } },
    { .name = "volume", .in = { { 5, { 2, 3, 2, 3, 4 } }, { 1, { 3 } } } },
    { .name = "unet", .in = { { 4, { 2, 256, 32, 32 } }, { 2, { 2, 256 } } }, .bench = true },
};

static const bias_grad_attr whole = { 0 }, each = { 1 };
static const diffad_op_case bias_grad_cases[] = {
    { .name = "one", .in = { { 2, { 1, 1 } } }, .attr = &whole },
    { .name = "odd", .in = { { 4, { 2, 19, 5, 7 } } }, .attr = &whole },
    { .name = "odd_per_sample", .in = { { 4, { 2, 19, 5, 7 } } }, .attr = &each },
    { .name = "even", .in = { { 4, { 3, 32, 4, 4 } } }, .attr = &each },
    { .name = "rows", .in = { { 2, { 5, 12 } } }, .attr = &whole },
    { .name = "long", .in = { { 4, { 1, 3, 128, 131 } } }, .attr = &whole },
    { .name = "unet", .in = { { 4, { 2, 256, 32, 32 } } }, .attr = &whole, .bench = true },
};

const diffad_op diffad_op_bias = {
    .name = "bias", .tail = DIFFAD_TAIL_BIAS, .n_in = 2, .n_out = 1, .tol = 1e-7, .maps_in = 1, .maps_out = 1, .inplace = 1,
    .infer = infer, DIFFAD_WAYS(ways), .grad = grad, .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};
const diffad_op diffad_op_bias_grad = {
    .name = "bias_grad", .n_in = 1, .n_out = 1, .attr_size = sizeof(bias_grad_attr), .tol = 1e-6, .maps_in = 1,
    .infer = bias_grad_infer, DIFFAD_WAYS(bias_grad_ways), .no_grad = "second derivatives are not needed",
    .cost = bias_grad_cost, .ref = bias_grad_ref, DIFFAD_CASES(bias_grad_cases),
};

diffad_val diffad_bias(diffad_graph *g, diffad_val x, diffad_val b)
{
    return diffad_apply(g, &diffad_op_bias, NULL, 2, (diffad_val[]){ x, b });
}
