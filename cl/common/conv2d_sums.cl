/* conv2d_sums.cl: what the kernels of the weight gradient share: V x J vector sums, adding them up, writing rows of
 * dw. */
#include "common/transpose.cl"
#ifndef V
#define V 2
#endif
#ifndef J
#define J 8              /* scalars per vector of lanes; divides 16 */
#endif
#define LANES  16
#define UNROLL __attribute__((opencl_unroll_hint))

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
