/* cli_peak.c: the device's multiply-adds and memory bandwidth, as plain OpenCL C reaches them.
 *
 * Both are timed as ops are: by the driver's clock the last of some launches on inputs written anew. So what a launch costs and
 * what a cache holds count on both sides of a comparison. */
#include "base/sys.h"
#include "cli_bench.h"
#include "device/device.h"

#include <stdio.h>

/* STREAM_BYTES: of each of the three operands, beyond the caches of CPUs. CPU_EACH: vectors of a work-item; a CPU gets many work-groups. */
enum { CHAINS = 12, STREAM_BYTES = 32 << 20, CPU_EACH = 256, CPU_GROUPS = 8, FMA_NS = 2000000, MOST_STEPS = 1 << 28, LAUNCHES = 2 };

static const char *const source =
    "#if V == 4\n"
    "typedef float4 vf;\n"
    "#elif V == 8\n"
    "typedef float8 vf;\n"
    "#else\n"
    "typedef float16 vf;\n"
    "#endif\n"
    "#define ALL(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)\n"
    "#define MAKE(i) vf x##i = (vf)(i * 0.01f + (float)get_global_id(0));\n"
    "#define STEP(i) x##i = x##i * a + b;\n"
    "#define JOIN(i) sum += x##i;\n"
    "__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))\n"
    "void peak_fma(__global vf *y, float a, float b, int n)\n"
    "{\n"
    "    vf sum = (vf)(0.0f);\n"
    "    ALL(MAKE)\n"
    "    for (int i = 0; i < n; i++) { ALL(STEP) }\n"
    "    ALL(JOIN)\n"
    "    y[get_global_id(0)] = sum;\n"
    "}\n"
    "__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))\n"
    "void peak_triad(__global const vf *x, __global const vf *y, __global vf *z, float a, int each)\n"
    "{\n"
    "    const size_t g = get_group_id(0) * (size_t)each * WG + get_local_id(0);\n"
    "    for (int i = 0; i < each; i++)\n"
    "        z[g + (size_t)i * WG] = x[g + (size_t)i * WG] + a * y[g + (size_t)i * WG];\n"
    "}\n";

struct cli_peak {
    diffad_device *dev;
    cl_program     program;
    cl_kernel      fma, triad;
    cl_mem         memory[3];
    float         *host;
    size_t         lanes, group, items;      /* floats of a vector; work-items of a group, and of peak_fma */
    cl_int         steps;                    /* of peak_fma */
};

static diffad_status create(cli_peak *p)
{
    char   options[64];
    cl_int code;
    const diffad_caps *c = diffad_device_caps(p->dev);
    const bool is_cpu = c->kind == DIFFAD_DEVICE_CPU;
    /* The chains of wider vectors than the device's own would not fit its registers. */
    p->lanes = is_cpu && c->native_float >= 16 ? 16 : is_cpu && c->native_float >= 8 ? 8 : 4;
    p->group = is_cpu ? 1 : 64;
    p->items = (c->compute_units ? c->compute_units : 1) * (is_cpu ? CPU_GROUPS : 64 * 32);
    snprintf(options, sizeof options, "-cl-std=CL1.2 -DV=%d -DWG=%d", (int)p->lanes, (int)p->group);
    p->program = diffad_cl.CreateProgramWithSource(p->dev->context, 1, (const char **)(uintptr_t)&source, NULL, &code);
    DIFFAD_TRY(diffad_device_check(p->dev, code, "peak: program"));
    DIFFAD_TRY(diffad_device_check(p->dev, diffad_cl.BuildProgram(p->program, 1, &p->dev->id, options, NULL, NULL), "peak: build"));
    p->fma = diffad_cl.CreateKernel(p->program, "peak_fma", &code);
    DIFFAD_TRY(diffad_device_check(p->dev, code, "peak: kernel"));
    p->triad = diffad_cl.CreateKernel(p->program, "peak_triad", &code);
    DIFFAD_TRY(diffad_device_check(p->dev, code, "peak: kernel"));
    for (int i = 0; i < 3; i++)
        DIFFAD_TRY(diffad_buffer_create(p->dev, STREAM_BYTES, &p->memory[i]));
    if (!(p->host = diffad_alloc_array(STREAM_BYTES / 4, 4)))
        return diffad_fail(DIFFAD_ERR_MEMORY, "peak: no host memory");
    for (size_t i = 0; i < STREAM_BYTES / 4; i++)
        p->host[i] = 1.0f;
    return DIFFAD_OK;
}

