/*
 * What a decision costs, beside the look-up alone of nginx's radix tree and of
 * libmaxminddb, with the same prefixes and the same addresses in the same run;
 * and what compiling and taking over a policy costs.
 *
 *     bench_policy [--quick] [--json]
 *
 * Ours is the whole of policy_decide(): network, validity, service, transport,
 * hours and calendar in the facility's zone, action.  The others only find.
 * Half of the addresses are in a prefix.  "chained" is the same when each
 * address waits for the answer before: latency, not throughput.
 */

#include <errno.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../lib/base/endian.h"
#include "../../lib/base/file.h"
#include "../../lib/base/json.h"
#include "../../lib/base/wipe.h"
#include "../../lib/policy/decide.h"
#include "../../lib/policy/policy.h"
#include "mmdb_writer.h"
#include "nginx_radix.h"

#define ADDRESSES ((size_t) 1 << 18)
#define ROUNDS    15
#define NOW       INT64_C(1772503200) /* 2026-03-03T02:00:00Z, a Tuesday */

/* The bars of issue 2, at these sizes. */
#define BAR_16K   30.0
#define BAR_1M    90.0
#define BAR_RATIO 5.0

typedef struct {
    size_t prefixes_count;
    prefix_t *prefixes;
    uint32_t *owners; /* facility of each prefix */
    policy_source_t source;
    address_t *addresses;
    struct sockaddr_in6 *sockaddrs; /* the same; IPv4 ones are sockaddr_in */
    size_t hits;
    policy_image_t *image;
    nginx_radix_t *radix;
    MMDB_s mmdb;
    bool mmdb_open;
} bench_t;

typedef struct {
    size_t prefixes, facilities, image_bytes, radix_bytes, mmdb_bytes;
    double compile_ms, load_ms, step_ms;
    double ours, radix, mmdb;
    double ours_chained, radix_chained, mmdb_chained;
} figures_t;

/* ---- Chance, the same in every run ---- */

static uint64_t
chance(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Of this thread alone, so that a busy machine costs cache and nothing else. */
static double
now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double) time.tv_sec * 1e3 + (double) time.tv_nsec / 1e6;
}

static void *
need(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "bench_policy: out of memory\n");
        exit(2);
    }
    return memory;
}

static void
clear_host_bits(prefix_t *prefix)
{
    for (unsigned i = prefix->bits; i < 128; i++) {
        prefix->address.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    }
}

/* Four of five are IPv4; lengths as allowlists have them. */
static prefix_t
random_prefix(uint64_t *state)
{
    static const uint8_t bits4[] = {19, 20, 21, 22, 22, 23, 23, 24, 24, 24,
                                    24, 25, 26, 27, 28, 28, 29, 29, 32, 32};
    static const uint8_t bits6[] = {32, 32, 40, 44, 48, 48, 48, 48, 48, 48,
                                    52, 56, 56, 56, 56, 60, 64, 64, 64, 128};
    prefix_t prefix = {0};
    uint64_t high = chance(state), low = chance(state), kind = chance(state);

    if (kind % 5 < 4) {
        prefix.address.family = ADDRESS_IPV4;
        prefix.bits = bits4[kind / 5 % 20];
        /* Unicast: 1.0.0.0 to 223.255.255.255. */
        store_be32(prefix.address.bytes,
                   0x01000000u + (uint32_t) (high % 0xdf000000u));
    } else {
        prefix.address.family = ADDRESS_IPV6;
        prefix.bits = bits6[kind / 5 % 20];
        store_be64(prefix.address.bytes, high >> 3 | UINT64_C(1) << 61);
        store_be64(prefix.address.bytes + 8, low);
    }
    clear_host_bits(&prefix);
    return prefix;
}

static int
compare_prefixes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(prefix_t));
}

