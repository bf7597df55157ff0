/* evaluate_internal.h: what evaluate.c and report_fill.c share. */
#ifndef DIFFAD_EVALUATE_INTERNAL_H
#define DIFFAD_EVALUATE_INTERNAL_H

#include "base/fail.h"
#include "diffad/detect.h"
#include "train/train.h"

typedef struct eval_work {
    diffad_detector           *detector;
    const diffad_eval_options *options;
    diffad_dataset            *dataset;
    diffad_evaluation         *out;
    float                     *score;        /* the detector's image scores as float, for metrics and curves */
    diffad_pixels             *official, *mvtec;
    float                     *large;        /* a map at its image's size */
    uint8_t                   *truth;        /* a mask at its image's size */
    int64_t                    large_pixels; /* room in both */
} eval_work;

/* Seconds of a detection, estimated: what every picture takes, and each step of the sampler. */
typedef struct detector_cost { double once, step; } detector_cost;
/* From the costs of the detector's plans, without weights, at the device's rates. */
diffad_status detector_cost_of(diffad_device *dev, const diffad_desc *d, const train_rates *rates, detector_cost *out);

const diffad_item *eval_item(const eval_work *w, int64_t i);
diffad_status      eval_write_report(const eval_work *w);
/* The run folder's metrics.jsonl as series of the report; released by the caller through the arena. */
const char        *diffad_detector_folder(const diffad_detector *d);      /* NULL: random weights */

#endif
