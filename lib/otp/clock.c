/* Rules, and the time: what the store has seen, and which steps are good. */

#include "otp_internal.h"

otp_rules_t
otp_rules_default(void)
{
    return (otp_rules_t){
        .window_steps = 1,
        .hotp_look_ahead = 10,
        .drift_steps_max = 2,
        .wait_from = 3,
        .wait_seconds_max = 300,
        .lock_at = 20,
        .source_lock_at = 100,
        .source_forget_seconds = 900,
        .clock_back_seconds = 5,
    };
}

static uint32_t
bounded(uint32_t value, uint32_t least, uint32_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* Whatever was written into a configuration: these bounds hold. */
void
otp_configure(otp_store_t *store, const otp_rules_t *rules)
{
    otp_rules_t r = rules == NULL ? otp_rules_default() : *rules;

    r.window_steps = bounded(r.window_steps, 0, 10);
    r.hotp_look_ahead = bounded(r.hotp_look_ahead, 1, 100);
    r.drift_steps_max = bounded(r.drift_steps_max, 0, 20);
    r.lock_at = bounded(r.lock_at, 1, OTP_LOCK_MAX);
    r.wait_from = bounded(r.wait_from, 1, OTP_LOCK_MAX);
    r.wait_seconds_max = bounded(r.wait_seconds_max, 1, 86400);
    r.source_lock_at = bounded(r.source_lock_at, 3, 1000000);
    r.source_forget_seconds = bounded(r.source_forget_seconds, 1, 86400);
    r.clock_back_seconds = bounded(r.clock_back_seconds, 0, 300);
    store->rules = r;
}

uint64_t
otp_generation(const otp_store_t *store, int64_t *greatest_ms)
{
    if (greatest_ms != NULL) {
        *greatest_ms = store->durable.greatest_ms;
    }
    return store->durable.generation;
}

bool
otp_stale(const otp_store_t *store)
{
    return store->stale;
}

bool
store_clock(otp_store_t *store, int64_t now_ms)
{
    if (store->stale || now_ms < 0 || now_ms > INT64_MAX / 4 ||
        now_ms < store->meta.greatest_ms -
                     (int64_t) store->rules.clock_back_seconds * 1000)
    {
        return false;
    }
    if (now_ms > store->meta.greatest_ms) {
        store->meta.greatest_ms = now_ms;
    }
    if (store->floor_due && !store->floor_done) {
        store->meta.floor_ms = now_ms;
        store->floor_done = true; /* once this group is durable */
    }
    return true;
}

int
otp_clock_accept(otp_store_t *store, int64_t now_ms)
{
    int result = store_writable(store);

    if (result != 0) {
        return result;
    }
    if (now_ms < 0 || now_ms > INT64_MAX / 4) {
        return store_fail(store, -EINVAL, "no time of this world");
    }
    store->meta.greatest_ms = now_ms;
    store->meta.floor_ms = now_ms;
    store->changed = true;
    store->accepted = true;
    return 0;
}

static int32_t
drift_of(const otp_store_t *store, int64_t drift)
{
    int32_t most = (int32_t) store->rules.drift_steps_max;

    return drift < -most ? -most : drift > most ? most : (int32_t) drift;
}

static int64_t
step_of(const device_row_t *row, int64_t now_ms)
{
    return now_ms / 1000 / row->parameters.period_seconds;
}

code_window_t
device_window(const otp_store_t *store, const device_row_t *row, int64_t now_ms)
{
    code_window_t window = {.next = row->next};
    int64_t steps = store->rules.window_steps, first;

    if (row->parameters.kind == OTP_HOTP) {
        window.first = row->next;
        window.count = store->rules.hotp_look_ahead;
        return window;
    }
    first = step_of(row, now_ms) + drift_of(store, row->drift) - steps;
    window.first = first < 0 ? 0 : (uint64_t) first;
    window.count = (uint32_t) (2 * steps + 1);
    if (store->meta.floor_ms > 0) {
        /* as far as a code could have been ahead of that time */
        window.floor = (uint64_t) (step_of(row, store->meta.floor_ms) + steps +
                                   store->rules.drift_steps_max + 1);
    }
    return window;
}

/*
 * RFC 6238 6: the drift is learned, so that the window need not be wide.  One
 * code that was typed late is no drift: two in a row that point the same way
 * move it by one step.
 */
void
device_used(const otp_store_t *store, device_row_t *row, uint64_t step,
            int64_t now_ms)
{
    int64_t seen;
    int32_t way;

    row->next = step + 1;
    row->last_used_ms = now_ms;
    if (row->parameters.kind != OTP_TOTP) {
        return;
    }
    seen = (int64_t) step - step_of(row, now_ms);
    if (!row->confirmed) { /* the first code: a person watches closely */
        row->drift = drift_of(store, seen);
        row->hint = 0;
        return;
    }
    row->drift = drift_of(store, row->drift);
    way = seen > row->drift ? 1 : seen < row->drift ? -1 : 0;
    if (way != 0 && way == row->hint) {
        row->drift = drift_of(store, row->drift + way);
        way = 0;
    }
    row->hint = way;
}
