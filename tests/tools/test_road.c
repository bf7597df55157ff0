/* test_road.c: the command's whole road at scale tiny: data, training, evaluation, detection, measuring. */
#include "support/folder.h"
#include "tool.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static json_t *json_of(const char *text)
{
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(json_is_object(root), "not one JSON object: %s", text);
    return root;
}

static json_t *line_of(const char *text, int n)
{
    for (; n > 0; n--)
        text = strchr(text, '\n') + 1;
    json_t *row = json_loadb(text, strcspn(text, "\n"), JSON_REJECT_DUPLICATES, NULL);
    cr_assert(json_is_object(row), "not JSON: %s", text);
    return row;
}

static const char *text_at(const json_t *root, const char *key)
{
    const char *s = json_string_value(json_object_get(root, key));
    cr_assert(s, "no text %s", key);
    return s;
}

static bool has_keys(const json_t *root, const char *const *keys)
{
    for (; *keys; keys++)
        if (!json_object_get(root, *keys)) {
            cr_log_error("no key %s", *keys);
            return false;
        }
    return true;
}

/* A procedural data set and a run over it, of few steps. */
static const char *trained(const char *folder, const char *extra)
{
    const tool_result data = tool_run("data synth '%s/data' --size 48 --train 8 --good 3 --bad 4 --textures 3", folder);
    cr_assert_eq(data.code, 0, "%s", data.err);
    const tool_result r =
        tool_run("train '%s/data' --class cloth --model tiny --out '%s/run' --set train.steps.vae=6 --steps 4 --set "
                 "cache_samples=8 %s",
                 folder, folder, extra);
    cr_assert_eq(r.code, 0, "%s", r.err);
    return folder_path(folder, "run");
}

Test(road, a_run_is_trained_evaluated_and_used, .timeout = 400)
{
    static const char *const eval_keys[]   = { "model",  "class", "steps", "protocol",          "device",
                                               "images", "image", "pixel", "seconds_per_image", "fingerprint",
                                               NULL };
    static const char *const detect_keys[] = { "file", "score", "anomalous", "seconds", "heatmap", "mask", NULL };
    const char       *folder = folder_new(), *run = trained(folder, "--json");
    const tool_result        eval =
        tool_run("eval '%s' --data '%s/data' --class cloth --report '%s/r.html' --maps '%s/maps' --json -q", run,
                 folder, folder, folder);
    const tool_result again = tool_run("eval '%s' --json -q", run);
    json_t           *a = json_of(eval.out), *b = json_of(again.out);

    cr_expect_eq(eval.code, 0, "%s", eval.err);
    cr_expect(has_keys(a, eval_keys));
    cr_expect_eq(json_integer_value(json_object_get(a, "images")), 7);
    cr_expect(json_is_number(json_object_get(json_object_get(a, "pixel"), "aupro")));
    cr_expect_str_eq(text_at(a, "fingerprint"), text_at(b, "fingerprint"));
    cr_expect_eq(json_number_value(json_object_get(json_object_get(a, "image"), "auroc")),
                 json_number_value(json_object_get(json_object_get(b, "image"), "auroc")));
    cr_expect_eq(access(folder_path(folder, "r.html"), R_OK), 0);
    cr_expect_eq(folder_count(folder_path(folder, "maps/cloth/test")) > 1, true);

    const tool_result detect =
        tool_run("detect '%s' '%s/data/cloth/test' --out '%s/out' --json -q --threshold 0 --fail-on-anomaly", run,
                 folder, folder);
    json_t           *row = line_of(detect.out, 0);

    cr_expect_eq(detect.code, 1, "%s", detect.err);
    cr_expect(has_keys(row, detect_keys));
    cr_expect(json_is_true(json_object_get(row, "anomalous")));
    cr_expect_eq(access(text_at(row, "heatmap"), R_OK), 0);
    cr_expect_eq(folder_count(folder_path(folder, "out")), 3 * 7, "heat map, mask and row of each picture");
    cr_expect_eq(tool_run("detect '%s' '%s/data/cloth/test' -q --threshold 9 --fail-on-anomaly", run, folder).code, 0);
    json_decref(a);
    json_decref(b);
    json_decref(row);
}

