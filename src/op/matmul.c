/* matmul.c: y = alpha op(a) op(b), rank 2, or rank 3 with a batch. Kernels: those of blas/gemm.h. */
#include "op/gemm_way.h"
#include "op/ops.h"

typedef diffad_matmul_attr attr_t;

static const attr_t *attr_of(const diffad_node *n) { return n->attr; }

typedef struct sides { int64_t batch, m, n, k; } sides;

static sides sides_of(const diffad_node *n)
{
    const diffad_shape *a = &n->in[0]->shape, *b = &n->in[1]->shape;
    const int           r = a->rank;
    const attr_t       *at = attr_of(n);
    return (sides){ r == 3 ? a->side[0] : 1, a->side[r - (at->transpose_a ? 1 : 2)],
                    b->side[r - (at->transpose_b ? 2 : 1)], a->side[r - (at->transpose_a ? 2 : 1)] };
}

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    const diffad_shape *a = &n->in[0]->shape, *b = &n->in[1]->shape;
    char                ta[64], tb[64];
    if (n->in[0]->type != DIFFAD_F32 || n->in[1]->type != DIFFAD_F32)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "matmul: a is %s, b is %s: both must be f32", diffad_dtype_name(n->in[0]->type),
                    diffad_dtype_name(n->in[1]->type));
    if (a->rank != b->rank || a->rank < 2 || a->rank > 3 || (a->rank == 3 && a->side[0] != b->side[0]))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "matmul: a %s and b %s: both of rank 2, or of rank 3 with equal first side",
                    diffad_shape_text(a, ta, sizeof ta), diffad_shape_text(b, tb, sizeof tb));
    const sides   s  = sides_of(n);
    const int64_t bk = b->side[a->rank - (attr_of(n)->transpose_b ? 1 : 2)];
    if (s.k != bk)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "matmul: a %s%s has %lld columns, b %s%s has %lld rows",
                    diffad_shape_text(a, ta, sizeof ta), attr_of(n)->transpose_a ? " transposed" : "", (long long)s.k,
                    diffad_shape_text(b, tb, sizeof tb), attr_of(n)->transpose_b ? " transposed" : "", (long long)bk);
    out[0].type  = DIFFAD_F32;
    out[0].shape = a->rank == 3 ? (diffad_shape){ 3, { s.batch, s.m, s.n, 0, 0 } } : diffad_shape2(s.m, s.n);
    return DIFFAD_OK;
}

static diffad_status emit(diffad_emit *e, const diffad_node *n, const char *way)
{
    const sides   s  = sides_of(n);
    const attr_t *at = attr_of(n);
    diffad_gemm   g  = diffad_gemm_make(s.m, s.n, s.k);
    g.batch       = s.batch;
    g.alpha       = at->alpha;
    g.transpose_a = at->transpose_a != 0;
    g.transpose_b = at->transpose_b != 0;
    g.a   = (diffad_gemm_operand){ e->in[0].mem, e->in[0].offset, g.transpose_a ? s.m : s.k, s.m * s.k };
    g.b   = (diffad_gemm_operand){ e->in[1].mem, e->in[1].offset, g.transpose_b ? s.k : s.n, s.k * s.n };
    g.c   = (diffad_gemm_operand){ e->out[0].mem, e->out[0].offset, s.n, s.m * s.n };
    g.way = way;
    return diffad_emit_gemm(e, n, &g, 0, 1);
}
DIFFAD_GEMM_WAYS(ways, emit)

static diffad_cost cost(const diffad_node *n)
{
    const sides s = sides_of(n);
    return (diffad_cost){ 2.0 * (double)s.batch * (double)s.m * (double)s.n * (double)s.k,
                          diffad_cost_pointwise(n, 0).bytes };
}

static void ref(const diffad_ref *r)
{
    const sides   s  = sides_of(r->n);
    const attr_t *at = attr_of(r->n);
    for (int64_t z = 0; z < s.batch; z++) {
        const double *a = r->in[0] + z * s.m * s.k, *b = r->in[1] + z * s.k * s.n;
        for (int64_t i = 0; i < s.m; i++)
            for (int64_t j = 0; j < s.n; j++) {
                double sum = 0;
                for (int64_t k = 0; k < s.k; k++)
                    sum += a[at->transpose_a ? k * s.m + i : i * s.k + k] *
                           b[at->transpose_b ? j * s.k + k : k * s.n + j];
                r->out[0][(z * s.m + i) * s.n + j] = at->alpha * sum;
            }
    }
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    const attr_t *at = attr_of(n);
    const int     ta = at->transpose_a != 0, tb = at->transpose_b != 0;
    const attr_t  da = ta ? (attr_t){ tb, 1, at->alpha } : (attr_t){ 0, !tb, at->alpha };
    const attr_t  db = tb ? (attr_t){ 1, ta, at->alpha } : (attr_t){ !ta, 0, at->alpha };
    dx[0] = ta ? diffad_matmul(g, n->x[1], dy[0], &da) : diffad_matmul(g, dy[0], n->x[1], &da);
    dx[1] = tb ? diffad_matmul(g, dy[0], n->x[0], &db) : diffad_matmul(g, n->x[0], dy[0], &db);
}

static const attr_t nn = { 0, 0, 1 }, nt = { 0, 1, 0.125 }, tn = { 1, 0, 1 }, tt = { 1, 1, -2 };
static const diffad_op_case cases[] = {
    { .name = "one", .attr = &nn, .in = { { 2, { 1, 1 } }, { 2, { 1, 1 } } } },
    { .name = "odd", .attr = &nn, .in = { { 2, { 7, 19 } }, { 2, { 19, 67 } } } },
    { .name = "odd_nt", .attr = &nt, .in = { { 2, { 13, 35 } }, { 2, { 70, 35 } } } },
    { .name = "odd_tn", .attr = &tn, .in = { { 2, { 21, 13 } }, { 2, { 21, 65 } } } },
    { .name = "odd_tt", .attr = &tt, .in = { { 2, { 33, 17 } }, { 2, { 18, 33 } } } },
    { .name = "batch", .attr = &nt, .in = { { 3, { 3, 11, 20 } }, { 3, { 3, 9, 20 } } } },
    { .name = "batch_tn", .attr = &tn, .in = { { 3, { 2, 40, 12 } }, { 3, { 2, 40, 96 } } } },
    /* K in several blocks and slices */
    { .name = "long", .attr = &nn, .in = { { 2, { 6, 5000 } }, { 2, { 5000, 10 } } } },
    { .name = "tiles", .attr = &tn, .in = { { 2, { 530, 96 } }, { 2, { 530, 128 } } } },
    { .name = "scores", .attr = &nt, .in = { { 3, { 4, 256, 64 } }, { 3, { 4, 256, 64 } } }, .bench = true },
};

/* Sums of up to 5000 products in float, in blocks of 256 to 2048: about 1e-6 of the largest element, doubled. */
const diffad_op diffad_op_matmul = {
    .name = "matmul", .n_in = 2, .n_out = 1, .attr_size = sizeof(attr_t), .attr_kinds = "iid", .tol = 2e-6,
    .infer = infer, DIFFAD_WAYS(ways), .grad = grad, .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_matmul(diffad_graph *g, diffad_val a, diffad_val b, const diffad_matmul_attr *attr)
{
    const attr_t at = attr ? (attr_t){ attr->transpose_a != 0, attr->transpose_b != 0, attr->alpha } : nn;
    return diffad_apply(g, &diffad_op_matmul, &at, 2, (diffad_val[]){ a, b });
}
