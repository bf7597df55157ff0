/* test_rules.c: training as the reference trains: rates, optimiser, averages, loss scales, initial values, the critic's turn, samples
 * that do not depend on their batch. */
#include "base/rng.h"
#include "base/sys.h"
#include "diffusion/latent.h"
#include "graph/graph.h"
#include "support/dev.h"
#include "tensor/tensor.h"
#include "train/run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- rates ---- */

Test(rules, multistep_drops_where_80_and_90_percent_of_the_steps_are_done)
{
    static const int64_t lengths[] = { 10, 50, 4900, 18900 };
    for (int i = 0; i < 4; i++) {
        const desc_stage s = { .steps = lengths[i], .rate = 1e-3, .decay = DESC_DECAY_MULTISTEP };
        const int64_t    a = lengths[i] * 8 / 10, b = lengths[i] * 9 / 10;      /* the published scheduler's epochs, as steps done */

        cr_expect_eq(train_rate(&s, a), 1e-3);
        cr_expect_float_eq(train_rate(&s, a + 1), 2e-4, 1e-12);
        cr_expect_float_eq(train_rate(&s, b), 2e-4, 1e-12);
        cr_expect_float_eq(train_rate(&s, b + 1), 4e-5, 1e-12);
        cr_expect_float_eq(train_rate(&s, lengths[i]), 4e-5, 1e-12);
    }
}

/* loss = mean (w - x)^2 over 6 numbers: d = (w - x) / 3 */
enum { N = 6 };

/* *scaler: a train_scale, or NULL: the loss is not scaled. */
static diffad_road step_road(diffad_device *dev, diffad_params *params, diffad_tensor **scaler, bool is_last, int accumulate)
{
    diffad_road      r = { graph_new(), NULL };
    diffad_param    *w = diffad_params_find(params, "w");
    const diffad_val v = diffad_bound(r.graph, "w", DIFFAD_F32, w->shape, &w->tensor);
    const diffad_val loss = diffad_mse(r.graph, v, diffad_input(r.graph, "x", DIFFAD_F32, diffad_shape1(N)));
    diffad_output(r.graph, "loss", loss);
    train_add_update(r.graph, 1, &params, loss, &(train_update){ .prefix = "", .has_ema = true, .accumulate = accumulate, .is_last = is_last,
                     .scaler = *scaler ? diffad_bound(r.graph, "scaler", DIFFAD_F32, diffad_shape1(3), scaler) : diffad_none() });
    r.plan = plan_new(dev, r.graph, NULL);
    return r;
}

typedef struct host { double w[N], m[N], v[N], shadow[N], sum[N]; } host;

/* PyTorch's AdamW and LitEma in double. */
static void host_step(host *h, const desc_stage *s, int64_t k, double ema_decay)
{
    const double d = fmin(ema_decay, (1.0 + (double)k) / (10.0 + (double)k));
    for (int i = 0; i < N; i++) {
        const double g = h->sum[i] / s->accumulate;
        h->sum[i] = 0;
        h->w[i] *= 1 - s->rate * s->weight_decay;
        h->m[i] = s->beta1 * h->m[i] + (1 - s->beta1) * g;
        h->v[i] = s->beta2 * h->v[i] + (1 - s->beta2) * g * g;
        h->w[i] -= s->rate * h->m[i] / (1 - pow(s->beta1, (double)k)) / (sqrt(h->v[i] / (1 - pow(s->beta2, (double)k))) + 1e-8);
        h->shadow[i] -= (1 - d) * (h->shadow[i] - h->w[i]);
    }
}

/* Scaled: the loss of a step is so large that its gradients overflow, and the scale was due to grow just before. */
enum { STEPS = 30, OVERFLOWS = 5 };
static const train_scale due = { 1024, 2000 - OVERFLOWS + 1, 0 };

/* GradScaler's rules. */
static void scale_step(train_scale *s, bool overflows)
{
    s->since = overflows || s->since == 1999 ? 0 : s->since + 1;
    s->skipped += overflows ? 1 : 0;
    s->scale *= overflows ? 0.5f : s->since == 0 ? 2 : 1;
}

