/* matrix.cl: products of small matrices with rounded operands: c [16 x TILE_N] += a [16 x K] b [K x TILE_N], sums in float32.
 *
 * Operands are words of 32 bits along K, 8 words a step: one tf32 each (TYPE 1, K = 8), or two bf16 (TYPE 2) or f16 (TYPE 3)
 * neighbours (K = 16). A team of ITEMS_MMA items computes together; item l of it holds C_COUNT results, at row C_ROW(l, e) and
 * column C_COL(l, e), words of `a` and words of column B_COL(l) of `b`. In memory word w of row r of a tile of `a` lies at
 * A_AT(r, w), word w of a column of `b` at B_AT(w) of the column's 8 words; WORD_AT is the way back.
 *
 * UNIT, after diffad_matrix, and where its layout is described:
 *   1, 2  mma.sync of NVIDIA, compute capability 8.0 and later (m16n8k8, m16n8k16), and 7.5 (m16n8k8)    PTX ISA
 *   3     mma.sync.m8n8k4 of 7.0: each of four quad-pairs has a quarter of 16 x 16                       PTX ISA
 *   4     MFMA of AMD CDNA, wavefronts of 64                                                             LLVM AMDGPU, CDNA2 ISA
 *   5     WMMA of AMD RDNA 3, wavefronts of 32; both halves hold `a` and `b`                             RDNA3 ISA
 *   6, 7  matrix_mad of Intel, sub-groups of 16 and of 8      cl_intel_subgroup_matrix_multiply_accumulate
 *   8     AMX of Intel's processors: one item has whole tiles, of 16 words a step: common/amx.cl; here are its words alone
 * PLAIN 1: the unit's layout without the unit: every word goes from the item that holds it to those that need it through local
 * memory, as the descriptions say, so that tests on any device prove a layout. */
#include "common/local.cl"
#ifndef TYPE
#define TYPE 2
#endif
#ifndef UNIT
#define UNIT 1
#endif
#ifndef PLAIN
#define PLAIN 1
#endif
#define WORD_TERMS (TYPE == 1 ? 1 : 2)
#define WORDS      (UNIT == 8 ? 16 : 8)
#if PLAIN
#define UNROLL                           /* for tests: it is built faster so */
#else
#define UNROLL _Pragma("unroll")
#endif
#define ROLLED(times) _Pragma(#times)    /* ROLLED(unroll 8) for (...) */
#if !PLAIN && UNIT > 3 && UNIT < 8
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#endif

/* ---- layouts ---- */

/* HOLDS_A(l, r, w): which item of the team hands word w of row r to item l, and the how manieth of its words that is. */
#if UNIT <= 2
#define ITEMS_MMA 32
#define TILE_N    8
#define C_COUNT   4
#define UNIT_A    uint4
#define UNIT_B    uint2
#define A_AT(r, w)  (((r) % 8 * 4 + (w) % 4) * 4 + (r) / 8 % 2 + (w) / 4 * 2)      /* [item][4]; of b words t and t + 4 are neighbours */
#define B_AT(w)     ((w) % 4 * 2 + (w) / 4)
#define WORD_AT(p)  ((p) / 2 + (p) % 2 * 4)
#define C_ROW(l, e) ((l) / 4 + (e) / 2 * 8)
#define C_COL(l, e) ((l) % 4 * 2 + (e) % 2)
#define B_COL(l)    ((l) / 4)
#define LOAD_A(tile, l)   vload4(l, tile)
#define LOAD_B(column, l) vload2((l) % 4, column)
#define HOLDS_A(l, r, w)  ((r) % 8 * 4 + (w) % 4), ((r) / 8 + (w) / 4 * 2)
#define HOLDS_B(l, q, w)  ((q) * 4 + (w) % 4), ((w) / 4)
#elif UNIT == 3
#define ITEMS_MMA 32
#define TILE_N    16
#define C_COUNT   8
#define UNIT_A    uint8
#define PAIR(l)   ((l) % 16 / 4)
#define WITHIN(l) ((l) % 4 + (l) / 16 * 4)
#define C_ROW(l, e) (PAIR(l) / 2 * 8 + (l) % 2 + ((e) & 2) + (l) / 16 * 4)
#define C_COL(l, e) (PAIR(l) % 2 * 8 + ((e) & 4) + ((l) & 2) + (e) % 2)
#define B_COL(l)    (PAIR(l) % 2 * 8 + WITHIN(l))
#define LOAD_A(tile, l)  vload8(PAIR(l) / 2 * 8 + WITHIN(l), tile)
#define HOLDS_A(l, r, w) (PAIR(l) * 4 + (r) % 4 + (r) % 8 / 4 * 16), (w)
#define HOLDS_B(l, q, w) (PAIR(l) * 4 + (q) % 4 + (q) % 8 / 4 * 16), (w)
#elif UNIT == 4
#define ITEMS_MMA 64
#define TILE_N    16
#define C_COUNT   4
#define UNIT_A    uint2
#define UNIT_B    uint2
#define C_ROW(l, e) ((l) / 16 * 4 + (e))
#define C_COL(l, e) ((l) % 16)
#define B_COL(l)    ((l) % 16)
#define LOAD_A(tile, l)   vload2((l) % 16 * 4 + (l) / 16, tile)
#define LOAD_B(column, l) vload2((l) / 16, column)
#define HOLDS_A(l, r, w)  ((w) / 2 * 16 + (r)), ((w) % 2)
#define HOLDS_B(l, q, w)  ((w) / 2 * 16 + (q)), ((w) % 2)
#elif UNIT == 5
#define ITEMS_MMA 32
#define TILE_N    16
#define C_COUNT   8
#define UNIT_A    uint8
#define C_ROW(l, e) ((e) * 2 + (l) / 16)
#define C_COL(l, e) ((l) % 16)
#define B_COL(l)    ((l) % 16)
#define LOAD_A(tile, l)  vload8((l) % 16, tile)
#define HOLDS_A(l, r, w) ((l) / 16 * 16 + (r)), (w)
#define HOLDS_B(l, q, w) ((l) / 16 * 16 + (q)), (w)
#elif UNIT == 8
#define A_AT(r, w) ((w) * 16 + (r))      /* of weights: output channels side by side */
#else
/* An item has one term (UNIT 6) or word (7) of each of the 16 rows, and a whole column. */
#if UNIT == 6
#define ITEMS_MMA 16
#define TILE_N    16
#define UNIT_A    ushort16
#define UNIT_PIECE ushort
#else
#define ITEMS_MMA 8
#define TILE_N    8
#define UNIT_A    uint16
#define UNIT_PIECE uint
#define HOLDS_A(l, r, w) (w), (r)
#endif
#define C_COUNT   16
#define C_ROW(l, e) (e)
#define C_COL(l, e) (l)
#define B_COL(l)    (l)
#define HOLDS_B(l, q, w) (q), (w)
#define LOAD_A(tile, l)  load_rows(tile, l)
#define ROW_OF(i) p[(i) * ITEMS_MMA + l]
#define ROWS_OF                                                                                                       \
    (UNIT_A)(ROW_OF(0), ROW_OF(1), ROW_OF(2), ROW_OF(3), ROW_OF(4), ROW_OF(5), ROW_OF(6), ROW_OF(7), ROW_OF(8),        \
             ROW_OF(9), ROW_OF(10), ROW_OF(11), ROW_OF(12), ROW_OF(13), ROW_OF(14), ROW_OF(15))
