#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../lib/ipc/daemon_config.h"

#define HEAD "origin test.example/sekisho;\nweb_user root;\n"

typedef struct {
    config_t *config;
    char messages[4096];
} read_t;

/* Reads a configuration of HEAD and these lines; the caller frees it. */
static read_t
read_lines(const char *lines)
{
    char path[] = "/tmp/sekisho-config-XXXXXX";
    report_t *report = report_new();
    int fd = mkstemp(path);
    read_t read = {NULL, ""};
    FILE *file, *memory;

    assert_non_null(report);
    assert_true(fd >= 0);
    file = fdopen(fd, "w");
    assert_non_null(file);
    (void) fprintf(file, HEAD "%s", lines);
    assert_int_equal(fclose(file), 0);
    read.config = config_read(path, report);
    memory = fmemopen(read.messages, sizeof(read.messages) - 1, "w");
    assert_non_null(memory);
    report_print(report, memory);
    assert_int_equal(fclose(memory), 0);
    report_free(report);
    assert_int_equal(unlink(path), 0);
    return read;
}

static void
refuses(const char *line, const char *message)
{
    read_t read = read_lines(line);

    assert_null(read.config);
    if (strstr(read.messages, message) == NULL ||
        strstr(read.messages, ":3:") == NULL)
    {
        fail_msg("%s: %s", line, read.messages);
    }
}

static void
without_a_store_there_are_no_codes(void **state)
{
    read_t read = read_lines("");

    (void) state;
    assert_non_null(read.config);
    assert_null(read.config->otp_store);
    assert_null(read.config->geoip);
    assert_false(read.config->places_off);
    assert_false(read.config->otp_self_service_off);
    assert_true(slice_is(read.config->otp_issuer, "Sekisho"));
    config_free(read.config);
}

static void
what_is_not_given_is_the_default_of_the_rules(void **state)
{
    otp_rules_t defaults = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    read_t read = read_lines("otp_window 0;\notp_wait 2m;\n");
    otp_rules_t rules;

    (void) state;
    assert_non_null(read.config);
    rules = config_otp_rules(read.config, &defaults);
    assert_int_equal(rules.window_steps, 0);
    assert_int_equal(rules.wait_seconds_max, 120);
    rules.window_steps = 1;
    rules.wait_seconds_max = 5;
    assert_memory_equal(&rules, &defaults, sizeof(rules));
    config_free(read.config);
}

static void
every_rule_reaches_its_field(void **state)
{
    otp_rules_t rules, defaults = {0};
    read_t read = read_lines(
        "otp_window 2;\notp_look_ahead 50;\notp_drift 4;\notp_wait_from 5;\n"
        "otp_wait 60s;\notp_lock_at 10;\notp_source_lock_at 500;\n"
        "otp_source_forget 1h;\notp_clock_back 30s;\n");

    (void) state;
    assert_non_null(read.config);
    rules = config_otp_rules(read.config, &defaults);
    assert_int_equal(rules.window_steps, 2);
    assert_int_equal(rules.hotp_look_ahead, 50);
    assert_int_equal(rules.drift_steps_max, 4);
    assert_int_equal(rules.wait_from, 5);
    assert_int_equal(rules.wait_seconds_max, 60);
    assert_int_equal(rules.lock_at, 10);
    assert_int_equal(rules.source_lock_at, 500);
    assert_int_equal(rules.source_forget_seconds, 3600);
    assert_int_equal(rules.clock_back_seconds, 30);
    config_free(read.config);
}

static void
words_and_paths_are_read(void **state)
{
    read_t read = read_lines(
        "otp_store /a/otp.db;\notp_key /b/otp.key;\notp_issuer \"Aoba Ward\";\n"
        "otp_self_service off;\nplaces off;\nemergency /c;\n");

    (void) state;
    assert_non_null(read.config);
    assert_string_equal(read.config->otp_store, "/a/otp.db");
    assert_string_equal(read.config->otp_key, "/b/otp.key");
    assert_string_equal(read.config->emergency, "/c");
    assert_true(slice_is(read.config->otp_issuer, "Aoba Ward"));
    assert_true(read.config->otp_self_service_off);
    assert_true(read.config->places_off);
    config_free(read.config);
}

static void
the_database_of_countries_is_a_path_or_off(void **state)
{
    read_t read = read_lines("geoip /var/lib/GeoIP/c.mmdb;\n");

    (void) state;
    assert_non_null(read.config);
    assert_string_equal(read.config->geoip, "/var/lib/GeoIP/c.mmdb");
    config_free(read.config);
    read = read_lines("geoip off;\n");
    assert_non_null(read.config);
    assert_null(read.config->geoip);
    config_free(read.config);
}

/* NIST SP 800-63B-4 3.2.2: at most 100 failures, whatever is written here. */
static void
the_lock_is_never_above_a_hundred(void **state)
{
    (void) state;
    refuses("otp_lock_at 101;\n", "no number between 1 and 100");
    refuses("otp_lock_at 0;\n", "no number between 1 and 100");
    refuses("otp_wait_from 101;\n", "no number between 1 and 100");
}

static void
numbers_out_of_their_bounds_are_refused(void **state)
{
    (void) state;
    refuses("otp_window 11;\n", "between 0 and 10");
    refuses("otp_window -1;\n", "between 0 and 10");
    refuses("otp_look_ahead 0;\n", "between 1 and 100");
    refuses("otp_drift 21;\n", "between 0 and 20");
    refuses("otp_source_lock_at 0;\n", "between 1 and 100000");
    refuses("otp_wait 2h;\n", "time span between 1s and 3600s");
    refuses("otp_source_forget 0s;\n", "time span");
    refuses("otp_clock_back 301s;\n", "time span between 0s and 300s");
}

static void
words_that_are_none_are_refused(void **state)
{
    (void) state;
    refuses("otp_store otp.db;\n", "no absolute path");
    refuses("otp_key otp.key;\n", "no absolute path");
    refuses("emergency here;\n", "no absolute path");
    refuses("geoip c.mmdb;\n", "no absolute path");
    refuses("places maybe;\n", "neither \"on\" nor \"off\"");
    refuses("otp_self_service 1;\n", "neither \"on\" nor \"off\"");
    refuses("otp_issuer \"a:b\";\n", "no issuer");
    refuses("otp_issuer \"\";\n", "no issuer");
    refuses("otp_windows 1;\n", "did you mean \"otp_window\"");
}

static void
a_wait_that_never_comes_is_refused(void **state)
{
    read_t read = read_lines("otp_wait_from 30;\notp_lock_at 20;\n");

    (void) state;
    assert_null(read.config);
    assert_non_null(strstr(read.messages, "nobody would ever wait"));
}

static void
each_stands_once(void **state)
{
    read_t read = read_lines("otp_window 1;\notp_window 2;\n");

    (void) state;
    assert_null(read.config);
    assert_non_null(strstr(read.messages, "already given at line 3"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_store_there_are_no_codes),
        cmocka_unit_test(what_is_not_given_is_the_default_of_the_rules),
        cmocka_unit_test(every_rule_reaches_its_field),
        cmocka_unit_test(words_and_paths_are_read),
        cmocka_unit_test(the_database_of_countries_is_a_path_or_off),
        cmocka_unit_test(the_lock_is_never_above_a_hundred),
        cmocka_unit_test(numbers_out_of_their_bounds_are_refused),
        cmocka_unit_test(words_that_are_none_are_refused),
        cmocka_unit_test(a_wait_that_never_comes_is_refused),
        cmocka_unit_test(each_stands_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
