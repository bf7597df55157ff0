/* stub_cl.h: an OpenCL without a driver behind the table `diffad_cl`: buffers in host memory, copies and fills are
 * done, kernels are recorded instead of run. It counts its objects, checks what it is given, and fails on demand.
 *
 *     stub_install();
 *     stub_fail(STUB_CreateBuffer, 3, false, CL_OUT_OF_HOST_MEMORY);      the third buffer from now; true: and all
 * after it
 *     ...
 *     cr_expect_eq(stub_live(), 0);
 *     cr_expect_eq(stub_misuses(), 0); */
#ifndef DIFFAD_TEST_STUB_CL_H
#define DIFFAD_TEST_STUB_CL_H

#include "device/cl.h"

#include <stdbool.h>
#include <stdint.h>

#define STUB_ENTRY(name) STUB_##name,
typedef enum stub_call { DIFFAD_CL_FUNCTIONS(STUB_ENTRY) STUB_CALLS, STUB_ANY = STUB_CALLS } stub_call;
#undef STUB_ENTRY

typedef struct stub_device {
    const char    *platform, *name, *vendor, *extensions;
    cl_device_type type;
    bool           is_unified;          /* memory shared with the host */
    uint64_t       global_mem, max_alloc, local_mem;
    uint64_t       max_group, max_group_side[3], max_parameter_bytes;
    uint32_t       base_align_bits;
    uint64_t       kernel_group;        /* what a kernel allows; 0: as the device */
} stub_device;

/* A CPU of PoCL; with stub_devices others. Devices of one platform stand together. count 0: no platform (-1001). */
stub_device stub_device_default(void);
void        stub_install(void);
void        stub_devices(const stub_device *list, int count);
void        stub_reset(void);           /* forgets counts, launches, faults; not objects that live */

const char *stub_call_name(stub_call call);
void        stub_fail(stub_call call, int n, bool lasting, cl_int code);
bool        stub_met(void);             /* whether the fault was met */
const char *stub_met_name(void);        /* the call that met it first */
void        stub_fail_never(void);
void        stub_build_fails(const char *log);          /* NULL: builds succeed again */
void        stub_hang(bool yes);        /* whether markers never complete */
void        stub_before(void (*hook)(stub_call call));  /* before each call: may crash, hang, count */

int64_t stub_live(void);                /* objects of all kinds */
int64_t stub_live_events(void);
int     stub_misuses(void);             /* calls with dead objects, ranges out of bounds, groups that do not divide */
const char *stub_misuse(void);          /* the last of them */
int64_t stub_count(stub_call call);     /* calls since stub_reset; STUB_ANY: all */

typedef struct stub_launch {
    char    kernel[64];
    cl_uint dims;
    size_t  global[3], local[3];
} stub_launch;
int                stub_launches(void);
const stub_launch *stub_launch_at(int i);
int                stub_launches_of(const char *kernel);
const char        *stub_last_options(void);             /* of the last build */

#endif
