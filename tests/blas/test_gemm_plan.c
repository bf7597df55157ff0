/* test_gemm_plan.c: matrix products inside a plan (diffad_emit_gemm of src/graph/emit.c). */
#include "diffad/data.h"
#include "diffad/ops.h"
#include "diffad/plan.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { M = 5, N = 40, K = 24 };

typedef struct net {
    diffad_device *dev;
    diffad_graph  *g;
    diffad_tensor *w;
    diffad_plan   *plan;
} net;

static float value(int i, int seed) { return (float)((i * 7 + seed * 5) % 9 - 4); }

static void set_weights(net *t, int seed)
{
    float w[N * K];
    for (int i = 0; i < N * K; i++)
        w[i] = value(i, seed);
    cr_assert_eq(diffad_tensor_write(t->w, w, sizeof w), DIFFAD_OK, "%s", diffad_error_detail());
}

/* y = x w^T, and dx of sum(y): both read the parameter w, in two packed forms. */
static diffad_status net_open(net *t, const char *ways)
{
    const diffad_shape shape = diffad_shape2(N, K);
    const diffad_plan_options options = { .ways = ways };
    diffad_val         dx;
    cr_assert_eq(diffad_device_open(NULL, &t->dev), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_tensor_create(t->dev, DIFFAD_F32, &shape, &t->w), DIFFAD_OK);
    cr_assert_eq(diffad_graph_create(&t->g), DIFFAD_OK);
    const diffad_val x = diffad_input(t->g, "x", DIFFAD_F32, diffad_shape2(M, K));
    const diffad_val w = diffad_bound(t->g, "w", DIFFAD_F32, shape, &t->w);
    const diffad_val y = diffad_linear(t->g, x, w, diffad_none());
    diffad_output(t->g, "y", y);
    diffad_graph_grad(t->g, y, diffad_none(), &x, 1, &dx);
    diffad_output(t->g, "dx", dx);
    return diffad_plan_create(t->dev, t->g, &options, &t->plan);
}

static void net_close(net *t)
{
    diffad_plan_destroy(t->plan);
    diffad_graph_destroy(t->g);
    diffad_tensor_destroy(t->w);
    diffad_device_close(t->dev);
}

static void expect_result(net *t, int seed)
{
    float x[M * K], y[M * N], dx[M * K];
    for (int i = 0; i < M * K; i++)
        x[i] = value(i, 3);
    cr_assert_eq(diffad_tensor_write(diffad_plan_tensor(t->plan, "x"), x, sizeof x), DIFFAD_OK);
    cr_assert_eq(diffad_plan_run(t->plan), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_tensor_read(diffad_plan_tensor(t->plan, "y"), y, sizeof y), DIFFAD_OK);
    cr_assert_eq(diffad_tensor_read(diffad_plan_tensor(t->plan, "dx"), dx, sizeof dx), DIFFAD_OK);
    for (int i = 0; i < M * N; i++) {
        float sum = 0;
        for (int k = 0; k < K; k++)
            sum += x[i / N * K + k] * value(i % N * K + k, seed);
        cr_expect(y[i] == sum, "y[%d]: expected %g got %g", i, (double)sum, (double)y[i]);
    }
    for (int i = 0; i < M * K; i++) {
        float sum = 0;
        for (int n = 0; n < N; n++)
            sum += value(n * K + i % K, seed);
        cr_expect(dx[i] == sum, "dx[%d]: expected %g got %g", i, (double)sum, (double)dx[i]);
    }
}

Test(gemm_plan, packed_weights_follow_their_parameter)
{
    net t = { 0 };
    cr_assert_eq(net_open(&t, NULL), DIFFAD_OK, "%s", diffad_error_detail());
    set_weights(&t, 1);
    expect_result(&t, 1);
    expect_result(&t, 1);      /* from what was kept */

    set_weights(&t, 2);

    expect_result(&t, 2);
    net_close(&t);
}

Test(gemm_plan, every_product_can_be_forced_through_one_way)
{
    static const char *const ways[] = { "gemm=cpu", "gemm=tile", "gemm=clblast" };
    static const char *const kernels[] = { "gemm_cpu", "gemm_tile", "clblast_gemm" };
    for (int i = 0; i < 3; i++) {
        net t = { 0 };
        const diffad_status st = net_open(&t, ways[i]);
        if (st == DIFFAD_ERR_UNSUPPORTED && i == 2) {
            cr_log_info("built without CLBlast");
        } else {
            cr_assert_eq(st, DIFFAD_OK, "%s", diffad_error_detail());
            char *dump = diffad_plan_dump(t.plan);
            cr_expect(strstr(dump, kernels[i]), "%s: %s", ways[i], dump);
            diffad_memory_release(dump);
            set_weights(&t, 1);
            expect_result(&t, 1);
        }
        net_close(&t);
    }
}

Test(gemm_plan, a_forced_way_that_does_not_exist_is_an_error)
{
    net t = { 0 };

    const diffad_status st = net_open(&t, "gemm=fastest");

    cr_expect_eq(st, DIFFAD_ERR_USAGE);
    cr_expect(strstr(diffad_error_detail(), "fastest"), "%s", diffad_error_detail());
    net_close(&t);
}
