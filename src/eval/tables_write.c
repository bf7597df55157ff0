/* tables_write.c: the tables as Markdown, as one figure a line (CSV), and as a page. */
#include "eval/tables.h"

#include "eval/report.h"

#include "base/file.h"

#include <math.h>
#include <string.h>

/* How one of the files spells a table; NULL: it does not have that part. */
typedef struct style {
    const char *name;
    void (*top)(diffad_text *out, const diffad_tables *t);
    void (*table)(diffad_text *out, const table *t);
    void (*runs)(diffad_text *out, const diffad_tables *t);
    void (*end)(diffad_text *out);
} style;

static const char legend[] =
    "A cell is: here (paper, difference); several seeds: their mean \xc2\xb1 standard deviation. Percent, where nothing else is "
    "said. Blank in front of the brackets: not run. Compare with the paper's figures only the same class at scale paper after "
    "training of the same length.";

/* ---- figures as text ---- */

static void add_number(diffad_text *out, double v, bool is_percent, bool has_sign)
{
    if (has_sign && v >= 0)
        diffad_text_add(out, "+");
    if (is_percent)
        diffad_text_addf(out, "%.1f", v);
    else
        diffad_text_addf(out, fabs(v) < 100 ? "%.3g" : "%.0f", v);
}

static void add_here(diffad_text *out, const diffad_figure *f, bool is_percent)
{
    if (isfinite(f->here)) {
        add_number(out, f->here, is_percent, false);
        if (isfinite(f->spread)) {
            diffad_text_add(out, " \xc2\xb1 ");
            add_number(out, f->spread, is_percent, false);
        }
    } else if (f->failed) {
        diffad_text_add(out, "failed");
    } else if (f->seeds) {
        diffad_text_add(out, "undefined");
    }
    if (isfinite(f->here) && f->failed)
        diffad_text_addf(out, ", %d failed", f->failed);
}

static void add_paper(diffad_text *out, const diffad_figure *f, bool is_percent)
{
    add_number(out, f->paper, is_percent, false);
    if (isfinite(f->difference)) {
        diffad_text_add(out, ", ");
        add_number(out, f->difference, is_percent, true);
    }
}

static const char *metric_at(const table *t, int r, int c)
{
    return t->column[c].query.metric ? t->column[c].query.metric : t->row[r].query.metric;
}

/* The detail of a run, behind its stages: one text for all styles. */
static void add_protocols(diffad_text *out, const diffad_result *r)
{
    for (int p = 0; p < r->protocol_count; p++) {
        const diffad_report_metrics *m = &r->protocol[p].metrics;
        const double                 v[] = { m->image_auroc, m->pixel_auroc, m->pixel_ap, m->pixel_aupro };
        diffad_text_addf(out, "%s%s ", p ? "; " : "", r->protocol[p].name);
        for (int i = 0; i < 4; i++) {
            diffad_text_add(out, i ? " / " : "");
            if (isfinite(v[i]))
                diffad_text_addf(out, "%.1f", 100 * v[i]);
            else
                diffad_text_add(out, "-");
        }
    }
}

static void add_seconds(diffad_text *out, double v)
{
    if (isfinite(v))
        add_number(out, v, false, false);
}

static void add_mib(diffad_text *out, size_t bytes)
{
    if (bytes)
        diffad_text_addf(out, "%.0f", (double)bytes / (1 << 20));
}

/* Columns of the list of runs, as text. */
enum { RUN_COLUMNS = 13 };
static const char *const run_heads[RUN_COLUMNS] = { "class", "model", "steps in training", "steps at test", "seed",
                                                    "image AUROC / pixel AUROC / AP / AUPRO", "stages", "training, s", "training, MiB",
                                                    "detection, MiB", "s a picture", "weights", "device" };

static void run_cell(diffad_text *out, const diffad_result *r, int column)
{
    switch (column) {
    case 0: diffad_text_add(out, r->class_name); break;
    case 1: diffad_text_add(out, r->model); break;
    case 2: diffad_text_addf(out, r->train_steps ? "%d" : "", r->train_steps); break;
    case 3: diffad_text_addf(out, r->eval_steps ? "%d" : "", r->eval_steps); break;
    case 4: diffad_text_addf(out, "%llu", (unsigned long long)r->seed); break;
    case 5:
        if (r->error)
            diffad_text_addf(out, "failed: %s", r->error);
        else
            add_protocols(out, r);
        break;
    case 6: diffad_text_add(out, r->stages ? r->stages : ""); break;
    case 7: add_seconds(out, r->train_seconds); break;
    case 8: add_mib(out, r->train_bytes); break;
    case 9: add_mib(out, r->eval_bytes); break;
    case 10: add_seconds(out, r->table5_seconds); break;
    case 11: diffad_text_add(out, r->fingerprint ? r->fingerprint : ""); break;
    default: diffad_text_add(out, r->device ? r->device : ""); break;
    }
}

