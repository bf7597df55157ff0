/* conv2d.c: two-dimensional convolution (cross-correlation) and its gradients with respect to input and weight.
 * Kernels: cl/conv2d*.cl. The ways are emitted in conv2d_<way>.c. */
#include "op/conv2d.h"

/* ---- geometry ---- */

conv2d_shape conv2d_shape_of(const diffad_node *n)
{
    const bool          is_dx = n->op == &diffad_op_conv2d_dx, is_dw = n->op == &diffad_op_conv2d_dw;
    const diffad_value *x = is_dx ? n->out[0] : n->in[0], *w = is_dx ? n->in[0] : is_dw ? n->out[0] : n->in[1];
    const diffad_value *y = is_dx || is_dw ? n->in[1] : n->out[0];
    return (conv2d_shape){ .n = diffad_side(y, 0), .i = diffad_side(x, 1), .h = diffad_side(x, 2),
                           .w = diffad_side(x, 3), .o = diffad_side(y, 1), .kh = diffad_side(w, 2),
                           .kw = diffad_side(w, 3), .oh = diffad_side(y, 2), .ow = diffad_side(y, 3),
                           .at = *(const diffad_conv_attr *)n->attr };
}

double conv2d_flops(const diffad_node *n)
{
    const conv2d_shape s = conv2d_shape_of(n);
    return 2.0 * (double)(s.n * s.o * s.i) * (double)(s.kh * s.kw) * (double)(s.oh * s.ow);
}

/* The taps of one axis that reach position s j + remainder: tap first - t step reads j + offset + t dilation. */
typedef struct axis { int64_t count, taps, first, step, dilation, offset; } axis;

static axis axis_of(int64_t length, int64_t k, int64_t stride, int64_t dilation, int64_t before, int64_t remainder)
{
    axis a = { .count = length > remainder ? diffad_ceil_div(length - remainder, stride) : 0, .step = 1 };
    int64_t smallest = -1;
    for (int64_t i = 0; i < k; i++) {
        if ((remainder + before - i * dilation) % stride != 0)
            continue;
        if (smallest >= 0 && a.taps == 1)
            a.step = i - smallest;
        smallest = smallest < 0 ? i : smallest;
        a.first  = i;
        a.taps++;
    }
    a.dilation = a.step * dilation / stride;
    a.offset   = (remainder + before - a.first * dilation) / stride;
    return a;
}

bool conv2d_phase_at(const diffad_node *n, int index, conv2d_phase *out)
{
    const conv2d_shape s = conv2d_shape_of(n);
    const int64_t      stride = s.at.stride;
    if (n->op != &diffad_op_conv2d_dx) {
        *out = (conv2d_phase){ .n = s.n, .in_c = s.i, .in_h = s.h, .in_w = s.w, .out_c = s.o, .out_h = s.oh,
                               .out_w = s.ow, .rows = s.oh, .cols = s.ow, .out_stride = 1, .taps_y = s.kh,
                               .taps_x = s.kw, .stride = stride, .dilation = s.at.dilation, .top = s.at.top,
                               .left = s.at.left, .k_step = 1, .kh = s.kh, .kw = s.kw, .w_out = s.i * s.kh * s.kw,
                               .w_in = s.kh * s.kw, .input = 0, .weight = 1, .bias = n->in[2] ? 2 : -1 };
        return index == 0;
    }
    if (index >= stride * stride)
        return false;
    const axis y = axis_of(s.h, s.kh, stride, s.at.dilation, s.at.top, index / stride);
    const axis x = axis_of(s.w, s.kw, stride, s.at.dilation, s.at.left, index % stride);
    const axis more = y.taps > 1 ? y : x;      /* with several taps, step and dilation are the same on both axes */
    *out = (conv2d_phase){ .n = s.n, .in_c = s.o, .in_h = s.oh, .in_w = s.ow, .out_c = s.i, .out_h = s.h, .out_w = s.w,
                           .rows = y.count, .cols = x.count, .row0 = index / stride, .col0 = index % stride,
                           .out_stride = stride, .taps_y = x.taps ? y.taps : 0, .taps_x = y.taps ? x.taps : 0,
                           .stride = 1, .dilation = more.dilation, .top = -y.offset, .left = -x.offset,
                           .ky0 = y.first, .kx0 = x.first, .k_step = -more.step, .kh = s.kh, .kw = s.kw,
                           .w_out = s.kh * s.kw, .w_in = s.i * s.kh * s.kw, .input = 1, .weight = 0, .bias = -1 };
    return true;
}

