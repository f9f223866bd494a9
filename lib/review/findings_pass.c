/*
 * The rules about people and their habits: one pass over the accesses in the
 * order of the trail, with what each user and facility did before in memory.
 */

#include "findings_pass.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../policy/decide.h"

#define HOUR_MS INT64_C(3600000)

/* ---- Who and where -------------------------------------------------------*/

static uint64_t
prefix_key(const address_t *address, uint64_t bits)
{
    uint64_t key = 0;
    unsigned whole = (unsigned) bits;

    for (unsigned i = 0; i < 8; i++) {
        uint8_t byte = address->bytes[i];

        if (whole < 8) {
            byte = (uint8_t) (byte & (0xff00u >> whole));
            whole = 0;
        } else {
            whole -= 8;
        }
        key = key << 8 | byte;
    }
    return key ^ ((uint64_t) address->family << 60);
}

const place_t *
place_of(pass_t *pass, uint32_t word)
{
    const findings_input_t *input = pass->run->input;
    place_t *place = table_get(&pass->places, word);
    char code[2];

    if (place == NULL || place->known) {
        return place;
    }
    place->known = true;
    if (!address_parse(run_word(pass->run, word), &place->address)) {
        place->place = UINT64_MAX - word; /* a place of its own */
        return place;
    }
    place->place = prefix_key(&place->address,
                              place->address.family == ADDRESS_IPV6
                                  ? pass->run->settings->new_address.v6
                                  : pass->run->settings->new_address.v4);
    if (input->country != NULL &&
        input->country(input->country_context, &place->address, code))
    {
        place->country = (uint64_t) (unsigned char) code[0] << 8 |
                         (unsigned char) code[1];
    }
    return place;
}

static user_t *
user_of(pass_t *pass, uint32_t word)
{
    user_t *user = table_get(&pass->users, word);

    if (user == NULL || user->word != 0) {
        return user;
    }
    if (pass->list_count == pass->list_capacity) {
        size_t capacity = pass->list_capacity == 0 ? 64
                                                   : pass->list_capacity * 2;
        user_t **list = realloc(pass->list, capacity * sizeof(*list));

        if (list == NULL) {
            return NULL;
        }
        pass->list = list;
        pass->list_capacity = capacity;
    }
    pass->list[pass->list_count++] = user;
    user->word = word;
    return user;
}

static int
end_growing(pass_t *pass, user_t *user, finding_rule_t rule)
{
    growing_t *growing = &user->growing[rule];
    slice_t name = run_word(pass->run, user->word);
    char key[300];

    if (growing->count == 0) {
        return 0;
    }
    if (rule == FINDING_OFF_HOURS &&
        growing->count < pass->run->settings->off_hours.minimum)
    {
        memset(growing, 0, sizeof(*growing));
        return 0;
    }
    growing->user = user->word;
    (void) snprintf(key, sizeof(key), "%.*s", (int) name.size, name.data);
    return run_add(pass->run, rule, growing, key);
}

/* What grows on this day; another day's is ended first. */
growing_t *
grow(pass_t *pass, user_t *user, finding_rule_t rule, int32_t day,
     const row_t *row)
{
    growing_t *growing = &user->growing[rule];

    if (growing->count > 0 && growing->day < day &&
        end_growing(pass, user, rule) < 0)
    {
        return NULL;
    }
    if (growing->count == 0) {
        growing->day = day;
        growing->facility = row->facility;
        growing->address = row->address;
    }
    return growing;
}

/* ---- volume, and the end of a day ----------------------------------------*/

static int
end_today(pass_t *pass, user_t *user)
{
    run_t *run = pass->run;
    growing_t *today = &user->today;
    uint64_t median, limit;
    int error = 0;

    if (today->count > run->settings->volume.minimum &&
        habit_volume(run, &user->habit, today->day, &median, &limit) &&
        today->count > limit)
    {
        today->usual = median;
        today->limit = limit;
        user->growing[FINDING_VOLUME] = *today;
        error = end_growing(pass, user, FINDING_VOLUME);
    }
    memset(today, 0, sizeof(*today));
    return error;
}

/* The end of all that belongs to days before this one. */
static int
end_days(pass_t *pass, user_t *user, int32_t day)
{
    int error = 0;

    for (unsigned i = 1; error == 0 && i < FINDING_RULES; i++) {
        if (user->growing[i].day < day) {
            error = end_growing(pass, user, (finding_rule_t) i);
        }
    }
    if (error == 0 && user->today.count > 0 && user->today.day < day &&
        pass->run->settings->on[FINDING_VOLUME])
    {
        error = end_today(pass, user);
    }
    return error;
}

/* ---- The pass ------------------------------------------------------------*/

static int
note_today(pass_t *pass, user_t *user, int32_t day, const row_t *row)
{
    int error = end_days(pass, user, day);

    if (user->today.count == 0) {
        user->today.day = day;
        user->today.facility = row->facility;
        user->today.address = row->address;
    }
    growing_add(&user->today, row->time_ms, 1, row->number);
    return error;
}

static int
look_at_access(pass_t *pass, user_t *user, facility_t *facility, int32_t day,
               unsigned hour, const row_t *row)
{
    const bool *on = pass->run->settings->on;
    int error = 0;

    if (row->opens) {
        error = note_today(pass, user, day, row);
        if (error == 0 && on[FINDING_MANY_PATIENTS] && row->person != 0) {
            error = rule_many_patients(pass, user, day, row);
        }
        if (error == 0 && on[FINDING_OWN_NAME]) {
            error = rule_own_name(pass, user, day, row);
        }
    }
    if (error == 0 && on[FINDING_OFF_HOURS] && !row->machine) {
        error = rule_off_hours(pass, user, facility, day, hour, row);
    }
    if (error == 0 && on[FINDING_TWO_PLACES] && row->address != 0) {
        error = rule_two_places(pass, user, day, row);
    }
    return error;
}

