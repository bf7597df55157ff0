/* test_aupro.c: per-region overlap (src/eval/pixels.c) against flood-filled regions and every distinct score as a threshold. */
#include "diffad/evaluate.h"

#include "base/rng.h"
#include "base/sys.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { IMAGES = 3, SIDE = 13, MOST = IMAGES * SIDE * SIDE };

typedef struct maps { float map[MOST]; uint8_t mask[MOST]; int n, h, w; } maps;

static void flood(const maps *m, int *region, int k, int y, int x, int number)
{
    const int i = (k * m->h + y) * m->w + x;
    if (!m->mask[i] || region[i])
        return;
    region[i] = number;
    for (int yy = y - 1; yy <= y + 1; yy++)
        for (int xx = x - 1; xx <= x + 1; xx++)
            if (yy >= 0 && yy < m->h && xx >= 0 && xx < m->w)
                flood(m, region, k, yy, xx, number);
}

static int label_all(const maps *m, int *region)
{
    int regions = 0;
    memset(region, 0, MOST * sizeof *region);
    for (int i = 0; i < m->n * m->h * m->w; i++)
        if (m->mask[i] && !region[i])
            flood(m, region, i / (m->h * m->w), i / m->w % m->h, i % m->w, ++regions);
    return regions;
}

/* Mean covered share and false positive rate at one threshold. */
static void rates(const maps *m, const int *region, int regions, float threshold, double *fpr, double *overlap)
{
    double hit[MOST + 1] = { 0 }, size[MOST + 1] = { 0 }, fp = 0, negatives = 0;
    for (int i = 0; i < m->n * m->h * m->w; i++) {
        size[region[i]]++;
        hit[region[i]] += m->map[i] >= threshold;
    }
    fp = hit[0], negatives = size[0];
    *overlap = 0;
    for (int r = 1; r <= regions; r++)
        *overlap += hit[r] / size[r] / regions;
    *fpr = fp / negatives;
}

static double brute(const maps *m, double limit)
{
    int       region[MOST];
    const int regions = label_all(m, region), total = m->n * m->h * m->w;
    float     last = INFINITY;
    double    fpr0 = 0, overlap0 = 0, area = 0;
    for (;;) {
        float threshold = -INFINITY;
        bool  is_found = false;
        for (int i = 0; i < total; i++)
            if (m->map[i] < last && (m->map[i] > threshold || !is_found))
                threshold = m->map[i], is_found = true;
        if (!is_found)
            return area / limit;
        double fpr, overlap;
        rates(m, region, regions, threshold, &fpr, &overlap);
        if (fpr > limit) {
            overlap = overlap0 + (overlap - overlap0) * (limit - fpr0) / (fpr - fpr0);
            return (area + (limit - fpr0) * (overlap + overlap0) / 2) / limit;
        }
        area += (fpr - fpr0) * (overlap + overlap0) / 2;
        fpr0 = fpr, overlap0 = overlap, last = threshold;
    }
}

static maps make_maps(uint32_t number)
{
    diffad_rng r = diffad_rng_make(21, DIFFAD_RNG_TEST, 1, number);
    maps       m = { .n = 1 + (int)diffad_rng_below(&r, IMAGES), .h = 2 + (int)diffad_rng_below(&r, SIDE - 1),
                     .w = 2 + (int)diffad_rng_below(&r, SIDE - 1) };
    const uint32_t levels = 2 + diffad_rng_below(&r, 40);
    const float    share = diffad_rng_between(&r, 0.05f, 0.6f);
    for (int i = 0; i < m.n * m.h * m.w; i++) {
        m.mask[i] = diffad_rng_uniform(&r) < share;
        m.map[i]  = (float)(diffad_rng_below(&r, levels) + m.mask[i] * diffad_rng_below(&r, levels / 2 + 1)) / 9;
    }
    m.mask[0] = 1, m.mask[1] = 0;
    return m;
}

Test(aupro, equals_flood_fill_and_every_threshold)
{
    static const double limits[] = { 0.3, 1, 0.05 };
    for (uint32_t k = 0; k < 1000; k++) {
        const maps   m = make_maps(k);
        const double limit = limits[k % 3], want = brute(&m, limit);
        double       got;
        cr_assert_eq(diffad_metrics_aupro(m.map, m.mask, m.n, m.h, m.w, limit, &got), DIFFAD_OK);

        cr_assert_lt(fabs(got - want), 1e-12, "set %u (%d x %d x %d): expected %.17g got %.17g", k, m.n, m.h, m.w,
                     want, got);
    }
}

