/* policy.img: whatever is changed in it is noticed, and nothing harms. */

#include "policy_decided.h"

#include "../../lib/policy/image_layout.h"
#include "image_walk.h"

/* Small, with something of everything. */
static const char everything[] =
    "timezone Australia/Lord_Howe;"
    "facility a { name \"A\"; contact \"b\";"
    "    network 203.0.113.0/28 2001:db8:10::/48 2001:db8:10::8/125;"
    "    via 10.8.0.1 2001:db8::1; country JP KR; device required;"
    "    certificate " PIN_11 " " PIN_22 ";"
    "    hours mon-fri 08:00-19:00 sun 22:00-06:00;"
    "    closed 2026-11-23 2026-12-29..2027-01-03;"
    "    valid 2026-04-01..2027-03-31; users abe ito kato;"
    "    services web ssh; actions query view download;"
    "    second-factor never; off-hours second-factor;"
    "    session idle 15m max 8h; mode dry-run; }"
    "facility b { network 203.0.113.0/28 10.0.0.0/8 2001:db8:10::7;"
    "    timezone UTC; }"
    "facility c { network any; device required; certificate " PIN_33 "; }"
    "facility d { network local; }";

static uint8_t *
bytes_of(const char *text, size_t *size)
{
    policy_source_t *source = source_of(text);
    policy_fingerprint_t authority;
    uint8_t *bytes;

    if (source->facilities_count > 0) {
        set_authority(source, 0, 0xaa, &authority);
    }
    bytes = compiled_bytes(source, size);
    policy_source_free(source);
    return bytes;
}

/* Opens memory of just that size, so that a sanitizer sees a step beyond it. */
static policy_image_result_t
opened(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size);
    policy_image_t *image = (policy_image_t *) &copy;
    policy_image_result_t result;
    const char *wrong = NULL;

    assert_non_null(copy);
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    result = policy_image_open(copy, size, &image);
    free(copy);
    if (result == POLICY_IMAGE_OK) {
        assert_non_null(image);
        wrong = image_walk(image);
        policy_image_free(image);
        if (wrong != NULL) {
            fail_msg("not so: %s", wrong);
        }
    } else if (image != NULL) {
        fail_msg("an image in spite of: %s", policy_image_strerror(result));
    }
    return result;
}

static void
what_was_compiled_is_accepted(void **state)
{
    size_t size;
    uint8_t *bytes = bytes_of(everything, &size);

    (void) state;
    assert_int_equal(opened(bytes, size), POLICY_IMAGE_OK);
    free(bytes);
    bytes = bytes_of("timezone UTC;", &size);
    assert_int_equal(opened(bytes, size), POLICY_IMAGE_OK);
    free(bytes);
}

static void
every_change_of_a_byte_is_refused(void **state)
{
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    size_t size;
    uint8_t *bytes = bytes_of(everything, &size);

    (void) state;
    assert_in_range(size, IMAGE_HEADER_SIZE, 16384);
    for (size_t i = 0; i < size; i++) {
        for (size_t j = 0; j < sizeof(flips); j++) {
            policy_image_result_t expected = POLICY_IMAGE_SEAL;
            policy_image_result_t result;

            if (i < IMAGE_AT_MAGIC + sizeof(IMAGE_MAGIC) - 1) {
                expected = POLICY_IMAGE_NOT_ONE;
            } else if (i >= IMAGE_AT_VERSION && i < IMAGE_AT_VERSION + 4) {
                expected = POLICY_IMAGE_VERSION;
            }
            bytes[i] ^= flips[j];
            result = opened(bytes, size);
            bytes[i] ^= flips[j];
            if (result != expected) {
                fail_msg("byte %zu ^ %02x: %s", i, flips[j],
                         policy_image_strerror(result));
            }
        }
    }
    assert_int_equal(opened(bytes, size), POLICY_IMAGE_OK);
    free(bytes);
}

/* As somebody would do who wants to reach beyond the seal.  Not all changes are
 * against a rule: another name is a name.  But none may do harm. */
static void
no_change_of_a_bit_under_a_new_seal_does_harm(void **state)
{
    size_t size, refused = 0, accepted_count = 0;
    uint8_t *bytes = bytes_of(everything, &size);

    (void) state;
    for (size_t i = 0; i < size * 4; i++) {
        size_t at = i / 4;
        uint8_t flip = (uint8_t) (1 << (i % 4 * 2 + at % 2));
        policy_image_result_t result;

        if (at >= IMAGE_AT_SIZE && at < IMAGE_AT_SEAL + IMAGE_SHA256_SIZE) {
            continue; /* sealing writes them anew */
        }
        bytes[at] ^= flip;
        assert_int_equal(image_seal(bytes, size), 0);
        result = opened(bytes, size);
        bytes[at] ^= flip;
        if (at < IMAGE_AT_SIZE) {
            assert_int_not_equal(result, POLICY_IMAGE_OK);
        } else if (result == POLICY_IMAGE_OK) {
            accepted_count++;
        } else {
            assert_int_equal(result, POLICY_IMAGE_CONTENT);
            refused++;
        }
    }
    assert_true(refused > accepted_count);
    assert_true(accepted_count > 0);
    free(bytes);
}

