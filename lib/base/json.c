#include "json.h"

#include <stdio.h>
#include <stdlib.h>

void
json_init(json_t *json)
{
    memset(json, 0, sizeof(*json));
}

void
json_init_fixed(json_t *json, char *buffer, size_t capacity)
{
    memset(json, 0, sizeof(*json));
    json->data = buffer;
    json->capacity = capacity;
    json->fixed = true;
}

void
json_free(json_t *json)
{
    if (!json->fixed) {
        free(json->data);
    }
    memset(json, 0, sizeof(*json));
}

static bool
reserve(json_t *json, size_t more)
{
    size_t capacity = json->capacity;
    char *data;

    if (json->failed) {
        return false;
    }
    /* one byte is kept for json_result()'s NUL */
    if (capacity - json->size > more) {
        return true;
    }
    if (json->fixed || more > SIZE_MAX / 4 || json->size > SIZE_MAX / 4) {
        json->failed = true;
        return false;
    }
    capacity = capacity == 0 ? 256 : capacity;
    while (capacity - json->size <= more) {
        capacity *= 2;
    }
    data = realloc(json->data, capacity);
    if (data == NULL) {
        json->failed = true;
        return false;
    }
    json->data = data;
    json->capacity = capacity;
    return true;
}

static void
put(json_t *json, const char *bytes, size_t size)
{
    if (reserve(json, size)) {
        memcpy(json->data + json->size, bytes, size);
        json->size += size;
    }
}

/* The same for a few bytes of a known number: most of what is put. */
static inline __attribute__((always_inline)) void
put_few(json_t *json, const char *bytes, size_t size)
{
    if (json->capacity - json->size > size && !json->failed) {
        memcpy(json->data + json->size, bytes, size);
        json->size += size;
    } else {
        put(json, bytes, size);
    }
}

