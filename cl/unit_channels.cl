/* unit_channels.cl: y = x / (r + eps), r = sqrt(sum of x^2 over the channels of a pixel), and its gradient
 * dx = dy / (r + eps) - x (sum of x dy) / (r (r + eps)^2), the second term 0 where r = 0.
 * B = 1: a work-item takes VEC pixels of one sample; B > 1: PIXELS pixels of all channel blocks. */
#ifndef B
#define B 1
#endif
#ifndef PIXELS
#define PIXELS 16
#endif
#include "common/global.cl"

#if B == 1
#define RUN 1
#else
#define RUN PIXELS
#endif

static float total(vfloat v)
{
#if VEC == 1
    return v;
#else
    float lane[VEC], sum = 0.0f;
    vstore(v, 0, lane);
    for (int i = 0; i < VEC; i++)
        sum += lane[i];
    return sum;
#endif
}

/* sum[p] = sum over channels of a b, for `many` vectors from a on; `blocks` of them lie `step` vectors apart. In a blocked
 * layout a pixel's lanes are added up, and all of them hold the sum. */
static void over_channels(__global const float *a, __global const float *b, int blocks, size_t step, int many,
                          vfloat *sum)
{
    for (int p = 0; p < RUN; p++)
        sum[p] = 0.0f;
    for (int c = 0; c < blocks; c++)
        for (int p = 0; p < many; p++)
            sum[p] += gload(c * step + p, a) * gload(c * step + p, b);
#if B > 1
    for (int p = 0; p < many; p++)
        sum[p] = (vfloat)(total(sum[p]));
#endif
}

/* units: vectors of a channel block; blocks: of a sample. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void unit_channels_fwd(__global const float *x, ulong x_off, __global float *y, ulong y_off, int blocks,
                       int units, float eps)
{
    vfloat    s[RUN];
    const int u = (int)get_global_id(0) * RUN;
    if (u >= units)
        return;
    const int    many = min(RUN, units - u);
    const size_t at = ((size_t)get_global_id(1) * blocks * units + u) * VEC;
    over_channels(x + x_off + at, x + x_off + at, blocks, units, many, s);
    for (int p = 0; p < many; p++)
        s[p] = 1.0f / (sqrt(s[p]) + eps);
    for (int c = 0; c < blocks; c++)
        for (int p = 0; p < many; p++)
            gstore(gload((size_t)c * units + p, x + x_off + at) * s[p], (size_t)c * units + p, y + y_off + at);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void unit_channels_bwd(__global const float *x, ulong x_off, __global const float *dy, ulong dy_off,
                       __global float *dx, ulong dx_off, int blocks, int units, float eps)
{
    vfloat    s[RUN], t[RUN];
    const int u = (int)get_global_id(0) * RUN;
    if (u >= units)
        return;
    const int    many = min(RUN, units - u);
    const size_t at = ((size_t)get_global_id(1) * blocks * units + u) * VEC;
    over_channels(x + x_off + at, x + x_off + at, blocks, units, many, s);
    over_channels(x + x_off + at, dy + dy_off + at, blocks, units, many, t);
    for (int p = 0; p < many; p++) {
        const vfloat r = sqrt(s[p]), f = 1.0f / (r + eps);
        t[p] = r > 0.0f ? t[p] / r * f * f : (vfloat)(0.0f);
        s[p] = f;
    }
    for (int c = 0; c < blocks; c++)
        for (int p = 0; p < many; p++) {
            const size_t i = (size_t)c * units + p;
            gstore(gload(i, dy + dy_off + at) * s[p] - gload(i, x + x_off + at) * t[p], i, dx + dx_off + at);
        }
}
