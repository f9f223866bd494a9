/*
 * A request target -> segments.
 *
 * Percent-encoding is undone once, as nginx and the servers behind it do, and
 * only where a segment is looked at: nothing is copied.
 *
 * Nearly all targets can be read in one way only, and are cut at their slashes
 * 16 bytes at a time; where anything is in them that could be read in another
 * way, or that has to be decoded, they go through the slow loop.
 */

#include "dicom_internal.h"
#include "uri_scan.h"

/* One more than the value of a hex digit; 0 for all other bytes. */
static const uint8_t hex_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
    ['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['A'] = 11, ['B'] = 12,
    ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16, ['a'] = 11, ['b'] = 12,
    ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16};

/* The byte that %XX at `at` stands for, or -1 if it is none. */
int
dicom_uri_byte(const char *at, const char *end)
{
    unsigned high, low;

    if (end - at < 3) {
        return -1;
    }
    high = hex_values[(uint8_t) at[1]];
    low = hex_values[(uint8_t) at[2]];

    return high == 0 || low == 0 ? -1 : (int) ((high - 1) << 4 | (low - 1));
}


bool
dicom_uri_decode(slice_t text, char *decoded, size_t capacity, size_t *size)
{
    const char *at = text.data, *end = text.data + text.size;
    size_t n = 0;

    if (text.size == 0 || memchr(at, '%', text.size) == NULL) {
        *size = text.size < capacity ? text.size : capacity;
        if (*size > 0) {
            memcpy(decoded, at, *size);
        }
        return text.size <= capacity;
    }

    while (at < end) {
        int byte = *at == '%' ? dicom_uri_byte(at, end) : -1;

        if (n == capacity) {
            *size = n;
            return false;
        }
        if (byte < 0) {
            decoded[n++] = *at++;
        } else {
            decoded[n++] = (char) byte;
            at += 3;
        }
    }
    *size = n;

    return true;
}


/* Takes a character back that was cut in its middle (UTF-8). */
static size_t
whole_characters(const char *data, size_t size)
{
    size_t lead = size;

    while (lead > 0 && size - lead < 3 &&
           ((uint8_t) data[lead - 1] & 0xc0) == 0x80) {
        lead--;
    }
    if (lead > 0) {
        uint8_t byte = (uint8_t) data[lead - 1];
        size_t length = byte >= 0xf0   ? 4
                        : byte >= 0xe0 ? 3
                        : byte >= 0xc0 ? 2
                                       : 0;

        if (size - (lead - 1) < length) {
            return lead - 1;
        }
    }

    return size;
}


void
dicom_id_append(dicom_id_t *id, slice_t encoded, bool from_query)
{
    const char *at = encoded.data, *end = encoded.data + encoded.size;
    size_t size = id->size;

    if (id->cut || encoded.size == 0) {
        return;
    }
    if (size > 0 && size < DICOM_ID_SIZE_MAX) {
        id->data[size++] = ',';
    }
    if (encoded.size <= DICOM_ID_SIZE_MAX - size &&
        memchr(at, '%', encoded.size) == NULL &&
        !(from_query && memchr(at, '+', encoded.size) != NULL))
    {
        memcpy(id->data + size, at, encoded.size);
        id->size = (uint16_t) (size + encoded.size);
        return;
    }
    while (at < end) {
        int byte = *at == '%' ? dicom_uri_byte(at, end) : -1;

        if (size == DICOM_ID_SIZE_MAX) {
            size = whole_characters(id->data, size);
            id->cut = true;
            break;
        }
        if (byte < 0) {
            id->data[size++] = from_query && *at == '+' ? ' ' : *at;
            at++;
        } else {
            id->data[size++] = (char) byte;
            at += 3;
        }
    }
    id->size = (uint16_t) size;
}


/* Absolute-form (RFC 9112, 3.2.2) loses scheme and authority. */
slice_t
dicom_uri_target(slice_t uri)
{
    size_t i = 0;

    if (uri.size == 0 || uri.data[0] == '/') {
        return uri;
    }
    while (i < uri.size) {
        char c = uri.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'))
        {
            break;
        }
        i++;
    }
    if (i == 0 || uri.size - i < 3 || memcmp(uri.data + i, "://", 3) != 0) {
        return uri;
    }
    i += 3;
    while (i < uri.size && uri.data[i] != '/' && uri.data[i] != '?' &&
           uri.data[i] != '#')
    {
        i++;
    }

    return slice_from(uri, i);
}


