/* paper.c: the paper's figures, from models/paper_tables.csv inside the library. */
#include "eval/report.h"

#include "kernel/embedded.h"

#include <math.h>
#include <string.h>

/* Columns: table, method, sampling steps in training, class, metric, value in percent. */
enum { COLUMN_METHOD = 1, COLUMN_CLASS = 3, COLUMN_METRIC = 4, COLUMN_VALUE = 5, COLUMNS = 6 };

static const struct { const char *model, *method; } methods[] = {
    { "diffad", "DiffAD" },
    { "diffad_fr", "DiffAD_f&r" },
    { "diffad_c", "DiffAD_c" },
    { "diffad_no_inter", "DiffAD_no_inter" },
    { "diffad_xa_inter", "DiffAD_xa_inter" },
    { "draem", "DRAEM" },
};

static bool is_field(const char *from, const char *to, const char *text)
{
    return (size_t)(to - from) == strlen(text) && strncmp(from, text, strlen(text)) == 0;
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

/* The first row wins: tables 1 and 2 (50 sampling steps in training) stand before table 4. */
static double lookup(const char *method, const char *name, const char *metric)
{
    const diffad_embedded *file = diffad_embedded_find(diffad_embedded_models, "paper_tables.csv");
    if (!file)
        return NAN;
    for (const char *line = file->text, *end; *line; line = *end ? end + 1 : end) {
        const char *field[COLUMNS + 1];
        end = line + strcspn(line, "\n");
        const char *last = end > line && end[-1] == '\r' ? end - 1 : end;
        if (split_line(line, last, field) && is_field(field[COLUMN_METHOD], field[COLUMN_METHOD + 1] - 1, method) &&
            is_field(field[COLUMN_CLASS], field[COLUMN_CLASS + 1] - 1, name) &&
            is_field(field[COLUMN_METRIC], field[COLUMN_METRIC + 1] - 1, metric))
            return number_of(field[COLUMN_VALUE], last);
    }
    return NAN;
}

double diffad_paper_figure(const char *model, const char *name, const char *metric)
{
    for (size_t i = 0; model && name && i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(model, methods[i].model) == 0)
            return lookup(methods[i].method, name, metric) / 100;
    return NAN;
}

double diffad_paper_seconds(const char *model)
{
    const bool is_diffad = model && strcmp(model, "diffad") == 0, is_draem = model && strcmp(model, "draem") == 0;
    return is_diffad || is_draem ? lookup(is_draem ? "DRAEM" : "DiffAD_5", "average", "seconds_per_image_v100") : NAN;
}
