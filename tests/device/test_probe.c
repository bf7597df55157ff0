/* test_probe.c: a device of an unknown platform is tried in a child process (src/device/probe.c). */
#include "base/sys.h"
#include "device/device.h"
#include "support/stub_cl.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Criterion's own threads are not looked at; a test that wants one says so. */
static bool has_second_thread;
static int (*real_list)(const char *path, bool (*each)(void *user, const char *name), void *user);
static int one_thread(const char *path, bool (*each)(void *user, const char *name), void *user)
{
    if (strcmp(path, "/proc/self/task") != 0)
        return real_list(path, each, user);
    each(user, "1");
    if (has_second_thread)
        each(user, "2");
    return 0;
}

static void alone(void)
{
    real_list       = diffad_sys.list;
    diffad_sys.list = one_thread;
}

static void one_device(const char *platform)
{
    alone();
    stub_device d = stub_device_default();
    d.platform = platform;
    stub_install();
    stub_devices(&d, 1);
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1);      /* drivers from elsewhere: a probe is due */
    setenv("DIFFAD_PROBE", "2", 1);
    unsetenv("DIFFAD_DEVICE");
    unsetenv("DIFFAD_CAPS");
}

static void crash(stub_call call)
{
    if (call == STUB_BuildProgram)
        abort();
}

static void exit_like_llvm(stub_call call)
{
    if (call == STUB_BuildProgram)
        _exit(1);
}

static void hang(stub_call call)
{
    const struct timespec nap = { 60, 0 };
    if (call == STUB_EnqueueNDRangeKernel)
        nanosleep(&nap, NULL);
}

static void crash_at_once(stub_call call)
{
    if (call == STUB_GetPlatformIDs)
        raise(SIGSEGV);
}

static void expect_refused(const char *reason)
{
    diffad_device *dev = NULL;
    cr_expect_eq(diffad_device_open(NULL, &dev), DIFFAD_ERR_DEVICE);
    cr_expect_null(dev);
    cr_expect(strstr(diffad_error_detail(), reason) && strstr(diffad_error_detail(), "DIFFAD_PROBE=0"), "%s",
              diffad_error_detail());
    cr_expect_eq(stub_count(STUB_ANY), 0, "the parent called the driver");
    int status;
    cr_expect_eq(waitpid(-1, &status, WNOHANG), -1, "a child is left");
}

Test(probe, wrong_results_are_a_refusal)
{
    one_device("Brand new OpenCL");
    expect_refused("computed wrong values on 0:0 stub (Brand new OpenCL)");      /* the stub runs no kernel */
}

Test(probe, a_crash_is_a_refusal)
{
    one_device("Brand new OpenCL");
    stub_before(crash);
    expect_refused("building a kernel on 0:0 stub (Brand new OpenCL) crashed with signal 6");
}

Test(probe, a_driver_that_ends_the_process_is_refused)
{
    one_device("Brand new OpenCL");
    stub_before(exit_like_llvm);
    expect_refused("building a kernel on");
}

Test(probe, a_hang_is_a_refusal_after_the_limit)
{
    one_device("Brand new OpenCL");
    stub_before(hang);
    const uint64_t start = diffad_sys.monotonic_ns();
    expect_refused("running a kernel on 0:0 stub (Brand new OpenCL) did not end within 2 s");
    cr_expect_lt((double)(diffad_sys.monotonic_ns() - start) * 1e-9, 10);
}

Test(probe, a_crash_while_devices_are_listed_is_a_refusal)
{
    one_device("Brand new OpenCL");
    stub_before(crash_at_once);
    expect_refused("listing or opening OpenCL devices crashed with signal 11");
}

Test(probe, an_error_code_is_a_refusal_that_names_it)
{
    one_device("Brand new OpenCL");
    stub_fail(STUB_BuildProgram, 1, false, CL_BUILD_PROGRAM_FAILURE);
    expect_refused("building a kernel on 0:0 stub (Brand new OpenCL) gave CL_BUILD_PROGRAM_FAILURE (-11)");
}

Test(probe, known_platforms_are_taken_as_they_are)
{
    diffad_device *dev = NULL;
    one_device("NVIDIA CUDA");
    cr_expect_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_device_close(dev);
}

Test(probe, can_be_switched_off_and_limited)
{
    diffad_device *dev = NULL;
    one_device("Brand new OpenCL");
    setenv("DIFFAD_PROBE", "soon", 1);
    cr_expect_eq(diffad_device_open(NULL, &dev), DIFFAD_ERR_USAGE);
    setenv("DIFFAD_PROBE", "0", 1);
    cr_expect_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_device_close(dev);
}

Test(probe, is_left_out_once_opencl_was_used_in_the_process)
{
    diffad_device *dev = NULL;
    diffad_caps   *list;
    int            count;
    one_device("Brand new OpenCL");
    cr_assert_eq(diffad_device_list(&list, &count), DIFFAD_OK);
    diffad_device_list_release(list);
    cr_expect_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_device_close(dev);
}

Test(probe, is_left_out_with_other_threads_about)
{
    diffad_device *dev = NULL;
    one_device("Brand new OpenCL");
    has_second_thread = true;
    cr_expect_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_device_close(dev);
}

/* The real driver under another name. */
static __typeof__(clGetPlatformInfo) *real_info;
static cl_int CL_API_CALL renamed(cl_platform_id p, cl_platform_info what, size_t room, void *out, size_t *size)
{
    const cl_int code = real_info(p, what, room, out, size);
    if (code == CL_SUCCESS && what == CL_PLATFORM_NAME && out)
        strcpy(out, "Never heard of");
    return code;
}

Test(probe, a_working_device_of_an_unknown_platform_passes)
{
    diffad_device *dev = NULL;
    unsetenv("OCL_ICD_VENDORS");
    unsetenv("DIFFAD_PROBE");
    unsetenv("DIFFAD_DEVICE");
    setenv("OPENCL_VENDOR_PATH", "/etc/OpenCL/vendors", 1);
    alone();
    real_info = diffad_cl.GetPlatformInfo;
    diffad_cl.GetPlatformInfo = renamed;
    const diffad_status st = diffad_device_open(NULL, &dev);
    if (st == DIFFAD_ERR_NO_DEVICE)
        cr_skip_test("no device on this machine");
    cr_expect_eq(st, DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect_str_eq(diffad_device_caps(dev)->platform, "Never heard of");
    diffad_device_close(dev);
}
