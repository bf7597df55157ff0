/* test_half.c: training with products in f16: gradients that it cannot hold, and the critic's weight. The matrix unit is computed where
 * there is none. */
#include "graph/graph.h"
#include "support/dev.h"
#include "support/folder.h"
#include "tensor/tensor.h"
#include "train/run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* loss = weight * mean square of (conv(silu(conv(x))) - target), both convolutions 3x3 of 8 channels to 8. */
enum { CHANNELS = 8, SIDE = 8, VALUES = 2 * CHANNELS * SIDE * SIDE, WEIGHTS = CHANNELS * CHANNELS * 9 };

typedef struct net {
    diffad_device *dev;
    diffad_params *params;
    diffad_tensor *scaler;      /* NULL: the loss is not scaled */
    diffad_graph  *g;
    diffad_plan   *plan;
    int64_t        step;        /* done */
} net;

static diffad_val conv_of(net *n, const char *name, diffad_val x)
{
    const diffad_conv_attr same  = { .stride = 1, .dilation = 1, .left = 1, .right = 1, .top = 1, .bottom = 1 };
    const diffad_shape     shape = diffad_shape4(CHANNELS, CHANNELS, 3, 3);
    diffad_param *q = diffad_params_get(n->params, name, &shape, (diffad_init){ DIFFAD_INIT_UNIFORM, 0.1, 0 }, true);
    return diffad_conv2d(n->g, x, diffad_bound(n->g, q->name, DIFFAD_F32, q->shape, &q->tensor), diffad_none(), &same);
}

static void put_numbers(const net *n, const char *name, unsigned seed)
{
    static float x[VALUES];
    numbers(x, VALUES, seed);
    tensor_put(diffad_plan_tensor(n->plan, name), x, VALUES);
}

/* scale 0: none. */
static net net_new(diffad_precision precision, double weight, float scale)
{
    net                n   = { .params = diffad_params_create(), .g = graph_new() };
    const diffad_shape map = diffad_shape4(2, CHANNELS, SIDE, SIDE);
    setenv("DIFFAD_CAPS", "matrix=1,block=1", 1);
    n.dev = dev_new();
    cr_assert_eq(diffad_device_set_precision(n.dev, precision), DIFFAD_OK, "%s", diffad_error_detail());
    if (scale > 0) {
        n.scaler = tensor_new(n.dev, diffad_shape1(3));
        tensor_put(n.scaler, (const float[]){ scale, 0, 0 }, 3);
    }
    const diffad_val y = conv_of(&n, "second", diffad_silu(n.g, conv_of(&n, "first", diffad_input(n.g, "x", DIFFAD_F32, map))));
    const diffad_val loss = diffad_affine(n.g, diffad_mse(n.g, y, diffad_input(n.g, "target", DIFFAD_F32, map)), weight, 0);
    diffad_output(n.g, "loss", loss);
    cr_assert_eq(diffad_params_allocate(n.params, n.dev, DIFFAD_WITH_MOMENTS), DIFFAD_OK);
    cr_assert_eq(diffad_params_init(n.params, 3, 1), DIFFAD_OK);
    train_add_update(n.g, 1, &n.params, loss, &(train_update){ .prefix = "", .accumulate = 1, .is_last = true,
                     .scaler = n.scaler ? diffad_bound(n.g, "scaler", DIFFAD_F32, diffad_shape1(3), &n.scaler) : diffad_none() });
    n.plan = plan_new(n.dev, n.g, NULL);
    put_numbers(&n, "x", 1);
    put_numbers(&n, "target", 2);
    return n;
}

static void net_done(net *n)
{
    plan_done(n->plan, n->g);
    diffad_tensor_destroy(n->scaler);
    diffad_params_destroy(n->params);
    dev_done(n->dev);
}

/* The loss before the step. */
static double step(net *n)
{
    static const desc_stage recipe = { .steps = 100, .accumulate = 1, .rate = 0.01, .beta1 = 0.9, .beta2 = 0.999 };
    float loss;
    cr_assert_eq(train_write_hyper(n->plan, "", &recipe, ++n->step, 1, 0), DIFFAD_OK);
    plan_must_run(n->plan);
    tensor_get(diffad_plan_tensor(n->plan, "loss"), &loss, 1);
    return loss;
}

