/* torch_state.c: from the values of a pickle and the storages beside it to tensors.
 *
 * Refused, each with a reason that names file and tensor: a root without a state dict; names as in safetensors files, and
 * names that occur twice; tensors that reach beyond their storage or have more elements than it, negative strides, rank
 * above 5, a type that none here has (int16, int8, complex); copies of tensors that are not contiguous, once they add up to
 * four times the file. */
#include "base/size.h"
#include "tensor/safetensors.h"
#include "tensor/torch_source.h"

#include <stdio.h>
#include <string.h>

enum { COPIES = 4 };

diffad_status torch_fail_memory(const torch_source *s) { return diffad_fail(DIFFAD_ERR_MEMORY, "%s: no host memory", s->origin); }

diffad_status torch_fail_tensor(const torch_source *s, const char *name, const char *why)
{
    DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: tensor \"%.80s\": %s", s->origin, name, why);
}

/* ---- tensors ---- */

/* Whether the tensor lies in its storage; *contiguous: in one piece. */
static diffad_status check_extent(const torch_source *s, const char *name, const pickle_tensor *t, const diffad_shape *shape, bool *contiguous)
{
    const int64_t count = diffad_shape_count(shape);
    int64_t       last = t->offset, step, unused;
    *contiguous = true;
    if (count < 0 || t->storage.count < 0 || t->offset < 0)
        return torch_fail_tensor(s, name, "a size that is negative or cannot be counted; the file is damaged");
    if (!diffad_mul_i64(t->storage.count, t->storage.each, &unused))
        return torch_fail_tensor(s, name, "a storage that cannot be counted; the file is damaged");
    for (int64_t i = t->rank - 1, dense = 1; i >= 0; i--) {
        if (t->stride[i] < 0)
            return torch_fail_tensor(s, name, "a negative stride; the file is damaged");
        if (t->side[i] != 1 && t->stride[i] != dense)
            *contiguous = false;
        if (count > 0 && (!diffad_mul_i64(t->side[i] - 1, t->stride[i], &step) || !diffad_add_i64(last, step, &last)))
            return torch_fail_tensor(s, name, "it reaches beyond its storage; the file is damaged");
        dense *= t->side[i];      /* at most count, or 0 */
    }
    if (count == 0)
        *contiguous = true;
    if (count > 0 ? last >= t->storage.count : t->offset > t->storage.count)
        return torch_fail_tensor(s, name, "it reaches beyond its storage; the file is damaged");
    if (count > t->storage.count)
        return torch_fail_tensor(s, name, "it repeats elements of its storage; save it as a copy (tensor.clone())");
    return DIFFAD_OK;
}

static void gather(const pickle_tensor *t, const unsigned char *from, unsigned char *to)
{
    const size_t each = (size_t)t->storage.each;
    int64_t      at[DIFFAD_MAX_RANK] = { 0 };
    for (int64_t offset = t->offset;;) {
        memcpy(to, from + (size_t)offset * each, each);
        to += each;
        int i = t->rank - 1;
        for (; i >= 0 && ++at[i] == t->side[i]; i--) {
            offset -= (t->side[i] - 1) * t->stride[i];
            at[i] = 0;
        }
        if (i < 0)
            return;
        offset += t->stride[i];
    }
}

static diffad_status load_tensor(torch_source *s, const char *name, const pickle_tensor *t, diffad_file_tensor *out)
{
    const unsigned char *storage;
    bool                 contiguous;
    out->name  = name;
    out->type  = (diffad_dtype)t->storage.type;
    out->shape = (diffad_shape){ .rank = t->rank };
    for (int i = 0; i < t->rank; i++) {
        if (t->side[i] < 0)
            return torch_fail_tensor(s, name, "a negative side; the file is damaged");
        out->shape.side[i] = t->side[i];
    }
    if (t->storage.type < 0)
        return torch_fail_tensor(s, name, "int8, int16 and complex tensors are not read; convert it to float32");
    if (!diffad_file_tensor_bytes(out->type, &out->shape, &out->bytes))
        return torch_fail_tensor(s, name, "a shape with more elements than can be counted; the file is damaged");
    DIFFAD_TRY(check_extent(s, name, t, &out->shape, &contiguous));
    const int64_t bytes = t->storage.count * t->storage.each;
    DIFFAD_TRY(s->storage(s, name, &t->storage, bytes, &storage));
    if (contiguous) {
        out->data  = storage ? storage + t->offset * t->storage.each : NULL;
        out->file  = s->f;
        out->entry = s->entry;
        out->at    = t->offset * t->storage.each;
        return DIFFAD_OK;
    }
    if (!storage)
        DIFFAD_TRY(diffad_torch_entry(s->f, s->entry, &storage));
    s->copied += out->bytes;
    if (s->copied / COPIES > s->bytes)
        return torch_fail_tensor(s, name, "copies of tensors that are not contiguous add up to four times the file; save them contiguous");
    unsigned char *to = diffad_arena_alloc(&s->f->arena, (size_t)out->bytes);
    if (!to)
        return torch_fail_memory(s);
    gather(t, storage, to);
    out->data = to;
    return DIFFAD_OK;
}

