/* test_builders.c: what the builders of pointwise and movement ops refuse, and what the op table's walk cannot show. */
#include "diffad/ops.h"
#include "diffad/plan.h"
#include "op/ops.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static diffad_graph *new_graph(void)
{
    diffad_graph *g = NULL;
    cr_assert_eq(diffad_graph_create(&g), DIFFAD_OK);
    return g;
}

static diffad_val map(diffad_graph *g, const char *name)
{
    return diffad_input(g, name, DIFFAD_F32, diffad_shape4(2, 3, 4, 5));
}

/* The graph must hold a failure whose reason contains `word`. */
static void expect_refused(diffad_graph *g, diffad_val v, const char *word)
{
    cr_expect_not(diffad_is_valid(v), "%s: the handle is valid", word);
    cr_expect_neq(diffad_graph_status(g), DIFFAD_OK, "%s: no failure", word);
    cr_expect(strstr(diffad_error_detail(), word) != NULL, "expected \"%s\" in \"%s\"", word, diffad_error_detail());
    diffad_graph_destroy(g);
}

Test(builders, shapes_that_do_not_fit_are_refused_with_a_reason)
{
    diffad_graph *g = new_graph();
    expect_refused(g, diffad_add(g, map(g, "a"), diffad_input(g, "b", DIFFAD_F32, diffad_shape1(3))),
                   "add: input 1 is [3]");
    g = new_graph();
    expect_refused(g, diffad_scale_by(g, map(g, "a"), diffad_input(g, "s", DIFFAD_F32, diffad_shape1(2))),
                   "one element");
    g = new_graph();
    expect_refused(g, diffad_bias(g, map(g, "a"), diffad_input(g, "b", DIFFAD_F32, diffad_shape1(4))),
                   "bias: b is [4]");
    g = new_graph();
    expect_refused(g, diffad_reshape(g, map(g, "a"), diffad_shape1(119)), "reshape: [119]");
    g = new_graph();
    expect_refused(g, diffad_slice(g, map(g, "a"), 2, 2), "slice: 2 channels from 2");
    g = new_graph();
    expect_refused(g, diffad_slice(g, map(g, "a"), INT64_MAX, INT64_MAX), "slice");
    g = new_graph();
    expect_refused(g, diffad_pad(g, map(g, "a"), -3, -2, 0, 0), "pad");
    g = new_graph();
    expect_refused(g, diffad_concat(g, 2, (diffad_val[]){ map(g, "a"), diffad_input(g, "b", DIFFAD_F32,
                                                                                    diffad_shape4(2, 3, 4, 4)) }),
                   "concat: input 1");
    g = new_graph();
    expect_refused(g, diffad_randn(g, diffad_input(g, "k", DIFFAD_I32, diffad_shape2(1, 4)), diffad_shape2(2, 3), 1),
                   "randn");
}

Test(builders, arguments_and_types_without_meaning_are_refused)
{
    diffad_graph *g = new_graph();
    expect_refused(g, diffad_clamp(g, map(g, "a"), 1, 0), "clamp");
    g = new_graph();
    expect_refused(g, diffad_dropout(g, map(g, "a"), diffad_input(g, "k", DIFFAD_I32, diffad_shape1(2)), 1.0, 0),
                   "p=1");
    g = new_graph();
    expect_refused(g, diffad_relu(g, diffad_input(g, "a", DIFFAD_U8, diffad_shape1(2))), "f32 is needed");
    g = new_graph();
    expect_refused(g, diffad_cast(g, diffad_input(g, "a", DIFFAD_U8, diffad_shape1(2)), DIFFAD_I32), "from u8 to i32");
    g = new_graph();
    diffad_assign(g, map(g, "a"), map(g, "b"));
    expect_refused(g, diffad_none(), "assign: the destination a");
}

Test(builders, a_cast_to_the_same_type_is_the_value_itself)
{
    diffad_graph    *g = new_graph();
    const diffad_val x = map(g, "x");

    cr_expect_eq(diffad_cast(g, x, DIFFAD_F32).id, x.id);
    diffad_graph_destroy(g);
}

Test(builders, a_cast_to_storage_and_back_gives_no_gradient_in_silence)
{
    diffad_graph    *g = new_graph();
    const diffad_val x = map(g, "x"), y = diffad_cast(g, diffad_cast(g, x, DIFFAD_F16), DIFFAD_F32);
    diffad_val       dx;

    diffad_graph_grad(g, y, diffad_none(), &x, 1, &dx);

    expect_refused(g, dx, "cast has no gradient");
}

Test(builders, not_a_number_passes_through_relu_and_clamp)
{
    diffad_device *dev;
    diffad_plan   *p;
    diffad_graph  *g = new_graph();
    const diffad_val x = diffad_input(g, "x", DIFFAD_F32, diffad_shape1(5));
    float data[5] = { -1, NAN, 2, INFINITY, -INFINITY }, y[5], z[5];
    diffad_output(g, "relu", diffad_relu(g, x));
    diffad_output(g, "clamp", diffad_clamp(g, x, 0, 1));
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_plan_create(dev, g, NULL, &p), DIFFAD_OK, "%s", diffad_error_detail());

    cr_assert_eq(diffad_tensor_write(diffad_plan_tensor(p, "x"), data, sizeof data), DIFFAD_OK);
    cr_assert_eq(diffad_plan_run(p), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_tensor_read(diffad_plan_tensor(p, "relu"), y, sizeof y), DIFFAD_OK);
    cr_assert_eq(diffad_tensor_read(diffad_plan_tensor(p, "clamp"), z, sizeof z), DIFFAD_OK);

    cr_expect(y[0] == 0 && isnan(y[1]) && y[2] == 2 && isinf(y[3]) && y[4] == 0, "%g %g %g %g %g", y[0], y[1], y[2],
              y[3], y[4]);
    cr_expect(z[0] == 0 && isnan(z[1]) && z[2] == 1 && z[3] == 1 && z[4] == 0, "%g %g %g %g %g", z[0], z[1], z[2],
              z[3], z[4]);
    diffad_plan_destroy(p);
    diffad_graph_destroy(g);
    diffad_device_close(dev);
}
