/* config.h: YAML (through libyaml; JSON is read by the same door) as a tree, and typed tables that read structs from it.
 *
 * Errors name file, line and column, and the nearest known key. Anchors, aliases, tags and duplicate keys are refused;
 * depth is at most 16, size at most 1 MiB. */
#ifndef DIFFAD_CONFIG_H
#define DIFFAD_CONFIG_H

#include "base/arena.h"
#include "base/fail.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum diffad_node_kind { DIFFAD_CONFIG_SCALAR, DIFFAD_CONFIG_LIST, DIFFAD_CONFIG_MAP } diffad_config_kind;

typedef struct diffad_config {
    diffad_config_kind     kind;
    const char            *key;          /* in a map, else NULL */
    const char            *text;         /* scalar: its characters */
    bool                   quoted;       /* "12" is a string, 12 a number */
    int                    line, column; /* from 1 */
    struct diffad_config  *first, *next; /* children; siblings */
    int                    count;
} diffad_config;

/* `origin` is what messages call the text (a file name). The tree lives in `arena`. */
diffad_status diffad_config_parse(diffad_arena *arena, const char *origin, const char *text, size_t bytes, diffad_config **out);
diffad_status diffad_config_load(diffad_arena *arena, const char *path, diffad_config **out);
const diffad_config *diffad_config_get(const diffad_config *map, const char *key);      /* NULL: absent */

/* One row describes one field of a struct: from the table come the reader, the range check, `explain` and the
 * description inside a checkpoint. Lists have at most 8 values and a count field (int) right behind them. */
typedef enum diffad_field_kind {
    DIFFAD_FIELD_INT,       /* int */
    DIFFAD_FIELD_I64,       /* int64_t */
    DIFFAD_FIELD_REAL,      /* double */
    DIFFAD_FIELD_BOOL,      /* bool */
    DIFFAD_FIELD_TEXT,      /* char[64] */
    DIFFAD_FIELD_CHOICE,    /* int: index into `choices` */
    DIFFAD_FIELD_INTS,      /* struct { int v[8]; int n; } */
    DIFFAD_FIELD_REALS,     /* struct { double v[8]; int n; } */
    DIFFAD_FIELD_TABLE      /* nested struct with its own table */
} diffad_field_kind;

typedef struct diffad_ints { int v[8]; int n; } diffad_ints;
typedef struct diffad_reals { double v[8]; int n; } diffad_reals;

typedef struct diffad_field {
    const char                *name;
    diffad_field_kind          kind;
    size_t                     offset;
    double                     lo, hi;           /* numbers: allowed range, ends included */
    const char *const         *choices;          /* NULL-terminated */
    const struct diffad_field *table;            /* nested; ends with name == NULL */
    const char                *meaning;          /* with its source */
} diffad_field;

/* Reads `map` over *s (fields that are absent keep their value). Unknown keys are errors with the nearest known one. */
diffad_status diffad_config_read(const char *origin, const diffad_config *map, const diffad_field *table, void *s);
/* One value into the field of a dotted path ("unet.channels"). */
diffad_status diffad_config_put(const char *origin, const diffad_config *value, const char *path, const diffad_field *table, void *s);
/* "a.b.c=value" as from --set. */
diffad_status diffad_config_set(const char *assignment, const diffad_field *table, void *s);

/* Walks all leaf fields in table order; `path` is "unet.channels", `value` printed as YAML/JSON flow text. */
typedef void (*diffad_field_visit)(void *user, const char *path, const diffad_field *f, const char *value);
void diffad_config_walk(const diffad_field *table, const void *s, diffad_field_visit visit, void *user);

/* The struct as one line of JSON in new memory (diffad_release), readable by diffad_config_read again. NULL: memory. */
char *diffad_config_to_json(const diffad_field *table, const void *s);

#endif
