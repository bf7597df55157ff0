/* paper.c: the paper's figures, from models/paper_tables.csv inside the library. */
#include "eval/report.h"

#include "kernel/embedded.h"

#include <math.h>
#include <string.h>

/* Columns: table, method, sampling steps in training, class, metric, value in percent. */
enum { COLUMN_TABLE, COLUMN_METHOD, COLUMN_STEPS, COLUMN_CLASS, COLUMN_METRIC, COLUMN_VALUE, COLUMNS };

static const struct { const char *model, *method; } methods[] = {
    { "diffad", "DiffAD" },
    { "diffad_fr", "DiffAD_f&r" },
    { "diffad_c", "DiffAD_c" },
    { "diffad_no_inter", "DiffAD_no_inter" },
    { "diffad_xa_inter", "DiffAD_xa_inter" },
    { "draem", "DRAEM" },
};

/* Whether column i holds `text`. */
static bool is_field(const char *const *field, int i, const char *text)
{
    const size_t n = (size_t)(field[i + 1] - 1 - field[i]);
    return n == strlen(text) && strncmp(field[i], text, n) == 0;
}

/* "98.7" whatever the locale. */
static double number_of(const char *from, const char *to)
{
    double value = 0, unit = 1;
    bool   is_behind_point = false;
    for (; from < to; from++) {
        if (*from == '.') {
            is_behind_point = true;
        } else if (*from >= '0' && *from <= '9') {
            value = value * 10 + (*from - '0');
            unit *= is_behind_point ? 10 : 1;
        }
    }
    return value / unit;
}

/* field[i] .. field[i + 1] - 1 is column i; false when the line has another number of columns. */
static bool split_line(const char *line, const char *end, const char *field[COLUMNS + 1])
{
    int n = 0;
    field[n++] = line;
    for (const char *p = line; p < end; p++)
        if (*p == ',') {
            if (n == COLUMNS)
                return false;
            field[n++] = p + 1;
        }
    field[n] = end + 1;
    return n == COLUMNS;
}

static bool is_number(const char *const *field, int i, int wanted)
{
    return wanted == 0 || number_of(field[i], field[i + 1] - 1) == wanted;
}

double diffad_paper_printed(int table, const char *method, int steps, const char *name, const char *metric)
{
    const diffad_embedded *file = diffad_embedded_find(diffad_embedded_models, "paper_tables.csv");
    if (!file)
        return NAN;
    for (const char *line = file->text, *end; *line; line = *end ? end + 1 : end) {
        const char *field[COLUMNS + 1];
        end = line + strcspn(line, "\n");
        const char *last = end > line && end[-1] == '\r' ? end - 1 : end;
        if (split_line(line, last, field) && is_number(field, COLUMN_TABLE, table) && is_field(field, COLUMN_METHOD, method) &&
            is_number(field, COLUMN_STEPS, steps) && is_field(field, COLUMN_CLASS, name) && is_field(field, COLUMN_METRIC, metric))
            return number_of(field[COLUMN_VALUE], last);
    }
    return NAN;
}

const char *diffad_paper_method(const char *model)
{
    for (size_t i = 0; model && i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(model, methods[i].model) == 0)
            return methods[i].method;
    return NULL;
}

double diffad_paper_figure(const char *model, const char *name, const char *metric)
{
    const char *method = diffad_paper_method(model);
    return method && name ? diffad_paper_printed(0, method, 0, name, metric) / 100 : NAN;
}

double diffad_paper_seconds(const char *model)
{
    const bool is_diffad = model && strcmp(model, "diffad") == 0, is_draem = model && strcmp(model, "draem") == 0;
    return is_diffad || is_draem ? diffad_paper_printed(5, is_draem ? "DRAEM" : "DiffAD_5", 0, "average", "seconds_per_image_v100")
                                 : NAN;
}
