/* One run over all rules: from audit.db to a list of findings. */

#define _GNU_SOURCE
#include "findings_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../base/siphash.h"

#define QUARTER_MS INT64_C(900000)

/* Not secret: an id must be the same on every machine. */
static const uint8_t id_key[SIPHASH_KEY_SIZE] = "sekisho finding";

static const char *const rules[FINDING_RULES] = {
    [FINDING_NO_RULE] = "none",
    [FINDING_OFF_HOURS] = "off-hours",
    [FINDING_NEW_COUNTRY] = "new-country",
    [FINDING_NEW_ADDRESS] = "new-address",
    [FINDING_VOLUME] = "volume",
    [FINDING_MANY_PATIENTS] = "many-patients",
    [FINDING_TWO_PLACES] = "two-places",
    [FINDING_OWN_NAME] = "own-name",
    [FINDING_DENIALS] = "denials",
    [FINDING_CODE_USED_TWICE] = "code-used-twice",
    [FINDING_EMERGENCY] = "emergency",
    [FINDING_NOT_WIPED] = "not-wiped",
    [FINDING_GAP] = "gap",
};

const char *
finding_rule_name(finding_rule_t rule)
{
    return (unsigned) rule < FINDING_RULES ? rules[rule] : rules[0];
}

finding_rule_t
finding_rule_find(slice_t name)
{
    for (unsigned i = 1; i < FINDING_RULES; i++) {
        if (slice_is(name, rules[i])) {
            return (finding_rule_t) i;
        }
    }
    return FINDING_NO_RULE;
}

const char *
finding_severity_name(finding_severity_t severity)
{
    switch (severity) {
    case FINDING_LOW:
        return "low";
    case FINDING_MEDIUM:
        return "medium";
    case FINDING_HIGH:
        return "high";
    }
    return "unknown";
}

const char *
finding_decision_name(finding_decision_t decision)
{
    switch (decision) {
    case FINDING_UNDECIDED:
        return "undecided";
    case FINDING_EXPLAINED:
        return "explained";
    case FINDING_ESCALATED:
        return "escalated";
    }
    return "unknown";
}

/* ---- SQLite --------------------------------------------------------------*/

int
run_error(run_t *run, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void) vsnprintf(run->error, 256, format, arguments);
    va_end(arguments);
    return error;
}

int
run_failed(run_t *run)
{
    int code = sqlite3_errcode(run->db);

    return run_error(run,
                     code == SQLITE_NOMEM  ? -ENOMEM
                     : code == SQLITE_BUSY ? -EBUSY
                                           : -EIO,
                     "audit.db: %s: make it anew with \"sekisho audit index "
                     "--rebuild\"",
                     sqlite3_errmsg(run->db));
}

int
run_prepare(run_t *run, const char *sql, sqlite3_stmt **statement)
{
    return sqlite3_prepare_v2(run->db, sql, -1, statement, NULL) == SQLITE_OK
               ? 0
               : run_failed(run);
}

slice_t
run_word(run_t *run, uint32_t id)
{
    slice_t *kept;

    if (id == 0) {
        return SLICE("");
    }
    kept = table_get(&run->words, id);
    if (kept == NULL) {
        return SLICE("");
    }
    if (kept->data == NULL) {
        *kept = SLICE("");
        (void) sqlite3_bind_int64(run->word, 1, id);
        if (sqlite3_step(run->word) == SQLITE_ROW) {
            slice_t text = {(const char *) sqlite3_column_text(run->word, 0),
                            (size_t) sqlite3_column_bytes(run->word, 0)};
            slice_t copy = memory_copy(&run->memory, text);

            if (copy.data != NULL) {
                *kept = copy;
            }
        }
        (void) sqlite3_reset(run->word);
    }
    return *kept;
}

/* ---- Local time ----------------------------------------------------------*/

