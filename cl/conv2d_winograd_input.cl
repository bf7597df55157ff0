/* conv2d_winograd_input.cl: the transformed inputs B' x B that conv2d_winograd.cl multiplies, in the order it reads them in. */
#include "common/winograd.cl"
#ifndef DEPTH
#define DEPTH 4           /* as in conv2d_winograd.cl */
#endif
#define LANES    16
#define MOST     16       /* tiles of a group */
#define UNROLL   __attribute__((opencl_unroll_hint))
#define ONCE     __attribute__((opencl_unroll_hint(1)))      /* unrolled it takes long to compile */

/* One work-item transforms a group of `each` tiles of all input channels; `first` is the chunk's first tile, of all samples'
 * tiles. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_winograd_input(__global const float *x, ulong x_off, __global float *v, ulong v_off, int in_blocks, int H,
                           int W, int tiles_x, int tiles_each, int first, int tiles, int groups_each, int each, int top,
                           int left)
{
    const int    group = (int)get_global_id(0) % groups_each, chunk = (int)get_global_id(0) / groups_each;
    const size_t plane = (size_t)H * W * LANES, block = (size_t)groups_each * each * LANES;
    const int count = min(each, tiles - first - (int)get_global_id(0) * each);
    int       y0[MOST], x0[MOST];
    size_t    sample[MOST];
    for (int p = 0; p < count; p++) {
        const int t = first + (int)get_global_id(0) * each + p;
        sample[p] = (size_t)(t / tiles_each) * in_blocks * plane;
        y0[p] = t % tiles_each / tiles_x * 4 - top;
        x0[p] = t % tiles_each % tiles_x * 4 - left;
    }
    for (int ib = 0; ib < in_blocks; ib++) {
        const int       from = ib / DEPTH * DEPTH, depth = min(DEPTH, in_blocks - from);
        __global float *to = v + v_off + ((size_t)chunk * in_blocks + from) * 36 * block +
                             (group * depth + ib - from) * each * LANES;
        for (int p = 0; p < count; p++) {
            const int is_whole = y0[p] >= 0 && y0[p] + 6 <= H && x0[p] >= 0 && x0[p] + 6 <= W;
            __global const float *map = x + x_off + sample[p] + ib * plane;
            float16 rows[6][6];
            ONCE for (int i = 0; i < 6; i++) {
                float16 d[6];
                UNROLL for (int j = 0; j < 6; j++) {
                    const int iy = y0[p] + i, ix = x0[p] + j;
                    d[j] = is_whole || (iy >= 0 && iy < H && ix >= 0 && ix < W)
                         ? vload16(0, map + ((long)iy * W + ix) * LANES) : (float16)(0.0f);
                }
                INPUT(rows[i], d)
            }
            ONCE for (int j = 0; j < 6; j++) {
                float16 d[6], o[6];
                UNROLL for (int i = 0; i < 6; i++)
                    d[i] = rows[i][j];
                INPUT(o, d)
                UNROLL for (int i = 0; i < 6; i++)
                    vstore16(o[i], p, to + (i * 6 + j) * depth * block);
            }
        }
    }
}