/* Bytes at which a path is to be looked at more closely, and those of UIDs. */
#define CLASS_SPECIAL 1
#define CLASS_UID     2
static const uint8_t classes[256] = {
    ['\0'] = CLASS_SPECIAL, ['/'] = CLASS_SPECIAL,  ['%'] = CLASS_SPECIAL,
    [';'] = CLASS_SPECIAL,  ['\\'] = CLASS_SPECIAL, ['#'] = CLASS_SPECIAL,
    ['?'] = CLASS_SPECIAL,  ['.'] = CLASS_UID,      ['0'] = CLASS_UID,
    ['1'] = CLASS_UID,      ['2'] = CLASS_UID,      ['3'] = CLASS_UID,
    ['4'] = CLASS_UID,      ['5'] = CLASS_UID,      ['6'] = CLASS_UID,
    ['7'] = CLASS_UID,      ['8'] = CLASS_UID,      ['9'] = CLASS_UID};

typedef enum { STEP_DATA = 0, STEP_SEPARATOR, STEP_PARAMETER, STEP_END } step_t;

/* What the special byte at `at` is in this reading, and its length. */
static step_t
step(const char *at, const char *end, unsigned reading, unsigned *others,
     size_t *length)
{
    unsigned cut;
    int byte;

    *length = 1;
    switch (*at) {
    case '/':
        return STEP_SEPARATOR;
    case '?':
        return STEP_END;
    case ';':
        *others |= READING_PARAMETERS;
        return STEP_PARAMETER;
    case '\\':
        *others |= READING_SLASHES;
        return reading & READING_SLASHES ? STEP_SEPARATOR : STEP_DATA;
    case '#':
        cut = READING_CUT_FRAGMENT;
        break;
    case '\0':
        cut = READING_CUT_NUL;
        break;
    default:
        byte = dicom_uri_byte(at, end);
        if (byte < 0) {
            return STEP_DATA;
        }
        *length = 3;
        switch (byte) {
        case '/':
        case '\\':
            *others |= READING_SLASHES;
            return reading & READING_SLASHES ? STEP_SEPARATOR : STEP_DATA;
        case '\0':
            cut = READING_CUT_NUL;
            break;
        case '?':
            cut = READING_CUT_MARK;
            break;
        case '#':
            cut = READING_CUT_HASH;
            break;
        default:
            return STEP_DATA;
        }
    }
    *others |= cut;

    return reading & cut ? STEP_END : STEP_DATA;
}


/* What the decoded text is; `text` as it came is what is kept. */
static void
word_or_form(dicom_segment_t *segment, slice_t text, slice_t decoded)
{
    segment->text = text;
    segment->word = (uint8_t) dicom_word(decoded.data, decoded.size);
    segment->form = segment->word == WORD_OTHER
                        ? (uint8_t) dicom_form(decoded.data, decoded.size)
                        : FORM_OTHER;
}


static void
segment_set(dicom_segment_t *segment, slice_t text, bool encoded, bool uid)
{
    char decoded[DICOM_WORD_SIZE_MAX + 32];
    size_t size;

    segment->text = text;
    segment->word = WORD_OTHER;
    segment->form = FORM_OTHER;

    if (uid && text.size <= DICOM_UID_SIZE_MAX && text.data[0] != '.') {
        segment->form = FORM_UID;
        return;
    }
    if (!encoded) {
        word_or_form(segment, text, text);
    } else if (dicom_uri_decode(text, decoded, sizeof(decoded), &size)) {
        word_or_form(segment, text, (slice_t){decoded, size});
    }
}


/* 1 for ".", 2 for "..", each of them perhaps encoded; else 0. */
static unsigned
dots(slice_t text)
{
    char decoded[3];
    size_t size;

    if (text.size == 0 || (text.data[0] != '.' && text.data[0] != '%') ||
        !dicom_uri_decode(text, decoded, 2, &size))
    {
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        if (decoded[i] != '.') {
            return 0;
        }
    }

    return (unsigned) size;
}


/* Digits and dots; without a slash and not empty. */
static bool
is_uid(slice_t text)
{
    if (text.size > DICOM_UID_SIZE_MAX || text.data[0] > '9') {
        return false;
    }
    if (text.size >= SCAN_WIDTH) {
        return scan_is_uid(text.data, text.size);
    }
    for (size_t i = 0; i < text.size; i++) {
        if (classes[(uint8_t) text.data[i]] != CLASS_UID) {
            return false;
        }
    }

    return true;
}


/* Special bytes at `at`, of which there are `left`, and that the end is there:
 * in the last block of a target, which ends with it or is alone. */
static unsigned
last_marks(slice_t target, const char *at, unsigned left)
{
    char block[SCAN_WIDTH] = {0};
    unsigned marks;

    if (target.size >= SCAN_WIDTH) {
        marks = scan_marks(scan_load(at + left - SCAN_WIDTH)) >>
                (SCAN_WIDTH - left);
    } else {
        for (unsigned i = 0; i < left; i++) {
            block[i] = at[i];
        }
        marks = scan_marks(scan_load(block)) & ((1u << left) - 1);
    }

    return marks | 1u << left;
}


