/* diffad.c: the command: picks a sub-command. A new one is its file tools/cmd_x.c and one row here. */
#include "cli.h"

#include <unistd.h>

#define COMMANDS(X)                                                                                                    \
    X(devices)                                                                                                         \
    X(doctor) X(selftest) X(ops) X(explain) X(demo) X(data) X(train) X(eval) X(reproduce) X(detect) X(bench) X(tune) X(compare) X(convert) X(verify) X(cache)

#define DECLARE(name) extern const cli_command cmd_##name;
COMMANDS(DECLARE)
#undef DECLARE

#define ENTRY(name) &cmd_##name,
static const cli_command *const commands[] = { COMMANDS(ENTRY) NULL };
#undef ENTRY

int main(int argc, char **argv)
{
    cli c    = { 0 };
    int code = 2;
    cli_start();
    if (cli_parse(&c, argc - 1, argv + 1, commands, &code)) {
        cli_set_log_level(&c);
        if (c.command->can_stop)
            cli_catch_signals();
        code = c.command->run(&c);
        cli_progress_end();
    }
    cli_release(&c);
    cli_flush();
    cli_leaving();
    if (code == 10)      /* a driver that failed or hangs may do so again in what it runs at exit */
        _exit(code);
    return code;
}
