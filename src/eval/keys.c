/* keys.c: radix sorts, eleven bits a pass: twelve million pixels in a fraction of a second. */
#include "eval/keys.h"

#include <inttypes.h>

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, PASSES = 3 };

static unsigned digit_of(uint32_t key, int pass) { return key >> (pass * DIGIT_BITS) & (DIGITS - 1); }

/* Where each digit of a pass begins; false when all keys share one digit, so that the pass would change nothing. */
static int starts_from_counts(int64_t *count, int64_t n)
{
    int64_t at = 0;
    for (int d = 0; d < DIGITS; d++) {
        const int64_t here = count[d];
        if (here == n)
            return 0;
        count[d] = at;
        at += here;
    }
    return 1;
}

void diffad_keys_sort(uint32_t *keys, uint32_t *spare, int64_t n)
{
    uint32_t *from = keys, *to = spare;
    for (int pass = 0; pass < PASSES; pass++) {
        int64_t at[DIGITS] = { 0 };
        for (int64_t i = 0; i < n; i++)
            at[digit_of(from[i], pass)]++;
        if (!starts_from_counts(at, n))
            continue;
        for (int64_t i = 0; i < n; i++)
            to[at[digit_of(from[i], pass)]++] = from[i];
        uint32_t *swap = from;
        from = to;
        to   = swap;
    }
    if (from != keys && n > 0)
        memcpy(keys, from, (size_t)n * sizeof *keys);
}

void diffad_keyed_sort(uint64_t *items, uint64_t *spare, int64_t n)
{
    uint64_t *from = items, *to = spare;
    for (int pass = 0; pass < PASSES; pass++) {
        int64_t at[DIGITS] = { 0 };
        for (int64_t i = 0; i < n; i++)
            at[digit_of((uint32_t)(from[i] >> 32), pass)]++;
        if (!starts_from_counts(at, n))
            continue;
        for (int64_t i = 0; i < n; i++)
            to[at[digit_of((uint32_t)(from[i] >> 32), pass)]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to   = swap;
    }
    if (from != items && n > 0)
        memcpy(items, from, (size_t)n * sizeof *items);
}

diffad_status diffad_scores_check(const char *what, const float *score, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (score[i] != score[i])
            DIFFAD_FAIL(DIFFAD_ERR_NUMERICS,
                        "%s: score %" PRId64 " of %" PRId64 " is not a number; the model that made it has diverged",
                        what, i, n);
    return DIFFAD_OK;
}
