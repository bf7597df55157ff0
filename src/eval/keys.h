/* keys.h: scores as integers that sort like the numbers, and a radix sort of them. For metrics alone. */
#ifndef DIFFAD_EVAL_KEYS_H
#define DIFFAD_EVAL_KEYS_H

#include "base/fail.h"

#include <stdint.h>
#include <string.h>

/* Larger score, smaller key: an ascending sort walks thresholds from the highest down. -0 and 0 are one score. */
static inline uint32_t diffad_score_key(float score)
{
    const float plain = score + 0.0f;     /* -0 becomes 0 */
    uint32_t    bits;
    memcpy(&bits, &plain, sizeof bits);
    return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

static inline float diffad_key_score(uint32_t key)
{
    const uint32_t bits = key & 0x80000000u ? key : ~key & 0x7fffffffu;
    float          score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

/* Ascending, in place; `spare` has room for n. */
void diffad_keys_sort(uint32_t *keys, uint32_t *spare, int64_t n);
/* Items with the key in the upper half and anything in the lower; equal keys keep their order. */
void diffad_keyed_sort(uint64_t *items, uint64_t *spare, int64_t n);

/* Errors: NUMERICS, naming the place, when a score is not a number. */
diffad_status diffad_scores_check(const char *what, const float *score, int64_t n);

#endif
