/* Between the audit_evidence*.c files: one bundle. */

#ifndef SEKISHO_AUDIT_EVIDENCE_H
#define SEKISHO_AUDIT_EVIDENCE_H

#include "audit_resolve.h"
#include "report.h"

/* Records in one bundle: verify.sh takes two milliseconds for each. */
#define EVIDENCE_RECORDS_MAX 500000u

/* Entries of a --complete range: its leaves in one file of the archive. */
#define EVIDENCE_RANGE_MAX UINT64_C(100000000)

/* Ids of the openings that were chosen, for their closes: 64 bits of each, and
 * they are random. */
typedef struct {
    uint64_t *slots; /* 0: empty */
    size_t mask, count;
} opening_ids_t;

typedef struct {
    const arguments_t *arguments;
    const char *command;
    words_t words;
    place_t place;
    keys_t keys; /* those that signed the checkpoint */
    trail_reader_t *reader;
    review_index_t *index; /* NULL: none */
    filter_t filter;
    bool by_patient;
    resolver_t resolver;
    bool complete;
    char *buffer; /* for record_parse() */

    /* the one checkpoint that all proofs are against */
    char *note;
    size_t note_size;
    uint64_t size;
    merkle_hash_t root;

    uint64_t from, to; /* entries that were looked at; of the range */
    candidates_t chosen;
    opening_ids_t openings;
    uint64_t records_bytes; /* of the chosen entries with their newlines */
} evidence_t;

/* ---- Which records (audit_evidence_select.c) ----------------------------- */

/* Fills from, to and chosen.  An error is told; as below. */
int evidence_select(evidence_t *evidence);
/* One more: -EFBIG, -ENOMEM.  Not sorted: candidates_sort(). */
int evidence_choose(evidence_t *evidence, uint64_t index);
void evidence_select_free(evidence_t *evidence);

/* ---- The range, for --complete (audit_evidence_range.c) ------------------ */

/* Widens the range to records of the daemon on both sides, which are chosen as
 * well: they show that the period lies between. */
int evidence_widen(evidence_t *evidence);

/* The file "tree"; checks it and the leaves against the root. */
int evidence_tree(evidence_t *evidence, page_t *tree);
void evidence_hex(const merkle_hash_t *hash,
                  char text[2 * MERKLE_HASH_SIZE + 1]);
int evidence_leaf(evidence_t *evidence, uint64_t index, merkle_hash_t *leaf);

/* ---- The files (audit_evidence_page.c, audit_evidence_files.c) ----------- */

int evidence_page(evidence_t *evidence, page_t *page);

slice_t evidence_file_verify(void);
slice_t evidence_file_page(void);
slice_t evidence_file_words(bool japanese);

#endif
