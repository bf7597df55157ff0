/* time_embedding.c: cos and sin of t 10000^(-i / half), t an integer. Kernels: cl/time_embedding.cl.
 *
 * Angles reach 999 rad, where a float32 frequency alone costs 3e-5. The device forms frequencies in pairs of floats
 * from the powers r^1, r^2, r^4, ... of r = 10000^(-1/half), made here in double. */
#include "op/ops.h"

#include <math.h>
#include <string.h>

enum { POWERS = 10, MAX_DIM = 2 << POWERS };

typedef struct embedding_attr { int dim; } embedding_attr;

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    const int dim = ((const embedding_attr *)n->attr)->dim;
    if (n->in[0]->type != DIFFAD_I32 || n->in[0]->shape.rank != 1 || dim < 2 || dim > MAX_DIM)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "time_embedding: t must be i32 [N] and dim (%d) lie in 2..%d", dim, MAX_DIM);
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape2(diffad_numel(n->in[0]), dim) };
    return DIFFAD_OK;
}

/* The bits of the nearest float in the upper half, those of the float nearest to the rest in the lower. */
static int64_t float_pair(double v)
{
    const float high = (float)v, low = (float)(v - (double)high);
    uint32_t    h, l;
    memcpy(&h, &high, sizeof h);
    memcpy(&l, &low, sizeof l);
    return (int64_t)((uint64_t)h << 32 | l);
}

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    const int     dim = ((const embedding_attr *)n->attr)->dim;
    diffad_launch l   = diffad_launch_make("time_embedding", "time_embedding", diffad_numel(n->out[0]), DIFFAD_GROUP);
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, dim);
    diffad_launch_count(&l, diffad_numel(n->out[0]));
    for (int k = 0; k < POWERS; k++)
        diffad_launch_count(&l, float_pair(exp(-log(10000.0) * (1 << k) / (dim / 2))));
    return diffad_emit_launch(e, &l);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 10); }

static void ref(const diffad_ref *r)
{
    const int dim = ((const embedding_attr *)r->n->attr)->dim, half = dim / 2;
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++) {
        const int    k     = (int)(i % dim);
        const double angle = r->in[0][i / dim] * exp(-log(10000.0) * (k % half) / half);
        r->out[0][i] = k < half ? cos(angle) : k < 2 * half ? sin(angle) : 0;
    }
}

static const diffad_way ways[] = { { .name = "pairs", .emit = emit, .is_portable = true } };

static const embedding_attr two = { 2 }, odd = { 33 }, real = { 256 }, widest = { MAX_DIM };
static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 1, { 1 } } }, .type = { DIFFAD_I32 }, .range = { { 7, 7 } }, .attr = &two },
    { .name = "odd", .in = { { 1, { 3 } } }, .type = { DIFFAD_I32 }, .range = { { 0, 999 } }, .attr = &odd },
    { .name = "last", .in = { { 1, { 2 } } }, .type = { DIFFAD_I32 }, .range = { { 998, 999 } }, .attr = &widest },
    { .name = "unet", .in = { { 1, { 32 } } },
      .type = { DIFFAD_I32 }, .range = { { 0, 999 } },
      .attr = &real, .bench = true },
};

const diffad_op diffad_op_time_embedding = {
    .name = "time_embedding", .n_in = 1, .n_out = 1, .attr_size = sizeof(embedding_attr), .tol = 1e-6, .infer = infer,
    DIFFAD_WAYS(ways), .no_grad = "time is an integer", .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_time_embedding(diffad_graph *g, diffad_val t, int dim)
{
    return diffad_apply(g, &diffad_op_time_embedding, &(embedding_attr){ dim }, 1, &t);
}
