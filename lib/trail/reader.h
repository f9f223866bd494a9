/*
 * Reading a trail: this host's while it is written, or a copy of the folder on
 * another machine.  Nothing in the folder is changed.
 *
 * What the checkpoint covers is read from bundles, what comes after it (the
 * unsealed entries) from the journal, if there is one.  The reader checks the
 * checkpoint's signatures and the shape of what it reads; that entries are what
 * the checkpoint covers is verify.h's and proof.h's.
 */

#ifndef SEKISHO_TRAIL_READER_H
#define SEKISHO_TRAIL_READER_H

#include "checkpoint.h"
#include "merkle.h"
#include "note.h"
#include "trail.h"

typedef struct trail_reader_s trail_reader_t;
typedef struct trail_scan_s trail_scan_t;

/*
 * Opens a folder and reads its checkpoint.  `keys` (copied; none: signatures
 * are not looked at) as checkpoint_open().  -ENOENT without a checkpoint,
 * -EBADMSG, -ENOKEY, …, with the reason in `problem`.  Threads need a reader
 * each.
 */
int trail_reader_open(const char *folder, const note_verifier_t *keys,
                      size_t keys_count, trail_reader_t **reader,
                      trail_problem_t *problem);
void trail_reader_free(trail_reader_t *reader); /* NULL is fine */

/* Reads the checkpoint again: a live trail has grown. */
int trail_reader_refresh(trail_reader_t *reader);

/* Of the last checkpoint read; the slices hold until the next refresh, and any
 * call here may refresh. */
const checkpoint_t *trail_reader_checkpoint(const trail_reader_t *reader);
slice_t trail_reader_note(const trail_reader_t *reader); /* its bytes */

/* What the last failed call was about; one line. */
const char *trail_reader_problem(const trail_reader_t *reader);

/*
 * One entry, sealed or not; *entry is the reader's until its next call.
 * -ERANGE if there is none of that index yet.
 */
int trail_reader_entry(trail_reader_t *reader, uint64_t index, slice_t *entry);

/*
 * The hash of the complete subtree of 2^height leaves that begins at leaf
 * number << height, from the tiles; it must be within the checkpoint (-ERANGE).
 */
int trail_reader_node(trail_reader_t *reader, unsigned height, uint64_t number,
                      merkle_hash_t *hash);

/* The reader's own hasher, for proofs. */
merkle_hasher_t *trail_reader_hasher(trail_reader_t *reader);

/* Entries from index `from` on, in order.  The reader must live longer and be
 * used for nothing else meanwhile but its getters. */
int trail_scan_open(trail_reader_t *reader, uint64_t from, trail_scan_t **scan);
void trail_scan_free(trail_scan_t *scan); /* NULL is fine */

/*
 * 1: *index and *entry are the next (the scan's until its next call); 0: no
 * more at present (call again later to follow a live trail); negative errno,
 * with trail_reader_problem().
 */
int trail_scan_next(trail_scan_t *scan, uint64_t *index, slice_t *entry);

#endif
