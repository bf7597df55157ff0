/* cli_run.h: what train, eval and demo share. */
#ifndef DIFFAD_CLI_RUN_H
#define DIFFAD_CLI_RUN_H

#include "cli.h"
#include "diffad/detect.h"
#include "diffad/train.h"

/* Progress callbacks; user: the cli. */
void cli_on_train(void *user, const diffad_train_progress *p);
void cli_on_eval(void *user, int64_t done, int64_t total);

/* Options of eval and detect for weights that are no run folder; rows for a command's table. */
#define CLI_WEIGHTS_OPTIONS                                                                                            \
    { "weights", 0, CLI_LIST, "FILE", 0, 0, "RUN is a file of weights: a further one (.ckpt, .pckl, .pth, .safetensors)" }, \
    { "model", 0, CLI_TEXT, "VARIANT", 0, 0, "of such weights (default: as their shapes tell)" },                      \
    { "scale", 0, CLI_CHOICE, "paper|fast|tiny", 0, 0, "of such weights (default: the one that fits)" },               \
    { "config", 0, CLI_LIST, "FILE", 0, 0, "of such weights: YAML as in `diffad train`" },                             \
    { "set", 0, CLI_LIST, "NAME=VALUE", 0, 0, "of such weights: one value of the description" }
/* Opens RUN, the first argument, as a detector with --steps, --seed and those options; says what weights were taken for. */
diffad_status cli_open_detector(const cli *c, diffad_device *dev, diffad_detector **out);

/* ---- cli_pictures.c ---- */

typedef struct cli_picture { char *path, *name; } cli_picture;      /* name: of its results, without an ending */
typedef struct cli_pictures { cli_picture *item; int64_t count, capacity; bool are_named_apart; } cli_pictures;
/* Images and folders of images among the arguments from `first` on, folders sorted by name. named_apart: no two names are equal, at
 * the cost of comparing them. Release also after a failure. */
diffad_status cli_find_pictures(const cli *c, int first, bool named_apart, cli_pictures *out);
void          cli_pictures_release(cli_pictures *p);

/* An assignment of --set with train.steps.STAGE spelled train.STAGE.steps; false: too long. */
bool cli_spell_set(const char *given, char *out, size_t bytes);

/* The object of `eval --json`, without a newline, appended to j. */
void cli_eval_json(cli_json *j, const diffad_detector *d, const diffad_evaluation *e, bool official);
/* The same for a reader, beside the paper's figures. */
void cli_eval_print(const diffad_detector *d, const diffad_evaluation *e, bool official);
/* Writes the evaluation's threshold into the run, for `diffad detect`; a run that cannot be written is a note. */
void cli_keep_threshold(const cli *c, diffad_detector *d, const diffad_evaluation *e);

#endif
