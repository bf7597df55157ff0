/* folder.c: a folder of its own for a test, and a locale with a decimal comma. */
#define _XOPEN_SOURCE 700        /* nftw */
#include "support/folder.h"

#include <dirent.h>
#include <ftw.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char made[8][256];
static int  n_made;

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    (void)s, (void)kind, (void)where;
    return remove(path);
}

static void remove_made(void)
{
    for (int i = 0; i < n_made; i++)
        nftw(made[i], remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *folder_new(void)
{
    const char *tmp = getenv("TMPDIR");
    if (n_made == 8)
        abort();
    snprintf(made[n_made], sizeof made[0], "%s/diffad-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(made[n_made]))
        abort();
    if (n_made == 0)
        atexit(remove_made);
    return made[n_made++];
}

const char *folder_path(const char *folder, const char *name)
{
    static char path[16][512];
    static int  turn;
    char       *p = path[turn++ % 16];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

int folder_count(const char *folder)
{
    int  n = 0;
    DIR *d = opendir(folder);
    if (!d)
        return -1;
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

bool comma_locale(void)
{
    static const char text[] = "LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \".\"\ngrouping 3;3\nEND LC_NUMERIC\n";
    char              command[1024];
    if (setlocale(LC_ALL, "de_DE.UTF-8") || setlocale(LC_ALL, "de_DE.utf8"))
        return true;
    const char *folder = folder_new();
    FILE       *f      = fopen(folder_path(folder, "source"), "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        return false;
    snprintf(command, sizeof command, "localedef -c -i %s/source %s/comma >%s/log 2>&1", folder, folder, folder);
    if (system(command) == -1 || setenv("LOCPATH", folder, 1) != 0 || !setlocale(LC_ALL, "comma"))
        return false;
    return strcmp(localeconv()->decimal_point, ",") == 0;
}
