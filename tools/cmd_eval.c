/* cmd_eval.c: `diffad eval`: a run over a data set's test images. */
#include "base/file.h"
#include "base/sys.h"
#include "cli_run.h"
#include "train/run.h"

#include <stdio.h>
#include <string.h>

/* Without --data: the data that the run was trained on. */
static diffad_status find_data(const cli *c, char *data, size_t bytes, const char **class_name)
{
    static run_record record;
    diffad_desc       d;
    *class_name = cli_text(c, "class", NULL);
    if (cli_has(c, "data")) {
        snprintf(data, bytes, "%s", cli_text(c, "data", ""));
        return DIFFAD_OK;
    }
    if (!run_is_folder(c->args[0]))
        return diffad_fail(DIFFAD_ERR_USAGE, "eval: %s is no run folder, so --data must name the data set", c->args[0]);
    DIFFAD_TRY(run_record_read(c->args[0], &record, &d));
    snprintf(data, bytes, "%s", record.data);
    char *inside = diffad_path_join(record.data, record.class_name);
    if (!*class_name && inside && diffad_path_is_dir(inside))
        *class_name = record.class_name;
    diffad_release(inside);
    return DIFFAD_OK;
}

static int run(cli *c)
{
    char             data[4096];
    diffad_device   *dev;
    diffad_detector *d = NULL;
    diffad_evaluation e;
    diffad_eval_options           o   = { .official     = strcmp(cli_text(c, "protocol", "official"), "official") == 0,
                                          .report       = cli_text(c, "report", NULL),
                                          .maps         = cli_text(c, "maps", NULL),
                                          .max_pictures = (int)cli_int(c, "pictures", 24),
                                          .stop         = &cli_stop,
                                          .progress     = cli_on_eval,
                                          .user         = c };
    diffad_status st = find_data(c, data, sizeof data, &o.class_name);
    o.data = data;
    if (st == DIFFAD_OK)
        st = cli_open_device(c, &dev);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    st = cli_open_detector(c, dev, &d);
    if (st == DIFFAD_OK)
        st = diffad_evaluate(d, &o, &e);
    cli_progress_end();
    const int code = st == DIFFAD_OK ? 0 : cli_fail(st);
    if (st == DIFFAD_OK) {
        cli_keep_threshold(c, d, &e);
        if (c->json) {
            cli_json j = { .needs_comma = false };
            cli_eval_json(&j, d, &e, o.official);
            cli_json_print(&j);
        } else {
            cli_eval_print(d, &e, o.official);
        }
        if (o.report)
            cli_note(c, "report: %s", o.report);
        diffad_evaluation_release(&e);
    }
    diffad_detector_close(d);
    diffad_device_close(dev);
    return code;
}

static const cli_option options[] = {
    { "data", 0, CLI_TEXT, "DATA", 0, 0, "data set (default: the one that the run was trained on)" },
    { "class", 0, CLI_TEXT, "C", 0, 0, "class folder in DATA" },
    CLI_PRECISION,
    { "steps", 0, CLI_INT, "N", 1, 1000, "sampling steps; a divisor of 1000 (default: the description's)" },
    { "report", 0, CLI_TEXT, "FILE", 0, 0, "a self-contained HTML page" },
    { "maps", 0, CLI_TEXT, "DIR", 0, 0, "anomaly maps as float32 TIFF of the images' sizes: DIR/CLASS/test/KIND/NAME.tiff" },
    { "protocol", 0, CLI_CHOICE, "official|mvtec", 0, 0,
      "whose figures come first: the published evaluation's (default) or the benchmark's; both are told" },
    { "pictures", 0, CLI_INT, "N", 0, 1000, "in the report (default 24)" },
    CLI_WEIGHTS_OPTIONS,
    { 0 },
};

const cli_command cmd_eval = {
    .name      = "eval",
    .summary   = "evaluates a run over a data set's test images",
    .arguments = "RUN",
    .least     = 1,
    .most      = 1,
    .options   = options,
    .can_stop  = true,
    .run       = run,
    .details   = "The threshold that separates good from anomalous best is kept in the run, for `diffad detect`.\n"
                 "RUN may also be a file of weights as the published code saves them, or a folder of such files; then --data\n"
                 "is needed: diffad eval last.ckpt --weights bottle_seg.pckl --data DATA --class bottle.\n"
                 "A metric that is undefined, since all labels are equal or masks are missing, is null.\n"
                 "official: image score = largest 21x21 mean; masks bilinear at the model's size, only full pixels count.\n"
                 "mvtec: maps bilinear at each image's size, masks as they are, image score = largest value of the map.",
};
