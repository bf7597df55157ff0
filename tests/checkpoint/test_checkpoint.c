/* test_checkpoint.c: files of the published code (tests/data/checkpoints, by torch.save) as networks: every name in its place,
 * every value to the bit, and what cannot be one model refused. */
#include "checkpoint/checkpoint.h"
#include "diffad/convert.h"
#include "support/folder.h"
#include "tensor/tensor_file.h"
#include "tensor/torch_file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA DIFFAD_TEST_DIR "/data/checkpoints/"
#define PATHS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* As tools/pytorch/checkpoint_fixtures.py. */
static float value_of(const char *name, int64_t i)
{
    uint32_t    h = 2166136261u;
    const char *end = strstr(name, "running_var");
    for (const char *at = name; *at; at++)
        h = (h ^ (unsigned char)*at) * 16777619u;
    return (float)((h + (uint32_t)i * 2654435761u) >> 16) / 65536.0f - 0.5f + (end ? 1.0f : 0.0f);
}

static diffad_checkpoint open_or_die(const char *const *paths)
{
    diffad_checkpoint c = { .files = 0 };
    cr_assert_eq(diffad_checkpoint_open(paths, &c), DIFFAD_OK, "%s", diffad_error_detail());
    return c;
}

/* `published` is what the fixture calls the tensor. */
static void expect_values(const diffad_file_tensor *t, const char *published)
{
    const int64_t n = diffad_shape_count(&t->shape);
    float        *v = calloc((size_t)n + 1, sizeof *v);
    cr_assert_eq(diffad_file_to_f32(t, v, n), DIFFAD_OK, "%s", diffad_error_detail());
    int64_t at = 0;
    while (at < n && v[at] == value_of(published, at))
        at++;
    cr_expect_eq(at, n, "%s as %s: [%lld] is %g, not %g", t->name, published, (long long)at, (double)v[at], (double)value_of(published, at));
    free(v);
}

static bool begins(const char *s, const char *with) { return strncmp(s, with, strlen(with)) == 0; }

static void flatten(const char *name, char *out) { checkpoint_flatten(name, out, 256); }

/* The published name of a view's tensor in the file of `layout`. */
static void published_name(const char *name, bool is_latent, char *out)
{
    char flat[256];
    flatten(begins(name, "ema.") ? name + 4 : name, flat);
    if (begins(name, "ema."))
        snprintf(out, 512, "model_ema.diffusion_model%s", flat);
    else if (begins(name, "unet."))
        snprintf(out, 512, "model.diffusion_model.%s", name + 5);
    else if (begins(name, "vae."))
        snprintf(out, 512, "%s%s", is_latent ? "first_stage_model." : "", name + 4);
    else if (begins(name, "critic."))
        snprintf(out, 512, "loss.discriminator.%s", name + 7);
    else if (begins(name, "lpips."))
        snprintf(out, 512, "loss.perceptual_loss.%s", name + 6);
    else
        snprintf(out, 512, "%s", strchr(name, '.') + 1);
}

static void expect_view(const char *const *paths, bool is_latent, int tensors)
{
    diffad_checkpoint c = open_or_die(paths);
    char              published[512];
    cr_expect_eq(diffad_file_count(c.view), tensors, "%s: %d tensors", paths[0], diffad_file_count(c.view));
    for (int i = 0; i < diffad_file_count(c.view); i++) {
        const diffad_file_tensor *t = diffad_file_at(c.view, i);
        if (strstr(t->name, "num_batches_tracked") || begins(t->name, "other."))
            continue;
        published_name(t->name, is_latent, published);
        expect_values(t, published);
    }
    diffad_checkpoint_close(&c);
}

Test(checkpoint, every_tensor_of_the_published_files_is_in_its_place_to_the_bit)
{
    expect_view(PATHS(DATA "ldm.ckpt"), true, 12 + 2 + 2 * 126 + 150);
    expect_view(PATHS(DATA "vae.ckpt"), false, 200);
    expect_view(PATHS(DATA "seg.pckl"), false, 191);
    expect_view(PATHS(DATA "draem.pckl", DATA "draem_seg.pckl"), false, 156 + 191);
}

Test(checkpoint, the_parts_of_each_file_are_known)
{
    static const struct { const char *file; unsigned parts; } rows[] = {
        { DATA "ldm.ckpt", 1u << PART_VAE | 1u << PART_UNET | 1u << PART_EMA | 1u << PART_OTHER },
        { DATA "vae.ckpt", 1u << PART_VAE | 1u << PART_CRITIC | 1u << PART_LPIPS | 1u << PART_OTHER },
        { DATA "seg.pckl", 1u << PART_SEG }, { DATA "draem.pckl", 1u << PART_REC }, { DATA "draem_seg.pckl", 1u << PART_SEG },
        { DATA "vgg16.pth", 1u << PART_LPIPS }, { DATA "lpips_lin.pth", 1u << PART_LPIPS },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        diffad_checkpoint c = open_or_die(PATHS(rows[i].file));
        for (int k = 0; k < CHECKPOINT_PARTS; k++)
            cr_expect_eq(c.has[k], rows[i].parts >> k & 1, "%s: %s", rows[i].file, checkpoint_prefix[k]);
        diffad_checkpoint_close(&c);
    }
}

