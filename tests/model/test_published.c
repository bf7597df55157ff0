/* test_published.c: configuration files of the paper's repository as descriptions; where values come from. */
#include "base/file.h"
#include "base/sys.h"
#include "base/text.h"
#include "model/published.h"
#include "support/folder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KL DIFFAD_TEST_DIR "/model/kl.yaml"
#define MVTEC DIFFAD_TEST_DIR "/model/mvtec.yaml"

/* A copy of `from` with the first `old` replaced. */
static const char *edited(const char *from, const char *old, const char *put)
{
    static const char *folder;
    static int     count;
    unsigned char *text;
    int64_t        bytes;
    diffad_text    t = { 0 };
    char          *path = malloc(600);
    cr_assert_eq(diffad_file_read(from, 1 << 20, DIFFAD_ERR_FILE, &text, &bytes), DIFFAD_OK);
    const char *at = strstr((char *)text, old);
    cr_assert_not_null(at, "%s holds no \"%s\"", from, old);
    diffad_text_addf(&t, "%.*s%s%s", (int)(at - (char *)text), (char *)text, put, at + strlen(old));
    if (!folder)
        folder = folder_new();
    snprintf(path, 600, "%s/%d.yaml", folder, count++);
    cr_assert_eq(diffad_file_write(path, t.s, (int64_t)t.length), DIFFAD_OK);
    diffad_text_release(&t);
    diffad_release(text);
    return path;
}

static diffad_status lay(const char *variant, const char *a, const char *b, diffad_desc *d, diffad_trail *t)
{
    const char *const files[] = { a, b, NULL };
    return diffad_desc_layers(variant, "paper", files, NULL, d, t);
}

static diffad_desc laid(const char *a, const char *b)
{
    diffad_desc d;
    cr_assert_eq(lay("diffad", a, b, &d, NULL), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_desc_check(&d), DIFFAD_OK, "%s", diffad_error_detail());
    return d;
}

Test(published, the_published_files_are_the_published_description)
{
    diffad_desc want, fast;
    const char *const both[] = { KL, MVTEC, NULL };
    cr_assert_eq(diffad_desc_default(&want), DIFFAD_OK);
    const diffad_desc d = laid(KL, MVTEC);
    char *a = diffad_config_to_json(diffad_desc_fields, &d), *b = diffad_config_to_json(diffad_desc_fields, &want);

    cr_expect_str_eq(a, b);
    /* laid over other sizes and another recipe: all that they say is theirs again */
    cr_assert_eq(diffad_desc_layers("diffad", "fast", both, NULL, &fast, NULL), DIFFAD_OK, "%s", diffad_error_detail());
    fast.train.vae.steps = want.train.vae.steps, fast.train.vae.epochs = want.train.vae.epochs;
    fast.train.ldm.steps = want.train.ldm.steps, fast.train.ldm.epochs = want.train.ldm.epochs;
    cr_expect_arr_eq(&fast.train.vae, &want.train.vae, sizeof want.train.vae);
    cr_expect_arr_eq(&fast.train.ldm, &want.train.ldm, sizeof want.train.ldm);
    cr_expect_arr_eq(&fast.autoencoder, &want.autoencoder, sizeof want.autoencoder);
    cr_expect_arr_eq(&fast.unet, &want.unet, sizeof want.unet);
    cr_expect_eq(fast.scale_from, want.scale_from);
    cr_expect_eq(fast.train.critic_start, 50001);
    cr_expect_eq(fast.train.ema_decay, 0.9999);
    diffad_release(a);
    diffad_release(b);
}

Test(published, the_rate_is_scaled_by_accumulation_gpus_and_batch)
{
    static const char trainer[] = "accumulate_grad_batches: 2";
    const diffad_desc d = laid(edited(KL, trainer, "gpus: 0,1,"), edited(MVTEC, "batch_size: 32", "batch_size: 12"));

    cr_expect_float_eq(d.train.vae.rate, 4.5e-6 * 2 * 8, 1e-19);
    cr_expect_eq(d.train.vae.accumulate, 2, "two GPUs are two batches of a step");
    cr_expect_float_eq(d.train.ldm.rate, 2e-6 * 12, 1e-19);
    cr_expect_eq(d.train.ldm.batch, 12);
    cr_expect_float_eq(laid(edited(KL, trainer, "gpus: \"3,\""), NULL).train.vae.rate, 4.5e-6 * 8, 1e-19);
    cr_expect_float_eq(laid(edited(KL, trainer, "gpus: 2\n    accumulate_grad_batches: 3"), NULL).train.vae.rate, 4.5e-6 * 2 * 3 * 8, 1e-19);
}

