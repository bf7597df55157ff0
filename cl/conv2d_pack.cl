/* conv2d_pack.cl: weights in the order the CPU convolutions read them:
 * [lane blocks][inner / inner_block][taps y][taps x][inner_block][LANES]. One work-item packs one block of lanes and
 * inner channels. Lanes and inner channels that do not exist are zero. */
#ifndef LANES
#define LANES 32
#endif

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_pack(__global const float *w, ulong w_off, __global float *to, ulong to_off, int lanes, int inner,
                 int lane_stride, int inner_stride, int inner_block, int taps_y, int taps_x, int kw, int ky0,
                 int kx0, int k_step)
{
    const int first = (int)get_global_id(0) * LANES, i0 = (int)get_global_id(1) * inner_block;
    const size_t block = get_global_id(0) * get_global_size(1) + get_global_id(1);
    __global float *out = to + to_off + block * taps_y * taps_x * inner_block * LANES;
    for (int ty = 0; ty < taps_y; ty++)
        for (int tx = 0; tx < taps_x; tx++)
            for (int i = i0; i < i0 + inner_block; i++, out += LANES) {
                __global const float *from = w + w_off + (size_t)first * lane_stride + (size_t)i * inner_stride +
                                             (ky0 + ty * k_step) * kw + kx0 + tx * k_step;
                for (int k = 0; k < LANES; k++)
                    out[k] = i < inner && first + k < lanes ? from[(size_t)k * lane_stride] : 0.0f;
            }
}
