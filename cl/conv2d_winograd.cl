/* conv2d_winograd.cl: 3x3 convolution without stride by Winograd's F(4x4,3x3) (Lavin and Gray, arXiv 1509.09308), maps in
 * [N,C/16,H,W,16], for CPUs. A tile is 4x4 outputs and the 6x6 inputs under them; Y = A'((G w G') * (B' x B))A, where * is
 * 36 products of matrices, [tiles, in] by [in, out].
 * V holds the transformed inputs (conv2d_winograd_input.cl) of a chunk of tiles in the order they are read in, for each
 * DEPTH input blocks: [36][groups of P tiles][DEPTH, fewer in the last][P][16]. Weights come packed as for
 * conv2d_blocked.cl and are transformed where they are used, row by row of the 6x6: kept, they would take four times the
 * memory of w. */
#include "common/prefetch.cl"
#include "common/queue.cl"
#include "common/tail.cl"
#include "common/winograd.cl"
#ifndef P
#define P 6
#endif
#ifndef W_LANES
#define W_LANES 32        /* output channels beside each other in the packed weights */
#endif
#ifndef DEPTH
#define DEPTH 4           /* blocks of input channels whose weights lie transformed in the cache */
#endif
#ifndef GROUPS
#define GROUPS 16         /* most groups of tiles in a chunk */
#endif
#define LANES  16
#define TILES  (GROUPS * P)

/* u[6][DEPTH * 16][16] = row i of G w G', input blocks from .. to. */
#define TRANSFORM_WEIGHTS                                                                  \
    for (int c = 0; c < (to - from) * LANES; c++) {                                        \
        __global const float *at = wo + (size_t)((from + c / LANES) * 9 * LANES + c % LANES) * W_LANES;      \
        float16 a[3];                                                                      \
        UNROLL for (int k = 0; k < 3; k++)                                                 \
            a[k] = g0 * vload16(0, at + k * LANES * W_LANES) +                             \
                   g1 * vload16(0, at + (3 + k) * LANES * W_LANES) +                       \
                   g2 * vload16(0, at + (6 + k) * LANES * W_LANES);                        \
        const float16 even = (a[0] + a[2]) * (-1.0f / 6), odd = a[1] * (1.0f / 6);         \
        const float16 far = a[0] * (1.0f / 24) + a[2] * (1.0f / 6), near = a[1] * (1.0f / 12);               \
        vstore16(a[0] * 0.25f, c, u);                                                      \
        vstore16(even - odd, c, u + 1 * DEPTH * LANES * LANES);                            \
        vstore16(even + odd, c, u + 2 * DEPTH * LANES * LANES);                            \
        vstore16(far + near, c, u + 3 * DEPTH * LANES * LANES);                            \
        vstore16(far - near, c, u + 4 * DEPTH * LANES * LANES);                            \
        vstore16(a[2], c, u + 5 * DEPTH * LANES * LANES);                                  \
    }

__constant float G[6][3] = { { 0.25f, 0.0f, 0.0f }, { -1.0f / 6, -1.0f / 6, -1.0f / 6 },
                             { -1.0f / 6, 1.0f / 6, -1.0f / 6 }, { 1.0f / 24, 1.0f / 12, 1.0f / 6 },
                             { 1.0f / 24, -1.0f / 12, 1.0f / 6 }, { 0.0f, 0.0f, 1.0f } };

/* A place is 16 output channels of one chunk of tiles. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_winograd(__global const float *v, ulong v_off, __global const float *w, ulong w_off,
                     __global const float *b, ulong b_off, __global float *y, ulong y_off, int in_blocks,
                     int out_blocks, int O, int YH, int YW, int tiles_x, int tiles_each, int first, int tiles,
                     int groups_each, int has_bias, TAIL_ARGS, QUEUE_ARGS)
{
    __local float u[6 * DEPTH * LANES * LANES], m[36 * TILES * LANES];
    EACH_PLACE {
        const int    ob = PLACE(0), chunk = PLACE(1), first_tile = first + chunk * groups_each * P;
        const int    groups = min(groups_each, (tiles - first_tile + P - 1) / P);
        const size_t block = (size_t)groups_each * P * LANES;
        __global const float *wo = w + w_off + (size_t)(ob * LANES / W_LANES) * in_blocks * 9 * LANES * W_LANES +
                                   ob * LANES % W_LANES;
        for (int from = 0; from < in_blocks; from += DEPTH) {
            const int to = min(from + DEPTH, in_blocks);
            for (int i = 0; i < 6; i++) {
                const float g0 = G[i][0], g1 = G[i][1], g2 = G[i][2];
                TRANSFORM_WEIGHTS
                for (int j = 0; j < 6; j++) {
                    __global const float *vg = v + v_off + (((size_t)chunk * in_blocks + from) * 36 +
                                                            (i * 6 + j) * (to - from)) * block;
                    UNROLL for (int k = 0; k < 4 * DEPTH; k++)      /* a 36th of the weights that come next */
                        PREFETCH(wo + (size_t)(to * 9 * LANES + (i * 6 + j) * 4 * DEPTH + k) * W_LANES);
                    for (int g = 0; g < groups; g++) {
                        __local const float  *uj = u + j * DEPTH * LANES * LANES;
                        __local float        *mg = m + ((i * 6 + j) * GROUPS + g) * P * LANES;
                        float16 sum[P];
                        UNROLL for (int p = 0; p < P; p++)
                            sum[p] = (float16)(0.0f);
                        for (int ib = from; ib < to; ib++, vg += P * LANES)
                            __attribute__((opencl_unroll_hint(4)))
                            for (int k = 0; k < LANES; k++, uj += LANES) {
                                const float16 wk = vload16(0, uj);
                                UNROLL for (int p = 0; p < P; p++)
                                    sum[p] = wk * (float16)(vg[p * LANES + k]) + sum[p];
                            }
                        UNROLL for (int p = 0; p < P; p++)
                            vstore16(from == 0 ? sum[p] : sum[p] + vload16(p, mg), p, mg);
                    }
                }
            }
        }
        float bias[LANES];
        for (int k = 0; k < LANES; k++)
            bias[k] = has_bias && ob * LANES + k < O ? b[b_off + ob * LANES + k] : 0.0f;
        for (int t = 0; t < min(groups * P, tiles - first_tile); t++) {
            const int n = (first_tile + t) / tiles_each, at = (first_tile + t) % tiles_each;
            const int y0 = at / tiles_x * 4, x0 = at % tiles_x * 4;
            const size_t plane = ((size_t)n * out_blocks + ob) * YH * YW * LANES;
            __global float *map = y + y_off + plane;
            __global const float *own = TAIL_BIAS(n, ob * LANES), *other = TAIL_ADDED(plane);
            float16 columns[6][4];
            ONCE for (int j = 0; j < 6; j++) {
                float16 d[6];
                UNROLL for (int i = 0; i < 6; i++)
                    d[i] = vload16((i * 6 + j) * TILES + t, m);
                OUTPUT(columns[j], d)
            }
            ONCE for (int r = 0; r < 4; r++) {
                float16 d[6], o[4];
                UNROLL for (int j = 0; j < 6; j++)
                    d[j] = columns[j][r];
                OUTPUT(o, d)
                UNROLL for (int c = 0; c < 4; c++)
                    if (y0 + r < YH && x0 + c < YW) {
                        const size_t pixel = (size_t)(y0 + r) * YW + x0 + c;
                        vstore16(with_tail(o[c] + vload16(0, bias), own, other, pixel), pixel, map);
                    }
            }
        }
    }
}
