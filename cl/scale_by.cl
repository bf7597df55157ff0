/* scale_by.cl: y = x s, s in memory; one work-item handles VEC elements. */
#include "common/vec.cl"

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void scale_by(__global const float *x, ulong x_off, __global const float *s, ulong s_off,
              __global float *y, ulong y_off, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i < vectors)
        vstore(vload(i, x + x_off) * s[s_off], i, y + y_off);
}
