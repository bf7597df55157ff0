/* conv2d_pack_words.cl: weights as conv2d_matrix.cl and conv2d_amx.cl read them: [`side` tiles of 16 output channels][block of
 * WORDS words of input channels][tap][one of `side` tiles][A_AT]; channels that do not exist are zero. One work-item packs a word. */
#include "common/matrix.cl"

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_pack_words(__global const float *w, ulong w_off, __global uint *to, ulong to_off, int out_c, int in_c,
                       int tiles, int side, int w_out, int w_in, int taps_y, int taps_x, int kw, int ky0, int kx0, int k_step)
{
    const int m = (int)get_global_id(0), word = (int)get_global_id(1), tap = (int)get_global_id(2);
    if (m >= tiles * 16)
        return;
    const int    c = word * WORD_TERMS, at = (ky0 + tap / taps_x * k_step) * kw + kx0 + tap % taps_x * k_step;
    const size_t row = w_off + (size_t)m * w_out + at, step = (m / 16 / side) * (get_global_size(1) / WORDS) + word / WORDS;
    const size_t tile = (step * taps_y * taps_x + tap) * side + m / 16 % side;
    const float  lo = m < out_c && c < in_c ? w[row + (size_t)c * w_in] : 0.0f;
    const float  hi = WORD_TERMS == 2 && m < out_c && c + 1 < in_c ? w[row + (size_t)(c + 1) * w_in] : 0.0f;
    to[to_off + tile * (16 * WORDS) + A_AT(m % 16, word % WORDS)] = pack_word(lo, hi);
}
