/*
 * What a verification costs, in lib/otp alone.
 *
 *     bench_otp [--quick] [--json] [--folder DIR] [--users N]
 *
 * DIR (default: the working directory) must be on the disk to be measured.
 * Every verification is of a user picked at random with his right code, which
 * is the dearest one, and every group is durable before the next begins.  The
 * bare fdatasync of one page, and of as many as a group writes, stands beside.
 * N (default 1000000) is the greater store; the smaller has one user.
 */

#define _GNU_SOURCE
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
#include "../../lib/otp/otp_internal.h"

#define GROUPS 4

static const unsigned groups[GROUPS] = {1, 8, 32, 128};

typedef struct {
    double per_second[GROUPS];
    double group_us[GROUPS]; /* median of a whole group */
    double cpu_us;           /* of one verification, without the commit */
    double unknown_us;       /* the same for a user who is not there */
    double open_ms;
} figures_t;

typedef struct {
    const char *folder;
    char path[512];
    otp_keys_t keys;
    otp_rules_t rules;
    otp_store_t *store;
    unsigned users;
    uint64_t step;
    uint64_t random;
} bench_t;

static double
now(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void
die(const char *what)
{
    (void) fprintf(stderr, "bench_otp: %s\n", what);
    exit(1);
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}

static double
median(double *values, unsigned count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[count / 2];
}

static void
remove_store(const bench_t *bench)
{
    static const char *const ends[] = {"", "-wal", ".high"};
    char path[600];
    size_t i;

    for (i = 0; i < 3; i++) {
        (void) snprintf(path, sizeof(path), "%s%s", bench->path, ends[i]);
        (void) unlink(path);
    }
}

static unsigned
pick(bench_t *bench)
{
    bench->random = bench->random * UINT64_C(6364136223846793005) + 1;
    return (unsigned) ((bench->random >> 33) % bench->users);
}

static slice_t
name_of(unsigned user, char text[32])
{
    return (slice_t){text, (size_t) snprintf(text, 32, "user%07u", user)};
}

static secret_t
secret_of(unsigned user)
{
    secret_t secret = {.size = 20};

    memset(secret.bytes, 0x41, secret.size);
    memcpy(secret.bytes, &user, sizeof(user));
    return secret;
}

static void
open_store(bench_t *bench, bool create)
{
    char error[256];

    if (otp_open(bench->path, &bench->keys, &bench->rules, create,
                 &bench->store, error) != 0)
    {
        die(error);
    }
}

static void
fill(bench_t *bench)
{
    char text[32];
    unsigned i;

    remove_store(bench);
    open_store(bench, true);
    if (otp_begin(bench->store) != 0) {
        die(otp_strerror(bench->store));
    }
    for (i = 0; i < bench->users; i++) {
        secret_t secret = secret_of(i);

        if (otp_import(bench->store, name_of(i, text), SLICE("phone"), NULL,
                       secret.bytes, secret.size, 1) != 0)
        {
            die(otp_strerror(bench->store));
        }
    }
    if (otp_commit(bench->store) != 0) {
        die(otp_strerror(bench->store));
    }
    otp_close(bench->store);
}

/* The code is made before the clock runs: it is the phone's work. */
static otp_result_t
verify(bench_t *bench, unsigned user, const char code[9])
{
    char text[32];
    otp_attempt_t attempt = {.user = name_of(user, text),
                             .code = {code, 6},
                             .source = SLICE("local"), /* not shut out */
                             .now_ms = (int64_t) bench->step * 30000};
    otp_outcome_t outcome;

    otp_verify(bench->store, &attempt, &outcome);
    return outcome.result;
}

static void
prepare(bench_t *bench, unsigned count, unsigned *users, char (*codes)[9])
{
    const otp_parameters_t parameters = parameters_default(NULL);
    unsigned i;

    bench->step += 1 + count / bench->users;
    for (i = 0; i < count; i++) {
        secret_t secret;

        users[i] = pick(bench);
        secret = secret_of(users[i]);
        (void) code_make(&secret, &parameters, bench->step, codes[i]);
    }
}

static void
measure_groups(bench_t *bench, figures_t *figures, unsigned total)
{
    char codes[128][9] = {""};
    unsigned users[128], g, i, k;

    for (g = 0; g < GROUPS; g++) {
        unsigned count = total / (groups[g] < 8 ? 8 : groups[g]);
        double *times = calloc(count, sizeof(*times)), sum = 0;

        for (i = 0; i < count; i++) {
            double start;

            prepare(bench, groups[g], users, codes);
            start = now();
            if (otp_begin(bench->store) != 0) {
                die(otp_strerror(bench->store));
            }
            for (k = 0; k < groups[g]; k++) {
                otp_result_t result = verify(bench, users[k], codes[k]);

                if (result != OTP_ACCEPTED && result != OTP_REPLAYED) {
                    die(otp_result_name(result));
                }
            }
            if (otp_commit(bench->store) != 0) {
                die(otp_strerror(bench->store));
            }
            times[i] = now() - start;
            sum += times[i];
        }
        figures->per_second[g] = (double) count * groups[g] / sum;
        figures->group_us[g] = median(times, count) * 1e6;
        free(times);
    }
}

/* Without the disk: one by one in groups of 128 that are taken back. */
static void
measure_one(bench_t *bench, figures_t *figures, unsigned total)
{
    double *known = calloc(total, sizeof(*known));
    double *unknown = calloc(total, sizeof(*unknown));
    char code[1][9] = {""};
    unsigned user[1], i;

    for (i = 0; i < total; i++) {
        double start;

        if (i % 128 == 0 && otp_begin(bench->store) != 0) {
            die(otp_strerror(bench->store));
        }
        prepare(bench, 1, user, code);
        start = now();
        if (verify(bench, user[0], code[0]) != OTP_ACCEPTED) {
            die("a right code was not accepted");
        }
        known[i] = now() - start;
        start = now();
        /* not there: between names that are */
        if (verify(bench, user[0] + 2000000000, code[0]) != OTP_NOT_ENROLLED) {
            die("an unknown user was not refused");
        }
        unknown[i] = now() - start;
        if (i % 128 == 127) {
            otp_rollback(bench->store);
        }
    }
    otp_rollback(bench->store);
    figures->cpu_us = median(known, total) * 1e6;
    figures->unknown_us = median(unknown, total) * 1e6;
    free(known);
    free(unknown);
}

static void
measure(bench_t *bench, unsigned users, figures_t *figures, unsigned total)
{
    double start;

    bench->users = users;
    bench->step = 60000000;
    bench->random = 1;
    fill(bench);
    start = now();
    open_store(bench, false);
    figures->open_ms = (now() - start) * 1e3;
    measure_groups(bench, figures, total);
    measure_one(bench, figures, total);
    otp_close(bench->store);
    remove_store(bench);
}

/* What the disk takes for as many pages, written over in place. */
static void
measure_bare(const bench_t *bench, double *us, unsigned rounds)
{
    static char pages[257 * 4120];
    double *times = calloc(rounds, sizeof(*times));
    char path[600];
    unsigned g, i;
    int fd;

    (void) snprintf(path, sizeof(path), "%s.bare", bench->path);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || times == NULL ||
        pwrite(fd, pages, sizeof(pages), 0) != (ssize_t) sizeof(pages) ||
        fsync(fd) != 0)
    {
        die("cannot write the file to compare with");
    }
    for (g = 0; g < GROUPS; g++) {
        size_t size = ((size_t) groups[g] * 2 + 1) * 4120;

        for (i = 0; i < rounds; i++) {
            double start = now();

            if (pwrite(fd, pages, size, 0) != (ssize_t) size ||
                fdatasync(fd) != 0) {
                die("cannot write the file to compare with");
            }
            times[i] = now() - start;
        }
        us[g] = median(times, rounds) * 1e6;
    }
    (void) close(fd);
    (void) unlink(path);
    free(times);
}

