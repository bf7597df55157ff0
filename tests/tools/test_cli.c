/* test_cli.c: the command as its users meet it: usage, exit codes, JSON, stdout and stderr. */
#include "support/folder.h"
#include "tool.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const commands[] = { "devices", "doctor", "selftest", "ops",   "explain", "demo", "data",
                                        "train",   "eval",   "detect",   "bench", "tune", "verify",  "cache" };
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static bool is_one_line(const char *s)
{
    const char *end = strchr(s, '\n');
    return end && end > s && end[1] == '\0';
}

/* Every line is a JSON object; returns how many. */
static int json_lines(const char *text)
{
    int n = 0;
    for (const char *line = text; *line; n++) {
        const size_t length = strcspn(line, "\n");
        json_error_t e;
        json_t      *row = json_loadb(line, length, JSON_REJECT_DUPLICATES, &e);
        cr_assert(json_is_object(row), "not JSON: %s in %.*s", e.text, (int)length, line);
        json_decref(row);
        line += length + (line[length] == '\n');
    }
    return n;
}

static json_t *json_of(const char *text)
{
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(json_is_object(root), "not one JSON object: %s", text);
    return root;
}

Test(cli, help_of_every_command_is_on_stdout_and_names_the_command)
{
    for (int i = 0; i < COMMANDS; i++) {
        const tool_result r = tool_run("%s --help", commands[i]), again = tool_run("help %s", commands[i]);

        cr_expect_eq(r.code, 0, "%s --help ended with %d: %s", commands[i], r.code, r.err);
        cr_expect(strstr(r.out, commands[i]) && strstr(r.out, "usage: diffad"), "%s: %s", commands[i], r.out);
        cr_expect_str_empty(r.err);
        cr_expect_str_eq(r.out, again.out);
    }
}

Test(cli, help_lists_every_command)
{
    const tool_result r = tool_run("--help");

    cr_expect_eq(r.code, 0);
    for (int i = 0; i < COMMANDS; i++)
        cr_expect(strstr(r.out, commands[i]), "%s is not in: %s", commands[i], r.out);
}

Test(cli, the_version_is_on_stdout)
{
    const tool_result r = tool_run("--version");

    cr_expect_eq(r.code, 0);
    cr_expect_str_eq(r.out, "diffad " DIFFAD_VERSION "\n");
}

Test(cli, an_option_is_no_value_of_the_one_before)
{
    const tool_result r = tool_run("ops --device --json"), given = tool_run("ops --device=--json");

    cr_expect_eq(r.code, 2, "%d: %s", r.code, r.out);
    cr_expect(is_one_line(r.err) && strstr(r.err, "--device needs a value: WHICH"), "%s", r.err);
    cr_expect_null(strstr(given.err, "needs a value"), "%s", given.err);
}

Test(cli, a_wrong_command_is_one_line_with_the_nearest_name)
{
    const tool_result r = tool_run("trian x");

    cr_expect_eq(r.code, 2);
    cr_expect_str_empty(r.out);
    cr_expect(is_one_line(r.err), "%s", r.err);
    cr_expect(strstr(r.err, "did you mean train?"), "%s", r.err);
}

Test(cli, usage_errors_are_one_line_and_end_with_2)
{
    static const char *const wrong[] = { "",
                                         "train",
                                         "train a b",
                                         "train x --setp 3",
                                         "train x --steps",
                                         "train x --steps three",
                                         "train x --steps -1",
                                         "train x --scale huge",
                                         "train x --max-memory lots",
                                         "devices x",
                                         "--nothing",
                                         "-z",
                                         "ops --json=1",
                                         "detect run",
                                         "cache empty",
                                         "data make x",
                                         "verify",
                                         "bench op=nothing",
                                         "bench conv2d",
                                         "bench op=silu model=tiny",
                                         "ops no_such_op",
                                         "explain no_such_model",
                                         "detect run x --threshold 1,5",
                                         "train x --precision f8",
                                         "selftest --quick --full" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const tool_result r = tool_run("%s", wrong[i]);

        cr_expect_eq(r.code, 2, "\"%s\" ended with %d: %s", wrong[i], r.code, r.err);
        cr_expect(is_one_line(r.err) && strncmp(r.err, "diffad: ", 8) == 0, "\"%s\": %s", wrong[i], r.err);
        cr_expect_str_empty(r.out);
    }
}

Test(cli, a_nearest_option_is_named)
{
    cr_expect(strstr(tool_run("train x --texture y").err, "--textures?") != NULL);
    cr_expect(strstr(tool_run("ops conv2").err, "conv2d?") != NULL);
}

Test(cli, options_may_stand_before_the_command_and_after_an_equals_sign)
{
    const tool_result before = tool_run("--json ops silu"), after = tool_run("ops silu --json"),
                      equals = tool_run("explain tiny --scale=tiny --json");

    cr_expect_eq(before.code, 0);
    cr_expect_str_eq(before.out, after.out);
    cr_expect_eq(equals.code, 0, "%s", equals.err);
}

