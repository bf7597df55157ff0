/* attention.c: softmax(scale q.k) v by heads without a T x T buffer, and its gradient. Ways: `tiles` anywhere
 * (cl/attention.cl), tf32, bf16 and f16 on matrix units (cl/attention_matrix.cl), `rows` on CPUs in the blocked layout (cl/attention_rows.cl, cl/attention_rows_grad.cl). */
#include "device/registers.h"
#include "op/ops.h"

#include <math.h>

enum { TILE = 32, CHANNELS = 128 };      /* of cl/attention.cl: rows, and most channels, of a work-group's result */
enum { PASS = 64, LARGE_TILE = 6 };      /* PASS of cl/common/attention_rows.cl */

typedef struct sizes { int64_t n, heads, d, t; } sizes;

/* of input 0 = qkv */
static sizes sizes_of(const diffad_node *n)
{
    const int64_t N = diffad_side(n->in[0], 0), C3 = diffad_side(n->in[0], 1);
    const int64_t heads = ((const diffad_attention_attr *)n->attr)->heads;
    return (sizes){ N, heads, C3 / 3 / heads, diffad_numel(n->in[0]) / (N * C3) };
}

static diffad_status check(const diffad_node *n)
{
    char         text[64];
    const int    heads = ((const diffad_attention_attr *)n->attr)->heads;
    if (n->in[0]->shape.rank < 3 || heads < 1 || n->in[0]->shape.side[1] % (3 * (int64_t)heads) != 0)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: qkv is %s, must be [N,3C,...] with C divisible by %d heads", n->op->name,
                    diffad_shape_text(&n->in[0]->shape, text, sizeof text), heads);
    return DIFFAD_OK;
}

static diffad_status fwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(check(n));
    const sizes s = sizes_of(n);
    out[0] = (diffad_infer_out){ DIFFAD_F32, n->in[0]->shape };
    out[0].shape.side[1] /= 3;
    out[1] = (diffad_infer_out){ DIFFAD_F32, { 3, { s.n, s.heads, s.t, 0, 0 } } };
    return DIFFAD_OK;
}

static diffad_status bwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    out[0] = (diffad_infer_out){ DIFFAD_F32, n->in[0]->shape };
    return check(n);
}

/* ---- tiles ---- */

/* A work-item has half as many sums. */
static int64_t channels_of(const sizes *s, const diffad_caps *caps)
{
    const int64_t d = diffad_round_up(s->d, 16), most = 2 * diffad_most_sums(caps) < CHANNELS ? 2 * diffad_most_sums(caps) : CHANNELS;
    return d < most ? d : most;
}

static diffad_launch tiles_launch(const sizes *s, const diffad_caps *caps, const char *kernel, int64_t results)
{
    const int64_t dv = channels_of(s, caps);
    diffad_launch l  = diffad_launch_make("attention", kernel, 1, DIFFAD_GROUP);
    diffad_launch_items(&l, diffad_ceil_div(s->t, TILE) * DIFFAD_GROUP,
                        s->heads * results * diffad_ceil_div(s->d, dv), s->n);
    diffad_launch_def(&l, "D", s->d);
    diffad_launch_def(&l, "DV", dv);
    diffad_launch_local(&l, (2 * 16 * TILE + TILE * TILE + 8 * TILE) * 4);
    return l;
}

static diffad_status tiles_fwd(diffad_emit *e, const diffad_node *n)
{
    const sizes   s = sizes_of(n);
    diffad_launch l = tiles_launch(&s, e->caps, "attention_fwd", 1);
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    diffad_emit_out(&l, e, 1);
    diffad_launch_int(&l, s.t);
    diffad_launch_float(&l, ((const diffad_attention_attr *)n->attr)->scale);
    return diffad_emit_launch(e, &l);
}

