/* cli_bench.h: the parts of `diffad bench`. */
#ifndef DIFFAD_CLI_BENCH_H
#define DIFFAD_CLI_BENCH_H

#include "base/median.h"
#include "cli.h"

/* ---- cli_sample.c: repeated measurements ---- */

enum { CLI_MAX_SAMPLES = DIFFAD_MEDIAN_MOST };
typedef struct cli_sample { double value[CLI_MAX_SAMPLES]; int count; } cli_sample;
void   cli_sample_add(cli_sample *s, double value);
double cli_sample_median(const cli_sample *s);      /* NaN: none */
double cli_sample_min(const cli_sample *s);
double cli_sample_max(const cli_sample *s);
/* "KEY", "KEY_min", "KEY_max" */
void   cli_sample_json(cli_json *j, const char *key, const cli_sample *s);

/* ---- cli_peak.c: what the device reaches in plain OpenCL C ---- */

typedef struct cli_peak cli_peak;
/* dev: opened with DIFFAD_PROFILE=1, outlives the peak. */
diffad_status cli_peak_open(diffad_device *dev, cli_peak **out);
void          cli_peak_close(cli_peak *p);                                      /* NULL is fine */
diffad_status cli_peak_multiply(cli_peak *p, double *gflops);                   /* one run of multiply-adds in registers */
/* One triad z = x + a y over three operands of `bytes` together, 96 MiB at most; counts each read and written once. */
diffad_status cli_peak_stream(cli_peak *p, double bytes, double *gbytes);

/* ---- cli_bench_op.c ---- */

int cli_bench_op(cli *c, const char *op, int repeat);

/* ---- cli_against.c: an earlier measurement of the same model or op ---- */

typedef struct cli_against { struct json_t *rows, *row; char path[1024]; } cli_against;      /* row: one of rows */
/* What a row must be of: an op (or "all"), or else a model. batch 0: of training; size 0: the description's. */
typedef struct cli_against_key { const char *op, *model, *scale, *precision; int batch, size; } cli_against_key;
/* The last such row of the file. Errors: DATA (none, or no JSON lines), FILE. */
diffad_status cli_against_open(cli_against *a, const char *path, const cli_against_key *key);
/* The last of those rows from this device, if there is one. */
void          cli_against_prefer(cli_against *a, const char *device);
void          cli_against_close(cli_against *a);
double        cli_against_ms(const cli_against *a, const char *stage);      /* NULL: the whole; NaN: not in the row */
void          cli_against_print(const cli_against *a, const char *stage, double ms);
/* us of the last row of an op's way, from this device if there is one; NaN: no such row. */
double        cli_against_op(const cli_against *a, const char *device, const char *op, const char *case_name, const char *way, const char *layout);

/* ---- cli_bench_train.c ---- */

int cli_bench_train(cli *c, const char *model, const char *scale, int repeat, int threads);      /* 0: all */

/* ---- cli_pytorch.c: the same work in PyTorch, in a process of its own ---- */

typedef struct cli_pytorch {
    int     pid, to, from;               /* pipes */
    char    version[64], device[96], layout[32];
    int     threads;
    int64_t parameters, peak_rss, beyond_weights;        /* bytes but for the first; the last of the device's memory */
} cli_pytorch;
/* description: JSON of diffad_config_to_json; work: the second argument of the script, which says what a run is; on_cpu: else on
 * the GPU that PyTorch sees; precision: as PyTorch does it, by TF32 or autocast; batch: of detections, steps have the description's. */
typedef struct cli_pytorch_work { const char *script, *description, *work; int threads; bool on_cpu; const char *precision; int batch; } cli_pytorch_work;
/* script: a file of tools/pytorch. Fails with USAGE when python3 with torch is not there. */
diffad_status cli_pytorch_start(cli_pytorch *p, const cli_pytorch_work *w);
diffad_status cli_pytorch_run(cli_pytorch *p, double *seconds);
void          cli_pytorch_end(cli_pytorch *p);       /* fills what it held at most */
/* Its times beside ours, round by round: ratio is theirs over ours; beyond_weights: our bytes of the device, its share is ours over
 * theirs. "pytorch": an object; a line. */
void          cli_pytorch_json(cli_json *j, const cli_pytorch *p, const cli_sample *ms, const cli_sample *ratio, int64_t beyond_weights);
void          cli_pytorch_print(const cli_pytorch *p, const cli_sample *ms, const cli_sample *ratio, int64_t beyond_weights);

#endif
