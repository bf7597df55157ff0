/* convert.c: weights from one kind of file into another. */
#include "diffad/convert.h"
#include "base/file.h"
#include "base/text.h"
#include "diffusion/diffusion.h"
#include "train/run.h"

#include <stdio.h>
#include <string.h>

static bool has_ending(const char *path, const char *ending)
{
    const size_t n = strlen(path), e = strlen(ending);
    return n > e && strcmp(path + n - e, ending) == 0;
}

static bool is_stage(const diffad_convert_options *o, const char *name) { return o->stage && strcmp(o->stage, name) == 0; }

/* What `out` holds by its ending, the stage that is meant, and what there is. */
static diffad_status pick_layout(const diffad_convert_options *o, const diffad_checkpoint *c, checkpoint_layout *layout)
{
    if (has_ending(o->out, ".safetensors") && !o->stage) {
        *layout = LAYOUT_SAFETENSORS;
        return DIFFAD_OK;
    }
    if (has_ending(o->out, ".safetensors"))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "convert: a .safetensors file takes every stage; leave --stage away");
    if (has_ending(o->out, ".ckpt")) {
        *layout = is_stage(o, "vae") || (!o->stage && !c->has[PART_UNET] && c->has[PART_VAE]) ? LAYOUT_VAE : LAYOUT_LATENT;
        if (o->stage && !is_stage(o, "vae") && !is_stage(o, "ldm"))
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "convert: a .ckpt holds stage ldm or vae, not %s; that goes into a .pckl", o->stage);
        return DIFFAD_OK;
    }
    if (!has_ending(o->out, ".pckl") && !has_ending(o->out, ".pth") && !has_ending(o->out, ".pt"))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "convert: %s: choose an ending of .safetensors, .ckpt, .pckl or .pth", o->out);
    if (o->stage && !is_stage(o, "seg") && !is_stage(o, "draem"))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "convert: a .pckl holds stage seg or draem, not %s; that goes into a .ckpt", o->stage);
    *layout = is_stage(o, "draem") || (!o->stage && c->has[PART_REC]) ? LAYOUT_REC : LAYOUT_SEG;
    return DIFFAD_OK;
}

/* "NAME_seg.pckl" of "NAME.pckl". */
static diffad_status companion(const char *out, char *path, size_t bytes)
{
    const char *ending = strrchr(out, '.');
    const int   n = snprintf(path, bytes, "%.*s_seg%s", (int)(ending - out), out, ending);
    return n > 0 && n < (int)bytes ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_USAGE, "convert: the name %s is too long", out);
}

static diffad_status write(const diffad_checkpoint *c, const char *path, checkpoint_layout layout, const checkpoint_extras *x, diffad_convert_result *r)
{
    DIFFAD_TRY(diffad_checkpoint_write(c, path, layout, x, &r->tensors[r->files]));
    snprintf(r->paths[r->files++], sizeof r->paths[0], "%s", path);
    return DIFFAD_OK;
}

static diffad_status write_all(const diffad_convert_options *o, const diffad_checkpoint *c, const checkpoint_extras *x, diffad_convert_result *r)
{
    checkpoint_layout layout = LAYOUT_SAFETENSORS;
    char              second[sizeof r->paths[0]];
    DIFFAD_TRY(pick_layout(o, c, &layout));
    r->lacks_average = layout == LAYOUT_LATENT && !c->has[PART_EMA];
    if (layout == LAYOUT_REC && c->has[PART_SEG]) {
        DIFFAD_TRY(companion(o->out, second, sizeof second));
        DIFFAD_TRY(write(c, second, LAYOUT_SEG, x, r));
    }
    return write(c, o->out, layout, x, r);
}

/* The description: the weights' own, the run's, else the published one, for the tables of its schedule. *text: as JSON where
 * it is known to be the weights'. */
static diffad_status find_description(const diffad_convert_options *o, const diffad_checkpoint *c, diffad_desc *d, char **text)
{
    static run_record record;
    const char       *own = diffad_file_metadata(c->view, "model");
    *text = NULL;
    if (run_is_folder(o->in)) {
        DIFFAD_TRY(run_record_read(o->in, &record, d));
    } else {
        DIFFAD_TRY(diffad_desc_default(d));
        if (!own)
            return DIFFAD_OK;
        if (diffad_desc_parse(c->origin, own, d) != DIFFAD_OK)
            return diffad_fail_context(DIFFAD_ERR_CHECKPOINT, "description");
    }
    *text = diffad_config_to_json(diffad_desc_fields, d);
    return *text ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "convert: no host memory");
}

static int64_t step_of(const diffad_checkpoint *c)
{
    static const char *const keys[] = { "step", "global_step" };
    int64_t                  n;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *text = diffad_file_metadata(c->view, keys[i]);
        if (text && diffad_parse_i64(text, &n) && n >= 0)
            return n;
    }
    return 0;
}

diffad_status diffad_convert(const diffad_convert_options *o, diffad_convert_result *result)
{
    diffad_checkpoint     c = { .files = 0 };
    checkpoint_table      tables[DIFFUSION_TABLES + 1] = { { .name = NULL } };
    diffad_schedule       s = { .timesteps = 0 };
    diffad_convert_result r = { .files = 0 };
    diffad_desc           d;
    char                 *text = NULL;
    diffad_status         st;
    DIFFAD_GOTO(done, diffad_checkpoint_open((const char *const[]){ o->in, NULL }, &c));
    DIFFAD_GOTO(done, find_description(o, &c, &d, &text));
    DIFFAD_GOTO(done, diffad_schedule_create(d.diffusion.timesteps, d.diffusion.linear_start, d.diffusion.linear_end, &s));
    for (int i = 0; i < DIFFUSION_TABLES; i++)
        tables[i] = (checkpoint_table){ diffad_schedule_names[i], s.table[i], s.timesteps };
    const checkpoint_extras x = { .tables = tables, .ema_decay = d.train.ema_decay, .step = step_of(&c), .model = text };
    DIFFAD_GOTO(done, write_all(o, &c, &x, &r));
    *result = r;
done:
    diffad_checkpoint_close(&c);
    diffad_schedule_release(&s);
    diffad_release(text);
    return st;
}
