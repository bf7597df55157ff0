/* normal.h: the normal number that belongs to 32 random bits, one text for C11 and OpenCL C 1.2.
 *
 * Bit 31 is the sign. The other 31 bits m give the tail probability u = (m + 1/2) / 2^32 = v / 2^33 with v = 2 m + 1, and
 * the result is -+ the inverse of the normal distribution at u, at most 6.34. The leading zeros of v and the
 * DIFFAD_NORMAL_TOP_BITS bits behind its leading one pick a cubic piece; the next 24 bits are the place t in it, from
 * -1 to 1. Integers and fma alone: the same bits on every device. Off by at most 6e-7. */
#ifndef DIFFAD_COMMON_NORMAL_H
#define DIFFAD_COMMON_NORMAL_H

#ifdef __OPENCL_C_VERSION__
typedef uint diffad_normal_word;
#define DIFFAD_NORMAL_TABLE __constant float
#define DIFFAD_NORMAL_ROW __constant const float *
#define DIFFAD_NORMAL_FMA(a, b, c) fma((a), (b), (c))
#define DIFFAD_NORMAL_CLZ(v) clz(v)
#else
#include <math.h>
#include <stdint.h>
typedef uint32_t diffad_normal_word;
#define DIFFAD_NORMAL_TABLE static const float
#define DIFFAD_NORMAL_ROW const float *
#define DIFFAD_NORMAL_FMA(a, b, c) fmaf((a), (b), (c))
#define DIFFAD_NORMAL_CLZ(v) ((diffad_normal_word)__builtin_clz(v))
#endif

#include "common/normal_table.h"

static inline float diffad_normal_piece(diffad_normal_word bits)
{
    const diffad_normal_word v     = (bits << 1) | 1u;
    const diffad_normal_word zeros = DIFFAD_NORMAL_CLZ(v);
    const diffad_normal_word w     = v << zeros;                            /* the leading one at bit 31 */
    const diffad_normal_word top   = (w << 1) >> (32 - DIFFAD_NORMAL_TOP_BITS);
    const diffad_normal_word rest  = (w << (1 + DIFFAD_NORMAL_TOP_BITS)) >> 8;
    const float       t = (float)((int)rest - (1 << 23)) * (1.0f / (1 << 23));     /* exact */
    DIFFAD_NORMAL_ROW c = diffad_normal_table[(zeros << DIFFAD_NORMAL_TOP_BITS) + top];
    const float       z = DIFFAD_NORMAL_FMA(DIFFAD_NORMAL_FMA(DIFFAD_NORMAL_FMA(c[3], t, c[2]), t, c[1]), t, c[0]);
    return bits >> 31 ? -z : z;
}

#endif
