/* device.h: find an OpenCL device, open it, wait for it.
 *
 *     diffad_device *dev;
 *     DIFFAD_TRY(diffad_device_open(NULL, &dev));         NULL: DIFFAD_DEVICE, else the best device
 *     ...
 *     diffad_device_close(dev);                           after everything that was made on it
 *
 * A device is used by one thread at a time. Its queue is in order. */
#ifndef DIFFAD_DEVICE_H
#define DIFFAD_DEVICE_H

#include "diffad/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum diffad_device_kind { DIFFAD_DEVICE_CPU, DIFFAD_DEVICE_INTEGRATED, DIFFAD_DEVICE_GPU, DIFFAD_DEVICE_OTHER } diffad_device_kind;

/* Of the products in convolutions: float32, or operands rounded to 11 bits (tf32, f16) or 8 bits (bf16) on matrix units, with
 * sums in float32. Tensors, weights and every other op stay float32. */
typedef enum diffad_precision { DIFFAD_PRECISION_F32, DIFFAD_PRECISION_TF32, DIFFAD_PRECISION_BF16, DIFFAD_PRECISION_F16 } diffad_precision;

/* Units for products of small matrices, as kernels reach them (cl/common/matrix.cl): NVIDIA's mma.sync by compute capability,
 * AMD's MFMA (CDNA) and WMMA (RDNA 3), Intel's matrix_mad by size of its sub-groups, and AMX of Intel's processors. */
typedef enum diffad_matrix {
    DIFFAD_MATRIX_NONE, DIFFAD_MATRIX_NVIDIA_80, DIFFAD_MATRIX_NVIDIA_75, DIFFAD_MATRIX_NVIDIA_70, DIFFAD_MATRIX_AMD_MFMA,
    DIFFAD_MATRIX_AMD_WMMA, DIFFAD_MATRIX_INTEL_16, DIFFAD_MATRIX_INTEL_8, DIFFAD_MATRIX_INTEL_AMX, DIFFAD_MATRICES
} diffad_matrix;

/* What a device can do: as it says of itself, as probed, or as masked by DIFFAD_CAPS
 * ("local_mem=16384,max_wg=64,max_alloc=134217728,block=1,fp16=0,..."). */
typedef struct diffad_caps {
    diffad_device_kind kind;
    char     id[16];              /* "P:D" */
    char     name[128], vendor[128], platform[128], driver[128], version[64];
    uint32_t vendor_id;
    uint32_t compute_units;
    uint32_t plan_units;          /* units that sums are split for: fixed on a CPU, so that its threads do not change the bits */
    uint64_t global_mem, max_alloc, local_mem;      /* bytes */
    uint64_t max_group;           /* work-items in a work-group */
    uint64_t max_group_side[3];
    uint64_t max_parameter_bytes;
    uint32_t base_align;          /* bytes */
    uint32_t native_float;        /* lanes of the native float vector */
    uint32_t sub_group;           /* work-items of a sub-group that kernels with many values ask for: else their values may not fit; 0: none */
    uint32_t block;               /* channel block of activations: 16, 8, 4 or 1 (plain NCHW) */
    bool     has_fp16, has_fp64, has_subgroups;
    bool     caches_programs;     /* the driver keeps compiled programs on disk by itself: ours are not kept beside them */
    bool     local_mem_is_cheap;  /* on a CPU local memory is ordinary memory */
    diffad_matrix    matrix;
    bool     matrix_is_plain;     /* the unit's layout is computed without the unit, for tests: DIFFAD_CAPS "matrix=1" and on */
    diffad_precision precision;   /* asked for with diffad_device_set_precision; F32 at first */
} diffad_caps;

typedef struct diffad_device diffad_device;

/* All devices of all platforms, in the order of their ids. *list is released with diffad_device_list_release.
 * No platform at all is DIFFAD_OK with *count 0. */
DIFFAD_API diffad_status diffad_device_list(diffad_caps **list, int *count);
DIFFAD_API void          diffad_device_list_release(diffad_caps *list);

/* `which`: "P:D", "gpu", "cpu", a vendor, or part of a name; NULL or "" is DIFFAD_DEVICE, else discrete GPU, integrated
 * GPU, CPU. Errors: NO_DEVICE (none), USAGE (ambiguous or unknown: lists the candidates), DEVICE. */
DIFFAD_API diffad_status diffad_device_open(const char *which, diffad_device **out);
DIFFAD_API void          diffad_device_close(diffad_device *dev);      /* NULL is fine */
DIFFAD_API const diffad_caps *diffad_device_caps(const diffad_device *dev);
DIFFAD_API const char   *diffad_device_kind_name(diffad_device_kind kind);      /* "cpu", "integrated gpu", "gpu", "other" */
DIFFAD_API diffad_status diffad_device_wait(diffad_device *dev);

/* Which products later plans may round. Errors: UNSUPPORTED where the device has no unit for it. A device's first use of a
 * precision should go through diffad_precision_allow (selftest.h), which compares before it sets. */
DIFFAD_API diffad_status diffad_device_set_precision(diffad_device *dev, diffad_precision precision);
DIFFAD_API const char   *diffad_precision_name(diffad_precision precision);      /* "f32", "tf32", "bf16", "f16" */
/* False: no precision of that name. */
DIFFAD_API bool          diffad_precision_named(const char *name, diffad_precision *out);
/* Whether a device's unit takes operands of a precision; F32: always. */
DIFFAD_API bool          diffad_precision_fits(const diffad_caps *caps, diffad_precision precision);

/* Bytes of device memory held now, and the most held at once. */
DIFFAD_API size_t diffad_device_bytes(const diffad_device *dev);
DIFFAD_API size_t diffad_device_peak_bytes(const diffad_device *dev);
/* OpenCL objects alive on this device (context and queue not counted): 0 before it is closed, or something leaks. */
DIFFAD_API int64_t diffad_device_live_objects(const diffad_device *dev);

#ifdef __cplusplus
}
#endif

#endif
