/* embed.c: writes text files as a C table. Part of the build, not of the library.
 *
 *     diffad_embed ROOT OUT.c FILE...                     kernels: the files and everything in ROOT/common
 *     diffad_embed --text TABLE ROOT OUT.c FILE...        the given files alone, as table TABLE
 *
 * Names in the table are relative to ROOT. Includes are resolved when a program is built, by the same code that serves
 * DIFFAD_CL_DIR, so that both roads give the same text. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_bytes(FILE *out, FILE *in, int index)
{
    int c, column = 0;
    fprintf(out, "static const unsigned char text_%d[] = {", index);
    while ((c = fgetc(in)) != EOF) {
        if (column++ % 20 == 0)
            fputs("\n   ", out);
        fprintf(out, " %d,", c);
    }
    fputs(" 0 };\n", out);
}

static int embed(FILE *out, const char *path, int index)
{
    FILE *in = fopen(path, "rb");
    if (!in) {
        fprintf(stderr, "embed: cannot read %s\n", path);
        return 0;
    }
    write_bytes(out, in, index);
    fclose(in);
    return 1;
}

static int add_folder(char **files, int n, int max, const char *folder)
{
    DIR           *d = opendir(folder);
    struct dirent *entry;
    if (!d)
        return n;
    while ((entry = readdir(d)) && n < max)
        if (entry->d_name[0] != '.') {
            const size_t bytes = strlen(folder) + strlen(entry->d_name) + 2;
            if (!(files[n] = malloc(bytes)))
                break;
            snprintf(files[n++], bytes, "%s/%s", folder, entry->d_name);
        }
    closedir(d);
    return n;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int main(int argc, char **argv)
{
    static char *files[1024];
    const char  *table = "diffad_embedded_kernels";
    char         common[1024];
    int          at = 1, n = 0;
    const int    is_text = argc > 2 && strcmp(argv[1], "--text") == 0;
    if (is_text) {
        table = argv[2];
        at    = 3;
    }
    if (argc < at + 2) {
        fprintf(stderr, "usage: embed [--text TABLE] ROOT OUT.c FILE...\n");
        return 2;
    }
    const char *root = argv[at], *target = argv[at + 1];
    for (int i = at + 2; i < argc && n < 900; i++)
        files[n++] = argv[i];
    if (!is_text) {
        snprintf(common, sizeof common, "%s/common", root);
        n = add_folder(files, n, 1000, common);
    }
    qsort(files, (size_t)n, sizeof files[0], by_name);
    FILE *out = fopen(target, "w");
    if (!out) {
        fprintf(stderr, "embed: cannot write %s\n", target);
        return 1;
    }
    fputs("/* Made by the build from the files named below. */\n#include \"kernel/embedded.h\"\n", out);
    for (int i = 0; i < n; i++)
        if (!embed(out, files[i], i))
            return 1;
    fprintf(out, "const diffad_embedded %s[] = {\n", table);
    for (int i = 0; i < n; i++) {
        const char *name = strncmp(files[i], root, strlen(root)) == 0 ? files[i] + strlen(root) + 1 : files[i];
        fprintf(out, "    { \"%s\", (const char *)text_%d, sizeof text_%d - 1 },\n", name, i, i);
    }
    fputs("    { 0, 0, 0 }\n};\n", out);
    return fclose(out) == 0 ? 0 : 1;
}