/* Root of the sum of squares of the first convolution's first moment: 0.1 of its gradient after one step. */
static double first_moment(const net *n)
{
    float  m[WEIGHTS];
    double sum = 0;
    tensor_get(diffad_params_find(n->params, "first")->m, m, WEIGHTS);
    for (int i = 0; i < WEIGHTS; i++)
        sum += (double)m[i] * m[i];
    return sqrt(sum);
}

static double first_moment_of_one_step(diffad_precision precision, double weight, float scale)
{
    net n = net_new(precision, weight, scale);
    step(&n);
    const double norm = first_moment(&n);
    net_done(&n);
    return norm;
}

/* f16 rounds an operand by 2^-12 of itself on average: losses that fall to a part of themselves part by less than a thousandth. */
Test(half, losses_in_f16_follow_those_in_float32, .timeout = 120)
{
    enum { STEPS = 20 };
    net    a = net_new(DIFFAD_PRECISION_F32, 1, 0);
    double want[STEPS];
    for (int i = 0; i < STEPS; i++)
        want[i] = step(&a);
    net_done(&a);
    net b = net_new(DIFFAD_PRECISION_F16, 1, 65536);

    double worst = 0;
    for (int i = 0; i < STEPS; i++)
        worst = fmax(worst, fabs(step(&b) - want[i]) / want[i]);

    cr_log_info("losses %g .. %g, worst difference %g of the loss", want[0], want[STEPS - 1], worst);
    cr_expect_lt(want[STEPS - 1], 0.9 * want[0]);
    cr_expect_lt(worst, 1e-3);
    cr_expect_gt(worst, 0, "f16 was not used");
    net_done(&b);
}

Test(half, gradients_too_small_for_f16_vanish_and_a_scale_keeps_them, .timeout = 120)
{
    const double tiny = 1e-6, want = first_moment_of_one_step(DIFFAD_PRECISION_F32, tiny, 0);

    cr_expect_gt(want, 0);
    cr_expect_lt(first_moment_of_one_step(DIFFAD_PRECISION_F16, tiny, 0), 0.01 * want);
    cr_expect_float_eq(first_moment_of_one_step(DIFFAD_PRECISION_F16, tiny, 65536), want, 2e-3 * want);
}

Test(half, a_scale_too_large_is_halved_until_no_gradient_overflows, .timeout = 120)
{
    net   n = net_new(DIFFAD_PRECISION_F16, 1, 0x1p34f);
    float before[WEIGHTS], after[WEIGHTS], scale[3], norm[2];
    int   skipped = 0;
    tensor_get(diffad_params_find(n.params, "first")->tensor, before, WEIGHTS);
    for (bool is_good = false; !is_good && skipped < 34; skipped += !is_good) {
        step(&n);
        tensor_get(diffad_plan_tensor(n.plan, "norm"), norm, 2);
        tensor_get(diffad_params_find(n.params, "first")->tensor, after, WEIGHTS);
        is_good = norm[1] == 1;
        cr_assert_eq(memcmp(before, after, sizeof before) == 0, !is_good, "after %d skipped steps", skipped);
    }
    tensor_get(n.scaler, scale, 3);

    cr_expect_gt(skipped, 3);
    cr_expect_lt(skipped, 34);
    cr_expect_eq(scale[0], ldexpf(0x1p34f, -skipped));
    cr_expect_eq(scale[1], 1);
    cr_expect_eq(scale[2], (float)skipped);
    cr_expect_float_eq(first_moment(&n), first_moment_of_one_step(DIFFAD_PRECISION_F32, 1, 0), 2e-3 * first_moment(&n));
    net_done(&n);
}

/* ---- in a run ---- */

