/* What decisions and quieted rules hold for. */

#include "unit.h"

#include <stdlib.h>
#include <time.h>

#include "../../lib/review/reviews.h"

#define TEST(name) static void name(void **state __attribute__((unused)))
#define DAY        INT64_C(86400000)

/* Days since 1970-01-01, UTC. */
#define RECORDED 20000

static finding_t
finding_of(int32_t day)
{
    (void) setenv("TZ", "UTC", 1);
    tzset();
    return (finding_t){.rule = FINDING_VOLUME,
                       .user = SLICE("yamada"),
                       .facility = SLICE("aoba"),
                       .address = SLICE("203.0.113.7"),
                       .from_ms = day * DAY + 1000,
                       .to_ms = day * DAY + 2000};
}

static quiet_t
quiet_of_yamada(void)
{
    return (quiet_t){.rule = FINDING_VOLUME,
                     .user = SLICE("yamada"),
                     .from_ms = RECORDED * DAY + DAY / 2,
                     .until_day = RECORDED + 10,
                     .number = 1};
}

static bool
is_quiet(quiet_t *quiets, size_t count, int32_t day)
{
    reviews_t reviews = {.quiets = quiets, .quiets_count = count};
    finding_t finding = finding_of(day);

    return reviews_quiet(&reviews, &finding) != NULL;
}

TEST(a_rule_is_quiet_from_the_day_of_the_record_to_the_last)
{
    quiet_t quiet = quiet_of_yamada();

    assert_false(is_quiet(&quiet, 1, RECORDED - 1));
    assert_true(is_quiet(&quiet, 1, RECORDED));
    assert_true(is_quiet(&quiet, 1, RECORDED + 10));
    assert_false(is_quiet(&quiet, 1, RECORDED + 11));
}

TEST(other_rules_and_users_are_not_quieted)
{
    quiet_t quiet = quiet_of_yamada();

    quiet.rule = FINDING_OFF_HOURS;
    assert_false(is_quiet(&quiet, 1, RECORDED));
    quiet = quiet_of_yamada();
    quiet.user = SLICE("suzuki");
    assert_false(is_quiet(&quiet, 1, RECORDED));
}

TEST(a_place_may_be_quieted_instead)
{
    quiet_t quiet = quiet_of_yamada();

    quiet.user = SLICE("");
    assert_false(is_quiet(&quiet, 1, RECORDED));
    quiet.facility = SLICE("aoba");
    assert_true(is_quiet(&quiet, 1, RECORDED));
    quiet.facility = SLICE("");
    quiet.address = SLICE("203.0.113.7");
    assert_true(is_quiet(&quiet, 1, RECORDED));
    quiet.address = SLICE("203.0.113.8");
    assert_false(is_quiet(&quiet, 1, RECORDED));
}

TEST(a_later_record_ends_it_early)
{
    quiet_t quiets[2] = {quiet_of_yamada(), quiet_of_yamada()};

    quiets[1].from_ms += 3 * DAY;
    quiets[1].until_day = RECORDED + 2;
    assert_true(is_quiet(quiets, 2, RECORDED + 2));
    assert_false(is_quiet(quiets, 2, RECORDED + 5));
}

static const decision_t decisions[] = {
    {.id = "0123456789aa",
     .decision = FINDING_EXPLAINED,
     .time_ms = 100,
     .number = 1},
    {.id = "0123456789ab",
     .decision = FINDING_EXPLAINED,
     .time_ms = 100,
     .number = 2},
    {.id = "0123456789ab",
     .decision = FINDING_ESCALATED,
     .time_ms = 200,
     .number = 5},
};

static const decision_t *
decision_at(const char *id, int64_t at_ms)
{
    decision_t list[3];
    reviews_t reviews = {.decisions = list, .decisions_count = 3};
    const decision_t *found;

    memcpy(list, decisions, sizeof(list));
    found = reviews_decision(&reviews, id, at_ms);
    return found == NULL ? NULL : &decisions[found - list];
}

TEST(the_latest_decision_holds)
{
    assert_ptr_equal(decision_at("0123456789ab", 50), &decisions[2]);
    assert_ptr_equal(decision_at("0123456789aa", 50), &decisions[0]);
    assert_null(decision_at("0123456789ac", 50));
}

TEST(what_grew_after_a_decision_is_undecided_again)
{
    assert_ptr_equal(decision_at("0123456789ab", 200), &decisions[2]);
    assert_null(decision_at("0123456789ab", 201));
}

UNIT_TESTS(
    cmocka_unit_test(a_rule_is_quiet_from_the_day_of_the_record_to_the_last),
    cmocka_unit_test(other_rules_and_users_are_not_quieted),
    cmocka_unit_test(a_place_may_be_quieted_instead),
    cmocka_unit_test(a_later_record_ends_it_early),
    cmocka_unit_test(the_latest_decision_holds),
    cmocka_unit_test(what_grew_after_a_decision_is_undecided_again))
