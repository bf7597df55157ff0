/* safetensors_save.c: writing safetensors files that safetensors.c and every other reader accept. */
#include "base/file.h"
#include "base/size.h"
#include "base/text.h"
#include "tensor/safetensors.h"

#include <stdlib.h>
#include <string.h>

static diffad_status check_tensor(const char *path, const diffad_file_tensor *t)
{
    int64_t bytes;
    char    text[64];
    if (!t->name || !diffad_file_name_ok(t->name) || !diffad_is_utf8(t->name))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "cannot write %s: tensor name \"%.80s\" is empty, not UTF-8, or holds control characters or slashes",
                    path, t->name ? t->name : "");
    if (!diffad_file_dtype(t->type))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "cannot write %s: tensor \"%.80s\" has unknown type %d", path, t->name, (int)t->type);
    if (!diffad_file_tensor_bytes(t->type, &t->shape, &bytes) || bytes != t->bytes)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "cannot write %s: tensor \"%.80s\" %s %s does not have %lld bytes", path, t->name,
                    diffad_dtype_name(t->type), diffad_shape_text(&t->shape, text, sizeof text), (long long)t->bytes);
    return DIFFAD_OK;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Sorts `names`. */
static diffad_status check_distinct(const char *path, const char **names, int n)
{
    if (n)
        qsort(names, (size_t)n, sizeof *names, by_text);
    for (int i = 1; i < n; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "cannot write %s: the name \"%.80s\" is given twice", path, names[i]);
    return DIFFAD_OK;
}

static diffad_status check_all(const char *path, const diffad_file_tensor *t, int count, const diffad_file_text *metadata, int n_metadata)
{
    diffad_status st = DIFFAD_OK;
    if (count < 0 || n_metadata < 0 || count > DIFFAD_FILE_MAX_TENSORS || n_metadata > DIFFAD_FILE_MAX_TENSORS)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "cannot write %s: %d tensors and %d metadata, more than %d", path, count, n_metadata,
                    DIFFAD_FILE_MAX_TENSORS);
    for (int i = 0; i < count; i++)
        DIFFAD_TRY(check_tensor(path, &t[i]));
    for (int i = 0; i < n_metadata; i++)
        if (!diffad_is_utf8(metadata[i].key) || !diffad_is_utf8(metadata[i].value))
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "cannot write %s: metadata \"%.80s\" is not UTF-8", path, metadata[i].key);
    const char **names = diffad_alloc_array((size_t)(count > n_metadata ? count : n_metadata), sizeof *names);
    if (!names)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "cannot write %s: no host memory", path);
    for (int i = 0; i < count; i++)
        names[i] = t[i].name;
    DIFFAD_GOTO(done, check_distinct(path, names, count));
    for (int i = 0; i < n_metadata; i++)
        names[i] = metadata[i].key;
    DIFFAD_GOTO(done, check_distinct(path, names, n_metadata));
done:
    diffad_release(names);
    return st;
}

static void add_metadata(diffad_text *h, const diffad_file_text *metadata, int n)
{
    diffad_text_add(h, "\"__metadata__\":{");
    for (int i = 0; i < n; i++) {
        diffad_text_add(h, i ? "," : "");
        diffad_text_json(h, metadata[i].key);
        diffad_text_add(h, ":");
        diffad_text_json(h, metadata[i].value);
    }
    diffad_text_add(h, "}");
}

static void add_tensor(diffad_text *h, const diffad_file_tensor *t, int64_t begin, int64_t end)
{
    char shape[128];
    diffad_text_json(h, t->name);
    diffad_text_addf(h, ":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%lld,%lld]}", diffad_file_dtype(t->type),
                     diffad_shape_text(&t->shape, shape, sizeof shape), (long long)begin, (long long)end);
}

/* The header, filled up with blanks so that the data behind it begin at a multiple of 8. */
static diffad_status make_header(const char *path, const diffad_file_tensor *t, int count, const diffad_file_text *metadata,
                                 int n_metadata, diffad_text *h)
{
    int64_t begin = 0, end;
    diffad_text_add(h, "{");
    if (n_metadata)
        add_metadata(h, metadata, n_metadata);
    for (int i = 0; i < count; i++, begin = end) {
        if (!diffad_add_i64(begin, t[i].bytes, &end))
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "cannot write %s: more bytes than can be counted", path);
        diffad_text_add(h, i || n_metadata ? "," : "");
        add_tensor(h, &t[i], begin, end);
    }
    diffad_text_add(h, "}");
    while (!h->failed && h->length % 8)
        diffad_text_add(h, " ");
    if (h->failed)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "cannot write %s: no host memory for its header", path);
    if (h->length > DIFFAD_FILE_MAX_HEADER)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "cannot write %s: a header of %zu bytes, more than 16 MiB; shorten names or metadata", path,
                    h->length);
    return DIFFAD_OK;
}

diffad_status diffad_file_save(const char *path, const diffad_file_tensor *t, int count, const diffad_file_text *metadata, int n_metadata)
{
    diffad_text   h  = { 0 };
    diffad_writer w  = { 0 };
    diffad_status st = DIFFAD_OK;
    unsigned char length[8];
    DIFFAD_TRY(check_all(path, t, count, metadata, n_metadata));
    DIFFAD_GOTO(done, make_header(path, t, count, metadata, n_metadata, &h));
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)h.length >> (8 * i));
    DIFFAD_GOTO(done, diffad_writer_begin(&w, path));
    DIFFAD_GOTO(done, diffad_writer_append(&w, length, sizeof length));
    DIFFAD_GOTO(done, diffad_writer_append(&w, h.s, (int64_t)h.length));
    for (int i = 0; i < count; i++)
        DIFFAD_GOTO(done, diffad_writer_append(&w, t[i].data, t[i].bytes));
    DIFFAD_GOTO(done, diffad_writer_commit(&w));
done:
    diffad_writer_abandon(&w);
    diffad_text_release(&h);
    return st;
}
