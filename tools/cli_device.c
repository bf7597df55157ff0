/* cli_device.c: opening the device that was asked for; child processes. */
#include "cli.h"
#include "diffad/selftest.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

char *cli_bytes_text(double bytes, char *out, size_t size)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    int u = 0;
    for (; bytes >= 1024 && u < 4; u++)
        bytes /= 1024;
    snprintf(out, size, u ? "%.1f %s" : "%.0f %s", bytes, units[u]);
    return out;
}

diffad_status cli_allow_precision(diffad_precision precision, diffad_device **dev)
{
    const diffad_status st = precision == DIFFAD_PRECISION_F32 ? DIFFAD_OK : diffad_precision_allow(*dev, precision);
    if (st != DIFFAD_OK) {
        diffad_device_close(*dev);
        *dev = NULL;
    }
    return st;
}

diffad_status cli_open_device(const cli *c, diffad_device **out)
{
    DIFFAD_TRY(diffad_device_open(c->device, out));
    const diffad_caps *caps = diffad_device_caps(*out);
    cli_note(c, "device %s: %s (%s)", caps->id, caps->name, caps->platform);
    diffad_precision precision = DIFFAD_PRECISION_F32;
    if (cli_knows(c, "precision"))
        diffad_precision_named(cli_text(c, "precision", "f32"), &precision);
    return cli_allow_precision(precision, out);
}

static int wait_for(pid_t child, int limit_ms)
{
    const struct timespec nap = { 0, 2000000 };
    int status = 0;
    for (int passed = 0; passed < limit_ms; passed += 2) {
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) == 0 ? 0 : SIGABRT;
        nanosleep(&nap, NULL);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return -1;
}

int cli_in_child(void (*job)(void *user, void *result), void *user, void *result, size_t bytes, int limit_ms)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTERM, SIGINT };
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return -2;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
            signal(signals[i], SIG_DFL);
        cli_leaving();
        job(user, shared);
        _exit(0);
    }
    const int how = child < 0 ? -2 : wait_for(child, limit_ms);
    memcpy(result, shared, bytes);
    munmap(shared, bytes);
    return how;
}
