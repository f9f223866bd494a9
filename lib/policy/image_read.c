/* Reading an image: pages, `show`, `diff`, `explain`.  All of it was checked
 * when it was opened; only what callers give is looked at here. */

#include "decide.h"
#include "image_layout.h"

const char *
policy_image_version(const policy_image_t *image)
{
    return image->version;
}

size_t
policy_image_size(const policy_image_t *image)
{
    return image->size;
}

uint32_t
policy_facilities(const policy_image_t *image)
{
    return image->count[SECTION_FACILITIES];
}

bool
policy_uses_via(const policy_image_t *image)
{
    return image->uses_via;
}

bool
policy_uses_country(const policy_image_t *image)
{
    return image->uses_country;
}

bool
policy_uses_users(const policy_image_t *image)
{
    return image->uses_users;
}

bool
policy_uses_certificates(const policy_image_t *image)
{
    return image->uses_certificates;
}

/* How many elements list `i` of a table of first elements has. */
static uint32_t
table_count(const policy_image_t *image, image_section_t table, uint32_t i)
{
    return image_u32(image, table, i + 1) - image_u32(image, table, i);
}

slice_t
policy_facility_id(const policy_image_t *image, uint32_t index)
{
    if (index >= image->count[SECTION_FACILITIES]) {
        return (slice_t){"", 0};
    }
    return image_string(image, image_detail(image, index) + DETAIL_ID);
}

bool
policy_facility(const policy_image_t *image, uint32_t index,
                policy_facility_t *facility)
{
    const uint8_t *record, *detail;
    uint8_t flags;

    if (index >= image->count[SECTION_FACILITIES]) {
        return false;
    }
    record = image_facility(image, index);
    detail = image_detail(image, index);
    flags = record[FACILITY_FLAGS];

    *facility = (policy_facility_t){
        .id = image_string(image, detail + DETAIL_ID),
        .name = image_string(image, detail + DETAIL_NAME),
        .contact = image_string(image, detail + DETAIL_CONTACT),
        .zone = image_string(image,
                             image_element(image, SECTION_ZONES, ZONE_SIZE,
                                           load_le32(record + FACILITY_ZONE)) +
                                 ZONE_NAME),
        .device = record[FACILITY_DEVICE],
        .dry_run = (flags & FACILITY_DRY_RUN) != 0,
        .second_factor = (flags & FACILITY_SECOND_FACTOR) != 0,
        .off_hours_factor = (flags & FACILITY_OFF_HOURS_FACTOR) != 0,
        .any = (flags & FACILITY_ANY) != 0,
        .local = (flags & FACILITY_LOCAL) != 0,
        .has_hours = (flags & FACILITY_HAS_HOURS) != 0,
        .has_users = (flags & FACILITY_HAS_USERS) != 0,
        .valid_from = (int32_t) load_le32(record + FACILITY_VALID_FROM),
        .valid_to = (int32_t) load_le32(record + FACILITY_VALID_TO),
        .services = record[FACILITY_SERVICES],
        .actions = record[FACILITY_ACTIONS],
        .idle_seconds = load_le32(record + FACILITY_IDLE),
        .max_seconds = load_le32(record + FACILITY_MAX),
        .networks_count = load_le32(detail + DETAIL_NETWORKS4 + 4) +
                          load_le32(detail + DETAIL_NETWORKS6 + 4) +
                          load_le32(detail + DETAIL_NETWORKS6_LONG + 4),
        .via_count = load_le32(record + FACILITY_VIA + 4),
        .countries_count = load_le32(record + FACILITY_COUNTRIES + 4),
        .pins_count = load_le32(detail + DETAIL_PINS + 4),
        .authorities_count = load_le32(detail + DETAIL_AUTHORITIES + 4),
        .hours_count = load_le32(record + FACILITY_HOURS + 4),
        .closed_count = table_count(image, SECTION_CALENDARS,
                                    load_le32(record + FACILITY_CALENDAR)),
        .users_count = table_count(image, SECTION_USER_LISTS,
                                   load_le32(record + FACILITY_USER_LIST)),
    };
    return true;
}

