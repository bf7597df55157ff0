/* pickle_values.c: values of a pickle, the stack they stand on, and the bytes they come from. */
#include "base/fail.h"
#include "base/sys.h"
#include "tensor/pickle.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_VALUES = 1 << 22 };

diffad_status pickle_fail(const pickle *p, const char *format, ...)
{
    char    text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: %s, byte %lld: %s", p->origin, p->part, (long long)p->op, text);
}

diffad_status pickle_fail_memory(const pickle *p)
{
    DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory for its %s", p->origin, p->part);
}

bool pickle_is_text(const pickle_value *v, const char *text)
{
    const size_t n = strlen(text);
    return v && v->kind == PICKLE_TEXT && (size_t)v->text.bytes == n && memcmp(v->text.at, text, n) == 0;
}

const pickle_value *pickle_find(const pickle_value *dict, const char *key)
{
    const pickle_value *found = NULL;
    for (int64_t i = 0; dict->kind == PICKLE_DICT && i + 1 < dict->item.count; i += 2)
        if (pickle_is_text(dict->item.at[i], key))
            found = dict->item.at[i + 1];
    return found;
}

/* ---- values ---- */

/* Values and their places in lists: bounded, whatever a list that is used again and again would add up to. */
static diffad_status count_value(pickle *p)
{
    return ++p->values <= MAX_VALUES ? DIFFAD_OK : pickle_fail(p, "more than %d values; this is no checkpoint", MAX_VALUES);
}

diffad_status pickle_new(pickle *p, pickle_kind kind, pickle_value **out)
{
    DIFFAD_TRY(count_value(p));
    *out = diffad_arena_alloc(p->arena, sizeof **out);
    if (!*out)
        return pickle_fail_memory(p);
    (*out)->kind = kind;
    return DIFFAD_OK;
}

diffad_status pickle_add(pickle *p, pickle_value *to, pickle_value *item)
{
    if (to->item.count == to->item.capacity) {
        const int64_t  more = to->item.capacity ? 2 * to->item.capacity : 4;
        pickle_value **at   = diffad_arena_alloc(p->arena, (size_t)more * sizeof(pickle_value *));
        if (!at)
            return pickle_fail_memory(p);
        if (to->item.count)
            memcpy(at, to->item.at, (size_t)to->item.count * sizeof(pickle_value *));
        to->item.at       = at;
        to->item.capacity = more;
    }
    to->item.at[to->item.count++] = item;
    return count_value(p);
}

diffad_status pickle_push(pickle *p, pickle_value *v)
{
    if (!diffad_grow(&p->stack, p->depth, &p->capacity, sizeof(pickle_value *)))
        return pickle_fail_memory(p);
    p->stack[p->depth++] = v;
    return DIFFAD_OK;
}

diffad_status pickle_push_new(pickle *p, pickle_kind kind, pickle_value **out)
{
    DIFFAD_TRY(pickle_new(p, kind, out));
    return pickle_push(p, *out);
}

diffad_status pickle_push_number(pickle *p, pickle_kind kind, int64_t n)
{
    pickle_value *v;
    DIFFAD_TRY(pickle_push_new(p, kind, &v));
    v->number = n;
    return DIFFAD_OK;
}

/* Values above the last mark. */
int64_t pickle_above(const pickle *p) { return p->depth - (p->marks ? p->mark[p->marks - 1] : 0); }

diffad_status pickle_pop(pickle *p, pickle_value **out)
{
    if (pickle_above(p) <= 0)
        return pickle_fail(p, "takes a value where there is none; the file is damaged");
    *out = p->stack[--p->depth];
    return DIFFAD_OK;
}

diffad_status pickle_top(pickle *p, pickle_value **out)
{
    DIFFAD_TRY(pickle_pop(p, out));
    p->depth++;
    return DIFFAD_OK;
}

/* The values above the last mark, which goes away: *items stay where they are until the next push. */
diffad_status pickle_pop_mark(pickle *p, pickle_value ***items, int64_t *count)
{
    if (p->marks == 0)
        return pickle_fail(p, "ends a group that was not begun; the file is damaged");
    const int64_t from = p->mark[--p->marks];
    *count   = p->depth - from;
    *items   = p->stack ? p->stack + from : NULL;
    p->depth = from;
    return DIFFAD_OK;
}

/* ---- bytes ---- */

diffad_status pickle_take(pickle *p, uint64_t n, const unsigned char **out)
{
    if (n > (uint64_t)(p->bytes - p->at))
        return pickle_fail(p, "goes past the end of the %lld bytes (is the file complete?)", (long long)p->bytes);
    *out = p->data + p->at;
    p->at += (int64_t)n;
    return DIFFAD_OK;
}

/* Little-endian, unsigned. */
diffad_status pickle_take_number(pickle *p, int bytes, uint64_t *out)
{
    const unsigned char *at = NULL;
    DIFFAD_TRY(pickle_take(p, (uint64_t)bytes, &at));
    *out = 0;
    for (int i = bytes; i > 0; i--)
        *out = *out << 8 | at[i - 1];
    return DIFFAD_OK;
}

diffad_status pickle_push_text(pickle *p, pickle_kind kind, int length_bytes)
{
    uint64_t             n;
    const unsigned char *at = NULL;
    pickle_value        *v;
    DIFFAD_TRY(pickle_take_number(p, length_bytes, &n));
    DIFFAD_TRY(pickle_take(p, n, &at));
    DIFFAD_TRY(pickle_push_new(p, kind, &v));
    v->text.at    = at;
    v->text.bytes = (int64_t)n;
    return DIFFAD_OK;
}

/* Two's complement; what does not fit 64 bits stays as its bytes. */
diffad_status pickle_push_long(pickle *p, int length_bytes)
{
    uint64_t             n, v = 0;
    const unsigned char *at = NULL;
    pickle_value        *wide;
    DIFFAD_TRY(pickle_take_number(p, length_bytes, &n));
    DIFFAD_TRY(pickle_take(p, n, &at));
    if (n > 8) {
        DIFFAD_TRY(pickle_push_new(p, PICKLE_BYTES, &wide));
        wide->text.at    = at;
        wide->text.bytes = (int64_t)n;
        return DIFFAD_OK;
    }
    if (n > 0 && at[n - 1] & 0x80)
        v = ~(uint64_t)0;
    for (uint64_t i = n; i > 0; i--)
        v = v << 8 | at[i - 1];
    int64_t number;
    memcpy(&number, &v, sizeof number);
    return pickle_push_number(p, PICKLE_INT, number);
}

diffad_status pickle_push_float(pickle *p)
{
    const unsigned char *at = NULL;
    uint64_t             bits = 0;
    pickle_value        *v;
    DIFFAD_TRY(pickle_take(p, 8, &at));
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | at[i];
    DIFFAD_TRY(pickle_push_new(p, PICKLE_FLOAT, &v));
    memcpy(&v->real, &bits, sizeof bits);
    return DIFFAD_OK;
}
