/*
 * What the files of this folder share.  Nobody else includes it.
 *
 * A request target is cut into segments (uri.c), each segment is looked up
 * among the words that some API knows (words.c), and every place of the path
 * where an API may begin is tried (classify.c): a PACS may be mounted anywhere.
 */

#ifndef SEKISHO_DICOM_INTERNAL_H
#define SEKISHO_DICOM_INTERNAL_H

#include "dicom.h"

/* Words, grouped by their length, which is how they are found. */
#define DICOM_WORDS_2(X) X(UI, "ui")
#define DICOM_WORDS_3(X)                                                       \
    X(IAN, "ian")                                                              \
    X(UI2, "ui2")                                                              \
    X(PDF, "pdf")                                                              \
    X(RAW, "raw")                                                              \
    X(STL, "stl")                                                              \
    X(WSI, "wsi")                                                              \
    X(APP, "app")                                                              \
    X(GET, "get")                                                              \
    X(ZIP, "zip")                                                              \
    X(AES, "aes")
#define DICOM_WORDS_4(X)                                                       \
    X(TAGS, "tags")                                                            \
    X(FILE, "file")                                                            \
    X(SIZE, "size")                                                            \
    X(WADO, "wado")                                                            \
    X(OHIF, "ohif")                                                            \
    X(JOBS, "jobs")                                                            \
    X(FIND, "find")                                                            \
    X(MOVE, "move")                                                            \
    X(COPY, "copy")                                                            \
    X(ECHO, "echo")                                                            \
    X(QIDO, "qido")                                                            \
    X(STOW, "stow")                                                            \
    X(BULK, "bulk")                                                            \
    X(MPPS, "mpps")                                                            \
    X(AETS, "aets")                                                            \
    X(CTRL, "ctrl")                                                            \
    X(FHIR, "fhir")                                                            \
    X(DATA, "data")
#define DICOM_WORDS_5(X)                                                       \
    X(COUNT, "count")                                                          \
    X(STUDY, "study")                                                          \
    X(MEDIA, "media")                                                          \
    X(NUMPY, "numpy")                                                          \
    X(NIFTI, "nifti")                                                          \
    X(DICOM, "dicom")                                                          \
    X(NEXUS, "nexus")                                                          \
    X(TOOLS, "tools")                                                          \
    X(PEERS, "peers")                                                          \
    X(STORE, "store")                                                          \
    X(QUERY, "query")                                                          \
    X(MERGE, "merge")                                                          \
    X(SPLIT, "split")                                                          \
    X(QUEUE, "queue")                                                          \
    X(RESET, "reset")
#define DICOM_WORDS_6(X)                                                       \
    X(SERIES, "series")                                                        \
    X(FRAMES, "frames")                                                        \
    X(HEADER, "header")                                                        \
    X(MODULE, "module")                                                        \
    X(LABELS, "labels")                                                        \
    X(MATLAB, "matlab")                                                        \
    X(EXPORT, "export")                                                        \
    X(REJECT, "reject")                                                        \
    X(UPDATE, "update")                                                        \
    X(ACCESS, "access")                                                        \
    X(EXPIRE, "expire")                                                        \
    X(MODIFY, "modify")                                                        \
    X(LOOKUP, "lookup")                                                        \
    X(SYSTEM, "system")                                                        \
    X(WEBDAV, "webdav")                                                        \
    X(CHUNKS, "chunks")                                                        \
    X(STGVER, "stgver")                                                        \
    X(STGCMT, "stgcmt")                                                        \
    X(DELETE, "delete")                                                        \
    X(RAW_GZ, "raw.gz")
#define DICOM_WORDS_7(X)                                                       \
    X(STUDIES, "studies")                                                      \
    X(PATIENT, "patient")                                                      \
    X(PREVIEW, "preview")                                                      \
    X(CONTENT, "content")                                                      \
    X(ARCHIVE, "archive")                                                      \
    X(CHANGES, "changes")                                                      \
    X(EXPORTS, "exports")                                                      \
    X(PLUGINS, "plugins")                                                      \
    X(QUERIES, "queries")                                                      \
    X(SERVERS, "servers")                                                      \
    X(RESTORE, "restore")                                                      \
    X(REQUEST, "request")                                                      \
    X(UNMERGE, "unmerge")                                                      \
    X(VOLVIEW, "volview")                                                      \
    X(MONITOR, "monitor")                                                      \
    X(DEVICES, "devices")                                                      \
    X(HL7APPS, "hl7apps")                                                      \
    X(WEBAPPS, "webapps")
