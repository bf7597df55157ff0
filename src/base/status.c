/* status.c: status names, the thread's error detail, the log callback. */
#include "base/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DETAIL_BYTES = 1024, LOG_BYTES = 16384 };

static _Thread_local char detail[DETAIL_BYTES];
static _Thread_local char long_log[LOG_BYTES];

static diffad_log_fn log_fn;
static void         *log_user;

/* Names of files and tensors come from strangers: a newline or an escape sequence must not reach a terminal. */
static void make_printable(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 32 || *s == 127)
            *s = '?';
}

static void format_into(char *out, size_t bytes, const char *format, va_list args)
{
    if (vsnprintf(out, bytes, format, args) < 0)
        out[0] = '\0';
    make_printable(out);
}

const char *diffad_status_name(diffad_status s)
{
    switch (s) {
    case DIFFAD_OK: return "ok";
    case DIFFAD_ERR_USAGE: return "usage";
    case DIFFAD_ERR_DATA: return "data";
    case DIFFAD_ERR_CHECKPOINT: return "checkpoint";
    case DIFFAD_ERR_NO_DEVICE: return "no device";
    case DIFFAD_ERR_MEMORY: return "out of memory";
    case DIFFAD_ERR_FILE: return "file system";
    case DIFFAD_ERR_NUMERICS: return "numerics";
    case DIFFAD_ERR_DEVICE: return "device failed";
    case DIFFAD_ERR_SHAPE: return "shape";
    case DIFFAD_ERR_UNSUPPORTED: return "unsupported";
    case DIFFAD_ERR_STOPPED: return "stopped";
    case DIFFAD_ERR_INTERNAL: return "internal";
    }
    return "unknown";
}

int diffad_status_exit_code(diffad_status s)
{
    switch (s) {
    case DIFFAD_ERR_SHAPE:
    case DIFFAD_ERR_UNSUPPORTED: return 2;
    case DIFFAD_ERR_STOPPED: return 130;
    case DIFFAD_ERR_INTERNAL: return 10;
    default: return (int)s;
    }
}

const char *diffad_error_detail(void) { return detail; }
const char *diffad_error_log(void) { return long_log; }

diffad_status diffad_fail(diffad_status code, const char *format, ...)
{
    char    text[DETAIL_BYTES];      /* an argument may be the old detail */
    va_list args;
    va_start(args, format);
    format_into(text, sizeof text, format, args);
    va_end(args);
    memcpy(detail, text, sizeof detail);
    long_log[0] = '\0';
    return code;
}

diffad_status diffad_fail_context(diffad_status code, const char *format, ...)
{
    char    front[DETAIL_BYTES / 2], text[2 * DETAIL_BYTES];
    va_list args;
    va_start(args, format);
    format_into(front, sizeof front, format, args);
    va_end(args);
    snprintf(text, sizeof text, "%s: %s", front, detail);
    text[DETAIL_BYTES - 1] = '\0';
    memcpy(detail, text, DETAIL_BYTES);
    return code;
}

void diffad_fail_log(const char *text)
{
    snprintf(long_log, sizeof long_log, "%s", text);
}

void diffad_log_to(diffad_log_fn fn, void *user)
{
    log_fn   = fn;
    log_user = user;
}

void diffad_log(diffad_log_level level, const char *format, ...)
{
    if (!log_fn)
        return;
    char    line[DETAIL_BYTES];
    va_list args;
    va_start(args, format);
    format_into(line, sizeof line, format, args);
    va_end(args);
    log_fn(log_user, level, line);
}
