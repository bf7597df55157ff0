/* test_graph.c: building graphs: values, names, sticky failures, what is alive (src/graph/graph.c). */
#include "base/sys.h"
#include "graph/graph.h"
#include "op/ops.h"
#include "support/dev.h"
#include "support/fault.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static diffad_val input(diffad_graph *g, const char *name)
{
    return diffad_input(g, name, DIFFAD_F32, diffad_shape4(1, 2, 3, 4));
}

static void expect_failure(const diffad_graph *g, diffad_status want, const char *reason)
{
    cr_expect_eq(diffad_graph_status(g), want, "%s", diffad_status_name(diffad_graph_status(g)));
    cr_expect(strstr(diffad_error_detail(), reason), "%s", diffad_error_detail());
}

Test(graph, the_first_failure_stays_and_later_calls_pass_it_on)
{
    diffad_graph *g = graph_new();
    const diffad_val x = input(g, "x"), y = diffad_input(g, "y", DIFFAD_F32, diffad_shape1(5));

    const diffad_val bad = diffad_add(g, x, y), after = diffad_silu(g, bad), good = diffad_silu(g, x);
    diffad_output(g, "out", after);
    diffad_name(g, x, "name");
    diffad_assign(g, x, x);

    cr_expect(!diffad_is_valid(bad) && !diffad_is_valid(after) && !diffad_is_valid(good));
    expect_failure(g, DIFFAD_ERR_SHAPE, "add: input 1 is [5], input 0 is [1,2,3,4]");
    cr_expect(!diffad_is_valid(input(g, "z")) && !diffad_is_valid(diffad_find(g, "name")));
    diffad_graph_destroy(g);
}

Test(graph, an_invalid_value_alone_is_a_failure_with_a_name)
{
    diffad_graph *g = graph_new();
    diffad_add(g, input(g, "x"), diffad_none());
    expect_failure(g, DIFFAD_ERR_USAGE, "add: input 1 is missing");
    diffad_graph_destroy(g);
}

Test(graph, values_of_another_graph_are_refused)
{
    diffad_graph *g = graph_new(), *other = graph_new();
    for (int i = 0; i < 20; i++)
        diffad_silu(other, i ? (diffad_val){ i - 1 } : input(other, "x"));
    const diffad_val theirs = { 15 };
    input(g, "x");
    diffad_silu(g, theirs);
    expect_failure(g, DIFFAD_ERR_USAGE, "another graph");
    diffad_graph_destroy(g);
    g = graph_new();
    diffad_output(g, "y", theirs);
    expect_failure(g, DIFFAD_ERR_USAGE, "another graph");
    cr_expect_eq(diffad_val_shape(g, theirs)->rank, 0);
    diffad_graph_destroy(g);
    diffad_graph_destroy(other);
}

Test(graph, names_are_found_and_the_latest_given_one_wins)
{
    diffad_graph *g = graph_new();
    const diffad_val x = input(g, "x"), a = diffad_silu(g, x), b = diffad_relu(g, a);
    diffad_output(g, "y", b);
    diffad_name(g, a, "layer.0");
    cr_expect_eq(diffad_find(g, "x").id, x.id);
    cr_expect_eq(diffad_find(g, "y").id, b.id);
    cr_expect_eq(diffad_find(g, "layer.0").id, a.id);
    cr_expect(!diffad_is_valid(diffad_find(g, "layer.1")));

    diffad_name(g, b, "layer.0");
    diffad_name(g, a, "y");
    cr_expect_eq(diffad_find(g, "layer.0").id, b.id);
    cr_expect_eq(diffad_find(g, "y").id, a.id, "a given name goes before an output's");
    cr_expect_eq(diffad_graph_status(g), DIFFAD_OK);
    diffad_graph_destroy(g);
}

Test(graph, many_names_are_all_found)
{
    diffad_graph *g = graph_new();
    char          name[32];
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "value.%d", i);
        const diffad_val v = diffad_silu(g, i ? (diffad_val){ 0 } : input(g, "x"));
        diffad_name(g, v, name);
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "value.%d", i);
        cr_expect_eq(diffad_find(g, name).id, i + 1);
    }
    diffad_graph_destroy(g);
}

Test(graph, inputs_and_outputs_have_names_of_their_own)
{
    diffad_graph *g = graph_new();
    input(g, "x");
    input(g, "x");
    expect_failure(g, DIFFAD_ERR_USAGE, "input x");
    diffad_graph_destroy(g);

    g = graph_new();
    diffad_output(g, "x", diffad_silu(g, input(g, "x")));
    expect_failure(g, DIFFAD_ERR_USAGE, "output x");
    diffad_graph_destroy(g);

    g = graph_new();
    const diffad_val y = diffad_silu(g, input(g, "x"));
    diffad_output(g, "y", y);
    diffad_output(g, "y", y);
    cr_expect_eq(diffad_graph_status(g), DIFFAD_OK, "marked twice with one name");
    diffad_output(g, "z", y);
    expect_failure(g, DIFFAD_ERR_USAGE, "output z: the value is output y already");
    diffad_graph_destroy(g);

    g = graph_new();
    diffad_output(g, "y", input(g, "x"));
    expect_failure(g, DIFFAD_ERR_USAGE, "output y: the value is input or bound value x already");
    diffad_graph_destroy(g);

    g = graph_new();
    input(g, NULL);
    expect_failure(g, DIFFAD_ERR_USAGE, "needs a name");
    diffad_graph_destroy(g);
}

