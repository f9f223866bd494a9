/*
 * What stands in an answer: which attributes and members matter, and what a
 * dataset or resource tells when it is over.
 */

#include <stddef.h>

#include "learn_internal.h"
#include "learn_scan.h"

enum {
    LEVEL_UNSAID = 0,
    LEVEL_OF_PATIENT,
    LEVEL_OF_STUDY,
    LEVEL_OF_SERIES,
    LEVEL_OF_INSTANCE
};

typedef struct {
    uint16_t offset;
    uint16_t capacity;
} place_t;

#define PLACE(member)                                                          \
    {                                                                          \
        offsetof(dicom_learn_t, member), sizeof(((dicom_learn_t *) 0)->member) \
    }

static const place_t places[TARGET_KEPT] = {
    [TARGET_STUDY - 1] = PLACE(study),
    [TARGET_PATIENT - 1] = PLACE(patient),
    [TARGET_ISSUER - 1] = PLACE(issuer),
    [TARGET_NAME - 1] = PLACE(name),
    [TARGET_ID - 1] = PLACE(id),
    [TARGET_PARENT_PATIENT - 1] = PLACE(parent_patient),
    [TARGET_PARENT_STUDY - 1] = PLACE(parent_study),
    [TARGET_PARENT_SERIES - 1] = PLACE(parent_series)};

static slice_t
kept(const dicom_learn_t *learn, unsigned target)
{
    const char *bytes = (const char *) learn;

    return (slice_t){bytes + places[target - 1].offset,
                     learn->sizes[target - 1]};
}


/* ---- Keys ---- */

static inline bool
same(slice_t key, const char *word)
{
    /* the size is known where this is called: a comparison, not a call */
    return memcmp(key.data, word, strlen(word)) == 0;
}


static uint8_t
attribute(slice_t key)
{
    switch (key.size) {
    case 8:
        return same(key, "0020000D") || same(key, "0020000d") ? TARGET_STUDY
               : same(key, "00100020")                        ? TARGET_PATIENT
               : same(key, "00100021")                        ? TARGET_ISSUER
               : same(key, "00100010")                        ? TARGET_NAME
                                                              : TARGET_NONE;
    case 9:
        return same(key, "0020,000d") || same(key, "0020,000D") ? TARGET_STUDY
               : same(key, "0010,0020")                         ? TARGET_PATIENT
               : same(key, "0010,0021")                         ? TARGET_ISSUER
               : same(key, "0010,0010")                         ? TARGET_NAME
               : same(key, "PatientID")                         ? TARGET_PATIENT
                                                                : TARGET_NONE;
    case 11:
        return same(key, "PatientName") ? TARGET_NAME : TARGET_NONE;
    case 16:
        return same(key, "StudyInstanceUID") ? TARGET_STUDY : TARGET_NONE;
    case 17:
        return same(key, "IssuerOfPatientID") ? TARGET_ISSUER : TARGET_NONE;
    default:
        return TARGET_NONE;
    }
}


static uint8_t
member(slice_t key)
{
    switch (key.size) {
    case 2:
        return same(key, "ID") ? TARGET_ID : TARGET_NONE;
    case 4:
        return same(key, "Type") ? TARGET_TYPE : TARGET_NONE;
    case 6:
        return same(key, "Series") ? TARGET_SERIES : TARGET_NONE;
    case 7:
        return same(key, "Studies") ? TARGET_STUDIES : TARGET_NONE;
    case 9:
        return same(key, "Instances") ? TARGET_INSTANCES : TARGET_NONE;
    case 11:
        return same(key, "ParentStudy") ? TARGET_PARENT_STUDY : TARGET_NONE;
    case 12:
        return same(key, "ParentSeries") ? TARGET_PARENT_SERIES : TARGET_NONE;
    case 13:
        return same(key, "ParentPatient")   ? TARGET_PARENT_PATIENT
               : same(key, "MainDicomTags") ? TARGET_TAGS
               : same(key, "RequestedTags") ? TARGET_TAGS
                                            : TARGET_NONE;
    case 20:
        return same(key, "PatientMainDicomTags") ? TARGET_TAGS : TARGET_NONE;
    default:
        return TARGET_NONE;
    }
}


uint8_t
learn_key(dicom_learn_t *learn, uint8_t role, slice_t key)
{
    uint8_t bytes[ORTHANC_ID_BYTES], target;

    if (role == ROLE_STORED) {
        return slice_is(key, "00081190") ? TARGET_URL : TARGET_NONE;
    }
    target = attribute(key);
    if (target != TARGET_NONE) {
        return target == TARGET_NAME && !(learn->flags & DICOM_LEARN_NAMES)
                   ? TARGET_NONE
                   : target;
    }
    if (role != ROLE_DATASET) {
        return TARGET_NONE;
    }
    if (key.size == 8) {
        return !(learn->flags & DICOM_LEARN_STORED) ? TARGET_NONE
               : slice_is(key, "00081190")          ? TARGET_URL
               : slice_is(key, "00081199")          ? TARGET_STORED
                                                    : TARGET_NONE;
    }
    if (learn->depth == 1 && orthanc_id_parse(key, bytes)) {
        return TARGET_DATASET;
    }

    return member(key);
}


