/* test_conv2d.c: the ways of src/op/conv2d*.c against each other and against exact arithmetic. */
#include "diffad/data.h"
#include "diffad/plan.h"
#include "op/ops.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct shape { int n, i, h, w, o, kh, kw; diffad_conv_attr at; } shape;

static int outputs(int length, int k, const diffad_conv_attr *a, int before, int after)
{
    return (length + before + after - (k - 1) * a->dilation - 1) / a->stride + 1;
}

/* Whole numbers from -4 to 4: products and sums below 2^24 are exact in float, in any order. */
static float *whole_numbers(int64_t count, uint32_t state)
{
    float *x = malloc((size_t)count * sizeof *x);
    for (int64_t k = 0; k < count; k++) {
        state = state * 1664525u + 1013904223u;
        x[k]  = (float)((int)(state >> 24) % 9 - 4);
    }
    return x;
}

typedef struct bench {
    const diffad_op *op;
    diffad_shape     in[3];
    int              n_in;
    float           *data[3];
    union { diffad_conv_attr forward; struct { diffad_conv_attr conv; int height, width; } gradient; } attr;
} bench;

static bench bench_new(const diffad_op *op, const shape *s)
{
    const int oh = outputs(s->h, s->kh, &s->at, s->at.top, s->at.bottom);
    const int ow = outputs(s->w, s->kw, &s->at, s->at.left, s->at.right);
    const diffad_shape x = diffad_shape4(s->n, s->i, s->h, s->w), w = diffad_shape4(s->o, s->i, s->kh, s->kw);
    const diffad_shape y = diffad_shape4(s->n, s->o, oh, ow);
    bench b = { .op = op, .n_in = 2 };
    b.attr.gradient.conv = s->at;
    if (op == &diffad_op_conv2d) {
        b.in[0] = x, b.in[1] = w, b.in[2] = diffad_shape1(s->o);
        b.n_in  = 3;
    } else if (op == &diffad_op_conv2d_dx) {
        b.in[0] = w, b.in[1] = y;
        b.attr.gradient.height = s->h, b.attr.gradient.width = s->w;
    } else {
        b.in[0] = x, b.in[1] = y;
        b.attr.gradient.height = s->kh, b.attr.gradient.width = s->kw;
    }
    for (int i = 0; i < b.n_in; i++)
        b.data[i] = whole_numbers(diffad_shape_count(&b.in[i]), 7u + (uint32_t)i);
    return b;
}

static void bench_done(bench *b)
{
    for (int i = 0; i < b->n_in; i++)
        free(b->data[i]);
}

/* The reference's result, in double. */
static double *expected(const bench *b, const diffad_shape *out)
{
    static diffad_value in[3], y;
    diffad_node         n = { .op = b->op, .attr = &b->attr, .n_in = b->op->n_in };
    diffad_ref          r = { .n = &n };
    double             *wide[3] = { NULL };
    for (int i = 0; i < b->n_in; i++) {
        const int64_t count = diffad_shape_count(&b->in[i]);
        in[i]   = (diffad_value){ .type = DIFFAD_F32, .shape = b->in[i] };
        n.in[i] = &in[i];
        wide[i] = malloc((size_t)count * sizeof **wide);
        for (int64_t k = 0; k < count; k++)
            wide[i][k] = (double)b->data[i][k];
        r.in[i] = wide[i];
    }
    y        = (diffad_value){ .type = DIFFAD_F32, .shape = *out };
    n.out[0] = &y;
    r.out[0] = malloc((size_t)diffad_shape_count(out) * sizeof(double));
    b->op->ref(&r);
    for (int i = 0; i < b->n_in; i++)
        free(wide[i]);
    return r.out[0];
}

/* Runs the op on one way; false when the way does not fit. Every element must equal the reference. */
static bool run_exactly(diffad_device *dev, const bench *b, const char *way)
{
    diffad_graph *g;
    diffad_plan  *p;
    diffad_val    in[3];
    char          forced[64], want[64];
    const char   *names[] = { "a", "b", "c" };
    snprintf(forced, sizeof forced, "%s=%s", b->op->name, way);
    snprintf(want, sizeof want, "%s:%s", b->op->name, way);
    cr_assert_eq(diffad_graph_create(&g), DIFFAD_OK);
    for (int i = 0; i < b->n_in; i++)
        in[i] = diffad_input(g, names[i], DIFFAD_F32, b->in[i]);
    const diffad_val   y   = diffad_apply(g, b->op, &b->attr, b->n_in, in);
    const diffad_shape out = *diffad_val_shape(g, y);
    diffad_output(g, "y", y);
    cr_assert_eq(diffad_plan_create(dev, g, &(diffad_plan_options){ .ways = forced, .guard = true }, &p),
                 DIFFAD_OK, "%s: %s", want, diffad_error_detail());
    char      *ways = diffad_plan_ways(p);
    const bool fits = strstr(ways, want) != NULL;
    diffad_memory_release(ways);
    if (fits) {
        const int64_t count = diffad_shape_count(&out);
        float        *got   = malloc((size_t)count * sizeof *got);
        double       *exact = expected(b, &out);
        int64_t       wrong = 0, at = 0;
        for (int i = 0; i < b->n_in; i++)
            cr_assert_eq(diffad_tensor_write(diffad_plan_tensor(p, names[i]), b->data[i],
                                             (size_t)diffad_shape_count(&b->in[i]) * 4), DIFFAD_OK);
        cr_assert_eq(diffad_plan_run(p), DIFFAD_OK, "%s: %s", want, diffad_error_detail());
        cr_assert_eq(diffad_tensor_read(diffad_plan_tensor(p, "y"), got, (size_t)count * 4), DIFFAD_OK);
        for (int64_t k = count - 1; k >= 0; k--)
            if ((double)got[k] != exact[k]) {
                wrong++;
                at = k;
            }
        cr_expect_eq(wrong, 0, "%s: %lld of %lld differ; expected %.0f got %.9g at %lld", want, (long long)wrong,
                     (long long)count, exact[at], (double)got[at], (long long)at);
        free(got);
        free(exact);
    }
    diffad_plan_destroy(p);
    diffad_graph_destroy(g);
    return fits;
}

