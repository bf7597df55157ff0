/* names.c: which network a name in a file belongs to (reference section 12). */
#include "checkpoint/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const checkpoint_prefix[CHECKPOINT_PARTS] = { "vae.", "critic.", "lpips.", "unet.", "ema.", "seg.", "rec.", "other." };

/* The first row that fits counts. A name keeps what stands behind `skip`. */
typedef struct row { const char *begin, *skip; checkpoint_part part; } row;

static const row rows[] = {
    { "cond_stage_model.", "cond_stage_model.", PART_CONDITION },
    { "first_stage_model.loss.", "", PART_NONE },
    { "first_stage_model.", "first_stage_model.", PART_VAE },
    { "model.diffusion_model.", "model.diffusion_model.", PART_UNET },
    { "ema.model.diffusion_model.", "ema.model.diffusion_model.", PART_EMA },
    { "model_ema.decay", "", PART_OTHER },
    { "model_ema.num_updates", "", PART_OTHER },
    { "model_ema.diffusion_model", "model_ema.diffusion_model", PART_EMA },
    { "loss.discriminator.", "loss.discriminator.", PART_CRITIC },
    { "loss.perceptual_loss.", "loss.perceptual_loss.", PART_LPIPS },
    { "loss.logvar", "", PART_OTHER },
    { "rec.", "rec.", PART_REC },
    { "seg.", "seg.", PART_SEG },
    { "encoder_segment.", "", PART_SEG },
    { "decoder_segment.", "", PART_SEG },
    { "encoder.block", "", PART_REC },
    { "decoder.db", "", PART_REC },
    { "decoder.up1.", "", PART_REC },
    { "decoder.up2.", "", PART_REC },
    { "decoder.up3.", "", PART_REC },
    { "decoder.up4.", "", PART_REC },
    { "decoder.fin_out.", "", PART_REC },
    { "encoder.", "", PART_VAE },
    { "decoder.", "", PART_VAE },
    { "quant_conv.", "", PART_VAE },
    { "post_quant_conv.", "", PART_VAE },
    { "main.", "", PART_CRITIC },
    { "net.slice", "", PART_LPIPS },
    { "lin", "", PART_LPIPS },
    { "scaling_layer.", "", PART_LPIPS },
    { "betas", "", PART_OTHER },
    { "alphas_cumprod", "", PART_OTHER },
    { "sqrt_", "", PART_OTHER },
    { "log_one_minus_alphas_cumprod", "", PART_OTHER },
    { "posterior_", "", PART_OTHER },
    { "scale_factor", "", PART_OTHER },
};

/* VGG16 as torchvision publishes it: features.0 is net.slice1.0 of LPIPS. */
static bool vgg_name(const char *from, char *name, size_t bytes)
{
    static const int end[] = { 4, 9, 16, 23, 30 };      /* behind relu1_2 .. relu5_3 */
    static const char front[] = "features.";
    if (strncmp(from, front, sizeof front - 1) != 0)
        return false;
    const int index = atoi(from + sizeof front - 1);
    for (int i = 0; i < 5; i++)
        if (index < end[i])
            return snprintf(name, bytes, "net.slice%d.%s", i + 1, from + sizeof front - 1) < (int)bytes;
    return false;
}

/* DataParallel puts "module." in front of every name. */
static const char *without_module(const char *name)
{
    while (strncmp(name, "module.", 7) == 0)
        name += 7;
    return name;
}

checkpoint_part checkpoint_name(const char *published, char *name, size_t bytes, bool *is_flat)
{
    char own[512];
    if (!name) {
        name  = own;
        bytes = sizeof own;
    }
    published = without_module(published);
    if (is_flat)
        *is_flat = strncmp(published, "model_ema.", 10) == 0;
    if (vgg_name(published, name, bytes))
        return PART_LPIPS;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strncmp(published, rows[i].begin, strlen(rows[i].begin)) == 0) {
            const int n = snprintf(name, bytes, "%s", published + strlen(rows[i].skip));
            return n > 0 && n < (int)bytes ? rows[i].part : PART_NONE;
        }
    return PART_NONE;
}

bool checkpoint_wants(const char *published) { return checkpoint_name(published, NULL, 0, NULL) != PART_NONE; }

void checkpoint_flatten(const char *name, char *out, size_t bytes)
{
    size_t n = 0;
    for (; *name && n + 1 < bytes; name++)
        if (*name != '.')
            out[n++] = *name;
    out[n] = '\0';
}
