/* regions.c: labels the runs of a mask by union-find, line after line. */
#include "eval/regions.h"

#include "base/sys.h"

static uint32_t root_of(diffad_run *run, uint32_t i)
{
    while (run[i].region != i)
        i = run[i].region = run[run[i].region].region;
    return i;
}

/* The smaller index stays a root: roots come before what hangs on them. */
static void join(diffad_run *run, uint32_t a, uint32_t b)
{
    a = root_of(run, a);
    b = root_of(run, b);
    if (a < b)
        run[b].region = a;
    else
        run[a].region = b;
}

static int64_t count_runs(const uint8_t *mask, int h, int w)
{
    int64_t n = 0;
    for (int y = 0; y < h; y++, mask += w)
        for (int x = 0; x < w; x++)
            n += mask[x] && (x == 0 || !mask[x - 1]);
    return n;
}

/* Runs `at` .. of line y; each its own root for now. */
static uint32_t add_line(diffad_run *run, uint32_t at, const uint8_t *line, int y, int w)
{
    for (int x = 0; x < w; x++) {
        if (!line[x])
            continue;
        const int from = x;
        while (x < w && line[x])
            x++;
        run[at] = (diffad_run){ y, from, x, at };
        at++;
    }
    return at;
}

diffad_status diffad_regions_find(const uint8_t *mask, int h, int w, uint32_t first, diffad_run **out, int64_t *runs,
                                  uint32_t *regions)
{
    const int64_t n = count_runs(mask, h, w);
    diffad_run   *run = n ? diffad_alloc_array((size_t)n, sizeof *run) : NULL;
    uint32_t      above = 0, here = 0, end = 0, count = 0;
    if (n && !run)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "regions: no host memory for a mask of %d x %d", w, h);
    for (int y = 0; y < h; y++) {
        above = here, here = end;
        end   = add_line(run, end, mask + (int64_t)y * w, y, w);
        for (uint32_t i = here, k = above; i < end && k < here;) {
            if (run[k].from <= run[i].to && run[i].from <= run[k].to)      /* also over a corner */
                join(run, k, i);
            if (run[k].to < run[i].to)
                k++;
            else
                i++;
        }
    }
    for (uint32_t i = 0; i < end; i++)
        run[i].region = root_of(run, i);
    for (uint32_t i = 0; i < end; i++)          /* a root has its number before those that hang on it */
        run[i].region = run[i].region == i ? first + count++ : run[run[i].region].region;
    *out     = run;
    *runs    = n;
    *regions = count;
    return DIFFAD_OK;
}
