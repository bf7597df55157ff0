/* disk_cache.c: program binaries in files named by a digest of everything that made them.
 *
 * Format: magic, 64-bit checksum, 64-bit length, bytes. A driver may crash on a damaged binary (PoCL 3.1 aborts), so an
 * entry is believed only when length and checksum fit; a bad entry is removed. Entries appear by rename: concurrent
 * processes see whole files or none. */
#include "base/file.h"
#include "base/hash.h"
#include "kernel/program.h"

#include <stdio.h>
#include <string.h>

static const char MAGIC[8] = { 'D', 'F', 'A', 'D', 'K', 'R', 'N', '1' };
enum { HEADER_BYTES = 24, MAX_ENTRY = 256 << 20 };

char *diffad_cache_folder(void)
{
    const char *set = diffad_sys.getenv("DIFFAD_CACHE_DIR");
    if (set)
        return *set ? diffad_strdup(set) : NULL;
    const char *xdg = diffad_sys.getenv("XDG_CACHE_HOME");
    if (xdg && *xdg)
        return diffad_path_join(xdg, "diffad");
    const char *home = diffad_sys.getenv("HOME");
    return home && *home ? diffad_path_join(home, ".cache/diffad") : NULL;
}

static char *entry_path(const char *key)
{
    char  name[64];
    char *folder = diffad_cache_folder(), *path = NULL;
    snprintf(name, sizeof name, "%s.bin", key);
    if (folder)
        path = diffad_path_join(folder, name);
    diffad_release(folder);
    return path;
}

unsigned char *diffad_cache_read(const char *key, size_t *bytes)
{
    char          *path = entry_path(key);
    unsigned char *data = NULL, *payload = NULL;
    int64_t        size = 0;
    if (!path)
        return NULL;
    if (diffad_path_exists(path) && diffad_file_read(path, MAX_ENTRY, DIFFAD_ERR_FILE, &data, &size) == DIFFAD_OK) {
        uint64_t sum = 0, length = 0;
        if (size >= HEADER_BYTES) {
            memcpy(&sum, data + 8, 8);
            memcpy(&length, data + 16, 8);
        }
        if (size > HEADER_BYTES && memcmp(data, MAGIC, 8) == 0 && length == (uint64_t)(size - HEADER_BYTES) &&
            diffad_hash64(data + HEADER_BYTES, (size_t)length) == sum && (payload = diffad_alloc((size_t)length))) {
            memcpy(payload, data + HEADER_BYTES, (size_t)length);
            *bytes = (size_t)length;
        } else {
            diffad_sys.unlink(path);
        }
        diffad_release(data);
    }
    diffad_release(path);
    return payload;
}

void diffad_cache_write(const char *key, const void *data, size_t bytes)
{
    char          *path = entry_path(key), *folder = diffad_cache_folder();
    unsigned char *entry = path && bytes < MAX_ENTRY - HEADER_BYTES ? diffad_alloc(bytes + HEADER_BYTES) : NULL;
    if (entry && folder && diffad_make_dirs(folder) == DIFFAD_OK) {
        const uint64_t sum = diffad_hash64(data, bytes), length = bytes;
        memcpy(entry, MAGIC, 8);
        memcpy(entry + 8, &sum, 8);
        memcpy(entry + 16, &length, 8);
        memcpy(entry + HEADER_BYTES, data, bytes);
        if (diffad_file_write(path, entry, (int64_t)(bytes + HEADER_BYTES)) != DIFFAD_OK)
            diffad_log(DIFFAD_LOG_DEBUG, "kernel cache: %s", diffad_error_detail());
    }
    diffad_release(entry);
    diffad_release(folder);
    diffad_release(path);
}

diffad_status diffad_cache_scan(bool clear, int64_t *entries, int64_t *bytes)
{
    char        *folder = diffad_cache_folder();
    diffad_names names = { 0 };
    *entries = *bytes = 0;
    if (!folder || !diffad_path_is_dir(folder)) {
        diffad_release(folder);
        return DIFFAD_OK;
    }
    diffad_status st = diffad_dir_list(folder, DIFFAD_ERR_FILE, &names);
    for (int64_t i = 0; st == DIFFAD_OK && i < names.count; i++) {
        const size_t n = strlen(names.name[i]);
        int64_t      size = 0;
        if (n < 4 || strcmp(names.name[i] + n - 4, ".bin") != 0)
            continue;
        char *path = diffad_path_join(folder, names.name[i]);
        if (path && diffad_sys.stat(path, &size, NULL) == 0) {
            (*entries)++;
            *bytes += size;
            if (clear && diffad_sys.unlink(path) != 0)
                st = diffad_fail(DIFFAD_ERR_FILE, "cannot remove %s: check its permissions", path);
        }
        diffad_release(path);
    }
    diffad_names_release(&names);
    diffad_release(folder);
    return st;
}
