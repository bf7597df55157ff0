/* memory.c: what a stage holds in device memory, and how it keeps within options.max_memory: first the gradients make forward
 * values again (diffad_plan_options.max_bytes: the same bits), then, where the loss is a mean over pictures that do not see
 * each other, a batch is split in parts whose gradients are added up (the same to rounding). */
#include "base/sys.h"
#include "train/run.h"

static const diffad_plan_options sizes = { .sizes_only = true };
static const double              MIB = 1 << 20;

void train_hold(train_holding *h, const diffad_plan *p)
{
    h->shared = diffad_plan_bytes(p) > h->shared ? diffad_plan_bytes(p) : h->shared;
    h->fixed += diffad_plan_fixed_bytes(p);
}

/* ---- what stays ---- */

static size_t state_bytes(train_job *j, int64_t *parameters)
{
    diffad_params *list[TRAIN_MAX_LISTS];
    const char    *prefix[TRAIN_MAX_LISTS];
    const unsigned keeps = train_keeps(j);
    const int64_t  copies = 1 + (keeps & DIFFAD_WITH_MOMENTS ? 2 : 0) + (keeps & DIFFAD_WITH_SHADOW ? 1 : 0) + (keeps & DIFFAD_WITH_SUM ? 1 : 0);
    const int      n = j->stage->parts(j, list, prefix);
    int64_t        values = 0;
    *parameters = 0;
    for (int i = 0; i < n; i++) {
        const int64_t trained = diffad_params_elements(list[i], true);
        values += trained * copies + diffad_params_elements(list[i], false) - trained;
        *parameters += i == 0 || j->run->desc.kind == DESC_KIND_DRAEM ? trained : 0;
    }
    return (size_t)values * sizeof(float);
}

/* What earlier stages leave in memory: weights, and averaged ones. */
static size_t frozen_bytes(const train_run *r, const train_stage *s)
{
    int64_t values = s == &train_stage_vae || s == &train_stage_draem ? 0 : diffad_params_elements(r->autoencoder, false);
    if (s == &train_stage_seg)
        values += diffad_params_elements(r->unet, false) * (r->desc.train.ema_decay > 0 ? 2 : 1);
    return (size_t)values * sizeof(float) + (r->lpips ? (size_t)diffad_params_elements(r->lpips, false) * sizeof(float) : 0);
}

size_t train_kept_bytes(train_job *j, int64_t *parameters) { return state_bytes(j, parameters) + frozen_bytes(j->run, j->stage); }

/* The plan that encodes the latent stage's pictures. */
static diffad_status hold_posteriors(train_job *j, train_holding *h)
{
    train_posteriors *p = NULL;
    DIFFAD_TRY(train_posteriors_create(j, &sizes, &p));
    train_hold(h, train_posteriors_plan(p));
    train_posteriors_destroy(p);
    return DIFFAD_OK;
}

/* The plans that make what the steps take: the segmenter's pictures, the latent stage's posteriors. */
static diffad_status hold_pictures(train_job *j, train_holding *h)
{
    train_run     *r = j->run;
    diffad_latent *l = NULL;
    if (j->stage == &train_stage_ldm && !j->encodes_inside)
        return hold_posteriors(j, h);
    if (j->stage != &train_stage_seg)
        return DIFFAD_OK;
    DIFFAD_TRY(diffad_latent_create(r->dev, &r->desc, 1, r->autoencoder, r->unet, j->pictures, &sizes, &l));
    train_hold(h, l->encode.plan);
    train_hold(h, l->denoise.plan);
    train_hold(h, l->decode.plan);
    diffad_latent_destroy(l);
    return DIFFAD_OK;
}

/* ---- within a limit ---- */

static diffad_status size_of(train_job *j, int phase, bool is_last, size_t max_bytes, size_t *fixed)
{
    diffad_road         road = { NULL, NULL };
    diffad_plan_options o = sizes;
    o.max_bytes = max_bytes;
    diffad_status st = diffad_graph_create(&road.graph);
    if (st == DIFFAD_OK) {
        j->stage->build(j, phase, is_last, road.graph);
        st = diffad_plan_create(j->run->dev, road.graph, &o, &road.plan);
    }
    if (st == DIFFAD_OK)
        *fixed = diffad_plan_fixed_bytes(road.plan);
    diffad_road_release(&road);
    return st;
}

