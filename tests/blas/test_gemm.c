/* test_gemm.c: matrix products of src/blas/gemm.c, every way. Small integers: sums are exact in any order, so results
 * must equal the host's in every bit. */
#include "gemm_rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct shape { int64_t m, n, k, batch; } shape;
/* What varies besides: extra elements in each row, in front and between matrices; the epilogue; shared or summed
 * matrices. */
typedef struct variant { int pad, offset, gap, beta, bias; double alpha; bool shares_a, shares_b, sums; } variant;

static float *integers(int64_t count, uint32_t seed)
{
    float *x = malloc((size_t)count * sizeof *x);
    cr_assert(x);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)((int)(seed >> 24) % 9 - 4);
    }
    return x;
}

/* The matrix `o` of rows x columns stored, batch of it. */
static int64_t lay_out(diffad_gemm_operand *o, int64_t rows, int64_t columns, int64_t batch, const variant *v, bool one)
{
    o->offset = v->offset;
    o->ld     = columns + v->pad;
    o->stride = one ? 0 : rows * o->ld + v->gap;
    return o->offset + (one ? rows * o->ld : batch * o->stride);
}

static void expected(const diffad_gemm *g, const float *a, const float *b, const float *bias, float *c)
{
    for (int64_t z = 0; z < g->batch; z++)
        for (int64_t i = 0; i < g->m; i++)
            for (int64_t j = 0; j < g->n; j++) {
                const float *az = a + g->a.offset + z * g->a.stride, *bz = b + g->b.offset + z * g->b.stride;
                double       sum = 0;
                for (int64_t k = 0; k < g->k; k++)
                    sum += (double)az[g->transpose_a ? k * g->a.ld + i : i * g->a.ld + k] *
                           (double)bz[g->transpose_b ? j * g->b.ld + k : k * g->b.ld + j];
                float       *to    = &c[g->c.offset + z * g->c.stride + i * g->c.ld + j];
                const bool   first = z == 0 || g->c.stride > 0;
                double       y     = g->alpha * sum + (g->beta || !first ? (double)*to : 0);
                if (g->bias_kind && first)
                    y += (double)bias[g->bias_offset + (g->bias_kind == DIFFAD_GEMM_BIAS_ROWS ? i : j)];
                *to = (float)y;
            }
}

static void check(rig *r, const char *way, shape s, bool ta, bool tb, variant v)
{
    diffad_gemm g = diffad_gemm_make(s.m, s.n, s.k);
    g.batch       = s.batch;
    g.alpha       = v.alpha;
    g.beta        = v.beta;
    g.transpose_a = ta;
    g.transpose_b = tb;
    g.bias_kind   = (diffad_gemm_bias)v.bias;
    g.bias_offset = v.offset;
    g.way         = way;
    const int64_t na = lay_out(&g.a, ta ? s.k : s.m, ta ? s.m : s.k, s.batch, &v, v.shares_a);
    const int64_t nb = lay_out(&g.b, tb ? s.n : s.k, tb ? s.k : s.n, s.batch, &v, v.shares_b);
    const int64_t nc = lay_out(&g.c, s.m, s.n, s.batch, &v, v.sums), nbias = (s.m > s.n ? s.m : s.n) + v.offset;
    float *a = integers(na, 1), *b = integers(nb, 2), *want = integers(nc, 3), *got = malloc((size_t)nc * sizeof *got);
    float *bias = integers(nbias, 4);
    if (!v.beta)      /* what C held must not matter */
        for (int64_t i = 0; i < nc; i++)
            want[i] = NAN;
    g.a.mem    = rig_mem(r, a, na);
    g.b.mem    = rig_mem(r, b, nb);
    g.c.mem    = rig_mem(r, want, nc);
    g.bias_mem = rig_mem(r, bias, nbias);
    const diffad_gemm_sink sink = rig_sink(r);
    char                   name[160];
    snprintf(name, sizeof name, "way=%s %lldx%lldx%lld batch %lld ta=%d tb=%d pad=%d beta=%d bias=%d sums=%d", way,
             (long long)s.m, (long long)s.n, (long long)s.k, (long long)s.batch, ta, tb, v.pad, v.beta, v.bias,
             v.sums);

    cr_expect_eq(diffad_gemm_add(&sink, &r->caps, &g), DIFFAD_OK, "%s: %s", name,
                 diffad_error_detail());
    cr_expect_eq(rig_run(r), DIFFAD_OK, "%s: %s", name, diffad_error_detail());
    rig_read(r, g.c.mem, got);
    expected(&g, a, b, bias, want);

    for (int64_t i = 0; i < nc; i++)      /* the gaps between rows and matrices too */
        if (memcmp(&want[i], &got[i], sizeof(float)) != 0 && !(want[i] == 0 && got[i] == 0)) {
            cr_expect(false, "%s: element %lld: expected %g got %g", name, (long long)i, (double)want[i],
                      (double)got[i]);
            break;
        }
    cr_expect(rig_is_intact(r), "%s: wrote out of bounds", name);
    for (int i = 0; i < r->n_mems; i++)
        diffad_buffer_release(r->dev, r->buffer[i], (size_t)(r->count[i] + 128) * sizeof(float));
    r->n_mems = r->n_launches = 0;
    free(a);
    free(b);
    free(bias);
    free(want);
    free(got);
}

