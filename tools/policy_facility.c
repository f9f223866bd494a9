/* A whole facility, as policy text that compiles to itself, and as JSON. */

#include "policy_tools.h"

#include "../lib/base/clock.h"


/*
 * A word of the language: in quotes, which any text may stand in.  Control
 * characters stand in none; of an image made by hand they become "?".
 */
static void
write_quoted(FILE *out, slice_t text)
{
    fputc('"', out);
    while (text.size > 0) {
        bool safe;
        size_t size = character_size(text, &safe);

        if (text.data[0] == '"' || text.data[0] == '\\') {
            fputc('\\', out);
        }
        if (safe) {
            fwrite(text.data, 1, size, out);
        } else {
            fputc('?', out);
        }
        text = slice_from(text, size);
    }
    fputc('"', out);
}


static void
write_line(FILE *out, const char *directive)
{
    fprintf(out, "    %-13s ", directive);
}


static void
write_networks(FILE *out, const policy_image_t *image, uint32_t index,
               const policy_facility_t *facility)
{
    if (facility->any) {
        write_line(out, "network");
        fputs("any;\n", out);
    }
    if (facility->local) {
        write_line(out, "network");
        fputs("local;\n", out);
    }
    for (uint32_t i = 0; i < facility->networks_count; i++) {
        char text[PREFIX_TEXT_MAX];
        prefix_t prefix;

        if (policy_facility_network(image, index, i, &prefix)) {
            prefix_format(&prefix, text);
            write_line(out, "network");
            fprintf(out, "%s;\n", text);
        }
    }
}


static void
write_devices(FILE *out, const policy_image_t *image, uint32_t index,
              const policy_facility_t *facility)
{
    char text[FINGERPRINT_TEXT_MAX];
    uint8_t sha256[POLICY_SHA256_BYTES];

    write_line(out, "device");
    fprintf(out, "%s;\n", device_name(facility->device));
    for (uint32_t i = 0; i < facility->pins_count; i++) {
        if (policy_facility_pin(image, index, i, sha256)) {
            fingerprint_format(sha256, text);
            write_line(out, "certificate");
            fprintf(out, "%s;\n", text);
        }
    }
    for (uint32_t i = 0; i < facility->authorities_count; i++) {
        if (policy_facility_authority(image, index, i, sha256)) {
            fingerprint_format(sha256, text);
            write_line(out, "device-ca");
            fprintf(out, "%s;\n", text);
        }
    }
}


static void
write_session(FILE *out, const policy_facility_t *facility)
{
    if (facility->idle_seconds == 0 && facility->max_seconds == 0) {
        return;
    }
    write_line(out, "session");
    if (facility->idle_seconds != 0) {
        fputs("idle ", out);
        write_duration(out, facility->idle_seconds);
    }
    if (facility->max_seconds != 0) {
        fputs(facility->idle_seconds != 0 ? " max " : "max ", out);
        write_duration(out, facility->max_seconds);
    }
    fputs(";\n", out);
}


static void
write_via(FILE *out, const policy_image_t *image, uint32_t index,
          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char text[ADDRESS_TEXT_MAX];
        address_t address;

        if (policy_facility_via(image, index, i, &address)) {
            address_format(&address, text);
            write_line(out, "via");
            fprintf(out, "%s;\n", text);
        }
    }
}


static void
write_countries(FILE *out, const policy_image_t *image, uint32_t index,
                uint32_t count)
{
    if (count == 0) {
        return;
    }
    write_line(out, "country");
    for (uint32_t i = 0; i < count; i++) {
        char code[2];

        if (policy_facility_country(image, index, i, code)) {
            fprintf(out, "%s%.2s", i == 0 ? "" : " ", code);
        }
    }
    fputs(";\n", out);
}


