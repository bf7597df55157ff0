/* test_autograd.c: gradients of graphs (src/graph/autograd.c), computed in double by the references. */
#include "base/sys.h"
#include "graph/graph.h"
#include "op/ops.h"
#include "support/dev.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { N = 6 };
static const double X[N] = { -2, -1, -0.5, 0.25, 1, 3 };

static double *fill(const double *from)
{
    double *x = diffad_alloc_array(N, sizeof *x);
    memcpy(x, from, N * sizeof *x);
    return x;
}

/* Runs the graph with X in value x; element i of v. */
static double **run(const diffad_graph *g, diffad_val x)
{
    double **data = diffad_alloc_array((size_t)g->n_values, sizeof *data);
    data[x.id] = fill(X);
    cr_assert_eq(diffad_graph_run_ref(g, data), DIFFAD_OK, "%s", diffad_error_detail());
    return data;
}

static void release(diffad_graph *g, double **data)
{
    for (int64_t i = 0; i < g->n_values; i++)
        diffad_release(data[i]);
    diffad_release(data);
    diffad_graph_destroy(g);
}

static diffad_val input(diffad_graph *g, const char *name)
{
    return diffad_input(g, name, DIFFAD_F32, diffad_shape1(N));
}

static diffad_val grad_of(diffad_graph *g, diffad_val of, diffad_val wrt)
{
    diffad_val d;
    diffad_graph_grad(g, of, diffad_none(), &wrt, 1, &d);
    cr_assert_eq(diffad_graph_status(g), DIFFAD_OK, "%s", diffad_error_detail());
    return d;
}

Test(autograd, a_value_used_twice_gets_both_parts)
{
    diffad_graph    *g = graph_new();
    const diffad_val x = input(g, "x");
    const diffad_val d =
        grad_of(g, diffad_sum(g, diffad_add(g, diffad_square(g, x), diffad_mul(g, x, x))), x); /* 2 x^2 */
    diffad_output(g, "d", d);

    double **data = run(g, x);

    for (int i = 0; i < N; i++)
        cr_expect_float_eq(data[d.id][i], 4 * X[i], 1e-12);
    release(g, data);
}

Test(autograd, the_same_value_as_both_operands_gets_both_parts)
{
    diffad_graph    *g = graph_new();
    const diffad_val x = input(g, "x"), d = grad_of(g, diffad_add(g, x, x), x);
    diffad_output(g, "d", diffad_affine(g, d, 1, 0));

    double **data = run(g, x);

    for (int i = 0; i < N; i++)
        cr_expect_float_eq(data[d.id][i], 2, 1e-12);
    release(g, data);
}

Test(autograd, nothing_passes_a_stop)
{
    diffad_graph    *g = graph_new();
    const diffad_val x = input(g, "x"), stopped = diffad_stop_gradient(g, x);
    const diffad_val d = grad_of(g, diffad_sum(g, diffad_mul(g, x, stopped)), x);
    diffad_output(g, "d", d);
    cr_expect(!diffad_is_valid(grad_of(g, diffad_sum(g, diffad_square(g, stopped)), x)));

    double **data = run(g, x);

    for (int i = 0; i < N; i++)
        cr_expect_float_eq(data[d.id][i], X[i], 1e-12, "one factor counts");
    release(g, data);
}

Test(autograd, without_a_path_there_is_no_gradient)
{
    diffad_graph    *g = graph_new();
    const diffad_val x = input(g, "x"), y = input(g, "y"), loss = diffad_sum(g, diffad_square(g, x));
    diffad_val       d[3];

    diffad_graph_grad(g, loss, diffad_none(), (diffad_val[]){ y, x, diffad_none() }, 3, d);

    cr_expect(!diffad_is_valid(d[0]) && diffad_is_valid(d[1]) && !diffad_is_valid(d[2]));
    cr_expect_eq(diffad_graph_status(g), DIFFAD_OK);
    diffad_graph_destroy(g);
}

Test(autograd, the_gradient_of_a_value_itself_is_the_seed)
{
    diffad_graph    *g = graph_new();
    const diffad_val x = input(g, "x"), seed = input(g, "seed");
    diffad_val       d;
    diffad_graph_grad(g, x, seed, &x, 1, &d);
    cr_expect_eq(d.id, seed.id);
    diffad_graph_destroy(g);
}

