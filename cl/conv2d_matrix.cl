/* conv2d_matrix.cl: convolution and its gradient for the input on plain maps, on matrix units. One phase of src/op/conv2d.h:
 * rows of the product are output channels, columns are a window of PH x PW outputs of one sample, terms are input channels and
 * taps. A stage is SUB blocks of WORDS words of channels: the inputs that the window's taps reach are rounded and laid into
 * local memory once, [block][pixel][B_AT(word)], and serve all taps. Weights come packed (conv2d_pack_words.cl), straight
 * to registers. A work-group is WM x WN teams of items, a team has MT x NT tiles of 16 channels x TILE_N pixels. The next
 * stage is fetched to registers while the present one is used. Slice z takes `each` stages from z each on; with several
 * slices y is their partial sums [N][slices][out_c][YH][YW]. */
#include "common/matrix.cl"
#ifndef PH
#define PH 8
#define PW 8
#endif
#ifndef WM
#define WM 2
#define WN 2
#define MT 4
#define NT 4
#endif
#ifndef SUB
#define SUB 1
#endif
#ifndef TAPS_Y
#define TAPS_Y 3
#define TAPS_X 3
#define STRIDE 1
#define DILATION 1
#endif
#define TM     (WM * MT * 16)
#define HALO_H ((PH - 1) * STRIDE + (TAPS_Y - 1) * DILATION + 1)
#define HALO_W ((PW - 1) * STRIDE + (TAPS_X - 1) * DILATION + 1)
#define HALO   (HALO_H * HALO_W)
#define TAPS   (TAPS_Y * TAPS_X)
#define HALVES (SUB * HALO * 2)                    /* an item fetches 4 words of a pixel at a time */
#define ROUNDS ((HALVES + WG - 1) / WG)
#define TERMS  (4 * WORD_TERMS)
#define LOADS_AHEAD (UNIT <= 4)                    /* others hold `a` many times over: no registers are left */

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) UNIT_ATTRIBUTES
void conv2d_matrix(__global const float *x, ulong x_off, __global const uint *w, ulong w_off, __global const float *bias,
                   ulong b_off, __global float *y, ulong y_off, int in_c, int H, int W, int out_c, int YH, int YW, int rows,
                   int cols, int row0, int col0, int out_stride, int top, int left, int stages, int each, int tiles,
                   int has_bias)
{
    __local uint4 slab[2][HALVES];
    UNIT_LOCALS
    const int item = (int)get_local_id(0), team = item / ITEMS_MMA, l = item % ITEMS_MMA;
    const int across = (cols + PW - 1) / PW, down = (rows + PH - 1) / PH, window = (int)get_group_id(0);
    const int n = window / (across * down), r0 = window / across % down * PH, c0 = window % across * PW;
    const int slice = (int)get_group_id(2), first = slice * each, last = min(first + each, stages);
    const int tile0 = (int)get_group_id(1) * (TM / 16) + team / WN * MT, column0 = team % WN * NT * TILE_N;
    __global const float *xn = x + x_off + (size_t)n * in_c * H * W;
    __global const uint  *panel = w + w_off + (size_t)first * SUB * TAPS * tiles * (16 * WORDS) + (size_t)tile0 * (16 * WORDS);
    int   from[ROUNDS];          /* where a pixel lies in its map; below 0: outside */
    float next[ROUNDS][TERMS], c[MT][NT][C_COUNT];
    UNROLL for (int i = 0; i < ROUNDS; i++) {
        const int p = (item + i * WG) % HALO, iy = r0 * STRIDE - top + p / HALO_W, ix = c0 * STRIDE - left + p % HALO_W;
        from[i] = item + i * WG < HALVES && iy >= 0 && iy < H && ix >= 0 && ix < W ? iy * W + ix : -1;
    }
    UNROLL for (int i = 0; i < MT; i++)
        UNROLL for (int j = 0; j < NT; j++)
            UNROLL for (int k = 0; k < C_COUNT; k++)
                c[i][j][k] = 0.0f;
    /* Words of half h, in the order they lie. */
#define FETCH(stage)                                                                                          \
    UNROLL for (int i = 0; i < ROUNDS; i++) {                                                                 \
        const int h = (item + i * WG) / HALO, channel = ((stage) * SUB + h / 2) * WORDS * WORD_TERMS + WORD_AT(h % 2 * 4) * WORD_TERMS; \
        __global const float *at = xn + (from[i] < 0 ? 0 : (size_t)channel * H * W + from[i]);               \
        UNROLL for (int k = 0; k < TERMS; k++) {                                                              \
            const int step = WORD_AT(k / WORD_TERMS) * WORD_TERMS + k % WORD_TERMS;      \
            next[i][k] = from[i] >= 0 && channel + step < in_c ? at[(size_t)step * H * W] : 0.0f;             \
        }                                                                                                     \
    }
#define WORD(i, k) pack_word(next[i][(k) * WORD_TERMS], next[i][(k) * WORD_TERMS + WORD_TERMS - 1])
#define STORE(side)                                                                                           \
    UNROLL for (int i = 0; i < ROUNDS; i++) {                                                                 \
        const int u = item + i * WG;                                                                          \
        if (HALVES % WG == 0 || u < HALVES)                                                                   \
            slab[side][(u / (2 * HALO) * HALO + u % HALO) * 2 + u / HALO % 2] =                               \
                (uint4)(WORD(i, 0), WORD(i, 1), WORD(i, 2), WORD(i, 3));                                      \
    }
    if (first < last) {
        FETCH(first)
        STORE(0)
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int stage = first; stage < last; stage++) {
        const int side = (stage - first) & 1;
        if (stage + 1 < last) {
            FETCH(stage + 1)
        }
        int pixel[NT];
        UNROLL for (int j = 0; j < NT; j++) {
            const int q = column0 + j * TILE_N + B_COL(l);
            pixel[j] = (q / PW * STRIDE * HALO_W + q % PW * STRIDE) * WORDS;
        }
        UNIT_A a[MT];
#if LOADS_AHEAD
        UNROLL for (int i = 0; i < MT; i++)
            a[i] = LOAD_A(panel + i * (16 * WORDS), l);
#endif
        ROLLED(unroll 1) for (int k = 0; k < SUB * TAPS; k++) {      /* unrolled it fills all registers */
            const int shift = (k / TAPS * HALO + k % TAPS / TAPS_X * DILATION * HALO_W + k % TAPS_X * DILATION) * WORDS;
            UNIT_B b[NT];
#if LOADS_AHEAD
            UNIT_A after[MT];
            panel += (size_t)tiles * (16 * WORDS);
            if (k + 1 < SUB * TAPS) {
                UNROLL for (int i = 0; i < MT; i++)
                    after[i] = LOAD_A(panel + i * (16 * WORDS), l);
            }
#else
            UNROLL for (int i = 0; i < MT; i++)
                a[i] = LOAD_A(panel + i * (16 * WORDS), l);
            panel += (size_t)tiles * (16 * WORDS);
#endif
            UNROLL for (int j = 0; j < NT; j++)
                b[j] = LOAD_B((__local const uint *)slab[side] + pixel[j] + shift, l);
            UNROLL for (int i = 0; i < MT; i++)
                UNROLL for (int j = 0; j < NT; j++)
                    MMA(c[i][j], a[i], b[j])
#if LOADS_AHEAD
            UNROLL for (int i = 0; i < MT; i++)
                a[i] = after[i];
#endif
        }
        if (stage + 1 < last) {
            STORE(1 - side)
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    UNROLL for (int j = 0; j < NT; j++)
        UNROLL for (int e = 0; e < C_COUNT; e++) {
            const int q = column0 + j * TILE_N + C_COL(l, e), row = r0 + q / PW, col = c0 + q % PW;
            __global float *to = y + y_off + ((size_t)n * get_num_groups(2) + slice) * out_c * YH * YW +
                                 (size_t)(row * out_stride + row0) * YW + col * out_stride + col0;
            UNROLL for (int i = 0; i < MT; i++) {
                const int m = (tile0 + i) * 16 + C_ROW(l, e);
                if (row < rows && col < cols && m < out_c)
                    to[(size_t)m * YH * YW] = c[i][j][e] + (has_bias ? bias[b_off + m] : 0.0f);
            }
        }
}
