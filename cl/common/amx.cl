/* amx.cl: Intel's AMX: products of tiles in the processor's own tile registers, for a work-item that is alone in its group. A tile
 * has 16 rows of 64 bytes: 16 x 32 bf16 of `a`; 16 words, pairs along the terms, of each of 16 columns of `b`; 16 x 16 floats of a
 * sum. An item works on four sums, c[i][j] += a[i] b[j]. Sizes of steps between rows are in bytes.
 *
 *     AMX_BEGIN                        first
 *     AMX_LOAD(c, next, step)          the sums c[i][j] from c + (2 i + j) * next floats; step 0: 16 times the same row
 *     AMX_STEP(a0, a1, step, b)        a0, a1: local, of ushort; b: of uint: two tiles, one after the other
 *     AMX_STORE(c)                     c: local: four tiles, one after the other
 *     AMX_END                          last
 *
 * PLAIN 1 computes what the unit's description says: in a tile's product the even and the odd terms of a row are summed apart, from
 * zero, each by fused multiply-adds; then even + odd, and that is added to the sum. Subnormal operands and results are zero
 * everywhere; rounding is to nearest, ties to even. (Software Developer's Manual, TDPBF16PS.) */
#include "common/matrix.cl"
#define TILE_FLOATS 256

/* To bf16, as pack_word does. */
static inline ushort16 round_bf16(float16 v)
{
    const uint16 u = as_uint16(v);
    return select(convert_ushort16((u + 0x7fffu + (u >> 16 & 1u)) >> 16), (ushort16)(0x7fc0), convert_short16(isnan(v)));
}

#if PLAIN
#define AMX_BEGIN float16 amx_sum[4][16];
#define AMX_LOAD(c, next, step)                                                  \
    for (int t_ = 0; t_ < 4; t_++)                                               \
        for (int r_ = 0; r_ < 16; r_++)                                          \
            amx_sum[t_][r_] = vload16(0, (c) + t_ * (next) + r_ * (step) / 4);
#define AMX_STEP(a0, a1, step, b)                                                \
    for (int t_ = 0; t_ < 4; t_++)                                               \
        for (int r_ = 0; r_ < 16; r_++) {                                        \
            float16 even_ = (float16)(0.0f), odd_ = (float16)(0.0f);             \
            for (int w_ = 0; w_ < 16; w_++) {                                    \
                const uint16 pair_ = vload16(w_, (b) + t_ % 2 * TILE_FLOATS);    \
                const uint   term_ = amx_word((t_ < 2 ? (a0) : (a1)) + r_ * (step) / 2 + 2 * w_); \
                even_ = amx_add(even_, term_ << 16, pair_ << 16);                \
                odd_  = amx_add(odd_, term_ & 0xffff0000u, pair_ & 0xffff0000u); \
            }                                                                    \
            amx_sum[t_][r_] = amx_total(amx_sum[t_][r_], even_, odd_);           \
        }
#define AMX_STORE(c)                                                             \
    for (int r_ = 0; r_ < 64; r_++)                                              \
        vstore16(amx_sum[r_ / 16][r_ % 16], r_, c);
#define AMX_END

static inline float16 without_subnormals(float16 v)
{
    return select(v, copysign((float16)(0.0f), v), isless(fabs(v), (float16)(FLT_MIN)));
}

DIFFAD_LOCAL_FN uint amx_word(__local const ushort *p) { return (uint)p[0] | (uint)p[1] << 16; }

static inline float16 amx_add(float16 sum, uint a, uint16 b)
{
    const float16 x = without_subnormals((float16)(as_float(a))), y = without_subnormals(as_float16(b));
    return without_subnormals(fma(x, y, sum));
}

static inline float16 amx_total(float16 sum, float16 even, float16 odd)
{
    return without_subnormals(without_subnormals(sum) + without_subnormals(even + odd));
}
#else
/* Registers 0 to 3 hold the sums, 4 and 5 `a`, 6 and 7 `b`; all with 16 rows of 64 bytes. The compiler uses none of them. */
#define AMX_BEGIN                                                                \
    ulong amx_shape[8] = { 1, 0, 0x0040004000400040, 0x0040004000400040, 0, 0, 0x1010101010101010, 0 };      \
    __asm__ volatile("ldtilecfg (%0)" : : "r"((ulong)amx_shape) : "memory");
#define AMX_LOAD(c, next, step)                                                  \
    __asm__ volatile("tileloadd (%0, %4, 1), %%tmm0\n\ttileloadd (%1, %4, 1), %%tmm1\n\t"                      \
                 "tileloadd (%2, %4, 1), %%tmm2\n\ttileloadd (%3, %4, 1), %%tmm3"                          \
                 : : "r"((ulong)(c)), "r"((ulong)((c) + (next))), "r"((ulong)((c) + 2 * (next))), "r"((ulong)((c) + 3 * (next))), \
                     "r"((ulong)(step)) : "memory");
#define AMX_STEP(a0, a1, step, b)                                                \
    __asm__ volatile("tileloadd (%0, %3, 1), %%tmm4\n\ttileloadd (%2, %4, 1), %%tmm6\n\t"                      \
                 "tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\ttileloadd 1024(%2, %4, 1), %%tmm7\n\t"               \
                 "tdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\ttileloadd (%1, %3, 1), %%tmm5\n\t"                   \
                 "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\ttdpbf16ps %%tmm7, %%tmm5, %%tmm3"                    \
                 : : "r"((ulong)(a0)), "r"((ulong)(a1)), "r"((ulong)(b)), "r"((ulong)(step)), "r"((ulong)64) : "memory");
#define AMX_STORE(c)                                                             \
    __asm__ volatile("tilestored %%tmm0, (%0, %1, 1)\n\ttilestored %%tmm1, 1024(%0, %1, 1)\n\t"                \
                 "tilestored %%tmm2, 2048(%0, %1, 1)\n\ttilestored %%tmm3, 3072(%0, %1, 1)"                \
                 : : "r"((ulong)(c)), "r"((ulong)64) : "memory");
#define AMX_END __asm__ volatile("tilerelease" : : : "memory");
#endif
