/* The top level of the language: blocks, includes, what is missing. */

#define _GNU_SOURCE
#include "policy_text.h"

#include <sys/stat.h>
#include <unistd.h>

#include "../../lib/base/action.h"
#include "../../lib/policy/decide.h"

static void
reads_the_example_of_the_documentation(void **state)
{
    policy_source_t *source = accepted(
        "timezone Asia/Tokyo;\n"
        "group radiologists { yamada; suzuki; }\n"
        "calendar jp { 2027-01-11; 2026-12-29..2027-01-03; }\n"
        "facility aoba-clinic {\n"
        "    name          \"Aoba Imaging Clinic\";\n"
        "    contact       \"IT desk, +81-3-0000-0000\";\n"
        "    network       203.0.113.0/28 2001:db8:10::/48;\n"
        "    via           10.8.0.1;\n"
        "    country       JP;\n"
        "    device        required;\n"
        "    certificate   " PIN ";\n"
        "    hours         mon-fri 08:00-19:00 sat 08:00-13:00;\n"
        "    closed        jp;\n"
        "    valid         2026-04-01..2027-03-31;\n"
        "    users         @radiologists tanaka;\n"
        "    services      web ssh;\n"
        "    actions       query view download;\n"
        "    second-factor never;\n"
        "    off-hours     second-factor;\n"
        "    session       idle 15m max 8h;\n"
        "    mode          dry-run;\n"
        "}\n");
    const policy_source_facility_t *facility = &source->facilities[0];

    (void) state;
    assert_int_equal(source->facilities_count, 1);
    assert_true(slice_is(facility->id, "aoba-clinic"));
    assert_true(slice_is(facility->name, "Aoba Imaging Clinic"));
    assert_true(slice_is(facility->contact, "IT desk, +81-3-0000-0000"));
    assert_true(slice_is(facility->zone, "Asia/Tokyo"));
    assert_int_equal(facility->place.line, 4);
    assert_int_equal(facility->networks_count, 2);
    assert_int_equal(facility->networks[0].prefix.bits, 28);
    assert_int_equal(facility->networks[0].place.line, 7);
    assert_int_equal(facility->networks[1].prefix.address.family, ADDRESS_IPV6);
    assert_int_equal(facility->via_count, 1);
    assert_int_equal(facility->via[0].bytes[3], 1);
    assert_int_equal(facility->countries_count, 1);
    assert_memory_equal(facility->countries[0], "JP", 2);
    assert_int_equal(facility->device, POLICY_DEVICE_REQUIRED);
    assert_int_equal(facility->pins_count, 1);
    assert_int_equal(facility->pins[0].sha256[15], 0xff);
    assert_true(facility->has_hours);
    assert_int_equal(facility->hours_count, 6);
    assert_int_equal(facility->closed_count, 2);
    assert_int_equal(facility->closed[0].first, 20816);
    assert_int_equal(facility->closed[0].last, 20821);
    assert_int_equal(facility->closed[1].first, 20829);
    assert_int_equal(facility->valid_from, 20544);
    assert_int_equal(facility->valid_to, 20908);
    assert_true(facility->has_users);
    assert_int_equal(facility->users_count, 3);
    assert_true(slice_is(facility->users[0], "suzuki"));
    assert_true(slice_is(facility->users[1], "tanaka"));
    assert_true(slice_is(facility->users[2], "yamada"));
    assert_int_equal(facility->services,
                     POLICY_SERVICE_BIT(POLICY_SERVICE_WEB) |
                         POLICY_SERVICE_BIT(POLICY_SERVICE_SSH));
    assert_int_equal(facility->actions, ACTION_BIT(ACTION_QUERY) |
                                            ACTION_BIT(ACTION_VIEW) |
                                            ACTION_BIT(ACTION_DOWNLOAD));
    assert_false(facility->second_factor);
    assert_true(facility->off_hours_factor);
    assert_int_equal(facility->idle_seconds, 900);
    assert_int_equal(facility->max_seconds, 28800);
    assert_true(facility->dry_run);
    policy_source_free(source);
}

static void
definitions_may_come_after_their_use(void **state)
{
    policy_source_t *source = accepted(
        "facility a { network 10.0.0.0/8; users @g; closed c; }\n"
        "calendar c { 2027-01-11; }\ngroup g { x; }\ntimezone Asia/Tokyo;\n");

    (void) state;
    assert_int_equal(source->facilities[0].users_count, 1);
    assert_int_equal(source->facilities[0].closed_count, 1);
    assert_true(slice_is(source->facilities[0].zone, "Asia/Tokyo"));
    policy_source_free(source);
}

