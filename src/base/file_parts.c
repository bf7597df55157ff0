/* file_parts.c: files that stay open and are read where wanted; declared in file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

diffad_status diffad_parts_open(const char *path, diffad_status code, int *fd, int64_t *bytes)
{
    bool is_dir = false;
    if (diffad_sys.stat(path, bytes, &is_dir) != 0)
        DIFFAD_FAIL(code, "cannot read %s: %s; check the path", path, strerror(errno));
    if (is_dir)
        DIFFAD_FAIL(code, "cannot read %s: it is a folder; name a file", path);
    *fd = diffad_sys.open(path, O_RDONLY, 0);
    if (*fd < 0)
        DIFFAD_FAIL(code, "cannot read %s: %s; check its permissions", path, strerror(errno));
    return DIFFAD_OK;
}

diffad_status diffad_parts_read(int fd, const char *path, diffad_status code, int64_t at, void *to, int64_t bytes)
{
    unsigned char *place = to;
    if (diffad_sys.seek(fd, at, SEEK_SET) != at)
        DIFFAD_FAIL(code, "cannot read %s from byte %lld on: %s", path, (long long)at, strerror(errno));
    while (bytes > 0) {
        const int64_t piece = bytes < ((int64_t)1 << 30) ? bytes : (int64_t)1 << 30;
        const long    got   = diffad_sys.read(fd, place, (size_t)piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            DIFFAD_FAIL(code, "cannot read %s: %s", path, strerror(errno));
        if (got == 0)
            DIFFAD_FAIL(code, "%s: became shorter while it was read; copy it again", path);
        place += got;
        bytes -= got;
    }
    return DIFFAD_OK;
}