/* ---- Texts ---- */

/* UTF-8 (RFC 3629) without control characters. */
static bool
is_clean(slice_t text)
{
    const uint8_t *p = (const uint8_t *) text.data, *end = p + text.size;
    uint32_t code;
    unsigned more;

    while (p < end) {
        uint8_t c = *p++;

        if (c < 0x80) {
            if (c < 0x20 || c == 0x7f) {
                return false;
            }
            continue;
        }
        if (c < 0xc2 || c > 0xf4) {
            return false;
        }
        more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        code = c & (0x3fu >> more);
        if ((size_t) (end - p) < more) {
            return false;
        }
        for (unsigned i = 0; i < more; i++) {
            if ((*p & 0xc0) != 0x80) {
                return false;
            }
            code = code << 6 | (*p++ & 0x3fu);
        }
        if ((more == 2 && code < 0x800) || (more == 3 && code < 0x10000) ||
            code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ||
            (code >= 0x80 && code < 0xa0))
        {
            return false;
        }
    }

    return true;
}


static bool
is_uid(slice_t text)
{
    size_t i = 0;

#if defined(__SSE2__)
    for (; text.size - i >= 16; i += 16) {
        __m128i bytes = learn_load((const uint8_t *) text.data + i);
        __m128i digits = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));

        digits = _mm_cmpeq_epi8(_mm_min_epu8(digits, _mm_set1_epi8(9)), digits);
        if (_mm_movemask_epi8(_mm_or_si128(
                digits, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('.')))) != 0xffff)
        {
            return false;
        }
    }
#endif
    for (; i < text.size; i++) {
        if (text.data[i] != '.' && (text.data[i] < '0' || text.data[i] > '9')) {
            return false;
        }
    }

    return true;
}


static bool
fits(unsigned target, slice_t text)
{
    uint8_t bytes[ORTHANC_ID_BYTES];

    switch (target) {
    case TARGET_STUDY:
        return is_uid(text);
    case TARGET_PATIENT:
    case TARGET_ISSUER:
        /* a backslash is between several values (PS3.5, 6.4) */
        return is_clean(text) && memchr(text.data, '\\', text.size) == NULL;
    case TARGET_NAME:
        return is_clean(text);
    default:
        return orthanc_id_parse(text, bytes);
    }
}


static void
keep_text(dicom_learn_t *learn, unsigned target)
{
    const place_t *place = &places[target - 1];
    slice_t text = {learn->text, learn->text_size}, old = kept(learn, target);
    bool identity = target <= TARGET_ISSUER;

    text = orthanc_id_stripped(text);
    if (target == TARGET_NAME) {
        const char *equals = text.size == 0 ? NULL
                                            : memchr(text.data, '=', text.size);

        if (equals != NULL) { /* its other writings are behind that */
            text.size = (size_t) (equals - text.data);
        }
    }
    if (learn->overflow || text.size > place->capacity ||
        (text.size > 0 && !fits(target, text)))
    {
        learn->spoiled |= identity;
        return;
    }
    if (text.size == 0) {
        return;
    }
    if (old.size > 0) {
        learn->spoiled |= target <= TARGET_KEPT && target != TARGET_NAME &&
                          !slice_equal(old, text);
        return;
    }
    memcpy((char *) learn + place->offset, text.data, text.size);
    learn->sizes[target - 1] = (uint16_t) text.size;
}


void
learn_misfit(dicom_learn_t *learn, uint8_t target)
{
    if (target >= TARGET_STUDY && target <= TARGET_ISSUER) {
        learn->spoiled = true;
    }
}


/* …/studies/{study}, whatever comes behind it. */
static slice_t
study_of_url(slice_t url)
{
    static const char word[] = "/studies/";
    size_t size = sizeof(word) - 1, at, end;

    for (at = 0; at + size < url.size; at++) {
        if (memcmp(url.data + at, word, size) != 0) {
            continue;
        }
        at += size;
        for (end = at;
             end < url.size && url.data[end] != '/' && url.data[end] != '?';
             end++)
        {
            /* void */
        }
        slice_t study = {url.data + at, end - at};

        return study.size <= DICOM_LEARN_VALUES * 32 && is_uid(study)
                   ? study
                   : SLICE("");
    }

    return SLICE("");
}


static void
tell_parent(dicom_learn_t *learn, slice_t child, slice_t parent,
            bool of_instance)
{
    dicom_learned_t learned = {.kind = DICOM_LEARNED_PARENT,
                               .child = child,
                               .parent = parent,
                               .of_instance = of_instance};

    if (child.size > 0 && parent.size > 0) {
        learn->told(learn->context, &learned);
    }
}


