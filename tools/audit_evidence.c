/*
 * `sekisho audit evidence`: records for an auditor who trusts nobody here, in
 * an archive that brings along all that is needed to check them but the key.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "../lib/trail/proof.h"
#include "audit_evidence.h"
#include "tar.h"

/* Evidence names patients: for whom it was made, and nobody else. */
#define ARCHIVE_MODE 0600
#define FILE_MODE    0644
#define PROGRAM_MODE 0755

#define FOLDER_MAX     64 /* bytes of the folder's name in the archive */
#define FOLDER_DEFAULT "evidence"

#define HEX_SIZE  (2 * (size_t) MERKLE_HASH_SIZE)
#define LEAF_SIZE (2 + HEX_SIZE + 1) /* "+ " or "- ", hash, newline */

/* ---- The checkpoint ------------------------------------------------------ */

/* Keeps only the keys that signed: an auditor can check those. */
static int
check_signatures(evidence_t *evidence)
{
    trail_problem_t problem = {""};
    checkpoint_t checkpoint;
    uint32_t verified = 0;
    size_t kept = 0;
    int error;

    if (evidence->keys.count == 0) {
        return fail(evidence->command,
                    "no verifier key is known: name the trail's with --key");
    }
    error = checkpoint_open((slice_t){evidence->note, evidence->note_size},
                            evidence->keys.keys, evidence->keys.count,
                            &checkpoint, &verified, &problem);
    if (error < 0) {
        return fail(evidence->command, "the checkpoint: %s", problem.text);
    }
    for (size_t i = 0; i < evidence->keys.count; i++) {
        if ((verified >> i & 1) != 0 &&
            evidence->keys.keys[i].type == NOTE_ED25519) {
            evidence->keys.keys[kept++] = evidence->keys.keys[i];
        }
    }
    evidence->keys.count = kept;
    evidence->size = checkpoint.size;
    evidence->root = checkpoint.root;
    return checkpoint.size > 0
               ? STATUS_OK
               : fail(evidence->command, "the trail has no entries");
}


/* One checkpoint for all, as fresh as can be; it is kept, as the reader goes on
 * to the next one when it likes. */
static int
take_checkpoint(evidence_t *evidence)
{
    slice_t note;

    if (fresh_checkpoint(evidence->command, &evidence->place) == STATUS_ERROR) {
        return STATUS_ERROR;
    }
    if (trail_reader_refresh(evidence->reader) < 0) {
        return fail(evidence->command, "%s",
                    trail_reader_problem(evidence->reader));
    }
    note = trail_reader_note(evidence->reader);
    evidence->note = malloc(note.size + 1);
    if (evidence->note == NULL) {
        return fail(evidence->command, "out of memory");
    }
    memcpy(evidence->note, note.data, note.size);
    evidence->note_size = note.size;
    return check_signatures(evidence);
}


/* ---- The archive --------------------------------------------------------- */

typedef struct {
    evidence_t *evidence;
    tar_t tar;
    const char *folder; /* in the archive */
    size_t folder_size;
    char *proof; /* PROOF_FILE_MAX */
} archive_t;

static const char *
path_of(const archive_t *archive, const char *file, char path[TAR_NAME_MAX + 1])
{
    (void) snprintf(path, TAR_NAME_MAX + 1, "%.*s/%s",
                    (int) archive->folder_size, archive->folder, file);
    return path;
}


static int
tar_told(const archive_t *archive)
{
    return archive->tar.error == 0
               ? STATUS_OK
               : fail(archive->evidence->command, "%s: %s",
                      option_value(archive->evidence->arguments, "-o"),
                      strerror(-archive->tar.error));
}


static int
add_file(archive_t *archive, const char *name, slice_t bytes, unsigned mode)
{
    char path[TAR_NAME_MAX + 1];

    (void) tar_file(&archive->tar, path_of(archive, name, path), bytes, mode);
    return tar_told(archive);
}


static int
entry_of(evidence_t *evidence, uint64_t index, slice_t *entry)
{
    if (trail_reader_entry(evidence->reader, index, entry) < 0) {
        return fail(evidence->command, "%s",
                    trail_reader_problem(evidence->reader));
    }
    /* the file has one record a line */
    if (memchr(entry->data, '\n', entry->size) != NULL ||
        memchr(entry->data, '\0', entry->size) != NULL)
    {
        return fail(evidence->command,
                    "entry %" PRIu64 " is not one line of text: it is not a "
                    "record, and cannot be handed out like this",
                    index);
    }
    return STATUS_OK;
}


