/* channels.c: concat, slice and the gradient of slice, along axis 1, rank 2..4. Kernels: cl/channels.cl.
 *
 * All three move channels from .. from+count-1 of one value to channels to .. of another. In the blocked layout that is
 * a copy of whole blocks when `from` and `to` begin a block, else every vector is put together from two. */
#include "op/ops.h"

#include <string.h>

typedef struct slice_attr { int64_t from, count; } slice_attr;
typedef struct slice_grad_attr { int64_t from, channels; } slice_grad_attr;      /* channels of dx */

typedef struct move {
    int     in;                      /* source: input */
    int64_t from, to, count;
    int64_t first, last;             /* channels of the output that are written: zero outside of to .. to+count-1 ... */
    bool    keeps;                   /* ... or as they are, before `to` */
} move;

static int64_t pixels(const diffad_value *x) { return diffad_numel(x) / (diffad_side(x, 0) * diffad_side(x, 1)); }

static diffad_status need_rank(const diffad_node *n)
{
    char text[64];
    DIFFAD_TRY(diffad_need_f32(n));
    if (n->in[0]->shape.rank < 2 || n->in[0]->shape.rank > 4)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: x is %s, rank 2..4 is needed", n->op->name,
                    diffad_shape_text(&n->in[0]->shape, text, sizeof text));
    return DIFFAD_OK;
}

/* ---- moving ---- */

static diffad_status emit_copy(diffad_emit *e, const diffad_node *n, const move *m)
{
    const diffad_value *x = n->in[m->in], *y = n->out[0];
    const int64_t batch = diffad_side(y, 0), hw = pixels(y), block = e->out[0].block;
    const int64_t vec = block > 1 ? block : diffad_vector_width(e->caps, hw);
    const int64_t row = block > 1 ? hw : hw / vec;                       /* vectors of one channel (block) */
    const int64_t x_count = diffad_ceil_div(m->count, block) * row;      /* vectors read of a sample */
    const int64_t y_count = (diffad_ceil_div(m->last, block) - m->first / block) * row;
    const int64_t tail = m->count % block;
    diffad_launch l = diffad_launch_make("channels", "copy_channels", 1, DIFFAD_GROUP);
    diffad_launch_items(&l, y_count, batch, 1);
    diffad_launch_def(&l, "VEC", vec);
    diffad_launch_mem(&l, e->in[m->in].mem, e->in[m->in].offset + m->from / block * row * vec, DIFFAD_READ);
    diffad_launch_mem(&l, e->out[0].mem, e->out[0].offset + m->first / block * row * vec, DIFFAD_READ_WRITE);
    diffad_launch_count(&l, diffad_layout_count(x, (int)block) / batch);
    diffad_launch_count(&l, diffad_layout_count(y, (int)block) / batch);
    diffad_launch_int(&l, y_count);
    diffad_launch_int(&l, (m->to - m->first) / block * row);
    diffad_launch_int(&l, x_count);
    diffad_launch_int(&l, tail);
    diffad_launch_int(&l, tail ? x_count - row : x_count);
    return diffad_emit_launch(e, &l);
}

static diffad_status emit_shift(diffad_emit *e, const diffad_node *n, const move *m)
{
    const diffad_value *x = n->in[m->in], *y = n->out[0];
    const int64_t hw = pixels(y), block = e->out[0].block, first = m->first / block;
    diffad_launch l = diffad_launch_make("channels", "shift_channels", 1, DIFFAD_GROUP);
    diffad_launch_items(&l, hw, diffad_ceil_div(m->last, block) - first, diffad_side(y, 0));
    diffad_launch_def(&l, "VEC", block);
    diffad_launch_def(&l, "SHIFT", 1);
    diffad_emit_in(&l, e, m->in);
    diffad_emit_out_updated(&l, e, 0);
    diffad_launch_int(&l, diffad_ceil_div(diffad_side(x, 1), block));
    diffad_launch_int(&l, diffad_ceil_div(diffad_side(y, 1), block));
    diffad_launch_int(&l, hw);
    diffad_launch_int(&l, first);
    diffad_launch_int(&l, m->from);
    diffad_launch_int(&l, m->to);
    diffad_launch_int(&l, m->count);
    diffad_launch_int(&l, m->keeps);
    return diffad_emit_launch(e, &l);
}

