/*
 * What a request to a web PACS touches: its action, and the identifiers of
 * patient, study, series and instance in it.
 *
 * Knows DICOMweb (PS3.18: QIDO-RS, WADO-RS, STOW-RS, UPS-RS, WADO-URI),
 * Orthanc's REST API and dcm4chee-arc's paths, under any root.  Never
 * allocates, and never reads a body.
 */

#ifndef SEKISHO_DICOM_DICOM_H
#define SEKISHO_DICOM_DICOM_H

#include <stdint.h>

#include "../base/action.h"
#include "../base/slice.h"

typedef enum {
    DICOM_API_UNKNOWN = 0,
    DICOM_API_DICOMWEB,
    DICOM_API_WADO_URI,
    DICOM_API_ORTHANC,
    DICOM_API_DCM4CHEE
} dicom_api_t;

/* An identifier longer than this is cut, and `cut` set. */
#define DICOM_ID_SIZE_MAX 256

typedef struct {
    uint16_t size; /* bytes; 0: not named */
    bool cut;
    char data[DICOM_ID_SIZE_MAX];
} dicom_id_t;

typedef struct {
    dicom_api_t api;
    action_t action; /* never ACTION_NONE */
    bool certain;    /* false: nothing known, fell back on the method */
    /* Percent-decoded.  UIDs, or Orthanc's ids (five groups of eight hex
     * digits: SHA-1, to be treated as patient data). Several values of a QIDO
     * query are joined with commas. */
    dicom_id_t patient, study, series, instance;
} dicom_request_t;

/*
 * `uri` is the request target as it came: path and query, percent-encoded.
 * `accept` is the Accept header's value; empty if there was none or more than
 * one.  X-HTTP-Method-Override, which Orthanc obeys, is not seen here: the
 * caller takes a request with it for ACTION_ADMIN.
 */
void dicom_classify(slice_t method, slice_t uri, slice_t accept,
                    dicom_request_t *request);

const char *dicom_api_name(dicom_api_t api);

static inline slice_t
dicom_id(const dicom_id_t *id)
{
    return (slice_t){id->data, id->size};
}

#endif
