/* test_file.c: whole files in and out of src/base/file.c, folders of src/base/folder.c. */
#include "base/file.h"
#include "base/size.h"
#include "support/fault.h"
#include "support/folder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void expect_content(const char *path, const char *want)
{
    unsigned char *data  = NULL;
    int64_t        bytes = 0;
    cr_assert_eq(diffad_file_read(path, 1 << 24, DIFFAD_OK, &data, &bytes), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect_eq(bytes, (int64_t)strlen(want));
    cr_expect_str_eq((char *)data, want);
    diffad_release(data);
}

static void expect_read_fails(const char *path, int64_t max, diffad_status code, diffad_status want, const char *part)
{
    unsigned char *data  = (unsigned char *)"untouched";
    int64_t        bytes = 42;
    cr_expect_eq(diffad_file_read(path, max, code, &data, &bytes), want);
    cr_expect(strstr(diffad_error_detail(), path) && strstr(diffad_error_detail(), part), "\"%s\" lacks \"%s\"", diffad_error_detail(), part);
    cr_expect(bytes == 42 && strcmp((char *)data, "untouched") == 0);
}

Test(file, what_was_written_is_read)
{
    const char *dir = folder_new(), *path = folder_path(dir, "a");
    char        big[200001];
    for (size_t i = 0; i < sizeof big - 1; i++)
        big[i] = (char)('a' + i % 23);
    big[sizeof big - 1] = '\0';

    cr_assert_eq(diffad_file_write(path, "", 0), DIFFAD_OK);
    expect_content(path, "");
    cr_assert_eq(diffad_file_write(path, big, sizeof big - 1), DIFFAD_OK);
    expect_content(path, big);

    cr_expect_eq(folder_count(dir), 1);
}

Test(file, pieces_and_texts_arrive_in_order)
{
    const char   *dir = folder_new(), *path = folder_path(dir, "a");
    diffad_writer w;
    char          want[300000] = "", number[16];
    size_t        at = 0;

    cr_assert_eq(diffad_writer_begin(&w, path), DIFFAD_OK);
    for (int i = 0; i < 30000; i++) {
        if (i % 2)
            diffad_writer_printf(&w, "%d;", i);
        else
            diffad_writer_append(&w, number, snprintf(number, sizeof number, "%d;", i));
        at += (size_t)snprintf(want + at, sizeof want - at, "%d;", i);
    }
    diffad_writer_printf(&w, "%5000d", 1);
    at += (size_t)snprintf(want + at, sizeof want - at, "%5000d", 1);
    cr_expect_eq(diffad_writer_commit(&w), DIFFAD_OK);
    diffad_writer_abandon(&w);

    expect_content(path, want);
    cr_expect_eq(diffad_writer_append(&w, "x", 1), DIFFAD_ERR_INTERNAL);
}

Test(file, numbers_in_files_have_a_decimal_point)
{
    if (!comma_locale())
        cr_skip_test("no locale with a decimal comma here, and localedef cannot make one");
    const char   *path = folder_path(folder_new(), "a");
    diffad_writer w;

    diffad_writer_begin(&w, path);
    diffad_writer_printf(&w, "%.2f", 1.25);
    cr_expect_eq(diffad_writer_commit(&w), DIFFAD_OK);

    expect_content(path, "1.25");
}

Test(file, an_abandoned_write_leaves_the_old_file)
{
    const char   *dir = folder_new(), *path = folder_path(dir, "a");
    diffad_writer w;
    fault_install();
    diffad_file_write(path, "old", 3);

    diffad_writer_begin(&w, path);
    diffad_writer_append(&w, "new", 3);
    cr_expect_eq(folder_count(dir), 2);
    diffad_writer_abandon(&w);
    diffad_writer_abandon(&w);

    expect_content(path, "old");
    cr_expect_eq(folder_count(dir), 1);
    cr_expect(fault_live_blocks() == 0 && fault_open_files() == 0);
}

Test(file, reading_says_what_is_wrong_and_what_to_do)
{
    const char *dir = folder_new(), *path = folder_path(dir, "a");
    diffad_file_write(path, "12345", 5);

    expect_read_fails(folder_path(dir, "none"), 100, DIFFAD_OK, DIFFAD_ERR_FILE, "check the path");
    expect_read_fails(folder_path(dir, "none"), 100, DIFFAD_ERR_CHECKPOINT, DIFFAD_ERR_CHECKPOINT, "No such file");
    expect_read_fails(dir, 100, DIFFAD_ERR_DATA, DIFFAD_ERR_DATA, "folder");
    expect_read_fails(path, 4, DIFFAD_ERR_DATA, DIFFAD_ERR_DATA, "limit of 4");
    expect_read_fails("/dev/zero", 100000, DIFFAD_ERR_DATA, DIFFAD_ERR_DATA, "limit of 100000");
}

Test(file, devices_are_not_replaced_by_files)
{
    cr_expect_eq(diffad_file_write("/dev/null", "x", 1), DIFFAD_ERR_FILE);
    cr_expect(diffad_path_exists("/dev/null"));
}

Test(file, writing_into_no_folder_names_the_path)
{
    const char *path = folder_path(folder_new(), "no/such/file");
    cr_expect_eq(diffad_file_write(path, "x", 1), DIFFAD_ERR_FILE);
    cr_expect(strstr(diffad_error_detail(), path));
}

Test(file, interrupted_and_short_calls_go_on)
{
    const char *path = folder_path(folder_new(), "a");
    char        text[3001];
    memset(text, 'z', 3000);
    text[3000] = '\0';
    fault_install();
    fault_slow(7);

    cr_expect_eq(diffad_file_write(path, text, 3000), DIFFAD_OK);

    expect_content(path, text);
    fault_slow(0);
}

/* Two pieces that are larger than the writer's buffer, and one that is not. */
static diffad_status write_pieces(const char *path, const char *piece, int64_t bytes)
{
    diffad_writer w;
    DIFFAD_TRY(diffad_writer_begin(&w, path));
    diffad_writer_append(&w, piece, bytes);
    diffad_writer_printf(&w, "%2000d", 1);
    diffad_writer_append(&w, piece, bytes);
    const diffad_status st = diffad_writer_commit(&w);
    diffad_writer_abandon(&w);
    return st;
}

Test(file, any_failing_call_leaves_the_old_file_and_nothing_else)
{
    static char piece[70000];
    const char *dir = folder_new(), *path = folder_path(dir, "a");
    int         met = 0;
    memset(piece, 'p', sizeof piece);
    fault_install();
    diffad_file_write(path, "old", 3);
    for (int lasting = 0; lasting < 2; lasting++)
        for (fault_kind kind = 0; kind < FAULT_KINDS; kind++)
            for (int n = 1; fault_arm(kind, n, lasting); n++) {
                const diffad_status st = write_pieces(path, piece, sizeof piece);

                fault_disarm();
                met += fault_met();
                int64_t size = 0;
                diffad_sys.stat(path, &size, NULL);
                cr_expect(st == DIFFAD_OK ? size == 142000 : size == 3, "%s %d: status %d, size %lld", fault_name(kind), n, st, (long long)size);
                cr_expect(st == DIFFAD_OK || strstr(diffad_error_detail(), path), "%s", diffad_error_detail());
                cr_expect_eq(folder_count(dir), 1, "%s %d leaves a file", fault_name(kind), n);
                cr_expect(fault_live_blocks() == 0 && fault_open_files() == 0, "%s %d: %lld blocks, %lld files", fault_name(kind), n,
                          (long long)fault_live_blocks(), (long long)fault_open_files());
                cr_assert_eq(diffad_file_write(path, "old", 3), DIFFAD_OK);
            }
    cr_expect_geq(met, 20, "only %d faults met", met);
}

Test(file, any_failing_call_of_a_read_is_an_error_without_a_leak)
{
    const char *path = folder_path(folder_new(), "a");
    fault_install();
    diffad_file_write(path, "12345", 5);
    for (fault_kind kind = 0; kind < FAULT_KINDS; kind++)
        for (int n = 1; fault_arm(kind, n, false); n++) {
            unsigned char      *data = NULL;
            int64_t             bytes;
            const diffad_status st = diffad_file_read(path, 100, DIFFAD_ERR_DATA, &data, &bytes);
            fault_disarm();
            cr_expect(st == DIFFAD_OK || (st == (kind == FAULT_ALLOC ? DIFFAD_ERR_MEMORY : DIFFAD_ERR_DATA)), "%s %d: %d", fault_name(kind),
                      n, st);
            cr_expect(st != DIFFAD_OK || !fault_met() || kind == FAULT_CLOSE, "%s %d went unnoticed", fault_name(kind), n);
            diffad_release(data);
            cr_expect(fault_live_blocks() == 0 && fault_open_files() == 0);
        }
}

static int no_link(const char *from, const char *to)
{
    (void)from;
    (void)to;
    return -1;
}

Test(file, a_shared_file_keeps_its_content_when_the_first_is_replaced)
{
    const char *dir = folder_new(), *from = folder_path(dir, "from");
    for (int is_copied = 0; is_copied < 2; is_copied++) {
        const char *to = folder_path(dir, is_copied ? "copy" : "link");
        struct stat a, b;
        cr_assert_eq(diffad_file_write(from, "first", 5), DIFFAD_OK);
        diffad_sys.link = is_copied ? no_link : diffad_sys.link;

        cr_assert_eq(diffad_file_share(from, to, DIFFAD_ERR_CHECKPOINT), DIFFAD_OK, "%s", diffad_error_detail());

        cr_assert(stat(from, &a) == 0 && stat(to, &b) == 0);
        cr_expect_eq(a.st_ino == b.st_ino, !is_copied, "a link where it can be");
        cr_assert_eq(diffad_file_write(from, "second", 6), DIFFAD_OK);
        expect_content(to, "first");
        cr_assert_eq(diffad_file_share(from, to, DIFFAD_ERR_CHECKPOINT), DIFFAD_OK, "over a file that is there");
        expect_content(to, "second");
    }
    cr_expect_eq(diffad_file_share(folder_path(dir, "none"), folder_path(dir, "to"), DIFFAD_ERR_CHECKPOINT), DIFFAD_ERR_CHECKPOINT);
    cr_expect_neq(access(folder_path(dir, "to"), F_OK), 0);
}

Test(file, temporaries_of_a_killed_process_go_with_the_next_write)
{
    const char *dir = folder_new(), *path = folder_path(dir, "a");
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "a.%016x.tmp", i);
        fclose(fopen(folder_path(dir, name), "w"));
    }
    fclose(fopen(folder_path(dir, "a.0123.tmp"), "w"));
    fclose(fopen(folder_path(dir, "ab.0123456789abcdef.tmp"), "w"));

    cr_expect_eq(diffad_file_write(path, "x", 1), DIFFAD_OK);

    cr_expect_eq(folder_count(dir), 3, "the file, and two names that only look alike");
}

