/* torch_file.c: the container of torch.save since 1.6: a zip archive of data.pkl and one entry a storage.
 *
 * Refused: archives that are damaged, compressed, encrypted, big-endian; storages whose size is not that of their type and
 * count, or that add up to more than the file (overlaps); and what pickle.c and torch_state.c refuse. */
#include "base/size.h"
#include "base/sys.h"
#include "tensor/safetensors.h"
#include "tensor/torch_source.h"
#include "tensor/zip_file.h"

#include <stdio.h>
#include <string.h>

enum { MAX_PICKLE = 32 << 20 };

typedef struct archive {
    diffad_zip           *zip;
    char                  prefix[TORCH_NAME_BYTES];      /* "NAME/" */
    const unsigned char **entry;                         /* data of each entry, once read */
    bool                 *is_counted;                    /* of each entry: in `read` */
    int64_t               read;                          /* bytes of storages so far */
} archive;

static diffad_status zip_storage(torch_source *s, const char *name, const pickle_storage *of, int64_t bytes, const unsigned char **out)
{
    archive *c = s->container;
    char     path[TORCH_NAME_BYTES + 96];
    int64_t  have;
    snprintf(path, sizeof path, "%sdata/%s", c->prefix, of->key);
    const int64_t i = diffad_zip_find(c->zip, path);
    if (i < 0)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: tensor \"%.80s\": its storage \"%.80s\" is not in the archive (is the file complete?)", s->origin, name, path);
    DIFFAD_TRY(diffad_zip_size(c->zip, i, &have));
    if (have != bytes)
        return torch_fail_tensor(s, name, "its storage does not have the bytes of its type and count; the file is damaged");
    if (!c->is_counted[i] && (!diffad_add_i64(c->read, have, &c->read) || c->read > s->bytes))
        return torch_fail_tensor(s, name, "the storages add up to more bytes than the file has; the file is damaged or hostile");
    c->is_counted[i] = true;
    s->entry         = i;
    if (s->is_on_disk) {
        *out = NULL;
        return DIFFAD_OK;
    }
    if (!c->entry[i]) {
        unsigned char *to = diffad_arena_alloc(&s->f->arena, (size_t)have + 1);
        if (!to)
            return torch_fail_memory(s);
        DIFFAD_TRY(diffad_zip_read(c->zip, i, to, have));
        c->entry[i] = to;
    }
    *out = c->entry[i];
    return DIFFAD_OK;
}

/* "NAME/" of the one entry "NAME/data.pkl". */
static diffad_status find_pickle(torch_source *s, int64_t *index)
{
    static const char file[] = "data.pkl";
    archive          *c = s->container;
    for (int64_t i = 0; i < diffad_zip_count(c->zip); i++) {
        const char  *name = diffad_zip_name(c->zip, i);
        const size_t n = name ? strlen(name) : 0, tail = sizeof file - 1;
        if (n < tail || strcmp(name + n - tail, file) != 0 || n - tail >= sizeof c->prefix || (n > tail && strchr(name, '/') != name + n - tail - 1))
            continue;
        memcpy(c->prefix, name, n - tail);
        *index = i;
        return DIFFAD_OK;
    }
    DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: a zip archive without data.pkl; it was not written by torch.save", s->origin);
}

static diffad_status check_byte_order(torch_source *s)
{
    archive      *c = s->container;
    char          path[TORCH_NAME_BYTES + 16];
    unsigned char order[8] = { 0 };
    int64_t       bytes;
    snprintf(path, sizeof path, "%sbyteorder", c->prefix);
    const int64_t i = diffad_zip_find(c->zip, path);
    if (i < 0)
        return DIFFAD_OK;      /* before 2.0 */
    DIFFAD_TRY(diffad_zip_size(c->zip, i, &bytes));
    if (bytes >= (int64_t)sizeof order)
        bytes = -1;
    else
        DIFFAD_TRY(diffad_zip_read(c->zip, i, order, bytes));
    if (bytes < 0 || strcmp((const char *)order, "little") != 0)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: written on a big-endian machine; save it again on a little-endian one", s->origin);
    return DIFFAD_OK;
}

