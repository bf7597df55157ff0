/* rng.c: the host's side of the counter-based random numbers. */
#include "base/rng.h"

#include "common/normal.h"
#include "common/philox.h"

#include <string.h>

void diffad_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    memcpy(out, counter, 4 * sizeof *out);
    diffad_philox_rounds(out, key[0], key[1]);
}

diffad_rng diffad_rng_make(uint64_t seed, diffad_purpose purpose, uint32_t step, uint32_t sample)
{
    const diffad_rng r = { .key = { (uint32_t)seed, (uint32_t)(seed >> 32) }, .purpose = (uint32_t)purpose, .step = step,
                           .sample = sample };
    return r;
}

uint32_t diffad_rng_u32(diffad_rng *r)
{
    const uint64_t four = r->position / 4;
    if (r->held != four + 1) {
        const uint32_t counter[4] = { (uint32_t)four, r->sample, r->step, r->purpose };
        diffad_philox(counter, r->key, r->block);
        r->held = four + 1;
    }
    return r->block[r->position++ % 4];
}

/* Lemire, "Fast random integer generation in an interval", 2019: the high word of a product, and a second draw where the
 * low word falls into the uneven rest. */
uint32_t diffad_rng_below(diffad_rng *r, uint32_t n)
{
    if (n == 0)
        return 0;
    const uint32_t rest = (uint32_t)(-n) % n;
    uint64_t       product;
    do
        product = (uint64_t)diffad_rng_u32(r) * n;
    while ((uint32_t)product < rest);
    return (uint32_t)(product >> 32);
}

float diffad_rng_uniform(diffad_rng *r) { return (float)(diffad_rng_u32(r) >> 8) * (1.0f / (1 << 24)); }

float diffad_rng_between(diffad_rng *r, float lo, float hi) { return lo + (hi - lo) * diffad_rng_uniform(r); }

float diffad_rng_normal(diffad_rng *r) { return diffad_normal_from_bits(diffad_rng_u32(r)); }

float diffad_normal_from_bits(uint32_t bits) { return diffad_normal_piece(bits); }
