/* gemm.c: checks a matrix product's description, picks its way, splits what a way should not see whole. */
#include "blas/gemm_ways.h"
#include "base/size.h"

#include <math.h>
#include <string.h>

/* Kernels count rows, columns and leading dimensions in int; tiles round up by at most 128. */
static const int64_t MOST = INT32_MAX - 256;

diffad_gemm diffad_gemm_make(int64_t m, int64_t n, int64_t k)
{
    return (diffad_gemm){ .m = m, .n = n, .k = k, .batch = 1, .alpha = 1, .a = { .mem = -1 }, .b = { .mem = -1 },
                          .c = { .mem = -1 }, .bias_mem = -1, .variant = -1 };
}

/* ---- checks ---- */

/* One past the last element that `count` matrices of rows x columns touch. */
static bool end_of(const diffad_gemm_operand *o, int64_t rows, int64_t columns, int64_t count, int64_t *end)
{
    int64_t matrices, last;
    return diffad_mul_i64(count - 1, o->stride, &matrices) && diffad_mul_i64(rows - 1, o->ld, &last) &&
           diffad_add_i64(last, columns, &last) && diffad_add_i64(last, matrices, &last) &&
           diffad_add_i64(last, o->offset, end);
}

static diffad_status check_operand(const char *name, const diffad_gemm_operand *o, int64_t rows, int64_t columns,
                                   int64_t count, int64_t *end)
{
    if (o->mem < 0)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "gemm: matrix %s has no memory", name);
    if (o->offset < 0 || o->stride < 0)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "gemm: matrix %s: offset %lld and stride %lld must not be negative", name,
                    (long long)o->offset, (long long)o->stride);
    if (o->ld < columns || o->ld > MOST)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE,
                    "gemm: matrix %s: leading dimension %lld, its rows have %lld elements (and at most %lld)", name,
                    (long long)o->ld, (long long)columns, (long long)MOST);
    if (!end_of(o, rows, columns, count, end))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "gemm: matrix %s: its last element is beyond 2^63", name);
    return DIFFAD_OK;
}

static bool overlap(int32_t mem1, int64_t from1, int64_t end1, int32_t mem2, int64_t from2, int64_t end2)
{
    return mem1 == mem2 && from1 < end2 && from2 < end1;
}

static diffad_status check_result(const diffad_gemm *g, int64_t a_end, int64_t b_end, int64_t c_end)
{
    const diffad_gemm_operand *c = &g->c;
    if (overlap(c->mem, c->offset, c_end, g->a.mem, g->a.offset, a_end) ||
        overlap(c->mem, c->offset, c_end, g->b.mem, g->b.offset, b_end))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "gemm: C lies over A or B: give it memory of its own");
    const bool is_apart   = c->stride >= (g->m - 1) * c->ld + g->n;
    const bool is_between = c->stride >= g->n && c->ld >= (g->batch - 1) * c->stride + g->n;      /* in each row */
    if (g->batch > 1 && c->stride > 0 && !is_apart && !is_between)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "gemm: the matrices C of the batch overlap (stride %lld, ld %lld, %lld x %lld)",
                    (long long)c->stride, (long long)c->ld, (long long)g->m, (long long)g->n);
    return DIFFAD_OK;
}

static diffad_status check_bias(const diffad_gemm *g, int64_t c_end)
{
    const int64_t length = g->bias_kind == DIFFAD_GEMM_BIAS_ROWS ? g->m : g->n;
    if (g->bias_kind == DIFFAD_GEMM_NO_BIAS)
        return DIFFAD_OK;
    if (g->bias_kind != DIFFAD_GEMM_BIAS_ROWS && g->bias_kind != DIFFAD_GEMM_BIAS_COLUMNS)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "gemm: bias kind %d: none, rows or columns", (int)g->bias_kind);
    if (g->bias_mem < 0 || g->bias_offset < 0 || g->bias_offset > INT64_MAX - length)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "gemm: the bias has no memory, or offset %lld is out of range",
                    (long long)g->bias_offset);
    if (overlap(g->c.mem, g->c.offset, c_end, g->bias_mem, g->bias_offset, g->bias_offset + length))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "gemm: C lies over the bias: give it memory of its own");
    return DIFFAD_OK;
}

