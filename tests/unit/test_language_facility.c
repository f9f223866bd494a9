/* What stands inside a facility, but for its times and certificates. */

#define _GNU_SOURCE
#include "policy_text.h"

#include "../../lib/base/action.h"
#include "../../lib/policy/decide.h"

static void
defaults_are_those_of_the_documentation(void **state)
{
    policy_source_t *source = accepted("facility a { network 10.0.0.0/8; }\n");
    const policy_source_facility_t *facility = &source->facilities[0];

    (void) state;
    assert_int_equal(facility->device, POLICY_DEVICE_NONE);
    assert_int_equal(facility->services,
                     POLICY_SERVICE_BIT(POLICY_SERVICE_WEB) |
                         POLICY_SERVICE_BIT(POLICY_SERVICE_SSH) |
                         POLICY_SERVICE_BIT(POLICY_SERVICE_DESKTOP));
    assert_int_equal(facility->actions,
                     ACTION_BIT(ACTION_QUERY) | ACTION_BIT(ACTION_VIEW));
    assert_true(facility->second_factor);
    assert_false(facility->off_hours_factor);
    assert_false(facility->dry_run);
    assert_false(facility->has_hours);
    assert_false(facility->has_users);
    assert_int_equal(facility->idle_seconds, 0);
    assert_int_equal(facility->max_seconds, 0);
    assert_int_equal(facility->valid_from, INT32_MIN);
    assert_int_equal(facility->valid_to, INT32_MAX);
    assert_true(slice_is(facility->zone, "UTC"));
    assert_int_equal(facility->name.size, 0);
    policy_source_free(source);
}

static void
a_console_is_no_web_service_unless_said_so(void **state)
{
    policy_source_t *source = accepted(
        "facility a { network local; }\n"
        "facility b { network local; services web; }\n");

    (void) state;
    assert_true(source->facilities[0].local);
    assert_int_equal(source->facilities[0].services,
                     POLICY_SERVICE_BIT(POLICY_SERVICE_DESKTOP));
    assert_int_equal(source->facilities[1].services,
                     POLICY_SERVICE_BIT(POLICY_SERVICE_WEB));
    policy_source_free(source);
}

static void
several_lines_of_networks_add_up(void **state)
{
    policy_source_t *source = accepted("facility a {\n"
                                       "  network 10.0.0.0/8 192.0.2.1;\n"
                                       "  mode enforce;\n"
                                       "  network 2001:db8::/32\n"
                                       "    2001:db9::1;\n}\n");
    const policy_source_facility_t *facility = &source->facilities[0];

    (void) state;
    assert_int_equal(facility->networks_count, 4);
    assert_int_equal(facility->networks[1].prefix.bits, 32);
    assert_int_equal(facility->networks[3].prefix.bits, 128);
    assert_int_equal(facility->networks[3].place.line, 5);
    assert_int_equal(facility->networks[3].place.column, 5);
    policy_source_free(source);
}

static void
bad_networks_come_with_the_right_one(void **state)
{
    (void) state;
    assert_errors("facility a { network\n203.0.113.5/28\n2001:db8::1/32\n"
                  "203.0.113.0/255.255.255.240\n203.0.113.1-203.0.113.9\n"
                  "192.0.2.1,\npacs.example.com\n10.0.0.0/33\n010.0.0.1\n"
                  "203.0.113.0/255.0.255.0\n0.0.0.0/0\n::/0; }\n",
                  "f:2:1: error: \"203.0.113.5/28\" has bits set beyond its "
                  "length: write \"203.0.113.0/28\"\n"
                  "f:3:1: error: \"2001:db8::1/32\" has bits set beyond its "
                  "length: write \"2001:db8::/32\"\n"
                  "f:4:1: error: \"203.0.113.0/255.255.255.240\" is no "
                  "network: write its mask as a length, \"203.0.113.0/28\"\n"
                  "f:5:1: error: \"203.0.113.1-203.0.113.9\" is no network: "
                  "write prefixes, as 203.0.113.0/28, in the place of a "
                  "range\n"
                  "f:6:1: error: \"192.0.2.1,\" ends in a comma: separate "
                  "networks by spaces\n"
                  "f:7:1: error: \"pacs.example.com\" is no network: write an "
                  "address or a prefix, as 203.0.113.0/28 or "
                  "2001:db8:10::/48, not a host's name\n"
                  "f:8:1: error: \"10.0.0.0/33\" is no network: write an "
                  "address or a prefix, as 203.0.113.0/28 or "
                  "2001:db8:10::/48, not a host's name\n"
                  "f:9:1: error: \"010.0.0.1\" is no network: write an "
                  "address or a prefix, as 203.0.113.0/28 or "
                  "2001:db8:10::/48, not a host's name\n"
                  "f:10:1: error: \"203.0.113.0/255.0.255.0\" is no network: "
                  "write an address or a prefix, as 203.0.113.0/28 or "
                  "2001:db8:10::/48, not a host's name\n"
                  "f:11:1: error: \"0.0.0.0/0\" is everywhere: write "
                  "\"network any\", which asks for a client certificate\n"
                  "f:12:1: error: \"::/0\" is everywhere: write \"network "
                  "any\", which asks for a client certificate\n");
}

