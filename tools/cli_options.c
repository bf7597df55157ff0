/* cli_options.c: command lines from tables: parsing, help, hints. */
#include "base/sys.h"
#include "cli.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const cli_option global_options[] = {
    { "device", 0, CLI_LIST, "WHICH", 0, 0,
      "P:D, gpu, cpu, a vendor, or part of a name (DIFFAD_DEVICE; default: the best)" },
    { "seed", 0, CLI_INT, "N", 0, 9.2e18, "of all random numbers (default 0)" },
    { "json", 0, CLI_FLAG, NULL, 0, 0, "results as JSON" },
    { "quiet", 'q', CLI_FLAG, NULL, 0, 0, "errors only on stderr" },
    { "verbose", 'v', CLI_FLAG, NULL, 0, 0, "more on stderr; twice: everything" },
    { "help", 'h', CLI_FLAG, NULL, 0, 0, "this text" },
    { "version", 0, CLI_FLAG, NULL, 0, 0, "the version" },
    { 0 },
};

enum { GLOBALS = sizeof global_options / sizeof global_options[0] - 1 };

static const cli_option *option_at(const cli_command *command, int i)
{
    if (i < GLOBALS)
        return &global_options[i];
    for (int k = 0; command && command->options && command->options[k].name; k++)
        if (k == i - GLOBALS)
            return &command->options[k];
    return NULL;
}

/* Place in the tables, or -1. */
static int find_option(const cli_command *command, const char *name, size_t length, char letter)
{
    const cli_option *o;
    for (int i = 0; (o = option_at(command, i)); i++)
        if (letter ? o->letter == letter : strlen(o->name) == length && strncmp(o->name, name, length) == 0)
            return i;
    return -1;
}

/* ---- help ---- */