/* ---- Markdown ---- */

/* A bar would end the cell; a tag would be one. */
static void md_text(diffad_text *out, const char *s)
{
    char c[2] = { 0, 0 };
    for (; *s; s++) {
        c[0] = *s;
        diffad_text_add(out, *s == '|' ? "\\|" : *s == '<' ? "&lt;" : *s == '&' ? "&amp;" : *s == '\n' ? " " : *s == '_' ? "\\_" : c);
    }
}

static void md_top(diffad_text *out, const diffad_tables *t)
{
    diffad_text_addf(out, "# Tables 1 to 5 of the paper's supplement, and what was run here\n\nScale %s. Tables 1, 2, 3 and 5: discriminators "
                          "trained with %d sampling steps. All: evaluated with %d sampling steps, protocol official. ", t->scale,
                     t->train_steps, t->eval_steps);
    diffad_text_add(out, legend);
    diffad_text_add(out, "\n\n");
    if (t->note) {
        md_text(out, t->note);
        diffad_text_add(out, "\n\n");
    }
    for (int i = 0; i < t->fact_count; i++) {
        diffad_text_addf(out, "- %s: ", t->facts[i].name);
        md_text(out, t->facts[i].value);
        diffad_text_add(out, "\n");
    }
}

static bool is_numbered(const table *t) { return t->id[0] >= '0' && t->id[0] <= '9'; }

static void md_table(diffad_text *out, const table *t)
{
    diffad_text_addf(out, is_numbered(t) ? "\n## Table %s. %s\n\n| %s |" : "\n##%.0s %s\n\n| %s |", t->id, t->title, t->corner);
    for (int c = 0; c < t->columns; c++) {
        diffad_text_add(out, " ");
        if (t->column[c].group) {
            md_text(out, t->column[c].group);
            diffad_text_add(out, " ");
        }
        md_text(out, t->column[c].label);
        diffad_text_add(out, " |");
    }
    diffad_text_add(out, "\n|---|");
    for (int c = 0; c < t->columns; c++)
        diffad_text_add(out, "--:|");
    for (int r = 0; r < t->rows; r++) {
        diffad_text_add(out, t->row[r].is_sum ? "\n| *" : "\n| ");
        md_text(out, t->row[r].label);
        diffad_text_add(out, t->row[r].is_sum ? "* |" : " |");
        for (int c = 0; c < t->columns; c++) {
            const diffad_figure *f = &t->figure[r * t->columns + c];
            const bool           is_percent = table_is_percent(metric_at(t, r, c));
            diffad_text_add(out, " ");
            add_here(out, f, is_percent);
            if (isfinite(f->paper)) {
                diffad_text_add(out, isfinite(f->here) || f->failed || f->seeds ? " (" : "(");
                add_paper(out, f, is_percent);
                diffad_text_add(out, ")");
            }
            diffad_text_add(out, " |");
        }
    }
    diffad_text_add(out, "\n");
    for (int i = 0; i < t->notes; i++)
        diffad_text_addf(out, "\n%s\n", t->note[i]);
}

static void md_runs(diffad_text *out, const diffad_tables *t)
{
    diffad_text_add(out, "\n## Runs\n\n|");
    for (int c = 0; c < RUN_COLUMNS; c++)
        diffad_text_addf(out, " %s |", run_heads[c]);
    diffad_text_add(out, "\n|---|---|--:|--:|--:|---|---|--:|--:|--:|--:|---|---|");
    for (int i = 0; i < t->count; i++) {
        diffad_text_add(out, "\n|");
        for (int c = 0; c < RUN_COLUMNS; c++) {
            diffad_text cell = { 0 };
            run_cell(&cell, &t->result[i], c);
            diffad_text_add(out, " ");
            md_text(out, cell.s ? cell.s : "");
            diffad_text_add(out, " |");
            out->failed = out->failed || cell.failed;
            diffad_text_release(&cell);
        }
    }
    diffad_text_add(out, "\n");
}

/* ---- CSV ---- */

static void csv_text(diffad_text *out, const char *s)
{
    if (!strpbrk(s, ",\"\n\r")) {
        diffad_text_add(out, s);
        return;
    }
    char c[2] = { 0, 0 };
    diffad_text_add(out, "\"");
    for (; *s; s++) {
        c[0] = *s;
        diffad_text_add(out, *s == '"' ? "\"\"" : c);
    }
    diffad_text_add(out, "\"");
}