uint32_t
policy_facility_find(const policy_image_t *image, slice_t id)
{
    uint32_t low = 0, high = image->count[SECTION_IDS], middle, facility;
    int order;

    while (low < high) {
        middle = low + (high - low) / 2;
        facility = image_u32(image, SECTION_IDS, middle);
        order = image_compare(
            id, image_string(image, image_detail(image, facility) + DETAIL_ID));
        if (order == 0) {
            return facility;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return POLICY_NO_FACILITY;
}

/* Element i of the list at `at` in a facility's record, or NULL. */
static const uint8_t *
list_element(const policy_image_t *image, const uint8_t *list,
             image_section_t section, size_t element_size, uint32_t i)
{
    if (i >= load_le32(list + 4)) {
        return NULL;
    }
    return image_element(image, section, element_size, load_le32(list) + i);
}

bool
policy_facility_network(const policy_image_t *image, uint32_t facility,
                        uint32_t i, prefix_t *prefix)
{
    const uint8_t *detail;
    uint32_t count, element;

    if (facility >= image->count[SECTION_FACILITIES]) {
        return false;
    }
    detail = image_detail(image, facility);
    *prefix = (prefix_t){0};

    count = load_le32(detail + DETAIL_NETWORKS4 + 4);
    if (i < count) {
        element = load_le32(detail + DETAIL_NETWORKS4) + i;
        prefix->address.family = ADDRESS_IPV4;
        store_be32(prefix->address.bytes,
                   image_u32(image, SECTION_NETWORKS4, element));
        prefix->bits = image->section[SECTION_NETWORKS4_BITS][element];
        return true;
    }
    i -= count;

    prefix->address.family = ADDRESS_IPV6;
    count = load_le32(detail + DETAIL_NETWORKS6 + 4);
    if (i < count) {
        element = load_le32(detail + DETAIL_NETWORKS6) + i;
        store_be64(
            prefix->address.bytes,
            load_le64(image_element(image, SECTION_NETWORKS6, 8, element)));
        prefix->bits = image->section[SECTION_NETWORKS6_BITS][element];
        return true;
    }
    i -= count;

    count = load_le32(detail + DETAIL_NETWORKS6_LONG + 4);
    if (i < count) {
        element = load_le32(detail + DETAIL_NETWORKS6_LONG) + i;
        store_be64(prefix->address.bytes,
                   load_le64(image_element(image, SECTION_NETWORKS6_LONG, 16,
                                           element)));
        store_be64(
            prefix->address.bytes + 8,
            load_le64(
                image_element(image, SECTION_NETWORKS6_LONG, 16, element) + 8));
        prefix->bits = image->section[SECTION_NETWORKS6_LONG_BITS][element];
        return true;
    }
    return false;
}

bool
policy_facility_via(const policy_image_t *image, uint32_t facility, uint32_t i,
                    address_t *address)
{
    const uint8_t *at;

    if (facility >= image->count[SECTION_FACILITIES]) {
        return false;
    }
    at = list_element(image, image_facility(image, facility) + FACILITY_VIA,
                      SECTION_VIA, VIA_SIZE, i);
    if (at == NULL) {
        return false;
    }
    address->family = at[0];
    memcpy(address->bytes, at + 1, sizeof(address->bytes));
    return true;
}

bool
policy_facility_country(const policy_image_t *image, uint32_t facility,
                        uint32_t i, char code[2])
{
    const uint8_t *at;

    if (facility >= image->count[SECTION_FACILITIES]) {
        return false;
    }
    at = list_element(image,
                      image_facility(image, facility) + FACILITY_COUNTRIES,
                      SECTION_COUNTRIES, 2, i);
    if (at == NULL) {
        return false;
    }
    memcpy(code, at, 2);
    return true;
}

/* Fingerprint i of a facility's list of numbers of hashes. */
static bool
fingerprint(const policy_image_t *image, const uint8_t *list,
            image_section_t numbers, image_section_t hashes, uint32_t i,
            uint8_t sha256[32])
{
    const uint8_t *at = list_element(image, list, numbers, 4, i);

    if (at == NULL) {
        return false;
    }
    memcpy(sha256,
           image_element(image, hashes, IMAGE_SHA256_SIZE, load_le32(at)),
           IMAGE_SHA256_SIZE);
    return true;
}

bool
policy_facility_pin(const policy_image_t *image, uint32_t facility, uint32_t i,
                    uint8_t sha256[32])
{
    return facility < image->count[SECTION_FACILITIES] &&
           fingerprint(image, image_detail(image, facility) + DETAIL_PINS,
                       SECTION_PINS, SECTION_PIN_HASHES, i, sha256);
}

bool
policy_facility_authority(const policy_image_t *image, uint32_t facility,
                          uint32_t i, uint8_t sha256[32])
{
    return facility < image->count[SECTION_FACILITIES] &&
           fingerprint(
               image, image_detail(image, facility) + DETAIL_AUTHORITIES,
               SECTION_AUTHORITIES, SECTION_AUTHORITY_HASHES, i, sha256);
}

bool
policy_facility_hours(const policy_image_t *image, uint32_t facility,
                      uint32_t i, uint16_t *start, uint16_t *end)
{
    const uint8_t *at;

    if (facility >= image->count[SECTION_FACILITIES]) {
        return false;
    }
    at = list_element(image, image_facility(image, facility) + FACILITY_HOURS,
                      SECTION_WINDOWS, 4, i);
    if (at == NULL) {
        return false;
    }
    *start = load_le16(at);
    *end = load_le16(at + 2);
    return true;
}

/* Element i of list `list` of a table of first elements, or NULL. */
static const uint8_t *
table_element(const policy_image_t *image, image_section_t table, uint32_t list,
              uint32_t i, image_section_t section)
{
    if (i >= table_count(image, table, list)) {
        return NULL;
    }
    return image_element(image, section, 8, image_u32(image, table, list) + i);
}

bool
policy_facility_closed(const policy_image_t *image, uint32_t facility,
                       uint32_t i, int32_t *first, int32_t *last)
{
    const uint8_t *at;

    if (facility >= image->count[SECTION_FACILITIES]) {
        return false;
    }
    at = table_element(
        image, SECTION_CALENDARS,
        load_le32(image_facility(image, facility) + FACILITY_CALENDAR), i,
        SECTION_CLOSED);
    if (at == NULL) {
        return false;
    }
    *first = (int32_t) load_le32(at);
    *last = (int32_t) load_le32(at + 4);
    return true;
}

bool
policy_facility_user(const policy_image_t *image, uint32_t facility, uint32_t i,
                     slice_t *user)
{
    const uint8_t *at;

    if (facility >= image->count[SECTION_FACILITIES]) {
        return false;
    }
    at = table_element(
        image, SECTION_USER_LISTS,
        load_le32(image_facility(image, facility) + FACILITY_USER_LIST), i,
        SECTION_USERS);
    if (at == NULL) {
        return false;
    }
    *user = image_string(image, at);
    return true;
}

int32_t
policy_facility_offset(const policy_image_t *image, uint32_t facility,
                       int64_t unix_seconds)
{
    if (facility >= image->count[SECTION_FACILITIES]) {
        return 0;
    }
    return image_zone_offset(
        image, load_le32(image_facility(image, facility) + FACILITY_ZONE),
        unix_seconds);
}
