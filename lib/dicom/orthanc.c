/*
 * Orthanc's REST API and the plug-ins that usually come with it.
 *
 * Sending to another node (/modalities/…/store, /peers/…/store) is
 * administration: what a download takes goes to a known facility, what is sent
 * goes to a place that this gate never sees.
 */

#include "dicom_internal.h"

/* Behind an object: /instances/{id}/… */
bool
orthanc_operation(const dicom_path_t *path, unsigned at,
                  dicom_operation_t *operation)
{
    dicom_word_t last;

    *operation = (dicom_operation_t){ACTION_NONE, ACTION_NONE,
                                     DICOM_API_ORTHANC};

    switch (dicom_word_at(path, at)) {
    case WORD_PREVIEW:
    case WORD_IMAGE_UINT8:
    case WORD_IMAGE_UINT16:
    case WORD_IMAGE_INT16:
    case WORD_RAW:
    case WORD_RAW_GZ:
    case WORD_TAGS:
    case WORD_SIMPLIFIED_TAGS:
    case WORD_SHARED_TAGS:
    case WORD_INSTANCES_TAGS:
    case WORD_HEADER:
    case WORD_CONTENT:
    case WORD_PDF:
    case WORD_STL:
    case WORD_NEXUS:
    case WORD_MODULE:
    case WORD_MODULE_PATIENT:
    case WORD_ORDERED_SLICES:
    case WORD_STATISTICS:
    case WORD_PATIENT:
    case WORD_STUDY:
    case WORD_SERIES: /* /instances/{id}/series: the parent */
    case WORD_LABELS:
    case WORD_PROTECTED:
    case WORD_OHIF_DICOM_JSON:
        operation->get = ACTION_VIEW;
        return true;

    case WORD_FILE:
    case WORD_ARCHIVE:
    case WORD_MEDIA:
        operation->get = ACTION_DOWNLOAD;
        operation->post = ACTION_DOWNLOAD; /* as a job */
        return true;

    case WORD_NUMPY:
    case WORD_MATLAB:
    case WORD_NIFTI:
        /* Everything that is in the object, for other programs. */
    case WORD_DOWNLOAD:
    case WORD_DICOM:
    case WORD_ZIP:
        /* Orthanc has none of these; who has them means it. */
        operation->get = ACTION_DOWNLOAD;
        return true;

    case WORD_ATTACHMENTS:
        last = dicom_word_at(path, path->count - 1);
        operation->get = path->count > at + 2 && (last == WORD_DATA ||
                                                  last == WORD_COMPRESSED_DATA)
                             ? ACTION_DOWNLOAD
                             : ACTION_VIEW;
        operation->post = ACTION_ADMIN;
        return true;

    case WORD_ANONYMIZE:
    case WORD_MODIFY:
    case WORD_MERGE:
    case WORD_SPLIT:
    case WORD_RECONSTRUCT:
    case WORD_UPDATE_DICOMWEB_CACHE:
        operation->post = ACTION_ADMIN;
        return true;

    default:
        return false;
    }
}


static action_t
read_or_admin(const dicom_context_t *context, action_t read)
{
    return dicom_is_safe(context->method) ? read : ACTION_ADMIN;
}


static action_t
tools(const dicom_context_t *context, const dicom_path_t *path, unsigned start)
{
    bool post = context->method == METHOD_POST;
    dicom_word_t word = dicom_word_at(path, start + 1);
    dicom_level_t level;

    if (path->count - start > 2 || dicom_is_level(word, &level)) {
        return ACTION_NONE;
    }

    switch (word) {
    case WORD_FIND:
    case WORD_LOOKUP:
    case WORD_COUNT_RESOURCES:
    case WORD_BULK_CONTENT:
        return post ? ACTION_QUERY : read_or_admin(context, ACTION_QUERY);
    case WORD_CREATE_ARCHIVE:
    case WORD_CREATE_MEDIA:
    case WORD_CREATE_MEDIA_EXTENDED:
        return post ? ACTION_DOWNLOAD : read_or_admin(context, ACTION_DOWNLOAD);
    case WORD_CREATE_DICOM:
        return post ? ACTION_STORE : read_or_admin(context, ACTION_VIEW);
    case WORD_BULK_DELETE:
        return post ? ACTION_DELETE : read_or_admin(context, ACTION_VIEW);
    default:
        /* Scripts, reset, shutdown, log levels: all the other tools. */
        return read_or_admin(context, ACTION_VIEW);
    }
}


