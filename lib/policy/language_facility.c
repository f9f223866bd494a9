#define _GNU_SOURCE
#include "language_facility.h"

#include <stdio.h>

#include "../base/action.h"
#include "decide.h"

const facility_rule_t facility_rules[FACILITY_DIRECTIVES] = {
    [FACILITY_NAME] = {"name", 1, false, "\"Aoba Imaging Clinic\""},
    [FACILITY_CONTACT] = {"contact", 1, false, "\"IT desk, +81-3-0000-0000\""},
    [FACILITY_NETWORK] = {"network", 0, true,
                          "203.0.113.0/28, or any, or local"},
    [FACILITY_VIA] = {"via", 0, true, "10.8.0.1"},
    [FACILITY_COUNTRY] = {"country", 0, true, "JP"},
    [FACILITY_DEVICE] = {"device", 1, false, "none, optional or required"},
    [FACILITY_CERTIFICATE] = {"certificate", 0, true, "sha256:HEX or FILE.pem"},
    [FACILITY_DEVICE_CA] = {"device-ca", 0, true, "FILE.pem"},
    [FACILITY_HOURS] = {"hours", 0, true, "mon-fri 08:00-19:00"},
    [FACILITY_CLOSED] = {"closed", 0, true,
                         "CALENDAR, or 2026-12-29..2027-01-03"},
    [FACILITY_VALID] = {"valid", 1, false, "2026-04-01..2027-03-31"},
    [FACILITY_USERS] = {"users", 0, true, "tanaka @radiologists"},
    [FACILITY_SERVICES] = {"services", 0, false,
                           "web, ssh and desktop, any of them"},
    [FACILITY_ACTIONS] = {"actions", 0, false, "query view"},
    [FACILITY_SECOND_FACTOR] = {"second-factor", 1, false, "always or never"},
    [FACILITY_OFF_HOURS] = {"off-hours", 1, false, "deny or second-factor"},
    [FACILITY_SESSION] = {"session", 4, false, "idle 15m max 8h"},
    [FACILITY_MODE] = {"mode", 1, false, "enforce or dry-run"},
    [FACILITY_TIMEZONE] = {"timezone", 1, false, "Asia/Tokyo"},
};

static facility_directive_t
directive_of(slice_t name)
{
    for (unsigned i = 0; i < FACILITY_DIRECTIVES; i++) {
        if (slice_is(name, facility_rules[i].name)) {
            return (facility_directive_t) i;
        }
    }
    return FACILITY_DIRECTIVES;
}

bool
language_facility_knows(slice_t name)
{
    return directive_of(name) != FACILITY_DIRECTIVES;
}

bool
facility_next(const facility_reader_t *facility, facility_directive_t which,
              facility_value_t *value)
{
    const conf_directive_t *line = value->line;

    if (line == NULL) {
        line = facility->first[which];
    } else if (value->word + 1 < line->words_count) {
        value->word++;
        return true;
    } else {
        line = line->next;
    }
    for (; line != NULL; line = line->next) {
        if (line->words_count > 1 &&
            slice_is(line->words[0].text, facility_rules[which].name))
        {
            *value = (facility_value_t){line, 1};
            return true;
        }
    }
    return false;
}

bool
facility_is_first(facility_reader_t *facility, slice_t key,
                  const facility_value_t *value)
{
    language_t *language = facility->language;
    report_place_t place = facility_place(value);
    char quote[CONF_QUOTE_MAX];
    const uint32_t *line;
    bool is_new;

    line = language_names_add(&language->scratch, key, place.line, &is_new);
    if (line == NULL) {
        language->out_of_memory = true;
        return false;
    }
    if (!is_new) {
        LANGUAGE_WARNING(language, place,
                         "\"%s\" is given twice (line %u): delete one of them",
                         conf_quote(facility_text(value), quote), *line);
    }
    return is_new;
}

bool
facility_reset_seen(facility_reader_t *facility, size_t expected)
{
    if (language_names_reset(&facility->language->scratch, expected) < 0) {
        facility->language->out_of_memory = true;
        return false;
    }
    return true;
}

static bool
choose(facility_reader_t *facility, const facility_value_t *value,
       const facility_choice_t *choices, unsigned count, unsigned *number)
{
    char quote[CONF_QUOTE_MAX];
    facility_directive_t which;

    for (unsigned i = 0; i < count; i++) {
        if (slice_is(facility_text(value), choices[i].name)) {
            *number = choices[i].value;
            return true;
        }
    }
    which = directive_of(value->line->words[0].text);
    LANGUAGE_ERROR(facility->language, facility_place(value),
                   "\"%s\" is no value of \"%s\": write %s",
                   conf_quote(facility_text(value), quote),
                   facility_rules[which].name, facility_rules[which].usage);
    return false;
}

