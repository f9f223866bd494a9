#define _GNU_SOURCE
#include "audit_resolve.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/random.h>

#include "../lib/dicom/orthanc_id.h"

#define SLOTS_MIN    1024
#define RESOLVE_STEP 65536 /* entries, for who waits */

enum {
    STATE_MET = 1, /* looked up: a slot that is taken */
    STATE_TOLD = 2,
    STATE_LEARNED = 4,
    STATE_MINE = 8,
    STATE_PART = 16, /* `whole` is known */
    STATE_SAID = 32  /* that this part is the patient's */
};

#define PARTS_DEEP 2 /* an instance of a series of a study */

static int
resolver_make(resolver_t *resolver, slice_t patient, review_index_t *index)
{
    *resolver = (resolver_t){.patient = patient, .index = index};
    return getrandom(resolver->key, sizeof(resolver->key), 0) ==
                   (ssize_t) sizeof(resolver->key)
               ? 0
               : -EIO;
}


int
resolver_take(resolver_t *resolver, filter_t *filter, review_index_t *index,
              bool *taken)
{
    *taken = false;
    for (unsigned i = 0; i < filter->count && !*taken; i++) {
        if (filter->terms[i].field != RECORD_PATIENT) {
            continue;
        }
        if (resolver_make(resolver, filter->terms[i].value, index) < 0) {
            return -EIO;
        }
        *taken = true;
        filter->count--;
        memmove(&filter->terms[i], &filter->terms[i + 1],
                (filter->count - i) * sizeof(filter->terms[0]));
    }
    return 0;
}


void
resolver_free(resolver_t *resolver)
{
    free(resolver->slots);
    resolver->slots = NULL;
}


static resolver_slot_t *
place_of(const resolver_t *resolver, siphash_t hash)
{
    size_t place = (size_t) hash.low & resolver->mask;

    while (resolver->slots[place].state != 0 &&
           (resolver->slots[place].hash.low != hash.low ||
            resolver->slots[place].hash.high != hash.high))
    {
        place = (place + 1) & resolver->mask;
    }
    return &resolver->slots[place];
}


static bool
grow(resolver_t *resolver)
{
    resolver_t old = *resolver;
    size_t slots = old.slots == NULL ? SLOTS_MIN : 2 * (old.mask + 1);

    resolver->slots = calloc(slots, sizeof(*resolver->slots));
    if (resolver->slots == NULL) {
        resolver->slots = old.slots;
        return false;
    }
    resolver->mask = slots - 1;
    for (size_t i = 0; old.slots != NULL && i <= old.mask; i++) {
        if (old.slots[i].state != 0) {
            *place_of(resolver, old.slots[i].hash) = old.slots[i];
        }
    }
    free(old.slots);
    return true;
}


/* What the index says of a study, or a part of one. */
static int
ask_index(resolver_t *resolver, slice_t study, resolver_slot_t *slot)
{
    static const char sql[] =
        "SELECT s.patient, s.learned, p.text = ?2, w.text FROM word i "
        "LEFT JOIN study s ON s.study = i.id "
        "LEFT JOIN word p ON p.id = s.patient "
        "LEFT JOIN part t ON t.part = i.id "
        "LEFT JOIN word w ON w.id = t.whole WHERE i.text = ?1";
    sqlite3_stmt *statement = NULL;
    int result;

    if (sqlite3_prepare_v2(index_handle(resolver->index), sql, -1, &statement,
                           NULL) != SQLITE_OK)
    {
        return -EIO;
    }
    (void) sqlite3_bind_text(statement, 1, study.data, (int) study.size,
                             SQLITE_STATIC);
    (void) sqlite3_bind_text(statement, 2, resolver->patient.data,
                             (int) resolver->patient.size, SQLITE_STATIC);
    result = sqlite3_step(statement);
    if (result == SQLITE_ROW) {
        if (sqlite3_column_type(statement, 0) != SQLITE_NULL) {
            slot->state |= STATE_TOLD;
        }
        slot->state |= sqlite3_column_int(statement, 1) != 0 ? STATE_LEARNED
                                                             : 0;
        slot->state |= sqlite3_column_int(statement, 2) != 0 ? STATE_MINE : 0;
        if (sqlite3_column_type(statement, 3) != SQLITE_NULL) {
            slot->state |= STATE_PART;
            slot->whole = siphash(resolver->key,
                                  sqlite3_column_text(statement, 3),
                                  (size_t) sqlite3_column_bytes(statement, 3));
        }
    }
    (void) sqlite3_finalize(statement);
    return result == SQLITE_ROW || result == SQLITE_DONE ? 0 : -EIO;
}


/* The slot of a study, or a part of one, made if it was not met yet. */
static int
slot_of(resolver_t *resolver, slice_t study, resolver_slot_t **slot)
{
    siphash_t hash = siphash(resolver->key, study.data, study.size);
    int error = 0;

    if (2 * resolver->count >= (resolver->slots == NULL ? 0 : resolver->mask) &&
        !grow(resolver))
    {
        return -ENOMEM;
    }
    *slot = place_of(resolver, hash);
    if ((*slot)->state == 0) {
        resolver_slot_t made = {.hash = hash, .state = STATE_MET};

        if (resolver->index != NULL) {
            error = ask_index(resolver, study, &made);
        }
        **slot = made;
        resolver->count++;
    }
    return error;
}


/* By itself, or by what it is a part of. */
static bool
is_mine(const resolver_t *resolver, const resolver_slot_t *slot)
{
    for (unsigned i = 0; i < PARTS_DEEP && (slot->state & STATE_TOLD) == 0 &&
                         (slot->state & STATE_PART) != 0;
         i++)
    {
        slot = place_of(resolver, slot->whole);
    }
    return (slot->state & STATE_MINE) != 0;
}


