/* test_optimiser.c: the guard against not-a-numbers from grad_norm to adam and ema; many parameters in few launches
 * (src/op/grad_norm.c, optimiser.c). */
#include "diffad/ops.h"
#include "diffad/plan.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { COUNT = 30, SIZE = 5 };

typedef struct rig {
    diffad_device *dev;
    diffad_graph  *g;
    diffad_plan   *plan;
    diffad_tensor *p, *m, *v, *shadow;
} rig;

static diffad_tensor *tensor(rig *r, float value)
{
    const diffad_shape shape = diffad_shape1(SIZE);
    diffad_tensor     *t;
    const float        data[SIZE] = { value, value, value, value, value };
    cr_assert_eq(diffad_tensor_create(r->dev, DIFFAD_F32, &shape, &t), DIFFAD_OK);
    cr_assert_eq(diffad_tensor_write(t, data, sizeof data), DIFFAD_OK);
    return t;
}

static void write_value(rig *r, const char *name, const float *data, size_t bytes)
{
    cr_assert_eq(diffad_tensor_write(diffad_plan_tensor(r->plan, name), data, bytes), DIFFAD_OK, "%s", name);
}

static float first_of(const diffad_tensor *t)
{
    float data[SIZE];
    cr_assert_eq(diffad_tensor_read(t, data, sizeof data), DIFFAD_OK);
    return data[0];
}

/* COUNT gradients; the last is `last`, the others are ones. */
static void norm_of_gradients(rig *r, float last, float norm[2], float *clip)
{
    diffad_val grad[COUNT];
    char       name[16];
    cr_assert_eq(diffad_device_open(NULL, &r->dev), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_graph_create(&r->g), DIFFAD_OK);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "g%d", i);
        grad[i] = diffad_input(r->g, name, DIFFAD_F32, diffad_shape1(SIZE));
    }
    const diffad_val n = diffad_grad_norm(r->g, COUNT, grad);
    diffad_output(r->g, "norm", n);
    diffad_output(r->g, "clip", diffad_clip_scale(r->g, n, 1.0));
    cr_assert_eq(diffad_plan_create(r->dev, r->g, NULL, &r->plan), DIFFAD_OK, "%s", diffad_error_detail());
    for (int i = 0; i < COUNT; i++) {
        const float x = i == COUNT - 1 ? last : 1.0f, data[SIZE] = { 1, 1, x, 1, 1 };
        snprintf(name, sizeof name, "g%d", i);
        write_value(r, name, data, sizeof data);
    }
    cr_assert_eq(diffad_plan_run(r->plan), DIFFAD_OK);
    cr_assert_eq(diffad_tensor_read(diffad_plan_tensor(r->plan, "norm"), norm, 2 * sizeof *norm), DIFFAD_OK);
    cr_assert_eq(diffad_tensor_read(diffad_plan_tensor(r->plan, "clip"), clip, sizeof *clip), DIFFAD_OK);
}

static void done(rig *r)
{
    diffad_plan_destroy(r->plan);
    diffad_graph_destroy(r->g);
    diffad_tensor_destroy(r->p);
    diffad_tensor_destroy(r->m);
    diffad_tensor_destroy(r->v);
    diffad_tensor_destroy(r->shadow);
    diffad_device_close(r->dev);
}

Test(optimiser, the_norm_of_thirty_gradients_is_the_root_of_all_squares)
{
    rig   r = { 0 };
    float norm[2], clip;

    norm_of_gradients(&r, 3.0f, norm, &clip);

    cr_expect_float_eq(norm[0], sqrtf(COUNT * SIZE + 8), 1e-5);
    cr_expect_eq(norm[1], 1.0f);
    cr_expect_float_eq(clip, 1.0f / norm[0], 1e-6);
    done(&r);
}

Test(optimiser, one_gradient_that_is_not_finite_clears_the_flag)
{
    const float bad[] = { NAN, INFINITY, -INFINITY, 1e30f };      /* the last overflows when squared */
    for (int i = 0; i < 4; i++) {
        rig   r = { 0 };
        float norm[2], clip;

        norm_of_gradients(&r, bad[i], norm, &clip);

        cr_expect_eq(norm[1], 0.0f, "value %d", i);
        cr_expect_eq(clip, 0.0f, "value %d", i);
        done(&r);
    }
}

