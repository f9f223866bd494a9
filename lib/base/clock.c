#include "clock.h"

#include <stdio.h>

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar, with
 * years counted from March so that the leap day is the last of its year. */
static int64_t
days_of(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t month_from_march = (int64_t) (month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 -
           year_of_era / 100 + day_of_year - 719468;
}

static void
date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
                           day_of_era / 146096) /
                          365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 -
                                        year_of_era / 100);
    int64_t m = (5 * day_of_year + 2) / 153;

    *day = (unsigned) (day_of_year - (153 * m + 2) / 5 + 1);
    *month = (unsigned) (m < 10 ? m + 3 : m - 9);
    *year = year_of_era + era * 400 + (*month <= 2 ? 1 : 0);
}

/* Exactly `digits` digits at the start of *text, which is moved on. */
static bool
take_number(slice_t *text, size_t digits, unsigned *value)
{
    if (text->size < digits) {
        return false;
    }
    *value = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = text->data[i];

        if (c < '0' || c > '9') {
            return false;
        }
        *value = *value * 10 + (unsigned) (c - '0');
    }
    *text = slice_from(*text, digits);
    return true;
}

static bool
take_char(slice_t *text, char c)
{
    if (text->size == 0 || text->data[0] != c) {
        return false;
    }
    *text = slice_from(*text, 1);
    return true;
}

static bool
take_date(slice_t *text, int64_t *days)
{
    unsigned year, month, day;
    int64_t year_back;
    unsigned month_back, day_back;

    if (!take_number(text, 4, &year) || !take_char(text, '-') ||
        !take_number(text, 2, &month) || !take_char(text, '-') ||
        !take_number(text, 2, &day) || month < 1 || month > 12 || day < 1 ||
        day > 31)
    {
        return false;
    }
    *days = days_of(year, month, day);
    /* 30 February is a day in March, and no date */
    date_of(*days, &year_back, &month_back, &day_back);
    return day_back == day && month_back == month;
}

static bool
take_offset(slice_t *text, int64_t *seconds)
{
    unsigned hours, minutes;
    bool west = text->size > 0 && text->data[0] == '-';

    if (take_char(text, 'Z') || take_char(text, 'z')) {
        *seconds = 0;
        return true;
    }
    if (!(take_char(text, '+') || take_char(text, '-')) ||
        !take_number(text, 2, &hours) || !take_char(text, ':') ||
        !take_number(text, 2, &minutes) || hours > 23 || minutes > 59)
    {
        return false;
    }
    *seconds = (int64_t) (hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return true;
}

static bool
parse_unix(slice_t text, int64_t *unix_seconds)
{
    bool negative = take_char(&text, '-');
    int64_t value = 0;

    if (text.size == 0 || text.size > 12) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (text.data[i] - '0');
    }
    *unix_seconds = negative ? -value : value;
    return true;
}

bool
clock_parse(slice_t text, int64_t *unix_seconds, bool *local)
{
    int64_t days, offset = 0;
    unsigned hour, minute, second = 0;

    *local = false;
    if (take_char(&text, '@')) {
        return parse_unix(text, unix_seconds);
    }
    if (!take_date(&text, &days) ||
        !(take_char(&text, 'T') || take_char(&text, 't') ||
          take_char(&text, ' ')) ||
        !take_number(&text, 2, &hour) || !take_char(&text, ':') ||
        !take_number(&text, 2, &minute))
    {
        return false;
    }
    if (take_char(&text, ':')) {
        if (!take_number(&text, 2, &second)) {
            return false;
        }
        if (take_char(&text, '.')) {
            unsigned digit;
            size_t digits = 0;

            while (take_number(&text, 1, &digit)) {
                digits++;
            }
            if (digits == 0) {
                return false;
            }
        }
    }
    /* 60: a leap second, counted as POSIX does, into the next minute */
    if (hour > 23 || minute > 59 || second > 60) {
        return false;
    }
    *local = text.size == 0;
    if (!*local && (!take_offset(&text, &offset) || text.size != 0)) {
        return false;
    }
    *unix_seconds = days * 86400 +
                    (int64_t) (hour * 3600 + minute * 60 + second) - offset;
    return true;
}

size_t
clock_format_day(int32_t day, char text[CLOCK_TEXT_MAX])
{
    int64_t year;
    unsigned month, day_of_month;

    date_of(day, &year, &month, &day_of_month);
    return (size_t) snprintf(text, CLOCK_TEXT_MAX, "%04lld-%02u-%02u",
                             (long long) year, month, day_of_month);
}

bool
clock_parse_day(slice_t text, int32_t *day)
{
    int64_t days;

    if (!take_date(&text, &days) || text.size != 0) {
        return false;
    }
    *day = (int32_t) days;
    return true;
}

size_t
clock_format(int64_t unix_seconds, int32_t offset_seconds,
             char text[CLOCK_TEXT_MAX])
{
    int64_t local = unix_seconds + offset_seconds;
    int64_t days = (local >= 0 ? local : local - 86399) / 86400;
    int64_t of_day = local - days * 86400;
    int32_t minutes = offset_seconds / 60;
    size_t size;

    /* the four digits of RFC 3339's year are the bound of this format */
    if (days < -719528) {
        days = -719528;
        of_day = 0;
    }
    if (days > 2932896) {
        days = 2932896;
        of_day = 86399;
    }
    size = clock_format_day((int32_t) days, text);
    size += (size_t) snprintf(text + size, CLOCK_TEXT_MAX - size,
                              "T%02d:%02d:%02d", (int) (of_day / 3600),
                              (int) (of_day / 60 % 60), (int) (of_day % 60));
    if (offset_seconds == 0) {
        size += (size_t) snprintf(text + size, CLOCK_TEXT_MAX - size, "Z");
    } else {
        int32_t magnitude = minutes < 0 ? -minutes : minutes;

        size += (size_t) snprintf(text + size, CLOCK_TEXT_MAX - size,
                                  "%c%02d:%02d", minutes < 0 ? '-' : '+',
                                  (int) (magnitude / 60 % 100),
                                  (int) (magnitude % 60));
    }
    return size;
}
