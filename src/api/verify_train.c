/* verify_train.c: training steps: losses, gradients and their norms, parameters after the first step.
 *
 * Two plans of one graph: the first gives parts of the loss and all gradients; for the second the parameters are read
 * again and the library's own update (train_add_update) runs as many steps as the file has losses, on the same
 * batch. */
#include "api/verify_lessons.h"
#include "base/text.h"
#include "graph/op.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- optimiser ---- */

typedef struct recipe { desc_stage stage; double eps; } recipe;

/* "AdamW lr 6.4e-5 betas 0.9 0.999 eps 1e-8 decay 0.01"; what is missing comes from `optimizer_defaults`, then
 * PyTorch's. */
static diffad_status read_recipe(verify_run *r, recipe *o)
{
    const char          *text = verify_text(r, "optimizer"), *betas = strstr(text, "betas");
    const diffad_config *defaults, *c;
    double               beta[2] = { 0.9, 0.999 };
    DIFFAD_TRY(verify_json(r, "optimizer_defaults", &defaults));
    o->eps = 1e-8;
    c = defaults ? diffad_config_get(defaults, "betas") : NULL;
    if (c && c->count == 2 && c->first->text && c->first->next->text) {
        diffad_parse_f64(c->first->text, &beta[0]);
        diffad_parse_f64(c->first->next->text, &beta[1]);
    }
    if (defaults && (c = diffad_config_get(defaults, "eps")) && c->text)
        diffad_parse_f64(c->text, &o->eps);
    if (strncmp(text, "Adam", 4) != 0)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "optimizer %s", text);
    if (betas)
        verify_numbers(betas, beta, 2);
    const bool decays = strncmp(text, "AdamW", 5) == 0;
    o->eps   = verify_number_after(text, "eps", o->eps);
    o->stage = (desc_stage){ .batch = 1, .accumulate = 1, .rate = verify_number_after(text, "lr", 1e-3),
                             .beta1 = beta[0], .beta2 = beta[1],
                             .weight_decay = verify_number_after(text, "decay", decays ? 0.01 : 0) };
    return DIFFAD_OK;
}

static diffad_status write_hyper(diffad_plan *plan, const recipe *o, int64_t k)
{
    float          hyper[8];
    diffad_tensor *t = diffad_plan_tensor(plan, "hyper");
    DIFFAD_TRY(train_write_hyper(plan, "", &o->stage, k, 1, 0));
    DIFFAD_TRY(diffad_tensor_read(t, hyper, sizeof hyper));
    hyper[3] = (float)o->eps;
    return diffad_tensor_write(t, hyper, sizeof hyper);
}

/* ---- gradients ---- */

enum { MAX_TRAINED = 4096 };

typedef struct gradients {
    char       *name[MAX_TRAINED];      /* in the file, without "grad." */
    diffad_param *param[MAX_TRAINED];
    diffad_val  p[MAX_TRAINED], d[MAX_TRAINED];
    float      *x[MAX_TRAINED];         /* NULL: the loss does not reach it */
    int         n;
} gradients;

static diffad_status add_gradients(verify_net *n, const verify_lesson *l, gradients *s)
{
    char name[2 * VERIFY_NAME];
    for (int k = 0; k < l->n_lists; k++)
        for (int64_t i = 0; i < l->list[k]->count && s->n < MAX_TRAINED; i++) {
            diffad_param *q = l->list[k]->item[i];
            if (!q->is_trained)
                continue;
            snprintf(name, sizeof name, "grad.%s%s", l->prefix[k], q->name);
            s->param[s->n] = q;
            s->p[s->n]     = diffad_bound(n->g, q->name, DIFFAD_F32, q->shape, &q->tensor);
            if (!(s->name[s->n++] = diffad_arena_strdup(&n->run->arena, name)))
                DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", name);
        }
    diffad_graph_grad(n->g, l->loss, diffad_none(), s->p, s->n, s->d);
    for (int i = 0; i < s->n; i++)
        diffad_output(n->g, s->name[i], s->d[i]);
    return diffad_graph_status(n->g);
}

static diffad_status read_gradients(verify_net *n, gradients *s)
{
    for (int i = 0; i < s->n; i++) {
        const size_t   count = (size_t)diffad_shape_count(&s->param[i]->shape);
        diffad_tensor *t = s->d[i].id >= 0 ? diffad_plan_tensor(n->plan, s->name[i]) : NULL;
        if (!(s->x[i] = diffad_arena_alloc(&n->run->arena, count * sizeof(float))))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", s->name[i]);
        if (t)
            DIFFAD_TRY(diffad_tensor_read(t, s->x[i], count * sizeof(float)));
        if (verify_listed(n->run->zero, s->name[i] + 5))
            verify_skip(n->run, s->name[i]);
        else
            DIFFAD_TRY(verify_compare(n->run, s->name[i], s->x[i], (int64_t)count, false));
    }
    return DIFFAD_OK;
}

static double norm_of(const gradients *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->name[i] + 5, name) == 0) {
            double        sum = 0;
            const int64_t count = diffad_shape_count(&s->param[i]->shape);
            for (int64_t k = 0; k < count; k++)
                sum += (double)s->x[i][k] * s->x[i][k];
            return sqrt(sum);
        }
    return NAN;
}

