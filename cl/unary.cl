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
#include "common/vec.cl"
#include "common/lanes.cl"

#define ZERO ((vfloat)(0.0f))
#define A    ((vfloat)(a))
#define B    ((vfloat)(b))

static vfloat sigmoid(vfloat x) { return 1.0f / (1.0f + exp(-x)); }

/* The sigmoid's slope without the cancellation of s (1 - s). */
static vfloat bell(vfloat x)
{
    const vfloat e = exp(-fabs(x));
    return e / ((1.0f + e) * (1.0f + e));
}

#if F == 0
#define VALUE x * sigmoid(x)
#define SLOPE sigmoid(x) * (1.0f + x * (1.0f - sigmoid(x)))
#elif F == 1        /* relu */
#define VALUE select(x, ZERO, x < ZERO)
#define PRODUCT select(ZERO, dy, x > ZERO)
#elif F == 2        /* leaky_relu */
#define VALUE select(A * x, x, x > ZERO)
#define PRODUCT select(A * dy, dy, x > ZERO)
#elif F == 3
#define VALUE tanh(x)
#define SLOPE 4.0f * bell(2.0f * x)
#elif F == 4
#define VALUE sigmoid(x)
#define SLOPE bell(x)
#elif F == 5
#define VALUE exp(x)
#elif F == 6        /* gelu: x times the normal distribution function; its slope adds x times the density */
static vfloat cumulative(vfloat x) { return 0.5f * (1.0f + erf(x * 0.70710678f)); }
#define VALUE x * cumulative(x)
#define SLOPE cumulative(x) + x * 0.39894228f * exp(-0.5f * x * x)
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
