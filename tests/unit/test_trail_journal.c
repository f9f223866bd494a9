/* The write-ahead journal: what was acknowledged is there, nothing else is. */

#define _GNU_SOURCE
#include "unit.h"

#include "../../lib/base/endian.h"
#include "../../lib/trail/journal.h"
#include "trail_unit.h"

#define SEGMENT JOURNAL_SEGMENT_MIN

typedef struct {
    char folder[48];
    store_t store;
    int fail_sync; /* errno of the next syncs */
} unit_t;

static int
hook(void *argument, const char *step, const char *path)
{
    unit_t *unit = argument;

    (void) path;
    return strcmp(step, "sync") == 0 ? unit->fail_sync : 0;
}

static int
start(void **state)
{
    const journal_shape_t shape = {SEGMENT, 3};
    unit_t *unit = calloc(1, sizeof(*unit));

    *state = unit;
    if (unit == NULL) {
        return -1;
    }
    return make_test_folder(unit->folder) == 0 &&
                   store_open(&unit->store, unit->folder, hook, unit) == 0 &&
                   journal_create(&unit->store, &shape, 0) == 0
               ? 0
               : -1;
}

static int
stop(void **state)
{
    unit_t *unit = *state;

    store_close(&unit->store);
    remove_tree(unit->folder);
    free(unit);
    return 0;
}

static int
open_journal(unit_t *unit, uint64_t sealed, journal_t *journal,
             journal_cut_t *cut)
{
    trail_problem_t problem;
    journal_place_t place;
    int result = journal_open(journal, &unit->store, sealed, 0, &place, cut,
                              &problem);

    if (result != 0) {
        journal_close(journal);
    }
    return result;
}

/* Appends `count` entries as one batch, numbered through. */
static int
append(journal_t *journal, size_t count, size_t padding)
{
    char *bytes = calloc(count, 24 + padding);
    slice_t *entries = calloc(count, sizeof(*entries));
    uint64_t first, index = journal->end.index;
    size_t i;
    int result;

    for (i = 0; i < count; i++) {
        char *text = bytes + i * (24 + padding);

        (void) snprintf(text, 24, "%llu", (unsigned long long) index + i);
        entries[i] = (slice_t){text, 24 + padding};
    }
    result = journal_append(journal, entries, count, true, &first);
    if (result == 0) {
        assert_true(first == index);
    }
    free(bytes);
    free(entries);
    return result;
}

/* Entries from `from` to the end, each of which must be its own number. */
static uint64_t
replay(unit_t *unit, uint64_t from)
{
    journal_reader_t reader;
    journal_place_t place;
    journal_batch_t batch;
    journal_result_t found;
    slice_t entry;
    uint64_t index;

    assert_int_equal(journal_reader_open(&reader, unit->store.folder, NULL), 0);
    found = journal_find(&reader, from, &place);
    index = place.index;
    while (found == JOURNAL_BATCH) {
        found = journal_next(&reader, &place, &batch);
        if (found != JOURNAL_BATCH) {
            break;
        }
        assert_true(batch.place.index == index);
        while (batch.payload.size > 0) {
            slice_t rest = batch.payload;

            entry = (slice_t){rest.data + 2, load_be16(rest.data)};
            assert_true(strtoull(entry.data, NULL, 10) == index);
            batch.payload = slice_from(rest, 2 + entry.size);
            index++;
        }
    }
    assert_int_equal(found, JOURNAL_END);
    journal_reader_close(&reader);
    return index;
}

static void
an_empty_journal_replays_nothing(void **state)
{
    unit_t *unit = *state;
    journal_t journal;
    journal_cut_t cut;

    assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
    assert_false(cut.found);
    assert_true(journal.end.index == 0);
    journal_close(&journal);
    assert_true(replay(unit, 0) == 0);
}

/* Five batches; the file is cut at each byte of them.  What comes back are the
 * batches that end before the cut, and the rest is told to the byte. */
