/*
 * A retrieval is a view only if what the client accepts rules DICOM and ZIP
 * out, in any parser's eyes.
 */

#include "test_dicom_cases.h"

#define INSTANCE "/dicom-web/studies/1.2.3/series/4.5/instances/6.7"

static void
check_list(const char *const *accepts, size_t count, action_t action)
{
    for (size_t i = 0; i < count; i++) {
        check_action("GET", INSTANCE, accepts[i], action);
    }
}


#define CHECK_ACCEPT(list, action)                                             \
    check_list(list, sizeof(list) / sizeof((list)[0]), action)

static void
no_header_or_a_wildcard_is_a_download(void **state)
{
    static const char *const accepts[] = {
        NULL,
        "",
        " ",
        ",",
        "*/*",
        "application/*",
        "*",
        "*/*;q=0.1",
        "text/html,application/xhtml+xml,application/xml;q=0.9,"
        "image/avif,image/webp,*/*;q=0.8"};

    (void) state;
    CHECK_ACCEPT(accepts, ACTION_DOWNLOAD);
}


static void
dicom_and_zip_are_downloads(void **state)
{
    static const char *const accepts[] = {
        "application/dicom",
        "APPLICATION/DICOM",
        "application/dicom; transfer-syntax=*",
        "application/zip",
        "multipart/related",
        "multipart/related; type=application/dicom",
        "multipart/related; type=\"application/dicom\"",
        "multipart/related;type=\"application/dicom\";transfer-syntax=*",
        "multipart/related; type=\"*/*\"",
        "multipart/related; transfer-syntax=*",
        "multipart/*",
        "multipart/mixed; type=\"image/jpeg\"",
        "application/x-tar",
        "application/gzip",
        "audio/basic"};

    (void) state;
    CHECK_ACCEPT(accepts, ACTION_DOWNLOAD);
}


static void
kinds_that_only_show_are_views(void **state)
{
    static const char *const accepts[] = {
        "image/jpeg",
        "image/*",
        "IMAGE/JPEG",
        "image/jpeg, image/png;q=0.5",
        " image/jpeg ,, image/gif ",
        "video/mp4",
        "text/html",
        "application/pdf",
        "application/dicom+json",
        "application/json",
        "application/dicom+xml",
        "application/octet-stream",
        "multipart/related; type=\"application/octet-stream\"",
        "multipart/related; type=image/jpeg; transfer-syntax=*",
        "multipart/related;type=\"application/dicom+xml\"",
        ("multipart/related; type=\"image/jp2\", "
         "multipart/related; type=\"application/octet-stream\"; q=0.5")};

    (void) state;
    CHECK_ACCEPT(accepts, ACTION_VIEW);
}


static void
one_strict_range_among_others_is_enough(void **state)
{
    static const char *const accepts[] = {
        "image/jpeg, application/dicom;q=0.001", "image/jpeg, */*;q=0.1",
        "application/dicom+json, multipart/related; type=application/dicom",
        "image/jpeg,application/zip"};

    (void) state;
    CHECK_ACCEPT(accepts, ACTION_DOWNLOAD);
}


/* Orthanc takes the most specific range whatever its q, dcm4chee sorts by it;
 * neither leaves q=0 out. */
static void
a_refused_range_counts_as_wanted(void **state)
{
    static const char *const accepts[] = {"image/jpeg, application/dicom;q=0",
                                          "multipart/related;q=0, image/jpeg",
                                          "*/*;q=0, image/png"};

    (void) state;
    CHECK_ACCEPT(accepts, ACTION_DOWNLOAD);
}


/* RFC 9110, 12.4.1: the server may then send what it has. */
static void
a_list_that_wants_nothing_is_a_download(void **state)
{
    static const char *const accepts[] = {"image/jpeg;q=0",
                                          "image/jpeg; q=0.000",
                                          "image/jpeg;q=0,image/png;q=0"};

    (void) state;
    CHECK_ACCEPT(accepts, ACTION_DOWNLOAD);
    check_action("GET", INSTANCE, "image/jpeg;q=0, image/png;q=0.1",
                 ACTION_VIEW);
}


/* A parser that splits at every comma sees multipart/related here. */
static void
quotes_hide_nothing(void **state)
{
    static const char *const accepts[] = {
        "image/jpeg; x=\"a, multipart/related\"",
        "image/jpeg; x=\"a; type=b\"",
        "image/jpeg; x=\"\\\", multipart/related",
        "image/jpeg; x=\"never closed",
        "multipart/related; type=\"image/jpeg, application/dicom\"",
        "multipart/related; type=\"image/jpeg;application/dicom\""};

    (void) state;
    CHECK_ACCEPT(accepts, ACTION_DOWNLOAD);
}


static void
a_type_given_twice_must_show_twice(void **state)
{
    (void) state;
    check_action("GET", INSTANCE,
                 "multipart/related; type=image/jpeg; type=application/dicom",
                 ACTION_DOWNLOAD);
    check_action("GET", INSTANCE,
                 "multipart/related; type=application/dicom; type=image/jpeg",
                 ACTION_DOWNLOAD);
    check_action("GET", INSTANCE,
                 "multipart/related; type=image/jpeg; type=image/png",
                 ACTION_VIEW);
}


