/* file.h: whole files in and out. Writes are atomic: a temporary name in the same folder, fsync, rename, fsync of the
 * folder; after a failure the old file is untouched and no temporary remains. */
#ifndef DIFFAD_FILE_H
#define DIFFAD_FILE_H

#include "base/fail.h"
#include "base/sys.h"

/* Reads a whole file into new memory (*bytes of it, and a 0 byte behind); caller releases with diffad_release.
 * Larger than max_bytes, a folder, or unreadable is an error with `code` (DIFFAD_ERR_DATA, ..._CHECKPOINT, ...);
 * a file that does not exist is DIFFAD_ERR_FILE unless `code` says more. */
diffad_status diffad_file_read(const char *path, int64_t max_bytes, diffad_status code, unsigned char **data, int64_t *bytes);
/* The first bytes, at most `room` of them. */
diffad_status diffad_file_read_head(const char *path, diffad_status code, unsigned char *head, int64_t room, int64_t *bytes);
diffad_status diffad_file_write(const char *path, const void *data, int64_t bytes);

/* A file read where wanted: *fd is closed by the caller. The file is not mapped: one that shrinks meanwhile is an error with
 * `code`, not a signal. One that is replaced meanwhile is read as it was. */
diffad_status diffad_parts_open(const char *path, diffad_status code, int *fd, int64_t *bytes);
diffad_status diffad_parts_read(int fd, const char *path, diffad_status code, int64_t at, void *to, int64_t bytes);

/* An atomic write in pieces: begin, append..., then commit or abandon (abandon after commit does nothing). */
typedef struct diffad_writer {
    char   *path, *temporary;
    int     fd;
    char   *buffer;
    int64_t used;
    diffad_status status;     /* sticky */
} diffad_writer;
diffad_status diffad_writer_begin(diffad_writer *w, const char *path);
diffad_status diffad_writer_append(diffad_writer *w, const void *data, int64_t bytes);
diffad_status diffad_writer_printf(diffad_writer *w, const char *format, ...) DIFFAD_PRINTF(2, 3);
diffad_status diffad_writer_seek(diffad_writer *w, int64_t offset);      /* what is appended next goes there */
diffad_status diffad_writer_commit(diffad_writer *w);
void          diffad_writer_abandon(diffad_writer *w);

/* The whole file under a second name: a hard link, else a copy. Files are replaced here, never changed, so neither name sees
 * what becomes of the other. `code`: as diffad_file_read, for `from`. */
diffad_status diffad_file_share(const char *from, const char *to, diffad_status code);

/* At the end of a growing log, in one write; made if needed. */
diffad_status diffad_file_append(const char *path, const void *data, int64_t bytes);

bool          diffad_path_exists(const char *path);
bool          diffad_path_is_dir(const char *path);
diffad_status diffad_make_dirs(const char *path);                                   /* like mkdir -p */
/* "dir/name" in new memory; NULL when memory is out. */
char         *diffad_path_join(const char *dir, const char *name);
const char   *diffad_path_base(const char *path);

/* A folder for one process at a time: the file `.lock` in it, which stays there, is locked until diffad_folder_unlock or the
 * end of the process, however it ends. FILE where another holds it. On a file system without locks: a warning, and OK. Zeros:
 * holds nothing. */
typedef struct diffad_lock { int fd; bool is_held; } diffad_lock;
diffad_status diffad_folder_lock(const char *path, diffad_lock *out);
void          diffad_folder_unlock(diffad_lock *l);

/* The names in a folder, sorted bytewise, without "." and ".."; release with diffad_names_release. */
typedef struct diffad_names { char **name; int64_t count; } diffad_names;
diffad_status diffad_dir_list(const char *path, diffad_status code, diffad_names *out);
void          diffad_names_release(diffad_names *n);

#endif