static void
a_cut_at_any_byte_leaves_the_whole_batches(void **state)
{
    unit_t *unit = *state;
    char path[80];
    uint32_t ends[6], at;
    uint64_t sizes[6];
    uint8_t *bytes = malloc(SEGMENT), *idle = malloc(SEGMENT);
    journal_t journal;
    journal_cut_t cut;
    unsigned i, whole;
    int fd, other;

    assert_non_null(bytes);
    assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
    ends[0] = JOURNAL_HEADER_SIZE;
    sizes[0] = 0;
    for (i = 1; i <= 5; i++) {
        /* no padding at their ends: each byte counts */
        assert_int_equal(append(&journal, i, 6 + 8 * i), 0);
        ends[i] = journal.end.offset;
        sizes[i] = journal.end.index;
    }
    assert_true(journal.end.generation == 1);
    journal_close(&journal);
    (void) snprintf(path, sizeof(path), "%s/journal/1", unit->folder);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, SEGMENT, 0), SEGMENT);
    (void) snprintf(path, sizeof(path), "%s/journal/0", unit->folder);
    other = open(path, O_RDWR | O_CLOEXEC);
    assert_true(other >= 0);
    assert_int_equal(pread(other, idle, SEGMENT, 0), SEGMENT);

    for (at = 0; at <= ends[5]; at++) {
        assert_int_equal(ftruncate(fd, (off_t) at), 0);
        assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
        for (whole = 0; whole < 5 && ends[whole + 1] <= at; whole++) {
        }
        assert_true(journal.end.index == sizes[whole]);
        assert_true(cut.found);
        assert_true(cut.missing == SEGMENT - at);
        assert_string_equal(cut.path, "journal/1");
        if (at >= JOURNAL_HEADER_SIZE) {
            assert_true(cut.offset == ends[whole]);
            assert_true(cut.bytes == at - ends[whole]);
        }
        journal_close(&journal);
        assert_true(replay(unit, 0) == sizes[whole]);
        /* and it goes on */
        assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
        assert_false(cut.found);
        assert_int_equal(append(&journal, 2, 0), 0);
        journal_close(&journal);
        assert_true(replay(unit, 0) == sizes[whole] + 2);
        /* as it was */
        assert_int_equal(pwrite(fd, bytes, SEGMENT, 0), SEGMENT);
        assert_int_equal(pwrite(other, idle, SEGMENT, 0), SEGMENT);
    }
    (void) close(fd);
    (void) close(other);
    free(bytes);
    free(idle);
}

/* The last batch's bytes are only there up to some byte, then what was there
 * before: the power failed. */
static void
a_torn_batch_is_cut_and_told(void **state)
{
    unit_t *unit = *state;
    uint8_t *before = malloc(SEGMENT), *after = malloc(SEGMENT);
    char path[80];
    uint32_t from, to, at;
    journal_t journal;
    journal_cut_t cut;
    int fd;

    assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
    assert_int_equal(append(&journal, 3, 0), 0);
    from = journal.end.offset;
    (void) snprintf(path, sizeof(path), "%s/journal/1", unit->folder);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, before, SEGMENT, 0), SEGMENT);
    assert_int_equal(append(&journal, 2, 3), 0);
    to = journal.end.offset;
    journal_close(&journal);
    assert_int_equal(pread(fd, after, SEGMENT, 0), SEGMENT);
    for (at = from; at < to; at++) {
        if (memcmp(after + at, before + at, to - at) == 0) {
            break; /* the padding's zeros: nothing is missing */
        }
        assert_int_equal(pwrite(fd, after, at, 0), at);
        assert_int_equal(pwrite(fd, before + at, SEGMENT - at, at),
                         SEGMENT - at);
        assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
        assert_true(journal.end.index == 3);
        if (at >= from + 16) { /* the sequence number tells of it */
            assert_true(cut.found);
            assert_true(cut.offset == from);
            assert_true(cut.bytes >= JOURNAL_HEADER_SIZE);
        }
        assert_true(cut.missing == 0);
        journal_close(&journal);
    }
    (void) close(fd);
    free(before);
    free(after);
}

