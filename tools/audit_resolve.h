/* Whose study it is, as docs/audit-db.md says: by the index and what came after
 * it, or from the trail alone. */

#ifndef SEKISHO_AUDIT_RESOLVE_H
#define SEKISHO_AUDIT_RESOLVE_H

#include "../lib/base/siphash.h"
#include "audit_index.h"

typedef struct {
    siphash_t hash;  /* of the study, or what is a part of one */
    siphash_t whole; /* what it is a part of, as a record told */
    uint8_t state;   /* 0: an empty slot */
} resolver_slot_t;

/* For one patient: which studies are his.  A study takes 40 to 80 bytes. */
typedef struct {
    slice_t patient;
    review_index_t *index; /* asked about studies not met yet; or NULL */
    uint8_t key[SIPHASH_KEY_SIZE];
    resolver_slot_t *slots;
    size_t mask, count;
} resolver_t;

/*
 * --patient is a question about studies, too: it leaves the filter, and the
 * resolver is made for it.  *taken: there was one; resolver_free() then.  0 or
 * negative errno, as all below; -EIO: no random numbers.
 */
int resolver_take(resolver_t *resolver, filter_t *filter, review_index_t *index,
                  bool *taken);
void resolver_free(resolver_t *resolver);

/* Takes in what a record tells.  Records come in the trail's order; with an
 * index those from its size on.  *changed, in the record: the study or part that
 * is the patient's, and was not known to be; size 0: none. */
int resolver_note(resolver_t *resolver, const record_t *record,
                  slice_t *changed);

/* Whether the record is about the patient: by its own words, or its study's. */
int resolver_matches(resolver_t *resolver, const record_t *record,
                     bool *matches);

/* ---- What may match, by the index (audit_candidates.c) ------------------- */

typedef struct {
    uint64_t *numbers; /* ascending, each once */
    size_t count, capacity;
} candidates_t;

/* Whether the index helps with these conditions. */
bool candidates_help(const filter_t *filter);

/*
 * Adds the entries from .. to - 1 that may match: the filter's conditions alone,
 * or those about a patient, or about one study.  candidates_free() in any case.
 */
int candidates_of_filter(candidates_t *candidates, review_index_t *index,
                         const filter_t *filter, uint64_t from, uint64_t to);
int candidates_of_patient(candidates_t *candidates, review_index_t *index,
                          slice_t patient);
int candidates_of_study(candidates_t *candidates, review_index_t *index,
                        slice_t study);

/* resolver_note() for all entries from `from` on; with an index what it says
 * of the studies found is added to the candidates.  `size` of the trail, for
 * who waits. */
int resolver_read(resolver_t *resolver, trail_reader_t *reader, uint64_t from,
                  uint64_t size, candidates_t *candidates);

void candidates_sort(candidates_t *candidates);
void candidates_free(candidates_t *candidates);

#endif
