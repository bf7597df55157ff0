/* index.h: finds a value by its name or by the slot of its tensor. */
#ifndef DIFFAD_INDEX_H
#define DIFFAD_INDEX_H

#include <stdbool.h>
#include <stdint.h>

typedef struct graph_entry { uint64_t hash; const void *key; int32_t value; } graph_entry;
typedef struct graph_index {
    graph_entry *entry;         /* a power of two, key NULL: free */
    int64_t      count, capacity;
    bool         is_text;       /* keys are compared as text, else as addresses */
} graph_index;

/* Keys are borrowed. A key that is there already gets the new value. False: memory is out. */
bool    graph_index_put(graph_index *x, const void *key, int32_t value);
int32_t graph_index_get(const graph_index *x, const void *key);       /* -1: absent */
void    graph_index_release(graph_index *x);

#endif
