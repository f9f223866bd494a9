/* What the trail says of front ends and open accesses, read back at the start
 * of the daemon. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "../lib/trail/reader.h"
#include "../lib/base/wipe.h"
#include "log.h"
#include "openings_file.h"
#include "recorder_internal.h"

/* Beyond so many times what is usual it takes minutes: not for a few closes. */
#define REPLAY_TIMES_MAX 20

/* Numbers that a front end may not have been told of as refused: more than any
 * keeps. */
#define REPLAY_REFUSED_MAX (FRONT_PENDING_MAX / 2)

/*
 * A front end's numbers up to this one are settled, and the last `skipped` of
 * them, or those before it if it has a record itself, were refused.  Whether
 * the front end was told so before the daemon ended nobody knows: it is told
 * (again) at its hello, before the welcome that covers them.
 */
static void
replay_number(front_t *front, uint64_t number, uint64_t skipped, bool recorded,
              int64_t now_ms)
{
    uint64_t last = recorded ? number - 1 : number, first;

    if (number <= front->taken) {
        return;
    }
    if (skipped > last - front->taken) {
        skipped = last - front->taken;
    }
    first = last - skipped + 1;
    if (skipped > REPLAY_REFUSED_MAX) {
        first = last - REPLAY_REFUSED_MAX + 1;
    }
    if (front->refused_count + (last - first + 1) > REPLAY_REFUSED_MAX) {
        recorder_drop_refused(front, front->refused_count); /* too old */
    }
    for (; first <= last; first++) {
        recorder_refused(front, first);
    }
    front->taken = front->durable = number;
    front->skipped = recorded ? 0 : skipped;
    front->seen = now_ms / 1000;
}

static void
replay_counters(recorder_t *recorder, slice_t counters, int64_t now_ms)
{
    while (counters.size > 33) {
        uint8_t id[MESSAGE_FRONT_SIZE];
        uint64_t number = 0, skipped = 0;
        front_t *front;
        size_t i = 33;

        if (!opening_id_parse((slice_t){counters.data, 32}, id)) {
            return;
        }
        for (; i < counters.size && counters.data[i] >= '0'; i++) {
            number = number * 10 + (uint64_t) (counters.data[i] - '0');
        }
        if (i < counters.size && counters.data[i] == '-') {
            for (i++; i < counters.size && counters.data[i] >= '0'; i++) {
                skipped = skipped * 10 + (uint64_t) (counters.data[i] - '0');
            }
        }
        front = table_find(recorder->fronts, id);
        if (front == NULL) {
            front = recorder_new_front(recorder, id, SLICE("nginx"));
        }
        if (front != NULL) {
            replay_number(front, number, skipped, false, now_ms);
        }
        counters = slice_from(counters, i < counters.size ? i + 1 : i);
    }
}

static void
replay_record(recorder_t *recorder, const record_t *record, uint64_t index,
              int64_t now_ms)
{
    record_event_t event = record_event_find(record->values[RECORD_EVENT]);
    uint8_t front_id[MESSAGE_FRONT_SIZE], id[TABLE_KEY_SIZE];
    instance_t *instance;

    if (event == EVENT_HEARTBEAT) {
        replay_counters(recorder, record->values[RECORD_COUNTERS], now_ms);
    }
    if (!opening_id_parse(record->values[RECORD_FRONT], front_id)) {
        return;
    }
    if (!slice_is(record->values[RECORD_SOURCE], "sekishod")) {
        uint64_t number = recorder_number(record->values[RECORD_NUMBER]);
        front_t *front = table_find(recorder->fronts, front_id);

        if (front == NULL) {
            front = recorder_new_front(recorder, front_id,
                                       record->values[RECORD_SOURCE]);
        }
        if (front != NULL) {
            replay_number(front, number,
                          recorder_number(record->values[RECORD_SKIPPED]), true,
                          now_ms);
        }
    }
    if (event == EVENT_ACCESS &&
        opening_id_parse(record->values[RECORD_ID], id) &&
        openings_find(&recorder->openings, id) == NULL &&
        openings_closed(&recorder->openings, id) == NULL)
    {
        instance = openings_instance(&recorder->openings, front_id, now_ms);
        if (instance != NULL) {
            (void) openings_add(&recorder->openings, instance, id, record,
                                index);
        }
    }
    if (event == EVENT_ACCESS_END &&
        opening_id_parse(record->values[RECORD_OPEN], id))
    {
        openings_close(&recorder->openings, id,
                       slice_is(record->values[RECORD_SOURCE], "sekishod"));
    }
}

