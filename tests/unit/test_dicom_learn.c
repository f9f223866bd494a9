/* Answers of a PACS, in any pieces, and what is read out of them. */

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/dicom/learn.h"

#define STUDY           "1.2.840.113619.2.55.3"
#define ORTHANC_PATIENT "ed240d02-54bb4043-cf9bbcf1-f2dac179-1ee8dfd5"
#define ORTHANC_STUDY   "71b152d9-013169ad-24f7cd5f-31c5d00b-33b2f1e8"
#define A               "aaaaaaaa-bbbbbbbb-cccccccc-dddddddd-eeeeeee1"
#define B               "aaaaaaaa-bbbbbbbb-cccccccc-dddddddd-eeeeeee2"
#define C               "aaaaaaaa-bbbbbbbb-cccccccc-dddddddd-eeeeeee3"
#define D               "aaaaaaaa-bbbbbbbb-cccccccc-dddddddd-eeeeeee4"

typedef struct {
    char text[4096];
    size_t size;
    unsigned count;
} told_t;

static void
add(told_t *told, const char *name, slice_t value)
{
    if (value.size > 0 && told->size < sizeof(told->text)) {
        told->size += (size_t) snprintf(told->text + told->size,
                                        sizeof(told->text) - told->size,
                                        "%s=%.*s ", name, SLICE_ARG(value));
    }
}

static void
note(void *context, const dicom_learned_t *learned)
{
    static const char *const kinds[] = {"", "patient ", "parent ", "stored "};
    told_t *told = context;

    told->count++;
    add(told, "", slice_of(kinds[learned->kind]));
    add(told, "study", learned->study);
    add(told, "patient", learned->patient);
    add(told, "issuer", learned->issuer);
    add(told, "name", learned->name);
    add(told, "o_study", learned->orthanc_study);
    add(told, "o_patient", learned->orthanc_patient);
    add(told, learned->of_instance ? "instance" : "child", learned->child);
    add(told, "parent", learned->parent);
    add(told, "", SLICE(";"));
}

static dicom_learn_result_t
read_in_two(const char *json, size_t size, size_t cut, unsigned flags,
            told_t *told)
{
    dicom_learn_t learn;
    char *first = malloc(cut + 1), *second = malloc(size - cut + 1);
    dicom_learn_result_t result;

    /* pieces of their own, so that a sanitizer sees a read beyond one */
    assert_non_null(first);
    assert_non_null(second);
    memcpy(first, json, cut);
    memcpy(second, json + cut, size - cut);
    memset(told, 0, sizeof(*told));
    memset(&learn, 0xa5, sizeof(learn));
    dicom_learn_start(&learn, flags, note, told);
    dicom_learn_feed(&learn, first, cut);
    result = dicom_learn_feed(&learn, second, size - cut);
    free(first);
    free(second);

    return result;
}

/* The same, wherever it is cut, and byte by byte. */
static void
expect_with(const char *json, unsigned flags, dicom_learn_result_t result,
            const char *expected)
{
    size_t size = strlen(json);
    dicom_learn_t learn;
    told_t told;

    for (size_t cut = 0; cut <= size; cut++) {
        assert_int_equal(read_in_two(json, size, cut, flags, &told), result);
        assert_string_equal(told.text, expected);
    }

    memset(&told, 0, sizeof(told));
    dicom_learn_start(&learn, flags, note, &told);
    for (size_t i = 0; i < size; i++) {
        dicom_learn_feed(&learn, json + i, 1);
    }
    assert_string_equal(told.text, expected);
}

static void
expect(const char *json, const char *expected)
{
    expect_with(json, DICOM_LEARN_NAMES, DICOM_LEARN_MORE, expected);
}

#define UI(tag, value) "\"" tag "\":{\"vr\":\"UI\",\"Value\":[\"" value "\"]}"
#define PAIR           UI("0020000D", STUDY) "," UI("00100020", "DEMO-0001")
#define TOLD           "=patient  study=" STUDY " patient=DEMO-0001 =; "

