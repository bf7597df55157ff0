/* dataset.h: inside of a data set, for the files that scan one. */
#ifndef DIFFAD_DATASET_H
#define DIFFAD_DATASET_H

#include "base/arena.h"
#include "base/fail.h"
#include "diffad/data.h"

typedef struct diffad_items {
    diffad_item *item;
    int64_t      count, capacity;
} diffad_items;

struct diffad_dataset {
    diffad_arena  arena;                  /* all strings */
    char         *class_name;
    diffad_data_layout layout;
    bool          strict;                 /* a fault of the data ends the scan; otherwise it is kept */
    diffad_items  train, test, holdout;
    int64_t       unused;                 /* images for neither */
    const char  **fault;
    int64_t       fault_count, fault_capacity;
};

/* A name with an ending of PNG, JPEG or BMP that is not hidden; what is in the file is seen later. */
bool diffad_is_image_name(const char *name);
/* Fails with DATA when strict; otherwise keeps the line. */
diffad_status diffad_dataset_fault(diffad_dataset *d, const char *format, ...) DIFFAD_PRINTF(2, 3);
/* Copies the item's strings. */
diffad_status diffad_items_add(diffad_dataset *d, diffad_items *items, const diffad_item *item);
/* Adds the images of `folder`, sorted, like `item` in all but the path; a folder without images adds none. */
diffad_status diffad_items_add_folder(diffad_dataset *d, diffad_items *items, const char *folder, const diffad_item *item);
/* "folder/name" in the arena; NULL when memory is out. */
char *diffad_dataset_join(diffad_dataset *d, const char *folder, const char *name);

/* ---- layouts ---- */

/* PLAIN: no class folder of a known layout. */
diffad_data_layout diffad_layout_of(const char *folder);
/* The class folders inside `root`, separated by ", ", in new memory; "" when there are none, NULL when memory
 * is out. */
char *diffad_layout_classes(const char *root);
/* Where a class keeps its masks, for messages. */
const char *diffad_layout_mask_place(diffad_data_layout l);

/* Each reads one class folder whose layout is known. When strict, a defect image without its mask is a fault wherever
 * the set has masks at all; otherwise it has none, and good images get the mask that lies there for them. */
diffad_status diffad_mvtec_scan(diffad_dataset *d, const char *folder);      /* MVTEC, LOCO, BTAD */
diffad_status diffad_visa_scan(diffad_dataset *d, const char *folder);
diffad_status diffad_plain_scan(diffad_dataset *d, const char *folder);

/* diffad_dataset_open with strict chosen. */
diffad_status diffad_dataset_scan(const char *root, const char *name, bool strict, diffad_dataset **out);

/* 16 hex digits over names and contents of all images and masks, whatever the folder they lie in. */
diffad_status diffad_dataset_fingerprint(const diffad_dataset *d, char hex[17]);

/* All images below `folder` to a depth of 16, sorted folder by folder; in DTD's root only those of images/. */
diffad_status diffad_dataset_scan_tree(const char *folder, diffad_dataset **out);

/* ---- groups ---- */

/* The part that a file name, or a source in origin.tsv, belongs to; cut to `bytes`. */
void diffad_group_of(const char *text, char *out, size_t bytes);
/* Gives every item the group that groups.tsv or origin.tsv in `folder` says. */
diffad_status diffad_groups_read(diffad_dataset *d, const char *folder);
/* Moves whole groups from training to the holdout. */
diffad_status diffad_groups_hold_back(diffad_dataset *d);
/* How many groups these items have. */
diffad_status diffad_groups_count(const diffad_items *items, int64_t *out);

/* ---- tables ---- */

/* Lines of fields between separators; quotes as in RFC 4180; a byte order mark and \r are left away. */
typedef struct diffad_rows {
    unsigned char *text;
    char          *at;
    char           separator;
    int            line;                  /* of the row read last, from 1 */
} diffad_rows;
diffad_status diffad_rows_open(const char *path, char separator, diffad_rows *out);
/* The next row that is not empty, its first `most` fields (the rest is ""); false at the end. */
bool          diffad_rows_next(diffad_rows *r, char **field, int most);
void          diffad_rows_close(diffad_rows *r);

#endif
