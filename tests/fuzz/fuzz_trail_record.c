/*
 * A line as it stands in a trail, and perhaps in a copy that somebody else
 * made: what can be read renders to a line that says the same, however often.
 */

#include <stdint.h>
#include <stdlib.h>

#include "../../lib/trail/record.h"

#define REQUIRE(condition)                                                     \
    do {                                                                       \
        if (!(condition)) {                                                    \
            abort();                                                           \
        }                                                                      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Values lie in the line or in the buffer. */
static void
check_places(const record_t *record, slice_t line, const char *buffer)
{
    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        slice_t value = record->values[i];
        bool in_line = value.data >= line.data &&
                       value.data + value.size <= line.data + line.size;
        bool in_buffer = value.data >= buffer &&
                         value.data + value.size <= buffer + line.size;

        REQUIRE(value.size == 0 || in_line || in_buffer);
    }
}

/* Bytes that are no UTF-8 become three each: such a value may be longer now
 * than one that comes in. */
static bool
has_grown(const record_t *record)
{
    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        if (record->values[i].size > RECORD_VALUE_MAX) {
            return true;
        }
    }
    return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char first[RECORD_SIZE_MAX + 1], second[RECORD_SIZE_MAX + 1];
    static char room[RECORD_SIZE_MAX];
    char *text = malloc(size + 1), *buffer = malloc(size + 1);
    slice_t line = {text, size};
    record_t record, again;
    size_t length;

    REQUIRE(text != NULL && buffer != NULL);
    memcpy(text, data, size);
    if (record_parse(line, &record, buffer)) {
        check_places(&record, line, buffer);
        length = record_render(&record, first, sizeof(first));
        REQUIRE(length > 0 && length <= RECORD_SIZE_MAX);
        REQUIRE(memchr(first, '\n', length) == NULL);
        REQUIRE(record_parse((slice_t){first, length}, &again, room));
        if (!has_grown(&again)) {
            REQUIRE(record_render(&again, second, sizeof(second)) == length);
            REQUIRE(memcmp(first, second, length) == 0);
        }
    }
    free(text);
    free(buffer);
    return 0;
}