#define DICOM_WORDS_8(X)                                                       \
    X(PATIENTS, "patients")                                                    \
    X(METADATA, "metadata")                                                    \
    X(RENDERED, "rendered")                                                    \
    X(BULKDATA, "bulkdata")                                                    \
    X(MWLITEMS, "mwlitems")                                                    \
    X(DOWNLOAD, "download")                                                    \
    X(RETRIEVE, "retrieve")                                                    \
    X(SHUTDOWN, "shutdown")                                                    \
    X(CHANGEID, "changeid")                                                    \
    X(REIMPORT, "reimport")
#define DICOM_WORDS_9(X)                                                       \
    X(INSTANCES, "instances")                                                  \
    X(THUMBNAIL, "thumbnail")                                                  \
    X(PIXELDATA, "pixeldata")                                                  \
    X(WORKITEMS, "workitems")                                                  \
    X(PROTECTED, "protected")                                                  \
    X(ANONYMIZE, "anonymize")                                                  \
    X(TRANSFERS, "transfers")
#define DICOM_WORDS_10(X)                                                      \
    X(STATISTICS, "statistics")                                                \
    X(MODALITIES, "modalities")                                                \
    X(WEB_VIEWER, "web-viewer")                                                \
    X(FIND_STUDY, "find-study")
#define DICOM_WORDS_11(X)                                                      \
    X(ATTACHMENTS, "attachments")                                              \
    X(IMAGE_UINT8, "image-uint8")                                              \
    X(IMAGE_INT16, "image-int16")                                              \
    X(SHARED_TAGS, "shared-tags")                                              \
    X(RECONSTRUCT, "reconstruct")                                              \
    X(BULK_DELETE, "bulk-delete")                                              \
    X(BULK_MODIFY, "bulk-modify")                                              \
    X(FIND_SERIES, "find-series")
#define DICOM_WORDS_12(X)                                                      \
    X(IMAGE_UINT16, "image-uint16")                                            \
    X(CREATE_MEDIA, "create-media")                                            \
    X(CREATE_DICOM, "create-dicom")                                            \
    X(BULK_CONTENT, "bulk-content")                                            \
    X(FIND_PATIENT, "find-patient")                                            \
    X(QUERY_SERIES, "query-series")                                            \
    X(DCM4CHEE_ARC, "dcm4chee-arc")
#define DICOM_WORDS_13(X)                                                      \
    X(CONFIGURATION, "configuration")                                          \
    X(OSIMIS_VIEWER, "osimis-viewer")                                          \
    X(FIND_INSTANCE, "find-instance")                                          \
    X(FIND_WORKLIST, "find-worklist")                                          \
    X(QUERY_STUDIES, "query-studies")
#define DICOM_WORDS_14(X)                                                      \
    X(ORDERED_SLICES, "ordered-slices")                                        \
    X(INSTANCES_TAGS, "instances-tags")                                        \
    X(MODULE_PATIENT, "module-patient")                                        \
    X(CREATE_ARCHIVE, "create-archive")                                        \
    X(EXECUTE_SCRIPT, "execute-script")                                        \
    X(BULK_ANONYMIZE, "bulk-anonymize")                                        \
    X(STORE_STRAIGHT, "store-straight")
#define DICOM_WORDS_15(X)                                                      \
    X(SIMPLIFIED_TAGS, "simplified-tags")                                      \
    X(OHIF_DICOM_JSON, "ohif-dicom-json")                                      \
    X(STONE_WEBVIEWER, "stone-webviewer")                                      \
    X(COUNT_RESOURCES, "count-resources")                                      \
    X(QUERY_INSTANCES, "query-instances")                                      \
    X(COMPRESSED_DATA, "compressed-data")
#define DICOM_WORDS_18(X) X(STORAGE_COMMITMENT, "storage-commitment")
#define DICOM_WORDS_21(X)                                                      \
    X(CREATE_MEDIA_EXTENDED, "create-media-extended")                          \
    X(UPDATE_DICOMWEB_CACHE, "update-dicomweb-cache")