/* ---- shapes ---- */

static diffad_status check_attr(const char *op, const diffad_conv_attr *a)
{
    if (a->stride < 1 || a->dilation < 1 || a->left < 0 || a->right < 0 || a->top < 0 || a->bottom < 0)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE,
                    "%s: stride %d and dilation %d must be at least 1, padding %d %d %d %d at least 0", op, a->stride,
                    a->dilation, a->left, a->right, a->top, a->bottom);
    return DIFFAD_OK;
}

static diffad_status check_rank(const diffad_node *n)
{
    char text[64];
    for (int i = 0; i < 2; i++)
        if (n->in[i]->shape.rank != 4 || n->in[i]->type != DIFFAD_F32)
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: input %d must be f32 of rank 4, is %s %s", n->op->name, i,
                        diffad_dtype_name(n->in[i]->type), diffad_shape_text(&n->in[i]->shape, text, sizeof text));
    return DIFFAD_OK;
}

/* Outputs along an axis; below 1: the kernel does not fit. */
static int64_t outputs(int64_t length, int64_t k, int64_t stride, int64_t dilation, int64_t before, int64_t after)
{
    const int64_t room = length + before + after - (k - 1) * dilation - 1;
    return room < 0 ? 0 : room / stride + 1;
}

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    const diffad_conv_attr *a = n->attr;
    char                    x[64], w[64];
    DIFFAD_TRY(check_attr("conv2d", a));
    DIFFAD_TRY(check_rank(n));
    diffad_shape_text(&n->in[0]->shape, x, sizeof x);
    diffad_shape_text(&n->in[1]->shape, w, sizeof w);
    const int64_t o = diffad_side(n->in[1], 0);
    const int64_t h = outputs(diffad_side(n->in[0], 2), diffad_side(n->in[1], 2), a->stride, a->dilation, a->top,
                              a->bottom);
    const int64_t v = outputs(diffad_side(n->in[0], 3), diffad_side(n->in[1], 3), a->stride, a->dilation,
                              a->left, a->right);
    if (diffad_side(n->in[0], 1) != diffad_side(n->in[1], 1))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "conv2d: x %s has %lld channels, w %s expects %lld", x,
                    (long long)diffad_side(n->in[0], 1), w, (long long)diffad_side(n->in[1], 1));
    if (h < 1 || v < 1)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "conv2d: the kernel of w %s is larger than the padded x %s", w, x);
    if (n->in[2] && (diffad_numel(n->in[2]) != o || n->in[2]->type != DIFFAD_F32))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "conv2d: the bias must be %lld values of f32, it has %lld", (long long)o,
                    (long long)diffad_numel(n->in[2]));
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape4(diffad_side(n->in[0], 0), o, h, v) };
    return DIFFAD_OK;
}

static diffad_status check_gradient(const diffad_node *n, const diffad_shape *x, const diffad_shape *w,
                                    const diffad_shape *dy)
{
    const diffad_conv_attr *a = n->attr;
    if (x->side[1] != w->side[1] || dy->side[1] != w->side[0] || x->side[0] != dy->side[0] ||
        dy->side[2] != outputs(x->side[2], w->side[2], a->stride, a->dilation, a->top, a->bottom) ||
        dy->side[3] != outputs(x->side[3], w->side[3], a->stride, a->dilation, a->left, a->right)) {
        char text[3][64];
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: dy %s is no output of x %s and w %s", n->op->name,
                    diffad_shape_text(dy, text[0], 64), diffad_shape_text(x, text[1], 64),
                    diffad_shape_text(w, text[2], 64));
    }
    return DIFFAD_OK;
}

static diffad_status dx_infer(const diffad_node *n, diffad_infer_out *out)
{
    const conv2d_grad_attr *a = n->attr;
    DIFFAD_TRY(check_attr(n->op->name, &a->conv));
    DIFFAD_TRY(check_rank(n));
    const diffad_shape x = diffad_shape4(diffad_side(n->in[1], 0), diffad_side(n->in[0], 1), a->height, a->width);
    out[0] = (diffad_infer_out){ DIFFAD_F32, x };
    return check_gradient(n, &x, &n->in[0]->shape, &n->in[1]->shape);
}