/* Inputs of the gradient: qkv, y, lse, dy. */
static diffad_status tiles_bwd(diffad_emit *e, const diffad_node *n)
{
    const sizes s = sizes_of(n);
    int32_t     delta;
    DIFFAD_TRY(diffad_emit_scratch(e, s.n * s.heads * s.t, 4, &delta));
    diffad_launch l = tiles_launch(&s, e->caps, "attention_delta", 1);
    diffad_launch_items(&l, s.t, s.n * s.heads, 1);
    diffad_emit_in(&l, e, 1);
    diffad_emit_in(&l, e, 3);
    diffad_launch_mem(&l, delta, 0, DIFFAD_WRITE);
    diffad_launch_int(&l, s.t);
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    l = tiles_launch(&s, e->caps, "attention_bwd", 3);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 2);
    diffad_emit_in(&l, e, 3);
    diffad_launch_mem(&l, delta, 0, DIFFAD_READ);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, s.t);
    diffad_launch_float(&l, ((const diffad_attention_attr *)n->attr)->scale);
    return diffad_emit_launch(e, &l);
}

/* ---- matrix units ---- */

enum { MATRIX_ITEMS = 128, MATRIX_ROWS = 64, MATRIX_WORDS = 32, MATRIX_STEPS = 4 };      /* WG, ROWS, words of KEYS, most STEPS */

static bool matrix_fits(const diffad_node *n, const diffad_caps *caps)
{
    (void)n;
    const bool has_layout = caps->matrix == DIFFAD_MATRIX_NVIDIA_80 || caps->matrix == DIFFAD_MATRIX_NVIDIA_75;
    return has_layout && caps->max_group >= MATRIX_ITEMS && caps->local_mem >= 47 << 10;
}

static diffad_status matrix_fwd(diffad_emit *e, const diffad_node *n, diffad_precision precision)
{
    const sizes   s = sizes_of(n);
    const int64_t dv = channels_of(&s, e->caps), keys = MATRIX_WORDS * (precision == DIFFAD_PRECISION_TF32 ? 1 : 2);
    const int64_t steps = diffad_ceil_div(s.d, keys / 4) < MATRIX_STEPS ? diffad_ceil_div(s.d, keys / 4) : MATRIX_STEPS;
    const int64_t own = (MATRIX_ROWS + keys) * 8 * steps + 4 * (dv * 8 + 8);
    diffad_launch l = diffad_launch_make("attention_matrix", "attention_matrix", 1, MATRIX_ITEMS);
    diffad_launch_items(&l, diffad_ceil_div(s.t, MATRIX_ROWS) * MATRIX_ITEMS, s.heads * diffad_ceil_div(s.d, dv), s.n);
    diffad_launch_def(&l, "TYPE", precision);
    diffad_launch_def(&l, "UNIT", e->caps->matrix);
    diffad_launch_def(&l, "PLAIN", e->caps->matrix_is_plain);
    diffad_launch_def(&l, "D", s.d);
    diffad_launch_def(&l, "DV", dv);
    diffad_launch_def(&l, "STEPS", steps);
    diffad_launch_local(&l, 4 * (own + (e->caps->matrix_is_plain ? MATRIX_ROWS * MATRIX_WORDS + MATRIX_ITEMS : 0)));
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    diffad_emit_out(&l, e, 1);
    diffad_launch_int(&l, s.t);
    diffad_launch_float(&l, ((const diffad_attention_attr *)n->attr)->scale);
    return diffad_emit_launch(e, &l);
}

static diffad_status tf32_fwd(diffad_emit *e, const diffad_node *n) { return matrix_fwd(e, n, DIFFAD_PRECISION_TF32); }
static diffad_status bf16_fwd(diffad_emit *e, const diffad_node *n) { return matrix_fwd(e, n, DIFFAD_PRECISION_BF16); }
static diffad_status f16_fwd(diffad_emit *e, const diffad_node *n) { return matrix_fwd(e, n, DIFFAD_PRECISION_F16); }

/* ---- rows ---- */

#define LOG2E 1.44269504088896340736      /* their exponentials are powers of two */

static int64_t rows_local(const sizes *s, int64_t rows, int tiles)
{
    return (tiles * (s->d + PASS) * rows + 2 * rows) * 4;
}

