/* report_picture.c: verdicts, cards of pictures, and the lists of images. */
#include "eval/report.h"

#include "base/sys.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WRONG_ROWS = 20 };

/* ---- verdicts ---- */

diffad_verdict diffad_report_verdict(double score, int label, double threshold)
{
    if (!isfinite(threshold) || score != score)
        return DIFFAD_VERDICT_NONE;
    const bool is_called = score >= threshold;
    if (label < 0)
        return is_called ? DIFFAD_VERDICT_CALLED_ANOMALOUS : DIFFAD_VERDICT_CALLED_GOOD;
    if (label)
        return is_called ? DIFFAD_VERDICT_ANOMALOUS : DIFFAD_VERDICT_MISSED;
    return is_called ? DIFFAD_VERDICT_FALSE_ALARM : DIFFAD_VERDICT_GOOD;
}

bool diffad_verdict_is_wrong(diffad_verdict v) { return v == DIFFAD_VERDICT_MISSED || v == DIFFAD_VERDICT_FALSE_ALARM; }

const char *diffad_verdict_words(diffad_verdict v)
{
    static const char *const words[DIFFAD_VERDICTS] = {
        [DIFFAD_VERDICT_NONE] = "no threshold",     [DIFFAD_VERDICT_CALLED_GOOD] = "called good",
        [DIFFAD_VERDICT_CALLED_ANOMALOUS] = "called anomalous", [DIFFAD_VERDICT_GOOD] = "good",
        [DIFFAD_VERDICT_ANOMALOUS] = "anomaly found", [DIFFAD_VERDICT_MISSED] = "missed",
        [DIFFAD_VERDICT_FALSE_ALARM] = "false alarm",
    };
    return words[v];
}

static diffad_verdict verdict_of(const diffad_report_class *c, int i)
{
    return diffad_report_verdict(c->score[i], c->label ? c->label[i] != 0 : -1, c->threshold);
}

void diffad_report_tally(const diffad_report_class *c, int count[DIFFAD_VERDICTS])
{
    memset(count, 0, DIFFAD_VERDICTS * sizeof *count);
    for (int i = 0; i < c->count; i++)
        count[verdict_of(c, i)]++;
}

static void add_verdict(diffad_text *t, diffad_verdict v)
{
    const bool is_right = v == DIFFAD_VERDICT_GOOD || v == DIFFAD_VERDICT_ANOMALOUS;
    diffad_text_addf(t, "<span class=\"%s\">%s</span>",
                     diffad_verdict_is_wrong(v) ? "wrong-word"
                     : is_right                 ? "right-word"
                                                : "soft",
                     diffad_verdict_words(v));
}

/* ---- pictures ---- */

static void add_base64(diffad_text *t, const unsigned char *data, int64_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char              piece[4 * 768 + 1];
    for (int64_t i = 0; i < bytes;) {
        size_t used = 0;
        for (; i < bytes && used + 4 < sizeof piece; i += 3) {
            const int64_t  left = bytes - i;
            const uint32_t v =
                (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) | (left > 2 ? data[i + 2] : 0u);
            piece[used++] = digits[v >> 18];
            piece[used++] = digits[v >> 12 & 63];
            piece[used++] = left > 1 ? digits[v >> 6 & 63] : '=';
            piece[used++] = left > 2 ? digits[v & 63] : '=';
        }
        piece[used] = 0;
        diffad_text_add(t, piece);
    }
}

static diffad_status add_image(diffad_text *t, const char *label, const diffad_image *image)
{
    if (!image)
        return DIFFAD_OK;
    unsigned char *png;
    int64_t        bytes;
    DIFFAD_TRY(diffad_image_encode_png(image, &png, &bytes));
    diffad_text_addf(t, "<div class=\"row\"><span class=\"label\">%s</span><img alt=\"%s\" width=\"%d\" height=\"%d\" "
                     "src=\"data:image/png;base64,", label, label, image->width, image->height);
    add_base64(t, png, bytes);
    diffad_text_add(t, "\"/></div>\n");
    diffad_memory_release(png);
    return DIFFAD_OK;
}

static diffad_status add_picture(diffad_text *t, const diffad_report_picture *p, diffad_verdict v, bool is_worst)
{
    diffad_text_addf(t, "<article class=\"picture%s\"><header>", diffad_verdict_is_wrong(v) ? " is-wrong" : "");
    diffad_text_add(t, "<div class=\"file\">");
    diffad_text_html(t, p->file ? p->file : "");
    diffad_text_add(t, "</div>");
    if (isfinite(p->score))
        diffad_text_addf(t, "<div class=\"score\">%.4g</div>", p->score);
    diffad_text_add(t, "<div>");
    add_verdict(t, v);
    diffad_text_add(t, "</div>");
    if (p->defect) {
        diffad_text_add(t, "<div class=\"soft\">");
        diffad_text_html(t, p->defect);
        diffad_text_add(t, "</div>");
    }
    if (is_worst)
        diffad_text_addf(t, "<span class=\"worst\">%s</span>",
                         v == DIFFAD_VERDICT_MISSED ? "worst miss" : "worst false alarm");
    diffad_text_add(t, "</header>\n");
    DIFFAD_TRY(add_image(t, "input", p->input));
    DIFFAD_TRY(add_image(t, "reconstruction", p->reconstruction));
    DIFFAD_TRY(add_image(t, "heat map", p->heatmap));
    DIFFAD_TRY(add_image(t, "predicted mask", p->predicted_mask));
    DIFFAD_TRY(add_image(t, "ground truth", p->true_mask));
    diffad_text_add(t, "</article>\n");
    return DIFFAD_OK;
}