static void
a_name_is_given_once(void **state)
{
    (void) state;
    assert_errors("timezone Asia/Tokyo;\ntimezone UTC;\n"
                  "group g { x; }\ngroup g { y; }\n"
                  "calendar c { 2027-01-11; }\ncalendar c { 2027-01-12; }\n"
                  "facility a { network 10.0.0.0/8; users @g; closed c; }\n"
                  "facility a { network 11.0.0.0/8; }\n",
                  "f:2:1: error: \"timezone\" is already given at line 1: "
                  "delete one of them, or write it inside a facility\n"
                  "f:4:7: error: group \"g\" is already given at line 3: "
                  "rename or delete one of them\n"
                  "f:6:10: error: calendar \"c\" is already given at line 5: "
                  "rename or delete one of them\n"
                  "f:8:10: error: facility \"a\" is already given at line 7: "
                  "rename or delete one of them\n");
}

static void
unknown_groups_and_calendars_are_errors(void **state)
{
    (void) state;
    assert_errors("timezone UTC;\ngroup radiologists { x; }\n"
                  "calendar japan { 2027-01-11; }\n"
                  "facility a { network 10.0.0.0/8; users @radiologist;\n"
                  "  closed japn; }\n"
                  "facility b { network 11.0.0.0/8; users @nurses;\n"
                  "  closed us; }\n",
                  "f:4:40: error: no group \"radiologist\": did you mean "
                  "\"@radiologists\"?\n"
                  "f:5:10: error: no calendar \"japn\": did you mean "
                  "\"japan\"?\n"
                  "f:6:40: error: no group \"nurses\": define it, \"group "
                  "radiologists { yamada; suzuki; }\"\n"
                  "f:7:10: error: no calendar \"us\": define it, \"calendar jp "
                  "{ 2027-01-11; }\"\n");
}

static void
what_is_not_used_is_a_warning(void **state)
{
    (void) state;
    assert_warnings("group g { x; }\ncalendar c { 2026-11-23; }\n"
                    "facility a { network 10.0.0.0/8; }\n",
                    "f:1:7: warning: group \"g\" is not used: write \"users "
                    "@g;\" in a facility, or delete it\n"
                    "f:2:10: warning: calendar \"c\" is not used: write "
                    "\"closed c;\" in a facility, or delete it\n"
                    "f:2:10: warning: all days of calendar \"c\" are past: "
                    "add those to come\n");
}

static void
a_policy_without_a_facility_is_a_warning(void **state)
{
    (void) state;
    assert_warnings("", "f: warning: it is empty, so that nobody is admitted: "
                        "add \"facility ID { }\"\n");
    assert_warnings("timezone UTC;",
                    "f: warning: it has no facility, so that nobody is "
                    "admitted: add \"facility ID { }\"\n");
}

static void
groups_hold_users_one_by_one(void **state)
{
    (void) state;
    assert_errors("group g { a b; @h; any; \"\"; x { } }\n"
                  "facility a { network 10.0.0.0/8; users @g; }\n",
                  "f:1:11: error: \";\" is missing after \"a\": each entry of "
                  "a group ends in \";\"\n"
                  "f:1:16: error: \"@h\" inside a group: groups hold users "
                  "alone; name both groups in \"users\"\n"
                  "f:1:20: error: \"any\" would be a user of that name: leave "
                  "\"users\" out to admit everybody, or quote a real name\n"
                  "f:1:25: error: an empty user name: write the name, or "
                  "delete it\n"
                  "f:1:29: error: a block inside a group: is \"}\" missing "
                  "before \"x\"?\n");
}

static void
users_must_come_to_somebody(void **state)
{
    (void) state;
    assert_errors("group g { }\nfacility a { network 10.0.0.0/8; users @g; }\n",
                  "f:2:34: error: \"users\" comes to nobody: add users to the "
                  "group, or name some here\n");
}

static void
calendars_are_sorted_and_joined(void **state)
{
    policy_source_t *source = accepted(
        "timezone UTC;\n"
        "calendar c { 2027-03-01..2027-03-05; 2027-01-01; 2027-01-02; }\n"
        "calendar d { 2027-03-04..2027-03-10; }\n"
        "facility a { network 10.0.0.0/8; closed c d 2027-01-03; }\n");
    const policy_source_facility_t *facility = &source->facilities[0];

    (void) state;
    assert_int_equal(facility->closed_count, 2);
    assert_int_equal(facility->closed[0].last - facility->closed[0].first, 2);
    assert_int_equal(facility->closed[1].last - facility->closed[1].first, 9);
    policy_source_free(source);
}