static void
what_is_no_media_type_is_a_download(void **state)
{
    static const char *const accepts[] = {
        "image",           "image/",  "/jpeg",        "image/jp eg",
        "image/jpeg/x",    "garbage", "image/jpeg x", "im age/jpeg",
        "image/jpeg,\x80", ";",       "image//jpeg",  "\"image/jpeg\""};

    (void) state;
    CHECK_ACCEPT(accepts, ACTION_DOWNLOAD);
}


static void
a_header_with_nul_is_a_download(void **state)
{
    static const char accept[] = "image/jpeg\0, application/dicom";
    dicom_request_t request;

    (void) state;
    dicom_classify(SLICE("GET"), SLICE(INSTANCE),
                   (slice_t){accept, sizeof(accept) - 1}, &request);
    assert_int_equal(request.action, ACTION_DOWNLOAD);
}


/* PS3.18, 8.3.3.1: it overrides the header, but not everybody knows it; so it
 * can forbid the view and not allow it. */
static void
the_accept_parameter_can_only_make_it_stricter(void **state)
{
    (void) state;
    check_action("GET", INSTANCE "?accept=application/dicom", "image/jpeg",
                 ACTION_DOWNLOAD);
    check_action("GET", INSTANCE "?accept=application%2Fzip", "image/jpeg",
                 ACTION_DOWNLOAD);
    check_action("GET", INSTANCE "?ACCEPT=*/*", "image/jpeg", ACTION_DOWNLOAD);
    check_action("GET", INSTANCE "?accept=", "image/jpeg", ACTION_DOWNLOAD);
    check_action("GET", INSTANCE "?accept=image/png", "image/jpeg",
                 ACTION_VIEW);
    check_action("GET", INSTANCE "?accept=image/png", "*/*", ACTION_DOWNLOAD);
    check_action("GET", INSTANCE "?accept=image/png", NULL, ACTION_DOWNLOAD);
    check_action("GET",
                 INSTANCE "?accept=image/png&x=1&accept=application/dicom",
                 "image/jpeg", ACTION_DOWNLOAD);
    check_action("GET", INSTANCE "?accept=application/dicom%2Bjson", DICOM_JSON,
                 ACTION_VIEW);
    check_action("GET", INSTANCE "?accept=application/dicom+json", DICOM_JSON,
                 ACTION_VIEW);
    check_action("GET",
                 INSTANCE "?accept=multipart/related;type=%22image/jpeg%22",
                 "image/jpeg", ACTION_VIEW);
}


static void
a_very_long_accept_parameter_is_a_download(void **state)
{
    char uri[4096];

    (void) state;
    int n = snprintf(uri, sizeof(uri), "%s?accept=", INSTANCE);

    for (int i = 0; i < 60; i++) {
        n += snprintf(uri + n, sizeof(uri) - (size_t) n, "image/jpeg,");
    }
    check_action("GET", uri, "image/jpeg", ACTION_DOWNLOAD);
}


static void
accept_does_not_soften_what_is_no_retrieval(void **state)
{
    (void) state;
    check_action("GET", "/instances/" OI "/file", "image/jpeg",
                 ACTION_DOWNLOAD);
    check_action("GET", "/studies/" OS "/archive", "text/html",
                 ACTION_DOWNLOAD);
    check_action("DELETE", INSTANCE, "image/jpeg", ACTION_DELETE);
    check_action("GET", "/wado?requestType=WADO&objectUID=1", "image/jpeg",
                 ACTION_DOWNLOAD);
}


static void
accept_does_not_harden_a_view_or_a_query(void **state)
{
    (void) state;
    check_action("GET", INSTANCE "/metadata", "*/*", ACTION_VIEW);
    check_action("GET", INSTANCE "/frames/1", MULTIPART_DICOM, ACTION_VIEW);
    check_action("GET", "/dicom-web/studies", "application/dicom",
                 ACTION_QUERY);
}


UNIT_TESTS(cmocka_unit_test(no_header_or_a_wildcard_is_a_download),
           cmocka_unit_test(dicom_and_zip_are_downloads),
           cmocka_unit_test(kinds_that_only_show_are_views),
           cmocka_unit_test(one_strict_range_among_others_is_enough),
           cmocka_unit_test(a_refused_range_counts_as_wanted),
           cmocka_unit_test(a_list_that_wants_nothing_is_a_download),
           cmocka_unit_test(quotes_hide_nothing),
           cmocka_unit_test(a_type_given_twice_must_show_twice),
           cmocka_unit_test(what_is_no_media_type_is_a_download),
           cmocka_unit_test(a_header_with_nul_is_a_download),
           cmocka_unit_test(the_accept_parameter_can_only_make_it_stricter),
           cmocka_unit_test(a_very_long_accept_parameter_is_a_download),
           cmocka_unit_test(accept_does_not_soften_what_is_no_retrieval),
           cmocka_unit_test(accept_does_not_harden_a_view_or_a_query))