static void check_way(const char *way)
{
    static const shape shapes[] = {
        { 1, 1, 1, 1 }, { 7, 19, 5, 1 }, { 64, 64, 64, 1 }, { 65, 129, 33, 1 }, { 13, 300, 600, 1 }, { 1, 70, 17, 3 },
        { 37, 31, 2, 2 }, { 6, 5, 4200, 1 }, { 270, 260, 40, 1 }, { 150, 140, 2100, 1 },
    };
    static const variant variants[] = {
        { .alpha = 1 },
        { .pad = 3, .offset = 5, .gap = 7, .beta = 1, .bias = DIFFAD_GEMM_BIAS_COLUMNS, .alpha = -2 },
        { .pad = 1, .offset = 2, .gap = 1, .bias = DIFFAD_GEMM_BIAS_ROWS, .alpha = 1, .shares_a = true },
        { .beta = 1, .bias = DIFFAD_GEMM_BIAS_ROWS, .alpha = 1, .shares_b = true, .sums = true },
    };
    rig *r = rig_open();
    cr_log_info("%s", r->caps.name);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int t = 0; t < 4; t++)
            for (size_t k = 0; k < sizeof variants / sizeof variants[0]; k++)
                if (k == 0 || t == (int)(i + k) % 4)      /* each variant meets each transposition and each shape */
                    check(r, way, shapes[i], t & 1, t >> 1, variants[k]);
    rig_close(r);
}

Test(gemm, cpu_way_is_exact_on_integers) { check_way("cpu"); }
Test(gemm, tile_way_is_exact_on_integers) { check_way("tile"); }
Test(gemm, clblast_way_is_exact_on_integers)
{
    diffad_device *dev;
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    const bool has = diffad_gemm_has_way("clblast", diffad_device_caps(dev));
    diffad_device_close(dev);
    if (!has)
        cr_skip_test("built without CLBlast");
    check_way("clblast");
}

Test(gemm, tile_way_lives_with_16_kib_and_groups_of_64)
{
    setenv("DIFFAD_CAPS", "local_mem=16384,max_wg=64,cpu=0", 1);
    check_way("tile");
}

Test(gemm, cpu_way_is_exact_for_narrower_vectors_and_many_cores)
{
    static const uint32_t lanes[] = { 8, 4 };
    rig *r = rig_open();
    r->caps.compute_units = 64;
    for (int i = 0; i < 2; i++) {
        r->caps.native_float = lanes[i];
        check(r, "cpu", (shape){ 37, 35, 300, 2 }, false, true, (variant){ .pad = 1, .beta = 1, .alpha = 2 });
        check(r, "cpu", (shape){ 65, 64, 20, 1 }, true, false, (variant){ .alpha = 1 });
    }
    rig_close(r);
}

Test(gemm, matrices_of_a_batch_may_lie_side_by_side_in_each_row)
{
    rig        *r = rig_open();
    diffad_gemm g = diffad_gemm_make(9, 16, 11);
    float      *a = integers(3 * 9 * 11, 1), *b = integers(3 * 11 * 16, 2), got[9 * 50], want[9 * 50];
    for (int w = 0; w < 2; w++) {
        memset(want, 0, sizeof want);
        g.batch = 3;
        g.way   = w ? "tile" : "cpu";
        g.a     = (diffad_gemm_operand){ rig_mem(r, a, 3 * 9 * 11), 0, 11, 99 };
        g.b     = (diffad_gemm_operand){ rig_mem(r, b, 3 * 11 * 16), 0, 48, 16 };
        g.c     = (diffad_gemm_operand){ rig_mem(r, want, 9 * 50), 0, 50, 16 };
        const diffad_gemm_sink sink = rig_sink(r);

        cr_assert_eq(diffad_gemm_add(&sink, &r->caps, &g), DIFFAD_OK, "%s", diffad_error_detail());
        cr_assert_eq(rig_run(r), DIFFAD_OK, "%s", diffad_error_detail());
        rig_read(r, g.c.mem, got);
        expected(&g, a, b, NULL, want);

        cr_expect_arr_eq(got, want, sizeof want, "way %s", g.way);
    }
    free(a);
    free(b);
    rig_close(r);
}

