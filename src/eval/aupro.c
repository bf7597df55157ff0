/* aupro.c: area under the per-region overlap curve (PRO; Bergmann et al., MVTec AD, IJCV 2021), exact.
 *
 * Every pixel of a region is worth 1 / (regions x its region's size); the overlap at a threshold is the worth of all
 * defect pixels at or above it. So one walk down the sorted scores replaces a labelling per threshold. */
#include "diffad/evaluate.h"

#include "base/size.h"
#include "base/sys.h"
#include "eval/keys.h"

#include <inttypes.h>
#include <math.h>

typedef struct pixels {
    uint64_t *positive;        /* key << 32 | region */
    uint32_t *negative;        /* key */
    int64_t   positives, negatives;
    double   *worth;           /* [regions] */
    int64_t   regions;
    void     *spare;
} pixels;

/* ---- 8-connected regions of one mask, by union-find ---- */

static int32_t root_of(int32_t *parent, int32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static void join(int32_t *parent, int32_t a, int32_t b)
{
    a = root_of(parent, a);
    b = root_of(parent, b);
    if (a < b)
        parent[b] = a;
    else
        parent[a] = b;
}

/* label[i] = region of pixel i counted from `first`, for pixels of the mask. Returns the next free region. */
static int64_t label_regions(const uint8_t *mask, int h, int w, int64_t first, int32_t *parent, uint32_t *label)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const int32_t i = y * w + x;
            parent[i] = i;
            if (!mask[i])
                continue;
            if (x > 0 && mask[i - 1])
                join(parent, i - 1, i);
            for (int dx = -1; y > 0 && dx <= 1; dx++)
                if (x + dx >= 0 && x + dx < w && mask[i - w + dx])
                    join(parent, i - w + dx, i);
        }
    for (int32_t i = 0; i < h * w; i++) /* a root is the smallest index of its region: labelled before the rest */
        if (mask[i]) {
            const int32_t root = root_of(parent, i);
            label[i] = root == i ? (uint32_t)first++ : label[root];
        }
    return first;
}

/* ---- all images ---- */

static bool pixels_alloc(pixels *p)
{
    const int64_t keyed = p->positives * (int64_t)sizeof(uint64_t), plain = p->negatives * (int64_t)sizeof(uint32_t);
    p->positive = diffad_alloc_array((size_t)p->positives, sizeof *p->positive);
    p->negative = diffad_alloc_array((size_t)p->negatives, sizeof *p->negative);
    p->spare    = diffad_alloc((size_t)(keyed > plain ? keyed : plain));
    p->worth = diffad_alloc_array((size_t)p->positives, sizeof *p->worth); /* as many regions as pixels at most */
    return p->positive && p->negative && p->spare && p->worth;
}

static void pixels_release(pixels *p)
{
    diffad_release(p->positive);
    diffad_release(p->negative);
    diffad_release(p->spare);
    diffad_release(p->worth);
}

static void pixels_fill(pixels *p, const float *map, const uint8_t *mask, int64_t n, int h, int w,
                        int32_t *parent, uint32_t *label)
{
    const int64_t size = (int64_t)h * w;
    int64_t       positive = 0, negative = 0;
    for (int64_t k = 0; k < n; k++, map += size, mask += size) {
        p->regions = label_regions(mask, h, w, p->regions, parent, label);
        for (int64_t i = 0; i < size; i++) {
            if (!mask[i]) {
                p->negative[negative++] = diffad_score_key(map[i]);
                continue;
            }
            p->worth[label[i]] += 1;
            p->positive[positive++] = (uint64_t)diffad_score_key(map[i]) << 32 | label[i];
        }
    }
    for (int64_t r = 0; r < p->regions; r++)
        p->worth[r] = 1 / (p->worth[r] * (double)p->regions);
    diffad_keyed_sort(p->positive, p->spare, p->positives);
    diffad_keys_sort(p->negative, p->spare, p->negatives);
}

static void add_exactly(double *sum, double *lost, double v)
{
    const double term = v - *lost, next = *sum + term;
    *lost = (next - *sum) - term;
    *sum  = next;
}

static double area_to(const pixels *p, double limit)
{
    int64_t tp = 0, fp = 0;
    double  area = 0, area_lost = 0, overlap = 0, overlap_lost = 0, fpr = 0;
    while (fpr < limit && (tp < p->positives || fp < p->negatives)) {
        const uint32_t positive = tp < p->positives ? (uint32_t)(p->positive[tp] >> 32) : UINT32_MAX;
        const uint32_t negative = fp < p->negatives ? p->negative[fp] : UINT32_MAX;
        const uint32_t key = positive < negative ? positive : negative;
        const double   overlap0 = overlap, fpr0 = fpr;
        for (; tp < p->positives && (uint32_t)(p->positive[tp] >> 32) == key; tp++)
            add_exactly(&overlap, &overlap_lost, p->worth[p->positive[tp] & UINT32_MAX]);
        while (fp < p->negatives && p->negative[fp] == key)
            fp++;
        fpr = (double)fp / (double)p->negatives;
        if (fpr <= limit) {
            add_exactly(&area, &area_lost, (fpr - fpr0) * (overlap + overlap0) / 2);
        } else {
            const double share = (limit - fpr0) / (fpr - fpr0), end = overlap0 + share * (overlap - overlap0);
            add_exactly(&area, &area_lost, (limit - fpr0) * (end + overlap0) / 2);
        }
    }
    return area / limit;
}

diffad_status diffad_metrics_aupro(const float *map, const uint8_t *mask, int64_t n, int h, int w, double limit,
                                   double *out)
{
    int64_t size, total;
    if (n < 0 || h < 1 || w < 1 || !diffad_mul_i64(h, w, &size) || size > INT32_MAX ||
        !diffad_mul_i64(size, n, &total) || total > UINT32_MAX)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE,
                    "aupro: %" PRId64 " maps of %d x %d; at most 2^31 pixels each and 2^32 together are possible", n,
                    h, w);
    if (!(limit > 0 && limit <= 1))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "aupro: limit %g; a false positive rate above 0 and up to 1 is needed", limit);
    DIFFAD_TRY(diffad_scores_check("aupro", map, total));
    pixels p = { 0 };
    for (int64_t i = 0; i < total; i++)
        p.positives += mask[i] != 0;
    p.negatives = total - p.positives;
    if (p.positives == 0 || p.negatives == 0) {
        *out = NAN;
        return DIFFAD_OK;
    }
    int32_t  *parent = diffad_alloc_array((size_t)size, sizeof *parent);
    uint32_t *label = diffad_alloc_array((size_t)size, sizeof *label);
    const bool has_memory = pixels_alloc(&p) && parent && label;
    if (has_memory) {
        pixels_fill(&p, map, mask, n, h, w, parent, label);
        *out = area_to(&p, limit);
    }
    diffad_release(parent);
    diffad_release(label);
    pixels_release(&p);
    if (!has_memory)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY,
                    "aupro: no host memory for %" PRId64 " pixels; evaluate fewer or smaller images", total);
    return DIFFAD_OK;
}
