/* conv2d_dw_few.cl: the weight gradient (conv2d_dw.cl) where one of the maps has few channels: `thin` [N,C,H,W] is
 * plain, `wide` [N,L/16,OH,OW,16] gives the lanes. part [chunks][L/16V][C * taps][16V], rows of it rounded up to J. A
 * pass is at most LENGTH pixels of a row. */
#include "common/queue.cl"
#include "common/conv2d_sums.cl"
#ifndef LENGTH
#define LENGTH 64
#endif
#ifndef STRIPS
#define STRIPS 4096      /* floats: C taps_y ((LENGTH - 1) stride + (taps_x - 1) dilation + 1) at least */
#endif
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_dw_few(__global const float *thin, ulong thin_off, __global const float *wide, ulong wide_off,
                   __global float *part, ulong part_off, int C, int H, int W, int wide_blocks, int OH, int OW,
                   int taps_y, int taps_x, int stride, int dilation, int top, int left, int run, int passes, QUEUE_ARGS)
{
    EACH_PLACE {
        const int    ob = PLACE(0), chunk = PLACE(1);
        const int    per_row = (OW + LENGTH - 1) / LENGTH, first = chunk * run, last = min(first + run, passes);
        const int    taps = C * taps_y * taps_x, taps_up = (taps + J - 1) / J * J;
        const int    strip = (LENGTH - 1) * stride + (taps_x - 1) * dilation + 1;
        const size_t y_plane = (size_t)OH * OW * LANES;
        float        copy[STRIPS];
        __global float *sum = part + part_off + ((size_t)chunk * places_x + ob) * taps_up * LANES * V;
        for (int pass = first; pass < last; pass++) {
            const int row = pass / per_row, n = row / OH, r = row % OH, c0 = pass % per_row * LENGTH,
                      length = min(LENGTH, OW - c0);
            const int ix0 = c0 * stride - left, span = (length - 1) * stride + (taps_x - 1) * dilation + 1;
            for (int k = 0; k < C * taps_y; k++) {
                const int  iy = r * stride - top + k % taps_y * dilation;
                const bool inside = iy >= 0 && iy < H;
                __global const float *from = thin + thin_off + (((size_t)n * C + k / taps_y) * H + (inside ? iy : 0)) * W;
                float *to = copy + k * strip;
                for (int i = 0; i < span; i++)
                    to[i] = inside && ix0 + i >= 0 && ix0 + i < W ? from[ix0 + i] : 0.0f;
            }
            __global const float *yn = wide + wide_off + ((size_t)n * wide_blocks + ob * V) * y_plane +
                                  ((size_t)r * OW + c0) * LANES;
            for (int t0 = 0; t0 < taps; t0 += J) {
                const float *at[J];
                float16      acc[V][J];
                UNROLL for (int j = 0; j < J; j++) {
                    const int t = min(t0 + j, taps - 1);
                    at[j] = copy + t / taps_x * strip + t % taps_x * dilation;
                    UNROLL for (int v = 0; v < V; v++)
                        acc[v][j] = (float16)(0.0f);
                }
                for (int p = 0; p < length; p++) {
                    float16 yv[V];
                    UNROLL for (int v = 0; v < V; v++)
                        yv[v] = vload16(p, yn + v * y_plane);
                    UNROLL for (int j = 0; j < J; j++) {
                        const float16 xv = (float16)(at[j][p * stride]);
                        UNROLL for (int v = 0; v < V; v++)
                            acc[v][j] = yv[v] * xv + acc[v][j];
                    }
                }
                __global float *to = sum + (size_t)t0 * LANES * V;
                ADD_UP(to, pass == first)
            }
        }
    }
}
