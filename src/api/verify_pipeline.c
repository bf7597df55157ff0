/* verify_pipeline.c: the road of a picture (encode, sample, decode, segment), and its variants. */
#include "api/verify_internal.h"
#include "base/text.h"
#include "graph/op.h"
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

static const verify_cut NO_CUT = { "", 0, 0 };

/* What the road needs, for one variant. */
typedef struct road {
    verify_run    *run;
    diffad_desc    desc;
    double         scale;
    int            batch, steps;
    diffad_params *autoencoder, *unet;
    diffad_latent *latent;
} road;

/* The picture's size is the tensor's. `scale_factor`, `mix_lambda` and `steps` of the file come before the model's. */
static diffad_status read_road(verify_run *r, road *o)
{
    double v;
    const diffad_file_tensor *image = diffad_file_find(r->file, "image");
    *o = (road){ .run = r };
    DIFFAD_TRY(verify_desc(r, &o->desc));
    if (!image || image->shape.rank != 4)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "the file needs a tensor image [N,C,H,W]");
    o->batch = (int)image->shape.side[0];
    o->desc.image_channels  = (int)image->shape.side[1];
    o->desc.image_size.n    = 2;
    o->desc.image_size.v[0] = (int)image->shape.side[2];
    o->desc.image_size.v[1] = (int)image->shape.side[3];
    if (verify_numbers(verify_text(r, "scale_factor"), &v, 1) == 1)
        o->desc.scale_factor = v;
    if (verify_numbers(verify_text(r, "mix_lambda"), &v, 1) == 1)
        o->desc.mix_lambda = v;
    o->steps = verify_numbers(verify_text(r, "steps"), &v, 1) == 1 ? (int)v : 5;
    o->scale = o->desc.scale_factor;
    o->desc.scale_from = DESC_SCALE_FIXED;
    return DIFFAD_OK;
}

/* Parameter lists are filled by building the networks once; then the road's plans can be made. */
static diffad_status open_road(road *o, const verify_cut *unet_cut)
{
    const diffad_desc *d = &o->desc;
    const int64_t      f = diffad_desc_factor(d), h = d->image_size.v[0], w = d->image_size.v[1];
    const int64_t      c = d->autoencoder.embed_dim, channels = d->condition == DESC_CONDITION_NONE ? c : 2 * c;
    diffad_graph      *g;
    o->autoencoder = verify_params(o->run, "autoencoder", "", NULL);
    o->unet        = verify_params(o->run, "unet", "", unet_cut);
    if (!o->autoencoder || !o->unet)
        return DIFFAD_ERR_MEMORY;
    DIFFAD_TRY(diffad_graph_create(&g));
    diffad_nn ae = nn_make(g, o->autoencoder, false), unet = nn_make(g, o->unet, false);
    diffad_encoder(&ae, d, diffad_input(g, "x", DIFFAD_F32, diffad_shape4(1, d->image_channels, h, w)));
    diffad_decoder(&ae, d, diffad_input(g, "z", DIFFAD_F32, diffad_shape4(1, c, h / f, w / f)));
    diffad_unet(&unet, d, diffad_input(g, "u", DIFFAD_F32, diffad_shape4(1, channels, h / f, w / f)),
                diffad_input(g, "t", DIFFAD_I32, diffad_shape1(1)));
    diffad_status st = diffad_graph_status(g);
    diffad_graph_destroy(g);
    if (st == DIFFAD_OK)
        st = verify_fill(o->run, 0);
    if (st == DIFFAD_OK)
        st = diffad_latent_create(o->run->dev, d, o->scale, o->autoencoder, o->unet, o->batch, NULL, &o->latent);
    return st;
}

/* A tensor of the file with as many elements as `count` asks for. */
static diffad_status values_of(road *o, const char *name, int64_t count, const float **out)
{
    int64_t n;
    if (!(*out = verify_values(o->run, name, &n)))
        return DIFFAD_ERR_CHECKPOINT;
    if (n < count)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s has %lld elements, %lld are needed", name, (long long)n,
                    (long long)count);
    return DIFFAD_OK;
}

static diffad_status encode(road *o)
{
    const int64_t count = diffad_shape_count(diffad_tensor_shape(o->latent->x));
    const float  *x;
    DIFFAD_TRY(values_of(o, "image", count, &x));
    DIFFAD_TRY(diffad_tensor_write(o->latent->x, x, (size_t)count * sizeof *x));
    return diffad_latent_encode(o->latent);
}

