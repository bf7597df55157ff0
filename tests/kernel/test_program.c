/* test_program.c: programs by key, and their cache on disk (src/kernel/program.c, disk_cache.c), on a stand-in
 * driver. */
#include "kernel/launch.h"
#include "support/fault.h"
#include "support/folder.h"
#include "support/stub_cl.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *cache;

static void set_up(void)
{
    unsetenv("DIFFAD_DEVICE");
    unsetenv("DIFFAD_CAPS");
    unsetenv("DIFFAD_CL_DIR");
    unsetenv("DIFFAD_CL_FLAGS");
    stub_install();
    cache = folder_new();
    setenv("DIFFAD_CACHE_DIR", cache, 1);
    setenv("POCL_KERNEL_CACHE", "0", 1);      /* else it keeps programs, and we do not */
}

TestSuite(program, .init = set_up);

static diffad_device *open_device(void)
{
    diffad_device *dev = NULL;
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    return dev;
}

static diffad_program *get(diffad_device *dev, const char *defines)
{
    diffad_program *p = NULL;
    cr_assert_eq(diffad_program_get(dev, "unary", defines, &p), DIFFAD_OK, "%s", diffad_error_detail());
    return p;
}

static void close_device(diffad_device *dev)
{
    diffad_device_close(dev);
    cr_expect_eq(stub_live(), 0);
    cr_expect_eq(stub_misuses(), 0, "%s", stub_misuse());
}

/* A process of its own: one program, kept on disk. */
static diffad_program_stats another_process(void)
{
    diffad_device *dev = open_device();
    diffad_program_store(get(dev, "-DVEC=4"));
    const diffad_program_stats s = diffad_program_statistics(dev);
    close_device(dev);
    return s;
}

/* The path of the only entry; "" when there is none. */
static const char *entry(void)
{
    static char    path[600];
    struct dirent *e;
    DIR           *d = opendir(cache);
    path[0] = '\0';
    while (d && (e = readdir(d)))
        if (strstr(e->d_name, ".bin"))
            snprintf(path, sizeof path, "%s/%s", cache, e->d_name);
    if (d)
        closedir(d);
    return path;
}

Test(program, is_built_once_for_a_file_and_its_constants)
{
    diffad_device  *dev = open_device();
    diffad_program *a = get(dev, "-DVEC=4 -DWG=64"), *b = get(dev, "-DVEC=4 -DWG=64"), *c = get(dev, "-DVEC=1 -DWG=64");

    cr_expect(a == b && a != c);
    cr_expect_eq(stub_count(STUB_BuildProgram), 2);
    cr_expect_eq(diffad_program_statistics(dev).built, 2);
    cr_expect_eq(diffad_device_live_objects(dev), 2);
    close_device(dev);
}

Test(program, options_hold_the_constants_and_the_users_flags)
{
    diffad_device *dev = open_device();
    setenv("DIFFAD_CL_FLAGS", "-DMINE=1", 1);

    get(dev, "-DVEC=4");

    cr_expect_str_eq(stub_last_options(), "-cl-std=CL1.2 -w -DVEC=4 -DMINE=1");
    close_device(dev);
}

Test(program, flags_too_long_to_pass_are_refused_and_not_cut)
{
    diffad_device  *dev = open_device();
    diffad_program *p = NULL;
    char            flags[3000];
    memset(flags, ' ', sizeof flags - 1);
    flags[sizeof flags - 1] = '\0';
    setenv("DIFFAD_CL_FLAGS", flags, 1);

    cr_expect_eq(diffad_program_get(dev, "unary", "", &p), DIFFAD_ERR_USAGE);
    cr_expect(strstr(diffad_error_detail(), "DIFFAD_CL_FLAGS"), "%s", diffad_error_detail());
    close_device(dev);
}

