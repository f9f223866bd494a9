/* Hours by the policy, and by habit. */

#include "findings_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "../policy/decide.h"

#define DAY_MINUTES     1440
#define WEEK_MINUTES    10080
#define ALL_HOURS       0xffffffu
#define ONCE_IS_NOTHING 5      /* days */
#define MAD_SIGMA       1.4826 /* a normal distribution's deviation over its MAD */

/* ---- By the policy -------------------------------------------------------*/

static bool
is_closed(const policy_image_t *policy, uint32_t facility, int64_t day)
{
    int32_t first, last;

    for (uint32_t i = 0;
         policy_facility_closed(policy, facility, i, &first, &last); i++)
    {
        if (day >= first && day <= last) {
            return true;
        }
    }
    return false;
}

int
policy_off_hours(const policy_image_t *policy, uint32_t facility,
                 int64_t unix_ms)
{
    policy_facility_t about;
    int64_t seconds = unix_ms / 1000, day;
    uint32_t minute, weekday;
    uint16_t start, end;

    if (policy == NULL || facility == POLICY_NO_FACILITY || unix_ms < 0 ||
        !policy_facility(policy, facility, &about) ||
        (!about.has_hours && about.closed_count == 0))
    {
        return -1;
    }
    seconds += policy_facility_offset(policy, facility, seconds);
    day = seconds / 86400;
    weekday = (uint32_t) ((day + 3) % 7); /* 1970-01-01 was a Thursday */
    minute = weekday * DAY_MINUTES + (uint32_t) (seconds % 86400 / 60);
    if (!about.has_hours) {
        return is_closed(policy, facility, day) ? 1 : -1;
    }
    for (uint32_t i = 0;
         policy_facility_hours(policy, facility, i, &start, &end); i++)
    {
        /* what runs over Sunday's midnight began in the week before */
        for (uint32_t m = minute; m <= minute + WEEK_MINUTES; m += WEEK_MINUTES)
        {
            if (m >= start && m < end &&
                !is_closed(
                    policy, facility,
                    day - (int64_t) (m / DAY_MINUTES - start / DAY_MINUTES)))
            {
                return 0;
            }
        }
    }
    return 1;
}

/* ---- By habit ------------------------------------------------------------*/

static size_t
ring_size(const run_t *run)
{
    return (size_t) run->settings->history_days + 1;
}

static habit_day_t *
day_slot(const run_t *run, const habit_t *habit, int32_t day)
{
    int64_t size = (int64_t) ring_size(run);
    int64_t place = day % size;

    return &habit->days[place < 0 ? place + size : place];
}

int
habit_note(run_t *run, habit_t *habit, int32_t day, unsigned hour,
           uint32_t count)
{
    habit_day_t *slot;

    if (habit->days == NULL) {
        habit->days = memory_take(&run->memory,
                                  ring_size(run) * sizeof(*habit->days));
        if (habit->days == NULL) {
            return -ENOMEM;
        }
    }
    if (!habit->begun || day < habit->first_day) {
        habit->first_day = day;
        habit->begun = true;
    }
    slot = day_slot(run, habit, day);
    if (slot->day != day) {
        if (slot->hours != 0 && slot->day > day) {
            return 0; /* long before all that is kept */
        }
        *slot = (habit_day_t){.day = day};
    }
    slot->hours |= 1u << hour;
    slot->count += count;
    return 0;
}

bool
habit_known(const run_t *run, const habit_t *habit, int32_t day)
{
    return habit->begun &&
           day - habit->first_day >= (int64_t) run->settings->learn_days;
}

/* 0 for Monday to Friday, 1 Saturday, 2 Sunday. */
static unsigned
kind_of_day(int32_t day)
{
    int32_t weekday = (day % 7 + 10) % 7; /* from Monday */

    return weekday < 5 ? 0 : (unsigned) weekday - 4;
}

/* The hours of the day that are usual, a bit each; `*any`: there was such a
 * day. */
static uint32_t
usual_hours(const run_t *run, const habit_t *habit, int32_t day, bool any_day,
            bool *any)
{
    uint64_t active[24] = {0}, all = 0;
    int32_t first = day - (int32_t) run->settings->history_days;
    uint32_t usual = 0;

    first = first < habit->first_day ? habit->first_day : first;
    for (int32_t past = first; past < day; past++) {
        const habit_day_t *slot = day_slot(run, habit, past);

        if (!any_day && kind_of_day(past) != kind_of_day(day)) {
            continue;
        }
        all++;
        for (unsigned hour = 0; slot->day == past && hour < 24; hour++) {
            active[hour] += slot->hours >> hour & 1;
        }
    }
    for (unsigned hour = 0; hour < 24; hour++) {
        /* once is no habit, however short the history: the second misdeed
         * must not be excused by the first */
        if (active[hour] > (all >= ONCE_IS_NOTHING ? 1 : 0) &&
            active[hour] * 100 >= all * run->settings->off_hours.share)
        {
            usual |= 1u << hour;
        }
    }
    *any = all > 0;
    return usual;
}

/* Each hour with those beside it. */
static uint32_t
widen(uint32_t hours, uint64_t margin)
{
    uint32_t wide = hours;

    for (; margin > 0; margin--) {
        wide |= (wide << 1 | wide >> 1 | wide >> 23 | wide << 23) & ALL_HOURS;
    }
    return wide;
}

bool
habit_unusual(run_t *run, habit_t *habit, int32_t day, unsigned hour,
              bool any_day)
{
    bool any;

    if (!habit->begun) {
        return false;
    }
    if (!habit->asked || habit->asked_day != day) {
        habit->asked = true;
        habit->asked_day = day;
        habit->usual = widen(usual_hours(run, habit, day, any_day, &any),
                             run->settings->off_hours.margin);
        if (!any) {
            habit->usual = ALL_HOURS;
        }
    }
    return (habit->usual >> hour & 1) == 0;
}

static int
compare_counts(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *) a, second = *(const uint32_t *) b;

    return (first > second) - (first < second);
}

bool
habit_volume(run_t *run, const habit_t *habit, int32_t day, uint64_t *median,
             uint64_t *limit)
{
    uint32_t counts[HABIT_DAYS_MAX + 1];
    size_t count = 0;
    double deviation, above;

    if (!habit->begun) {
        return false;
    }
    for (int32_t past = day - (int32_t) run->settings->history_days; past < day;
         past++)
    {
        const habit_day_t *slot = day_slot(run, habit, past);

        if (slot->day == past && slot->count > 0) {
            counts[count++] = slot->count;
        }
    }
    if (count == 0 || count < run->settings->learn_days) {
        return false;
    }
    qsort(counts, count, sizeof(counts[0]), compare_counts);
    *median = counts[count / 2];
    for (size_t i = 0; i < count; i++) {
        counts[i] = counts[i] > *median ? counts[i] - (uint32_t) *median
                                        : (uint32_t) *median - counts[i];
    }
    qsort(counts, count, sizeof(counts[0]), compare_counts);
    deviation = counts[count / 2] * MAD_SIGMA;
    /* who does the same every day is not odd for one more */
    if (deviation < (double) *median / 4) {
        deviation = (double) *median / 4;
    }
    deviation = deviation < 2 ? 2 : deviation;
    above = (double) *median +
            deviation * (double) run->settings->volume.factor;
    *limit = (uint64_t) above;
    if (*limit < run->settings->volume.minimum) {
        *limit = run->settings->volume.minimum;
    }
    return true;
}
