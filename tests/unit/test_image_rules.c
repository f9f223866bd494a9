/*
 * policy.img: each rule of the layout by itself, broken on purpose under a seal
 * that is right.  What somebody could do who writes images by hand.
 */

#include "../../lib/policy/image_layout.h"
#include "image_walk.h"
#include "policy_everything.h"

static uint8_t *
everything(size_t *size)
{
    uint8_t *bytes;
    build_t build;

    build_everything(&build);
    assert_int_equal(build_compile(&build, &bytes, size), 0);
    build_end(&build);
    return bytes;
}

/* Seals the bytes; what is accepted all the same must hold for every reader. */
static policy_image_result_t
sealed(uint8_t *bytes, size_t size)
{
    policy_image_result_t result;
    policy_image_t *image;

    assert_int_equal(image_seal(bytes, size), 0);
    result = policy_image_open(bytes, size, &image);
    if (result == POLICY_IMAGE_OK) {
        const char *wrong = image_walk(image);
        if (wrong != NULL) {
            fail_msg("accepted, and not so: %s", wrong);
        }
        policy_image_free(image);
    }
    return result;
}

/* Element i of a section, in the bytes of an image. */
static uint8_t *
element(uint8_t *bytes, image_section_t section, size_t i)
{
    size_t at = IMAGE_HEADER_SIZE;

    for (unsigned j = 0; j < section; j++) {
        at += (size_t) load_le32(bytes + IMAGE_AT_COUNTS + 4 * (size_t) j) *
              image_element_size[j];
        at = (at + IMAGE_ALIGNMENT - 1) & ~(size_t) (IMAGE_ALIGNMENT - 1);
    }
    return bytes + at + i * image_element_size[section];
}

typedef struct {
    const char *what;
    image_section_t section;
    size_t element, offset, size;
    uint64_t value;
} wrong_t;

