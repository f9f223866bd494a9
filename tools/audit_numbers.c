/*
 * Every front end numbers its records from 1 without a hole, so that a record
 * which is not in the trail leaves one.  The rule, which sekishod keeps: a
 * record's number is that of the one before, and 1, and what it says was
 * skipped (refused while the disk was full), and what `gap` records in between
 * say is missing.
 *
 * The entries come in ranges, several at a time: within a range numbers are
 * compared at once, and what stands at its edges when the ranges are joined.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "audit_fronts.h"
#include "audit_tools.h"

#define NUMBER_MAX UINT64_C(1000000000000000000)

/* A range's own memory: zeroed at its start. */
typedef struct {
    fronts_t *fronts;
} range_t;

struct numbers_s {
    verify_hook_t hook;
    fronts_t *joined;
    pthread_mutex_t mutex; /* of the rest */
    fronts_t *all;         /* those of ranges under way */
    numbers_finding_t findings[NUMBERS_FINDINGS_MAX];
    uint64_t findings_count;
};

/* What is looked at of a record. */
typedef struct {
    slice_t front;
    slice_t event;
    uint64_t number;
    uint64_t skipped;
} head_t;

/* ---- What a record says --------------------------------------------------*/

static uint64_t
take_digits(slice_t *line)
{
    uint64_t number = 0;
    size_t i = 0;

    while (i < line->size && i < 18 && line->data[i] >= '0' &&
           line->data[i] <= '9') {
        number = number * 10 + (uint64_t) (line->data[i++] - '0');
    }
    *line = slice_from(*line, i);
    return number;
}


static uint64_t
number_of(slice_t text)
{
    return take_digits(&text);
}


static bool
take_literal(slice_t *line, slice_t literal)
{
    if (!slice_starts(*line, literal)) {
        return false;
    }
    *line = slice_from(*line, literal.size);
    return true;
}


/* A text without escapes, and its closing quote. */
static bool
take_plain(slice_t *line, slice_t *text)
{
    const char *end = memchr(line->data, '"', line->size);
    size_t size;

    if (end == NULL || (end > line->data && end[-1] == '\\')) {
        return false;
    }
    size = (size_t) (end - line->data);
    *text = (slice_t){line->data, size};
    *line = slice_from(*line, size + 1);
    return true;
}


/* `skipped` stands at the very end: the daemon adds it when a record is as
 * good as on the disk. */
static uint64_t
skipped_at_end(slice_t line)
{
    static const char name[] = ",\"skipped\":";
    size_t end = line.size, size = sizeof(name) - 1;

    if (end == 0 || line.data[--end] != '}') {
        return 0;
    }
    while (end > 0 && line.data[end - 1] >= '0' && line.data[end - 1] <= '9') {
        end--;
    }
    if (end < size || memcmp(line.data + end - size, name, size) != 0) {
        return 0;
    }
    return number_of((slice_t){line.data + end, line.size - end});
}


/* The first fields as sekishod writes them, without reading all of the line:
 * this is done for every record of the trail. */
static bool
read_head(slice_t line, head_t *head)
{
    slice_t rest = line, ignored;

    if (!line_time(line, &ignored)) {
        return false;
    }
    rest = slice_from(rest,
                      (size_t) (ignored.data - line.data) + LINE_TIME_SIZE + 1);
    if (!take_literal(&rest, SLICE(",\"host\":\"")) ||
        !take_plain(&rest, &ignored) ||
        !take_literal(&rest, SLICE(",\"source\":\"")) ||
        !take_plain(&rest, &ignored) ||
        !take_literal(&rest, SLICE(",\"number\":")))
    {
        return false;
    }
    head->number = take_digits(&rest);
    if (!take_literal(&rest, SLICE(",\"front\":\"")) ||
        !take_plain(&rest, &head->front) ||
        !take_literal(&rest, SLICE(",\"event\":\"")) ||
        !take_plain(&rest, &head->event))
    {
        return false;
    }
    head->skipped = skipped_at_end(line);
    return true;
}


static void
head_of(const record_t *record, head_t *head)
{
    *head = (head_t){.front = record->values[RECORD_FRONT],
                     .event = record->values[RECORD_EVENT],
                     .number = number_of(record->values[RECORD_NUMBER]),
                     .skipped = number_of(record->values[RECORD_SKIPPED])};
}


/* ---- Findings ------------------------------------------------------------*/

static int
found(numbers_t *numbers, const numbers_finding_t *finding, const char *front)
{
    uint64_t kept, at;

    (void) pthread_mutex_lock(&numbers->mutex);
    kept = numbers->findings_count < NUMBERS_FINDINGS_MAX
               ? numbers->findings_count
               : NUMBERS_FINDINGS_MAX;
    numbers->findings_count++;
    for (at = kept; at > 0 && numbers->findings[at - 1].index > finding->index;
         at--)
    {
        if (at < NUMBERS_FINDINGS_MAX) {
            numbers->findings[at] = numbers->findings[at - 1];
        }
    }
    if (at < NUMBERS_FINDINGS_MAX) {
        numbers->findings[at] = *finding;
        memcpy(numbers->findings[at].front, front, FRONT_SIZE);
        numbers->findings[at].front[FRONT_SIZE] = '\0';
    }
    (void) pthread_mutex_unlock(&numbers->mutex);
    return 1;
}


