/* platform.c: lists platforms and devices and reads what they say of themselves. */
#include "base/sys.h"
#include "device/device.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PLATFORMS = 32, MAX_DEVICES = 64 };

enum { PLATFORM_NOT_FOUND = -1001 };       /* CL_PLATFORM_NOT_FOUND_KHR: no driver, a normal answer */

/* Of the process, not of an object: after the first call a fork has a driver without its threads. */
static atomic_bool is_used;

bool diffad_platform_was_used(void) { return atomic_load(&is_used); }

static void device_text(cl_device_id d, cl_device_info what, char *out, size_t bytes)
{
    char   text[1024] = "";
    size_t n = 0;
    if (diffad_cl.GetDeviceInfo(d, what, sizeof text - 1, text, &n) != CL_SUCCESS)
        text[0] = '\0';
    size_t from = 0;
    while (isspace((unsigned char)text[from]))
        from++;
    snprintf(out, bytes, "%.*s", (int)bytes - 1, text + from);
}

static uint64_t device_number(cl_device_id d, cl_device_info what)
{
    unsigned char raw[8] = { 0 };
    size_t        n = 0;
    if (diffad_cl.GetDeviceInfo(d, what, sizeof raw, raw, &n) != CL_SUCCESS)
        return 0;
    if (n == 4) {
        uint32_t v;
        memcpy(&v, raw, sizeof v);
        return v;
    }
    uint64_t v;
    memcpy(&v, raw, sizeof v);
    return v;
}

static diffad_device_kind kind_of(cl_device_id d)
{
    const uint64_t type = device_number(d, CL_DEVICE_TYPE);
    if (type & CL_DEVICE_TYPE_GPU)
        return device_number(d, CL_DEVICE_HOST_UNIFIED_MEMORY) ? DIFFAD_DEVICE_INTEGRATED : DIFFAD_DEVICE_GPU;
    if (type & CL_DEVICE_TYPE_CPU)
        return DIFFAD_DEVICE_CPU;
    return DIFFAD_DEVICE_OTHER;
}

/* Blocks of 16 channels are one AVX-512 register, and work with two AVX registers; GPUs start with plain NCHW. */
static uint32_t block_of(const diffad_caps *c)
{
    return c->kind == DIFFAD_DEVICE_CPU ? 16 : 1;
}

static bool starts_with(const char *s, const char *start) { return strncmp(s, start, strlen(start)) == 0; }

/* cl_nv_device_attribute_query: the compute capability. */
static diffad_matrix nvidia_matrix(cl_device_id d)
{
    enum { COMPUTE_CAPABILITY_MAJOR_NV = 0x4000, COMPUTE_CAPABILITY_MINOR_NV = 0x4001 };
    const uint64_t capability = device_number(d, COMPUTE_CAPABILITY_MAJOR_NV) * 10 + device_number(d, COMPUTE_CAPABILITY_MINOR_NV);
    return capability >= 80   ? DIFFAD_MATRIX_NVIDIA_80
           : capability >= 75 ? DIFFAD_MATRIX_NVIDIA_75
           : capability >= 70 ? DIFFAD_MATRIX_NVIDIA_70
                              : DIFFAD_MATRIX_NONE;
}

/* AMD's own driver names a device by its instruction set: "gfx90a:sramecc+:xnack-". */
static diffad_matrix amd_matrix(const char *name)
{
    static const char *const cdna[] = { "gfx908", "gfx90a", "gfx94", "gfx950" };
    for (size_t i = 0; i < sizeof cdna / sizeof cdna[0]; i++)
        if (starts_with(name, cdna[i]))
            return DIFFAD_MATRIX_AMD_MFMA;
    return starts_with(name, "gfx11") ? DIFFAD_MATRIX_AMD_WMMA : DIFFAD_MATRIX_NONE;
}

