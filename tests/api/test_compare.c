/* test_compare.c: recordings, their files, and what two of them say of each other. */
#include "diffad/compare.h"
#include "diffad/tensor.h"
#include "support/folder.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two recordings of the same device, ops but one left out. */
static void record_two(const char *op, diffad_recording *r[2])
{
    diffad_device *dev[2];
    setenv("DIFFAD_PROFILE", "1", 1);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(diffad_device_open(NULL, &dev[i]), DIFFAD_OK, "%s", diffad_error_detail());
    const diffad_record_options o = { .model = "diffad", .scale = "tiny", .rounds = 2, .op = op };
    cr_assert_eq(diffad_record(dev, 2, &o, r), DIFFAD_OK, "%s", diffad_error_detail());
    for (int i = 0; i < 2; i++)
        diffad_device_close(dev[i]);
}

static void release_two(diffad_recording *r[2])
{
    diffad_recording_release(r[0]);
    diffad_recording_release(r[1]);
}

static diffad_comparison compared(diffad_recording *const r[2])
{
    diffad_comparison c;
    cr_assert_eq(diffad_compare(r[0], r[1], NULL, &c), DIFFAD_OK, "%s", diffad_error_detail());
    return c;
}

Test(compare, a_device_agrees_with_itself_in_every_bit_and_every_figure_is_there)
{
    static const char *const stages[] = { "encode", "sample", "decode", "segment" };
    diffad_recording *r[2];
    record_two("softmax", r);
    diffad_comparison c = compared(r);
    cr_expect(c.agrees);
    cr_expect_null(c.diverges);
    cr_expect_eq(c.score_worst, 0);
    cr_assert_eq(c.n_stages, 4);
    for (int g = 0; g < 4; g++) {
        cr_expect_str_eq(c.stage[g].a->name, stages[g]);
        cr_expect_eq(c.stage[g].nmse, 0);
        cr_expect_eq(c.stage[g].worst, 0);
        cr_expect_gt(c.stage[g].ratio, 0);
        cr_expect_gt(c.stage[g].a->gflop, 0);
    }
    cr_assert_eq(c.n_ops, 1);
    cr_expect_gt(c.op[0].a->cases, 3);
    cr_expect_gt(c.op[0].a->error, 0, "an op of exp and sums has rounding");
    cr_expect_leq(c.op[0].a->error, c.op[0].a->tolerance);
    cr_assert_geq(c.n_times, 1);
    cr_expect_gt(c.time[0].a->us.lo, 0);
    cr_expect_gt(c.ratio, 0);
    cr_expect_gt(r[0]->peak_bytes, r[0]->parameters);
    diffad_comparison_release(&c);
    release_two(r);
}

Test(compare, made_pictures_and_random_weights_move_every_stage)
{
    diffad_recording *r[2];
    record_two("", r);
    for (int g = 0; g < r[0]->n_stages; g++) {
        const int64_t n = r[0]->stage[g].values;
        cr_expect(memcmp(r[0]->picture[0].result[g], r[0]->picture[1].result[g], (size_t)n * sizeof(float)) != 0, "stage %s",
                  r[0]->stage[g].name);
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += fabs((double)r[0]->picture[0].result[g][i]);
        cr_expect_gt(sum, 0);
        cr_expect(isfinite(sum));
    }
    cr_expect_neq(r[0]->picture[0].score, r[0]->picture[1].score);
    release_two(r);
}

Test(compare, a_difference_is_found_where_it_is)
{
    diffad_recording *r[2];
    record_two("", r);
    r[1]->picture[1].result[2][7] += 100;                 /* decode */
    diffad_comparison c = compared(r);
    cr_expect_not(c.agrees);
    cr_assert_not_null(c.diverges);
    cr_expect_str_eq(c.diverges, "decode");
    cr_expect_eq(c.stage[2].picture, 1);
    cr_expect_gt(c.stage[2].worst, 1);
    cr_expect_eq(c.stage[1].nmse, 0);
    diffad_comparison_release(&c);
    r[1]->picture[1].result[2][7] = NAN;                  /* not a number is beyond any limit */
    c = compared(r);
    cr_expect_not(c.agrees);
    diffad_comparison_release(&c);
    memcpy(r[1]->picture[1].result[2], r[0]->picture[1].result[2], (size_t)r[0]->stage[2].values * sizeof(float));
    r[1]->picture[2].score += 0.002;
    c = compared(r);
    cr_expect_not(c.agrees);
    cr_expect_null(c.diverges);
    cr_expect_float_eq(c.score_worst, 0.002, 1e-12);
    diffad_comparison_release(&c);
    const diffad_compare_limits wide = { 1e-8, 0.01 };
    cr_assert_eq(diffad_compare(r[0], r[1], &wide, &c), DIFFAD_OK);
    cr_expect(c.agrees);
    diffad_comparison_release(&c);
    release_two(r);
}

