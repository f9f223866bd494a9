#include "record.h"

#include <stdio.h>

#include "../base/clock.h"
#include "../base/endian.h"

#define FIELD_HEAD 3   /* number, then two bytes of length */
#define FIELD_CUT  255 /* the mask of fields that were cut */

_Static_assert(RECORD_FIELDS <= RECORD_CUT_SIZE * 8 &&
                   RECORD_FIELDS < FIELD_CUT,
               "a mask of fields has a bit for each");

static const struct {
    char name[JSON_NAME_SIZE];
    bool number;
} fields[RECORD_FIELDS] = {
    [RECORD_ID] = {"id", false},
    [RECORD_TIME] = {"time", false},
    [RECORD_HOST] = {"host", false},
    [RECORD_SOURCE] = {"source", false},
    [RECORD_NUMBER] = {"number", true},
    [RECORD_FRONT] = {"front", false},
    [RECORD_EVENT] = {"event", false},
    [RECORD_OUTCOME] = {"outcome", true},
    [RECORD_REASON] = {"reason", false},
    [RECORD_USER] = {"user", false},
    [RECORD_FACTORS] = {"factors", false},
    [RECORD_FACILITY] = {"facility", false},
    [RECORD_ADDRESS] = {"address", false},
    [RECORD_SERVICE] = {"service", false},
    [RECORD_SESSION] = {"session", false},
    [RECORD_PURPOSE] = {"purpose", false},
    [RECORD_ACTION] = {"action", false},
    [RECORD_PATIENT] = {"patient", false},
    [RECORD_STUDY] = {"study", false},
    [RECORD_SERIES] = {"series", false},
    [RECORD_INSTANCE] = {"instance", false},
    [RECORD_OPEN] = {"open", false},
    [RECORD_METHOD] = {"method", false},
    [RECORD_URI] = {"uri", false},
    [RECORD_QUERY] = {"query", false},
    [RECORD_STATUS] = {"status", true},
    [RECORD_STATUSES] = {"statuses", false},
    [RECORD_UPSTREAM_STATUS] = {"upstream_status", false},
    [RECORD_BYTES] = {"bytes", true},
    [RECORD_DURATION_MS] = {"duration_ms", true},
    [RECORD_REQUESTS] = {"requests", true},
    [RECORD_INSTANCES] = {"instances", true},
    [RECORD_FIRST] = {"first", false},
    [RECORD_LAST] = {"last", false},
    [RECORD_COUNT_FOLDED] = {"count", true},
    [RECORD_TLS] = {"tls", false},
    [RECORD_CERTIFICATE] = {"certificate", false},
    [RECORD_AGENT] = {"agent", false},
    [RECORD_SERVER] = {"server", false},
    [RECORD_PHASE] = {"phase", false},
    [RECORD_TICKET] = {"ticket", false},
    [RECORD_POLICY] = {"policy", false},
    [RECORD_NOTE] = {"note", false},
    [RECORD_MISSING] = {"missing", true},
    [RECORD_FROM_NUMBER] = {"from_number", true},
    [RECORD_CUT_BYTES] = {"cut_bytes", true},
    [RECORD_COUNTERS] = {"counters", false},
    [RECORD_CLOCK] = {"clock", false},
    [RECORD_CLOCK_ERROR_US] = {"clock_error_us", true},
    [RECORD_TREE_SIZE] = {"tree_size", true},
    [RECORD_KEY] = {"key", false},
    [RECORD_OLD] = {"old", false},
    [RECORD_PEER] = {"peer", false},
    [RECORD_VERSION] = {"version", false},
    [RECORD_LOST] = {"lost", true},
    [RECORD_SKIPPED] = {"skipped", true},
    [RECORD_OF_FRONT] = {"of_front", false},
    [RECORD_FILE] = {"file", false},
    [RECORD_DEVICE] = {"device", false},
    [RECORD_TTY] = {"tty", false},
    [RECORD_FILES] = {"files", true},
    [RECORD_FAILURES] = {"failures", true},
    [RECORD_ISSUER] = {"issuer", false},
    [RECORD_NAME] = {"name", false},
    [RECORD_RULE] = {"rule", false},
    [RECORD_UNTIL] = {"until", false},
    [RECORD_FINDINGS] = {"findings", false},
    [RECORD_BY] = {"by", false},
};

