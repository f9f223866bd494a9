/* Certificates: who owns which, and what keeps candidates apart. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/wipe.h"
#include "compile_parts.h"

/* Pins and authorities are the same thing twice. */
typedef struct {
    image_section_t hashes, first, members, numbers;
    size_t detail;
    bool pins;
} kind_t;

static const kind_t kinds[] = {
    {SECTION_PIN_HASHES, SECTION_PIN_FIRST, SECTION_PIN_MEMBERS, SECTION_PINS,
     DETAIL_PINS, true},
    {SECTION_AUTHORITY_HASHES, SECTION_AUTHORITY_FIRST,
     SECTION_AUTHORITY_MEMBERS, SECTION_AUTHORITIES, DETAIL_AUTHORITIES, false},
};

typedef struct {
    const uint8_t *sha256;
    uint32_t facility;
    uint32_t number; /* in the order of the file, over all facilities */
} owned_t;

static const policy_fingerprint_t *
fingerprints(const policy_source_facility_t *facility, const kind_t *kind,
             size_t *count)
{
    *count = kind->pins ? facility->pins_count : facility->authorities_count;
    return kind->pins ? facility->pins : facility->authorities;
}

static int
by_hash(const void *a, const void *b)
{
    const owned_t *x = a, *y = b;
    int order = memcmp(x->sha256, y->sha256, IMAGE_SHA256_SIZE);

    return order != 0 ? order : x->number < y->number ? -1 : 1;
}

static int
put_kind(compile_t *compile, const kind_t *kind)
{
    _cleanup_(cleanup_free) owned_t *owned = NULL;
    compile_buffer_t *sections = compile->sections;
    const policy_fingerprint_t *list;
    size_t total = 0, count;
    uint32_t next = 0, hash = 0;
    int result;

    for (uint32_t i = 0; i < compile->facilities; i++) {
        (void) fingerprints(&compile->source->facilities[i], kind, &count);
        total += count;
    }
    if (total > POLICY_IMAGE_SIZE_MAX / IMAGE_SHA256_SIZE) {
        return -EFBIG;
    }
    owned = calloc(total + 1, sizeof(*owned));
    if (owned == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < compile->facilities; i++) {
        list = fingerprints(&compile->source->facilities[i], kind, &count);
        compile_store_list(compile_detail(compile, i) + kind->detail, next,
                           count);
        for (size_t j = 0; j < count; j++, next++) {
            owned[next] = (owned_t){list[j].sha256, i, next};
        }
    }
    qsort(owned, total, sizeof(*owned), by_hash);

    result = compile_extend(&sections[kind->numbers], 4 * total);
    for (size_t i = 0; i < total && result == 0; i++) {
        bool same = i > 0 && memcmp(owned[i - 1].sha256, owned[i].sha256,
                                    IMAGE_SHA256_SIZE) == 0;
        if (!same) {
            hash = compile_count(compile, kind->hashes);
            result = compile_put(&sections[kind->hashes], owned[i].sha256,
                                 IMAGE_SHA256_SIZE);
            if (result == 0) {
                result = compile_put32(&sections[kind->first],
                                       compile_count(compile, kind->members));
            }
        }
        store_le32(sections[kind->numbers].data + 4 * (size_t) owned[i].number,
                   hash);
        if (result == 0 &&
            (!same || owned[i - 1].facility != owned[i].facility)) {
            result = compile_put32(&sections[kind->members], owned[i].facility);
        }
    }
    if (result == 0) {
        result = compile_put32(&sections[kind->first],
                               compile_count(compile, kind->members));
    }
    return result;
}

int
compile_devices(compile_t *compile)
{
    int result = put_kind(compile, &kinds[0]);

    return result < 0 ? result : put_kind(compile, &kinds[1]);
}

/* ---- Candidates that nothing tells apart ---- */

/* A place as the report writes it: "facilities.conf:12:5". */
static void
format_place(report_place_t place, char *text, size_t size)
{
    (void) snprintf(text, size, "%s:%u:%u",
                    place.file == NULL ? "" : place.file, place.line,
                    place.column);
}

static report_place_t
network_place(const policy_source_facility_t *facility, const prefix_t *where)
{
    for (size_t i = 0; where != NULL && i < facility->networks_count; i++) {
        if (facility->networks[i].prefix.bits == where->bits &&
            address_equal(&facility->networks[i].prefix.address,
                          &where->address))
        {
            return facility->networks[i].place;
        }
    }
    return facility->place;
}

