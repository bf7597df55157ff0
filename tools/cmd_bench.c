/* cmd_bench.c: `diffad bench`: a detection stage by stage, single ops, and the same work in PyTorch. */
#include "base/file.h"
#include "base/sys.h"
#include "cli_bench.h"
#include "diffad/detect.h"
#include "diffad/plan.h"
#include "diffad/tune.h"
#include "kernel/program.h"
#include "model/desc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { BUILD_MS = 3600000, MOST_PICTURES = 256 };

typedef struct stage { diffad_stage_time now; cli_sample ms; } stage;

typedef struct job {
    cli              *c;
    const char       *model, *scale;
    int               repeat, threads, size;       /* size: of the pictures' sides; 0: the description's */
    char              size_text[48];
    const char       *sets[2];
    diffad_detector_options how;
    diffad_device    *dev;
    diffad_detector  *d;
    float            *planes;
    stage             stage[DIFFAD_DETECTOR_STAGES];
    int               stages;
    cli_sample        ms, pytorch_ms, ratio, build_cold, build_warm;
    cli_pytorch       pytorch;
    bool              has_pytorch;
    cli_against       against;
} job;

/* ---- a detector with random weights, and a picture ---- */

static diffad_status open_model(job *b)
{
    DIFFAD_TRY(cli_open_device(b->c, &b->dev));
    DIFFAD_TRY(diffad_detector_random(b->dev, b->model, b->scale, &b->how, &b->d));
    const diffad_detector_info *i = diffad_detector_info_of(b->d);
    const int64_t               n = (int64_t)i->width * i->height * i->channels * i->batch;
    if (!(b->planes = diffad_alloc_array((size_t)n, sizeof *b->planes)))
        return diffad_fail(DIFFAD_ERR_MEMORY, "bench: no host memory");
    uint32_t state = 1;
    for (int64_t k = 0; k < n; k++) {
        state = state * 1664525u + 1013904223u;
        b->planes[k] = (float)(state >> 8) / 16777216.0f;
    }
    return DIFFAD_OK;
}

static void close_model(job *b)
{
    diffad_release(b->planes);
    diffad_detector_close(b->d);
    diffad_device_close(b->dev);
    b->planes = NULL;
    b->d      = NULL;
    b->dev    = NULL;
}

static diffad_status detect(job *b, double *ms)
{
    diffad_detection r[MOST_PICTURES];
    DIFFAD_TRY(diffad_detector_planes(b->d, b->planes, r));
    *ms = r[0].seconds * b->how.batch * 1e3;
    return DIFFAD_OK;
}

/* ---- how long until the first result: in children with caches of their own, first empty, then filled ---- */

typedef struct build_result { bool is_done; double ms; } build_result;

static void measure_build(void *user, void *result)
{
    job           b = *(job *)user;
    build_result *r = result;
    double        first = 0, second = 0;
    cli           quiet = *b.c;
    quiet.quiet = true;
    b.c = &quiet;
    if (open_model(&b) != DIFFAD_OK || detect(&b, &first) != DIFFAD_OK || detect(&b, &second) != DIFFAD_OK)
        return;
    r->ms      = (double)diffad_program_statistics(b.dev).build_ns * 1e-6 + first - second;
    r->is_done = true;
}

/* remove() takes files and links, and folders once they are empty. */
static void remove_tree(const char *path)
{
    diffad_names names;
    if (remove(path) == 0 || diffad_dir_list(path, DIFFAD_ERR_FILE, &names) != DIFFAD_OK)
        return;
    for (int64_t i = 0; i < names.count; i++) {
        char *inner = diffad_path_join(path, names.name[i]);
        if (inner)
            remove_tree(inner);
        diffad_release(inner);
    }
    diffad_names_release(&names);
    remove(path);
}

