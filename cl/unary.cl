/* unary.cl: y = f(x), or with GRADIENT dx = f'(x) dy; one work-item handles VEC elements. F: which function, numbered
 * as in src/op/unary.c; a and b are its parameters. A program holds one kernel, for compile time's sake.
 *
 * tail > 0: f(0) is not 0, a vector is one pixel of one channel block, and the last of every `blocks` channel blocks
 * has only `tail` channels: the lanes behind them are written as zero. Not-a-numbers pass through every forward
 * function. */
#ifndef F
#define F 0
#endif
#ifndef GRADIENT
#define GRADIENT 0
#endif
#include "common/exp.cl"
#include "common/lanes.cl"

#define ZERO ((vfloat)(0.0f))
#define A    ((vfloat)(a))
#define B    ((vfloat)(b))

/* For what vexp's clamps could hide from a compiler's min and max. */
static vfloat keep_nan(vfloat y, vfloat x) { return select(y, x, isnan(x)); }

static vfloat sigmoid(vfloat x) { return 1.0f / (1.0f + vexp(-x)); }

/* The sigmoid's slope without the cancellation of s (1 - s). */
static vfloat bell(vfloat x)
{
    const vfloat e = vexp(-fabs(x));
    return e / ((1.0f + e) * (1.0f + e));
}

#if F == 0
#define VALUE x / (1.0f + vexp(-x))
#define SLOPE sigmoid(x) * (1.0f + x * (1.0f - sigmoid(x)))
#elif F == 1        /* relu */
#define VALUE select(x, ZERO, x < ZERO)
#define PRODUCT select(ZERO, dy, x > ZERO)
#elif F == 2        /* leaky_relu */
#define VALUE select(A * x, x, x > ZERO)
#define PRODUCT select(A * dy, dy, x > ZERO)
#elif F == 3
/* Near zero the polynomial of Cephes' tanhf. */
static vfloat tanh_of(vfloat x)
{
    const vfloat z = x * x, e = vexp(-2.0f * fabs(x));
    vfloat p = z * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    return select(copysign((1.0f - e) / (1.0f + e), x), p * z * x + x, fabs(x) < (vfloat)(0.625f));
}
#define VALUE keep_nan(tanh_of(x), x)
#define SLOPE 4.0f * bell(2.0f * x)
#elif F == 4
#define VALUE keep_nan(sigmoid(x), x)
#define SLOPE bell(x)
#elif F == 5
static vfloat square(vfloat x) { return x * x; }
#define VALUE keep_nan(square(vexp(0.5f * x)), x)      /* the whole range of floats, which vexp's is not */
#elif F == 6
/* gelu: x times the normal distribution function, whose tail is the density times Mills' ratio: here a polynomial in
 * t = 1 / (1 + p |x|), by minimax of the relative error (9e-8). The slope adds x times the density. */
typedef struct normal { vfloat below, density; } normal;
static normal normal_of(vfloat x)
{
    const vfloat e = vexp(-0.5f * x * x), t = 1.0f / (1.0f + 0.3045991f * fabs(x));
    vfloat m = t * 3.676497e-2f - 1.5391873e-1f;
    m = m * t + 1.8830595e-1f;
    m = m * t - 4.002725e-2f;
    m = m * t + 1.2202507e-1f;
    m = m * t + 1.0302537e-1f;
    m = m * t + 1.2234723e-1f;
    m = m * t + 1.2147743e-1f;
    const vfloat tail = e * (m * t);
    const normal n = { select(tail, 1.0f - tail, x > ZERO), 0.39894228f * e };
    return n;
}
static vfloat gelu_slope(vfloat x)
{
    const normal n = normal_of(x);
    return n.below + x * n.density;
}
#define VALUE x * normal_of(x).below
#define SLOPE gelu_slope(x)
#elif F == 7
#define VALUE fabs(x)
#define PRODUCT select(select(ZERO, -dy, x < ZERO), dy, x > ZERO)
#elif F == 8
#define VALUE x * x
#define SLOPE 2.0f * x
#elif F == 9        /* clamp */
#define VALUE select(select(x, A, x < A), B, x > B)
#define PRODUCT select(ZERO, dy, (x >= A) & (x <= B))
#elif F == 10       /* affine */
#define VALUE A * x + B
#endif
#ifndef PRODUCT
#define PRODUCT dy * (SLOPE)
#endif

#if GRADIENT
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void unary_bwd(__global const float *px, ulong x_off, __global const float *pdy, ulong dy_off,
               __global float *pdx, ulong dx_off, ulong vectors, float a, float b)
{
    const size_t i = get_global_id(0);
    if (i >= vectors)
        return;
    const vfloat x = vload(i, px + x_off), dy = vload(i, pdy + dy_off);
    vstore(PRODUCT, i, pdx + dx_off);
}
#else
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void unary_fwd(__global const float *px, ulong x_off, __global float *py, ulong y_off,
               ulong vectors, float a, float b, int tail, int pixels, int blocks)
{
    const size_t i = get_global_id(0);
    if (i >= vectors)
        return;
    const vfloat x = vload(i, px + x_off);
    vfloat       y = VALUE;
    if (tail && (int)(i / (size_t)pixels % (size_t)blocks) == blocks - 1)
        y = first_lanes(y, tail);
    vstore(y, i, py + y_off);
}
#endif
