#include "conf_internal.h"

#include <stdio.h>

/* A file with more odd characters than this is not a matter of typing. */
#define ODD_CHARACTERS_MAX 20

#define QUOTED_CHARACTERS_MAX 60
#define NEAREST_SIZE_MAX      64

size_t
conf_utf8(slice_t text, uint32_t *code)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first;
    size_t size;
    uint32_t value;

    if (text.size == 0) {
        return 0;
    }
    first = (uint8_t) text.data[0];
    if (first < 0x80) {
        *code = first;
        return 1;
    }
    if (first >= 0xc2 && first <= 0xdf) {
        size = 2;
        value = first & 0x1fu;
    } else if ((first & 0xf0) == 0xe0) {
        size = 3;
        value = first & 0x0fu;
    } else if (first >= 0xf0 && first <= 0xf4) {
        size = 4;
        value = first & 0x07u;
    } else {
        return 0;
    }
    if (text.size < size) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        uint8_t next = (uint8_t) text.data[i];

        if ((next & 0xc0) != 0x80) {
            return 0;
        }
        value = value << 6 | (next & 0x3fu);
    }
    /* overlong forms, surrogates, and what is beyond Unicode */
    if (value < least[size] || value > 0x10ffff ||
        (value >= 0xd800 && value <= 0xdfff))
    {
        return 0;
    }
    *code = value;
    return size;
}

/* Characters that make a text read otherwise than it is: C1 controls, the
 * directional ones, line separators, zero-width space, a BOM in the middle. */
static bool
is_invisible(uint32_t code)
{
    return (code >= 0x80 && code <= 0x9f) || code == 0x200b || code == 0x200e ||
           code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2060 && code <= 0x2069) || code == 0xfeff;
}

bool
conf_check_text(report_t *report, const char *file, slice_t text,
                unsigned *errors)
{
    report_place_t place = {file, 1, 1};
    size_t i = 0;
    unsigned odd = 0;

    while (i < text.size) {
        uint8_t c = (uint8_t) text.data[i];
        uint32_t code;
        size_t size = 1;

        if (c >= 0x20 && c < 0x7f) {
            i++;
            place.column++;
            continue;
        }
        if (c == '\n') {
            i++;
            place.line++;
            place.column = 1;
            continue;
        }
        code = c;
        if (c == 0) {
            report_add(report, REPORT_ERROR, place,
                       "a NUL byte: this is no text file; save it as plain "
                       "text in UTF-8");
            (*errors)++;
            return false;
        }
        if (c >= 0x80) {
            size = conf_utf8(slice_from(text, i), &code);
            if (size == 0) {
                report_add(report, REPORT_ERROR, place,
                           "byte 0x%02x is no UTF-8: save the file as UTF-8",
                           c);
                (*errors)++;
                return false;
            }
            if (!is_invisible(code)) {
                i += size;
                place.column++;
                continue;
            }
        } else if (c == '\t' ||
                   (c == '\r' && i + 1 < text.size && text.data[i + 1] == '\n'))
        {
            i++;
            place.column++;
            continue;
        }
        /* a lone CR too: in a comment it would hide the line behind it */
        report_add(report, REPORT_ERROR, place,
                   "%s character U+%04X: delete it",
                   code < 0x80 ? "control" : "invisible", code);
        (*errors)++;
        if (++odd == ODD_CHARACTERS_MAX) {
            return false;
        }
        i += size;
        place.column++;
    }
    return true;
}

const char *
conf_quote(slice_t text, char buffer[CONF_QUOTE_MAX])
{
    size_t used = 0;
    size_t i = 0;

    /* a character takes at most 4 bytes, which "\xhh" needs too */
    _Static_assert(QUOTED_CHARACTERS_MAX * 4 + sizeof("...") <= CONF_QUOTE_MAX,
                   "the longest quotation fits");

    for (unsigned n = 0; i < text.size; n++) {
        uint32_t code = 0;
        size_t size = conf_utf8(slice_from(text, i), &code);

        if (n == QUOTED_CHARACTERS_MAX) {
            memcpy(buffer + used, "...", 3);
            used += 3;
            break;
        }
        if (size == 0 || code < 0x20 || code == 0x7f) {
            used += (size_t) snprintf(buffer + used, 5, "\\x%02x",
                                      (uint8_t) text.data[i]);
            i++;
            continue;
        }
        memcpy(buffer + used, text.data + i, size);
        used += size;
        i += size;
    }
    buffer[used] = '\0';
    return buffer;
}

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c | 0x20) : c;
}

/* Optimal string alignment: insertions, deletions, replacements and swaps of
 * neighbours, each one step; the case of letters is no difference. */
static unsigned
distance(slice_t a, slice_t b)
{
    unsigned rows[3][NEAREST_SIZE_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];

    for (unsigned j = 0; j <= b.size; j++) {
        last[j] = j;
    }
    for (unsigned i = 1; i <= a.size; i++) {
        unsigned *swap;

        row[0] = i;
        for (unsigned j = 1; j <= b.size; j++) {
            char x = lower(a.data[i - 1]);
            char y = lower(b.data[j - 1]);
            unsigned best = last[j - 1] + (x == y ? 0 : 1);

            if (last[j] + 1 < best) {
                best = last[j] + 1;
            }
            if (row[j - 1] + 1 < best) {
                best = row[j - 1] + 1;
            }
            if (i > 1 && j > 1 && x == lower(b.data[j - 2]) &&
                y == lower(a.data[i - 2]) && before[j - 2] + 1 < best)
            {
                best = before[j - 2] + 1;
            }
            row[j] = best;
        }
        swap = before;
        before = last;
        last = row;
        row = swap;
    }
    return last[b.size];
}

const char *
conf_nearest(slice_t word, const char *const *candidates, size_t count)
{
    const char *nearest = NULL;
    unsigned limit;

    if (word.size == 0 || word.size > NEAREST_SIZE_MAX) {
        return NULL;
    }
    /* one step in a short word is much already */
    limit = word.size <= 3 ? 1 : word.size <= 6 ? 2 : 3;

    for (size_t i = 0; i < count; i++) {
        slice_t candidate = slice_of(candidates[i]);
        unsigned steps;

        if (candidate.size > NEAREST_SIZE_MAX ||
            candidate.size > word.size + limit ||
            word.size > candidate.size + limit || candidate.size <= limit)
        {
            continue;
        }
        steps = distance(word, candidate);
        if (steps <= limit) {
            nearest = candidates[i];
            if (steps == 0) {
                break;
            }
            limit = steps - 1; /* only a nearer one from now on */
        }
    }
    return nearest;
}
