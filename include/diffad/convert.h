/* convert.h: weights from one kind of file into another.
 *
 *     diffad_convert_result r;
 *     DIFFAD_TRY(diffad_convert(&(diffad_convert_options){ .in = "run", .out = "last.ckpt" }, &r));
 *
 * The ending of `out` says what is written, under the names of the published code:
 *   .safetensors   every network of `in`, as in run folders
 *   .ckpt          Lightning's dict with "state_dict": where `in` has a U-Net, the latent model (tables of the schedule,
 *                  model.*, model_ema.*, first_stage_model.*, cond_stage_model.*), else the autoencoder with what there is
 *                  of its loss (critic, LPIPS)
 *   .pckl .pth .pt a state dict: the segmenter; of DRAEM NAME.pckl, the reconstructive network, and NAME_seg.pckl
 * `in`: a run folder, a file of weights of any of these kinds, or a folder of such files. */
#ifndef DIFFAD_CONVERT_H
#define DIFFAD_CONVERT_H

#include "diffad/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct diffad_convert_options {
    const char *in, *out;
    const char *stage;           /* "vae", "ldm", "seg" or "draem": the one that is meant where `out` holds one; NULL: as above */
} diffad_convert_options;

typedef struct diffad_convert_result {
    char paths[2][1024];         /* of the files written */
    int  tensors[2], files;
    int  lacks_average;          /* model_ema.* of the latent model are the weights themselves, for there is no average */
} diffad_convert_result;

/* Files are whole or not there. Errors: USAGE (ending, stage), CHECKPOINT (in cannot be read, or lacks what out needs), FILE,
 * MEMORY. Needs no device. */
DIFFAD_API diffad_status diffad_convert(const diffad_convert_options *o, diffad_convert_result *result);

#ifdef __cplusplus
}
#endif

#endif