Test(program, a_failing_build_says_which_and_keeps_the_drivers_log)
{
    diffad_device  *dev = open_device();
    diffad_program *p = NULL;
    stub_build_fails("unary.cl:3: error: no such thing\nunary.cl:9: error: nor this\n");

    cr_expect_eq(diffad_program_get(dev, "unary", "-DVEC=4", &p), DIFFAD_ERR_DEVICE);
    cr_expect(strstr(diffad_error_detail(), "unary.cl") && strstr(diffad_error_detail(), "-DVEC=4") &&
                  !strchr(diffad_error_detail(), '\n'),
              "%s", diffad_error_detail());
    cr_expect_str_eq(diffad_error_log(), "unary.cl:3: error: no such thing\nunary.cl:9: error: nor this\n");
    stub_build_fails(NULL);
    cr_expect_not_null(get(dev, "-DVEC=4"), "a failure is not remembered as a program");
    close_device(dev);
}

Test(program, a_kernel_that_is_not_there_is_an_error_that_names_it)
{
    diffad_device  *dev = open_device();
    diffad_program *p = NULL;
    cl_kernel       k;
    const char     *dir = folder_new();
    FILE           *f = fopen(folder_path(dir, "mine.cl"), "w");
    fputs("__kernel void one(void) {}\n", f);
    fclose(f);
    setenv("DIFFAD_CL_DIR", dir, 1);

    cr_assert_eq(diffad_program_get(dev, "mine", "", &p), DIFFAD_OK);
    cr_expect_eq(diffad_program_kernel(p, "two", &k), DIFFAD_ERR_DEVICE);
    cr_expect(strstr(diffad_error_detail(), "kernel two of mine") && strstr(diffad_error_detail(), "CL_INVALID_KERNEL_"
                                                                                                   "NAME"),
              "%s", diffad_error_detail());
    close_device(dev);
}

/* ---- bundles ---- */