Test(folder, names_are_sorted_by_bytes)
{
    static const char *const order[] = { "-a", "B", "a", "a b", "b\n", "\xc3\xa4", "\xff" };
    const char              *dir = folder_new();
    diffad_names             names;
    for (int i = 6; i >= 0; i--)
        fclose(fopen(folder_path(dir, order[i]), "w"));

    cr_assert_eq(diffad_dir_list(dir, DIFFAD_ERR_DATA, &names), DIFFAD_OK);

    cr_expect_eq(names.count, 7);
    for (int i = 0; i < 7 && i < names.count; i++)
        cr_expect_str_eq(names.name[i], order[i]);
    diffad_names_release(&names);
    cr_expect_eq(diffad_dir_list(folder_path(dir, "none"), DIFFAD_ERR_DATA, &names), DIFFAD_ERR_DATA);
}

Test(folder, any_failing_call_of_a_listing_is_an_error_without_a_leak)
{
    const char *dir = folder_new();
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        fclose(fopen(folder_path(dir, name), "w"));
    }
    fault_install();
    for (fault_kind kind = 0; kind < FAULT_KINDS; kind++)
        for (int n = 1; fault_arm(kind, n, false); n++) {
            diffad_names        names = { 0 };
            const diffad_status st    = diffad_dir_list(dir, DIFFAD_ERR_DATA, &names);
            fault_disarm();
            cr_expect_eq(st == DIFFAD_OK, !fault_met(), "%s %d", fault_name(kind), n);
            diffad_names_release(&names);
            cr_expect_eq(fault_live_blocks(), 0);
        }
}

