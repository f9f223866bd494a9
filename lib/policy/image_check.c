/*
 * The check of an image, so complete that no reader has to look at a bound
 * again: each offset, count and order that one of them relies upon.  It is cut
 * into tasks, a task into slices of elements, so that an event loop can do
 * other things in between.
 */

#include <string.h>
#include <sys/mman.h>

#include "decide.h"
#include "image_check_parts.h"
#include "policy.h"

/* `from` and `to` are elements of the task's section. */
typedef bool (*check_fn)(policy_image_t *image, uint32_t from, uint32_t to);

typedef struct {
    check_fn check;
    image_section_t section;
    uint32_t less;  /* elements at the end that have no turn of their own */
    uint32_t slice; /* elements at a time */
} check_task_t;

static bool
string_ok(const policy_image_t *image, const uint8_t *list, uint32_t size_min,
          uint32_t size_max)
{
    uint32_t size = load_le32(list + 4);

    return size >= size_min && size <= size_max &&
           image_list_in(image, list, SECTION_STRINGS);
}

static bool
check_facilities(policy_image_t *image, uint32_t from, uint32_t to)
{
    static const uint8_t zero[FACILITY_SIZE - FACILITY_ZERO];
    const uint8_t *record;

    for (uint32_t i = from; i < to; i++) {
        record = image_facility(image, i);
        if (record[FACILITY_DEVICE] < POLICY_DEVICE_NONE ||
            record[FACILITY_DEVICE] > POLICY_DEVICE_REQUIRED ||
            (record[FACILITY_SERVICES] &
             ~((1u << POLICY_SERVICE_COUNT) - 2u)) != 0 ||
            (record[FACILITY_ACTIONS] & ~ACTION_ALL) != 0 ||
            (record[FACILITY_FLAGS] & ~FACILITY_ALL_FLAGS) != 0 ||
            load_le32(record + FACILITY_ZONE) >= image->count[SECTION_ZONES] ||
            !image_list_in(image, record + FACILITY_HOURS, SECTION_WINDOWS) ||
            load_le32(record + FACILITY_CALENDAR) >=
                image->count[SECTION_CALENDARS] - 1 ||
            load_le32(record + FACILITY_USER_LIST) >=
                image->count[SECTION_USER_LISTS] - 1 ||
            !image_list_in(image, record + FACILITY_VIA, SECTION_VIA) ||
            !image_list_in(image, record + FACILITY_COUNTRIES,
                           SECTION_COUNTRIES) ||
            memcmp(record + FACILITY_ZERO, zero, sizeof(zero)) != 0)
        {
            return false;
        }
        image->uses_via |= load_le32(record + FACILITY_VIA + 4) > 0;
        image->uses_country |= load_le32(record + FACILITY_COUNTRIES + 4) > 0;
        image->uses_users |= (record[FACILITY_FLAGS] & FACILITY_HAS_USERS) != 0;
        image->uses_certificates |= record[FACILITY_DEVICE] !=
                                    POLICY_DEVICE_NONE;
    }
    return true;
}

static bool
check_details(policy_image_t *image, uint32_t from, uint32_t to)
{
    const uint8_t *record;

    for (uint32_t i = from; i < to; i++) {
        record = image_detail(image, i);
        if (!string_ok(image, record + DETAIL_ID, 1, POLICY_ID_SIZE_MAX) ||
            !string_ok(image, record + DETAIL_NAME, 0, POLICY_TEXT_SIZE_MAX) ||
            !string_ok(image, record + DETAIL_CONTACT, 0,
                       POLICY_TEXT_SIZE_MAX) ||
            !image_list_in(image, record + DETAIL_NETWORKS4,
                           SECTION_NETWORKS4) ||
            !image_list_in(image, record + DETAIL_NETWORKS6,
                           SECTION_NETWORKS6) ||
            !image_list_in(image, record + DETAIL_NETWORKS6_LONG,
                           SECTION_NETWORKS6_LONG) ||
            !image_list_in(image, record + DETAIL_PINS, SECTION_PINS) ||
            !image_list_in(image, record + DETAIL_AUTHORITIES,
                           SECTION_AUTHORITIES))
        {
            return false;
        }
        image->uses_certificates |= load_le32(record + DETAIL_PINS + 4) > 0 ||
                                    load_le32(record + DETAIL_AUTHORITIES + 4) >
                                        0;
    }
    return true;
}

