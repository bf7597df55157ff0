/* test_state.c: state that a graph writes, packed forms of parameters, forced ways (src/graph/plan.c, emit.c,
 * exec.c). */
#include "graph/rig.h"
#include "op/ops.h"
#include "support/stub_cl.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static diffad_val map(diffad_graph *g, const char *name, int64_t c)
{
    return diffad_input(g, name, DIFFAD_F32, diffad_shape4(2, c, 8, 8));
}

static void on_stub(void)
{
    unsetenv("DIFFAD_DEVICE");
    setenv("DIFFAD_CACHE_DIR", "", 1);
    stub_install();
}

/* ---- state ---- */

typedef struct state { diffad_device *dev; diffad_graph *g; diffad_tensor *w; diffad_val x, v; } state;

static state state_new(void)
{
    state s = { .dev = dev_new(), .g = graph_new() };
    float x[2 * 19 * 64];
    s.w = tensor_new(s.dev, diffad_shape4(2, 19, 8, 8));
    numbers(x, 2 * 19 * 64, 99);
    tensor_put(s.w, x, 2 * 19 * 64);
    return s;
}

static void state_start(state *s)
{
    s->x = map(s->g, "x", 19);
    s->v = diffad_bound(s->g, "w", DIFFAD_F32, diffad_shape4(2, 19, 8, 8), &s->w);
}

static void state_done(state *s, const char *what)
{
    diffad_plan *p = plan_new(s->dev, s->g, NULL);
    expect_like_reference(p, s->g, 3, 1e-5, what);
    plan_done(p, s->g);
    diffad_tensor_destroy(s->w);
    dev_done(s->dev);
}

Test(state, state_that_is_written_is_seen_by_later_nodes_only)
{
    state s = state_new();
    state_start(&s);
    diffad_output(s.g, "before", diffad_silu(s.g, s.v));
    diffad_assign(s.g, s.v, diffad_add(s.g, s.v, s.x));
    diffad_output(s.g, "between", diffad_silu(s.g, s.v));
    diffad_assign(s.g, s.v, diffad_tanh(s.g, s.v));
    diffad_output(s.g, "after", diffad_silu(s.g, s.v));
    state_done(&s, "order");
}

Test(state, state_is_read_again_in_both_layouts_after_it_was_written)
{
    state s = state_new();
    state_start(&s);
    const diffad_val b = diffad_reorder(s.g, s.x);
    diffad_output(s.g, "a", diffad_add(s.g, b, s.v));              /* a blocked copy of w is made */
    diffad_output(s.g, "b", diffad_silu(s.g, diffad_reshape(s.g, s.v, diffad_shape1(2 * 19 * 64))));
    diffad_assign(s.g, s.v, diffad_mul(s.g, b, b));                /* from a blocked value */
    diffad_output(s.g, "c", diffad_add(s.g, b, s.v));
    diffad_output(s.g, "d", diffad_silu(s.g, diffad_reshape(s.g, s.v, diffad_shape1(2 * 19 * 64))));
    diffad_assign(s.g, s.v, diffad_affine(s.g, s.x, 3, 0));        /* from a plain one */
    diffad_output(s.g, "e", diffad_mul(s.g, b, s.v));
    state_done(&s, "layouts");
}

Test(state, an_alias_of_state_keeps_what_was)
{
    state s = state_new();
    state_start(&s);
    const diffad_val old = diffad_stop_gradient(s.g, s.v), flat = diffad_reshape(s.g, old, diffad_shape1(2 * 19 * 64));
    diffad_output(s.g, "kept", diffad_reshape(s.g, s.v, diffad_shape2(38, 64)));
    diffad_assign(s.g, s.v, s.x);
    diffad_output(s.g, "sum", diffad_add(s.g, old, s.v));
    diffad_output(s.g, "flat", diffad_affine(s.g, flat, 1, 1));
    state_done(&s, "alias");
}

