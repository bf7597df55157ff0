/* pixels.c: metrics over all pixels of many maps, each at the size of its image.
 *
 * The maps stay small; the pixels are made anew, line by line, as often as they are needed. A first round counts them by
 * the upper half of their key. The keys are then cut into spans whose pixels fit into the memory given, and a round for
 * each span collects, sorts and walks them, from the highest score down. Where the pixels of one upper half alone do not
 * fit, they are counted by the lower half, which has 65,536 values.
 *
 * Every pixel of a region is worth 1 / (regions x its region's size); the overlap at a threshold is the worth of all
 * defect pixels at or above it (area under the per-region overlap curve: Bergmann et al., MVTec AD, IJCV 2021). */
#include "diffad/evaluate.h"

#include "base/size.h"
#include "base/sys.h"
#include "eval/keys.h"
#include "eval/regions.h"
#include "eval/stretch.h"
#include "eval/walk.h"

#include <math.h>

enum { HALF = 1 << 16, POSITIVE_BYTES = 16, NEGATIVE_BYTES = 8 };      /* with as much room to sort */
static const int64_t default_bytes = INT64_C(256) << 20;

typedef struct picture {
    const float *map;
    int          map_h, map_w, h, w;
    diffad_run  *run;
    int64_t      runs;
} picture;

struct diffad_pixels {
    picture *item;
    int64_t  count, capacity;
    uint32_t regions;
    int64_t *size;                       /* [regions] in pixels */
    int64_t  size_capacity, positives, negatives;
    int      widest;
};

diffad_pixel_metrics diffad_pixel_metrics_undefined(void)
{
    return (diffad_pixel_metrics){ .scores = { NAN, NAN, NAN, NAN }, .aupro = NAN };
}

diffad_status diffad_pixels_create(diffad_pixels **out)
{
    diffad_pixels *p = diffad_alloc(sizeof *p);
    if (!p)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "pixels: no host memory");
    *out = p;
    return DIFFAD_OK;
}

void diffad_pixels_destroy(diffad_pixels *p)
{
    if (!p)
        return;
    for (int64_t i = 0; i < p->count; i++)
        diffad_release(p->item[i].run);
    diffad_release(p->item);
    diffad_release(p->size);
    diffad_release(p);
}

static diffad_status check_map(const picture *t)
{
    const int64_t n = (int64_t)t->map_h * t->map_w;
    if (t->map_h == t->h && t->map_w == t->w)
        return diffad_scores_check("map", t->map, n);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(t->map[i]))
            DIFFAD_FAIL(DIFFAD_ERR_NUMERICS, "map: value %lld of %lld is not finite; the model that made it has diverged",
                        (long long)i, (long long)n);
    return DIFFAD_OK;
}

static bool is_size(int h, int w)
{
    int64_t size;
    return h >= 1 && w >= 1 && diffad_mul_i64(h, w, &size) && size <= INT32_MAX;
}

static diffad_status add_regions(diffad_pixels *p, const picture *t, uint32_t regions)
{
    for (uint32_t k = 0; k < regions; k++) {
        if (!diffad_grow(&p->size, p->regions, &p->size_capacity, sizeof *p->size))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "pixels: no host memory for the regions of %lld masks", (long long)p->count + 1);
        p->size[p->regions++] = 0;
    }
    int64_t positives = 0;
    for (int64_t i = 0; i < t->runs; i++) {
        p->size[t->run[i].region] += t->run[i].to - t->run[i].from;
        positives += t->run[i].to - t->run[i].from;
    }
    p->positives += positives;
    p->negatives += (int64_t)t->h * t->w - positives;
    return DIFFAD_OK;
}

