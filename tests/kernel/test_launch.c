/* test_launch.c: launches: constants, arguments, limits (src/kernel/launch.c), on a stand-in driver. */
#include "kernel/launch.h"
#include "support/stub_cl.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static diffad_device     *dev;
static diffad_place       place[2];
static const uint8_t      element[2] = { 4, 2 };

static void open_stub(const stub_device *d)
{
    unsetenv("DIFFAD_DEVICE");
    unsetenv("DIFFAD_CAPS");
    setenv("DIFFAD_CACHE_DIR", "", 1);
    stub_install();
    if (d)
        stub_devices(d, 1);
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_buffer_create(dev, 4096, &place[0].buffer), DIFFAD_OK);
    place[1] = (diffad_place){ place[0].buffer, 512 };
}

static void done(void)
{
    diffad_buffer_release(dev, place[0].buffer, 4096);
    diffad_device_close(dev);
    cr_expect_eq(stub_live(), 0);
    cr_expect_eq(stub_misuses(), 0, "%s", stub_misuse());
}

static diffad_launch some(int64_t items, int64_t group)
{
    diffad_launch l = diffad_launch_make("unary", "unary_fwd", items, group);
    diffad_launch_def(&l, "VEC", 4);
    diffad_launch_def(&l, "F", 1);
    diffad_launch_mem(&l, 0, 3, DIFFAD_READ);
    diffad_launch_mem(&l, 1, 3, DIFFAD_WRITE);
    diffad_launch_count(&l, items);
    return l;
}

Test(launch, constants_are_sorted_so_that_their_order_makes_no_program)
{
    diffad_frozen a, b;
    open_stub(NULL);
    diffad_launch x = some(100, 64), y = diffad_launch_make("unary", "unary_fwd", 100, 64);
    diffad_launch_def(&y, "F", 1);
    diffad_launch_def(&y, "VEC", 4);

    cr_assert_eq(diffad_freeze(dev, &x, place, element, &a), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_freeze(dev, &y, place, element, &b), DIFFAD_OK, "%s", diffad_error_detail());

    cr_expect(a.program == b.program);
    cr_expect(strstr(stub_last_options(), "-DF=1 -DVEC=4 -DWG=64 -DWG1=1 -DWG2=1"), "%s", stub_last_options());
    diffad_frozen_release(dev, &a);
    diffad_frozen_release(dev, &b);
    done();
}

Test(launch, ranges_are_rounded_up_to_whole_groups)
{
    diffad_frozen f;
    open_stub(NULL);
    diffad_launch l = some(100, 64);
    diffad_launch_items(&l, 100, 5, 1);
    diffad_launch_group(&l, 64, 2, 1);

    cr_assert_eq(diffad_freeze(dev, &l, place, element, &f), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_frozen_enqueue(dev, &f, place, NULL), DIFFAD_OK);

    const stub_launch *seen = stub_launch_at(0);
    cr_expect_eq(seen->dims, 2);
    cr_expect(seen->global[0] == 128 && seen->global[1] == 6 && seen->local[0] == 64 && seen->local[1] == 2);
    diffad_frozen_release(dev, &f);
    done();
}

static void refuse(const diffad_launch *l, diffad_status want, const char *reason)
{
    diffad_frozen f = { 0 };
    const int64_t calls = stub_count(STUB_ANY);
    cr_expect_eq(diffad_freeze(dev, l, place, element, &f), want, "%s", diffad_error_detail());
    cr_expect(strstr(diffad_error_detail(), reason) && strstr(diffad_error_detail(), "unary_fwd"), "%s",
              diffad_error_detail());
    cr_expect_eq(stub_count(STUB_ANY), calls, "the driver was asked");
}

Test(launch, over_the_limits_is_refused_before_the_driver_sees_it)
{
    stub_device d = stub_device_default();
    d.local_mem           = 1000;
    d.max_group           = 64;
    d.max_group_side[0]   = 64;
    d.max_group_side[1]   = 32;
    d.max_group_side[2]   = 8;
    d.max_parameter_bytes = 60;
    open_stub(&d);

    diffad_launch l = some(1024, 128);
    refuse(&l, DIFFAD_ERR_UNSUPPORTED, "work-group side 0 is 128");
    l = some(1024, 32);
    diffad_launch_group(&l, 32, 4, 1);
    refuse(&l, DIFFAD_ERR_UNSUPPORTED, "work-group of 128");
    diffad_launch_group(&l, 1, 1, 16);
    refuse(&l, DIFFAD_ERR_UNSUPPORTED, "side 2");
    l = some(0, 32);
    refuse(&l, DIFFAD_ERR_UNSUPPORTED, "of 0 items");
    l = some(-5, 32);
    refuse(&l, DIFFAD_ERR_UNSUPPORTED, "items");
    l = some(64, 32);
    diffad_launch_local(&l, 1001);
    refuse(&l, DIFFAD_ERR_UNSUPPORTED, "1001 bytes of local memory");
    l = some(64, 32);
    for (int i = 0; i < 6; i++)
        diffad_launch_float(&l, 1);
    refuse(&l, DIFFAD_ERR_UNSUPPORTED, "64 bytes of arguments");
    l = some(64, 32);
    diffad_launch_int(&l, (int64_t)1 << 31);
    refuse(&l, DIFFAD_ERR_INTERNAL, "2^31");
    l = some(64, 32);
    for (int i = 0; i < 100; i++)
        diffad_launch_def(&l, "A", i);
    refuse(&l, DIFFAD_ERR_INTERNAL, "too many");
    l = some(64, 32);
    for (int i = 0; i < 100; i++)
        diffad_launch_count(&l, i);
    refuse(&l, DIFFAD_ERR_INTERNAL, "too many");
    done();
}