#define DICOM_WORDS_34(X)                                                      \
    X(SCHEDULED_STEPS, "modality-scheduled-procedure-steps")                   \
    X(PERFORMED_STEPS, "modality-performed-procedure-steps")

/* clang-format off */
#define DICOM_WORDS(X)                                                         \
    DICOM_WORDS_2(X) DICOM_WORDS_3(X) DICOM_WORDS_4(X)                         \
    DICOM_WORDS_5(X) DICOM_WORDS_6(X) DICOM_WORDS_7(X)                         \
    DICOM_WORDS_8(X) DICOM_WORDS_9(X) DICOM_WORDS_10(X)                        \
    DICOM_WORDS_11(X) DICOM_WORDS_12(X) DICOM_WORDS_13(X)                      \
    DICOM_WORDS_14(X) DICOM_WORDS_15(X) DICOM_WORDS_18(X)                      \
    DICOM_WORDS_21(X) DICOM_WORDS_34(X)
/* clang-format on */

typedef enum {
    WORD_OTHER = 0, /* no API knows it: an identifier, or somebody's root */
#define DICOM_WORD_NAME(name, text) WORD_##name,
    DICOM_WORDS(DICOM_WORD_NAME)
#undef DICOM_WORD_NAME
        WORD_COUNTED
} dicom_word_t;

#define DICOM_WORD_SIZE_MAX 34

/* What a segment looks like where an identifier is expected. */
#define DICOM_UID_SIZE_MAX 64 /* PS3.5, 9.1 */

typedef enum {
    FORM_OTHER = 0, /* names no object of a PACS that we know */
    FORM_UID,       /* digits and dots */
    FORM_ORTHANC    /* five groups of eight hex digits */
} dicom_form_t;

typedef struct {
    slice_t text; /* as it came, percent-encoded; lies in the target */
    uint8_t word; /* dicom_word_t */
    uint8_t form; /* dicom_form_t */
} dicom_segment_t;

/* Deeper paths belong to no API: they get the strictest reading. */
#define DICOM_DEPTH_MAX 64

typedef struct {
    unsigned count;
    bool too_deep;
    bool plain;    /* nothing in it is encoded, or could be read otherwise */
    bool bare;     /* … and no query is behind it */
    bool dcm4chee; /* a segment says so: /dcm4chee-arc/, /aets/{aet}/ */
    dicom_segment_t segments[DICOM_DEPTH_MAX];
} dicom_path_t;

/*
 * One target can be read in several ways, and nginx and the PACS need not
 * agree.  These are the choices; the first reading takes READING_FIRST, and
 * the others are only tried where the target holds what they differ in.
 */
enum {
    READING_SLASHES = 1 << 0,      /* %2F, \ and %5C separate segments */
    READING_PARAMETERS = 1 << 1,   /* ;… is no part of a segment */
    READING_MERGE = 1 << 2,        /* // is / before .. is looked at */
    READING_CUT_FRAGMENT = 1 << 3, /* the target ends at # */
    READING_CUT_NUL = 1 << 4,      /* … at a NUL, encoded or not */
    READING_CUT_MARK = 1 << 5,     /* … at %3F */
    READING_CUT_HASH = 1 << 6      /* … at %23 */
};
#define READING_CUTS                                                           \
    (READING_CUT_FRAGMENT | READING_CUT_NUL | READING_CUT_MARK |               \
     READING_CUT_HASH)
#define READING_FIRST                                                          \
    (READING_SLASHES | READING_PARAMETERS | READING_MERGE |                    \
     READING_CUT_FRAGMENT)

/* Methods, as far as they differ. */
typedef enum {
    METHOD_GET = 0, /* and HEAD: the PACS does the same work */
    METHOD_OPTIONS,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_OTHER
} dicom_method_t;

/* What the query says that changes the action, in any reading of it. */
typedef struct {
    unsigned methods;        /* set of 1u << dicom_method_t, from _method= */
    bool wado;               /* requestType=WADO */
    bool accept_dicom;       /* accept= lets DICOM or ZIP through */
    bool content_type;       /* contentType= is there */
    bool content_type_dicom; /* … and is not only a rendered kind */
} dicom_query_t;

typedef struct {
    dicom_method_t method;
    slice_t accept; /* the header */
    dicom_query_t query;
} dicom_context_t;

