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
    diffad_arena arena;                   /* all strings */
    char        *class_name;
    bool         is_plain;
    diffad_items train, test, holdout;
};

/* A name with an ending of PNG, JPEG or BMP that is not hidden; what is in the file is seen later. */
bool diffad_is_image_name(const char *name);
/* Adds the images of `folder`, sorted; a folder without images adds none. */
diffad_status diffad_items_add_folder(diffad_dataset *d, diffad_items *items, const char *folder,
                                      const char *defect, bool anomalous);

/* FOLDER/train/good exists. */
bool diffad_mvtec_is_class(const char *folder);
/* The class folders inside `root`, separated by ", ", in new memory; "" when there are none, NULL when memory
 * is out. */
char *diffad_mvtec_classes(const char *root);
/* `strict`: a defect image without its mask is an error wherever ground_truth exists. */
diffad_status diffad_mvtec_scan(diffad_dataset *d, const char *folder, bool strict);
/* Mask file of an image of kind `defect` in `folder`, NULL if there is none; lives in the arena. */
diffad_status diffad_mvtec_mask(diffad_dataset *d, const char *folder, const char *defect, const char *image,
                                char **mask);

/* diffad_dataset_open with strict chosen. */
diffad_status diffad_dataset_scan(const char *root, const char *name, bool strict, diffad_dataset **out);

/* 16 hex digits over names and contents of all images and masks, whatever the folder they lie in. */
diffad_status diffad_dataset_fingerprint(const diffad_dataset *d, char hex[17]);

/* All images below `folder` to a depth of 16, sorted folder by folder. */
diffad_status diffad_dataset_scan_tree(const char *folder, diffad_dataset **out);

#endif