Test(folder, missing_parents_are_made)
{
    const char *dir = folder_new();
    char        deep[512];
    snprintf(deep, sizeof deep, "%s/x//y/z/", dir);

    cr_expect_eq(diffad_make_dirs(deep), DIFFAD_OK);
    cr_expect_eq(diffad_make_dirs(deep), DIFFAD_OK);
    cr_expect_eq(diffad_make_dirs("/"), DIFFAD_OK);

    cr_expect(diffad_path_is_dir(folder_path(dir, "x/y/z")));
    diffad_file_write(folder_path(dir, "file"), "", 0);
    cr_expect_eq(diffad_make_dirs(folder_path(dir, "file/below")), DIFFAD_ERR_FILE);
    cr_expect(strstr(diffad_error_detail(), "a file has that name"));
}

Test(folder, paths_are_joined_with_one_slash)
{
    static const char *const rows[][3] = { { "a", "b", "a/b" }, { "a/", "b", "a/b" }, { "", "b", "b" }, { "/", "b", "/b" } };
    for (int i = 0; i < 4; i++) {
        char *path = diffad_path_join(rows[i][0], rows[i][1]);
        cr_expect_str_eq(path, rows[i][2]);
        diffad_release(path);
    }
    cr_expect_str_eq(diffad_path_base("/a/b.png"), "b.png");
    cr_expect_str_eq(diffad_path_base("b.png"), "b.png");
}

