/* Which patient, study, series and instance a request names. */

#include "test_dicom_cases.h"

static void
identifiers_come_percent_decoded(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/dicom-web/studies/1%2E2.%33/metadata", ACTION_VIEW,
         DICOM_API_DICOMWEB, .study = "1.2.3"},
        {"GET", "/dicom-web/studies?PatientID=%E5%B1%B1%E7%94%B0", ACTION_QUERY,
         DICOM_API_DICOMWEB, .patient = "山田"},
        {"GET", "/dicom-web/studies?PatientID=A%2520B", ACTION_QUERY,
         DICOM_API_DICOMWEB, .patient = "A%20B"},
        {"GET", "/dicom-web/studies?PatientID=A+B%2BC", ACTION_QUERY,
         DICOM_API_DICOMWEB, .patient = "A B+C"},
        {"GET", "/dicom-web/studies/1+2", ACTION_DOWNLOAD, DICOM_API_DICOMWEB,
         .study = "1+2"},
        {"GET", "/dicom-web/studies?PatientID=100%", ACTION_QUERY,
         DICOM_API_DICOMWEB, .patient = "100%"},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
parameters_have_names_or_tags_in_any_case(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/s/studies?patientid=P", ACTION_QUERY, DICOM_API_DICOMWEB,
         .patient = "P"},
        {"GET", "/s/studies?00100020=P", ACTION_QUERY, DICOM_API_DICOMWEB,
         .patient = "P"},
        {"GET", "/s/studies?0020000D=1.2", ACTION_QUERY, DICOM_API_DICOMWEB,
         .study = "1.2"},
        {"GET", "/s/studies?0020000d=1.2", ACTION_QUERY, DICOM_API_DICOMWEB,
         .study = "1.2"},
        {"GET", "/s/studies?STUDYINSTANCEUID=1.2", ACTION_QUERY,
         DICOM_API_DICOMWEB, .study = "1.2"},
        {"GET", "/s/studies?StudyInstanceUIDs=1.2", ACTION_QUERY,
         DICOM_API_DICOMWEB, .study = "1.2"},
        {"GET", "/s/series?0020000e=3.4", ACTION_QUERY, DICOM_API_DICOMWEB,
         .series = "3.4"},
        {"GET", "/s/series?SeriesInstanceUID=3.4", ACTION_QUERY,
         DICOM_API_DICOMWEB, .series = "3.4"},
        {"GET", "/s/instances?SOPInstanceUID=5.6", ACTION_QUERY,
         DICOM_API_DICOMWEB, .instance = "5.6"},
        {"GET", "/s/instances?00080018=5.6", ACTION_QUERY, DICOM_API_DICOMWEB,
         .instance = "5.6"},
        {"GET", "/s/studies?%50atientI%44=P", ACTION_QUERY, DICOM_API_DICOMWEB,
         .patient = "P"},
        {"GET", "/s/studies?OtherPatientIDs=P&PatientName=N", ACTION_QUERY,
         DICOM_API_DICOMWEB},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
several_values_are_joined_with_commas(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/s/studies?StudyInstanceUID=1.2&StudyInstanceUID=1.3",
         ACTION_QUERY, DICOM_API_DICOMWEB, .study = "1.2,1.3"},
        {"GET", "/s/studies?StudyInstanceUID=1.2,1.3&0020000D=1.4",
         ACTION_QUERY, DICOM_API_DICOMWEB, .study = "1.2,1.3,1.4"},
        {"GET", "/s/studies?StudyInstanceUID=1.2%2C1.3", ACTION_QUERY,
         DICOM_API_DICOMWEB, .study = "1.2,1.3"},
        {"GET", "/s/studies?PatientID=&PatientID&PatientID=P&&PatientID=",
         ACTION_QUERY, DICOM_API_DICOMWEB, .patient = "P"},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
the_path_goes_before_the_query(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/s/studies/1.2/series?StudyInstanceUID=9.9&0020000E=3.4",
         ACTION_QUERY, DICOM_API_DICOMWEB, .study = "1.2", .series = "3.4"},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
path_parameters_are_no_part_of_an_identifier(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/s/studies/1.2;v=1/metadata", ACTION_VIEW, DICOM_API_DICOMWEB,
         .study = "1.2"},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
a_fragment_is_no_part_of_an_identifier(void **state)
{
    dicom_request_t r = classify("GET", "/s/studies?PatientID=P#&PatientID=Q",
                                 NULL);

    (void) state;
    assert_true(id_is(&r.patient, "P"));
    r = classify("GET", "/s/studies/1.2#x", NULL);
    assert_true(id_is(&r.study, "1.2"));
}


