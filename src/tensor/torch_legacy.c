/* torch_legacy.c: the container of torch.save before 1.6: five pickles (magic number, version, system, object, keys of
 * storages), then for each key the count of its elements (8 bytes) and the elements. */
#include "base/size.h"
#include "tensor/torch_source.h"

#include <stdlib.h>
#include <string.h>

/* A storage of the older container. */
typedef struct legacy_storage {
    const unsigned char *key;
    int64_t              key_bytes, at;      /* at: of the count in front of the data; -1: not found yet */
    int                  each;
} legacy_storage;

typedef struct legacy {
    const unsigned char *data;
    legacy_storage      *storage;
    int64_t              storages;
} legacy;

static int by_key(const void *a, const void *b)
{
    const legacy_storage *x = a, *y = b;
    const int             order = memcmp(x->key, y->key, (size_t)(x->key_bytes < y->key_bytes ? x->key_bytes : y->key_bytes));
    return order ? order : x->key_bytes < y->key_bytes ? -1 : x->key_bytes > y->key_bytes;
}

static int64_t load_i64(const unsigned char *p)
{
    uint64_t v = 0;
    int64_t  n;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    memcpy(&n, &v, sizeof n);
    return n;
}

static diffad_status legacy_data(torch_source *s, const char *name, const pickle_storage *of, int64_t bytes, const unsigned char **out)
{
    legacy *c = s->container;
    const legacy_storage wanted = { .key = (const unsigned char *)of->key, .key_bytes = (int64_t)strlen(of->key) };
    const legacy_storage *found = c->storages ? bsearch(&wanted, c->storage, (size_t)c->storages, sizeof *c->storage, by_key) : NULL;
    if (!found)
        return torch_fail_tensor(s, name, "its storage is not in the file; the file is damaged");
    if (found->at < 0 || found->each != of->each || bytes > s->bytes - 8 - found->at || load_i64(c->data + found->at) != of->count)
        return torch_fail_tensor(s, name, "its storage does not have the bytes of its type and count (is the file complete?)");
    *out = c->data + found->at + 8;
    return DIFFAD_OK;
}

bool diffad_torch_is_legacy(const unsigned char *head, size_t bytes)
{
    static const unsigned char magic[] = { 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19 };      /* a long integer */
    enum { PROTO = 2, FRAME = 9 };
    const size_t at = bytes > PROTO && head[PROTO] == 0x95 ? PROTO + FRAME : PROTO;
    return bytes >= at + sizeof magic && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5 && memcmp(head + at, magic, sizeof magic) == 0;
}

/* What the object's pickle said of its storages, for the walk over their data. */
static diffad_status list_storages(torch_source *s, const pickle *p)
{
    legacy *c = s->container;
    for (const pickle_storage *v = p->last_storage; v; v = v->before)
        c->storages++;
    c->storage = diffad_arena_alloc(&s->scratch, (size_t)c->storages * sizeof *c->storage);
    if (!c->storage)
        return torch_fail_memory(s);
    int64_t n = 0;
    for (const pickle_storage *v = p->last_storage; v; v = v->before)
        c->storage[n++] = (legacy_storage){ .key = (const unsigned char *)v->key, .key_bytes = (int64_t)strlen(v->key), .each = v->each, .at = -1 };
    if (n)
        qsort(c->storage, (size_t)n, sizeof *c->storage, by_key);
    return DIFFAD_OK;
}

static diffad_status fail_keys(const torch_source *s)
{
    DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: the storages in its second part are not those of its first; the file is damaged", s->origin);
}

/* Finds the data of the storage with key `v`, which begin at *at, and goes behind them. */
static diffad_status walk_storage(torch_source *s, const pickle_value *v, int64_t *at)
{
    legacy *c = s->container;
    if (v->kind != PICKLE_TEXT)
        return fail_keys(s);
    const legacy_storage wanted = { .key = v->text.at, .key_bytes = v->text.bytes };
    legacy_storage      *found = c->storages ? bsearch(&wanted, c->storage, (size_t)c->storages, sizeof *c->storage, by_key) : NULL;
    if (!found)
        return fail_keys(s);
    while (found > c->storage && by_key(found - 1, &wanted) == 0)
        found--;
    int64_t bytes;
    if (*at > s->bytes - 8 || found->at >= 0)
        return found->at >= 0 ? fail_keys(s) : diffad_fail(DIFFAD_ERR_CHECKPOINT, "%s: ends before its last storage (is it complete?)", s->origin);
    const int64_t count = load_i64(c->data + *at);
    if (count < 0 || !diffad_mul_i64(count, found->each, &bytes) || bytes > s->bytes - 8 - *at)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: byte %lld: a storage of %lld elements goes past the end (is the file complete?)", s->origin,
                    (long long)*at, (long long)count);
    for (legacy_storage *k = found; k < c->storage + c->storages && by_key(k, &wanted) == 0; k++)
        k->at = *at;
    *at += 8 + bytes;
    return DIFFAD_OK;
}

static diffad_status read_legacy(torch_source *s)
{
    legacy *c = s->container;
    enum { MAGIC, VERSION, SYSTEM, OBJECT, KEYS, PARTS };
    static const char *const names[PARTS] = { "magic number", "version", "system", "data", "keys" };
    pickle              p = { .origin = s->origin, .data = c->data, .bytes = s->bytes, .arena = &s->scratch };
    pickle_value       *root[PARTS];
    for (int i = 0; i < PARTS; i++) {
        p.part = names[i];
        DIFFAD_TRY(diffad_pickle_read(&p, &root[i]));
        if (i == OBJECT)
            DIFFAD_TRY(list_storages(s, &p));
    }
    const pickle_value *little = root[SYSTEM]->kind == PICKLE_DICT ? pickle_find(root[SYSTEM], "little_endian") : NULL;
    if (root[VERSION]->kind != PICKLE_INT || root[VERSION]->number != 1001 || !little || little->kind != PICKLE_BOOL || !little->number)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: not a little-endian file of version 1001 of torch.save; load and save it with a newer torch", s->origin);
    if (root[KEYS]->kind != PICKLE_LIST)
        return fail_keys(s);
    int64_t at = p.at;
    for (int64_t i = 0; i < root[KEYS]->item.count; i++)
        DIFFAD_TRY(walk_storage(s, root[KEYS]->item.at[i], &at));
    return torch_read_state(s, root[OBJECT]);
}

diffad_status diffad_torch_legacy_take(const char *origin, unsigned char *data, int64_t bytes, diffad_file_wants wants, diffad_file **out)
{
    legacy       c = { .data = data };
    torch_source s = { .origin = origin, .wants = wants, .bytes = bytes, .storage = legacy_data, .container = &c };
    DIFFAD_TRY(diffad_file_new(origin, data, &s.f));
    const diffad_status st = read_legacy(&s);
    if (st == DIFFAD_OK)
        *out = s.f;
    else
        diffad_file_close(s.f);
    diffad_arena_release(&s.scratch);
    return st;
}