unsigned
facility_choice(facility_reader_t *facility, facility_directive_t which,
                const facility_choice_t *choices, unsigned count,
                unsigned absent)
{
    facility_value_t value = {0};
    unsigned number = absent;

    if (facility_next(facility, which, &value)) {
        (void) choose(facility, &value, choices, count, &number);
    }
    return number;
}

/* ---- People, actions, sessions ------------------------------------------ */

/* The group of "@name", marked as used; NULL after an error. */
static const language_group_t *
group_of(facility_reader_t *facility, const facility_value_t *value, bool tell)
{
    language_t *language = facility->language;
    slice_t name = slice_from(facility_text(value), 1);
    const uint32_t *index = language_names_find(&language->group_names, name);
    char quote[CONF_QUOTE_MAX];
    const char *nearest;

    if (index != NULL) {
        language->groups[*index].used = true;
        return &language->groups[*index];
    }
    if (!tell) {
        return NULL;
    }
    nearest = language_nearest_group(language, name);
    LANGUAGE_ERROR(language, facility_place(value), "no group \"%s\": %s%s%s",
                   conf_quote(name, quote),
                   nearest == NULL ? "define it, \"group radiologists { "
                                     "yamada; suzuki; }\""
                                   : "did you mean \"@",
                   nearest == NULL ? "" : nearest,
                   nearest == NULL ? "" : "\"?");
    return NULL;
}

static bool
is_group(slice_t text)
{
    return text.size > 0 && text.data[0] == '@';
}

static void
read_users(facility_reader_t *facility)
{
    language_t *language = facility->language;
    policy_source_facility_t *out = facility->out;
    const language_group_t *group = NULL;
    unsigned errors = report_errors(language->report);
    facility_value_t value = {0};
    size_t count = 0;

    out->has_users = true;
    while (facility_next(facility, FACILITY_USERS, &value)) {
        if (!is_group(facility_text(&value))) {
            count += language_check_user(language, value.line, value.word) ? 1
                                                                           : 0;
            continue;
        }
        group = group_of(facility, &value, true);
        count += group == NULL ? 0 : group->users_count;
    }
    if (count == 0 && errors == report_errors(language->report) &&
        facility->values[FACILITY_USERS] > 0)
    {
        LANGUAGE_ERROR(language, conf_place(facility->first[FACILITY_USERS], 0),
                       "\"users\" comes to nobody: add users to the group, or "
                       "name some here");
    }
    if (count > POLICY_LIST_MAX) {
        LANGUAGE_ERROR(language, conf_place(facility->first[FACILITY_USERS], 0),
                       "%zu users: at most %u in a facility", count,
                       POLICY_LIST_MAX);
        return;
    }
    if (facility->values[FACILITY_USERS] == 1 && group != NULL) {
        out->users = group->users; /* shared by all that name the group alone */
        out->users_count = group->users_count;
        return;
    }
    if (errors != report_errors(language->report) || count == 0) {
        return; /* the list would not be the one that was counted */
    }
    out->users = language_array(language, count, sizeof(*out->users));
    if (out->users == NULL) {
        return;
    }
    count = 0;
    value = (facility_value_t){0};
    while (facility_next(facility, FACILITY_USERS, &value)) {
        if (!is_group(facility_text(&value))) {
            out->users[count++] = facility_text(&value);
            continue;
        }
        group = group_of(facility, &value, false);
        if (group != NULL && group->users_count > 0) {
            memcpy(&out->users[count], group->users,
                   group->users_count * sizeof(*group->users));
            count += group->users_count;
        }
    }
    out->users_count = language_sort_users(out->users, count);
}

static void
report_choice(facility_reader_t *facility, const facility_value_t *value,
              const char *what, const char *all)
{
    char quote[CONF_QUOTE_MAX];

    LANGUAGE_ERROR(facility->language, facility_place(value),
                   "\"%s\" is no %s: write any of %s",
                   conf_quote(facility_text(value), quote), what, all);
}

static void
read_sets(facility_reader_t *facility)
{
    policy_source_facility_t *out = facility->out;
    facility_value_t value = {0};
    uint32_t services = 0, actions = 0;

    while (facility_next(facility, FACILITY_SERVICES, &value)) {
        policy_service_t service = policy_service_parse(facility_text(&value));

        if (service == POLICY_SERVICE_NONE) {
            report_choice(facility, &value, "service", "web ssh desktop");
        } else {
            services |= POLICY_SERVICE_BIT(service);
        }
    }
    value = (facility_value_t){0};
    while (facility_next(facility, FACILITY_ACTIONS, &value)) {
        action_t action = action_parse(facility_text(&value));

        if (action == ACTION_NONE) {
            report_choice(facility, &value, "action",
                          "query view download store delete admin");
        } else {
            actions |= ACTION_BIT(action);
        }
    }
    if (facility->first[FACILITY_SERVICES] == NULL) {
        services = POLICY_SERVICE_BIT(POLICY_SERVICE_DESKTOP);
        /* a unix listener of nginx is opened by name only */
        if (!out->local) {
            services |= POLICY_SERVICE_BIT(POLICY_SERVICE_WEB) |
                        POLICY_SERVICE_BIT(POLICY_SERVICE_SSH);
        }
    }
    if (facility->first[FACILITY_ACTIONS] == NULL) {
        actions = ACTION_BIT(ACTION_QUERY) | ACTION_BIT(ACTION_VIEW);
    }
    out->services = services;
    out->actions = actions;
}

