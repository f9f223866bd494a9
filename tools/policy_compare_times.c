/* Hours, holidays and validity of a facility, compared as sets of minutes and
 * of days. */

#include "policy_compare.h"

#include <errno.h>

#include "../lib/base/wipe.h"


typedef struct {
    int64_t start, end; /* end exclusive */
} interval_t;

typedef struct {
    interval_t *items;
    size_t count;
} intervals_t;


static void
cleanup_intervals(intervals_t *set)
{
    free(set->items);
}


static int
compare_intervals(const void *left, const void *right)
{
    const interval_t *a = left, *b = right;

    return (a->start > b->start) - (a->start < b->start);
}


static void
normalize(intervals_t *set)
{
    size_t kept = 0;

    if (set->count == 0) {
        return;
    }
    qsort(set->items, set->count, sizeof(*set->items), compare_intervals);
    for (size_t i = 1; i < set->count; i++) {
        if (set->items[i].start <= set->items[kept].end) {
            if (set->items[i].end > set->items[kept].end) {
                set->items[kept].end = set->items[i].end;
            }
        } else {
            set->items[++kept] = set->items[i];
        }
    }
    set->count = kept + 1;
}


/* What is in `a` and not in `b`, both normalized. */
static int
subtract(const intervals_t *a, const intervals_t *b, intervals_t *left)
{
    size_t j = 0;

    left->count = 0;
    left->items = calloc(a->count + b->count + 1, sizeof(*left->items));
    if (left->items == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < a->count; i++) {
        interval_t rest = a->items[i];

        while (j < b->count && b->items[j].end <= rest.start) {
            j++;
        }
        for (size_t k = j; k < b->count && b->items[k].start < rest.end; k++) {
            if (b->items[k].start > rest.start) {
                left->items[left->count++] = (interval_t){rest.start,
                                                          b->items[k].start};
            }
            rest.start = b->items[k].end;
        }
        if (rest.start < rest.end) {
            left->items[left->count++] = rest;
        }
    }
    return 0;
}


static int
hours_of(const policy_image_t *image, uint32_t index, intervals_t *set)
{
    _cleanup_(cleanup_free) policy_window_t *windows = NULL;
    size_t count;

    windows = facility_windows(image, index, &count);
    set->count = 0;
    set->items = calloc(2 * count + 1, sizeof(*set->items));
    if (windows == NULL || set->items == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t start = windows[i].start, end = windows[i].end;

        if (end > MINUTES_OF_WEEK) {
            set->items[set->count++] = (interval_t){0, end - MINUTES_OF_WEEK};
            end = MINUTES_OF_WEEK;
        }
        set->items[set->count++] = (interval_t){start, end};
    }
    normalize(set);
    return 0;
}


static int
closed_of(const policy_image_t *image, uint32_t index, uint32_t count,
          intervals_t *set)
{
    set->count = 0;
    set->items = calloc((size_t) count + 1, sizeof(*set->items));
    if (set->items == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        int32_t first, last;

        if (policy_facility_closed(image, index, i, &first, &last)) {
            set->items[set->count++] = (interval_t){first, (int64_t) last + 1};
        }
    }
    normalize(set);
    return 0;
}


static int
tell_hours(versions_t *v, const intervals_t *set, effect_t effect)
{
    _cleanup_(cleanup_free) policy_window_t *windows = NULL;
    size_t count = 0;
    FILE *out;

    if (set->count == 0) {
        return 0;
    }
    windows = calloc(set->count * 8, sizeof(*windows));
    if (windows == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < set->count; i++) {
        int64_t start = set->items[i].start, end = set->items[i].end;

        /* what is longer than a day reads best day by day */
        while (end - start > MINUTES_OF_DAY) {
            int64_t midnight = (start / MINUTES_OF_DAY + 1) * MINUTES_OF_DAY;

            windows[count++] = (policy_window_t){(uint16_t) start,
                                                 (uint16_t) midnight};
            start = midnight;
        }
        windows[count++] = (policy_window_t){(uint16_t) start, (uint16_t) end};
    }
    out = versions_begin(v);
    write_id(out, v->id);
    fputs(effect == EFFECT_GAIN ? " is now also open " : " is no longer open ",
          out);
    write_windows(out, windows, count);
    versions_tell(v, effect, "hours");
    return 0;
}


static void
tell_closed(versions_t *v, const intervals_t *set, effect_t effect)
{
    for (size_t i = 0; i < set->count; i++) {
        FILE *out = versions_begin(v);

        write_id(out, v->id);
        fputs(effect == EFFECT_LOSS ? " is now closed on "
                                    : " is no longer closed on ",
              out);
        write_days(out, (int32_t) set->items[i].start,
                   (int32_t) (set->items[i].end - 1));
        versions_tell(v, effect, "closed");
    }
}


static void
compare_valid(versions_t *v)
{
    bool longer = v->after.valid_from < v->before.valid_from ||
                  v->after.valid_to > v->before.valid_to;
    bool shorter = v->after.valid_from > v->before.valid_from ||
                   v->after.valid_to < v->before.valid_to;
    FILE *out;

    if (!longer && !shorter) {
        return;
    }
    out = versions_begin(v);
    write_id(out, v->id);
    fputs(" is now valid ", out);
    write_valid(out, v->after.valid_from, v->after.valid_to);
    fputs(" (was: ", out);
    write_valid(out, v->before.valid_from, v->before.valid_to);
    fputc(')', out);
    versions_tell(v,
                  longer && shorter ? EFFECT_OTHER
                  : longer          ? EFFECT_GAIN
                                    : EFFECT_LOSS,
                  "valid");
}


int
compare_times(versions_t *v)
{
    _cleanup_(cleanup_intervals) intervals_t before = {NULL, 0};
    _cleanup_(cleanup_intervals) intervals_t after = {NULL, 0};
    _cleanup_(cleanup_intervals) intervals_t lost = {NULL, 0};
    _cleanup_(cleanup_intervals) intervals_t gained = {NULL, 0};
    _cleanup_(cleanup_intervals) intervals_t closed_before = {NULL, 0};
    _cleanup_(cleanup_intervals) intervals_t closed_after = {NULL, 0};
    _cleanup_(cleanup_intervals) intervals_t opened = {NULL, 0};
    _cleanup_(cleanup_intervals) intervals_t closed = {NULL, 0};

    if (hours_of(v->all->before, v->before_index, &before) < 0 ||
        hours_of(v->all->after, v->after_index, &after) < 0 ||
        subtract(&before, &after, &lost) < 0 ||
        subtract(&after, &before, &gained) < 0 ||
        closed_of(v->all->before, v->before_index, v->before.closed_count,
                  &closed_before) < 0 ||
        closed_of(v->all->after, v->after_index, v->after.closed_count,
                  &closed_after) < 0 ||
        subtract(&closed_before, &closed_after, &opened) < 0 ||
        subtract(&closed_after, &closed_before, &closed) < 0 ||
        tell_hours(v, &gained, EFFECT_GAIN) < 0 ||
        tell_hours(v, &lost, EFFECT_LOSS) < 0)
    {
        return -ENOMEM;
    }
    tell_closed(v, &opened, EFFECT_GAIN);
    tell_closed(v, &closed, EFFECT_LOSS);
    compare_valid(v);
    return 0;
}
