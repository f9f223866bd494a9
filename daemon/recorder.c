#define _GNU_SOURCE
#include "recorder.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "log.h"
#include "recorder_internal.h"

#define CLOCK_SKEW_MAX_MS 5000
#define LIMITED_RETRY_MS  1000

/* ---- The batch -----------------------------------------------------------*/

/* Over the closing brace, as the number is only certain at the commit. */
static size_t
put_skipped(char *line, size_t size, uint64_t skipped)
{
    int n;

    if (skipped == 0) {
        return size;
    }
    n = snprintf(line + size - 1, BATCH_LINE_SPARE, ",\"%s\":%llu}",
                 record_field_name(RECORD_SKIPPED),
                 (unsigned long long) skipped);
    return size - 1 + (size_t) n;
}

bool
recorder_full(const recorder_t *recorder)
{
    return recorder->entries_count >= BATCH_ENTRIES_MAX ||
           recorder->lines_size + BATCH_LINE_MAX > recorder->lines_max;
}

bool
recorder_pending(const recorder_t *recorder)
{
    return recorder->entries_count > 0 || recorder->answers_due;
}

/* A batch is made so that two more always fit: a record and its gap. */
static void
add_entry(recorder_t *recorder, front_t *front, uint64_t number,
          record_event_t event, const record_t *record)
{
    entry_t *entry = &recorder->entries[recorder->entries_count];
    char *line = recorder->lines + recorder->lines_size;

    *entry = (entry_t){.line = line,
                       .size = record_render(record, line, RECORD_SIZE_MAX),
                       .front = front,
                       .number = number,
                       .skipped = front->skipped,
                       .privileged = record_event_is_privileged(event)};
    front->skipped = 0;
    recorder->entries_count++;
    recorder->since_heartbeat++;
    recorder->lines_size += entry->size + BATCH_LINE_SPARE;
    recorder->security |= record_event_is_security(event);
}

