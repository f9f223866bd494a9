/*
 * Whose study it is, read out of the answers of a PACS while they pass by.
 *
 * DICOM JSON (PS3.18 F: QIDO-RS, metadata, STOW-RS) and Orthanc's own JSON
 * (resources, lists, tags), told apart by what stands in them.  The answer
 * comes in pieces that may end at any byte; a scan takes a fixed amount of
 * memory, never allocates, and gives up on what it does not understand: it
 * never guesses.
 */

#ifndef SEKISHO_DICOM_LEARN_H
#define SEKISHO_DICOM_LEARN_H

#include "dicom.h"
#include "orthanc_id.h"

typedef enum {
    /* `patient`, and `issuer` and `name` where known, of the study `study`
     * (a UID), `orthanc_study`, or both; with neither, of `orthanc_patient` */
    DICOM_LEARNED_PATIENT = 1,
    /* the series or instance `child` belongs to `parent`: Orthanc's ids */
    DICOM_LEARNED_PARENT,
    /* `study` or `orthanc_study` was stored; whose it is was not said */
    DICOM_LEARNED_STORED
} dicom_learned_kind_t;

/* Slices with size 0 were not said.  They are valid UTF-8 without control
 * characters, and die with the call. */
typedef struct {
    dicom_learned_kind_t kind;
    slice_t study;
    slice_t patient;
    slice_t issuer;
    slice_t name; /* its alphabetic form, as in 0010,0010 */
    slice_t orthanc_study;
    slice_t orthanc_patient;
    slice_t child;
    slice_t parent;
    bool of_instance; /* `child` is one, and `parent` is a series */
} dicom_learned_t;

typedef void (*dicom_learned_fn)(void *context, const dicom_learned_t *learned);

enum {
    DICOM_LEARN_NAMES = 1 << 0,
    DICOM_LEARN_STORED = 1 << 1, /* the answer to a request that stores */
    /* the request names one study, series or instance: what the first dataset
     * with a study and a patient tells is all that there is to learn */
    DICOM_LEARN_ONE_STUDY = 1 << 2
};

typedef enum {
    DICOM_LEARN_MORE = 1, /* go on */
    DICOM_LEARN_DONE,     /* the rest need not be looked at */
    DICOM_LEARN_GAVE_UP   /* no JSON, or deeper than DICOM_LEARN_DEPTH */
} dicom_learn_result_t;

#define DICOM_LEARN_DEPTH  256 /* of objects and arrays in each other */
#define DICOM_LEARN_FRAMES 8   /* of them, those that mean something */
#define DICOM_LEARN_TEXT   328 /* bytes of the longest text that is kept */
#define DICOM_LEARN_VALUES 2

typedef struct {
    uint8_t role;
    uint8_t target; /* what the value of the current key is */
    uint8_t values; /* elements of an array, up to DICOM_LEARN_VALUES */
} dicom_learn_frame_t;

/* Its contents are learn.c's own. */
typedef struct {
    dicom_learned_fn told;
    void *context;
    uint8_t flags;
    uint8_t result; /* dicom_learn_result_t */
    uint8_t state;

    /* the string under way */
    uint8_t capture;
    uint8_t hex_left;
    bool overflow;
    uint16_t code;
    uint16_t surrogate; /* the first of a pair; 0: none */
    uint16_t text_size;

    uint16_t depth;
    uint16_t skip;  /* depth at which skipping began */
    uint64_t kinds; /* 1: an object; the innermost is the lowest bit */
    uint64_t outer_kinds[DICOM_LEARN_DEPTH / 64];
    dicom_learn_frame_t frames[DICOM_LEARN_FRAMES];

    /* the dataset or resource under way */
    bool spoiled; /* it contradicts itself: nothing is said of it */
    uint8_t level;
    uint16_t sizes[8];
    char study[64];
    char patient[256];
    char issuer[256];
    char name[320];
    char id[ORTHANC_ID_SIZE];
    char parent_patient[ORTHANC_ID_SIZE];
    char parent_study[ORTHANC_ID_SIZE];
    char parent_series[ORTHANC_ID_SIZE];

    char text[DICOM_LEARN_TEXT];
} dicom_learn_t;

/* Begins an answer.  `told` is called from within dicom_learn_feed(). */
void dicom_learn_start(dicom_learn_t *learn, unsigned flags,
                       dicom_learned_fn told, void *context);

/* The next bytes of it.  After anything but DICOM_LEARN_MORE it does nothing
 * any more. */
dicom_learn_result_t dicom_learn_feed(dicom_learn_t *learn, const void *data,
                                      size_t size);

/*
 * Whether the answer to a request may tell whose study it is: a search, a
 * resource or metadata, a store; no pixels, no other node's data.  `target` is
 * path and query as they came, the others are as dicom_classify() said.
 */
bool dicom_learn_expects(slice_t target, dicom_api_t api, action_t action);

/* "application/json", "application/dicom+json", whatever their parameters. */
bool dicom_learn_reads(slice_t content_type);

#endif
