/* philox.h: Philox 4x32-10 (Salmon et al., SC 2011), one text for C11 and OpenCL C 1.2. */
#ifndef DIFFAD_COMMON_PHILOX_H
#define DIFFAD_COMMON_PHILOX_H

#if defined(__OPENCL_C_VERSION__) && defined(DIFFAD_WIDE)
/* Eight counters at a time: products of the even and of the odd words, which is what CPUs have instructions for. */
typedef uint8 diffad_u32;
static inline uint8 diffad_mul_hi(uint8 all, uint8 b)      /* all: the same word eight times */
{
    const ulong4 low = 0xFFFFFFFFul, a = as_ulong4(all) & low, pair = as_ulong4(b);
    return as_uint8((((pair & low) * a) >> 32) | (((pair >> 32) * a) & ~low));
}
#define DIFFAD_MUL_HI(a, b) diffad_mul_hi((a), (b))
#elif defined(__OPENCL_C_VERSION__)
typedef uint diffad_u32;
/* Not mul_hi: compilers for CPUs turn only this form into a vector instruction. */
#define DIFFAD_MUL_HI(a, b) ((uint)(((ulong)(a) * (b)) >> 32))
#else
#include <stdint.h>
typedef uint32_t diffad_u32;
#define DIFFAD_MUL_HI(a, b) ((uint32_t)(((uint64_t)(a) * (b)) >> 32))
#endif

enum { DIFFAD_PHILOX_ROUNDS = 10 };

/* c: the counter, replaced by four random words. */
static inline void diffad_philox_rounds(diffad_u32 c[4], diffad_u32 key0, diffad_u32 key1)
{
    const diffad_u32 m0 = 0xD2511F53u, m1 = 0xCD9E8D57u;
    diffad_u32       c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3];      /* an array would stay in memory */
#ifdef __OPENCL_C_VERSION__
#pragma unroll
#endif
    for (int i = 0; i < DIFFAD_PHILOX_ROUNDS; i++) {
        const diffad_u32 hi0 = DIFFAD_MUL_HI(m0, c0), lo0 = m0 * c0;
        const diffad_u32 hi1 = DIFFAD_MUL_HI(m1, c2), lo1 = m1 * c2;
        c0 = hi1 ^ c1 ^ key0;
        c1 = lo1;
        c2 = hi0 ^ c3 ^ key1;
        c3 = lo0;
        key0 += 0x9E3779B9u;      /* golden ratio */
        key1 += 0xBB67AE85u;      /* sqrt(3) - 1 */
    }
    c[0] = c0;
    c[1] = c1;
    c[2] = c2;
    c[3] = c3;
}

#endif
