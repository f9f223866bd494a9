/*
 * What shows that nothing of a range was left out: the hashes of all of its
 * entries, and the roots of the complete subtrees on both sides of it.  From
 * these alone the signed root can be derived, so that the range has exactly
 * those entries, and they stand where they are said to.
 */

#include <errno.h>
#include <inttypes.h>

#include "audit_evidence.h"

#define LINE_SIZE 128

static int
trail_error(const evidence_t *evidence)
{
    return fail(evidence->command, "%s",
                trail_reader_problem(evidence->reader));
}


/* ---- The bounds ---------------------------------------------------------- */

/* A record of the daemon about itself, before or behind the period: nothing of
 * a patient or a user is in it, so anybody may see it. */
static int
is_bound(evidence_t *evidence, uint64_t index, bool before)
{
    const filter_t *filter = &evidence->filter;
    record_t record;
    slice_t entry, event, time;

    if (trail_reader_entry(evidence->reader, index, &entry) < 0) {
        return -EIO;
    }
    if (!record_parse(entry, &record, evidence->buffer)) {
        return 0;
    }
    event = record.values[RECORD_EVENT];
    time = record.values[RECORD_TIME];
    return (slice_is(event, "heartbeat") || slice_is(event, "start") ||
            slice_is(event, "stop")) &&
           /* nginx tells its stop by its own clock */
           slice_is(record.values[RECORD_SOURCE], "sekishod") &&
           time.size == LINE_TIME_SIZE &&
           (before ? memcmp(time.data, filter->from, LINE_TIME_SIZE) < 0
                   : memcmp(time.data, filter->to, LINE_TIME_SIZE) >= 0);
}


/* A bound that is not chosen yet; where there is none, the trail itself ends. */
static int
choose_bound(evidence_t *evidence, bool found, uint64_t index)
{
    const candidates_t *chosen = &evidence->chosen;

    for (size_t i = 0; found && i < chosen->count; i++) {
        found = chosen->numbers[i] != index;
    }
    return found ? evidence_choose(evidence, index) : 0;
}


static int
check_range(const evidence_t *evidence)
{
    return evidence->to - evidence->from <= EVIDENCE_RANGE_MAX
               ? STATUS_OK
               : fail(evidence->command,
                      "--complete: more than %" PRIu64 " entries lie in that "
                      "period: ask for a shorter one",
                      EVIDENCE_RANGE_MAX);
}


static int
told(const evidence_t *evidence, int error)
{
    return error == 0 ? STATUS_OK
                      : fail(evidence->command,
                             error == -EFBIG
                                 ? "--complete: too many records: ask for a "
                                   "shorter period"
                                 : "out of memory");
}


/* Of a period alone nothing is withheld; one entry more on either side shows by
 * its time that the period begins and ends there. */
static int
widen_period(evidence_t *evidence)
{
    int error = 0;

    evidence->from -= evidence->from > 0 ? 1 : 0;
    evidence->to += evidence->to < evidence->size ? 1 : 0;
    if (check_range(evidence) != STATUS_OK) {
        return STATUS_ERROR;
    }
    evidence->chosen.count = 0;
    for (uint64_t i = evidence->from; error == 0 && i < evidence->to; i++) {
        error = evidence_choose(evidence, i);
    }
    return told(evidence, error);
}


int
evidence_widen(evidence_t *evidence)
{
    const filter_t *filter = &evidence->filter;
    uint64_t first = filter->from[0] == '\0' ? 0 : evidence->from;
    uint64_t last = filter->to[0] == '\0' ? evidence->size : evidence->to;
    int before = 0, behind = 0, error;

    if (filter->count == 0 && !evidence->by_patient) {
        return widen_period(evidence);
    }
    first = first < evidence->size ? first : evidence->size - 1;
    while (first > 0 && (before = is_bound(evidence, first, true)) == 0) {
        first--;
    }
    while (before >= 0 && last < evidence->size &&
           (behind = is_bound(evidence, last, false)) == 0)
    {
        last++;
    }
    if (before < 0 || behind < 0) {
        return trail_error(evidence);
    }
    evidence->from = first;
    evidence->to = behind == 1 ? last + 1 : last;
    if (check_range(evidence) != STATUS_OK) {
        return STATUS_ERROR;
    }
    error = choose_bound(evidence, before == 1, first);
    error = error < 0 ? error : choose_bound(evidence, behind == 1, last);
    candidates_sort(&evidence->chosen);
    return told(evidence, error);
}