int64_t
run_local(run_t *run, int64_t unix_ms)
{
    int64_t quarter = unix_ms / QUARTER_MS;

    if (quarter != run->quarter) {
        time_t seconds = (time_t) (unix_ms / 1000);
        struct tm local;

        run->quarter = quarter;
        run->offset_ms = localtime_r(&seconds, &local) == NULL
                             ? 0
                             : (int64_t) local.tm_gmtoff * 1000;
    }
    return unix_ms + run->offset_ms;
}

/* ---- Findings that grow --------------------------------------------------*/

void
growing_add(growing_t *growing, int64_t time_ms, uint64_t count,
            uint64_t number)
{
    if (growing->count == 0 || time_ms < growing->from_ms) {
        growing->from_ms = time_ms;
    }
    if (growing->count == 0 || time_ms > growing->to_ms) {
        growing->to_ms = time_ms;
    }
    growing->count += count;
    if (growing->entries_count < FINDING_ENTRIES_MAX) {
        growing->entries[growing->entries_count++] = number;
    }
}

static int
list_grow(run_t *run)
{
    size_t capacity = run->capacity == 0 ? 64 : run->capacity * 2;
    finding_t *list;

    if (run->count < run->capacity) {
        return 0;
    }
    list = realloc(run->list, capacity * sizeof(*list));
    if (list == NULL) {
        return run_error(run, -ENOMEM, "out of memory");
    }
    run->list = list;
    run->capacity = capacity;
    return 0;
}

int
run_add(run_t *run, finding_rule_t rule, growing_t *growing, const char *key)
{
    growing_t it = *growing;
    finding_t *finding;
    char text[512];
    int size, error;

    memset(growing, 0, sizeof(*growing));
    if (it.count == 0 || it.to_ms < run->from_ms || it.from_ms >= run->to_ms) {
        return 0;
    }
    if (run->count == FINDINGS_MAX) {
        run->outcome.dropped++;
        return 0;
    }
    error = list_grow(run);
    if (error < 0) {
        return error;
    }
    finding = &run->list[run->count];
    *finding = (finding_t){
        .rule = rule,
        .severity = it.severity == 0 ? FINDING_MEDIUM : it.severity,
        .user = run_word(run, it.user),
        .facility = run_word(run, it.facility),
        .address = run_word(run, it.address),
        .patient = run_word(run, it.patient),
        .other_facility = run_word(run, it.other_facility),
        .other_address = run_word(run, it.other_address),
        .detail = memory_copy(&run->memory, it.name != 0
                                                ? run_word(run, it.name)
                                                : slice_of(it.detail)),
        .from_ms = it.from_ms,
        .to_ms = it.to_ms,
        .count = it.count,
        .usual = it.usual,
        .limit = it.limit,
        .entries_count = it.entries_count,
    };
    memcpy(finding->entries, it.entries, sizeof(it.entries));
    /* the day, not the first moment: a record that comes late changes none */
    size = snprintf(text, sizeof(text), "%s\n%s\n%d", finding_rule_name(rule),
                    key, it.day);
    (void) snprintf(finding->id, sizeof(finding->id), "%012llx",
                    (unsigned long long) (siphash(id_key, text,
                                                  size < (int) sizeof(text)
                                                      ? (size_t) size
                                                      : sizeof(text) - 1)
                                              .low &
                                          UINT64_C(0xffffffffffff)));
    run->count++;
    return 0;
}

/* ---- The run -------------------------------------------------------------*/

static int
find_first(run_t *run)
{
    _cleanup_(cleanup_statement) sqlite3_stmt *statement = NULL;
    int error = run_prepare(run,
                            "SELECT (SELECT number FROM day WHERE day <= ?1 "
                            "ORDER BY day DESC LIMIT 1), "
                            "(SELECT min(day) FROM day)",
                            &statement);

    if (error < 0) {
        return error;
    }
    /* `day` is of UTC, and a record may be some seconds late */
    (void) sqlite3_bind_int64(statement, 1, run->history_ms / DAY_MS - 1);
    if (sqlite3_step(statement) != SQLITE_ROW) {
        return run_failed(run);
    }
    run->first = (uint64_t) sqlite3_column_int64(statement, 0);
    run->outcome.short_history = sqlite3_column_int64(statement, 1) * DAY_MS >
                                 run->from_ms -
                                     (int64_t) run->settings->learn_days *
                                         DAY_MS;
    return 0;
}

