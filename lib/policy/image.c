/* policy.img: memory, seal, opening. */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "image_layout.h"

#define HUGE_PAGE_SIZE ((size_t) 2 * 1024 * 1024)


const uint8_t image_element_size[SECTION_COUNT] = {
    [SECTION_LINES4] = LINE4_SIZE,
    [SECTION_LINES6] = LINE6_SIZE,
    [SECTION_DEEP] = 4,
    [SECTION_LOWS] = LOW_SIZE,
    [SECTION_FACILITIES] = FACILITY_SIZE,
    [SECTION_SETS] = SET_SIZE,
    [SECTION_MEMBERS] = 4,
    [SECTION_ZONES] = ZONE_SIZE,
    [SECTION_ZONE_STEPS] = 1,
    [SECTION_CHANGES] = CHANGE_SIZE,
    [SECTION_WINDOWS] = 4,
    [SECTION_CALENDARS] = 4,
    [SECTION_CLOSED] = 8,
    [SECTION_VIA] = VIA_SIZE,
    [SECTION_COUNTRIES] = 2,
    [SECTION_USER_LISTS] = 4,
    [SECTION_USERS] = 8,
    [SECTION_PIN_HASHES] = IMAGE_SHA256_SIZE,
    [SECTION_PIN_FIRST] = 4,
    [SECTION_PIN_MEMBERS] = 4,
    [SECTION_AUTHORITY_HASHES] = IMAGE_SHA256_SIZE,
    [SECTION_AUTHORITY_FIRST] = 4,
    [SECTION_AUTHORITY_MEMBERS] = 4,
    [SECTION_DETAILS] = DETAIL_SIZE,
    [SECTION_IDS] = 4,
    [SECTION_NETWORKS4] = 4,
    [SECTION_NETWORKS4_BITS] = 1,
    [SECTION_NETWORKS6] = 8,
    [SECTION_NETWORKS6_BITS] = 1,
    [SECTION_NETWORKS6_LONG] = 16,
    [SECTION_NETWORKS6_LONG_BITS] = 1,
    [SECTION_PINS] = 4,
    [SECTION_AUTHORITIES] = 4,
    [SECTION_STRINGS] = 1,
};

const char *
policy_image_strerror(policy_image_result_t result)
{
    switch (result) {
    case POLICY_IMAGE_OK:
        return "the policy image is valid";
    case POLICY_IMAGE_AGAIN:
        return "the policy image is being read";
    case POLICY_IMAGE_TOO_SMALL:
        return "the file is too small for a policy image: write it anew with "
               "\"sekisho policy apply\"";
    case POLICY_IMAGE_TOO_LARGE:
        return "the file is larger than 256 MB, the most a policy image can "
               "have: write it anew with \"sekisho policy apply\"";
    case POLICY_IMAGE_NOT_ONE:
        return "the file is no policy image: give the one that \"sekisho "
               "policy apply\" wrote, not facilities.conf";
    case POLICY_IMAGE_VERSION:
        return "the policy image was written by another version of sekisho: "
               "write it anew with this version's \"sekisho policy apply\"";
    case POLICY_IMAGE_SEAL:
        return "the policy image is damaged or incomplete (its SHA-256 seal "
               "does not match): write it anew with \"sekisho policy apply\"";
    case POLICY_IMAGE_CONTENT:
        return "the policy image is sealed but breaks the rules of its "
               "layout: write it anew with \"sekisho policy apply\"";
    case POLICY_IMAGE_CHANGED:
        return "the policy image changed while it was read: replace it by "
               "renaming, as \"sekisho policy apply\" does";
    case POLICY_IMAGE_SYSTEM:
        return "the policy image could not be read";
    case POLICY_IMAGE_INVALID:
        break;
    }
    return "the policy image was not checked";
}

int
image_compare(slice_t a, slice_t b)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared == 0 ? 0 : memcmp(a.data, b.data, shared);

    if (order != 0) {
        return order < 0 ? -1 : 1;
    }
    return a.size == b.size ? 0 : a.size < b.size ? -1 : 1;
}

/*
 * Large images begin on a huge page, so that the kernel can use some: look-ups
 * in megabytes are bound by the TLB more than by the cache.
 */
policy_image_t *
image_new(size_t size)
{
    size_t at, end, used, mapping_size, slack;
    uint8_t *mapping, *begin;
    policy_image_t *image;

    at = (size + IMAGE_ALIGNMENT - 1) & ~(size_t) (IMAGE_ALIGNMENT - 1);
    end = at + sizeof(policy_image_t);
    used = (end + 65535) & ~(size_t) 65535;
    slack = used >= HUGE_PAGE_SIZE ? HUGE_PAGE_SIZE : 0;
    mapping_size = used + slack;

    mapping = mmap(NULL, mapping_size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) {
        return NULL;
    }
    begin = mapping;
    if (slack > 0) {
        size_t before = HUGE_PAGE_SIZE -
                        ((uintptr_t) mapping & (HUGE_PAGE_SIZE - 1));
        before &= HUGE_PAGE_SIZE - 1;
        begin = mapping + before;
        if (before > 0) {
            (void) munmap(mapping, before);
        }
        if (slack > before) {
            (void) munmap(begin + used, slack - before);
        }
        (void) madvise(begin, used, MADV_HUGEPAGE);
    }

    image = (policy_image_t *) (void *) (begin + at);
    image->bytes = begin;
    image->size = size;
    image->mapping = begin;
    image->mapping_size = used;
    return image;
}

