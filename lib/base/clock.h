/* Times as text: RFC 3339, and calendar days. */

#ifndef SEKISHO_BASE_CLOCK_H
#define SEKISHO_BASE_CLOCK_H

#include <stdint.h>

#include "slice.h"

/* "2026-11-24T06:09:02+09:00" is 25 bytes, with the NUL 26. */
#define CLOCK_TEXT_MAX 32

/*
 * "2026-11-24T06:09[:02[.123]](Z|±hh:mm)" -> Unix seconds; the fraction is
 * dropped.  Without an offset `*local` is true and the seconds are those of
 * the wall clock written, as if it were UTC.  "@1790000000" is Unix seconds.
 */
bool clock_parse(slice_t text, int64_t *unix_seconds, bool *local);

/* RFC 3339 with the given offset from UTC in seconds ("Z" for 0). */
size_t clock_format(int64_t unix_seconds, int32_t offset_seconds,
                    char text[CLOCK_TEXT_MAX]);

/* "2026-11-24" -> days since 1970-01-01 (proleptic Gregorian), and back. */
bool clock_parse_day(slice_t text, int32_t *day);
size_t clock_format_day(int32_t day, char text[CLOCK_TEXT_MAX]);

#endif
