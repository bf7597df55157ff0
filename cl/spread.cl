/* spread.cl: each element of x fills `share` vectors of y, times scale. */
#include "common/vec.cl"

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void spread(__global const float *x, ulong x_off,
                                                                     __global float *y, ulong y_off, ulong share,
                                                                     ulong vectors, float scale)
{
    const size_t i = get_global_id(0);
    if (i < vectors)
        vstore((vfloat)(scale * x[x_off + i / share]), i, y + y_off);
}
