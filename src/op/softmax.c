/* softmax.c: over one axis; its gradient from the result. Kernels: cl/softmax.cl. */
#include "op/ops.h"

#include <math.h>

typedef struct softmax_attr { int axis; } softmax_attr;      /* 0 .. rank-1 */

typedef struct axes { int64_t outer, length, inner; } axes;

static axes axes_of(const diffad_node *n)
{
    const diffad_shape *s = &n->in[0]->shape;
    const int           axis = ((const softmax_attr *)n->attr)->axis;
    axes                a = { 1, s->side[axis], 1 };
    for (int i = 0; i < s->rank; i++)
        *(i < axis ? &a.outer : &a.inner) *= i == axis ? 1 : s->side[i];
    return a;
}

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    const int axis = ((const softmax_attr *)n->attr)->axis;
    if (axis < 0 || axis >= n->in[0]->shape.rank)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: axis %d of a tensor of rank %d", n->op->name, axis, n->in[0]->shape.rank);
    return diffad_infer_equal_shapes(n, out);
}

static diffad_status emit_kernel(diffad_emit *e, const diffad_node *n, const char *rows, const char *columns)
{
    const axes    a = axes_of(n);
    const bool    is_cpu = e->caps->local_mem_is_cheap;
    const int64_t vec = a.inner == 1 && !is_cpu ? 1 : diffad_vector_width(e->caps, a.inner == 1 ? a.length : a.inner);
    const int64_t group = a.inner == 1 && is_cpu ? 1 : DIFFAD_GROUP;
    diffad_launch l = diffad_launch_make("softmax", a.inner == 1 ? rows : columns, a.outer * group, group);
    diffad_launch_def(&l, "VEC", vec);
    if (a.inner == 1)
        diffad_launch_local(&l, group * 4);
    else
        diffad_launch_items(&l, a.inner / vec, a.outer, 1);
    for (int i = 0; i < n->n_in; i++)
        diffad_emit_in(&l, e, i);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, a.inner > 1 ? a.length : a.length / vec);
    if (a.inner > 1)
        diffad_launch_int(&l, a.inner / vec);
    return diffad_emit_launch(e, &l);
}

static diffad_status fwd_emit(diffad_emit *e, const diffad_node *n)
{
    return emit_kernel(e, n, "rows_fwd", "columns_fwd");
}

static diffad_status bwd_emit(diffad_emit *e, const diffad_node *n)
{
    return emit_kernel(e, n, "rows_bwd", "columns_bwd");
}

static diffad_cost   fwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 5); }
static diffad_cost   bwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 4); }

static void fwd_ref(const diffad_ref *r)
{
    const axes a = axes_of(r->n);
    for (int64_t o = 0; o < a.outer * a.inner; o++) {
        const int64_t at = o / a.inner * a.length * a.inner + o % a.inner;
        double        top = -INFINITY, sum = 0;
        for (int64_t i = 0; i < a.length; i++)
            top = fmax(top, r->in[0][at + i * a.inner]);
        for (int64_t i = 0; i < a.length; i++)
            sum += r->out[0][at + i * a.inner] = exp(r->in[0][at + i * a.inner] - top);
        for (int64_t i = 0; i < a.length; i++)
            r->out[0][at + i * a.inner] /= sum;
    }
}

static void bwd_ref(const diffad_ref *r)
{
    const axes a = axes_of(r->n);
    for (int64_t o = 0; o < a.outer * a.inner; o++) {
        const int64_t at = o / a.inner * a.length * a.inner + o % a.inner;
        double        sum = 0;
        for (int64_t i = 0; i < a.length; i++)
            sum += r->in[0][at + i * a.inner] * r->in[1][at + i * a.inner];
        for (int64_t i = 0; i < a.length; i++)
            r->out[0][at + i * a.inner] = r->in[0][at + i * a.inner] * (r->in[1][at + i * a.inner] - sum);
    }
}

static void fwd_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_apply(g, &diffad_op_softmax_grad, n->attr, 2, (diffad_val[]){ n->y[0], dy[0] });
}

static const diffad_way fwd_ways[] = { { .name = "plain", .emit = fwd_emit, .is_portable = true } };
static const diffad_way bwd_ways[] = { { .name = "plain", .emit = bwd_emit, .is_portable = true } };

static const softmax_attr first = { 0 }, second = { 1 }, third = { 2 };
static const diffad_op_case fwd_cases[] = {
    { .name = "one", .in = { { 1, { 1 } } }, .attr = &first },
    { .name = "odd", .in = { { 3, { 4, 9, 65 } } }, .attr = &third },
    { .name = "odd_channels", .in = { { 4, { 2, 3, 5, 7 } } }, .attr = &second },
    { .name = "channels_by_four", .in = { { 4, { 2, 2, 6, 6 } } }, .attr = &second },
    { .name = "first_axis", .in = { { 2, { 5, 32 } } }, .attr = &first },
    { .name = "far", .in = { { 2, { 3, 100 } } }, .range = { { -1000, 1000 } }, .attr = &second },
    { .name = "logits", .in = { { 4, { 2, 2, 256, 256 } } }, .attr = &second, .bench = true },
};
static const diffad_op_case bwd_cases[] = {
    { .name = "one", .in = { { 1, { 1 } }, { 1, { 1 } } }, .attr = &first },
    { .name = "odd", .in = { { 3, { 4, 9, 65 } }, { 3, { 4, 9, 65 } } }, .range = { { 0, 0.03 } }, .attr = &third },
    { .name = "odd_channels", .in = { { 4, { 2, 3, 5, 7 } }, { 4, { 2, 3, 5, 7 } } }, .attr = &second },
    { .name = "first_axis", .in = { { 2, { 5, 32 } }, { 2, { 5, 32 } } }, .attr = &first },
    { .name = "logits", .in = { { 4, { 2, 2, 256, 256 } }, { 4, { 2, 2, 256, 256 } } }, .attr = &second, .bench = true },
};

const diffad_op diffad_op_softmax = {
    .name = "softmax", .n_in = 1, .n_out = 1, .attr_size = sizeof(softmax_attr), .tol = 1e-6,
    .maps_in = 1, .maps_out = 1, .inplace = 1,
    .infer = infer, DIFFAD_WAYS(fwd_ways), .grad = fwd_grad, .cost = fwd_cost, .ref = fwd_ref, DIFFAD_CASES(fwd_cases),
};
const diffad_op diffad_op_softmax_grad = {
    .name = "softmax_grad", .n_in = 2, .n_out = 1, .attr_size = sizeof(softmax_attr), .tol = 1e-6,
    .maps_in = 3, .maps_out = 1, .inplace = 3,
    .infer = infer, DIFFAD_WAYS(bwd_ways), .no_grad = "second derivatives are not needed", .cost = bwd_cost,
    .ref = bwd_ref, DIFFAD_CASES(bwd_cases),
};

diffad_val diffad_softmax(diffad_graph *g, diffad_val x, int axis)
{
    const int rank = diffad_val_shape(g, x)->rank;
    return diffad_apply(g, &diffad_op_softmax, &(softmax_attr){ axis < 0 ? axis + rank : axis }, 1, &x);
}
