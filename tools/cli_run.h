/* cli_run.h: what train, eval and demo share. */
#ifndef DIFFAD_CLI_RUN_H
#define DIFFAD_CLI_RUN_H

#include "cli.h"
#include "diffad/detect.h"
#include "diffad/train.h"

/* Progress callbacks; user: the cli. */
void cli_on_train(void *user, const diffad_train_progress *p);
void cli_on_eval(void *user, int64_t done, int64_t total);

/* An assignment of --set with train.steps.STAGE spelled train.STAGE.steps; false: too long. */
bool cli_spell_set(const char *given, char *out, size_t bytes);

/* The object of `eval --json`, without a newline, appended to j. */
void cli_eval_json(cli_json *j, const diffad_detector *d, const diffad_evaluation *e, bool official);
/* The same for a reader, beside the paper's figures. */
void cli_eval_print(const diffad_detector *d, const diffad_evaluation *e, bool official);
/* Writes the evaluation's threshold into the run, for `diffad detect`; a run that cannot be written is a note. */
void cli_keep_threshold(const cli *c, diffad_detector *d, const diffad_evaluation *e);

#endif
