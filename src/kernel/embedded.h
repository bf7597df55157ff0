/* embedded.h: text files inside the library (tools/embed.c writes the tables). */
#ifndef DIFFAD_EMBEDDED_H
#define DIFFAD_EMBEDDED_H

#include <stddef.h>

typedef struct diffad_embedded {
    const char *name;       /* "silu.cl", "common/vec.cl"; NULL ends the table */
    const char *text;       /* with a 0 byte behind */
    size_t      bytes;
} diffad_embedded;

extern const diffad_embedded diffad_embedded_kernels[];
extern const diffad_embedded diffad_embedded_models[];

/* NULL: absent. */
const diffad_embedded *diffad_embedded_find(const diffad_embedded *table, const char *name);

#endif
