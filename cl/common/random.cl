/* random.cl: counter-based random numbers on the device, the twin of src/base/rng.h: four numbers of a stream at once.
 *
 * key: the seed's low and high word. `four` is position / 4 of the host's stream, so that lane i is position 4 four + i. */
#ifndef DIFFAD_COMMON_RANDOM_CL
#define DIFFAD_COMMON_RANDOM_CL

#include "common/normal.h"
#include "common/philox.h"

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