/* DICOM PS3.15 A.5.3: EventID, then EventTypeCode (both DCM). */
static const struct {
    const char *name;
    unsigned id, type;
    bool security, privileged;
} events[EVENT_COUNT] = {
    [EVENT_NONE] = {"none", 0, 0, false, false},
    [EVENT_ACCESS] = {"access", 110103, 0, false, false},
    [EVENT_ACCESS_END] = {"access-end", 110103, 0, false, false},
    [EVENT_ACCESS_JOINED] = {"access-joined", 0, 0, false, false},
    [EVENT_REQUEST] = {"request", 110103, 0, false, false},
    [EVENT_REQUEST_END] = {"request-end", 110103, 0, false, false},
    [EVENT_UNRECORDED] = {"unrecorded", 110113, 0, false, false},
    [EVENT_DENIED] = {"denied", 110113, 0, true, true},
    [EVENT_LOST] = {"lost", 110113, 110134, true, true},
    [EVENT_START] = {"start", 110100, 110120, true, true},
    [EVENT_STOP] = {"stop", 110100, 110121, true, true},
    [EVENT_RECORDING_ON] = {"recording-on", 110113, 110134, true, true},
    [EVENT_RECORDING_OFF] = {"recording-off", 110113, 110133, true, true},
    [EVENT_HEARTBEAT] = {"heartbeat", 0, 0, false, true},
    [EVENT_GAP] = {"gap", 110113, 0, true, true},
    [EVENT_TAIL_CUT] = {"tail-cut", 110113, 0, true, true},
    [EVENT_KEY_CHANGED] = {"key-changed", 110113, 110137, true, true},
    [EVENT_POLICY_CHANGED] = {"policy-changed", 110113, 110129, true, true},
    [EVENT_TRAIL_READ] = {"trail-read", 110101, 0, false, true},
    [EVENT_SIGN_IN] = {"sign-in", 110114, 110122, true, true},
    [EVENT_CODE_ALERT] = {"code-alert", 110113, 0, true, true},
    [EVENT_SESSION] = {"session", 0, 0, false, true},
    [EVENT_SIGN_OUT] = {"sign-out", 110114, 110123, false, true},
    [EVENT_WIPED] = {"wiped", 0, 0, false, true},
    [EVENT_ENROLLMENT] = {"enrollment", 110113, 110137, true, true},
    [EVENT_EMERGENCY_ON] = {"emergency-on", 110113, 110127, true, true},
    [EVENT_EMERGENCY_OFF] = {"emergency-off", 110113, 110138, true, true},
    [EVENT_PATIENT_LEARNED] = {"patient-learned", 0, 0, false, false},
    [EVENT_REVIEW] = {"review", 110101, 0, true, true},
    [EVENT_FINDING_QUIETED] = {"finding-quieted", 110113, 110129, true, true},
};

const char *
record_field_name(record_field_t field)
{
    return (unsigned) field < RECORD_FIELDS ? fields[field].name : "unknown";
}

bool
record_field_is_number(record_field_t field)
{
    return (unsigned) field < RECORD_FIELDS && fields[field].number;
}

record_field_t
record_field_find(slice_t name)
{
    unsigned i = 0;

    while (i < RECORD_FIELDS && !slice_is(name, fields[i].name)) {
        i++;
    }
    return (record_field_t) i;
}

const char *
record_event_name(record_event_t event)
{
    return (unsigned) event < EVENT_COUNT ? events[event].name : "none";
}

