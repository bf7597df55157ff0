/* dev.h: the device tests run on, and small things around plans. The device is DIFFAD_DEVICE's, never "the first
 * one". */
#ifndef DIFFAD_TEST_DEV_H
#define DIFFAD_TEST_DEV_H

#include "diffad/graph.h"
#include "diffad/ops.h"
#include "diffad/plan.h"

diffad_device *dev_new(void);
void           dev_done(diffad_device *dev);               /* also: no OpenCL object remains */
diffad_graph  *graph_new(void);
diffad_plan   *plan_new(diffad_device *dev, const diffad_graph *g, const diffad_plan_options *options);
void           plan_done(diffad_plan *p, diffad_graph *g);
void           plan_must_run(diffad_plan *p);
void           tensor_put(diffad_tensor *t, const float *x, int64_t count);
void           tensor_get(const diffad_tensor *t, float *x, int64_t count);
diffad_tensor *tensor_new(diffad_device *dev, diffad_shape shape);
/* Reproducible values between -1 and 1. */
void           numbers(float *x, int64_t count, unsigned seed);

#endif