/* The published form at sizes for a CPU: 8 pictures are 4 batches of 2, 2 steps an epoch; the U-Net's length is in steps. */
static void write_published(const char *folder)
{
    static const char autoencoder[] = "embed_dim: 4, monitor: m, ddconfig: { double_z: True, z_channels: 4, resolution: 32, in_channels: 3, out_ch: 3, ch: 32, "
                                      "ch_mult: [1, 2, 2], num_res_blocks: 1, attn_resolutions: [], dropout: ";
    static const char data[] = "data: { params: { batch_size: 2, num_workers: 0, train: { params: { resize_shape: [32, 32] } } } }\n";
    FILE *kl = fopen(folder_path(folder, "kl.yaml"), "w"), *ldm = fopen(folder_path(folder, "ldm.yaml"), "w");
    cr_assert(kl && ldm);
    fprintf(kl, "model: { base_learning_rate: 4.5e-6, target: x.AutoencoderKL, params: { %s 0.5 }, lossconfig: { target: y.LPIPSWithDiscriminator, params: "
                "{ disc_start: 3, kl_weight: 0.000001, disc_weight: 0.5 } } } }\n%slightning: { trainer: { accumulate_grad_batches: 2, max_epochs: 3 } }\n", autoencoder, data);
    fprintf(ldm, "model: { base_learning_rate: 2e-6, target: x.LatentDiffusion, params: { linear_start: 0.0015, linear_end: 0.02, timesteps: 1000, image_size: 8, "
                 "channels: 4, conditioning_key: concat, cond_stage_key: augmented_image, cond_stage_config: __is_first_stage__, unet_config: { target: z.UNetModel, "
                 "params: { in_channels: 8, out_channels: 4, model_channels: 32, attention_resolutions: [2, 1], num_res_blocks: 1, channel_mult: [1, 2], "
                 "num_head_channels: 16 } }, first_stage_config: { target: x.AutoencoderKL, params: { %s 0.0 }, lossconfig: { target: torch.nn.Identity } } } } }\n"
                 "%slightning: { trainer: { max_steps: 5 } }\n", autoencoder, data);
    fclose(kl);
    fclose(ldm);
}

static const char *explained(json_t *root, const char *name, const char *key)
{
    json_t *values = json_object_get(root, "values");
    for (size_t i = 0; i < json_array_size(values); i++)
        if (strcmp(text_at(json_array_get(values, i), "name"), name) == 0)
            return text_at(json_array_get(values, i), key);
    return "";
}

Test(road, published_configurations_are_trained_as_they_are, .timeout = 400)
{
    const char *folder = folder_new();
    write_published(folder);
    cr_assert_eq(tool_run("data synth '%s/data' --size 48 --train 8 --good 1 --bad 1 --textures 3", folder).code, 0);
    const tool_result train = tool_run("train '%s/data' --class cloth --scale tiny --config '%s/kl.yaml' --config '%s/ldm.yaml' --set cache_samples=4 "
                                       "--set train.seg.steps=3 --out '%s/run'", folder, folder, folder, folder);
    cr_assert_eq(train.code, 0, "%s", train.err);
    const char *said = strstr(train.err, "kl.yaml: keys without a use here: ");
    cr_expect(said && !strstr(said + 1, "kl.yaml: keys"), "said once: %s", train.err);
    cr_expect(strstr(train.err, "6 steps of 2 x 2 pictures, rate 1.8e-05"), "%s", train.err);

    const tool_result explain = tool_run("explain '%s/run' --json", folder);
    json_t           *root = json_of(explain.out);

    cr_expect_eq(explain.code, 0, "%s", explain.err);
    cr_expect_str_eq(explained(root, "train.vae.steps", "value"), "6");
    cr_expect_str_eq(explained(root, "train.ldm.steps", "value"), "5");
    cr_expect_str_eq(explained(root, "autoencoder.dropout", "value"), "0.5");
    cr_expect_str_eq(explained(root, "train.vae.rate", "source"), "run.json");
    cr_expect(strstr(explained(root, "segmenter.base_channels", "source"), "tiny.yaml"));
    json_decref(root);
}

