/*
 * What happened while the daemon was dead: uses of emergency codes, which root
 * processes left as files (lib/otp/emergency.h), become records.  A file goes
 * when its record is on disk; a crash between the two repeats the record, which
 * has the same `ticket`.
 */

#ifndef SEKISHO_DAEMON_EMERGENCY_SPOOL_H
#define SEKISHO_DAEMON_EMERGENCY_SPOOL_H

#include "recorder.h"

typedef struct {
    bool failing; /* told in the log */
} emergency_spool_t;

void emergency_spool_tick(emergency_spool_t *spool, const char *folder,
                          recorder_t *recorder, int64_t now_ms);

#endif