Test(compare, an_op_that_misses_the_reference_is_a_difference)
{
    diffad_recording *r[2];
    record_two("gelu", r);
    r[1]->op[0].failed = 1;
    diffad_comparison c = compared(r);
    cr_expect_not(c.agrees);
    cr_expect_eq(c.ops_failed, 1);
    diffad_comparison_release(&c);
    release_two(r);
}

Test(compare, other_work_is_refused_with_what_differs)
{
    diffad_recording *r[2];
    diffad_comparison c;
    record_two("", r);
    r[1]->picture[1].digest[0] ^= 1;
    cr_expect_eq(diffad_compare(r[0], r[1], NULL, &c), DIFFAD_ERR_DATA);
    cr_expect(strstr(diffad_error_detail(), "picture 2"), "%s", diffad_error_detail());
    r[1]->picture[1].digest[0] ^= 1;
    r[1]->steps = 10;
    cr_expect_eq(diffad_compare(r[0], r[1], NULL, &c), DIFFAD_ERR_DATA);
    cr_expect(strstr(diffad_error_detail(), "10 steps"), "%s", diffad_error_detail());
    r[1]->weights[0] ^= 1;
    cr_expect_eq(diffad_compare(r[0], r[1], NULL, &c), DIFFAD_ERR_DATA);
    cr_expect(strstr(diffad_error_detail(), "weights"), "%s", diffad_error_detail());
    release_two(r);
}

/* ---- files ---- */

Test(compare, a_file_gives_back_the_recording)
{
    const char       *path = folder_path(folder_new(), "there.safetensors");
    diffad_recording *r[2], *back;
    record_two("softmax", r);
    cr_assert_eq(diffad_recording_save(r[0], path), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_recording_open(path, &back), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect_str_eq(back->device, r[0]->device);
    cr_expect_str_eq(back->driver, r[0]->driver);
    cr_expect_eq(back->peak_bytes, r[0]->peak_bytes);
    cr_expect_eq(back->ms.median, r[0]->ms.median);
    cr_assert_eq(back->n_ops, r[0]->n_ops);
    cr_expect_eq(memcmp(back->op, r[0]->op, sizeof *back->op), 0);
    cr_assert_eq(back->n_times, r[0]->n_times);
    cr_expect_eq(back->time[0].us.hi, r[0]->time[0].us.hi);
    diffad_recording *const pair[2] = { back, r[1] };
    diffad_comparison       c = compared(pair);
    cr_expect(c.agrees);
    cr_expect_eq(c.n_ops, 1);
    diffad_comparison_release(&c);
    diffad_recording_release(back);
    release_two(r);
}

/* The recording's text with one piece replaced, and perhaps without its last tensor. */
static diffad_status open_changed(const char *from, const char *to, const char *piece, const char *other, int fewer)
{
    enum { MOST = 64 };
    diffad_file       *f;
    diffad_file_tensor t[MOST];
    diffad_recording  *r;
    cr_assert_eq(diffad_file_open(from, &f), DIFFAD_OK);
    const char *text = diffad_file_metadata(f, "recording"), *at = strstr(text, piece);
    cr_assert_not_null(at, "no %s in %s", piece, text);
    char *changed = malloc(strlen(text) + strlen(other) + 1);
    sprintf(changed, "%.*s%s%s", (int)(at - text), text, other, at + strlen(piece));
    const int count = diffad_file_count(f) - fewer;
    cr_assert_leq(count, MOST);
    for (int i = 0; i < count; i++)
        t[i] = *diffad_file_at(f, i);
    cr_assert_eq(diffad_file_save(to, t, count, &(diffad_file_text){ "recording", changed }, 1), DIFFAD_OK);
    free(changed);
    diffad_file_close(f);
    const diffad_status st = diffad_recording_open(to, &r);
    if (st == DIFFAD_OK)
        diffad_recording_release(r);
    return st;
}

Test(compare, damaged_recordings_are_refused)
{
    static const struct { const char *piece, *other; int fewer; } bad[] = {
        { "\"format\":1", "\"format\":2", 0 },     { "\"format\":1", "\"format\":1.5", 0 },  { "\"width\":32", "\"width\":-32", 0 },
        { "\"width\":32", "\"width\":\"32\"", 0 }, { "\"stages\":[", "\"stages\":[{},", 0 }, { "\"stages\":[", "\"stages\":7,\"x\":[", 0 },
        { "\"pictures\":[", "\"pictures\":[],\"x\":[", 0 },                                  { "\"device\":", "\"x\":", 0 },
        { "\"values\":", "\"values\":1", 0 },      { "{", "", 0 },                           { "\"format\":1", "\"format\":1", 1 },
    };
    const char       *folder = folder_new(), *path = folder_path(folder, "good.safetensors"), *other = folder_path(folder, "bad.safetensors");
    diffad_recording *r[2];
    record_two("", r);
    cr_assert_eq(diffad_recording_save(r[0], path), DIFFAD_OK);
    cr_expect_eq(open_changed(path, other, "\"format\":1", "\"format\":1", 0), DIFFAD_OK, "%s", diffad_error_detail());
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(open_changed(path, other, bad[i].piece, bad[i].other, bad[i].fewer), DIFFAD_ERR_CHECKPOINT, "%s -> %s", bad[i].piece,
                     bad[i].other);
        cr_expect(strstr(diffad_error_detail(), "bad.safetensors"), "%s", diffad_error_detail());
    }
    release_two(r);
}

