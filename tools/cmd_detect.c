/* cmd_detect.c: `diffad detect`: pictures through a trained run. */
#include "base/file.h"
#include "base/sys.h"
#include "cli_run.h"
#include "diffad/detect.h"
#include "diffad/heatmap.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct state {
    const cli       *c;
    diffad_detector *d;
    cli_pictures     pictures;
    double           threshold, mask_threshold;
    const char      *out;
    int64_t          anomalous, failed;
    diffad_status    worst;
} state;

/* ---- results ---- */

static diffad_status save(const state *s, const cli_picture *p, const char *ending, const diffad_image *image, char *path,
                          size_t bytes)
{
    snprintf(path, bytes, "%s/%s_%s.png", s->out, p->name, ending);
    return diffad_image_save_png(path, image);
}

static diffad_status save_pictures(const state *s, const cli_picture *p, const diffad_detection *r, char *heatmap,
                                   char *mask, size_t bytes)
{
    const diffad_detector_info *i = diffad_detector_info_of(s->d);
    const int64_t               pixels = (int64_t)i->width * i->height;
    diffad_image                input = { 0 }, repaired = { 0 }, heat = { 0 }, binary = { 0 }, row = { 0 };
    const diffad_image *const   all[] = { &input, &repaired, &heat, &binary };
    char                        path[4096];
    uint8_t                    *over = diffad_alloc((size_t)pixels);
    diffad_status               st = over ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "detect: no host memory");
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

static void print_row(const state *s, const cli_picture *p, const diffad_detection *r, const char *heatmap,
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

static diffad_status detect_one(state *s, const cli_picture *p)
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
    for (int64_t i = 0; i < s->pictures.count; i++) {
        if (cli_stop)
            return diffad_fail(DIFFAD_ERR_STOPPED, "stopped after %lld of %lld images", (long long)i,
                               (long long)s->pictures.count);
        const diffad_status st = detect_one(s, &s->pictures.item[i]);
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
    diffad_status st = cli_find_pictures(c, 1, s.out != NULL, &s.pictures);
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
    cli_pictures_release(&s.pictures);
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
