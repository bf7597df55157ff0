/* test_pixels.c: metrics of resized maps, whatever the memory they are given; the resizing itself. */
#include "diffad/evaluate.h"

#include "base/rng.h"
#include "base/sys.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <math.h>
#include <string.h>

enum { MAPS = 4, SIDE = 24, MOST = MAPS * SIDE * SIDE };

/* Maps of one size for images of several. */
typedef struct set {
    float   map[MAPS][64], large[MOST];
    uint8_t mask[MOST];
    int     n, map_h[MAPS], map_w[MAPS], h[MAPS], w[MAPS];
    int64_t at[MAPS + 1];
} set;

static void make_set(set *s, uint32_t number)
{
    diffad_rng     r = diffad_rng_make(31, DIFFAD_RNG_TEST, 1, number);
    const uint32_t levels = 1 + diffad_rng_below(&r, 30), kind = number % 3;
    s->n     = 1 + (int)diffad_rng_below(&r, MAPS);
    s->at[0] = 0;
    for (int k = 0; k < s->n; k++) {
        s->map_h[k] = 1 + (int)diffad_rng_below(&r, 8);
        s->map_w[k] = 1 + (int)diffad_rng_below(&r, 8);
        s->h[k]     = 1 + (int)diffad_rng_below(&r, SIDE);
        s->w[k]     = 1 + (int)diffad_rng_below(&r, SIDE);
        for (int i = 0; i < 64; i++)
            s->map[k][i] = kind ? (float)diffad_rng_below(&r, levels) / 8 - (kind == 2) : diffad_rng_normal(&r);
        cr_assert_eq(diffad_map_resize(s->map[k], s->map_h[k], s->map_w[k], s->h[k], s->w[k], s->large + s->at[k]), DIFFAD_OK);
        for (int i = 0; i < s->h[k] * s->w[k]; i++)
            s->mask[s->at[k] + i] = diffad_rng_uniform(&r) < 0.3f;
        s->at[k + 1] = s->at[k] + s->h[k] * s->w[k];
    }
    s->mask[0] = 1;
    s->mask[s->at[s->n] - 1] = 0;
}