static void
a_dataset_tells_study_and_patient(void **state)
{
    (void) state;
    expect("[{" PAIR "}]", TOLD);
}

static void
the_order_does_not_matter(void **state)
{
    (void) state;
    expect("[{\"00100021\":{\"Value\":[\"HOSP\"],\"vr\":\"LO\"},"
           "\"00100020\":{\"Value\":[\"DEMO-0001\"],\"vr\":\"LO\"},"
           "\"00080005\":{\"Value\":[\"ISO_IR 192\"],\"vr\":\"CS\"},"
           "\"0020000D\":{\"vr\":\"UI\",\"Value\":[\"" STUDY "\"]}}]",
           "=patient  study=" STUDY " patient=DEMO-0001 issuer=HOSP =; ");
}

static void
names_are_read_only_if_they_are_wanted(void **state)
{
    static const char json[] =
        "[{" PAIR ",\"00100010\":{\"vr\":\"PN\",\"Value\":[{"
        "\"Ideographic\":\"X\",\"Alphabetic\":\"DEMO^HANAKO\"}]}}]";

    (void) state;
    expect(json,
           "=patient  study=" STUDY " patient=DEMO-0001 name=DEMO^HANAKO =; ");
    expect_with(json, 0, DICOM_LEARN_MORE, TOLD);
}

static void
several_datasets_are_told_one_by_one(void **state)
{
    (void) state;
    expect("[{" PAIR "},\n {" UI("00100020", "P2") "},{" UI(
               "0020000D", "1.2") "," UI("00100020", "P3") "}]",
           TOLD "=patient  study=1.2 patient=P3 =; ");
}

static void
sequences_are_not_the_dataset(void **state)
{
    (void) state;
    /* Referenced Series Sequence, and one that comes before */
    expect("[{\"00081110\":{\"vr\":\"SQ\",\"Value\":[{" UI(
               "0020000D",
               "9.9") "," UI("00100020",
                             "OTHER") "}]}," PAIR ",\"00081115\":{\"vr\":"
                                      "\"SQ\",\"Value\":[{" UI("0020000D",
                                                               "9.8") "}]}}]",
           TOLD);
    expect("[{\"00081115\":{\"vr\":\"SQ\",\"Value\":[{" PAIR "}]}}]", "");
}

static void
bulk_data_and_deep_sequences_are_passed_over(void **state)
{
    (void) state;
    expect("[{\"7FE00010\":{\"vr\":\"OW\",\"BulkDataURI\":\"/x/\\\"{[\"},"
           "\"00091001\":{\"vr\":\"OB\",\"InlineBinary\":\"AAAA\"},"
           "\"0040A730\":{\"Value\":[{\"0040A730\":{\"Value\":[{\"a\":[[[{}]]]}"
           "]}}]},\"00280010\":{\"vr\":\"US\",\"Value\":[512,-1.5e3,null]},"
           "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"DEMO-0001\"]},"
           "\"0020000D\":{\"x\":[1],\"y\":{\"Value\":[\"7\"]},\"Value\":"
           "[\"" STUDY "\"]}}]",
           TOLD);
}

static void
escapes_are_undone(void **state)
{
    (void) state;
    expect("[{" UI("0020000D", STUDY) "," UI(
               "00100020", "\\u00e9\\ud83d\\ude00\\/\\u65e5\\\"") "}]",
           "=patient  study=" STUDY " patient=\xc3\xa9\xf0\x9f\x98\x80/"
           "\xe6\x97\xa5\" =; ");
    expect("[{\"\\u0030020000D\":{\"Value\":[\"" STUDY
           "\"]}," UI("00100020", "A") "}]",
           "=patient  study=" STUDY " patient=A =; ");
}