/* A dual-stack listener's form of IPv4 would never match. */
static void
mapped_networks_are_told_as_ipv4(void **state)
{
    (void) state;
    assert_errors("facility a { network\n::ffff:203.0.113.0/124\n"
                  "::ffff:203.0.113.7\n0:0:0:0:0:FFFF:cb00:7100/120\n"
                  "::ffff:0:0/96; }\n",
                  "f:2:1: error: \"::ffff:203.0.113.0/124\" is an IPv4 "
                  "network written as IPv6: write \"203.0.113.0/28\"\n"
                  "f:3:1: error: \"::ffff:203.0.113.7\" is an IPv4 network "
                  "written as IPv6: write \"203.0.113.7\"\n"
                  "f:4:1: error: \"0:0:0:0:0:FFFF:cb00:7100/120\" is an IPv4 "
                  "network written as IPv6: write \"203.0.113.0/24\"\n"
                  "f:5:1: error: \"::ffff:0:0/96\" is an IPv4 network written "
                  "as IPv6: write \"0.0.0.0/0\"\n");
}

static void
a_network_given_twice_is_a_warning_and_counts_once(void **state)
{
    report_t *report = report_new();
    policy_source_t *source;

    (void) state;
    source = policy_source_read_text(
        "f", SLICE("facility a { network 10.0.0.0/8; network 10.0.0.0/8; }\n"),
        TEST_NOW, report);
    assert_non_null(source);
    assert_int_equal(source->facilities[0].networks_count, 1);
    assert_string_equal(report_text(report, 0),
                        "\"10.0.0.0/8\" is given twice (line 1): delete one of "
                        "them");
    policy_source_free(source);
    report_free(report);
}

static void
a_facility_needs_a_network(void **state)
{
    (void) state;
    assert_errors("facility a { }\nfacility b { network; }\n",
                  "f:1:1: error: facility \"a\" has no network: add \"network "
                  "203.0.113.0/28;\", or any, or local\n"
                  "f:2:14: error: \"network\" has no value: write network "
                  "203.0.113.0/28, or any, or local;\n");
}

static void
any_and_local_stand_alone(void **state)
{
    (void) state;
    assert_errors("facility a { network local 10.0.0.0/8; }\n"
                  "facility b { network 10.0.0.0/8; network any;\n"
                  "  device required; certificate " PIN "; }\n",
                  "f:1:22: error: \"network local\" stands alone: delete the "
                  "other networks, or make two facilities\n"
                  "f:2:42: error: \"network any\" stands alone: delete the "
                  "other networks, or make two facilities\n");
}

static void
any_needs_a_certificate(void **state)
{
    (void) state;
    assert_errors("facility a { network any; }\n"
                  "facility b { network any; device optional;\n"
                  "  certificate " PIN "; }\n",
                  "f:1:22: error: \"network any\" without \"device "
                  "required\": add \"device required;\" and a \"certificate\" "
                  "or \"device-ca\"\n"
                  "f:2:22: error: \"network any\" without \"device "
                  "required\": add \"device required;\" and a \"certificate\" "
                  "or \"device-ca\"\n");
}

static void
device_and_certificates_go_together(void **state)
{
    (void) state;
    assert_errors("facility a { network 10.0.0.0/8; device required; }\n"
                  "facility b { network 10.0.0.0/8;\n  certificate " PIN "; }\n"
                  "facility c { network 10.0.0.0/8; device none;\n"
                  "  certificate " PIN "; }\n",
                  "f:1:41: error: \"device required\" without a certificate "
                  "to know it by: add \"certificate sha256:HEX;\" or "
                  "\"device-ca FILE.pem;\"\n"
                  "f:3:3: error: \"certificate\" without \"device\": add "
                  "\"device required;\" or \"device optional;\"\n"
                  "f:4:41: error: \"device none\" with \"certificate\" on "
                  "line 5: write required or optional, or delete the "
                  "\"certificate\"\n");
}