static diffad_status sample(road *o, int steps, double eta, const float *cond_noise, const float *eta_noise)
{
    const float *start;
    DIFFAD_TRY(values_of(o, "xT", diffad_latent_count(o->latent), &start));
    return diffad_latent_sample(o->latent, steps, eta, start, cond_noise, eta_noise);
}

/* ---- the segmenter behind the road ---- */

/* `order`: "rec, mix, image". Outputs that the file does not name are not computed. */
static diffad_status segment(road *o, const char *order, const verify_cut *cut, const char *logits_name,
                             const char *map_name)
{
    verify_net    n;
    diffad_val    part[8];
    int           parts = 0;
    diffad_latent *l = o->latent;
    const diffad_shape picture = *diffad_tensor_shape(l->x);
    DIFFAD_TRY(verify_net_begin(o->run, &n));
    diffad_params *p = verify_params(o->run, "segmenter", "", cut);
    diffad_status  st = p ? DIFFAD_OK : DIFFAD_ERR_MEMORY;
    while (st == DIFFAD_OK && *order && parts < 8) {
        const size_t word = strcspn(order, ", ");
        if (word == 3 && strncmp(order, "rec", 3) == 0)
            part[parts++] = diffad_bound(n.g, "rec", DIFFAD_F32, picture, &l->rec);
        else if (word == 3 && strncmp(order, "mix", 3) == 0)
            part[parts++] = diffad_bound(n.g, "mix", DIFFAD_F32, picture, &l->mix);
        else if (word == 5 && strncmp(order, "image", 5) == 0)
            part[parts++] = diffad_bound(n.g, "image", DIFFAD_F32, picture, &l->x);
        else if (word)
            st = diffad_fail(DIFFAD_ERR_UNSUPPORTED, "segmenter_input %.*s", (int)word, order);
        order += word + strspn(order + word, ", ");
    }
    if (st == DIFFAD_OK) {
        diffad_nn        nn = nn_make(n.g, p, false);
        const diffad_val logits = diffad_discriminator(&nn, verify_concat(&n, parts, part),
                                                       o->desc.segmenter.base_channels);
        verify_out(&n, logits_name, logits);
        verify_out(&n, map_name, diffad_slice(n.g, diffad_softmax(n.g, logits, 1), 1, 1));
        st = verify_net_run(&n);
    }
    const diffad_tensor *map = n.plan ? diffad_plan_tensor(n.plan, map_name) : NULL;
    if (st == DIFFAD_OK && map && verify_has(o->run, "score"))
        st = verify_scores(o->run, map);
    verify_net_end(&n);
    return st;
}

/* zmix = (1-lambda) z + lambda c, which the road keeps to itself. */
static diffad_status compare_mix(road *o)
{
    verify_net         n;
    const double       lambda = o->desc.mix_lambda;
    const diffad_shape s = *diffad_tensor_shape(o->latent->z);
    DIFFAD_TRY(verify_net_begin(o->run, &n));
    const diffad_val z = diffad_bound(n.g, "z", DIFFAD_F32, s, &o->latent->z);
    const diffad_val c = diffad_bound(n.g, "c", DIFFAD_F32, s, &o->latent->c);
    verify_out(&n, "zmix", diffad_add(n.g, diffad_affine(n.g, z, 1 - lambda, 0), diffad_affine(n.g, c, lambda, 0)));
    const diffad_status st = verify_has(o->run, "zmix") ? verify_net_run(&n) : DIFFAD_OK;
    verify_net_end(&n);
    return st;
}

/* ---- other walks ---- */

