/* test_tables.c: results beside the paper's figures: means, spreads, differences, blanks, failures, and the paper's own sums. */
#include "diffad/tables.h"

#include "base/file.h"
#include "eval/report.h"
#include "eval/tables.h"
#include "support/folder.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static diffad_result result(const char *class_name, const char *model, uint64_t seed, int steps, double auroc)
{
    diffad_result r = { .class_name = class_name, .model = model, .seed = seed, .train_steps = steps, .eval_steps = steps ? 5 : 0,
                        .protocol_count = 1, .table5_seconds = 0.25, .eval_bytes = 3 << 20 };
    r.protocol[0] = (diffad_protocol_metrics){ "official", diffad_report_metrics_undefined() };
    r.protocol[0].metrics.image_auroc = auroc;
    r.protocol[0].metrics.pixel_auroc = auroc - 0.1;
    return r;
}

static diffad_tables tables_of(const diffad_result *r, int n)
{
    return (diffad_tables){ .scale = "tiny", .train_steps = 50, .eval_steps = 5, .result = r, .count = n };
}

Test(tables, figures_are_means_over_seeds_beside_the_papers)
{
    const diffad_result r[] = { result("bottle", "diffad", 0, 50, 0.90), result("bottle", "diffad", 1, 50, 0.94),
                                result("cable", "diffad", 0, 50, 0.80), result("cable", "diffad", 1, 50, 0.82),
                                result("own", "diffad_c", 0, 50, NAN) };
    const diffad_tables t = tables_of(r, 5);

    const diffad_figure bottle = diffad_tables_figure(&t, "diffad", 50, "bottle", "image_auroc");
    cr_expect_float_eq(bottle.here, 92, 1e-9);
    cr_expect_float_eq(bottle.spread, sqrt(8), 1e-6);      /* of 90 and 94, n - 1 */
    cr_expect_eq(bottle.paper, 100);
    cr_expect_float_eq(bottle.difference, -8, 1e-9);
    cr_expect_eq(bottle.seeds, 2);

    const diffad_figure run = diffad_tables_figure(&t, "diffad", 50, NULL, "image_auroc");
    cr_expect_float_eq(run.here, 86.5, 1e-9);
    cr_expect_float_eq(run.spread, fabs(85.0 - 88.0) / sqrt(2), 1e-6, "%g", run.spread);
    cr_expect_float_eq(run.paper, (100 + 94.6) / 2, 1e-9, "the paper's average of the same classes");

    const diffad_figure own = diffad_tables_figure(&t, "diffad_c", 50, "own", "image_auroc");
    cr_expect(isnan(own.here) && isnan(own.paper) && own.seeds == 1, "undefined, and not in the paper");
    const diffad_figure none = diffad_tables_figure(&t, "diffad_fr", 50, "bottle", "image_auroc");
    cr_expect(isnan(none.here) && none.seeds == 0 && none.paper == 97.8);
    cr_expect_eq(diffad_tables_figure(&t, "diffad", 10, "bottle", "image_auroc").paper, 99.3, "Table 4 has its own figures for 10 steps");
}

/* The paper's averages, as this project has moved them, are the means of its rows; one is not, and the page says why. */
Test(tables, the_papers_averages_are_those_of_its_class_rows)
{
    static const struct { int table, steps; const char *method, *metric; } columns[] = {
        { 1, 0, "DiffAD_f&r", "image_auroc" }, { 1, 0, "DiffAD_c", "image_auroc" }, { 1, 0, "DiffAD_no_inter", "image_auroc" },
        { 1, 0, "DiffAD_xa_inter", "image_auroc" }, { 1, 0, "DiffAD", "image_auroc" }, { 2, 0, "DiffAD_f&r", "pixel_auroc" },
        { 2, 0, "DiffAD_f&r", "pixel_ap" }, { 2, 0, "DiffAD_c", "pixel_auroc" }, { 2, 0, "DiffAD_c", "pixel_ap" },
        { 2, 0, "DiffAD_no_inter", "pixel_auroc" }, { 2, 0, "DiffAD_no_inter", "pixel_ap" }, { 2, 0, "DiffAD_xa_inter", "pixel_auroc" },
        { 2, 0, "DiffAD_xa_inter", "pixel_ap" }, { 2, 0, "DiffAD", "pixel_auroc" }, { 2, 0, "DiffAD", "pixel_ap" },
        { 3, 0, "PaDim", "image_auroc" }, { 3, 0, "CFlow", "image_auroc" }, { 4, 10, "DiffAD", "image_auroc" },
        { 4, 10, "DiffAD", "pixel_auroc" }, { 4, 10, "DiffAD", "pixel_ap" }, { 4, 20, "DiffAD", "image_auroc" },
        { 4, 20, "DiffAD", "pixel_ap" }, { 4, 50, "DiffAD", "image_auroc" }, { 4, 50, "DiffAD", "pixel_auroc" },
        { 4, 50, "DiffAD", "pixel_ap" },
    };
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        double sum = 0;
        for (int k = 0; k < TABLE_CLASSES; k++)
            sum += diffad_paper_printed(columns[i].table, columns[i].method, columns[i].steps, table_classes[k], columns[i].metric);
        const double printed = diffad_paper_printed(columns[i].table, columns[i].method, columns[i].steps, "average", columns[i].metric);
        cr_expect_float_eq(sum / TABLE_CLASSES, printed, 0.1, "table %d %s %s: %.3f, printed %.1f", columns[i].table, columns[i].method,
                           columns[i].metric, sum / TABLE_CLASSES, printed);
    }
    double grid = 0;
    for (int k = 0; k < TABLE_CLASSES; k++)
        grid += diffad_paper_printed(4, "DiffAD", 20, table_classes[k], "pixel_auroc") / TABLE_CLASSES;
    cr_expect_float_eq(grid, 97.74, 1e-9);
    cr_expect_eq(diffad_paper_printed(4, "DiffAD", 20, "average", "pixel_auroc"), 97.9);
}