Test(state, an_alias_that_is_read_before_the_write_costs_no_copy)
{
    on_stub();
    state s = state_new();
    state_start(&s);
    diffad_output(s.g, "y", diffad_silu(s.g, diffad_reshape(s.g, s.v, diffad_shape1(2 * 19 * 64))));
    diffad_assign(s.g, s.v, s.x);
    diffad_plan *p = plan_new(s.dev, s.g, NULL);
    cr_expect_eq(launches_of(p, "copy"), 1, "the assignment alone");
    plan_done(p, s.g);
    diffad_tensor_destroy(s.w);
    diffad_device_close(s.dev);
}

Test(state, state_without_a_tensor_or_with_another_shape_is_refused)
{
    state        s = state_new();
    diffad_plan *p = NULL;
    state_start(&s);
    diffad_output(s.g, "y", diffad_silu(s.g, s.v));
    diffad_tensor *const w = s.w;
    s.w = NULL;
    cr_expect_eq(diffad_plan_create(s.dev, s.g, NULL, &p), DIFFAD_ERR_USAGE);
    cr_expect(strstr(diffad_error_detail(), "w has no tensor yet"), "%s", diffad_error_detail());
    s.w = tensor_new(s.dev, diffad_shape1(5));
    cr_expect_eq(diffad_plan_create(s.dev, s.g, NULL, &p), DIFFAD_ERR_SHAPE);
    cr_expect(strstr(diffad_error_detail(), "its tensor is f32 [5]"), "%s", diffad_error_detail());
    diffad_tensor_destroy(s.w);
    diffad_tensor_destroy(w);
    diffad_graph_destroy(s.g);
    dev_done(s.dev);
}

Test(state, one_tensor_under_two_names_is_refused_when_it_is_written)
{
    state          s     = state_new();
    diffad_tensor *other = s.w;
    diffad_plan   *p     = NULL;
    state_start(&s);
    const diffad_val same = diffad_bound(s.g, "same", DIFFAD_F32, diffad_shape4(2, 19, 8, 8), &other);
    diffad_output(s.g, "y", diffad_add(s.g, s.v, same));
    p = plan_new(s.dev, s.g, NULL);      /* reading is fine */
    diffad_plan_destroy(p);
    p = NULL;
    diffad_assign(s.g, s.v, s.x);
    cr_expect_eq(diffad_plan_create(s.dev, s.g, NULL, &p), DIFFAD_ERR_USAGE);
    cr_expect(strstr(diffad_error_detail(), "w and same hold one tensor"), "%s", diffad_error_detail());
    diffad_graph_destroy(s.g);
    diffad_tensor_destroy(s.w);
    dev_done(s.dev);
}

/* ---- packed parameters ---- */

/* A graph's slots must stay where they are. */
static struct packs { diffad_device *dev; diffad_graph *g; diffad_tensor *w; diffad_val x, v; diffad_plan *p; } k;

static const diffad_conv_attr same_size = { .stride = 1, .dilation = 1, .left = 1, .right = 1, .top = 1, .bottom = 1 };

static void packs_new(bool on_the_stub)
{
    float x[16 * 16 * 9];
    if (on_the_stub)
        on_stub();
    k.dev = dev_new();
    k.g   = graph_new();
    k.w   = tensor_new(k.dev, diffad_shape4(16, 16, 3, 3));
    numbers(x, 16 * 16 * 9, 5);
    tensor_put(k.w, x, 16 * 16 * 9);
    k.x = map(k.g, "x", 16);
    k.v = diffad_bound(k.g, "w", DIFFAD_F32, diffad_shape4(16, 16, 3, 3), &k.w);
}

static void packs_done(void)
{
    plan_done(k.p, k.g);
    diffad_tensor_destroy(k.w);
    diffad_device_close(k.dev);
    cr_expect_eq(stub_live(), 0);
}

/* Launches that pack, in one run on the stub. */
static int packing(void)
{
    stub_reset();
    plan_must_run(k.p);
    return stub_launches_of("conv2d_pack_whole") + stub_launches_of("conv2d_pack");
}

