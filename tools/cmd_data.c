/* cmd_data.c: `diffad data synth` makes a procedural data set, `diffad data check` looks at every file of one. */
#include "base/file.h"
#include "cli.h"
#include "diffad/data.h"

#include <stdio.h>
#include <string.h>

static int synth(cli *c)
{
    diffad_synth_options o = diffad_synth_options_default();
    o.size      = (int)cli_int(c, "size", o.size);
    o.train     = (int)cli_int(c, "train", o.train);
    o.test_good = (int)cli_int(c, "good", o.test_good);
    o.test_bad  = (int)cli_int(c, "bad", o.test_bad);
    o.textures  = (int)cli_int(c, "textures", o.textures);
    o.seed      = c->seed;
    const diffad_status st = diffad_data_synth(c->args[1], &o);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    if (c->json) {
        cli_json j = { .needs_comma = false };
        cli_json_open(&j, NULL, '{');
        cli_json_text(&j, "folder", c->args[1]);
        cli_json_int(&j, "size", o.size);
        cli_json_int(&j, "train", o.train);
        cli_json_int(&j, "test_good", o.test_good);
        cli_json_int(&j, "test_bad", o.test_bad);
        cli_json_int(&j, "textures", o.textures);
        cli_json_close(&j, '}');
        cli_json_print(&j);
        return 0;
    }
    cli_out("%s: for each class %d training, %d good and %d anomalous test pictures of %dx%d; %d textures\n",
            c->args[1], o.train, o.test_good, o.test_bad, o.size, o.size, o.textures);
    return 0;
}

/* ---- check ---- */

static void sizes_text(const diffad_data_class *k, diffad_text *t)
{
    for (int i = 0; i < k->size_count && i < 3; i++)
        diffad_text_addf(t, "%s%d of %dx%d %s", i ? ", " : "", k->sizes[i].count, k->sizes[i].width, k->sizes[i].height,
                         k->sizes[i].channels == 1 ? "grey" : "colour");
    if (k->size_count > 3)
        diffad_text_addf(t, ", %d more sizes", k->size_count - 3);
}

static void print_class(const diffad_data_class *k)
{
    diffad_text sizes = { 0 };
    sizes_text(k, &sizes);
    cli_out("%s: layout %s; %d training, %d good and %d anomalous test images (%s)\n", k->name,
            diffad_data_layout_name(k->layout), k->train, k->test_good, k->test_bad, sizes.s ? sizes.s : "none readable");
    diffad_text_release(&sizes);
    const struct { int count; const char *what; } facts[] = {
        { k->faults, "faults of the layout: train or eval would refuse" },
        { k->groups, "parts in the training images" },
        { k->holdout, "training images held back for the threshold, no part among them that is trained on" },
        { k->unused, "images that are neither for training nor for the test" },
        { k->unreadable, "cannot be read" },
        { k->masks, "masks of anomalous images" },
        { k->masks_missing, "anomalous images without a mask (pixel metrics need them)" },
        { k->masks_on_good, "good images with a mask that is not empty" },
        { k->masks_not_binary, "masks with values besides 0 and 255" },
        { k->masks_wrong_size, "masks of another size than their image" },
        { k->masks_empty, "empty masks of anomalous images" },
        { k->duplicates, "test images that equal a training image" },
        { k->straddling, "test images of a part that training shows" },
    };
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        if (facts[i].count)
            cli_out("  %d %s\n", facts[i].count, facts[i].what);
}

