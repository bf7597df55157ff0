/* ssim_range.cl: whether any value is above 128 (bit 0) or below -0.5 (bit 1). */
#include "common/local.cl"
#include "common/part.cl"
#include "common/vec.cl"

#ifndef WG
#define WG 64
#endif
#define KERNEL __kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void

/* The bits of all work-items of a group; for work-item 0. */
DIFFAD_LOCAL_FN int join_bits(int bits, __local int *all)
{
    all[get_local_id(0)] = bits;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = 1; i < WG && get_local_id(0) == 0; i++)
        bits |= all[i];
    return bits;
}

#if HAS_PART(1)
/* A group takes WG * per_item vectors. */
KERNEL ssim_range_seen(__global const float *x, ulong x_off, __global int *flags, ulong flags_off, ulong vectors,
                       int per_item)
{
    __local int all[WG];
    const ulong first = get_group_id(0) * (ulong)per_item * WG + get_local_id(0),
                last = min(vectors, first + (ulong)per_item * WG);
    vint high = 0, low = 0;
    for (ulong i = first; i < last; i += WG) {
        const vfloat v = vload(i, x + x_off);
        high |= v > 128.0f;
        low |= v < -0.5f;
    }
    int bits = 0, lane[2 * VEC];
    vstore(high, 0, lane);
    vstore(low, 1, lane);
    for (int k = 0; k < VEC; k++)
        bits |= (lane[k] ? 1 : 0) | (lane[VEC + k] ? 2 : 0);
    bits = join_bits(bits, all);
    if (get_local_id(0) == 0)
        flags[flags_off + get_group_id(0)] = bits;
}
#endif

#if HAS_PART(2)
/* One work-group. */
KERNEL ssim_range_result(__global const int *flags, ulong flags_off, __global float *range, ulong range_off, int count)
{
    __local int all[WG];
    int bits = 0;
    for (int i = get_local_id(0); i < count; i += WG)
        bits |= flags[flags_off + i];
    bits = join_bits(bits, all);
    if (get_local_id(0) == 0)
        range[range_off] = (bits & 1 ? 255.0f : 1.0f) - (bits & 2 ? -1.0f : 0.0f);
}
#endif
