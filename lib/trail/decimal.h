/* Decimal numbers as the C2SP formats write them: no sign, no leading zero. */

#ifndef SEKISHO_TRAIL_DECIMAL_H
#define SEKISHO_TRAIL_DECIMAL_H

#include <stdint.h>

#include "../base/slice.h"

static inline bool
decimal_parse(slice_t text, uint64_t *number)
{
    size_t i;

    *number = 0;
    if (text.size == 0 || (text.size > 1 && text.data[0] == '0')) {
        return false;
    }
    for (i = 0; i < text.size; i++) {
        unsigned digit = (unsigned char) text.data[i] - (unsigned) '0';

        if (digit > 9 || *number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *number = *number * 10 + digit;
    }
    return true;
}

#endif