static diffad_status dw_infer(const diffad_node *n, diffad_infer_out *out)
{
    const conv2d_grad_attr *a = n->attr;
    DIFFAD_TRY(check_attr(n->op->name, &a->conv));
    DIFFAD_TRY(check_rank(n));
    const diffad_shape w = diffad_shape4(diffad_side(n->in[1], 1), diffad_side(n->in[0], 1), a->height, a->width);
    out[0] = (diffad_infer_out){ DIFFAD_F32, w };
    return check_gradient(n, &n->in[0]->shape, &w, &n->in[1]->shape);
}

/* ---- references ---- */

/* One loop for all three: y, dx or dw gets the product of the other two for every pair of output and tap. */
static void ref_products(const conv2d_shape *s, const double *x, const double *w, const double *dy, double *to)
{
    for (int64_t n = 0; n < s->n; n++)
        for (int64_t o = 0; o < s->o; o++)
            for (int64_t i = 0; i < s->i; i++)
                for (int64_t ky = 0; ky < s->kh; ky++)
                    for (int64_t kx = 0; kx < s->kw; kx++) {
                        const int64_t wi = ((o * s->i + i) * s->kh + ky) * s->kw + kx;
                        for (int64_t r = 0; r < s->oh; r++) {
                            const int64_t iy = r * s->at.stride - s->at.top + ky * s->at.dilation;
                            for (int64_t c = 0; c < s->ow && iy >= 0 && iy < s->h; c++) {
                                const int64_t ix = c * s->at.stride - s->at.left + kx * s->at.dilation;
                                const int64_t yi = ((n * s->o + o) * s->oh + r) * s->ow + c;
                                const int64_t xi = ((n * s->i + i) * s->h + iy) * s->w + ix;
                                if (ix < 0 || ix >= s->w)
                                    continue;
                                if (!dy)
                                    to[yi] += x[xi] * w[wi];
                                else if (w)
                                    to[xi] += dy[yi] * w[wi];
                                else
                                    to[wi] += dy[yi] * x[xi];
                            }
                        }
                    }
}

static void ref(const diffad_ref *r)
{
    const conv2d_shape s = conv2d_shape_of(r->n);
    for (int64_t k = 0; k < s.n * s.o * s.oh * s.ow; k++)
        r->out[0][k] = r->in[2] ? r->in[2][k / (s.oh * s.ow) % s.o] : 0.0;
    ref_products(&s, r->in[0], r->in[1], NULL, r->out[0]);
}

static void zero(const diffad_ref *r)
{
    for (int64_t k = 0; k < diffad_numel(r->n->out[0]); k++)
        r->out[0][k] = 0.0;
}

static void dx_ref(const diffad_ref *r)
{
    const conv2d_shape s = conv2d_shape_of(r->n);
    zero(r);
    ref_products(&s, NULL, r->in[0], r->in[1], r->out[0]);
}

static void dw_ref(const diffad_ref *r)
{
    const conv2d_shape s = conv2d_shape_of(r->n);
    zero(r);
    ref_products(&s, r->in[0], NULL, r->in[1], r->out[0]);
}

/* ---- gradient and cost ---- */

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    const conv2d_shape s = conv2d_shape_of(n);
    dx[0] = diffad_apply(g, &diffad_op_conv2d_dx, &(conv2d_grad_attr){ s.at, (int)s.h, (int)s.w }, 2,
                         (diffad_val[]){ n->x[1], dy[0] });
    dx[1] = diffad_apply(g, &diffad_op_conv2d_dw, &(conv2d_grad_attr){ s.at, (int)s.kh, (int)s.kw }, 2,
                         (diffad_val[]){ n->x[0], dy[0] });
    if (n->in[2])
        dx[2] = diffad_apply(g, &diffad_op_bias_grad, NULL, 1, dy);      /* attributes of zero: [C] */
}

static diffad_cost cost(const diffad_node *n)
{
    return (diffad_cost){ conv2d_flops(n), diffad_cost_pointwise(n, 0).bytes };
}

/* ---- ways ---- */

