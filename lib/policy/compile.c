/* A checked policy -> the bytes of an image. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/wipe.h"
#include "compile_parts.h"

static void
compile_free(compile_t *compile)
{
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        free(compile->sections[i].data);
        free(compile->pools[i].lists);
        free(compile->pools[i].slots);
    }
}

static size_t
aligned(size_t size)
{
    return (size + IMAGE_ALIGNMENT - 1) & ~(size_t) (IMAGE_ALIGNMENT - 1);
}

static int
assemble(const compile_t *compile, uint8_t **bytes, size_t *size)
{
    size_t total = IMAGE_HEADER_SIZE, at = IMAGE_HEADER_SIZE;
    uint8_t *image;
    int result;

    for (size_t i = 0; i < SECTION_COUNT; i++) {
        total += aligned(compile->sections[i].size);
        if (total > POLICY_IMAGE_SIZE_MAX) {
            return -EFBIG;
        }
    }
    image = calloc(1, total);
    if (image == NULL) {
        return -ENOMEM;
    }
    memcpy(image + IMAGE_AT_MAGIC, IMAGE_MAGIC, sizeof(IMAGE_MAGIC) - 1);
    store_le32(image + IMAGE_AT_VERSION, IMAGE_LAYOUT_VERSION);
    store_le32(image + IMAGE_AT_LINES4_BITS, compile->lines4_bits);
    store_le32(image + IMAGE_AT_LINES6_BITS, compile->lines6_bits);
    store_le32(image + IMAGE_AT_BLOCK6_BITS, compile->block6_bits);
    store_le64(image + IMAGE_AT_BLOCK6, compile->block6);
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        store_le32(image + IMAGE_AT_COUNTS + 4 * i,
                   compile_count(compile, (image_section_t) i));
        if (compile->sections[i].size > 0) {
            memcpy(image + at, compile->sections[i].data,
                   compile->sections[i].size);
        }
        at += aligned(compile->sections[i].size);
    }
    result = image_seal(image, total);
    if (result < 0) {
        free(image);
        return result;
    }
    *bytes = image;
    *size = total;
    return 0;
}

int
policy_compile(const policy_source_t *source, report_t *report, uint8_t **bytes,
               size_t *size)
{
    _cleanup_(compile_free) compile_t compile = {
        .source = source,
        .report = report,
    };
    report_place_t place = {0};
    int result;

    *bytes = NULL;
    *size = 0;
    if (source->facilities_count > 0) {
        place.file = source->facilities[0].place.file;
    }
    if (source->facilities_count > POLICY_FACILITIES_MAX) {
        report_add(report, REPORT_ERROR, place,
                   "%zu facilities are more than %d: put several places into "
                   "one facility",
                   source->facilities_count, POLICY_FACILITIES_MAX);
        return -EINVAL;
    }
    compile.facilities = (uint32_t) source->facilities_count;

    result = compile_facilities(&compile);
    if (result == 0) {
        result = compile_devices(&compile);
    }
    if (result == 0) {
        result = compile_networks(&compile);
    }
    if (result == 0) {
        result = assemble(&compile, bytes, size);
    }
    if (result == -EFBIG) {
        report_add(report, REPORT_ERROR, place,
                   "the compiled policy would be larger than %u MB: shorten "
                   "its lists of networks and users",
                   POLICY_IMAGE_SIZE_MAX / (1024 * 1024));
    }
    return result;
}