/* False if the target is none of the plain ones: `path` is of no use then. */
static bool
plain_path(slice_t target, dicom_path_t *path)
{
    const char *at = target.data, *end = target.data + target.size;
    const char *start = at;
    dicom_segment_t *segment;
    bool dcm4chee = false;

    path->count = 0;
    segment = path->segments;
    if (at < end && *at == '/') {
        start = ++at;
    }
    for (;; at += SCAN_WIDTH) {
        size_t left = (size_t) (end - at);
        unsigned marks = left >= SCAN_WIDTH
                             ? scan_marks(scan_load(at))
                             : last_marks(target, at, (unsigned) left);

        for (; marks != 0; marks &= marks - 1) {
            const char *stop = at + __builtin_ctz(marks);
            char byte = stop < end ? *stop : '?';
            slice_t text = {start, (size_t) (stop - start)};

            if (byte != '/' && byte != '?') {
                if (classes[(uint8_t) byte] & CLASS_SPECIAL) {
                    return false;
                }
                continue;
            }
            if (text.size == 0) {
                /* at the end it is none, but "//" matters to some readings */
                if (byte == '/') {
                    return false;
                }
            } else {
                /* "." and ".." change the path, and all that begins so is
                 * rare; an empty one at the end may have to be counted */
                if (*start == '.' ||
                    segment == &path->segments[DICOM_DEPTH_MAX - 1]) {
                    return false;
                }
                if (is_uid(text)) {
                    *segment = (dicom_segment_t){text, WORD_OTHER, FORM_UID};
                } else {
                    word_or_form(segment, text, text);
                    dcm4chee |= segment->word == WORD_AETS ||
                                segment->word == WORD_DCM4CHEE_ARC;
                }
                segment++;
            }
            if (byte == '?') {
                path->count = (unsigned) (segment - path->segments);
                path->too_deep = false;
                path->dcm4chee = dcm4chee;
                path->plain = true;
                path->bare = stop == end;
                return true;
            }
            start = stop + 1;
        }
    }
}


unsigned
dicom_uri_path(slice_t target, unsigned reading, dicom_path_t *path)
{
    if (plain_path(target, path)) {
        return 0;
    }

    return dicom_uri_path_closely(target, reading, path);
}


unsigned
dicom_uri_path_closely(slice_t target, unsigned reading, dicom_path_t *path)
{
    const char *at = target.data, *end = target.data + target.size;
    const char *start, *stop;
    unsigned others = 0, depth = 0, kept = 0;
    bool empty = false, up = false, more = true;

    /* Only the levels that are left at the end have to be kept: one that did
     * not fit is either gone by then, or makes the path too deep. */
    while (more) {
        step_t what = STEP_DATA;
        uint8_t common = CLASS_UID;
        bool encoded = false;
        size_t length = 0;
        slice_t text;

        start = at;
        stop = NULL;
        for (;;) {
            uint8_t class = 0;

            while (at < end) {
                class = classes[(uint8_t) *at];
                if (class & CLASS_SPECIAL) {
                    break;
                }
                common &= class;
                at++;
            }
            if (at == end) {
                break;
            }
            what = step(at, end, reading, &others, &length);
            if (what == STEP_SEPARATOR || what == STEP_END) {
                break;
            }
            common = 0;
            if (what == STEP_PARAMETER) {
                if ((reading & READING_PARAMETERS) && stop == NULL) {
                    stop = at;
                }
            } else {
                encoded = true;
            }
            at += length;
        }
        if (stop == NULL) {
            stop = at;
        }
        more = at < end && what == STEP_SEPARATOR;
        if (more) {
            at += length;
        }

        text = (slice_t){start, (size_t) (stop - start)};
        switch (dots(text)) {
        case 1:
            continue;
        case 2:
            up = true;
            depth -= depth > 0;
            continue;
        default:
            break;
        }
        if (text.size == 0) {
            /* The one before the first slash is none. */
            empty |= depth > 0 && more;
            if (reading & READING_MERGE || (start == target.data && more)) {
                continue;
            }
        }
        if (depth < DICOM_DEPTH_MAX) {
            segment_set(&path->segments[depth], text, encoded,
                        common & CLASS_UID && text.size != 0);
        }
        depth++;
    }

    path->too_deep = depth > DICOM_DEPTH_MAX;
    path->plain = path->bare = false;
    path->dcm4chee = false;
    if (path->too_deep) {
        depth = DICOM_DEPTH_MAX;
    }
    for (unsigned i = 0; i < depth; i++) {
        dicom_segment_t *segment = &path->segments[i];

        if (segment->text.size == 0) {
            continue;
        }
        if (segment->word == WORD_AETS || segment->word == WORD_DCM4CHEE_ARC) {
            path->dcm4chee = true;
        }
        if (kept != i) {
            path->segments[kept] = *segment;
        }
        kept++;
    }
    path->count = kept;

    if (empty && up) {
        others |= READING_MERGE;
    }

    return others;
}
