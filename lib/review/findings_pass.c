/*
 * The rules about people and their habits: one pass over the accesses in the
 * order of the trail, with what each user and facility did before in memory.
 */

#include "findings_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../policy/decide.h"

#define HOUR_MS      INT64_C(3600000)
#define OPEN_MAX     32  /* accesses of one user that may be open at once */
#define PLACES_MAX   512 /* of one user; the oldest is forgotten */
#define ROAMING_DAYS 30

/* A network that a user came from. */
typedef struct {
    uint64_t key;
    int32_t first_day;
    int32_t last_day;
} seen_t;

typedef struct {
    seen_t *list;
    size_t count, capacity;
} seen_list_t;

typedef struct {
    int64_t time_ms;
    uint32_t person;
    uint64_t number;
} opened_t;

typedef struct {
    int64_t from_ms, to_ms;
    uint32_t facility, address;
    uint64_t number;
} stay_t;

typedef struct {
    uint32_t word;
    habit_t habit;
    seen_list_t places, countries;
    growing_t growing[FINDING_RULES];
    growing_t today; /* all accesses of the day, for volume */
    opened_t *window;
    size_t window_count, window_capacity;
    int64_t many_until; /* the window that was told of ends here */
    stay_t stays[OPEN_MAX];
    unsigned stays_count;
} user_t;

typedef struct {
    bool known;
    uint32_t index; /* in the policy */
    habit_t habit;
} facility_t;

typedef struct {
    bool known;
    address_t address;
    uint64_t place;
    uint64_t country; /* two letters; 0: not known */
} place_t;

typedef struct {
    uint64_t number;
    int64_t time_ms, end_ms;
    uint32_t user, facility, address, person, name, patient;
    bool access;  /* not a sign-in or session */
    bool opens;   /* view, download, delete: images of somebody */
    bool machine; /* store: modalities send at night */
} row_t;

typedef struct {
    run_t *run;
    table_t users, facilities, places;
    user_t **list; /* of all users, to end what grows */
    size_t list_count, list_capacity;
} pass_t;

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

static const place_t *
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
static growing_t *
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

static int
grow_by(pass_t *pass, user_t *user, finding_rule_t rule, int32_t day,
        const row_t *row)
{
    growing_t *growing = grow(pass, user, rule, day, row);

    if (growing == NULL) {
        return -ENOMEM;
    }
    growing_add(growing, row->time_ms, 1, row->number);
    return 0;
}

/* ---- off-hours -----------------------------------------------------------*/

static int
rule_off_hours(pass_t *pass, user_t *user, facility_t *facility, int32_t day,
               unsigned hour, const row_t *row)
{
    run_t *run = pass->run;
    int off = facility == NULL
                  ? -1
                  : policy_off_hours(run->input->policy, facility->index,
                                     row->time_ms);

    if (off < 0) {
        /* by habit: the place's, and the person's if there is one already */
        off = facility != NULL && habit_known(run, &facility->habit, day) &&
              habit_unusual(run, &facility->habit, day, hour, false) &&
              (!habit_known(run, &user->habit, day) ||
               habit_unusual(run, &user->habit, day, hour, true));
    }
    return off > 0 ? grow_by(pass, user, FINDING_OFF_HOURS, day, row) : 0;
}

/* ---- new-address, new-country --------------------------------------------*/

/* Whether the user was never there; and notes that now it was. */
static int
see(run_t *run, seen_list_t *seen, uint64_t key, int32_t day, bool *is_new)
{
    size_t oldest = 0;

    *is_new = false;
    for (size_t i = 0; i < seen->count; i++) {
        if (seen->list[i].key == key) {
            seen->list[i].last_day = day;
            *is_new = seen->list[i].first_day == day;
            return 0;
        }
        oldest = seen->list[i].last_day < seen->list[oldest].last_day ? i
                                                                      : oldest;
    }
    *is_new = true;
    if (seen->count == seen->capacity && seen->capacity < PLACES_MAX) {
        size_t capacity = seen->capacity == 0 ? 8 : seen->capacity * 2;
        seen_t *list = memory_take(&run->memory, capacity * sizeof(*list));

        if (list == NULL) {
            return -ENOMEM;
        }
        if (seen->count > 0) {
            memcpy(list, seen->list, seen->count * sizeof(*list));
        }
        seen->list = list;
        seen->capacity = capacity;
    }
    if (seen->count < seen->capacity) {
        oldest = seen->count++;
    }
    seen->list[oldest] = (seen_t){key, day, day};
    return 0;
}

