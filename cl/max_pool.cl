/* max_pool.cl: x [planes, H, W, VEC] -> y [planes, OH, OW, VEC], K x K windows every STRIDE pixels. A not-a-number
 * wins; backward it gets nothing, nor does its window. */
#include "common/part.cl"
#include "common/vec.cl"

#ifndef K
#define K 2
#endif
#ifndef STRIDE
#define STRIDE 2
#endif

#if HAS_PART(1)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void max_pool_fwd(__global const float *x, ulong x_off,
                                                                           __global float *y, ulong y_off, int H, int W,
                                                                           int OH, int OW, int pixels)
{
    const int i = get_global_id(0);
    if (i >= pixels)
        return;
    const int row = i / OW;
    __global const float *window =
        x + x_off + (((size_t)(row / OH) * H + row % OH * STRIDE) * W + i % OW * STRIDE) * VEC;
    vfloat best = vload(0, window);
    for (int k = 1; k < K * K; k++) {
        const vfloat v = vload((size_t)(k / K) * W + k % K, window);
        best = select(best, v, (v > best) | isnan(v));
    }
    vstore(best, i, y + y_off);
}
#endif

#if HAS_PART(2)
/* Pixel (y,x) gets dy of each window whose first maximum it is: larger than all before it, none behind it larger. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void max_pool_bwd(__global const float *x, ulong x_off,
                                                                           __global const float *dy, ulong dy_off,
                                                                           __global float *dx, ulong dx_off, int H,
                                                                           int W, int OH, int OW, int pixels)
{
    const int i = get_global_id(0);
    if (i >= pixels)
        return;
    const int row = i / W, px = i % W, py = row % H;
    __global const float *plane = x + x_off + (size_t)(row / H) * H * W * VEC;
    __global const float *small = dy + dy_off + (size_t)(row / H) * OH * OW * VEC;
    const vfloat here = vload(py * W + px, plane);
    vfloat       sum  = 0.0f;
    for (int oy = max(0, (py - K + STRIDE) / STRIDE); oy <= min(OH - 1, py / STRIDE); oy++)
        for (int ox = max(0, (px - K + STRIDE) / STRIDE); ox <= min(OW - 1, px / STRIDE); ox++) {
            const int self = (py - oy * STRIDE) * K + px - ox * STRIDE;
            vint      wins = here == here;
            for (int k = 0; k < K * K; k++) {
                const vfloat v = vload((oy * STRIDE + k / K) * W + ox * STRIDE + k % K, plane);
                wins &= k < self ? here > v : here >= v;
            }
            sum += select((vfloat)(0.0f), vload(oy * OW + ox, small), wins);
        }
    vstore(sum, i, dx + dx_off);
}
#endif

#if HAS_PART(3)
/* Windows that do not overlap: a work-item takes one with the pixels up to the next, or what the map's end leaves of them. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void max_pool_bwd_apart(__global const float *x, ulong x_off,
                                                                                 __global const float *dy, ulong dy_off,
                                                                                 __global float *dx, ulong dx_off, int H,
                                                                                 int W, int OH, int OW, int cells)
{
    const int i = get_global_id(0), across = (W + STRIDE - 1) / STRIDE, down = (H + STRIDE - 1) / STRIDE;
    if (i >= cells)
        return;
    const int    row = i / across, ox = i % across, oy = row % down;
    const size_t plane = row / down, at = ((plane * H + oy * STRIDE) * W + ox * STRIDE) * VEC;
    vfloat       g = 0.0f;
    vint         first = -1;
    if (oy < OH && ox < OW) {
        vfloat best = vload(0, x + x_off + at);
        vint   nan = best != best;
        first = 0;
        g = vload((plane * OH + oy) * OW + ox, dy + dy_off);
        for (int k = 1; k < K * K; k++) {
            const vfloat v = vload(k / K * W + k % K, x + x_off + at);
            nan |= v != v;
            first = select(first, (vint)(k), v > best);
            best  = max(best, v);
        }
        first = select(first, (vint)(-1), nan);
    }
    for (int k = 0; k < STRIDE * STRIDE; k++) {
        const int r = k / STRIDE, c = k % STRIDE;
        if (oy * STRIDE + r < H && ox * STRIDE + c < W)
            vstore(select((vfloat)(0.0f), g, first == (r < K && c < K ? r * K + c : -2)), r * W + c, dx + dx_off + at);
    }
}
#endif
