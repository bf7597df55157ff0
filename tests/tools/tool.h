/* tool.h: runs the built command and keeps what it said. */
#ifndef DIFFAD_TEST_TOOL_H
#define DIFFAD_TEST_TOOL_H

typedef struct tool_result { int code; char *out, *err; } tool_result;      /* code: 128 + n after signal n */

/* `arguments` is a shell's text, with redirections where wanted; results stay until the process ends. */
tool_result tool_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
