#define _GNU_SOURCE
#include "language_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "../base/clock.h"
#include "../base/value.h"

#define DURATION_MAX (366u * 86400) /* seconds */

const char *
language_earlier(report_place_t here, report_place_t first,
                 char buffer[LANGUAGE_EARLIER_MAX])
{
    char quote[CONF_QUOTE_MAX];

    if (strcmp(here.file, first.file) == 0) {
        (void) snprintf(buffer, LANGUAGE_EARLIER_MAX, "line %u", first.line);
    } else {
        (void) snprintf(buffer, LANGUAGE_EARLIER_MAX, "%s:%u",
                        conf_quote(slice_of(first.file), quote), first.line);
    }
    return buffer;
}

static bool
is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool
language_check_id(language_t *language, const char *kind,
                  const conf_directive_t *directive, uint32_t word)
{
    slice_t id = directive->words[word].text;
    report_place_t place = conf_place(directive, word);
    char quote[CONF_QUOTE_MAX];
    bool good = id.size > 0 && is_lower_or_digit(id.data[0]);

    for (size_t i = 1; good && i < id.size; i++) {
        char c = id.data[i];

        good = is_lower_or_digit(c) || c == '.' || c == '_' || c == '-';
    }
    if (!good) {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" cannot be the id of a %s: write small letters "
                       "a-z, digits and . _ - only, a letter or a digit first",
                       conf_quote(id, quote), kind);
        return false;
    }
    if (id.size > POLICY_ID_SIZE_MAX) {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" has %zu bytes: an id has at most %u",
                       conf_quote(id, quote), id.size, POLICY_ID_SIZE_MAX);
        return false;
    }
    return true;
}

/* \t \r \n can come out of an escape: "CORP\tanaka". */
static bool
has_control_character(slice_t text)
{
    for (size_t i = 0; i < text.size; i++) {
        if ((uint8_t) text.data[i] < 0x20 || text.data[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

bool
language_check_user(language_t *language, const conf_directive_t *directive,
                    uint32_t word)
{
    slice_t user = directive->words[word].text;
    report_place_t place = conf_place(directive, word);
    char quote[CONF_QUOTE_MAX];

    if (user.size == 0) {
        LANGUAGE_ERROR(language, place,
                       "an empty user name: write the name, or delete it");
        return false;
    }
    if (user.size > POLICY_USER_SIZE_MAX) {
        LANGUAGE_ERROR(
            language, place, "user \"%s\" has %zu bytes: a name has at most %u",
            conf_quote(user, quote), user.size, POLICY_USER_SIZE_MAX);
        return false;
    }
    if (has_control_character(user)) {
        LANGUAGE_ERROR(language, place,
                       "user \"%s\" has a control character: write \\\\ for a "
                       "backslash",
                       conf_quote(user, quote));
        return false;
    }
    if (!directive->words[word].quoted &&
        (slice_is(user, "any") || slice_is(user, "all") || slice_is(user, "*")))
    {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" would be a user of that name: leave \"users\" "
                       "out to admit everybody, or quote a real name",
                       conf_quote(user, quote));
        return false;
    }
    if (user.data[user.size - 1] == ',') {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" ends in a comma: separate users by spaces",
                       conf_quote(user, quote));
        return false;
    }
    return true;
}

bool
language_check_text(language_t *language, const conf_directive_t *directive,
                    uint32_t word)
{
    slice_t text = directive->words[word].text;
    slice_t name = directive->words[0].text;
    report_place_t place = conf_place(directive, word);
    char quote[CONF_QUOTE_MAX];

    if (text.size == 0) {
        LANGUAGE_ERROR(language, place,
                       "\"%.*s\" is empty: write a text, or delete the line",
                       SLICE_ARG(name));
        return false;
    }
    if (text.size > POLICY_TEXT_SIZE_MAX) {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" has %zu bytes: \"%.*s\" has at most %u",
                       conf_quote(text, quote), text.size, SLICE_ARG(name),
                       POLICY_TEXT_SIZE_MAX);
        return false;
    }
    if (has_control_character(text)) {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" has a control character: write one line of "
                       "text, and \\\\ for a backslash",
                       conf_quote(text, quote));
        return false;
    }
    return true;
}

static bool
day(language_t *language, report_place_t place, slice_t text, int32_t *value)
{
    static const char shape[] = "dddd-dd-dd";
    char quote[CONF_QUOTE_MAX];
    bool shaped = text.size == sizeof(shape) - 1;

    if (clock_parse_day(text, value)) {
        return true;
    }
    for (size_t i = 0; shaped && i < text.size; i++) {
        char c = text.data[i];

        shaped = shape[i] == 'd' ? c >= '0' && c <= '9' : c == shape[i];
    }
    LANGUAGE_ERROR(language, place,
                   shaped ? "there is no day \"%s\" in the calendar: correct "
                            "it"
                          : "\"%s\" is no day: write year-month-day, as "
                            "2027-01-11",
                   conf_quote(text, quote));
    return false;
}

