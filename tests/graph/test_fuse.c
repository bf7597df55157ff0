/* test_fuse.c: which nodes become tails of another one's launches, which must not, and that no bit changes (src/graph/fuse.c). */
#include "graph/rig.h"
#include "device/device.h"
#include "diffad/data.h"
#include "op/ops.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const diffad_conv_attr same = { .stride = 1, .dilation = 1, .left = 1, .right = 1, .top = 1, .bottom = 1 };
static const diffad_conv_attr one = { .stride = 1, .dilation = 1 };
static const diffad_conv_attr half = { .stride = 2, .dilation = 1, .left = 1, .right = 1, .top = 1, .bottom = 1 };

static diffad_device *dev_with_tails(void)
{
    diffad_device *dev = dev_new();
    unsetenv("DIFFAD_WAYS");
    unsetenv("DIFFAD_FUSE");
    if (diffad_device_caps(dev)->block <= 1)
        cr_skip_test("this device's convolutions take no tails");
    return dev;
}

static diffad_val map(diffad_graph *g, const char *name, int64_t c, int64_t side)
{
    return diffad_input(g, name, DIFFAD_F32, diffad_shape4(2, c, side, side));
}

static diffad_val conv(diffad_graph *g, diffad_val x, const char *weight, int64_t out, int64_t kernel, const diffad_conv_attr *at)
{
    const int64_t    c = diffad_val_shape(g, x)->side[1];
    const diffad_val w = diffad_input(g, weight, DIFFAD_F32, diffad_shape4(out, c, kernel, kernel));
    return diffad_conv2d(g, x, w, diffad_none(), at);
}

static void expect_fusions(const diffad_plan *p, const char *want)
{
    char *got = diffad_plan_fusions(p);
    cr_expect_str_eq(got, want);
    diffad_memory_release(got);
}

static void put_inputs(diffad_plan *p, const diffad_graph *g)
{
    for (int64_t i = 0; i < g->n_values; i++)
        if (g->value[i]->kind == DIFFAD_VALUE_INPUT) {
            const int64_t count = diffad_numel(g->value[i]);
            float        *x     = calloc((size_t)count, sizeof *x);
            numbers(x, count, (unsigned)(11 * i + 3));
            tensor_put(diffad_plan_tensor(p, g->value[i]->name), x, count);
            free(x);
        }
}

/* The plan and one without fusion agree in every bit of every output; it says `want`. g is done afterwards. */
static void expect_fused(diffad_device *dev, diffad_graph *g, const char *ways, const char *want)
{
    diffad_plan *p = plan_new(dev, g, &(diffad_plan_options){ .ways = ways });
    diffad_plan *q = plan_new(dev, g, &(diffad_plan_options){ .ways = ways, .no_fusion = true });
    expect_fusions(p, want);
    expect_fusions(q, "");
    put_inputs(p, g);
    put_inputs(q, g);
    plan_must_run(p);
    plan_must_run(q);
    for (int64_t i = 0; i < g->n_values; i++) {
        const diffad_value *v = g->value[i];
        if (!v->is_output)
            continue;
        const int64_t count = diffad_numel(v);
        float *a = calloc((size_t)count, sizeof *a), *b = calloc((size_t)count, sizeof *b);
        tensor_get(diffad_plan_tensor(p, v->name), a, count);
        tensor_get(diffad_plan_tensor(q, v->name), b, count);
        cr_expect_arr_eq(a, b, (size_t)count * sizeof *a, "%s of %s", v->name, want);
        free(a);
        free(b);
    }
    diffad_plan_destroy(q);
    plan_done(p, g);
}

/* conv(x) + time + skip, where skip is made first; `side` and attributes decide the kernel. */
static diffad_graph *block(int64_t side, int64_t out, int64_t kernel, const diffad_conv_attr *at)
{
    diffad_graph    *g    = graph_new();
    const diffad_val x    = map(g, "x", 48, side), time = diffad_input(g, "t", DIFFAD_F32, diffad_shape2(2, out));
    const diffad_val skip = conv(g, x, "w1", out, 1, at->stride == 1 ? &one : &(diffad_conv_attr){ .stride = 2, .dilation = 1 });
    const diffad_val h    = conv(g, x, "w2", out, kernel, at);
    diffad_output(g, "y", diffad_add(g, skip, diffad_bias(g, h, time)));
    return g;
}

Test(fuse, a_bias_and_a_sum_behind_a_convolution_are_its_tails)
{
    diffad_device *dev = dev_with_tails();
    const char    *both = "conv2d+bias 1, conv2d+add 1";
    expect_fused(dev, block(10, 32, 3, &same), "conv2d=winograd", both);
    expect_fused(dev, block(16, 32, 3, &same), "conv2d=blocked", both);      /* by rows, several groups of input blocks */
    expect_fused(dev, block(7, 32, 3, &same), "conv2d=blocked", both);       /* gathered */
    expect_fused(dev, block(8, 64, 1, &one), NULL, both);
    expect_fused(dev, block(9, 32, 3, &half), NULL, both);
    dev_done(dev);
}

Test(fuse, a_bias_and_a_sum_are_tails_of_a_convolution_on_amx_too)
{
    setenv("DIFFAD_CAPS", "matrix=8", 1);
    diffad_device *dev = dev_with_tails();
    const char    *both = "conv2d+bias 1, conv2d+add 1";
    expect_fused(dev, block(10, 80, 3, &same), "conv2d=amx", both);      /* a pair of output blocks that is half there */
    expect_fused(dev, block(9, 32, 3, &half), "conv2d=amx", both);
    dev_done(dev);
}

