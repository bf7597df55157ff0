/* check.c: DIFFAD_CHECK=1: after each node of a run its outputs are read back, searched for not-a-numbers and compared
 * with the node's double reference on the same inputs. The first offender is the error. Slow; nothing shares memory
 * meanwhile. */
#include "base/sys.h"
#include "base/text.h"
#include "graph/plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The error bounds of ops hold for their cases; real data may cancel more, a wrong kernel is off by far more. */
enum { SLACK = 20 };
static const double FLOOR = 1e-4;

typedef struct trial {
    diffad_plan       *plan;
    const plan_step   *step;
    const diffad_node *n;
    diffad_ref         ref;
    double            *got;          /* of the operand that is being compared */
} trial;

/* ---- values from the device ---- */

static void convert(const diffad_value *v, const diffad_operand *o, const unsigned char *raw, const float *f32,
                    double *out)
{
    const int64_t count = diffad_numel(v), c = diffad_side(v, 1), hw = count / (diffad_side(v, 0) * c);
    const int64_t blocks = (c + o->block - 1) / o->block;
    for (int64_t i = 0; i < count; i++) {
        const int64_t px = i % hw, ch = i / hw % c, n = i / hw / c;
        const int64_t at = o->block > 1 ? ((n * blocks + ch / o->block) * hw + px) * o->block + ch % o->block : i;
        int32_t       whole;
        if (v->type == DIFFAD_I32) {
            memcpy(&whole, raw + at * 4, sizeof whole);
            out[i] = whole;
        } else {
            out[i] = f32[at];
        }
    }
}

/* The value in row-major order, from where its node put it, in new memory. */
static diffad_status read_value(diffad_plan *p, const diffad_value *v, double **out)
{
    const plan_value     *pv    = &p->value[v->id];
    const diffad_operand *o     = pv->is_home_blocked ? &pv->blocked : &pv->plain;
    const int64_t         count = diffad_layout_count(v, o->block);
    const size_t          each = diffad_dtype_bytes(v->type), bytes = (size_t)count * each;
    unsigned char *raw = diffad_alloc(bytes);
    float         *f32 = diffad_alloc_array((size_t)count, sizeof *f32);
    double        *x   = diffad_alloc_array((size_t)diffad_numel(v), sizeof *x);
    diffad_status  st  = raw && f32 && x ? plan_read(p, &p->place[o->mem], o->offset * (int64_t)each, bytes, raw)
                                         : diffad_fail(DIFFAD_ERR_MEMORY, "check: no host memory");
    if (st == DIFFAD_OK) {
        const diffad_file_tensor t = {
            .name = "", .type = v->type, .shape = { 1, { count } }, .data = raw, .bytes = (int64_t)bytes
        };
        st = diffad_file_to_f32(&t, f32, count);
    }
    if (st == DIFFAD_OK) {
        convert(v, o, raw, f32, x);
        *out = x;
        x    = NULL;
    }
    diffad_release(raw);
    diffad_release(f32);
    diffad_release(x);
    return st;
}

/* ---- judging ---- */

/* "[0,2,1,5]" of element i. */
static char *position(const diffad_value *v, int64_t i, char *out, size_t bytes)
{
    diffad_shape at = v->shape;
    for (int k = at.rank - 1; k >= 0; k--) {
        at.side[k] = i % v->shape.side[k];
        i /= v->shape.side[k];
    }
    return diffad_shape_text(&at, out, bytes);
}

static void describe(const trial *t, char *out, size_t bytes)
{
    snprintf(out, bytes, "check: %s (node %d%s%s, way %s)", t->n->op->name, t->n->id, t->n->scope ? ", near " : "",
             t->n->scope ? t->n->scope : "", t->step->way->name);
}

static diffad_status find_nan(const trial *t, const diffad_value *v, const double *x, const char *role, int index)
{
    char where[64], who[300];
    for (int64_t i = 0; i < diffad_numel(v); i++)
        if (isnan(x[i])) {
            describe(t, who, sizeof who);
            DIFFAD_FAIL(DIFFAD_ERR_NUMERICS, "%s: not a number in %s %d%s%s at %s", who, role, index,
                        v->name ? " " : "", v->name ? v->name : "", position(v, i, where, sizeof where));
        }
    return DIFFAD_OK;
}