/* An id in the list of what a resource holds; its own stands before it. */
static void
listed(dicom_learn_t *learn, uint8_t target)
{
    slice_t text = {learn->text, learn->overflow ? 0 : learn->text_size};
    uint8_t bytes[ORTHANC_ID_BYTES];

    if (!orthanc_id_parse(text, bytes) || learn->spoiled) {
        return;
    }
    if (target == TARGET_INSTANCES) {
        tell_parent(learn, text, kept(learn, TARGET_ID), true);
        return;
    }
    if (target == TARGET_SERIES) {
        tell_parent(learn, text, kept(learn, TARGET_ID), false);
        return;
    }

    dicom_learned_t learned = {.kind = DICOM_LEARNED_PATIENT,
                               .orthanc_study = text,
                               .patient = kept(learn, TARGET_PATIENT),
                               .issuer = kept(learn, TARGET_ISSUER),
                               .name = kept(learn, TARGET_NAME),
                               .orthanc_patient = kept(learn, TARGET_ID)};

    if (learned.patient.size > 0) {
        learn->told(learn->context, &learned);
    }
}


static uint8_t
level_of(slice_t type)
{
    return slice_is(type, "Patient")    ? LEVEL_OF_PATIENT
           : slice_is(type, "Study")    ? LEVEL_OF_STUDY
           : slice_is(type, "Series")   ? LEVEL_OF_SERIES
           : slice_is(type, "Instance") ? LEVEL_OF_INSTANCE
                                        : LEVEL_UNSAID;
}


void
learn_text(dicom_learn_t *learn, uint8_t target)
{
    switch (target) {
    case TARGET_TYPE:
        learn->level = level_of(
            (slice_t){learn->text, learn->overflow ? 0 : learn->text_size});
        return;
    case TARGET_STUDIES:
    case TARGET_SERIES:
    case TARGET_INSTANCES:
        if (learn_top(learn)->role == ROLE_LIST) {
            listed(learn, target);
        }
        return;
    case TARGET_URL: {
        dicom_learned_t learned = {
            .kind = DICOM_LEARNED_STORED,
            .study = study_of_url((slice_t){
                learn->text, learn->overflow ? 0 : learn->text_size})};

        if (learned.study.size > 0) {
            learn->told(learn->context, &learned);
        }
        return;
    }
    default:
        if (target >= TARGET_STUDY && target <= TARGET_KEPT) {
            keep_text(learn, target);
        }
    }
}


/* ---- Datasets ---- */

static void
forget(dicom_learn_t *learn)
{
    memset(learn->sizes, 0, sizeof(learn->sizes));
    learn->spoiled = false;
    learn->level = LEVEL_UNSAID;
}


void
learn_begin(dicom_learn_t *learn)
{
    forget(learn);

    if (learn->depth >= 2 &&
        learn->frames[learn->depth - 2].target == TARGET_DATASET)
    {
        /* the key is still there */
        learn->level = LEVEL_OF_INSTANCE;
        keep_text(learn, TARGET_ID);
    }
}


static void
tell_stored(dicom_learn_t *learn)
{
    dicom_learned_t learned = {
        .kind = DICOM_LEARNED_STORED,
        .orthanc_study = kept(learn, TARGET_PARENT_STUDY)};

    if (learned.orthanc_study.size > 0) {
        learn->told(learn->context, &learned);
    }
}


void
learn_end(dicom_learn_t *learn)
{
    slice_t id = kept(learn, TARGET_ID);
    slice_t study = kept(learn, TARGET_PARENT_STUDY);
    slice_t series = kept(learn, TARGET_PARENT_SERIES);
    dicom_learned_t learned = {
        .kind = DICOM_LEARNED_PATIENT,
        .study = kept(learn, TARGET_STUDY),
        .patient = kept(learn, TARGET_PATIENT),
        .issuer = kept(learn, TARGET_ISSUER),
        .name = kept(learn, TARGET_NAME),
        .orthanc_study = study,
        .orthanc_patient = kept(learn, TARGET_PARENT_PATIENT)};

    if (learn->spoiled) {
        forget(learn);
        return;
    }

    if (series.size > 0) {
        tell_parent(learn, id, series, true);
        tell_parent(learn, series, study, false);
    } else if (study.size > 0) {
        tell_parent(learn, id, study, false);
    }
    if (learn->flags & DICOM_LEARN_STORED) {
        tell_stored(learn);
    }

    if (learn->level == LEVEL_OF_STUDY ||
        (learn->level == LEVEL_UNSAID && learned.orthanc_patient.size > 0 &&
         study.size == 0))
    {
        learned.orthanc_study = id;
    } else if (learn->level == LEVEL_OF_PATIENT) {
        learned.orthanc_patient = id;
    }
    if (learned.patient.size > 0 &&
        (learned.study.size > 0 || learned.orthanc_study.size > 0 ||
         learned.orthanc_patient.size > 0))
    {
        learn->told(learn->context, &learned);
        /* a resource of Orthanc may be followed by its siblings, which only
         * tell whose children they are */
        if ((learn->flags & DICOM_LEARN_ONE_STUDY) && learned.study.size > 0 &&
            id.size == 0)
        {
            learn->result = DICOM_LEARN_DONE;
        }
    }

    forget(learn);
}