static void same_scale(const diffad_tensor *scaler, const train_scale *want, int64_t k)
{
    train_scale got;
    tensor_get(scaler, &got.scale, 3);
    cr_assert(got.scale == want->scale && got.since == want->since && got.skipped == want->skipped,
              "step %lld: scale %g, since %g steps, %g skipped; expected %g, %g, %g", (long long)k, got.scale, got.since, got.skipped,
              want->scale, want->since, want->skipped);
}

static void follows_the_host(const desc_stage *s, double ema_decay, bool is_scaled)
{
    diffad_device     *dev = dev_new();
    diffad_params     *params = diffad_params_create();
    const diffad_shape shape = diffad_shape1(N);
    host               h = { .w = { 0 } };
    float              x[N], w[N], shadow[N];
    diffad_param      *q = diffad_params_get(params, "w", &shape, (diffad_init){ DIFFAD_INIT_UNIFORM, 1, 0 }, true);
    cr_assert_eq(diffad_params_allocate(params, dev, DIFFAD_WITH_MOMENTS | DIFFAD_WITH_SHADOW | (s->accumulate > 1 ? DIFFAD_WITH_SUM : 0u)), DIFFAD_OK);
    cr_assert_eq(diffad_params_init(params, 7, 1), DIFFAD_OK);
    tensor_get(q->tensor, w, N);
    for (int i = 0; i < N; i++)
        h.w[i] = h.shadow[i] = w[i];
    train_scale    scale = due;
    diffad_tensor *scaler = is_scaled ? tensor_new(dev, diffad_shape1(3)) : NULL;
    if (scaler)
        tensor_put(scaler, &scale.scale, 3);
    diffad_road add = { NULL, NULL }, last = step_road(dev, params, &scaler, true, s->accumulate);
    if (s->accumulate > 1)
        add = step_road(dev, params, &scaler, false, s->accumulate);

    for (int64_t k = 1, effective = 1; k <= STEPS; k++) {
        const bool overflows = is_scaled && k == OVERFLOWS;
        for (int i = 0; i < s->accumulate; i++) {
            diffad_plan *p = i + 1 < s->accumulate ? add.plan : last.plan;
            numbers(x, N, (unsigned)(k * 10 + i));
            x[0] = overflows && i == 0 ? 1e37f : x[0];
            for (int e = 0; e < N; e++)
                h.sum[e] += overflows ? 0 : (h.w[e] - x[e]) / 3;
            tensor_put(diffad_plan_tensor(p, "x"), x, N);
            if (i + 1 == s->accumulate)
                cr_assert_eq(train_write_hyper(p, "", s, k, s->accumulate, ema_decay), DIFFAD_OK);
            plan_must_run(p);
        }
        if (!overflows)
            host_step(&h, s, effective++, ema_decay);
        scale_step(&scale, overflows);
        if (scaler)
            same_scale(scaler, &scale, k);
        tensor_get(q->tensor, w, N);
        tensor_get(q->shadow, shadow, N);
        for (int i = 0; i < N; i++) {
            cr_assert_float_eq(w[i], h.w[i], 2e-6, "step %lld: weight %d is %.8g, expected %.8g", (long long)k, i, w[i], h.w[i]);
            cr_assert_float_eq(shadow[i], h.shadow[i], 2e-6, "step %lld: average %d is %.8g, expected %.8g", (long long)k, i, shadow[i], h.shadow[i]);
        }
    }
    if (add.plan)
        plan_done(add.plan, add.graph);
    plan_done(last.plan, last.graph);
    diffad_tensor_destroy(scaler);
    diffad_params_destroy(params);
    dev_done(dev);
}

static const desc_stage plainly = { .steps = STEPS, .accumulate = 1, .rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .weight_decay = 0.01 },
                        by_parts = { .steps = STEPS, .accumulate = 2, .rate = 0.01, .beta1 = 0.5, .beta2 = 0.9 };

Test(rules, a_step_is_adamw_of_the_mean_gradient_and_a_warmed_up_average)
{
    follows_the_host(&plainly, 0.9999, false);
    follows_the_host(&by_parts, 0.6, false);
}

Test(rules, a_scaled_loss_trains_alike_and_a_step_that_overflows_changes_nothing_but_the_scale)
{
    follows_the_host(&plainly, 0.9999, true);
    follows_the_host(&by_parts, 0.6, true);
}

/* ---- initial values ---- */

