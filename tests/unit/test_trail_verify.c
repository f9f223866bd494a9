/* Reading, proving, verifying; and the battery of tampering. */

#define _GNU_SOURCE
#include "unit.h"

#include <dirent.h>
#include <pthread.h>

#include "../../lib/trail/proof.h"
#include "../../lib/trail/tile.h"
#include "trail_unit.h"

static char *
read_whole(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *data;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    data = malloc((size_t) st.st_size + 1);
    assert_non_null(data);
    assert_int_equal(read(fd, data, (size_t) st.st_size), st.st_size);
    (void) close(fd);
    *size = (size_t) st.st_size;
    return data;
}

static void
write_whole(const char *path, const char *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    (void) close(fd);
}

static trail_reader_t *
open_reader(trail_unit_t *unit)
{
    trail_reader_t *reader;
    int result = trail_reader_open(unit->trail, &unit->signer.verifier, 1,
                                   &reader, &unit->problem);

    if (result != 0) {
        fail_msg("%d: %s", result, unit->problem.text);
    }
    return reader;
}

/* ---- Proofs -------------------------------------------------------------*/

#define PROVED 600

/* The root of entries [from, to) straight from the definition, RFC 6962 2.1. */
static void
defined_root(merkle_hasher_t *hasher, uint64_t from, uint64_t to,
             merkle_hash_t *root)
{
    merkle_hash_t left, right;
    char text[ENTRY_TEXT_MAX];
    uint64_t half = 1;

    if (to - from == 1) {
        merkle_leaf(hasher, entry_text(from, text), root);
        return;
    }
    while (half * 2 < to - from) {
        half *= 2;
    }
    defined_root(hasher, from, from + half, &left);
    defined_root(hasher, from + half, to, &right);
    merkle_node(hasher, &left, &right, root);
}

static void
every_inclusion_proof_holds_for_its_entry_only(void **state)
{
    trail_unit_t *unit = *state;
    uint64_t sizes[] = {1, 2, 3, 255, 256, 257, 511, 599, 600}, index;
    trail_reader_t *reader;
    merkle_hasher_t *hasher;
    merkle_hash_t root, leaf;
    char text[ENTRY_TEXT_MAX];
    proof_t proof;
    unsigned i;

    make_trail(unit, PROVED);
    reader = open_reader(unit);
    hasher = trail_reader_hasher(reader);
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        merkle_hash_t stored;

        defined_root(hasher, 0, sizes[i], &root);
        assert_int_equal(proof_root(reader, sizes[i], &stored), 0);
        assert_true(merkle_equal(&root, &stored));
        for (index = 0; index < sizes[i]; index++) {
            assert_int_equal(proof_inclusion(reader, index, sizes[i], &proof),
                             0);
            merkle_leaf(hasher, entry_text(index, text), &leaf);
            assert_true(proof_verify_inclusion(hasher, &leaf, index, sizes[i],
                                               &root, &proof));
            assert_false(proof_verify_inclusion(hasher, &leaf, index + 1,
                                                sizes[i], &root, &proof));
            merkle_leaf(hasher, entry_text(index + 7, text), &leaf);
            assert_false(proof_verify_inclusion(hasher, &leaf, index, sizes[i],
                                                &root, &proof));
        }
        assert_int_equal(proof_inclusion(reader, sizes[i], sizes[i], &proof),
                         -ERANGE);
    }
    assert_int_equal(proof_inclusion(reader, 0, PROVED + 1, &proof), -ERANGE);
    trail_reader_free(reader);
}

