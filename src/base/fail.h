/* fail.h: how a failure is recorded inside the library. See include/diffad/status.h for the codes.
 *
 *     DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "conv2d: C=%d but w expects %d", c, wc);      returns
 *     DIFFAD_GOTO(done, call(...));                 status variable `st`, one label `done:` that releases
 *     DIFFAD_SET_GOTO(done, DIFFAD_ERR_DATA, "%s: ...", path);
 *
 * A message is one line: what, where, why, what to do. Bytes below 32 in arguments are escaped when recorded. */
#ifndef DIFFAD_FAIL_H
#define DIFFAD_FAIL_H

#include "diffad/status.h"

#define DIFFAD_FAIL(code, ...) return diffad_fail((code), __VA_ARGS__)
#define DIFFAD_GOTO(label, call)            \
    do {                                    \
        if ((st = (call)) != DIFFAD_OK)     \
            goto label;                     \
    } while (0)
#define DIFFAD_SET_GOTO(label, code, ...)          \
    do {                                           \
        st = diffad_fail((code), __VA_ARGS__);     \
        goto label;                                \
    } while (0)

/* Records the thread's detail and returns `code`. */
diffad_status diffad_fail(diffad_status code, const char *format, ...) DIFFAD_PRINTF(2, 3);
/* Puts "context: " in front of the thread's detail; returns `code`, so that callers can forward. */
diffad_status diffad_fail_context(diffad_status code, const char *format, ...) DIFFAD_PRINTF(2, 3);
/* Attaches a longer text (a build log) to the thread's detail; call after diffad_fail. */
void diffad_fail_log(const char *text);

void diffad_log(diffad_log_level level, const char *format, ...) DIFFAD_PRINTF(2, 3);

#endif