static diffad_verdict verdict_of_picture(const diffad_report_class *c, int i)
{
    return diffad_report_verdict(c->picture[i].score, c->picture[i].label, c->threshold);
}

/* The shown picture whose wrong verdict of this kind is farthest from the threshold; -1: none. */
static int worst_of(const diffad_report_class *c, diffad_verdict kind)
{
    int worst = -1;
    for (int i = 0; i < c->picture_count; i++)
        if (verdict_of_picture(c, i) == kind &&
            (worst < 0 || fabs(c->picture[i].score - c->threshold) > fabs(c->picture[worst].score - c->threshold)))
            worst = i;
    return worst;
}

static diffad_status add_cards(diffad_text *t, const diffad_report_class *c, bool wrong, const char *heading)
{
    int n = 0;
    for (int i = 0; i < c->picture_count; i++)
        n += diffad_verdict_is_wrong(verdict_of_picture(c, i)) == wrong;
    if (n == 0)
        return DIFFAD_OK;
    const int miss = worst_of(c, DIFFAD_VERDICT_MISSED), alarm = worst_of(c, DIFFAD_VERDICT_FALSE_ALARM);
    diffad_text_addf(t, "<h3>%s (%d shown)</h3>\n<div class=\"cards\">\n", heading, n);
    for (int i = 0; i < c->picture_count; i++) {
        const diffad_verdict v = verdict_of_picture(c, i);
        if (diffad_verdict_is_wrong(v) == wrong)
            DIFFAD_TRY(add_picture(t, c->picture + i, v, i == miss || i == alarm));
    }
    diffad_text_add(t, "</div>\n");
    return DIFFAD_OK;
}

diffad_status diffad_report_pictures(diffad_text *t, const diffad_report_class *c)
{
    int wrong = 0;
    for (int i = 0; i < c->picture_count; i++)
        wrong += diffad_verdict_is_wrong(verdict_of_picture(c, i));
    DIFFAD_TRY(add_cards(t, c, true, "Wrong verdicts"));
    return add_cards(t, c, false, wrong ? "Further pictures" : "Pictures");
}

/* ---- lists ---- */

typedef struct row {
    double distance, score;
    int    index;
} row;

static int by_distance(const void *a, const void *b)
{
    const row *p = a, *q = b;
    if (p->distance != q->distance)
        return p->distance < q->distance ? 1 : -1;
    return p->index - q->index;
}

static int by_score(const void *a, const void *b)
{
    const row *p = a, *q = b;
    if (p->score != q->score)
        return p->score < q->score ? 1 : -1;
    return p->index - q->index;
}

static void add_rows(diffad_text *t, const diffad_report_class *c, const row *rows, int n, bool marks_wrong)
{
    diffad_text_add(
        t, "<div class=\"scroll\"><table><thead><tr><th class=\"left\">image</th><th>score</th><th>verdict</th>"
           "<th>truth</th></tr></thead><tbody>\n");
    for (int i = 0; i < n; i++) {
        const diffad_verdict v = verdict_of(c, rows[i].index);
        diffad_text_addf(t, "<tr%s><td class=\"left file\">",
                         marks_wrong && diffad_verdict_is_wrong(v) ? " class=\"wrong\"" : "");
        diffad_text_html(t, c->file[rows[i].index] ? c->file[rows[i].index] : "");
        diffad_text_addf(t, "</td><td>%.5g</td><td>", rows[i].score);
        add_verdict(t, v);
        diffad_text_addf(t, "</td><td>%s</td></tr>\n",
                         !c->label                 ? "not known"
                         : c->label[rows[i].index] ? "anomalous"
                                                   : "good");
    }
    diffad_text_add(t, "</tbody></table></div>\n");
}

diffad_status diffad_report_verdicts(diffad_text *t, const diffad_report_class *c)
{
    if (!c->file || c->count == 0)
        return DIFFAD_OK;
    row *rows = diffad_alloc_array((size_t)c->count, sizeof *rows);
    if (!rows)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "report: no host memory for a list of %d images", c->count);
    int wrong = 0;
    for (int i = 0; i < c->count; i++)
        if (diffad_verdict_is_wrong(verdict_of(c, i)))
            rows[wrong++] = (row){ fabs(c->score[i] - c->threshold), c->score[i], i };
    qsort(rows, (size_t)wrong, sizeof *rows, by_distance);
    if (wrong > 0) {
        diffad_text_addf(t,
                         "<h3>Worst misses</h3>\n<p class=\"soft small\">%d of %d verdicts are wrong; farthest from "
                         "the threshold first%s.</p>\n",
                         wrong, c->count, wrong > WRONG_ROWS ? " (the worst 20)" : "");
        add_rows(t, c, rows, wrong < WRONG_ROWS ? wrong : WRONG_ROWS, false);
    }
    for (int i = 0; i < c->count; i++)
        rows[i] = (row){ 0, c->score[i], i };
    qsort(rows, (size_t)c->count, sizeof *rows, by_score);
    diffad_text_addf(t, "<details><summary>All %d images by score</summary>\n", c->count);
    add_rows(t, c, rows, c->count, true);
    diffad_text_add(t, "</details>\n");
    diffad_release(rows);
    return DIFFAD_OK;
}
