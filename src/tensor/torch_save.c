/* torch_save.c: writing what torch.load(weights_only=True) reads: the layout of torch 1.6 and later. */
#include "base/arena.h"
#include "base/fail.h"
#include "base/sys.h"
#include "base/text.h"
#include "tensor/safetensors.h"
#include "tensor/torch_file.h"
#include "tensor/zip_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A pickle of protocol 2, being written. */
typedef struct pickler { unsigned char *s; int64_t length, capacity; bool failed; } pickler;

static void put(pickler *p, const void *from, size_t n)
{
    for (size_t i = 0; i < n && !p->failed; i++) {
        p->failed = !diffad_grow(&p->s, p->length, &p->capacity, 1);
        if (!p->failed)
            p->s[p->length++] = ((const unsigned char *)from)[i];
    }
}

static void put_raw(pickler *p, const char *s) { put(p, s, strlen(s)); }

static void put_little(pickler *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++, v >>= 8)
        put(p, &(unsigned char){ (unsigned char)v }, 1);
}

static void put_text(pickler *p, const char *s)
{
    put_raw(p, "X");
    put_little(p, strlen(s), 4);
    put_raw(p, s);
}

static void put_int(pickler *p, int64_t v)
{
    const bool is_short = v >= INT32_MIN && v <= INT32_MAX;
    put_raw(p, is_short ? "J" : "\x8a\x08");
    put_little(p, (uint64_t)v, is_short ? 4 : 8);
}

/* ---- tensors ---- */

static const char *storage_name(diffad_dtype t)
{
    switch (t) {
    case DIFFAD_F32: return "FloatStorage";
    case DIFFAD_F16: return "HalfStorage";
    case DIFFAD_BF16: return "BFloat16Storage";
    case DIFFAD_I32: return "IntStorage";
    case DIFFAD_U8: return "ByteStorage";
    case DIFFAD_F64: return "DoubleStorage";
    case DIFFAD_I64: return "LongStorage";
    }
    return NULL;
}

/* torch._utils._rebuild_tensor_v2(storage, 0, sides, strides, False, OrderedDict()) */
static void put_tensor(pickler *p, const diffad_file_tensor *t, int storage)
{
    char    key[16], type[64];
    int64_t stride[DIFFAD_MAX_RANK], dense = 1;
    snprintf(key, sizeof key, "%d", storage);
    snprintf(type, sizeof type, "ctorch\n%s\n", storage_name(t->type));
    put_raw(p, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text(p, "storage");
    put_raw(p, type);
    put_text(p, key);
    put_text(p, "cpu");
    put_int(p, diffad_shape_count(&t->shape));
    put_raw(p, "tQ");
    put_int(p, 0);
    for (int i = t->shape.rank - 1; i >= 0; i--) {
        stride[i] = dense;
        dense *= t->shape.side[i] > 0 ? t->shape.side[i] : 1;
    }
    put_raw(p, "(");
    for (int i = 0; i < t->shape.rank; i++)
        put_int(p, t->shape.side[i]);
    put_raw(p, "t(");
    for (int i = 0; i < t->shape.rank; i++)
        put_int(p, stride[i]);
    put_raw(p, "t\x89" "ccollections\nOrderedDict\n)RtR");
}

static void put_pickle(pickler *p, const diffad_file_tensor *t, int count, const int *storage, const diffad_torch_field *fields, int n_fields)
{
    put_raw(p, "\x80\x02");
    if (n_fields)
        put_raw(p, "}(");
    for (int i = 0; i < n_fields; i++) {
        put_text(p, fields[i].key);
        if (fields[i].text)
            put_text(p, fields[i].text);
        else
            put_int(p, fields[i].number);
    }
    if (n_fields)
        put_text(p, "state_dict");
    put_raw(p, "ccollections\nOrderedDict\n)R(");
    for (int i = 0; i < count; i++) {
        put_text(p, t[i].name);
        put_tensor(p, &t[i], storage[i]);
    }
    put_raw(p, n_fields ? "uu." : "u.");
}

/* ---- storages ---- */

typedef struct place { const diffad_file_tensor *t; int index; } place;

static int by_data(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->t->data != y->t->data)
        return x->t->data < y->t->data ? -1 : 1;
    if (x->t->bytes != y->t->bytes)
        return x->t->bytes < y->t->bytes ? -1 : 1;
    if (x->t->type != y->t->type)
        return x->t->type < y->t->type ? -1 : 1;
    return x->index - y->index;
}

