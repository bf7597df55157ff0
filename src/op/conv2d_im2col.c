/* conv2d_im2col.c: convolution as columns and a matrix product (blas/gemm.h): the way that serves CLBlast. Samples
 * are taken some at a time, so that the columns stay within bounds. Kernels: cl/conv2d_im2col.cl. */
#include "op/conv2d.h"

enum { MOST_COLUMNS = 16 << 20 };       /* floats */

int conv2d_im2col_variants(const diffad_node *n, const diffad_caps *caps)
{
    (void)n;
    return diffad_gemm_has_way("clblast", caps) ? 2 : 1;
}

static const char *product_of(const diffad_emit *e) { return e->variant == 1 ? "clblast" : NULL; }

/* Columns of some samples: they are x itself where the kernel is a single tap that visits each pixel. */
typedef struct columns {
    int64_t             k, p, samples;
    bool                is_x;
    diffad_gemm_operand at;
} columns;

static diffad_status make_columns(diffad_emit *e, const conv2d_shape *s, columns *c)
{
    const diffad_conv_attr *a = &s->at;
    *c = (columns){ .k = s->i * s->kh * s->kw, .p = s->oh * s->ow };
    c->is_x    = s->kh * s->kw == 1 && a->stride == 1 && a->left + a->right + a->top + a->bottom == 0;
    c->samples = c->k * c->p < MOST_COLUMNS ? MOST_COLUMNS / (c->k * c->p) : 1;
    if (c->is_x || c->samples > s->n)
        c->samples = s->n;
    c->at = (diffad_gemm_operand){ .ld = c->p, .stride = c->k * c->p };
    return c->is_x ? DIFFAD_OK : diffad_emit_scratch(e, c->samples * c->k * c->p, 4, &c->at.mem);
}

static void add_geometry(diffad_launch *l, const conv2d_shape *s)
{
    const int64_t ints[] = { s->h, s->w, s->oh, s->ow, s->kh, s->kw, s->at.stride, s->at.dilation, s->at.top,
                             s->at.left };
    diffad_launch_ints(l, ints, sizeof ints);
}

/* Columns of `count` samples of x from sample n0 on. */
static diffad_status fill_columns(diffad_emit *e, const conv2d_shape *s, columns *c, int64_t n0, int64_t count)
{
    const int64_t offset = e->in[0].offset + n0 * s->i * s->h * s->w;
    if (c->is_x) {
        c->at.mem    = e->in[0].mem;
        c->at.offset = offset;
        return DIFFAD_OK;
    }
    diffad_launch l = diffad_launch_make("conv2d_im2col", "im2col", c->p, DIFFAD_GROUP);
    diffad_launch_items(&l, c->p, c->k, count);
    diffad_launch_mem(&l, e->in[0].mem, offset, DIFFAD_READ);
    diffad_launch_mem(&l, c->at.mem, 0, DIFFAD_WRITE);
    diffad_launch_int(&l, s->i);
    add_geometry(&l, s);
    return diffad_emit_launch(e, &l);
}

diffad_status conv2d_im2col_emit(diffad_emit *e, const diffad_node *n)
{
    const conv2d_shape s = conv2d_shape_of(n);
    columns            c;
    DIFFAD_TRY(make_columns(e, &s, &c));
    for (int64_t n0 = 0; n0 < s.n; n0 += c.samples) {
        const int64_t count = s.n - n0 < c.samples ? s.n - n0 : c.samples;
        DIFFAD_TRY(fill_columns(e, &s, &c, n0, count));
        diffad_gemm g = diffad_gemm_make(s.o, c.p, c.k);
        g.way   = product_of(e);
        g.batch = count;
        g.a     = (diffad_gemm_operand){ e->in[1].mem, e->in[1].offset, c.k, 0 };
        g.b     = c.at;
        g.c     = (diffad_gemm_operand){ e->out[0].mem, e->out[0].offset + n0 * s.o * c.p, c.p, s.o * c.p };
        if (n->in[2]) {
            g.bias_kind   = DIFFAD_GEMM_BIAS_ROWS;
            g.bias_mem    = e->in[2].mem;
            g.bias_offset = e->in[2].offset;
        }
        DIFFAD_TRY(diffad_emit_gemm(e, n, &g, 1, -1));
    }
    return DIFFAD_OK;
}

diffad_status conv2d_im2col_dx_emit(diffad_emit *e, const diffad_node *n)
{
    const conv2d_shape s = conv2d_shape_of(n);
    columns            c;
    DIFFAD_TRY(make_columns(e, &s, &c));
    for (int64_t n0 = 0; n0 < s.n; n0 += c.samples) {
        const int64_t count = s.n - n0 < c.samples ? s.n - n0 : c.samples;
        const int64_t to    = e->out[0].offset + n0 * s.i * s.h * s.w;
        diffad_gemm g = diffad_gemm_make(c.k, c.p, s.o);
        g.way         = product_of(e);
        g.batch       = count;
        g.transpose_a = true;
        g.a = (diffad_gemm_operand){ e->in[0].mem, e->in[0].offset, c.k, 0 };
        g.b = (diffad_gemm_operand){ e->in[1].mem, e->in[1].offset + n0 * s.o * c.p, c.p, s.o * c.p };
        g.c = c.is_x ? (diffad_gemm_operand){ e->out[0].mem, to, c.p, c.k * c.p } : c.at;
        DIFFAD_TRY(diffad_emit_gemm(e, n, &g, 0, -1));
        if (c.is_x)
            continue;
        diffad_launch l = diffad_launch_make("conv2d_im2col", "col2im", s.h * s.w, DIFFAD_GROUP);
        diffad_launch_items(&l, s.h * s.w, s.i, count);
        diffad_launch_mem(&l, c.at.mem, 0, DIFFAD_READ);
        diffad_launch_mem(&l, e->out[0].mem, to, DIFFAD_WRITE);
        add_geometry(&l, &s);
        DIFFAD_TRY(diffad_emit_launch(e, &l));
    }
    return DIFFAD_OK;
}

diffad_status conv2d_im2col_dw_emit(diffad_emit *e, const diffad_node *n)
{
    const conv2d_shape s = conv2d_shape_of(n);
    columns            c;
    DIFFAD_TRY(make_columns(e, &s, &c));
    for (int64_t n0 = 0; n0 < s.n; n0 += c.samples) {
        const int64_t count = s.n - n0 < c.samples ? s.n - n0 : c.samples;
        DIFFAD_TRY(fill_columns(e, &s, &c, n0, count));
        diffad_gemm g = diffad_gemm_make(s.o, c.k, c.p);
        g.way         = product_of(e);
        g.batch       = count;
        g.beta        = n0 > 0;
        g.transpose_b = true;
        g.a = (diffad_gemm_operand){ e->in[1].mem, e->in[1].offset + n0 * s.o * c.p, c.p, s.o * c.p };
        g.b = c.at;
        g.c = (diffad_gemm_operand){ e->out[0].mem, e->out[0].offset, c.k, 0 };
        DIFFAD_TRY(diffad_emit_gemm(e, n, &g, -1, -1));
    }
    return DIFFAD_OK;
}