/* stepK.eps, stepK.x0, stepK.x: the walk of the latest sampling again, stopping after each step. */
static diffad_status compare_steps(road *o)
{
    char           name[32];
    diffad_latent *l = o->latent;
    const size_t   bytes = (size_t)diffad_latent_count(l) * sizeof(float);
    const float   *start;
    if (!verify_has(o->run, "step0.x"))
        return DIFFAD_OK;
    DIFFAD_TRY(values_of(o, "xT", diffad_latent_count(l), &start));
    DIFFAD_TRY(diffad_tensor_write(l->z, start, bytes));
    for (int i = 0; i < l->n_rows; i++) {
        DIFFAD_TRY(diffad_tensor_write(diffad_plan_tensor(l->denoise.plan, "t"),
                                       l->times + (size_t)i * (size_t)l->batch,
                                       (size_t)l->batch * sizeof(int32_t)));
        DIFFAD_TRY(diffad_tensor_write(diffad_plan_tensor(l->denoise.plan, "coef"), l->rows[i].coef,
                                       sizeof l->rows[i].coef));
        DIFFAD_TRY(diffad_plan_run(l->denoise.plan));
        const struct { const char *what; const diffad_tensor *t; } rows[] = {
            { "eps", diffad_plan_tensor(l->denoise.plan, "eps") }, { "x0", diffad_plan_tensor(l->denoise.plan, "x0") },
            { "x", l->z },
        };
        for (int k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "step%d.%s", i, rows[k].what);
            DIFFAD_TRY(verify_compare_tensor(o->run, name, rows[k].t));
        }
    }
    return DIFFAD_OK;
}

static bool number_behind(const char *name, const char *start, double *out)
{
    const size_t n = strlen(start);
    return strncmp(name, start, n) == 0 && diffad_parse_f64(name + n, out);
}

/* How many steps the formula gives for a walk: "z_noisy450: 5 steps". */
static int steps_of(road *o, const char *name)
{
    char label[64];
    snprintf(label, sizeof label, "%s:", name);
    return (int)verify_number_after(verify_text(o->run, "formula"), label, o->steps);
}

static diffad_status noisy_walk(road *o, const char *name, int time)
{
    char         condition[64];
    const float *noise;
    DIFFAD_TRY(values_of(o, "eps_c", diffad_latent_count(o->latent), &noise));
    o->latent->desc.condition_noise = time;
    const diffad_status st = sample(o, steps_of(o, name), 0, noise, NULL);
    o->latent->desc.condition_noise = -1;
    DIFFAD_TRY(st);
    snprintf(condition, sizeof condition, "c_noisy%d", time);
    DIFFAD_TRY(verify_compare_tensor(o->run, condition, o->latent->cond));
    return verify_compare_tensor(o->run, name, o->latent->z);
}

static diffad_status eta_walk(road *o, const char *name, double eta)
{
    const diffad_file_tensor *t = diffad_file_find(o->run->file, "eta_noises");
    const int    steps = t && t->shape.rank ? (int)t->shape.side[0] : o->steps;
    const float *noise;
    DIFFAD_TRY(values_of(o, "eta_noises", steps * diffad_latent_count(o->latent), &noise));
    DIFFAD_TRY(sample(o, steps, eta, NULL, noise));
    return verify_compare_tensor(o->run, name, o->latent->z);
}

/* z_ddimS, z_noisyT, z_etaE: S steps; condition noised to time T; eta E. */
static diffad_status other_walks(road *o)
{
    for (int i = 0; i < diffad_file_count(o->run->file); i++) {
        const char *name = diffad_file_at(o->run->file, i)->name;
        double      v;
        if (number_behind(name, "z_ddim", &v)) {
            DIFFAD_TRY(sample(o, (int)v, 0, NULL, NULL));
            DIFFAD_TRY(verify_compare_tensor(o->run, name, o->latent->z));
        } else if (number_behind(name, "z_noisy", &v)) {
            DIFFAD_TRY(noisy_walk(o, name, (int)v));
        } else if (number_behind(name, "z_eta", &v)) {
            DIFFAD_TRY(eta_walk(o, name, v));
        }
    }
    return DIFFAD_OK;
}

static diffad_status run_pipeline(road *o)
{
    const char *order = verify_text(o->run, "segmenter_input");
    o->desc.has_mix = true;
    DIFFAD_TRY(open_road(o, &NO_CUT));
    DIFFAD_TRY(encode(o));
    DIFFAD_TRY(verify_compare_tensor(o->run, "c", o->latent->c));
    DIFFAD_TRY(sample(o, o->steps, 0, NULL, NULL));
    DIFFAD_TRY(verify_compare_tensor(o->run, "z", o->latent->z));
    DIFFAD_TRY(diffad_latent_decode(o->latent));
    DIFFAD_TRY(verify_compare_tensor(o->run, "rec", o->latent->rec));
    DIFFAD_TRY(verify_compare_tensor(o->run, "mix", o->latent->mix));
    DIFFAD_TRY(compare_mix(o));
    DIFFAD_TRY(compare_steps(o));
    DIFFAD_TRY(segment(o, *order ? order : "rec, mix, image", &NO_CUT, "logits", "map"));
    return other_walks(o);
}

