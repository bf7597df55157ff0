/* test_metrics.c: src/eval/metrics.c against counting every pair and every threshold. */
#include "diffad/evaluate.h"

#include "base/rng.h"
#include "base/sys.h"
#include "eval/keys.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { MOST = 60, SETS = 1000, POINTS = 64 };

typedef struct sample { float score[MOST]; uint8_t label[MOST]; int n; } sample;

/* Few distinct scores in most sets, so that ties within and across labels are the rule; both zeros, huge and tiny
 * ones. */
static sample make_sample(uint32_t number)
{
    static const float odd[] = { 0.0f, -0.0f, 1e-40f, -1e-40f, 3e38f, -3e38f, 0.5f, 0.50000006f };
    diffad_rng r = diffad_rng_make(11, DIFFAD_RNG_TEST, 1, number);
    sample     s = { .n = 2 + (int)diffad_rng_below(&r, MOST - 1) };
    const int  levels = 1 + (int)diffad_rng_below(&r, 12), kind = (int)(number % 4);
    for (int i = 0; i < s.n; i++) {
        s.label[i] = i < 2 ? (uint8_t)i : (uint8_t)diffad_rng_below(&r, 2);
        if (kind == 0)
            s.score[i] = diffad_rng_normal(&r);
        else if (kind == 1)
            s.score[i] = odd[diffad_rng_below(&r, 8)];
        else
            s.score[i] = (float)diffad_rng_below(&r, (uint32_t)levels) / 7 - 0.4f +
                         0.1f * (float)s.label[i] * (float)(kind == 3);
    }
    return s;
}

static diffad_scores_metrics brute(const sample *s)
{
    diffad_scores_metrics m = { .f1max = -1 };
    double pairs = 0, wins = 0, positives = 0;
    for (int i = 0; i < s->n; i++)
        positives += s->label[i];
    for (int i = 0; i < s->n; i++)
        for (int j = 0; j < s->n; j++)
            if (s->label[i] && !s->label[j]) {
                pairs++;
                wins += s->score[i] > s->score[j] ? 1 : s->score[i] == s->score[j] ? 0.5 : 0;
            }
    m.auroc = wins / pairs;
    for (int k = 0; k < s->n; k++) {
        double tp = 0, fp = 0, same = 0, f1;
        bool   is_first = true;
        for (int i = 0; i < s->n; i++) {
            is_first = is_first && !(i < k && s->score[i] == s->score[k]);
            tp += s->label[i] && s->score[i] >= s->score[k];
            fp += !s->label[i] && s->score[i] >= s->score[k];
            same += s->label[i] && s->score[i] == s->score[k];
        }
        if (!is_first)
            continue;
        m.ap += same / positives * tp / (tp + fp);
        f1 = 2 * tp / (tp + fp + positives);
        if (f1 > m.f1max + 1e-13 || (fabs(f1 - m.f1max) <= 1e-13 && s->score[k] > m.f1max_threshold)) {
            m.f1max           = fmax(f1, m.f1max);
            m.f1max_threshold = s->score[k];
        }
    }
    return m;
}

Test(metrics, equal_counting_of_pairs_and_of_every_threshold)
{
    for (uint32_t k = 0; k < SETS; k++) {
        const sample                s = make_sample(k);
        const diffad_scores_metrics want = brute(&s);
        diffad_scores_metrics       got;
        cr_assert_eq(diffad_metrics_scores(s.score, s.label, s.n, &got), DIFFAD_OK);

        cr_assert_lt(fabs(got.auroc - want.auroc), 1e-12, "set %u: auroc expected %.17g got %.17g", k, want.auroc,
                     got.auroc);
        cr_assert_lt(fabs(got.ap - want.ap), 1e-12, "set %u: ap expected %.17g got %.17g", k, want.ap, got.ap);
        cr_assert_lt(fabs(got.f1max - want.f1max), 1e-12, "set %u: f1 expected %.17g got %.17g", k, want.f1max,
                     got.f1max);
        cr_assert_eq(got.f1max_threshold, want.f1max_threshold, "set %u: threshold expected %.9g got %.9g", k,
                     want.f1max_threshold, got.f1max_threshold);
    }
}