static void touch(diffad_tensor *w)
{
    float x[16 * 16 * 9] = { 0 };
    tensor_put(w, x, 16 * 16 * 9);
}

Test(state, a_parameter_is_packed_again_only_when_it_changed)
{
    packs_new(true);
    diffad_output(
        k.g, "y",
        diffad_conv2d(k.g, diffad_conv2d(k.g, k.x, k.v, diffad_none(), &same_size), k.v, diffad_none(), &same_size));
    k.p = plan_new(k.dev, k.g, &(diffad_plan_options){ .ways = "conv2d=blocked" });

    cr_expect_eq(packing(), 1, "both nodes share one packed form");
    cr_expect_eq(packing(), 0);
    touch(k.w);
    cr_expect_eq(packing(), 1);
    cr_expect_eq(packing(), 0);
    packs_done();
}

Test(state, a_reshaped_parameter_is_packed_once_too)
{
    packs_new(true);
    const diffad_val flat = diffad_reshape(k.g, k.v, diffad_shape1(16 * 16 * 9)),
                     w = diffad_reshape(k.g, flat, diffad_shape4(16, 16, 3, 3));
    diffad_output(k.g, "y", diffad_conv2d(k.g, k.x, w, diffad_none(), &same_size));
    k.p = plan_new(k.dev, k.g, &(diffad_plan_options){ .ways = "conv2d=blocked" });

    cr_expect_eq(packing(), 1);
    cr_expect_eq(packing(), 0);
    touch(k.w);
    cr_expect_eq(packing(), 1);
    packs_done();
}

Test(state, a_parameter_that_the_graph_writes_is_packed_where_it_is_used)
{
    packs_new(true);
    diffad_output(k.g, "y", diffad_conv2d(k.g, k.x, k.v, diffad_none(), &same_size));
    diffad_assign(k.g, k.v, diffad_affine(k.g, k.v, 0.5, 0));
    diffad_output(k.g, "z", diffad_conv2d(k.g, k.x, k.v, diffad_none(), &same_size));
    k.p = plan_new(k.dev, k.g, &(diffad_plan_options){ .ways = "conv2d=blocked" });

    cr_expect_eq(packing(), 2, "before the write and after it");
    cr_expect_eq(packing(), 2);
    cr_expect_eq(diffad_plan_fixed_bytes(k.p), 3 * 2 * 16 * 8 * 8 * sizeof(float) + 2 * sizeof(int32_t),
                 "input, outputs and the queue: packed forms do not outlive their use");
    packs_done();
}

Test(state, launches_that_share_places_by_a_queue_leave_it_empty)
{
    int32_t left[2] = { 1, 1 };
    diffad_device *dev = dev_new();
    diffad_graph  *g = graph_new();
    const diffad_val x = map(g, "x", 40), w = diffad_input(g, "w", DIFFAD_F32, diffad_shape4(640, 40, 3, 3));
    diffad_output(g, "y", diffad_conv2d(g, x, w, diffad_none(), &same_size));
    diffad_plan *p = plan_new(dev, g, &(diffad_plan_options){ .ways = "conv2d=blocked" });
    cr_assert(p->queue);
    cr_expect_eq(launches_of(p, "conv2d_gather"), 1);

    expect_like_reference(p, g, 5, 1e-5, "five runs");

    cr_expect_eq(diffad_tensor_read(p->queue, left, sizeof left), DIFFAD_OK);
    cr_expect(left[0] == 0 && left[1] == 0, "%d %d", left[0], left[1]);
    plan_done(p, g);
    dev_done(dev);
}

