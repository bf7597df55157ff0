/* test_random.c: graphs at random agree with their references, whatever mixture of layouts, aliases, state and sharing
 * comes up. A failing seed is in the message. */
#include "graph/rig.h"
#include "op/ops.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { VALUES = 64, STATES = 3, SIDE = 5 };

typedef struct maker {
    diffad_graph  *g;
    unsigned       state;
    int64_t        c;
    diffad_val     v[VALUES];       /* maps [2,c,5,5] */
    int            n;
    diffad_tensor *slot[STATES], *weight, *scale, *shift;
    diffad_val     s[STATES], w, a, b;
} maker;

static unsigned roll(maker *m, unsigned sides)
{
    m->state = m->state * 1664525u + 1013904223u;
    return (m->state >> 10) % sides;
}

static diffad_val any(maker *m) { return m->v[roll(m, (unsigned)m->n)]; }
static void       keep(maker *m, diffad_val v) { m->v[m->n < VALUES ? m->n++ : (int)roll(m, VALUES)] = v; }

static diffad_val flat_and_back(maker *m, diffad_val x)
{
    diffad_val f = diffad_reshape(m->g, x, diffad_shape2(2 * m->c, SIDE * SIDE));
    if (roll(m, 2))
        f = diffad_relu(m->g, f);
    return diffad_reshape(m->g, f, diffad_shape4(2, m->c, SIDE, SIDE));
}

static diffad_val cut_and_join(maker *m, diffad_val x, diffad_val y)
{
    const int64_t    at  = 1 + roll(m, (unsigned)m->c - 1);
    const diffad_val p[] = { diffad_slice(m->g, x, 0, at), diffad_slice(m->g, y, at, m->c - at) };
    return diffad_concat(m->g, 2, p);
}

static diffad_val step(maker *m)
{
    static const diffad_conv_attr same = { .stride = 1, .dilation = 1, .left = 1, .right = 1, .top = 1, .bottom = 1 };
    static const diffad_norm_attr norm = { .groups = 1, .eps = 1e-3, .act = DIFFAD_ACT_SILU };
    const diffad_val x = any(m), y = any(m);
    switch (roll(m, 14)) {
    case 0: return diffad_tanh(m->g, x);
    case 1: return diffad_add(m->g, x, y);
    case 2: return diffad_sub(m->g, x, y);
    case 3: return diffad_mul(m->g, diffad_tanh(m->g, x), y);
    case 4: return diffad_reorder(m->g, x);
    case 5: return diffad_conv2d(m->g, diffad_tanh(m->g, x), m->w, diffad_none(), &same);
    case 6: return diffad_group_norm(m->g, x, m->a, m->b, &norm);
    case 7: return flat_and_back(m, x);
    case 8: return cut_and_join(m, x, y);
    case 9: return diffad_stop_gradient(m->g, x);
    case 10: return diffad_affine(m->g, x, 0.5, 0.25);
    case 11: return diffad_bias(m->g, x, m->a);
    case 12: return m->s[roll(m, STATES)];
    default: {
        const unsigned k = roll(m, STATES);
        diffad_assign(m->g, m->s[k], diffad_tanh(m->g, x));
        return roll(m, 2) ? m->s[k] : x;
    }
    }
}

static diffad_tensor *filled(diffad_device *dev, diffad_shape shape, unsigned seed)
{
    diffad_tensor *t = tensor_new(dev, shape);
    const int64_t  n = diffad_shape_count(&shape);
    float         *x = malloc((size_t)n * sizeof *x);
    numbers(x, n, seed);
    tensor_put(t, x, n);
    free(x);
    return t;
}

