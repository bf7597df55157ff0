/* latent.h: the road of a picture through the frozen networks: encode, sample, decode; for one batch size.
 *
 *     x -> encode -> c -> [noise the condition] -> cond;  z0 -> S steps of denoise(z, cond) -> z -> decode both -> rec, mix
 *
 * Everything between the picture and the result stays on the device. */
#ifndef DIFFAD_LATENT_H
#define DIFFAD_LATENT_H

#include "diffad/plan.h"
#include "diffusion/diffusion.h"
#include "model/models.h"

typedef struct diffad_road {           /* a graph and its plan */
    diffad_graph *graph;
    diffad_plan  *plan;
} diffad_road;
void diffad_road_release(diffad_road *r);

typedef struct diffad_latent {
    diffad_device  *dev;
    diffad_desc     desc;
    int             batch;
    int64_t         latent[3];         /* channels, height, width */
    diffad_schedule schedule;
    diffad_params  *autoencoder, *unet;     /* borrowed */
    diffad_plan_options options;
    diffad_tensor  *x, *c, *cond, *z, *rec, *mix;      /* mix NULL where the variant has none */
    diffad_tensor  *sqrt_abar, *sqrt_1m_abar;
    diffad_road     encode, denoise, decode, noise_z, noise_cond;
    diffad_ddim_row *rows;
    int             n_rows, rows_steps;
    double          rows_eta;
    int32_t        *times;             /* [n_rows][batch], kept for writes that do not wait */
} diffad_latent;

/* scale: of z against the encoder's latent (desc.scale_factor, or what the first stage measured).
 * unet NULL: encode and decode only. Parameters must be allocated. options: of all plans; NULL: defaults. */
diffad_status diffad_latent_create(diffad_device *dev, const diffad_desc *d, double scale, diffad_params *autoencoder,
                                   diffad_params *unet, int batch, const diffad_plan_options *options, diffad_latent **out);
void          diffad_latent_destroy(diffad_latent *l);

/* x (written by the caller: plan tensor x) -> c. */
diffad_status diffad_latent_encode(diffad_latent *l);
/* start [batch * latent] of N(0,1). cond_noise: needed when desc.condition_noise >= 0 (c is noised with it), else NULL.
 * eta_noise: [steps][batch * latent] when eta > 0, else NULL. Leaves the result in z. */
diffad_status diffad_latent_sample(diffad_latent *l, int steps, double eta, const float *start, const float *cond_noise, const float *eta_noise);
/* z, c -> rec, mix as one batch. */
diffad_status diffad_latent_decode(diffad_latent *l);

int64_t diffad_latent_count(const diffad_latent *l);       /* elements of one batch of latents */
/* The start noise of global samples first..: what every device draws. out [count * latent elements of one sample] */
void    diffad_latent_noise(const diffad_latent *l, uint64_t seed, uint32_t purpose, uint32_t step, int64_t first, int count, float *out);

#endif
