/* tables_figure.c: one figure of a table: means over seeds and classes, beside the paper's. */
#include "eval/tables.h"

#include "eval/report.h"

#include <math.h>
#include <string.h>

const char *const table_classes[TABLE_CLASSES] = { "carpet", "grid", "leather", "tile", "wood", "bottle", "cable", "capsule",
                                                   "hazelnut", "metal_nut", "pill", "screw", "toothbrush", "transistor", "zipper" };

static const struct { const char *name; size_t offset; } metrics[] = {
    { "image_auroc", offsetof(diffad_report_metrics, image_auroc) }, { "image_ap", offsetof(diffad_report_metrics, image_ap) },
    { "image_f1max", offsetof(diffad_report_metrics, image_f1max) }, { "pixel_auroc", offsetof(diffad_report_metrics, pixel_auroc) },
    { "pixel_ap", offsetof(diffad_report_metrics, pixel_ap) },       { "pixel_f1max", offsetof(diffad_report_metrics, pixel_f1max) },
    { "pixel_aupro", offsetof(diffad_report_metrics, pixel_aupro) },
};

bool table_is_percent(const char *metric)
{
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
        if (strcmp(metric, metrics[i].name) == 0)
            return true;
    return false;
}

table_query table_join(const table_query *row, const table_query *column)
{
    table_query q = *row;
    q.model       = column->model ? column->model : q.model;
    q.method      = column->method ? column->method : q.method;
    q.metric      = column->metric ? column->metric : q.metric;
    q.protocol    = column->protocol ? column->protocol : q.protocol;
    q.over        = column->over ? column->over : q.over;
    q.train_steps = column->train_steps ? column->train_steps : q.train_steps;
    q.eval_steps  = column->eval_steps ? column->eval_steps : q.eval_steps;
    q.table       = column->table ? column->table : q.table;
    q.class_name  = column->class_name ? column->class_name : q.class_name;
    return q;
}

/* ---- what was run ---- */

bool table_is_paper_class(const char *class_name)
{
    for (int k = 0; k < TABLE_CLASSES; k++)
        if (strcmp(class_name, table_classes[k]) == 0)
            return true;
    return false;
}

bool table_is_new_class(const diffad_tables *t, int i)
{
    for (int k = 0; k < i; k++)
        if (strcmp(t->result[k].class_name, t->result[i].class_name) == 0)
            return false;
    return true;
}

/* Time and memory are those of the run whatever the number of steps at test. */
static bool is_asked_for(const diffad_tables *t, const diffad_result *r, const table_query *q)
{
    const int eval = q->eval_steps && table_is_percent(q->metric) ? q->eval_steps : t->eval_steps;
    return q->model && strcmp(r->model, q->model) == 0 && (r->train_steps == 0 || q->train_steps == 0 || r->train_steps == q->train_steps) &&
           (r->eval_steps == 0 || r->error || r->eval_steps == eval);
}

static double mib(size_t bytes) { return bytes ? (double)bytes / (1 << 20) : NAN; }

/* NaN: undefined. */
static double value_of(const diffad_result *r, const table_query *q)
{
    if (strcmp(q->metric, "seconds") == 0)
        return r->table5_seconds;
    if (strcmp(q->metric, "train_mib") == 0)
        return mib(r->train_bytes);
    if (strcmp(q->metric, "eval_mib") == 0)
        return mib(r->eval_bytes);
    const char *protocol = q->protocol ? q->protocol : "official";
    for (int p = 0; p < r->protocol_count; p++)
        for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
            if (strcmp(r->protocol[p].name, protocol) == 0 && strcmp(q->metric, metrics[i].name) == 0) {
                double v;
                memcpy(&v, (const char *)&r->protocol[p].metrics + metrics[i].offset, sizeof v);
                return 100 * v;
            }
    return NAN;
}

typedef struct sums { double sum, square; int count; } sums;

static void add(sums *s, double v)
{
    s->sum += v;
    s->square += v * v;
    s->count++;
}

static double mean_of(const sums *s) { return s->count ? s->sum / s->count : NAN; }

static double spread_of(const sums *s)
{
    const double variance = s->count > 1 ? (s->square - s->sum * s->sum / s->count) / (s->count - 1) : NAN;
    return variance < 0 ? 0 : sqrt(variance);
}

