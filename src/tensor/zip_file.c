/* zip_file.c: archives through libzip, whose bytes come from and go to the library's own files. */
#include "tensor/zip_file.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <zip.h>

/* Where the archive's bytes are: memory, or a file that is read or written. */
typedef struct store {
    const unsigned char *memory;
    int                  fd;              /* -1: memory, or being written */
    int64_t              bytes, at;
    diffad_writer       *writer;          /* NULL: reading */
    int                  failed;          /* errno of what failed */
} store;

struct diffad_zip {
    const char *origin;
    char       *kept;                     /* owns origin */
    store       from;
    zip_t      *zip;
};

/* ---- libzip's view of a store ---- */

static zip_int64_t read_some(store *s, void *to, zip_uint64_t bytes)
{
    const int64_t rest = s->bytes - s->at;
    int64_t       n    = bytes < (zip_uint64_t)rest ? (int64_t)bytes : rest;
    if (n > (int64_t)1 << 30)
        n = (int64_t)1 << 30;
    if (n <= 0)
        return 0;
    if (s->memory) {
        memcpy(to, s->memory + s->at, (size_t)n);
    } else {
        long got;
        do
            got = diffad_sys.read(s->fd, to, (size_t)n);
        while (got < 0 && errno == EINTR);
        if (got < 0) {
            s->failed = errno;
            return -1;
        }
        n = got;
    }
    s->at += n;
    return n;
}

static zip_int64_t seek_to(store *s, void *data, zip_uint64_t length)
{
    zip_error_t       e;
    const int64_t     at = zip_source_seek_compute_offset((zip_uint64_t)s->at, (zip_uint64_t)s->bytes, data, length, &e);
    if (at < 0)
        return -1;
    if (s->writer ? diffad_writer_seek(s->writer, at) != DIFFAD_OK : !s->memory && diffad_sys.seek(s->fd, at, SEEK_SET) != at) {
        s->failed = errno;
        return -1;
    }
    s->at = at;
    return 0;
}

static zip_int64_t write_some(store *s, const void *data, zip_uint64_t bytes)
{
    if (diffad_writer_append(s->writer, data, (int64_t)bytes) != DIFFAD_OK)
        return -1;
    s->at += (int64_t)bytes;
    s->bytes = s->at > s->bytes ? s->at : s->bytes;
    return (zip_int64_t)bytes;
}

static zip_int64_t give_error(const store *s, void *data, zip_uint64_t length)
{
    zip_error_t e;
    zip_error_init(&e);
    zip_error_set(&e, s->writer && s->failed != ENOENT ? ZIP_ER_WRITE : ZIP_ER_READ, s->failed);
    const zip_int64_t n = zip_error_to_data(&e, data, length);
    zip_error_fini(&e);
    return n;
}

static zip_int64_t answer(void *state, void *data, zip_uint64_t length, zip_source_cmd_t command)
{
    store *s = state;
    switch (command) {
    case ZIP_SOURCE_SUPPORTS:
        return s->writer ? ZIP_SOURCE_SUPPORTS_WRITABLE : ZIP_SOURCE_SUPPORTS_SEEKABLE;
    case ZIP_SOURCE_STAT: {
        zip_stat_t *stat = data;
        zip_stat_init(stat);
        stat->valid = s->writer ? 0 : ZIP_STAT_SIZE;
        stat->size  = (zip_uint64_t)s->bytes;
        if (s->writer) {
            s->failed = ENOENT;      /* a new archive */
            return -1;
        }
        return sizeof *stat;
    }
    case ZIP_SOURCE_ERROR:
        return give_error(s, data, length);
    case ZIP_SOURCE_READ:
        return read_some(s, data, length);
    case ZIP_SOURCE_SEEK:
    case ZIP_SOURCE_SEEK_WRITE:
        return seek_to(s, data, length);
    case ZIP_SOURCE_TELL:
    case ZIP_SOURCE_TELL_WRITE:
        return s->at;
    case ZIP_SOURCE_WRITE:
        return write_some(s, data, length);
    case ZIP_SOURCE_OPEN:
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE:
    case ZIP_SOURCE_BEGIN_WRITE:
    case ZIP_SOURCE_COMMIT_WRITE:
    case ZIP_SOURCE_ROLLBACK_WRITE:
    case ZIP_SOURCE_REMOVE:
        return 0;
    default:
        s->failed = EINVAL;
        return -1;
    }
}