static void
what_is_no_text_is_no_identifier(void **state)
{
    static const char *const values[] = {
        "\\ud83d",      "\\ude00",  "\\ud83dx", "\\ud83d\\n",
        "a\\u0001",     "A\\\\B",   "\xff",     "\xc0\x80",
        "\xed\xa0\x80", "\xe2\x82", "a\\u0000b"};
    char json[512];

    (void) state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        snprintf(json, sizeof(json), "[{%s,%s%s%s},{%s}]",
                 UI("0020000D", "1.2"), "\"00100020\":{\"Value\":[\"",
                 values[i], "\"]}", PAIR);
        expect(json, TOLD);
    }
}

static void
padding_is_no_part_of_an_identifier(void **state)
{
    (void) state;
    expect("[{" UI("0020000D", STUDY "\\u0000") "," UI("00100020",
                                                       " DEMO-0001  ") "}]",
           TOLD);
}

static void
more_than_one_value_is_none(void **state)
{
    (void) state;
    expect("[{" UI("0020000D", STUDY) ",\"00100020\":{\"Value\":"
                                      "[\"A\",\"B\"]}}]",
           "");
    expect("[{" PAIR "," UI("00100020", "OTHER") "}]", "");
    expect("[{" PAIR "," UI("00100020", "DEMO-0001") "}]", TOLD);
}

static void
values_of_another_kind_are_none(void **state)
{
    (void) state;
    expect("[{" UI("0020000D", STUDY) ",\"00100020\":{\"Value\":[5]}}]", "");
    expect("[{" UI("0020000D", STUDY) ",\"00100020\":{\"Value\":[{}]}}]", "");
    expect("[{" UI("0020000D", STUDY) ",\"00100020\":{\"Value\":[null]}}]", "");
    expect("[{" UI("0020000D", STUDY) ",\"00100020\":{\"Value\":[]}}]", "");
    expect("[{" UI("0020000D", STUDY) ",\"00100020\":{\"vr\":\"LO\"}}]", "");
    expect("[{" UI("0020000D", "1.x") "," UI("00100020", "A") "}]", "");
}

static void
values_that_are_too_long_are_none(void **state)
{
    char json[2048], id[300];

    (void) state;
    for (size_t size = 255; size <= 257; size++) {
        memset(id, 'A', size);
        id[size] = '\0';
        snprintf(json, sizeof(json), "[{%s,\"00100020\":{\"Value\":[\"%s\"]}}]",
                 UI("0020000D", "1.2"), id);
        told_t told;
        read_in_two(json, strlen(json), 100, 0, &told);
        assert_int_equal(told.count, size <= 256);
    }
}

static void
orthanc_study_tells_all_its_names(void **state)
{
    (void) state;
    expect("{\"ID\":\"" A "\",\"IsStable\":true,\"LastUpdate\":\"2026\","
           "\"MainDicomTags\":{\"StudyDate\":\"2026\",\"StudyInstanceUID\":"
           "\"" STUDY "\"},\"ParentPatient\":\"" B "\","
           "\"PatientMainDicomTags\":{\"PatientID\":\"DEMO-0001\","
           "\"PatientName\":\"DEMO^HANAKO=X=Y\"},\"Series\":[\"" C
           "\"],\"Type\":\"Study\"}",
           "=parent  child=" C " parent=" A " =; =patient  study=" STUDY
           " patient=DEMO-0001 name=DEMO^HANAKO o_study=" A " o_patient=" B
           " =; ");
}

static void
orthanc_patient_tells_its_studies(void **state)
{
    (void) state;
    expect("[{\"ID\":\"" B "\",\"MainDicomTags\":{\"PatientID\":\"DEMO-0001\"},"
           "\"Studies\":[\"" A "\"],\"Type\":\"Patient\"}]",
           "=patient  patient=DEMO-0001 o_study=" A " o_patient=" B
           " =; =patient  patient=DEMO-0001 o_patient=" B " =; ");
}

