/* conv2d_weight_matrix.cl: gradient of a convolution for its weight, on matrix units: rows are output channels, columns
 * are (input channel, tap y, tap x), terms are pixels of all samples, rounded and laid into local memory a step at a time; slice
 * z takes the terms z run .. and writes part [slices][O][I kh kw]. Teams and tiles as in conv2d_matrix.cl. */
#include "common/matrix.cl"
#ifndef WM
#define WM 2
#define WN 2
#define MT 2
#define NT 4
#endif
#define TM     (WM * MT * 16)
#define TN     (WN * NT * TILE_N)
#define STEP   (WORDS * WORD_TERMS)      /* terms of a step */
#define APART  (WG / WORDS)              /* rows or columns between those that an item fetches */
#define MINE_A (TM / APART)
#define MINE_B (TN / APART)

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) UNIT_ATTRIBUTES
void conv2d_weight_matrix(__global const float *x, ulong x_off, __global const float *dy, ulong dy_off, __global float *part,
                          ulong part_off, int I, int H, int W, int O, int OH, int OW, int taps_y, int taps_x, int stride,
                          int dilation, int top, int left, int columns, int terms, int run)
{
    __local uint4 slab_a[2][TM * WORDS / 4];
    __local uint4 slab_b[2][TN * WORDS / 4];
    UNIT_LOCALS
    const int item = (int)get_local_id(0), team = item / ITEMS_MMA, l = item % ITEMS_MMA, map = OH * OW;
    const int m0 = (int)get_group_id(1) * TM, t0 = (int)get_group_id(0) * TN, word = item % WORDS, mine = item / WORDS;
    const int first = (int)get_group_id(2) * run, last = min(first + run, terms);
    int   start[MINE_B], dy0[MINE_B], dx0[MINE_B];
    float next_a[MINE_A][WORD_TERMS], next_b[MINE_B][WORD_TERMS], c[MT][NT][C_COUNT];
    UNROLL for (int i = 0; i < MINE_B; i++) {
        const int column = t0 + mine + i * APART;
        start[i] = column / (taps_y * taps_x) * H * W;
        dy0[i]   = column < columns ? column / taps_x % taps_y * dilation - top : -(1 << 28);      /* beyond any map */
        dx0[i]   = column % taps_x * dilation - left;
    }
    UNROLL for (int i = 0; i < MT; i++)
        UNROLL for (int j = 0; j < NT; j++)
            UNROLL for (int k = 0; k < C_COUNT; k++)
                c[i][j][k] = 0.0f;
#define FETCH(k0)                                                                                             \
    UNROLL for (int h = 0; h < WORD_TERMS; h++) {                                                             \
        const int  k = (k0) + word * WORD_TERMS + h, n = k / map, r = k % map / OW, q = k % OW;               \
        const bool exists = k < last;                                                                         \
        __global const float *from_a = dy + dy_off + ((size_t)n * O + m0 + mine) * map + r * OW + q;          \
        __global const float *from_b = x + x_off + (size_t)n * I * H * W;                                     \
        UNROLL for (int i = 0; i < MINE_A; i++)                                                               \
            next_a[i][h] = exists && m0 + mine + i * APART < O ? from_a[(size_t)i * APART * map] : 0.0f;      \
        UNROLL for (int i = 0; i < MINE_B; i++) {                                                             \
            const int  iy = r * stride + dy0[i], ix = q * stride + dx0[i];                                    \
            const bool inside = exists && iy >= 0 && iy < H && ix >= 0 && ix < W;                             \
            next_b[i][h] = inside ? from_b[start[i] + iy * W + ix] : 0.0f;                                    \
        }                                                                                                     \
    }
#define STORE(side)                                                                                           \
    {                                                                                                         \
        UNROLL for (int i = 0; i < MINE_A; i++) {                                                             \
            const int m = mine + i * APART;                                                                   \
            ((__local uint *)slab_a[side])[m / 16 * (16 * WORDS) + A_AT(m % 16, word)] =                      \
                pack_word(next_a[i][0], next_a[i][WORD_TERMS - 1]);                                           \
        }                                                                                                     \
        UNROLL for (int i = 0; i < MINE_B; i++)                                                               \
            ((__local uint *)slab_b[side])[(mine + i * APART) * WORDS + B_AT(word)] =                         \
                pack_word(next_b[i][0], next_b[i][WORD_TERMS - 1]);                                           \
    }
    FETCH(first)
    STORE(0)
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int k0 = first, step = 0; k0 < last; k0 += STEP, step++) {
        const int side = step & 1;
        if (k0 + STEP < last) {
            FETCH(k0 + STEP)
        }
        UNIT_B b[NT];
        UNROLL for (int j = 0; j < NT; j++)
            b[j] = LOAD_B((__local const uint *)slab_b[side] + ((team % WN * NT + j) * TILE_N + B_COL(l)) * WORDS, l);
        UNROLL for (int i = 0; i < MT; i++) {
            const UNIT_A a = LOAD_A((__local const uint *)slab_a[side] + (team / WN * MT + i) * (16 * WORDS), l);
            UNROLL for (int j = 0; j < NT; j++)
                MMA(c[i][j], a, b[j])
        }
        if (k0 + STEP < last) {
            STORE(1 - side)
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    __global float *to = part + part_off + (size_t)get_group_id(2) * O * columns;
    UNROLL for (int i = 0; i < MT; i++)
        UNROLL for (int j = 0; j < NT; j++)
            UNROLL for (int e = 0; e < C_COUNT; e++) {
                const int m = m0 + (team / WN * MT + i) * 16 + C_ROW(l, e), column = t0 + (team % WN * NT + j) * TILE_N + C_COL(l, e);
                if (m < O && column < columns)
                    to[(size_t)m * columns + column] = c[i][j][e];
            }
}
