/* The writer: indices, checkpoints, and what is left when it stops anywhere. */

#define _GNU_SOURCE
#include "unit.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>

#include "../../lib/trail/proof.h"
#include "trail_unit.h"

static void
assert_verified(trail_unit_t *unit, verify_result_t expected)
{
    verify_report_t report;

    verify_trail(unit, unit->trail, &report);
    if (report.result != expected) {
        fail_msg("%d: %s %s %s", (int) report.result, report.problem.text,
                 report.findings[0].text, report.torn_place);
    }
}

static void
entries_get_their_indices_and_stay(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer = new_writer(unit);
    trail_status_t status;
    size_t i;

    for (i = 1; i < 40; i++) {
        assert_int_equal(append_entries(writer, i, 0), 0);
    }
    assert_int_equal(trail_writer_wait(writer), 0);
    trail_writer_status(writer, &status);
    assert_int_equal(status.state, TRAIL_RUNNING);
    assert_true(status.size == 780);
    assert_true(status.sealed == 780);
    assert_true(status.batches == 39);
    assert_int_equal(trail_writer_close(writer), 0);
    assert_true(check_entries(unit->trail) == 780);
    assert_verified(unit, VERIFY_OK);
    writer = open_writer(unit);
    trail_writer_status(writer, &status);
    assert_true(status.size == 780);
    assert_true(status.replayed == 0);
    assert_false(status.cut.found);
    assert_int_equal(append_entries(writer, 1, 0), 0);
    assert_int_equal(trail_writer_close(writer), 0);
    assert_true(check_entries(unit->trail) == 781);
}

/* Whoever waits for one acknowledgement has the processors for himself: the
 * other thread is woken by a full tile, or when a checkpoint is wanted. */
static void
fewer_entries_than_a_tile_wait_for_a_checkpoint(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer = new_writer(unit);
    trail_status_t status;
    unsigned i;

    for (i = 0; i < 255; i++) {
        assert_int_equal(append_entries(writer, 1, 0), 0);
    }
    trail_writer_status(writer, &status);
    assert_true(status.size == 255);
    assert_true(status.integrated == 0);
    assert_int_equal(trail_writer_wait(writer), 0);
    trail_writer_status(writer, &status);
    assert_true(status.integrated == 255);
    assert_true(status.sealed == 255);
    assert_int_equal(trail_writer_close(writer), 0);
}

static void
a_full_tile_is_integrated_without_being_asked_for(void **state)
{
    const struct timespec moment = {0, 1000 * 1000};
    trail_unit_t *unit = *state;
    trail_writer_t *writer = new_writer(unit);
    trail_status_t status;
    unsigned i;

    assert_int_equal(append_entries(writer, 256, 0), 0);
    for (i = 0; i < 60000; i++) {
        trail_writer_status(writer, &status);
        if (status.integrated == 256) {
            break;
        }
        (void) nanosleep(&moment, NULL);
    }
    assert_true(status.integrated == 256);
    assert_true(status.sealed == 0);
    assert_int_equal(trail_writer_close(writer), 0);
}

static unsigned
count_partials(const char *folder)
{
    char command[160];
    unsigned count = 0;
    FILE *pipe;

    (void) snprintf(command, sizeof(command),
                    "find '%s' -path '*.p/*' -type f | wc -l", folder);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_int_equal(fscanf(pipe, "%u", &count), 1);
    (void) pclose(pipe);
    return count;
}

/* At each size the partial files are those of that size and no others. */
static void
superseded_partial_files_go(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer = new_writer(unit);
    unsigned i;

    for (i = 0; i < 12; i++) {
        assert_int_equal(append_entries(writer, 64, 0), 0);
        assert_int_equal(trail_writer_wait(writer), 0);
        /* entries and level 0 unless full; level 1 from 256 on */
        assert_int_equal(count_partials(unit->trail),
                         (i % 4 == 3 ? 0 : 2) + (i >= 3 ? 1 : 0));
    }
    assert_int_equal(trail_writer_close(writer), 0);
}

