/* tuned.c: the table of tuned ways that is in force on a device. */
#include "kernel/tuned.h"
#include "base/hash.h"
#include "base/sys.h"
#include "base/text.h"
#include "kernel/embedded.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct row { char *key, *way; bool is_shipped; } row;

struct diffad_tuned {
    row    *rows;              /* sorted by key */
    int64_t count, capacity;
    char    digest[17];
    bool    has_failed;        /* no host memory */
};

/* ---- rows ---- */

static int64_t place_of(const diffad_tuned *t, const char *key, bool *is_there)
{
    int64_t from = 0, to = t->count;
    while (from < to) {
        const int64_t middle = (from + to) / 2;
        const int     order  = strcmp(t->rows[middle].key, key);
        if (order == 0) {
            *is_there = true;
            return middle;
        }
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    *is_there = false;
    return from;
}

static void remove_row(diffad_tuned *t, int64_t at)
{
    diffad_release(t->rows[at].key);
    diffad_release(t->rows[at].way);
    memmove(&t->rows[at], &t->rows[at + 1], (size_t)(t->count - at - 1) * sizeof *t->rows);
    t->count--;
}

static bool put(diffad_tuned *t, const char *key, const char *way, bool is_shipped)
{
    bool          is_there;
    const int64_t at = place_of(t, key, &is_there);
    if (is_there)
        remove_row(t, at);
    if (!*way)                 /* what is taken anyhow is the fastest: also where a row for the class says otherwise */
        return true;
    row r = { diffad_strdup(key), diffad_strdup(way), is_shipped };
    if (!r.key || !r.way || !diffad_grow(&t->rows, t->count, &t->capacity, sizeof *t->rows)) {
        diffad_release(r.key);
        diffad_release(r.way);
        return false;
    }
    memmove(&t->rows[at + 1], &t->rows[at], (size_t)(t->count - at) * sizeof *t->rows);
    t->rows[at] = r;
    t->count++;
    return true;
}

static void digest(diffad_tuned *t)
{
    diffad_text text = { 0 };
    for (int64_t i = 0; i < t->count; i++)
        diffad_text_addf(&text, "%s=%s\n", t->rows[i].key, t->rows[i].way);
    t->has_failed = t->has_failed || text.failed;
    t->digest[0]  = '\0';
    if (t->count > 0 && !text.failed)
        snprintf(t->digest, sizeof t->digest, "%016llx", (unsigned long long)diffad_hash64(text.s, text.length));
    diffad_text_release(&text);
}

/* ---- sources ---- */

void diffad_tuned_class(const diffad_caps *caps, char *out, size_t bytes)
{
    static const char *const kinds[] = { "cpu", "integrated", "gpu", "other" };
    static const char *const vendors[] = { "nvidia", "amd", "advanced micro devices", "intel", "apple", "arm", "qualcomm" };
    static const char *const short_names[] = { "nvidia", "amd", "amd", "intel", "apple", "arm", "qualcomm" };
    char vendor[sizeof caps->vendor];
    if (caps->kind == DIFFAD_DEVICE_CPU) {
        snprintf(out, bytes, "cpu/%u", (unsigned)caps->native_float);
        return;
    }
    for (size_t i = 0; i < sizeof vendor; i++)
        vendor[i] = (char)tolower((unsigned char)caps->vendor[i]);
    for (size_t i = 0; i < sizeof vendors / sizeof vendors[0]; i++)
        if (strstr(vendor, vendors[i])) {
            snprintf(out, bytes, "%s/%s", kinds[caps->kind], short_names[i]);
            return;
        }
    snprintf(out, bytes, "%s", kinds[caps->kind]);
}

void diffad_tuned_add_text(diffad_tuned *t, const diffad_caps *caps, const char *text)
{
    char class[64], line[1024], *key, *way;
    diffad_tuned_class(caps, class, sizeof class);
    for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        const size_t length = strcspn(at, "\n");
        if (*at == '#' || length >= sizeof line)
            continue;
        memcpy(line, at, length);
        line[length] = '\0';
        if (!(key = strchr(line, ',')) || !(way = strchr(key + 1, ',')))
            continue;
        *key++ = *way++ = '\0';
        if (strcmp(line, class) == 0 && !put(t, key, way, true))
            t->has_failed = true;
    }
    digest(t);
}

static void add_measured(void *user, const diffad_tuned_measure *m)
{
    diffad_tuned *t = user;
    if (!put(t, m->key, m->best ? m->best : "", false))
        t->has_failed = true;
}

static void release(diffad_device *dev)
{
    diffad_tuned *t = dev->tuned;
    while (t && t->count > 0)
        remove_row(t, t->count - 1);
    if (t)
        diffad_release(t->rows);
    diffad_release(t);
    dev->tuned = NULL;
}

const diffad_tuned *diffad_tuned_of(diffad_device *dev)
{
    const char *env = diffad_sys.getenv("DIFFAD_TUNED");
    if (dev->tuned || !(dev->tuned = diffad_alloc(sizeof *dev->tuned)))
        return dev->tuned;
    dev->release_tuned = release;
    if (env && strcmp(env, "0") == 0)
        return dev->tuned;
    char                  *path = diffad_tuned_path();
    const diffad_embedded *file = diffad_embedded_find(diffad_embedded_models, "tuned.csv");
    if (file)
        diffad_tuned_add_text(dev->tuned, &dev->caps, file->text);
    if (path && diffad_tuned_load(path, &dev->caps, add_measured, dev->tuned) != DIFFAD_OK)
        diffad_log(DIFFAD_LOG_WARNING, "%s", diffad_error_detail());
    digest(dev->tuned);
    if (dev->tuned->has_failed)
        diffad_log(DIFFAD_LOG_WARNING, "tuned ways: no host memory: some are left out");
    diffad_release(path);
    return dev->tuned;
}

void diffad_tuned_forget(diffad_device *dev)
{
    if (dev->tuned)
        release(dev);
}

void diffad_tuned_suspend(diffad_device *dev)
{
    diffad_tuned_forget(dev);
    dev->tuned         = diffad_alloc(sizeof *dev->tuned);
    dev->release_tuned = release;
}

/* ---- what is in it ---- */

int64_t     diffad_tuned_count(const diffad_tuned *t) { return t ? t->count : 0; }
const char *diffad_tuned_digest(const diffad_tuned *t) { return t ? t->digest : ""; }

int64_t diffad_tuned_shipped(const diffad_tuned *t)
{
    int64_t n = 0;
    for (int64_t i = 0; t && i < t->count; i++)
        n += t->rows[i].is_shipped;
    return n;
}

const char *diffad_tuned_find(const diffad_tuned *t, const char *key)
{
    bool          is_there = false;
    const int64_t at = t ? place_of(t, key, &is_there) : 0;
    return is_there ? t->rows[at].way : NULL;
}
