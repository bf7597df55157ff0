/* emit.c: what ops call while a plan is built. */
#include "graph/emit.h"
#include "base/size.h"
#include "base/sys.h"
#include "graph/plan.h"

#include <stdio.h>
#include <string.h>

int64_t diffad_layout_count(const diffad_value *v, int block)
{
    const int64_t count = diffad_numel(v);
    if (block <= 1)
        return count;
    const int64_t c = diffad_side(v, 1);
    return count / c * diffad_round_up(c, block);
}

static void add_operand(diffad_launch *l, const diffad_operand *o, diffad_access access)
{
    if (o->mem < 0)
        l->is_overfull = true;
    else
        diffad_launch_mem(l, o->mem, o->offset, access);
}

void diffad_emit_in(diffad_launch *l, const diffad_emit *e, int i) { add_operand(l, &e->in[i], DIFFAD_READ); }
void diffad_emit_out(diffad_launch *l, const diffad_emit *e, int k) { add_operand(l, &e->out[k], DIFFAD_WRITE); }
void diffad_emit_in_written(diffad_launch *l, const diffad_emit *e, int i)
{
    add_operand(l, &e->in[i], DIFFAD_READ_WRITE);
}
void diffad_emit_out_updated(diffad_launch *l, const diffad_emit *e, int k)
{
    add_operand(l, &e->out[k], DIFFAD_READ_WRITE);
}

void diffad_emit_in_or(diffad_launch *l, const diffad_emit *e, int i, int other)
{
    add_operand(l, e->in[i].mem >= 0 ? &e->in[i] : &e->in[other], DIFFAD_READ);
}

diffad_status plan_new_mem(diffad_plan *p, plan_mem_kind kind, int64_t bytes, int element, int32_t value, int32_t *out)
{
    if (!diffad_grow(&p->mem, p->n_mems, &p->cap_mems, sizeof *p->mem))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    *out = (int32_t)p->n_mems;
    p->mem[p->n_mems++] = (plan_mem){ .kind = kind,
                                      .bytes = diffad_round_up(bytes > 0 ? bytes : 4, 4),
                                      .element = (uint8_t)element,
                                      .first = -1,
                                      .last = -1,
                                      .value = value };
    return DIFFAD_OK;
}

static void touch(plan_mem *m, int32_t at)
{
    if (m->first < 0)
        m->first = at;
    m->last = at;
}

diffad_status plan_add_launch(diffad_plan *p, const diffad_launch *l)
{
    const bool      pro   = p->is_packing;
    diffad_launch **list  = pro ? &p->prologue : &p->launch;
    int64_t        *count = pro ? &p->n_prologue : &p->n_launches, *cap = pro ? &p->cap_prologue : &p->cap_launches;
    if (!diffad_grow(list, *count, cap, sizeof **list))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    for (int i = 0; i < l->n_args; i++) {
        if (l->arg[i].kind != DIFFAD_ARG_MEM)
            continue;
        if (pro && p->mem[l->arg[i].mem].kind == PLAN_MEM_TEMP)
            DIFFAD_FAIL(DIFFAD_ERR_INTERNAL, "kernel %s: packing touches memory that is shared with other nodes",
                        l->kernel);
        if (!pro)
            touch(&p->mem[l->arg[i].mem], (int32_t)*count);
    }
    (*list)[(*count)++] = *l;
    return DIFFAD_OK;
}

diffad_status diffad_emit_launch(diffad_emit *e, const diffad_launch *l)
{
    if (l->is_overfull)
        DIFFAD_FAIL(DIFFAD_ERR_INTERNAL, "kernel %s: an operand is missing, or there are too many arguments",
                    l->kernel);
    return plan_add_launch(e->plan, l);
}

diffad_status diffad_emit_queued(diffad_emit *e, diffad_launch *l)
{
    const int64_t units = e->caps->compute_units ? e->caps->compute_units : 1, places = l->items[0] * l->items[1] * l->items[2];
    int32_t       mem;
    DIFFAD_TRY(plan_queue(e->plan, &mem));
    diffad_launch_mem(l, mem, 0, DIFFAD_READ_WRITE);
    diffad_launch_ints(l, l->items, sizeof l->items);
    diffad_launch_items(l, places < 2 * units ? places : 2 * units, 1, 1);
    return diffad_emit_launch(e, l);
}

diffad_status diffad_emit_scratch(diffad_emit *e, int64_t count, int element, int32_t *mem)
{
    return plan_new_mem(e->plan, e->plan->is_packing ? PLAN_MEM_PACK : PLAN_MEM_TEMP, count * element, element, -1,
                        mem);
}

