/* Countries of addresses from a MaxMind DB. */

#define _GNU_SOURCE

#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../lib/base/file.h"
#include "../../lib/policy/geoip.h"
#include "../bench/mmdb_writer.h"

typedef struct {
    char folder[64];
    char path[96];
} place_t;

static int
set_up(void **state)
{
    place_t *place = calloc(1, sizeof(*place));

    assert_non_null(place);
    (void) snprintf(place->folder, sizeof(place->folder),
                    "/tmp/sekisho-geoip-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    (void) snprintf(place->path, sizeof(place->path), "%s/c.mmdb",
                    place->folder);
    *state = place;
    return 0;
}

static int
tear_down(void **state)
{
    place_t *place = *state;

    (void) unlink(place->path);
    assert_int_equal(rmdir(place->folder), 0);
    free(place);
    return 0;
}

static address_t
address_of(const char *text)
{
    address_t address;

    assert_true(address_parse(slice_of(text), &address));
    return address;
}

static void
write_database(const char *path, const char *network, uint8_t length,
               const char code[2])
{
    mmdb_writer_t *writer = mmdb_writer_new();
    prefix_t prefix = {.address = address_of(network), .bits = length};

    assert_non_null(writer);
    assert_int_equal(mmdb_writer_add(writer, &prefix, code), 0);
    assert_int_equal(mmdb_writer_write(writer, path), 0);
    mmdb_writer_free(writer);
}

static geoip_t *
load(const char *path)
{
    geoip_t *geoip;

    assert_int_equal(geoip_load(path, &geoip), GEOIP_OK);
    assert_non_null(geoip);
    return geoip;
}

static void
is_in(geoip_t *geoip, const char *text, const char *code)
{
    address_t address = address_of(text);
    char found[2];

    assert_true(geoip_country(geoip, &address, found));
    assert_memory_equal(found, code, 2);
}

static void
is_nowhere(geoip_t *geoip, const char *text)
{
    address_t address = address_of(text);
    char found[2];

    assert_false(geoip_country(geoip, &address, found));
}

static void
an_address_is_in_the_country_of_its_prefix(void **state)
{
    place_t *place = *state;
    geoip_t *geoip;

    write_database(place->path, "203.0.113.0", 24, "JP");
    geoip = load(place->path);
    is_in(geoip, "203.0.113.77", "JP");
    is_nowhere(geoip, "203.0.114.77");
    is_nowhere(geoip, "2001:db8::1");
    geoip_free(geoip);
}

static void
an_ipv6_address_is_found(void **state)
{
    place_t *place = *state;
    geoip_t *geoip;

    write_database(place->path, "2001:db8::", 32, "KR");
    geoip = load(place->path);
    is_in(geoip, "2001:db8::1", "KR");
    is_nowhere(geoip, "203.0.113.77");
    geoip_free(geoip);
}

static void
small_letters_are_made_capitals(void **state)
{
    place_t *place = *state;
    geoip_t *geoip;
    char *data, *code;
    size_t size;

    write_database(place->path, "203.0.113.0", 24, "JP");
    assert_int_equal(file_read(place->path, 1 << 20, &data, &size), 0);
    code = memmem(data, size, "BJP", 3); /* 'B': a string of two bytes */
    assert_non_null(code);
    memcpy(code + 1, "jp", 2);
    assert_int_equal(
        file_write_atomic(place->path, (slice_t){data, size}, 0600), 0);
    free(data);
    geoip = load(place->path);
    is_in(geoip, "203.0.113.77", "JP");
    geoip_free(geoip);
}

static void
no_address_is_in_no_country(void **state)
{
    place_t *place = *state;
    address_t none = {.family = ADDRESS_NONE};
    geoip_t *geoip;
    char code[2];

    write_database(place->path, "203.0.113.0", 24, "JP");
    geoip = load(place->path);
    assert_false(geoip_country(geoip, &none, code));
    geoip_free(geoip);
}

/* A mapped file that is cut short would kill the process that reads it. */
static void
a_file_cut_short_after_it_was_read_harms_nobody(void **state)
{
    place_t *place = *state;
    geoip_t *geoip;

    write_database(place->path, "203.0.113.0", 24, "JP");
    geoip = load(place->path);
    assert_int_equal(truncate(place->path, 0), 0);
    is_in(geoip, "203.0.113.77", "JP");
    geoip_free(geoip);
}

