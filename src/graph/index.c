/* index.c: an open hash table of names or addresses. */
#include "graph/index.h"
#include "base/hash.h"
#include "base/sys.h"

#include <string.h>

static uint64_t hash_of(const graph_index *x, const void *key)
{
    return x->is_text ? diffad_hash64(key, strlen(key)) : diffad_hash64(&key, sizeof key);
}

/* The entry of the key, or the free one where it would go. */
static graph_entry *entry_of(const graph_index *x, uint64_t hash, const void *key)
{
    const uint64_t mask = (uint64_t)x->capacity - 1;
    for (uint64_t i = hash & mask;; i = (i + 1) & mask) {
        graph_entry *e = &x->entry[i];
        if (!e->key || (e->hash == hash && (x->is_text ? strcmp(e->key, key) == 0 : e->key == key)))
            return e;
    }
}

static bool enlarge(graph_index *x)
{
    graph_index more = { .capacity = x->capacity ? 2 * x->capacity : 64, .is_text = x->is_text, .count = x->count };
    if (!(more.entry = diffad_alloc_array((size_t)more.capacity, sizeof *more.entry)))
        return false;
    for (int64_t i = 0; i < x->capacity; i++)
        if (x->entry[i].key)
            *entry_of(&more, x->entry[i].hash, x->entry[i].key) = x->entry[i];
    diffad_release(x->entry);
    *x = more;
    return true;
}

bool graph_index_put(graph_index *x, const void *key, int32_t value)
{
    if (2 * (x->count + 1) > x->capacity && !enlarge(x))
        return false;
    const uint64_t hash = hash_of(x, key);
    graph_entry   *e    = entry_of(x, hash, key);
    x->count += !e->key;
    *e = (graph_entry){ hash, key, value };
    return true;
}

int32_t graph_index_get(const graph_index *x, const void *key)
{
    const graph_entry *e = x->capacity ? entry_of(x, hash_of(x, key), key) : NULL;
    return e && e->key ? e->value : -1;
}

void graph_index_release(graph_index *x)
{
    diffad_release(x->entry);
    *x = (graph_index){ .is_text = x->is_text };
}
