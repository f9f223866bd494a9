/* The recorder's life: start, hello and goodbye, the tick, the end. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/timex.h>
#include <unistd.h>

#include "../lib/policy/image.h"
#include "log.h"
#include "openings_file.h"
#include "recorder_internal.h"

/* A week: one that comes back later is not known any more, and told so. */
#define FRONT_FORGET_S 604800
#define COUNTERS_MAX   (RECORD_VALUE_MAX - 64)

/* A heartbeat tells all front ends: with one after so many records, looked at
 * once a second, there is always one among those that are read back. */
#define HEARTBEAT_RECORDS 100000

front_t *
recorder_new_front(recorder_t *recorder, const uint8_t id[MESSAGE_FRONT_SIZE],
                   slice_t source)
{
    front_t *front = calloc(1, sizeof(*front));

    if (front == NULL || !table_set(recorder->fronts, id, front)) {
        free(front);
        return NULL;
    }
    memcpy(front->id, id, sizeof(front->id));
    if (source.size >= sizeof(front->source)) {
        source.size = sizeof(front->source) - 1;
    }
    memcpy(front->source, source.data, source.size);
    return front;
}

static void
free_front(front_t *front)
{
    free(front->refused);
    free(front);
}

/* What comes before a number that it was told of, it was told as well. */
static void
forget_refused(front_t *front, uint64_t acknowledged)
{
    size_t told = 0;

    while (told < front->refused_count && front->refused[told] < acknowledged) {
        told++;
    }
    recorder_drop_refused(front, told);
    front->refused_told = 0;
}

front_t *
recorder_hello(recorder_t *recorder, const message_hello_t *hello,
               uint64_t acknowledged, int64_t now_ms)
{
    front_t *front = table_find(recorder->fronts, hello->front);
    instance_t *instance;

    if (front == NULL) {
        front = recorder_new_front(recorder, hello->front, hello->source);
        if (front == NULL) {
            return NULL;
        }
    }
    forget_refused(front, acknowledged);
    /* what we acknowledged and do not hold is gone: rolled back, or lost */
    if (acknowledged > front->taken) {
        recorder_gap(recorder, front, front->taken + 1,
                     acknowledged - front->taken, "acknowledged-and-lost",
                     now_ms);
        front->taken = front->durable = acknowledged;
    }
    instance = openings_instance(&recorder->openings, front->id, now_ms);
    if (instance == NULL) {
        return NULL;
    }
    instance->connections++;
    front->connections++;
    front->seen = now_ms / 1000;
    return front;
}

void
recorder_goodbye(recorder_t *recorder, front_t *front, int64_t now_ms)
{
    instance_t *instance = openings_instance(&recorder->openings, front->id,
                                             now_ms);

    front->connections--;
    front->seen = now_ms / 1000;
    if (instance != NULL && instance->connections > 0) {
        instance->connections--;
        instance->gone = now_ms;
    }
}

/* ---- Heartbeat -----------------------------------------------------------*/

static void
put_clock(record_t *record, char error[24])
{
    struct timex timex = {0};
    int state = adjtimex(&timex);
    bool synchronised = state >= 0 && state != TIME_ERROR &&
                        (timex.status & STA_UNSYNC) == 0;

    record->values[RECORD_CLOCK] = synchronised ? SLICE("synchronised")
                                                : SLICE("unsynchronised");
    (void) snprintf(error, 24, "%ld", timex.esterror);
    record->values[RECORD_CLOCK_ERROR_US] = slice_of(error);
}

static void
put_policy(const recorder_t *recorder, record_t *record,
           char version[POLICY_VERSION_TEXT_MAX])
{
    policy_image_t *image = NULL;

    if (recorder->config->policy != NULL &&
        policy_image_open_file(recorder->config->policy, &image) ==
            POLICY_IMAGE_OK)
    {
        memcpy(version, policy_image_version(image), POLICY_VERSION_TEXT_MAX);
        record->values[RECORD_POLICY] = slice_of(version);
    }
    policy_image_free(image);
}

