/*
 * No disguise makes a request milder: some sixty requests, written in many
 * other ways that nginx or a PACS takes for the same.
 */

#include "test_dicom_cases.h"

#define ROUNDS 500

typedef struct {
    const char *method;
    const char *uri;
    const char *accept;
    action_t action;
} base_t;

#define INSTANCE "/dicom-web/studies/1.2.3/series/4.5/instances/6.7"
#define WADO     "/wado?requestType=WADO&studyUID=1.2&objectUID=6.7"
#define RS       "/dcm4chee-arc/aets/DCM4CHEE/rs"

static const base_t bases[] = {
    {"GET", "/dicom-web/studies", NULL, ACTION_QUERY},
    {"GET", "/dicom-web/studies?PatientID=P1&limit=5", NULL, ACTION_QUERY},
    {"GET", "/dicom-web/studies/1.2.3/series", NULL, ACTION_QUERY},
    {"GET", "/dicom-web/studies/1.2.3/metadata", NULL, ACTION_VIEW},
    {"GET", "/dicom-web/studies/1.2.3", NULL, ACTION_DOWNLOAD},
    {"GET", "/dicom-web/studies/1.2.3", "image/jpeg", ACTION_VIEW},
    {"GET", "/dicom-web/studies/1.2.3", MULTIPART_DICOM, ACTION_DOWNLOAD},
    {"GET", "/studies/1.2.3/series/4.5", NULL, ACTION_DOWNLOAD},
    {"GET", INSTANCE, NULL, ACTION_DOWNLOAD},
    {"GET", INSTANCE "?accept=application/zip", "image/jpeg", ACTION_DOWNLOAD},
    {"GET", INSTANCE "?accept=image/png", "image/jpeg", ACTION_VIEW},
    {"GET", INSTANCE "/frames/1", NULL, ACTION_VIEW},
    {"GET", INSTANCE "/frames/1/rendered", NULL, ACTION_VIEW},
    {"GET", INSTANCE "/bulkdata/7FE00010", NULL, ACTION_VIEW},
    {"GET", INSTANCE "/thumbnail", NULL, ACTION_VIEW},
    {"HEAD", INSTANCE, NULL, ACTION_DOWNLOAD},
    {"POST", "/dicom-web/studies", NULL, ACTION_STORE},
    {"POST", "/dicom-web/studies/1.2.3", NULL, ACTION_STORE},
    {"DELETE", "/dicom-web/studies/1.2.3", NULL, ACTION_DELETE},
    {"DELETE", INSTANCE, NULL, ACTION_DELETE},
    {"PUT", "/dicom-web/studies/1.2.3", NULL, ACTION_ADMIN},
    {"GET", "/dicom-web/workitems", NULL, ACTION_QUERY},
    {"POST", "/dicom-web/workitems/1.2", NULL, ACTION_ADMIN},
    {"PUT", "/dicom-web/workitems/1.2/state", NULL, ACTION_ADMIN},
    {"GET", WADO, NULL, ACTION_DOWNLOAD},
    {"GET", WADO "&contentType=application/dicom", NULL, ACTION_DOWNLOAD},
    {"GET", WADO "&contentType=image/jpeg", NULL, ACTION_VIEW},
    {"GET", "/patients", NULL, ACTION_QUERY},
    {"GET", "/studies/" OS, NULL, ACTION_VIEW},
    {"GET", "/studies/" OS "?_method=delete", NULL, ACTION_DELETE},
    {"GET", "/studies/" OS "/archive", NULL, ACTION_DOWNLOAD},
    {"GET", "/patients/" OP "/media", NULL, ACTION_DOWNLOAD},
    {"GET", "/series/" OE "/archive", NULL, ACTION_DOWNLOAD},
    {"GET", "/series/" OE "/numpy", NULL, ACTION_DOWNLOAD},
    {"GET", "/instances/" OI "/file", NULL, ACTION_DOWNLOAD},
    {"GET", "/instances/" OI "/preview", NULL, ACTION_VIEW},
    {"GET", "/instances/" OI "/simplified-tags", NULL, ACTION_VIEW},
    {"GET", "/instances/" OI "/attachments/dicom/data", NULL, ACTION_DOWNLOAD},
    {"DELETE", "/patients/" OP, NULL, ACTION_DELETE},
    {"DELETE", "/studies/" OS, NULL, ACTION_DELETE},
    {"POST", "/instances", NULL, ACTION_STORE},
    {"POST", "/studies/" OS "/anonymize", NULL, ACTION_ADMIN},
    {"POST", "/studies/" OS "/archive", NULL, ACTION_DOWNLOAD},
    {"PUT", "/instances/" OI "/metadata/1024", NULL, ACTION_ADMIN},
    {"POST", "/tools/find", NULL, ACTION_QUERY},
    {"POST", "/tools/create-archive", NULL, ACTION_DOWNLOAD},
    {"GET", "/tools/create-archive?resources=" OS, NULL, ACTION_DOWNLOAD},
    {"POST", "/tools/bulk-delete", NULL, ACTION_DELETE},
    {"POST", "/tools/execute-script", NULL, ACTION_ADMIN},
    {"POST", "/modalities/CT1/store", NULL, ACTION_ADMIN},
    {"POST", "/modalities/CT1/query", NULL, ACTION_QUERY},
    {"GET", "/jobs/5a2e/archive", NULL, ACTION_DOWNLOAD},
    {"GET", "/webdav/by-uids/1.2/3.4/5.6.dcm", NULL, ACTION_DOWNLOAD},
    {"GET", "/transfers/chunks/" OI, NULL, ACTION_DOWNLOAD},
    {"GET", "/app/explorer.html", NULL, ACTION_VIEW},
    {"GET", "/system", NULL, ACTION_VIEW},
    {"GET", RS "/studies/1.2.3", NULL, ACTION_DOWNLOAD},
    {"GET", RS "/studies/1.2.3?accept=application/zip", NULL, ACTION_DOWNLOAD},
    {"POST", RS "/studies/1.2.3/reject/113001^DCM", NULL, ACTION_DELETE},
    {"POST", RS "/studies/1.2.3/export/X", NULL, ACTION_ADMIN},
    {"POST", RS "/studies/update", NULL, ACTION_ADMIN},
    {"DELETE", RS "/patients/P1", NULL, ACTION_DELETE},
    {"GET", RS "/mwlitems", NULL, ACTION_QUERY},
    {"POST", "/unknown/api", NULL, ACTION_ADMIN},
};