static void build(maker *m, diffad_device *dev, int steps)
{
    char name[16];
    const diffad_shape map = diffad_shape4(2, m->c, SIDE, SIDE);
    for (int i = 0; i < 2; i++) {
        sprintf(name, "x%d", i);
        keep(m, diffad_input(m->g, name, DIFFAD_F32, map));
    }
    for (int i = 0; i < STATES; i++) {
        m->slot[i] = filled(dev, map, (unsigned)i);
        sprintf(name, "s%d", i);
        m->s[i] = diffad_bound(m->g, name, DIFFAD_F32, map, &m->slot[i]);
    }
    m->weight = filled(dev, diffad_shape4(m->c, m->c, 3, 3), 10);
    m->scale  = filled(dev, diffad_shape1(m->c), 11);
    m->shift  = filled(dev, diffad_shape1(m->c), 12);
    m->w = diffad_bound(m->g, "w", DIFFAD_F32, diffad_shape4(m->c, m->c, 3, 3), &m->weight);
    m->a = diffad_bound(m->g, "a", DIFFAD_F32, diffad_shape1(m->c), &m->scale);
    m->b = diffad_bound(m->g, "b", DIFFAD_F32, diffad_shape1(m->c), &m->shift);
    for (int i = 0; i < steps; i++) {
        const diffad_val v = step(m);
        keep(m, v);
        if (roll(m, 5) == 0 && v.id >= 0 && m->g->value[v.id]->kind == DIFFAD_VALUE_NODE &&
            !m->g->value[v.id]->is_output) {
            sprintf(name, "y%d", i);
            diffad_output(m->g, name, v);
        }
    }
    diffad_output(m->g, "last", diffad_affine(m->g, any(m), 1, 0));
    if (roll(m, 3) == 0) {      /* and a gradient through it all */
        const diffad_val of = diffad_mean(m->g, diffad_square(m->g, any(m)));
        diffad_val       d[3];
        diffad_graph_grad(m->g, of, diffad_none(), (diffad_val[]){ m->v[0], m->a, m->w }, 3, d);
        for (int i = 0; i < 3; i++)
            if (d[i].id >= 0 && m->g->value[d[i].id]->kind == DIFFAD_VALUE_NODE && !m->g->value[d[i].id]->is_output) {
                sprintf(name, "d%d", i);
                diffad_output(m->g, name, d[i]);
            }
    }
}

/* The same where gradients make values again, as far as that goes in this graph. */
static void try_within_less(diffad_device *dev, const diffad_graph *g, size_t bytes, const char *what)
{
    for (int percent = 90; percent >= 60; percent -= 10) {
        diffad_plan *p = NULL;
        if (diffad_plan_create(dev, g, &(diffad_plan_options){ .max_bytes = bytes * (size_t)percent / 100 }, &p) != DIFFAD_OK)
            return;
        expect_like_reference(p, g, 1, 2e-4, what);
        diffad_plan_destroy(p);
    }
}

static void try_seed(diffad_device *dev, unsigned seed, int steps)
{
    maker m = { .g = graph_new(), .state = seed * 7919u + 1 };
    char  what[32];
    sprintf(what, "seed %u", seed);
    m.c = (int64_t[]){ 3, 16, 19, 32 }[roll(&m, 4)];
    build(&m, dev, steps);
    cr_assert_eq(diffad_graph_status(m.g), DIFFAD_OK, "%s: %s", what, diffad_error_detail());
    diffad_plan *p = plan_new(dev, m.g, NULL);
    expect_like_reference(p, m.g, 2, 2e-4, what);
    try_within_less(dev, m.g, diffad_plan_bytes(p) + diffad_plan_fixed_bytes(p), what);
    plan_done(p, m.g);
    for (int i = 0; i < STATES; i++)
        diffad_tensor_destroy(m.slot[i]);
    diffad_tensor_destroy(m.weight);
    diffad_tensor_destroy(m.scale);
    diffad_tensor_destroy(m.shift);
}

/* DIFFAD_TEST_SEED=first,count goes further. */
static void seeds(unsigned *first, unsigned *count, unsigned usual)
{
    const char *set = getenv("DIFFAD_TEST_SEED");
    *first = 1;
    *count = usual;
    if (set)
        sscanf(set, "%u,%u", first, count);
}

Test(random, graphs_agree_with_their_references)
{
    unsigned       first, count;
    diffad_device *dev = dev_new();
    seeds(&first, &count, 60);
    for (unsigned i = first; i < first + count; i++)
        try_seed(dev, i, 6 + (int)(i % 25));
    dev_done(dev);
}

Test(random, graphs_agree_without_blocks_and_in_small_pieces_of_memory)
{
    unsigned first, count;
    setenv("DIFFAD_CAPS", "block=1,max_alloc=60000", 1);
    diffad_device *dev = dev_new();
    seeds(&first, &count, 20);
    for (unsigned i = first; i < first + count; i++)
        try_seed(dev, i + 1000, 6 + (int)(i % 25));
    dev_done(dev);
}
