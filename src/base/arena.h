/* arena.h: many small allocations that end together. Memory is zeroed and aligned to 16 bytes. */
#ifndef DIFFAD_ARENA_H
#define DIFFAD_ARENA_H

#include <stddef.h>

typedef struct diffad_arena_block diffad_arena_block;
typedef struct diffad_arena {
    diffad_arena_block *last;
} diffad_arena;

void *diffad_arena_alloc(diffad_arena *a, size_t bytes);              /* NULL when memory is out */
char *diffad_arena_strdup(diffad_arena *a, const char *s);
void *diffad_arena_copy(diffad_arena *a, const void *from, size_t bytes);
void  diffad_arena_release(diffad_arena *a);                          /* all at once; the arena is empty again */

#endif
