/* test_check.c: guards, padding lanes and DIFFAD_CHECK find a kernel that is wrong (src/graph/exec.c, check.c): an op
 * that exists here alone, with a kernel file of the test's own. */
#include "graph/rig.h"
#include "op/ops.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* y = 2 x + 1, blocked or plain; what is wrong with it is its mode. */
enum {
    RIGHT,
    BEHIND_THE_END,
    BEFORE_THE_START,
    DIRTY_LANES,
    WRONG_VALUE,
    NOT_A_NUMBER,
    WRONG_STATE,
    BEHIND_THE_WORK_SPACE
};

static const char source[] =
    "__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))\n"
    "void wrong(__global const float *x, ulong x_off, __global float *y, ulong y_off, ulong n, int c, int hw)\n"
    "{\n"
    "    const size_t i = get_global_id(0);\n"
    "    const int    lane = (int)(i / hw / B % ((c + B - 1) / B) * B + i % B);\n"
    "    if (i >= n)\n"
    "        return;\n"
    "    float v = B > 1 && lane >= c ? 0.0f : 2.0f * x[x_off + i] + 1.0f;\n"
    "#if MODE == 3\n"
    "    v = 2.0f * x[x_off + i] + 1.0f;\n"
    "#elif MODE == 4\n"
    "    v = i == 7 ? v + 0.5f : v;\n"
    "#elif MODE == 5\n"
    "    v = i == 7 ? NAN : v;\n"
    "#endif\n"
    "    y[y_off + i] = v;\n"
    "    if (MODE == 1 && i == 0)\n"
    "        y[y_off + n] = 0.0f;\n"
    "    if (MODE == 2 && i == 0)\n"
    "        y[y_off - 1] = 0.0f;\n"
    "}\n";

typedef struct attr { int mode; } attr;

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    const diffad_value *v = n->in[0];
    const int           block = e->in[0].block, mode = ((const attr *)n->attr)->mode;
    const int64_t       count = diffad_layout_count(v, block);
    diffad_launch       l = diffad_launch_make("wrong", "wrong", count, DIFFAD_GROUP);
    int32_t             scratch;
    diffad_launch_def(&l, "B", block);
    diffad_launch_def(&l, "MODE", mode == BEHIND_THE_WORK_SPACE ? BEHIND_THE_END : mode);
    diffad_emit_in(&l, e, 0);
    if (mode == BEHIND_THE_WORK_SPACE) {
        DIFFAD_TRY(diffad_emit_scratch(e, count, 4, &scratch));
        diffad_launch_mem(&l, scratch, 0, DIFFAD_WRITE);
    } else if (n->op->writes) {
        diffad_emit_in_written(&l, e, 1);
    } else {
        diffad_emit_out(&l, e, 0);
    }
    diffad_launch_count(&l, count);
    diffad_launch_int(&l, diffad_side(v, 1));
    diffad_launch_int(&l, diffad_numel(v) / (diffad_side(v, 0) * diffad_side(v, 1)));
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    if (mode != BEHIND_THE_WORK_SPACE)
        return DIFFAD_OK;
    diffad_launch good = diffad_launch_make("wrong", "wrong", count, DIFFAD_GROUP);
    diffad_launch_def(&good, "B", block);
    diffad_launch_def(&good, "MODE", RIGHT);
    diffad_emit_in(&good, e, 0);
    diffad_emit_out(&good, e, 0);
    diffad_launch_count(&good, count);
    diffad_launch_int(&good, diffad_side(v, 1));
    diffad_launch_int(&good, 1);
    return diffad_emit_launch(e, &good);
}

static void ref(const diffad_ref *r)
{
    double *y = r->n->op->writes ? r->in[1] : r->out[0];
    for (int64_t i = 0; i < diffad_numel(r->n->in[0]); i++)
        y[i] = 2 * r->in[0][i] + 1;
}

static const diffad_way ways[] = { { .name = "test", .layout = DIFFAD_LAYOUT_ANY, .emit = emit } };
static const diffad_op op = { .name = "wrong",
                              .n_in = 1,
                              .n_out = 1,
                              .attr_size = sizeof(attr),
                              .tol = 1e-6,
                              .maps_in = 1,
                              .maps_out = 1,
                              .infer = diffad_infer_same,
                              DIFFAD_WAYS(ways),
                              .no_grad = "a test",
                              .ref = ref };
