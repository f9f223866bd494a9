/* Between the policy_compare*.c files: one facility in both policies. */

#ifndef SEKISHO_TOOLS_POLICY_COMPARE_H
#define SEKISHO_TOOLS_POLICY_COMPARE_H

#include "policy_tools.h"

typedef struct {
    comparison_t *all;
    slice_t id;
    uint32_t before_index, after_index;
    policy_facility_t before, after;
} versions_t;

/* A sentence begins, and is told. */
static inline FILE *
versions_begin(versions_t *v)
{
    return text_begin(&v->all->text);
}

static inline void
versions_tell(versions_t *v, effect_t effect, const char *what)
{
    comparison_tell(v->all, effect, what, v->id);
}

/* An id in quotation marks. */
void write_id(FILE *out, slice_t id);

/* What differs in users, certificates, ways in and countries; in hours,
 * holidays and validity.  0 or -ENOMEM. */
int compare_lists(versions_t *v);
int compare_times(versions_t *v);

#endif