static void
every_consistency_proof_holds_for_its_sizes_only(void **state)
{
    trail_unit_t *unit = *state;
    static merkle_hash_t roots[PROVED + 1];
    trail_reader_t *reader;
    merkle_hasher_t *hasher;
    uint64_t old, size;
    proof_t proof;

    make_trail(unit, PROVED);
    reader = open_reader(unit);
    hasher = trail_reader_hasher(reader);
    for (size = 0; size <= PROVED; size++) {
        assert_int_equal(proof_root(reader, size, &roots[size]), 0);
    }
    for (size = 1; size <= PROVED; size += size < 20 ? 1 : 29) {
        for (old = 0; old <= size; old += old < 20 ? 1 : 7) {
            assert_int_equal(proof_consistency(reader, old, size, &proof), 0);
            assert_true(proof_verify_consistency(hasher, old, &roots[old], size,
                                                 &roots[size], &proof));
            if (old > 0 && old < size) {
                assert_false(proof_verify_consistency(
                    hasher, old, &roots[old - 1], size, &roots[size], &proof));
                assert_false(proof_verify_consistency(
                    hasher, old, &roots[old], size, &roots[size - 1], &proof));
                proof.hashes[proof.count / 2].bytes[5] ^= 1;
                assert_false(proof_verify_consistency(
                    hasher, old, &roots[old], size, &roots[size], &proof));
            }
        }
    }
    trail_reader_free(reader);
}

static void
a_proof_file_proves_one_entry_to_anybody(void **state)
{
    trail_unit_t *unit = *state;
    const note_verifier_t *key = &unit->signer.verifier;
    trail_reader_t *reader;
    proof_file_t file = {.extra = SLICE("Zm9v"), .index = 258}, parsed;
    merkle_hasher_t hasher;
    char bytes[4096], text[ENTRY_TEXT_MAX], keep;
    trail_problem_t problem;
    checkpoint_t checkpoint;
    size_t size, i;

    make_trail(unit, PROVED);
    reader = open_reader(unit);
    assert_int_equal(proof_inclusion(reader, 258, PROVED, &file.proof), 0);
    file.checkpoint = trail_reader_note(reader);
    assert_int_equal(proof_file_format(&file, bytes, 40, &size), -ENOSPC);
    assert_int_equal(proof_file_format(&file, bytes, sizeof(bytes), &size), 0);
    trail_reader_free(reader);
    assert_memory_equal(bytes,
                        "c2sp.org/tlog-proof@v1\nextra Zm9v\nindex 258\n", 44);
    assert_int_equal(merkle_hasher_init(&hasher), 0);
    assert_true(proof_file_parse((slice_t){bytes, size}, &parsed));
    assert_true(slice_is(parsed.extra, "Zm9v"));
    assert_int_equal(proof_file_verify(&hasher, &parsed, entry_text(258, text),
                                       key, 1, &checkpoint, &problem),
                     0);
    assert_true(checkpoint.size == PROVED);
    assert_int_equal(proof_file_verify(&hasher, &parsed, entry_text(259, text),
                                       key, 1, NULL, &problem),
                     -EBADMSG);
    assert_int_equal(proof_file_verify(&hasher, &parsed, entry_text(258, text),
                                       NULL, 0, NULL, &problem),
                     -ENOKEY);
    /* no byte of it can be changed, but of the extra line */
    for (i = 0; i < size; i++) {
        if (i >= 29 && i < 33) {
            continue;
        }
        keep = bytes[i];
        bytes[i] ^= 1;
        if (proof_file_parse((slice_t){bytes, size}, &parsed) &&
            proof_file_verify(&hasher, &parsed, entry_text(258, text), key, 1,
                              NULL, &problem) == 0)
        {
            fail_msg("byte %zu was changed and it still proves", i);
        }
        bytes[i] = keep;
    }
    for (i = 0; i < size; i++) {
        assert_false(proof_file_parse((slice_t){bytes, i}, &parsed) &&
                     proof_file_verify(&hasher, &parsed, entry_text(258, text),
                                       key, 1, NULL, &problem) == 0);
    }
    merkle_hasher_free(&hasher);
}

/* ---- Reading --------------------------------------------------------------*/

