/*
 * When the next review is due, for who only watches: the metrics of the front
 * ends.  Cheap: it reads the reviews and nothing else; reviews.h has the rest.
 */

#ifndef SEKISHO_REVIEW_DUE_H
#define SEKISHO_REVIEW_DUE_H

#include "reviews.h"

/*
 * Unix seconds from which on the review is overdue: the end, in local time, of
 * the day on which it is due.  That is the last review's next day, or
 * review_days after it; without any review as long after the first record.  0 or
 * a negative errno (-ENODATA: the trail has no record yet), with one line in
 * `error`.
 */
int review_due(struct sqlite3 *db, trail_reader_t *reader,
               const findings_settings_t *settings, int64_t *seconds,
               char error[256]);

#endif