Test(road, a_used_run_folder_is_refused_and_resumed_with_the_same_weights, .timeout = 400)
{
    const char       *folder = folder_new(), *run = trained(folder, "");
    const tool_result refused =
        tool_run("train '%s/data' --class cloth --model tiny --out '%s' --steps 4", folder, run);
    const tool_result other =
        tool_run("train '%s/data' --class cloth --model tiny --out '%s/other' --set train.vae.steps=6 --steps 4 --set "
                 "cache_samples=8 --json -q",
                 folder, folder);
    const tool_result resumed =
        tool_run("train '%s/data' --class cloth --model tiny --out '%s' --set train.vae.steps=6 --steps 4 --set "
                 "cache_samples=8 --resume --json -q",
                 folder, run);
    json_t           *a = json_of(other.out), *b = json_of(resumed.out);

    cr_expect_eq(refused.code, 2);
    cr_expect(strstr(refused.err, "--resume"), "%s", refused.err);
    cr_expect_str_eq(text_at(a, "fingerprint"), text_at(b, "fingerprint"));
    cr_expect_eq(strlen(text_at(a, "fingerprint")), 16);
    json_decref(a);
    json_decref(b);
}

Test(road, a_signal_saves_and_the_run_continues_to_the_same_weights, .timeout = 400)
{
    const char       *folder = folder_new();
    const tool_result data = tool_run("data synth '%s/data' --size 48 --train 8 --good 1 --bad 1 --textures 3", folder);
    char              options[512];
    snprintf(options, sizeof options,
             "train '%s/data' --class cloth --model tiny --seed 3 --steps 40 --stage vae -q --json", folder);
    const tool_result whole = tool_run("%s --out '%s/whole'", options, folder);
    const tool_result cut = tool_run("%s --out '%s/cut' & p=$!; while ! [ -s '%s/cut/metrics.jsonl' ]; do sleep 0.01; "
                                     "done; kill -TERM $p; wait $p", options, folder, folder);
    const tool_result rest = tool_run("%s --out '%s/cut' --resume", options, folder);
    json_t           *a = json_of(whole.out), *b = json_of(rest.out);

    cr_expect_eq(data.code, 0);
    cr_expect_eq(cut.code, 143, "%d %s", cut.code, cut.err);
    cr_expect(strstr(cut.err, "--resume"), "%s", cut.err);
    cr_expect_str_eq(text_at(a, "fingerprint"), text_at(b, "fingerprint"));
    json_decref(a);
    json_decref(b);
}

Test(road, a_second_training_in_one_folder_ends_with_7_and_a_killed_one_holds_nothing, .timeout = 400)
{
    const char       *folder = folder_new();
    const tool_result data = tool_run("data synth '%s/data' --size 48 --train 8 --good 1 --bad 1 --textures 3", folder);
    char              options[512];
    snprintf(options, sizeof options, "train '%s/data' --class cloth --model tiny --steps 100000 --stage vae -q --out '%s/run'", folder, folder);
    const tool_result both = tool_run("%s & p=$!; while ! [ -s '%s/run/metrics.jsonl' ]; do sleep 0.01; done; '%s' %s --resume; code=$?; "
                                      "kill -KILL $p; wait $p; exit $code", options, folder, DIFFAD_TOOL, options);
    const tool_result rest = tool_run("%s --resume & p=$!; sleep 1; kill -TERM $p; wait $p", options);

    cr_expect_eq(data.code, 0);
    cr_expect_eq(both.code, 7, "%d %s", both.code, both.err);
    cr_expect(strstr(both.err, "another process works in"), "%s", both.err);
    cr_expect_eq(rest.code, 143, "%d %s", rest.code, rest.err);
}

