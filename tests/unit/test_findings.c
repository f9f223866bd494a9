/* The rules, one behaviour each, over small tables made by hand. */

#include "findings_db.h"

#include <errno.h>

#include "../../lib/review/findings_internal.h"
#include "policy_build.h"

#define TEST(name) static void name(void **state __attribute__((unused)))

/* Yamada with a habit of 20 days from Monday on; the 21st day is a Sunday, so
 * what is odd happens on day 21, a Monday. */
#define ODD_DAY 21

static void
begin(db_t *db)
{
    db_open(db);
    db_habit(db, 20, 10);
}

static void
yamada_at(db_t *db, int64_t time_ms, const char *facility, const char *address,
          int64_t seconds)
{
    db_access(db, &(db_access_t){.time_ms = time_ms,
                                 .user = "yamada",
                                 .facility = facility,
                                 .address = address,
                                 .seconds = seconds});
}

static void
find_day(db_t *db, int64_t day)
{
    db_find(db, db_at(day, 0), db_at(day + 1, 0));
}

TEST(an_ordinary_day_has_no_findings)
{
    db_t db;

    begin(&db);
    find_day(&db, 18);
    assert_int_equal(db.count, 0);
    assert_int_equal(db.outcome.accesses, 190);
    db_close(&db);
}

/* ---- off-hours -----------------------------------------------------------*/

static void
night(db_t *db, int64_t day, int count)
{
    for (int i = 0; i < count; i++) {
        yamada_at(db, db_at(day, 150 + i), "aoba", "203.0.113.7", 10);
    }
}

TEST(a_night_is_out_of_the_habit_of_a_place_by_day)
{
    db_t db;

    begin(&db);
    night(&db, ODD_DAY, 3);
    find_day(&db, ODD_DAY);
    assert_int_equal(db.found[db_one(&db, FINDING_OFF_HOURS)].count, 3);
    db_close(&db);
}