/* x or dy plain, the result blocked; and the other way round. Operand 0 of conv2d_dx is the weight. */
static void plain_to_blocked(const diffad_node *n, const diffad_caps *caps, bool *in, bool *out)
{
    (void)n;
    (void)caps;
    (void)in;
    out[0] = true;
}

static void blocked_to_plain(const diffad_node *n, const diffad_caps *caps, bool *in, bool *out)
{
    (void)caps;
    (void)out;
    in[n->op == &diffad_op_conv2d_dx ? 1 : 0] = true;
}

static void dw_few_in_choose(const diffad_node *n, const diffad_caps *caps, bool *in, bool *out)
{
    (void)n;
    (void)caps;
    (void)out;
    in[1] = true;
}

#define MATRIX(name, emit_fn, p)                                                                              \
    static diffad_status name(diffad_emit *e, const diffad_node *n) { return emit_fn(e, n, DIFFAD_PRECISION_##p); }
MATRIX(tf32_emit, conv2d_matrix_emit, TF32)
MATRIX(bf16_emit, conv2d_matrix_emit, BF16)
MATRIX(f16_emit, conv2d_matrix_emit, F16)
MATRIX(tf32_dw_emit, conv2d_matrix_dw_emit, TF32)
MATRIX(bf16_dw_emit, conv2d_matrix_dw_emit, BF16)
MATRIX(f16_dw_emit, conv2d_matrix_dw_emit, F16)

enum { TAILS = 1 << DIFFAD_TAIL_BIAS | 1 << DIFFAD_TAIL_ADD };

/* Each operand is rounded to 11 or 8 bits: by 2^-12 or 2^-9 of itself on average, twice as much at most, and a result may be
 * one product. */
#define MATRIX_WAYS(tf32, bf16, f16)                                                                          \
    { .name = "tf32", .fits = conv2d_matrix_fits, .variants = conv2d_matrix_variants, .emit = tf32, .precision = DIFFAD_PRECISION_TF32, .tol = 1e-3 },   \
    { .name = "bf16", .fits = conv2d_matrix_fits, .variants = conv2d_matrix_variants, .emit = bf16, .precision = DIFFAD_PRECISION_BF16, .tol = 8e-3 },   \
    { .name = "f16", .fits = conv2d_matrix_fits, .variants = conv2d_matrix_variants, .emit = f16, .precision = DIFFAD_PRECISION_F16, .tol = 1e-3 }
#define AMX_WAY { .name = "amx", .layout = DIFFAD_LAYOUT_BLOCKED, .fits = conv2d_amx_fits, .emit = conv2d_amx_emit, \
                  .tails = TAILS, .precision = DIFFAD_PRECISION_BF16, .tol = 8e-3 }

/* The transforms multiply by up to 8 and 1/24 and subtract: what float32 rounds grows fivefold, seen 1e-5 at most. */
#define WINOGRAD_WAY { .name = "winograd", .layout = DIFFAD_LAYOUT_BLOCKED, .fits = conv2d_winograd_fits, \
                       .emit = conv2d_winograd_emit, .tails = TAILS, .tol = 2e-5 }
