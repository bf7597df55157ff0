/* test_device.c: choosing, limits, errors and life of devices (src/device), on a stand-in driver. */
#include "base/fail.h"
#include "base/sys.h"
#include "device/device.h"
#include "support/fault.h"
#include "support/stub_cl.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void three_devices(void)
{
    stub_device d[3] = { stub_device_default(), stub_device_default(), stub_device_default() };
    d[1].platform = d[2].platform = "NVIDIA CUDA";
    d[1].name = "GeForce RTX 9000";
    d[2].name = "GeForce RTX 9000 Ti";
    d[1].vendor = d[2].vendor = "NVIDIA Corporation";
    d[1].type = d[2].type = CL_DEVICE_TYPE_GPU;
    d[1].is_unified = true;
    d[2].is_unified = false;
    stub_devices(d, 3);
}

static void set_up(void)
{
    unsetenv("DIFFAD_DEVICE");
    unsetenv("DIFFAD_CAPS");
    unsetenv("DIFFAD_PROFILE");
    unsetenv("DIFFAD_WAIT_SECONDS");
    stub_install();
}

TestSuite(device, .init = set_up);

static const char *opened(const char *which)
{
    static char    id[16];
    diffad_device *dev = NULL;
    if (diffad_device_open(which, &dev) != DIFFAD_OK)
        return diffad_status_name(diffad_device_open(which, &dev));
    strcpy(id, diffad_device_caps(dev)->id);
    diffad_device_close(dev);
    cr_expect_eq(stub_live(), 0);
    return id;
}

static bool has_amx(void) { return true; }
static bool has_no_amx(void) { return false; }

/* Its compiler must take assembler as it stands: PoCL's does. */
Test(device, amx_is_the_matrix_unit_of_pocls_cpu_alone_and_only_where_the_system_grants_it)
{
    static const struct { bool (*amx)(void); const char *platform; cl_device_type type; diffad_matrix want; } rows[] = {
        { has_amx, "Portable Computing Language", CL_DEVICE_TYPE_CPU, DIFFAD_MATRIX_INTEL_AMX },
        { has_no_amx, "Portable Computing Language", CL_DEVICE_TYPE_CPU, DIFFAD_MATRIX_NONE },
        { has_amx, "Portable Computing Language", CL_DEVICE_TYPE_GPU, DIFFAD_MATRIX_NONE },
        { has_amx, "Intel(R) OpenCL", CL_DEVICE_TYPE_CPU, DIFFAD_MATRIX_NONE },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        diffad_caps *list;
        int          count;
        stub_device  d = stub_device_default();
        d.platform = rows[i].platform;
        d.type     = rows[i].type;
        stub_devices(&d, 1);
        diffad_sys.amx = rows[i].amx;
        cr_assert_eq(diffad_device_list(&list, &count), DIFFAD_OK);
        cr_expect_eq(list[0].matrix, rows[i].want, "%s", rows[i].platform);
        cr_expect_not(list[0].matrix_is_plain);
        diffad_device_list_release(list);
    }
}

Test(device, is_chosen_by_id_kind_vendor_and_part_of_a_name)
{
    static const struct { const char *which, *id; } rows[] = {
        { NULL, "1:1" },              /* the discrete GPU before the integrated one and the CPU */
        { "", "1:1" },
        { "0:0", "0:0" },
        { "1:0", "1:0" },
        { "cpu", "0:0" },
        { "CPU", "0:0" },
        { "portable", "0:0" },        /* part of a platform's name */
        { "9000 ti", "1:1" },
        { "GeForce RTX 9000", "1:0" },        /* the whole of one name, part of another */
        { "gpu", "usage" },
        { "nvidia", "usage" },
        { "geforce", "usage" },
        { "radeon", "usage" },
        { "2:0", "usage" },
    };
    three_devices();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_str_eq(opened(rows[i].which), rows[i].id, "%s: %s instead of %s",
                         rows[i].which ? rows[i].which : "nothing", opened(rows[i].which), rows[i].id);
}

