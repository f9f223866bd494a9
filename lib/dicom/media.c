/*
 * Media types of an Accept header, of the accept parameter (PS3.18, 8.3.3.1)
 * and of WADO-URI's contentType.
 *
 * The question is only whether DICOM or ZIP may come back, and the answer is
 * no for kinds known to show and nothing else.  Everything odd is a yes.
 */

#define _GNU_SOURCE
#include "dicom_internal.h"

/* RFC 9110, 5.6.2, in ranges. */
static bool
is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c >= 'A' && c <= 'Z') || (c >= '#' && c <= '\'') || c == '*' ||
           c == '+' || c == '-' || c == '.' || c == '!' ||
           (c >= '^' && c <= '`') || c == '|' || c == '~';
}


static bool
is_space(char c)
{
    return c == ' ' || c == '\t';
}


static slice_t
trim(slice_t text)
{
    while (text.size > 0 && is_space(text.data[0])) {
        text = slice_from(text, 1);
    }
    while (text.size > 0 && is_space(text.data[text.size - 1])) {
        text.size--;
    }

    return text;
}


static bool
equal_fold(slice_t text, const char *lower)
{
    size_t i;

    for (i = 0; i < text.size && lower[i] != '\0'; i++) {
        char c = text.data[i];

        if ((c >= 'A' && c <= 'Z' ? (char) (c + 32) : c) != lower[i]) {
            return false;
        }
    }

    return i == text.size && lower[i] == '\0';
}


/* The kinds of PS3.18, 8.7.3 and 8.7.4 that are not DICOM itself. */
static bool
shows_only(slice_t type, slice_t subtype)
{
    static const char *const families[] = {"image", "video", "text", "model"};
    static const char *const kinds[] = {
        "dicom+json", "json",         "dicom+xml", "xml",
        "xhtml+xml",  "octet-stream", "pdf"};
    size_t i;

    for (i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (equal_fold(type, families[i])) {
            return true;
        }
    }
    if (!equal_fold(type, "application")) {
        return false;
    }
    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (equal_fold(subtype, kinds[i])) {
            return true;
        }
    }

    return false;
}


/* type "/" subtype, tokens both; false for anything else. */
static bool
split_type(slice_t text, slice_t *type, slice_t *subtype)
{
    size_t i = 0;

    while (i < text.size && is_token(text.data[i])) {
        i++;
    }
    if (i == 0 || i + 1 >= text.size || text.data[i] != '/') {
        return false;
    }
    *type = (slice_t){text.data, i};
    *subtype = slice_from(text, i + 1);
    for (i = 0; i < subtype->size; i++) {
        if (!is_token(subtype->data[i])) {
            return false;
        }
    }

    return true;
}


/* "0", "0.", "0.000": a kind that is not wanted. */
static bool
is_zero(slice_t text)
{
    if (text.size == 0 || text.data[0] != '0') {
        return false;
    }
    for (size_t i = 1; i < text.size; i++) {
        if (text.data[i] != '0' && text.data[i] != '.') {
            return false;
        }
    }

    return true;
}


/* One media range with its parameters. */
static bool
range_shows_only(slice_t range, bool *wanted)
{
    slice_t rest = range, part, type, subtype, name, value, inner, detail;
    const char *at;
    bool multipart, inner_found = false;

    at = memchr(rest.data, ';', rest.size);
    part = at == NULL ? rest : (slice_t){rest.data, (size_t) (at - rest.data)};
    if (!split_type(trim(part), &type, &subtype)) {
        return false;
    }
    multipart = equal_fold(type, "multipart");
    if (multipart ? !equal_fold(subtype, "related")
                  : !shows_only(type, subtype)) {
        return false;
    }

    *wanted = true;
    while (at != NULL) {
        rest = slice_from(rest, (size_t) (at - rest.data) + 1);
        at = memchr(rest.data, ';', rest.size);
        part = at == NULL ? rest
                          : (slice_t){rest.data, (size_t) (at - rest.data)};
        const char *equal = memchr(part.data, '=', part.size);

        if (equal == NULL) {
            continue;
        }
        name = trim((slice_t){part.data, (size_t) (equal - part.data)});
        value = trim(slice_from(part, (size_t) (equal - part.data) + 1));
        if (value.size >= 2 && value.data[0] == '"' &&
            value.data[value.size - 1] == '"')
        {
            value = trim((slice_t){value.data + 1, value.size - 2});
        }
        if (equal_fold(name, "q")) {
            *wanted = !is_zero(value);
        }
        /* If it stands there twice, servers differ in which one they take. */
        if (multipart && equal_fold(name, "type")) {
            if (!split_type(value, &inner, &detail) ||
                !shows_only(inner, detail)) {
                return false;
            }
            inner_found = true;
        }
    }

    return !multipart || inner_found;
}


/*
 * A kind that is refused with q=0 counts as if it were wanted: Orthanc and
 * dcm4chee do not look at q before they choose.  So does a list in which
 * nothing is wanted: a server may then answer what it likes.
 */
bool
dicom_media_only_view(slice_t list)
{
    size_t start = 0, i;
    bool quoted = false, any = false, wanted;

    /* Browsers always add this one. */
    if (list.size == 0 || memmem(list.data, list.size, "*/*", 3) != NULL) {
        return false;
    }

    for (i = 0; i <= list.size; i++) {
        char c = i < list.size ? list.data[i] : ',';

        if (i < list.size && c == '"') {
            quoted = !quoted;
            continue;
        }
        /* Parsers that know no quotes would see something else here. */
        if (quoted && (c == ',' || c == ';' || c == '\\')) {
            return false;
        }
        if (c != ',') {
            continue;
        }

        slice_t range = trim((slice_t){list.data + start, i - start});

        start = i + 1;
        if (range.size == 0) {
            continue;
        }
        if (!range_shows_only(range, &wanted)) {
            return false;
        }
        any |= wanted;
    }

    return any && !quoted;
}
