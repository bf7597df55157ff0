/* test_recompute.c: plans within a number of bytes (src/graph/fit.c, recompute.c): the same bits, less memory, and the memory
 * that was told. */
#include "diffad/data.h"
#include "graph/rig.h"
#include "op/ops.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { C = 16, SIDE = 24, BLOCKS = 8, WEIGHTS = 3 * BLOCKS + 3 };

typedef struct net {
    diffad_device *dev;
    diffad_graph  *g;
    diffad_tensor *weight[WEIGHTS], *running[2 * BLOCKS + 2];
    diffad_val     w[WEIGHTS], key;
    int            n, statistics;
} net;

static diffad_val weight(net *m, diffad_shape shape)
{
    char name[16];
    const int64_t count = diffad_shape_count(&shape);
    float        *x = malloc((size_t)count * sizeof *x);
    snprintf(name, sizeof name, "w%d", m->n);
    m->weight[m->n] = tensor_new(m->dev, shape);
    numbers(x, count, (unsigned)m->n);
    tensor_put(m->weight[m->n], x, count);
    free(x);
    m->w[m->n] = diffad_bound(m->g, name, DIFFAD_F32, shape, &m->weight[m->n]);
    return m->w[m->n++];
}

static diffad_val conv(net *m, diffad_val x, int64_t in, int64_t out)
{
    const diffad_conv_attr same = { .stride = 1, .dilation = 1, .left = 1, .right = 1, .top = 1, .bottom = 1 };
    return diffad_conv2d(m->g, x, weight(m, diffad_shape4(out, in, 3, 3)), diffad_none(), &same);
}

static diffad_val running(net *m, int64_t c)
{
    char name[16];
    snprintf(name, sizeof name, "r%d", m->statistics);
    m->running[m->statistics] = tensor_new(m->dev, diffad_shape1(c));
    return diffad_bound(m->g, name, DIFFAD_F32, diffad_shape1(c), &m->running[m->statistics++]);
}

static diffad_val batch_norm(net *m, diffad_val x, int64_t c)
{
    const diffad_norm_attr a = { .eps = 1e-5, .act = DIFFAD_ACT_RELU, .momentum = 0.1 };
    const diffad_val w = weight(m, diffad_shape1(c)), b = weight(m, diffad_shape1(c)), mean = running(m, c);
    return diffad_batch_norm_train(m->g, x, w, b, mean, running(m, c), &a);
}

static diffad_val group_norm(net *m, diffad_val x, int64_t c)
{
    const diffad_norm_attr a = { .groups = 4, .eps = 1e-5, .act = DIFFAD_ACT_SILU };
    const diffad_val w = weight(m, diffad_shape1(c));
    return diffad_group_norm(m->g, x, w, weight(m, diffad_shape1(c)), &a);
}

/* x + conv(dropout(silu(norm x))), or with the first blocks' outputs beside it, as a U-Net has them. */
static diffad_val block(net *m, diffad_val x, int64_t in, int i)
{
    diffad_val h = i % 2 ? batch_norm(m, x, in) : group_norm(m, x, in);
    h = conv(m, diffad_dropout(m->g, h, m->key, 0.25, (uint32_t)i), in, C);
    return in == C ? diffad_add(m->g, x, h) : h;
}

/* Residual blocks down and up with skips; a loss, its gradients, and every weight's step along its own. */
static void net_build(net *m)
{
    diffad_val skip[BLOCKS / 2], d[WEIGHTS];
    const diffad_val x = diffad_input(m->g, "x", DIFFAD_F32, diffad_shape4(2, C, SIDE, SIDE));
    m->key = diffad_input(m->g, "key", DIFFAD_I32, diffad_shape1(2));
    diffad_val h = batch_norm(m, conv(m, x, C, C), C);
    for (int i = 0; i < BLOCKS / 2; i++)
        skip[i] = h = block(m, h, C, i);
    for (int i = BLOCKS / 2; i < BLOCKS; i++)
        h = block(m, diffad_concat(m->g, 2, (diffad_val[]){ h, skip[BLOCKS - 1 - i] }), 2 * C, i);
    diffad_output(m->g, "y", h);
    const diffad_val loss = diffad_mean(m->g, diffad_square(m->g, h));
    diffad_graph_grad(m->g, loss, diffad_none(), m->w, m->n, d);
    for (int i = 0; i < m->n; i++)
        diffad_assign(m->g, m->w[i], diffad_add(m->g, m->w[i], diffad_affine(m->g, d[i], -0.5, 0)));
}