/* ---- The hashes ---------------------------------------------------------- */

int
evidence_leaf(evidence_t *evidence, uint64_t index, merkle_hash_t *leaf)
{
    return trail_reader_node(evidence->reader, 0, index, leaf) < 0
               ? trail_error(evidence)
               : STATUS_OK;
}


void
evidence_hex(const merkle_hash_t *hash, char text[2 * MERKLE_HASH_SIZE + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < MERKLE_HASH_SIZE; i++) {
        text[2 * i] = digits[hash->bytes[i] >> 4];
        text[2 * i + 1] = digits[hash->bytes[i] & 15];
    }
    text[2 * MERKLE_HASH_SIZE] = '\0';
}


/* A complete subtree beside the range: a line, and its place in the tree. */
static int
add_side(evidence_t *evidence, page_t *page, const char *side, uint64_t at,
         unsigned height, merkle_frontier_t *frontier)
{
    char line[LINE_SIZE], text[2 * MERKLE_HASH_SIZE + 1];
    merkle_hash_t hash;

    if (trail_reader_node(evidence->reader, height, at >> height, &hash) < 0) {
        return trail_error(evidence);
    }
    evidence_hex(&hash, text);
    (void) snprintf(line, sizeof(line), "%s %u %s\n", side, height, text);
    page_add(page, slice_of(line));
    return merkle_append_subtree(trail_reader_hasher(evidence->reader),
                                 frontier, height, &hash)
               ? STATUS_OK
               : fail(evidence->command, "the tree has another shape");
}


/* The height of the largest complete subtree that begins at `at`. */
static unsigned
height_at(uint64_t at, uint64_t size)
{
    unsigned height = 0;

    while (height < 62 && (at >> height & 1) == 0 &&
           at + (UINT64_C(2) << height) <= size)
    {
        height++;
    }
    return height;
}


int
evidence_tree(evidence_t *evidence, page_t *page)
{
    merkle_hasher_t *hasher = trail_reader_hasher(evidence->reader);
    merkle_hash_t tops[MERKLE_TOPS_MAX], hash;
    merkle_frontier_t frontier = {0};
    char line[LINE_SIZE];

    (void) snprintf(line, sizeof(line), "from %" PRIu64 "\nto %" PRIu64 "\n",
                    evidence->from, evidence->to);
    page_add(page, slice_of(line));
    for (unsigned height = 63; height-- > 0;) {
        if ((evidence->from >> height & 1) != 0 &&
            add_side(evidence, page, "left", frontier.size, height,
                     &frontier) != STATUS_OK)
        {
            return STATUS_ERROR;
        }
    }
    while (frontier.size < evidence->to) {
        if (evidence_leaf(evidence, frontier.size, &hash) != STATUS_OK) {
            return STATUS_ERROR;
        }
        (void) merkle_append(hasher, &frontier, &hash, tops);
    }
    while (frontier.size < evidence->size) {
        if (add_side(evidence, page, "right", frontier.size,
                     height_at(frontier.size, evidence->size),
                     &frontier) != STATUS_OK)
        {
            return STATUS_ERROR;
        }
    }
    merkle_root(hasher, &frontier, &hash);
    if (hasher->failed || !merkle_equal(&hash, &evidence->root)) {
        return fail(evidence->command,
                    "the tree does not fit the checkpoint: the trail was "
                    "tampered with; see sekisho audit verify");
    }
    return page->failed ? fail(evidence->command, "out of memory") : STATUS_OK;
}
