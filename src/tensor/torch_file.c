/* torch_file.c: from the values of a pickle and the storages beside it to tensors.
 *
 * Refused, each with a reason that names file and place:
 * - archives that are damaged, compressed, encrypted, big-endian, or whose entries add up to more than the file;
 * - pickles as pickle.c says; a root without a state dict; names as in safetensors files; names that occur twice;
 * - storages whose size is not that of their type and count; tensors that reach beyond their storage, have more elements
 *   than it, negative strides, rank above 5, or a type that none here has (int16, int8, complex);
 * - copies of tensors that are not contiguous, once they add up to four times the file. */
#include "tensor/torch_file.h"
#include "base/file.h"
#include "base/size.h"
#include "tensor/pickle.h"
#include "tensor/safetensors.h"
#include "tensor/zip_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PICKLE = 32 << 20, COPIES = 4, NAME_BYTES = 512 };

/* A storage of the older container. */
typedef struct legacy_storage {
    const unsigned char *key;
    int64_t              key_bytes, at;      /* at: of the count in front of the data; -1: not found yet */
    int                  each;
} legacy_storage;

typedef struct source {
    const char           *origin;
    diffad_file          *f;
    diffad_file_wants     wants;
    diffad_arena          scratch;       /* values of the pickle */
    int64_t               bytes;         /* of the file */
    int64_t               read, copied;  /* bytes of storages; of tensors that are not contiguous */
    /* the zip container */
    diffad_zip           *zip;
    char                  prefix[NAME_BYTES];
    const unsigned char **entry;         /* data of each entry once read */
    /* the older one */
    const unsigned char  *data;
    legacy_storage       *storage;
    int64_t               storages;
} source;

static diffad_status fail_memory(const source *s) { return diffad_fail(DIFFAD_ERR_MEMORY, "%s: no host memory", s->origin); }

static diffad_status fail_tensor(const source *s, const char *name, const char *why)
{
    DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: tensor \"%.80s\": %s", s->origin, name, why);
}

/* ---- storages ---- */

static diffad_status zip_storage(source *s, const char *name, const pickle_storage *of, int64_t bytes, const unsigned char **out)
{
    char    path[NAME_BYTES + 96];
    int64_t have;
    snprintf(path, sizeof path, "%sdata/%s", s->prefix, of->key);
    const int64_t i = diffad_zip_find(s->zip, path);
    if (i < 0)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: tensor \"%.80s\": its storage \"%.80s\" is not in the archive (is the file complete?)", s->origin, name, path);
    if (!s->entry[i]) {
        DIFFAD_TRY(diffad_zip_size(s->zip, i, &have));
        if (have != bytes)
            return fail_tensor(s, name, "its storage does not have the bytes of its type and count; the file is damaged");
        if (!diffad_add_i64(s->read, have, &s->read) || s->read > s->bytes)
            return fail_tensor(s, name, "the storages add up to more bytes than the file has; the file is damaged or hostile");
        unsigned char *to = diffad_arena_alloc(&s->f->arena, (size_t)have + 1);
        if (!to)
            return fail_memory(s);
        DIFFAD_TRY(diffad_zip_read(s->zip, i, to, have));
        s->entry[i] = to;
    } else {
        DIFFAD_TRY(diffad_zip_size(s->zip, i, &have));
        if (have != bytes)
            return fail_tensor(s, name, "its storage is named with two sizes; the file is damaged");
    }
    *out = s->entry[i];
    return DIFFAD_OK;
}

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

static diffad_status legacy_data(source *s, const char *name, const pickle_storage *of, int64_t bytes, const unsigned char **out)
{
    const legacy_storage wanted = { .key = (const unsigned char *)of->key, .key_bytes = (int64_t)strlen(of->key) };
    const legacy_storage *found = s->storages ? bsearch(&wanted, s->storage, (size_t)s->storages, sizeof *s->storage, by_key) : NULL;
    if (!found)
        return fail_tensor(s, name, "its storage is not in the file; the file is damaged");
    if (found->at < 0 || found->each != of->each || bytes > s->bytes - 8 - found->at || load_i64(s->data + found->at) != of->count)
        return fail_tensor(s, name, "its storage does not have the bytes of its type and count (is the file complete?)");
    *out = s->data + found->at + 8;
    return DIFFAD_OK;
}