Test(published, lengths_are_epochs_or_steps_and_epochs_count_batches_as_lightning_does)
{
    diffad_desc d;
    cr_assert_eq(diffad_desc_default(&d), DIFFAD_OK);
    diffad_desc_count_steps(&d, 209);

    cr_expect_eq(d.train.vae.steps, 14000, "209 pictures are 27 batches of 8, 14 steps; 1000 epochs");
    cr_expect_eq(d.train.ldm.steps, 28000);
    cr_expect_eq(d.train.seg.steps, 4900);
    cr_expect_eq(d.train.draem.steps, 18900);
    d = laid(edited(KL, "benchmark: True", "max_epochs: 3"), edited(MVTEC, "benchmark: True", "max_steps: 77"));
    diffad_desc_count_steps(&d, 17);
    cr_expect_eq(d.train.vae.steps, 3 * 2);
    cr_expect_eq(d.train.ldm.steps, 77);
}

Test(published, what_a_file_leaves_out_is_the_published_code_s_default)
{
    const diffad_desc a = laid(edited(KL, "        kl_weight: 0.000001\n", ""), edited(MVTEC, "    linear_start: 0.0015\n", ""));

    cr_expect_eq(a.train.kl_weight, 1);
    cr_expect_eq(a.diffusion.linear_start, 1e-4);
    cr_expect_eq(laid(edited(MVTEC, "monitor: val/loss_simple_ema", "use_ema: False"), NULL).train.ema_decay, 0);
}

Test(published, the_autoencoder_s_dropout_is_that_of_its_own_training)
{
    cr_expect_eq(laid(KL, MVTEC).autoencoder.dropout, 0.5);
    cr_expect_eq(laid(edited(KL, "dropout: 0.5", "dropout: 0.25"), MVTEC).autoencoder.dropout, 0.25);
    cr_expect_eq(laid(MVTEC, NULL).autoencoder.dropout, 0.5, "mvtec.yaml trains no autoencoder");
}

Test(published, attention_stays_at_its_levels_when_pictures_have_another_size)
{
    const diffad_desc d = laid(edited(edited(KL, "attn_resolutions: [ ]", "attn_resolutions: [ 32 ]"), "resize_shape: [256, 256]", "resize_shape: [512, 512]"), NULL);

    cr_expect_eq(d.image_size.v[0], 512);
    cr_expect_eq(d.autoencoder.attention_resolutions.v[0], 64);
}

Test(published, own_files_and_assignments_lie_over_published_ones)
{
    char        own[600];
    const char *const files[] = { KL, own, NULL }, *const sets[] = { "train.vae.steps=5", NULL };
    diffad_desc d;
    snprintf(own, sizeof own, "%s/own.yaml", folder_new());
    cr_assert_eq(diffad_file_write(own, "train: { vae: { rate: 1e-3 } }", 30), DIFFAD_OK);

    cr_assert_eq(diffad_desc_layers("diffad", "paper", files, sets, &d, NULL), DIFFAD_OK, "%s", diffad_error_detail());

    diffad_desc_count_steps(&d, 1000);
    cr_expect_eq(d.train.vae.rate, 1e-3);
    cr_expect_eq(d.train.vae.steps, 5);
    cr_expect_eq(d.train.vae.accumulate, 2);
}

static void refused(const char *variant, const char *a, const char *b, const char *word)
{
    diffad_desc d;
    cr_expect_eq(lay(variant, a, b, &d, NULL), DIFFAD_ERR_USAGE, "%s was taken", word);
    cr_expect(strstr(diffad_error_detail(), word), "expected \"%s\" in: %s", word, diffad_error_detail());
    cr_expect_null(strchr(diffad_error_detail(), '\n'));
}

