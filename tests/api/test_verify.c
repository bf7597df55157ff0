/* test_verify.c: golden files of tests/golden, and what src/api/verify*.c says of broken ones. */
#include "diffad/verify.h"
#include "support/folder.h"
#include "diffad/tensor.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN DIFFAD_TEST_DIR "/golden"

typedef struct seen {
    diffad_verify_totals totals;
    int                  tensors, rows;
    diffad_verify_row    last;
    char                 tensor[256], why[512];
    bool                 is_quiet;
} seen;

static void take_row(void *user, const diffad_verify_row *row)
{
    seen *s = user;
    s->rows++;
    s->last = *row;
    snprintf(s->tensor, sizeof s->tensor, "%s", row->tensor);
    snprintf(s->why, sizeof s->why, "%s", row->why);
    if (row->result != DIFFAD_VERIFY_PASS && !s->is_quiet)
        cr_log_error("%s: %s", row->file, row->why);
}

static void take_tensor(void *user, const char *file, const char *tensor, double error, double tolerance, bool pass)
{
    (void)file, (void)tensor, (void)error, (void)tolerance, (void)pass;
    ((seen *)user)->tensors++;
}

static seen run(const char *folder, const char *only, bool is_quiet)
{
    seen           s = { .is_quiet = is_quiet };
    diffad_device *dev;
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    const diffad_verify_options o = { .folder = folder, .only = only, .row = take_row, .tensor = take_tensor,
                                      .user = &s };
    cr_assert_eq(diffad_verify(dev, &o, &s.totals), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_device_close(dev);
    return s;
}

Test(verify, every_golden_file_is_reproduced)
{
    const seen s = run(GOLDEN, NULL, false);
    cr_expect_eq(s.totals.failed, 0);
    cr_expect_eq(s.totals.unsupported, 0);
    cr_expect_geq(s.totals.passed, 50);
    cr_expect_geq(s.tensors, 1000);
}

/* ---- made files ---- */

enum { MOST = 6 };
typedef struct made { diffad_file_tensor t[MOST]; int n; diffad_file_text meta[8]; int n_meta; } made;

static void add(made *m, const char *name, const float *data, int64_t count)
{
    m->t[m->n++] = (diffad_file_tensor){ .name = name, .type = DIFFAD_F32, .shape = { 1, { count } },
                                         .data = (const unsigned char *)data,
                                         .bytes = count * (int64_t)sizeof *data };
}

static void tell(made *m, const char *key, const char *value) { m->meta[m->n_meta++] = (diffad_file_text){ key,
                                                                                                           value }; }

static seen run_made(const made *m)
{
    const char *folder = folder_new();
    cr_assert_eq(diffad_file_save(folder_path(folder, "any name.safetensors"), m->t, m->n, m->meta, m->n_meta),
                 DIFFAD_OK);
    return run(folder, "any name", true);
}

static const float X[3] = { -1, 0, 2 }, Y[3] = { 0, 0, 2 };

static made relu_file(const float *want)
{
    made m = { .n = 0 };
    add(&m, "in.x", X, 3);
    add(&m, "out.y", want, 3);
    tell(&m, "kind", "relu");
    tell(&m, "inputs", "[\"in.*\"]");
    tell(&m, "outputs", "[\"out.*\", \"gin.*\"]");
    tell(&m, "tol", "{\"out.y\": 1e-6}");
    return m;
}

Test(verify, a_file_is_run_by_its_kind_and_not_by_its_name)
{
    const made m = relu_file(Y);
    const seen s = run_made(&m);
    cr_expect_eq(s.last.result, DIFFAD_VERIFY_PASS, "%s", s.why);
    cr_expect_eq(s.last.tensors, 1);
}

Test(verify, a_value_beyond_its_tolerance_fails_and_is_named)
{
    const float wrong[3] = { 0, 0, 2.00001f };
    const made  m = relu_file(wrong);
    const seen  s = run_made(&m);
    cr_expect_eq(s.last.result, DIFFAD_VERIFY_FAIL);
    cr_expect_str_eq(s.tensor, "out.y");
    cr_expect_gt(s.last.error, s.last.tolerance);
    cr_expect_eq(s.totals.failed, 1);
}

Test(verify, what_is_not_a_number_fails)
{
    const float wrong[3] = { 0, NAN, 2 };
    const made  m = relu_file(wrong);
    cr_expect_eq(run_made(&m).last.result, DIFFAD_VERIFY_FAIL);
}

Test(verify, an_output_that_nothing_computes_is_a_failure)
{
    made m = relu_file(Y);
    add(&m, "out.extra", Y, 3);
    const seen s = run_made(&m);
    cr_expect_eq(s.last.result, DIFFAD_VERIFY_FAIL);
    cr_expect(strstr(s.why, "out.extra was not compared"), "%s", s.why);
}

Test(verify, an_unused_tensor_is_left_alone)
{
    made m = relu_file(Y);
    add(&m, "spare", Y, 3);
    tell(&m, "unused", "[\"spare\"]");
    cr_expect_eq(run_made(&m).last.result, DIFFAD_VERIFY_PASS);
}

Test(verify, exact_means_bit_for_bit)
{
    const float near[3] = { 0, 0, 2.0000002f };
    made        m = relu_file(near);
    cr_expect_eq(run_made(&m).last.result, DIFFAD_VERIFY_PASS);
    tell(&m, "exact", "[\"out.*\"]");
    cr_expect_eq(run_made(&m).last.result, DIFFAD_VERIFY_FAIL);
}

Test(verify, masked_elements_may_differ)
{
    const float wrong[3] = { 0, 7, 2 }, mask[3] = { 0, 1, 0 };
    made        m = relu_file(wrong);
    add(&m, "in.mask", mask, 3);
    tell(&m, "exact", "[\"out.*\"]");
    tell(&m, "exact_except", "{\"out.*\": \"in.mask\"}");
    cr_expect_eq(run_made(&m).last.result, DIFFAD_VERIFY_PASS);
}

Test(verify, without_upstream_gradients_those_of_the_sum_are_meant)
{
    const float gradient[3] = { 0, 0, 1 };
    made        m = relu_file(Y);
    add(&m, "gin.x", gradient, 3);
    const seen s = run_made(&m);
    cr_expect_eq(s.last.result, DIFFAD_VERIFY_PASS, "%s", s.why);
    cr_expect_eq(s.last.tensors, 2);
}

Test(verify, an_unknown_kind_is_unsupported_by_name)
{
    made m = relu_file(Y);
    m.meta[0].value = "convolve_backwards";
    const seen s = run_made(&m);
    cr_expect_eq(s.last.result, DIFFAD_VERIFY_UNSUPPORTED);
    cr_expect(strstr(s.why, "convolve_backwards"), "%s", s.why);
}

Test(verify, a_description_with_an_unknown_key_is_unsupported)
{
    made m = { .n = 0 };
    add(&m, "x", X, 3);
    tell(&m, "kind", "model_autoencoder");
    tell(&m, "model", "{\"autoencoder\": {\"chanels\": 32}}");
    const seen s = run_made(&m);
    cr_expect_eq(s.last.result, DIFFAD_VERIFY_UNSUPPORTED);
    cr_expect(strstr(s.why, "chanels"), "%s", s.why);
}

Test(verify, a_missing_input_or_weights_file_is_a_failure_of_that_file)
{
    made m = relu_file(Y);
    m.t[0].name = "in.z";
    const seen s = run_made(&m);
    cr_expect_eq(s.last.result, DIFFAD_VERIFY_FAIL);
    cr_expect(strstr(s.why, "in.x"), "%s", s.why);
}

Test(verify, a_file_that_is_no_safetensors_file_is_a_failure)
{
    const char *folder = folder_new();
    FILE       *f = fopen(folder_path(folder, "broken.safetensors"), "w");
    cr_assert_not_null(f);
    fputs("not a golden file", f);
    fclose(f);
    cr_expect_eq(run(folder, NULL, true).totals.failed, 1);
}

/* ---- loss curves ---- */

/* A curve of tests/golden whose text `from` (in its metadata or names) reads `to`, of the same length, beside the weights. */
static seen run_changed(const char *curve, const char *from, const char *to)
{
    static const char *const weights[] = { "weights_autoencoder", "weights_unet", "weights_critic", "weights_lpips",
                                           "weights_segmenter",   "weights_draem" };
    const char *folder = folder_new();
    char        path[1024], name[128];
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        snprintf(path, sizeof path, GOLDEN "/%s.safetensors", weights[i]);
        snprintf(name, sizeof name, "%s.safetensors", weights[i]);
        cr_assert_eq(symlink(path, folder_path(folder, name)), 0);
    }
    snprintf(path, sizeof path, GOLDEN "/%s.safetensors", curve);
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f);
    fseek(f, 0, SEEK_END);
    const size_t bytes = (size_t)ftell(f), n = strlen(from);
    char        *text = malloc(bytes), *at = NULL;
    rewind(f);
    cr_assert_eq(fread(text, 1, bytes, f), bytes);
    fclose(f);
    for (size_t i = 0; i + n < bytes && !at; i++)
        if (memcmp(text + i, from, n) == 0)
            at = text + i;
    cr_assert_not_null(at, "%s: no %s", curve, from);
    memcpy(at, to, n);
    f = fopen(folder_path(folder, "changed.safetensors"), "wb");
    cr_assert_eq(fwrite(text, 1, bytes, f), bytes);
    fclose(f);
    free(text);
    return run(folder, "changed", true);
}