static const diffad_op state_op = { .name = "wrong_state",
                                    .n_in = 2,
                                    .n_out = 0,
                                    .attr_size = sizeof(attr),
                                    .tol = 1e-6,
                                    .writes = 2,
                                    .infer = diffad_infer_none,
                                    DIFFAD_WAYS(ways),
                                    .no_grad = "a test",
                                    .ref = ref };

static diffad_graph *graph_of(int mode, bool blocked)
{
    diffad_graph *g = graph_new();
    diffad_val    x = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(2, 19, 4, 4));
    if (blocked)
        x = diffad_reorder(g, x);
    diffad_name(g, x, "here");
    const diffad_val y = diffad_apply(g, &op, &(attr){ mode }, 1, &x);
    diffad_output(g, "y", y);
    diffad_output(g, "z", diffad_silu(g, y));
    return g;
}

static void put_numbers(diffad_plan *p)
{
    float x[2 * 19 * 16];
    numbers(x, 2 * 19 * 16, 1);
    tensor_put(diffad_plan_tensor(p, "x"), x, 2 * 19 * 16);
}

static void checks(int mode, bool blocked, bool *intact, bool *zero, char *where)
{
    diffad_device *dev = dev_new();
    diffad_graph  *g   = graph_of(mode, blocked);
    diffad_plan   *p   = plan_new(dev, g, &(diffad_plan_options){ .guard = true });
    put_numbers(p);
    plan_must_run(p);
    where[0] = '\0';
    cr_assert_eq(diffad_plan_check_guards(p, intact, where, 100), DIFFAD_OK);
    cr_assert_eq(diffad_plan_check_lanes(p, zero, *intact ? where : (char[100]){ 0 }, 100), DIFFAD_OK);
    plan_done(p, g);
    dev_done(dev);
}

Test(check, a_right_kernel_passes_guards_and_lanes)
{
    bool intact, zero;
    char where[100];
    kernels_with("wrong.cl", source);
    for (int blocked = 0; blocked < 2; blocked++) {
        checks(RIGHT, blocked, &intact, &zero, where);
        cr_expect(intact && zero, "%s", where);
    }
}

Test(check, a_write_out_of_bounds_is_found_and_named)
{
    bool intact, zero;
    char where[100];
    kernels_with("wrong.cl", source);
    for (int blocked = 0; blocked < 2; blocked++)
        for (int mode = BEHIND_THE_END; mode <= BEFORE_THE_START; mode++) {
            checks(mode, blocked, &intact, &zero, where);
            cr_expect(!intact, "mode %d", mode);
            cr_expect(strstr(where, "output of wrong"), "%s", where);
        }
    checks(BEHIND_THE_WORK_SPACE, false, &intact, &zero, where);
    cr_expect(!intact && strstr(where, "work space"), "%s", where);
}

Test(check, lanes_that_are_not_zero_are_found_and_named)
{
    bool intact, zero;
    char where[100];
    kernels_with("wrong.cl", source);
    checks(DIRTY_LANES, true, &intact, &zero, where);
    cr_expect(intact && !zero && strstr(where, "output of wrong"), "%s", where);
}

/* ---- DIFFAD_CHECK ---- */

static diffad_status checked_run(diffad_device *dev, diffad_graph *g, float spoil)
{
    diffad_plan *p;
    setenv("DIFFAD_CHECK", "1", 1);
    p = plan_new(dev, g, NULL);
    unsetenv("DIFFAD_CHECK");
    float x[2 * 19 * 16];
    numbers(x, 2 * 19 * 16, 1);
    x[5] += spoil;
    tensor_put(diffad_plan_tensor(p, "x"), x, 2 * 19 * 16);
    const diffad_status st = diffad_plan_run(p);
    diffad_plan_destroy(p);
    return st;
}

Test(check, the_first_wrong_node_is_the_error)
{
    static const struct { int mode; const char *says; } rows[] = {
        { WRONG_VALUE, "output 0 is" }, { NOT_A_NUMBER, "not a number in output 0 y at [0,0," },
    };
    diffad_device *dev = dev_new();
    kernels_with("wrong.cl", source);
    for (int blocked = 0; blocked < 2; blocked++)
        for (size_t i = 0; i < 2; i++) {
            diffad_graph *g = graph_of(rows[i].mode, blocked);
            cr_expect_eq(checked_run(dev, g, 0), DIFFAD_ERR_NUMERICS);
            cr_expect(strstr(diffad_error_detail(), "check: wrong (node") &&
                          strstr(diffad_error_detail(), "near here") &&
                          strstr(diffad_error_detail(), blocked || i == 0 ? "" : rows[i].says),
                      "%s", diffad_error_detail());
            diffad_graph_destroy(g);
        }
    dev_done(dev);
}