typedef struct {
    const char *trail;
    unsigned written, again;
} rewrites_t;

/* Called before a file is opened for writing, which empties it. */
static int
rewrites_hook(void *argument, const char *step, const char *path)
{
    rewrites_t *rewrites = argument;
    char whole[160];

    if (strcmp(step, "write") == 0 && strncmp(path, "tile/", 5) == 0) {
        (void) snprintf(whole, sizeof(whole), "%.64s/%.90s", rewrites->trail,
                        path);
        rewrites->written++;
        rewrites->again += access(whole, F_OK) == 0;
    }
    return 0;
}

/* A checkpoint's files are whole at every moment: for its readers, and for
 * whoever starts after a crash between emptying a file and filling it. */
static void
no_file_of_a_checkpoint_is_written_again(void **state)
{
    trail_unit_t *unit = *state;
    rewrites_t rewrites = {.trail = unit->trail};
    trail_writer_t *writer;
    unsigned i;

    unit->options.hook = rewrites_hook;
    unit->options.hook_argument = &rewrites;
    writer = new_writer(unit);
    for (i = 0; i < 60; i++) {
        assert_int_equal(append_entries(writer, 37, 0), 0);
        assert_int_equal(trail_writer_wait(writer), 0);
    }
    assert_int_equal(trail_writer_close(writer), 0);
    writer = open_writer(unit);
    assert_int_equal(append_entries(writer, 1, 0), 0);
    assert_int_equal(trail_writer_close(writer), 0);
    assert_true(rewrites.written > 120);
    assert_int_equal(rewrites.again, 0);
    assert_int_equal(check_entries(unit->trail), 60 * 37 + 1);
}

static void
a_second_writer_is_refused(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer = new_writer(unit), *other;

    assert_int_equal(
        trail_writer_open(unit->trail, &unit->options, &other, &unit->problem),
        -EBUSY);
    assert_int_equal(trail_create(unit->trail, &unit->options, &unit->problem),
                     -EBUSY);
    assert_int_equal(trail_writer_close(writer), 0);
    assert_int_equal(trail_create(unit->trail, &unit->options, &unit->problem),
                     -EEXIST);
}

static void
bad_batches_are_refused(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer = new_writer(unit);
    static char bytes[TRAIL_ENTRY_MAX + 1];
    slice_t entries[3] = {{bytes, TRAIL_ENTRY_MAX + 1},
                          {bytes, TRAIL_ENTRY_MAX},
                          {bytes, TRAIL_ENTRY_MAX}};
    uint64_t first;

    assert_int_equal(trail_writer_append(writer, entries, 0, 0, &first),
                     -EINVAL);
    assert_int_equal(trail_writer_append(writer, entries, 1, 0, &first),
                     -EMSGSIZE);
    assert_int_equal(trail_writer_append(writer, entries + 1, 2, 0, &first),
                     -EMSGSIZE);
    assert_int_equal(trail_writer_append(writer, entries + 1, 1, 0, &first), 0);
    assert_true(first == 0);
    assert_int_equal(trail_writer_close(writer), 0);
}

/* More than the ring holds: the appending thread waits for the other. */
static void
a_full_journal_is_freed_by_checkpoints(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer = new_writer(unit);
    trail_status_t status;
    unsigned i;

    for (i = 0; i < 100; i++) {
        assert_int_equal(append_entries(writer, 1000, 0), 0);
    }
    trail_writer_status(writer, &status);
    assert_true(status.size == 100000);
    assert_true(status.checkpoints > 5);
    assert_true(status.journal_used <= status.journal_bytes);
    assert_int_equal(trail_writer_close(writer), 0);
    assert_true(check_entries(unit->trail) == 100000);
    assert_verified(unit, VERIFY_OK);
}

/* ---- Stopping anywhere ----------------------------------------------------*/

typedef struct {
    unsigned left; /* steps until the end */
    int acked;     /* pipe: how many entries were acknowledged */
} killer_t;

