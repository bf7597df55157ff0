/* test_tensor.c: tensors in device memory (src/tensor/tensor.c). */
#include "device/device.h"
#include "support/dev.h"
#include "support/fault.h"
#include "support/stub_cl.h"
#include "tensor/tensor.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void on_stub(void)
{
    unsetenv("DIFFAD_DEVICE");
    unsetenv("DIFFAD_CAPS");
    stub_install();
}

Test(tensor, starts_as_zeros_and_gives_back_what_was_written)
{
    static const diffad_dtype types[] = { DIFFAD_F32, DIFFAD_F16, DIFFAD_BF16, DIFFAD_I32, DIFFAD_U8 };
    diffad_device *dev = dev_new();
    for (size_t k = 0; k < sizeof types / sizeof types[0]; k++)
        for (int64_t count = 1; count < 10; count++) {
            const diffad_shape s = diffad_shape1(count);
            const size_t       bytes = (size_t)count * diffad_dtype_bytes(types[k]);
            unsigned char      in[40], out[40];
            diffad_tensor     *t = NULL;
            cr_assert_eq(diffad_tensor_create(dev, types[k], &s, &t), DIFFAD_OK, "%s", diffad_error_detail());
            memset(out, 0xEE, sizeof out);
            cr_assert_eq(diffad_tensor_read(t, out, bytes), DIFFAD_OK);
            for (size_t i = 0; i < sizeof out; i++)
                cr_assert_eq(out[i], i < bytes ? 0 : 0xEE);
            for (size_t i = 0; i < sizeof in; i++)
                in[i] = (unsigned char)(i * 37 + k);
            cr_assert_eq(diffad_tensor_write(t, in, bytes), DIFFAD_OK);
            cr_assert_eq(diffad_tensor_read(t, out, bytes), DIFFAD_OK);
            cr_expect_arr_eq(in, out, bytes);
            cr_expect_eq(diffad_tensor_type(t), types[k]);
            cr_expect(diffad_shape_equal(diffad_tensor_shape(t), &s));
            diffad_tensor_destroy(t);
        }
    dev_done(dev);
}

Test(tensor, a_scalar_is_one_element)
{
    diffad_device     *dev = dev_new();
    const diffad_shape s = diffad_shape0();
    diffad_tensor     *t = tensor_new(dev, s);
    float              x = 3.5f, y = 0;
    tensor_put(t, &x, 1);
    tensor_get(t, &y, 1);
    cr_expect_eq(y, 3.5f);
    diffad_tensor_destroy(t);
    diffad_tensor_destroy(NULL);
    dev_done(dev);
}

Test(tensor, bytes_that_do_not_fit_are_refused_and_name_both)
{
    on_stub();
    diffad_device *dev = dev_new();
    diffad_tensor *t   = tensor_new(dev, diffad_shape2(2, 3));
    float          x[8] = { 0 };
    const int64_t  calls = stub_count(STUB_ANY);

    cr_expect_eq(diffad_tensor_write(t, x, 20), DIFFAD_ERR_SHAPE);
    cr_expect_str_eq(diffad_error_detail(), "write tensor f32 [2,3]: 20 bytes given, 24 needed");
    cr_expect_eq(diffad_tensor_read(t, x, 28), DIFFAD_ERR_SHAPE);
    cr_expect_str_eq(diffad_error_detail(), "read tensor f32 [2,3]: 28 bytes given, 24 needed");
    cr_expect_eq(stub_count(STUB_ANY), calls);
    diffad_tensor_destroy(t);
    dev_done(dev);
}

Test(tensor, impossible_tensors_are_refused)
{
    static const struct { diffad_dtype type; diffad_shape shape; diffad_status want; } rows[] = {
        { DIFFAD_F64, { 1, { 4 } }, DIFFAD_ERR_USAGE },
        { DIFFAD_I64, { 1, { 4 } }, DIFFAD_ERR_USAGE },
        { DIFFAD_F32, { 3, { INT64_MAX, 2, 2 } }, DIFFAD_ERR_SHAPE },
        { DIFFAD_F32, { 1, { INT64_MAX / 4 } }, DIFFAD_ERR_SHAPE },
        { DIFFAD_F32, { 2, { 4, -1 } }, DIFFAD_ERR_SHAPE },
        { DIFFAD_F32, { 1, { (int64_t)1 << 40 } }, DIFFAD_ERR_MEMORY },
    };
    on_stub();
    diffad_device *dev = dev_new();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        diffad_tensor *t = NULL;
        cr_expect_eq(diffad_tensor_create(dev, rows[i].type, &rows[i].shape, &t), rows[i].want, "row %zu: %s", i,
                     diffad_error_detail());
        cr_expect(!t && *diffad_error_detail());
    }
    cr_expect_eq(stub_count(STUB_CreateBuffer), 0);
    dev_done(dev);
}

Test(tensor, every_write_makes_a_new_version)
{
    on_stub();
    diffad_device *dev = dev_new();
    diffad_tensor *t   = tensor_new(dev, diffad_shape1(2));
    float          x[2] = { 1, 2 };
    const uint64_t v   = t->version;
    tensor_put(t, x, 2);
    cr_expect_eq(t->version, v + 1);
    cr_assert_eq(diffad_tensor_write_later(t, x, sizeof x), DIFFAD_OK);
    cr_expect_eq(t->version, v + 2);
    tensor_get(t, x, 2);
    cr_expect_eq(t->version, v + 2);
    diffad_tensor_destroy(t);
    dev_done(dev);
}

Test(tensor, failures_leave_nothing_and_name_the_shape)
{
    on_stub();
    diffad_device     *dev = dev_new();
    const diffad_shape s = diffad_shape2(3, 5);
    fault_install();
    for (int n = 1; n < 4; n++) {
        diffad_tensor *t      = NULL;
        const int64_t  before = stub_live();
        if (n < 3)
            stub_fail(STUB_ANY, n, false, CL_MEM_OBJECT_ALLOCATION_FAILURE);
        else
            fault_arm(FAULT_ALLOC, 1, false);
        cr_expect_eq(diffad_tensor_create(dev, DIFFAD_F32, &s, &t), DIFFAD_ERR_MEMORY);
        fault_disarm();
        stub_fail_never();
        cr_expect(!t && (n == 3 || strstr(diffad_error_detail(), "tensor [3,5]")), "%s", diffad_error_detail());
        cr_expect_eq(stub_live(), before);
        cr_expect_eq(fault_live_blocks(), 0);
        cr_expect_eq(diffad_device_bytes(dev), 0);
    }
    dev_done(dev);
}

Test(tensor, a_lost_device_is_an_error_at_once_and_later)
{
    on_stub();
    diffad_device *dev = dev_new();
    diffad_tensor *t   = tensor_new(dev, diffad_shape1(2));
    float          x[2] = { 1, 2 };
    stub_fail(STUB_EnqueueReadBuffer, 1, false, CL_OUT_OF_RESOURCES);
    cr_expect_eq(diffad_tensor_read(t, x, sizeof x), DIFFAD_ERR_DEVICE);
    const int64_t calls = stub_count(STUB_ANY);
    cr_expect_eq(diffad_tensor_read(t, x, sizeof x), DIFFAD_ERR_DEVICE);
    cr_expect_eq(diffad_tensor_write(t, x, sizeof x), DIFFAD_ERR_DEVICE);
    diffad_tensor_destroy(t);
    diffad_device_close(dev);
    cr_expect_eq(stub_count(STUB_ANY), calls);
}