static void
any_entry_is_read_sealed_or_not(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer = new_writer(unit);
    uint64_t wanted[] = {0, 255, 256, 399, 400, 499, 401, 12, 300}, i;
    trail_reader_t *reader;
    char text[ENTRY_TEXT_MAX];
    slice_t entry;

    assert_int_equal(append_entries(writer, 400, 0), 0);
    assert_int_equal(trail_writer_wait(writer), 0);
    assert_int_equal(append_entries(writer, 60, 0), 0);
    assert_int_equal(append_entries(writer, 40, 0), 0);
    reader = open_reader(unit);
    assert_true(trail_reader_checkpoint(reader)->size == 400);
    for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        assert_int_equal(trail_reader_entry(reader, wanted[i], &entry), 0);
        assert_true(slice_equal(entry, entry_text(wanted[i], text)));
    }
    assert_int_equal(trail_reader_entry(reader, 500, &entry), -ERANGE);
    assert_int_equal(append_entries(writer, 1, 0), 0);
    assert_int_equal(trail_reader_entry(reader, 500, &entry), 0);
    trail_reader_free(reader);
    assert_int_equal(trail_writer_close(writer), 0);
}

typedef struct {
    trail_unit_t *unit;
    uint64_t read;
    bool failed;
    bool *stop;
} follower_t;

static void *
follow(void *argument)
{
    follower_t *follower = argument;
    trail_reader_t *reader = NULL;
    trail_scan_t *scan = NULL;
    trail_problem_t problem;
    char text[ENTRY_TEXT_MAX];
    uint64_t index;
    slice_t entry;

    if (trail_reader_open(follower->unit->trail, NULL, 0, &reader, &problem) !=
            0 ||
        trail_scan_open(reader, 0, &scan) != 0)
    {
        follower->failed = true;
        return NULL;
    }
    for (;;) {
        bool last = __atomic_load_n(follower->stop, __ATOMIC_SEQ_CST);
        int result;

        while ((result = trail_scan_next(scan, &index, &entry)) == 1) {
            if (index != follower->read ||
                !slice_equal(entry, entry_text(index, text))) {
                follower->failed = true;
            }
            follower->read++;
        }
        if (result < 0) {
            (void) fprintf(stderr, "%d: %s\n", result,
                           trail_reader_problem(reader));
            follower->failed = true;
        }
        if (last || follower->failed) {
            break;
        }
    }
    trail_scan_free(scan);
    trail_reader_free(reader);
    return NULL;
}

/* The ring goes round many times under the reader, partial files vanish. */
static void
a_live_trail_is_followed_without_a_hole(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer = new_writer(unit);
    bool stop = false;
    follower_t follower = {unit, 0, false, &stop};
    verify_report_t report;
    pthread_t thread;
    unsigned i;

    assert_int_equal(pthread_create(&thread, NULL, follow, &follower), 0);
    for (i = 0; i < 600; i++) {
        assert_int_equal(append_entries(writer, 1 + i % 150, 0), 0);
        if (i % 10 == 0) {
            trail_writer_checkpoint(writer);
        }
        if (i % 50 == 0) {
            verify_trail(unit, unit->trail, &report);
            if (report.result != VERIFY_OK && report.result != VERIFY_UNSEALED)
            {
                fail_msg("%d: %s %s", (int) report.result, report.problem.text,
                         report.findings[0].text);
            }
        }
    }
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(follower.failed);
    assert_true(follower.read == 600 / 150 * (150 * 151 / 2));
    assert_int_equal(trail_writer_close(writer), 0);
}

/* ---- Verifying ------------------------------------------------------------*/

static void
a_large_trail_verifies_the_same_with_any_number_of_threads(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer;
    verify_options_t options = {.keys = &unit->signer.verifier,
                                .keys_count = 1};
    verify_report_t report;
    unsigned i;

    unit->options.shape.segment_bytes = 4u << 20;
    writer = new_writer(unit);
    for (i = 0; i < 200; i++) {
        assert_int_equal(append_entries(writer, 1000, 0), 0);
    }
    assert_int_equal(trail_writer_close(writer), 0);
    for (i = 0; i <= 4; i++) {
        options.threads = i;
        assert_int_equal(trail_verify(unit->trail, &options, &report), 0);
        assert_int_equal(report.result, VERIFY_OK);
        assert_true(report.sealed == 200000);
    }
}