static int
kill_hook(void *argument, const char *step, const char *path)
{
    killer_t *killer = argument;

    (void) step;
    (void) path;
    if (__atomic_sub_fetch(&killer->left, 1, __ATOMIC_SEQ_CST) == 0) {
        _exit(9);
    }
    return 0;
}

/* The child's life: batches that cross tiles, checkpoints, a full ring. */
static void
live(trail_unit_t *unit, killer_t *killer)
{
    trail_writer_t *writer;
    trail_status_t status;
    unsigned i;

    unit->options.hook = kill_hook;
    unit->options.hook_argument = killer;
    if (trail_writer_open(unit->trail, &unit->options, &writer,
                          &unit->problem) != 0)
    {
        _exit(1);
    }
    for (i = 0; i < 6; i++) {
        if (append_entries(writer, 90 + i, 0) != 0) {
            _exit(2);
        }
        trail_writer_status(writer, &status);
        if (write(killer->acked, &status.size, sizeof(status.size)) !=
            sizeof(status.size))
        {
            _exit(3);
        }
        if (i % 2 == 1 && trail_writer_wait(writer) != 0) {
            _exit(4);
        }
    }
    _exit(trail_writer_close(writer) == 0 ? 0 : 5);
}

/* The program is killed at its first, second, third … step, until it lives to
 * the end: each time all that was acknowledged is there, and fits. */
static void
killed_at_any_step_it_keeps_what_it_acknowledged(void **state)
{
    trail_unit_t *unit = *state;
    char start[80];
    unsigned step;
    int status = 1;

    make_trail(unit, 200);
    (void) snprintf(start, sizeof(start), "%s/start", unit->folder);
    copy_tree(unit->trail, start);
    for (step = 1; status != 0; step++) {
        trail_unit_t opened = *unit;
        killer_t killer = {step, -1};
        uint64_t acked = 200, size, found;
        trail_writer_t *writer;
        int ends[2];
        pid_t child;

        assert_true(step < 2000);
        copy_tree(start, unit->trail);
        assert_int_equal(pipe(ends), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            killer.acked = ends[1];
            live(unit, &killer);
        }
        (void) close(ends[1]);
        while (read(ends[0], &size, sizeof(size)) == sizeof(size)) {
            acked = size;
        }
        (void) close(ends[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (status != 0 && WEXITSTATUS(status) != 9) {
            fail_msg("step %u: exit status %d", step, WEXITSTATUS(status));
        }
        /* a reader and the verifier need no opening first */
        found = check_entries(unit->trail);
        assert_in_range(found, acked, acked + 97);
        writer = open_writer(&opened);
        assert_int_equal(append_entries(writer, 3, 0), 0);
        assert_int_equal(trail_writer_close(writer), 0);
        assert_true(check_entries(unit->trail) == found + 3);
        assert_verified(unit, VERIFY_OK);
        assert_in_range(count_partials(unit->trail), 1, 3);
    }
    assert_true(step > 40);
}

/*
 * What the disk would hold after the power failed: the bytes of a file as of
 * its last fsync, under the names its folder had at its own last fsync.
 */
typedef struct {
    trail_unit_t *unit;
    char disk[80];   /* the folder that only has what is durable */
    char synced[80]; /* contents of synced files, without their names' folder */
    unsigned left;
    bool off; /* the power */
    pthread_mutex_t mutex;
} power_t;

static void
copy_file(const char *from, const char *to)
{
    char *data = malloc(4 << 20);
    int in = open(from, O_RDONLY | O_CLOEXEC),
        out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n;

    assert_non_null(data);
    if (in >= 0 && out >= 0) {
        n = read(in, data, 4 << 20);
        assert_true(n >= 0 && write(out, data, (size_t) n) == n);
    }
    (void) close(in);
    (void) close(out);
    free(data);
}

/* One file per inode: a rename does not lose what was synced. */
static void
content_path(const power_t *power, const struct stat *st, char path[160])
{
    (void) snprintf(path, 160, "%s/%llu", power->synced,
                    (unsigned long long) st->st_ino);
}

static void
keep_content(power_t *power, const char *path)
{
    char from[240], to[160];
    struct stat st;

    (void) snprintf(from, sizeof(from), "%s/%s", power->unit->trail, path);
    if (stat(from, &st) == 0) {
        content_path(power, &st, to);
        copy_file(from, to);
    }
}

static void
keep_names(power_t *power, const char *path)
{
    char live[240], disk[240], from[512], to[512], content[160];
    struct dirent *entry;
    struct stat st;
    DIR *folder;

    (void) snprintf(live, sizeof(live), "%s/%s", power->unit->trail, path);
    (void) snprintf(disk, sizeof(disk), "%s/%s", power->disk, path);
    folder = opendir(disk);
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        (void) snprintf(from, sizeof(from), "%s/%s", live, entry->d_name);
        (void) snprintf(to, sizeof(to), "%s/%s", disk, entry->d_name);
        if (access(from, F_OK) != 0) {
            remove_tree(to);
        }
    }
    if (folder != NULL) {
        (void) closedir(folder);
    }
    assert_int_equal(stat(live, &st), 0);
    content_path(power, &st, content);
    copy_file("/dev/null", content); /* this folder was synced */
    folder = opendir(live);
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        (void) snprintf(from, sizeof(from), "%s/%s", live, entry->d_name);
        (void) snprintf(to, sizeof(to), "%s/%s", disk, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0 || stat(from, &st) != 0)
        {
            continue;
        }
        content_path(power, &st, content);
        if (S_ISDIR(st.st_mode)) {
            /* a folder synced before its own name was takes its names along */
            if (mkdir(to, 0700) == 0 && access(content, F_OK) == 0) {
                (void) snprintf(to, sizeof(to), "%s/%s", path, entry->d_name);
                keep_names(power, to);
            }
            continue;
        }
        if (access(content, F_OK) == 0) {
            copy_file(content, to);
        } else {
            copy_file("/dev/null", to); /* a name, and no bytes */
        }
    }
    (void) closedir(folder);
}

