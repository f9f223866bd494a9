#include "language_internal.h"

bool
language_check_block(language_t *language, const conf_directive_t *directive,
                     const char *usage, language_names_t *names, size_t index,
                     report_place_t (*first)(const language_t *language,
                                             uint32_t index),
                     bool *is_new)
{
    slice_t kind = directive->words[0].text;
    report_place_t place = conf_place(directive, 0);
    char quote[CONF_QUOTE_MAX], earlier[LANGUAGE_EARLIER_MAX];
    const uint32_t *known;

    if (directive->words_count != 2 || !directive->block) {
        LANGUAGE_ERROR(language, place, "\"%.*s\" %s: write %s",
                       SLICE_ARG(kind),
                       !directive->block            ? "has no { block }"
                       : directive->words_count < 2 ? "has no name"
                                                    : "has more than one name",
                       usage);
        if (directive->words_count < 2 || !directive->block) {
            return false;
        }
    }
    known = language_names_add(names, directive->words[1].text,
                               (uint32_t) index, is_new);
    if (known == NULL) {
        language->out_of_memory = true;
        return false;
    }
    if (!*is_new) {
        LANGUAGE_ERROR(
            language, conf_place(directive, 1),
            "%.*s \"%s\" is already given at %s: rename or delete "
            "one of them",
            SLICE_ARG(kind), conf_quote(directive->words[1].text, quote),
            language_earlier(place, first(language, *known), earlier));
    }
    return true;
}

static report_place_t
group_place(const language_t *language, uint32_t index)
{
    return language->groups[index].place;
}

static report_place_t
calendar_place(const language_t *language, uint32_t index)
{
    return language->calendars[index].place;
}

/* Members stand alone, each with its ";": what else stands there is told, and
 * still taken for members. */
static void
check_member(language_t *language, const conf_directive_t *member,
             const char *what)
{
    char quote[CONF_QUOTE_MAX];

    if (member->block) {
        LANGUAGE_ERROR(language, conf_place(member, 0),
                       "a block inside a %s: is \"}\" missing before \"%s\"?",
                       what, conf_quote(member->words[0].text, quote));
    } else if (member->words_count > 1) {
        LANGUAGE_ERROR(language, conf_place(member, 0),
                       "\";\" is missing after \"%s\": each entry of a %s ends "
                       "in \";\"",
                       conf_quote(member->words[0].text, quote), what);
    }
}

static size_t
count_words(const conf_directive_t *member)
{
    size_t count = 0;

    for (; member != NULL; member = member->next) {
        count += member->block ? 0 : member->words_count;
    }
    return count;
}

void
language_read_group(language_t *language, const conf_directive_t *directive)
{
    size_t count = count_words(directive->children);
    language_group_t *group;
    bool is_new;

    if (!language_check_block(language, directive,
                              "group radiologists { yamada; suzuki; }",
                              &language->group_names, language->groups_count,
                              group_place, &is_new))
    {
        return;
    }
    (void) language_check_id(language, "group", directive, 1);
    group = language_append(language, (void **) &language->groups,
                            &language->groups_count, sizeof(*group));
    if (group == NULL) {
        return;
    }
    group->name = directive->words[1].text;
    group->place = conf_place(directive, 1);
    group->used = !is_new; /* a second one has had its message */
    if (count > POLICY_LIST_MAX) {
        LANGUAGE_ERROR(language, group->place,
                       "%zu users in a group: at most %u are read", count,
                       POLICY_LIST_MAX);
        return;
    }
    group->users = language_array(language, count, sizeof(*group->users));
    if (group->users == NULL) {
        return;
    }
    for (const conf_directive_t *member = directive->children; member != NULL;
         member = member->next)
    {
        check_member(language, member, "group");
        for (uint32_t i = 0; !member->block && i < member->words_count; i++) {
            slice_t user = member->words[i].text;
            char quote[CONF_QUOTE_MAX];

            if (user.size > 0 && user.data[0] == '@') {
                LANGUAGE_ERROR(language, conf_place(member, i),
                               "\"%s\" inside a group: groups hold users "
                               "alone; name both groups in \"users\"",
                               conf_quote(user, quote));
            } else if (language_check_user(language, member, i)) {
                group->users[group->users_count++] = user;
            }
        }
    }
    group->users_count = language_sort_users(group->users, group->users_count);
}

void
language_read_calendar(language_t *language, const conf_directive_t *directive)
{
    size_t count = count_words(directive->children);
    language_calendar_t *calendar;
    slice_t name;
    bool is_new;

    if (!language_check_block(
            language, directive,
            "calendar jp { 2026-12-29..2027-01-03; 2027-01-11; }",
            &language->calendar_names, language->calendars_count,
            calendar_place, &is_new))
    {
        return;
    }
    name = directive->words[1].text;
    /* `closed` takes days too, and must be able to tell them apart */
    if (language_check_id(language, "calendar", directive, 1) &&
        name.data[0] >= '0' && name.data[0] <= '9')
    {
        LANGUAGE_ERROR(language, conf_place(directive, 1),
                       "calendar \"%.*s\" starts with a digit, as days do: "
                       "start it with a letter",
                       SLICE_ARG(name));
    }
    calendar = language_append(language, (void **) &language->calendars,
                               &language->calendars_count, sizeof(*calendar));
    if (calendar == NULL) {
        return;
    }
    calendar->name = name;
    calendar->place = conf_place(directive, 1);
    calendar->used = !is_new;
    if (count > POLICY_LIST_MAX) {
        LANGUAGE_ERROR(language, calendar->place,
                       "%zu ranges in a calendar: at most %u are read", count,
                       POLICY_LIST_MAX);
        return;
    }
    calendar->days = language_array(language, count, sizeof(*calendar->days));
    if (calendar->days == NULL) {
        return;
    }
    for (const conf_directive_t *member = directive->children; member != NULL;
         member = member->next)
    {
        check_member(language, member, "calendar");
        for (uint32_t i = 0; !member->block && i < member->words_count; i++) {
            calendar->days_count += language_days(
                                        language, member, i, false,
                                        &calendar->days[calendar->days_count])
                                        ? 1
                                        : 0;
        }
    }
    calendar->days_count = language_merge_days(calendar->days,
                                               calendar->days_count);
}