static diffad_status emit_move(diffad_emit *e, const diffad_node *n, const move *m)
{
    const int64_t block = e->out[0].block;
    return m->from % block || m->to % block ? emit_shift(e, n, m) : emit_copy(e, n, m);
}

static diffad_cost cost(const diffad_node *n)
{
    return (diffad_cost){ 0, 4 * ((double)diffad_numel(n->out[0]) + (double)diffad_numel(n->in[0])) };
}

/* ---- concat ---- */

static diffad_status concat_infer(const diffad_node *n, diffad_infer_out *out)
{
    char a[64], b[64];
    DIFFAD_TRY(need_rank(n));
    diffad_shape sum = n->in[0]->shape;
    for (int i = 1; i < n->n_in; i++) {
        if (!n->in[i])
            continue;
        diffad_shape like = n->in[i]->shape;
        if (like.rank > 1)
            like.side[1] = n->in[0]->shape.side[1];
        if (!diffad_shape_equal(&like, &n->in[0]->shape))
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "concat: input %d is %s, input 0 is %s: all sides but 1 must agree", i,
                        diffad_shape_text(&n->in[i]->shape, b, sizeof b),
                        diffad_shape_text(&n->in[0]->shape, a, sizeof a));
        if (!diffad_add_i64(sum.side[1], n->in[i]->shape.side[1], &sum.side[1]))
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "concat: too many channels");
    }
    out[0] = (diffad_infer_out){ DIFFAD_F32, sum };
    return DIFFAD_OK;
}

/* In the order of the inputs: one that begins within a block keeps that block's lanes before it. */
static diffad_status concat_emit(diffad_emit *e, const diffad_node *n)
{
    int64_t to = 0;
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i])
            continue;
        const int64_t c = diffad_side(n->in[i], 1);
        DIFFAD_TRY(emit_move(e, n, &(move){ .in = i, .from = 0, .to = to, .count = c, .first = to, .last = to + c,
                                            .keeps = true }));
        to += c;
    }
    return DIFFAD_OK;
}

static void concat_ref(const diffad_ref *r)
{
    const diffad_value *y = r->n->out[0];
    const int64_t hw = pixels(y), channels = diffad_side(y, 1);
    int64_t       to = 0;
    for (int i = 0; i < r->n->n_in; i++) {
        if (!r->n->in[i])
            continue;
        const int64_t c = diffad_side(r->n->in[i], 1);
        for (int64_t s = 0; s < diffad_side(y, 0); s++)
            memcpy(r->out[0] + (s * channels + to) * hw, r->in[i] + s * c * hw, (size_t)(c * hw) * sizeof(double));
        to += c;
    }
}

static void concat_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    int64_t from = 0;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]) {
            dx[i] = diffad_slice(g, dy[0], from, diffad_side(n->in[i], 1));
            from += diffad_side(n->in[i], 1);
        }
}

static diffad_cost concat_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 0); }

/* ---- slice ---- */

static diffad_status slice_infer(const diffad_node *n, diffad_infer_out *out)
{
    const slice_attr *a = n->attr;
    DIFFAD_TRY(need_rank(n));
    const int64_t c = diffad_side(n->in[0], 1);
    if (a->from < 0 || a->count < 1 || a->from > c || a->count > c - a->from)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "slice: %lld channels from %lld, x has %lld", (long long)a->count,
                    (long long)a->from, (long long)c);
    out[0] = (diffad_infer_out){ DIFFAD_F32, n->in[0]->shape };
    out[0].shape.side[1] = a->count;
    return DIFFAD_OK;
}

static diffad_status slice_emit(diffad_emit *e, const diffad_node *n)
{
    const slice_attr *a = n->attr;
    return emit_move(e, n, &(move){ .in = 0, .from = a->from, .to = 0, .count = a->count, .first = 0,
                                    .last = a->count });
}

