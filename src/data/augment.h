/* augment.h: the ten augmenters of DRAEM's anomaly sources (as imgaug 0.4.0 defines them) and the colour spaces
 * that two of them pass through. Images are 8-bit with three channels, h,w,c; the first channel is taken for
 * red, whatever it is: the published code hands BGR pictures to a library that expects RGB. */
#ifndef DIFFAD_AUGMENT_H
#define DIFFAD_AUGMENT_H

#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>

/* Colour spaces with a brightness channel, 8 bits in OpenCV's scaling (hue 0..179). */
typedef enum diffad_space {
    DIFFAD_SPACE_YCRCB, DIFFAD_SPACE_HSV, DIFFAD_SPACE_HLS, DIFFAD_SPACE_LAB, DIFFAD_SPACE_LUV, DIFFAD_SPACE_YUV,
    DIFFAD_SPACE_COUNT
} diffad_space;
void diffad_colour_to(diffad_space space, uint8_t *pixels, int64_t count);
void diffad_colour_from(diffad_space space, uint8_t *pixels, int64_t count);

typedef struct diffad_canvas {
    int      w, h;
    uint8_t *pixels, *spare;          /* [h*w*3] each; an augmenter may exchange them */
} diffad_canvas;

void diffad_augment_gamma(diffad_canvas *c, const float gamma[3]);
/* mul, then add, or the other way round, on the brightness channel of `space`. */
void diffad_augment_brightness(diffad_canvas *c, diffad_space space, float mul, int add, bool add_first);
void diffad_augment_sharpness(diffad_canvas *c, float factor);
void diffad_augment_hue_saturation(diffad_canvas *c, int hue, int saturation);
void diffad_augment_solarize(diffad_canvas *c, int threshold);
void diffad_augment_posterize(diffad_canvas *c, int bits);
void diffad_augment_invert(diffad_canvas *c);
void diffad_augment_autocontrast(diffad_canvas *c, int cutoff_percent);
void diffad_augment_equalize(diffad_canvas *c);
void diffad_augment_rotate(diffad_canvas *c, double degrees);

enum { DIFFAD_AUGMENTERS = 10 };
/* One augmenter of the list above with its parameters drawn. */
void diffad_augment_one(diffad_canvas *c, int which, diffad_rng *r);
/* Three different ones, in drawn order. */
void diffad_augment_draw(diffad_canvas *c, diffad_rng *r);

#endif
