/* linear.c: y = x w^T + b; x [M,K] w [N,K] b [N] or absent. Kernels: those of blas/gemm.h;
 * cl/linear.cl for the gradient of b. */
#include "op/gemm_way.h"
#include "op/ops.h"

/* ---- forward ---- */

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    const diffad_shape *x = &n->in[0]->shape, *w = &n->in[1]->shape;
    char                tx[64], tw[64];
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->type != DIFFAD_F32)
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "linear: operand %d is %s, it must be f32", i,
                        diffad_dtype_name(n->in[i]->type));
    if (x->rank != 2 || w->rank != 2 || x->side[1] != w->side[1])
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "linear: x %s and w %s: must be [M,K] and [N,K]",
                    diffad_shape_text(x, tx, sizeof tx), diffad_shape_text(w, tw, sizeof tw));
    if (n->n_in > 2 && n->in[2] && (n->in[2]->shape.rank != 1 || n->in[2]->shape.side[0] != w->side[0]))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "linear: b %s does not fit w %s: must be [%lld]",
                    diffad_shape_text(&n->in[2]->shape, tx, sizeof tx), diffad_shape_text(w, tw, sizeof tw),
                    (long long)w->side[0]);
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape2(x->side[0], w->side[0]) };
    return DIFFAD_OK;
}

static bool has_bias(const diffad_node *n) { return n->n_in > 2 && n->in[2]; }

static diffad_status emit(diffad_emit *e, const diffad_node *n, const char *way)
{
    const int64_t m = n->in[0]->shape.side[0], k = n->in[0]->shape.side[1], columns = n->in[1]->shape.side[0];
    diffad_gemm   g = diffad_gemm_make(m, columns, k);
    g.transpose_b = true;
    g.a   = (diffad_gemm_operand){ e->in[0].mem, e->in[0].offset, k, 0 };
    g.b   = (diffad_gemm_operand){ e->in[1].mem, e->in[1].offset, k, 0 };
    g.c   = (diffad_gemm_operand){ e->out[0].mem, e->out[0].offset, columns, 0 };
    g.way = way;
    if (has_bias(n)) {
        g.bias_kind   = DIFFAD_GEMM_BIAS_COLUMNS;
        g.bias_mem    = e->in[2].mem;
        g.bias_offset = e->in[2].offset;
    }
    return diffad_emit_gemm(e, n, &g, 0, 1);
}
DIFFAD_GEMM_WAYS(ways, emit)

static diffad_cost cost(const diffad_node *n)
{
    const double m = (double)n->in[0]->shape.side[0], k = (double)n->in[0]->shape.side[1];
    const double columns = (double)n->in[1]->shape.side[0];
    return (diffad_cost){ 2 * m * k * columns + (has_bias(n) ? m * columns : 0), diffad_cost_pointwise(n, 0).bytes };
}

static void ref(const diffad_ref *r)
{
    const int64_t m = r->n->in[0]->shape.side[0], k = r->n->in[0]->shape.side[1], columns = r->n->in[1]->shape.side[0];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < columns; j++) {
            double sum = r->in[2] ? r->in[2][j] : 0;
            for (int64_t c = 0; c < k; c++)
                sum += r->in[0][i * k + c] * r->in[1][j * k + c];
            r->out[0][i * columns + j] = sum;
        }
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_matmul(g, dy[0], n->x[1], &(diffad_matmul_attr){ 0, 0, 1 });
    dx[1] = diffad_matmul(g, dy[0], n->x[0], &(diffad_matmul_attr){ 1, 0, 1 });
    if (has_bias(n))
        dx[2] = diffad_apply(g, &diffad_op_linear_bias_grad, NULL, 1, dy);
}

static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 2, { 1, 1 } }, { 2, { 1, 1 } }, { 1, { 1 } } } },
    { .name = "odd", .in = { { 2, { 3, 37 } }, { 2, { 21, 37 } }, { 1, { 21 } } } },
    { .name = "odd_no_bias", .in = { { 2, { 5, 18 } }, { 2, { 67, 18 } } }, .n_in = 2 },
    { .name = "long", .in = { { 2, { 2, 2600 } }, { 2, { 5, 2600 } }, { 1, { 5 } } } },
    { .name = "time", .in = { { 2, { 8, 1024 } }, { 2, { 1024, 1024 } }, { 1, { 1024 } } }, .bench = true },
};

const diffad_op diffad_op_linear = {
    .name = "linear", .n_in = 3, .n_required = 2, .n_out = 1, .tol = 2e-6,
    .infer = infer, DIFFAD_WAYS(ways), .grad = grad, .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_linear(diffad_graph *g, diffad_val x, diffad_val w, diffad_val b)
{
    return diffad_apply(g, &diffad_op_linear, NULL, 3, (diffad_val[]){ x, w, b });
}

/* ---- gradient of the bias: dy [M,N] -> [N] ---- */

static diffad_status sums_infer(const diffad_node *n, diffad_infer_out *out)
{
    if (n->in[0]->shape.rank != 2)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "linear_bias_grad: rank %d, it must be 2", n->in[0]->shape.rank);
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape1(n->in[0]->shape.side[1]) };
    return DIFFAD_OK;
}

static diffad_status sums_emit(diffad_emit *e, const diffad_node *n)
{
    const int64_t m = n->in[0]->shape.side[0], columns = n->in[0]->shape.side[1];
    const bool    is_cpu = e->caps->local_mem_is_cheap;      /* few columns: few work-items, each with many bytes of a row */
    const int64_t vec = is_cpu ? diffad_vector_width(e->caps, columns) : 1;
    diffad_launch l = diffad_launch_make("linear", "column_sums", columns / vec, is_cpu ? 1 : DIFFAD_GROUP);
    diffad_launch_def(&l, "VEC", vec);
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, m);
    diffad_launch_int(&l, columns / vec);
    return diffad_emit_launch(e, &l);
}

static diffad_cost sums_cost(const diffad_node *n)
{
    return (diffad_cost){ (double)diffad_numel(n->in[0]), diffad_cost_pointwise(n, 0).bytes };
}

static void sums_ref(const diffad_ref *r)
{
    const int64_t m = r->n->in[0]->shape.side[0], columns = r->n->in[0]->shape.side[1];
    for (int64_t j = 0; j < columns; j++) {
        r->out[0][j] = 0;
        for (int64_t i = 0; i < m; i++)
            r->out[0][j] += r->in[0][i * columns + j];
    }
}

static const diffad_way sums_ways[] = { { .name = "plain", .emit = sums_emit, .is_portable = true } };
static const diffad_op_case sums_cases[] = {
    { .name = "one", .in = { { 2, { 1, 1 } } } },
    { .name = "odd", .in = { { 2, { 67, 21 } } } },
    { .name = "tokens", .in = { { 2, { 1024, 512 } } }, .bench = true },
};

const diffad_op diffad_op_linear_bias_grad = {
    .name = "linear_bias_grad", .n_in = 1, .n_out = 1, .tol = 1e-6,
    .infer = sums_infer, DIFFAD_WAYS(sums_ways), .no_grad = "second derivatives are not needed", .cost = sums_cost,
    .ref = sums_ref,
    DIFFAD_CASES(sums_cases),
};
