/* cmd_devices.c: `diffad devices`: what there is, and what it can do when it is tried.
 *
 * Drivers crash and hang, so this process never calls OpenCL: a child lists the devices, and a child for each device
 * opens it and runs a few kernels. */
#include "cli.h"
#include "device/device.h"
#include "diffad/selftest.h"

#include <stdio.h>
#include <string.h>

enum { MAX_DEVICES = 32, LIST_MS = 60000, TRY_MS = 120000 };

typedef struct device_list {
    bool          is_listed;
    diffad_status status;
    char          why[1024];
    int           count;
    diffad_caps   caps[MAX_DEVICES];
} device_list;

typedef struct trial {
    char id[16];
    bool is_done, works, has_fp16, has_fp64, has_subgroups;
    char why[512];
} trial;

static void list_devices(void *user, void *result)
{
    device_list *l = result;
    diffad_caps *caps;
    (void)user;
    l->status = diffad_device_list(&caps, &l->count);
    if (l->status != DIFFAD_OK) {
        snprintf(l->why, sizeof l->why, "%s", diffad_error_detail());
        return;
    }
    l->count = l->count < MAX_DEVICES ? l->count : MAX_DEVICES;
    memcpy(l->caps, caps, (size_t)l->count * sizeof *caps);
    l->is_listed = true;
}

/* Whether a kernel of 64 work-items leaves 0, 2, 4, ... in x: what an extension claims is tried, then believed. */
static bool runs_as_claimed(diffad_device *dev, const char *source)
{
    const size_t items = 64;
    float        x[64] = { 0 };
    cl_int       code;
    bool         ok      = false;
    cl_kernel    kernel  = NULL;
    cl_mem       memory  = diffad_cl.CreateBuffer(dev->context, CL_MEM_READ_WRITE, sizeof x, NULL, &code);
    cl_program   program =
        code == CL_SUCCESS ? diffad_cl.CreateProgramWithSource(dev->context, 1, &source, NULL, &code) : NULL;
    if (program && diffad_cl.BuildProgram(program, 1, &dev->id, "-cl-std=CL1.2", NULL, NULL) == CL_SUCCESS)
        kernel = diffad_cl.CreateKernel(program, "f", &code);
    if (kernel && diffad_cl.SetKernelArg(kernel, 0, sizeof memory, &memory) == CL_SUCCESS &&
        diffad_cl.EnqueueNDRangeKernel(dev->queue, kernel, 1, NULL, &items, &items, 0, NULL, NULL) == CL_SUCCESS &&
        diffad_cl.EnqueueReadBuffer(dev->queue, memory, CL_TRUE, 0, sizeof x, x, 0, NULL, NULL) == CL_SUCCESS) {
        ok = true;
        for (int i = 0; i < 64; i++)
            ok = ok && x[i] == (float)(2 * i);
    }
    if (kernel)
        diffad_cl.ReleaseKernel(kernel);
    if (program)
        diffad_cl.ReleaseProgram(program);
    if (memory)
        diffad_cl.ReleaseMemObject(memory);
    return ok;
}

static void on_row(void *user, const diffad_check_row *row)
{
    trial *t = user;
    if (row->result == DIFFAD_CHECK_FAIL && !t->why[0])
        snprintf(t->why, sizeof t->why, "op %s is wrong: %s", row->op, row->why);
}

static void try_device(void *user, void *result)
{
    trial         *t = result;
    diffad_device *dev;
    snprintf(t->id, sizeof t->id, "%s", (const char *)user);
    diffad_status st = diffad_device_open(t->id, &dev);
    if (st == DIFFAD_OK) {
        const diffad_caps *c = diffad_device_caps(dev);
        t->has_fp16 =
            c->has_fp16 &&
            runs_as_claimed(dev,
                            "#pragma OPENCL EXTENSION cl_khr_fp16 : enable\n__kernel void f(__global float *x)"
                            "{ const int i = get_global_id(0); const half h = (half)i; x[i] = (float)(h * (half)2); }");
        t->has_fp64 =
            c->has_fp64 &&
            runs_as_claimed(dev,
                            "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n__kernel void f(__global float *x)"
                            "{ const int i = get_global_id(0); const double h = i / 3.0; x[i] = (float)(h * 6.0); }");
        t->has_subgroups = c->has_subgroups &&
                           runs_as_claimed(dev, "#pragma OPENCL EXTENSION cl_khr_subgroups : enable\n"
                                                "__kernel void f(__global float *x) { const int i = get_global_id(0); "
                                                "x[i] = sub_group_broadcast(2.0f, 0) * (float)i; }");
        st = diffad_check_ops(dev, "add", true, on_row, t);
        diffad_device_close(dev);
    }
    if (st != DIFFAD_OK && !t->why[0])
        snprintf(t->why, sizeof t->why, "%s", diffad_error_detail());
    t->works   = st == DIFFAD_OK && !t->why[0];
    t->is_done = true;
}

