/* conv2d_blocked.cl: direct convolution, maps in [N,C/16,H,W,16], for CPUs. A place of the queue is V x 16 output
 * channels of a run of segments; a segment is P neighbouring outputs, held in V x P vectors. Weights are packed
 * [O/16V][I/16][taps y][taps x][16 in][16V out]: the part of `group` input blocks stays in the first-level cache for
 * the whole run. A segment is part of a row of outputs (stride 1); at the map's border its inputs are copied to private
 * memory, one copy for all taps of a row, so that the zeros around the map need no tests in the innermost loop.
 * Everything else: conv2d_gather.cl. */
#include "common/queue.cl"
#include "common/tail.cl"

#ifndef P
#define P 8
#endif
#ifndef V
#define V 2
#endif
#define STRIP  32        /* most inputs a row of taps spans: P + (taps - 1) dilation */
#define LANES  16
#define UNROLL __attribute__((opencl_unroll_hint))
#define TWO    __attribute__((opencl_unroll_hint(2)))

/* acc[v][p] += in[p * 16 + i] w[i][v]: one tap, 16 input channels. */
#define TAP(acc, in, w)                                                                  \
    TWO for (int i = 0; i < LANES; i++) {                                                \
        float16 wv[V];                                                                   \
        UNROLL for (int v = 0; v < V; v++)                                               \
            wv[v] = vload16(v, (w) + i * LANES * V);                                     \
        UNROLL for (int p = 0; p < P; p++) {                                             \
            const float16 xv = (float16)((in)[p * LANES + i]);                           \
            UNROLL for (int v = 0; v < V; v++)                                           \
                acc[v][p] = wv[v] * xv + acc[v][p];                                      \
        }                                                                                \
    }

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_blocked(__global const float *x, ulong x_off, __global const float *w, ulong w_off,
                    __global const float *b, ulong b_off, __global float *y, ulong y_off,
                    int in_blocks, int H, int W, int out_blocks, int O, int rows, int cols, int YH, int YW,
                    int row0, int col0, int out_stride, int taps_y, int taps_x, int stride, int dilation,
                    int top, int left, int group, int run, int segments, int has_bias, TAIL_ARGS, QUEUE_ARGS)
{
    EACH_PLACE {
        const int    ob = PLACE(0), first = PLACE(1) * run, last = min(first + run, segments);
        const size_t n = PLACE(2), x_plane = (size_t)H * W * LANES, y_plane = (size_t)YH * YW * LANES;
        const int    tap_size = LANES * LANES * V, block_size = taps_y * taps_x * tap_size;
        __global const float *xn = x + x_off + n * in_blocks * x_plane;
        __global const float *wo = w + w_off + (size_t)ob * in_blocks * block_size;
        const size_t plane = (n * out_blocks + (size_t)ob * V) * y_plane;
        __global float       *yo = y + y_off + plane;
        __global const float *own = TAIL_BIAS(n, ob * V * LANES), *other = TAIL_ADDED(plane);
        float bias[V * LANES];
        for (int k = 0; k < V * LANES; k++)
            bias[k] = has_bias && ob * V * LANES + k < O ? b[b_off + ob * V * LANES + k] : 0.0f;

        for (int from = 0; from < in_blocks; from += group) {
            const int to = min(from + group, in_blocks);
            const int per_row = (cols + P - 1) / P;
            int       oy = first / per_row, ox = first % per_row * P;
            for (int s = first; s < last; s++) {
                float16 acc[V][P];
                UNROLL for (int v = 0; v < V; v++)
                    UNROLL for (int p = 0; p < P; p++)
                        acc[v][p] = (float16)(0.0f);
                float strip[STRIP * LANES];
                const int ix0 = ox - left, span = P + (taps_x - 1) * dilation;
                for (int ib = from; ib < to; ib++)
                    for (int ky = 0; ky < taps_y; ky++) {
                        const int iy = oy - top + ky * dilation;
                        if (iy < 0 || iy >= H)
                            continue;
                        __global const float *row = xn + ib * x_plane + (size_t)iy * W * LANES;
                        __global const float *wt = wo + (size_t)ib * block_size + ky * taps_x * tap_size;
                        if (ix0 >= 0 && ix0 + span <= W) {
                            for (int kx = 0; kx < taps_x; kx++)
                                TAP(acc, row + (ix0 + kx * dilation) * LANES, wt + kx * tap_size)
                            continue;
                        }
                        for (int k = 0; k < span; k++)
                            vstore16(ix0 + k >= 0 && ix0 + k < W ? vload16(ix0 + k, row) : (float16)(0.0f), k, strip);
                        for (int kx = 0; kx < taps_x; kx++)
                            TAP(acc, strip + kx * dilation * LANES, wt + kx * tap_size)
                    }
                UNROLL for (int p = 0; p < P; p++) {
                    if (ox + p >= cols)
                        break;
                    const size_t at = (size_t)(oy * out_stride + row0) * YW + (ox + p) * out_stride + col0;
                    UNROLL for (int v = 0; v < V; v++) {
                        const float16 before = from == 0 ? vload16(v, bias) : vload16(at, yo + v * y_plane);
                        const float16 sum = acc[v][p] + before;
                        vstore16(to < in_blocks ? sum : with_tail(sum, own ? own + v * LANES : 0, other ? other + v * y_plane : 0, at),
                                 at, yo + v * y_plane);
                    }
                }
                ox += P;
                if (ox >= cols) {
                    ox = 0;
                    oy++;
                }
            }
        }
    }
}
