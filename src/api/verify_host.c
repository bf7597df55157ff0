/* verify_host.c: kinds computed on the host: schedule, simulated anomalies, metrics. */
#include "api/verify_internal.h"
#include "base/text.h"
#include "data/anomaly.h"
#include "diffad/evaluate.h"

#include <stdio.h>
#include <string.h>

/* ---- schedule ---- */

/* "ddim5.abar_t", "ddim5_eta1.sigma": steps, eta and column. */
static bool parse_row(const char *name, int *steps, double *eta, const char **column)
{
    char        head[VERIFY_NAME];
    const char *dot = strrchr(name, '.');
    int64_t     s;
    if (strncmp(name, "ddim", 4) != 0 || !dot || (size_t)(dot - name) >= sizeof head)
        return false;
    *eta = 0;
    snprintf(head, sizeof head, "%.*s", (int)(dot - name - 4), name + 4);
    char *mark = strstr(head, "_eta");
    if (mark && !diffad_parse_f64(mark + 4, eta))
        return false;
    if (mark)
        *mark = '\0';
    *column = dot + 1;
    if (!diffad_parse_i64(head, &s) || s < 1 || s > 100000)
        return false;
    *steps = (int)s;
    return true;
}

static diffad_status compare_row(verify_run *r, const diffad_schedule *s, const char *name)
{
    int              steps, count;
    double           eta;
    const char      *column;
    diffad_ddim_row *rows;
    if (!parse_row(name, &steps, &eta, &column))
        return DIFFAD_OK;
    DIFFAD_TRY(diffad_ddim_rows(s, steps, eta, -1, &rows, &count));
    float *x = diffad_arena_alloc(&r->arena, (size_t)count * sizeof *x);
    bool   known = true;
    for (int i = 0; x && i < count; i++)
        if (strcmp(column, "t") == 0)
            x[i] = (float)rows[i].t;
        else if (strcmp(column, "abar_t") == 0)
            x[i] = rows[i].abar;
        else if (strcmp(column, "abar_prev") == 0)
            x[i] = rows[i].abar_prev;
        else if (strcmp(column, "sigma") == 0)
            x[i] = rows[i].sigma;
        else
            known = false;
    diffad_release(rows);
    if (!x)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", name);
    return known ? verify_compare(r, name, x, count, false) : DIFFAD_OK;
}

static diffad_status schedule(verify_run *r)
{
    diffad_schedule s;
    diffad_status   st = DIFFAD_OK;
    DIFFAD_TRY(verify_schedule(r, &s));
    for (int k = 0; k < DIFFUSION_TABLES && st == DIFFAD_OK; k++)
        st = verify_compare(r, diffad_schedule_names[k], s.table[k], s.timesteps, false);
    for (int i = 0; i < diffad_file_count(r->file) && st == DIFFAD_OK; i++)
        st = compare_row(r, &s, diffad_file_at(r->file, i)->name);
    diffad_schedule_release(&s);
    return st;
}

/* ---- cases: tensors that share what stands before the last dot ---- */

typedef struct part { const float *x; diffad_shape shape; int64_t count; } part;

/* Tensor CASE.NAME; x NULL when it is absent. */
static diffad_status get(verify_run *r, const char *which, const char *name, part *out)
{
    char full[VERIFY_NAME];
    snprintf(full, sizeof full, "%s.%s", which, name);
    const diffad_file_tensor *t = diffad_file_find(r->file, full);
    *out = (part){ NULL, { 0, { 0 } }, 0 };
    if (!t)
        return DIFFAD_OK;
    out->shape = t->shape;
    out->x     = verify_values(r, full, &out->count);
    return out->x ? DIFFAD_OK : DIFFAD_ERR_CHECKPOINT;
}

static diffad_status need(verify_run *r, const char *which, const char *name, int rank, part *out)
{
    DIFFAD_TRY(get(r, which, name, out));
    if (!out->x || out->shape.rank != rank)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "the file needs a tensor %s.%s with %d sides", which, name, rank);
    return DIFFAD_OK;
}

static diffad_status compare(verify_run *r, const char *which, const char *name, const float *x, int64_t count)
{
    char full[VERIFY_NAME];
    snprintf(full, sizeof full, "%s.%s", which, name);
    return verify_compare(r, full, x, count, false);
}

/* Runs `each` for every case that has a tensor CASE.NAME. */
static diffad_status each_case(verify_run *r, const char *name,
                               diffad_status (*each)(verify_run *r, const char *which))
{
    char         which[VERIFY_NAME];
    const size_t tail = strlen(name) + 1;
    for (int i = 0; i < diffad_file_count(r->file); i++) {
        const char  *full = diffad_file_at(r->file, i)->name;
        const size_t n    = strlen(full);
        if (n <= tail || n - tail >= sizeof which || full[n - tail] != '.' || strcmp(full + n - tail + 1, name) != 0)
            continue;
        snprintf(which, sizeof which, "%.*s", (int)(n - tail), full);
        DIFFAD_TRY(each(r, which));
    }
    return DIFFAD_OK;
}

static uint8_t *bytes_of(verify_run *r, const float *x, int64_t n)
{
    uint8_t *to = diffad_arena_alloc(&r->arena, (size_t)n + 1);
    for (int64_t i = 0; to && i < n; i++)
        to[i] = x[i] != 0;
    return to;
}

/* ---- simulated anomalies: each stage from the stored tensor before it ---- */

