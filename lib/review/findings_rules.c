/* The rules about people: each looks at one access, and at what the same user
 * did before. */

#include "findings_pass.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PLACES_MAX   512 /* of one user; the oldest is forgotten */
#define ROAMING_DAYS 30

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

int
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

int
rule_places(pass_t *pass, user_t *user, facility_t *facility, int32_t day,
            const row_t *row)
{
    run_t *run = pass->run;
    const place_t *place = place_of(pass, row->address);
    bool is_new = false, known = habit_known(run, &user->habit, day);
    growing_t *growing;
    int error;

    if (place == NULL) {
        return -ENOMEM;
    }
    if (place->address.family == ADDRESS_LOCAL) {
        return 0; /* a console is no network */
    }
    error = see(run, &user->places, place->place, day, &is_new);

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

int
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

int
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

int
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
