/* checkpoint.h: the networks that a set of files holds, whichever code wrote them: run folders, Lightning checkpoints
 * (.ckpt), state dicts of torch.save (.pckl, .pth), safetensors.
 *
 *     diffad_checkpoint c;
 *     DIFFAD_TRY(diffad_checkpoint_open((const char *const[]){ "last.ckpt", "bottle_seg.pckl", NULL }, &c));
 *     diffad_params_load(unet, c.view, "unet.", ...);
 *     diffad_checkpoint_close(&c);
 */
#ifndef DIFFAD_CHECKPOINT_H
#define DIFFAD_CHECKPOINT_H

#include "checkpoint/names.h"
#include "diffad/tensor.h"

typedef struct diffad_checkpoint {
    diffad_file **file;
    int           files;
    diffad_file  *view;                        /* tensors of all: checkpoint_prefix + name inside the network */
    bool          has[CHECKPOINT_PARTS];
    char          origin[512];                 /* the paths, for messages */
} diffad_checkpoint;

/* paths: files, or folders whose .ckpt, .pckl, .pt, .pth and .safetensors files are meant; NULL-terminated. The view's
 * metadata are those of the files; of safetensors files only headers are in memory (diffad_file_open_wanted);
 * "model" is a description where one of our files has it. Errors: CHECKPOINT (no such file, two files with the same network,
 * a conditioning stage that is not the autoencoder, no network at all), MEMORY. */
diffad_status diffad_checkpoint_open(const char *const *paths, diffad_checkpoint *out);
void          diffad_checkpoint_close(diffad_checkpoint *c);

/* ---- writing: write.c ---- */

typedef enum checkpoint_layout {
    LAYOUT_SAFETENSORS,     /* all networks, named as in run folders */
    LAYOUT_LATENT,          /* Lightning: tables, U-Net, its average, autoencoder twice */
    LAYOUT_VAE,             /* Lightning: autoencoder, critic, LPIPS */
    LAYOUT_SEG,             /* state dict: segmenter */
    LAYOUT_REC              /* state dict: DRAEM's reconstructive network */
} checkpoint_layout;

typedef struct checkpoint_table { const char *name; const float *value; int count; } checkpoint_table;

typedef struct checkpoint_extras {
    const checkpoint_table *tables;            /* of the schedule, where the checkpoint has none; ends without a name */
    double                  ema_decay;
    int64_t                 step;
    const char             *model;             /* description as JSON, kept beside the weights; NULL */
} checkpoint_extras;

/* Errors: CHECKPOINT (a network that the layout needs is missing), FILE, MEMORY. *tensors: how many were written. */
diffad_status diffad_checkpoint_write(const diffad_checkpoint *c, const char *path, checkpoint_layout layout, const checkpoint_extras *x,
                                      int *tensors);

#endif
