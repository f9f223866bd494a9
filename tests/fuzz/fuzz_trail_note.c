/* Notes, checkpoints, keys, proof files: the first byte chooses. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../../lib/trail/checkpoint.h"
#include "../../lib/trail/note.h"
#include "../../lib/trail/proof.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key_text[] =
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

static void
fuzz_note(slice_t bytes)
{
    note_verifier_t key;
    checkpoint_t checkpoint;
    char body[CHECKPOINT_BODY_MAX];
    note_t note;

    if (!note_verifier_parse(slice_of(key_text), &key)) {
        abort();
    }
    if (note_parse(bytes, &note)) {
        if (note.text.data != bytes.data || note.signatures_count == 0 ||
            note.text.data[note.text.size - 1] != '\n')
        {
            abort();
        }
        (void) note_verify(&note, &key, 1, NULL);
    }
    if (checkpoint_parse(bytes, &checkpoint) &&
        checkpoint.origin.size <= NOTE_NAME_MAX)
    {
        /* one text per value */
        size_t used = checkpoint_format(checkpoint.origin, checkpoint.size,
                                        &checkpoint.root, body);

        if (used + checkpoint.extensions.size != bytes.size ||
            memcmp(body, bytes.data, used) != 0)
        {
            abort();
        }
    }
    (void) checkpoint_open(bytes, &key, 1, &checkpoint, NULL, NULL);
}

static void
fuzz_keys(slice_t bytes)
{
    char text[NOTE_SIGNER_TEXT_MAX];
    note_verifier_t key;
    note_signer_t signer;

    if (note_verifier_parse(bytes, &key) &&
        (note_verifier_format(&key, text) != bytes.size ||
         memcmp(text, bytes.data, bytes.size) != 0))
    {
        abort();
    }
    if (note_signer_parse(bytes, &signer) &&
        (note_signer_format(&signer, text) != bytes.size ||
         memcmp(text, bytes.data, bytes.size) != 0))
    {
        abort();
    }
}

static void
fuzz_proof(slice_t bytes)
{
    proof_file_t file;
    note_verifier_t key;
    merkle_hasher_t hasher;
    char *again;
    size_t used;

    if (!proof_file_parse(bytes, &file)) {
        return;
    }
    again = malloc(bytes.size);
    if (again == NULL || merkle_hasher_init(&hasher) != 0 ||
        !note_verifier_parse(slice_of(key_text), &key))
    {
        abort();
    }
    if (proof_file_format(&file, again, bytes.size, &used) != 0 ||
        used != bytes.size || memcmp(again, bytes.data, used) != 0)
    {
        abort();
    }
    (void) proof_file_verify(&hasher, &file, SLICE("entry"), &key, 1, NULL,
                             NULL);
    merkle_hasher_free(&hasher);
    free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice_t bytes;

    if (size == 0) {
        return 0;
    }
    bytes = (slice_t){(const char *) data + 1, size - 1};
    switch (data[0] % 3) {
    case 0:
        fuzz_note(bytes);
        break;
    case 1:
        fuzz_keys(bytes);
        break;
    default:
        fuzz_proof(bytes);
        break;
    }
    return 0;
}
