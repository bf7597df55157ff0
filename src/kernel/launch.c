/* launch.c: building, checking, freezing and enqueueing launches. */
#include "kernel/launch.h"
#include "base/size.h"
#include "base/sys.h"

#include <stdio.h>
#include <string.h>

diffad_launch diffad_launch_make(const char *program, const char *kernel, int64_t items, int64_t group)
{
    return (diffad_launch){ .kind = DIFFAD_LAUNCH_KERNEL, .program = program, .kernel = kernel,
                            .items = { items, 1, 1 }, .group = { group, 1, 1 } };
}

void diffad_launch_items(diffad_launch *l, int64_t x, int64_t y, int64_t z)
{
    l->items[0] = x;
    l->items[1] = y;
    l->items[2] = z;
}

void diffad_launch_group(diffad_launch *l, int64_t x, int64_t y, int64_t z)
{
    l->group[0] = x;
    l->group[1] = y;
    l->group[2] = z;
}

void diffad_launch_def(diffad_launch *l, const char *name, int64_t value)
{
    if (l->n_defs == DIFFAD_LAUNCH_DEFS - 4) {      /* four stay free for the group's sizes and SUB_GROUP */
        l->is_overfull = true;
        return;
    }
    l->def[l->n_defs].name    = name;
    l->def[l->n_defs++].value = value;
}

static void add(diffad_launch *l, diffad_launch_arg arg)
{
    if (l->n_args == DIFFAD_LAUNCH_ARGS) {
        l->is_overfull = true;
        return;
    }
    l->arg[l->n_args++] = arg;
}

void diffad_launch_mem(diffad_launch *l, int32_t mem, int64_t offset, diffad_access access)
{
    add(l, (diffad_launch_arg){ .kind = DIFFAD_ARG_MEM, .mem = mem, .i = offset, .access = access });
}

void diffad_launch_int(diffad_launch *l, int64_t v)
{
    l->is_overfull = l->is_overfull || v > INT32_MAX || v < INT32_MIN;
    add(l, (diffad_launch_arg){ .kind = DIFFAD_ARG_I32, .i = v });
}

void diffad_launch_ints(diffad_launch *l, const int64_t *v, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof *v; i++)
        diffad_launch_int(l, v[i]);
}

void diffad_launch_count(diffad_launch *l, int64_t v) { add(l, (diffad_launch_arg){ .kind = DIFFAD_ARG_I64, .i = v }); }
void diffad_launch_float(diffad_launch *l, double v)
{
    add(l, (diffad_launch_arg){ .kind = DIFFAD_ARG_F32, .f = (float)v });
}
void diffad_launch_local(diffad_launch *l, int64_t bytes) { l->bytes = bytes; }

diffad_launch diffad_launch_copy(int32_t from, int64_t from_byte, int32_t to, int64_t to_byte, int64_t bytes)
{
    diffad_launch l = { .kind = DIFFAD_LAUNCH_COPY, .program = "copy", .kernel = "copy", .bytes = bytes };
    diffad_launch_mem(&l, from, from_byte, DIFFAD_READ);
    diffad_launch_mem(&l, to, to_byte, DIFFAD_WRITE);
    return l;
}

diffad_launch diffad_launch_zero(int32_t to, int64_t to_byte, int64_t bytes)
{
    diffad_launch l = { .kind = DIFFAD_LAUNCH_FILL, .program = "fill", .kernel = "fill", .bytes = bytes };
    diffad_launch_mem(&l, to, to_byte, DIFFAD_WRITE);
    return l;
}

diffad_launch diffad_launch_call(const char *name, diffad_host_call host)
{
    return (diffad_launch){ .kind = DIFFAD_LAUNCH_HOST, .program = name, .kernel = name, .host = host };
}

/* ---- freezing ---- */

static int by_name(const diffad_launch *l, int a, int b) { return strcmp(l->def[a].name, l->def[b].name); }