static diffad_status check(const diffad_gemm *g)
{
    static const char *const names[] = { "M", "N", "K", "batch" };
    const int64_t            sides[] = { g->m, g->n, g->k, g->batch };
    int64_t a_end = 0, b_end = 0, c_end = 0;
    for (int i = 0; i < 4; i++)
        if (sides[i] < 1 || sides[i] > MOST)
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "gemm: %s is %lld, it must be 1..%lld", names[i], (long long)sides[i],
                        (long long)MOST);
    if (!isfinite((float)g->alpha) || (g->beta != 0 && g->beta != 1))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "gemm: alpha %g must be finite and beta %d must be 0 or 1", g->alpha, g->beta);
    DIFFAD_TRY(check_operand("A", &g->a, g->transpose_a ? g->k : g->m, g->transpose_a ? g->m : g->k, g->batch, &a_end));
    DIFFAD_TRY(check_operand("B", &g->b, g->transpose_b ? g->n : g->k, g->transpose_b ? g->k : g->n, g->batch, &b_end));
    DIFFAD_TRY(check_operand("C", &g->c, g->m, g->n, g->batch, &c_end));
    DIFFAD_TRY(check_result(g, a_end, b_end, c_end));
    return check_bias(g, c_end);
}

/* ---- ways ---- */

typedef diffad_status (*way_fn)(const diffad_gemm_sink *sink, const diffad_caps *caps, const diffad_gemm *g);

static way_fn find_way(const char *way, const diffad_caps *caps)
{
    if (!way)
        return caps->local_mem_is_cheap ? diffad_gemm_cpu : diffad_gemm_tile;
    return strcmp(way, "cpu") == 0 ? diffad_gemm_cpu : strcmp(way, "tile") == 0 ? diffad_gemm_tile
         : strcmp(way, "clblast") == 0 ? diffad_gemm_clblast : NULL;
}

bool diffad_gemm_has_way(const char *way, const diffad_caps *caps)
{
    if (strcmp(way, "cpu") == 0)
        return caps->local_mem_is_cheap;
    return strcmp(way, "tile") == 0 || (strcmp(way, "clblast") == 0 && diffad_gemm_has_clblast());
}

int diffad_gemm_variants(const char *way, const diffad_caps *caps)
{
    return strcmp(way, "cpu") == 0 ? diffad_gemm_cpu_variants() : strcmp(way, "tile") == 0 ? diffad_gemm_tile_variants(caps) : 1;
}

static diffad_gemm part(const diffad_gemm *g, int64_t from, int64_t count)
{
    diffad_gemm p = *g;
    p.batch = count;
    p.a.offset += from * g->a.stride;
    p.b.offset += from * g->b.stride;
    p.c.offset += from * g->c.stride;
    return p;
}

/* Matrices of the batch whose packed or partial forms stay within 256 MiB: work space must not grow with the batch. */
static int64_t batch_at_once(const diffad_gemm *g)
{
    const double each = (double)g->k * (double)(g->m + g->n) + (double)g->m * (double)g->n;
    const double fit  = floor((double)(64 << 20) / each);
    return fit < 1 ? 1 : fit < (double)g->batch ? (int64_t)fit : g->batch;
}

diffad_status diffad_gemm_add(const diffad_gemm_sink *sink, const diffad_caps *caps, const diffad_gemm *g)
{
    DIFFAD_TRY(check(g));
    const way_fn way = find_way(g->way, caps);
    if (!way)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "gemm: no way \"%s\": it is cpu, tile or clblast", g->way);
    if (way == diffad_gemm_clblast && !diffad_gemm_has_clblast())
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED,
                    "gemm: this build has no CLBlast: install it and build again, or force another way");
    const bool    is_sum = g->batch > 1 && g->c.stride == 0;
    const int64_t step   = is_sum ? 1 : batch_at_once(g);
    for (int64_t i = 0; i < g->batch; i += step) {
        diffad_gemm p = part(g, i, g->batch - i < step ? g->batch - i : step);
        if (is_sum && i > 0) {
            p.beta      = 1;
            p.bias_kind = DIFFAD_GEMM_NO_BIAS;
        }
        DIFFAD_TRY(way(sink, caps, &p));
    }
    return DIFFAD_OK;
}