void
policy_image_free(policy_image_t *image)
{
    if (image != NULL) {
        (void) munmap(image->mapping, image->mapping_size);
    }
}

policy_image_result_t
image_check_head(const uint8_t *head, uint64_t size)
{
    if (size < IMAGE_HEADER_SIZE) {
        return POLICY_IMAGE_TOO_SMALL;
    }
    if (size > POLICY_IMAGE_SIZE_MAX) {
        return POLICY_IMAGE_TOO_LARGE;
    }
    if (memcmp(head + IMAGE_AT_MAGIC, IMAGE_MAGIC, sizeof(IMAGE_MAGIC) - 1) !=
        0) {
        return POLICY_IMAGE_NOT_ONE;
    }
    if (load_le32(head + IMAGE_AT_VERSION) != IMAGE_LAYOUT_VERSION) {
        return POLICY_IMAGE_VERSION;
    }
    if (load_le64(head + IMAGE_AT_SIZE) != size) {
        return POLICY_IMAGE_SEAL;
    }
    return POLICY_IMAGE_OK;
}

int
image_seal_start(image_seal_t *seal)
{
    seal->done = 0;
    seal->context = EVP_MD_CTX_new();
    if (seal->context == NULL) {
        return -ENOMEM;
    }
    if (EVP_DigestInit_ex(seal->context, EVP_sha256(), NULL) != 1) {
        image_seal_free(seal);
        return -EIO;
    }
    return 0;
}

int
image_seal_add(image_seal_t *seal, const uint8_t *bytes, size_t size)
{
    if (seal->done == 0) {
        if (size < IMAGE_AT_SEAL + IMAGE_SHA256_SIZE) {
            return -EINVAL;
        }
        if (EVP_DigestUpdate(seal->context, bytes, IMAGE_AT_SEAL) != 1) {
            return -EIO;
        }
        seal->done = IMAGE_AT_SEAL + IMAGE_SHA256_SIZE;
        bytes += seal->done;
        size -= seal->done;
    }
    seal->done += size;
    return EVP_DigestUpdate(seal->context, bytes, size) == 1 ? 0 : -EIO;
}

int
image_seal_end(image_seal_t *seal, uint8_t sha256[IMAGE_SHA256_SIZE])
{
    return EVP_DigestFinal_ex(seal->context, sha256, NULL) == 1 ? 0 : -EIO;
}

void
image_seal_free(image_seal_t *seal)
{
    EVP_MD_CTX_free(seal->context);
    seal->context = NULL;
}

int
image_seal(uint8_t *bytes, size_t size)
{
    image_seal_t seal;
    int result;

    if (size < IMAGE_HEADER_SIZE) {
        return -EINVAL;
    }
    store_le64(bytes + IMAGE_AT_SIZE, size);
    result = image_seal_start(&seal);
    if (result < 0) {
        return result;
    }
    result = image_seal_add(&seal, bytes, size);
    if (result == 0) {
        result = image_seal_end(&seal, bytes + IMAGE_AT_SEAL);
    }
    image_seal_free(&seal);
    return result;
}

policy_image_result_t
policy_image_open(const void *bytes, size_t size, policy_image_t **image)
{
    policy_image_result_t result;
    policy_image_t *opened;
    image_check_t check = {0};
    image_seal_t seal;
    uint8_t sha256[IMAGE_SHA256_SIZE];
    int error;

    *image = NULL;
    result = image_check_head(bytes, size);
    if (result != POLICY_IMAGE_OK) {
        return result;
    }
    opened = image_new(size);
    if (opened == NULL) {
        return POLICY_IMAGE_SYSTEM;
    }
    memcpy(opened->bytes, bytes, size);

    error = image_seal_start(&seal);
    if (error == 0) {
        error = image_seal_add(&seal, opened->bytes, size);
        if (error == 0) {
            error = image_seal_end(&seal, sha256);
        }
        image_seal_free(&seal);
    }
    if (error < 0) {
        policy_image_free(opened);
        errno = -error;
        return POLICY_IMAGE_SYSTEM;
    }

    /* The copy is what counts: the caller's bytes may be anybody's. */
    result = image_check_head(opened->bytes, size);
    if (result == POLICY_IMAGE_OK &&
        memcmp(sha256, opened->bytes + IMAGE_AT_SEAL, sizeof(sha256)) != 0)
    {
        result = POLICY_IMAGE_SEAL;
    }
    if (result == POLICY_IMAGE_OK) {
        do {
            result = image_check(opened, &check);
        } while (result == POLICY_IMAGE_AGAIN);
    }
    if (result != POLICY_IMAGE_OK) {
        policy_image_free(opened);
        return result;
    }
    *image = opened;
    return POLICY_IMAGE_OK;
}
