/* skeleton.c: emission shared by several ops. */
#include "op/skeleton.h"

enum { MAX_PARTS = 1024 };      /* pieces of a row: the last launch adds 16 of them per work-item, then a tree */

diffad_launch diffad_pointwise_launch(const diffad_emit *e, const char *program, const char *kernel, int part,
                                      int64_t count, int64_t *vectors)
{
    const int64_t width = diffad_vector_width(e->caps, count);
    diffad_launch l     = diffad_launch_make(program, kernel, count / width, DIFFAD_GROUP);
    diffad_launch_def(&l, "PART", part);
    diffad_launch_def(&l, "VEC", width);
    *vectors = count / width;
    return l;
}

int64_t diffad_map_planes(const diffad_value *map, int block)
{
    return diffad_side(map, 0) * diffad_ceil_div(diffad_side(map, 1), block);
}

diffad_launch diffad_map_launch(int block, const char *program, const char *kernel, int part, int64_t items)
{
    diffad_launch l = diffad_launch_make(program, kernel, items, DIFFAD_GROUP);
    diffad_launch_def(&l, "PART", part);
    diffad_launch_def(&l, "VEC", block);
    return l;
}

diffad_launch diffad_pixel_launch(const diffad_value *map, int block, const char *program, const char *kernel, int part,
                                  int64_t *pixels)
{
    *pixels = diffad_map_planes(map, block) * diffad_side(map, 2) * diffad_side(map, 3);
    return diffad_map_launch(block, program, kernel, part, *pixels);
}

diffad_status diffad_expect_map(const diffad_node *n, int i)
{
    char text[64];
    if (n->in[i]->shape.rank != 4 || n->in[i]->type != DIFFAD_F32)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: input %d is %s %s, a map f32 [N,C,H,W] is needed", n->op->name, i,
                    diffad_dtype_name(n->in[i]->type), diffad_shape_text(&n->in[i]->shape, text, sizeof text));
    return DIFFAD_OK;
}

/* ---- reductions ---- */

diffad_reduction diffad_reduction_make(const diffad_emit *e, int64_t rows, int64_t count)
{
    const bool    is_cpu = e->caps->local_mem_is_cheap;
    const int64_t width = diffad_vector_width(e->caps, count), vectors = count / width,
                  group = is_cpu ? 1 : DIFFAD_GROUP;
    const int64_t least = is_cpu ? 256 : 8, needed = diffad_ceil_div(vectors, group * MAX_PARTS);
    const int64_t per_item = needed > least ? needed : least;
    return (diffad_reduction){ .rows = rows, .vectors = vectors, .width = width, .group = group, .per_item = per_item,
                               .parts = diffad_ceil_div(vectors, group * per_item) };
}

diffad_launch diffad_reduction_launch(const diffad_reduction *r, const char *program, const char *kernel, int part)
{
    diffad_launch l = diffad_launch_make(program, kernel, r->parts * r->group, r->group);
    diffad_launch_items(&l, r->parts * r->group, r->rows, 1);
    diffad_launch_group(&l, r->group, 1, 1);
    diffad_launch_def(&l, "PART", part);
    diffad_launch_def(&l, "VEC", r->width);
    diffad_launch_def(&l, "MAXIMUM", r->is_max);
    diffad_launch_local(&l, r->group * (int64_t)sizeof(float));
    return l;
}

static void add_lengths(diffad_launch *l, int64_t count, int64_t per_item, double scale, double add)
{
    diffad_launch_count(l, count);
    diffad_launch_int(l, per_item);
    diffad_launch_float(l, scale);
    diffad_launch_float(l, add);
}

diffad_status diffad_reduction_emit(diffad_emit *e, const diffad_reduction *r, diffad_launch *l, double scale,
                                    double add)
{
    const int64_t results = r->joins_rows ? 1 : r->rows, parts = r->rows * r->parts / results;
    if (parts == 1) {
        diffad_emit_out(l, e, 0);
        add_lengths(l, r->vectors, r->per_item, scale, add);
        return diffad_emit_launch(e, l);
    }
    int32_t scratch;
    DIFFAD_TRY(diffad_emit_scratch(e, r->rows * r->parts, (int)sizeof(float), &scratch));
    diffad_launch_mem(l, scratch, 0, DIFFAD_WRITE);
    add_lengths(l, r->vectors, r->per_item, 1, 0);
    DIFFAD_TRY(diffad_emit_launch(e, l));

    const diffad_reduction last = {
        .rows = results, .width = 1, .group = DIFFAD_GROUP, .parts = 1, .is_max = r->is_max
    };
    diffad_launch          f    = diffad_reduction_launch(&last, "reduce", "reduce_values", 1);
    diffad_launch_mem(&f, scratch, 0, DIFFAD_READ);
    diffad_emit_out(&f, e, 0);
    add_lengths(&f, parts, diffad_ceil_div(parts, DIFFAD_GROUP), scale, add);
    return diffad_emit_launch(e, &f);
}
