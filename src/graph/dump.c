/* dump.c: a plan as text, as a list of ways, and as a Chrome trace. */
#include "base/file.h"
#include "base/sys.h"
#include "base/text.h"
#include "graph/plan.h"

#include <math.h>

static double step_us(const diffad_plan *p, const plan_step *s)
{
    double us = 0;
    for (int64_t i = s->first; p->event && i < s->first + s->count; i++) {
        cl_ulong start = 0, end = 0;
        if (p->event[i] &&
            diffad_cl.GetEventProfilingInfo(p->event[i], CL_PROFILING_COMMAND_START, sizeof start, &start, NULL) ==
                CL_SUCCESS &&
            diffad_cl.GetEventProfilingInfo(p->event[i], CL_PROFILING_COMMAND_END, sizeof end, &end, NULL) ==
                CL_SUCCESS)
            us += (double)(end - start) * 1e-3;
    }
    return us;
}

static diffad_cost step_cost(const diffad_plan *p, const plan_step *s)
{
    const diffad_node *n = p->graph->node[s->node];
    return n->op->cost && s->way ? n->op->cost(n) : (diffad_cost){ 0, 0 };
}

double diffad_plan_flops(const diffad_plan *p)
{
    double flops = 0;
    for (int64_t i = 0; i < p->n_steps; i++)
        flops += step_cost(p, &p->step[i]).flops;
    return flops;
}

double diffad_plan_seconds(const diffad_plan *p, double flops_per_second, double bytes_per_second)
{
    double seconds = 0;
    for (int64_t i = 0; i < p->n_steps; i++) {
        const diffad_cost c = step_cost(p, &p->step[i]);
        seconds += fmax(c.flops / flops_per_second, c.bytes / bytes_per_second);
    }
    return seconds;
}

static void dump_step(const diffad_plan *p, const plan_step *s, double total_us, diffad_text *t)
{
    const diffad_node *n = p->graph->node[s->node];
    const diffad_cost  c = step_cost(p, s);
    char               shape[64];
    diffad_text_addf(t, "%4d %-18s %-10s %-20s", n->id, n->op->name, s->way ? s->way->name : "alias",
                     n->op->n_out ? diffad_shape_text(&n->out[0]->shape, shape, sizeof shape) : "");
    for (int64_t i = s->first; i < s->first + s->count && i < s->first + 4; i++) {
        const diffad_launch *l = p->frozen ? &p->frozen[i].launch : &p->launch[i];
        diffad_text_addf(t, " %s(%lldx%lldx%lld)", l->kernel, (long long)l->items[0], (long long)l->items[1],
                         (long long)l->items[2]);
    }
    if (p->fused_into[n->id] >= 0)
        diffad_text_addf(t, " in node %d", (int)p->fused_into[n->id]);
    diffad_text_addf(t, "%s%s MFLOP=%.3f MB=%.3f", s->count > 4 ? " ..." : "",
                     p->remade.graph && p->remade.is_again[n->id] ? " again" : "", c.flops * 1e-6, c.bytes * 1e-6);
    if (total_us > 0) {
        const double us = step_us(p, s);
        diffad_text_addf(t, " us=%.1f (%.1f %%)", us, 100 * us / total_us);
        if (us > 0)
            diffad_text_addf(t, " GFLOP/s=%.1f GB/s=%.1f", c.flops / us * 1e-3, c.bytes / us * 1e-3);
    }
    diffad_text_addf(t, "%s%s\n", n->scope ? " " : "", n->scope ? n->scope : "");
}

char *diffad_plan_dump(const diffad_plan *p)
{
    diffad_text t = { 0 };
    double      total = 0;
    for (int64_t i = 0; p->event && i < p->n_steps; i++)
        total += step_us(p, &p->step[i]);
    for (int64_t i = 0; i < p->n_steps; i++)
        dump_step(p, &p->step[i], total, &t);
    char *fused = diffad_plan_fusions(p);
    if (fused && *fused)
        diffad_text_addf(&t, "fused: %s\n", fused);
    diffad_release(fused);
    diffad_text_addf(&t, "%lld nodes, %lld launches, %.1f MiB shared, %.1f MiB fixed, %.3f GFLOP\n",
                     (long long)p->n_steps, (long long)p->n_launches, (double)p->shared_bytes / (1 << 20),
                     (double)p->fixed_bytes / (1 << 20), diffad_plan_flops(p) * 1e-9);
    if (t.failed)
        diffad_text_release(&t);
    return t.s;
}

static void add_way(const diffad_plan *p, const plan_step *s, diffad_text *t)
{
    diffad_text_addf(t, "%s%s:%s", t->length ? "," : "", p->graph->node[s->node]->op->name, s->way->name);
    if (s->variant >= 0)
        diffad_text_addf(t, "/%d", s->variant);
}

char *diffad_plan_ways(const diffad_plan *p)
{
    diffad_text t = { 0 };
    if (p->model_ways)
        return diffad_strdup(p->model_ways);
    for (int64_t i = 0; i < p->n_steps; i++)
        if (p->step[i].way)
            add_way(p, &p->step[i], &t);
    diffad_text_add(&t, "");
    if (t.failed)
        diffad_text_release(&t);
    return t.s;
}

diffad_status diffad_plan_trace(const diffad_plan *p, const char *path)
{
    diffad_writer w;
    if (!p->event)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "trace: the device was opened without DIFFAD_PROFILE=1, or nothing ran yet");
    DIFFAD_TRY(diffad_writer_begin(&w, path));
    diffad_writer_printf(&w, "[\n");
    cl_ulong origin = 0;
    bool     first = true;
    for (int64_t i = 0; i < p->n_steps; i++)
        for (int64_t k = p->step[i].first; k < p->step[i].first + p->step[i].count; k++) {
            cl_ulong start = 0, end = 0;
            if (!p->event[k] ||
                diffad_cl.GetEventProfilingInfo(p->event[k], CL_PROFILING_COMMAND_START, sizeof start, &start, NULL) !=
                    CL_SUCCESS ||
                diffad_cl.GetEventProfilingInfo(p->event[k], CL_PROFILING_COMMAND_END, sizeof end, &end, NULL) !=
                    CL_SUCCESS)
                continue;
            if (first)
                origin = start;
            const diffad_frozen *f = &p->frozen[k];
            diffad_writer_printf(
                &w,
                "%s{\"name\":\"%s\",\"cat\":\"%s\",\"ph\":\"X\",\"pid\":0,\"tid\":0,\"ts\":%.3f,\"dur\":%.3f,"
                "\"args\":{\"node\":%lld,\"items\":\"%llux%llux%llu\",\"group\":\"%llux%llux%llu\",\"node_mflop\":%.3f}}",
                first ? "" : ",\n", f->launch.kernel, p->graph->node[p->step[i].node]->op->name,
                (double)(start - origin) * 1e-3, (double)(end - start) * 1e-3, (long long)p->step[i].node,
                (unsigned long long)f->global[0], (unsigned long long)f->global[1], (unsigned long long)f->global[2],
                (unsigned long long)f->local[0], (unsigned long long)f->local[1], (unsigned long long)f->local[2],
                step_cost(p, &p->step[i]).flops * 1e-6);
            first = false;
        }
    diffad_writer_printf(&w, "\n]\n");
    return diffad_writer_commit(&w);
}
