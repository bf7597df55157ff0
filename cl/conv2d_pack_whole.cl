/* conv2d_pack_whole.cl: as conv2d_pack.cl, for whole blocks of 16 inner channels, all taps in order and inner
 * channels next to each other in w: what one lane needs is then contiguous. */
#include "common/transpose.cl"
#ifndef LANES
#define LANES 32
#endif

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_pack_whole(__global const float *w, ulong w_off, __global float *to, ulong to_off, int lane_stride,
                       int taps)
{
    const size_t block = get_global_id(0) * get_global_size(1) + get_global_id(1);
    __global const float *from = w + w_off + get_global_id(0) * LANES * lane_stride + get_global_id(1) * 16 * taps;
    __global float       *out  = to + to_off + block * taps * 16 * LANES;
    for (int lane = 0; lane < LANES; lane += 16)
        for (int j = 0, i = 0, k = 0; j < taps * 16; j += 16) {
            float16 r[16];
            DIFFAD_UNROLL for (int l = 0; l < 16; l++)
                r[l] = vload16(0, from + (size_t)(lane + l) * lane_stride + j);
            transpose16(r);
            for (int l = 0; l < 16; l++) {
                vstore16(r[l], 0, out + (k * 16 + i) * LANES + lane);
                if (++k == taps) {
                    k = 0;
                    i++;
                }
            }
        }
}
