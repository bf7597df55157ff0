/* published.h: the configuration files of the paper's repository (kl.yaml, mvtec.yaml: latent-diffusion's OmegaConf form),
 * mapped onto the description.
 *
 * A file is told by its content: a map `model` with a `target`. AutoencoderKL describes the first stage and its training,
 * LatentDiffusion the U-Net, its training and (first_stage_config) the autoencoder that it loads. What a file leaves out has
 * the default of the published code, not the value of the layer below. Keys without a use here are named in one note; values
 * that this build has no way for, or that contradict each other, are errors (USAGE). */
#ifndef DIFFAD_PUBLISHED_H
#define DIFFAD_PUBLISHED_H

#include "model/desc.h"

/* What earlier files of the same call said; starts as zeros. */
typedef struct published_context {
    desc_autoencoder autoencoder;
    char             origin[256];        /* of the file with the autoencoder's training; "": none yet */
} published_context;

bool          diffad_published_is(const diffad_config *root);
/* The same of a file; false also where it cannot be read. */
bool          diffad_published_is_file(const char *path);
diffad_status diffad_published_lay(published_context *context, const char *origin, const diffad_config *root, diffad_desc *d, diffad_trail *t);

#endif
