/* datasynth.c: a procedural data set in MVTec-AD layout: turned washers and woven cloth, good and with defects. */
#include "data/part.h"
#include "data/texture.h"

#include "base/file.h"
#include "diffad/data.h"

#include <stdio.h>

enum { MIN_SIDE = 16, MAX_SIDE = 4096, MAX_IMAGES = 100000 };

typedef struct set {
    const char                 *dir;
    const diffad_synth_options *o;
    uint32_t                    number;      /* pictures drawn so far: each has its own random stream */
} set;

static diffad_status save(const char *folder, const char *name, const diffad_image *image)
{
    DIFFAD_TRY(diffad_make_dirs(folder));
    char *path = diffad_path_join(folder, name);
    if (!path)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory", folder);
    const diffad_status st = diffad_image_save_png(path, image);
    diffad_release(path);
    return st;
}

static diffad_status folder_of(char *to, size_t bytes, const set *s, const char *class, const char *rest,
                               const char *kind)
{
    if ((size_t)snprintf(to, bytes, "%s/%s/%s%s", s->dir, class, rest, kind) >= bytes)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: the path is too long", s->dir);
    return DIFFAD_OK;
}

/* Picture `number` of folder CLASS/SPLIT/KIND, with its mask where it has a defect (from 0; -1: none). */
static diffad_status add_part(set *s, const diffad_part *part, const char *split, const char *kind, int defect,
                              int number)
{
    diffad_image image = { 0 }, mask = { 0 };
    char folder[4096], truth[4096], name[32], mask_name[32];
    diffad_status st = DIFFAD_OK;
    snprintf(name, sizeof name, "%03d.png", number);
    snprintf(mask_name, sizeof mask_name, "%03d_mask.png", number);
    DIFFAD_TRY(folder_of(folder, sizeof folder, s, part->name, split, kind));
    DIFFAD_TRY(folder_of(truth, sizeof truth, s, part->name, "ground_truth/", kind));
    DIFFAD_GOTO(done, diffad_image_create(s->o->size, s->o->size, 3, &image));
    DIFFAD_GOTO(done, diffad_image_create(s->o->size, s->o->size, 1, &mask));
    diffad_rng r = diffad_rng_make(s->o->seed, DIFFAD_RNG_DATASET, 1, s->number++);
    diffad_part_draw(part, defect, &r, &image, &mask);
    DIFFAD_GOTO(done, save(folder, name, &image));
    if (defect >= 0)
        DIFFAD_GOTO(done, save(truth, mask_name, &mask));
done:
    diffad_image_release(&image);
    diffad_image_release(&mask);
    return st;
}

static diffad_status add_class(set *s, const diffad_part *part)
{
    for (int i = 0; i < s->o->train; i++)
        DIFFAD_TRY(add_part(s, part, "train/", "good", -1, i));
    for (int i = 0; i < s->o->test_good; i++)
        DIFFAD_TRY(add_part(s, part, "test/", "good", -1, i));
    for (int i = 0; i < s->o->test_bad; i++) {
        const int defect = i % DIFFAD_PART_DEFECTS;
        DIFFAD_TRY(add_part(s, part, "test/", part->defect[defect], defect, i / DIFFAD_PART_DEFECTS));
    }
    return DIFFAD_OK;
}

static diffad_status add_textures(const set *s)
{
    char folder[4096], name[32];
    diffad_image image;
    DIFFAD_TRY(folder_of(folder, sizeof folder, s, "textures", "", ""));
    DIFFAD_TRY(diffad_image_create(s->o->size, s->o->size, 3, &image));
    diffad_status st = DIFFAD_OK;
    for (int i = 0; i < s->o->textures && st == DIFFAD_OK; i++) {
        diffad_rng r = diffad_rng_make(s->o->seed, DIFFAD_RNG_DATASET, 0, (uint32_t)i);
        diffad_texture_draw(&r, image.width, image.height, image.pixels);
        snprintf(name, sizeof name, "%03d.png", i);
        st = save(folder, name, &image);
    }
    diffad_image_release(&image);
    return st;
}

static diffad_status check_folder(const char *dir)
{
    if (!diffad_path_exists(dir))
        return DIFFAD_OK;
    diffad_names names;
    DIFFAD_TRY(diffad_dir_list(dir, DIFFAD_ERR_FILE, &names));
    const int64_t count = names.count;
    diffad_names_release(&names);
    if (count)
        DIFFAD_FAIL(DIFFAD_ERR_FILE, "%s: not empty; give a new folder for the data set", dir);
    return DIFFAD_OK;
}

static bool is_count(int n, int least) { return n >= least && n <= MAX_IMAGES; }

diffad_synth_options diffad_synth_options_default(void)
{
    return (diffad_synth_options){ .size = 256, .train = 60, .test_good = 20, .test_bad = 21, .textures = 24 };
}

diffad_status diffad_data_synth(const char *dir, const diffad_synth_options *o)
{
    if (o->size < MIN_SIDE || o->size > MAX_SIDE)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "images of %d pixels a side: %d to %d are possible", o->size, MIN_SIDE,
                    MAX_SIDE);
    if (!is_count(o->train, 1) || !is_count(o->test_good, 0) || !is_count(o->test_bad, 0) ||
        !is_count(o->textures, 0))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "counts of images: at least 1 for training, none below 0, none above %d",
                    MAX_IMAGES);
    DIFFAD_TRY(check_folder(dir));
    set s = { .dir = dir, .o = o };
    for (int i = 0; i < DIFFAD_PARTS; i++)
        DIFFAD_TRY(add_class(&s, &diffad_parts[i]));
    return add_textures(&s);
}
