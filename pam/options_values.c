/* Each option: its values, and what to write instead of a wrong one. */

#define _GNU_SOURCE
#include "options_internal.h"

#include "../lib/base/clock.h"
#include "../lib/base/value.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

bool
option_text(char *to, size_t capacity, slice_t value)
{
    if (value.size >= capacity) {
        return false;
    }
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char) value.data[i];

        if (c < 0x20 || c == 0x7f) {
            return false;
        }
    }
    if (value.size > 0) {
        memcpy(to, value.data, value.size);
    }
    to[value.size] = '\0';
    return true;
}

static bool
read_number(slice_t value, uint64_t low, uint64_t high, uint64_t *number)
{
    uint64_t result = 0;

    if (value.size == 0 || value.size > 9) {
        return false;
    }
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return false;
        }
        result = result * 10 + (uint64_t) (value.data[i] - '0');
    }
    *number = result;
    return result >= low && result <= high;
}

static const char *
read_switch(slice_t value, const char *off, const char *on, bool *result)
{
    if (slice_is(value, on)) {
        *result = true;
    } else if (slice_is(value, off)) {
        *result = false;
    } else {
        return "write one of the two words that pam_sekisho(8) gives";
    }
    return NULL;
}

bool
option_is_path(slice_t value)
{
    return value.size > 1 && value.data[0] == '/' &&
           memmem(value.data, value.size, "/../", 4) == NULL &&
           (value.size < 3 ||
            memcmp(value.data + value.size - 3, "/..", 3) != 0);
}

static const char *
set_prompt(options_t *options, slice_t value)
{
    return value.size > 0 &&
                   option_text(options->prompt, OPTIONS_TEXT_MAX, value)
               ? NULL
               : "write a text of 1 to 159 bytes, as \"Code: \"";
}

static const char *
set_password_prompt(options_t *options, slice_t value)
{
    return value.size > 0 && option_text(options->password_prompt,
                                         OPTIONS_TEXT_MAX, value)
               ? NULL
               : "write a text of 1 to 159 bytes, as \"Password and code: \"";
}

static const char *
set_timeout(options_t *options, slice_t value)
{
    uint64_t seconds;

    if (!value_duration(value, &seconds) || seconds < 1 ||
        seconds > OPTIONS_SECONDS_MAX)
    {
        return "write a time span between 1s and 300s, as 5s";
    }
    options->timeout_seconds = (uint32_t) seconds;
    return NULL;
}

static const char *
set_digits(options_t *options, slice_t value)
{
    uint64_t number;

    if (!read_number(value, 6, 8, &number)) {
        return "write 6, 7 or 8";
    }
    options->digits = (uint32_t) number;
    return NULL;
}

static const char *
set_one_prompt(options_t *options, slice_t value)
{
    return read_switch(value, "off", "on", &options->one_prompt);
}

static const char *
set_enroll(options_t *options, slice_t value)
{
    return read_switch(value, "off", "on", &options->enroll);
}

static const char *
set_skip(options_t *options, slice_t value)
{
    return read_switch(value, "off", "on", &options->skip_for_publickey);
}

static const char *
set_unavailable(options_t *options, slice_t value)
{
    return read_switch(value, "deny", "ignore", &options->unavailable_ignore);
}

static const char *
set_record(options_t *options, slice_t value)
{
    return read_switch(value, "wanted", "required", &options->record_required);
}

static const char *
set_grace(options_t *options, slice_t value)
{
    uint64_t number;

    if (slice_is(value, "off")) {
        options->grace = GRACE_NONE;
    } else if (clock_parse_day(value, &options->grace_day)) {
        options->grace = GRACE_DAY;
    } else if (read_number(value, 1, 1000, &number)) {
        options->grace = GRACE_LOGINS;
        options->grace_logins = number;
    } else {
        return "write a day as 2026-12-31, a number of logins between 1 and "
               "1000, or off";
    }
    return NULL;
}

static const char *
set_place(options_t *options, slice_t value)
{
    static const char *const names[] = {"auto", "off", "on", "ssh", "desktop"};

    for (unsigned i = 0; i < COUNT(names); i++) {
        if (slice_is(value, names[i])) {
            options->place = (place_t) i;
            return NULL;
        }
    }
    return "write auto, off, on, ssh or desktop";
}

