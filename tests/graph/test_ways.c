/* test_ways.c: which way a node takes: tuned, recorded, forced; every variant of every way (src/graph/ways.c). */
#include "graph/rig.h"
#include "device/device.h"
#include "diffad/data.h"
#include "kernel/tuned.h"
#include "op/ops.h"
#include "support/folder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const diffad_conv_attr same = { .stride = 1, .dilation = 1, .left = 1, .right = 1, .top = 1, .bottom = 1 };

static diffad_graph *one_product(void)
{
    diffad_graph *g = graph_new();
    diffad_output(g, "y", diffad_matmul(g, diffad_input(g, "a", DIFFAD_F32, diffad_shape2(33, 40)),
                                        diffad_input(g, "b", DIFFAD_F32, diffad_shape2(40, 50)), NULL));
    return g;
}

static void expect_ways(diffad_device *dev, const diffad_graph *g, const diffad_plan_options *o, const char *want)
{
    diffad_plan *p    = plan_new(dev, g, o);
    char        *ways = diffad_plan_ways(p);
    cr_expect_str_eq(ways, want);
    diffad_memory_release(ways);
    diffad_plan_destroy(p);
}

static char key[PLAN_KEY_BYTES];

static void keep_key(void *user, const diffad_plan *p, const diffad_node *n)
{
    (void)user;
    plan_key(p, n, key);
}

/* What the table calls the (last) node of g. */
static void find_key(diffad_device *dev, const diffad_graph *g)
{
    dev->on_choice = keep_key;
    diffad_plan *p = plan_new(dev, g, &(diffad_plan_options){ .sizes_only = true });
    diffad_plan_destroy(p);
    dev->on_choice = NULL;
}

/* The device's own file then holds this one row. */
static void tune(diffad_device *dev, const char *best)
{
    const diffad_tuned_measure m = { .key = key, .usual = "cpu", .best = best };
    cr_assert_eq(diffad_tuned_save(getenv("DIFFAD_TUNED"), diffad_device_caps(dev), &m, 1), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_tuned_forget(dev);
}

static void new_table(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tuned.sqlite", folder_new());
    setenv("DIFFAD_TUNED", path, 1);
    unsetenv("DIFFAD_WAYS");
}

Test(ways, a_tuned_way_is_taken_unless_another_is_forced_or_recorded)
{
    new_table();
    diffad_device *dev = dev_new();
    diffad_graph  *g   = one_product();
    find_key(dev, g);
    cr_expect(strstr(key, "matmul f32 33x40 40x50"), "%s", key);

    tune(dev, "tile/1");

    expect_ways(dev, g, NULL, "matmul:tile/1");
    expect_ways(dev, g, &(diffad_plan_options){ .ways = "matmul=tile" }, "matmul:tile");
    expect_ways(dev, g, &(diffad_plan_options){ .ways = "matmul=tile/0" }, "matmul:tile/0");
    expect_ways(dev, g, &(diffad_plan_options){ .node_ways = "matmul:tile" }, "matmul:tile");
    tune(dev, "tile");
    expect_ways(dev, g, &(diffad_plan_options){ .node_ways = "matmul:tile/1" }, "matmul:tile/1");
    diffad_graph_destroy(g);
    dev_done(dev);
}

Test(ways, a_row_whose_way_is_gone_or_does_not_fit_is_ignored)
{
    static const char *const gone[] = { "winograd", "tile/99", "tile/-1", "tile/", "tile/1x", "/1", "", "tile/1/1" };
    new_table();
    diffad_device *dev = dev_new();
    diffad_graph  *g   = one_product();
    diffad_plan   *p   = plan_new(dev, g, NULL);
    char          *usual = diffad_plan_ways(p);
    diffad_plan_destroy(p);
    find_key(dev, g);
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        tune(dev, gone[i]);
        expect_ways(dev, g, NULL, usual);
    }
    diffad_memory_release(usual);
    diffad_graph_destroy(g);
    dev_done(dev);
}

