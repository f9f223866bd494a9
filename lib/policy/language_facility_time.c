#define _GNU_SOURCE
#include "language_facility.h"

#include "../base/clock.h"

void
facility_read_hours(facility_reader_t *facility)
{
    /* facility_next() would do, but a line is the unit here */
    const conf_directive_t **lines;
    size_t count = 0;

    lines = language_array(facility->language, facility->lines[FACILITY_HOURS],
                           sizeof(*lines));
    if (lines == NULL) {
        return;
    }
    for (const conf_directive_t *line = facility->first[FACILITY_HOURS];
         line != NULL; line = line->next)
    {
        if (line->words_count > 1 &&
            slice_is(line->words[0].text, facility_rules[FACILITY_HOURS].name))
        {
            lines[count++] = line;
        }
    }
    if (count > 0) {
        language_hours(facility->language, lines, count, &facility->out->hours,
                       &facility->out->hours_count);
    }
}

/* The calendar of that name, marked as used; NULL after an error. */
static const language_calendar_t *
calendar_of(facility_reader_t *facility, const facility_value_t *value)
{
    language_t *language = facility->language;
    const uint32_t *index = language_names_find(&language->calendar_names,
                                                facility_text(value));
    char quote[CONF_QUOTE_MAX];
    const char *nearest = NULL;

    if (index != NULL) {
        language->calendars[*index].used = true;
        return &language->calendars[*index];
    }
    nearest = language_nearest_calendar(language, facility_text(value));
    LANGUAGE_ERROR(
        language, facility_place(value), "no calendar \"%s\": %s%s%s",
        conf_quote(facility_text(value), quote),
        nearest == NULL ? "define it, \"calendar jp { 2027-01-11; }\""
                        : "did you mean \"",
        nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
    return NULL;
}

static bool
is_day(slice_t text)
{
    return text.size > 0 && ((text.data[0] >= '0' && text.data[0] <= '9') ||
                             text.data[0] == '.');
}

void
facility_read_closed(facility_reader_t *facility)
{
    language_t *language = facility->language;
    policy_source_facility_t *out = facility->out;
    const language_calendar_t *calendar = NULL;
    facility_value_t value = {0};
    size_t count = 0;

    /* first only counted: most facilities have one calendar and share it */
    while (facility_next(facility, FACILITY_CLOSED, &value)) {
        if (is_day(facility_text(&value))) {
            count++;
            continue;
        }
        calendar = calendar_of(facility, &value);
        count += calendar == NULL ? 0 : calendar->days_count;
    }
    if (facility->values[FACILITY_CLOSED] == 1 && calendar != NULL) {
        out->closed = calendar->days;
        out->closed_count = calendar->days_count;
        return;
    }
    if (count > POLICY_LIST_MAX) {
        LANGUAGE_ERROR(language,
                       conf_place(facility->first[FACILITY_CLOSED], 0),
                       "%zu ranges of closed days: at most %u in a facility",
                       count, POLICY_LIST_MAX);
        return;
    }
    out->closed = language_array(language, count, sizeof(*out->closed));
    if (out->closed == NULL) {
        return;
    }
    count = 0;
    value = (facility_value_t){0};
    while (facility_next(facility, FACILITY_CLOSED, &value)) {
        const uint32_t *index;

        if (is_day(facility_text(&value))) {
            count += language_days(language, value.line, value.word, false,
                                   &out->closed[count])
                         ? 1
                         : 0;
            continue;
        }
        index = language_names_find(&language->calendar_names,
                                    facility_text(&value));
        if (index == NULL || language->calendars[*index].days_count == 0) {
            continue;
        }
        calendar = &language->calendars[*index];
        memcpy(&out->closed[count], calendar->days,
               calendar->days_count * sizeof(*calendar->days));
        count += calendar->days_count;
    }
    out->closed_count = language_merge_days(out->closed, count);
}

void
facility_read_valid(facility_reader_t *facility, const language_zone_t *zone)
{
    policy_source_facility_t *out = facility->out;
    facility_value_t value = {0};
    policy_days_t days;
    char day[CLOCK_TEXT_MAX];

    if (!facility_next(facility, FACILITY_VALID, &value) ||
        !language_days(facility->language, value.line, value.word, true, &days))
    {
        return;
    }
    out->valid_from = days.first;
    out->valid_to = days.last;
    if (zone != NULL && days.last < zone->today) {
        (void) clock_format_day(days.last, day);
        LANGUAGE_WARNING(facility->language, facility_place(&value),
                         "expired on %s, so that nobody is admitted: write a "
                         "later day, or delete the facility",
                         day);
    }
}

/* The facility's zone, or the one at the top; NULL if there is none, or after
 * an error. */
const language_zone_t *
facility_read_zone(facility_reader_t *facility)
{
    static const facility_directive_t timed[] = {
        FACILITY_HOURS, FACILITY_CLOSED, FACILITY_VALID};
    language_t *language = facility->language;
    const language_zone_t *zone = NULL;
    facility_value_t value = {0};

    /* without any rule of time, whichever zone it is makes no difference */
    facility->out->zone = SLICE("UTC");
    if (facility_next(facility, FACILITY_TIMEZONE, &value)) {
        zone = language_zone(language, value.line, value.word);
    } else if (facility->lines[FACILITY_TIMEZONE] == 0 &&
               language->timezone != NULL)
    {
        zone = language_default_zone(language);
    } else if (facility->lines[FACILITY_TIMEZONE] == 0) {
        for (size_t i = 0; i < sizeof(timed) / sizeof(timed[0]); i++) {
            const conf_directive_t *line = facility->first[timed[i]];

            if (line == NULL || language->zone_missing_told) {
                continue;
            }
            /* once: the cure at the top helps all the others too */
            language->zone_missing_told = true;
            LANGUAGE_ERROR(language, conf_place(line, 0),
                           "\"%s\" without a time zone: add: timezone "
                           "Asia/Tokyo; (at the top of the file, or in the "
                           "facility)",
                           facility_rules[timed[i]].name);
        }
    }
    if (zone != NULL) {
        facility->out->zone = zone->name;
    }
    return zone;
}
