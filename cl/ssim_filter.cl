/* ssim_filter.cl: 11 taps along rows or columns of four fields at once, zeros outside; one work-item a pixel of
 * [planes, H, W]. Between the passes the fields lie interleaved, float4. w0 is the window's centre. */
#include "common/part.cl"
#define KERNEL __kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void
#define WINDOW float w0, float w1, float w2, float w3, float w4, float w5, int H, int W, int pixels
#define RADIUS 5

/* sum of w[|k|] FIELDS over the taps k whose place (at + k) lies in 0 .. side-1; j: index of that pixel */
#define FILTER(sum, at, side, step, j, FIELDS)                               \
    const float w_[RADIUS + 1] = { w0, w1, w2, w3, w4, w5 };                 \
    float4      sum = 0.0f;                                                  \
    for (int k_ = max(-RADIUS, -(at)); k_ <= min(RADIUS, (side) - 1 - (at)); k_++) { \
        const int j = i + k_ * (step);                                       \
        sum += w_[k_ < 0 ? -k_ : k_] * (FIELDS);                             \
    }

static float4 products(float a, float b) { return (float4)(a, b, a * a + b * b, a * b); }

#if HAS_PART(1)
KERNEL ssim_rows(__global const float *a, ulong a_off, __global const float *b, ulong b_off, __global float *rows,
                 ulong rows_off, WINDOW)
{
    const int i = get_global_id(0);
    if (i >= pixels)
        return;
    FILTER(sum, i % W, W, 1, j, products(a[a_off + j], b[b_off + j]))
    vstore4(sum, i, rows + rows_off);
}
#endif

#if HAS_PART(2)
KERNEL ssim_columns(__global const float *rows, ulong rows_off, __global float *y0, ulong y0_off, __global float *y1,
                    ulong y1_off, __global float *y2, ulong y2_off, __global float *y3, ulong y3_off, WINDOW)
{
    const int i = get_global_id(0);
    if (i >= pixels)
        return;
    FILTER(sum, i / W % H, H, W, j, vload4(j, rows + rows_off))
    y0[y0_off + i] = sum.x;
    y1[y1_off + i] = sum.y;
    y2[y2_off + i] = sum.z;
    y3[y3_off + i] = sum.w;
}
#endif

#if HAS_PART(3)
KERNEL ssim_rows_bwd(__global const float *d0, ulong d0_off, __global const float *d1, ulong d1_off,
                     __global const float *d2, ulong d2_off, __global const float *d3, ulong d3_off,
                     __global float *rows, ulong rows_off, WINDOW)
{
    const int i = get_global_id(0);
    if (i >= pixels)
        return;
    FILTER(sum, i % W, W, 1, j, (float4)(d0[d0_off + j], d1[d1_off + j], d2[d2_off + j], d3[d3_off + j]))
    vstore4(sum, i, rows + rows_off);
}
#endif

#if HAS_PART(4)
KERNEL ssim_columns_bwd(__global const float *a, ulong a_off, __global const float *b, ulong b_off,
                        __global const float *rows, ulong rows_off, __global float *da, ulong da_off,
                        __global float *db, ulong db_off, WINDOW)
{
    const int i = get_global_id(0);
    if (i >= pixels)
        return;
    FILTER(sum, i / W % H, H, W, j, vload4(j, rows + rows_off))
    const float u = a[a_off + i], v = b[b_off + i];
    da[da_off + i] = sum.x + 2.0f * u * sum.z + v * sum.w;
    db[db_off + i] = sum.y + 2.0f * v * sum.z + u * sum.w;
}
#endif