/* What ended well before the power went is durable, even if the other thread
 * has met the end meanwhile. */
static int
power_hook(void *argument, const char *step, const char *path)
{
    power_t *power = argument;
    int result = 0;

    (void) pthread_mutex_lock(&power->mutex);
    if (strcmp(step, "synced") == 0) {
        keep_content(power, path);
        if (strncmp(path, "journal/", 8) == 0) {
            keep_names(power, "journal"); /* the name was there for long */
        }
    } else if (strcmp(step, "synced-folder") == 0) {
        keep_names(power, path);
    } else if (strcmp(step, "synced-all") == 0) {
        copy_tree(power->unit->trail, power->disk);
    } else if (power->off || --power->left == 0) {
        power->off = true;
        result = -EIO;
    }
    (void) pthread_mutex_unlock(&power->mutex);
    return result;
}

static void
after_a_power_cut_at_any_step_nothing_acknowledged_is_lost(void **state)
{
    trail_unit_t *unit = *state;
    trail_unit_t plain = *unit, opened;
    char start[80];
    bool off = true;
    unsigned step;

    make_trail(unit, 200);
    (void) snprintf(start, sizeof(start), "%s/start", unit->folder);
    copy_tree(unit->trail, start);
    for (step = 1; off; step++) {
        power_t power = {.unit = unit, .left = step};
        trail_writer_t *writer;
        trail_status_t status;
        uint64_t acked = 200;
        unsigned i;

        assert_true(step < 2000);
        (void) pthread_mutex_init(&power.mutex, NULL);
        copy_tree(start, unit->trail);
        (void) snprintf(power.disk, sizeof(power.disk), "%s/disk",
                        unit->folder);
        (void) snprintf(power.synced, sizeof(power.synced), "%s/synced",
                        unit->folder);
        copy_tree(start, power.disk);
        remove_tree(power.synced);
        assert_int_equal(mkdir(power.synced, 0700), 0);
        /* the files of the ring have been on the disk for long */
        for (i = 0; i < 4; i++) {
            char path[24];

            (void) snprintf(path, sizeof(path), "journal/%u", i);
            keep_content(&power, path);
        }
        keep_content(&power, "checkpoint");
        keep_content(&power, "lock");
        opened = plain;
        opened.options.hook = power_hook;
        opened.options.hook_argument = &power;
        writer = open_writer(&opened);
        for (i = 0; i < 6 && append_entries(writer, 90 + i, 0) == 0; i++) {
            trail_writer_status(writer, &status);
            acked = status.size;
            if (i % 2 == 1) {
                (void) trail_writer_wait(writer);
            }
        }
        (void) trail_writer_close(writer);
        off = power.off;

        /* what the disk holds is a trail with all of it */
        copy_tree(power.disk, unit->trail);
        (void) check_entries(unit->trail);
        writer = open_writer(&plain);
        trail_writer_status(writer, &status);
        if (status.size < acked) {
            fail_msg("step %u: %llu of %llu entries", step,
                     (unsigned long long) status.size,
                     (unsigned long long) acked);
        }
        assert_int_equal(append_entries(writer, 3, 0), 0);
        assert_int_equal(trail_writer_close(writer), 0);
        assert_true(check_entries(unit->trail) == status.size + 3);
        assert_verified(unit, VERIFY_OK);
        (void) pthread_mutex_destroy(&power.mutex);
    }
    assert_true(step > 40);
}

