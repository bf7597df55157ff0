/* reproduce_plan.c: which runs a grid has, and what they share. */
#include "api/reproduce_internal.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/dataset.h"
#include "diffusion/diffusion.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const all_models[] = { "diffad", "diffad_fr", "diffad_c", "diffad_no_inter", "diffad_xa_inter", "draem", NULL };

static diffad_status no_memory(void) { return diffad_fail(DIFFAD_ERR_MEMORY, "reproduce: no host memory"); }

diffad_reproduce_options diffad_reproduce_options_default(void)
{
    return (diffad_reproduce_options){ .train = diffad_train_options_default(), .out = "reproduce" };
}

const int *grid_eval_steps(const diffad_reproduce *r, int *count)
{
    static const int five[] = { GRID_TIMED_STEPS };
    *count = r->o.eval_step_count > 0 ? r->o.eval_step_count : 1;
    return r->o.eval_step_count > 0 ? r->o.eval_steps : five;
}

char *grid_folder(const diffad_reproduce *r, const grid_cell *c) { return diffad_path_join(r->o.out, c->pub.folder); }

grid_cell *grid_add_cell(diffad_reproduce *r)
{
    grid_cell *c = diffad_arena_alloc(&r->arena, sizeof *c);
    if (!c || !diffad_grow(&r->cell, r->cells, &r->cell_capacity, sizeof *r->cell))
        return NULL;
    c->timed = NAN;
    return r->cell[r->cells++] = c;
}

/* ---- inputs ---- */

static diffad_status add_class(diffad_reproduce *r, const char *open_as)
{
    diffad_dataset *d;
    DIFFAD_TRY(diffad_dataset_open(r->o.train.data, open_as, &d));
    grid_class    c  = { .name = diffad_arena_strdup(&r->arena, diffad_dataset_class(d)) };
    diffad_status st = diffad_dataset_fingerprint(d, c.data);
    c.pictures = diffad_dataset_train_count(d);
    c.tests    = diffad_dataset_is_plain(d) ? diffad_dataset_holdout_count(d) : diffad_dataset_test_count(d);
    diffad_dataset_close(d);
    c.open_as = open_as ? diffad_arena_strdup(&r->arena, open_as) : NULL;
    for (int64_t i = 0; st == DIFFAD_OK && c.name && i < r->classes; i++)
        if (strcmp(r->class_[i].name, c.name) == 0)
            return DIFFAD_OK;
    if (st == DIFFAD_OK && (!c.name || (open_as && !c.open_as) || !diffad_grow(&r->class_, r->classes, &r->class_capacity, sizeof c)))
        st = no_memory();
    if (st == DIFFAD_OK)
        r->class_[r->classes++] = c;
    return st;
}

/* Every class folder in DATA; DATA itself where it is one, or a plain folder. */
static diffad_status add_all_classes(diffad_reproduce *r)
{
    char *names = diffad_layout_classes(r->o.train.data);
    if (!names)
        return no_memory();
    diffad_status st = *names ? DIFFAD_OK : add_class(r, NULL);
    for (char *at = names; st == DIFFAD_OK && *at;) {
        char *end = strstr(at, ", "), *next = end ? end + 2 : at + strlen(at);
        if (end)
            *end = '\0';
        st = add_class(r, at);
        at = next;
    }
    diffad_release(names);
    return st;
}

static diffad_status fingerprint_textures(diffad_reproduce *r)
{
    train_run       run = { .options = r->o.train };
    char           *found = NULL;
    diffad_dataset *d;
    diffad_status   st = train_find_textures(&run, r->o.train.data, &found);
    if (st == DIFFAD_OK && run.options.textures) {
        st = diffad_dataset_scan_tree(run.options.textures, &d);
        if (st == DIFFAD_OK) {
            st = diffad_dataset_fingerprint(d, r->textures);
            diffad_dataset_close(d);
        }
    }
    diffad_release(found);
    return st;
}

