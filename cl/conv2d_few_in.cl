/* conv2d_few_in.cl: convolution with fewer than 16 input channels (plain in, blocked out), for CPUs: inputs are not
 * padded to a vector. A place of the queue is a run of segments; a segment is P neighbouring outputs of a row. */
#include "common/queue.cl"
#ifndef P
#define P 8
#endif
#ifndef V
#define V 2
#endif
#ifndef STRIDE
#define STRIDE 1
#endif
#define STRIP  32        /* most inputs a row of taps spans: (P - 1) STRIDE + (taps - 1) dilation + 1 */
#define LANES  16
#define UNROLL __attribute__((opencl_unroll_hint))

/* x [N,C,H,W]; weights [O/16V][C][taps y][taps x][16V]; y [N,O/16,YH,YW,16] */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_few_in(__global const float *x, ulong x_off, __global const float *w, ulong w_off,
                   __global const float *b, ulong b_off, __global float *y, ulong y_off,
                   int C, int H, int W, int out_blocks, int O, int cols, int YH, int YW, int row0, int col0,
                   int out_stride, int taps_y, int taps_x, int dilation, int top, int left, int run, int segments,
                   int has_bias, QUEUE_ARGS)
{
    EACH_PLACE {
        const int    ob = PLACE(0), first = PLACE(1) * run, last = min(first + run, segments);
        const int    per_row = (cols + P - 1) / P, span = (P - 1) * STRIDE + (taps_x - 1) * dilation + 1;
        const size_t n = PLACE(2), y_plane = (size_t)YH * YW * LANES;
        __global const float *xn = x + x_off + n * C * H * W;
        __global const float *wo = w + w_off + (size_t)ob * C * taps_y * taps_x * LANES * V;
        __global float       *yo = y + y_off + (n * out_blocks + (size_t)ob * V) * y_plane;
        float bias[V * LANES];
        for (int k = 0; k < V * LANES; k++)
            bias[k] = has_bias && ob * V * LANES + k < O ? b[b_off + ob * V * LANES + k] : 0.0f;
        int oy = first / per_row, ox = first % per_row * P;
        for (int s = first; s < last; s++) {
            float16 acc[V][P];
            UNROLL for (int v = 0; v < V; v++)
                UNROLL for (int p = 0; p < P; p++)
                    acc[v][p] = vload16(v, bias);
            const int ix0 = ox * STRIDE - left;
            for (int c = 0; c < C; c++)
                for (int ky = 0; ky < taps_y; ky++) {
                    const int iy = oy * STRIDE - top + ky * dilation;
                    if (iy < 0 || iy >= H)
                        continue;
                    __global const float *row = xn + ((size_t)c * H + iy) * W;
                    __global const float *wt = wo + (size_t)(c * taps_y + ky) * taps_x * LANES * V;
                    float strip[STRIP];
                    if (ix0 >= 0 && ix0 + STRIP <= W) {
                        vstore16(vload16(0, row + ix0), 0, strip);
                        vstore16(vload16(1, row + ix0), 1, strip);
                    } else {
                        for (int k = 0; k < span; k++)
                            strip[k] = ix0 + k >= 0 && ix0 + k < W ? row[ix0 + k] : 0.0f;
                    }
                    for (int kx = 0; kx < taps_x; kx++, wt += LANES * V) {
                        float16 wv[V];
                        UNROLL for (int v = 0; v < V; v++)
                            wv[v] = vload16(v, wt);
                        UNROLL for (int p = 0; p < P; p++) {
                            const float16 xv = (float16)(strip[p * STRIDE + kx * dilation]);
                            UNROLL for (int v = 0; v < V; v++)
                                acc[v][p] = wv[v] * xv + acc[v][p];
                        }
                    }
                }
            UNROLL for (int p = 0; p < P; p++)
                if (ox + p < cols)
                    UNROLL for (int v = 0; v < V; v++)
                        vstore16(acc[v][p], (size_t)(oy * out_stride + row0) * YW + (ox + p) * out_stride + col0,
                                 yo + v * y_plane);
            ox += P;
            if (ox >= cols) {
                ox = 0;
                oy++;
            }
        }
    }
}