Test(device, an_ambiguous_or_unknown_choice_lists_the_candidates)
{
    diffad_device *dev = NULL;
    three_devices();

    cr_expect_eq(diffad_device_open("nvidia", &dev), DIFFAD_ERR_USAGE);
    cr_expect(strstr(diffad_error_detail(), "several") &&
                  strstr(diffad_error_detail(), "1:0 GeForce RTX 9000 (NVIDIA CUDA)") &&
                  strstr(diffad_error_detail(), "1:1") && !strstr(diffad_error_detail(), "0:0"),
              "%s", diffad_error_detail());
    cr_expect_eq(diffad_device_open("radeon", &dev), DIFFAD_ERR_USAGE);
    cr_expect(strstr(diffad_error_detail(), "none") && strstr(diffad_error_detail(), "0:0") &&
                  strstr(diffad_error_detail(), "1:1"),
              "%s", diffad_error_detail());
    cr_expect_null(dev);
}

Test(device, the_environment_sets_the_default_and_an_argument_beats_it)
{
    three_devices();
    setenv("DIFFAD_DEVICE", "1:0", 1);

    cr_expect_str_eq(opened(NULL), "1:0");
    cr_expect_str_eq(opened(""), "1:0");
    cr_expect_str_eq(opened("cpu"), "0:0");
}

Test(device, no_platform_is_an_empty_list_and_a_refusal_to_open)
{
    diffad_device *dev  = NULL;
    diffad_caps   *list = NULL;
    int            count = -1;
    stub_devices(NULL, 0);

    cr_expect_eq(diffad_device_list(&list, &count), DIFFAD_OK);
    cr_expect_eq(count, 0);
    diffad_device_list_release(list);
    cr_expect_eq(diffad_device_open(NULL, &dev), DIFFAD_ERR_NO_DEVICE);
    cr_expect(strstr(diffad_error_detail(), "install a driver"), "%s", diffad_error_detail());
}

Test(device, a_platform_without_devices_is_passed_over)
{
    stub_device d[2] = { stub_device_default(), stub_device_default() };
    d[0].platform = "rusticl";
    d[0].name     = NULL;
    stub_devices(d, 2);

    cr_expect_str_eq(opened(NULL), "1:0");
}

Test(device, what_it_says_of_itself_arrives_in_the_right_units)
{
    diffad_caps *list;
    int          count;
    three_devices();

    cr_assert_eq(diffad_device_list(&list, &count), DIFFAD_OK);
    cr_assert_eq(count, 3);
    cr_expect_eq(list[0].base_align, 128, "the query answers 1024 bits");
    cr_expect_eq(list[0].kind, DIFFAD_DEVICE_CPU);
    cr_expect_eq(list[1].kind, DIFFAD_DEVICE_INTEGRATED);
    cr_expect_eq(list[2].kind, DIFFAD_DEVICE_GPU);
    cr_expect_eq(list[0].block, 16);
    cr_expect_eq(list[2].block, 1);
    cr_expect(list[0].has_fp64 && !list[0].has_fp16 && !list[0].has_subgroups);
    cr_expect_eq(list[0].max_alloc, 1u << 28);
    cr_expect_eq(list[0].native_float, 8);
    cr_expect_str_eq(list[2].id, "1:1");
    diffad_device_list_release(list);
}

Test(device, masks_take_away_and_never_add)
{
    diffad_device *dev;
    setenv("DIFFAD_CAPS", "local_mem=16384,max_wg=64,max_alloc=134217728,global_mem=99999999999,fp64=0,fp16=1,"
           "subgroups=1,block=8,cpu=0", 1);

    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    const diffad_caps *c = diffad_device_caps(dev);
    cr_expect_eq(c->local_mem, 16384);
    cr_expect_eq(c->max_group, 64);
    cr_expect_eq(c->max_group_side[2], 64);
    cr_expect_eq(c->max_alloc, 134217728);
    cr_expect_eq(c->global_mem, 1u << 30, "a mask above the device's own memory");
    cr_expect(!c->has_fp64 && !c->has_fp16 && !c->has_subgroups && !c->local_mem_is_cheap);
    cr_expect_eq(c->block, 8);
    diffad_device_close(dev);
}

