/* reduce.cl: sums, maxima and sums of squares of rows of VEC * vectors elements; means of blocked planes. */
#include "common/part.cl"
#include "common/reduce.cl"

#if HAS_PART(1)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void reduce_values(__global const float *x, ulong x_off, __global float *y, ulong y_off,
                   ulong vectors, int per_item, float scale, float add)
{
    __local float tree[WG];
    __global const float *row = x + x_off + get_global_id(1) * vectors * VEC;
    REDUCE(total, i, vectors, per_item, vload(i, row))
    REDUCE_STORE(total, y + y_off, scale, add)
}
#endif

#if HAS_PART(2)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void reduce_squares(__global const float *x, ulong x_off, __global float *y, ulong y_off,
                    ulong vectors, int per_item, float scale, float add)
{
    __local float tree[WG];
    __global const float *row = x + x_off + get_global_id(1) * vectors * VEC;
    REDUCE(total, i, vectors, per_item, vload(i, row) * vload(i, row))
    REDUCE_STORE(total, y + y_off, scale, add)
}
#endif

#if HAS_PART(3)
/* x [N,C/VEC,pixels,VEC] -> y [N,C]; a work-group takes one plane. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void reduce_lanes(__global const float *x, ulong x_off,
                                                                           __global float *y, ulong y_off, int C,
                                                                           ulong pixels, float scale)
{
    __local vfloat tree[WG];
    const int l = get_local_id(0), blocks = (C + VEC - 1) / VEC, n = get_group_id(0) / blocks,
              cb = get_group_id(0) % blocks;
    vfloat       total = 0.0f;
    __global const float *plane = x + x_off + get_group_id(0) * pixels * VEC;
    for (ulong from = l; from < pixels; from += REDUCE_BLOCK * WG) {
        const ulong to = min(from + REDUCE_BLOCK * WG, pixels);
        vfloat block = 0.0f;
        for (ulong i = from; i < to; i += WG)
            block += vload(i, plane);
        total += block;
    }
    tree[l] = total;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (l != 0)
        return;
    for (int i = 1; i < WG; i++)
        total += tree[i];
    float lane[VEC];
    vstore(scale * total, 0, lane);
    for (int i = 0; i < min(VEC, C - cb * VEC); i++)
        y[y_off + (ulong)n * C + cb * VEC + i] = lane[i];
}
#endif
