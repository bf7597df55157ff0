/* operand.c: where the operands of a node lie: in tensors, in copies of the other layout, over an input that nothing
 * reads any more, or in new memory. */
#include "base/sys.h"
#include "graph/plan.h"

static diffad_status place_without_tensor(diffad_plan *p, const diffad_value *v, int32_t *mem)
{
    const int64_t element = (int64_t)diffad_dtype_bytes(v->type);
    return plan_new_mem(p, PLAN_MEM_FIXED, diffad_numel(v) * element, (int)element, v->id, mem);
}

/* Memory of the plan's own that no launch shares; *t, where it is more than a size, goes with the plan. */
static diffad_status place_own(diffad_plan *p, diffad_dtype type, const diffad_shape *shape, int32_t value, diffad_tensor **t, int32_t *mem)
{
    const int element = (int)diffad_dtype_bytes(type);
    if (!p->options.sizes_only)
        DIFFAD_TRY(diffad_tensor_create(p->dev, type, shape, t));
    DIFFAD_TRY(plan_new_mem(p, PLAN_MEM_FIXED, diffad_shape_count(shape) * element, element, value, mem));
    p->mem[*mem].tensor = *t;
    p->fixed_bytes += (size_t)p->mem[*mem].bytes;
    return DIFFAD_OK;
}

diffad_status plan_own_tensor(diffad_plan *p, const diffad_value *v, int32_t *mem)
{
    if (!diffad_grow(&p->owned, p->n_owned, &p->cap_owned, sizeof *p->owned))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    p->owned[p->n_owned]       = NULL;
    p->owned_value[p->n_owned] = v->id;
    return place_own(p, v->type, &v->shape, v->id, &p->owned[p->n_owned++], mem);
}

diffad_status plan_queue(diffad_plan *p, int32_t *mem)
{
    const diffad_shape shape = diffad_shape1(2);
    if (p->queue_mem < 0)
        DIFFAD_TRY(place_own(p, DIFFAD_I32, &shape, -1, &p->queue, &p->queue_mem));
    *mem = p->queue_mem;
    return DIFFAD_OK;
}

diffad_status plan_place_leaf(diffad_plan *p, const diffad_value *v)
{
    plan_value *pv = &p->value[v->id];
    char        have[64], want[64];
    if (v->kind == DIFFAD_VALUE_INPUT) {
        DIFFAD_TRY(plan_own_tensor(p, v, &pv->plain.mem));
    } else if (p->options.sizes_only) {
        DIFFAD_TRY(place_without_tensor(p, v, &pv->plain.mem));
    } else {
        diffad_tensor *t = *v->slot;
        if (!t)
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "plan: bound value %s has no tensor yet", v->name);
        if (!t->buffer)
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "plan: the tensor of %s is held in packed form alone, by another plan", v->name);
        if (t->type != v->type || !diffad_shape_equal(&t->shape, &v->shape))
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "plan: %s is %s %s, its tensor is %s %s", v->name, diffad_dtype_name(v->type),
                        diffad_shape_text(&v->shape, want, sizeof want), diffad_dtype_name(t->type),
                        diffad_shape_text(&t->shape, have, sizeof have));
        DIFFAD_TRY(plan_new_mem(p, PLAN_MEM_FIXED, (int64_t)t->bytes, (int)diffad_dtype_bytes(v->type), v->id,
                                &pv->plain.mem));
        p->mem[pv->plain.mem].tensor = t;
    }
    pv->plain.block = 1;
    p->mem[pv->plain.mem].reads_left = pv->reads + 1;      /* never overwritten in place */
    return DIFFAD_OK;
}

