/* published_read.h: what published.c reads a file with. A key is written "PREFIX" "KEY", dotted: "model.params." "embed_dim".
 * Taken keys are remembered; messages name file, line, column and key. */
#ifndef DIFFAD_PUBLISHED_READ_H
#define DIFFAD_PUBLISHED_READ_H

#include "model/desc.h"

enum { PUBLISHED_MAX_USED = 192 };

typedef struct published_reader {
    const char          *origin;
    const diffad_config *root;
    diffad_desc         *d;
    diffad_trail        *trail;
    const diffad_config *used[PUBLISHED_MAX_USED];
    int                  n_used;
} published_reader;

const diffad_config *published_find(const diffad_config *root, const char *key);      /* remembers nothing */
/* NULL: absent, or null. */
const diffad_config *published_take(published_reader *r, const char *prefix, const char *key);
const char          *published_text(const diffad_config *c);                          /* "": not a scalar */
const char          *published_class(const diffad_config *target);                    /* "a.b.Class" -> "Class" */
bool                 published_equals(const char *text, const char *value);           /* as numbers, as true and false, as text */
diffad_status        published_fail(const published_reader *r, const diffad_config *at, const char *prefix, const char *key, const char *why);

/* A key with a field of its own. fallback: what the published code takes where it is absent; NULL: it must be there; "": the
 * field keeps its value. Lists end with key NULL. */
typedef struct published_key { const char *key, *path, *fallback; } published_key;
diffad_status published_row(published_reader *r, const char *prefix, const published_key *key);
diffad_status published_rows(published_reader *r, const char *prefix, const published_key *keys);
/* A field whose value follows from the file, or that every published training has; value as YAML. */
diffad_status published_put(published_reader *r, const char *path, const char *value, const char *source);

/* A key that can have one value here, where it is given at all; "": none. */
typedef struct published_only { const char *key, *value; } published_only;
diffad_status published_expect(published_reader *r, const char *prefix, const published_only *list);

/* A whole number, left alone where it may be absent and is. */
diffad_status published_whole(published_reader *r, const char *prefix, const char *key, bool needed, int64_t *out);
/* One that must be `want`, as `because` says. */
diffad_status published_agree(published_reader *r, const char *prefix, const char *key, bool needed, int64_t want, const char *because);

/* One remark that names all keys nothing took. */
void published_note_unused(published_reader *r);

#endif
