/* random.cl: counter-based random numbers on the device, the twin of src/base/rng.h: four numbers of a stream at once.
 *
 * key: the seed's low and high word. `four` is position / 4 of the host's stream, so that lane i is position 4 four + i.
 * With DIFFAD_WIDE, for CPUs: eight such fours at once, the same numbers. */
#ifndef DIFFAD_COMMON_RANDOM_CL
#define DIFFAD_COMMON_RANDOM_CL

#include "common/normal.h"
#include "common/philox.h"

#ifdef DIFFAD_WIDE
/* Word j of four number i: lane i of c[j]. */
static inline void diffad_random_u32_wide(uint2 key, uint purpose, uint step, uint sample, uint8 four, uint8 c[4])
{
    c[0] = four;
    c[1] = sample;
    c[2] = step;
    c[3] = purpose;
    diffad_philox_rounds(c, key.x, key.y);
}

/* The 32 words of c in the order of positions. */
static inline void diffad_random_in_order(uint8 c[4])
{
    uint16  a, b;
    ulong16 all;
    a.even   = c[0];
    a.odd    = c[1];
    b.even   = c[2];
    b.odd    = c[3];
    all.even = as_ulong8(a);
    all.odd  = as_ulong8(b);
    const uint16 low = as_uint16(all.lo), high = as_uint16(all.hi);
    c[0] = low.lo;
    c[1] = low.hi;
    c[2] = high.lo;
    c[3] = high.hi;
}

static inline float8 diffad_random_uniform_wide(uint8 bits) { return convert_float8(as_int8(bits >> 8)) * (1.0f / (1 << 24)); }
#else
static inline uint4 diffad_random_u32x4(uint2 key, uint purpose, uint step, uint sample, uint four)
{
    uint c[4] = { four, sample, step, purpose };
    diffad_philox_rounds(c, key.x, key.y);
    return (uint4)(c[0], c[1], c[2], c[3]);
}

/* [0, 1), 24 bits */
static inline float4 diffad_random_uniform4(uint2 key, uint purpose, uint step, uint sample, uint four)
{
    return convert_float4(diffad_random_u32x4(key, purpose, step, sample, four) >> 8) * (1.0f / (1 << 24));
}

static inline float4 diffad_random_normal4(uint2 key, uint purpose, uint step, uint sample, uint four)
{
    const uint4 r = diffad_random_u32x4(key, purpose, step, sample, four);
    return (float4)(diffad_normal_piece(r.x), diffad_normal_piece(r.y), diffad_normal_piece(r.z), diffad_normal_piece(r.w));
}

#endif

#endif
