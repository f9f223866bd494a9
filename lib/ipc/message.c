#include "message.h"

#include "../base/endian.h"

#define RECORD_HEAD 4 /* size of the record that follows */
#define SOURCE_MAX  16
#define NEWS_SIZE   8

static const uint8_t magic[2] = {'S', 'k'};

message_result_t
message_parse(const uint8_t *bytes, size_t size, message_t *message)
{
    memset(message, 0, sizeof(*message));
    if (size < MESSAGE_HEAD_SIZE || size > MESSAGE_SIZE_MAX) {
        return MESSAGE_BAD_SIZE;
    }
    if (memcmp(bytes, magic, sizeof(magic)) != 0) {
        return MESSAGE_BAD_MAGIC;
    }
    if (bytes[2] != MESSAGE_VERSION) {
        return MESSAGE_BAD_VERSION;
    }
    if (bytes[3] == MESSAGE_NONE || bytes[3] >= MESSAGE_TYPES) {
        return MESSAGE_BAD_TYPE;
    }
    if (load_be32(bytes + 4) != size - MESSAGE_HEAD_SIZE) {
        return MESSAGE_BAD_SIZE;
    }
    message->type = (message_type_t) bytes[3];
    message->number = load_be64(bytes + 8);
    message->payload = bytes + MESSAGE_HEAD_SIZE;
    message->payload_size = size - MESSAGE_HEAD_SIZE;
    return MESSAGE_OK;
}

const char *
message_strerror(message_result_t result)
{
    switch (result) {
    case MESSAGE_OK:
        return "no error";
    case MESSAGE_BAD_SIZE:
        return "its size is not what it says";
    case MESSAGE_BAD_MAGIC:
        return "it is no message of this protocol";
    case MESSAGE_BAD_VERSION:
        return "another version of the protocol: upgrade both sides";
    case MESSAGE_BAD_TYPE:
        return "unknown type of message";
    default:
        return "bad message";
    }
}

static void
write_head(uint8_t *bytes, message_type_t type, uint64_t number, size_t size)
{
    memcpy(bytes, magic, sizeof(magic));
    bytes[2] = MESSAGE_VERSION;
    bytes[3] = (uint8_t) type;
    store_be32(bytes + 4, (uint32_t) size);
    store_be64(bytes + 8, number);
}

size_t
message_write(uint8_t *bytes, size_t capacity, message_type_t type,
              uint64_t number, const void *payload, size_t size)
{
    if (size > MESSAGE_SIZE_MAX - MESSAGE_HEAD_SIZE ||
        capacity < MESSAGE_HEAD_SIZE + size)
    {
        return 0;
    }
    write_head(bytes, type, number, size);
    if (size != 0) {
        memcpy(bytes + MESSAGE_HEAD_SIZE, payload, size);
    }
    return MESSAGE_HEAD_SIZE + size;
}

static bool
is_source(slice_t source)
{
    if (source.size == 0 || source.size > SOURCE_MAX) {
        return false;
    }
    for (size_t i = 0; i < source.size; i++) {
        if (source.data[i] < 'a' || source.data[i] > 'z') {
            return false;
        }
    }
    return true;
}

size_t
message_write_hello(uint8_t *bytes, size_t capacity, uint64_t number,
                    const message_hello_t *hello)
{
    uint8_t payload[MESSAGE_FRONT_SIZE + SOURCE_MAX];

    if (!is_source(hello->source)) {
        return 0;
    }
    memcpy(payload, hello->front, MESSAGE_FRONT_SIZE);
    memcpy(payload + MESSAGE_FRONT_SIZE, hello->source.data,
           hello->source.size);
    return message_write(bytes, capacity, MESSAGE_HELLO, number, payload,
                         MESSAGE_FRONT_SIZE + hello->source.size);
}

bool
message_parse_hello(const message_t *message, message_hello_t *hello)
{
    if (message->type != MESSAGE_HELLO ||
        message->payload_size < MESSAGE_FRONT_SIZE)
    {
        return false;
    }
    memcpy(hello->front, message->payload, MESSAGE_FRONT_SIZE);
    hello->source = (slice_t){(const char *) message->payload +
                                  MESSAGE_FRONT_SIZE,
                              message->payload_size - MESSAGE_FRONT_SIZE};
    return is_source(hello->source);
}

size_t
message_write_news(uint8_t *bytes, size_t capacity, message_type_t type,
                   uint64_t number, const message_news_t *news)
{
    uint8_t payload[NEWS_SIZE];

    store_be64(payload, (uint64_t) news->review_due);
    return message_write(bytes, capacity, type, number, payload,
                         sizeof(payload));
}

bool
message_parse_news(const message_t *message, message_news_t *news)
{
    if ((message->type != MESSAGE_WELCOME && message->type != MESSAGE_ACK) ||
        message->payload_size < NEWS_SIZE)
    {
        return false;
    }
    news->review_due = (int64_t) load_be64(message->payload);
    if (news->review_due < 0) {
        news->review_due = 0;
    }
    return true;
}

void
message_batch_begin(message_batch_t *batch, uint8_t *bytes, size_t capacity,
                    uint64_t first_number)
{
    *batch = (message_batch_t){
        .bytes = bytes,
        .capacity = capacity < MESSAGE_SIZE_MAX ? capacity : MESSAGE_SIZE_MAX,
        .size = MESSAGE_HEAD_SIZE,
    };
    if (capacity < MESSAGE_HEAD_SIZE) {
        batch->capacity = 0;
        batch->size = 0;
        return;
    }
    write_head(bytes, MESSAGE_RECORDS, first_number, 0);
}

bool
message_batch_add(message_batch_t *batch, const record_t *record)
{
    size_t room = batch->capacity - batch->size;
    size_t size;

    if (room < RECORD_HEAD) {
        return false;
    }
    size = record_encode(record, batch->bytes + batch->size + RECORD_HEAD,
                         room - RECORD_HEAD);
    if (size == 0) {
        return false;
    }
    store_be32(batch->bytes + batch->size, (uint32_t) size);
    batch->size += RECORD_HEAD + size;
    batch->count++;
    return true;
}

size_t
message_batch_end(message_batch_t *batch)
{
    if (batch->count == 0) {
        return 0;
    }
    store_be32(batch->bytes + 4, (uint32_t) (batch->size - MESSAGE_HEAD_SIZE));
    return batch->size;
}

int
message_next_record(const message_t *message, size_t *offset, record_t *record)
{
    size_t left = message->payload_size - *offset;
    size_t size;

    if (left == 0) {
        return 0;
    }
    if (left < RECORD_HEAD) {
        return -1;
    }
    size = load_be32(message->payload + *offset);
    if (size == 0 || size > left - RECORD_HEAD ||
        !record_decode(message->payload + *offset + RECORD_HEAD, size, record))
    {
        return -1;
    }
    *offset += RECORD_HEAD + size;
    return 1;
}
