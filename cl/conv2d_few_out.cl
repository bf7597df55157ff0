/* conv2d_few_out.cl: convolution with at most 4 output channels (blocked in, plain out), for CPUs: vectors of VEC lanes
 * (8 or 16: the device's) run over input channels and are summed at the end. A place of the queue is a run of segments;
 * a segment is P neighbouring outputs of a row. */
#include "common/queue.cl"
#include "common/vec.cl"
#include "common/lanes.cl"
#ifndef P
#define P 8
#endif
#ifndef OUT
#define OUT 3
#endif
#ifndef STRIDE
#define STRIDE 1
#endif
#define STRIP  32        /* most inputs a row of taps spans: (P - 1) STRIDE + (taps - 1) dilation + 1 */
#define LANES  16
#define UNROLL __attribute__((opencl_unroll_hint))

/* x [N,C/16,H,W,16]; weights [C/16][taps y][taps x][OUT][16]; y [N,OUT,YH,YW] */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_few_out(__global const float *x, ulong x_off, __global const float *w, ulong w_off,
                    __global const float *b, ulong b_off, __global float *y, ulong y_off,
                    int in_blocks, int H, int W, int cols, int YH, int YW, int row0, int col0, int out_stride,
                    int taps_y, int taps_x, int dilation, int top, int left, int run, int segments, int has_bias,
                    QUEUE_ARGS)
{
    EACH_PLACE {
        const int    first = PLACE(1) * run, last = min(first + run, segments);
        const int    per_row = (cols + P - 1) / P, span = (P - 1) * STRIDE + (taps_x - 1) * dilation + 1;
        const size_t n = PLACE(2), x_plane = (size_t)H * W * LANES;
        __global const float *xn = x + x_off + n * in_blocks * x_plane;
        __global float       *yn = y + y_off + n * OUT * YH * YW;
        int oy = first / per_row, ox = first % per_row * P;
        for (int s = first; s < last; s++) {
            vfloat acc[OUT][P];
            UNROLL for (int o = 0; o < OUT; o++)
                UNROLL for (int p = 0; p < P; p++)
                    acc[o][p] = (vfloat)(0.0f);
            const int ix0 = ox * STRIDE - left;
            for (int ib = 0; ib < in_blocks; ib++)
                for (int ky = 0; ky < taps_y; ky++) {
                    const int iy = oy * STRIDE - top + ky * dilation;
                    if (iy < 0 || iy >= H)
                        continue;
                    __global const float *row = xn + ib * x_plane + (size_t)iy * W * LANES;
                    __global const float *wt = w + w_off + (size_t)(ib * taps_y + ky) * taps_x * OUT * LANES;
                    float strip[STRIP * LANES];
                    for (int k = 0; k < span; k++)
                        vstore16(ix0 + k >= 0 && ix0 + k < W ? vload16(ix0 + k, row) : (float16)(0.0f), k, strip);
                    for (int kx = 0; kx < taps_x; kx++)
                        UNROLL for (int part = 0; part < LANES; part += VEC) {
                            vfloat wv[OUT];
                            UNROLL for (int o = 0; o < OUT; o++)
                                wv[o] = vload(0, wt + (kx * OUT + o) * LANES + part);
                            UNROLL for (int p = 0; p < P; p++) {
                                const vfloat xv = vload(0, strip + (kx * dilation + p * STRIDE) * LANES + part);
                                UNROLL for (int o = 0; o < OUT; o++)
                                    acc[o][p] = wv[o] * xv + acc[o][p];
                            }
                        }
                }
            float lanes[OUT * P * VEC];      /* so that the sums are a loop: unrolled they take long to compile */
            UNROLL for (int o = 0; o < OUT; o++)
                UNROLL for (int p = 0; p < P; p++)
                    vstore(acc[o][p], o * P + p, lanes);
            __attribute__((opencl_unroll_hint(1)))
            for (int o = 0; o < OUT; o++)
                for (int p = 0; p < min(P, cols - ox); p++)
                    yn[((size_t)o * YH + oy * out_stride + row0) * YW + (ox + p) * out_stride + col0] =
                        sum_of_lanes(vload(o * P + p, lanes)) + (has_bias ? b[b_off + o] : 0.0f);
            ox += P;
            if (ox >= cols) {
                ox = 0;
                oy++;
            }
        }
    }
}
