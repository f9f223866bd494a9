/*
 * WADO-URI (PS3.18, 9): GET …?requestType=WADO&studyUID=…, under any path.
 *
 * Without contentType the answer depends on the object: JPEG for a single
 * frame, but DICOM for most others (PS3.18, 9.1.2.2; dcm4chee).  So only a
 * contentType that names nothing but rendered kinds is a view.
 */

#include "dicom_internal.h"

dicom_match_t
wado_uri_request(const dicom_context_t *context, const dicom_path_t *path)
{
    dicom_match_t match = {.action = ACTION_NONE};
    const dicom_query_t *query = &context->query;
    bool path_says = path->count > 0 &&
                     dicom_word_at(path, path->count - 1) == WORD_WADO;

    if (!dicom_is_safe(context->method) || !(query->wado || path_says)) {
        return match;
    }

    match.api = DICOM_API_WADO_URI;
    match.certain = query->wado;
    match.action = query->content_type && !query->content_type_dicom
                       ? ACTION_VIEW
                       : ACTION_DOWNLOAD;

    return match;
}
