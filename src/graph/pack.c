/* pack.c: packed parameters of a plan: their memory, their launches, and what becomes of the plain tensors. */
#include "base/sys.h"
#include "graph/plan.h"

static size_t packed_bytes(const diffad_plan *p, int64_t mem) { return (size_t)(p->mem[mem].bytes + 2 * plan_margin(p)); }

static diffad_status place_packed(diffad_plan *p, int32_t mem)
{
    const size_t bytes = packed_bytes(p, mem);
    cl_mem       buffer;
    DIFFAD_TRY(diffad_buffer_create(p->dev, bytes, &buffer));
    p->place[mem] = (diffad_place){ buffer, (size_t)plan_margin(p) };
    p->fixed_bytes += bytes;
    return DIFFAD_OK;
}

void plan_release_packs(diffad_plan *p)
{
    for (int64_t i = 0; p->place && i < p->n_mems; i++)
        if (p->mem[i].kind == PLAN_MEM_PACK && p->place[i].buffer)
            diffad_buffer_release(p->dev, p->place[i].buffer, packed_bytes(p, i));
}

static diffad_status freeze_pack(diffad_plan *p, const plan_pack *pack, const uint8_t *element)
{
    for (int64_t k = pack->first; k < pack->first + pack->count; k++) {
        const diffad_launch *l = &p->prologue[k];
        for (int i = 0; i < l->n_args; i++)
            if (l->arg[i].kind == DIFFAD_ARG_MEM && p->mem[l->arg[i].mem].kind == PLAN_MEM_PACK &&
                !p->place[l->arg[i].mem].buffer)
                DIFFAD_TRY(place_packed(p, l->arg[i].mem));
        DIFFAD_TRY(diffad_freeze(p->dev, l, p->place, element, &p->frozen_prologue[k]));
    }
    return DIFFAD_OK;
}

static diffad_status run_pack(diffad_plan *p, plan_pack *pack)
{
    if (pack->version == pack->tensor->version)
        return DIFFAD_OK;
    for (int64_t k = pack->first; k < pack->first + pack->count; k++)
        DIFFAD_TRY(diffad_frozen_enqueue(p->dev, &p->frozen_prologue[k], p->place, NULL));
    pack->version = pack->tensor->version;
    return DIFFAD_OK;
}

diffad_status plan_run_packs(diffad_plan *p)
{
    for (int64_t i = 0; i < p->n_packs; i++)
        DIFFAD_TRY(run_pack(p, &p->pack[i]));
    return DIFFAD_OK;
}

/* ---- giving up plain tensors ---- */

static bool reads(const diffad_plan *p, const diffad_launch *l, const diffad_tensor *t)
{
    for (int i = 0; i < l->n_args; i++)
        if (l->arg[i].kind == DIFFAD_ARG_MEM && p->mem[l->arg[i].mem].tensor == t)
            return true;
    return false;
}

/* Whether a run, or a pack behind number `done`, still reads the tensor. */
static bool is_wanted(const diffad_plan *p, const diffad_tensor *t, int64_t done)
{
    for (int64_t i = done + 1; i < p->n_packs; i++)
        if (p->pack[i].tensor == t)
            return true;
    for (int64_t i = 0; i < p->n_launches; i++)
        if (reads(p, &p->launch[i], t))
            return true;
    return false;
}

diffad_status plan_freeze_packs(diffad_plan *p, const uint8_t *element)
{
    if (!(p->frozen_prologue = diffad_alloc_array((size_t)p->n_prologue + 1, sizeof *p->frozen_prologue)))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    for (int64_t i = 0; i < p->n_packs; i++) {
        DIFFAD_TRY(freeze_pack(p, &p->pack[i], element));
        if (!p->options.keeps_packed_only)
            continue;
        DIFFAD_TRY(run_pack(p, &p->pack[i]));
        if (is_wanted(p, p->pack[i].tensor, i))
            continue;
        DIFFAD_TRY(diffad_device_wait(p->dev));
        diffad_tensor_give_up(p->pack[i].tensor);
    }
    return DIFFAD_OK;
}
