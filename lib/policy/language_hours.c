#define _GNU_SOURCE
#include "language_internal.h"

#include <stdlib.h>

#include "../base/wipe.h"

#define DAY_MINUTES  1440
#define WEEK_MINUTES 10080
#define DAYS_ALL     0x7fu

/* A window and the word that it comes from. */
typedef struct {
    policy_window_t window;
    const conf_directive_t *directive;
    uint32_t word;
} placed_t;

typedef struct {
    language_t *language;
    placed_t *placed;
    size_t count;
} hours_t;

static const char *const day_names[7] = {"mon", "tue", "wed", "thu",
                                         "fri", "sat", "sun"};

static int
day_index(slice_t name)
{
    for (int i = 0; i < 7; i++) {
        if (slice_is(name, day_names[i])) {
            return i;
        }
    }
    return -1;
}

/* "Monday", "MON": what was meant is not in doubt, but it is not written so. */
static const char *
day_meant(slice_t name)
{
    if (name.size < 3) {
        return NULL;
    }
    for (size_t i = 0; i < 7; i++) {
        if (strncasecmp(name.data, day_names[i], 3) == 0) {
            return day_names[i];
        }
    }
    return NULL;
}

/* The part of *text before `separator`, and the rest behind it. */
static slice_t
take_part(slice_t *text, char separator, bool *more)
{
    const char *at = text->size == 0
                         ? NULL
                         : memchr(text->data, separator, text->size);
    slice_t part = *text;

    *more = at != NULL;
    if (at != NULL) {
        part.size = (size_t) (at - text->data);
        *text = slice_from(*text, part.size + 1);
    } else {
        *text = slice_from(*text, text->size);
    }
    return part;
}

/* mon..sun, ranges (fri-mon too), lists with commas, `daily` -> bits. */
static bool
parse_days(language_t *language, const conf_directive_t *directive,
           uint32_t word, unsigned *days)
{
    slice_t text = directive->words[word].text;
    report_place_t place = conf_place(directive, word);
    char quote[CONF_QUOTE_MAX], part_quote[CONF_QUOTE_MAX];
    bool more = true;

    *days = 0;
    if (slice_is(text, "daily")) {
        *days = DAYS_ALL;
        return true;
    }
    (void) conf_quote(text, quote);
    while (more) {
        slice_t range = take_part(&text, ',', &more);
        bool is_range, too_many = false;
        slice_t first = take_part(&range, '-', &is_range);
        slice_t last = is_range ? take_part(&range, '-', &too_many) : first;
        int from = day_index(first);
        int to = day_index(last);
        slice_t wrong = from < 0 ? first : last;
        const char *meant;

        if (from >= 0 && to >= 0 && !too_many) {
            for (int i = from;; i = (i + 1) % 7) {
                *days |= 1u << i;
                if (i == to) {
                    break;
                }
            }
            continue;
        }
        meant = too_many ? NULL : day_meant(wrong);
        if (meant != NULL) {
            LANGUAGE_ERROR(language, place,
                           "\"%s\" is no day of the week: write %s",
                           conf_quote(wrong, part_quote), meant);
        } else {
            LANGUAGE_ERROR(language, place,
                           "\"%s\" are no days of the week: write mon, "
                           "mon-fri, sat,sun or daily",
                           quote);
        }
        return false;
    }
    return true;
}

/* "HH:MM" -> minutes; 24:00 is the last of them. */
static bool
parse_time(const char *text, unsigned *minutes)
{
    for (int i = 0; i < 5; i++) {
        if (i == 2 ? text[i] != ':' : text[i] < '0' || text[i] > '9') {
            return false;
        }
    }
    *minutes = (unsigned) ((text[0] - '0') * 10 + text[1] - '0') * 60 +
               (unsigned) ((text[3] - '0') * 10 + text[4] - '0');
    return text[3] < '6' && *minutes <= DAY_MINUTES;
}

static bool
parse_times(language_t *language, const conf_directive_t *directive,
            uint32_t word, unsigned *start, unsigned *end)
{
    slice_t text = directive->words[word].text;
    report_place_t place = conf_place(directive, word);
    char quote[CONF_QUOTE_MAX];

    (void) conf_quote(text, quote);
    if (text.size != 11 || text.data[5] != '-' ||
        !parse_time(text.data, start) || !parse_time(text.data + 6, end))
    {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" is no span of hours: write HH:MM-HH:MM, as "
                       "08:00-19:00",
                       quote);
        return false;
    }
    if (*start == *end) {
        LANGUAGE_ERROR(language, place,
                       "empty hours \"%s\": write 00:00-24:00 for the whole "
                       "day",
                       quote);
        return false;
    }
    if (*start == DAY_MINUTES) {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" starts at 24:00: write 00:00 on the next day",
                       quote);
        return false;
    }
    /* over midnight; it still belongs to the day it starts */
    if (*end < *start) {
        *end += DAY_MINUTES;
    }
    return true;
}

