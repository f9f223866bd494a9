/* index.html of a bundle: what it is, a table to read, and how to check it. */

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "../lib/base/clock.h"
#include "audit_evidence.h"

/* Rows that a browser and a printer get along with. */
#define PAGE_ROWS_MAX 5000

static const struct {
    const char *key;
    record_field_t field;
} columns[] = {
    {"event", RECORD_EVENT},       {"user", RECORD_USER},
    {"facility", RECORD_FACILITY}, {"address", RECORD_ADDRESS},
    {"action", RECORD_ACTION},     {"patient", RECORD_PATIENT},
    {"study", RECORD_STUDY},
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static const struct {
    const char *key;
    const char *option;
} asked[] = {
    {"asked.patient", "--patient"},
    {"asked.user", "--user"},
    {"asked.facility", "--facility"},
    {"asked.from", "--from"},
    {"asked.to", "--to"},
};

static void
say(page_t *page, const evidence_t *evidence, const char *key)
{
    page_escape(page, word(&evidence->words, key));
}


static void
fact(page_t *page, const evidence_t *evidence, const char *key, slice_t text)
{
    page_add(page, SLICE("<tr><th scope=\"row\">"));
    say(page, evidence, key);
    page_add(page, SLICE("</th><td>"));
    page_escape(page, text);
    page_add(page, SLICE("</td></tr>\n"));
}


static void
fact_count(page_t *page, const evidence_t *evidence, const char *key,
           uint64_t count)
{
    char text[COUNT_TEXT_MAX];

    fact(page, evidence, key, slice_of(count_text(count, text)));
}


static void
add_facts(page_t *page, const evidence_t *evidence)
{
    const checkpoint_t *checkpoint = trail_reader_checkpoint(evidence->reader);
    char text[NOTE_VERIFIER_TEXT_MAX], range[64], now[RECORD_TIME_TEXT_MAX];
    bool any = false;

    page_add(page, SLICE("<table><tbody>\n"));
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        const char *value = option_value(evidence->arguments, asked[i].option);

        if (value != NULL) {
            any = true;
            fact(page, evidence, asked[i].key, slice_of(value));
        }
    }
    if (!any) {
        fact(page, evidence, "asked", word(&evidence->words, "asked.all"));
    }
    (void) record_time((int64_t) time(NULL) * 1000, now);
    fact(page, evidence, "made", slice_of(now));
    fact(page, evidence, "log", checkpoint->origin);
    fact_count(page, evidence, "size", evidence->size);
    fact_count(page, evidence, "records", evidence->chosen.count);
    if (evidence->complete) {
        (void) snprintf(range, sizeof(range), "%llu-%llu",
                        (unsigned long long) evidence->from,
                        (unsigned long long) evidence->to - 1);
        fact(page, evidence, "range", slice_of(range));
        fact_count(page, evidence, "withheld",
                   evidence->to - evidence->from - evidence->chosen.count);
    } else {
        fact(page, evidence, "withheld", word(&evidence->words, "complete.no"));
    }
    for (size_t i = 0; i < evidence->keys.count; i++) {
        (void) note_verifier_format(&evidence->keys.keys[i], text);
        fact(page, evidence, "key", slice_of(text));
    }
    page_add(page, SLICE("</tbody></table>\n"));
}


static void
add_cell(page_t *page, const evidence_t *evidence, const char *key,
         slice_t text)
{
    page_add(page, SLICE("<td data-label=\""));
    say(page, evidence, key);
    page_add(page, SLICE("\">"));
    page_escape(page, text);
    page_add(page, SLICE("</td>"));
}


/* The names that reports use, and of events that they do not show our own; what
 * neither knows is as it is. */
static slice_t
name_of(const evidence_t *evidence, record_field_t field, slice_t value)
{
    slice_t own = field == RECORD_EVENT
                      ? word_of(&evidence->words, "event", value)
                      : value;
    words_t words = {evidence->words.lang,
                     report_file_words(evidence->words.lang[0] == 'j')};

    if (!slice_equal(own, value)) {
        return own;
    }
    return field == RECORD_EVENT    ? word_of(&words, "event", value)
           : field == RECORD_ACTION ? word_of(&words, "action", value)
                                    : value;
}