static void
make_prefixes(bench_t *bench, uint64_t *state)
{
    size_t count = bench->prefixes_count, kept = 0, more = count + count / 4;
    prefix_t *all = need(calloc(more, sizeof(*all))), swap;

    for (size_t i = 0; i < more; i++) {
        all[i] = random_prefix(state);
    }
    qsort(all, more, sizeof(*all), compare_prefixes);
    for (size_t i = 0; i < more; i++) {
        if (kept == 0 || compare_prefixes(&all[kept - 1], &all[i]) != 0) {
            all[kept++] = all[i];
        }
    }
    for (size_t i = kept - 1; i > 0; i--) {
        size_t j = chance(state) % (i + 1);
        swap = all[i];
        all[i] = all[j];
        all[j] = swap;
    }
    if (kept < count) {
        fprintf(stderr, "bench_policy: too few different prefixes\n");
        exit(2);
    }
    bench->prefixes = all;
}

/* A hundred prefixes a facility, all open at NOW. */
static void
make_source(bench_t *bench)
{
    static const char *const zones[] = {"Asia/Tokyo", "Asia/Seoul",
                                        "Australia/Sydney", "Asia/Tokyo"};
    static policy_days_t closed[] = {
        {20454, 20456}, {20528, 20528}, {20577, 20580}, {20716, 20720}};
    static policy_window_t hours[4][6];
    size_t facilities = bench->prefixes_count / 100, each;
    policy_source_facility_t *facility;
    char *ids;

    facilities = facilities < 4 ? 4 : facilities;
    for (uint16_t i = 0; i < 4; i++) {
        for (uint16_t day = 0; day < 6; day++) {
            hours[i][day].start = (uint16_t) (day * 1440 + (7 + i / 2) * 60);
            hours[i][day].end = (uint16_t) (day * 1440 +
                                            (day < 5 ? 18 + i % 2 : 13) * 60);
        }
    }
    bench->owners = need(calloc(bench->prefixes_count, sizeof(uint32_t)));
    bench->source.facilities = need(calloc(facilities, sizeof(*facility)));
    bench->source.facilities_count = facilities;
    ids = need(calloc(facilities, 16));
    for (size_t i = 0, next = 0; i < facilities; i++) {
        facility = &bench->source.facilities[i];
        snprintf(ids + 16 * i, 16, "facility-%zu", i % 1000000);
        *facility = (policy_source_facility_t){
            .id = slice_of(ids + 16 * i),
            .place = {"bench", 1, 1},
            .name = SLICE("A clinic"),
            .contact = SLICE("IT desk, +81-3-0000-0000"),
            .zone = slice_of(zones[i % 4]),
            .device = POLICY_DEVICE_NONE,
            .services = POLICY_SERVICE_BIT(POLICY_SERVICE_WEB),
            .actions = ACTION_BIT(ACTION_QUERY) | ACTION_BIT(ACTION_VIEW),
            .has_hours = true,
            .hours = hours[i % 4],
            .hours_count = 6,
            .valid_from = i % 4 == 0 ? 20454 : INT32_MIN,
            .valid_to = i % 4 == 0 ? 20818 : INT32_MAX,
            .closed = closed,
            .closed_count = i % 4 == 1 ? 4 : 0,
            .idle_seconds = 900,
            .max_seconds = 28800,
        };
        each = (bench->prefixes_count - next) / (facilities - i);
        facility->networks = need(
            calloc(each + 1, sizeof(policy_source_network_t)));
        for (size_t j = 0; j < each; j++, next++) {
            facility->networks[j].prefix = bench->prefixes[next];
            facility->networks[j].place = (report_place_t){"bench", 1, 1};
            bench->owners[next] = (uint32_t) i;
        }
        facility->networks_count = each;
    }
}