diffad_status diffad_launch_constants(const diffad_launch *l, const diffad_caps *caps, char *out, size_t bytes)
{
    static const char *const group_names[] = { "WG", "WG1", "WG2" };
    diffad_launch all = *l;
    int           order[DIFFAD_LAUNCH_DEFS];
    size_t        used = 0;
    for (int i = 0; i < 3; i++) {
        all.def[all.n_defs].name    = group_names[i];
        all.def[all.n_defs++].value = l->group[i];
    }
    if (caps->sub_group) {
        all.def[all.n_defs].name    = "SUB_GROUP";
        all.def[all.n_defs++].value = caps->sub_group;
    }
    for (int i = 0; i < all.n_defs; i++) {
        int k = i;
        for (; k > 0 && by_name(&all, i, order[k - 1]) < 0; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    for (int i = 0; i < all.n_defs; i++) {
        const int n = snprintf(out + used, bytes - used, "%s-D%s=%lld", i ? " " : "", all.def[order[i]].name,
                               (long long)all.def[order[i]].value);
        if (n < 0 || (used += (size_t)n) >= bytes)
            DIFFAD_FAIL(DIFFAD_ERR_INTERNAL, "kernel %s: too many constants", l->kernel);
    }
    return DIFFAD_OK;
}

void diffad_launches_wish(diffad_device *dev, const diffad_launch *l, int64_t n, diffad_program_list *list)
{
    char defines[1024];
    for (int64_t i = 0; i < n; i++)
        if (l[i].kind == DIFFAD_LAUNCH_KERNEL &&
            diffad_launch_constants(&l[i], &dev->caps, defines, sizeof defines) == DIFFAD_OK)
            diffad_program_wish(dev, list, l[i].program, defines);
}

static diffad_status check_limits(const diffad_device *dev, const diffad_launch *l)
{
    const diffad_caps *c = &dev->caps;
    const int64_t      group = l->group[0] * l->group[1] * l->group[2];
    if (l->is_overfull)
        DIFFAD_FAIL(DIFFAD_ERR_INTERNAL, "kernel %s: too many arguments or constants, or a side beyond 2^31",
                    l->kernel);
    for (int i = 0; i < 3; i++)
        if (l->items[i] <= 0 || l->group[i] <= 0 || (uint64_t)l->group[i] > c->max_group_side[i])
            DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "kernel %s: work-group side %d is %lld of %lld items, %s allows %llu",
                        l->kernel, i, (long long)l->group[i], (long long)l->items[i], c->name,
                        (unsigned long long)c->max_group_side[i]);
    if ((uint64_t)group > c->max_group)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "kernel %s: work-group of %lld, %s allows %llu", l->kernel,
                    (long long)group, c->name, (unsigned long long)c->max_group);
    if ((uint64_t)l->bytes > c->local_mem)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "kernel %s: %lld bytes of local memory, %s has %llu", l->kernel,
                    (long long)l->bytes, c->name, (unsigned long long)c->local_mem);
    size_t parameters = 0;
    for (int i = 0; i < l->n_args; i++)
        parameters += l->arg[i].kind == DIFFAD_ARG_MEM   ? sizeof(cl_mem) + sizeof(cl_ulong)
                      : l->arg[i].kind == DIFFAD_ARG_I64 ? 8
                                                         : 4;
    if (c->max_parameter_bytes && parameters > c->max_parameter_bytes)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "kernel %s: %zu bytes of arguments, %s takes %llu", l->kernel, parameters,
                    c->name, (unsigned long long)c->max_parameter_bytes);
    return DIFFAD_OK;
}

/* A driver may allow a kernel less than the device: registers run out. */
static diffad_status check_kernel(const diffad_device *dev, const diffad_frozen *f)
{
    const size_t group = f->local[0] * f->local[1] * f->local[2];
    size_t       most = 0;
    if (diffad_cl.GetKernelWorkGroupInfo(f->kernel, dev->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof most, &most, NULL) ==
            CL_SUCCESS &&
        most > 0 && group > most)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "kernel %s: work-group of %zu, %s allows this kernel %zu", f->launch.kernel,
                    group, dev->caps.name, most);
    return DIFFAD_OK;
}

