/*
 * Whether the policy in force is the one that the trail says: the version of
 * the live image against the last record of its change.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "audit_policy.h"

#define WINDOW_MIN 256
#define LOOK_BACK  1048576 /* entries; some hundred megabytes */

typedef struct {
    char *uri;    /* of the image, as records have it */
    char *buffer; /* for record_parse() */
    policy_state_t *state;
} search_t;

static void
copy_version(char target[POLICY_VERSION_TEXT_MAX], slice_t text)
{
    (void) snprintf(target, POLICY_VERSION_TEXT_MAX, "%.*s", SLICE_ARG(text));
}


/* The last record decides; one of a failure says what stayed. */
static void
look_at(search_t *search, uint64_t index, slice_t entry)
{
    static const char needle[] = "\"event\":\"policy-changed\"";
    record_t record;

    if (entry.size > RECORD_SIZE_MAX ||
        memmem(entry.data, entry.size, needle, sizeof(needle) - 1) == NULL ||
        !record_parse(entry, &record, search->buffer) ||
        record_event_find(record.values[RECORD_EVENT]) !=
            EVENT_POLICY_CHANGED ||
        !slice_is(record.values[RECORD_URI], search->uri))
    {
        return;
    }
    search->state->recorded = true;
    search->state->index = index;
    copy_version(search->state->said,
                 record.values[slice_is(record.values[RECORD_OUTCOME], "0")
                                   ? RECORD_POLICY
                                   : RECORD_OLD]);
}


static int
look_through(search_t *search, trail_reader_t *reader, uint64_t from,
             uint64_t to)
{
    _cleanup_(cleanup_scan) trail_scan_t *scan = NULL;
    uint64_t index;
    slice_t entry;
    int result = trail_scan_open(reader, from, &scan);

    while (result >= 0 &&
           (result = trail_scan_next(scan, &index, &entry)) == 1 && index < to)
    {
        look_at(search, index, entry);
    }
    return result < 0 ? result : 0;
}


/* Backwards, in windows that double: the last change is mostly not far. */
static int
look_back(search_t *search, trail_reader_t *reader)
{
    uint64_t to = UINT64_MAX, window = WINDOW_MIN;
    uint64_t from = trail_reader_checkpoint(reader)->size;
    uint64_t end = from > LOOK_BACK ? from - LOOK_BACK : 0;
    int error = 0;

    do {
        from = from - end > window ? from - window : end;
        error = look_through(search, reader, from, to);
        to = from;
        window *= 2;
    } while (error == 0 && !search->state->recorded && from > end);
    return error;
}


int
policy_state(const char *command, const place_t *place, policy_state_t *state)
{
    policy_image_t *image = NULL;
    policy_image_result_t result;
    _cleanup_(cleanup_reader) trail_reader_t *reader = NULL;
    _cleanup_(cleanup_free) char *path = NULL, *uri = NULL, *buffer = NULL;
    search_t search = {.state = state};
    trail_problem_t problem = {""};

    memset(state, 0, sizeof(*state));
    if (!place->live || place->config == NULL || place->config->policy == NULL)
    {
        return STATUS_OK;
    }
    state->known = true;
    result = policy_image_open_file(place->config->policy, &image);
    if (result == POLICY_IMAGE_OK) {
        copy_version(state->live, slice_of(policy_image_version(image)));
    } else {
        (void) snprintf(state->problem, sizeof(state->problem), "%s",
                        result == POLICY_IMAGE_SYSTEM
                            ? strerror(errno)
                            : policy_image_strerror(result));
    }
    policy_image_free(image);
    path = realpath(place->config->policy, NULL);
    buffer = malloc(RECORD_SIZE_MAX);
    if (asprintf(&uri, "file://%s",
                 path == NULL ? place->config->policy : path) < 0)
    {
        uri = NULL;
    }
    if (uri == NULL || buffer == NULL) {
        return fail(command, "out of memory");
    }
    search.uri = uri;
    search.buffer = buffer;
    if (trail_reader_open(place->folder, NULL, 0, &reader, &problem) < 0) {
        return STATUS_OK; /* told by the caller, who opens it too */
    }
    return look_back(&search, reader) == 0
               ? STATUS_OK
               : fail(command, "%s", trail_reader_problem(reader));
}


bool
policy_state_differs(const policy_state_t *state)
{
    return state->recorded && strcmp(state->said, state->live) != 0;
}


void
policy_state_print(const policy_state_t *state, FILE *out)
{
    bool differs = policy_state_differs(state);
    const char *live = state->live[0] == '\0' ? "none" : state->live;
    const char *said = state->said[0] == '\0' ? "none" : state->said;

    fputs(style_on(out, differs ? STYLE_BAD : STYLE_NONE), out);
    fprintf(out, "%s in force", live);
    if (state->problem[0] != '\0') {
        fputs(" (", out);
        print_safe(out, slice_of(state->problem));
        fputc(')', out);
    }
    if (!state->recorded) {
        fprintf(out, ", of no change recorded in the last %d entries",
                LOOK_BACK);
    } else if (!differs) {
        fprintf(out, ", as recorded in entry #%llu",
                (unsigned long long) state->index);
    } else {
        fprintf(out,
                ", but entry #%llu of the trail says %s: it was changed "
                "without a record, or an apply was cut off; apply the policy "
                "that you want",
                (unsigned long long) state->index, said);
    }
    fprintf(out, "%s\n", style_off(out, differs ? STYLE_BAD : STYLE_NONE));
}
