#define _GNU_SOURCE
#include "due.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../base/clock.h"
#include "../base/wipe.h"
#include "../trail/record.h"

/* Where the first local day after `day` begins. */
static int
day_end(int32_t day, int64_t *seconds)
{
    time_t noon = ((time_t) day + 1) * 86400 + 43200;
    struct tm date, begin = {.tm_isdst = -1};

    if (gmtime_r(&noon, &date) == NULL) {
        return -EOVERFLOW;
    }
    begin.tm_year = date.tm_year;
    begin.tm_mon = date.tm_mon;
    begin.tm_mday = date.tm_mday;
    *seconds = (int64_t) mktime(&begin);
    return *seconds == -1 ? -EOVERFLOW : 0;
}


static int
first_day(trail_reader_t *reader, int32_t *day, char error[256])
{
    _cleanup_(cleanup_free) char *buffer = malloc(RECORD_SIZE_MAX);
    record_t record;
    int64_t seconds;
    slice_t entry;
    bool local;
    int result;

    if (buffer == NULL) {
        return -ENOMEM;
    }
    result = trail_reader_entry(reader, 0, &entry);
    if (result < 0) {
        (void) snprintf(error, 256, "entry 0: %s",
                        trail_reader_problem(reader));
        return result == -ERANGE ? -ENODATA : result;
    }
    if (entry.size > RECORD_SIZE_MAX || !record_parse(entry, &record, buffer) ||
        !clock_parse(record.values[RECORD_TIME], &seconds, &local) || local)
    {
        (void) snprintf(error, 256, "entry 0 does not say when it was made");
        return -ENODATA;
    }
    *day = review_day(seconds * 1000);
    return 0;
}


int
review_due(struct sqlite3 *db, trail_reader_t *reader,
           const findings_settings_t *settings, int64_t *seconds,
           char error[256])
{
    reviews_t reviews;
    int32_t day = INT32_MIN;
    int result = reviews_read(db, reader, &reviews, error);

    if (result == 0 && reviews.reviews_count > 0) {
        day = review_due_day(&reviews.reviews[reviews.reviews_count - 1],
                             settings);
    } else if (result == 0) {
        result = first_day(reader, &day, error);
        day += result == 0 ? (int32_t) settings->review_days : 0;
    }
    reviews_free(&reviews);
    if (result == 0) {
        result = day_end(day, seconds);
    }
    if (result < 0 && error[0] == '\0') {
        (void) snprintf(error, 256, "%s", strerror(-result));
    }
    return result;
}
