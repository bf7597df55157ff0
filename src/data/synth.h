/* synth.h: one training sample: a normal picture and its simulated anomaly. */
#ifndef DIFFAD_SYNTH_H
#define DIFFAD_SYNTH_H

#include "data/pictures.h"

/* How often a picture is rotated, where that is asked for, and how often it gets an anomaly (reference section 8). */
#define DIFFAD_SYNTH_ROTATED   0.3f
#define DIFFAD_SYNTH_ANOMALOUS 0.5f

typedef struct diffad_synth {
    diffad_loader_options options;
    diffad_pictures      *train;          /* options.channels channels */
    diffad_pictures      *textures;       /* always three; NULL without anomalies */
} diffad_synth;

/* Work space of one thread. */
typedef struct diffad_synth_space diffad_synth_space;
diffad_status diffad_synth_space_create(const diffad_loader_options *o, diffad_synth_space **out);
void          diffad_synth_space_destroy(diffad_synth_space *s);

/* Sample number s: planes [C,H,W], mask [H,W], the drawn training picture and whether it was rotated. augmented and mask are left alone
 * without anomalies. Depends on (seed, stage, s) alone. */
diffad_status diffad_synth_sample(const diffad_synth *y, diffad_synth_space *space, int64_t s, float *image,
                                  float *augmented, uint8_t *mask, int *index, bool *turned);

#endif
