/* bias.cl: y = x + b and the sums of its gradient. VEC: floats of a vector, in the blocked layout the channel block.
 *
 * b_stride: C when b has a row per sample, else 0. */
#include "common/vec.cl"
#include "common/lanes.cl"

/* [N,C/B,HW,B]: one work-item handles `run` pixels of channel block id 1 of sample id 2. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void bias_blocked(__global const float *x, ulong x_off, __global const float *b, ulong b_off,
                  __global float *y, ulong y_off, int C, int HW, int b_stride, int run)
{
    const int p0 = (int)get_global_id(0) * run, p1 = min(p0 + run, HW), cb = (int)get_global_id(1);
    if (p0 >= HW)
        return;
    const size_t n    = get_global_id(2);
    const size_t from = (n * get_global_size(1) + cb) * (size_t)HW * VEC;
    const vfloat add  = load_lanes(b + b_off + n * b_stride + (size_t)cb * VEC, C - cb * VEC);
    for (int p = p0; p < p1; p++)
        vstore(vload(p, x + x_off + from) + add, p, y + y_off + from);
}

/* [N,C,vectors]: one work-item handles one vector, which lies in one channel. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void bias_plain(__global const float *x, ulong x_off, __global const float *b, ulong b_off,
                __global float *y, ulong y_off, int C, int vectors, int b_stride, int run)
{
    const int i = (int)get_global_id(0), c = i / vectors;
    if (c >= C)
        return;
    const size_t n    = get_global_id(1);
    const size_t from = n * C * (size_t)vectors * VEC;
    vstore(vload(i, x + x_off + from) + b[b_off + n * b_stride + c], i, y + y_off + from);
}

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
void sum_blocked(__global const float *dy, ulong dy_off, __global float *partial, ulong partial_off,
                 int vectors, int segments, int length, int distance, int step)
{
    const int    s = (int)get_global_id(0);
    const size_t row = get_global_id(1), rows = get_global_size(1), n = get_global_id(2);
    if (s < segments)
        vstore(segment_sum(dy + dy_off + (n * rows + row) * vectors * VEC, vectors, s * distance, length, step),
               (n * segments + s) * rows + row, partial + partial_off);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void sum_plain(__global const float *dy, ulong dy_off, __global float *partial, ulong partial_off,
               int vectors, int segments, int length, int distance, int step)
{
    const int    s = (int)get_global_id(0);
    const size_t row = get_global_id(1), rows = get_global_size(1), n = get_global_id(2);
    float        lane[VEC], sum = 0.0f;
    if (s >= segments)
        return;
    vstore(segment_sum(dy + dy_off + (n * rows + row) * vectors * VEC, vectors, s * distance, length, step), 0, lane);
    for (int i = 0; i < VEC; i++)
        sum += lane[i];
    partial[partial_off + (n * segments + s) * rows + row] = sum;
}

/* Channel id 0 of result row id 1: `terms` partial sums. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void total(__global const float *partial, ulong partial_off, __global float *y, ulong y_off, int C, int lanes, int terms)
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
