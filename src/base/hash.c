/* hash.c: XXH3 through xxHash, compiled in so that its state has the layout of the code that uses it. */
#include "base/hash.h"
#include "base/sys.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdio.h>

enum { STATE_ALIGN = 64 };

/* The state wants 64 bytes of alignment and stands somewhere in `room`. */
struct diffad_hasher {
    XXH3_state_t *state;
    unsigned char room[sizeof(XXH3_state_t) + STATE_ALIGN];
};

uint64_t diffad_hash64(const void *data, size_t bytes) { return XXH3_64bits(data, bytes); }

diffad_hasher *diffad_hasher_new(void)
{
    diffad_hasher *h = diffad_alloc(sizeof *h);
    if (!h)
        return NULL;
    const uintptr_t at = ((uintptr_t)h->room + STATE_ALIGN - 1) / STATE_ALIGN * STATE_ALIGN;
    h->state = (XXH3_state_t *)at;
    XXH3_128bits_reset(h->state);
    return h;
}

void diffad_hasher_add(diffad_hasher *h, const void *data, size_t bytes) { XXH3_128bits_update(h->state, data, bytes); }

uint64_t diffad_hasher_take64(const diffad_hasher *h) { return XXH3_64bits_digest(h->state); }

void diffad_hasher_take128(const diffad_hasher *h, char hex[33])
{
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, XXH3_128bits_digest(h->state));
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", c.digest[i]);
}

void diffad_hasher_release(diffad_hasher *h) { diffad_release(h); }
