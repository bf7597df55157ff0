/* upsample_nearest2.cl: maps are [planes, H, W, VEC]; one work-item handles one pixel of the small map, [rows, W]. */
#include "common/part.cl"
#include "common/vec.cl"

#if HAS_PART(1)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void upsample_nearest2_fwd(__global const float *x, ulong x_off, __global float *y, ulong y_off, int W, int pixels)
{
    const int i = get_global_id(0);
    if (i >= pixels)
        return;
    const vfloat v  = vload(i, x + x_off);
    const size_t to = (size_t)(i / W) * 4 * W + 2 * (i % W);
    vstore(v, to, y + y_off);
    vstore(v, to + 1, y + y_off);
    vstore(v, to + 2 * W, y + y_off);
    vstore(v, to + 2 * W + 1, y + y_off);
}
#endif

#if HAS_PART(2)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void upsample_nearest2_bwd(__global const float *dy, ulong dy_off, __global float *dx, ulong dx_off, int W, int pixels)
{
    const int i = get_global_id(0);
    if (i >= pixels)
        return;
    const size_t at = (size_t)(i / W) * 4 * W + 2 * (i % W);
    __global const float *from = dy + dy_off;
    vstore((vload(at, from) + vload(at + 1, from)) + (vload(at + 2 * W, from) + vload(at + 2 * W + 1, from)), i,
           dx + dx_off);
}
#endif
