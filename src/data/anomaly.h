/* anomaly.h: the pieces of a simulated anomaly, as DRAEM defines them. Images here are h,w,c. */
#ifndef DIFFAD_ANOMALY_H
#define DIFFAD_ANOMALY_H

#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>

/* Perlin noise from gradient angles [(ry+1)*(rx+1)], row-major; h and w are multiples of ry and rx. The
 * gradient of an angle a is cos a along the rows' axis (down) and sin a along the columns' axis. Computed in
 * double. */
void diffad_perlin(const float *angles, int ry, int rx, int h, int w, float *noise);
/* Number of cells on a side of `side` pixels: a draw among the 2^k, k = 0..5, that divide it into cells of two
 * pixels or more (a cell of one pixel has no noise). At 256 pixels these are all six, as published. */
int diffad_perlin_cells(diffad_rng *r, int side);
/* A drawn noise field; angles holds 33 * 33. */
void diffad_perlin_draw(diffad_rng *r, int h, int w, float *angles, float *noise);

/* Rotation about the centre ((w-1)/2, (h-1)/2), bilinear, zero outside. The pixel at offset (dx,dy) from the centre
 * shows what was at (cos dx + sin dy, -sin dx + cos dy), y down. The 8-bit form rounds to nearest. */
void diffad_rotate(const float *in, int h, int w, int channels, double degrees, float *out);
void diffad_rotate_u8(const uint8_t *in, int h, int w, int channels, double degrees, uint8_t *out);

/* mask = noise > 0.5; returns whether any pixel is set. */
bool diffad_threshold(const float *noise, int h, int w, uint8_t *mask);
/* out = image (1-M) + (1-beta) source M + beta image M; mask [h*w] of 0/1. */
void diffad_blend(const float *image, const float *source, const uint8_t *mask, int h, int w, int channels,
                  float beta, float *out);

#endif
