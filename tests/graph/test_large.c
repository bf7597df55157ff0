/* test_large.c: a training graph of thousands of nodes is planned in a moment (the driver's own time left out). */
#include "base/sys.h"
#include "graph/plan.h"
#include "op/ops.h"
#include "support/dev.h"
#include "support/stub_cl.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCKS = 160, PARTS = 4 };      /* w, its moments m and v, and the shadow of EMA */

static diffad_tensor *state[BLOCKS][3][PARTS];
static const diffad_conv_attr same = { .stride = 1, .dilation = 1, .left = 1, .right = 1, .top = 1, .bottom = 1 };
static const diffad_norm_attr norm = { .groups = 4, .eps = 1e-5, .act = DIFFAD_ACT_SILU };

static diffad_val bound(diffad_graph *g, int block, int which, int part)
{
    char name[64];
    const diffad_shape s = which == 0 ? diffad_shape4(16, 16, 3, 3) : diffad_shape1(16);
    sprintf(name, "block.%d.%d.%d", block, which, part);
    return diffad_bound(g, name, DIFFAD_F32, s, &state[block][which][part]);
}

static void build(diffad_graph *g)
{
    static diffad_val p[3 * BLOCKS], d[3 * BLOCKS], shadow[3 * BLOCKS];
    static diffad_adam_set set[3 * BLOCKS];
    char       name[32];
    diffad_val x = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(1, 16, 4, 4));
    const diffad_val hyper = diffad_input(g, "hyper", DIFFAD_F32, diffad_shape1(8)),
                     decay = diffad_input(g, "decay", DIFFAD_F32, diffad_shape0());
    for (int i = 0; i < BLOCKS; i++) {
        for (int k = 0; k < 3; k++)
            p[3 * i + k] = bound(g, i, k, 0);
        const diffad_val h = diffad_conv2d(g, x, p[3 * i], p[3 * i + 2], &same);
        x = diffad_add(g, x, diffad_group_norm(g, h, p[3 * i + 1], p[3 * i + 2], &norm));
        sprintf(name, "block.%d", i);
        diffad_name(g, x, name);
        cr_assert_eq(diffad_find(g, name).id, x.id);
    }
    const diffad_val loss = diffad_mean(g, diffad_square(g, x));
    diffad_graph_grad(g, loss, diffad_none(), p, 3 * BLOCKS, d);
    const diffad_val total = diffad_grad_norm(g, 3 * BLOCKS, d),
                     ok = diffad_reshape(g, diffad_slice(g, diffad_reshape(g, total, diffad_shape2(1, 2)), 1, 1),
                                         diffad_shape0());
    for (int i = 0; i < 3 * BLOCKS; i++) {
        set[i]    = (diffad_adam_set){ p[i], bound(g, i / 3, i % 3, 1), bound(g, i / 3, i % 3, 2), d[i] };
        shadow[i] = bound(g, i / 3, i % 3, 3);
    }
    diffad_adam(g, 3 * BLOCKS, set, hyper, ok);
    diffad_ema(g, 3 * BLOCKS, shadow, p, decay, ok);
    diffad_output(g, "loss", loss);
}

static double seconds(void) { return (double)diffad_sys.monotonic_ns() * 1e-9; }

/* DIFFAD_TEST_LARGE=1: on the device at hand; --verbose shows the times. */
Test(large, a_training_graph_is_planned_in_a_moment)
{
    const bool is_real = getenv("DIFFAD_TEST_LARGE") != NULL;
    if (!is_real) {
        unsetenv("DIFFAD_DEVICE");
        setenv("DIFFAD_CACHE_DIR", "", 1);
        stub_install();
    }
    diffad_device *dev = dev_new();
    for (int i = 0; i < BLOCKS; i++)
        for (int k = 0; k < 3; k++)
            for (int part = 0; part < PARTS; part++)
                state[i][k][part] = tensor_new(dev, k == 0 ? diffad_shape4(16, 16, 3, 3) : diffad_shape1(16));
    diffad_graph *g = graph_new();

    const double start = seconds();
    build(g);
    cr_assert_eq(diffad_graph_status(g), DIFFAD_OK, "%s", diffad_error_detail());
    const double built = seconds();
    diffad_plan *p = plan_new(dev, g, NULL), *q = NULL;
    const double first = seconds();
    q = plan_new(dev, g, &(diffad_plan_options){ .no_sharing = true });
    const double planned = seconds();

    cr_log_info("%lld nodes, %d launches, %lld programs' builds: graph %.0f ms, first plan %.0f ms, plan %.0f ms",
                (long long)g->n_nodes, diffad_plan_launches(p), (long long)stub_count(STUB_BuildProgram),
                1e3 * (built - start), 1e3 * (first - built), 1e3 * (planned - first));
    cr_expect_gt(g->n_nodes, 1400);
    cr_expect_lt(built - start, 0.25);
    cr_expect(is_real || first - built < 1.0);
    diffad_plan_destroy(q);
    plan_done(p, g);
    for (int i = 0; i < BLOCKS; i++)
        for (int k = 0; k < 3; k++)
            for (int part = 0; part < PARTS; part++)
                diffad_tensor_destroy(state[i][k][part]);
    dev_done(dev);
    cr_expect_eq(stub_live(), 0);
}