static void
refused(const char *path, geoip_result_t result)
{
    geoip_t *geoip = (geoip_t *) path; /* anything but NULL */

    assert_int_equal(geoip_load(path, &geoip), result);
    assert_null(geoip);
}

static void
what_is_no_file_is_refused(void **state)
{
    place_t *place = *state;

    refused(place->path, GEOIP_SYSTEM);
    assert_int_equal(errno, ENOENT);
    refused(place->folder, GEOIP_SYSTEM);
    assert_int_equal(errno, EISDIR);
}

static void
a_fifo_is_refused_and_not_waited_for(void **state)
{
    place_t *place = *state;

    assert_int_equal(mkfifo(place->path, 0600), 0);
    refused(place->path, GEOIP_SYSTEM);
    assert_int_equal(errno, EINVAL);
}

static void
an_empty_file_is_no_database(void **state)
{
    place_t *place = *state;
    FILE *file = fopen(place->path, "w");

    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    refused(place->path, GEOIP_FORMAT);
}

/* However much of it is there: the description stands at the end. */
static void
a_database_cut_short_is_no_database(void **state)
{
    place_t *place = *state;
    struct stat st;

    write_database(place->path, "203.0.113.0", 24, "JP");
    assert_int_equal(stat(place->path, &st), 0);
    for (off_t size = st.st_size - 1; size > 0; size -= 7) {
        assert_int_equal(truncate(place->path, size), 0);
        refused(place->path, GEOIP_FORMAT);
    }
}

static void
what_is_too_large_is_refused_unread(void **state)
{
    place_t *place = *state;

    write_database(place->path, "203.0.113.0", 24, "JP");
    assert_int_equal(truncate(place->path, (off_t) GEOIP_SIZE_MAX + 1), 0);
    refused(place->path, GEOIP_TOO_LARGE);
}

static void
a_file_that_changes_while_it_is_read_is_refused(void **state)
{
    place_t *place = *state;
    geoip_loader_t *loader;
    geoip_t *geoip;

    write_database(place->path, "203.0.113.0", 24, "JP");
    assert_int_equal(geoip_loader_start(place->path, &loader), GEOIP_AGAIN);
    assert_int_equal(geoip_loader_step(loader, &geoip), GEOIP_AGAIN);
    assert_int_equal(truncate(place->path, 10), 0);
    assert_int_equal(geoip_loader_step(loader, &geoip), GEOIP_CHANGED);
    assert_null(geoip);
    geoip_loader_free(loader);
}

static void
a_large_file_is_read_in_slices(void **state)
{
    place_t *place = *state;
    geoip_loader_t *loader;
    geoip_t *geoip;
    FILE *file;

    /* what stands before the description is not looked at by anybody */
    file = fopen(place->path, "w");
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), 3 * 512 * 1024), 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(geoip_loader_start(place->path, &loader), GEOIP_AGAIN);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(geoip_loader_step(loader, &geoip), GEOIP_AGAIN);
    }
    assert_int_equal(geoip_loader_step(loader, &geoip), GEOIP_FORMAT);
    geoip_loader_free(loader);
}

static void
every_result_has_words(void **state)
{
    (void) state;
    for (unsigned i = 0; i <= GEOIP_FORMAT; i++) {
        assert_true(strlen(geoip_strerror((geoip_result_t) i)) > 5);
    }
}

#define TEST(function)                                                         \
    cmocka_unit_test_setup_teardown(function, set_up, tear_down)

UNIT_TESTS(TEST(an_address_is_in_the_country_of_its_prefix),
           TEST(an_ipv6_address_is_found),
           TEST(small_letters_are_made_capitals),
           TEST(no_address_is_in_no_country),
           TEST(a_file_cut_short_after_it_was_read_harms_nobody),
           TEST(what_is_no_file_is_refused),
           TEST(a_fifo_is_refused_and_not_waited_for),
           TEST(an_empty_file_is_no_database),
           TEST(a_database_cut_short_is_no_database),
           TEST(what_is_too_large_is_refused_unread),
           TEST(a_file_that_changes_while_it_is_read_is_refused),
           TEST(a_large_file_is_read_in_slices),
           cmocka_unit_test(every_result_has_words))