static diffad_status read_zip(torch_source *s)
{
    archive      *c = s->container;
    pickle        p = { .origin = s->origin, .part = "data.pkl", .arena = &s->scratch };
    pickle_value *root;
    int64_t       index = 0;
    if (diffad_zip_count(c->zip) > 2 * DIFFAD_FILE_MAX_TENSORS)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: %lld entries, more than %d", s->origin, (long long)diffad_zip_count(c->zip), 2 * DIFFAD_FILE_MAX_TENSORS);
    DIFFAD_TRY(find_pickle(s, &index));
    DIFFAD_TRY(check_byte_order(s));
    DIFFAD_TRY(diffad_zip_size(c->zip, index, &p.bytes));
    if (p.bytes > MAX_PICKLE)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: a data.pkl of %lld bytes, more than 32 MiB; save the weights alone", s->origin, (long long)p.bytes);
    unsigned char *text = diffad_arena_alloc(&s->scratch, (size_t)p.bytes + 1);
    c->entry = diffad_arena_alloc(&s->scratch, (size_t)(diffad_zip_count(c->zip) + 1) * sizeof *c->entry);
    c->is_counted = diffad_arena_alloc(&s->scratch, (size_t)diffad_zip_count(c->zip) + 1);
    if (!text || !c->entry || !c->is_counted)
        return torch_fail_memory(s);
    DIFFAD_TRY(diffad_zip_read(c->zip, index, text, p.bytes));
    p.data = text;
    DIFFAD_TRY(diffad_pickle_read(&p, &root));
    return torch_read_state(s, root);
}

/* The file keeps the archive where data stay on disk. */
static diffad_status read_archive(const char *origin, diffad_zip *zip, bool is_on_disk, diffad_file_wants wants, diffad_file **out)
{
    archive       c  = { .zip = zip };
    torch_source  s  = { .origin = origin, .wants = wants, .bytes = diffad_zip_bytes(zip), .is_on_disk = is_on_disk, .storage = zip_storage,
                         .container = &c };
    diffad_status st = diffad_file_new(origin, NULL, &s.f);
    const bool    is_kept = st == DIFFAD_OK && is_on_disk;
    if (is_kept)
        s.f->archive = zip;
    if (st == DIFFAD_OK && (st = read_zip(&s)) == DIFFAD_OK)
        *out = s.f;
    else
        diffad_file_close(s.f);
    diffad_arena_release(&s.scratch);
    if (!is_kept)
        diffad_zip_close(zip);
    return st;
}

diffad_status diffad_torch_open(const char *path, diffad_file_wants wants, diffad_file **out)
{
    diffad_zip *zip;
    DIFFAD_TRY(diffad_zip_open(path, &zip));
    return read_archive(path, zip, true, wants, out);
}

diffad_status diffad_torch_parse(const char *origin, const void *data, size_t bytes, diffad_file **out)
{
    diffad_zip *zip;
    DIFFAD_TRY(diffad_zip_parse(origin, data, bytes, &zip));
    return read_archive(origin, zip, false, NULL, out);
}

/* ---- data on disk ---- */

/* Whole, since its checksum is over all of it. */
diffad_status diffad_torch_entry(diffad_file *f, int64_t entry, const unsigned char **out)
{
    int64_t bytes;
    for (int i = 0; i < 2; i++)
        if (f->kept[i].bytes && f->kept[i].entry == entry) {
            f->oldest = !i;
            *out      = f->kept[i].bytes;
            return DIFFAD_OK;
        }
    DIFFAD_TRY(diffad_zip_size(f->archive, entry, &bytes));
    const int k = f->oldest;
    diffad_release(f->kept[k].bytes);
    f->kept[k].bytes = NULL;
    unsigned char *to = diffad_alloc((size_t)bytes + 1);
    if (!to)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "checkpoint: no host memory for %lld bytes", (long long)bytes);
    const diffad_status st = diffad_zip_read(f->archive, entry, to, bytes);
    if (st != DIFFAD_OK) {
        diffad_release(to);
        return st;
    }
    f->kept[k].bytes = to;
    f->kept[k].entry = entry;
    f->oldest        = !k;
    *out             = to;
    return DIFFAD_OK;
}

diffad_status diffad_torch_hold(diffad_file *f, int64_t entry, const unsigned char **out)
{
    int64_t bytes;
    if (!f->held && !(f->held = diffad_arena_alloc(&f->arena, (size_t)(diffad_zip_count(f->archive) + 1) * sizeof *f->held)))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "checkpoint: no host memory");
    if (!f->held[entry]) {
        DIFFAD_TRY(diffad_zip_size(f->archive, entry, &bytes));
        unsigned char *to = diffad_arena_alloc(&f->arena, (size_t)bytes + 1);
        if (!to)
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "checkpoint: no host memory for %lld bytes", (long long)bytes);
        DIFFAD_TRY(diffad_zip_read(f->archive, entry, to, bytes));
        f->held[entry] = to;
    }
    *out = f->held[entry];
    return DIFFAD_OK;
}

diffad_status diffad_torch_piece(const diffad_file_tensor *t, int64_t from, void *to, int64_t bytes)
{
    const unsigned char *data;
    DIFFAD_TRY(diffad_torch_entry(t->file, t->entry, &data));
    memcpy(to, data + t->at + from, (size_t)bytes);
    return DIFFAD_OK;
}
