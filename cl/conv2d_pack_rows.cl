/* conv2d_pack_rows.cl: weights in the order conv2d.cl reads them: [input channels / DEPTH][tap y][tap x][DEPTH][pitch];
 * output channels and input channels that do not exist are zero. One work-item packs the taps of a pair of channels. */
#ifndef DEPTH
#define DEPTH 8
#endif

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_pack_rows(__global const float *w, ulong w_off, __global float *to, ulong to_off, int out_c, int in_c,
                      int pitch, int w_out, int w_in, int taps_y, int taps_x, int kw, int ky0, int kx0, int k_step)
{
    const int  m = (int)get_global_id(0), c = (int)get_global_id(1);
    const bool exists = m < out_c && c < in_c;
    if (m >= pitch)
        return;
    __global float       *out  = to + to_off + ((size_t)(c / DEPTH) * taps_y * taps_x * DEPTH + c % DEPTH) * pitch + m;
    __global const float *from = w + w_off + (size_t)m * w_out + (size_t)c * w_in;
    for (int ty = 0; ty < taps_y; ty++)
        for (int tx = 0; tx < taps_x; tx++, out += (size_t)DEPTH * pitch)
            *out = exists ? from[(ky0 + ty * k_step) * kw + kx0 + tx * k_step] : 0.0f;
}
