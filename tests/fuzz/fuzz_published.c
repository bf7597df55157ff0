/* fuzz_published.c: any bytes as a configuration file of the paper's repository. Seeds: tests/model. What is taken must be a
 * description that can be written and read again. */
#include "base/sys.h"
#include "model/published.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    diffad_arena      a = { 0 };
    diffad_config    *c;
    diffad_desc       d, back;
    diffad_trail      t = { .sources = NULL };
    published_context context = { .origin = "" };
    if (diffad_desc_default(&d) != DIFFAD_OK || diffad_desc_default(&back) != DIFFAD_OK)
        abort();
    if (diffad_config_parse(&a, "fuzz", (const char *)data, bytes, &c) == DIFFAD_OK && diffad_published_is(c)
        && diffad_published_lay(&context, "fuzz", c, &d, &t) == DIFFAD_OK) {
        diffad_desc_count_steps(&d, 209);
        char *json = diffad_config_to_json(diffad_desc_fields, &d);
        if (!json || diffad_desc_parse("again", json, &back) != DIFFAD_OK)
            abort();
        diffad_release(json);
        (void)diffad_desc_check(&d);
    }
    diffad_trail_release(&t);
    diffad_arena_release(&a);
    return 0;
}
