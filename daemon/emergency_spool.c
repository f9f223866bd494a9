#include "emergency_spool.h"

#include <errno.h>
#include <stdio.h>

#include "../lib/otp/emergency.h"
#include "log.h"

#define AT_ONCE 64 /* files of one tick */

typedef struct {
    recorder_t *recorder;
    int64_t now_ms;
    char names[AT_ONCE][EMERGENCY_NAME_SIZE];
    size_t count;
} gathering_t;

static bool
record_event(void *context, const emergency_event_t *event)
{
    gathering_t *gathering = context;
    char first[RECORD_TIME_TEXT_MAX], until[RECORD_TIME_TEXT_MAX];
    char codes[24];
    record_t record = {0};
    bool sealed = event->kind == EMERGENCY_SEALED;

    (void) snprintf(gathering->names[gathering->count], EMERGENCY_NAME_SIZE,
                    "%s", event->name);
    gathering->count++;
    record.values[RECORD_TICKET] = slice_of(event->name);
    record.values[RECORD_FIRST] = (slice_t){
        first, record_time(event->time_seconds * 1000, first)};
    if (sealed) {
        (void) snprintf(codes, sizeof(codes), "%llu",
                        (unsigned long long) event->codes);
        record.values[RECORD_REASON] = SLICE("sealed");
        record.values[RECORD_BY] = event->by;
        record.values[RECORD_COUNT_FOLDED] = slice_of(codes);
        record.values[RECORD_UNTIL] = (slice_t){
            until, record_time(event->until_seconds * 1000, until)};
    } else {
        record.values[RECORD_USER] = event->user;
        record.values[RECORD_FACTORS] = SLICE("emergency");
        record.values[RECORD_NOTE] = event->reason;
        record.values[RECORD_SERVICE] = event->service;
        record.values[RECORD_ADDRESS] = event->address;
        record.values[RECORD_TTY] = event->tty;
        record.values[RECORD_REASON] = event->kind == EMERGENCY_USED
                                           ? SLICE("emergency-code")
                                           : SLICE("interrupted");
        record.values[RECORD_OUTCOME] = event->kind == EMERGENCY_USED
                                            ? SLICE("0")
                                            : SLICE("8");
        log_line(LOG_WARNING, "an emergency code of this host was used: %s",
                 event->name);
    }
    recorder_own(gathering->recorder,
                 sealed ? EVENT_EMERGENCY_OFF : EVENT_EMERGENCY_ON, &record,
                 gathering->now_ms);
    return gathering->count < AT_ONCE;
}

static int
remove_files(const gathering_t *gathering, const char *folder)
{
    int error = 0;

    for (size_t i = 0; i < gathering->count; i++) {
        int result = emergency_spool_remove(folder, gathering->names[i]);

        error = result < 0 && result != -ENOENT ? result : error;
    }
    return error;
}

void
emergency_spool_tick(emergency_spool_t *spool, const char *folder,
                     recorder_t *recorder, int64_t now_ms)
{
    gathering_t gathering = {.recorder = recorder, .now_ms = now_ms};
    uint64_t refused = recorder_own_refused(recorder);
    int error;

    /* one that cannot be removed would be recorded again each second */
    if (spool->failing && now_ms / 1000 % 60 != 0) {
        return;
    }
    error = emergency_spool_read(folder, now_ms / 1000, record_event,
                                 &gathering);
    if (gathering.count > 0) {
        int result;

        (void) recorder_commit(recorder, now_ms);
        if (recorder_own_refused(recorder) != refused) {
            return; /* again when the trail takes records */
        }
        result = remove_files(&gathering, folder);
        error = result < 0 ? result : error;
    }
    if (error < 0 && !spool->failing) {
        log_line(LOG_ERROR,
                 "the spool of emergency codes in %s cannot be read or "
                 "cleared: %s",
                 folder, strerror(-error));
    }
    spool->failing = error < 0;
}
