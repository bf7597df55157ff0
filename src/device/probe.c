/* probe.c: a device of an unknown platform is tried in a child process first. Drivers crash, hang or compute nonsense
 * in their first kernel; in a child that is a refusal with a reason. The child goes the whole way: list, open, build,
 * launch, read. DIFFAD_PROBE is the time limit in seconds; 0: no probe. */
#include "base/sys.h"
#include "base/text.h"
#include "device/device.h"

#include <stdio.h>
#include <string.h>

enum { DEFAULT_SECONDS = 30, GROUP = 64, COUNT = 4 * GROUP };

/* Local memory, a barrier and arithmetic that is exact in float: each group of 64 reversed, times 2 plus 1. */
static const char *const source =
    "__kernel __attribute__((reqd_work_group_size(64, 1, 1)))\n"
    "void probe(__global const float *x, __global float *y)\n"
    "{\n"
    "    __local float turn[64];\n"
    "    const size_t l = get_local_id(0), i = get_global_id(0);\n"
    "    turn[l] = x[i];\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    y[i] = 2.0f * turn[63 - l] + 1.0f;\n"
    "}\n";

typedef struct trial {
    const char *which;
    char       *text;       /* shared with the parent: what is being done, in the end the verdict; "" is fine */
    size_t      bytes;
    char        name[300];
} trial;

static void doing(const trial *t, const char *what) { snprintf(t->text, t->bytes, "%s %s", what, t->name); }

/* OpenCL's code of the first call that fails. Nothing is released: the process ends. */
static cl_int run_kernel(const trial *t, diffad_device *dev, float *x, float *y)
{
    const size_t global = COUNT, local = GROUP, bytes = COUNT * sizeof(float);
    cl_int       code;
    cl_mem       in = diffad_cl.CreateBuffer(dev->context, CL_MEM_READ_WRITE, bytes, NULL, &code), out = NULL;
    if (code == CL_SUCCESS)
        out = diffad_cl.CreateBuffer(dev->context, CL_MEM_READ_WRITE, bytes, NULL, &code);
    if (code == CL_SUCCESS)
        code = diffad_cl.EnqueueWriteBuffer(dev->queue, in, CL_TRUE, 0, bytes, x, 0, NULL, NULL);
    if (code != CL_SUCCESS)
        return code;
    doing(t, "building a kernel on");
    const cl_program program =
        diffad_cl.CreateProgramWithSource(dev->context, 1, (const char **)(uintptr_t)&source, NULL, &code);
    if (code != CL_SUCCESS ||
        (code = diffad_cl.BuildProgram(program, 1, &dev->id, "-cl-std=CL1.2", NULL, NULL)) != CL_SUCCESS)
        return code;
    const cl_kernel kernel = diffad_cl.CreateKernel(program, "probe", &code);
    if (code != CL_SUCCESS)
        return code;
    doing(t, "running a kernel on");
    if ((code = diffad_cl.SetKernelArg(kernel, 0, sizeof in, &in)) != CL_SUCCESS ||
        (code = diffad_cl.SetKernelArg(kernel, 1, sizeof out, &out)) != CL_SUCCESS ||
        (code = diffad_cl.EnqueueNDRangeKernel(dev->queue, kernel, 1, NULL, &global, &local, 0, NULL, NULL)) !=
            CL_SUCCESS)
        return code;
    return diffad_cl.EnqueueReadBuffer(dev->queue, out, CL_TRUE, 0, bytes, y, 0, NULL, NULL);
}

static bool is_right(const float *x, const float *y)
{
    for (int i = 0; i < COUNT; i++)
        if (y[i] != 2.0f * x[i / GROUP * GROUP + GROUP - 1 - i % GROUP] + 1.0f)
            return false;
    return true;
}

/* What already fails with a status is left to the parent, which meets the same failure. */
static void try_device(void *user, char *text, size_t bytes)
{
    trial          t = { .which = user, .text = text, .bytes = bytes };
    diffad_device *dev;
    float          x[COUNT], y[COUNT];
    snprintf(text, bytes, "listing or opening OpenCL devices");
    const diffad_status st = diffad_device_open_unprobed(t.which, &dev);
    text[0] = '\0';
    if (st != DIFFAD_OK || diffad_quirks_is_trusted(&dev->caps))
        return;
    snprintf(t.name, sizeof t.name, "%s %s (%s)", dev->caps.id, dev->caps.name, dev->caps.platform);
    for (int i = 0; i < COUNT; i++) {
        x[i] = (float)i;
        y[i] = 0;
    }
    doing(&t, "using memory of");
    const cl_int code = run_kernel(&t, dev, x, y);
    if (code != CL_SUCCESS)
        snprintf(text + strlen(text), bytes - strlen(text), " gave %s (%d)", diffad_cl_error_name(code), (int)code);
    else if (!is_right(x, y))
        snprintf(text, bytes, "a small kernel computed wrong values on %s", t.name);
    else
        text[0] = '\0';
}

/* ---- when a probe is due ---- */

static bool is_known_file(void *user, const char *name)
{
    static const char *const known[] = { "pocl", "nvidia", "amdocl", "intel" };
    const size_t n = strlen(name);
    bool *all = user, is_known = n < 4 || strcmp(name + n - 4, ".icd") != 0;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        is_known = is_known || strstr(name, known[i]);
    *all = *all && is_known;
    return *all;
}

/* Only drivers that are trusted anyway: their platforms need not be loaded twice to find that out. */
static bool has_known_drivers_only(void)
{
    static const char *const elsewhere[] = { "OCL_ICD_VENDORS", "OCL_ICD_FILENAMES", "OPENCL_VENDOR_PATH" };
    bool all = true;
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
        if (diffad_sys.getenv(elsewhere[i]))
            return false;
    return diffad_sys.list("/etc/OpenCL/vendors", is_known_file, &all) == 0 && all;
}

static bool count_task(void *user, const char *name)
{
    *(int *)user += name[0] != '.';
    return true;
}

static bool is_due(int64_t seconds)
{
    int tasks = 0;
    if (seconds <= 0 || diffad_platform_was_used())
        return false;
    if (diffad_sys.list("/proc/self/task", count_task, &tasks) == 0 && tasks > 1)
        return false;
    return !has_known_drivers_only();
}

diffad_status diffad_probe(const char *which)
{
    const char *set     = diffad_sys.getenv("DIFFAD_PROBE");
    int64_t     seconds = DEFAULT_SECONDS;
    char        text[600], how[80];
    if (set && *set && (!diffad_parse_i64(set, &seconds) || seconds < 0 || seconds > 3600))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "DIFFAD_PROBE: \"%.40s\" must be a number of seconds, 0 for no probe", set);
    if (!is_due(seconds))
        return DIFFAD_OK;
    const int end = diffad_sys.apart(try_device, (char *)(uintptr_t)which, (int)seconds * 1000, text, sizeof text);
    if (end == -2) {
        diffad_log(DIFFAD_LOG_WARNING, "no child process to probe the device in");
        return DIFFAD_OK;
    }
    if (end == 0 && !text[0])
        return DIFFAD_OK;
    how[0] = '\0';
    if (end < 0)
        snprintf(how, sizeof how, " did not end within %lld s", (long long)seconds);
    else if (end > 0)
        snprintf(how, sizeof how, " crashed with signal %d", end);
    DIFFAD_FAIL(DIFFAD_ERR_DEVICE,
                "device refused: %s%s: update its driver, choose another with DIFFAD_DEVICE, or set DIFFAD_PROBE=0 "
                "to use it all the same",
                text, how);
}
