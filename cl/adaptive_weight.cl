/* adaptive_weight.cl: one work-item, one value. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void adaptive_weight(__global const float *a, ulong a_off, __global const float *b, ulong b_off,
                     __global float *y, ulong y_off, float weight)
{
    y[y_off] = weight * fmin(sqrt(a[a_off]) / (sqrt(b[b_off]) + 1e-4f), 1e4f);
}
