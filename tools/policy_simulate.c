/*
 * `sekisho policy simulate`: which entries of the past a policy would have
 * refused.  The records tell most of what policy_decide() asks about; what they
 * do not tell is taken once as it would be refused and once as it would be let
 * in, and where that makes the difference the answer is "cannot be told".
 */

#define _GNU_SOURCE
#include <errno.h>
#include <search.h>
#include <stdlib.h>

#include "../lib/base/clock.h"
#include "audit_tools.h"
#include "policy_tools.h"

/* Records are in the order of their arrival; their times are the front ends'. */
#define DISORDER_SECONDS 10

#define AUTHORITIES_MAX 256
#define PROGRESS_STEP   65536 /* entries */

/* What a record does not hold; bits. */
enum {
    UNKNOWN_CHAIN = 1,   /* who issued the terminal's certificate */
    UNKNOWN_COUNTRY = 2, /* of the address, then */
    UNKNOWN_INGRESS = 4  /* the local address at which it arrived */
};

typedef enum { RESULT_ALLOWED = 1, RESULT_REFUSED, RESULT_UNKNOWN } result_t;

typedef struct {
    char *facility; /* as the record names it */
    char *user;
    char reason[64]; /* why, or what cannot be told */
    result_t result;
    uint64_t count;
    uint64_t first, last; /* entries */
} group_t;

typedef struct {
    const arguments_t *arguments;
    const char *command;
    policy_image_t *image;
    geoip_t *geoip;
    uint8_t (*authorities)[32]; /* of all facilities, each once */
    size_t authorities_count;
    bool list;
    int64_t from, to; /* Unix seconds; to is exclusive */
    uint64_t entries, refused, unknown, factor;
    void *groups; /* tsearch() */
    bool as_json;
    json_t json;
} simulation_t;


/* ---- One entry ----------------------------------------------------------- */

static int
digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}


