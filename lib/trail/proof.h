/*
 * Proofs: that an entry is in a log (inclusion), that a log only grew
 * (consistency), RFC 6962 section 2.1; and the file that proves an entry to
 * anybody, C2SP tlog-proof.
 */

#ifndef SEKISHO_TRAIL_PROOF_H
#define SEKISHO_TRAIL_PROOF_H

#include "checkpoint.h"
#include "merkle.h"
#include "reader.h"

#define PROOF_HASHES_MAX 64
#define PROOF_FILE_MAX   (NOTE_SIZE_MAX + 8192)

typedef struct {
    size_t count;
    merkle_hash_t hashes[PROOF_HASHES_MAX]; /* from the leaf's sibling up */
} proof_t;

/* From the tiles of a trail whose checkpoint has at least `size` entries.
 * -ERANGE for an index or size beyond, and as trail_reader_node(). */
int proof_inclusion(trail_reader_t *reader, uint64_t index, uint64_t size,
                    proof_t *proof);
int proof_consistency(trail_reader_t *reader, uint64_t old, uint64_t size,
                      proof_t *proof);

/* The root that the tree had at `size`. */
int proof_root(trail_reader_t *reader, uint64_t size, merkle_hash_t *root);

/* RFC 9162, 2.1.3.2 and 2.1.4.2.  False if it proves nothing. */
bool proof_verify_inclusion(merkle_hasher_t *hasher, const merkle_hash_t *leaf,
                            uint64_t index, uint64_t size,
                            const merkle_hash_t *root, const proof_t *proof);
bool proof_verify_consistency(merkle_hasher_t *hasher, uint64_t old,
                              const merkle_hash_t *old_root, uint64_t size,
                              const merkle_hash_t *root, const proof_t *proof);

/* "c2sp.org/tlog-proof@v1" */
typedef struct {
    slice_t extra; /* Base64 as written; not authenticated.  Empty: none */
    uint64_t index;
    proof_t proof;
    slice_t checkpoint; /* the note, verbatim */
} proof_file_t;

/* Writes it into at most `capacity` bytes; -ENOSPC. */
int proof_file_format(const proof_file_t *file, char *bytes, size_t capacity,
                      size_t *size);

/* The slices point into `bytes`.  False if it is not exactly the format. */
bool proof_file_parse(slice_t bytes, proof_file_t *file);

/*
 * That `entry` is what the proof is about and the log signed it, with
 * checkpoint_open()'s rules for `keys` (at least one).  0; -EBADMSG, -ENOKEY
 * with the reason in `problem`.  *checkpoint may be NULL.
 */
int proof_file_verify(merkle_hasher_t *hasher, const proof_file_t *file,
                      slice_t entry, const note_verifier_t *keys, size_t count,
                      checkpoint_t *checkpoint, trail_problem_t *problem);

#endif