static void judge(int how, trial *t)
{
    if (how > 0)
        snprintf(t->why, sizeof t->why, "its driver crashed with signal %d (%s)", how, strsignal(how));
    else if (how == -1)
        snprintf(t->why, sizeof t->why, "its driver did not answer within %d s", TRY_MS / 1000);
    else if (how == -2)
        snprintf(t->why, sizeof t->why, "no child process could be made to try it in");
    t->works = t->works && how == 0;
}

static void print_json(const device_list *l, const trial *trials)
{
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_open(&j, "devices", '[');
    for (int i = 0; i < l->count; i++) {
        const diffad_caps *c = &l->caps[i];
        cli_json_open(&j, NULL, '{');
        cli_json_text(&j, "id", c->id);
        cli_json_text(&j, "name", c->name);
        cli_json_text(&j, "vendor", c->vendor);
        cli_json_text(&j, "platform", c->platform);
        cli_json_text(&j, "driver", c->driver);
        cli_json_text(&j, "version", c->version);
        cli_json_text(&j, "kind", diffad_device_kind_name(c->kind));
        cli_json_int(&j, "compute_units", c->compute_units);
        cli_json_int(&j, "global_mem", (int64_t)c->global_mem);
        cli_json_int(&j, "max_alloc", (int64_t)c->max_alloc);
        cli_json_int(&j, "local_mem", (int64_t)c->local_mem);
        cli_json_int(&j, "max_group", (int64_t)c->max_group);
        cli_json_int(&j, "block", c->block);
        cli_json_bool(&j, "fp16", trials[i].has_fp16);
        cli_json_bool(&j, "fp64", trials[i].has_fp64);
        cli_json_bool(&j, "subgroups", trials[i].has_subgroups);
        cli_json_bool(&j, "works", trials[i].works);
        cli_json_text(&j, "why", trials[i].why);
        cli_json_close(&j, '}');
    }
    cli_json_close(&j, ']');
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

static const char *yes(bool claimed, bool works) { return works ? "yes" : claimed ? "broken" : "no"; }

static void print_table(const device_list *l, const trial *trials)
{
    char      memory[24];
    cli_table t = cli_table_new(10, 1u << 5 | 1u << 6);
    static const char *const head[] = { "id",     "kind",  "name", "platform", "driver",
                                        "memory", "units", "fp16", "fp64",     "state" };
    for (int i = 0; i < 10; i++)
        cli_cell(&t, "%s", head[i]);
    for (int i = 0; i < l->count; i++) {
        const diffad_caps *c = &l->caps[i];
        cli_cell(&t, "%s", c->id);
        cli_cell(&t, "%s", diffad_device_kind_name(c->kind));
        cli_cell(&t, "%s", c->name);
        cli_cell(&t, "%s, %s", c->platform, c->version);
        cli_cell(&t, "%s", c->driver);
        cli_cell(&t, "%s", cli_bytes_text((double)c->global_mem, memory, sizeof memory));
        cli_cell(&t, "%u", c->compute_units);
        cli_cell(&t, "%s", yes(c->has_fp16, trials[i].has_fp16));
        cli_cell(&t, "%s", yes(c->has_fp64, trials[i].has_fp64));
        cli_cell(&t, "%s", trials[i].works ? "works" : trials[i].why);
    }
    cli_table_print(&t);
}

static int run(cli *c)
{
    static device_list list;
    static trial       trials[MAX_DEVICES];
    const int how = cli_in_child(list_devices, NULL, &list, sizeof list, LIST_MS);
    bool      any = false;
    if (how != 0 || !list.is_listed) {
        if (how > 0)
            cli_error("a driver crashed while devices were listed (signal %d, %s); `diffad doctor` names the drivers",
                      how, strsignal(how));
        else if (how < 0)
            cli_error("a driver did not answer while devices were listed; `diffad doctor` names the drivers");
        else
            cli_error("%s", list.why);
        return how == 0 ? diffad_status_exit_code(list.status) : 10;
    }
    for (int i = 0; i < list.count; i++) {
        judge(cli_in_child(try_device, list.caps[i].id, &trials[i], sizeof trials[i], TRY_MS), &trials[i]);
        any = any || trials[i].works;
    }
    if (c->json)
        print_json(&list, trials);
    else if (list.count)
        print_table(&list, trials);
    if (!any)
        cli_error("%s; `diffad doctor` looks for the cause", list.count ? "no device works" : "no OpenCL device");
    return any ? 0 : 5;
}

const cli_command cmd_devices = {
    .name = "devices", .summary = "lists the OpenCL devices and tries each of them", .arguments = "", .run = run,
    .details = "Each device is tried in a process of its own: a driver that crashes is a line in the table.",
};
