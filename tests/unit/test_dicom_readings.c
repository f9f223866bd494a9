/* A target that can be read in several ways gets the strictest. */

#include "test_dicom_cases.h"

#define STUDY "/dicom-web/studies/1.2.3"

static dicom_request_t
classify_bytes(const char *method, const char *uri, size_t size)
{
    dicom_request_t request;

    dicom_classify(slice_of(method), (slice_t){uri, size}, (slice_t){NULL, 0},
                   &request);

    return request;
}


#define BYTES(method, literal)                                                 \
    classify_bytes(method, literal, sizeof(literal) - 1)

static void
percent_encoding_is_undone_once(void **state)
{
    (void) state;
    check_action("GET", "/dicom-web/%73tudies/1.2.3", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/instances/" OI "/%66%69%6c%65", NULL,
                 ACTION_DOWNLOAD);
    check_action("GET", "/instances/" OI "/%46ile", NULL, ACTION_DOWNLOAD);
    check_action("GET", STUDY "/m%65tadata", NULL, ACTION_VIEW);
    check_action("POST", "/tools/%72eset", NULL, ACTION_ADMIN);
    /* Twice encoded, it is another name for everybody. */
    check_action("GET", "/instances/" OI "/%2566ile", NULL, ACTION_VIEW);
    check_action("POST", "/dicom-web/%2573tudies", NULL, ACTION_ADMIN);
}


static void
broken_percent_encoding_is_taken_as_it_stands(void **state)
{
    (void) state;
    check_action("GET", "/studies/%", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/studies/%4", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/studies/%zz", NULL, ACTION_DOWNLOAD);
    check_action("POST", "/dicom-web/%7tudies", NULL, ACTION_ADMIN);
}


static void
slashes_may_repeat(void **state)
{
    (void) state;
    check_action("GET", "//dicom-web///studies//1.2.3", NULL, ACTION_DOWNLOAD);
    check_action("GET", "//studies//", NULL, ACTION_QUERY);
    check_action("POST", "/tools//reset", NULL, ACTION_ADMIN);
    check_action("GET", "/instances//" OI "///file", NULL, ACTION_DOWNLOAD);
}


static void
a_trailing_slash_changes_nothing(void **state)
{
    (void) state;
    check_action("GET", STUDY "/", NULL, ACTION_DOWNLOAD);
    check_action("GET", STUDY "/metadata/", NULL, ACTION_VIEW);
    check_action("GET", "/dicom-web/studies/", NULL, ACTION_QUERY);
    check_action("DELETE", STUDY "//", NULL, ACTION_DELETE);
}


static void
dot_segments_are_resolved(void **state)
{
    (void) state;
    check_action("GET", STUDY "/metadata/..", NULL, ACTION_DOWNLOAD);
    check_action("GET", STUDY "/metadata/../", NULL, ACTION_DOWNLOAD);
    check_action("GET", STUDY "/./metadata/.././", NULL, ACTION_DOWNLOAD);
    check_action("GET", STUDY "/metadata/%2e%2E", NULL, ACTION_DOWNLOAD);
    check_action("GET", STUDY "/metadata/.%2e", NULL, ACTION_DOWNLOAD);
    check_action("GET", STUDY "/%2e/metadata", NULL, ACTION_VIEW);
    check_action("POST", "/tools/find/../reset", NULL, ACTION_ADMIN);
    check_action("GET", "/../../studies/1.2.3", NULL, ACTION_DOWNLOAD);
    check_action("GET", STUDY "/...", NULL, ACTION_VIEW);
}


