/* reproduce.h: trains and evaluates a grid of classes, models, sampler steps and seeds, and writes the paper's tables beside
 * its own figures (tables.h).
 *
 *     diffad_reproduce_options o = diffad_reproduce_options_default();
 *     o.train.data = "mvtec"; o.train.scale = "paper"; o.out = "grid";
 *     DIFFAD_TRY(diffad_reproduce_open(dev, &o, &r));      plans; writes nothing
 *     plan = diffad_reproduce_plan_of(r);                  what will be trained, what is shared, how long
 *     DIFFAD_TRY(diffad_reproduce_run(r));
 *     diffad_reproduce_close(r);
 *
 * OUT/CLASS/seedN/MODEL[_stepsK] are run folders (K where it is not the description's own train_sampler_steps). Runs of one
 * class and seed share each stage that trains to the same weights: DiffAD's autoencoder and U-Net serve the variants that
 * change only the discriminator, its autoencoder all of them. OUT/reproduce.json keeps every result, OUT/tables.{md,csv,html}
 * show them; all are replaced whole after each run. The same call continues where an earlier one ended, however it ended, to
 * the same bits; a larger grid in the same folder adds to it. */
#ifndef DIFFAD_REPRODUCE_H
#define DIFFAD_REPRODUCE_H

#include "diffad/tables.h"
#include "diffad/train.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum diffad_cell_state { DIFFAD_CELL_WAITING, DIFFAD_CELL_DONE, DIFFAD_CELL_FAILED } diffad_cell_state;

/* A stage of a run. Time and memory are estimates until it is done, then measured; of a shared stage those of its training. */
typedef struct diffad_cell_stage {
    const char *name;
    const char *from;                /* folder below OUT of the run that trains it for this one; NULL: trained here */
    bool        is_done;
    int64_t     steps;
    double      seconds;
    size_t      bytes;               /* of device memory */
} diffad_cell_stage;

/* One run of the grid. */
typedef struct diffad_cell {
    const char       *class_name, *model, *folder;      /* folder: below OUT */
    uint64_t          seed;
    int               train_steps;   /* of the sampler while the discriminator trains; 0: does not apply (draem) */
    bool              is_wanted;     /* false: of an earlier grid, kept in the tables */
    diffad_cell_state state;         /* DONE: every evaluation that is asked for is there */
    diffad_status     code;          /* of a failed one, with its line */
    const char       *error;
    diffad_cell_stage stage[DIFFAD_TRAIN_STAGES];
    int               stages;
    double            eval_seconds;  /* of the evaluations that remain, estimated */
} diffad_cell;

typedef struct diffad_reproduce_progress {
    const diffad_cell *cell;
    int                number, total;        /* of the runs that this call has to do; number from 1 */
    bool               is_begin, is_end;     /* of the run: its state tells how it went */
    const diffad_train_progress *step;       /* within it; stage "evaluate" counts images. NULL at begin and end */
} diffad_reproduce_progress;
typedef void (*diffad_reproduce_progress_fn)(void *user, const diffad_reproduce_progress *p);

typedef struct diffad_reproduce_options {
    diffad_train_options train;              /* data, scale, configs, sets, textures, lpips, threads, save_seconds, stop, note,
                                                of every run; class, model, out, stages, from, resume, seed and progress are the
                                                grid's */
    const char          *out;
    const char *const   *classes, *const *models;      /* NULL-terminated; NULL: all classes in data, all six models */
    const int           *train_steps;        /* for every model; none: the description's own, and for diffad also the 10 and 20
                                                of Table 4 */
    int                  train_step_count;
    const int           *eval_steps;         /* the first one fills the tables; none: 5 */
    int                  eval_step_count;
    const uint64_t      *seeds;              /* none: 0 */
    int                  seed_count;
    diffad_reproduce_progress_fn progress;   /* NULL: none */
    void                *user;
} diffad_reproduce_options;
DIFFAD_API diffad_reproduce_options diffad_reproduce_options_default(void);

typedef struct diffad_reproduce diffad_reproduce;
/* Borrows *o and what it points to. Reads the data (its fingerprint), and OUT/reproduce.json where there is one. Errors: USAGE
 * (a description, a number of steps; OUT holds runs of another description or other data), DATA, CHECKPOINT (a damaged
 * reproduce.json), MEMORY, DEVICE. */
DIFFAD_API diffad_status diffad_reproduce_open(diffad_device *dev, const diffad_reproduce_options *o, diffad_reproduce **out);
DIFFAD_API void          diffad_reproduce_close(diffad_reproduce *r);

typedef struct diffad_reproduce_plan {
    const diffad_cell *const *cell;          /* wanted ones in the order of running, and kept ones */
    int    count, wanted, finished;          /* finished: of the wanted */
    double seconds, eval_seconds;            /* of the training and the evaluations that remain, estimated */
    size_t bytes;                            /* of device memory, of the largest stage that remains */
} diffad_reproduce_plan;
/* Lives with r, and follows what it does. */
DIFFAD_API const diffad_reproduce_plan *diffad_reproduce_plan_of(diffad_reproduce *r);

/* A run that fails (numerics, memory, data) is recorded and the others go on; the first failure's code is returned at the end.
 * A failing device or file system, and a stop (STOPPED; states are saved), end it at once; so does another process in OUT (FILE). */
DIFFAD_API diffad_status diffad_reproduce_run(diffad_reproduce *r);

/* The results so far; valid until r runs or closes. Errors: MEMORY. */
DIFFAD_API diffad_status diffad_reproduce_tables(diffad_reproduce *r, diffad_tables *out);

#ifdef __cplusplus
}
#endif

#endif