/* Ascending ids: so each facility is there once. */
static bool
check_ids(policy_image_t *image, uint32_t from, uint32_t to)
{
    uint32_t facility;
    slice_t id, last = {NULL, 0};

    for (uint32_t i = from == 0 ? 0 : from - 1; i < to; i++) {
        facility = image_u32(image, SECTION_IDS, i);
        if (facility >= image->count[SECTION_FACILITIES]) {
            return false;
        }
        id = image_string(image, image_detail(image, facility) + DETAIL_ID);
        if (last.data != NULL && image_compare(last, id) >= 0) {
            return false;
        }
        last = id;
    }
    return true;
}

static bool
check_changes(policy_image_t *image, uint32_t from, uint32_t to)
{
    const uint8_t *at;
    int32_t offset;

    for (uint32_t i = from; i < to; i++) {
        at = image_element(image, SECTION_CHANGES, CHANGE_SIZE, i);
        offset = (int32_t) load_le32(at + CHANGE_OFFSET);
        if (offset <= -86400 || offset >= 86400 ||
            load_le32(at + CHANGE_ZERO) != 0) {
            return false;
        }
    }
    return true;
}

/* Each step is the last change not after it. */
static bool
steps_ok(const policy_image_t *image, uint32_t zone, const uint8_t *changes,
         uint32_t count)
{
    const uint8_t *steps = image->section[SECTION_ZONE_STEPS] +
                           (size_t) ZONE_STEPS * zone;
    uint32_t change = 0;

    for (int64_t i = 0; i < ZONE_STEPS; i++) {
        int64_t at = ZONE_FROM + (i << ZONE_STEP_SHIFT);
        while (change + 1 < count &&
               (int64_t) load_le64(changes +
                                   (size_t) CHANGE_SIZE * (change + 1)) <= at)
        {
            change++;
        }
        if (steps[i] != change) {
            return false;
        }
    }
    return true;
}

static bool
check_zones(policy_image_t *image, uint32_t from, uint32_t to)
{
    const uint8_t *record, *changes, *at;
    uint32_t count;

    for (uint32_t i = from; i < to; i++) {
        record = image_element(image, SECTION_ZONES, ZONE_SIZE, i);
        count = load_le32(record + ZONE_LIST + 4);
        if (!string_ok(image, record + ZONE_NAME, 1, POLICY_TEXT_SIZE_MAX) ||
            !image_list_in(image, record + ZONE_LIST, SECTION_CHANGES) ||
            count == 0 || count > ZONE_CHANGES_MAX)
        {
            return false;
        }
        changes = image_element(image, SECTION_CHANGES, CHANGE_SIZE,
                                load_le32(record + ZONE_LIST));
        for (uint32_t j = 1; j < count; j++) {
            at = changes + (size_t) CHANGE_SIZE * j;
            if ((int64_t) load_le64(at) <=
                (int64_t) load_le64(at - CHANGE_SIZE)) {
                return false;
            }
        }
        if (!steps_ok(image, i, changes, count)) {
            return false;
        }
    }
    return true;
}

static bool
check_windows(policy_image_t *image, uint32_t from, uint32_t to)
{
    const uint8_t *at;
    uint16_t start, end;

    for (uint32_t i = from; i < to; i++) {
        at = image_element(image, SECTION_WINDOWS, 4, i);
        start = load_le16(at);
        end = load_le16(at + 2);
        if (start >= IMAGE_WEEK_MINUTES || end <= start ||
            end - start > IMAGE_WEEK_MINUTES)
        {
            return false;
        }
    }
    return true;
}

static bool
check_calendars(policy_image_t *image, uint32_t from, uint32_t to)
{
    const uint8_t *at;
    uint32_t begin, end;

    if (!image_table_ok(image, SECTION_CALENDARS, from, to, SECTION_CLOSED) ||
        (from == 0 && image_u32(image, SECTION_CALENDARS, 1) != 0))
    {
        return false;
    }
    for (uint32_t i = from; i < to; i++) {
        begin = image_u32(image, SECTION_CALENDARS, i);
        end = image_u32(image, SECTION_CALENDARS, i + 1);
        for (uint32_t j = begin; j < end; j++) {
            at = image_element(image, SECTION_CLOSED, 8, j);
            if ((int32_t) load_le32(at) > (int32_t) load_le32(at + 4) ||
                (j > begin &&
                 (int32_t) load_le32(at) <= (int32_t) load_le32(at - 4)))
            {
                return false;
            }
        }
    }
    return true;
}