/* Its first bytes too: it names the batch before it, as no leftover does. */
static void
a_changed_byte_of_the_last_batch_is_a_torn_end(void **state)
{
    unit_t *unit = *state;
    uint8_t *bytes = malloc(SEGMENT);
    char path[80];
    uint32_t from, to, at;
    journal_t journal;
    journal_cut_t cut;
    int fd;

    assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
    assert_int_equal(append(&journal, 3, 0), 0);
    from = journal.end.offset;
    assert_int_equal(append(&journal, 2, 3), 0);
    to = journal.end.offset;
    journal_close(&journal);
    (void) snprintf(path, sizeof(path), "%s/journal/1", unit->folder);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, SEGMENT, 0), SEGMENT);
    while (bytes[to - 1] == 0) {
        to--; /* what fills it up is no part of it */
    }
    for (at = from; at < to; at++) {
        bytes[at] ^= 0x10;
        assert_int_equal(pwrite(fd, bytes, SEGMENT, 0), SEGMENT);
        bytes[at] ^= 0x10;
        assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
        assert_true(journal.end.index == 3);
        assert_true(cut.found);
        assert_true(cut.offset == from);
        assert_true(cut.bytes >= JOURNAL_HEADER_SIZE);
        journal_close(&journal);
    }
    (void) close(fd);
    free(bytes);
}

/* 40 turns of the ring with batches of many sizes, opened again and again:
 * no byte of an earlier turn is ever taken for a new one. */
static void
a_recycled_ring_never_gives_old_bytes(void **state)
{
    unit_t *unit = *state;
    journal_t journal;
    journal_cut_t cut;
    uint64_t sealed = 0;
    unsigned turn = 0, seed = 1;

    assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
    while (journal.end.generation < 120) {
        int result;

        seed = seed * 1103515245 + 12345;
        result = append(&journal, 1 + seed / 65536 % 40, seed / 65536 % 900);
        if (result == -EAGAIN || ++turn % 17 == 0) {
            sealed = journal.end.index - (turn % 3 == 0 ? 0 : 1);
            journal_release(&journal, sealed);
            journal_release(&journal, journal.end.index);
            sealed = journal.end.index;
            journal_close(&journal);
            assert_true(replay(unit, sealed) == sealed);
            assert_int_equal(open_journal(unit, sealed, &journal, &cut), 0);
            assert_false(cut.found);
            assert_true(journal.end.index == sealed);
        } else {
            assert_int_equal(result, 0);
        }
    }
    journal_close(&journal);
}

static void
damage_before_later_batches_is_refused(void **state)
{
    unit_t *unit = *state;
    trail_problem_t problem;
    journal_place_t place;
    journal_t journal;
    journal_cut_t cut;
    uint32_t second, third, at;
    char path[80];
    int fd;

    assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
    assert_int_equal(append(&journal, 2, 0), 0);
    second = journal.end.offset;
    assert_int_equal(append(&journal, 2, 1), 0);
    third = journal.end.offset;
    assert_int_equal(append(&journal, 2, 0), 0);
    journal_close(&journal);
    (void) snprintf(path, sizeof(path), "%s/journal/1", unit->folder);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    for (at = second; at < third - 7; at++) {
        char byte, changed;

        assert_int_equal(pread(fd, &byte, 1, at), 1);
        changed = (char) (byte ^ 4);
        assert_int_equal(pwrite(fd, &changed, 1, at), 1);
        assert_int_equal(
            journal_open(&journal, &unit->store, 0, 0, &place, &cut, &problem),
            -EBADMSG);
        journal_close(&journal);
        assert_non_null(strstr(problem.text, "journal/1"));
        assert_non_null(strstr(problem.text, "entry 2"));
        /* what a checkpoint covers need not be read again */
        assert_int_equal(open_journal(unit, 6, &journal, &cut), 0);
        journal_close(&journal);
        /* opening cut it: put the bytes back */
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        if (cut.found) {
            break;
        }
    }
    (void) close(fd);
}

static void
a_failed_sync_acknowledges_nothing(void **state)
{
    unit_t *unit = *state;
    journal_t journal;
    journal_cut_t cut;

    assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
    assert_int_equal(append(&journal, 3, 0), 0);
    unit->fail_sync = -EIO;
    assert_int_equal(append(&journal, 5, 100), -EIO);
    assert_true(journal.end.index == 3);
    unit->fail_sync = 0;
    assert_int_equal(append(&journal, 1, 0), 0);
    assert_true(journal.end.index == 4);
    journal_close(&journal);
    assert_true(replay(unit, 0) == 4);
}

