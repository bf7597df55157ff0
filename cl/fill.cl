/* fill.cl: one work-item writes one element. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void fill(__global float *y, ulong y_off, ulong count, float value)
{
    const size_t i = get_global_id(0);
    if (i < count)
        y[y_off + i] = value;
}
