/* test_bundle.c: several programs as one text (src/kernel/bundle.c). */
#include "base/sys.h"
#include "kernel/bundle.h"
#include "support/folder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char text[] = "#define TWICE(x) \\\n    (2 * (x))\n"
                           "#define MAKE(name, type) static type name(type x) { return x; }\n"
                           "/* not(this) = nor; this */\n"
                           "MAKE(made, float)\n"
                           "typedef float16 wide;   // typedef float hidden;\n"
                           "typedef __attribute__((aligned(4))) wide loose;\n"
                           "typedef struct pair { float a, b; } pair;\n"
                           "enum { ONE = 1, TWO };\n"
                           "__constant float G[2][2] = { { 1.0f, 0.0f }, { 0.0f, 1.0f } };\n"
                           "#ifndef P\n#define P 6\n#endif\n"
                           "static float helper(float value) { float local[P]; local[0] = TWICE(value); return local[0]; }\n"
                           "__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))\n"
                           "void work(__global float *y)\n{\n    y[0] = helper(G[0][0]);\n}\n";

static char *bundle_of(const char *source, const char *defines, int number)
{
    const char *dir = folder_new();
    FILE       *f = fopen(folder_path(dir, "part.cl"), "w");
    diffad_text out = { 0 };
    fputs(source, f);
    fclose(f);
    setenv("DIFFAD_CL_DIR", dir, 1);
    cr_assert_eq(diffad_bundle_add("part", defines, number, &out), DIFFAD_OK, "%s", diffad_error_detail());
    return out.s;
}

static bool has_line(const char *s, const char *format, const char *word)
{
    char line[128];
    snprintf(line, sizeof line, format, word);
    return strstr(s, line) != NULL;
}

Test(bundle, what_a_part_declares_bears_its_number)
{
    static const char *const declared[] = { "made", "wide", "loose", "pair", "ONE", "TWO", "G", "helper", "work" };
    static const char *const others[] = { "not", "nor", "hidden", "a", "b", "value", "local", "x", "y", "float", "float16", "TWICE", "MAKE",
                                          "P", "WG", "type", "name", "__attribute__", "__kernel", "static", "enum" };
    char *s = bundle_of(text, "-DWG=64", 7);

    for (size_t i = 0; i < sizeof declared / sizeof declared[0]; i++) {
        cr_expect(has_line(s, "\n#define %s ", declared[i]) && has_line(s, " %s_7\n", declared[i]), "%s has no number", declared[i]);
        cr_expect(has_line(s, "\n#undef %s\n", declared[i]), "%s lasts", declared[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_expect(!has_line(s, " %s_7\n", others[i]), "%s has a number", others[i]);
    diffad_release(s);
}

Test(bundle, constants_and_macros_end_with_their_part)
{
    static const char *const macros[] = { "WG", "ACT", "P", "TWICE", "MAKE" };
    char *s = bundle_of(text, "-DACT=-1 -DWG=64", 0);

    cr_expect_eq(strncmp(s, "#define ACT -1\n#define WG 64\n", 29), 0, "%s", s);
    for (size_t i = 0; i < sizeof macros / sizeof macros[0]; i++)
        cr_expect(has_line(s, "\n#undef %s\n", macros[i]), "%s lasts", macros[i]);
    cr_expect_null(strstr(s, "FP_CONTRACT"));
    diffad_release(s);
    s = bundle_of("#pragma OPENCL FP_CONTRACT OFF\nint a;\n", "", 0);
    cr_expect(strstr(s, "OFF") < strstr(s, "#pragma OPENCL FP_CONTRACT ON\n"), "a part's rounding counts for the next");
    diffad_release(s);
}
