/* conv2d_amx.cl: convolution with operands rounded to bf16 on Intel's AMX, maps in [N,C/16,H,W,16]. One work-item computes `each`
 * pairs of blocks of 16 output channels for a window of high x wide outputs. The inputs that the window's taps reach are rounded,
 * `depth` pairs of channel blocks at a time, into a strip [pair][row][pitch][32], with the zeros around the map; 16 neighbours of
 * an output's row are then a tile, read where each tap wants it. A tile is part of a row of outputs (by_row), or of all rows one
 * after the other with the strip's pitch, what lies between them computed in vain: better where rows are short.
 * Weights: conv2d_pack_words.cl. A result is summed up over pairs of blocks, then taps, whatever the window. */
#include "common/amx.cl"
#include "common/tail.cl"
#ifndef POOL
#define POOL 49152               /* floats of the strip and the sums */
#endif
#define LANES 16
#define TILE_AT(t) (by_row ? (t) / per_row * pitch + (t) % per_row * 16 : (t) * 16)      /* its first output */

DIFFAD_LOCAL_FN void fill_strip(__local ushort *strip, __global const float *xn, int from, int to, int in_blocks, int area, int pitch,
                                int y0, int x0, int H, int W)
{
    for (int k = 2 * from; k < 2 * to; k++) {
        __global const float *map = xn + (size_t)k * H * W * LANES;
        __local ushort       *own = strip + (k / 2 - from) * area * 2 * LANES + k % 2 * LANES;
        for (int p = 0, iy = y0, c = 0; p < area; p++) {
            const int ix = x0 + c;
            const bool is_there = k < in_blocks && iy >= 0 && iy < H && ix >= 0 && ix < W;
            vstore16(is_there ? round_bf16(vload16((size_t)iy * W + ix, map)) : (ushort16)(0), 2 * p, own);
            if (++c == pitch) {
                c = 0;
                iy++;
            }
        }
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_amx(__global const float *x, ulong x_off, __global const uint *w, ulong w_off, __global const float *b, ulong b_off,
                __global float *y, ulong y_off, int in_blocks, int H, int W, int out_blocks, int O, int rows, int cols, int YH, int YW,
                int row0, int col0, int out_stride, int taps_y, int taps_x, int stride, int dilation, int top, int left,
                int each, int high, int wide, int depth, int area, int most_tiles, int by_row, int has_bias, TAIL_ARGS)
{
    __local float pool[POOL] __attribute__((aligned(64)));
    __local ushort *strip = (__local ushort *)pool;
    __local float  *sum = pool + depth * area * LANES;                            /* [pair of output blocks][tile][block][16][16] */
    const int    across = (cols + wide - 1) / wide, r0 = (int)get_global_id(1) / across * high, c0 = (int)get_global_id(1) % across * wide;
    const int    here_y = min(high, rows - r0), here_x = min(wide, cols - c0), per_row = (here_x + 15) / 16;
    const int    pitch = (wide - 1) * stride + (taps_x - 1) * dilation + 1;
    const int    tiles = by_row ? here_y * per_row : ((here_y - 1) * pitch + here_x + 15) / 16;
    const int    pairs = (in_blocks + 1) / 2, o0 = (int)get_global_id(0) * each, o1 = min(o0 + each, (out_blocks + 1) / 2);
    const size_t n = get_global_id(2), y_plane = (size_t)YH * YW * LANES;
    __global const float *xn = x + x_off + n * in_blocks * H * W * LANES;
    AMX_BEGIN
    int from = 0;
    do {
        const int to = min(from + depth, pairs);
        fill_strip(strip, xn, from, to, in_blocks, area, pitch, r0 * stride - top, c0 * stride - left, H, W);
        for (int o = o0; o < o1; o++)
            for (int t = 0; t < tiles; t += 2) {
                __local float         *own = sum + ((o - o0) * most_tiles + t) * 2 * TILE_FLOATS;
                __local const ushort  *a0 = strip + TILE_AT(t) * stride * 2 * LANES;
                __local const ushort  *a1 = strip + TILE_AT(min(t + 1, tiles - 1)) * stride * 2 * LANES;
                __global const uint   *wo = w + w_off + ((size_t)o * pairs + from) * taps_y * taps_x * 2 * TILE_FLOATS;
                if (from == 0)
                    for (int k = 0; k < 4 * LANES; k++) {
                        const int m = o * 2 * LANES + k % (2 * LANES);
                        own[k] = has_bias && m < O ? b[b_off + m] : 0.0f;
                    }
                AMX_LOAD(own, from == 0 ? LANES : TILE_FLOATS, from == 0 ? 0 : 64)
                for (int q = from; q < to; q++)
                    for (int ky = 0; ky < taps_y; ky++)
                        for (int kx = 0; kx < taps_x; kx++, wo += 2 * TILE_FLOATS) {
                            const int at = ((q - from) * area + (ky * pitch + kx) * dilation) * 2 * LANES;
                            AMX_STEP(a0 + at, a1 + at, stride * 64, wo)
                        }
                AMX_STORE(own)
            }
        from = to;
    } while (from < pairs);
    AMX_END
    for (int block = o0 * 2; block < min(o1 * 2, out_blocks); block++) {
        const size_t plane = (n * out_blocks + block) * y_plane;
        __global const float *own = TAIL_BIAS(n, block * LANES), *other = TAIL_ADDED(plane);
        __local const float  *from_sum = sum + ((block / 2 - o0) * most_tiles * 2 + block % 2) * TILE_FLOATS;
        for (int k = 0; k < tiles * 16; k++) {
            const int p = TILE_AT(k / 16) + k % 16, r = p / pitch, c = p % pitch;
            if (r >= here_y || c >= here_x)
                continue;
            const size_t at = (size_t)((r0 + r) * out_stride + row0) * YW + (c0 + c) * out_stride + col0;
            vstore16(with_tail(vload16(k / 16 * 32 + k % 16, from_sum), own, other, at), at, y + y_off + plane);
        }
    }
}
