/*
 * Which records a bundle has: those that `audit search` finds, and the closes
 * of the accesses among them.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "../lib/base/clock.h"
#include "audit_evidence.h"

/* As in audit_search.c: times are the front ends'. */
#define DISORDER_SECONDS 10

#define SLOTS_FIRST   1024
#define PROGRESS_STEP 65536 /* entries */

static int
told(const evidence_t *evidence, int error)
{
    return fail(evidence->command, "%s",
                error == -EIO ? trail_reader_problem(evidence->reader)
                              : strerror(-error));
}


/* ---- Where to look ------------------------------------------------------- */

static int
find_span(evidence_t *evidence)
{
    const filter_t *filter = &evidence->filter;
    uint64_t from = 0, to = evidence->size;
    int result = 0;

    if (filter->from[0] != '\0') {
        result = entries_find_time(evidence->reader, evidence->size,
                                   filter->from_seconds - DISORDER_SECONDS,
                                   &from);
    }
    if (result == 0 && filter->to[0] != '\0') {
        result = entries_find_time(evidence->reader, evidence->size,
                                   filter->to_seconds + DISORDER_SECONDS, &to);
    }
    evidence->from = result == 0 ? from : 0;
    evidence->to = result == 0 ? to : evidence->size;
    return result < 0 ? told(evidence, result) : STATUS_OK;
}


/* ---- Openings, for their closes ------------------------------------------ */

static bool
id_number(slice_t id, uint64_t *number)
{
    char digits[RECORD_ID_SIZE / 2 + 1] = "";
    char *end;

    *number = 0;
    if (id.size != RECORD_ID_SIZE) {
        return false;
    }
    for (size_t half = 0; half < 2; half++) {
        memcpy(digits, id.data + half * (RECORD_ID_SIZE / 2),
               RECORD_ID_SIZE / 2);
        *number ^= strtoull(digits, &end, 16);
        if (*end != '\0') {
            return false;
        }
    }
    return *number != 0;
}


static uint64_t *
slot_of(opening_ids_t *ids, uint64_t number)
{
    size_t at = (size_t) number & ids->mask;

    while (ids->slots[at] != 0 && ids->slots[at] != number) {
        at = (at + 1) & ids->mask;
    }
    return &ids->slots[at];
}


static int
ids_grow(opening_ids_t *ids)
{
    opening_ids_t larger = {NULL, 0, ids->count};
    size_t slots = ids->slots == NULL ? SLOTS_FIRST : 2 * (ids->mask + 1);

    larger.slots = calloc(slots, sizeof(*larger.slots));
    if (larger.slots == NULL) {
        return -ENOMEM;
    }
    larger.mask = slots - 1;
    for (size_t i = 0; ids->slots != NULL && i <= ids->mask; i++) {
        if (ids->slots[i] != 0) {
            *slot_of(&larger, ids->slots[i]) = ids->slots[i];
        }
    }
    free(ids->slots);
    *ids = larger;
    return 0;
}


static int
ids_add(opening_ids_t *ids, slice_t id)
{
    uint64_t number, *slot;

    if (!id_number(id, &number)) {
        return 0;
    }
    if ((ids->slots == NULL || 2 * ids->count > ids->mask) && ids_grow(ids) < 0)
    {
        return -ENOMEM;
    }
    slot = slot_of(ids, number);
    ids->count += *slot == 0 ? 1 : 0;
    *slot = number;
    return 0;
}


static bool
ids_has(opening_ids_t *ids, slice_t id)
{
    uint64_t number;

    return ids->slots != NULL && id_number(id, &number) &&
           *slot_of(ids, number) == number;
}


/* ---- Choosing ------------------------------------------------------------ */

int
evidence_choose(evidence_t *evidence, uint64_t index)
{
    candidates_t *chosen = &evidence->chosen;

    if (chosen->count == EVIDENCE_RECORDS_MAX) {
        return -EFBIG;
    }
    if (chosen->count == chosen->capacity) {
        size_t capacity = chosen->capacity == 0 ? 1024 : 2 * chosen->capacity;
        uint64_t *numbers = reallocarray(chosen->numbers, capacity,
                                         sizeof(*numbers));

        if (numbers == NULL) {
            return -ENOMEM;
        }
        chosen->numbers = numbers;
        chosen->capacity = capacity;
    }
    chosen->numbers[chosen->count++] = index;
    return 0;
}


static bool
in_time(const filter_t *filter, const record_t *record)
{
    slice_t time = record->values[RECORD_TIME];

    return (filter->from[0] == '\0' ||
            (time.size == LINE_TIME_SIZE &&
             memcmp(time.data, filter->from, LINE_TIME_SIZE) >= 0)) &&
           (filter->to[0] == '\0' ||
            (time.size == LINE_TIME_SIZE &&
             memcmp(time.data, filter->to, LINE_TIME_SIZE) < 0));
}