Test(device, masks_that_mean_nothing_are_errors)
{
    static const char *const bad[] = {
        "speed=1",      "local_mem",
        "local_mem=",   "local_mem=x",
        "block=3",      "max_wg=0",
        "max_alloc=-5", "=",
        "fp16=1.5",     "a_name_that_is_much_longer_than_any_that_there_is_in_the_whole_list=1"
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        diffad_device *dev = NULL;
        setenv("DIFFAD_CAPS", bad[i], 1);
        cr_expect_eq(diffad_device_open(NULL, &dev), DIFFAD_ERR_USAGE, "%s was taken", bad[i]);
        cr_expect(strstr(diffad_error_detail(), "DIFFAD_CAPS"), "%s", diffad_error_detail());
        cr_expect_eq(stub_live(), 0);
    }
}

Test(device, rows_of_known_faults_apply_to_their_platform_alone)
{
    stub_device  d[2] = { stub_device_default(), stub_device_default() };
    diffad_caps *list;
    int          count;
    d[0].platform   = "rusticl";
    d[0].extensions = d[1].extensions = "cl_khr_fp16";
    stub_devices(d, 2);

    cr_assert_eq(diffad_device_list(&list, &count), DIFFAD_OK);
    cr_expect_eq(list[0].block, 1, "Mesa's blocked convolutions are wrong");
    cr_expect_eq(list[1].block, 16);
    diffad_caps caps = list[1];
    strcpy(caps.platform, "Clover");
    cr_expect_not_null(diffad_quirks_apply(&caps));
    cr_expect(!caps.has_fp16 && list[1].has_fp16);
    strcpy(caps.platform, "another");
    cr_expect_null(diffad_quirks_apply(&caps));
    cr_expect(list[1].caches_programs && !list[0].caches_programs, "PoCL does");
    setenv("POCL_KERNEL_CACHE", "0", 1);
    diffad_quirks_apply(&list[1]);
    cr_expect(!list[1].caches_programs, "its cache is switched off");
    diffad_device_list_release(list);
}

Test(device, absurd_answers_lead_to_refusals_and_not_to_crashes)
{
    static const uint64_t values[] = { 0, 1, 255, UINT64_MAX };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        stub_device    d   = stub_device_default();
        diffad_device *dev = NULL;
        cl_mem         m   = NULL;
        d.global_mem = d.max_alloc = d.local_mem = d.max_group = d.max_parameter_bytes = values[i];
        d.base_align_bits = (uint32_t)values[i];
        d.max_group_side[0] = values[i];
        d.name   = "a name with\na newline and \x1b[31m colour";
        d.vendor = "";
        stub_devices(&d, 1);
        cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK);
        cr_expect_eq(diffad_buffer_create(dev, (size_t)1 << 62, &m), DIFFAD_ERR_MEMORY);
        cr_expect(!strchr(diffad_error_detail(), '\n') && !strchr(diffad_error_detail(), '\x1b'));
        diffad_device_close(dev);
    }
    cr_expect_eq(stub_live(), 0);
}

Test(device, buffers_over_the_limits_never_reach_the_driver)
{
    diffad_device *dev;
    cl_mem         a = NULL, b = NULL;
    setenv("DIFFAD_CAPS", "max_alloc=1000,global_mem=1500", 1);
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK);

    cr_expect_eq(diffad_buffer_create(dev, 1001, &a), DIFFAD_ERR_MEMORY);
    cr_expect_eq(diffad_buffer_create(dev, SIZE_MAX, &a), DIFFAD_ERR_MEMORY);
    cr_expect_eq(stub_count(STUB_CreateBuffer), 0);
    cr_assert_eq(diffad_buffer_create(dev, 1000, &a), DIFFAD_OK);
    cr_expect_eq(diffad_buffer_create(dev, 501, &b), DIFFAD_ERR_MEMORY);
    cr_expect_eq(stub_count(STUB_CreateBuffer), 1);
    cr_expect_eq(diffad_device_bytes(dev), 1000);
    cr_expect_eq(diffad_device_live_objects(dev), 1);
    diffad_buffer_release(dev, a, 1000);
    cr_expect_eq(diffad_device_bytes(dev), 0);
    cr_expect_eq(diffad_device_peak_bytes(dev), 1000);
    cr_expect_eq(diffad_device_live_objects(dev), 0);
    diffad_device_close(dev);
    cr_expect_eq(stub_live(), 0);
}

