/* test_plan.c: memory sharing, in-place use, aliases and layouts of plans (src/graph/plan.c, operand.c, memory.c). */
#include "graph/rig.h"
#include "op/ops.h"
#include "support/stub_cl.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static diffad_val map(diffad_graph *g, const char *name, int64_t c)
{
    return diffad_input(g, name, DIFFAD_F32, diffad_shape4(2, c, 8, 8));
}
static const size_t MAP = 2 * 16 * 8 * 8 * sizeof(float);

static diffad_val pool(diffad_graph *g, diffad_val x) { return diffad_avg_pool(g, x, &(diffad_pool_attr){ 3, 1, 1 }); }

static void on_stub(void)
{
    unsetenv("DIFFAD_DEVICE");
    setenv("DIFFAD_CACHE_DIR", "", 1);
    stub_install();
}

/* ---- memory ---- */

Test(plan, values_with_disjoint_lives_share_bytes)
{
    diffad_device *dev = dev_new();
    diffad_graph  *g   = graph_new();
    diffad_val     v   = map(g, "x", 16);
    for (int i = 0; i < 10; i++)
        v = pool(g, v);
    diffad_output(g, "y", v);

    diffad_plan *p = plan_new(dev, g, NULL), *apart = plan_new(dev, g, &(diffad_plan_options){ .no_sharing = true });

    cr_expect_leq(diffad_plan_bytes(p), 2 * MAP, "%zu", diffad_plan_bytes(p));
    cr_expect_geq(diffad_plan_bytes(apart), 9 * MAP);
    cr_expect_eq(diffad_plan_fixed_bytes(p), 2 * MAP);
    expect_like_reference(p, g, 2, 1e-5, "shared");
    expect_like_reference(apart, g, 2, 1e-5, "apart");
    diffad_plan_destroy(apart);
    plan_done(p, g);
    dev_done(dev);
}

Test(plan, plans_of_a_device_work_in_the_same_memory)
{
    diffad_device *dev = dev_new();
    diffad_graph  *large = graph_new(), *small = graph_new();
    diffad_output(large, "y", pool(large, pool(large, pool(large, map(large, "x", 64)))));
    diffad_output(small, "y", pool(small, pool(small, pool(small, map(small, "x", 16)))));

    diffad_plan *p = plan_new(dev, large, NULL);
    const size_t before = diffad_device_bytes(dev);
    diffad_plan *q = plan_new(dev, small, NULL), *r = plan_new(dev, large, NULL);

    cr_expect_eq(diffad_device_bytes(dev), before + diffad_plan_fixed_bytes(q) + diffad_plan_fixed_bytes(r));
    for (int i = 0; i < 2; i++) {
        expect_like_reference(p, large, 1, 1e-5, "large");
        expect_like_reference(q, small, 1, 1e-5, "small");
        expect_like_reference(r, large, 1, 1e-5, "large again");
    }
    diffad_plan_destroy(p);
    expect_like_reference(q, small, 1, 1e-5, "small, after the plan that came first is gone");
    diffad_plan_destroy(r);
    diffad_graph_destroy(large);
    plan_done(q, small);
    dev_done(dev);
}

Test(plan, sizes_are_told_without_memory_or_kernels)
{
    on_stub();
    diffad_device *dev = dev_new();
    diffad_graph  *g   = graph_new();
    static diffad_tensor *w;
    const diffad_conv_attr same = { .stride = 1, .dilation = 1, .left = 1, .right = 1, .top = 1, .bottom = 1 };
    const diffad_val v = diffad_bound(g, "w", DIFFAD_F32, diffad_shape4(16, 16, 3, 3), &w);
    diffad_output(g, "y", pool(g, diffad_conv2d(g, pool(g, map(g, "x", 16)), v, diffad_none(), &same)));

    diffad_plan *sizes = plan_new(dev, g, &(diffad_plan_options){ .sizes_only = true });

    cr_expect_eq(diffad_device_bytes(dev), 0);
    cr_expect_eq(diffad_plan_run(sizes), DIFFAD_ERR_USAGE);
    cr_expect_null(diffad_plan_tensor(sizes, "x"));
    w = tensor_new(dev, diffad_shape4(16, 16, 3, 3));
    diffad_plan *p = plan_new(dev, g, NULL);
    cr_expect_eq(diffad_plan_bytes(sizes), diffad_plan_bytes(p));
    cr_expect_eq(diffad_plan_fixed_bytes(sizes), diffad_plan_fixed_bytes(p));
    cr_expect_eq(diffad_plan_launches(sizes), diffad_plan_launches(p));
    cr_expect_float_eq(diffad_plan_flops(sizes), diffad_plan_flops(p), 0);
    const double arithmetic = diffad_plan_flops(p) / 1e9;
    cr_expect_float_eq(diffad_plan_seconds(p, 1e9, 1e30), arithmetic, 1e-9 * arithmetic);
    cr_expect_gt(diffad_plan_seconds(p, 1e9, 1e3), arithmetic);
    diffad_plan_destroy(sizes);
    plan_done(p, g);
    diffad_tensor_destroy(w);
    diffad_device_close(dev);
    cr_expect_eq(stub_live(), 0);
}