static void
read_session(facility_reader_t *facility)
{
    language_t *language = facility->language;
    policy_source_facility_t *out = facility->out;
    const conf_directive_t *line = facility->first[FACILITY_SESSION];
    char quote[CONF_QUOTE_MAX];

    if (line == NULL || line->words_count == 1) {
        return;
    }
    for (uint32_t i = 1; i < line->words_count && i < 5; i += 2) {
        slice_t name = line->words[i].text;
        bool idle = slice_is(name, "idle");
        uint32_t *seconds = idle ? &out->idle_seconds : &out->max_seconds;

        if (!idle && !slice_is(name, "max")) {
            LANGUAGE_ERROR(language, conf_place(line, i),
                           "\"%s\" is no limit of a session: write session %s",
                           conf_quote(name, quote),
                           facility_rules[FACILITY_SESSION].usage);
            return;
        }
        if (i + 1 == line->words_count) {
            LANGUAGE_ERROR(language, conf_place(line, i),
                           "\"%.*s\" has no time: write session %s",
                           SLICE_ARG(name),
                           facility_rules[FACILITY_SESSION].usage);
            return;
        }
        if (*seconds != 0) {
            LANGUAGE_ERROR(language, conf_place(line, i),
                           "\"%.*s\" is given twice: delete one of them",
                           SLICE_ARG(name));
            return;
        }
        if (!language_duration(language, line, i + 1, seconds)) {
            return;
        }
    }
    if (out->max_seconds != 0 && out->idle_seconds > out->max_seconds) {
        LANGUAGE_WARNING(language, conf_place(line, 0),
                         "\"idle\" is longer than \"max\" and never counts: "
                         "write a shorter one");
    }
}

/* ---- The block ---------------------------------------------------------- */

static void
report_unknown(facility_reader_t *facility, const conf_directive_t *line)
{
    const char *names[FACILITY_DIRECTIVES];
    slice_t name = line->words[0].text;
    char quote[CONF_QUOTE_MAX];
    char list[512];
    size_t used = 0;
    const char *nearest;

    for (unsigned i = 0; i < FACILITY_DIRECTIVES; i++) {
        names[i] = facility_rules[i].name;
        used += (size_t) snprintf(list + used, sizeof(list) - used, "%s%s",
                                  i == 0 ? "" : " ", names[i]);
    }
    nearest = conf_nearest(name, names, FACILITY_DIRECTIVES);
    (void) conf_quote(name, quote);
    if (slice_is(name, "include")) {
        LANGUAGE_ERROR(facility->language, conf_place(line, 0),
                       "\"include\" inside a facility: write it at the top "
                       "level");
    } else if (line->block) {
        LANGUAGE_ERROR(facility->language, conf_place(line, 0),
                       "block \"%s\" inside a facility: is \"}\" missing "
                       "before it?",
                       quote);
    } else if (nearest != NULL) {
        LANGUAGE_ERROR(facility->language, conf_place(line, 0),
                       "unknown directive \"%s\": did you mean \"%s\"? A "
                       "facility has %s",
                       quote, nearest, list);
    } else {
        LANGUAGE_ERROR(facility->language, conf_place(line, 0),
                       "unknown directive \"%s\": a facility has %s", quote,
                       list);
    }
}

