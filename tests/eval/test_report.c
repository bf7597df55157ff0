/* test_report.c: the report's page: well-formed, complete, safe with hostile names, honest about what is undefined. */
#include "diffad/report.h"

#include "base/file.h"
#include "eval/report.h"

#include <ctype.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { IMAGES = 8, DEEPEST = 64 };

static const char hostile[] = "a\"><script>alert('x')</script>&amp;<img src=x onerror=y>.png";

typedef struct sample {
    float                 score[IMAGES];
    uint8_t               label[IMAGES];
    const char           *file[IMAGES];
    diffad_image          image, grey;
    diffad_report_picture picture[IMAGES];
    double                step[900], value[900];
    diffad_report_loss    loss[3];
    diffad_report_fact    fact[3];
    diffad_report_class   class;
    diffad_report         report;
} sample;

static void make_pictures(sample *s)
{
    cr_assert_eq(diffad_image_create(5, 4, 3, &s->image), DIFFAD_OK);
    cr_assert_eq(diffad_image_create(5, 4, 1, &s->grey), DIFFAD_OK);
    for (int i = 0; i < IMAGES; i++) {
        s->score[i] = (float)i / 10;
        s->label[i] = i >= 4;
        s->file[i]  = i ? "test/scratch/001.png" : hostile;
        s->picture[i] = (diffad_report_picture){ s->file[i],  s->label[i] ? "scratch" : "good",
                                                  s->score[i], s->label[i],
                                                  &s->image,   &s->image,
                                                  &s->image,   &s->grey,
                                                  &s->grey };
    }
    s->label[3] = 1, s->picture[3].label = 1, s->picture[3].score = s->score[3] = 0.05f;         /* missed */
    s->label[7] = 0, s->picture[7].label = 0;                                                    /* a false alarm */
}

static sample *make_sample(void)
{
    static sample s;
    make_pictures(&s);
    for (int i = 0; i < 900; i++)
        s.step[i] = 10 * i, s.value[i] = i == 500 ? NAN : 100 / (1.0 + i);
    s.loss[0] = (diffad_report_loss){ "autoencoder", "reconstruction", s.step, s.value, 900 };
    s.loss[1] = (diffad_report_loss){ "autoencoder", "total", s.step, s.value, 30 };
    s.loss[2] = (diffad_report_loss){ "segmenter", hostile, s.step, s.value, 1 };
    s.fact[0] = (diffad_report_fact){ "Device", "driver", hostile };
    s.fact[1] = (diffad_report_fact){ "Device", "memory", NULL };
    s.fact[2] = (diffad_report_fact){ "Training", "seed", "7" };
    s.class = (diffad_report_class){ .name = "bottle",
                                      .metrics = diffad_report_metrics_undefined(),
                                      .threshold = 0.35,
                                      .threshold_rule = "quantile <0.975> of held-back images",
                                      .score = s.score,
                                      .label = s.label,
                                      .file = s.file,
                                      .count = IMAGES,
                                      .picture = s.picture,
                                      .picture_count = IMAGES };
    s.class.metrics.image_auroc = 0.75;
    s.report = (diffad_report){ .model = "diffad",
                                 .scale = "tiny",
                                 .protocol = "official",
                                 .fingerprint = "0123456789abcdef",
                                 .date = "2024-05-06",
                                 .note = hostile,
                                 .ddim_steps = 5,
                                 .classes = &s.class,
                                 .class_count = 1,
                                 .losses = s.loss,
                                 .loss_count = 3,
                                 .facts = s.fact,
                                 .fact_count = 3 };
    return &s;
}

static char *page_of(const diffad_report *r)
{
    char           path[64];
    unsigned char *page;
    int64_t        bytes;
    snprintf(path, sizeof path, "/tmp/diffad-report-%d.html", (int)getpid());
    cr_assert_eq(diffad_report_save(path, r), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_file_read(path, 1 << 24, DIFFAD_ERR_FILE, &page, &bytes), DIFFAD_OK);
    unlink(path);
    return (char *)page;
}