/* ---- reading ---- */

static diffad_status open_archive(diffad_zip *z)
{
    zip_error_t   e;
    zip_error_init(&e);
    diffad_status st  = DIFFAD_OK;
    zip_source_t *src = zip_source_function_create(answer, &z->from, &e);
    z->zip = src ? zip_open_from_source(src, ZIP_RDONLY, &e) : NULL;
    if (!z->zip) {
        const bool is_memory = zip_error_code_zip(&e) == ZIP_ER_MEMORY;
        st = diffad_fail(is_memory ? DIFFAD_ERR_MEMORY : DIFFAD_ERR_CHECKPOINT, "%s: cannot be read as a zip archive of torch.save: %s%s", z->origin,
                         zip_error_strerror(&e), is_memory ? "" : " (is the file complete?)");
        if (src)
            zip_source_free(src);
    }
    zip_error_fini(&e);
    return st;
}

static diffad_status create(const char *origin, store from, diffad_zip **out)
{
    diffad_zip *z = diffad_alloc(sizeof *z);
    if (!z || !(z->kept = diffad_strdup(origin))) {
        if (from.fd >= 0)
            diffad_sys.close(from.fd);
        diffad_release(z);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", origin);
    }
    z->origin = z->kept;
    z->from   = from;
    const diffad_status st = open_archive(z);
    if (st != DIFFAD_OK)
        diffad_zip_close(z);
    else
        *out = z;
    return st;
}

diffad_status diffad_zip_open(const char *path, diffad_zip **out)
{
    store from   = { .fd = -1 };
    bool  is_dir = false;
    if (diffad_sys.stat(path, &from.bytes, &is_dir) != 0 || is_dir || (from.fd = diffad_sys.open(path, O_RDONLY, 0)) < 0)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "cannot read %s: %s; check the path and its permissions", path, is_dir ? "it is a folder" : strerror(errno));
    return create(path, from, out);
}

diffad_status diffad_zip_parse(const char *origin, const void *data, size_t bytes, diffad_zip **out)
{
    return create(origin, (store){ .memory = data, .fd = -1, .bytes = (int64_t)bytes }, out);
}

void diffad_zip_close(diffad_zip *z)
{
    if (!z)
        return;
    if (z->zip)
        zip_discard(z->zip);
    if (z->from.fd >= 0)
        diffad_sys.close(z->from.fd);
    diffad_release(z->kept);
    diffad_release(z);
}

int64_t     diffad_zip_bytes(const diffad_zip *z) { return z->from.bytes; }
int64_t     diffad_zip_count(const diffad_zip *z) { return zip_get_num_entries(z->zip, 0); }
const char *diffad_zip_name(const diffad_zip *z, int64_t i) { return zip_get_name(z->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW); }
int64_t     diffad_zip_find(const diffad_zip *z, const char *name) { return zip_name_locate(z->zip, name, ZIP_FL_ENC_RAW); }

diffad_status diffad_zip_size(const diffad_zip *z, int64_t i, int64_t *bytes)
{
    zip_stat_t s;
    const zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat_index(z->zip, (zip_uint64_t)i, 0, &s) != 0 || (s.valid & needed) != needed)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: entry %lld of the archive cannot be read: %s; the file is damaged", z->origin, (long long)i,
                    zip_strerror(z->zip));
    const char *name = s.valid & ZIP_STAT_NAME ? s.name : "";
    if (s.comp_method != ZIP_CM_STORE || s.encryption_method != ZIP_EM_NONE)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: \"%.80s\" is %s, which torch.save never does; unpack the archive and zip it again with -0", z->origin,
                    name, s.comp_method != ZIP_CM_STORE ? "compressed" : "encrypted");
    if (s.size != s.comp_size || s.size > (zip_uint64_t)z->from.bytes)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: \"%.80s\" says that it has %llu bytes in a file of %lld; the file is damaged or hostile", z->origin, name,
                    (unsigned long long)s.size, (long long)z->from.bytes);
    *bytes = (int64_t)s.size;
    return DIFFAD_OK;
}

