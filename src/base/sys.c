/* sys.c: the operating system's side of the seam. */
#include "base/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *os_alloc(size_t bytes) { return calloc(1, bytes ? bytes : 1); }
static int   os_open(const char *path, int flags, int mode) { return open(path, flags | O_CLOEXEC, mode); }
static long  os_read(int fd, void *to, size_t bytes) { return (long)read(fd, to, bytes); }
static long  os_write(int fd, const void *from, size_t bytes) { return (long)write(fd, from, bytes); }
static int64_t os_seek(int fd, int64_t offset, int whence) { return (int64_t)lseek(fd, (off_t)offset, whence); }
static int   os_truncate(int fd, int64_t bytes) { return ftruncate(fd, (off_t)bytes); }
static int   os_lock(int fd) { return flock(fd, LOCK_EX | LOCK_NB); }
static int   os_mkdir(const char *path, int mode) { return mkdir(path, (mode_t)mode); }
static const char *os_getenv(const char *name) { return getenv(name); }

static int os_stat(const char *path, int64_t *bytes, bool *is_dir)
{
    struct stat s;
    if (stat(path, &s) != 0)
        return -1;
    if (bytes)
        *bytes = (int64_t)s.st_size;
    if (is_dir)
        *is_dir = S_ISDIR(s.st_mode);
    return 0;
}

static int os_list(const char *path, bool (*each)(void *user, const char *name), void *user)
{
    const struct dirent *entry;
    DIR                 *d = opendir(path);
    if (!d)
        return -1;
    for (errno = 0; (entry = readdir(d)) != NULL; errno = 0)
        if (!each(user, entry->d_name)) {
            errno = 0;
            break;
        }
    const int why = errno;
    closedir(d);
    errno = why;
    return why ? -1 : 0;
}

static uint64_t os_monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void os_nap(uint64_t ns)
{
    const struct timespec t = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };
    nanosleep(&t, NULL);
}

static int64_t os_wall_seconds(void) { return (int64_t)time(NULL); }

/* ---- a child process ---- */

typedef struct shared_page { volatile bool is_done; char text[1000]; } shared_page;

/* A crash must look like a crash, print nothing and leave no core file; nothing of the parent runs at the end. */
static void run_job(void (*job)(void *user, char *text, size_t bytes), void *user, shared_page *page)
{
    static const int     signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTERM, SIGINT };
    const struct rlimit  none = { 0, 0 };
    const int            null = open("/dev/null", O_WRONLY);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        signal(signals[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &none);
    if (null >= 0) {
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
    job(user, page->text, sizeof page->text);
    page->is_done = true;
    _exit(0);
}

/* Where children are not waited for (SIGCHLD ignored) the page alone tells how it went. */
static int wait_for(pid_t child, const shared_page *page, int limit_ms)
{
    const struct timespec nap = { 0, 2000000 };
    int status = 0;
    for (int passed = 0;; passed += 2) {
        const pid_t got = waitpid(child, &status, WNOHANG);
        if (got == child)
            return WIFSIGNALED(status) ? WTERMSIG(status) : page->is_done ? 0 : SIGABRT;
        if (got < 0 && errno == ECHILD)
            return page->is_done ? 0 : SIGABRT;
        if (passed >= limit_ms)
            break;
        nanosleep(&nap, NULL);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return -1;
}

static int os_apart(void (*job)(void *user, char *text, size_t bytes), void *user, int limit_ms, char *text, size_t bytes)
{
    shared_page *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return -2;
    const pid_t child = fork();
    if (child == 0)
        run_job(job, user, page);
    const int how = child < 0 ? -2 : wait_for(child, page, limit_ms);
    page->text[sizeof page->text - 1] = '\0';
    snprintf(text, bytes, "%s", page->text);
    munmap(page, sizeof *page);
    return how;
}

diffad_sys_table diffad_sys = {
    .alloc = os_alloc, .resize = realloc, .release = free,
    .open = os_open, .close = close, .read = os_read, .write = os_write, .seek = os_seek,
    .fsync = fsync, .truncate = os_truncate, .lock = os_lock, .rename = rename, .link = link, .unlink = unlink, .mkdir = os_mkdir,
    .stat = os_stat, .list = os_list, .monotonic_ns = os_monotonic_ns, .nap = os_nap, .wall_seconds = os_wall_seconds, .getenv = os_getenv,
    .apart = os_apart, .amx = diffad_sys_amx,
};

void *diffad_alloc(size_t bytes) { return diffad_sys.alloc(bytes); }

void *diffad_alloc_array(size_t count, size_t bytes_each)
{
    if (bytes_each && count > SIZE_MAX / bytes_each) {
        errno = ENOMEM;
        return NULL;
    }
    return diffad_sys.alloc(count * bytes_each);
}

void *diffad_resize_array(void *p, size_t count, size_t bytes_each)
{
    if (bytes_each && count > SIZE_MAX / bytes_each) {
        errno = ENOMEM;
        return NULL;
    }
    return diffad_sys.resize(p, count * bytes_each);
}

void diffad_release(void *p) { diffad_sys.release(p); }

char *diffad_strdup(const char *s)
{
    const size_t n = strlen(s) + 1;
    char        *copy = diffad_alloc(n);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}

bool diffad_grow(void *items_pointer, int64_t count, int64_t *capacity, size_t each)
{
    if (count < *capacity)
        return true;
    void         *items;
    const int64_t more = *capacity < 8 ? 16 : *capacity * 2;
    memcpy(&items, items_pointer, sizeof items);
    items = diffad_resize_array(items, (size_t)more, each);
    if (!items)
        return false;
    memcpy(items_pointer, &items, sizeof items);
    *capacity = more;
    return true;
}
