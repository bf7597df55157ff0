/* safetensors.c: reading safetensors files: length of the header (8 bytes, little-endian), header (JSON), data.
 *
 * Any bytes are safe to give. Refused, each with a reason:
 * - fewer than 8 bytes; a header longer than 16 MiB or than the file; one that does not begin with "{";
 * - before anything is parsed: nesting deeper than 8, more values than 65,536 tensors can need;
 * - JSON or UTF-8 that is not valid, characters of number 0, duplicate names (jansson's checks);
 * - metadata that is not a text; more than 65,536 tensors;
 * - names that are empty or hold control characters, "/" or "\": a name must never serve as a path;
 * - unknown type, rank above 5, a side that is negative or not whole, product overflow (also one behind a side of 0);
 * - begin or end negative, begin > end, end past the data, bytes that do not fit shape and type;
 * - data that overlap, leave a hole, or go on behind the last tensor.
 * Unaligned data are legal: elements are read byte by byte. Other fields of a tensor are ignored. Files are read, not
 * mapped, so that a file that shrinks meanwhile cannot crash us: the header first, then each tensor's data when wanted. Memory
 * follows the true size of the file. */
#include "tensor/safetensors.h"
#include "base/file.h"
#include "base/size.h"
#include "base/sys.h"
#include "tensor/tensor_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, MAX_DEPTH = 8, MAX_VALUES = DIFFAD_FILE_MAX_TENSORS * 24 };

typedef struct parser {
    const char          *origin;
    diffad_file         *f;
    const unsigned char *data;            /* behind the header; NULL: on disk */
    int64_t              start, bytes;    /* of it */
} parser;

/* ---- shared with the writer ---- */

const char *diffad_file_dtype(diffad_dtype t)
{
    static const char *const names[] = { [DIFFAD_F32] = "F32", [DIFFAD_F16] = "F16", [DIFFAD_BF16] = "BF16", [DIFFAD_I32] = "I32",
                                         [DIFFAD_U8] = "U8",   [DIFFAD_F64] = "F64", [DIFFAD_I64] = "I64" };
    return (unsigned)t < sizeof names / sizeof names[0] ? names[t] : NULL;
}

bool diffad_file_name_ok(const char *name)
{
    if (!*name || strcmp(name, "__metadata__") == 0)
        return false;
    for (; *name; name++)
        if ((unsigned char)*name < 32 || *name == 127 || *name == '/' || *name == '\\')
            return false;
    return true;
}

bool diffad_file_tensor_bytes(diffad_dtype type, const diffad_shape *shape, int64_t *bytes)
{
    diffad_shape full = *shape;
    int64_t      unused;
    for (int i = 0; i < full.rank && i < DIFFAD_MAX_RANK; i++)
        full.side[i] = full.side[i] == 0 ? 1 : full.side[i];
    const int64_t most = diffad_shape_count(&full), each = (int64_t)diffad_dtype_bytes(type);
    return most >= 0 && diffad_mul_i64(most, each, &unused) && diffad_mul_i64(diffad_shape_count(shape), each, bytes);
}

/* ---- the header ---- */

static diffad_status fail_tensor(const parser *p, const char *name, const char *why)
{
    DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: tensor \"%.80s\": %s; the file is damaged or not a safetensors file", p->origin, name, why);
}

static diffad_status fail_memory(const parser *p) { return diffad_fail(DIFFAD_ERR_MEMORY, "%s: no host memory", p->origin); }

/* Counts first what the parser would take memory for: 16 MiB of "[]," must not become gigabytes of objects. */
static diffad_status check_header(const parser *p, const char *text, size_t n)
{
    int     depth = 0;
    int64_t values = 0;
    bool    in_string = false;
    if (n == 0 || text[0] != '{')
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: the header does not begin with \"{\"; this is not a safetensors file", p->origin);
    for (size_t i = 0; i < n; i++) {
        const char c = text[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            values++;
            if (++depth > MAX_DEPTH)
                DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: header nested deeper than %d at byte %zu", p->origin, MAX_DEPTH, i + LENGTH_BYTES);
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == ',' || c == ':') {
            values++;
        } else if (c == '-' && i + 2 < n && text[i + 1] == '0' && strchr(",]} \t\r\n", text[i + 2])) {
            DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: header, byte %zu: -0 is not a size", p->origin, i + LENGTH_BYTES);
        }
    }
    if (values > MAX_VALUES)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: header with %lld values, more than %d tensors need", p->origin, (long long)values,
                    DIFFAD_FILE_MAX_TENSORS);
    return DIFFAD_OK;
}