static diffad_status set_args(diffad_device *dev, diffad_frozen *f, const diffad_place *place, const uint8_t *element)
{
    cl_uint at = 0;
    cl_int  code = CL_SUCCESS;
    for (int i = 0; i < f->launch.n_args && code == CL_SUCCESS; i++) {
        const diffad_launch_arg *a = &f->launch.arg[i];
        if (a->kind == DIFFAD_ARG_MEM) {
            const cl_ulong offset = (cl_ulong)(place[a->mem].offset / element[a->mem] + (size_t)a->i);
            code = diffad_cl.SetKernelArg(f->kernel, at++, sizeof(cl_mem), &place[a->mem].buffer);
            if (code == CL_SUCCESS)
                code = diffad_cl.SetKernelArg(f->kernel, at++, sizeof offset, &offset);
        } else if (a->kind == DIFFAD_ARG_I32) {
            const cl_int v = (cl_int)a->i;
            code = diffad_cl.SetKernelArg(f->kernel, at++, sizeof v, &v);
        } else if (a->kind == DIFFAD_ARG_I64) {
            const cl_ulong v = (cl_ulong)a->i;
            code = diffad_cl.SetKernelArg(f->kernel, at++, sizeof v, &v);
        } else {
            code = diffad_cl.SetKernelArg(f->kernel, at++, sizeof a->f, &a->f);
        }
    }
    if (code != CL_SUCCESS) {
        const diffad_status st = diffad_device_check(dev, code, "set argument");
        return diffad_fail_context(st, "kernel %s of %s, argument %u", f->launch.kernel, f->launch.program, at - 1);
    }
    return DIFFAD_OK;
}

diffad_status diffad_freeze(diffad_device *dev, const diffad_launch *l, const diffad_place *place,
                            const uint8_t *element, diffad_frozen *out)
{
    char          defines[1024];
    diffad_frozen f = { .launch = *l, .dims = 1 };
    if (l->kind != DIFFAD_LAUNCH_KERNEL) {
        *out = f;
        return DIFFAD_OK;
    }
    DIFFAD_TRY(check_limits(dev, l));
    for (int i = 0; i < 3; i++) {
        f.local[i]  = (size_t)l->group[i];
        f.global[i] = (size_t)diffad_round_up(l->items[i], l->group[i]);
        if (f.global[i] > 1)
            f.dims = (cl_uint)i + 1;
    }
    DIFFAD_TRY(diffad_launch_constants(l, &dev->caps, defines, sizeof defines));
    DIFFAD_TRY(diffad_program_get(dev, l->program, defines, &f.program));
    DIFFAD_TRY(diffad_program_kernel(f.program, l->kernel, &f.kernel));
    diffad_status st = check_kernel(dev, &f);
    if (st == DIFFAD_OK)
        st = set_args(dev, &f, place, element);
    if (st != DIFFAD_OK)
        diffad_frozen_release(dev, &f);
    else
        *out = f;
    return st;
}

diffad_status diffad_frozen_enqueue(diffad_device *dev, const diffad_frozen *f, const diffad_place *place,
                                    cl_event *event)
{
    const diffad_launch *l = &f->launch;
    cl_int               code;
    DIFFAD_TRY(diffad_device_usable(dev));
    if (l->kind == DIFFAD_LAUNCH_HOST)
        return l->host(dev, l, place);
    if (l->kind == DIFFAD_LAUNCH_COPY) {
        const diffad_launch_arg *from = &l->arg[0], *to = &l->arg[1];
        code = diffad_cl.EnqueueCopyBuffer(dev->queue, place[from->mem].buffer, place[to->mem].buffer,
                                           place[from->mem].offset + (size_t)from->i,
                                           place[to->mem].offset + (size_t)to->i, (size_t)l->bytes, 0, NULL, event);
    } else if (l->kind == DIFFAD_LAUNCH_FILL) {
        const cl_uint zero = 0;
        code = diffad_cl.EnqueueFillBuffer(dev->queue, place[l->arg[0].mem].buffer, &zero, sizeof zero,
                                           place[l->arg[0].mem].offset + (size_t)l->arg[0].i, (size_t)l->bytes, 0, NULL,
                                           event);
    } else {
        code =
            diffad_cl.EnqueueNDRangeKernel(dev->queue, f->kernel, f->dims, NULL, f->global, f->local, 0, NULL, event);
    }
    return code == CL_SUCCESS ? DIFFAD_OK : diffad_device_check(dev, code, l->kernel);
}

void diffad_frozen_release(diffad_device *dev, diffad_frozen *f)
{
    if (!f->kernel)
        return;
    if (!dev->is_broken)
        diffad_cl.ReleaseKernel(f->kernel);
    dev->live--;
    f->kernel = NULL;
}
