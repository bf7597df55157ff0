/* groups.c: photographs of one part, which no split of this program's own may separate. */
#include "data/dataset.h"

#include "base/file.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HOLDOUT_EVERY = 10, MAX_NAME = 1024 };

/* ---- names ---- */

static bool is_separator(char c) { return c == '_' || c == '-' || c == '.' || c == ' '; }

/* "left", "cam1", "cam_1", "sideA": the end of a name that tells one photograph of a part from the next. */
static bool is_view(const char *s)
{
    static const char *const whole[] = { "left", "right", "top", "bottom", "front", "back", "l", "r" };
    static const char *const numbered[] = { "camera", "cam", "view", "shot", "light", "lens", "side", "angle", "rot", "pos",
                                            "crop", "tile" };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strcasecmp(s, whole[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof numbered / sizeof *numbered; i++) {
        const size_t n = strlen(numbered[i]);
        if (strncasecmp(s, numbered[i], n) != 0)
            continue;
        const char  *rest = s + n + (is_separator(s[n]) ? 1 : 0);
        const size_t digits = strspn(rest, "0123456789");
        if ((digits > 0 && digits <= 4 && !rest[digits]) || (isalpha((unsigned char)rest[0]) && !rest[1]))
            return true;
    }
    return false;
}

void diffad_group_of(const char *text, char *out, size_t bytes)
{
    size_t length = strlen(text);
    length = length < bytes ? length : bytes - 1;
    memcpy(out, text, length);
    out[length] = 0;
    if (diffad_is_image_name(diffad_path_base(out)))
        *strrchr(out, '.') = 0;
    /* "cam_1" has a separator inside: the last two are tried. */
    char *base = (char *)(uintptr_t)diffad_path_base(out), *cut = NULL;
    int   tries = 2;
    for (char *p = base + strlen(base); p > base + 1 && tries > 0; p--)
        if (is_separator(p[-1])) {
            tries--;
            if (is_view(p))
                cut = p - 1;
        }
    if (cut && cut > base)
        *cut = 0;
}

/* ---- groups.tsv and origin.tsv ---- */

typedef struct entry { const char *path, *group; } entry;
typedef struct entries { entry *item; int64_t count, capacity; } entries;

static int by_path(const void *a, const void *b) { return strcmp(((const entry *)a)->path, ((const entry *)b)->path); }

static diffad_status fail_memory(void) { return diffad_fail(DIFFAD_ERR_MEMORY, "no memory for the groups of images"); }

static diffad_status add_entry(diffad_dataset *d, entries *e, const char *path, const char *group)
{
    const entry one = { diffad_arena_strdup(&d->arena, path), diffad_arena_strdup(&d->arena, group) };
    if (!one.path || !one.group || !diffad_grow(&e->item, e->count, &e->capacity, sizeof one))
        return fail_memory();
    e->item[e->count++] = one;
    return DIFFAD_OK;
}

/* Only what a person wrote is held to its word: origin.tsv serves other ends, too. */
static diffad_status read_entries(diffad_dataset *d, const char *path, bool is_origin, entries *e)
{
    diffad_rows   rows;
    char         *field[2], group[MAX_NAME];
    diffad_status st = DIFFAD_OK;
    DIFFAD_TRY(diffad_rows_open(path, '\t', &rows));
    while (st == DIFFAD_OK && diffad_rows_next(&rows, field, 2)) {
        if (*field[0] && *field[1]) {
            if (is_origin)
                diffad_group_of(field[1], group, sizeof group);
            st = add_entry(d, e, field[0], is_origin ? group : field[1]);
        } else if (!is_origin) {
            st = diffad_dataset_fault(d, "%s: line %d is not a path, a tab and a group", path, rows.line);
        }
    }
    diffad_rows_close(&rows);
    if (e->count)
        qsort(e->item, (size_t)e->count, sizeof *e->item, by_path);
    return st;
}

static void assign(diffad_items *items, size_t skip, const entries *e)
{
    for (int64_t i = 0; i < items->count; i++) {
        const entry  wanted = { .path = items->item[i].path + skip };
        const entry *found = bsearch(&wanted, e->item, (size_t)e->count, sizeof wanted, by_path);
        if (found)
            items->item[i].group = found->group;
    }
}

diffad_status diffad_groups_read(diffad_dataset *d, const char *folder)
{
    entries e = { 0 };
    const char *groups = diffad_dataset_join(d, folder, "groups.tsv"), *origin = diffad_dataset_join(d, folder, "origin.tsv");
    if (!groups || !origin)
        return fail_memory();
    const bool is_origin = !diffad_path_exists(groups);
    if (is_origin && !diffad_path_exists(origin))
        return DIFFAD_OK;
    const diffad_status st = read_entries(d, is_origin ? origin : groups, is_origin, &e);
    if (st == DIFFAD_OK && e.count) {
        assign(&d->train, strlen(folder) + 1, &e);
        assign(&d->test, strlen(folder) + 1, &e);
    }
    diffad_release(e.item);
    return st;
}

/* ---- the split ---- */

typedef struct member { const char *group; int64_t at, first; } member;

static int by_group(const void *a, const void *b)
{
    const member *p = a, *q = b;
    const int order = strcmp(p->group, q->group);
    return order ? order : (p->at > q->at) - (p->at < q->at);
}

/* Groups in the order in which their first images come. */
static int by_first(const void *a, const void *b)
{
    const member *p = a, *q = b;
    const int order = (p->first > q->first) - (p->first < q->first);
    return order ? order : (p->at > q->at) - (p->at < q->at);
}

/* Members sorted by group, in new memory; images without a group are groups of their own: they have no name. */
static diffad_status list_members(const diffad_items *items, member **out)
{
    member *m = diffad_alloc_array((size_t)items->count + 1, sizeof *m);
    if (!m)
        return fail_memory();
    for (int64_t i = 0; i < items->count; i++)
        m[i] = (member){ items->item[i].group ? items->item[i].group : items->item[i].path, i, 0 };
    if (items->count)
        qsort(m, (size_t)items->count, sizeof *m, by_group);
    for (int64_t i = 0; i < items->count; i++)
        m[i].first = i && strcmp(m[i].group, m[i - 1].group) == 0 ? m[i - 1].first : m[i].at;
    *out = m;
    return DIFFAD_OK;
}

static int64_t count_groups(const member *m, int64_t n)
{
    int64_t groups = 0;
    for (int64_t i = 0; i < n; i++)
        groups += m[i].first == m[i].at;
    return groups;
}

diffad_status diffad_groups_count(const diffad_items *items, int64_t *out)
{
    member *m;
    DIFFAD_TRY(list_members(items, &m));
    *out = count_groups(m, items->count);
    diffad_release(m);
    return DIFFAD_OK;
}

/* Every tenth group goes from training to the holdout; of two to nine groups, the last. */
diffad_status diffad_groups_hold_back(diffad_dataset *d)
{
    const int64_t all = d->train.count;
    member       *m;
    DIFFAD_TRY(list_members(&d->train, &m));
    const int64_t groups = count_groups(m, all);
    bool         *held = diffad_alloc_array((size_t)all + 1, sizeof *held);
    diffad_status st = held ? DIFFAD_OK : fail_memory();
    int64_t       kept = 0, rank = -1;
    if (all)
        qsort(m, (size_t)all, sizeof *m, by_first);
    for (int64_t i = 0; i < all && st == DIFFAD_OK; i++) {
        rank += m[i].first == m[i].at;
        held[m[i].at] = rank % HOLDOUT_EVERY == HOLDOUT_EVERY - 1 || (groups >= 2 && groups < HOLDOUT_EVERY && rank == groups - 1);
    }
    for (int64_t i = 0; i < all && st == DIFFAD_OK; i++) {
        const diffad_item item = d->train.item[i];
        if (!held[i])
            d->train.item[kept++] = item;
        else if (!diffad_grow(&d->holdout.item, d->holdout.count, &d->holdout.capacity, sizeof item))
            st = fail_memory();
        else
            d->holdout.item[d->holdout.count++] = item;
    }
    d->train.count = st == DIFFAD_OK ? kept : all;
    diffad_release(held);
    diffad_release(m);
    return st;
}