static void
no_number_under_a_new_seal_does_harm(void **state)
{
    static const uint32_t numbers[] = {0,          1,          2,
                                       0x7fffffff, 0x80000000, 0xfffffffe,
                                       0xffffffff, 0x10000,    0x04000000};
    size_t size;
    uint8_t *bytes = bytes_of(everything, &size);

    (void) state;
    for (size_t i = IMAGE_AT_SEAL + IMAGE_SHA256_SIZE; i + 4 <= size; i += 4) {
        uint32_t old = load_le32(bytes + i);

        for (size_t j = 0; j < sizeof(numbers) / sizeof(numbers[0]); j++) {
            policy_image_result_t result;

            store_le32(bytes + i, numbers[j]);
            assert_int_equal(image_seal(bytes, size), 0);
            result = opened(bytes, size);
            if (result != POLICY_IMAGE_OK) {
                assert_int_equal(result, POLICY_IMAGE_CONTENT);
            }
        }
        store_le32(bytes + i, old);
    }
    free(bytes);
}

static void
every_cut_is_refused(void **state)
{
    size_t size;
    uint8_t *bytes = bytes_of(everything, &size);

    (void) state;
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(opened(bytes, i), i < IMAGE_HEADER_SIZE
                                               ? POLICY_IMAGE_TOO_SMALL
                                               : POLICY_IMAGE_SEAL);
    }
    free(bytes);
}

static void
every_cut_under_a_new_seal_is_refused(void **state)
{
    size_t size;
    uint8_t *bytes = bytes_of(everything, &size), *copy;

    (void) state;
    for (size_t i = IMAGE_HEADER_SIZE; i < size; i++) {
        copy = malloc(i);
        assert_non_null(copy);
        memcpy(copy, bytes, i);
        assert_int_equal(image_seal(copy, i), 0);
        assert_int_equal(opened(copy, i), POLICY_IMAGE_CONTENT);
        free(copy);
    }
    free(bytes);
}

static void
what_is_added_is_refused(void **state)
{
    static const size_t more[] = {1, 2, 63, 64, 65, 4096};
    size_t size;
    uint8_t *bytes = bytes_of(everything, &size), *longer;

    (void) state;
    longer = calloc(1, size + 4096);
    assert_non_null(longer);
    memcpy(longer, bytes, size);
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        assert_int_equal(opened(longer, size + more[i]), POLICY_IMAGE_SEAL);
        assert_int_equal(image_seal(longer, size + more[i]), 0);
        assert_int_equal(opened(longer, size + more[i]), POLICY_IMAGE_CONTENT);
        memcpy(longer, bytes, size);
    }
    free(longer);
    free(bytes);
}

static void
another_layout_version_is_refused(void **state)
{
    static const uint32_t versions[] = {0, IMAGE_LAYOUT_VERSION - 1,
                                        IMAGE_LAYOUT_VERSION + 1,
                                        IMAGE_LAYOUT_VERSION << 8, UINT32_MAX};
    size_t size;
    uint8_t *bytes = bytes_of(everything, &size);

    (void) state;
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        store_le32(bytes + IMAGE_AT_VERSION, versions[i]);
        assert_int_equal(image_seal(bytes, size), 0);
        assert_int_equal(opened(bytes, size), POLICY_IMAGE_VERSION);
    }
    free(bytes);
}

static void
what_is_no_image_at_all_is_refused(void **state)
{
    uint8_t bytes[4096] = {0};
    policy_image_t *image = (policy_image_t *) bytes;

    (void) state;
    assert_int_equal(policy_image_open(NULL, 0, &image),
                     POLICY_IMAGE_TOO_SMALL);
    assert_null(image);
    assert_int_equal(opened(bytes, sizeof(bytes)), POLICY_IMAGE_NOT_ONE);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(opened(bytes, sizeof(bytes)), POLICY_IMAGE_NOT_ONE);
    /* more than there may be, told before a byte of it is read */
    image = (policy_image_t *) bytes;
    assert_int_equal(
        policy_image_open(bytes, (size_t) POLICY_IMAGE_SIZE_MAX + 1, &image),
        POLICY_IMAGE_TOO_LARGE);
    assert_null(image);
    policy_image_free(NULL);
}