/* ---- Errors of the disk -----------------------------------------------------*/

typedef struct {
    const char *step;
    const char *path; /* how it begins */
    int error;        /* 0: none at present */
} fault_t;

static int
fault_hook(void *argument, const char *step, const char *path)
{
    fault_t *fault = argument;
    int error = __atomic_load_n(&fault->error, __ATOMIC_SEQ_CST);

    if (strcmp(step, "sync-all") == 0 && strcmp(fault->step, "sync") == 0) {
        return error;
    }
    return error != 0 && strcmp(step, fault->step) == 0 &&
                   strncmp(path, fault->path, strlen(fault->path)) == 0
               ? error
               : 0;
}

static void
set_fault(fault_t *fault, int error)
{
    __atomic_store_n(&fault->error, error, __ATOMIC_SEQ_CST);
}

static void
a_full_disk_leaves_the_reserve_to_privileged_batches(void **state)
{
    trail_unit_t *unit = *state;
    fault_t fault = {"write", "tile/", 0};
    trail_writer_t *writer;
    trail_status_t status;
    unsigned privileged = 0;

    unit->options.hook = fault_hook;
    unit->options.hook_argument = &fault;
    writer = new_writer(unit);
    assert_int_equal(append_entries(writer, 300, 0), 0);
    assert_int_equal(trail_writer_wait(writer), 0);
    set_fault(&fault, -ENOSPC);
    assert_int_equal(append_entries(writer, 300, 0), 0);
    assert_int_equal(trail_writer_wait(writer), -ENOSPC);
    trail_writer_status(writer, &status);
    assert_int_equal(status.state, TRAIL_LIMITED);
    assert_int_equal(status.error, -ENOSPC);
    assert_true(status.sealed == 300);
    assert_true(status.size == 600);
    assert_int_equal(append_entries(writer, 1, 0), -ENOSPC);
    while (append_entries(writer, 500, TRAIL_PRIVILEGED) == 0) {
        privileged++;
    }
    assert_true(privileged > 10);
    assert_int_equal(append_entries(writer, 500, TRAIL_PRIVILEGED), -ENOSPC);
    /* unsealed, and readable all the same */
    assert_true(check_entries(unit->trail) == 600 + 500 * privileged);
    assert_verified(unit, VERIFY_UNSEALED);
    set_fault(&fault, 0);
    trail_writer_checkpoint(writer); /* the next tick of the caller's clock */
    assert_int_equal(trail_writer_wait(writer), 0);
    trail_writer_status(writer, &status);
    assert_int_equal(status.state, TRAIL_RUNNING);
    assert_int_equal(append_entries(writer, 1, 0), 0);
    assert_int_equal(trail_writer_close(writer), 0);
    assert_true(check_entries(unit->trail) == 601 + 500 * privileged);
    assert_verified(unit, VERIFY_OK);
}

