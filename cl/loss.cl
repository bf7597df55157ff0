/* loss.cl: sums of a function of one or two operands. SIGN: of hinge's operand. */
#include "common/exp.cl"
#include "common/part.cl"
#include "common/reduce.cl"

#ifndef SIGN
#define SIGN 1
#endif
#define KERNEL __kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void
#define SUM(TERM)                                                                  \
    __local float tree[WG];                                                        \
    __global const float *p = a + a_off, *q = b + b_off;                           \
    REDUCE(total, i, vectors, per_item, TERM(vload(i, p), vload(i, q)))            \
    REDUCE_STORE(total, y + y_off, scale, add)

static vfloat square(vfloat v) { return v * v; }

#define MSE_TERM(u, v) square((u) - (v))
#if HAS_PART(1)
KERNEL mse(__global const float *a, ulong a_off, __global const float *b, ulong b_off, __global float *y, ulong y_off,
           ulong vectors, int per_item, float scale, float add)
{
    SUM(MSE_TERM)
}
#endif

#define L1_TERM(u, v) fabs((u) - (v))
#if HAS_PART(2)
KERNEL l1(__global const float *a, ulong a_off, __global const float *b, ulong b_off, __global float *y, ulong y_off,
          ulong vectors, int per_item, float scale, float add)
{
    SUM(L1_TERM)
}
#endif

/* a: mean, b: logvar */
static vfloat kl_term(vfloat mean, vfloat logvar) { return mean * mean + (vexpm1(logvar) - logvar); }
#if HAS_PART(3)
KERNEL kl(__global const float *a, ulong a_off, __global const float *b, ulong b_off, __global float *y, ulong y_off,
          ulong vectors, int per_item, float scale, float add){ SUM(kl_term) }
#endif

#if HAS_PART(4)
KERNEL hinge(__global const float *x, ulong x_off, __global float *y, ulong y_off, ulong vectors, int per_item,
             float scale, float add)
{
    __local float tree[WG];
    REDUCE(total, i, vectors, per_item, max(1.0f + SIGN * vload(i, x + x_off), 0.0f))
    REDUCE_STORE(total, y + y_off, scale, add)
}
#endif
