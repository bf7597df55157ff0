/* cmd_detect.c: `diffad detect`: pictures through a trained run. */
#include "base/file.h"
#include "base/sys.h"
#include "cli_run.h"
#include "diffad/detect.h"
#include "diffad/heatmap.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct picture { char *path, *name; } picture;      /* name: of its results, without an ending */

typedef struct state {
    const cli       *c;
    diffad_detector *d;
    picture         *picture;
    int64_t          count, capacity;
    double           threshold, mask_threshold;
    const char      *out;
    int64_t          anomalous, failed;
    diffad_status    worst;
} state;

static diffad_status fail_memory(void)
{
    return diffad_fail(DIFFAD_ERR_MEMORY, "detect: no host memory for the list of images");
}

/* ---- which pictures ---- */

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

static bool is_taken(const state *s, const char *name)
{
    for (int64_t i = 0; i < s->count; i++)
        if (strcmp(s->picture[i].name, name) == 0)
            return true;
    return false;
}

/* Results of DIR/a/b.png are called a_b; a second one of a name gets a number. */
static diffad_status add_picture(state *s, const char *path, const char *within)
{
    char name[512], unique[544];
    const char *dot = strrchr(within, '.'), *slash = strrchr(within, '/');
    const int   length = dot && (!slash || dot > slash) ? (int)(dot - within) : (int)strlen(within);
    snprintf(name, sizeof name, "%.*s", length, within);
    for (char *p = name; *p; p++)
        if (*p == '/' || (unsigned char)*p < 32)
            *p = '_';
    snprintf(unique, sizeof unique, "%s", name);
    for (int i = 2; s->out && is_taken(s, unique); i++)
        snprintf(unique, sizeof unique, "%s-%d", name, i);
    if (!diffad_grow(&s->picture, s->count, &s->capacity, sizeof *s->picture))
        return fail_memory();
    picture *p = &s->picture[s->count++];
    *p = (picture){ diffad_strdup(path), diffad_strdup(unique) };
    return p->path && p->name ? DIFFAD_OK : fail_memory();
}

static diffad_status add_folder(state *s, const char *folder, const char *within, int depth)
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

static diffad_status find_pictures(state *s)
{
    for (int i = 1; i < s->c->n_args; i++) {
        const char *path = s->c->args[i];
        if (diffad_path_is_dir(path))
            DIFFAD_TRY(add_folder(s, path, "", 0));
        else
            DIFFAD_TRY(add_picture(s, path, diffad_path_base(path)));
    }
    if (!s->count)
        return diffad_fail(DIFFAD_ERR_DATA, "%s: no images there (png, jpg, jpeg, bmp)", s->c->args[1]);
    return DIFFAD_OK;
}

/* ---- results ---- */

static diffad_status save(const state *s, const picture *p, const char *ending, const diffad_image *image, char *path,
                          size_t bytes)
{
    snprintf(path, bytes, "%s/%s_%s.png", s->out, p->name, ending);
    return diffad_image_save_png(path, image);
}

static diffad_status save_pictures(const state *s, const picture *p, const diffad_detection *r, char *heatmap,
                                   char *mask, size_t bytes)
{
    const diffad_detector_info *i = diffad_detector_info_of(s->d);
    const int64_t               pixels = (int64_t)i->width * i->height;
    diffad_image                input = { 0 }, repaired = { 0 }, heat = { 0 }, binary = { 0 }, row = { 0 };
    const diffad_image *const   all[] = { &input, &repaired, &heat, &binary };
    char                        path[4096];
    uint8_t                    *over = diffad_alloc((size_t)pixels);
    diffad_status               st = over ? DIFFAD_OK : fail_memory();
    for (int64_t k = 0; over && k < pixels; k++)
        over[k] = (double)r->map[k] >= s->mask_threshold;
    if (st == DIFFAD_OK)
        st = diffad_picture_to_image(r->input, &i->pictures, &input);
    if (st == DIFFAD_OK)
        st = diffad_heatmap_overlay(r->map, i->height, i->width, 0, 1, &input, 0.85, &heat);
    if (st == DIFFAD_OK)
        st = save(s, p, "heatmap", &heat, heatmap, bytes);
    if (st == DIFFAD_OK)
        st = diffad_mask_render(over, i->height, i->width, &binary);
    if (st == DIFFAD_OK)
        st = save(s, p, "mask", &binary, mask, bytes);
    if (st == DIFFAD_OK)
        st = diffad_picture_to_image(r->reconstruction, &i->pictures, &repaired);
    if (st == DIFFAD_OK)
        st = diffad_picture_row(all, 4, i->width / 32, &row);
    if (st == DIFFAD_OK)
        st = save(s, p, "row", &row, path, sizeof path);
    diffad_image_release(&input);
    diffad_image_release(&heat);
    diffad_image_release(&binary);
    diffad_image_release(&repaired);
    diffad_image_release(&row);
    diffad_release(over);
    return st;
}

