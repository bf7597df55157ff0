/* cmd_explain.c: `diffad explain`: a model's description: values, their meaning, what differs from its base. */
#include "base/file.h"
#include "cli.h"
#include "train/run.h"

#include <stdio.h>
#include <string.h>

enum { MAX_VALUES = 160 };

typedef struct value { char path[64], text[160]; } value;

typedef struct state {
    const cli *c;
    value      base[MAX_VALUES];
    int        n_base, at, differences;
    cli_json   j;
    cli_table  t;
} state;

static void keep_base(void *user, const char *path, const diffad_field *f, const char *text)
{
    state *s = user;
    (void)f;
    if (s->n_base == MAX_VALUES)
        return;
    snprintf(s->base[s->n_base].path, sizeof s->base[0].path, "%s", path);
    snprintf(s->base[s->n_base++].text, sizeof s->base[0].text, "%s", text);
}

static void show(void *user, const char *path, const diffad_field *f, const char *text)
{
    state      *s = user;
    const char *base = s->at < s->n_base && strcmp(s->base[s->at].path, path) == 0 ? s->base[s->at].text : NULL;
    const bool  differs = base && strcmp(base, text) != 0;
    s->at++;
    s->differences += differs;
    if (!differs && cli_has(s->c, "changes"))
        return;
    if (s->c->json) {
        cli_json_open(&s->j, NULL, '{');
        cli_json_text(&s->j, "name", path);
        cli_json_text(&s->j, "value", text);
        cli_json_text(&s->j, "base", differs ? base : NULL);
        cli_json_text(&s->j, "meaning", f->meaning);
        cli_json_close(&s->j, '}');
        return;
    }
    cli_cell(&s->t, "%s", differs ? "*" : "");
    cli_cell(&s->t, "%s", path);
    cli_cell(&s->t, "%s", text);
    if (differs)
        cli_cell(&s->t, "%s (base: %s)", f->meaning, base);
    else
        cli_cell(&s->t, "%s", f->meaning);
}

/* NAME is a run folder, a scale, or a variant; the base is the published description, for a variant diffad at the same
 * scale. */
static diffad_status describe(const cli *c, const char *name, diffad_desc *d, diffad_desc *base, const char **base_name)
{
    static const char *const scales[] = { "paper", "fast", "tiny" };
    const char *scale = cli_text(c, "scale", "paper"), *variant = name;
    *base      = diffad_desc_default();
    *base_name = "diffad at scale paper";
    if (diffad_path_is_dir(name)) {
        run_record record;
        return run_record_read(name, &record, d);
    }
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++)
        if (strcmp(name, scales[i]) == 0) {
            variant = "diffad";
            scale   = name;
        }
    DIFFAD_TRY(diffad_desc_named(variant, scale, d));
    if (strcmp(variant, "diffad") != 0) {
        *base_name = "diffad at the same scale";
        DIFFAD_TRY(diffad_desc_named("diffad", scale, base));
    }
    return diffad_desc_check(d);
}

static int run(cli *c)
{
    static state s;
    diffad_desc  d, base;
    const char  *base_name;
    const diffad_status st = describe(c, c->args[0], &d, &base, &base_name);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    s.c = c;
    s.t = cli_table_new(4, 0);
    diffad_config_walk(diffad_desc_fields, &base, keep_base, &s);
    if (c->json) {
        cli_json_open(&s.j, NULL, '{');
        cli_json_text(&s.j, "model", d.name);
        cli_json_text(&s.j, "compared_with", base_name);
        cli_json_open(&s.j, "values", '[');
    }
    diffad_config_walk(diffad_desc_fields, &d, show, &s);
    if (c->json) {
        cli_json_close(&s.j, ']');
        cli_json_int(&s.j, "differences", s.differences);
        cli_json_close(&s.j, '}');
        cli_json_print(&s.j);
        return 0;
    }
    cli_table_print(&s.t);
    cli_out("%d values differ from %s%s\n", s.differences, base_name, s.differences ? " (*)" : "");
    return 0;
}

static const cli_option options[] = {
    { "scale", 0, CLI_CHOICE, "paper|fast|tiny", 0, 0, "sizes laid over the variant (default paper)" },
    { "changes", 0, CLI_FLAG, NULL, 0, 0, "only what differs from the base" },
    { 0 },
};

const cli_command cmd_explain = {
    .name = "explain", .summary = "prints a model's description: values, meanings, differences from its base",
    .arguments = "VARIANT|SCALE|RUN", .least = 1, .most = 1, .options = options, .run = run,
    .details = "VARIANT is diffad, diffad_fr, diffad_c, diffad_no_inter, diffad_xa_inter or draem; RUN a folder\n"
               "that `diffad train` made. Any value can be set with `diffad train --set NAME=VALUE`.",
};