static void
each_broken_rule_is_noticed(void **state)
{
    static const wrong_t wrong[] = {
        {"a line's set", SECTION_LINES4, 1, 0, 4, LINE4_WHOLE | 9},
        {"a line's second word", SECTION_LINES4, 1, 4, 4, 0},
        {"a line of IPv6", SECTION_LINES6, 1, 8, 8, 1},
        {"a group of nothing", SECTION_DEEP, 0, 0, 4, 1},
        {"a group out of place", SECTION_DEEP, 1, 0, 4, 1000},
        {"a low that does not begin at 0", SECTION_LOWS, 0, 0, 8, 1},
        {"a low's set", SECTION_LOWS, 0, 8, 4, 1000},
        {"an unknown device rule", SECTION_FACILITIES, 0, FACILITY_DEVICE, 1,
         4},
        {"no device rule", SECTION_FACILITIES, 0, FACILITY_DEVICE, 1, 0},
        {"an unknown service", SECTION_FACILITIES, 0, FACILITY_SERVICES, 1, 16},
        {"an unknown action", SECTION_FACILITIES, 0, FACILITY_ACTIONS, 1, 128},
        {"an unknown flag", SECTION_FACILITIES, 0, FACILITY_FLAGS, 1, 128},
        {"a zone beyond", SECTION_FACILITIES, 0, FACILITY_ZONE, 4, 3},
        {"hours beyond", SECTION_FACILITIES, 0, FACILITY_HOURS, 4, 99},
        {"hours around the end", SECTION_FACILITIES, 0, FACILITY_HOURS, 8,
         UINT64_C(0x00000002ffffffff)},
        {"a calendar beyond", SECTION_FACILITIES, 0, FACILITY_CALENDAR, 4, 2},
        {"users beyond", SECTION_FACILITIES, 0, FACILITY_USER_LIST, 4, 2},
        {"via beyond", SECTION_FACILITIES, 0, FACILITY_VIA + 4, 4, 3},
        {"countries beyond", SECTION_FACILITIES, 0, FACILITY_COUNTRIES, 4, 1},
        {"a byte of nothing", SECTION_FACILITIES, 0, FACILITY_ZERO + 7, 1, 1},
        {"members beyond", SECTION_SETS, 0, SET_MEMBERS, 4, 99},
        {"a wrong open member", SECTION_SETS, 2, SET_OPEN, 4, 0},
        {"a wrong dry run", SECTION_SETS, 0, SET_DRY_RUN, 4, 1},
        {"a member beyond", SECTION_MEMBERS, 0, 0, 4, 5},
        {"members out of order", SECTION_MEMBERS, 0, 0, 4, 4},
        {"a zone without changes", SECTION_ZONES, 0, ZONE_LIST + 4, 4, 0},
        {"a zone's name beyond", SECTION_ZONES, 0, ZONE_NAME, 4, 100000},
        {"a step ahead", SECTION_ZONE_STEPS, 7, 0, 1, 1},
        {"a step beyond", SECTION_ZONE_STEPS, 500, 0, 1, 255},
        {"an offset of a day", SECTION_CHANGES, 0, CHANGE_OFFSET, 4, 86400},
        {"changes out of order", SECTION_CHANGES, 2, CHANGE_AT, 8, 0},
        {"a change's byte of nothing", SECTION_CHANGES, 0, CHANGE_ZERO, 4, 1},
        {"a window behind the week", SECTION_WINDOWS, 0, 0, 2, 10080},
        {"a window that ends first", SECTION_WINDOWS, 0, 2, 2, 1},
        {"a window above a week", SECTION_WINDOWS, 0, 2, 2, 65535},
        {"a first calendar of days", SECTION_CALENDARS, 1, 0, 4, 1},
        {"a range that ends first", SECTION_CLOSED, 0, 4, 4, 1},
        {"ranges out of order", SECTION_CLOSED, 1, 0, 4, 1},
        {"a via of no family", SECTION_VIA, 0, 0, 1, ADDRESS_LOCAL},
        {"an IPv4 via of 16 bytes", SECTION_VIA, 0, 16, 1, 1},
        {"a country in small letters", SECTION_COUNTRIES, 0, 0, 1, 'j'},
        {"users that step back", SECTION_USER_LISTS, 1, 0, 4, 4},
        {"a user beyond", SECTION_USERS, 0, 0, 4, 100000},
        {"a user of no bytes", SECTION_USERS, 0, 4, 4, 0},
        {"hashes out of order", SECTION_PIN_HASHES, 0, 0, 1, 0x23},
        {"owners beyond", SECTION_PIN_FIRST, 1, 0, 4, 9},
        {"owners that end early", SECTION_PIN_FIRST, 2, 0, 4, 1},
        {"an owner beyond", SECTION_PIN_MEMBERS, 0, 0, 4, 5},
        {"an authority's owner beyond", SECTION_AUTHORITY_MEMBERS, 0, 0, 4, 5},
        {"no id", SECTION_DETAILS, 0, DETAIL_ID + 4, 4, 0},
        {"an id too long", SECTION_DETAILS, 0, DETAIL_ID + 4, 4, 65},
        {"a contact beyond", SECTION_DETAILS, 0, DETAIL_CONTACT, 4, 100000},
        {"networks beyond", SECTION_DETAILS, 0, DETAIL_NETWORKS4 + 4, 4, 99},
        {"long networks beyond", SECTION_DETAILS, 0, DETAIL_NETWORKS6_LONG, 4,
         2},
        {"pins beyond", SECTION_DETAILS, 0, DETAIL_PINS, 4, 2},
        {"authorities beyond", SECTION_DETAILS, 0, DETAIL_AUTHORITIES, 4, 3},
        {"ids out of order", SECTION_IDS, 0, 0, 4, 1},
        {"an id's facility beyond", SECTION_IDS, 0, 0, 4, 5},
        {"a host bit", SECTION_NETWORKS4, 0, 0, 1, 1},
        {"33 bits", SECTION_NETWORKS4_BITS, 0, 0, 1, 33},
        {"a host bit of IPv6", SECTION_NETWORKS6, 0, 0, 1, 1},
        {"65 bits", SECTION_NETWORKS6_BITS, 0, 0, 1, 65},
        {"64 bits", SECTION_NETWORKS6_LONG_BITS, 0, 0, 1, 64},
        {"129 bits", SECTION_NETWORKS6_LONG_BITS, 0, 0, 1, 129},
        {"a pin beyond", SECTION_PINS, 0, 0, 4, 2},
        {"an authority beyond", SECTION_AUTHORITIES, 0, 0, 4, 3},
    };
    size_t size;
    uint8_t *bytes = everything(&size), *copy = malloc(size), *at;

    (void) state;
    assert_non_null(copy);
    assert_int_equal(sealed(bytes, size), POLICY_IMAGE_OK);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        memcpy(copy, bytes, size);
        at = element(copy, wrong[i].section, wrong[i].element) +
             wrong[i].offset;
        for (size_t j = 0; j < wrong[i].size; j++) {
            at[j] = (uint8_t) (wrong[i].value >> 8 * j);
        }
        assert_memory_not_equal(copy, bytes, size);
        if (sealed(copy, size) != POLICY_IMAGE_CONTENT) {
            fail_msg("%s is accepted", wrong[i].what);
        }
    }
    free(copy);
    free(bytes);
}

/* One element more may be a zero of the padding, which nobody reads; much more
 * is not there. */
