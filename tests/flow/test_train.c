/* test_train.c: tiny models from photographs to a detector: the same bits however the road was interrupted. Each training
 * runs in a process of its own, as a user's would. */
#include "base/file.h"
#include "base/sys.h"
#include "device/device.h"
#include "diffad/detect.h"
#include "base/fail.h"
#include "diffad/tensor.h"
#include "diffad/train.h"
#include "graph/plan.h"
#include "kernel/tuned.h"
#include "support/folder.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct job {
    const char  *out, *model, *stages;
    const char  *ways, *threads_of_device, *tuned;      /* environment of the process */
    bool         fills_table;                   /* only: `tuned` gets a row for each convolution of the training */
    int          loader_threads, stop_after;    /* progress calls until a stop is asked for; 0: never */
    bool         resume;
    size_t       max_memory;
    diffad_precision precision;                 /* not F32: of a matrix unit that is computed */
    const char  *sets[12];
} job;

static volatile int stop;
static int          calls_left;

static void count_down(void *user, const diffad_train_progress *p)
{
    (void)user;
    (void)p;
    if (calls_left > 0 && --calls_left == 0)
        stop = SIGTERM;
}

/* A way that is not the usual one, for each convolution of which only the size is asked for. */
static void add_row(void *user, const diffad_plan *p, const diffad_node *n)
{
    char key[PLAN_KEY_BYTES];
    if (!p->options.sizes_only || strcmp(n->op->name, "conv2d") != 0)
        return;
    plan_key(p, n, key);
    const diffad_tuned_measure m = { .key = key, .usual = "", .best = "portable/3" };
    cr_assert_eq(diffad_tuned_save(user, &p->dev->caps, &m, 1), DIFFAD_OK, "%s", diffad_error_detail());
}

static diffad_status fill_table(diffad_device *dev, const diffad_train_options *o)
{
    diffad_train_estimate e[DIFFAD_TRAIN_STAGES];
    int                   count;
    dev->on_choice      = add_row;
    dev->on_choice_user = getenv("DIFFAD_TUNED");
    return diffad_train_estimates(dev, o, e, &count);
}

/* In the child: trains and writes the fingerprint, or the reason, into the pipe. */
static void child(const job *j, int to)
{
    char                 text[1024];
    diffad_device       *dev;
    diffad_train_result  result;
    diffad_train_options o = diffad_train_options_default();
    if (j->ways)
        setenv("DIFFAD_WAYS", j->ways, 1);
    if (j->threads_of_device)
        setenv("POCL_MAX_PTHREAD_COUNT", j->threads_of_device, 1);
    if (j->tuned)
        setenv("DIFFAD_TUNED", j->tuned, 1);
    if (j->precision != DIFFAD_PRECISION_F32)
        setenv("DIFFAD_CAPS", "matrix=1,block=1", 1);
    calls_left = j->stop_after;
    o.data = DIFFAD_TEST_DIR "/data";
    o.class_name = "ballscrew";
    o.scale = "tiny";
    o.model = j->model ? j->model : "diffad";
    o.stages = j->stages ? j->stages : "all";
    o.out = j->out;
    o.threads = j->loader_threads ? j->loader_threads : 1;
    o.resume = j->resume;
    o.seed = 5;
    o.save_seconds = 0.05;
    o.sets = j->sets;
    o.max_memory = j->max_memory;
    o.stop = &stop;
    o.progress = count_down;
    diffad_status st = diffad_device_open(NULL, &dev);
    if (st == DIFFAD_OK)
        st = diffad_device_set_precision(dev, j->precision);
    if (st == DIFFAD_OK && j->fills_table)
        _exit((int)fill_table(dev, &o));
    if (st == DIFFAD_OK)
        st = diffad_train(dev, &o, &result);
    if (st == DIFFAD_OK && j->max_memory > 0 && result.peak_bytes > j->max_memory)
        st = diffad_fail(DIFFAD_ERR_INTERNAL, "%zu bytes were allowed, %zu taken", j->max_memory, result.peak_bytes);
    if (st == DIFFAD_OK && diffad_device_live_objects(dev) < 0)
        st = DIFFAD_ERR_INTERNAL;
    const int n = snprintf(text, sizeof text, "%s", st == DIFFAD_OK ? result.fingerprint : diffad_error_detail());
    _exit(write(to, text, (size_t)n) == n ? (int)st : 99);
}

