/* unary.cl: y = f(x) and dx = f'(x) dy; one work-item handles VEC elements. a and b are the function's parameters.
 *
 * tail > 0: f(0) is not 0, a vector is one pixel of one channel block, and the last of every `blocks` channel blocks has
 * only `tail` channels: the lanes behind them are written as zero. Not-a-numbers pass through every forward function. */
#include "common/vec.cl"
#include "common/lanes.cl"

static vfloat vzero(void) { return (vfloat)(0.0f); }
static vfloat sigmoid(vfloat x) { return 1.0f / (1.0f + exp(-x)); }
static vfloat cumulative(vfloat x) { return 0.5f * (1.0f + erf(x * 0.70710678f)); }
static vfloat density(vfloat x) { return 0.39894228f * exp(-0.5f * x * x); }
static vfloat clamp_gradient(vfloat x, vfloat dy, float lo, float hi)
{
    return select(vzero(), dy, (x >= (vfloat)(lo)) & (x <= (vfloat)(hi)));
}

#define FORWARD(name, expression)                                                                       \
    __kernel __attribute__((reqd_work_group_size(WG, 1, 1)))                                            \
    void name##_fwd(__global const float *px, ulong x_off, __global float *py, ulong y_off,             \
                    ulong vectors, float a, float b, int tail, int pixels, int blocks)                  \
    {                                                                                                   \
        const size_t i = get_global_id(0);                                                              \
        if (i >= vectors)                                                                               \
            return;                                                                                     \
        const vfloat x = vload(i, px + x_off);                                                          \
        vfloat       y = expression;                                                                    \
        if (tail && (int)(i / (size_t)pixels % (size_t)blocks) == blocks - 1)                           \
            y = first_lanes(y, tail);                                                                   \
        vstore(y, i, py + y_off);                                                                       \
    }

#define BACKWARD(name, expression)                                                                      \
    __kernel __attribute__((reqd_work_group_size(WG, 1, 1)))                                            \
    void name##_bwd(__global const float *px, ulong x_off, __global const float *pdy, ulong dy_off,     \
                    __global float *pdx, ulong dx_off, ulong vectors, float a, float b)                 \
    {                                                                                                   \
        const size_t i = get_global_id(0);                                                              \
        if (i >= vectors)                                                                               \
            return;                                                                                     \
        const vfloat x = vload(i, px + x_off), dy = vload(i, pdy + dy_off);                             \
        vstore(expression, i, pdx + dx_off);                                                            \
    }

FORWARD(silu, x * sigmoid(x))
BACKWARD(silu, dy * sigmoid(x) * (1.0f + x * (1.0f - sigmoid(x))))
FORWARD(relu, select(x, vzero(), x < vzero()))
BACKWARD(relu, select(vzero(), dy, x > vzero()))
FORWARD(leaky_relu, select(a * x, x, x > vzero()))
BACKWARD(leaky_relu, select(a * dy, dy, x > vzero()))
FORWARD(tanh, tanh(x))
BACKWARD(tanh, dy * (1.0f - tanh(x) * tanh(x)))
FORWARD(sigmoid, sigmoid(x))
BACKWARD(sigmoid, dy * sigmoid(x) * (1.0f - sigmoid(x)))
FORWARD(exp, exp(x))
FORWARD(gelu, x * cumulative(x))
BACKWARD(gelu, dy * (cumulative(x) + x * density(x)))
FORWARD(abs, fabs(x))
BACKWARD(abs, select(select(vzero(), -dy, x < vzero()), dy, x > vzero()))
FORWARD(square, x * x)
BACKWARD(square, 2.0f * x * dy)
FORWARD(clamp, select(select(x, (vfloat)(a), x < (vfloat)(a)), (vfloat)(b), x > (vfloat)(b)))
BACKWARD(clamp, clamp_gradient(x, dy, a, b))
FORWARD(affine, a * x + b)
