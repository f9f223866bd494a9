/*
 * A slice: a pointer and a length, never assumed NUL-terminated, never owned.
 */

#ifndef SEKISHO_BASE_SLICE_H
#define SEKISHO_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct {
    const char *data;
    size_t size; /* bytes */
} slice_t;

/* A slice over a string literal. */
#define SLICE(literal) ((slice_t){(literal), sizeof(literal) - 1})

/* For printf's "%.*s": the length, then the pointer. */
#define SLICE_ARG(slice) (int) (slice).size, (slice).data

static inline slice_t
slice_of(const char *string)
{
    return (slice_t){string, string == NULL ? 0 : strlen(string)};
}

static inline bool
slice_equal(slice_t a, slice_t b)
{
    return a.size == b.size &&
           (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool
slice_is(slice_t a, const char *string)
{
    return slice_equal(a, slice_of(string));
}

static inline bool
slice_starts(slice_t a, slice_t prefix)
{
    return a.size >= prefix.size &&
           (prefix.size == 0 || memcmp(a.data, prefix.data, prefix.size) == 0);
}

static inline slice_t
slice_from(slice_t a, size_t offset)
{
    return (slice_t){a.data + offset, a.size - offset};
}

#endif