static void set_or_unset(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

static void measure_pair(job *b, const char *folder)
{
    for (int warm = 0; warm < 2 && !cli_stop; warm++) {
        build_result r = { .is_done = false };
        if (cli_in_child(measure_build, b, &r, sizeof r, BUILD_MS) == 0 && r.is_done)
            cli_sample_add(warm ? &b->build_warm : &b->build_cold, r.ms);
    }
    remove_tree(folder);
}

/* Of a large model the warm one is a small difference of two detections that take seconds: no single pair tells it. */
static void measure_builds(job *b)
{
    static const char *const names[] = { "DIFFAD_CACHE_DIR", "POCL_CACHE_DIR" };
    const char *tmp = getenv("TMPDIR");
    char        folder[1024], *before[2];
    for (int i = 0; i < 2; i++)
        before[i] = getenv(names[i]) ? diffad_strdup(getenv(names[i])) : NULL;
    cli_progress_begin(b->c, "time until the first result", "pair of caches", 0, b->repeat);
    for (int round = 0; round < b->repeat && !cli_stop; round++) {
        snprintf(folder, sizeof folder, "%s/diffad-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(folder))
            break;
        for (int i = 0; i < 2; i++)
            setenv(names[i], folder, 1);
        measure_pair(b, folder);
        cli_progress(round + 1, NULL);
    }
    cli_progress_end();
    for (int i = 0; i < 2; i++) {
        set_or_unset(names[i], before[i]);
        diffad_release(before[i]);
    }
}

/* ---- rounds ---- */

static diffad_status measure_stages(job *b)
{
    diffad_stage_time now[DIFFAD_DETECTOR_STAGES];
    DIFFAD_TRY(diffad_detector_measure(b->d, b->planes, now, &b->stages));
    for (int i = 0; i < b->stages; i++) {
        b->stage[i].now = now[i];
        cli_sample_add(&b->stage[i].ms, now[i].ms);
    }
    return DIFFAD_OK;
}

static diffad_status run_round(job *b)
{
    double ms, seconds;
    DIFFAD_TRY(measure_stages(b));
    DIFFAD_TRY(detect(b, &ms));
    cli_sample_add(&b->ms, ms);
    if (b->has_pytorch) {
        DIFFAD_TRY(cli_pytorch_run(&b->pytorch, &seconds));
        cli_sample_add(&b->pytorch_ms, seconds * 1e3);
        cli_sample_add(&b->ratio, seconds * 1e3 / ms);
    }
    return DIFFAD_OK;
}

static diffad_status start_pytorch(job *b)
{
    diffad_desc desc;
    DIFFAD_TRY(diffad_desc_layers(b->model, b->scale, NULL, b->how.sets, &desc, NULL));
    char *text = diffad_config_to_json(diffad_desc_fields, &desc);
    if (!text)
        return diffad_fail(DIFFAD_ERR_MEMORY, "bench: no host memory");
    char steps[16];
    snprintf(steps, sizeof steps, "%d", diffad_detector_info_of(b->d)->steps);
    const cli_pytorch_work w = { .script = "bench_detect.py", .description = text, .work = steps, .threads = b->threads,
                                 .on_cpu = diffad_device_caps(b->dev)->kind == DIFFAD_DEVICE_CPU, .precision = cli_text(b->c, "precision", "f32"),
                                 .batch = b->how.batch };
    const diffad_status st = cli_pytorch_start(&b->pytorch, &w);
    diffad_release(text);
    if (st == DIFFAD_OK && b->pytorch.parameters != diffad_detector_info_of(b->d)->parameters)
        cli_note(b->c, "the PyTorch model has %lld parameters, not %lld: not the same work",
                 (long long)b->pytorch.parameters, (long long)diffad_detector_info_of(b->d)->parameters);
    b->has_pytorch = st == DIFFAD_OK;
    return st;
}

static diffad_status measure(job *b)
{
    double ms;
    DIFFAD_TRY(open_model(b));
    if (b->threads <= 0)
        b->threads = (int)diffad_device_caps(b->dev)->compute_units;
    if (cli_has(b->c, "pytorch"))
        DIFFAD_TRY(start_pytorch(b));
    DIFFAD_TRY(detect(b, &ms));      /* builds */
    cli_progress_begin(b->c, "bench", "round", 0, b->repeat);
    for (int i = 0; i < b->repeat; i++) {
        if (cli_stop)
            return diffad_fail(DIFFAD_ERR_STOPPED, "stopped after %d of %d rounds", i, b->repeat);
        DIFFAD_TRY(run_round(b));
        cli_progress(i + 1, NULL);
    }
    if (b->has_pytorch)
        cli_pytorch_end(&b->pytorch);
    return DIFFAD_OK;
}

static diffad_status write_traces(const job *b)
{
    const char *trace = cli_text(b->c, "profile", NULL);
    char        path[4096];
    for (int i = 0; trace && i < b->stages; i++) {
        snprintf(path, sizeof path, "%s.%s", trace, b->stage[i].now.name);
        DIFFAD_TRY(diffad_plan_trace(b->stage[i].now.plan, path));
    }
    return DIFFAD_OK;
}

/* ---- results ---- */

static int64_t peak_rss(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (int64_t)u.ru_maxrss * 1024 : 0;
}

/* Of the device's memory: packed weights, maps and work space. */
static int64_t beyond_weights(const job *b)
{
    return (int64_t)diffad_device_peak_bytes(b->dev) - diffad_detector_info_of(b->d)->parameters * (int64_t)sizeof(float);
}

static void totals(const job *b, double *gflop, int64_t *launches)
{
    *gflop    = 0;
    *launches = 0;
    for (int i = 0; i < b->stages; i++) {
        *gflop += b->stage[i].now.gflop;
        *launches += b->stage[i].now.launches;
    }
}

static void print_json(const job *b)
{
    const diffad_detector_info *info = diffad_detector_info_of(b->d);
    double   gflop;
    int64_t  launches, tuned;
    cli_json j = { .needs_comma = false };
    totals(b, &gflop, &launches);
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "device", info->device);
    cli_json_text(&j, "driver", info->driver);
    cli_json_text(&j, "version", DIFFAD_VERSION);
    cli_json_text(&j, "model", info->model);
    cli_json_text(&j, "scale", info->scale);
    cli_json_text(&j, "tuned", diffad_tune_digest(b->dev, &tuned));
    cli_json_int(&j, "batch", info->batch);
    if (b->size)
        cli_json_int(&j, "size", b->size);
    cli_json_text(&j, "precision", cli_text(b->c, "precision", "f32"));
    cli_json_int(&j, "steps", info->steps);
    cli_json_int(&j, "repeat", b->repeat);
    cli_json_int(&j, "threads", b->threads);
    cli_json_int(&j, "parameters", info->parameters);
    cli_json_open(&j, "stages", '[');
    for (int i = 0; i < b->stages; i++) {
        const stage *s = &b->stage[i];
        cli_json_open(&j, NULL, '{');
        cli_json_text(&j, "name", s->now.name);
        cli_sample_json(&j, "ms", &s->ms);
        cli_json_real(&j, "gflop", s->now.gflop, 6);
        cli_json_real(&j, "gflops", s->now.gflop / cli_sample_median(&s->ms) * 1e3, 6);
        cli_json_int(&j, "launches", s->now.launches);
        if (b->against.row)
            cli_json_real(&j, "against", cli_sample_median(&s->ms) / cli_against_ms(&b->against, s->now.name), 6);
        cli_json_close(&j, '}');
    }
    cli_json_close(&j, ']');
    cli_sample_json(&j, "ms", &b->ms);
    cli_json_real(&j, "ms_per_image", cli_sample_median(&b->ms) / info->batch, 6);
    cli_json_real(&j, "gflop", gflop, 6);
    cli_json_real(&j, "gflops", gflop / cli_sample_median(&b->ms) * 1e3, 6);
    cli_json_int(&j, "launches", launches);
    cli_json_int(&j, "peak_bytes", (int64_t)diffad_device_peak_bytes(b->dev));
    cli_json_int(&j, "beyond_weights", beyond_weights(b));
    cli_json_int(&j, "peak_rss", peak_rss());
    if (b->against.row)
        cli_json_real(&j, "against", cli_sample_median(&b->ms) / cli_against_ms(&b->against, NULL), 6);
    cli_sample_json(&j, "build_ms_cold", &b->build_cold);
    cli_sample_json(&j, "build_ms_warm", &b->build_warm);
    if (b->has_pytorch)
        cli_pytorch_json(&j, &b->pytorch, &b->pytorch_ms, &b->ratio, beyond_weights(b));
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

static void print_line(const char *name, const cli_sample *ms, double gflop, int64_t launches)
{
    cli_out("%-10s %10.2f ms (%.2f .. %.2f) %9.2f GFLOP %8.1f GFLOP/s %6lld launches\n", name, cli_sample_median(ms),
            cli_sample_min(ms), cli_sample_max(ms), gflop, gflop / cli_sample_median(ms) * 1e3, (long long)launches);
}

static void print_build(const char *caches, const cli_sample *ms)
{
    if (ms->count)
        cli_out("kernels until the first result, caches %-6s %6.0f ms (%.0f .. %.0f)\n", caches, cli_sample_median(ms), cli_sample_min(ms),
                cli_sample_max(ms));
}

/* With -v: which nodes of the stage's plan became part of others. */
static void print_fusions(const job *b, const diffad_stage_time *s)
{
    char *fused = b->c->verbose ? diffad_plan_fusions(s->plan) : NULL;
    if (fused)
        cli_out("%-10s fused: %s\n", "", *fused ? fused : "nothing");
    diffad_memory_release(fused);
}

static void print_text(const job *b)
{
    const diffad_detector_info *info = diffad_detector_info_of(b->d);
    double  gflop;
    int64_t launches;
    char    device[24], host[24];
    totals(b, &gflop, &launches);
    cli_out("%s %s, %dx%d, %d sampling steps, batch %d, %s, %d rounds on %s\n", info->model, info->scale, info->width,
            info->height, info->steps, info->batch, cli_text(b->c, "precision", "f32"), b->repeat, info->device);
    for (int i = 0; i < b->stages; i++) {
        print_line(b->stage[i].now.name, &b->stage[i].ms, b->stage[i].now.gflop, b->stage[i].now.launches);
        print_fusions(b, &b->stage[i].now);
    }
    print_line("detection", &b->ms, gflop, launches);
    if (info->batch > 1)
        cli_out("%.2f ms an image\n", cli_sample_median(&b->ms) / info->batch);
    cli_out("%s of device memory, %s of process memory\n",
            cli_bytes_text((double)diffad_device_peak_bytes(b->dev), device, sizeof device),
            cli_bytes_text((double)peak_rss(), host, sizeof host));
    print_build("empty", &b->build_cold);
    print_build("filled", &b->build_warm);
    if (b->has_pytorch)
        cli_pytorch_print(&b->pytorch, &b->pytorch_ms, &b->ratio, beyond_weights(b));
    for (int i = 0; i < b->stages; i++)
        cli_against_print(&b->against, b->stage[i].now.name, cli_sample_median(&b->stage[i].ms));
    cli_against_print(&b->against, NULL, cli_sample_median(&b->ms));
}

/* ---- what is asked for ---- */

static int bench_model(cli *c, const char *model)
{
    static job  b;
    static const char *const scales[] = { "paper", "fast", "tiny" };
    const char *threads = getenv("POCL_MAX_PTHREAD_COUNT");
    int64_t     n = 0;
    b = (job){ .c = c, .model = model, .scale = cli_text(c, "scale", "fast"), .repeat = (int)cli_int(c, "repeat", 5),
               .how = { .steps = (int)cli_int(c, "steps", 0), .batch = (int)cli_int(c, "batch", 1) }, .size = (int)cli_int(c, "size", 0) };
    snprintf(b.size_text, sizeof b.size_text, "image_size=[%d, %d]", b.size, b.size);
    b.sets[0]  = b.size ? b.size_text : NULL;
    b.how.sets = b.sets;
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++)
        if (strcmp(model, scales[i]) == 0) {
            b.model = "diffad";
            b.scale = scales[i];
        }
    if (threads)
        diffad_parse_i64(threads, &n);
    b.threads = (int)cli_int(c, "threads", n);
    if (cli_has(c, "train"))
        return cli_bench_train(c, b.model, b.scale, b.repeat, b.threads);
    if (cli_has(c, "against")) {
        const cli_against_key key = { .model = b.model, .scale = b.scale, .precision = cli_text(c, "precision", "f32"),
                                      .batch = b.how.batch, .size = b.size };
        const diffad_status   found = cli_against_open(&b.against, cli_text(c, "against", ""), &key);
        if (found != DIFFAD_OK)
            return cli_fail(found);
    }
    if (!cli_has(c, "no-build"))
        measure_builds(&b);
    diffad_status st = measure(&b);
    cli_progress_end();
    if (st == DIFFAD_OK)
        st = write_traces(&b);
    if (st == DIFFAD_OK)
        cli_against_prefer(&b.against, diffad_detector_info_of(b.d)->device);
    const int code = st == DIFFAD_OK ? 0 : cli_fail(st);
    if (code == 0 && c->json)
        print_json(&b);
    else if (code == 0)
        print_text(&b);
    cli_pytorch_end(&b.pytorch);
    cli_against_close(&b.against);
    close_model(&b);
    return code;
}

static int run(cli *c)
{
    const char *op = NULL, *model = NULL;
    for (int i = 0; i < c->n_args; i++) {
        if (strncmp(c->args[i], "op=", 3) == 0)
            op = c->args[i] + 3;
        else if (strncmp(c->args[i], "model=", 6) == 0)
            model = c->args[i] + 6;
        else
            return cli_usage(c, "\"%s\": op=NAME or model=NAME", c->args[i]);
    }
    if (op && model)
        return cli_usage(c, "op= or model=, not both");
    if (op && cli_has(c, "pytorch"))
        return cli_usage(c, "--pytorch compares whole detections, or training steps: model=NAME");
    if (cli_has(c, "train") && op)
        return cli_usage(c, "--train measures steps of a model: not with op=");
    if (!cli_has(c, "train") && cli_has(c, "max-memory"))
        return cli_usage(c, "--max-memory goes with --train");
    if (!cli_has(c, "train") && cli_int(c, "batch", 1) > MOST_PICTURES)
        return cli_usage(c, "--batch %lld: a detection takes at most %d pictures at a time", (long long)cli_int(c, "batch", 1), MOST_PICTURES);
    if (cli_has(c, "size") && (op || cli_has(c, "train")))
        return cli_usage(c, "--size is of the pictures of detections: not with op= or --train");
    if (cli_has(c, "profile"))
        setenv("DIFFAD_PROFILE", "1", 1);
    if (cli_has(c, "threads"))
        setenv("POCL_MAX_PTHREAD_COUNT", cli_text(c, "threads", ""), 1);
    return op ? cli_bench_op(c, op, (int)cli_int(c, "repeat", 7)) : bench_model(c, model ? model : "diffad");
}

static const cli_option options[] = {
    { "scale", 0, CLI_CHOICE, "paper|fast|tiny", 0, 0, "sizes of the model (default fast)" },
    { "steps", 0, CLI_INT, "N", 1, 1000, "sampling steps (default: the description's)" },
    CLI_PRECISION,
    { "repeat", 0, CLI_INT, "R", 1, CLI_MAX_SAMPLES,
      "rounds; medians are printed, with min and max (default 5, ops 7)" },
    { "threads", 0, CLI_INT, "N", 1, 1024, "of a CPU device (PoCL) and of PyTorch" },
    { "train", 0, CLI_FLAG, NULL, 0, 0, "a training step of each stage instead of detections" },
    { "batch", 0, CLI_INT, "N", 1, 4096, "pictures at a time (default 1; of a training step: the description's)" },
    { "size", 0, CLI_INT, "N", 32, 8192, "pictures of NxN (default: the description's)" },
    { "max-memory", 0, CLI_BYTES, "SIZE", 0, 0, "of a training step, as in `diffad train`" },
    { "profile", 0, CLI_TEXT, "TRACE.json", 0, 0, "where the time goes, TRACE.json.STAGE for each stage" },
    { "against", 0, CLI_TEXT, "FILE", 0, 0, "rows that bench --json wrote before: the last of this model or op (of this device, if any) beside now's" },
    { "pytorch", 0, CLI_FLAG, NULL, 0, 0,
      "the same work in PyTorch in turn with it, also with --train, where python3 with torch is there" },
    { "no-build", 0, CLI_FLAG, NULL, 0, 0, "leave out the time until the first result" },
    { 0 },
};

const cli_command cmd_bench = {
    .name      = "bench",
    .summary   = "times detections stage by stage, single ops, and PyTorch beside them",
    .arguments = "[op=NAME|model=NAME]",
    .most      = 2,
    .options   = options,
    .can_stop  = true,
    .run       = run,
    .details = "model=NAME (default diffad): a variant, or a scale; random weights, --batch pictures at a time.\n"
               "Stages are timed with a wait after each, the detection as a whole. build_ms is what kernels cost\n"
               "until the first result, in processes of their own, cold with empty caches and warm with filled\n"
               "ones, a pair a round: --no-build leaves that out.\n"
               "--train: the plan that a training runs, on random pictures; each stage has the device to itself. The\n"
               "U-Net's step encodes all its pictures here, of which a training spares those that it knows.\n"
               "--pytorch: the same detections, or training steps, in turn with it; theirs over ours is printed.\n"
               "op=NAME (or all): each way of an op on its cases of real size, by the driver's clock, and its\n"
               "share of the nearer roof: multiply-adds, or a stream of as many bytes, measured in turn with it.",
};
