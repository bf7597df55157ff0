/* conv2d_weight.cl: gradient of a convolution for its weight, on plain maps: rows of the tile are output channels,
 * columns are (input channel, tap y, tap x), terms are pixels of all samples; chunk z takes the terms z run .. and
 * writes part [chunks][O][I kh kw] (the gradient itself with one chunk). */
#include "common/conv2d_tile.cl"

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_weight(__global const float *x, ulong x_off, __global const float *dy, ulong dy_off,
                   __global float *part, ulong part_off, int I, int H, int W, int O, int OH, int OW,
                   int taps_y, int taps_x, int stride, int dilation, int top, int left, int columns, int terms,
                   int run)
{
    __local float a[DEPTH][TM + 1], b[DEPTH][TN];
    const int item = (int)get_local_id(0), m0 = (int)get_group_id(1) * TM, t0 = (int)get_group_id(0) * TN,
              map = OH * OW;
    const int row = item / SIDE, column = item % SIDE, first = (int)get_group_id(2) * run,
              last = min(first + run, terms);
    const int t = t0 + item % TN, c = t / (taps_y * taps_x), mine = item / TN;
    const int dy0 = t / taps_x % taps_y * dilation - top, dx0 = t % taps_x * dilation - left;
    __global float *sum = part + part_off + (size_t)get_group_id(2) * O * columns;
    int n = (first + mine) / map, r = (first + mine) % map / OW, q = (first + mine) % map % OW;
    float acc[MM][NN];
    clear(acc);
    for (int k0 = first, step = 0; k0 < last; k0 += DEPTH, step++) {
        const int k = k0 + item % DEPTH, kn = k / map;
        for (int i = 0; i < COPIES; i++) {
            const int m = item / DEPTH + i * (ITEMS / DEPTH);
            const size_t at = ((size_t)kn * O + m0 + m) * map + k % map;
            a[item % DEPTH][m] = k < last && m0 + m < O ? dy[dy_off + at] : 0.0f;
        }
        for (int i = mine; i < DEPTH; i += APART) {
            const int  iy = r * stride + dy0, ix = q * stride + dx0;
            const bool inside = k0 + i < last && t < columns && iy >= 0 && iy < H && ix >= 0 && ix < W;
            b[i][item % TN] = inside ? x[x_off + (((size_t)n * I + c) * H + iy) * W + ix] : 0.0f;
            for (int s = 0; s < APART; s++)
                if (++q >= OW) {
                    q = 0;
                    if (++r >= OH) {
                        r = 0;
                        n++;
                    }
                }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        multiply(acc, a, b, row, column);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (step % FLUSH != FLUSH - 1 && k0 + DEPTH < last)
            continue;
#pragma unroll
        for (int j = 0; j < NN; j++) {
            const int at = t0 + column + j * SIDE;
            __global float *to = sum + (size_t)(m0 + row) * columns + at;
#pragma unroll
            for (int i = 0; i < MM; i++, to += (size_t)SIDE * columns)
                if (m0 + row + i * SIDE < O && at < columns)
                    *to = acc[i][j] + (step < FLUSH ? 0.0f : *to);
        }
        clear(acc);
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_weight_sum(__global const float *part, ulong part_off, __global float *dw, ulong dw_off, ulong count,
                       int chunks)
{
    const size_t i = get_global_id(0);
    float        s = 0.0f;
    if (i >= count)
        return;
    for (int c = 0; c < chunks; c++)
        s += part[part_off + c * count + i];
    dw[dw_off + i] = s;
}
