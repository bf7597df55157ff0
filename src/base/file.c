/* file.c: whole files in and out, atomically; folders and paths. */
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 65536, NAME_TRIES = 16, TAIL = 32 };

/* ---- reading ---- */

static const char *advice(int why)
{
    switch (why) {
    case ENOENT: return "; check the path";
    case EACCES:
    case EPERM: return "; check its permissions and those of its folder";
    case ENOSPC:
    case EDQUOT: return "; free some space or choose another folder";
    case EROFS: return "; choose a folder that can be written";
    case EMFILE:
    case ENFILE: return "; close files or raise the limit (ulimit -n)";
    case ENAMETOOLONG: return "; choose a shorter name";
    default: return "";
    }
}

static diffad_status fail_errno(diffad_status code, const char *what, const char *path)
{
    const int why = errno;
    return diffad_fail(code, "cannot %s %s: %s%s", what, path, strerror(why), advice(why));
}

/* Reads to the end into *data, which has room for *capacity bytes; never more than max_bytes. */
static diffad_status read_all(int fd, const char *path, int64_t max_bytes, diffad_status code, unsigned char **data,
                              int64_t *capacity, int64_t *used)
{
    for (;;) {
        if (*used == *capacity) {
            const int64_t  more  = *capacity + *capacity / 2 + PIECE;
            unsigned char *grown = diffad_resize_array(*data, (size_t)more, 1);
            if (!grown)
                DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory for %lld bytes", path, (long long)more);
            *data     = grown;
            *capacity = more;
        }
        const int64_t room = *capacity - *used < ((int64_t)1 << 30) ? *capacity - *used : (int64_t)1 << 30;
        const long    got  = diffad_sys.read(fd, *data + *used, (size_t)room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(code, "read", path);
        if (got == 0)
            return DIFFAD_OK;
        *used += got;
        if (*used > max_bytes)
            DIFFAD_FAIL(code, "%s: larger than the limit of %lld bytes", path, (long long)max_bytes);
    }
}

diffad_status diffad_file_read(const char *path, int64_t max_bytes, diffad_status code, unsigned char **data, int64_t *bytes)
{
    diffad_status  st       = DIFFAD_OK;
    unsigned char *got      = NULL;
    int64_t        size     = 0, used = 0;
    bool           is_dir   = false;
    const diffad_status why = code == DIFFAD_OK ? DIFFAD_ERR_FILE : code;
    if (diffad_sys.stat(path, &size, &is_dir) != 0)
        return fail_errno(why, "read", path);
    if (is_dir)
        DIFFAD_FAIL(why, "cannot read %s: it is a folder; name a file", path);
    if (size > max_bytes)
        DIFFAD_FAIL(why, "%s: %lld bytes, more than the limit of %lld", path, (long long)size, (long long)max_bytes);
    const int fd = diffad_sys.open(path, O_RDONLY, 0);
    if (fd < 0)
        return fail_errno(why, "read", path);
    int64_t capacity = size + 1;          /* one more: the end shows without growing */
    got = diffad_alloc((size_t)capacity);
    if (!got)
        DIFFAD_SET_GOTO(done, DIFFAD_ERR_MEMORY, "%s: no host memory for %lld bytes", path, (long long)capacity);
    DIFFAD_GOTO(done, read_all(fd, path, max_bytes, why, &got, &capacity, &used));
    got[used] = 0;                        /* read_all ends only with room left */
    *data  = got;
    *bytes = used;
    got    = NULL;
done:
    diffad_sys.close(fd);
    diffad_release(got);
    return st;
}

diffad_status diffad_file_read_head(const char *path, diffad_status code, unsigned char *head, int64_t room, int64_t *bytes)
{
    int64_t size;
    bool    is_dir = false;
    *bytes = 0;
    if (diffad_sys.stat(path, &size, &is_dir) != 0)
        return fail_errno(code, "read", path);
    if (is_dir)
        DIFFAD_FAIL(code, "cannot read %s: it is a folder; name a file", path);
    const int fd = diffad_sys.open(path, O_RDONLY, 0);
    if (fd < 0)
        return fail_errno(code, "read", path);
    diffad_status st = DIFFAD_OK;
    for (long n = 1; st == DIFFAD_OK && n != 0 && *bytes < room;) {
        n = diffad_sys.read(fd, head + *bytes, (size_t)(room - *bytes));
        if (n < 0 && errno != EINTR)
            st = fail_errno(code, "read", path);
        *bytes += n > 0 ? n : 0;
    }
    diffad_sys.close(fd);
    return st;
}

/* ---- atomic writing ---- */

static void close_writer(diffad_writer *w, bool remove_it)
{
    if (w->fd >= 0)
        diffad_sys.close(w->fd);
    if (remove_it && w->temporary)
        diffad_sys.unlink(w->temporary);
    diffad_release(w->path);
    diffad_release(w->temporary);
    diffad_release(w->buffer);
    *w = (diffad_writer){ .fd = -1, .status = w->status };
}

static diffad_status fail_writer(diffad_writer *w, diffad_status st)
{
    w->status = st;
    close_writer(w, true);
    return st;
}

/* "FILE.0123456789abcdef.tmp" in FILE's folder: a name of its own for each writer, so that two processes never share one. */
static void name_temporary(diffad_writer *w, int attempt)
{
    const struct { uint64_t monotonic, wall, address, attempt; } unique = {
        diffad_sys.monotonic_ns(), (uint64_t)diffad_sys.wall_seconds(), (uint64_t)(uintptr_t)w->path, (uint64_t)attempt
    };
    snprintf(w->temporary, strlen(w->path) + TAIL, "%s.%016llx.tmp", w->path,
             (unsigned long long)diffad_hash64(&unique, sizeof unique));
}

/* Whether `name` is such a temporary of `base`, left behind by a process that was killed. */
static bool is_stray(const char *name, const char *base)
{
    const size_t n = strlen(base);
    return strncmp(name, base, n) == 0 && name[n] == '.' && strspn(name + n + 1, "0123456789abcdef") == 16
           && strcmp(name + n + 17, ".tmp") == 0;
}

diffad_status diffad_writer_begin(diffad_writer *w, const char *path)
{
    *w = (diffad_writer){ .fd = -1 };
    if (strncmp(path, "/dev/", 5) == 0 && strncmp(path, "/dev/shm/", 9) != 0)
        return fail_writer(w, diffad_fail(DIFFAD_ERR_FILE, "cannot write %s: a device would be replaced by a file; name a file", path));
    w->path      = diffad_strdup(path);
    w->temporary = diffad_alloc(strlen(path) + TAIL);
    w->buffer    = diffad_alloc(PIECE);
    if (!w->path || !w->temporary || !w->buffer) {
        diffad_release(w->temporary);
        w->temporary = NULL;              /* not a file's name yet: nothing to remove */
        return fail_writer(w, diffad_fail(DIFFAD_ERR_MEMORY, "cannot write %s: no host memory", path));
    }
    for (int i = 0; w->fd < 0 && i < NAME_TRIES; i++) {
        name_temporary(w, i);
        w->fd = diffad_sys.open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
        if (w->fd < 0 && errno != EEXIST && errno != EINTR)
            break;
    }
    if (w->fd < 0) {
        const diffad_status st = fail_errno(DIFFAD_ERR_FILE, "write", path);
        diffad_release(w->temporary);
        w->temporary = NULL;
        return fail_writer(w, st);
    }
    return DIFFAD_OK;
}

static diffad_status write_all(diffad_writer *w, const char *from, int64_t bytes)
{
    while (bytes > 0) {
        const int64_t piece = bytes < ((int64_t)1 << 30) ? bytes : (int64_t)1 << 30;
        const long    n     = diffad_sys.write(w->fd, from, (size_t)piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0)
            return fail_writer(w, fail_errno(DIFFAD_ERR_FILE, "write", w->path));
        from += n;
        bytes -= n;
    }
    return DIFFAD_OK;
}

static diffad_status flush(diffad_writer *w)
{
    const int64_t n = w->used;
    w->used = 0;
    return write_all(w, w->buffer, n);
}

/* A writer that failed, was committed or abandoned takes nothing more. */
static diffad_status check_open(const diffad_writer *w)
{
    if (w->status == DIFFAD_OK && !w->path)
        DIFFAD_FAIL(DIFFAD_ERR_INTERNAL, "file writer used after its end");
    return w->status;
}

diffad_status diffad_writer_append(diffad_writer *w, const void *data, int64_t bytes)
{
    DIFFAD_TRY(check_open(w));
    if (bytes > PIECE - w->used)
        DIFFAD_TRY(flush(w));
    if (bytes >= PIECE)
        return write_all(w, data, bytes);
    if (bytes > 0)
        memcpy(w->buffer + w->used, data, (size_t)bytes);
    w->used += bytes;
    return DIFFAD_OK;
}

diffad_status diffad_writer_seek(diffad_writer *w, int64_t offset)
{
    DIFFAD_TRY(check_open(w));
    DIFFAD_TRY(flush(w));
    if (diffad_sys.seek(w->fd, offset, SEEK_SET) != offset)
        return fail_writer(w, fail_errno(DIFFAD_ERR_FILE, "write", w->path));
    return DIFFAD_OK;
}

diffad_status diffad_writer_printf(diffad_writer *w, const char *format, ...)
{
    char    text[1024];
    va_list args, again;
    DIFFAD_TRY(check_open(w));
    va_start(args, format);
    va_copy(again, args);
    const int     n    = diffad_vformat(text, sizeof text, format, args);
    char         *more = n >= (int)sizeof text ? diffad_alloc((size_t)n + 1) : NULL;
    diffad_status st   = DIFFAD_OK;
    if (n < 0)
        st = fail_writer(w, diffad_fail(DIFFAD_ERR_INTERNAL, "%s: text cannot be formatted", w->path));
    else if (n >= (int)sizeof text && !more)
        st = fail_writer(w, diffad_fail(DIFFAD_ERR_MEMORY, "cannot write %s: no host memory", w->path));
    if (st == DIFFAD_OK && more)
        diffad_vformat(more, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    if (st == DIFFAD_OK)
        st = diffad_writer_append(w, more ? more : text, n);
    diffad_release(more);
    return st;
}

/* "dir" of "dir/name" in new memory: "." without a slash, "/" for "/name". */
static char *folder_of(const char *path)
{
    const char  *base = diffad_path_base(path);
    const size_t n    = (size_t)(base - path);
    if (n == 0)
        return diffad_strdup(".");
    char *dir = diffad_strdup(path);
    if (dir)
        dir[n > 1 ? n - 1 : 1] = '\0';
    return dir;
}

typedef struct sweep { const char *dir, *base; } sweep;

static bool sweep_one(void *user, const char *name)
{
    const sweep *s = user;
    char        *path;
    if (is_stray(name, s->base) && (path = diffad_path_join(s->dir, name)) != NULL) {
        diffad_sys.unlink(path);
        diffad_release(path);
    }
    return true;
}

/* After the rename the new file is whole and in place; whether the folder reaches the disk decides only which of two
 * whole files a power cut leaves. So what fails here is a remark, not a failure. */
static void settle_folder(const char *path, const char *dir)
{
    sweep     s  = { dir, diffad_path_base(path) };
    const int fd = diffad_sys.open(dir, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 || diffad_sys.fsync(fd) != 0)
        diffad_log(DIFFAD_LOG_WARNING, "%s: its folder is not synchronised (%s)", path, strerror(errno));
    if (fd >= 0)
        diffad_sys.close(fd);
    diffad_sys.list(dir, sweep_one, &s);
}

diffad_status diffad_writer_commit(diffad_writer *w)
{
    DIFFAD_TRY(check_open(w));
    DIFFAD_TRY(flush(w));
    char *dir = folder_of(w->path);
    if (!dir)
        return fail_writer(w, diffad_fail(DIFFAD_ERR_MEMORY, "cannot write %s: no host memory", w->path));
    bool      ok = diffad_sys.fsync(w->fd) == 0;
    const int fd = w->fd;
    if (ok) {
        w->fd = -1;
        ok    = diffad_sys.close(fd) == 0 && diffad_sys.rename(w->temporary, w->path) == 0;
    }
    if (!ok) {
        const diffad_status st = fail_errno(DIFFAD_ERR_FILE, "write", w->path);
        diffad_release(dir);
        return fail_writer(w, st);
    }
    settle_folder(w->path, dir);
    diffad_release(dir);
    close_writer(w, false);
    return DIFFAD_OK;
}

void diffad_writer_abandon(diffad_writer *w)
{
    if (w->path)
        close_writer(w, true);
}

diffad_status diffad_file_write(const char *path, const void *data, int64_t bytes)
{
    diffad_writer w;
    DIFFAD_TRY(diffad_writer_begin(&w, path));
    DIFFAD_TRY(diffad_writer_append(&w, data, bytes));
    return diffad_writer_commit(&w);
}

static diffad_status copy_all(int fd, const char *from, diffad_status code, diffad_writer *w)
{
    char *piece = diffad_alloc(PIECE);
    if (!piece)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory to copy it", from);
    diffad_status st = DIFFAD_OK;
    for (long n = 1; st == DIFFAD_OK && n != 0;) {
        n = diffad_sys.read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        st = n < 0 ? fail_errno(code, "read", from) : diffad_writer_append(w, piece, n);
    }
    diffad_release(piece);
    return st;
}

diffad_status diffad_file_share(const char *from, const char *to, diffad_status code)
{
    diffad_writer w;
    bool          is_dir = false;
    if (diffad_sys.stat(from, NULL, &is_dir) == 0 && !is_dir && !diffad_path_exists(to) && diffad_sys.link(from, to) == 0)
        return DIFFAD_OK;
    const int fd = diffad_sys.open(from, O_RDONLY, 0);
    if (fd < 0)
        return fail_errno(code, "read", from);
    diffad_status st = diffad_writer_begin(&w, to);
    if (st == DIFFAD_OK)
        st = copy_all(fd, from, code, &w);
    if (st == DIFFAD_OK)
        st = diffad_writer_commit(&w);
    else
        diffad_writer_abandon(&w);
    diffad_sys.close(fd);
    return st;
}

diffad_status diffad_file_append(const char *path, const void *data, int64_t bytes)
{
    const int fd = diffad_sys.open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd < 0)
        return fail_errno(DIFFAD_ERR_FILE, "write", path);
    const char *from = data;
    while (bytes > 0) {
        const long put = diffad_sys.write(fd, from, (size_t)bytes);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            const diffad_status st = fail_errno(DIFFAD_ERR_FILE, "write", path);
            diffad_sys.close(fd);
            return st;
        }
        from += put;
        bytes -= put;
    }
    if (diffad_sys.close(fd) != 0)
        return fail_errno(DIFFAD_ERR_FILE, "write", path);
    return DIFFAD_OK;
}