/* Wide heads of a large picture are read from memory once a tile: six vectors there, where they leave each unit its share of
 * tiles. D 512, 128x128 pixels, 2 cores: 70 % of the multiply-adds' peak with two, 82 % with six. */
static bool has_large_tiles(const sizes *s, const diffad_caps *caps)
{
    const int64_t rows = LARGE_TILE * caps->block, local = rows_local(s, rows, 1);
    return !diffad_has_wide_vectors(caps) && s->d >= 128 && 2 * (uint64_t)local <= caps->local_mem &&
           s->t / rows * s->heads * s->n >= 16 * (int64_t)caps->compute_units;
}

/* Vectors of rows in a tile: else two where they fit. */
static int64_t rows_vectors(const sizes *s, const diffad_caps *caps, int tiles)
{
    if (tiles == 1 && has_large_tiles(s, caps))
        return LARGE_TILE;
    for (int64_t v = 2; v > 0; v--)
        if ((uint64_t)rows_local(s, v * caps->block, tiles) <= caps->local_mem)
            return v;
    return 0;
}

static bool rows_fit(const diffad_node *n, const diffad_caps *caps)
{
    const sizes s = sizes_of(n);
    return caps->local_mem_is_cheap && n->in[0]->shape.rank == 4 && s.d % caps->block == 0 &&
           rows_vectors(&s, caps, 2) > 0;
}

static diffad_launch rows_launch(const sizes *s, const diffad_caps *caps, const char *program,
                                 const char *kernel, int tiles)
{
    const int64_t v = rows_vectors(s, caps, tiles), rows = v * caps->block;
    diffad_launch l = diffad_launch_make(program, kernel, 1, 1);
    diffad_launch_items(&l, diffad_ceil_div(s->t, rows), s->heads, s->n);
    diffad_launch_def(&l, "VEC", caps->block);
    diffad_launch_def(&l, "D", s->d);
    diffad_launch_def(&l, "LV", v);
    diffad_launch_def(&l, "SUMS", diffad_has_wide_vectors(caps) ? 16 : 6);
    diffad_launch_def(&l, "PASS", PASS);
    diffad_launch_local(&l, rows_local(s, rows, tiles));
    return l;
}

static diffad_status rows_fwd(diffad_emit *e, const diffad_node *n)
{
    const sizes   s = sizes_of(n);
    diffad_launch l = rows_launch(&s, e->caps, "attention_rows", "attention_rows", 1);
    diffad_emit_in(&l, e, 0);
    diffad_emit_out_updated(&l, e, 0);
    diffad_emit_out(&l, e, 1);
    diffad_launch_int(&l, s.t);
    diffad_launch_float(&l, ((const diffad_attention_attr *)n->attr)->scale * LOG2E);
    return diffad_emit_queued(e, &l);
}

static diffad_status rows_bwd(diffad_emit *e, const diffad_node *n)
{
    const sizes  s = sizes_of(n);
    const double scale = ((const diffad_attention_attr *)n->attr)->scale;
    int32_t      delta;
    DIFFAD_TRY(diffad_emit_scratch(e, s.n * s.heads * s.t, 4, &delta));
    for (int keys = 0; keys < 2; keys++) {
        diffad_launch l = rows_launch(&s, e->caps, "attention_rows_grad",
                                      keys ? "attention_rows_dkv" : "attention_rows_dq", 2);
        for (int i = 0; i < 4; i++)
            if (i != 1 || !keys)
                diffad_emit_in(&l, e, i);
        diffad_launch_mem(&l, delta, 0, keys ? DIFFAD_READ : DIFFAD_WRITE);
        diffad_emit_out_updated(&l, e, 0);
        diffad_launch_int(&l, s.t);
        diffad_launch_float(&l, scale);
        diffad_launch_float(&l, scale * LOG2E);
        DIFFAD_TRY(diffad_emit_queued(e, &l));
    }
    return DIFFAD_OK;
}

/* ---- references ---- */

/* sum over channels of a[][i] b[][j] */
static double dot(const double *a, int64_t i, const double *b, int64_t j, const sizes *s)
{
    double sum = 0;
    for (int64_t c = 0; c < s->d; c++)
        sum += a[c * s->t + i] * b[c * s->t + j];
    return sum;
}

