/* verify_steps.c: kinds of diffusion and optimisation: single steps over tables and state. */
#include "api/verify_internal.h"
#include "base/text.h"
#include "graph/op.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

/* ---- diffusion ---- */

static void time_embedding(verify_net *n)
{
    const diffad_file_tensor *y = diffad_file_find(n->run->file, "out.y");
    verify_fixed(n, "period", 10000);
    const int dim = verify_int(n, "dim", y && y->shape.rank == 2 ? (int)y->shape.side[1] : 1);
    verify_out(n, "out.y", diffad_time_embedding(n->g, verify_in(n, "in.t", DIFFAD_I32), dim));
}

static void q_sample(verify_net *n)
{
    diffad_val a, b;
    if (verify_tables(n, &a, &b) != DIFFAD_OK) {
        diffad_graph_fail(n->g, DIFFAD_ERR_UNSUPPORTED, "%s", diffad_error_detail());
        return;
    }
    const diffad_val x0 = verify_in(n, "in.x0", DIFFAD_F32), eps = verify_in(n, "in.eps", DIFFAD_F32);
    verify_out(n, "out.y", diffad_q_sample(n->g, x0, eps, verify_in(n, "in.t", DIFFAD_I32), a, b));
    verify_gradients(n);
}

static void ddim_step(verify_net *n)
{
    const double now = verify_real(n, "abar_t", NAN), prev = verify_real(n, "abar_prev", NAN);
    const double sigma = verify_real(n, "sigma", 0);
    const float  coef[5] = { (float)sqrt(now), (float)sqrt(1 - now), (float)sqrt(prev),
                             (float)sqrt(1 - prev - sigma * sigma), (float)sigma };
    const diffad_val x = verify_in(n, "in.x", DIFFAD_F32), eps = verify_in(n, "in.eps", DIFFAD_F32);
    if (isnan(now) || isnan(prev)) {
        diffad_graph_fail(n->g, DIFFAD_ERR_UNSUPPORTED, "attributes abar_t and abar_prev are needed");
        return;
    }
    const float *kept = diffad_arena_copy(&n->run->arena, coef, sizeof coef);
    if (!kept) {
        diffad_graph_fail(n->g, DIFFAD_ERR_MEMORY, "ddim_step: no host memory");
        return;
    }
    diffad_val       x0 = diffad_none();
    const diffad_val next = diffad_ddim_step(n->g, x, eps, verify_in_optional(n, "in.noise", DIFFAD_F32),
                                             verify_constant(n, "coef", kept, diffad_shape1(5)), &x0);
    verify_out(n, "out.x_prev", next);
    verify_out(n, "out.x0", x0);
    verify_gradients(n);
}

static void ddpm_step(verify_net *n)
{
    diffad_schedule s;
    if (verify_schedule(n->run, &s) != DIFFAD_OK) {
        diffad_graph_fail(n->g, DIFFAD_ERR_UNSUPPORTED, "%s", diffad_error_detail());
        return;
    }
    float *rows = diffad_arena_alloc(&n->run->arena, (size_t)s.timesteps * 5 * sizeof *rows);
    if (rows)
        diffad_ddpm_table(&s, rows);
    const diffad_shape shape = diffad_shape2(s.timesteps, 5);
    diffad_schedule_release(&s);
    if (!rows) {
        diffad_graph_fail(n->g, DIFFAD_ERR_MEMORY, "ddpm_step: no host memory");
        return;
    }
    const diffad_val x = verify_in(n, "in.x", DIFFAD_F32), eps = verify_in(n, "in.eps", DIFFAD_F32);
    const diffad_val noise = verify_in(n, "in.noise", DIFFAD_F32), t = verify_in(n, "in.t", DIFFAD_I32);
    verify_out(n, "out.y", diffad_ddpm_step(n->g, x, eps, noise, t, verify_constant(n, "table", rows, shape)));
}

/* ---- optimisation: k rows of gradients or weights, one a step ---- */

typedef struct steps {
    verify_net    n;
    diffad_param *p;             /* what is optimised or averaged */
    const float  *row;           /* what a step sees */
    int64_t       count, rows;   /* elements of a row */
    float        *history;       /* the state after each step */
} steps;

static diffad_status begin(verify_run *r, const char *state, const char *rows, steps *s)
{
    const diffad_file_tensor *t = diffad_file_find(r->file, state);
    int64_t                   total;
    DIFFAD_TRY(verify_net_begin(r, &s->n));
    diffad_params *list = verify_params(r, NULL, "", NULL);
    if (!list)
        return DIFFAD_ERR_MEMORY;
    if (!t || !(s->row = verify_values(r, rows, &total)))
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "the file needs tensors %s and %s", state, rows);
    s->count = diffad_shape_count(&t->shape);
    s->rows  = total / s->count;
    if (s->rows * s->count != total)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s does not hold whole rows of %s", rows, state);
    s->history = diffad_arena_alloc(&r->arena, (size_t)total * sizeof *s->history);
    s->p       = diffad_params_get(list, state + strlen("in."), &t->shape,
                                   (diffad_init){ DIFFAD_INIT_CONSTANT, 0, 0 }, true);
    return s->history && s->p ? DIFFAD_OK : DIFFAD_ERR_MEMORY;
}