Test(road, a_plain_folder_of_good_images_gives_a_threshold, .timeout = 400)
{
    const char       *folder = folder_new();
    const tool_result data =
        tool_run("data synth '%s/data' --size 48 --train 12 --good 1 --bad 1 --textures 3", folder);
    const tool_result train =
        tool_run("train '%s/data/cloth/train/good' --model tiny --out '%s/run' --steps 4 --set cache_samples=8 -q",
                 folder, folder);
    const tool_result detect = tool_run("detect '%s/run' '%s/data/cloth/test' --json -q", folder, folder);
    json_t           *row = line_of(detect.out, 0);

    cr_expect_eq(data.code, 0);
    cr_expect_eq(train.code, 0, "%s", train.err);
    cr_expect_eq(detect.code, 0, "%s", detect.err);
    cr_expect(json_is_boolean(json_object_get(row, "anomalous")), "%s", detect.out);
    json_decref(row);
}

Test(road, a_broken_picture_ends_with_3_now_or_with_keep_going_at_the_end, .timeout = 400)
{
    const char *folder = folder_new(), *run = trained(folder, "");
    FILE       *f = fopen(folder_path(folder, "data/cloth/test/good/000.png"), "wb");
    fputs("not a picture", f);
    fclose(f);
    const tool_result stops = tool_run("detect '%s' '%s/data/cloth/test/good' -q --json", run, folder);
    const tool_result goes_on = tool_run("detect '%s' '%s/data/cloth/test/good' -q --json --keep-going", run, folder);

    cr_expect_eq(stops.code, 3);
    cr_expect_str_empty(stops.out);
    cr_expect_eq(goes_on.code, 3);
    json_decref(line_of(goes_on.out, 1));
}

Test(road, demo_is_done_once, .timeout = 400)
{
    const char       *folder = folder_new();
    const tool_result first = tool_run("demo --out '%s/demo' --scale tiny --json", folder);
    const tool_result second = tool_run("demo --out '%s/demo' --scale tiny --json -q", folder);
    json_t           *root = json_of(first.out);

    cr_expect_eq(first.code, 0, "%s", first.err);
    cr_expect_eq(access(folder_path(folder, "demo/report.html"), R_OK), 0);
    cr_expect_str_eq(first.out, second.out);
    json_decref(root);
}

Test(road, bench_of_a_model_has_stages_and_medians, .timeout = 400)
{
    static const char *const keys[] = { "device", "model", "batch", "precision", "stages", "ms", "gflop", "gflops",
                                        "launches", "peak_bytes", "build_ms_cold", "build_ms_warm", NULL };
    static const char *const stage_keys[] = { "name", "ms", "ms_min", "ms_max", "gflop", "gflops", "launches", NULL };
    const tool_result r = tool_run("bench model=tiny --repeat 3 --no-build --json -q");
    json_t           *root = json_of(r.out);
    const json_t     *stages = json_object_get(root, "stages");

    cr_expect_eq(r.code, 0, "%s", r.err);
    cr_expect(has_keys(root, keys));
    cr_expect_eq(json_array_size(stages), 4);
    for (size_t i = 0; i < json_array_size(stages); i++)
        cr_expect(has_keys(json_array_get(stages, i), stage_keys));
    cr_expect(json_number_value(json_object_get(root, "ms")) > 0);
    json_decref(root);
}

Test(road, a_plan_tells_what_less_memory_costs_and_writes_nothing, .timeout = 400)
{
    const char       *folder = folder_new();
    const tool_result data = tool_run("data synth '%s/data' --size 48 --train 8 --good 1 --bad 1 --textures 3", folder);
    const tool_result plan = tool_run("train '%s/data' --class cloth --model tiny --stage vae --batch 16 --steps 4 --out '%s/run' --plan", folder, folder);

    cr_assert_eq(data.code, 0, "%s", data.err);
    cr_expect_eq(plan.code, 0, "%s", plan.err);
    cr_expect(strstr(plan.err, "times as long)") && strstr(plan.err, "without --max-memory"), "%s", plan.err);
    cr_expect(strstr(plan.err, "less: stage vae does not fit"), "%s", plan.err);
    cr_expect_neq(access(folder_path(folder, "run"), F_OK), 0);

    const tool_result none = tool_run("train '%s/data' --class cloth --model tiny --stage vae --steps 4 --out '%s/run' --max-memory 1MiB", folder, folder);
    cr_expect_eq(none.code, 6, "%d: %s", none.code, none.err);
    cr_expect(strstr(none.err, "does not fit into 1.0 MiB") && strstr(none.err, "take"), "%s", none.err);
}

