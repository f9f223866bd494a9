#define _GNU_SOURCE
#include "audit_resolve.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/random.h>

#define SLOTS_MIN 1024

enum {
    STATE_MET = 1, /* looked up: a slot that is taken */
    STATE_TOLD = 2,
    STATE_LEARNED = 4,
    STATE_MINE = 8
};

int
resolver_make(resolver_t *resolver, slice_t patient, review_index_t *index)
{
    *resolver = (resolver_t){.patient = patient, .index = index};
    return getrandom(resolver->key, sizeof(resolver->key), 0) ==
                   (ssize_t) sizeof(resolver->key)
               ? 0
               : -EIO;
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


/* What the index says of a study. */
static int
ask_index(resolver_t *resolver, slice_t study, uint8_t *state)
{
    static const char sql[] =
        "SELECT s.learned, w.text = ?2 FROM study s "
        "JOIN word w ON w.id = s.patient "
        "WHERE s.study = (SELECT id FROM word WHERE text = ?1)";
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
        *state |= STATE_TOLD;
        *state |= sqlite3_column_int(statement, 0) != 0 ? STATE_LEARNED : 0;
        *state |= sqlite3_column_int(statement, 1) != 0 ? STATE_MINE : 0;
    }
    (void) sqlite3_finalize(statement);
    return result == SQLITE_ROW || result == SQLITE_DONE ? 0 : -EIO;
}


/* The slot of a study, made if it was not met yet. */
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
        uint8_t state = STATE_MET;

        if (resolver->index != NULL) {
            error = ask_index(resolver, study, &state);
        }
        **slot = (resolver_slot_t){hash, state};
        resolver->count++;
    }
    return error;
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


int
resolver_note(resolver_t *resolver, const record_t *record, bool *changed)
{
    slice_t study = record->values[RECORD_STUDY];
    slice_t patient = record->values[RECORD_PATIENT];
    record_event_t event = record_event_find(record->values[RECORD_EVENT]);
    bool learned = event == EVENT_PATIENT_LEARNED, mine;
    resolver_slot_t *slot;
    int error;

    *changed = false;
    if (study.size == 0 || patient.size == 0 || !may_tell(event) ||
        !slice_is(record->values[RECORD_OUTCOME], "0"))
    {
        return 0;
    }
    error = slot_of(resolver, study, &slot);
    if (error < 0 || (!learned && (slot->state & STATE_TOLD) != 0)) {
        return error;
    }
    mine = slice_equal(patient, resolver->patient);
    *changed = mine && (slot->state & STATE_MINE) == 0;
    slot->state = (uint8_t) (STATE_MET | STATE_TOLD |
                             (learned ? STATE_LEARNED : 0) |
                             (mine ? STATE_MINE : 0));
    return 0;
}


int
resolver_matches(resolver_t *resolver, const record_t *record, bool *matches)
{
    slice_t patient = record->values[RECORD_PATIENT];
    slice_t study = record->values[RECORD_STUDY];
    resolver_slot_t *slot;
    int error;

    *matches = slice_equal(patient, resolver->patient);
    /* without a study, `patient` may be Orthanc's id, which is learned as
     * studies are */
    study = study.size == 0 ? patient : study;
    if (*matches || study.size == 0) {
        return 0;
    }
    error = slot_of(resolver, study, &slot);
    *matches = error == 0 && (slot->state & STATE_MINE) != 0;
    return error;
}