static void
orthanc_series_and_instances_tell_their_parents(void **state)
{
    (void) state;
    expect("{\"ID\":\"" C "\",\"Instances\":[\"" D "\"],\"ParentStudy\":\"" A
           "\",\"Type\":\"Series\"}",
           "=parent  instance=" D " parent=" C " =; =parent  child=" C
           " parent=" A " =; ");
    expect("[{\"ID\":\"" D "\",\"ParentSeries\":\"" C
           "\",\"Type\":\"Instance\"}]",
           "=parent  instance=" D " parent=" C " =; ");
}

static void
orthanc_tags_are_read_in_all_their_forms(void **state)
{
    (void) state;
    expect("{\"0008,1140\":{\"Name\":\"R\",\"Type\":\"Sequence\",\"Value\":"
           "[{\"0020,000d\":{\"Value\":\"9\"}}]},\"0010,0020\":{\"Name\":"
           "\"PatientID\",\"Type\":\"String\",\"Value\":\"DEMO-0001\"},"
           "\"0020,000d\":{\"Name\":\"StudyInstanceUID\",\"Type\":\"String\","
           "\"Value\":\"" STUDY "\"}}",
           TOLD);
    expect("{\"PatientID\":\"DEMO-0001\",\"ReferencedStudySequence\":[{"
           "\"StudyInstanceUID\":\"9\"}],\"StudyInstanceUID\":\"" STUDY "\"}",
           TOLD);
    expect("{\"0010,0020\":\"DEMO-0001\",\"0020,000d\":\"" STUDY "\"}", TOLD);
    expect("{\"" D "\":{\"PatientID\":\"DEMO-0001\",\"StudyInstanceUID\":"
           "\"" STUDY "\"}}",
           TOLD);
}

static void
a_store_tells_the_study_alone(void **state)
{
    static const char url[] = "{\"00081190\":{\"vr\":\"UR\",\"Value\":[\"http:"
                              "//x/dicom-web/studies/" STUDY "\"]}";
    char json[1024];

    (void) state;
    snprintf(json, sizeof(json),
             "%s,\"00081199\":{\"vr\":\"SQ\",\"Value\":[%s/series/1\"]}}]}}",
             url,
             "{\"00081150\":{\"Value\":[\"1\"]},\"00081190\":{\"Value\":"
             "[\"/studies/1.9");
    expect_with(json, DICOM_LEARN_STORED, DICOM_LEARN_MORE,
                "=stored  study=" STUDY " =; =stored  study=1.9 =; ");
    expect(json, "");
    expect_with("{\"ID\":\"" D "\",\"ParentPatient\":\"" B
                "\",\"ParentSeries\":\"" C "\",\"ParentStudy\":\"" A
                "\",\"Path\":\"/x\",\"Status\":\"Success\"}",
                DICOM_LEARN_STORED, DICOM_LEARN_MORE,
                "=parent  instance=" D " parent=" C " =; =parent  child=" C
                " parent=" A " =; =stored  o_study=" A " =; ");
}

static void
one_dataset_is_enough_where_a_study_is_named(void **state)
{
    static const char json[] = "[{" PAIR "},{" UI("0020000D", "1") "," UI(
        "00100020", "B") "} and no JSON";

    (void) state;
    expect_with(json, DICOM_LEARN_ONE_STUDY, DICOM_LEARN_DONE, TOLD);
}

static void
it_gives_up_on_what_is_no_json(void **state)
{
    static const char *const answers[] = {
        "<html>",         "[{\"a\" 1}]", "[{a:1}]",      "[1 2]",
        "{\"a\":}",       "[}",          "{\"a\":[}]}",  "[] x",
        "[\"a\\x\"]",     "{\"\\x\":1}", "[{\"a\":1,}]", "\"text\"",
        "{\"\\u00g\":1}", "[\"a\nb\"]",  "{} {}",        "\xef\xbb\xbf[]"};

    (void) state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        if (i == 8) { /* an escape in a text that means nothing is skipped */
            continue;
        }
        expect_with(answers[i], 0, DICOM_LEARN_GAVE_UP, "");
    }
}