static diffad_status fingerprint_lpips(diffad_reproduce *r)
{
    if (!r->o.train.lpips)
        return DIFFAD_OK;
    diffad_hasher *h = diffad_hasher_new();
    diffad_status  st = h ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "fingerprint: no host memory");
    for (const char *const *path = r->o.train.lpips; st == DIFFAD_OK && *path; path++) {
        unsigned char *data;
        int64_t        bytes;
        st = diffad_file_read(*path, (int64_t)4 << 30, DIFFAD_ERR_CHECKPOINT, &data, &bytes);
        if (st == DIFFAD_OK) {
            diffad_hasher_add(h, data, (size_t)bytes);
            diffad_release(data);
        }
    }
    if (st == DIFFAD_OK)
        snprintf(r->lpips, sizeof r->lpips, "%016llx", (unsigned long long)diffad_hasher_take64(h));
    diffad_hasher_release(h);
    return st;
}

static diffad_status fingerprint_inputs(diffad_reproduce *r)
{
    if (r->o.classes)
        for (const char *const *c = r->o.classes; *c; c++)
            DIFFAD_TRY(add_class(r, *c));
    else
        DIFFAD_TRY(add_all_classes(r));
    DIFFAD_TRY(fingerprint_textures(r));
    return fingerprint_lpips(r);
}

/* ---- cells ---- */

static const char *class_folder(const diffad_reproduce *r, const grid_cell *c)
{
    for (int64_t i = 0; i < r->classes; i++)
        if (strcmp(r->class_[i].name, c->pub.class_name) == 0)
            return r->class_[i].open_as;
    return c->pub.class_name;
}

diffad_train_options grid_train_options(const diffad_reproduce *r, const grid_cell *c, const char *folder)
{
    diffad_train_options o = r->o.train;
    o.class_name = class_folder(r, c);
    o.model      = c->pub.model;
    o.sets       = c->sets;
    o.out        = folder;
    o.stages     = "all";
    o.from       = NULL;
    o.resume     = true;
    o.seed       = c->pub.seed;
    o.progress   = NULL;
    o.note       = NULL;
    return o;
}

static diffad_status check_steps(const diffad_desc *d, int steps)
{
    diffad_schedule s;
    diffad_ddim_row *rows;
    int              n;
    if (d->kind == DESC_KIND_DRAEM)
        return DIFFAD_OK;
    DIFFAD_TRY(diffad_schedule_create(d->diffusion.timesteps, d->diffusion.linear_start, d->diffusion.linear_end, &s));
    const diffad_status st = diffad_ddim_rows(&s, steps, 0, d->start_time, &rows, &n);
    if (st == DIFFAD_OK)
        diffad_release(rows);
    diffad_schedule_release(&s);
    return st;
}

/* The options' assignments, and the number of steps where it is not the description's own. */
static const char *const *make_sets(diffad_reproduce *r, int steps)
{
    const char *const *given = r->o.train.sets;
    int                n = 0;
    char               text[64];
    while (given && given[n])
        n++;
    const char **list = diffad_arena_alloc(&r->arena, ((size_t)n + 2) * sizeof *list);
    for (int i = 0; list && i < n; i++)
        list[i] = given[i];
    if (list && steps) {
        snprintf(text, sizeof text, "train_sampler_steps=%d", steps);
        list[n] = diffad_arena_strdup(&r->arena, text);
        if (!list[n])
            return NULL;
    }
    return list;
}

static grid_cell *find_cell(const diffad_reproduce *r, const char *folder)
{
    for (int64_t i = 0; i < r->cells; i++)
        if (strcmp(r->cell[i]->pub.folder, folder) == 0)
            return r->cell[i];
    return NULL;
}

static diffad_status hash_description(const diffad_desc *d, char hex[17])
{
    char *text = diffad_config_to_json(diffad_desc_fields, d);
    if (!text)
        return no_memory();
    snprintf(hex, 17, "%016llx", (unsigned long long)diffad_hash64(text, strlen(text)));
    diffad_release(text);
    return DIFFAD_OK;
}

