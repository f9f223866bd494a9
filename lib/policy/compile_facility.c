/* Facilities: what is theirs alone, and hours, calendars, zones, users. */

#define _GNU_SOURCE

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/wipe.h"
#include "compile_parts.h"
#include "decide.h"
#include "zone.h"

/* A list of a facility that does not fit the image.  The language lets none
 * through; a policy made by a program may have it. */
static int
refuse(compile_t *compile, const policy_source_facility_t *facility,
       const char *what)
{
    report_add(compile->report, REPORT_ERROR, facility->place,
               "facility \"%.*s\" cannot be compiled: %s",
               SLICE_ARG(facility->id), what);
    return -EINVAL;
}

static int
put_string(compile_t *compile, slice_t text, uint8_t *record)
{
    uint32_t first;
    int result = compile_list(compile, SECTION_STRINGS, text.data, text.size,
                              &first, NULL);

    if (result == 0) {
        compile_store_list(record, first, text.size);
    }
    return result;
}

static int
put_steps(compile_t *compile, const zone_change_t *changes, uint32_t count)
{
    uint8_t steps[ZONE_STEPS];
    uint32_t change = 0;

    for (int64_t i = 0; i < ZONE_STEPS; i++) {
        while (change + 1 < count &&
               changes[change + 1].at <= ZONE_FROM + (i << ZONE_STEP_SHIFT))
        {
            change++;
        }
        steps[i] = (uint8_t) change;
    }
    return compile_put(&compile->sections[SECTION_ZONE_STEPS], steps,
                       sizeof(steps));
}

/* A zone is compiled when its name is seen first. */
static int
put_zone(compile_t *compile, const policy_source_facility_t *facility,
         uint8_t *record)
{
    compile_buffer_t *zones = &compile->sections[SECTION_ZONES];
    uint8_t zone[ZONE_SIZE] = {0}, change[CHANGE_SIZE] = {0};
    zone_change_t changes[ZONE_CHANGES_MAX];
    uint32_t number = 0;
    int count, result;

    if (facility->zone.size == 0 || facility->zone.size > POLICY_TEXT_SIZE_MAX)
    {
        return refuse(compile, facility, "its zone needs a name");
    }
    result = put_string(compile, facility->zone, zone + ZONE_NAME);
    if (result < 0) {
        return result;
    }
    /* The same string is at the same place. */
    while (number < compile_count(compile, SECTION_ZONES)) {
        if (memcmp(zones->data + (size_t) ZONE_SIZE * number, zone, 8) == 0) {
            store_le32(record + FACILITY_ZONE, number);
            return 0;
        }
        number++;
    }

    count = zone_changes(facility->zone, changes);
    if (count == -ENOENT || count == -EINVAL) {
        report_add(compile->report, REPORT_ERROR, facility->place,
                   "time zone \"%.*s\" is not known: write a name of the tz "
                   "database, like Asia/Tokyo",
                   SLICE_ARG(facility->zone));
        return -EINVAL;
    }
    if (count == -E2BIG) {
        return refuse(compile, facility, "its zone changes too often");
    }
    if (count < 0) {
        return count;
    }
    compile_store_list(zone + ZONE_LIST,
                       compile_count(compile, SECTION_CHANGES), (size_t) count);
    for (int i = 0; i < count && result == 0; i++) {
        store_le64(change + CHANGE_AT, (uint64_t) changes[i].at);
        store_le32(change + CHANGE_OFFSET, (uint32_t) changes[i].offset);
        result = compile_put(&compile->sections[SECTION_CHANGES], change,
                             sizeof(change));
    }
    if (result < 0) {
        return result;
    }
    store_le32(record + FACILITY_ZONE, number);
    result = put_steps(compile, changes, (uint32_t) count);
    return result < 0 ? result : compile_put(zones, zone, sizeof(zone));
}

static int
put_hours(compile_t *compile, const policy_source_facility_t *facility,
          uint8_t *record)
{
    _cleanup_(cleanup_free) uint8_t *windows = NULL;
    const policy_window_t *window;
    uint32_t first;
    int result;

    windows = malloc(facility->hours_count * 4 + 1);
    if (windows == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < facility->hours_count; i++) {
        window = &facility->hours[i];
        if (window->start >= IMAGE_WEEK_MINUTES ||
            window->end <= window->start ||
            window->end - window->start > IMAGE_WEEK_MINUTES)
        {
            return refuse(compile, facility,
                          "its hours must start in the week and end at most "
                          "a week later");
        }
        store_le16(windows + 4 * i, window->start);
        store_le16(windows + 4 * i + 2, window->end);
    }
    result = compile_list(compile, SECTION_WINDOWS, windows,
                          facility->hours_count, &first, NULL);
    compile_store_list(record + FACILITY_HOURS, first, facility->hours_count);
    return result;
}