/* The graph holds the addresses of *m's tensors. */
static void net_new(net *m, diffad_device *dev)
{
    *m = (net){ .dev = dev, .g = graph_new() };
    net_build(m);
}

static void net_done(net *m)
{
    for (int i = 0; i < m->n; i++)
        diffad_tensor_destroy(m->weight[i]);
    for (int i = 0; i < m->statistics; i++)
        diffad_tensor_destroy(m->running[i]);
    diffad_graph_destroy(m->g);
}

static size_t told(const diffad_plan *p) { return diffad_plan_bytes(p) + diffad_plan_fixed_bytes(p); }

static int64_t get(const diffad_tensor *t, float *to)
{
    const int64_t n = diffad_shape_count(diffad_tensor_shape(t));
    tensor_get(t, to, n);
    return n;
}

/* Two steps with the plan: all weights, the running statistics and the output, in new memory. */
static float *two_steps(net *m, diffad_plan *p, int64_t *count)
{
    float *all = malloc((size_t)1 << 22), *x = malloc((size_t)2 * C * SIDE * SIDE * sizeof *x);
    for (int step = 0; step < 2; step++) {
        numbers(x, 2 * C * SIDE * SIDE, (unsigned)step);
        tensor_put(diffad_plan_tensor(p, "x"), x, 2 * C * SIDE * SIDE);
        cr_assert_eq(diffad_tensor_write(diffad_plan_tensor(p, "key"), (int32_t[]){ 5, step }, 8), DIFFAD_OK);
        plan_must_run(p);
    }
    *count = 0;
    for (int i = 0; i < m->n; i++)
        *count += get(m->weight[i], all + *count);
    for (int i = 0; i < m->statistics; i++)
        *count += get(m->running[i], all + *count);
    *count += get(diffad_plan_tensor(p, "y"), all + *count);
    free(x);
    return all;
}

static void same_bits_within(const diffad_plan_options *base, const char *what)
{
    static const double parts[] = { 0.95, 0.85, 0.75, 0.7 };
    diffad_device *dev   = dev_new();
    net            whole;
    net_new(&whole, dev);
    diffad_plan   *p     = plan_new(dev, whole.g, base);
    int64_t        n, m;
    float         *want = two_steps(&whole, p, &n);
    char          *ways = diffad_plan_ways(p);
    const size_t   all  = told(p);
    const int      launches = diffad_plan_launches(p);
    diffad_plan_destroy(p);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        net                 small;
        net_new(&small, dev);
        diffad_plan_options o = *base;
        o.max_bytes = (size_t)((double)all * parts[i]);
        const size_t before = diffad_device_bytes(dev);
        diffad_plan *q = plan_new(dev, small.g, &o);
        const size_t taken = diffad_device_bytes(dev) - before;
        float       *got = two_steps(&small, q, &m);
        char        *same = diffad_plan_ways(q), *dump = diffad_plan_dump(q);

        cr_expect(strstr(dump, "batch_norm_again"), "%s: every batch norm is kept", what);
        diffad_memory_release(dump);
        cr_expect_leq(told(q), o.max_bytes, "%s: %zu of %zu, allowed %zu", what, told(q), all, o.max_bytes);
        cr_expect_eq(taken, told(q), "%s: %zu bytes taken, %zu told", what, taken, told(q));
        cr_expect_gt(diffad_plan_launches(q), launches);
        cr_expect_eq(m, n);
        cr_expect_arr_eq(got, want, (size_t)n * sizeof *got, "%s: other bits at %g of the memory", what, parts[i]);
        cr_expect_str_eq(same, ways, "%s", what);
        diffad_plan_destroy(q);
        o.sizes_only = true;
        q = plan_new(dev, small.g, &o);
        cr_expect_eq(told(q), taken, "%s: sizes alone tell %zu, taken %zu", what, told(q), taken);
        diffad_plan_destroy(q);
        diffad_memory_release(same);
        free(got);
        net_done(&small);
    }
    diffad_memory_release(ways);
    free(want);
    net_done(&whole);
    dev_done(dev);
}

Test(recompute, smaller_plans_give_the_same_bits)
{
    same_bits_within(&(diffad_plan_options){ .max_bytes = 0 }, "usual ways");
}

