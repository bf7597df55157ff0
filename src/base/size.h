/* size.h: checked arithmetic. Each function is false on overflow and then leaves *out alone. */
#ifndef DIFFAD_SIZE_H
#define DIFFAD_SIZE_H

#include <stdbool.h>
#include <stdint.h>

static inline bool diffad_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool diffad_add_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline int64_t diffad_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t diffad_round_up(int64_t a, int64_t b) { return diffad_ceil_div(a, b) * b; }

#endif