/* Events whose successful records may say whose study it is. */
static bool
may_tell(record_event_t event)
{
    switch (event) {
    case EVENT_ACCESS:
    case EVENT_ACCESS_END:
    case EVENT_REQUEST:
    case EVENT_REQUEST_END:
    case EVENT_PATIENT_LEARNED:
        return true;
    default:
        return false;
    }
}


static int
note_part(resolver_t *resolver, slice_t part, slice_t whole, slice_t *changed)
{
    resolver_slot_t *slot;
    siphash_t hash;
    int error;

    if (part.size == 0 || whole.size == 0) {
        return 0;
    }
    error = slot_of(resolver, whole, &slot);
    if (error == 0) {
        hash = slot->hash;
        error = slot_of(resolver, part, &slot);
    }
    if (error < 0) {
        return error;
    }
    slot->state |= STATE_PART;
    slot->whole = hash;
    if ((slot->state & STATE_SAID) == 0 && is_mine(resolver, slot)) {
        slot->state |= STATE_SAID;
        *changed = part;
    }
    return 0;
}


int
resolver_note(resolver_t *resolver, const record_t *record, slice_t *changed)
{
    slice_t study = record->values[RECORD_STUDY];
    slice_t series = record->values[RECORD_SERIES];
    slice_t patient = record->values[RECORD_PATIENT];
    record_event_t event = record_event_find(record->values[RECORD_EVENT]);
    bool learned = event == EVENT_PATIENT_LEARNED, mine;
    resolver_slot_t *slot;
    int error;

    *changed = (slice_t){NULL, 0};
    if (!may_tell(event) || !slice_is(record->values[RECORD_OUTCOME], "0")) {
        return 0;
    }
    if (learned && patient.size == 0) {
        error = note_part(resolver, series, study, changed);
        return error < 0
                   ? error
                   : note_part(resolver, record->values[RECORD_INSTANCE],
                               series.size != 0 ? series : study, changed);
    }
    if (study.size == 0 || patient.size == 0) {
        return 0;
    }
    error = slot_of(resolver, study, &slot);
    if (error < 0 || (!learned && (slot->state & STATE_TOLD) != 0)) {
        return error;
    }
    mine = slice_equal(patient, resolver->patient);
    if (mine && (slot->state & STATE_MINE) == 0) {
        *changed = study;
    }
    slot->state = (uint8_t) ((slot->state & (STATE_PART | STATE_SAID)) |
                             STATE_MET | STATE_TOLD |
                             (learned ? STATE_LEARNED : 0) |
                             (mine ? STATE_MINE : 0));
    return 0;
}


/* What a record names that may belong to somebody: the study; without one
 * `patient` may be Orthanc's id, which is learned as studies are; without any of
 * these Orthanc's series or instance. */
static slice_t
named(const record_t *record)
{
    static const record_field_t fields[] = {RECORD_STUDY, RECORD_PATIENT,
                                            RECORD_SERIES, RECORD_INSTANCE};
    uint8_t bytes[ORTHANC_ID_BYTES];

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        slice_t text = record->values[fields[i]];

        if (text.size > 0 && (i < 2 || orthanc_id_parse(text, bytes))) {
            return text;
        }
    }
    return (slice_t){NULL, 0};
}


int
resolver_matches(resolver_t *resolver, const record_t *record, bool *matches)
{
    slice_t text = named(record);
    resolver_slot_t *slot;
    int error;

    *matches = slice_equal(record->values[RECORD_PATIENT], resolver->patient);
    if (*matches || text.size == 0) {
        return 0;
    }
    error = slot_of(resolver, text, &slot);
    *matches = error == 0 && is_mine(resolver, slot);
    return error;
}


/* One time over the entries. */
static int
read_once(resolver_t *resolver, trail_reader_t *reader, uint64_t from,
          uint64_t size, candidates_t *candidates, bool *again)
{
    _cleanup_(cleanup_scan) trail_scan_t *scan = NULL;
    _cleanup_(cleanup_free) char *buffer = malloc(TRAIL_ENTRY_MAX);
    progress_t progress;
    record_t record;
    uint64_t index;
    slice_t entry, changed;
    int error = buffer == NULL ? -ENOMEM : trail_scan_open(reader, from, &scan);

    *again = false;
    progress_begin(&progress, "resolved");
    while (error == 0 && (error = trail_scan_next(scan, &index, &entry)) == 1) {
        if (index % RESOLVE_STEP == 0) {
            progress_tell(&progress, index - from, size - from);
        }
        error = 0;
        /* "patient", or "patient-learned" */
        if (memmem(entry.data, entry.size, "\"patient", 8) == NULL ||
            !record_parse(entry, &record, buffer))
        {
            continue;
        }
        error = resolver_note(resolver, &record, &changed);
        if (error == 0 && changed.size > 0 && resolver->index != NULL) {
            error = candidates_of_study(candidates, resolver->index, changed);
            *again = true;
        }
    }
    progress_end(&progress);
    return error;
}


int
resolver_read(resolver_t *resolver, trail_reader_t *reader, uint64_t from,
              uint64_t size, candidates_t *candidates)
{
    bool again = true;
    int error = 0;

    /* a part may be told before it is known whose the whole is */
    for (unsigned i = 0; error == 0 && again && i <= PARTS_DEEP; i++) {
        error = read_once(resolver, reader, from, size, candidates, &again);
    }
    return error;
}