static void measure(const set *s, int64_t bytes, diffad_pixel_metrics *m)
{
    diffad_pixels *p;
    cr_assert_eq(diffad_pixels_create(&p), DIFFAD_OK);
    for (int k = 0; k < s->n; k++)
        cr_assert_eq(diffad_pixels_add(p, s->map[k], s->map_h[k], s->map_w[k], s->mask + s->at[k], s->h[k], s->w[k]), DIFFAD_OK);
    cr_assert_eq(diffad_pixels_measure(p, 0.3, bytes, m), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_pixels_destroy(p);
}

Test(pixels, are_those_of_the_resized_maps_whatever_the_memory)
{
    static const int64_t budgets[] = { 0, 8000, 1000, 1 };      /* one span, several, some counted, all counted */
    static set           s;
    for (uint32_t number = 0; number < 300; number++) {
        diffad_scores_metrics want;
        diffad_pixel_metrics  first, m;
        make_set(&s, number);
        if (s.at[s.n] < 2)
            continue;
        cr_assert_eq(diffad_metrics_scores(s.large, s.mask, s.at[s.n], &want), DIFFAD_OK);
        measure(&s, 0, &first);
        for (int b = 0; b < (number % 10 ? 3 : 4); b++) {          /* the last one is slow */
            measure(&s, budgets[b], &m);
            cr_assert(memcmp(&m.scores, &want, sizeof want) == 0, "set %u budget %d: %.17g %.17g %.17g, expected %.17g %.17g %.17g",
                      number, (int)budgets[b], m.scores.auroc, m.scores.ap, m.scores.f1max, want.auroc, want.ap, want.f1max);
            cr_assert_lt(fabs(m.aupro - first.aupro), 1e-14, "set %u budget %d", number, (int)budgets[b]);
            cr_assert(m.roc.count == first.roc.count && memcmp(&m.pr, &first.pr, sizeof m.pr.count) == 0);
            cr_assert(m.roc.x[m.roc.count - 1] == 1 && m.roc.y[m.roc.count - 1] == 1 && m.pr.x[m.pr.count - 1] == 1);
        }
        if (s.n == 1) {
            double aupro;
            cr_assert_eq(diffad_metrics_aupro(s.large, s.mask, 1, s.h[0], s.w[0], 0.3, &aupro), DIFFAD_OK);
            cr_assert_eq(first.aupro, aupro);
        }
    }
}

Test(pixels, an_image_without_a_mask_is_all_negative)
{
    const float          map[] = { 0.9f, 0.1f }, good[] = { 0.5f, 0.3f };
    const uint8_t        mask[] = { 1, 0 };
    diffad_pixels       *p;
    diffad_pixel_metrics m;
    cr_assert_eq(diffad_pixels_create(&p), DIFFAD_OK);
    cr_assert_eq(diffad_pixels_add(p, good, 1, 2, NULL, 4, 4), DIFFAD_OK);
    cr_assert_eq(diffad_pixels_measure(p, 0.3, 0, &m), DIFFAD_OK);
    cr_expect(isnan(m.scores.auroc) && isnan(m.aupro) && m.roc.count == 0);

    cr_assert_eq(diffad_pixels_add(p, map, 1, 2, mask, 1, 2), DIFFAD_OK);
    cr_assert_eq(diffad_pixels_measure(p, 0.3, 0, &m), DIFFAD_OK);
    cr_expect(m.scores.auroc == 1 && m.scores.ap == 1 && m.aupro == 1);
    diffad_pixels_destroy(p);
}

Test(pixels, refuse_what_makes_no_sense)
{
    const float          bad[] = { 1, NAN }, wide[] = { INFINITY, 0 };
    diffad_pixels       *p;
    diffad_pixel_metrics m;
    cr_assert_eq(diffad_pixels_create(&p), DIFFAD_OK);

    cr_expect_eq(diffad_pixels_add(p, bad, 1, 2, NULL, 1, 2), DIFFAD_ERR_NUMERICS);
    cr_expect_eq(diffad_pixels_add(p, wide, 1, 2, NULL, 1, 4), DIFFAD_ERR_NUMERICS);
    cr_expect_eq(diffad_pixels_add(p, wide, 1, 2, NULL, 1, 2), DIFFAD_OK);
    cr_expect_eq(diffad_pixels_add(p, wide, 0, 2, NULL, 1, 2), DIFFAD_ERR_SHAPE);
    cr_expect_eq(diffad_pixels_add(p, wide, 1, 2, NULL, 1 << 20, 1 << 20), DIFFAD_ERR_SHAPE);
    cr_expect_eq(diffad_pixels_measure(p, 0, 0, &m), DIFFAD_ERR_USAGE);
    diffad_pixels_destroy(p);
}

/* ---- memory ---- */

static void *(*real_alloc)(size_t);
static void  (*real_release)(void *);
static int64_t live, peak;

static void *(*real_resize)(void *, size_t);
static void *counting_resize(void *p, size_t bytes)
{
    live -= p ? (int64_t)malloc_usable_size(p) : 0;
    p = real_resize(p, bytes);
    live += (int64_t)malloc_usable_size(p);
    peak = live > peak ? live : peak;
    return p;
}

static void *counting_alloc(size_t bytes)
{
    void *p = real_alloc(bytes);
    live += (int64_t)malloc_usable_size(p);
    peak = live > peak ? live : peak;
    return p;
}

static void counting_release(void *p)
{
    live -= p ? (int64_t)malloc_usable_size(p) : 0;
    real_release(p);
}

Test(pixels, of_many_large_images_need_little_memory, .timeout = 300)
{
    enum { IMAGES = 12, SMALL = 128, LARGE = 1024, BUDGET = 32 << 20 };      /* 12.6 Mpx: 100 MB to sort at once */
    static float         map[IMAGES][SMALL * SMALL];
    static uint8_t       mask[LARGE * LARGE];
    diffad_pixels       *p;
    diffad_pixel_metrics m;
    diffad_rng           r = diffad_rng_make(7, DIFFAD_RNG_TEST, 2, 0);
    real_alloc   = diffad_sys.alloc;
    real_release = diffad_sys.release;
    diffad_sys.alloc   = counting_alloc;
    diffad_sys.release = counting_release;
    real_resize       = diffad_sys.resize;
    diffad_sys.resize = counting_resize;
    cr_assert_eq(diffad_pixels_create(&p), DIFFAD_OK);
    for (int k = 0; k < IMAGES; k++) {
        const int from = 100 + 40 * k;
        for (int i = 0; i < SMALL * SMALL; i++)          /* mostly saturated, as a discriminator's maps are */
            map[k][i] = k % 3 == 0 && i % 5 ? 0.0f : diffad_rng_uniform(&r);
        memset(mask, 0, sizeof mask);
        for (int y = from; y < from + 60; y++)
            memset(mask + y * LARGE + from, 1, 60);
        cr_assert_eq(diffad_pixels_add(p, map[k], SMALL, SMALL, k % 2 ? mask : NULL, LARGE, LARGE), DIFFAD_OK);
    }
    cr_assert_eq(diffad_pixels_measure(p, 0.3, BUDGET, &m), DIFFAD_OK);

    cr_expect_lt(peak, BUDGET + (4 << 20), "%lld bytes", (long long)peak);
    cr_expect(m.scores.auroc > 0.4 && m.scores.auroc < 0.8);
    diffad_pixels_destroy(p);
    cr_expect_eq(live, 0);
}

static int allocations_left;
static void *failing_alloc(size_t bytes) { return allocations_left-- > 0 ? real_alloc(bytes) : NULL; }

Test(pixels, say_when_memory_is_out_at_any_point)
{
    static set    s;
    diffad_status st = DIFFAD_ERR_MEMORY;
    make_set(&s, 5);
    real_alloc = diffad_sys.alloc;
    for (int n = 0; n < 200 && st != DIFFAD_OK; n++) {
        diffad_pixels       *p = NULL;
        diffad_pixel_metrics m;
        allocations_left = n;
        diffad_sys.alloc = failing_alloc;
        st = diffad_pixels_create(&p);
        for (int k = 0; st == DIFFAD_OK && k < s.n; k++)
            st = diffad_pixels_add(p, s.map[k], s.map_h[k], s.map_w[k], s.mask + s.at[k], s.h[k], s.w[k]);
        if (st == DIFFAD_OK)
            st = diffad_pixels_measure(p, 0.3, 1000, &m);
        diffad_sys.alloc = real_alloc;
        diffad_pixels_destroy(p);
        cr_assert(st == DIFFAD_OK || st == DIFFAD_ERR_MEMORY, "after %d allocations", n);
    }
    cr_expect_eq(st, DIFFAD_OK);
}

/* ---- resizing ---- */

Test(map_resize, is_bilinear_between_pixel_centres)
{
    const float map[] = { 0, 1 }, square[] = { 0, 1, 2, 3 }, doubled[] = { 0, 0.25f, 0.75f, 1 };
    float       out[16];
    cr_assert_eq(diffad_map_resize(map, 1, 2, 1, 4, out), DIFFAD_OK);
    cr_expect_arr_eq(out, doubled, sizeof doubled);
    cr_assert_eq(diffad_map_resize(square, 2, 2, 4, 4, out), DIFFAD_OK);
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 4; x++)
            cr_expect_eq(out[4 * y + x], 2 * doubled[y] + doubled[x], "at %d, %d", y, x);
    cr_assert_eq(diffad_map_resize(square, 2, 2, 1, 1, out), DIFFAD_OK);
    cr_expect_eq(out[0], 1.5f);
    cr_expect_eq(diffad_map_resize(square, 2, 2, 0, 1, out), DIFFAD_ERR_SHAPE);
}

