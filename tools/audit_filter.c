/* Which records a search wants: first by the bytes of a line, then exactly. */

#define _GNU_SOURCE
#include <stdlib.h>
#include <time.h>

#include "../lib/base/clock.h"
#include "../lib/base/conf.h"
#include "../lib/base/value.h"
#include "audit_tools.h"

#define NEEDLES_MAX (FILTER_TERMS_MAX * (6 * RECORD_VALUE_MAX + 64))
#define DAY_SECONDS 86400

/* All that sekishod writes begins with an id and a time: {"id":"…","time":"…" */
#define TIME_AT (7 + RECORD_ID_SIZE + 10)

static const struct {
    const char *option;
    record_field_t field;
} options[] = {
    {"--user", RECORD_USER},       {"--facility", RECORD_FACILITY},
    {"--address", RECORD_ADDRESS}, {"--patient", RECORD_PATIENT},
    {"--study", RECORD_STUDY},     {"--reason", RECORD_REASON},
    {"--action", RECORD_ACTION},   {"--session", RECORD_SESSION},
};

/* ---- Times ---------------------------------------------------------------*/

/* A wall clock's seconds (as if it were UTC) -> Unix seconds, local time. */
static bool
from_local(int64_t wall, int64_t *seconds)
{
    time_t value = (time_t) wall;
    struct tm tm;

    if (gmtime_r(&value, &tm) == NULL) {
        return false;
    }
    tm.tm_isdst = -1;
    *seconds = (int64_t) mktime(&tm);
    return true;
}


static bool
day_argument(slice_t text, bool end, int64_t *seconds)
{
    int32_t day;
    time_t now = time(NULL);
    struct tm tm;

    if (slice_is(text, "today") || slice_is(text, "yesterday")) {
        if (localtime_r(&now, &tm) == NULL) {
            return false;
        }
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        tm.tm_mday += (end ? 1 : 0) - (slice_is(text, "yesterday") ? 1 : 0);
        tm.tm_isdst = -1;
        *seconds = (int64_t) mktime(&tm);
        return true;
    }
    return clock_parse_day(text, &day) &&
           from_local(((int64_t) day + (end ? 1 : 0)) * DAY_SECONDS, seconds);
}


bool
time_argument(slice_t text, bool end, int64_t *seconds)
{
    uint64_t span;
    bool local;

    if (day_argument(text, end, seconds)) {
        return true;
    }
    if (slice_is(text, "now")) {
        *seconds = (int64_t) time(NULL);
        return true;
    }
    if (value_duration(text, &span)) {
        *seconds = (int64_t) time(NULL) - (int64_t) span;
        return true;
    }
    if (!clock_parse(text, seconds, &local)) {
        return false;
    }
    return !local || from_local(*seconds, seconds);
}


static int
take_time(const arguments_t *arguments, const char *name, bool end,
          int64_t *seconds, char text[RECORD_TIME_TEXT_MAX])
{
    const char *value = option_value(arguments, name);

    if (value == NULL) {
        return STATUS_OK;
    }
    if (!time_argument(slice_of(value), end, seconds) || *seconds < 0 ||
        *seconds > INT64_C(253402300799))
    {
        return fail(arguments->command->name,
                    "%s: \"%s\" is no time: write 2026-11-24, "
                    "2026-11-24T06:09, the same with Z or +09:00, a span of "
                    "time until now as 90m or 7d, today or yesterday",
                    name, value);
    }
    (void) record_time(*seconds * 1000, text);
    return STATUS_OK;
}


/* ---- Terms ---------------------------------------------------------------*/

/* ,"user":"yamada" as record_render() writes it: sekishod's lines are canonical,
 * so a line without these bytes has no such value. */
static bool
add_term(filter_t *filter, json_t *json, record_field_t field, slice_t value)
{
    filter_term_t *term = &filter->terms[filter->count++];
    size_t start = json->size;
    char head[64];
    int size = snprintf(head, sizeof(head),
                        ",\"%s\":", record_field_name(field));

    term->field = field;
    term->value = value;
    if (json->failed || json->capacity - json->size < (size_t) size + 2) {
        return false;
    }
    memcpy(json->data + json->size, head, (size_t) size);
    json->size += (size_t) size;
    if (record_field_is_number(field)) {
        json_escape(json, value);
    } else {
        json->data[json->size++] = '"';
        json_escape(json, value);
        if (json->failed || json->capacity - json->size < 2) {
            return false;
        }
        json->data[json->size++] = '"';
    }
    term->needle = (slice_t){json->data + start, json->size - start};
    return !json->failed;
}


