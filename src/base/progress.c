/* progress.c: how far long work is, as text. */
#include "base/progress.h"
#include "base/sys.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { BAR = 24 };

static const uint64_t BAR_NS = 100000000u, LINE_NS = 5000000000u;

char *diffad_duration_text(double seconds, char *out, size_t bytes)
{
    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(out, bytes, "?");
        return out;
    }
    const long s = (long)(seconds + 0.5);
    if (s < 60)
        snprintf(out, bytes, "%lds", s);
    else if (s < 3600)
        snprintf(out, bytes, "%ldm%02lds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, bytes, "%ldh%02ldm", s / 3600, s % 3600 / 60);
    else
        snprintf(out, bytes, "%ldd%02ldh", s / 86400, s % 86400 / 3600);
    return out;
}

diffad_progress diffad_progress_begin(const char *what, const char *unit, int64_t first, int64_t total, bool is_terminal)
{
    const uint64_t        now      = diffad_sys.monotonic_ns();
    const char           *no_color = diffad_sys.getenv("NO_COLOR");
    const diffad_progress p = { .what = what, .unit = unit, .first = first, .total = total,
                                .is_terminal = is_terminal && !(no_color && *no_color),
                                .began_ns = now, .shown_ns = now };
    return p;
}

/* "  45% 450/1000 [#####.....] 12.5 step/s, 44s left, note"; without a total "450 step, 12.5 step/s, note". */
static void describe(const diffad_progress *p, int64_t done, double seconds, const char *note, diffad_text *t)
{
    char         duration[16];
    const double rate = seconds > 0 ? (double)(done - p->first) / seconds : 0;
    diffad_text_addf(t, "%s: ", p->what);
    if (p->total > 0) {
        const double share = done >= p->total ? 1 : done <= 0 ? 0 : (double)done / (double)p->total;
        diffad_text_addf(t, "%3d%% %lld/%lld %s", (int)(share * 100), (long long)done, (long long)p->total, p->unit);
        if (p->is_terminal) {
            char      bar[BAR + 1];
            const int full = (int)(share * BAR);
            memset(bar, '.', BAR);
            memset(bar, '#', (size_t)full);
            bar[BAR] = '\0';
            diffad_text_addf(t, " [%s]", bar);
        }
    } else {
        diffad_text_addf(t, "%lld %s", (long long)done, p->unit);
    }
    if (rate > 0) {
        diffad_text_addf(t, ", %.3g %s/s", rate, p->unit);
        if (p->total > done)
            diffad_text_addf(t, ", %s left", diffad_duration_text((double)(p->total - done) / rate, duration, sizeof duration));
        else
            diffad_text_addf(t, ", took %s", diffad_duration_text(seconds, duration, sizeof duration));
    }
    if (note && *note)
        diffad_text_addf(t, ", %s", note);
}

bool diffad_progress_update(diffad_progress *p, int64_t done, const char *note, char *line, size_t bytes)
{
    const uint64_t now    = diffad_sys.monotonic_ns();
    const bool     is_end = p->total > 0 && done >= p->total;
    if (p->is_shown && !is_end && now - p->shown_ns < (p->is_terminal ? BAR_NS : LINE_NS))
        return false;
    diffad_text t = { 0 };
    describe(p, done, (double)(now - p->began_ns) * 1e-9, note, &t);
    if (t.failed) {
        diffad_text_release(&t);
        return false;
    }
    /* Blanks wipe what a longer line left behind. */
    const size_t wipe = p->is_terminal && p->width > t.length ? p->width - t.length : 0;
    snprintf(line, bytes, "%s%s%*s%s", p->is_terminal ? "\r" : "", t.s, (int)wipe, "", p->is_terminal && !is_end ? "" : "\n");
    p->width    = t.length;
    p->shown_ns = now;
    p->is_shown = true;
    diffad_text_release(&t);
    return true;
}
