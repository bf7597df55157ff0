/* test_source.c: the text of kernel files (src/kernel/source.c). */
#include "base/sys.h"
#include "kernel/embedded.h"
#include "kernel/program.h"
#include "support/fault.h"
#include "support/folder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

static char *source_of(const char *file)
{
    diffad_text t = { 0 };
    cr_assert_eq(diffad_source_get(file, &t), DIFFAD_OK, "%s: %s", file, diffad_error_detail());
    return t.s;
}

Test(source, of_a_folder_equals_the_embedded_one)
{
    int n = 0;
    for (const diffad_embedded *e = diffad_embedded_kernels; e->name; e++) {
        char name[64];
        if (strchr(e->name, '/') || strlen(e->name) >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)strlen(e->name) - 3, e->name);
        unsetenv("DIFFAD_CL_DIR");
        char *embedded = source_of(name);
        setenv("DIFFAD_CL_DIR", DIFFAD_TEST_DIR "/../cl", 1);
        char *read = source_of(name);
        cr_expect_str_eq(embedded, read, "%s", name);
        diffad_release(embedded);
        diffad_release(read);
        n++;
    }
    cr_expect_gt(n, 10);
}

Test(source, includes_are_taken_in_once_with_their_lines)
{
    const char *dir = folder_new();
    put(folder_path(dir, "a.cl"), "#include \"b.cl\"\n#include \"c.cl\"\nint a;");
    put(folder_path(dir, "b.cl"), "#include \"c.cl\"\nint b;\n");
    put(folder_path(dir, "c.cl"), "int c;\n");
    setenv("DIFFAD_CL_DIR", dir, 1);

    char *s = source_of("a");

    cr_expect_str_eq(s,
                     "#line 1 \"a.cl\"\n#line 1 \"b.cl\"\n#line 1 \"c.cl\"\nint c;\n#line 2 \"b.cl\"\nint b;\n#line 2 "
                     "\"a.cl\"\n"
                     "#line 3 \"a.cl\"\nint a;\n",
                     "%s", s);
    diffad_release(s);
}

static void refuse(const char *file, diffad_status want, const char *reason)
{
    diffad_text t = { 0 };
    cr_expect_eq(diffad_source_get(file, &t), want, "%s: %s", file, diffad_error_detail());
    cr_expect(strstr(diffad_error_detail(), reason), "%s", diffad_error_detail());
    diffad_text_release(&t);
}

Test(source, what_cannot_be_read_is_refused)
{
    const char *dir = folder_new();
    char        line[1024];
    put(folder_path(dir, "absent.cl"), "#include \"nowhere.cl\"\n");
    for (int i = 0; i < 12; i++) {
        snprintf(line, sizeof line, "#include \"deep%d.cl\"\n", i + 1);
        char name[32];
        snprintf(name, sizeof name, "deep%d.cl", i);
        put(folder_path(dir, name), line);
    }
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    put(folder_path(dir, "long.cl"), line);
    setenv("DIFFAD_CL_DIR", dir, 1);
    refuse("none", DIFFAD_ERR_FILE, "none.cl");
    refuse("absent", DIFFAD_ERR_FILE, "nowhere.cl");
    refuse("deep0", DIFFAD_ERR_USAGE, "too deep");
    refuse("long", DIFFAD_ERR_USAGE, "line too long");
    setenv("DIFFAD_CL_DIR", "", 1);
    refuse("none", DIFFAD_ERR_INTERNAL, "none.cl is not in the library");
}

Test(source, failing_memory_and_files_leave_nothing)
{
    const char *dir = folder_new();
    put(folder_path(dir, "a.cl"), "#include \"b.cl\"\nint a;\n");
    put(folder_path(dir, "b.cl"), "int b;\n");
    setenv("DIFFAD_CL_DIR", dir, 1);
    fault_install();
    for (int kind = 0; kind < FAULT_KINDS; kind++)
        for (int n = 1; fault_arm(kind, n, false); n++) {
            diffad_text t = { 0 };
            const diffad_status st = diffad_source_get("a", &t);
            fault_disarm();
            cr_expect(st == DIFFAD_OK || *diffad_error_detail());
            diffad_text_release(&t);
            cr_expect_eq(fault_live_blocks(), 0, "%s %d", fault_name(kind), n);
            cr_expect_eq(fault_open_files(), 0, "%s %d", fault_name(kind), n);
        }
}
