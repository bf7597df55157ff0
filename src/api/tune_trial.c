/* tune_trial.c: one node in one way: built, run by the driver's clock, compared. */
#include "api/tune_internal.h"
#include "base/rng.h"
#include "base/sys.h"
#include "op/ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static diffad_status build_graph(tune_trial *t, uint64_t blocked)
{
    const tune_node *of = t->of;
    diffad_val       in[DIFFAD_CASE_IN];
    char             name[16];
    DIFFAD_TRY(diffad_graph_create(&t->g));
    const int n_in = of->op->n_in < DIFFAD_CASE_IN ? of->op->n_in : DIFFAD_CASE_IN;
    for (int i = 0; i < n_in; i++) {
        const tune_operand *o = &of->in[i];
        in[i] = diffad_none();
        if (!o->is_there)
            continue;
        snprintf(name, sizeof name, "x%d", i);
        if (o->stays)
            DIFFAD_TRY(diffad_tensor_create(t->dev, DIFFAD_F32, &o->shape, &t->bound[i]));
        in[i] = o->stays ? diffad_bound(t->g, name, DIFFAD_F32, o->shape, &t->bound[i]) : diffad_input(t->g, name, DIFFAD_F32, o->shape);
        if (blocked >> i & 1u)
            in[i] = diffad_reorder(t->g, in[i]);
    }
    const diffad_val y = diffad_apply(t->g, of->op, of->attr, n_in, in);
    for (int k = 0; k < of->op->n_out; k++) {
        snprintf(name, sizeof name, "y%d", k);
        diffad_output(t->g, name, diffad_out(y, k));
    }
    return diffad_graph_status(t->g);
}

/* The same numbers in every way. */
static diffad_status write_inputs(tune_trial *t)
{
    diffad_status st = DIFFAD_OK;
    char          name[16];
    for (int i = 0; i < DIFFAD_CASE_IN && st == DIFFAD_OK; i++) {
        if (!t->of->in[i].is_there)
            continue;
        snprintf(name, sizeof name, "x%d", i);
        diffad_tensor *to    = t->bound[i] ? t->bound[i] : diffad_plan_tensor(t->plan, name);
        const int64_t  count = diffad_shape_count(&t->of->in[i].shape);
        float         *x     = diffad_alloc_array((size_t)count, sizeof *x);
        diffad_rng     r     = diffad_rng_make(1, DIFFAD_RNG_NOISE, (uint32_t)i, 0);
        if (!x)
            return diffad_fail(DIFFAD_ERR_MEMORY, "tune: no host memory");
        for (int64_t k = 0; k < count; k++)
            x[k] = diffad_rng_between(&r, -1, 1);
        if (to)
            st = diffad_tensor_write(to, x, (size_t)count * sizeof *x);
        diffad_release(x);
    }
    return st;
}

static const plan_step *step_of(const diffad_plan *p, const diffad_op *op)
{
    for (int64_t i = 0; i < p->n_steps; i++)
        if (p->graph->node[p->step[i].node]->op == op)
            return &p->step[i];
    return NULL;
}

/* Told from a plan that is made for its sizes: nothing is compiled for what cannot be taken. */
static diffad_status expect_layout(const tune_trial *t, const char *ways, const tune_trial *usual)
{
    diffad_plan *p;
    DIFFAD_TRY(diffad_plan_create(t->dev, t->g, &(diffad_plan_options){ .ways = ways, .sizes_only = true }, &p));
    const bool is_alike = step_of(p, t->of->op)->out_blocked == usual->step->out_blocked;
    diffad_plan_destroy(p);
    if (!is_alike)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "tune: %s gives another layout", ways);
    return DIFFAD_OK;
}

