/* verify_weights.c: parameters of the networks, from weights files or from the golden file itself. */
#include "api/verify_internal.h"
#include "base/file.h"
#include "tensor/tensor_file.h"

#include <stdio.h>
#include <string.h>

diffad_params *verify_params(verify_run *r, const char *network, const char *sub, const verify_cut *cut)
{
    for (int i = 0; i < r->n_bags; i++) {
        const verify_bag *b = &r->bag[i];
        const bool same = network && b->network ? strcmp(network, b->network) == 0 : network == b->network;
        if (same && strcmp(b->sub, sub) == 0 && b->cut == cut)
            return b->params;
    }
    diffad_params *p = r->n_bags < VERIFY_MAX_BAGS ? diffad_params_create() : NULL;
    if (p)
        r->bag[r->n_bags++] = (verify_bag){ .params = p, .network = network, .sub = sub, .cut = cut };
    else
        diffad_fail(DIFFAD_ERR_MEMORY, "no host memory for parameters");
    return p;
}

/* The file's [O,I,...] without input channels from .. from+count-1. */
static void cut_channels(const float *from, const diffad_shape *s, const verify_cut *cut, float *to)
{
    int64_t inner = 1;
    for (int i = 2; i < s->rank; i++)
        inner *= s->side[i];
    for (int64_t o = 0; o < s->side[0]; o++)
        for (int64_t c = 0; c < s->side[1]; c++)
            if (c < cut->from || c >= cut->from + cut->count) {
                memcpy(to, from + (o * s->side[1] + c) * inner, (size_t)inner * sizeof *to);
                to += inner;
            }
}

static diffad_status load_one(diffad_param *q, const diffad_file_tensor *t, const verify_cut *cut)
{
    char          have[64], want[64];
    diffad_shape  s = t->shape;
    const int64_t n = diffad_shape_count(&s), kept = diffad_shape_count(&q->shape);
    const bool    is_cut = cut && strcmp(cut->param, q->name) == 0 && s.rank >= 2 && cut->from + cut->count <= s.side[1];
    if (is_cut)
        s.side[1] -= cut->count;
    if (!diffad_shape_equal(&s, &q->shape))
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s is %s, the network's is %s", t->name,
                    diffad_shape_text(&s, have, sizeof have),
                    diffad_shape_text(&q->shape, want, sizeof want));
    float *x = diffad_alloc_array((size_t)n, (is_cut ? 2 : 1) * sizeof *x), *y = is_cut && x ? x + n : x;
    if (!x)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", t->name);
    diffad_status st = diffad_file_to_f32(t, x, n);
    if (st == DIFFAD_OK && is_cut)
        cut_channels(x, &t->shape, cut, y);
    if (st == DIFFAD_OK)
        st = diffad_tensor_write(q->tensor, y, (size_t)kept * sizeof *y);
    diffad_release(x);
    return st;
}

/* Each parameter under the first of the prefixes that has it. */
static diffad_status load(const verify_bag *b, const diffad_file *f, const char *const *prefix,
                          int n_prefixes)
{
    char name[2 * VERIFY_NAME];
    for (int64_t i = 0; i < b->params->count; i++) {
        diffad_param             *q = b->params->item[i];
        const diffad_file_tensor *t = NULL;
        for (int k = 0; k < n_prefixes && !t; k++) {
            snprintf(name, sizeof name, "%s%s%s", prefix[k], b->sub, q->name);
            t = diffad_file_find(f, name);
        }
        if (!t)
            DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "no weights for parameter %s%s", b->sub, q->name);
        DIFFAD_TRY(load_one(q, t, b->cut));
    }
    return DIFFAD_OK;
}

static bool holds(const diffad_file *f, const char *label, const char *network)
{
    const char *n = diffad_file_metadata(f, "network");
    return n ? strcmp(n, network) == 0 : strstr(label, network) != NULL;
}

/* The prefix that this file gives for a weights file, else the weights file's own. */
static diffad_status prefix_for(verify_run *r, const char *label, const diffad_file *f, const char **out)
{
    const diffad_config *map, *own;
    DIFFAD_TRY(verify_json(r, "weights_prefix", &map));
    own  = map ? diffad_config_get(map, label) : NULL;
    *out = own && own->text ? own->text : diffad_file_metadata(f, "prefix");
    if (!*out)
        *out = "";
    return DIFFAD_OK;
}

/* The names in `weights` are separated by commas. */
static const char *next_label(const char *at, char *label, size_t bytes)
{
    static const char between[] = " ,[]\"";
    at += strspn(at, between);
    const size_t n = strcspn(at, between);
    snprintf(label, bytes, "%.*s", (int)n, at);
    return n ? at + n : NULL;
}

static diffad_status load_weights(verify_run *r, const verify_bag *b)
{
    char          label[VERIFY_NAME], file[VERIFY_NAME + 16];
    const char   *at = verify_text(r, "weights");
    while ((at = next_label(at, label, sizeof label)) != NULL) {
        diffad_file *f = NULL;
        const char  *prefix;
        snprintf(file, sizeof file, "%s.safetensors", label);
        char         *path = diffad_path_join(r->options->folder, file);
        diffad_status st   = path ? diffad_file_open_wanted(path, NULL, &f)
                                  : diffad_fail(DIFFAD_ERR_MEMORY, "%s: no host memory", file);
        const bool    here = st == DIFFAD_OK && holds(f, label, b->network);
        if (here)
            st = prefix_for(r, label, f, &prefix);
        if (here && st == DIFFAD_OK)
            st = load(b, f, &prefix, 1);
        diffad_file_close(f);
        diffad_release(path);
        DIFFAD_TRY(st);
        if (here)
            return DIFFAD_OK;
    }
    DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "no weights for network %s among `weights`", b->network);
}

diffad_status verify_fill(verify_run *r, unsigned with)
{
    static const char *const own[] = { "param.", "buffer.", "in." };
    for (int i = 0; i < r->n_bags; i++) {
        const verify_bag *b = &r->bag[i];
        DIFFAD_TRY(diffad_params_allocate(b->params, r->dev, with));
        if (b->params->count)
            DIFFAD_TRY(b->network ? load_weights(r, b) : load(b, r->file, own, 3));
    }
    return DIFFAD_OK;
}
