/* program.h: OpenCL programs by file and sorted constants, built once per device and kept in memory and on disk. */
#ifndef DIFFAD_PROGRAM_H
#define DIFFAD_PROGRAM_H

#include "base/text.h"
#include "device/device.h"

typedef struct diffad_program diffad_program;

/* The program of cl/<file>.cl with `defines`, a sorted list such as "-DVEC=4 -DWG=64". Borrowed: it lives with the
 * device. */
diffad_status diffad_program_get(diffad_device *dev, const char *file, const char *defines, diffad_program **out);
diffad_status diffad_program_kernel(diffad_program *p, const char *kernel, cl_kernel *out);
/* After the first launch: keeps the binary on disk where that is wanted and not yet done. Failure is no error. */
void          diffad_program_store(diffad_program *p);

/* What is about to be asked for and not built yet. diffad_program_wish adds it; diffad_program_bundle builds the list, where
 * that is faster as one program, and empties it. What is not built then, diffad_program_get builds alone, so that only a
 * device that broke is an error. */
typedef struct diffad_program_list { char **key; int64_t count, cap; } diffad_program_list;
void          diffad_program_wish(diffad_device *dev, diffad_program_list *list, const char *file, const char *defines);
diffad_status diffad_program_bundle(diffad_device *dev, diffad_program_list *list);

/* The text of cl/<file>.cl with its includes resolved; from DIFFAD_CL_DIR where set, else from the library. */
diffad_status diffad_source_get(const char *file, diffad_text *out);

/* ---- disk cache ---- */

/* The folder, or NULL when switched off (DIFFAD_CACHE_DIR empty) or when there is no home. New memory. */
char *diffad_cache_folder(void);
/* A checked entry in new memory, or NULL. A bad one is removed. */
unsigned char *diffad_cache_read(const char *key, size_t *bytes);
void           diffad_cache_write(const char *key, const void *data, size_t bytes);
/* Entries and bytes held; with `clear` they are removed. */
diffad_status  diffad_cache_scan(bool clear, int64_t *entries, int64_t *bytes);

typedef struct diffad_program_stats { int built, from_disk; uint64_t build_ns; } diffad_program_stats;
diffad_program_stats diffad_program_statistics(const diffad_device *dev);

#endif
