/* cli_pytorch.c: a script of tools/pytorch as a process that detects, or trains for a step, when it is told to. */
#include "base/fail.h"
#include "base/file.h"
#include "cli_bench.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* One line of JSON; NULL: the process ended or printed something else. */
static json_t *read_line(const cli_pytorch *p)
{
    char   line[4096];
    size_t n = 0;
    while (n + 1 < sizeof line) {
        const ssize_t got = read(p->from, line + n, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || line[n] == '\n')
            break;
        n++;
    }
    return json_loadb(line, n, 0, NULL);
}

static void copy_text(const json_t *row, const char *key, char *to, size_t size)
{
    const char *text = json_string_value(json_object_get(row, key));
    snprintf(to, size, "%s", text ? text : "");
}

static bool tell(const cli_pytorch *p, const char *word)
{
    const size_t n = strlen(word);
    return write(p->to, word, n) == (ssize_t)n;
}

static void run_python(const char *script, const cli_pytorch_work *w, const int *in, const int *out)
{
    char        threads[16], batch[16];
    const char *python = getenv("DIFFAD_PYTHON");
    if (!python || !*python)
        python = "python3";
    snprintf(threads, sizeof threads, "%d", w->threads);
    snprintf(batch, sizeof batch, "%d", w->batch);
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
    signal(SIGPIPE, SIG_DFL);
    execlp(python, python, script, w->description, w->work, threads, w->on_cpu ? "cpu" : "gpu", w->precision, batch, (char *)NULL);
    _exit(127);
}

diffad_status cli_pytorch_start(cli_pytorch *p, const cli_pytorch_work *w)
{
    char script[1024];
    int  in[2], out[2];
    snprintf(script, sizeof script, "%s/%s", DIFFAD_SOURCE_DIR "/tools/pytorch", w->script);
    if (!diffad_path_exists(script))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "bench: %s is not there; --pytorch needs the source tree", script);
    if (pipe(in) != 0)
        DIFFAD_FAIL(DIFFAD_ERR_FILE, "bench: no pipe: %s", strerror(errno));
    if (pipe(out) != 0) {
        close(in[0]);
        close(in[1]);
        DIFFAD_FAIL(DIFFAD_ERR_FILE, "bench: no pipe: %s", strerror(errno));
    }
    fflush(stdout);
    p->pid = fork();
    if (p->pid == 0)
        run_python(script, w, in, out);
    close(in[0]);
    close(out[1]);
    p->to   = in[1];
    p->from = out[0];
    json_t     *ready   = p->pid > 0 ? read_line(p) : NULL;
    copy_text(ready, "torch", p->version, sizeof p->version);
    copy_text(ready, "device", p->device, sizeof p->device);
    copy_text(ready, "layout", p->layout, sizeof p->layout);
    p->threads    = (int)json_integer_value(json_object_get(ready, "threads"));
    p->parameters = (int64_t)json_integer_value(json_object_get(ready, "parameters"));
    json_decref(ready);
    if (p->version[0])
        return DIFFAD_OK;
    cli_pytorch_end(p);
    DIFFAD_FAIL(
        DIFFAD_ERR_USAGE,
        "bench: --pytorch needs python3 with torch (its messages above); DIFFAD_PYTHON names another interpreter");
}

diffad_status cli_pytorch_run(cli_pytorch *p, double *seconds)
{
    json_t       *row   = tell(p, "run\n") ? read_line(p) : NULL;
    const json_t *value = json_object_get(row, "seconds");
    const bool    ok    = json_is_number(value);
    *seconds = json_number_value(value);
    json_decref(row);
    if (!ok)
        DIFFAD_FAIL(DIFFAD_ERR_DEVICE, "bench: the PyTorch process ended (its messages above)");
    return DIFFAD_OK;
}

void cli_pytorch_end(cli_pytorch *p)
{
    if (p->pid <= 0)
        return;
    json_t *row = tell(p, "end\n") ? read_line(p) : NULL;
    p->peak_rss       = (int64_t)json_integer_value(json_object_get(row, "peak_rss"));
    p->beyond_weights = (int64_t)json_integer_value(json_object_get(row, "beyond_weights"));
    json_decref(row);
    close(p->to);
    close(p->from);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

void cli_pytorch_json(cli_json *j, const cli_pytorch *p, const cli_sample *ms, const cli_sample *ratio, int64_t beyond_weights)
{
    cli_json_open(j, "pytorch", '{');
    cli_json_text(j, "version", p->version);
    cli_json_text(j, "device", p->device);
    cli_json_text(j, "layout", p->layout);
    cli_json_int(j, "threads", p->threads);
    cli_json_int(j, "parameters", p->parameters);
    cli_sample_json(j, "ms", ms);
    cli_json_int(j, "peak_rss", p->peak_rss);
    cli_json_int(j, "beyond_weights", p->beyond_weights);
    cli_json_real(j, "memory_ratio", (double)beyond_weights / (double)p->beyond_weights, 4);
    cli_sample_json(j, "ratio", ratio);
    cli_json_close(j, '}');
}

void cli_pytorch_print(const cli_pytorch *p, const cli_sample *ms, const cli_sample *ratio, int64_t beyond_weights)
{
    char host[24], theirs[24];
    cli_out("PyTorch %s on %s, %d threads, %s: %.2f ms (%.2f .. %.2f), %s of process memory; %.2f times as long (%.2f .. %.2f)\n", p->version,
            p->device, p->threads, p->layout, cli_sample_median(ms), cli_sample_min(ms), cli_sample_max(ms),
            cli_bytes_text((double)p->peak_rss, host, sizeof host), cli_sample_median(ratio), cli_sample_min(ratio), cli_sample_max(ratio));
    cli_out("beyond the weights it holds %s of the device's memory; here it is %.2f of that\n",
            cli_bytes_text((double)p->beyond_weights, theirs, sizeof theirs), (double)beyond_weights / (double)p->beyond_weights);
}
