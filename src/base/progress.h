/* progress.h: how far long work is, as text. The caller decides where the text goes.
 *
 *     diffad_progress p = diffad_progress_begin("train ldm", "step", first, total, is_terminal);
 *     each step:  if (diffad_progress_update(&p, done, "loss 0.12", line, sizeof line))  fputs(line, stderr);
 *
 * A terminal gets a bar that is drawn over itself at most ten times a second and a newline at the end; anything else gets
 * one line every five seconds, and so does a terminal when NO_COLOR is set. Plain characters only. */
#ifndef DIFFAD_PROGRESS_H
#define DIFFAD_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct diffad_progress {
    const char *what, *unit;         /* borrowed */
    int64_t     first, total;        /* work done before the start; total 0: unknown */
    bool        is_terminal;
    uint64_t    began_ns, shown_ns;
    bool        is_shown;
    size_t      width;               /* characters on the terminal's line now */
} diffad_progress;

diffad_progress diffad_progress_begin(const char *what, const char *unit, int64_t first, int64_t total, bool is_terminal);
/* True when `line` is to be shown now: the first time, when due, and at the end (done == total). `note` may be NULL. */
bool diffad_progress_update(diffad_progress *p, int64_t done, const char *note, char *line, size_t bytes);
/* "12s", "3m05s", "2h07m", "4d03h" into out (16 bytes suffice); returns out. */
char *diffad_duration_text(double seconds, char *out, size_t bytes);

#endif