/* ---- a folder for one process at a time ---- */

Test(lock, a_folder_has_one_holder_until_it_lets_go)
{
    const char *dir = folder_new();
    diffad_lock one = { 0 }, two = { 0 };

    cr_assert_eq(diffad_folder_lock(dir, &one), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect_eq(diffad_folder_lock(dir, &two), DIFFAD_ERR_FILE);
    cr_expect(strstr(diffad_error_detail(), dir) && strstr(diffad_error_detail(), "another process"), "%s", diffad_error_detail());
    cr_expect_not(two.is_held);

    diffad_folder_unlock(&one);
    cr_expect_eq(diffad_folder_lock(dir, &two), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_folder_unlock(&two);
    diffad_folder_unlock(&two);      /* holds nothing */
}

Test(lock, a_killed_process_holds_nothing)
{
    const char *dir = folder_new();
    diffad_lock lock = { 0 };
    int         said[2];
    char        c;
    cr_assert_eq(pipe(said), 0);
    const pid_t child = fork();
    if (child == 0) {
        (void)!write(said[1], diffad_folder_lock(dir, &lock) == DIFFAD_OK ? "y" : "n", 1);
        for (;;)
            pause();
    }
    cr_assert_eq(read(said[0], &c, 1), 1);

    cr_expect_eq(c, 'y');
    cr_expect_eq(diffad_folder_lock(dir, &lock), DIFFAD_ERR_FILE);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    cr_expect_eq(diffad_folder_lock(dir, &lock), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_folder_unlock(&lock);
}

static int no_locks(int fd)
{
    (void)fd;
    errno = ENOLCK;
    return -1;
}

Test(lock, any_failing_call_is_an_error_and_a_file_system_without_locks_is_not)
{
    const char      *dir = folder_new();
    const fault_kind kinds[] = { FAULT_ALLOC, FAULT_OPEN };
    diffad_lock      lock = { 0 };
    fault_install();
    for (size_t k = 0; k < 2; k++)
        for (int n = 1; fault_arm(kinds[k], n, false); n++) {
            const diffad_status st = diffad_folder_lock(dir, &lock);
            fault_disarm();
            cr_expect_eq(st, !fault_met() ? DIFFAD_OK : kinds[k] == FAULT_ALLOC ? DIFFAD_ERR_MEMORY : DIFFAD_ERR_FILE);
            diffad_folder_unlock(&lock);
            cr_expect_eq(fault_live_blocks(), 0);
            cr_expect_eq(fault_open_files(), 0);
        }
    diffad_sys.lock = no_locks;
    cr_expect_eq(diffad_folder_lock(dir, &lock), DIFFAD_OK);
    diffad_folder_unlock(&lock);
    cr_expect_eq(fault_open_files(), 0);
}
