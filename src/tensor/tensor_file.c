/* tensor_file.c: files of named tensors: which kind one is, and finding what it holds. */
#include "tensor/tensor_file.h"
#include "base/file.h"
#include "tensor/safetensors.h"
#include "tensor/torch_file.h"
#include "tensor/zip_file.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD = 32, PIECE = 16384 };

static const int64_t MAX_FILE = (int64_t)1 << 38;

diffad_status diffad_file_new(const char *origin, unsigned char *bytes, diffad_file **out)
{
    diffad_file *f = diffad_alloc(sizeof *f);
    if (!f) {
        diffad_release(bytes);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", origin);
    }
    f->bytes = bytes;
    f->fd    = -1;
    *out     = f;
    return DIFFAD_OK;
}

void diffad_file_close(diffad_file *f)
{
    if (!f)
        return;
    diffad_arena_release(&f->arena);
    diffad_release(f->bytes);
    if (f->fd >= 0)
        diffad_sys.close(f->fd);
    diffad_zip_close(f->archive);
    for (int i = 0; i < 2; i++)
        diffad_release(f->kept[i].bytes);
    diffad_release(f);
}

/* ---- data on disk ---- */

diffad_status diffad_file_piece(const diffad_file_tensor *t, int64_t from, void *to, int64_t bytes)
{
    if (!t->data && bytes && t->file->archive)
        return diffad_torch_piece(t, from, to, bytes);
    if (!t->data)
        return bytes ? diffad_parts_read(t->file->fd, t->file->path, DIFFAD_ERR_CHECKPOINT, t->at + from, to, bytes) : DIFFAD_OK;
    memcpy(to, t->data + from, (size_t)bytes);
    return DIFFAD_OK;
}

diffad_status diffad_file_same_bytes(const diffad_file_tensor *a, const diffad_file_tensor *b, bool *same)
{
    unsigned char x[PIECE], y[PIECE];
    *same = a->bytes == b->bytes;
    if (a->data ? a->data == b->data : a->file == b->file && a->entry == b->entry && a->at == b->at)
        return DIFFAD_OK;
    for (int64_t at = 0; *same && at < a->bytes; at += PIECE) {
        const int64_t n = a->bytes - at < PIECE ? a->bytes - at : PIECE;
        DIFFAD_TRY(diffad_file_piece(a, at, x, n));
        DIFFAD_TRY(diffad_file_piece(b, at, y, n));
        *same = memcmp(x, y, (size_t)n) == 0;
    }
    return DIFFAD_OK;
}

static diffad_status hold(diffad_file *f, diffad_file_tensor *t)
{
    const unsigned char *entry;
    if (t->bytes && t->file->archive) {      /* tensors that share a storage share it here, too */
        DIFFAD_TRY(diffad_torch_hold(t->file, t->entry, &entry));
        t->data = entry + t->at;
        return DIFFAD_OK;
    }
    unsigned char *to = diffad_arena_alloc(&f->arena, (size_t)t->bytes + 1);
    if (!to)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "tensor \"%.80s\": no host memory for %lld bytes", t->name, (long long)t->bytes);
    DIFFAD_TRY(diffad_file_piece(t, 0, to, t->bytes));
    t->data = to;
    return DIFFAD_OK;
}

diffad_status diffad_file_hold(diffad_file *f)
{
    for (int i = 0; i < f->count; i++)
        if (!f->tensor[i].data)
            DIFFAD_TRY(hold(f, &f->tensor[i]));
    return DIFFAD_OK;
}

