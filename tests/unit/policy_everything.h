/* A small policy with something of everything, for tests of its image. */

#ifndef SEKISHO_TESTS_POLICY_EVERYTHING_H
#define SEKISHO_TESTS_POLICY_EVERYTHING_H

#include "policy_build.h"

static inline void
build_everything(build_t *build)
{
    static slice_t users[] = {SLICE("suzuki"), SLICE("tanaka"),
                              SLICE("yamada")};
    static char countries[][2] = {{'J', 'P'}, {'K', 'R'}};
    static address_t via[2];
    policy_source_facility_t *facility;
    char network[48];

    address_parse(SLICE("10.8.0.1"), &via[0]);
    address_parse(SLICE("2001:db8:ffff::1"), &via[1]);

    build_start(build);
    facility = build_facility(build, "aoba-clinic");
    facility->name = SLICE("Aoba Imaging Clinic");
    facility->contact = SLICE("IT desk, +81-3-0000-0000");
    facility->zone = SLICE("Asia/Tokyo");
    facility->device = POLICY_DEVICE_REQUIRED;
    facility->second_factor = true;
    facility->off_hours_factor = true;
    facility->idle_seconds = 900;
    facility->max_seconds = 28800;
    facility->valid_from = build_day("2026-04-01");
    facility->valid_to = build_day("2027-03-31");
    facility->services = POLICY_SERVICE_BIT(POLICY_SERVICE_WEB) |
                         POLICY_SERVICE_BIT(POLICY_SERVICE_SSH);
    facility->users = users;
    facility->users_count = 3;
    facility->has_users = true;
    facility->countries = countries;
    facility->countries_count = 2;
    facility->via = via;
    facility->via_count = 2;
    build_pin(build, facility, 0x11);
    build_authority(build, facility, 0xc1);
    build_network(build, facility, "203.0.113.0/28");
    build_network(build, facility, "2001:db8:10::/48");
    build_network(build, facility, "2001:db8:20:30::/64");
    build_network(build, facility, "2001:db8:20:30::1");
    build_network(build, facility, "2001:db8:20:31::/72");
    build_hours(build, facility, 0, 5, 480, 1140);
    build_hours(build, facility, 6, 1, 1320, 360);
    build_closed(build, facility, build_day("2026-12-29"),
                 build_day("2027-01-03"));
    build_closed(build, facility, build_day("2027-01-11"),
                 build_day("2027-01-11"));

    facility = build_facility(build, "zone-two");
    facility->zone = SLICE("Europe/Berlin");
    facility->dry_run = true;
    facility->device = POLICY_DEVICE_OPTIONAL;
    build_pin(build, facility, 0x22);
    build_network(build, facility, "203.0.113.0/28");
    build_network(build, facility, "0.0.0.0/3");
    /* Enough hosts for branches. */
    for (unsigned i = 0; i < 40; i++) {
        snprintf(network, sizeof(network), "198.51.100.%u", i * 5 + 3);
        build_network(build, facility, network);
        snprintf(network, sizeof(network), "2001:db8:77:%x::/64", i * 3);
        build_network(build, facility, network);
    }

    facility = build_facility(build, "home-readers");
    facility->any = true;
    facility->device = POLICY_DEVICE_REQUIRED;
    build_authority(build, facility, 0xc2);
    facility = build_facility(build, "away-readers");
    facility->any = true;
    facility->device = POLICY_DEVICE_REQUIRED;
    build_authority(build, facility, 0xc3);
    facility = build_facility(build, "reading-room");
    facility->local = true;
    facility->services = POLICY_SERVICE_BIT(POLICY_SERVICE_DESKTOP);
}

#endif
