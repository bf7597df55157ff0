/* cl.h: the one seam to OpenCL. The library calls OpenCL through the table `diffad_cl` alone; tests replace entries to
 * inject faults, count and trace calls, or to stand in for a driver. Entry `EnqueueNDRangeKernel` is
 * clEnqueueNDRangeKernel, and so on. */
#ifndef DIFFAD_CL_H
#define DIFFAD_CL_H

#include <CL/cl.h>

#define DIFFAD_CL_FUNCTIONS(X)                                                                             \
    X(GetPlatformIDs) X(GetPlatformInfo) X(GetDeviceIDs) X(GetDeviceInfo)                                  \
    X(CreateContext) X(ReleaseContext) X(CreateCommandQueue) X(ReleaseCommandQueue)                        \
    X(CreateBuffer) X(ReleaseMemObject) X(EnqueueWriteBuffer) X(EnqueueReadBuffer)                         \
    X(EnqueueCopyBuffer) X(EnqueueFillBuffer)                                                              \
    X(CreateProgramWithSource) X(CreateProgramWithBinary) X(BuildProgram) X(GetProgramBuildInfo)           \
    X(GetProgramInfo) X(ReleaseProgram) X(CreateKernel) X(ReleaseKernel) X(SetKernelArg)                   \
    X(GetKernelWorkGroupInfo) X(EnqueueNDRangeKernel) X(Flush) X(Finish)                                   \
    X(GetEventProfilingInfo) X(ReleaseEvent) X(WaitForEvents) X(EnqueueMarkerWithWaitList) X(GetEventInfo)

#define DIFFAD_CL_ENTRY(name) __typeof__(cl##name) *name;
typedef struct diffad_cl_table {
    DIFFAD_CL_FUNCTIONS(DIFFAD_CL_ENTRY)
} diffad_cl_table;
#undef DIFFAD_CL_ENTRY

extern diffad_cl_table diffad_cl;

/* "CL_OUT_OF_RESOURCES" and the likely causes in a few words. */
const char *diffad_cl_error_name(cl_int code);
const char *diffad_cl_error_hint(cl_int code);

#endif
