/* cast.c: float32 to and from half, bfloat16, 32-bit integers and bytes. Kernels: cl/cast.cl. */
#include "op/skeleton.h"

#include <math.h>

typedef struct cast_attr { int32_t type; } cast_attr;

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    const diffad_dtype from = n->in[0]->type, to = (diffad_dtype)((const cast_attr *)n->attr)->type;
    const bool is_stored = from <= DIFFAD_U8 && to <= DIFFAD_U8;      /* the others occur in files only */
    if (!is_stored || (from == DIFFAD_F32) == (to == DIFFAD_F32))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "cast: from %s to %s; one of them must be f32, the other f16, bf16, i32 or u8",
                    diffad_dtype_name(from), diffad_dtype_name(to));
    out[0] = (diffad_infer_out){ to, n->in[0]->shape };
    return DIFFAD_OK;
}

/* The numbers the kernel knows the types by. */
static int64_t kernel_type(diffad_dtype t)
{
    switch (t) {
    case DIFFAD_F16: return 1;
    case DIFFAD_BF16: return 2;
    case DIFFAD_I32: return 3;
    case DIFFAD_U8: return 4;
    default: return 0;
    }
}

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    int64_t       vectors;
    diffad_launch l = diffad_pointwise_launch(e, "cast", "cast", 1, diffad_numel(n->out[0]), &vectors);
    diffad_launch_def(&l, "FROM", kernel_type(n->in[0]->type));
    diffad_launch_def(&l, "TO", kernel_type(n->out[0]->type));
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    diffad_launch_count(&l, vectors);
    return diffad_emit_launch(e, &l);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 1); }

/* x with `bits` binary digits behind the point of its leading one, ties to even; the format's smallest normal number is
 * 2^lowest, its largest is below `limit`. */
static double round_to(double x, int bits, int lowest, double limit)
{
    if (!isfinite(x))
        return x;
    const int    exponent = x != 0 && ilogb(x) > lowest ? ilogb(x) : lowest;
    const double y        = ldexp(rint(ldexp(x, bits - exponent)), exponent - bits);
    return fabs(y) < limit ? y : copysign(INFINITY, y);
}

static double round_within(double x, double lo, double hi)
{
    return isnan(x) ? 0 : x < lo ? lo : x > hi ? hi : rint(x);
}

static void ref(const diffad_ref *r)
{
    const diffad_dtype to = r->n->out[0]->type;
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++) {
        const double x = r->in[0][i];
        r->out[0][i] = to == DIFFAD_F16    ? round_to(x, 10, -14, 65536.0)
                       : to == DIFFAD_BF16 ? round_to(x, 7, -126, ldexp(1.0, 128))
                       : to == DIFFAD_I32  ? round_within(x, -2147483648.0, 2147483647.0)
                       : to == DIFFAD_U8   ? round_within(x, 0, 255)
                                           : (double)(float)x;
    }
}

static const diffad_way ways[] = { { .name = "plain", .emit = emit, .is_portable = true } };

static const cast_attr f32 = { DIFFAD_F32 }, f16 = { DIFFAD_F16 }, bf16 = { DIFFAD_BF16 }, i32 = { DIFFAD_I32 },
    u8 = { DIFFAD_U8 };
