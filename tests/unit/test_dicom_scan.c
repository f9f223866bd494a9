/*
 * The fast way through a target and the slow one must never disagree: each
 * target here goes through both, in all readings.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../../lib/dicom/dicom_internal.h"
#include "../../lib/dicom/uri_scan.h"

#define READINGS (1u << 7)

static void
check_equal(const dicom_path_t *a, const dicom_path_t *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->too_deep, b->too_deep);
    assert_int_equal(a->dcm4chee, b->dcm4chee);
    for (unsigned i = 0; i < a->count; i++) {
        assert_ptr_equal(a->segments[i].text.data, b->segments[i].text.data);
        assert_int_equal(a->segments[i].text.size, b->segments[i].text.size);
        assert_int_equal(a->segments[i].word, b->segments[i].word);
        assert_int_equal(a->segments[i].form, b->segments[i].form);
    }
}


/* On the heap and without a byte to spare: reading on is found by ASan. */
static void
check_bytes(const char *bytes, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    slice_t target = {copy, size};
    dicom_path_t fast, slow;

    assert_non_null(copy);
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    for (unsigned reading = 0; reading < READINGS; reading++) {
        assert_int_equal(dicom_uri_path(target, reading, &fast),
                         dicom_uri_path_closely(target, reading, &slow));
        check_equal(&fast, &slow);
    }
    free(copy);
}


static void
check(const char *target)
{
    check_bytes(target, strlen(target));
}


static void
ordinary_targets_are_cut_as_by_the_slow_loop(void **state)
{
    (void) state;
    check("/dicom-web/studies/1.2.392.200036.9116.2.5.1.48.1221398185/series/"
          "1.2.392.200036.9116.2.5.1.48.1221398186/instances/1.2.3/rendered");
    check("/studies?PatientID=1/2//3&x=..;%2f#");
    check("/dcm4chee-arc/aets/DCM4CHEE/rs/studies/1.2.3");
    check("/instances/6e2c0ec2-5d99c8ca-c1c21cee-79a09605-68391d12/file");
    check("http://pacs/studies/1.2");
    check("studies/1.2");
    check("/STUDIES/1.2.3 /Series./x");
}


static void
empty_segments_and_ends_are_cut_as_by_the_slow_loop(void **state)
{
    (void) state;
    check("");
    check("/");
    check("//");
    check("?");
    check("/?");
    check("//?");
    check("/studies/");
    check("/studies//");
    check("/studies/?a");
    check("/studies//?a");
    check("/studies//../x");
    check("/./studies/../x/.");
    check("/.../.x/..x/x../x./..");
    check("?a?//");
}


static void
special_bytes_are_seen_at_every_place_of_a_block(void **state)
{
    static const char special[] = {'\0', '/', '%', ';', '\\', '#', '?',
                                   '.',  ' ', '-', ':', '9',  'a', -1};
    char target[40];

    (void) state;
    for (size_t size = 0; size <= sizeof(target); size++) {
        for (size_t at = 0; at < size; at++) {
            for (size_t i = 0; i < sizeof(special); i++) {
                memset(target, '1', sizeof(target));
                target[0] = '/';
                target[at] = special[i];
                check_bytes(target, size);
            }
        }
    }
}


static void
identifiers_are_recognised_at_every_length_and_place(void **state)
{
    char target[200];

    (void) state;
    for (size_t before = 1; before < 20; before++) {
        for (size_t length = 1; length < 70; length++) {
            memset(target, 'x', sizeof(target));
            target[0] = '/';
            target[before] = '/';
            memset(target + before + 1, '7', length);
            target[before + 1 + length] = '/';
            check_bytes(target, before + 1 + length);
            check_bytes(target, before + 2 + length);
            check_bytes(target, before + 9 + length);
            target[before + length] = 'a';
            check_bytes(target, before + 9 + length);
        }
    }
}


static void
depth_is_counted_as_by_the_slow_loop(void **state)
{
    char target[2 * DICOM_DEPTH_MAX + 8];

    (void) state;
    for (size_t i = 0; i < sizeof(target); i++) {
        target[i] = i % 2 == 0 ? '/' : 'a';
    }
    for (size_t size = sizeof(target) - 16; size <= sizeof(target); size++) {
        check_bytes(target, size);
    }
}


/* xorshift32: the same targets in every run. */
static uint32_t
next_random(uint32_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random;
}


static void
mixed_targets_are_cut_as_by_the_slow_loop(void **state)
{
    static const char *const parts[] = {"/", "/",  "studies", "1.2.3",   "aets",
                                        ".", "..", "series",  "x",       "?",
                                        "/", "/",  "%2e",     "%2F",     ";",
                                        "#", "\\", "12",      "metadata"};
    uint32_t random = 2463534242;
    char target[256];

    (void) state;
    for (unsigned i = 0; i < 20000; i++) {
        size_t size = 0;
        /* most without anything special */
        uint32_t kinds = next_random(&random) % 4 == 0
                             ? sizeof(parts) / sizeof(parts[0])
                             : 9;

        for (uint32_t n = next_random(&random) % 16; n > 0; n--) {
            const char *part = parts[next_random(&random) % kinds];

            memcpy(target + size, part, strlen(part));
            size += strlen(part);
        }
        check_bytes(target, size);
    }
}


static void
bits_are_the_same_with_and_without_the_machines_instruction(void **state)
{
    uint32_t random = 88675123;

    (void) state;
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t expected = next_random(&random) & 0xffff;
        scan_vector_t found;

        for (unsigned k = 0; k < SCAN_WIDTH; k++) {
            found[k] = expected >> k & 1 ? 0xff : 0;
        }
        assert_int_equal(scan_bits(found), expected);
        assert_int_equal(scan_bits_portable(found), expected);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_targets_are_cut_as_by_the_slow_loop),
        cmocka_unit_test(empty_segments_and_ends_are_cut_as_by_the_slow_loop),
        cmocka_unit_test(special_bytes_are_seen_at_every_place_of_a_block),
        cmocka_unit_test(identifiers_are_recognised_at_every_length_and_place),
        cmocka_unit_test(depth_is_counted_as_by_the_slow_loop),
        cmocka_unit_test(mixed_targets_are_cut_as_by_the_slow_loop),
        cmocka_unit_test(
            bits_are_the_same_with_and_without_the_machines_instruction),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