/* Exit code; what it wrote in `text`. kill_after_ms > 0: SIGKILL then. */
static int run(const job *j, int kill_after_ms, char *text, size_t bytes)
{
    int fds[2], status;
    cr_assert_eq(pipe(fds), 0);
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        child(j, fds[1]);
    }
    close(fds[1]);
    if (kill_after_ms > 0) {
        nanosleep(&(struct timespec){ kill_after_ms / 1000, kill_after_ms % 1000 * 1000000L }, NULL);
        kill(pid, SIGKILL);
    }
    size_t used = 0;
    for (ssize_t n; used + 1 < bytes && (n = read(fds[0], text + used, bytes - 1 - used)) > 0;)
        used += (size_t)n;
    text[used] = '\0';
    close(fds[0]);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void train_to_end(const job *j, char *fingerprint)
{
    char text[1024];
    const int code = run(j, 0, text, sizeof text);
    cr_assert_eq(code, 0, "training %s failed with %d: %s", j->out, code, text);
    snprintf(fingerprint, 17, "%.16s", text);
    cr_assert_eq(strlen(fingerprint), 16);
}

Test(train, the_same_seed_gives_the_same_bits_for_any_number_of_threads, .timeout = 600)
{
    const char *folder = folder_new();
    char        a[512], b[512], first[17], second[17];
    snprintf(a, sizeof a, "%s/a", folder);
    snprintf(b, sizeof b, "%s/b", folder);

    train_to_end(&(job){ .out = a, .loader_threads = 1, .threads_of_device = "1" }, first);
    train_to_end(&(job){ .out = b, .loader_threads = 3, .threads_of_device = "2" }, second);

    cr_expect_str_eq(first, second);
}

/* The record's last part: the way of each node of each stage. */
static char *ways_of(const char *out)
{
    char          *path = diffad_path_join(out, "run.json");
    unsigned char *text = NULL;
    int64_t        bytes;
    cr_assert_eq(diffad_file_read(path, 1 << 22, DIFFAD_ERR_FILE, &text, &bytes), DIFFAD_OK, "%s", diffad_error_detail());
    const char *ways = strstr((char *)text, "\"ways\"");
    cr_assert_not_null(ways, "%s names no ways", path);
    char *kept = diffad_strdup(ways);
    diffad_release(text);
    diffad_release(path);
    return kept;
}

static void expect_equal_ways(const char *a, const char *b)
{
    static const char *const wanted[] = { "\"vae\"", "\"ldm\"", "\"seg\"", "\"0.step\"", "conv2d:", "adam:" };
    char *x = ways_of(a), *y = ways_of(b);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        cr_expect(strstr(x, wanted[i]), "%s is missing", wanted[i]);
    cr_expect_str_eq(x, y);
    diffad_release(x);
    diffad_release(y);
}

/* Whether the record of a run says `what`. */
static bool record_says(const char *out, const char *what)
{
    char          *path = diffad_path_join(out, "run.json");
    unsigned char *text = NULL;
    int64_t        bytes;
    cr_assert_eq(diffad_file_read(path, 1 << 22, DIFFAD_ERR_FILE, &text, &bytes), DIFFAD_OK, "%s", diffad_error_detail());
    const bool says = strstr((char *)text, what) != NULL;
    diffad_release(text);
    diffad_release(path);
    return says;
}

