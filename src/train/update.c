/* update.c: from a loss to optimiser nodes; the numbers they read. */
#include "base/sys.h"
#include "graph/graph.h"
#include "tensor/tensor.h"
#include "train/train.h"

#include <math.h>
#include <stdio.h>

enum { MAX_TRAINED = 4096, GROWTH_INTERVAL = 2000 };      /* GradScaler's default */

typedef struct grads {
    diffad_param   *param[MAX_TRAINED];
    diffad_val      p[MAX_TRAINED], d[MAX_TRAINED];
    int             n;
    diffad_adam_set set[MAX_TRAINED];      /* of those that the loss reaches, with their values, gradients, averages */
    diffad_val      reached[MAX_TRAINED], grad[MAX_TRAINED], shadow[MAX_TRAINED];
    int             n_reached;
} grads;

static diffad_val input(diffad_graph *g, const char *prefix, const char *name, diffad_shape shape)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return diffad_input(g, full, DIFFAD_F32, shape);
}

/* Parameters that the loss does not reach (none in these networks) keep their values. */
static void collect(diffad_graph *g, int n_lists, diffad_params *const *lists, diffad_val loss, const train_update *u, grads *s)
{
    for (int k = 0; k < n_lists; k++)
        for (int64_t i = 0; i < lists[k]->count && s->n < MAX_TRAINED; i++) {
            diffad_param *q = lists[k]->item[i];
            if (!q->is_trained)
                continue;
            s->param[s->n] = q;
            s->p[s->n]     = diffad_bound(g, q->name, DIFFAD_F32, q->shape, &q->tensor);
            if (diffad_is_valid(s->p[s->n]))      /* by the plan that completes the step, if not by this one */
                g->value[s->p[s->n].id]->is_changing = true;
            s->n++;
        }
    diffad_graph_grad(g, loss, train_loss_seed(g, u->scaler), s->p, s->n, s->d);
    for (int i = 0; i < s->n; i++)
        if (u->accumulate > 1 && diffad_is_valid(s->d[i]))
            s->d[i] = diffad_add(g, s->d[i], diffad_bound(g, "sum", DIFFAD_F32, s->param[i]->shape, &s->param[i]->sum));
}

/* hyper with its last number, the gradient's scale, times the clipping factor. */
static diffad_val with_clip(diffad_graph *g, diffad_val hyper, diffad_val norm, double limit)
{
    if (limit <= 0)
        return hyper;
    const diffad_val row = diffad_reshape(g, hyper, diffad_shape2(1, 8));
    const diffad_val scale = diffad_scale_by(g, diffad_slice(g, row, 7, 1), diffad_clip_scale(g, norm, limit));
    return diffad_reshape(g, diffad_concat(g, 2, (diffad_val[]){ diffad_slice(g, row, 0, 7), scale }), diffad_shape1(8));
}

static void bind_state(diffad_graph *g, grads *s, bool has_ema)
{
    for (int i = 0; i < s->n; i++) {
        diffad_param *q = s->param[i];
        const int     k = s->n_reached;
        if (!diffad_is_valid(s->d[i]))
            continue;
        s->set[k] = (diffad_adam_set){ s->p[i], diffad_bound(g, "m", DIFFAD_F32, q->shape, &q->m),
                                       diffad_bound(g, "v", DIFFAD_F32, q->shape, &q->v), s->d[i] };
        s->reached[k] = s->p[i];
        s->grad[k]    = s->d[i];
        s->shadow[k]  = has_ema ? diffad_bound(g, "shadow", DIFFAD_F32, q->shape, &q->shadow) : diffad_none();
        s->n_reached++;
    }
}

static void apply(diffad_graph *g, grads *s, const train_update *u)
{
    char name[64];
    bind_state(g, s, u->has_ema);
    diffad_val norm = diffad_grad_norm(g, s->n_reached, s->grad);
    diffad_val hyper = input(g, u->prefix, "hyper", diffad_shape1(8));
    diffad_val decay = u->has_ema ? input(g, u->prefix, "decay", diffad_shape0()) : diffad_none();
    if (diffad_is_valid(u->scaler)) {
        const diffad_unscaled plain = diffad_unscale(g, hyper, u->scaler, norm, input(g, u->prefix, "count", diffad_shape0()), decay);
        hyper = plain.hyper;
        norm  = plain.norm;
        decay = plain.decay;
    }
    snprintf(name, sizeof name, "%snorm", u->prefix);
    diffad_output(g, name, norm);
    const diffad_val ok = diffad_reshape(g, diffad_slice(g, diffad_reshape(g, norm, diffad_shape2(1, 2)), 1, 1), diffad_shape0());
    hyper = with_clip(g, hyper, norm, u->clip * fmax(1, u->accumulate));      /* the norm is the sum's */
    diffad_adam(g, s->n_reached, s->set, hyper, ok);
    if (u->has_ema)
        diffad_ema(g, s->n_reached, s->shadow, s->reached, decay, ok);
    if (diffad_is_valid(u->scaler))
        diffad_update_scale(g, u->scaler, norm, GROWTH_INTERVAL);
}