/* ---- the page ---- */

static char *text_of(const char *path)
{
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f);
    char        *text = calloc(1, 1 << 20);
    const size_t n = fread(text, 1, (1 << 20) - 1, f);
    cr_assert_gt(n, 0);
    fclose(f);
    return text;
}

Test(compare, the_page_says_the_verdict_and_escapes_names)
{
    const char       *path = folder_path(folder_new(), "two.html");
    diffad_recording *r[2];
    record_two("softmax", r);
    snprintf(r[1]->device, sizeof r[1]->device, "<Board> & co");
    diffad_comparison c = compared(r);
    cr_assert_eq(diffad_comparison_save_page(&c, path), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_comparison_release(&c);
    char *page = text_of(path);
    cr_expect(strstr(page, "They agree."));
    cr_expect(strstr(page, "&lt;Board&gt; &amp; co"));
    cr_expect_null(strstr(page, "<Board>"));
    cr_expect_null(strstr(page, "nan"));
    cr_expect(strstr(page, "softmax"));
    free(page);
    r[1]->picture[0].result[0][0] += 1000;
    c = compared(r);
    cr_assert_eq(diffad_comparison_save_page(&c, path), DIFFAD_OK);
    page = text_of(path);
    cr_expect(strstr(page, "They differ."));
    cr_expect(strstr(page, "beyond its limit is encode"));
    free(page);
    diffad_comparison_release(&c);
    release_two(r);
}

Test(compare, wrong_options_are_refused)
{
    diffad_device    *dev;
    diffad_recording *r;
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK);
    cr_expect_eq(diffad_record(&dev, 1, &(diffad_record_options){ .scale = "tiny", .op = "nosuch" }, &r), DIFFAD_ERR_USAGE);
    cr_expect_eq(diffad_record(&dev, 1, &(diffad_record_options){ .scale = "tiny", .rounds = 1000 }, &r), DIFFAD_ERR_USAGE);
    cr_expect_eq(diffad_record(&dev, 1, &(diffad_record_options){ .scale = "tiny", .pictures = (const char *const[]){ NULL } }, &r),
                 DIFFAD_ERR_USAGE);
    cr_expect_eq(diffad_record(&dev, 1, &(diffad_record_options){ .scale = "tiny", .stop = &(int){ 2 } }, &r), DIFFAD_ERR_STOPPED);
    diffad_device_close(dev);
}