static void add_scaled(double *to, int64_t i, const double *from, int64_t j, double factor, const sizes *s)
{
    for (int64_t c = 0; c < s->d; c++)
        to[c * s->t + i] += factor * from[c * s->t + j];
}

static void fwd_ref(const diffad_ref *r)
{
    const sizes  s = sizes_of(r->n);
    const double scale = ((const diffad_attention_attr *)r->n->attr)->scale;
    for (int64_t h = 0; h < s.n * s.heads; h++) {
        const double *q = r->in[0] + 3 * h * s.d * s.t, *k = q + s.d * s.t, *v = k + s.d * s.t;
        double       *y = r->out[0] + h * s.d * s.t;
        for (int64_t i = 0; i < s.t; i++) {
            double top = -INFINITY, sum = 0;
            for (int64_t j = 0; j < s.t; j++)
                top = fmax(top, scale * dot(q, i, k, j, &s));
            for (int64_t j = 0; j < s.t; j++)
                sum += exp(scale * dot(q, i, k, j, &s) - top);
            for (int64_t c = 0; c < s.d; c++)
                y[c * s.t + i] = 0;
            for (int64_t j = 0; j < s.t; j++)
                add_scaled(y, i, v, j, exp(scale * dot(q, i, k, j, &s) - top) / sum, &s);
            r->out[1][h * s.t + i] = top + log(sum);
        }
    }
}

static void bwd_ref(const diffad_ref *r)
{
    const sizes   s = sizes_of(r->n);
    const double  scale = ((const diffad_attention_attr *)r->n->attr)->scale;
    const int64_t head = s.d * s.t;
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = 0;
    for (int64_t h = 0; h < s.n * s.heads; h++) {
        const double *q = r->in[0] + 3 * h * head, *k = q + head, *v = k + head, *dy = r->in[3] + h * head;
        double       *dq = r->out[0] + 3 * h * head, *dk = dq + head, *dv = dk + head;
        for (int64_t i = 0; i < s.t; i++) {
            const double delta = dot(r->in[1] + h * head, i, dy, i, &s);
            for (int64_t j = 0; j < s.t; j++) {
                const double p = exp(scale * dot(q, i, k, j, &s) - r->in[2][h * s.t + i]);
                const double g = p * (dot(dy, i, v, j, &s) - delta) * scale;
                add_scaled(dq, i, k, j, g, &s);
                add_scaled(dk, j, q, i, g, &s);
                add_scaled(dv, j, dy, i, p, &s);
            }
        }
    }
}

/* ---- descriptors ---- */

/* Two products forward, five backward. */
static diffad_cost cost_of(const diffad_node *n, double products)
{
    const sizes s = sizes_of(n);
    diffad_cost c = diffad_cost_pointwise(n, 0);
    c.flops = products * 2 * (double)(s.n * s.heads * s.d) * (double)s.t * (double)s.t;
    return c;
}

static diffad_cost fwd_cost(const diffad_node *n) { return cost_of(n, 2); }
static diffad_cost bwd_cost(const diffad_node *n) { return cost_of(n, 5); }

static void fwd_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_apply(g, &diffad_op_attention_grad, n->attr, 4, (diffad_val[]){ n->x[0], n->y[0], n->y[1], dy[0] });
}

/* Rounded scores change the weights' exponents: on top of what a rounded product does (conv2d.c). */
static const diffad_way fwd_ways[] = {
    { .name = "tf32", .fits = matrix_fits, .emit = tf32_fwd, .precision = DIFFAD_PRECISION_TF32, .tol = 2e-3 },
    { .name = "bf16", .fits = matrix_fits, .emit = bf16_fwd, .precision = DIFFAD_PRECISION_BF16, .tol = 1.6e-2 },
    { .name = "f16", .fits = matrix_fits, .emit = f16_fwd, .precision = DIFFAD_PRECISION_F16, .tol = 2e-3 },
    { .name = "rows", .layout = DIFFAD_LAYOUT_BLOCKED, .fits = rows_fit, .emit = rows_fwd },
    { .name = "tiles", .emit = tiles_fwd, .is_portable = true },
};
static const diffad_way bwd_ways[] = {
    { .name = "rows", .layout = DIFFAD_LAYOUT_BLOCKED, .fits = rows_fit, .emit = rows_bwd },
    { .name = "tiles", .emit = tiles_bwd, .is_portable = true },
};