Test(checkpoint, what_stands_beside_the_weights_is_metadata)
{
    diffad_checkpoint c = open_or_die(PATHS(DATA "ldm.ckpt"));
    cr_expect_str_eq(diffad_file_metadata(c.view, "global_step"), "42");
    cr_expect_str_eq(diffad_file_metadata(c.view, "pytorch-lightning_version"), "1.4.2");
    diffad_checkpoint_close(&c);
}

/* VGG16's features, the linear layers' file, and constants that neither has. */
Test(checkpoint, lpips_is_joined_from_its_two_files)
{
    diffad_checkpoint c = open_or_die(PATHS(DATA "vgg16.pth", DATA "lpips_lin.pth"));
    float             shift[3];
    cr_expect_eq(diffad_file_count(c.view), 26 + 5 + 2);
    expect_values(diffad_file_find(c.view, "lpips.net.slice1.0.weight"), "features.0.weight");
    expect_values(diffad_file_find(c.view, "lpips.net.slice2.7.bias"), "features.7.bias");
    expect_values(diffad_file_find(c.view, "lpips.net.slice5.28.weight"), "features.28.weight");
    expect_values(diffad_file_find(c.view, "lpips.lin4.model.1.weight"), "lin4.model.1.weight");
    cr_assert_eq(diffad_file_to_f32(diffad_file_find(c.view, "lpips.scaling_layer.shift"), shift, 3), DIFFAD_OK);
    cr_expect(shift[0] == -.030f && shift[1] == -.088f && shift[2] == -.188f);
    diffad_checkpoint_close(&c);
}

static void expect_refused(const char *const *paths, const char *part)
{
    diffad_checkpoint c = { .files = 0 };
    cr_expect_eq(diffad_checkpoint_open(paths, &c), DIFFAD_ERR_CHECKPOINT, "%s", paths[0]);
    cr_expect(strstr(diffad_error_detail(), part), "\"%s\" lacks \"%s\"", diffad_error_detail(), part);
    cr_expect_null(c.view);
}

Test(checkpoint, files_that_are_not_one_model_are_refused)
{
    const char *empty = folder_new();
    expect_refused(PATHS(DATA "ldm.ckpt", DATA "vae.ckpt"), "both hold the autoencoder");
    expect_refused(PATHS(DATA "seg.pckl", DATA "draem_seg.pckl"), "both hold the segmenter");
    expect_refused(PATHS(DATA "odd/odd.pth"), "no tensor has a name");
    expect_refused(PATHS(DATA "none.pth"), "none.pth");
    expect_refused(PATHS(empty), "holds no run.json");
    expect_refused(PATHS(DATA), "both hold");
}

/* The fixture's tensors with one of them changed or left out. */
static const char *changed(const char *name, const char *as)
{
    diffad_file *f = NULL;
    static char  path[512];
    cr_assert_eq(diffad_file_open(DATA "ldm.ckpt", &f), DIFFAD_OK);
    diffad_file_tensor *t = malloc((size_t)diffad_file_count(f) * sizeof *t);
    int                 n = 0;
    for (int i = 0; i < diffad_file_count(f); i++) {
        t[n] = *diffad_file_at(f, i);
        if (strcmp(t[n].name, name) == 0 && !as)
            continue;
        if (strcmp(t[n].name, name) == 0)
            t[n].data = diffad_file_find(f, as)->data;
        n++;
    }
    snprintf(path, sizeof path, "%s", folder_path(folder_new(), "changed.ckpt"));
    cr_assert_eq(diffad_torch_save(path, t, n, (const diffad_torch_field[]){ { "epoch", NULL, 1 } }, 1), DIFFAD_OK, "%s", diffad_error_detail());
    free(t);
    diffad_file_close(f);
    return path;
}

Test(checkpoint, a_conditioning_stage_of_its_own_is_refused)
{
    expect_refused(PATHS(changed("cond_stage_model.decoder.norm_out.bias", "cond_stage_model.decoder.norm_out.weight")), "conditioning stage");
}

Test(checkpoint, an_average_of_no_parameter_is_refused)
{
    expect_refused(PATHS(changed("model.diffusion_model.out.2.bias", NULL)), "average of no parameter");
}

/* ---- writing ---- */