/* ---- tensors ---- */

/* Whether the tensor lies in its storage; *contiguous: in one piece. */
static diffad_status check_extent(const source *s, const char *name, const pickle_tensor *t, const diffad_shape *shape, bool *contiguous)
{
    const int64_t count = diffad_shape_count(shape);
    int64_t       last = t->offset, step, unused;
    *contiguous = true;
    if (count < 0 || t->storage.count < 0 || t->offset < 0)
        return fail_tensor(s, name, "a size that is negative or cannot be counted; the file is damaged");
    if (!diffad_mul_i64(t->storage.count, t->storage.each, &unused))
        return fail_tensor(s, name, "a storage that cannot be counted; the file is damaged");
    for (int64_t i = t->rank - 1, dense = 1; i >= 0; i--) {
        if (t->stride[i] < 0)
            return fail_tensor(s, name, "a negative stride; the file is damaged");
        if (t->side[i] != 1 && t->stride[i] != dense)
            *contiguous = false;
        if (count > 0 && (!diffad_mul_i64(t->side[i] - 1, t->stride[i], &step) || !diffad_add_i64(last, step, &last)))
            return fail_tensor(s, name, "it reaches beyond its storage; the file is damaged");
        dense *= t->side[i];      /* at most count, or 0 */
    }
    if (count == 0)
        *contiguous = true;
    if (count > 0 ? last >= t->storage.count : t->offset > t->storage.count)
        return fail_tensor(s, name, "it reaches beyond its storage; the file is damaged");
    if (count > t->storage.count)
        return fail_tensor(s, name, "it repeats elements of its storage; save it as a copy (tensor.clone())");
    return DIFFAD_OK;
}

static void gather(const pickle_tensor *t, const unsigned char *from, unsigned char *to)
{
    const size_t each = (size_t)t->storage.each;
    int64_t      at[DIFFAD_MAX_RANK] = { 0 };
    for (int64_t offset = t->offset;;) {
        memcpy(to, from + (size_t)offset * each, each);
        to += each;
        int i = t->rank - 1;
        for (; i >= 0 && ++at[i] == t->side[i]; i--) {
            offset -= (t->side[i] - 1) * t->stride[i];
            at[i] = 0;
        }
        if (i < 0)
            return;
        offset += t->stride[i];
    }
}

static diffad_status load_tensor(source *s, const char *name, const pickle_tensor *t, diffad_file_tensor *out)
{
    const unsigned char *storage;
    bool                 contiguous;
    out->name  = name;
    out->type  = (diffad_dtype)t->storage.type;
    out->shape = (diffad_shape){ .rank = t->rank };
    for (int i = 0; i < t->rank; i++) {
        if (t->side[i] < 0)
            return fail_tensor(s, name, "a negative side; the file is damaged");
        out->shape.side[i] = t->side[i];
    }
    if (t->storage.type < 0)
        return fail_tensor(s, name, "int8, int16 and complex tensors are not read; convert it to float32");
    if (!diffad_file_tensor_bytes(out->type, &out->shape, &out->bytes))
        return fail_tensor(s, name, "a shape with more elements than can be counted; the file is damaged");
    DIFFAD_TRY(check_extent(s, name, t, &out->shape, &contiguous));
    const int64_t bytes = t->storage.count * t->storage.each;
    DIFFAD_TRY(s->zip ? zip_storage(s, name, &t->storage, bytes, &storage) : legacy_data(s, name, &t->storage, bytes, &storage));
    if (contiguous) {
        out->data = storage + t->offset * t->storage.each;
        return DIFFAD_OK;
    }
    s->copied += out->bytes;
    if (s->copied / COPIES > s->bytes)
        return fail_tensor(s, name, "copies of tensors that are not contiguous add up to four times the file; save them contiguous");
    unsigned char *to = diffad_arena_alloc(&s->f->arena, (size_t)out->bytes);
    if (!to)
        return fail_memory(s);
    gather(t, storage, to);
    out->data = to;
    return DIFFAD_OK;
}

