/* silu.cl: one work-item handles VEC elements. */
#include "common/vec.cl"

static vfloat sigmoid(vfloat x) { return 1.0f / (1.0f + exp(-x)); }

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void silu_fwd(__global const float *x, ulong x_off, __global float *y, ulong y_off, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i >= vectors)
        return;
    const vfloat v = vload(i, x + x_off);
    vstore(v * sigmoid(v), i, y + y_off);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void silu_bwd(__global const float *x, ulong x_off, __global const float *dy, ulong dy_off,
              __global float *dx, ulong dx_off, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i >= vectors)
        return;
    const vfloat v = vload(i, x + x_off), s = sigmoid(v);
    vstore(vload(i, dy + dy_off) * s * (1.0f + v * (1.0f - s)), i, dx + dx_off);
}
