/* cli_pictures.c: the pictures that a command line names. */
#include "base/file.h"
#include "base/sys.h"
#include "cli_run.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static diffad_status fail_memory(void) { return diffad_fail(DIFFAD_ERR_MEMORY, "no host memory for the list of images"); }

static bool has_picture_name(const char *name)
{
    static const char *const endings[] = { ".png", ".jpg", ".jpeg", ".bmp" };
    const size_t n = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t k = strlen(endings[i]);
        if (n > k && strcasecmp(name + n - k, endings[i]) == 0)
            return true;
    }
    return false;
}

static bool is_taken(const cli_pictures *s, const char *name)
{
    for (int64_t i = 0; i < s->count; i++)
        if (strcmp(s->item[i].name, name) == 0)
            return true;
    return false;
}

/* Results of DIR/a/b.png are called a_b; a second one of a name gets a number. */
static diffad_status add_picture(cli_pictures *s, const char *path, const char *within)
{
    char name[512], unique[544];
    const char *dot = strrchr(within, '.'), *slash = strrchr(within, '/');
    const int   length = dot && (!slash || dot > slash) ? (int)(dot - within) : (int)strlen(within);
    snprintf(name, sizeof name, "%.*s", length, within);
    for (char *p = name; *p; p++)
        if (*p == '/' || (unsigned char)*p < 32)
            *p = '_';
    snprintf(unique, sizeof unique, "%s", name);
    for (int i = 2; s->are_named_apart && is_taken(s, unique); i++)
        snprintf(unique, sizeof unique, "%s-%d", name, i);
    if (!diffad_grow(&s->item, s->count, &s->capacity, sizeof *s->item))
        return fail_memory();
    cli_picture *p = &s->item[s->count++];
    *p = (cli_picture){ diffad_strdup(path), diffad_strdup(unique) };
    return p->path && p->name ? DIFFAD_OK : fail_memory();
}

static diffad_status add_folder(cli_pictures *s, const char *folder, const char *within, int depth)
{
    diffad_names names;
    DIFFAD_TRY(diffad_dir_list(folder, DIFFAD_ERR_DATA, &names));
    diffad_status st = DIFFAD_OK;
    for (int64_t i = 0; i < names.count && st == DIFFAD_OK; i++) {
        char *path = diffad_path_join(folder, names.name[i]);
        char *inner = *within ? diffad_path_join(within, names.name[i]) : diffad_strdup(names.name[i]);
        if (!path || !inner)
            st = fail_memory();
        else if (names.name[i][0] != '.' && diffad_path_is_dir(path))
            st = depth < 16 ? add_folder(s, path, inner, depth + 1) : DIFFAD_OK;
        else if (names.name[i][0] != '.' && has_picture_name(names.name[i]))
            st = add_picture(s, path, inner);
        diffad_release(path);
        diffad_release(inner);
    }
    diffad_names_release(&names);
    return st;
}

diffad_status cli_find_pictures(const cli *c, int first, bool named_apart, cli_pictures *out)
{
    out->are_named_apart = named_apart;
    for (int i = first; i < c->n_args; i++) {
        const char *path = c->args[i];
        if (diffad_path_is_dir(path))
            DIFFAD_TRY(add_folder(out, path, "", 0));
        else
            DIFFAD_TRY(add_picture(out, path, diffad_path_base(path)));
    }
    if (!out->count)
        return diffad_fail(DIFFAD_ERR_DATA, "%s: no images there (png, jpg, jpeg, bmp)", c->args[first]);
    return DIFFAD_OK;
}

void cli_pictures_release(cli_pictures *p)
{
    for (int64_t i = 0; i < p->count; i++) {
        diffad_release(p->item[i].path);
        diffad_release(p->item[i].name);
    }
    diffad_release(p->item);
}