Test(verify, a_learning_rate_a_little_off_leaves_every_curve)
{
    static const struct { const char *curve, *from, *to; } rows[] = {
        { "curve_vae", "7.2e-05", "7.3e-05" }, { "curve_vae_critic", "7.2e-05", "7.3e-05" },
        { "curve_ldm", "6.4e-05", "6.5e-05" }, { "curve_seg", "0.0001", "1.1e-4" },
        { "curve_draem", "2e-05", "22e-6" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const seen s = run_changed(rows[i].curve, rows[i].from, rows[i].to);
        cr_expect_eq(s.last.result, DIFFAD_VERIFY_FAIL, "%s", rows[i].curve);
        cr_expect(strstr(s.why, "out.loss["), "%s: %s", rows[i].curve, s.why);
    }
}

Test(verify, clipping_the_sum_of_two_gradients_in_place_of_their_mean_leaves_the_curve)
{
    const seen s = run_changed("curve_vae_lpips", "8000.0", "4000.0");
    cr_expect_eq(s.last.result, DIFFAD_VERIFY_FAIL);
    cr_expect(strstr(s.why, "out.loss["), "%s", s.why);
}

Test(verify, a_curve_without_its_noise_says_which_is_missing)
{
    const seen s = run_changed("curve_vae", "\"in.eps\"", "\"in.eqs\"");
    cr_expect_eq(s.last.result, DIFFAD_VERIFY_FAIL);
    cr_expect(strstr(s.why, "no tensor in.eps"), "%s", s.why);
}

Test(verify, a_folder_without_golden_files_is_an_error)
{
    diffad_device       *dev;
    diffad_verify_totals totals;
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect_eq(diffad_verify(dev, &(diffad_verify_options){ .folder = folder_new() }, &totals),
                 DIFFAD_ERR_CHECKPOINT);
    cr_expect_eq(diffad_verify(dev, &(diffad_verify_options){ .folder = GOLDEN, .only = "nothing" }, &totals),
                 DIFFAD_ERR_CHECKPOINT);
    diffad_device_close(dev);
}