static void
add_row(page_t *page, const evidence_t *evidence, uint64_t index,
        const record_t *record)
{
    char number[32], time[64];
    size_t size = local_time(record->values[RECORD_TIME], time);

    (void) snprintf(number, sizeof(number), "%llu", (unsigned long long) index);
    page_add(page, SLICE("<tr>"));
    add_cell(page, evidence, "entry", slice_of(number));
    add_cell(page, evidence, "time", (slice_t){time, size});
    for (size_t i = 0; i < COLUMNS; i++) {
        add_cell(page, evidence, columns[i].key,
                 name_of(evidence, columns[i].field,
                         record->values[columns[i].field]));
    }
    page_add(page, SLICE("<td data-label=\""));
    say(page, evidence, "result");
    page_add(page, SLICE("\">"));
    say(page, evidence,
        slice_is(record->values[RECORD_OUTCOME], "0") ? "success" : "failure");
    page_add(page, SLICE(" "));
    page_escape(page, record->values[RECORD_REASON]);
    page_add(page, SLICE("</td></tr>\n"));
}


static void
add_heading(page_t *page, const evidence_t *evidence, const char *key)
{
    page_add(page, SLICE("<th scope=\"col\">"));
    say(page, evidence, key);
    page_add(page, SLICE("</th>"));
}


/* "The first {0} of {1} records …" */
static void
add_capped(page_t *page, const evidence_t *evidence, size_t rows)
{
    slice_t text = word(&evidence->words, "capped");
    char count[COUNT_TEXT_MAX];

    page_add(page, SLICE("<p>"));
    while (text.size > 0) {
        const char *mark = memchr(text.data, '{', text.size);
        size_t size = mark == NULL ? text.size : (size_t) (mark - text.data);

        page_escape(page, (slice_t){text.data, size});
        text = slice_from(text, size);
        if (text.size >= 3) {
            (void) count_text(
                text.data[1] == '0' ? rows : evidence->chosen.count, count);
            page_escape(page, slice_of(count));
            text = slice_from(text, 3);
        }
    }
    page_add(page, SLICE("</p>\n"));
}


static int
add_table(page_t *page, evidence_t *evidence)
{
    size_t rows = evidence->chosen.count < PAGE_ROWS_MAX
                      ? evidence->chosen.count
                      : PAGE_ROWS_MAX;

    page_add(page, SLICE("<table class=\"cards\"><caption>"));
    say(page, evidence, "caption");
    page_add(page, SLICE("</caption><thead><tr>"));
    add_heading(page, evidence, "entry");
    add_heading(page, evidence, "time");
    for (size_t i = 0; i < COLUMNS; i++) {
        add_heading(page, evidence, columns[i].key);
    }
    add_heading(page, evidence, "result");
    page_add(page, SLICE("</tr></thead><tbody>\n"));
    for (size_t i = 0; i < rows; i++) {
        uint64_t index = evidence->chosen.numbers[i];
        record_t record = {0};
        slice_t entry;

        if (trail_reader_entry(evidence->reader, index, &entry) < 0) {
            return fail(evidence->command, "%s",
                        trail_reader_problem(evidence->reader));
        }
        (void) record_parse(entry, &record, evidence->buffer);
        add_row(page, evidence, index, &record);
    }
    page_add(page, SLICE("</tbody></table>\n"));
    if (rows < evidence->chosen.count) {
        add_capped(page, evidence, rows);
    }
    return STATUS_OK;
}


int
evidence_page(evidence_t *evidence, page_t *page)
{
    audit_report_t *report = calloc(1, sizeof(*report));
    page_t body = {0};
    int status;

    if (report == NULL) {
        return fail(evidence->command, "out of memory");
    }
    /* a page without scripts, as that for a patient */
    report->command = evidence->command;
    report->words = evidence->words;
    report->patient = "";
    add_facts(&body, evidence);
    status = add_table(&body, evidence);
    if (status == STATUS_OK) {
        status = body.failed
                     ? fail(evidence->command, "out of memory")
                     : page_template(report, evidence_file_page(), "title",
                                     (slice_t){body.data, body.size}, page);
    }
    free(body.data);
    free(report);
    return status;
}
