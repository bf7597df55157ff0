/* conv2d.cl: convolution and its gradient for the input on plain maps, as one matrix product whose second operand is
 * gathered on the fly. One phase of src/op/conv2d.h: rows of the tile are output channels, columns are pixels of all
 * samples, terms are (input channel, tap y, tap x). */
#include "common/conv2d_tile.cl"

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_phase(__global const float *x, ulong x_off, __global const float *w, ulong w_off,
                  __global const float *bias, ulong b_off, __global float *y, ulong y_off,
                  int in_c, int H, int W, int out_c, int YH, int YW, int rows, int cols, int row0, int col0,
                  int out_stride, int taps_y, int taps_x, int stride, int dilation, int top, int left, int ky0,
                  int kx0, int k_step, int kw, int w_out, int w_in, int pixels, int has_bias)
{
    __local float a[DEPTH][TM + 1], b[DEPTH][TN];
    const int item = (int)get_local_id(0), m0 = (int)get_group_id(1) * TM, p0 = (int)get_group_id(0) * TN;
    const int row = item / SIDE, column = item % SIDE, taps = taps_y * taps_x, terms = in_c * taps, map = rows * cols;
    const int pixel = p0 + item % TN, n = pixel / map, iy0 = pixel % map / cols * stride - top;
    const int ix0 = pixel % map % cols * stride - left, mine = item / TN;
    __global const float *xn = x + x_off + (size_t)n * in_c * H * W;
    int  c = mine / max(taps, 1), ty = taps ? mine % taps / taps_x : 0, tx = taps ? mine % taps % taps_x : 0;
    float acc[MM][NN];
    clear(acc);
    for (int k0 = 0, step = 0; k0 == 0 || k0 < terms; k0 += DEPTH, step++) {
        const int k = k0 + item % DEPTH, kc = k < terms ? k / taps : 0, kt = k < terms ? k % taps : 0;
        const int tap = taps ? (ky0 + kt / taps_x * k_step) * kw + kx0 + kt % taps_x * k_step : 0;
        for (int i = 0; i < COPIES; i++) {
            const int m = item / DEPTH + i * (ITEMS / DEPTH);
            const size_t at = (size_t)(m0 + m) * w_out + (size_t)kc * w_in + tap;
            a[item % DEPTH][m] = k < terms && m0 + m < out_c ? w[w_off + at] : 0.0f;
        }
        for (int i = mine; i < DEPTH; i += APART) {
            const int  iy = iy0 + ty * dilation, ix = ix0 + tx * dilation;
            const bool inside = pixel < pixels && c < in_c && taps > 0 && iy >= 0 && iy < H && ix >= 0 && ix < W;
            b[i][item % TN] = inside ? xn[((size_t)c * H + iy) * W + ix] : 0.0f;
            for (int s = 0; s < APART; s++)
                if (++tx >= taps_x) {
                    tx = 0;
                    if (++ty >= taps_y) {
                        ty = 0;
                        c++;
                    }
                }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        multiply(acc, a, b, row, column);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (step % FLUSH != FLUSH - 1 && k0 + DEPTH < terms)
            continue;
#pragma unroll
        for (int j = 0; j < NN; j++) {
            const int p = p0 + column + j * SIDE, q = p % map;
            __global float *to = y + y_off + (size_t)(p / map) * out_c * YH * YW +
                                 (size_t)(q / cols * out_stride + row0) * YW + q % cols * out_stride + col0;
#pragma unroll
            for (int i = 0; i < MM; i++) {
                const int m = m0 + row + i * SIDE;
                if (p < pixels && m < out_c) {
                    const float before = step < FLUSH ? (has_bias ? bias[b_off + m] : 0.0f) : to[(size_t)m * YH * YW];
                    to[(size_t)m * YH * YW] = before + acc[i][j];
                }
            }
        }
        clear(acc);
    }
}
