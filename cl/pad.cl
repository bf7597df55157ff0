/* pad.cl: one work-item writes pixel id 0 of plane id 1 (a channel, or a channel block of VEC channels). */
#include "common/vec.cl"

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void pad(__global const float *x, ulong x_off, __global float *y, ulong y_off, int H, int W, int HY, int WY, int left, int top)
{
    const int p = (int)get_global_id(0);
    if (p >= HY * WY)
        return;
    const size_t plane = get_global_id(1);
    const int    line = p / WY - top, col = p % WY - left;
    vfloat       v = 0.0f;
    if (line >= 0 && line < H && col >= 0 && col < W)
        v = vload((plane * H + line) * W + col, x + x_off);
    vstore(v, plane * HY * WY + p, y + y_off);
}
