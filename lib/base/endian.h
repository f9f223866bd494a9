/* On-disk integers are little-endian and go through here, never through a
 * cast: image and trail are read on any machine and at any alignment. */

#ifndef SEKISHO_BASE_ENDIAN_H
#define SEKISHO_BASE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define ENDIAN_ACCESS(bits)                                                    \
    static inline uint##bits##_t load_le##bits(const void *bytes)              \
    {                                                                          \
        uint##bits##_t value;                                                  \
        memcpy(&value, bytes, sizeof(value));                                  \
        return le##bits##toh(value);                                           \
    }                                                                          \
    static inline void store_le##bits(void *bytes, uint##bits##_t value)       \
    {                                                                          \
        value = htole##bits(value);                                            \
        memcpy(bytes, &value, sizeof(value));                                  \
    }                                                                          \
    static inline uint##bits##_t load_be##bits(const void *bytes)              \
    {                                                                          \
        uint##bits##_t value;                                                  \
        memcpy(&value, bytes, sizeof(value));                                  \
        return be##bits##toh(value);                                           \
    }                                                                          \
    static inline void store_be##bits(void *bytes, uint##bits##_t value)       \
    {                                                                          \
        value = htobe##bits(value);                                            \
        memcpy(bytes, &value, sizeof(value));                                  \
    }

ENDIAN_ACCESS(16)
ENDIAN_ACCESS(32)
ENDIAN_ACCESS(64)

#undef ENDIAN_ACCESS

#endif