/* ACTION_NONE: not this API. Identifiers are percent-encoded slices. */
typedef struct {
    action_t action;
    dicom_api_t api;
    bool certain;
    slice_t patient, study, series, instance;
} dicom_match_t;

typedef enum {
    LEVEL_PATIENT = 0,
    LEVEL_STUDY,
    LEVEL_SERIES,
    LEVEL_INSTANCE,
    LEVEL_COUNT
} dicom_level_t;

/*
 * patients, studies, series and instances nested in each other: the grammar
 * that DICOMweb, Orthanc and dcm4chee have in common.
 */
typedef struct {
    dicom_level_t first; /* of the word it begins with */
    dicom_level_t level; /* of the last word */
    bool list;           /* ends in a word, not in an identifier */
    bool named;          /* there is an identifier */
    bool strong;         /* … and all of them have the form of one */
    bool orthanc;        /* the first has Orthanc's form */
    bool uid;            /* the last is a UID */
    unsigned next;       /* the segment behind it */
    slice_t ids[LEVEL_COUNT];
} dicom_object_t;

/* What an operation behind an object is; ACTION_NONE: no such route. */
typedef struct {
    uint8_t get;  /* action_t */
    uint8_t post; /* action_t */
    uint8_t api;  /* dicom_api_t; UNKNOWN: by the form of the identifier */
} dicom_operation_t;

/* ---- words.c ---- */
dicom_word_t dicom_word(const char *text, size_t size);
dicom_form_t dicom_form(const char *text, size_t size);

/* ---- uri.c ---- */
slice_t dicom_uri_target(slice_t uri);
/* Fills the path; returns the set of READING_* in which the target could be
 * read in another way. */
unsigned dicom_uri_path(slice_t target, unsigned reading, dicom_path_t *path);
/* The same answer byte by byte, for all targets: what tests compare with. */
unsigned dicom_uri_path_closely(slice_t target, unsigned reading,
                                dicom_path_t *path);
/* Decodes at most `capacity` bytes; false if there were more. */
bool dicom_uri_decode(slice_t text, char *decoded, size_t capacity,
                      size_t *size);
/* The byte that %XX at `at` stands for, or -1 if it is none. */
int dicom_uri_byte(const char *at, const char *end);
/* Decodes and appends, behind a comma if there is something already. */
void dicom_id_append(dicom_id_t *id, slice_t encoded, bool from_query);

/* ---- query.c ---- */
void dicom_query_read(slice_t target, dicom_query_t *query,
                      dicom_request_t *request);

/* ---- media.c ---- */
/* True if a list of media types (RFC 9110, 12.5.1) has only kinds that show
 * something without handing over DICOM or ZIP; false for an empty one. */
bool dicom_media_only_view(slice_t list);

/* ---- dicomweb.c ---- */
dicom_word_t dicom_word_at(const dicom_path_t *path, unsigned at);
bool dicom_is_level(dicom_word_t word, dicom_level_t *level);
bool dicom_is_safe(dicom_method_t method);
bool dicom_object_parse(const dicom_path_t *path, unsigned start,
                        dicom_object_t *object);
dicom_match_t dicomweb_object(const dicom_context_t *context,
                              const dicom_path_t *path,
                              const dicom_object_t *object);
dicom_match_t dicomweb_worklist(const dicom_context_t *context,
                                const dicom_path_t *path, unsigned start);
bool dicomweb_operation(dicom_word_t word, dicom_operation_t *operation);

/* ---- wado_uri.c ---- */
dicom_match_t wado_uri_request(const dicom_context_t *context,
                               const dicom_path_t *path);

/* ---- orthanc.c ---- */
bool orthanc_operation(const dicom_path_t *path, unsigned at,
                       dicom_operation_t *operation);
dicom_match_t orthanc_area(const dicom_context_t *context,
                           const dicom_path_t *path, unsigned start);

/* ---- dcm4chee.c ---- */
bool dcm4chee_operation(dicom_word_t word, dicom_operation_t *operation);
bool dcm4chee_list_operation(dicom_word_t word, dicom_operation_t *operation);
dicom_match_t dcm4chee_area(const dicom_context_t *context,
                            const dicom_path_t *path, unsigned start);

#endif