/* ---- the state dict ---- */

/* NULL where the value is no name for a tensor. */
static char *name_of(torch_source *s, const pickle_value *v)
{
    if (v->kind != PICKLE_TEXT || v->text.bytes >= TORCH_NAME_BYTES || memchr(v->text.at, 0, (size_t)v->text.bytes))
        return NULL;
    char *name = diffad_arena_alloc(&s->f->arena, (size_t)v->text.bytes + 1);
    if (name)
        memcpy(name, v->text.at, (size_t)v->text.bytes);
    return name;
}

/* Numbers and texts of the root. */
static diffad_status read_fields(torch_source *s, const pickle_value *root)
{
    diffad_file *f = s->f;
    char         number[32];
    if (root->item.count / 2 > DIFFAD_FILE_MAX_TENSORS)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: a dict of %lld entries, more than %d", s->origin, (long long)(root->item.count / 2), DIFFAD_FILE_MAX_TENSORS);
    f->metadata = diffad_arena_alloc(&f->arena, (size_t)(root->item.count / 2) * sizeof *f->metadata);
    if (!f->metadata)
        return torch_fail_memory(s);
    for (int64_t i = 0; i + 1 < root->item.count; i += 2) {
        const pickle_value *v = root->item.at[i + 1];
        if ((v->kind != PICKLE_INT && v->kind != PICKLE_TEXT) || root->item.at[i]->kind != PICKLE_TEXT)
            continue;
        snprintf(number, sizeof number, "%lld", (long long)(v->kind == PICKLE_INT ? v->number : 0));
        char *key = name_of(s, root->item.at[i]), *value = v->kind == PICKLE_INT ? diffad_arena_strdup(&f->arena, number)
                                                                                 : diffad_arena_alloc(&f->arena, (size_t)v->text.bytes + 1);
        if (!value)
            return torch_fail_memory(s);
        if (v->kind == PICKLE_TEXT)
            memcpy(value, v->text.at, (size_t)v->text.bytes);
        if (key)
            f->metadata[f->n_metadata++] = (diffad_file_text){ key, value };
    }
    return DIFFAD_OK;
}

diffad_status torch_read_state(torch_source *s, const pickle_value *root)
{
    diffad_file        *f = s->f;
    const pickle_value *state = root->kind == PICKLE_DICT ? pickle_find(root, "state_dict") : NULL;
    if (root->kind != PICKLE_DICT || (state && state->kind != PICKLE_DICT))
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: holds no dict of tensors; save the weights with torch.save(model.state_dict(), FILE)", s->origin);
    if (state)
        DIFFAD_TRY(read_fields(s, root));
    else
        state = root;
    if (state->item.count / 2 > DIFFAD_FILE_MAX_TENSORS)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: %lld tensors, more than %d", s->origin, (long long)(state->item.count / 2), DIFFAD_FILE_MAX_TENSORS);
    f->tensor = diffad_arena_alloc(&f->arena, (size_t)(state->item.count / 2) * sizeof *f->tensor);
    if (!f->tensor)
        return torch_fail_memory(s);
    int64_t others = 0;
    for (int64_t i = 0; i + 1 < state->item.count; i += 2) {
        const pickle_value *v = state->item.at[i + 1];
        if (v->kind != PICKLE_TENSOR) {
            others++;
            continue;
        }
        const char *name = name_of(s, state->item.at[i]);
        if (!name || !diffad_file_name_ok(name))
            DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: a tensor whose name is empty or holds control characters or slashes; the file is damaged", s->origin);
        if (s->wants && !s->wants(name))
            others++;
        else
            DIFFAD_TRY(load_tensor(s, name, v->tensor, &f->tensor[f->count++]));
    }
    if (f->count == 0 && others > 0 && !s->wants)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: its dict holds no tensors; save the weights with torch.save(model.state_dict(), FILE)", s->origin);
    return diffad_file_index(f, s->origin);
}
