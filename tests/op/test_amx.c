/* test_amx.c: convolutions on Intel's AMX (cl/common/amx.cl): the kernels as they are, their instructions executed by
 * support/amx.c where the processor has none, against the same without the unit. */
#include "api/check_common.h"
#include "base/sys.h"
#include "device/device.h"
#include "diffad/data.h"
#include "diffad/plan.h"
#include "support/amx.h"
#include "support/dev.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_amx(void) { return true; }

/* As on a processor that has the unit. */
static diffad_device *open_amx(bool is_faulty)
{
    diffad_sys.amx = has_amx;
    diffad_device *dev = dev_new();
    if (dev->caps.matrix != DIFFAD_MATRIX_INTEL_AMX || !amx_emulate(is_faulty)) {
        dev_done(dev);
        cr_skip_test("this is not PoCL on x86-64 Linux");
    }
    return dev;
}

static const double MOST_FLOPS = 2e8;      /* of a case: an emulated product of tiles takes about 0.1 ms */

/* What the op's case gives, in new memory; NULL where the way does not fit, or it would take too long. */
static float *result_of(diffad_device *dev, const diffad_op *op, const diffad_op_case *c, bool is_plain, int64_t *count)
{
    char          ways[64], name[8];
    diffad_graph *g = graph_new();
    diffad_val    x[DIFFAD_MAX_IN], y[DIFFAD_MAX_OUT];
    float        *got = NULL;
    snprintf(ways, sizeof ways, "%s=amx", op->name);
    cr_assert_eq(check_graph(g, op, c, 1, NULL, x, y), DIFFAD_OK, "%s", diffad_error_detail());
    dev->caps.matrix_is_plain = is_plain;
    diffad_plan *p = plan_new(dev, g, &(diffad_plan_options){ .ways = ways });
    char        *used = diffad_plan_ways(p);
    if (strstr(used, ":amx") && diffad_plan_flops(p) < MOST_FLOPS) {
        for (int i = 0; i < op->n_in; i++) {
            if (check_is_absent(op, c, i))
                continue;
            const int64_t n = diffad_shape_count(diffad_val_shape(g, x[i]));
            float        *data = malloc((size_t)n * sizeof *data);
            numbers(data, n, 3u + (unsigned)i);
            snprintf(name, sizeof name, "x%d", i);
            tensor_put(diffad_plan_tensor(p, name), data, n);
            free(data);
        }
        plan_must_run(p);
        *count = diffad_shape_count(diffad_val_shape(g, y[0]));
        got = malloc((size_t)*count * sizeof *got);
        tensor_get(diffad_plan_tensor(p, "y0"), got, *count);
    }
    diffad_memory_release(used);
    plan_done(p, g);
    return got;
}

static void compare_cases(const diffad_op *op)
{
    diffad_device *dev = open_amx(false);
    int            compared = 0;
    for (int k = 0; k < op->n_cases; k++) {
        const diffad_op_case *c = &op->cases[k];
        int64_t count = 0;
        float  *want = result_of(dev, op, c, true, &count);
        if (!want)
            continue;
        const int64_t before = amx_products();
        float *got = result_of(dev, op, c, false, &count);
        for (int64_t i = 0; i < count; i++)
            if (memcmp(&want[i], &got[i], sizeof *got) != 0) {
                cr_expect(false, "expected %.9g got %.9g at [%lld] (op=%s case=%s)", (double)want[i], (double)got[i], (long long)i,
                          op->name, c->name);
                break;
            }
        cr_log_info("%s %s: %lld results, %lld products of tiles", op->name, c->name, (long long)count,
                    (long long)(amx_products() - before));
        compared++;
        free(want);
        free(got);
    }
    cr_expect_gt(compared, 10);
    dev_done(dev);
}

Test(amx, convolutions_are_the_bits_of_the_same_without_the_unit) { compare_cases(&diffad_op_conv2d); }
Test(amx, gradients_of_inputs_are_the_bits_of_the_same_without_the_unit) { compare_cases(&diffad_op_conv2d_dx); }

Test(amx, gradients_of_weights_are_the_bits_of_the_same_without_the_unit) { compare_cases(&diffad_op_conv2d_dw); }

Test(amx, the_unit_agrees_at_its_first_use)
{
    diffad_device *dev = open_amx(false);

    cr_expect_eq(diffad_precision_allow(dev, DIFFAD_PRECISION_BF16), DIFFAD_OK, "%s", diffad_error_detail());

    cr_expect_eq(diffad_device_caps(dev)->precision, DIFFAD_PRECISION_BF16);
    diffad_device_close(dev);
}

Test(amx, a_unit_that_computes_something_else_is_refused)
{
    diffad_device *dev = open_amx(true);

    cr_expect_eq(diffad_precision_allow(dev, DIFFAD_PRECISION_BF16), DIFFAD_ERR_UNSUPPORTED);

    cr_expect(strstr(diffad_error_detail(), "precision bf16: conv2d fails its first comparison on "), "%s", diffad_error_detail());
    cr_expect(strstr(diffad_error_detail(), "of the largest value, allowed "), "%s", diffad_error_detail());
    cr_expect_eq(diffad_device_caps(dev)->precision, DIFFAD_PRECISION_F32);
    diffad_device_close(dev);
}