static void
other_json_is_read_and_tells_nothing(void **state)
{
    static const char *const answers[] = {
        "[]",
        "{}",
        "null",
        "12.5e-3",
        "[[{" PAIR "}]]",
        "{\"x\":{" PAIR "}}",
        "[\"" A "\",\"" B "\"]",
        " [ 1 , true ,\t\"x\", { } ]\r\n",
        "{\"Changes\":[{\"ID\":\"" A "\"}],\"Done\":true}",
        "{\"Studies\":\"" A "\",\"Type\":{},\"MainDicomTags\":[1],\"ID\":7}"};

    (void) state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        expect(answers[i], "");
    }
}

static void
depth_is_bounded(void **state)
{
    char json[600];
    told_t told;

    (void) state;
    memset(json, '[', 300);
    assert_int_equal(read_in_two(json, DICOM_LEARN_DEPTH, 7, 0, &told),
                     DICOM_LEARN_MORE);
    assert_int_equal(read_in_two(json, DICOM_LEARN_DEPTH + 1, 7, 0, &told),
                     DICOM_LEARN_GAVE_UP);
}

/* As one piece, which is read many bytes at a time, and in two. */
static void
expect_both(const char *json, dicom_learn_result_t result, const char *expected)
{
    size_t size = strlen(json);
    told_t told;

    assert_int_equal(read_in_two(json, size, size, 0, &told), result);
    assert_string_equal(told.text, expected);
    for (size_t cut = size / 2; cut < size / 2 + 70 && cut < size; cut++) {
        assert_int_equal(read_in_two(json, size, cut, 0, &told), result);
        assert_string_equal(told.text, expected);
    }
}

static void
what_is_skipped_ends_where_it_should(void **state)
{
    static const char *const good[] = {"\\\"]}",    "{[", "\\\\",
                                       "\\\\\\\"}", "",   "\\u0022}"};
    char json[1024], text[200];

    (void) state;
    for (int pad = 0; pad < 140; pad++) {
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
            snprintf(json, sizeof(json),
                     "[{\"00091001\":{\"x\":\"%*s%s\",\n\"y\":[{\"a\":\"]\"},"
                     "\n\n[],1]},%s}]",
                     pad, "", good[i], PAIR);
            expect_both(json, DICOM_LEARN_MORE, TOLD);
        }
        memset(text, 'x', sizeof(text));
        snprintf(json, sizeof(json), "[{\"00091001\":[%*s\"\n\"],%s}]", pad, "",
                 PAIR);
        expect_both(json, DICOM_LEARN_GAVE_UP, "");
        snprintf(json, sizeof(json), "[{\"00091001\":[\"%.*s\",{]},1],%s}]",
                 pad, text, PAIR);
        expect_both(json, DICOM_LEARN_GAVE_UP, "");
        /* what is behind it is read as strictly as ever */
        snprintf(json, sizeof(json), "[{\"00091001\":[%*s] \"a\":1,%s}]", pad,
                 "", PAIR);
        expect_both(json, DICOM_LEARN_GAVE_UP, "");
    }
}

static void
what_is_skipped_may_be_deep(void **state)
{
    char json[2048], open[300], close[300];

    (void) state;
    for (size_t depth = 1; depth <= DICOM_LEARN_DEPTH - 2; depth++) {
        for (size_t i = 0; i < depth; i++) {
            open[i] = i % 3 ? '[' : '{';
            close[depth - 1 - i] = i % 3 ? ']' : '}';
        }
        open[depth] = close[depth] = '\0';
        snprintf(json, sizeof(json), "[{\"00091001\":%s\"%80s\"%s,%s}]", open,
                 "", close, PAIR);
        expect_both(json, DICOM_LEARN_MORE, TOLD);
        close[depth / 2] = close[depth / 2] == ']' ? '}' : ']';
        snprintf(json, sizeof(json), "[{\"00091001\":%s%80s%s,%s}]", open, "",
                 close, PAIR);
        expect_both(json, DICOM_LEARN_GAVE_UP, "");
    }
    memset(open, '[', DICOM_LEARN_DEPTH - 1);
    open[DICOM_LEARN_DEPTH - 1] = '\0';
    snprintf(json, sizeof(json), "[{\"00091001\":%s%80s", open, "");
    expect_both(json, DICOM_LEARN_GAVE_UP, "");
}