TEST(fewer_than_the_minimum_out_of_hours_are_none)
{
    db_t db;

    begin(&db);
    night(&db, ODD_DAY, 2);
    find_day(&db, ODD_DAY);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

TEST(the_hour_beside_a_usual_one_is_none)
{
    db_t db;

    begin(&db);
    for (int i = 0; i < 9; i++) {
        yamada_at(&db, db_at(ODD_DAY, 17 * 60 + i), "aoba", "203.0.113.7", 10);
    }
    find_day(&db, ODD_DAY);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

TEST(one_night_is_no_habit_that_excuses_the_next)
{
    db_t db;

    begin(&db);
    night(&db, ODD_DAY, 5);
    night(&db, ODD_DAY + 1, 5);
    find_day(&db, ODD_DAY + 1);
    assert_int_equal(db_count(&db, FINDING_OFF_HOURS), 1);
    db_close(&db);
}

TEST(nobody_has_a_habit_in_the_first_days)
{
    db_t db;

    db_open(&db);
    db_habit(&db, 3, 10);
    night(&db, 3, 9);
    find_day(&db, 3);
    assert_int_equal(db.count, 0);
    assert_true(db.outcome.short_history);
    db_close(&db);
}

TEST(the_policy_knows_hours_and_closed_days)
{
    policy_image_t *image = NULL;
    build_t build;
    policy_source_facility_t *facility;
    int64_t monday = DB_FIRST; /* 2026-01-05 */

    build_start(&build);
    facility = build_facility(&build, "aoba");
    build_network(&build, facility, "203.0.113.0/24");
    build_hours(&build, facility, 0, 1, 480, 1140);
    build_hours(&build, facility, 6, 1, 1320, 360);
    build_closed(&build, facility, build_day("2026-01-12"),
                 build_day("2026-01-12"));
    image = build_image(&build);
    assert_int_equal(policy_off_hours(image, 0, monday + 9 * DB_HOUR), 0);
    assert_int_equal(policy_off_hours(image, 0, monday + 20 * DB_HOUR), 1);
    /* from Sunday 22:00 into Monday */
    assert_int_equal(policy_off_hours(image, 0, monday + 5 * DB_HOUR), 0);
    assert_int_equal(policy_off_hours(image, 0, monday + 7 * DB_HOUR), 1);
    /* closed on the Monday after: its day, but not Sunday's night */
    monday += 7 * DB_DAY;
    assert_int_equal(policy_off_hours(image, 0, monday + 9 * DB_HOUR), 1);
    assert_int_equal(policy_off_hours(image, 0, monday + 5 * DB_HOUR), 0);
    assert_int_equal(policy_off_hours(image, 7, monday), -1);
    assert_int_equal(policy_off_hours(NULL, 0, monday), -1);
    policy_image_free(image);
    build_end(&build);
}

/* ---- new-address, new-country --------------------------------------------*/

TEST(a_new_network_is_found_on_its_first_day_only)
{
    db_t db;
    size_t one;

    begin(&db);
    yamada_at(&db, db_at(ODD_DAY, 600), "aoba", "198.51.100.9", 10);
    yamada_at(&db, db_at(ODD_DAY + 1, 600), "aoba", "198.51.100.9", 10);
    find_day(&db, ODD_DAY);
    one = db_one(&db, FINDING_NEW_ADDRESS);
    assert_string_equal(db.texts[one][1], "198.51.100.9");
    find_day(&db, ODD_DAY + 1);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

TEST(another_address_of_the_same_network_is_not_new)
{
    db_t db;

    begin(&db);
    yamada_at(&db, db_at(ODD_DAY, 600), "aoba", "203.0.113.200", 10);
    find_day(&db, ODD_DAY);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

TEST(a_console_is_no_new_network)
{
    db_t db;

    begin(&db);
    db_event(&db, &(db_event_t){.time_ms = db_at(ODD_DAY, 600),
                                .event = "session",
                                .user = "yamada",
                                .address = "local"});
    find_day(&db, ODD_DAY);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

TEST(who_is_always_elsewhere_is_not_new_anywhere)
{
    char address[32];
    db_t db;

    begin(&db);
    for (int i = 0; i < 5; i++) {
        (void) snprintf(address, sizeof(address), "198.51.%d.9", i);
        yamada_at(&db, db_at(10 + i, 600), "aoba", address, 10);
    }
    yamada_at(&db, db_at(ODD_DAY, 600), "aoba", "198.51.77.9", 10);
    find_day(&db, ODD_DAY);
    assert_int_equal(db_count(&db, FINDING_NEW_ADDRESS), 0);
    db_close(&db);
}

static bool
country_of(void *context, const address_t *address, char code[2])
{
    (void) context;
    memcpy(code, address->bytes[0] == 203 ? "JP" : "US", 2);
    return true;
}

TEST(a_new_country_is_high_and_named)
{
    db_t db;
    size_t one;

    begin(&db);
    db.country = country_of;
    yamada_at(&db, db_at(ODD_DAY, 600), "aoba", "198.51.100.9", 10);
    find_day(&db, ODD_DAY);
    one = db_one(&db, FINDING_NEW_COUNTRY);
    assert_int_equal(db.found[one].severity, FINDING_HIGH);
    assert_string_equal(db.texts[one][2], "US");
    db_close(&db);
}

TEST(without_countries_the_rule_says_that_it_looked_at_nothing)
{
    db_t db;

    begin(&db);
    find_day(&db, ODD_DAY);
    assert_true(db.outcome.no_country);
    assert_true(db.outcome.skipped[FINDING_NEW_COUNTRY]);
    assert_false(db.outcome.skipped[FINDING_NEW_ADDRESS]);
    db_close(&db);
}

/* ---- volume, many-patients -----------------------------------------------*/

TEST(a_day_far_above_the_median_is_found_with_what_is_usual)
{
    db_t db;
    size_t one;

    begin(&db);
    for (int i = 0; i < 60; i++) {
        yamada_at(&db, db_at(ODD_DAY, 540 + i * 8), "aoba", "203.0.113.7", 10);
    }
    find_day(&db, ODD_DAY);
    one = db_one(&db, FINDING_VOLUME);
    assert_int_equal(db.found[one].count, 60);
    assert_int_equal(db.found[one].usual, 10);
    assert_int_equal(db.count, 1);
    db_close(&db);
}

TEST(a_busy_day_below_the_limit_is_none)
{
    db_t db;

    begin(&db);
    for (int i = 0; i < 28; i++) {
        yamada_at(&db, db_at(ODD_DAY, 540 + i * 16), "aoba", "203.0.113.7", 10);
    }
    find_day(&db, ODD_DAY);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

static void
patients(db_t *db, int accesses, int different, int64_t apart_ms)
{
    char patient[16];

    for (int i = 0; i < accesses; i++) {
        (void) snprintf(patient, sizeof(patient), "P%d", i % different);
        db_access(db, &(db_access_t){.time_ms = db_at(0, 600) + i * apart_ms,
                                     .user = "yamada",
                                     .patient = patient});
    }
}

TEST(more_patients_than_the_limit_within_the_window_are_found)
{
    db_t db;

    db_open(&db);
    patients(&db, 26, 26, 20000);
    find_day(&db, 0);
    assert_int_equal(db.found[db_one(&db, FINDING_MANY_PATIENTS)].count, 26);
    db_close(&db);
}

TEST(many_images_of_few_patients_are_none)
{
    db_t db;

    db_open(&db);
    patients(&db, 200, 25, 2000);
    find_day(&db, 0);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

TEST(many_patients_over_a_day_are_none)
{
    db_t db;

    db_open(&db);
    patients(&db, 200, 200, 60000);
    find_day(&db, 0);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

/* ---- two-places, own-name ------------------------------------------------*/

TEST(overlapping_accesses_from_two_places_are_found_with_both)
{
    db_t db;
    size_t one;

    db_open(&db);
    yamada_at(&db, db_at(0, 600), "aoba", "203.0.113.7", 600);
    yamada_at(&db, db_at(0, 602), "midori", "198.51.100.9", 600);
    find_day(&db, 0);
    one = db_one(&db, FINDING_TWO_PLACES);
    assert_int_equal(db.found[one].severity, FINDING_HIGH);
    assert_int_equal(db.found[one].entries_count, 2);
    db_close(&db);
}

TEST(one_place_after_the_other_is_none)
{
    db_t db;

    db_open(&db);
    yamada_at(&db, db_at(0, 600), "aoba", "203.0.113.7", 100);
    yamada_at(&db, db_at(0, 602), "midori", "198.51.100.9", 600);
    find_day(&db, 0);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

TEST(two_computers_of_one_network_are_one_place)
{
    db_t db;

    db_open(&db);
    yamada_at(&db, db_at(0, 600), "aoba", "203.0.113.7", 600);
    yamada_at(&db, db_at(0, 602), "aoba", "203.0.113.8", 600);
    find_day(&db, 0);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

TEST(ipv4_and_ipv6_of_one_facility_are_one_place)
{
    db_t db;

    db_open(&db);
    yamada_at(&db, db_at(0, 600), "aoba", "203.0.113.7", 600);
    yamada_at(&db, db_at(0, 602), "aoba", "2001:db8::7", 600);
    find_day(&db, 0);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

TEST(a_patient_whose_id_is_the_users_is_found)
{
    db_t db;

    db_open(&db);
    db_access(&db, &(db_access_t){.time_ms = db_at(0, 600),
                                  .user = "yamada",
                                  .patient = "YAMADA"});
    find_day(&db, 0);
    assert_int_equal(db_count(&db, FINDING_OWN_NAME), 1);
    db_close(&db);
}

TEST(a_patient_with_the_users_name_is_found_where_names_are_kept)
{
    db_t db;
    size_t one;

    db_open(&db);
    db_access(&db, &(db_access_t){.time_ms = db_at(0, 600),
                                  .user = "taro.yamada",
                                  .patient = "4711",
                                  .name = "YAMADA^TARO"});
    find_day(&db, 0);
    one = db_one(&db, FINDING_OWN_NAME);
    assert_string_equal(db.texts[one][2], "YAMADA^TARO");
    db_close(&db);
}

TEST(names_are_compared_by_their_letters_in_either_order)
{
    static const char *const same[] = {"yamada.taro", "taroyamada", "t-yamada",
                                       "YamadaT", "yamada.taro@example"};
    static const char *const others[] = {
        "yamada", "taro", "yamata.taro", "t", "yamada.taroo", ""};

    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        assert_true(names_same(slice_of(same[i]),
                               SLICE("YAMADA^TARO^^=\xe5\xb1\xb1"), false));
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(
            names_same(slice_of(others[i]), SLICE("YAMADA^TARO"), false));
    }
    assert_false(names_same(SLICE("yamada"), SLICE(""), true));
}

TEST(a_family_name_alone_counts_only_where_it_is_asked_for)
{
    assert_false(names_same(SLICE("yamada"), SLICE("YAMADA^HANAKO"), false));
    assert_true(names_same(SLICE("yamada"), SLICE("YAMADA^HANAKO"), true));
}

/* ---- Denials -------------------------------------------------------------*/

static void
denials(db_t *db, int events, int64_t count, const char *user,
        const char *reason)
{
    for (int i = 0; i < events; i++) {
        db_event(db, &(db_event_t){.time_ms = db_at(0, 600) + i * 10000,
                                   .event = "denied",
                                   .reason = reason,
                                   .user = user,
                                   .address = "198.51.100.9",
                                   .outcome = 4,
                                   .count = count});
    }
}

TEST(a_burst_of_denials_of_a_user_is_one_finding)
{
    db_t db;

    db_open(&db);
    denials(&db, 30, 0, "yamada", "device-missing");
    find_day(&db, 0);
    assert_int_equal(db.found[db_one(&db, FINDING_DENIALS)].count, 30);
    db_close(&db);
}

TEST(a_few_denials_are_none)
{
    db_t db;

    db_open(&db);
    denials(&db, 9, 0, "yamada", "device-missing");
    find_day(&db, 0);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

TEST(folded_denials_count_as_many_as_they_are)
{
    db_t db;

    db_open(&db);
    denials(&db, 2, 600, NULL, "unknown-network");
    find_day(&db, 0);
    assert_int_equal(db.found[db_one(&db, FINDING_DENIALS)].count, 1200);
    db_close(&db);
}

TEST(the_noise_of_the_internet_is_none)
{
    db_t db;

    db_open(&db);
    denials(&db, 9, 100, NULL, "unknown-network");
    find_day(&db, 0);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

/* ---- Single events -------------------------------------------------------*/

static void
event_of_yamada(db_t *db, const char *event, const char *reason, int outcome)
{
    db_event(db, &(db_event_t){.time_ms = db_at(0, 600),
                               .event = event,
                               .reason = reason,
                               .user = "yamada",
                               .address = "203.0.113.7",
                               .outcome = outcome});
}

TEST(a_code_used_twice_is_found_and_is_no_denial)
{
    db_t db;

    db_open(&db);
    for (int i = 0; i < 20; i++) {
        event_of_yamada(&db, "code-alert", "code-used-twice", 8);
    }
    find_day(&db, 0);
    assert_int_equal(db.found[db_one(&db, FINDING_CODE_USED_TWICE)].count, 20);
    assert_int_equal(db.count, 1);
    db_close(&db);
}

TEST(each_emergency_is_a_finding_of_its_own)
{
    db_t db;

    db_open(&db);
    event_of_yamada(&db, "emergency-on", "emergency-code", 0);
    event_of_yamada(&db, "emergency-on", "emergency-code", 0);
    find_day(&db, 0);
    assert_int_equal(db_count(&db, FINDING_EMERGENCY), 2);
    assert_string_not_equal(db.found[0].id, db.found[1].id);
    db_close(&db);
}

TEST(holes_in_the_trail_are_found_by_their_kind)
{
    db_t db;

    db_open(&db);
    db_event(&db, &(db_event_t){.time_ms = db_at(0, 1), .event = "gap"});
    db_event(&db, &(db_event_t){.time_ms = db_at(0, 2), .event = "gap"});
    db_event(&db, &(db_event_t){.time_ms = db_at(0, 3), .event = "lost"});
    find_day(&db, 0);
    assert_int_equal(db_count(&db, FINDING_GAP), 2);
    db_close(&db);
}

static void
session(db_t *db, const char *name, bool wiped, int outcome)
{
    const char *events[] = {"session", "sign-out", "wiped"};

    for (int i = 0; i < (wiped ? 3 : 2); i++) {
        db_event(db, &(db_event_t){.time_ms = db_at(0, 600 + 60 * i),
                                   .event = events[i],
                                   .user = "yamada",
                                   .service = "lightdm",
                                   .session = name,
                                   .outcome = i == 2 ? outcome : 0});
    }
}

TEST(a_terminal_that_could_not_be_wiped_is_found)
{
    db_t db;

    db_open(&db);
    session(&db, "a", true, 4);
    find_day(&db, 0);
    assert_int_equal(db_count(&db, FINDING_NOT_WIPED), 1);
    db_close(&db);
}

TEST(a_session_without_wiping_where_others_have_it_is_found)
{
    db_t db;
    size_t one;

    db_open(&db);
    session(&db, "a", true, 0);
    session(&db, "b", true, 0);
    session(&db, "c", false, 0);
    find_day(&db, 0);
    one = db_one(&db, FINDING_NOT_WIPED);
    assert_string_equal(db.texts[one][2], "never");
    db_close(&db);
}

TEST(where_nobody_is_wiped_it_is_not_asked_for)
{
    db_t db;

    db_open(&db);
    session(&db, "a", false, 0);
    session(&db, "b", false, 0);
    find_day(&db, 0);
    assert_int_equal(db.count, 0);
    db_close(&db);
}

/* ---- Ids, switches -------------------------------------------------------*/

TEST(an_id_is_the_same_in_any_period)
{
    char id[FINDING_ID_SIZE + 1];
    db_t db;

    begin(&db);
    night(&db, ODD_DAY, 3);
    find_day(&db, ODD_DAY);
    memcpy(id, db.found[db_one(&db, FINDING_OFF_HOURS)].id, sizeof(id));
    db_find(&db, db_at(0, 0), db_at(60, 0));
    assert_string_equal(db.found[db_one(&db, FINDING_OFF_HOURS)].id, id);
    night(&db, ODD_DAY + 1, 3);
    find_day(&db, ODD_DAY + 1);
    assert_string_not_equal(db.found[db_one(&db, FINDING_OFF_HOURS)].id, id);
    db_close(&db);
}

TEST(a_rule_that_is_off_finds_nothing_and_says_so)
{
    db_t db;

    begin(&db);
    db.settings.on[FINDING_OFF_HOURS] = false;
    night(&db, ODD_DAY, 9);
    find_day(&db, ODD_DAY);
    assert_int_equal(db.count, 0);
    assert_true(db.outcome.skipped[FINDING_OFF_HOURS]);
    db_close(&db);
}

TEST(tables_that_are_missing_are_an_error_with_the_cure)
{
    findings_input_t input = {0};
    char error[256];
    db_t db;

    db_open(&db);
    db_run(&db, "DROP TABLE access");
    input.db = db.sql;
    assert_int_equal(findings_run(&input, 0, 1, db_keep, &db, NULL, error),
                     -EIO);
    assert_non_null(strstr(error, "audit index --rebuild"));
    db_close(&db);
}

TEST(every_rule_has_words_in_both_languages)
{
    char words[2][FINDING_WORDS_MAX];

    for (unsigned rule = 1; rule < FINDING_RULES; rule++) {
        finding_t finding = {
            .rule = (finding_rule_t) rule, .count = 41, .detail = SLICE("gap")};

        assert_int_equal(finding_rule_find(slice_of(
                             finding_rule_name((finding_rule_t) rule))),
                         rule);
        assert_true(finding_words(&finding, false, words[0]) > 10);
        assert_true(finding_words(&finding, true, words[1]) > 10);
        assert_string_not_equal(words[0], words[1]);
        assert_string_not_equal(finding_title((finding_rule_t) rule, false),
                                finding_title((finding_rule_t) rule, true));
    }
}

TEST(long_words_end_at_a_character)
{
    char name[3 * 1000], words[FINDING_WORDS_MAX];
    finding_t finding = {.rule = FINDING_GAP};
    size_t size;

    for (size_t i = 0; i < sizeof(name); i += 3) {
        memcpy(name + i, "\xe5\xb1\xb1", 3);
    }
    finding.detail = (slice_t){name, sizeof(name)};
    size = finding_words(&finding, true, words);
    assert_true(size < FINDING_WORDS_MAX);
    assert_int_equal(strlen(words), size);
    assert_memory_equal(words + size - 3, "\xe5\xb1\xb1", 3);
}

UNIT_TESTS(
    cmocka_unit_test(an_ordinary_day_has_no_findings),
    cmocka_unit_test(a_night_is_out_of_the_habit_of_a_place_by_day),
    cmocka_unit_test(fewer_than_the_minimum_out_of_hours_are_none),
    cmocka_unit_test(the_hour_beside_a_usual_one_is_none),
    cmocka_unit_test(one_night_is_no_habit_that_excuses_the_next),
    cmocka_unit_test(nobody_has_a_habit_in_the_first_days),
    cmocka_unit_test(the_policy_knows_hours_and_closed_days),
    cmocka_unit_test(a_new_network_is_found_on_its_first_day_only),
    cmocka_unit_test(another_address_of_the_same_network_is_not_new),
    cmocka_unit_test(a_console_is_no_new_network),
    cmocka_unit_test(who_is_always_elsewhere_is_not_new_anywhere),
    cmocka_unit_test(a_new_country_is_high_and_named),
    cmocka_unit_test(without_countries_the_rule_says_that_it_looked_at_nothing),
    cmocka_unit_test(a_day_far_above_the_median_is_found_with_what_is_usual),
    cmocka_unit_test(a_busy_day_below_the_limit_is_none),
    cmocka_unit_test(more_patients_than_the_limit_within_the_window_are_found),
    cmocka_unit_test(many_images_of_few_patients_are_none),
    cmocka_unit_test(many_patients_over_a_day_are_none),
    cmocka_unit_test(overlapping_accesses_from_two_places_are_found_with_both),
    cmocka_unit_test(one_place_after_the_other_is_none),
    cmocka_unit_test(two_computers_of_one_network_are_one_place),
    cmocka_unit_test(ipv4_and_ipv6_of_one_facility_are_one_place),
    cmocka_unit_test(a_patient_whose_id_is_the_users_is_found),
    cmocka_unit_test(
        a_patient_with_the_users_name_is_found_where_names_are_kept),
    cmocka_unit_test(names_are_compared_by_their_letters_in_either_order),
    cmocka_unit_test(a_family_name_alone_counts_only_where_it_is_asked_for),
    cmocka_unit_test(a_burst_of_denials_of_a_user_is_one_finding),
    cmocka_unit_test(a_few_denials_are_none),
    cmocka_unit_test(folded_denials_count_as_many_as_they_are),
    cmocka_unit_test(the_noise_of_the_internet_is_none),
    cmocka_unit_test(a_code_used_twice_is_found_and_is_no_denial),
    cmocka_unit_test(each_emergency_is_a_finding_of_its_own),
    cmocka_unit_test(holes_in_the_trail_are_found_by_their_kind),
    cmocka_unit_test(a_terminal_that_could_not_be_wiped_is_found),
    cmocka_unit_test(a_session_without_wiping_where_others_have_it_is_found),
    cmocka_unit_test(where_nobody_is_wiped_it_is_not_asked_for),
    cmocka_unit_test(an_id_is_the_same_in_any_period),
    cmocka_unit_test(a_rule_that_is_off_finds_nothing_and_says_so),
    cmocka_unit_test(tables_that_are_missing_are_an_error_with_the_cure),
    cmocka_unit_test(every_rule_has_words_in_both_languages),
    cmocka_unit_test(long_words_end_at_a_character))
