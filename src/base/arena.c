/* arena.c: blocks of at least 64 KiB, handed out from the front. */
#include "base/arena.h"
#include "base/sys.h"

#include <stdint.h>
#include <string.h>

enum { BLOCK_BYTES = 65536, ALIGN = 16 };

struct diffad_arena_block {
    diffad_arena_block *before;
    size_t              used, bytes;
};

static const size_t HEADER = (sizeof(diffad_arena_block) + ALIGN - 1) / ALIGN * ALIGN;

void *diffad_arena_alloc(diffad_arena *a, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (!a->last || a->last->bytes - a->last->used < bytes) {
        const size_t        room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        diffad_arena_block *b    = diffad_alloc(HEADER + room);
        if (!b)
            return NULL;
        b->before = a->last;
        b->bytes  = room;
        a->last   = b;
    }
    char *p = (char *)a->last + HEADER + a->last->used;
    a->last->used += bytes;
    return p;
}

char *diffad_arena_strdup(diffad_arena *a, const char *s) { return diffad_arena_copy(a, s, strlen(s) + 1); }

void *diffad_arena_copy(diffad_arena *a, const void *from, size_t bytes)
{
    void *p = diffad_arena_alloc(a, bytes);
    if (p && bytes)
        memcpy(p, from, bytes);
    return p;
}

void diffad_arena_release(diffad_arena *a)
{
    while (a->last) {
        diffad_arena_block *b = a->last;
        a->last = b->before;
        diffad_release(b);
    }
}