typedef struct {
    uint64_t entries;
    uint64_t next; /* first of the range to be joined next */
} counter_t;

static int
count_entry(void *argument, void *state, uint64_t index, slice_t entry)
{
    char text[ENTRY_TEXT_MAX];

    (void) argument;
    ++*(uint64_t *) state;
    return slice_equal(entry, entry_text(index, text)) ? 0 : -EILSEQ;
}

static int
join_entries(void *argument, void *state, uint64_t first, uint64_t count)
{
    counter_t *counter = argument;

    if (counter->next != first || *(uint64_t *) state != count) {
        return -EILSEQ;
    }
    counter->next += count;
    counter->entries += count;
    return first >= 131072 ? 1 : 0; /* as if a number were missing */
}

static void
hooks_see_every_entry_once_and_in_order(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer;
    counter_t counter = {0, 0};
    const verify_hook_t hook = {sizeof(uint64_t), count_entry, join_entries,
                                &counter};
    verify_options_t options = {.keys = &unit->signer.verifier,
                                .keys_count = 1,
                                .threads = 2,
                                .hook = &hook};
    verify_report_t report;
    unsigned i;

    unit->options.shape.segment_bytes = 4u << 20;
    writer = new_writer(unit);
    for (i = 0; i < 150; i++) {
        assert_int_equal(append_entries(writer, 1000, 0), 0);
    }
    assert_int_equal(trail_writer_wait(writer), 0);
    assert_int_equal(append_entries(writer, 321, 0), 0);
    assert_int_equal(trail_verify(unit->trail, &options, &report), 0);
    assert_true(counter.entries == 150321);
    assert_true(report.unsealed == 321);
    assert_true(report.gaps == 2); /* the third range, and the tail */
    assert_int_equal(report.result, VERIFY_GAP);
    assert_int_equal(trail_writer_close(writer), 0);
}

/* ---- Tampering ------------------------------------------------------------*/

typedef void each_file_t(trail_unit_t *unit, const char *name, void *argument);

/* Every regular file below `under`, named from the trail's folder. */
static void
each_file(trail_unit_t *unit, const char *under, each_file_t *function,
          void *argument)
{
    char path[256], name[256];
    struct dirent *entry;
    struct stat st;
    DIR *folder;

    (void) snprintf(path, sizeof(path), "%.100s/%.100s", unit->trail, under);
    folder = opendir(path);
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        (void) snprintf(name, sizeof(name), "%.100s%s%.100s", under,
                        under[0] == '\0' ? "" : "/", entry->d_name);
        (void) snprintf(path, sizeof(path), "%.100s/%.150s", unit->trail, name);
        assert_int_equal(stat(path, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            if (strcmp(name, "journal") != 0) {
                each_file(unit, name, function, argument);
            }
        } else if (strcmp(name, "lock") != 0) {
            function(unit, name, argument);
        }
    }
    (void) closedir(folder);
}

static void
flip_each_byte(trail_unit_t *unit, const char *name, void *argument)
{
    verify_report_t report;
    char path[256], *data;
    uint64_t *flipped = argument;
    size_t size, i;

    (void) snprintf(path, sizeof(path), "%.100s/%.150s", unit->trail, name);
    data = read_whole(path, &size);
    for (i = 0; i < size; i++) {
        char bit = (char) (1 << i % 8);
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        data[i] ^= bit;
        assert_int_equal(pwrite(fd, data + i, 1, (off_t) i), 1);
        verify_trail(unit, unit->trail, &report);
        if (report.result != VERIFY_TAMPERED) {
            fail_msg("%s: byte %zu: result %d", name, i, (int) report.result);
        }
        /* the file itself is named */
        if (strncmp(name, "checkpoint", 10) == 0
                ? report.findings[0].kind != VERIFY_CHECKPOINT &&
                      report.findings[0].kind != VERIFY_TILE
                : strstr(report.findings[0].text, name) == NULL)
        {
            fail_msg("%s: byte %zu: %s", name, i, report.findings[0].text);
        }
        data[i] ^= bit;
        assert_int_equal(pwrite(fd, data + i, 1, (off_t) i), 1);
        (void) close(fd);
        (*flipped)++;
    }
    verify_trail(unit, unit->trail, &report);
    assert_int_equal(report.result, VERIFY_OK);
    free(data);
}

