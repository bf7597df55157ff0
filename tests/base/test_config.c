/* test_config.c: the YAML tree of src/base/config.c and the field tables of src/base/config_fields.c. */
#include "base/config.h"
#include "base/file.h"
#include "support/fault.h"
#include "support/folder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static diffad_config *parse(diffad_arena *a, const char *text)
{
    diffad_config *c = NULL;
    cr_assert_eq(diffad_config_parse(a, "f.yaml", text, strlen(text), &c), DIFFAD_OK, "%s: %s", text, diffad_error_detail());
    return c;
}

static void expect_refused(const char *text, size_t bytes, const char *part)
{
    diffad_arena   a = { 0 };
    diffad_config *c = NULL;
    cr_expect_eq(diffad_config_parse(&a, "f.yaml", text, bytes, &c), DIFFAD_ERR_USAGE, "%.40s must be refused", text);
    cr_expect(strstr(diffad_error_detail(), "f.yaml") && strstr(diffad_error_detail(), part), "%.40s: \"%s\" lacks \"%s\"", text,
              diffad_error_detail(), part);
    cr_expect_null(c);
    diffad_arena_release(&a);
}

/* ---- the tree ---- */

Test(config, block_and_flow_text_give_the_same_tree)
{
    static const char *const texts[] = {
        "unet:\n  channels: 256   # wide\n  mult: [1, 2, 4]\nname: 'a b'\nempty: {}\n",
        "{\"unet\": {\"channels\": 256, \"mult\": [1, 2, 4]}, \"name\": \"a b\", \"empty\": {}}",
        "{\"unet\":{\"channels\":256,\"mult\":[1,2,4]},\"name\":\"a b\",\"empty\":{}}",
        "\xEF\xBB\xBFunet:\r\n  channels: 256\r\n  mult:\r\n  - 1\r\n  - 2\r\n  - 4\r\nname: \"a b\"\r\nempty: {}\r\n",
    };
    for (int i = 0; i < 4; i++) {
        diffad_arena         a    = { 0 };
        const diffad_config *root = parse(&a, texts[i]);

        const diffad_config *unet = diffad_config_get(root, "unet"), *mult = diffad_config_get(unet, "mult");

        cr_expect(root->kind == DIFFAD_CONFIG_MAP && root->count == 3);
        cr_expect_str_eq(diffad_config_get(unet, "channels")->text, "256");
        cr_expect_not(diffad_config_get(unet, "channels")->quoted);
        cr_expect(mult->kind == DIFFAD_CONFIG_LIST && mult->count == 3);
        cr_expect_str_eq(mult->first->next->next->text, "4");
        cr_expect_null(mult->first->next->next->next);
        cr_expect_str_eq(diffad_config_get(root, "name")->text, "a b");
        cr_expect(diffad_config_get(root, "name")->quoted);
        cr_expect_eq(diffad_config_get(root, "empty")->count, 0);
        cr_expect_null(diffad_config_get(root, "unknown"));
        diffad_arena_release(&a);
    }
}

Test(config, nodes_know_their_line_and_column)
{
    diffad_arena         a    = { 0 };
    const diffad_config *root = parse(&a, "a: 1\nb:\n  cc: [x,\n       y]\n");
    const diffad_config *cc   = diffad_config_get(diffad_config_get(root, "b"), "cc");
    cr_expect(cc->line == 3 && cc->column == 3);
    cr_expect(cc->first->next->line == 4 && cc->first->next->column == 8);
    diffad_arena_release(&a);
}

Test(config, an_empty_text_is_an_empty_map)
{
    static const char *const texts[] = { "", "\n", "# only a remark\n" };
    for (int i = 0; i < 3; i++) {
        diffad_arena         a    = { 0 };
        const diffad_config *root = parse(&a, texts[i]);
        cr_expect(root->kind == DIFFAD_CONFIG_MAP && root->count == 0);
        diffad_arena_release(&a);
    }
}

