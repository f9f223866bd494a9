/*
 * Questions as any local user may send them: whole packets.  What is read must
 * lie inside, and be written again as it came.
 */

#include <stdlib.h>

#include "../../lib/ipc/otp_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_values(const ask_t *ask, const uint8_t *data, size_t size)
{
    for (unsigned i = 0; i < ASK_FIELDS; i++) {
        const uint8_t *value = (const uint8_t *) ask->values[i].data;
        size_t length = ask->values[i].size;

        if (length > 0 &&
            (value < data || length > size || value > data + size - length))
        {
            abort();
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[MESSAGE_SIZE_MAX];
    uint8_t secret[64];
    message_t message, second;
    ask_t ask, back;
    uint64_t number;
    size_t written;

    if (message_parse(data, size, &message) != MESSAGE_OK ||
        !ask_parse(&message, &ask))
    {
        return 0;
    }
    check_values(&ask, data, size);
    written = ask_write(again, sizeof(again), message.type, message.number,
                        &ask);
    if (written != size ||
        message_parse(again, written, &second) != MESSAGE_OK ||
        second.number != message.number || !ask_parse(&second, &back))
    {
        abort();
    }
    for (unsigned i = 0; i < ASK_FIELDS; i++) {
        if (!slice_equal(ask.values[i], back.values[i])) {
            abort();
        }
    }
    if (ask_number_parse(ask.values[ASK_OPERATION], ASK_OPERATIONS - 1,
                         &number) &&
        ask_operation_name((ask_operation_t) number) == NULL)
    {
        abort();
    }
    if (ask_base32_read(ask.values[ASK_SECRET], secret, sizeof(secret)) >
        sizeof(secret))
    {
        abort();
    }
    (void) ask_name_ok(ask.values[ASK_USER], 256);
    return 0;
}