static inline UNIT_A __attribute__((overloadable)) load_rows(__global const uint *tile, int l)
{
    __global const UNIT_PIECE *p = (__global const UNIT_PIECE *)tile;
    return ROWS_OF;
}
DIFFAD_LOCAL_FN UNIT_A __attribute__((overloadable)) load_rows(__local const uint *tile, int l)
{
    __local const UNIT_PIECE *p = (__local const UNIT_PIECE *)tile;
    return ROWS_OF;
}
#endif
#ifndef A_AT
#define A_AT(r, w) ((r) * WORDS + (w))
#define B_AT(w)    (w)
#define WORD_AT(p) (p)
#endif
#ifndef UNIT_B
#define UNIT_B uint8
#define LOAD_B(column, l) vload8(0, column)
#endif
/* A work-group's teams are its sub-groups, one after the other. */
#if !PLAIN && (UNIT == 6 || UNIT == 7)
#define UNIT_ATTRIBUTES __attribute__((intel_reqd_sub_group_size(ITEMS_MMA)))
#else
#define UNIT_ATTRIBUTES
#endif

/* ---- words ---- */

/* Two floats, or one and no other, as a word. Ties go to even, with tf32 away from zero. */
static inline uint pack_word(float lo, float hi)
{
#if TYPE == 1
    const uint u = as_uint(lo);
    return isnan(lo) ? u : (u + 0x1000u) & 0xffffe000u;
#elif UNIT == 1 && !PLAIN
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
#elif PLAIN
    ushort half_of[2];
    vstore_half_rte(lo, 0, (half *)half_of);
    vstore_half_rte(hi, 1, (half *)half_of);
    return (uint)half_of[0] | (uint)half_of[1] << 16;
#elif UNIT <= 3      /* NVIDIA's compiler has no type half */
    ushort low, high;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(low) : "f"(lo));
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(high) : "f"(hi));
    return (uint)low | (uint)high << 16;
#else
    return as_uint((half2)((half)lo, (half)hi));
#endif
}

/* ---- products ---- */

#if UNIT == 8
#elif PLAIN
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

/* What all items hold: of `a` and of `b`, one register after the other, an item's side by side. */
#define UNIT_A_WORDS ((int)(sizeof(UNIT_A) / 4))
#define UNIT_B_WORDS ((int)(sizeof(UNIT_B) / 4))
#define UNIT_LOCALS \
    __local uint held_a[WG * UNIT_A_WORDS], held_b[WG * UNIT_B_WORDS];