Test(road, bench_of_training_has_a_step_of_each_stage_and_traces, .timeout = 400)
{
    static const char *const stages[] = { "vae", "ldm", "seg" };
    static const char *const keys[] = { "name", "batch", "ms", "gflop", "gflops", "launches", "peak_bytes", NULL };
    const char       *folder = folder_new();
    const tool_result r = tool_run("bench model=tiny --train --batch 2 --repeat 2 --profile '%s/t' --json -q", folder);
    json_t           *row = line_of(r.out, 0);
    char              name[16];

    cr_assert_eq(r.code, 0, "%s", r.err);
    for (size_t i = 0; i < 3; i++) {
        const json_t *stage = json_array_get(json_object_get(row, "stages"), i);
        cr_expect(has_keys(stage, keys));
        cr_expect_str_eq(text_at(stage, "name"), stages[i]);
        cr_expect_eq(json_integer_value(json_object_get(stage, "batch")), 2);
        cr_expect_gt(json_number_value(json_object_get(stage, "gflops")), 0);
        snprintf(name, sizeof name, "t.%s", stages[i]);
        json_t *trace = json_load_file(folder_path(folder, name), 0, NULL);
        cr_expect_geq(json_array_size(trace), json_integer_value(json_object_get(stage, "launches")));
        json_decref(trace);
    }
    cr_expect_eq(tool_run("bench model=tiny --batch 257").code, 2);
    cr_expect_eq(tool_run("bench model=tiny --train --size 64").code, 2);
    const tool_result pair = tool_run("bench model=tiny --batch 2 --size 64 --repeat 1 --no-build --json -q");
    json_t           *two = line_of(pair.out, 0);
    cr_expect_eq(pair.code, 0, "%s", pair.err);
    cr_expect_eq(json_integer_value(json_object_get(two, "size")), 64);
    cr_expect_float_eq(2 * json_number_value(json_object_get(two, "ms_per_image")), json_number_value(json_object_get(two, "ms")), 1e-2);
    json_decref(two);
    cr_expect_eq(tool_run("bench model=tiny --max-memory 1GiB").code, 2);
    cr_expect_eq(tool_run("bench op=silu --train").code, 2);

    FILE *f = fopen(folder_path(folder, "rows.jsonl"), "w");
    fprintf(f, "{\"model\":\"diffad\",\"scale\":\"tiny\",\"ms\":7}\n%s", r.out);
    fclose(f);
    const tool_result again = tool_run("bench model=tiny --train --batch 2 --repeat 2 --against '%s/rows.jsonl' --json -q", folder);
    json_t           *now = line_of(again.out, 0);
    cr_assert_eq(again.code, 0, "%s", again.err);
    for (size_t i = 0; i < 3; i++) {
        const json_t *a = json_array_get(json_object_get(row, "stages"), i), *b = json_array_get(json_object_get(now, "stages"), i);
        const double  ratio = json_number_value(json_object_get(b, "ms")) / json_number_value(json_object_get(a, "ms"));
        cr_expect_float_eq(json_number_value(json_object_get(b, "against")), ratio, 1e-3 * ratio);
    }
    cr_expect_eq(tool_run("bench model=fast --train --against '%s/rows.jsonl'", folder).code, 3, "no such row");
    cr_expect_eq(tool_run("bench model=tiny --against '%s/t.vae' --no-build", folder).code, 3, "not rows of bench");
    json_decref(now);
    json_decref(row);
}

