/* conv2d_dw.cl: weight gradients for CPUs: sums over pixels in V x J vector accumulators, one pass over some rows at
 * a time and the passes added up in memory (two levels); chunks of passes belong to different work-items and are
 * added in a fixed order by conv2d_dw_sum. */
#include "common/transpose.cl"
#ifndef V
#define V 2
#endif
#ifndef J
#define J 8              /* scalars per vector accumulator row; divides 16 */
#endif
#ifndef TAPS
#define TAPS 0
#endif
#define LANES  16
#define UNROLL __attribute__((opencl_unroll_hint))
#define TWO    __attribute__((opencl_unroll_hint(2)))

/* acc[v][j] (+)= into to[j][v] */
#define ADD_UP(to, is_first)                                                                  \
    UNROLL for (int j = 0; j < J; j++)                                                        \
        UNROLL for (int v = 0; v < V; v++)                                                    \
            vstore16((is_first) ? acc[v][j] : acc[v][j] + vload16(j * V + v, (to)), j * V + v, (to));

/* Rows of dw from sums in the order [taps][16][16V]; `load(offset)` gives 16 of them. Whole blocks of 16V outputs and
 * 16 inputs only. */
#define WRITE_ROWS(load, to, lane_stride, taps)                                               \
    for (int v = 0; v < V; v++)                                                               \
        for (int j = 0, i = 0, k = 0; j < (taps) * 16; j += 16) {                             \
            float16 r[16];                                                                    \
            UNROLL for (int l = 0; l < 16; l++) {                                             \
                r[l] = load(((k * 16 + i) * V + v) * LANES);                                  \
                if (++k == (taps)) {                                                          \
                    k = 0;                                                                    \
                    i++;                                                                      \
                }                                                                             \
            }                                                                                 \
            transpose16(r);                                                                   \
            UNROLL for (int l = 0; l < 16; l++)                                               \
                vstore16(r[l], 0, (to) + (size_t)(v * LANES + l) * (lane_stride) + j);        \
        }

/* x [N,C/16,H,W,16], dy [N,O/16,OH,OW,16] -> part [chunks][O/16V][C/16][taps][16][16V].
 * TAPS > 0: the kernel has so many taps, there is one chunk of whole blocks, and `part` is dw [O,C,taps] itself. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_dw(__global const float *x, ulong x_off, __global const float *dy, ulong dy_off,
               __global float *part, ulong part_off, int in_blocks, int H, int W, int out_blocks, int OH, int OW,
               int taps_y, int taps_x, int stride, int dilation, int top, int left, int rows_each, int run, int passes)
{
    const int    ob = (int)get_global_id(0), ib = (int)get_global_id(1), chunk = (int)get_global_id(2);
    const int    per_map = (OH + rows_each - 1) / rows_each, first = chunk * run, last = min(first + run, passes);
    const size_t x_plane = (size_t)H * W * LANES, y_plane = (size_t)OH * OW * LANES;
#if TAPS > 0
    float own[TAPS * LANES * LANES * V], *sum = own;
#else
    const size_t block = ((size_t)chunk * get_global_size(0) + ob) * in_blocks + ib;
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

/* The same where one of the maps has few channels: `thin` [N,C,H,W] is plain, `wide` [N,L/16,OH,OW,16] gives the
 * lanes. part [chunks][L/16V][C * taps][16V], rows of it rounded up to J. A pass is at most LENGTH pixels of a row. */
#ifndef LENGTH
#define LENGTH 64
#endif
#ifndef STRIPS
#define STRIPS 4096      /* floats: C taps_y ((LENGTH - 1) stride + (taps_x - 1) dilation + 1) at least */
#endif
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_dw_few(__global const float *thin, ulong thin_off, __global const float *wide, ulong wide_off,
                   __global float *part, ulong part_off, int C, int H, int W, int wide_blocks, int OH, int OW,
                   int taps_y, int taps_x, int stride, int dilation, int top, int left, int run, int passes)
{
    const int    ob = (int)get_global_id(0), chunk = (int)get_global_id(1);
    const int    per_row = (OW + LENGTH - 1) / LENGTH, first = chunk * run, last = min(first + run, passes);
    const int    taps = C * taps_y * taps_x, taps_up = (taps + J - 1) / J * J;
    const int    strip = (LENGTH - 1) * stride + (taps_x - 1) * dilation + 1;
    const size_t y_plane = (size_t)OH * OW * LANES;
    float        copy[STRIPS];
    __global float *sum = part + part_off + ((size_t)chunk * get_global_size(0) + ob) * taps_up * LANES * V;
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

/* part [chunks][lane blocks][inner blocks][taps][inner_block][16V] (chunk_size and lane_block_size tell what is rounded
 * up); dw[lane lane_stride + inner inner_stride + tap]. One work-item writes what belongs to one block of lanes and
 * inner channels. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_dw_sum(__global const float *part, ulong part_off, __global float *dw, ulong dw_off, int chunks,
                   ulong chunk_size, ulong lane_block_size, int lanes, int inner, int inner_block, int taps,
                   int lane_stride, int inner_stride, int flip)
{
    const int lane0 = (int)get_global_id(0) * LANES * V, lane1 = min(lane0 + LANES * V, lanes);
    const int i0 = (int)get_global_id(1) * inner_block, i1 = min(i0 + inner_block, inner);
    __global const float *from = part + part_off + get_global_id(0) * lane_block_size + (size_t)i0 * taps * LANES * V;
    for (int lane = lane0; lane < lane1; lane++)
        for (int i = i0; i < i1; i++)
            for (int k = 0; k < taps; k++) {
                __global const float *at = from + ((size_t)k * inner_block + (i - i0)) * LANES * V + (lane - lane0);
                float s = 0.0f;
                for (int c = 0; c < chunks; c++)
                    s += at[c * chunk_size];
                dw[dw_off + (size_t)lane * lane_stride + (size_t)i * inner_stride + (flip ? taps - 1 - k : k)] = s;
            }
}

static float16 sum_chunks(__global const float *at, int chunks, ulong chunk_size)
{
    float16 s = vload16(0, at);
    for (int c = 1; c < chunks; c++)
        s += vload16(0, at + c * chunk_size);
    return s;
}
#define CHUNKS(offset) sum_chunks(from + (offset), chunks, chunk_size)

/* The same for whole blocks of lanes and of 16 inner channels, lanes being output channels: rows of dw are written in
 * vectors. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_dw_sum_whole(__global const float *part, ulong part_off, __global float *dw, ulong dw_off,
                         int chunks, ulong chunk_size, ulong lane_block_size, int lane_stride, int taps)
{
    const size_t lane0 = get_global_id(0) * LANES * V, row = get_global_id(1) * 16 * taps;
    __global const float *from = part + part_off + get_global_id(0) * lane_block_size + row * LANES * V;
    __global float       *to   = dw + dw_off + lane0 * lane_stride + row;
    WRITE_ROWS(CHUNKS, to, lane_stride, taps)
}
