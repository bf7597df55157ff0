/* test_tuned.c: the table of tuned ways: stored and read, other devices' rows, broken files (src/kernel/tuned.c,
 * tuned_store.c). */
#include "kernel/tuned.h"
#include "base/file.h"
#include "device/device.h"
#include "support/dev.h"
#include "support/folder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char path[512];

/* A file that is not there yet, in force for devices opened from now on. */
static void use_new_file(void)
{
    snprintf(path, sizeof path, "%s/tuned.sqlite", folder_new());
    setenv("DIFFAD_TUNED", path, 1);
}

static void store(const diffad_caps *caps, const char *key, const char *best)
{
    const diffad_tuned_measure m = { .key = key, .usual = "portable", .best = best, .usual_us = 10, .best_us = 8 };
    cr_assert_eq(diffad_tuned_save(path, caps, &m, 1), DIFFAD_OK, "%s", diffad_error_detail());
}

Test(tuned, rows_are_found_after_they_were_stored_and_change_the_digest)
{
    use_new_file();
    diffad_device *dev = dev_new();
    char           before[32], first[32];
    snprintf(before, sizeof before, "%s", diffad_tuned_digest(diffad_tuned_of(dev)));

    store(diffad_device_caps(dev), "conv2d f32 1x2", "portable/2");
    store(diffad_device_caps(dev), "matmul f32 3", "tile");
    cr_expect_null(diffad_tuned_find(diffad_tuned_of(dev), "conv2d f32 1x2"), "read once a device");
    diffad_tuned_forget(dev);

    const diffad_tuned *t = diffad_tuned_of(dev);
    cr_expect_str_eq(diffad_tuned_find(t, "conv2d f32 1x2"), "portable/2");
    cr_expect_str_eq(diffad_tuned_find(t, "matmul f32 3"), "tile");
    cr_expect_null(diffad_tuned_find(t, "matmul f32 4"));
    cr_expect_eq(diffad_tuned_count(t) - diffad_tuned_shipped(t), 2);
    snprintf(first, sizeof first, "%s", diffad_tuned_digest(t));
    cr_expect_eq(strlen(first), 16);
    cr_expect_str_neq(first, before);
    store(diffad_device_caps(dev), "matmul f32 3", "tile/1");
    diffad_tuned_forget(dev);
    cr_expect_str_eq(diffad_tuned_find(diffad_tuned_of(dev), "matmul f32 3"), "tile/1");
    cr_expect_str_neq(diffad_tuned_digest(diffad_tuned_of(dev)), first);
    dev_done(dev);
}

Test(tuned, where_the_usual_way_was_the_fastest_there_is_no_row)
{
    use_new_file();
    diffad_device *dev = dev_new();
    store(diffad_device_caps(dev), "conv2d f32 1x2", "");

    cr_expect_null(diffad_tuned_find(diffad_tuned_of(dev), "conv2d f32 1x2"));
    dev_done(dev);
}

Test(tuned, rows_of_another_driver_device_or_number_of_cores_are_not_used)
{
    use_new_file();
    diffad_device *dev = dev_new();
    diffad_caps    driver = *diffad_device_caps(dev), name = driver, units = driver;
    strcat(driver.driver, ".1");
    strcat(name.name, " Ti");
    units.compute_units++;
    store(&driver, "conv2d a", "portable");
    store(&name, "conv2d b", "portable");
    store(&units, "conv2d c", "portable");

    const diffad_tuned *t = diffad_tuned_of(dev);

    cr_expect_null(diffad_tuned_find(t, "conv2d a"));
    cr_expect_null(diffad_tuned_find(t, "conv2d b"));
    cr_expect_null(diffad_tuned_find(t, "conv2d c"));
    dev_done(dev);
}

Test(tuned, without_a_table_nothing_is_found_and_no_file_appears)
{
    use_new_file();
    diffad_device *dev = dev_new();
    cr_expect_eq(diffad_tuned_count(diffad_tuned_of(dev)), diffad_tuned_shipped(diffad_tuned_of(dev)));
    cr_expect_not(diffad_path_exists(path));
    store(diffad_device_caps(dev), "conv2d a", "portable");
    setenv("DIFFAD_TUNED", "0", 1);
    diffad_tuned_forget(dev);

    cr_expect_eq(diffad_tuned_count(diffad_tuned_of(dev)), 0);
    cr_expect_str_empty(diffad_tuned_digest(diffad_tuned_of(dev)));
    dev_done(dev);
}