Test(check, right_nodes_pass_in_every_layout)
{
    diffad_device *dev = dev_new();
    kernels_with("wrong.cl", source);
    for (int blocked = 0; blocked < 2; blocked++) {
        diffad_graph *g = graph_of(RIGHT, blocked);
        cr_expect_eq(checked_run(dev, g, 0), DIFFAD_OK, "%s", diffad_error_detail());
        diffad_graph_destroy(g);
    }
    dev_done(dev);
}

Test(check, a_not_a_number_that_came_from_outside_is_blamed_on_the_input)
{
    diffad_device *dev = dev_new();
    diffad_graph  *g   = graph_of(RIGHT, false);
    kernels_with("wrong.cl", source);
    cr_expect_eq(checked_run(dev, g, NAN), DIFFAD_ERR_NUMERICS);
    cr_expect(strstr(diffad_error_detail(), "not a number in input 0 x at [0,0,1,1]"), "%s", diffad_error_detail());
    diffad_graph_destroy(g);
    dev_done(dev);
}

Test(check, wrong_state_is_found_too)
{
    diffad_device *dev = dev_new();
    diffad_tensor *w   = tensor_new(dev, diffad_shape4(2, 19, 4, 4));
    kernels_with("wrong.cl", source);
    for (int mode = 0; mode < 2; mode++) {
        diffad_graph *g = graph_new();
        const diffad_val in[] = { diffad_input(g, "x", DIFFAD_F32, diffad_shape4(2, 19, 4, 4)),
                                  diffad_bound(g, "w", DIFFAD_F32, diffad_shape4(2, 19, 4, 4), &w) };
        diffad_apply(g, &state_op, &(attr){ mode ? WRONG_VALUE : RIGHT }, 2, in);
        cr_expect_eq(checked_run(dev, g, 0), mode ? DIFFAD_ERR_NUMERICS : DIFFAD_OK, "%s", diffad_error_detail());
        if (mode)
            cr_expect(strstr(diffad_error_detail(), "written input 1"), "%s", diffad_error_detail());
        diffad_graph_destroy(g);
    }
    diffad_tensor_destroy(w);
    dev_done(dev);
}

Test(check, a_training_step_of_many_ops_passes)
{
    static const diffad_conv_attr same = { .stride = 1, .dilation = 1, .left = 1, .right = 1, .top = 1, .bottom = 1 };
    static const diffad_norm_attr norm = { .groups = 4, .eps = 1e-5, .act = DIFFAD_ACT_SILU };
    diffad_device *dev = dev_new();
    diffad_graph  *g   = graph_new();
    diffad_tensor *w   = tensor_new(dev, diffad_shape4(16, 19, 3, 3)), *gamma = tensor_new(dev, diffad_shape1(16)),
                  *beta = tensor_new(dev, diffad_shape1(16));
    float x[16 * 19 * 9];
    numbers(x, 16 * 19 * 9, 3);
    tensor_put(w, x, 16 * 19 * 9);
    tensor_put(gamma, x, 16);
    const diffad_val in = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(2, 19, 4, 4)),
                     vw = diffad_bound(g, "w", DIFFAD_F32, diffad_shape4(16, 19, 3, 3), &w),
                     vg = diffad_bound(g, "gamma", DIFFAD_F32, diffad_shape1(16), &gamma),
                     vb = diffad_bound(g, "beta", DIFFAD_F32, diffad_shape1(16), &beta);
    const diffad_val h = diffad_group_norm(g, diffad_conv2d(g, in, vw, diffad_none(), &same), vg, vb, &norm);
    const diffad_val loss = diffad_mean(g, diffad_square(g, diffad_upsample_nearest2(g, h)));
    diffad_val d[3];
    diffad_graph_grad(g, loss, diffad_none(), (diffad_val[]){ vw, vg, vb }, 3, d);
    diffad_assign(g, vw, diffad_sub(g, vw, diffad_affine(g, d[0], 0.1, 0)));
    diffad_assign(g, vg, diffad_sub(g, vg, diffad_affine(g, d[1], 0.1, 0)));
    diffad_assign(g, vb, diffad_sub(g, vb, diffad_affine(g, d[2], 0.1, 0)));
    diffad_output(g, "loss", loss);

    for (int step = 0; step < 3; step++)
        cr_expect_eq(checked_run(dev, g, 0), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_graph_destroy(g);
    diffad_tensor_destroy(w);
    diffad_tensor_destroy(gamma);
    diffad_tensor_destroy(beta);
    dev_done(dev);
}
