#include "record.h"

typedef struct {
    slice_t rest;
    char *buffer;  /* where unescaped text goes; moves on */
    unsigned next; /* the field behind the last one: lines keep the order */
} reader_t;

static bool
take(reader_t *reader, char c)
{
    if (reader->rest.size == 0 || reader->rest.data[0] != c) {
        return false;
    }
    reader->rest = slice_from(reader->rest, 1);
    return true;
}

static bool
take_hex(reader_t *reader, uint32_t *value)
{
    *value = 0;
    if (reader->rest.size < 4) {
        return false;
    }
    for (size_t i = 0; i < 4; i++) {
        char c = reader->rest.data[i];
        uint32_t digit;

        if (c >= '0' && c <= '9') {
            digit = (uint32_t) (c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (uint32_t) (c - 'a' + 10);
        } else if (c >= 'A' && c <= 'F') {
            digit = (uint32_t) (c - 'A' + 10);
        } else {
            return false;
        }
        *value = *value << 4 | digit;
    }
    reader->rest = slice_from(reader->rest, 4);
    return true;
}

/* UTF-8 of a code point; never longer than the escape it came from. */
static void
put_code_point(reader_t *reader, uint32_t code)
{
    char *out = reader->buffer;

    if (code < 0x80) {
        *out++ = (char) code;
    } else if (code < 0x800) {
        *out++ = (char) (0xc0 | code >> 6);
        *out++ = (char) (0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *out++ = (char) (0xe0 | code >> 12);
        *out++ = (char) (0x80 | (code >> 6 & 0x3f));
        *out++ = (char) (0x80 | (code & 0x3f));
    } else {
        *out++ = (char) (0xf0 | code >> 18);
        *out++ = (char) (0x80 | (code >> 12 & 0x3f));
        *out++ = (char) (0x80 | (code >> 6 & 0x3f));
        *out++ = (char) (0x80 | (code & 0x3f));
    }
    reader->buffer = out;
}

/* What follows the backslash. */
static bool
take_escape(reader_t *reader)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found;
    uint32_t code, low;
    char c;

    if (reader->rest.size == 0) {
        return false;
    }
    c = reader->rest.data[0];
    reader->rest = slice_from(reader->rest, 1);
    if (c != 'u') {
        found = c == '\0' ? NULL : strchr(from, c);
        if (found == NULL) {
            return false;
        }
        *reader->buffer++ = to[found - from];
        return true;
    }
    if (!take_hex(reader, &code) || (code >= 0xdc00 && code <= 0xdfff)) {
        return false;
    }
    if (code >= 0xd800 && code <= 0xdbff) {
        if (!take(reader, '\\') || !take(reader, 'u') ||
            !take_hex(reader, &low) || low < 0xdc00 || low > 0xdfff)
        {
            return false;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    put_code_point(reader, code);
    return true;
}

static bool
take_string(reader_t *reader, slice_t *text)
{
    char *start = reader->buffer;
    size_t plain = 0;

    if (!take(reader, '"')) {
        return false;
    }
    while (plain < reader->rest.size && reader->rest.data[plain] != '"' &&
           reader->rest.data[plain] != '\\')
    {
        if ((unsigned char) reader->rest.data[plain] < 0x20) {
            return false;
        }
        plain++;
    }
    if (plain < reader->rest.size && reader->rest.data[plain] == '"') {
        *text = (slice_t){reader->rest.data, plain};
        reader->rest = slice_from(reader->rest, plain + 1);
        return true;
    }
    for (;;) {
        if (reader->rest.size == 0 ||
            (unsigned char) reader->rest.data[0] < 0x20) {
            return false;
        }
        if (take(reader, '"')) {
            break;
        }
        if (take(reader, '\\')) {
            if (!take_escape(reader)) {
                return false;
            }
            continue;
        }
        *reader->buffer++ = reader->rest.data[0];
        reader->rest = slice_from(reader->rest, 1);
    }
    *text = (slice_t){start, (size_t) (reader->buffer - start)};
    return true;
}

static bool
take_number(reader_t *reader, slice_t *text)
{
    size_t size = 0;

    while (size < reader->rest.size &&
           (reader->rest.data[size] == '-' ||
            (reader->rest.data[size] >= '0' && reader->rest.data[size] <= '9')))
    {
        size++;
    }
    *text = (slice_t){reader->rest.data, size};
    reader->rest = slice_from(reader->rest, size);
    return size > 0;
}

static bool
take_cut(reader_t *reader, record_t *record)
{
    slice_t name;

    if (record->any_cut || !take(reader, '[')) {
        return false;
    }
    do {
        record_field_t field;

        if (!take_string(reader, &name)) {
            return false;
        }
        field = record_field_find(name);
        if (field != RECORD_FIELDS) {
            record_set_cut(record, field);
        }
    } while (take(reader, ','));
    return take(reader, ']');
}

/* record_field_find(), from where the last one was found. */
static record_field_t
find_field(reader_t *reader, slice_t name)
{
    for (unsigned i = reader->next; i < RECORD_FIELDS; i++) {
        if (slice_is(name, record_field_name((record_field_t) i))) {
            reader->next = i + 1;
            return (record_field_t) i;
        }
    }
    return record_field_find(name);
}

static bool
take_member(reader_t *reader, record_t *record)
{
    slice_t name, value;
    record_field_t field;
    bool quoted;

    if (!take_string(reader, &name) || !take(reader, ':')) {
        return false;
    }
    if (slice_is(name, "cut")) {
        return take_cut(reader, record);
    }
    quoted = reader->rest.size > 0 && reader->rest.data[0] == '"';
    if (quoted ? !take_string(reader, &value) : !take_number(reader, &value)) {
        return false;
    }
    field = find_field(reader, name);
    if (field == RECORD_FIELDS) {
        return true;
    }
    if (record->values[field].size != 0) {
        return false;
    }
    record->values[field] = value;
    return true;
}

bool
record_parse(slice_t line, record_t *record, char *buffer)
{
    reader_t reader = {.rest = line, .buffer = buffer};

    memset(record, 0, sizeof(*record));
    if (!take(&reader, '{')) {
        return false;
    }
    if (!take(&reader, '}')) {
        do {
            if (!take_member(&reader, record)) {
                return false;
            }
        } while (take(&reader, ','));
        if (!take(&reader, '}')) {
            return false;
        }
    }
    return reader.rest.size == 0;
}
