/* bias_total.cl: the second sum of bias_grad: over samples and the segments of bias_grad.cl. */
/* Channel id 0 of result row id 1: `terms` partial sums. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void total(__global const float *partial, ulong partial_off, __global float *y, ulong y_off, int C, int lanes,
           int terms)
{
    const size_t c = get_global_id(0), n = get_global_id(1);
    if (c >= (size_t)C)
        return;
    __global const float *from = partial + partial_off + n * terms * lanes + c;
    float sum = 0.0f;
    for (int t = 0; t < terms;) {
        const int stop = min(terms, t + 32);
        float     part = 0.0f;
        for (; t < stop; t++)
            part += from[(size_t)t * lanes];
        sum += part;
    }
    y[y_off + n * C + c] = sum;
}