static void print_options(const cli_option *o)
{
    char name[64];
    for (; o->name; o++) {
        const int n =
            snprintf(name, sizeof name, "%c%c%s--%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                     o->letter ? ", " : "  ", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        cli_out("  %-30s%s%s\n", name, n > 29 ? "\n                                " : "", o->help);
    }
}

static void print_command_help(const cli_command *k)
{
    cli_out("usage: diffad %s%s%s%s\n\n%s\n", k->name, k->options ? " [options]" : "", *k->arguments ? " " : "",
            k->arguments, k->summary);
    if (k->details)
        cli_out("\n%s\n", k->details);
    if (k->options) {
        cli_out("\noptions:\n");
        print_options(k->options);
    }
    cli_out("\nof every command:\n");
    print_options(global_options);
}

static void print_help(const cli_command *const *commands)
{
    cli_out(
        "usage: diffad COMMAND [options] [arguments]\n\n"
        "Unsupervised detection of surface anomalies with latent diffusion, "
        "on OpenCL devices.\n\ncommands:\n");
    for (; *commands; commands++)
        cli_out("  %-10s %s\n", (*commands)->name, (*commands)->summary);
    cli_out("\n`diffad COMMAND --help` describes a command. Of every command:\n");
    print_options(global_options);
    cli_out("\nexit codes: 0 done, 1 the answer is no, 2 usage, 3 input data, 4 checkpoint, 5 no device, 6 memory,\n"
            "7 file system, 8 numerics, 10 device or driver, 130 and 143 stopped after saving\n");
}

/* ---- parsing ---- */

static const cli_command *find_command(const cli_command *const *commands, const char *name)
{
    for (; *commands; commands++)
        if (strcmp((*commands)->name, name) == 0)
            return *commands;
    return NULL;
}

static void unknown_command(const cli_command *const *commands, const char *name)
{
    const char *names[CLI_MAX_OPTIONS];
    int         n = 0;
    for (; commands[n] && n < CLI_MAX_OPTIONS; n++)
        names[n] = commands[n]->name;
    const char *near = diffad_nearest(name, names, n);
    cli_error("no command \"%s\"%s%s%s; `diffad --help` lists them", name, near ? ": did you mean " : "",
              near ? near : "", near ? "?" : "");
}

static void unknown_option(const cli_command *command, const char *name)
{
    const char       *names[CLI_MAX_OPTIONS];
    const cli_option *o;
    int               n = 0;
    for (; (o = option_at(command, n)); n++)
        names[n] = o->name;
    const char *near = diffad_nearest(name, names, n);
    cli_error("%s%sno option \"--%s\"%s%s%s; see `diffad %s%s--help`", command ? command->name : "",
              command ? ": " : "", name, near ? ": did you mean --" : "", near ? near : "", near ? "?" : "",
              command ? command->name : "", command ? " " : "");
}

static bool is_choice(const char *choices, const char *value)
{
    const size_t n = strlen(value);
    for (const char *at = choices; n; at++) {
        const size_t length = strcspn(at, "|");
        if (length == n && strncmp(at, value, n) == 0)
            return true;
        at += length;
        if (!*at)
            break;
    }
    return false;
}

static bool check_value(const cli_command *command, const cli_option *o, const char *value)
{
    const char *of = command ? command->name : "diffad";
    int64_t     i  = 0;
    double      r  = 0;
    if (o->kind == CLI_CHOICE && !is_choice(o->argument, value)) {
        cli_error("%s: --%s \"%s\": choose from %s", of, o->name, value, o->argument);
        return false;
    }
    if ((o->kind == CLI_INT && !diffad_parse_i64(value, &i)) || (o->kind == CLI_REAL && !diffad_parse_f64(value, &r)) ||
        (o->kind == CLI_BYTES && !diffad_parse_bytes(value, &i))) {
        cli_error("%s: --%s \"%s\" is not %s", of, o->name, value,
                  o->kind == CLI_INT    ? "a whole number"
                  : o->kind == CLI_REAL ? "a number"
                                        : "a size such as 512M or 4G");
        return false;
    }
    if (o->kind == CLI_INT)
        r = (double)i;
    if ((o->kind == CLI_INT || o->kind == CLI_REAL) && (o->lo != 0 || o->hi != 0) && (r < o->lo || r > o->hi)) {
        cli_error("%s: --%s %s is out of range: %.10g to %.10g", of, o->name, value, o->lo, o->hi);
        return false;
    }
    return true;
}

static bool add_to_list(cli *c, int at, const char *value)
{
    int n = 0;
    while (c->lists[at] && c->lists[at][n])
        n++;
    const char **more = diffad_resize_array(c->lists[at], (size_t)n + 2, sizeof *more);
    if (!more)
        return false;
    more[n]      = value;
    more[n + 1]  = NULL;
    c->lists[at] = more;
    return true;
}

static bool set_option(cli *c, int at, const char *value)
{
    const cli_option *o = option_at(c->command, at);
    c->values[at] = value ? value : "";
    if (o->kind == CLI_FLAG) {
        c->verbose += o->letter == 'v';
        return true;
    }
    if (!check_value(c->command, o, value))
        return false;
    if (o->kind == CLI_LIST && !add_to_list(c, at, value)) {
        cli_error("no memory for the options");
        return false;
    }
    return true;
}

/* One option at argv[*i]; the value may be the next word. */
static bool parse_long(cli *c, int argc, char **argv, int *i)
{
    const char  *name   = argv[*i] + 2;
    const size_t length = strcspn(name, "=");
    const int    at     = find_option(c->command, name, length, 0);
    const char  *value  = name[length] ? name + length + 1 : NULL;
    if (at < 0) {
        char shown[64];
        snprintf(shown, sizeof shown, "%.*s", (int)(length < 60 ? length : 60), name);
        unknown_option(c->command, shown);
        return false;
    }
    const cli_option *o = option_at(c->command, at);
    if (o->kind == CLI_FLAG && value) {
        cli_error("--%s takes no value", o->name);
        return false;
    }
    if (o->kind != CLI_FLAG && !value) {
        if (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0) {
            cli_error("--%s needs a value: %s%s", o->name, o->argument,
                      *i + 1 < argc ? "; one that begins with \"--\" is given behind an \"=\"" : "");
            return false;
        }
        value = argv[++*i];
    }
    return set_option(c, at, value);
}

static bool parse_short(cli *c, const char *letters)
{
    for (; *letters; letters++) {
        const int at = find_option(c->command, NULL, 0, *letters);
        if (at < 0 || option_at(c->command, at)->kind != CLI_FLAG) {
            cli_error("no option \"-%c\"; see `diffad %s%s--help`", *letters, c->command ? c->command->name : "",
                      c->command ? " " : "");
            return false;
        }
        set_option(c, at, NULL);
    }
    return true;
}

static bool parse_all(cli *c, int argc, char **argv, const cli_command *const *commands)
{
    bool only_arguments = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!only_arguments && strcmp(word, "--") == 0) {
            only_arguments = true;
        } else if (!only_arguments && strncmp(word, "--", 2) == 0) {
            if (!parse_long(c, argc, argv, &i))
                return false;
        } else if (!only_arguments && word[0] == '-' && word[1] && !(word[1] >= '0' && word[1] <= '9')) {
            if (!parse_short(c, word + 1))
                return false;
        } else if (!c->command) {
            if (!(c->command = find_command(commands, word))) {
                unknown_command(commands, word);
                return false;
            }
        } else {
            c->args[c->n_args++] = word;
        }
    }
    return true;
}

