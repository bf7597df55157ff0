/* folder.c: paths and folders; declared in file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

bool diffad_path_exists(const char *path) { return diffad_sys.stat(path, NULL, NULL) == 0; }

bool diffad_path_is_dir(const char *path)
{
    bool is_dir = false;
    return diffad_sys.stat(path, NULL, &is_dir) == 0 && is_dir;
}

const char *diffad_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *diffad_path_join(const char *dir, const char *name)
{
    const size_t n = strlen(dir), m = strlen(name);
    char        *path = diffad_alloc(n + m + 2);
    if (!path)
        return NULL;
    memcpy(path, dir, n);
    size_t at = n;
    if (n && dir[n - 1] != '/')
        path[at++] = '/';
    memcpy(path + at, name, m + 1);
    return path;
}

diffad_status diffad_make_dirs(const char *path)
{
    diffad_status st   = DIFFAD_OK;
    char         *part = diffad_strdup(path);
    if (!part)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "cannot make folder %s: no host memory", path);
    for (char *at = part; st == DIFFAD_OK && *at;) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        const char c = *at;
        *at = '\0';
        if (diffad_sys.mkdir(part, 0777) != 0) {
            const int why = errno;
            if (!diffad_path_is_dir(part))
                st = diffad_fail(DIFFAD_ERR_FILE, "cannot make folder %s: %s; %s", part, strerror(why),
                                 why == EEXIST ? "a file has that name, choose another" : "choose a folder that can be written");
        }
        *at = c;
    }
    diffad_release(part);
    return st;
}

diffad_status diffad_folder_lock(const char *path, diffad_lock *out)
{
    char     *name = diffad_path_join(path, ".lock");
    const int fd   = name ? diffad_sys.open(name, O_RDWR | O_CREAT, 0666) : -1;
    const int why  = errno;
    diffad_release(name);
    if (!name)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "cannot lock folder %s: no host memory", path);
    if (fd < 0)
        DIFFAD_FAIL(DIFFAD_ERR_FILE, "cannot lock folder %s: %s; choose a folder that can be written", path, strerror(why));
    int got;
    do
        got = diffad_sys.lock(fd);
    while (got != 0 && errno == EINTR);
    if (got != 0 && errno == EWOULDBLOCK) {
        diffad_sys.close(fd);
        DIFFAD_FAIL(DIFFAD_ERR_FILE, "another process works in %s: wait for its end or choose another folder", path);
    }
    if (got != 0)
        diffad_log(DIFFAD_LOG_WARNING, "%s: its file system has no locks (%s); let no second process work in it", path, strerror(errno));
    *out = (diffad_lock){ .fd = fd, .is_held = true };
    return DIFFAD_OK;
}

void diffad_folder_unlock(diffad_lock *l)
{
    if (l->is_held)
        diffad_sys.close(l->fd);
    *l = (diffad_lock){ .is_held = false };
}

typedef struct listing {
    diffad_names names;
    int64_t      capacity;
    bool         no_memory;
} listing;

static bool add_name(void *user, const char *name)
{
    listing *l = user;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return true;
    char *copy = diffad_strdup(name);
    if (!copy || !diffad_grow(&l->names.name, l->names.count, &l->capacity, sizeof *l->names.name)) {
        diffad_release(copy);
        l->no_memory = true;
        return false;
    }
    l->names.name[l->names.count++] = copy;
    return true;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

diffad_status diffad_dir_list(const char *path, diffad_status code, diffad_names *out)
{
    listing       l  = { 0 };
    diffad_status st = DIFFAD_OK;
    if (diffad_sys.list(path, add_name, &l) != 0)
        st = diffad_fail(code == DIFFAD_OK ? DIFFAD_ERR_FILE : code, "cannot read folder %s: %s; check the path", path,
                         strerror(errno));
    else if (l.no_memory)
        st = diffad_fail(DIFFAD_ERR_MEMORY, "folder %s: no host memory for its names", path);
    if (st != DIFFAD_OK) {
        diffad_names_release(&l.names);
        return st;
    }
    if (l.names.count)
        qsort(l.names.name, (size_t)l.names.count, sizeof *l.names.name, by_bytes);
    *out = l.names;
    return DIFFAD_OK;
}

void diffad_names_release(diffad_names *n)
{
    for (int64_t i = 0; i < n->count; i++)
        diffad_release(n->name[i]);
    diffad_release(n->name);
    *n = (diffad_names){ 0 };
}
