/* tables.c: which tables there are: the paper's five, then what it has none of. */
#include "eval/tables.h"

#include "eval/report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const variants[] = { "diffad_fr", "diffad_c", "diffad_no_inter", "diffad_xa_inter", "diffad" };
enum { VARIANTS = sizeof variants / sizeof variants[0] };

static const char shifted_2[] =
    "Averages: the supplement prints this row one column too far to the right and drops the last; here each stands where the "
    "class rows put it (checked: every column's mean), DiffAD's 98.3 / 74.6 after its Table 5.";
static const char shifted_4[] =
    "Averages: the supplement prints this row one column too far to the right and drops the last; here each stands where the "
    "class rows put it. For 20 steps its row Grid repeats Carpet's 97.9 / 73.5, a copy error there: the printed average of 20 "
    "steps is 97.9 / 72.5, that of the printed rows 97.7 / 72.6.";
static const char how_timed[] =
    "Seconds a picture at 5 sampling steps, batch 1, warm: mean over test images from the picture's planes on the host to its "
    "score, all networks, transfers included; reading and resizing the file is not. The paper's are those of an NVIDIA Tesla V100.";

/* ---- lines ---- */

static void column(table *t, const char *group, const char *label, table_query q)
{
    if (!t->failed && t->columns < t->capacity)
        t->column[t->columns++] = (table_line){ .label = label, .group = group, .query = q };
}

static void row(table *t, const char *label, bool is_sum, table_query q)
{
    if (!t->failed && t->rows < t->capacity)
        t->row[t->rows++] = (table_line){ .label = label, .is_sum = is_sum, .query = q };
}

static void note(table *t, const char *text) { t->note[t->notes++] = text; }

static const char *words(table *t, const char *format, ...) DIFFAD_PRINTF(2, 3);
static const char *words(table *t, const char *format, ...)
{
    char    text[96];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *kept = diffad_arena_strdup(&t->arena, text);
    t->failed = t->failed || !kept;
    return kept;
}

/* ---- rows ---- */

/* The paper's classes, then others, then averages. */
static void class_rows(const diffad_tables *t, table *out)
{
    out->corner = "class";
    for (int k = 0; k < TABLE_CLASSES; k++)
        row(out, table_classes[k], false, (table_query){ .class_name = table_classes[k], .over = TABLE_CLASS, .eval_steps = t->eval_steps });
    for (int i = 0; i < t->count; i++)
        if (!table_is_paper_class(t->result[i].class_name) && table_is_new_class(t, i))
            row(out, t->result[i].class_name, false, (table_query){ .class_name = t->result[i].class_name, .over = TABLE_CLASS, .eval_steps = t->eval_steps });
    row(out, "average of the classes run", true, (table_query){ .over = TABLE_OVER_RUN, .eval_steps = t->eval_steps });
    row(out, "average of the paper's 15", true, (table_query){ .over = TABLE_OVER_ALL, .eval_steps = t->eval_steps });
}

/* A model and a number of training steps of each combination that was run. */
static bool is_new_pair(const diffad_tables *t, int i)
{
    for (int k = 0; k < i; k++)
        if (strcmp(t->result[k].model, t->result[i].model) == 0 && t->result[k].train_steps == t->result[i].train_steps)
            return false;
    return true;
}

static void pair_rows(const diffad_tables *t, table *out)
{
    out->corner = "model, steps in training";
    for (int i = 0; i < t->count; i++) {
        const diffad_result *r = &t->result[i];
        if (is_new_pair(t, i))
            row(out, r->train_steps ? words(out, "%s, %d", r->model, r->train_steps) : r->model, false,
                (table_query){ .model = r->model, .train_steps = r->train_steps, .eval_steps = t->eval_steps, .over = TABLE_OVER_RUN, .table = -1 });
    }
}

/* Adds `v` to a sorted list without doubles. */
static void insert(int *list, int *n, int v)
{
    int at = *n;
    for (int k = 0; k < *n; k++)
        if (list[k] == v)
            return;
    for (; at > 0 && list[at - 1] > v; at--)
        list[at] = list[at - 1];
    list[at] = v;
    (*n)++;
}

static int *step_list(const diffad_tables *t, table *out)
{
    int *list = diffad_arena_alloc(&out->arena, ((size_t)t->count + 3) * sizeof *list);
    out->failed = out->failed || !list;
    return list;
}

/* ---- the paper's tables ---- */