static const char *
set_qr(options_t *options, slice_t value)
{
    static const char *const names[] = {"auto", "on", "off"};

    for (unsigned i = 0; i < COUNT(names); i++) {
        if (slice_is(value, names[i])) {
            options->qr = (qr_t) i;
            return NULL;
        }
    }
    return "write auto, on or off";
}

static const char *
set_socket(options_t *options, slice_t value)
{
    return option_is_path(value) &&
                   option_text(options->socket, sizeof(options->socket), value)
               ? NULL
               : "write an absolute path of at most 107 bytes";
}

static const char *
set_emergency(options_t *options, slice_t value)
{
    if (slice_is(value, "off")) {
        options->emergency[0] = '\0';
        return NULL;
    }
    return option_is_path(value) &&
                   option_text(options->emergency, OPTIONS_PATH_MAX, value)
               ? NULL
               : "write the absolute path of their folder, or off";
}

static const char *
set_sessions(options_t *options, slice_t value)
{
    return option_is_path(value) &&
                   option_text(options->sessions, OPTIONS_PATH_MAX, value)
               ? NULL
               : "write the absolute path of a folder of root's";
}

/* Below the home, and every part of it a name. */
static bool
is_wipe(slice_t value)
{
    slice_t rest;

    if (!slice_starts(value, SLICE("~/"))) {
        return false;
    }
    rest = slice_from(value, 2);
    for (;;) {
        const char *end = memchr(rest.data, '/', rest.size);
        size_t size = end == NULL ? rest.size : (size_t) (end - rest.data);

        if (size == 0 || (size == 1 && rest.data[0] == '.') ||
            (size == 2 && memcmp(rest.data, "..", 2) == 0))
        {
            return false;
        }
        if (end == NULL) {
            return true;
        }
        rest = slice_from(rest, size + 1);
    }
}

static const char *
set_wipe(options_t *options, slice_t value)
{
    if (options->wipes_count == OPTIONS_WIPES_MAX) {
        return "leave some out: at most 32 are taken";
    }
    if (!is_wipe(value) || !option_text(options->wipes[options->wipes_count],
                                        OPTIONS_PATH_MAX, slice_from(value, 2)))
    {
        return "write what is below the home, as ~/Downloads, without . or ..";
    }
    options->wipes_count++;
    return NULL;
}

static const char *
set_wipe_from_uid(options_t *options, slice_t value)
{
    uint64_t number;

    if (!read_number(value, 1, 999999999, &number)) {
        return "write a user id above 0, as 1000";
    }
    options->wipe_from_uid = (uint32_t) number;
    return NULL;
}

static const char *
set_wipe_time(options_t *options, slice_t value)
{
    uint64_t seconds;

    if (!value_duration(value, &seconds) || seconds < 1 ||
        seconds > OPTIONS_SECONDS_MAX)
    {
        return "write a time span between 1s and 300s, as 60s";
    }
    options->wipe_seconds = (uint32_t) seconds;
    return NULL;
}

const option_kind_t option_kinds[] = {
    {"prompt", NULL, 1, set_prompt},
    {"password-prompt", NULL, 1, set_password_prompt},
    {"timeout", NULL, 1, set_timeout},
    {"one-prompt", "on", 1, set_one_prompt},
    {"digits", NULL, 1, set_digits},
    {"grace", NULL, 1, set_grace},
    {"enroll", "on", 1, set_enroll},
    {"skip-for-publickey", "on", 1, set_skip},
    {"unavailable", NULL, 1, set_unavailable},
    {"place", NULL, 1, set_place},
    {"qr", NULL, 1, set_qr},
    {"socket", NULL, 1, set_socket},
    {"emergency", NULL, 1, set_emergency},
    {"sessions", NULL, 1, set_sessions},
    {"record", NULL, 1, set_record},
    {"wipe", NULL, OPTIONS_WIPES_MAX, set_wipe},
    {"wipe-from-uid", NULL, 1, set_wipe_from_uid},
    {"wipe-time", NULL, 1, set_wipe_time},
};

const size_t option_kinds_count = sizeof(option_kinds) /
                                  sizeof(option_kinds[0]);