record_event_t
record_event_find(slice_t name)
{
    for (unsigned i = EVENT_NONE + 1; i < EVENT_COUNT; i++) {
        if (name.size > 0 && name.data[0] == events[i].name[0] &&
            slice_is(name, events[i].name))
        {
            return (record_event_t) i;
        }
    }
    return EVENT_NONE;
}

void
record_event_codes(record_event_t event, slice_t action, unsigned *id,
                   unsigned *type)
{
    static const struct {
        const char *action;
        unsigned id;
    } accesses[] = {{"download", 110106},
                    {"store", 110104},
                    {"delete", 110105},
                    {"query", 110112}};

    *id = (unsigned) event < EVENT_COUNT ? events[event].id : 0;
    *type = (unsigned) event < EVENT_COUNT ? events[event].type : 0;
    if (*id == 110103) {
        for (size_t i = 0; i < sizeof(accesses) / sizeof(accesses[0]); i++) {
            if (slice_is(action, accesses[i].action)) {
                *id = accesses[i].id;
            }
        }
    }
}

bool
record_event_is_security(record_event_t event)
{
    return (unsigned) event < EVENT_COUNT && events[event].security;
}

bool
record_event_is_privileged(record_event_t event)
{
    return (unsigned) event < EVENT_COUNT && events[event].privileged;
}

/* Cuts to at most `limit` bytes, not within a UTF-8 sequence. */
static slice_t
cut_text(slice_t text, size_t limit)
{
    size_t size = limit;

    if (text.size <= limit) {
        return text;
    }
    while (size > 0 && limit - size < 4 &&
           ((unsigned char) text.data[size] & 0xc0) == 0x80)
    {
        size--;
    }
    /* four continuation bytes in a row are no UTF-8: cut where it was asked */
    if (limit - size >= 4) {
        size = limit;
    }
    return (slice_t){text.data, size};
}

void
record_limit(record_t *record, unsigned field, size_t limit)
{
    if (record->values[field].size > limit) {
        record->values[field] = cut_text(record->values[field], limit);
        record_set_cut(record, field);
    }
}

static void
limit_values(record_t *record, size_t limit)
{
    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        record_limit(record, i, limit);
    }
}

static size_t
encoded_size(const record_t *record)
{
    size_t size = record->any_cut ? FIELD_HEAD + RECORD_CUT_SIZE : 0;

    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        if (record->values[i].size != 0) {
            size += FIELD_HEAD + record->values[i].size;
        }
    }
    return size;
}

static size_t
encode_field(uint8_t *bytes, unsigned number, const void *value, size_t size)
{
    bytes[0] = (uint8_t) number;
    store_be16(bytes + 1, (uint16_t) size);
    memcpy(bytes + FIELD_HEAD, value, size);
    return FIELD_HEAD + size;
}

size_t
record_encode(const record_t *record, uint8_t *bytes, size_t capacity)
{
    record_t fitting = *record;
    size_t limit = RECORD_VALUE_MAX;
    size_t size, used = 0;

    do {
        limit_values(&fitting, limit);
        size = encoded_size(&fitting);
        limit /= 2;
    } while (size > RECORD_SIZE_MAX);
    if (size > capacity) {
        return 0;
    }
    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        if (fitting.values[i].size != 0) {
            used += encode_field(bytes + used, i, fitting.values[i].data,
                                 fitting.values[i].size);
        }
    }
    if (fitting.any_cut) {
        used += encode_field(bytes + used, FIELD_CUT, fitting.cut,
                             RECORD_CUT_SIZE);
    }
    return used;
}

/* False, as with fields, for a mark of none that is known here, which would be
 * rendered as a cut of nothing. */
