/* norm.c: the parts that group norm and batch norm share. Kernels: cl/norm.cl, cl/norm_grad.cl. */
#include "op/norm.h"

/* A chunk on a CPU is 32 KiB at most: read from memory once, then twice from the cache. */
enum { CPU_UNITS = 512, BLOCKS_PER_THREAD = 4, GPU_UNITS_PER_ITEM = 16, GPU_WIDE = 4096 };      /* pixels from which a GPU reads four at a time */

norm_walk diffad_norm_walk(const diffad_emit *e, const diffad_value *x, int block)
{
    const bool    is_cpu = e->caps->local_mem_is_cheap;
    const int64_t hw     = diffad_numel(x) / (diffad_side(x, 0) * diffad_side(x, 1));
    norm_walk     s      = { .block = block, .n = diffad_side(x, 0), .c = diffad_side(x, 1),
                             .group = is_cpu ? 1 : DIFFAD_GROUP };
    s.padded = diffad_round_up(s.c, block);
    s.vec    = block > 1 ? block : !is_cpu ? (hw >= GPU_WIDE && hw % 4 == 0 ? 4 : 1) : hw % 16 == 0 ? 16 : hw % 4 == 0 ? 4 : 1;
    s.units  = block > 1 ? hw : hw / s.vec;
    s.per    = is_cpu ? CPU_UNITS : GPU_UNITS_PER_ITEM * DIFFAD_GROUP;
    s.chunks = diffad_ceil_div(s.units, s.per);
    return s;
}

diffad_status diffad_norm_part(diffad_emit *e, const norm_walk *s, int fields, int32_t *mem)
{
    return diffad_emit_scratch(e, s->n * (s->padded / s->block) * s->chunks * fields * s->vec, 4, mem);
}

diffad_launch diffad_norm_launch(const norm_walk *s, const char *program, const char *kernel, diffad_activation act)
{
    diffad_launch l = diffad_launch_make(program, kernel, s->group, s->group);
    diffad_launch_def(&l, "B", s->block);
    diffad_launch_def(&l, "VEC", s->vec);
    diffad_launch_def(&l, "ACT", act);
    diffad_launch_local(&l, (int64_t)s->group * s->vec * 4);
    return l;
}

void diffad_norm_over_chunks(diffad_launch *l, const norm_walk *s)
{
    diffad_launch_items(l, s->chunks * s->group, s->padded / s->block, s->n);
}

bool diffad_norm_by_block(const diffad_emit *e, const norm_walk *s, int groups)
{
    return s->block > 1 && s->group == 1 && s->c % s->block == 0 && s->block % (s->c / groups) == 0 &&
           s->n * (s->c / s->block) >= (int64_t)BLOCKS_PER_THREAD * e->caps->compute_units;
}

diffad_status diffad_norm_moments(diffad_emit *e, const norm_walk *s, int32_t *part)
{
    DIFFAD_TRY(diffad_norm_part(e, s, 3, part));
    diffad_launch l = diffad_norm_launch(s, "norm", "moments", DIFFAD_ACT_NONE);
    diffad_norm_over_chunks(&l, s);
    diffad_emit_in(&l, e, 0);
    diffad_launch_mem(&l, *part, 0, DIFFAD_WRITE);
    diffad_launch_int(&l, s->units);
    diffad_launch_int(&l, s->per);
    return diffad_emit_launch(e, &l);
}

diffad_status diffad_norm_apply(diffad_emit *e, const norm_walk *s, int32_t coef, bool is_per_sample,
                                diffad_activation act)
{
    diffad_launch l = diffad_norm_launch(s, "norm", "apply", act);
    diffad_norm_over_chunks(&l, s);
    diffad_emit_in(&l, e, 0);
    diffad_launch_mem(&l, coef, 0, DIFFAD_READ);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, s->padded);
    diffad_launch_int(&l, is_per_sample ? 4 * s->padded : 0);
    diffad_launch_int(&l, s->units);
    diffad_launch_int(&l, s->per);
    return diffad_emit_launch(e, &l);
}

