/* test_checkpoints.c: the commands on files of weights that the published code wrote (tests/data/checkpoints). */
#include "support/folder.h"
#include "support/zip_bytes.h"
#include "tool.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA DIFFAD_TEST_DIR "/data/checkpoints/"
#define DESCRIPTION "--scale tiny --config " DATA "description.json"

static const char *pictures(const char *folder)
{
    const tool_result r = tool_run("data synth '%s/data' --size 48 --train 4 --good 1 --bad 1 --textures 1 -q", folder);
    cr_assert_eq(r.code, 0, "%s", r.err);
    return folder_path(folder, "data");
}

static void expect_line(const tool_result *r, int code, const char *part)
{
    cr_expect_eq(r->code, code, "%d: %s", r->code, r->err);
    cr_expect(strstr(r->err, part), "\"%s\" lacks \"%s\"", r->err, part);
    cr_expect_eq(strlen(r->err) - strcspn(r->err, "\n"), 1, "one line: %s", r->err);
}

static char *fingerprint_of(const char *json)
{
    json_t *root = json_loads(json, 0, NULL);
    char   *text = strdup(json_string_value(json_object_get(root, "fingerprint")));
    cr_assert(text, "%s", json);
    json_decref(root);
    return text;
}

/* The files themselves, a folder of them, a run that took them over, and files made from that run: one model. */
Test(checkpoints, published_files_are_evaluated_trained_on_and_written_again_as_one_model, .timeout = 400)
{
    const char *folder = folder_new(), *data = pictures(folder);
    const tool_result files = tool_run("eval " DATA "ldm.ckpt --weights " DATA "seg.pckl --data '%s' --class cloth " DESCRIPTION " --json -q", data);
    cr_assert_eq(files.code, 0, "%s", files.err);
    char *want = fingerprint_of(files.out);

    cr_assert_eq(tool_run("convert " DATA "ldm.ckpt '%s/a.safetensors'", folder).code, 0);
    const tool_result run = tool_run("train '%s' --class cloth " DESCRIPTION " --from " DATA "ldm.ckpt --from " DATA "seg.pckl --out '%s/run' --json -q",
                                     data, folder);
    const tool_result eval = tool_run("eval '%s/run' --json -q", folder);
    const tool_result latent = tool_run("convert '%s/run' '%s/x/b.ckpt'", folder, folder);
    cr_expect_eq(latent.code, 7, "a folder that is not there");
    char line[1024];
    snprintf(line, sizeof line, "mkdir '%s/x'", folder);
    cr_assert_eq(system(line), 0);
    cr_assert_eq(tool_run("convert '%s/run' '%s/x/b.ckpt'", folder, folder).code, 0);
    cr_assert_eq(tool_run("convert '%s/run' '%s/x/b.pckl'", folder, folder).code, 0);
    const tool_result again = tool_run("eval '%s/x' --data '%s' --class cloth " DESCRIPTION " --json -q", folder, data);

    cr_expect_eq(run.code, 0, "%s", run.err);
    cr_expect_str_eq(fingerprint_of(run.out), want);
    cr_expect_str_eq(fingerprint_of(eval.out), want);
    cr_expect_eq(again.code, 0, "%s", again.err);
    cr_expect_str_eq(fingerprint_of(again.out), want);
    json_t *a = json_loads(files.out, 0, NULL), *b = json_loads(eval.out, 0, NULL), *c = json_loads(again.out, 0, NULL);
    cr_expect(json_equal(json_object_get(a, "pixel"), json_object_get(b, "pixel")) && json_equal(json_object_get(a, "pixel"), json_object_get(c, "pixel")));
    json_decref(a);
    json_decref(b);
    json_decref(c);
}

/* A safetensors file with one value, as scale_by_std leaves it in a checkpoint. */
static const char *scale_file(const char *folder, float scale)
{
    static const char header[] = "{\"scale_factor\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}";
    const char *path = folder_path(folder, "scale.safetensors");
    const unsigned char length[8] = { sizeof header - 1 };
    FILE *f = fopen(path, "wb");
    fwrite(length, 1, 8, f);
    fwrite(header, 1, sizeof header - 1, f);
    fwrite(&scale, 1, 4, f);
    fclose(f);
    return path;
}

