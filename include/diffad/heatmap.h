/* heatmap.h: anomaly maps as pictures and files. Maps are [h][w], row-major. Host only. */
#ifndef DIFFAD_HEATMAP_H
#define DIFFAD_HEATMAP_H

#include "diffad/data.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The colour of v in [0, 1] (clamped): dark blue over red to pale yellow, lightness rising evenly to the eye (straight
 * in OKLab), so that it also reads in grey and by the colour-blind. */
DIFFAD_API void diffad_colour_map(double v, uint8_t rgb[3]);

/* The map in colours: lo is the darkest, hi the brightest. Errors: SHAPE; USAGE unless lo < hi; NUMERICS when a value
 * is not a number; MEMORY. */
DIFFAD_API diffad_status diffad_heatmap_render(const float *map, int h, int w, double lo, double hi, diffad_image *out);
/* The same over `picture` (w x h, 1 or 3 channels): a pixel's colour covers `strength` (0..1) times its value, so that
 * what is normal stays the picture. */
DIFFAD_API diffad_status diffad_heatmap_overlay(const float *map, int h, int w, double lo, double hi,
                                                const diffad_image *picture, double strength, diffad_image *out);

/* mask [h][w] of 0/1 as a picture, white on black, one channel. */
DIFFAD_API diffad_status diffad_mask_render(const uint8_t *mask, int h, int w, diffad_image *out);
/* Draws the inner border of the mask, `thickness` pixels wide, into `picture` (w x h, 3 channels). */
DIFFAD_API diffad_status diffad_mask_outline(const uint8_t *mask, int h, int w, int thickness, const uint8_t rgb[3],
                                             diffad_image *picture);
/* n pictures of one height side by side, `gap` white columns between them; 3 channels (grey ones are spread). */
DIFFAD_API diffad_status diffad_picture_row(const diffad_image *const *pictures, int n, int gap, diffad_image *out);

/* float32 as baseline TIFF, one channel, uncompressed, one strip: what benchmark evaluation codes read. Atomic. */
DIFFAD_API diffad_status diffad_map_save_tiff(const char *path, const float *map, int h, int w);

#ifdef __cplusplus
}
#endif

#endif