static int
add_records(archive_t *archive)
{
    evidence_t *evidence = archive->evidence;
    const candidates_t *chosen = &evidence->chosen;
    char path[TAR_NAME_MAX + 1];
    slice_t entry;

    evidence->records_bytes = 0;
    for (size_t i = 0; i < chosen->count; i++) {
        if (entry_of(evidence, chosen->numbers[i], &entry) != STATUS_OK) {
            return STATUS_ERROR;
        }
        evidence->records_bytes += entry.size + 1;
    }
    (void) tar_begin(&archive->tar, path_of(archive, "records", path),
                     evidence->records_bytes, FILE_MODE);
    for (size_t i = 0; i < chosen->count; i++) {
        if (entry_of(evidence, chosen->numbers[i], &entry) != STATUS_OK) {
            return STATUS_ERROR;
        }
        (void) tar_write(&archive->tar, entry);
        if (tar_write(&archive->tar, SLICE("\n")) < 0) {
            break;
        }
    }
    return tar_told(archive);
}


/* Made, and checked before anybody else does. */
static int
add_proof(archive_t *archive, uint64_t index)
{
    evidence_t *evidence = archive->evidence;
    merkle_hasher_t *hasher = trail_reader_hasher(evidence->reader);
    proof_file_t file = {.index = index,
                         .checkpoint = {evidence->note, evidence->note_size}};
    merkle_hash_t leaf;
    char name[48];
    slice_t entry;
    size_t size;

    if (entry_of(evidence, index, &entry) != STATUS_OK) {
        return STATUS_ERROR;
    }
    merkle_leaf(hasher, entry, &leaf);
    if (proof_inclusion(evidence->reader, index, evidence->size, &file.proof) <
        0) {
        return fail(evidence->command, "%s",
                    trail_reader_problem(evidence->reader));
    }
    if (!proof_verify_inclusion(hasher, &leaf, index, evidence->size,
                                &evidence->root, &file.proof))
    {
        return fail(evidence->command,
                    "entry %" PRIu64 " does not fit the checkpoint: the trail "
                    "was tampered with; see sekisho audit verify",
                    index);
    }
    if (proof_file_format(&file, archive->proof, PROOF_FILE_MAX, &size) < 0) {
        return fail(evidence->command, "the proof is too long");
    }
    /* names in the order of their numbers */
    (void) snprintf(name, sizeof(name), "proofs/%015" PRIu64, index);
    return add_file(archive, name, (slice_t){archive->proof, size}, FILE_MODE);
}


static int
add_proofs(archive_t *archive)
{
    const candidates_t *chosen = &archive->evidence->chosen;
    progress_t progress;
    int status = STATUS_OK;

    progress_begin(&progress, "proved");
    for (size_t i = 0; status == STATUS_OK && i < chosen->count; i++) {
        status = add_proof(archive, chosen->numbers[i]);
        progress_tell(&progress, i, chosen->count);
    }
    progress_end(&progress);
    return status;
}


static int
add_keys(archive_t *archive)
{
    const keys_t *keys = &archive->evidence->keys;
    char text[NOTE_KEYS_MAX * NOTE_VERIFIER_TEXT_MAX];
    size_t size = 0;

    for (size_t i = 0; i < keys->count; i++) {
        size += note_verifier_format(&keys->keys[i], text + size);
        text[size++] = '\n';
    }
    return add_file(archive, "keys", (slice_t){text, size}, FILE_MODE);
}


/* A line for each entry of the range: shown (+) or withheld (-), and its hash. */
static int
add_leaves(archive_t *archive)
{
    evidence_t *evidence = archive->evidence;
    const candidates_t *chosen = &evidence->chosen;
    char path[TAR_NAME_MAX + 1], line[LEAF_SIZE];
    merkle_hash_t leaf;
    size_t next = 0;

    (void) tar_begin(&archive->tar, path_of(archive, "leaves", path),
                     (evidence->to - evidence->from) * LEAF_SIZE, FILE_MODE);
    for (uint64_t i = evidence->from; i < evidence->to; i++) {
        bool shown = next < chosen->count && chosen->numbers[next] == i;

        if (evidence_leaf(evidence, i, &leaf) != STATUS_OK) {
            return STATUS_ERROR;
        }
        next += shown ? 1 : 0;
        line[0] = shown ? '+' : '-';
        line[1] = ' ';
        evidence_hex(&leaf, line + 2);
        line[LEAF_SIZE - 1] = '\n';
        if (tar_write(&archive->tar, (slice_t){line, LEAF_SIZE}) < 0) {
            break;
        }
    }
    return tar_told(archive);
}