Test(config, what_is_not_plain_yaml_is_refused_with_its_place)
{
    static const struct { const char *text, *part; } rows[] = {
        { "a: &x 1\n", "f.yaml:1:4: anchors" },
        { "a: [&x 1]\n", "anchors" },
        { "a: &x [1]\n", "anchors" },
        { "a: &x {b: 1}\n", "anchors" },
        { "a: *x\n", "aliases" },
        { "a: !!int 1\n", "tags" },
        { "a: !x [1]\n", "tags" },
        { "a: ! 1\n", "tags" },
        { "%TAG ! tag:x,2000:\n---\na: 1\n", "tags" },
        { "a: 1\nb: 2\na: 3\n", "f.yaml:3:1: key \"a\" was given before, in line 1" },
        { "{x: {k: 1, k: 2}}", "key \"k\"" },
        { "a: 1\n---\nb: 2\n", "second document" },
        { "{[1]: 2}", "a key must be a word" },
        { "? {a: 1}\n: 2\n", "a key must be a word" },
        { "\"\": 2\n", "empty key" },
        { "a: \"x\\0y\"\n", "number 0" },
        { "a: [1, 2\n", "f.yaml:2" },
        { "a: {b: 1\n", "f.yaml:2" },
        { "a: 'x\n", "f.yaml" },
        { "a:\n\t- 1\n", "f.yaml:2" },
        { "a: b: c\n", "f.yaml:1" },
        { "a: \x01\n", "control" },
        { "a: \xff\xfe\n", "UTF-8" },
        { "a: \xed\xa0\x80\n", "UTF-8" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_refused(rows[i].text, strlen(rows[i].text), rows[i].part);
    expect_refused("a: 1\0b: 2\n", 11, "control");
}

Test(config, depth_and_size_have_limits)
{
    char         text[64] = "";
    diffad_arena a        = { 0 };
    for (int depth = 1; depth <= 17; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        if (depth <= 16)
            parse(&a, text);
        else
            expect_refused(text, strlen(text), "16 deep");
    }
    diffad_arena_release(&a);

    const size_t n   = (1 << 20) + 1;
    char        *big = malloc(n);
    memset(big, '[', n);
    expect_refused(big, n, "1 MiB");
    expect_refused(big, n - 1, "16 deep");
    memset(big, 'a', n);
    memcpy(big, "k: ", 3);
    diffad_config *c;
    cr_expect_eq(diffad_config_parse(&a, "f.yaml", big, n - 1, &c), DIFFAD_OK);
    cr_expect_eq(strlen(diffad_config_get(c, "k")->text), n - 4);
    free(big);
    diffad_arena_release(&a);
}

Test(config, many_keys_are_checked_for_duplicates_in_little_time)
{
    char  *text = malloc(1 << 20);
    size_t at   = 0;
    int    i    = 0;
    for (; at < (1 << 20) - 32; i++)
        at += (size_t)sprintf(text + at, "k%d: 1\n", i);
    diffad_arena         a    = { 0 };
    const diffad_config *root = parse(&a, text);
    cr_expect_eq(root->count, i);
    diffad_arena_release(&a);

    sprintf(text + at, "k%d: 1\n", i / 2);
    expect_refused(text, strlen(text), "was given before");
    free(text);
}

Test(config, a_missing_file_is_named)
{
    diffad_arena   a = { 0 };
    diffad_config *c;
    cr_expect_eq(diffad_config_load(&a, "/no/such.yaml", &c), DIFFAD_ERR_USAGE);
    cr_expect(strstr(diffad_error_detail(), "/no/such.yaml") && strstr(diffad_error_detail(), "check the path"));
    const char *path = folder_path(folder_new(), "a.yaml");
    diffad_file_write(path, "a: 5\n", 5);
    cr_assert_eq(diffad_config_load(&a, path, &c), DIFFAD_OK);
    cr_expect_str_eq(diffad_config_get(c, "a")->text, "5");
    diffad_arena_release(&a);
}

/* ---- structs ---- */

typedef struct part {
    int         channels;
    diffad_ints mult;
} part;

typedef struct all {
    int          steps;
    int64_t      seed;
    double       rate;
    bool         rotate;
    char         name[64];
    int          kind;
    diffad_reals betas;
    part         unet;
} all;

static const char *const kinds[] = { "vae", "ldm", "seg", NULL };

static const diffad_field part_fields[] = {
    { .name = "channels", .kind = DIFFAD_FIELD_INT, .offset = offsetof(part, channels), .lo = 1, .hi = 4096 },
    { .name = "mult", .kind = DIFFAD_FIELD_INTS, .offset = offsetof(part, mult), .lo = 1, .hi = 64 },
    { .name = NULL },
};

static const diffad_field all_fields[] = {
    { .name = "steps", .kind = DIFFAD_FIELD_INT, .offset = offsetof(all, steps), .lo = -1e12, .hi = 1e12 },
    { .name = "seed", .kind = DIFFAD_FIELD_I64, .offset = offsetof(all, seed), .lo = 0, .hi = 1e18 },
    { .name = "rate", .kind = DIFFAD_FIELD_REAL, .offset = offsetof(all, rate), .lo = 0, .hi = 1 },
    { .name = "rotate", .kind = DIFFAD_FIELD_BOOL, .offset = offsetof(all, rotate) },
    { .name = "name", .kind = DIFFAD_FIELD_TEXT, .offset = offsetof(all, name) },
    { .name = "kind", .kind = DIFFAD_FIELD_CHOICE, .offset = offsetof(all, kind), .choices = kinds },
    { .name = "betas", .kind = DIFFAD_FIELD_REALS, .offset = offsetof(all, betas), .lo = 0, .hi = 1 },
    { .name = "unet", .kind = DIFFAD_FIELD_TABLE, .offset = offsetof(all, unet), .table = part_fields },
    { .name = NULL },
};

static const char full[] = "steps: -5\nseed: 123456789012\nrate: 1e-4\nrotate: True\nname: \"a \\\"b\\\" \xc3\xa4\"\nkind: ldm\n"
                           "betas: [0.9, 0.999]\nunet: {channels: 32, mult: [1, 2, 4]}\n";

static all read_all(const char *text)
{
    diffad_arena a = { 0 };
    all          s;
    memset(&s, 0, sizeof s);
    cr_assert_eq(diffad_config_read("f.yaml", parse(&a, text), all_fields, &s), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_arena_release(&a);
    return s;
}

Test(config, every_kind_of_field_is_read)
{
    const all s = read_all(full);
    cr_expect(s.steps == -5 && s.seed == 123456789012 && s.rate == 1e-4 && s.rotate && s.kind == 1);
    cr_expect_str_eq(s.name, "a \"b\" \xc3\xa4");
    cr_expect(s.betas.n == 2 && s.betas.v[1] == 0.999);
    cr_expect(s.unet.channels == 32 && s.unet.mult.n == 3 && s.unet.mult.v[2] == 4);
}

Test(config, absent_fields_keep_their_values)
{
    diffad_arena a = { 0 };
    all          s = read_all(full);
    cr_assert_eq(diffad_config_read("f.yaml", parse(&a, "unet: {channels: 64}\nname: null\nbetas: none\n"), all_fields, &s), DIFFAD_OK);
    cr_expect(s.steps == -5 && s.unet.channels == 64 && s.unet.mult.n == 3);
    cr_expect_str_eq(s.name, "");
    cr_expect_eq(s.betas.n, 0);
    diffad_arena_release(&a);
}

Test(config, a_wrong_value_is_refused_with_its_place_and_changes_nothing)
{
    static const struct { const char *text, *part; } rows[] = {
        { "stepps: 1", "f.yaml:1:1: stepps: unknown key; did you mean \"steps\"?" },
        { "rate: 0.5\nunet:\n  chanels: 1", "f.yaml:3:3: unet.chanels: unknown key; did you mean \"channels\"?" },
        { "zzzzzzzzzz: 1", "known here: steps, seed" },
        { "steps: 1.5", "whole number, found \"1.5\"" },
        { "steps: \"1\"", "whole number" },
        { "steps: [1]", "found a list" },
        { "steps: {a: 1}", "found a map" },
        { "steps:", "found \"\"" },
        { "steps: 3000000000", "32 bits" },
        { "steps: 99999999999999999999", "whole number" },
        { "seed: -1", "out of range; allowed is 0 to 1e+18" },
        { "rate: 1.5", "1.5 is out of range; allowed is 0 to 1" },
        { "rate: 1,5", "expected a number" },
        { "rate: .inf", "expected a number" },
        { "rate: nan", "expected a number" },
        { "rotate: 1", "true or false" },
        { "rotate: \"true\"", "true or false" },
        { "kind: foo", "expected one of vae, ldm, seg" },
        { "kind: [vae]", "expected one of" },
        { "name: [a]", "expected a text" },
        { "name: 0123456789012345678901234567890123456789012345678901234567890123", "longer than 63" },
        { "betas: 0.5", "expected a list" },
        { "betas: [0.5, 2]", "out of range" },
        { "betas: [0.5, [1]]", "found a list" },
        { "betas: [1, 1, 1, 1, 1, 1, 1, 1, 1]", "at most 8" },
        { "unet: 5", "unet: expected keys and values" },
        { "unet: {mult: [1, 65]}", "unet.mult: 65 is out of range" },
        { "- 1", "expected keys and values" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        diffad_arena a = { 0 };
        all          s = read_all(full), before = s;
        cr_expect_eq(diffad_config_read("f.yaml", parse(&a, rows[i].text), all_fields, &s), DIFFAD_ERR_USAGE, "%s", rows[i].text);
        cr_expect(strstr(diffad_error_detail(), rows[i].part), "\"%s\" lacks \"%s\"", diffad_error_detail(), rows[i].part);
        cr_expect_eq(memcmp(&s, &before, sizeof s), 0, "%s changed the struct", rows[i].text);
        diffad_arena_release(&a);
    }
}

Test(config, a_failure_behind_a_good_field_changes_nothing)
{
    diffad_arena a = { 0 };
    all          s = read_all(full);
    cr_expect_eq(diffad_config_read("f.yaml", parse(&a, "steps: 9\nunet: {channels: 9}\nrate: 7\n"), all_fields, &s), DIFFAD_ERR_USAGE);
    cr_expect(s.steps == -5 && s.unet.channels == 32);
    diffad_arena_release(&a);
}

Test(config, assignments_set_one_field)
{
    static const char *const good[] = { "steps=7", "unet.channels=64", "unet.mult=[2, 3]", "name=it's: a #1", "kind=seg", "rotate=false",
                                        "rate=0.25", "betas=[]", "unet={channels: 65}" };
    all s = read_all(full);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_expect_eq(diffad_config_set(good[i], all_fields, &s), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect(s.steps == 7 && s.unet.channels == 65 && s.unet.mult.n == 2 && s.unet.mult.v[1] == 3 && s.kind == 2 && !s.rotate);
    cr_expect(s.rate == 0.25 && s.betas.n == 0);
    cr_expect_str_eq(s.name, "it's: a #1");
    diffad_config_set("name=", all_fields, &s);
    cr_expect_str_eq(s.name, "");
    diffad_config_set("name=\"q\\u00e4\"", all_fields, &s);
    cr_expect_str_eq(s.name, "q\xc3\xa4");
}

Test(config, wrong_assignments_say_why)
{
    static const struct { const char *text, *part; } rows[] = {
        { "steps", "expected key=value" },       { "=5", "expected key=value" },
        { "unet.chanels=5", "\"channels\"" },    { "step=5", "did you mean \"steps\"" },
        { "steps.x=5", "has no parts" },         { "steps=x", "steps=x: steps: expected a whole number, found \"x\"" },
        { "steps=", "expected a whole number" }, { "unet.=5", "unknown key" },
        { "steps=[", "steps=[" },                { "unet=5", "keys and values" },
        { "name=e\x92", "not UTF-8" },
    };
    all s = read_all(full), before = s;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_eq(diffad_config_set(rows[i].text, all_fields, &s), DIFFAD_ERR_USAGE, "%s", rows[i].text);
        cr_expect(strstr(diffad_error_detail(), rows[i].part), "\"%s\" lacks \"%s\"", diffad_error_detail(), rows[i].part);
    }
    cr_expect_eq(memcmp(&s, &before, sizeof s), 0);
}

Test(config, json_of_a_struct_gives_the_struct_again)
{
    diffad_arena a = { 0 };
    all          s = read_all(full), back;
    s.rate = 0.1 + 0.2;
    strcpy(s.name, "\x7f\x01 \xe2\x80\xa8 \xef\xbb\xbf \"\\ \xc2\x85");
    char *json = diffad_config_to_json(all_fields, &s);

    memset(&back, 0, sizeof back);
    cr_assert_eq(diffad_config_read("json", parse(&a, json), all_fields, &back), DIFFAD_OK, "%s", diffad_error_detail());

    cr_expect_eq(memcmp(&s, &back, sizeof s), 0, "%s", json);
    cr_expect_null(strchr(json, '\n'));
    diffad_release(json);
    diffad_arena_release(&a);
}

static void collect(void *user, const char *path, const diffad_field *f, const char *value)
{
    char *out = user;
    cr_expect_not_null(f->name);
    sprintf(out + strlen(out), "%s=%s;", path, value);
}

Test(config, walking_visits_the_leaves_in_table_order)
{
    const all s         = read_all(full);
    char      got[1024] = "";
    diffad_config_walk(all_fields, &s, collect, got);
    cr_expect_str_eq(got, "steps=-5;seed=123456789012;rate=0.0001;rotate=true;name=\"a \\\"b\\\" \xc3\xa4\";kind=\"ldm\";"
                          "betas=[0.9, 0.999];unet.channels=32;unet.mult=[1, 2, 4];");
}

Test(config, the_description_inside_a_recorded_file_is_read)
{
    static const char text[] = "{\"image_size\": [32, 32], \"autoencoder\": {\"channels\": 32, \"mult\": [1, 2, 2], \"attention_resolutions\": [], "
                               "\"dropout\": 0.0}, \"diffusion\": {\"timesteps\": 1000, \"linear_start\": 0.0015}, \"scale_factor\": 1.0}";
    diffad_arena         a    = { 0 };
    const diffad_config *root = parse(&a, text);
    cr_expect_str_eq(diffad_config_get(diffad_config_get(root, "diffusion"), "linear_start")->text, "0.0015");
    cr_expect_eq(diffad_config_get(diffad_config_get(root, "autoencoder"), "attention_resolutions")->kind, DIFFAD_CONFIG_LIST);
    diffad_arena_release(&a);
}

Test(config, a_locale_with_a_decimal_comma_changes_nothing)
{
    if (!comma_locale())
        cr_skip_test("no locale with a decimal comma here, and localedef cannot make one");
    const all s    = read_all(full);
    char     *json = diffad_config_to_json(all_fields, &s);
    cr_expect_eq(s.rate, 1e-4);
    cr_expect(strstr(json, "0.9, 0.999"), "%s", json);
    diffad_release(json);
}

Test(config, no_memory_is_an_error_and_nothing_stays)
{
    fault_install();
    for (int n = 1; fault_arm(FAULT_ALLOC, n, false); n++) {
        diffad_arena   a = { 0 };
        diffad_config *c;
        all            s;
        memset(&s, 0, sizeof s);
        diffad_status st = diffad_config_parse(&a, "f.yaml", full, sizeof full - 1, &c);
        if (st == DIFFAD_OK)
            st = diffad_config_read("f.yaml", c, all_fields, &s);
        char *json = st == DIFFAD_OK ? diffad_config_to_json(all_fields, &s) : NULL;
        fault_disarm();
        cr_expect(fault_met() ? st == DIFFAD_ERR_MEMORY || !json : json != NULL, "alloc %d: status %d", n, st);
        diffad_release(json);
        diffad_arena_release(&a);
        cr_expect_eq(fault_live_blocks(), 0, "alloc %d leaves memory", n);
    }
}
