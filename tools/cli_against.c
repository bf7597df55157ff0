/* cli_against.c: rows of an earlier `diffad bench --json` beside what was measured now. */
#include "base/fail.h"
#include "base/file.h"
#include "base/sys.h"
#include "cli_bench.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_BYTES = 64 << 20 };

static bool is_text(const json_t *row, const char *key, const char *want)
{
    const char *have = json_string_value(json_object_get(row, key));
    return have && strcmp(have, want) == 0;
}

/* Rows without a size are of the description's. */
static bool fits(const json_t *row, const cli_against_key *k)
{
    if (k->op)
        return is_text(row, "op", k->op) || (strcmp(k->op, "all") == 0 && json_object_get(row, "op"));
    const bool is_training = json_is_true(json_object_get(row, "train"));
    return is_text(row, "model", k->model) && is_text(row, "scale", k->scale) && is_text(row, "precision", k->precision) &&
           is_training == (k->batch == 0) && (is_training || json_integer_value(json_object_get(row, "batch")) == k->batch) &&
           json_integer_value(json_object_get(row, "size")) == k->size;
}

static diffad_status fail_absent(const char *path, const cli_against_key *k)
{
    if (k->op)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: no row of op %s", path, k->op);
    if (k->batch == 0)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: no row of model %s, scale %s, %s, training", path, k->model, k->scale, k->precision);
    DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: no row of model %s, scale %s, %s, batch %d%s", path, k->model, k->scale, k->precision,
                k->batch, k->size ? ", of this --size" : "");
}

diffad_status cli_against_open(cli_against *a, const char *path, const cli_against_key *key)
{
    unsigned char *text = NULL;
    int64_t        bytes;
    int            line = 0;
    DIFFAD_TRY(diffad_file_read(path, MOST_BYTES, DIFFAD_ERR_DATA, &text, &bytes));
    diffad_status st = DIFFAD_OK;
    for (char *at = (char *)text, *end; st == DIFFAD_OK && *at; at = end + (*end == '\n')) {
        end = at + strcspn(at, "\n");
        line++;
        if (strspn(at, " \t\r") == (size_t)(end - at))
            continue;
        json_t *row = json_loadb(at, (size_t)(end - at), JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(row)) {
            st = diffad_fail(DIFFAD_ERR_DATA, "%s: line %d is no JSON object: rows come from `diffad bench --json`", path, line);
            json_decref(row);
        } else if (fits(row, key)) {
            a->row = row;
            if (!a->rows)
                a->rows = json_array();
            if (json_array_append_new(a->rows, row) != 0)
                st = diffad_fail(DIFFAD_ERR_MEMORY, "bench: no host memory");
        } else {
            json_decref(row);
        }
    }
    diffad_release(text);
    if (st == DIFFAD_OK && !a->row)
        st = fail_absent(path, key);
    if (st != DIFFAD_OK)
        cli_against_close(a);
    snprintf(a->path, sizeof a->path, "%s", path);
    return st;
}

void cli_against_close(cli_against *a)
{
    json_decref(a->rows);
    a->rows = a->row = NULL;
}

void cli_against_prefer(cli_against *a, const char *device)
{
    for (size_t i = json_array_size(a->rows); i-- > 0;)
        if (is_text(json_array_get(a->rows, i), "device", device)) {
            a->row = json_array_get(a->rows, i);
            return;
        }
}

double cli_against_ms(const cli_against *a, const char *stage)
{
    const json_t *row = a->row, *all = json_object_get(a->row, "stages");
    if (stage)
        row = NULL;
    for (size_t i = 0; stage && i < json_array_size(all); i++)
        if (is_text(json_array_get(all, i), "name", stage))
            row = json_array_get(all, i);
    const double ms = json_number_value(json_object_get(row, "ms"));
    return ms > 0 ? ms : NAN;
}

/* "encode: 1442.37 ms then, 1300.00 ms now: 0.901 of the time" */
void cli_against_print(const cli_against *a, const char *stage, double ms)
{
    const double then = cli_against_ms(a, stage);
    const char  *device = json_string_value(json_object_get(a->row, "device"));
    if (!a->row || isnan(then))
        return;
    cli_out("%-10s %10.2f ms in %s (%s), %.2f ms now: %.3f of the time\n", stage ? stage : "detection", then, a->path,
            device ? device : "?", ms, ms / then);
}

double cli_against_op(const cli_against *a, const char *device, const char *op, const char *case_name, const char *way, const char *layout)
{
    double us = NAN;
    for (size_t i = json_array_size(a->rows); i-- > 0;) {
        const json_t *row = json_array_get(a->rows, i);
        if (!is_text(row, "op", op) || !is_text(row, "case", case_name) || !is_text(row, "way", way) || !is_text(row, "layout", layout))
            continue;
        const bool is_own = is_text(row, "device", device);
        if (is_own || isnan(us))
            us = json_number_value(json_object_get(row, "us"));
        if (is_own)
            break;
    }
    return us > 0 ? us : NAN;
}
