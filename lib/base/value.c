#include "value.h"

#define DIGITS_MAX 9

/* The digits at the start of *text, which is moved on. */
static bool
take_digits(slice_t *text, uint64_t *value)
{
    size_t digits = 0;

    *value = 0;
    while (digits < text->size && text->data[digits] >= '0' &&
           text->data[digits] <= '9')
    {
        if (digits == DIGITS_MAX) {
            return false;
        }
        *value = *value * 10 + (uint64_t) (text->data[digits] - '0');
        digits++;
    }
    *text = slice_from(*text, digits);
    return digits > 0;
}

bool
value_duration(slice_t text, uint64_t *seconds)
{
    uint64_t value;

    if (!take_digits(&text, &value) || text.size != 1) {
        return false;
    }
    switch (text.data[0]) {
    case 's':
        *seconds = value;
        return true;
    case 'm':
        *seconds = value * 60;
        return true;
    case 'h':
        *seconds = value * 3600;
        return true;
    case 'd':
        *seconds = value * 86400;
        return true;
    default:
        return false;
    }
}

bool
value_size(slice_t text, uint64_t *bytes)
{
    uint64_t value;

    if (!take_digits(&text, &value) || text.size > 1) {
        return false;
    }
    switch (text.size == 0 ? ' ' : text.data[0]) {
    case ' ':
        *bytes = value;
        return text.size == 0;
    case 'k':
        *bytes = value << 10;
        return true;
    case 'm':
        *bytes = value << 20;
        return true;
    case 'g':
        *bytes = value << 30;
        return true;
    default:
        return false;
    }
}
