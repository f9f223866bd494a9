#define _GNU_SOURCE
#include "language_facility.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "language_country.h"

/* Networks that no country table knows: RFC 1918, 6598, 3927, 4193, loopback
 * and link-local. */
static bool
is_private(const prefix_t *prefix)
{
    static const prefix_t privates[] = {
        {{ADDRESS_IPV4, {10}}, 8},         {{ADDRESS_IPV4, {172, 16}}, 12},
        {{ADDRESS_IPV4, {192, 168}}, 16},  {{ADDRESS_IPV4, {127}}, 8},
        {{ADDRESS_IPV4, {100, 64}}, 10},   {{ADDRESS_IPV4, {169, 254}}, 16},
        {{ADDRESS_IPV6, {0xfc}}, 7},       {{ADDRESS_IPV6, {0xfe, 0x80}}, 10},
        {{ADDRESS_IPV6, {[15] = 1}}, 128},
    };

    for (size_t i = 0; i < sizeof(privates) / sizeof(privates[0]); i++) {
        if (privates[i].bits <= prefix->bits &&
            prefix_contains(&privates[i], &prefix->address))
        {
            return true;
        }
    }
    return false;
}

/* ::ffff:192.0.2.0/120 would never match, as addresses of that form become
 * IPv4: says which prefix does.  True after an error. */
static bool
is_mapped(facility_reader_t *facility, const facility_value_t *value)
{
    slice_t text = facility_text(value);
    char copy[INET6_ADDRSTRLEN], quote[CONF_QUOTE_MAX], shown[PREFIX_TEXT_MAX];
    uint8_t bytes[16];
    prefix_t prefix = {{ADDRESS_IPV4, {0}}, 32};
    const char *slash;
    size_t size;
    unsigned bits = 0;

    /* its first group is 0 or left out: quick for all others */
    if (text.size == 0 || (text.data[0] != '0' && text.data[0] != ':')) {
        return false;
    }
    slash = memchr(text.data, '/', text.size);
    size = slash == NULL ? text.size : (size_t) (slash - text.data);
    if (memchr(text.data, ':', size) == NULL || size >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.data, size);
    copy[size] = '\0';
    if (inet_pton(AF_INET6, copy, bytes) != 1 ||
        !IN6_IS_ADDR_V4MAPPED((const struct in6_addr *) (void *) bytes))
    {
        return false;
    }
    if (slash != NULL) {
        for (size_t i = size + 1; i < text.size && bits < 1000; i++) {
            if (text.data[i] < '0' || text.data[i] > '9') {
                return false;
            }
            bits = bits * 10 + (unsigned) (text.data[i] - '0');
        }
        if (bits < 96 || bits > 128) {
            return false;
        }
        prefix.bits = (uint8_t) (bits - 96);
    }
    memcpy(prefix.address.bytes, bytes + 12, 4);
    (void) prefix_format(&prefix, shown);
    LANGUAGE_ERROR(facility->language, facility_place(value),
                   "\"%s\" is an IPv4 network written as IPv6: write \"%s\"",
                   conf_quote(text, quote), shown);
    return true;
}

/* "203.0.113.0/255.255.255.240": the length of that mask, or -1. */
static int
netmask_bits(slice_t text)
{
    address_t mask;
    uint32_t bits;
    const char *slash = memchr(text.data, '/', text.size);

    if (slash == NULL ||
        !address_parse(slice_from(text, (size_t) (slash - text.data) + 1),
                       &mask) ||
        mask.family != ADDRESS_IPV4)
    {
        return -1;
    }
    memcpy(&bits, mask.bytes, 4);
    bits = ntohl(bits);
    /* ones, then zeros only */
    if ((~bits & (~bits + 1)) != 0) {
        return -1;
    }
    return __builtin_popcount(bits);
}