static void
keys_and_white_space_may_be_long(void **state)
{
    char json[4096], key[700];

    (void) state;
    memset(key, 'k', sizeof(key));
    for (int size = 0; size < 700; size += size < 40 ? 1 : 97) {
        snprintf(json, sizeof(json),
                 "[{\"%.*s\":{\"vr\":\"%.*s\"},%*s\"%.*s\"%*s:%*s\"x\",%s}]",
                 size, key, size, key, size % 50, "", size, key, size % 40, "",
                 size % 60, "", PAIR);
        expect_both(json, DICOM_LEARN_MORE, TOLD);
    }
}

/* 100 MB in pieces of 8 KB, all of it in the one dicom_learn_t. */
static void
large_answers_take_no_more_memory(void **state)
{
    static const char dataset[] =
        ",{\"00080005\":{\"Value\":[\"ISO_IR 192\"],\"vr\":\"CS\"},"
        "\"00081110\":{\"Value\":[{" PAIR "}],\"vr\":\"SQ\"}," PAIR "}";
    dicom_learn_t learn;
    told_t told;
    uint64_t done = 0;
    unsigned count = 0;

    (void) state;
    memset(&told, 0, sizeof(told));
    dicom_learn_start(&learn, 0, note, &told);
    dicom_learn_feed(&learn, "[0", 2);
    while (done < 100 * 1000 * 1000) {
        dicom_learn_feed(&learn, dataset, sizeof(dataset) - 1);
        done += sizeof(dataset) - 1;
        count++;
        told.size = 0;
    }
    assert_int_equal(dicom_learn_feed(&learn, "]", 1), DICOM_LEARN_MORE);
    assert_int_equal(told.count, count);
    assert_true(sizeof(learn) < 4096);
}

static void
orthanc_ids_are_those_that_orthanc_makes(void **state)
{
    char id[ORTHANC_ID_SIZE], again[ORTHANC_ID_SIZE];
    uint8_t bytes[ORTHANC_ID_BYTES];

    (void) state;
    /* printf 'DEMO-0001' | sha1sum */
    assert_int_equal(orthanc_id_patient(SLICE(" DEMO-0001 "), id), 0);
    assert_memory_equal(id, ORTHANC_PATIENT, sizeof(id));
    /* printf 'DEMO-0001|1.2.840.113619.2.55.3' | sha1sum */
    assert_int_equal(orthanc_id_study(SLICE("DEMO-0001"), SLICE(STUDY), id), 0);
    assert_memory_equal(id, ORTHANC_STUDY, sizeof(id));

    assert_true(orthanc_id_parse((slice_t){id, sizeof(id)}, bytes));
    orthanc_id_format(bytes, again);
    assert_memory_equal(id, again, sizeof(id));
    id[8] = '0';
    assert_false(orthanc_id_parse((slice_t){id, sizeof(id)}, bytes));
    assert_false(orthanc_id_parse((slice_t){id, sizeof(id) - 1}, bytes));
}

