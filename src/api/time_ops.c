/* time_ops.c: cases of ops by the driver's clock. */
#include "api/time_ops.h"
#include "api/check_common.h"
#include "base/sys.h"
#include "device/device.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SETTLING_US = 4000 };      /* until a system has its threads on a core each: a tick of its clock */

bool time_case_counts(const diffad_op *op, const diffad_op_case *c)
{
    for (int k = 0; k < op->n_cases; k++)
        if (op->cases[k].bench)
            return c->bench;
    return true;
}

/* Maps lie as inside networks: in blocks, unless they have fewer channels than a block. */
static diffad_status build(time_case *t, const char *way)
{
    char      forced[128];
    const int block = (int)diffad_device_caps(t->dev)->block;
    DIFFAD_TRY(diffad_graph_create(&t->g));
    DIFFAD_TRY(check_bound(t->dev, t->op, t->c, t->bound));
    DIFFAD_TRY(check_graph(t->g, t->op, t->c, block > 1 && t->op != &diffad_op_reorder ? block : 0, t->bound, NULL, NULL));
    snprintf(forced, sizeof forced, "%s=%s", t->op->name, way ? way : "");
    return diffad_plan_create(t->dev, t->g, &(diffad_plan_options){ .ways = way ? forced : NULL }, &t->plan);
}

static const plan_step *step_of(const time_case *t, const char *way)
{
    for (int64_t i = 0; i < t->plan->n_steps; i++) {
        const plan_step *s = &t->plan->step[i];
        if (t->g->node[s->node]->op == t->op && s->way && (!way || strcmp(s->way->name, way) == 0))
            return s;
    }
    return NULL;
}

diffad_status time_case_open(diffad_device *dev, const diffad_op *op, const diffad_op_case *c, const char *way, time_case *t)
{
    *t = (time_case){ .dev = dev, .op = op, .c = c };
    DIFFAD_TRY(build(t, way));
    t->step = step_of(t, way);
    if (t->step && op->cost)
        t->cost = op->cost(t->g->node[t->step->node]);
    return DIFFAD_OK;
}

static diffad_status write_input(time_case *t, int i)
{
    char name[16];
    snprintf(name, sizeof name, "x%d", i);
    diffad_tensor *x = t->bound[i] ? t->bound[i] : diffad_plan_tensor(t->plan, name);
    const diffad_dtype type = check_type(t->op, t->c, i);
    const diffad_shape shape = check_shape(t->op, t->c, i);
    const int64_t count = diffad_shape_count(&shape);
    const size_t bytes = (size_t)count * diffad_dtype_bytes(type);
    double *data = check_data(t->op, t->c, i, 0);
    void *raw = diffad_alloc(bytes);
    diffad_status st = data && raw ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "%s: no host memory", t->op->name);
    if (st == DIFFAD_OK && x) {
        check_to_type(data, count, type, raw);
        st = diffad_tensor_write(x, raw, bytes);
    }
    diffad_release(data);
    diffad_release(raw);
    return st;
}

static double step_us(const time_case *t)
{
    double us = 0;
    for (int64_t i = t->step->first; i < t->step->first + t->step->count; i++) {
        cl_ulong from = 0, to = 0;
        cl_event e = t->plan->event ? t->plan->event[i] : NULL;
        if (!e || diffad_cl.GetEventProfilingInfo(e, CL_PROFILING_COMMAND_START, sizeof from, &from, NULL) != CL_SUCCESS ||
            diffad_cl.GetEventProfilingInfo(e, CL_PROFILING_COMMAND_END, sizeof to, &to, NULL) != CL_SUCCESS)
            return 0;
        us += (double)(to - from) * 1e-3;
    }
    return us;
}

diffad_status time_case_run(time_case *t, double *us)
{
    for (int i = 0; i < t->op->n_in; i++)
        if (!check_is_absent(t->op, t->c, i))
            DIFFAD_TRY(write_input(t, i));
    const int runs = t->us > 0 ? 2 + (int)fmin(SETTLING_US / t->us, 14) : 2;
    for (int i = 0; i < runs; i++)
        DIFFAD_TRY(diffad_plan_run(t->plan));
    DIFFAD_TRY(diffad_device_wait(t->dev));
    *us = t->us = step_us(t);
    return DIFFAD_OK;
}

void time_case_close(time_case *t)
{
    diffad_plan_destroy(t->plan);
    diffad_graph_destroy(t->g);
    for (int i = 0; i < DIFFAD_MAX_IN; i++)
        diffad_tensor_destroy(t->bound[i]);
    *t = (time_case){ .dev = NULL };
}
