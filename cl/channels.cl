/* channels.cl: channels of one value become channels of another. VEC: floats of a vector, in the blocked layout the
 * channel block. */
#ifndef SHIFT
#define SHIFT 0
#endif
#include "common/vec.cl"
#include "common/lanes.cl"

#if !SHIFT
/* One work-item writes vector id 0 of sample id 1: source vector id 0 - shift where there is one, else zeros. Vectors
 * from tail_start on have only `tail` lanes. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void copy_channels(__global const float *x, ulong x_off, __global float *y, ulong y_off, ulong x_stride, ulong y_stride,
                   int y_count, int shift, int x_count, int tail, int tail_start)
{
    const int    i = (int)get_global_id(0), k = i - shift;
    const size_t n = get_global_id(1);
    vfloat       v = 0.0f;
    if (i >= y_count)
        return;
    if (k >= 0 && k < x_count)
        v = vload(k, x + x_off + n * x_stride);
    if (k >= tail_start)
        v = first_lanes(v, tail);
    vstore(v, i, y + y_off + n * y_stride);
}

#else
static vfloat block_or_zero(__global const float *x, int cb, int blocks, int HW, int p)
{
    return cb >= 0 && cb < blocks ? vload((size_t)cb * HW + p, x) : (vfloat)(0.0f);
}

/* Pixel id 0 of the output's channel block first + id 1 of sample id 2: put together from two blocks of the source.
 * Channels outside of to .. to+count-1 become zero; with `keeps`, those before `to` stay. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void shift_channels(__global const float *x, ulong x_off, __global float *y, ulong y_off, int x_blocks, int y_blocks,
                    int HW, int first, int from, int to, int count, int keeps)
{
    const int    p = (int)get_global_id(0), cb = first + (int)get_global_id(1);
    const size_t n = get_global_id(2);
    if (p >= HW)
        return;
    __global const float *source = x + x_off + n * x_blocks * (size_t)HW * VEC;
    __global float       *target = y + y_off + (n * y_blocks + cb) * (size_t)HW * VEC;
    const int  c0 = cb * VEC, s0 = c0 + from - to;
    const int  block = (s0 >= 0 ? s0 : s0 - (VEC - 1)) / VEC;       /* rounds down */
    float      two[2 * VEC];
    vstore(block_or_zero(source, block, x_blocks, HW, p), 0, two);
    vstore(block_or_zero(source, block + 1, x_blocks, HW, p), 1, two);
    const vint c = c0 + DIFFAD_LANES;
    vfloat     v = select((vfloat)(0.0f), vload(0, two + (s0 - block * VEC)),
                          (c >= (vint)(to)) & (c < (vint)(to + count)));
    if (keeps && c0 < to)
        v = select(v, vload(p, target), c < (vint)(to));
    vstore(v, p, target);
}
#endif