static const diffad_way ways[] = {
    MATRIX_WAYS(tf32_emit, bf16_emit, f16_emit),
    AMX_WAY,
    { .name = "few_in", .layout = DIFFAD_LAYOUT_OWN, .fits = conv2d_few_in_fits, .emit = conv2d_few_in_emit,
      .choose = plain_to_blocked },
    { .name = "few_out", .layout = DIFFAD_LAYOUT_OWN, .fits = conv2d_few_out_fits, .emit = conv2d_few_out_emit,
      .choose = blocked_to_plain },
    WINOGRAD_WAY,
    { .name = "blocked", .layout = DIFFAD_LAYOUT_BLOCKED, .fits = conv2d_blocked_fits, .variants = conv2d_blocked_variants,
      .emit = conv2d_blocked_emit, .tails = TAILS },
    { .name = "portable", .variants = conv2d_portable_variants, .emit = conv2d_portable_emit, .is_portable = true },
    { .name = "im2col", .variants = conv2d_im2col_variants, .emit = conv2d_im2col_emit },
};
static const diffad_way dx_ways[] = {
    MATRIX_WAYS(tf32_emit, bf16_emit, f16_emit),
    AMX_WAY,
    { .name = "few_in", .layout = DIFFAD_LAYOUT_OWN, .fits = conv2d_few_in_fits, .emit = conv2d_few_in_emit,
      .choose = plain_to_blocked },
    { .name = "few_out", .layout = DIFFAD_LAYOUT_OWN, .fits = conv2d_few_out_fits, .emit = conv2d_few_out_emit,
      .choose = blocked_to_plain },
    WINOGRAD_WAY,
    { .name = "blocked", .layout = DIFFAD_LAYOUT_BLOCKED, .fits = conv2d_blocked_fits, .variants = conv2d_blocked_variants,
      .emit = conv2d_blocked_emit, .tails = TAILS },
    { .name = "portable", .variants = conv2d_portable_variants, .emit = conv2d_portable_emit, .is_portable = true },
    { .name = "im2col", .variants = conv2d_im2col_variants, .emit = conv2d_im2col_dx_emit },
};
static const diffad_way dw_ways[] = {
    MATRIX_WAYS(tf32_dw_emit, bf16_dw_emit, f16_dw_emit),
    { .name = "amx", .layout = DIFFAD_LAYOUT_BLOCKED, .fits = conv2d_amx_dw_fits, .emit = conv2d_amx_dw_emit,
      .precision = DIFFAD_PRECISION_BF16, .tol = 8e-3 },
    { .name = "few_in", .layout = DIFFAD_LAYOUT_OWN, .fits = conv2d_few_in_dw_fits,
      .emit = conv2d_few_in_dw_emit, .choose = dw_few_in_choose },
    { .name = "few_out", .layout = DIFFAD_LAYOUT_OWN, .fits = conv2d_few_out_dw_fits,
      .emit = conv2d_few_out_dw_emit, .choose = blocked_to_plain },
    { .name = "winograd", .layout = DIFFAD_LAYOUT_BLOCKED, .fits = conv2d_winograd_dw_fits,
      .emit = conv2d_winograd_dw_emit, .tol = 2e-5 },
    { .name = "blocked", .layout = DIFFAD_LAYOUT_BLOCKED, .fits = conv2d_blocked_fits,
      .emit = conv2d_blocked_dw_emit },
    { .name = "portable", .variants = conv2d_portable_variants, .emit = conv2d_portable_dw_emit, .is_portable = true },
    { .name = "im2col", .variants = conv2d_im2col_variants, .emit = conv2d_im2col_dw_emit },
};

/* ---- cases ---- */

