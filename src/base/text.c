/* text.c: numbers and strings whatever the locale. */
#include "base/text.h"
#include "base/size.h"
#include "base/sys.h"

#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NUMBER = 120, MAX_NAME = 64 };

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* ---- reading numbers ---- */

bool diffad_parse_i64(const char *s, int64_t *out)
{
    const bool negative = *s == '-';
    int64_t    v        = 0;
    s += *s == '-' || *s == '+';
    if (!is_digit(*s))
        return false;
    for (; is_digit(*s); s++)
        if (!diffad_mul_i64(v, 10, &v) || !diffad_add_i64(v, negative ? '0' - *s : *s - '0', &v))
            return false;
    if (*s)
        return false;
    *out = v;
    return true;
}

/* strtod rounds correctly but knows the locale's decimal point only. So it gets the digits without any point, and an
 * exponent that makes up for it: 1.25e3 is 125e1 in every locale. */
bool diffad_parse_f64(const char *s, double *out)
{
    char    text[MAX_NUMBER + 32];
    size_t  n        = 0;
    int     fraction = 0;
    int64_t exponent = 0;
    bool    is_fraction = false, has_digits = false;
    if (*s == '-' || *s == '+')
        text[n++] = *s++;
    for (; is_digit(*s) || (*s == '.' && !is_fraction); s++) {
        if (*s == '.') {
            is_fraction = true;
            continue;
        }
        if (n == MAX_NUMBER)
            return false;
        text[n++] = *s;
        fraction += is_fraction;
        has_digits = true;
    }
    if (!has_digits)
        return false;
    if (*s == 'e' || *s == 'E') {
        if (!diffad_parse_i64(s + 1, &exponent) || exponent < -9999 || exponent > 9999)
            return false;
    } else if (*s) {
        return false;
    }
    snprintf(text + n, sizeof text - n, "e%d", (int)exponent - fraction);
    const double v = strtod(text, NULL);
    if (!isfinite(v))
        return false;
    *out = v;
    return true;
}

/* K, M, G, T with an optional "B" or "iB", all of them powers of 1024; -1 for another word. */
static int unit_shift(const char *s)
{
    static const char letters[] = "KMGT";
    if (!*s || strcmp(s, "B") == 0)
        return 0;
    const char *at = strchr(letters, toupper((unsigned char)*s));
    if (!at || (s[1] && strcmp(s + 1, "B") != 0 && strcmp(s + 1, "iB") != 0))
        return -1;
    return 10 * (int)(at - letters + 1);
}

bool diffad_parse_bytes(const char *s, int64_t *out)
{
    char         number[MAX_NUMBER];
    double       v;
    const size_t n     = strspn(s, "0123456789.");
    const int    shift = unit_shift(s + n);
    if (n >= sizeof number || shift < 0)
        return false;
    memcpy(number, s, n);
    number[n] = '\0';
    int64_t whole;
    if (diffad_parse_i64(number, &whole))
        return diffad_mul_i64(whole, (int64_t)1 << shift, out);
    if (!diffad_parse_f64(number, &v) || (v = ldexp(v, shift)) >= 0x1p62)
        return false;
    *out = (int64_t)v;
    return true;
}

/* ---- growing text ---- */

/* Room for n more characters and the 0 behind them. */
static bool make_room(diffad_text *t, size_t n)
{
    if (t->failed || n > SIZE_MAX / 4 - t->length)
        t->failed = true;
    if (t->failed || t->length + n < t->capacity)
        return !t->failed;
    const size_t capacity = (t->length + n + 1) * 2 < 64 ? 64 : (t->length + n + 1) * 2;
    char        *s        = diffad_resize_array(t->s, capacity, 1);
    if (!s) {
        t->failed = true;
        return false;
    }
    t->s        = s;
    t->capacity = capacity;
    return true;
}

static void add_bytes(diffad_text *t, const char *s, size_t n)
{
    if (!make_room(t, n))
        return;
    memcpy(t->s + t->length, s, n);
    t->length += n;
    t->s[t->length] = '\0';
}

void diffad_text_add(diffad_text *t, const char *s) { add_bytes(t, s, strlen(s)); }

/* The "C" locale for this thread and this call, where the program has chosen one with another decimal point. */
int diffad_vformat(char *out, size_t bytes, const char *format, va_list args)
{
    locale_t c = (locale_t)0, before = (locale_t)0;
    if (strcmp(localeconv()->decimal_point, ".") != 0 && (c = newlocale(LC_ALL_MASK, "C", (locale_t)0)) != (locale_t)0)
        before = uselocale(c);
    const int n = vsnprintf(out, bytes, format, args);
    if (c != (locale_t)0) {
        uselocale(before);
        freelocale(c);
    }
    return n;
}

