/* names.h: the names that weights have in files: those of the published code, of single networks, and of run folders. */
#ifndef DIFFAD_NAMES_H
#define DIFFAD_NAMES_H

#include <stdbool.h>
#include <stddef.h>

typedef enum checkpoint_part {
    PART_VAE,           /* first_stage_model.*, or alone */
    PART_CRITIC,        /* loss.discriminator.* */
    PART_LPIPS,         /* loss.perceptual_loss.*, LPIPS's own files, VGG16's features.* */
    PART_UNET,          /* model.diffusion_model.* */
    PART_EMA,           /* model_ema.*, without dots there; ema.model.diffusion_model.* in run folders */
    PART_SEG,           /* encoder_segment.*, decoder_segment.* */
    PART_REC,           /* DRAEM's reconstructive network: encoder.block*, decoder.* */
    PART_OTHER,         /* tables of the schedule, counters: kept under their published name */
    CHECKPOINT_PARTS,
    PART_CONDITION,     /* cond_stage_model.*: must be the autoencoder again */
    PART_NONE
} checkpoint_part;

/* "vae." ...: in front of a network's own names, in a checkpoint's view. */
extern const char *const checkpoint_prefix[CHECKPOINT_PARTS];

/* The part that a name of a file belongs to, and the name inside the network; of PART_EMA without dots where is_flat. NULL as
 * `name`: only the part is wanted. Names that do not fit are PART_NONE. */
checkpoint_part checkpoint_name(const char *published, char *name, size_t bytes, bool *is_flat);
/* Whether a file's tensor is of use. */
bool checkpoint_wants(const char *published);
/* "input_blocks.0.0.weight" -> "input_blocks00weight" */
void checkpoint_flatten(const char *name, char *out, size_t bytes);

#endif