/* Whether new places are nothing new with this user. */
static bool
is_roaming(const run_t *run, const user_t *user, int32_t day)
{
    uint64_t count = 0;

    for (size_t i = 0; i < user->places.count; i++) {
        const seen_t *place = &user->places.list[i];

        count += place->first_day > day - ROAMING_DAYS &&
                 place->first_day < day &&
                 place->first_day > user->habit.first_day;
    }
    return count >= run->settings->new_address.roaming;
}

static int
rule_places(pass_t *pass, user_t *user, facility_t *facility, int32_t day,
            const row_t *row)
{
    run_t *run = pass->run;
    const place_t *place = place_of(pass, row->address);
    bool is_new = false, known = habit_known(run, &user->habit, day);
    growing_t *growing;
    int error = place == NULL
                    ? -ENOMEM
                    : see(run, &user->places, place->place, day, &is_new);

    if (error < 0) {
        return error;
    }
    if (is_new && known && run->settings->on[FINDING_NEW_ADDRESS] &&
        !is_roaming(run, user, day))
    {
        growing = grow(pass, user, FINDING_NEW_ADDRESS, day, row);
        if (growing == NULL) {
            return -ENOMEM;
        }
        /* an address that others of the place use is the lesser question */
        growing->severity = facility != NULL &&
                                    habit_known(run, &facility->habit, day)
                                ? FINDING_LOW
                                : FINDING_MEDIUM;
        growing_add(growing, row->time_ms, 1, row->number);
    }
    if (place->country == 0) {
        return 0;
    }
    error = see(run, &user->countries, place->country, day, &is_new);
    if (error < 0 || !is_new || !known ||
        !run->settings->on[FINDING_NEW_COUNTRY] || user->countries.count < 2)
    {
        return error;
    }
    growing = grow(pass, user, FINDING_NEW_COUNTRY, day, row);
    if (growing == NULL) {
        return -ENOMEM;
    }
    if (growing->count == 0) {
        growing->severity = FINDING_HIGH;
        growing->address = row->address;
        (void) snprintf(growing->detail, sizeof(growing->detail), "%c%c",
                        (char) (place->country >> 8),
                        (char) (place->country & 0xff));
    }
    growing_add(growing, row->time_ms, 1, row->number);
    return 0;
}

/* ---- two-places ----------------------------------------------------------*/

/* Two addresses of different kinds cannot be compared: one computer with IPv4
 * and IPv6 has both. */
static bool
is_elsewhere(pass_t *pass, const stay_t *stay, const row_t *row)
{
    const place_t *a = place_of(pass, stay->address);
    const place_t *b = place_of(pass, row->address);

    if (a == NULL || b == NULL || a->place == b->place) {
        return false;
    }
    return stay->facility != row->facility ||
           a->address.family == b->address.family;
}

static int
rule_two_places(pass_t *pass, user_t *user, int32_t day, const row_t *row)
{
    int64_t overlap = (int64_t) pass->run->settings->two_places.overlap * 1000;
    growing_t *growing;
    unsigned kept = 0;

    for (unsigned i = 0; i < user->stays_count; i++) {
        const stay_t stay = user->stays[i];
        int64_t end = stay.to_ms < row->end_ms ? stay.to_ms : row->end_ms;

        if (stay.to_ms <= row->time_ms) {
            continue;
        }
        user->stays[kept++] = stay;
        if (end - row->time_ms < overlap || !is_elsewhere(pass, &stay, row)) {
            continue;
        }
        growing = grow(pass, user, FINDING_TWO_PLACES, day, row);
        if (growing == NULL) {
            return -ENOMEM;
        }
        if (growing->count == 0) {
            growing->severity = FINDING_HIGH;
            growing->facility = stay.facility;
            growing->address = stay.address;
            growing->other_facility = row->facility;
            growing->other_address = row->address;
            growing_add(growing, stay.from_ms, 0, stay.number);
        }
        growing_add(growing, row->time_ms, 1, row->number);
    }
    user->stays_count = kept;
    if (row->end_ms > row->time_ms && row->address != 0) {
        if (user->stays_count == OPEN_MAX) {
            user->stays_count--;
            memmove(&user->stays[0], &user->stays[1],
                    user->stays_count * sizeof(user->stays[0]));
        }
        user->stays[user->stays_count++] = (stay_t){row->time_ms, row->end_ms,
                                                    row->facility, row->address,
                                                    row->number};
    }
    return 0;
}