void train_add_update(diffad_graph *g, int n_lists, diffad_params *const *lists, diffad_val loss, const train_update *u)
{
    grads *s = diffad_alloc(sizeof *s);
    if (!s) {
        diffad_graph_fail(g, DIFFAD_ERR_MEMORY, "training: no host memory");
        return;
    }
    const bool has_sum = u->accumulate > 1;
    collect(g, n_lists, lists, loss, u, s);
    if (u->is_last)
        apply(g, s, u);
    for (int i = 0; i < s->n && has_sum; i++)
        if (diffad_is_valid(s->d[i]))
            diffad_assign(g, diffad_bound(g, "sum", DIFFAD_F32, s->param[i]->shape, &s->param[i]->sum),
                          u->is_last ? diffad_fill(g, s->param[i]->shape, 0) : s->d[i]);
    diffad_release(s);
}

double train_rate(const desc_stage *r, int64_t k)
{
    if (r->warm_up > 0 && k <= r->warm_up)
        return r->rate * (double)k / r->warm_up;
    const double done = r->steps > 1 ? (double)(k - 1) / (double)(r->steps - 1) : 0;
    if (r->decay == DESC_DECAY_COSINE)
        return r->rate_end + 0.5 * (r->rate - r->rate_end) * (1 + cos(3.14159265358979323846 * fmin(done, 1)));
    if (r->decay == DESC_DECAY_MULTISTEP)      /* milestones at 80 % and 90 % of what is done */
        return r->rate * (10 * (k - 1) >= 9 * r->steps ? 0.2 * 0.2 : 10 * (k - 1) >= 8 * r->steps ? 0.2 : 1);
    return r->rate;
}

diffad_status train_write_hyper(diffad_plan *plan, const char *prefix, const desc_stage *r, int64_t k, int accumulate, double ema_decay)
{
    char        name[64];
    const float hyper[8] = { (float)train_rate(r, k), (float)(1 - r->beta1), (float)(1 - r->beta2), 1e-8f, (float)r->weight_decay,
                             (float)(1 - pow(r->beta1, (double)k)), (float)(1 - pow(r->beta2, (double)k)), 1.0f / (float)accumulate };
    snprintf(name, sizeof name, "%shyper", prefix);
    DIFFAD_TRY(diffad_tensor_write(diffad_plan_tensor(plan, name), hyper, sizeof hyper));
    snprintf(name, sizeof name, "%sdecay", prefix);
    diffad_tensor *t = diffad_plan_tensor(plan, name);
    const float    decay = (float)fmin(ema_decay, (1.0 + (double)k) / (10.0 + (double)k)), count = (float)k;      /* LDM's warm-up, k from 1 */
    if (t)
        DIFFAD_TRY(diffad_tensor_write(t, &decay, sizeof decay));
    snprintf(name, sizeof name, "%scount", prefix);
    t = diffad_plan_tensor(plan, name);
    return t ? diffad_tensor_write(t, &count, sizeof count) : DIFFAD_OK;
}

diffad_status train_write_keys(diffad_plan *plan, const char *name, uint64_t seed, uint32_t step, int64_t first, int count)
{
    diffad_tensor *t = diffad_plan_tensor(plan, name);
    if (!t)
        return DIFFAD_OK;
    int32_t *rows = diffad_alloc_array((size_t)count, TRAIN_SEED_ROWS * sizeof *rows);
    if (!rows)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "training: no host memory");
    for (int n = 0; n < count; n++) {
        const uint32_t row[TRAIN_SEED_ROWS] = { (uint32_t)seed, (uint32_t)(seed >> 32), step, (uint32_t)(first + n) };
        for (int k = 0; k < TRAIN_SEED_ROWS; k++)
            rows[n * TRAIN_SEED_ROWS + k] = (int32_t)row[k];
    }
    const diffad_status st = diffad_tensor_write(t, rows, (size_t)count * TRAIN_SEED_ROWS * sizeof *rows);
    diffad_release(rows);
    return st;
}
