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

/* What comes next. */
enum {
    LEARN_VALUE = 0,
    LEARN_VALUE_OR_END, /* behind [ */
    LEARN_KEY_OR_END,   /* behind { */
    LEARN_KEY,
    LEARN_COLON,
    LEARN_COMMA_OR_END,
    LEARN_STRING, /* … the rest of one that is kept */
    LEARN_ESCAPE,
    LEARN_HEX,
    LEARN_SCALAR, /* … of a number or a literal */
    LEARN_UNKEPT, /* … of a string that means nothing */
    LEARN_UNKEPT_ESCAPE,
    LEARN_SKIP, /* … of an object or array that means nothing */
    LEARN_SKIP_STRING,
    LEARN_SKIP_ESCAPE,
    LEARN_END
};

static inline dicom_learn_frame_t *
learn_top(dicom_learn_t *learn)
{
    return &learn->frames[learn->depth - 1];
}

/* ---- Brackets; all of them, also of what is skipped, must match ---- */

static inline bool
learn_push(dicom_learn_t *learn, bool object)
{
    if (learn->depth % 64 == 0) {
        if (learn->depth == DICOM_LEARN_DEPTH) {
            learn->result = DICOM_LEARN_GAVE_UP;
            return false;
        }
        learn->outer_kinds[learn->depth / 64] = learn->kinds;
    }
    learn->kinds = learn->kinds << 1 | object;
    learn->depth++;

    return true;
}


static inline bool
learn_in_object(const dicom_learn_t *learn)
{
    return learn->kinds & 1;
}


static inline bool
learn_pop(dicom_learn_t *learn, bool object)
{
    if (learn->depth == 0 || learn_in_object(learn) != object) {
        learn->result = DICOM_LEARN_GAVE_UP;
        return false;
    }
    learn->kinds >>= 1;
    learn->depth--;
    if (learn->depth % 64 == 0) {
        learn->kinds = learn->outer_kinds[learn->depth / 64];
    }

    return true;
}

/* ---- learn_skip.c ---- */

/*
 * In one of the states LEARN_SKIP…: to the end of what is skipped, or of what
 * there is of it, or until the scan gives up.  Where it came to is returned.
 */
const uint8_t *learn_skip(dicom_learn_t *learn, const uint8_t *p,
                          const uint8_t *end);

/* ---- learn_members.c ---- */

/*
 * In an object that has a frame, where a key or what is behind a member may
 * come: one member after the other, as long as they mean nothing and lie in
 * this piece; nearly all do.  Leaves off, with the state as it is there, at
 * what the rest of the reader is to look at.
 */
const uint8_t *learn_members(dicom_learn_t *learn, const uint8_t *p,
                             const uint8_t *end);

/* ---- learn_dataset.c ---- */

/* What the value of this key is, in an object of this role. */
uint8_t learn_key(dicom_learn_t *learn, uint8_t role, slice_t key);
/* The same, for the value that comes now. */
static inline void
learn_take_key(dicom_learn_t *learn, dicom_learn_frame_t *top, slice_t key)
{
    if (top->role == ROLE_ELEMENT) {
        /* `values` says whether the value to come is the Value */
        top->values = slice_equal(key, SLICE("Value"));
    } else if (top->role == ROLE_NAME) {
        top->values = slice_equal(key, SLICE("Alphabetic"));
    } else {
        top->target = learn_key(learn, top->role, key);
    }
}

/* A dataset begins; its id is `key` if that is one. */
void learn_begin(dicom_learn_t *learn);
/* It is over: what there is to tell is told. */
void learn_end(dicom_learn_t *learn);
/* A text that is over, in learn->text. */
void learn_text(dicom_learn_t *learn, uint8_t target);
/* A value that is not of the kind that it should be. */
void learn_misfit(dicom_learn_t *learn, uint8_t target);

#endif
