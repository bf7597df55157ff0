/* conv2d_weight.cl: gradient of a convolution for its weight, on plain maps: rows of the tile are output channels,
 * columns are (input channel, tap y, tap x), terms are pixels of all samples; chunk z takes the terms z run .. and
 * writes part [chunks][O][I kh kw] (the gradient itself with one chunk). Slabs are fetched as in conv2d.cl. */
#define PITCH_A (TM + 4)
#define PITCH_B (TN + 4)
#include "common/product.cl"
#define APART   (ITEMS / DEPTH)          /* rows or columns between those that an item fetches */
#define MINE_A  (TM / APART)
#define MINE_B  (TN / APART)

__kernel ASKS_SUB_GROUP __attribute__((reqd_work_group_size(WG, WG1, 1)))
void conv2d_weight(__global const float *x, ulong x_off, __global const float *dy, ulong dy_off,
                   __global float *part, ulong part_off, int I, int H, int W, int O, int OH, int OW,
                   int taps_y, int taps_x, int stride, int dilation, int top, int left, int columns, int terms,
                   int run)
{
    __local float4 slab_a[2][DEPTH * PITCH_A / 4], slab_b[2][DEPTH * PITCH_B / 4];
    const int tx = (int)get_local_id(0), ty = (int)get_local_id(1), item = ty * WG + tx, map = OH * OW;
    const int m0 = (int)get_group_id(1) * TM, t0 = (int)get_group_id(0) * TN, lane = item % DEPTH, mine = item / DEPTH;
    const int first = (int)get_group_id(2) * run, last = min(first + run, terms);
    int k = first + lane, n = k / map, r = k % map / OW, q = k % map % OW;
    int start[MINE_B], dy0[MINE_B], dx0[MINE_B];
    UNROLL for (int i = 0; i < MINE_B; i++) {
        const int t = t0 + mine + i * APART;
        start[i] = t / (taps_y * taps_x) * H * W;
        dy0[i]   = t < columns ? t / taps_x % taps_y * dilation - top : -(1 << 28);      /* beyond any map */
        dx0[i]   = t % taps_x * dilation - left;
    }
    float4 sum[RM][STRIPS_N];
    float  next_a[MINE_A], next_b[MINE_B];
    clear(sum);
#define FETCH()                                                                                               \
    do {                                                                                                      \
        __global const float *from_a = dy + dy_off + ((size_t)n * O + m0 + mine) * map + r * OW + q;          \
        __global const float *from_b = x + x_off + (size_t)n * I * H * W;                                     \
        UNROLL for (int i = 0; i < MINE_A; i++)                                                               \
            next_a[i] = k < last && m0 + mine + i * APART < O ? from_a[(size_t)i * APART * map] : 0.0f;       \
        UNROLL for (int i = 0; i < MINE_B; i++) {                                                             \
            const int  iy = r * stride + dy0[i], ix = q * stride + dx0[i];                                    \
            const bool inside = k < last && iy >= 0 && iy < H && ix >= 0 && ix < W;                           \
            next_b[i] = inside ? from_b[start[i] + iy * W + ix] : 0.0f;                                       \
        }                                                                                                     \
        k += DEPTH;                                                                                           \
        q += DEPTH;                                                                                           \
        while (q >= OW) {                                                                                     \
            q -= OW;                                                                                          \
            if (++r >= OH) {                                                                                  \
                r = 0;                                                                                        \
                n++;                                                                                          \
            }                                                                                                 \
        }                                                                                                     \
    } while (0)
#define STORE(half)                                                                                           \
    do {                                                                                                      \
        UNROLL for (int i = 0; i < MINE_A; i++)                                                               \
            ((__local float *)slab_a[half])[lane * PITCH_A + mine + i * APART] = next_a[i];                   \
        UNROLL for (int i = 0; i < MINE_B; i++)                                                               \
            ((__local float *)slab_b[half])[lane * PITCH_B + mine + i * APART] = next_b[i];                   \
    } while (0)
    FETCH();
    STORE(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int k0 = first, slab = 0; k0 < last; k0 += DEPTH, slab++) {
        const bool is_last = k0 + DEPTH >= last;
        if (!is_last)
            FETCH();
        multiply(sum, slab_a[slab & 1], slab_b[slab & 1], tx, ty);
        if (!is_last)
            STORE((slab + 1) & 1);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    __global float *to = part + part_off + (size_t)get_group_id(2) * O * columns;
    UNROLL for (int j = 0; j < RM; j++)
        UNROLL for (int s = 0; s < STRIPS_N; s++) {
            const int   m = m0 + ROW(j, ty), t = t0 + COLUMN(s, tx);
            const float v[4] = { sum[j][s].x, sum[j][s].y, sum[j][s].z, sum[j][s].w };
            UNROLL for (int i = 0; i < 4; i++)
                if (m < O && t + i < columns)
                    to[(size_t)m * columns + t + i] = v[i];
        }
}