/* Checks what holds for any directive, and counts. */
static void
count_line(facility_reader_t *facility, const conf_directive_t *line)
{
    language_t *language = facility->language;
    facility_directive_t which = directive_of(line->words[0].text);
    size_t values = line->words_count - 1;
    const facility_rule_t *rule;
    char earlier[LANGUAGE_EARLIER_MAX];

    if (which == FACILITY_DIRECTIVES) {
        report_unknown(facility, line);
        return;
    }
    rule = &facility_rules[which];
    facility->lines[which]++;
    facility->values[which] += values;
    if (facility->first[which] == NULL) {
        facility->first[which] = line;
    } else if (!rule->repeatable) {
        LANGUAGE_ERROR(
            language, conf_place(line, 0),
            "\"%s\" is already given at %s: delete one of them", rule->name,
            language_earlier(conf_place(line, 0),
                             conf_place(facility->first[which], 0), earlier));
    }
    if (line->block) {
        LANGUAGE_ERROR(language, conf_place(line, 0),
                       "\"%s\" takes no block: write %s %s;", rule->name,
                       rule->name, rule->usage);
    } else if (values == 0) {
        LANGUAGE_ERROR(language, conf_place(line, 0),
                       "\"%s\" has no value: write %s %s;", rule->name,
                       rule->name, rule->usage);
    } else if (rule->values_max != 0 && values > rule->values_max) {
        const conf_word_t *word = &line->words[rule->values_max + 1];

        if (word->line != line->words[0].line) {
            LANGUAGE_ERROR(language, conf_place(line, 0),
                           "\"%s\" has %zu values: is \";\" missing at the "
                           "end of line %u?",
                           rule->name, values,
                           line->words[rule->values_max].line);
        } else {
            LANGUAGE_ERROR(language, conf_place(line, rule->values_max + 1),
                           "\"%s\" has %zu values: write %s %s;", rule->name,
                           values, rule->name, rule->usage);
        }
    }
}

static void
read_text(facility_reader_t *facility, facility_directive_t which,
          slice_t *text)
{
    facility_value_t value = {0};

    if (facility_next(facility, which, &value) &&
        language_check_text(facility->language, value.line, value.word))
    {
        *text = facility_text(&value);
    }
}

static void
read_lists(facility_reader_t *facility)
{
    static const struct {
        facility_directive_t which;
        void (*read)(facility_reader_t *facility);
    } lists[] = {{FACILITY_VIA, facility_read_via},
                 {FACILITY_COUNTRY, facility_read_countries},
                 {FACILITY_HOURS, facility_read_hours},
                 {FACILITY_CLOSED, facility_read_closed},
                 {FACILITY_USERS, read_users},
                 {FACILITY_SESSION, read_session}};
    static const facility_directive_t counted[] = {
        FACILITY_VIA,       FACILITY_COUNTRY, FACILITY_CERTIFICATE,
        FACILITY_DEVICE_CA, FACILITY_CLOSED,  FACILITY_USERS};

    for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
        if (facility->values[counted[i]] > POLICY_LIST_MAX) {
            LANGUAGE_ERROR(facility->language,
                           conf_place(facility->first[counted[i]], 0),
                           "\"%s\" has %zu values: at most %u in a facility",
                           facility_rules[counted[i]].name,
                           facility->values[counted[i]], POLICY_LIST_MAX);
            return;
        }
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (facility->lines[lists[i].which] > 0) {
            lists[i].read(facility);
        }
    }
    facility_read_device(facility);
}

void
language_facility(language_t *language, const conf_directive_t *directive,
                  policy_source_facility_t *out)
{
    static const facility_choice_t factors[] = {{"always", true},
                                                {"never", false}};
    static const facility_choice_t off_hours[] = {{"deny", false},
                                                  {"second-factor", true}};
    static const facility_choice_t modes[] = {{"enforce", false},
                                              {"dry-run", true}};
    facility_reader_t facility = {.language = language, .out = out};
    const language_zone_t *zone;

    out->place = conf_place(directive, 0);
    out->id = directive->words_count > 1 ? directive->words[1].text : SLICE("");
    out->name = SLICE("");
    out->contact = SLICE("");
    out->valid_from = INT32_MIN;
    out->valid_to = INT32_MAX;

    for (const conf_directive_t *line = directive->children; line != NULL;
         line = line->next)
    {
        count_line(&facility, line);
    }
    read_text(&facility, FACILITY_NAME, &out->name);
    read_text(&facility, FACILITY_CONTACT, &out->contact);
    facility_read_networks(&facility);
    zone = facility_read_zone(&facility);
    facility_read_valid(&facility, zone);
    read_sets(&facility);
    read_lists(&facility);

    out->has_hours = facility.lines[FACILITY_HOURS] > 0;
    out->second_factor = facility_choice(&facility, FACILITY_SECOND_FACTOR,
                                         factors, 2, true) != 0;
    out->off_hours_factor = facility_choice(&facility, FACILITY_OFF_HOURS,
                                            off_hours, 2, false) != 0;
    out->dry_run = facility_choice(&facility, FACILITY_MODE, modes, 2, false) !=
                   0;
    if (facility.first[FACILITY_OFF_HOURS] != NULL &&
        facility.first[FACILITY_HOURS] == NULL &&
        facility.first[FACILITY_CLOSED] == NULL)
    {
        LANGUAGE_WARNING(language,
                         conf_place(facility.first[FACILITY_OFF_HOURS], 0),
                         "\"off-hours\" without \"hours\" or \"closed\" never "
                         "counts: add hours, or delete the line");
    }
}