static void print_row(const state *s, const picture *p, const diffad_detection *r, const char *heatmap,
                      const char *mask)
{
    const bool is_known = isfinite(s->threshold), is_anomalous = is_known && r->score >= s->threshold;
    if (!s->c->json) {
        cli_out("%-9s %.6f  %s\n", !is_known ? "" : is_anomalous ? "ANOMALOUS" : "good", r->score, p->path);
        cli_flush();
        return;
    }
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "file", p->path);
    cli_json_real(&j, "score", r->score, 9);
    if (is_known)
        cli_json_bool(&j, "anomalous", is_anomalous);
    else
        cli_json_null(&j, "anomalous");
    cli_json_real(&j, "seconds", r->seconds, 6);
    cli_json_text(&j, "heatmap", heatmap);
    cli_json_text(&j, "mask", mask);
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

static diffad_status detect_one(state *s, const picture *p)
{
    char             heatmap[4096], mask[4096];
    diffad_detection r;
    DIFFAD_TRY(diffad_detector_picture(s->d, p->path, &r));
    s->anomalous += isfinite(s->threshold) && r.score >= s->threshold;
    if (s->out)
        DIFFAD_TRY(save_pictures(s, p, &r, heatmap, mask, sizeof mask));
    print_row(s, p, &r, s->out ? heatmap : NULL, s->out ? mask : NULL);
    return DIFFAD_OK;
}

static diffad_status detect_all(state *s)
{
    const bool goes_on = cli_has(s->c, "keep-going");
    for (int64_t i = 0; i < s->count; i++) {
        if (cli_stop)
            return diffad_fail(DIFFAD_ERR_STOPPED, "stopped after %lld of %lld images", (long long)i,
                               (long long)s->count);
        const diffad_status st = detect_one(s, &s->picture[i]);
        if (st == DIFFAD_ERR_DATA && goes_on) {
            s->worst = st;
            s->failed++;
            cli_error("%s", diffad_error_detail());
        } else if (st != DIFFAD_OK) {
            return st;
        }
    }
    return DIFFAD_OK;
}

static diffad_status prepare(state *s, diffad_device *dev)
{
    DIFFAD_TRY(cli_open_detector(s->c, dev, &s->d));
    s->threshold = cli_real(s->c, "threshold", diffad_detector_info_of(s->d)->threshold);
    if (!isfinite(s->threshold) && cli_has(s->c, "fail-on-anomaly"))
        return diffad_fail(DIFFAD_ERR_USAGE, "%s: no threshold is known: run `diffad eval` once, or give --threshold",
                           s->c->args[0]);
    if (s->out)
        DIFFAD_TRY(diffad_make_dirs(s->out));
    if (!isfinite(s->threshold))
        cli_note(s->c, "no threshold is known, so scores come without a verdict: run `diffad eval` once, or give "
                       "--threshold");
    return DIFFAD_OK;
}

static int run(cli *c)
{
    diffad_device *dev;
    state          s    = { .c = c, .threshold = NAN, .out = cli_text(c, "out", NULL) };
    int            code = 0;
    s.mask_threshold = cli_real(c, "mask-threshold", 0.5);
    diffad_status st = find_pictures(&s);
    if (st == DIFFAD_OK)
        st = cli_open_device(c, &dev);
    if (st == DIFFAD_OK) {
        st = prepare(&s, dev);
        if (st == DIFFAD_OK)
            st = detect_all(&s);
        if (st != DIFFAD_OK)
            code = cli_fail(st);
        diffad_detector_close(s.d);
        diffad_device_close(dev);
    } else {
        code = cli_fail(st);
    }
    if (code == 0 && s.failed)
        code = diffad_status_exit_code(s.worst);
    if (code == 0 && s.anomalous && cli_has(c, "fail-on-anomaly"))
        code = 1;
    for (int64_t i = 0; i < s.count; i++) {
        diffad_release(s.picture[i].path);
        diffad_release(s.picture[i].name);
    }
    diffad_release(s.picture);
    return code;
}

static const cli_option options[] = {
    CLI_PRECISION,
    { "steps", 0, CLI_INT, "N", 1, 1000, "sampling steps; a divisor of 1000 (default: the description's)" },
    { "out", 0, CLI_TEXT, "DIR", 0, 0, "heat maps and masks as PNG" },
    { "threshold", 0, CLI_REAL, "X", 0, 0, "score from which an image is anomalous (default: the run's)" },
    { "mask-threshold", 0, CLI_REAL, "X", 0, 1, "probability from which a pixel is anomalous (default 0.5)" },
    { "fail-on-anomaly", 0, CLI_FLAG, NULL, 0, 0, "exit code 1 when an image is anomalous" },
    { "keep-going", 0, CLI_FLAG, NULL, 0, 0, "past images that cannot be read; exit code 3 in the end" },
    CLI_WEIGHTS_OPTIONS,
    { 0 },
};

const cli_command cmd_detect = {
    .name      = "detect",
    .summary   = "scores pictures with a trained run",
    .arguments = "RUN IMAGE|DIR...",
    .least     = 2,
    .most      = -1,
    .options   = options,
    .can_stop  = true,
    .run       = run,
    .details   = "One line an image: verdict, score, file. Folders are searched for images, sorted by name.\n"
                 "The threshold is the one that `diffad eval` or `diffad train` found.\n"
                 "RUN may also be a file of weights as the published code saves them, or a folder of such files:\n"
                 "diffad detect last.ckpt --weights bottle_seg.pckl DIR; of DRAEM, NAME.pckl takes NAME_seg.pckl along.",
};