static slice_t
number_text(uint64_t number, char text[24])
{
    size_t at = 24;

    /* for each record: no printf() */
    do {
        text[--at] = (char) ('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return (slice_t){text + at, 24 - at};
}

/* `text` lives until the record is rendered. */
static void
complete(recorder_t *recorder, front_t *front, uint64_t number,
         record_t *record, char text[24])
{
    if (front->id_text[0] == '\0') {
        opening_id_format(front->id, front->id_text);
    }
    record->values[RECORD_HOST] = (slice_t){recorder->host,
                                            recorder->host_size};
    record->values[RECORD_SOURCE] = slice_of(front->source);
    record->values[RECORD_FRONT] = (slice_t){front->id_text,
                                             sizeof(front->id_text) - 1};
    record->values[RECORD_NUMBER] = number_text(number, text);
    record->values[RECORD_SKIPPED] = (slice_t){NULL, 0};
}

static void
new_id(char text[33])
{
    uint8_t id[TABLE_KEY_SIZE];

    /* cannot fail for so few bytes once the kernel's pool is up */
    if (getrandom(id, sizeof(id), 0) != (ssize_t) sizeof(id)) {
        memset(id, 0, sizeof(id));
    }
    opening_id_format(id, text);
}

void
recorder_own(recorder_t *recorder, record_event_t event, record_t *record,
             int64_t now_ms)
{
    char id[33], time[RECORD_TIME_TEXT_MAX], text[24];
    front_t *front = &recorder->own;

    if (recorder_full(recorder)) {
        (void) recorder_commit(recorder, now_ms);
    }
    new_id(id);
    record->values[RECORD_ID] = slice_of(id);
    record->values[RECORD_TIME] = (slice_t){
        time, record_time(recorder->times_ms != 0 ? recorder->times_ms : now_ms,
                          time)};
    record->values[RECORD_EVENT] = slice_of(record_event_name(event));
    if (record->values[RECORD_OUTCOME].size == 0) {
        record->values[RECORD_OUTCOME] = SLICE("0");
    }
    front->taken++;
    complete(recorder, front, front->taken, record, text);
    add_entry(recorder, front, front->taken, event, record);
}

/* ---- What front ends send ------------------------------------------------*/

/* Seconds of a front end's time; false if it is none of the form we use. */
static bool
read_time(time_read_t *last, slice_t text, int64_t *seconds)
{
    bool local;

    if (text.size != sizeof(last->text)) {
        return false;
    }
    if (!last->read || memcmp(last->text, text.data, sizeof(last->text)) != 0) {
        last->read = clock_parse(text, &last->seconds, &local) && !local;
        memcpy(last->text, text.data, sizeof(last->text));
    }
    *seconds = last->seconds;
    return last->read;
}

/* The front end's time, unless its clock is plainly not ours. */
static void
check_time(recorder_t *recorder, record_t *record, int64_t now_ms,
           char time[RECORD_TIME_TEXT_MAX])
{
    int64_t seconds = 0;
    bool read = read_time(&recorder->time_read, record->values[RECORD_TIME],
                          &seconds);

    if (recorder->times_ms != 0) {
        if (read && seconds * 1000 > recorder->times_ms) {
            recorder->times_ms = seconds * 1000;
        }
        now_ms = recorder->times_ms; /* for what bears no time */
    }
    if (!read || (recorder->times_ms == 0 &&
                  llabs(seconds * 1000 - now_ms) > CLOCK_SKEW_MAX_MS + 1000))
    {
        record->values[RECORD_TIME] = (slice_t){time,
                                                record_time(now_ms, time)};
    }
}

void
recorder_gap(recorder_t *recorder, const front_t *front, uint64_t from,
             uint64_t missing, const char *reason, int64_t now_ms)
{
    char front_text[33], from_text[24], missing_text[24];
    record_t record = {0};

    opening_id_format(front->id, front_text);
    record.values[RECORD_OUTCOME] = SLICE("8");
    record.values[RECORD_REASON] = slice_of(reason);
    record.values[RECORD_OF_FRONT] = slice_of(front_text);
    record.values[RECORD_FROM_NUMBER] = number_text(from, from_text);
    record.values[RECORD_MISSING] = number_text(missing, missing_text);
    recorder_own(recorder, EVENT_GAP, &record, now_ms);
    log_line(LOG_ERROR,
             "front end %s (%s): %llu records from number %llu on are missing "
             "(%s)",
             front_text, front->source, (unsigned long long) missing,
             (unsigned long long) from, reason);
}

uint64_t
recorder_number(slice_t text)
{
    uint64_t number = 0;

    for (size_t i = 0;
         i < text.size && i < 19 && text.data[i] >= '0' && text.data[i] <= '9';
         i++)
    {
        number = number * 10 + (uint64_t) (text.data[i] - '0');
    }
    return number;
}

/* An opening, or the end of one.  False if it is on its way or on disk
 * already: another worker was faster, and the record is not repeated. */
static bool
note_opening(recorder_t *recorder, const front_t *front, record_event_t event,
             const record_t *record, int64_t now_ms)
{
    uint8_t id[TABLE_KEY_SIZE];
    const closed_t *closed;
    instance_t *instance;
    opening_t *opening;

    if (event == EVENT_ACCESS_END &&
        opening_id_parse(record->values[RECORD_OPEN], id))
    {
        opening = openings_find(&recorder->openings, id);
        closed = openings_closed(&recorder->openings, id);
        if (opening == NULL && closed != NULL && !closed->interrupted) {
            return false;
        }
        openings_close(&recorder->openings, id, false);
        return true;
    }
    if (event != EVENT_ACCESS ||
        !opening_id_parse(record->values[RECORD_ID], id)) {
        return true;
    }
    if (openings_find(&recorder->openings, id) != NULL ||
        openings_closed(&recorder->openings, id) != NULL)
    {
        return false;
    }
    instance = openings_instance(&recorder->openings, front->id, now_ms);
    if (instance == NULL ||
        !openings_add(&recorder->openings, instance, id, record,
                      recorder->next + recorder->entries_count))
    {
        /* its close will come; only an interruption would be lost */
        log_line(LOG_ERROR, "out of memory for open accesses");
    }
    return true;
}

/* The same opening, or close, from another worker: its number gets a record of
 * its own, which says no more than that. */
static void
join_opening(record_event_t event, record_t *record, char id[33])
{
    record_t joined = {0};

    new_id(id);
    joined.values[RECORD_ID] = slice_of(id);
    joined.values[RECORD_TIME] = record->values[RECORD_TIME];
    joined.values[RECORD_EVENT] = slice_of(
        record_event_name(EVENT_ACCESS_JOINED));
    joined.values[RECORD_OUTCOME] = record->values[RECORD_OUTCOME];
    joined.values[RECORD_OPEN] = event == EVENT_ACCESS_END
                                     ? record->values[RECORD_OPEN]
                                     : record->values[RECORD_ID];
    *record = joined;
}

/* Drops what was told and is so far back that nobody waits for it. */
static void
compact_refused(front_t *front, uint64_t number)
{
    size_t old = 0;

    while (old < front->refused_told &&
           number - front->refused[old] >= FRONT_PENDING_MAX)
    {
        old++;
    }
    recorder_drop_refused(front, old);
}

void
recorder_drop_refused(front_t *front, size_t count)
{
    front->refused_count -= count;
    front->refused_told -= count < front->refused_told ? count
                                                       : front->refused_told;
    if (count > 0) {
        memmove(front->refused, front->refused + count,
                front->refused_count * sizeof(front->refused[0]));
    }
}

void
recorder_refused(front_t *front, uint64_t number)
{
    if (front->refused_count == front->refused_capacity) {
        compact_refused(front, number);
    }
    if (front->refused_count == front->refused_capacity) {
        size_t capacity = front->refused_capacity == 0
                              ? 64
                              : front->refused_capacity * 2;
        uint64_t *refused = realloc(front->refused,
                                    capacity * sizeof(*refused));

        if (refused == NULL) {
            /* never acknowledge what is not on disk: better no daemon */
            log_line(LOG_ERROR, "out of memory while refusing records");
            abort();
        }
        front->refused = refused;
        front->refused_capacity = capacity;
    }
    front->refused[front->refused_count++] = number;
}

static void
refuse(recorder_t *recorder, front_t *front, uint64_t number)
{
    recorder_refused(front, number);
    front->skipped++;
    recorder->refused++;
    recorder->own_refused += front == &recorder->own;
    recorder->answers_due = true;
}

/*
 * Numbers were left out.  Those that the front end says were refused (before
 * this daemon was started, so that it does not know) rightly have no record;
 * the others are missing.
 */
static void
take_jump(recorder_t *recorder, front_t *front, uint64_t number,
          const record_t *record, int64_t now_ms)
{
    uint64_t jump = number - front->taken - 1;
    uint64_t told = recorder_number(record->values[RECORD_SKIPPED]);
    uint64_t refused = told > front->skipped ? told - front->skipped : 0;

    if (refused > jump) {
        refused = jump;
    }
    front->skipped += refused;
    if (jump > refused) {
        recorder_gap(recorder, front, front->taken + 1, jump - refused,
                     "numbers-missing", now_ms);
    }
}

recorder_result_t
recorder_take(recorder_t *recorder, front_t *front, uint64_t number,
              record_t *record, int64_t now_ms)
{
    record_event_t event = record_event_find(record->values[RECORD_EVENT]);
    char time[RECORD_TIME_TEXT_MAX], id[33], text[24];
    uint8_t parsed[TABLE_KEY_SIZE];

    if (event == EVENT_NONE || front->taken - front->durable +
                                       front->refused_count -
                                       front->refused_told >=
                                   FRONT_PENDING_MAX)
    {
        return RECORDER_BAD;
    }
    front->seen = now_ms / 1000;
    if (number <= front->taken) {
        recorder->answers_due = true; /* it did not hear the first answer */
        return RECORDER_KNOWN;
    }
    if (number > front->taken + 1) {
        take_jump(recorder, front, number, record, now_ms);
    }
    front->taken = number;
    recorder->answers_due = true;
    if (recorder->limited_until > now_ms && !record_event_is_privileged(event))
    {
        refuse(recorder, front, number);
        return RECORDER_TAKEN;
    }
    if (!opening_id_parse(record->values[RECORD_ID], parsed)) {
        new_id(id);
        record->values[RECORD_ID] = slice_of(id);
    }
    if (!note_opening(recorder, front, event, record, now_ms)) {
        join_opening(event, record, id);
        event = EVENT_ACCESS_JOINED;
    }
    check_time(recorder, record, now_ms, time);
    complete(recorder, front, number, record, text);
    add_entry(recorder, front, number, event, record);
    recorder->received++;
    return RECORDER_TAKEN;
}

/* ---- Commit --------------------------------------------------------------*/

static void
limit(recorder_t *recorder, int error, int64_t now_ms)
{
    trail_status_t status;

    trail_writer_status(recorder->writer, &status);
    (void) snprintf(recorder->reason, sizeof(recorder->reason), "%s",
                    status.problem.text[0] != '\0' ? status.problem.text
                                                   : strerror(-error));
    if (recorder->limited_until == 0) {
        log_line(LOG_ERROR,
                 "the trail takes no records: %s; requests under audit are "
                 "refused until it does again",
                 recorder->reason);
    }
    recorder->limited_until = now_ms + LIMITED_RETRY_MS;
}

static void
unlimit(recorder_t *recorder)
{
    if (recorder->limited_until != 0) {
        log_line(LOG_NOTICE, "the trail takes records again");
        recorder->limited_until = 0;
    }
}

/* An opening whose record was refused is no opening; one whose close was
 * refused is open as before, so that its close can come again. */
static void
undo_opening(recorder_t *recorder, const entry_t *entry, int64_t now_ms)
{
    char buffer[RECORD_SIZE_MAX];
    record_t record;
    record_event_t event;
    uint8_t id[TABLE_KEY_SIZE];
    opening_t *opening;
    instance_t *instance;
    uint64_t index;

    if (!record_parse((slice_t){entry->line, entry->size}, &record, buffer)) {
        return;
    }
    event = record_event_find(record.values[RECORD_EVENT]);
    if (event == EVENT_ACCESS && opening_id_parse(record.values[RECORD_ID], id))
    {
        opening = openings_find(&recorder->openings, id);
        if (opening != NULL) {
            openings_remove(&recorder->openings, opening);
        }
    }
    if (event == EVENT_ACCESS_END &&
        opening_id_parse(record.values[RECORD_OPEN], id))
    {
        index = openings_reopen(&recorder->openings, id);
        instance = openings_instance(&recorder->openings, entry->front->id,
                                     now_ms);
        if (instance == NULL ||
            (openings_find(&recorder->openings, id) == NULL &&
             !openings_add(&recorder->openings, instance, id, &record, index)))
        {
            log_line(LOG_ERROR, "out of memory for open accesses");
        }
    }
}

/* Appends those entries that `privileged` says; the others are refused. */
static int
append(recorder_t *recorder, bool privileged)
{
    uint64_t first;
    size_t count = 0;
    int error;

    for (size_t i = 0; i < recorder->entries_count; i++) {
        entry_t *entry = &recorder->entries[i];

        if (privileged && !entry->privileged) {
            continue;
        }
        recorder->slices[count++] = (slice_t){
            entry->line, put_skipped(entry->line, entry->size, entry->skipped)};
    }
    if (count == 0) {
        return 0;
    }
    error = trail_writer_append(recorder->writer, recorder->slices, count,
                                privileged ? TRAIL_PRIVILEGED : 0, &first);
    if (error == 0) {
        recorder->next = first + count;
    }
    return error;
}

/* Sets aside, or adds again, the numbers that were skipped behind the last
 * entry of each front end: they are none of the batch's. */
static void
set_trailing(recorder_t *recorder, bool aside)
{
    front_t *front = &recorder->own;
    size_t place = 0;

    do {
        if (aside) {
            front->trailing = front->skipped;
            front->skipped = 0;
        } else {
            front->skipped += front->trailing;
        }
        front = table_next(recorder->fronts, &place);
    } while (front != NULL);
}

/* The disk is full: what may use the reserve does, the rest is refused. */
static int
append_privileged(recorder_t *recorder, int64_t now_ms)
{
    int error;

    set_trailing(recorder, true);
    for (size_t i = 0; i < recorder->entries_count; i++) {
        entry_t *entry = &recorder->entries[i];

        /* numbers refused before it in this batch are skipped by the next
         * record of the same front end */
        if (!entry->privileged) {
            undo_opening(recorder, entry, now_ms);
            entry->front->skipped += entry->skipped;
            refuse(recorder, entry->front, entry->number);
        } else {
            entry->skipped += entry->front->skipped;
            entry->front->skipped = 0;
        }
    }
    error = append(recorder, true);
    if (error < 0) {
        for (size_t i = 0; i < recorder->entries_count; i++) {
            entry_t *entry = &recorder->entries[i];

            if (entry->privileged) {
                entry->front->skipped += entry->skipped;
                refuse(recorder, entry->front, entry->number);
            }
        }
    }
    set_trailing(recorder, false);
    return error;
}

int
recorder_commit(recorder_t *recorder, int64_t now_ms)
{
    front_t *front;
    size_t place = 0;
    int error = 0;

    if (recorder->entries_count > 0) {
        error = append(recorder, false);
        if (error < 0) {
            limit(recorder, error, now_ms);
            (void) append_privileged(recorder, now_ms);
        } else if (recorder->limited_until <= now_ms) {
            unlimit(recorder);
        }
    }
    if (recorder->security) {
        trail_writer_checkpoint(recorder->writer);
        recorder->security = false;
    }
    recorder->entries_count = 0;
    recorder->lines_size = 0;
    recorder->answers_due = false;
    recorder->commits++;
    while ((front = table_next(recorder->fronts, &place)) != NULL) {
        front->durable = front->taken;
    }
    recorder->own.durable = recorder->own.taken;
    recorder->own.refused_count = recorder->own.refused_told =
        0; /* nobody waits for them */
    return error;
}

uint64_t
recorder_own_refused(const recorder_t *recorder)
{
    return recorder->own_refused;
}

const char *
recorder_reason(const recorder_t *recorder)
{
    return recorder->reason;
}
