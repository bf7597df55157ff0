/* verify_internal.h: what the parts of diffad_verify share: one golden file being run, the graph made from it, and the
 * rules of comparison.
 *
 * A kind is either a builder (one graph, run once, outputs and gradients compared) or a function that does all itself.
 * Names of tensors are those of the file: in.x, param.weight, out.y, gin.x, gparam.weight, gout.y. */
#ifndef DIFFAD_VERIFY_INTERNAL_H
#define DIFFAD_VERIFY_INTERNAL_H

#include "base/config.h"
#include "base/sys.h"
#include "diffad/plan.h"
#include "diffad/verify.h"
#include "diffusion/latent.h"
#include "model/models.h"

enum { VERIFY_MAX_BAGS = 16, VERIFY_NAME = 256 };

/* Input channels (axis 1) of one recorded weight that a variant leaves out. */
typedef struct verify_cut { const char *param; int64_t from, count; } verify_cut;

/* Parameters of one network and where their values come from. */
typedef struct verify_bag {
    diffad_params    *params;
    const char       *network;      /* metadata `network` of a weights file; NULL: this file's own tensors */
    const char       *sub;          /* behind the file's prefix: "rec." */
    const verify_cut *cut;
} verify_bag;

typedef struct verify_run {
    diffad_device *dev;
    const diffad_verify_options *options;
    const char    *name;            /* of the file */
    diffad_file   *file;
    diffad_arena   arena;           /* all host arrays of this file */
    const diffad_config *attr, *defaults, *tol, *relative, *exact, *exact_except, *inputs, *outputs, *unused, *zero;
    bool          *seen;            /* tensors of the file that were compared or are not to be */
    verify_bag     bag[VERIFY_MAX_BAGS];
    int            n_bags;
    double         share;           /* of the elements of after1.* that may exceed the tolerance */
    int            compared, failed;
    char           worst[VERIFY_NAME], why[512];
    double         worst_error, worst_tolerance, worst_ratio;
} verify_run;

/* ---- verify_meta.c: what the metadata says ---- */

diffad_status verify_open(verify_run *r, const char *path);
void          verify_close(verify_run *r);
bool          verify_match(const char *pattern, const char *name);                  /* '*' stands for any characters */
bool          verify_listed(const diffad_config *patterns, const char *name);       /* NULL: no */
/* Metadata `key` as text; "" when absent. */
const char   *verify_text(const verify_run *r, const char *key);
diffad_status verify_json(verify_run *r, const char *key, const diffad_config **out);        /* NULL when absent */
/* The numbers in a text, in order; returns how many (at most max). Digits inside words do not count. */
int           verify_numbers(const char *text, double *out, int max);
/* The first number behind `word` in a text; fallback when there is none. */
double        verify_number_after(const char *text, const char *word, double fallback);
/* A number of attr or, if absent, defaults. False: absent or not a number. */
bool          verify_attr(const verify_run *r, const char *key, double *out);
/* `model` over the default description, without dropout. Not understood: UNSUPPORTED. */
diffad_status verify_desc(verify_run *r, diffad_desc *d);
/* The schedule of the description, or the one that `T`, `beta`, `schedule` tell. */
diffad_status verify_schedule(verify_run *r, diffad_schedule *out);

/* ---- verify_compare.c ---- */

/* A tensor of the file as floats in the run's arena; NULL (detail set) when it is absent or memory is out. */
const float  *verify_values(verify_run *r, const char *name, int64_t *count);
bool          verify_has(const verify_run *r, const char *name);
/* Nothing happens when the file holds no such tensor. is_first: have begins with what is expected (sample 0). */
diffad_status verify_compare(verify_run *r, const char *name, const float *have, int64_t count, bool is_first);
diffad_status verify_compare_tensor(verify_run *r, const char *name, const diffad_tensor *t);
void          verify_record(verify_run *r, const char *name, double error, double tolerance);
void          verify_skip(verify_run *r, const char *name);          /* not to be compared, by the file's own rules */
void          verify_complain(verify_run *r, const char *format, ...) DIFFAD_PRINTF(2, 3);
/* Tensors that had to be compared and were not. */
void          verify_missing(verify_run *r);

