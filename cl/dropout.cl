/* dropout.cl: one work-item draws four numbers for four channels (4 id 1 ..) of pixel id 0 of sample id 2. */
#include "common/random.cl"

#ifndef B
#define B 16
#endif

/* keep, or 0 where the element is dropped */
static float4 factors(__global const int *key, float p, float keep, uint purpose, uint salt, uint four)
{
    const float4 u = diffad_random_uniform4((uint2)((uint)key[0], 0u), purpose, (uint)key[1], salt, four);
    return select((float4)(keep), (float4)(0.0f), u < (float4)(p));
}

#if B > 1
/* [N,C/B,HW,B]. Lanes beyond C are zero in x and stay so. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void dropout(__global const float *x, ulong x_off, __global const int *key, ulong key_off, __global float *y,
             ulong y_off, int C, int HW, float p, float keep, int purpose, int salt)
{
    const size_t pixel = get_global_id(0), four = get_global_id(1), n = get_global_id(2);
    if (pixel >= (size_t)HW)
        return;
    const float4 f  = factors(key + key_off, p, keep, (uint)purpose, (uint)salt,
                              (uint)((n * HW + pixel) * ((C + 3) / 4) + four));
    const size_t cb = n * (get_global_size(1) / (B / 4)) + four / (B / 4);
    const size_t at = (cb * HW + pixel) * (B / 4) + four % (B / 4);
    vstore4(vload4(at, x + x_off) * f, at, y + y_off);
}
#else
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void dropout(__global const float *x, ulong x_off, __global const int *key, ulong key_off, __global float *y,
             ulong y_off, int C, int HW, float p, float keep, int purpose, int salt)
{
    const size_t pixel = get_global_id(0), four = get_global_id(1), n = get_global_id(2);
    if (pixel >= (size_t)HW)
        return;
    const float4 f = factors(key + key_off, p, keep, (uint)purpose, (uint)salt,
                             (uint)((n * HW + pixel) * ((C + 3) / 4) + four));
    const size_t at   = (n * C + 4 * four) * HW + pixel;
    const int    left = C - 4 * (int)four;
    x += x_off + at;
    y += y_off + at;
    y[0] = x[0] * f.x;
    if (left > 1)
        y[HW] = x[HW] * f.y;
    if (left > 2)
        y[2 * (size_t)HW] = x[2 * (size_t)HW] * f.z;
    if (left > 3)
        y[3 * (size_t)HW] = x[3 * (size_t)HW] * f.w;
}
#endif
