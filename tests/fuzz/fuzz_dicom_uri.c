/*
 * Any bytes as a request: a line with the method, one with the Accept header,
 * and the rest is the target.
 *
 * What comes out must obey its rules whatever went in: a safe method cannot
 * change anything by itself, an unsafe one cannot be milder than it is, and a
 * target with other letters encoded is the same target.  And the fast way
 * through a path finds what the slow one finds.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/dicom/dicom_internal.h"

#define TARGET_SIZE_MAX (64 * 1024)

#define REQUIRE(condition)                                                     \
    do {                                                                       \
        if (!(condition)) {                                                    \
            abort();                                                           \
        }                                                                      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static slice_t
take_line(slice_t *rest)
{
    const char *end = rest->size == 0 ? NULL
                                      : memchr(rest->data, '\n', rest->size);
    slice_t line = *rest;

    if (end == NULL) {
        *rest = slice_from(*rest, rest->size);
        return line;
    }
    line.size = (size_t) (end - rest->data);
    *rest = slice_from(*rest, line.size + 1);
    return line;
}


static void
check_id(const dicom_id_t *id)
{
    unsigned sum = 0;

    REQUIRE(id->size <= DICOM_ID_SIZE_MAX);
    /* nothing but half a character is missing at a cut */
    REQUIRE(!id->cut || id->size + 3 >= DICOM_ID_SIZE_MAX);
    for (size_t i = 0; i < id->size; i++) {
        sum += (uint8_t) id->data[i]; /* all of it was written (MSan) */
    }
    REQUIRE(sum <= DICOM_ID_SIZE_MAX * 255);
}


static action_t
classify(slice_t method, slice_t target, slice_t accept)
{
    dicom_request_t request;

    dicom_classify(method, target, accept, &request);
    REQUIRE(request.action > ACTION_NONE && request.action < ACTION_COUNT);

    return request.action;
}


/* Nothing depends on what was in the memory before. */
static void
check_request(slice_t method, slice_t target, slice_t accept)
{
    dicom_request_t request, again;

    memset(&request, 0x55, sizeof(request));
    memset(&again, 0xaa, sizeof(again));
    dicom_classify(method, target, accept, &request);
    dicom_classify(method, target, accept, &again);

    REQUIRE(request.action > ACTION_NONE && request.action < ACTION_COUNT);
    REQUIRE(request.api <= DICOM_API_DCM4CHEE);
    REQUIRE(request.action == again.action && request.api == again.api);
    REQUIRE(request.certain == again.certain);
    REQUIRE(slice_equal(dicom_id(&request.patient), dicom_id(&again.patient)));
    REQUIRE(slice_equal(dicom_id(&request.study), dicom_id(&again.study)));
    check_id(&request.patient);
    check_id(&request.study);
    check_id(&request.series);
    check_id(&request.instance);
}


/* The fast way through a path against the slow one. */
static void
check_path(slice_t target, unsigned reading)
{
    dicom_path_t fast, slow;

    REQUIRE(dicom_uri_path(target, reading, &fast) ==
            dicom_uri_path_closely(target, reading, &slow));
    REQUIRE(fast.count == slow.count && fast.too_deep == slow.too_deep &&
            fast.dcm4chee == slow.dcm4chee);
    for (unsigned i = 0; i < fast.count; i++) {
        const dicom_segment_t *a = &fast.segments[i], *b = &slow.segments[i];

        REQUIRE(a->text.data == b->text.data && a->text.size == b->text.size);
        REQUIRE(a->word == b->word && a->form == b->form);
    }
}


static bool
is_plain(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || c == '.' || c == '-';
}


static bool
is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
           (c >= 'A' && c <= 'F');
}


/* Letters, digits and dots of the path, all written as %XX. */
static char *
encode_path(slice_t target, size_t *size)
{
    static const char digits[] = "0123456789abcdef";
    char *encoded = malloc(target.size * 3 + 1);
    size_t n = 0, i;

    REQUIRE(encoded != NULL);
    for (i = 0; i < target.size && target.data[i] != '?'; i++) {
        char c = target.data[i];

        if (c == '%' && target.size - i >= 3 && is_hex(target.data[i + 1]) &&
            is_hex(target.data[i + 2]))
        {
            memcpy(encoded + n, target.data + i, 3);
            n += 3;
            i += 2;
        } else if (is_plain(c)) {
            encoded[n++] = '%';
            encoded[n++] = digits[(uint8_t) c >> 4];
            encoded[n++] = digits[(uint8_t) c & 15];
        } else {
            encoded[n++] = c;
        }
    }
    memcpy(encoded + n, target.data + i, target.size - i);
    *size = n + target.size - i;

    return encoded;
}


/* Could there be a _method parameter, in any writing? */
static bool
may_override(slice_t target)
{
    for (size_t i = 0; i < target.size; i++) {
        if (target.data[i] == '_' || target.data[i] == '%') {
            return true;
        }
    }

    return false;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice_t target = {(const char *) data, size};
    slice_t method = take_line(&target);
    slice_t accept = take_line(&target);
    action_t get;

    if (target.size > TARGET_SIZE_MAX) {
        return 0;
    }
    check_request(method, target, accept);
    check_path(target, READING_FIRST);
    check_path(target, 0);

    get = classify(SLICE("GET"), target, accept);
    REQUIRE(classify(SLICE("HEAD"), target, accept) == get);
    REQUIRE(classify(SLICE("PUT"), target, accept) == ACTION_ADMIN);
    REQUIRE(classify(SLICE("TRACE"), target, accept) == ACTION_ADMIN);
    REQUIRE(classify(SLICE("DELETE"), target, accept) >= ACTION_DELETE);

    if (!may_override(target)) {
        REQUIRE(get <= ACTION_DOWNLOAD);
        REQUIRE(classify(SLICE("OPTIONS"), target, accept) == ACTION_VIEW);
    }
    /* no header allows more than any header */
    if (get == ACTION_DOWNLOAD) {
        REQUIRE(classify(SLICE("GET"), target, (slice_t){"", 0}) == get);
    }

    if (target.size > 0 && target.data[0] == '/') {
        size_t encoded_size;
        char *encoded = encode_path(target, &encoded_size);

        REQUIRE(classify(SLICE("GET"), (slice_t){encoded, encoded_size},
                         accept) == get);
        free(encoded);
    }

    return 0;
}
