/* exec.c: runs a plan; checks of guards and padding lanes. */
#include "base/size.h"
#include "base/sys.h"
#include "graph/plan.h"

#include <stdio.h>
#include <string.h>

bool plan_env_is_on(const char *name)
{
    const char *v = diffad_sys.getenv(name);
    return v && *v && strcmp(v, "0") != 0;
}

static diffad_status enqueue_traced(diffad_plan *p, int64_t i, cl_event *event)
{
    const diffad_launch *l = &p->frozen[i].launch;
    diffad_log(DIFFAD_LOG_INFO, "trace: launch %lld: %s of %s", (long long)i, l->kernel, l->program);
    diffad_status st = diffad_frozen_enqueue(p->dev, &p->frozen[i], p->place, event);
    if (st == DIFFAD_OK)
        st = diffad_device_wait(p->dev);
    return st == DIFFAD_OK
               ? st
               : diffad_fail_context(st, "launch %lld, kernel %s of %s", (long long)i, l->kernel, l->program);
}

diffad_status plan_enqueue(diffad_plan *p, int64_t first, int64_t count)
{
    const bool is_traced = plan_env_is_on("DIFFAD_TRACE");
    for (int64_t i = first; i < first + count; i++) {
        cl_event *event = p->event ? &p->event[i] : NULL;
        if (event && *event)
            diffad_cl.ReleaseEvent(*event);
        if (event)
            *event = NULL;
        DIFFAD_TRY(is_traced ? enqueue_traced(p, i, event)
                             : diffad_frozen_enqueue(p->dev, &p->frozen[i], p->place, event));
    }
    return DIFFAD_OK;
}

/* The first launch compiled the kernels for their work-groups: now the binaries are worth keeping. */
static diffad_status after_first_run(diffad_plan *p)
{
    DIFFAD_TRY(diffad_device_wait(p->dev));
    for (int64_t i = 0; i < p->n_launches; i++)
        if (p->frozen[i].program)
            diffad_program_store(p->frozen[i].program);
    for (int64_t i = 0; i < p->n_prologue; i++)
        if (p->frozen_prologue[i].program)
            diffad_program_store(p->frozen_prologue[i].program);
    p->has_run = true;
    return DIFFAD_OK;
}

/* Before the run: where it fails half-way, what was written may have changed all the same. */
static void count_writes(diffad_plan *p)
{
    for (int64_t i = 0; i < p->graph->n_values; i++)
        if (p->value[i].is_written && p->value[i].plain.mem >= 0 && p->mem[p->value[i].plain.mem].tensor)
            p->mem[p->value[i].plain.mem].tensor->version++;
}

diffad_status diffad_plan_run(diffad_plan *p)
{
    DIFFAD_TRY(diffad_device_usable(p->dev));
    if (p->options.sizes_only)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "plan: made for its sizes only, it cannot run");
    if (p->dev->has_profiling && !p->event &&
        !(p->event = diffad_alloc_array((size_t)p->n_launches + 1, sizeof *p->event)))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "profile: no host memory");
    DIFFAD_TRY(plan_run_packs(p));
    count_writes(p);
    DIFFAD_TRY(p->is_checked ? plan_run_checked(p) : plan_enqueue(p, 0, p->n_launches));
    if (!p->has_run)
        return after_first_run(p);
    return diffad_device_check(p->dev, diffad_cl.Flush(p->dev->queue), "flush");
}

/* ---- checks ---- */

