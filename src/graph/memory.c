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

/* The slots placed in one buffer so far, by offset. */
typedef struct block { slot *at; int64_t count, capacity, bytes; } block;

static int larger_first(const void *a, const void *b)
{
    const slot *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->mem < y->mem ? -1 : 1;
}

/* Lowest offset in `b` where s fits beside those that live when it does, or -1. */
static int64_t fit(const slot *s, const block *b, int64_t limit)
{
    int64_t at = 0;
    for (int64_t i = 0; i < b->count; i++) {
        const slot *o = &b->at[i];
        if (o->first > s->last || s->first > o->last)
            continue;
        if (o->offset - at >= s->bytes)
            break;
        if (o->offset + o->bytes > at)
            at = o->offset + o->bytes;
    }
    return at + s->bytes <= limit ? at : -1;
}

static bool insert(block *b, const slot *s)
{
    if (!diffad_grow(&b->at, b->count, &b->capacity, sizeof *b->at))
        return false;
    int64_t lo = 0, hi = b->count;
    while (lo < hi) {
        const int64_t mid = (lo + hi) / 2;
        if (b->at[mid].offset <= s->offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    memmove(&b->at[lo + 1], &b->at[lo], (size_t)(b->count - lo) * sizeof *b->at);
    b->at[lo] = *s;
    b->count++;
    if (s->offset + s->bytes > b->bytes)
        b->bytes = s->offset + s->bytes;
    return true;
}

static diffad_status place_slots(diffad_plan *p, slot *slots, int64_t n, int64_t limit, block *blocks, int *n_blocks)
{
    for (int64_t i = 0; i < n; i++) {
        slot *s = &slots[i];
        s->offset = -1;
        for (int32_t b = 0; s->offset < 0 && b <= *n_blocks && b < MAX_BLOCKS; b++) {
            s->block  = b;
            s->offset = fit(s, &blocks[b], b == *n_blocks && s->bytes > limit ? s->bytes : limit);
        }
        if (s->offset < 0)
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY,
                        "plan: more than %d blocks of %lld MiB are needed on %s: use a smaller batch", MAX_BLOCKS,
                        (long long)(limit >> 20), p->dev->caps.name);
        if (s->block == *n_blocks)
            (*n_blocks)++;
        if (!insert(&blocks[s->block], s))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    }
    return DIFFAD_OK;
}

/* Values whose memory is looked at after a run must not lie where other plans work. */
static bool has_own_blocks(const diffad_plan *p) { return p->options.no_sharing; }

static void add_sizes(diffad_plan *p, const block *blocks, int n_blocks)
{
    for (int b = 0; b < n_blocks; b++)
        p->shared_bytes += (size_t)blocks[b].bytes;
    for (int64_t i = 0; i < p->n_mems; i++)
        if (p->mem[i].kind == PLAN_MEM_PACK)
            p->fixed_bytes += (size_t)p->mem[i].bytes;
}

static diffad_status allocate(diffad_plan *p, const block *blocks, int n_blocks)
{
    p->block       = diffad_alloc_array((size_t)n_blocks + 1, sizeof *p->block);
    p->block_bytes = diffad_alloc_array((size_t)n_blocks + 1, sizeof *p->block_bytes);
    if (!p->block || !p->block_bytes)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    for (int b = 0; b < n_blocks; b++) {
        const size_t bytes = (size_t)blocks[b].bytes;
        if (has_own_blocks(p))
            DIFFAD_TRY(diffad_buffer_create(p->dev, bytes, &p->block[b]));
        else
            DIFFAD_TRY(diffad_scratch_take(p->dev, bytes, p->block, p->n_blocks, &p->block[b]));
        p->block_bytes[b] = bytes;
        p->shared_bytes += bytes;
        p->n_blocks++;
    }
    for (int64_t i = 0; i < p->n_mems; i++)
        if (p->mem[i].kind == PLAN_MEM_FIXED)
            p->place[i] = (diffad_place){ p->mem[i].tensor->buffer, 0 };
    return DIFFAD_OK;
}

void plan_release_blocks(diffad_plan *p)
{
    for (int64_t b = 0; b < p->n_blocks; b++)
        if (has_own_blocks(p))
            diffad_buffer_release(p->dev, p->block[b], p->block_bytes[b]);
        else
            diffad_scratch_give(p->dev, p->block[b]);
    diffad_release(p->block);
    diffad_release(p->block_bytes);
}

/* The objects that share memory, each with its life. */
static int64_t collect(const diffad_plan *p, slot *slots, int64_t *largest)
{
    const int64_t margin = plan_margin(p);
    int64_t       n = 0;
    for (int64_t i = 0; i < p->n_mems; i++) {
        const plan_mem *m = &p->mem[i];
        if (m->kind != PLAN_MEM_TEMP || m->first < 0)
            continue;
        slots[n] = (slot){ .mem = (int32_t)i,
                           .first = m->first,
                           .last = m->last,
                           .bytes = diffad_round_up(m->bytes + 2 * margin, PLAN_ALIGN) };
        if (p->options.no_sharing) {
            slots[n].first = 0;
            slots[n].last  = INT32_MAX;
        }
        *largest = slots[n].bytes > *largest ? slots[n].bytes : *largest;
        n++;
    }
    return n;
}

diffad_status plan_lay_out(diffad_plan *p)
{
    const int64_t cap = (int64_t)1 << 31, margin = plan_margin(p);
    const uint64_t most = p->dev->caps.max_alloc;
    int64_t n = 0, largest = 0;
    int     n_blocks = 0;
    slot   *slots  = diffad_alloc_array((size_t)p->n_mems + 1, sizeof *slots);
    block  *blocks = diffad_alloc_array(MAX_BLOCKS, sizeof *blocks);
    p->place = diffad_alloc_array((size_t)p->n_mems + 1, sizeof *p->place);
    diffad_status st = slots && blocks && p->place ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "plan: no host memory");
    if (st == DIFFAD_OK) {
        n = collect(p, slots, &largest);
        int64_t limit = most < (uint64_t)cap ? (int64_t)most / PLAN_ALIGN * PLAN_ALIGN : cap;
        limit = largest > limit && (uint64_t)largest <= most ? largest : limit;
        qsort(slots, (size_t)n, sizeof *slots, larger_first);
        st = place_slots(p, slots, n, limit, blocks, &n_blocks);
    }
    if (st == DIFFAD_OK && p->options.sizes_only)
        add_sizes(p, blocks, n_blocks);
    else if (st == DIFFAD_OK)
        st = allocate(p, blocks, n_blocks);
    for (int64_t i = 0; st == DIFFAD_OK && !p->options.sizes_only && i < n; i++)
        p->place[slots[i].mem] = (diffad_place){ p->block[slots[i].block], (size_t)(slots[i].offset + margin) };
    for (int b = 0; blocks && b < MAX_BLOCKS; b++)
        diffad_release(blocks[b].at);
    diffad_release(blocks);
    diffad_release(slots);
    return st;
}
