/*
 * Parameters of a query: identifiers for the record, and the few that change
 * what the PACS does.
 *
 * The identifiers come from the ordinary reading.  Those that change the
 * action are looked for in three, because servers differ: split at & and then
 * decode; decode and then split (civetweb can be told to); decode twice (what
 * Orthanc up to 1.9.7 then did).  The last two take ; for a separator, too.
 */

#include "dicom_internal.h"

typedef enum {
    NAME_OTHER = 0,
    NAME_PATIENT,
    NAME_STUDY,
    NAME_SERIES,
    NAME_INSTANCE,
    NAME_REQUEST_TYPE,
    NAME_CONTENT_TYPE,
    NAME_ACCEPT,
    NAME_METHOD
} name_t;

#define NAME_SIZE_MAX  20  /* of those below */
#define VALUE_SIZE_MAX 256 /* of those that change something */

/* Without regard to case: nobody checks how a PACS takes them. */
static name_t
name_of(char *text, size_t size)
{
    static const struct {
        char text[NAME_SIZE_MAX + 1];
        uint8_t size;
        uint8_t name;
    } names[] = {
        {"accept", 6, NAME_ACCEPT},
        {"_method", 7, NAME_METHOD},
        {"00100020", 8, NAME_PATIENT},
        {"0020000d", 8, NAME_STUDY},
        {"0020000e", 8, NAME_SERIES},
        {"00080018", 8, NAME_INSTANCE},
        {"studyuid", 8, NAME_STUDY},
        {"patientid", 9, NAME_PATIENT},
        {"seriesuid", 9, NAME_SERIES},
        {"objectuid", 9, NAME_INSTANCE},
        {"requesttype", 11, NAME_REQUEST_TYPE},
        {"contenttype", 11, NAME_CONTENT_TYPE},
        {"sopinstanceuid", 14, NAME_INSTANCE},
        {"studyinstanceuid", 16, NAME_STUDY},
        {"studyinstanceuids", 17, NAME_STUDY},
        {"seriesinstanceuid", 17, NAME_SERIES},
    };
    static const uint32_t sizes = 1u << 6 | 1u << 7 | 1u << 8 | 1u << 9 |
                                  1u << 11 | 1u << 14 | 1u << 16 | 1u << 17;

    /* Most names are of another length than all of these. */
    if (size > 17 || !(sizes & 1u << size)) {
        return NAME_OTHER;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] >= 'A' && text[i] <= 'Z') {
            text[i] = (char) (text[i] + ('a' - 'A'));
        }
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].size == size && memcmp(names[i].text, text, size) == 0) {
            return (name_t) names[i].name;
        }
    }

    return NAME_OTHER;
}


static bool
is_word(slice_t text, const char *lower)
{
    size_t i;

    while (text.size > 0 && text.data[0] == ' ') {
        text = slice_from(text, 1);
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' ||
                             text.data[text.size - 1] == '\0'))
    {
        text.size--;
    }
    for (i = 0; i < text.size && lower[i] != '\0'; i++) {
        char c = text.data[i];

        if ((c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c) != lower[i]) {
            return false;
        }
    }

    return i == text.size && lower[i] == '\0';
}


/* A value too long for the buffer is one that we do not know. */
static void
control(dicom_query_t *query, name_t name, slice_t value, bool whole)
{
    bool view;

    switch (name) {
    case NAME_REQUEST_TYPE:
        query->wado |= is_word(value, "wado");
        break;

    case NAME_CONTENT_TYPE:
        /* An empty one leaves it to the server, like none. */
        view = whole && dicom_media_only_view(value);
        query->content_type = true;
        query->content_type_dicom |= !view;
        break;

    case NAME_ACCEPT:
        query->accept_dicom |= !whole || !dicom_media_only_view(value);
        break;

    case NAME_METHOD:
        if (value.size == 0) {
            break;
        }
        query->methods |= 1u
                          << (!whole ? METHOD_OTHER
                              : is_word(value, "get") || is_word(value, "head")
                                  ? METHOD_GET
                              : is_word(value, "options") ? METHOD_OPTIONS
                              : is_word(value, "post")    ? METHOD_POST
                              : is_word(value, "put")     ? METHOD_PUT
                              : is_word(value, "delete")  ? METHOD_DELETE
                                                          : METHOD_OTHER);
        break;

    default:
        break;
    }
}


static void
identifier(dicom_request_t *request, name_t name, slice_t value)
{
    switch (name) {
    case NAME_PATIENT:
        dicom_id_append(&request->patient, value, true);
        break;
    case NAME_STUDY:
        dicom_id_append(&request->study, value, true);
        break;
    case NAME_SERIES:
        dicom_id_append(&request->series, value, true);
        break;
    case NAME_INSTANCE:
        dicom_id_append(&request->instance, value, true);
        break;
    default:
        break;
    }
}


static void
plus_to_space(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '+') {
            text[i] = ' ';
        }
    }
}