static void
heartbeat(recorder_t *recorder, int64_t now_ms)
{
    char counters[COUNTERS_MAX + 64], error[24], tree[24];
    char version[POLICY_VERSION_TEXT_MAX];
    size_t place = 0, used = 0;
    trail_status_t status;
    const front_t *front;
    record_t record;

    recorder->heartbeat = now_ms;
    recorder->since_heartbeat = 0;
    /* what is refused must be known before it is counted */
    if (recorder->entries_count > 0) {
        (void) recorder_commit(recorder, now_ms);
    }
    trail_writer_status(recorder->writer, &status);
    do {
        memset(&record, 0, sizeof(record));
        used = 0;
        while (used < COUNTERS_MAX - 64 &&
               (front = table_next(recorder->fronts, &place)) != NULL)
        {
            char id[33];

            opening_id_format(front->id, id);
            used += (size_t) snprintf(counters + used, sizeof(counters) - used,
                                      "%s%s:%llu", used == 0 ? "" : " ", id,
                                      (unsigned long long) front->taken);
            if (front->skipped > 0) {
                used += (size_t) snprintf(counters + used,
                                          sizeof(counters) - used, "-%llu",
                                          (unsigned long long) front->skipped);
            }
        }
        record.values[RECORD_COUNTERS] = (slice_t){counters, used};
        (void) snprintf(tree, sizeof(tree), "%llu",
                        (unsigned long long) status.size);
        record.values[RECORD_TREE_SIZE] = slice_of(tree);
        put_clock(&record, error);
        if (recorder->times_ms != 0) {
            record.values[RECORD_NOTE] = SLICE(
                "--accept-times: times are the front ends' own");
        }
        put_policy(recorder, &record, version);
        recorder_own(recorder, EVENT_HEARTBEAT, &record, now_ms);
        /* more front ends than one record has room for: another record */
    } while (used >= COUNTERS_MAX - 64);
}

/* ---- The tick ------------------------------------------------------------*/

static void
close_interrupted(recorder_t *recorder, opening_t *opening, int64_t now_ms)
{
    record_t record;
    char open[33];

    if (record_decode(opening->record, opening->size, &record)) {
        opening_id_format(opening->id, open);
        record.values[RECORD_OPEN] = slice_of(open);
        record.values[RECORD_OUTCOME] = SLICE("8");
        record.values[RECORD_REASON] = SLICE("interrupted");
        recorder_own(recorder, EVENT_ACCESS_END, &record, now_ms);
    }
    openings_close(&recorder->openings, opening->id, true);
}

static void
close_orphans(recorder_t *recorder, int64_t now_ms)
{
    int64_t patience = (int64_t) recorder->config->orphan_seconds * 1000;
    instance_t *instance;
    size_t place = 0;

    while ((instance = table_next(recorder->openings.instances, &place)) !=
           NULL) {
        if (instance->connections > 0 || now_ms - instance->gone < patience) {
            continue;
        }
        while (instance->openings != NULL) {
            close_interrupted(recorder, instance->openings, now_ms);
        }
        (void) table_remove(recorder->openings.instances, instance->id);
        free(instance);
    }
    while (table_count(recorder->openings.by_id) > OPENINGS_MAX) {
        close_interrupted(recorder, recorder->openings.oldest, now_ms);
    }
}

/*
 * The next start reads `read_back` records.  Accesses whose opening may lie
 * before that by then are remembered in a file: when they are older than a
 * quarter of it, and again after another quarter.
 */
static void
remember_openings(recorder_t *recorder)
{
    uint64_t quarter = recorder->read_back / 4, next = recorder->next, edge;
    const opening_t *opening = recorder->openings.oldest;
    const char *trail = recorder->config->trail;
    int error = 0;

    edge = next > quarter ? next - quarter : 0;
    while (opening != NULL && opening->index >= edge) {
        opening = opening->newer;
    }
    if (opening == NULL && recorder->remembered != 0) {
        error = openings_file_remove(trail);
        if (error == 0) {
            recorder->remembered = 0;
        }
    } else if (opening != NULL && (recorder->remembered == 0 ||
                                   next - recorder->remembered >= quarter))
    {
        error = openings_file_write(trail, &recorder->openings, next, edge);
        if (error == 0) {
            recorder->remembered = next;
        }
    }
    if (error < 0 && !recorder->forgetful) {
        log_line(LOG_WARNING,
                 "the accesses that are open cannot be noted in %s/openings: "
                 "%s; a start after this may not close the oldest of them",
                 trail, strerror(-error));
    }
    recorder->forgetful = error < 0;
}

/* After a heartbeat, which has told all their numbers. */
static void
forget_fronts(recorder_t *recorder, int64_t now_ms)
{
    size_t place = 0;
    front_t *front;

    while ((front = table_next(recorder->fronts, &place)) != NULL) {
        /* nginx's workers come back under their name, others never do, nor
         * anybody who has nothing to come back for */
        bool may_return = strcmp(front->source, "nginx") == 0 &&
                          (front->taken > 0 || front->refused_count > 0);

        if (front->connections == 0 &&
            (!may_return || now_ms / 1000 - front->seen > FRONT_FORGET_S))
        {
            (void) table_remove(recorder->fronts, front->id);
            free_front(front);
        }
    }
}

