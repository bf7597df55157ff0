/* verify_curve.c: the losses of a whole training, step by step, through the stages' own plans, optimisers and schedules.
 *
 * The file's `stage` names the stage, `model` holds its recipe, `weights` its start. in.NAME [K,...] is the plan's input NAME of
 * K batches, which follow each other in a circle. out.LOSS [steps] is held to tol.LOSS [steps]; out.norm is the gradient's norm;
 * end.LIST.NAME are weights after the last step, end.ema.NAME averaged ones. */
#include "api/verify_internal.h"
#include "tensor/tensor.h"
#include "train/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_CURVES = 7 };      /* a stage's losses and the norm */

typedef struct curve {
    verify_run *r;
    train_run   run;
    train_job   job;
    train_tape  tape;
    int64_t     steps;
    const char *name[MAX_CURVES];
    double     *value[MAX_CURVES];      /* [steps] */
    int         n;
} curve;

static diffad_status read_batch(void *user, const char *name, int64_t batch, diffad_tensor *to)
{
    verify_run               *r = user;
    char                      full[VERIFY_NAME];
    const diffad_shape       *s = diffad_tensor_shape(to);
    const int64_t             n = diffad_shape_count(s);
    snprintf(full, sizeof full, "in.%s", name);
    const diffad_file_tensor *t = diffad_file_find(r->file, full);
    const int64_t             count = t ? diffad_shape_count(&t->shape) : 0;
    if (!t)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "the file has no tensor %s", full);
    if (count < n || count % n || t->type != diffad_tensor_type(to))
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: %lld elements of %s, batches of %lld of %s are needed", full, (long long)count,
                    diffad_dtype_name(t->type), (long long)n, diffad_dtype_name(diffad_tensor_type(to)));
    const size_t bytes = (size_t)n * diffad_dtype_bytes(t->type);
    verify_skip(r, full);
    return diffad_tensor_write(to, t->data + (size_t)(batch % (count / n)) * bytes, bytes);
}

/* ---- the start ---- */

static diffad_status open_lists(curve *c)
{
    const struct { diffad_params **list; const char *network, *sub; } rows[] = {
        { &c->run.autoencoder, "autoencoder", "" }, { &c->run.critic, "critic", "" }, { &c->run.unet, "unet", "" },
        { &c->run.segmenter, "segmenter", "" }, { &c->run.draem_rec, "draem", "rec." }, { &c->run.draem_seg, "draem", "seg." },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!(*rows[i].list = verify_params(c->r, rows[i].network, rows[i].sub, NULL)))
            return DIFFAD_ERR_MEMORY;
    if (strstr(verify_text(c->r, "weights"), "lpips") && !(c->run.lpips = verify_params(c->r, "lpips", "", NULL)))
        return DIFFAD_ERR_MEMORY;
    return DIFFAD_OK;
}

/* Names and shapes of all that the last step touches, and what is made beside it. */
static diffad_status shape_lists(curve *c)
{
    static const diffad_plan_options sizes = { .sizes_only = true };
    train_posteriors *p = NULL;
    diffad_graph     *g;
    if (c->job.stage == &train_stage_ldm)
        DIFFAD_TRY(train_posteriors_create(&c->job, &sizes, &p));
    train_posteriors_destroy(p);
    DIFFAD_TRY(diffad_graph_create(&g));
    c->job.stage->build(&c->job, c->job.stage->phase(&c->job, c->steps - 1), true, g);
    const diffad_status st = diffad_graph_status(g);
    diffad_graph_destroy(g);
    return st;
}

/* Averages begin as the weights. */
static diffad_status start_shadows(curve *c)
{
    const diffad_params *p = c->run.unet;
    for (int64_t i = 0; i < p->count; i++) {
        const diffad_param *q = p->item[i];
        const size_t        bytes = (size_t)diffad_shape_count(&q->shape) * sizeof(float);
        float              *x = q->shadow ? diffad_arena_alloc(&c->r->arena, bytes) : NULL;
        if (!q->shadow)
            continue;
        if (!x)
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", q->name);
        DIFFAD_TRY(diffad_tensor_read(q->tensor, x, bytes));
        DIFFAD_TRY(diffad_tensor_write(q->shadow, x, bytes));
    }
    return DIFFAD_OK;
}

static diffad_status begin(verify_run *r, curve *c)
{
    const train_stage *stage = run_stage_named(verify_text(r, "stage"));
    if (!stage)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "no training stage \"%s\"", verify_text(r, "stage"));
    *c = (curve){ .r = r, .run = { .dev = r->dev }, .tape = { .user = r, .read = read_batch } };
    DIFFAD_TRY(verify_desc(r, &c->run.desc));
    DIFFAD_TRY(diffad_desc_check(&c->run.desc));
    c->run.latent_scale = c->run.desc.scale_factor;
    c->job   = (train_job){ .run = &c->run, .stage = stage, .recipe = train_recipe(&c->run.desc, stage), .tape = &c->tape };
    c->steps = c->job.recipe->steps;
    if (c->steps < 1 || c->steps > 100000)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "a training of %lld steps", (long long)c->steps);
    DIFFAD_TRY(open_lists(c));
    DIFFAD_TRY(shape_lists(c));
    DIFFAD_TRY(verify_fill(r, train_keeps(&c->job)));
    return start_shadows(c);
}

