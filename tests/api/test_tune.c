/* test_tune.c: tuning keeps its budget, keeps what it measured, and refuses what computes something else (src/api/tune*.c). */
#include "base/file.h"
#include "base/sys.h"
#include "diffad/tune.h"
#include "kernel/embedded.h"
#include "kernel/tuned.h"
#include "support/dev.h"
#include "support/folder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char path[512];

static void new_table(void)
{
    snprintf(path, sizeof path, "%s/tuned.sqlite", folder_new());
    setenv("DIFFAD_TUNED", path, 1);
    setenv("DIFFAD_PROFILE", "1", 1);
    unsetenv("DIFFAD_WAYS");
}

typedef struct seen { int rows, won, refused, candidates; } seen;

static void on_row(void *user, const diffad_tune_row *r)
{
    seen *s = user;
    s->rows++;
    s->won += strcmp(r->usual, r->best) != 0;
    s->refused += r->refused;
    s->candidates += r->candidates;
    cr_expect_eq(strncmp(r->key, r->op, strlen(r->op)), 0, "%s", r->key);
    cr_expect(r->usual_us > 0 && r->best_us > 0 && r->uses > 0, "%s: %g, %g us", r->key, r->usual_us, r->best_us);
}

static diffad_tune_options products(seen *s)
{
    diffad_tune_options o = diffad_tune_options_default();
    o.scale = "tiny";
    o.op    = "matmul";
    o.row   = on_row;
    o.user  = s;
    o.seconds = 600;
    return o;
}

/* A clock that moves by itself with every look at it. */
static uint64_t now;
static uint64_t moving_clock(void) { return now += 1000000; }

Test(tune, nothing_is_begun_that_would_not_be_done_within_the_budget)
{
    new_table();
    diffad_device *dev = dev_new();
    double         took[2];
    int            measured[2];
    for (int i = 0; i < 2; i++) {
        seen                s = { 0 };
        diffad_tune_options o = products(&s);
        diffad_tune_result  r;
        o.again   = true;
        o.seconds = i ? 3 : 1;
        diffad_sys.monotonic_ns = moving_clock;

        cr_assert_eq(diffad_tune(dev, &o, &r), DIFFAD_OK, "%s", diffad_error_detail());

        took[i]     = r.seconds;
        measured[i] = r.measured;
        cr_expect_lt(r.seconds, o.seconds + 0.1, "%g s of %g", r.seconds, o.seconds);
        cr_expect_lt(r.measured, r.nodes, "the clock leaves no time for all");
    }
    cr_expect(took[1] > took[0] && measured[1] > measured[0], "%d in %g s, %d in %g s", measured[0], took[0], measured[1], took[1]);
    dev_done(dev);
}

Test(tune, what_was_measured_is_kept_and_not_measured_again)
{
    new_table();
    diffad_device      *dev = dev_new();
    seen                s = { 0 }, t = { 0 };
    diffad_tune_options o = products(&s), p = products(&t);
    diffad_tune_result  r, again;
    int64_t             rows;

    cr_assert_eq(diffad_tune(dev, &o, &r), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_tune(dev, &p, &again), DIFFAD_OK, "%s", diffad_error_detail());

    cr_expect(r.is_kept && diffad_path_exists(path));
    cr_expect_eq(r.measured, r.nodes);
    cr_expect_eq(s.rows, r.measured);
    cr_expect_eq(s.won, r.won);
    cr_expect_geq(s.candidates, r.measured, "at least one other variant each");
    cr_expect_leq(r.best_us, r.usual_us);
    cr_expect_eq(again.known, r.measured);
    cr_expect_eq(again.measured, 0);
    const char *digest = diffad_tune_digest(dev, &rows);
    cr_expect_eq(strlen(digest), rows ? 16 : 0);
    cr_expect_geq(rows, r.won);
    dev_done(dev);
}

Test(tune, a_call_to_stop_ends_it_and_an_unknown_op_is_refused)
{
    new_table();
    diffad_device      *dev = dev_new();
    seen                s = { 0 };
    diffad_tune_options o = products(&s);
    diffad_tune_result  r;
    const volatile int  stop = 2;
    o.stop = &stop;
    cr_expect_eq(diffad_tune(dev, &o, &r), DIFFAD_ERR_STOPPED);
    cr_expect_eq(r.measured, 0);
    cr_expect_gt(r.nodes, 0);
    o.op = "conv3d";
    cr_expect_eq(diffad_tune(dev, &o, &r), DIFFAD_ERR_USAGE);
    cr_expect(strstr(diffad_error_detail(), "conv3d"), "%s", diffad_error_detail());
    dev_done(dev);
}

Test(tune, a_broken_file_is_an_error_and_stays)
{
    static const char text[] = "this is no database, and longer than the header of one is: one hundred bytes, or a few more";
    new_table();
    cr_assert_eq(diffad_file_write(path, text, sizeof text), DIFFAD_OK);
    diffad_device      *dev = dev_new();
    seen                s = { 0 };
    diffad_tune_options o = products(&s);
    diffad_tune_result  r;
    unsigned char      *after;
    int64_t             bytes;
    diffad_log_to(NULL, NULL);

    cr_expect_eq(diffad_tune(dev, &o, &r), DIFFAD_ERR_FILE);

    cr_expect(strstr(diffad_error_detail(), path), "%s", diffad_error_detail());
    cr_assert_eq(diffad_file_read(path, 4096, DIFFAD_ERR_FILE, &after, &bytes), DIFFAD_OK);
    cr_expect_arr_eq(after, text, sizeof text);
    diffad_release(after);
    dev_done(dev);
}

/* The library's kernels, with products by tiles that are wrong. */
static void break_tiles(void)
{
    const char *folder = folder_new();
    for (const diffad_embedded *e = diffad_embedded_kernels; e->name; e++) {
        char name[512], text[65536];
        snprintf(name, sizeof name, "%s/%s", folder, e->name);
        *strrchr(name, '/') = '\0';
        cr_assert_eq(diffad_make_dirs(name), DIFFAD_OK);
        snprintf(name, sizeof name, "%s/%s", folder, e->name);
        const char *found = strcmp(e->name, "gemm_tile.cl") == 0 ? strstr(e->text, "float alpha,") : NULL;
        snprintf(text, sizeof text, "%s%.*s%s%s", found ? "#define alpha (1.01f * alpha_in)\n" : "",
                 found ? (int)(found - e->text) : 0, e->text, found ? "float alpha_in," : "",
                 found ? found + strlen("float alpha,") : e->text);
        cr_assert_eq(diffad_file_write(name, text, (int64_t)strlen(text)), DIFFAD_OK);
    }
    setenv("DIFFAD_CL_DIR", folder, 1);
}

Test(tune, a_candidate_that_computes_something_else_never_wins)
{
    new_table();
    break_tiles();
    setenv("DIFFAD_WAYS", "matmul=cpu", 1);
    setenv("DIFFAD_CAPS", "cpu=1", 1);      /* a GPU too has then a usual way that is not broken */
    diffad_device *dev = dev_new();
    seen                s = { 0 };
    diffad_tune_options o = products(&s);
    diffad_tune_result  r;

    cr_assert_eq(diffad_tune(dev, &o, &r), DIFFAD_OK, "%s", diffad_error_detail());

    cr_expect_geq(s.refused, 2 * r.measured, "%d refused of %d candidates", s.refused, s.candidates);
    dev_done(dev);
}