static void
every_flipped_byte_is_found_and_its_file_named(void **state)
{
    trail_unit_t *unit = *state;
    uint64_t flipped = 0;
    char journal[96];

    make_trail(unit, 259);
    /* a copy needs none, and it is faster without */
    (void) snprintf(journal, sizeof(journal), "%s/journal", unit->trail);
    remove_tree(journal);
    each_file(unit, "", flip_each_byte, &flipped);
    /* checkpoint, two bundles, three tiles */
    assert_true(flipped > 259 * (20 + 32));
}

static void
remove_file(trail_unit_t *unit, const char *name, void *argument)
{
    verify_report_t report;
    char path[256], away[256];

    (void) argument;
    (void) snprintf(path, sizeof(path), "%.100s/%.150s", unit->trail, name);
    (void) snprintf(away, sizeof(away), "%.100s/away", unit->folder);
    assert_int_equal(rename(path, away), 0);
    verify_trail(unit, unit->trail, &report);
    if (strcmp(name, "checkpoint") == 0) {
        assert_int_equal(report.result, VERIFY_ERROR);
        assert_non_null(strstr(report.problem.text, "no trail"));
    } else {
        assert_int_equal(report.result, VERIFY_TAMPERED);
        assert_non_null(strstr(report.findings[0].text, name));
        assert_int_equal(report.findings[0].kind, VERIFY_MISSING);
    }
    assert_int_equal(rename(away, path), 0);
}

static void
every_missing_file_is_named(void **state)
{
    trail_unit_t *unit = *state;

    make_trail(unit, 800);
    each_file(unit, "", remove_file, NULL);
}

/* One bundle, rewritten from a list of its entries. */
static void
rewrite_bundle(trail_unit_t *unit, const char *name, const uint64_t *entries,
               unsigned count)
{
    char path[256], text[ENTRY_TEXT_MAX];
    uint8_t *bytes = malloc(65536);
    size_t used = 0;
    unsigned i;

    for (i = 0; i < count; i++) {
        used += tile_entry_put(entry_text(entries[i], text), bytes + used);
    }
    (void) snprintf(path, sizeof(path), "%.100s/%.100s", unit->trail, name);
    write_whole(path, (char *) bytes, used);
    free(bytes);
}

static void
assert_named(trail_unit_t *unit, const char *what)
{
    verify_report_t report;

    verify_trail(unit, unit->trail, &report);
    assert_int_equal(report.result, VERIFY_TAMPERED);
    if (strstr(report.findings[0].text, what) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", report.findings[0].text, what);
    }
    assert_true(report.findings_count == 1);
}

static void
removed_added_and_moved_entries_are_named(void **state)
{
    trail_unit_t *unit = *state;
    uint64_t list[257];
    unsigned i;

    make_trail(unit, 600);
    for (i = 0; i < 257; i++) {
        list[i] = i;
    }
    /* as it is */
    rewrite_bundle(unit, "tile/entries/000", list, 256);
    /* swapped */
    list[7] = 9;
    list[9] = 7;
    rewrite_bundle(unit, "tile/entries/000", list, 256);
    assert_named(unit, "tile/entries/000: entry 7 ");
    list[7] = 7;
    list[9] = 9;
    /* removed, inside and at the end */
    memmove(list + 100, list + 101, 156 * sizeof(list[0]));
    rewrite_bundle(unit, "tile/entries/000", list, 255);
    assert_named(unit, "tile/entries/000: entry 255 is missing");
    for (i = 0; i < 257; i++) {
        list[i] = i;
    }
    rewrite_bundle(unit, "tile/entries/000", list, 255);
    assert_named(unit, "tile/entries/000: entry 255 is missing");
    /* one more, and one twice */
    rewrite_bundle(unit, "tile/entries/000", list, 257);
    assert_named(unit, "tile/entries/000: ");
    list[50] = 49;
    rewrite_bundle(unit, "tile/entries/000", list, 256);
    assert_named(unit, "tile/entries/000: entry 50 ");
    list[50] = 50;
    rewrite_bundle(unit, "tile/entries/000", list, 256);
    /* in the partial bundle: 512 … 599 */
    for (i = 0; i < 88; i++) {
        list[i] = 512 + i;
    }
    list[87] = 1;
    rewrite_bundle(unit, "tile/entries/002.p/88", list, 88);
    assert_named(unit, "tile/entries/002.p/88: entry 599 ");
    rewrite_bundle(unit, "tile/entries/002.p/88", list, 87);
    assert_named(unit, "tile/entries/002.p/88: entry 599 is missing");
}

