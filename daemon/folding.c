#include "folding.h"

#include <stdio.h>

static void
keep(fold_text_t *kept, slice_t text)
{
    kept->size = text.size < sizeof(kept->text) ? text.size
                                                : sizeof(kept->text);
    if (kept->size > 0) {
        memcpy(kept->text, text.data, kept->size);
    }
}

static slice_t
kept(const fold_text_t *text)
{
    return (slice_t){text->text, text->size};
}

static void
tell(fold_t *fold, recorder_t *recorder, int64_t now_ms)
{
    char count[24], first[RECORD_TIME_TEXT_MAX], last[RECORD_TIME_TEXT_MAX];
    record_t record = {0};

    if (fold->count > 0) {
        (void) snprintf(count, sizeof(count), "%llu",
                        (unsigned long long) fold->count);
        record.values[RECORD_OUTCOME] = SLICE("4");
        record.values[RECORD_REASON] = slice_of(fold->reason);
        record.values[RECORD_USER] = kept(&fold->user);
        record.values[RECORD_ADDRESS] = kept(&fold->address);
        record.values[RECORD_SERVICE] = kept(&fold->service);
        record.values[RECORD_COUNT_FOLDED] = slice_of(count);
        record.values[RECORD_FIRST] = (slice_t){
            first, record_time(fold->first, first)};
        record.values[RECORD_LAST] = (slice_t){last,
                                               record_time(fold->last, last)};
        recorder_own(recorder, fold->event, &record, now_ms);
    }
    fold->event = EVENT_NONE;
}

static bool
is_over(int64_t since, int64_t now_ms)
{
    return now_ms - since >= FOLDING_SECONDS * 1000 || now_ms < since;
}

static bool
is_due(const fold_t *fold, int64_t now_ms)
{
    return is_over(fold->since, now_ms);
}

bool
folding_alone(folding_t *folding, slice_t source, int64_t now_ms)
{
    fold_source_t *place = &folding->sources[0];

    if (source.size > FOLDING_TEXT) {
        source.size = FOLDING_TEXT;
    }
    for (size_t i = 0; i < FOLDING_MAX; i++) {
        fold_source_t *other = &folding->sources[i];

        if (slice_equal(kept(&other->source), source)) {
            place = other;
            break;
        }
        if (other->since < place->since) {
            place = other;
        }
    }
    if (!slice_equal(kept(&place->source), source) ||
        is_over(place->since, now_ms)) {
        *place = (fold_source_t){.since = now_ms};
        keep(&place->source, source);
    }
    if (is_over(folding->since, now_ms)) {
        folding->since = now_ms;
        folding->spent = 0;
    }
    if (place->spent >= FOLDING_ALONE || folding->spent >= FOLDING_ALONE_ALL) {
        return false;
    }
    place->spent++;
    folding->spent++;
    return true;
}

bool
folding_take(folding_t *folding, recorder_t *recorder, const fold_what_t *what,
             int64_t now_ms)
{
    slice_t key = what->by_user ? what->user : what->address;
    fold_t *place = NULL, *oldest = &folding->folds[0];

    if (key.size > FOLDING_TEXT) {
        key.size = FOLDING_TEXT;
    }
    for (size_t i = 0; i < FOLDING_MAX; i++) {
        fold_t *fold = &folding->folds[i];

        if (fold->event == EVENT_NONE) {
            place = place == NULL ? fold : place;
            continue;
        }
        if (fold->event == what->event && fold->reason == what->reason &&
            slice_equal(kept(&fold->key), key) && !is_due(fold, now_ms))
        {
            fold->first = fold->count == 0 ? now_ms : fold->first;
            fold->last = now_ms;
            fold->count++;
            return false;
        }
        if (fold->since < oldest->since) {
            oldest = fold;
        }
    }
    if (place == NULL) {
        tell(oldest, recorder, now_ms);
        place = oldest;
    }
    *place = (fold_t){
        .event = what->event, .reason = what->reason, .since = now_ms};
    keep(&place->key, key);
    keep(&place->user, what->by_user ? what->user : (slice_t){NULL, 0});
    keep(&place->address, what->by_user ? (slice_t){NULL, 0} : what->address);
    keep(&place->service, what->service);
    return true;
}

void
folding_tell(folding_t *folding, recorder_t *recorder, bool all, int64_t now_ms)
{
    for (size_t i = 0; i < FOLDING_MAX; i++) {
        fold_t *fold = &folding->folds[i];

        if (fold->event != EVENT_NONE && (all || is_due(fold, now_ms))) {
            tell(fold, recorder, now_ms);
        }
    }
}