Test(metrics, of_known_small_sets)
{
    const float           score[] = { 0.9f, 0.8f, 0.7f, 0.6f };
    const uint8_t         label[] = { 1, 0, 1, 0 };
    diffad_scores_metrics m;
    cr_assert_eq(diffad_metrics_scores(score, label, 4, &m), DIFFAD_OK);

    cr_expect_eq(m.auroc, 0.75);
    cr_expect_float_eq(m.ap, 0.5 + 0.5 * 2 / 3, 1e-15);
    cr_expect_float_eq(m.f1max, 0.8, 1e-15);
    cr_expect_eq(m.f1max_threshold, (double)0.7f);
}

Test(metrics, are_undefined_with_one_label_or_none)
{
    const float   score[] = { 1, 2, 3 };
    const uint8_t good[] = { 0, 0, 0 }, bad[] = { 1, 1, 1 };
    for (int kind = 0; kind < 3; kind++) {
        diffad_scores_metrics m = { 0 };
        double                x[4], y[4];
        int                   count = 9;
        const uint8_t        *label = kind == 1 ? bad : good;
        const int             n = kind == 2 ? 0 : 3;
        cr_assert_eq(diffad_metrics_scores(score, label, n, &m), DIFFAD_OK);
        cr_assert_eq(diffad_metrics_curve(score, label, n, false, 4, x, y, &count), DIFFAD_OK);

        cr_expect(isnan(m.auroc) && isnan(m.ap) && isnan(m.f1max) && isnan(m.f1max_threshold), "kind %d", kind);
        cr_expect_eq(count, 0);
    }
}

Test(metrics, refuse_a_score_that_is_not_a_number)
{
    const float           score[] = { 1, NAN, 3 };
    const uint8_t         label[] = { 0, 1, 0 };
    diffad_scores_metrics m = { .auroc = 42 };
    double                x[4], y[4];
    int                   count = 7;

    cr_expect_eq(diffad_metrics_scores(score, label, 3, &m), DIFFAD_ERR_NUMERICS);
    cr_expect(strstr(diffad_error_detail(), "score 1 of 3"), "%s", diffad_error_detail());
    cr_expect_eq(m.auroc, 42);
    cr_expect_eq(diffad_metrics_curve(score, label, 3, true, 4, x, y, &count), DIFFAD_ERR_NUMERICS);
    cr_expect_eq(count, 7);
}

Test(metrics, take_infinite_scores)
{
    const float           score[] = { INFINITY, 1, -INFINITY, 0 };
    const uint8_t         label[] = { 1, 1, 0, 0 };
    diffad_scores_metrics m;
    cr_assert_eq(diffad_metrics_scores(score, label, 4, &m), DIFFAD_OK);

    cr_expect_eq(m.auroc, 1);
    cr_expect_eq(m.f1max_threshold, 1);
}

static void *no_memory(size_t bytes) { (void)bytes; return NULL; }

Test(metrics, say_when_memory_is_out)
{
    const float           score[] = { 1, 2 };
    const uint8_t         label[] = { 0, 1 };
    diffad_scores_metrics m;
    diffad_sys.alloc = no_memory;

    cr_expect_eq(diffad_metrics_scores(score, label, 2, &m), DIFFAD_ERR_MEMORY);
}