/* Every second one in some prefix; `others` only where nothing is. */
static void
make_addresses(bench_t *bench, uint64_t *state)
{
    policy_request_t request = {.now = NOW};
    policy_decision_t decision;
    address_t *address;
    prefix_t random;

    bench->addresses = need(calloc(ADDRESSES, sizeof(address_t)));
    bench->sockaddrs = need(calloc(ADDRESSES, sizeof(struct sockaddr_in6)));
    for (size_t i = 0; i < ADDRESSES; i++) {
        address = &bench->addresses[i];
        /* Not in turn: a processor would learn it. */
        if (chance(state) % 2 == 0) {
            uint8_t host[16];
            random = bench->prefixes[chance(state) % bench->prefixes_count];
            store_be64(host, chance(state));
            store_be64(host + 8, chance(state));
            *address = random.address;
            for (unsigned bit = random.bits;
                 bit < (address->family == ADDRESS_IPV4 ? 32 : 128); bit++)
            {
                address->bytes[bit / 8] |= host[bit / 8] & (0x80 >> bit % 8);
            }
            bench->hits++;
        } else {
            do {
                random = random_prefix(state);
                *address = random.address;
                if (address->family == ADDRESS_IPV4) {
                    address->bytes[3] = (uint8_t) chance(state);
                } else {
                    store_be64(address->bytes + 8, chance(state));
                }
                request.address = *address;
                policy_decide(bench->image, &request, &decision, NULL);
            } while (decision.reason != POLICY_UNKNOWN_NETWORK);
        }
        if (address->family == ADDRESS_IPV4) {
            struct sockaddr_in *in = (void *) &bench->sockaddrs[i];
            in->sin_family = AF_INET;
            memcpy(&in->sin_addr, address->bytes, 4);
        } else {
            bench->sockaddrs[i].sin6_family = AF_INET6;
            memcpy(&bench->sockaddrs[i].sin6_addr, address->bytes, 16);
        }
    }
}

/* ---- The three ---- */

/* A zero that the compiler does not know: what is "and"ed with it hangs on the
 * answer without changing anything. */
static volatile size_t unknown_zero;

static inline uint32_t
ours(const bench_t *bench, policy_request_t *request, size_t i)
{
    policy_decision_t decision;

    /* As address_from_sockaddr() does: one store, not one across two. */
    request->address.family = bench->addresses[i].family;
    memcpy(request->address.bytes, bench->addresses[i].bytes, 16);
    policy_decide(bench->image, request, &decision, NULL);
    return decision.verdict == POLICY_ALLOW ? decision.facility
                                            : POLICY_NO_FACILITY;
}

static inline uintptr_t
radix(const bench_t *bench, size_t i)
{
    const address_t *address = &bench->addresses[i];

    return address->family == ADDRESS_IPV4
               ? nginx_radix_find4(bench->radix, load_be32(address->bytes))
               : nginx_radix_find6(bench->radix, address->bytes);
}

static inline bool
mmdb(const bench_t *bench, size_t i)
{
    int error;
    MMDB_lookup_result_s found = MMDB_lookup_sockaddr(
        &bench->mmdb, (const struct sockaddr *) &bench->sockaddrs[i], &error);

    return found.found_entry;
}

static policy_request_t
question(void)
{
    return (policy_request_t){
        .now = NOW,
        .service = POLICY_SERVICE_WEB,
        .action = ACTION_VIEW,
        .transport = POLICY_TRANSPORT_ENCRYPTED,
    };
}

typedef enum { OURS, RADIX, MMDB } which_t;

/* One round over all addresses: ns for each. */
static double
round_of(const bench_t *bench, which_t which, bool chained)
{
    policy_request_t request = question();
    size_t mask = chained ? unknown_zero : 0, i = 0, sum = 0, result = 0;
    double begin = now_ms();

#define ROUND(answer)                                                          \
    do {                                                                       \
        while (i < ADDRESSES) {                                                \
            result = (size_t) (answer);                                        \
            sum += result;                                                     \
            i += 1 + (result & mask);                                          \
        }                                                                      \
    } while (0)

    if (chained) {
        switch (which) {
        case OURS:
            ROUND(ours(bench, &request, i));
            break;
        case RADIX:
            ROUND(radix(bench, i));
            break;
        case MMDB:
            ROUND(mmdb(bench, i));
            break;
        }
    } else {
        mask = 0;
        switch (which) {
        case OURS:
            for (; i < ADDRESSES; i++) {
                sum += ours(bench, &request, i);
            }
            break;
        case RADIX:
            for (; i < ADDRESSES; i++) {
                sum += radix(bench, i);
            }
            break;
        case MMDB:
            for (; i < ADDRESSES; i++) {
                sum += mmdb(bench, i);
            }
            break;
        }
    }
#undef ROUND
    unknown_zero = sum & mask;
    return (now_ms() - begin) * 1e6 / (double) ADDRESSES;
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}

