/* bias_grad.cl: sums of dy [N,C,...] over pixels, a segment of them at a time. VEC: floats of a vector, in the blocked
 * layout the channel block. */
#ifndef BLOCKED
#define BLOCKED 0
#endif
#include "common/vec.cl"

/* Sum of up to `length` vectors of one row, in runs of 32: short sums first keep the rounding errors small. */
static vfloat segment_sum(__global const float *row, int vectors, int begin, int length, int step)
{
    vfloat    total = 0.0f;
    const int last  = length - 1;
    const int end   = last < (vectors - begin + step - 1) / step ? begin + last * step + 1 : vectors;
    for (int p = begin; p < end;) {
        const int stop = min(end, p + 32 * step);
        vfloat    part = 0.0f;
        for (; p < stop; p += step)
            part += vload(p, row);
        total += part;
    }
    return total;
}

/* Segment id 0 of row id 1 (a channel block, or a channel) of sample id 2. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void segments(__global const float *dy, ulong dy_off, __global float *partial, ulong partial_off,
              int vectors, int n_segments, int length, int distance, int step)
{
    const int    s = (int)get_global_id(0);
    const size_t row = get_global_id(1), rows = get_global_size(1), n = get_global_id(2);
    const size_t to = (n * n_segments + s) * rows + row;
    if (s >= n_segments)
        return;
    const vfloat sum = segment_sum(dy + dy_off + (n * rows + row) * vectors * VEC, vectors, s * distance, length, step);
#if BLOCKED
    vstore(sum, to, partial + partial_off);
#else
    float lane[VEC], all = 0.0f;
    vstore(sum, 0, lane);
    for (int i = 0; i < VEC; i++)
        all += lane[i];
    partial[partial_off + to] = all;
#endif
}
