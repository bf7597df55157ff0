/* test_ops.c: walks the op table; no file per op. */
#include "diffad/data.h"
#include "diffad/plan.h"
#include "diffad/selftest.h"
#include "op/ops.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* DIFFAD_TEST_OP narrows the walk to one op while working on it. */
static const char *only(void) { return getenv("DIFFAD_TEST_OP"); }

typedef struct tally { int passed, failed, skipped; } tally;

static void count_row(void *user, const diffad_check_row *row)
{
    tally *t = user;
    t->passed += row->result == DIFFAD_CHECK_PASS;
    t->failed += row->result == DIFFAD_CHECK_FAIL;
    t->skipped += row->result == DIFFAD_CHECK_SKIP;
    if (row->result == DIFFAD_CHECK_FAIL)
        cr_log_error("op=%s way=%s case=%s layout=%s: %s", row->op, row->way, row->name, row->layout, row->why);
}

Test(ops, every_descriptor_is_complete)
{
    int count;
    const diffad_op *const *table = diffad_op_table(&count);
    for (int i = 0; i < count; i++) {
        const diffad_op *op = table[i];
        bool odd = false, one = false, real = false;
        cr_expect(op->name && op->infer && op->cost, "%s: a field is missing", op->name);
        cr_expect(op->ref, "%s: no reference", op->name);
        cr_expect((op->grad != NULL) != (op->no_grad != NULL), "%s: exactly one of a gradient and a reason for none", op->name);
        cr_expect(op->is_alias || op->n_ways > 0, "%s: no way", op->name);
        bool portable = op->is_alias;
        for (int w = 0; w < op->n_ways; w++)
            portable = portable || op->ways[w].is_portable;
        cr_expect(portable, "%s: no portable way", op->name);
        for (int k = 0; k < op->n_cases; k++) {
            one  = one || strncmp(op->cases[k].name, "one", 3) == 0;
            odd  = odd || strncmp(op->cases[k].name, "odd", 3) == 0;
            real = real || op->cases[k].bench;
        }
        cr_expect(one && odd && real, "%s: cases named one... and odd..., and one of real size (bench) are needed", op->name);
        for (int k = 0; k < i; k++)
            cr_expect(strcmp(table[k]->name, op->name) != 0, "%s is listed twice", op->name);
    }
}

Test(ops, every_gradient_agrees_with_differences_of_the_reference)
{
    tally t = { 0 };
    cr_assert_eq(diffad_check_gradients(only(), count_row, &t), DIFFAD_OK);
    cr_expect_eq(t.failed, 0, "%d gradient cases failed", t.failed);
    cr_expect(only() || t.passed > 0);
}

static void check_device(bool quick)
{
    diffad_device *dev;
    tally          t = { 0 };
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect_eq(diffad_check_ops(dev, only(), quick, count_row, &t), DIFFAD_OK, "%s", diffad_error_detail());
    cr_log_info("%s: %d passed, %d failed, %d do not fit", diffad_device_caps(dev)->name, t.passed, t.failed, t.skipped);
    cr_expect_eq(t.failed, 0, "%d cases failed", t.failed);
    cr_expect_gt(t.passed, 0);
    diffad_device_close(dev);
}

Test(ops, every_way_agrees_with_the_reference) { check_device(false); }

Test(ops, portable_ways_live_with_16_kib_and_groups_of_64)
{
    setenv("DIFFAD_CAPS", "local_mem=16384,max_wg=64,max_alloc=134217728,fp16=0,fp64=0,subgroups=0,block=1,cpu=0", 1);
    check_device(true);
}

/* Matrix units, computed without one. */
static diffad_device *open_matrix(const char *caps)
{
    diffad_device *dev;
    setenv("DIFFAD_CAPS", caps, 1);
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    return dev;
}