/* One opening of the file: what it was stands in the trail. */
static bool
recall(recorder_t *recorder, trail_reader_t *reader, const remembered_t *one,
       char *buffer, int64_t now_ms)
{
    uint8_t id[TABLE_KEY_SIZE], front[MESSAGE_FRONT_SIZE];
    instance_t *instance;
    record_t record;
    slice_t entry;

    if (trail_reader_entry(reader, one->index, &entry) < 0 ||
        !record_parse(entry, &record, buffer) ||
        record_event_find(record.values[RECORD_EVENT]) != EVENT_ACCESS ||
        !opening_id_parse(record.values[RECORD_ID], id) ||
        memcmp(id, one->id, sizeof(id)) != 0 ||
        !opening_id_parse(record.values[RECORD_FRONT], front))
    {
        return false;
    }
    if (openings_find(&recorder->openings, id) != NULL) {
        return true;
    }
    instance = openings_instance(&recorder->openings, front, now_ms);
    return instance != NULL &&
           openings_add(&recorder->openings, instance, id, &record, one->index);
}

/*
 * The openings of the file, as of when it was written; what happened since is
 * read after that.  Returns from where on, which is `from` or before.
 */
static uint64_t
recall_all(recorder_t *recorder, trail_reader_t *reader, uint64_t from,
           uint64_t entries, char *buffer, int64_t now_ms)
{
    _cleanup_(cleanup_free) remembered_t *list = NULL;
    uint64_t quarter = recorder->read_back / 4, size, since, lost = 0;
    size_t count;
    int result = openings_file_read(recorder->config->trail, &list, &count,
                                    &size);

    if (result == -ENOENT) {
        return from;
    }
    recorder->remembered = 1; /* so that it is replaced, or removed */
    since = result == 0 && size > quarter ? size - quarter : 0;
    if (result == 0 &&
        (size > entries ||
         entries - since > REPLAY_TIMES_MAX * recorder->read_back))
    {
        result = -ESTALE;
    }
    if (result < 0) {
        log_line(LOG_WARNING,
                 "%s/openings cannot be used: %s; accesses opened more than "
                 "%llu records ago are not closed if their front end is gone",
                 recorder->config->trail,
                 result == -EBADMSG  ? "it is damaged"
                 : result == -ESTALE ? "it is not of this trail's end"
                                     : strerror(-result),
                 (unsigned long long) recorder->read_back);
        return from;
    }
    recorder->remembered = size;
    for (size_t i = 0; i < count; i++) {
        lost += !recall(recorder, reader, &list[i], buffer, now_ms);
    }
    if (lost > 0) {
        log_line(LOG_WARNING,
                 "%s/openings: %llu of its accesses are not in the trail and "
                 "passed over",
                 recorder->config->trail, (unsigned long long) lost);
    }
    return since < from ? since : from;
}

/* What the writer has just opened is read once more, from its end. */
bool
recorder_replay(recorder_t *recorder, int64_t now_ms)
{
    trail_problem_t problem = {""};
    trail_reader_t *reader = NULL;
    trail_scan_t *scan = NULL;
    trail_status_t status;
    char *buffer = malloc(TRAIL_ENTRY_MAX);
    uint64_t from, index;
    slice_t entry;
    record_t record;
    int result;

    trail_writer_status(recorder->writer, &status);
    recorder->next = status.size;
    from = status.size > recorder->read_back ? status.size - recorder->read_back
                                             : 0;
    result = buffer == NULL ? -ENOMEM
                            : trail_reader_open(recorder->config->trail, NULL,
                                                0, &reader, &problem);
    if (result == 0) {
        from = recall_all(recorder, reader, from, status.size, buffer, now_ms);
        result = trail_scan_open(reader, from, &scan);
    }
    while (result >= 0 && (result = trail_scan_next(scan, &index, &entry)) == 1)
    {
        if (record_parse(entry, &record, buffer)) {
            replay_record(recorder, &record, index, now_ms);
        }
    }
    if (result < 0) {
        log_line(LOG_ERROR, "cannot read the end of the trail: %s",
                 reader == NULL ? problem.text : trail_reader_problem(reader));
    }
    trail_scan_free(scan);
    trail_reader_free(reader);
    free(buffer);
    return result == 0;
}