bool cli_parse(cli *c, int argc, char **argv, const cli_command *const *commands, int *code)
{
    const bool asks_help = argc > 0 && strcmp(argv[0], "help") == 0;
    *code   = 2;
    c->args = diffad_alloc_array((size_t)argc + 1, sizeof *c->args);
    if (!c->args) {
        cli_error("no memory for the arguments");
        *code = 6;
        return false;
    }
    if (!parse_all(c, argc - asks_help, argv + asks_help, commands))
        return false;
    c->json   = cli_has(c, "json");
    c->quiet  = cli_has(c, "quiet");
    c->device = cli_text(c, "device", NULL);
    c->seed   = (uint64_t)cli_int(c, "seed", 0);
    if (cli_has(c, "version")) {
        cli_out("diffad %s\n", DIFFAD_VERSION);
        *code = 0;
    } else if (asks_help || cli_has(c, "help")) {
        if (c->command)
            print_command_help(c->command);
        else
            print_help(commands);
        *code = 0;
    } else if (!c->command) {
        cli_error("which command? `diffad --help` lists them");
    } else if (c->n_args < c->command->least || (c->command->most >= 0 && c->n_args > c->command->most)) {
        cli_error("usage: diffad %s [options] %s; see `diffad %s --help`", c->command->name, c->command->arguments,
                  c->command->name);
    } else {
        return true;
    }
    return false;
}

void cli_release(cli *c)
{
    for (int i = 0; i < CLI_MAX_OPTIONS; i++)
        diffad_release(c->lists[i]);
    diffad_release(c->args);
}

/* ---- values ---- */

static int place(const cli *c, const char *name)
{
    const int at = find_option(c->command, name, strlen(name), 0);
    assert(at >= 0 && at < CLI_MAX_OPTIONS);
    return at;
}

bool cli_knows(const cli *c, const char *name) { return find_option(c->command, name, strlen(name), 0) >= 0; }
bool cli_has(const cli *c, const char *name) { return c->values[place(c, name)] != NULL; }

const char *cli_text(const cli *c, const char *name, const char *otherwise)
{
    const char *v = c->values[place(c, name)];
    return v ? v : otherwise;
}

int64_t cli_int(const cli *c, const char *name, int64_t otherwise)
{
    const int         at = place(c, name);
    const cli_option *o  = option_at(c->command, at);
    int64_t           v  = otherwise;
    if (c->values[at])
        o->kind == CLI_BYTES ? diffad_parse_bytes(c->values[at], &v) : diffad_parse_i64(c->values[at], &v);
    return v;
}

double cli_real(const cli *c, const char *name, double otherwise)
{
    double      v = otherwise;
    const char *s = c->values[place(c, name)];
    if (s)
        diffad_parse_f64(s, &v);
    return v;
}

const char *const *cli_list(const cli *c, const char *name) { return c->lists[place(c, name)]; }