static bool
check_via(policy_image_t *image, uint32_t from, uint32_t to)
{
    static const uint8_t zero[12];
    const uint8_t *at;

    for (uint32_t i = from; i < to; i++) {
        at = image_element(image, SECTION_VIA, VIA_SIZE, i);
        if (at[0] != ADDRESS_IPV6 &&
            (at[0] != ADDRESS_IPV4 || memcmp(at + 5, zero, sizeof(zero)) != 0))
        {
            return false;
        }
    }
    return true;
}

static bool
check_countries(policy_image_t *image, uint32_t from, uint32_t to)
{
    const uint8_t *at;

    for (uint32_t i = from; i < to; i++) {
        at = image_element(image, SECTION_COUNTRIES, 2, i);
        if (at[0] < 'A' || at[0] > 'Z' || at[1] < 'A' || at[1] > 'Z') {
            return false;
        }
    }
    return true;
}

static bool
check_users(policy_image_t *image, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (!string_ok(image, image_element(image, SECTION_USERS, 8, i), 1,
                       POLICY_USER_SIZE_MAX))
        {
            return false;
        }
    }
    return true;
}

static bool
check_user_lists(policy_image_t *image, uint32_t from, uint32_t to)
{
    uint32_t begin, end;

    if (!image_table_ok(image, SECTION_USER_LISTS, from, to, SECTION_USERS)) {
        return false;
    }
    for (uint32_t i = from; i < to; i++) {
        begin = image_u32(image, SECTION_USER_LISTS, i);
        end = image_u32(image, SECTION_USER_LISTS, i + 1);
        for (uint32_t j = begin + 1; j < end; j++) {
            if (image_compare(image_user(image, j - 1), image_user(image, j)) >=
                0) {
                return false;
            }
        }
    }
    return true;
}

static bool
hashes_ok(const policy_image_t *image, image_section_t hashes, uint32_t from,
          uint32_t to)
{
    const uint8_t *at;

    for (uint32_t i = from == 0 ? 1 : from; i < to; i++) {
        at = image_element(image, hashes, IMAGE_SHA256_SIZE, i);
        if (memcmp(at - IMAGE_SHA256_SIZE, at, IMAGE_SHA256_SIZE) >= 0) {
            return false;
        }
    }
    return true;
}

static bool
owners_ok(const policy_image_t *image, image_section_t first, uint32_t from,
          uint32_t to, image_section_t members)
{
    uint32_t begin, end, member, last;

    if (!image_table_ok(image, first, from, to, members)) {
        return false;
    }
    for (uint32_t i = from; i < to; i++) {
        begin = image_u32(image, first, i);
        end = image_u32(image, first, i + 1);
        last = 0;
        for (uint32_t j = begin; j < end; j++) {
            member = image_u32(image, members, j);
            if (member >= image->count[SECTION_FACILITIES] ||
                (j > begin && member <= last)) {
                return false;
            }
            last = member;
        }
    }
    return true;
}

static bool
check_pin_hashes(policy_image_t *image, uint32_t from, uint32_t to)
{
    return hashes_ok(image, SECTION_PIN_HASHES, from, to);
}

static bool
check_authority_hashes(policy_image_t *image, uint32_t from, uint32_t to)
{
    return hashes_ok(image, SECTION_AUTHORITY_HASHES, from, to);
}

static bool
check_pin_owners(policy_image_t *image, uint32_t from, uint32_t to)
{
    return owners_ok(image, SECTION_PIN_FIRST, from, to, SECTION_PIN_MEMBERS);
}

static bool
check_authority_owners(policy_image_t *image, uint32_t from, uint32_t to)
{
    return owners_ok(image, SECTION_AUTHORITY_FIRST, from, to,
                     SECTION_AUTHORITY_MEMBERS);
}

static bool
numbers_ok(const policy_image_t *image, image_section_t section, uint32_t from,
           uint32_t to, image_section_t of)
{
    for (uint32_t i = from; i < to; i++) {
        if (image_u32(image, section, i) >= image->count[of]) {
            return false;
        }
    }
    return true;
}

