/* share.c: what one run can take from another: which part of a description a stage depends on, and the finished file. */
#include "base/file.h"
#include "base/hash.h"
#include "train/run.h"

#include <stdio.h>
#include <string.h>

/* Values that cannot change a stage's weights. What is not named here counts: a new value keeps runs apart until someone
 * knows better. */
static void forget_later_stages(diffad_desc *d, const train_stage *s)
{
    memset(d->name, 0, sizeof d->name);
    d->sampler_steps = 0;
    if (s != &train_stage_vae && s != &train_stage_ldm)
        return;
    memset(&d->segmenter, 0, sizeof d->segmenter);
    memset(&d->draem, 0, sizeof d->draem);
    memset(&d->train.seg, 0, sizeof d->train.seg);
    memset(&d->train.draem, 0, sizeof d->train.draem);
    d->mix_lambda = 0;
    d->has_mix    = false;
    d->start_time = d->condition_noise = d->train_sampler_steps = d->cache_samples = d->sample_weights = 0;
    d->cache_fresh = false;
    if (s != &train_stage_vae)
        return;
    memset(&d->unet, 0, sizeof d->unet);
    memset(&d->diffusion, 0, sizeof d->diffusion);
    memset(&d->train.ldm, 0, sizeof d->train.ldm);
    d->condition       = 0;
    d->train.ema_decay = 0;
}

uint64_t run_stage_key(const diffad_desc *d, const train_stage *s)
{
    diffad_desc part = *d;
    forget_later_stages(&part, s);
    char          *text = diffad_config_to_json(diffad_desc_fields, &part);
    const uint64_t key = text ? diffad_hash64(text, strlen(text)) : 0;
    diffad_release(text);
    return key;
}

static char *file_of(const char *folder, const train_stage *s)
{
    char name[64];
    snprintf(name, sizeof name, "%s.safetensors", s->name);
    return diffad_path_join(folder, name);
}

bool run_has_stage(const char *folder, const train_stage *s)
{
    char      *path = file_of(folder, s);
    const bool is_there = path && diffad_path_exists(path);
    diffad_release(path);
    return is_there;
}

diffad_status run_take_stage(const char *from, const char *folder, const train_stage *s)
{
    char         *a = file_of(from, s), *b = file_of(folder, s);
    diffad_status st = a && b ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "run: no host memory");
    if (st == DIFFAD_OK && diffad_path_exists(a) && !diffad_path_exists(b))
        st = diffad_file_share(a, b, DIFFAD_ERR_CHECKPOINT);
    diffad_release(a);
    diffad_release(b);
    return st;
}
