/* files.h: files and folders for the tests of the data layer. */
#ifndef TEST_DATA_FILES_H
#define TEST_DATA_FILES_H

#include "base/file.h"
#include "diffad/data.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "folder/name"; lives as long as the test. */
static inline const char *joined(const char *folder, const char *name)
{
    static char   paths[1 << 18];
    static size_t used;
    const size_t folder_bytes = strlen(folder), name_bytes = strlen(name);
    char *path = paths + used;
    used += folder_bytes + name_bytes + 2;
    cr_assert_leq(used, sizeof paths);
    memcpy(path, folder, folder_bytes);
    path[folder_bytes] = '/';
    memcpy(path + folder_bytes + 1, name, name_bytes);
    return path;
}

static inline const char *test_file(const char *name) { return joined(DIFFAD_TEST_DIR "/data", name); }

/* A new folder, removed at exit of the test's process. */
static char temporary_folder[64];
static inline void remove_temporary(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", temporary_folder);
    if (temporary_folder[0] && system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", temporary_folder);
}

static inline const char *temporary(void)
{
    if (!temporary_folder[0]) {
        strcpy(temporary_folder, "/tmp/diffad_data_XXXXXX");
        cr_assert_not_null(mkdtemp(temporary_folder));
        atexit(remove_temporary);
    }
    return temporary_folder;
}

static inline unsigned char *slurp(const char *path, size_t *bytes)
{
    unsigned char *data = NULL;
    int64_t n = 0;
    cr_assert_eq(diffad_file_read(path, INT64_C(1) << 30, DIFFAD_ERR_DATA, &data, &n), DIFFAD_OK, "%s",
                 diffad_error_detail());
    *bytes = (size_t)n;
    return data;
}

static inline void spill(const char *path, const void *data, size_t bytes)
{
    char folder[1024];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    cr_assert_eq(diffad_make_dirs(folder), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_file_write(path, data, (int64_t)bytes), DIFFAD_OK, "%s", diffad_error_detail());
}

/* An image file of one colour. */
static inline void spill_image(const char *path, int width, int height, int channels, int value)
{
    diffad_image image;
    unsigned char *data = NULL;
    int64_t bytes = 0;
    cr_assert_eq(diffad_image_create(width, height, channels, &image), DIFFAD_OK);
    memset(image.pixels, value, (size_t)(width * height * channels));
    cr_assert_eq(diffad_image_encode_png(&image, &data, &bytes), DIFFAD_OK);
    spill(path, data, (size_t)bytes);
    diffad_memory_release(data);
    diffad_image_release(&image);
}

static inline void from_hex(const char *hex, uint8_t *to)
{
    for (; *hex; hex += 2) {
        unsigned v = 0;
        sscanf(hex, "%2x", &v);
        *to++ = (uint8_t)v;
    }
}

#define MUST(call) cr_assert_eq((call), DIFFAD_OK, "%s", diffad_error_detail())
#define SAYS(text)                                                                                             \
    cr_expect_not_null(strstr(diffad_error_detail(), text), "expected \"%s\" in: %s", text,                    \
                       diffad_error_detail())

#endif