static void
report_bad_network(facility_reader_t *facility, const facility_value_t *value)
{
    language_t *language = facility->language;
    slice_t text = facility_text(value);
    report_place_t place = facility_place(value);
    char quote[CONF_QUOTE_MAX];
    int bits = netmask_bits(text);

    (void) conf_quote(text, quote);
    if (text.size > 1 && text.data[text.size - 1] == ',') {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" ends in a comma: separate networks by spaces",
                       quote);
    } else if (bits >= 0) {
        const char *slash = memchr(text.data, '/', text.size);

        text.size = (size_t) (slash - text.data);
        LANGUAGE_ERROR(language, place,
                       "\"%s\" is no network: write its mask as a length, "
                       "\"%.*s/%d\"",
                       quote, SLICE_ARG(text), bits);
    } else if (memchr(text.data, '/', text.size) == NULL &&
               memchr(text.data, '-', text.size) != NULL && text.size > 0 &&
               text.data[0] >= '0' && text.data[0] <= '9')
    {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" is no network: write prefixes, as "
                       "203.0.113.0/28, in the place of a range",
                       quote);
    } else {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" is no network: write an address or a prefix, "
                       "as 203.0.113.0/28 or 2001:db8:10::/48, not a host's "
                       "name",
                       quote);
    }
}

/* False after an error. */
static bool
parse_network(facility_reader_t *facility, const facility_value_t *value,
              prefix_t *prefix)
{
    language_t *language = facility->language;
    char quote[CONF_QUOTE_MAX], shown[PREFIX_TEXT_MAX];

    switch (prefix_parse(facility_text(value), prefix)) {
    case PREFIX_OK:
        break;
    case PREFIX_HOST_BITS:
        (void) prefix_format(prefix, shown);
        LANGUAGE_ERROR(language, facility_place(value),
                       "\"%s\" has bits set beyond its length: write \"%s\"",
                       conf_quote(facility_text(value), quote), shown);
        return false;
    case PREFIX_ERROR:
    default:
        if (!is_mapped(facility, value)) {
            report_bad_network(facility, value);
        }
        return false;
    }
    if (prefix->address.family == ADDRESS_IPV4 && is_mapped(facility, value)) {
        return false;
    }
    if (prefix->bits == 0) {
        LANGUAGE_ERROR(language, facility_place(value),
                       "\"%s\" is everywhere: write \"network any\", which "
                       "asks for a client certificate",
                       conf_quote(facility_text(value), quote));
        return false;
    }
    return true;
}

void
facility_read_networks(facility_reader_t *facility)
{
    language_t *language = facility->language;
    policy_source_facility_t *out = facility->out;
    size_t count = facility->values[FACILITY_NETWORK];
    facility_value_t value = {0};
    char quote[CONF_QUOTE_MAX];

    if (count == 0) {
        if (facility->lines[FACILITY_NETWORK] == 0) {
            LANGUAGE_ERROR(language, out->place,
                           "facility \"%s\" has no network: add \"network "
                           "203.0.113.0/28;\", or any, or local",
                           conf_quote(out->id, quote));
        }
        return;
    }
    if (count > POLICY_NETWORKS_MAX - language->networks_count) {
        LANGUAGE_ERROR(
            language, conf_place(facility->first[FACILITY_NETWORK], 0),
            "too many networks: at most %u in all", POLICY_NETWORKS_MAX);
        return;
    }
    language->networks_count += count;
    out->networks = language_array(language, count, sizeof(*out->networks));
    if (out->networks == NULL || !facility_reset_seen(facility, count)) {
        return;
    }
    while (facility_next(facility, FACILITY_NETWORK, &value)) {
        policy_source_network_t *network;
        bool any = slice_is(facility_text(&value), "any");

        if (any || slice_is(facility_text(&value), "local")) {
            out->any |= any;
            out->local |= !any;
            if (facility->wide == NULL) {
                facility->wide = value.line;
                facility->wide_word = value.word;
            }
            continue;
        }
        network = &out->networks[out->networks_count];
        if (!parse_network(facility, &value, &network->prefix)) {
            facility->has_public = true; /* it may be */
            continue;
        }
        network->place = facility_place(&value);
        if (facility_is_first(facility,
                              (slice_t){(const char *) &network->prefix,
                                        sizeof(network->prefix)},
                              &value))
        {
            out->networks_count++;
            if (!facility->has_public && !is_private(&network->prefix)) {
                facility->has_public = true;
            }
        }
    }
    if (facility->wide != NULL && count > 1) {
        LANGUAGE_ERROR(language,
                       conf_place(facility->wide, facility->wide_word),
                       "\"network %s\" stands alone: delete the other "
                       "networks, or make two facilities",
                       out->any ? "any" : "local");
    }
}