Test(map_resize, stays_near_the_formula_in_double)
{
    static float map[40 * 40], out[90 * 90];
    diffad_rng   r = diffad_rng_make(9, DIFFAD_RNG_TEST, 3, 0);
    for (int n = 0; n < 60; n++) {
        const int h = 1 + (int)diffad_rng_below(&r, 40), w = 1 + (int)diffad_rng_below(&r, 40);
        const int H = 1 + (int)diffad_rng_below(&r, 90), W = 1 + (int)diffad_rng_below(&r, 90);
        for (int i = 0; i < h * w; i++)
            map[i] = diffad_rng_uniform(&r);
        cr_assert_eq(diffad_map_resize(map, h, w, H, W, out), DIFFAD_OK);
        for (int i = 0; i < H * W; i++) {
            const double fy = fmax(0, (i / W + 0.5) * h / H - 0.5), fx = fmax(0, (i % W + 0.5) * w / W - 0.5);
            const int    y = (int)fmin(floor(fy), h - 1), x = (int)fmin(floor(fx), w - 1);
            const int    y1 = y + 1 < h ? y + 1 : y, x1 = x + 1 < w ? x + 1 : x;
            const double v = (1 - fy + y) * ((1 - fx + x) * map[y * w + x] + (fx - x) * map[y * w + x1]) +
                             (fy - y) * ((1 - fx + x) * map[y1 * w + x] + (fx - x) * map[y1 * w + x1]);
            cr_assert_lt(fabs(out[i] - v), 1e-5, "%dx%d to %dx%d at %d: expected %.9g got %.9g", w, h, W, H, i, v, out[i]);
        }
    }
}
