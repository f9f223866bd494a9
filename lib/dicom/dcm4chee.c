/*
 * dcm4chee-arc: what its RESTful services have beyond DICOMweb, under
 * /dcm4chee-arc/aets/{aet}/rs, …/dimse/{aet} and beside them.
 */

#include "dicom_internal.h"

/* Behind an object.  A rejection hides or deletes: IHE IOCM. */
bool
dcm4chee_operation(dicom_word_t word, dicom_operation_t *operation)
{
    *operation = (dicom_operation_t){ACTION_NONE, ACTION_ADMIN,
                                     DICOM_API_DCM4CHEE};

    switch (word) {
    case WORD_REJECT:
        operation->post = ACTION_DELETE;
        return true;
    case WORD_EXPORT: /* to another node, like Orthanc's store */
    case WORD_MOVE:
    case WORD_COPY:
    case WORD_EXPIRE:
    case WORD_ACCESS:
    case WORD_REQUEST:
    case WORD_RESTORE:
    case WORD_REIMPORT:
    case WORD_UNMERGE:
    case WORD_CHANGEID:
    case WORD_IAN:
    case WORD_STGCMT:
    case WORD_STGVER:
    case WORD_FHIR:
        return true;
    default:
        return false;
    }
}


/* Behind /studies, /series or /instances: on everything that matches. */
bool
dcm4chee_list_operation(dicom_word_t word, dicom_operation_t *operation)
{
    *operation = (dicom_operation_t){ACTION_NONE, ACTION_ADMIN,
                                     DICOM_API_DCM4CHEE};

    switch (word) {
    case WORD_COUNT:
    case WORD_SIZE:
        operation->get = ACTION_QUERY;
        return true;
    case WORD_REJECT:
        operation->post = ACTION_DELETE;
        return true;
    case WORD_EXPORT:
    case WORD_UPDATE:
    case WORD_ACCESS:
    case WORD_EXPIRE:
    case WORD_IAN:
    case WORD_STGCMT:
    case WORD_STGVER:
    case WORD_WORKITEMS:
        return true;
    default:
        return false;
    }
}


dicom_match_t
dcm4chee_area(const dicom_context_t *context, const dicom_path_t *path,
              unsigned start)
{
    dicom_match_t match = {
        .action = ACTION_NONE, .api = DICOM_API_DCM4CHEE, .certain = true};
    bool safe = dicom_is_safe(context->method);
    slice_t last;

    switch (dicom_word_at(path, start)) {
    case WORD_FHIR: /* …/fhir/Patient, a search for patients */
        if (!path->dcm4chee || dicom_word_at(path, start + 1) != WORD_PATIENT) {
            break;
        }
        last = path->segments[path->count - 1].text;
        match.action = safe || (context->method == METHOD_POST &&
                                slice_is(last, "_search"))
                           ? ACTION_QUERY
                           : ACTION_ADMIN;
        break;

    case WORD_DCM4CHEE_ARC:
        switch (dicom_word_at(path, start + 1)) {
        case WORD_UI2:
        case WORD_MONITOR:
        case WORD_QUEUE:
        case WORD_DEVICES:
        case WORD_HL7APPS:
        case WORD_WEBAPPS:
        case WORD_AES:
        case WORD_CTRL:
        case WORD_EXPORT:
        case WORD_REJECT: /* DELETE: everything rejected, for good */
            match.action = safe ? ACTION_VIEW : ACTION_ADMIN;
            break;
        case WORD_AETS:
            if (path->count - start == 2 && safe) {
                match.action = ACTION_VIEW;
            }
            break;
        default:
            break;
        }
        break;

    default:
        break;
    }

    return match;
}
