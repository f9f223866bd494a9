/* What `sekisho audit verify` found, for people and for programs. */

#define _GNU_SOURCE
#include <stdlib.h>

#include "../lib/trail/base64.h"
#include "audit_verify.h"

#define ROOT_TEXT_MAX (BASE64_SIZE(MERKLE_HASH_SIZE) + 1)
#define TEXT_MAX      512

static const char *const results[] = {[VERIFY_ERROR] = "ERROR",
                                      [VERIFY_OK] = "OK",
                                      [VERIFY_UNSEALED] = "UNSEALED",
                                      [VERIFY_GAP] = "GAP",
                                      [VERIFY_TAMPERED] = "TAMPERED"};

static const char *const kinds[] = {
    [VERIFY_NO_FINDING] = "none",
    [VERIFY_CHECKPOINT] = "checkpoint",
    [VERIFY_ENTRY] = "entry",
    [VERIFY_TILE] = "tile",
    [VERIFY_MISSING] = "missing-file",
    [VERIFY_JOURNAL] = "journal",
    [VERIFY_ROLLED_BACK] = "rolled-back",
    [VERIFY_REPLACED] = "replaced",
    [VERIFY_BAD_KEPT] = "kept-checkpoint",
};

static const char *const gap_kinds[] = {
    [NUMBERS_MISSING] = "missing",   [NUMBERS_RECORDED] = "recorded",
    [NUMBERS_REPEATED] = "repeated", [NUMBERS_CUT] = "cut",
    [NUMBERS_REMOVED] = "removed",
};

static const char limits[] =
    "What nothing inside the trail can show: that root of the whole host set "
    "everything back to an earlier state, key and all, or wrote a false record "
    "in the first place. Keep checkpoints elsewhere (sekisho audit checkpoint) "
    "and give them with --checkpoint.";

static const char *
root_text(const verify_report_t *report, char text[ROOT_TEXT_MAX])
{
    text[base64_encode(report->root.bytes, MERKLE_HASH_SIZE, text)] = '\0';
    return text;
}


/* When an entry was made, in words; "" if it cannot be read. */
static void
entry_when(trail_reader_t *reader, uint64_t index, char text[64])
{
    slice_t entry, time;

    text[0] = '\0';
    if (reader != NULL && index != UINT64_MAX &&
        trail_reader_entry(reader, index, &entry) == 0 &&
        line_time(entry, &time))
    {
        (void) local_time(time, text);
    }
}


/* "between entry 5 (…) and entry 6 (…)" */
static void
between(trail_reader_t *reader, const numbers_finding_t *gap,
        char text[TEXT_MAX / 2])
{
    char before[64], after[64];

    entry_when(reader, gap->after, before);
    entry_when(reader, gap->index, after);
    if (gap->after == UINT64_MAX) {
        (void) snprintf(text, TEXT_MAX / 2, "before entry %llu (%s)",
                        (unsigned long long) gap->index, after);
    } else {
        (void) snprintf(text, TEXT_MAX / 2,
                        "between entry %llu (%s) and entry %llu (%s)",
                        (unsigned long long) gap->after, before,
                        (unsigned long long) gap->index, after);
    }
}


static void
gap_text(trail_reader_t *reader, const numbers_finding_t *gap,
         char text[TEXT_MAX])
{
    char range[48], where[TEXT_MAX / 2];
    unsigned long long from = gap->from, last = gap->from + gap->count - 1;

    if (gap->count == 1) {
        (void) snprintf(range, sizeof(range), "number %llu", from);
    } else {
        (void) snprintf(range, sizeof(range), "numbers %llu to %llu", from,
                        last);
    }
    between(reader, gap, where);
    switch (gap->kind) {
    case NUMBERS_RECORDED:
        (void) snprintf(text, TEXT_MAX,
                        "%s of front end %s did not arrive: entry %llu tells "
                        "so",
                        range, gap->front, (unsigned long long) gap->index);
        return;
    case NUMBERS_REPEATED:
        (void) snprintf(text, TEXT_MAX,
                        "%s of front end %s comes again or too late, %s", range,
                        gap->front, where);
        return;
    case NUMBERS_CUT:
        (void) snprintf(text, TEXT_MAX,
                        "%s of front end %s: the heartbeat in entry %llu "
                        "counts them, and no record is there",
                        range, gap->front, (unsigned long long) gap->index);
        return;
    case NUMBERS_REMOVED:
        (void) snprintf(text, TEXT_MAX,
                        "%llu entries before entry %llu: the heartbeat in it "
                        "saw them, and they are not there",
                        (unsigned long long) gap->count,
                        (unsigned long long) gap->index);
        return;
    default:
        (void) snprintf(text, TEXT_MAX,
                        "%s of front end %s: no record, and none that tells "
                        "why, %s",
                        range, gap->front, where);
        return;
    }
}


static style_t
result_style(verify_result_t result)
{
    return result == VERIFY_OK         ? STYLE_GOOD
           : result == VERIFY_TAMPERED ? STYLE_BAD
                                       : STYLE_WARN;
}


