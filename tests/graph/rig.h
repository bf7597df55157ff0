/* rig.h: runs a graph on a device and in double on the host, and compares. */
#ifndef DIFFAD_TEST_GRAPH_RIG_H
#define DIFFAD_TEST_GRAPH_RIG_H

#include "graph/plan.h"
#include "support/dev.h"

/* Gives every input numbers, runs the plan and the references `runs` times (state goes on), and expects all outputs and
 * all state to agree within tol of their largest value. `what` stands in the messages. */
void expect_like_reference(diffad_plan *p, const diffad_graph *g, int runs, double tol, const char *what);

/* Launches of a plan by the name of their kernel. */
int launches_of(const diffad_plan *p, const char *kernel);

/* A folder with all kernel files of the library and one more; DIFFAD_CL_DIR points there from now on. */
void kernels_with(const char *name, const char *text);

#endif