#define HELD(held, words, first, ...) HELD_(held, words, first, __VA_ARGS__)
#define HELD_(held, words, first, lane, at) held[((first) + (lane)) * (words) + (at)]
#if UNIT == 6
#define WORD_A(first, l, r, w)                                                                                     \
    ((uint)((__local const ushort *)held_a)[((first) + 2 * (w)) * 16 + (r)] |                                      \
     (uint)((__local const ushort *)held_a)[((first) + 2 * (w) + 1) * 16 + (r)] << 16)
#else
#define WORD_A(first, l, r, w) HELD(held_a, UNIT_A_WORDS, first, HOLDS_A(l, r, w))
#endif
#define WORD_B(first, l, q, w) HELD(held_b, UNIT_B_WORDS, first, HOLDS_B(l, q, w))
#define MMA(c, a, b)                                                                                               \
    {                                                                                                              \
        const int    unit_item = (int)get_local_id(0), unit_l = unit_item % ITEMS_MMA, unit_first = unit_item - unit_l; \
        const UNIT_A unit_x = a;                                                                                   \
        const UNIT_B unit_y = b;                                                                                   \
        barrier(CLK_LOCAL_MEM_FENCE);                                                                              \
        for (int i_ = 0; i_ < UNIT_A_WORDS; i_++)                                                                  \
            held_a[unit_item * UNIT_A_WORDS + i_] = ((const uint *)&unit_x)[i_];                                   \
        for (int i_ = 0; i_ < UNIT_B_WORDS; i_++)                                                                  \
            held_b[unit_item * UNIT_B_WORDS + i_] = ((const uint *)&unit_y)[i_];                                   \
        barrier(CLK_LOCAL_MEM_FENCE);                                                                              \
        for (int e_ = 0; e_ < C_COUNT; e_++)                                                                       \
            for (int w_ = 0; w_ < WORDS; w_++)                                                                     \
                c[e_] += word_product(WORD_A(unit_first, unit_l, C_ROW(unit_l, e_), w_),                           \
                                      WORD_B(unit_first, unit_l, C_COL(unit_l, e_), w_));                          \
    }
#else
#define UNIT_LOCALS
#define MMA(c, a, b) mma(c, a, b);
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
#elif UNIT == 2
static inline void mma(float c[4], uint4 a, uint2 b)
{
#define HALF_STEP "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
    asm(HALF_STEP : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a.x), "r"(a.y), "r"(b.x));
    asm(HALF_STEP : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a.z), "r"(a.w), "r"(b.y));
}
#elif UNIT == 3
static inline void mma(float c[8], uint8 a, uint8 b)
{
#define QUARTER_STEP(a0, a1, b0, b1)                                                                                \
    asm("mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 {%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9}, {%10, %11}, " \
            "{%0, %1, %2, %3, %4, %5, %6, %7};"                                                                     \
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]), "+f"(c[4]), "+f"(c[5]), "+f"(c[6]), "+f"(c[7])        \
            : "r"(a0), "r"(a1), "r"(b0), "r"(b1));
    QUARTER_STEP(a.s0, a.s1, b.s0, b.s1)
    QUARTER_STEP(a.s2, a.s3, b.s2, b.s3)
    QUARTER_STEP(a.s4, a.s5, b.s4, b.s5)
    QUARTER_STEP(a.s6, a.s7, b.s6, b.s7)
}
#elif UNIT == 4
static inline void mma(float c[4], uint2 a, uint2 b)
{
#if TYPE == 2
    const float4 sum = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(as_short4(a), as_short4(b), (float4)(c[0], c[1], c[2], c[3]), 0, 0, 0);
#else
    const float4 sum = __builtin_amdgcn_mfma_f32_16x16x16f16(as_half4(a), as_half4(b), (float4)(c[0], c[1], c[2], c[3]), 0, 0, 0);
#endif
    vstore4(sum, 0, c);
}
#elif UNIT == 5
static inline void mma(float c[8], uint8 a, uint8 b)
{
#if TYPE == 2
    const float8 sum = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(as_short16(a), as_short16(b), vload8(0, c));
#else
    const float8 sum = __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(as_half16(a), as_half16(b), vload8(0, c));
#endif
    vstore8(sum, 0, c);
}
#else
#if TYPE == 2
#define MATRIX_MAD intel_sub_group_bf16_bf16_matrix_mad_k16
#else
#define MATRIX_MAD intel_sub_group_f16_f16_matrix_mad_k16
#endif
#if UNIT == 6
#define AS_ROWS as_short8
float8 __attribute__((overloadable)) MATRIX_MAD(short8 a, int8 b, float8 sum);      /* some headers lack it */
#else
#define AS_ROWS as_int8
float8 __attribute__((overloadable)) MATRIX_MAD(int8 a, int8 b, float8 sum);
#endif
static inline void mma(float c[16], UNIT_A a, uint8 b)
{
    vstore8(MATRIX_MAD(AS_ROWS(a.lo), as_int8(b), vload8(0, c)), 0, c);
    vstore8(MATRIX_MAD(AS_ROWS(a.hi), as_int8(b), vload8(1, c)), 1, c);
}
#endif
#endif
