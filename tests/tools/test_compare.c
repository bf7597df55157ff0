/* test_compare.c: `diffad compare`. */
#include "support/folder.h"
#include "tool.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

#define TINY "compare --scale tiny --repeat 2 "

static json_t *object_of(const char *text)
{
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(json_is_object(root), "not one JSON object: %s", text);
    return root;
}

Test(compare_command, two_devices_are_compared_and_shown)
{
    const char       *page = folder_path(folder_new(), "two.html");
    const tool_result r = tool_run(TINY "--device 0:0 --device 0:0 --op softmax --report '%s' --json", page);
    cr_assert_eq(r.code, 0, "%s", r.err);
    json_t *root = object_of(r.out);
    cr_expect(json_is_true(json_object_get(root, "agrees")));
    cr_expect_eq(json_array_size(json_object_get(root, "sides")), 2);
    cr_expect_eq(json_array_size(json_object_get(root, "stages")), 4);
    cr_expect_eq(json_array_size(json_object_get(root, "ops")), 1);
    cr_expect_geq(json_array_size(json_object_get(root, "times")), 1);
    cr_expect_eq(json_array_size(json_object_get(root, "pictures")), 3);
    cr_expect_gt(json_number_value(json_object_get(root, "ratio")), 0);
    cr_expect_eq(json_number_value(json_object_get(root, "score_worst")), 0);
    json_decref(root);
    cr_expect_eq(tool_run("ops > /dev/null; grep -q 'They agree' '%s'", page).code, 0);
}

Test(compare_command, a_recording_stands_for_a_device_and_what_differs_ends_with_1)
{
    const char       *file = folder_path(folder_new(), "there.safetensors");
    const tool_result kept = tool_run(TINY "--no-ops --record '%s'", file);
    cr_assert_eq(kept.code, 0, "%s", kept.err);
    tool_result r = tool_run(TINY "--no-ops --recorded '%s'", file);
    cr_expect_eq(r.code, 0, "%s", r.err);
    cr_expect(strstr(r.out, "they agree"), "%s", r.out);
    r = tool_run(TINY "--recorded '%s' --recorded '%s'", file, file);
    cr_expect_eq(r.code, 0, "two recordings need no device: %s", r.err);
    r = tool_run(TINY "--no-ops --recorded '%s' --model draem", file);
    cr_expect_eq(r.code, 3, "%s", r.err);
    r = tool_run(TINY "--no-ops --recorded '%s' --steps 10", file);
    cr_expect_eq(r.code, 3, "%s", r.err);
}

/* On a device without matrix units their plain twin rounds as they do. */
Test(compare_command, a_device_is_compared_with_itself_in_another_precision)
{
    const char *caps = "--device 0:0 --device 0:0@bf16 --no-ops --json";
    setenv("DIFFAD_CAPS", "matrix=1,block=1", 1);
    const tool_result r = tool_run(TINY "%s", caps), strict = tool_run(TINY "%s --nmse-limit 1e-12", caps);
    unsetenv("DIFFAD_CAPS");
    cr_assert_eq(r.code, 0, "%s", r.err);
    json_t *root = object_of(r.out);
    cr_expect_gt(json_number_value(json_object_get(root, "score_worst")), 0);
    cr_expect_gt(json_number_value(json_object_get(json_array_get(json_object_get(root, "stages"), 0), "nmse")), 1e-9);
    json_decref(root);
    cr_expect_eq(strict.code, 1, "%s", strict.err);
    root = object_of(strict.out);
    cr_expect_str_eq(json_string_value(json_object_get(root, "diverges")), "encode");
    json_decref(root);
}

Test(compare_command, what_makes_no_pair_is_a_usage_error)
{
    static const char *const wrong[] = {
        "compare", "compare --device 0:0", "compare --device 0:0 --device 0:0 --device 0:0", "compare --device 0:0 --device 0:0 --record x",
        "compare RUN --device 0:0 --device 0:0", "compare RUN a.png --scale tiny --device 0:0 --device 0:0", "compare --device 0:0 --device 0:0@f8",
        "compare --device 0:0 --device 0:0 --op nosuch --scale tiny",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const tool_result r = tool_run("%s", wrong[i]);
        cr_expect_eq(r.code, 2, "%s: %d %s", wrong[i], r.code, r.err);
        cr_expect_str_empty(r.out);
    }
}
