/* loss_grad.cl: gradients of cl/loss.cl's losses, VEC elements a work-item; dy is one number. */
#include "common/exp.cl"
#include "common/part.cl"

#ifndef SIGN
#define SIGN 1
#endif
#define KERNEL __kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void

#if HAS_PART(1)
KERNEL mse_bwd(__global const float *a, ulong a_off, __global const float *b, ulong b_off, __global const float *dy,
               ulong dy_off, __global float *dx, ulong dx_off, float scale, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i < vectors)
        vstore(scale * dy[dy_off] * (vload(i, a + a_off) - vload(i, b + b_off)), i, dx + dx_off);
}
#endif

#if HAS_PART(2)
KERNEL l1_bwd(__global const float *a, ulong a_off, __global const float *b, ulong b_off, __global const float *dy,
              ulong dy_off, __global float *dx, ulong dx_off, float scale, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i < vectors)
        vstore(scale * dy[dy_off] * sign(vload(i, a + a_off) - vload(i, b + b_off)), i, dx + dx_off);
}
#endif

#if HAS_PART(3)
KERNEL kl_bwd(__global const float *mean, ulong mean_off, __global const float *logvar, ulong logvar_off,
              __global const float *dy, ulong dy_off, __global float *dmean, ulong dmean_off, __global float *dlogvar,
              ulong dlogvar_off, float scale, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i >= vectors)
        return;
    const float  s = scale * dy[dy_off];
    const vfloat m = vload(i, mean + mean_off), l = vload(i, logvar + logvar_off);
    vstore(s * m, i, dmean + dmean_off);
    vstore(0.5f * s * vexpm1(l), i, dlogvar + dlogvar_off);
}
#endif

#if HAS_PART(4)
KERNEL hinge_bwd(__global const float *x, ulong x_off, __global const float *dy, ulong dy_off, __global float *dx,
                 ulong dx_off, float scale, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i < vectors)
        vstore(select((vfloat)(0.0f), (vfloat)(scale * dy[dy_off]), 1.0f + SIGN * vload(i, x + x_off) > 0.0f), i,
               dx + dx_off);
}
#endif