static void
unknown_directives_come_with_a_suggestion_and_the_list(void **state)
{
    (void) state;
    assert_errors("facility a { network 10.0.0.0/8; moed enforce; zzz; include "
                  "x; foo { } }\n",
                  "f:1:34: error: unknown directive \"moed\": did you mean "
                  "\"mode\"? A facility has name contact network via country "
                  "device certificate device-ca hours closed valid users "
                  "services actions second-factor off-hours session mode "
                  "timezone\n"
                  "f:1:48: error: unknown directive \"zzz\": a facility has "
                  "name contact network via country device certificate "
                  "device-ca hours closed valid users services actions "
                  "second-factor off-hours session mode timezone\n"
                  "f:1:53: error: \"include\" inside a facility: write it at "
                  "the top level\n"
                  "f:1:64: error: block \"foo\" inside a facility: is \"}\" "
                  "missing before it?\n");
}

static void
values_that_are_not_in_the_list_name_the_list(void **state)
{
    (void) state;
    assert_errors("facility a { network 10.0.0.0/8;\n"
                  "device yes;\nservices http;\nactions edit;\n"
                  "second-factor on;\noff-hours allow;\nmode test;\n}\n",
                  "f:2:8: error: \"yes\" is no value of \"device\": write "
                  "none, optional or required\n"
                  "f:3:10: error: \"http\" is no service: write any of web "
                  "ssh desktop\n"
                  "f:4:9: error: \"edit\" is no action: write any of query "
                  "view download store delete admin\n"
                  "f:5:15: error: \"on\" is no value of \"second-factor\": "
                  "write always or never\n"
                  "f:6:1: warning: \"off-hours\" without \"hours\" or "
                  "\"closed\" never counts: add hours, or delete the line\n"
                  "f:6:11: error: \"allow\" is no value of \"off-hours\": "
                  "write deny or second-factor\n"
                  "f:7:6: error: \"test\" is no value of \"mode\": write "
                  "enforce or dry-run\n");
}

static void
the_number_of_values_is_checked(void **state)
{
    (void) state;
    assert_errors("facility a { network 10.0.0.0/8;\n"
                  "name Aoba Imaging Clinic;\nmode;\ncontact x\n  y;\n"
                  "device none { }\n}\n",
                  "f:2:11: error: \"name\" has 3 values: write name \"Aoba "
                  "Imaging Clinic\";\n"
                  "f:3:1: error: \"mode\" has no value: write mode enforce or "
                  "dry-run;\n"
                  "f:4:1: error: \"contact\" has 2 values: is \";\" missing "
                  "at the end of line 4?\n"
                  "f:6:1: error: \"device\" takes no block: write device "
                  "none, optional or required;\n");
}

static void
single_directives_are_given_once(void **state)
{
    (void) state;
    assert_errors("facility a { network 10.0.0.0/8;\nmode enforce;\n"
                  "mode dry-run;\nactions view;\nactions store;\n}\n",
                  "f:3:1: error: \"mode\" is already given at line 2: delete "
                  "one of them\n"
                  "f:5:1: error: \"actions\" is already given at line 4: "
                  "delete one of them\n");
}

static void
texts_are_one_line_of_a_bounded_size(void **state)
{
    char text[512], told[512], name[POLICY_TEXT_SIZE_MAX + 2];

    (void) state;
    assert_errors("facility a { network 10.0.0.0/8; name \"\"; contact "
                  "\"a\\tb\"; }\n",
                  "f:1:39: error: \"name\" is empty: write a text, or delete "
                  "the line\n"
                  "f:1:51: error: \"a\\x09b\" has a control character: write "
                  "one line of text, and \\\\ for a backslash\n");
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    (void) snprintf(text, sizeof(text),
                    "facility a { network 10.0.0.0/8; name %s; }", name);
    (void) snprintf(told, sizeof(told),
                    "f:1:39: error: \"%.60s...\" has 257 bytes: \"name\" has "
                    "at most 256\n",
                    name);
    assert_errors(text, told);
    (void) snprintf(text, sizeof(text),
                    "facility a { network 10.0.0.0/8; name %s; }", name + 1);
    policy_source_free(accepted(text));
}

