/* A table of requests and what each is to be taken for. */

#ifndef SEKISHO_TEST_DICOM_CASES_H
#define SEKISHO_TEST_DICOM_CASES_H

#include <stdio.h>

#include "../../lib/dicom/dicom.h"
#include "unit.h"

/* A table names the fields that it has; the others are NULL. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

/* Orthanc's identifiers of a patient, a study, a series, an instance. */
#define OP "16738bc3-e47ed42a-43ce044c-a3414a45-cb069bd0"
#define OS "27f7126f-4f66fb14-03f4081b-f9341db2-53925988"
#define OE "f2635388-f01d497a-15f7c06b-ad7dba06-c4c599fe"
#define OI "1e2c125c-411b8e86-3f4fe68e-a7584dd3-c6da78f0"

#define DICOM_JSON      "application/dicom+json"
#define MULTIPART_DICOM "multipart/related; type=\"application/dicom\""

typedef struct {
    const char *method;
    const char *uri;
    action_t action;
    dicom_api_t api;
    const char *accept;
    const char *patient, *study, *series, *instance; /* NULL: not named */
    bool uncertain;
} dicom_case_t;

static inline dicom_request_t
classify(const char *method, const char *uri, const char *accept)
{
    dicom_request_t request;

    dicom_classify(slice_of(method), slice_of(uri), slice_of(accept), &request);

    return request;
}


static inline bool
id_is(const dicom_id_t *id, const char *expected)
{
    return slice_is(dicom_id(id), expected == NULL ? "" : expected);
}


static inline void
check_case(const dicom_case_t *c)
{
    dicom_request_t r = classify(c->method, c->uri, c->accept);

    if (r.action != c->action || r.api != c->api || r.certain == c->uncertain ||
        !id_is(&r.patient, c->patient) || !id_is(&r.study, c->study) ||
        !id_is(&r.series, c->series) || !id_is(&r.instance, c->instance))
    {
        fail_msg("%s %s\n  is %s %s %s, patient '%.*s' study '%.*s' "
                 "series '%.*s' instance '%.*s'\n  not %s %s %s",
                 c->method, c->uri, action_name(r.action),
                 dicom_api_name(r.api), r.certain ? "certain" : "uncertain",
                 SLICE_ARG(dicom_id(&r.patient)), SLICE_ARG(dicom_id(&r.study)),
                 SLICE_ARG(dicom_id(&r.series)),
                 SLICE_ARG(dicom_id(&r.instance)), action_name(c->action),
                 dicom_api_name(c->api),
                 c->uncertain ? "uncertain" : "certain");
    }
}


#define CHECK_CASES(cases)                                                     \
    do {                                                                       \
        for (size_t i_ = 0; i_ < sizeof(cases) / sizeof((cases)[0]); i_++) {   \
            check_case(&(cases)[i_]);                                          \
        }                                                                      \
    } while (0)

static inline void
check_action(const char *method, const char *uri, const char *accept,
             action_t action)
{
    dicom_request_t r = classify(method, uri, accept);

    if (r.action != action) {
        fail_msg("%s %s\n  (Accept: %s)\n  is %s, not %s", method, uri,
                 accept == NULL ? "" : accept, action_name(r.action),
                 action_name(action));
    }
}


#endif
