/* test_base.c: arena, checked sizes, status, hashes and progress of the base layer. */
#include "base/arena.h"
#include "base/fail.h"
#include "base/hash.h"
#include "base/progress.h"
#include "base/size.h"
#include "base/sys.h"
#include "support/fault.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(arena, memory_is_zeroed_aligned_and_goes_at_once)
{
    diffad_arena a = { 0 };
    fault_install();
    for (size_t bytes = 1; bytes < 300000; bytes = bytes * 3 + 1) {
        unsigned char *p = diffad_arena_alloc(&a, bytes);
        cr_assert_not_null(p);
        cr_expect_eq((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < bytes; i++)
            cr_assert_eq(p[i], 0);
        memset(p, 0xAA, bytes);
    }
    cr_expect_str_eq(diffad_arena_strdup(&a, "text"), "text");
    cr_expect_null(diffad_arena_alloc(&a, SIZE_MAX - 5));

    diffad_arena_release(&a);

    cr_expect_eq(fault_live_blocks(), 0);
}

Test(size, overflow_is_refused_and_leaves_the_result_alone)
{
    int64_t v = 7;
    cr_expect(!diffad_mul_i64(INT64_C(1) << 32, INT64_C(1) << 31, &v) && v == 7);
    cr_expect(!diffad_add_i64(INT64_MAX, 1, &v) && v == 7);
    cr_expect(diffad_mul_i64(INT64_C(1) << 31, INT64_C(1) << 31, &v) && v == INT64_C(1) << 62);
    cr_expect_eq(diffad_ceil_div(9, 4), 3);
    cr_expect_eq(diffad_round_up(9, 4), 12);
    cr_expect_null(diffad_alloc_array(SIZE_MAX / 2, 3));
    cr_expect_null(diffad_resize_array(NULL, SIZE_MAX / 2, 3));
}

Test(status, control_characters_never_reach_the_detail)
{
    cr_expect_eq(diffad_fail(DIFFAD_ERR_DATA, "%s", "a\n\x1b[31mb"), DIFFAD_ERR_DATA);
    cr_expect_str_eq(diffad_error_detail(), "a??[31mb");
    diffad_fail_context(DIFFAD_ERR_DATA, "file %d", 3);
    cr_expect_str_eq(diffad_error_detail(), "file 3: a??[31mb");
}

Test(status, exit_codes_are_those_of_the_manual)
{
    cr_expect_eq(diffad_status_exit_code(DIFFAD_ERR_CHECKPOINT), 4);
    cr_expect_eq(diffad_status_exit_code(DIFFAD_ERR_SHAPE), 2);
    cr_expect_eq(diffad_status_exit_code(DIFFAD_ERR_STOPPED), 130);
    cr_expect_eq(diffad_status_exit_code(DIFFAD_ERR_INTERNAL), 10);
}

Test(hash, values_are_those_of_xxhash)
{
    char hex[33];
    cr_expect_eq(diffad_hash64("", 0), 0x2D06800538D394C2u);          /* published test vector of XXH3, seed 0 */
    diffad_hasher *h = diffad_hasher_new();
    cr_expect_eq(diffad_hasher_take64(h), 0x2D06800538D394C2u);
    diffad_hasher_take128(h, hex);
    cr_expect_str_eq(hex, "99aa06d3014798d86001c324468d497f");
    diffad_hasher_release(h);
}

Test(hash, pieces_give_the_hash_of_the_whole)
{
    unsigned char data[5000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7);
    fault_install();
    diffad_hasher *h = diffad_hasher_new();
    for (size_t at = 0, n = 1; at < sizeof data; at += n, n = n * 2 + 1)
        diffad_hasher_add(h, data + at, at + n > sizeof data ? sizeof data - at : n);
    cr_expect_eq(diffad_hasher_take64(h), diffad_hash64(data, sizeof data));
    diffad_hasher_release(h);
    cr_expect_eq(fault_live_blocks(), 0);
}

static uint64_t    clock_ns;
static const char *no_color;

static uint64_t    fake_clock(void) { return clock_ns; }
static const char *fake_getenv(const char *name) { return strcmp(name, "NO_COLOR") == 0 ? no_color : NULL; }

static void fake_install(void)
{
    clock_ns = 1000000000u;
    no_color = NULL;
    diffad_sys.monotonic_ns = fake_clock;
    diffad_sys.getenv       = fake_getenv;
}

Test(progress, a_file_gets_a_line_every_five_seconds)
{
    char line[256];
    int  shown = 0;
    fake_install();
    diffad_progress p = diffad_progress_begin("train ldm", "step", 100, 300, false);
    for (int64_t done = 101; done <= 300; done++) {
        clock_ns += 100000000u;
        shown += diffad_progress_update(&p, done, "loss 0.5", line, sizeof line);
        if (done == 151)
            cr_expect_str_eq(line, "train ldm:  50% 151/300 step, 10 step/s, 15s left, loss 0.5\n");
    }
    cr_expect_eq(shown, 1 + 3 + 1, "first, every 5 s, last; got %d", shown);
    cr_expect_str_eq(line, "train ldm: 100% 300/300 step, 10 step/s, took 20s, loss 0.5\n");
}

Test(progress, a_terminal_gets_a_bar_that_wipes_the_line_before)
{
    char line[256], shorter[256];
    fake_install();
    diffad_progress p = diffad_progress_begin("eval", "image", 0, 4, true);
    clock_ns += 1000000000u;
    cr_expect(diffad_progress_update(&p, 1, "a long remark", line, sizeof line));
    cr_expect_not(diffad_progress_update(&p, 1, NULL, line, sizeof line));
    clock_ns += 1000000000u;
    cr_expect(diffad_progress_update(&p, 2, NULL, shorter, sizeof shorter));

    cr_expect_str_eq(line, "\reval:  25% 1/4 image [######..................], 1 image/s, 3s left, a long remark");
    cr_expect_eq(strlen(line), strlen(shorter));
    cr_expect_null(strchr(shorter, '\n'));
    clock_ns += 1000000000u;
    cr_expect(diffad_progress_update(&p, 4, NULL, line, sizeof line));
    cr_expect_eq(line[strlen(line) - 1], '\n');
}

Test(progress, no_color_gives_lines)
{
    char line[256];
    fake_install();
    no_color = "1";
    diffad_progress p = diffad_progress_begin("eval", "image", 0, 0, true);
    cr_expect(diffad_progress_update(&p, 0, NULL, line, sizeof line));
    cr_expect_str_eq(line, "eval: 0 image\n");
}

Test(progress, durations_have_two_units)
{
    char t[16];
    cr_expect_str_eq(diffad_duration_text(12.4, t, sizeof t), "12s");
    cr_expect_str_eq(diffad_duration_text(185, t, sizeof t), "3m05s");
    cr_expect_str_eq(diffad_duration_text(7620, t, sizeof t), "2h07m");
    cr_expect_str_eq(diffad_duration_text(4 * 86400 + 3 * 3600, t, sizeof t), "4d03h");
    cr_expect_str_eq(diffad_duration_text(-1, t, sizeof t), "?");
}