int
recorder_checkpoint(recorder_t *recorder)
{
    int error = trail_writer_wait(recorder->writer);
    trail_status_t status;

    if (error < 0) {
        trail_writer_status(recorder->writer, &status);
        (void) snprintf(recorder->reason, sizeof(recorder->reason),
                        "no checkpoint could be made: %s",
                        status.problem.text[0] != '\0' ? status.problem.text
                                                       : strerror(-error));
    }
    return error;
}

void
recorder_tick(recorder_t *recorder, int64_t now_ms)
{
    if (now_ms - recorder->heartbeat >=
            (int64_t) recorder->config->heartbeat_seconds * 1000 ||
        now_ms < recorder->heartbeat ||
        recorder->since_heartbeat >= HEARTBEAT_RECORDS)
    {
        heartbeat(recorder, now_ms);
        remember_openings(recorder);
        forget_fronts(recorder, now_ms);
    }
    close_orphans(recorder, now_ms);
    if (recorder->entries_count > 0) {
        (void) recorder_commit(recorder, now_ms);
    }
    trail_writer_checkpoint(recorder->writer);
}

static void
recorder_free(recorder_t *recorder)
{
    front_t *front;
    size_t place = 0;

    if (recorder->writer != NULL && trail_writer_close(recorder->writer) < 0) {
        log_line(LOG_ERROR, "the last checkpoint could not be made: the next "
                            "start finds the records in the journal");
    }
    openings_free(&recorder->openings);
    while (recorder->fronts != NULL &&
           (front = table_next(recorder->fronts, &place)) != NULL)
    {
        free_front(front);
    }
    table_delete(recorder->fronts);
    free(recorder->own.refused);
    free(recorder->lines);
    free(recorder);
}

/* ---- Start and end -------------------------------------------------------*/

static bool
load_keys(const config_t *config, note_signer_t *signers, size_t *count)
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    trail_problem_t problem;
    char path[4096];

    *count = 0;
    for (unsigned i = 0; i < config->keys_count; i++) {
        const char *key = config->keys[i];

        /* systemd's LoadCredential= goes before the file */
        if (credentials != NULL) {
            const char *name = strrchr(key, '/');

            (void) snprintf(path, sizeof(path), "%s/%s", credentials,
                            name == NULL ? key : name + 1);
            if (access(path, R_OK) == 0) {
                key = path;
            }
        }
        if (note_signer_load(key, &signers[i], &problem) < 0) {
            log_line(LOG_ERROR, "%s", problem.text);
            return false;
        }
        if (!slice_is(config->origin, signers[i].verifier.name)) {
            log_line(LOG_ERROR,
                     "the key in %s is for \"%s\", but \"origin\" is \"%.*s\": "
                     "name the right key, or make one with sekisho trail init",
                     key, signers[i].verifier.name, SLICE_ARG(config->origin));
            return false;
        }
        (*count)++;
    }
    return true;
}

static trail_writer_t *
open_writer(const config_t *config)
{
    note_signer_t signers[CONFIG_KEYS_MAX];
    trail_writer_options_t options = {
        .signers = signers, .reserve_bytes = (uint32_t) config->reserve_bytes};
    trail_writer_t *writer = NULL;
    trail_problem_t problem = {""};
    int error;

    if (load_keys(config, signers, &options.signers_count)) {
        options.shape.segments = TRAIL_SEGMENTS;
        options.shape.segment_bytes = (uint32_t) (config->journal_bytes /
                                                  TRAIL_SEGMENTS) &
                                      ~4095u;
        error = trail_writer_open(config->trail, &options, &writer, &problem);
        if (error == -ENOENT) {
            log_line(LOG_ERROR,
                     "there is no trail in %s: make it with sekisho trail init",
                     config->trail);
        } else if (error < 0) {
            log_line(LOG_ERROR, "cannot open the trail in %s: %s",
                     config->trail, problem.text);
        }
    }
    for (size_t i = 0; i < CONFIG_KEYS_MAX; i++) {
        note_signer_wipe(&signers[i]);
    }
    return writer;
}