static void slice_ref(const diffad_ref *r)
{
    const slice_attr *a = r->n->attr;
    const int64_t hw = pixels(r->n->out[0]), c = diffad_side(r->n->in[0], 1);
    for (int64_t s = 0; s < diffad_side(r->n->out[0], 0); s++)
        memcpy(r->out[0] + s * a->count * hw, r->in[0] + (s * c + a->from) * hw,
               (size_t)(a->count * hw) * sizeof(double));
}

static void slice_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    const slice_attr *a = n->attr;
    dx[0] = diffad_apply(g, &diffad_op_slice_grad, &(slice_grad_attr){ a->from, diffad_side(n->in[0], 1) }, 1, dy);
}

/* ---- slice_grad: dy at its place among zeros ---- */

static diffad_status slice_grad_infer(const diffad_node *n, diffad_infer_out *out)
{
    const slice_grad_attr *a = n->attr;
    DIFFAD_TRY(need_rank(n));
    const int64_t c = diffad_side(n->in[0], 1);
    if (a->from < 0 || a->channels < c || a->from > a->channels - c)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "slice_grad: %lld channels from %lld do not fit into %lld", (long long)c,
                    (long long)a->from, (long long)a->channels);
    out[0] = (diffad_infer_out){ DIFFAD_F32, n->in[0]->shape };
    out[0].shape.side[1] = a->channels;
    return DIFFAD_OK;
}

static diffad_status slice_grad_emit(diffad_emit *e, const diffad_node *n)
{
    const slice_grad_attr *a = n->attr;
    return emit_move(e, n, &(move){ .in = 0, .from = 0, .to = a->from, .count = diffad_side(n->in[0], 1), .first = 0,
                                    .last = a->channels });
}

static void slice_grad_ref(const diffad_ref *r)
{
    const slice_grad_attr *a = r->n->attr;
    const int64_t hw = pixels(r->n->out[0]), c = diffad_side(r->n->in[0], 1);
    memset(r->out[0], 0, (size_t)diffad_numel(r->n->out[0]) * sizeof(double));
    for (int64_t s = 0; s < diffad_side(r->n->out[0], 0); s++)
        memcpy(r->out[0] + (s * a->channels + a->from) * hw, r->in[0] + s * c * hw, (size_t)(c * hw) * sizeof(double));
}

/* ---- descriptors ---- */

static const diffad_way concat_ways[]     = { { .name = "moves", .layout = DIFFAD_LAYOUT_ANY, .emit = concat_emit,
                                                .is_portable = true } };
static const diffad_way slice_ways[]      = { { .name = "move", .layout = DIFFAD_LAYOUT_ANY, .emit = slice_emit,
                                                .is_portable = true } };
static const diffad_way slice_grad_ways[] = { { .name = "move", .layout = DIFFAD_LAYOUT_ANY, .emit = slice_grad_emit,
                                                .is_portable = true } };

#define MAP(n, c, h, w) { 4, { n, c, h, w } }
static const diffad_op_case concat_cases[] = {
    { .name = "one", .in = { { 2, { 1, 1 } } }, .n_in = 1 },
    { .name = "odd", .in = { MAP(2, 3, 5, 7), MAP(2, 18, 5, 7), MAP(2, 19, 5, 7) }, .n_in = 3 },
    { .name = "odd_last", .in = { MAP(2, 16, 3, 3), MAP(2, 5, 3, 3) }, .n_in = 2 },
    { .name = "odd_then_aligned", .in = { MAP(1, 5, 3, 3), MAP(1, 27, 3, 3), MAP(1, 16, 3, 3) }, .n_in = 3 },
    { .name = "eight", .in = { MAP(1, 3, 2, 2), MAP(1, 1, 2, 2), MAP(1, 2, 2, 2), MAP(1, 16, 2, 2), MAP(1, 4, 2, 2),
                               MAP(1, 1, 2, 2), MAP(1, 9, 2, 2), MAP(1, 3, 2, 2) }, .n_in = 8 },
    { .name = "rows", .in = { { 2, { 3, 4 } }, { 2, { 3, 2 } } }, .n_in = 2 },
    { .name = "tokens", .in = { { 3, { 2, 4, 16 } }, { 3, { 2, 1, 16 } } }, .n_in = 2 },
    { .name = "unet", .in = { MAP(2, 256, 32, 32), MAP(2, 128, 32, 32) }, .n_in = 2, .bench = true },
};

