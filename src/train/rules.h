/* rules.h: what training does that no description says: for `explain`. */
#ifndef DIFFAD_RULES_H
#define DIFFAD_RULES_H

#include "model/desc.h"

typedef struct train_rule {
    const char *name, *says, *source;
    bool        of_diffad, of_draem;         /* kinds of model that it is about */
} train_rule;

extern const train_rule train_rules[];       /* name NULL ends them */

#endif
