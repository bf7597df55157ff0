/* conv2d_dw_sum.cl: the sum over chunks of part [chunks][lane blocks][inner blocks][taps][inner_block][16V]
 * (chunk_size and lane_block_size tell what is rounded up); dw[lane lane_stride + inner inner_stride + tap]. One
 * work-item writes what belongs to one block of lanes and inner channels. */
#include "common/conv2d_sums.cl"

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_dw_sum(__global const float *part, ulong part_off, __global float *dw, ulong dw_off, int chunks,
                   ulong chunk_size, ulong lane_block_size, int lanes, int inner, int inner_block, int taps,
                   int lane_stride, int inner_stride, int flip)
{
    const int lane0 = (int)get_global_id(0) * LANES * V, lane1 = min(lane0 + LANES * V, lanes);
    const int i0 = (int)get_global_id(1) * inner_block, i1 = min(i0 + inner_block, inner);
    __global const float *from = part + part_off + get_global_id(0) * lane_block_size + (size_t)i0 * taps * LANES * V;
    for (int lane = lane0; lane < lane1; lane++)
        for (int i = i0; i < i1; i++)
            for (int k = 0; k < taps; k++) {
                __global const float *at = from + ((size_t)k * inner_block + (i - i0)) * LANES * V + (lane - lane0);
                float s = 0.0f;
                for (int c = 0; c < chunks; c++)
                    s += at[c * chunk_size];
                dw[dw_off + (size_t)lane * lane_stride + (size_t)i * inner_stride + (flip ? taps - 1 - k : k)] = s;
            }
}

static float16 sum_chunks(__global const float *at, int chunks, ulong chunk_size)
{
    float16 s = vload16(0, at);
    for (int c = 1; c < chunks; c++)
        s += vload16(0, at + c * chunk_size);
    return s;
}
#define CHUNKS(offset) sum_chunks(from + (offset), chunks, chunk_size)

/* The same for whole blocks of lanes and of 16 inner channels, lanes being output channels: rows of dw are written in
 * vectors. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_dw_sum_whole(__global const float *part, ulong part_off, __global float *dw, ulong dw_off,
                         int chunks, ulong chunk_size, ulong lane_block_size, int lane_stride, int taps)
{
    const size_t lane0 = get_global_id(0) * LANES * V, row = get_global_id(1) * 16 * taps;
    __global const float *from = part + part_off + get_global_id(0) * lane_block_size + row * LANES * V;
    __global float       *to   = dw + dw_off + lane0 * lane_stride + row;
    WRITE_ROWS(CHUNKS, to, lane_stride, taps)
}