Test(plan, a_chain_of_pointwise_ops_runs_in_place)
{
    diffad_device *dev = dev_new();
    diffad_graph  *g   = graph_new();
    diffad_val     v   = map(g, "x", 16);
    for (int i = 0; i < 10; i++)
        v = diffad_affine(g, v, 1.5, -0.25);
    diffad_output(g, "y", v);

    diffad_plan *p = plan_new(dev, g, NULL);

    cr_expect_eq(diffad_plan_bytes(p), MAP);
    expect_like_reference(p, g, 2, 1e-5, "chain");
    plan_done(p, g);
    dev_done(dev);
}

/* Each row must not overwrite what is still needed. */
static void build_row(diffad_graph *g, int row)
{
    const diffad_val x = map(g, "x", 16), t = diffad_affine(g, x, 2, 1);
    diffad_val       y;
    switch (row) {
    case 0: y = diffad_add(g, diffad_silu(g, t), t); break;                                   /* read later */
    case 1: diffad_output(g, "t", t); y = diffad_silu(g, t); break;                           /* an output */
    case 2: y = diffad_mul(g, diffad_add(g, t, t), x); break;                                 /* both operands */
    case 3: { /* an alias is read later */
        const diffad_val flat = diffad_reshape(g, t, diffad_shape1(2048)), s = diffad_silu(g, t);
        y = diffad_add(g, diffad_reshape(g, s, diffad_shape1(2048)), flat);
        break;
    }
    case 4: { /* the alias is overwritten, t is read */
        const diffad_val flat = diffad_silu(g, diffad_reshape(g, t, diffad_shape1(2048)));
        y = diffad_add(g, flat, diffad_reshape(g, diffad_relu(g, t), diffad_shape1(2048)));
        break;
    }
    case 5: y = diffad_sub(g, t, diffad_stop_gradient(g, t)); break; /* a value and its alias as operands */
    case 6: {                                                        /* an alias of an alias is an output */
        const diffad_val again = diffad_stop_gradient(g, diffad_stop_gradient(g, t));
        diffad_output(g, "again", again);
        y = diffad_silu(g, t);
        break;
    }
    case 7: { /* an alias of an output */
        diffad_output(g, "t", t);
        y = diffad_silu(g, diffad_reshape(g, t, diffad_shape1(2048)));
        break;
    }
    case 8: { /* two aliases, both outputs */
        diffad_output(g, "a", diffad_reshape(g, t, diffad_shape1(2048)));
        y = diffad_reshape(g, t, diffad_shape2(32, 64));
        break;
    }
    case 9:
        diffad_output(g, "a", diffad_reshape(g, x, diffad_shape1(2048)));
        y = diffad_silu(g, x);
        break;                                                                                /* alias of an input */
    case 10: { /* read plain and blocked, then overwritten */
        const diffad_val b = diffad_reorder(g, t), s = diffad_silu(g, b);
        y = diffad_add(
            g, diffad_add(g, s, b),
            diffad_exp(g, diffad_reshape(g, diffad_reshape(g, t, diffad_shape1(2048)), diffad_shape4(2, 16, 8, 8))));
        break;
    }
    default: { /* outputs in a blocked layout */
        const diffad_val b = diffad_silu(g, diffad_reorder(g, t));
        diffad_output(g, "b", b);
        y = diffad_stop_gradient(g, b);
        break;
    }
    }
    diffad_output(g, "y", y);
}