typedef struct stats { double mean, deviation, largest, least; int64_t n; } stats;      /* largest of |x|; least of x */

static stats stats_of(const diffad_param *q)
{
    const int64_t n = diffad_shape_count(&q->shape);
    float        *x = diffad_alloc_array((size_t)n, sizeof *x);
    stats         s = { .n = n, .least = INFINITY };
    tensor_get(q->tensor, x, n);
    for (int64_t i = 0; i < n; i++) {
        s.mean += x[i] / (double)n;
        s.deviation += (double)x[i] * x[i] / (double)n;
        s.largest = fmax(s.largest, fabs(x[i]));
        s.least = fmin(s.least, x[i]);
    }
    s.deviation = sqrt(fmax(0, s.deviation - s.mean * s.mean));
    diffad_release(x);
    return s;
}

static void is_constant(const char *name, stats s, double value)
{
    cr_expect(s.least == value && s.largest == value, "%s: from %g, largest %g; %g everywhere was expected", name, s.least, s.largest, value);
}

/* Six standard errors of mean and deviation. */
static void is_normal(const char *name, stats s, double mean, double deviation)
{
    const double e = 6 * deviation / sqrt((double)s.n);
    cr_expect(fabs(s.mean - mean) < e && fabs(s.deviation - deviation) < e, "%s [%lld]: mean %g, deviation %g; N(%g, %g) was expected", name,
              (long long)s.n, s.mean, s.deviation, mean, deviation);
}

static void is_uniform(const char *name, stats s, double bound)
{
    const double deviation = bound / sqrt(3), e = 6 * deviation / sqrt((double)s.n);
    cr_expect(s.largest <= bound * 1.000001 && fabs(s.mean) < e && fabs(s.deviation - deviation) < e,
              "%s [%lld]: mean %g, deviation %g, largest %g; U(+-%g) was expected", name, (long long)s.n, s.mean, s.deviation, s.largest, bound);
    cr_expect(s.n < 100 || s.largest > bound * 0.9, "%s: largest %g of %g", name, s.largest, bound);
}