/* ---- verify_net.c: a graph whose inputs and outputs are tensors of the file ---- */

typedef struct verify_item {
    const char     *tensor;         /* in the file */
    diffad_val      v;
    const char     *name;           /* in the plan */
    const float    *data;           /* inputs that are not in the file */
    diffad_param   *state;          /* outputs: a parameter after the run */
    bool            is_first;
} verify_item;

typedef struct verify_net {
    verify_run   *run;
    diffad_graph *g;
    diffad_plan  *plan;
    unsigned      with;           /* DIFFAD_WITH_...: what parameters have besides their values */
    verify_item  *in, *out;
    int64_t       n_in, cap_in, n_out, cap_out;
} verify_net;

diffad_status verify_net_begin(verify_run *r, verify_net *n);
void          verify_net_end(verify_net *n);
/* A tensor of the file as an input of the graph, converted to `type`. Absent: the graph fails; optional: invalid. */
diffad_val    verify_in(verify_net *n, const char *tensor, diffad_dtype type);
diffad_val    verify_in_optional(verify_net *n, const char *tensor, diffad_dtype type);
diffad_val    verify_constant(verify_net *n, const char *name, const float *data, diffad_shape shape);
/* v is to be compared with that tensor; ignored when the file has none. */
void          verify_out(verify_net *n, const char *tensor, diffad_val v);
void          verify_out_first(verify_net *n, const char *tensor, diffad_val v);
void          verify_out_state(verify_net *n, const char *tensor, diffad_param *p);
/* stage.X of the file: the values named X. */
void          verify_stages(verify_net *n);
/* gin.X and gparam.X: gradients of the sum over outputs of out.K gout.K, or of the sum of out.* without any gout. */
void          verify_gradients(verify_net *n);
/* Loads parameters, makes the plan, writes the inputs. */
diffad_status verify_net_prepare(verify_net *n);
diffad_status verify_net_compare(verify_net *n);
/* prepare, run, compare */
diffad_status verify_net_run(verify_net *n);

/* Numbers of attr or defaults; the graph fails (UNSUPPORTED) where they are not what the builder can do. */
double        verify_real(verify_net *n, const char *key, double fallback);
int           verify_int(verify_net *n, const char *key, int fallback);
void          verify_fixed(verify_net *n, const char *key, double value);

/* ---- verify_weights.c ---- */

/* The parameters of a network: the same list for the same network, sub and cut. NULL (detail set): memory. */
diffad_params *verify_params(verify_run *r, const char *network, const char *sub, const verify_cut *cut);
/* Tensors for all parameters so far, with values from the files. */
diffad_status verify_fill(verify_run *r, unsigned with);

/* ---- kinds ---- */

typedef struct verify_kind {
    const char     *name;
    void          (*build)(verify_net *n);
    diffad_status (*run)(verify_run *r);
} verify_kind;

/* Each table ends with a row without a name. */
extern const verify_kind verify_kinds_ops[], verify_kinds_losses[], verify_kinds_blocks[], verify_kinds_steps[],
    verify_kinds_models[], verify_kinds_pipeline[], verify_kinds_train[], verify_kinds_curve[], verify_kinds_host[];

/* Scores of maps [N,1,H,W] on the host, compared with tensor `score`. */
diffad_status verify_scores(verify_run *r, const diffad_tensor *map);
/* Inputs sqrt(abar) and sqrt(1-abar) from the file's schedule. */
diffad_status verify_tables(verify_net *n, diffad_val *sqrt_abar, diffad_val *sqrt_1m_abar);
/* Along the channels, any number of values. */
diffad_val    verify_concat(verify_net *n, int count, const diffad_val *v);

#endif