/* ---- the state dict ---- */

/* NULL where the value is no name for a tensor. */
static char *name_of(source *s, const pickle_value *v)
{
    if (v->kind != PICKLE_TEXT || v->text.bytes >= NAME_BYTES || memchr(v->text.at, 0, (size_t)v->text.bytes))
        return NULL;
    char *name = diffad_arena_alloc(&s->f->arena, (size_t)v->text.bytes + 1);
    if (name)
        memcpy(name, v->text.at, (size_t)v->text.bytes);
    return name;
}

/* Numbers and texts of the root. */
static diffad_status read_fields(source *s, const pickle_value *root)
{
    diffad_file *f = s->f;
    char         number[32];
    if (root->item.count / 2 > DIFFAD_FILE_MAX_TENSORS)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: a dict of %lld entries, more than %d", s->origin, (long long)(root->item.count / 2), DIFFAD_FILE_MAX_TENSORS);
    f->metadata = diffad_arena_alloc(&f->arena, (size_t)(root->item.count / 2) * sizeof *f->metadata);
    if (!f->metadata)
        return fail_memory(s);
    for (int64_t i = 0; i + 1 < root->item.count; i += 2) {
        const pickle_value *v = root->item.at[i + 1];
        if ((v->kind != PICKLE_INT && v->kind != PICKLE_TEXT) || root->item.at[i]->kind != PICKLE_TEXT)
            continue;
        snprintf(number, sizeof number, "%lld", (long long)(v->kind == PICKLE_INT ? v->number : 0));
        char *key = name_of(s, root->item.at[i]), *value = v->kind == PICKLE_INT ? diffad_arena_strdup(&f->arena, number)
                                                                                 : diffad_arena_alloc(&f->arena, (size_t)v->text.bytes + 1);
        if (!value)
            return fail_memory(s);
        if (v->kind == PICKLE_TEXT)
            memcpy(value, v->text.at, (size_t)v->text.bytes);
        if (key)
            f->metadata[f->n_metadata++] = (diffad_file_text){ key, value };
    }
    return DIFFAD_OK;
}

static diffad_status read_state_dict(source *s, const pickle_value *root)
{
    diffad_file        *f = s->f;
    const pickle_value *state = root->kind == PICKLE_DICT ? pickle_find(root, "state_dict") : NULL;
    if (root->kind != PICKLE_DICT || (state && state->kind != PICKLE_DICT))
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: holds no dict of tensors; save the weights with torch.save(model.state_dict(), FILE)", s->origin);
    if (state)
        DIFFAD_TRY(read_fields(s, root));
    else
        state = root;
    if (state->item.count / 2 > DIFFAD_FILE_MAX_TENSORS)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: %lld tensors, more than %d", s->origin, (long long)(state->item.count / 2), DIFFAD_FILE_MAX_TENSORS);
    f->tensor = diffad_arena_alloc(&f->arena, (size_t)(state->item.count / 2) * sizeof *f->tensor);
    if (!f->tensor)
        return fail_memory(s);
    int64_t others = 0;
    for (int64_t i = 0; i + 1 < state->item.count; i += 2) {
        const pickle_value *v = state->item.at[i + 1];
        if (v->kind != PICKLE_TENSOR) {
            others++;
            continue;
        }
        const char *name = name_of(s, state->item.at[i]);
        if (!name || !diffad_file_name_ok(name))
            DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: a tensor whose name is empty or holds control characters or slashes; the file is damaged", s->origin);
        if (s->wants && !s->wants(name))
            others++;
        else
            DIFFAD_TRY(load_tensor(s, name, v->tensor, &f->tensor[f->count++]));
    }
    if (f->count == 0 && others > 0 && !s->wants)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: its dict holds no tensors; save the weights with torch.save(model.state_dict(), FILE)", s->origin);
    return diffad_file_index(f, s->origin);
}

