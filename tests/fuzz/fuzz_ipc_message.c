/*
 * A packet as the daemon gets it.  What is taken for a message must be one by
 * the layout in message.h; a hello and records go together again to what means
 * the same; and no record, whoever sent it, becomes anything but one line of
 * JSON that can be read back.
 */

#include <stdint.h>
#include <stdlib.h>

#include "../../lib/ipc/message.h"

#define REQUIRE(condition)                                                     \
    do {                                                                       \
        if (!(condition)) {                                                    \
            abort();                                                           \
        }                                                                      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The layout, written down a second time. */
static bool
is_message(const uint8_t *data, size_t size)
{
    return size >= 16 && size <= 65536 && data[0] == 'S' && data[1] == 'k' &&
           data[2] == 1 && data[3] >= 1 && data[3] <= 9 &&
           ((size_t) data[4] << 24 | (size_t) data[5] << 16 |
            (size_t) data[6] << 8 | data[7]) == size - 16;
}

static void
check_hello(const message_t *message)
{
    static uint8_t again[MESSAGE_SIZE_MAX];
    message_hello_t hello;
    size_t size;

    if (!message_parse_hello(message, &hello)) {
        return;
    }
    size = message_write_hello(again, sizeof(again), message->number, &hello);
    REQUIRE(size == MESSAGE_HEAD_SIZE + message->payload_size);
    REQUIRE(memcmp(again, message->payload - MESSAGE_HEAD_SIZE, size) == 0);
}

static void
same_record(const record_t *a, const record_t *b)
{
    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        REQUIRE(slice_equal(a->values[i], b->values[i]));
    }
    REQUIRE(a->cut == b->cut);
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

static void
check_line(const record_t *record)
{
    static char line[RECORD_SIZE_MAX + 1], again[RECORD_SIZE_MAX + 1];
    static char buffer[RECORD_SIZE_MAX];
    size_t size = record_render(record, line, sizeof(line));
    record_t read;

    REQUIRE(size > 0 && size <= RECORD_SIZE_MAX);
    for (size_t i = 0; i < size; i++) {
        REQUIRE((unsigned char) line[i] >= ' ');
    }
    REQUIRE(record_parse((slice_t){line, size}, &read, buffer));
    if (!has_grown(&read)) {
        REQUIRE(record_render(&read, again, sizeof(again)) == size);
        REQUIRE(memcmp(line, again, size) == 0);
    }
}

static void
check_records(const message_t *message)
{
    static uint8_t packet[MESSAGE_SIZE_MAX];
    message_batch_t batch;
    message_t copy;
    record_t record, again;
    size_t offset = 0, offset_again = 0, size;
    unsigned count = 0;
    int result;

    message_batch_begin(&batch, packet, sizeof(packet), message->number);
    while ((result = message_next_record(message, &offset, &record)) == 1) {
        REQUIRE(offset <= message->payload_size);
        check_line(&record);
        /* a packet has its bound; what is cut to fit a record's is marked */
        if (!message_batch_add(&batch, &record)) {
            break;
        }
        count++;
    }
    REQUIRE(result != 0 || offset == message->payload_size);
    REQUIRE(batch.count == count);
    size = message_batch_end(&batch);
    REQUIRE((size == 0) == (count == 0));
    if (size == 0) {
        return;
    }
    REQUIRE(message_parse(packet, size, &copy) == MESSAGE_OK);
    REQUIRE(copy.type == MESSAGE_RECORDS && copy.number == message->number);
    offset = 0;
    for (unsigned i = 0; i < count; i++) {
        REQUIRE(message_next_record(message, &offset, &record) == 1);
        REQUIRE(message_next_record(&copy, &offset_again, &again) == 1);
        if (again.cut == record.cut) {
            same_record(&record, &again);
        }
    }
    REQUIRE(message_next_record(&copy, &offset_again, &again) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* of its own size, so that a byte read behind it is seen */
    uint8_t *bytes = malloc(size == 0 ? 1 : size);
    message_t message;
    message_result_t result;

    REQUIRE(bytes != NULL);
    if (size > 0) {
        memcpy(bytes, data, size);
    }
    result = message_parse(bytes, size, &message);
    REQUIRE((result == MESSAGE_OK) == is_message(bytes, size));
    REQUIRE(message_strerror(result)[0] != '\0');
    if (result == MESSAGE_OK) {
        REQUIRE(message.payload_size == size - MESSAGE_HEAD_SIZE);
        check_hello(&message);
        if (message.type == MESSAGE_RECORDS) {
            check_records(&message);
        }
    }
    free(bytes);
    return 0;
}