static double latent_scale_of(const char *folder, const char *run)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s/run.json", folder, run);
    json_t      *root = json_load_file(path, 0, NULL);
    const double v = json_number_value(json_object_get(root, "latent_scale"));
    json_decref(root);
    return v;
}

Test(checkpoints, the_scale_of_latents_and_the_choice_of_weights_are_taken_over_and_said, .timeout = 400)
{
    const char *folder = folder_new(), *data = pictures(folder), *scale = scale_file(folder, 0.25f);
    char        given[2048];
    snprintf(given, sizeof given, "train '%s' --class cloth " DESCRIPTION " --steps 1 --from " DATA "ldm.ckpt --from " DATA "seg.pckl", data);
    const tool_result raw = tool_run("%s --from '%s' --out '%s/raw' --json", given, scale, folder);
    const tool_result first = tool_run("%s --out '%s/fixed'", given, folder);
    const tool_result std = tool_run("train '%s' --class cloth " DESCRIPTION " --set scale_from=std --steps 1 --stage ldm --from '%s' --from " DATA
                                     "ldm.ckpt --out '%s/std'", data, scale, folder);
    const tool_result vae = tool_run("train '%s' --class cloth " DESCRIPTION " --set scale_from=std --steps 1 --stage ldm --from " DATA
                                     "vae.ckpt --out '%s/vae'", data, folder);
    const tool_result ema = tool_run("%s --set sample_weights=ema --from '%s' --out '%s/ema' --json", given, scale, folder);

    cr_expect_eq(raw.code + first.code + std.code + vae.code + ema.code, 0, "%s%s%s%s%s", raw.err, first.err, std.err, vae.err, ema.err);
    cr_expect(strstr(raw.err, "plain weights (--set sample_weights=ema"), "%s", raw.err);
    cr_expect(strstr(ema.err, "the average (--set sample_weights=raw"), "%s", ema.err);
    cr_expect_eq(latent_scale_of(folder, "fixed"), 1);
    cr_expect_eq(latent_scale_of(folder, "raw"), 0.25);
    cr_expect_str_eq(fingerprint_of(raw.out), fingerprint_of(ema.out), "both kinds stay in the run");
    cr_expect_eq(latent_scale_of(folder, "std"), 0.25);
    cr_expect(strstr(std.err, "latents times 0.25;") || strstr(std.err, "latents times 0.25\n"), "%s", std.err);
    cr_expect(strstr(vae.err, "(measured)") && latent_scale_of(folder, "vae") != 1, "%s", vae.err);
}

/* What the run wrote has its description with it. */
Test(checkpoints, files_of_a_run_need_no_description_and_no_scale, .timeout = 400)
{
    const char       *folder = folder_new(), *data = pictures(folder);
    const tool_result r = tool_run("train '%s' --class cloth " DESCRIPTION " --from " DATA "ldm.ckpt --from " DATA "seg.pckl --out '%s/run' -q", data, folder);
    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_assert_eq(tool_run("convert '%s/run' '%s/b.ckpt'", folder, folder).code, 0);
    const tool_result d = tool_run("detect '%s/b.ckpt' --weights " DATA "seg.pckl '%s/cloth/test' --json", folder, data);
    cr_expect_eq(d.code, 0, "%s", d.err);
    cr_expect(strstr(d.err, "32x32 pictures"), "%s", d.err);
}

Test(checkpoints, a_draem_is_found_by_its_first_file, .timeout = 400)
{
    const char       *data = pictures(folder_new());
    const tool_result r = tool_run("detect " DATA "draem.pckl '%s/cloth/test' " DESCRIPTION " --json", data);
    const tool_result named = tool_run("detect " DATA "draem.pckl --weights " DATA "draem_seg.pckl '%s/cloth/test' --model draem " DESCRIPTION " --json -q",
                                       data);
    cr_expect_eq(r.code, 0, "%s", r.err);
    cr_expect_eq(named.code, 0, "%s", named.err);
    cr_expect(strstr(r.out, "\"score\": ") && strstr(r.err, "weights of draem"), "%s%s", r.out, r.err);
}

