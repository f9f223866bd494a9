/* `sekisho audit prove` and `checkpoint`: what others verify. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "../lib/base/file.h"
#include "../lib/trail/proof.h"
#include "audit_tools.h"

/* To -o FILE, or to standard output. */
static int
write_out(const arguments_t *arguments, slice_t bytes)
{
    const char *path = option_value(arguments, "-o");
    int error;

    if (path == NULL) {
        fwrite(bytes.data, 1, bytes.size, stdout);
        return STATUS_OK;
    }
    error = file_write_atomic(path, bytes, 0644);
    return error == 0 ? STATUS_OK
                      : fail(arguments->command->name, "%s: %s", path,
                             strerror(-error));
}


int
fresh_checkpoint(const char *command, const place_t *place)
{
    _cleanup_(cleanup_client) client_t *client = NULL;
    int error;

    if (!place->live || (client = daemon_open(command, place)) == NULL) {
        return STATUS_NO;
    }
    error = client_checkpoint(client);
    return error == 0
               ? STATUS_OK
               : fail(command, "%s: no checkpoint was made: %s", place->socket,
                      error == -ENOSPC ? client_reason(client)
                                       : strerror(-error));
}


/* The proof, made and checked. */
static int
make_proof(const char *command, trail_reader_t *reader, uint64_t index,
           const merkle_hash_t *leaf, char *bytes, size_t *size)
{
    const checkpoint_t *checkpoint = trail_reader_checkpoint(reader);
    proof_file_t file = {.index = index};
    uint64_t tree = checkpoint->size;

    if (index >= tree) {
        return fail(command,
                    "entry %llu is not under a checkpoint yet: ask again in a "
                    "second",
                    (unsigned long long) index);
    }
    if (proof_inclusion(reader, index, tree, &file.proof) < 0) {
        return fail(command, "%s", trail_reader_problem(reader));
    }
    checkpoint = trail_reader_checkpoint(reader);
    if (checkpoint->size != tree) {
        return STATUS_NO; /* a new one was read on the way */
    }
    if (!proof_verify_inclusion(trail_reader_hasher(reader), leaf, index, tree,
                                &checkpoint->root, &file.proof))
    {
        return fail(command,
                    "entry %llu does not fit the checkpoint: the trail was "
                    "tampered with; see sekisho audit verify",
                    (unsigned long long) index);
    }
    file.checkpoint = trail_reader_note(reader);
    return proof_file_format(&file, bytes, PROOF_FILE_MAX, size) == 0
               ? STATUS_OK
               : fail(command, "the proof is too long");
}


static int
prove(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    _cleanup_(place_free) place_t place = {NULL, NULL, NULL, false};
    _cleanup_(cleanup_reader) trail_reader_t *reader = NULL;
    _cleanup_(cleanup_free) char *bytes = malloc(PROOF_FILE_MAX);
    merkle_hash_t leaf;
    slice_t entry;
    size_t size = 0;
    uint64_t index;
    int status;

    if (bytes == NULL) {
        return fail(command, "out of memory");
    }
    if (place_find(arguments, &place) != STATUS_OK ||
        reader_open(command, &place, &reader) != STATUS_OK ||
        read_recorded(arguments, &place) != STATUS_OK ||
        entry_find(command, reader, argument(arguments, 0), &index, &entry) !=
            STATUS_OK)
    {
        return STATUS_ERROR;
    }
    merkle_leaf(trail_reader_hasher(reader), entry, &leaf);
    if (index >= trail_reader_checkpoint(reader)->size &&
        fresh_checkpoint(command, &place) == STATUS_ERROR)
    {
        return STATUS_ERROR;
    }
    do {
        if (trail_reader_refresh(reader) < 0) {
            return fail(command, "%s", trail_reader_problem(reader));
        }
        status = make_proof(command, reader, index, &leaf, bytes, &size);
    } while (status == STATUS_NO);
    return status == STATUS_OK ? write_out(arguments, (slice_t){bytes, size})
                               : status;
}


static int
checkpoint(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    _cleanup_(place_free) place_t place = {NULL, NULL, NULL, false};
    _cleanup_(cleanup_reader) trail_reader_t *reader = NULL;
    int status;

    if (place_find(arguments, &place) != STATUS_OK) {
        return STATUS_ERROR;
    }
    status = fresh_checkpoint(command, &place);
    if (status == STATUS_ERROR ||
        reader_open(command, &place, &reader) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (status == STATUS_NO && place.live) {
        fprintf(stderr,
                "%swarning: no sekishod answers: this is the last checkpoint, "
                "and no new one%s\n",
                style_on(stderr, STYLE_WARN), style_off(stderr, STYLE_WARN));
    }
    return write_out(arguments, trail_reader_note(reader));
}


static const option_t prove_options[] = {
    {"-o", "FILE", "Write the proof there."},
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    NOTE_OPTION,
    UNRECORDED_OPTION,
    {NULL, NULL, NULL},
};

const command_t audit_prove_command = {
    .name = "audit prove",
    .arguments = "ID|ENTRY",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "Make a file that proves one record to anybody.",
    .details =
        "Together with the record's line (sekisho audit show --json) and the "
        "verifier key, the file (C2SP tlog-proof) proves that the record is "
        "in the trail, without the trail. docs/verify-by-hand.md checks one "
        "with openssl and sha256sum.\n\n"
        "Exit status: 0 done; 2 error.",
    .options = prove_options,
    .run = prove,
};

static const option_t checkpoint_options[] = {
    {"-o", "FILE", "Write the checkpoint there."},
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    {NULL, NULL, NULL},
};

const command_t audit_checkpoint_command = {
    .name = "audit checkpoint",
    .arguments = "",
    .summary = "Print a fresh checkpoint, to be kept elsewhere.",
    .details = "A checkpoint is the signed size and root of the trail. Kept "
               "where root of this host cannot change it, it shows later that "
               "the trail was not rolled back or replaced: sekisho audit "
               "verify --checkpoint FILE.\n\n"
               "Exit status: 0 done; 2 error.",
    .options = checkpoint_options,
    .run = checkpoint,
};
