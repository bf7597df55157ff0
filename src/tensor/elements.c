/* elements.c: the values inside a file's tensors: conversion to float, and the search for what is not finite. */
#include "base/fail.h"
#include "tensor/tensor_file.h"

#include <string.h>

static uint64_t load(const unsigned char *p, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = bytes; i > 0; i--)
        v = v << 8 | p[i - 1];
    return v;
}

static float float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static double double_of_bits(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static float float_of_half(uint32_t h)
{
    const uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31u, fraction = h & 0x3FFu;
    if (exponent == 31)
        return float_of_bits(sign | 0x7F800000u | fraction << 13);
    if (exponent == 0) {
        const float subnormal = (float)fraction * 0x1p-24f;
        return sign ? -subnormal : subnormal;
    }
    return float_of_bits(sign | (exponent + 112u) << 23 | fraction << 13);
}

static float element(const diffad_file_tensor *t, const unsigned char *p)
{
    switch (t->type) {
    case DIFFAD_F32: return float_of_bits((uint32_t)load(p, 4));
    case DIFFAD_F16: return float_of_half((uint32_t)load(p, 2));
    case DIFFAD_BF16: return float_of_bits((uint32_t)load(p, 2) << 16);
    case DIFFAD_I32: return (float)(int32_t)(uint32_t)load(p, 4);
    case DIFFAD_U8: return (float)*p;
    case DIFFAD_F64: return (float)double_of_bits(load(p, 8));
    case DIFFAD_I64: return (float)(int64_t)load(p, 8);
    }
    return 0;
}

static diffad_status convert_pieces(const diffad_file_tensor *t, size_t each, float *out, int64_t count)
{
    enum { PIECE = 65536 };
    unsigned char piece[PIECE];
    const int64_t most = PIECE / (int64_t)each;
    for (int64_t i = 0; i < count; i += most) {
        const int64_t n = count - i < most ? count - i : most;
        DIFFAD_TRY(diffad_file_piece(t, i * (int64_t)each, piece, n * (int64_t)each));
        for (int64_t k = 0; k < n; k++)
            out[i + k] = element(t, piece + (size_t)k * each);
    }
    return DIFFAD_OK;
}

diffad_status diffad_file_to_f32(const diffad_file_tensor *t, float *out, int64_t count)
{
    const size_t each = diffad_dtype_bytes(t->type);
    char         text[64];
    if (each == 0 || count != diffad_shape_count(&t->shape) || count != t->bytes / (int64_t)each)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "tensor \"%.80s\" %s %s: room for %lld elements", t->name, diffad_dtype_name(t->type),
                    diffad_shape_text(&t->shape, text, sizeof text), (long long)count);
    for (int64_t i = 0; t->data && i < count; i++)
        out[i] = element(t, t->data + (size_t)i * each);
    return t->data ? DIFFAD_OK : convert_pieces(t, each, out, count);
}

/* All bits of the exponent are set. */
static int is_nonfinite(diffad_dtype type, const unsigned char *p)
{
    switch (type) {
    case DIFFAD_F32: return (load(p, 4) & 0x7F800000u) == 0x7F800000u;
    case DIFFAD_F16: return (load(p, 2) & 0x7C00u) == 0x7C00u;
    case DIFFAD_BF16: return (load(p, 2) & 0x7F80u) == 0x7F80u;
    case DIFFAD_F64: return (load(p, 8) & 0x7FF0000000000000u) == 0x7FF0000000000000u;
    default: return 0;
    }
}

int diffad_file_has_nonfinite(const diffad_file *f, const char **name)
{
    for (int i = 0; i < diffad_file_count(f); i++) {
        const diffad_file_tensor *t    = diffad_file_at(f, i);
        const size_t              each = diffad_dtype_bytes(t->type);
        for (int64_t at = 0; at < t->bytes; at += (int64_t)each)
            if (is_nonfinite(t->type, t->data + at)) {
                if (name)
                    *name = t->name;
                return 1;
            }
    }
    return 0;
}
