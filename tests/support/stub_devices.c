/* stub_devices.c: the platforms and devices of the stand-in OpenCL. */
#include "support/stub_calls.h"

#include <string.h>

enum { MAX_STUB_DEVICES = 16 };

static stub_device device[MAX_STUB_DEVICES];
static int         n_devices;

stub_device stub_device_default(void)
{
    return (stub_device){ .platform = "Portable Computing Language",
                          .name = "stub",
                          .vendor = "none",
                          .extensions = "cl_khr_fp64",
                          .type = CL_DEVICE_TYPE_CPU,
                          .is_unified = true,
                          .global_mem = 1u << 30,
                          .max_alloc = 1u << 28,
                          .local_mem = 1u << 16,
                          .max_group = 1024,
                          .max_group_side = { 1024, 1024, 1024 },
                          .max_parameter_bytes = 1024,
                          .base_align_bits = 1024 };
}

void stub_devices(const stub_device *list, int count)
{
    n_devices = count;
    if (count)
        memcpy(device, list, (size_t)count * sizeof *list);
}

/* ---- answers ---- */

cl_int stub_give(const void *value, size_t have, size_t room, void *out, size_t *size)
{
    if (size)
        *size = have;
    if (out && room < have)
        return CL_INVALID_VALUE;
    if (out)
        memcpy(out, value, have);
    return CL_SUCCESS;
}

cl_int stub_give_text(const char *text, size_t room, void *out, size_t *size)
{
    return stub_give(text, strlen(text) + 1, room, out, size);
}

cl_int stub_number(uint64_t v, size_t bytes, size_t room, void *out, size_t *size)
{
    const uint32_t small = (uint32_t)v;
    return bytes == 4 ? stub_give(&small, 4, room, out, size) : stub_give(&v, 8, room, out, size);
}

/* ---- platforms and devices: a platform is its first device, a device its row ---- */

cl_int CL_API_CALL stub_GetPlatformIDs(cl_uint room, cl_platform_id *out, cl_uint *count)
{
    const cl_int code = stub_enter(STUB_GetPlatformIDs);
    cl_uint      n = 0;
    if (code != CL_SUCCESS)
        return code;
    for (int i = 0; i < n_devices; i++)
        if (i == 0 || strcmp(device[i].platform, device[i - 1].platform) != 0) {
            if (out && n < room)
                out[n] = (cl_platform_id)&device[i];
            n++;
        }
    if (count)
        *count = n;
    return n ? CL_SUCCESS : -1001;
}

cl_int CL_API_CALL stub_GetPlatformInfo(cl_platform_id p, cl_platform_info what, size_t room, void *out, size_t *size)
{
    const cl_int code = stub_enter(STUB_GetPlatformInfo);
    if (code != CL_SUCCESS)
        return code;
    return what == CL_PLATFORM_NAME ? stub_give_text(((stub_device *)p)->platform, room, out, size) : CL_INVALID_VALUE;
}

cl_int CL_API_CALL stub_GetDeviceIDs(cl_platform_id p, cl_device_type type, cl_uint room, cl_device_id *out,
                                     cl_uint *count)
{
    const cl_int code = stub_enter(STUB_GetDeviceIDs);
    cl_uint      n = 0;
    if (code != CL_SUCCESS)
        return code;
    for (int i = 0; i < n_devices; i++)
        if (strcmp(device[i].platform, ((stub_device *)p)->platform) == 0 && device[i].name &&
            (device[i].type & type)) {
            if (out && n < room)
                out[n] = (cl_device_id)&device[i];
            n++;
        }
    if (count)
        *count = n;
    return n ? CL_SUCCESS : CL_DEVICE_NOT_FOUND;
}

cl_int CL_API_CALL stub_GetDeviceInfo(cl_device_id id, cl_device_info what, size_t room, void *out, size_t *size)
{
    const stub_device *d    = (const stub_device *)id;
    const cl_int       code = stub_enter(STUB_GetDeviceInfo);
    if (code != CL_SUCCESS)
        return code;
    switch (what) {
    case CL_DEVICE_NAME: return stub_give_text(d->name, room, out, size);
    case CL_DEVICE_VENDOR: return stub_give_text(d->vendor, room, out, size);
    case CL_DRIVER_VERSION: return stub_give_text("1.0", room, out, size);
    case CL_DEVICE_VERSION: return stub_give_text("OpenCL 1.2 stub", room, out, size);
    case CL_DEVICE_EXTENSIONS: return stub_give_text(d->extensions, room, out, size);
    case CL_DEVICE_TYPE: return stub_number(d->type, 8, room, out, size);
    case CL_DEVICE_HOST_UNIFIED_MEMORY: return stub_number(d->is_unified, 4, room, out, size);
    case CL_DEVICE_VENDOR_ID: return stub_number(0x1234, 4, room, out, size);
    case CL_DEVICE_MAX_COMPUTE_UNITS: return stub_number(2, 4, room, out, size);
    case CL_DEVICE_GLOBAL_MEM_SIZE: return stub_number(d->global_mem, 8, room, out, size);
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE: return stub_number(d->max_alloc, 8, room, out, size);
    case CL_DEVICE_LOCAL_MEM_SIZE: return stub_number(d->local_mem, 8, room, out, size);
    case CL_DEVICE_MAX_WORK_GROUP_SIZE: return stub_number(d->max_group, 8, room, out, size);
    case CL_DEVICE_MAX_WORK_ITEM_SIZES: return stub_give(d->max_group_side, sizeof d->max_group_side, room, out, size);
    case CL_DEVICE_MAX_PARAMETER_SIZE: return stub_number(d->max_parameter_bytes, 8, room, out, size);
    case CL_DEVICE_MEM_BASE_ADDR_ALIGN: return stub_number(d->base_align_bits, 4, room, out, size);
    case CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT: return stub_number(8, 4, room, out, size);
    default: return CL_INVALID_VALUE;
    }
}
