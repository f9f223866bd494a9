/*
 * A JSON writer (RFC 8259) into a growing or a fixed buffer.  Whatever bytes
 * come in, the output is valid UTF-8: bytes that are none become U+FFFD.
 */

#ifndef SEKISHO_BASE_JSON_H
#define SEKISHO_BASE_JSON_H

#include <stdint.h>

#include "slice.h"

#define JSON_DEPTH_MAX 16

typedef struct {
    char *data;
    size_t size;
    size_t capacity;
    bool fixed;  /* the buffer is the caller's: no growth */
    bool failed; /* out of memory, of space or of depth: nothing is usable */
    uint8_t depth;
    uint16_t filled; /* bit per depth: a comma is due */
} json_t;

/* A growing buffer: json_free() when done. */
void json_init(json_t *json);
/* Into the caller's bytes; never allocates. */
void json_init_fixed(json_t *json, char *buffer, size_t capacity);
void json_free(json_t *json);

/* `name` is NULL inside an array and at the top. */
void json_object(json_t *json, const char *name);
void json_array(json_t *json, const char *name);
void json_end_object(json_t *json);
void json_end_array(json_t *json);
void json_text(json_t *json, const char *name, slice_t text);
void json_string(json_t *json, const char *name, const char *text);
void json_int(json_t *json, const char *name, int64_t number);
void json_bool(json_t *json, const char *name, bool value);
void json_null(json_t *json, const char *name);

/*
 * A member of an object, for what writes very many of them: `name` is a text in
 * an array of that size, of which nothing has to be escaped.  The value of
 * json_member() stands there as it comes: digits.
 */
#define JSON_NAME_SIZE 24
void json_member(json_t *json, const char name[JSON_NAME_SIZE], slice_t value);
void json_member_text(json_t *json, const char name[JSON_NAME_SIZE],
                      slice_t text);

/* Only the escaped inside of a string, without quotes; for other writers. */
void json_escape(json_t *json, slice_t text);

/* The text so far, NUL-terminated; empty if failed. */
slice_t json_result(json_t *json);

#endif