static const char *converted(const char *in, const char *out, const char *stage, int tensors)
{
    static char           path[4][512];
    static int            next;
    diffad_convert_result r;
    char                 *to = path[next++ % 4];
    snprintf(to, 512, "%s", folder_path(folder_new(), out));
    cr_assert_eq(diffad_convert(&(diffad_convert_options){ .in = in, .out = to, .stage = stage }, &r), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect_eq(r.tensors[r.files - 1], tensors, "%s: %d tensors", out, r.tensors[r.files - 1]);
    return to;
}

/* Same names, types, shapes and bits; counters become int64, as the published modules have them. */
static void expect_equal(const char *a, const char *b)
{
    diffad_file *x = NULL, *y = NULL;
    cr_assert_eq(diffad_file_open(a, &x), DIFFAD_OK);
    cr_assert_eq(diffad_file_open(b, &y), DIFFAD_OK);
    cr_expect_eq(diffad_file_count(x), diffad_file_count(y));
    for (int i = 0; i < diffad_file_count(x); i++) {
        const diffad_file_tensor *s = diffad_file_at(x, i), *t = diffad_file_find(y, begins(s->name, "module.") ? s->name + 7 : s->name);
        cr_assert(t, "%s is missing", s->name);
        cr_expect(s->type == t->type && diffad_shape_equal(&s->shape, &t->shape) && memcmp(s->data, t->data, (size_t)s->bytes) == 0, "%s", s->name);
    }
    diffad_file_close(x);
    diffad_file_close(y);
}

Test(checkpoint, published_files_come_back_through_safetensors_as_they_were)
{
    expect_equal(DATA "ldm.ckpt", converted(converted(DATA "ldm.ckpt", "a.safetensors", NULL, 416), "b.ckpt", NULL, 566));
    expect_equal(DATA "vae.ckpt", converted(converted(DATA "vae.ckpt", "a.safetensors", NULL, 200), "b.ckpt", NULL, 200));
    expect_equal(DATA "seg.pckl", converted(converted(DATA "seg.pckl", "a.safetensors", NULL, 191), "b.pckl", NULL, 191));
    expect_equal(DATA "draem.pckl", converted(converted(DATA "draem.pckl", "a.safetensors", NULL, 156), "b.pckl", NULL, 156));
}

Test(checkpoint, a_draem_is_written_as_its_two_files)
{
    const char *folder = folder_new(), *in = folder_path(folder, "in.safetensors"), *out = folder_path(folder, "b.pckl");
    diffad_convert_result r;
    char                  line[1024];
    cr_assert_eq(diffad_convert(&(diffad_convert_options){ .in = DATA "draem.pckl", .out = in }, &r), DIFFAD_OK);
    snprintf(line, sizeof line, "cp '%sdraem.pckl' '%sdraem_seg.pckl' '%s'; rm '%s'", DATA, DATA, folder, in);
    cr_assert_eq(system(line), 0);

    cr_assert_eq(diffad_convert(&(diffad_convert_options){ .in = folder, .out = out }, &r), DIFFAD_OK, "%s", diffad_error_detail());

    cr_expect_eq(r.files, 2);
    expect_equal(DATA "draem.pckl", out);
    expect_equal(DATA "draem_seg.pckl", folder_path(folder, "b_seg.pckl"));
}

Test(checkpoint, a_latent_model_gives_its_autoencoder_alone)
{
    diffad_checkpoint c = open_or_die(PATHS(converted(DATA "ldm.ckpt", "v.ckpt", "vae", 150)));
    cr_expect(c.has[PART_VAE] && !c.has[PART_UNET] && !c.has[PART_CRITIC]);
    diffad_checkpoint_close(&c);
}

static void expect_no_conversion(const char *in, const char *out, const char *stage, diffad_status st, const char *part)
{
    diffad_convert_result r;
    const char           *folder = folder_new();
    cr_expect_eq(diffad_convert(&(diffad_convert_options){ .in = in, .out = folder_path(folder, out), .stage = stage }, &r), st, "%s", out);
    cr_expect(strstr(diffad_error_detail(), part), "\"%s\" lacks \"%s\"", diffad_error_detail(), part);
    cr_expect_eq(folder_count(folder), 0);
}

Test(checkpoint, conversions_that_cannot_be_complete_are_refused)
{
    expect_no_conversion(DATA "seg.pckl", "a.ckpt", NULL, DIFFAD_ERR_CHECKPOINT, "holds no U-Net");
    expect_no_conversion(DATA "vae.ckpt", "a.ckpt", "ldm", DIFFAD_ERR_CHECKPOINT, "holds no U-Net");
    expect_no_conversion(DATA "ldm.ckpt", "a.pckl", NULL, DIFFAD_ERR_CHECKPOINT, "holds no segmenter");
    expect_no_conversion(DATA "ldm.ckpt", "a.pckl", "vae", DIFFAD_ERR_USAGE, "goes into a .ckpt");
    expect_no_conversion(DATA "ldm.ckpt", "a.ckpt", "seg", DIFFAD_ERR_USAGE, "goes into a .pckl");
    expect_no_conversion(DATA "ldm.ckpt", "a.onnx", NULL, DIFFAD_ERR_USAGE, "ending");
    expect_no_conversion(DATA "none.ckpt", "a.safetensors", NULL, DIFFAD_ERR_CHECKPOINT, "none.ckpt");
}
