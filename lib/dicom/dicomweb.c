/*
 * DICOMweb (PS3.18): QIDO-RS, WADO-RS, STOW-RS, UPS-RS; and the grammar of
 * objects, patients/…/studies/…, that Orthanc and dcm4chee share with it.
 */

#include "dicom_internal.h"

dicom_word_t
dicom_word_at(const dicom_path_t *path, unsigned at)
{
    return at < path->count ? (dicom_word_t) path->segments[at].word
                            : WORD_OTHER;
}


bool
dicom_is_level(dicom_word_t word, dicom_level_t *level)
{
    switch (word) {
    case WORD_PATIENTS:
        *level = LEVEL_PATIENT;
        return true;
    case WORD_STUDIES:
        *level = LEVEL_STUDY;
        return true;
    case WORD_SERIES:
        *level = LEVEL_SERIES;
        return true;
    case WORD_INSTANCES:
        *level = LEVEL_INSTANCE;
        return true;
    default:
        return false;
    }
}


/* Of a method that reached evaluation: OPTIONS is looked at like GET. */
bool
dicom_is_safe(dicom_method_t method)
{
    return method == METHOD_GET || method == METHOD_OPTIONS;
}


bool
dicom_object_parse(const dicom_path_t *path, unsigned start,
                   dicom_object_t *object)
{
    dicom_level_t level, deeper;
    dicom_operation_t operation;
    unsigned at = start;

    memset(object, 0, sizeof(*object));
    if (!dicom_is_level(dicom_word_at(path, at), &level)) {
        return false;
    }
    object->first = level;
    object->strong = true;

    for (;;) {
        const dicom_segment_t *segment;

        object->level = level;
        object->list = true;
        if (++at == path->count) {
            break;
        }
        segment = &path->segments[at];
        if (dicom_is_level((dicom_word_t) segment->word, &deeper)) {
            /* No identifier is such a word: this one belongs to a root. */
            if (at == start + 1) {
                return false;
            }
            break;
        }
        if (dcm4chee_list_operation((dicom_word_t) segment->word, &operation)) {
            break;
        }

        object->ids[level] = segment->text;
        object->list = false;
        object->uid = segment->form == FORM_UID;
        object->strong &= segment->form != FORM_OTHER;
        if (!object->named) {
            object->orthanc = segment->form == FORM_ORTHANC;
        }
        object->named = true;
        if (++at == path->count ||
            !dicom_is_level(dicom_word_at(path, at), &deeper) ||
            deeper <= level)
        {
            break;
        }
        level = deeper;
    }

    object->strong &= object->named;
    object->next = at;

    return true;
}


/* Behind the identifiers: PS3.18, 10.4 (retrieve) and 10.4.1.1.2 to .6. */
bool
dicomweb_operation(dicom_word_t word, dicom_operation_t *operation)
{
    switch (word) {
    case WORD_METADATA:
    case WORD_RENDERED:
    case WORD_THUMBNAIL:
    case WORD_FRAMES:
    case WORD_BULKDATA:
    case WORD_BULK: /* Orthanc's name for it */
    case WORD_PIXELDATA:
        *operation = (dicom_operation_t){ACTION_VIEW, ACTION_NONE,
                                         DICOM_API_UNKNOWN};
        return true;
    default:
        return false;
    }
}


/*
 * A retrieval gives DICOM unless both the header and the parameter rule it
 * out: the parameter overrides the header (PS3.18, 8.3.3.1), but Orthanc does
 * not look at it.
 */
static action_t
retrieval(const dicom_context_t *context)
{
    return !context->query.accept_dicom &&
                   dicom_media_only_view(context->accept)
               ? ACTION_VIEW
               : ACTION_DOWNLOAD;
}


static void
operate(const dicom_context_t *context, const dicom_path_t *path,
        const dicom_object_t *object, dicom_match_t *match)
{
    dicom_word_t word = dicom_word_at(path, object->next);
    dicom_operation_t operation;
    action_t action = ACTION_NONE;
    bool known;

    known = object->list
                ? dcm4chee_list_operation(word, &operation)
                : dicomweb_operation(word, &operation) ||
                      orthanc_operation(path, object->next, &operation) ||
                      dcm4chee_operation(word, &operation);
    if (!known) {
        operation = (dicom_operation_t){ACTION_NONE, ACTION_NONE,
                                        DICOM_API_UNKNOWN};
    }

    if (dicom_is_safe(context->method)) {
        action = (action_t) operation.get;
    } else if (context->method == METHOD_POST) {
        action = (action_t) operation.post;
    } else if (known && object->strong) {
        action = ACTION_ADMIN; /* PUT and DELETE of labels, metadata, … */
    }
    match->certain = action != ACTION_NONE;

    if (action == ACTION_NONE) {
        /* Somebody's extension, if this is an object at all. */
        if (!object->strong) {
            return;
        }
        action = dicom_is_safe(context->method) ? ACTION_VIEW : ACTION_ADMIN;
    }
    match->action = action;
    if (operation.api != DICOM_API_UNKNOWN) {
        match->api = (dicom_api_t) operation.api;
    }
}


