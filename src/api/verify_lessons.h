/* verify_lessons.h: the graph of one training step of a golden file. */
#ifndef DIFFAD_VERIFY_LESSONS_H
#define DIFFAD_VERIFY_LESSONS_H

#include "api/verify_internal.h"
#include "train/train.h"

typedef struct verify_lesson {
    verify_net    *n;
    diffad_val     loss;
    diffad_params *list[2];        /* trained, with what stands before their names in the file */
    const char    *prefix[2];
    int            n_lists;
} verify_lesson;

typedef diffad_status (*verify_lesson_fn)(verify_lesson *l);

diffad_status verify_train(verify_run *r, verify_lesson_fn build);

#endif
