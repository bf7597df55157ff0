/* test_reproduce.c: the grid of `diffad reproduce` at scale tiny: killed, stopped and continued; extended; with a run that fails. */
#include "support/folder.h"
#include "tool.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Two procedural classes, cloth and washer. */
static const char *data_in(const char *folder)
{
    const tool_result r = tool_run("data synth '%s/data' --size 48 --train 8 --good 3 --bad 4 --textures 3", folder);
    cr_assert_eq(r.code, 0, "%s", r.err);
    return folder_path(folder, "data");
}

static json_t *record_of(const char *folder, const char *out)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s/reproduce.json", folder, out);
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(json_is_object(root), "%s is no JSON object", path);
    return root;
}

static const json_t *cell_of(const json_t *record, const char *folder)
{
    size_t        i;
    const json_t *cell;
    json_array_foreach(json_object_get(record, "cells"), i, cell)
        if (strcmp(json_string_value(json_object_get(cell, "folder")), folder) == 0)
            return cell;
    return NULL;
}

static const char *text_at(const json_t *root, const char *key)
{
    const char *s = json_string_value(json_object_get(root, key));
    return s ? s : "(none)";
}

static const json_t *stage_of(const json_t *cell, int i) { return json_array_get(json_object_get(cell, "stages"), (size_t)i); }

static void expect_equal_results(const json_t *a, const json_t *b)
{
    static const char *const keys[] = { "state", "fingerprint", "description", "train_steps", "seed" };
    const size_t n = json_array_size(json_object_get(a, "cells"));
    cr_expect_eq(json_array_size(json_object_get(b, "cells")), n);
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(json_object_get(a, "cells"), i), *y = cell_of(b, text_at(x, "folder"));
        cr_assert_not_null(y, "%s is missing", text_at(x, "folder"));
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            cr_expect(json_equal(json_object_get(x, keys[k]), json_object_get(y, keys[k])), "%s: %s differs", text_at(x, "folder"), keys[k]);
        for (size_t s = 0; s < json_array_size(json_object_get(x, "stages")); s++)
            cr_expect_str_eq(text_at(stage_of(x, (int)s), "from"), text_at(stage_of(y, (int)s), "from"));
        const json_t *p = json_array_get(json_object_get(x, "evaluations"), 0), *q = json_array_get(json_object_get(y, "evaluations"), 0);
        cr_assert(json_is_object(p) && json_is_object(q), "%s was not evaluated", text_at(x, "folder"));
        cr_expect(json_equal(json_object_get(p, "protocols"), json_object_get(q, "protocols")), "%s: metrics differ", text_at(x, "folder"));
    }
}

/* The lines of tables.csv that hold no time and no memory. */
static char *metric_lines(const char *folder, const char *out)
{
    char   path[1024], line[1024];
    size_t used = 0;
    snprintf(path, sizeof path, "%s/%s/tables.csv", folder, out);
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);
    cr_assert_not_null(f, "%s is missing", path);
    while (fgets(line, sizeof line, f))
        if (!strstr(line, ",seconds,") && !strstr(line, "_mib,"))
            used += (size_t)snprintf(text + used, (1 << 20) - used, "%s", line);
    fclose(f);
    return text;
}