static void
each_number_of_the_header_is_checked(void **state)
{
    size_t size;
    uint8_t *bytes = everything(&size);

    (void) state;
    for (size_t at = IMAGE_AT_LINES4_BITS; at < IMAGE_HEADER_SIZE; at += 4) {
        uint32_t was = load_le32(bytes + at);
        uint32_t values[] = {was + 1, was - 1, was + 4096, 0x7fffffff,
                             0xffffffff};
        if (at >= IMAGE_AT_SIZE && at < IMAGE_AT_BLOCK6 + 8) {
            continue; /* size and seal are set; any block is one */
        }
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            store_le32(bytes + at, values[i]);
            if (sealed(bytes, size) == POLICY_IMAGE_OK && i > 0) {
                fail_msg("header offset %zu: %u instead of %u is accepted", at,
                         values[i], was);
            }
        }
        store_le32(bytes + at, was);
    }
    free(bytes);
}

static void
padding_is_zero(void **state)
{
    size_t size, end;
    uint8_t *bytes = everything(&size);

    (void) state;
    /* STRINGS is the last section. */
    end = (size_t) (element(bytes, SECTION_STRINGS, 0) - bytes) +
          load_le32(bytes + IMAGE_AT_COUNTS + 4 * SECTION_STRINGS);
    assert_true(end < size);
    for (size_t at = end; at < size; at++) {
        bytes[at] = 1;
        assert_int_equal(sealed(bytes, size), POLICY_IMAGE_CONTENT);
        bytes[at] = 0;
    }
    free(bytes);
}

static void
assert_branch_refused(uint8_t *bytes, size_t size, uint8_t *at, size_t length,
                      uint32_t value)
{
    uint8_t was[4];

    memcpy(was, at, length);
    for (size_t i = 0; i < length; i++) {
        at[i] = (uint8_t) (value >> 8 * i);
    }
    if (sealed(bytes, size) != POLICY_IMAGE_CONTENT) {
        fail_msg("a branch with %u at %zu is accepted", value,
                 (size_t) (at - bytes));
    }
    memcpy(at, was, length);
}

/* One that leads back would never end. */
static void
branch_leads_onwards(void **state)
{
    size_t size, found = 0;
    uint8_t *bytes = everything(&size), *line;
    uint32_t bits = load_le32(bytes + IMAGE_AT_LINES4_BITS);
    uint32_t count = load_le32(bytes + IMAGE_AT_COUNTS + 4 * SECTION_LINES4);

    (void) state;
    for (uint32_t i = 0; i < count; i++) {
        line = element(bytes, SECTION_LINES4, i);
        if (load_le32(line) != (LINE4_WHOLE | LINE4_SET_MASK(bits))) {
            continue;
        }
        found++;
        assert_branch_refused(bytes, size, line + BRANCH4_FIRST, 4, 0);
        assert_branch_refused(bytes, size, line + BRANCH4_FIRST, 4, i);
        assert_branch_refused(bytes, size, line + BRANCH4_FIRST, 4, count);
        assert_branch_refused(bytes, size, line + BRANCH4_SKIP, 1, 32);
        assert_branch_refused(bytes, size, line + BRANCH4_BITS, 1, 0);
        assert_branch_refused(bytes, size, line + BRANCH4_BITS, 1, 40);
        assert_branch_refused(bytes, size, line + BRANCH4_SET, 4, 99);
        assert_branch_refused(bytes, size, line + BRANCH4_SIZE, 1, 1);
    }
    bits = load_le32(bytes + IMAGE_AT_LINES6_BITS) +
           load_le32(bytes + IMAGE_AT_BLOCK6_BITS);
    count = load_le32(bytes + IMAGE_AT_COUNTS + 4 * SECTION_LINES6);
    for (uint32_t i = 0; i < count; i++) {
        line = element(bytes, SECTION_LINES6, i);
        if (load_le64(line) != (LINE6_WHOLE | LINE6_SET_MASK(bits))) {
            continue;
        }
        found++;
        assert_branch_refused(bytes, size, line + BRANCH6_FIRST, 4, i);
        assert_branch_refused(bytes, size, line + BRANCH6_FIRST, 4, count);
        assert_branch_refused(bytes, size, line + BRANCH6_SKIP, 1, 64);
        assert_branch_refused(bytes, size, line + BRANCH6_BITS, 1, 0);
        assert_branch_refused(bytes, size, line + BRANCH6_SET, 4, 99);
        assert_branch_refused(bytes, size, line + BRANCH6_SIZE, 1, 1);
    }
    assert_true(found >= 2);
    free(bytes);
}

UNIT_TESTS(cmocka_unit_test(each_broken_rule_is_noticed),
           cmocka_unit_test(each_number_of_the_header_is_checked),
           cmocka_unit_test(padding_is_zero),
           cmocka_unit_test(branch_leads_onwards))