Test(train, a_run_that_is_stopped_or_killed_and_continued_ends_in_the_same_bits, .timeout = 900)
{
    const char *folder = folder_new();
    char        whole[512], broken[512], want[17], text[1024];
    snprintf(whole, sizeof whole, "%s/whole", folder);
    snprintf(broken, sizeof broken, "%s/broken", folder);
    const job straight = { .out = whole, .sets = { "train.vae.steps=30", "train.ldm.steps=30", "train.seg.steps=30" } };
    job       j = straight;
    train_to_end(&straight, want);
    j.out = broken;

    j.stop_after = 2;      /* once in an orderly way */
    cr_expect_eq(run(&j, 0, text, sizeof text), DIFFAD_ERR_STOPPED, "%s", text);
    j.stop_after = 0;
    j.resume = true;
    int code = -1;
    srand(1);
    for (int i = 0; i < 40 && code != 0; i++)      /* then without warning, again and again */
        code = run(&j, i < 30 ? 150 + rand() % 1500 : 0, text, sizeof text);

    cr_expect_eq(code, 0, "%s", text);
    cr_expect_str_eq(text, want);
    expect_equal_ways(whole, broken);
}

/* What a run's record says of its first stage; -1: nothing. */
static double vae_number(const char *out, const char *key)
{
    char   *path = diffad_path_join(out, "run.json");
    json_t *root = json_load_file(path, 0, NULL);
    const json_t *value = json_object_get(json_object_get(json_object_get(root, "stages"), "vae"), key);
    const double  v = value ? json_number_value(value) : -1;
    json_decref(root);
    diffad_release(path);
    return v;
}

/* In its first steps the scale falls: a state without it would skip other ones. */
Test(train, a_run_in_f16_that_is_stopped_and_continued_ends_in_the_same_bits, .timeout = 900)
{
    const char *folder = folder_new();
    char        whole[512], broken[512], want[17], got[17], text[1024];
    snprintf(whole, sizeof whole, "%s/whole", folder);
    snprintf(broken, sizeof broken, "%s/broken", folder);
    const job straight = { .out = whole, .stages = "vae", .precision = DIFFAD_PRECISION_F16,
                           .sets = { "train.vae.steps=9", "train.vae.batch=1", "train.critic_start=-1", "autoencoder.mult=[1, 1, 1]" } };
    job       j = straight;
    train_to_end(&straight, want);
    j.out = broken;
    j.stop_after = 1;
    cr_expect_eq(run(&j, 0, text, sizeof text), DIFFAD_ERR_STOPPED, "%s", text);
    j.stop_after = 0;
    j.resume = true;

    j.precision = DIFFAD_PRECISION_BF16;
    cr_expect_eq(run(&j, 0, text, sizeof text), DIFFAD_ERR_USAGE, "%s", text);
    cr_expect(strstr(text, "the stage began in f16, bf16 was asked for: continue with --precision f16"), "%s", text);
    j.precision = DIFFAD_PRECISION_F16;
    train_to_end(&j, got);

    cr_expect_str_eq(got, want);
    const double scale = vae_number(whole, "loss_scale"), skipped = vae_number(whole, "skipped");
    cr_log_info("scale %g, %g of 9 steps skipped", scale, skipped);
    cr_expect_eq(vae_number(broken, "loss_scale"), scale, "%g", vae_number(broken, "loss_scale"));
    cr_expect_eq(vae_number(broken, "skipped"), skipped, "%g", vae_number(broken, "skipped"));
    cr_expect(skipped >= 2 && skipped <= 7, "some steps after the first must be skipped, some not");
    cr_expect(record_says(whole, "\"precision\": \"f16\""));
}

