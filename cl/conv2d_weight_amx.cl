/* conv2d_weight_amx.cl: the weight's gradient of a convolution without stride, operands rounded to bf16, on Intel's AMX, maps in
 * [N,C/16,H,W,16]. The terms of a sum are outputs. One work-item takes `each` pairs of blocks of output channels and as many of
 * input channels through `run` windows of high x wide outputs. Of a window the inputs that the taps reach are rounded and transposed
 * into a strip [block][16][area]: for each channel pixel after pixel, row after row with a pitch that leaves room for the taps' border,
 * so that a tap's 32 terms are neighbours; gradients with the same pitch become words of two pixels [step][block][16][16], zero
 * between the rows. A result is summed up over outputs in the order of windows; chunks of windows are added up by conv2d_dw_sum. */
#include "common/amx.cl"
#include "common/transpose.cl"
#ifndef POOL
#define POOL 65536               /* floats of strip, words and sums */
#endif
#define LANES 16

typedef struct place { int r0, c0, here_y, here_x, pitch; } place;

/* [16][area] of one block; `map` NULL: zeros. */
DIFFAD_LOCAL_FN void fill_channels(__local ushort *to, __global const float *map, int area, place p, int top, int left, int H, int W)
{
    for (int q0 = 0; q0 < area; q0 += 16) {
        float16 v[16];
        for (int k = 0; k < 16; k++) {
            const int  iy = p.r0 - top + (q0 + k) / p.pitch, ix = p.c0 - left + (q0 + k) % p.pitch;
            const bool is_there = map && iy >= 0 && iy < H && ix >= 0 && ix < W;
            v[k] = is_there ? vload16((size_t)iy * W + ix, map) : (float16)(0.0f);
        }
        transpose16(v);
        for (int k = 0; k < 16; k++)
            vstore16(round_bf16(v[k]), 0, to + k * area + q0);
    }
}

static uint16 gradient_at(__global const float *map, int q, place p, int OW)
{
    const int r = q / p.pitch, c = q % p.pitch;
    if (!map || r >= p.here_y || c >= p.here_x)
        return (uint16)(0);
    return convert_uint16(round_bf16(vload16((size_t)(p.r0 + r) * OW + p.c0 + c, map)));
}

/* One of two blocks side by side. */
DIFFAD_LOCAL_FN void fill_words(__local uint *to, __global const float *map, int steps, place p, int OW)
{
    for (int k = 0; k < steps * 16; k++)
        vstore16(gradient_at(map, 2 * k, p, OW) | gradient_at(map, 2 * k + 1, p, OW) << 16, 0,
                 to + k / 16 * 2 * TILE_FLOATS + k % 16 * LANES);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_weight_amx(__global const float *x, ulong x_off, __global const float *dy, ulong dy_off, __global float *part, ulong part_off,
                       int in_blocks, int H, int W, int out_blocks, int OH, int OW, int taps_y, int taps_x, int dilation, int top, int left,
                       int each, int high, int wide, int area, int most_steps, int run, int windows)
{
    __local float pool[POOL] __attribute__((aligned(64)));
    const int  taps = taps_y * taps_x, o0 = (int)get_global_id(0) * each, i0 = (int)get_global_id(1) * each;
    const int  outs = min(each, (out_blocks + 1) / 2 - o0), ins = min(each, (in_blocks + 1) / 2 - i0);
    const int  across = (OW + wide - 1) / wide, per_map = across * ((OH + high - 1) / high), first = (int)get_global_id(2) * run;
    __local float  *sum = pool;                                                      /* [out pair][in pair][tap][in][out][16][16] */
    __local uint   *words = (__local uint *)(sum + each * each * taps * 4 * TILE_FLOATS);
    __local ushort *strip = (__local ushort *)(words + each * most_steps * 2 * TILE_FLOATS);
    for (int k = 0; k < outs * each * taps * 4 * 16; k++)
        vstore16((float16)(0.0f), k, sum);
    AMX_BEGIN
    for (int at = first; at < min(first + run, windows); at++) {
        const size_t n = at / per_map;
        place        p = { at % per_map / across * high, at % across * wide, 0, 0, wide + (taps_x - 1) * dilation };
        p.here_y = min(high, OH - p.r0);
        p.here_x = min(wide, OW - p.c0);
        const int steps = ((p.here_y - 1) * p.pitch + p.here_x + 31) / 32;
        for (int k = 0; k < ins * 2; k++)
            fill_channels(strip + k * LANES * area,
                          i0 * 2 + k < in_blocks ? x + x_off + (n * in_blocks + i0 * 2 + k) * H * W * LANES : 0, area, p, top, left, H, W);
        for (int k = 0; k < outs * 2; k++)
            fill_words(words + (k / 2 * most_steps * 2 + k % 2) * TILE_FLOATS,
                       o0 * 2 + k < out_blocks ? dy + dy_off + (n * out_blocks + o0 * 2 + k) * OH * OW * LANES : 0, steps, p, OW);
        for (int k = 0; k < outs * ins * taps; k++) {
            const int o = k / (ins * taps), i = k / taps % ins, tap = k % taps;
            __local float        *own = sum + ((o * each + i) * taps + tap) * 4 * TILE_FLOATS;
            __local const uint   *b = words + o * most_steps * 2 * TILE_FLOATS;
            __local const ushort *a = strip + i * 2 * LANES * area + (tap / taps_x * p.pitch + tap % taps_x) * dilation;
            AMX_LOAD(own, TILE_FLOATS, 64)
            for (int s = 0; s < steps; s++, a += 32, b += 2 * TILE_FLOATS) {
                AMX_STEP(a, a + LANES * area, area * 2, b)
            }
            AMX_STORE(own)
        }
    }
    AMX_END
    /* part [chunk][out pair][in block][tap][16 in][32 out] */
    for (int k = 0; k < outs * ins * 2 * taps; k++) {
        const int o = k / (ins * 2 * taps), i = k / taps % (ins * 2), tap = k % taps;
        if (i0 * 2 + i >= in_blocks)
            continue;
        const size_t block = ((get_global_id(2) * ((out_blocks + 1) / 2) + o0 + o) * in_blocks + i0 * 2 + i) * taps + tap;
        __local const float *own = sum + (((o * each + i / 2) * taps + tap) * 4 + i % 2 * 2) * TILE_FLOATS;
        for (int r = 0; r < 32; r++)
            vstore16(vload16(r % 2 * 16 + r / 2, own), block * 32 + r, part + part_off);
    }
}
