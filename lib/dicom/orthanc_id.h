/*
 * Orthanc's names of patients and studies: SHA-1 of their DICOM identifiers,
 * written as five groups of eight hexadecimal digits.  They can be made from
 * the identifiers, and not turned back but by a table.
 */

#ifndef SEKISHO_DICOM_ORTHANC_ID_H
#define SEKISHO_DICOM_ORTHANC_ID_H

#include <stdint.h>

#include "../base/slice.h"

#define ORTHANC_ID_SIZE  44 /* characters; never NUL-terminated */
#define ORTHANC_ID_BYTES 20

/*
 * Of a Patient ID, and of a Patient ID and a Study Instance UID, in UTF-8;
 * spaces around them are no part of them (PS3.5, 6.2).  0, or -ENOMEM.
 */
int orthanc_id_patient(slice_t patient, char id[ORTHANC_ID_SIZE]);
int orthanc_id_study(slice_t patient, slice_t study, char id[ORTHANC_ID_SIZE]);

/* The 20 bytes that the text stands for; false if it is no such id. */
bool orthanc_id_parse(slice_t text, uint8_t bytes[ORTHANC_ID_BYTES]);
/* The opposite, in lower case as Orthanc writes them. */
void orthanc_id_format(const uint8_t bytes[ORTHANC_ID_BYTES],
                       char id[ORTHANC_ID_SIZE]);

/* Without the spaces, and NULs, around a value that is padded with them. */
slice_t orthanc_id_stripped(slice_t text);

#endif