static char warning[300];
static void keep_warning(void *user, diffad_log_level level, const char *line)
{
    (void)user;
    if (level == DIFFAD_LOG_WARNING)
        strncpy(warning, line, sizeof warning - 1);
}

Test(device, closing_with_objects_alive_is_a_warning)
{
    diffad_device *dev;
    cl_mem         m;
    diffad_log_to(keep_warning, NULL);
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK);
    cr_assert_eq(diffad_buffer_create(dev, 8, &m), DIFFAD_OK);

    diffad_device_close(dev);

    cr_expect(strstr(warning, "1 OpenCL objects still alive"), "%s", warning);
}

Test(device, after_a_fatal_error_no_call_reaches_the_driver)
{
    diffad_device *dev;
    cl_mem         m = NULL;
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK);
    cr_assert_eq(diffad_buffer_create(dev, 64, &m), DIFFAD_OK);
    stub_fail(STUB_Finish, 1, false, CL_OUT_OF_RESOURCES);
    cr_expect_eq(diffad_device_wait(dev), DIFFAD_ERR_DEVICE);
    cr_expect(strstr(diffad_error_detail(), "CL_OUT_OF_RESOURCES"), "%s", diffad_error_detail());
    const int64_t calls = stub_count(STUB_ANY);
    cl_mem        other = NULL;

    cr_expect_eq(diffad_device_wait(dev), DIFFAD_ERR_DEVICE);
    cr_expect_eq(diffad_buffer_create(dev, 64, &other), DIFFAD_ERR_DEVICE);
    cr_expect_eq(diffad_buffer_zero(dev, m, 0, 64), DIFFAD_ERR_DEVICE);
    diffad_buffer_release(dev, m, 64);
    diffad_device_close(dev);
    cr_expect_eq(stub_count(STUB_ANY), calls);
}

/* ---- a limit on waits ---- */

static uint64_t now_ns;
static uint64_t clock_of_test(void) { return now_ns += 1000; }
static void     nap_of_test(uint64_t ns) { now_ns += ns; }