Test(train, a_stage_keeps_the_tuned_ways_that_it_began_with, .timeout = 900)
{
    const char *folder = folder_new();
    char        table[512], whole[512], broken[512], want[17], got[17], text[1024];
    snprintf(table, sizeof table, "%s/tuned.sqlite", folder);
    snprintf(whole, sizeof whole, "%s/whole", folder);
    snprintf(broken, sizeof broken, "%s/broken", folder);
    job j = { .stages = "vae", .sets = { "train.vae.steps=22", "train.critic_start=-1" }, .tuned = table, .fills_table = true };
    cr_assert_eq(run(&j, 0, text, sizeof text), 0);
    j.fills_table = false;
    j.out = whole;
    train_to_end(&j, want);
    j.out = broken;
    j.stop_after = 2;
    cr_assert_eq(run(&j, 0, text, sizeof text), DIFFAD_ERR_STOPPED, "%s", text);

    j.stop_after = 0;
    j.resume     = true;
    j.tuned      = "0";
    train_to_end(&j, got);

    cr_expect_str_eq(got, want);
    cr_expect(record_says(whole, "conv2d:portable/3"));
    cr_expect(record_says(broken, "conv2d:portable/3"));
    cr_expect_not(record_says(whole, "\"tuned\": \"\""));
    cr_expect(record_says(broken, "\"tuned\": \"\""), "the table in force at its end: none");
}

Test(train, a_folder_in_use_is_refused_without_resume_and_with_another_seed, .timeout = 300)
{
    const char *folder = folder_new();
    char        fingerprint[17], text[1024], out[512];
    job         j = { .stages = "vae", .sets = { "train.vae.steps=2" } };
    snprintf(out, sizeof out, "%s/run", folder);
    j.out = out;
    train_to_end(&j, fingerprint);

    cr_expect_eq(run(&j, 0, text, sizeof text), DIFFAD_ERR_USAGE);
    cr_expect(strstr(text, "--resume"), "%s", text);
    j.resume = true;
    j.sets[0] = "train.vae.steps=3";
    cr_expect_eq(run(&j, 0, text, sizeof text), DIFFAD_ERR_USAGE);
    cr_expect(strstr(text, "another description"), "%s", text);
}

/* 64 draws of the few pictures, some rotated, half of them corrupted; the segmenter's samples. */
Test(train, kept_posteriors_and_samples_train_to_the_same_bits_as_those_made_again, .timeout = 600)
{
    const char *folder = folder_new();
    char        kept[512], again[512], fewer[512], want[17], same[17], other[17];
    job         j = { .out = kept, .sets = { "train.vae.steps=8", "train.ldm.steps=16", "cache_samples=10", "train.seg.accumulate=2", "train.critic_start=-1" } };
    snprintf(kept, sizeof kept, "%s/kept", folder);
    snprintf(again, sizeof again, "%s/again", folder);
    snprintf(fewer, sizeof fewer, "%s/fewer", folder);

    train_to_end(&j, want);
    j.out = again;
    j.sets[5] = "cache_fresh=true";
    train_to_end(&j, same);
    j.out = fewer;
    j.sets[2] = "cache_samples=9";
    train_to_end(&j, other);

    cr_expect_str_eq(same, want);
    cr_expect_str_neq(other, want, "the samples do not matter");
}

Test(train, every_matrix_product_through_clblast_trains_too, .timeout = 900)
{
    char out[512], fingerprint[17];
    snprintf(out, sizeof out, "%s/clblast", folder_new());
    job j = { .out = out, .ways = "conv2d=im2col,conv2d_dx=im2col,conv2d_dw=im2col,gemm=clblast,matmul=clblast,linear=clblast",
              .sets = { "train.vae.steps=3", "train.ldm.steps=3", "train.seg.steps=3", "cache_samples=4", "train.critic_start=-1" } };

    train_to_end(&j, fingerprint);

}

static void detects(const char *out, const char *fingerprint)
{
    diffad_device   *dev;
    diffad_detector *d;
    diffad_detection r;
    const char      *picture = DIFFAD_TEST_DIR "/data/ballscrew/test/pitting/000.jpg";
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_detector_open(dev, out, NULL, &d), DIFFAD_OK, "%s: %s", out, diffad_error_detail());
    cr_expect_str_eq(diffad_detector_info_of(d)->fingerprint, fingerprint);
    cr_assert_eq(diffad_detector_picture(d, picture, &r), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect(r.score >= 0 && r.score <= 1, "%s: score %g", out, r.score);
    const double score = r.score;
    cr_assert_eq(diffad_detector_picture(d, picture, &r), DIFFAD_OK);
    cr_expect_eq(r.score, score, "%s: a second look differs", out);
    diffad_detector_close(d);
    diffad_device_close(dev);
}

