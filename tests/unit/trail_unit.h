/* A small trail in a folder of its own, for the tests of lib/trail. */

#ifndef SEKISHO_TESTS_TRAIL_UNIT_H
#define SEKISHO_TESTS_TRAIL_UNIT_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../lib/trail/reader.h"
#include "../../lib/trail/verify.h"
#include "../../lib/trail/writer.h"

#define ENTRY_TEXT_MAX 64

typedef struct {
    char folder[48]; /* holds "trail" and what a test makes */
    char trail[64];
    note_signer_t signer;
    trail_writer_options_t options;
    trail_problem_t problem;
} trail_unit_t;

static inline int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}

static inline void
remove_tree(const char *path)
{
    (void) nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void
copy_tree(const char *from, const char *to)
{
    char command[256];

    remove_tree(to);
    (void) snprintf(command, sizeof(command), "cp -a '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

/* In memory where that can be had: these tests sync a lot. */
static inline int
make_test_folder(char folder[48])
{
    (void) snprintf(folder, 48, "%s/sekisho-XXXXXX",
                    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static inline int
trail_unit_start(void **state)
{
    trail_unit_t *unit = calloc(1, sizeof(*unit));

    *state = unit;
    if (unit == NULL) {
        return -1;
    }
    if (make_test_folder(unit->folder) != 0 ||
        note_signer_generate(SLICE("example.org/trail"), &unit->signer) != 0)
    {
        return -1;
    }
    (void) snprintf(unit->trail, sizeof(unit->trail), "%.40s/trail",
                    unit->folder);
    unit->options.signers = &unit->signer;
    unit->options.signers_count = 1;
    unit->options.shape.segment_bytes = JOURNAL_SEGMENT_MIN;
    unit->options.shape.segments = 4;
    unit->options.reserve_bytes = JOURNAL_SEGMENT_MIN;
    return 0;
}

static inline int
trail_unit_stop(void **state)
{
    trail_unit_t *unit = *state;

    remove_tree(unit->folder);
    note_signer_wipe(&unit->signer);
    free(unit);
    return 0;
}

/* Entry `index` of every test's trail. */
static inline slice_t
entry_text(uint64_t index, char text[ENTRY_TEXT_MAX])
{
    return (slice_t){text, (size_t) snprintf(text, ENTRY_TEXT_MAX,
                                             "{\"number\":%llu,\"x\":\"%.*s\"}",
                                             (unsigned long long) index,
                                             (int) (index % 7), "abcdefg")};
}

/* A batch of `count` entries at the trail's end. */
static inline int
append_entries(trail_writer_t *writer, size_t count, unsigned flags)
{
    char(*texts)[ENTRY_TEXT_MAX] = malloc(count * sizeof(*texts));
    slice_t *entries = malloc(count * sizeof(*entries));
    trail_status_t status;
    uint64_t first = 0;
    size_t i;
    int result;

    trail_writer_status(writer, &status);
    for (i = 0; i < count; i++) {
        entries[i] = entry_text(status.size + i, texts[i]);
    }
    result = trail_writer_append(writer, entries, count, flags, &first);
    if (result == 0) {
        assert_true(first == status.size);
    }
    free(texts);
    free(entries);
    return result;
}

static inline trail_writer_t *
open_writer(trail_unit_t *unit)
{
    trail_writer_t *writer;
    int result = trail_writer_open(unit->trail, &unit->options, &writer,
                                   &unit->problem);

    if (result != 0) {
        fail_msg("%d: %s", result, unit->problem.text);
    }
    return writer;
}

static inline trail_writer_t *
new_writer(trail_unit_t *unit)
{
    assert_int_equal(trail_create(unit->trail, &unit->options, &unit->problem),
                     0);
    return open_writer(unit);
}

static inline void
make_trail(trail_unit_t *unit, size_t count)
{
    trail_writer_t *writer = new_writer(unit);

    while (count > 0) {
        size_t batch = count < 100 ? count : 100;

        assert_int_equal(append_entries(writer, batch, 0), 0);
        count -= batch;
    }
    assert_int_equal(trail_writer_close(writer), 0);
}

/* Every entry of a trail is the one of its index; returns how many. */
static inline uint64_t
check_entries(const char *folder)
{
    trail_reader_t *reader;
    trail_problem_t problem;
    trail_scan_t *scan;
    char text[ENTRY_TEXT_MAX];
    uint64_t index, count = 0;
    slice_t entry;
    int result;

    result = trail_reader_open(folder, NULL, 0, &reader, &problem);
    if (result != 0) {
        fail_msg("%d: %s", result, problem.text);
    }
    assert_int_equal(trail_scan_open(reader, 0, &scan), 0);
    while ((result = trail_scan_next(scan, &index, &entry)) == 1) {
        assert_true(index == count);
        assert_true(slice_equal(entry, entry_text(index, text)));
        count++;
    }
    if (result != 0) {
        fail_msg("%d: %s", result, trail_reader_problem(reader));
    }
    trail_scan_free(scan);
    trail_reader_free(reader);
    return count;
}

static inline void
verify_trail(trail_unit_t *unit, const char *folder, verify_report_t *report)
{
    verify_options_t options = {
        .keys = &unit->signer.verifier, .keys_count = 1, .threads = 2};

    (void) trail_verify(folder, &options, report);
}

#endif