/* `number` comes after `last`, and `before` are accounted for in between. */
static int
check(numbers_t *numbers, const char *front, uint64_t last, uint64_t last_index,
      uint64_t before, uint64_t number, uint64_t index)
{
    numbers_finding_t finding = {.after = last == 0 ? UINT64_MAX : last_index,
                                 .index = index};
    uint64_t expected = last + 1 + (before < NUMBER_MAX ? before : NUMBER_MAX);

    if (number == expected) {
        return 0;
    }
    if (number > expected) {
        finding.kind = NUMBERS_MISSING;
        finding.from = expected;
        finding.count = number - expected;
    } else {
        finding.kind = NUMBERS_REPEATED;
        finding.from = number;
        finding.count = 1;
    }
    return found(numbers, &finding, front);
}


/* ---- Entries -------------------------------------------------------------*/

static int
take_gap(numbers_t *numbers, fronts_t *fronts, const record_t *record,
         uint64_t index)
{
    slice_t front = record->values[RECORD_OF_FRONT];
    numbers_finding_t finding = {
        .kind = NUMBERS_RECORDED,
        .from = number_of(record->values[RECORD_FROM_NUMBER]),
        .count = number_of(record->values[RECORD_MISSING]),
        .after = UINT64_MAX,
        .index = index};
    sequence_t *sequence;

    if (front.size != FRONT_SIZE) {
        return 0;
    }
    sequence = fronts_take(fronts, front.data);
    if (sequence == NULL) {
        return -ENOMEM;
    }
    if (sequence->gap < NUMBER_MAX) {
        sequence->gap += finding.count;
    }
    return found(numbers, &finding, front.data);
}


/* "front:number front:number-skipped …": the last number it sent, and how many
 * just before and with that one were refused and so have no record. */
static int
take_heartbeat(numbers_t *numbers, fronts_t *fronts, const record_t *record,
               const char *own, uint64_t index)
{
    slice_t counters = record->values[RECORD_COUNTERS];
    uint64_t size = number_of(record->values[RECORD_TREE_SIZE]);
    int result = 0;

    while (counters.size > FRONT_SIZE + 1 && counters.data[FRONT_SIZE] == ':') {
        sequence_t *sequence = fronts_take(fronts, counters.data);
        uint64_t number;

        if (sequence == NULL) {
            return -ENOMEM;
        }
        counters = slice_from(counters, FRONT_SIZE + 1);
        number = take_digits(&counters);
        if (counters.size > 0 && counters.data[0] == '-') {
            uint64_t skipped;

            counters = slice_from(counters, 1);
            skipped = take_digits(&counters);
            number = skipped < number ? number - skipped : 0;
        }
        if (number > sequence->claim) {
            sequence->claim = number;
            sequence->claim_index = index;
        }
        counters = slice_from(counters, counters.size > 0 ? 1 : 0);
    }
    if (size > index) {
        numbers_finding_t finding = {.kind = NUMBERS_REMOVED,
                                     .from = index,
                                     .count = size - index,
                                     .after = UINT64_MAX,
                                     .index = index};

        result = found(numbers, &finding, own);
    }
    return result;
}


static int
take_number(numbers_t *numbers, fronts_t *fronts, const head_t *head,
            uint64_t index)
{
    sequence_t *sequence = fronts_take(fronts, head->front.data);
    uint64_t before;
    int result = 0;

    if (sequence == NULL) {
        return -ENOMEM;
    }
    before = head->skipped + sequence->gap;
    sequence->gap = 0;
    if (sequence->first == 0) {
        sequence->first = head->number;
        sequence->first_before = before;
        sequence->first_index = index;
    } else {
        result = check(numbers, sequence->front, sequence->last,
                       sequence->last_index, before, head->number, index);
    }
    if (head->number > sequence->last) {
        sequence->last = head->number;
        sequence->last_index = index;
    }
    return result;
}


static int
range_begin(numbers_t *numbers, range_t *range)
{
    range->fronts = fronts_new();
    if (range->fronts == NULL) {
        return -ENOMEM;
    }
    (void) pthread_mutex_lock(&numbers->mutex);
    range->fronts->next = numbers->all;
    numbers->all = range->fronts;
    (void) pthread_mutex_unlock(&numbers->mutex);
    return 0;
}


/* What is not read from its first fields alone.  Apart, because of its buffer:
 * not every record shall touch so much of the stack. */