Test(reproduce, a_grid_that_is_killed_and_stopped_and_continued_reaches_the_same_results, .timeout = 600)
{
    const char *folder = folder_new();
    char        options[1024];
    int         code = -1, killed = 0;
    snprintf(options, sizeof options, "reproduce '%s' --scale tiny --models diffad,diffad_no_inter,draem --train-steps 5 --stage-steps "
             "vae=24,ldm=24,seg=24,draem=40 --set cache_samples=8 --save-seconds 0.05 -q", data_in(folder));
    const tool_result whole = tool_run("%s --out '%s/whole'", options, folder);
    cr_assert_eq(whole.code, 0, "%s", whole.err);

    const tool_result cut = tool_run("%s --out '%s/cut' & p=$!; while ! [ -s '%s/cut/cloth/seed0/diffad/metrics.jsonl' ]; do sleep 0.01; "
                                     "done; kill -TERM $p; wait $p", options, folder, folder);
    cr_expect_eq(cut.code, 143, "%d %s", cut.code, cut.err);
    for (int i = 0; i < 30 && code != 0; i++) {      /* without warning, again and again, later each time */
        const tool_result r = tool_run("%s --out '%s/cut' & p=$!; (sleep %d.%d; kill -KILL $p 2>'%s/none') & wait $p", options, folder,
                                       i / 4, 2 * (i % 4) + 3, folder);
        code = r.code;
        cr_assert(code == 0 || code == 128 + 9, "%d %s", code, r.err);
        killed += code != 0;
        char partial[1024];
        snprintf(partial, sizeof partial, "%s/cut/tables.html", folder);
        cr_expect_eq(access(partial, R_OK), 0);
    }
    cr_expect_eq(code, 0);
    cr_expect_geq(killed, 2, "only %d kills hit it", killed);

    json_t *a = record_of(folder, "whole"), *b = record_of(folder, "cut");
    cr_expect_eq(json_array_size(json_object_get(a, "cells")), 6);
    expect_equal_results(a, b);
    cr_expect_str_eq(metric_lines(folder, "whole"), metric_lines(folder, "cut"));
    const json_t *no_inter = cell_of(a, "washer/seed0/diffad_no_inter"), *own = cell_of(a, "washer/seed0/diffad");
    cr_expect_str_eq(text_at(stage_of(no_inter, 0), "from"), "washer/seed0/diffad");
    cr_expect_str_eq(text_at(stage_of(no_inter, 1), "from"), "washer/seed0/diffad");
    cr_expect_str_eq(text_at(stage_of(no_inter, 2), "from"), "(none)");
    cr_expect_gt(json_number_value(json_object_get(stage_of(own, 1), "seconds")), 0);
    cr_expect_gt(json_integer_value(json_object_get(stage_of(own, 1), "peak_bytes")), 1 << 20);
    cr_expect_gt(json_number_value(json_object_get(own, "table5_seconds")), 0);

    /* A stage taken from elsewhere is what the run would have trained itself. */
    const tool_result alone = tool_run("train '%s/data' --class washer --model diffad_no_inter --scale tiny --steps 24 --set cache_samples=8 "
                                       "--out '%s/alone' --json -q", folder, folder);
    json_t *trained = json_loads(alone.out, 0, NULL);
    cr_expect_str_eq(text_at(trained, "fingerprint"), text_at(no_inter, "fingerprint"));
    json_decref(trained);
    json_decref(a);
    json_decref(b);
}

Test(reproduce, a_grid_grows_and_refuses_what_does_not_fit, .timeout = 600)
{
    const char *folder = folder_new();
    char        options[1024];
    snprintf(options, sizeof options, "reproduce '%s' --out '%s/out' --classes cloth --stage-steps 3 --set cache_samples=4 -q", data_in(folder),
             folder);
    const tool_result plan = tool_run("%s --scale tiny --models diffad --dry-run --json", options);
    json_t           *root = json_loads(plan.out, 0, NULL), *runs = json_object_get(root, "runs");

    cr_expect_eq(plan.code, 0, "%s", plan.err);
    cr_expect_eq(json_array_size(runs), 3, "5, 10 and 20 steps in training");
    cr_expect_str_eq(text_at(json_array_get(runs, 1), "folder"), "cloth/seed0/diffad_steps10");
    cr_expect_str_eq(text_at(stage_of(json_array_get(runs, 1), 1), "from"), "cloth/seed0/diffad");
    const double seconds = json_number_value(json_object_get(json_array_get(runs, 0), "eval_seconds"));
    cr_expect_gt(seconds, 0);
    const tool_result longer = tool_run("%s --scale tiny --models diffad --eval-steps 5,10,20,50,100 --dry-run --json", options);
    json_t           *both = json_loads(longer.out, 0, NULL);
    const double      more_seconds = json_number_value(json_object_get(json_array_get(json_object_get(both, "runs"), 0), "eval_seconds"));
    cr_expect(more_seconds > 2 * seconds, "185 steps in five evaluations: %g s; 5 in one: %g s", more_seconds, seconds);
    json_decref(both);
    cr_expect_neq(access(folder_path(folder, "out"), F_OK), 0, "a plan writes nothing");

    const tool_result first = tool_run("%s --scale tiny --models diffad --train-steps 5", options);
    const tool_result more = tool_run("%s --scale tiny --models diffad,diffad_xa_inter,diffad_c --train-steps 5 --seeds 0,1 --eval-steps 10,5", options);
    cr_expect_eq(first.code, 0, "%s", first.err);
    cr_expect_eq(more.code, 0, "%s", more.err);
    json_t *record = record_of(folder, "out");
    cr_expect_eq(json_array_size(json_object_get(record, "cells")), 6);
    cr_expect_eq(json_array_size(json_object_get(cell_of(record, "cloth/seed0/diffad"), "evaluations")), 2);
    const json_t *c = cell_of(record, "cloth/seed1/diffad_c");
    cr_expect_str_eq(text_at(stage_of(c, 0), "from"), "cloth/seed1/diffad");
    cr_expect_str_eq(text_at(stage_of(c, 1), "from"), "(none)", "its U-Net has another condition");
    const tool_result detect = tool_run("detect '%s/out/cloth/seed0/diffad' '%s/data/cloth/test/good' --json -q", folder, folder);
    cr_expect(strstr(detect.out, "\"anomalous\": true") || strstr(detect.out, "\"anomalous\": false"), "a run of the grid has its threshold");

    cr_expect_eq(tool_run("%s --scale tiny --models diffad --train-steps 5 --set train.seg.batch=2", options).code, 2, "another description");
    cr_expect_eq(tool_run("%s --scale tiny --models diffad --train-steps 7", options).code, 2, "7 does not divide 1000");
    cr_expect_eq(tool_run("%s --scale tiny --models diffed", options).code, 2);
    cr_expect_eq(tool_run("%s --scale tiny --stage-steps vea=3", options).code, 2);
    cr_expect_eq(tool_run("reproduce '%s/data' --classes nope --scale tiny", folder).code, 3);
    FILE *f = fopen(folder_path(folder, "data/cloth/train/good/000.png"), "ab");
    fputc('x', f);
    fclose(f);
    const tool_result other = tool_run("%s --scale tiny --models diffad --train-steps 5", options);
    cr_expect_eq(other.code, 2);
    cr_expect(strstr(other.err, "class cloth"), "%s", other.err);
    json_decref(record);
    json_decref(root);
}