Test(ways, other_shapes_and_operands_that_stay_have_other_keys)
{
    diffad_device *dev = dev_new();
    diffad_tensor *w   = tensor_new(dev, diffad_shape4(8, 8, 3, 3));
    char           first[PLAN_KEY_BYTES];
    for (int i = 0; i < 3; i++) {
        diffad_graph *g = graph_new();
        const diffad_val x = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(1, 8, 8, i == 1 ? 9 : 8));
        const diffad_val v = i == 2 ? diffad_bound(g, "w", DIFFAD_F32, diffad_shape4(8, 8, 3, 3), &w)
                                    : diffad_input(g, "w", DIFFAD_F32, diffad_shape4(8, 8, 3, 3));
        diffad_output(g, "y", diffad_conv2d(g, x, v, diffad_none(), &same));
        find_key(dev, g);
        if (i == 0)
            strcpy(first, key);
        else
            cr_expect_str_neq(key, first);
        cr_expect_eq(strstr(key, " =8x8x3x3") != NULL, i == 2, "%s", key);
        diffad_graph_destroy(g);
    }
    diffad_tensor_destroy(w);
    dev_done(dev);
}

/* ---- variants ---- */

enum { NODES = 5 };

/* One node with a forward or backward convolution or a product of odd sides. */
static diffad_graph *one_node(int which, const diffad_op **op)
{
    diffad_graph    *g = graph_new();
    const diffad_val x = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(2, 35, 9, 11)),
                     w = diffad_input(g, "w", DIFFAD_F32, diffad_shape4(32, 35, 3, 3)),
                     a = diffad_input(g, "a", DIFFAD_F32, diffad_shape2(70, 41)),
                     b = diffad_input(g, "b", DIFFAD_F32, diffad_shape2(41, 75)),
                     c = diffad_input(g, "c", DIFFAD_F32, diffad_shape2(75, 41));
    diffad_val       d[2], y;
    static const char *const names[NODES] = { "conv2d", "conv2d_dx", "conv2d_dw", "matmul", "linear" };
    *op = diffad_op_find(names[which]);
    y   = which == 3 ? diffad_matmul(g, a, b, NULL) : which == 4 ? diffad_linear(g, a, c, diffad_none())
                                                                 : diffad_conv2d(g, x, w, diffad_none(), &same);
    if (which == 1 || which == 2) {
        diffad_graph_grad(g, y, diffad_input(g, "dy", DIFFAD_F32, diffad_shape4(2, 32, 9, 11)), (diffad_val[]){ x, w }, 2, d);
        y = d[which - 1];
    }
    diffad_output(g, "y", y);
    return g;
}

Test(ways, every_variant_computes_what_the_reference_does)
{
    diffad_device *dev = dev_new();
    int            tried = 0;
    for (int which = 0; which < NODES; which++) {
        const diffad_op *op;
        diffad_graph    *g = one_node(which, &op);
        for (int k = 0; k < op->n_ways; k++) {
            const diffad_way *w = &op->ways[k];
            for (int v = 0; w->variants && v < w->variants(g->node[g->n_nodes - 1], diffad_device_caps(dev)); v++) {
                char         way[96];
                snprintf(way, sizeof way, "%s=%s/%d", op->name, w->name, v);
                if (w->precision != DIFFAD_PRECISION_F32 || !plan_way_fits(g->node[g->n_nodes - 1], diffad_device_caps(dev), w))
                    continue;
                diffad_plan *p = plan_new(dev, g, &(diffad_plan_options){ .ways = way });
                expect_like_reference(p, g, 1, 1e-5, way);
                diffad_plan_destroy(p);
                tried++;
            }
        }
        diffad_graph_destroy(g);
    }
    cr_expect_geq(tried, 15, "%d variants", tried);
    dev_done(dev);
}

/* Else nodes that differ in what they compute would have one key, or equal ones several. */
Test(ways, members_of_attributes_are_told_by_every_op_with_several_ways)
{
    int count;
    const diffad_op *const *table = diffad_op_table(&count);
    for (int i = 0; i < count; i++) {
        const diffad_op *op = table[i];
        size_t           at = 0, widest = 1;
        for (const char *k = op->attr_kinds; k && *k; k++) {
            const size_t bytes = *k == 'i' ? sizeof(int) : sizeof(double);
            cr_expect(*k == 'i' || *k == 'd', "%s: %s", op->name, op->attr_kinds);
            at     = (at + bytes - 1) / bytes * bytes + bytes;
            widest = bytes > widest ? bytes : widest;
        }
        if (op->n_ways > 1 || op->attr_kinds)
            cr_expect_eq((at + widest - 1) / widest * widest, op->attr_size, "%s: members take %zu bytes of %zu", op->name, at, op->attr_size);
    }
}