static void update(rig *r, float gradient, float ok)
{
    const diffad_shape shape = diffad_shape1(SIZE);
    const float        hyper[8] = { 0.1f, 0.1f, 0.001f, 1e-8f, 0, 0.1f, 0.001f, 1 }, decay = 0.5f;
    const float        grad[SIZE] = { gradient, gradient, gradient, gradient, gradient };
    cr_assert_eq(diffad_device_open(NULL, &r->dev), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_graph_create(&r->g), DIFFAD_OK);
    r->p = tensor(r, 2), r->m = tensor(r, 0), r->v = tensor(r, 0), r->shadow = tensor(r, 4);
    const diffad_val p = diffad_bound(r->g, "p", DIFFAD_F32, shape, &r->p),
                     ok_value = diffad_input(r->g, "ok", DIFFAD_F32, diffad_shape0());
    const diffad_val shadow = diffad_bound(r->g, "shadow", DIFFAD_F32, shape, &r->shadow);
    diffad_adam(r->g, 1, &(diffad_adam_set){ p, diffad_bound(r->g, "m", DIFFAD_F32, shape, &r->m),
                                             diffad_bound(r->g, "v", DIFFAD_F32, shape, &r->v),
                                             diffad_input(r->g, "grad", DIFFAD_F32, shape) },
                diffad_input(r->g, "hyper", DIFFAD_F32, diffad_shape1(8)), ok_value);
    diffad_ema(r->g, 1, &shadow, &p,
               diffad_input(r->g, "decay", DIFFAD_F32, diffad_shape0()), ok_value);
    cr_assert_eq(diffad_plan_create(r->dev, r->g, NULL, &r->plan), DIFFAD_OK, "%s", diffad_error_detail());
    write_value(r, "grad", grad, sizeof grad);
    write_value(r, "hyper", hyper, sizeof hyper);
    write_value(r, "decay", &decay, sizeof decay);
    write_value(r, "ok", &ok, sizeof ok);
    cr_assert_eq(diffad_plan_run(r->plan), DIFFAD_OK);
}

Test(optimiser, the_average_follows_the_parameter_that_adam_has_just_written)
{
    rig r = { 0 };

    update(&r, 3.0f, 1.0f);

    cr_expect_float_eq(first_of(r.p), 1.9f, 1e-5);          /* the first step of Adam has the length of the rate */
    cr_expect_float_eq(first_of(r.shadow), 2.95f, 1e-5);    /* 4/2 + 1.9/2 */
    done(&r);
}

Test(optimiser, with_ok_0_not_a_numbers_leave_parameter_moments_and_average_alone)
{
    rig r = { 0 };

    update(&r, NAN, 0.0f);

    cr_expect_eq(first_of(r.p), 2.0f);
    cr_expect_eq(first_of(r.m), 0.0f);
    cr_expect_eq(first_of(r.v), 0.0f);
    cr_expect_eq(first_of(r.shadow), 4.0f);
    done(&r);
}

/* ---- many parameters ---- */

enum { MANY = 40, LARGEST = 5000 };

/* Parameters of all widths of vectors; one step over all of them, in one call or in a call each. Results: per parameter
 * value and average, then the norm. Returns the launches. */
