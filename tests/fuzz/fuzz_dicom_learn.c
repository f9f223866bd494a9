/*
 * Any bytes as an answer: the first one is the flags, the second says into
 * which pieces the rest is cut.
 *
 * The same must come out whatever the pieces are, and all that is told must
 * be what learn.h promises: UTF-8 without control characters, UIDs, Orthanc's
 * ids.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/base/siphash.h"
#include "../../lib/dicom/learn.h"

#define REQUIRE(condition)                                                     \
    do {                                                                       \
        if (!(condition)) {                                                    \
            abort();                                                           \
        }                                                                      \
    } while (0)

typedef struct {
    unsigned flags;
    unsigned count;
    siphash_t all;
} told_t;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* Another reading of RFC 3629 than that under test. */
static void
check_text(slice_t text, size_t most)
{
    const uint8_t *p = (const uint8_t *) text.data;
    size_t i = 0;

    REQUIRE(text.size <= most);
    while (i < text.size) {
        uint32_t code = p[i];
        size_t size = code < 0x80 ? 1 : code < 0xe0 ? 2 : code < 0xf0 ? 3 : 4;

        REQUIRE(code < 0x80 || (code >= 0xc2 && code <= 0xf4));
        REQUIRE(text.size - i >= size);
        code = size == 1 ? code : code & (0xffu >> (size + 1));
        for (size_t n = 1; n < size; n++) {
            REQUIRE(p[i + n] >> 6 == 2);
            code = code << 6 | (p[i + n] & 0x3f);
        }
        REQUIRE(code >= 0x20 && !(code >= 0x7f && code < 0xa0));
        REQUIRE(size < 3 || code >= (size == 3 ? 0x800u : 0x10000u));
        REQUIRE(code <= 0x10ffff && (code & ~0x7ffu) != 0xd800);
        i += size;
    }
}


static void
check_id(slice_t id)
{
    uint8_t bytes[ORTHANC_ID_BYTES];

    REQUIRE(id.size == 0 || orthanc_id_parse(id, bytes));
}


static void
add(told_t *told, slice_t value)
{
    static const uint8_t key[SIPHASH_KEY_SIZE] = {1};
    uint64_t mixed[4] = {told->all.low, told->all.high, value.size, 0};

    mixed[3] = siphash(key, value.data, value.size).low;
    told->all = siphash(key, mixed, sizeof(mixed));
}


static void
note(void *context, const dicom_learned_t *learned)
{
    told_t *told = context;

    told->count++;
    check_text(learned->patient, 256);
    check_text(learned->issuer, 256);
    check_text(learned->name, 320);
    check_id(learned->orthanc_study);
    check_id(learned->orthanc_patient);
    check_id(learned->child);
    check_id(learned->parent);
    REQUIRE(learned->study.size <= 64);
    for (size_t i = 0; i < learned->study.size; i++) {
        REQUIRE(
            learned->study.data[i] == '.' ||
            (learned->study.data[i] >= '0' && learned->study.data[i] <= '9'));
    }
    REQUIRE(learned->name.size == 0 || (told->flags & DICOM_LEARN_NAMES));

    switch (learned->kind) {
    case DICOM_LEARNED_PATIENT:
        REQUIRE(learned->patient.size > 0);
        REQUIRE(learned->study.size + learned->orthanc_study.size +
                    learned->orthanc_patient.size >
                0);
        break;
    case DICOM_LEARNED_PARENT:
        REQUIRE(learned->child.size > 0 && learned->parent.size > 0);
        break;
    default:
        REQUIRE(learned->kind == DICOM_LEARNED_STORED);
        REQUIRE(told->flags & DICOM_LEARN_STORED);
        REQUIRE(learned->study.size + learned->orthanc_study.size > 0);
    }

    add(told, learned->study);
    add(told, learned->patient);
    add(told, learned->issuer);
    add(told, learned->name);
    add(told, learned->orthanc_study);
    add(told, learned->orthanc_patient);
    add(told, learned->child);
    add(told, learned->parent);
}


/* Each piece in memory of its own, so that a read beyond it is seen. */
static dicom_learn_result_t
read_pieces(const uint8_t *data, size_t size, size_t piece, unsigned flags,
            told_t *told)
{
    dicom_learn_t *learn = malloc(sizeof(*learn));
    dicom_learn_result_t result = DICOM_LEARN_MORE;

    REQUIRE(learn != NULL);
    memset(told, 0, sizeof(*told));
    memset(learn, 0xa5, sizeof(*learn));
    told->flags = flags;
    dicom_learn_start(learn, flags, note, told);
    while (size > 0) {
        size_t now = size < piece ? size : piece;
        uint8_t *copy = malloc(now);

        REQUIRE(copy != NULL);
        memcpy(copy, data, now);
        result = dicom_learn_feed(learn, copy, now);
        free(copy);
        data += now;
        size -= now;
    }
    free(learn);

    return result;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dicom_learn_result_t whole, pieces;
    told_t first, second;
    unsigned flags;
    size_t piece;

    if (size < 2 || size > 16 * 1024) {
        return 0;
    }
    flags = data[0] &
            (DICOM_LEARN_NAMES | DICOM_LEARN_STORED | DICOM_LEARN_ONE_STUDY);
    piece = data[1] % 40 + 1u;
    data += 2;
    size -= 2;

    whole = read_pieces(data, size, size + 1, flags, &first);
    pieces = read_pieces(data, size, piece, flags, &second);
    REQUIRE(whole == pieces);
    REQUIRE(first.count == second.count);
    REQUIRE(first.all.low == second.all.low &&
            first.all.high == second.all.high);

    return 0;
}