static void
write_times(FILE *out, const policy_image_t *image, uint32_t index,
            const policy_facility_t *facility)
{
    if (facility->has_hours) {
        write_line(out, "hours");
        write_hours(out, image, index);
        fputs(";\n", out);
    }
    for (uint32_t i = 0; i < facility->closed_count; i++) {
        int32_t first, last;

        if (policy_facility_closed(image, index, i, &first, &last)) {
            write_line(out, "closed");
            write_days(out, first, last);
            fputs(";\n", out);
        }
    }
    if (facility->valid_from != INT32_MIN || facility->valid_to != INT32_MAX) {
        write_line(out, "valid");
        write_valid(out, facility->valid_from, facility->valid_to);
        fputs(";\n", out);
    }
}


void
write_facility(FILE *out, const policy_image_t *image, uint32_t index)
{
    policy_facility_t facility;

    if (!policy_facility(image, index, &facility)) {
        return;
    }
    fprintf(out, "facility %.*s {\n", SLICE_ARG(facility.id));
    if (facility.name.size > 0) {
        write_line(out, "name");
        write_quoted(out, facility.name);
        fputs(";\n", out);
    }
    if (facility.contact.size > 0) {
        write_line(out, "contact");
        write_quoted(out, facility.contact);
        fputs(";\n", out);
    }
    write_line(out, "timezone");
    fprintf(out, "%.*s;\n", SLICE_ARG(facility.zone));
    write_networks(out, image, index, &facility);
    write_via(out, image, index, facility.via_count);
    write_countries(out, image, index, facility.countries_count);
    write_devices(out, image, index, &facility);
    write_times(out, image, index, &facility);
    for (uint32_t i = 0; i < facility.users_count; i++) {
        slice_t user;

        if (policy_facility_user(image, index, i, &user)) {
            write_line(out, "users");
            write_quoted(out, user);
            fputs(";\n", out);
        }
    }
    if ((facility.services & ALL_SERVICES) != ALL_SERVICES) {
        write_line(out, "services");
        write_services(out, facility.services);
        fputs(";\n", out);
    }
    write_line(out, "actions");
    write_actions(out, facility.actions);
    fputs(";\n", out);
    write_line(out, "second-factor");
    fputs(facility.second_factor ? "always;\n" : "never;\n", out);
    write_line(out, "off-hours");
    fputs(facility.off_hours_factor ? "second-factor;\n" : "deny;\n", out);
    write_session(out, &facility);
    write_line(out, "mode");
    fputs(facility.dry_run ? "dry-run;\n}\n" : "enforce;\n}\n", out);
}


/* ---- JSON --------------------------------------------------------------- */

static void
json_day(json_t *json, const char *name, int32_t day)
{
    char text[CLOCK_TEXT_MAX];

    if (day == INT32_MIN || day == INT32_MAX) {
        json_null(json, name);
        return;
    }
    clock_format_day(day, text);
    json_string(json, name, text);
}


static void
json_networks(json_t *json, const policy_image_t *image, uint32_t index,
              const policy_facility_t *facility)
{
    json_array(json, "networks");
    if (facility->any) {
        json_string(json, NULL, "any");
    }
    if (facility->local) {
        json_string(json, NULL, "local");
    }
    for (uint32_t i = 0; i < facility->networks_count; i++) {
        char text[PREFIX_TEXT_MAX];
        prefix_t prefix;

        if (policy_facility_network(image, index, i, &prefix)) {
            prefix_format(&prefix, text);
            json_string(json, NULL, text);
        }
    }
    json_end_array(json);
    json_array(json, "via");
    for (uint32_t i = 0; i < facility->via_count; i++) {
        char text[ADDRESS_TEXT_MAX];
        address_t address;

        if (policy_facility_via(image, index, i, &address)) {
            address_format(&address, text);
            json_string(json, NULL, text);
        }
    }
    json_end_array(json);
    json_array(json, "countries");
    for (uint32_t i = 0; i < facility->countries_count; i++) {
        char code[2];

        if (policy_facility_country(image, index, i, code)) {
            json_text(json, NULL, (slice_t){code, 2});
        }
    }
    json_end_array(json);
}


