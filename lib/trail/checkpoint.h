/* Checkpoints, C2SP tlog-checkpoint: the signed size and root of a log. */

#ifndef SEKISHO_TRAIL_CHECKPOINT_H
#define SEKISHO_TRAIL_CHECKPOINT_H

#include "merkle.h"
#include "note.h"

typedef struct {
    slice_t origin;
    uint64_t size; /* leaves */
    merkle_hash_t root;
    slice_t extensions; /* further lines with their newlines; may be empty */
} checkpoint_t;

/* Room for the body: the origin and two lines. */
#define CHECKPOINT_BODY_MAX (NOTE_NAME_MAX + 1 + 20 + 1 + 44 + 1)

/* Of a note's text; the slices point into it.  False if it is none. */
bool checkpoint_parse(slice_t text, checkpoint_t *checkpoint);

/* The body to sign, without extensions; no NUL.  The origin has at most
 * NOTE_NAME_MAX bytes. */
size_t checkpoint_format(slice_t origin, uint64_t size,
                         const merkle_hash_t *root,
                         char body[CHECKPOINT_BODY_MAX]);

/*
 * A whole checkpoint file: note, signatures and body.  It must be signed by one
 * of the keys of type NOTE_ED25519 whose name is its origin; keys of witnesses
 * among `verifiers` are checked where their signatures stand but do not suffice.
 * *verified (may be NULL) as note_verify().  Without any key (count 0) the
 * signatures are not looked at.  0, or with the reason in `problem` -EBADMSG
 * (no checkpoint, or a false signature), -ENOKEY (signed by none of the keys)
 * or -EIO.  The slices point into `bytes`.
 */
int checkpoint_open(slice_t bytes, const note_verifier_t *verifiers,
                    size_t count, checkpoint_t *checkpoint, uint32_t *verified,
                    trail_problem_t *problem);

#endif