static int step_many(diffad_device *dev, bool is_apart, float *result)
{
    static const int64_t sizes[] = { 16, 3, LARGEST, 64, 1, 100, 48, 1024, 7, 2048 };
    diffad_tensor  *state[MANY][4];
    diffad_adam_set set[MANY];
    diffad_val      shadow[MANY], p[MANY], grad[MANY];
    diffad_graph   *g;
    diffad_plan    *plan;
    static float    data[LARGEST];
    cr_assert_eq(diffad_graph_create(&g), DIFFAD_OK);
    const diffad_val hyper = diffad_fill(g, diffad_shape1(8), 0.25), decay = diffad_fill(g, diffad_shape0(), 0.75),
                     ok = diffad_fill(g, diffad_shape0(), 1);
    for (int i = 0; i < MANY; i++) {
        const diffad_shape shape = diffad_shape1(sizes[i % 10]);
        diffad_val         v[4];
        for (int k = 0; k < 4; k++) {
            for (int64_t e = 0; e < LARGEST; e++)
                data[e] = 0.01f * (float)((e * 37 + i * 11 + k * 5) % 101 + 1);
            cr_assert_eq(diffad_tensor_create(dev, DIFFAD_F32, &shape, &state[i][k]), DIFFAD_OK);
            cr_assert_eq(diffad_tensor_write(state[i][k], data, (size_t)sizes[i % 10] * sizeof *data), DIFFAD_OK);
            v[k] = diffad_bound(g, "v", DIFFAD_F32, shape, &state[i][k]);
        }
        p[i]      = v[0];
        shadow[i] = v[3];
        grad[i]   = diffad_affine(g, v[0], 1.25, 0.5);
        set[i]    = (diffad_adam_set){ v[0], v[1], v[2], grad[i] };
    }
    diffad_output(g, "norm", diffad_grad_norm(g, MANY, grad));
    for (int i = 0; i < MANY; i += is_apart ? 1 : MANY) {
        diffad_adam(g, is_apart ? 1 : MANY, set + i, hyper, ok);
        diffad_ema(g, is_apart ? 1 : MANY, shadow + i, p + i, decay, ok);
    }
    cr_assert_eq(diffad_plan_create(dev, g, NULL, &plan), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_plan_run(plan), DIFFAD_OK, "%s", diffad_error_detail());
    for (int i = 0; i < MANY; i++)
        for (int k = 0; k < 4; k++) {
            const size_t count = (size_t)sizes[i % 10];
            cr_assert_eq(diffad_tensor_read(state[i][k], result, count * sizeof *result), DIFFAD_OK);
            result += count;
        }
    cr_assert_eq(diffad_tensor_read(diffad_plan_tensor(plan, "norm"), result, 2 * sizeof *result), DIFFAD_OK);
    const int launches = diffad_plan_launches(plan);
    diffad_plan_destroy(plan);
    diffad_graph_destroy(g);
    for (int i = 0; i < MANY; i++)
        for (int k = 0; k < 4; k++)
            diffad_tensor_destroy(state[i][k]);
    return launches;
}

Test(optimiser, parameters_in_one_launch_get_the_bits_of_a_launch_each)
{
    static float   joint[4 * MANY * LARGEST], apart[4 * MANY * LARGEST];
    diffad_device *dev;
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());

    const int few = step_many(dev, false, joint), many = step_many(dev, true, apart);

    cr_expect_arr_eq(joint, apart, sizeof joint);
    /* MANY gradients, 3 fills; per width of vectors (at most 3): 2 of sums, 4 of Adam, 2 of EMA; 2 joining, 1 norm */
    cr_expect_leq(few, MANY + 3 + 3 * (2 + 4 + 2) + 3, "%d launches", few);
    cr_expect_geq(many, few + 2 * MANY - 3 * (4 + 2), "%d launches against %d", many, few);
    diffad_device_close(dev);
}

Test(optimiser, a_set_without_its_gradient_and_more_gradients_than_can_be_joined_are_refused)
{
    static diffad_val grads[1201];
    diffad_graph     *g;
    cr_assert_eq(diffad_graph_create(&g), DIFFAD_OK);
    const diffad_val x = diffad_input(g, "x", DIFFAD_F32, diffad_shape1(SIZE));
    for (int i = 0; i < 1201; i++)
        grads[i] = x;

    diffad_grad_norm(g, 1201, grads);

    cr_expect_eq(diffad_graph_status(g), DIFFAD_ERR_USAGE);
    diffad_graph_destroy(g);
    cr_assert_eq(diffad_graph_create(&g), DIFFAD_OK);
    const diffad_val y = diffad_input(g, "y", DIFFAD_F32, diffad_shape1(SIZE));
    diffad_adam(g, 2, (diffad_adam_set[]){ { y, y, y, y }, { y, y, y, diffad_none() } }, diffad_fill(g, diffad_shape1(8), 0.5),
                diffad_fill(g, diffad_shape0(), 1));
    cr_expect_eq(diffad_graph_status(g), DIFFAD_ERR_USAGE);
    cr_expect(strstr(diffad_error_detail(), "input 9 is missing"), "%s", diffad_error_detail());
    diffad_graph_destroy(g);
}

Test(optimiser, adam_refuses_a_parameter_that_is_not_bound)
{
    diffad_graph *g;
    cr_assert_eq(diffad_graph_create(&g), DIFFAD_OK);
    const diffad_val x = diffad_input(g, "x", DIFFAD_F32, diffad_shape1(SIZE));

    diffad_adam(g, 1, &(diffad_adam_set){ x, x, x, x }, diffad_fill(g, diffad_shape1(8), 0.5), diffad_fill(g, diffad_shape0(), 1));

    cr_expect_eq(diffad_graph_status(g), DIFFAD_ERR_USAGE);
    diffad_graph_destroy(g);
}
