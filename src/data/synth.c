/* synth.c: simulated anomalies as DRAEM draws them.
 *
 * A picture is turned in three draws of ten. In half of the draws nothing else happens; in the others a
 * texture, altered by three augmenters, shows through a mask of thresholded Perlin noise: A = x (1-M) +
 * (1-beta) T M + beta x M. */
#include "data/synth.h"

#include "base/sys.h"
#include "data/anomaly.h"
#include "data/augment.h"
#include "data/image_internal.h"

#include <string.h>

enum { MAX_ANGLES = 33 * 33 };

struct diffad_synth_space {
    uint8_t *own;                         /* [h*w*3] a picture that is not kept */
    uint8_t *turned;                      /* [h*w*3] */
    uint8_t *texture[2];                  /* [h*w*3] canvas */
    float   *noise, *rotated;             /* [h*w] */
    float   *image, *source, *blend;      /* [h*w*3] */
    float    angles[MAX_ANGLES];
    unsigned char block[];                /* what they all point into */
};

diffad_status diffad_synth_space_create(const diffad_loader_options *o, diffad_synth_space **out)
{
    const size_t pixels = (size_t)o->width * (size_t)o->height;
    const size_t bytes = pixels * (4 * 3 + 2 * sizeof(float) + 3 * 3 * sizeof(float));
    diffad_synth_space *s = diffad_alloc(sizeof *s + bytes + sizeof(float));
    if (!s)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "no memory for making samples of %d x %d pixels", o->width, o->height);
    const size_t skew = (uintptr_t)s->block % sizeof(float);
    float *f = (float *)(void *)(s->block + (skew ? sizeof(float) - skew : 0));
    s->noise = f;
    s->rotated = f + pixels;
    s->image = f + 2 * pixels;
    s->source = f + 5 * pixels;
    s->blend = f + 8 * pixels;
    uint8_t *u = (uint8_t *)(f + 11 * pixels);
    s->own = u;
    s->turned = u + 3 * pixels;
    s->texture[0] = u + 6 * pixels;
    s->texture[1] = u + 9 * pixels;
    *out = s;
    return DIFFAD_OK;
}

void diffad_synth_space_destroy(diffad_synth_space *s) { diffad_release(s); }

static void to_float(const uint8_t *from, size_t count, float *to)
{
    for (size_t i = 0; i < count; i++)
        to[i] = (float)from[i] / 255.0f;
}

/* The altered texture as [h*w*channels] in [0,1]. */
static void source_of(const diffad_synth *y, const diffad_canvas *c, float *source)
{
    const size_t count = (size_t)c->w * (size_t)c->h;
    if (y->options.channels == 3) {
        to_float(c->pixels, 3 * count, source);
        return;
    }
    for (size_t i = 0; i < count; i++)
        source[i] = (float)diffad_grey(c->pixels[3 * i], c->pixels[3 * i + 1], c->pixels[3 * i + 2]) / 255.0f;
}

static void blend_planes(const diffad_synth *y, const float *blend, float *planes)
{
    const diffad_loader_options *o = &y->options;
    const size_t count = (size_t)o->width * (size_t)o->height, channels = (size_t)o->channels;
    for (size_t k = 0; k < channels; k++)
        for (size_t i = 0; i < count; i++)
            planes[k * count + i] = o->range_lo + (o->range_hi - o->range_lo) * blend[i * channels + k];
}

/* Puts a texture where a drawn mask lets it through; an empty mask leaves `augmented` as it is. */
static diffad_status add_anomaly(const diffad_synth *y, diffad_synth_space *w, diffad_rng *order,
                                 diffad_rng *synth, diffad_rng *augment, const uint8_t *pixels,
                                 float *augmented, uint8_t *mask)
{
    const diffad_loader_options *o = &y->options;
    const int width = o->width, height = o->height;
    const size_t count = (size_t)width * (size_t)height;
    diffad_perlin_draw(synth, height, width, w->angles, w->noise);
    diffad_rotate(w->noise, height, width, 1, (double)diffad_rng_between(synth, -90.0f, 90.0f), w->rotated);
    if (!diffad_threshold(w->rotated, height, width, mask))
        return DIFFAD_OK;
    const float beta = diffad_rng_between(synth, 0.0f, 0.8f);

    const uint8_t *texture = NULL;
    const int which = (int)diffad_rng_below(order, (uint32_t)diffad_pictures_count(y->textures));
    DIFFAD_TRY(diffad_pictures_get(y->textures, which, w->texture[0], &texture));
    if (texture != w->texture[0])
        memcpy(w->texture[0], texture, 3 * count);
    diffad_canvas canvas = { .w = width, .h = height, .pixels = w->texture[0], .spare = w->texture[1] };
    diffad_augment_draw(&canvas, augment);

    to_float(pixels, count * (size_t)o->channels, w->image);
    source_of(y, &canvas, w->source);
    diffad_blend(w->image, w->source, mask, height, width, o->channels, beta, w->blend);
    blend_planes(y, w->blend, augmented);
    return DIFFAD_OK;
}

diffad_status diffad_synth_sample(const diffad_synth *y, diffad_synth_space *w, int64_t s, float *image,
                                  float *augmented, uint8_t *mask, int *index, bool *turned)
{
    const diffad_loader_options *o = &y->options;
    const uint64_t seed = o->seed + ((uint64_t)s >> 32) *
                                        UINT64_C(0x9e3779b97f4a7c15); /* a stream's number has 32 bits */
    diffad_rng order = diffad_rng_make(seed, DIFFAD_RNG_ORDER, o->stage, (uint32_t)s);
    diffad_rng synth = diffad_rng_make(seed, DIFFAD_RNG_SYNTH, o->stage, (uint32_t)s);
    diffad_rng augment = diffad_rng_make(seed, DIFFAD_RNG_AUGMENT, o->stage, (uint32_t)s);
    const size_t count = (size_t)o->width * (size_t)o->height;

    const int drawn = (int)diffad_rng_below(&order, (uint32_t)diffad_pictures_count(y->train));
    const uint8_t *pixels = NULL;
    DIFFAD_TRY(diffad_pictures_get(y->train, drawn, w->own, &pixels));
    const bool turn = diffad_rng_uniform(&synth) < DIFFAD_SYNTH_ROTATED;
    const float degrees = diffad_rng_between(&synth, -90.0f, 90.0f);
    const bool anomalous = diffad_rng_uniform(&synth) < DIFFAD_SYNTH_ANOMALOUS;
    *turned = o->rotate && turn;
    if (*turned) {
        diffad_rotate_u8(pixels, o->height, o->width, o->channels, (double)degrees, w->turned);
        pixels = w->turned;
    }
    diffad_picture_planes(pixels, o, image);
    *index = drawn;
    if (!o->anomalies)
        return DIFFAD_OK;
    memcpy(augmented, image, count * (size_t)o->channels * sizeof(float));
    memset(mask, 0, count);
    return anomalous ? add_anomaly(y, w, &order, &synth, &augment, pixels, augmented, mask) : DIFFAD_OK;
}