static const diffad_attention_attr one = { 1, 0.7 }, three = { 3, 0.25 }, two = { 2, 0.17 };
static const diffad_attention_attr wide = { 1, 0.06 }, real = { 16, 0.17677669 };
static const diffad_op_case fwd_cases[] = {
    { .name = "one", .in = { { 4, { 1, 3, 1, 1 } } }, .attr = &one },
    { .name = "odd", .in = { { 4, { 2, 63, 5, 7 } } }, .attr = &three },
    { .name = "blocks_of_one", .in = { { 4, { 2, 144, 9, 5 } } }, .attr = &three },
    { .name = "several_passes", .in = { { 4, { 1, 192, 10, 14 } } }, .attr = &two },
    { .name = "wide", .in = { { 4, { 1, 576, 5, 8 } } }, .attr = &wide },
    { .name = "rank3", .in = { { 3, { 2, 144, 45 } } }, .attr = &three },
    { .name = "sharp", .in = { { 4, { 1, 96, 6, 6 } } }, .range = { { -8, 8 } }, .attr = &two,
      .tol = 1e-5 },      /* scores up to 100: exp turns their rounding into 1e-5 of a weight */
    { .name = "large_tiles", .in = { { 4, { 20, 384, 11, 19 } } }, .attr = &wide },
    { .name = "unet", .in = { { 4, { 1, 1536, 16, 16 } } }, .attr = &real, .bench = true },
};

#define BACKWARD(n, c, h, w, heads)                                                                                     \
    .in = { { 4, { n, 3 * (c), h, w } }, { 4, { n, c, h, w } }, { 3, { n, heads, (h) * (w) } }, { 4, { n, c, h, w } } }, \
    .range = { [2] = { 3, 5 } }
static const diffad_op_case bwd_cases[] = {
    { .name = "one", BACKWARD(1, 1, 1, 1, 1), .attr = &one },
    { .name = "odd", BACKWARD(2, 21, 5, 7, 3), .attr = &three },
    { .name = "blocks_of_one", BACKWARD(2, 48, 9, 5, 3), .attr = &three },
    { .name = "several_passes", BACKWARD(1, 64, 10, 14, 2), .attr = &two },
    { .name = "wide", BACKWARD(1, 192, 5, 8, 1), .attr = &wide },
    { .name = "unet", BACKWARD(1, 512, 16, 16, 16), .attr = &real, .bench = true },
};

const diffad_op diffad_op_attention = {
    .name = "attention", .n_in = 1, .n_out = 2, .attr_size = sizeof(diffad_attention_attr), .attr_kinds = "id", .tol = 2e-6,
    .maps_in = 1, .maps_out = 1, .saved_out = 2, .infer = fwd_infer, DIFFAD_WAYS(fwd_ways), .grad = fwd_grad,
    .cost = fwd_cost, .ref = fwd_ref, DIFFAD_CASES(fwd_cases),
};
const diffad_op diffad_op_attention_grad = {
    .name = "attention_grad", .n_in = 4, .n_out = 1, .attr_size = sizeof(diffad_attention_attr), .attr_kinds = "id", .tol = 2e-6,
    .maps_in = 1 | 2 | 8, .maps_out = 1, .infer = bwd_infer, DIFFAD_WAYS(bwd_ways),
    .no_grad = "second derivatives are not needed", .cost = bwd_cost, .ref = bwd_ref, DIFFAD_CASES(bwd_cases),
};

diffad_val diffad_attention(diffad_graph *g, diffad_val qkv, const diffad_attention_attr *attr)
{
    return diffad_apply(g, &diffad_op_attention, attr, 1, &qkv);
}