static void
identifiers_are_kept_where_the_action_is_a_guess(void **state)
{
    static const dicom_case_t cases[] = {
        {"POST", "/portal/open?StudyInstanceUID=1.2&PatientID=P", ACTION_ADMIN,
         DICOM_API_UNKNOWN, .study = "1.2", .patient = "P", .uncertain = true},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
a_long_identifier_is_cut_and_says_so(void **state)
{
    char uri[1024];
    dicom_request_t r;

    (void) state;
    memset(uri, '1', sizeof(uri));
    memcpy(uri, "/studies/", 9);
    uri[9 + DICOM_ID_SIZE_MAX] = '\0';
    r = classify("GET", uri, NULL);
    assert_int_equal(r.study.size, DICOM_ID_SIZE_MAX);
    assert_false(r.study.cut);

    uri[9 + DICOM_ID_SIZE_MAX] = '1';
    uri[9 + DICOM_ID_SIZE_MAX + 1] = '\0';
    r = classify("GET", uri, NULL);
    assert_int_equal(r.action, ACTION_DOWNLOAD);
    assert_int_equal(r.study.size, DICOM_ID_SIZE_MAX);
    assert_true(r.study.cut);
    assert_false(r.patient.cut);
}


static void
a_cut_falls_between_characters(void **state)
{
    static const struct {
        const char *character;
        size_t before; /* bytes of ASCII in front of it */
        size_t size;   /* expected */
    } cases[] = {
        {"é", DICOM_ID_SIZE_MAX - 1, DICOM_ID_SIZE_MAX - 1},
        {"é", DICOM_ID_SIZE_MAX - 2, DICOM_ID_SIZE_MAX},
        {"山", DICOM_ID_SIZE_MAX - 1, DICOM_ID_SIZE_MAX - 1},
        {"山", DICOM_ID_SIZE_MAX - 2, DICOM_ID_SIZE_MAX - 2},
        {"山", DICOM_ID_SIZE_MAX - 3, DICOM_ID_SIZE_MAX},
        {"😀", DICOM_ID_SIZE_MAX - 1, DICOM_ID_SIZE_MAX - 1},
        {"😀", DICOM_ID_SIZE_MAX - 3, DICOM_ID_SIZE_MAX - 3},
        {"😀", DICOM_ID_SIZE_MAX - 4, DICOM_ID_SIZE_MAX},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char uri[1024], ascii[DICOM_ID_SIZE_MAX + 1];
        dicom_request_t r;

        memset(ascii, 'a', sizeof(ascii));
        ascii[cases[i].before] = '\0';
        snprintf(uri, sizeof(uri), "/studies?PatientID=%s%sxxxxx", ascii,
                 cases[i].character);
        r = classify("GET", uri, NULL);
        assert_int_equal(r.patient.size, cases[i].size);
        assert_true(r.patient.cut);
    }
}


static void
continuation_bytes_alone_are_cut_anywhere(void **state)
{
    char uri[1024];
    dicom_request_t r;
    int n = snprintf(uri, sizeof(uri), "/studies?PatientID=");

    (void) state;
    memset(uri + n, '\x80', 300);
    uri[n + 300] = '\0';
    r = classify("GET", uri, NULL);
    assert_int_equal(r.patient.size, DICOM_ID_SIZE_MAX);
    assert_true(r.patient.cut);
}


static void
joined_values_are_cut_together(void **state)
{
    char uri[2048];
    dicom_request_t r;
    size_t n = (size_t) snprintf(uri, sizeof(uri), "/studies?");

    (void) state;
    for (int i = 0; i < 100; i++) {
        n += (size_t) snprintf(uri + n, sizeof(uri) - n, "PatientID=ABCD&");
    }
    r = classify("GET", uri, NULL);
    assert_true(r.patient.cut);
    assert_true(r.patient.size <= DICOM_ID_SIZE_MAX);
    assert_memory_equal(r.patient.data, "ABCD,ABCD,", 10);
}


static void
an_identifier_may_hold_any_byte(void **state)
{
    dicom_request_t r = classify("GET", "/s/studies?PatientID=a%00b", NULL);

    (void) state;
    assert_true(slice_equal(dicom_id(&r.patient),
                            (slice_t){"a\0b", sizeof("a\0b") - 1}));
}


/* dicom_classify() does not clear the text, only the sizes. */
static void
nothing_of_an_earlier_request_stays(void **state)
{
    dicom_request_t r;

    (void) state;
    memset(&r, 0xee, sizeof(r));
    dicom_classify(SLICE("GET"), SLICE("/system"), SLICE(""), &r);
    assert_int_equal(r.action, ACTION_VIEW);
    assert_int_equal(
        r.patient.size + r.study.size + r.series.size + r.instance.size, 0);
    assert_false(r.patient.cut || r.study.cut || r.series.cut ||
                 r.instance.cut);
}


static void
every_api_has_a_name(void **state)
{
    (void) state;
    assert_string_equal(dicom_api_name(DICOM_API_UNKNOWN), "unknown");
    assert_string_equal(dicom_api_name(DICOM_API_DICOMWEB), "dicomweb");
    assert_string_equal(dicom_api_name(DICOM_API_WADO_URI), "wado-uri");
    assert_string_equal(dicom_api_name(DICOM_API_ORTHANC), "orthanc");
    assert_string_equal(dicom_api_name(DICOM_API_DCM4CHEE), "dcm4chee");
    assert_string_equal(dicom_api_name((dicom_api_t) 99), "unknown");
}


UNIT_TESTS(cmocka_unit_test(identifiers_come_percent_decoded),
           cmocka_unit_test(parameters_have_names_or_tags_in_any_case),
           cmocka_unit_test(several_values_are_joined_with_commas),
           cmocka_unit_test(the_path_goes_before_the_query),
           cmocka_unit_test(path_parameters_are_no_part_of_an_identifier),
           cmocka_unit_test(a_fragment_is_no_part_of_an_identifier),
           cmocka_unit_test(identifiers_are_kept_where_the_action_is_a_guess),
           cmocka_unit_test(a_long_identifier_is_cut_and_says_so),
           cmocka_unit_test(a_cut_falls_between_characters),
           cmocka_unit_test(continuation_bytes_alone_are_cut_anywhere),
           cmocka_unit_test(joined_values_are_cut_together),
           cmocka_unit_test(an_identifier_may_hold_any_byte),
           cmocka_unit_test(nothing_of_an_earlier_request_stays),
           cmocka_unit_test(every_api_has_a_name))