static void
users_are_names_and_groups(void **state)
{
    policy_source_t *source = accepted(
        "group g { b; a; b; }\n"
        "facility a { network 10.0.0.0/8; users c @g a \"CORP\\\\x\"; }\n"
        "facility b { network 11.0.0.0/8; users @g; }\n");
    const policy_source_facility_t *facility = &source->facilities[0];

    (void) state;
    assert_int_equal(facility->users_count, 4);
    assert_true(slice_is(facility->users[0], "CORP\\x"));
    assert_true(slice_is(facility->users[1], "a"));
    assert_true(slice_is(facility->users[3], "c"));
    assert_int_equal(source->facilities[1].users_count, 2);
    policy_source_free(source);

    assert_errors("facility a { network 10.0.0.0/8; users all;\n"
                  "  users tanaka, CORP\\tanaka; }\n",
                  "f:1:40: error: \"all\" would be a user of that name: leave "
                  "\"users\" out to admit everybody, or quote a real name\n"
                  "f:2:9: error: \"tanaka,\" ends in a comma: separate users "
                  "by spaces\n"
                  "f:2:17: error: user \"CORP\\x09anaka\" has a control "
                  "character: write \\\\ for a backslash\n");
}

static void
countries_are_iso_3166(void **state)
{
    policy_source_t *source = accepted(
        "facility a { network 203.0.113.0/28; country JP GB; }\n");

    (void) state;
    assert_int_equal(source->facilities[0].countries_count, 2);
    assert_memory_equal(source->facilities[0].countries[1], "GB", 2);
    policy_source_free(source);
    assert_errors("facility a { network 203.0.113.0/28;\n"
                  "country jp UK JPN ZZ; }\n",
                  "f:2:9: error: \"jp\" is no country code: write JP\n"
                  "f:2:12: error: \"UK\" is no country code: write GB\n"
                  "f:2:15: error: \"JPN\" is no country code: write two "
                  "capitals of ISO 3166, as JP\n"
                  "f:2:19: error: \"ZZ\" is no country code: write two "
                  "capitals of ISO 3166, as JP\n");
}

static void
a_country_of_private_networks_is_a_warning(void **state)
{
    static const char *const told =
        "f:1:%u: warning: \"country\" admits nobody here: no table knows the "
        "country of %s; delete the line\n";
    static const char *const networks[] = {
        "10.1.0.0/16", "172.31.255.0/24", "192.168.0.0/16",     "127.0.0.1",
        "169.254.1.1", "100.127.0.0/16",  "fd00::/8",           "fe80::/10",
        "::1",         "local",           "10.0.0.0/8 fc00::/7"};
    char text[128], expected[256];

    (void) state;
    for (size_t i = 0; i < sizeof(networks) / sizeof(networks[0]); i++) {
        (void) snprintf(text, sizeof(text),
                        "facility a { network %s; country JP; }\n",
                        networks[i]);
        (void) snprintf(expected, sizeof(expected), told,
                        (unsigned) (24 + strlen(networks[i])),
                        strcmp(networks[i], "local") == 0
                            ? "a console"
                            : "private addresses");
        assert_warnings(text, expected);
    }
    /* wider than what is private, or public beside it */
    assert_warnings("facility a { network 172.0.0.0/11; country JP; }\n", "");
    assert_warnings("facility a { network 10.0.0.0/8 8.8.8.8; country JP; }\n",
                    "");
}

static void
via_takes_addresses_of_this_host(void **state)
{
    (void) state;
    assert_errors("facility a { network 10.0.0.0/8; via 10.8.0.0/24 local; }\n"
                  "facility b { network local; via 10.8.0.1; }\n",
                  "f:1:38: error: \"10.8.0.0/24\" is no address: \"via\" "
                  "takes addresses of this host, as 10.8.0.1\n"
                  "f:1:50: error: \"local\" is no address: \"via\" takes "
                  "addresses of this host, as 10.8.0.1\n"
                  "f:2:29: error: \"via\" with \"network local\" admits "
                  "nobody: a console has no address; delete the line\n");
}

static void
sessions_have_limits(void **state)
{
    policy_source_t *source = accepted(
        "facility a { network 10.0.0.0/8; session max 2d; }\n"
        "facility b { network 11.0.0.0/8; session max 90m idle 30s; }\n");

    (void) state;
    assert_int_equal(source->facilities[0].idle_seconds, 0);
    assert_int_equal(source->facilities[0].max_seconds, 2 * 86400);
    assert_int_equal(source->facilities[1].idle_seconds, 30);
    assert_int_equal(source->facilities[1].max_seconds, 90 * 60);
    policy_source_free(source);
}

