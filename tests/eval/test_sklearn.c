/* test_sklearn.c: src/eval against what scikit-learn says of 1,000 sets of scores (tools/dev/sklearn_metrics.py). */
#include "diffad/evaluate.h"
#include "diffad/tensor.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { SETS = 1000, MOST = 5002 };

typedef struct sample { float score[MOST]; uint8_t label[MOST]; int n; uint32_t digest; } sample;

static uint32_t draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* score_set and digest_of of the script. */
static void make_sample(uint32_t number, sample *s)
{
    static const uint32_t level_counts[] = { 2, 5, 17, 300, 1 << 20 };
    uint64_t              state = number;
    s->n      = 2 + (int)(draw(&state) % (number % 50 == 0 ? 5000 : 300));
    s->digest = 2166136261u;
    const uint32_t levels = level_counts[draw(&state) % 5], tenths = 1 + draw(&state) % 9;
    for (int i = 0; i < s->n; i++) {
        const uint32_t is_positive = i < 2 ? (uint32_t)i : draw(&state) % 10 < tenths;
        const uint32_t level = draw(&state) % levels, rise = draw(&state) % (levels / 2 + 1);
        const int32_t  score = (int32_t)(level + is_positive * rise) - (int32_t)(levels / 2);
        s->label[i] = (uint8_t)is_positive;
        s->score[i] = (float)score / 64;
        s->digest   = (s->digest ^ (2 * (uint32_t)score + is_positive)) * 16777619u;
    }
}

static diffad_file *recorded;

static void open_recorded(void)
{
    cr_assert_eq(diffad_file_open(DIFFAD_TEST_DIR "/eval/sklearn.safetensors", &recorded), DIFFAD_OK, "%s", diffad_error_detail());
}

static void close_recorded(void) { diffad_file_close(recorded); }

TestSuite(sklearn, .init = open_recorded, .fini = close_recorded);

static double want(const char *name, uint32_t number)
{
    double                    v;
    const diffad_file_tensor *t = diffad_file_find(recorded, name);
    cr_assert(t && t->type == DIFFAD_F64 && t->bytes == SETS * (int64_t)sizeof v, "no %s [%d] in the file", name, SETS);
    memcpy(&v, (const char *)t->data + number * sizeof v, sizeof v);
    return v;
}

static void expect_near(uint32_t number, const char *name, double got, double tolerance)
{
    const double v = want(name, number);
    cr_assert(fabs(got - v) <= tolerance, "set %u: %s expected %.17g got %.17g", number, name, v, got);
}

static void expect_as_recorded(uint32_t number, const diffad_scores_metrics *m)
{
    expect_near(number, "auroc", m->auroc, 1e-12);
    expect_near(number, "ap", m->ap, 1e-12);
    expect_near(number, "f1max", m->f1max, 1e-12);
    expect_near(number, "f1max_threshold", m->f1max_threshold, 0);
}

Test(sklearn, scores_are_the_recorded_ones)
{
    sample s;
    for (uint32_t k = 0; k < SETS; k++) {
        make_sample(k, &s);
        expect_near(k, "digest", (double)s.digest, 0);
    }
}

Test(sklearn, says_the_same_of_scores)
{
    sample s;
    for (uint32_t k = 0; k < SETS; k++) {
        diffad_scores_metrics m;
        make_sample(k, &s);
        cr_assert_eq(diffad_metrics_scores(s.score, s.label, s.n, &m), DIFFAD_OK);

        expect_as_recorded(k, &m);
    }
}

/* Pixels sorted all at once, and in spans that hold few of them. */
Test(sklearn, says_the_same_of_pixels)
{
    sample s;
    for (uint32_t k = 0; k < SETS; k++) {
        diffad_pixels       *p;
        diffad_pixel_metrics m;
        make_sample(k, &s);
        cr_assert_eq(diffad_pixels_create(&p), DIFFAD_OK);
        cr_assert_eq(diffad_pixels_add(p, s.score, 1, s.n, s.label, 1, s.n), DIFFAD_OK);
        cr_assert_eq(diffad_pixels_measure(p, 0.3, k % 2 ? 0 : 1000, &m), DIFFAD_OK);

        expect_as_recorded(k, &m.scores);
        diffad_pixels_destroy(p);
    }
}

Test(sklearn, says_the_same_of_curves)
{
    static double x[MOST], y[MOST];
    sample        s;
    for (uint32_t k = 0; k < SETS; k++) {
        double area = 0, ap = 0;
        int    count;
        make_sample(k, &s);
        if (s.n > 4000)                 /* more points than a curve keeps */
            continue;
        cr_assert_eq(diffad_metrics_curve(s.score, s.label, s.n, false, MOST, x, y, &count), DIFFAD_OK);
        for (int i = 1; i < count; i++)
            area += (x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2;
        expect_near(k, "auroc", area, 1e-12);
        cr_assert_eq(diffad_metrics_curve(s.score, s.label, s.n, true, MOST, x, y, &count), DIFFAD_OK);
        for (int i = 1; i < count; i++)
            ap += (x[i] - x[i - 1]) * y[i];
        expect_near(k, "ap", ap, 1e-12);
    }
}
