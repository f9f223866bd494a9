/*
 * Any bytes as an image.  As they are, the seal refuses nearly all; so they are
 * tried a second time with magic, version, size and seal put right, which is
 * what somebody could do who wants to reach beyond them.
 *
 * An image lies in memory from mmap, where no sanitizer sees a step too far.
 * Therefore the check runs once more on memory of just the image's size, and
 * what it accepts is used with each section in memory of its own.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/policy/image_layout.h"
#include "../unit/image_walk.h"

#define SIZE_MAX_FUZZED ((size_t) 1 << 20)

#define REQUIRE(condition)                                                     \
    do {                                                                       \
        if (!(condition)) {                                                    \
            (void) fprintf(stderr, "not so: %s\n", #condition);                \
            abort();                                                           \
        }                                                                      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max,
                               unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);

static void
walk(const policy_image_t *image)
{
    const char *wrong = image_walk(image);

    if (wrong != NULL) {
        (void) fprintf(stderr, "not so: %s\n", wrong);
        abort();
    }
}

/* As the programs do it. */
static bool
open_whole(const uint8_t *bytes, size_t size)
{
    policy_image_t *image = NULL;
    policy_image_result_t result = policy_image_open(bytes, size, &image);

    REQUIRE(result != POLICY_IMAGE_INVALID && result != POLICY_IMAGE_AGAIN);
    REQUIRE((result == POLICY_IMAGE_OK) == (image != NULL));
    REQUIRE(policy_image_strerror(result) != NULL);
    if (image == NULL) {
        return false;
    }
    REQUIRE(policy_image_size(image) == size);
    walk(image);
    policy_image_free(image);
    return true;
}

/* Each section where a step beyond it is seen. */
static void
walk_apart(policy_image_t *image)
{
    uint8_t *parts[SECTION_COUNT];

    for (size_t i = 0; i < SECTION_COUNT; i++) {
        size_t size = (size_t) image_element_size[i] * image->count[i];

        parts[i] = malloc(size);
        REQUIRE(parts[i] != NULL);
        if (size > 0) {
            memcpy(parts[i], image->section[i], size);
        }
        image->section[i] = parts[i];
    }
    walk(image);
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        free(parts[i]);
    }
}

static bool
check_apart(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size);
    policy_image_t image = {.bytes = copy, .size = size};
    policy_image_result_t result;
    image_check_t check = {0};

    REQUIRE(copy != NULL);
    memcpy(copy, bytes, size);
    do {
        result = image_check(&image, &check);
    } while (result == POLICY_IMAGE_AGAIN);
    REQUIRE(result == POLICY_IMAGE_OK || result == POLICY_IMAGE_CONTENT);
    if (result == POLICY_IMAGE_OK) {
        walk_apart(&image);
    }
    free(copy);
    return result == POLICY_IMAGE_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes;

    if (size > SIZE_MAX_FUZZED) {
        return -1;
    }
    (void) open_whole(data, size);
    if (size < IMAGE_HEADER_SIZE) {
        return 0;
    }
    bytes = malloc(size);
    REQUIRE(bytes != NULL);
    memcpy(bytes, data, size);
    memcpy(bytes + IMAGE_AT_MAGIC, IMAGE_MAGIC, sizeof(IMAGE_MAGIC) - 1);
    store_le32(bytes + IMAGE_AT_VERSION, IMAGE_LAYOUT_VERSION);
    REQUIRE(image_seal(bytes, size) == 0);
    REQUIRE(open_whole(bytes, size) == check_apart(bytes, size));
    free(bytes);
    return 0;
}

/* Nearly all of an image are numbers of 32 bits, where the ones that matter are
 * near to others: bytes at random would seldom find them. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max,
                        unsigned seed)
{
    size_t words = size / 4, at, from;
    uint32_t word;

    if (words == 0 || seed % 16 == 0) {
        return LLVMFuzzerMutate(data, size, size_max);
    }
    seed /= 16;
    at = 4 * ((seed >> 6) % words);
    from = 4 * ((seed >> 6) * UINT64_C(2654435761) % words);
    word = load_le32(data + at);
    switch (seed % 9) {
    case 0:
        word++;
        break;
    case 1:
        word--;
        break;
    case 2:
        word = 0;
        break;
    case 3:
        word = UINT32_MAX >> (seed >> 3) % 32;
        break;
    case 4:
        word ^= 1u << (seed >> 3) % 32;
        break;
    case 5:
        word = load_le32(data + from);
        break;
    case 6:
        word += load_le32(data + from);
        break;
    case 7:
        word = (seed >> 3) % 100;
        break;
    default:
        /* a section of one element more or less: what is padding, or was */
        at = IMAGE_AT_COUNTS + 4 * ((seed >> 6) % SECTION_COUNT);
        if (at + 4 > size) {
            return size;
        }
        word = load_le32(data + at) + ((seed >> 3) % 2 == 0 ? 1u : UINT32_MAX);
        break;
    }
    store_le32(data + at, word);
    return size;
}
