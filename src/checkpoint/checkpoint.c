/* checkpoint.c: opening files and giving their tensors one set of names. */
#include "checkpoint/checkpoint.h"
#include "base/file.h"
#include "tensor/tensor_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 512, MAX_FILES = 64 };

/* ---- paths ---- */

typedef struct path_list { char *path[MAX_FILES]; int count; } path_list;

static bool is_checkpoint(const char *name)
{
    static const char *const endings[] = { ".ckpt", ".pckl", ".pth", ".pt", ".safetensors" };
    const size_t             n = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (n > strlen(endings[i]) && strcmp(name + n - strlen(endings[i]), endings[i]) == 0)
            return !strstr(name, ".state.safetensors");
    return false;
}

static diffad_status add_path(path_list *l, const char *dir, const char *name)
{
    if (l->count == MAX_FILES)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: more than %d checkpoint files; name those that are meant", dir ? dir : name, MAX_FILES);
    char *path = dir ? diffad_path_join(dir, name) : diffad_strdup(name);
    if (!path)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", name);
    l->path[l->count++] = path;
    return DIFFAD_OK;
}

static diffad_status add_folder(path_list *l, const char *dir)
{
    diffad_names  names;
    const int     before = l->count;
    diffad_status st = DIFFAD_OK;
    DIFFAD_TRY(diffad_dir_list(dir, DIFFAD_ERR_CHECKPOINT, &names));
    for (int64_t i = 0; i < names.count && st == DIFFAD_OK; i++)
        if (is_checkpoint(names.name[i]))
            st = add_path(l, dir, names.name[i]);
    diffad_names_release(&names);
    if (st == DIFFAD_OK && l->count == before)
        st = diffad_fail(DIFFAD_ERR_CHECKPOINT, "%s: holds no run.json, .ckpt, .pckl, .pth or .safetensors; name a folder that `diffad train` made, or "
                                                "files of weights", dir);
    return st;
}

static diffad_status find_paths(const char *const *paths, path_list *l)
{
    for (; *paths; paths++)
        DIFFAD_TRY(diffad_path_is_dir(*paths) ? add_folder(l, *paths) : add_path(l, NULL, *paths));
    return DIFFAD_OK;
}

/* ---- the view ---- */

typedef struct flat_name { const char *flat, *name; } flat_name;

typedef struct joiner {
    diffad_checkpoint *c;
    const char        *owner[CHECKPOINT_PARTS];      /* the file that gave the part */
    flat_name         *flat;                         /* names of this file's U-Net by their form without dots */
    int                n_flat;
} joiner;

static int by_flat(const void *a, const void *b) { return strcmp(((const flat_name *)a)->flat, ((const flat_name *)b)->flat); }

static diffad_status list_flat(joiner *j, const diffad_file *f, const char *path)
{
    diffad_arena *arena = &j->c->view->arena;
    char          name[NAME_BYTES], flat[NAME_BYTES];
    j->n_flat = 0;
    j->flat   = diffad_arena_alloc(arena, (size_t)diffad_file_count(f) * sizeof *j->flat);
    for (int i = 0; j->flat && i < diffad_file_count(f); i++) {
        if (checkpoint_name(diffad_file_at(f, i)->name, name, sizeof name, NULL) != PART_UNET)
            continue;
        checkpoint_flatten(name, flat, sizeof flat);
        flat_name *to = &j->flat[j->n_flat++];
        to->flat = diffad_arena_strdup(arena, flat);
        to->name = diffad_arena_strdup(arena, name);
        if (!to->flat || !to->name)
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", path);
    }
    if (!j->flat)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", path);
    if (j->n_flat)
        qsort(j->flat, (size_t)j->n_flat, sizeof *j->flat, by_flat);
    return DIFFAD_OK;
}

static bool has_other(const diffad_file *view, const char *name)
{
    const size_t n = strlen(checkpoint_prefix[PART_OTHER]);
    bool         is_there = false;
    for (int i = 0; i < view->count; i++)
        is_there = is_there || (strncmp(view->tensor[i].name, checkpoint_prefix[PART_OTHER], n) == 0 && strcmp(view->tensor[i].name + n, name) == 0);
    return is_there;
}

