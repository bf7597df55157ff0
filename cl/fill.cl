/* fill.cl: one work-item writes VEC elements. */
#include "common/vec.cl"

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void fill(__global float *y, ulong y_off, ulong vectors, float value)
{
    const size_t i = get_global_id(0);
    if (i < vectors)
        vstore((vfloat)(value), i, y + y_off);
}