Test(plan, nothing_is_overwritten_that_is_still_needed)
{
    diffad_device *dev = dev_new();
    for (int row = 0; row < 12; row++) {
        diffad_graph *g = graph_new();
        char          what[32];
        build_row(g, row);
        sprintf(what, "row %d", row);
        diffad_plan *p = plan_new(dev, g, NULL);
        expect_like_reference(p, g, 3, 1e-5, what);
        plan_done(p, g);
    }
    dev_done(dev);
}

/* Whatever an op may overwrite, it gives the same bits when it does. */
Test(plan, in_place_and_apart_give_the_same_bits_for_every_op)
{
    diffad_device *dev = dev_new();
    int            count, tried = 0;
    const diffad_op *const *table = diffad_op_table(&count);
    for (int k = 0; k < count; k++) {
        const diffad_op *op = table[k];
        for (int c = 0; op->inplace && c < op->n_cases; c++) {
            const diffad_op_case *oc = &op->cases[c];
            const int             n_in = oc->n_in ? oc->n_in : op->n_in;
            bool                  is_plain = !oc->bench && !op->writes;
            for (int i = 0; i < n_in; i++)
                is_plain = is_plain && (oc->absent >> i & 1u || (oc->type[i] == DIFFAD_F32));
            if (!is_plain)
                continue;
            float results[2][4096];
            int64_t n = 0;
            for (int apart = 0; apart < 2; apart++) {
                diffad_graph *g = graph_new();
                diffad_val    in[DIFFAD_MAX_IN];
                char          name[16];
                for (int i = 0; i < n_in; i++) {
                    sprintf(name, "x%d", i);
                    in[i] = oc->absent >> i & 1u
                                ? diffad_none()
                                : diffad_affine(g, diffad_input(g, name, DIFFAD_F32, oc->in[i]), 0.5, 0.75);
                }
                const diffad_val y = diffad_apply(g, op, oc->attr, n_in, in);
                diffad_output(g, "y", diffad_affine(g, y, 1, 0));
                diffad_plan *p = plan_new(dev, g, &(diffad_plan_options){ .no_sharing = apart });
                n = diffad_shape_count(diffad_val_shape(g, y));
                n = n < 4096 ? n : 4096;
                for (int i = 0; i < n_in; i++) {
                    sprintf(name, "x%d", i);
                    diffad_tensor *t = diffad_plan_tensor(p, name);
                    const int64_t  elements = t ? diffad_shape_count(diffad_tensor_shape(t)) : 0;
                    float         *x = malloc((size_t)(elements + 1) * sizeof *x);
                    numbers(x, elements, (unsigned)i + 1);
                    if (t)
                        tensor_put(t, x, elements);
                    free(x);
                }
                plan_must_run(p);
                const diffad_tensor *t = diffad_plan_tensor(p, "y");
                const int64_t        all = diffad_shape_count(diffad_tensor_shape(t));
                float               *x = malloc((size_t)all * sizeof *x);
                tensor_get(t, x, all);
                memcpy(results[apart], x, (size_t)n * sizeof *x);
                free(x);
                plan_done(p, g);
            }
            cr_expect_arr_eq(results[0], results[1], (size_t)n * sizeof(float), "%s, case %s", op->name, oc->name);
            tried++;
        }
    }
    cr_expect_gt(tried, 50, "%d cases", tried);
    dev_done(dev);
}

Test(plan, blocks_are_split_where_the_device_allows_only_small_ones)
{
    setenv("DIFFAD_CAPS", "max_alloc=20000", 1);      /* two maps and a bit */
    diffad_device *dev = dev_new();
    diffad_graph  *g   = graph_new();
    const diffad_val x = map(g, "x", 16);
    diffad_val       t[6], y = x;
    for (int i = 0; i < 6; i++)
        t[i] = pool(g, i ? t[i - 1] : x);
    for (int i = 5; i >= 0; i--)
        y = diffad_add(g, y, t[i]);
    diffad_output(g, "y", y);

    diffad_plan *p = plan_new(dev, g, NULL);

    cr_expect_geq(p->n_blocks, 3, "%lld", (long long)p->n_blocks);
    for (int64_t i = 0; i < p->n_blocks; i++)
        cr_expect_leq(p->block_bytes[i], 20000);
    expect_like_reference(p, g, 1, 1e-5, "split");
    plan_done(p, g);
    dev_done(dev);
}

