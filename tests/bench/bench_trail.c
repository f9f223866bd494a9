/*
 * What the trail costs, beside the bare parts of it in the same run and the
 * same folder.
 *
 *     bench_trail [--quick] [--json] [--folder DIR] [--bin DIR]
 *
 * --bin: where sekisho and sekishod are (default: build/bin).
 *
 * DIR (default: the working directory) must be on the disk to be measured.
 * ext4 searches long for an inode that was not freed within the last minutes:
 * after many files were deleted there (the end of this program does that too)
 * wait five minutes, or the creation of tiles costs four times as much.
 * Entries have 400 bytes.  Times are of one run each; the latencies are of
 * single records with pauses, as they come at a gate.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../lib/base/json.h"
#include "../../lib/base/wipe.h"
#include "../../lib/trail/reader.h"
#include "../../lib/trail/verify.h"
#include "../../lib/trail/writer.h"
#include "trail_socket.h"

#define ENTRY_SIZE 400
#define BATCH_MAX  1000

/* What is aimed at: docs/performance.md. */
#define BAR_APPEND     800000.0
#define BAR_SOCKET     400000.0
#define BAR_VERIFY     3000000.0
#define BAR_SCAN       1.0
#define BAR_LATENCY_US 100.0

typedef struct {
    double hashes, nodes; /* per second */
    double append[4];     /* durable records per second, by batch size */
    double sealed;        /* per second, until the last checkpoint */
    double bare[4];       /* the same bytes, pwrite + fdatasync only */
    double ack50, ack99;  /* microseconds, in process */
    double bare50, bare99;
    socket_figures_t socket;
    double verify1, verify2; /* records per second */
    double verify_cpu;       /* … per second of CPU time, with two threads */
    double hashing_cpu;      /* the same of leaf and node alone */
    double scan;             /* GB/s */
    long rss_kib;
} figures_t;

static const unsigned batches[4] = {1, 10, 100, 1000};