static void
only_answers_that_may_tell_are_read(void **state)
{
    static const struct {
        const char *method, *target;
        bool expected;
    } cases[] = {
        {"GET", "/dicom-web/studies?limit=1", true},
        {"GET", "/dicom-web/studies/1.2/series/1.3/metadata", true},
        {"GET", "/dicom-web/studies/1.2/series", true},
        {"GET", "/dicom-web/studies/1.2/series/1.3/instances/1.4/frames/1",
         false},
        {"GET", "/dicom-web/studies/1.2/rendered", false},
        {"GET", "/dicom-web/studies/1.2", false},
        {"POST", "/dicom-web/studies", true},
        {"POST", "/tools/find", true},
        {"GET", "/studies/" A, true},
        {"GET", "/instances/" A "/tags", true},
        {"GET", "/instances/" A "/preview", false},
        {"GET", "/instances/" A "/file", false},
        {"POST", "/instances", true},
        {"DELETE", "/studies/" A, false},
        {"GET", "/queries/x/answers/0/content", false},
        {"GET", "/dcm4chee-arc/aets/DCM4CHEE/rs/studies?PatientID=1", true},
        {"GET", "/wado?requestType=WADO&studyUID=1", false},
        {"GET", "/index.html", false}};
    dicom_request_t request;

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        slice_t target = slice_of(cases[i].target);

        dicom_classify(slice_of(cases[i].method), target, SLICE(""), &request);
        if (dicom_learn_expects(target, request.api, request.action) !=
            cases[i].expected)
        {
            fail_msg("%s %s", cases[i].method, cases[i].target);
        }
    }
}

static void
only_json_is_read(void **state)
{
    (void) state;
    assert_true(dicom_learn_reads(SLICE("application/json")));
    assert_true(dicom_learn_reads(SLICE("Application/DICOM+json;charset=x")));
    assert_true(dicom_learn_reads(SLICE("application/json ; a=b")));
    assert_false(dicom_learn_reads(SLICE("application/jsonp")));
    assert_false(dicom_learn_reads(SLICE("application/dicom+xml")));
    assert_false(dicom_learn_reads(SLICE("multipart/related; type=\"application"
                                         "/dicom+json\"")));
    assert_false(dicom_learn_reads(SLICE("")));
}

UNIT_TESTS(cmocka_unit_test(a_dataset_tells_study_and_patient),
           cmocka_unit_test(the_order_does_not_matter),
           cmocka_unit_test(names_are_read_only_if_they_are_wanted),
           cmocka_unit_test(several_datasets_are_told_one_by_one),
           cmocka_unit_test(sequences_are_not_the_dataset),
           cmocka_unit_test(bulk_data_and_deep_sequences_are_passed_over),
           cmocka_unit_test(escapes_are_undone),
           cmocka_unit_test(what_is_no_text_is_no_identifier),
           cmocka_unit_test(padding_is_no_part_of_an_identifier),
           cmocka_unit_test(more_than_one_value_is_none),
           cmocka_unit_test(values_of_another_kind_are_none),
           cmocka_unit_test(values_that_are_too_long_are_none),
           cmocka_unit_test(orthanc_study_tells_all_its_names),
           cmocka_unit_test(orthanc_patient_tells_its_studies),
           cmocka_unit_test(orthanc_series_and_instances_tell_their_parents),
           cmocka_unit_test(orthanc_tags_are_read_in_all_their_forms),
           cmocka_unit_test(a_store_tells_the_study_alone),
           cmocka_unit_test(one_dataset_is_enough_where_a_study_is_named),
           cmocka_unit_test(it_gives_up_on_what_is_no_json),
           cmocka_unit_test(other_json_is_read_and_tells_nothing),
           cmocka_unit_test(depth_is_bounded),
           cmocka_unit_test(what_is_skipped_ends_where_it_should),
           cmocka_unit_test(what_is_skipped_may_be_deep),
           cmocka_unit_test(keys_and_white_space_may_be_long),
           cmocka_unit_test(large_answers_take_no_more_memory),
           cmocka_unit_test(orthanc_ids_are_those_that_orthanc_makes),
           cmocka_unit_test(only_answers_that_may_tell_are_read),
           cmocka_unit_test(only_json_is_read))