void diffad_text_addf(diffad_text *t, const char *format, ...)
{
    va_list args, again;
    if (!make_room(t, 1))
        return;
    va_start(args, format);
    va_copy(again, args);
    const int n = diffad_vformat(t->s + t->length, t->capacity - t->length, format, args);
    if (n < 0)
        t->failed = true;
    else if ((size_t)n >= t->capacity - t->length && make_room(t, (size_t)n))
        diffad_vformat(t->s + t->length, t->capacity - t->length, format, again);
    va_end(again);
    va_end(args);
    if (!t->failed)
        t->length += (size_t)n;
    else if (t->s)
        t->s[t->length] = '\0';
}

void diffad_text_add_f64(diffad_text *t, double v, int digits)
{
    char   text[40];
    double back;
    if (!isfinite(v)) {
        diffad_text_add(t, "null");
        return;
    }
    /* %g drops zeros at the end: up to 15 digits that alone is the shortest form. */
    for (int n = digits < 15 ? digits : 15; n <= digits; n++) {
        diffad_text one = { .s = text, .capacity = sizeof text };
        diffad_text_addf(&one, "%.*g", n, v);
        if (diffad_parse_f64(text, &back) && back == v)
            break;
    }
    diffad_text_add(t, text);
}

/* Length of the character at s and its number; 0 where the bytes are not UTF-8 (too long, surrogate, cut off). */
static size_t decode(const char *s, uint32_t *code)
{
    const unsigned char *u       = (const unsigned char *)s;
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const size_t n = u[0] < 0x80 ? 1 : u[0] >> 5 == 6 ? 2 : u[0] >> 4 == 14 ? 3 : u[0] >> 3 == 30 ? 4 : 0;
    if (n == 0)
        return 0;
    *code = n == 1 ? u[0] : u[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (u[i] >> 6 != 2)
            return 0;
        *code = *code << 6 | (u[i] & 0x3Fu);
    }
    return *code < least[n] || *code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF) ? 0 : n;
}

bool diffad_is_utf8(const char *s)
{
    uint32_t code;
    for (size_t n; *s; s += n)
        if ((n = decode(s, &code)) == 0)
            return false;
    return true;
}

/* Characters that a YAML reader, too, takes as they are. */
static bool is_plain(uint32_t c)
{
    return (c >= 0x20 && c < 0x7F) || (c >= 0xA0 && c != 0x2028 && c != 0x2029 && c != 0xFEFF && c != 0xFFFE && c != 0xFFFF);
}

void diffad_text_json(diffad_text *t, const char *s)
{
    uint32_t code = 0;
    diffad_text_add(t, "\"");
    while (*s) {
        const size_t n = decode(s, &code);
        if (n == 0)
            diffad_text_add(t, "\xEF\xBF\xBD");
        else if (code == '"' || code == '\\')
            diffad_text_addf(t, "\\%c", (char)code);
        else if (code == '\n')
            diffad_text_add(t, "\\n");
        else if (is_plain(code))
            add_bytes(t, s, n);
        else
            diffad_text_addf(t, "\\u%04x", (unsigned)code);
        s += n ? n : 1;
    }
    diffad_text_add(t, "\"");
}

void diffad_text_html(diffad_text *t, const char *s)
{
    for (size_t n; *s; s++) {
        n = strcspn(s, "&<>\"'");
        add_bytes(t, s, n);
        s += n;
        if (!*s)
            break;
        diffad_text_add(t, *s == '&' ? "&amp;" : *s == '<' ? "&lt;" : *s == '>' ? "&gt;" : *s == '"' ? "&quot;" : "&#39;");
    }
}

void diffad_text_release(diffad_text *t)
{
    diffad_release(t->s);
    *t = (diffad_text){ 0 };
}

/* ---- did you mean ---- */

/* Insertions, deletions, replacements and swaps of neighbours, letter case aside; -1 where a name is too long. */
static int edit_distance(const char *a, const char *b)
{
    int          row[3][MAX_NAME + 1];
    const size_t na = strlen(a), nb = strlen(b);
    if (na > MAX_NAME || nb > MAX_NAME)
        return -1;
    for (size_t j = 0; j <= nb; j++)
        row[0][j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        int       *now = row[i % 3];
        const int *up = row[(i - 1) % 3], *up2 = row[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            const int same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            int       best = up[j - 1] + !same;
            best   = up[j] + 1 < best ? up[j] + 1 : best;
            best   = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            now[j] = best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < best)
                now[j] = up2[j - 2] + 1;
        }
    }
    return row[na % 3][nb];
}

const char *diffad_nearest(const char *name, const char *const *candidates, int count)
{
    const char *nearest = NULL;
    const int   limit   = 1 + (int)strlen(name) / 3;
    int         least   = limit + 1;
    for (int i = 0; i < count; i++) {
        const int d = edit_distance(name, candidates[i]);
        if (d >= 0 && d < least) {
            least   = d;
            nearest = candidates[i];
        }
    }
    return nearest;
}