static int
prepare(run_t *run)
{
    int error = run_prepare(run, "SELECT text FROM word WHERE id = ?",
                            &run->word);

    for (unsigned i = 1; i < FINDING_RULES; i++) {
        run->outcome.skipped[i] = !run->settings->on[i];
    }
    if (run->input->country == NULL) {
        run->outcome.no_country = true;
        run->outcome.skipped[FINDING_NEW_COUNTRY] = true;
    }
    return error < 0 ? error : find_first(run);
}

static int
compare_findings(const void *a, const void *b)
{
    const finding_t *first = a, *second = b;

    if (first->from_ms != second->from_ms) {
        return first->from_ms < second->from_ms ? -1 : 1;
    }
    if (first->rule != second->rule) {
        return first->rule < second->rule ? -1 : 1;
    }
    return strcmp(first->id, second->id);
}

static void
mark(run_t *run, finding_t *finding)
{
    const quiet_t *quiet = reviews_quiet(&run->reviews, finding);
    const decision_t *decision = reviews_decision(&run->reviews, finding->id,
                                                  finding->to_ms);

    if (quiet != NULL) {
        finding->quieted = true;
        finding->quieted_until = quiet->until;
        finding->quieted_reason = quiet->reason;
        finding->quieted_by = quiet->by;
        run->outcome.quieted++;
    }
    if (decision != NULL) {
        finding->decided = decision->decision;
        finding->decided_text = decision->text;
        finding->decided_by = decision->by;
        finding->decided_ms = decision->time_ms;
        run->outcome.decided++;
    }
}

static void
tell(run_t *run, finding_fn found, void *context)
{
    if (run->count > 0) {
        qsort(run->list, run->count, sizeof(*run->list), compare_findings);
    }
    run->outcome.found = run->count;
    for (size_t i = 0; i < run->count; i++) {
        mark(run, &run->list[i]);
    }
    for (size_t i = 0; i < run->count && found(context, &run->list[i]); i++) {
    }
}

int
findings_run(const findings_input_t *input, int64_t from_ms, int64_t to_ms,
             finding_fn found, void *context, findings_outcome_t *outcome,
             char error_text[256])
{
    findings_settings_t defaults;
    run_t run = {
        .input = input,
        .db = input->db,
        .from_ms = from_ms,
        .to_ms = to_ms,
        .error = error_text,
        .quarter = INT64_MIN,
    };
    int error;

    error_text[0] = '\0';
    findings_defaults(&defaults);
    run.settings = input->settings == NULL ? &defaults : input->settings;
    run.history_ms = from_ms - (int64_t) run.settings->history_days * DAY_MS;
    run.words = (table_t){.value_size = sizeof(slice_t), .memory = &run.memory};
    error = prepare(&run);
    if (error == 0 && input->reader != NULL) {
        error = reviews_read(input->db, input->reader, &run.reviews,
                             error_text);
    }
    if (error == 0) {
        error = findings_pass(&run);
    }
    if (error == 0) {
        error = findings_denials(&run);
    }
    if (error == 0) {
        error = findings_events(&run);
    }
    if (error == 0) {
        tell(&run, found, context);
    } else if (error_text[0] == '\0') {
        (void) run_error(&run, error, "%s", strerror(-error));
    }
    if (outcome != NULL) {
        *outcome = run.outcome;
    }
    (void) sqlite3_finalize(run.word);
    free(run.list);
    reviews_free(&run.reviews);
    table_free(&run.words);
    memory_free(&run.memory);
    return error;
}
