/* texture.h: procedural noise and textures. */
#ifndef DIFFAD_TEXTURE_H
#define DIFFAD_TEXTURE_H

#include "base/rng.h"

#include <stdint.h>

/* Smooth noise in [0,1] with one lattice point per unit; `octaves` of it, each of half the weight and twice the
 * rate. */
float diffad_smooth_noise(uint32_t seed, float x, float y);
float diffad_fractal_noise(uint32_t seed, float x, float y, int octaves);

/* A texture of a drawn kind (clouds, marble, cells, stripes, weave, spots) in drawn colours: pixels [h*w*3]. */
void diffad_texture_draw(diffad_rng *r, int w, int h, uint8_t *pixels);

#endif