/* Room for each plan of a phase: what is left beside all that stays, its own part of it not counted. */
static diffad_status find_room(train_job *j, int phase, size_t most, size_t kept, const train_holding *pictures)
{
    const int first = j->recipe->accumulate > 1 ? 0 : 1;
    size_t    fixed[2] = { 0, 0 };
    for (int k = first; k < 2; k++)
        DIFFAD_TRY(size_of(j, phase, k, 0, &fixed[k]));
    const size_t all = kept + pictures->fixed + fixed[0] + fixed[1];
    if (all + pictures->shared >= most)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "weights, what the optimiser keeps%s and inputs take %.1f MiB", pictures->fixed ? ", the plans that make pictures" : "",
                    (double)(all + pictures->shared) / MIB);
    for (int k = first; k < 2; k++) {
        j->room[phase][k] = most - (all - fixed[k]);
        const diffad_status st = size_of(j, phase, k, j->room[phase][k], &fixed[k]);
        if (st == DIFFAD_ERR_MEMORY)
            return diffad_fail_context(st, "beside %.1f MiB of weights and what the optimiser keeps", (double)(all - fixed[k]) / MIB);
        DIFFAD_TRY(st);
    }
    return DIFFAD_OK;
}

static void split(train_job *j, int parts)
{
    j->parts             = parts;
    j->own               = *train_recipe(&j->run->desc, j->stage);
    j->own.batch        /= parts;
    j->own.accumulate   *= parts;
    j->recipe            = &j->own;
    j->pictures          = train_picture_batch(j->recipe);
}

/* The segmenter's pictures are made fewer at a time until the rest fits beside: no bit depends on their number. */
static diffad_status try_parts(train_job *j, int parts, size_t most)
{
    int64_t unused;
    split(j, parts);
    for (;;) {
        train_holding pictures = { 0, 0 };
        const size_t  kept = train_kept_bytes(j, &unused);
        diffad_status st = hold_pictures(j, &pictures);
        const int64_t last = j->recipe->steps > 0 ? j->recipe->steps - 1 : 0;
        for (int phase = j->stage->phase(j, 0); st == DIFFAD_OK && phase <= j->stage->phase(j, last); phase++)
            st = find_room(j, phase, most, kept, &pictures);
        if (st != DIFFAD_ERR_MEMORY || j->pictures == 1 || j->stage != &train_stage_seg)
            return st;
        j->pictures /= 2;
    }
}

static diffad_status refuse(const train_job *j, diffad_status st, const char *why)
{
    return diffad_fail_context(st, "stage %s does not fit into %.1f MiB%s%s", j->stage->name, (double)j->run->options.max_memory / MIB,
                               why ? "; its batch cannot be split: " : "", why ? why : "");
}

diffad_status train_fit(train_job *j, int parts)
{
    const size_t most = j->run->options.max_memory;
    const int    batch = train_recipe(&j->run->desc, j->stage)->batch;
    split(j, parts > 0 ? parts : 1);
    if (most == 0 || j->recipe->steps == 0)
        return DIFFAD_OK;
    diffad_status st = try_parts(j, j->parts, most);
    if (st == DIFFAD_ERR_MEMORY && parts > 0)
        return refuse(j, st, "its saved state began with what it has");
    const char *why = j->stage->whole ? j->stage->whole(j) : NULL;
    if (st != DIFFAD_ERR_MEMORY || why)
        return st == DIFFAD_ERR_MEMORY ? refuse(j, st, why) : st;
    for (int n = 2; st == DIFFAD_ERR_MEMORY && n <= batch; n++)
        if (batch % n == 0)
            st = try_parts(j, n, most);
    return st == DIFFAD_ERR_MEMORY ? refuse(j, st, NULL) : st;
}
