/* conv2d_winograd_tiles.cl: maps [N,C/16,H,W,16] in transformed tiles, for the gradient of the weight by Winograd's
 * F(4x4,3x3): to [chunks][36][C/16][each][16], `each` tiles a chunk. Tiles beyond the last are zeros.
 * SIDE 6: 6x6 inputs as B' x B; SIDE 4: 4x4 gradients of outputs as A dy A'. */
#include "common/queue.cl"
#include "common/winograd.cl"
#ifndef SIDE
#define SIDE 6
#endif
#ifndef RUN
#define RUN 16            /* tiles of a place */
#endif
#define LANES 16
#if SIDE == 6
TRANSFORM_TILE(transform, 6, INPUT)
#else
TRANSFORM_TILE(transform, 4, OUTPUT_GRAD)
#endif

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_winograd_tiles(__global const float *x, ulong x_off, __global float *to, ulong to_off, int H, int W, int tiles_x,
                           int tiles_each, int first, int tiles, int each, int top, int left, QUEUE_ARGS)
{
    EACH_PLACE {
        const int    run = PLACE(0) * RUN, block = PLACE(1), blocks = places_y;
        const size_t point = (size_t)blocks * each * LANES, plane = (size_t)H * W * LANES;
        for (int p = 0; p < RUN; p++) {
            const int t = first + run + p, at = t % tiles_each;
            const int y0 = at / tiles_x * 4 - top, x0 = at % tiles_x * 4 - left;
            __global float *out = to + to_off + (size_t)(run / each) * 36 * point + ((size_t)block * each + run % each + p) * LANES;
            if (t >= tiles) {
                for (int k = 0; k < 36; k++)
                    vstore16((float16)(0.0f), 0, out + k * point);
                continue;
            }
            transform(x + x_off + ((size_t)(t / tiles_each) * blocks + block) * plane, y0, x0, H, W, out, point);
        }
    }
}