static void
every_result_has_a_sentence(void **state)
{
    (void) state;
    for (int i = -1; i <= POLICY_IMAGE_SYSTEM + 1; i++) {
        const char *text = policy_image_strerror((policy_image_result_t) i);

        assert_non_null(text);
        assert_true(strlen(text) > 20);
        for (int j = POLICY_IMAGE_OK; j < i && i <= POLICY_IMAGE_SYSTEM; j++) {
            assert_string_not_equal(
                text, policy_image_strerror((policy_image_result_t) j));
        }
    }
}

/* The caller's bytes are not needed after opening, and may be at any place. */
static void
an_image_is_a_copy(void **state)
{
    size_t size;
    uint8_t *bytes = bytes_of(everything, &size), *shifted;
    policy_image_t *image = NULL;

    (void) state;
    shifted = malloc(size + 1);
    assert_non_null(shifted);
    memcpy(shifted + 1, bytes, size);
    assert_int_equal(policy_image_open(shifted + 1, size, &image),
                     POLICY_IMAGE_OK);
    memset(shifted, 0, size + 1);
    free(shifted);
    assert_null(image_walk(image));
    policy_image_free(image);
    free(bytes);
}

static void
the_version_is_the_beginning_of_the_seal(void **state)
{
    size_t size;
    uint8_t *bytes = bytes_of(everything, &size);
    policy_image_t *image = NULL;
    char text[POLICY_VERSION_TEXT_MAX];

    (void) state;
    for (size_t i = 0; i < 8; i++) {
        (void) snprintf(text + 2 * i, 3, "%02x", bytes[IMAGE_AT_SEAL + i]);
    }
    assert_int_equal(policy_image_open(bytes, size, &image), POLICY_IMAGE_OK);
    assert_string_equal(policy_image_version(image), text);
    assert_int_equal(policy_image_size(image), size);
    policy_image_free(image);
    free(bytes);
}

/* What the fuzzer begins with: refused images would teach it nothing. */
static void
the_fuzzers_corpus_is_of_this_layout(void **state)
{
    static const char *const names[] = {"nobody",     "one",      "rules",
                                        "candidates", "crowded4", "crowded6",
                                        "branches",   "wide6"};
    char path[128];

    (void) state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        policy_image_t *image = NULL;

        (void) snprintf(path, sizeof(path),
                        "tests/fuzz/corpus/fuzz_policy_image/%s", names[i]);
        if (policy_image_open_file(path, &image) != POLICY_IMAGE_OK) {
            fail_msg("%s: run tests/fuzz/make_policy_images.py, after make",
                     path);
        }
        assert_null(image_walk(image));
        policy_image_free(image);
    }
}

/* ---- Reading ------------------------------------------------------------ */