/* All trainings come first: a process that has used OpenCL must not fork trainers. */
Test(train, every_variant_trains_and_detects, .timeout = 900)
{
    static const char *const models[] = { "diffad", "diffad_fr", "diffad_c", "diffad_no_inter", "diffad_xa_inter", "draem" };
    enum { MODELS = sizeof models / sizeof models[0] };
    static char out[MODELS][512], fingerprint[MODELS][17];
    for (int i = 0; i < MODELS; i++) {
        snprintf(out[i], sizeof out[i], "%s/%s", folder_new(), models[i]);
        train_to_end(&(job){ .out = out[i], .model = models[i], .sets = { "train.vae.steps=3", "train.ldm.steps=3", "train.seg.steps=3",
                             "train.draem.steps=3", "train.vae.accumulate=2", "train.critic_start=1", "cache_samples=4" } }, fingerprint[i]);
    }

    for (int i = 0; i < MODELS; i++)
        detects(out[i], fingerprint[i]);
}

Test(train, detection_refuses_step_counts_that_do_not_divide_the_schedule, .timeout = 300)
{
    diffad_device   *dev;
    diffad_detector *d;
    cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK);

    cr_expect_eq(diffad_detector_random(dev, "diffad", "tiny", &(diffad_detector_options){ .steps = 3 }, &d), DIFFAD_ERR_USAGE);

    cr_expect(strstr(diffad_error_detail(), "take 2 or 4"), "%s", diffad_error_detail());
    diffad_device_close(dev);
}

/* ---- less memory ---- */

enum { MIB = 1 << 20 };

/* Of the first stage with batches of eight, after its critic has begun and before the segmenter. */
Test(train, a_run_within_less_memory_ends_in_the_same_bits, .timeout = 600)
{
    const char *folder = folder_new();
    char        whole[512], less[512], want[17], got[17], text[1024];
    job         j = { .out = whole, .stages = "vae", .sets = { "train.vae.steps=24", "train.vae.batch=8", "train.critic_start=8" } };
    snprintf(whole, sizeof whole, "%s/whole", folder);
    snprintf(less, sizeof less, "%s/less", folder);
    train_to_end(&j, want);

    j.out = less;
    j.max_memory = 20 * MIB;
    cr_expect_eq(run(&j, 0, text, sizeof text), DIFFAD_ERR_MEMORY, "%s", text);
    cr_expect(strstr(text, "cannot be split") && strstr(text, "critic"), "%s", text);
    j.resume = true;
    j.max_memory = 32 * MIB;
    j.stop_after = 1;
    cr_expect_eq(run(&j, 0, text, sizeof text), DIFFAD_ERR_STOPPED, "%s", text);
    j.max_memory = 38 * MIB;
    j.stop_after = 2;
    cr_expect_eq(run(&j, 0, text, sizeof text), DIFFAD_ERR_STOPPED, "%s", text);
    j.max_memory = 30 * MIB;
    j.stop_after = 0;
    train_to_end(&j, got);

    cr_expect_str_eq(got, want);
}

