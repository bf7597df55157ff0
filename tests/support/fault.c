/* fault.c: makes the nth call of a kind through diffad_sys fail, and counts memory and files that stay. */
#include "support/fault.h"
#include "base/sys.h"

#include <errno.h>

static diffad_sys_table os;
static fault_kind       armed_kind;
static int              countdown;        /* 0: not armed */
static bool             is_lasting, is_met, was_armed;
static int64_t          live_blocks, open_files;
static long             slow_bytes;
static unsigned         slow_turn;

static const int codes[FAULT_KINDS] = { ENOMEM, EMFILE, EIO, EIO, ENOSPC, EIO, EACCES, EACCES, EROFS, EACCES };

const char *fault_name(fault_kind kind)
{
    static const char *const names[FAULT_KINDS] = { "alloc", "open", "close", "read", "write", "fsync", "rename", "stat", "mkdir", "list" };
    return names[kind];
}

static bool fails(fault_kind kind)
{
    if (kind != armed_kind || countdown == 0)
        return false;
    if (countdown > 1) {
        countdown--;
        return false;
    }
    if (!is_lasting)
        countdown = 0;
    is_met = true;
    errno  = codes[kind];
    return true;
}

static bool is_interrupted(void)
{
    if (slow_bytes == 0 || slow_turn++ % 2)
        return false;
    errno = EINTR;
    return true;
}

static void *counted_alloc(size_t bytes)
{
    void *p = fails(FAULT_ALLOC) ? NULL : os.alloc(bytes);
    live_blocks += p != NULL;
    return p;
}

static void *counted_resize(void *p, size_t bytes)
{
    void *q = fails(FAULT_ALLOC) ? NULL : os.resize(p, bytes);
    live_blocks += !p && q;
    return q;
}

static void counted_release(void *p)
{
    live_blocks -= p != NULL;
    os.release(p);
}

static int counted_open(const char *path, int flags, int mode)
{
    const int fd = fails(FAULT_OPEN) ? -1 : os.open(path, flags, mode);
    open_files += fd >= 0;
    return fd;
}

static int counted_close(int fd)
{
    open_files--;
    const int rc = os.close(fd);
    return fails(FAULT_CLOSE) ? -1 : rc;
}

static size_t at_most(size_t bytes) { return slow_bytes && bytes > (size_t)slow_bytes ? (size_t)slow_bytes : bytes; }

static long failing_read(int fd, void *to, size_t bytes)
{
    return is_interrupted() || fails(FAULT_READ) ? -1 : os.read(fd, to, at_most(bytes));
}

static long failing_write(int fd, const void *from, size_t bytes)
{
    return is_interrupted() || fails(FAULT_WRITE) ? -1 : os.write(fd, from, at_most(bytes));
}

static int failing_fsync(int fd) { return fails(FAULT_FSYNC) ? -1 : os.fsync(fd); }
static int failing_rename(const char *from, const char *to) { return fails(FAULT_RENAME) ? -1 : os.rename(from, to); }
static int failing_mkdir(const char *path, int mode) { return fails(FAULT_MKDIR) ? -1 : os.mkdir(path, mode); }

static int failing_stat(const char *path, int64_t *bytes, bool *is_dir)
{
    return fails(FAULT_STAT) ? -1 : os.stat(path, bytes, is_dir);
}

static int failing_list(const char *path, bool (*each)(void *user, const char *name), void *user)
{
    return fails(FAULT_LIST) ? -1 : os.list(path, each, user);
}

void fault_install(void)
{
    os = diffad_sys;
    diffad_sys.alloc   = counted_alloc;
    diffad_sys.resize  = counted_resize;
    diffad_sys.release = counted_release;
    diffad_sys.open    = counted_open;
    diffad_sys.close   = counted_close;
    diffad_sys.read    = failing_read;
    diffad_sys.write   = failing_write;
    diffad_sys.fsync   = failing_fsync;
    diffad_sys.rename  = failing_rename;
    diffad_sys.stat    = failing_stat;
    diffad_sys.mkdir   = failing_mkdir;
    diffad_sys.list    = failing_list;
}

bool fault_arm(fault_kind kind, int n, bool lasting)
{
    if (n > 1 && was_armed && !is_met)
        return false;
    armed_kind = kind;
    countdown  = n;
    is_lasting = lasting;
    is_met     = false;
    was_armed  = true;
    return true;
}

void    fault_disarm(void) { countdown = 0; }
bool    fault_met(void) { return is_met; }
int64_t fault_live_blocks(void) { return live_blocks; }
int64_t fault_open_files(void) { return open_files; }

void fault_slow(long bytes)
{
    slow_bytes = bytes;
    slow_turn  = 0;
}