Test(published, what_contradicts_or_has_no_way_here_is_refused)
{
    static const struct { bool kl; const char *old, *put, *word; } edits[] = {
        { true, "AutoencoderKL", "VQModel", "model.target" },
        { true, "LPIPSWithDiscriminator", "VQLPIPSWithDiscriminator", "LPIPSWithDiscriminator" },
        { true, "double_z: True", "double_z: False", "double_z: False is not supported; the only value is true" },
        { true, "out_ch: 3", "out_ch: 1", "out_ch: 1 contradicts" },
        { true, "base_learning_rate: 4.5e-6", "base_learning_rate: fast", "base_learning_rate" },
        { true, "      ch: 128\n", "", "ddconfig.ch: missing" },
        { true, "        disc_start: 50001\n", "", "disc_start: missing" },
        { true, "disc_weight: 0.5", "disc_loss: vanilla", "vanilla is not supported" },
        { true, "ch: 128", "ch: ${width}", "write the value" },
        { true, "ch: 128", "ch: [1]", "autoencoder.channels" },
        { true, "ch_mult: [ 1,2,4,4 ]", "ch_mult: [ ]", "at least one level" },
        { true, "resize_shape: [256, 256]", "resize_shape: [256]", "height and width" },
        { true, "benchmark: True", "precision: 16", "precision: 16 is not supported" },
        { true, "benchmark: True", "max_steps: 1\n    max_epochs: 2", "keep one" },
        { true, "benchmark: True", "gpus: all", "gpus" },
        { true, "batch_size: 8", "batch_size: 0", "out of range" },
        { false, "channels: 4", "channels: 3", "channels: 3 contradicts embed_dim" },
        { false, "    image_size: 32", "    image_size: 64", "image_size: 64 contradicts" },
        { false, "in_channels: 8", "in_channels: 4", "in_channels: 4 contradicts" },
        { false, "UNetModel", "EncoderUNetModel2", "UNetModel" },
        { false, "__is_first_stage__", "__is_unconditional__", "--model diffad_fr" },
        { false, "conditioning_key: concat", "conditioning_key: crossattn", "only concat" },
        { false, "cond_stage_key: augmented_image", "cond_stage_key: image", "augmented_image" },
        { false, "num_head_channels: 32", "num_heads: 8", "num_head_channels: missing" },
        { false, "log_every_t: 100", "scale_by_std: true", "scale_by_std: true is not supported" },
        { false, "log_every_t: 100", "scheduler_config: { target: ldm.lr_scheduler.LambdaLinearScheduler }", "leave it out" },
        { false, "log_every_t: 100", "parameterization: x0", "only value is eps" },
    };
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++)
        refused("diffad", edited(edits[i].kl ? KL : MVTEC, edits[i].old, edits[i].put), NULL, edits[i].word);
    refused("diffad", KL, edited(MVTEC, "ch_mult: [ 1,2,4,4 ]", "ch_mult: [ 1,2,2,4 ]"), "another autoencoder than the one that");
    refused("diffad_fr", MVTEC, NULL, "no condition");
    refused("draem", KL, NULL, "--model draem");
}

Test(published, an_unconditional_file_is_variant_fr)
{
    diffad_desc d;
    const char *file = edited(edited(MVTEC, "__is_first_stage__", "__is_unconditional__"), "in_channels: 8", "in_channels: 4");

    cr_expect_eq(lay("diffad_fr", file, NULL, &d, NULL), DIFFAD_OK, "%s", diffad_error_detail());

    cr_expect_eq(d.start_time, 800);
}

static int times(const char *text, const char *word)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, word)); p += strlen(word))
        n++;
    return n;
}

Test(published, each_key_without_a_use_is_named_once)
{
    static const char *const unused[] = { "model.params.monitor", "data.params.num_workers", "data.params.wrap", "data.params.train.params.root_dir",
                                          "data.params.train.params.anomaly_source_path", "data.params.validation", "lightning.callbacks",
                                          "lightning.trainer.benchmark", "model.params.new_key" };
    static const char *const used[] = { "embed_dim", "ch_mult", "disc_start", "batch_size", "resize_shape", "accumulate", "double_z", "base_learning_rate" };
    diffad_desc  d;
    diffad_trail t = { .sources = NULL };
    cr_assert_eq(lay("diffad", edited(KL, "    embed_dim: 4\n", "    embed_dim: 4\n    new_key: 1\n"), MVTEC, &d, &t), DIFFAD_OK, "%s", diffad_error_detail());

    cr_assert(t.notes && t.notes->next && !t.notes->next->next, "one remark a file");
    for (size_t i = 0; i < sizeof unused / sizeof unused[0]; i++)
        cr_expect_eq(times(t.notes->text, unused[i]), 1, "%s in: %s", unused[i], t.notes->text);
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
        cr_expect_eq(times(t.notes->text, used[i]), 0, "%s in: %s", used[i], t.notes->text);
    cr_expect(strstr(t.notes->next->text, "first_stage_config.params.ckpt_path"), "%s", t.notes->next->text);
    diffad_trail_release(&t);
}

