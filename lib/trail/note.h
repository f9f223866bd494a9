/*
 * Signed notes (C2SP signed-note) with Ed25519, and the keys for them.
 *
 * A key is written as the format's own text, the secret one as
 * "PRIVATE+KEY+name+id+base64(0x01 || seed)" and not as PKCS#8: so the file
 * holds the name it signs under, nobody can pair a key with a wrong name, and
 * other tools for signed notes read it.
 */

#ifndef SEKISHO_TRAIL_NOTE_H
#define SEKISHO_TRAIL_NOTE_H

#include <stdint.h>

#include "../base/slice.h"
#include "../base/wipe.h"
#include "trail.h"

#define NOTE_SIZE_MAX       65536 /* bytes of a whole note */
#define NOTE_NAME_MAX       255   /* bytes of a key's name */
#define NOTE_SIGNATURES_MAX 32
#define NOTE_KEYS_MAX       32 /* given to one verification */

/* Room for the text of a key with its NUL. */
#define NOTE_VERIFIER_TEXT_MAX (NOTE_NAME_MAX + 1 + 8 + 1 + 44 + 1)
#define NOTE_SIGNER_TEXT_MAX   (12 + NOTE_VERIFIER_TEXT_MAX)

typedef enum {
    NOTE_ED25519 = 1,    /* over the text: the log's own */
    NOTE_COSIGNATURE = 4 /* with a time: a witness's (tlog-cosignature) */
} note_type_t;

typedef struct {
    char name[NOTE_NAME_MAX + 1];
    uint8_t id[4]; /* the first bytes of SHA-256(name, \n, type, key) */
    uint8_t type;  /* note_type_t */
    uint8_t key[32];
} note_verifier_t;

/* The secret.  Declare it with _cleanup_(note_signer_wipe). */
typedef struct {
    note_verifier_t verifier;
    uint8_t seed[32];
} note_signer_t;

static inline void
note_signer_wipe(note_signer_t *signer)
{
    wipe_bytes(signer, sizeof(*signer));
}

/* "name+hex id+base64(type || key)".  False if it is anything else, or if the
 * id is not that of name and key. */
bool note_verifier_parse(slice_t text, note_verifier_t *verifier);
size_t note_verifier_format(const note_verifier_t *verifier,
                            char text[NOTE_VERIFIER_TEXT_MAX]);

/* Whether a name may be that of a key: 1 to 255 bytes of UTF-8, no spaces of
 * any kind, no control characters, no plus. */
bool note_name_valid(slice_t name);

/* A fresh key.  -EINVAL for the name, -EIO from OpenSSL. */
int note_signer_generate(slice_t name, note_signer_t *signer);

/* False also if the id does not belong to name and seed. */
bool note_signer_parse(slice_t text, note_signer_t *signer);
/* The caller wipes `text`. */
size_t note_signer_format(const note_signer_t *signer,
                          char text[NOTE_SIGNER_TEXT_MAX]);

/*
 * Reads the key file: a regular file, no symbolic link, owned by root or by
 * this process's user, with no rights for group or others; or a credential as
 * systemd hands it over (0440, root's, an ACL for this user alone).  Negative
 * errno with the reason in `problem`.
 */
int note_signer_load(const char *path, note_signer_t *signer,
                     trail_problem_t *problem);

/* Writes a new key file, mode 0400, synced with its folder.  -EEXIST rather
 * than overwrite one: a lost signing key cannot be made again. */
int note_signer_save(const char *path, const note_signer_t *signer);

typedef struct {
    slice_t name;
    uint8_t id[4];
    slice_t base64; /* id and signature, as written */
} note_signature_t;

typedef struct {
    slice_t text; /* with its last newline, without the empty line */
    note_signature_t signatures[NOTE_SIGNATURES_MAX];
    size_t signatures_count;
} note_t;

/*
 * Splits a note; everything points into `bytes`.  False if it is not exactly
 * what signed-note says, or above the bounds.  Verifies nothing.
 */
bool note_parse(slice_t bytes, note_t *note);

/*
 * text || "\n" || one signature line per signer, into `bytes`; *size is how
 * many.  -EINVAL for a text that no note can have, -ENOSPC, -EIO.
 */
int note_sign(slice_t text, const note_signer_t *signers, size_t signers_count,
              char *bytes, size_t capacity, size_t *size);

typedef enum {
    NOTE_ERROR = 0, /* OpenSSL or memory: nothing is known */
    NOTE_UNKNOWN,   /* no signature is by a given key */
    NOTE_BAD,       /* a signature claims a given key and is not by it */
    NOTE_OK         /* at least one by a given key, and none of those bad */
} note_result_t;

/*
 * Verifies the signatures of the given keys and leaves the others alone.  Bit i
 * of *verified (may be NULL) says that verifiers[i] signed.  At most
 * NOTE_KEYS_MAX keys, else NOTE_ERROR.
 */
note_result_t note_verify(const note_t *note, const note_verifier_t *verifiers,
                          size_t count, uint32_t *verified);

#endif
