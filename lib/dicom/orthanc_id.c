/* Orthanc's names of patients and studies. */

#include "orthanc_id.h"

#include <errno.h>

#include <openssl/evp.h>

/* Of both texts together: longer ones are no identifiers of DICOM. */
#define HASHED_MAX 1024

slice_t
orthanc_id_stripped(slice_t text)
{
    while (text.size > 0 && (text.data[text.size - 1] == ' ' ||
                             text.data[text.size - 1] == '\0'))
    {
        text.size--;
    }
    while (text.size > 0 && text.data[0] == ' ') {
        text = slice_from(text, 1);
    }

    return text;
}


void
orthanc_id_format(const uint8_t bytes[ORTHANC_ID_BYTES],
                  char id[ORTHANC_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = 0; i < ORTHANC_ID_BYTES; i++) {
        if (i > 0 && i % 4 == 0) {
            *id++ = '-';
        }
        *id++ = digits[bytes[i] >> 4];
        *id++ = digits[bytes[i] & 15];
    }
}


static int
digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char) (c | 0x20);

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}


bool
orthanc_id_parse(slice_t text, uint8_t bytes[ORTHANC_ID_BYTES])
{
    const char *p = text.data;
    int high, low;

    if (text.size != ORTHANC_ID_SIZE) {
        return false;
    }
    for (unsigned i = 0; i < ORTHANC_ID_BYTES; i++) {
        if (i > 0 && i % 4 == 0 && *p++ != '-') {
            return false;
        }
        high = digit(*p++);
        low = digit(*p++);
        if (high < 0 || low < 0) {
            return false;
        }
        bytes[i] = (uint8_t) (high << 4 | low);
    }

    return true;
}


static int
hash(const char *text, size_t size, char id[ORTHANC_ID_SIZE])
{
    uint8_t bytes[EVP_MAX_MD_SIZE];
    size_t length = 0;

    if (!EVP_Q_digest(NULL, "SHA1", NULL, text, size, bytes, &length) ||
        length != ORTHANC_ID_BYTES)
    {
        return -ENOMEM;
    }
    orthanc_id_format(bytes, id);

    return 0;
}


int
orthanc_id_patient(slice_t patient, char id[ORTHANC_ID_SIZE])
{
    patient = orthanc_id_stripped(patient);

    return hash(patient.data, patient.size, id);
}


int
orthanc_id_study(slice_t patient, slice_t study, char id[ORTHANC_ID_SIZE])
{
    char text[HASHED_MAX];

    patient = orthanc_id_stripped(patient);
    study = orthanc_id_stripped(study);
    if (patient.size + study.size >= sizeof(text)) {
        return -ENOMEM;
    }
    if (patient.size > 0) {
        memcpy(text, patient.data, patient.size);
    }
    text[patient.size] = '|';
    if (study.size > 0) {
        memcpy(text + patient.size + 1, study.data, study.size);
    }

    return hash(text, patient.size + 1 + study.size, id);
}
