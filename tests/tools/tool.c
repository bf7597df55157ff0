/* tool.c: runs the built command and keeps what it said. */
#include "tool.h"
#include "support/folder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static char *read_all(const char *path)
{
    FILE  *f    = fopen(path, "rb");
    char  *text = NULL;
    size_t n = 0, got;
    do {
        text = realloc(text, n + 4097);
        got  = f ? fread(text + n, 1, 4096, f) : 0;
        n += got;
    } while (got);
    text[n] = '\0';
    if (f)
        fclose(f);
    return text;
}

tool_result tool_run(const char *format, ...)
{
    char               arguments[4096], line[8192], out[256], err[256];
    static const char *folder;
    va_list            args;
    if (!folder)
        folder = folder_new();
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(err, sizeof err, "%s/err", folder);
    snprintf(line, sizeof line, "exec 2>'%s' >'%s' </dev/null; '%s' %s", err, out, DIFFAD_TOOL, arguments);
    const int   status = system(line);
    tool_result r = { WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_all(out), read_all(err) };
    return r;
}
