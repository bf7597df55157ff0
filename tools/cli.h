/* cli.h: what the sub-commands share: options from one table per command, results on stdout, everything else on stderr.
 *
 *     static const cli_option options[] = {
 *         { .name = "steps", .kind = CLI_INT, .argument = "N", .lo = 1, .hi = 1000, .help = "sampling steps" }, { 0 }
 *     };
 *     static int run(cli *c) { const int64_t steps = cli_int(c, "steps", 5); ... return 0; }
 *     const cli_command cmd_detect = { .name = "detect", .run = run, .options = options, ... };
 *
 * run() returns the exit code; cli_fail() turns the library's status into it. */
#ifndef DIFFAD_CLI_H
#define DIFFAD_CLI_H

#include "base/progress.h"
#include "base/text.h"
#include "diffad/device.h"

typedef enum cli_kind { CLI_FLAG, CLI_TEXT, CLI_INT, CLI_REAL, CLI_BYTES, CLI_CHOICE, CLI_LIST } cli_kind;

typedef struct cli_option {
    const char *name;              /* without its dashes; NULL ends a table */
    char        letter;            /* short form, or 0 */
    cli_kind    kind;              /* CLI_LIST: text that may come several times */
    const char *argument;          /* what the help calls the value; of a CLI_CHOICE: "paper|fast|tiny" */
    double      lo, hi;            /* numbers: allowed range, ends included; both 0: any */
    const char *help;
} cli_option;

typedef struct cli cli;

typedef struct cli_command {
    const char       *name, *summary;
    const char       *arguments;           /* for the usage line: "RUN IMAGE|DIR..." */
    const char       *details;             /* further lines of the help; NULL */
    const cli_option *options;             /* NULL: none of its own */
    int               least, most;         /* positional arguments; most -1: any number */
    bool              can_stop;            /* looks at cli_stop: the first SIGINT or SIGTERM only sets it */
    int             (*run)(cli *c);
} cli_command;

enum { CLI_MAX_OPTIONS = 48 };

struct cli {
    const cli_command *command;
    const char       **args;               /* positional */
    int                n_args;
    bool               json, quiet;
    int                verbose;
    const char        *device;             /* NULL: DIFFAD_DEVICE, else the best one */
    uint64_t           seed;
    const char        *values[CLI_MAX_OPTIONS];      /* by place in the tables: global ones first; last given value */
    const char       **lists[CLI_MAX_OPTIONS];       /* CLI_LIST: NULL-terminated */
};

/* The signal that asked to stop, or 0. */
extern volatile int cli_stop;

/* ---- cli_options.c ---- */

/* Fills *c from argv (behind the program's name). False: *code is the exit code, everything is said. */
bool  cli_parse(cli *c, int argc, char **argv, const cli_command *const *commands, int *code);
void  cli_release(cli *c);
bool  cli_has(const cli *c, const char *name);
bool  cli_knows(const cli *c, const char *name);      /* whether the command has such an option */
/* The value of an option, or the given one; ranges were checked. `name` must be in the command's table. */
const char        *cli_text(const cli *c, const char *name, const char *otherwise);
int64_t            cli_int(const cli *c, const char *name, int64_t otherwise);
double             cli_real(const cli *c, const char *name, double otherwise);
const char *const *cli_list(const cli *c, const char *name);         /* NULL-terminated; NULL: never given */

/* ---- cli_output.c ---- */

/* Results. A closed pipe ends the program silently, another failure with a line; both with exit code 7. */
void cli_out(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_out_text(diffad_text *t);         /* and releases it; out of memory ends the program with 6 */
void cli_flush(void);
/* Lines for the reader of stderr, "diffad: ..." ; note: not with --quiet. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_note(const cli *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints the thread's detail and build log; returns the exit code of `st`. */
int  cli_fail(diffad_status st);
/* "diffad NAME: ...; see diffad NAME --help", exit code 2. */
int  cli_usage(const cli *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the program from anywhere with a code that main means. */
void cli_quit(int code) __attribute__((noreturn));
/* From here on an exit is meant. */
void cli_leaving(void);
/* Once, at the start: log lines, signals, the guard against exits that main did not ask for. */
void cli_start(void);
void cli_catch_signals(void);
void cli_set_log_level(const cli *c);

/* Progress on stderr; one at a time. */
void cli_progress_begin(const cli *c, const char *what, const char *unit, int64_t first, int64_t total);
void cli_progress(int64_t done, const char *note);
void cli_progress_end(void);               /* closes a bar that did not reach its end */

/* ---- cli_json.c: one JSON object a line, written as it comes ---- */

typedef struct cli_json { diffad_text t; bool needs_comma; } cli_json;
/* key NULL: in a list, or the outermost. */
void cli_json_open(cli_json *j, const char *key, char bracket);      /* '{' or '[' */
void cli_json_close(cli_json *j, char bracket);
void cli_json_text(cli_json *j, const char *key, const char *value);             /* NULL: null */
void cli_json_int(cli_json *j, const char *key, int64_t value);
void cli_json_real(cli_json *j, const char *key, double value, int digits);      /* not finite: null */
void cli_json_bool(cli_json *j, const char *key, bool value);
void cli_json_null(cli_json *j, const char *key);
void cli_json_key(cli_json *j, const char *key); /* what follows is written into j->t by the caller */
void cli_json_print(cli_json *j);                                    /* with a newline, flushed; j is empty again */

/* ---- cli_table.c: columns that are as wide as their widest cell ---- */

typedef struct cli_table { char **cell; int64_t count, capacity; int columns; uint32_t right; } cli_table;
/* `right`: bits of the columns that are set to the right. */
cli_table cli_table_new(int columns, uint32_t right);
void      cli_cell(cli_table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void      cli_table_print(cli_table *t);           /* to stdout; releases it */
void      cli_table_markdown(cli_table *t);        /* the first row is the head */

/* ---- cli_device.c ---- */

/* The option of commands that may round products on matrix units; cli_open_device sees to it. */
#define CLI_PRECISION                                                                                      \
    { "precision", 0, CLI_CHOICE, "f32|tf32|bf16|f16", 0, 0,                                                \
      "of the convolutions' operands, sums in f32 (default f32); the others need matrix units" }

/* Opens the device that --device names, in the precision asked for, and says which, once, on stderr. */
diffad_status cli_open_device(const cli *c, diffad_device **out);
/* Its last step: diffad_precision_allow; a device that is refused is closed, and *dev NULL. */
diffad_status cli_allow_precision(diffad_precision precision, diffad_device **dev);
/* "8.0 GiB", "512 B" into out (24 bytes suffice); returns out. */
char *cli_bytes_text(double bytes, char *out, size_t size);
/* job(user, result) in a child process that shares `result` (bytes of zeros) with this one. 0: it returned; a signal's
 * number; -1: it took longer than limit_ms; -2: no child could be made. */
int  cli_in_child(void (*job)(void *user, void *result), void *user, void *result, size_t bytes, int limit_ms);

#endif
