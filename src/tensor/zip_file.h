/* zip_file.h: the seam to libzip: archives of stored (not compressed) entries. Any bytes are safe to give: an entry that is
 * compressed, encrypted, larger than its archive, or does not have its checksum is refused. */
#ifndef DIFFAD_ZIP_FILE_H
#define DIFFAD_ZIP_FILE_H

#include "diffad/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct diffad_zip diffad_zip;

diffad_status diffad_zip_open(const char *path, diffad_zip **out);
/* Borrows `data`. */
diffad_status diffad_zip_parse(const char *origin, const void *data, size_t bytes, diffad_zip **out);
void          diffad_zip_close(diffad_zip *z);
int64_t       diffad_zip_bytes(const diffad_zip *z);                  /* of the archive */
int64_t       diffad_zip_count(const diffad_zip *z);
const char   *diffad_zip_name(const diffad_zip *z, int64_t i);        /* NULL: not readable */
int64_t       diffad_zip_find(const diffad_zip *z, const char *name); /* -1: absent */
diffad_status diffad_zip_size(const diffad_zip *z, int64_t i, int64_t *bytes);
/* All of entry i, whose size `bytes` is. */
diffad_status diffad_zip_read(const diffad_zip *z, int64_t i, unsigned char *to, int64_t bytes);

typedef struct diffad_zip_entry {
    const char *name;
    const void *data;
    int64_t     bytes;
} diffad_zip_entry;
/* Atomic; the data of each entry begin at a multiple of 64. */
diffad_status diffad_zip_save(const char *path, const diffad_zip_entry *entries, int count);

#endif