Test(reproduce, a_second_process_in_one_folder_ends_with_7_and_a_plan_does_not, .timeout = 600)
{
    const char *folder = folder_new(), *data = data_in(folder);
    char        options[1024];
    snprintf(options, sizeof options, "reproduce '%s' --out '%s/out' --scale tiny --classes cloth --models draem --stage-steps 100000 -q", data, folder);
    const tool_result both = tool_run("%s & p=$!; while ! [ -s '%s/out/cloth/seed0/draem/metrics.jsonl' ]; do sleep 0.01; done; '%s' %s; "
                                      "code=$?; '%s' %s --dry-run && code=${code}0; kill -TERM $p; wait $p; exit $code", options, folder,
                                      DIFFAD_TOOL, options, DIFFAD_TOOL, options);

    cr_expect_eq(both.code, 70, "%d %s", both.code, both.err);
    cr_expect(strstr(both.err, "another process works in"), "%s", both.err);
}

/* Huge weights behind the header: the encoder's first convolution. */
static void spoil(const char *path)
{
    unsigned char head[8], huge[64];
    uint64_t      bytes = 0;
    FILE         *f = fopen(path, "r+b");
    memset(huge, 0x7e, sizeof huge);      /* 8.4e37 */
    cr_assert(f && fread(head, 1, 8, f) == 8, "%s", path);
    for (int i = 7; i >= 0; i--)
        bytes = bytes << 8 | head[i];
    fseek(f, (long)(8 + bytes), SEEK_SET);
    fwrite(huge, 1, sizeof huge, f);
    fclose(f);
}

Test(reproduce, a_run_that_diverges_is_recorded_and_the_others_go_on, .timeout = 600)
{
    const char *folder = folder_new(), *data = data_in(folder);
    const tool_result seed = tool_run("train '%s' --class cloth --scale tiny --stage vae --steps 30 --out '%s/out/cloth/seed0/diffad' -q", data, folder);
    cr_assert_eq(seed.code, 0, "%s", seed.err);
    spoil(folder_path(folder, "out/cloth/seed0/diffad/vae.safetensors"));
    unlink(folder_path(folder, "out/cloth/seed0/diffad/run.json"));

    const tool_result r = tool_run("reproduce '%s' --out '%s/out' --scale tiny --classes cloth --models diffad,diffad_no_inter,draem --train-steps 5 "
                                   "--stage-steps 30 --set cache_samples=4 -q", data, folder);
    json_t           *record = record_of(folder, "out");
    const json_t     *own = cell_of(record, "cloth/seed0/diffad"), *other = cell_of(record, "cloth/seed0/diffad_no_inter");

    cr_expect_eq(r.code, 8, "%d %s", r.code, r.err);
    cr_expect(strstr(r.err, "2 of 3 runs failed"), "%s", r.err);
    cr_expect_str_eq(text_at(own, "state"), "failed");
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(own, "error"), "code")), 8);
    cr_expect(strstr(text_at(json_object_get(other, "error"), "line"), "cloth/seed0/diffad"), "the shared stage is not trained again");
    cr_expect_str_eq(text_at(cell_of(record, "cloth/seed0/draem"), "state"), "done");
    cr_expect(strstr(metric_lines(folder, "out"), "1,DiffAD,5,5,cloth,image_auroc,official,,,0,1,"), "the table shows the failure");
    json_decref(record);
}