static const slice_attr      first = { 0, 1 }, middle = { 5, 14 }, block = { 16, 16 }, cut = { 16, 3 };
static const slice_attr      row = { 1, 2 }, half = { 128, 128 };
static const diffad_op_case slice_cases[] = {
    { .name = "one", .in = { { 2, { 1, 1 } } }, .attr = &first },
    { .name = "odd", .in = { MAP(2, 19, 5, 7) }, .attr = &middle },
    { .name = "odd_across", .in = { MAP(2, 35, 5, 7) }, .attr = &middle },
    { .name = "block", .in = { MAP(2, 48, 4, 4) }, .attr = &block },
    { .name = "cut", .in = { MAP(2, 48, 3, 3) }, .attr = &cut },      /* lanes behind it are not zero in x */
    { .name = "rows", .in = { { 2, { 3, 4 } } }, .attr = &row },
    { .name = "unet", .in = { MAP(2, 384, 32, 32) }, .attr = &half, .bench = true },
};

static const slice_grad_attr only = { 0, 1 }, amid = { 5, 35 }, aligned = { 16, 48 }, last = { 32, 37 };
static const slice_grad_attr of_row = { 1, 4 }, real = { 128, 384 };
static const diffad_op_case slice_grad_cases[] = {
    { .name = "one", .in = { { 2, { 1, 1 } } }, .attr = &only },
    { .name = "odd", .in = { MAP(2, 14, 5, 7) }, .attr = &amid },
    { .name = "aligned", .in = { MAP(2, 16, 4, 4) }, .attr = &aligned },
    { .name = "aligned_cut", .in = { MAP(2, 3, 3, 3) }, .attr = &aligned },
    { .name = "last", .in = { MAP(2, 5, 3, 3) }, .attr = &last },
    { .name = "rows", .in = { { 2, { 3, 2 } } }, .attr = &of_row },
    { .name = "unet", .in = { MAP(2, 128, 32, 32) }, .attr = &real, .bench = true },
};

const diffad_op diffad_op_concat = {
    .name = "concat", .n_in = 8, .n_out = 1, .n_required = 1, .tol = 0, .maps_in = 255, .maps_out = 1,
    .infer = concat_infer, DIFFAD_WAYS(concat_ways), .grad = concat_grad, .cost = concat_cost, .ref = concat_ref,
    DIFFAD_CASES(concat_cases),
};
const diffad_op diffad_op_slice = {
    .name = "slice", .n_in = 1, .n_out = 1, .attr_size = sizeof(slice_attr), .tol = 0, .maps_in = 1, .maps_out = 1,
    .infer = slice_infer, DIFFAD_WAYS(slice_ways), .grad = slice_grad, .cost = cost, .ref = slice_ref,
    DIFFAD_CASES(slice_cases),
};
const diffad_op diffad_op_slice_grad = {
    .name = "slice_grad", .n_in = 1, .n_out = 1, .attr_size = sizeof(slice_grad_attr), .tol = 0, .maps_in = 1,
    .maps_out = 1, .infer = slice_grad_infer, DIFFAD_WAYS(slice_grad_ways),
    .no_grad = "second derivatives are not needed", .cost = cost, .ref = slice_grad_ref, DIFFAD_CASES(slice_grad_cases),
};

diffad_val diffad_concat(diffad_graph *g, int n, const diffad_val *x)
{
    for (int i = 0; i < n; i++)
        if (!diffad_is_valid(x[i]))
            return diffad_graph_fail(g, DIFFAD_ERR_USAGE, "concat: value %d of %d is missing", i, n);
    return diffad_apply(g, &diffad_op_concat, NULL, n, x);
}

diffad_val diffad_slice(diffad_graph *g, diffad_val x, int64_t from, int64_t count)
{
    return diffad_apply(g, &diffad_op_slice, &(slice_attr){ from, count }, 1, &x);
}