static int __attribute__((noinline))
take_unusual(numbers_t *numbers, fronts_t *fronts, slice_t entry,
             uint64_t index)
{
    char buffer[TRAIL_ENTRY_MAX];
    record_t record;
    head_t head;
    int result = 0, more;

    /* what is no record has no number that could be missing */
    if (!record_parse(entry, &record, buffer)) {
        return 0;
    }
    head_of(&record, &head);
    if (head.front.size != FRONT_SIZE || head.number == 0) {
        return 0;
    }
    if (slice_is(head.event, "heartbeat")) {
        result = take_heartbeat(numbers, fronts, &record, head.front.data,
                                index);
    } else if (slice_is(head.event, "gap")) {
        result = take_gap(numbers, fronts, &record, index);
    }
    if (result < 0) {
        return result;
    }
    more = take_number(numbers, fronts, &head, index);
    return more < 0 ? more : result + more;
}


static int
on_entry(void *argument, void *state, uint64_t index, slice_t entry)
{
    numbers_t *numbers = argument;
    range_t *range = state;
    head_t head;
    int result = range->fronts == NULL ? range_begin(numbers, range) : 0;

    if (result < 0) {
        return result;
    }
    if (!read_head(entry, &head) || head.front.size != FRONT_SIZE ||
        head.number == 0 || slice_is(head.event, "heartbeat") ||
        slice_is(head.event, "gap"))
    {
        return take_unusual(numbers, range->fronts, entry, index);
    }
    return take_number(numbers, range->fronts, &head, index);
}


/* ---- Ranges, in order ----------------------------------------------------*/

static void
range_end(numbers_t *numbers, range_t *range)
{
    fronts_t **at;

    (void) pthread_mutex_lock(&numbers->mutex);
    for (at = &numbers->all; *at != NULL; at = &(*at)->next) {
        if (*at == range->fronts) {
            *at = range->fronts->next;
            break;
        }
    }
    (void) pthread_mutex_unlock(&numbers->mutex);
    fronts_free(range->fronts);
    range->fronts = NULL;
}


static int
join_sequence(numbers_t *numbers, const sequence_t *sequence)
{
    sequence_t *joined = fronts_take(numbers->joined, sequence->front);
    int result = 0;

    if (joined == NULL) {
        return -ENOMEM;
    }
    if (sequence->first != 0) {
        result = check(numbers, joined->front, joined->last, joined->last_index,
                       joined->gap + sequence->first_before, sequence->first,
                       sequence->first_index);
        joined->gap = 0;
        joined->first = 1;
        if (sequence->last > joined->last) {
            joined->last = sequence->last;
            joined->last_index = sequence->last_index;
        }
    }
    if (joined->gap < NUMBER_MAX) {
        joined->gap += sequence->gap;
    }
    if (sequence->claim > joined->claim) {
        joined->claim = sequence->claim;
        joined->claim_index = sequence->claim_index;
    }
    return result;
}


static int
on_join(void *argument, void *state, uint64_t first, uint64_t count)
{
    numbers_t *numbers = argument;
    range_t *range = state;
    int result = 0;

    (void) first;
    (void) count;
    if (range->fronts == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < range->fronts->count && result >= 0; i++) {
        int more = join_sequence(numbers, &range->fronts->sequences[i]);

        result = more < 0 ? more : result + more;
    }
    range_end(numbers, range);
    return result;
}


/* ---- All -----------------------------------------------------------------*/

numbers_t *
numbers_new(void)
{
    numbers_t *numbers = calloc(1, sizeof(*numbers));

    if (numbers == NULL) {
        return NULL;
    }
    numbers->joined = fronts_new();
    if (numbers->joined == NULL) {
        free(numbers);
        return NULL;
    }
    /* cannot fail on Linux with default attributes */
    (void) pthread_mutex_init(&numbers->mutex, NULL);
    numbers->hook = (verify_hook_t){.state_bytes = sizeof(range_t),
                                    .entry = on_entry,
                                    .join = on_join,
                                    .argument = numbers};
    return numbers;
}


void
numbers_free(numbers_t *numbers)
{
    if (numbers == NULL) {
        return;
    }
    while (numbers->all != NULL) {
        fronts_t *fronts = numbers->all;

        numbers->all = fronts->next;
        fronts_free(fronts);
    }
    fronts_free(numbers->joined);
    (void) pthread_mutex_destroy(&numbers->mutex);
    free(numbers);
}


const verify_hook_t *
numbers_hook(numbers_t *numbers)
{
    return &numbers->hook;
}


void
numbers_end(numbers_t *numbers)
{
    for (uint32_t i = 0; i < numbers->joined->count; i++) {
        const sequence_t *sequence = &numbers->joined->sequences[i];
        uint64_t known = sequence->last + sequence->gap;
        numbers_finding_t finding = {
            .kind = NUMBERS_CUT,
            .from = known + 1,
            .count = sequence->claim - known,
            .after = sequence->last == 0 ? UINT64_MAX : sequence->last_index,
            .index = sequence->claim_index};

        if (sequence->claim > known) {
            (void) found(numbers, &finding, sequence->front);
        }
    }
}


const numbers_finding_t *
numbers_findings(const numbers_t *numbers, uint64_t *count)
{
    *count = numbers->findings_count;
    return numbers->findings;
}