/* Asks for the first n of some programs at once, then for each. */
static void bundle(diffad_device *dev, int n)
{
    static const char *const defines[] = { "-DVEC=1", "-DVEC=2", "-DVEC=4", "-DVEC=8", "-DVEC=16" };
    diffad_program_list list = { .count = 0 };
    for (int i = 0; i < n; i++)
        diffad_program_wish(dev, &list, "unary", defines[i]);
    diffad_program_wish(dev, &list, "unary", defines[0]);
    cr_assert_eq(diffad_program_bundle(dev, &list), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect(!list.key && !list.count);
    for (int i = 0; i < n; i++) {
        cl_kernel k = NULL;
        cr_assert_eq(diffad_program_kernel(get(dev, defines[i]), "unary_fwd", &k), DIFFAD_OK, "%s", diffad_error_detail());
        diffad_cl.ReleaseKernel(k);
        dev->live--;
    }
}

static diffad_device *open_kind(cl_device_type kind)
{
    stub_device d = stub_device_default();
    d.type = kind;
    stub_devices(&d, 1);
    return open_device();
}

Test(program, what_a_plan_lacks_is_one_program_on_a_cpu)
{
    diffad_device *dev = open_kind(CL_DEVICE_TYPE_CPU);

    bundle(dev, 5);
    cr_expect_eq(stub_count(STUB_BuildProgram), 1);
    cr_expect_eq(diffad_device_live_objects(dev), 1);
    diffad_program_store(get(dev, "-DVEC=4"));
    diffad_program_store(get(dev, "-DVEC=8"));
    cr_expect_eq(folder_count(cache), 1, "an entry for all of them");
    bundle(dev, 5);
    cr_expect_eq(stub_count(STUB_BuildProgram), 1, "all were there");
    close_device(dev);
    dev = open_device();
    bundle(dev, 5);
    cr_expect_eq(diffad_program_statistics(dev).from_disk, 1);
    close_device(dev);
}

Test(program, few_programs_and_those_of_a_gpu_stay_apart)
{
    diffad_device *cpu = open_kind(CL_DEVICE_TYPE_CPU);
    bundle(cpu, 3);
    cr_expect_eq(stub_count(STUB_BuildProgram), 3);
    close_device(cpu);
    stub_reset();
    diffad_device *gpu = open_kind(CL_DEVICE_TYPE_GPU);
    bundle(gpu, 5);
    cr_expect_eq(stub_count(STUB_BuildProgram), 5);
    close_device(gpu);
}

Test(program, a_bundle_that_does_not_compile_is_built_one_by_one)
{
    diffad_device *dev = open_kind(CL_DEVICE_TYPE_CPU);
    stub_fail(STUB_BuildProgram, 1, false, CL_BUILD_PROGRAM_FAILURE);

    bundle(dev, 5);

    cr_expect(stub_met());
    cr_expect_eq(diffad_program_statistics(dev).built, 5);
    close_device(dev);
}

Test(program, a_device_that_breaks_under_a_bundle_is_an_error)
{
    diffad_device      *dev = open_kind(CL_DEVICE_TYPE_CPU);
    diffad_program_list list = { .count = 0 };
    static const char *const files[] = { "unary", "binary", "fill", "pad" };
    for (int i = 0; i < 4; i++)
        diffad_program_wish(dev, &list, files[i], "-DVEC=1");
    stub_fail(STUB_BuildProgram, 1, false, CL_OUT_OF_RESOURCES);

    cr_expect_eq(diffad_program_bundle(dev, &list), DIFFAD_ERR_DEVICE);

    cr_expect_eq(stub_count(STUB_BuildProgram), 1);
    diffad_device_close(dev);
}

Test(program, a_driver_that_keeps_programs_is_not_asked_for_binaries)
{
    unsetenv("POCL_KERNEL_CACHE");

    another_process();

    cr_expect_eq(stub_count(STUB_GetProgramInfo), 0);
    cr_expect_eq(folder_count(cache), 0);
}

/* ---- the cache on disk ---- */

Test(program, is_found_on_disk_by_the_next_process)
{
    const diffad_program_stats first = another_process(), second = another_process();

    cr_expect(first.built == 1 && first.from_disk == 0);
    cr_expect(second.built == 0 && second.from_disk == 1);
    cr_expect_eq(folder_count(cache), 1, "an entry and no temporary file");
}

Test(program, reaches_the_disk_only_after_its_first_launch)
{
    diffad_device *dev = open_device();
    get(dev, "-DVEC=4");
    close_device(dev);
    cr_expect_eq(folder_count(cache), 0);
}

Test(program, another_source_driver_or_flag_is_another_entry)
{
    stub_device d = stub_device_default();
    another_process();
    setenv("DIFFAD_CL_FLAGS", "-DX=1", 1);
    cr_expect_eq(another_process().from_disk, 0);
    unsetenv("DIFFAD_CL_FLAGS");
    d.name = "another stub";
    stub_devices(&d, 1);
    cr_expect_eq(another_process().from_disk, 0);
    cr_expect_eq(folder_count(cache), 3);
}

Test(program, damaged_entries_are_removed_and_built_again)
{
    struct stat whole;
    another_process();
    char path[600];
    strcpy(path, entry());
    cr_assert_eq(stat(path, &whole), 0);
    for (long size = 0; size < whole.st_size; size = size < 40 ? size + 1 : size + whole.st_size / 7) {
        cr_assert_eq(truncate(path, size), 0);
        cr_expect_eq(another_process().from_disk, 0, "%ld of %ld bytes were believed", size, (long)whole.st_size);
        cr_expect_eq(another_process().from_disk, 1, "not stored again");
    }
    for (long at = 0; at < whole.st_size; at = at < 40 ? at + 1 : at + whole.st_size / 7) {
        FILE *f = fopen(path, "r+b");
        fseek(f, at, SEEK_SET);
        const int c = fgetc(f);
        fseek(f, at, SEEK_SET);
        fputc(c ^ 4, f);
        fclose(f);
        cr_expect_eq(another_process().from_disk, 0, "a flipped bit of byte %ld was believed", at);
    }
    FILE *f = fopen(path, "ab");
    fputc(0, f);
    fclose(f);
    cr_expect_eq(another_process().from_disk, 0, "bytes behind the end were believed");
}

Test(program, a_binary_that_the_driver_refuses_is_built_again)
{
    another_process();
    for (int built = 0; built < 2; built++) {
        stub_reset();
        stub_fail(built ? STUB_BuildProgram : STUB_CreateProgramWithBinary, 1, false,
                  built ? CL_BUILD_PROGRAM_FAILURE : CL_INVALID_BINARY);
        const diffad_program_stats s = another_process();
        cr_expect(stub_met());
        cr_expect(s.built == 1 && s.from_disk == 0);
    }
}

Test(program, an_empty_cache_folder_name_switches_it_off)
{
    setenv("DIFFAD_CACHE_DIR", "", 1);
    setenv("HOME", cache, 1);
    unsetenv("XDG_CACHE_HOME");

    another_process();
    cr_expect_eq(another_process().from_disk, 0);
    cr_expect_eq(folder_count(cache), 0);
    cr_expect_eq(stub_count(STUB_GetProgramInfo), 0);
}

Test(program, lives_below_the_home_folder_by_default)
{
    char path[600];
    unsetenv("DIFFAD_CACHE_DIR");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", cache, 1);
    another_process();
    snprintf(path, sizeof path, "%s/.cache/diffad", cache);
    cr_expect_eq(folder_count(path), 1);
    setenv("XDG_CACHE_HOME", folder_path(cache, "xdg"), 1);
    another_process();
    snprintf(path, sizeof path, "%s/xdg/diffad", cache);
    cr_expect_eq(folder_count(path), 1);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    cr_expect_eq(another_process().built, 1, "without a home there is no cache, and no error");
}

Test(program, a_cache_that_cannot_be_written_is_no_error)
{
    setenv("DIFFAD_CACHE_DIR", "/proc/nowhere", 1);
    cr_expect_eq(another_process().built, 1);
    fault_install();
    setenv("DIFFAD_CACHE_DIR", cache, 1);
    for (int kind = FAULT_OPEN; kind < FAULT_KINDS; kind++)
        for (int n = 1; fault_arm(kind, n, true); n++) {
            diffad_device *dev = open_device();
            diffad_program_store(get(dev, "-DVEC=4"));
            fault_disarm();
            close_device(dev);
            cr_expect_eq(fault_live_blocks(), 0, "%s %d", fault_name(kind), n);
            cr_expect_eq(fault_open_files(), 0, "%s %d", fault_name(kind), n);
            cr_expect_leq(folder_count(cache), 1, "%s %d left a temporary file", fault_name(kind), n);
            if (*entry())
                unlink(entry());
        }
}

Test(program, many_processes_share_one_cache)
{
    enum { PROCESSES = 8, ROUNDS = 40 };
    pid_t child[PROCESSES];
    for (int i = 0; i < PROCESSES; i++)
        if ((child[i] = fork()) == 0) {
            int bad = 0;
            for (int k = 0; k < ROUNDS; k++) {
                const diffad_program_stats s = another_process();
                bad += s.built + s.from_disk != 1;
                if (i == 0)
                    unlink(entry());
            }
            _exit(bad || stub_misuses());
        }
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;
        waitpid(child[i], &status, 0);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "process %d: %d", i, status);
    }
    another_process();
    cr_expect_eq(folder_count(cache), 1, "temporary files are left");
    cr_expect_eq(another_process().from_disk, 1);
}

Test(program, the_cache_is_counted_and_cleared)
{
    int64_t entries, bytes;
    another_process();
    FILE *f = fopen(folder_path(cache, "not-ours.txt"), "w");
    fclose(f);

    cr_assert_eq(diffad_cache_scan(false, &entries, &bytes), DIFFAD_OK);
    cr_expect(entries == 1 && bytes > 24);
    cr_assert_eq(diffad_cache_scan(true, &entries, &bytes), DIFFAD_OK);
    cr_expect_eq(folder_count(cache), 1, "only our own entries go");
    cr_assert_eq(diffad_cache_scan(true, &entries, &bytes), DIFFAD_OK);
    cr_expect_eq(entries, 0);
}
