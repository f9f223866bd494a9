/* Whether a patient has the user's own name. */

#include "findings_internal.h"

#define NAME_MAX_SIZE 128

/* Letters of ASCII in lower case and bytes of other alphabets; nothing else of
 * a name matters.  Returns the size. */
static size_t
letters(slice_t text, char out[NAME_MAX_SIZE])
{
    size_t size = 0;

    for (size_t i = 0; i < text.size && size < NAME_MAX_SIZE; i++) {
        unsigned char c = (unsigned char) text.data[i];

        if (c >= 'A' && c <= 'Z') {
            out[size++] = (char) (c + ('a' - 'A'));
        } else if ((c >= 'a' && c <= 'z') || c >= 0x80) {
            out[size++] = (char) c;
        }
    }
    return size;
}

static bool
is_joined(slice_t user, slice_t first, slice_t second)
{
    return second.size > 0 && user.size == first.size + second.size &&
           memcmp(user.data, first.data, first.size) == 0 &&
           memcmp(user.data + first.size, second.data, second.size) == 0;
}

static slice_t
until(slice_t text, char end)
{
    const char *found = text.size == 0 ? NULL
                                       : memchr(text.data, end, text.size);

    return found == NULL ? text
                         : (slice_t){text.data, (size_t) (found - text.data)};
}

/*
 * The name is a DICOM PN (PS3.5 6.2): groups parted by "=", components by "^",
 * family name first.  A user's name is made of both in many ways: "yamada.taro",
 * "taroyamada", "yamadat", "t-yamada"; a family name alone is shared by so many
 * that it counts only where that is asked for.
 */
bool
names_same(slice_t user, slice_t name, bool family_alone)
{
    char u[NAME_MAX_SIZE], f[NAME_MAX_SIZE], g[NAME_MAX_SIZE];
    slice_t group = until(name, '='), family = until(group, '^'), given;
    slice_t initial;

    given = family.size < group.size
                ? until(slice_from(group, family.size + 1), '^')
                : SLICE("");
    given = until(given, ' ');
    user = (slice_t){u, letters(until(user, '@'), u)};
    family = (slice_t){f, letters(family, f)};
    given = (slice_t){g, letters(given, g)};
    if (user.size < 2 || family.size == 0) {
        return false;
    }
    initial = (slice_t){given.data, given.size > 0 ? 1 : 0};
    return is_joined(user, family, given) || is_joined(user, given, family) ||
           is_joined(user, family, initial) ||
           is_joined(user, initial, family) ||
           (family_alone && slice_equal(user, family));
}
