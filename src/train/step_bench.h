/* step_bench.h: a training step of one stage on random numbers, for measuring: the plan that the training runs, without its
 * loader and without the pictures that the segmenter's stage makes. */
#ifndef DIFFAD_STEP_BENCH_H
#define DIFFAD_STEP_BENCH_H

#include "train/run.h"

typedef struct train_bench train_bench;

/* o: model, scale, sets. stage: "vae" (with the critic where the description has one), "ldm", "seg" or "draem". */
diffad_status train_bench_open(diffad_device *dev, const diffad_train_options *o, const train_stage *stage, train_bench **out);
void          train_bench_close(train_bench *b);
diffad_status train_bench_step(train_bench *b, double *ms);      /* waits for its end */
const diffad_plan *train_bench_plan(const train_bench *b);
int           train_bench_batch(const train_bench *b);
size_t        train_bench_weights(const train_bench *b);      /* bytes of the plain weights on the device, of earlier stages too */

#endif