/* Canaries before and behind each object that is the plan's own. */
diffad_status plan_fill_guards(diffad_plan *p)
{
    const cl_uint canary = 0xC0DEC0DEu;
    cl_int        code = CL_SUCCESS;
    for (int64_t i = 0; i < p->n_mems && code == CL_SUCCESS; i++) {
        const diffad_place *at = &p->place[i];
        if (p->mem[i].kind == PLAN_MEM_FIXED || !at->buffer)
            continue;
        code = diffad_cl.EnqueueFillBuffer(p->dev->queue, at->buffer, &canary, 4, at->offset - PLAN_GUARD_BYTES,
                                           PLAN_GUARD_BYTES, 0, NULL, NULL);
        if (code == CL_SUCCESS)
            code = diffad_cl.EnqueueFillBuffer(p->dev->queue, at->buffer, &canary, 4,
                                               at->offset + (size_t)p->mem[i].bytes, PLAN_GUARD_BYTES, 0, NULL, NULL);
    }
    return diffad_device_check(p->dev, code, "fill guards");
}

diffad_status plan_read(diffad_plan *p, const diffad_place *from, int64_t before, size_t bytes, void *to)
{
    DIFFAD_TRY(diffad_device_settle(p->dev));
    return diffad_device_check(p->dev,
                               diffad_cl.EnqueueReadBuffer(p->dev->queue, from->buffer, CL_TRUE,
                                                           (size_t)((int64_t)from->offset + before), bytes, to, 0, NULL,
                                                           NULL),
                               "read");
}

static void name_value(const diffad_plan *p, int64_t mem, char *where, size_t bytes)
{
    const int32_t       id = p->mem[mem].value;
    const diffad_value *v  = id >= 0 ? p->graph->value[id] : NULL;
    if (v && v->node >= 0)
        snprintf(where, bytes, "output of %s (node %d)", p->graph->node[v->node]->op->name, v->node);
    else
        snprintf(where, bytes, "%s", v && v->name ? v->name : "work space");
}

diffad_status diffad_plan_check_guards(diffad_plan *p, bool *intact, char *where, size_t bytes)
{
    uint32_t canary[PLAN_GUARD_BYTES / 4];
    *intact = true;
    for (int64_t i = 0; p->options.guard && i < p->n_mems && *intact; i++) {
        if (p->mem[i].kind == PLAN_MEM_FIXED || !p->place[i].buffer)
            continue;
        for (int side = 0; side < 2; side++) {
            DIFFAD_TRY(plan_read(p, &p->place[i], side ? p->mem[i].bytes : -PLAN_GUARD_BYTES, sizeof canary, canary));
            for (int k = 0; k < PLAN_GUARD_BYTES / 4; k++)
                *intact = *intact && canary[k] == 0xC0DEC0DEu;
        }
        if (!*intact)
            name_value(p, i, where, bytes);
    }
    return DIFFAD_OK;
}

static bool lanes_are_zero(const float *x, const diffad_value *v, int block)
{
    const int64_t n = diffad_side(v, 0), c = diffad_side(v, 1), hw = diffad_numel(v) / (n * c);
    const int64_t blocks = diffad_ceil_div(c, block), lanes = c - (blocks - 1) * block;
    for (int64_t i = 0; i < n; i++)
        for (int64_t px = 0; px < hw; px++)
            for (int64_t b = lanes; b < block; b++)
                if (x[((i * blocks + blocks - 1) * hw + px) * block + b] != 0.0f)
                    return false;
    return true;
}

diffad_status diffad_plan_check_lanes(diffad_plan *p, bool *zero, char *where, size_t bytes)
{
    *zero = true;
    for (int64_t i = 0; i < p->graph->n_values && *zero; i++) {
        const diffad_value   *v = p->graph->value[i];
        const diffad_operand *o = &p->value[i].blocked;
        if (o->mem < 0 || !p->options.no_sharing || !p->place[o->mem].buffer)
            continue;
        const size_t size = (size_t)diffad_layout_count(v, o->block) * sizeof(float);
        float       *x = diffad_alloc(size);
        if (!x)
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "check: no host memory");
        const diffad_status st = plan_read(p, &p->place[o->mem], o->offset * 4, size, x);
        *zero = st == DIFFAD_OK && lanes_are_zero(x, v, o->block);
        diffad_release(x);
        DIFFAD_TRY(st);
        if (!*zero)
            name_value(p, o->mem, where, bytes);
    }
    return DIFFAD_OK;
}
