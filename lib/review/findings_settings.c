/* findings.conf: "RULE [on|off] [NAME=VALUE]…;" in nginx's syntax. */

#include "findings_internal.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "../base/conf.h"
#include "../base/value.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef enum { UNIT_NUMBER = 1, UNIT_DAYS, UNIT_SECONDS, UNIT_SWITCH } unit_t;

typedef struct {
    const char *directive;
    const char *name; /* NULL: the directive's one value */
    unit_t unit;
    size_t offset; /* of the uint64_t, or the bool, in the settings */
    uint64_t standard, least, most;
} setting_t;

#define AT(member) offsetof(findings_settings_t, member)

/* The reasons for these numbers are in docs/findings.md. */
static const setting_t list[] = {
    {"history", NULL, UNIT_DAYS, AT(history_days), 60, 7, HABIT_DAYS_MAX},
    {"learn", NULL, UNIT_DAYS, AT(learn_days), 7, 1, 90},
    {"review-every", NULL, UNIT_DAYS, AT(review_days), 31, 1, 400},
    {"off-hours", "minimum", UNIT_NUMBER, AT(off_hours.minimum), 3, 1, 100000},
    {"off-hours", "share", UNIT_NUMBER, AT(off_hours.share), 10, 1, 100},
    {"off-hours", "margin", UNIT_NUMBER, AT(off_hours.margin), 1, 0, 6},
    {"new-address", "v4", UNIT_NUMBER, AT(new_address.v4), 24, 8, 32},
    {"new-address", "v6", UNIT_NUMBER, AT(new_address.v6), 48, 16, 64},
    {"new-address", "roaming", UNIT_NUMBER, AT(new_address.roaming), 4, 1,
     1000},
    {"volume", "minimum", UNIT_NUMBER, AT(volume.minimum), 30, 1, 1000000},
    {"volume", "factor", UNIT_NUMBER, AT(volume.factor), 6, 2, 100},
    {"many-patients", "patients", UNIT_NUMBER, AT(many_patients.patients), 25,
     2, 100000},
    {"many-patients", "window", UNIT_SECONDS, AT(many_patients.window), 600, 10,
     86400},
    {"two-places", "overlap", UNIT_SECONDS, AT(two_places.overlap), 60, 1,
     86400},
    {"own-name", "family", UNIT_SWITCH, AT(own_name.family), 0, 0, 1},
    {"denials", "minimum", UNIT_NUMBER, AT(denials.minimum), 10, 1, 1000000},
    {"denials", "place", UNIT_NUMBER, AT(denials.place), 100, 1, 1000000},
    {"denials", "strangers", UNIT_NUMBER, AT(denials.strangers), 1000, 1,
     100000000},
    {"denials", "window", UNIT_SECONDS, AT(denials.window), 600, 10, 86400},
    {"not-wiped", "after", UNIT_SECONDS, AT(not_wiped.after), 86400, 60,
     30 * 86400},
};

typedef struct {
    findings_settings_t *settings;
    report_t *report;
} reader_t;

static void
put(findings_settings_t *settings, const setting_t *setting, uint64_t value)
{
    char *place = (char *) settings + setting->offset;

    if (setting->unit == UNIT_SWITCH) {
        bool on = value != 0;

        memcpy(place, &on, sizeof(on));
    } else {
        memcpy(place, &value, sizeof(value));
    }
}

void
findings_defaults(findings_settings_t *settings)
{
    memset(settings, 0, sizeof(*settings));
    for (unsigned i = 1; i < FINDING_RULES; i++) {
        settings->on[i] = true;
    }
    for (size_t i = 0; i < COUNT(list); i++) {
        put(settings, &list[i], list[i].standard);
    }
}

/* ---- Reading -------------------------------------------------------------*/

static bool
read_number(slice_t text, uint64_t *number)
{
    *number = 0;
    if (text.size == 0 || text.size > 9) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        *number = *number * 10 + (uint64_t) (text.data[i] - '0');
    }
    return true;
}

static bool
read_value(const setting_t *setting, slice_t text, uint64_t *value)
{
    switch (setting->unit) {
    case UNIT_NUMBER:
        return read_number(text, value);
    case UNIT_DAYS:
        if (!value_duration(text, value) || *value % 86400 != 0) {
            return false;
        }
        *value /= 86400;
        return true;
    case UNIT_SECONDS:
        return value_duration(text, value);
    case UNIT_SWITCH:
        *value = slice_is(text, "on");
        return *value != 0 || slice_is(text, "off");
    }
    return false;
}

static const char *
unit_words(unit_t unit)
{
    switch (unit) {
    case UNIT_NUMBER:
        return "a number";
    case UNIT_DAYS:
        return "whole days, as 60d";
    case UNIT_SECONDS:
        return "a time, as 10m";
    case UNIT_SWITCH:
        return "on or off";
    }
    return "";
}

static void
read_setting(reader_t *reader, const conf_directive_t *directive, uint32_t word,
             const setting_t *setting, slice_t text)
{
    char quote[CONF_QUOTE_MAX];
    uint64_t value = 0;

    if (!read_value(setting, text, &value)) {
        report_add(reader->report, REPORT_ERROR, conf_place(directive, word),
                   "\"%s\" is not %s", conf_quote(text, quote),
                   unit_words(setting->unit));
    } else if (value < setting->least || value > setting->most) {
        report_add(reader->report, REPORT_ERROR, conf_place(directive, word),
                   "%s may be from %llu to %llu%s",
                   setting->name == NULL ? setting->directive : setting->name,
                   (unsigned long long) setting->least,
                   (unsigned long long) setting->most,
                   setting->unit == UNIT_SECONDS ? " seconds"
                   : setting->unit == UNIT_DAYS  ? " days"
                                                 : "");
    } else {
        put(reader->settings, setting, value);
    }
}