/* Length of the UTF-8 sequence at `bytes` (RFC 3629), or 0 if it is none. */
static size_t
utf8_sequence(const unsigned char *bytes, size_t size)
{
    unsigned char c = bytes[0];
    unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte */
    size_t length;

    if (c < 0x80) {
        return 1;
    }
    if (c >= 0xc2 && c <= 0xdf) {
        length = 2;
    } else if (c >= 0xe0 && c <= 0xef) {
        length = 3;
        low = c == 0xe0 ? 0xa0 : low;   /* overlong */
        high = c == 0xed ? 0x9f : high; /* surrogates */
    } else if (c >= 0xf0 && c <= 0xf4) {
        length = 4;
        low = c == 0xf0 ? 0x90 : low;   /* overlong */
        high = c == 0xf4 ? 0x8f : high; /* above U+10FFFF */
    } else {
        return 0;
    }
    if (size < length || bytes[1] < low || bytes[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

#define BYTES(value) (UINT64_C(0x0101010101010101) * (value))

/* What stands in JSON as it is: printable ASCII but " and \.  The highest bit
 * of a byte is set if it is none of that; a borrow can set more of them, but
 * none if all bytes are such. */
static inline uint64_t
odd_bytes(uint64_t word)
{
    uint64_t quote = word ^ BYTES('"'), backslash = word ^ BYTES('\\');

    return (word | (word + BYTES(1)) | ((word - BYTES(0x20)) & ~word) |
            ((quote - BYTES(1)) & ~quote) |
            ((backslash - BYTES(1)) & ~backslash)) &
           BYTES(0x80);
}


static inline uint64_t
load_word(const char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}


/* The compiler's vectors: SSE2, NEON, or plain arithmetic. */
typedef uint8_t vector_t __attribute__((vector_size(16)));

static inline vector_t
odd_vector(const char *at)
{
    vector_t bytes;

    memcpy(&bytes, at, sizeof(bytes));
    return (vector_t) (bytes - 0x20 >= 0x7f - 0x20) |
           (vector_t) (bytes == '"') | (vector_t) (bytes == '\\');
}


/* Whether all of a text stands in JSON as it is. */
static inline bool
is_plain(slice_t text)
{
    const char *at = text.data, *last;
    uint64_t odd[2], word = BYTES('x');
    vector_t found;

    if (text.size >= sizeof(found)) {
        last = at + text.size - sizeof(found);
        found = odd_vector(last);
        for (; at < last; at += sizeof(found)) {
            found |= odd_vector(at);
        }
        memcpy(odd, &found, sizeof(odd));
        return (odd[0] | odd[1]) == 0;
    }
    if (text.size >= 8) {
        return (odd_bytes(load_word(at)) |
                odd_bytes(load_word(at + text.size - 8))) == 0;
    }
    for (size_t i = 0; i < text.size; i++) {
        word = word << 8 | (unsigned char) at[i];
    }
    return odd_bytes(word) == 0;
}


/* How many bytes at the start of a text are such; not all of them are. */
static size_t
plain_bytes(const unsigned char *bytes, size_t size)
{
    size_t i = 0;

    while (size - i >= 8 && odd_bytes(load_word((const char *) bytes + i)) == 0)
    {
        i += 8;
    }
    while (i < size && bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"' &&
           bytes[i] != '\\')
    {
        i++;
    }
    return i;
}

void
json_escape(json_t *json, slice_t text)
{
    const unsigned char *bytes = (const unsigned char *) text.data;
    size_t i = 0;

    if (is_plain(text)) {
        put(json, text.data, text.size);
        return;
    }
    while (i < text.size) {
        size_t plain = plain_bytes(bytes + i, text.size - i), length;
        char escape[7];

        if (plain > 0) {
            put(json, text.data + i, plain);
            i += plain;
            continue;
        }
        switch (bytes[i]) {
        case '"':
            put(json, "\\\"", 2);
            break;
        case '\\':
            put(json, "\\\\", 2);
            break;
        case '\n':
            put(json, "\\n", 2);
            break;
        case '\r':
            put(json, "\\r", 2);
            break;
        case '\t':
            put(json, "\\t", 2);
            break;
        default:
            length = utf8_sequence(bytes + i, text.size - i);
            if (length > 1) {
                put(json, text.data + i, length);
                i += length;
                continue;
            }
            if (length == 0) {
                put(json, "\xef\xbf\xbd", 3);
                break;
            }
            (void) snprintf(escape, sizeof(escape), "\\u%04x", bytes[i]);
            put(json, escape, 6);
            break;
        }
        i++;
    }
}

/* Comma and name before a value. */
static void
begin_value(json_t *json, const char *name)
{
    uint16_t bit = (uint16_t) (1u << json->depth);

    if (json->filled & bit) {
        put_few(json, ",", 1);
    }
    json->filled |= bit;
    if (name != NULL) {
        put_few(json, "\"", 1);
        json_escape(json, slice_of(name));
        put_few(json, "\":", 2);
    }
}

static void
begin_group(json_t *json, const char *name, const char *bracket)
{
    begin_value(json, name);
    put(json, bracket, 1);
    if (json->depth + 1 >= JSON_DEPTH_MAX) {
        json->failed = true;
        return;
    }
    json->depth++;
    json->filled &= (uint16_t) ~(1u << json->depth);
}

static void
end_group(json_t *json, const char *bracket)
{
    if (json->depth == 0) {
        json->failed = true;
        return;
    }
    json->depth--;
    put(json, bracket, 1);
}

void
json_object(json_t *json, const char *name)
{
    begin_group(json, name, "{");
}

void
json_array(json_t *json, const char *name)
{
    begin_group(json, name, "[");
}

void
json_end_object(json_t *json)
{
    end_group(json, "}");
}

void
json_end_array(json_t *json)
{
    end_group(json, "]");
}

void
json_text(json_t *json, const char *name, slice_t text)
{
    begin_value(json, name);
    put_few(json, "\"", 1);
    json_escape(json, text);
    put_few(json, "\"", 1);
}

void
json_member(json_t *json, const char name[JSON_NAME_SIZE], slice_t value)
{
    begin_value(json, name);
    put(json, value.data, value.size);
}

void
json_member_text(json_t *json, const char name[JSON_NAME_SIZE], slice_t text)
{
    uint16_t bit = (uint16_t) (1u << json->depth);
    char *at;

    /* a comma, a whole name, and four quotes with the colon: what is behind the
     * name is written over */
    if (json->failed || json->capacity - json->size <= JSON_NAME_SIZE + 6 ||
        json->capacity - json->size - JSON_NAME_SIZE - 6 <= text.size ||
        !is_plain(text))
    {
        json_text(json, name, text);
        return;
    }
    at = json->data + json->size;
    if (json->filled & bit) {
        *at++ = ',';
    }
    json->filled |= bit;
    *at++ = '"';
    memcpy(at, name, JSON_NAME_SIZE);
    at += strlen(name);
    memcpy(at, "\":\"", 3);
    at += 3;
    if (text.size > 0) {
        memcpy(at, text.data, text.size);
    }
    at += text.size;
    *at++ = '"';
    json->size = (size_t) (at - json->data);
}

void
json_string(json_t *json, const char *name, const char *text)
{
    if (text == NULL) {
        json_null(json, name);
    } else {
        json_text(json, name, slice_of(text));
    }
}

void
json_int(json_t *json, const char *name, int64_t number)
{
    char digits[24];
    size_t at = sizeof(digits);
    /* also of the least number, whose opposite is none of its type */
    uint64_t rest = number < 0 ? -(uint64_t) number : (uint64_t) number;

    do {
        digits[--at] = (char) ('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0) {
        digits[--at] = '-';
    }
    begin_value(json, name);
    put(json, digits + at, sizeof(digits) - at);
}

void
json_bool(json_t *json, const char *name, bool value)
{
    begin_value(json, name);
    put(json, value ? "true" : "false", value ? 4 : 5);
}

void
json_null(json_t *json, const char *name)
{
    begin_value(json, name);
    put(json, "null", 4);
}

slice_t
json_result(json_t *json)
{
    if (json->failed || json->depth != 0 || json->data == NULL) {
        return (slice_t){"", 0};
    }
    json->data[json->size] = '\0';
    return (slice_t){json->data, json->size};
}