static double
median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return values[count / 2];
}

/* All three in turn in each round, so that a busy moment hits all alike. */
static void
measure(const bench_t *bench, figures_t *figures)
{
    double times[3][2][ROUNDS];

    for (size_t round = 0; round < ROUNDS; round++) {
        for (int chained = 0; chained < 2; chained++) {
            times[OURS][chained][round] = round_of(bench, OURS, chained);
            times[RADIX][chained][round] = bench->radix == NULL
                                               ? 0
                                               : round_of(bench, RADIX,
                                                          chained);
            times[MMDB][chained][round] = round_of(bench, MMDB, chained);
        }
    }
    figures->ours = median(times[OURS][0], ROUNDS);
    figures->radix = median(times[RADIX][0], ROUNDS);
    figures->mmdb = median(times[MMDB][0], ROUNDS);
    figures->ours_chained = median(times[OURS][1], ROUNDS);
    figures->radix_chained = median(times[RADIX][1], ROUNDS);
    figures->mmdb_chained = median(times[MMDB][1], ROUNDS);
}

/* A fast wrong answer is none: all three must agree on each address. */
static void
compare_answers(const bench_t *bench)
{
    policy_request_t request = question();
    size_t allowed = 0;
    uint32_t facility;

    for (size_t i = 0; i < ADDRESSES; i++) {
        facility = ours(bench, &request, i);
        allowed += facility != POLICY_NO_FACILITY;
        if (mmdb(bench, i) != (facility != POLICY_NO_FACILITY) ||
            (bench->radix != NULL &&
             radix(bench, i) != (facility == POLICY_NO_FACILITY
                                     ? NGINX_RADIX_NONE
                                     : (uintptr_t) facility)))
        {
            char text[ADDRESS_TEXT_MAX];
            address_format(&bench->addresses[i], text);
            fprintf(stderr, "bench_policy: answers differ for %s\n", text);
            exit(2);
        }
    }
    if (allowed != bench->hits) {
        fprintf(stderr, "bench_policy: %zu allowed instead of %zu\n", allowed,
                bench->hits);
        exit(2);
    }
}

/* ---- Making ---- */

static void
compile(bench_t *bench, figures_t *figures, uint8_t **bytes, size_t *size)
{
    report_t *report = need(report_new());
    double times[3], begin;

    *bytes = NULL;
    for (size_t i = 0; i < 3; i++) {
        free(*bytes);
        begin = now_ms();
        if (policy_compile(&bench->source, report, bytes, size) < 0) {
            report_print(report, stderr);
            exit(2);
        }
        times[i] = now_ms() - begin;
    }
    report_free(report);
    figures->compile_ms = median(times, 3);
    figures->image_bytes = *size;
}

/* Takes the image over as a worker does: total, and the longest step. */
static void
load(bench_t *bench, const char *path, figures_t *figures)
{
    double totals[3], longest[3], begin, step;
    policy_image_result_t result;
    policy_loader_t *loader;

    for (size_t i = 0; i < 3; i++) {
        policy_image_free(bench->image);
        bench->image = NULL;
        totals[i] = longest[i] = 0;
        begin = now_ms();
        result = policy_loader_start(path, &loader);
        totals[i] = longest[i] = now_ms() - begin;
        while (result == POLICY_IMAGE_AGAIN) {
            begin = now_ms();
            result = policy_loader_step(loader, &bench->image);
            step = now_ms() - begin;
            totals[i] += step;
            longest[i] = step > longest[i] ? step : longest[i];
        }
        policy_loader_free(loader);
        if (result != POLICY_IMAGE_OK) {
            fprintf(stderr, "bench_policy: %s\n",
                    policy_image_strerror(result));
            exit(2);
        }
    }
    figures->load_ms = median(totals, 3);
    figures->step_ms = median(longest, 3);
}