static facility_t *
facility_of(pass_t *pass, uint32_t word)
{
    facility_t *facility = table_get(&pass->facilities, word);
    const policy_image_t *policy = pass->run->input->policy;

    if (facility != NULL && !facility->known) {
        facility->known = true;
        facility->index = policy == NULL
                              ? POLICY_NO_FACILITY
                              : policy_facility_find(policy,
                                                     run_word(pass->run, word));
    }
    return facility;
}

static int
look_at(pass_t *pass, const row_t *row)
{
    run_t *run = pass->run;
    int64_t local = run_local(run, row->time_ms);
    int32_t day = day_of(local);
    unsigned hour = (unsigned) ((local - (int64_t) day * DAY_MS) / HOUR_MS);
    facility_t *facility = NULL;
    user_t *user = NULL;
    int error = 0;

    if (row->facility != 0) {
        facility = facility_of(pass, row->facility);
        if (facility == NULL) {
            return -ENOMEM;
        }
    }
    if (row->user != 0) {
        user = user_of(pass, row->user);
        if (user == NULL) {
            return -ENOMEM;
        }
        if (row->address != 0) {
            error = rule_places(pass, user, facility, day, row);
        }
        if (error == 0 && row->access) {
            error = look_at_access(pass, user, facility, day, hour, row);
        }
        if (error == 0 && !row->machine) {
            error = habit_note(run, &user->habit, day, hour, row->opens);
        }
    }
    if (error == 0 && facility != NULL && row->access && !row->machine) {
        error = habit_note(run, &facility->habit, day, hour, 1);
    }
    return error;
}

/* Closing records say how long an access was; their time is that of the close,
 * which comes when it has been idle for long. */
static const char accesses[] =
    "SELECT a.number AS number, a.time AS time,"
    " a.time + coalesce(a.duration_ms, 0) AS ended,"
    " a.user, a.facility, a.address, w.text,"
    " CASE WHEN s.learned THEN s.patient"
    "  ELSE coalesce(a.patient, s.patient) END,"
    " a.study, s.name, 1"
    " FROM access a LEFT JOIN study s ON s.study = coalesce(a.study, a.patient)"
    " LEFT JOIN word w ON w.id = a.action"
    " WHERE a.number >= ?1 AND a.time < ?2"
    " UNION ALL"
    " SELECT e.number, e.time, e.time, e.user, e.facility, e.address, NULL,"
    " NULL, NULL, NULL, 0 FROM entry e"
    " WHERE e.event > 4 AND e.event IN"
    "  (SELECT id FROM word WHERE text IN ('sign-in', 'session'))"
    " AND e.outcome = 0 AND e.number >= ?1 AND e.time < ?2"
    " ORDER BY 1";

static void
read_row(sqlite3_stmt *statement, row_t *row)
{
    slice_t action = {(const char *) sqlite3_column_text(statement, 6),
                      (size_t) sqlite3_column_bytes(statement, 6)};

    *row = (row_t){
        .number = (uint64_t) sqlite3_column_int64(statement, 0),
        .time_ms = sqlite3_column_int64(statement, 1),
        .end_ms = sqlite3_column_int64(statement, 2),
        .user = (uint32_t) sqlite3_column_int64(statement, 3),
        .facility = (uint32_t) sqlite3_column_int64(statement, 4),
        .address = (uint32_t) sqlite3_column_int64(statement, 5),
        .patient = (uint32_t) sqlite3_column_int64(statement, 7),
        .name = (uint32_t) sqlite3_column_int64(statement, 9),
        .access = sqlite3_column_int(statement, 10) != 0,
        .machine = slice_is(action, "store"),
    };
    row->opens = row->access && !row->machine && !slice_is(action, "query");
    /* a patient that nobody knows is told apart by the study */
    row->person = row->patient != 0
                      ? row->patient
                      : (uint32_t) sqlite3_column_int64(statement, 8);
}

static int
walk(pass_t *pass)
{
    _cleanup_(cleanup_statement) sqlite3_stmt *statement = NULL;
    run_t *run = pass->run;
    int result, error = run_prepare(run, accesses, &statement);
    row_t row;

    if (error < 0) {
        return error;
    }
    (void) sqlite3_bind_int64(statement, 1, (sqlite3_int64) run->first);
    (void) sqlite3_bind_int64(statement, 2, run->to_ms);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        read_row(statement, &row);
        run->outcome.accesses += row.access;
        error = look_at(pass, &row);
        if (error < 0) {
            return error;
        }
    }
    if (result != SQLITE_DONE) {
        return run_failed(run);
    }
    for (size_t i = 0; error == 0 && i < pass->list_count; i++) {
        error = end_days(pass, pass->list[i], INT32_MAX);
    }
    return error;
}

int
findings_pass(run_t *run)
{
    pass_t pass = {
        .run = run,
        .users = {.value_size = sizeof(user_t), .memory = &run->memory},
        .facilities = {.value_size = sizeof(facility_t),
                       .memory = &run->memory},
        .places = {.value_size = sizeof(place_t), .memory = &run->memory},
    };
    int error = walk(&pass);

    for (size_t i = 0; i < pass.list_count; i++) {
        free(pass.list[i]->window);
    }
    free(pass.list);
    table_free(&pass.users);
    table_free(&pass.facilities);
    table_free(&pass.places);
    return error;
}