static diffad_val state_of(steps *s, diffad_tensor **slot)
{
    return diffad_bound(s->n.g, s->p->name, DIFFAD_F32, s->p->shape, slot);
}

/* One step after its numbers have been written. */
static diffad_status step(steps *s, int64_t k)
{
    const size_t   bytes = (size_t)s->count * sizeof(float);
    const float    one = 1;
    diffad_tensor *ok = diffad_plan_tensor(s->n.plan, "ok"), *row = diffad_plan_tensor(s->n.plan, "row");
    DIFFAD_TRY(diffad_tensor_write(ok, &one, sizeof one));
    DIFFAD_TRY(diffad_tensor_write(row, s->row + k * s->count, bytes));
    DIFFAD_TRY(diffad_plan_run(s->n.plan));
    return diffad_tensor_read(s->p->tensor, s->history + k * s->count, bytes);
}

static diffad_status adam_steps(verify_run *r, steps *s)
{
    diffad_graph *g = s->n.g;
    desc_stage    recipe = { .rate = verify_real(&s->n, "lr", 1e-3), .beta1 = verify_real(&s->n, "b1", 0.9),
                             .beta2 = verify_real(&s->n, "b2", 0.999), .weight_decay = verify_real(&s->n, "decay", 0) };
    const float   eps = (float)verify_real(&s->n, "eps", 1e-8);
    const diffad_adam_set set = { state_of(s, &s->p->tensor), state_of(s, &s->p->m), state_of(s, &s->p->v),
                                  diffad_input(g, "row", DIFFAD_F32, s->p->shape) };
    diffad_adam(g, 1, &set,
                diffad_input(g, "hyper", DIFFAD_F32, diffad_shape1(8)),
                diffad_input(g, "ok", DIFFAD_F32, diffad_shape0()));
    s->n.with = DIFFAD_WITH_MOMENTS;
    DIFFAD_TRY(verify_net_prepare(&s->n));
    for (int64_t k = 0; k < s->rows; k++) {
        float          hyper[8];
        diffad_tensor *t = diffad_plan_tensor(s->n.plan, "hyper");
        DIFFAD_TRY(train_write_hyper(s->n.plan, "", &recipe, k + 1, 1, 0));
        DIFFAD_TRY(diffad_tensor_read(t, hyper, sizeof hyper));
        hyper[3] = eps;
        DIFFAD_TRY(diffad_tensor_write(t, hyper, sizeof hyper));
        DIFFAD_TRY(step(s, k));
    }
    DIFFAD_TRY(verify_compare(r, "out.p", s->history, s->rows * s->count, false));
    DIFFAD_TRY(verify_compare_tensor(r, "out.m", s->p->m));
    return verify_compare_tensor(r, "out.v", s->p->v);
}

static diffad_status adam(verify_run *r)
{
    steps         s = { .n = { .run = r } };
    diffad_status st = begin(r, "in.p", "in.g", &s);
    if (st == DIFFAD_OK)
        st = adam_steps(r, &s);
    verify_net_end(&s.n);
    return st;
}

static diffad_status ema_steps(verify_run *r, steps *s)
{
    diffad_graph *g = s->n.g;
    const double  limit = verify_real(&s->n, "decay", 0.9999);
    const diffad_val shadow = state_of(s, &s->p->tensor), row = diffad_input(g, "row", DIFFAD_F32, s->p->shape);
    diffad_ema(g, 1, &shadow, &row,
               diffad_input(g, "decay", DIFFAD_F32, diffad_shape0()),
               diffad_input(g, "ok", DIFFAD_F32, diffad_shape0()));
    DIFFAD_TRY(verify_net_prepare(&s->n));
    for (int64_t k = 0; k < s->rows; k++) {
        const float decay = (float)fmin(limit, (2.0 + (double)k) / (11.0 + (double)k)); /* (1+n)/(10+n), n from 1 */
        DIFFAD_TRY(diffad_tensor_write(diffad_plan_tensor(s->n.plan, "decay"), &decay, sizeof decay));
        DIFFAD_TRY(step(s, k));
    }
    return verify_compare(r, "out.shadow", s->history, s->rows * s->count, false);
}

static diffad_status ema(verify_run *r)
{
    steps         s = { .n = { .run = r } };
    diffad_status st = begin(r, "in.shadow", "in.p", &s);
    if (st == DIFFAD_OK)
        st = ema_steps(r, &s);
    verify_net_end(&s.n);
    return st;
}

const verify_kind verify_kinds_steps[] = {
    { "time_embedding", time_embedding, NULL }, { "q_sample", q_sample, NULL }, { "ddim_step", ddim_step, NULL },
    { "ddpm_step", ddpm_step, NULL }, { "adam", NULL, adam }, { "ema", NULL, ema }, { NULL, NULL, NULL },
};
