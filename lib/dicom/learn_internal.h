/*
 * Between learn.c, which reads JSON, and learn_dataset.c, which knows what it
 * means.
 */

#ifndef SEKISHO_DICOM_LEARN_INTERNAL_H
#define SEKISHO_DICOM_LEARN_INTERNAL_H

#include "learn.h"

/* What an object or array is.  All that is nothing is skipped. */
enum {
    ROLE_NONE = 0,
    ROLE_ANSWER,  /* the array around datasets or resources */
    ROLE_DATASET, /* an object with attributes, or Orthanc's resource */
    ROLE_TAGS,    /* Orthanc's MainDicomTags and the like */
    ROLE_ELEMENT, /* of an attribute: vr and Value; Name, Type and Value */
    ROLE_VALUES,  /* its Value, if that is an array */
    ROLE_NAME,    /* a value of Patient's Name */
    ROLE_LIST,    /* the ids of what is in a resource */
    ROLE_STORED   /* an item of the Referenced SOP Sequence */
};

/* What a value is; the first ones are kept, at sizes[target - 1]. */
enum {
    TARGET_NONE = 0,
    TARGET_STUDY,
    TARGET_PATIENT,
    TARGET_ISSUER,
    TARGET_NAME,
    TARGET_ID,
    TARGET_PARENT_PATIENT,
    TARGET_PARENT_STUDY,
    TARGET_PARENT_SERIES,
    TARGET_KEPT = TARGET_PARENT_SERIES,
    TARGET_TYPE,
    TARGET_TAGS,
    TARGET_STUDIES,
    TARGET_SERIES,
    TARGET_INSTANCES,
    TARGET_URL,
    TARGET_STORED,
    TARGET_DATASET, /* under its id: instances-tags */
    TARGET_VALUE,   /* the Value of an element */
    TARGET_KEY
};

static inline dicom_learn_frame_t *
learn_top(dicom_learn_t *learn)
{
    return &learn->frames[learn->depth - 1];
}

/* ---- learn_dataset.c ---- */

/* What the value of this key is, in an object of this role. */
uint8_t learn_key(dicom_learn_t *learn, uint8_t role, slice_t key);
/* A dataset begins; its id is `key` if that is one. */
void learn_begin(dicom_learn_t *learn);
/* It is over: what there is to tell is told. */
void learn_end(dicom_learn_t *learn);
/* A text that is over, in learn->text. */
void learn_text(dicom_learn_t *learn, uint8_t target);
/* A value that is not of the kind that it should be. */
void learn_misfit(dicom_learn_t *learn, uint8_t target);

#endif
