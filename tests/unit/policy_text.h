/* Policies written in tests: what they are told, and what comes out. */

#ifndef SEKISHO_TESTS_UNIT_POLICY_TEXT_H
#define SEKISHO_TESTS_UNIT_POLICY_TEXT_H

#include "../../lib/base/conf.h"
#include "../../lib/policy/policy.h"
#include "printed.h"
#include "unit.h"

/* 2026-11-24T06:00:00Z, a Tuesday. */
#define TEST_NOW INT64_C(1795500000)

#define PIN                                                                    \
    "sha256:"                                                                  \
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static inline void
assert_told_at(int64_t now, const char *text, bool accepted, const char *told)
{
    report_t *report = report_new();
    policy_source_t *source = policy_source_read_text("f", slice_of(text), now,
                                                      report);
    char *messages;

    assert_int_equal(source != NULL, accepted);
    assert_int_equal(report_errors(report) == 0, accepted);
    policy_source_free(source);
    messages = printed(report);
    assert_string_equal(messages, told);
    free(messages);
}

/* Refused, and these are all messages. */
static inline void
assert_errors(const char *text, const char *told)
{
    assert_told_at(TEST_NOW, text, false, told);
}

/* Accepted, with these warnings ("" for none). */
static inline void
assert_warnings(const char *text, const char *told)
{
    assert_told_at(TEST_NOW, text, true, told);
}

/* Accepted without a word. */
static inline policy_source_t *
accepted(const char *text)
{
    report_t *report = report_new();
    policy_source_t *source = policy_source_read_text("f", slice_of(text),
                                                      TEST_NOW, report);
    char *messages = printed(report);

    assert_string_equal(messages, "");
    assert_non_null(source);
    free(messages);
    return source;
}

#endif
