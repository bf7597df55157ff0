/* compare.c: two recordings beside each other. */
#include "diffad/compare.h"
#include "base/fail.h"
#include "base/sys.h"

#include <math.h>
#include <string.h>

/* Two float32 devices differ by the order of their sums; a rounded operand has 2^-12 (tf32, f16) or 2^-9 (bf16) of error: with
 * random weights at scale tiny NMSE came to 2e-6 and 1e-4 at most (encode), and scores moved by 1e-7 and 4e-6; deep networks and
 * trained weights get room. */
static const struct { diffad_precision precision; diffad_compare_limits limits; } defaults[] = {
    { DIFFAD_PRECISION_F32, { 1e-8, 1e-3 } },
    { DIFFAD_PRECISION_TF32, { 1e-4, 0.02 } },
    { DIFFAD_PRECISION_F16, { 1e-4, 0.02 } },
    { DIFFAD_PRECISION_BF16, { 1e-2, 0.1 } },
};

diffad_compare_limits diffad_compare_default_limits(const char *precision_a, const char *precision_b)
{
    diffad_compare_limits limits = defaults[0].limits;
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        const char *name = diffad_precision_name(defaults[i].precision);
        if (strcmp(name, precision_a) == 0 || strcmp(name, precision_b) == 0)
            limits = defaults[i].limits;
    }
    return limits;
}

/* ---- the same work ---- */

static diffad_status check_same_work(const diffad_recording *a, const diffad_recording *b)
{
    if (strcmp(a->weights, b->weights) != 0)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "compare: weights %s (%s %s) and %s (%s %s): record both with the same model or run", a->weights, a->model,
                    a->scale, b->weights, b->model, b->scale);
    if (a->width != b->width || a->height != b->height || a->steps != b->steps)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "compare: %dx%d with %d steps and %dx%d with %d steps: record both alike", a->width, a->height, a->steps,
                    b->width, b->height, b->steps);
    if (a->n_pictures != b->n_pictures)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "compare: %d and %d pictures: record both with the same", a->n_pictures, b->n_pictures);
    for (int i = 0; i < a->n_pictures; i++)
        if (strcmp(a->picture[i].digest, b->picture[i].digest) != 0)
            DIFFAD_FAIL(DIFFAD_ERR_DATA, "compare: picture %d, %s and %s, has other values: record both with the same files", i + 1,
                        a->picture[i].name, b->picture[i].name);
    if (a->n_stages != b->n_stages)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "compare: %d and %d stages: record both with the same version", a->n_stages, b->n_stages);
    for (int g = 0; g < a->n_stages; g++)
        if (strcmp(a->stage[g].name, b->stage[g].name) != 0 || a->stage[g].values != b->stage[g].values)
            DIFFAD_FAIL(DIFFAD_ERR_DATA, "compare: stage %s of %lld values and %s of %lld: record both with the same version", a->stage[g].name,
                        (long long)a->stage[g].values, b->stage[g].name, (long long)b->stage[g].values);
    return DIFFAD_OK;
}

/* ---- stages and scores ---- */

static void compare_stage(diffad_comparison *c, int g)
{
    const diffad_recording *a = c->a, *b = c->b;
    diffad_compared_stage  *s = &c->stage[g];
    double square = 0, error = 0;
    *s = (diffad_compared_stage){ .a = &a->stage[g], .b = &b->stage[g], .ratio = a->stage[g].ms.median / b->stage[g].ms.median };
    for (int i = 0; i < a->n_pictures; i++) {
        const float *x = a->picture[i].result[g], *y = b->picture[i].result[g];
        double       scale = 0, worst = 0;
        for (int64_t k = 0; k < a->stage[g].values; k++) {
            const double d = x[k] == y[k] ? 0 : fabs((double)x[k] - y[k]);
            scale = fmax(scale, fabs((double)x[k]));
            worst = d <= worst ? worst : isnan(d) ? INFINITY : d;
            square += (double)x[k] * x[k];
            error += d * d;
        }
        worst = scale > 0 ? worst / scale : worst;
        if (i == 0 || worst > s->worst) {
            s->worst   = worst;
            s->picture = i;
        }
    }
    s->nmse = error == 0 ? 0 : square > 0 ? error / square : INFINITY;
    if (!c->diverges && !(s->nmse <= c->limits.nmse))
        c->diverges = a->stage[g].name;
}