static void
print_text(const bench_t *bench, unsigned many, const figures_t figures[2],
           const double bare_us[GROUPS])
{
    unsigned g;

    (void) bench;
    (void) printf("durable verifications       1 user      %u users   "
                  "bare write of the group\n",
                  many);
    for (g = 0; g < GROUPS; g++) {
        (void) printf("  groups of %3u  %10.0f /s %10.0f /s   median %5.0f us "
                      "%5.0f us   %5.0f us\n",
                      groups[g], figures[0].per_second[g],
                      figures[1].per_second[g], figures[0].group_us[g],
                      figures[1].group_us[g], bare_us[g]);
    }
    (void) printf("one, without the commit (median): known %.1f us, %.1f us "
                  "(%.2f); unknown %.1f us, %.1f us\n",
                  figures[0].cpu_us, figures[1].cpu_us,
                  figures[1].cpu_us / figures[0].cpu_us, figures[0].unknown_us,
                  figures[1].unknown_us);
    (void) printf("opening: %.1f ms, %.1f ms\n", figures[0].open_ms,
                  figures[1].open_ms);
}

static void
print_json(unsigned many, const figures_t figures[2],
           const double bare_us[GROUPS])
{
    json_t json;
    unsigned i, g;
    char name[48];

    json_init(&json);
    json_object(&json, NULL);
    json_int(&json, "users_many", many);
    for (i = 0; i < 2; i++) {
        const char *which = i == 0 ? "one" : "many";

        for (g = 0; g < GROUPS; g++) {
            (void) snprintf(name, sizeof(name), "%s_group_%u_per_second", which,
                            groups[g]);
            json_int(&json, name, (int64_t) figures[i].per_second[g]);
            (void) snprintf(name, sizeof(name), "%s_group_%u_median_us", which,
                            groups[g]);
            json_int(&json, name, (int64_t) figures[i].group_us[g]);
        }
        (void) snprintf(name, sizeof(name), "%s_known_ns", which);
        json_int(&json, name, (int64_t) (figures[i].cpu_us * 1000));
        (void) snprintf(name, sizeof(name), "%s_unknown_ns", which);
        json_int(&json, name, (int64_t) (figures[i].unknown_us * 1000));
        (void) snprintf(name, sizeof(name), "%s_open_us", which);
        json_int(&json, name, (int64_t) (figures[i].open_ms * 1000));
    }
    for (g = 0; g < GROUPS; g++) {
        (void) snprintf(name, sizeof(name), "bare_group_%u_us", groups[g]);
        json_int(&json, name, (int64_t) bare_us[g]);
    }
    json_end_object(&json);
    (void) puts(json_result(&json).data);
    json_free(&json);
}