/* ---- the zip container ---- */

/* "NAME/" of the one entry "NAME/data.pkl". */
static diffad_status find_pickle(source *s, int64_t *index)
{
    static const char file[] = "data.pkl";
    for (int64_t i = 0; i < diffad_zip_count(s->zip); i++) {
        const char  *name = diffad_zip_name(s->zip, i);
        const size_t n = name ? strlen(name) : 0, tail = sizeof file - 1;
        if (n < tail || strcmp(name + n - tail, file) != 0 || n - tail >= sizeof s->prefix || (n > tail && strchr(name, '/') != name + n - tail - 1))
            continue;
        memcpy(s->prefix, name, n - tail);
        *index = i;
        return DIFFAD_OK;
    }
    DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: a zip archive without data.pkl; it was not written by torch.save", s->origin);
}

static diffad_status check_byte_order(source *s)
{
    char          path[NAME_BYTES + 16];
    unsigned char order[8] = { 0 };
    int64_t       bytes;
    snprintf(path, sizeof path, "%sbyteorder", s->prefix);
    const int64_t i = diffad_zip_find(s->zip, path);
    if (i < 0)
        return DIFFAD_OK;      /* before 2.0 */
    DIFFAD_TRY(diffad_zip_size(s->zip, i, &bytes));
    if (bytes >= (int64_t)sizeof order)
        bytes = -1;
    else
        DIFFAD_TRY(diffad_zip_read(s->zip, i, order, bytes));
    if (bytes < 0 || strcmp((const char *)order, "little") != 0)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: written on a big-endian machine; save it again on a little-endian one", s->origin);
    return DIFFAD_OK;
}

static diffad_status read_zip(source *s)
{
    pickle        p = { .origin = s->origin, .part = "data.pkl", .arena = &s->scratch };
    pickle_value *root;
    int64_t       index = 0;
    if (diffad_zip_count(s->zip) > 2 * DIFFAD_FILE_MAX_TENSORS)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: %lld entries, more than %d", s->origin, (long long)diffad_zip_count(s->zip), 2 * DIFFAD_FILE_MAX_TENSORS);
    DIFFAD_TRY(find_pickle(s, &index));
    DIFFAD_TRY(check_byte_order(s));
    DIFFAD_TRY(diffad_zip_size(s->zip, index, &p.bytes));
    if (p.bytes > MAX_PICKLE)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: a data.pkl of %lld bytes, more than 32 MiB; save the weights alone", s->origin, (long long)p.bytes);
    unsigned char *text = diffad_arena_alloc(&s->scratch, (size_t)p.bytes + 1);
    s->entry = diffad_arena_alloc(&s->scratch, (size_t)(diffad_zip_count(s->zip) + 1) * sizeof *s->entry);
    if (!text || !s->entry)
        return fail_memory(s);
    DIFFAD_TRY(diffad_zip_read(s->zip, index, text, p.bytes));
    p.data = text;
    DIFFAD_TRY(diffad_pickle_read(&p, &root));
    return read_state_dict(s, root);
}

static diffad_status read_archive(const char *origin, diffad_zip *zip, diffad_file_wants wants, diffad_file **out)
{
    source        s  = { .origin = origin, .zip = zip, .wants = wants, .bytes = diffad_zip_bytes(zip) };
    diffad_status st = diffad_file_new(origin, NULL, &s.f);
    if (st == DIFFAD_OK && (st = read_zip(&s)) == DIFFAD_OK)
        *out = s.f;
    else
        diffad_file_close(s.f);
    diffad_arena_release(&s.scratch);
    diffad_zip_close(zip);
    return st;
}

diffad_status diffad_torch_open(const char *path, diffad_file_wants wants, diffad_file **out)
{
    diffad_zip *zip;
    DIFFAD_TRY(diffad_zip_open(path, &zip));
    return read_archive(path, zip, wants, out);
}

diffad_status diffad_torch_parse(const char *origin, const void *data, size_t bytes, diffad_file **out)
{
    diffad_zip *zip;
    DIFFAD_TRY(diffad_zip_parse(origin, data, bytes, &zip));
    return read_archive(origin, zip, NULL, out);
}

