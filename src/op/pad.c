/* pad.c: zeros around [N,C,H,W]; negative amounts cut away. Kernels: cl/pad.cl. */
#include "op/ops.h"

typedef struct pad_attr { int32_t left, right, top, bottom; } pad_attr;

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    const pad_attr     *a = n->attr;
    const diffad_shape *x = &n->in[0]->shape;
    char text[64];
    DIFFAD_TRY(diffad_need_f32(n));
    const int64_t h = diffad_side(n->in[0], 2) + a->top + a->bottom, w = diffad_side(n->in[0], 3) + a->left + a->right;
    if (x->rank != 4 || h < 1 || w < 1)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "pad: left %d right %d top %d bottom %d do not fit x %s, [N,C,H,W] is needed",
                    a->left, a->right, a->top, a->bottom, diffad_shape_text(x, text, sizeof text));
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape4(x->side[0], x->side[1], h, w) };
    return DIFFAD_OK;
}

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    const pad_attr     *a = n->attr;
    const diffad_value *x = n->in[0], *y = n->out[0];
    const int64_t block = e->out[0].block, planes = diffad_side(x, 0) * diffad_ceil_div(diffad_side(x, 1), block);
    const bool    loops = e->caps->local_mem_is_cheap;      /* a work-group is one work-item with a whole line */
    diffad_launch l = diffad_launch_make("pad", "pad", 1, loops ? 1 : DIFFAD_GROUP);
    diffad_launch_items(&l, loops ? 1 : diffad_side(y, 3), diffad_side(y, 2), planes);
    diffad_launch_def(&l, "VEC", block);
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, diffad_side(x, 2));
    diffad_launch_int(&l, diffad_side(x, 3));
    diffad_launch_int(&l, diffad_side(y, 3));
    diffad_launch_int(&l, a->left);
    diffad_launch_int(&l, a->top);
    diffad_launch_int(&l, loops ? diffad_side(y, 3) : 1);
    return diffad_emit_launch(e, &l);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 0); }

static void ref(const diffad_ref *r)
{
    const pad_attr *a = r->n->attr;
    const int64_t h = diffad_side(r->n->in[0], 2), w = diffad_side(r->n->in[0], 3);
    const int64_t hy = diffad_side(r->n->out[0], 2), wy = diffad_side(r->n->out[0], 3);
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++) {
        const int64_t col = i % wy - a->left, line = i / wy % hy - a->top, plane = i / (wy * hy);
        r->out[0][i] = col >= 0 && col < w && line >= 0 && line < h ? r->in[0][(plane * h + line) * w + col] : 0;
    }
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    const pad_attr *a = n->attr;
    dx[0] = diffad_pad(g, dy[0], -a->left, -a->right, -a->top, -a->bottom);
}

static const diffad_way ways[] = { { .name = "plain", .layout = DIFFAD_LAYOUT_ANY, .emit = emit,
                                     .is_portable = true } };
static const pad_attr around = { 1, 1, 1, 1 }, uneven = { 2, 0, 1, 3 }, cut = { -1, -2, 0, -1 };
static const pad_attr both = { -2, 3, 1, -4 }, down = { 0, 1, 0, 1 };
static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 1, 1 } } }, .attr = &around },
    { .name = "odd", .in = { { 4, { 2, 19, 5, 7 } } }, .attr = &uneven },
    { .name = "odd_cut", .in = { { 4, { 2, 19, 5, 7 } } }, .attr = &cut },
    { .name = "odd_both", .in = { { 4, { 2, 3, 5, 7 } } }, .attr = &both },
    { .name = "down", .in = { { 4, { 1, 128, 64, 64 } } }, .attr = &down, .bench = true },
};

const diffad_op diffad_op_pad = {
    .name = "pad", .n_in = 1, .n_out = 1, .attr_size = sizeof(pad_attr), .tol = 0, .maps_in = 1, .maps_out = 1,
    .infer = infer, DIFFAD_WAYS(ways), .grad = grad, .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_pad(diffad_graph *g, diffad_val x, int left, int right, int top, int bottom)
{
    return diffad_apply(g, &diffad_op_pad, &(pad_attr){ left, right, top, bottom }, 1, &x);
}