/* ---- the steps ---- */

static diffad_status make_curves(curve *c)
{
    for (int i = 0; i <= c->job.stage->n_losses; i++) {
        c->name[i] = i < c->job.stage->n_losses ? c->job.stage->losses[i] : "norm";
        if (!(c->value[i] = diffad_arena_alloc(&c->r->arena, (size_t)c->steps * sizeof *c->value[i])))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "curves: no host memory");
        c->n++;
    }
    return DIFFAD_OK;
}

static diffad_status take_steps(curve *c)
{
    train_roads   roads = { .phase = -1 };
    double        losses[MAX_CURVES];
    float         norm[2];
    diffad_status st = DIFFAD_OK;
    for (int64_t k = 0; k < c->steps; k++) {
        DIFFAD_GOTO(done, train_step(&c->job, &roads));
        DIFFAD_GOTO(done, train_read_losses(&c->job, &roads, losses, norm));
        losses[c->n - 1] = norm[0];
        for (int i = 0; i < c->n; i++)
            c->value[i][k] = losses[i];
    }
done:
    train_release_roads(&roads);
    return st;
}

/* ---- against the file ---- */

static diffad_status compare_curve(curve *c, const char *name, const double *have)
{
    char    out[VERIFY_NAME], tol[VERIFY_NAME];
    int64_t n = 0, m = 0, worst = 0;
    double  ratio = -1, worst_error = 0;
    snprintf(out, sizeof out, "out.%s", name);
    snprintf(tol, sizeof tol, "tol.%s", name);
    if (!verify_has(c->r, out))
        return DIFFAD_OK;
    const float *want = verify_values(c->r, out, &n), *allowed = want ? verify_values(c->r, tol, &m) : NULL;
    if (!allowed)
        return DIFFAD_ERR_CHECKPOINT;
    if (n != c->steps || m != c->steps)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s and %s need %lld elements", out, tol, (long long)c->steps);
    for (int64_t k = 0; k < n; k++) {
        const double d = isnan(want[k]) && isnan(have[k]) ? 0 : fabs(have[k] - (double)want[k]);
        const double error = isnan(d) ? INFINITY : d, now = error == 0 ? 0 : error / fmax((double)allowed[k], 1e-300);
        if (now > ratio) {
            ratio       = now;
            worst       = k;
            worst_error = error;
        }
    }
    verify_skip(c->r, tol);
    snprintf(tol, sizeof tol, "%s[%lld]", out, (long long)worst);
    verify_skip(c->r, out);
    verify_record(c->r, tol, worst_error, (double)allowed[worst]);
    return DIFFAD_OK;
}

static diffad_status compare_end(curve *c)
{
    const struct { const char *prefix; diffad_params *list; diffad_param_part part; } rows[] = {
        { "end.vae.", c->run.autoencoder, DIFFAD_PART_VALUE }, { "end.critic.", c->run.critic, DIFFAD_PART_VALUE },
        { "end.unet.", c->run.unet, DIFFAD_PART_VALUE }, { "end.ema.", c->run.unet, DIFFAD_PART_SHADOW },
        { "end.seg.", c->run.segmenter, DIFFAD_PART_VALUE }, { "end.rec.", c->run.draem_rec, DIFFAD_PART_VALUE },
        { "end.draem_seg.", c->run.draem_seg, DIFFAD_PART_VALUE },
    };
    for (int i = 0; i < diffad_file_count(c->r->file); i++) {
        const char *name = diffad_file_at(c->r->file, i)->name;
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
            const size_t         n = strlen(rows[k].prefix);
            const diffad_param  *q = strncmp(name, rows[k].prefix, n) == 0 ? diffad_params_find(rows[k].list, name + n) : NULL;
            const diffad_tensor *t = q ? diffad_param_tensor(q, rows[k].part) : NULL;
            if (t)
                DIFFAD_TRY(verify_compare_tensor(c->r, name, t));
        }
    }
    return DIFFAD_OK;
}

static void end(curve *c)
{
    train_posteriors_destroy(c->job.posteriors);
    for (int i = 0; i < 2 * TRAIN_PHASES; i++)
        diffad_release(c->job.ways[i / 2][i % 2]);
}

static diffad_status run_curve(verify_run *r)
{
    curve         c = { .r = r };
    diffad_status st;
    DIFFAD_GOTO(done, begin(r, &c));
    DIFFAD_GOTO(done, make_curves(&c));
    DIFFAD_GOTO(done, take_steps(&c));
    for (int i = 0; i < c.n; i++)
        DIFFAD_GOTO(done, compare_curve(&c, c.name[i], c.value[i]));
    DIFFAD_GOTO(done, compare_end(&c));
done:
    end(&c);
    return st;
}

const verify_kind verify_kinds_curve[] = { { "curve", NULL, run_curve }, { NULL, NULL, NULL } };