static diffad_figure over_seeds(const diffad_tables *t, const table_query *q, const char *class_name)
{
    sums          s = { 0 };
    diffad_figure f = { 0 };
    for (int i = 0; i < t->count; i++) {
        const diffad_result *r = &t->result[i];
        if (strcmp(r->class_name, class_name) != 0 || !is_asked_for(t, r, q))
            continue;
        const double v = r->error ? NAN : value_of(r, q);
        f.failed += r->error != NULL;
        f.seeds += !r->error;
        if (isfinite(v))
            add(&s, v);
    }
    f.here   = mean_of(&s);
    f.spread = spread_of(&s);
    return f;
}

/* The mean over classes for each seed that has them all: their spread. */
static double spread_of_means(const diffad_tables *t, const table_query *q, int classes)
{
    sums all = { 0 };
    for (int i = 0; i < t->count; i++) {
        sums one = { 0 };
        bool is_new = true;
        for (int k = 0; k < i; k++)
            is_new = is_new && t->result[k].seed != t->result[i].seed;
        for (int k = 0; is_new && k < t->count; k++) {
            const diffad_result *r = &t->result[k];
            if (r->seed == t->result[i].seed && !r->error && is_asked_for(t, r, q) && isfinite(value_of(r, q)))
                add(&one, value_of(r, q));
        }
        if (is_new && one.count == classes)
            add(&all, mean_of(&one));
    }
    return spread_of(&all);
}

/* ---- the paper's ---- */

static double printed(const table_query *q, const char *class_name)
{
    const bool is_seconds = strcmp(q->metric, "seconds") == 0;
    const int  steps = q->table == 4 ? q->train_steps : 0;
    if (q->table <= 0 || !q->method)
        return NAN;
    return diffad_paper_printed(q->table, q->method, steps, class_name, is_seconds ? "seconds_per_image_v100" : q->metric);
}

/* The classes that have a figure, and the paper's mean of the same. */
static diffad_figure over_classes(const diffad_tables *t, const table_query *q)
{
    sums          here = { 0 }, paper = { 0 };
    diffad_figure all = { 0 };
    int           of_paper = 0;
    for (int i = 0; i < t->count; i++) {
        if (!table_is_new_class(t, i))
            continue;
        const diffad_figure one = over_seeds(t, q, t->result[i].class_name);
        all.failed += one.failed;
        all.seeds = one.seeds > all.seeds ? one.seeds : all.seeds;
        if (!isfinite(one.here))
            continue;
        add(&here, one.here);
        add(&paper, printed(q, t->result[i].class_name));
        of_paper += table_is_paper_class(t->result[i].class_name);
    }
    all.here   = q->over == TABLE_OVER_ALL && of_paper < TABLE_CLASSES ? NAN : mean_of(&here);
    all.spread = isfinite(all.here) ? spread_of_means(t, q, here.count) : NAN;
    all.paper  = q->over == TABLE_OVER_ALL ? printed(q, "average") : mean_of(&paper);
    if (q->over == TABLE_OVER_ALL && !isfinite(all.here))
        all.failed = all.seeds = 0;      /* not failed: not all classes were asked for */
    return all;
}

diffad_figure table_figure(const diffad_tables *t, const table_query *q)
{
    diffad_figure f = q->over == TABLE_CLASS ? over_seeds(t, q, q->class_name) : over_classes(t, q);
    if (q->over == TABLE_CLASS)
        f.paper = printed(q, q->class_name);
    f.difference = f.here - f.paper;
    return f;
}

diffad_figure diffad_tables_figure(const diffad_tables *t, const char *model, int train_steps, const char *class_name, const char *metric)
{
    const bool        is_own = strcmp(model, "diffad") == 0 && train_steps && isfinite(diffad_paper_printed(4, "DiffAD", train_steps, "average", metric));
    const table_query q = { .model = model, .method = diffad_paper_method(model), .metric = metric, .class_name = class_name,
                            .over = class_name ? TABLE_CLASS : TABLE_OVER_RUN, .train_steps = train_steps,
                            .table = is_own ? 4 : strcmp(metric, "image_auroc") == 0 ? 1 : 2 };
    return table_figure(t, &q);
}