Test(fuse, nothing_but_the_convolutions_is_launched)
{
    diffad_device *dev = dev_with_tails();
    diffad_graph  *g   = block(10, 32, 3, &same);
    diffad_plan   *p   = plan_new(dev, g, NULL), *q = plan_new(dev, g, &(diffad_plan_options){ .no_fusion = true });
    char          *a   = diffad_plan_ways(p), *b = diffad_plan_ways(q), *dump = diffad_plan_dump(p);

    cr_expect_eq(launches_of(p, "bias") + launches_of(p, "binary"), 0);
    cr_expect_eq(launches_of(q, "bias") + launches_of(q, "binary"), 2);
    cr_expect_str_eq(a, b);      /* what runs record does not depend on it */
    cr_expect(strstr(dump, "fused: conv2d+bias 1, conv2d+add 1\n"), "%s", dump);
    expect_like_reference(p, g, 1, 1e-4, "fused");
    diffad_memory_release(a);
    diffad_memory_release(b);
    diffad_memory_release(dump);
    diffad_plan_destroy(q);
    plan_done(p, g);
    dev_done(dev);
}

Test(fuse, a_result_that_others_need_is_left_alone)
{
    diffad_device *dev = dev_with_tails();

    diffad_graph *twice = graph_new();
    diffad_val    x = map(twice, "x", 32, 8), h = conv(twice, x, "w", 32, 3, &same);
    diffad_output(twice, "y", diffad_mul(twice, h, diffad_add(twice, h, x)));
    expect_fused(dev, twice, NULL, "");

    diffad_graph *output = graph_new();
    x = map(output, "x", 32, 8), h = conv(output, x, "w", 32, 3, &same);
    diffad_output(output, "h", h);
    diffad_output(output, "y", diffad_add(output, h, x));
    expect_fused(dev, output, NULL, "");

    diffad_graph *itself = graph_new();
    h = conv(itself, map(itself, "x", 32, 8), "w", 32, 3, &same);
    diffad_output(itself, "y", diffad_add(itself, h, h));
    expect_fused(dev, itself, NULL, "");
    dev_done(dev);
}

Test(fuse, a_summand_must_be_there_before)
{
    diffad_device *dev = dev_with_tails();

    /* Of two convolutions the later takes the sum. */
    diffad_graph    *g = graph_new();
    const diffad_val x = map(g, "x", 32, 8), first = conv(g, x, "w1", 32, 3, &same), second = conv(g, x, "w2", 32, 1, &one);
    diffad_output(g, "y", diffad_add(g, first, second));
    expect_fused(dev, g, NULL, "conv2d+add 1");

    /* A summand made after both, and one that is only a view. */
    diffad_graph    *later = graph_new();
    const diffad_val z = map(later, "x", 32, 8), h = conv(later, z, "w", 32, 3, &same);
    diffad_output(later, "y", diffad_add(later, h, diffad_silu(later, z)));
    expect_fused(dev, later, NULL, "");

    diffad_graph    *view = graph_new();
    const diffad_val flat = diffad_input(view, "x", DIFFAD_F32, diffad_shape2(2, 32 * 64));
    const diffad_val seen = diffad_reshape(view, flat, diffad_shape4(2, 32, 8, 8));
    diffad_output(view, "y", diffad_add(view, conv(view, seen, "w", 32, 3, &same), seen));
    expect_fused(dev, view, NULL, "");
    dev_done(dev);
}

Test(fuse, tails_come_in_their_order_and_fit_the_way)
{
    diffad_device *dev = dev_with_tails();

    /* The map comes before the bias: only the map is taken. */
    diffad_graph    *g = graph_new();
    const diffad_val x = map(g, "x", 32, 8), b = diffad_input(g, "b", DIFFAD_F32, diffad_shape1(32));
    diffad_output(g, "y", diffad_bias(g, diffad_add(g, conv(g, x, "w", 32, 3, &same), x), b));
    expect_fused(dev, g, NULL, "conv2d+add 1");

    /* A bias would fill the lanes beyond 40 channels; a way without tails takes none. */
    diffad_graph    *odd = graph_new();
    const diffad_val v = map(odd, "x", 40, 8), c = diffad_input(odd, "b", DIFFAD_F32, diffad_shape1(40));
    diffad_output(odd, "y", diffad_bias(odd, conv(odd, v, "w", 40, 3, &same), c));
    expect_fused(dev, odd, NULL, "");
    expect_fused(dev, block(8, 32, 3, &same), "conv2d=portable", "");
    dev_done(dev);
}

/* Gradients read what the convolution reads, and their own sums are tails, too. */
Test(fuse, gradients_are_the_same)
{
    diffad_device *dev = dev_with_tails();
    diffad_graph  *g   = graph_new();
    diffad_val     x = map(g, "x", 32, 12), dx;
    diffad_val     h = diffad_silu(g, conv(g, x, "w1", 32, 3, &same));
    h = diffad_add(g, conv(g, h, "w2", 32, 3, &same), h);
    h = diffad_add(g, conv(g, diffad_silu(g, h), "w3", 32, 3, &same), h);
    diffad_graph_grad(g, h, map(g, "seed", 32, 12), &x, 1, &dx);
    diffad_output(g, "dx", dx);
    diffad_output(g, "y", h);
    diffad_plan *p = plan_new(dev, g, NULL);
    expect_like_reference(p, g, 1, 1e-4, "gradients");
    diffad_plan_destroy(p);
    expect_fused(dev, g, NULL, "conv2d+add 2, conv2d_dx+add 1");
    dev_done(dev);
}

Test(fuse, can_be_turned_off)
{
    diffad_device *dev = dev_with_tails();
    diffad_graph  *g   = block(8, 32, 3, &same);
    setenv("DIFFAD_FUSE", "0", 1);
    diffad_plan *p = plan_new(dev, g, NULL);
    expect_fusions(p, "");
    plan_done(p, g);
    dev_done(dev);
}
