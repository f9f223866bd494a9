/* Between options.c and options_values.c alone. */

#ifndef SEKISHO_PAM_OPTIONS_INTERNAL_H
#define SEKISHO_PAM_OPTIONS_INTERNAL_H

#include "options.h"

typedef struct {
    const char *name;
    const char *alone; /* what the name without a value means, or NULL */
    uint32_t values_max;
    /* NULL, or what to write instead */
    const char *(*set)(options_t *options, slice_t value);
} option_kind_t;

extern const option_kind_t option_kinds[];
extern const size_t option_kinds_count;
#define OPTION_KINDS_MAX 64 /* a bit for each */

/* False for what does not fit, or has control characters. */
bool option_text(char *to, size_t capacity, slice_t value);
/* A path of root's: absolute, no part of it "..". */
bool option_is_path(slice_t value);

#endif
