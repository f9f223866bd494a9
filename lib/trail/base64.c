#include "base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz0123456789+/";

size_t
base64_encode(const void *data, size_t size, char *text)
{
    const uint8_t *bytes = data;
    size_t used = 0;

    while (size > 0) {
        uint32_t group = (uint32_t) bytes[0] << 16;

        if (size > 1) {
            group |= (uint32_t) bytes[1] << 8;
        }
        if (size > 2) {
            group |= bytes[2];
        }
        text[used++] = alphabet[group >> 18];
        text[used++] = alphabet[group >> 12 & 63];
        text[used++] = size > 1 ? alphabet[group >> 6 & 63] : '=';
        text[used++] = size > 2 ? alphabet[group & 63] : '=';
        bytes += 3;
        size -= size < 3 ? size : 3;
    }
    return used;
}

static int
value_of(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
base64_decode(slice_t text, uint8_t *bytes, size_t capacity, size_t *size)
{
    size_t used = 0, padding = 0, i, k;

    if (text.size % 4 != 0) {
        return false;
    }
    if (text.size > 0 && text.data[text.size - 1] == '=') {
        padding = text.data[text.size - 2] == '=' ? 2 : 1;
    }
    for (i = 0; i < text.size; i += 4) {
        size_t filled = i + 4 == text.size ? 4 - padding : 4;
        uint32_t group = 0;

        for (k = 0; k < 4; k++) {
            int value = k < filled ? value_of(text.data[i + k]) : 0;

            if (value < 0) {
                return false;
            }
            group = group << 6 | (uint32_t) value;
        }
        if ((filled == 2 && (group & 0xffff) != 0) ||
            (filled == 3 && (group & 0xff) != 0))
        {
            return false; /* a second text for the same value */
        }
        if (capacity - used < filled - 1) {
            return false;
        }
        for (k = 0; k + 1 < filled; k++) {
            bytes[used++] = (uint8_t) (group >> (16 - 8 * k));
        }
    }
    *size = used;
    return true;
}
