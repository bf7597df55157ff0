/* rng.h: counter-based random numbers (Philox 4x32-10, Salmon et al., SC 2011): the same on host and device.
 *
 * A stream is (seed, purpose, step, sample); position i in it gives the same 32 bits everywhere and in any order, so
 * that neither batch split, worker count nor vendor changes a number. The device's twin is cl/common/random.cl. */
#ifndef DIFFAD_RNG_H
#define DIFFAD_RNG_H

#include <stdint.h>

/* What a number is for; part of the key. Never renumber: it would change every run. */
typedef enum diffad_purpose {
    DIFFAD_RNG_INIT = 1,        /* parameter initialisation; sample = index of the parameter */
    DIFFAD_RNG_ORDER,           /* drawing images from the data set */
    DIFFAD_RNG_SYNTH,           /* simulated anomalies; sample = global sample number */
    DIFFAD_RNG_AUGMENT,
    DIFFAD_RNG_POSTERIOR,       /* eps of the latent's posterior */
    DIFFAD_RNG_TIME,            /* t of the diffusion loss */
    DIFFAD_RNG_NOISE,           /* eps of the diffusion loss */
    DIFFAD_RNG_COND_TIME,       /* t of the condition's noise */
    DIFFAD_RNG_COND_NOISE,
    DIFFAD_RNG_SAMPLER,         /* start of DDIM and its eta noise */
    DIFFAD_RNG_DROPOUT,
    DIFFAD_RNG_DATASET,         /* procedural data sets and textures */
    DIFFAD_RNG_TEST
} diffad_purpose;

typedef struct diffad_rng {
    uint32_t key[2];            /* seed */
    uint32_t purpose, step, sample;
    uint64_t position;          /* next 32-bit number; may be set */
    uint64_t held;              /* 1 + index of the four numbers in `block`, 0: none */
    uint32_t block[4];
} diffad_rng;

/* Philox 4x32-10 of one counter. */
void diffad_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Counter layout: { position / 4, sample, step, purpose }: a stream has 2^34 numbers. */
diffad_rng diffad_rng_make(uint64_t seed, diffad_purpose purpose, uint32_t step, uint32_t sample);
uint32_t   diffad_rng_u32(diffad_rng *r);
uint32_t   diffad_rng_below(diffad_rng *r, uint32_t n);         /* 0 .. n-1, unbiased */
float      diffad_rng_uniform(diffad_rng *r);                   /* [0, 1), 24 bits */
float      diffad_rng_between(diffad_rng *r, float lo, float hi);
float      diffad_rng_normal(diffad_rng *r);                    /* N(0,1): bits are equal on every machine and device */

/* The normal that belongs to 32 random bits: a table of cubic pieces of the inverse distribution, evaluated with fma
 * alone (cl/common/normal.h, one header for C and OpenCL C). */
float diffad_normal_from_bits(uint32_t bits);

#endif