static const setting_t *
find_setting(slice_t directive, slice_t name)
{
    for (size_t i = 0; i < COUNT(list); i++) {
        if (slice_is(directive, list[i].directive) &&
            (list[i].name == NULL ? name.size == 0
                                  : slice_is(name, list[i].name)))
        {
            return &list[i];
        }
    }
    return NULL;
}

static void
tell_names(reader_t *reader, const conf_directive_t *directive, uint32_t word)
{
    slice_t rule = directive->words[0].text;
    char names[200] = "", quote[CONF_QUOTE_MAX];
    size_t size = 0;

    for (size_t i = 0; i < COUNT(list); i++) {
        if (slice_is(rule, list[i].directive) && size < sizeof(names)) {
            size += (size_t) snprintf(names + size, sizeof(names) - size,
                                      " or %s=", list[i].name);
        }
    }
    report_add(reader->report, REPORT_ERROR, conf_place(directive, word),
               "\"%s\" is no setting of this rule: write on or off%s",
               conf_quote(directive->words[word].text, quote), names);
}

static void
read_rule(reader_t *reader, const conf_directive_t *directive,
          finding_rule_t rule)
{
    for (uint32_t i = 1; i < directive->words_count; i++) {
        slice_t text = directive->words[i].text;
        const char *equals = text.size == 0 ? NULL
                                            : memchr(text.data, '=', text.size);
        slice_t name = {text.data,
                        equals == NULL ? 0 : (size_t) (equals - text.data)};
        const setting_t *setting;

        if (slice_is(text, "on") || slice_is(text, "off")) {
            reader->settings->on[rule] = slice_is(text, "on");
            continue;
        }
        setting = name.size == 0 ? NULL
                                 : find_setting(directive->words[0].text, name);
        if (setting == NULL) {
            tell_names(reader, directive, i);
            continue;
        }
        read_setting(reader, directive, i, setting,
                     slice_from(text, name.size + 1));
    }
}

static void
tell_unknown(reader_t *reader, const conf_directive_t *directive)
{
    const char *names[FINDING_RULES + 3] = {"history", "learn", "review-every"};
    size_t count = 3;
    char quote[CONF_QUOTE_MAX];
    const char *nearest;

    for (unsigned i = 1; i < FINDING_RULES; i++) {
        names[count++] = finding_rule_name((finding_rule_t) i);
    }
    nearest = conf_nearest(directive->words[0].text, names, count);
    report_add(reader->report, REPORT_ERROR, conf_place(directive, 0),
               "unknown rule or setting \"%s\"%s%s%s",
               conf_quote(directive->words[0].text, quote),
               nearest == NULL ? ": docs/findings.md lists them"
                               : ": did you mean \"",
               nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
}

static void
read_directive(reader_t *reader, const conf_directive_t *directive)
{
    slice_t name = directive->words[0].text;
    finding_rule_t rule = finding_rule_find(name);
    const setting_t *setting = find_setting(name, SLICE(""));

    if (directive->block) {
        report_add(reader->report, REPORT_ERROR, conf_place(directive, 0),
                   "no block is known here: end the line with \";\"");
    } else if (rule != FINDING_NO_RULE) {
        read_rule(reader, directive, rule);
    } else if (setting == NULL) {
        tell_unknown(reader, directive);
    } else if (directive->words_count != 2) {
        report_add(reader->report, REPORT_ERROR, conf_place(directive, 0),
                   "%s has one value: %s", setting->directive,
                   unit_words(setting->unit));
    } else {
        read_setting(reader, directive, 1, setting, directive->words[1].text);
    }
}

static int
read_all(const conf_directive_t *first, findings_settings_t *settings,
         report_t *report, int error)
{
    reader_t reader = {settings, report};

    for (; first != NULL; first = first->next) {
        read_directive(&reader, first);
    }
    if (settings->learn_days >= settings->history_days) {
        report_add(report, REPORT_ERROR, (report_place_t){.file = NULL},
                   "learn must be shorter than history: nobody would ever "
                   "have a habit");
    }
    return error < 0 ? error : report_errors(report) > 0 ? -EINVAL : 0;
}

int
findings_settings_text(const char *name, slice_t text,
                       findings_settings_t *settings, report_t *report)
{
    conf_directive_t *first = NULL;
    conf_t *conf = conf_new(report);
    int error;

    findings_defaults(settings);
    if (conf == NULL) {
        return -ENOMEM;
    }
    error = conf_parse_text(conf, name, text, &first);
    error = read_all(first, settings, report, error);
    conf_free(conf);
    return error;
}

int
findings_settings_read(const char *path, bool required,
                       findings_settings_t *settings, report_t *report)
{
    conf_directive_t *first = NULL;
    conf_t *conf;
    int error;

    findings_defaults(settings);
    if (access(path, F_OK) < 0 && errno == ENOENT && !required) {
        return 0;
    }
    conf = conf_new(report);
    if (conf == NULL) {
        return -ENOMEM;
    }
    error = conf_parse_file(conf, path, NULL, &first);
    error = read_all(first, settings, report, error);
    conf_free(conf);
    return error;
}