static void
record_start(recorder_t *recorder, int64_t now_ms)
{
    trail_status_t status;
    record_t record = {0};
    char bytes[24];

    trail_writer_status(recorder->writer, &status);
    record.values[RECORD_VERSION] = slice_of(SEKISHO_VERSION);
    recorder_own(recorder, EVENT_START, &record, now_ms);
    if (status.cut.found && status.cut.bytes + status.cut.missing > 0) {
        memset(&record, 0, sizeof(record));
        (void) snprintf(bytes, sizeof(bytes), "%llu",
                        (unsigned long long) status.cut.bytes);
        record.values[RECORD_CUT_BYTES] = slice_of(bytes);
        record.values[RECORD_NOTE] = slice_of(status.cut.path);
        record.values[RECORD_OUTCOME] = SLICE("4");
        recorder_own(recorder, EVENT_TAIL_CUT, &record, now_ms);
        log_line(LOG_WARNING,
                 "a torn tail of %s bytes was cut from %s: records that nobody "
                 "was told of",
                 bytes, status.cut.path);
    }
}

/* A batch is one append, and that has to fit into a segment of the journal. */
static void
set_batch_size(recorder_t *recorder)
{
    size_t overhead = (BATCH_ENTRIES_MAX + 4) * (size_t) TRAIL_ENTRY_OVERHEAD;
    size_t journal = trail_writer_batch_max(recorder->writer);

    recorder->lines_max = BATCH_BYTES_MAX;
    if (journal < overhead + BATCH_BYTES_MAX) {
        recorder->lines_max = journal < overhead ? 0 : journal - overhead;
    }
}

recorder_t *
recorder_open(const config_t *config, int64_t now_ms, int64_t times_from_ms,
              uint64_t read_back)
{
    recorder_t *recorder = calloc(1, sizeof(*recorder));
    bool ready;

    if (recorder == NULL) {
        log_line(LOG_ERROR, "out of memory");
        return NULL;
    }
    recorder->config = config;
    recorder->times_ms = times_from_ms;
    recorder->read_back = read_back;
    recorder->lines = malloc(BATCH_BYTES_MAX);
    recorder->fronts = table_new();
    ready = openings_init(&recorder->openings) && recorder->lines != NULL &&
            recorder->fronts != NULL;
    if (!ready) {
        log_line(LOG_ERROR, "out of memory");
    }
    if (gethostname(recorder->host, sizeof(recorder->host) - 1) < 0) {
        (void) snprintf(recorder->host, sizeof(recorder->host), "localhost");
    }
    recorder->host_size = strlen(recorder->host);
    memcpy(recorder->own.source, "sekishod", sizeof("sekishod"));
    ready = ready &&
            getrandom(recorder->own.id, sizeof(recorder->own.id), 0) ==
                (ssize_t) sizeof(recorder->own.id) &&
            (recorder->writer = open_writer(config)) != NULL &&
            recorder_replay(recorder, now_ms);
    if (!ready) {
        recorder_free(recorder);
        return NULL;
    }
    set_batch_size(recorder);
    record_start(recorder, now_ms);
    heartbeat(recorder, now_ms);
    if (recorder_commit(recorder, now_ms) < 0) {
        log_line(LOG_ERROR, "the start could not be recorded: %s",
                 recorder->reason);
    }
    return recorder;
}

void
recorder_close(recorder_t *recorder, int64_t now_ms)
{
    record_t record = {0};

    /* the counters first: the next start then knows every front end */
    heartbeat(recorder, now_ms);
    recorder_own(recorder, EVENT_STOP, &record, now_ms);
    (void) recorder_commit(recorder, now_ms);
    recorder_free(recorder);
}

void
recorder_configure(recorder_t *recorder, const config_t *config)
{
    recorder->config = config;
}

void
recorder_report(const recorder_t *recorder, json_t *json, int64_t now_ms)
{
    static const char *const states[] = {"stopped", "running", "limited",
                                         "failed"};
    trail_status_t status;

    trail_writer_status(recorder->writer, &status);
    json_string(json, "state", states[status.state]);
    json_string(json, "problem", status.problem.text);
    json_int(json, "tree_size", (int64_t) status.size);
    json_int(json, "sealed", (int64_t) status.sealed);
    json_int(json, "received", (int64_t) recorder->received);
    json_int(json, "refused", (int64_t) recorder->refused);
    json_int(json, "commits", (int64_t) recorder->commits);
    json_int(json, "checkpoints", (int64_t) status.checkpoints);
    json_int(json, "journal_used", (int64_t) status.journal_used);
    json_int(json, "journal_bytes", (int64_t) status.journal_bytes);
    json_int(json, "front_ends", (int64_t) table_count(recorder->fronts));
    json_int(json, "open_accesses",
             (int64_t) table_count(recorder->openings.by_id));
    json_int(json, "heartbeat_age_ms", now_ms - recorder->heartbeat);
    if (recorder->times_ms != 0) {
        json_bool(json, "accept_times", true);
    }
}