/* One row for all three ops: N, I, H, W, O, kernel, H', W' and the attributes. */
#define CONV_CASES(X)                                                                              \
    X(one,                1, 1, 1, 1, 1, 1, 1, 1, (1, 1, 0, 0, 0, 0), false)                       \
    X(one_output,         2, 17, 3, 3, 18, 3, 1, 1, (1, 1, 0, 0, 0, 0), false)                     \
    X(odd_3x3,            3, 19, 7, 13, 21, 3, 7, 13, (1, 1, 1, 1, 1, 1), false)                   \
    X(rows_3x3,           1, 32, 5, 17, 32, 3, 5, 17, (1, 1, 1, 1, 1, 1), false)                   \
    X(rows_cut_short,     2, 40, 3, 23, 20, 3, 3, 23, (1, 1, 1, 1, 1, 1), false)                   \
    X(one_by_one,         2, 48, 5, 6, 33, 1, 5, 6, (1, 1, 0, 0, 0, 0), false)                     \
    X(one_by_one_stride,  1, 16, 5, 6, 16, 1, 3, 3, (2, 1, 0, 0, 0, 0), false)                     \
    X(stride_2,           2, 16, 9, 11, 32, 3, 5, 6, (2, 1, 1, 1, 1, 1), false)                    \
    X(stride_2_lopsided,  1, 20, 8, 10, 17, 3, 4, 5, (2, 1, 0, 1, 0, 1), false)                    \
    X(four_stride_2,      1, 17, 8, 8, 16, 4, 4, 4, (2, 1, 1, 1, 1, 1), false)                     \
    X(four,               1, 16, 6, 5, 16, 4, 5, 4, (1, 1, 1, 1, 1, 1), false)                     \
    X(dilated,            1, 16, 9, 10, 18, 3, 9, 10, (1, 2, 2, 2, 2, 2), false)                   \
    X(dilated_stride,     1, 16, 9, 8, 16, 3, 5, 4, (2, 2, 2, 2, 2, 2), false)                     \
    X(stride_3,           1, 4, 10, 8, 16, 3, 4, 3, (3, 1, 1, 1, 1, 1), false)                     \
    X(wide_pad,           1, 16, 2, 3, 16, 2, 7, 8, (1, 1, 3, 3, 3, 3), false)                     \
    X(three_in,           2, 3, 9, 35, 40, 3, 9, 35, (1, 1, 1, 1, 1, 1), false)                    \
    X(three_in_stride,    1, 3, 12, 38, 32, 4, 6, 19, (2, 1, 1, 1, 1, 1), false)                   \
    X(nine_in,            1, 9, 6, 70, 64, 3, 6, 70, (1, 1, 1, 1, 1, 1), false)                    \
    X(three_out,          2, 24, 7, 21, 3, 3, 7, 21, (1, 1, 1, 1, 1, 1), false)                    \
    X(two_out,            1, 64, 5, 9, 2, 1, 5, 9, (1, 1, 0, 0, 0, 0), false)                      \
    X(four_out_lopsided,  1, 33, 6, 13, 4, 3, 3, 6, (2, 1, 0, 1, 0, 1), false)                     \
    X(one_out,            1, 32, 6, 6, 1, 4, 5, 5, (1, 1, 1, 1, 1, 1), false)                      \
    X(few_both,           2, 3, 6, 6, 4, 1, 6, 6, (1, 1, 0, 0, 0, 0), false)                       \
    X(large_tiles,        2, 9, 16, 16, 256, 3, 16, 16, (1, 1, 1, 1, 1, 1), false)                 \
    X(deep,               1, 130, 4, 5, 24, 3, 4, 5, (1, 1, 1, 1, 1, 1), false)                    \
    X(deep_stride,        1, 65, 8, 8, 130, 3, 4, 4, (2, 1, 1, 1, 1, 1), false)                    \
    X(winograd_odd,       2, 40, 9, 14, 50, 3, 9, 14, (1, 1, 1, 1, 1, 1), false)                   \
    X(winograd_lopsided,  1, 33, 6, 7, 32, 3, 7, 8, (1, 1, 0, 3, 2, 1), false)                     \
    X(winograd_chunks,    2, 32, 29, 44, 32, 3, 29, 44, (1, 1, 1, 1, 1, 1), true)                  \
    X(winograd_deep,      1, 280, 8, 8, 32, 3, 8, 8, (1, 1, 1, 1, 1, 1), true)                     \
    X(bench_3x3,          1, 128, 32, 32, 64, 3, 32, 32, (1, 1, 1, 1, 1, 1), true)                 \
    X(bench_down,         1, 64, 32, 32, 64, 3, 16, 16, (2, 1, 0, 1, 0, 1), true)                  \
    X(bench_1x1,          1, 256, 16, 16, 256, 1, 16, 16, (1, 1, 0, 0, 0, 0), true)                \
    X(bench_first,        1, 3, 128, 128, 64, 3, 128, 128, (1, 1, 1, 1, 1, 1), true)               \
    X(bench_last,         1, 128, 64, 64, 3, 3, 64, 64, (1, 1, 1, 1, 1, 1), true)

#define UNPACK(s, d, l, r, t, b) { s, d, l, r, t, b }
#define ATTRIBUTES(name, N, I, H, W, O, K, P, Q, at, real)                                         \
    static const diffad_conv_attr name##_attr = UNPACK at;                                         \
    static const conv2d_grad_attr name##_dx_attr = { UNPACK at, H, W }, name##_dw_attr = { UNPACK at, K, K };
CONV_CASES(ATTRIBUTES)