/* Who changes an entry and its tile as well is found by the tile above. */
static void
an_entry_changed_with_its_tile_is_found_one_level_up(void **state)
{
    trail_unit_t *unit = *state;
    uint64_t list[256];
    merkle_hasher_t hasher;
    merkle_hash_t leaf;
    char path[256], text[ENTRY_TEXT_MAX], *tile;
    size_t size;
    unsigned i;

    make_trail(unit, 600);
    for (i = 0; i < 256; i++) {
        list[i] = 256 + i;
    }
    list[3] = 1;
    rewrite_bundle(unit, "tile/entries/001", list, 256);
    (void) snprintf(path, sizeof(path), "%.100s/tile/0/001", unit->trail);
    tile = read_whole(path, &size);
    assert_int_equal(merkle_hasher_init(&hasher), 0);
    merkle_leaf(&hasher, entry_text(1, text), &leaf);
    merkle_hasher_free(&hasher);
    memcpy(tile + 3 * MERKLE_HASH_SIZE, leaf.bytes, MERKLE_HASH_SIZE);
    write_whole(path, tile, size);
    free(tile);
    assert_named(unit,
                 "tile/entries/001 and its tile do not fit tile/1/000.p/2");
}

static void
keep_checkpoint(trail_unit_t *unit, char *note, size_t *size)
{
    char path[256], *data;

    (void) snprintf(path, sizeof(path), "%.100s/checkpoint", unit->trail);
    data = read_whole(path, size);
    assert_true(*size < 1024);
    memcpy(note, data, *size);
    free(data);
}

static void
verify_kept(trail_unit_t *unit, const char *note, size_t size,
            verify_report_t *report)
{
    const slice_t kept = {note, size};
    verify_options_t options = {.keys = &unit->signer.verifier,
                                .keys_count = 1,
                                .kept = &kept,
                                .kept_count = 1};

    (void) trail_verify(unit->trail, &options, report);
}

