/* Which requests' answers are worth reading. */

#include "dicom_internal.h"
#include "learn.h"

/* Pixels and files: no JSON; and what other nodes know is not whose
 * study it is here. */
static bool
is_other(dicom_word_t word)
{
    switch (word) {
    case WORD_FRAMES:
    case WORD_RENDERED:
    case WORD_THUMBNAIL:
    case WORD_PREVIEW:
    case WORD_BULKDATA:
    case WORD_BULK:
    case WORD_PIXELDATA:
    case WORD_IMAGE_UINT8:
    case WORD_IMAGE_UINT16:
    case WORD_IMAGE_INT16:
    case WORD_RAW:
    case WORD_RAW_GZ:
    case WORD_PDF:
    case WORD_ATTACHMENTS:
    case WORD_QUERIES:
    case WORD_MODALITIES:
    case WORD_PEERS:
    case WORD_SERVERS:
        return true;
    default:
        return false;
    }
}


bool
dicom_learn_expects(slice_t target, dicom_api_t api, action_t action)
{
    const char *p = target.data, *end = target.data + target.size, *start;

    if (api != DICOM_API_DICOMWEB && api != DICOM_API_ORTHANC &&
        api != DICOM_API_DCM4CHEE)
    {
        return false;
    }
    if (action != ACTION_QUERY && action != ACTION_VIEW &&
        action != ACTION_STORE) {
        return false;
    }
    while (p < end && *p != '?') {
        if (*p == '/') {
            p++;
            continue;
        }
        start = p;
        while (p < end && *p != '/' && *p != '?') {
            p++;
        }
        if (is_other(dicom_word(start, (size_t) (p - start)))) {
            return false;
        }
    }

    return true;
}


static bool
same_letters(const char *a, const char *lower, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = a[i];

        if (c >= 'A' && c <= 'Z') {
            c = (char) (c | 0x20);
        }
        if (c != lower[i]) {
            return false;
        }
    }

    return true;
}


bool
dicom_learn_reads(slice_t content_type)
{
    static const char *const kinds[] = {"application/json",
                                        "application/dicom+json"};
    size_t size = 0;

    while (size < content_type.size && content_type.data[size] != ';' &&
           content_type.data[size] != ' ' && content_type.data[size] != '\t')
    {
        size++;
    }
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (size == strlen(kinds[i]) &&
            same_letters(content_type.data, kinds[i], size)) {
            return true;
        }
    }

    return false;
}