static void
read_line(hours_t *hours, const conf_directive_t *directive)
{
    language_t *language = hours->language;
    unsigned days = 0;
    uint32_t days_word = 0; /* 0: there was none */
    bool has_times = false;
    bool bad = false; /* days that could not be read: their times are skipped */
    char quote[CONF_QUOTE_MAX];

    for (uint32_t i = 1; i <= directive->words_count; i++) {
        slice_t text = i < directive->words_count ? directive->words[i].text
                                                  : SLICE("");
        bool times = text.size > 0 && text.data[0] >= '0' &&
                     text.data[0] <= '9';
        unsigned start, end;

        if (!times && days_word != 0 && !has_times && !bad) {
            LANGUAGE_ERROR(language, conf_place(directive, days_word),
                           "\"%s\" has no hours: write %s 08:00-19:00",
                           conf_quote(directive->words[days_word].text, quote),
                           quote);
        }
        if (i == directive->words_count) {
            break;
        }
        if (!times) {
            bad = !parse_days(language, directive, i, &days);
            days_word = i;
            has_times = false;
            continue;
        }
        if (!parse_times(language, directive, i, &start, &end)) {
            has_times = true;
            continue;
        }
        if (days_word == 0) {
            LANGUAGE_ERROR(language, conf_place(directive, i),
                           "\"%s\" has no days before it: write daily %s, or "
                           "mon-fri %s",
                           conf_quote(text, quote), quote, quote);
            return;
        }
        has_times = true;
        for (unsigned day = 0; !bad && day < 7; day++) {
            if ((days & 1u << day) == 0) {
                continue;
            }
            hours->placed[hours->count++] = (placed_t){
                .window = {(uint16_t) (day * DAY_MINUTES + start),
                           (uint16_t) (day * DAY_MINUTES + end)},
                .directive = directive,
                .word = i};
        }
    }
}

/* Whether `a` stands after `b` in the file. */
static bool
is_later(const placed_t *a, const placed_t *b)
{
    const conf_word_t *first = &a->directive->words[a->word];
    const conf_word_t *second = &b->directive->words[b->word];

    return first->line != second->line ? first->line > second->line
                                       : first->column > second->column;
}

static int
compare_placed(const void *left, const void *right)
{
    const placed_t *a = left;
    const placed_t *b = right;

    if (a->window.start != b->window.start) {
        return a->window.start < b->window.start ? -1 : 1;
    }
    if (a->window.end != b->window.end) {
        return a->window.end < b->window.end ? -1 : 1;
    }
    return is_later(a, b) - is_later(b, a);
}

static void
warn_overlap(hours_t *hours, const placed_t *a, const placed_t *b,
             placed_t *told)
{
    const placed_t *later = b;
    const placed_t *other = a;
    char quote[CONF_QUOTE_MAX], other_quote[CONF_QUOTE_MAX];

    if (is_later(a, b)) {
        later = a;
        other = b;
    }
    /* `daily` overlaps on seven days: once is enough */
    if (told->directive == later->directive && told->word == later->word) {
        return;
    }
    *told = *later;
    LANGUAGE_WARNING(
        hours->language, conf_place(later->directive, later->word),
        "\"%s\" overlaps \"%s\": they add up; write them as one "
        "to be clear",
        conf_quote(later->directive->words[later->word].text, quote),
        conf_quote(other->directive->words[other->word].text, other_quote));
}

/* Sorts, warns, and joins what meets and starts on one day. */
static void
merge(hours_t *hours)
{
    placed_t *placed = hours->placed;
    placed_t told = {0}; /* a copy: the list is moved together below */
    placed_t *last;
    size_t kept = 0;

    qsort(placed, hours->count, sizeof(*placed), compare_placed);
    for (size_t i = 1; i < hours->count; i++) {
        policy_window_t *before = &placed[kept].window;
        const policy_window_t *window = &placed[i].window;

        if (window->start < before->end) {
            warn_overlap(hours, &placed[kept], &placed[i], &told);
        }
        if (window->start <= before->end &&
            window->start / DAY_MINUTES == before->start / DAY_MINUTES)
        {
            if (window->end > before->end) {
                before->end = window->end;
            }
        } else {
            placed[++kept] = placed[i];
        }
    }
    hours->count = kept + 1;

    /* Sunday's night runs into Monday, which is the first of the list */
    last = &placed[kept];
    if (placed[0].window.start + WEEK_MINUTES < last->window.end) {
        warn_overlap(hours, last, &placed[0], &told);
    }
}

void
language_hours(language_t *language, const conf_directive_t *const *directives,
               size_t count, policy_window_t **windows, size_t *windows_count)
{
    _cleanup_(cleanup_free) placed_t *placed = NULL;
    hours_t hours = {.language = language};
    size_t words = 0;

    *windows = NULL;
    *windows_count = 0;
    for (size_t i = 0; i < count; i++) {
        words += directives[i]->words_count;
    }
    if (words > POLICY_LIST_MAX) {
        LANGUAGE_ERROR(language, conf_place(directives[0], 0),
                       "%zu words of hours: at most %u are read", words,
                       POLICY_LIST_MAX);
        return;
    }
    placed = reallocarray(NULL, words + 1, 7 * sizeof(*placed));
    if (placed == NULL) {
        language->out_of_memory = true;
        return;
    }
    hours.placed = placed;
    for (size_t i = 0; i < count; i++) {
        read_line(&hours, directives[i]);
    }
    if (hours.count == 0) {
        return; /* an error told why */
    }
    merge(&hours);
    *windows = language_array(language, hours.count, sizeof(**windows));
    if (*windows == NULL) {
        return;
    }
    for (size_t i = 0; i < hours.count; i++) {
        (*windows)[i] = placed[i].window;
    }
    *windows_count = hours.count;
}
