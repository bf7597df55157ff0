/* tuned.h: ways that were measured to be the fastest on a device (`diffad tune`), by what a plan calls a node.
 *
 * Two sources, the first wins: rows of this device and driver in a SQLite file (tuned_store.c), and rows of the device's class
 * in models/tuned.csv, which is part of the library. An empty table is fine: ways choose well by themselves.
 *
 * DIFFAD_TUNED: a file in place of tuned.sqlite in the cache's folder; 0: no table at all. */
#ifndef DIFFAD_TUNED_H
#define DIFFAD_TUNED_H

#include "device/device.h"

typedef struct diffad_tuned diffad_tuned;

/* The table in force, read when it is first asked for; it lives with the device. NULL: none (or no host memory). */
const diffad_tuned *diffad_tuned_of(diffad_device *dev);
/* Drops it, so that the next call reads anew. And an empty one in its place, until then. */
void                diffad_tuned_forget(diffad_device *dev);
void                diffad_tuned_suspend(diffad_device *dev);
int64_t             diffad_tuned_count(const diffad_tuned *t);
int64_t             diffad_tuned_shipped(const diffad_tuned *t);          /* of these, from the library */
/* "way" or "way/variant"; NULL: nothing is known about such a node. */
const char         *diffad_tuned_find(const diffad_tuned *t, const char *key);
/* Digits of a digest over all rows; "" for an empty table. */
const char         *diffad_tuned_digest(const diffad_tuned *t);
/* Rows of the device's class from lines "class,key,way" (others begin with #), as models/tuned.csv has them. */
void                diffad_tuned_add_text(diffad_tuned *t, const diffad_caps *caps, const char *text);
/* "cpu/16" (lanes of its vectors), "gpu/nvidia": rows of models/tuned.csv are for such a class. */
void                diffad_tuned_class(const diffad_caps *caps, char *out, size_t bytes);

/* ---- tuned_store.c: the file ---- */

/* The file that is read and written, in new memory; NULL: there is none (no cache, or DIFFAD_TUNED=0). */
char *diffad_tuned_path(void);
/* Rows of this device and driver; `best` NULL or "": the way that is taken anyhow was the fastest. */
typedef struct diffad_tuned_measure { const char *key, *usual, *best; double usual_us, best_us; } diffad_tuned_measure;
diffad_status diffad_tuned_load(const char *path, const diffad_caps *caps, void (*row)(void *user, const diffad_tuned_measure *m),
                                void *user);
/* Adds or replaces, all or nothing; the file is made if needed. */
diffad_status diffad_tuned_save(const char *path, const diffad_caps *caps, const diffad_tuned_measure *rows, int64_t count);

#endif
