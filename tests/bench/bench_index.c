/*
 * What audit.db costs to make, and how fast it answers.
 *
 *     bench_index [--quick] [--json] [--folder DIR] [--index FILE]
 *                 [--records N] [--part N] [--keep]
 *
 * Writes a trail of N made-up records [1,000,000; quick: 200,000] into DIR (the
 * working directory) as a region's would be: accesses and their closes some
 * hundred records later, three studies a patient, each opened some five times
 * under a study's UID alone, answers that tell whose study it is, denials.  Then
 * the index is made from nothing, and "who opened patient P" asked for 1,000
 * patients.  --keep leaves DIR/bench_index.trail and .db for other programs to
 * be compared with.  Times are of one run.
 *
 * --part N: the trail is written N records at a time, and its entries removed
 * once they are in the index, for a machine that has no room for all of it; only
 * the time that the index takes counts.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../lib/base/json.h"
#include "../../lib/review/index.h"
#include "../../lib/trail/tile.h"
#include "../../lib/trail/writer.h"

#define BATCH     1000
#define OPEN      512 /* accesses that are open at a time */
#define QUESTIONS 1000
#define START_MS  INT64_C(1767225600000) /* 2026-01-01 */

#define BAR_REBUILD  200000.0 /* records a second */
#define BAR_QUERY_MS 100.0    /* over 10 million records */

typedef struct {
    uint64_t state, records, patients;
    int64_t now_ms;
    struct {
        char id[33], study[80], user[16], facility[24], address[24],
            session[33];
    } open[OPEN]; /* a ring: closed when it comes round again */
    uint64_t opened;
    char lines[BATCH][RECORD_SIZE_MAX];
    slice_t slices[BATCH];
    size_t count;
} maker_t;

typedef struct {
    uint64_t records, size_bytes, accesses;
    double write, rebuild; /* records a second */
    double seconds;
    uint64_t taken;
    double query_mean_ms, query_max_ms, per_patient;
    long rss_kib;
} figures_t;

static double
now(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}


