/*
 * Network addresses and prefixes.
 *
 * IPv4-mapped IPv6 addresses (::ffff:a.b.c.d, as a dual-stack listener sees
 * them) become IPv4 wherever an address is made, so that nobody downstream
 * has to think of them.
 */

#ifndef SEKISHO_BASE_ADDRESS_H
#define SEKISHO_BASE_ADDRESS_H

#include <stdint.h>
#include <sys/socket.h>

#include "slice.h"

typedef enum {
    ADDRESS_NONE = 0, /* not known */
    ADDRESS_LOCAL,    /* no network: a unix socket, a console, a seat */
    ADDRESS_IPV4,
    ADDRESS_IPV6
} address_family_t;

typedef struct {
    uint8_t family;    /* address_family_t */
    uint8_t bytes[16]; /* network order; IPv4 in the first 4, the rest 0 */
} address_t;

typedef struct {
    address_t address; /* host bits are 0 */
    uint8_t bits;      /* 0..32 or 0..128 */
} prefix_t;

typedef enum {
    PREFIX_ERROR = 0,
    PREFIX_OK,
    PREFIX_HOST_BITS /* valid, but bits beyond the mask were set: cleared */
} prefix_result_t;

/* Text of an address, at most; with the NUL. */
#define ADDRESS_TEXT_MAX 46
#define PREFIX_TEXT_MAX  50

/* Literal IPv4 or IPv6 (RFC 4291, no zone), or "local".  No DNS. */
bool address_parse(slice_t text, address_t *address);

/* Any other family than AF_INET, AF_INET6 and AF_UNIX gives ADDRESS_NONE. */
void address_from_sockaddr(const struct sockaddr *sockaddr, socklen_t size,
                           address_t *address);

/* RFC 5952 text; "local"; "" for none.  Returns the length. */
size_t address_format(const address_t *address, char text[ADDRESS_TEXT_MAX]);

bool address_equal(const address_t *a, const address_t *b);

/* "203.0.113.0/28", "2001:db8::/48", or an address alone (a host). */
prefix_result_t prefix_parse(slice_t text, prefix_t *prefix);

/* A host is written without its length. */
size_t prefix_format(const prefix_t *prefix, char text[PREFIX_TEXT_MAX]);

bool prefix_contains(const prefix_t *prefix, const address_t *address);

#endif