diffad_status diffad_pixels_add(diffad_pixels *p, const float *map, int map_h, int map_w, const uint8_t *mask, int h, int w)
{
    picture       t = { .map = map, .map_h = map_h, .map_w = map_w, .h = h, .w = w };
    uint32_t      regions = 0;
    diffad_status st;
    if (!is_size(map_h, map_w) || !is_size(h, w))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "pixels: a map of %d x %d for an image of %d x %d; at most 2^31 pixels are possible", map_w,
                    map_h, w, h);
    DIFFAD_TRY(check_map(&t));
    if (mask)
        DIFFAD_TRY(diffad_regions_find(mask, h, w, p->regions, &t.run, &t.runs, &regions));
    if ((uint64_t)p->regions + regions > UINT32_MAX)
        DIFFAD_SET_GOTO(failed, DIFFAD_ERR_SHAPE, "pixels: more than 2^32 regions");
    if (!diffad_grow(&p->item, p->count, &p->capacity, sizeof *p->item))
        DIFFAD_SET_GOTO(failed, DIFFAD_ERR_MEMORY, "pixels: no host memory for %lld maps", (long long)p->count + 1);
    DIFFAD_GOTO(failed, add_regions(p, &t, regions));
    p->item[p->count++] = t;
    p->widest = w > p->widest ? w : p->widest;
    return DIFFAD_OK;
failed:
    diffad_release(t.run);
    return st;
}

/* ---- rounds over all pixels ---- */

typedef struct rounds {
    const diffad_pixels *p;
    diffad_walk          walk;
    double              *worth;                    /* [regions], of one pixel */
    diffad_stretch       stretch;
    float               *space;                    /* [widest] */
    int64_t             *positives, *negatives;    /* [HALF]: pixels by one half of their key */
    int64_t              max_bytes;
    /* one span */
    uint64_t *positive;                            /* key << 32 | region */
    uint32_t *negative;                            /* key */
    void     *spare;
    int64_t   n_positive, n_negative;
    double   *sum, *lost;                          /* [HALF]: worth by the lower half */
} rounds;

/* What to do with the pixels of a line between two columns, all of one region or, with `run` NULL, of none. */
typedef void (*line_fn)(rounds *r, const float *line, int from, int to, const diffad_run *run, uint32_t lo, uint32_t hi);

static diffad_status each_line(rounds *r, line_fn use, uint32_t lo, uint32_t hi)
{
    for (int64_t i = 0; i < r->p->count; i++) {
        const picture *t = r->p->item + i;
        int64_t        k = 0;
        DIFFAD_TRY(diffad_stretch_set(&r->stretch, t->map_h, t->map_w, t->h, t->w));
        for (int y = 0; y < t->h; y++) {
            const float *line = diffad_stretch_line(&r->stretch, t->map, y, r->space);
            int          x = 0;
            for (; k < t->runs && t->run[k].y == y; k++) {
                use(r, line, x, t->run[k].from, NULL, lo, hi);
                use(r, line, t->run[k].from, t->run[k].to, t->run + k, lo, hi);
                x = t->run[k].to;
            }
            use(r, line, x, t->w, NULL, lo, hi);
        }
    }
    return DIFFAD_OK;
}

static void count_upper(rounds *r, const float *line, int from, int to, const diffad_run *run, uint32_t lo, uint32_t hi)
{
    int64_t *count = run ? r->positives : r->negatives;
    (void)lo, (void)hi;
    for (int x = from; x < to; x++)
        count[diffad_score_key(line[x]) >> 16]++;
}

static void count_lower(rounds *r, const float *line, int from, int to, const diffad_run *run, uint32_t lo, uint32_t hi)
{
    for (int x = from; x < to; x++) {
        const uint32_t key = diffad_score_key(line[x]), low = key & (HALF - 1);
        if (key < lo || key > hi)
            continue;
        if (!run) {
            r->negatives[low]++;
            continue;
        }
        r->positives[low]++;
        diffad_add_exactly(r->sum + low, r->lost + low, r->worth[run->region]);
    }
}

static void collect(rounds *r, const float *line, int from, int to, const diffad_run *run, uint32_t lo, uint32_t hi)
{
    for (int x = from; x < to; x++) {
        const uint32_t key = diffad_score_key(line[x]);
        if (key < lo || key > hi)
            continue;
        if (run)
            r->positive[r->n_positive++] = (uint64_t)key << 32 | run->region;
        else
            r->negative[r->n_negative++] = key;
    }
}