static bool is_same(const diffad_file_tensor *a, const diffad_file_tensor *b)
{
    return a->data == b->data && a->bytes == b->bytes && a->type == b->type && a->bytes > 0;
}

/* storage[i]: the number of tensor i's storage, in the order in which they come first; returns how many there are. */
static int number_storages(const diffad_file_tensor *t, int count, place *sorted, int *first, int *storage)
{
    int n = 0;
    for (int i = 0; i < count; i++)
        sorted[i] = (place){ &t[i], i };
    if (count)
        qsort(sorted, (size_t)count, sizeof *sorted, by_data);
    for (int i = 0; i < count; i++)
        first[sorted[i].index] = i > 0 && is_same(sorted[i].t, sorted[i - 1].t) ? first[sorted[i - 1].index] : sorted[i].index;
    for (int i = 0; i < count; i++)
        storage[i] = first[i] == i ? n++ : storage[first[i]];
    return n;
}

static diffad_status check(const char *path, const diffad_file_tensor *t, int count)
{
    for (int i = 0; i < count; i++) {
        int64_t bytes;
        if (!diffad_file_name_ok(t[i].name) || !diffad_is_utf8(t[i].name) || !storage_name(t[i].type) ||
            !diffad_file_tensor_bytes(t[i].type, &t[i].shape, &bytes) || bytes != t[i].bytes)
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "cannot write %s: tensor \"%.80s\" has a name, type or size that torch.load would not take", path, t[i].name);
    }
    return DIFFAD_OK;
}

/* "NAME/data/7" with NAME the file's name without its ending, as torch does it. */
static diffad_status list_entries(const char *path, const diffad_file_tensor *t, int count, const int *storage, const int *first, const pickler *p,
                                  diffad_arena *arena, diffad_zip_entry *entries, int n)
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const int   stem = strrchr(base, '.') && strrchr(base, '.') != base ? (int)(strrchr(base, '.') - base) : (int)strlen(base);
    char        name[320];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, i == 0 ? "%.*s/data.pkl" : i == 1 ? "%.*s/byteorder" : i == n - 1 ? "%.*s/version" : "%.*s/data/", stem, base);
        if (i >= 2 && i < n - 1)
            snprintf(name + strlen(name), sizeof name - strlen(name), "%d", i - 2);
        if (!(entries[i].name = diffad_arena_strdup(arena, name)))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "cannot write %s: no host memory", path);
    }
    entries[0].data      = p->s;
    entries[0].bytes     = p->length;
    entries[1].data      = "little";
    entries[1].bytes     = 6;
    entries[n - 1].data  = "3\n";
    entries[n - 1].bytes = 2;
    for (int i = 0; i < count; i++)
        if (first[i] == i) {
            entries[2 + storage[i]].data  = t[i].data;
            entries[2 + storage[i]].bytes = t[i].bytes;
        }
    return DIFFAD_OK;
}

diffad_status diffad_torch_save(const char *path, const diffad_file_tensor *t, int count, const diffad_torch_field *fields, int n_fields)
{
    pickler       p = { 0 };
    diffad_arena  arena = { 0 };
    diffad_status st = DIFFAD_OK;
    DIFFAD_TRY(check(path, t, count));
    place            *sorted  = diffad_arena_alloc(&arena, (size_t)count * sizeof *sorted);
    int              *first   = diffad_arena_alloc(&arena, (size_t)count * sizeof *first);
    int              *storage = diffad_arena_alloc(&arena, (size_t)count * sizeof *storage);
    diffad_zip_entry *entries = diffad_arena_alloc(&arena, ((size_t)count + 3) * sizeof *entries);
    if (!sorted || !first || !storage || !entries)
        DIFFAD_SET_GOTO(done, DIFFAD_ERR_MEMORY, "cannot write %s: no host memory", path);
    const int n = number_storages(t, count, sorted, first, storage) + 3;
    put_pickle(&p, t, count, storage, fields, n_fields);
    if (p.failed)
        DIFFAD_SET_GOTO(done, DIFFAD_ERR_MEMORY, "cannot write %s: no host memory", path);
    DIFFAD_GOTO(done, list_entries(path, t, count, storage, first, &p, &arena, entries, n));
    DIFFAD_GOTO(done, diffad_zip_save(path, entries, n));
done:
    diffad_release(p.s);
    diffad_arena_release(&arena);
    return st;
}
