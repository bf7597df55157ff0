/* cmd_cache.c: `diffad cache info|clear`: the compiled kernels that are kept on disk. */
#include "base/sys.h"
#include "cli.h"
#include "kernel/program.h"

#include <string.h>

static int run(cli *c)
{
    const bool clear = strcmp(c->args[0], "clear") == 0;
    int64_t    entries, bytes;
    char       size[24];
    if (!clear && strcmp(c->args[0], "info") != 0)
        return cli_usage(c, "\"%s\": choose info or clear", c->args[0]);
    const diffad_status st = diffad_cache_scan(clear, &entries, &bytes);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    char *folder = diffad_cache_folder();
    if (c->json) {
        cli_json j = { .needs_comma = false };
        cli_json_open(&j, NULL, '{');
        cli_json_text(&j, "folder", folder);
        cli_json_int(&j, "entries", entries);
        cli_json_int(&j, "bytes", bytes);
        cli_json_bool(&j, "cleared", clear);
        cli_json_close(&j, '}');
        cli_json_print(&j);
    } else if (!folder) {
        cli_out("no kernel cache: DIFFAD_CACHE_DIR is empty, or there is no home folder\n");
    } else {
        cli_out("%s: %lld programs, %s%s\n", folder, (long long)entries,
                cli_bytes_text((double)bytes, size, sizeof size), clear ? ", removed" : "");
    }
    diffad_release(folder);
    return 0;
}

const cli_command cmd_cache = {
    .name      = "cache",
    .summary   = "shows or removes the compiled kernels that are kept on disk",
    .arguments = "info|clear",
    .least     = 1,
    .most      = 1,
    .run       = run,
    .details   = "The folder is DIFFAD_CACHE_DIR (empty: no cache), else diffad in XDG_CACHE_HOME or ~/.cache.\n"
                  "PoCL keeps its own instead: POCL_CACHE_DIR, else pocl in XDG_CACHE_HOME or ~/.cache.",
};
