/* conv2d_winograd_input.cl: the transformed inputs B' x B that conv2d_winograd.cl multiplies, in the order it reads them in. */
#include "common/queue.cl"
#include "common/winograd.cl"
#ifndef DEPTH
#define DEPTH 4           /* as in conv2d_winograd.cl */
#endif
#define LANES 16
#define MOST  16          /* tiles of a group */

TRANSFORM_TILE(transform_inputs, 6, INPUT)

/* A place is a group of `each` tiles of all input channels; `first` is the chunk's first tile, of all samples'
 * tiles. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_winograd_input(__global const float *x, ulong x_off, __global float *v, ulong v_off, int in_blocks, int H,
                           int W, int tiles_x, int tiles_each, int first, int tiles, int groups_each, int each, int top,
                           int left, QUEUE_ARGS)
{
    EACH_PLACE {
        const int    group = place % groups_each, chunk = place / groups_each;
        const size_t plane = (size_t)H * W * LANES, block = (size_t)groups_each * each * LANES;
        const int count = min(each, tiles - first - place * each);
        int       y0[MOST], x0[MOST];
        size_t    sample[MOST];
        for (int p = 0; p < count; p++) {
            const int t = first + place * each + p;
            sample[p] = (size_t)(t / tiles_each) * in_blocks * plane;
            y0[p] = t % tiles_each / tiles_x * 4 - top;
            x0[p] = t % tiles_each % tiles_x * 4 - left;
        }
        for (int ib = 0; ib < in_blocks; ib++) {
            const int       from = ib / DEPTH * DEPTH, depth = min(DEPTH, in_blocks - from);
            __global float *to = v + v_off + ((size_t)chunk * in_blocks + from) * 36 * block +
                                 (group * depth + ib - from) * each * LANES;
            for (int p = 0; p < count; p++)
                transform_inputs(x + x_off + sample[p] + ib * plane, y0[p], x0[p], H, W, to + p * LANES, depth * block);
        }
    }
}
