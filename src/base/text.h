/* text.h: numbers and strings whatever the locale: a decimal point is a point. */
#ifndef DIFFAD_TEXT_H
#define DIFFAD_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The whole of `s` must be the number; false otherwise. */
bool diffad_parse_i64(const char *s, int64_t *out);
bool diffad_parse_f64(const char *s, double *out);                  /* decimal point only; inf and nan are refused */
bool diffad_parse_bytes(const char *s, int64_t *out);               /* "512M", "4GiB", "1000" */

/* vsnprintf with a decimal point. */
int diffad_vformat(char *out, size_t bytes, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

bool diffad_is_utf8(const char *s);

/* Growing text; `failed` is sticky when memory is out. Numbers are printed with a decimal point. */
typedef struct diffad_text { char *s; size_t length, capacity; bool failed; } diffad_text;
void diffad_text_add(diffad_text *t, const char *s);
void diffad_text_addf(diffad_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void diffad_text_add_f64(diffad_text *t, double v, int digits);     /* shortest form of at most `digits` digits; null if not finite */
void diffad_text_json(diffad_text *t, const char *s);               /* quoted and escaped; bytes that are not UTF-8 become U+FFFD */
void diffad_text_html(diffad_text *t, const char *s);               /* escaped */
void diffad_text_release(diffad_text *t);

/* Smallest edit distance wins; NULL if nothing is near. For "did you mean". */
const char *diffad_nearest(const char *name, const char *const *candidates, int count);

#endif