static diffad_status noise_and_mask(verify_run *r, const char *which, float *y)
{
    part angles, noise, degrees, rotated;
    DIFFAD_TRY(need(r, which, "angles", 2, &angles));
    DIFFAD_TRY(need(r, which, "noise", 2, &noise));
    DIFFAD_TRY(get(r, which, "degrees", &degrees));
    DIFFAD_TRY(get(r, which, "rotated", &rotated));
    const int h = (int)noise.shape.side[0], w = (int)noise.shape.side[1];
    diffad_perlin(angles.x, (int)angles.shape.side[0] - 1, (int)angles.shape.side[1] - 1, h, w, y);
    DIFFAD_TRY(compare(r, which, "noise", y, noise.count));
    if (!degrees.x || !rotated.x || rotated.count != noise.count)
        return DIFFAD_OK;
    diffad_rotate(noise.x, h, w, 1, (double)degrees.x[0], y);
    DIFFAD_TRY(compare(r, which, "rotated", y, noise.count));
    uint8_t *mask = diffad_arena_alloc(&r->arena, (size_t)noise.count);
    if (!mask)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", which);
    diffad_threshold(rotated.x, h, w, mask);
    for (int64_t i = 0; i < noise.count; i++)
        y[i] = mask[i];
    return compare(r, which, "mask", y, noise.count);
}

/* The mask's first rows, as many as the picture has. */
static diffad_status blend(verify_run *r, const char *which)
{
    part image, source, mask, beta, degrees;
    DIFFAD_TRY(get(r, which, "image", &image));
    DIFFAD_TRY(get(r, which, "source", &source));
    DIFFAD_TRY(get(r, which, "mask", &mask));
    DIFFAD_TRY(get(r, which, "beta", &beta));
    DIFFAD_TRY(get(r, which, "degrees", &degrees));
    if (!image.x || image.shape.rank != 3)
        return DIFFAD_OK;
    const int     h = (int)image.shape.side[0], w = (int)image.shape.side[1], c = (int)image.shape.side[2];
    float        *y = diffad_arena_alloc(&r->arena, (size_t)image.count * sizeof *y);
    const uint8_t *m = mask.x ? bytes_of(r, mask.x, mask.count) : NULL;
    if (!y || (mask.x && !m))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", which);
    if (m && beta.x && source.count == image.count && mask.count >= (int64_t)h * w) {
        diffad_blend(image.x, source.x, m, h, w, c, beta.x[0], y);
        DIFFAD_TRY(compare(r, which, "blend", y, image.count));
    }
    if (!degrees.x)
        return DIFFAD_OK;
    diffad_rotate(image.x, h, w, c, (double)degrees.x[0], y);
    return compare(r, which, "image_rotated", y, image.count);
}

static diffad_status anomaly_case(verify_run *r, const char *which)
{
    part noise;
    DIFFAD_TRY(need(r, which, "noise", 2, &noise));
    part angles;
    DIFFAD_TRY(need(r, which, "angles", 2, &angles));
    const int64_t ry = angles.shape.side[0] - 1, rx = angles.shape.side[1] - 1;
    if (ry < 1 || rx < 1 || noise.shape.side[0] % ry || noise.shape.side[1] % rx)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "%s: cells do not divide the noise's sides", which);
    float *y = diffad_arena_alloc(&r->arena, (size_t)noise.count * sizeof *y);
    if (!y)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", which);
    DIFFAD_TRY(noise_and_mask(r, which, y));
    return blend(r, which);
}

static diffad_status anomaly(verify_run *r) { return each_case(r, "angles", anomaly_case); }

/* ---- metrics ---- */

static diffad_status compare_number(verify_run *r, const char *which, const char *name, double v)
{
    const float x = (float)v;
    return compare(r, which, name, &x, 1);
}

static diffad_status metrics_case(verify_run *r, const char *which)
{
    part                  score, label, mask;
    diffad_scores_metrics m;
    double                aupro;
    DIFFAD_TRY(get(r, which, "score", &score));
    DIFFAD_TRY(get(r, which, "label", &label));
    DIFFAD_TRY(get(r, which, "mask", &mask));
    const part    *truth = mask.x ? &mask : &label;
    const uint8_t *t = truth->x && truth->count == score.count ? bytes_of(r, truth->x, truth->count) : NULL;
    if (!t)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: no label or mask of the size of the scores", which);
    DIFFAD_TRY(diffad_metrics_scores(score.x, t, score.count, &m));
    const struct { const char *name; double v; } rows[] = {
        { "auroc", m.auroc }, { "ap", m.ap }, { "f1max", m.f1max }, { "f1max_threshold", m.f1max_threshold },
        { "pixel_auroc", m.auroc }, { "pixel_ap", m.ap },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        DIFFAD_TRY(compare_number(r, which, rows[i].name, rows[i].v));
    if (!mask.x || score.shape.rank != 3)
        return DIFFAD_OK;
    const double limit = verify_number_after(verify_text(r, "pro"), "FPR limit", 0.3);
    DIFFAD_TRY(diffad_metrics_aupro(score.x, t, score.shape.side[0], (int)score.shape.side[1],
                                    (int)score.shape.side[2], limit, &aupro));
    return compare_number(r, which, "pro_auc", aupro);
}

static diffad_status metrics(verify_run *r) { return each_case(r, "score", metrics_case); }

const verify_kind verify_kinds_host[] = {
    { "schedule", NULL, schedule }, { "anomaly", NULL, anomaly }, { "metrics", NULL, metrics }, { NULL, NULL, NULL },
};