static double
now(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* Of all threads; what others do on the machine changes it less. */
static double
cpu_now(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void die(const char *what, int error) __attribute__((noreturn));

static void
die(const char *what, int error)
{
    (void) fprintf(stderr, "bench_trail: %s: %s\n", what, strerror(-error));
    exit(1);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}

static void
remove_tree(const char *path)
{
    (void) nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* As unlike each other as real ones: not that it matters to SHA-256. */
static void
fill(char entries[BATCH_MAX][ENTRY_SIZE], slice_t slices[BATCH_MAX])
{
    unsigned i, k;

    for (i = 0; i < BATCH_MAX; i++) {
        for (k = 0; k < ENTRY_SIZE; k++) {
            entries[i][k] = (char) ('a' + (i * 31 + k * 7) % 26);
        }
        slices[i] = (slice_t){entries[i], ENTRY_SIZE};
    }
}

static void
bench_hashes(figures_t *figures, const slice_t *slices, unsigned rounds)
{
    merkle_hasher_t hasher;
    merkle_hash_t hashes[256];
    double start, cpu = cpu_now();
    unsigned i, k;

    if (merkle_hasher_init(&hasher) != 0) {
        die("SHA-256", -EIO);
    }
    start = now();
    for (i = 0; i < rounds; i++) {
        for (k = 0; k < BATCH_MAX; k += 200) {
            merkle_leaves(&hasher, slices + k, 200, hashes);
        }
    }
    figures->hashes = rounds * (double) BATCH_MAX / (now() - start);
    start = now();
    /* 250 nodes, nearly a tile */
    for (i = 0; i < rounds * BATCH_MAX / 250; i++) {
        merkle_fold(&hasher, hashes, 251);
    }
    figures->nodes = rounds * (double) BATCH_MAX / (now() - start);
    /* to verify a record takes one of each, in the end */
    figures->hashing_cpu = rounds * (double) BATCH_MAX / (cpu_now() - cpu);
    merkle_hasher_free(&hasher);
}

static int
open_bare(const char *folder, char path[512], size_t bytes)
{
    char *zeros = calloc(1, 1 << 20);
    size_t at;
    int fd;

    (void) snprintf(path, 512, "%s/bench_trail.bare", folder);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || zeros == NULL) {
        die(path, -errno);
    }
    for (at = 0; at < bytes; at += 1 << 20) {
        if (pwrite(fd, zeros, 1 << 20, (off_t) at) != 1 << 20) {
            die(path, -ENOSPC);
        }
    }
    free(zeros);
    (void) fsync(fd);
    return fd;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}

static void
rest(void)
{
    const struct timespec pause = {0, 1000 * 1000};

    (void) nanosleep(&pause, NULL);
}

static void
bench_bare(figures_t *figures, const char *folder, unsigned rounds)
{
    const size_t size = 64u << 20;
    double *times = calloc(rounds, sizeof(*times)), start;
    char path[512], *data = calloc(1, BATCH_MAX * (ENTRY_SIZE + 2) + 64);
    size_t at = 0;
    int fd = open_bare(folder, path, size);
    unsigned b, i;

    for (b = 0; b < 4; b++) {
        size_t bytes = (size_t) batches[b] * (ENTRY_SIZE + 2) + 64;
        unsigned count = rounds / (b + 1);

        start = now();
        for (i = 0; i < count; i++) {
            if (at + bytes > size) {
                at = 0;
            }
            if (pwrite(fd, data, bytes, (off_t) at) != (ssize_t) bytes ||
                fdatasync(fd) != 0)
            {
                die(path, -errno);
            }
            at += bytes;
        }
        figures->bare[b] = count * (double) batches[b] / (now() - start);
    }
    for (i = 0; i < rounds; i++) {
        rest();
        at = at + 472 > size ? 0 : at;
        start = now();
        if (pwrite(fd, data, 472, (off_t) at) != 472 || fdatasync(fd) != 0) {
            die(path, -errno);
        }
        times[i] = (now() - start) * 1e6;
        at += 472;
    }
    qsort(times, rounds, sizeof(*times), compare);
    figures->bare50 = times[rounds / 2];
    figures->bare99 = times[rounds * 99 / 100];
    (void) close(fd);
    (void) unlink(path);
    free(times);
    free(data);
}

static void
append(trail_writer_t *writer, const slice_t *slices, unsigned count,
       double *ticked)
{
    uint64_t first;
    int result = trail_writer_append(writer, slices, count, 0, &first);

    if (result != 0) {
        die("append", result);
    }
    if (now() - *ticked >= 1.0) { /* the daemon's clock */
        trail_writer_checkpoint(writer);
        *ticked = now();
    }
}

static void
bench_appends(figures_t *figures, trail_writer_t *writer, const slice_t *slices,
              unsigned rounds, unsigned large)
{
    double *times = calloc(rounds, sizeof(*times)), start, ticked = now();
    unsigned b, i;

    for (i = 0; i < rounds; i++) {
        rest();
        start = now();
        append(writer, slices, 1, &ticked);
        times[i] = (now() - start) * 1e6;
    }
    qsort(times, rounds, sizeof(*times), compare);
    figures->ack50 = times[rounds / 2];
    figures->ack99 = times[rounds * 99 / 100];
    free(times);
    for (b = 0; b < 4; b++) {
        unsigned count = b == 3 ? large : rounds / (b + 1);

        (void) trail_writer_wait(writer);
        start = now();
        for (i = 0; i < count; i++) {
            append(writer, slices, batches[b], &ticked);
        }
        figures->append[b] = count * (double) batches[b] / (now() - start);
        if (b == 3) {
            if (trail_writer_wait(writer) != 0) {
                die("checkpoint", -EIO);
            }
            figures->sealed = count * (double) BATCH_MAX / (now() - start);
        }
    }
}

static void
bench_write(figures_t *figures, const char *trail, const note_signer_t *signer,
            const slice_t *slices, unsigned rounds, unsigned large)
{
    trail_writer_options_t options = {.signers = signer,
                                      .signers_count = 1,
                                      .shape = {16u << 20, 16},
                                      .reserve_bytes = 16u << 20};
    trail_problem_t problem = {""};
    trail_writer_t *writer;
    int result = trail_create(trail, &options, &problem);

    if (result == 0) {
        result = trail_writer_open(trail, &options, &writer, &problem);
    }
    if (result != 0) {
        die(problem.text, result);
    }
    bench_appends(figures, writer, slices, rounds, large);
    result = trail_writer_close(writer);
    if (result != 0) {
        die("close", result);
    }
}

static void
bench_read(figures_t *figures, const char *trail, const note_signer_t *signer)
{
    verify_options_t options = {.keys = &signer->verifier, .keys_count = 1};
    verify_report_t *report = malloc(sizeof(*report));
    trail_reader_t *reader;
    trail_scan_t *scan;
    trail_problem_t problem;
    uint64_t index, bytes = 0;
    unsigned threads;
    slice_t entry;
    double start, cpu;
    int result;

    for (threads = 0; threads <= 2; threads++) { /* 0: warms the cache */
        options.threads = threads == 0 ? 1 : threads;
        start = now();
        cpu = cpu_now();
        result = trail_verify(trail, &options, report);
        if (result != 0 || report->result != VERIFY_OK) {
            die(report->findings[0].text, -EBADMSG);
        }
        *(threads == 2
              ? &figures->verify2
              : &figures->verify1) = (double) report->sealed / (now() - start);
        figures->verify_cpu = (double) report->sealed / (cpu_now() - cpu);
    }
    free(report);
    start = now();
    result = trail_reader_open(trail, NULL, 0, &reader, &problem);
    if (result != 0 || trail_scan_open(reader, 0, &scan) != 0) {
        die(problem.text, result);
    }
    while (trail_scan_next(scan, &index, &entry) == 1) {
        bytes += entry.size;
    }
    figures->scan = (double) bytes / 1e9 / (now() - start);
    trail_scan_free(scan);
    trail_reader_free(reader);
}

static bool
ack_met(const figures_t *f)
{
    return f->socket.ack50 <= f->socket.bare50 + BAR_LATENCY_US;
}

static void
print_text(const figures_t *f)
{
    unsigned b;

    (void) printf("hashes of 400 bytes      %10.0f /s   nodes %10.0f /s\n",
                  f->hashes, f->nodes);
    for (b = 0; b < 4; b++) {
        (void) printf("append, batches of %4u  %10.0f durable records/s   "
                      "(bare pwrite+fdatasync %10.0f)\n",
                      batches[b], f->append[b], f->bare[b]);
    }
    (void) printf("  bar for 1000           %10.0f %s; until sealed %.0f\n",
                  BAR_APPEND, f->append[3] >= BAR_APPEND ? "met" : "NOT met",
                  f->sealed);
    (void) printf("  one record             median %6.0f us, p99 %6.0f us   "
                  "(bare: %6.0f, %6.0f)\n",
                  f->ack50, f->ack99, f->bare50, f->bare99);
    (void) printf("through the socket       %10.0f durable records/s of %.0f "
                  "bytes, %d producers: bar %.0f %s\n",
                  f->socket.records, f->socket.line, SOCKET_PRODUCERS,
                  BAR_SOCKET,
                  f->socket.records >= BAR_SOCKET ? "met" : "NOT met");
    (void) printf("  CPU time a record      %10.2f us sekishod, %.2f us the "
                  "producer, %.2f us the index\n",
                  f->socket.daemon_us, f->socket.producer_us,
                  f->socket.index_us);
    (void) printf("  acknowledgement        median %6.0f us, p99 %6.0f us   "
                  "(bare: %6.0f, %6.0f): bar +%.0f us %s\n",
                  f->socket.ack50, f->socket.ack99, f->socket.bare50,
                  f->socket.bare99, BAR_LATENCY_US,
                  ack_met(f) ? "met" : "NOT met");
    (void) printf("verify                   %10.0f records/s with 1 thread, "
                  "%10.0f with 2: bar %.0f %s\n",
                  f->verify1, f->verify2, BAR_VERIFY,
                  f->verify2 >= BAR_VERIFY ? "met" : "NOT met");
    (void) printf("  per second of CPU      %10.0f, %.0f%% of what hashing "
                  "alone would reach (%.0f)\n",
                  f->verify_cpu, 100 * f->verify_cpu / f->hashing_cpu,
                  f->hashing_cpu);
    (void) printf("scan                     %10.2f GB/s\n", f->scan);
    (void) printf("sekisho audit verify     %10.0f records/s, numbers checked "
                  "too\n",
                  f->socket.verify);
    (void) printf("sekisho audit search     %10.2f GB/s: bar %.0f GB/s %s\n",
                  f->socket.search, BAR_SCAN,
                  f->socket.search >= BAR_SCAN ? "met" : "NOT met");
    (void) printf("peak memory              %10ld KiB\n", f->rss_kib);
}

static void
print_json(const figures_t *f)
{
    json_t json;
    unsigned b;
    char name[32];

    json_init(&json);
    json_object(&json, NULL);
    json_int(&json, "hashes_per_second", (int64_t) f->hashes);
    json_int(&json, "nodes_per_second", (int64_t) f->nodes);
    for (b = 0; b < 4; b++) {
        (void) snprintf(name, sizeof(name), "append_%u_per_second", batches[b]);
        json_int(&json, name, (int64_t) f->append[b]);
        (void) snprintf(name, sizeof(name), "bare_%u_per_second", batches[b]);
        json_int(&json, name, (int64_t) f->bare[b]);
    }
    json_int(&json, "sealed_per_second", (int64_t) f->sealed);
    json_int(&json, "ack_median_us", (int64_t) f->ack50);
    json_int(&json, "ack_p99_us", (int64_t) f->ack99);
    json_int(&json, "bare_median_us", (int64_t) f->bare50);
    json_int(&json, "bare_p99_us", (int64_t) f->bare99);
    json_int(&json, "socket_per_second", (int64_t) f->socket.records);
    json_int(&json, "socket_line_bytes", (int64_t) f->socket.line);
    json_int(&json, "socket_daemon_cpu_ns",
             (int64_t) (f->socket.daemon_us * 1000));
    json_int(&json, "socket_producer_cpu_ns",
             (int64_t) (f->socket.producer_us * 1000));
    json_int(&json, "socket_index_cpu_ns",
             (int64_t) (f->socket.index_us * 1000));
    json_int(&json, "socket_ack_median_us", (int64_t) f->socket.ack50);
    json_int(&json, "socket_ack_p99_us", (int64_t) f->socket.ack99);
    json_int(&json, "socket_bare_median_us", (int64_t) f->socket.bare50);
    json_int(&json, "socket_bare_p99_us", (int64_t) f->socket.bare99);
    json_int(&json, "verify_1_per_second", (int64_t) f->verify1);
    json_int(&json, "verify_2_per_second", (int64_t) f->verify2);
    json_int(&json, "verify_per_cpu_second", (int64_t) f->verify_cpu);
    json_int(&json, "hashing_per_cpu_second", (int64_t) f->hashing_cpu);
    json_int(&json, "scan_mb_per_second", (int64_t) (f->scan * 1000));
    json_int(&json, "peak_rss_kib", f->rss_kib);
    json_bool(&json, "append_bar_met", f->append[3] >= BAR_APPEND);
    json_bool(&json, "socket_bar_met", f->socket.records >= BAR_SOCKET);
    json_bool(&json, "ack_bar_met", ack_met(f));
    json_int(&json, "command_verify_per_second", (int64_t) f->socket.verify);
    json_int(&json, "command_search_mb_per_second",
             (int64_t) (f->socket.search * 1000));
    json_bool(&json, "search_bar_met", f->socket.search >= BAR_SCAN);
    json_bool(&json, "verify_bar_met", f->verify2 >= BAR_VERIFY);
    json_end_object(&json);
    (void) puts(json_result(&json).data);
    json_free(&json);
}

int
main(int argc, char **argv)
{
    static char entries[BATCH_MAX][ENTRY_SIZE];
    static slice_t slices[BATCH_MAX];
    const char *folder = ".", *bin = "build/bin";
    bool json = false, quick = false;
    note_signer_t signer;
    figures_t figures = {0};
    struct rusage usage;
    char trail[512], served[512];
    int i;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--quick") == 0) {
            quick = true;
        } else if (strcmp(argv[i], "--folder") == 0 && i + 1 < argc) {
            folder = argv[++i];
        } else if (strcmp(argv[i], "--bin") == 0 && i + 1 < argc) {
            bin = argv[++i];
        } else {
            (void) fprintf(stderr, "usage: bench_trail [--quick] [--json] "
                                   "[--folder DIR] [--bin DIR]\n");
            return 2;
        }
    }
    (void) snprintf(trail, sizeof(trail), "%s/bench_trail.folder", folder);
    (void) snprintf(served, sizeof(served), "%s/bench_trail.served", folder);
    remove_tree(trail);
    remove_tree(served);
    fill(entries, slices);
    if (note_signer_generate(SLICE("example.org/bench"), &signer) != 0) {
        die("key", -EIO);
    }
    bench_hashes(&figures, slices, quick ? 300 : 1000);
    bench_bare(&figures, folder, quick ? 300 : 1000);
    bench_write(&figures, trail, &signer, slices, quick ? 300 : 1000,
                quick ? 1000 : 4000);
    bench_read(&figures, trail, &signer);
    (void) getrusage(RUSAGE_SELF, &usage);
    figures.rss_kib = usage.ru_maxrss;
    if (!bench_socket(served, bin, quick ? 250000 : 1000000, quick ? 300 : 1000,
                      &figures.socket))
    {
        return 1; /* what is in the folder may tell why */
    }
    remove_tree(trail);
    remove_tree(served);
    note_signer_wipe(&signer);
    if (json) {
        print_json(&figures);
    } else {
        print_text(&figures);
    }
    return 0;
}
