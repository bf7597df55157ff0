/* conv2d_dw.cl: weight gradients for CPUs: sums over pixels in V x J vector accumulators, one pass over some rows at
 * a time and the passes added up in memory (two levels); chunks of passes are places of their own and are
 * added in a fixed order by conv2d_dw_sum. */
#include "common/conv2d_sums.cl"
#include "common/queue.cl"
#ifndef TAPS
#define TAPS 0
#endif
#define TWO __attribute__((opencl_unroll_hint(2)))

/* x [N,C/16,H,W,16], dy [N,O/16,OH,OW,16] -> part [chunks][O/16V][C/16][taps][16][16V].
 * TAPS > 0: the kernel has so many taps, there is one chunk of whole blocks, and `part` is dw [O,C,taps] itself. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_dw(__global const float *x, ulong x_off, __global const float *dy, ulong dy_off,
               __global float *part, ulong part_off, int in_blocks, int H, int W, int out_blocks, int OH, int OW,
               int taps_y, int taps_x, int stride, int dilation, int top, int left, int rows_each, int run,
               int passes, QUEUE_ARGS)
{
    EACH_PLACE {
        const int    ob = PLACE(0), ib = PLACE(1), chunk = PLACE(2);
        const int    per_map = (OH + rows_each - 1) / rows_each, first = chunk * run, last = min(first + run, passes);
        const size_t x_plane = (size_t)H * W * LANES, y_plane = (size_t)OH * OW * LANES;
#if TAPS > 0
        float own[TAPS * LANES * LANES * V], *sum = own;
#else
        const size_t block = ((size_t)chunk * places_x + ob) * in_blocks + ib;
        __global float *sum = part + part_off + block * taps_y * taps_x * LANES * LANES * V;
#endif
        for (int pass = first; pass < last; pass++) {
            const int n = pass / per_map, r0 = pass % per_map * rows_each, r1 = min(r0 + rows_each, OH);
            __global const float *xn = x + x_off + ((size_t)n * in_blocks + ib) * x_plane;
            __global const float *yn = dy + dy_off + ((size_t)n * out_blocks + ob * V) * y_plane;
            for (int k = 0; k < taps_y * taps_x; k++) {
                const int ky = k / taps_x, kx = k % taps_x, from = left - kx * dilation;
                const int lo = from > 0 ? (from + stride - 1) / stride : 0;
                const int hi = W - 1 + from < 0 ? 0 : min((W - 1 + from) / stride + 1, OW);
                for (int i0 = 0; i0 < LANES; i0 += J) {
                    float16 acc[V][J];
                    UNROLL for (int v = 0; v < V; v++)
                        UNROLL for (int j = 0; j < J; j++)
                            acc[v][j] = (float16)(0.0f);
                    for (int r = r0; r < r1; r++) {
                        const int iy = r * stride - top + ky * dilation;
                        if (iy < 0 || iy >= H)
                            continue;
                        __global const float *xr = xn + ((size_t)iy * W + lo * stride - from) * LANES + i0;
                        __global const float *yr = yn + ((size_t)r * OW + lo) * LANES;
                        TWO for (int c = lo; c < hi; c++, xr += stride * LANES, yr += LANES) {
                            float16 yv[V];
                            UNROLL for (int v = 0; v < V; v++)
                                yv[v] = vload16(0, yr + v * y_plane);
                            UNROLL for (int j = 0; j < J; j++) {
                                const float16 xv = (float16)(xr[j]);
                                UNROLL for (int v = 0; v < V; v++)
                                    acc[v][j] = yv[v] * xv + acc[v][j];
                            }
                        }
                    }
                    ADD_UP(sum + (k * LANES + i0) * LANES * V, pass == first)
                }
            }
        }
#if TAPS > 0
#define OWN(offset) vload16(0, own + (offset))
        const int lane_stride = in_blocks * LANES * TAPS;
        WRITE_ROWS(OWN, part + part_off + (size_t)ob * LANES * V * lane_stride + (size_t)ib * LANES * TAPS,
                   lane_stride, TAPS)
#endif
    }
}