/* A new cell, or the recorded one of the same folder when it is of the same description. */
static diffad_status take_cell(diffad_reproduce *r, const grid_cell *wanted, const diffad_desc *d)
{
    const train_stage *list[RUN_STAGES];
    grid_cell         *c = find_cell(r, wanted->pub.folder);
    if (c && strcmp(c->description, wanted->description) != 0)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s/%s was trained with another description: repeat its options or choose another --out", r->o.out,
                    c->pub.folder);
    if (!c) {
        char *folder = diffad_arena_strdup(&r->arena, wanted->pub.folder);
        if (!folder || !(c = grid_add_cell(r)))
            return no_memory();
        *c = *wanted;
        c->pub.folder = folder;
    }
    c->pub.is_wanted = true;
    c->sets          = wanted->sets;
    c->pub.stages    = run_stages_of(d, list);
    for (int i = 0; i < c->pub.stages; i++) {
        c->pub.stage[i].name  = list[i]->name;
        c->pub.stage[i].steps = train_recipe(d, list[i])->steps;
        c->key[i]             = run_stage_key(d, list[i]);
    }
    return DIFFAD_OK;
}

/* steps 0: the description's own. */
static diffad_status add_cell(diffad_reproduce *r, const grid_class *of, uint64_t seed, const char *model, int steps)
{
    grid_cell   c = { .timed = NAN };
    diffad_desc d;
    char        folder[1024];
    int         n, used;
    c.pub.class_name = of->name;
    c.pub.model      = model;
    c.pub.seed       = seed;
    if (!(c.sets = make_sets(r, 0)))
        return no_memory();
    diffad_train_options base = grid_train_options(r, &c, "");
    base.note = r->is_noted ? NULL : r->o.train.note;      /* said once */
    r->is_noted = true;
    DIFFAD_TRY(train_describe(&base, &d));
    const bool is_own = d.kind == DESC_KIND_DRAEM || steps == 0 || steps == d.train_sampler_steps;
    if (!is_own) {
        if (!(c.sets = make_sets(r, steps)))
            return no_memory();
        const diffad_train_options o = grid_train_options(r, &c, "");
        DIFFAD_TRY(train_describe(&o, &d));
    }
    c.pub.train_steps = d.kind == DESC_KIND_DRAEM ? 0 : d.train_sampler_steps;
    used = snprintf(folder, sizeof folder, "%s/seed%llu/%s", of->name, (unsigned long long)seed, model);
    if (!is_own)
        used += snprintf(folder + used, sizeof folder - (size_t)used, "_steps%d", steps);
    if (used >= (int)sizeof folder)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "class %.60s...: the name is too long for a folder", of->name);
    DIFFAD_TRY(check_steps(&d, d.train_sampler_steps));
    const int *eval = grid_eval_steps(r, &n);
    for (int i = 0; i < n; i++)
        DIFFAD_TRY(check_steps(&d, eval[i]));
    diffad_desc_count_steps(&d, of->pictures);
    DIFFAD_TRY(hash_description(&d, c.description));
    c.pub.folder = folder;
    return take_cell(r, &c, &d);
}

/* The numbers of steps of one model. */
static diffad_status add_model(diffad_reproduce *r, const grid_class *of, uint64_t seed, const char *model)
{
    static const int of_table_4[] = { 0, 10, 20 };      /* 0: the description's own, in the paper 50 */
    const bool       is_given = r->o.train_step_count > 0;
    const int        n = is_given ? r->o.train_step_count : strcmp(model, "diffad") == 0 ? 3 : 1;
    for (int i = 0; i < n; i++)
        DIFFAD_TRY(add_cell(r, of, seed, model, is_given ? r->o.train_steps[i] : of_table_4[i]));
    return DIFFAD_OK;
}

static diffad_status add_cells(diffad_reproduce *r)
{
    static const uint64_t zero = 0;
    const uint64_t       *seeds = r->o.seed_count > 0 ? r->o.seeds : &zero;
    const int             n = r->o.seed_count > 0 ? r->o.seed_count : 1;
    for (int64_t i = 0; i < r->classes; i++)
        for (int s = 0; s < n; s++)
            for (const char *const *m = r->o.models ? r->o.models : all_models; *m; m++)
                DIFFAD_TRY(add_model(r, &r->class_[i], seeds[s], *m));
    return DIFFAD_OK;
}