static void
days_are_checked(void **state)
{
    (void) state;
    assert_errors("timezone UTC;\ncalendar 9c { 2027-02-30; 2027/01/11; "
                  "2027-01-11..2027-01-10; 2027-01-01..; }\n"
                  "facility a { network 10.0.0.0/8; closed 2027-1-1; }\n",
                  "f:2:10: error: calendar \"9c\" starts with a digit, as "
                  "days do: start it with a letter\n"
                  "f:2:10: warning: calendar \"9c\" is not used: write "
                  "\"closed 9c;\" in a facility, or delete it\n"
                  "f:2:15: error: there is no day \"2027-02-30\" in the "
                  "calendar: correct it\n"
                  "f:2:27: error: \"2027/01/11\" is no day: write "
                  "year-month-day, as 2027-01-11\n"
                  "f:2:39: error: \"2027-01-11..2027-01-10\" ends before it "
                  "starts: write the earlier day first\n"
                  "f:2:63: error: \"2027-01-01..\" is open at one end: write "
                  "both days, as 2026-12-29..2027-01-03\n"
                  "f:3:41: error: \"2027-1-1\" is no day: write "
                  "year-month-day, as 2027-01-11\n");
}

static void
ids_have_a_shape(void **state)
{
    char text[256], told[512], id[66];

    (void) state;
    assert_errors("facility Aoba { network 10.0.0.0/8; }\n"
                  "facility -a { network 11.0.0.0/8; }\n",
                  "f:1:10: error: \"Aoba\" cannot be the id of a facility: "
                  "write small letters a-z, digits and . _ - only, a letter "
                  "or a digit first\n"
                  "f:2:10: error: \"-a\" cannot be the id of a facility: "
                  "write small letters a-z, digits and . _ - only, a letter "
                  "or a digit first\n");
    memset(id, 'a', 65);
    id[65] = '\0';
    (void) snprintf(text, sizeof(text), "facility %s { network 10.0.0.0/8; }",
                    id);
    (void) snprintf(told, sizeof(told),
                    "f:1:10: error: \"%.60s...\" has 65 bytes: an id has at "
                    "most 64\n",
                    id);
    assert_errors(text, told);
    (void) snprintf(text, sizeof(text), "facility %s { network 10.0.0.0/8; }",
                    id + 1);
    policy_source_free(accepted(text));
}

static void
a_missing_semicolon_is_told_at_its_line(void **state)
{
    (void) state;
    /* what is behind it is read all the same */
    assert_errors("timezone UTC\nfacility a {\n  network 10.0.0.0/8\n"
                  "  mode enforce\n  actions edit;\n}\n",
                  "f:1:10: error: \";\" is missing after \"UTC\", at the end "
                  "of line 1, before \"facility\": add it\n"
                  "f:3:11: error: \";\" is missing after \"10.0.0.0/8\", at "
                  "the end of line 3, before \"mode\": add it\n"
                  "f:4:8: error: \";\" is missing after \"enforce\", at the "
                  "end of line 4, before \"actions\": add it\n"
                  "f:5:11: error: \"edit\" is no action: write any of query "
                  "view download store delete admin\n");
    /* a user may have such a name, if it is quoted */
    policy_source_free(accepted("facility a { network 10.0.0.0/8; users x\n"
                                "  \"mode\"; }"));
}

static void
a_missing_brace_is_told_at_the_next_facility(void **state)
{
    (void) state;
    assert_errors("facility a {\n  network 10.0.0.0/8;\n"
                  "facility b {\n  network 11.0.0.1/8;\n}\n",
                  "f:1:1: error: the block of \"facility a\" is never closed: "
                  "add \"}\"\n"
                  "f:3:1: error: \"facility\" inside the facility of line 1: "
                  "is \"}\" missing before \"facility\"?\n"
                  "f:4:11: error: \"11.0.0.1/8\" has bits set beyond its "
                  "length: write \"11.0.0.0/8\"\n");
}

