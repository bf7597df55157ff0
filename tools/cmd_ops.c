/* cmd_ops.c: `diffad ops`: the table of ops: their ways, what runs where, which have gradients. */
#include "cli.h"
#include "op/ops.h"

#include <stdio.h>
#include <string.h>

static const char *layout_name(diffad_layout l)
{
    static const char *const names[] = { "plain", "any", "blocked", "mixed" };
    return names[l];
}

static const char *gradient_of(const diffad_op *op) { return op->grad ? "yes" : op->no_grad; }

static void print_json(const diffad_op *op)
{
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "op", op->name);
    cli_json_int(&j, "inputs", op->n_in);
    cli_json_int(&j, "outputs", op->n_out);
    cli_json_real(&j, "tolerance", op->tol, 6);
    cli_json_bool(&j, "gradient", op->grad != NULL);
    cli_json_text(&j, "no_gradient", op->grad ? NULL : op->no_grad);
    cli_json_int(&j, "cases", op->n_cases);
    cli_json_open(&j, "ways", '[');
    for (int w = 0; w < op->n_ways; w++) {
        cli_json_open(&j, NULL, '{');
        cli_json_text(&j, "way", op->ways[w].name);
        cli_json_text(&j, "layout", layout_name(op->ways[w].layout));
        cli_json_bool(&j, "portable", op->ways[w].is_portable);
        cli_json_close(&j, '}');
    }
    cli_json_close(&j, ']');
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

static void add_row(cli_table *t, const diffad_op *op, bool markdown)
{
    diffad_text ways = { 0 };
    for (int w = 0; w < op->n_ways; w++)
        diffad_text_addf(&ways, "%s%s (%s%s)", w ? ", " : "", op->ways[w].name, layout_name(op->ways[w].layout),
                         op->ways[w].is_portable ? ", portable" : "");
    cli_cell(t, markdown ? "`%s`" : "%s", op->name);
    cli_cell(t, "%s", op->is_alias ? "alias: no launch" : ways.s ? ways.s : "");
    cli_cell(t, "%.0e", op->tol);
    cli_cell(t, "%d", op->n_cases);
    cli_cell(t, "%s", gradient_of(op));
    diffad_text_release(&ways);
}

static int unknown_op(const cli *c, const diffad_op *const *table, int count)
{
    const char *names[256];
    int         n = 0;
    for (; n < count && n < 256; n++)
        names[n] = table[n]->name;
    const char *near = diffad_nearest(c->args[0], names, n);
    return cli_usage(c, "no op \"%s\"%s%s%s", c->args[0], near ? ": did you mean " : "", near ? near : "",
                     near ? "?" : "");
}

static bool is_wanted(const cli *c, const diffad_op *op) { return !c->n_args || strcmp(c->args[0], op->name) == 0; }

static int run(cli *c)
{
    static const char *const head[] = { "op", "ways", "tolerance", "cases", "gradient" };
    int        count;
    const bool markdown = cli_has(c, "markdown");
    const diffad_op *const *table = diffad_op_table(&count);
    if (c->n_args && !diffad_op_find(c->args[0]))
        return unknown_op(c, table, count);
    if (c->json) {
        for (int i = 0; i < count; i++)
            if (is_wanted(c, table[i]))
                print_json(table[i]);
        return 0;
    }
    cli_table t = cli_table_new(5, 1u << 2 | 1u << 3);
    for (int i = 0; i < 5; i++)
        cli_cell(&t, "%s", head[i]);
    for (int i = 0; i < count; i++)
        if (is_wanted(c, table[i]))
            add_row(&t, table[i], markdown);
    if (markdown)
        cli_table_markdown(&t);
    else
        cli_table_print(&t);
    return 0;
}

static const cli_option options[] = {
    { "markdown", 0, CLI_FLAG, NULL, 0, 0, "as a Markdown table" },
    { 0 },
};

const cli_command cmd_ops = {
    .name      = "ops",
    .summary   = "lists the ops, their ways and gradients",
    .arguments = "[OP]",
    .most      = 1,
    .options   = options,
    .run       = run,
    .details = "A way is one algorithm; it works on maps that are plain (row-major), blocked (in channel blocks),\n"
               "any, or mixed. A portable way needs OpenCL 1.2, 16 KiB of local memory and work-groups of 64.\n"
               "--json prints one line per op.",
};