Test(state, packed_parameters_follow_what_was_written)
{
    packs_new(false);
    const diffad_val flat = diffad_reshape(k.g, k.v, diffad_shape1(16 * 16 * 9)),
                     w = diffad_reshape(k.g, flat, diffad_shape4(16, 16, 3, 3));
    diffad_output(k.g, "y", diffad_conv2d(k.g, k.x, k.v, diffad_none(), &same_size));
    diffad_output(k.g, "r", diffad_conv2d(k.g, k.x, w, diffad_none(), &same_size));
    diffad_assign(k.g, k.v, diffad_affine(k.g, k.v, 0.5, 0.01));
    diffad_output(k.g, "z", diffad_conv2d(k.g, k.x, k.v, diffad_none(), &same_size));
    diffad_output(k.g, "s", diffad_conv2d(k.g, k.x, w, diffad_none(), &same_size));      /* the alias: as it was */
    k.p = plan_new(k.dev, k.g, NULL);
    expect_like_reference(k.p, k.g, 3, 1e-5, "packed");
    touch(k.w);
    expect_like_reference(k.p, k.g, 2, 1e-5, "written by the caller");
    packs_done();
}

/* The weight is read by two convolutions (packed), a third parameter as it is. */
static diffad_val two_convolutions(void)
{
    const diffad_val y = diffad_conv2d(k.g, k.x, k.v, diffad_none(), &same_size);
    return diffad_conv2d(k.g, y, k.v, diffad_none(), &same_size);
}

Test(state, a_parameter_that_only_packs_read_gives_up_its_memory_where_that_was_asked_for)
{
    float x[16 * 16 * 9], keeping[2 * 16 * 8 * 8], packed[2 * 16 * 8 * 8];
    packs_new(false);
    diffad_output(k.g, "y", two_convolutions());
    numbers(x, 2 * 16 * 8 * 8, 3);
    const diffad_plan_options options = { .ways = "conv2d=blocked", .keeps_packed_only = true };
    diffad_plan *p = plan_new(k.dev, k.g, &(diffad_plan_options){ .ways = "conv2d=blocked" });
    tensor_put(diffad_plan_tensor(p, "x"), x, 2 * 16 * 8 * 8);
    plan_must_run(p);
    tensor_get(diffad_plan_tensor(p, "y"), keeping, 2 * 16 * 8 * 8);
    diffad_plan_destroy(p);
    const size_t before = diffad_device_bytes(k.dev);

    k.p = plan_new(k.dev, k.g, &options);

    cr_expect_eq(diffad_device_bytes(k.dev), before - sizeof x + diffad_plan_bytes(k.p) + diffad_plan_fixed_bytes(k.p));
    tensor_put(diffad_plan_tensor(k.p, "x"), x, 2 * 16 * 8 * 8);
    for (int run = 0; run < 2; run++) {
        plan_must_run(k.p);
        tensor_get(diffad_plan_tensor(k.p, "y"), packed, 2 * 16 * 8 * 8);
        cr_expect_arr_eq(packed, keeping, sizeof packed);
    }
    cr_expect_eq(diffad_tensor_read(k.w, x, sizeof x), DIFFAD_ERR_USAGE);
    cr_expect(strstr(diffad_error_detail(), "packed form"), "%s", diffad_error_detail());
    cr_expect_eq(diffad_tensor_write(k.w, x, sizeof x), DIFFAD_ERR_USAGE);
    p = NULL;
    cr_expect_eq(diffad_plan_create(k.dev, k.g, &options, &p), DIFFAD_ERR_USAGE);
    cr_expect(!p && strstr(diffad_error_detail(), "another plan"), "%s", diffad_error_detail());
    packs_done();
}

Test(state, a_parameter_that_is_also_read_plain_keeps_its_memory)
{
    float x[16 * 16 * 9];
    packs_new(false);
    diffad_output(k.g, "y", two_convolutions());
    diffad_output(k.g, "sum", diffad_sum_squares(k.g, k.v));
    k.p = plan_new(k.dev, k.g, &(diffad_plan_options){ .ways = "conv2d=blocked", .keeps_packed_only = true });

    cr_expect_eq(diffad_tensor_read(k.w, x, sizeof x), DIFFAD_OK, "%s", diffad_error_detail());
    expect_like_reference(k.p, k.g, 2, 1e-5, "plain and packed");
    packs_done();
}