static void
bad_session_limits_are_errors(void **state)
{
    static const struct {
        const char *session;
        const char *told;
    } cases[] = {
        {"idle", "42: error: \"idle\" has no time: write session idle 15m max "
                 "8h"},
        {"15m", "42: error: \"15m\" is no limit of a session: write session "
                "idle 15m max 8h"},
        {"idle 1h30m", "47: error: \"1h30m\" is no time span: write one number "
                       "and s, m, h or d, as 90m"},
        {"idle 15", "47: error: \"15\" is no time span: write one number and "
                    "s, m, h or d, as 90m"},
        {"idle 0m", "47: error: \"0m\" is out of bounds: write 1s to 366d"},
        {"max 367d", "46: error: \"367d\" is out of bounds: write 1s to 366d"},
        {"max 999999999d", "46: error: \"999999999d\" is out of bounds: write "
                           "1s to 366d"},
        {"max 9999999999d", "46: error: \"9999999999d\" is no time span: write "
                            "one number and s, m, h or d, as 90m"},
        {"max 1h max 2h", "49: error: \"max\" is given twice: delete one of "
                          "them"},
        {"max 2h idle 1h x", "57: error: \"session\" has 5 values: write "
                             "session idle 15m max 8h;"},
    };
    char text[128], told[256];

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void) snprintf(text, sizeof(text),
                        "facility a { network 10.0.0.0/8; session %s; }",
                        cases[i].session);
        (void) snprintf(told, sizeof(told), "f:1:%s\n", cases[i].told);
        assert_errors(text, told);
    }
    assert_warnings("facility a { network 10.0.0.0/8; session max 1h idle 2h; "
                    "}",
                    "f:1:34: warning: \"idle\" is longer than \"max\" and "
                    "never counts: write a shorter one\n");
}

static void
lists_have_a_bound(void **state)
{
    char *text = malloc(400000);
    size_t size = 0;
    report_t *report = report_new();

    (void) state;
    assert_non_null(text);
    size += (size_t) sprintf(text, "facility a { network 10.0.0.0/8; users");
    for (int i = 0; i <= POLICY_LIST_MAX; i++) {
        memcpy(text + size, " x", 2);
        size += 2;
    }
    size += (size_t) sprintf(text + size, "; }");
    assert_null(
        policy_source_read_text("f", (slice_t){text, size}, TEST_NOW, report));
    assert_string_equal(report_text(report, 0),
                        "\"users\" has 65536 values: at most 65535 in a "
                        "facility");
    report_free(report);
    free(text);
}

static void
all_networks_together_have_a_bound(void **state)
{
    const size_t count = POLICY_NETWORKS_MAX + 1;
    char *text = malloc(count * 4 + 64);
    size_t size = 0;
    report_t *report = report_new();

    (void) state;
    assert_non_null(text);
    size += (size_t) sprintf(text, "facility a { network");
    for (size_t i = 0; i < count; i++) {
        memcpy(text + size, " ::1", 4);
        size += 4;
    }
    size += (size_t) sprintf(text + size, "; }");
    assert_null(
        policy_source_read_text("f", (slice_t){text, size}, TEST_NOW, report));
    assert_string_equal(report_text(report, 0),
                        "too many networks: at most 4000000 in all");
    report_free(report);
    free(text);
}

UNIT_TESTS(
    cmocka_unit_test(defaults_are_those_of_the_documentation),
    cmocka_unit_test(a_console_is_no_web_service_unless_said_so),
    cmocka_unit_test(several_lines_of_networks_add_up),
    cmocka_unit_test(bad_networks_come_with_the_right_one),
    cmocka_unit_test(mapped_networks_are_told_as_ipv4),
    cmocka_unit_test(a_network_given_twice_is_a_warning_and_counts_once),
    cmocka_unit_test(a_facility_needs_a_network),
    cmocka_unit_test(any_and_local_stand_alone),
    cmocka_unit_test(any_needs_a_certificate),
    cmocka_unit_test(device_and_certificates_go_together),
    cmocka_unit_test(unknown_directives_come_with_a_suggestion_and_the_list),
    cmocka_unit_test(values_that_are_not_in_the_list_name_the_list),
    cmocka_unit_test(the_number_of_values_is_checked),
    cmocka_unit_test(single_directives_are_given_once),
    cmocka_unit_test(texts_are_one_line_of_a_bounded_size),
    cmocka_unit_test(users_are_names_and_groups),
    cmocka_unit_test(countries_are_iso_3166),
    cmocka_unit_test(a_country_of_private_networks_is_a_warning),
    cmocka_unit_test(via_takes_addresses_of_this_host),
    cmocka_unit_test(sessions_have_limits),
    cmocka_unit_test(bad_session_limits_are_errors),
    cmocka_unit_test(lists_have_a_bound),
    cmocka_unit_test(all_networks_together_have_a_bound))
