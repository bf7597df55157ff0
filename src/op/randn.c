/* randn.c: N(0,1) of shape [N,...], the same bits as the host's diffad_rng. Kernels: cl/randn.cl. */
#include "base/rng.h"
#include "op/ops.h"

typedef struct randn_attr { diffad_shape shape; uint32_t purpose, zero; } randn_attr;

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    const randn_attr   *a   = n->attr;
    const diffad_shape *key = &n->in[0]->shape;
    char text[64];
    if (n->in[0]->type != DIFFAD_I32 || key->rank != 2 || key->side[1] != 4 || a->shape.rank < 1 ||
        key->side[0] != a->shape.side[0])
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "randn: key is %s %s, i32 [N,4] is needed, N being side 0 of the result",
                    diffad_dtype_name(n->in[0]->type), diffad_shape_text(key, text, sizeof text));
    out[0] = (diffad_infer_out){ DIFFAD_F32, a->shape };
    return DIFFAD_OK;
}

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    const int64_t batch = diffad_side(n->out[0], 0), count = diffad_numel(n->out[0]) / batch;
    const bool    is_wide = e->caps->local_mem_is_cheap;
    diffad_launch l = diffad_launch_make("randn", "randn", 1, DIFFAD_GROUP);
    diffad_launch_items(&l, diffad_ceil_div(count, is_wide ? 32 : 4), batch, 1);
    if (is_wide)
        diffad_launch_def(&l, "DIFFAD_WIDE", 1);
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    diffad_launch_count(&l, count);
    diffad_launch_int(&l, ((const randn_attr *)n->attr)->purpose);
    return diffad_emit_launch(e, &l);
}

/* Instructions, each a multiply-add's time: 10 rounds of 4 products, 4 exclusive ors and 2 sums make four numbers; 15 find and
 * compute a piece. */
static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 2 * (10 * 10 / 4 + 15)); }

static void ref(const diffad_ref *r)
{
    const randn_attr *a = r->n->attr;
    const int64_t batch = diffad_side(r->n->out[0], 0), count = diffad_numel(r->n->out[0]) / batch;
    for (int64_t s = 0; s < batch; s++) {
        uint32_t key[4];
        for (int i = 0; i < 4; i++)
            key[i] = (uint32_t)(int64_t)r->in[0][4 * s + i];
        diffad_rng rng = diffad_rng_make((uint64_t)key[1] << 32 | key[0], (diffad_purpose)a->purpose, key[2], key[3]);
        for (int64_t i = 0; i < count; i++)
            r->out[0][s * count + i] = diffad_rng_normal(&rng);
    }
}

static const diffad_way ways[] = { { .name = "plain", .emit = emit, .is_portable = true } };
static const randn_attr one  = { { 1, { 1 } }, DIFFAD_RNG_NOISE, 0 };
static const randn_attr odd  = { { 4, { 3, 3, 5, 7 } }, DIFFAD_RNG_SAMPLER, 0 };
static const randn_attr real = { { 4, { 8, 64, 32, 32 } }, DIFFAD_RNG_POSTERIOR, 0 };
#define KEYS .type = { DIFFAD_I32 }, .range = { { -2147483648.0, 2147483646.0 } }
static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 2, { 1, 4 } } }, KEYS, .attr = &one },
    { .name = "odd", .in = { { 2, { 3, 4 } } }, KEYS, .attr = &odd },
    { .name = "latent", .in = { { 2, { 8, 4 } } }, KEYS, .attr = &real, .bench = true },
};

const diffad_op diffad_op_randn = {
    .name = "randn", .n_in = 1, .n_out = 1, .attr_size = sizeof(randn_attr), .tol = 0, .infer = infer,
    DIFFAD_WAYS(ways), .no_grad = "it has no float inputs", .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_randn(diffad_graph *g, diffad_val key, diffad_shape shape, uint32_t purpose)
{
    return diffad_apply(g, &diffad_op_randn, &(randn_attr){ shape, purpose, 0 }, 1, &key);
}