Test(autograd, several_gradients_in_one_graph_do_not_mix)
{
    diffad_graph    *g = graph_new();
    const diffad_val x = input(g, "x"), a = diffad_sum(g, diffad_square(g, x)), b = diffad_sum(g, diffad_exp(g, x));
    const diffad_val da = grad_of(g, a, x), db = grad_of(g, b, x), norm = diffad_sum_squares(g, da);
    const diffad_val both =
        diffad_add(g, a, diffad_scale_by(g, b, diffad_stop_gradient(g, norm))); /* the critic's weight */
    const diffad_val d = grad_of(g, both, x);
    diffad_output(g, "da", da);
    diffad_output(g, "db", db);
    diffad_output(g, "d", d);

    double **data = run(g, x);

    double squares = 0;
    for (int i = 0; i < N; i++)
        squares += 4 * X[i] * X[i];
    for (int i = 0; i < N; i++) {
        cr_expect_float_eq(data[da.id][i], 2 * X[i], 1e-12);
        cr_expect_float_eq(data[db.id][i], exp(X[i]), 1e-12);
        cr_expect_float_eq(data[d.id][i], 2 * X[i] + squares * exp(X[i]), 1e-9);
    }
    release(g, data);
}

Test(autograd, a_seed_weighs_the_parts)
{
    diffad_graph    *g = graph_new();
    const diffad_val x = input(g, "x"), y = diffad_square(g, x), seed = diffad_exp(g, x);
    diffad_val       d;
    diffad_graph_grad(g, y, seed, &x, 1, &d);
    diffad_output(g, "d", d);

    double **data = run(g, x);

    for (int i = 0; i < N; i++)
        cr_expect_float_eq(data[d.id][i], 2 * X[i] * exp(X[i]), 1e-12);
    release(g, data);
}

Test(autograd, a_seed_of_another_shape_or_type_is_refused)
{
    diffad_graph    *g = graph_new();
    const diffad_val x = input(g, "x"), wrong = diffad_input(g, "seed", DIFFAD_F32, diffad_shape1(N + 1));
    diffad_val       d;
    diffad_graph_grad(g, diffad_square(g, x), wrong, &x, 1, &d);
    cr_expect_eq(diffad_graph_status(g), DIFFAD_ERR_SHAPE);
    cr_expect(strstr(diffad_error_detail(), "[7]"), "%s", diffad_error_detail());
    diffad_graph_destroy(g);
}

Test(autograd, an_op_without_gradient_says_so_only_where_one_is_wanted)
{
    diffad_graph    *g = graph_new();
    const diffad_val x = input(g, "x"), y = input(g, "y"), m = diffad_max_all(g, x);
    const diffad_val d = grad_of(g, diffad_sum(g, diffad_mul(g, diffad_square(g, y), diffad_affine(g, x, 0, 1))), y);
    cr_expect(diffad_is_valid(d));
    diffad_val dx;
    diffad_graph_grad(g, diffad_sum(g, m), diffad_none(), &x, 1, &dx);
    cr_expect_eq(diffad_graph_status(g), DIFFAD_ERR_UNSUPPORTED);
    cr_expect(strstr(diffad_error_detail(), "max_all has no gradient"), "%s", diffad_error_detail());
    diffad_graph_destroy(g);
}

Test(autograd, behind_a_stop_an_op_needs_no_gradient)
{
    diffad_graph    *g = graph_new();
    const diffad_val x = input(g, "x"), largest = diffad_sum(g, diffad_max_all(g, diffad_stop_gradient(g, x)));
    cr_expect(diffad_is_valid(grad_of(g, diffad_scale_by(g, diffad_sum(g, diffad_square(g, x)), largest), x)));
    diffad_graph_destroy(g);
}

Test(autograd, constants_by_definition_take_none)
{
    diffad_graph    *g = graph_new();
    const diffad_val mean = input(g, "mean"), logvar = input(g, "logvar"), eps = input(g, "eps");
    diffad_val       d[3];
    diffad_graph_grad(g, diffad_sum(g, diffad_gaussian_sample(g, mean, logvar, eps)), diffad_none(),
                      (diffad_val[]){ mean, logvar, eps }, 3, d);
    cr_expect(diffad_is_valid(d[0]) && diffad_is_valid(d[1]) && !diffad_is_valid(d[2]));
    diffad_graph_destroy(g);
}