/* cl_intel_required_subgroup_size; 0: not known. */
static size_t least_sub_group(cl_device_id d)
{
    enum { SUB_GROUP_SIZES_INTEL = 0x4108 };
    size_t sizes[16] = { 0 }, n = 0, least = 0;
    if (diffad_cl.GetDeviceInfo(d, SUB_GROUP_SIZES_INTEL, sizeof sizes, sizes, &n) != CL_SUCCESS)
        return 0;
    for (size_t i = 0; i < n / sizeof *sizes; i++)
        least = !least || sizes[i] < least ? sizes[i] : least;
    return least;
}

/* Where sub-groups begin at 16 items (Ponte Vecchio and later) the compiler likes 32, of half the registers each. */
static uint32_t sub_group_of(cl_device_id d, const diffad_caps *c, const char *extensions)
{
    return c->kind != DIFFAD_DEVICE_CPU && strstr(extensions, "cl_intel_required_subgroup_size") && least_sub_group(d) == 16 ? 16 : 0;
}

/* The smallest sub-group decides which functions cl_intel_subgroup_matrix_multiply_accumulate has. */
static diffad_matrix intel_matrix(cl_device_id d)
{
    const size_t least = least_sub_group(d);
    return least == 8 ? DIFFAD_MATRIX_INTEL_8 : least == 16 ? DIFFAD_MATRIX_INTEL_16 : DIFFAD_MATRIX_NONE;
}

static diffad_matrix matrix_of(cl_device_id d, const diffad_caps *c, const char *extensions)
{
    if (strstr(extensions, "cl_nv_device_attribute_query"))
        return nvidia_matrix(d);
    if (strstr(extensions, "cl_intel_subgroup_matrix_multiply_accumulate"))
        return intel_matrix(d);
    if (c->kind == DIFFAD_DEVICE_CPU && starts_with(c->platform, "Portable Computing Language"))
        return diffad_sys.amx() ? DIFFAD_MATRIX_INTEL_AMX : DIFFAD_MATRIX_NONE;      /* its compiler takes assembler as it stands */
    return starts_with(c->platform, "AMD Accelerated Parallel Processing") ? amd_matrix(c->name) : DIFFAD_MATRIX_NONE;
}