/* The batch whose sync failed is whole on the disk, and the next one went into
 * a new segment: that one counts. */
static void
a_failed_batch_gives_way_to_the_next_segment(void **state)
{
    unit_t *unit = *state;
    journal_t journal;
    journal_cut_t cut;
    uint64_t index;

    assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
    assert_int_equal(append(&journal, 1, 60000), 0);
    unit->fail_sync = -EIO;
    assert_int_equal(append(&journal, 3, 0), -EIO);
    unit->fail_sync = 0;
    index = journal.end.index;
    assert_int_equal(append(&journal, 2, 60000), 0);
    assert_true(journal.end.generation == 2);
    assert_true(journal.end.index == index + 2);
    journal_close(&journal);
    assert_true(replay(unit, 0) == index + 2);
    assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
    assert_true(journal.end.index == index + 2);
    journal_close(&journal);
}

static void
the_reserve_is_for_privileged_batches(void **state)
{
    unit_t *unit = *state;
    char bytes[1000] = {0};
    const slice_t entry = {bytes, sizeof(bytes)};
    trail_problem_t problem;
    journal_place_t place;
    journal_t journal;
    journal_cut_t cut;
    uint64_t first;
    unsigned ordinary = 0, privileged = 0;

    assert_int_equal(journal_open(&journal, &unit->store, 0, SEGMENT, &place,
                                  &cut, &problem),
                     0);
    while (journal_append(&journal, &entry, 1, false, &first) == 0) {
        ordinary++;
    }
    assert_int_equal(journal_append(&journal, &entry, 1, false, &first),
                     -EAGAIN);
    while (journal_append(&journal, &entry, 1, true, &first) == 0) {
        privileged++;
    }
    /* generations 1 to 3 of 128 KiB, the last of them kept back */
    assert_in_range(ordinary, 230, 250);
    assert_in_range(privileged, 110, 130);
    journal_release(&journal, first + 1);
    assert_int_equal(journal_append(&journal, &entry, 1, false, &first), 0);
    journal_close(&journal);
}

static void
what_does_not_fit_a_segment_is_refused(void **state)
{
    unit_t *unit = *state;
    static char bytes[TRAIL_ENTRY_MAX + 1];
    slice_t entries[2] = {{bytes, TRAIL_ENTRY_MAX}, {bytes, 65300}};
    journal_t journal;
    journal_cut_t cut;
    uint64_t first;

    assert_int_equal(open_journal(unit, 0, &journal, &cut), 0);
    assert_int_equal(journal_append(&journal, entries, 2, true, &first), 0);
    entries[1].size = TRAIL_ENTRY_MAX;
    assert_int_equal(journal_append(&journal, entries, 2, true, &first),
                     -EMSGSIZE);
    entries[0].size = TRAIL_ENTRY_MAX + 1;
    assert_int_equal(journal_append(&journal, entries, 1, true, &first),
                     -EMSGSIZE);
    assert_int_equal(journal_append(&journal, entries, 0, true, &first),
                     -EINVAL);
    journal_close(&journal);
}

#define JOURNAL_TEST(function)                                                 \
    cmocka_unit_test_setup_teardown(function, start, stop)

UNIT_TESTS(JOURNAL_TEST(an_empty_journal_replays_nothing),
           JOURNAL_TEST(a_cut_at_any_byte_leaves_the_whole_batches),
           JOURNAL_TEST(a_torn_batch_is_cut_and_told),
           JOURNAL_TEST(a_changed_byte_of_the_last_batch_is_a_torn_end),
           JOURNAL_TEST(a_recycled_ring_never_gives_old_bytes),
           JOURNAL_TEST(damage_before_later_batches_is_refused),
           JOURNAL_TEST(a_failed_sync_acknowledges_nothing),
           JOURNAL_TEST(a_failed_batch_gives_way_to_the_next_segment),
           JOURNAL_TEST(the_reserve_is_for_privileged_batches),
           JOURNAL_TEST(what_does_not_fit_a_segment_is_refused))
