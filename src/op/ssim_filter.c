/* ssim_filter.c: the windowed means that SSIM is made of, G a, G b, G(a^2 + b^2), G(a b), where G is an 11x11 Gaussian
 * with zero padding, and their gradient; G is its own transpose. Kernels: cl/ssim_filter.cl.
 *
 * Rows first, columns then. Always plain: pictures have 3 channels, a block would carry 13 empty lanes. */
#include "op/skeleton.h"

#include <math.h>

enum { RADIUS = 5, WINDOW = 2 * RADIUS + 1, FIELDS = 4 };

/* Half of the window, centre first; normalised in float32 as the reference implementation does. */
static void window(float w[RADIUS + 1])
{
    float all[WINDOW], sum = 0;
    for (int i = 0; i < WINDOW; i++) {
        all[i] = (float)exp(-(double)((i - RADIUS) * (i - RADIUS)) / (2 * 1.5 * 1.5));
        sum += all[i];
    }
    for (int i = 0; i <= RADIUS; i++)
        w[i] = all[RADIUS + i] / sum;
}

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(diffad_expect_map(n, 0));
    return diffad_infer_equal_shapes(n, out);
}

static void add_window(diffad_launch *l, const diffad_node *n)
{
    float w[RADIUS + 1];
    window(w);
    for (int i = 0; i <= RADIUS; i++)
        diffad_launch_float(l, (double)w[i]);
    diffad_launch_int(l, diffad_side(n->in[0], 2));
    diffad_launch_int(l, diffad_side(n->in[0], 3));
    diffad_launch_int(l, diffad_numel(n->in[0]));
}

static diffad_launch pass(const diffad_node *n, const char *kernel, int part)
{
    diffad_launch l = diffad_launch_make("ssim_filter", kernel, diffad_numel(n->in[0]), DIFFAD_GROUP);
    diffad_launch_def(&l, "PART", part);
    return l;
}

static diffad_status fwd_emit(diffad_emit *e, const diffad_node *n)
{
    int32_t rows;
    DIFFAD_TRY(diffad_emit_scratch(e, FIELDS * diffad_numel(n->in[0]), (int)sizeof(float), &rows));
    diffad_launch along_rows = pass(n, "ssim_rows", 1), along_columns = pass(n, "ssim_columns", 2);
    diffad_emit_in(&along_rows, e, 0);
    diffad_emit_in(&along_rows, e, 1);
    diffad_launch_mem(&along_rows, rows, 0, DIFFAD_WRITE);
    add_window(&along_rows, n);
    DIFFAD_TRY(diffad_emit_launch(e, &along_rows));
    diffad_launch_mem(&along_columns, rows, 0, DIFFAD_READ);
    for (int k = 0; k < FIELDS; k++)
        diffad_emit_out(&along_columns, e, k);
    add_window(&along_columns, n);
    return diffad_emit_launch(e, &along_columns);
}

/* Inputs a, b and the gradients of the four fields. */
static diffad_status bwd_emit(diffad_emit *e, const diffad_node *n)
{
    int32_t rows;
    DIFFAD_TRY(diffad_emit_scratch(e, FIELDS * diffad_numel(n->in[0]), (int)sizeof(float), &rows));
    diffad_launch along_rows = pass(n, "ssim_rows_bwd", 3), along_columns = pass(n, "ssim_columns_bwd", 4);
    for (int k = 0; k < FIELDS; k++)
        diffad_emit_in(&along_rows, e, 2 + k);
    diffad_launch_mem(&along_rows, rows, 0, DIFFAD_WRITE);
    add_window(&along_rows, n);
    DIFFAD_TRY(diffad_emit_launch(e, &along_rows));
    diffad_emit_in(&along_columns, e, 0);
    diffad_emit_in(&along_columns, e, 1);
    diffad_launch_mem(&along_columns, rows, 0, DIFFAD_READ);
    diffad_emit_out(&along_columns, e, 0);
    diffad_emit_out(&along_columns, e, 1);
    add_window(&along_columns, n);
    return diffad_emit_launch(e, &along_columns);
}

static diffad_cost cost(const diffad_node *n)
{
    return (diffad_cost){ 2.0 * 2 * WINDOW * FIELDS * (double)diffad_numel(n->in[0]),
                          diffad_cost_pointwise(n, 0).bytes };
}

