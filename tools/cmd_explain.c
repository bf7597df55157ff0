/* cmd_explain.c: `diffad explain`: a model's description: values, their meaning, what differs from its base. */
#include "base/file.h"
#include "cli.h"
#include "train/rules.h"
#include "train/run.h"

#include <stdio.h>
#include <string.h>

enum { MAX_VALUES = 160 };

typedef struct value { char path[64], text[160]; } value;

/* What is explained, and what it is compared with. */
typedef struct subject {
    diffad_desc  d, base;
    diffad_trail trail;
    const char  *base_name, *run;      /* run: the folder, or NULL */
} subject;

typedef struct state {
    const cli     *c;
    const subject *of;
    value          base[MAX_VALUES];
    int            n_base, at, differences;
    cli_json       j;
    cli_table      t;
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
    const char *source = diffad_trail_source(&s->of->trail, path);
    const bool  differs = base && strcmp(base, text) != 0;
    if (s->of->run && differs)
        source = "run.json";
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
        cli_json_text(&s->j, "source", source);
        cli_json_close(&s->j, '}');
        return;
    }
    cli_cell(&s->t, "%s", differs ? "*" : "");
    cli_cell(&s->t, "%s", path);
    cli_cell(&s->t, "%s", text);
    if (differs)
        cli_cell(&s->t, "%s (base: %s) [%s]", f->meaning, base, source);
    else
        cli_cell(&s->t, "%s [%s]", f->meaning, source);
}

/* A run is compared with the variant and scale that it names. */
static diffad_status describe_run(const char *folder, subject *of)
{
    run_record record;
    of->run       = folder;
    of->base_name = "the model and scale that the run names";
    DIFFAD_TRY(run_record_read(folder, &record, &of->d));
    return diffad_desc_layers(record.model, record.scale, NULL, NULL, &of->base, &of->trail);
}

/* NAME is a run folder, a configuration file, a scale, or a variant; the base is the published description, for a variant
 * diffad at the same scale. */
static diffad_status describe(const cli *c, const char *name, subject *of)
{
    static const char *const scales[] = { "paper", "fast", "tiny" };
    const char *scale = cli_text(c, "scale", "paper"), *variant = name;
    const char *file[] = { NULL, NULL };
    of->base_name = "diffad at scale paper";
    if (diffad_path_is_dir(name))
        return describe_run(name, of);
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++)
        if (strcmp(name, scales[i]) == 0) {
            variant = "diffad";
            scale   = name;
        }
    const size_t n = strlen(name);
    if (diffad_path_exists(name) || (n > 5 && strcmp(name + n - 5, ".yaml") == 0)) {
        file[0] = name;
        variant = "diffad";
    }
    const char *const *files = file[0] ? file : cli_list(c, "config");
    DIFFAD_TRY(diffad_desc_layers(variant, scale, files, cli_list(c, "set"), &of->d, &of->trail));
    DIFFAD_TRY(diffad_desc_default(&of->base));
    if (strcmp(variant, "diffad") != 0) {
        of->base_name = "diffad at the same scale";
        DIFFAD_TRY(diffad_desc_named("diffad", scale, &of->base));
    }
    return diffad_desc_check(&of->d);
}

static void show_rules(state *s)
{
    cli_table t = cli_table_new(2, 0);
    if (s->c->json)
        cli_json_open(&s->j, "rules", '[');
    for (const train_rule *r = train_rules; r->name; r++) {
        if (!(s->of->d.kind == DESC_KIND_DRAEM ? r->of_draem : r->of_diffad))
            continue;
        if (s->c->json) {
            cli_json_open(&s->j, NULL, '{');
            cli_json_text(&s->j, "name", r->name);
            cli_json_text(&s->j, "says", r->says);
            cli_json_text(&s->j, "source", r->source);
            cli_json_close(&s->j, '}');
            continue;
        }
        cli_cell(&t, "%s", r->name);
        cli_cell(&t, "%s [%s]", r->says, r->source);
    }
    if (s->c->json) {
        cli_json_close(&s->j, ']');
        return;
    }
    cli_out("\nRules that no value changes:\n");
    cli_table_print(&t);
}

static void print(state *s)
{
    const subject *of = s->of;
    const char    *about = of->trail.about ? of->trail.about : "";
    if (s->c->json) {
        cli_json_open(&s->j, NULL, '{');
        cli_json_text(&s->j, "model", of->d.name);
        cli_json_text(&s->j, "about", about);
        cli_json_text(&s->j, "compared_with", of->base_name);
        cli_json_open(&s->j, "values", '[');
        diffad_config_walk(diffad_desc_fields, &of->d, show, s);
        cli_json_close(&s->j, ']');
        if (!cli_has(s->c, "changes"))
            show_rules(s);
        cli_json_int(&s->j, "differences", s->differences);
        cli_json_close(&s->j, '}');
        cli_json_print(&s->j);
        return;
    }
    cli_out("%s\n\n", about);
    diffad_config_walk(diffad_desc_fields, &of->d, show, s);
    cli_table_print(&s->t);
    cli_out("%d values differ from %s%s\n", s->differences, of->base_name, s->differences ? " (*)" : "");
    if (!cli_has(s->c, "changes"))
        show_rules(s);
}

static int run(cli *c)
{
    static state   s;
    static subject of;
    const diffad_status st = describe(c, c->args[0], &of);
    for (const diffad_trail_row *n = of.trail.notes; n; n = n->next)
        cli_note(c, "%s", n->text);
    if (st == DIFFAD_OK) {
        s.c  = c;
        s.of = &of;
        s.t  = cli_table_new(4, 0);
        diffad_config_walk(diffad_desc_fields, &of.base, keep_base, &s);
        print(&s);
    }
    diffad_trail_release(&of.trail);
    return st == DIFFAD_OK ? 0 : cli_fail(st);
}

static const cli_option options[] = {
    { "scale", 0, CLI_CHOICE, "paper|fast|tiny", 0, 0, "sizes laid over the variant (default paper)" },
    { "config", 0, CLI_LIST, "FILE", 0, 0, "YAML laid over the variant, own or published; several in order" },
    { "set", 0, CLI_LIST, "NAME=VALUE", 0, 0, "one value, as in train" },
    { "changes", 0, CLI_FLAG, NULL, 0, 0, "only what differs from the base" },
    { 0 },
};

const cli_command cmd_explain = {
    .name = "explain", .summary = "prints a model's description: values, meanings, sources, differences from its base",
    .arguments = "VARIANT|SCALE|RUN|FILE", .least = 1, .most = 1, .options = options, .run = run,
    .details = "VARIANT is diffad, diffad_fr, diffad_c, diffad_no_inter, diffad_xa_inter or draem; RUN a folder\n"
               "that `diffad train` made; FILE a YAML file as train --config takes it, the published kl.yaml and\n"
               "mvtec.yaml among them. A value's source stands in brackets. Any value can be set with\n"
               "`diffad train --set NAME=VALUE`.",
};