static int  warnings;
static char warning[512];
static void count_warning(void *user, diffad_log_level level, const char *line)
{
    (void)user;
    warnings += level == DIFFAD_LOG_WARNING;
    snprintf(warning, sizeof warning, "%s", line);
}

Test(tuned, a_broken_file_gives_one_line_and_the_usual_ways)
{
    static const char *const broken[] = { "this is no database, and longer than the header of one is: one hundred bytes, or more",
                                          "SQLite format 3", "" };
    for (int i = 0; i < 3; i++) {
        use_new_file();
        cr_assert_eq(diffad_file_write(path, broken[i], (int64_t)strlen(broken[i])), DIFFAD_OK);
        diffad_device *dev = dev_new();
        warnings = 0;
        diffad_log_to(count_warning, NULL);

        const diffad_tuned *t = diffad_tuned_of(dev);

        cr_expect_eq(warnings, 1, "file %d: %d lines, %s", i, warnings, warning);
        cr_expect(strstr(warning, path) && !strchr(warning, '\n'), "%s", warning);
        cr_expect_eq(diffad_tuned_count(t), diffad_tuned_shipped(t));
        dev_done(dev);
    }
}

Test(tuned, a_table_cut_short_does_not_crash)
{
    unsigned char *whole;
    int64_t        bytes;
    use_new_file();
    diffad_device *dev = dev_new();
    for (int i = 0; i < 40; i++) {
        char key[64];
        snprintf(key, sizeof key, "conv2d f32 %dx64x64x64 =64x64x3x3", i);
        store(diffad_device_caps(dev), key, "portable/1");
    }
    cr_assert_eq(diffad_file_read(path, 1 << 24, DIFFAD_ERR_FILE, &whole, &bytes), DIFFAD_OK);
    for (int64_t cut = bytes - 1; cut > 0; cut -= 1021) {
        cr_assert_eq(diffad_file_write(path, whole, cut), DIFFAD_OK);
        diffad_tuned_forget(dev);
        cr_expect_leq(diffad_tuned_count(diffad_tuned_of(dev)), 40 + diffad_tuned_shipped(diffad_tuned_of(dev)));
    }
    diffad_release(whole);
    dev_done(dev);
}

Test(tuned, rows_of_the_class_are_taken_and_those_of_the_device_itself_go_before)
{
    use_new_file();
    diffad_device *dev = dev_new();
    char           class[64], text[512];
    diffad_tuned_class(diffad_device_caps(dev), class, sizeof class);
    snprintf(text, sizeof text, "# a remark, with commas, in it\n%s,conv2d f32 a,portable/1\nno/class,conv2d f32 b,tile\n\nx\n%s,matmul f32 c,tile",
             class, class);
    diffad_tuned_of(dev);

    diffad_tuned_add_text(dev->tuned, diffad_device_caps(dev), text);

    cr_expect_str_eq(diffad_tuned_find(dev->tuned, "conv2d f32 a"), "portable/1");
    cr_expect_str_eq(diffad_tuned_find(dev->tuned, "matmul f32 c"), "tile", "the last line has no end");
    cr_expect_null(diffad_tuned_find(dev->tuned, "conv2d f32 b"));
    cr_expect_eq(diffad_tuned_shipped(dev->tuned), diffad_tuned_count(dev->tuned));
    cr_expect_eq(strlen(diffad_tuned_digest(dev->tuned)), 16);
    dev_done(dev);
}

Test(tuned, classes_tell_cpus_by_their_vectors_and_gpus_by_their_vendors)
{
    diffad_caps caps = { .kind = DIFFAD_DEVICE_CPU, .native_float = 16, .vendor = "GenuineIntel" };
    char        class[64];
    diffad_tuned_class(&caps, class, sizeof class);
    cr_expect_str_eq(class, "cpu/16");
    caps = (diffad_caps){ .kind = DIFFAD_DEVICE_GPU, .vendor = "NVIDIA Corporation" };
    diffad_tuned_class(&caps, class, sizeof class);
    cr_expect_str_eq(class, "gpu/nvidia");
    caps = (diffad_caps){ .kind = DIFFAD_DEVICE_INTEGRATED, .vendor = "Somebody" };
    diffad_tuned_class(&caps, class, sizeof class);
    cr_expect_str_eq(class, "integrated");
}