static void csv_number(diffad_text *out, double v)
{
    diffad_text_add(out, ",");
    if (isfinite(v))
        diffad_text_add_f64(out, v, 9);
}

static void csv_top(diffad_text *out, const diffad_tables *t)
{
    (void)t;
    diffad_text_add(out, "table,method,training_sampling_steps,test_sampling_steps,class,metric,protocol,here,spread,seeds,failed,paper,difference\n");
}

static void csv_table(diffad_text *out, const table *t)
{
    for (int r = 0; r < t->rows; r++)
        for (int c = 0; c < t->columns; c++) {
            const table_query    q = table_join(&t->row[r].query, &t->column[c].query);
            const diffad_figure *f = &t->figure[r * t->columns + c];
            diffad_text_addf(out, "%s,", t->id);
            csv_text(out, q.method ? q.method : q.model);
            diffad_text_addf(out, q.train_steps ? ",%d," : ",%.0d,", q.train_steps);
            diffad_text_addf(out, q.eval_steps ? "%d," : "%.0d,", q.eval_steps);
            csv_text(out, q.over == TABLE_CLASS ? q.class_name : q.over == TABLE_OVER_ALL ? "average" : "average of the classes run");
            diffad_text_addf(out, ",%s,%s", q.metric, q.protocol ? q.protocol : table_is_percent(q.metric) ? "official" : "");
            csv_number(out, f->here);
            csv_number(out, f->spread);
            diffad_text_addf(out, ",%d,%d", f->seeds, f->failed);
            csv_number(out, f->paper);
            csv_number(out, f->difference);
            diffad_text_add(out, "\n");
        }
}

/* ---- the page ---- */

static void html_top(diffad_text *out, const diffad_tables *t)
{
    diffad_text_add(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/><meta name=\"viewport\" "
                         "content=\"width=device-width, initial-scale=1\"/><meta http-equiv=\"Content-Security-Policy\" "
                         "content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n<title>The paper's tables</title>\n<style>\n");
    for (int i = 0; diffad_report_style[i]; i++)
        diffad_text_add(out, diffad_report_style[i]);
    diffad_text_add(out, "</style></head>\n<body><main>\n<header><h1>The paper's tables, and what was run here</h1>\n<ul class=\"badges\"><li>scale <b>");
    diffad_text_html(out, t->scale);
    diffad_text_addf(out, "</b></li><li>sampling steps in training <b>%d</b></li><li>at test <b>%d</b></li><li>protocol <b>official</b></li>"
                          "</ul></header>\n<p class=\"soft small\">", t->train_steps, t->eval_steps);
    diffad_text_html(out, legend);
    diffad_text_add(out, "</p>\n");
    if (t->note) {
        diffad_text_add(out, "<p class=\"note\">");
        diffad_text_html(out, t->note);
        diffad_text_add(out, "</p>\n");
    }
    diffad_text_add(out, "<div class=\"facts\"><section><dl>");
    for (int i = 0; i < t->fact_count; i++) {
        diffad_text_add(out, "<dt>");
        diffad_text_html(out, t->facts[i].name);
        diffad_text_add(out, "</dt><dd>");
        diffad_text_html(out, t->facts[i].value);
        diffad_text_add(out, "</dd>");
    }
    diffad_text_add(out, "</dl></section></div>\n");
}

static void html_heads(diffad_text *out, const table *t)
{
    diffad_text_add(out, "<thead>");
    if (t->columns && t->column[0].group) {
        diffad_text_add(out, "<tr><th></th>");
        for (int c = 0, n; c < t->columns; c += n) {
            for (n = 1; c + n < t->columns && t->column[c].group && t->column[c + n].group &&
                        strcmp(t->column[c].group, t->column[c + n].group) == 0; n++)
                ;
            diffad_text_addf(out, "<th class=\"group\" colspan=\"%d\">", n);
            diffad_text_html(out, t->column[c].group ? t->column[c].group : "");
            diffad_text_add(out, "</th>");
        }
        diffad_text_add(out, "</tr>\n");
    }
    diffad_text_addf(out, "<tr><th class=\"left\">%s</th>", t->corner);
    for (int c = 0; c < t->columns; c++) {
        diffad_text_add(out, "<th>");
        if (t->column[c].group && !t->column[0].group) {
            diffad_text_html(out, t->column[c].group);
            diffad_text_add(out, "<br/>");
        }
        diffad_text_html(out, t->column[c].label);
        diffad_text_add(out, "</th>");
    }
    diffad_text_add(out, "</tr></thead><tbody>\n");
}

