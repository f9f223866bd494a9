/*
 * A ring of three files with the input written over its first bytes: opening
 * must find an end or refuse, and what it finds can be read, gone on with, and
 * found again.  The input's checks are made right first where there is a batch
 * (else nothing behind them would ever be reached).
 */

#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "../../lib/base/endian.h"
#include "../../lib/trail/journal_internal.h"
#include "../../lib/trail/tile.h"

#define SEGMENT JOURNAL_SEGMENT_MIN

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char folder[64];

static void
remove_folder(void)
{
    char path[96];
    unsigned i;

    for (i = 0; i < 3; i++) {
        (void) snprintf(path, sizeof(path), "%s/journal/%u", folder, i);
        (void) unlink(path);
    }
    (void) snprintf(path, sizeof(path), "%s/journal", folder);
    (void) rmdir(path);
    (void) rmdir(folder);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[96];

    (void) argc;
    (void) argv;
    (void) snprintf(folder, sizeof(folder), "%s/sekisho-fuzz-XXXXXX",
                    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(folder) == NULL) {
        abort();
    }
    (void) snprintf(path, sizeof(path), "%s/journal", folder);
    if (mkdir(path, 0700) != 0) {
        abort();
    }
    (void) atexit(remove_folder);
    return 0;
}

static int
fast_hook(void *argument, const char *step, const char *path)
{
    (void) argument;
    (void) step;
    (void) path;
    return 0;
}

/* Puts right checks into everything that has a header's magic, and chains. */
static void
mend(merkle_hasher_t *hasher, uint8_t *bytes, size_t size)
{
    uint8_t check[JOURNAL_CHECK_SIZE] = {0};
    size_t at;

    if (size >= JOURNAL_HEADER_SIZE) {
        merkle_hash_t hash;

        memcpy(bytes, JOURNAL_SEGMENT_MAGIC, 8);
        store_le32(bytes + 48, SEGMENT);
        store_le32(bytes + 52, 3);
        merkle_sha256(hasher, (slice_t){(char *) bytes, 56}, (slice_t){"", 0},
                      &hash);
        memcpy(bytes + 56, hash.bytes, 8);
        memcpy(check, bytes + 32, sizeof(check));
    }
    for (at = JOURNAL_HEADER_SIZE; at + JOURNAL_HEADER_SIZE <= size; at += 8) {
        size_t room = size - at - JOURNAL_HEADER_SIZE;
        size_t payload = load_le32(bytes + at + 24), i = 0;
        size_t entries = load_le32(bytes + at + 28);
        uint8_t *leaves = bytes + at + JOURNAL_HEADER_SIZE;
        merkle_hash_t hash;
        slice_t rest, entry;

        if (memcmp(bytes + at, JOURNAL_BATCH_MAGIC, 8) != 0 || payload > room ||
            entries > (room - payload) / MERKLE_HASH_SIZE)
        {
            continue;
        }
        if ((bytes[at + 32] & 1) == 0) { /* half of them */
            memcpy(bytes + at + 32, check, sizeof(check));
        }
        rest = (slice_t){(char *) leaves + entries * MERKLE_HASH_SIZE, payload};
        while (i < entries && tile_entry_next(&rest, &entry)) {
            merkle_leaf(hasher, entry, &hash);
            memcpy(leaves + i++ * MERKLE_HASH_SIZE, hash.bytes,
                   MERKLE_HASH_SIZE);
        }
        merkle_sha256(hasher, (slice_t){(char *) bytes + at, 48},
                      (slice_t){(char *) leaves, entries * MERKLE_HASH_SIZE},
                      &hash);
        memcpy(bytes + at + 48, hash.bytes, JOURNAL_CHECK_SIZE);
        memcpy(check, hash.bytes, sizeof(check));
    }
}

/* Each file gets a part of the input and zeros, or is cut short. */
static void
make_files(const uint8_t *data, size_t size, bool right)
{
    static uint8_t bytes[SEGMENT];
    merkle_hasher_t hasher;
    size_t part = size / 3;
    unsigned i;

    if (merkle_hasher_init(&hasher) != 0) {
        abort();
    }
    for (i = 0; i < 3; i++) {
        size_t used = part < SEGMENT ? part : SEGMENT;
        char path[96];
        int fd;

        memset(bytes, 0, sizeof(bytes));
        if (used > 0) {
            memcpy(bytes, data + i * part, used);
        }
        if (right) {
            mend(&hasher, bytes, used);
        }
        (void) snprintf(path, sizeof(path), "%s/journal/%u", folder, i);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, bytes, used) != (ssize_t) used ||
            (used % 2 == 0 && ftruncate(fd, SEGMENT) != 0))
        {
            abort();
        }
        (void) close(fd);
    }
    merkle_hasher_free(&hasher);
}

/* What was acknowledged must be there, whatever else the input has made of the
 * bytes behind it. */
static void
read_back(const store_t *store, uint64_t first, const slice_t entries[2])
{
    journal_reader_t reader;
    journal_place_t place;
    journal_batch_t batch;
    slice_t entry;

    if (journal_reader_open(&reader, store->folder, NULL) != 0 ||
        journal_find(&reader, first, &place) != JOURNAL_BATCH ||
        journal_next(&reader, &place, &batch) != JOURNAL_BATCH ||
        batch.place.index != first || batch.entries != 2 ||
        !tile_entry_next(&batch.payload, &entry) ||
        !slice_equal(entry, entries[0]) ||
        !tile_entry_next(&batch.payload, &entry) ||
        !slice_equal(entry, entries[1]))
    {
        abort();
    }
    journal_reader_close(&reader);
}

static void
go_on(const store_t *store, uint64_t sealed)
{
    const slice_t entries[2] = {SLICE("one"), SLICE("two")};
    trail_problem_t problem;
    journal_place_t place;
    journal_cut_t cut;
    journal_t journal;
    uint64_t first = 0, end;
    int result = journal_open(&journal, store, sealed, 0, &place, &cut,
                              &problem);

    if (result != 0) {
        journal_close(&journal);
        return;
    }
    end = journal.end.index;
    if (end < sealed) {
        abort();
    }
    result = journal_append(&journal, entries, 2, true, &first);
    journal_close(&journal);
    if (result != 0) {
        return; /* full, or at the end of all numbers */
    }
    if (first != end) {
        abort();
    }
    read_back(store, first, entries);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    store_t store;

    if (size < 2 || size > 3 * 4096) {
        return 0;
    }
    make_files(data + 2, size - 2, (data[0] & 1) != 0);
    if (store_open(&store, folder, fast_hook, NULL) == 0) {
        go_on(&store, data[1]);
    }
    store_close(&store);
    return 0;
}
