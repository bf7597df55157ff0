/* avg_pool.cl: sums along one axis of [outer, from, inner, VEC], scaled: [outer, to, inner, VEC]. */
#include "common/part.cl"
#include "common/vec.cl"

#if HAS_PART(1)
/* Output o adds pixels o stride - pad .. + K - 1 that exist. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void avg_pool_fwd(__global const float *x, ulong x_off, __global float *y, ulong y_off, int K, int stride, int pad,
                  int from, int to, int inner, float scale, int items)
{
    const int i = get_global_id(0);
    if (i >= items)
        return;
    const int    line = i / inner, first = line % to * stride - pad;
    const size_t base = (size_t)(line / to) * from * inner + i % inner;
    vfloat       sum  = 0.0f;
    for (int k = max(0, first); k < min(from, first + K); k++)
        sum += vload(base + (size_t)k * inner, x + x_off);
    vstore(scale * sum, i, y + y_off);
}
#endif

#if HAS_PART(2)
/* Pixel p adds the outputs whose windows hold it: `from` are the outputs, `to` the pixels. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void avg_pool_bwd(__global const float *dy, ulong dy_off, __global float *dx, ulong dx_off, int K, int stride, int pad,
                  int from, int to, int inner, float scale, int items)
{
    const int i = get_global_id(0);
    if (i >= items)
        return;
    const int    line = i / inner, p = line % to + pad, first = p < K ? 0 : (p - K) / stride + 1;
    const size_t base = (size_t)(line / to) * from * inner + i % inner;
    vfloat       sum  = 0.0f;
    for (int o = first; o < min(from, p / stride + 1); o++)
        sum += vload(base + (size_t)o * inner, dy + dy_off);
    vstore(scale * sum, i, dx + dx_off);
}
#endif
