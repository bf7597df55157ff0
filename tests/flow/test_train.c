/* test_train.c: tiny models from photographs to a detector: the same bits however the road was interrupted. Each training
 * runs in a process of its own, as a user's would. */
#include "base/file.h"
#include "base/sys.h"
#include "diffad/detect.h"
#include "diffad/train.h"
#include "support/folder.h"

#include <criterion/criterion.h>
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
    const char  *ways, *threads_of_device;      /* environment of the process */
    int          loader_threads, stop_after;    /* progress calls until a stop is asked for; 0: never */
    bool         resume;
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
    o.stop = &stop;
    o.progress = count_down;
    diffad_status st = diffad_device_open(NULL, &dev);
    if (st == DIFFAD_OK)
        st = diffad_train(dev, &o, &result);
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

Test(train, kept_samples_train_to_the_same_bits_as_samples_made_again, .timeout = 600)
{
    const char *folder = folder_new();
    char        kept[512], again[512], fewer[512], want[17], same[17], other[17];
    job         j = { .out = kept, .sets = { "train.vae.steps=8", "train.ldm.steps=8", "cache_samples=10", "train.seg.accumulate=2", "train.critic_start=-1" } };
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