diffad_status diffad_norm_check(const diffad_node *n)
{
    char text[64];
    if (n->in[0]->shape.rank < 2 || n->in[0]->type != DIFFAD_F32)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: x is %s, must be float32 [N,C,...]", n->op->name,
                    diffad_shape_text(&n->in[0]->shape, text, sizeof text));
    for (int i = 1; i < 3; i++)
        if (n->in[i]->shape.rank != 1 || n->in[i]->shape.side[0] != n->in[0]->shape.side[1])
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: %s is %s, must be [%lld] like the channels of x", n->op->name,
                        i == 1 ? "w" : "b",
                        diffad_shape_text(&n->in[i]->shape, text, sizeof text), (long long)n->in[0]->shape.side[1]);
    return DIFFAD_OK;
}

/* ---- gradient ---- */

diffad_status diffad_norm_infer_grad(const diffad_node *n, diffad_infer_out *out)
{
    for (int k = 0; k < 3; k++)
        out[k] = (diffad_infer_out){ DIFFAD_F32, n->in[k]->shape };
    return diffad_norm_check(n);
}

static void add_statistics(diffad_launch *l, const diffad_emit *e)
{
    for (int i = 0; i < 6; i++)
        diffad_emit_in(l, e, i);
}

static void add_geometry(diffad_launch *l, const diffad_node *n, const norm_walk *s, norm_share share)
{
    const diffad_norm_attr *a = n->attr;
    diffad_launch_int(l, s->c);
    diffad_launch_int(l, share == NORM_GROUP ? s->c / a->groups : 1);
    diffad_launch_int(l, share == NORM_GROUP ? a->groups : 0);
    diffad_launch_int(l, share == NORM_GIVEN);
    diffad_launch_float(l, a->eps);
    diffad_launch_int(l, s->units);
    diffad_launch_int(l, s->per);
}

static diffad_status emit_sums(diffad_emit *e, const diffad_node *n, const norm_walk *s, norm_share share, int32_t part)
{
    diffad_launch l = diffad_norm_launch(s, "norm_grad", "sums", ((const diffad_norm_attr *)n->attr)->act);
    diffad_norm_over_chunks(&l, s);
    add_statistics(&l, e);
    diffad_launch_mem(&l, part, 0, DIFFAD_WRITE);
    add_geometry(&l, n, s, share);
    return diffad_emit_launch(e, &l);
}

static diffad_status emit_channel_sums(diffad_emit *e, const diffad_node *n, const norm_walk *s, int32_t part)
{
    diffad_launch l = diffad_norm_launch(s, "norm_grad", "channel_sums", ((const diffad_norm_attr *)n->attr)->act);
    diffad_launch_items(&l, s->c * s->group, 1, 1);
    diffad_launch_mem(&l, part, 0, DIFFAD_READ);
    diffad_emit_out(&l, e, 1);
    diffad_emit_out(&l, e, 2);
    const int64_t sizes[] = { s->c, s->n, s->units, s->chunks, s->per };
    for (int i = 0; i < 5; i++)
        diffad_launch_int(&l, sizes[i]);
    return diffad_emit_launch(e, &l);
}

static diffad_status emit_group_sums(diffad_emit *e, const diffad_node *n, const norm_walk *s, int32_t part,
                                     int32_t *mean)
{
    const diffad_norm_attr *a = n->attr;
    DIFFAD_TRY(diffad_emit_scratch(e, 2 * s->n * a->groups, 4, mean));
    diffad_launch l = diffad_norm_launch(s, "norm_grad", "group_sums", a->act);
    diffad_launch_items(&l, (int64_t)a->groups * s->group, s->n, 1);
    diffad_launch_mem(&l, part, 0, DIFFAD_READ);
    diffad_emit_in(&l, e, 1);
    diffad_launch_mem(&l, *mean, 0, DIFFAD_WRITE);
    diffad_launch_mem(&l, *mean, s->n * a->groups, DIFFAD_WRITE);
    const int64_t sizes[] = { s->c, a->groups, s->units, s->chunks, s->per };
    for (int i = 0; i < 5; i++)
        diffad_launch_int(&l, sizes[i]);
    return diffad_emit_launch(e, &l);
}

static diffad_status emit_block_grad(diffad_emit *e, const diffad_node *n, const norm_walk *s, int32_t part)
{
    diffad_launch l = diffad_norm_launch(s, "norm_grad", "group_block_grad", ((const diffad_norm_attr *)n->attr)->act);
    diffad_launch_items(&l, 1, s->padded / s->block, s->n);
    add_statistics(&l, e);
    diffad_launch_mem(&l, part, 0, DIFFAD_WRITE);
    diffad_emit_out(&l, e, 0);
    add_geometry(&l, n, s, NORM_GROUP);
    diffad_launch_int(&l, s->chunks);
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    return emit_channel_sums(e, n, s, part);
}

