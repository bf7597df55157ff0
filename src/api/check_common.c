/* check_common.c: data and graphs for the cases of an op. */
#include "api/check_common.h"
#include "base/rng.h"
#include "base/sys.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int check_inputs(const diffad_op *op, const diffad_op_case *c)
{
    int further = 0;
    while (c->sets && c->sets[further])
        further++;
    if (further)
        return op->set_first + (1 + further) * op->set_size;
    return c->n_in ? c->n_in : op->n_in;
}

diffad_shape check_shape(const diffad_op *op, const diffad_op_case *c, int i)
{
    const int set = op->set_size && i >= op->set_first ? (i - op->set_first) / op->set_size : 0;
    return set ? diffad_shape1(c->sets[set - 1]) : c->in[i];
}

diffad_dtype check_type(const diffad_op *op, const diffad_op_case *c, int i) { return c->type[diffad_role(op, i)]; }

bool check_is_absent(const diffad_op *op, const diffad_op_case *c, int i)
{
    return i >= check_inputs(op, c) || (c->absent >> i & 1u);
}

diffad_status check_bound(diffad_device *dev, const diffad_op *op, const diffad_op_case *c, diffad_tensor *bound[])
{
    for (int i = 0; i < op->n_in; i++) {
        if (check_is_absent(op, c, i) || !diffad_op_writes(op, i))
            continue;
        const diffad_shape shape = check_shape(op, c, i);
        DIFFAD_TRY(diffad_tensor_create(dev, check_type(op, c, i), &shape, &bound[i]));
    }
    return DIFFAD_OK;
}

diffad_status check_graph(diffad_graph *g, const diffad_op *op, const diffad_op_case *c, int least, diffad_tensor *bound[], diffad_val x[],
                          diffad_val y[])
{
    diffad_val in[DIFFAD_MAX_IN];
    char       name[16];
    for (int i = 0; i < op->n_in; i++) {
        in[i] = diffad_none();
        if (x)
            x[i] = in[i];
        if (check_is_absent(op, c, i))
            continue;
        const diffad_dtype type  = check_type(op, c, i);
        const diffad_shape shape = check_shape(op, c, i);
        snprintf(name, sizeof name, "x%d", i);
        in[i] = diffad_op_writes(op, i) ? diffad_bound(g, name, type, shape, &bound[i]) : diffad_input(g, name, type, shape);
        if (x)
            x[i] = in[i];
        if (least && diffad_in_mask(op, op->maps_in, i) && shape.rank == 4 && shape.side[1] >= least)
            in[i] = diffad_reorder(g, in[i]);
    }
    const diffad_val result = diffad_apply(g, op, c->attr, op->n_in, in);
    for (int k = 0; k < op->n_out; k++) {
        const diffad_val out = diffad_out(result, k);
        snprintf(name, sizeof name, "y%d", k);
        diffad_output(g, name, out);
        if (y)
            y[k] = out;
    }
    return diffad_graph_status(g);
}

double *check_data(const diffad_op *op, const diffad_op_case *c, int i, uint32_t salt)
{
    const diffad_shape shape = check_shape(op, c, i);
    const diffad_range range = c->range[diffad_role(op, i)];
    const diffad_dtype type  = check_type(op, c, i);
    const int64_t count = diffad_shape_count(&shape);
    double       *x     = diffad_alloc_array((size_t)count, sizeof *x);
    diffad_rng    r     = diffad_rng_make(2026, DIFFAD_RNG_TEST, salt, (uint32_t)i);
    const double  lo = range.lo, hi = range.hi;
    for (int64_t k = 0; x && k < count; k++) {
        if (type == DIFFAD_I32 || type == DIFFAD_U8)
            x[k] = lo + (double)diffad_rng_below(&r, (uint32_t)(hi - lo) + 1);
        else if (lo == 0 && hi == 0)
            x[k] = diffad_rng_normal(&r);
        else
            x[k] = diffad_rng_between(&r, (float)lo, (float)hi);
    }
    return x;
}

static uint16_t bf16_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static float half_to_float(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 1023;
    uint32_t       u;
    float          f;
    if (exponent == 0) {
        f = (float)mantissa * (1.0f / 16777216.0f);
        return sign ? -f : f;
    }
    u = exponent == 31 ? sign | 0x7f800000u | mantissa << 13 : sign | (exponent + 112) << 23 | mantissa << 13;
    memcpy(&f, &u, 4);
    return f;
}

/* Nearest half by search over the two neighbours: obvious rather than fast. */
static uint16_t float_to_half(float f)
{
    uint16_t best = 0;
    for (int bit = 14; bit >= 0; bit--) {
        const uint16_t next = (uint16_t)(best | 1u << bit);
        if (next < 0x7c00 && half_to_float(next) <= (f < 0 ? -f : f))
            best = next;
    }
    const float a = f < 0 ? -f : f, lo = half_to_float(best), hi = half_to_float((uint16_t)(best + 1));
    if (a - lo > hi - a || (a - lo == hi - a && (best & 1)))
        best++;
    return signbit(f) ? (uint16_t)(best | 0x8000) : best;
}

void check_to_type(const double *from, int64_t count, diffad_dtype type, void *to)
{
    for (int64_t i = 0; i < count; i++)
        switch (type) {
        case DIFFAD_I32: ((int32_t *)to)[i] = (int32_t)from[i]; break;
        case DIFFAD_U8: ((uint8_t *)to)[i] = (uint8_t)from[i]; break;
        case DIFFAD_F16: ((uint16_t *)to)[i] = float_to_half((float)from[i]); break;
        case DIFFAD_BF16: ((uint16_t *)to)[i] = bf16_of((float)from[i]); break;
        default: ((float *)to)[i] = (float)from[i]; break;
        }
}

void check_from_type(const void *from, int64_t count, diffad_dtype type, double *to)
{
    for (int64_t i = 0; i < count; i++)
        switch (type) {
        case DIFFAD_I32: to[i] = ((const int32_t *)from)[i]; break;
        case DIFFAD_U8: to[i] = ((const uint8_t *)from)[i]; break;
        case DIFFAD_F16: to[i] = half_to_float(((const uint16_t *)from)[i]); break;
        case DIFFAD_BF16: {
            const uint32_t u = (uint32_t)((const uint16_t *)from)[i] << 16;
            float          f;
            memcpy(&f, &u, 4);
            to[i] = f;
            break;
        }
        default: to[i] = ((const float *)from)[i]; break;
        }
}
