/* sys.h: the one seam to the operating system: memory, files, clock, environment.
 *
 * Every call of the library goes through the table `diffad_sys`; tests replace entries to inject faults, count and
 * trace. Functions return what POSIX returns and set errno. Replace entries only while no other thread runs. */
#ifndef DIFFAD_SYS_H
#define DIFFAD_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct diffad_sys_table {
    void       *(*alloc)(size_t bytes);                       /* zeroed; NULL when there is none */
    void       *(*resize)(void *p, size_t bytes);
    void        (*release)(void *p);
    int         (*open)(const char *path, int flags, int mode);
    int         (*close)(int fd);
    long        (*read)(int fd, void *to, size_t bytes);
    long        (*write)(int fd, const void *from, size_t bytes);
    int64_t     (*seek)(int fd, int64_t offset, int whence);
    int         (*fsync)(int fd);
    int         (*truncate)(int fd, int64_t bytes);
    /* For this open file alone, until it is closed or the process ends. Does not wait: EWOULDBLOCK where another has it. */
    int         (*lock)(int fd);
    int         (*rename)(const char *from, const char *to);
    int         (*link)(const char *from, const char *to);    /* a second name */
    int         (*unlink)(const char *path);
    int         (*mkdir)(const char *path, int mode);
    int         (*stat)(const char *path, int64_t *bytes, bool *is_dir);
    /* Gives each name in a folder to `each` until that is false; 0 also then. */
    int         (*list)(const char *path, bool (*each)(void *user, const char *name), void *user);
    uint64_t    (*monotonic_ns)(void);
    void        (*nap)(uint64_t ns);                          /* at least that long, unless a signal comes */
    int64_t     (*wall_seconds)(void);
    const char *(*getenv)(const char *name);
    /* Runs job(user, text, bytes) in a child process that sees a copy of this one and prints nowhere, for at most limit_ms.
     * `text` is shared: what the child wrote last is there even when it crashed. 0: the job returned; the number of the
     * signal that ended the child; -1: the limit passed and the child was ended; -2: there was no child. */
    int         (*apart)(void (*job)(void *user, char *text, size_t bytes), void *user, int limit_ms, char *text, size_t bytes);
    /* Asks that this process may use Intel's AMX, tiles of bf16; false where processor or system has no such thing. */
    bool        (*amx)(void);
} diffad_sys_table;

extern diffad_sys_table diffad_sys;
bool diffad_sys_amx(void);      /* sys_amx.c, for the table */

/* Zeroed memory; sizes are checked for overflow. NULL records nothing: callers say what it was for. */
void *diffad_alloc(size_t bytes);
void *diffad_alloc_array(size_t count, size_t bytes_each);
void *diffad_resize_array(void *p, size_t count, size_t bytes_each);
void  diffad_release(void *p);
char *diffad_strdup(const char *s);

/* Grows `*items` (elements of `each` bytes) so that one more fits; false when memory is out. */
bool diffad_grow(void *items_pointer, int64_t count, int64_t *capacity, size_t each);

#endif