Test(graph, one_slot_is_one_value)
{
    diffad_graph  *g = graph_new();
    diffad_tensor *slot = NULL, *other = NULL;
    const diffad_val a = diffad_bound(g, "w", DIFFAD_F32, diffad_shape1(4), &slot);

    cr_expect_eq(diffad_bound(g, "again", DIFFAD_F32, diffad_shape1(4), &slot).id, a.id);
    cr_expect_neq(diffad_bound(g, "w", DIFFAD_F32, diffad_shape1(4), &other).id, a.id, "two tensors may have one name");
    cr_expect_eq(diffad_find(g, "w").id, a.id);
    diffad_bound(g, "again", DIFFAD_F32, diffad_shape1(5), &slot);
    expect_failure(g, DIFFAD_ERR_SHAPE, "again: f32 [5]");
    diffad_graph_destroy(g);
}

Test(graph, only_state_is_written)
{
    diffad_graph *g = graph_new();
    const diffad_val x = input(g, "x");
    diffad_assign(g, x, diffad_silu(g, x));
    expect_failure(g, DIFFAD_ERR_USAGE, "assign");
    diffad_graph_destroy(g);
}

Test(graph, empty_and_gigantic_shapes_are_refused)
{
    static const diffad_shape bad[] = {
        { 1, { 0 } }, { 2, { 3, -1 } }, { 3, { INT64_MAX, INT64_MAX, 2 } }, { 9, { 1 } }, { -1, { 0 } }
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        diffad_graph *g = graph_new();
        diffad_input(g, "x", DIFFAD_F32, bad[i]);
        expect_failure(g, DIFFAD_ERR_SHAPE, "x: shape");
        diffad_graph_destroy(g);
    }
}

Test(graph, what_no_output_and_no_state_needs_is_dead)
{
    diffad_graph  *g = graph_new();
    diffad_tensor *slot = NULL;
    bool           live[8];
    const diffad_val x = input(g, "x"), w = diffad_bound(g, "w", DIFFAD_F32, diffad_shape4(1, 2, 3, 4), &slot);
    diffad_silu(g, x);                                             /* node 0: dead */
    const diffad_val a = diffad_relu(g, x), b = diffad_tanh(g, a);  /* 1, 2 */
    diffad_exp(g, b);                                              /* 3: dead */
    diffad_assign(g, w, a);                                        /* 4 */
    diffad_output(g, "y", diffad_square(g, x));                    /* 5 */

    cr_assert_eq(diffad_graph_live(g, live), DIFFAD_OK);
    const bool want[] = { false, true, false, false, true, true };
    for (int i = 0; i < 6; i++)
        cr_expect_eq(live[i], want[i], "node %d", i);
    diffad_graph_destroy(g);
}

static void build_some(diffad_graph *g)
{
    static diffad_tensor *slot;
    diffad_val x = input(g, "x"), w = diffad_bound(g, "w", DIFFAD_F32, diffad_shape4(1, 2, 3, 4), &slot), d;
    for (int i = 0; i < 40; i++) {
        x = diffad_add(g, diffad_silu(g, x), w);
        diffad_name(g, x, i % 2 ? "odd" : "even");
    }
    const diffad_val loss = diffad_sum(g, x);
    diffad_graph_grad(g, loss, diffad_none(), &w, 1, &d);
    diffad_assign(g, w, d);
    diffad_output(g, "loss", loss);
}

Test(graph, failing_memory_is_a_failure_of_the_graph_and_leaves_nothing)
{
    fault_install();
    for (int lasting = 0; lasting < 2; lasting++)
        for (int n = 1; fault_arm(FAULT_ALLOC, n, lasting); n++) {
            diffad_graph *g = NULL;
            const diffad_status st = diffad_graph_create(&g);
            if (st == DIFFAD_OK)
                build_some(g);
            fault_disarm();
            const diffad_status end = st == DIFFAD_OK ? diffad_graph_status(g) : st;
            cr_expect_eq(end, fault_met() ? DIFFAD_ERR_MEMORY : DIFFAD_OK, "allocation %d: %s", n,
                         diffad_error_detail());
            diffad_graph_destroy(g);
            cr_expect_eq(fault_live_blocks(), 0, "allocation %d", n);
        }
}