#define ODD  { 4, { 2, 3, 5, 7 } }
#define WIDE { 4, { 2, 3, 8, 8 } }
static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 0, { 0 } } }, .attr = &f16 },
    { .name = "odd_to_f16", .in = { ODD }, .attr = &f16 },
    { .name = "small_to_f16", .in = { ODD }, .range = { { -1e-4, 1e-4 } }, .attr = &f16 },       /* half's subnormals */
    /* around its smallest */
    { .name = "tiny_to_f16", .in = { ODD }, .range = { { -1e-7, 1e-7 } }, .attr = &f16 },
    /* some become infinite */
    { .name = "large_to_f16", .in = { ODD }, .range = { { 65000, 66000 } }, .attr = &f16 },
    { .name = "odd_from_f16", .in = { ODD }, .type = { DIFFAD_F16 }, .attr = &f32 },
    { .name = "small_from_f16", .in = { ODD }, .type = { DIFFAD_F16 }, .range = { { 1e-7, 6e-5 } }, .attr = &f32 },
    { .name = "odd_to_bf16", .in = { ODD }, .attr = &bf16 },
    { .name = "odd_from_bf16", .in = { ODD }, .type = { DIFFAD_BF16 }, .attr = &f32 },
    { .name = "odd_to_i32", .in = { ODD }, .range = { { -9, 9 } }, .attr = &i32 },
    { .name = "ties_to_i32", .in = { { 1, { 5 } } }, .range = { { 2.5, 2.5 } }, .attr = &i32 },
    { .name = "far_to_i32", .in = { ODD }, .range = { { -4e9, 4e9 } }, .attr = &i32 },
    { .name = "odd_from_i32", .in = { ODD }, .type = { DIFFAD_I32 }, .range = { { -2e9, 2e9 } }, .attr = &f32 },
    { .name = "odd_to_u8", .in = { ODD }, .range = { { -40, 300 } }, .attr = &u8 },
    { .name = "odd_from_u8", .in = { ODD }, .type = { DIFFAD_U8 }, .range = { { 0, 255 } }, .attr = &f32 },
    { .name = "wide_to_f16", .in = { WIDE }, .range = { { -1e-4, 1e-4 } }, .attr = &f16 },
    { .name = "wide_from_f16", .in = { WIDE }, .type = { DIFFAD_F16 }, .attr = &f32 },
    { .name = "wide_to_bf16", .in = { WIDE }, .attr = &bf16 },
    { .name = "wide_from_bf16", .in = { WIDE }, .type = { DIFFAD_BF16 }, .attr = &f32 },
    { .name = "wide_to_i32", .in = { WIDE }, .range = { { -4e9, 4e9 } }, .attr = &i32 },
    { .name = "wide_from_i32", .in = { WIDE }, .type = { DIFFAD_I32 }, .range = { { -2e9, 2e9 } }, .attr = &f32 },
    { .name = "wide_to_u8", .in = { WIDE }, .range = { { -40, 300 } }, .attr = &u8 },
    { .name = "wide_from_u8", .in = { WIDE }, .type = { DIFFAD_U8 }, .range = { { 0, 255 } }, .attr = &f32 },
    { .name = "ties_to_u8", .in = { { 1, { 16 } } }, .range = { { 2.5, 2.5 } }, .attr = &u8 },
    { .name = "fours_to_f16", .in = { { 1, { 4 } } }, .attr = &f16 },
    { .name = "unet", .in = { { 4, { 2, 256, 32, 32 } } }, .attr = &bf16, .bench = true },
    { .name = "unet_f16", .in = { { 4, { 2, 256, 32, 32 } } }, .attr = &f16, .bench = true },
    { .name = "unet_from_f16", .in = { { 4, { 2, 256, 32, 32 } } }, .type = { DIFFAD_F16 }, .attr = &f32, .bench = true },
    { .name = "unet_from_bf16", .in = { { 4, { 2, 256, 32, 32 } } }, .type = { DIFFAD_BF16 }, .attr = &f32, .bench = true },
    { .name = "pictures", .in = { { 4, { 8, 3, 256, 256 } } }, .type = { DIFFAD_U8 }, .attr = &f32, .bench = true },
    { .name = "pictures_back", .in = { { 4, { 8, 3, 256, 256 } } }, .range = { { -40, 300 } }, .attr = &u8, .bench = true },
};

const diffad_op diffad_op_cast = {
    .name = "cast", .n_in = 1, .n_out = 1, .attr_size = sizeof(cast_attr), .tol = 0, .infer = infer, DIFFAD_WAYS(ways),
    .no_grad = "other types are for storage: differentiate in float32 and cast the results",
    .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

/* A cast to the type x has already is x itself: gradients pass. */
diffad_val diffad_cast(diffad_graph *g, diffad_val x, diffad_dtype type)
{
    if (diffad_is_valid(x) && diffad_val_type(g, x) == type)
        return x;
    return diffad_apply(g, &diffad_op_cast, &(cast_attr){ (int32_t)type }, 1, &x);
}