diffad_status tune_trial_open(diffad_device *dev, const tune_node *of, const char *choice, uint64_t blocked, const tune_trial *usual,
                              tune_trial *t)
{
    char ways[128];
    *t = (tune_trial){ .dev = dev, .of = of };
    snprintf(ways, sizeof ways, "%s=%s", of->op->name, choice ? choice : "");
    DIFFAD_TRY(build_graph(t, blocked));
    if (usual)
        DIFFAD_TRY(expect_layout(t, ways, usual));
    DIFFAD_TRY(diffad_plan_create(dev, t->g, &(diffad_plan_options){ .ways = choice ? ways : NULL }, &t->plan));
    t->step = step_of(t->plan, of->op);
    if (t->step->variant < 0)
        snprintf(t->choice, sizeof t->choice, "%s", t->step->way->name);
    else
        snprintf(t->choice, sizeof t->choice, "%s/%d", t->step->way->name, t->step->variant);
    if (choice && strcmp(choice, t->choice) != 0)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "tune: %s does not fit %s", choice, of->key);
    return write_inputs(t);
}

diffad_status tune_trial_run(tune_trial *t, tune_time *us)
{
    cl_ulong       from = 0, to = 0;
    const uint64_t start = diffad_sys.monotonic_ns();
    DIFFAD_TRY(diffad_plan_run(t->plan));
    DIFFAD_TRY(diffad_device_wait(t->dev));
    *us = (tune_time){ 0, (double)(diffad_sys.monotonic_ns() - start) * 1e-3 };
    if (!t->plan->event || t->step->count == 0)
        return DIFFAD_OK;
    const cl_event first = t->plan->event[t->step->first], last = t->plan->event[t->step->first + t->step->count - 1];
    if (first && last &&
        diffad_cl.GetEventProfilingInfo(first, CL_PROFILING_COMMAND_START, sizeof from, &from, NULL) == CL_SUCCESS &&
        diffad_cl.GetEventProfilingInfo(last, CL_PROFILING_COMMAND_END, sizeof to, &to, NULL) == CL_SUCCESS && to > from)
        us->device = (double)(to - from) * 1e-3;
    return DIFFAD_OK;
}

static double tolerance(const tune_trial *t)
{
    return t->step->way->tol > 0 ? t->step->way->tol : t->of->op->tol;
}

static diffad_status output_agrees(const tune_trial *a, const tune_trial *b, int k, bool *agrees)
{
    char name[16];
    snprintf(name, sizeof name, "y%d", k);
    const diffad_tensor *p = diffad_plan_tensor(a->plan, name), *q = diffad_plan_tensor(b->plan, name);
    const int64_t        count = diffad_shape_count(diffad_tensor_shape(p));
    const size_t         bytes = (size_t)count * sizeof(float);
    float               *x = diffad_alloc(bytes), *y = diffad_alloc(bytes);
    double               scale = 0, worst = 0;
    diffad_status        st = x && y ? diffad_tensor_read(p, x, bytes) : diffad_fail(DIFFAD_ERR_MEMORY, "tune: no host memory");
    if (st == DIFFAD_OK)
        st = diffad_tensor_read(q, y, bytes);
    for (int64_t i = 0; i < count && st == DIFFAD_OK; i++) {
        const double d = fabs((double)x[i] - y[i]);
        scale = fmax(scale, fabs((double)x[i]));
        worst = d <= worst ? worst : isnan(d) ? INFINITY : d;
    }
    *agrees = st == DIFFAD_OK && worst <= 4 * fmax(tolerance(a), tolerance(b)) * scale;
    diffad_release(x);
    diffad_release(y);
    return st;
}

diffad_status tune_trial_agrees(const tune_trial *usual, const tune_trial *t, bool *agrees)
{
    *agrees = true;
    for (int k = 0; k < t->of->op->n_out && *agrees; k++)
        DIFFAD_TRY(output_agrees(usual, t, k, agrees));
    return DIFFAD_OK;
}

void tune_trial_close(tune_trial *t)
{
    diffad_plan_destroy(t->plan);
    diffad_graph_destroy(t->g);
    for (int i = 0; i < DIFFAD_CASE_IN; i++)
        diffad_tensor_destroy(t->bound[i]);
    *t = (tune_trial){ .dev = NULL };
}