/* The part belongs to one file. Tables and counters do not: of each, the first file's counts. */
static diffad_status claim(joiner *j, checkpoint_part part, const char *path)
{
    static const char *const what[CHECKPOINT_PARTS] = { "the autoencoder", "the critic", "LPIPS", "the U-Net", "the U-Net's average", "the segmenter",
                                                        "DRAEM's reconstructive network", "" };
    j->c->has[part] = true;
    if (!j->owner[part])
        j->owner[part] = path;
    if (strcmp(j->owner[part], path) != 0 && part != PART_OTHER && part != PART_LPIPS)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s and %s both hold %s: name the one that is meant", j->owner[part], path, what[part]);
    return DIFFAD_OK;
}

static diffad_status add_tensor(joiner *j, const diffad_file_tensor *t, const char *path)
{
    diffad_file  *view = j->c->view;
    char          inner[NAME_BYTES], full[NAME_BYTES + 16];
    bool          is_flat;
    const char   *name = inner;
    const checkpoint_part part = checkpoint_name(t->name, inner, sizeof inner, &is_flat);
    if (part >= CHECKPOINT_PARTS)
        return DIFFAD_OK;
    if (part == PART_EMA && is_flat) {
        const flat_name wanted = { .flat = inner }, *found = j->n_flat ? bsearch(&wanted, j->flat, (size_t)j->n_flat, sizeof *j->flat, by_flat) : NULL;
        if (!found)
            DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: \"%.80s\" is the average of no parameter of the U-Net in the file", path, t->name);
        name = found->name;
    }
    DIFFAD_TRY(claim(j, part, path));
    if (part == PART_OTHER && has_other(view, name))
        return DIFFAD_OK;
    snprintf(full, sizeof full, "%s%s", checkpoint_prefix[part], name);
    diffad_file_tensor *to = &view->tensor[view->count++];
    *to      = *t;
    to->name = diffad_arena_strdup(&view->arena, full);
    return to->name ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "%s: no host memory", path);
}

/* The published model conditions on the autoencoder itself ("__is_first_stage__"); so does ours. */
static diffad_status check_condition(const diffad_file *f, const char *path)
{
    char name[NAME_BYTES], first[NAME_BYTES + 32];
    bool is_same = false;
    for (int i = 0; i < diffad_file_count(f); i++) {
        const diffad_file_tensor *t = diffad_file_at(f, i), *other;
        if (checkpoint_name(t->name, name, sizeof name, NULL) != PART_CONDITION)
            continue;
        snprintf(first, sizeof first, "first_stage_model.%s", name);
        other = diffad_file_find(f, first);
        if (other)
            DIFFAD_TRY(diffad_file_same_bytes(other, t, &is_same));
        if (!other || !is_same)
            DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: \"%.80s\" is not equal to \"%.80s\": a conditioning stage of its own is not part of DiffAD", path, t->name,
                        first);
    }
    return DIFFAD_OK;
}

static diffad_status add_metadata(diffad_file *view, const diffad_file *f, const char *path)
{
    for (int i = 0; i < f->n_metadata; i++) {
        const char *key = strcmp(f->metadata[i].key, "diffad_model") == 0 ? "model"
                          : strcmp(f->metadata[i].key, "diffad_latent_scale") == 0 ? "latent_scale" : f->metadata[i].key;
        bool        is_known = false;
        for (int k = 0; k < view->n_metadata; k++)
            is_known = is_known || strcmp(view->metadata[k].key, key) == 0;
        if (is_known)
            continue;
        diffad_file_text *to = &view->metadata[view->n_metadata++];
        to->key   = diffad_arena_strdup(&view->arena, key);
        to->value = diffad_arena_strdup(&view->arena, f->metadata[i].value);
        if (!to->key || !to->value)
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", path);
    }
    return DIFFAD_OK;
}

