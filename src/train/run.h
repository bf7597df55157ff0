/* run.h: a run folder: its record run.json, and the networks it holds. */
#ifndef DIFFAD_RUN_H
#define DIFFAD_RUN_H

#include "checkpoint/checkpoint.h"
#include "train/train.h"

enum { RUN_STAGES = 4 };

/* What run.json says, besides the description. */
typedef struct run_record {
    char     model[64], scale[64], class_name[256], data[1024], textures[1024], device[128], driver[128], fingerprint[17], version[32];
    char     tuned[24];              /* digest of the table of tuned ways that it began with; "": none */
    uint64_t seed;
    double   latent_scale;
    int64_t  parameters;
    double   threshold;              /* NaN: not known */
    char     threshold_rule[256];
    struct {
        int64_t     steps;
        double      seconds;
        size_t      peak_bytes;
        bool        is_done;
        char        precision[8];                 /* of its products; "": not trained here */
        train_scale scale[TRAIN_SCALERS];         /* f16: at its end; the critic's all zero where there was none */
    } stage[RUN_STAGES];             /* vae, ldm, seg, draem */
} run_record;

extern const train_stage *const run_stages[RUN_STAGES];

/* What run_ways_write put there stays. */
diffad_status run_record_write(const char *folder, const run_record *r, const diffad_desc *d);
/* Adds the ways that a stage's plans took for each node (diffad_plan_ways) to a record that is there. */
diffad_status run_ways_write(const char *folder, const char *stage, char *ways[TRAIN_PHASES][2]);
/* Fills *d over the published defaults. Errors: CHECKPOINT (not a run folder, newer format), FILE. */
diffad_status run_record_read(const char *folder, run_record *r, diffad_desc *d);

/* NULL: no stage has the name. */
const train_stage *run_stage_named(const char *name);
/* The stages a description needs, in order; returns how many. */
int run_stages_of(const diffad_desc *d, const train_stage **list);

/* ---- share.c: what one run can take from another ---- */

/* Equal for two descriptions when the stage, and those before it, train to the same weights (given seed and data). 0: memory. */
uint64_t      run_stage_key(const diffad_desc *d, const train_stage *s);
bool          run_has_stage(const char *folder, const train_stage *s);
/* A finished stage of the run `from`, as if trained in `folder`; nothing happens where `from` has none or `folder` has one. */
diffad_status run_take_stage(const char *from, const char *folder, const train_stage *s);

/* Parameter lists of a run (no tensors yet) and their release. */
diffad_status run_open_params(train_run *r);
void          run_close(train_run *r);
/* Weights of finished stages from `folder`, for use (no optimiser state). Needs r->desc, r->dev. */
diffad_status run_load_weights(train_run *r, const char *folder);
/* The same from files of any kind. */
diffad_status run_load_checkpoint(train_run *r, const diffad_checkpoint *c);
/* The same lists with tensors of zeros; with names and shapes alone. */
diffad_status run_shape_weights(train_run *r);
diffad_status run_shape_lists(train_run *r);

/* The networks that detecting takes, where they stand in a checkpoint, and the stage that trains them. */
enum { RUN_NEEDS = 3 };
typedef struct run_need { diffad_params *list; checkpoint_part part; const train_stage *stage; } run_need;
int           run_needs(const train_run *r, run_need out[RUN_NEEDS]);
diffad_status run_load_part(diffad_params *p, const diffad_checkpoint *c, checkpoint_part part, diffad_param_part to);

/* ---- foreign.c: files of weights that are no run folder ---- */

/* What is asked for; NULL: what the weights tell. */
typedef struct run_wish { const char *model, *scale; const char *const *configs, *const *sets; } run_wish;
/* The description that the weights have with them, else the variant and scale whose shapes they have. *scale: its name, or "". */
diffad_status run_describe_weights(const diffad_checkpoint *c, const run_wish *w, diffad_desc *out, char scale[64]);
/* Latents' scale, from the weights or the description; the noise schedule of the weights must be the description's. */
diffad_status run_check_tables(const diffad_checkpoint *c, const diffad_desc *d, double *latent_scale);
/* A stage that the checkpoint holds, as if trained in the run; nothing happens where it holds none or the run has one. */
diffad_status run_import_stage(train_run *r, const diffad_checkpoint *c, const train_stage *s);
/* Whether the path is a folder that `diffad train` made. */
bool          run_is_folder(const char *path);

diffad_status run_fingerprint(const train_run *r, char hex[17], int64_t *parameters);

#endif
