/* time_ops.h: a case of an op, ready to be run and timed again and again. For bench, compare and tune.
 *
 *     time_case t;
 *     st = time_case_open(dev, op, c, "direct", &t);      way NULL: the plan's own choice
 *     if (st == DIFFAD_OK && t.step) st = time_case_run(&t, &us);
 *     time_case_close(&t);
 */
#ifndef DIFFAD_API_TIME_OPS_H
#define DIFFAD_API_TIME_OPS_H

#include "diffad/data.h"
#include "graph/plan.h"
#include "op/ops.h"

typedef struct time_case {
    diffad_device        *dev;
    const diffad_op      *op;
    const diffad_op_case *c;
    diffad_graph         *g;
    diffad_plan          *plan;
    diffad_tensor        *bound[DIFFAD_MAX_IN];
    const plan_step      *step;      /* the op's own; reorders around it are others. NULL: not made in the way asked for */
    diffad_cost           cost;
    double                us;        /* of the run before; 0: none yet */
} time_case;

/* Maps that fill a channel block lie in blocks where the device wants them so, as inside networks; a way that takes them plain
 * gets copies, which do not count. Must be closed even when it fails. Errors: UNSUPPORTED or USAGE (the way does not fit), MEMORY, DEVICE. */
diffad_status time_case_open(diffad_device *dev, const diffad_op *op, const diffad_op_case *c, const char *way, time_case *t);
/* Runs on fresh inputs, one behind the other as launches are in a network: after a pause a CPU driver's threads start on one core. *us: the
 * op's own launches of the last run by the driver's clock, which needs DIFFAD_PROFILE=1 when the device was opened. 0: the
 * driver gives no times of these launches. The first run of all builds. */
diffad_status time_case_run(time_case *t, double *us);
void          time_case_close(time_case *t);
/* Whether bench takes this case: those of real size, or all of an op that has none. */
bool          time_case_counts(const diffad_op *op, const diffad_op_case *c);

#endif