/* The leaf alone: its dates are taken to be good, as they were then. */
static bool
take_certificate(slice_t hex, policy_certificate_t *certificate)
{
    memset(certificate, 0, sizeof(*certificate));
    if (hex.size != 2 * sizeof(certificate->sha256)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(certificate->sha256); i++) {
        int high = digit(hex.data[2 * i]), low = digit(hex.data[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        certificate->sha256[i] = (uint8_t) (high << 4 | low);
    }
    certificate->not_before = INT64_MIN;
    certificate->not_after = INT64_MAX;
    return true;
}


/* False for what was no entry, or cannot be read. */
static bool
take_request(const record_t *record, policy_request_t *request)
{
    const slice_t *values = record->values;
    slice_t event = values[RECORD_EVENT];
    bool local;

    memset(request, 0, sizeof(*request));
    if ((!slice_is(event, "access") && !slice_is(event, "request") &&
         !slice_is(event, "session")) ||
        !slice_is(values[RECORD_OUTCOME], "0") ||
        !address_parse(values[RECORD_ADDRESS], &request->address) ||
        !clock_parse(values[RECORD_TIME], &request->now, &local))
    {
        return false;
    }
    request->service = values[RECORD_SERVICE].size == 0
                           ? POLICY_SERVICE_WEB
                           : policy_service_parse(values[RECORD_SERVICE]);
    if (request->service == POLICY_SERVICE_NONE) {
        return false;
    }
    request->action = request->service == POLICY_SERVICE_WEB
                          ? action_parse(values[RECORD_ACTION])
                          : ACTION_NONE;
    /* without TLS it was let in as the web server's configuration said */
    request->transport = values[RECORD_TLS].size == 0 &&
                                 request->service == POLICY_SERVICE_WEB
                             ? POLICY_TRANSPORT_WAIVED
                             : POLICY_TRANSPORT_ENCRYPTED;
    request->user = values[RECORD_USER];
    request->user_state = request->user.size == 0 ? POLICY_USER_UNKNOWN
                                                  : POLICY_USER_NAMED;
    request->factor = POLICY_FACTOR_LATER; /* it would be asked for */
    return true;
}


/* The reason, "ok" among them, also where it is not enforced yet. */
static policy_reason_t
decide(const simulation_t *simulation, const policy_request_t *request,
       policy_decision_t *decision)
{
    policy_decide(simulation->image, request, decision, NULL);
    return decision->dry_run_reason != POLICY_REASON_NONE
               ? decision->dry_run_reason
               : decision->reason;
}


static bool
country_assumed(void *context, const address_t *address, char code[2])
{
    (void) address;
    memcpy(code, context, 2);
    return true;
}


/* Tries the certificate as issued by each authority that the policy has. */
static bool
assume_chain(const simulation_t *simulation, const policy_request_t *request,
             policy_certificate_t *certificate, policy_reason_t *reason)
{
    policy_decision_t decision;
    bool found = false;

    for (size_t i = 0; i < simulation->authorities_count; i++) {
        policy_certificate_t tried = *certificate;
        policy_request_t asked = *request;
        policy_reason_t other;

        tried.verified = true;
        tried.chain_count = 1;
        memcpy(tried.chain_sha256[0], simulation->authorities[i], 32);
        asked.certificate = &tried;
        other = decide(simulation, &asked, &decision);
        if (other != *reason && (!found || other == POLICY_OK)) {
            *certificate = tried;
            *reason = other;
            found = true;
            if (other == POLICY_OK) {
                break;
            }
        }
    }
    return found;
}


/* What the record does not tell is assumed in favour, one after the other. */
static result_t
simulate_one(const simulation_t *simulation, const record_t *record,
             const policy_request_t *told, policy_decision_t *decision,
             policy_reason_t *reason, unsigned *unknown)
{
    policy_request_t asked = *told, *request = &asked;
    policy_certificate_t certificate;
    char country[2];

    if (take_certificate(record->values[RECORD_CERTIFICATE], &certificate)) {
        request->certificate = &certificate;
    }
    if (simulation->geoip != NULL) {
        request->country = geoip_country;
        request->country_context = simulation->geoip;
    }
    *unknown = 0;
    *reason = decide(simulation, request, decision);
    for (;;) {
        if (*reason == POLICY_WRONG_INGRESS &&
            (*unknown & UNKNOWN_INGRESS) == 0 &&
            policy_facility_via(simulation->image, decision->facility, 0,
                                &request->local))
        {
            *unknown |= UNKNOWN_INGRESS;
        } else if (*reason == POLICY_WRONG_COUNTRY &&
                   simulation->geoip == NULL &&
                   (*unknown & UNKNOWN_COUNTRY) == 0 &&
                   policy_facility_country(simulation->image,
                                           decision->facility, 0, country))
        {
            *unknown |= UNKNOWN_COUNTRY;
            request->country = country_assumed;
            request->country_context = country;
        } else if (*reason == POLICY_DEVICE_UNKNOWN &&
                   (*unknown & UNKNOWN_CHAIN) == 0 &&
                   request->certificate != NULL &&
                   assume_chain(simulation, request, &certificate, reason))
        {
            *unknown |= UNKNOWN_CHAIN;
        } else {
            break;
        }
        *reason = decide(simulation, request, decision);
    }
    if (*reason != POLICY_OK) {
        return RESULT_REFUSED;
    }
    return *unknown != 0 ? RESULT_UNKNOWN : RESULT_ALLOWED;
}


/* ---- Groups -------------------------------------------------------------- */

static int
group_compare(const void *a, const void *b)
{
    const group_t *x = a, *y = b;
    int order = (int) x->result - (int) y->result;

    order = order != 0 ? order : strcmp(x->facility, y->facility);
    order = order != 0 ? order : strcmp(x->user, y->user);
    return order != 0 ? order : strcmp(x->reason, y->reason);
}


static void
group_free(void *pointer)
{
    group_t *group = pointer;

    if (group != NULL) {
        free(group->facility);
        free(group->user);
        free(group);
    }
}


static char *
copy_of(slice_t text)
{
    return text.size == 0 ? strdup("") : strndup(text.data, text.size);
}


static int
group_count(simulation_t *simulation, const group_t *like, uint64_t index)
{
    group_t *group = calloc(1, sizeof(*group)), *const * found;

    if (group == NULL) {
        return -ENOMEM;
    }
    *group = *like;
    group->facility = strdup(like->facility);
    group->user = strdup(like->user);
    found = group->facility == NULL || group->user == NULL
                ? NULL
                : tsearch(group, &simulation->groups, group_compare);
    if (found == NULL) {
        group_free(group);
        return -ENOMEM;
    }
    if (*found != group) {
        group_free(group);
    } else {
        group->first = index;
    }
    (*found)->count++;
    (*found)->last = index;
    return 0;
}


static void
reason_text(result_t result, const policy_decision_t *decision,
            policy_reason_t reason, unsigned unknown, char text[64])
{
    if (result == RESULT_UNKNOWN) {
        (void) snprintf(text, 64, "%s%s%s",
                        (unknown & UNKNOWN_INGRESS) != 0 ? "ingress " : "",
                        (unknown & UNKNOWN_CHAIN) != 0 ? "certificate-chain "
                                                       : "",
                        (unknown & UNKNOWN_COUNTRY) != 0 ? "country " : "");
        text[strlen(text) - 1] = '\0';
    } else {
        (void) snprintf(
            text, 64, "%s%s", policy_reason_name(reason),
            decision->dry_run_reason != POLICY_REASON_NONE ? " (dry-run)" : "");
    }
}


static void
print_entry(const record_t *record, uint64_t index, const group_t *group)
{
    char time[64];
    size_t size = local_time(record->values[RECORD_TIME], time);

    printf("#%llu  ", (unsigned long long) index);
    print_safe(stdout, (slice_t){time, size});
    fputs("  ", stdout);
    print_padded(stdout, slice_of(group->facility), 16);
    fputs("  ", stdout);
    print_padded(stdout, slice_of(group->user), 12);
    printf("  %s%s\n",
           group->result == RESULT_UNKNOWN ? "cannot be told: " : "",
           group->reason);
}


static int
take_entry(simulation_t *simulation, uint64_t index, const record_t *record)
{
    policy_request_t request;
    policy_decision_t decision;
    policy_reason_t reason;
    group_t group = {0};
    unsigned unknown;
    int error;

    if (!take_request(record, &request) || request.now < simulation->from ||
        request.now >= simulation->to)
    {
        return 0;
    }
    simulation->entries++;
    group.result = simulate_one(simulation, record, &request, &decision,
                                &reason, &unknown);
    if (group.result == RESULT_ALLOWED) {
        simulation->factor += decision.obligations.factor_fresh ? 1 : 0;
        return 0;
    }
    simulation->refused += group.result == RESULT_REFUSED ? 1 : 0;
    simulation->unknown += group.result == RESULT_UNKNOWN ? 1 : 0;
    reason_text(group.result, &decision, reason, unknown, group.reason);
    group.facility = copy_of(record->values[RECORD_FACILITY]);
    group.user = copy_of(record->values[RECORD_USER]);
    error = group.facility == NULL || group.user == NULL
                ? -ENOMEM
                : group_count(simulation, &group, index);
    if (error == 0 && simulation->list) {
        print_entry(record, index, &group);
    }
    free(group.facility);
    free(group.user);
    return error;
}


/* ---- All entries --------------------------------------------------------- */

static int
scan_all(simulation_t *simulation, trail_reader_t *reader)
{
    _cleanup_(cleanup_scan) trail_scan_t *scan = NULL;
    _cleanup_(cleanup_free) char *buffer = malloc(TRAIL_ENTRY_MAX);
    uint64_t size = trail_reader_checkpoint(reader)->size, from = 0, index;
    progress_t progress;
    record_t record;
    slice_t entry;
    int error = 0, result = buffer == NULL ? -ENOMEM : 0;

    if (result == 0) {
        result = entries_find_time(reader, size,
                                   simulation->from - DISORDER_SECONDS, &from);
        from = result == 0 ? from : 0;
    }
    if (result >= 0) {
        result = trail_scan_open(reader, from, &scan);
    }
    progress_begin(&progress, "simulated");
    while (error == 0 && result >= 0 &&
           (result = trail_scan_next(scan, &index, &entry)) == 1)
    {
        if (index % PROGRESS_STEP == 0) {
            progress_tell(&progress, index - from,
                          size > from ? size - from : 1);
        }
        if (record_parse(entry, &record, buffer)) {
            error = take_entry(simulation, index, &record);
        }
    }
    progress_end(&progress);
    if (error < 0 || result == -ENOMEM) {
        return fail(simulation->command, "out of memory");
    }
    return result < 0
               ? fail(simulation->command, "%s", trail_reader_problem(reader))
               : STATUS_OK;
}


/* Each authority of the policy once. */
static int
find_authorities(simulation_t *simulation)
{
    uint8_t sha256[32];

    simulation->authorities = calloc(AUTHORITIES_MAX, 32);
    if (simulation->authorities == NULL) {
        return fail(simulation->command, "out of memory");
    }
    for (uint32_t i = 0; i < policy_facilities(simulation->image); i++) {
        for (uint32_t k = 0;
             policy_facility_authority(simulation->image, i, k, sha256); k++)
        {
            size_t at = 0;

            while (at < simulation->authorities_count &&
                   memcmp(simulation->authorities[at], sha256, 32) != 0)
            {
                at++;
            }
            if (at == AUTHORITIES_MAX) {
                return fail(simulation->command,
                            "more than %d different authorities (device-ca)",
                            AUTHORITIES_MAX);
            }
            memcpy(simulation->authorities[at], sha256, 32);
            simulation->authorities_count += at == simulation->authorities_count
                                                 ? 1
                                                 : 0;
        }
    }
    return STATUS_OK;
}


/* ---- What is printed ----------------------------------------------------- */

static void
visit(const void *node, VISIT order, void *context)
{
    const group_t *group = *(group_t *const *) node;
    simulation_t *simulation = context;
    json_t *json = &simulation->json;

    if (order != postorder && order != leaf) {
        return;
    }
    if (simulation->as_json) {
        json_object(json, NULL);
        json_string(json, "result",
                    group->result == RESULT_REFUSED ? "refused"
                                                    : "cannot-be-told");
        json_string(json, "facility", group->facility);
        json_string(json, "user", group->user);
        json_string(json, "reason", group->reason);
        json_int(json, "count", (int64_t) group->count);
        json_int(json, "first", (int64_t) group->first);
        json_int(json, "last", (int64_t) group->last);
        json_end_object(json);
        return;
    }
    print_padded(stdout,
                 group->result == RESULT_REFUSED ? SLICE("refused")
                                                 : SLICE("cannot be told"),
                 14);
    fputs("  ", stdout);
    print_padded(stdout, slice_of(group->facility), 16);
    fputs("  ", stdout);
    print_padded(stdout, slice_of(group->user), 12);
    fputs("  ", stdout);
    print_padded(stdout, slice_of(group->reason), 20);
    printf("  %8llu  #%llu..#%llu\n", (unsigned long long) group->count,
           (unsigned long long) group->first, (unsigned long long) group->last);
}


static int
print_as_json(simulation_t *simulation)
{
    json_t *json = &simulation->json;
    int status;

    json_init(json);
    json_object(json, NULL);
    json_string(json, "policy", policy_image_version(simulation->image));
    json_int(json, "from", simulation->from);
    json_int(json, "to", simulation->to);
    json_int(json, "entries", (int64_t) simulation->entries);
    json_int(json, "refused", (int64_t) simulation->refused);
    json_int(json, "cannot_be_told", (int64_t) simulation->unknown);
    json_int(json, "code_asked", (int64_t) simulation->factor);
    json_array(json, "groups");
    twalk_r(simulation->groups, visit, simulation);
    json_end_array(json);
    json_end_object(json);
    status = print_json(simulation->command, json_result(json));
    json_free(json);
    return status;
}


static void
print_for_people(simulation_t *simulation)
{
    char text[COUNT_TEXT_MAX];

    twalk_r(simulation->groups, visit, simulation);
    printf("%s entries of the past were looked at: ",
           count_text(simulation->entries, text));
    printf("%s would be refused, ", count_text(simulation->refused, text));
    printf("of %s it cannot be told; ", count_text(simulation->unknown, text));
    printf("a fresh code would be asked for %s of the others.\n",
           count_text(simulation->factor, text));
}


/* ---- The command --------------------------------------------------------- */

static int
take_time(simulation_t *simulation, const char *option, bool end, int64_t *time)
{
    const char *value = option_value(simulation->arguments, option);

    if (value != NULL && !time_argument(slice_of(value), end, time)) {
        return fail(simulation->command,
                    "%s: \"%s\" is no time: write 2026-11-24, "
                    "2026-11-24T06:09, the same with Z or +09:00, or a span of "
                    "time until now as 7d",
                    option, value);
    }
    return STATUS_OK;
}


static int
simulate(simulation_t *simulation, place_t *place, trail_reader_t **reader)
{
    const arguments_t *arguments = simulation->arguments;
    const char *path = option_value(arguments, "--geoip");

    if (!option_given(arguments, "--from")) {
        return fail(simulation->command, "since when? give --from DATE");
    }
    if (simulation->as_json && simulation->list) {
        return fail(simulation->command, "--list and --json contradict each "
                                         "other");
    }
    simulation->to = INT64_MAX;
    if (take_time(simulation, "--from", false, &simulation->from) !=
            STATUS_OK ||
        take_time(simulation, "--to", true, &simulation->to) != STATUS_OK ||
        policy_open(simulation->command, argument(arguments, 0),
                    &simulation->image) != STATUS_OK ||
        find_authorities(simulation) != STATUS_OK ||
        (path != NULL && geoip_open(simulation->command, path,
                                    &simulation->geoip) != STATUS_OK) ||
        place_find(arguments, place) != STATUS_OK ||
        reader_open(simulation->command, place, reader) != STATUS_OK ||
        read_recorded(arguments, place) != STATUS_OK ||
        scan_all(simulation, *reader) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (!simulation->as_json) {
        print_for_people(simulation);
    } else if (print_as_json(simulation) != STATUS_OK) {
        return STATUS_ERROR;
    }
    return simulation->refused + simulation->unknown > 0 ? STATUS_NO
                                                         : STATUS_OK;
}


static int
simulate_run(const arguments_t *arguments)
{
    _cleanup_(place_free) place_t place = {NULL, NULL, NULL, false};
    _cleanup_(cleanup_reader) trail_reader_t *reader = NULL;
    simulation_t simulation = {.arguments = arguments,
                               .command = arguments->command->name,
                               .list = option_given(arguments, "--list"),
                               .as_json = option_given(arguments, "--json")};
    int status = simulate(&simulation, &place, &reader);

    tdestroy(simulation.groups, group_free);
    free(simulation.authorities);
    geoip_close(simulation.geoip);
    policy_image_free(simulation.image);
    return status;
}


static const option_t simulate_options[] = {
    {"--from", "TIME",
     "From then on: 2026-11-24, 2026-11-24T06:09, the same with Z or +09:00, "
     "or a span until now as 7d."},
    {"--to", "TIME", "Until then; a day means its end [now]."},
    {"--geoip", "FILE",
     "MaxMind database, to tell countries; as it is now, not as it was then."},
    {"--list", NULL, "Print each such entry, and then the groups."},
    {"--json", NULL, "Print JSON."},
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    NOTE_OPTION,
    UNRECORDED_OPTION,
    {NULL, NULL, NULL},
};

const command_t policy_simulate_command = {
    .name = "policy simulate",
    .arguments = "FILE",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "Tell which past entries a policy would have refused.",
    .details =
        "Decides again upon each access and session that was let in, as the "
        "record tells of it, by the policy FILE (a text or an image), and "
        "prints by facility and user how many it would have refused and why. "
        "A record does not hold the chain of a certificate, the country, or "
        "the local address of arrival: where the policy asks for one of them "
        "and all else is right, the entry is counted as \"cannot be told\". "
        "An access is looked at as of its beginning. The reading is "
        "recorded.\n\n"
        "Exit status: 0 all would be let in; 1 some would be refused, or "
        "cannot be told; 2 error.",
    .options = simulate_options,
    .run = simulate_run,
};