static diffad_status read_metadata(parser *p, json_t *from)
{
    diffad_file *f = p->f;
    const char  *key;
    json_t      *value;
    if (!json_is_object(from))
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: __metadata__ is not an object", p->origin);
    f->metadata = diffad_arena_alloc(&f->arena, json_object_size(from) * sizeof *f->metadata);
    if (!f->metadata)
        return fail_memory(p);
    json_object_foreach (from, key, value) {
        if (!json_is_string(value))
            DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: metadata \"%.80s\" is not a text", p->origin, key);
        diffad_file_text *t = &f->metadata[f->n_metadata];
        t->key   = diffad_arena_strdup(&f->arena, key);
        t->value = diffad_arena_strdup(&f->arena, json_string_value(value));
        if (!t->key || !t->value)
            return fail_memory(p);
        f->n_metadata++;
    }
    return DIFFAD_OK;
}

static diffad_status read_type(const parser *p, const char *name, const json_t *from, diffad_dtype *out)
{
    const char *text = json_string_value(from);
    if (!text)
        return fail_tensor(p, name, "no dtype");
    for (int i = 0; diffad_file_dtype((diffad_dtype)i); i++)
        if (strcmp(text, diffad_file_dtype((diffad_dtype)i)) == 0) {
            *out = (diffad_dtype)i;
            return DIFFAD_OK;
        }
    DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: tensor \"%.80s\": unknown dtype \"%.16s\"; known are F32, F16, BF16, I32, U8, F64, I64",
                p->origin, name, text);
}

static diffad_status read_shape(const parser *p, const char *name, const json_t *from, diffad_shape *out)
{
    *out = (diffad_shape){ 0 };
    if (!json_is_array(from))
        return fail_tensor(p, name, "no shape");
    if (json_array_size(from) > DIFFAD_MAX_RANK)
        return fail_tensor(p, name, "more than 5 sides");
    for (size_t i = 0; i < json_array_size(from); i++) {
        const json_t *side = json_array_get(from, i);
        if (!json_is_integer(side) || json_integer_value(side) < 0)
            return fail_tensor(p, name, "a side that is not a whole number of at least 0");
        out->side[out->rank++] = (int64_t)json_integer_value(side);
    }
    return DIFFAD_OK;
}

static diffad_status read_tensor(parser *p, const char *name, const json_t *from, diffad_file_tensor *t)
{
    int64_t       bytes;
    const json_t *offsets = json_object_get(from, "data_offsets");
    if (!diffad_file_name_ok(name))
        return fail_tensor(p, name, "a name that is empty or holds control characters or slashes");
    if (!json_is_object(from))
        return fail_tensor(p, name, "not an object");
    DIFFAD_TRY(read_type(p, name, json_object_get(from, "dtype"), &t->type));
    DIFFAD_TRY(read_shape(p, name, json_object_get(from, "shape"), &t->shape));
    if (json_array_size(offsets) != 2 || !json_is_integer(json_array_get(offsets, 0)) || !json_is_integer(json_array_get(offsets, 1)))
        return fail_tensor(p, name, "data_offsets that are not two whole numbers");
    const int64_t begin = (int64_t)json_integer_value(json_array_get(offsets, 0));
    const int64_t end   = (int64_t)json_integer_value(json_array_get(offsets, 1));
    if (begin < 0 || begin > end)
        return fail_tensor(p, name, "data_offsets that are negative or not in order");
    if (end > p->bytes)
        return fail_tensor(p, name, "its data go past the end of the file (is it complete?)");
    if (!diffad_file_tensor_bytes(t->type, &t->shape, &bytes))
        return fail_tensor(p, name, "a shape with more elements than can be counted");
    if (bytes != end - begin)
        return fail_tensor(p, name, "its bytes do not fit its shape and dtype");
    t->data  = p->data ? p->data + begin : NULL;
    t->file  = p->f;
    t->at    = p->start + begin;
    t->bytes = bytes;
    t->name  = diffad_arena_strdup(&p->f->arena, name);
    return t->name ? DIFFAD_OK : fail_memory(p);
}

static int by_data(const void *a, const void *b)
{
    const diffad_file_tensor *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The data of all tensors, in order, are the whole data. */
static diffad_status check_tiling(const parser *p)
{
    int64_t at = p->start;
    for (int i = 0; i < p->f->count; i++) {
        const diffad_file_tensor *t = &p->f->tensor[i];
        if (t->at != at)
            return fail_tensor(p, t->name, t->at < at ? "its data overlap another tensor's" : "a hole before its data");
        at += t->bytes;
    }
    if (at != p->start + p->bytes)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: %lld bytes behind the last tensor; the file is damaged", p->origin,
                    (long long)(p->start + p->bytes - at));
    return DIFFAD_OK;
}

