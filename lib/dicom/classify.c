/*
 * One request -> its action: every reading of the target, every method that it
 * may turn into, every place where an API may begin; and the strictest of all.
 *
 * Strictness: query, view < download < store < delete < admin.  A gate that
 * allows only the milder ones must not be talked into a stricter one by a
 * target that nginx and the PACS read differently.
 */

#include "dicom_internal.h"

static const char *const api_names[] = {[DICOM_API_UNKNOWN] = "unknown",
                                        [DICOM_API_DICOMWEB] = "dicomweb",
                                        [DICOM_API_WADO_URI] = "wado-uri",
                                        [DICOM_API_ORTHANC] = "orthanc",
                                        [DICOM_API_DCM4CHEE] = "dcm4chee"};

const char *
dicom_api_name(dicom_api_t api)
{
    return (unsigned) api < sizeof(api_names) / sizeof(api_names[0])
               ? api_names[api]
               : "unknown";
}


static unsigned
strictness(action_t action)
{
    switch (action) {
    case ACTION_QUERY:
    case ACTION_VIEW:
        return 1;
    case ACTION_DOWNLOAD:
        return 2;
    case ACTION_STORE:
        return 3;
    case ACTION_DELETE:
        return 4;
    case ACTION_ADMIN:
        return 5;
    default:
        return 0;
    }
}


/* Among equals the one that is sure, and then the first. */
static inline void
consider(dicom_match_t *best, const dicom_match_t *match)
{
    unsigned now, then;

    if (match->action == ACTION_NONE) {
        return; /* most of what is tried */
    }
    now = strictness(best->action);
    then = strictness(match->action);
    if (then > now || (then == now && match->certain && !best->certain)) {
        *best = *match;
    }
}


static dicom_match_t
evaluate(const dicom_context_t *context, const dicom_path_t *path)
{
    dicom_match_t best = {.action = ACTION_NONE}, match;
    dicom_object_t object;
    dicom_level_t level;
    unsigned at = 0;

    if (path->too_deep) {
        best.action = dicom_is_safe(context->method) ? ACTION_DOWNLOAD
                                                     : ACTION_ADMIN;
        return best;
    }

    while (at < path->count) {
        dicom_word_t word = dicom_word_at(path, at);

        if (word == WORD_OTHER) {
            at++;
            continue;
        }
        if (!dicom_is_level(word, &level)) {
            match = orthanc_area(context, path, at);
            consider(&best, &match);
            match = dicomweb_worklist(context, path, at);
            consider(&best, &match);
            match = dcm4chee_area(context, path, at);
            consider(&best, &match);
            at++;
            continue;
        }
        if (!dicom_object_parse(path, at, &object)) {
            at++;
            continue;
        }
        match = dicomweb_object(context, path, &object);
        consider(&best, &match);
        /* Words inside of a certain object begin nothing new. */
        at = match.action != ACTION_NONE && object.strong ? object.next
                                                          : at + 1;
    }

    match = wado_uri_request(context, path);
    consider(&best, &match);

    if (best.action == ACTION_NONE) {
        best.action = dicom_is_safe(context->method) ? ACTION_VIEW
                                                     : ACTION_ADMIN;
        best.api = path->dcm4chee ? DICOM_API_DCM4CHEE : DICOM_API_UNKNOWN;
        best.certain = false;
    }

    return best;
}


static dicom_match_t
evaluate_methods(dicom_context_t *context, dicom_method_t method,
                 const dicom_path_t *path)
{
    dicom_match_t best = {.action = ACTION_NONE}, match;
    unsigned methods = 1u << method | context->query.methods;

    for (; methods != 0; methods &= methods - 1) {
        unsigned m = (unsigned) __builtin_ctz(methods);

        context->method = (dicom_method_t) m;
        match = evaluate(context, path);
        if (m == METHOD_OPTIONS) {
            match.action = ACTION_VIEW;
        }
        consider(&best, &match);
    }

    return best;
}


/* All that differ from the first, where the target has what they differ in. */
static void
other_readings(dicom_context_t *context, dicom_method_t method, slice_t target,
               unsigned others, dicom_match_t *best)
{
    dicom_path_t path;
    dicom_match_t match;
    unsigned flags, cut;

    /* What stands behind a cut has not been seen yet. */
    others |= dicom_uri_path(target, READING_FIRST & ~(unsigned) READING_CUTS,
                             &path);

    for (flags = 0; flags <= READING_FIRST; flags++) {
        if (flags & READING_CUTS) {
            continue;
        }
        if ((flags ^ READING_FIRST) & ~(unsigned) READING_CUTS & ~others) {
            continue;
        }
        for (cut = 0; cut <= READING_CUT_HASH;
             cut = cut == 0 ? READING_CUT_FRAGMENT : cut << 1)
        {
            if (cut & ~others) {
                continue;
            }
            (void) dicom_uri_path(target, flags | cut, &path);
            match = evaluate_methods(context, method, &path);
            consider(best, &match);
        }
    }
}


static dicom_method_t
method_of(slice_t method)
{
    return slice_is(method, "GET") || slice_is(method, "HEAD") ? METHOD_GET
           : slice_is(method, "POST")                          ? METHOD_POST
           : slice_is(method, "PUT")                           ? METHOD_PUT
           : slice_is(method, "DELETE")                        ? METHOD_DELETE
           : slice_is(method, "OPTIONS")                       ? METHOD_OPTIONS
                                                               : METHOD_OTHER;
}


static void
identifier(dicom_id_t *id, slice_t from_path, bool plain)
{
    if (from_path.size == 0) {
        return;
    }
    id->size = 0;
    id->cut = false;
    if (plain && from_path.size <= DICOM_ID_SIZE_MAX) {
        memcpy(id->data, from_path.data, from_path.size);
        id->size = (uint16_t) from_path.size;
    } else {
        dicom_id_append(id, from_path, false);
    }
}


void
dicom_classify(slice_t method, slice_t uri, slice_t accept,
               dicom_request_t *request)
{
    dicom_context_t context = {.accept = accept};
    dicom_method_t as_sent = method_of(method);
    slice_t target = dicom_uri_target(uri);
    dicom_path_t path;
    dicom_match_t best;
    unsigned others;

    /* Only the sizes: the text of an identifier ends there. */
    request->patient.size = request->study.size = 0;
    request->series.size = request->instance.size = 0;
    request->patient.cut = request->study.cut = false;
    request->series.cut = request->instance.cut = false;

    others = dicom_uri_path(target, READING_FIRST, &path);
    /* a plain path has none of what a query begins with, encoded or not */
    if (!path.bare) {
        dicom_query_read(target, &context.query, request);
    }
    best = evaluate_methods(&context, as_sent, &path);
    if (others != 0) {
        other_readings(&context, as_sent, target, others, &best);
    }

    request->action = best.action;
    request->api = best.api;
    request->certain = best.certain;
    identifier(&request->patient, best.patient, path.plain);
    identifier(&request->study, best.study, path.plain);
    identifier(&request->series, best.series, path.plain);
    identifier(&request->instance, best.instance, path.plain);
}