static void
closed_with_a_full_disk_the_journal_has_the_rest(void **state)
{
    trail_unit_t *unit = *state;
    fault_t fault = {"write", "tile/", -ENOSPC};
    trail_writer_t *writer;

    unit->options.hook = fault_hook;
    unit->options.hook_argument = &fault;
    writer = new_writer(unit);
    assert_int_equal(append_entries(writer, 300, 0), 0);
    assert_int_equal(trail_writer_close(writer), -ENOSPC);
    assert_true(check_entries(unit->trail) == 300);
    set_fault(&fault, 0);
    writer = open_writer(unit);
    assert_int_equal(trail_writer_close(writer), 0);
    assert_true(check_entries(unit->trail) == 300);
    assert_verified(unit, VERIFY_OK);
}

/* After a failed fsync the kernel may have dropped the pages: simulated by
 * damage to what was written. */
static void
after_a_failed_sync_everything_is_written_again(void **state)
{
    trail_unit_t *unit = *state;
    fault_t fault = {"sync", "tile/", 0};
    trail_writer_t *writer;
    char path[120];

    unit->options.hook = fault_hook;
    unit->options.hook_argument = &fault;
    writer = new_writer(unit);
    assert_int_equal(append_entries(writer, 100, 0), 0);
    assert_int_equal(trail_writer_wait(writer), 0);
    set_fault(&fault, -EIO);
    assert_int_equal(append_entries(writer, 700, 0), 0);
    assert_int_equal(trail_writer_wait(writer), -EIO);
    (void) snprintf(path, sizeof(path), "%s/tile/entries/001", unit->trail);
    copy_file("/dev/null", path);
    set_fault(&fault, 0);
    assert_int_equal(trail_writer_wait(writer), 0);
    assert_int_equal(append_entries(writer, 10, 0), 0);
    assert_int_equal(trail_writer_close(writer), 0);
    assert_true(check_entries(unit->trail) == 810);
    assert_verified(unit, VERIFY_OK);
    assert_int_equal(count_partials(unit->trail), 3);
}

static void
a_journal_error_acknowledges_nothing_and_heals(void **state)
{
    trail_unit_t *unit = *state;
    fault_t fault = {"append", "journal/", -EIO};
    trail_writer_t *writer;
    trail_status_t status;

    unit->options.hook = fault_hook;
    unit->options.hook_argument = &fault;
    writer = new_writer(unit);
    assert_int_equal(append_entries(writer, 2, 0), -EIO);
    trail_writer_status(writer, &status);
    assert_int_equal(status.state, TRAIL_FAILED);
    assert_int_equal(status.error, -EIO);
    assert_true(status.size == 0);
    set_fault(&fault, 0);
    assert_int_equal(append_entries(writer, 2, 0), 0);
    trail_writer_status(writer, &status);
    assert_int_equal(status.state, TRAIL_RUNNING);
    assert_int_equal(trail_writer_close(writer), 0);
    assert_true(check_entries(unit->trail) == 2);
}

static void
little_free_space_refuses_ordinary_batches_only(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer;
    trail_status_t status;

    unit->options.disk_reserve_bytes = UINT64_C(1) << 60;
    writer = new_writer(unit);
    assert_int_equal(append_entries(writer, 300, TRAIL_PRIVILEGED), 0);
    assert_int_equal(trail_writer_wait(writer), 0);
    trail_writer_checkpoint(writer);
    do {
        trail_writer_status(writer, &status);
    } while (status.state == TRAIL_RUNNING);
    assert_int_equal(status.error, -ENOSPC);
    assert_int_equal(append_entries(writer, 1, 0), -ENOSPC);
    /* there is room for the privileged ones' tiles: they are sealed */
    assert_int_equal(append_entries(writer, 5, TRAIL_PRIVILEGED), 0);
    assert_int_equal(trail_writer_wait(writer), 0);
    assert_int_equal(trail_writer_close(writer), 0);
    assert_verified(unit, VERIFY_OK);
}