/* The norm's relative error. A norm that is zero in theory is rounding noise of the reference's double arithmetic, far
 * below the others: ours must be far below too. */
static double norm_error(double have, double want, double most)
{
    if (want < 1e-12 * most)
        return have <= 1e-4 * most ? 0 : INFINITY;
    return isnan(have) ? INFINITY : have == want ? 0 : fabs(have - want) / want;
}

/* grad_norms stand in the order of metadata `names`: within 1 %, zero gradients left out. */
static diffad_status compare_norms(verify_run *r, const gradients *s)
{
    const diffad_config *names;
    int64_t              count, i = 0;
    double               worst = 0, most = 0;
    if (!verify_has(r, "grad_norms"))
        return DIFFAD_OK;
    const float *want = verify_values(r, "grad_norms", &count);
    DIFFAD_TRY(verify_json(r, "names", &names));
    if (!want || !names || names->count != count)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "grad_norms needs as many metadata `names`");
    for (int64_t k = 0; k < count; k++)
        most = fmax(most, (double)want[k]);
    for (const diffad_config *c = names->first; c; c = c->next, i++) {
        if (!c->text || verify_listed(r->zero, c->text))
            continue;
        const double have = norm_of(s, c->text);
        if (isnan(have))
            verify_complain(r, "grad_norms: no gradient of %s", c->text);
        worst = fmax(worst, norm_error(have, (double)want[i], most));
    }
    verify_record(r, "grad_norms", worst, 0.01);
    return DIFFAD_OK;
}

static diffad_status first_plan(verify_run *r, verify_net *n, verify_lesson_fn build)
{
    verify_lesson l = { .n = n };
    gradients    *s = diffad_arena_alloc(&r->arena, sizeof *s);
    if (!s)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "gradients: no host memory");
    n->with = DIFFAD_WITH_MOMENTS;
    DIFFAD_TRY(build(&l));
    DIFFAD_TRY(add_gradients(n, &l, s));
    DIFFAD_TRY(verify_net_run(n));
    DIFFAD_TRY(read_gradients(n, s));
    return compare_norms(r, s);
}

/* ---- steps ---- */

static diffad_param *after_param(verify_run *r, const verify_lesson *l, const char *name)
{
    for (int k = 0; k < l->n_lists; k++) {
        const size_t  n = strlen(l->prefix[k]);
        diffad_param *q = strncmp(name, l->prefix[k], n) == 0 ? diffad_params_find(l->list[k], name + n) : NULL;
        if (q)
            return q;
    }
    for (int i = 0; i < r->n_bags; i++) {
        diffad_param *q = diffad_params_find(r->bag[i].params, name);
        if (q)
            return q;
    }
    return NULL;
}

static diffad_status compare_after(verify_run *r, const verify_lesson *l)
{
    for (int i = 0; i < diffad_file_count(r->file); i++) {
        const char *name = diffad_file_at(r->file, i)->name;
        if (strncmp(name, "after1.", 7) != 0)
            continue;
        diffad_param *q = after_param(r, l, name + 7);
        if (verify_listed(r->zero, name + 7))
            verify_skip(r, name);
        else if (q)
            DIFFAD_TRY(verify_compare_tensor(r, name, q->tensor));
    }
    return DIFFAD_OK;
}

static diffad_status second_plan(verify_run *r, verify_net *n, verify_lesson_fn build)
{
    recipe        o;
    verify_lesson l = { .n = n };
    int64_t       steps = 1;
    DIFFAD_TRY(read_recipe(r, &o));
    n->with = DIFFAD_WITH_MOMENTS;
    DIFFAD_TRY(build(&l));
    n->n_out = 0;                     /* parts were compared before */
    diffad_output(n->g, "total", diffad_affine(n->g, l.loss, 1, 0));
    train_add_update(n->g, l.n_lists, l.list, l.loss, &(train_update){ .prefix = "", .is_last = true, .scaler = diffad_none() });
    if (verify_has(r, "losses") && !verify_values(r, "losses", &steps))
        return DIFFAD_ERR_CHECKPOINT;
    float *losses = diffad_arena_alloc(&r->arena, (size_t)steps * sizeof *losses);
    if (!losses)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "losses: no host memory");
    DIFFAD_TRY(verify_net_prepare(n));
    for (int64_t k = 0; k < steps; k++) {
        DIFFAD_TRY(write_hyper(n->plan, &o, k + 1));
        DIFFAD_TRY(diffad_plan_run(n->plan));
        DIFFAD_TRY(diffad_tensor_read(diffad_plan_tensor(n->plan, "total"), losses + k, sizeof *losses));
        if (k == 0)
            DIFFAD_TRY(compare_after(r, &l));
    }
    return verify_compare(r, "losses", losses, steps, false);
}

diffad_status verify_train(verify_run *r, verify_lesson_fn build)
{
    verify_net    n;
    DIFFAD_TRY(verify_net_begin(r, &n));
    diffad_status st = first_plan(r, &n, build);
    verify_net_end(&n);
    DIFFAD_TRY(st);
    DIFFAD_TRY(verify_net_begin(r, &n));
    st = second_plan(r, &n, build);
    verify_net_end(&n);
    return st;
}