/* ---- what is there, what is shared ---- */

const grid_eval *grid_find_eval(const grid_cell *c, int steps)
{
    for (int64_t i = 0; i < c->evals; i++)
        if (c->eval[i].steps == steps || c->pub.train_steps == 0)
            return &c->eval[i];
    return NULL;
}

bool grid_is_done(const diffad_reproduce *r, const grid_cell *c)
{
    int        n;
    const int *steps = grid_eval_steps(r, &n);
    bool       all = true;
    for (int i = 0; i < n; i++)
        all = all && grid_find_eval(c, steps[i]);
    return all && c->pub.state != DIFFAD_CELL_FAILED;
}

static bool has_stage(const diffad_reproduce *r, const grid_cell *c, int i)
{
    char      *folder = grid_folder(r, c);
    const bool yes = folder && run_has_stage(folder, run_stage_named(c->pub.stage[i].name));
    diffad_release(folder);
    return yes;
}

static bool could_share(const grid_cell *a, const grid_cell *b, int i)
{
    return a != b && i < b->pub.stages && a->key[i] && a->key[i] == b->key[i] && a->pub.seed == b->pub.seed &&
           strcmp(a->pub.class_name, b->pub.class_name) == 0 && strcmp(a->pub.stage[i].name, b->pub.stage[i].name) == 0;
}

const grid_cell *grid_stage_owner(const diffad_reproduce *r, const grid_cell *c, int i)
{
    for (int64_t k = 0; k < r->cells; k++)
        if (could_share(c, r->cell[k], i) && has_stage(r, r->cell[k], i))
            return r->cell[k];
    return NULL;
}

/* What earlier cells of this grid will have trained by then. */
static const grid_cell *coming_owner(const diffad_reproduce *r, const grid_cell *c, int i)
{
    for (int64_t k = 0; r->cell[k] != c; k++)
        if (could_share(c, r->cell[k], i) && r->cell[k]->pub.is_wanted && r->cell[k]->pub.state != DIFFAD_CELL_DONE)
            return r->cell[k];
    return NULL;
}

const char *grid_trainer(const grid_cell *owner, int i)
{
    return !owner ? NULL : owner->pub.stage[i].from ? owner->pub.stage[i].from : owner->pub.folder;
}

static void plan_stages(diffad_reproduce *r, grid_cell *c)
{
    for (int i = 0; i < c->pub.stages; i++) {
        diffad_cell_stage *s = &c->pub.stage[i];
        s->is_done = c->pub.state == DIFFAD_CELL_DONE || has_stage(r, c, i);
        if (s->is_done)
            continue;
        const grid_cell *owner = grid_stage_owner(r, c, i);
        s->from = grid_trainer(owner ? owner : coming_owner(r, c, i), i);
    }
}

diffad_status grid_make(diffad_reproduce *r)
{
    DIFFAD_TRY(fingerprint_inputs(r));
    DIFFAD_TRY(grid_read(r));
    DIFFAD_TRY(add_cells(r));
    const diffad_cell **list = diffad_arena_alloc(&r->arena, ((size_t)r->cells + 1) * sizeof *list);
    if (!list)
        return no_memory();
    for (int64_t k = 0; k < r->cells; k++) {
        grid_cell *c = r->cell[k];
        if (c->pub.is_wanted)
            c->pub.state = grid_is_done(r, c) ? DIFFAD_CELL_DONE : DIFFAD_CELL_WAITING;
        list[k] = &c->pub;
    }
    for (int64_t k = 0; k < r->cells; k++)
        if (r->cell[k]->pub.is_wanted)
            plan_stages(r, r->cell[k]);
    r->plan.cell  = list;
    r->plan.count = (int)r->cells;
    DIFFAD_TRY(grid_estimate(r));
    grid_count(r);
    return DIFFAD_OK;
}