Test(aupro, joins_regions_over_corners_and_over_long_ways)
{
    /* A U, whose arms meet in the last row only, and a pixel touching it at a corner: one region of 11;
     * and one far pixel. */
    const uint8_t mask[] = { 1, 0, 0, 1, 0, 0,
                             1, 0, 0, 1, 0, 1,
                             1, 0, 0, 1, 0, 0,
                             1, 1, 1, 1, 0, 0,
                             0, 0, 0, 0, 1, 0 };
    float  map[30] = { 0 };
    double area;
    for (int i = 0; i < 30; i++)
        map[i] = mask[i] && i != 11 ? 1.0f : 0.0f;          /* the far pixel is missed until everything is called */
    cr_assert_eq(diffad_metrics_aupro(map, mask, 1, 5, 6, 0.3, &area), DIFFAD_OK);

    /* From overlap 1/2 at rate 0 straight to 1 at rate 1: the mean height up to 0.3. */
    cr_expect_float_eq(area, 0.5 + 0.5 * 0.15, 1e-15);
}

Test(aupro, does_not_join_regions_over_edges_or_images)
{
    /* One pixel at the end of a row, one at the start of the next; the same in a second image: four regions. */
    const uint8_t mask[] = { 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0 };
    const float   map[] = { 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0 };
    double        area;
    cr_assert_eq(diffad_metrics_aupro(map, mask, 2, 2, 3, 1, &area), DIFFAD_OK);

    cr_expect_float_eq(area, (0.75 + 1) / 2, 1e-15);
}

Test(aupro, is_undefined_without_regions_or_negatives)
{
    const float   map[] = { 1, 2, 3, 4 };
    const uint8_t none[4] = { 0 }, all[] = { 1, 1, 1, 1 };
    double        area = 5;
    cr_expect_eq(diffad_metrics_aupro(map, none, 1, 2, 2, 0.3, &area), DIFFAD_OK);
    cr_expect(isnan(area));
    area = 5;
    cr_expect_eq(diffad_metrics_aupro(map, all, 1, 2, 2, 0.3, &area), DIFFAD_OK);
    cr_expect(isnan(area));
}

Test(aupro, refuses_what_makes_no_sense)
{
    const float   map[] = { 1, NAN, 3, 4 };
    const uint8_t mask[] = { 1, 0, 0, 0 };
    double        area = 5;
    cr_expect_eq(diffad_metrics_aupro(map, mask, 1, 2, 2, 0.3, &area), DIFFAD_ERR_NUMERICS);
    cr_expect_eq(diffad_metrics_aupro(map, mask, 1, 2, 2, 0, &area), DIFFAD_ERR_USAGE);
    cr_expect_eq(diffad_metrics_aupro(map, mask, 1, 2, 2, NAN, &area), DIFFAD_ERR_USAGE);
    cr_expect_eq(diffad_metrics_aupro(map, mask, 1, 1 << 20, 1 << 20, 0.3, &area), DIFFAD_ERR_SHAPE);
    cr_expect_eq(area, 5);
}

static int allocations_left;
static void *(*real_alloc)(size_t);
static void *failing_alloc(size_t bytes) { return allocations_left-- > 0 ? real_alloc(bytes) : NULL; }

Test(aupro, says_when_memory_is_out_at_any_point)
{
    const float   map[] = { 1, 2, 3, 4 };
    const uint8_t mask[] = { 1, 0, 0, 0 };
    double        area = 5;
    real_alloc       = diffad_sys.alloc;
    diffad_sys.alloc = failing_alloc;
    diffad_status st = DIFFAD_ERR_MEMORY;
    int           n = 0;
    for (; n < 100 && st == DIFFAD_ERR_MEMORY; n++) {
        allocations_left = n;
        st = diffad_metrics_aupro(map, mask, 1, 2, 2, 0.3, &area);
        cr_expect(st == DIFFAD_ERR_MEMORY || st == DIFFAD_OK, "after %d allocations", n);
        cr_expect(st == DIFFAD_OK || area == 5);
    }
    cr_expect_eq(st, DIFFAD_OK);
    cr_expect_gt(n, 6);
}
