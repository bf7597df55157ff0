/* diffusion.cl: pointwise steps, VEC elements a work-item. `share` vectors are one sample; times outside the tables'
 * rows read the nearest row. NOISE: whether ddim_step has noise. */
#include "common/part.cl"
#include "common/vec.cl"

#ifndef NOISE
#define NOISE 1
#endif
#define KERNEL __kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void

#if HAS_PART(1)
KERNEL gaussian_sample(__global const float *mean, ulong mean_off, __global const float *logvar, ulong logvar_off,
                       __global const float *eps, ulong eps_off, __global float *y, ulong y_off, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i < vectors)
        vstore(vload(i, mean + mean_off) + exp(0.5f * vload(i, logvar + logvar_off)) * vload(i, eps + eps_off), i,
               y + y_off);
}
#endif

#if HAS_PART(2)
KERNEL gaussian_sample_bwd(__global const float *logvar, ulong logvar_off, __global const float *eps, ulong eps_off,
                           __global const float *dy, ulong dy_off, __global float *dx, ulong dx_off, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i < vectors)
        vstore(0.5f * exp(0.5f * vload(i, logvar + logvar_off)) * vload(i, eps + eps_off) * vload(i, dy + dy_off), i,
               dx + dx_off);
}
#endif

#if HAS_PART(3)
KERNEL q_sample(__global const float *x0, ulong x0_off, __global const float *eps, ulong eps_off, __global const int *t,
                ulong t_off, __global const float *a, ulong a_off, __global const float *b, ulong b_off,
                __global float *y, ulong y_off, ulong share, int rows, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i >= vectors)
        return;
    const int row = clamp(t[t_off + i / share], 0, rows - 1);
    vstore(a[a_off + row] * vload(i, x0 + x0_off) + b[b_off + row] * vload(i, eps + eps_off), i, y + y_off);
}
#endif

#if HAS_PART(4)
KERNEL q_sample_bwd(__global const float *dy, ulong dy_off, __global const int *t, ulong t_off, __global const float *a,
                    ulong a_off, __global float *dx, ulong dx_off, ulong share, int rows, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i < vectors)
        vstore(a[a_off + clamp(t[t_off + i / share], 0, rows - 1)] * vload(i, dy + dy_off), i, dx + dx_off);
}
#endif

#if HAS_PART(5)
KERNEL ddim_step(__global const float *x, ulong x_off, __global const float *eps, ulong eps_off,
                 __global const float *coef, ulong coef_off, __global const float *noise, ulong noise_off,
                 __global float *y, ulong y_off, __global float *y0, ulong y0_off, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i >= vectors)
        return;
    __global const float *c = coef + coef_off;
    const vfloat e  = vload(i, eps + eps_off);
    const vfloat x0 = (vload(i, x + x_off) - c[1] * e) / c[0];
    vfloat next = c[2] * x0 + c[3] * e;
#if NOISE
    next += c[4] * vload(i, noise + noise_off);
#endif
    vstore(x0, i, y0 + y0_off);
    vstore(next, i, y + y_off);
}
#endif

#if HAS_PART(6)
KERNEL ddpm_step(__global const float *x, ulong x_off, __global const float *eps, ulong eps_off,
                 __global const float *noise, ulong noise_off, __global const int *t, ulong t_off,
                 __global const float *table, ulong table_off, __global float *y, ulong y_off, ulong share, int rows,
                 ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i >= vectors)
        return;
    __global const float *c = table + table_off + 5 * clamp(t[t_off + i / share], 0, rows - 1);
    const vfloat v  = vload(i, x + x_off);
    const vfloat x0 = c[0] * v - c[1] * vload(i, eps + eps_off);
    vstore(c[2] * x0 + c[3] * v + c[4] * vload(i, noise + noise_off), i, y + y_off);
}
#endif