diffad_status diffad_zip_read(const diffad_zip *z, int64_t i, unsigned char *to, int64_t bytes)
{
    unsigned char beyond;
    int64_t       used = 0, n = 1;
    zip_file_t   *f = zip_fopen_index(z->zip, (zip_uint64_t)i, 0);
    if (!f)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: entry %lld of the archive cannot be read: %s; the file is damaged", z->origin, (long long)i,
                    zip_strerror(z->zip));
    while (used < bytes && n > 0)
        used += (n = zip_fread(f, to + used, (zip_uint64_t)(bytes - used))) > 0 ? n : 0;
    if (used == bytes)
        n = zip_fread(f, &beyond, 1);      /* the end, where the checksum is compared */
    char why[160];
    snprintf(why, sizeof why, "%s", n < 0 ? zip_file_strerror(f) : "it ends too early");
    zip_fclose(f);
    if (used != bytes || n != 0)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: \"%.80s\": %s; the file is damaged, copy it again", z->origin, diffad_zip_name(z, i), why);
    return DIFFAD_OK;
}

/* ---- writing ---- */

enum { ALIGN = 64, LOCAL_HEADER = 30, FIELD_HEADER = 4, FIELD_ID = 0x4246 };      /* "FB": padding, as torch does it */

/* Adds an entry, with a field of padding in front of its data, which would begin at `at`. */
static int add_entry(zip_t *zip, const diffad_zip_entry *e, int64_t *at)
{
    static const zip_uint8_t zeros[ALIGN] = { 0 };
    const int64_t data    = *at + LOCAL_HEADER + (int64_t)strlen(e->name) + FIELD_HEADER;
    const int64_t padding = (ALIGN - data % ALIGN) % ALIGN;
    zip_source_t *src     = zip_source_buffer(zip, e->bytes ? e->data : zeros, (zip_uint64_t)e->bytes, 0);
    if (!src)
        return -1;
    const zip_int64_t i = zip_file_add(zip, e->name, src, ZIP_FL_ENC_UTF_8);
    if (i < 0) {
        zip_source_free(src);
        return -1;
    }
    *at = data + padding + e->bytes;
    return zip_set_file_compression(zip, (zip_uint64_t)i, ZIP_CM_STORE, 0) != 0 || zip_file_set_dostime(zip, (zip_uint64_t)i, 0, 0x21, 0) != 0 ||
                   zip_file_extra_field_set(zip, (zip_uint64_t)i, FIELD_ID, ZIP_EXTRA_FIELD_NEW, zeros, (zip_uint16_t)padding, ZIP_FL_LOCAL) != 0
               ? -1
               : 0;
}

static diffad_status write_archive(const char *path, store *to, const diffad_zip_entry *entries, int count)
{
    zip_error_t   e;
    int64_t       at = 0;
    zip_error_init(&e);
    zip_source_t *src = zip_source_function_create(answer, to, &e);
    zip_t        *zip = src ? zip_open_from_source(src, ZIP_CREATE | ZIP_TRUNCATE, &e) : NULL;
    diffad_status st  = DIFFAD_OK;
    bool          ok  = zip != NULL;
    for (int i = 0; ok && i < count; i++)
        ok = add_entry(zip, &entries[i], &at) == 0;
    if (ok && zip_close(zip) == 0) {
        zip = NULL;
    } else {
        const bool is_ours = to->writer->status != DIFFAD_OK;      /* its reason is recorded */
        st = is_ours ? to->writer->status
                     : diffad_fail(DIFFAD_ERR_FILE, "cannot write %s: %s", path, zip ? zip_strerror(zip) : zip_error_strerror(&e));
    }
    if (zip)
        zip_discard(zip);
    else if (st != DIFFAD_OK && src)
        zip_source_free(src);
    zip_error_fini(&e);
    return st;
}

diffad_status diffad_zip_save(const char *path, const diffad_zip_entry *entries, int count)
{
    diffad_writer w;
    DIFFAD_TRY(diffad_writer_begin(&w, path));
    store         to = { .fd = -1, .writer = &w };
    diffad_status st = write_archive(path, &to, entries, count);
    if (st == DIFFAD_OK)
        st = diffad_writer_commit(&w);
    diffad_writer_abandon(&w);
    return st;
}