/* ---- finding ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(diffad_file_tensor *const *)a)->name, (*(diffad_file_tensor *const *)b)->name);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const diffad_file_text *)a)->key, ((const diffad_file_text *)b)->key);
}

diffad_status diffad_file_index(diffad_file *f, const char *origin)
{
    f->by_name = diffad_arena_alloc(&f->arena, (size_t)f->count * sizeof *f->by_name);
    if (!f->by_name)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", origin);
    for (int i = 0; i < f->count; i++)
        f->by_name[i] = &f->tensor[i];
    if (f->count)
        qsort(f->by_name, (size_t)f->count, sizeof *f->by_name, by_name);
    for (int i = 1; i < f->count; i++)
        if (strcmp(f->by_name[i - 1]->name, f->by_name[i]->name) == 0)
            DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: tensor \"%.80s\" is given twice; the file is damaged", origin, f->by_name[i]->name);
    if (f->n_metadata)
        qsort(f->metadata, (size_t)f->n_metadata, sizeof *f->metadata, by_key);
    return DIFFAD_OK;
}

int diffad_file_count(const diffad_file *f) { return f->count; }

const diffad_file_tensor *diffad_file_at(const diffad_file *f, int i) { return i >= 0 && i < f->count ? &f->tensor[i] : NULL; }

const diffad_file_tensor *diffad_file_find(const diffad_file *f, const char *name)
{
    const diffad_file_tensor        wanted = { .name = name };
    const diffad_file_tensor *const key    = &wanted;
    if (f->count == 0)
        return NULL;
    diffad_file_tensor **found = bsearch(&key, f->by_name, (size_t)f->count, sizeof *f->by_name, by_name);
    return found ? *found : NULL;
}

const char *diffad_file_metadata(const diffad_file *f, const char *key)
{
    const diffad_file_text wanted = { .key = key };
    if (f->n_metadata == 0)
        return NULL;
    const diffad_file_text *found = bsearch(&wanted, f->metadata, (size_t)f->n_metadata, sizeof *f->metadata, by_key);
    return found ? found->value : NULL;
}

/* ---- kinds ---- */

/* The length that begins a safetensors file is at most 16 MiB, which no beginning of torch's two kinds is as a number. */
typedef enum file_kind { KIND_SAFETENSORS, KIND_TORCH_ZIP, KIND_TORCH_LEGACY } file_kind;

static file_kind kind_of(const unsigned char *head, size_t bytes)
{
    if (bytes >= 4 && memcmp(head, "PK\3\4", 4) == 0)
        return KIND_TORCH_ZIP;
    return diffad_torch_is_legacy(head, bytes) ? KIND_TORCH_LEGACY : KIND_SAFETENSORS;
}

diffad_status diffad_file_open_wanted(const char *path, diffad_file_wants wants, diffad_file **out)
{
    unsigned char  head[HEAD], *data;
    int64_t        bytes;
    DIFFAD_TRY(diffad_file_read_head(path, DIFFAD_ERR_CHECKPOINT, head, HEAD, &bytes));
    const file_kind kind = kind_of(head, (size_t)bytes);
    if (kind == KIND_TORCH_ZIP)
        return diffad_torch_open(path, wants, out);
    if (kind == KIND_SAFETENSORS)
        return diffad_safetensors_open(path, out);
    DIFFAD_TRY(diffad_file_read(path, MAX_FILE, DIFFAD_ERR_CHECKPOINT, &data, &bytes));
    return diffad_torch_legacy_take(path, data, bytes, wants, out);
}

diffad_status diffad_file_open(const char *path, diffad_file **out)
{
    diffad_file *f;
    DIFFAD_TRY(diffad_file_open_wanted(path, NULL, &f));
    const diffad_status st = diffad_file_hold(f);
    if (st == DIFFAD_OK)
        *out = f;
    else
        diffad_file_close(f);
    return st;
}

diffad_status diffad_file_parse(const char *origin, const void *data, size_t bytes, diffad_file **out)
{
    const file_kind kind = kind_of(data, bytes);
    if (kind == KIND_TORCH_ZIP)
        return diffad_torch_parse(origin, data, bytes, out);
    unsigned char *copy = diffad_alloc(bytes);
    if (!copy)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory for %zu bytes", origin, bytes);
    if (bytes)
        memcpy(copy, data, bytes);
    return kind == KIND_TORCH_LEGACY ? diffad_torch_legacy_take(origin, copy, (int64_t)bytes, NULL, out)
                                     : diffad_safetensors_take(origin, copy, bytes, out);
}
