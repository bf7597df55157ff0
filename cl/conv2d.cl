/* conv2d.cl: convolution and its gradient for the input on plain maps, as one matrix product whose second operand is
 * gathered on the fly. One phase of src/op/conv2d.h: rows of the tile are output channels, columns are pixels of all
 * samples, terms are (block of DEPTH input channels, tap y, tap x, channel); weights come packed in that order
 * (conv2d_pack_rows.cl). Slice z takes `each` slabs from z each on; with several slices y is their partial sums
 * [N][slices][out_c][YH][YW]. The next slab is fetched to registers while the present one is used. */
#define PITCH_A TM
#define PITCH_B TN
#include "common/product.cl"
#define PIXELS  (TN > ITEMS ? TN / ITEMS : 1)             /* columns that an item fetches */
#define SHARING (TN > ITEMS ? 1 : ITEMS / TN)             /* items that fetch the same column */
#define FETCHES (DEPTH / SHARING)                         /* terms of a column that an item fetches */
#define PANELS  ((TM * DEPTH / 4 + ITEMS - 1) / ITEMS)    /* vectors of weights that an item fetches */

__kernel ASKS_SUB_GROUP __attribute__((reqd_work_group_size(WG, WG1, 1)))
void conv2d_phase(__global const float *x, ulong x_off, __global const float *w, ulong w_off,
                  __global const float *bias, ulong b_off, __global float *y, ulong y_off,
                  int in_c, int H, int W, int out_c, int YH, int YW, int rows, int cols, int row0, int col0,
                  int out_stride, int taps_y, int taps_x, int stride, int dilation, int top, int left, int pixels, int slabs,
                  int each, int w_pitch, int has_bias)
{
    __local float4 slab_a[2][DEPTH * TM / 4], slab_b[2][DEPTH * TN / 4];
    const int tx = (int)get_local_id(0), ty = (int)get_local_id(1), item = ty * WG + tx, map = rows * cols;
    const int m0 = (int)get_group_id(1) * TM, p0 = (int)get_group_id(0) * TN, mine = item / (TN / PIXELS);
    const int slice = (int)get_group_id(2), first = slice * each, last = min(first + each, slabs);
    int    iy[PIXELS], ix[PIXELS];
    size_t start[PIXELS];
    UNROLL for (int j = 0; j < PIXELS; j++) {
        const int p = p0 + item % (TN / PIXELS) + j * ITEMS, n = p / map, q = p % map;
        iy[j]    = p < pixels ? q / cols * stride - top : -(1 << 28);      /* beyond any map: reads as zero */
        ix[j]    = q % cols * stride - left;
        start[j] = (size_t)n * in_c * H * W;
    }
    const int taps = max(taps_y * taps_x, 1);
    int c = first / taps * DEPTH + mine * FETCHES, t = first % taps / max(taps_x, 1), u = first % taps % max(taps_x, 1);
    __global const float *panel = w + w_off + (size_t)first * DEPTH * w_pitch + m0;
    float4 sum[RM][STRIPS_N], next_a[PANELS];
    float  next_b[PIXELS][FETCHES];
    clear(sum);
#define FETCH()                                                                                               \
    do {                                                                                                      \
        UNROLL for (int i = 0; i < PANELS; i++) {                                                             \
            const int v = item + i * ITEMS;                                                                   \
            if (TM * DEPTH / 4 % ITEMS == 0 || v < TM * DEPTH / 4)                                            \
                next_a[i] = vload4(0, panel + (size_t)(v / (TM / 4)) * w_pitch + v % (TM / 4) * 4);           \
        }                                                                                                     \
        UNROLL for (int j = 0; j < PIXELS; j++) {                                                             \
            const int  qy = iy[j] + t * dilation, qx = ix[j] + u * dilation;                                  \
            const bool inside = qy >= 0 && qy < H && qx >= 0 && qx < W;                                       \
            __global const float *from = x + x_off + (inside ? start[j] + (size_t)(c * H + qy) * W + qx : 0); \
            UNROLL for (int i = 0; i < FETCHES; i++)                                                          \
                next_b[j][i] = inside && c + i < in_c ? from[(size_t)i * H * W] : 0.0f;                       \
        }                                                                                                     \
        panel += (size_t)DEPTH * w_pitch;                                                                     \
        if (++u == taps_x) {                                                                                  \
            u = 0;                                                                                            \
            if (++t == taps_y) {                                                                              \
                t = 0;                                                                                        \
                c += DEPTH;                                                                                   \
            }                                                                                                 \
        }                                                                                                     \
    } while (0)
#define STORE(half)                                                                                           \
    do {                                                                                                      \
        UNROLL for (int i = 0; i < PANELS; i++)                                                               \
            if (TM * DEPTH / 4 % ITEMS == 0 || item + i * ITEMS < TM * DEPTH / 4)                             \
                slab_a[half][item + i * ITEMS] = next_a[i];                                                   \
        UNROLL for (int j = 0; j < PIXELS; j++)                                                               \
            UNROLL for (int i = 0; i < FETCHES; i++)                                                          \
                ((__local float *)slab_b[half])[(mine * FETCHES + i) * TN + item % (TN / PIXELS) + j * ITEMS] = \
                    next_b[j][i];                                                                             \
    } while (0)
    if (first < last) {
        FETCH();
        STORE(0);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int k = 0; k < last - first; k++) {
        const bool is_last = first + k + 1 >= last;
        if (!is_last)
            FETCH();
        multiply(sum, slab_a[k & 1], slab_b[k & 1], tx, ty);
        if (!is_last)
            STORE((k + 1) & 1);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    UNROLL for (int s = 0; s < STRIPS_N; s++)
        UNROLL for (int i = 0; i < 4; i++) {
            const int p = p0 + COLUMN(s, tx) + i, q = p % map;
            const size_t n = (size_t)(p / map) * get_num_groups(2) + slice;
            __global float *to = y + y_off + n * out_c * YH * YW + (size_t)(q / cols * out_stride + row0) * YW +
                                 q % cols * out_stride + col0;
            UNROLL for (int r = 0; r < RM; r++) {
                const int   m = m0 + ROW(r, ty);
                const float v = i == 0 ? sum[r][s].x : i == 1 ? sum[r][s].y : i == 2 ? sum[r][s].z : sum[r][s].w;
                if (p < pixels && m < out_c)
                    to[(size_t)m * YH * YW] = v + (has_bias ? bias[b_off + m] : 0.0f);
            }
        }
}
