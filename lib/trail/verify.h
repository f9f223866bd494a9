/*
 * Verifying a trail: every leaf, tile and root is derived again from the
 * entries and compared with what is on the disk and with what was signed.
 */

#ifndef SEKISHO_TRAIL_VERIFY_H
#define SEKISHO_TRAIL_VERIFY_H

#include "merkle.h"
#include "note.h"
#include "trail.h"

/* In order of weight: the heaviest that applies is the result. */
typedef enum {
    VERIFY_ERROR = 0, /* could not be verified to the end: `problem` */
    VERIFY_OK,        /* everything is as it was signed */
    VERIFY_UNSEALED,  /* so it is, and entries follow the checkpoint */
    VERIFY_GAP,       /* a hook found numbers missing */
    VERIFY_TAMPERED
} verify_result_t;

typedef enum {
    VERIFY_NO_FINDING = 0,
    VERIFY_CHECKPOINT,  /* the checkpoint is none, or not signed by the keys */
    VERIFY_ENTRY,       /* an entry was changed, added, removed or moved */
    VERIFY_TILE,        /* a tile does not hold the hashes of its entries */
    VERIFY_MISSING,     /* a file is not there */
    VERIFY_JOURNAL,     /* the journal is damaged or does not fit */
    VERIFY_ROLLED_BACK, /* shorter than a checkpoint kept elsewhere */
    VERIFY_REPLACED,    /* not the history of a checkpoint kept elsewhere */
    VERIFY_BAD_KEPT     /* the kept checkpoint itself is of no use */
} verify_kind_t;

typedef struct {
    verify_kind_t kind;
    uint64_t index; /* of the first entry concerned; UINT64_MAX: none */
    char text[320]; /* file, place, what; one line */
} verify_finding_t;

#define VERIFY_FINDINGS_MAX 64
#define VERIFY_KEPT_MAX     64
#define VERIFY_THREADS_MAX  64

/* Entries of one range: those below one tile of level 1. */
#define VERIFY_RANGE 65536

/*
 * Sees every entry, for what only the caller can check (numbering).  The trail
 * is cut into ranges of VERIFY_RANGE entries; `entry` is called for those of
 * one range in order by one thread, with zeroed memory of `state_bytes` of the
 * range's own, several ranges at a time; `join` once per range, strictly in
 * order and never two at a time.  Unsealed entries come last, in ranges as
 * well.  Either may be NULL; both give 0, a negative errno to stop, or how many
 * gaps were found.
 */
typedef struct {
    size_t state_bytes;
    int (*entry)(void *argument, void *state, uint64_t index, slice_t entry);
    int (*join)(void *argument, void *state, uint64_t first, uint64_t count);
    void *argument;
} verify_hook_t;

typedef struct {
    const note_verifier_t *keys; /* none: signatures are not looked at */
    size_t keys_count;
    /* checkpoints kept elsewhere (whole notes): each must be an earlier state
     * of this trail; at most VERIFY_KEPT_MAX */
    const slice_t *kept;
    size_t kept_count;
    unsigned threads; /* 0: one per processor, at most VERIFY_THREADS_MAX */
    const verify_hook_t *hook;
    /* now and then, from any of the threads but one at a time */
    void (*progress)(void *argument, uint64_t done, uint64_t size);
    void *progress_argument;
} verify_options_t;

typedef struct {
    verify_result_t result;
    uint64_t sealed; /* entries under the checkpoint */
    merkle_hash_t root;
    uint64_t unsealed;    /* entries after it */
    uint64_t gaps;        /* as the hook counted */
    uint64_t bytes;       /* of the sealed bundles */
    bool journal_missing; /* a copy without one: nothing wrong with that */
    /* the journal ends in a batch that is not whole: a crash, or a cut */
    uint64_t torn_bytes;
    char torn_place[48];     /* "journal/2 at byte 4711" */
    uint64_t findings_count; /* all; kept are the first of them, by index */
    verify_finding_t findings[VERIFY_FINDINGS_MAX];
    trail_problem_t problem; /* of VERIFY_ERROR */
} verify_report_t;

/*
 * Verifies the trail in `folder`, also while it is written (then as of one
 * checkpoint).  The memory used does not depend on its size.  0, or the
 * negative errno that is also in the report.
 */
int trail_verify(const char *folder, const verify_options_t *options,
                 verify_report_t *report);

#endif
