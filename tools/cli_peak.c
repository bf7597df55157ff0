/* cli_peak.c: the device's multiply-adds and memory bandwidth, as plain OpenCL C reaches them. */
#include "base/sys.h"
#include "cli_bench.h"
#include "device/device.h"

#include <stdio.h>
#include <string.h>

enum { CHAINS = 12, TRIES = 40, STREAM_BYTES = 32 << 20 };

static const char *const source =
    "#if V == 1\n"
    "typedef float vf;\n"
    "#elif V == 4\n"
    "typedef float4 vf;\n"
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

typedef struct rig {
    diffad_device *dev;
    cl_program     program;
    cl_kernel      fma, triad;
    cl_mem         memory[3];
    size_t         lanes, group, items;
} rig;

static diffad_status create(rig *r)
{
    char   options[64];
    cl_int code;
    const diffad_caps *c = diffad_device_caps(r->dev);
    r->lanes = c->kind == DIFFAD_DEVICE_CPU ? 16 : 1;
    r->group = c->kind == DIFFAD_DEVICE_CPU ? 1 : 64;
    r->items = (c->compute_units ? c->compute_units : 1) * (c->kind == DIFFAD_DEVICE_CPU ? 8 : 64 * 32);
    snprintf(options, sizeof options, "-cl-std=CL1.2 -DV=%d -DWG=%d", (int)r->lanes, (int)r->group);
    r->program = diffad_cl.CreateProgramWithSource(r->dev->context, 1, (const char **)(uintptr_t)&source, NULL, &code);
    DIFFAD_TRY(diffad_device_check(r->dev, code, "peak: program"));
    DIFFAD_TRY(diffad_device_check(r->dev, diffad_cl.BuildProgram(r->program, 1, &r->dev->id, options, NULL, NULL),
                                   "peak: build"));
    r->fma = diffad_cl.CreateKernel(r->program, "peak_fma", &code);
    DIFFAD_TRY(diffad_device_check(r->dev, code, "peak: kernel"));
    r->triad = diffad_cl.CreateKernel(r->program, "peak_triad", &code);
    DIFFAD_TRY(diffad_device_check(r->dev, code, "peak: kernel"));
    for (int i = 0; i < 3; i++) {
        DIFFAD_TRY(diffad_buffer_create(r->dev, STREAM_BYTES, &r->memory[i]));
        DIFFAD_TRY(diffad_buffer_zero(r->dev, r->memory[i], 0, STREAM_BYTES));
    }
    return DIFFAD_OK;
}

static void destroy(rig *r)
{
    if (r->fma)
        diffad_cl.ReleaseKernel(r->fma);
    if (r->triad)
        diffad_cl.ReleaseKernel(r->triad);
    if (r->program)
        diffad_cl.ReleaseProgram(r->program);
    for (int i = 0; i < 3; i++)
        if (r->memory[i])
            diffad_buffer_release(r->dev, r->memory[i], STREAM_BYTES);
}

static diffad_status timed(rig *r, cl_kernel kernel, size_t items, double *seconds)
{
    const uint64_t start = diffad_sys.monotonic_ns();
    DIFFAD_TRY(diffad_device_check(
        r->dev, diffad_cl.EnqueueNDRangeKernel(r->dev->queue, kernel, 1, NULL, &items, &r->group, 0, NULL, NULL),
        "peak: launch"));
    DIFFAD_TRY(diffad_device_check(r->dev, diffad_cl.Finish(r->dev->queue), "peak: wait"));
    *seconds = (double)(diffad_sys.monotonic_ns() - start) * 1e-9;
    return DIFFAD_OK;
}

static diffad_status measure_fma(rig *r, double *gflops)
{
    const float a = 0.999f, b = 0.001f;
    cl_int      n = 1024;
    double      seconds = 0, best = 0;
    diffad_cl.SetKernelArg(r->fma, 0, sizeof(cl_mem), &r->memory[0]);
    diffad_cl.SetKernelArg(r->fma, 1, sizeof a, &a);
    diffad_cl.SetKernelArg(r->fma, 2, sizeof b, &b);
    for (int done = 0; done < TRIES;) {
        diffad_cl.SetKernelArg(r->fma, 3, sizeof n, &n);
        DIFFAD_TRY(timed(r, r->fma, r->items, &seconds));
        if (seconds < 0.004 && n < 1 << 28) {
            n *= 2;
            continue;
        }
        const double rate = 2.0 * CHAINS * (double)r->lanes * (double)n * (double)r->items / seconds * 1e-9;
        best = rate > best ? rate : best;
        done++;
    }
    *gflops = best;
    return DIFFAD_OK;
}

static diffad_status measure_triad(rig *r, double *gbytes)
{
    const float  a = 0.5f;
    const cl_int each = 256;
    const size_t items = STREAM_BYTES / (4 * r->lanes) / (size_t)each;
    double       seconds = 0, best = 0;
    for (cl_uint i = 0; i < 3; i++)
        diffad_cl.SetKernelArg(r->triad, i, sizeof(cl_mem), &r->memory[i]);
    diffad_cl.SetKernelArg(r->triad, 3, sizeof a, &a);
    diffad_cl.SetKernelArg(r->triad, 4, sizeof each, &each);
    for (int i = 0; i <= TRIES; i++) {
        DIFFAD_TRY(timed(r, r->triad, items, &seconds));
        const double rate = 3.0 * STREAM_BYTES / seconds * 1e-9;
        best = i > 0 && rate > best ? rate : best;      /* the first run builds */
    }
    *gbytes = best;
    return DIFFAD_OK;
}

diffad_status cli_measure_peak(diffad_device *dev, cli_peak *out)
{
    rig           r  = { .dev = dev };
    diffad_status st = create(&r);
    if (st == DIFFAD_OK)
        st = measure_fma(&r, &out->gflops);
    if (st == DIFFAD_OK)
        st = measure_triad(&r, &out->gbytes);
    destroy(&r);
    return st;
}
