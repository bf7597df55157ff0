/* bundle.c: the texts of several programs as one. A compiler's front end takes long for a program however small it is
 * (PoCL 3.1: .2 s, most of it for its own headers), so what a plan needs is compiled together.
 *
 * A part is the text of one program between the constants it is built with. What it declares at file level gets the
 * part's number behind its name, by a macro; all its macros end with it. So parts do not see each other. The names are
 * found by reading the text as cl/ writes it: no macro but one that begins a line declares anything at file level, and
 * that one by its first argument. A text that is not so fails to compile, and its programs are then built alone. */
#include "kernel/bundle.h"
#include "base/sys.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { NAME = 64 };

/* Words, each once. */
typedef struct words { char (*word)[NAME]; int64_t count, cap; bool failed; } words;

static bool holds(const words *w, const char *word)
{
    for (int64_t i = 0; i < w->count; i++)
        if (strcmp(w->word[i], word) == 0)
            return true;
    return false;
}

static void add_word(words *w, const char *word)
{
    if (w->failed || !*word || holds(w, word))
        return;
    if (!diffad_grow(&w->word, w->count, &w->cap, sizeof *w->word))
        w->failed = true;
    else
        snprintf(w->word[w->count++], NAME, "%s", word);
}

/* The word at `s`, or "" where there is none or it is too long; *length is how far it reaches. */
static void word_at(const char *s, char word[NAME], size_t *length)
{
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_')
        n++;
    snprintf(word, NAME, "%.*s", n < NAME && !isdigit((unsigned char)*s) ? (int)n : 0, s);
    *length = n;
}

static const char *line_end(const char *s)
{
    while (*s && *s != '\n')
        s += s[0] == '\\' && s[1] ? 2 : 1;
    return s;
}

/* Behind a comment or directive that begins at `s`, where a macro's name is taken; `s` where there is none. */
static const char *skip(const char *s, bool begins_line, words *macros)
{
    char   word[NAME];
    size_t n;
    if (s[0] == '/' && s[1] == '*') {
        const char *end = strstr(s + 2, "*/");
        return end ? end + 2 : s + strlen(s);
    }
    if (s[0] == '/' && s[1] == '/')
        return line_end(s);
    if (*s != '#' || !begins_line)
        return s;
    const char *at = s + 1 + strspn(s + 1, " \t");
    if (strncmp(at, "define", 6) == 0) {
        word_at(at + 6 + strspn(at + 6, " \t"), word, &n);
        add_word(macros, word);
    }
    return line_end(s);
}

/* The names that a text declares at file level, and those of its macros. */
static void find_names(const char *s, words *names, words *macros)
{
    char   word[NAME], last[NAME] = "";
    int    braces = 0, brackets = 0;
    bool   begins_line = true, in_enum = false;
    bool   declares = false;      /* behind a macro that begins a line */
    while (*s) {
        const char *behind = skip(s, begins_line, macros);
        size_t      n = 0;
        if (behind > s) {
            s = behind;
            continue;
        }
        word_at(s, word, &n);
        const bool is_outer = (braces == 0 && brackets == 0) || (in_enum && braces == 1);
        if (n > 0) {
            if (declares)
                add_word(names, word);
            declares = false;
            in_enum  = braces == 0 ? in_enum || strcmp(word, "enum") == 0 : in_enum;
            snprintf(last, sizeof last, "%s", word);
            declares = braces == 0 && begins_line && s[n] == '(' && holds(macros, word);
            begins_line = false;
            s += n;
            continue;
        }
        if (*s != ' ' && *s != '\n') {
            if (is_outer && strchr("([=;,{}", *s) && strcmp(last, "__attribute__") != 0 && strcmp(last, "enum") != 0 &&
                !holds(macros, last))
                add_word(names, last);
            last[0] = '\0';
        }
        braces += (*s == '{') - (*s == '}');
        brackets += (*s == '(' || *s == '[') - (*s == ')' || *s == ']');
        in_enum = in_enum && !(braces == 0 && (*s == '}' || *s == ';'));
        begins_line = *s == '\n' || (begins_line && *s == ' ');
        s++;
    }
}

/* "-DNAME=VALUE ..." as lines of defines; the names become macros to be ended. */
static void add_constants(const char *defines, words *macros, diffad_text *out)
{
    char   word[NAME];
    size_t n;
    for (const char *s = strstr(defines, "-D"); s; s = strstr(s, "-D")) {
        s += 2;
        word_at(s, word, &n);
        add_word(macros, word);
        const char *value = s + n + (s[n] == '=');
        diffad_text_addf(out, "#define %s %.*s\n", word, (int)strcspn(value, " "), value);
    }
}

diffad_status diffad_bundle_add(const char *file, const char *defines, int number, diffad_text *out)
{
    diffad_text source = { 0 };
    words       names = { 0 }, macros = { 0 };
    diffad_status st = diffad_source_get(file, &source);
    if (st == DIFFAD_OK) {
        add_constants(defines, &macros, out);
        find_names(source.s, &names, &macros);
        for (int64_t i = 0; i < names.count; i++)
            diffad_text_addf(out, "#define %s %s_%d\n", names.word[i], names.word[i], number);
        diffad_text_add(out, source.s);
        for (int64_t i = 0; i < names.count; i++)
            diffad_text_addf(out, "#undef %s\n", names.word[i]);
        for (int64_t i = 0; i < macros.count; i++)
            diffad_text_addf(out, "#undef %s\n", macros.word[i]);
        if (strstr(source.s, "FP_CONTRACT"))      /* counts to the end of the text, so: as it is by default */
            diffad_text_add(out, "#pragma OPENCL FP_CONTRACT ON\n");
        if (names.failed || macros.failed || out->failed)
            st = diffad_fail(DIFFAD_ERR_MEMORY, "kernel %s: no host memory", file);
    }
    diffad_release(names.word);
    diffad_release(macros.word);
    diffad_text_release(&source);
    return st;
}