/* /modalities, /peers, /dicom-web/servers: other nodes. */
static action_t
nodes(const dicom_context_t *context, const dicom_path_t *path, unsigned start)
{
    dicom_level_t level;

    if (dicom_is_level(dicom_word_at(path, start + 1), &level)) {
        return ACTION_NONE;
    }
    if (path->count - start <= 2) {
        return read_or_admin(context, ACTION_VIEW);
    }
    if (path->count - start > 3) {
        return ACTION_NONE;
    }

    switch (dicom_word_at(path, start + 2)) {
    case WORD_QUERY:
    case WORD_QIDO:
    case WORD_FIND:
    case WORD_FIND_PATIENT:
    case WORD_FIND_STUDY:
    case WORD_FIND_SERIES:
    case WORD_FIND_INSTANCE:
    case WORD_FIND_WORKLIST:
        return context->method == METHOD_POST
                   ? ACTION_QUERY
                   : read_or_admin(context, ACTION_QUERY);
    case WORD_STORE:
    case WORD_STORE_STRAIGHT:
    case WORD_MOVE:
    case WORD_GET:
    case WORD_ECHO:
    case WORD_STORAGE_COMMITMENT:
    case WORD_CONFIGURATION:
    case WORD_SYSTEM:
    case WORD_RETRIEVE:
    case WORD_WADO:
    case WORD_STOW:
    case WORD_DELETE:
        return read_or_admin(context, ACTION_VIEW);
    default:
        return ACTION_NONE;
    }
}


/* /queries/{id}/answers/{index}/…: what another node answered. */
static action_t
queries(const dicom_context_t *context, const dicom_path_t *path,
        unsigned start)
{
    dicom_level_t level;

    if (path->count - start > 5 ||
        dicom_is_level(dicom_word_at(path, start + 1), &level))
    {
        return ACTION_NONE;
    }
    switch (dicom_word_at(path, path->count - 1)) {
    case WORD_QUERY_STUDIES:
    case WORD_QUERY_SERIES:
    case WORD_QUERY_INSTANCES:
        if (context->method == METHOD_POST) {
            return ACTION_QUERY;
        }
        break;
    default:
        break;
    }

    return read_or_admin(context, ACTION_QUERY);
}


static action_t
jobs(const dicom_context_t *context, const dicom_path_t *path, unsigned start)
{
    dicom_level_t level;
    unsigned segments = path->count - start;

    if (segments > 3 || dicom_is_level(dicom_word_at(path, start + 1), &level))
    {
        return ACTION_NONE;
    }

    /* /jobs/{id}/archive is what a job made. */
    return read_or_admin(context,
                         segments == 3 ? ACTION_DOWNLOAD : ACTION_VIEW);
}


dicom_match_t
orthanc_area(const dicom_context_t *context, const dicom_path_t *path,
             unsigned start)
{
    dicom_match_t match = {
        .action = ACTION_NONE, .api = DICOM_API_ORTHANC, .certain = true};
    dicom_word_t next = dicom_word_at(path, start + 1);
    unsigned segments = path->count - start;
    dicom_level_t level;

    switch (dicom_word_at(path, start)) {
    case WORD_TOOLS:
        match.action = tools(context, path, start);
        break;

    case WORD_MODALITIES:
    case WORD_PEERS:
    case WORD_SERVERS:
        match.action = nodes(context, path, start);
        break;

    case WORD_QUERIES:
        match.action = queries(context, path, start);
        break;

    case WORD_JOBS:
        match.action = jobs(context, path, start);
        break;

    case WORD_CHANGES:
    case WORD_EXPORTS:
    case WORD_SYSTEM:
    case WORD_STATISTICS:
    case WORD_PLUGINS:
        if (segments <= 2 && !dicom_is_level(next, &level)) {
            match.action = read_or_admin(context, ACTION_VIEW);
        }
        break;

    case WORD_STORAGE_COMMITMENT:
        if (segments <= 3 && !dicom_is_level(next, &level)) {
            match.action = read_or_admin(context, ACTION_VIEW);
        }
        break;

    case WORD_WEBDAV: /* by-patients/…/x.dcm: DICOM as files */
        match.action = context->method == METHOD_DELETE
                           ? ACTION_DELETE
                           : read_or_admin(context, ACTION_DOWNLOAD);
        break;

    case WORD_TRANSFERS: /* the accelerator's chunks are DICOM */
        if (!dicom_is_level(next, &level)) {
            match.action = read_or_admin(
                context, next == WORD_CHUNKS ? ACTION_DOWNLOAD : ACTION_VIEW);
        }
        break;

    case WORD_APP:
    case WORD_UI:
    case WORD_OHIF:
    case WORD_VOLVIEW:
    case WORD_WSI:
    case WORD_WEB_VIEWER:
    case WORD_OSIMIS_VIEWER:
    case WORD_STONE_WEBVIEWER:
        if (dicom_is_safe(context->method)) {
            match.action = ACTION_VIEW;
        }
        break;

    default:
        break;
    }

    return match;
}
