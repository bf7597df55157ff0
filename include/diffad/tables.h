/* tables.h: results of a grid of runs as Tables 1 to 5 of the paper's supplement, beside its figures. Host only.
 *
 * Plain structs go in, everything in them is borrowed; three files of the same content come out: tables.md, tables.csv (one
 * figure a line) and tables.html (no network, no script). What was not run is blank, what failed says so. */
#ifndef DIFFAD_TABLES_H
#define DIFFAD_TABLES_H

#include "diffad/report.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DIFFAD_MAX_PROTOCOLS = 4 };

typedef struct diffad_protocol_metrics {
    const char           *name;          /* official, mvtec */
    diffad_report_metrics metrics;
} diffad_protocol_metrics;

/* One run, evaluated with one number of sampling steps. */
typedef struct diffad_result {
    const char *class_name, *model;
    uint64_t    seed;
    int         train_steps;             /* of the sampler while the discriminator trains; 0: does not apply (draem) */
    int         eval_steps;              /* of the sampler at test; 0: does not apply */
    const char *error;                   /* why there is no result, one line; NULL: there is one */
    int64_t     images;
    diffad_protocol_metrics protocol[DIFFAD_MAX_PROTOCOLS];
    int         protocol_count;
    double      table5_seconds;          /* a picture, measured as Table 5 does; NaN: not measured */
    double      train_seconds;           /* of the stages that were trained for this run alone */
    const char *stages;                  /* in words: steps, and where shared ones come from */
    size_t      train_bytes, eval_bytes; /* of device memory, at the peak; 0: not known */
    const char *device, *fingerprint;
} diffad_result;

typedef struct diffad_tables {
    const char               *scale, *note;      /* note: a line at the top, or NULL */
    int                       train_steps;       /* Tables 1, 2, 3 and 5 show the runs of this number */
    int                       eval_steps;        /* all tables show the evaluations of this number */
    const diffad_result      *result;
    int                       count;
    const diffad_report_fact *facts;
    int                       fact_count;
} diffad_tables;

/* Each file is replaced atomically. Errors: MEMORY; FILE. */
DIFFAD_API diffad_status diffad_tables_save(const char *folder, const diffad_tables *t);

/* A figure averaged over seeds, beside the paper's; percent, or seconds. */
typedef struct diffad_figure {
    double here, spread;                 /* NaN: not run, or undefined; spread: standard deviation over seeds, from two on */
    double paper, difference;            /* NaN: the paper has none */
    int    seeds, failed;
} diffad_figure;
/* metric: image_auroc, pixel_auroc, pixel_ap; class_name NULL: the average of the classes that were run, beside the paper's
 * average of the same classes (NaN where one of them is not in the paper). train_steps 0: any. */
DIFFAD_API diffad_figure diffad_tables_figure(const diffad_tables *t, const char *model, int train_steps, const char *class_name,
                                              const char *metric);

#ifdef __cplusplus
}
#endif

#endif