Test(launch, a_kernel_that_may_only_have_small_groups_is_refused)
{
    stub_device   d = stub_device_default();
    diffad_frozen f;
    d.kernel_group = 32;
    open_stub(&d);
    diffad_launch l = some(64, 64);

    cr_expect_eq(diffad_freeze(dev, &l, place, element, &f), DIFFAD_ERR_UNSUPPORTED);
    cr_expect(strstr(diffad_error_detail(), "allows this kernel 32"), "%s", diffad_error_detail());
    done();
}

static cl_ulong offsets[2];
static int      n_offsets;
static __typeof__(clSetKernelArg) *stub_set;
static cl_int CL_API_CALL keep_offsets(cl_kernel k, cl_uint i, size_t bytes, const void *value)
{
    if ((i == 1 || i == 3) && n_offsets < 2)
        memcpy(&offsets[n_offsets++], value, sizeof offsets[0]);
    return stub_set(k, i, bytes, value);
}

Test(launch, offsets_are_counted_in_elements)
{
    diffad_frozen f;
    open_stub(NULL);
    stub_set = diffad_cl.SetKernelArg;
    diffad_cl.SetKernelArg = keep_offsets;
    diffad_launch l = some(64, 64);

    cr_assert_eq(diffad_freeze(dev, &l, place, element, &f), DIFFAD_OK);

    cr_expect(offsets[0] == 3 && offsets[1] == 512 / 2 + 3, "%llu %llu", (unsigned long long)offsets[0],
              (unsigned long long)offsets[1]);
    diffad_frozen_release(dev, &f);
    done();
}

Test(launch, a_full_list_of_constants_still_makes_a_whole_key)
{
    diffad_frozen f, h;
    char          name[20][64];
    open_stub(NULL);
    diffad_launch a = diffad_launch_make("unary", "unary_fwd", 64, 64), b = a;
    for (int i = 0; i < 20; i++) {
        snprintf(name[i], sizeof name[i], "A_NAME_AS_LONG_AS_ANYONE_MIGHT_WRITE_%02d", i);
        diffad_launch_def(&a, name[i], 1);
        diffad_launch_def(&b, name[i], i == 19 ? 2 : 1);      /* differs in the last character only */
    }
    const diffad_status st = diffad_freeze(dev, &a, place, element, &f);
    if (st == DIFFAD_OK) {
        cr_assert_eq(diffad_freeze(dev, &b, place, element, &h), DIFFAD_OK);
        cr_expect(f.program != h.program);
        diffad_frozen_release(dev, &f);
        diffad_frozen_release(dev, &h);
    } else {
        cr_expect(strstr(diffad_error_detail(), "too many constants"), "%s", diffad_error_detail());
    }
    done();
}

Test(launch, failing_calls_while_freezing_leave_nothing)
{
    open_stub(NULL);
    diffad_launch l = some(64, 64);
    for (int n = 1;; n++) {
        diffad_frozen f      = { 0 };
        const int64_t before = stub_live();
        stub_fail(STUB_ANY, n, false, CL_OUT_OF_HOST_MEMORY);
        const diffad_status st = diffad_freeze(dev, &l, place, element, &f);
        stub_fail_never();
        cr_expect(st == DIFFAD_OK || st == DIFFAD_ERR_MEMORY, "%s: %s", stub_met_name(), diffad_error_detail());
        diffad_frozen_release(dev, &f);
        cr_expect_leq(stub_live(), before + 1, "%s number %d", stub_met_name(), n);      /* the program stays */
        if (!stub_met())
            break;
    }
    done();
}

Test(launch, constants_are_in_order_and_name_a_sub_group_only_where_the_device_wants_one)
{
    diffad_launch l = diffad_launch_make("silu", "silu_fwd", 64, 32);
    diffad_caps   caps = { .sub_group = 0 };
    char          text[256];
    diffad_launch_def(&l, "VEC", 4);

    cr_assert_eq(diffad_launch_constants(&l, &caps, text, sizeof text), DIFFAD_OK);
    cr_expect_str_eq(text, "-DVEC=4 -DWG=32 -DWG1=1 -DWG2=1");
    caps.sub_group = 16;
    cr_assert_eq(diffad_launch_constants(&l, &caps, text, sizeof text), DIFFAD_OK);
    cr_expect_str_eq(text, "-DSUB_GROUP=16 -DVEC=4 -DWG=32 -DWG1=1 -DWG2=1");
}