/* `unit`: whose layout (diffad_matrix). */
static void allow(diffad_matrix unit, diffad_precision precision)
{
    char caps[32];
    snprintf(caps, sizeof caps, "matrix=%d,block=%d", (int)unit, unit == DIFFAD_MATRIX_INTEL_AMX ? 16 : 1);
    diffad_device *dev = open_matrix(caps);
    cr_expect_eq(diffad_precision_allow(dev, precision), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect_eq(diffad_device_caps(dev)->precision, precision);
    diffad_device_close(dev);
}

Test(ops, tf32_agrees_at_its_first_use) { allow(DIFFAD_MATRIX_NVIDIA_80, DIFFAD_PRECISION_TF32); }
Test(ops, bf16_agrees_at_its_first_use) { allow(DIFFAD_MATRIX_NVIDIA_80, DIFFAD_PRECISION_BF16); }
Test(ops, f16_agrees_at_its_first_use) { allow(DIFFAD_MATRIX_NVIDIA_80, DIFFAD_PRECISION_F16); }

/* One precision proves a layout. */
Test(ops, the_layout_of_nvidias_unit_of_7_5_agrees) { allow(DIFFAD_MATRIX_NVIDIA_75, DIFFAD_PRECISION_F16); }
Test(ops, the_layout_of_nvidias_unit_of_7_0_agrees) { allow(DIFFAD_MATRIX_NVIDIA_70, DIFFAD_PRECISION_F16); }
Test(ops, the_layout_of_amds_mfma_agrees) { allow(DIFFAD_MATRIX_AMD_MFMA, DIFFAD_PRECISION_BF16); }
Test(ops, the_layout_of_amds_wmma_agrees) { allow(DIFFAD_MATRIX_AMD_WMMA, DIFFAD_PRECISION_BF16); }
Test(ops, the_layout_of_intels_unit_with_sub_groups_of_16_agrees) { allow(DIFFAD_MATRIX_INTEL_16, DIFFAD_PRECISION_BF16); }
Test(ops, the_layout_of_intels_unit_with_sub_groups_of_8_agrees) { allow(DIFFAD_MATRIX_INTEL_8, DIFFAD_PRECISION_BF16); }
Test(ops, the_layout_of_intels_amx_agrees) { allow(DIFFAD_MATRIX_INTEL_AMX, DIFFAD_PRECISION_BF16); }

Test(ops, a_matrix_unit_that_computes_something_else_is_refused)
{
    diffad_device *dev = open_matrix("matrix=1,block=1");
    setenv("DIFFAD_CL_FLAGS", "-DSTRIDE=2", 1);
    cr_expect_eq(diffad_precision_allow(dev, DIFFAD_PRECISION_BF16), DIFFAD_ERR_UNSUPPORTED);
    cr_expect(strstr(diffad_error_detail(), "precision bf16: conv2d fails its first comparison on "), "%s", diffad_error_detail());
    cr_expect_eq(diffad_device_caps(dev)->precision, DIFFAD_PRECISION_F32);
    diffad_device_close(dev);
}

Test(ops, a_device_without_a_matrix_unit_says_so)
{
    diffad_device *dev = open_matrix("matrix=0");
    cr_expect_eq(diffad_precision_allow(dev, DIFFAD_PRECISION_BF16), DIFFAD_ERR_UNSUPPORTED);
    cr_expect_eq(diffad_device_caps(dev)->precision, DIFFAD_PRECISION_F32);
    diffad_device_close(dev);
}

/* A plan rounds only what it was asked to round. */
Test(ops, precision_changes_the_way_only_where_it_is_set)
{
    diffad_device *dev = open_matrix("matrix=1,block=1");
    diffad_graph  *g;
    diffad_plan   *p;
    const diffad_plan_options sizes = { .sizes_only = true };
    cr_assert_eq(diffad_graph_create(&g), DIFFAD_OK);
    const diffad_val x = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(1, 16, 8, 8));
    const diffad_val w = diffad_input(g, "w", DIFFAD_F32, diffad_shape4(16, 16, 3, 3));
    diffad_output(g, "y", diffad_conv2d(g, x, w, diffad_none(), &(diffad_conv_attr){ 1, 1, 1, 1, 1, 1 }));
    for (diffad_precision precision = DIFFAD_PRECISION_F32; precision <= DIFFAD_PRECISION_F16; precision++) {
        char want[32];
        snprintf(want, sizeof want, "conv2d:%s", precision == DIFFAD_PRECISION_F32 ? "portable" : diffad_precision_name(precision));
        cr_assert_eq(diffad_device_set_precision(dev, precision), DIFFAD_OK);
        cr_assert_eq(diffad_plan_create(dev, g, &sizes, &p), DIFFAD_OK, "%s", diffad_error_detail());
        char *ways = diffad_plan_ways(p);
        cr_expect_str_eq(ways, want);
        diffad_memory_release(ways);
        diffad_plan_destroy(p);
    }
    diffad_graph_destroy(g);
    diffad_device_close(dev);
}