static diffad_status timed(cli_peak *p, cl_kernel kernel, size_t items, double *ns)
{
    cl_event e    = NULL;
    cl_ulong from = 0, to = 0;
    for (int i = 0; i < LAUNCHES; i++)
        DIFFAD_TRY(diffad_device_check(p->dev, diffad_cl.EnqueueNDRangeKernel(p->dev->queue, kernel, 1, NULL, &items, &p->group, 0, NULL,
                                                                              i == LAUNCHES - 1 ? &e : NULL), "peak: launch"));
    cl_int code = diffad_cl.Finish(p->dev->queue);
    if (code == CL_SUCCESS)
        code = diffad_cl.GetEventProfilingInfo(e, CL_PROFILING_COMMAND_START, sizeof from, &from, NULL);
    if (code == CL_SUCCESS)
        code = diffad_cl.GetEventProfilingInfo(e, CL_PROFILING_COMMAND_END, sizeof to, &to, NULL);
    diffad_cl.ReleaseEvent(e);
    *ns = to > from ? (double)(to - from) : 1;
    return diffad_device_check(p->dev, code, "peak: time");
}

static diffad_status run_fma(cli_peak *p, double *ns)
{
    const float a = 0.999f, b = 0.001f;
    diffad_cl.SetKernelArg(p->fma, 0, sizeof(cl_mem), &p->memory[2]);
    diffad_cl.SetKernelArg(p->fma, 1, sizeof a, &a);
    diffad_cl.SetKernelArg(p->fma, 2, sizeof b, &b);
    diffad_cl.SetKernelArg(p->fma, 3, sizeof p->steps, &p->steps);
    return timed(p, p->fma, p->items, ns);
}

/* Builds, and finds a length that takes long enough. */
static diffad_status warm_up(cli_peak *p)
{
    double ns = 0;
    DIFFAD_TRY(cli_peak_stream(p, 0, &ns));
    p->steps = 1024;
    DIFFAD_TRY(run_fma(p, &ns));
    for (ns = 0; ns < FMA_NS && p->steps < MOST_STEPS; p->steps *= 2)
        DIFFAD_TRY(run_fma(p, &ns));
    return DIFFAD_OK;
}

diffad_status cli_peak_open(diffad_device *dev, cli_peak **out)
{
    cli_peak *p = diffad_alloc(sizeof *p);
    if (!p)
        return diffad_fail(DIFFAD_ERR_MEMORY, "peak: no host memory");
    p->dev = dev;
    diffad_status st = create(p);
    if (st == DIFFAD_OK)
        st = warm_up(p);
    if (st == DIFFAD_OK)
        *out = p;
    else
        cli_peak_close(p);
    return st;
}

void cli_peak_close(cli_peak *p)
{
    if (!p)
        return;
    if (p->fma)
        diffad_cl.ReleaseKernel(p->fma);
    if (p->triad)
        diffad_cl.ReleaseKernel(p->triad);
    if (p->program)
        diffad_cl.ReleaseProgram(p->program);
    for (int i = 0; i < 3; i++)
        if (p->memory[i])
            diffad_buffer_release(p->dev, p->memory[i], STREAM_BYTES);
    diffad_release(p->host);
    diffad_release(p);
}

diffad_status cli_peak_multiply(cli_peak *p, double *gflops)
{
    double ns;
    DIFFAD_TRY(run_fma(p, &ns));
    *gflops = 2.0 * CHAINS * (double)p->lanes * (double)p->steps * (double)p->items / ns;
    return DIFFAD_OK;
}

/* As near to the bytes asked for as whole work-groups come. */
static void divide(const cli_peak *p, double bytes, size_t *groups, cl_int *each)
{
    const size_t unit = 4 * p->lanes * p->group, most = STREAM_BYTES / unit;
    size_t       units = (size_t)(bytes / (3.0 * (double)unit));
    units   = units < 1 ? 1 : units > most ? most : units;
    *each   = p->group > 1 ? 1 : (cl_int)(units / p->items < 1 ? 1 : units / p->items > CPU_EACH ? CPU_EACH : units / p->items);
    *groups = units / (size_t)*each;
}

diffad_status cli_peak_stream(cli_peak *p, double bytes, double *gbytes)
{
    const float a = 0.5f;
    size_t      groups;
    cl_int      each;
    double      ns;
    divide(p, bytes, &groups, &each);
    const size_t part = groups * (size_t)each * p->group * p->lanes * 4;
    for (cl_uint i = 0; i < 3; i++)
        diffad_cl.SetKernelArg(p->triad, i, sizeof(cl_mem), &p->memory[i]);
    diffad_cl.SetKernelArg(p->triad, 3, sizeof a, &a);
    diffad_cl.SetKernelArg(p->triad, 4, sizeof each, &each);
    for (int i = 0; i < 2; i++)
        DIFFAD_TRY(diffad_device_check(
            p->dev, diffad_cl.EnqueueWriteBuffer(p->dev->queue, p->memory[i], CL_TRUE, 0, part, p->host, 0, NULL, NULL), "peak: write"));
    DIFFAD_TRY(timed(p, p->triad, groups * p->group, &ns));
    *gbytes = 3.0 * (double)part / ns;
    return DIFFAD_OK;
}
