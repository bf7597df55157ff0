/* test_ops.c: walks the op table; no file per op. */
#include "diffad/selftest.h"
#include "op/ops.h"

#include <criterion/criterion.h>
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
