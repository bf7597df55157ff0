/* reproduce_internal.h: a grid of runs between its plan (reproduce_plan.c), its record (reproduce_record.c) and its walk. */
#ifndef DIFFAD_REPRODUCE_INTERNAL_H
#define DIFFAD_REPRODUCE_INTERNAL_H

#include "api/evaluate_internal.h"
#include "base/arena.h"
#include "base/fail.h"
#include "base/file.h"
#include "diffad/detect.h"
#include "diffad/reproduce.h"
#include "train/run.h"

enum { GRID_TIMED_STEPS = 5, GRID_TIMED_PICTURES = 20 };      /* for the paper's Table 5; a first picture builds kernels */

typedef struct grid_eval {
    int                     steps;
    int64_t                 images;
    double                  seconds;               /* an image */
    size_t                  bytes;                 /* of device memory, at the peak */
    diffad_protocol_metrics protocol[DIFFAD_MAX_PROTOCOLS];
    int                     protocols;
} grid_eval;

typedef struct grid_cell {
    diffad_cell        pub;
    char               description[17];            /* hash of it */
    uint64_t           key[DIFFAD_TRAIN_STAGES];   /* run_stage_key of pub.stage[i] */
    const char *const *sets;                       /* with the grid's own; NULL: of an earlier grid */
    char               fingerprint[17], device[128], driver[128];
    grid_eval         *eval;
    int64_t            evals, eval_capacity;
    double             timed;                      /* seconds a picture at GRID_TIMED_STEPS; NaN: not measured */
    detector_cost      cost;                       /* of a picture, estimated; zeros: not asked for */
    const char        *words;                      /* its stages; made for the tables */
} grid_cell;

/* A class: the fingerprint of its data, how it is opened, and how many pictures it has for training and evaluation. */
typedef struct grid_class { const char *name; char data[17]; const char *open_as; int pictures, tests; } grid_class;

struct diffad_reproduce {
    diffad_device            *dev;
    diffad_reproduce_options  o;
    diffad_arena              arena;               /* strings */
    grid_class               *class_;
    int64_t                   classes, class_capacity;
    grid_class               *kept;                /* of earlier grids */
    int64_t                   keeps, kept_capacity;
    char                      textures[17], lpips[17];      /* fingerprints; "" where there are none */
    grid_cell               **cell;
    int64_t                   cells, cell_capacity;
    diffad_reproduce_plan     plan;
    diffad_result            *result;              /* of the tables; their count */
    int64_t                   results;
    diffad_lock               lock;                /* on OUT, while it runs */
    uint64_t                  record_hash;         /* of reproduce.json as it was read; 0: there was none */
    bool                      is_noted;            /* remarks on the configuration are said */
    diffad_report_fact        fact[4];
    char                      fact_text[96];
};

/* ---- reproduce_plan.c ---- */

diffad_status grid_make(diffad_reproduce *r);
/* The cell's training; strings live with the grid. */
diffad_train_options grid_train_options(const diffad_reproduce *r, const grid_cell *c, const char *folder);
/* Another run of the class and seed whose stage i of `c` is finished; NULL: none. */
const grid_cell *grid_stage_owner(const diffad_reproduce *r, const grid_cell *c, int i);
/* The folder of the run that trained it. */
const char      *grid_trainer(const grid_cell *owner, int i);
bool             grid_is_done(const diffad_reproduce *r, const grid_cell *c);
const grid_eval *grid_find_eval(const grid_cell *c, int steps);
/* "OUT/folder" in new memory. */
char            *grid_folder(const diffad_reproduce *r, const grid_cell *c);
const int       *grid_eval_steps(const diffad_reproduce *r, int *count);
grid_cell       *grid_add_cell(diffad_reproduce *r);       /* NULL: memory */

/* ---- reproduce_estimate.c ---- */

/* Seconds and bytes of what wanted cells have to do. */
diffad_status grid_estimate(diffad_reproduce *r);
void          grid_count(diffad_reproduce *r);          /* fills the plan's numbers */

/* ---- reproduce_record.c ---- */

/* Adds the cells of OUT/reproduce.json. Errors: USAGE when they are of other inputs. */
diffad_status grid_read(diffad_reproduce *r);
/* Whether the record is still the one that was read: another process may have ended in between. */
diffad_status grid_check_unchanged(const diffad_reproduce *r);
/* reproduce.json and the tables. */
diffad_status grid_write(diffad_reproduce *r);

#endif
