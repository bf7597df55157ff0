/* conv2d_gather.cl: direct convolution where a tap's inputs do not lie side by side in a row (strides, narrow maps) or are
 * used by one tap alone (1x1), maps in [N,C/16,H,W,16], for CPUs. A place of the queue is `each` lane blocks of 16V output
 * channels for up to GROUPS groups of P outputs in row-major order: the inputs of DEPTH pairs of input block and tap are
 * gathered, with the zeros around the map, and serve all lane blocks from the second-level cache. Weights are packed
 * [O/16V][I/16][taps][16 in][16V out]. */
#include "common/prefetch.cl"
#include "common/queue.cl"
#include "common/tail.cl"

#ifndef P
#define P 8
#endif
#ifndef V
#define V 2
#endif
#ifndef GROUPS
#define GROUPS 12
#endif
#ifndef DEPTH
#define DEPTH 8
#endif
#ifndef EACH
#define EACH 4           /* most lane blocks of a place */
#endif
#define LANES  16
#define UNROLL __attribute__((opencl_unroll_hint))
#define TWO    __attribute__((opencl_unroll_hint(2)))

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_gather(__global const float *x, ulong x_off, __global const float *w, ulong w_off,
                   __global const float *b, ulong b_off, __global float *y, ulong y_off,
                   int in_blocks, int H, int W, int out_blocks, int O, int rows, int cols, int YH, int YW,
                   int row0, int col0, int out_stride, int taps_y, int taps_x, int stride, int dilation,
                   int top, int left, int lane_blocks, int groups_each, int has_bias, TAIL_ARGS, QUEUE_ARGS)
{
    __local float strip[GROUPS * DEPTH * P * LANES], sum[EACH * GROUPS * P * V * LANES];
    EACH_PLACE {
        const int    ob0 = PLACE(0) * EACH, ob1 = min(ob0 + EACH, lane_blocks), taps = taps_y * taps_x;
        const int    first = PLACE(1) * groups_each * P, count = min(groups_each * P, rows * cols - first);
        const int    groups = (count + P - 1) / P, pairs = in_blocks * taps, size = LANES * LANES * V;
        const size_t n = PLACE(2), x_plane = (size_t)H * W * LANES, y_plane = (size_t)YH * YW * LANES;
        __global const float *xn = x + x_off + n * in_blocks * x_plane;
        __global float       *yn = y + y_off + n * out_blocks * y_plane;
        const int    is_run = taps == 1 && stride == 1 && cols == W && top == 0 && left == 0;      /* pixels side by side */
        int iy0[GROUPS * P], ix0[GROUPS * P];
        for (int p = 0, oy = first / cols, ox = first % cols; p < groups * P; p++) {
            iy0[p] = p < count ? oy * stride - top : INT_MIN / 2;
            ix0[p] = ox * stride - left;
            if (++ox == cols) {
                ox = 0;
                oy++;
            }
        }
        for (int from = 0; from < pairs; from += DEPTH) {
            const int to = min(from + DEPTH, pairs);
            for (int q = from; q < to; q++) {
                const int dy = q % taps / taps_x * dilation, dx = q % taps % taps_x * dilation;
                __global const float *map = xn + q / taps * x_plane;
                for (int p = 0; p < count && is_run; p++)
                    vstore16(vload16(first + p, map), (p / P * DEPTH + q - from) * P + p % P, strip);
                for (int p = 0; p < groups * P && !is_run; p++) {
                    const int iy = iy0[p] + dy, ix = ix0[p] + dx;
                    vstore16(iy >= 0 && iy < H && ix >= 0 && ix < W ? vload16((size_t)iy * W + ix, map) : (float16)(0.0f),
                             (p / P * DEPTH + q - from) * P + p % P, strip);
                }
            }
            for (int ob = ob0; ob < ob1; ob++) {
                const int next = ob + 1 < ob1 ? (ob + 1) * pairs + from : ob0 * pairs + to;      /* the weights that come next */
                for (int g = 0; g < groups; g++) {
                    __global const float *wq = w + w_off + ((size_t)ob * pairs + from) * size;
                    __local const float  *in = strip + g * DEPTH * P * LANES;
                    __local float        *own = sum + ((ob - ob0) * GROUPS + g) * P * V * LANES;
                    float16 acc[V][P];
                    UNROLL for (int v = 0; v < V; v++)
                        UNROLL for (int p = 0; p < P; p++)
                            acc[v][p] = (float16)(0.0f);
                    for (int q = from; q < to; q++, in += P * LANES) {
                        for (int i = 0; i < LANES * V && g == 0; i++)
                            PREFETCH(w + w_off + (size_t)(next + q - from) * size + i * LANES);
                        TWO for (int i = 0; i < LANES; i++, wq += LANES * V) {
                            float16 wv[V];
                            UNROLL for (int v = 0; v < V; v++)
                                wv[v] = vload16(v, wq);
                            UNROLL for (int p = 0; p < P; p++) {
                                const float16 xv = (float16)(in[p * LANES + i]);
                                UNROLL for (int v = 0; v < V; v++)
                                    acc[v][p] = wv[v] * xv + acc[v][p];
                            }
                        }
                    }
                    UNROLL for (int v = 0; v < V; v++)
                        UNROLL for (int p = 0; p < P; p++)
                            vstore16(from == 0 ? acc[v][p] : acc[v][p] + vload16(v * P + p, own), v * P + p, own);
                }
            }
        }
        for (int k = ob0 * V; k < ob1 * V; k++) {
            const size_t plane = k * y_plane;
            __global const float *own = TAIL_BIAS(n, k * LANES), *other = TAIL_ADDED(n * out_blocks * y_plane + plane);
            float bias[LANES];
            for (int i = 0; i < LANES; i++)
                bias[i] = has_bias && k * LANES + i < O ? b[b_off + k * LANES + i] : 0.0f;
            for (int p = 0, oy = first / cols, ox = first % cols; p < count; p++) {
                const float16 s = pairs == 0 ? (float16)(0.0f) : vload16((((k / V - ob0) * GROUPS + p / P) * V + k % V) * P + p % P, sum);
                const size_t pixel = (size_t)(oy * out_stride + row0) * YW + ox * out_stride + col0;
                vstore16(with_tail(s + vload16(0, bias), own, other, pixel), pixel, yn + plane);
                if (++ox == cols) {
                    ox = 0;
                    oy++;
                }
            }
        }
    }
}
