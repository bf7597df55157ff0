/* ops.c: the table of ops. */
#include "op/ops.h"

#include <string.h>

#define ENTRY(name) &diffad_op_##name,
static const diffad_op *const table[] = { DIFFAD_OP_LIST(ENTRY) };
#undef ENTRY

const diffad_op *const *diffad_op_table(int *count)
{
    *count = (int)(sizeof table / sizeof table[0]);
    return table;
}

const diffad_op *diffad_op_find(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}
