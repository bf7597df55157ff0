/* fit.c: a plan within a number of bytes: forward values are made again by the gradients, as few as it takes. Candidates are
 * laid out for their sizes alone. */
#include "base/sys.h"
#include "graph/plan.h"

#include <stdio.h>

typedef struct search {
    diffad_device        *dev;
    const diffad_graph   *graph;
    diffad_plan_options   options;
    diffad_plan          *whole;       /* nothing made again: the ways and layouts of all nodes */
    recompute_facts       facts;
    bool                 *drop;        /* by value */
    size_t                least;       /* bytes of the smallest plan seen */
    bool                  is_found;
    recompute_choice      best;
    double                best_cost;
} search;

static size_t bytes_of(const diffad_plan *p) { return diffad_plan_bytes(p) + diffad_plan_fixed_bytes(p); }

/* Time in units of a byte moved, where ten operations take as long. */
static double cost_of(const diffad_plan *p) { return diffad_plan_seconds(p, 10, 1); }

static diffad_status make(search *s, const recompute_choice *c, bool sizes_only, diffad_plan **out)
{
    recompute_result    r;
    diffad_plan_options o = s->options;
    o.sizes_only = o.sizes_only || sizes_only;
    DIFFAD_TRY(recompute_choose(&s->facts, c, s->drop));
    DIFFAD_TRY(recompute_graph(&s->facts, s->drop, &r));
    return plan_make(s->dev, r.graph, &o, s->whole, &r, out);
}

static diffad_status try_choice(search *s, const recompute_choice *c, bool *fits)
{
    diffad_plan *p = NULL;
    DIFFAD_TRY(make(s, c, true, &p));
    const size_t bytes = bytes_of(p);
    const double cost  = cost_of(p);
    *fits    = bytes <= s->options.max_bytes;
    s->least = bytes < s->least ? bytes : s->least;
    if (*fits && (!s->is_found || cost < s->best_cost)) {
        s->is_found  = true;
        s->best      = *c;
        s->best_cost = cost;
    }
    diffad_plan_destroy(p);
    return DIFFAD_OK;
}

/* The fewest dropped segments of so many that fit. */
static diffad_status try_segments(search *s, int segments)
{
    int  lo = 1, hi = segments - 1;
    bool fits;
    DIFFAD_TRY(try_choice(s, &(recompute_choice){ segments, hi, true }, &fits));
    while (fits && lo < hi) {
        const int mid = (lo + hi) / 2;
        bool      half;
        DIFFAD_TRY(try_choice(s, &(recompute_choice){ segments, mid, true }, &half));
        if (half)
            hi = mid;
        else
            lo = mid + 1;
    }
    return DIFFAD_OK;
}

static diffad_status look_for(search *s)
{
    static const int counts[] = { 2, 3, 4, 6, 8, 12, 16, 24, 32 };
    bool             fits;
    DIFFAD_TRY(try_choice(s, &(recompute_choice){ 1, 0, true }, &fits));
    for (size_t i = 0; !fits && i < sizeof counts / sizeof counts[0]; i++)
        DIFFAD_TRY(try_segments(s, counts[i]));
    if (s->is_found)
        return DIFFAD_OK;
    DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: %.1f MiB are needed, %.1f where values are made again, more than the %.1f allowed: "
                "use a smaller batch or smaller pictures", (double)bytes_of(s->whole) / (1 << 20), (double)s->least / (1 << 20),
                (double)s->options.max_bytes / (1 << 20));
}

static diffad_status find(search *s, diffad_plan **out)
{
    diffad_status st = recompute_look(s->graph, &s->facts);
    if (st != DIFFAD_OK)
        return st;
    s->drop = diffad_alloc_array((size_t)s->graph->n_values + 1, sizeof *s->drop);
    st = s->drop ? look_for(s) : diffad_fail(DIFFAD_ERR_MEMORY, "plan: no host memory");
    if (st == DIFFAD_OK)
        st = make(s, &s->best, false, out);
    diffad_release(s->drop);
    recompute_forget(&s->facts);
    return st;
}

diffad_status plan_fit(diffad_device *dev, const diffad_graph *g, const diffad_plan_options *options, diffad_plan **out)
{
    search s = { .dev = dev, .graph = g, .options = *options, .least = SIZE_MAX };
    diffad_plan_options sizes = *options;
    sizes.sizes_only = true;
    DIFFAD_TRY(plan_make(dev, g, &sizes, NULL, NULL, &s.whole));
    if (bytes_of(s.whole) > options->max_bytes) {
        const diffad_status st = find(&s, out);
        diffad_plan_destroy(s.whole);
        return st;
    }
    if (options->sizes_only) {
        *out = s.whole;
        return DIFFAD_OK;
    }
    diffad_plan_destroy(s.whole);
    return plan_make(dev, g, options, NULL, NULL, out);
}