static int
take_event(const arguments_t *arguments, filter_t *filter, json_t *json)
{
    const char *value = option_value(arguments, "--event");
    const char *names[EVENT_COUNT];
    record_event_t event;
    size_t count = 0;

    if (value == NULL) {
        return STATUS_OK;
    }
    event = record_event_find(slice_of(value));
    if (event == EVENT_NONE) {
        const char *nearest;

        for (unsigned i = EVENT_NONE + 1; i < EVENT_COUNT; i++) {
            names[count++] = record_event_name((record_event_t) i);
        }
        nearest = conf_nearest(slice_of(value), names, count);
        return fail(arguments->command->name,
                    nearest == NULL ? "--event: there is no event \"%s\"; "
                                      "sekisho-audit(1) lists them"
                                    : "--event: there is no event \"%s\"; did "
                                      "you mean \"%s\"?",
                    value, nearest);
    }
    filter->heartbeats |= event == EVENT_HEARTBEAT;
    (void) add_term(filter, json, RECORD_EVENT, slice_of(value));
    return STATUS_OK;
}


static int
take_outcome(const arguments_t *arguments, filter_t *filter, json_t *json)
{
    const char *value = option_value(arguments, "--outcome");

    if (value == NULL) {
        return STATUS_OK;
    }
    if (strcmp(value, "failure") == 0) {
        filter->failures = true;
    } else if (strcmp(value, "success") == 0) {
        (void) add_term(filter, json, RECORD_OUTCOME, SLICE("0"));
    } else if (strcmp(value, "0") == 0 || strcmp(value, "4") == 0 ||
               strcmp(value, "8") == 0 || strcmp(value, "12") == 0)
    {
        (void) add_term(filter, json, RECORD_OUTCOME, slice_of(value));
    } else {
        return fail(arguments->command->name,
                    "--outcome: \"%s\" is none: write success, failure, 0, 4, "
                    "8 or 12",
                    value);
    }
    return STATUS_OK;
}


int
filter_make(const arguments_t *arguments, filter_t *filter)
{
    const char *command = arguments->command->name;
    json_t json;

    memset(filter, 0, sizeof(*filter));
    filter->needles = malloc(NEEDLES_MAX);
    if (filter->needles == NULL) {
        return fail(command, "out of memory");
    }
    json_init_fixed(&json, filter->needles, NEEDLES_MAX);
    filter->heartbeats = option_given(arguments, "--all");
    if (take_time(arguments, "--from", false, &filter->from_seconds,
                  filter->from) != STATUS_OK ||
        take_time(arguments, "--to", true, &filter->to_seconds, filter->to) !=
            STATUS_OK ||
        take_event(arguments, filter, &json) != STATUS_OK ||
        take_outcome(arguments, filter, &json) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        const char *value = option_value(arguments, options[i].option);

        if (value == NULL) {
            continue;
        }
        if (value[0] == '\0' || strlen(value) > RECORD_VALUE_MAX) {
            return fail(command, "%s: a value has 1 to %d bytes",
                        options[i].option, RECORD_VALUE_MAX);
        }
        if (!add_term(filter, &json, options[i].field, slice_of(value))) {
            return fail(command, "%s: the value is too long",
                        options[i].option);
        }
    }
    return STATUS_OK;
}


void
filter_free(filter_t *filter)
{
    free(filter->needles);
    filter->needles = NULL;
}


/* ---- Matching ------------------------------------------------------------*/

bool
line_time(slice_t line, slice_t *time)
{
    if (line.size < TIME_AT + LINE_TIME_SIZE + 1 ||
        memcmp(line.data, "{\"id\":\"", 7) != 0 ||
        memcmp(line.data + TIME_AT - 10, "\",\"time\":\"", 10) != 0 ||
        line.data[TIME_AT + LINE_TIME_SIZE] != '"')
    {
        return false;
    }
    *time = (slice_t){line.data + TIME_AT, LINE_TIME_SIZE};
    return true;
}


/* Times of one length in UTC compare as text. */
static bool
in_span(const filter_t *filter, slice_t time)
{
    return (filter->from[0] == '\0' ||
            memcmp(time.data, filter->from, LINE_TIME_SIZE) >= 0) &&
           (filter->to[0] == '\0' ||
            memcmp(time.data, filter->to, LINE_TIME_SIZE) < 0);
}


bool
filter_may_match(const filter_t *filter, slice_t line)
{
    slice_t time;

    if ((filter->from[0] != '\0' || filter->to[0] != '\0') &&
        line_time(line, &time) && !in_span(filter, time))
    {
        return false;
    }
    for (unsigned i = 0; i < filter->count; i++) {
        if (memmem(line.data, line.size, filter->terms[i].needle.data,
                   filter->terms[i].needle.size) == NULL)
        {
            return false;
        }
    }
    return true;
}


bool
filter_matches(const filter_t *filter, const record_t *record)
{
    slice_t time = record->values[RECORD_TIME];
    slice_t event = record->values[RECORD_EVENT];

    if (!filter->heartbeats &&
        slice_is(event, record_event_name(EVENT_HEARTBEAT))) {
        return false;
    }
    if ((filter->from[0] != '\0' || filter->to[0] != '\0') &&
        (time.size != LINE_TIME_SIZE || !in_span(filter, time)))
    {
        return false;
    }
    if (filter->failures && slice_is(record->values[RECORD_OUTCOME], "0")) {
        return false;
    }
    for (unsigned i = 0; i < filter->count; i++) {
        if (!slice_equal(record->values[filter->terms[i].field],
                         filter->terms[i].value))
        {
            return false;
        }
    }
    return true;
}