static diffad_file *stage_file(const char *out)
{
    diffad_file *f = NULL;
    char        *path = diffad_path_join(out, "vae.safetensors");
    cr_assert_eq(diffad_file_open(path, &f), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_release(path);
    return f;
}

/* Root of the mean square of the difference of two files' weights, against that of what they hold. Biases are left out: some
 * have a gradient of zero (before a norm of one channel, of attention's keys), and Adam makes whole steps of its rounding. */
static double difference(const diffad_file *a, const diffad_file *b)
{
    double apart = 0, all = 0;
    cr_assert_eq(diffad_file_count(a), diffad_file_count(b));
    for (int i = 0; i < diffad_file_count(a); i++) {
        const diffad_file_tensor *x = diffad_file_at(a, i), *y = diffad_file_find(b, x->name);
        const int64_t n = strstr(x->name, ".weight") ? diffad_shape_count(&x->shape) : 0;
        cr_assert(y && x->type == DIFFAD_F32 && y->type == DIFFAD_F32);
        for (int64_t k = 0; k < n; k++) {
            float p, q;
            memcpy(&p, x->data + k * 4, sizeof p);
            memcpy(&q, y->data + k * 4, sizeof q);
            apart += ((double)p - q) * ((double)p - q);
            all   += (double)p * p;
        }
    }
    return sqrt(apart / all);
}

Test(train, parts_of_a_batch_train_the_same_to_rounding_and_a_state_keeps_its_parts, .timeout = 600)
{
    const char *folder = folder_new();
    char        whole[512], parts[512], again[512], fingerprint[17], want[17], text[1024];
    job         j = { .out = whole, .stages = "vae", .sets = { "train.vae.steps=4", "train.vae.batch=8", "train.critic_start=-1" } };
    snprintf(whole, sizeof whole, "%s/whole", folder);
    snprintf(parts, sizeof parts, "%s/parts", folder);
    snprintf(again, sizeof again, "%s/again", folder);
    train_to_end(&j, fingerprint);
    j.out = parts;
    j.max_memory = 20 * MIB;
    train_to_end(&j, want);
    j.out = again;
    j.stop_after = 1;
    cr_expect_eq(run(&j, 0, text, sizeof text), DIFFAD_ERR_STOPPED, "%s", text);
    j.stop_after = 0;
    j.max_memory = 0;
    j.resume = true;
    train_to_end(&j, fingerprint);

    cr_expect_str_eq(fingerprint, want, "continued without a limit: other bits");
    diffad_file *a = stage_file(whole), *b = stage_file(parts);
    cr_expect(!diffad_file_metadata(a, "parts") && diffad_file_metadata(b, "parts"));
    const double apart = difference(a, b);
    cr_expect(apart < 1e-3, "weights differ by %g", apart);      /* other noise in the posterior: 0.05 */
    diffad_file_close(a);
    diffad_file_close(b);
}

Test(train, memory_is_what_was_told_before, .timeout = 600)
{
    static const char *const stages[] = { "vae", "ldm", "seg" };
    static const char *const sets[] = { "train.critic_start=1", "train.vae.accumulate=2", NULL };
    const char    *folder = folder_new();
    diffad_device *dev;
    char           out[512];
    snprintf(out, sizeof out, "%s/run", folder);
    diffad_train_options o = diffad_train_options_default();
    o.data       = DIFFAD_TEST_DIR "/data";
    o.class_name = "ballscrew";
    o.scale      = "tiny";
    o.out        = out;
    o.resume     = true;
    o.sets       = sets;
    for (int i = 0; i < 3; i++) {
        diffad_train_estimate e[DIFFAD_TRAIN_STAGES];
        diffad_train_result   r;
        int                   n;
        o.stages = stages[i];
        cr_assert_eq(diffad_device_open(NULL, &dev), DIFFAD_OK, "%s", diffad_error_detail());
        cr_assert_eq(diffad_train_estimates(dev, &o, e, &n), DIFFAD_OK, "%s", diffad_error_detail());
        cr_assert_eq(n, 1);
        cr_expect_eq(diffad_device_bytes(dev), 0);
        cr_assert_eq(diffad_train(dev, &o, &r), DIFFAD_OK, "%s", diffad_error_detail());

        cr_expect_str_eq(e[0].stage, stages[i]);
        cr_expect(r.peak_bytes < 1.1 * (double)e[0].bytes && r.peak_bytes > 0.9 * (double)e[0].bytes, "%s: told %zu, took %zu",
                  stages[i], e[0].bytes, r.peak_bytes);
        cr_expect(e[0].seconds > 0 && isfinite(e[0].seconds) && e[0].parameters > 0);
        diffad_device_close(dev);
    }
}