Test(state, another_plan_that_writes_a_parameter_makes_packs_stale)
{
    packs_new(false);
    diffad_output(k.g, "y", diffad_conv2d(k.g, k.x, k.v, diffad_none(), &same_size));
    k.p = plan_new(k.dev, k.g, NULL);
    diffad_graph *h = graph_new();
    const diffad_val v = diffad_bound(h, "w", DIFFAD_F32, diffad_shape4(16, 16, 3, 3), &k.w);
    diffad_assign(h, v, diffad_affine(h, v, 0.5, 0.01));
    diffad_plan *trainer = plan_new(k.dev, h, NULL);
    for (int i = 0; i < 3; i++) {
        expect_like_reference(k.p, k.g, 1, 1e-5, "reader");
        plan_must_run(trainer);
    }
    expect_like_reference(k.p, k.g, 1, 1e-5, "reader");
    plan_done(trainer, h);
    packs_done();
}

/* A slot may show another tensor later (EMA weights): a plan stays with its own, and counts what it writes there. */
Test(state, a_swapped_slot_does_not_confuse_what_was_written)
{
    packs_new(false);
    diffad_graph *h = graph_new();
    diffad_output(k.g, "y", diffad_conv2d(k.g, k.x, k.v, diffad_none(), &same_size));
    k.p = plan_new(k.dev, k.g, NULL);
    const diffad_val v = diffad_bound(h, "w", DIFFAD_F32, diffad_shape4(16, 16, 3, 3), &k.w);
    diffad_assign(h, v, diffad_affine(h, v, 0.5, 0.01));
    diffad_plan   *trainer = plan_new(k.dev, h, NULL);
    diffad_tensor *own = k.w, *other = tensor_new(k.dev, diffad_shape4(16, 16, 3, 3));
    expect_like_reference(k.p, k.g, 1, 1e-5, "before");

    k.w = other;
    plan_must_run(trainer);      /* writes `own` */
    k.w = own;

    expect_like_reference(k.p, k.g, 1, 1e-5, "after");
    diffad_tensor_destroy(other);
    plan_done(trainer, h);
    packs_done();
}

Test(state, a_run_that_failed_half_way_makes_packs_stale)
{
    packs_new(true);
    diffad_output(k.g, "y", diffad_conv2d(k.g, k.x, k.v, diffad_none(), &same_size));
    diffad_assign(k.g, k.v, diffad_affine(k.g, k.v, 0.5, 0));
    diffad_output(k.g, "z", diffad_silu(k.g, k.x));
    k.p = plan_new(k.dev, k.g, &(diffad_plan_options){ .ways = "conv2d=blocked" });
    packing();
    const int64_t n = k.p->n_launches;
    stub_fail(STUB_EnqueueNDRangeKernel, (int)n - 1, false, CL_OUT_OF_HOST_MEMORY);
    cr_expect_eq(diffad_plan_run(k.p), DIFFAD_ERR_MEMORY);
    cr_expect_eq(packing(), 1);
    packs_done();
}

/* ---- ways ---- */

Test(state, forced_ways_are_taken_where_they_fit)
{
    packs_new(true);
    diffad_output(k.g, "y", diffad_conv2d(k.g, k.x, k.v, diffad_none(), &same_size));
    static const struct { const char *option, *environment, *want; } rows[] = {
        { "conv2d=portable", NULL, "conv2d:portable" }, { NULL, "conv2d=portable", "conv2d:portable" },
        { "conv2d=portable", "conv2d=blocked", "conv2d:portable" }, { "conv2d=no_such_way", NULL, "conv2d:blocked" },
        { "silu=x,conv2d=portable", "conv2d=blocked", "conv2d:portable" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].environment)
            setenv("DIFFAD_WAYS", rows[i].environment, 1);
        else
            unsetenv("DIFFAD_WAYS");
        diffad_plan *p = plan_new(k.dev, k.g, &(diffad_plan_options){ .ways = rows[i].option });
        char *ways = diffad_plan_ways(p);
        cr_expect_str_eq(ways, rows[i].want);
        free(ways);
        diffad_plan_destroy(p);
    }
    packs_done();
}