static void table_1(const diffad_tables *t, table *out)
{
    out->title = "Detection, image AUROC, compared with other DiffAD variants";
    class_rows(t, out);
    for (int i = 0; i < VARIANTS; i++)
        column(out, NULL, diffad_paper_method(variants[i]),
               (table_query){ .model = variants[i], .method = diffad_paper_method(variants[i]), .metric = "image_auroc",
                              .train_steps = t->train_steps, .table = 1 });
}

static void table_2(const diffad_tables *t, table *out)
{
    static const char *const metric[] = { "pixel_auroc", "pixel_ap" }, *const label[] = { "AUROC", "AP" };
    out->title = "Localisation, pixel AUROC and AP, compared with other DiffAD variants";
    class_rows(t, out);
    for (int i = 0; i < 2 * VARIANTS; i++)
        column(out, diffad_paper_method(variants[i / 2]), label[i % 2],
               (table_query){ .model = variants[i / 2], .method = diffad_paper_method(variants[i / 2]), .metric = metric[i % 2],
                              .train_steps = t->train_steps, .table = 2 });
    note(out, shifted_2);
}

static void table_3(const diffad_tables *t, table *out)
{
    static const char *const methods[] = { "RDistillation", "PaDim", "PatchCore", "CFlow", "Score-DD", "DiffAD" };
    out->title = "Detection, image AUROC, compared with more baseline methods";
    class_rows(t, out);
    for (int i = 0; i < 6; i++)
        column(out, NULL, methods[i], (table_query){ .model = i == 5 ? "diffad" : NULL, .method = methods[i], .metric = "image_auroc",
                                                     .train_steps = t->train_steps, .table = 3 });
}

static void table_4(const diffad_tables *t, table *out)
{
    static const char *const metric[] = { "image_auroc", "pixel_auroc", "pixel_ap" }, *const label[] = { "Det.", "Loc. AUROC", "Loc. AP" };
    static const int         printed[] = { 10, 20, 50 };
    int                      n = 0, *steps = step_list(t, out);
    for (int i = 0; steps && i < 3; i++)
        insert(steps, &n, printed[i]);
    for (int i = 0; steps && i < t->count; i++)
        if (strcmp(t->result[i].model, "diffad") == 0)
            insert(steps, &n, t->result[i].train_steps);
    out->title = "Sampling steps of the reconstructive network while the discriminator trains";
    class_rows(t, out);
    for (int i = 0; i < n; i++) {
        const char *group = words(out, "%d steps", steps[i]);
        for (int k = 0; k < 3; k++)
            column(out, group, label[k], (table_query){ .model = "diffad", .method = "DiffAD", .metric = metric[k], .train_steps = steps[i],
                                                        .table = 4 });
    }
    note(out, shifted_4);
}

static void table_5(const diffad_tables *t, table *out)
{
    static const char *const methods[] = { "DiffAD_5", "DRAEM", "PaDim", "PatchCore-10%" }, *const models[] = { "diffad", "draem" };
    out->title  = "Time of a detection, with the averages of detection and localisation";
    out->corner = "method";
    for (int i = 0; i < 4; i++)
        row(out, methods[i], false, (table_query){ .model = i < 2 ? models[i] : NULL, .method = methods[i], .table = 5,
                                                   .train_steps = i == 0 ? t->train_steps : 0, .eval_steps = 5 });
    column(out, NULL, "Time (s)", (table_query){ .metric = "seconds", .over = TABLE_OVER_RUN });
    column(out, NULL, "Det.", (table_query){ .metric = "image_auroc", .over = TABLE_OVER_RUN });
    column(out, NULL, "Loc. AUROC", (table_query){ .metric = "pixel_auroc", .over = TABLE_OVER_RUN });
    column(out, NULL, "Loc. AP", (table_query){ .metric = "pixel_ap", .over = TABLE_OVER_RUN });
    column(out, "device memory, MiB", "detection", (table_query){ .metric = "eval_mib", .over = TABLE_OVER_RUN });
    column(out, "device memory, MiB", "training", (table_query){ .metric = "train_mib", .over = TABLE_OVER_RUN });
    note(out, how_timed);
    note(out, "Det. and Loc. here are averages of the classes run, at 5 steps; the paper's are averages of its 15.");
}