/*
 * A list kept once, and known by its number: `table` gets its end when it is
 * seen first.
 */
static int
put_table_list(compile_t *compile, image_section_t table,
               image_section_t section, const uint8_t *elements, size_t count,
               uint8_t *record)
{
    uint32_t first, number;
    int result = compile_list(compile, section, elements, count, &first,
                              &number);

    if (result == 0 && number == compile_count(compile, table) - 1) {
        result = compile_put32(&compile->sections[table],
                               compile_count(compile, section));
    }
    store_le32(record, number);
    return result;
}

static int
put_closed(compile_t *compile, const policy_source_facility_t *facility,
           uint8_t *record)
{
    _cleanup_(cleanup_free) uint8_t *days = NULL;
    const policy_days_t *closed = facility->closed;

    days = malloc(facility->closed_count * 8 + 1);
    if (days == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < facility->closed_count; i++) {
        if (closed[i].first > closed[i].last ||
            (i > 0 && closed[i].first <= closed[i - 1].last))
        {
            return refuse(compile, facility,
                          "its closed days must be sorted, each once");
        }
        store_le32(days + 8 * i, (uint32_t) closed[i].first);
        store_le32(days + 8 * i + 4, (uint32_t) closed[i].last);
    }
    return put_table_list(compile, SECTION_CALENDARS, SECTION_CLOSED, days,
                          facility->closed_count, record + FACILITY_CALENDAR);
}

static int
put_users(compile_t *compile, const policy_source_facility_t *facility,
          uint8_t *record)
{
    _cleanup_(cleanup_free) uint8_t *users = NULL;
    int result;

    users = malloc(facility->users_count * 8 + 1);
    if (users == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < facility->users_count; i++) {
        if (facility->users[i].size == 0 ||
            facility->users[i].size > POLICY_USER_SIZE_MAX ||
            (i > 0 &&
             image_compare(facility->users[i - 1], facility->users[i]) >= 0))
        {
            return refuse(compile, facility,
                          "its users must be sorted, each once and none "
                          "empty or longer than 256 bytes");
        }
        result = put_string(compile, facility->users[i], users + 8 * i);
        if (result < 0) {
            return result;
        }
    }
    return put_table_list(compile, SECTION_USER_LISTS, SECTION_USERS, users,
                          facility->users_count, record + FACILITY_USER_LIST);
}

static int
put_via(compile_t *compile, const policy_source_facility_t *facility,
        uint8_t *record)
{
    _cleanup_(cleanup_free) uint8_t *via = NULL;
    const address_t *address;
    uint32_t first;
    int result;

    via = calloc(facility->via_count + 1, VIA_SIZE);
    if (via == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < facility->via_count; i++) {
        address = &facility->via[i];
        if (address->family != ADDRESS_IPV4 && address->family != ADDRESS_IPV6)
        {
            return refuse(compile, facility,
                          "its \"via\" must be IPv4 or IPv6 addresses");
        }
        via[VIA_SIZE * i] = address->family;
        memcpy(via + VIA_SIZE * i + 1, address->bytes,
               address->family == ADDRESS_IPV4 ? 4 : 16);
    }
    result = compile_list(compile, SECTION_VIA, via, facility->via_count,
                          &first, NULL);
    compile_store_list(record + FACILITY_VIA, first, facility->via_count);
    return result;
}

static int
put_countries(compile_t *compile, const policy_source_facility_t *facility,
              uint8_t *record)
{
    uint32_t first;
    int result;

    for (size_t i = 0; i < facility->countries_count; i++) {
        for (size_t j = 0; j < 2; j++) {
            if (facility->countries[i][j] < 'A' ||
                facility->countries[i][j] > 'Z') {
                return refuse(compile, facility,
                              "its countries must be two capital letters "
                              "each");
            }
        }
    }
    result = compile_list(compile, SECTION_COUNTRIES, facility->countries,
                          facility->countries_count, &first, NULL);
    compile_store_list(record + FACILITY_COUNTRIES, first,
                       facility->countries_count);
    return result;
}

