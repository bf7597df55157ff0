/* tune_internal.h: what tune.c, tune_nodes.c and tune_trial.c share. */
#ifndef DIFFAD_TUNE_INTERNAL_H
#define DIFFAD_TUNE_INTERNAL_H

#include "diffad/tune.h"
#include "graph/plan.h"

/* A node, apart from its graph. `stays`: bound, and the same from run to run, so that its packed form is. */
typedef struct tune_operand { bool is_there, stays; diffad_shape shape; } tune_operand;
typedef struct tune_node {
    char             key[PLAN_KEY_BYTES];
    const diffad_op *op;
    void            *attr;
    tune_operand     in[DIFFAD_CASE_IN];
    int64_t          uses;
    double           weight;           /* grows with the time of all its uses */
} tune_node;
typedef struct tune_nodes {
    tune_node  *node;
    int64_t     count, capacity;
    const char *op;                    /* only these; NULL: all */
    bool        has_failed;            /* no host memory */
} tune_nodes;

/* Nodes of the model's plans with a choice, heaviest first. Release also after a failure. */
diffad_status tune_gather(diffad_device *dev, const diffad_tune_options *o, tune_nodes *out);
void          tune_nodes_release(tune_nodes *n);

/* What could compute a node: "way" or "way/variant". */
enum { TUNE_CHOICES = 64, TUNE_CHOICE_BYTES = 48 };
int tune_choices(const diffad_node *n, const diffad_caps *caps, char (*choice)[TUNE_CHOICE_BYTES]);

/* A plan of one node in one way, with its inputs written. blocked: bit i: input i comes blocked. */
typedef struct tune_trial {
    diffad_device   *dev;
    const tune_node *of;
    diffad_graph    *g;
    diffad_plan     *plan;
    diffad_tensor   *bound[DIFFAD_CASE_IN];
    const plan_step *step;
    char             choice[TUNE_CHOICE_BYTES];
} tune_trial;
/* choice NULL: what a plan takes by itself. usual NULL, or the trial whose layout the result must have: else the nodes behind
 * this one would pay for it. Must be closed even when it fails. Errors: UNSUPPORTED (it does not fit), MEMORY, DEVICE. */
diffad_status tune_trial_open(diffad_device *dev, const tune_node *of, const char *choice, uint64_t blocked, const tune_trial *usual,
                              tune_trial *t);
/* device: from the start of the node's first launch to the end of its last, by the driver's clock; 0: it gives no times of these
 * (CLBlast's launches are its own), or the device was opened without DIFFAD_PROFILE=1. wall: of the whole run, with the wait. */
typedef struct tune_time { double device, wall; } tune_time;      /* microseconds */
diffad_status tune_trial_run(tune_trial *t, tune_time *us);
/* Whether both gave the same, within four times the tolerances of their ways. */
diffad_status tune_trial_agrees(const tune_trial *usual, const tune_trial *t, bool *agrees);
void          tune_trial_close(tune_trial *t);

#endif
