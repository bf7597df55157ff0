/* shape.c: shapes and element types. */
#include "base/size.h"
#include "diffad/tensor.h"

#include <stdio.h>

static const struct {
    const char *name;
    size_t      bytes;
} types[] = {
    [DIFFAD_F32] = { "f32", 4 }, [DIFFAD_F16] = { "f16", 2 }, [DIFFAD_BF16] = { "bf16", 2 }, [DIFFAD_I32] = { "i32", 4 },
    [DIFFAD_U8] = { "u8", 1 },   [DIFFAD_F64] = { "f64", 8 }, [DIFFAD_I64] = { "i64", 8 },
};

static int is_type(diffad_dtype t) { return (unsigned)t < sizeof types / sizeof types[0]; }

/* A side of 0 does not hide an overflow of the others: strides are made of them. */
int64_t diffad_shape_count(const diffad_shape *s)
{
    int64_t count = 1;
    int     empty = 0;
    if (s->rank < 0 || s->rank > DIFFAD_MAX_RANK)
        return -1;
    for (int i = 0; i < s->rank; i++) {
        if (s->side[i] < 0 || (s->side[i] > 0 && !diffad_mul_i64(count, s->side[i], &count)))
            return -1;
        empty |= s->side[i] == 0;
    }
    return empty ? 0 : count;
}

int diffad_shape_equal(const diffad_shape *a, const diffad_shape *b)
{
    if (a->rank != b->rank)
        return 0;
    for (int i = 0; i < a->rank; i++)
        if (a->side[i] != b->side[i])
            return 0;
    return 1;
}

const char *diffad_dtype_name(diffad_dtype t) { return is_type(t) ? types[t].name : "?"; }
size_t      diffad_dtype_bytes(diffad_dtype t) { return is_type(t) ? types[t].bytes : 0; }

char *diffad_shape_text(const diffad_shape *s, char *out, size_t bytes)
{
    size_t at = (size_t)snprintf(out, bytes, "[");
    for (int i = 0; i < s->rank && i < DIFFAD_MAX_RANK && at < bytes; i++)
        at += (size_t)snprintf(out + at, bytes - at, "%s%lld", i ? "," : "", (long long)s->side[i]);
    if (at < bytes)
        snprintf(out + at, bytes - at, "]");
    return out;
}
