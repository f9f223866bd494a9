#define _GNU_SOURCE
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../lib/base/report.h"

static char *
printed(report_t *report)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    report_print(report, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void
prints_in_the_order_of_places(void **state)
{
    report_t *report = report_new();
    char *text;

    (void) state;
    report_add(report, REPORT_ERROR, (report_place_t){"b", 2, 1}, "two");
    report_add(report, REPORT_WARNING, (report_place_t){"b", 1, 9}, "one");
    report_add(report, REPORT_ERROR, (report_place_t){"a", 1, 0}, "other");
    report_add(report, REPORT_ERROR, (report_place_t){"a", 0, 0}, "whole");
    text = printed(report);
    assert_string_equal(text, "b:1:9: warning: one\nb:2:1: error: two\n"
                              "a: error: whole\na:1: error: other\n");
    assert_int_equal(report_errors(report), 3);
    assert_int_equal(report_warnings(report), 1);
    free(text);
    report_free(report);
}

static void
control_characters_cannot_reach_the_terminal(void **state)
{
    report_t *report = report_new();
    char *text;

    (void) state;
    report_add(report, REPORT_ERROR, (report_place_t){"a\033", 1, 1}, "%s",
               "x\033[2J\ny");
    text = printed(report);
    assert_string_equal(text, "a\\x1b:1:1: error: x\\x1b[2J\\x0ay\n");
    free(text);
    report_free(report);
}

static void
counts_what_it_does_not_keep(void **state)
{
    report_t *report = report_new();
    char *text;

    (void) state;
    for (int i = 0; i < REPORT_MESSAGES_MAX + 3; i++) {
        report_add(report, REPORT_ERROR, (report_place_t){"a", 1, 1}, "e");
    }
    assert_int_equal(report_errors(report), REPORT_MESSAGES_MAX + 3);
    text = printed(report);
    assert_non_null(strstr(text, "and 3 more\n"));
    free(text);
    report_free(report);
}

static void
keeps_its_own_copy_of_file_names(void **state)
{
    report_t *report = report_new();
    char name[] = "gone.conf";
    char *text;

    (void) state;
    report_add(report, REPORT_ERROR, (report_place_t){name, 1, 1}, "e");
    memset(name, 'x', sizeof(name) - 1);
    text = printed(report);
    assert_string_equal(text, "gone.conf:1:1: error: e\n");
    free(text);
    report_free(report);
}

UNIT_TESTS(cmocka_unit_test(prints_in_the_order_of_places),
           cmocka_unit_test(control_characters_cannot_reach_the_terminal),
           cmocka_unit_test(counts_what_it_does_not_keep),
           cmocka_unit_test(keeps_its_own_copy_of_file_names))