static void html_table(diffad_text *out, const table *t)
{
    diffad_text_addf(out, is_numbered(t) ? "<section id=\"table-%s\"><h2>Table %.1s. %s</h2>\n" : "<section id=\"table-%s\"><h2>%.0s%s</h2>\n",
                     t->id, t->id, t->title);
    diffad_text_add(out, "<div class=\"scroll\"><table>");
    html_heads(out, t);
    for (int r = 0; r < t->rows; r++) {
        diffad_text_add(out, t->row[r].is_sum ? "<tr class=\"sum\"><th>" : "<tr><th>");
        diffad_text_html(out, t->row[r].label);
        diffad_text_add(out, "</th>");
        for (int c = 0; c < t->columns; c++) {
            const diffad_figure *f = &t->figure[r * t->columns + c];
            const bool           is_percent = table_is_percent(metric_at(t, r, c));
            diffad_text_add(out, isfinite(f->here) || !(f->failed || f->seeds) ? "<td>" : "<td><span class=\"undefined\">");
            add_here(out, f, is_percent);
            diffad_text_add(out, isfinite(f->here) || !(f->failed || f->seeds) ? "" : "</span>");
            if (isfinite(f->paper)) {
                diffad_text_add(out, "<span class=\"paper\">(");
                add_paper(out, f, is_percent);
                diffad_text_add(out, ")</span>");
            }
            diffad_text_add(out, "</td>");
        }
        diffad_text_add(out, "</tr>\n");
    }
    diffad_text_add(out, "</tbody></table></div>\n");
    for (int i = 0; i < t->notes; i++) {
        diffad_text_add(out, "<p class=\"soft small\">");
        diffad_text_html(out, t->note[i]);
        diffad_text_add(out, "</p>\n");
    }
    diffad_text_add(out, "</section>\n");
}

static void html_runs(diffad_text *out, const diffad_tables *t)
{
    diffad_text_add(out, "<section id=\"runs\"><h2>Runs</h2>\n<div class=\"scroll\"><table><thead><tr>");
    for (int c = 0; c < RUN_COLUMNS; c++)
        diffad_text_addf(out, "<th class=\"left\">%s</th>", run_heads[c]);
    diffad_text_add(out, "</tr></thead><tbody>\n");
    for (int i = 0; i < t->count; i++) {
        diffad_text_add(out, t->result[i].error ? "<tr class=\"wrong\">" : "<tr>");
        for (int c = 0; c < RUN_COLUMNS; c++) {
            diffad_text cell = { 0 };
            run_cell(&cell, &t->result[i], c);
            diffad_text_add(out, c == 5 ? "<td class=\"file left\">" : "<td class=\"left\">");
            diffad_text_html(out, cell.s ? cell.s : "");
            diffad_text_add(out, "</td>");
            out->failed = out->failed || cell.failed;
            diffad_text_release(&cell);
        }
        diffad_text_add(out, "</tr>\n");
    }
    diffad_text_add(out, "</tbody></table></div></section>\n");
}

static void html_end(diffad_text *out) { diffad_text_add(out, "</main></body></html>\n"); }

/* ---- the files ---- */

static const style styles[] = {
    { "tables.md", md_top, md_table, md_runs, NULL },
    { "tables.csv", csv_top, csv_table, NULL, NULL },
    { "tables.html", html_top, html_table, html_runs, html_end },
};

static diffad_status print(diffad_text *out, const style *s, const diffad_tables *t)
{
    bool found = true;
    s->top(out, t);
    for (int i = 0; found; i++) {
        table one;
        DIFFAD_TRY(table_fill(t, i, &one, &found));
        if (found)
            s->table(out, &one);
        table_release(&one);
    }
    if (s->runs)
        s->runs(out, t);
    if (s->end)
        s->end(out);
    return out->failed ? diffad_fail(DIFFAD_ERR_MEMORY, "tables: no host memory") : DIFFAD_OK;
}

diffad_status diffad_tables_save(const char *folder, const diffad_tables *t)
{
    for (size_t i = 0; i < sizeof styles / sizeof styles[0]; i++) {
        diffad_text   out  = { 0 };
        char         *path = diffad_path_join(folder, styles[i].name);
        diffad_status st   = path ? print(&out, &styles[i], t) : diffad_fail(DIFFAD_ERR_MEMORY, "tables: no host memory");
        if (st == DIFFAD_OK)
            st = diffad_file_write(path, out.s, (int64_t)out.length);
        diffad_text_release(&out);
        diffad_release(path);
        DIFFAD_TRY(st);
    }
    return DIFFAD_OK;
}
