/* conv2d.cl: convolution and its gradients on plain maps as one matrix product whose second operand is gathered on
 * the fly. A work-group of 64 computes a tile of 8 MM x 8 NN results, a work-item MM x NN of them; a step takes DEPTH
 * terms through local memory. After FLUSH steps the sums are added up in memory: two levels keep long sums accurate.
 * Loops over the sums are unrolled by order: a compiler that keeps one of them indexes memory instead of registers. */
#ifndef MM
#define MM 8
#endif
#ifndef NN
#define NN 8
#endif
#define SIDE   8
#define ITEMS  (SIDE * SIDE)
#define TM     (SIDE * MM)
#define TN     (SIDE * NN)
#define DEPTH  16
#define FLUSH  32
#define APART  (ITEMS / TN)      /* work-items that load the same column */
#define COPIES (TM * DEPTH / ITEMS)

/* acc[i][j] += a[k][row of i] b[k][column of j] over one step */
static void multiply(float acc[MM][NN], __local const float a[DEPTH][TM + 1], __local const float b[DEPTH][TN],
                     int row, int column)
{
    for (int k = 0; k < DEPTH; k++) {
        float av[MM];
#pragma unroll
        for (int i = 0; i < MM; i++)
            av[i] = a[k][row + i * SIDE];
#pragma unroll
        for (int j = 0; j < NN; j++) {
            const float bv = b[k][column + j * SIDE];
#pragma unroll
            for (int i = 0; i < MM; i++)
                acc[i][j] += av[i] * bv;
        }
    }
}

static void clear(float acc[MM][NN])
{
#pragma unroll
    for (int i = 0; i < MM; i++)
#pragma unroll
        for (int j = 0; j < NN; j++)
            acc[i][j] = 0.0f;
}

/* One phase of src/op/conv2d.h: rows of the tile are output channels, columns are pixels of all samples, terms are
 * (input channel, tap y, tap x). */
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

/* Weight gradient: rows of the tile are output channels, columns are (input channel, tap y, tap x), terms are pixels
 * of all samples; chunk z takes the terms z run .. and writes part [chunks][O][I kh kw] (the gradient itself with one
 * chunk). */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_weight(__global const float *x, ulong x_off, __global const float *dy, ulong dy_off,
                   __global float *part, ulong part_off, int I, int H, int W, int O, int OH, int OW,
                   int taps_y, int taps_x, int stride, int dilation, int top, int left, int columns, int terms, int run)
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
