/* randn.cl: one work-item writes numbers 4 id 0 .. 4 id 0 + 3 of sample id 1, with DIFFAD_WIDE 32 id 0 .. 32 id 0 + 31. Rows of
 * key: { seed low, seed high, step, sample }. */
#include "common/random.cl"

#ifdef DIFFAD_WIDE
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void randn(__global const int *key, ulong key_off, __global float *y, ulong y_off, ulong count, int purpose)
{
    const size_t i = get_global_id(0), n = get_global_id(1);
    if (32 * i >= count)
        return;
    const uint4 k = as_uint4(vload4(n, key + key_off));
    uint8       c[4];
    diffad_random_u32_wide(k.xy, (uint)purpose, k.z, k.w, (uint)(8 * i) + (uint8)(0, 1, 2, 3, 4, 5, 6, 7), c);
    diffad_random_in_order(c);
    __global float *to = y + y_off + n * count + 32 * i;
    if (32 * i + 32 <= count) {
        for (int j = 0; j < 4; j++)
            vstore8(diffad_normal_pieces(c[j]), j, to);
        return;
    }
    float lane[32];
    for (int j = 0; j < 4; j++)
        vstore8(diffad_normal_pieces(c[j]), j, lane);
    for (int j = 0; j < (int)(count - 32 * i); j++)
        to[j] = lane[j];
}
#else

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void randn(__global const int *key, ulong key_off, __global float *y, ulong y_off, ulong count, int purpose)
{
    const size_t i = get_global_id(0), n = get_global_id(1);
    if (4 * i >= count)
        return;
    const uint4  k = as_uint4(vload4(n, key + key_off));
    const float4 v = diffad_random_normal4(k.xy, (uint)purpose, k.z, k.w, (uint)i);
    __global float *to = y + y_off + n * count;
    if (4 * i + 4 <= count) {
        vstore4(v, i, to);
        return;
    }
    const float lane[4] = { v.x, v.y, v.z, v.w };
    _Pragma("unroll") for (int j = 0; j < 4; j++)
        if (4 * i + j < count)
            to[4 * i + j] = lane[j];
}
#endif