/* ---- the older container: five pickles (magic number, version, system, object, keys of storages), then for each key
 * the count of its elements (8 bytes) and the elements ---- */

bool diffad_torch_is_legacy(const unsigned char *head, size_t bytes)
{
    static const unsigned char magic[] = { 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19 };      /* a long integer */
    enum { PROTO = 2, FRAME = 9 };
    const size_t at = bytes > PROTO && head[PROTO] == 0x95 ? PROTO + FRAME : PROTO;
    return bytes >= at + sizeof magic && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5 && memcmp(head + at, magic, sizeof magic) == 0;
}

/* What the object's pickle said of its storages, for the walk over their data. */
static diffad_status list_storages(source *s, const pickle *p)
{
    for (const pickle_storage *v = p->last_storage; v; v = v->before)
        s->storages++;
    s->storage = diffad_arena_alloc(&s->scratch, (size_t)s->storages * sizeof *s->storage);
    if (!s->storage)
        return fail_memory(s);
    int64_t n = 0;
    for (const pickle_storage *v = p->last_storage; v; v = v->before)
        s->storage[n++] = (legacy_storage){ .key = (const unsigned char *)v->key, .key_bytes = (int64_t)strlen(v->key), .each = v->each, .at = -1 };
    if (n)
        qsort(s->storage, (size_t)n, sizeof *s->storage, by_key);
    return DIFFAD_OK;
}

static diffad_status fail_keys(const source *s)
{
    DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: the storages in its second part are not those of its first; the file is damaged", s->origin);
}

/* Finds the data of the storage with key `v`, which begin at *at, and goes behind them. */
static diffad_status walk_storage(source *s, const pickle_value *v, int64_t *at)
{
    if (v->kind != PICKLE_TEXT)
        return fail_keys(s);
    const legacy_storage wanted = { .key = v->text.at, .key_bytes = v->text.bytes };
    legacy_storage      *found = s->storages ? bsearch(&wanted, s->storage, (size_t)s->storages, sizeof *s->storage, by_key) : NULL;
    if (!found)
        return fail_keys(s);
    while (found > s->storage && by_key(found - 1, &wanted) == 0)
        found--;
    int64_t bytes;
    if (*at > s->bytes - 8 || found->at >= 0)
        return found->at >= 0 ? fail_keys(s) : diffad_fail(DIFFAD_ERR_CHECKPOINT, "%s: ends before its last storage (is it complete?)", s->origin);
    const int64_t count = load_i64(s->data + *at);
    if (count < 0 || !diffad_mul_i64(count, found->each, &bytes) || bytes > s->bytes - 8 - *at)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: byte %lld: a storage of %lld elements goes past the end (is the file complete?)", s->origin,
                    (long long)*at, (long long)count);
    for (legacy_storage *k = found; k < s->storage + s->storages && by_key(k, &wanted) == 0; k++)
        k->at = *at;
    *at += 8 + bytes;
    return DIFFAD_OK;
}

static diffad_status read_legacy(source *s)
{
    enum { MAGIC, VERSION, SYSTEM, OBJECT, KEYS, PARTS };
    static const char *const names[PARTS] = { "magic number", "version", "system", "data", "keys" };
    pickle              p = { .origin = s->origin, .data = s->data, .bytes = s->bytes, .arena = &s->scratch };
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
    return read_state_dict(s, root[OBJECT]);
}

diffad_status diffad_torch_legacy_take(const char *origin, unsigned char *data, int64_t bytes, diffad_file_wants wants, diffad_file **out)
{
    source s = { .origin = origin, .wants = wants, .bytes = bytes, .data = data };
    DIFFAD_TRY(diffad_file_new(origin, data, &s.f));
    const diffad_status st = read_legacy(&s);
    if (st == DIFFAD_OK)
        *out = s.f;
    else
        diffad_file_close(s.f);
    diffad_arena_release(&s.scratch);
    return st;
}
