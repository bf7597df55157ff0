/* hash.h: XXH3 through xxHash: cache keys, checksums, fingerprints. Not for secrets. */
#ifndef DIFFAD_HASH_H
#define DIFFAD_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct diffad_hasher diffad_hasher;
uint64_t       diffad_hash64(const void *data, size_t bytes);
diffad_hasher *diffad_hasher_new(void);                             /* NULL when memory is out */
void           diffad_hasher_add(diffad_hasher *h, const void *data, size_t bytes);
uint64_t       diffad_hasher_take64(const diffad_hasher *h);
void           diffad_hasher_take128(const diffad_hasher *h, char hex[33]);
void           diffad_hasher_release(diffad_hasher *h);

#endif