static diffad_device *open_waiting(const char *which, const char *seconds)
{
    diffad_device *dev = NULL;
    three_devices();
    now_ns = 0;
    diffad_sys.monotonic_ns = clock_of_test;
    diffad_sys.nap          = nap_of_test;
    if (seconds)
        setenv("DIFFAD_WAIT_SECONDS", seconds, 1);
    cr_assert_eq(diffad_device_open_unprobed(which, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    return dev;
}

Test(device, a_hang_ends_after_the_limit_and_no_further_call_reaches_the_driver)
{
    static const struct { const char *which, *seconds; double limit; } rows[] = { { "1:1", NULL, 600 }, { "1:1", "2.5", 2.5 }, { "cpu", "30", 30 } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        diffad_device *dev = open_waiting(rows[i].which, rows[i].seconds);
        const int64_t  events = stub_live_events();      /* a device that hangs leaves its marker, on purpose */
        cr_expect_eq(diffad_device_wait(dev), DIFFAD_OK);
        cr_expect_eq(stub_live_events(), events);
        stub_hang(true);
        now_ns = 0;

        cr_expect_eq(diffad_device_wait(dev), DIFFAD_ERR_DEVICE);
        cr_expect(strstr(diffad_error_detail(), "hangs") && strstr(diffad_error_detail(), "DIFFAD_WAIT_SECONDS"), "%s", diffad_error_detail());
        cr_expect(now_ns > rows[i].limit * 1e9 && now_ns < rows[i].limit * 1.01e9, "waited %g s", now_ns * 1e-9);
        stub_hang(false);
        const int64_t calls = stub_count(STUB_ANY);
        cr_expect_eq(diffad_device_settle(dev), DIFFAD_ERR_DEVICE);
        diffad_device_close(dev);
        cr_expect_eq(stub_count(STUB_ANY), calls);
        stub_install();
    }
}

Test(device, waits_without_a_limit_are_the_drivers)
{
    static const struct { const char *which, *seconds; } rows[] = { { "cpu", NULL }, { "1:1", "0" } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        diffad_device *dev = open_waiting(rows[i].which, rows[i].seconds);
        stub_hang(true);
        cr_expect_eq(diffad_device_wait(dev), DIFFAD_OK);
        cr_expect_eq(stub_count(STUB_EnqueueMarkerWithWaitList), 0);
        stub_hang(false);
        diffad_device_close(dev);
    }
    diffad_device *dev = NULL;
    setenv("DIFFAD_WAIT_SECONDS", "soon", 1);
    cr_expect_eq(diffad_device_open_unprobed("1:1", &dev), DIFFAD_ERR_USAGE);
    cr_expect(strstr(diffad_error_detail(), "soon"), "%s", diffad_error_detail());
}

Test(device, a_failing_call_of_a_wait_with_a_limit_is_a_status)
{
    for (int n = 1;; n++) {
        diffad_device *dev = open_waiting("1:1", NULL);
        stub_fail(STUB_ANY, n, false, CL_OUT_OF_HOST_MEMORY);
        const diffad_status st = diffad_device_wait(dev);
        const bool          is_met = stub_met();
        stub_fail_never();
        cr_expect(st == DIFFAD_OK ? !is_met || n > 3 : st == DIFFAD_ERR_MEMORY, "call %d: %d", n, st);
        cr_expect_eq(stub_live_events(), 0);
        diffad_device_close(dev);
        if (!is_met)
            break;
    }
}

Test(device, every_failing_call_of_opening_is_a_status_and_leaves_nothing)
{
    const cl_int codes[] = { CL_OUT_OF_HOST_MEMORY, CL_OUT_OF_RESOURCES, -9999, -1001, CL_DEVICE_NOT_AVAILABLE };
    for (size_t c = 0; c < sizeof codes / sizeof codes[0]; c++)
        for (int lasting = 0; lasting < 2; lasting++)
            for (int n = 1;; n++) {
                diffad_device *dev    = NULL;
                const int64_t  before = stub_live();      /* a device that broke leaves its objects, on purpose */
                stub_fail(STUB_ANY, n, lasting, codes[c]);
                const diffad_status st = diffad_device_open(NULL, &dev);
                stub_fail_never();
                if (st == DIFFAD_OK)
                    diffad_device_close(dev);
                else
                    cr_expect(!dev && *diffad_error_detail());
                if (!stub_met())
                    break;
                if (codes[c] == CL_OUT_OF_HOST_MEMORY)
                    cr_expect_eq(stub_live(), before, "%s number %d leaves objects", stub_met_name(), n);
            }
    cr_expect_eq(stub_misuses(), 0, "%s", stub_misuse());
}

Test(device, every_failing_allocation_of_opening_is_a_status_and_leaves_nothing)
{
    fault_install();
    for (int n = 1; fault_arm(FAULT_ALLOC, n, false); n++) {
        diffad_device *dev  = NULL;
        diffad_caps   *list = NULL;
        int            count = -1;
        const diffad_status st = diffad_device_open(NULL, &dev), listed = diffad_device_list(&list, &count);
        fault_disarm();
        cr_expect(st == DIFFAD_OK || st == DIFFAD_ERR_MEMORY);
        cr_expect((listed == DIFFAD_OK) == (list != NULL) && (listed == DIFFAD_OK) == (count >= 0));
        diffad_device_close(dev);
        diffad_device_list_release(list);
        cr_expect_eq(fault_live_blocks(), 0, "allocation %d leaves %d blocks", n, (int)fault_live_blocks());
        cr_expect_eq(stub_live(), 0);
    }
}