Test(cli, words_behind_two_dashes_are_arguments)
{
    const tool_result r = tool_run("explain -- --json");

    cr_expect_eq(r.code, 2);
    cr_expect(strstr(r.err, "no model \"--json\""), "%s", r.err);
}

Test(cli, ops_are_json_lines_with_ways)
{
    const tool_result r = tool_run("ops --json");

    cr_expect_eq(r.code, 0);
    cr_expect_gt(json_lines(r.out), 50);
    cr_expect(strstr(r.out, "\"way\": "));
}

Test(cli, ops_as_markdown_have_as_many_bars_in_every_line)
{
    const tool_result r = tool_run("ops --markdown");

    cr_expect_eq(r.code, 0);
    for (const char *line = r.out; *line; line = strchr(line, '\n') + 1) {
        int bars = 0;
        for (const char *p = line; *p != '\n'; p++)
            bars += *p == '|';
        cr_assert_eq(bars, 6, "%.80s", line);
    }
}

Test(cli, explain_shows_what_a_variant_changes)
{
    const tool_result r    = tool_run("explain diffad_c --json --changes");
    json_t           *root = json_of(r.out);
    bool              has_condition = false;

    cr_expect_eq(json_integer_value(json_object_get(root, "differences")), 2);
    for (size_t i = 0; i < json_array_size(json_object_get(root, "values")); i++) {
        const json_t *v = json_array_get(json_object_get(root, "values"), i);
        has_condition   = has_condition || strcmp(json_string_value(json_object_get(v, "name")), "condition") == 0;
        cr_expect(json_is_string(json_object_get(v, "base")) && json_is_string(json_object_get(v, "meaning")));
    }
    cr_expect(has_condition);
    json_decref(root);
}

Test(cli, explain_takes_the_published_files_and_says_where_values_come_from)
{
    const tool_result r    = tool_run("explain '%s/model/kl.yaml' --json", DIFFAD_TEST_DIR);
    json_t           *root = json_of(r.out);
    int               found = 0;

    cr_expect_eq(r.code, 0, "%s", r.err);
    cr_expect(is_one_line(r.err) && strstr(r.err, "keys without a use here: ") && strstr(r.err, "model.params.monitor"), "%s", r.err);
    cr_expect_eq(json_integer_value(json_object_get(root, "differences")), 0);
    for (size_t i = 0; i < json_array_size(json_object_get(root, "values")); i++) {
        const json_t *v = json_array_get(json_object_get(root, "values"), i);
        const char   *name = json_string_value(json_object_get(v, "name")), *source = json_string_value(json_object_get(v, "source"));
        cr_expect(source && *source, "%s", name);
        found += strcmp(name, "train.vae.rate") == 0 && strstr(source, "4.5e-6 x accumulate 2 x GPUs 1 x batch 8");
    }
    cr_expect_eq(found, 1);
    cr_expect_gt(json_array_size(json_object_get(root, "rules")), 10);
    json_decref(root);
}

Test(cli, explain_refuses_what_contradicts_a_published_file)
{
    const tool_result r = tool_run("explain draem --config '%s/model/kl.yaml'", DIFFAD_TEST_DIR), none = tool_run("explain no_such.yaml");

    cr_expect_eq(r.code, 2);
    cr_expect(is_one_line(r.err), "%s", r.err);
    cr_expect_eq(none.code, 2);
    cr_expect(is_one_line(none.err), "%s", none.err);
}

Test(cli, devices_that_work_are_listed_with_their_capabilities)
{
    const tool_result r    = tool_run("devices --json");
    json_t           *root = json_of(r.out);
    const json_t     *dev  = json_array_get(json_object_get(root, "devices"), 0);

    cr_expect_eq(r.code, 0, "%s", r.err);
    cr_expect(json_is_true(json_object_get(dev, "works")), "%s", r.out);
    cr_expect(json_is_string(json_object_get(dev, "id")) && json_is_integer(json_object_get(dev, "global_mem")));
    json_decref(root);
}

Test(cli, without_a_driver_devices_and_doctor_end_with_5)
{
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1);
    const tool_result devices = tool_run("devices"), doctor = tool_run("doctor --json"),
                      selftest = tool_run("selftest");
    json_t *root = json_of(doctor.out);

    cr_expect_eq(devices.code, 5);
    cr_expect(is_one_line(devices.err), "%s", devices.err);
    cr_expect_eq(doctor.code, 5);
    cr_expect_str_eq(json_string_value(json_object_get(root, "remedy")), "unset OCL_ICD_VENDORS");
    cr_expect_eq(selftest.code, 5);
    json_decref(root);
}

Test(cli, doctor_finds_nothing_to_mend_where_a_device_works)
{
    const tool_result r    = tool_run("doctor --json");
    json_t           *root = json_of(r.out);

    cr_expect_eq(r.code, 0, "%s", r.out);
    cr_expect(json_is_true(json_object_get(root, "works")));
    json_decref(root);
}

Test(cli, an_unknown_device_is_one_line_that_lists_the_candidates)
{
    const tool_result r = tool_run("selftest --device no_such_device");

    cr_expect_eq(r.code, 2);
    cr_expect(is_one_line(r.err) && strstr(r.err, "0:0"), "%s", r.err);
}