static void json_class(cli_json *j, const diffad_data_class *k)
{
    cli_json_open(j, NULL, '{');
    cli_json_text(j, "class", k->name);
    cli_json_text(j, "layout", diffad_data_layout_name(k->layout));
    cli_json_int(j, "faults", k->faults);
    cli_json_int(j, "groups", k->groups);
    cli_json_int(j, "holdout", k->holdout);
    cli_json_int(j, "unused", k->unused);
    cli_json_int(j, "train", k->train);
    cli_json_int(j, "test_good", k->test_good);
    cli_json_int(j, "test_bad", k->test_bad);
    cli_json_int(j, "unreadable", k->unreadable);
    cli_json_int(j, "masks", k->masks);
    cli_json_int(j, "masks_missing", k->masks_missing);
    cli_json_int(j, "masks_on_good", k->masks_on_good);
    cli_json_int(j, "masks_not_binary", k->masks_not_binary);
    cli_json_int(j, "masks_wrong_size", k->masks_wrong_size);
    cli_json_int(j, "masks_empty", k->masks_empty);
    cli_json_int(j, "duplicates", k->duplicates);
    cli_json_int(j, "straddling", k->straddling);
    cli_json_open(j, "sizes", '[');
    for (int i = 0; i < k->size_count; i++) {
        cli_json_open(j, NULL, '{');
        cli_json_int(j, "width", k->sizes[i].width);
        cli_json_int(j, "height", k->sizes[i].height);
        cli_json_int(j, "channels", k->sizes[i].channels);
        cli_json_int(j, "count", k->sizes[i].count);
        cli_json_close(j, '}');
    }
    cli_json_close(j, ']');
    cli_json_close(j, '}');
}

static void json_report(const diffad_data_report *r)
{
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_open(&j, "classes", '[');
    for (int i = 0; i < r->class_count; i++)
        json_class(&j, &r->classes[i]);
    cli_json_close(&j, ']');
    cli_json_open(&j, "findings", '[');
    for (int i = 0; i < r->finding_count; i++)
        cli_json_text(&j, NULL, r->findings[i]);
    cli_json_close(&j, ']');
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

static void suggest(const cli *c, const diffad_data_report *r)
{
    char *inside = diffad_path_join(c->args[1], r->classes[0].name);
    if (inside && diffad_path_is_dir(inside))
        cli_out("next: diffad train %s --class %s --out run\n", c->args[1], r->classes[0].name);
    else
        cli_out("next: diffad train %s --out run\n", c->args[1]);
    diffad_release(inside);
}

static int check(cli *c)
{
    diffad_data_report *r;
    const diffad_status st = diffad_data_check(c->args[1], &r);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    bool is_usable = r->class_count > 0;
    for (int i = 0; i < r->class_count; i++)
        is_usable = is_usable && r->classes[i].train > 0 && r->classes[i].unreadable == 0 &&
                    r->classes[i].faults == 0;
    if (c->json) {
        json_report(r);
    } else {
        for (int i = 0; i < r->class_count; i++)
            print_class(&r->classes[i]);
        for (int i = 0; i < r->finding_count; i++)
            cli_out("%s\n", r->findings[i]);
        if (is_usable)
            suggest(c, r);
    }
    if (!is_usable)
        cli_error("%s: files cannot be read, the layout has faults, or a class has no training images", c->args[1]);
    diffad_data_report_release(r);
    return is_usable ? 0 : 3;
}

static int run(cli *c)
{
    if (strcmp(c->args[0], "synth") == 0)
        return synth(c);
    if (strcmp(c->args[0], "check") == 0)
        return check(c);
    return cli_usage(c, "\"%s\": choose synth or check", c->args[0]);
}

static const cli_option options[] = {
    { "size", 0, CLI_INT, "N", 16, 2048, "synth: side of the pictures" },
    { "train", 0, CLI_INT, "N", 1, 100000, "synth: training pictures of a class" },
    { "good", 0, CLI_INT, "N", 0, 100000, "synth: good test pictures of a class" },
    { "bad", 0, CLI_INT, "N", 0, 100000, "synth: anomalous test pictures of a class" },
    { "textures", 0, CLI_INT, "N", 0, 100000, "synth: textures, sources of simulated anomalies" },
    { 0 },
};

const cli_command cmd_data = {
    .name      = "data",
    .summary   = "makes a procedural data set, or looks at every file of one",
    .arguments = "synth|check DIR",
    .least     = 2,
    .most      = 2,
    .options   = options,
    .run       = run,
    .details = "synth DIR: two classes in MVTec-AD layout and a folder of textures; DIR must be new or empty.\n"
               "check DIR: layout (MVTec AD, MVTec LOCO AD, VisA, BTAD, or a plain folder of good images), counts, sizes,\n"
               "masks, duplicates of a class or of a folder of classes; exit code 3 when files cannot be read, the layout\n"
               "has faults or there is nothing to train on.",
};
