/* tables.h: a table of figures between what fills it (tables.c, tables_figure.c) and what prints it (tables_write.c). */
#ifndef DIFFAD_EVAL_TABLES_H
#define DIFFAD_EVAL_TABLES_H

#include "diffad/tables.h"

#include "base/arena.h"
#include "base/fail.h"
#include "base/text.h"

enum { TABLE_CLASSES = 15, TABLE_NOTES = 4 };
extern const char *const table_classes[TABLE_CLASSES];       /* of MVTec-AD, in the paper's order */
bool table_is_paper_class(const char *class_name);
/* No result before number i has its class. */
bool table_is_new_class(const diffad_tables *t, int i);

/* Which figure: a row and a column each say a part of it (unset: NULL, 0, TABLE_UNSET). */
typedef enum table_over { TABLE_UNSET, TABLE_CLASS, TABLE_OVER_RUN, TABLE_OVER_ALL } table_over;
typedef struct table_query {
    const char *model;               /* NULL: the paper alone */
    const char *method;              /* in the paper's words */
    const char *metric;              /* image_auroc, ..., seconds, train_mib, eval_mib */
    const char *protocol;            /* NULL: official */
    const char *class_name;          /* of TABLE_CLASS */
    table_over  over;                /* one class; the mean of those that were run; the mean of all 15 of the paper */
    int         train_steps, eval_steps;
    int         table;               /* of the paper, for its figure; -1: it has none */
} table_query;

typedef struct table_line { const char *label, *group; bool is_sum; table_query query; } table_line;

typedef struct table {
    const char    *id, *title;
    const char    *corner;           /* head of the first column */
    table_line    *column, *row;     /* in the arena, as all of the texts made for it */
    int            columns, rows, capacity;
    const char    *note[TABLE_NOTES];
    int            notes;
    diffad_figure *figure;           /* [rows][columns] */
    diffad_arena   arena;
    bool           failed;           /* memory */
} table;

/* Row and column together; the column wins. */
table_query   table_join(const table_query *row, const table_query *column);
diffad_figure table_figure(const diffad_tables *t, const table_query *q);
bool          table_is_percent(const char *metric);

/* Table number `i` from 0; *found false: there is no more. Released with table_release. Errors: MEMORY. */
diffad_status table_fill(const diffad_tables *t, int i, table *out, bool *found);
void          table_release(table *t);

#endif
