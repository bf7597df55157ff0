/* rows.c: small tables of text: CSV and TSV. */
#include "data/dataset.h"

#include "base/file.h"

#include <string.h>

enum { MAX_BYTES = 64 << 20 };

diffad_status diffad_rows_open(const char *path, char separator, diffad_rows *out)
{
    unsigned char *text = NULL;
    int64_t        bytes = 0;
    DIFFAD_TRY(diffad_file_read(path, MAX_BYTES, DIFFAD_ERR_DATA, &text, &bytes));
    const bool has_mark = bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0;
    *out = (diffad_rows){ .text = text, .at = (char *)text + (has_mark ? 3 : 0), .separator = separator };
    return DIFFAD_OK;
}

/* Unquotes the field at *at in place; *at moves behind its separator. True when a further field follows in the row. */
static bool next_field(diffad_rows *r, char **field)
{
    char *from = r->at, *to = r->at;
    *field = to;
    bool is_quoted = *from == '"';
    from += is_quoted;
    while (*from && (is_quoted || (*from != r->separator && *from != '\n'))) {
        if (is_quoted && from[0] == '"') {
            is_quoted = from[1] == '"';
            from += is_quoted ? 1 : 0;
            if (!is_quoted) {
                from++;
                continue;
            }
        }
        *to++ = *from++;
    }
    const char end = *from;
    if (end == '\n' || end == 0)
        while (to > *field && to[-1] == '\r')
            to--;
    r->at = end ? from + 1 : from;
    *to = 0;
    return end && end != '\n';
}

bool diffad_rows_next(diffad_rows *r, char **field, int most)
{
    static char nothing[] = "";
    while (*r->at) {
        int  n = 0;
        bool more = true, is_empty = true;
        for (int i = 0; i < most; i++)
            field[i] = nothing;
        r->line++;
        while (more) {
            char *text;
            more = next_field(r, &text);
            is_empty = is_empty && !*text;
            if (n < most)
                field[n++] = text;
        }
        if (!is_empty)
            return true;
    }
    return false;
}

void diffad_rows_close(diffad_rows *r)
{
    diffad_release(r->text);
    *r = (diffad_rows){ 0 };
}
