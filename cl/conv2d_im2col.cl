/* conv2d_im2col.cl: columns [n][C kh kw][OH OW] of maps [n][C][H][W], and the sum of columns back into maps, by
 * gathering. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void im2col(__global const float *x, ulong x_off, __global float *columns, ulong c_off, int C, int H, int W,
            int OH, int OW, int taps_y, int taps_x, int stride, int dilation, int top, int left)
{
    const int    p = (int)get_global_id(0), k = (int)get_global_id(1), map = OH * OW, c = k / (taps_y * taps_x);
    const size_t n = get_global_id(2);
    if (p >= map)
        return;
    const int iy = p / OW * stride - top + k / taps_x % taps_y * dilation;
    const int ix = p % OW * stride - left + k % taps_x * dilation;
    const bool inside = iy >= 0 && iy < H && ix >= 0 && ix < W;
    const size_t at = ((n * C + c) * H + iy) * W + ix;
    columns[c_off + (n * get_global_size(1) + k) * map + p] = inside ? x[x_off + at] : 0.0f;
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void col2im(__global const float *columns, ulong c_off, __global float *x, ulong x_off, int H, int W, int OH, int OW,
            int taps_y, int taps_x, int stride, int dilation, int top, int left)
{
    const int    p = (int)get_global_id(0), y0 = p / W + top, x0 = p % W + left, taps = taps_y * taps_x;
    const size_t c = get_global_id(1), n = get_global_id(2);
    __global const float *from = columns + c_off + (n * get_global_size(1) + c) * taps * OH * OW;
    float        s = 0.0f;
    if (p >= H * W)
        return;
    for (int k = 0; k < taps; k++) {
        const int ry = y0 - k / taps_x * dilation, rx = x0 - k % taps_x * dilation;
        if (ry >= 0 && rx >= 0 && ry % stride == 0 && rx % stride == 0 && ry / stride < OH && rx / stride < OW)
            s += from[((size_t)k * OH + ry / stride) * OW + rx / stride];
    }
    x[x_off + (n * get_global_size(1) + c) * H * W + p] = s;
}
