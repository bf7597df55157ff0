/* cli_json.c: one JSON object a line. */
#include "cli.h"

static void begin(cli_json *j, const char *key)
{
    if (j->needs_comma)
        diffad_text_add(&j->t, ", ");
    if (key) {
        diffad_text_json(&j->t, key);
        diffad_text_add(&j->t, ": ");
    }
    j->needs_comma = true;
}

void cli_json_open(cli_json *j, const char *key, char bracket)
{
    begin(j, key);
    diffad_text_addf(&j->t, "%c", bracket);
    j->needs_comma = false;
}

void cli_json_close(cli_json *j, char bracket)
{
    diffad_text_addf(&j->t, "%c", bracket);
    j->needs_comma = true;
}

void cli_json_text(cli_json *j, const char *key, const char *value)
{
    if (!value) {
        cli_json_null(j, key);
        return;
    }
    begin(j, key);
    diffad_text_json(&j->t, value);
}

void cli_json_int(cli_json *j, const char *key, int64_t value)
{
    begin(j, key);
    diffad_text_addf(&j->t, "%lld", (long long)value);
}

void cli_json_real(cli_json *j, const char *key, double value, int digits)
{
    begin(j, key);
    diffad_text_add_f64(&j->t, value, digits);
}

void cli_json_bool(cli_json *j, const char *key, bool value)
{
    begin(j, key);
    diffad_text_add(&j->t, value ? "true" : "false");
}

void cli_json_null(cli_json *j, const char *key)
{
    begin(j, key);
    diffad_text_add(&j->t, "null");
}

void cli_json_key(cli_json *j, const char *key) { begin(j, key); }

void cli_json_print(cli_json *j)
{
    diffad_text_add(&j->t, "\n");
    cli_out_text(&j->t);
    cli_flush();
    *j = (cli_json){ .needs_comma = false };
}