static void
an_encoded_slash_is_read_both_ways(void **state)
{
    (void) state;
    /* As a separator the first is a retrieval; as data the second is one, of
     * the study "1.2.3/rendered". */
    check_action("GET", STUDY "/x%2F..%2F..%2F1.2.3", NULL, ACTION_DOWNLOAD);
    check_action("GET", STUDY "%2Frendered", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/instances/" OI "%2ffile", NULL, ACTION_DOWNLOAD);
    check_action("POST", "/tools%2Freset", NULL, ACTION_ADMIN);
    check_action("GET", "/instances/" OI "/tags%2F..%2Ffile", NULL,
                 ACTION_DOWNLOAD);
}


static void
a_backslash_is_read_both_ways(void **state)
{
    (void) state;
    check_action("GET", "/instances/" OI "\\file", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/instances/" OI "/tags%5C..%5Cfile", NULL,
                 ACTION_DOWNLOAD);
}


static void
path_parameters_are_read_both_ways(void **state)
{
    (void) state;
    check_action("GET", "/instances/" OI "/file;x=y", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/instances;a/" OI ";b/file;c", NULL, ACTION_DOWNLOAD);
    check_action("GET", STUDY "/rendered/..;/", NULL, ACTION_DOWNLOAD);
    check_action("GET", STUDY "/rendered/..;a=b", NULL, ACTION_DOWNLOAD);
    check_action("GET", STUDY "/;x/", NULL, ACTION_DOWNLOAD);
    check_action("POST", "/tools;/find;/..;/reset", NULL, ACTION_ADMIN);
}


/* nginx merges slashes before it looks at dots; RFC 3986 does not. */
static void
an_empty_segment_before_dots_is_read_both_ways(void **state)
{
    (void) state;
    check_action("GET", STUDY "//..", NULL, ACTION_DOWNLOAD);
    check_action("GET", STUDY "/rendered//../", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/instances/" OI "/file//..", NULL, ACTION_DOWNLOAD);
}


static void
a_fragment_is_read_both_ways(void **state)
{
    (void) state;
    check_action("GET", STUDY "#/metadata", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/instances/" OI "/tags#/../file", NULL,
                 ACTION_DOWNLOAD);
    check_action("GET", "/instances/" OI "#/file", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/instances/" OI "/tags#?_method=delete", NULL,
                 ACTION_ADMIN);
    check_action("GET", STUDY "%23/metadata", NULL, ACTION_DOWNLOAD);
}


static void
a_nul_is_read_both_ways(void **state)
{
    (void) state;
    assert_int_equal(BYTES("GET", STUDY "\0/metadata").action, ACTION_DOWNLOAD);
    check_action("GET", STUDY "%00/metadata", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/instances/" OI "/file%00.json", NULL,
                 ACTION_DOWNLOAD);
    assert_int_equal(BYTES("POST", "/tools/reset\0x").action, ACTION_ADMIN);
}


static void
an_encoded_question_mark_is_read_both_ways(void **state)
{
    (void) state;
    check_action("GET", STUDY "%3F/metadata", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/instances/" OI "/file%3fx", NULL, ACTION_DOWNLOAD);
    /* In one reading a DELETE of something that is no identifier. */
    check_action("GET", "/instances/" OI "%3f_method=delete", NULL,
                 ACTION_ADMIN);
}


static void
the_case_of_words_does_not_count(void **state)
{
    (void) state;
    check_action("GET", "/DICOM-WEB/STUDIES/1.2.3", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/Instances/" OI "/File", NULL, ACTION_DOWNLOAD);
    check_action("POST", "/Tools/Reset", NULL, ACTION_ADMIN);
    check_action("GET", "/WebDAV/by-uids/1/2/3.dcm", NULL, ACTION_DOWNLOAD);
}


static void
spaces_and_dots_behind_a_word_do_not_count(void **state)
{
    (void) state;
    check_action("GET", "/instances/" OI "/file%20", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/instances/" OI "/file.", NULL, ACTION_DOWNLOAD);
    check_action("GET", "/studies./1.2.3", NULL, ACTION_DOWNLOAD);
}


static void
the_method_counts_as_it_is_written(void **state)
{
    (void) state;
    check_action("delete", STUDY, NULL, ACTION_ADMIN);
    check_action("Get", "/dicom-web/studies", NULL, ACTION_ADMIN);
    check_action("GET ", "/dicom-web/studies", NULL, ACTION_ADMIN);
    check_action("GETX", "/dicom-web/studies", NULL, ACTION_ADMIN);
}


/* Orthanc: GET …?_method=delete is a DELETE. */
static void
the_method_parameter_counts_like_a_method(void **state)
{
    (void) state;
    check_action("GET", "/studies/" OS "?_method=delete", NULL, ACTION_DELETE);
    check_action("GET", "/studies/" OS "?_method=DELETE", NULL, ACTION_DELETE);
    check_action("GET", "/studies/" OS "/labels/x?_method=put", NULL,
                 ACTION_ADMIN);
    check_action("GET", "/studies/" OS "?x&%5Fmethod=%64elete", NULL,
                 ACTION_DELETE);
    check_action("GET", "/tools/log-level?_method=put", NULL, ACTION_ADMIN);
    check_action("GET", "/studies/" OS "?_method=whatever", NULL, ACTION_ADMIN);
    check_action("GET", "/studies/" OS "?_method=get&_method=delete", NULL,
                 ACTION_DELETE);
    check_action("HEAD", "/studies/" OS "?_method=delete", NULL, ACTION_DELETE);
    check_action("OPTIONS", "/studies/" OS "?_method=delete", NULL,
                 ACTION_DELETE);
    check_action("GET", "/studies/" OS "?_method=get", NULL, ACTION_VIEW);
    check_action("GET", "/studies/" OS "?_method=", NULL, ACTION_VIEW);
    check_action("GET", "/studies/" OS "?no_method=delete", NULL, ACTION_VIEW);
    check_action("DELETE", "/studies/" OS "?_method=get", NULL, ACTION_DELETE);
}


/* civetweb, the server in Orthanc, can decode a query before it is split. */
static void
parameters_may_be_hidden_in_encoded_separators(void **state)
{
    (void) state;
    check_action("GET", "/studies/" OS "?x=1%26_method=delete", NULL,
                 ACTION_DELETE);
    check_action("GET", "/studies/" OS "?_method%3Ddelete", NULL,
                 ACTION_DELETE);
    check_action("GET", "/studies/" OS "?x;_method=delete", NULL,
                 ACTION_DELETE);
    check_action("GET", "/studies/" OS "?x%3B_method=delete", NULL,
                 ACTION_DELETE);
    check_action("GET",
                 "/wado?requestType=WADO&objectUID=1"
                 "&contentType=image/jpeg%26contentType="
                 "application/dicom",
                 NULL, ACTION_DOWNLOAD);
    check_action("GET", "/portal?a=1%26requestType=WADO%26objectUID=1", NULL,
                 ACTION_DOWNLOAD);
}


/* Orthanc up to 1.9.7 decodes names and values once more. */
static void
parameters_may_be_encoded_twice(void **state)
{
    (void) state;
    check_action("GET", "/studies/" OS "?%255Fmethod=delete", NULL,
                 ACTION_DELETE);
    /* Decoded once these are methods that nobody knows. */
    check_action("GET", "/studies/" OS "?_method=%2564elete", NULL,
                 ACTION_ADMIN);
    check_action("GET", "/studies/" OS "?_method=d%25%36%35lete", NULL,
                 ACTION_ADMIN);
    check_action("GET", "/studies/" OS "?a=1%2526_method=delete", NULL,
                 ACTION_DELETE);
}


static void
a_second_question_mark_is_data_or_a_separator(void **state)
{
    dicom_request_t request;

    (void) state;
    check_action("GET", "/studies/" OS "?a=b?_method=delete", NULL,
                 ACTION_DELETE);
    request = classify("GET", "/dicom-web/studies?PatientID=a?b", NULL);
    assert_int_equal(request.action, ACTION_QUERY);
    assert_true(id_is(&request.patient, "a?b"));
}


static void
scheme_and_authority_are_left_out(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "http://pacs.example/dicom-web/studies/1.2.3", ACTION_DOWNLOAD,
         DICOM_API_DICOMWEB, .study = "1.2.3"},
        {"GET", "HTTPS://studies@studies:8042/series", ACTION_QUERY,
         DICOM_API_DICOMWEB},
        {"GET", "http://studies?PatientID=1", ACTION_VIEW, DICOM_API_UNKNOWN,
         .patient = "1", .uncertain = true},
        {"GET", "http://studies", ACTION_VIEW, DICOM_API_UNKNOWN,
         .uncertain = true},
        {"GET", "//host/dicom-web/studies", ACTION_QUERY, DICOM_API_DICOMWEB},
        {"GET", "studies/1.2.3", ACTION_DOWNLOAD, DICOM_API_DICOMWEB,
         .study = "1.2.3"},
        {"GET", "/proxy/http://x/studies/1.2.3", ACTION_DOWNLOAD,
         DICOM_API_DICOMWEB, .study = "1.2.3"},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
a_path_too_deep_for_any_api_is_strict(void **state)
{
    char uri[2048];
    size_t n = 0;

    (void) state;
    for (int i = 0; i < 65; i++) {
        n += (size_t) snprintf(uri + n, sizeof(uri) - n, "/d");
    }
    check_action("GET", uri, NULL, ACTION_DOWNLOAD);
    check_action("POST", uri, NULL, ACTION_ADMIN);
}


/* Depth is counted at the end: what was left again does not stay. */
static void
a_deep_way_to_a_shallow_place_is_read_well(void **state)
{
    char uri[4096] = "";
    size_t n = 0;

    (void) state;
    for (int i = 0; i < 100; i++) {
        n += (size_t) snprintf(uri + n, sizeof(uri) - n, "/studies");
    }
    for (int i = 0; i < 100; i++) {
        n += (size_t) snprintf(uri + n, sizeof(uri) - n, "/..");
    }
    snprintf(uri + n, sizeof(uri) - n, "/instances/" OI "/file");
    check_action("GET", uri, NULL, ACTION_DOWNLOAD);
    snprintf(uri + n, sizeof(uri) - n, "/instances/" OI "/tags");
    check_action("GET", uri, NULL, ACTION_VIEW);
}


static void
bytes_that_are_no_text_do_no_harm(void **state)
{
    (void) state;
    check_action("GET", "/\xff\xfe/studies/\x80", NULL, ACTION_DOWNLOAD);
    check_action("POST", "/\xc0\xaf/x", NULL, ACTION_ADMIN);
    check_action("GET", "/studies/1.2.3/metadata?\xff=\xfe", NULL, ACTION_VIEW);
}


UNIT_TESTS(cmocka_unit_test(percent_encoding_is_undone_once),
           cmocka_unit_test(broken_percent_encoding_is_taken_as_it_stands),
           cmocka_unit_test(slashes_may_repeat),
           cmocka_unit_test(a_trailing_slash_changes_nothing),
           cmocka_unit_test(dot_segments_are_resolved),
           cmocka_unit_test(an_encoded_slash_is_read_both_ways),
           cmocka_unit_test(a_backslash_is_read_both_ways),
           cmocka_unit_test(path_parameters_are_read_both_ways),
           cmocka_unit_test(an_empty_segment_before_dots_is_read_both_ways),
           cmocka_unit_test(a_fragment_is_read_both_ways),
           cmocka_unit_test(a_nul_is_read_both_ways),
           cmocka_unit_test(an_encoded_question_mark_is_read_both_ways),
           cmocka_unit_test(the_case_of_words_does_not_count),
           cmocka_unit_test(spaces_and_dots_behind_a_word_do_not_count),
           cmocka_unit_test(the_method_counts_as_it_is_written),
           cmocka_unit_test(the_method_parameter_counts_like_a_method),
           cmocka_unit_test(parameters_may_be_hidden_in_encoded_separators),
           cmocka_unit_test(parameters_may_be_encoded_twice),
           cmocka_unit_test(a_second_question_mark_is_data_or_a_separator),
           cmocka_unit_test(scheme_and_authority_are_left_out),
           cmocka_unit_test(a_path_too_deep_for_any_api_is_strict),
           cmocka_unit_test(a_deep_way_to_a_shallow_place_is_read_well),
           cmocka_unit_test(bytes_that_are_no_text_do_no_harm))