static bool ends(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

static bool holds(const char *s, const char *part) { return strstr(s, part) != NULL; }

static int64_t fan_in_of(diffad_params *p, const char *name)
{
    char weight[256];
    snprintf(weight, sizeof weight, "%.*sweight", (int)(strrchr(name, '.') + 1 - name), name);
    const diffad_shape *s = &diffad_params_find(p, weight)->shape;
    return diffad_shape_count(s) / s->side[0];
}

/* Norms have weights of rank 1; running statistics start as 0 and 1. */
static void check(diffad_params *p, const diffad_param *q, bool is_gan, bool (*starts_at_zero)(const char *name))
{
    char         weight[256];
    const char  *name = q->name;
    const stats  s = stats_of(q);
    snprintf(weight, sizeof weight, "%.*sweight", (int)(strrchr(name, '.') + 1 - name), name);
    const bool is_norm = diffad_params_find(p, weight)->shape.rank == 1, is_bias = ends(name, ".bias");
    if (ends(name, "running_mean") || ends(name, "running_var"))
        is_constant(name, s, ends(name, "running_var"));
    else if (starts_at_zero && starts_at_zero(name))
        is_constant(name, s, 0);
    else if (is_norm && is_bias)
        is_constant(name, s, 0);
    else if (is_norm && is_gan)
        is_normal(name, s, 1, 0.02);
    else if (is_norm)
        is_constant(name, s, 1);
    else if (is_gan && !is_bias)
        is_normal(name, s, 0, 0.02);
    else
        is_uniform(name, s, 1 / sqrt((double)fan_in_of(p, name)));
}

static bool zero_in_unet(const char *name)
{
    return holds(name, ".out_layers.3.") || holds(name, ".proj_out.") || strncmp(name, "out.2.", 6) == 0;
}

static train_run tiny_run(diffad_device *dev, const char *model)
{
    static const char *const sets[] = { "train.critic_start=1", "autoencoder.dropout=0.5", NULL };
    train_run r = { .dev = dev, .options = diffad_train_options_default(), .latent_scale = 1 };
    r.options.seed = 3;
    cr_assert_eq(diffad_desc_layers(model, "tiny", NULL, sets, &r.desc, NULL), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(run_open_params(&r), DIFFAD_OK);
    return r;
}

Test(rules, every_network_starts_as_the_published_one_does, .timeout = 120)
{
    static const char *const models[] = { "diffad", "draem" };
    diffad_device *dev = dev_new();
    int            networks = 0;
    for (int m = 0; m < 2; m++) {
        const train_stage *stages[RUN_STAGES];
        train_run          r = tiny_run(dev, models[m]);
        const int          n = run_stages_of(&r.desc, stages);
        for (int i = 0; i < n; i++) {
            diffad_params *lists[TRAIN_MAX_LISTS];
            const char    *prefix[TRAIN_MAX_LISTS];
            train_job      j = { .run = &r, .stage = stages[i], .recipe = train_recipe(&r.desc, stages[i]) };
            cr_assert_eq(train_open_networks(&j, 0), DIFFAD_OK, "%s", diffad_error_detail());
            const int count = stages[i]->parts(&j, lists, prefix);
            for (int k = 0; k < count; k++, networks++)
                for (int64_t q = 0; q < lists[k]->count; q++)
                    check(lists[k], lists[k]->item[q], lists[k] != r.autoencoder && lists[k] != r.unet, lists[k] == r.unet ? zero_in_unet : NULL);
        }
        run_close(&r);
    }
    cr_expect_eq(networks, 6, "autoencoder, critic, U-Net, segmenter, and two of DRAEM");
    dev_done(dev);
}

/* ---- the critic's turn ---- */

typedef struct dropout_attr { double p; uint32_t salt, zero; } dropout_attr;      /* as in src/op/dropout.c */

static int different_masks(train_job *j, int phase)
{
    diffad_graph *g = graph_new();
    uint32_t      salt[256];
    int           n = 0;
    j->stage->build(j, phase, true, g);
    cr_assert_eq(diffad_graph_status(g), DIFFAD_OK, "%s", diffad_error_detail());
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const dropout_attr *a = g->node[i]->attr;
        int                 k = 0;
        if (strcmp(g->node[i]->op->name, "dropout") != 0)
            continue;
        cr_assert_eq(a->p, 0.5);
        while (k < n && salt[k] != a->salt)
            k++;
        if (k == n)
            salt[n++] = a->salt;
    }
    diffad_graph_destroy(g);
    return n;
}

Test(rules, the_critic_s_pass_drops_elements_of_its_own, .timeout = 120)
{
    diffad_device *dev = dev_new();
    train_run      r = tiny_run(dev, "diffad");
    train_job      j = { .run = &r, .stage = &train_stage_vae, .recipe = &r.desc.train.vae };
    cr_assert_eq(train_open_networks(&j, train_keeps(&j)), DIFFAD_OK, "%s", diffad_error_detail());

    const int first = different_masks(&j, 0), both = different_masks(&j, 1);

    cr_expect_gt(first, 0);
    cr_expect_eq(both, 2 * first);
    run_close(&r);
    dev_done(dev);
}

Test(rules, the_critic_s_adam_has_counted_from_the_first_step, .timeout = 120)
{
    enum { STEP = 6 };
    diffad_device *dev = dev_new();
    train_run      r = tiny_run(dev, "diffad");
    train_job      j = { .run = &r, .stage = &train_stage_vae, .recipe = &r.desc.train.vae, .step = STEP };
    float          hyper[8];
    cr_assert_eq(train_open_networks(&j, train_keeps(&j)), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_road road = { graph_new(), NULL };
    j.stage->build(&j, 1, true, road.graph);
    road.plan = plan_new(dev, road.graph, NULL);

    cr_assert_eq(train_write_numbers(&j, road.plan), DIFFAD_OK, "%s", diffad_error_detail());

    tensor_get(diffad_plan_tensor(road.plan, "critic.hyper"), hyper, 8);
    cr_expect_float_eq(hyper[5], 1 - pow(r.desc.train.vae.beta1, STEP + 1), 1e-6, "1 - beta1^k is %g", hyper[5]);
    plan_done(road.plan, road.graph);
    run_close(&r);
    dev_done(dev);
}

/* ---- the frozen networks ---- */

enum { SAMPLES = 6 };

/* Untrained, the U-Net's zeros would hide it. */
static void fill_zeros(diffad_params *p)
{
    for (int64_t i = 0; i < p->count; i++) {
        const diffad_param *q = p->item[i];
        const int64_t       n = diffad_shape_count(&q->shape);
        if (q->init.kind != DIFFAD_INIT_CONSTANT || q->init.a != 0 || !ends(q->name, "weight"))
            continue;
        float *x = diffad_alloc_array((size_t)n, sizeof *x);
        numbers(x, n, (unsigned)i);
        for (int64_t k = 0; k < n; k++)
            x[k] *= 0.1f;
        tensor_put(q->tensor, x, n);
        diffad_release(x);
    }
}

/* Reconstructions of samples 0 .. SAMPLES-1, made `batch` at a time, each at a place that the batch's size gives it. */
static void make(const train_run *r, int batch, float *rec, int64_t each)
{
    diffad_latent *l;
    cr_assert_eq(diffad_latent_create(r->dev, &r->desc, 1, r->autoencoder, r->unet, batch, NULL, &l), DIFFAD_OK, "%s", diffad_error_detail());
    const int64_t one = diffad_latent_count(l) / batch;
    float        *x = diffad_alloc_array((size_t)(batch * each), sizeof *x), *z = diffad_alloc_array((size_t)(batch * one), sizeof *z);
    for (int first = 0; first < SAMPLES; first += batch) {
        for (int i = 0; i < batch; i++) {
            numbers(x + i * each, each, (unsigned)(first + i));
            diffad_latent_noise(l, 5, DIFFAD_RNG_SAMPLER, 0, first + i, 1, z + i * one);
        }
        tensor_put(l->x, x, batch * each);
        cr_assert_eq(diffad_latent_encode(l), DIFFAD_OK);
        cr_assert_eq(diffad_latent_sample(l, 5, 0, z, NULL, NULL), DIFFAD_OK, "%s", diffad_error_detail());
        cr_assert_eq(diffad_latent_decode(l), DIFFAD_OK);
        tensor_get(l->rec, x, batch * each);
        for (int i = 0; i < batch && first + i < SAMPLES; i++)
            memcpy(rec + (first + i) * each, x + i * each, (size_t)each * sizeof *rec);
    }
    diffad_release(x);
    diffad_release(z);
    diffad_latent_destroy(l);
}

static void same_in_any_batch(const char *scale)
{
    static const int batches[] = { 2, 3, 4, 5, 8 };
    diffad_device *dev = dev_new();
    train_run      r = tiny_run(dev, "diffad");
    cr_assert_eq(diffad_desc_named("diffad", scale, &r.desc), DIFFAD_OK);
    r.desc.scale_from = DESC_SCALE_FIXED;
    const int64_t  each = 3 * (int64_t)r.desc.image_size.v[0] * r.desc.image_size.v[1];
    float         *want = diffad_alloc_array((size_t)(SAMPLES * each), sizeof *want), *rec = diffad_alloc_array((size_t)(SAMPLES * each), sizeof *rec);
    cr_assert_eq(run_shape_weights(&r), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_params_init(r.autoencoder, 1, 1), DIFFAD_OK);
    cr_assert_eq(diffad_params_init(r.unet, 1, 2), DIFFAD_OK);
    fill_zeros(r.unet);
    make(&r, 1, want, each);

    for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++) {
        make(&r, batches[b], rec, each);
        for (int s = 0; s < SAMPLES; s++) {
            int64_t at = 0;
            while (at < each && memcmp(rec + s * each + at, want + s * each + at, sizeof *rec) == 0)
                at++;
            cr_expect_eq(at, each, "scale %s: sample %d of batches of %d: expected %.9g got %.9g at %lld", scale, s, batches[b],
                         want[s * each + (at < each ? at : 0)], rec[s * each + (at < each ? at : 0)], (long long)at);
        }
    }
    cr_expect(memcmp(want, want + each, (size_t)each * sizeof *want) != 0, "all samples are alike");
    diffad_release(want);
    diffad_release(rec);
    run_close(&r);
    dev_done(dev);
}

Test(rules, a_reconstruction_does_not_depend_on_the_batch_it_is_made_in, .timeout = 300)
{
    same_in_any_batch("tiny");
}

Test(rules, a_larger_reconstruction_does_not_depend_on_it_either, .timeout = 300)
{
    same_in_any_batch("fast");
}
