/* dropout.c: y = x with elements dropped with probability p, the rest divided by 1 - p. Kernels: cl/dropout.cl.
 *
 * Element (n, c, pixel) belongs to position (n HW + pixel) C4 + c of the stream (seed, DROPOUT, step, salt), C4 being
 * C rounded up to a multiple of 4: four numbers of one draw are four channels, in every layout. Rank 0 and 1 are all
 * channels. */
#include "base/rng.h"
#include "op/ops.h"

typedef struct dropout_attr { double p; uint32_t salt, zero; } dropout_attr;
typedef struct extent { int64_t n, c, hw; } extent;

static extent extent_of(const diffad_value *x)
{
    const int64_t count = diffad_numel(x);
    if (x->shape.rank < 2)
        return (extent){ 1, count, 1 };
    return (extent){ diffad_side(x, 0), diffad_side(x, 1), count / (diffad_side(x, 0) * diffad_side(x, 1)) };
}

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    const dropout_attr *a = n->attr;
    char text[64];
    if (n->in[0]->type != DIFFAD_F32 || n->in[1]->type != DIFFAD_I32 || diffad_numel(n->in[1]) != 2)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "dropout: x is %s, key is %s %s; f32 and i32 [2] are needed",
                    diffad_dtype_name(n->in[0]->type), diffad_dtype_name(n->in[1]->type),
                    diffad_shape_text(&n->in[1]->shape, text, sizeof text));
    if (!(a->p >= 0 && a->p < 1))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "dropout: p=%g, 0 <= p < 1 is needed", a->p);
    return diffad_infer_same(n, out);
}

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    const dropout_attr *a = n->attr;
    const extent  x     = extent_of(n->in[0]);
    const int64_t block = e->out[0].block;
    diffad_launch l = diffad_launch_make("dropout", "dropout", 1, DIFFAD_GROUP);
    /* Of a CPU, eight fours at a time: four of a block's pixel, or one of a plain map's. */
    const int64_t wide = e->caps->local_mem_is_cheap && (block == 1 || block == 16) ? 8 : 1, fours = wide > 1 && block == 16 ? 4 : 1;
    diffad_launch_items(&l, diffad_ceil_div(x.hw, wide / fours), diffad_round_up(x.c, block > 4 ? block : 4) / (4 * fours), x.n);
    diffad_launch_def(&l, "B", block);
    if (wide > 1)
        diffad_launch_def(&l, "DIFFAD_WIDE", 1);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, x.c);
    diffad_launch_int(&l, x.hw);
    diffad_launch_float(&l, a->p);
    diffad_launch_float(&l, 1.0 / (1.0 - a->p));
    diffad_launch_int(&l, DIFFAD_RNG_DROPOUT);
    diffad_launch_int(&l, (int32_t)a->salt);
    return diffad_emit_launch(e, &l);
}

/* Of the draws as in randn.c. */
static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 2 * (10 * 10 / 4 + 3)); }

static void ref(const diffad_ref *r)
{
    const dropout_attr *a    = r->n->attr;
    const extent        x    = extent_of(r->n->in[0]);
    const uint32_t      seed = (uint32_t)(int64_t)r->in[1][0], step = (uint32_t)(int64_t)r->in[1][1];
    diffad_rng          rng  = diffad_rng_make(seed, DIFFAD_RNG_DROPOUT, step, a->salt);
    for (int64_t s = 0; s < x.n; s++)
        for (int64_t p = 0; p < x.hw; p++) {
            rng.position = (uint64_t)((s * x.hw + p) * diffad_round_up(x.c, 4));
            for (int64_t c = 0; c < x.c; c++) {
                const int64_t i = (s * x.c + c) * x.hw + p;
                r->out[0][i] = diffad_rng_uniform(&rng) < (float)a->p ? 0 : r->in[0][i] / (1.0 - a->p);
            }
        }
}

/* The mask is drawn again from the same key: dropout is its own gradient. */
static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    const dropout_attr *a = n->attr;
    dx[0] = diffad_dropout(g, dy[0], n->x[1], a->p, a->salt);
}

static const diffad_way ways[] = { { .name = "plain", .layout = DIFFAD_LAYOUT_ANY, .emit = emit,
                                     .is_portable = true } };
static const dropout_attr half = { 0.5, 3, 0 }, tenth = { 0.1, 0xFFFFFFFFu, 0 }, never = { 0, 1, 0 };
#define KEY { 1, { 2 } }
#define SEEDS .type = { DIFFAD_F32, DIFFAD_I32 }, .range = { { 0, 0 }, { -2e9, 2e9 } }
static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 0, { 0 } }, KEY }, SEEDS, .attr = &tenth },
    { .name = "odd", .in = { { 4, { 2, 19, 5, 7 } }, KEY }, SEEDS, .attr = &half },
    { .name = "odd_few", .in = { { 4, { 2, 3, 5, 7 } }, KEY }, SEEDS, .attr = &tenth },
    { .name = "row", .in = { { 1, { 37 } }, KEY }, SEEDS, .attr = &half },
    { .name = "never", .in = { { 3, { 2, 4, 6 } }, KEY }, SEEDS, .attr = &never },
    { .name = "vae", .in = { { 4, { 1, 128, 64, 64 } }, KEY }, SEEDS, .attr = &half, .bench = true },
};

const diffad_op diffad_op_dropout = {
    .name = "dropout", .n_in = 2, .n_out = 1, .attr_size = sizeof(dropout_attr), .tol = 2e-7, .maps_in = 1,
    .maps_out = 1, .inplace = 1,
    .infer = infer, DIFFAD_WAYS(ways), .grad = grad, .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_dropout(diffad_graph *g, diffad_val x, diffad_val key, double p, uint32_t salt)
{
    return diffad_apply(g, &diffad_op_dropout, &(dropout_attr){ p, salt, 0 }, 2, (diffad_val[]){ x, key });
}