diffad_status plan_operand_in(diffad_emit *e, const diffad_value *v, bool blocked, diffad_operand *out)
{
    diffad_plan *p  = e->plan;
    plan_value  *pv = &p->value[v->id];
    if (v->kind != DIFFAD_VALUE_NODE && pv->plain.mem < 0)
        DIFFAD_TRY(plan_place_leaf(p, v));
    diffad_operand *want = blocked ? &pv->blocked : &pv->plain, *have = blocked ? &pv->plain : &pv->blocked;
    if (want->mem < 0 || (blocked && pv->is_written && v->kind == DIFFAD_VALUE_BOUND)) {
        diffad_operand to = { .mem = -1, .offset = 0, .block = blocked ? (int)e->caps->block : 1 };
        DIFFAD_TRY(plan_new_mem(p, PLAN_MEM_TEMP, diffad_layout_count(v, to.block) * 4, 4, v->id, &to.mem));
        p->mem[to.mem].reads_left = pv->reads + 1;         /* other nodes may ask for this copy */
        DIFFAD_TRY(diffad_emit_reorder(e, v, have, &to));
        *want = to;
    }
    *out = *want;
    return DIFFAD_OK;
}

static bool can_take_over(const diffad_plan *p, const diffad_node *n, int i, const diffad_operand *in,
                          const diffad_value *out, int block)
{
    return diffad_in_mask(n->op, n->op->inplace, i) && n->in[i] && in->mem >= 0 && in->block == block && in->offset == 0 &&
           p->mem[in->mem].kind == PLAN_MEM_TEMP && p->mem[in->mem].reads_left == 1 && !out->is_output &&
           !p->options.no_sharing && n->in[i]->type == out->type &&
           diffad_layout_count(n->in[i], block) == diffad_layout_count(out, block);
}

/* A value's memory, or `mem` where that is given. */
static diffad_status place_result(diffad_emit *e, const diffad_value *v, bool blocked, int32_t mem, diffad_operand *out)
{
    diffad_plan   *p     = e->plan;
    plan_value    *pv    = &p->value[v->id];
    const int      block = blocked ? (int)e->caps->block : 1;
    diffad_operand o     = { .mem = mem, .offset = 0, .block = block };
    if (o.mem < 0 && v->is_output && !blocked && !p->options.guard)
        DIFFAD_TRY(plan_own_tensor(p, v, &o.mem));
    else if (o.mem < 0)
        DIFFAD_TRY(plan_new_mem(p, PLAN_MEM_TEMP, diffad_layout_count(v, block) * (int64_t)diffad_dtype_bytes(v->type),
                                (int)diffad_dtype_bytes(v->type), v->id, &o.mem));
    p->mem[o.mem].reads_left += pv->reads;
    *(blocked ? &pv->blocked : &pv->plain) = o;
    pv->is_home_blocked = blocked;
    *out = o;
    return DIFFAD_OK;
}

diffad_status plan_operand_out(diffad_emit *e, const diffad_node *n, int k, bool blocked)
{
    diffad_plan *p   = e->plan;
    const int    block = blocked ? (int)e->caps->block : 1;
    int32_t      mem = -1;
    for (int i = 0; k == 0 && i < n->n_in && mem < 0; i++)
        if (can_take_over(p, n, i, &e->in[i], n->out[k], block)) {
            mem = e->in[i].mem;
            p->mem[mem].reads_left = 1;      /* this node's own read, counted down when it is emitted */
        }
    return place_result(e, n->out[k], blocked, mem, &e->out[k]);
}

diffad_status plan_operand_fused(diffad_emit *e, const diffad_node *n, const diffad_node *last, bool blocked)
{
    diffad_plan *p = e->plan;
    DIFFAD_TRY(place_result(e, last->out[0], blocked, -1, &e->out[0]));
    for (int64_t i = n->id; i < last->id; i++) {
        const diffad_node *between = p->graph->node[i];
        if (i != n->id && p->fused_into[i] != n->id)
            continue;
        plan_value *pv = &p->value[between->y[0].id];
        *(blocked ? &pv->blocked : &pv->plain) = e->out[0];
        pv->is_home_blocked = blocked;
    }
    return DIFFAD_OK;
}