/* A close tells what came of an access, also where it does not say whose. */
static bool
is_close_of_chosen(evidence_t *evidence, slice_t entry, record_t *record)
{
    return evidence->openings.count > 0 &&
           memmem(entry.data, entry.size, "\"open\":", 7) != NULL &&
           record_parse(entry, record, evidence->buffer) &&
           ids_has(&evidence->openings, record->values[RECORD_OPEN]) &&
           in_time(&evidence->filter, record);
}


static int
look_at(evidence_t *evidence, uint64_t index, slice_t entry)
{
    record_t record;
    bool matches = false;
    int error = 0;

    if (filter_may_match(&evidence->filter, entry) &&
        record_parse(entry, &record, evidence->buffer) &&
        filter_matches(&evidence->filter, &record))
    {
        matches = true;
        if (evidence->by_patient) {
            error = resolver_matches(&evidence->resolver, &record, &matches);
        }
    }
    if (error == 0 && matches && record.values[RECORD_OPEN].size == 0) {
        error = ids_add(&evidence->openings, record.values[RECORD_ID]);
    }
    if (error == 0 && !matches) {
        matches = is_close_of_chosen(evidence, entry, &record);
    }
    return error == 0 && matches ? evidence_choose(evidence, index) : error;
}


/* ---- Whose studies ------------------------------------------------------- */

static int
take_patient(evidence_t *evidence)
{
    return resolver_take(&evidence->resolver, &evidence->filter,
                         evidence->index, &evidence->by_patient) < 0
               ? fail(evidence->command, "no random numbers")
               : STATUS_OK;
}


/* ---- The two ways -------------------------------------------------------- */

/* What the index names, up to its size. */
static int
look_up(evidence_t *evidence, candidates_t *candidates, uint64_t end)
{
    int error = evidence->by_patient
                    ? candidates_of_patient(candidates, evidence->index,
                                            evidence->resolver.patient)
                    : candidates_of_filter(candidates, evidence->index,
                                           &evidence->filter, evidence->from,
                                           end);

    candidates_sort(candidates);
    for (size_t i = 0; error == 0 && i < candidates->count; i++) {
        uint64_t number = candidates->numbers[i];
        slice_t entry;

        if (number < evidence->from || number >= end) {
            continue;
        }
        error = trail_reader_entry(evidence->reader, number, &entry);
        if (error == 0) {
            error = look_at(evidence, number, entry);
        }
    }
    return error;
}


static int
scan(evidence_t *evidence, uint64_t from)
{
    _cleanup_(cleanup_scan) trail_scan_t *scan = NULL;
    progress_t progress;
    uint64_t index;
    slice_t entry;
    int error = 0, result = trail_scan_open(evidence->reader, from, &scan);

    progress_begin(&progress, "searched");
    while (error == 0 && result >= 0 &&
           (result = trail_scan_next(scan, &index, &entry)) == 1 &&
           index < evidence->to)
    {
        if (index % PROGRESS_STEP == 0) {
            progress_tell(&progress, index - from, evidence->to - from);
        }
        error = look_at(evidence, index, entry);
    }
    progress_end(&progress);
    return error < 0 ? error : result < 0 ? -EIO : 0;
}


static int
choose_all(evidence_t *evidence)
{
    candidates_t candidates = {NULL, 0, 0};
    uint64_t known = evidence->index == NULL ? 0 : index_size(evidence->index);
    uint64_t from = evidence->from;
    int error = 0;

    if (evidence->by_patient) {
        error = resolver_read(&evidence->resolver, evidence->reader, known,
                              evidence->size, &candidates);
    }
    if (error == 0 && evidence->index != NULL &&
        (evidence->by_patient || candidates_help(&evidence->filter)))
    {
        known = known < evidence->to ? known : evidence->to;
        error = look_up(evidence, &candidates, known);
        from = from > known ? from : known;
    }
    candidates_free(&candidates);
    if (error == 0 && from < evidence->to) {
        error = scan(evidence, from);
    }
    return error;
}


int
evidence_select(evidence_t *evidence)
{
    int error;

    if (take_patient(evidence) != STATUS_OK || find_span(evidence) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    /* a period alone is all of it, heartbeats as well */
    evidence->filter.heartbeats = evidence->filter.count == 0 &&
                                  !evidence->by_patient;
    error = choose_all(evidence);
    if (error == -EFBIG) {
        return fail(evidence->command,
                    "more than %u records: ask for a shorter period",
                    EVIDENCE_RECORDS_MAX);
    }
    return error < 0 ? told(evidence, error) : STATUS_OK;
}


void
evidence_select_free(evidence_t *evidence)
{
    if (evidence->by_patient) {
        resolver_free(&evidence->resolver);
    }
    candidates_free(&evidence->chosen);
    free(evidence->openings.slots);
    filter_free(&evidence->filter);
}
