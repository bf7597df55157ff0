/* clerror.c: names and likely causes of OpenCL error codes. */
#include "device/cl.h"

static const struct { cl_int code; const char *name, *hint; } rows[] = {
    { CL_DEVICE_NOT_FOUND, "CL_DEVICE_NOT_FOUND", "the platform has no such device" },
    { CL_DEVICE_NOT_AVAILABLE, "CL_DEVICE_NOT_AVAILABLE", "the device is busy or asleep" },
    { CL_COMPILER_NOT_AVAILABLE, "CL_COMPILER_NOT_AVAILABLE", "the driver has no compiler" },
    { CL_MEM_OBJECT_ALLOCATION_FAILURE, "CL_MEM_OBJECT_ALLOCATION_FAILURE", "device memory is used up" },
    { CL_OUT_OF_RESOURCES, "CL_OUT_OF_RESOURCES",
      "too much memory, too large a work-group, a kernel past the watchdog's time, or a read out of bounds" },
    { CL_OUT_OF_HOST_MEMORY, "CL_OUT_OF_HOST_MEMORY", "host memory is used up" },
    { CL_BUILD_PROGRAM_FAILURE, "CL_BUILD_PROGRAM_FAILURE", "see the build log" },
    { CL_INVALID_VALUE, "CL_INVALID_VALUE", "a parameter is out of range" },
    { CL_INVALID_DEVICE, "CL_INVALID_DEVICE", "the device is gone" },
    { CL_INVALID_CONTEXT, "CL_INVALID_CONTEXT", "the device is gone" },
    { CL_INVALID_COMMAND_QUEUE, "CL_INVALID_COMMAND_QUEUE",
      "an earlier kernel failed or ran past the watchdog's time" },
    { CL_INVALID_MEM_OBJECT, "CL_INVALID_MEM_OBJECT", "a buffer is gone" },
    { CL_INVALID_BINARY, "CL_INVALID_BINARY", "the cached program does not fit the driver" },
    { CL_INVALID_BUILD_OPTIONS, "CL_INVALID_BUILD_OPTIONS", "check DIFFAD_CL_FLAGS" },
    { CL_INVALID_PROGRAM_EXECUTABLE, "CL_INVALID_PROGRAM_EXECUTABLE", "the program was not built for the device" },
    { CL_INVALID_KERNEL_NAME, "CL_INVALID_KERNEL_NAME", "the program has no such kernel" },
    { CL_INVALID_KERNEL_ARGS, "CL_INVALID_KERNEL_ARGS", "a kernel argument is missing" },
    { CL_INVALID_ARG_INDEX, "CL_INVALID_ARG_INDEX", "the kernel has fewer arguments" },
    { CL_INVALID_ARG_SIZE, "CL_INVALID_ARG_SIZE", "a kernel argument has another type" },
    { CL_INVALID_WORK_GROUP_SIZE, "CL_INVALID_WORK_GROUP_SIZE",
      "the work-group is too large or does not divide the range" },
    { CL_INVALID_WORK_ITEM_SIZE, "CL_INVALID_WORK_ITEM_SIZE", "the work-group is too large" },
    { CL_INVALID_BUFFER_SIZE, "CL_INVALID_BUFFER_SIZE", "the buffer is empty or larger than the device allows" },
    { -1001, "CL_PLATFORM_NOT_FOUND_KHR", "no OpenCL driver is installed" },
};

const char *diffad_cl_error_name(cl_int code)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].code == code)
            return rows[i].name;
    return "OpenCL error";
}

const char *diffad_cl_error_hint(cl_int code)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].code == code)
            return rows[i].hint;
    return "see the driver's documentation";
}
