#include "language_facility.h"

static void
read_fingerprints(facility_reader_t *facility, facility_directive_t which,
                  policy_fingerprint_t **list, size_t *list_count)
{
    language_t *language = facility->language;
    facility_value_t value = {0};
    void *items = NULL;
    size_t count = 0, capacity = 0;
    policy_fingerprint_t *grown;

    if (!facility_reset_seen(facility, facility->values[which])) {
        return;
    }
    while (facility_next(facility, which, &value)) {
        const uint8_t(*sha256)[32] = NULL;
        size_t found = 0;

        if (!(which == FACILITY_CERTIFICATE
                  ? language_certificate(language, value.line, value.word,
                                         &sha256, &found)
                  : language_authority(language, value.line, value.word,
                                       &sha256, &found)))
        {
            continue;
        }
        if (count + found > POLICY_LIST_MAX) {
            LANGUAGE_ERROR(language, facility_place(&value),
                           "too many of \"%s\": at most %u in a facility",
                           facility_rules[which].name, POLICY_LIST_MAX);
            return;
        }
        if (count + found > capacity) {
            capacity = (count + found) * 2 + facility->values[which];
            grown = language_array(language, capacity, sizeof(*grown));
            if (grown == NULL) {
                return;
            }
            if (count > 0) {
                memcpy(grown, items, count * sizeof(*grown));
            }
            items = grown;
        }
        for (size_t i = 0; i < found; i++) {
            policy_fingerprint_t *item = (policy_fingerprint_t *) items + count;

            if (!facility_is_first(
                    facility,
                    (slice_t){(const char *) sha256[i], sizeof(sha256[i])},
                    &value))
            {
                continue;
            }
            memcpy(item->sha256, sha256[i], sizeof(item->sha256));
            item->place = facility_place(&value);
            count++;
        }
    }
    *list = items;
    *list_count = count;
}

void
facility_read_device(facility_reader_t *facility)
{
    static const facility_choice_t choices[] = {
        {"none", POLICY_DEVICE_NONE},
        {"optional", POLICY_DEVICE_OPTIONAL},
        {"required", POLICY_DEVICE_REQUIRED}};
    language_t *language = facility->language;
    policy_source_facility_t *out = facility->out;
    facility_directive_t given = facility->lines[FACILITY_CERTIFICATE] > 0
                                     ? FACILITY_CERTIFICATE
                                     : FACILITY_DEVICE_CA;
    bool has_given = facility->lines[given] > 0;
    const conf_directive_t *line = facility->first[FACILITY_DEVICE];

    out->device = (policy_device_t) facility_choice(
        facility, FACILITY_DEVICE, choices, 3, POLICY_DEVICE_NONE);
    if (facility->values[FACILITY_CERTIFICATE] > 0) {
        read_fingerprints(facility, FACILITY_CERTIFICATE, &out->pins,
                          &out->pins_count);
    }
    if (facility->values[FACILITY_DEVICE_CA] > 0) {
        read_fingerprints(facility, FACILITY_DEVICE_CA, &out->authorities,
                          &out->authorities_count);
    }
    if (line == NULL && has_given && !out->any) {
        LANGUAGE_ERROR(language, conf_place(facility->first[given], 0),
                       "\"%s\" without \"device\": add \"device required;\" "
                       "or \"device optional;\"",
                       facility_rules[given].name);
    } else if (line != NULL && line->words_count == 2 && has_given &&
               slice_is(line->words[1].text, "none"))
    {
        LANGUAGE_ERROR(language, conf_place(line, 1),
                       "\"device none\" with \"%s\" on line %u: write "
                       "required or optional, or delete the \"%s\"",
                       facility_rules[given].name,
                       conf_place(facility->first[given], 0).line,
                       facility_rules[given].name);
    } else if (out->device != POLICY_DEVICE_NONE && !has_given) {
        LANGUAGE_ERROR(language, conf_place(line, 1),
                       "\"device %.*s\" without a certificate to know it by: "
                       "add \"certificate sha256:HEX;\" or \"device-ca "
                       "FILE.pem;\"",
                       SLICE_ARG(line->words[1].text));
    }
    if (out->any && out->device != POLICY_DEVICE_REQUIRED) {
        LANGUAGE_ERROR(language,
                       conf_place(facility->wide, facility->wide_word),
                       "\"network any\" without \"device required\": add "
                       "\"device required;\" and a \"certificate\" or "
                       "\"device-ca\"");
    }
}