void
facility_read_via(facility_reader_t *facility)
{
    language_t *language = facility->language;
    policy_source_facility_t *out = facility->out;
    size_t count = facility->values[FACILITY_VIA];
    facility_value_t value = {0};
    char quote[CONF_QUOTE_MAX];

    out->via = language_array(language, count, sizeof(*out->via));
    if (out->via == NULL || !facility_reset_seen(facility, count)) {
        return;
    }
    while (facility_next(facility, FACILITY_VIA, &value)) {
        address_t *address = &out->via[out->via_count];

        if (!address_parse(facility_text(&value), address) ||
            address->family == ADDRESS_LOCAL)
        {
            LANGUAGE_ERROR(language, facility_place(&value),
                           "\"%s\" is no address: \"via\" takes addresses of "
                           "this host, as 10.8.0.1",
                           conf_quote(facility_text(&value), quote));
        } else if (facility_is_first(
                       facility,
                       (slice_t){(const char *) address, sizeof(*address)},
                       &value))
        {
            out->via_count++;
        }
    }
    if (out->local) {
        LANGUAGE_ERROR(language, conf_place(facility->first[FACILITY_VIA], 0),
                       "\"via\" with \"network local\" admits nobody: a "
                       "console has no address; delete the line");
    }
}

void
facility_read_countries(facility_reader_t *facility)
{
    language_t *language = facility->language;
    policy_source_facility_t *out = facility->out;
    size_t count = facility->values[FACILITY_COUNTRY];
    facility_value_t value = {0};
    char quote[CONF_QUOTE_MAX];

    out->countries = language_array(language, count, sizeof(*out->countries));
    if (out->countries == NULL || !facility_reset_seen(facility, count)) {
        return;
    }
    while (facility_next(facility, FACILITY_COUNTRY, &value)) {
        slice_t text = facility_text(&value);
        char code[2] = {0};

        if (text.size == 2) {
            code[0] = text.data[0];
            code[1] = text.data[1];
        }
        if (language_country_known(code)) {
            if (facility_is_first(facility, text, &value)) {
                memcpy(out->countries[out->countries_count++], code, 2);
            }
            continue;
        }
        for (size_t i = 0; i < 2; i++) {
            if (code[i] >= 'a' && code[i] <= 'z') {
                code[i] = (char) (code[i] - 'a' + 'A');
            }
        }
        if (code[0] == 'U' && code[1] == 'K') {
            memcpy(code, "GB", 2); /* what ISO 3166 calls it */
        }
        (void) conf_quote(text, quote);
        if (language_country_known(code)) {
            LANGUAGE_ERROR(language, facility_place(&value),
                           "\"%s\" is no country code: write %.2s", quote,
                           code);
        } else {
            LANGUAGE_ERROR(language, facility_place(&value),
                           "\"%s\" is no country code: write two capitals of "
                           "ISO 3166, as JP",
                           quote);
        }
    }
    if (facility->values[FACILITY_NETWORK] > 0 && !out->any &&
        !facility->has_public && (out->local || out->networks_count > 0))
    {
        LANGUAGE_WARNING(language,
                         conf_place(facility->first[FACILITY_COUNTRY], 0),
                         "\"country\" admits nobody here: no table knows the "
                         "country of %s; delete the line",
                         out->local ? "a console" : "private addresses");
    }
}
