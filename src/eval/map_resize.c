/* map_resize.c: float maps at another size. */
#include "eval/stretch.h"

#include "base/size.h"
#include "base/sys.h"
#include "diffad/evaluate.h"

#include <string.h>

/* Source position of the centre of pixel i: the lower neighbour and the share of the upper one. */
static int tap(int i, int to, int from, float *share)
{
    const float scale = (float)from / (float)to;
    float       at = ((float)i + 0.5f) * scale - 0.5f;
    at = at < 0 ? 0 : at;
    int low = (int)at;
    if (low >= from - 1) {
        *share = 0;
        return from - 1;
    }
    *share = at - (float)low;
    return low;
}

diffad_status diffad_stretch_set(diffad_stretch *s, int h, int w, int to_h, int to_w)
{
    if (s->left && s->h == h && s->w == w && s->to_h == to_h && s->to_w == to_w)
        return DIFFAD_OK;
    diffad_stretch_release(s);
    diffad_stretch n = { .h = h, .w = w, .to_h = to_h, .to_w = to_w };
    n.left  = diffad_alloc_array((size_t)to_w, sizeof *n.left);
    n.share = diffad_alloc_array((size_t)to_w, sizeof *n.share);
    n.line  = diffad_alloc_array((size_t)w, sizeof *n.line);
    if (!n.left || !n.share || !n.line) {
        diffad_stretch_release(&n);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "map: no host memory to resize it to %d x %d", to_w, to_h);
    }
    for (int x = 0; x < to_w; x++)
        n.left[x] = tap(x, to_w, w, n.share + x);
    *s = n;
    return DIFFAD_OK;
}

void diffad_stretch_release(diffad_stretch *s)
{
    diffad_release(s->left);
    diffad_release(s->share);
    diffad_release(s->line);
    *s = (diffad_stretch){ 0 };
}

const float *diffad_stretch_line(const diffad_stretch *s, const float *map, int y, float *space)
{
    if (s->h == s->to_h && s->w == s->to_w)
        return map + (int64_t)y * s->w;
    float        below;
    const float *a = map + (int64_t)tap(y, s->to_h, s->h, &below) * s->w, *b = below > 0 ? a + s->w : a;
    for (int x = 0; x < s->w; x++)
        s->line[x] = (1 - below) * a[x] + below * b[x];
    for (int x = 0; x < s->to_w; x++) {
        const float *p = s->line + s->left[x];
        space[x] = s->share[x] > 0 ? (1 - s->share[x]) * p[0] + s->share[x] * p[1] : p[0];
    }
    return space;
}

diffad_status diffad_map_resize(const float *map, int h, int w, int to_h, int to_w, float *out)
{
    diffad_stretch s = { 0 };
    if (h < 1 || w < 1 || to_h < 1 || to_w < 1)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "map: %d x %d to %d x %d; sides must be positive", w, h, to_w, to_h);
    DIFFAD_TRY(diffad_stretch_set(&s, h, w, to_h, to_w));
    for (int y = 0; y < to_h; y++, out += to_w) {
        const float *line = diffad_stretch_line(&s, map, y, out);
        if (line != out)
            memcpy(out, line, (size_t)to_w * sizeof *out);
    }
    diffad_stretch_release(&s);
    return DIFFAD_OK;
}