Test(gemm, packed_operands_that_are_kept_are_not_packed_again)
{
    rig        *r = rig_open();
    diffad_gemm g = diffad_gemm_make(20, 70, 30);
    float      *a = integers(600, 1), *b = integers(2100, 2), *want = integers(1400, 3), got[1400];
    r->packs_are_kept = true;
    g.way         = "cpu";
    g.transpose_a = g.transpose_b = true;
    g.a = (diffad_gemm_operand){ rig_mem(r, a, 600), 0, 20, 0 };
    g.b = (diffad_gemm_operand){ rig_mem(r, b, 2100), 0, 30, 0 };
    g.c = (diffad_gemm_operand){ rig_mem(r, NULL, 1400), 0, 70, 0 };
    const diffad_gemm_sink sink = rig_sink(r);
    cr_assert_eq(diffad_gemm_add(&sink, &r->caps, &g), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect_eq(r->n_launches, 3);

    cr_assert_eq(diffad_gemm_add(&sink, &r->caps, &g), DIFFAD_OK, "%s", diffad_error_detail());

    cr_expect_eq(r->n_launches, 4, "two panels and a product, then the product alone");
    cr_expect_eq(r->packs_asked, 4);
    cr_assert_eq(rig_run(r), DIFFAD_OK, "%s", diffad_error_detail());
    rig_read(r, g.c.mem, got);
    expected(&g, a, b, NULL, want);
    cr_expect_arr_eq(got, want, sizeof got);
    free(a);
    free(b);
    free(want);
    rig_close(r);
}

Test(gemm, long_sums_stay_close_to_double)
{
    rig *r = rig_open();
    enum { K = 40000, N = 8 };
    float *a = malloc(N * K * sizeof *a), *b = malloc(N * K * sizeof *b), c[N * N];
    for (int64_t i = 0; i < N * K; i++) {      /* all positive: rounding errors cannot hide behind cancellation */
        a[i] = 0.5f + (float)(i * 2654435761u % 1000003) / 1000003.0f;
        b[i] = 0.5f + (float)(i * 2246822519u % 999983) / 999983.0f;
    }
    for (int w = 0; w < 2; w++) {
        diffad_gemm g = diffad_gemm_make(N, N, K);
        g.way         = w ? "tile" : "cpu";
        g.transpose_b = true;
        g.a = (diffad_gemm_operand){ rig_mem(r, a, N * K), 0, K, 0 };
        g.b = (diffad_gemm_operand){ rig_mem(r, b, N * K), 0, K, 0 };
        g.c = (diffad_gemm_operand){ rig_mem(r, NULL, N * N), 0, N, 0 };
        const diffad_gemm_sink sink = rig_sink(r);

        cr_assert_eq(diffad_gemm_add(&sink, &r->caps, &g), DIFFAD_OK, "%s", diffad_error_detail());
        cr_assert_eq(rig_run(r), DIFFAD_OK, "%s", diffad_error_detail());
        rig_read(r, g.c.mem, c);

        for (int i = 0; i < N * N; i++) {
            double sum = 0;
            for (int k = 0; k < K; k++)
                sum += (double)a[i / N * K + k] * (double)b[i % N * K + k];
            cr_expect_lt(fabs((double)c[i] - sum) / sum, 2e-6, "way %s: expected %.9g got %.9g", g.way, sum,
                         (double)c[i]);
        }
    }
    free(a);
    free(b);
    rig_close(r);
}

Test(gemm, a_failure_of_clblast_becomes_a_status_with_text)
{
    rig *r = rig_open();
    if (!diffad_gemm_has_way("clblast", &r->caps))
        cr_skip_test("built without CLBlast");
    diffad_gemm g = diffad_gemm_make(64, 64, 64);
    g.way = "clblast";
    g.a = (diffad_gemm_operand){ rig_mem(r, NULL, 10), 0, 64, 0 };      /* far too small */
    g.b = (diffad_gemm_operand){ rig_mem(r, NULL, 4096), 0, 64, 0 };
    g.c = (diffad_gemm_operand){ rig_mem(r, NULL, 4096), 0, 64, 0 };
    const diffad_gemm_sink sink = rig_sink(r);
    cr_assert_eq(diffad_gemm_add(&sink, &r->caps, &g), DIFFAD_OK);

    const diffad_status st = rig_run(r);

    cr_expect_eq(st, DIFFAD_ERR_DEVICE);
    cr_expect(strstr(diffad_error_detail(), "buffer of A is too small"), "%s", diffad_error_detail());
    rig_close(r);
}

/* ---- refusals: a sink that must not be called ---- */

static diffad_status no_add(void *user, const diffad_launch *l)
{
    (void)l;
    ++*(int *)user;
    return DIFFAD_OK;
}
static diffad_status no_scratch(void *user, int64_t count, int32_t *mem)
{
    (void)count;
    *mem = 99;
    ++*(int *)user;
    return DIFFAD_OK;
}

static void expect_refusal(diffad_gemm g, const char *reason)
{
    static const char *const ways[] = { NULL, "cpu", "tile", "clblast" };
    for (int w = 0; w < 4; w++) {
        int                    calls = 0;
        const diffad_gemm_sink sink  = { &calls, no_add, no_scratch, NULL, NULL };
        const diffad_caps      caps  = { .compute_units = 2, .native_float = 16, .max_group = 64, .local_mem = 16384 };
        if (!g.way || w == 0) {
            diffad_gemm own = g;
            own.way = own.way ? own.way : ways[w];
            const diffad_status st = diffad_gemm_add(&sink, &caps, &own);
            cr_expect(st != DIFFAD_OK && calls == 0, "%s: accepted, %d calls", reason, calls);
            cr_expect(strstr(diffad_error_detail(), reason), "expected a reason with \"%s\", got: %s", reason,
                      diffad_error_detail());
        }
    }
}

static diffad_gemm good(void)
{
    diffad_gemm g = diffad_gemm_make(8, 9, 10);
    g.batch = 2;
    g.a = (diffad_gemm_operand){ 0, 0, 10, 80 };
    g.b = (diffad_gemm_operand){ 1, 0, 9, 90 };
    g.c = (diffad_gemm_operand){ 2, 0, 9, 72 };
    return g;
}

#define REFUSED(reason, change)             \
    do {                                    \
        diffad_gemm g = good();             \
        change;                             \
        expect_refusal(g, reason);          \
    } while (0)

Test(gemm, invalid_descriptions_are_refused_with_a_reason_before_anything_is_added)
{
    REFUSED("M is 0", g.m = 0);
    REFUSED("N is -1", g.n = -1);
    REFUSED("K is 0", g.k = 0);
    REFUSED("batch is 0", g.batch = 0);
    REFUSED("M is 4611686018427387904", g.m = (int64_t)1 << 62);
    REFUSED("matrix A: leading dimension 9", g.a.ld = 9);
    REFUSED("matrix A: leading dimension 7", (g.transpose_a = true, g.a.ld = 7));
    REFUSED("matrix B: leading dimension 8", g.b.ld = 8);
    REFUSED("matrix C: leading dimension 8", g.c.ld = 8);
    REFUSED("matrix C: leading dimension", g.c.ld = (int64_t)1 << 40);
    REFUSED("must not be negative", g.a.offset = -1);
    REFUSED("must not be negative", g.b.stride = -90);
    REFUSED("beyond 2^63", g.b.stride = INT64_MAX);
    REFUSED("beyond 2^63", g.c.offset = INT64_MAX - 3);
    REFUSED("matrix A has no memory", g.a.mem = -1);
    REFUSED("C lies over A or B", g.c.mem = 0);
    REFUSED("C lies over A or B", (g.c.mem = 1, g.c.offset = 100));
    REFUSED("of the batch overlap", g.c.stride = 71);
    REFUSED("alpha", g.alpha = NAN);
    REFUSED("beta 2", g.beta = 2);
    REFUSED("bias kind 7", g.bias_kind = (diffad_gemm_bias)7);
    REFUSED("bias has no memory", g.bias_kind = DIFFAD_GEMM_BIAS_ROWS);
    REFUSED("C lies over the bias", (g.bias_kind = DIFFAD_GEMM_BIAS_ROWS, g.bias_mem = 2));
    REFUSED("no way \"fast\"", g.way = "fast");
}

Test(gemm, result_may_share_memory_with_an_operand_it_does_not_touch)
{
    diffad_gemm            g     = good();
    int                    calls = 0;
    const diffad_gemm_sink sink  = { &calls, no_add, no_scratch, NULL, NULL };
    const diffad_caps      caps  = { .compute_units = 2, .native_float = 16, .max_group = 64, .local_mem = 16384 };
    g.c.mem    = 0;
    g.c.offset = 160;

    cr_expect_eq(diffad_gemm_add(&sink, &caps, &g), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect_gt(calls, 0);
}
