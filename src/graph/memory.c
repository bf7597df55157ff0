/* memory.c: where each memory object of a plan lies. Lives are intervals of launches; the largest object goes first, to
 * the lowest offset that is free during its life, in blocks no larger than the device allows. */
#include "base/size.h"
#include "base/sys.h"
#include "graph/plan.h"

#include <stdlib.h>
#include <string.h>

typedef struct slot {
    int32_t mem, first, last, block;
    int64_t bytes, offset;
} slot;

enum { MAX_BLOCKS = 256 };

static int larger_first(const void *a, const void *b)
{
    const slot *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->mem < y->mem ? -1 : 1;
}

static int by_offset(const void *a, const void *b)
{
    const slot *x = *(slot *const *)a, *y = *(slot *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Lowest offset in `block` where s fits beside the slots placed before it, or -1. */
static int64_t fit(slot *s, slot *placed, int64_t n, int32_t block, int64_t limit, slot **scratch)
{
    int64_t count = 0, at = 0;
    for (int64_t i = 0; i < n; i++)
        if (placed[i].block == block && placed[i].first <= s->last && s->first <= placed[i].last)
            scratch[count++] = &placed[i];
    qsort(scratch, (size_t)count, sizeof *scratch, by_offset);
    for (int64_t i = 0; i < count; i++) {
        if (scratch[i]->offset - at >= s->bytes)
            break;
        const int64_t end = scratch[i]->offset + scratch[i]->bytes;
        if (end > at)
            at = end;
    }
    return at + s->bytes <= limit ? at : -1;
}

static diffad_status place_slots(diffad_plan *p, slot *slots, int64_t n, int64_t limit, int64_t *block_bytes, int *n_blocks)
{
    slot **scratch = diffad_alloc_array((size_t)n + 1, sizeof *scratch);
    if (!scratch)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    diffad_status st = DIFFAD_OK;
    for (int64_t i = 0; i < n && st == DIFFAD_OK; i++) {
        int64_t at = -1;
        for (slots[i].block = 0; slots[i].block < MAX_BLOCKS && at < 0; slots[i].block++) {
            const int32_t b = slots[i].block;
            at = fit(&slots[i], slots, i, b, b == *n_blocks && slots[i].bytes > limit ? slots[i].bytes : limit, scratch);
        }
        slots[i].block--;
        slots[i].offset = at;
        if (at < 0)
            st = diffad_fail(DIFFAD_ERR_MEMORY, "plan: more than %d blocks of %lld MiB are needed on %s", MAX_BLOCKS,
                             (long long)(limit >> 20), p->dev->caps.name);
        else {
            if (slots[i].block >= *n_blocks)
                *n_blocks = slots[i].block + 1;
            if (at + slots[i].bytes > block_bytes[slots[i].block])
                block_bytes[slots[i].block] = at + slots[i].bytes;
        }
    }
    diffad_release(scratch);
    return st;
}

static diffad_status allocate(diffad_plan *p, const int64_t *block_bytes, int n_blocks)
{
    int64_t n_packs = 0;
    for (int64_t i = 0; i < p->n_mems; i++)
        n_packs += p->mem[i].kind == PLAN_MEM_PACK;
    p->buffer       = diffad_alloc_array((size_t)(n_blocks + n_packs) + 1, sizeof *p->buffer);
    p->buffer_bytes = diffad_alloc_array((size_t)(n_blocks + n_packs) + 1, sizeof *p->buffer_bytes);
    if (!p->buffer || !p->buffer_bytes)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    for (int b = 0; b < n_blocks; b++) {
        DIFFAD_TRY(diffad_buffer_create(p->dev, (size_t)block_bytes[b], &p->buffer[b]));
        p->buffer_bytes[b] = (size_t)block_bytes[b];
        p->shared_bytes += (size_t)block_bytes[b];
        p->n_buffers++;
    }
    for (int64_t i = 0; i < p->n_mems; i++)
        if (p->mem[i].kind == PLAN_MEM_PACK) {
            DIFFAD_TRY(diffad_buffer_create(p->dev, (size_t)p->mem[i].bytes, &p->buffer[p->n_buffers]));
            p->place[i] = (diffad_place){ p->buffer[p->n_buffers], 0 };
            p->buffer_bytes[p->n_buffers++] = (size_t)p->mem[i].bytes;
            p->fixed_bytes += (size_t)p->mem[i].bytes;
        } else if (p->mem[i].kind == PLAN_MEM_FIXED) {
            p->place[i] = (diffad_place){ p->mem[i].tensor->buffer, 0 };
        }
    return DIFFAD_OK;
}

static diffad_status fill_guards(diffad_plan *p, const slot *s)
{
    const cl_uint canary = 0xC0DEC0DEu;
    const size_t  begin = (size_t)s->offset, end = (size_t)(s->offset + s->bytes);
    const size_t  inner = begin + PLAN_GUARD_BYTES, after = inner + (size_t)p->mem[s->mem].bytes;
    cl_int        code = diffad_cl.EnqueueFillBuffer(p->dev->queue, p->buffer[s->block], &canary, 4, begin, inner - begin, 0, NULL, NULL);
    if (code == CL_SUCCESS)
        code = diffad_cl.EnqueueFillBuffer(p->dev->queue, p->buffer[s->block], &canary, 4, after, end - after, 0, NULL, NULL);
    return diffad_device_check(p->dev, code, "fill guards");
}

diffad_status plan_lay_out(diffad_plan *p)
{
    int64_t block_bytes[MAX_BLOCKS] = { 0 }, n = 0, largest = 0;
    int     n_blocks = 0;
    const int64_t guard = p->options.guard ? PLAN_GUARD_BYTES : 0;
    slot   *slots = diffad_alloc_array((size_t)p->n_mems + 1, sizeof *slots);
    p->place = diffad_alloc_array((size_t)p->n_mems + 1, sizeof *p->place);
    diffad_status st = slots && p->place ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "plan: no host memory");
    for (int64_t i = 0; st == DIFFAD_OK && i < p->n_mems; i++) {
        const plan_mem *m = &p->mem[i];
        if (m->kind != PLAN_MEM_TEMP || m->first < 0)
            continue;
        slots[n] = (slot){ .mem = (int32_t)i, .first = m->first, .last = m->last, .bytes = diffad_round_up(m->bytes + 2 * guard, PLAN_ALIGN) };
        if (p->options.no_sharing) {
            slots[n].first = 0;
            slots[n].last  = INT32_MAX;
        }
        largest = slots[n].bytes > largest ? slots[n].bytes : largest;
        n++;
    }
    const int64_t cap = (int64_t)1 << 31;
    int64_t limit = p->dev->caps.max_alloc < (uint64_t)cap ? (int64_t)p->dev->caps.max_alloc / PLAN_ALIGN * PLAN_ALIGN : cap;
    limit = largest > limit && (uint64_t)largest <= p->dev->caps.max_alloc ? largest : limit;
    if (st == DIFFAD_OK) {
        qsort(slots, (size_t)n, sizeof *slots, larger_first);
        st = place_slots(p, slots, n, limit, block_bytes, &n_blocks);
    }
    if (st == DIFFAD_OK)
        st = allocate(p, block_bytes, n_blocks);
    for (int64_t i = 0; st == DIFFAD_OK && i < n; i++) {
        p->place[slots[i].mem] = (diffad_place){ p->buffer[slots[i].block], (size_t)(slots[i].offset + guard) };
        if (guard)
            st = fill_guards(p, &slots[i]);
    }
    diffad_release(slots);
    return st;
}
