/* Whose is a client certificate? */

#include "decide_parts.h"

/* Number of a SHA-256 in a table of ascending ones, or IMAGE_NONE. */
static uint32_t
find_hash(const policy_image_t *image, image_section_t hashes,
          const uint8_t *sha256)
{
    uint32_t low = 0, high = image->count[hashes], middle;
    int order;

    while (low < high) {
        middle = low + (high - low) / 2;
        order = memcmp(sha256,
                       image_element(image, hashes, IMAGE_SHA256_SIZE, middle),
                       IMAGE_SHA256_SIZE);
        if (order == 0) {
            return middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return IMAGE_NONE;
}

/* Is `facility` among `count` ascending ones? */
static bool
is_member(const uint8_t *members, uint32_t count, uint32_t facility)
{
    uint32_t low = 0, high = count, middle, member;

    while (low < high) {
        middle = low + (high - low) / 2;
        member = load_le32(members + 4 * (size_t) middle);
        if (member == facility) {
            return true;
        }
        if (facility < member) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return false;
}

/*
 * The facility that is in both ascending lists, or POLICY_NO_FACILITY; the
 * compiler saw to it that there is at most one.  Costs the shorter list times
 * the logarithm of the longer.
 */
static uint32_t
common_member(const uint8_t *a, uint32_t a_count, const uint8_t *b,
              uint32_t b_count)
{
    const uint8_t *few = a_count < b_count ? a : b;
    const uint8_t *many = a_count < b_count ? b : a;
    uint32_t few_count = a_count < b_count ? a_count : b_count;
    uint32_t many_count = a_count < b_count ? b_count : a_count;
    uint32_t facility;

    for (uint32_t i = 0; i < few_count; i++) {
        facility = load_le32(few + 4 * (size_t) i);
        if (is_member(many, many_count, facility)) {
            return facility;
        }
    }
    return POLICY_NO_FACILITY;
}

/* Which of `count` candidates owns that hash? */
static uint32_t
owner(const policy_image_t *image, image_section_t hashes,
      image_section_t first, image_section_t members, const uint8_t *sha256,
      const uint8_t *candidates, uint32_t count)
{
    uint32_t hash = find_hash(image, hashes, sha256), begin;

    if (hash == IMAGE_NONE) {
        return POLICY_NO_FACILITY;
    }
    begin = image_u32(image, first, hash);
    return common_member(image_element(image, members, 4, begin),
                         image_u32(image, first, hash + 1) - begin, candidates,
                         count);
}

uint32_t
device_owner(const policy_image_t *image,
             const policy_certificate_t *certificate, const uint8_t *candidates,
             uint32_t count)
{
    uint32_t facility, chain;

    facility = owner(image, SECTION_PIN_HASHES, SECTION_PIN_FIRST,
                     SECTION_PIN_MEMBERS, certificate->sha256, candidates,
                     count);
    if (facility != POLICY_NO_FACILITY || !certificate->verified) {
        return facility;
    }
    chain = certificate->chain_count < POLICY_CHAIN_MAX
                ? certificate->chain_count
                : POLICY_CHAIN_MAX;
    for (uint32_t i = 0; i < chain; i++) {
        facility = owner(image, SECTION_AUTHORITY_HASHES,
                         SECTION_AUTHORITY_FIRST, SECTION_AUTHORITY_MEMBERS,
                         certificate->chain_sha256[i], candidates, count);
        if (facility != POLICY_NO_FACILITY) {
            return facility;
        }
    }
    return POLICY_NO_FACILITY;
}