static int
put_facility(compile_t *compile, const policy_source_facility_t *facility)
{
    uint8_t record[FACILITY_SIZE] = {0}, detail[DETAIL_SIZE] = {0};
    int result;

    if (facility->id.size == 0 || facility->id.size > POLICY_ID_SIZE_MAX ||
        facility->name.size > POLICY_TEXT_SIZE_MAX ||
        facility->contact.size > POLICY_TEXT_SIZE_MAX)
    {
        return refuse(compile, facility,
                      "its id, name or contact is missing or too long");
    }
    if (facility->device < POLICY_DEVICE_NONE ||
        facility->device > POLICY_DEVICE_REQUIRED ||
        (facility->services & ~((1u << POLICY_SERVICE_COUNT) - 2u)) != 0 ||
        (facility->actions & ~ACTION_ALL) != 0)
    {
        return refuse(compile, facility,
                      "its device, services or actions are not known");
    }
    record[FACILITY_DEVICE] = (uint8_t) facility->device;
    record[FACILITY_SERVICES] = (uint8_t) facility->services;
    record[FACILITY_ACTIONS] = (uint8_t) facility->actions;
    record[FACILITY_FLAGS] =
        (uint8_t) ((facility->dry_run ? FACILITY_DRY_RUN : 0) |
                   (facility->second_factor ? FACILITY_SECOND_FACTOR : 0) |
                   (facility->off_hours_factor ? FACILITY_OFF_HOURS_FACTOR
                                               : 0) |
                   (facility->any ? FACILITY_ANY : 0) |
                   (facility->local ? FACILITY_LOCAL : 0) |
                   (facility->has_hours ? FACILITY_HAS_HOURS : 0) |
                   (facility->has_users ? FACILITY_HAS_USERS : 0));
    store_le32(record + FACILITY_VALID_FROM, (uint32_t) facility->valid_from);
    store_le32(record + FACILITY_VALID_TO, (uint32_t) facility->valid_to);
    store_le32(record + FACILITY_IDLE, facility->idle_seconds);
    store_le32(record + FACILITY_MAX, facility->max_seconds);

    if ((result = put_string(compile, facility->id, detail + DETAIL_ID)) < 0 ||
        (result = put_string(compile, facility->name, detail + DETAIL_NAME)) <
            0 ||
        (result = put_string(compile, facility->contact,
                             detail + DETAIL_CONTACT)) < 0 ||
        (result = put_zone(compile, facility, record)) < 0 ||
        (result = put_hours(compile, facility, record)) < 0 ||
        (result = put_closed(compile, facility, record)) < 0 ||
        (result = put_users(compile, facility, record)) < 0 ||
        (result = put_via(compile, facility, record)) < 0 ||
        (result = put_countries(compile, facility, record)) < 0 ||
        (result = compile_put(&compile->sections[SECTION_FACILITIES], record,
                              sizeof(record))) < 0)
    {
        return result;
    }
    return compile_put(&compile->sections[SECTION_DETAILS], detail,
                       sizeof(detail));
}

static int
by_id(const void *a, const void *b, void *context)
{
    const policy_source_t *source = context;
    uint32_t i = *(const uint32_t *) a, j = *(const uint32_t *) b;
    int order = image_compare(source->facilities[i].id,
                              source->facilities[j].id);

    return order != 0 ? order : i < j ? -1 : 1;
}

static int
put_ids(compile_t *compile)
{
    _cleanup_(cleanup_free) uint32_t *order = NULL;
    const policy_source_facility_t *facilities = compile->source->facilities;
    int result;

    order = calloc((size_t) compile->facilities + 1, sizeof(*order));
    if (order == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < compile->facilities; i++) {
        order[i] = i;
    }
    qsort_r(order, compile->facilities, sizeof(*order), by_id,
            (void *) (uintptr_t) compile->source);
    for (uint32_t i = 0; i < compile->facilities; i++) {
        if (i > 0 &&
            slice_equal(facilities[order[i - 1]].id, facilities[order[i]].id)) {
            return refuse(compile, &facilities[order[i]],
                          "another facility has this id");
        }
        result = compile_put32(&compile->sections[SECTION_IDS], order[i]);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

int
compile_facilities(compile_t *compile)
{
    static const uint8_t empty[8]; /* list 0: from 0 to 0 */
    bool failed = false;
    int result;

    if ((result = compile_put(&compile->sections[SECTION_CALENDARS], empty,
                              sizeof(empty))) < 0 ||
        (result = compile_put(&compile->sections[SECTION_USER_LISTS], empty,
                              sizeof(empty))) < 0)
    {
        return result;
    }
    for (uint32_t i = 0; i < compile->facilities; i++) {
        result = put_facility(compile, &compile->source->facilities[i]);
        if (result == -EINVAL) {
            failed = true;
        } else if (result < 0) {
            return result;
        }
    }
    return failed ? -EINVAL : put_ids(compile);
}