static int
add_page(archive_t *archive, int (*make)(evidence_t *, page_t *),
         const char *name)
{
    page_t page = {0};
    int status = make(archive->evidence, &page);

    if (status == STATUS_OK) {
        status = add_file(archive, name, (slice_t){page.data, page.size},
                          FILE_MODE);
    }
    free(page.data);
    return status;
}


static int
add_all(archive_t *archive)
{
    const evidence_t *evidence = archive->evidence;

    if (add_page(archive, evidence_page, "index.html") != STATUS_OK ||
        add_file(archive, "verify.sh", evidence_file_verify(), PROGRAM_MODE) !=
            STATUS_OK ||
        add_keys(archive) != STATUS_OK ||
        add_file(archive, "checkpoint",
                 (slice_t){evidence->note, evidence->note_size},
                 FILE_MODE) != STATUS_OK ||
        add_records(archive) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (evidence->complete &&
        (add_page(archive, evidence_tree, "tree") != STATUS_OK ||
         add_leaves(archive) != STATUS_OK))
    {
        return STATUS_ERROR;
    }
    if (add_proofs(archive) != STATUS_OK) {
        return STATUS_ERROR;
    }
    (void) tar_end(&archive->tar);
    return tar_told(archive);
}


/* "case-4711" of "/tmp/case-4711.tar", as far as that is harmless. */
static void
name_folder(archive_t *archive, const char *path)
{
    const char *name = strrchr(path, '/');
    size_t size;

    name = name == NULL ? path : name + 1;
    size = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789_-");
    if (size == 0 || size > FOLDER_MAX || name[0] == '-' ||
        (name[size] != '\0' && strcmp(name + size, ".tar") != 0))
    {
        name = FOLDER_DEFAULT;
        size = strlen(name);
    }
    archive->folder = name;
    archive->folder_size = size;
}


static int
write_archive(evidence_t *evidence, FILE *out, const char *path)
{
    archive_t archive = {.evidence = evidence,
                         .tar = {.out = out, .seconds = time(NULL)},
                         .proof = malloc(PROOF_FILE_MAX)};
    int status;

    if (archive.proof == NULL) {
        return fail(evidence->command, "out of memory");
    }
    name_folder(&archive, path);
    status = add_all(&archive);
    free(archive.proof);
    return status;
}


/* Beside the file that it becomes when it is whole. */
static int
write_file(evidence_t *evidence)
{
    const char *path = option_value(evidence->arguments, "-o");
    _cleanup_(cleanup_free) char *part = NULL;
    FILE *out;
    int fd, status;

    if (asprintf(&part, "%s.XXXXXX", path) < 0) {
        part = NULL;
        return fail(evidence->command, "out of memory");
    }
    fd = mkostemp(part, O_CLOEXEC);
    out = fd < 0 ? NULL : fdopen(fd, "w");
    if (out == NULL || fchmod(fd, ARCHIVE_MODE) < 0) {
        return fail(evidence->command, "%s: %s", path, strerror(errno));
    }
    status = write_archive(evidence, out, path);
    if (status == STATUS_OK && (fflush(out) != 0 || fsync(fd) < 0)) {
        status = fail(evidence->command, "%s: %s", path, strerror(errno));
    }
    (void) fclose(out);
    if (status == STATUS_OK && rename(part, path) < 0) {
        status = fail(evidence->command, "%s: %s", path, strerror(errno));
    }
    if (status != STATUS_OK) {
        (void) unlink(part);
    }
    return status;
}


/* ---- The command --------------------------------------------------------- */

/* What the one who hands it out tells in another way. */
static void
print_summary(const evidence_t *evidence)
{
    char text[NOTE_VERIFIER_TEXT_MAX], count[COUNT_TEXT_MAX];
    char hex[2 * MERKLE_HASH_SIZE + 1] = "";
    slice_t program = evidence_file_verify();
    merkle_hash_t hash;
    unsigned size = 0;

    printf("Records:   %s\n", count_text(evidence->chosen.count, count));
    if (evidence->complete) {
        printf(
            "Complete:  entries %" PRIu64 " to %" PRIu64 ", %s withheld\n",
            evidence->from, evidence->to - 1,
            count_text(evidence->to - evidence->from - evidence->chosen.count,
                       count));
    }
    printf("Tree size: %s\n", count_text(evidence->size, count));
    for (size_t i = 0; i < evidence->keys.count; i++) {
        (void) note_verifier_format(&evidence->keys.keys[i], text);
        fputs("Key:       ", stdout);
        print_safe(stdout, slice_of(text));
        putchar('\n');
    }
    if (EVP_Digest(program.data, program.size, hash.bytes, &size, EVP_sha256(),
                   NULL) == 1)
    {
        evidence_hex(&hash, hex);
        printf("verify.sh: SHA-256 %s\n", hex);
    }
    puts("Tell the auditor the key, and this SHA-256, in another way than by "
         "the archive.");
}


static int
make(evidence_t *evidence)
{
    const arguments_t *arguments = evidence->arguments;
    char why[256];

    if (!option_given(arguments, "-o")) {
        return fail(evidence->command, "where to? give -o FILE.tar");
    }
    if (!option_given(arguments, "--patient") &&
        !option_given(arguments, "--user") &&
        !option_given(arguments, "--facility") &&
        !option_given(arguments, "--from"))
    {
        return fail(evidence->command,
                    "of what? give --patient, --user, --facility, or a period "
                    "with --from and --to");
    }
    if (words_find(arguments, &evidence->words) != STATUS_OK ||
        filter_make(arguments, &evidence->filter) != STATUS_OK ||
        place_find(arguments, &evidence->place) != STATUS_OK ||
        keys_find(arguments, &evidence->place, &evidence->keys) != STATUS_OK ||
        reader_open(evidence->command, &evidence->place, &evidence->reader) !=
            STATUS_OK ||
        read_recorded(arguments, &evidence->place) != STATUS_OK ||
        take_checkpoint(evidence) != STATUS_OK ||
        index_find(arguments, &evidence->place, evidence->reader,
                   &evidence->index, why) != STATUS_OK ||
        evidence_select(evidence) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    evidence->words.text = evidence_file_words(evidence->words.lang[0] == 'j');
    if (evidence->chosen.count == 0 && !evidence->complete) {
        (void) fail(evidence->command, "no such record: nothing was written");
        return STATUS_NO;
    }
    if (evidence->complete && evidence_widen(evidence) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (evidence->chosen.count == 0) {
        (void) fail(evidence->command, "no such record: nothing was written");
        return STATUS_NO;
    }
    if (write_file(evidence) != STATUS_OK) {
        return STATUS_ERROR;
    }
    print_summary(evidence);
    return STATUS_OK;
}


static int
audit_evidence(const arguments_t *arguments)
{
    evidence_t *evidence = calloc(1, sizeof(*evidence));
    int status = STATUS_ERROR;

    if (evidence == NULL ||
        (evidence->buffer = malloc(TRAIL_ENTRY_MAX)) == NULL) {
        (void) fail(arguments->command->name, "out of memory");
    } else {
        evidence->arguments = arguments;
        evidence->command = arguments->command->name;
        evidence->complete = option_given(arguments, "--complete");
        status = make(evidence);
        evidence_select_free(evidence);
        index_close(evidence->index);
        trail_reader_free(evidence->reader);
        place_free(&evidence->place);
        free(evidence->note);
        free(evidence->buffer);
    }
    free(evidence);
    return status;
}


static const option_t evidence_options[] = {
    {"--patient", "ID",
     "Of this patient, also where only a study of theirs was named."},
    {"--user", "NAME", "Of this user."},
    {"--facility", "ID", "Of this facility."},
    {"--from", "TIME", "From then on, as in audit search."},
    {"--to", "TIME", "Until then; a day means its end."},
    {"--complete", NULL,
     "Show as well that nothing is missing between the first and the last "
     "entry of the period: with the hashes of all entries, the contents of the "
     "others withheld."},
    {"--lang", "en|ja", "Language of index.html [that of the locale]."},
    {"-o", "FILE.tar", "The archive to write, readable by you alone."},
    {"--key", "VKEY|FILE",
     "Verifier key of the trail, or a file of such; may be given again [those "
     "of the daemon's configuration]."},
    INDEX_OPTION,
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    NOTE_OPTION,
    UNRECORDED_OPTION,
    {NULL, NULL, NULL},
};

const command_t audit_evidence_command = {
    .name = "audit evidence",
    .arguments = "",
    .summary = "Records in an archive that anybody can check.",
    .details =
        "Writes a tar archive with the records, a proof for each (C2SP "
        "tlog-proof), the checkpoint that all of them lead to, the keys, a "
        "page to read, and verify.sh, which checks it all on a computer "
        "without Sekisho, with openssl and sha256sum alone. Give the key to "
        "whoever checks in another way than by the archive. The reading is "
        "recorded.\n\n"
        "Exit status: 0 written; 1 there is no such record; 2 error.",
    .options = evidence_options,
    .repeatable = "--key",
    .run = audit_evidence,
};
