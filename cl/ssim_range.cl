/* ssim_range.cl: whether any value is above 128 (bit 0) or below -0.5 (bit 1). */
#include "common/part.cl"
#define KERNEL __kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void

#if HAS_PART(1)
KERNEL ssim_range_seen(__global const float *x, ulong x_off, __global int *flags, ulong flags_off, ulong count)
{
    int seen = 0;
    for (ulong i = get_global_id(0); i < count; i += get_global_size(0))
        seen |= (x[x_off + i] > 128.0f ? 1 : 0) | (x[x_off + i] < -0.5f ? 2 : 0);
    flags[flags_off + get_global_id(0)] = seen;
}
#endif

#if HAS_PART(2)
/* One work-group. */
KERNEL ssim_range_result(__global const int *flags, ulong flags_off, __global float *range, ulong range_off, int count)
{
    __local int part[WG];
    const int l = get_local_id(0);
    int       seen = 0;
    for (int i = l; i < count; i += WG)
        seen |= flags[flags_off + i];
    part[l] = seen;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (l != 0)
        return;
    for (int i = 1; i < WG; i++)
        seen |= part[i];
    range[range_off] = (seen & 1 ? 255.0f : 1.0f) - (seen & 2 ? -1.0f : 0.0f);
}
#endif
