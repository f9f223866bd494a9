#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "../../lib/base/address.h"

static address_t
parsed(const char *text)
{
    address_t address;

    assert_true(address_parse(slice_of(text), &address));
    return address;
}

static void
formats_back_to_rfc5952(void **state)
{
    static const char *const same[] = {
        "192.0.2.1", "2001:db8::1",    "::", "::1", "local",
        "0.0.0.0",   "255.255.255.255"};
    char text[ADDRESS_TEXT_MAX];
    address_t address;

    (void) state;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        address = parsed(same[i]);
        assert_int_equal(address_format(&address, text), strlen(same[i]));
        assert_string_equal(text, same[i]);
    }
    address = parsed("2001:DB8:0:0::0001");
    address_format(&address, text);
    assert_string_equal(text, "2001:db8::1");
}

static void
mapped_ipv6_becomes_ipv4(void **state)
{
    address_t mapped = parsed("::ffff:192.0.2.1"), plain = parsed("192.0.2.1");
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    (void) state;
    assert_true(address_equal(&mapped, &plain));
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sin6_addr),
                     1);
    address_from_sockaddr((struct sockaddr *) &in6, sizeof(in6), &mapped);
    assert_true(address_equal(&mapped, &plain));
}

static void
rejects_what_is_no_literal(void **state)
{
    static const char *const bad[] = {
        "",
        "localhost",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "fe80::1%1",
        "1:2:3:4:5",
        " 1.2.3.4",
        "1.2.3.4 ",
        "[::1]",
        ":::",
        "0x7f.0.0.1",
        "127.1",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc"};
    address_t address;

    (void) state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(address_parse(slice_of(bad[i]), &address));
        assert_int_equal(address.family, ADDRESS_NONE);
    }
    /* what follows a NUL must not be hidden by it */
    assert_false(address_parse((slice_t){"1.2.3.4\0x", 9}, &address));
}

static void
sockaddrs_of_each_family(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr other = {.sa_family = AF_PACKET};
    address_t address;

    (void) state;
    address_from_sockaddr((struct sockaddr *) &un, sizeof(sa_family_t),
                          &address);
    assert_int_equal(address.family, ADDRESS_LOCAL);
    address_from_sockaddr((struct sockaddr *) &in, sizeof(in), &address);
    assert_int_equal(address.family, ADDRESS_IPV4);
    /* cut short: not known, so not allowed */
    address_from_sockaddr((struct sockaddr *) &in, 4, &address);
    assert_int_equal(address.family, ADDRESS_NONE);
    address_from_sockaddr(&other, sizeof(other), &address);
    assert_int_equal(address.family, ADDRESS_NONE);
    address_from_sockaddr(NULL, 0, &address);
    assert_int_equal(address.family, ADDRESS_NONE);
}

static void
prefix_clears_and_tells_host_bits(void **state)
{
    char text[PREFIX_TEXT_MAX];
    prefix_t prefix;

    (void) state;
    assert_int_equal(prefix_parse(SLICE("203.0.113.9/28"), &prefix),
                     PREFIX_HOST_BITS);
    prefix_format(&prefix, text);
    assert_string_equal(text, "203.0.113.0/28");
    assert_int_equal(prefix_parse(SLICE("2001:db8::1/47"), &prefix),
                     PREFIX_HOST_BITS);
    prefix_format(&prefix, text);
    assert_string_equal(text, "2001:db8::/47");
    assert_int_equal(prefix_parse(SLICE("0.0.0.0/0"), &prefix), PREFIX_OK);
    prefix_format(&prefix, text);
    assert_string_equal(text, "0.0.0.0/0");
}

static void
prefix_without_length_is_a_host(void **state)
{
    char text[PREFIX_TEXT_MAX];
    prefix_t prefix;

    (void) state;
    assert_int_equal(prefix_parse(SLICE("192.0.2.7"), &prefix), PREFIX_OK);
    assert_int_equal(prefix.bits, 32);
    prefix_format(&prefix, text);
    assert_string_equal(text, "192.0.2.7");
    assert_int_equal(prefix_parse(SLICE("::1"), &prefix), PREFIX_OK);
    assert_int_equal(prefix.bits, 128);
}

static void
prefix_rejects_bad_lengths(void **state)
{
    static const char *const bad[] = {
        "192.0.2.0/33", "192.0.2.0/",     "192.0.2.0/-1",        "/24",
        "192.0.2.0/08", "2001:db8::/129", "192.0.2.0/24/8",      "local/8",
        "local",        "192.0.2.0/2 ",   "::ffff:192.0.2.0/120"};
    prefix_t prefix;

    (void) state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(prefix_parse(slice_of(bad[i]), &prefix), PREFIX_ERROR);
    }
}

static void
prefix_contains_its_ends_and_no_more(void **state)
{
    prefix_t prefix;
    address_t address;

    (void) state;
    assert_int_equal(prefix_parse(SLICE("10.1.2.64/26"), &prefix), PREFIX_OK);
    address = parsed("10.1.2.64");
    assert_true(prefix_contains(&prefix, &address));
    address = parsed("10.1.2.127");
    assert_true(prefix_contains(&prefix, &address));
    address = parsed("10.1.2.63");
    assert_false(prefix_contains(&prefix, &address));
    address = parsed("10.1.2.128");
    assert_false(prefix_contains(&prefix, &address));
    address = parsed("::10.1.2.64");
    assert_false(prefix_contains(&prefix, &address));
    address = parsed("local");
    assert_false(prefix_contains(&prefix, &address));
}

UNIT_TESTS(cmocka_unit_test(formats_back_to_rfc5952),
           cmocka_unit_test(mapped_ipv6_becomes_ipv4),
           cmocka_unit_test(rejects_what_is_no_literal),
           cmocka_unit_test(sockaddrs_of_each_family),
           cmocka_unit_test(prefix_clears_and_tells_host_bits),
           cmocka_unit_test(prefix_without_length_is_a_host),
           cmocka_unit_test(prefix_rejects_bad_lengths),
           cmocka_unit_test(prefix_contains_its_ends_and_no_more))