Test(plan, a_value_larger_than_the_device_allows_is_an_error_with_a_remedy)
{
    setenv("DIFFAD_CAPS", "max_alloc=4096", 1);
    diffad_device *dev = dev_new();
    diffad_graph  *g   = graph_new();
    diffad_plan   *p   = NULL;
    diffad_output(g, "y", pool(g, pool(g, map(g, "x", 16))));

    cr_expect_eq(diffad_plan_create(dev, g, NULL, &p), DIFFAD_ERR_MEMORY);
    cr_expect(!p && strstr(diffad_error_detail(), "smaller batch"), "%s", diffad_error_detail());
    diffad_graph_destroy(g);
    dev_done(dev);
}

Test(plan, inputs_that_nothing_reads_can_be_written_all_the_same)
{
    diffad_device *dev = dev_new();
    diffad_graph  *g   = graph_new();
    map(g, "unused", 3);
    diffad_output(g, "y", diffad_silu(g, map(g, "x", 3)));
    diffad_plan *p = plan_new(dev, g, NULL);
    cr_expect_not_null(diffad_plan_tensor(p, "unused"));
    cr_expect_null(diffad_plan_tensor(p, "nothing"));
    expect_like_reference(p, g, 1, 1e-5, "unused");
    plan_done(p, g);
    dev_done(dev);
}

/* ---- layouts ---- */

Test(plan, a_reorder_is_made_once_and_shared)
{
    on_stub();
    diffad_device *dev = dev_new();
    diffad_graph  *g   = graph_new();
    const diffad_val x = map(g, "x", 19), other = map(g, "other", 19), b = diffad_reorder(g, x);
    const diffad_val s = diffad_add(g, b, other), m = diffad_mul(g, b, other); /* `other` is wanted blocked, twice */
    const diffad_val flat = diffad_reshape(g, s, diffad_shape1(2 * 19 * 64)),
                     again = diffad_reshape(g, s, diffad_shape2(2, 19 * 64));
    diffad_output(g, "m", m);
    diffad_output(g, "f", diffad_silu(g, flat));
    diffad_output(g, "a", diffad_relu(g, again));                                   /* s is wanted plain, twice */

    diffad_plan *p = plan_new(dev, g, NULL);

    cr_expect_eq(launches_of(p, "to_blocked"), 2, "x and other: %d", launches_of(p, "to_blocked"));
    cr_expect_eq(launches_of(p, "to_plain"), 2, "s, and output m: %d", launches_of(p, "to_plain"));
    plan_done(p, g);
    diffad_device_close(dev);
    cr_expect_eq(stub_live(), 0);
}

Test(plan, mixtures_of_plain_and_blocked_compute_the_same)
{
    static const char *const caps[] = { "block=16", "block=8", "block=4", "block=1" };
    for (size_t c = 0; c < sizeof caps / sizeof caps[0]; c++) {
        setenv("DIFFAD_CAPS", caps[c], 1);
        diffad_device *dev = dev_new();
        diffad_graph  *g   = graph_new();
        const diffad_val x = map(g, "x", 19), other = map(g, "other", 19), b = diffad_reorder(g, x);
        const diffad_val s = diffad_exp(g, diffad_add(g, b, other)), both[] = { s, other };
        const diffad_val cat = diffad_concat(g, 2, both), part = diffad_slice(g, cat, 7, 19);
        diffad_output(g, "s", s);
        diffad_output(g, "cat", cat);
        diffad_output(g, "y", diffad_add(g, diffad_mul(g, part, b), pool(g, s)));
        diffad_plan *p = plan_new(dev, g, NULL);
        expect_like_reference(p, g, 2, 1e-5, caps[c]);
        plan_done(p, g);
        dev_done(dev);
    }
}