static void
json_fingerprints(json_t *json, const char *name, const policy_image_t *image,
                  uint32_t index, uint32_t count,
                  bool (*get)(const policy_image_t *, uint32_t, uint32_t,
                              uint8_t[32]))
{
    json_array(json, name);
    for (uint32_t i = 0; i < count; i++) {
        char text[FINGERPRINT_TEXT_MAX];
        uint8_t sha256[POLICY_SHA256_BYTES];

        if (get(image, index, i, sha256)) {
            fingerprint_format(sha256, text);
            json_string(json, NULL, text);
        }
    }
    json_end_array(json);
}


static void
json_times(json_t *json, const policy_image_t *image, uint32_t index,
           const policy_facility_t *facility)
{
    text_t text;

    if (!facility->has_hours) {
        json_null(json, "hours");
    } else if (text_open(&text) == 0) {
        write_hours(text_begin(&text), image, index);
        json_text(json, "hours", text_end(&text));
        text_close(&text);
    } else {
        json->failed = true;
    }
    json_array(json, "closed");
    for (uint32_t i = 0; i < facility->closed_count; i++) {
        int32_t first, last;

        if (policy_facility_closed(image, index, i, &first, &last)) {
            json_object(json, NULL);
            json_day(json, "first", first);
            json_day(json, "last", last);
            json_end_object(json);
        }
    }
    json_end_array(json);
    json_object(json, "valid");
    json_day(json, "from", facility->valid_from);
    json_day(json, "to", facility->valid_to);
    json_end_object(json);
}


static void
json_people(json_t *json, const policy_image_t *image, uint32_t index,
            const policy_facility_t *facility)
{
    if (!facility->has_users) {
        json_null(json, "users");
    } else {
        json_array(json, "users");
        for (uint32_t i = 0; i < facility->users_count; i++) {
            slice_t user;

            if (policy_facility_user(image, index, i, &user)) {
                json_text(json, NULL, user);
            }
        }
        json_end_array(json);
    }
    json_array(json, "services");
    for (policy_service_t s = POLICY_SERVICE_WEB; s < POLICY_SERVICE_COUNT; s++)
    {
        if (facility->services & POLICY_SERVICE_BIT(s)) {
            json_string(json, NULL, policy_service_name(s));
        }
    }
    json_end_array(json);
    json_array(json, "actions");
    for (action_t action = ACTION_QUERY; action < ACTION_COUNT; action++) {
        if (facility->actions & ACTION_BIT(action)) {
            json_string(json, NULL, action_name(action));
        }
    }
    json_end_array(json);
}


void
facility_json(json_t *json, const char *name, const policy_image_t *image,
              uint32_t index)
{
    policy_facility_t facility;

    if (!policy_facility(image, index, &facility)) {
        json_null(json, name);
        return;
    }
    json_object(json, name);
    json_text(json, "id", facility.id);
    json_text(json, "name", facility.name);
    json_text(json, "contact", facility.contact);
    json_text(json, "timezone", facility.zone);
    json_networks(json, image, index, &facility);
    json_string(json, "device", device_name(facility.device));
    json_fingerprints(json, "certificates", image, index, facility.pins_count,
                      policy_facility_pin);
    json_fingerprints(json, "authorities", image, index,
                      facility.authorities_count, policy_facility_authority);
    json_times(json, image, index, &facility);
    json_people(json, image, index, &facility);
    json_string(json, "second_factor",
                facility.second_factor ? "always" : "never");
    json_string(json, "off_hours",
                facility.off_hours_factor ? "second-factor" : "deny");
    json_object(json, "session");
    json_int(json, "idle_seconds", facility.idle_seconds);
    json_int(json, "max_seconds", facility.max_seconds);
    json_end_object(json);
    json_string(json, "mode", facility.dry_run ? "dry-run" : "enforce");
    json_end_object(json);
}