static void compare_scores(diffad_comparison *c)
{
    for (int i = 0; i < c->a->n_pictures; i++) {
        const double d = fabs(c->a->picture[i].score - c->b->picture[i].score);
        c->score_worst = d <= c->score_worst ? c->score_worst : isnan(d) ? INFINITY : d;
        c->score_mean += d / c->a->n_pictures;
    }
}

/* ---- ops ---- */

static const diffad_recorded_op *find_op(const diffad_recording *r, const char *op)
{
    for (int64_t i = 0; i < r->n_ops; i++)
        if (strcmp(r->op[i].op, op) == 0)
            return &r->op[i];
    return NULL;
}

static const diffad_recorded_time *find_time(const diffad_recording *r, const diffad_recorded_time *like)
{
    for (int64_t i = 0; i < r->n_times; i++)
        if (strcmp(r->time[i].op, like->op) == 0 && strcmp(r->time[i].name, like->name) == 0)
            return &r->time[i];
    return NULL;
}

/* Those of a in its order, then those that b alone has. */
static void compare_ops(diffad_comparison *c)
{
    for (int64_t i = 0; i < c->a->n_ops; i++)
        c->op[c->n_ops++] = (diffad_compared_op){ &c->a->op[i], find_op(c->b, c->a->op[i].op) };
    for (int64_t i = 0; i < c->b->n_ops; i++)
        if (!find_op(c->a, c->b->op[i].op))
            c->op[c->n_ops++] = (diffad_compared_op){ NULL, &c->b->op[i] };
    for (int64_t i = 0; i < c->n_ops; i++)
        c->ops_failed += (c->op[i].a && c->op[i].a->failed) || (c->op[i].b && c->op[i].b->failed);
}

/* Cases that both have a time of. */
static void compare_times(diffad_comparison *c)
{
    for (int64_t i = 0; i < c->a->n_times; i++) {
        const diffad_recorded_time *a = &c->a->time[i], *b = find_time(c->b, a);
        if (b)
            c->time[c->n_times++] = (diffad_compared_time){ a, b, a->us.median / b->us.median };
    }
}

diffad_status diffad_compare(const diffad_recording *a, const diffad_recording *b, const diffad_compare_limits *limits, diffad_comparison *out)
{
    DIFFAD_TRY(check_same_work(a, b));
    diffad_comparison c = { .a = a, .b = b, .limits = limits ? *limits : diffad_compare_default_limits(a->precision, b->precision),
                            .ratio = a->ms.median / b->ms.median, .memory_ratio = (double)a->peak_bytes / (double)b->peak_bytes,
                            .n_stages = a->n_stages };
    c.op   = diffad_alloc_array((size_t)(a->n_ops + b->n_ops) + 1, sizeof *c.op);
    c.time = diffad_alloc_array((size_t)a->n_times + 1, sizeof *c.time);
    if (!c.op || !c.time) {
        diffad_comparison_release(&c);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "compare: no host memory");
    }
    compare_ops(&c);
    compare_times(&c);
    for (int g = 0; g < c.n_stages; g++)
        compare_stage(&c, g);
    compare_scores(&c);
    c.agrees = !c.ops_failed && !c.diverges && c.score_worst <= c.limits.score;
    *out = c;
    return DIFFAD_OK;
}

void diffad_comparison_release(diffad_comparison *c)
{
    diffad_release(c->op);
    diffad_release(c->time);
    c->op   = NULL;
    c->time = NULL;
}
