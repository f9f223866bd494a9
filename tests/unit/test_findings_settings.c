/* findings.conf: what is read, and what is said of mistakes. */

#include "unit.h"

#include <errno.h>
#include <string.h>

#include "../../lib/review/findings.h"

#define TEST(name) static void name(void **state __attribute__((unused)))

static int
read_text(const char *text, findings_settings_t *settings, char message[512])
{
    report_t *report = report_new();
    int error;

    assert_non_null(report);
    error = findings_settings_text("findings.conf", slice_of(text), settings,
                                   report);
    message[0] = '\0';
    if (report_text(report, 0) != NULL) {
        (void) snprintf(message, 512, "%s", report_text(report, 0));
    }
    report_free(report);
    return error;
}

static void
says(const char *text, const char *part)
{
    findings_settings_t settings;
    char message[512];

    assert_int_equal(read_text(text, &settings, message), -EINVAL);
    if (strstr(message, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, message);
    }
}

TEST(an_empty_file_is_the_defaults)
{
    findings_settings_t settings, defaults;
    char message[512];

    findings_defaults(&defaults);
    assert_int_equal(read_text("# nothing\n", &settings, message), 0);
    assert_memory_equal(&settings, &defaults, sizeof(settings));
    assert_true(defaults.on[FINDING_VOLUME]);
    assert_int_equal(defaults.volume.factor, 6);
    assert_int_equal(defaults.history_days, 60);
}

TEST(rules_are_switched_and_set)
{
    findings_settings_t settings;
    char message[512];

    assert_int_equal(read_text("volume off;\n"
                               "many-patients patients=40 window=15m;\n"
                               "own-name family=on;\n"
                               "history 90d; review-every 7d;\n",
                               &settings, message),
                     0);
    assert_false(settings.on[FINDING_VOLUME]);
    assert_true(settings.on[FINDING_MANY_PATIENTS]);
    assert_int_equal(settings.many_patients.patients, 40);
    assert_int_equal(settings.many_patients.window, 900);
    assert_true(settings.own_name.family);
    assert_int_equal(settings.history_days, 90);
    assert_int_equal(settings.review_days, 7);
}

TEST(a_misspelt_rule_is_told_with_the_nearest)
{
    says("volumes off;", "did you mean \"volume\"?");
}

TEST(a_setting_of_another_rule_is_told_with_those_of_this_one)
{
    says("volume window=10m;", "factor=");
}

TEST(a_value_out_of_its_range_is_told_with_the_range)
{
    says("volume factor=1;", "from 2 to 100");
    says("history 4000d;", "from 7 to 400 days");
}

TEST(a_value_of_another_unit_is_told_with_the_unit)
{
    says("volume minimum=10m;", "a number");
    says("many-patients window=ten;", "a time, as 10m");
    says("history 36h;", "whole days");
    says("own-name family=perhaps;", "on or off");
}

TEST(a_block_is_told)
{
    says("volume { minimum 3; }", "end the line with \";\"");
}

TEST(a_history_shorter_than_the_learning_is_told)
{
    says("history 10d; learn 20d;", "learn must be shorter");
}

TEST(a_file_that_is_not_there_is_an_error_only_if_asked_for)
{
    report_t *report = report_new();
    findings_settings_t settings;

    assert_non_null(report);
    assert_int_equal(findings_settings_read("/nonexistent/findings.conf", false,
                                            &settings, report),
                     0);
    assert_int_equal(settings.volume.factor, 6);
    assert_true(findings_settings_read("/nonexistent/findings.conf", true,
                                       &settings, report) < 0);
    report_free(report);
}

UNIT_TESTS(
    cmocka_unit_test(an_empty_file_is_the_defaults),
    cmocka_unit_test(rules_are_switched_and_set),
    cmocka_unit_test(a_misspelt_rule_is_told_with_the_nearest),
    cmocka_unit_test(a_setting_of_another_rule_is_told_with_those_of_this_one),
    cmocka_unit_test(a_value_out_of_its_range_is_told_with_the_range),
    cmocka_unit_test(a_value_of_another_unit_is_told_with_the_unit),
    cmocka_unit_test(a_block_is_told),
    cmocka_unit_test(a_history_shorter_than_the_learning_is_told),
    cmocka_unit_test(a_file_that_is_not_there_is_an_error_only_if_asked_for))