static void
readers_tell_what_was_written(void **state)
{
    policy_source_t *source = source_of(everything);
    policy_fingerprint_t authority;
    policy_image_t *image;
    policy_facility_t a;
    uint8_t sha256[32];
    uint16_t start, end;
    int32_t first, last;
    address_t address;
    prefix_t prefix;
    slice_t user;
    char code[2], text[PREFIX_TEXT_MAX];
    static const char *const networks[] = {"203.0.113.0/28", "2001:db8:10::/48",
                                           "2001:db8:10::8/125"};
    static const char *const users[] = {"abe", "ito", "kato"};

    (void) state;
    set_authority(source, 0, 0xaa, &authority);
    image = compiled(source);
    assert_int_equal(policy_facilities(image), 4);
    assert_true(policy_facility(image, 0, &a));
    assert_true(slice_is(a.id, "a"));
    assert_true(slice_is(a.name, "A"));
    assert_true(slice_is(a.contact, "b"));
    assert_true(slice_is(a.zone, "Australia/Lord_Howe"));
    assert_int_equal(a.device, POLICY_DEVICE_REQUIRED);
    assert_true(a.dry_run);
    assert_false(a.second_factor);
    assert_true(a.off_hours_factor);
    assert_false(a.any);
    assert_false(a.local);
    assert_true(a.has_hours);
    assert_true(a.has_users);
    assert_int_equal(a.valid_from, 20544); /* 2026-04-01 */
    assert_int_equal(a.valid_to, 20908);   /* 2027-03-31 */
    assert_int_equal(a.services, POLICY_SERVICE_BIT(POLICY_SERVICE_WEB) |
                                     POLICY_SERVICE_BIT(POLICY_SERVICE_SSH));
    assert_int_equal(a.actions, ACTION_BIT(ACTION_QUERY) |
                                    ACTION_BIT(ACTION_VIEW) |
                                    ACTION_BIT(ACTION_DOWNLOAD));
    assert_int_equal(a.idle_seconds, 900);
    assert_int_equal(a.max_seconds, 28800);
    assert_int_equal(a.networks_count, 3);
    assert_int_equal(a.via_count, 2);
    assert_int_equal(a.countries_count, 2);
    assert_int_equal(a.pins_count, 2);
    assert_int_equal(a.authorities_count, 1);
    assert_int_equal(a.hours_count, 6);
    assert_int_equal(a.closed_count, 2);
    assert_int_equal(a.users_count, 3);

    for (uint32_t i = 0; i < 3; i++) {
        assert_true(policy_facility_network(image, 0, i, &prefix));
        (void) prefix_format(&prefix, text);
        assert_string_equal(text, networks[i]);
        assert_true(policy_facility_user(image, 0, i, &user));
        assert_true(slice_is(user, users[i]));
    }
    assert_true(policy_facility_via(image, 0, 1, &address));
    assert_int_equal(address.family, ADDRESS_IPV6);
    assert_int_equal(address.bytes[15], 1);
    assert_true(policy_facility_country(image, 0, 1, code));
    assert_memory_equal(code, "KR", 2);
    assert_true(policy_facility_pin(image, 0, 1, sha256));
    assert_int_equal(sha256[31], 0x22);
    assert_true(policy_facility_authority(image, 0, 0, sha256));
    assert_int_equal(sha256[31], 0xaa);
    assert_true(policy_facility_hours(image, 0, 5, &start, &end));
    assert_int_equal(start, 6 * 1440 + 22 * 60);
    assert_int_equal(end, 7 * 1440 + 6 * 60);
    assert_true(policy_facility_closed(image, 0, 1, &first, &last));
    assert_int_equal(first, 20816); /* 2026-12-29 */
    assert_int_equal(last, 20821);  /* 2027-01-03 */

    assert_true(policy_facility(image, 2, &a));
    assert_true(a.any);
    assert_int_equal(a.networks_count, 0);
    assert_int_equal(a.valid_from, INT32_MIN);
    assert_int_equal(a.valid_to, INT32_MAX);
    assert_true(policy_facility(image, 3, &a));
    assert_true(a.local);
    assert_int_equal(policy_facility_find(image, SLICE("d")), 3);
    assert_int_equal(policy_facility_find(image, SLICE("e")), NOBODY);
    assert_int_equal(policy_facility_find(image, SLICE("aa")), NOBODY);
    assert_int_equal(policy_facility_find(image, (slice_t){NULL, 0}), NOBODY);
    policy_image_free(image);
    policy_source_free(source);
}

static void
an_image_tells_what_it_will_ask_for(void **state)
{
    static const struct {
        const char *rule;
        bool via, country, users, certificates;
    } cases[] = {
        {"", false, false, false, false},
        {"via 10.8.0.1;", true, false, false, false},
        {"country JP;", false, true, false, false},
        {"users abe;", false, false, true, false},
        {"device optional; certificate " PIN_11 ";", false, false, false, true},
    };
    char text[512];

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        policy_image_t *image;

        (void) snprintf(text, sizeof(text),
                        "facility z { network 192.0.2.0/24; }"
                        "facility a { network 198.51.100.0/24; %s }",
                        cases[i].rule);
        image = image_of(text);
        assert_int_equal(policy_uses_via(image), cases[i].via);
        assert_int_equal(policy_uses_country(image), cases[i].country);
        assert_int_equal(policy_uses_users(image), cases[i].users);
        assert_int_equal(policy_uses_certificates(image),
                         cases[i].certificates);
        policy_image_free(image);
    }
}

UNIT_TESTS(cmocka_unit_test(what_was_compiled_is_accepted),
           cmocka_unit_test(every_change_of_a_byte_is_refused),
           cmocka_unit_test(no_change_of_a_bit_under_a_new_seal_does_harm),
           cmocka_unit_test(no_number_under_a_new_seal_does_harm),
           cmocka_unit_test(every_cut_is_refused),
           cmocka_unit_test(every_cut_under_a_new_seal_is_refused),
           cmocka_unit_test(what_is_added_is_refused),
           cmocka_unit_test(another_layout_version_is_refused),
           cmocka_unit_test(what_is_no_image_at_all_is_refused),
           cmocka_unit_test(every_result_has_a_sentence),
           cmocka_unit_test(an_image_is_a_copy),
           cmocka_unit_test(the_version_is_the_beginning_of_the_seal),
           cmocka_unit_test(the_fuzzers_corpus_is_of_this_layout),
           cmocka_unit_test(readers_tell_what_was_written),
           cmocka_unit_test(an_image_tells_what_it_will_ask_for))