/* Every tag closes in turn, attributes are quoted, & starts an entity. The place of the first fault, or NULL. */
static const char *first_fault(const char *p)
{
    char name[DEEPEST][32];
    int  depth = 0;
    for (; *p; p++) {
        if (*p == '&' && p[1 + strcspn(p + 1, ";&<> ")] != ';')
            return p;
        if (*p != '<' || strncmp(p, "<!DOCTYPE html>", 15) == 0)
            continue;
        const char  *tag = p;
        const bool   is_end = p[1] == '/';
        const size_t length = strspn(p + 1 + is_end, "abcdefghijklmnopqrstuvwxyz0123456789");
        if (length == 0 || length > 31)
            return tag;
        p += 1 + is_end + length;
        bool is_quoted = false;
        for (; *p && (is_quoted || *p != '>'); p++) {
            is_quoted ^= *p == '"';
            if (*p == '<' || (*p == '=' && !is_quoted && p[1] != '"'))
                return tag;
        }
        if (!*p)
            return tag;
        if (is_end) {
            if (depth == 0 || strlen(name[depth - 1]) != length || strncmp(name[depth - 1], tag + 2, length) != 0)
                return tag;
            depth--;
        } else if (p[-1] != '/') {
            if (depth == DEEPEST)
                return tag;
            snprintf(name[depth++], 32, "%.*s", (int)length, tag + 1);
        }
    }
    return depth ? "unclosed tag at the end" : NULL;
}

static int count_of(const char *page, const char *what)
{
    int n = 0;
    for (const char *at = page; (at = strstr(at, what)); at++)
        n++;
    return n;
}

static void expect_sound(const char *page)
{
    const char *fault = first_fault(page);
    cr_expect_null(fault, "not well-formed at: %.80s", fault);
    cr_expect_eq(count_of(page, "<script"), 0);
    cr_expect_eq(count_of(page, "<img src=x"), 0);
    cr_expect_eq(count_of(page, "http://") + count_of(page, "https://"), 0, "the page must not ask the network");
    cr_expect(count_of(page, ">nan") + count_of(page, "\"nan") + count_of(page, "-nan") + count_of(page, ">inf") == 0);
}

Test(report, checker_finds_faults)
{
    cr_expect_null(first_fault("<p a=\"b\">x &amp; y<br/></p>"));
    cr_expect(first_fault("<p>") && first_fault("<p></b></p>") && first_fault("a & b") && first_fault("<p a=b></p>"));
}

Test(report, is_well_formed_and_has_every_section)
{
    static const char *const parts[] = {
        "id=\"summary\"",
        "id=\"results\"",
        "id=\"class-0\"",
        "id=\"training\"",
        "id=\"facts\"",
        "id=\"meaning\"",
        "Image scores",
        "ROC",
        "Precision and recall",
        "Worst misses",
        "Wrong verdicts",
        "reconstruction",
        "heat map",
        "predicted mask",
        "ground truth",
        "quantile &lt;0.975&gt;",
        "0123456789abcdef",
        "paper 100.0",
        "autoencoder",
        "worst miss<",
        "worst false alarm<",
        "not known",
    };
    sample *s = make_sample();
    char   *page = page_of(&s->report);

    expect_sound(page);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        cr_expect(strstr(page, parts[i]), "missing: %s", parts[i]);
    cr_expect_eq(count_of(page, "src=\"data:image/png;base64,iVBORw0KGgo"), 5 * IMAGES);
    cr_expect_eq(count_of(page, "is-wrong\""), 2);
    diffad_release(page);
}

Test(report, escapes_hostile_file_names)
{
    sample *s = make_sample();
    s->class.name = hostile;
    s->report.title = s->report.model = s->report.date = hostile;
    char *page = page_of(&s->report);

    expect_sound(page);
    cr_expect(strstr(page, "&lt;script&gt;"));
    diffad_release(page);
}

Test(report, calls_missing_metrics_undefined_and_never_zero)
{
    sample *s = make_sample();
    s->class.label = NULL;
    s->class.metrics = diffad_report_metrics_undefined();
    s->class.threshold = NAN;
    s->class.picture_count = 0;
    char *page = page_of(&s->report);

    expect_sound(page);
    cr_expect_geq(count_of(page, ">undefined<"), 7 + 4);
    cr_expect_eq(count_of(page, ">0.0<"), 0);
    cr_expect_eq(count_of(page, "worst miss"), 0);
    diffad_release(page);
}

Test(report, stays_sound_with_nothing_in_it)
{
    const diffad_report_class empty = { .name = "none",
                                        .metrics = diffad_report_metrics_undefined(),
                                        .threshold = NAN };
    char                     *page = page_of(&(diffad_report){ .classes = &empty, .class_count = 1 });

    expect_sound(page);
    diffad_release(page);
}