static void
list(const dicom_context_t *context, const dicom_path_t *path,
     const dicom_object_t *object, dicom_match_t *match)
{
    bool patients = object->first == LEVEL_PATIENT;

    if (patients) {
        match->api = path->dcm4chee ? DICOM_API_DCM4CHEE : DICOM_API_ORTHANC;
    }

    if (dicom_is_safe(context->method)) {
        /* Orthanc's list of children is a page of one patient's record. */
        match->action = object->orthanc ? ACTION_VIEW : ACTION_QUERY;
        match->certain = true;
        return;
    }
    if (object->named) {
        match->action = object->strong ? ACTION_ADMIN : ACTION_NONE;
        return;
    }

    match->action = ACTION_ADMIN;
    if (context->method != METHOD_POST) {
        return;
    }
    switch (object->first) {
    case LEVEL_STUDY: /* STOW-RS */
        match->action = ACTION_STORE;
        match->certain = true;
        break;
    case LEVEL_INSTANCE: /* Orthanc: upload of a file or an archive */
        match->action = ACTION_STORE;
        match->api = DICOM_API_ORTHANC;
        match->certain = true;
        break;
    case LEVEL_PATIENT: /* dcm4chee: create a patient */
        match->api = DICOM_API_DCM4CHEE;
        match->certain = true;
        break;
    default:
        break;
    }
}


static void
single(const dicom_context_t *context, const dicom_object_t *object,
       dicom_match_t *match)
{
    bool flat = object->first == object->level;
    bool studies = object->first == LEVEL_STUDY;
    bool patient = object->level == LEVEL_PATIENT;

    switch (context->method) {
    case METHOD_GET:
    case METHOD_OPTIONS:
        if (flat && object->orthanc) {
            match->action = ACTION_VIEW;
            match->certain = true;
        } else if (studies) {
            match->action = retrieval(context);
            match->certain = true;
        } else if (object->strong) {
            /* A UID under /series or /instances is in no API that we know;
             * if it is in another, it is a retrieval. */
            match->action = patient ? ACTION_VIEW : retrieval(context);
        }
        break;

    case METHOD_POST:
        if (studies && flat && object->uid) {
            match->action = ACTION_STORE; /* STOW-RS into one study */
            match->certain = true;
        } else if (object->strong) {
            match->action = ACTION_ADMIN;
        }
        break;

    case METHOD_DELETE:
        /* dcm4chee's patients are named by ID^^^issuer. */
        if (object->strong || (patient && object->named)) {
            match->action = ACTION_DELETE;
            match->certain = true;
        }
        break;

    case METHOD_PUT: /* dcm4chee: new attributes */
        if (object->strong || (patient && object->named)) {
            match->action = ACTION_ADMIN;
            match->api = DICOM_API_DCM4CHEE;
            match->certain = true;
        }
        break;

    default:
        match->action = object->strong ? ACTION_ADMIN : ACTION_NONE;
        break;
    }
}


dicom_match_t
dicomweb_object(const dicom_context_t *context, const dicom_path_t *path,
                const dicom_object_t *object)
{
    dicom_match_t match = {.action = ACTION_NONE,
                           .api = object->orthanc ? DICOM_API_ORTHANC
                                  : object->first == LEVEL_PATIENT
                                      ? DICOM_API_DCM4CHEE
                                      : DICOM_API_DICOMWEB,
                           .patient = object->ids[LEVEL_PATIENT],
                           .study = object->ids[LEVEL_STUDY],
                           .series = object->ids[LEVEL_SERIES],
                           .instance = object->ids[LEVEL_INSTANCE]};

    if (object->next < path->count) {
        operate(context, path, object, &match);
    } else if (object->list) {
        list(context, path, object, &match);
    } else {
        single(context, object, &match);
    }

    return match;
}


/*
 * UPS-RS (PS3.18, 11), and the worklists and performed steps that dcm4chee and
 * PS3.18 of 2024 have.  A change to a worklist decides what is done to whom:
 * it is administration, not the bringing of images.
 */
dicom_match_t
dicomweb_worklist(const dicom_context_t *context, const dicom_path_t *path,
                  unsigned start)
{
    dicom_match_t match = {.action = ACTION_NONE};
    dicom_word_t next = dicom_word_at(path, start + 1);
    dicom_level_t level;

    switch (dicom_word_at(path, start)) {
    case WORD_WORKITEMS:
    case WORD_SCHEDULED_STEPS:
    case WORD_PERFORMED_STEPS:
        match.api = DICOM_API_DICOMWEB;
        break;
    case WORD_MWLITEMS:
    case WORD_MPPS:
        match.api = DICOM_API_DCM4CHEE;
        break;
    default:
        return match;
    }
    if (dicom_is_level(next, &level)) {
        return match;
    }

    match.certain = true;
    if (!dicom_is_safe(context->method)) {
        match.action = ACTION_ADMIN;
    } else if (start + 1 == path->count || next == WORD_COUNT) {
        match.action = ACTION_QUERY;
    } else {
        match.action = ACTION_VIEW;
    }

    return match;
}