diffad_status diffad_norm_emit_grad(diffad_emit *e, const diffad_node *n, norm_share share)
{
    const diffad_norm_attr *a = n->attr;
    const norm_walk s = diffad_norm_walk(e, n->in[0], e->in[0].block);
    int32_t part, mean = -1;
    DIFFAD_TRY(diffad_norm_part(e, &s, 2, &part));
    if (share == NORM_GROUP && diffad_norm_by_block(e, &s, a->groups))
        return emit_block_grad(e, n, &s, part);
    DIFFAD_TRY(emit_sums(e, n, &s, share, part));
    DIFFAD_TRY(emit_channel_sums(e, n, &s, part));
    if (share == NORM_GROUP)
        DIFFAD_TRY(emit_group_sums(e, n, &s, part, &mean));
    diffad_launch l = diffad_norm_launch(&s, "norm_grad", "spread", a->act);
    diffad_norm_over_chunks(&l, &s);
    add_statistics(&l, e);
    if (share == NORM_GROUP) {
        diffad_launch_mem(&l, mean, 0, DIFFAD_READ);
        diffad_launch_mem(&l, mean, s.n * a->groups, DIFFAD_READ);
    } else {
        diffad_launch_mem(&l, e->out[2].mem, e->out[2].offset, DIFFAD_READ);
        diffad_launch_mem(&l, e->out[1].mem, e->out[1].offset, DIFFAD_READ);
    }
    diffad_emit_out(&l, e, 0);
    add_geometry(&l, n, &s, share);
    diffad_launch_float(&l, share == NORM_GROUP ? 1.0 : 0.0);
    diffad_launch_float(&l, share == NORM_BATCH ? (double)s.c / (double)diffad_numel(n->in[0]) : 0.0);
    return diffad_emit_launch(e, &l);
}

static double act_grad(diffad_activation act, double h)
{
    const double s = 1.0 / (1.0 + exp(-h));
    return act == DIFFAD_ACT_SILU ? s * (1.0 + h * (1.0 - s)) : act == DIFFAD_ACT_RELU ? (h > 0.0 ? 1.0 : 0.0) : 1.0;
}

/* Index of the statistics that element (n, c) shares with others. */
static int64_t shared_index(const diffad_ref *r, norm_share share, int64_t n, int64_t c)
{
    const diffad_norm_attr *a = r->n->attr;
    return share == NORM_GROUP ? n * a->groups + c / (diffad_side(r->n->in[0], 1) / a->groups) : c;
}

void diffad_norm_ref_grad(const diffad_ref *r, norm_share share)
{
    const diffad_norm_attr *a = r->n->attr;
    const int64_t N = diffad_side(r->n->in[0], 0), C = diffad_side(r->n->in[0], 1);
    const int64_t HW = diffad_numel(r->n->in[0]) / (N * C);
    const int64_t shares = diffad_numel(r->n->in[3]);
    for (int64_t c = 0; c < C; c++)
        r->out[1][c] = r->out[2][c] = 0;
    for (int64_t q = 0; q < shares; q++) {
        double s1 = 0, s2 = 0, count = 0;
        const double rstd = share == NORM_GIVEN ? 1.0 / sqrt(r->in[4][q] + a->eps) : r->in[4][q];
        for (int pass = 0; pass < 2; pass++)
            for (int64_t i = 0; i < N * C; i++) {
                const int64_t c = i % C;
                if (shared_index(r, share, i / C, c) != q)
                    continue;
                for (int64_t k = i * HW; k < (i + 1) * HW; k++) {
                    const double xh = (r->in[0][k] - r->in[3][q]) * rstd;
                    const double dz = r->in[5][k] * act_grad(a->act, xh * r->in[1][c] + r->in[2][c]);
                    if (pass == 0) {
                        r->out[1][c] += dz * xh;
                        r->out[2][c] += dz;
                        s1 += r->in[1][c] * dz;
                        s2 += r->in[1][c] * dz * xh;
                        count += 1;
                    } else {
                        const double spread = share == NORM_GIVEN ? 0 : (s1 + xh * s2) / count;
                        r->out[0][k] = rstd * (r->in[1][c] * dz - spread);
                    }
                }
            }
    }
}
