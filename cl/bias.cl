/* bias.cl: y = x + b. VEC: floats of a vector, in the blocked layout the channel block. b_stride: C when b has a row
 * per sample, else 0. */
#ifndef BLOCKED
#define BLOCKED 0
#endif
#include "common/vec.cl"
#include "common/lanes.cl"

#if BLOCKED
/* [N,C/B,HW,B]: one work-item handles `run` pixels of channel block id 1 of sample id 2. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void bias(__global const float *x, ulong x_off, __global const float *b, ulong b_off,
          __global float *y, ulong y_off, int C, int HW, int b_stride, int run)
{
    const int p0 = (int)get_global_id(0) * run, p1 = min(p0 + run, HW), cb = (int)get_global_id(1);
    if (p0 >= HW)
        return;
    const size_t n    = get_global_id(2);
    const size_t from = (n * get_global_size(1) + cb) * (size_t)HW * VEC;
    const vfloat add  = load_lanes(b + b_off + n * b_stride + (size_t)cb * VEC, C - cb * VEC);
    for (int p = p0; p < p1; p++)
        vstore(vload(p, x + x_off + from) + add, p, y + y_off + from);
}

#else
/* [N,C,vectors]: one work-item handles one vector, which lies in one channel. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void bias(__global const float *x, ulong x_off, __global const float *b, ulong b_off,
          __global float *y, ulong y_off, int C, int vectors, int b_stride, int run)
{
    const int i = (int)get_global_id(0), c = i / vectors;
    if (c >= C)
        return;
    const size_t n    = get_global_id(1);
    const size_t from = n * C * (size_t)vectors * VEC;
    vstore(vload(i, x + x_off + from) + b[b_off + n * b_stride + c], i, y + y_off + from);
}
#endif