static void
blocks_have_one_name_and_braces(void **state)
{
    (void) state;
    assert_errors("facility;\nfacility { }\ngroup g;\ncalendar c d { }\n"
                  "timezone;\nfacilty x { }\nmode enforce;\nfoo;\ninclude;\n",
                  "f:1:1: error: \"facility\" has no { block }: write facility "
                  "aoba-clinic { ... }\n"
                  "f:2:1: error: \"facility\" has no name: write facility "
                  "aoba-clinic { ... }\n"
                  "f:3:1: error: \"group\" has no { block }: write group "
                  "radiologists { yamada; suzuki; }\n"
                  "f:4:1: error: \"calendar\" has more than one name: write "
                  "calendar jp { 2026-12-29..2027-01-03; 2027-01-11; }\n"
                  "f:4:10: warning: calendar \"c\" is not used: write \"closed "
                  "c;\" in a facility, or delete it\n"
                  "f:5:1: error: \"timezone\" takes one name: write timezone "
                  "Asia/Tokyo;\n"
                  "f:6:1: error: unknown directive \"facilty\": did you mean "
                  "\"facility\"? At the top stand timezone group calendar "
                  "facility include\n"
                  "f:7:1: error: \"mode\" outside of a facility: move it into "
                  "a \"facility ID { }\"; is a \"}\" too many above?\n"
                  "f:8:1: error: unknown directive \"foo\": at the top stand "
                  "timezone group calendar facility include\n"
                  "f:9:1: error: \"include\" takes one file: write include "
                  "FILE;\n");
}

static void
unknown_zones_come_with_a_suggestion(void **state)
{
    static const struct {
        const char *name;
        const char *told;
    } cases[] = {
        {"Asia/Tokio", "did you mean \"Asia/Tokyo\"?"},
        {"Asai/Tokyo", "did you mean \"Asia/Tokyo\"?"},
        {"asia/tokyo", "did you mean \"Asia/Tokyo\"?"},
        {"Tokyo", "did you mean \"Asia/Tokyo\"?"},
        {"JST", "did you mean \"Asia/Tokyo\"?"},
        {"utc", "did you mean \"UTC\"?"},
        {"Europe/Tokyo", "did you mean \"Asia/Tokyo\"?"},
        {"UTC+9", "write a name of the tz database, as Asia/Tokyo"},
        {"../x", "write a name of the tz database, as Asia/Tokyo"},
    };
    char text[128], told[256];

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void) snprintf(text, sizeof(text),
                        "timezone %s;\nfacility a { network 10.0.0.0/8; hours "
                        "daily 08:00-09:00; }\n",
                        cases[i].name);
        (void) snprintf(told, sizeof(told),
                        "f:1:10: error: unknown time zone \"%s\": %s\n",
                        cases[i].name, cases[i].told);
        assert_errors(text, told);
    }
}

/* ---- Files -------------------------------------------------------------- */