/* ---- What does not fit is refused with its place ---------------------------*/

static void
refused(trail_unit_t *unit, int error, const char *place)
{
    trail_writer_t *writer;

    assert_int_equal(
        trail_writer_open(unit->trail, &unit->options, &writer, &unit->problem),
        error);
    assert_null(writer);
    if (strstr(unit->problem.text, place) == NULL) {
        fail_msg("\"%s\" does not name %s", unit->problem.text, place);
    }
}

static void
change_byte(const trail_unit_t *unit, const char *path, off_t at)
{
    char full[160], byte;
    int fd;

    (void) snprintf(full, sizeof(full), "%s/%s", unit->trail, path);
    fd = open(full, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte = (char) (byte ^ 1);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void) close(fd);
}

static void
a_changed_edge_is_refused_with_its_place(void **state)
{
    trail_unit_t *unit = *state;
    char path[160];

    make_trail(unit, 300);
    change_byte(unit, "tile/entries/001.p/44", 10);
    refused(unit, -EBADMSG, "tile/entries/001.p/44: entry 256 ");
    change_byte(unit, "tile/entries/001.p/44", 10);
    change_byte(unit, "tile/0/001.p/44", 33);
    refused(unit, -EBADMSG, "tile/0/001.p/44: hash 1 ");
    change_byte(unit, "tile/0/001.p/44", 33);
    change_byte(unit, "tile/1/000.p/1", 0);
    refused(unit, -EBADMSG, "tile/0/000 and tile/1/000.p/1 ");
    change_byte(unit, "tile/1/000.p/1", 0);
    change_byte(unit, "checkpoint", 20);
    refused(unit, -EBADMSG, "checkpoint: ");
    change_byte(unit, "checkpoint", 20);
    (void) snprintf(path, sizeof(path), "%s/tile/0/001.p/44", unit->trail);
    assert_int_equal(unlink(path), 0);
    refused(unit, -EBADMSG, "tile/0/001.p/44: it is missing");
    (void) snprintf(path, sizeof(path), "%s/checkpoint", unit->trail);
    assert_int_equal(unlink(path), 0);
    refused(unit, -ENOENT, "checkpoint: ");
    assert_int_equal(trail_create(unit->trail, &unit->options, &unit->problem),
                     -EEXIST);
}

static void
another_key_does_not_open_it(void **state)
{
    trail_unit_t *unit = *state;
    note_signer_t other;

    make_trail(unit, 3);
    assert_int_equal(note_signer_generate(SLICE("example.org/trail"), &other),
                     0);
    unit->options.signers = &other;
    refused(unit, -ENOKEY, "checkpoint: ");
    note_signer_wipe(&other);
}

static void
an_older_state_under_a_newer_journal_is_refused(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer;
    char kept[80], journal[96], command[240];
    unsigned i;

    make_trail(unit, 300);
    (void) snprintf(kept, sizeof(kept), "%s/kept", unit->folder);
    copy_tree(unit->trail, kept);
    writer = open_writer(unit);
    for (i = 0; i < 40; i++) {
        assert_int_equal(append_entries(writer, 1000, 0), 0);
    }
    assert_int_equal(trail_writer_close(writer), 0);
    (void) snprintf(journal, sizeof(journal), "%s/journal", kept);
    remove_tree(journal);
    (void) snprintf(command, sizeof(command), "mv '%s/journal' '%s'",
                    unit->trail, journal);
    assert_int_equal(system(command), 0);
    copy_tree(kept, unit->trail);
    refused(unit, -EBADMSG, "the checkpoint ends at 300");
}

