/*
 * UTC offsets of an IANA time zone, as a list of changes, at compile time.
 * The image holds them, so that nothing at run time reads a time-zone file.
 */

#ifndef SEKISHO_POLICY_ZONE_H
#define SEKISHO_POLICY_ZONE_H

#include <stdint.h>

#include "../base/slice.h"

/* Changes are listed from here to there; fixed, so that a policy compiles to
 * the same bytes on any day.  Before and after, the nearest offset holds. */
#define ZONE_FROM INT64_C(1577836800) /* 2020-01-01T00:00:00Z */
#define ZONE_TO   INT64_C(3155760000) /* 2070-01-01T00:00:00Z */

/* Room for two changes a year, and some politics. */
#define ZONE_CHANGES_MAX 256

typedef struct {
    int64_t at;     /* Unix seconds from which on it holds */
    int32_t offset; /* seconds east of UTC */
} zone_change_t;

/*
 * The first entry is the offset at ZONE_FROM.  Returns their number (at least
 * 1), -ENOENT for a zone that the system's tz database does not know, -EINVAL
 * for a name that cannot be one, -E2BIG for more than ZONE_CHANGES_MAX.
 * Not thread-safe: it sets TZ for the time of the call.
 */
int zone_changes(slice_t name, zone_change_t changes[ZONE_CHANGES_MAX]);

#endif
