/* verify_meta.c: the metadata of a golden file: patterns, attributes, the description of a model. */
#include "api/verify_internal.h"
#include "base/text.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

const char *verify_text(const verify_run *r, const char *key)
{
    const char *text = diffad_file_metadata(r->file, key);
    return text ? text : "";
}

diffad_status verify_json(verify_run *r, const char *key, const diffad_config **out)
{
    const char    *text = diffad_file_metadata(r->file, key);
    diffad_config *c    = NULL;
    if (text) {
        const diffad_status st = diffad_config_parse(&r->arena, r->name, text, strlen(text), &c);
        if (st != DIFFAD_OK)
            return diffad_fail_context(st == DIFFAD_ERR_USAGE ? DIFFAD_ERR_CHECKPOINT : st, "metadata `%s`", key);
    }
    *out = c;
    return DIFFAD_OK;
}

diffad_status verify_open(verify_run *r, const char *path)
{
    DIFFAD_TRY(diffad_file_open(path, &r->file));
    r->seen = diffad_arena_alloc(&r->arena, (size_t)diffad_file_count(r->file) + 1);
    if (!r->seen)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", path);
    const struct { const char *key; const diffad_config **at; } rows[] = {
        { "attr", &r->attr }, { "defaults", &r->defaults }, { "tol", &r->tol }, { "relative_l2", &r->relative },
        { "exact", &r->exact }, { "exact_except", &r->exact_except }, { "inputs", &r->inputs },
        { "outputs", &r->outputs }, { "unused", &r->unused },
        { "zero_gradient", &r->zero },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        DIFFAD_TRY(verify_json(r, rows[i].key, rows[i].at));
    if (strstr(verify_text(r, "compare"), "at most 1 % of the elements"))
        r->share = 0.01;
    return DIFFAD_OK;
}

void verify_close(verify_run *r)
{
    for (int i = 0; i < r->n_bags; i++)
        diffad_params_destroy(r->bag[i].params);
    diffad_file_close(r->file);
    diffad_arena_release(&r->arena);
}

bool verify_match(const char *pattern, const char *name)
{
    for (; *pattern != '*'; pattern++, name++)
        if (*pattern != *name)
            return false;
        else if (!*pattern)
            return true;
    do
        if (verify_match(pattern + 1, name))
            return true;
    while (*name++);
    return false;
}

bool verify_listed(const diffad_config *patterns, const char *name)
{
    for (const diffad_config *c = patterns ? patterns->first : NULL; c; c = c->next)
        if (c->text && verify_match(c->text, name))
            return true;
    return false;
}

static size_t digits(const char *s)
{
    size_t n = 0;
    while (isdigit((unsigned char)s[n]))
        n++;
    return n;
}

/* Length of the number at s: digits, a fraction, an exponent; 0: none. */
static size_t number_length(const char *s)
{
    size_t n = digits(s);
    if (!n)
        return 0;
    if (s[n] == '.' && digits(s + n + 1))
        n += 1 + digits(s + n + 1);
    if (s[n] == 'e' || s[n] == 'E') {
        const size_t sign = s[n + 1] == '-' || s[n + 1] == '+';
        const size_t more = digits(s + n + 1 + sign);
        n += more ? 1 + sign + more : 0;
    }
    return n;
}

int verify_numbers(const char *text, double *out, int max)
{
    int count = 0;
    for (const char *s = text; *s && count < max;) {
        const bool   inside = s > text && (isalnum((unsigned char)s[-1]) || s[-1] == '_');
        const size_t n = number_length(s);
        char         copy[40];
        if (!n || n >= sizeof copy) {
            s += n ? n : 1;
            continue;
        }
        memcpy(copy, s, n);
        copy[n] = '\0';
        count += !inside && diffad_parse_f64(copy, out + count);
        s += n;
    }
    return count;
}

double verify_number_after(const char *text, const char *word, double fallback)
{
    const char *at = strstr(text, word);
    double      v;
    return at && verify_numbers(at + strlen(word), &v, 1) == 1 ? v : fallback;
}

bool verify_attr(const verify_run *r, const char *key, double *out)
{
    const diffad_config *c = r->attr ? diffad_config_get(r->attr, key) : NULL;
    if (!c)
        c = r->defaults ? diffad_config_get(r->defaults, key) : NULL;
    return c && c->kind == DIFFAD_CONFIG_SCALAR && !c->quoted && diffad_parse_f64(c->text, out);
}

diffad_status verify_desc(verify_run *r, diffad_desc *d)
{
    const char *text = diffad_file_metadata(r->file, "model");
    if (!text)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "no `model` in the metadata");
    DIFFAD_TRY(diffad_desc_default(d));
    const diffad_status st = diffad_desc_parse("model", text, d);
    d->autoencoder.dropout = 0;
    return st == DIFFAD_ERR_USAGE ? DIFFAD_ERR_UNSUPPORTED : st;
}

diffad_status verify_schedule(verify_run *r, diffad_schedule *out)
{
    diffad_desc d;
    double      v[3];
    DIFFAD_TRY(diffad_desc_default(&d));
    if (diffad_file_metadata(r->file, "model"))
        DIFFAD_TRY(verify_desc(r, &d));
    else if (verify_numbers(verify_text(r, "schedule"), v, 3) == 3) {
        d.diffusion.timesteps    = (int)v[0];
        d.diffusion.linear_start = v[1];
        d.diffusion.linear_end   = v[2];
    } else {
        if (verify_numbers(verify_text(r, "T"), v, 1) == 1)
            d.diffusion.timesteps = (int)v[0];
        if (verify_numbers(verify_text(r, "beta"), v, 2) == 2) {
            d.diffusion.linear_start = v[0];
            d.diffusion.linear_end   = v[1];
        }
    }
    if (d.diffusion.timesteps < 2 || d.diffusion.timesteps > 100000)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "a schedule of %d steps", d.diffusion.timesteps);
    return diffad_schedule_create(d.diffusion.timesteps, d.diffusion.linear_start, d.diffusion.linear_end, out);
}