static diffad_status compare(const trial *t, const diffad_value *v, const double *got, const double *want,
                             const char *role, int index)
{
    double  scale = 0, worst = -1;
    int64_t at = 0;
    char    where[64], who[300];
    for (int64_t i = 0; i < diffad_numel(v); i++) {
        const double d = got[i] == want[i] ? 0 : fabs(got[i] - want[i]);
        if (isfinite(want[i]))
            scale = fmax(scale, fabs(want[i]));
        if (!(d <= worst)) {
            worst = isnan(d) ? INFINITY : d;
            at    = i;
        }
    }
    const double relative = t->n->op->tol == 0 ? 0 : fmax(SLACK * t->n->op->tol, FLOOR);
    if (worst <= relative * scale + (relative > 0 ? 1e-30 : 0))
        return DIFFAD_OK;
    describe(t, who, sizeof who);
    DIFFAD_FAIL(DIFFAD_ERR_NUMERICS,
                "%s: %s %d is %.9g at %s, its reference %.9g; largest value %.3g, allowed error %.1e of it", who, role,
                index, got[at], position(v, at, where, sizeof where), want[at], scale, relative);
}

static diffad_status judge(trial *t, const diffad_value *v, const double *want, const char *role, int index)
{
    diffad_release(t->got);
    t->got = NULL;
    DIFFAD_TRY(read_value(t->plan, v, &t->got));
    DIFFAD_TRY(find_nan(t, v, t->got, role, index));
    return want ? compare(t, v, t->got, want, role, index) : DIFFAD_OK;
}

/* ---- one node ---- */

static diffad_status read_inputs(trial *t)
{
    for (int i = 0; i < t->n->n_in; i++) {
        if (!t->n->in[i])
            continue;
        DIFFAD_TRY(read_value(t->plan, t->n->in[i], &t->ref.in[i]));
        if (t->n->in[i]->kind != DIFFAD_VALUE_NODE)      /* those of nodes were judged when they were made */
            DIFFAD_TRY(find_nan(t, t->n->in[i], t->ref.in[i], "input", i));
    }
    for (int k = 0; k < t->n->op->n_out; k++)
        if (!(t->ref.out[k] = diffad_alloc_array((size_t)diffad_numel(t->n->out[k]), sizeof(double))))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "check: no host memory");
    return DIFFAD_OK;
}

static diffad_status check_node(trial *t)
{
    const diffad_op *op = t->n->op;
    DIFFAD_TRY(read_inputs(t));
    DIFFAD_TRY(plan_enqueue(t->plan, t->step->first, t->step->count));
    if (op->ref)
        op->ref(&t->ref);
    for (int k = 0; k < op->n_out; k++)
        DIFFAD_TRY(judge(t, t->n->out[k], op->ref ? t->ref.out[k] : NULL, "output", k));
    for (int i = 0; i < t->n->n_in; i++)
        if (diffad_op_writes(op, i) && t->n->in[i])
            DIFFAD_TRY(judge(t, t->n->in[i], op->ref ? t->ref.in[i] : NULL, "written input", i));
    return DIFFAD_OK;
}

diffad_status plan_run_checked(diffad_plan *p)
{
    diffad_status st   = DIFFAD_OK;
    int64_t       next = 0;
    for (int64_t i = 0; i < p->n_steps && st == DIFFAD_OK; i++) {
        trial t = { .plan = p, .step = &p->step[i], .n = p->graph->node[p->step[i].node] };
        t.ref.n = t.n;
        next    = t.step->first + t.step->count;
        st      = t.step->way ? check_node(&t) : plan_enqueue(p, t.step->first, t.step->count);
        for (int k = 0; k < DIFFAD_MAX_IN; k++)
            diffad_release(t.ref.in[k]);
        for (int k = 0; k < DIFFAD_MAX_OUT; k++)
            diffad_release(t.ref.out[k]);
        diffad_release(t.got);
    }
    return st == DIFFAD_OK ? plan_enqueue(p, next, p->n_launches - next) : st;
}