static const diffad_op *const family[] = { &diffad_op_conv2d, &diffad_op_conv2d_dx, &diffad_op_conv2d_dw };

/* Bits of the ways that fitted at least once, counted over the family. */
static int run_all_ways(const shape *shapes, size_t count)
{
    diffad_device *dev;
    int            ran = 0;
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    for (size_t f = 0; f < sizeof family / sizeof family[0]; f++)
        for (int w = 0; w < family[f]->n_ways; w++) {
            bool any = false;
            if (strcmp(family[f]->ways[w].name, "winograd") == 0)      /* fractions: it rounds whole numbers */
                continue;
            for (size_t s = 0; s < count; s++) {
                bench b = bench_new(family[f], &shapes[s]);
                any     = run_exactly(dev, &b, family[f]->ways[w].name) || any;
                bench_done(&b);
            }
            ran += any;
        }
    diffad_device_close(dev);
    return ran;
}

Test(conv2d, whole_numbers_give_the_same_bits_on_every_way)
{
    static const shape shapes[] = {
        { 2, 20, 9, 11, 36, 3, 3, { 1, 1, 1, 1, 1, 1 } },     { 1, 33, 8, 7, 17, 3, 3, { 2, 1, 0, 1, 0, 1 } },
        { 1, 32, 9, 17, 32, 3, 2, { 1, 2, 2, 1, 3, 0 } },     { 2, 3, 10, 19, 32, 4, 4, { 2, 1, 1, 1, 1, 1 } },
        { 2, 48, 6, 21, 2, 3, 3, { 1, 1, 1, 1, 1, 1 } },      { 3, 64, 1, 1, 64, 1, 1, { 1, 1, 0, 0, 0, 0 } },
    };
    const int ran = run_all_ways(shapes, sizeof shapes / sizeof shapes[0]);
    cr_expect_geq(ran, 6, "portable and im2col run everywhere, only %d ways ran", ran);
}

Test(conv2d, whole_numbers_give_the_same_bits_at_the_sizes_of_real_layers)
{
    static const shape shapes[] = {
        { 1, 128, 32, 32, 64, 3, 3, { 1, 1, 1, 1, 1, 1 } },
        { 2, 3, 64, 64, 64, 3, 3, { 1, 1, 1, 1, 1, 1 } },
        { 1, 64, 64, 64, 3, 3, 3, { 1, 1, 1, 1, 1, 1 } },
    };
    cr_expect_geq(run_all_ways(shapes, sizeof shapes / sizeof shapes[0]), 6);
}

Test(conv2d, shapes_that_do_not_fit_are_refused_with_a_reason)
{
    static const diffad_conv_attr same = { 1, 1, 1, 1, 1, 1 }, none = { 1, 1, 0, 0, 0, 0 };
    static const diffad_conv_attr stuck = { 0, 1, 0, 0, 0, 0 };
    const struct { diffad_shape x, w; const diffad_conv_attr *attr; const char *says; } bad[] = {
        { { 4, { 1, 4, 8, 8 } }, { 4, { 8, 5, 3, 3 } }, &same, "channels" },
        { { 4, { 1, 4, 2, 2 } }, { 4, { 8, 4, 3, 3 } }, &none, "larger" },
        { { 4, { 1, 4, 8, 8 } }, { 4, { 8, 4, 3, 3 } }, &stuck, "stride" },
        { { 3, { 4, 8, 8 } }, { 4, { 8, 4, 3, 3 } }, &same, "rank" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        diffad_graph *g;
        cr_assert_eq(diffad_graph_create(&g), DIFFAD_OK);
        const diffad_val x = diffad_input(g, "x", DIFFAD_F32, bad[i].x), w = diffad_input(g, "w", DIFFAD_F32, bad[i].w);

        const diffad_val y = diffad_conv2d(g, x, w, diffad_none(), bad[i].attr);

        cr_expect_not(diffad_is_valid(y));
        cr_expect_eq(diffad_graph_status(g), DIFFAD_ERR_SHAPE);
        cr_expect(strstr(diffad_error_detail(), bad[i].says), "\"%s\" should say \"%s\"", diffad_error_detail(),
                  bad[i].says);
        diffad_graph_destroy(g);
    }
}
