/* report.h: the parts of the report's page. Each appends to one growing text; see include/diffad/report.h. */
#ifndef DIFFAD_EVAL_REPORT_H
#define DIFFAD_EVAL_REPORT_H

#include "diffad/report.h"

#include "base/fail.h"
#include "base/text.h"

/* The page's style sheet. */
extern const char *const diffad_report_style[];        /* NULL-terminated pieces */

/* From the first line of a page to <main>; it may show pictures that are in it, and nothing from elsewhere. */
void diffad_report_head(diffad_text *t, const char *title);

/* ---- numbers ---- */

/* A share as percent with one decimal, as the paper prints it; "undefined" when NaN. */
void diffad_report_percent(diffad_text *t, double share);
/* "image": {...}, "pixel": {...} as in `eval --json`: null where undefined. */
void diffad_report_metrics_json(diffad_text *t, const diffad_report_metrics *m);

/* Mean over the classes of the metric at this offset of diffad_report_metrics, those without it left out. */
double diffad_report_mean(const diffad_report *r, size_t offset);
/* A figure in the paper's own terms, as it is printed (98.7); table 0, steps 0: any. NaN: none. The first row wins: tables 1
 * and 2 (50 sampling steps in training) stand before table 4. */
double      diffad_paper_printed(int table, const char *method, int steps, const char *name, const char *metric);
/* What the paper calls a model; NULL: not there. */
const char *diffad_paper_method(const char *model);
/* Seconds per image on a V100 after the paper's table 5; NaN: not stated. */
double diffad_paper_seconds(const char *model);

/* ---- verdicts ---- */

typedef enum diffad_verdict {
    DIFFAD_VERDICT_NONE,                /* no threshold */
    DIFFAD_VERDICT_CALLED_GOOD,         /* label not known */
    DIFFAD_VERDICT_CALLED_ANOMALOUS,
    DIFFAD_VERDICT_GOOD,                /* right */
    DIFFAD_VERDICT_ANOMALOUS,           /* right */
    DIFFAD_VERDICT_MISSED,              /* anomalous, called good: a false negative */
    DIFFAD_VERDICT_FALSE_ALARM,         /* good, called anomalous: a false positive */
    DIFFAD_VERDICTS
} diffad_verdict;
diffad_verdict diffad_report_verdict(double score, int label, double threshold);
bool           diffad_verdict_is_wrong(diffad_verdict v);
const char    *diffad_verdict_words(diffad_verdict v);
/* All images of the class: how many of each verdict. */
void           diffad_report_tally(const diffad_report_class *c, int count[DIFFAD_VERDICTS]);

/* ---- charts: one <figure> each ---- */

typedef struct diffad_chart_line {
    const char         *name;       /* NULL: not in the legend */
    double              value;      /* behind the name, as percent; NaN: none */
    diffad_report_curve curve;
} diffad_chart_line;

typedef struct diffad_chart {
    const char              *title, *x_label, *y_label;
    bool                     is_unit;       /* both axes 0 to 1; otherwise they follow the data, y by decades if wide */
    bool                     has_diagonal;
    bool                     is_stepped;    /* level up to a point, then to its height: what AP sums */
    const diffad_chart_line *line;          /* at most 4 */
    int                      count;
} diffad_chart;
void diffad_report_chart(diffad_text *t, const diffad_chart *chart);

/* Scores of good images above the axis, of anomalous ones below it, the threshold across. */
void diffad_report_histogram(diffad_text *t, const diffad_report_class *c);

/* ---- sections ---- */

/* Cards of pictures, wrong verdicts in front. */
diffad_status diffad_report_pictures(diffad_text *t, const diffad_report_class *c);
/* Verdicts of all images: wrong ones as a table, the whole list folded. */
diffad_status diffad_report_verdicts(diffad_text *t, const diffad_report_class *c);
/* Results of the classes beside the paper's. */
void          diffad_report_results(diffad_text *t, const diffad_report *r);
/* Loss of each stage. */
diffad_status diffad_report_losses(diffad_text *t, const diffad_report *r);

#endif