static void
make_others(bench_t *bench, const char *path, figures_t *figures)
{
    mmdb_writer_t *writer = need(mmdb_writer_new());
    bool added = true;
    int error;

    bench->radix = nginx_radix_new();
    for (size_t i = 0; i < bench->prefixes_count && added; i++) {
        const prefix_t *prefix = &bench->prefixes[i];
        char code[2] = {(char) ('A' + i % 26), (char) ('A' + i / 26 % 26)};
        added = mmdb_writer_add(writer, prefix, code) == 0;
        if (bench->radix == NULL || !added) {
            continue;
        }
        added = prefix->address.family == ADDRESS_IPV4
                    ? nginx_radix_add4(bench->radix,
                                       load_be32(prefix->address.bytes),
                                       prefix->bits, bench->owners[i])
                    : nginx_radix_add6(bench->radix, prefix->address.bytes,
                                       prefix->bits, bench->owners[i]);
    }
    error = added ? mmdb_writer_write(writer, path) : -EIO;
    mmdb_writer_free(writer);
    if (error < 0 || MMDB_open(path, MMDB_MODE_MMAP, &bench->mmdb) != 0) {
        fprintf(stderr, "bench_policy: cannot make what to compare with\n");
        exit(2);
    }
    bench->mmdb_open = true;
    figures->mmdb_bytes = (size_t) bench->mmdb.file_size;
    figures->radix_bytes = bench->radix == NULL
                               ? 0
                               : nginx_radix_bytes(bench->radix);
}

static void
bench_size(size_t prefixes, const char *folder, figures_t *figures)
{
    uint64_t state = prefixes;
    bench_t bench = {.prefixes_count = prefixes};
    char image_path[256], mmdb_path[256];
    uint8_t *bytes;
    size_t size;

    snprintf(image_path, sizeof(image_path), "%s/policy.img", folder);
    snprintf(mmdb_path, sizeof(mmdb_path), "%s/country.mmdb", folder);
    make_prefixes(&bench, &state);
    make_source(&bench);
    figures->prefixes = prefixes;
    figures->facilities = bench.source.facilities_count;
    compile(&bench, figures, &bytes, &size);
    if (file_write_atomic(image_path, (slice_t){(char *) bytes, size}, 0600) <
        0) {
        fprintf(stderr, "bench_policy: cannot write %s\n", image_path);
        exit(2);
    }
    free(bytes);
    load(&bench, image_path, figures);
    make_addresses(&bench, &state);
    make_others(&bench, mmdb_path, figures);
    compare_answers(&bench);
    measure(&bench, figures);

    unlink(image_path);
    unlink(mmdb_path);
    MMDB_close(&bench.mmdb);
    nginx_radix_free(bench.radix);
    policy_image_free(bench.image);
    for (size_t i = 0; i < bench.source.facilities_count; i++) {
        free(bench.source.facilities[i].networks);
    }
    free((void *) (uintptr_t) bench.source.facilities[0].id.data);
    free(bench.source.facilities);
    free(bench.owners);
    free(bench.prefixes);
    free(bench.addresses);
    free(bench.sockaddrs);
}

/* ---- Telling ---- */

static void
print_row(const figures_t *row)
{
    char ratio[2][16] = {"-", "-"}, radix_ns[16] = "-";

    if (row->radix > 0) {
        snprintf(radix_ns, sizeof(radix_ns), "%.1f", row->radix);
        snprintf(ratio[0], sizeof(ratio[0]), "%.1f", row->radix / row->ours);
    }
    snprintf(ratio[1], sizeof(ratio[1]), "%.1f", row->mmdb / row->ours);
    printf("%9zu %8zu  %6.1f %7s %7.1f  %5s %5s  %7.1f %7.1f %7.1f\n",
           row->prefixes, row->facilities, row->ours, radix_ns, row->mmdb,
           ratio[0], ratio[1], row->ours_chained, row->radix_chained,
           row->mmdb_chained);
}

static void
print_table(const figures_t *rows, size_t count)
{
    printf("                      ns each                  times      "
           "ns each, chained\n");
    printf(" prefixes facility  decide   radix    mmdb  radix  mmdb   decide"
           "   radix    mmdb\n");
    for (size_t i = 0; i < count; i++) {
        print_row(&rows[i]);
    }
    printf("\n prefixes   compile     take over: total, longest step    "
           "image   radix    mmdb\n");
    for (size_t i = 0; i < count; i++) {
        printf("%9zu %7.1f ms %12.2f ms %9.3f ms   %6.2f %7.2f %7.2f MB\n",
               rows[i].prefixes, rows[i].compile_ms, rows[i].load_ms,
               rows[i].step_ms, (double) rows[i].image_bytes / 1e6,
               (double) rows[i].radix_bytes / 1e6,
               (double) rows[i].mmdb_bytes / 1e6);
    }
    if (!nginx_radix_is_there()) {
        printf("\nradix: not measured, it was built without nginx's source "
               "(tests/nginx-source.sh)\n");
    }
}