static diffad_status pipeline(verify_run *r)
{
    road          o;
    DIFFAD_TRY(read_road(r, &o));
    const diffad_status st = run_pipeline(&o);
    diffad_latent_destroy(o.latent);
    return st;
}

/* ---- variants ---- */

/* lambda = 1: the mix is the decoded condition. */
static diffad_status xa_inter(road *o)
{
    double lambda = 1;
    verify_numbers(verify_text(o->run, "xa_inter"), &lambda, 1);
    o->desc.has_mix    = true;
    o->desc.mix_lambda = lambda;
    DIFFAD_TRY(open_road(o, &NO_CUT));
    DIFFAD_TRY(encode(o));
    DIFFAD_TRY(sample(o, o->steps, 0, NULL, NULL));
    DIFFAD_TRY(diffad_latent_decode(o->latent));
    DIFFAD_TRY(verify_compare_tensor(o->run, "xa_inter.mix", o->latent->mix));
    return segment(o, "rec, mix, image", &NO_CUT, "xa_inter.logits", "xa_inter.map");
}

/* Without the mix: the segmenter's first weight loses its input channels. */
static diffad_status no_inter(road *o, verify_cut *cut)
{
    *cut = (verify_cut){ "encoder_segment.block1.0.weight", o->desc.image_channels, o->desc.image_channels };
    o->desc.has_mix = false;
    DIFFAD_TRY(open_road(o, &NO_CUT));
    DIFFAD_TRY(encode(o));
    DIFFAD_TRY(sample(o, o->steps, 0, NULL, NULL));
    DIFFAD_TRY(diffad_latent_decode(o->latent));
    return segment(o, "rec, image", cut, "no_inter.logits", "no_inter.map");
}

/* Without a condition: the latent is noised to a time and denoised from there. */
static diffad_status f_and_r(road *o, verify_cut *cut)
{
    const char *text = verify_text(o->run, "f_and_r"), *grid = strstr(text, "t=");
    const float *noise;
    double      v[2] = { 800, 10 };
    verify_numbers(grid ? grid : "", v, 2);
    *cut = (verify_cut){ "input_blocks.0.0.weight", o->desc.autoencoder.embed_dim, o->desc.autoencoder.embed_dim };
    o->desc.has_mix    = false;
    o->desc.condition  = DESC_CONDITION_NONE;
    o->desc.start_time = (int)v[0];
    DIFFAD_TRY(open_road(o, cut));
    DIFFAD_TRY(encode(o));
    DIFFAD_TRY(values_of(o, "eps_forward", diffad_latent_count(o->latent), &noise));
    DIFFAD_TRY(diffad_latent_sample(o->latent, (int)v[1], 0, noise, NULL, NULL));
    return verify_compare_tensor(o->run, "f_and_r.z", o->latent->z);
}

static bool wants(const verify_run *r, const char *start)
{
    for (int i = 0; i < diffad_file_count(r->file); i++)
        if (strncmp(diffad_file_at(r->file, i)->name, start, strlen(start)) == 0)
            return true;
    return false;
}

static diffad_status variants(verify_run *r)
{
    static const char *const start[] = { "xa_inter.", "no_inter.", "f_and_r." };
    verify_cut   *cut = diffad_arena_alloc(&r->arena, 2 * sizeof *cut);
    diffad_status st = cut ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "variants: no host memory");
    for (int i = 0; i < 3 && st == DIFFAD_OK; i++) {
        road o;
        if (!wants(r, start[i]))
            continue;
        st = read_road(r, &o);
        if (st == DIFFAD_OK) {
            st = i == 0 ? xa_inter(&o) : i == 1 ? no_inter(&o, &cut[0]) : f_and_r(&o, &cut[1]);
            diffad_latent_destroy(o.latent);
        }
    }
    return st;
}

const verify_kind verify_kinds_pipeline[] = { { "pipeline", NULL, pipeline }, { "variants", NULL, variants },
                                              { NULL, NULL, NULL } };
