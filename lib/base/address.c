#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#define IPV4_BITS 32
#define IPV6_BITS 128

/* RFC 4291 2.5.5.2: ::ffff:0:0/96 */
static bool
is_mapped(const uint8_t bytes[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};

    return memcmp(bytes, mapped, sizeof(mapped)) == 0;
}

static void
set_ipv4(address_t *address, const void *bytes)
{
    memset(address, 0, sizeof(*address));
    address->family = ADDRESS_IPV4;
    memcpy(address->bytes, bytes, 4);
}

static void
set_ipv6(address_t *address, const uint8_t bytes[16])
{
    if (is_mapped(bytes)) {
        set_ipv4(address, bytes + 12);
        return;
    }
    address->family = ADDRESS_IPV6;
    memcpy(address->bytes, bytes, 16);
}

bool
address_parse(slice_t text, address_t *address)
{
    char copy[ADDRESS_TEXT_MAX];
    uint8_t bytes[16];

    memset(address, 0, sizeof(*address));
    if (slice_is(text, "local")) {
        address->family = ADDRESS_LOCAL;
        return true;
    }
    /* inet_pton() wants a string: a NUL inside would hide what follows */
    if (text.size == 0 || text.size >= sizeof(copy) ||
        memchr(text.data, '\0', text.size) != NULL)
    {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';

    if (inet_pton(AF_INET, copy, bytes) == 1) {
        set_ipv4(address, bytes);
        return true;
    }
    if (inet_pton(AF_INET6, copy, bytes) == 1) {
        set_ipv6(address, bytes);
        return true;
    }
    return false;
}

void
address_from_sockaddr(const struct sockaddr *sockaddr, socklen_t size,
                      address_t *address)
{
    memset(address, 0, sizeof(*address));
    if (sockaddr == NULL || size < sizeof(sa_family_t)) {
        return;
    }
    switch (sockaddr->sa_family) {
    case AF_INET:
        if (size >= sizeof(struct sockaddr_in)) {
            struct sockaddr_in in;

            memcpy(&in, sockaddr, sizeof(in));
            set_ipv4(address, &in.sin_addr);
        }
        return;
    case AF_INET6:
        if (size >= sizeof(struct sockaddr_in6)) {
            struct sockaddr_in6 in6;

            memcpy(&in6, sockaddr, sizeof(in6));
            set_ipv6(address, in6.sin6_addr.s6_addr);
        }
        return;
    case AF_UNIX:
        address->family = ADDRESS_LOCAL;
        return;
    default:
        return;
    }
}

size_t
address_format(const address_t *address, char text[ADDRESS_TEXT_MAX])
{
    text[0] = '\0';
    switch (address->family) {
    case ADDRESS_LOCAL:
        memcpy(text, "local", sizeof("local"));
        break;
    case ADDRESS_IPV4:
        (void) inet_ntop(AF_INET, address->bytes, text, ADDRESS_TEXT_MAX);
        break;
    case ADDRESS_IPV6:
        (void) inet_ntop(AF_INET6, address->bytes, text, ADDRESS_TEXT_MAX);
        break;
    default:
        break;
    }
    return strlen(text);
}

bool
address_equal(const address_t *a, const address_t *b)
{
    return a->family == b->family &&
           memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* Clears the bits after the first `bits`; true if one of them was set. */
static bool
clear_host_bits(uint8_t bytes[16], unsigned bits)
{
    bool any = false;

    for (unsigned i = bits / 8; i < 16; i++) {
        unsigned keep = i == bits / 8 ? bits % 8 : 0;
        uint8_t mask = (uint8_t) (0xff00u >> keep);

        any |= (bytes[i] & (uint8_t) ~mask) != 0;
        bytes[i] &= mask;
    }
    return any;
}

static bool
parse_bits(slice_t text, unsigned limit, uint8_t *bits)
{
    unsigned value = 0;

    if (text.size == 0 || text.size > 3 ||
        (text.size > 1 && text.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned) (text.data[i] - '0');
    }
    if (value > limit) {
        return false;
    }
    *bits = (uint8_t) value;
    return true;
}

prefix_result_t
prefix_parse(slice_t text, prefix_t *prefix)
{
    const char *slash = text.size == 0 ? NULL
                                       : memchr(text.data, '/', text.size);
    slice_t host = text;
    unsigned limit;

    memset(prefix, 0, sizeof(*prefix));
    if (slash != NULL) {
        host.size = (size_t) (slash - text.data);
    }
    if (!address_parse(host, &prefix->address) ||
        prefix->address.family == ADDRESS_LOCAL)
    {
        return PREFIX_ERROR;
    }
    limit = prefix->address.family == ADDRESS_IPV4 ? IPV4_BITS : IPV6_BITS;
    if (slash == NULL) {
        prefix->bits = (uint8_t) limit;
        return PREFIX_OK;
    }
    /* "::ffff:192.0.2.0/120" would need another count: not guessed at */
    if (limit == IPV4_BITS && memchr(host.data, ':', host.size) != NULL) {
        return PREFIX_ERROR;
    }
    if (!parse_bits(slice_from(text, host.size + 1), limit, &prefix->bits)) {
        return PREFIX_ERROR;
    }
    return clear_host_bits(prefix->address.bytes, prefix->bits)
               ? PREFIX_HOST_BITS
               : PREFIX_OK;
}

size_t
prefix_format(const prefix_t *prefix, char text[PREFIX_TEXT_MAX])
{
    unsigned limit = prefix->address.family == ADDRESS_IPV4 ? IPV4_BITS
                                                            : IPV6_BITS;
    size_t size = address_format(&prefix->address, text);

    if (size != 0 && prefix->bits < limit) {
        size += (size_t) snprintf(text + size, PREFIX_TEXT_MAX - size, "/%u",
                                  prefix->bits);
    }
    return size;
}

bool
prefix_contains(const prefix_t *prefix, const address_t *address)
{
    unsigned whole = prefix->bits / 8;
    unsigned rest = prefix->bits % 8;

    if (prefix->address.family != address->family ||
        (address->family != ADDRESS_IPV4 && address->family != ADDRESS_IPV6) ||
        memcmp(prefix->address.bytes, address->bytes, whole) != 0)
    {
        return false;
    }
    return rest == 0 ||
           ((prefix->address.bytes[whole] ^ address->bytes[whole]) >>
            (8 - rest)) == 0;
}
