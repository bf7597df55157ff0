/* device.h (internal): what the layers above need of a device. Nothing here is thread-safe. */
#ifndef DIFFAD_DEVICE_INTERNAL_H
#define DIFFAD_DEVICE_INTERNAL_H

#include "base/fail.h"
#include "device/cl.h"
#include "diffad/device.h"

struct diffad_program_cache;
struct diffad_tuned;
struct diffad_plan;
struct diffad_node;

/* Work space that plans share: they run one after another on the device's queue. */
typedef struct diffad_scratch { cl_mem buffer; size_t bytes; int64_t users; } diffad_scratch;

struct diffad_device {
    diffad_caps       caps;
    cl_platform_id    platform;
    cl_device_id      id;
    cl_context        context;
    cl_command_queue  queue;
    size_t            bytes, peak_bytes;
    int64_t           live;
    diffad_scratch   *scratch;
    int64_t           n_scratch, cap_scratch;
    bool              is_broken;       /* a fatal error was seen: no further calls reach the driver */
    bool              has_profiling;
    double            wait_seconds;    /* the longest wait for its work; 0: no limit */
    struct diffad_program_cache *programs;     /* owned by layer kernel, released through release_programs */
    void            (*release_programs)(diffad_device *dev);
    struct diffad_tuned *tuned;                /* likewise, through release_tuned */
    void            (*release_tuned)(diffad_device *dev);
    /* Hears of each node whose way a plan chooses by itself (graph/ways.c); NULL: nobody. */
    void            (*on_choice)(void *user, const struct diffad_plan *p, const struct diffad_node *n);
    void             *on_choice_user;
};

/* Turns an OpenCL code into a status with detail "what: CL_X (hint)"; marks the device broken where it must be. */
diffad_status diffad_device_check(diffad_device *dev, cl_int code, const char *what);

/* OK, or DEVICE where a fatal error was seen: no further call may reach the driver. */
diffad_status diffad_device_usable(const diffad_device *dev);

/* wait.c: the limit of waits, from DIFFAD_WAIT_SECONDS or the kind of device. */
diffad_status diffad_wait_limit(diffad_device *dev);
/* Before a call that waits in the driver: where waits have a limit, what is queued is waited for first. Fails as
 * diffad_device_usable. */
diffad_status diffad_device_settle(diffad_device *dev);

/* Buffers: sizes are checked against the device's limits before the driver is asked. */
diffad_status diffad_buffer_create(diffad_device *dev, size_t bytes, cl_mem *out);
void          diffad_buffer_release(diffad_device *dev, cl_mem buffer, size_t bytes);
diffad_status diffad_buffer_zero(diffad_device *dev, cl_mem buffer, size_t offset, size_t bytes);

/* A buffer of at least `bytes` whose contents last for one run of the plan that takes it: the smallest that any plan has
 * and that is not among the n `mine`, else a new one. It goes when its last user gives it back. */
diffad_status diffad_scratch_take(diffad_device *dev, size_t bytes, const cl_mem *mine, int64_t n, cl_mem *out);
void          diffad_scratch_give(diffad_device *dev, cl_mem buffer);

/* Reads DIFFAD_CAPS over *caps; unknown names are errors. */
diffad_status diffad_caps_mask(const char *text, diffad_caps *caps);
/* Rows of known faults of platforms: changes caps; returns the reason of the last row that fits, or NULL. */
const char   *diffad_quirks_apply(diffad_caps *caps);
/* Platforms that are used without a probe. */
bool          diffad_quirks_is_trusted(const diffad_caps *caps);

/* platform.c. Nothing changes on failure. */
diffad_status diffad_platform_scan(diffad_caps **list, cl_platform_id **platforms, cl_device_id **ids, int *count);
/* Whether this process called OpenCL already. */
bool          diffad_platform_was_used(void);

/* device.c: opens without a probe. */
diffad_status diffad_device_open_unprobed(const char *which, diffad_device **out);
/* probe.c: tries a device of an unknown platform in a child process; OK, or DEVICE with the reason why it is refused.
 * Does nothing once OpenCL was used in this process, or with other threads about: a driver does not survive a fork. */
diffad_status diffad_probe(const char *which);

#endif