/* Released by the caller. */
static char *saved(const char *folder, const char *name)
{
    unsigned char *text;
    int64_t        bytes;
    cr_assert_eq(diffad_file_read(folder_path(folder, name), 1 << 22, DIFFAD_ERR_FILE, &text, &bytes), DIFFAD_OK, "%s", diffad_error_detail());
    return (char *)text;
}

static void expect_in(const char *text, const char *part) { cr_expect(strstr(text, part), "not in the file: %s", part); }

Test(tables, files_hold_figures_blanks_failures_and_footnotes)
{
    static const char hostile[] = "a|b,\"<i>";
    diffad_result r[] = { result("bottle", "diffad", 0, 50, 0.9), result("bottle", "diffad", 0, 10, 0.8), result(hostile, "draem", 0, 0, 0.5),
                          result("cable", "diffad", 0, 50, 0), result("bottle", "diffad", 0, 50, 0.7) };
    const diffad_report_fact fact = { "Grid", "data", "<data>" };
    diffad_tables            t = tables_of(r, 5);
    const char              *folder = folder_new();
    r[3].error = "stage ldm diverged";
    r[3].protocol_count = 0;
    r[4].eval_steps = 10;
    t.facts      = &fact;
    t.fact_count = 1;

    cr_assert_eq(diffad_tables_save(folder, &t), DIFFAD_OK, "%s", diffad_error_detail());

    char *csv = saved(folder, "tables.csv"), *md = saved(folder, "tables.md"), *html = saved(folder, "tables.html");
    expect_in(csv, "\n1,DiffAD,50,5,bottle,image_auroc,official,90,,1,0,100,-10\n");
    expect_in(csv, "\n1,DiffAD,50,5,cable,image_auroc,official,,,0,1,94.6,\n");
    expect_in(csv, "\n1,DiffAD_c,50,5,bottle,image_auroc,official,,,0,0,97.4,\n");
    expect_in(csv, "\n4,DiffAD,10,5,bottle,image_auroc,official,80,,1,0,99.3,-19.3\n");
    expect_in(csv, "\n4,DiffAD,20,5,average,pixel_auroc,official,,,0,0,97.9,\n");
    expect_in(csv, "\n5,DiffAD_5,50,5,average of the classes run,seconds,,0.25,");
    expect_in(csv, "\n5,DRAEM,,5,average of the classes run,image_auroc,official,50,,1,0,98,-48\n");
    expect_in(csv, "\ntest-steps,diffad,50,10,average of the classes run,image_auroc,official,70,");
    expect_in(csv, ",\"a|b,\"\"<i>\",");
    expect_in(md, "| bottle | (97.8) | (97.4) | (99.1) | (97.9) | 90.0 (100.0, -10.0) |");
    expect_in(md, "| cable | (84.1) | (78.1) | (88.5) | (90.0) | failed (94.6) |");
    expect_in(md, "| a\\|b,\"&lt;i> |");
    expect_in(md, "copy error");
    expect_in(md, "failed: stage ldm diverged");
    expect_in(html, "<td>90.0<span class=\"paper\">(100.0, -10.0)</span></td>");
    expect_in(html, "&lt;i&gt;");
    expect_in(html, "&lt;data&gt;");
    cr_expect(!strstr(html, "<i>") && !strstr(md, "<i>"));
    for (int i = 1; i <= 5; i++) {
        char head[32];
        snprintf(head, sizeof head, "## Table %d. ", i);
        expect_in(md, head);
    }
    diffad_release(csv);
    diffad_release(md);
    diffad_release(html);
}

Test(tables, a_grid_without_results_shows_the_paper_alone)
{
    const char         *folder = folder_new();
    const diffad_tables t = tables_of(NULL, 0);
    cr_assert_eq(diffad_tables_save(folder, &t), DIFFAD_OK, "%s", diffad_error_detail());
    char *md = saved(folder, "tables.md");
    expect_in(md, "| *average of the paper's 15* | (94.6) | (95.8) | (96.4) | (97.4) | (98.7) |");
    diffad_release(md);
}