/* ---- sources ---- */

static void has_source(void *user, const char *path, const diffad_field *f, const char *value)
{
    (void)f;
    (void)value;
    cr_expect_neq(*diffad_trail_source(user, path), '\0', "%s has no source", path);
    cr_expect(!strstr(diffad_trail_source(user, path), "diffad.yaml:"), "%s is without a word in `sources`", path);
}

Test(sources, every_published_value_says_where_it_comes_from)
{
    diffad_desc  d;
    diffad_trail t = { .sources = NULL };
    cr_assert_eq(diffad_desc_layers("diffad", "paper", NULL, NULL, &d, &t), DIFFAD_OK);

    diffad_config_walk(diffad_desc_fields, &d, has_source, &t);

    cr_expect_str_not_empty(t.about);
    diffad_trail_release(&t);
}

static void list(void *user, const char *path, const diffad_field *f, const char *value)
{
    (void)f;
    diffad_text_addf(user, "%s=%s\n", path, value);
}

Test(sources, what_a_variant_changes_names_the_supplement)
{
    static const char *const variants[] = { "diffad_fr", "diffad_c", "diffad_no_inter", "diffad_xa_inter", "draem" };
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        diffad_desc  d, base;
        diffad_trail t = { .sources = NULL };
        diffad_text  a = { 0 }, b = { 0 };
        int          differences = 0;
        cr_assert_eq(diffad_desc_layers(variants[i], "paper", NULL, NULL, &d, &t), DIFFAD_OK);
        cr_assert_eq(diffad_desc_default(&base), DIFFAD_OK);
        diffad_config_walk(diffad_desc_fields, &d, list, &a);
        diffad_config_walk(diffad_desc_fields, &base, list, &b);
        for (const char *p = a.s, *q = b.s; *p; p = strchr(p, '\n') + 1, q = strchr(q, '\n') + 1) {
            char         path[64];
            const size_t n = strcspn(p, "\n");
            if (n == strcspn(q, "\n") && memcmp(p, q, n) == 0)
                continue;
            snprintf(path, sizeof path, "%.*s", (int)strcspn(p, "="), p);
            cr_expect(strstr(diffad_trail_source(&t, path), "supplement"), "%s: %s comes from \"%s\"", variants[i], path, diffad_trail_source(&t, path));
            differences++;
        }
        cr_expect(differences >= 2 && differences <= 3, "%s differs in %d values", variants[i], differences);
        cr_expect(strstr(t.about, "supplement") && strstr(t.about, "Table"), "%s: %s", variants[i], t.about);
        diffad_text_release(&a);
        diffad_text_release(&b);
        diffad_trail_release(&t);
    }
}

Test(sources, the_last_layer_that_says_a_value_is_its_source)
{
    static const char *const sets[] = { "train.vae.batch=2", NULL };
    const char *const files[] = { KL, NULL };
    diffad_desc  d;
    diffad_trail t = { .sources = NULL };
    cr_assert_eq(diffad_desc_layers("diffad", "tiny", files, sets, &d, &t), DIFFAD_OK);

    cr_expect_str_eq(diffad_trail_source(&t, "train.vae.batch"), "set: train.vae.batch=2");
    cr_expect(strstr(diffad_trail_source(&t, "train.vae.rate"), "base_learning_rate 4.5e-6 x accumulate 2 x GPUs 1 x batch 8"));
    cr_expect(strstr(diffad_trail_source(&t, "autoencoder.embed_dim"), "kl.yaml:"));
    cr_expect(strstr(diffad_trail_source(&t, "segmenter.base_channels"), "scale/tiny.yaml:"));
    cr_expect(strstr(diffad_trail_source(&t, "mix_lambda"), "supplement 1.2"));
    diffad_trail_release(&t);
}