Test(checkpoints, lpips_in_two_files_trains_the_first_stage, .timeout = 400)
{
    const char       *folder = folder_new(), *data = pictures(folder);
    const tool_result r = tool_run("train '%s' --class cloth " DESCRIPTION " --stage vae --steps 2 --lpips " DATA "vgg16.pth --lpips " DATA
                                   "lpips_lin.pth --out '%s/run' -q", data, folder);
    const tool_result half = tool_run("train '%s' --class cloth " DESCRIPTION " --stage vae --steps 2 --lpips " DATA "vgg16.pth --out '%s/half' -q", data, folder);
    cr_expect_eq(r.code, 0, "%s", r.err);
    expect_line(&half, 4, "lin0.model.1.weight (missing)");
}

Test(checkpoints, what_does_not_fit_is_named_with_both_shapes_and_ends_with_4, .timeout = 400)
{
    const char       *folder = folder_new(), *data = pictures(folder);
    const tool_result detect = tool_run("detect " DATA "ldm.ckpt --weights " DATA "seg.pckl '%s/cloth/test' --scale tiny -q", data);
    const tool_result train = tool_run("train '%s' --class cloth --scale tiny --from " DATA "ldm.ckpt --out '%s/run' -q", data, folder);
    const tool_result part = tool_run("detect " DATA "ldm.ckpt '%s/cloth/test' " DESCRIPTION " -q", data);
    const tool_result noise = tool_run("detect " DATA "ldm.ckpt --weights " DATA "seg.pckl '%s/cloth/test' " DESCRIPTION
                                       " --set diffusion.linear_end=0.03 -q", data);
    expect_line(&detect, 4, "is [32,32,3,3], must be [64,32,3,3]");
    expect_line(&train, 4, "is [32,32,3,3], must be [64,32,3,3]");
    expect_line(&part, 4, "no segmenter");
    expect_line(&noise, 4, "alphas_cumprod[");
    cr_expect_eq(access(folder_path(folder, "run/vae.safetensors"), F_OK), -1, "nothing is taken over");
}

/* Whichever command meets it: exit code 4, one line, nothing run. */
Test(checkpoints, a_hostile_file_ends_every_command_with_4_and_a_line, .timeout = 400)
{
    static const char pickle[] = "\x80\x02" "cos\nsystem\nX\x1c\0\0\0touch /tmp/diffad_was_here_XX\x85R.";
    static unsigned char bytes[4096];
    const char  *folder = folder_new(), *data = pictures(folder), *bad = folder_path(folder, "bad.ckpt");
    const size_t n = zip_torch(pickle, sizeof pickle - 1, 16, bytes, sizeof bytes);
    FILE        *f = fopen(bad, "wb");
    cr_assert_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
    const tool_result results[] = {
        tool_run("convert '%s' '%s/out.safetensors'", bad, folder),
        tool_run("detect '%s' '%s/cloth/test' -q", bad, data),
        tool_run("eval '%s' --data '%s' --class cloth -q", bad, data),
        tool_run("train '%s' --class cloth --scale tiny --from '%s' --out '%s/run' -q", data, bad, folder),
        tool_run("train '%s' --class cloth --scale tiny --lpips '%s' --out '%s/run' --resume -q", data, bad, folder),
    };
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        expect_line(&results[i], 4, "data.pkl, byte 2: names the global os.system");
        cr_expect(strstr(results[i].err, bad), "%s", results[i].err);
    }
    cr_expect_eq(access("/tmp/diffad_was_here_XX", F_OK), -1);
    cr_expect_eq(access(folder_path(folder, "out.safetensors"), F_OK), -1);
}

Test(checkpoints, options_for_weights_do_not_belong_to_a_run_folder)
{
    const char *folder = folder_new(), *data = pictures(folder);
    FILE       *f = fopen(folder_path(folder, "run.json"), "w");
    fclose(f);
    const tool_result run = tool_run("detect '%s' '%s/cloth/test' --scale tiny -q", folder, data), eval = tool_run("eval " DATA "ldm.ckpt -q");
    expect_line(&run, 2, "is a run folder");
    expect_line(&eval, 2, "--data");
}