/* ---- spans ---- */

static uint32_t key_of(uint64_t positive) { return (uint32_t)(positive >> 32); }

static void walk_sorted(rounds *r)
{
    const int64_t tp0 = r->walk.tp, fp0 = r->walk.fp;
    for (int64_t i = 0, k = 0; i < r->n_positive || k < r->n_negative;) {
        const bool     is_positive = k == r->n_negative || (i < r->n_positive && key_of(r->positive[i]) < r->negative[k]);
        const uint32_t key = is_positive ? key_of(r->positive[i]) : r->negative[k];
        for (; i < r->n_positive && key_of(r->positive[i]) == key; i++)
            diffad_walk_cover(&r->walk, r->worth[r->positive[i] & UINT32_MAX]);
        while (k < r->n_negative && r->negative[k] == key)
            k++;
        diffad_walk_step(&r->walk, tp0 + i, fp0 + k, key);
    }
}

static void release_span(rounds *r)
{
    diffad_release(r->positive);
    diffad_release(r->negative);
    diffad_release(r->spare);
    r->positive = NULL;
    r->negative = NULL;
    r->spare    = NULL;
}

static diffad_status sort_span(rounds *r, uint32_t lo, uint32_t hi, int64_t positives, int64_t negatives)
{
    const int64_t keyed = positives * (int64_t)sizeof(uint64_t), plain = negatives * (int64_t)sizeof(uint32_t);
    r->positive = diffad_alloc_array((size_t)positives + 1, sizeof *r->positive);
    r->negative = diffad_alloc_array((size_t)negatives + 1, sizeof *r->negative);
    r->spare    = diffad_alloc((size_t)(keyed > plain ? keyed : plain) + 1);
    r->n_positive = r->n_negative = 0;
    if (!r->positive || !r->negative || !r->spare)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "pixels: no host memory to sort %lld of them; give a smaller budget",
                    (long long)(positives + negatives));
    DIFFAD_TRY(each_line(r, collect, lo, hi));
    diffad_keyed_sort(r->positive, r->spare, r->n_positive);
    diffad_keys_sort(r->negative, r->spare, r->n_negative);
    walk_sorted(r);
    release_span(r);
    return DIFFAD_OK;
}

/* One upper half, counted by the lower; the counts by upper halves are put back afterwards. */
static diffad_status count_span(rounds *r, uint32_t upper)
{
    int64_t *by_upper[2] = { r->positives, r->negatives };
    r->positives = diffad_alloc_array(HALF, sizeof *r->positives);
    r->negatives = diffad_alloc_array(HALF, sizeof *r->negatives);
    r->sum       = diffad_alloc_array(HALF, sizeof *r->sum);
    r->lost      = diffad_alloc_array(HALF, sizeof *r->lost);
    diffad_status st = r->positives && r->negatives && r->sum && r->lost
                           ? each_line(r, count_lower, upper << 16, upper << 16 | (HALF - 1))
                           : diffad_fail(DIFFAD_ERR_MEMORY, "pixels: no host memory to count them");
    for (uint32_t low = 0; low < HALF && st == DIFFAD_OK; low++)
        if (r->positives[low] || r->negatives[low]) {
            diffad_walk_cover(&r->walk, r->sum[low]);
            diffad_walk_step(&r->walk, r->walk.tp + r->positives[low], r->walk.fp + r->negatives[low], upper << 16 | low);
        }
    diffad_release(r->positives);
    diffad_release(r->negatives);
    diffad_release(r->sum);
    diffad_release(r->lost);
    r->positives = by_upper[0];
    r->negatives = by_upper[1];
    return st;
}

static int64_t bytes_of(int64_t positives, int64_t negatives) { return POSITIVE_BYTES * positives + NEGATIVE_BYTES * negatives; }