static void
die(const char *what, const char *why)
{
    (void) fprintf(stderr, "bench_index: %s: %s\n", what, why);
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


static uint64_t
next(maker_t *maker)
{
    maker->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = maker->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}


static void
make_id(maker_t *maker, char id[33])
{
    (void) snprintf(id, 33, "%016llx%016llx", (unsigned long long) next(maker),
                    (unsigned long long) next(maker));
}


static void
add(maker_t *maker, record_t *record)
{
    char time[RECORD_TIME_TEXT_MAX], number[24], id[33];
    char *line = maker->lines[maker->count];

    maker->now_ms += (int64_t) (next(maker) % 30);
    (void) record_time(maker->now_ms, time);
    (void) snprintf(number, sizeof(number), "%llu",
                    (unsigned long long) maker->records + 1);
    if (record->values[RECORD_ID].size == 0) {
        make_id(maker, id);
        record->values[RECORD_ID] = slice_of(id);
    }
    record->values[RECORD_TIME] = slice_of(time);
    record->values[RECORD_HOST] = SLICE("gate1.hospital.example");
    record->values[RECORD_SOURCE] = SLICE("nginx");
    record->values[RECORD_NUMBER] = slice_of(number);
    record->values[RECORD_FRONT] = SLICE("00ab34cd00ab34cd77ab34cd00ab34cd");
    maker->slices[maker->count].data = line;
    maker->slices[maker->count++].size = record_render(record, line,
                                                       RECORD_SIZE_MAX);
    maker->records++;
}


static void
add_learned(maker_t *maker, const char *study, uint64_t patient)
{
    record_t record = {0};
    char name[24];

    (void) snprintf(name, sizeof(name), "P%08llu",
                    (unsigned long long) patient);
    record.values[RECORD_EVENT] = SLICE("patient-learned");
    record.values[RECORD_OUTCOME] = SLICE("0");
    record.values[RECORD_STUDY] = slice_of(study);
    record.values[RECORD_PATIENT] = slice_of(name);
    record.values[RECORD_ISSUER] = SLICE("HOSPITAL");
    add(maker, &record);
}


static void
add_denied(maker_t *maker)
{
    record_t record = {0};
    char address[24];

    (void) snprintf(address, sizeof(address), "198.51.%u.%u",
                    (unsigned) (next(maker) & 255),
                    (unsigned) (next(maker) & 255));
    record.values[RECORD_EVENT] = SLICE("denied");
    record.values[RECORD_OUTCOME] = SLICE("8");
    record.values[RECORD_REASON] = SLICE("unknown-network");
    record.values[RECORD_ADDRESS] = slice_of(address);
    record.values[RECORD_SERVICE] = SLICE("web");
    record.values[RECORD_COUNT_FOLDED] = SLICE("3");
    add(maker, &record);
}


static void
fill_access(const maker_t *maker, size_t at, record_t *record)
{
    record->values[RECORD_OUTCOME] = SLICE("0");
    record->values[RECORD_USER] = slice_of(maker->open[at].user);
    record->values[RECORD_FACTORS] = SLICE("password,totp");
    record->values[RECORD_FACILITY] = slice_of(maker->open[at].facility);
    record->values[RECORD_ADDRESS] = slice_of(maker->open[at].address);
    record->values[RECORD_SERVICE] = SLICE("web");
    record->values[RECORD_SESSION] = slice_of(maker->open[at].session);
    record->values[RECORD_PURPOSE] = SLICE("second reading");
    record->values[RECORD_ACTION] = SLICE("view");
    record->values[RECORD_STUDY] = slice_of(maker->open[at].study);
}


static void
add_close(maker_t *maker, size_t at)
{
    record_t record = {0};

    fill_access(maker, at, &record);
    record.values[RECORD_EVENT] = SLICE("access-end");
    record.values[RECORD_OPEN] = slice_of(maker->open[at].id);
    record.values[RECORD_REASON] = SLICE("idle");
    record.values[RECORD_REQUESTS] = SLICE("25");
    record.values[RECORD_BYTES] = SLICE("10485760");
    record.values[RECORD_INSTANCES] = SLICE("20");
    record.values[RECORD_DURATION_MS] = SLICE("61520");
    record.values[RECORD_STATUSES] = SLICE("200:25");
    add(maker, &record);
}


static void
add_access(maker_t *maker)
{
    size_t at = maker->opened % OPEN;
    uint64_t user = next(maker) % 900, patient = next(maker) % maker->patients;
    unsigned number = (unsigned) (next(maker) % 3);
    record_t record = {0};

    if (maker->opened >= OPEN) {
        add_close(maker, at);
    }
    make_id(maker, maker->open[at].id);
    (void) snprintf(maker->open[at].study, sizeof(maker->open[at].study),
                    "1.2.840.113619.2.55.%llu.%u", 1000000000ull + patient,
                    number);
    (void) snprintf(maker->open[at].user, sizeof(maker->open[at].user),
                    "user%llu", (unsigned long long) user);
    (void) snprintf(maker->open[at].facility, sizeof(maker->open[at].facility),
                    "facility-%llu", (unsigned long long) user % 300);
    (void) snprintf(maker->open[at].address, sizeof(maker->open[at].address),
                    "203.0.%llu.%llu", (unsigned long long) user % 300 / 256,
                    (unsigned long long) user % 256);
    /* a session lasts for some twenty accesses of a user */
    (void) snprintf(maker->open[at].session, sizeof(maker->open[at].session),
                    "%016llx%016llx", (unsigned long long) user,
                    (unsigned long long) maker->opened / 18000);
    fill_access(maker, at, &record);
    record.values[RECORD_EVENT] = SLICE("access");
    record.values[RECORD_ID] = slice_of(maker->open[at].id);
    record.values[RECORD_METHOD] = SLICE("GET");
    record.values[RECORD_URI] = SLICE("/dicom-web/studies/…/series/…/"
                                      "instances/…/frames/1");
    record.values[RECORD_TLS] = SLICE("TLSv1.3");
    record.values[RECORD_AGENT] = SLICE("Mozilla/5.0 (X11; Linux x86_64; "
                                        "rv:128.0) Gecko/20100101");
    add(maker, &record);
    if (next(maker) % 15 == 0) {
        add_learned(maker, maker->open[at].study, patient);
    }
    if (next(maker) % 40 == 0) {
        add_denied(maker);
    }
    maker->opened++;
}


/* Records up to `end`. */
static void
write_trail(maker_t *maker, trail_writer_t *writer, uint64_t end)
{
    double ticked = now();
    uint64_t first;

    while (maker->records < end) {
        maker->count = 0;
        while (maker->count + 4 < BATCH) {
            add_access(maker);
        }
        if (trail_writer_append(writer, maker->slices, maker->count, 0,
                                &first) != 0) {
            die("trail", "append");
        }
        if (now() - ticked >= 1.0) {
            trail_writer_checkpoint(writer);
            ticked = now();
        }
    }
    trail_writer_checkpoint(writer);
}


static void
wait_sealed(trail_reader_t *reader, uint64_t size)
{
    while (trail_reader_checkpoint(reader)->size < size) {
        (void) usleep(10000);
        if (trail_reader_refresh(reader) < 0) {
            die("trail", trail_reader_problem(reader));
        }
    }
}


/* The bundles of the entries from .. end - 1, but not the last one. */
static void
remove_entries(const char *trail, uint64_t from, uint64_t end)
{
    char path[600], name[TILE_PATH_MAX];

    for (uint64_t i = from / TILE_WIDTH; i + 1 < end / TILE_WIDTH; i++) {
        tile_t tile = {.index = i, .width = TILE_WIDTH, .entries = true};

        (void) tile_path(&tile, name);
        (void) snprintf(path, sizeof(path), "%s/%s", trail, name);
        (void) unlink(path);
    }
}


static void
update(review_index_t *index, trail_reader_t *reader, uint64_t most,
       figures_t *figures)
{
    double start = now();
    uint64_t taken;

    if (index_update(index, reader, most, NULL, NULL, &taken) != 0) {
        die("index", index_strerror(index));
    }
    figures->taken += taken;
    figures->seconds += now() - start;
}


/* Two parts are there at a time, so that the end of the trail, where the index
 * is completed, is met but once. */
static void
make_both(const char *trail, const char *path, const note_signer_t *signer,
          uint64_t records, uint64_t part, figures_t *figures)
{
    trail_writer_options_t options = {.signers = signer,
                                      .signers_count = 1,
                                      .shape = {16u << 20, 16},
                                      .reserve_bytes = 16u << 20};
    trail_problem_t problem = {""};
    maker_t *maker = calloc(1, sizeof(*maker));
    trail_writer_t *writer;
    trail_reader_t *reader;
    review_index_t *index;
    char error[256];
    struct stat st;
    double start;

    if (maker == NULL || trail_create(trail, &options, &problem) != 0 ||
        trail_writer_open(trail, &options, &writer, &problem) != 0)
    {
        die(trail, problem.text);
    }
    maker->state = 1;
    maker->now_ms = START_MS;
    maker->patients = records / 30 + 10;
    start = now();
    write_trail(maker, writer, part < records ? part : records);
    figures->write = (double) maker->records / (now() - start);
    if (index_open(path, INDEX_WRITE, &index, error) != 0) {
        die(path, error);
    }
    if (trail_reader_open(trail, NULL, 0, &reader, &problem) != 0) {
        die(trail, problem.text);
    }
    while (maker->records < records) {
        uint64_t done = index_size(index);

        write_trail(maker, writer,
                    records - maker->records < part ? records
                                                    : maker->records + part);
        wait_sealed(reader, maker->records);
        update(index, reader, part, figures);
        remove_entries(trail, done, index_size(index));
        (void) fprintf(stderr, "%12llu records, %.0f records/s\n",
                       (unsigned long long) figures->taken,
                       (double) figures->taken / figures->seconds);
    }
    if (trail_writer_close(writer) != 0) {
        die(trail, "close");
    }
    figures->records = maker->records;
    free(maker);
    update(index, reader, 0, figures);
    start = now();
    index_close(index);
    figures->seconds += now() - start;
    trail_reader_free(reader);
    figures->rebuild = (double) figures->taken / figures->seconds;
    figures->size_bytes = stat(path, &st) == 0 ? (uint64_t) st.st_size : 0;
}


/* docs/audit-db.md, "Who opened a patient's images". */
static const char question[] =
    "WITH p AS (SELECT id FROM word WHERE text = ?),"
    " s AS (SELECT study FROM study WHERE patient IN (SELECT id FROM p)),"
    " n AS (SELECT number FROM access WHERE patient IN (SELECT id FROM p)"
    " UNION SELECT number FROM access WHERE study IN (SELECT study FROM s)) "
    "SELECT a.* FROM accesses a WHERE a.number IN (SELECT number FROM n) "
    "ORDER BY a.number";

static void
ask(const char *path, figures_t *figures)
{
    review_index_t *index;
    sqlite3_stmt *statement;
    char error[256], name[24];
    maker_t maker = {.state = 77, .patients = figures->records / 30};
    uint64_t rows = 0;
    double total = 0;

    if (index_open(path, INDEX_READ, &index, error) != 0) {
        die(path, error);
    }
    for (unsigned i = 0; i < QUESTIONS; i++) {
        double start = now(), took;

        if (sqlite3_prepare_v2(index_handle(index), question, -1, &statement,
                               NULL) != SQLITE_OK)
        {
            die(path, sqlite3_errmsg(index_handle(index)));
        }
        (void) snprintf(name, sizeof(name), "P%08llu",
                        (unsigned long long) (next(&maker) % maker.patients));
        (void) sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
        while (sqlite3_step(statement) == SQLITE_ROW) {
            rows++;
        }
        (void) sqlite3_finalize(statement);
        took = (now() - start) * 1e3;
        total += took;
        figures->query_max_ms = took > figures->query_max_ms
                                    ? took
                                    : figures->query_max_ms;
    }
    figures->query_mean_ms = total / QUESTIONS;
    figures->per_patient = (double) rows / QUESTIONS;
    if (sqlite3_prepare_v2(index_handle(index), "SELECT count(*) FROM access",
                           -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
    {
        figures->accesses = (uint64_t) sqlite3_column_int64(statement, 0);
    }
    (void) sqlite3_finalize(statement);
    index_close(index);
}


static void
print_json(const figures_t *f)
{
    json_t json;

    json_init(&json);
    json_object(&json, NULL);
    json_int(&json, "records", (int64_t) f->records);
    json_int(&json, "index_bytes", (int64_t) f->size_bytes);
    json_int(&json, "rebuild_per_second", (int64_t) f->rebuild);
    json_int(&json, "query_mean_us", (int64_t) (f->query_mean_ms * 1e3));
    json_int(&json, "query_max_us", (int64_t) (f->query_max_ms * 1e3));
    json_int(&json, "peak_rss_kib", f->rss_kib);
    json_bool(&json, "rebuild_bar_met", f->rebuild >= BAR_REBUILD);
    json_bool(&json, "query_bar_met", f->query_max_ms <= BAR_QUERY_MS);
    json_end_object(&json);
    (void) puts(json_result(&json).data);
    json_free(&json);
}


static void
print_text(const figures_t *f)
{
    (void) printf("records                  %10llu, %llu accesses, written at "
                  "%.0f /s\n",
                  (unsigned long long) f->records,
                  (unsigned long long) f->accesses, f->write);
    (void) printf("index from nothing       %10.0f records/s, %.0f MB: bar "
                  "%.0f %s\n",
                  f->rebuild, (double) f->size_bytes / 1e6, BAR_REBUILD,
                  f->rebuild >= BAR_REBUILD ? "met" : "NOT met");
    (void) printf("who opened patient P     mean %7.3f ms, worst %7.3f ms of "
                  "%d, %.1f accesses each: bar %.0f ms %s\n",
                  f->query_mean_ms, f->query_max_ms, QUESTIONS, f->per_patient,
                  BAR_QUERY_MS,
                  f->query_max_ms <= BAR_QUERY_MS ? "met" : "NOT met");
    (void) printf("peak memory              %10ld KiB\n", f->rss_kib);
}


static void
clean(const char *trail, const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-lock"};
    char name[600];

    (void) nftw(trail, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    for (size_t i = 0; i < 4; i++) {
        (void) snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        (void) remove(name);
    }
}


int
main(int argc, char **argv)
{
    const char *folder = ".";
    bool json = false, keep = false;
    uint64_t records = 1000000, part = UINT64_MAX;
    note_signer_t signer;
    figures_t figures = {0};
    struct rusage usage;
    char trail[512], path[512] = "";

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--quick") == 0) {
            records = 200000;
        } else if (strcmp(argv[i], "--keep") == 0) {
            keep = true;
        } else if (strcmp(argv[i], "--folder") == 0 && i + 1 < argc) {
            folder = argv[++i];
        } else if (strcmp(argv[i], "--records") == 0 && i + 1 < argc) {
            records = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--part") == 0 && i + 1 < argc) {
            part = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--index") == 0 && i + 1 < argc) {
            (void) snprintf(path, sizeof(path), "%s", argv[++i]);
        } else {
            (void) fprintf(stderr, "usage: bench_index [--quick] [--json] "
                                   "[--folder DIR] [--index FILE] "
                                   "[--records N] [--part N] [--keep]\n");
            return 2;
        }
    }
    (void) snprintf(trail, sizeof(trail), "%s/bench_index.trail", folder);
    if (path[0] == '\0') {
        (void) snprintf(path, sizeof(path), "%s/bench_index.db", folder);
    }
    clean(trail, path);
    if (note_signer_generate(SLICE("example.org/bench"), &signer) != 0) {
        die("key", strerror(EIO));
    }
    make_both(trail, path, &signer, records, part, &figures);
    note_signer_wipe(&signer);
    ask(path, &figures);
    (void) getrusage(RUSAGE_SELF, &usage);
    figures.rss_kib = usage.ru_maxrss;
    if (!keep) {
        clean(trail, path);
    }
    if (json) {
        print_json(&figures);
    } else {
        print_text(&figures);
    }
    return 0;
}