/* The place of a facility's fingerprint with that number of a hash. */
static report_place_t
fingerprint_place(compile_t *compile, uint32_t facility, const kind_t *kind,
                  uint32_t hash)
{
    const uint8_t *detail = compile_detail(compile, facility) + kind->detail;
    const uint8_t *numbers = compile->sections[kind->numbers].data;
    const policy_fingerprint_t *list;
    size_t count, i = 0;

    list = fingerprints(&compile->source->facilities[facility], kind, &count);
    while (load_le32(numbers + 4 * (load_le32(detail) + i)) != hash) {
        i++;
    }
    return list[i].place;
}

static int
by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return x < y ? -1 : x > y;
}

/* Do two of the facilities have one certificate, or one authority? */
static int
check_shared(compile_t *compile, const kind_t *kind, const uint32_t *members,
             uint32_t count, const char *what)
{
    _cleanup_(cleanup_free) uint64_t *all = NULL;
    const policy_source_facility_t *facilities = compile->source->facilities;
    const uint8_t *numbers = compile->sections[kind->numbers].data;
    const uint8_t *detail;
    size_t total = 0, next = 0;
    uint32_t a, b, hash;
    char other[512];
    int result = 0;

    for (uint32_t i = 0; i < count; i++) {
        detail = compile_detail(compile, members[i]) + kind->detail;
        total += load_le32(detail + 4);
    }
    if (total < 2) {
        return 0;
    }
    all = calloc(total, sizeof(*all));
    if (all == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        detail = compile_detail(compile, members[i]) + kind->detail;
        for (uint32_t j = 0; j < load_le32(detail + 4); j++) {
            hash = load_le32(numbers + 4 * ((size_t) load_le32(detail) + j));
            all[next++] = (uint64_t) hash << 32 | members[i];
        }
    }
    qsort(all, total, sizeof(*all), by_number);
    for (size_t i = 1; i < total; i++) {
        hash = (uint32_t) (all[i] >> 32);
        a = (uint32_t) all[i - 1];
        b = (uint32_t) all[i];
        if (all[i - 1] >> 32 != hash || a == b) {
            continue;
        }
        format_place(fingerprint_place(compile, a, kind, hash), other,
                     sizeof(other));
        report_add(compile->report, REPORT_ERROR,
                   fingerprint_place(compile, b, kind, hash),
                   "facilities \"%.*s\" and \"%.*s\" (%s) share %s, and this "
                   "%s too: nothing tells them apart, give it to one of them",
                   SLICE_ARG(facilities[b].id), SLICE_ARG(facilities[a].id),
                   other, what, kind->pins ? "certificate" : "device-ca");
        result = -EINVAL;
    }
    return result;
}

int
compile_check_set(compile_t *compile, const uint32_t *members, uint32_t count,
                  const prefix_t *where, const char *what)
{
    const policy_source_facility_t *facilities = compile->source->facilities;
    const policy_source_facility_t *open = NULL, *facility;
    char shared[PREFIX_TEXT_MAX + 16], other[512], prefix[PREFIX_TEXT_MAX];
    int result = 0, shares;

    if (where != NULL) {
        (void) prefix_format(where, prefix);
        (void) snprintf(shared, sizeof(shared), "network %s", prefix);
        what = shared;
    }
    for (uint32_t i = 0; i < count; i++) {
        facility = &facilities[members[i]];
        if (facility->device == POLICY_DEVICE_REQUIRED) {
            continue;
        }
        if (open == NULL) {
            open = facility;
            continue;
        }
        format_place(network_place(open, where), other, sizeof(other));
        report_add(compile->report, REPORT_ERROR,
                   network_place(facility, where),
                   "facilities \"%.*s\" and \"%.*s\" (%s) share %s, and "
                   "neither asks for a certificate: write \"device required\" "
                   "into one of them, or give each its own network",
                   SLICE_ARG(facility->id), SLICE_ARG(open->id), other, what);
        result = -EINVAL;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        shares = check_shared(compile, &kinds[i], members, count, what);
        if (shares == -ENOMEM) {
            return shares;
        }
        result = shares < 0 ? shares : result;
    }
    return result;
}