/* LPIPS's file of linear layers has no constants for its inputs: those of the paper's code (taming-transformers). */
static diffad_status add_lpips_scaling(diffad_checkpoint *c)
{
    static const float        shift[3] = { -.030f, -.088f, -.188f }, scale[3] = { .458f, .448f, .450f };
    const float *const        value[2] = { shift, scale };
    static const char *const  names[2] = { "lpips.scaling_layer.shift", "lpips.scaling_layer.scale" };
    bool                      has[2] = { false, false };
    for (int i = 0; i < c->view->count; i++)
        for (int k = 0; k < 2; k++)
            has[k] = has[k] || strcmp(c->view->tensor[i].name, names[k]) == 0;
    for (int k = 0; k < 2 && c->has[PART_LPIPS]; k++)
        if (!has[k])
            c->view->tensor[c->view->count++] = (diffad_file_tensor){ .name = names[k], .type = DIFFAD_F32, .shape = { 4, { 1, 3, 1, 1 } },
                                                                      .data = (const unsigned char *)value[k], .bytes = sizeof shift };
    return DIFFAD_OK;
}

static diffad_status join(diffad_checkpoint *c, const path_list *l)
{
    joiner       j = { .c = c };
    int          tensors = 2, metadata = 0;
    for (int i = 0; i < c->files; i++) {
        tensors += diffad_file_count(c->file[i]);
        metadata += c->file[i]->n_metadata;
    }
    DIFFAD_TRY(diffad_file_new(c->origin, NULL, &c->view));
    c->view->tensor   = diffad_arena_alloc(&c->view->arena, (size_t)tensors * sizeof *c->view->tensor);
    c->view->metadata = diffad_arena_alloc(&c->view->arena, (size_t)metadata * sizeof *c->view->metadata);
    if (!c->view->tensor || !c->view->metadata)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", c->origin);
    for (int i = 0; i < c->files; i++) {
        DIFFAD_TRY(check_condition(c->file[i], l->path[i]));
        DIFFAD_TRY(list_flat(&j, c->file[i], l->path[i]));
        for (int k = 0; k < diffad_file_count(c->file[i]); k++)
            DIFFAD_TRY(add_tensor(&j, diffad_file_at(c->file[i], k), l->path[i]));
        DIFFAD_TRY(add_metadata(c->view, c->file[i], l->path[i]));
    }
    DIFFAD_TRY(add_lpips_scaling(c));
    bool any = false;
    for (int i = 0; i < PART_OTHER; i++)
        any = any || c->has[i];
    if (!any)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: no tensor has a name of DiffAD's or DRAEM's networks", c->origin);
    return diffad_file_index(c->view, c->origin);
}

static diffad_status open_files(diffad_checkpoint *c, const path_list *l)
{
    c->file = diffad_alloc_array((size_t)l->count, sizeof(diffad_file *));
    if (!c->file)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "checkpoint: no host memory");
    size_t n = 0;
    for (int i = 0; i < l->count; i++) {
        if (n < sizeof c->origin)
            n += (size_t)snprintf(c->origin + n, sizeof c->origin - n, "%s%s", i ? ", " : "", l->path[i]);
        DIFFAD_TRY(diffad_file_open_wanted(l->path[i], checkpoint_wants, &c->file[i]));
        c->files++;
    }
    return join(c, l);
}

diffad_status diffad_checkpoint_open(const char *const *paths, diffad_checkpoint *out)
{
    path_list         l = { .count = 0 };
    diffad_checkpoint c = { .files = 0 };
    diffad_status     st = find_paths(paths, &l);
    if (st == DIFFAD_OK)
        st = open_files(&c, &l);
    for (int i = 0; i < l.count; i++)
        diffad_release(l.path[i]);
    if (st == DIFFAD_OK)
        *out = c;
    else
        diffad_checkpoint_close(&c);
    return st;
}

void diffad_checkpoint_close(diffad_checkpoint *c)
{
    diffad_file_close(c->view);
    for (int i = 0; i < c->files; i++)
        diffad_file_close(c->file[i]);
    diffad_release(c->file);
    *c = (diffad_checkpoint){ .files = 0 };
}