/* ---- many-patients -------------------------------------------------------*/

static int
compare_persons(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *) a, second = *(const uint32_t *) b;

    return (first > second) - (first < second);
}

static int
count_persons(const user_t *user, uint64_t *count)
{
    uint32_t *persons = malloc(user->window_count * sizeof(*persons));

    if (persons == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < user->window_count; i++) {
        persons[i] = user->window[i].person;
    }
    qsort(persons, user->window_count, sizeof(*persons), compare_persons);
    *count = 1;
    for (size_t i = 1; i < user->window_count; i++) {
        *count += persons[i] != persons[i - 1];
    }
    free(persons);
    return 0;
}

static int
window_add(user_t *user, int64_t window_ms, const row_t *row)
{
    size_t gone = 0;

    while (gone < user->window_count &&
           user->window[gone].time_ms <= row->time_ms - window_ms)
    {
        gone++;
    }
    if (gone > 0) {
        user->window_count -= gone;
        memmove(user->window, user->window + gone,
                user->window_count * sizeof(*user->window));
    }
    if (user->window_count == user->window_capacity) {
        size_t capacity = user->window_capacity == 0
                              ? 32
                              : user->window_capacity * 2;
        opened_t *window = realloc(user->window, capacity * sizeof(*window));

        if (window == NULL) {
            return -ENOMEM;
        }
        user->window = window;
        user->window_capacity = capacity;
    }
    user->window[user->window_count++] = (opened_t){row->time_ms, row->person,
                                                    row->number};
    return 0;
}

static int
rule_many_patients(pass_t *pass, user_t *user, int32_t day, const row_t *row)
{
    const findings_settings_t *settings = pass->run->settings;
    int64_t window_ms = (int64_t) settings->many_patients.window * 1000;
    uint64_t count = 0;
    growing_t *growing;
    int error = window_add(user, window_ms, row);

    if (error < 0 || user->window_count <= settings->many_patients.patients ||
        row->time_ms < user->many_until)
    {
        return error;
    }
    error = count_persons(user, &count);
    if (error < 0 || count <= settings->many_patients.patients) {
        return error;
    }
    growing = grow(pass, user, FINDING_MANY_PATIENTS, day, row);
    if (growing == NULL) {
        return -ENOMEM;
    }
    growing->limit = settings->many_patients.patients;
    for (size_t i = 0; i < user->window_count; i++) {
        growing_add(growing, user->window[i].time_ms, 0,
                    user->window[i].number);
    }
    growing_add(growing, row->time_ms, 0, row->number);
    /* the largest number of any moment of the day; looked at again after a
     * tenth of the window, not with every access */
    growing->count = count > growing->count ? count : growing->count;
    user->many_until = row->time_ms + window_ms / 10;
    return 0;
}

/* ---- own-name ------------------------------------------------------------*/

static bool
same_letters(slice_t a, slice_t b)
{
    if (a.size != b.size || a.size == 0) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        unsigned char x = (unsigned char) a.data[i];
        unsigned char y = (unsigned char) b.data[i];

        x = x >= 'A' && x <= 'Z' ? (unsigned char) (x | 0x20) : x;
        y = y >= 'A' && y <= 'Z' ? (unsigned char) (y | 0x20) : y;
        if (x != y) {
            return false;
        }
    }
    return true;
}

static int
rule_own_name(pass_t *pass, user_t *user, int32_t day, const row_t *row)
{
    run_t *run = pass->run;
    slice_t name = run_word(run, user->word);
    growing_t *growing;

    if (!same_letters(name, run_word(run, row->patient)) &&
        (row->name == 0 || !names_same(name, run_word(run, row->name),
                                       run->settings->own_name.family)))
    {
        return 0;
    }
    growing = grow(pass, user, FINDING_OWN_NAME, day, row);
    if (growing == NULL) {
        return -ENOMEM;
    }
    if (growing->count == 0) {
        growing->patient = row->patient;
        growing->name = row->name;
    }
    growing_add(growing, row->time_ms, 1, row->number);
    return 0;
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
    " a.time + coalesce(c.duration_ms, 0) AS ended,"
    " a.user, a.facility, a.address, w.text,"
    " CASE WHEN s.learned THEN s.patient"
    "  ELSE coalesce(a.patient, s.patient) END,"
    " a.study, s.name, 1"
    " FROM access a LEFT JOIN study s ON s.study = a.study"
    " LEFT JOIN entry c ON c.number = a.closed"
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