static void
kept_checkpoints_show_a_roll_back_and_a_replacement(void **state)
{
    trail_unit_t *unit = *state;
    char older[80], early[1024], late[1024];
    size_t early_size, late_size;
    verify_report_t report;
    trail_writer_t *writer;

    make_trail(unit, 300);
    keep_checkpoint(unit, early, &early_size);
    (void) snprintf(older, sizeof(older), "%s/older", unit->folder);
    copy_tree(unit->trail, older);
    writer = open_writer(unit);
    assert_int_equal(append_entries(writer, 500, 0), 0);
    assert_int_equal(trail_writer_close(writer), 0);
    keep_checkpoint(unit, late, &late_size);

    verify_kept(unit, early, early_size, &report);
    assert_int_equal(report.result, VERIFY_OK);
    verify_kept(unit, late, late_size, &report);
    assert_int_equal(report.result, VERIFY_OK);
    /* back to the older state, all of it */
    copy_tree(older, unit->trail);
    verify_kept(unit, early, early_size, &report);
    assert_int_equal(report.result, VERIFY_OK);
    verify_kept(unit, late, late_size, &report);
    assert_int_equal(report.result, VERIFY_TAMPERED);
    assert_int_equal(report.findings[0].kind, VERIFY_ROLLED_BACK);
    /* grown again to another history of the same length */
    writer = open_writer(unit);
    {
        const slice_t other = SLICE("something else");
        uint64_t first;

        assert_int_equal(trail_writer_append(writer, &other, 1, 0, &first), 0);
    }
    assert_int_equal(append_entries(writer, 499, 0), 0);
    assert_int_equal(trail_writer_close(writer), 0);
    verify_kept(unit, early, early_size, &report);
    assert_int_equal(report.result, VERIFY_OK);
    verify_kept(unit, late, late_size, &report);
    assert_int_equal(report.result, VERIFY_TAMPERED);
    assert_int_equal(report.findings[0].kind, VERIFY_REPLACED);
    /* a kept checkpoint that somebody edited proves nothing */
    late[20] ^= 1;
    verify_kept(unit, late, late_size, &report);
    assert_int_equal(report.result, VERIFY_TAMPERED);
    assert_int_equal(report.findings[0].kind, VERIFY_BAD_KEPT);
}

static void
a_fresh_trail_in_its_place_is_found(void **state)
{
    trail_unit_t *unit = *state;
    note_verifier_t key = unit->signer.verifier;
    verify_options_t options = {.keys = &key, .keys_count = 1};
    verify_report_t report;
    char kept[1024];
    size_t size;

    make_trail(unit, 30);
    keep_checkpoint(unit, kept, &size);
    /* with the same key: only what was kept elsewhere can tell */
    remove_tree(unit->trail);
    make_trail(unit, 20);
    verify_kept(unit, kept, size, &report);
    assert_int_equal(report.findings[0].kind, VERIFY_ROLLED_BACK);
    /* with another one */
    assert_int_equal(
        note_signer_generate(SLICE("example.org/trail"), &unit->signer), 0);
    remove_tree(unit->trail);
    make_trail(unit, 30);
    (void) trail_verify(unit->trail, &options, &report);
    assert_int_equal(report.result, VERIFY_TAMPERED);
    assert_int_equal(report.findings[0].kind, VERIFY_CHECKPOINT);
}

/* An unsealed tail: the journal has 10 entries in two batches that the
 * checkpoint does not cover. */
static void
make_unsealed(trail_unit_t *unit)
{
    trail_writer_t *writer = new_writer(unit);
    char live[80];

    (void) snprintf(live, sizeof(live), "%s/live", unit->folder);
    assert_int_equal(append_entries(writer, 300, 0), 0);
    assert_int_equal(trail_writer_wait(writer), 0);
    assert_int_equal(append_entries(writer, 5, 0), 0);
    assert_int_equal(append_entries(writer, 5, 0), 0);
    copy_tree(unit->trail, live); /* as if killed here */
    assert_int_equal(trail_writer_close(writer), 0);
    copy_tree(live, unit->trail);
}

