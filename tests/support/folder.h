/* folder.h: a folder of its own for a test, and a locale with a decimal comma. */
#ifndef DIFFAD_TEST_FOLDER_H
#define DIFFAD_TEST_FOLDER_H

#include <stdbool.h>

/* A new empty folder; removed with all its contents when the process ends. */
const char *folder_new(void);
/* "FOLDER/name"; the sixteen latest results stay valid. */
const char *folder_path(const char *folder, const char *name);
int         folder_count(const char *folder);          /* names in it */
/* Sets a locale that writes 1,5; false where the machine has none and cannot make one. */
bool        comma_locale(void);

#endif