static void
print_finding(style_t style, const char *text)
{
    printf("  %s", style_on(stdout, style));
    print_safe(stdout, slice_of(text));
    printf("%s\n", style_off(stdout, style));
}


static void
print_more(uint64_t all, uint64_t shown)
{
    char text[COUNT_TEXT_MAX];

    if (all > shown) {
        printf("  … and %s more\n", count_text(all - shown, text));
    }
}


static void
print_gaps(const verified_t *verified)
{
    _cleanup_(cleanup_reader) trail_reader_t *reader = NULL;
    uint64_t count, i;
    const numbers_finding_t *gaps = numbers_findings(verified->numbers, &count);

    (void) trail_reader_open(verified->place->folder, NULL, 0, &reader, NULL);
    for (i = 0; i < count && i < NUMBERS_FINDINGS_MAX; i++) {
        char text[TEXT_MAX];

        gap_text(reader, &gaps[i], text);
        print_finding(STYLE_WARN, text);
    }
    print_more(count, i);
}


void
verified_print(const verified_t *verified)
{
    const verify_report_t *report = verified->report;
    char sealed[COUNT_TEXT_MAX], unsealed[COUNT_TEXT_MAX], root[ROOT_TEXT_MAX];
    style_t style = result_style(report->result);
    uint64_t i;

    printf("%s%s%s  %s entries under the checkpoint", style_on(stdout, style),
           results[report->result], style_off(stdout, style),
           count_text(report->sealed, sealed));
    if (report->unsealed > 0) {
        printf(", %s after it", count_text(report->unsealed, unsealed));
    }
    printf("\n  root %s\n", root_text(report, root));
    for (i = 0; i < report->findings_count && i < VERIFY_FINDINGS_MAX; i++) {
        print_finding(STYLE_BAD, report->findings[i].text);
    }
    print_more(report->findings_count, i);
    print_gaps(verified);
    if (report->torn_place[0] != '\0') {
        printf("  the journal ends in %llu bytes that are no whole batch (%s): "
               "a crash leaves that\n",
               (unsigned long long) report->torn_bytes, report->torn_place);
    }
    if (report->journal_missing) {
        puts("  this copy has no journal: what came after the checkpoint is "
             "not in it");
    }
    if (verified->kept > 0 && report->findings_count == 0) {
        printf("  it has grown from the %s kept elsewhere\n",
               verified->kept == 1 ? "checkpoint" : "checkpoints");
    } else if (verified->kept == 0) {
        fputc('\n', stdout);
        print_wrapped(stdout, 0, limits);
    }
}


static void
gaps_json(const verified_t *verified, json_t *json)
{
    _cleanup_(cleanup_reader) trail_reader_t *reader = NULL;
    uint64_t count;
    const numbers_finding_t *gaps = numbers_findings(verified->numbers, &count);

    (void) trail_reader_open(verified->place->folder, NULL, 0, &reader, NULL);
    json_int(json, "gaps_count", (int64_t) count);
    json_array(json, "gaps");
    for (uint64_t i = 0; i < count && i < NUMBERS_FINDINGS_MAX; i++) {
        char text[TEXT_MAX];

        gap_text(reader, &gaps[i], text);
        json_object(json, NULL);
        json_string(json, "kind", gap_kinds[gaps[i].kind]);
        json_string(json, "front", gaps[i].front);
        json_int(json, "from", (int64_t) gaps[i].from);
        json_int(json, "count", (int64_t) gaps[i].count);
        if (gaps[i].after != UINT64_MAX) {
            json_int(json, "after", (int64_t) gaps[i].after);
        }
        json_int(json, "index", (int64_t) gaps[i].index);
        json_string(json, "text", text);
        json_end_object(json);
    }
    json_end_array(json);
}


int
verified_json(const char *command, const verified_t *verified)
{
    _cleanup_(cleanup_json) json_t json;
    const verify_report_t *report = verified->report;
    char root[ROOT_TEXT_MAX];

    json_init(&json);
    json_object(&json, NULL);
    json_string(&json, "result", results[report->result]);
    json_int(&json, "sealed", (int64_t) report->sealed);
    json_int(&json, "unsealed", (int64_t) report->unsealed);
    json_int(&json, "bytes", (int64_t) report->bytes);
    json_string(&json, "root", root_text(report, root));
    json_bool(&json, "journal", !report->journal_missing);
    json_int(&json, "torn_bytes", (int64_t) report->torn_bytes);
    json_int(&json, "checkpoints_kept", (int64_t) verified->kept);
    json_int(&json, "findings_count", (int64_t) report->findings_count);
    json_array(&json, "findings");
    for (uint64_t i = 0; i < report->findings_count && i < VERIFY_FINDINGS_MAX;
         i++) {
        json_object(&json, NULL);
        json_string(&json, "kind", kinds[report->findings[i].kind]);
        if (report->findings[i].index != UINT64_MAX) {
            json_int(&json, "index", (int64_t) report->findings[i].index);
        }
        json_string(&json, "text", report->findings[i].text);
        json_end_object(&json);
    }
    json_end_array(&json);
    gaps_json(verified, &json);
    json_string(&json, "limits", limits);
    json_end_object(&json);
    return print_json(command, json_result(&json));
}