int
main(int argc, char **argv)
{
    bench_t bench = {.folder = ".", .rules = otp_rules_default()};
    _cleanup_(cleanup_free) char *folder = NULL;
    figures_t figures[2] = {0};
    double bare_us[GROUPS];
    unsigned many = 1000000;
    bool json = false, quick = false;
    int i;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--quick") == 0) {
            quick = true;
        } else if (strcmp(argv[i], "--folder") == 0 && i + 1 < argc) {
            bench.folder = argv[++i];
        } else if (strcmp(argv[i], "--users") == 0 && i + 1 < argc) {
            many = (unsigned) strtoul(argv[++i], NULL, 10);
        } else {
            (void) fprintf(stderr, "usage: bench_otp [--quick] [--json] "
                                   "[--folder DIR] [--users N]\n");
            return 2;
        }
    }
    folder = realpath(bench.folder, NULL);
    if (folder == NULL || many == 0) {
        die("no such folder");
    }
    (void) snprintf(bench.path, sizeof(bench.path), "%.480s/bench_otp.db",
                    folder);
    bench.keys = (otp_keys_t){.count = 1, .version = {1}};
    measure_bare(&bench, bare_us, quick ? 100 : 500);
    measure(&bench, 1, &figures[0], quick ? 2000 : 20000);
    measure(&bench, many, &figures[1], quick ? 2000 : 20000);
    if (json) {
        print_json(many, figures, bare_us);
    } else {
        print_text(&bench, many, figures, bare_us);
    }
    return 0;
}