/* The reading of RFC 3986 and of HTML forms: split, then decode. */
static void
read_plain(slice_t text, dicom_query_t *query, dicom_request_t *request)
{
    const char *at = text.data, *end = text.data + text.size;

    while (at < end) {
        const char *stop = memchr(at, '&', (size_t) (end - at));
        const char *equal;
        char buffer[NAME_SIZE_MAX], decoded[VALUE_SIZE_MAX];
        slice_t name_text, value;
        name_t name = NAME_OTHER;
        size_t size;
        bool whole;

        stop = stop == NULL ? end : stop;
        equal = memchr(at, '=', (size_t) (stop - at));
        name_text = (slice_t){at,
                              (size_t) ((equal == NULL ? stop : equal) - at)};
        value = equal == NULL
                    ? (slice_t){stop, 0}
                    : (slice_t){equal + 1, (size_t) (stop - equal) - 1};
        at = stop + 1;

        if (name_text.size <= 3 * sizeof(buffer) &&
            dicom_uri_decode(name_text, buffer, sizeof(buffer), &size))
        {
            name = name_of(buffer, size);
        }
        if (name == NAME_OTHER) {
            continue;
        }
        if (name < NAME_REQUEST_TYPE) {
            identifier(request, name, value);
            continue;
        }
        whole = dicom_uri_decode(value, decoded, sizeof(decoded), &size);
        /* + is a sign in dicom+json; as a space it would be an odd kind. */
        if (name != NAME_ACCEPT && name != NAME_CONTENT_TYPE) {
            plus_to_space(decoded, size);
        }
        control(query, name, (slice_t){decoded, size}, whole);
    }
}


/* A byte of the text, decoded once or twice; -1 at the end. */
typedef struct {
    const char *at;
    const char *end;
    bool twice;
} cursor_t;

static int
next_once(cursor_t *cursor)
{
    int byte;

    if (cursor->at >= cursor->end) {
        return -1;
    }
    if (*cursor->at == '%' &&
        (byte = dicom_uri_byte(cursor->at, cursor->end)) >= 0) {
        cursor->at += 3;
        return byte;
    }

    return (uint8_t) *cursor->at++;
}


static int
next(cursor_t *cursor)
{
    cursor_t ahead;
    char digits[3] = "%";
    int byte = next_once(cursor), high, low, value;

    if (byte != '%' || !cursor->twice) {
        return byte;
    }
    ahead = *cursor;
    high = next_once(&ahead);
    low = next_once(&ahead);
    if (high < 0 || low < 0) {
        return byte;
    }
    digits[1] = (char) high;
    digits[2] = (char) low;
    value = dicom_uri_byte(digits, digits + 3);
    if (value < 0) {
        return byte;
    }
    *cursor = ahead;

    return value;
}


/* Everything that could be a parameter, for those that change something. */
static void
read_decoded(slice_t text, bool twice, dicom_query_t *query)
{
    cursor_t cursor = {text.data, text.data + text.size, twice};
    int byte = 0;

    while (byte >= 0) {
        char buffer[NAME_SIZE_MAX], value[VALUE_SIZE_MAX];
        size_t size = 0, value_size = 0;
        bool whole = true;
        name_t name;

        while ((byte = next(&cursor)) >= 0 && byte != '&' && byte != ';' &&
               byte != '?' && byte != '=')
        {
            if (size < sizeof(buffer)) {
                buffer[size] = (char) byte;
            }
            size++;
        }
        name = size <= sizeof(buffer) ? name_of(buffer, size) : NAME_OTHER;

        if (name >= NAME_REQUEST_TYPE && byte == '=') {
            bool list = name == NAME_ACCEPT || name == NAME_CONTENT_TYPE;
            cursor_t ahead = cursor;
            int c;

            /* A list of media types has ; of its own. */
            while ((c = next(&ahead)) >= 0 && c != '&' && (list || c != ';')) {
                if (value_size == sizeof(value)) {
                    whole = false;
                    break;
                }
                value[value_size++] = (char) c;
            }
            if (!list) {
                plus_to_space(value, value_size);
            }
            control(query, name, (slice_t){value, value_size}, whole);
        }
        while (byte >= 0 && byte != '&' && byte != ';' && byte != '?') {
            byte = next(&cursor);
        }
    }
}


/* Is there anything that the other readings would see differently? */
static void
find_oddities(slice_t target, bool *once, bool *twice)
{
    const char *at = target.data, *end = target.data + target.size;

    while (at < end && (at = memchr(at, '%', (size_t) (end - at))) != NULL) {
        switch (dicom_uri_byte(at, end)) {
        case '&':
        case ';':
        case '=':
        case '?':
            *once = true;
            break;
        case '%':
            *once = *twice = true;
            break;
        default:
            break;
        }
        at++;
    }
    *once |= memchr(target.data, ';', target.size) != NULL ||
             memchr(target.data, '#', target.size) != NULL;
}


void
dicom_query_read(slice_t target, dicom_query_t *query, dicom_request_t *request)
{
    bool once = false, twice = false;
    const char *mark, *hash;
    slice_t plain;

    memset(query, 0, sizeof(*query));

    if (target.size == 0) {
        return;
    }

    /* In the ordinary reading a query ends where a fragment begins. */
    hash = memchr(target.data, '#', target.size);
    plain = hash == NULL
                ? target
                : (slice_t){target.data, (size_t) (hash - target.data)};
    mark = plain.size == 0 ? NULL : memchr(plain.data, '?', plain.size);
    if (mark != NULL) {
        plain = slice_from(plain, (size_t) (mark - plain.data) + 1);
        read_plain(plain, query, request);
        once = memchr(plain.data, '?', plain.size) != NULL;
    }

    /* The others take the whole target: a mark may be encoded, too. */
    find_oddities(target, &once, &twice);
    if (once) {
        read_decoded(target, false, query);
    }
    if (twice) {
        read_decoded(target, true, query);
    }
}