static void
unsealed_entries_are_counted_and_their_damage_is_named(void **state)
{
    trail_unit_t *unit = *state;
    verify_report_t report;
    trail_reader_t *reader;
    char path[256], *data;
    size_t size, i, first, end;

    make_unsealed(unit);
    verify_trail(unit, unit->trail, &report);
    assert_int_equal(report.result, VERIFY_UNSEALED);
    assert_true(report.sealed == 300);
    assert_true(report.unsealed == 10);
    assert_string_equal(report.torn_place, "");

    reader = open_reader(unit);
    trail_reader_free(reader);
    (void) snprintf(path, sizeof(path), "%.100s/journal/1", unit->trail);
    data = read_whole(path, &size);
    /* the two last batches */
    first = end = 0;
    for (i = 64; i < size - 8; i += 8) {
        if (memcmp(data + i, "\xffSKJ", 4) == 0) {
            first = end;
            end = i;
        }
    }
    assert_true(first > 0 && end > first);
    for (i = first; i < end + 120; i++) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        bool padding = data[i] == 0 && i > first + 160 && i < end;

        data[i] ^= 16;
        assert_int_equal(pwrite(fd, data + i, 1, (off_t) i), 1);
        verify_trail(unit, unit->trail, &report);
        if (i < end && !padding) {
            /* whole batches follow: damage */
            if (report.result != VERIFY_TAMPERED ||
                report.findings[0].kind != VERIFY_JOURNAL ||
                strstr(report.findings[0].text, "journal/1") == NULL)
            {
                fail_msg("byte %zu: %d %s", i, (int) report.result,
                         report.findings[0].text);
            }
        } else if (i >= end + 16) {
            /* the last batch: it cannot be told from a crash, but is told */
            assert_int_equal(report.result, VERIFY_UNSEALED);
            assert_true(report.unsealed == 5);
            assert_non_null(strstr(report.torn_place, "journal/1 at byte "));
        }
        data[i] ^= 16;
        assert_int_equal(pwrite(fd, data + i, 1, (off_t) i), 1);
        (void) close(fd);
    }
    free(data);
    /* a copy without its journal is a good copy */
    (void) snprintf(path, sizeof(path), "%.100s/journal", unit->trail);
    remove_tree(path);
    verify_trail(unit, unit->trail, &report);
    assert_int_equal(report.result, VERIFY_OK);
    assert_true(report.journal_missing);
}

static void
a_tail_cut_off_below_its_journal_is_found(void **state)
{
    trail_unit_t *unit = *state;
    char older[80], path[240], to[240];
    verify_report_t report;
    trail_writer_t *writer;
    unsigned i;

    make_trail(unit, 300);
    (void) snprintf(older, sizeof(older), "%s/older", unit->folder);
    copy_tree(unit->trail, older);
    writer = open_writer(unit);
    for (i = 0; i < 40; i++) {
        assert_int_equal(append_entries(writer, 1000, 0), 0);
    }
    assert_int_equal(trail_writer_close(writer), 0);
    /* tiles and checkpoint of before, today's journal */
    (void) snprintf(path, sizeof(path), "%s/journal", unit->trail);
    (void) snprintf(to, sizeof(to), "%s/journal", older);
    remove_tree(to);
    assert_int_equal(rename(path, to), 0);
    copy_tree(older, unit->trail);
    verify_trail(unit, unit->trail, &report);
    assert_int_equal(report.result, VERIFY_TAMPERED);
    assert_int_equal(report.findings[0].kind, VERIFY_JOURNAL);
    assert_non_null(strstr(report.findings[0].text, "rolled back"));
}

#define TRAIL_TEST(function)                                                   \
    cmocka_unit_test_setup_teardown(function, trail_unit_start, trail_unit_stop)

UNIT_TESTS(
    TRAIL_TEST(every_inclusion_proof_holds_for_its_entry_only),
    TRAIL_TEST(every_consistency_proof_holds_for_its_sizes_only),
    TRAIL_TEST(a_proof_file_proves_one_entry_to_anybody),
    TRAIL_TEST(any_entry_is_read_sealed_or_not),
    TRAIL_TEST(a_live_trail_is_followed_without_a_hole),
    TRAIL_TEST(a_large_trail_verifies_the_same_with_any_number_of_threads),
    TRAIL_TEST(hooks_see_every_entry_once_and_in_order),
    TRAIL_TEST(every_flipped_byte_is_found_and_its_file_named),
    TRAIL_TEST(every_missing_file_is_named),
    TRAIL_TEST(removed_added_and_moved_entries_are_named),
    TRAIL_TEST(an_entry_changed_with_its_tile_is_found_one_level_up),
    TRAIL_TEST(kept_checkpoints_show_a_roll_back_and_a_replacement),
    TRAIL_TEST(a_fresh_trail_in_its_place_is_found),
    TRAIL_TEST(unsealed_entries_are_counted_and_their_damage_is_named),
    TRAIL_TEST(a_tail_cut_off_below_its_journal_is_found))