/* Table 5 names only averages: they stand beside the averages of the classes run. */
static void set_paper_averages(const diffad_tables *t, table *out)
{
    for (int r = 0; r < out->rows; r++)
        for (int c = 0; c < out->columns; c++) {
            table_query    q = table_join(&out->row[r].query, &out->column[c].query);
            diffad_figure *f = &out->figure[r * out->columns + c];
            q.over        = TABLE_OVER_ALL;
            f->paper      = table_figure(t, &q).paper;
            f->difference = f->here - f->paper;
        }
}

/* ---- what the paper has no table of ---- */

static const char *const all_metrics[] = { "image_auroc", "image_ap", "image_f1max", "pixel_auroc", "pixel_ap", "pixel_f1max", "pixel_aupro" };
static const char *const all_labels[]  = { "image AUROC", "image AP", "image F1", "pixel AUROC", "pixel AP", "pixel F1", "AUPRO" };

static void table_protocols(const diffad_tables *t, table *out)
{
    static const char *const protocols[] = { "official", "mvtec" };
    out->title = "Averages of the classes run, by protocol";
    pair_rows(t, out);
    for (int p = 0; p < 2; p++) {
        bool is_there = false;
        for (int i = 0; i < t->count; i++)
            for (int k = 0; k < t->result[i].protocol_count; k++)
                is_there = is_there || strcmp(t->result[i].protocol[k].name, protocols[p]) == 0;
        for (size_t k = 0; is_there && k < sizeof all_metrics / sizeof all_metrics[0]; k++)
            column(out, protocols[p], all_labels[k], (table_query){ .metric = all_metrics[k], .protocol = protocols[p] });
    }
    note(out, "official: ground truth as the published evaluation makes it, which all tables above show; mvtec: the benchmark's own.");
}

/* Evaluations with several numbers of steps. */
static bool table_test_steps(const diffad_tables *t, table *out)
{
    int n = 0, *steps = step_list(t, out);
    for (int i = 0; steps && i < t->count; i++)
        if (t->result[i].eval_steps > 0 && !t->result[i].error)
            insert(steps, &n, t->result[i].eval_steps);
    out->title = "Sampling steps at test, averages of the classes run";
    pair_rows(t, out);
    for (int i = 0; i < n; i++) {
        const char *group = words(out, "%d steps", steps[i]);
        column(out, group, "Det.", (table_query){ .metric = "image_auroc", .eval_steps = steps[i] });
        column(out, group, "Loc. AUROC", (table_query){ .metric = "pixel_auroc", .eval_steps = steps[i] });
        column(out, group, "Loc. AP", (table_query){ .metric = "pixel_ap", .eval_steps = steps[i] });
    }
    return n > 1;
}

static bool set_lines(const diffad_tables *t, int i, table *out)
{
    static const char *const ids[] = { "1", "2", "3", "4", "5", "protocols", "test-steps" };
    if (i >= (int)(sizeof ids / sizeof ids[0]))
        return false;
    out->id = ids[i];
    switch (i) {
    case 0: table_1(t, out); return true;
    case 1: table_2(t, out); return true;
    case 2: table_3(t, out); return true;
    case 3: table_4(t, out); return true;
    case 4: table_5(t, out); return true;
    case 5: table_protocols(t, out); return true;
    default: return table_test_steps(t, out);
    }
}

static void set_figures(const diffad_tables *t, table *out)
{
    for (int r = 0; r < out->rows; r++)
        for (int c = 0; c < out->columns; c++) {
            const table_query q = table_join(&out->row[r].query, &out->column[c].query);
            out->figure[r * out->columns + c] = table_figure(t, &q);
        }
}

diffad_status table_fill(const diffad_tables *t, int i, table *out, bool *found)
{
    *out = (table){ .capacity = 3 * (t->count + 8) + TABLE_CLASSES };      /* more lines than any table has */
    out->row    = diffad_arena_alloc(&out->arena, (size_t)out->capacity * sizeof *out->row);
    out->column = diffad_arena_alloc(&out->arena, (size_t)out->capacity * sizeof *out->column);
    out->failed = !out->row || !out->column;
    *found      = !out->failed && set_lines(t, i, out);
    out->figure = diffad_arena_alloc(&out->arena, ((size_t)out->rows * (size_t)out->columns + 1) * sizeof *out->figure);
    if (out->failed || !out->figure) {
        table_release(out);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "tables: no host memory");
    }
    if (*found)
        set_figures(t, out);
    if (*found && i == 4)
        set_paper_averages(t, out);
    return DIFFAD_OK;
}

void table_release(table *t) { diffad_arena_release(&t->arena); }