/* The four fields filtered at pixel i: field(r, j, f) for each pixel j of the window. */
static void filter_at(const diffad_ref *r, int64_t i, void (*field)(const diffad_ref *, int64_t, double *),
                      double sum[FIELDS])
{
    const int64_t h = diffad_side(r->n->in[0], 2), w = diffad_side(r->n->in[0], 3), y = i / w % h, x = i % w;
    float         half[RADIUS + 1];
    window(half);
    for (int k = 0; k < FIELDS; k++)
        sum[k] = 0;
    for (int dy = -RADIUS; dy <= RADIUS; dy++)
        for (int dx = -RADIUS; dx <= RADIUS; dx++) {
            double f[FIELDS];
            if (y + dy < 0 || y + dy >= h || x + dx < 0 || x + dx >= w)
                continue;
            field(r, i + dy * w + dx, f);
            for (int k = 0; k < FIELDS; k++)
                sum[k] += (double)half[dy < 0 ? -dy : dy] * (double)half[dx < 0 ? -dx : dx] * f[k];
        }
}

static void products(const diffad_ref *r, int64_t j, double *f)
{
    const double a = r->in[0][j], b = r->in[1][j];
    f[0] = a;
    f[1] = b;
    f[2] = a * a + b * b;
    f[3] = a * b;
}

static void gradients(const diffad_ref *r, int64_t j, double *f)
{
    for (int k = 0; k < FIELDS; k++)
        f[k] = r->in[2 + k][j];
}

static void fwd_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->in[0]); i++) {
        double sum[FIELDS];
        filter_at(r, i, products, sum);
        for (int k = 0; k < FIELDS; k++)
            r->out[k][i] = sum[k];
    }
}

static void bwd_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->in[0]); i++) {
        const double a = r->in[0][i], b = r->in[1][i];
        double       sum[FIELDS];
        filter_at(r, i, gradients, sum);
        r->out[0][i] = sum[0] + 2 * a * sum[2] + b * sum[3];
        r->out[1][i] = sum[1] + 2 * b * sum[2] + a * sum[3];
    }
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    diffad_val in[2 + FIELDS] = { n->x[0], n->x[1] };
    for (int k = 0; k < FIELDS; k++)
        in[2 + k] = diffad_is_valid(dy[k]) ? dy[k] : diffad_fill(g, n->in[0]->shape, 0);
    dx[0] = diffad_apply(g, &diffad_op_ssim_filter_grad, NULL, 2 + FIELDS, in);
    dx[1] = diffad_out(dx[0], 1);
}

static const diffad_way fwd_ways[] = { { .name = "separable", .emit = fwd_emit, .is_portable = true } };
static const diffad_way bwd_ways[] = { { .name = "separable", .emit = bwd_emit, .is_portable = true } };

#define MAP(n, c, h, w) { 4, { n, c, h, w } }
#define TWO(...)        MAP(__VA_ARGS__), MAP(__VA_ARGS__)
#define ALL(...)        { TWO(__VA_ARGS__), TWO(__VA_ARGS__), TWO(__VA_ARGS__) }
static const diffad_op_case cases[] = {
    { .name = "one", .in = ALL(1, 1, 1, 1) },
    { .name = "odd", .in = ALL(2, 3, 13, 17) },
    { .name = "smaller_than_window", .in = ALL(1, 2, 4, 7) },
    { .name = "image", .in = ALL(1, 3, 128, 128), .range = { { 0, 1 }, { 0, 1 } }, .bench = true },
};

const diffad_op diffad_op_ssim_filter = {
    .name = "ssim_filter", .n_in = 2, .n_out = FIELDS, .tol = 1e-6, .maps_in = 3, .maps_out = 15, .infer = infer,
    DIFFAD_WAYS(fwd_ways), .grad = grad, .cost = cost, .ref = fwd_ref, DIFFAD_CASES(cases),
};
const diffad_op diffad_op_ssim_filter_grad = {
    .name = "ssim_filter_grad", .n_in = 2 + FIELDS, .n_out = 2, .tol = 1e-6, .maps_in = 63, .maps_out = 3,
    .infer = infer, DIFFAD_WAYS(bwd_ways), .no_grad = "second derivatives are not needed", .cost = cost,
    .ref = bwd_ref, DIFFAD_CASES(cases),
};
