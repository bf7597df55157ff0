/* report.h: one self-contained HTML page about a run: numbers beside the paper's, curves, pictures, facts. Host only.
 *
 * A plain struct goes in; everything in it is borrowed. The page needs no network and no script, follows the reader's
 * light or dark setting, and is the same to the byte for the same input. Metrics that are NaN appear as "undefined". */
#ifndef DIFFAD_REPORT_H
#define DIFFAD_REPORT_H

#include "diffad/data.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct diffad_report_metrics {
    double image_auroc, image_ap, image_f1max;                  /* 0..1; NaN: undefined */
    double pixel_auroc, pixel_ap, pixel_f1max, pixel_aupro;
    double seconds_per_image;
} diffad_report_metrics;
/* Everything NaN. */
DIFFAD_API diffad_report_metrics diffad_report_metrics_undefined(void);

typedef struct diffad_report_curve {
    const double *x, *y;
    int           count;       /* 0: none */
} diffad_report_curve;

/* One test image with what the model made of it: the rows of the paper's Figure 2. A picture that is NULL is left
 * out. */
typedef struct diffad_report_picture {
    const char         *file, *defect;      /* defect NULL: unknown */
    double              score;
    int                 label;              /* 1 anomalous, 0 good, -1 not known */
    const diffad_image *input, *reconstruction, *heatmap, *predicted_mask, *true_mask;
} diffad_report_picture;

/* The same detections under one protocol. */
typedef struct diffad_report_protocol {
    const char           *name;
    diffad_report_metrics metrics;
} diffad_report_protocol;

typedef struct diffad_report_class {
    const char                  *name;
    diffad_report_metrics        metrics;          /* of the report's protocol */
    const diffad_report_protocol *protocol;        /* [protocol_count] all that were evaluated, side by side */
    int                          protocol_count;
    double                       threshold;        /* score >= threshold is called anomalous; NaN: no verdicts */
    const char                  *threshold_rule;   /* how it was found, in words */
    const float                 *score;            /* [count] image scores of all test images */
    const float                 *ranked;           /* [count] what the image metrics rank; NULL: score */
    const uint8_t               *label;            /* [count] of 0/1; NULL: not known */
    const char *const           *file;             /* [count]; NULL: no list of all images */
    int                          count;
    diffad_report_curve          pixel_roc, pixel_pr;
    const diffad_report_picture *picture;          /* shown in this order, wrong verdicts in front */
    int                          picture_count;
} diffad_report_class;

typedef struct diffad_report_loss {
    const char   *stage, *name;     /* series of one stage share a chart: follow one another */
    const double *step, *value;
    int           count;
} diffad_report_loss;

/* Facts of one group follow one another: device, training, protocol, versions, ... */
typedef struct diffad_report_fact {
    const char *group, *name, *value;
} diffad_report_fact;

typedef struct diffad_report {
    const char                *title;       /* NULL: "DiffAD evaluation" */
    const char                *model;       /* diffad, diffad_fr, diffad_c, diffad_no_inter, diffad_xa_inter, draem */
    const char                *scale;       /* paper, fast, tiny */
    const char                *protocol;    /* official, mvtec */
    const char                *fingerprint; /* of the weights */
    const char                *date;
    const char                *note;        /* a remark at the top, or NULL */
    int                        ddim_steps;  /* 0: does not apply */
    const diffad_report_class *classes;
    int                        class_count;
    const diffad_report_loss  *losses;
    int                        loss_count;
    const diffad_report_fact  *facts;
    int                        fact_count;
} diffad_report;

/* Atomic. Errors: USAGE when the struct contradicts itself; MEMORY; FILE. */
DIFFAD_API diffad_status diffad_report_save(const char *path, const diffad_report *r);

/* A figure of the paper (models/paper_tables.csv): `metric` is image_auroc, pixel_auroc or pixel_ap, `name` a class of
 * MVTec-AD or "average". A share of 1, NaN where the paper has none. */
DIFFAD_API double diffad_paper_figure(const char *model, const char *name, const char *metric);

#ifdef __cplusplus
}
#endif

#endif
