/* pictures.h: a numbered set of pictures of one size, made when first asked for and kept while a shared budget
 * lasts. Any thread may ask at any time; what it gets never depends on what is kept. */
#ifndef DIFFAD_PICTURES_H
#define DIFFAD_PICTURES_H

#include "base/fail.h"
#include "diffad/data.h"

#include <stdatomic.h>

/* Writes picture i as [h*w*channels] bytes in the channel order of the samples. */
typedef diffad_status (*diffad_picture_fn)(const void *user, int i, uint8_t *pixels);

typedef struct diffad_pictures diffad_pictures;
/* `budget` counts the bytes that may still be kept, by all sets that share it. */
diffad_status diffad_pictures_create(int count, size_t bytes_each, diffad_picture_fn make, const void *user,
                                     atomic_llong *budget, diffad_pictures **out);
void          diffad_pictures_destroy(diffad_pictures *p);
int           diffad_pictures_count(const diffad_pictures *p);
/* The kept picture, or `own`, which was filled with it. */
diffad_status diffad_pictures_get(diffad_pictures *p, int i, uint8_t *own, const uint8_t **pixels);

/* Reads, resizes and orders one file as the options say: [h*w*channels]. */
diffad_status diffad_picture_read(const char *path, const diffad_loader_options *o, int channels, uint8_t *pixels);
/* [h*w*channels] bytes to planes in the options' range. */
void          diffad_picture_planes(const uint8_t *pixels, const diffad_loader_options *o, float *planes);
diffad_status diffad_loader_options_check(const diffad_loader_options *o);

#endif