static train_run run_new(diffad_device *dev, const char *folder)
{
    static const char *const sets[] = { "train.critic_start=1", NULL };
    train_run r = { .dev = dev, .options = diffad_train_options_default(), .latent_scale = 1, .folder = diffad_strdup(folder) };
    cr_assert_eq(diffad_desc_layers("diffad", "tiny", NULL, sets, &r.desc, NULL), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(run_open_params(&r), DIFFAD_OK);
    return r;
}

static train_job job_new(train_run *r)
{
    train_job j = { .run = r, .stage = &train_stage_vae, .recipe = &r->desc.train.vae, .step = 3 };
    cr_assert_eq(train_open_networks(&j, train_keeps(&j)), DIFFAD_OK, "%s", diffad_error_detail());
    return j;
}

Test(half, a_state_keeps_the_scales_of_both_optimisers)
{
    static const train_scale want[TRAIN_SCALERS] = { { 0x1p20f, 1234, 5 }, { 0.25f, 1, 16777216 } };
    const char *folder = folder_new();
    bool        found, is_final;
    setenv("DIFFAD_CAPS", "matrix=1,block=1", 1);
    diffad_device *dev = dev_new();
    cr_assert_eq(diffad_device_set_precision(dev, DIFFAD_PRECISION_F16), DIFFAD_OK, "%s", diffad_error_detail());
    train_run a = run_new(dev, folder), b = run_new(dev, folder);
    train_job from = job_new(&a), to = job_new(&b);
    tensor_put(diffad_params_find(a.scalers, "loss_scale")->tensor, &want[0].scale, 3);
    tensor_put(diffad_params_find(a.scalers, "critic.loss_scale")->tensor, &want[1].scale, 3);
    cr_assert_eq(train_state_save(&from, false), DIFFAD_OK, "%s", diffad_error_detail());

    cr_assert_eq(train_state_load(&to, &found, &is_final), DIFFAD_OK, "%s", diffad_error_detail());

    cr_expect(found && !is_final);
    for (int i = 0; i < TRAIN_SCALERS; i++) {
        train_scale got;
        cr_assert_eq(train_read_scaler(&to, i, &got), DIFFAD_OK);
        cr_expect_eq(memcmp(&got, &want[i], sizeof got), 0, "scaler %d: %g %g %g", i, got.scale, got.since, got.skipped);
    }
    run_close(&a);
    run_close(&b);
    dev_done(dev);
}

/* ---- the critic's weight ---- */

/* Of gradients whose squared norms are a and b; scale 0: none. */
static float weight_of(diffad_device *dev, float a, float b, float scale)
{
    float            y;
    diffad_graph    *g = graph_new();
    const diffad_val scaler = scale > 0 ? diffad_input(g, "scaler", DIFFAD_F32, diffad_shape1(3)) : diffad_none();
    diffad_output(g, "y", diffad_adaptive_weight(g, diffad_input(g, "a", DIFFAD_F32, diffad_shape0()),
                                                 diffad_input(g, "b", DIFFAD_F32, diffad_shape0()), scaler, 0.5));
    diffad_plan *p = plan_new(dev, g, NULL);
    tensor_put(diffad_plan_tensor(p, "a"), &a, 1);
    tensor_put(diffad_plan_tensor(p, "b"), &b, 1);
    if (scale > 0)
        tensor_put(diffad_plan_tensor(p, "scaler"), (const float[]){ scale, 0, 0 }, 3);
    plan_must_run(p);
    tensor_get(diffad_plan_tensor(p, "y"), &y, 1);
    plan_done(p, g);
    return y;
}

Test(half, the_critic_s_weight_does_not_depend_on_the_scale_and_an_overflow_is_no_weight)
{
    diffad_device *dev = dev_new();
    const float    squared = 1024.0f * 1024.0f;

    cr_expect_eq(weight_of(dev, 3e-4f * squared, 2e-9f * squared, 1024), weight_of(dev, 3e-4f, 2e-9f, 0));
    cr_expect(isnan(weight_of(dev, INFINITY, 1, 0)));
    cr_expect(isnan(weight_of(dev, 1, INFINITY, 1024)));
    dev_done(dev);
}
