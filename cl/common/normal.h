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

#if defined(__OPENCL_C_VERSION__) && defined(DIFFAD_WIDE)
/* The same of eight words: rows of the table as vectors, and the leading zeros by way of floats, as CPUs without an instruction
 * for it do well. m & ~(m >> 1) keeps the leading one, and never rounds up to the next. */
static inline float8 diffad_normal_pieces(uint8 bits)
{
    const uint8  v = (bits << 1) | 1u, m = v >> 1;
    const int8   place = max((as_int8(convert_float8(as_int8(m & ~(m >> 1)))) >> 23) - 126, 0);      /* of v's leading one */
    const uint8  zeros = 31u - as_uint8(place), w = v << zeros;
    const uint8  rest  = (w << (1 + DIFFAD_NORMAL_TOP_BITS)) >> 8;
    const uint8  row   = (zeros << DIFFAD_NORMAL_TOP_BITS) + ((w << 1) >> (32 - DIFFAD_NORMAL_TOP_BITS));
    const float8 t     = convert_float8(as_int8(rest) - (1 << 23)) * (1.0f / (1 << 23));
    DIFFAD_NORMAL_ROW all = diffad_normal_table[0];
    const float4 r0 = vload4(row.s0, all), r1 = vload4(row.s1, all), r2 = vload4(row.s2, all), r3 = vload4(row.s3, all);
    const float4 r4 = vload4(row.s4, all), r5 = vload4(row.s5, all), r6 = vload4(row.s6, all), r7 = vload4(row.s7, all);
    const float8 c0 = (float8)(r0.x, r1.x, r2.x, r3.x, r4.x, r5.x, r6.x, r7.x);
    const float8 c1 = (float8)(r0.y, r1.y, r2.y, r3.y, r4.y, r5.y, r6.y, r7.y);
    const float8 c2 = (float8)(r0.z, r1.z, r2.z, r3.z, r4.z, r5.z, r6.z, r7.z);
    const float8 c3 = (float8)(r0.w, r1.w, r2.w, r3.w, r4.w, r5.w, r6.w, r7.w);
    return as_float8(as_uint8(fma(fma(fma(c3, t, c2), t, c1), t, c0)) ^ (bits & 0x80000000u));
}
#else
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

#endif
