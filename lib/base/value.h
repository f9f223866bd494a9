/* Numbers with units, as they stand in configurations. */

#ifndef SEKISHO_BASE_VALUE_H
#define SEKISHO_BASE_VALUE_H

#include <stdint.h>

#include "slice.h"

/* "90m" -> 5400 seconds; units s, m, h, d, at most 9 digits.  False for
 * anything else; 0 is a value. */
bool value_duration(slice_t text, uint64_t *seconds);

/* "64m" -> bytes; units k, m, g (1024), or none; at most 9 digits. */
bool value_size(slice_t text, uint64_t *bytes);

#endif
