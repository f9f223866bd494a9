/* What the requests of each API are taken for. */

#include "test_dicom_cases.h"

#define WEB  DICOM_API_DICOMWEB
#define ORTH DICOM_API_ORTHANC
#define ARC  DICOM_API_DCM4CHEE
#define NONE DICOM_API_UNKNOWN

static void
qido_searches_are_queries(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/dicom-web/studies", ACTION_QUERY, WEB},
        {"GET", "/dicom-web/series", ACTION_QUERY, WEB},
        {"GET", "/dicom-web/instances", ACTION_QUERY, WEB},
        {"GET", "/studies", ACTION_QUERY, WEB},
        {"HEAD", "/rs/studies", ACTION_QUERY, WEB},
        {"GET", "/qido-rs/studies?limit=101&offset=0", ACTION_QUERY, WEB},
        {"GET", "/dicom-web/studies?PatientName=YAM*&fuzzymatching=true",
         ACTION_QUERY, WEB},
        {"GET", "/dicom-web/studies/1.2.3/series", ACTION_QUERY, WEB,
         .study = "1.2.3"},
        {"GET", "/dicom-web/studies/1.2.3/instances", ACTION_QUERY, WEB,
         .study = "1.2.3"},
        {"GET", "/dicom-web/studies/1.2.3/series/4.5/instances", ACTION_QUERY,
         WEB, .study = "1.2.3", .series = "4.5"},
        {"GET", "/dicom-web/series?StudyInstanceUID=1.2.3", ACTION_QUERY, WEB,
         .study = "1.2.3"},
        {"GET", "/a/b/c/studies?PatientID=P1", ACTION_QUERY, WEB,
         .patient = "P1"},
        {"GET", "/dicomweb/studies?00100020=P1&includefield=all", ACTION_QUERY,
         WEB, .patient = "P1"},
        {"GET", "/dicom-web/studies", ACTION_QUERY, WEB,
         .accept = MULTIPART_DICOM},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
wado_retrievals_are_downloads(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/dicom-web/studies/1.2.3", ACTION_DOWNLOAD, WEB,
         .study = "1.2.3"},
        {"HEAD", "/dicom-web/studies/1.2.3", ACTION_DOWNLOAD, WEB,
         .study = "1.2.3"},
        {"GET", "/wado-rs/studies/1.2.3/series/4.5", ACTION_DOWNLOAD, WEB,
         .study = "1.2.3", .series = "4.5"},
        {"GET", "/dicomweb/studies/1.2.3/series/4.5/instances/6.7",
         ACTION_DOWNLOAD, WEB, .study = "1.2.3", .series = "4.5",
         .instance = "6.7"},
        {"GET", "/dicom-web/studies/1.2.3", ACTION_DOWNLOAD, WEB,
         .accept = "*/*", .study = "1.2.3"},
        {"GET", "/dicom-web/studies/1.2.3", ACTION_DOWNLOAD, WEB,
         .accept = MULTIPART_DICOM, .study = "1.2.3"},
        {"GET", "/dicom-web/studies/1.2.3?accept=application/zip",
         ACTION_DOWNLOAD, WEB, .study = "1.2.3"},
        {"GET", "/dicom-web/studies/1.2.3/instances/6.7", ACTION_DOWNLOAD, WEB,
         .study = "1.2.3", .instance = "6.7"},
        {"GET", "/studies/not-a-uid", ACTION_DOWNLOAD, WEB,
         .study = "not-a-uid"},
        {"GET", "/series/4.5", ACTION_DOWNLOAD, WEB, .series = "4.5",
         .uncertain = true},
        {"GET", "/instances/6.7", ACTION_DOWNLOAD, WEB, .instance = "6.7",
         .uncertain = true},
        {"GET", "/dicom-web/studies/1.2.3/archive", ACTION_DOWNLOAD, ORTH,
         .study = "1.2.3"},
        {"GET", "/rs/studies/1.2.3/zip", ACTION_DOWNLOAD, ORTH,
         .study = "1.2.3"},
        {"GET", "/rs/studies/1.2.3/download", ACTION_DOWNLOAD, ORTH,
         .study = "1.2.3"},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
wado_metadata_frames_and_renderings_are_views(void **state)
{
#define I   "/dicom-web/studies/1.2.3/series/4.5/instances/6.7"
#define IDS .study = "1.2.3", .series = "4.5", .instance = "6.7"
    static const dicom_case_t cases[] = {
        {"GET", "/dicom-web/studies/1.2.3/metadata", ACTION_VIEW, WEB,
         .study = "1.2.3"},
        {"GET", "/dicom-web/studies/1.2.3/rendered", ACTION_VIEW, WEB,
         .study = "1.2.3"},
        {"GET", "/dicom-web/studies/1.2.3/thumbnail", ACTION_VIEW, WEB,
         .study = "1.2.3"},
        {"GET", "/dicom-web/studies/1.2.3/bulkdata", ACTION_VIEW, WEB,
         .study = "1.2.3"},
        {"GET", "/dicom-web/studies/1.2.3/pixeldata", ACTION_VIEW, WEB,
         .study = "1.2.3"},
        {"GET", "/dicom-web/studies/1.2.3/series/4.5/metadata", ACTION_VIEW,
         WEB, .study = "1.2.3", .series = "4.5"},
        {"GET", "/dicom-web/studies/1.2.3/series/4.5/rendered", ACTION_VIEW,
         WEB, .study = "1.2.3", .series = "4.5"},
        {"GET", "/dicom-web/studies/1.2.3/series/4.5/thumbnail", ACTION_VIEW,
         WEB, .study = "1.2.3", .series = "4.5"},
        {"GET", I "/metadata", ACTION_VIEW, WEB, IDS},
        {"GET", I "/rendered?viewport=512,512&quality=80", ACTION_VIEW, WEB,
         IDS},
        {"GET", I "/thumbnail", ACTION_VIEW, WEB, IDS},
        {"GET", I "/frames", ACTION_VIEW, WEB, IDS},
        {"GET", I "/frames/1", ACTION_VIEW, WEB, IDS},
        {"GET", I "/frames/1,2,3", ACTION_VIEW, WEB, IDS},
        {"GET", I "/frames/1%2C2", ACTION_VIEW, WEB, IDS},
        {"GET", I "/frames/1/rendered", ACTION_VIEW, WEB, IDS},
        {"GET", I "/frames/1/thumbnail", ACTION_VIEW, WEB, IDS},
        {"GET", I "/bulkdata/7FE00010", ACTION_VIEW, WEB, IDS},
        {"GET", I "/bulkdata/54000100/0/54001010", ACTION_VIEW, WEB, IDS},
        {"GET", I "/bulk/7fe00010", ACTION_VIEW, WEB, IDS},
        {"GET", I "/pixeldata", ACTION_VIEW, WEB, IDS},
        {"GET", I "/metadata", ACTION_VIEW, WEB, .accept = DICOM_JSON, IDS},
        {"GET", I, ACTION_VIEW, WEB, .accept = "image/jpeg", IDS},
        {"GET", I "/something-new", ACTION_VIEW, WEB, IDS, .uncertain = true},
    };
#undef IDS
#undef I

    (void) state;
    CHECK_CASES(cases);
}


static void
stow_is_a_store(void **state)
{
    static const dicom_case_t cases[] = {
        {"POST", "/dicom-web/studies", ACTION_STORE, WEB},
        {"POST", "/stow-rs/studies", ACTION_STORE, WEB},
        {"POST", "/studies", ACTION_STORE, WEB},
        {"POST", "/dicom-web/studies/1.2.3", ACTION_STORE, WEB,
         .study = "1.2.3"},
        {"POST", "/dcm4chee-arc/aets/DCM4CHEE/rs/studies", ACTION_STORE, WEB},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
removals_are_deletes(void **state)
{
    static const dicom_case_t cases[] = {
        {"DELETE", "/dicom-web/studies/1.2.3", ACTION_DELETE, WEB,
         .study = "1.2.3"},
        {"DELETE", "/dicom-web/studies/1.2.3/series/4.5", ACTION_DELETE, WEB,
         .study = "1.2.3", .series = "4.5"},
        {"DELETE", "/rs/studies/1.2.3/series/4.5/instances/6.7", ACTION_DELETE,
         WEB, .study = "1.2.3", .series = "4.5", .instance = "6.7"},
        {"DELETE", "/studies/" OS, ACTION_DELETE, ORTH, .study = OS},
        {"DELETE", "/series/" OE, ACTION_DELETE, ORTH, .series = OE},
        {"DELETE", "/instances/" OI, ACTION_DELETE, ORTH, .instance = OI},
        {"DELETE", "/patients/" OP, ACTION_DELETE, ORTH, .patient = OP},
        {"DELETE", "/dcm4chee-arc/aets/A/rs/patients/P1%5E%5E%5EH",
         ACTION_DELETE, ARC, .patient = "P1^^^H"},
        {"POST", "/tools/bulk-delete", ACTION_DELETE, ORTH},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
other_changes_to_objects_are_admin(void **state)
{
    static const dicom_case_t cases[] = {
        {"PUT", "/dicom-web/studies/1.2.3", ACTION_ADMIN, ARC,
         .study = "1.2.3"},
        {"PATCH", "/dicom-web/studies/1.2.3", ACTION_ADMIN, WEB,
         .study = "1.2.3", .uncertain = true},
        {"POST", "/dicom-web/studies/1.2.3/series", ACTION_ADMIN, WEB,
         .study = "1.2.3", .uncertain = true},
        {"POST", "/dicom-web/studies/1.2.3/series/4.5", ACTION_ADMIN, WEB,
         .study = "1.2.3", .series = "4.5", .uncertain = true},
        {"POST", "/dicom-web/studies/1.2.3/metadata", ACTION_ADMIN, WEB,
         .study = "1.2.3", .uncertain = true},
        {"DELETE", "/dicom-web/studies", ACTION_ADMIN, WEB, .uncertain = true},
        {"DELETE", "/dicom-web/studies/1.2.*", ACTION_ADMIN, NONE,
         .uncertain = true},
        {"DELETE", "/dicom-web/studies/1.2,1.3", ACTION_ADMIN, NONE,
         .uncertain = true},
        {"POST", "/dicom-web/studies/not-a-uid", ACTION_ADMIN, NONE,
         .uncertain = true},
        {"POST", "/series", ACTION_ADMIN, WEB, .uncertain = true},
        {"PUT", "/dicom-web/instances", ACTION_ADMIN, WEB, .uncertain = true},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
worklists_are_read_as_queries_and_changed_as_admin(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/dicom-web/workitems", ACTION_QUERY, WEB},
        {"GET", "/dicom-web/workitems?00741000=SCHEDULED", ACTION_QUERY, WEB},
        {"GET", "/dicom-web/workitems/1.2.3", ACTION_VIEW, WEB},
        {"POST", "/dicom-web/workitems?1.2.3", ACTION_ADMIN, WEB},
        {"POST", "/dicom-web/workitems/1.2.3", ACTION_ADMIN, WEB},
        {"PUT", "/dicom-web/workitems/1.2.3/state", ACTION_ADMIN, WEB},
        {"PUT", "/dicom-web/workitems/1.2.3/state/AET", ACTION_ADMIN, WEB},
        {"POST", "/dicom-web/workitems/1.2.3/cancelrequest", ACTION_ADMIN, WEB},
        {"POST", "/dicom-web/workitems/1.2.3/subscribers/AET", ACTION_ADMIN,
         WEB},
        {"DELETE", "/dicom-web/workitems/1.2.3/subscribers/AET", ACTION_ADMIN,
         WEB},
        {"GET", "/dcm4chee-arc/aets/A/rs/workitems/count", ACTION_QUERY, WEB},
        {"GET", "/rs/modality-scheduled-procedure-steps", ACTION_QUERY, WEB},
        {"GET", "/rs/modality-performed-procedure-steps/1.2", ACTION_VIEW, WEB},
        {"PUT", "/rs/modality-performed-procedure-steps/1.2", ACTION_ADMIN,
         WEB},
        {"GET", "/dcm4chee-arc/aets/A/rs/mwlitems", ACTION_QUERY, ARC},
        {"GET", "/dcm4chee-arc/aets/A/rs/mwlitems/count", ACTION_QUERY, ARC},
        {"POST", "/dcm4chee-arc/aets/A/rs/mwlitems", ACTION_ADMIN, ARC},
        {"DELETE", "/dcm4chee-arc/aets/A/rs/mwlitems/1.2/S1", ACTION_ADMIN,
         ARC},
        {"POST", "/dcm4chee-arc/aets/A/rs/mwlitems/1.2/S1/status/ARRIVED",
         ACTION_ADMIN, ARC},
        {"GET", "/dcm4chee-arc/aets/A/rs/mpps?PatientID=1", ACTION_QUERY, ARC,
         .patient = "1"},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
wado_uri_is_a_view_only_with_a_rendered_content_type(void **state)
{
#define Q   "studyUID=1.2.3&seriesUID=4.5&objectUID=6.7"
#define IDS .study = "1.2.3", .series = "4.5", .instance = "6.7"
    static const dicom_case_t cases[] = {
        {"GET", "/wado?requestType=WADO&" Q, ACTION_DOWNLOAD,
         DICOM_API_WADO_URI, IDS},
        {"GET", "/wado?requestType=WADO&" Q "&contentType=application/dicom",
         ACTION_DOWNLOAD, DICOM_API_WADO_URI, IDS},
        {"GET", "/wado?requestType=WADO&" Q "&contentType=application%2Fdicom",
         ACTION_DOWNLOAD, DICOM_API_WADO_URI, IDS},
        {"GET", "/wado?requestType=WADO&" Q "&contentType=", ACTION_DOWNLOAD,
         DICOM_API_WADO_URI, IDS},
        {"GET", "/wado?requestType=WADO&" Q "&contentType=image/jpeg",
         ACTION_VIEW, DICOM_API_WADO_URI, IDS},
        {"GET", "/wado?requestType=WADO&" Q "&contentType=image%2Fpng&rows=512",
         ACTION_VIEW, DICOM_API_WADO_URI, IDS},
        {"GET", "/wado?requestType=WADO&" Q "&contentType=text/html",
         ACTION_VIEW, DICOM_API_WADO_URI, IDS},
        {"GET",
         "/wado?requestType=WADO&" Q
         "&contentType=image/jpeg,application/dicom",
         ACTION_DOWNLOAD, DICOM_API_WADO_URI, IDS},
        {"GET",
         "/wado?requestType=WADO&" Q
         "&contentType=image/jpeg&contentType=application/dicom",
         ACTION_DOWNLOAD, DICOM_API_WADO_URI, IDS},
        {"GET",
         "/wado?requestType=WADO&" Q "&anonymize=yes&contentType=image/jpeg",
         ACTION_VIEW, DICOM_API_WADO_URI, IDS},
        {"GET",
         "/dcm4chee-arc/aets/A/wado?requestType=WADO&" Q
         "&contentType=application/dicom",
         ACTION_DOWNLOAD, DICOM_API_WADO_URI, IDS},
        {"GET", "/portal/show.php?requestType=WADO&" Q, ACTION_DOWNLOAD,
         DICOM_API_WADO_URI, IDS},
        {"GET", "/WADO?REQUESTTYPE=wado&STUDYUID=1.2.3&objectuid=6.7",
         ACTION_DOWNLOAD, DICOM_API_WADO_URI, .study = "1.2.3",
         .instance = "6.7"},
        {"GET", "/wado?" Q, ACTION_DOWNLOAD, DICOM_API_WADO_URI, IDS,
         .uncertain = true},
        {"POST", "/wado?requestType=WADO&" Q "&contentType=image/jpeg",
         ACTION_ADMIN, NONE, IDS, .uncertain = true},
        {"GET", "/dicom-web/studies?requestType=WADO&objectUID=6.7",
         ACTION_DOWNLOAD, DICOM_API_WADO_URI, .instance = "6.7"},
    };
#undef IDS
#undef Q

    (void) state;
    CHECK_CASES(cases);
}


static void
orthanc_pages_of_objects_are_views(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/patients/" OP, ACTION_VIEW, ORTH, .patient = OP},
        {"GET", "/studies/" OS, ACTION_VIEW, ORTH, .study = OS},
        {"GET", "/series/" OE, ACTION_VIEW, ORTH, .series = OE},
        {"GET", "/instances/" OI, ACTION_VIEW, ORTH, .instance = OI},
        {"GET", "/orthanc/studies/" OS, ACTION_VIEW, ORTH, .study = OS},
        {"GET", "/patients/" OP "/studies", ACTION_VIEW, ORTH, .patient = OP},
        {"GET", "/studies/" OS "/series?expand", ACTION_VIEW, ORTH,
         .study = OS},
        {"GET", "/studies/" OS "/instances", ACTION_VIEW, ORTH, .study = OS},
        {"GET", "/series/" OE "/instances", ACTION_VIEW, ORTH, .series = OE},
        {"GET", "/series/" OE "/study", ACTION_VIEW, ORTH, .series = OE},
        {"GET", "/instances/" OI "/patient", ACTION_VIEW, ORTH, .instance = OI},
        {"GET", "/instances/" OI "/series", ACTION_VIEW, ORTH, .instance = OI},
        {"GET", "/instances/" OI "/preview", ACTION_VIEW, ORTH, .instance = OI},
        {"GET", "/instances/" OI "/image-uint8", ACTION_VIEW, ORTH,
         .instance = OI},
        {"GET", "/instances/" OI "/image-uint16", ACTION_VIEW, ORTH,
         .instance = OI},
        {"GET", "/instances/" OI "/image-int16", ACTION_VIEW, ORTH,
         .instance = OI},
        {"GET", "/instances/" OI "/rendered", ACTION_VIEW, ORTH,
         .instance = OI},
        {"GET", "/instances/" OI "/frames", ACTION_VIEW, ORTH, .instance = OI},
        {"GET", "/instances/" OI "/frames/0/preview", ACTION_VIEW, ORTH,
         .instance = OI},
        {"GET", "/instances/" OI "/frames/0/raw.gz", ACTION_VIEW, ORTH,
         .instance = OI},
        {"GET", "/instances/" OI "/tags?simplify", ACTION_VIEW, ORTH,
         .instance = OI},
        {"GET", "/instances/" OI "/simplified-tags", ACTION_VIEW, ORTH,
         .instance = OI},
        {"GET", "/instances/" OI "/content/0010-0020", ACTION_VIEW, ORTH,
         .instance = OI},
        {"GET", "/instances/" OI "/content/7fe0-0010/0", ACTION_VIEW, ORTH,
         .instance = OI},
        {"GET", "/instances/" OI "/header", ACTION_VIEW, ORTH, .instance = OI},
        {"GET", "/instances/" OI "/pdf", ACTION_VIEW, ORTH, .instance = OI},
        {"GET", "/instances/" OI "/metadata", ACTION_VIEW, ORTH,
         .instance = OI},
        {"GET", "/instances/" OI "/metadata/ReceptionDate", ACTION_VIEW, ORTH,
         .instance = OI},
        {"GET", "/studies/" OS "/statistics", ACTION_VIEW, ORTH, .study = OS},
        {"GET", "/studies/" OS "/shared-tags", ACTION_VIEW, ORTH, .study = OS},
        {"GET", "/studies/" OS "/module-patient", ACTION_VIEW, ORTH,
         .study = OS},
        {"GET", "/studies/" OS "/labels", ACTION_VIEW, ORTH, .study = OS},
        {"GET", "/studies/" OS "/ohif-dicom-json", ACTION_VIEW, ORTH,
         .study = OS},
        {"GET", "/series/" OE "/ordered-slices", ACTION_VIEW, ORTH,
         .series = OE},
        {"GET", "/patients/" OP "/protected", ACTION_VIEW, ORTH, .patient = OP},
        {"GET", "/instances/" OI "/attachments", ACTION_VIEW, ORTH,
         .instance = OI},
        {"GET", "/instances/" OI "/attachments/dicom/info", ACTION_VIEW, ORTH,
         .instance = OI},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
orthanc_files_and_archives_are_downloads(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/instances/" OI "/file", ACTION_DOWNLOAD, ORTH,
         .instance = OI},
        {"GET", "/studies/" OS "/archive", ACTION_DOWNLOAD, ORTH, .study = OS},
        {"GET", "/studies/" OS "/media?extended", ACTION_DOWNLOAD, ORTH,
         .study = OS},
        {"GET", "/series/" OE "/archive", ACTION_DOWNLOAD, ORTH, .series = OE},
        {"GET", "/series/" OE "/media", ACTION_DOWNLOAD, ORTH, .series = OE},
        {"GET", "/patients/" OP "/archive", ACTION_DOWNLOAD, ORTH,
         .patient = OP},
        {"POST", "/studies/" OS "/archive", ACTION_DOWNLOAD, ORTH, .study = OS},
        {"POST", "/patients/" OP "/media", ACTION_DOWNLOAD, ORTH,
         .patient = OP},
        {"GET", "/instances/" OI "/attachments/dicom/data", ACTION_DOWNLOAD,
         ORTH, .instance = OI},
        {"GET", "/instances/" OI "/attachments/1/compressed-data",
         ACTION_DOWNLOAD, ORTH, .instance = OI},
        {"GET", "/series/" OE "/numpy", ACTION_DOWNLOAD, ORTH, .series = OE},
        {"GET", "/instances/" OI "/matlab", ACTION_DOWNLOAD, ORTH,
         .instance = OI},
        {"GET", "/series/" OE "/nifti?compress", ACTION_DOWNLOAD, ORTH,
         .series = OE},
        {"POST", "/tools/create-archive", ACTION_DOWNLOAD, ORTH},
        {"GET", "/tools/create-archive?resources=" OS, ACTION_DOWNLOAD, ORTH},
        {"POST", "/tools/create-media", ACTION_DOWNLOAD, ORTH},
        {"POST", "/tools/create-media-extended", ACTION_DOWNLOAD, ORTH},
        {"GET", "/jobs/5a2e/archive", ACTION_DOWNLOAD, ORTH},
        {"GET", "/webdav/by-uids/1.2/3.4/5.6.dcm", ACTION_DOWNLOAD, ORTH},
        {"GET", "/transfers/chunks/" OI "?offset=0&size=1", ACTION_DOWNLOAD,
         ORTH},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
orthanc_searches_are_queries(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/patients", ACTION_QUERY, ORTH},
        {"GET", "/patients?since=0&limit=10", ACTION_QUERY, ORTH},
        {"GET", "/studies?expand", ACTION_QUERY, WEB},
        {"POST", "/tools/find", ACTION_QUERY, ORTH},
        {"POST", "/tools/lookup", ACTION_QUERY, ORTH},
        {"POST", "/tools/count-resources", ACTION_QUERY, ORTH},
        {"POST", "/tools/bulk-content", ACTION_QUERY, ORTH},
        {"POST", "/modalities/CT1/query", ACTION_QUERY, ORTH},
        {"POST", "/modalities/CT1/find-study", ACTION_QUERY, ORTH},
        {"POST", "/modalities/CT1/find-worklist", ACTION_QUERY, ORTH},
        {"POST", "/dicom-web/servers/remote/qido", ACTION_QUERY, ORTH},
        {"GET", "/queries", ACTION_QUERY, ORTH},
        {"GET", "/queries/ab/answers/0/content?simplify", ACTION_QUERY, ORTH},
        {"POST", "/queries/ab/answers/0/query-series", ACTION_QUERY, ORTH},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
orthanc_uploads_are_stores(void **state)
{
    static const dicom_case_t cases[] = {
        {"POST", "/instances", ACTION_STORE, ORTH},
        {"POST", "/orthanc/instances", ACTION_STORE, ORTH},
        {"POST", "/tools/create-dicom", ACTION_STORE, ORTH},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
orthanc_changes_and_sending_are_admin(void **state)
{
    static const dicom_case_t cases[] = {
        {"POST", "/studies/" OS "/anonymize", ACTION_ADMIN, ORTH, .study = OS},
        {"POST", "/studies/" OS "/modify", ACTION_ADMIN, ORTH, .study = OS},
        {"POST", "/studies/" OS "/merge", ACTION_ADMIN, ORTH, .study = OS},
        {"POST", "/studies/" OS "/split", ACTION_ADMIN, ORTH, .study = OS},
        {"POST", "/studies/" OS "/reconstruct", ACTION_ADMIN, ORTH,
         .study = OS},
        {"POST", "/studies/" OS "/update-dicomweb-cache", ACTION_ADMIN, ORTH,
         .study = OS},
        {"POST", "/studies/" OS, ACTION_ADMIN, ORTH, .study = OS,
         .uncertain = true},
        {"POST", "/instances/" OI "/modify", ACTION_ADMIN, ORTH,
         .instance = OI},
        {"POST", "/instances/" OI "/export", ACTION_ADMIN, ARC, .instance = OI},
        {"PUT", "/patients/" OP "/protected", ACTION_ADMIN, ORTH,
         .patient = OP},
        {"PUT", "/instances/" OI "/metadata/1024", ACTION_ADMIN, ORTH,
         .instance = OI},
        {"DELETE", "/instances/" OI "/metadata/1024", ACTION_ADMIN, ORTH,
         .instance = OI},
        {"PUT", "/studies/" OS "/labels/urgent", ACTION_ADMIN, ORTH,
         .study = OS},
        {"DELETE", "/studies/" OS "/labels/urgent", ACTION_ADMIN, ORTH,
         .study = OS},
        {"PUT", "/studies/" OS "/attachments/1025", ACTION_ADMIN, ORTH,
         .study = OS},
        {"DELETE", "/studies/" OS "/attachments/1025", ACTION_ADMIN, ORTH,
         .study = OS},
        {"POST", "/studies/" OS "/attachments/1025/compress", ACTION_ADMIN,
         ORTH, .study = OS},
        {"POST", "/tools/execute-script", ACTION_ADMIN, ORTH},
        {"POST", "/tools/reset", ACTION_ADMIN, ORTH},
        {"POST", "/tools/shutdown", ACTION_ADMIN, ORTH},
        {"POST", "/tools/bulk-modify", ACTION_ADMIN, ORTH},
        {"POST", "/tools/bulk-anonymize", ACTION_ADMIN, ORTH},
        {"POST", "/tools/dicom-echo", ACTION_ADMIN, ORTH},
        {"PUT", "/tools/log-level", ACTION_ADMIN, ORTH},
        {"PUT", "/tools/find", ACTION_ADMIN, ORTH},
        {"POST", "/modalities/CT1/store", ACTION_ADMIN, ORTH},
        {"POST", "/modalities/CT1/store-straight", ACTION_ADMIN, ORTH},
        {"POST", "/modalities/CT1/move", ACTION_ADMIN, ORTH},
        {"POST", "/modalities/CT1/get", ACTION_ADMIN, ORTH},
        {"POST", "/modalities/CT1/echo", ACTION_ADMIN, ORTH},
        {"PUT", "/modalities/CT1", ACTION_ADMIN, ORTH},
        {"DELETE", "/modalities/CT1", ACTION_ADMIN, ORTH},
        {"POST", "/peers/other/store", ACTION_ADMIN, ORTH},
        {"POST", "/dicom-web/servers/remote/stow", ACTION_ADMIN, ORTH},
        {"POST", "/dicom-web/servers/remote/retrieve", ACTION_ADMIN, ORTH},
        {"POST", "/dicom-web/servers/remote/get", ACTION_ADMIN, ORTH},
        {"POST", "/dicom-web/servers/remote/delete", ACTION_ADMIN, ORTH},
        {"POST", "/dicom-web/servers/remote/wado", ACTION_ADMIN, ORTH},
        {"POST", "/queries/ab/retrieve", ACTION_ADMIN, ORTH},
        {"POST", "/queries/ab/answers/0/retrieve", ACTION_ADMIN, ORTH},
        {"POST", "/jobs/5a2e/cancel", ACTION_ADMIN, ORTH},
        {"DELETE", "/jobs/5a2e/archive", ACTION_ADMIN, ORTH},
        {"DELETE", "/changes", ACTION_ADMIN, ORTH},
        {"DELETE", "/exports", ACTION_ADMIN, ORTH},
        {"POST", "/storage-commitment/1.2/remove", ACTION_ADMIN, ORTH},
        {"POST", "/transfers/send", ACTION_ADMIN, ORTH},
        {"PUT", "/webdav/uploads/a.dcm", ACTION_ADMIN, ORTH},
        {"MKCOL", "/webdav/uploads/a", ACTION_ADMIN, ORTH},
        {"PUT", "/auth/tokens/viewer-instant-link", ACTION_ADMIN, NONE,
         .uncertain = true},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
orthanc_state_and_viewers_are_views(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/app/explorer.html", ACTION_VIEW, ORTH},
        {"GET", "/app/images/orthanc-logo.png", ACTION_VIEW, ORTH},
        {"GET", "/ui/app/index.html", ACTION_VIEW, ORTH},
        {"GET", "/ui/api/configuration", ACTION_VIEW, ORTH},
        {"GET", "/ohif/viewer?StudyInstanceUIDs=1.2.3", ACTION_VIEW, ORTH,
         .study = "1.2.3"},
        {"GET", "/stone-webviewer/index.html?study=1.2.3", ACTION_VIEW, ORTH},
        {"GET", "/osimis-viewer/app/index.html?study=" OS, ACTION_VIEW, ORTH},
        {"GET", "/web-viewer/instances/jpeg95-" OI "_0", ACTION_VIEW, ORTH},
        {"GET", "/wsi/tiles/" OE "/0/1/2", ACTION_VIEW, ORTH},
        {"GET", "/system", ACTION_VIEW, ORTH},
        {"GET", "/statistics", ACTION_VIEW, ORTH},
        {"GET", "/plugins", ACTION_VIEW, ORTH},
        {"GET", "/plugins/explorer.js", ACTION_VIEW, ORTH},
        {"GET", "/changes?limit=100", ACTION_VIEW, ORTH},
        {"GET", "/exports", ACTION_VIEW, ORTH},
        {"GET", "/jobs?expand", ACTION_VIEW, ORTH},
        {"GET", "/jobs/5a2e", ACTION_VIEW, ORTH},
        {"GET", "/modalities?expand", ACTION_VIEW, ORTH},
        {"GET", "/modalities/CT1/configuration", ACTION_VIEW, ORTH},
        {"GET", "/peers/other/system", ACTION_VIEW, ORTH},
        {"GET", "/dicom-web/servers", ACTION_VIEW, ORTH},
        {"GET", "/tools", ACTION_VIEW, ORTH},
        {"GET", "/tools/now", ACTION_VIEW, ORTH},
        {"GET", "/tools/generate-uid?level=study", ACTION_VIEW, ORTH},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
dcm4chee_extensions_change_or_send(void **state)
{
#define RS "/dcm4chee-arc/aets/DCM4CHEE/rs"
    static const dicom_case_t cases[] = {
        {"POST", RS "/studies/1.2.3/reject/113001%5EDCM", ACTION_DELETE, ARC,
         .study = "1.2.3"},
        {"POST", RS "/studies/1.2.3/series/4.5/reject/113001^DCM",
         ACTION_DELETE, ARC, .study = "1.2.3", .series = "4.5"},
        {"POST", RS "/studies/reject/113001^DCM?PatientID=P1", ACTION_DELETE,
         ARC, .patient = "P1"},
        {"POST", RS "/studies/1.2.3/series/reject/113001^DCM", ACTION_DELETE,
         ARC, .study = "1.2.3"},
        {"POST", RS "/studies/1.2.3/export/STORESCP", ACTION_ADMIN, ARC,
         .study = "1.2.3"},
        {"POST", RS "/studies/export/STORESCP", ACTION_ADMIN, ARC},
        {"POST", RS "/studies/1.2.3/move/113038^DCM", ACTION_ADMIN, ARC,
         .study = "1.2.3"},
        {"POST", RS "/studies/1.2.3/copy", ACTION_ADMIN, ARC, .study = "1.2.3"},
        {"PUT", RS "/studies/1.2.3/expire/20270101", ACTION_ADMIN, ARC,
         .study = "1.2.3"},
        {"PUT", RS "/studies/1.2.3/access/X", ACTION_ADMIN, ARC,
         .study = "1.2.3"},
        {"POST", RS "/series/expire", ACTION_ADMIN, ARC},
        {"POST", RS "/studies/update", ACTION_ADMIN, ARC},
        {"POST", RS "/studies/access/X", ACTION_ADMIN, ARC},
        {"POST", RS "/studies/1.2.3/stgver", ACTION_ADMIN, ARC,
         .study = "1.2.3"},
        {"POST", RS "/studies/1.2.3/ian/dicom:A", ACTION_ADMIN, ARC,
         .study = "1.2.3"},
        {"POST", RS "/studies/1.2.3/restore", ACTION_ADMIN, ARC,
         .study = "1.2.3"},
        {"POST", RS "/studies/1.2.3/reimport", ACTION_ADMIN, ARC,
         .study = "1.2.3"},
        {"POST", RS "/studies/csv:0/reject/113001^DCM", ACTION_DELETE, ARC,
         .study = "csv:0"},
        {"POST", RS "/instances/storage/fs1", ACTION_ADMIN, ARC,
         .uncertain = true},
        {"POST", RS "/patients", ACTION_ADMIN, ARC},
        {"PUT", RS "/patients/P1%5E%5E%5EH", ACTION_ADMIN, ARC,
         .patient = "P1^^^H"},
        {"POST", RS "/patients/P1/merge/P2", ACTION_ADMIN, ORTH,
         .patient = "P1"},
        {"POST", RS "/patients/P1/changeid/P2", ACTION_ADMIN, ARC,
         .patient = "P1"},
        {"POST", "/dcm4chee-arc/aets/A/dimse/B/studies/1.2.3/export/dicom:C",
         ACTION_ADMIN, ARC, .study = "1.2.3"},
        {"DELETE", "/dcm4chee-arc/reject/113001^DCM", ACTION_ADMIN, ARC},
        {"POST", "/dcm4chee-arc/ctrl/stop", ACTION_ADMIN, ARC},
        {"PUT", "/dcm4chee-arc/devices/dev1", ACTION_ADMIN, ARC},
        {"POST", "/dcm4chee-arc/monitor/export/1/cancel", ACTION_ADMIN, ARC},
        {"POST", "/dcm4chee-arc/ids/x/nextval", ACTION_ADMIN, ARC,
         .uncertain = true},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
dcm4chee_searches_and_pages_are_mild(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", RS "/studies?PatientID=P1", ACTION_QUERY, WEB, .patient = "P1"},
        {"GET", RS "/patients?PatientName=A*", ACTION_QUERY, ARC},
        {"GET", RS "/studies/count", ACTION_QUERY, ARC},
        {"GET", RS "/studies/size", ACTION_QUERY, ARC},
        {"GET", RS "/studies/1.2.3/series/count", ACTION_QUERY, ARC,
         .study = "1.2.3"},
        {"GET", RS "/studies/1.2.3/metadata", ACTION_VIEW, WEB,
         .study = "1.2.3"},
        {"GET", RS "/studies/1.2.3", ACTION_DOWNLOAD, WEB, .study = "1.2.3"},
        {"GET", "/dcm4chee-arc/aets/A/dimse/B/studies", ACTION_QUERY, WEB},
        {"GET", "/dcm4chee-arc/aets/A/fhir/Patient?name=x", ACTION_QUERY, ARC},
        {"POST", "/dcm4chee-arc/aets/A/fhir/Patient/_search", ACTION_QUERY,
         ARC},
        {"GET", "/dcm4chee-arc/ui2/en/study/study", ACTION_VIEW, ARC},
        {"GET", "/dcm4chee-arc/aets", ACTION_VIEW, ARC},
        {"GET", "/dcm4chee-arc/devices", ACTION_VIEW, ARC},
        {"GET", "/dcm4chee-arc/monitor/export?limit=20", ACTION_VIEW, ARC},
        {"GET", "/dcm4chee-arc/attribute-set/QIDO_RS", ACTION_VIEW, ARC,
         .uncertain = true},
    };
#undef RS

    (void) state;
    CHECK_CASES(cases);
}


static void
what_nothing_knows_goes_by_the_method(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/", ACTION_VIEW, NONE, .uncertain = true},
        {"GET", "", ACTION_VIEW, NONE, .uncertain = true},
        {"GET", "/favicon.ico", ACTION_VIEW, NONE, .uncertain = true},
        {"HEAD", "/index.html", ACTION_VIEW, NONE, .uncertain = true},
        {"OPTIONS", "*", ACTION_VIEW, NONE, .uncertain = true},
        {"OPTIONS", "/api/v1/report", ACTION_VIEW, NONE, .uncertain = true},
        {"POST", "/", ACTION_ADMIN, NONE, .uncertain = true},
        {"POST", "/api/v1/report", ACTION_ADMIN, NONE, .uncertain = true},
        {"PUT", "/x", ACTION_ADMIN, NONE, .uncertain = true},
        {"DELETE", "/x", ACTION_ADMIN, NONE, .uncertain = true},
        {"PATCH", "/x", ACTION_ADMIN, NONE, .uncertain = true},
        {"TRACE", "/x", ACTION_ADMIN, NONE, .uncertain = true},
        {"CONNECT", "pacs:443", ACTION_ADMIN, NONE, .uncertain = true},
        {"PROPFIND", "/x", ACTION_ADMIN, NONE, .uncertain = true},
        {"BREW", "/dicom-web/studies", ACTION_ADMIN, WEB, .uncertain = true},
        {"", "/x", ACTION_ADMIN, NONE, .uncertain = true},
        {"get", "/x", ACTION_ADMIN, NONE, .uncertain = true},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
a_preflight_is_a_view_of_what_it_names(void **state)
{
    static const dicom_case_t cases[] = {
        {"OPTIONS", "/dicom-web/studies/1.2.3", ACTION_VIEW, WEB,
         .study = "1.2.3"},
        {"OPTIONS", "/tools/find", ACTION_VIEW, ORTH},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
roots_may_hold_words_of_the_apis(void **state)
{
    static const dicom_case_t cases[] = {
        {"GET", "/studies/studies", ACTION_QUERY, WEB},
        {"POST", "/studies/studies", ACTION_STORE, WEB},
        {"GET", "/studies/dicom-web/studies/1.2.3/metadata", ACTION_VIEW, WEB,
         .study = "1.2.3"},
        {"GET", "/studies/dicom-web/studies/1.2.3", ACTION_DOWNLOAD, WEB,
         .study = "1.2.3"},
        {"GET", "/series/pacs/studies/1.2.3/series/4.5/metadata", ACTION_VIEW,
         WEB, .study = "1.2.3", .series = "4.5"},
        {"POST", "/patients/portal/dicom-web/studies", ACTION_STORE, WEB},
        {"POST", "/tools/dicom-web/studies", ACTION_STORE, WEB},
        {"GET", "/tools/dicom-web/studies/1.2.3", ACTION_DOWNLOAD, WEB,
         .study = "1.2.3"},
        {"GET", "/app/dicom-web/studies/1.2.3", ACTION_DOWNLOAD, WEB,
         .study = "1.2.3"},
        {"GET", "/modalities/studies", ACTION_QUERY, WEB},
        {"POST", "/system/studies", ACTION_STORE, WEB},
        {"POST", "/jobs/instances", ACTION_STORE, ORTH},
        {"DELETE", "/archive/studies/1.2.3", ACTION_DELETE, WEB,
         .study = "1.2.3"},
        {"GET", "/metadata/studies/1.2.3", ACTION_DOWNLOAD, WEB,
         .study = "1.2.3"},
    };

    (void) state;
    CHECK_CASES(cases);
}


static void
of_two_readings_the_stricter_counts(void **state)
{
    (void) state;
    check_action("GET", "/studies/a/metadata/studies/1.2.3", NULL,
                 ACTION_DOWNLOAD);
    check_action("GET", "/app/x/instances/" OI "/file", NULL, ACTION_DOWNLOAD);
    check_action("POST", "/tools/reset", NULL, ACTION_ADMIN);
    check_action("POST", "/studies/1.2.3/x/studies", NULL, ACTION_ADMIN);
    check_action("POST", "/studies/1.2.3/tools/find", NULL, ACTION_ADMIN);
}


UNIT_TESTS(
    cmocka_unit_test(qido_searches_are_queries),
    cmocka_unit_test(wado_retrievals_are_downloads),
    cmocka_unit_test(wado_metadata_frames_and_renderings_are_views),
    cmocka_unit_test(stow_is_a_store), cmocka_unit_test(removals_are_deletes),
    cmocka_unit_test(other_changes_to_objects_are_admin),
    cmocka_unit_test(worklists_are_read_as_queries_and_changed_as_admin),
    cmocka_unit_test(wado_uri_is_a_view_only_with_a_rendered_content_type),
    cmocka_unit_test(orthanc_pages_of_objects_are_views),
    cmocka_unit_test(orthanc_files_and_archives_are_downloads),
    cmocka_unit_test(orthanc_searches_are_queries),
    cmocka_unit_test(orthanc_uploads_are_stores),
    cmocka_unit_test(orthanc_changes_and_sending_are_admin),
    cmocka_unit_test(orthanc_state_and_viewers_are_views),
    cmocka_unit_test(dcm4chee_extensions_change_or_send),
    cmocka_unit_test(dcm4chee_searches_and_pages_are_mild),
    cmocka_unit_test(what_nothing_knows_goes_by_the_method),
    cmocka_unit_test(a_preflight_is_a_view_of_what_it_names),
    cmocka_unit_test(roots_may_hold_words_of_the_apis),
    cmocka_unit_test(of_two_readings_the_stricter_counts))