static diffad_status read_tensors(parser *p, json_t *root)
{
    diffad_file *f = p->f;
    const char  *name;
    json_t      *value;
    const size_t n = json_object_size(root) - (json_object_get(root, "__metadata__") != NULL);
    if (n > DIFFAD_FILE_MAX_TENSORS)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: %zu tensors, more than %d", p->origin, n, DIFFAD_FILE_MAX_TENSORS);
    f->tensor = diffad_arena_alloc(&f->arena, n * sizeof *f->tensor);
    if (!f->tensor)
        return fail_memory(p);
    json_object_foreach (root, name, value) {
        if (strcmp(name, "__metadata__") == 0)
            DIFFAD_TRY(read_metadata(p, value));
        else
            DIFFAD_TRY(read_tensor(p, name, value, &f->tensor[f->count++]));
    }
    if (f->count)
        qsort(f->tensor, n, sizeof *f->tensor, by_data);
    DIFFAD_TRY(check_tiling(p));
    return diffad_file_index(f, p->origin);
}

/* The length in front of the header of a file of `bytes`; `begin` holds its first 8. */
static diffad_status header_length(const parser *p, const unsigned char *begin, int64_t bytes, size_t *length)
{
    uint64_t n = 0;
    if (bytes < LENGTH_BYTES)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: %lld bytes, too short for a safetensors file", p->origin, (long long)bytes);
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        n = n << 8 | begin[i];
    if (n > DIFFAD_FILE_MAX_HEADER)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: a header of %llu bytes, more than 16 MiB; this is not a safetensors file", p->origin,
                    (unsigned long long)n);
    if (n > (uint64_t)bytes - LENGTH_BYTES)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: the header of %llu bytes goes past the end of the file (is it complete?)", p->origin,
                    (unsigned long long)n);
    *length = (size_t)n;
    return DIFFAD_OK;
}

static diffad_status parse(parser *p, const char *text, size_t n, int64_t bytes)
{
    json_error_t why;
    p->start = LENGTH_BYTES + (int64_t)n;
    p->bytes = bytes - p->start;
    DIFFAD_TRY(check_header(p, text, n));
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (!root && json_error_code(&why) == json_error_out_of_memory)
        return fail_memory(p);
    if (!root)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: header, byte %d: %s", p->origin, why.position + LENGTH_BYTES, why.text);
    const diffad_status st = read_tensors(p, root);
    json_decref(root);
    return st;
}

static diffad_status give(diffad_status st, diffad_file *f, diffad_file **out)
{
    if (st == DIFFAD_OK)
        *out = f;
    else
        diffad_file_close(f);
    return st;
}

diffad_status diffad_safetensors_take(const char *origin, unsigned char *data, size_t bytes, diffad_file **out)
{
    diffad_file *f;
    size_t       n = 0;
    DIFFAD_TRY(diffad_file_new(origin, data, &f));
    parser        p  = { .origin = origin, .f = f };
    diffad_status st = header_length(&p, data, (int64_t)bytes, &n);
    if (st == DIFFAD_OK) {
        p.data = data + LENGTH_BYTES + n;
        st     = parse(&p, (const char *)data + LENGTH_BYTES, n, (int64_t)bytes);
    }
    return give(st, f, out);
}

static diffad_status open_parts(parser *p)
{
    unsigned char length[LENGTH_BYTES] = { 0 };
    int64_t       bytes;
    size_t        n = 0;
    DIFFAD_TRY(diffad_parts_open(p->origin, DIFFAD_ERR_CHECKPOINT, &p->f->fd, &bytes));
    DIFFAD_TRY(diffad_parts_read(p->f->fd, p->origin, DIFFAD_ERR_CHECKPOINT, 0, length, bytes < LENGTH_BYTES ? bytes : LENGTH_BYTES));
    DIFFAD_TRY(header_length(p, length, bytes, &n));
    char         *text = diffad_alloc(n + 1);
    diffad_status st   = text && (p->f->path = diffad_arena_strdup(&p->f->arena, p->origin)) ? DIFFAD_OK : fail_memory(p);
    if (st == DIFFAD_OK)
        st = diffad_parts_read(p->f->fd, p->origin, DIFFAD_ERR_CHECKPOINT, LENGTH_BYTES, text, (int64_t)n);
    if (st == DIFFAD_OK)
        st = parse(p, text, n, bytes);
    diffad_release(text);
    return st;
}

diffad_status diffad_safetensors_open(const char *path, diffad_file **out)
{
    diffad_file *f;
    DIFFAD_TRY(diffad_file_new(path, NULL, &f));
    return give(open_parts(&(parser){ .origin = path, .f = f }), f, out);
}
