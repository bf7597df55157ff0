/* launch.h: one step of a plan: a kernel with its constants and arguments, a copy, a fill, or a host call (CLBlast).
 *
 *     diffad_launch l = diffad_launch_make("silu", "silu_fwd", items, 64);
 *     diffad_launch_def(&l, "VEC", 4);               what changes the code is a constant
 *     diffad_launch_mem(&l, mem, offset, DIFFAD_READ);   a memory object: passes `__global T *p, ulong p_off`
 *     diffad_launch_count(&l, n);                    what only bounds a loop is an argument (ulong)
 *
 * Memory objects are numbers here: the plan decides later where they lie. A full list of arguments or constants is
 * remembered and reported when the launch is emitted. */
#ifndef DIFFAD_LAUNCH_H
#define DIFFAD_LAUNCH_H

#include "kernel/program.h"

enum { DIFFAD_LAUNCH_ARGS = 80, DIFFAD_LAUNCH_DEFS = 24 };

typedef enum diffad_access { DIFFAD_READ = 1, DIFFAD_WRITE = 2, DIFFAD_READ_WRITE = 3 } diffad_access;

typedef struct diffad_launch_arg {
    enum { DIFFAD_ARG_MEM, DIFFAD_ARG_I32, DIFFAD_ARG_I64, DIFFAD_ARG_F32 } kind;
    int32_t       mem;
    diffad_access access;
    int64_t       i;            /* offset in elements of a memory object, or an integer */
    float         f;
} diffad_launch_arg;

typedef struct diffad_launch diffad_launch;
/* Where a memory object lies once the plan is laid out. */
typedef struct diffad_place {
    cl_mem buffer;
    size_t offset;              /* bytes */
} diffad_place;
typedef diffad_status (*diffad_host_call)(diffad_device *dev, const diffad_launch *l, const diffad_place *place);

struct diffad_launch {
    enum { DIFFAD_LAUNCH_KERNEL, DIFFAD_LAUNCH_COPY, DIFFAD_LAUNCH_FILL, DIFFAD_LAUNCH_HOST } kind;
    const char       *program, *kernel;
    int64_t           items[3], group[3];
    struct { const char *name; int64_t value; } def[DIFFAD_LAUNCH_DEFS];
    int               n_defs;
    diffad_launch_arg arg[DIFFAD_LAUNCH_ARGS];
    int               n_args;
    int64_t           bytes;            /* of a copy or fill; bytes of local memory a kernel declares */
    diffad_host_call  host;
    bool              is_overfull;
};

/* One-dimensional: `items` work-items (rounded up to whole groups: kernels guard), groups of `group`. */
diffad_launch diffad_launch_make(const char *program, const char *kernel, int64_t items, int64_t group);
void diffad_launch_items(diffad_launch *l, int64_t x, int64_t y, int64_t z);
void diffad_launch_group(diffad_launch *l, int64_t x, int64_t y, int64_t z);
/* `name` must outlive the plan (a literal). Group sizes arrive as WG, WG1, WG2 by themselves. */
void diffad_launch_def(diffad_launch *l, const char *name, int64_t value);
void diffad_launch_mem(diffad_launch *l, int32_t mem, int64_t offset, diffad_access access);
void diffad_launch_int(diffad_launch *l, int64_t v);        /* int */
void diffad_launch_ints(diffad_launch *l, const int64_t *v, size_t bytes);      /* each of them; bytes: sizeof v */
void diffad_launch_count(diffad_launch *l, int64_t v);      /* ulong */
void diffad_launch_float(diffad_launch *l, double v);       /* float */
/* bytes of local memory the kernel declares: checked before the driver sees it (PoCL aborts) */
void diffad_launch_local(diffad_launch *l, int64_t bytes);
/* mem[to] = mem[from]; byte offsets. And zeros. */
diffad_launch diffad_launch_copy(int32_t from, int64_t from_byte, int32_t to, int64_t to_byte, int64_t bytes);
diffad_launch diffad_launch_zero(int32_t to, int64_t to_byte, int64_t bytes);
diffad_launch diffad_launch_call(const char *name, diffad_host_call host);

/* "-DNAME=VALUE ..." in the order of names, with the group's sizes and the device's SUB_GROUP: what the kernel's program is
 * built with. */
diffad_status diffad_launch_constants(const diffad_launch *l, const diffad_caps *caps, char *out, size_t bytes);

/* A launch with its kernel built and its arguments set. */
typedef struct diffad_frozen {
    diffad_launch    launch;
    diffad_program  *program;
    cl_kernel        kernel;
    size_t           global[3], local[3];
    cl_uint          dims;
} diffad_frozen;

/* Wishes for the programs of n launches. */
void diffad_launches_wish(diffad_device *dev, const diffad_launch *l, int64_t n, diffad_program_list *list);

/* place[i] is where memory object i lies. element[i] are the bytes of one of its elements. */
diffad_status diffad_freeze(diffad_device *dev, const diffad_launch *l, const diffad_place *place,
                            const uint8_t *element, diffad_frozen *out);
diffad_status diffad_frozen_enqueue(diffad_device *dev, const diffad_frozen *f, const diffad_place *place,
                                    cl_event *event);
void          diffad_frozen_release(diffad_device *dev, diffad_frozen *f);

#endif