/* As the table of docs/classification.md has it. */
static const int strictness[ACTION_COUNT] = {
    [ACTION_QUERY] = 1, [ACTION_VIEW] = 1,   [ACTION_DOWNLOAD] = 2,
    [ACTION_STORE] = 3, [ACTION_DELETE] = 4, [ACTION_ADMIN] = 5};

typedef struct {
    uint64_t seed;
    char text[8192];
    size_t size;
} disguise_t;

static uint32_t
pick(disguise_t *d, uint32_t below)
{
    d->seed ^= d->seed << 13;
    d->seed ^= d->seed >> 7;
    d->seed ^= d->seed << 17;

    return (uint32_t) (d->seed >> 32) % below;
}


static void
put(disguise_t *d, const char *text)
{
    size_t size = strlen(text);

    assert_true(d->size + size < sizeof(d->text));
    memcpy(d->text + d->size, text, size);
    d->size += size;
}


static void
put_char(disguise_t *d, char c, uint32_t encode_percent)
{
    char text[4] = {c};

    if (pick(d, 100) < encode_percent) {
        snprintf(text, sizeof(text), pick(d, 2) ? "%%%02X" : "%%%02x",
                 (uint8_t) c);
    }
    put(d, text);
}


static char
any_case(disguise_t *d, char c)
{
    if (c >= 'a' && c <= 'z' && pick(d, 3) == 0) {
        return (char) (c - 32);
    }
    if (c >= 'A' && c <= 'Z' && pick(d, 3) == 0) {
        return (char) (c + 32);
    }

    return c;
}


/* Ways to write a slash that all agree on. */
static const char *const slashes[] = {"/",
                                      "/",
                                      "/",
                                      "/",
                                      "//",
                                      "///",
                                      "/./",
                                      "/%2e/",
                                      "/x/../",
                                      "/x/%2E%2e/",
                                      "/x/.%2E/",
                                      "/studies/../",
                                      "/tools/find/../../",
                                      "/.//./"};
/* … and those on which they do not. */
static const char *const odd_slashes[] = {
    "/",          "/",       "%2F",          "%2f",     "\\",
    "%5C",        ";/",      ";a=b/",        ";a=b;c/", "/x/..;/",
    "/x/..;a=b/", "/x;/../", "/y/x//../../", "/;/"};

enum {
    CASE = 1,
    SLASHES = 2,
    ODD_SLASHES = 4,
    ENCODE = 8,
    TAIL = 16,
    HOST = 32
};

