/* cli_output.c: stdout and stderr of the tool, its end, and signals. */
#include "base/sys.h"
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

volatile int cli_stop;

static volatile sig_atomic_t is_leaving;

static struct {
    diffad_progress progress;
    bool            is_active, is_open;      /* a bar stands on the terminal's last line */
    diffad_log_level level;
} screen = { .level = DIFFAD_LOG_WARNING };

/* ---- ends ---- */

void cli_leaving(void) { is_leaving = 1; }

void cli_quit(int code)
{
    cli_leaving();
    exit(code);
}

static void say(const char *line)
{
    const ssize_t n = write(STDERR_FILENO, line, strlen(line));
    (void)n;
}

/* Drivers have been seen to call exit(1), which would read as "the answer is no". */
static void guard_exit(void)
{
    if (is_leaving)
        return;
    fflush(stdout);
    say("diffad: a driver ended the program; `diffad doctor` looks for the cause\n");
    _exit(10);
}

static void on_stop(int number)
{
    if (cli_stop)
        _exit(128 + number);
    cli_stop = number == SIGHUP ? SIGTERM : number;
}

static void on_crash(int number)
{
    say("\ndiffad: crashed, most likely inside a driver; DIFFAD_TRACE=1 names the last launch, `diffad selftest` "
        "checks the device\n");
    raise(number);
}

static void catch_signal(int number, void (*handler)(int), int flags)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = handler;
    a.sa_flags   = flags;
    sigemptyset(&a.sa_mask);
    sigaction(number, &a, NULL);
}

void cli_catch_signals(void)
{
    catch_signal(SIGINT, on_stop, SA_RESTART);
    catch_signal(SIGTERM, on_stop, SA_RESTART);
    catch_signal(SIGHUP, on_stop, SA_RESTART);
}

/* ---- stderr ---- */

static void end_bar(void)
{
    if (screen.is_open)
        fputc('\n', stderr);
    screen.is_open = false;
}

static void print_line(const char *front, const char *format, va_list args)
{
    char line[2048];
    diffad_vformat(line, sizeof line, format, args);
    end_bar();
    fprintf(stderr, "%s%s\n", front, line);
}

void cli_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("diffad: ", format, args);
    va_end(args);
}

void cli_note(const cli *c, const char *format, ...)
{
    va_list args;
    if (c->quiet)
        return;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

int cli_usage(const cli *c, const char *format, ...)
{
    char    line[1024];
    va_list args;
    va_start(args, format);
    diffad_vformat(line, sizeof line, format, args);
    va_end(args);
    cli_error("%s: %s; see `diffad %s --help`", c->command->name, line, c->command->name);
    return 2;
}

int cli_fail(diffad_status st)
{
    cli_error("%s", diffad_error_detail());
    if (*diffad_error_log())
        fprintf(stderr, "%s\n", diffad_error_log());
    return st == DIFFAD_ERR_STOPPED && cli_stop ? 128 + cli_stop : diffad_status_exit_code(st);
}

static void on_log(void *user, diffad_log_level level, const char *line)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };
    (void)user;
    if (level > screen.level)
        return;
    end_bar();
    fprintf(stderr, "diffad: %s: %s\n", names[level], line);
}

void cli_set_log_level(const cli *c)
{
    screen.level = c->quiet ? DIFFAD_LOG_ERROR
                   : c->verbose > 1 ? DIFFAD_LOG_DEBUG
                   : c->verbose == 1 ? DIFFAD_LOG_INFO
                                     : DIFFAD_LOG_WARNING;
}

void cli_start(void)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
    signal(SIGPIPE, SIG_IGN);      /* a closed pipe is seen by the write that meets it */
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        catch_signal(crashes[i], on_crash, (int)SA_RESETHAND);
    atexit(guard_exit);
    diffad_log_to(on_log, NULL);
}

/* ---- progress ---- */

void cli_progress_begin(const cli *c, const char *what, const char *unit, int64_t first, int64_t total)
{
    end_bar();
    screen.is_active = !c->quiet;
    screen.progress  = diffad_progress_begin(what, unit, first, total, isatty(STDERR_FILENO) == 1);
}

void cli_progress(int64_t done, const char *note)
{
    char line[512];
    if (!screen.is_active || !diffad_progress_update(&screen.progress, done, note, line, sizeof line))
        return;
    fputs(line, stderr);
    fflush(stderr);
    screen.is_open = line[strlen(line) - 1] != '\n';
}

void cli_progress_end(void)
{
    end_bar();
    screen.is_active = false;
}

/* ---- stdout ---- */

void cli_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return;
    if (errno != EPIPE)
        cli_error("results cannot be written to stdout: %s", strerror(errno));
    cli_leaving();
    _exit(7);
}

void cli_out(const char *format, ...)
{
    char    line[4096];
    va_list args;
    va_start(args, format);
    diffad_vformat(line, sizeof line, format, args);
    va_end(args);
    end_bar();
    if (fputs(line, stdout) < 0)
        cli_flush();
}

void cli_out_text(diffad_text *t)
{
    if (t->failed) {
        cli_error("no memory for the results");
        cli_quit(6);
    }
    end_bar();
    if (t->s && fputs(t->s, stdout) < 0)
        cli_flush();
    diffad_text_release(t);
}