static void
write_file(const char *folder, const char *name, const char *text)
{
    char path[128];
    FILE *file;

    (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void
remove_files(const char *folder, const char *const *names, size_t count)
{
    char path[128];

    for (size_t i = 0; i < count; i++) {
        (void) snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void
includes_are_relative_to_their_file(void **state)
{
    static const char *const names[] = {"top.conf", "parts/a.conf",
                                        "parts/b.conf"};
    char folder[] = "/tmp/sekisho-language-XXXXXX";
    char path[128];
    report_t *report = report_new();
    policy_source_t *source;

    (void) state;
    assert_non_null(mkdtemp(folder));
    (void) snprintf(path, sizeof(path), "%s/parts", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(folder, "top.conf",
               "include parts/a.conf;\n"
               "facility top { network 10.0.0.0/8; }\n");
    write_file(folder, "parts/a.conf",
               "include b.conf;\nfacility a { network 11.0.0.0/8; }\n");
    write_file(folder, "parts/b.conf", "facility b { network 12.0.0.0/8; }\n");
    (void) snprintf(path, sizeof(path), "%s/top.conf", folder);
    source = policy_source_read_file(path, TEST_NOW, report);
    assert_non_null(source);
    assert_int_equal(report_warnings(report), 0);
    assert_int_equal(source->facilities_count, 3);
    assert_true(slice_is(source->facilities[0].id, "b"));
    assert_true(slice_is(source->facilities[1].id, "a"));
    assert_true(slice_is(source->facilities[2].id, "top"));
    policy_source_free(source);
    report_free(report);

    for (size_t i = 0; i < 3; i++) {
        (void) snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    (void) snprintf(path, sizeof(path), "%s/parts", folder);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void
includes_do_not_go_in_circles(void **state)
{
    static const char *const names[] = {"a", "b"};
    char folder[] = "/tmp/sekisho-language-XXXXXX";
    char path[64], told[512];
    report_t *report = report_new();
    char *messages;

    (void) state;
    assert_non_null(mkdtemp(folder));
    write_file(folder, "a", "include b;\ninclude c;\ninclude *.conf;\n");
    write_file(folder, "b", "\ninclude a;\n");
    (void) snprintf(path, sizeof(path), "%s/a", folder);
    assert_null(policy_source_read_file(path, TEST_NOW, report));
    messages = printed(report);
    (void) snprintf(told, sizeof(told),
                    "%s/b:2:9: error: \"%s/a\" includes itself in the end: "
                    "delete this include\n"
                    "%s/a:2:9: error: cannot read \"%s/c\": No such file or "
                    "directory\n"
                    "%s/a:3:9: error: \"%s/*.conf\" is a pattern: write an "
                    "include for each file\n",
                    folder, folder, folder, folder, folder, folder);
    assert_string_equal(messages, told);
    free(messages);
    remove_files(folder, names, 2);
}

static void
includes_have_a_depth(void **state)
{
    static const char *const names[] = {"0", "1", "2", "3", "4",
                                        "5", "6", "7", "8"};
    char folder[] = "/tmp/sekisho-language-XXXXXX";
    char path[64], text[32], told[256];
    report_t *report = report_new();
    char *messages;

    (void) state;
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 9; i++) {
        (void) snprintf(text, sizeof(text), "include %d;", i + 1);
        write_file(folder, names[i], text);
    }
    (void) snprintf(path, sizeof(path), "%s/0", folder);
    assert_null(policy_source_read_file(path, TEST_NOW, report));
    messages = printed(report);
    (void) snprintf(told, sizeof(told),
                    "%s/7:1:9: error: \"%s/8\" is included too deep: at most 8 "
                    "files inside each other\n",
                    folder, folder);
    assert_string_equal(messages, told);
    free(messages);
    remove_files(folder, names, 9);
}

static void
a_second_place_in_another_file_is_named_with_it(void **state)
{
    static const char *const names[] = {"a", "b"};
    char folder[] = "/tmp/sekisho-language-XXXXXX";
    char path[64], told[256];
    report_t *report = report_new();
    char *messages;

    (void) state;
    assert_non_null(mkdtemp(folder));
    write_file(folder, "a", "facility x { network 10.0.0.0/8; }\ninclude b;\n");
    write_file(folder, "b", "facility x { network 11.0.0.0/8; }\n");
    (void) snprintf(path, sizeof(path), "%s/a", folder);
    assert_null(policy_source_read_file(path, TEST_NOW, report));
    messages = printed(report);
    (void) snprintf(told, sizeof(told),
                    "%s/b:1:10: error: facility \"x\" is already given at "
                    "%s/a:1: rename or delete one of them\n",
                    folder, folder);
    assert_string_equal(messages, told);
    free(messages);
    remove_files(folder, names, 2);
}

static void
a_file_that_is_missing_is_an_error(void **state)
{
    report_t *report = report_new();
    char *messages;

    (void) state;
    assert_null(policy_source_read_file("/nonexistent.conf", TEST_NOW, report));
    messages = printed(report);
    assert_string_equal(messages, "/nonexistent.conf: error: cannot read "
                                  "\"/nonexistent.conf\": No such file or "
                                  "directory\n");
    free(messages);
}

UNIT_TESTS(cmocka_unit_test(reads_the_example_of_the_documentation),
           cmocka_unit_test(definitions_may_come_after_their_use),
           cmocka_unit_test(a_name_is_given_once),
           cmocka_unit_test(unknown_groups_and_calendars_are_errors),
           cmocka_unit_test(what_is_not_used_is_a_warning),
           cmocka_unit_test(a_policy_without_a_facility_is_a_warning),
           cmocka_unit_test(groups_hold_users_one_by_one),
           cmocka_unit_test(users_must_come_to_somebody),
           cmocka_unit_test(calendars_are_sorted_and_joined),
           cmocka_unit_test(days_are_checked),
           cmocka_unit_test(ids_have_a_shape),
           cmocka_unit_test(a_missing_semicolon_is_told_at_its_line),
           cmocka_unit_test(a_missing_brace_is_told_at_the_next_facility),
           cmocka_unit_test(blocks_have_one_name_and_braces),
           cmocka_unit_test(unknown_zones_come_with_a_suggestion),
           cmocka_unit_test(includes_are_relative_to_their_file),
           cmocka_unit_test(includes_do_not_go_in_circles),
           cmocka_unit_test(includes_have_a_depth),
           cmocka_unit_test(a_second_place_in_another_file_is_named_with_it),
           cmocka_unit_test(a_file_that_is_missing_is_an_error))
