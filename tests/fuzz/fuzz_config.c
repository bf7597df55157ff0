/* fuzz_config.c: any bytes as a configuration. What is read into a struct must be written and read again as the same. */
#include "base/config.h"
#include "base/sys.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct part { int channels; diffad_ints mult; } part;
typedef struct all { int steps; int64_t seed; double rate; bool rotate; char name[64]; int kind; diffad_reals betas; part unet; } all;

static const char *const  kinds[]       = { "vae", "ldm", "seg", NULL };
static const diffad_field part_fields[] = {
    { .name = "channels", .kind = DIFFAD_FIELD_INT, .offset = offsetof(part, channels), .lo = 1, .hi = 4096 },
    { .name = "mult", .kind = DIFFAD_FIELD_INTS, .offset = offsetof(part, mult), .lo = 1, .hi = 64 },
    { .name = NULL },
};
static const diffad_field all_fields[] = {
    { .name = "steps", .kind = DIFFAD_FIELD_INT, .offset = offsetof(all, steps), .lo = 0, .hi = 1e12 },
    { .name = "seed", .kind = DIFFAD_FIELD_I64, .offset = offsetof(all, seed), .lo = 0, .hi = 1e18 },
    { .name = "rate", .kind = DIFFAD_FIELD_REAL, .offset = offsetof(all, rate), .lo = -1e300, .hi = 1e300 },
    { .name = "rotate", .kind = DIFFAD_FIELD_BOOL, .offset = offsetof(all, rotate) },
    { .name = "name", .kind = DIFFAD_FIELD_TEXT, .offset = offsetof(all, name) },
    { .name = "kind", .kind = DIFFAD_FIELD_CHOICE, .offset = offsetof(all, kind), .choices = kinds },
    { .name = "betas", .kind = DIFFAD_FIELD_REALS, .offset = offsetof(all, betas), .lo = 0, .hi = 1 },
    { .name = "unet", .kind = DIFFAD_FIELD_TABLE, .offset = offsetof(all, unet), .table = part_fields },
    { .name = NULL },
};

static void check_again(const all *s)
{
    all            back;
    diffad_config *c;
    diffad_arena   a    = { 0 };
    char          *json = diffad_config_to_json(all_fields, s);
    memset(&back, 0, sizeof back);
    if (!json || diffad_config_parse(&a, "again", json, strlen(json), &c) != DIFFAD_OK
        || diffad_config_read("again", c, all_fields, &back) != DIFFAD_OK || memcmp(s, &back, sizeof back) != 0)
        abort();
    diffad_release(json);
    diffad_arena_release(&a);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    diffad_arena   a = { 0 };
    diffad_config *c;
    all            s;
    memset(&s, 0, sizeof s);
    s.unet.channels = 1;
    if (diffad_config_parse(&a, "fuzz", (const char *)data, bytes, &c) == DIFFAD_OK
        && diffad_config_read("fuzz", c, all_fields, &s) == DIFFAD_OK)
        check_again(&s);
    diffad_arena_release(&a);

    char *text = malloc(bytes + 1);
    if (!text)
        return 0;
    if (bytes)
        memcpy(text, data, bytes);
    text[bytes] = '\0';
    memset(&s, 0, sizeof s);
    s.unet.channels = 1;
    if (diffad_config_set(text, all_fields, &s) == DIFFAD_OK)
        check_again(&s);
    free(text);
    return 0;
}
