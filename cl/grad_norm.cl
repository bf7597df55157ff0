/* grad_norm.cl: arithmetic of single numbers. */
#include "common/part.cl"
#define KERNEL __kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void
#define IN(k) __global const float *x##k, ulong x##k##_off

#if HAS_PART(1)
KERNEL add_scalars(IN(0), IN(1), IN(2), IN(3), IN(4), IN(5), IN(6), IN(7), IN(8), IN(9), IN(10), IN(11),
                   __global float *y, ulong y_off, int count)
{
    const float v[12] = { x0[x0_off], x1[x1_off], x2[x2_off], x3[x3_off], x4[x4_off], x5[x5_off],
                          x6[x6_off], x7[x7_off], x8[x8_off], x9[x9_off], x10[x10_off], x11[x11_off] };
    float sum = 0.0f;
    for (int i = 0; i < count; i++)
        sum += v[i];
    y[y_off] = sum;
}
#endif

#if HAS_PART(2)
KERNEL norm_of_squares(__global const float *sum, ulong sum_off, __global float *y, ulong y_off)
{
    const float norm = sqrt(sum[sum_off]);
    y[y_off]     = norm;
    y[y_off + 1] = isfinite(norm) ? 1.0f : 0.0f;
}
#endif

#if HAS_PART(3)
KERNEL clip_scale(__global const float *norm, ulong norm_off, __global float *y, ulong y_off, float limit)
{
    y[y_off] = norm[norm_off + 1] >= 0.5f ? fmin(1.0f, limit / (norm[norm_off] + 1e-6f)) : 0.0f;
}
#endif
