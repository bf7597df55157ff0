/* conv2d_weight_sum.cl: the sum over chunks of partial weight gradients, in order. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_weight_sum(__global const float *part, ulong part_off, __global float *dw, ulong dw_off, ulong count,
                       int chunks)
{
    const size_t i = get_global_id(0);
    float        s = 0.0f;
    if (i >= count)
        return;
    for (int c = 0; c < chunks; c++)
        s += part[part_off + c * count + i];
    dw[dw_off + i] = s;
}