static bool
check_pins(policy_image_t *image, uint32_t from, uint32_t to)
{
    return numbers_ok(image, SECTION_PINS, from, to, SECTION_PIN_HASHES);
}

static bool
check_authorities(policy_image_t *image, uint32_t from, uint32_t to)
{
    return numbers_ok(image, SECTION_AUTHORITIES, from, to,
                      SECTION_AUTHORITY_HASHES);
}

/* What one reads must have been checked before it: strings' places before
 * their order, facilities before sets. */
static const check_task_t tasks[] = {
    {check_facilities, SECTION_FACILITIES, 0, 8192},
    {check_details, SECTION_DETAILS, 0, 8192},
    {check_ids, SECTION_IDS, 0, 4096},
    {image_check_sets, SECTION_SETS, 0, 256},
    {image_check_lines4, SECTION_LINES4, 0, 16384},
    {image_check_lines6, SECTION_LINES6, 0, 16384},
    {image_check_deep, SECTION_DEEP, 1, 16384},
    {check_changes, SECTION_CHANGES, 0, 65536},
    {check_zones, SECTION_ZONES, 0, 256},
    {check_windows, SECTION_WINDOWS, 0, 65536},
    {check_calendars, SECTION_CALENDARS, 1, 1024},
    {check_via, SECTION_VIA, 0, 65536},
    {check_countries, SECTION_COUNTRIES, 0, 65536},
    {check_users, SECTION_USERS, 0, 65536},
    {check_user_lists, SECTION_USER_LISTS, 1, 256},
    {check_pin_hashes, SECTION_PIN_HASHES, 0, 16384},
    {check_pin_owners, SECTION_PIN_FIRST, 1, 16384},
    {check_authority_hashes, SECTION_AUTHORITY_HASHES, 0, 16384},
    {check_authority_owners, SECTION_AUTHORITY_FIRST, 1, 16384},
    {check_pins, SECTION_PINS, 0, 65536},
    {check_authorities, SECTION_AUTHORITIES, 0, 65536},
    {image_check_networks4, SECTION_NETWORKS4, 0, 262144},
    {image_check_networks6, SECTION_NETWORKS6, 0, 262144},
    {image_check_networks6_long, SECTION_NETWORKS6_LONG, 0, 262144},
};

/* Tables of first elements have one entry more than what they are of, and
 * parallel sections are of one length. */
static bool
counts_ok(const policy_image_t *image)
{
    const uint32_t *count = image->count;

    return image->lines4_bits >= LINES4_BITS_MIN &&
           image->lines4_bits <= LINES_BITS_MAX &&
           image->lines6_bits >= LINES6_BITS_MIN &&
           image->lines6_bits <= LINES_BITS_MAX &&
           image->block6_bits <= BLOCK6_BITS_MAX &&
           image->block6_bits + image->lines6_bits <= 63 &&
           (image->block6 & ~image->block6_mask) == 0 &&
           count[SECTION_LINES4] >= 1u << image->lines4_bits &&
           count[SECTION_LINES6] >= 1u << image->lines6_bits &&
           count[SECTION_FACILITIES] <= POLICY_FACILITIES_MAX &&
           count[SECTION_DETAILS] == count[SECTION_FACILITIES] &&
           count[SECTION_IDS] == count[SECTION_FACILITIES] &&
           count[SECTION_SETS] >= SETS_FIXED &&
           count[SECTION_SETS] <= POLICY_IMAGE_SIZE_MAX / SET_SIZE &&
           count[SECTION_DEEP] <= POLICY_IMAGE_SIZE_MAX / 4 &&
           count[SECTION_DEEP] >= 1 &&
           (uint64_t) count[SECTION_ZONES] * ZONE_STEPS ==
               count[SECTION_ZONE_STEPS] &&
           count[SECTION_CALENDARS] >= 2 && count[SECTION_USER_LISTS] >= 2 &&
           count[SECTION_PIN_FIRST] == count[SECTION_PIN_HASHES] + 1 &&
           count[SECTION_AUTHORITY_FIRST] ==
               count[SECTION_AUTHORITY_HASHES] + 1 &&
           count[SECTION_NETWORKS4] == count[SECTION_NETWORKS4_BITS] &&
           count[SECTION_NETWORKS6] == count[SECTION_NETWORKS6_BITS] &&
           count[SECTION_NETWORKS6_LONG] == count[SECTION_NETWORKS6_LONG_BITS];
}