diffad_status diffad_emit_pack(diffad_emit *e, const diffad_node *n, int i, const char *key, int64_t count,
                               int32_t *mem, bool *fresh)
{
    diffad_plan        *p = e->plan;
    const diffad_value *v = n->in[i], *root = p->graph->value[p->value[v->id].root];
    *fresh = true;
    if (root->kind != DIFFAD_VALUE_BOUND ||
        p->value[root->id].is_changing ||     /* packed where it is used, for as long */
        p->mem[e->in[i].mem].kind != PLAN_MEM_FIXED)
        return plan_new_mem(p, PLAN_MEM_TEMP, count * 4, 4, -1, mem);
    for (int64_t k = 0; k < p->n_packs; k++)
        if (p->pack[k].value == v->id && strcmp(p->pack[k].key, key) == 0) {
            *mem   = p->pack[k].mem;
            *fresh = false;
            return DIFFAD_OK;
        }
    if (!diffad_grow(&p->pack, p->n_packs, &p->cap_packs, sizeof *p->pack))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    DIFFAD_TRY(plan_new_mem(p, PLAN_MEM_PACK, count * 4, 4, root->id, mem));
    plan_pack *pack = &p->pack[p->n_packs++];
    *pack = (plan_pack){ .value = v->id, .mem = *mem, .tensor = *root->slot, .first = p->n_prologue };
    snprintf(pack->key, sizeof pack->key, "%s", key);
    p->is_packing = true;
    return DIFFAD_OK;
}

void diffad_emit_pack_end(diffad_emit *e)
{
    diffad_plan *p = e->plan;
    if (!p->is_packing)
        return;
    p->is_packing = false;
    p->pack[p->n_packs - 1].count = p->n_prologue - p->pack[p->n_packs - 1].first;
}

diffad_status diffad_emit_reorder(diffad_emit *e, const diffad_value *v, const diffad_operand *from,
                                  const diffad_operand *to)
{
    const int64_t n = diffad_side(v, 0), c = diffad_side(v, 1), hw = diffad_numel(v) / (n * c);
    if (from->block == to->block) {
        const size_t  bytes = diffad_dtype_bytes(v->type);
        diffad_launch l =
            diffad_launch_copy(from->mem, from->offset * (int64_t)bytes, to->mem, to->offset * (int64_t)bytes,
                               diffad_round_up(diffad_layout_count(v, from->block) * (int64_t)bytes, 4));
        return diffad_emit_launch(e, &l);
    }
    const bool    to_blocked = to->block > 1;
    const int     block      = to_blocked ? to->block : from->block;
    diffad_launch l = diffad_launch_make("reorder", to_blocked ? "to_blocked" : "to_plain", diffad_ceil_div(hw, 16), 1);
    diffad_launch_items(&l, diffad_ceil_div(hw, 16), diffad_ceil_div(c, block), n);
    diffad_launch_def(&l, "B", block);
    diffad_launch_mem(&l, from->mem, from->offset, DIFFAD_READ);
    diffad_launch_mem(&l, to->mem, to->offset, DIFFAD_WRITE);
    diffad_launch_int(&l, c);
    diffad_launch_int(&l, hw);
    return diffad_emit_launch(e, &l);
}

/* ---- matrix products ---- */

typedef struct gemm_user { diffad_emit *e; const diffad_node *n; int a, b; } gemm_user;

static diffad_status gemm_launch(void *user, const diffad_launch *l)
{
    return diffad_emit_launch(((gemm_user *)user)->e, l);
}
static void          gemm_pack_end(void *user) { diffad_emit_pack_end(((gemm_user *)user)->e); }

static diffad_status gemm_scratch(void *user, int64_t count, int32_t *mem)
{
    return diffad_emit_scratch(((gemm_user *)user)->e, count, 4, mem);
}

static diffad_status gemm_pack(void *user, char operand, const char *key, int64_t count, int32_t *mem, bool *fresh)
{
    const gemm_user *u     = user;
    const int        input = operand == 'a' ? u->a : u->b;
    *fresh = true;
    return input < 0 ? diffad_emit_scratch(u->e, count, 4, mem)
                     : diffad_emit_pack(u->e, u->n, input, key, count, mem, fresh);
}

diffad_status diffad_emit_gemm(diffad_emit *e, const diffad_node *n, const diffad_gemm *g, int a, int b)
{
    gemm_user              user = { e, n, a, b };
    const diffad_gemm_sink sink = { &user, gemm_launch, gemm_scratch, gemm_pack, gemm_pack_end };
    diffad_gemm            own  = *g;
    char                   way[64];
    const char            *forced = diffad_emit_forced(e, n->op->name) ? NULL : diffad_emit_forced(e, "gemm");
    if (forced) {
        snprintf(way, sizeof way, "%s", forced);
        own.way = way;
    }
    own.variant = g->way && !forced ? e->variant : -1;
    return diffad_gemm_add(&sink, e->caps, &own);
}

const char *diffad_emit_forced(const diffad_emit *e, const char *op)
{
    static _Thread_local char way[64];
    const size_t n = strlen(op);
    for (const char *at = e->plan->forced; at && *at; at += strcspn(at, ","), at += *at == ',')
        if (strncmp(at, op, n) == 0 && at[n] == '=') {
            const size_t length = strcspn(at + n + 1, ",");
            snprintf(way, sizeof way, "%.*s", (int)length, at + n + 1);
            return way;
        }
    return NULL;
}