static void
a_lost_journal_must_be_admitted(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer;
    trail_status_t status;
    char path[120];

    make_trail(unit, 300);
    (void) snprintf(path, sizeof(path), "%s/journal", unit->trail);
    remove_tree(path);
    refused(unit, -ENOENT, "journal");
    unit->options.journal_lost = true;
    writer = open_writer(unit);
    trail_writer_status(writer, &status);
    assert_true(status.journal_lost);
    assert_int_equal(append_entries(writer, 1, 0), 0);
    assert_int_equal(trail_writer_close(writer), 0);
    writer = open_writer(unit);
    trail_writer_status(writer, &status);
    assert_false(status.journal_lost);
    assert_int_equal(trail_writer_close(writer), 0);
    assert_true(check_entries(unit->trail) == 301);
}

static void
after_a_rotation_both_keys_verify(void **state)
{
    trail_unit_t *unit = *state;
    note_signer_t signers[2];
    verify_options_t verify = {.keys_count = 1};
    verify_report_t report;
    trail_writer_t *writer;

    make_trail(unit, 300);
    signers[0] = unit->signer;
    assert_int_equal(
        note_signer_generate(SLICE("example.org/trail"), &signers[1]), 0);
    unit->options.signers = signers;
    unit->options.signers_count = 2;
    writer = open_writer(unit);
    assert_int_equal(trail_writer_wait(writer), 0); /* signs 300 anew */
    verify.keys = &signers[1].verifier;
    assert_int_equal(trail_verify(unit->trail, &verify, &report), 0);
    assert_int_equal(report.result, VERIFY_OK);
    assert_int_equal(trail_writer_close(writer), 0);
    assert_verified(unit, VERIFY_OK);
    /* then the old key is retired */
    unit->options.signers = &signers[1];
    unit->options.signers_count = 1;
    writer = open_writer(unit);
    assert_int_equal(append_entries(writer, 1, 0), 0);
    assert_int_equal(trail_writer_close(writer), 0);
    assert_int_equal(trail_verify(unit->trail, &verify, &report), 0);
    assert_int_equal(report.result, VERIFY_OK);
    verify.keys = &signers[0].verifier;
    (void) trail_verify(unit->trail, &verify, &report);
    assert_int_equal(report.result, VERIFY_TAMPERED);
    assert_int_equal(report.findings[0].kind, VERIFY_CHECKPOINT);
    note_signer_wipe(&signers[0]);
    note_signer_wipe(&signers[1]);
}

#define WRITER_TEST(function)                                                  \
    cmocka_unit_test_setup_teardown(function, trail_unit_start, trail_unit_stop)

UNIT_TESTS(
    WRITER_TEST(entries_get_their_indices_and_stay),
    WRITER_TEST(fewer_entries_than_a_tile_wait_for_a_checkpoint),
    WRITER_TEST(a_full_tile_is_integrated_without_being_asked_for),
    WRITER_TEST(superseded_partial_files_go),
    WRITER_TEST(no_file_of_a_checkpoint_is_written_again),
    WRITER_TEST(a_second_writer_is_refused),
    WRITER_TEST(bad_batches_are_refused),
    WRITER_TEST(a_full_journal_is_freed_by_checkpoints),
    WRITER_TEST(killed_at_any_step_it_keeps_what_it_acknowledged),
    WRITER_TEST(after_a_power_cut_at_any_step_nothing_acknowledged_is_lost),
    WRITER_TEST(a_full_disk_leaves_the_reserve_to_privileged_batches),
    WRITER_TEST(closed_with_a_full_disk_the_journal_has_the_rest),
    WRITER_TEST(after_a_failed_sync_everything_is_written_again),
    WRITER_TEST(a_journal_error_acknowledges_nothing_and_heals),
    WRITER_TEST(little_free_space_refuses_ordinary_batches_only),
    WRITER_TEST(a_changed_edge_is_refused_with_its_place),
    WRITER_TEST(another_key_does_not_open_it),
    WRITER_TEST(an_older_state_under_a_newer_journal_is_refused),
    WRITER_TEST(a_lost_journal_must_be_admitted),
    WRITER_TEST(after_a_rotation_both_keys_verify))