static void
print_bars(const figures_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const figures_t *row = &rows[i];
        double bar = row->prefixes == 16000     ? BAR_16K
                     : row->prefixes == 1000000 ? BAR_1M
                                                : 0;
        if (bar == 0) {
            continue;
        }
        printf("%s%zu prefixes: %.1f ns of %.0f%s; %.1f times radix, %.1f "
               "times mmdb, of %.0f%s\n",
               i == 0 ? "\n" : "", row->prefixes, row->ours, bar,
               row->ours <= bar ? "" : " MISSED", row->radix / row->ours,
               row->mmdb / row->ours, BAR_RATIO,
               (row->radix > 0 && row->radix < BAR_RATIO * row->ours) ||
                       row->mmdb < BAR_RATIO * row->ours
                   ? " MISSED"
                   : "");
    }
}

static void
print_json(const figures_t *rows, size_t count)
{
    json_t json;

    json_init(&json);
    json_object(&json, NULL);
    json_bool(&json, "radix_measured", nginx_radix_is_there());
    json_array(&json, "sizes");
    for (size_t i = 0; i < count; i++) {
        const figures_t *row = &rows[i];
        json_object(&json, NULL);
        json_int(&json, "prefixes", (int64_t) row->prefixes);
        json_int(&json, "facilities", (int64_t) row->facilities);
        json_int(&json, "decide_ps", (int64_t) (row->ours * 1e3));
        json_int(&json, "radix_ps", (int64_t) (row->radix * 1e3));
        json_int(&json, "mmdb_ps", (int64_t) (row->mmdb * 1e3));
        json_int(&json, "decide_chained_ps",
                 (int64_t) (row->ours_chained * 1e3));
        json_int(&json, "radix_chained_ps",
                 (int64_t) (row->radix_chained * 1e3));
        json_int(&json, "mmdb_chained_ps", (int64_t) (row->mmdb_chained * 1e3));
        json_int(&json, "compile_us", (int64_t) (row->compile_ms * 1e3));
        json_int(&json, "take_over_us", (int64_t) (row->load_ms * 1e3));
        json_int(&json, "longest_step_us", (int64_t) (row->step_ms * 1e3));
        json_int(&json, "image_bytes", (int64_t) row->image_bytes);
        json_int(&json, "radix_bytes", (int64_t) row->radix_bytes);
        json_int(&json, "mmdb_bytes", (int64_t) row->mmdb_bytes);
        json_end_object(&json);
    }
    json_end_array(&json);
    json_end_object(&json);
    printf("%.*s\n", SLICE_ARG(json_result(&json)));
    json_free(&json);
}

int
main(int argc, char **argv)
{
    static const size_t all[] = {160, 1600, 16000, 160000, 1000000};
    static const size_t few[] = {16000, 1000000};
    figures_t rows[5] = {0};
    bool quick = false, as_json = false;
    char folder[] = "/tmp/bench_policy.XXXXXX";
    size_t count;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            quick = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            as_json = true;
        } else {
            fprintf(stderr, "usage: bench_policy [--quick] [--json]\n");
            return 2;
        }
    }
    if (mkdtemp(folder) == NULL) {
        perror("bench_policy: mkdtemp");
        return 2;
    }
    count = quick ? sizeof(few) / sizeof(few[0]) : sizeof(all) / sizeof(all[0]);
    for (size_t i = 0; i < count; i++) {
        bench_size(quick ? few[i] : all[i], folder, &rows[i]);
    }
    rmdir(folder);
    if (as_json) {
        print_json(rows, count);
    } else {
        print_table(rows, count);
        print_bars(rows, count);
    }
    return 0;
}
