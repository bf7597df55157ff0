/* pad.cl: one work-item writes `run` pixels of line id 1 of plane id 2: a channel, or a block of VEC channels. */
#include "common/vec.cl"

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void pad(__global const float *x, ulong x_off, __global float *y, ulong y_off, int H, int W, int WY, int left,
         int top, int run)
{
    const int    first = (int)get_global_id(0) * run, end = min(first + run, WY), line = (int)get_global_id(1) - top;
    const size_t plane = get_global_id(2);
    const bool   is_inside = line >= 0 && line < H;
    __global const float *from = x + x_off + (plane * H + (is_inside ? line : 0)) * (size_t)W * VEC;
    __global float       *to   = y + y_off + (plane * get_global_size(1) + get_global_id(1)) * (size_t)WY * VEC;
    for (int p = first; p < end; p++) {
        const int col = p - left;
        vstore(is_inside && col >= 0 && col < W ? vload(col, from) : (vfloat)(0.0f), p, to);
    }
}