/* An interpreter that takes the place of python3: it answers as the script does, and notes what it was asked for. */
Test(road, bench_of_training_takes_its_turn_with_pytorch, .timeout = 400)
{
    const char *folder = folder_new(), *python = folder_path(folder, "python");
    FILE       *f = fopen(python, "w");
    fprintf(f, "#!/bin/sh\necho \"$1 $3 $4 $5 $6\" >>'%s/asked'\necho '{\"torch\": \"9.9\", \"device\": \"d\", \"threads\": 1, \"layout\": \"l\", "
               "\"parameters\": 5}'\nwhile read word; do [ $word = run ] || break; echo '{\"seconds\": 7}'; done\necho '{\"peak_rss\": 11, \"beyond_weights\": 4000}'\n", folder);
    fclose(f);
    chmod(python, 0755);
    setenv("DIFFAD_PYTHON", python, 1);
    const tool_result r = tool_run("bench model=tiny --train --batch 2 --repeat 2 --threads 1 --pytorch --json -q");
    json_t           *row = line_of(r.out, 0);

    cr_assert_eq(r.code, 0, "%s", r.err);
    for (size_t i = 0; i < 3; i++) {
        const json_t *stage = json_array_get(json_object_get(row, "stages"), i), *theirs = json_object_get(stage, "pytorch");
        const double  ratio = json_number_value(json_object_get(theirs, "ratio"));
        cr_expect_eq(json_number_value(json_object_get(theirs, "ms")), 7000);
        cr_expect_eq(json_integer_value(json_object_get(theirs, "peak_rss")), 11);
        const double beyond = (double)json_integer_value(json_object_get(stage, "beyond_weights"));
        cr_expect_float_eq(json_number_value(json_object_get(theirs, "memory_ratio")) * 4000, beyond, 0.001 * beyond);
        cr_expect(ratio > 0 && ratio <= 7000 / json_number_value(json_object_get(stage, "ms_min")) * 1.001, "%g", ratio);
    }
    const tool_result asked = tool_run("cache info -q; cat '%s/asked'", folder);
    cr_expect(strstr(asked.out, "bench_train.py vae 1 ") && strstr(asked.out, "bench_train.py seg 1 "), "%s", asked.out);
    json_decref(row);
}

Test(road, bench_of_an_op_has_a_peak_and_a_row_for_each_way, .timeout = 400)
{
    const char       *folder = folder_new();
    const tool_result r = tool_run("bench op=silu --repeat 2 --json -q");
    json_t           *peak = line_of(r.out, 0), *row = line_of(r.out, 1);

    cr_expect_eq(r.code, 0, "%s", r.err);
    cr_expect(json_number_value(json_object_get(peak, "peak_gflops")) > 0);
    cr_expect(json_number_value(json_object_get(row, "us")) > 0);

    FILE *f = fopen(folder_path(folder, "rows.jsonl"), "w");
    fputs(r.out, f);
    fclose(f);
    const tool_result again = tool_run("bench op=silu --repeat 2 --against '%s/rows.jsonl' --json -q", folder);
    json_t           *now = line_of(again.out, 1);
    const double      ratio = json_number_value(json_object_get(now, "us")) / json_number_value(json_object_get(row, "us"));
    cr_expect_eq(again.code, 0, "%s", again.err);
    cr_expect_float_eq(json_number_value(json_object_get(now, "against")), ratio, 1e-3 * ratio);
    cr_expect_eq(tool_run("bench op=relu --against '%s/rows.jsonl'", folder).code, 3, "no row of this op");
    json_decref(now);
    json_decref(peak);
    json_decref(row);

    const tool_result maps = tool_run("bench op=max_pool --repeat 1 --json -q"), masked = tool_run("bench op=max_pool --repeat 1 --device cpu --json -q");
    cr_expect(maps.code == 0 && (strstr(maps.out, "\"layout\": \"blocked\"") || strstr(maps.out, "\"layout\": \"plain\"")), "%s", maps.out);
    cr_expect(masked.code != 0 || strstr(masked.out, "\"layout\": \"blocked\""), "on a CPU maps lie in blocks: %s", masked.out);
}