static void
write_disguised(disguise_t *d, const char *uri, unsigned how)
{
    uint32_t encode = how & ENCODE ? pick(d, 60) : 0;
    const char *at = uri;

    d->size = 0;
    if (how & HOST && pick(d, 2)) {
        put(d, pick(d, 2) ? "http://pacs.example:8042" : "HTTPS://studies");
    }
    for (; *at != '\0' && *at != '?'; at++) {
        if (*at != '/') {
            put_char(d, how & CASE ? any_case(d, *at) : *at, encode);
        } else if (how & ODD_SLASHES && at != uri) {
            put(d, odd_slashes[pick(d, sizeof(odd_slashes) / sizeof(char *))]);
        } else if (how & SLASHES) {
            put(d, slashes[pick(d, sizeof(slashes) / sizeof(char *))]);
        } else {
            put(d, "/");
        }
    }
    if (how & ODD_SLASHES && pick(d, 2)) {
        static const char *const tails[] = {
            ";x",   ";x=y/", "/x/..;", "%00", "%00.json", "#", "#/metadata",
            "%23x", "%3Fx",  "%20",    "/;",  "/x//..",   "."};

        put(d, tails[pick(d, sizeof(tails) / sizeof(char *))]);
    }
    if (how & TAIL && pick(d, 2)) {
        static const char *const tails[] = {"/", "//", "/.", "/x/..", "/%2e/"};

        put(d, tails[pick(d, 5)]);
    }
    if (*at == '?') {
        put(d, "?");
        if (how & ODD_SLASHES && pick(d, 3) == 0) {
            put(d, pick(d, 2) ? "a=b?" : "a;");
        }
        for (at++; *at != '\0'; at++) {
            char c = how & CASE ? any_case(d, *at) : *at;

            if (c == '&' || c == '=') {
                put_char(d, c, how & ODD_SLASHES ? 30 : 0);
            } else {
                put_char(d, c, encode);
            }
        }
        if (how & TAIL && pick(d, 2)) {
            put(d, pick(d, 2) ? "&x=y" : "&&");
        }
    } else if (how & TAIL && pick(d, 2)) {
        put(d, pick(d, 2) ? "?x=y" : "?");
    }
}


static void
run(unsigned how, bool same)
{
    disguise_t d = {.seed = UINT64_C(0x9e3779b97f4a7c15) + how};

    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        const base_t *base = &bases[i];

        check_action(base->method, base->uri, base->accept, base->action);
        for (int round = 0; round < ROUNDS; round++) {
            dicom_request_t r;

            write_disguised(&d, base->uri, how);
            dicom_classify(slice_of(base->method), (slice_t){d.text, d.size},
                           slice_of(base->accept), &r);
            if (same ? r.action != base->action
                     : strictness[r.action] < strictness[base->action])
            {
                fail_msg("%s %.*s\n  is %s, but %s\n  is %s", base->method,
                         (int) d.size, d.text, action_name(r.action), base->uri,
                         action_name(base->action));
            }
        }
    }
}


static void
percent_encoding_changes_no_action(void **state)
{
    (void) state;
    run(ENCODE, true);
}


static void
slashes_and_dots_change_no_action(void **state)
{
    (void) state;
    run(SLASHES, true);
}


static void
case_changes_no_action(void **state)
{
    (void) state;
    run(CASE, true);
}


static void
tails_and_hosts_change_no_action(void **state)
{
    (void) state;
    run(TAIL | HOST, true);
}


static void
plain_disguises_together_change_no_action(void **state)
{
    (void) state;
    run(ENCODE | SLASHES | CASE | TAIL | HOST, true);
}


static void
disputed_disguises_never_soften_an_action(void **state)
{
    (void) state;
    run(ODD_SLASHES, false);
}


static void
all_disguises_together_never_soften_an_action(void **state)
{
    (void) state;
    run(ODD_SLASHES | ENCODE | CASE | TAIL | HOST, false);
}


UNIT_TESTS(cmocka_unit_test(percent_encoding_changes_no_action),
           cmocka_unit_test(slashes_and_dots_change_no_action),
           cmocka_unit_test(case_changes_no_action),
           cmocka_unit_test(tails_and_hosts_change_no_action),
           cmocka_unit_test(plain_disguises_together_change_no_action),
           cmocka_unit_test(disputed_disguises_never_soften_an_action),
           cmocka_unit_test(all_disguises_together_never_soften_an_action))
