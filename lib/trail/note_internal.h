/* Between note.c (notes and verifier keys) and signer.c (secret keys). */

#ifndef SEKISHO_TRAIL_NOTE_INTERNAL_H
#define SEKISHO_TRAIL_NOTE_INTERNAL_H

#include "note.h"

/* Sets `id` from name, type and key; -EIO from OpenSSL. */
int note_key_id(note_verifier_t *verifier);

/* "name+hex+base64" -> its parts; the hexadecimal id is not compared. */
bool note_key_split(slice_t text, slice_t *name, slice_t *hex, uint8_t key[33]);

/* The same text again, with `material` (32 bytes) as the key. */
size_t note_key_format(const note_verifier_t *verifier, const uint8_t *material,
                       char *text, size_t capacity);

#endif