bool
language_days(language_t *language, const conf_directive_t *directive,
              uint32_t word, bool open, policy_days_t *days)
{
    slice_t text = directive->words[word].text;
    report_place_t place = conf_place(directive, word);
    const char *dots = text.size < 2 ? NULL
                                     : memmem(text.data, text.size, "..", 2);
    char quote[CONF_QUOTE_MAX];
    slice_t from, to;
    bool good = true;

    if (dots == NULL) {
        if (!day(language, place, text, &days->first)) {
            return false;
        }
        days->last = days->first;
        if (open) {
            LANGUAGE_ERROR(language, place,
                           "\"%s\" has no end or start: write \"%s..\" or "
                           "\"..%s\", or FROM..TO",
                           conf_quote(text, quote), quote, quote);
        }
        return !open;
    }
    from = (slice_t){text.data, (size_t) (dots - text.data)};
    to = slice_from(text, from.size + 2);

    days->first = INT32_MIN;
    days->last = INT32_MAX;
    if (open && from.size == 0 && to.size == 0) {
        LANGUAGE_ERROR(language, place,
                       "\"..\" has no day: write FROM..TO, as "
                       "2026-04-01..2027-03-31");
        return false;
    }
    if (!open && (from.size == 0 || to.size == 0)) {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" is open at one end: write both days, as "
                       "2026-12-29..2027-01-03",
                       conf_quote(text, quote));
        return false;
    }
    if (from.size > 0) {
        good = day(language, place, from, &days->first);
    }
    if (good && to.size > 0) {
        good = day(language, place, to, &days->last);
    }
    if (good && days->first > days->last) {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" ends before it starts: write the earlier day "
                       "first",
                       conf_quote(text, quote));
        good = false;
    }
    return good;
}

static int
compare_days(const void *left, const void *right)
{
    const policy_days_t *a = left;
    const policy_days_t *b = right;

    return (a->first > b->first) - (a->first < b->first);
}

size_t
language_merge_days(policy_days_t *days, size_t count)
{
    size_t kept = 0;

    if (count == 0) {
        return 0;
    }
    qsort(days, count, sizeof(*days), compare_days);
    for (size_t i = 1; i < count; i++) {
        /* the day after the last one continues the range */
        if ((int64_t) days[i].first <= (int64_t) days[kept].last + 1) {
            if (days[i].last > days[kept].last) {
                days[kept].last = days[i].last;
            }
        } else {
            days[++kept] = days[i];
        }
    }
    return kept + 1;
}

static int
compare_users(const void *left, const void *right)
{
    const slice_t *a = left;
    const slice_t *b = right;
    int order = memcmp(a->data, b->data, a->size < b->size ? a->size : b->size);

    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

size_t
language_sort_users(slice_t *users, size_t count)
{
    size_t kept = 0;

    if (count == 0) {
        return 0;
    }
    qsort(users, count, sizeof(*users), compare_users);
    for (size_t i = 1; i < count; i++) {
        if (!slice_equal(users[i], users[kept])) {
            users[++kept] = users[i];
        }
    }
    return kept + 1;
}

bool
language_duration(language_t *language, const conf_directive_t *directive,
                  uint32_t word, uint32_t *seconds)
{
    slice_t text = directive->words[word].text;
    report_place_t place = conf_place(directive, word);
    char quote[CONF_QUOTE_MAX];
    uint64_t value;

    if (!value_duration(text, &value)) {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" is no time span: write one number and s, m, h "
                       "or d, as 90m",
                       conf_quote(text, quote));
        return false;
    }
    if (value == 0 || value > DURATION_MAX) {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" is out of bounds: write 1s to %ud",
                       conf_quote(text, quote), DURATION_MAX / 86400);
        return false;
    }
    *seconds = (uint32_t) value;
    return true;
}

const char *
language_path(language_t *language, const conf_directive_t *directive,
              uint32_t word)
{
    slice_t name = directive->words[word].text;
    slice_t folder = {directive->file, 0};
    const char *slash = strrchr(directive->file, '/');
    char *path;

    if (slash != NULL && !(name.size > 0 && name.data[0] == '/')) {
        folder.size = (size_t) (slash - directive->file) + 1;
    }
    path = conf_alloc(language->conf, folder.size + name.size + 1);
    if (path == NULL) {
        language->out_of_memory = true;
        return NULL;
    }
    memcpy(path, folder.data, folder.size);
    memcpy(path + folder.size, name.data, name.size);
    return path;
}