Test(curve, is_monotone_reaches_its_corners_and_has_the_area_of_the_metric)
{
    for (uint32_t k = 0; k < SETS; k++) {
        const sample          s = make_sample(k);
        diffad_scores_metrics m;
        double                x[POINTS], y[POINTS], area = 0, sum = 0;
        int                   count;
        cr_assert_eq(diffad_metrics_scores(s.score, s.label, s.n, &m), DIFFAD_OK);

        cr_assert_eq(diffad_metrics_curve(s.score, s.label, s.n, false, POINTS, x, y, &count), DIFFAD_OK);
        cr_assert(x[0] == 0 && y[0] == 0 && x[count - 1] == 1 && y[count - 1] == 1, "set %u", k);
        for (int i = 1; i < count; i++) {
            cr_assert(x[i] >= x[i - 1] && y[i] >= y[i - 1], "set %u: ROC falls at point %d", k, i);
            area += (x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2;
        }
        cr_assert_lt(fabs(area - m.auroc), 1e-12, "set %u", k);

        cr_assert_eq(diffad_metrics_curve(s.score, s.label, s.n, true, POINTS, x, y, &count), DIFFAD_OK);
        cr_assert(x[0] == 0 && x[count - 1] == 1, "set %u", k);
        for (int i = 1; i < count; i++) {
            cr_assert(x[i] >= x[i - 1] && y[i] >= 0 && y[i] <= 1, "set %u: PR is wrong at point %d", k, i);
            sum += (x[i] - x[i - 1]) * y[i];
        }
        cr_assert_lt(fabs(sum - m.ap), 1e-12, "set %u", k);
    }
}

Test(curve, thinned_keeps_its_ends_and_its_shape)
{
    enum { N = 20000 };
    float   *score = diffad_alloc_array(N, sizeof *score);
    uint8_t *label = diffad_alloc_array(N, 1);
    diffad_rng r = diffad_rng_make(3, DIFFAD_RNG_TEST, 2, 0);
    for (int i = 0; i < N; i++) {
        label[i] = i % 10 == 0;
        score[i] = diffad_rng_normal(&r) + 2 * (float)label[i];
    }
    diffad_scores_metrics m;
    cr_assert_eq(diffad_metrics_scores(score, label, N, &m), DIFFAD_OK);
    for (int most = 2; most <= 200; most += 66) {
        double x[200], y[200], area = 0;
        int    count;
        cr_assert_eq(diffad_metrics_curve(score, label, N, false, most, x, y, &count), DIFFAD_OK);

        cr_expect(count >= 2 && count <= most, "%d points of at most %d", count, most);
        cr_expect(x[0] == 0 && y[0] == 0 && x[count - 1] == 1 && y[count - 1] == 1);
        for (int i = 1; i < count; i++)
            area += (x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2;
        cr_expect(most < 50 || fabs(area - m.auroc) < 2e-3, "most %d: area %.6f for %.6f", most, area, m.auroc);
    }
    cr_expect_eq(diffad_metrics_curve(score, label, N, false, 1, NULL, NULL, NULL), DIFFAD_ERR_USAGE);
    diffad_release(score);
    diffad_release(label);
}

Test(keys, sort_as_the_numbers_do_and_come_back)
{
    const float rising[] = { -INFINITY, -3e38f, -1, -1e-40f, 0, 1e-40f, 1, 3e38f, INFINITY };
    for (int i = 0; i < 9; i++) {
        cr_expect_eq(diffad_key_score(diffad_score_key(rising[i])), rising[i]);
        cr_expect(i == 0 || diffad_score_key(rising[i]) < diffad_score_key(rising[i - 1]), "%g", rising[i]);
    }
    cr_expect_eq(diffad_score_key(-0.0f), diffad_score_key(0.0f));

    uint64_t   items[3000], spare[3000];
    diffad_rng r = diffad_rng_make(5, DIFFAD_RNG_TEST, 3, 0);
    for (uint64_t i = 0; i < 3000; i++)
        items[i] = (uint64_t)(diffad_rng_u32(&r) & 0xfff00fffu) << 32 | i;
    diffad_keyed_sort(items, spare, 3000);
    for (int i = 1; i < 3000; i++)
        cr_assert_lt(items[i - 1], items[i], "at %d: unsorted, or equal keys changed their order", i);
}