static bool
decode_cut(const uint8_t bytes[RECORD_CUT_SIZE], record_t *record)
{
    memcpy(record->cut, bytes, RECORD_CUT_SIZE);
    for (unsigned i = 0; i < RECORD_CUT_SIZE * 8; i++) {
        if ((bytes[i / 8] >> i % 8 & 1) != 0) {
            if (i >= RECORD_FIELDS) {
                return false;
            }
            record->any_cut = true;
        }
    }
    return record->any_cut;
}

bool
record_decode(const uint8_t *bytes, size_t size, record_t *record)
{
    memset(record, 0, sizeof(*record));
    while (size > 0) {
        size_t length;

        if (size < FIELD_HEAD) {
            return false;
        }
        length = load_be16(bytes + 1);
        if (length == 0 || length > RECORD_VALUE_MAX ||
            length > size - FIELD_HEAD) {
            return false;
        }
        if (bytes[0] == FIELD_CUT) {
            if (length != RECORD_CUT_SIZE || record->any_cut) {
                return false;
            }
            if (!decode_cut(bytes + FIELD_HEAD, record)) {
                return false;
            }
        } else {
            if (bytes[0] >= RECORD_FIELDS || record->values[bytes[0]].size != 0)
            {
                return false;
            }
            record->values[bytes[0]] = (slice_t){
                (const char *) bytes + FIELD_HEAD, length};
        }
        bytes += FIELD_HEAD + length;
        size -= FIELD_HEAD + length;
    }
    return true;
}

/* Decimal digits of an int64_t: "-12", no leading zero. */
static bool
is_number(slice_t text)
{
    size_t digits;

    if (text.size > 0 && text.data[0] == '-') {
        text = slice_from(text, 1);
    }
    digits = text.size;
    if (digits == 0 || digits > 18 || (digits > 1 && text.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return true;
}

/* 0 if it does not fit, or a value is longer than any may be. */
static size_t
render(const record_t *record, char *line, size_t capacity)
{
    json_t json;

    json_init_fixed(&json, line, capacity);
    json_object(&json, NULL);
    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        slice_t value = record->values[i];

        if (value.size == 0) {
            continue;
        }
        if (value.size > RECORD_VALUE_MAX) {
            return 0;
        }
        if (fields[i].number && is_number(value)) {
            json_member(&json, fields[i].name,
                        slice_is(value, "-0") ? SLICE("0") : value);
        } else {
            json_member_text(&json, fields[i].name, value);
        }
    }
    if (record->any_cut) {
        json_array(&json, "cut");
        for (unsigned i = 0; i < RECORD_FIELDS; i++) {
            if (record_is_cut(record, i)) {
                json_string(&json, NULL, fields[i].name);
            }
        }
        json_end_array(&json);
    }
    json_end_object(&json);
    return json_result(&json).size;
}

size_t
record_render(const record_t *record, char *line, size_t capacity)
{
    record_t fitting;
    size_t size;

    if (capacity > RECORD_SIZE_MAX) {
        capacity = RECORD_SIZE_MAX;
    }
    size = render(record, line, capacity);
    if (size != 0) {
        return size;
    }
    fitting = *record;
    /* A byte may become six ("\\u0001"), so the bound on values alone does not
     * bound the line: halve it until the line fits. */
    for (size_t limit = RECORD_VALUE_MAX; limit > 0; limit /= 2) {
        limit_values(&fitting, limit);
        size = render(&fitting, line, capacity);
        if (size != 0) {
            return size;
        }
    }
    return 0;
}

size_t
record_time(int64_t unix_milliseconds, char text[RECORD_TIME_TEXT_MAX])
{
    int64_t seconds = unix_milliseconds / 1000;
    int64_t fraction = unix_milliseconds % 1000;
    size_t size;

    if (fraction < 0) {
        fraction += 1000;
        seconds--;
    }
    size = clock_format(seconds, 0, text);
    /* over the "Z" */
    return size - 1 +
           (size_t) snprintf(text + size - 1, RECORD_TIME_TEXT_MAX - size + 1,
                             ".%03dZ", (int) fraction);
}
