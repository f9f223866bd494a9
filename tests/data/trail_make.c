/*
 * Drives lib/trail for the tests in Python: lines on standard input, answers on
 * standard output.
 *
 *   trail_make key NAME FILE              a new signing key; prints the vkey
 *   trail_make create FOLDER KEY
 *   trail_make write FOLDER KEY [KEY…]    then, line by line:
 *       add TEXT      puts an entry into the batch in hand
 *       append        appends the batch: "OK first" or "error N"
 *       append!       the same, privileged
 *       checkpoint    waits for one: "OK size" or "error N"
 *       status        "state size sealed error"
 *       crash         ends at once, as if killed
 *     the end of the input closes the trail: "closed N"
 *   trail_make prove FOLDER INDEX         prints the proof file
 *   trail_make consistency FOLDER OLD NEW prints the hashes in hexadecimal
 *   trail_make read FOLDER                prints every entry, sealed or not
 *   trail_make verify FOLDER VKEY [CHECKPOINT…]
 *                                         result, sealed, unsealed; findings
 *
 * TRAIL_SEGMENT (bytes) and TRAIL_SEGMENTS shape the journal.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../lib/base/file.h"
#include "../../lib/trail/proof.h"
#include "../../lib/trail/reader.h"
#include "../../lib/trail/verify.h"
#include "../../lib/trail/writer.h"

#define BATCH_MAX 4096
#define KEYS_MAX  TRAIL_SIGNERS_MAX

static int
fail(const char *what, int error, const trail_problem_t *problem)
{
    (void) fprintf(stderr, "%s: %s%s%s\n", what, strerror(-error),
                   problem == NULL ? "" : ": ",
                   problem == NULL ? "" : problem->text);
    return 1;
}

static uint32_t
number(const char *name)
{
    const char *text = getenv(name);

    return text == NULL ? 0 : (uint32_t) strtoul(text, NULL, 10);
}

static int
make_key(const char *name, const char *path)
{
    _cleanup_(note_signer_wipe) note_signer_t signer;
    char text[NOTE_VERIFIER_TEXT_MAX];
    int result = note_signer_generate(slice_of(name), &signer);

    if (result == 0) {
        result = note_signer_save(path, &signer);
    }
    if (result != 0) {
        return fail(path, result, NULL);
    }
    (void) note_verifier_format(&signer.verifier, text);
    (void) puts(text);
    return 0;
}

static void
append(trail_writer_t *writer, slice_t *entries, size_t *count, unsigned flags)
{
    uint64_t first = 0;
    int result = trail_writer_append(writer, entries, *count, flags, &first);

    if (result == 0) {
        (void) printf("OK %llu\n", (unsigned long long) first);
    } else {
        (void) printf("error %d\n", result);
    }
    while (*count > 0) {
        free((char *) entries[--*count].data);
    }
}

static int
run_lines(trail_writer_t *writer)
{
    static slice_t entries[BATCH_MAX];
    char *line = NULL;
    size_t capacity = 0, count = 0;
    trail_status_t status;
    ssize_t n;

    while ((n = getline(&line, &capacity, stdin)) > 0) {
        slice_t text = {line, (size_t) n - (line[n - 1] == '\n')};

        if (slice_starts(text, SLICE("add ")) && count < BATCH_MAX) {
            text = slice_from(text, 4);
            entries[count].data = memcpy(malloc(text.size + 1), text.data,
                                         text.size);
            entries[count++].size = text.size;
            continue;
        }
        trail_writer_status(writer, &status);
        if (slice_is(text, "append")) {
            append(writer, entries, &count, 0);
        } else if (slice_is(text, "append!")) {
            append(writer, entries, &count, TRAIL_PRIVILEGED);
        } else if (slice_is(text, "checkpoint")) {
            int result = trail_writer_wait(writer);

            trail_writer_status(writer, &status);
            if (result == 0) {
                (void) printf("OK %llu\n", (unsigned long long) status.sealed);
            } else {
                (void) printf("error %d\n", result);
            }
        } else if (slice_is(text, "status")) {
            (void) printf("%d %llu %llu %d\n", (int) status.state,
                          (unsigned long long) status.size,
                          (unsigned long long) status.sealed, status.error);
        } else if (slice_is(text, "crash")) {
            _exit(9);
        }
        (void) fflush(stdout);
    }
    free(line);
    return 0;
}

static int
with_keys(bool create, const char *folder, char **paths, int count)
{
    note_signer_t signers[KEYS_MAX];
    trail_writer_options_t options = {0};
    trail_problem_t problem = {""};
    trail_writer_t *writer;
    int i, result = count < 1 || count > KEYS_MAX ? -EINVAL : 0;

    for (i = 0; i < count && result == 0; i++) {
        result = note_signer_load(paths[i], &signers[i], &problem);
    }
    options.signers = signers;
    options.signers_count = (size_t) count;
    options.shape.segment_bytes = number("TRAIL_SEGMENT");
    options.shape.segments = number("TRAIL_SEGMENTS");
    options.reserve_bytes = options.shape.segment_bytes;
    if (result == 0) {
        result = create
                     ? trail_create(folder, &options, &problem)
                     : trail_writer_open(folder, &options, &writer, &problem);
    }
    wipe_bytes(signers, sizeof(signers));
    if (result != 0) {
        return fail(folder, result, &problem);
    }
    if (create) {
        return 0;
    }
    (void) run_lines(writer);
    (void) printf("closed %d\n", trail_writer_close(writer));
    return 0;
}

static int
prove(trail_reader_t *reader, uint64_t index)
{
    proof_file_t file = {.index = index};
    char *bytes = malloc(PROOF_FILE_MAX);
    size_t size;
    int result = proof_inclusion(
        reader, index, trail_reader_checkpoint(reader)->size, &file.proof);

    file.checkpoint = trail_reader_note(reader);
    if (result == 0) {
        result = proof_file_format(&file, bytes, PROOF_FILE_MAX, &size);
    }
    if (result == 0) {
        (void) fwrite(bytes, 1, size, stdout);
    }
    free(bytes);
    return result;
}

static int
consistency(trail_reader_t *reader, uint64_t old, uint64_t size)
{
    proof_t proof;
    size_t i, k;
    int result = proof_consistency(reader, old, size, &proof);

    for (i = 0; result == 0 && i < proof.count; i++) {
        for (k = 0; k < MERKLE_HASH_SIZE; k++) {
            (void) printf("%02x", proof.hashes[i].bytes[k]);
        }
        (void) printf("\n");
    }
    return result;
}

static int
read_all(trail_reader_t *reader)
{
    trail_scan_t *scan;
    uint64_t index;
    slice_t entry;
    int result = trail_scan_open(reader, 0, &scan);

    while (result == 0 && (result = trail_scan_next(scan, &index, &entry)) == 1)
    {
        (void) fwrite(entry.data, 1, entry.size, stdout);
        (void) fputc('\n', stdout);
        result = 0;
    }
    trail_scan_free(scan);
    return result;
}

static int
verify(const char *folder, const char *vkey, char **paths, int count)
{
    static const char *const names[] = {"ERROR", "OK", "UNSEALED", "GAP",
                                        "TAMPERED"};
    slice_t kept[16];
    note_verifier_t key;
    verify_options_t options = {.keys = &key, .keys_count = 1, .kept = kept};
    verify_report_t report;
    uint64_t i;

    if (!note_verifier_parse(slice_of(vkey), &key) || count > 16) {
        return fail("vkey", -EINVAL, NULL);
    }
    for (i = 0; i < (uint64_t) count; i++) {
        char *data;

        if (file_read(paths[i], NOTE_SIZE_MAX, &data, &kept[i].size) != 0) {
            return fail(paths[i], -EINVAL, NULL);
        }
        kept[i].data = data;
    }
    options.kept_count = (size_t) count;
    (void) trail_verify(folder, &options, &report);
    (void) printf("%s %llu %llu\n", names[report.result],
                  (unsigned long long) report.sealed,
                  (unsigned long long) report.unsealed);
    for (i = 0; i < report.findings_count && i < VERIFY_FINDINGS_MAX; i++) {
        (void) printf("%s\n", report.findings[i].text);
    }
    if (report.problem.text[0] != '\0') {
        (void) printf("%s\n", report.problem.text);
    }
    return 0;
}

int
main(int argc, char **argv)
{
    trail_problem_t problem;
    trail_reader_t *reader;
    int result;

    if (argc == 4 && strcmp(argv[1], "key") == 0) {
        return make_key(argv[2], argv[3]);
    }
    if (argc > 3 && strcmp(argv[1], "create") == 0) {
        return with_keys(true, argv[2], argv + 3, argc - 3);
    }
    if (argc > 3 && strcmp(argv[1], "write") == 0) {
        return with_keys(false, argv[2], argv + 3, argc - 3);
    }
    if (argc > 3 && strcmp(argv[1], "verify") == 0) {
        return verify(argv[2], argv[3], argv + 4, argc - 4);
    }
    if (argc < 3) {
        return fail("usage: see tests/data/trail_make.c", -EINVAL, NULL);
    }
    result = trail_reader_open(argv[2], NULL, 0, &reader, &problem);
    if (result != 0) {
        return fail(argv[2], result, &problem);
    }
    if (argc == 4 && strcmp(argv[1], "prove") == 0) {
        result = prove(reader, strtoull(argv[3], NULL, 10));
    } else if (argc == 5 && strcmp(argv[1], "consistency") == 0) {
        result = consistency(reader, strtoull(argv[3], NULL, 10),
                             strtoull(argv[4], NULL, 10));
    } else if (argc == 3 && strcmp(argv[1], "read") == 0) {
        result = read_all(reader);
    } else {
        result = -EINVAL;
    }
    if (result != 0) {
        (void) fail(argv[1], result, NULL);
        (void) fprintf(stderr, "%s\n", trail_reader_problem(reader));
    }
    trail_reader_free(reader);
    return result == 0 ? 0 : 1;
}
