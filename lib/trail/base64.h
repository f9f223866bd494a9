/*
 * Base64, RFC 4648 section 4: with padding, and strict, so that a value has
 * exactly one text.
 */

#ifndef SEKISHO_TRAIL_BASE64_H
#define SEKISHO_TRAIL_BASE64_H

#include <stdint.h>

#include "../base/slice.h"

/* Characters for `size` bytes; without a NUL. */
#define BASE64_SIZE(size) (((size) + 2) / 3 * 4)

/* Writes BASE64_SIZE(size) characters, no NUL; returns how many. */
size_t base64_encode(const void *bytes, size_t size, char *text);

/*
 * Decodes into at most `capacity` bytes.  False for a foreign character, wrong
 * padding, bits set behind the end, or too little room.
 */
bool base64_decode(slice_t text, uint8_t *bytes, size_t capacity, size_t *size);

#endif