#define FORWARD(label, N, I, H, W, O, K, P, Q, at, real)                                           \
    { .name = #label, .in = { { 4, { N, I, H, W } }, { 4, { O, I, K, K } }, { 1, { O } } },        \
      .attr = &label##_attr, .bench = real },
#define INPUT(label, N, I, H, W, O, K, P, Q, at, real)                                             \
    { .name = #label, .in = { { 4, { O, I, K, K } }, { 4, { N, O, P, Q } } },                      \
      .attr = &label##_dx_attr, .bench = real },
#define WEIGHT(label, N, I, H, W, O, K, P, Q, at, real)                                            \
    { .name = #label, .in = { { 4, { N, I, H, W } }, { 4, { N, O, P, Q } } },                      \
      .attr = &label##_dw_attr, .bench = real },

static const diffad_op_case cases[] = {
    CONV_CASES(FORWARD)
    { .name = "no_bias", .in = { { 4, { 1, 16, 8, 8 } }, { 4, { 16, 16, 4, 4 } } }, .attr = &four_stride_2_attr,
      .absent = 4 },
    { .name = "bench_unet", .in = { { 4, { 1, 256, 64, 64 } }, { 4, { 256, 256, 3, 3 } }, { 1, { 256 } } }, .attr = &bench_3x3_attr,
      .bench = true, .tol = 4e-6 },      /* 2304 products a sum, and the worst of a million sums counts */
    { .name = "bench_deep", .in = { { 4, { 1, 1024, 8, 8 } }, { 4, { 1024, 1024, 3, 3 } }, { 1, { 1024 } } }, .attr = &bench_3x3_attr,
      .bench = true, .tol = 4e-6 },      /* 38 MB of weights for 64 pixels */
    { .name = "flat_kernel", .in = { { 4, { 1, 17, 5, 9 } }, { 4, { 16, 17, 2, 3 } } }, .attr = &four_attr,
      .absent = 4 },
};
static const diffad_op_case dx_cases[] = { CONV_CASES(INPUT) };
/* Of the weight's gradient alone: tiles of more than one sample with unequal borders, and more chunks than are made at a time. */
static const conv2d_grad_attr winograd_samples_attr = { { 1, 1, 0, 3, 2, 1 }, 3, 3 }, winograd_launches_attr = { { 1, 1, 1, 1, 1, 1 }, 3, 3 };
static const diffad_op_case dw_cases[] = {
    CONV_CASES(WEIGHT)
    { .name = "winograd_samples", .in = { { 4, { 3, 33, 10, 13 } }, { 4, { 3, 35, 11, 14 } } }, .attr = &winograd_samples_attr },
    { .name = "winograd_launches", .in = { { 4, { 1, 160, 46, 46 } }, { 4, { 1, 160, 46, 46 } } }, .attr = &winograd_launches_attr, .bench = true },
};

/* Sums of up to some thousand products, added up in two levels: the error grows with the root of their number. */
const diffad_op diffad_op_conv2d = {
    .name = "conv2d", .n_in = 3, .n_required = 2, .n_out = 1, .attr_size = sizeof(diffad_conv_attr), .attr_kinds = "iiiiii", .tol = 2e-6,
    .maps_in = 1, .maps_out = 1, .infer = infer, DIFFAD_WAYS(ways), .grad = grad, .cost = cost,
    .ref = ref, DIFFAD_CASES(cases),
};
const diffad_op diffad_op_conv2d_dx = {
    .name = "conv2d_dx", .n_in = 2, .n_out = 1, .attr_size = sizeof(conv2d_grad_attr), .attr_kinds = "iiiiiiii", .tol = 2e-6, .maps_in = 2,
    .maps_out = 1, .infer = dx_infer, DIFFAD_WAYS(dx_ways), .no_grad = "second derivatives are not needed",
    .cost = cost, .ref = dx_ref, DIFFAD_CASES(dx_cases),
};
const diffad_op diffad_op_conv2d_dw = {
    .name = "conv2d_dw", .n_in = 2, .n_out = 1, .attr_size = sizeof(conv2d_grad_attr), .attr_kinds = "iiiiiiii", .tol = 2e-6, .maps_in = 3,
    .infer = dw_infer, DIFFAD_WAYS(dw_ways), .no_grad = "second derivatives are not needed", .cost = cost,
    .ref = dw_ref, DIFFAD_CASES(dw_cases),
};

diffad_val diffad_conv2d(diffad_graph *g, diffad_val x, diffad_val w, diffad_val b, const diffad_conv_attr *attr)
{
    return diffad_apply(g, &diffad_op_conv2d, attr, 3, (diffad_val[]){ x, w, b });
}
