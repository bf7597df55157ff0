/* matrix.cl: products of small matrices with rounded operands: c [16 x 8] += a [16 x K] b [K x 8], sums in float32.
 *
 * Operands are words of 32 bits along K, 8 words a step: one tf32 each (TYPE 1, K = 8), or two bf16 (TYPE 2) or f16 (TYPE 3)
 * neighbours (K = 16). 32 items compute together. Of item l with g = l / 4, t = l % 4: c[0], c[1] are row g, columns 2t, 2t + 1,
 * c[2], c[3] are row g + 8. `a` lies as [item][4]: words t, t + 4 of row g + 8 (i % 2) at i + ..., see A_AT; `b` lies as
 * [column][8] with word w at B_AT(w), so that an item's words t and t + 4 are neighbours.
 * UNIT 1: mma.sync of NVIDIA, compute capability 8.0 and later. UNIT 0: the same without a unit. */
#include "common/local.cl"
#ifndef TYPE
#define TYPE 2
#endif
#ifndef UNIT
#define UNIT 0
#endif
#define WORD_TERMS (TYPE == 1 ? 1 : 2)
#define WORDS      8
#define ITEMS_MMA  32
#if UNIT == 0
#define UNROLL                           /* the plain twin is for tests: it is built faster so */
#else
#define UNROLL _Pragma("unroll")
#endif
#define ROLLED(times) _Pragma(#times)    /* ROLLED(unroll 8) for (...) */

/* Where word w of row r, or of a column, lies. */
#define A_AT(r, w) (((r) % 8 * 4 + (w) % 4) * 4 + (r) / 8 % 2 + (w) / 4 * 2)
#define B_AT(w)    ((w) % 4 * 2 + (w) / 4)

/* Two floats, or one and no other, as a word. Ties go to even, with tf32 away from zero. */
static inline uint pack_word(float lo, float hi)
{
#if TYPE == 1
    const uint u = as_uint(lo);
    return isnan(lo) ? u : (u + 0x1000u) & 0xffffe000u;
#elif UNIT == 1
    uint word;
#if TYPE == 2
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(hi), "f"(lo));
#else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(hi), "f"(lo));
#endif
    return word;
#elif TYPE == 2
    const uint l = as_uint(lo), h = as_uint(hi);
    const uint rl = isnan(lo) ? 0x7fc0u : (l + 0x7fffu + (l >> 16 & 1u)) >> 16;
    const uint rh = isnan(hi) ? 0x7fc0u : (h + 0x7fffu + (h >> 16 & 1u)) >> 16;
    return rl | rh << 16;
#else
    ushort half_of[2];
    vstore_half_rte(lo, 0, (half *)half_of);
    vstore_half_rte(hi, 1, (half *)half_of);
    return (uint)half_of[0] | (uint)half_of[1] << 16;
#endif
}

#if UNIT == 1
#if TYPE == 1
#define MMA_NAME "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
#elif TYPE == 2
#define MMA_NAME "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
#else
#define MMA_NAME "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
#endif
static inline void mma(float c[4], uint4 a, uint2 b)
{
    asm(MMA_NAME " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
}
#else
static inline float word_term(uint w, int i)
{
#if TYPE == 1
    return as_float(w);
#elif TYPE == 2
    return as_float(i ? w & 0xffff0000u : w << 16);
#else
    ushort half_of = (ushort)(w >> 16 * i);
    return vload_half(0, (const half *)&half_of);
#endif
}

static inline float word_product(uint a, uint b)
{
    float sum = word_term(a, 0) * word_term(b, 0);
    if (WORD_TERMS == 2)
        sum += word_term(a, 1) * word_term(b, 1);
    return sum;
}
#endif