Test(cli, selftest_of_one_op_prints_its_ways_and_totals)
{
    const tool_result r    = tool_run("selftest add --quick --json -q");
    const char       *last = strrchr(r.out, '{');
    json_t           *row  = json_loadb(r.out, strcspn(r.out, "\n"), 0, NULL), *totals = json_of(last);
    static const char *const keys[] = {
        "op", "way", "cases", "failed", "skipped", "worst_ulp", "worst_nmse", "device"
    };

    cr_expect_eq(r.code, 0, "%s", r.err);
    cr_expect_str_empty(r.err);
    cr_expect_gt(json_lines(r.out), 1);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        cr_expect(json_object_get(row, keys[i]), "no %s in %s", keys[i], r.out);
    cr_expect_eq(json_integer_value(json_object_get(totals, "failed")), 0);
    cr_expect_gt(json_integer_value(json_object_get(totals, "cases")), 0);
    json_decref(row);
    json_decref(totals);
}

Test(cli, results_go_to_stdout_and_remarks_to_stderr)
{
    const tool_result r = tool_run("selftest add --quick");

    cr_expect(strstr(r.err, "device 0:0"), "%s", r.err);
    cr_expect_not(strstr(r.out, "device 0:0"), "%s", r.out);
    cr_expect(strstr(r.out, "PASS"), "%s", r.out);
    cr_expect_not(strchr(r.err, '\r'), "a bar on what is no terminal: %s", r.err);
}

Test(cli, a_closed_pipe_ends_with_7_in_silence)
{
    const tool_result r =
        tool_run("--version >/dev/null; { { '%s' ops --json; echo $? >&3; } | true; } 3>&1", DIFFAD_TOOL);

    cr_expect_str_eq(r.out, "7\n");
    cr_expect_str_empty(r.err);
}

Test(cli, results_that_cannot_be_written_end_with_7)
{
    const tool_result r = tool_run("ops >/dev/full");

    cr_expect_eq(r.code, 7);
    cr_expect(is_one_line(r.err), "%s", r.err);
}

Test(cli, numbers_have_a_point_in_a_locale_with_a_comma)
{
    setenv("LC_ALL", "de_DE.UTF-8", 1);
    const tool_result r = tool_run("ops silu --json");

    cr_expect_eq(json_lines(r.out), 1);
    cr_expect(strstr(r.out, "e-0"), "%s", r.out);
}

Test(cli, cache_info_and_clear_agree)
{
    const char *folder = folder_new();
    setenv("DIFFAD_CACHE_DIR", folder, 1);
    FILE *f = fopen(folder_path(folder, "0123.bin"), "w");
    fputs("x", f);
    fclose(f);
    json_t *info = json_of(tool_run("cache info --json").out), *clear = json_of(tool_run("cache clear --json").out);
    json_t *after = json_of(tool_run("cache info --json").out);

    cr_expect_eq(json_integer_value(json_object_get(info, "entries")), 1);
    cr_expect_eq(json_integer_value(json_object_get(clear, "bytes")), 1);
    cr_expect_eq(json_integer_value(json_object_get(after, "entries")), 0);
    json_decref(info);
    json_decref(clear);
    json_decref(after);
}

Test(cli, a_missing_data_set_ends_with_3_and_a_missing_run_with_4)
{
    const tool_result check = tool_run("data check /nonexistent"),
                      eval  = tool_run("eval /nonexistent --data /nonexistent -q");

    cr_expect_eq(check.code, 3, "%s", check.err);
    cr_expect_eq(eval.code, 4, "%s", eval.err);
    cr_expect(is_one_line(check.err) && is_one_line(eval.err), "%s%s", check.err, eval.err);
}

Test(cli, tune_measures_nodes_keeps_them_and_doctor_tells)
{
    char set[600];
    snprintf(set, sizeof set, "%s/tuned.sqlite", folder_new());
    setenv("DIFFAD_TUNED", set, 1);

    const tool_result r = tool_run("tune op=linear --scale tiny --budget 60 --json 2>/dev/null"),
                      bad = tool_run("tune op=conv3d"), off = tool_run("doctor");

    cr_assert_eq(r.code, 0, "%s", r.err);
    cr_expect_geq(json_lines(r.out), 2);
    const char *end = strstr(r.out, "{\"nodes\"");
    cr_assert_not_null(end, "%s", r.out);
    json_t *totals = json_of(end);
    cr_expect_gt(json_integer_value(json_object_get(totals, "measured")), 0);
    cr_expect_str_eq(json_string_value(json_object_get(totals, "file")), set);
    json_decref(totals);
    cr_expect_eq(bad.code, 2);
    cr_expect(strstr(bad.err, "conv3d"), "%s", bad.err);
    cr_expect(strstr(off.out, "tuned ways"), "%s", off.out);
    setenv("DIFFAD_TUNED", "0", 1);
    const tool_result none = tool_run("doctor");
    cr_expect(strstr(none.out, "switched off"), "%s", none.out);
}