static diffad_status walk_spans(rounds *r)
{
    for (uint32_t lo = 0, hi; lo < HALF; lo = hi) {
        int64_t positives = 0, negatives = 0;
        for (hi = lo; hi < HALF; hi++) {
            const int64_t p = positives + r->positives[hi], n = negatives + r->negatives[hi];
            if (hi > lo && bytes_of(p, n) > r->max_bytes)
                break;
            positives = p;
            negatives = n;
        }
        if (positives + negatives == 0)
            continue;
        if (bytes_of(positives, negatives) > r->max_bytes)
            DIFFAD_TRY(count_span(r, lo));
        else
            DIFFAD_TRY(sort_span(r, lo << 16, (hi << 16) - 1, positives, negatives));
    }
    return DIFFAD_OK;
}

/* ---- all ---- */

static diffad_status walk_all(rounds *r)
{
    const diffad_pixels *p = r->p;
    for (uint32_t k = 0; k < p->regions; k++)
        r->worth[k] = 1 / ((double)p->size[k] * (double)p->regions);
    diffad_walk_begin(&r->walk);
    if (bytes_of(p->positives, p->negatives) <= r->max_bytes)
        return sort_span(r, 0, UINT32_MAX, p->positives, p->negatives);
    r->positives = diffad_alloc_array(HALF, sizeof *r->positives);
    r->negatives = diffad_alloc_array(HALF, sizeof *r->negatives);
    if (!r->positives || !r->negatives)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "pixels: no host memory");
    DIFFAD_TRY(each_line(r, count_upper, 0, UINT32_MAX));
    return walk_spans(r);
}

static void take_curve(const diffad_trace *t, diffad_curve_points *out)
{
    out->count = diffad_trace_thin(t, DIFFAD_CURVE_POINTS, out->x, out->y);
}

diffad_status diffad_pixels_measure(const diffad_pixels *p, double limit, int64_t max_bytes, diffad_pixel_metrics *out)
{
    if (!(limit > 0 && limit <= 1))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "pixels: limit %g; a false positive rate above 0 and up to 1 is needed", limit);
    if (p->positives == 0 || p->negatives == 0) {
        *out = diffad_pixel_metrics_undefined();
        return DIFFAD_OK;
    }
    diffad_trace *trace = diffad_alloc_array(2, sizeof *trace);
    rounds        r = { .p = p, .walk = { .positives = p->positives, .negatives = p->negatives, .limit = limit },
                        .max_bytes = max_bytes > 0 ? max_bytes : default_bytes };
    r.worth     = diffad_alloc_array(p->regions, sizeof *r.worth);
    r.space     = diffad_alloc_array((size_t)p->widest, sizeof *r.space);
    diffad_status st = trace && r.worth && r.space ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "pixels: no host memory");
    if (st == DIFFAD_OK) {
        r.walk.roc = trace;
        r.walk.pr  = trace + 1;
        st = walk_all(&r);
    }
    if (st == DIFFAD_OK) {
        diffad_walk_scores(&r.walk, &out->scores);
        out->aupro = diffad_walk_pro(&r.walk);
        take_curve(trace, &out->roc);
        take_curve(trace + 1, &out->pr);
    }
    release_span(&r);
    diffad_stretch_release(&r.stretch);
    diffad_release(trace);
    diffad_release(r.worth);
    diffad_release(r.space);
    diffad_release(r.positives);
    diffad_release(r.negatives);
    return st;
}

diffad_status diffad_metrics_aupro(const float *map, const uint8_t *mask, int64_t n, int h, int w, double limit, double *out)
{
    diffad_pixels       *p;
    diffad_pixel_metrics m;
    diffad_status        st;
    if (!(limit > 0 && limit <= 1))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "aupro: limit %g; a false positive rate above 0 and up to 1 is needed", limit);
    DIFFAD_TRY(diffad_pixels_create(&p));
    for (int64_t i = 0; i < n; i++)
        DIFFAD_GOTO(done, diffad_pixels_add(p, map + i * h * w, h, w, mask + i * h * w, h, w));
    DIFFAD_GOTO(done, diffad_pixels_measure(p, limit, 0, &m));
    *out = m.aupro;
done:
    diffad_pixels_destroy(p);
    return st;
}
