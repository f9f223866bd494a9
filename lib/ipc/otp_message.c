#include "otp_message.h"

#include "../base/endian.h"

#define FIELD_HEAD 3 /* number, then two bytes of length */

_Static_assert(ASK_FIELDS <= 64, "a mask of fields has a bit for each");

static size_t
value_max(unsigned field)
{
    return field == ASK_TEXT ? ASK_TEXT_MAX : ASK_VALUE_MAX;
}

size_t
ask_write(uint8_t *bytes, size_t capacity, message_type_t type, uint64_t number,
          const ask_t *ask)
{
    size_t used = MESSAGE_HEAD_SIZE;

    if (capacity > MESSAGE_SIZE_MAX) {
        capacity = MESSAGE_SIZE_MAX;
    }
    if (capacity < MESSAGE_HEAD_SIZE) {
        return 0;
    }
    for (unsigned i = ASK_OPERATION; i < ASK_FIELDS; i++) {
        slice_t value = ask->values[i];

        if (value.size == 0) {
            continue;
        }
        if (value.size > value_max(i) ||
            capacity - used < FIELD_HEAD + value.size) {
            return 0;
        }
        bytes[used] = (uint8_t) i;
        store_be16(bytes + used + 1, (uint16_t) value.size);
        memcpy(bytes + used + FIELD_HEAD, value.data, value.size);
        used += FIELD_HEAD + value.size;
    }
    /* the payload stands where it belongs: the head alone is written, as
     * message_write() would copy a payload onto itself */
    if (message_write(bytes, MESSAGE_HEAD_SIZE, type, number, NULL, 0) == 0) {
        return 0;
    }
    store_be32(bytes + 4, (uint32_t) (used - MESSAGE_HEAD_SIZE));
    return used;
}

bool
ask_parse(const message_t *message, ask_t *ask)
{
    const uint8_t *bytes = message->payload;
    size_t left = message->payload_size;
    uint64_t seen = 0;

    memset(ask, 0, sizeof(*ask));
    if (message->type != MESSAGE_ASK && message->type != MESSAGE_ANSWER) {
        return false;
    }
    while (left > 0) {
        unsigned field = bytes[0];
        size_t size = left < FIELD_HEAD ? 0 : load_be16(bytes + 1);

        if (field == 0 || field >= ASK_FIELDS || size == 0 ||
            size > left - FIELD_HEAD || size > value_max(field) ||
            (seen >> field & 1) != 0)
        {
            memset(ask, 0, sizeof(*ask));
            return false;
        }
        seen |= UINT64_C(1) << field;
        ask->values[field] = (slice_t){(const char *) bytes + FIELD_HEAD, size};
        bytes += FIELD_HEAD + size;
        left -= FIELD_HEAD + size;
    }
    return true;
}

const char *
ask_operation_name(ask_operation_t operation)
{
    static const char *const names[ASK_OPERATIONS] = {
        [ASK_NONE] = "none",         [ASK_VERIFY] = "verify",
        [ASK_PLACE] = "place",       [ASK_STATE] = "state",
        [ASK_GRACE] = "grace",       [ASK_ENROLL] = "enroll",
        [ASK_CONFIRM] = "confirm",   [ASK_REMOVE] = "remove",
        [ASK_UNLOCK] = "unlock",     [ASK_RECOVERY] = "recovery",
        [ASK_LIST] = "list",         [ASK_EXPORT] = "export",
        [ASK_IMPORT] = "import",     [ASK_REKEY] = "rekey",
        [ASK_LOCK_STATE] = "locked", [ASK_CLOCK] = "clock",
    };

    return (unsigned) operation < ASK_OPERATIONS ? names[operation] : "none";
}

const char *
ask_number(uint64_t number, char text[ASK_NUMBER_SIZE])
{
    size_t at = ASK_NUMBER_SIZE - 1;

    text[at] = '\0';
    do {
        text[--at] = (char) ('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return &text[at];
}

bool
ask_number_parse(slice_t text, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;

    if (text.size == 0 || text.size > 19) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t) (text.data[i] - '0');
    }
    if (value > max) {
        return false;
    }
    *number = value;
    return true;
}

size_t
ask_base32_write(char *text, size_t capacity, const uint8_t *bytes, size_t size)
{
    size_t length = (size * 8 + 4) / 5;
    uint32_t bits = 0;
    unsigned held = 0;
    size_t used = 0;

    if (length >= capacity) {
        return 0;
    }
    while (used < length) {
        uint32_t five, letter;

        if (held < 5) {
            bits = bits << 8 | (size > 0 ? *bytes : 0);
            bytes += size > 0;
            size -= size > 0;
            held += 8;
        }
        held -= 5;
        five = bits >> held & 31;
        /* 'A' + five, or '2' + five - 26: no table, as its lines of the cache
         * would tell of the secret */
        letter = 'A' + five;
        letter -= ((25 - five) >> 31) * ('A' + 26 - '2');
        text[used++] = (char) letter;
    }
    text[used] = '\0';
    return used;
}

size_t
ask_base32_read(slice_t text, uint8_t *bytes, size_t capacity)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t used = 0;

    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char) text.data[i];
        uint32_t five;

        if (c == ' ' || c == '-' || c == '=') {
            continue;
        }
        if (c >= 'A' && c <= 'Z') {
            five = (uint32_t) (c - 'A');
        } else if (c >= 'a' && c <= 'z') {
            five = (uint32_t) (c - 'a');
        } else if (c >= '2' && c <= '7') {
            five = (uint32_t) (c - '2' + 26);
        } else {
            return 0;
        }
        bits = bits << 5 | five;
        held += 5;
        if (held >= 8) {
            if (used == capacity) {
                return 0;
            }
            held -= 8;
            bytes[used++] = (uint8_t) (bits >> held);
        }
    }
    return used;
}

bool
ask_name_ok(slice_t name, size_t max)
{
    if (name.size == 0 || name.size > max) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        unsigned char c = (unsigned char) name.data[i];

        if (c < 0x20 || c == 0x7f) {
            return false;
        }
    }
    return true;
}
