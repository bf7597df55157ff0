/* param.c: the list of a network's parameters and their tensors. */
#include "nn/param.h"
#include "base/fail.h"
#include "base/sys.h"

#include <string.h>

diffad_params *diffad_params_create(void) { return diffad_alloc(sizeof(diffad_params)); }

void diffad_params_destroy(diffad_params *p)
{
    if (!p)
        return;
    for (int64_t i = 0; i < p->count; i++) {
        diffad_tensor_destroy(p->item[i]->tensor);
        diffad_tensor_destroy(p->item[i]->m);
        diffad_tensor_destroy(p->item[i]->v);
        diffad_tensor_destroy(p->item[i]->shadow);
        diffad_tensor_destroy(p->item[i]->sum);
    }
    diffad_release(p->item);
    diffad_arena_release(&p->arena);
    diffad_release(p);
}

diffad_param *diffad_params_find(const diffad_params *p, const char *name)
{
    for (int64_t i = 0; i < p->count; i++)
        if (strcmp(p->item[i]->name, name) == 0)
            return p->item[i];
    return NULL;
}

diffad_param *diffad_params_get(diffad_params *p, const char *name, const diffad_shape *shape, diffad_init init, bool is_trained)
{
    char have[64], want[64];
    diffad_param *q = diffad_params_find(p, name);
    if (q) {
        if (diffad_shape_equal(&q->shape, shape))
            return q;
        diffad_fail(DIFFAD_ERR_SHAPE, "parameter %s is %s, asked for as %s", name, diffad_shape_text(&q->shape, have, sizeof have),
                    diffad_shape_text(shape, want, sizeof want));
        return NULL;
    }
    q = diffad_arena_alloc(&p->arena, sizeof *q);
    char *kept = diffad_arena_strdup(&p->arena, name);
    if (!q || !kept || !diffad_grow(&p->item, p->count, &p->capacity, sizeof *p->item)) {
        diffad_fail(DIFFAD_ERR_MEMORY, "parameter %s: no host memory", name);
        return NULL;
    }
    *q = (diffad_param){ .name = kept, .shape = *shape, .init = init, .is_trained = is_trained };
    p->item[p->count++] = q;
    return q;
}

int64_t diffad_params_elements(const diffad_params *p, bool trained_only)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < p->count; i++)
        if (p->item[i]->is_trained || !trained_only)
            sum += diffad_shape_count(&p->item[i]->shape);
    return sum;
}

diffad_tensor *diffad_param_tensor(const diffad_param *p, diffad_param_part part)
{
    diffad_tensor *const parts[] = { p->tensor, p->m, p->v, p->shadow, p->sum };
    return parts[part];
}

/* Which flag asks for which part, in the order of diffad_param_part. */
enum { PARTS = 5 };
static const unsigned needs[PARTS] = { 0, DIFFAD_WITH_MOMENTS, DIFFAD_WITH_MOMENTS, DIFFAD_WITH_SHADOW, DIFFAD_WITH_SUM };

void diffad_params_drop(diffad_params *p, unsigned with)
{
    for (int64_t i = 0; i < p->count; i++) {
        diffad_param   *q = p->item[i];
        diffad_tensor **const slots[PARTS] = { &q->tensor, &q->m, &q->v, &q->shadow, &q->sum };
        for (int k = 1; k < PARTS; k++)
            if (with & needs[k]) {
                diffad_tensor_destroy(*slots[k]);
                *slots[k] = NULL;
            }
    }
}

diffad_status diffad_params_allocate(diffad_params *p, diffad_device *dev, unsigned with)
{
    for (int64_t i = 0; i < p->count; i++) {
        diffad_param *q = p->item[i];
        diffad_tensor **const slots[PARTS] = { &q->tensor, &q->m, &q->v, &q->shadow, &q->sum };
        for (int k = 0; k < PARTS; k++)
            if ((k == 0 || (q->is_trained && (with & needs[k]))) && !*slots[k]) {
                const diffad_status st = diffad_tensor_create(dev, DIFFAD_F32, &q->shape, slots[k]);
                if (st != DIFFAD_OK)
                    return diffad_fail_context(st, "parameter %s", q->name);
            }
    }
    return DIFFAD_OK;
}

diffad_status diffad_params_swap_shadow(diffad_params *p)
{
    for (int64_t i = 0; i < p->count; i++)
        if (p->item[i]->is_trained && !p->item[i]->shadow)
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "parameter %s has no EMA weights", p->item[i]->name);
    for (int64_t i = 0; i < p->count; i++)
        if (p->item[i]->is_trained) {
            diffad_tensor *t = p->item[i]->tensor;
            p->item[i]->tensor = p->item[i]->shadow;
            p->item[i]->shadow = t;
        }
    return DIFFAD_OK;
}