Test(report, shows_several_classes_with_their_mean)
{
    sample             *s = make_sample();
    diffad_report_class two[2] = { s->class, s->class };
    two[1].name = "carpet";
    two[1].metrics.image_auroc = 0.25;
    two[1].metrics.pixel_ap = 0.125;
    s->report.classes = two;
    s->report.class_count = 2;
    char *page = page_of(&s->report);

    expect_sound(page);
    const char *mean = strstr(page, "mean, where defined");
    cr_assert_not_null(mean);
    cr_expect(strstr(mean, "<td>50.0</td>") && strstr(mean, "<td>12.5</td>"));
    cr_expect(strstr(page, "paper 98.3"));
    diffad_release(page);
}

Test(report, is_the_same_to_the_byte_for_the_same_input)
{
    sample *s = make_sample();
    char   *first = page_of(&s->report), *second = page_of(&s->report);

    cr_expect_str_eq(first, second);
    diffad_release(first);
    diffad_release(second);
}

Test(report, refuses_a_struct_that_contradicts_itself)
{
    sample *s = make_sample();
    s->class.score = NULL;
    cr_expect_eq(diffad_report_save("/tmp/diffad-never.html", &s->report), DIFFAD_ERR_USAGE);
    s->report.class_count = 0;
    cr_expect_eq(diffad_report_save("/tmp/diffad-never.html", &s->report), DIFFAD_ERR_USAGE);
    cr_expect_not(diffad_path_exists("/tmp/diffad-never.html"));
}

static int64_t allocations_left;
static void *(*real_alloc)(size_t);
static void *(*real_resize)(void *, size_t);
static void *failing_alloc(size_t bytes) { return allocations_left-- > 0 ? real_alloc(bytes) : NULL; }
static void *failing_resize(void *p, size_t bytes) { return allocations_left-- > 0 ? real_resize(p, bytes) : NULL; }

Test(report, writes_nothing_when_memory_ends_at_any_point)
{
    sample       *s = make_sample();
    diffad_status st = DIFFAD_ERR_MEMORY;
    real_alloc  = diffad_sys.alloc;
    real_resize = diffad_sys.resize;
    diffad_sys.alloc  = failing_alloc;
    diffad_sys.resize = failing_resize;
    s->class.picture_count = 1;
    for (int64_t n = 0; n < 200 && st != DIFFAD_OK; n++) {
        allocations_left = n;
        st = diffad_report_save("/tmp/diffad-short-memory.html", &s->report);
        cr_expect(st == DIFFAD_OK || st == DIFFAD_ERR_MEMORY, "after %d allocations: %s", (int)n,
                  diffad_error_detail());
        cr_expect_eq(diffad_path_exists("/tmp/diffad-short-memory.html"), st == DIFFAD_OK);
    }
    cr_expect_eq(st, DIFFAD_OK);
    unlink("/tmp/diffad-short-memory.html");
}

Test(report, metrics_are_null_in_json_where_undefined)
{
    diffad_text           t = { 0 };
    diffad_report_metrics m = diffad_report_metrics_undefined();
    m.image_auroc = 0.5, m.pixel_aupro = 0.25;
    diffad_report_metrics_json(&t, &m);

    cr_expect_str_eq(t.s, "\"image\": { \"auroc\": 0.5, \"ap\": null, \"f1max\": null }, "
                          "\"pixel\": { \"auroc\": null, \"ap\": null, \"f1max\": null, \"aupro\": 0.25 }");
    diffad_text_release(&t);
}

Test(paper, figures_are_those_of_its_tables)
{
    cr_expect_float_eq(diffad_paper_figure("diffad", "average", "image_auroc"), 0.987, 1e-12);
    cr_expect_float_eq(diffad_paper_figure("diffad", "cable", "pixel_ap"), 0.649, 1e-12);
    cr_expect_float_eq(diffad_paper_figure("diffad_fr", "tile", "image_auroc"), 0.905, 1e-12);
    cr_expect_float_eq(diffad_paper_figure("diffad_xa_inter", "average", "pixel_auroc"), 0.973, 1e-12);
    cr_expect_float_eq(diffad_paper_figure("draem", "average", "pixel_ap"), 0.684, 1e-12);
    cr_expect_float_eq(diffad_paper_seconds("diffad"), 0.1, 1e-12);
    cr_expect(isnan(diffad_paper_figure("diffad", "ballscrew", "image_auroc")) &&
              isnan(diffad_paper_figure(NULL, "average", "pixel_ap")));
    cr_expect(isnan(diffad_paper_figure("diffad", "tile", "pixel_f1max")) && isnan(diffad_paper_seconds("diffad_c")));
}