Test(recompute, smaller_plans_give_the_same_bits_without_blocks)
{
    setenv("DIFFAD_CAPS", "block=1", 1);
    same_bits_within(&(diffad_plan_options){ .max_bytes = 0 }, "row-major");
}

Test(recompute, a_limit_that_the_whole_plan_keeps_changes_nothing)
{
    diffad_device *dev = dev_new();
    net            m;
    net_new(&m, dev);
    diffad_plan   *p   = plan_new(dev, m.g, NULL);
    diffad_plan   *q   = plan_new(dev, m.g, &(diffad_plan_options){ .max_bytes = told(p) });

    cr_expect_eq(told(q), told(p));
    cr_expect_eq(diffad_plan_launches(q), diffad_plan_launches(p));
    diffad_plan_destroy(p);
    diffad_plan_destroy(q);
    net_done(&m);
    dev_done(dev);
}

Test(recompute, a_limit_out_of_reach_is_an_error_that_names_the_least)
{
    diffad_device *dev = dev_new();
    net            m;
    net_new(&m, dev);
    diffad_plan   *p   = NULL;
    double         whole, least;

    cr_expect_eq(diffad_plan_create(dev, m.g, &(diffad_plan_options){ .max_bytes = 1000 }, &p), DIFFAD_ERR_MEMORY);
    const char *at = strstr(diffad_error_detail(), "plan: ");
    cr_assert(!p && at && sscanf(at, "plan: %lf MiB are needed, %lf where", &whole, &least) == 2, "%s", diffad_error_detail());
    cr_expect_lt(least, 0.7 * whole);
    p = plan_new(dev, m.g, &(diffad_plan_options){ .max_bytes = (size_t)((least + 0.06) * (1 << 20)) });
    diffad_plan_destroy(p);
    net_done(&m);
    dev_done(dev);
}

Test(recompute, ways_of_the_whole_plan_are_taken_again)
{
    diffad_device *dev = dev_new();
    net            m;
    net_new(&m, dev);
    diffad_plan   *p   = plan_new(dev, m.g, &(diffad_plan_options){ .ways = "conv2d=portable" });
    char          *ways = diffad_plan_ways(p);
    diffad_plan   *q   = plan_new(dev, m.g, &(diffad_plan_options){ .node_ways = ways, .max_bytes = told(p) * 3 / 4 });
    char          *same = diffad_plan_ways(q);

    cr_expect_str_eq(same, ways);
    diffad_memory_release(ways);
    diffad_memory_release(same);
    diffad_plan_destroy(p);
    diffad_plan_destroy(q);
    net_done(&m);
    dev_done(dev);
}

/* The second gradient comes after the weight was changed: what it needs of the first forward pass cannot be made again. */
Test(recompute, nothing_is_made_again_from_state_that_changed)
{
    diffad_device *dev = dev_new();
    for (int limit = 0; limit < 2; limit++) {
        net m = { .dev = dev, .g = graph_new() };
        diffad_val h = diffad_input(m.g, "x", DIFFAD_F32, diffad_shape4(2, C, SIDE, SIDE)), d[6];
        for (int i = 0; i < 6; i++)
            h = diffad_tanh(m.g, conv(&m, h, C, C));
        const diffad_val loss = diffad_mean(m.g, diffad_square(m.g, h));
        for (int i = 0; i < m.n; i++)
            diffad_assign(m.g, m.w[i], diffad_affine(m.g, m.w[i], 0.5, 0.125));
        diffad_graph_grad(m.g, loss, diffad_none(), m.w, m.n, d);
        diffad_output(m.g, "loss", loss);
        for (int i = 0; i < m.n; i++)
            diffad_assign(m.g, m.w[i], d[i]);
        diffad_plan *p = plan_new(dev, m.g, &(diffad_plan_options){ .sizes_only = true });
        const size_t all = told(p);
        diffad_plan_destroy(p);
        p = NULL;
        if (diffad_plan_create(dev, m.g, &(diffad_plan_options){ .max_bytes = limit ? all * 3 / 4 : 0 }, &p) == DIFFAD_OK)
            expect_like_reference(p, m.g, 2, 1e-4, limit ? "within less" : "whole");
        diffad_plan_destroy(p);
        for (int i = 0; i < m.n; i++)
            diffad_tensor_destroy(m.weight[i]);
        diffad_graph_destroy(m.g);
    }
    dev_done(dev);
}