static void read_caps(cl_platform_id p, cl_device_id d, int pi, int di, diffad_caps *c)
{
    char extensions[8192] = "";
    memset(c, 0, sizeof *c);
    snprintf(c->id, sizeof c->id, "%d:%d", pi, di);
    size_t n;
    if (diffad_cl.GetPlatformInfo(p, CL_PLATFORM_NAME, sizeof c->platform - 1, c->platform, &n) != CL_SUCCESS)
        c->platform[0] = '\0';
    device_text(d, CL_DEVICE_NAME, c->name, sizeof c->name);
    device_text(d, CL_DEVICE_VENDOR, c->vendor, sizeof c->vendor);
    device_text(d, CL_DRIVER_VERSION, c->driver, sizeof c->driver);
    device_text(d, CL_DEVICE_VERSION, c->version, sizeof c->version);
    device_text(d, CL_DEVICE_EXTENSIONS, extensions, sizeof extensions);
    c->kind          = kind_of(d);
    c->vendor_id     = (uint32_t)device_number(d, CL_DEVICE_VENDOR_ID);
    c->compute_units = (uint32_t)device_number(d, CL_DEVICE_MAX_COMPUTE_UNITS);
    c->global_mem    = device_number(d, CL_DEVICE_GLOBAL_MEM_SIZE);
    c->max_alloc     = device_number(d, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    c->local_mem     = device_number(d, CL_DEVICE_LOCAL_MEM_SIZE);
    c->max_group     = device_number(d, CL_DEVICE_MAX_WORK_GROUP_SIZE);
    size_t sides[8] = { 0 };
    if (diffad_cl.GetDeviceInfo(d, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof sides, sides, &n) == CL_SUCCESS)
        for (int i = 0; i < 3; i++)
            c->max_group_side[i] = sides[i];
    c->max_parameter_bytes = device_number(d, CL_DEVICE_MAX_PARAMETER_SIZE);
    c->base_align = (uint32_t)device_number(d, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8; /* the query answers in bits */
    c->native_float  = (uint32_t)device_number(d, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT);
    c->has_fp16      = strstr(extensions, "cl_khr_fp16") != NULL;
    c->has_fp64      = strstr(extensions, "cl_khr_fp64") != NULL;
    c->has_subgroups = strstr(extensions, "cl_khr_subgroups") || strstr(extensions, "cl_intel_subgroups");
    c->local_mem_is_cheap = c->kind == DIFFAD_DEVICE_CPU;
    c->plan_units    = c->kind == DIFFAD_DEVICE_CPU ? 8 : c->compute_units ? c->compute_units : 1;
    c->block         = block_of(c);
    c->matrix        = matrix_of(d, c, extensions);
    c->sub_group     = sub_group_of(d, c, extensions);
    diffad_quirks_apply(c);
}

typedef struct found { diffad_caps *caps; cl_platform_id *platform; cl_device_id *id; int count; } found;

static void scan_platform(cl_platform_id p, int index, found *f)
{
    cl_device_id d[MAX_DEVICES];
    cl_uint      n = 0;
    const cl_int code = diffad_cl.GetDeviceIDs(p, CL_DEVICE_TYPE_ALL, MAX_DEVICES, d, &n);
    if (code != CL_SUCCESS) {
        if (code != CL_DEVICE_NOT_FOUND)
            diffad_log(DIFFAD_LOG_WARNING, "platform %d lists no devices: %s (%d)", index, diffad_cl_error_name(code),
                       (int)code);
        return;
    }
    for (cl_uint k = 0; k < n && k < MAX_DEVICES && f->count < MAX_DEVICES; k++, f->count++) {
        read_caps(p, d[k], index, (int)k, &f->caps[f->count]);
        f->platform[f->count] = p;
        f->id[f->count]       = d[k];
    }
}

diffad_status diffad_platform_scan(diffad_caps **list, cl_platform_id **platforms, cl_device_id **ids, int *count)
{
    cl_platform_id p[MAX_PLATFORMS];
    cl_uint        n = 0;
    found f = { diffad_alloc_array(MAX_DEVICES, sizeof *f.caps), diffad_alloc_array(MAX_DEVICES, sizeof *f.platform),
                diffad_alloc_array(MAX_DEVICES, sizeof *f.id), 0 };
    if (!f.caps || !f.platform || !f.id) {
        diffad_release(f.caps);
        diffad_release(f.platform);
        diffad_release(f.id);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "devices: no host memory for the list");
    }
    atomic_store(&is_used, true);
    const cl_int code = diffad_cl.GetPlatformIDs(MAX_PLATFORMS, p, &n);
    if (code != CL_SUCCESS && code != PLATFORM_NOT_FOUND)
        diffad_log(DIFFAD_LOG_WARNING, "no platforms: %s (%d): %s", diffad_cl_error_name(code), (int)code,
                   diffad_cl_error_hint(code));
    for (cl_uint i = 0; code == CL_SUCCESS && i < n && i < MAX_PLATFORMS; i++)
        scan_platform(p[i], (int)i, &f);
    *list      = f.caps;
    *platforms = f.platform;
    *ids       = f.id;
    *count     = f.count;
    return DIFFAD_OK;
}

diffad_status diffad_device_list(diffad_caps **list, int *count)
{
    cl_platform_id *platforms;
    cl_device_id   *ids;
    DIFFAD_TRY(diffad_platform_scan(list, &platforms, &ids, count));
    diffad_release(platforms);
    diffad_release(ids);
    return DIFFAD_OK;
}

void diffad_device_list_release(diffad_caps *list) { diffad_release(list); }