static bool
zero(const uint8_t *bytes, uint64_t from, uint64_t to)
{
    while (from < to) {
        if (bytes[from++] != 0) {
            return false;
        }
    }
    return true;
}

/* Such a table of nothing has no element for a task to begin with. */
static bool
empty_ok(const policy_image_t *image, image_section_t table,
         image_section_t section)
{
    return image->count[table] > 1 ||
           (image->count[section] == 0 && image_u32(image, table, 0) == 0);
}

/* Where the sections are; they and their padding fill the image. */
static bool
place_sections(policy_image_t *image)
{
    const uint8_t *head = image->bytes;
    uint64_t at = IMAGE_HEADER_SIZE, end;

    image->lines4_bits = load_le32(head + IMAGE_AT_LINES4_BITS);
    image->lines6_bits = load_le32(head + IMAGE_AT_LINES6_BITS);
    image->block6_bits = load_le32(head + IMAGE_AT_BLOCK6_BITS);
    image->block6 = load_le64(head + IMAGE_AT_BLOCK6);
    image->block6_mask = ~(UINT64_MAX >> (image->block6_bits & 63));
    for (uint32_t i = 0; i < SECTION_COUNT; i++) {
        image->count[i] = load_le32(head + IMAGE_AT_COUNTS + 4 * (size_t) i);
    }
    /* At most POLICY_FACILITIES_MAX + 2^28: no overflow. */
    image->sets = image->count[SECTION_FACILITIES] + image->count[SECTION_SETS];
    if (!counts_ok(image) ||
        !zero(head, IMAGE_AT_COUNTS + 4 * SECTION_COUNT, IMAGE_HEADER_SIZE))
    {
        return false;
    }
    for (uint32_t i = 0; i < SECTION_COUNT; i++) {
        /* 35 products of 38 bits: no overflow. */
        end = at + (uint64_t) image->count[i] * image_element_size[i];
        if (end > image->size) {
            return false;
        }
        image->section[i] = image->bytes + at;
        at = (end + IMAGE_ALIGNMENT - 1) & ~(uint64_t) (IMAGE_ALIGNMENT - 1);
        if (at > image->size || !zero(head, end, at)) {
            return false;
        }
    }
    return at == image->size && empty_ok(image, SECTION_DEEP, SECTION_LOWS) &&
           empty_ok(image, SECTION_PIN_FIRST, SECTION_PIN_MEMBERS) &&
           empty_ok(image, SECTION_AUTHORITY_FIRST, SECTION_AUTHORITY_MEMBERS);
}

static void
finish(policy_image_t *image)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *seal = image->bytes + IMAGE_AT_SEAL;

    for (size_t i = 0; i < (POLICY_VERSION_TEXT_MAX - 1) / 2; i++) {
        image->version[2 * i] = digits[seal[i] >> 4];
        image->version[2 * i + 1] = digits[seal[i] & 15];
    }
    image->version[POLICY_VERSION_TEXT_MAX - 1] = '\0';
    image->nobody_any = load_le32(image->section[SECTION_SETS] +
                                  SET_SIZE * SET_ANY + SET_MEMBERS + 4) == 0;
    /* From here on nobody may write; a refusal changes nothing. */
    (void) mprotect(image->mapping, image->mapping_size, PROT_READ);
}

policy_image_result_t
image_check(policy_image_t *image, image_check_t *check)
{
    const check_task_t *task;
    uint32_t end, to;

    if (!check->started) {
        check->started = true;
        return place_sections(image) ? POLICY_IMAGE_AGAIN
                                     : POLICY_IMAGE_CONTENT;
    }
    while (check->task < sizeof(tasks) / sizeof(tasks[0])) {
        task = &tasks[check->task];
        end = image->count[task->section] - task->less;
        if (check->next < end) {
            to = end - check->next > task->slice ? check->next + task->slice
                                                 : end;
            if (!task->check(image, check->next, to)) {
                return POLICY_IMAGE_CONTENT;
            }
            check->next = to;
            return POLICY_IMAGE_AGAIN;
        }
        check->task++;
        check->next = 0;
    }
    finish(image);
    return POLICY_IMAGE_OK;
}
