/* Words of a path, and the form of identifiers. */

#include "dicom_internal.h"

#include "../base/endian.h"

typedef struct {
    char text[DICOM_WORD_SIZE_MAX + 1];
    uint8_t word;
} entry_t;

#define ENTRY(name, text) {text, WORD_##name},
static const entry_t entries[] = {DICOM_WORDS(ENTRY)};
#undef ENTRY

/* The words of one length lie side by side: first index, one per length. */
#define ONE(name, text) +1
enum {
    FIRST_2 = 0,
    FIRST_3 = FIRST_2 DICOM_WORDS_2(ONE),
    FIRST_4 = FIRST_3 DICOM_WORDS_3(ONE),
    FIRST_5 = FIRST_4 DICOM_WORDS_4(ONE),
    FIRST_6 = FIRST_5 DICOM_WORDS_5(ONE),
    FIRST_7 = FIRST_6 DICOM_WORDS_6(ONE),
    FIRST_8 = FIRST_7 DICOM_WORDS_7(ONE),
    FIRST_9 = FIRST_8 DICOM_WORDS_8(ONE),
    FIRST_10 = FIRST_9 DICOM_WORDS_9(ONE),
    FIRST_11 = FIRST_10 DICOM_WORDS_10(ONE),
    FIRST_12 = FIRST_11 DICOM_WORDS_11(ONE),
    FIRST_13 = FIRST_12 DICOM_WORDS_12(ONE),
    FIRST_14 = FIRST_13 DICOM_WORDS_13(ONE),
    FIRST_15 = FIRST_14 DICOM_WORDS_14(ONE),
    FIRST_18 = FIRST_15 DICOM_WORDS_15(ONE),
    FIRST_21 = FIRST_18 DICOM_WORDS_18(ONE),
    FIRST_34 = FIRST_21 DICOM_WORDS_21(ONE),
    FIRST_END = FIRST_34 DICOM_WORDS_34(ONE)
};
#undef ONE

#define CHECK(length, text)                                                    \
    _Static_assert(sizeof(text) == (length) + 1, "in the list of its length");
#define CHECK_2(name, text)  CHECK(2, text)
#define CHECK_3(name, text)  CHECK(3, text)
#define CHECK_4(name, text)  CHECK(4, text)
#define CHECK_5(name, text)  CHECK(5, text)
#define CHECK_6(name, text)  CHECK(6, text)
#define CHECK_7(name, text)  CHECK(7, text)
#define CHECK_8(name, text)  CHECK(8, text)
#define CHECK_9(name, text)  CHECK(9, text)
#define CHECK_10(name, text) CHECK(10, text)
#define CHECK_11(name, text) CHECK(11, text)
#define CHECK_12(name, text) CHECK(12, text)
#define CHECK_13(name, text) CHECK(13, text)
#define CHECK_14(name, text) CHECK(14, text)
#define CHECK_15(name, text) CHECK(15, text)
#define CHECK_18(name, text) CHECK(18, text)
#define CHECK_21(name, text) CHECK(21, text)
#define CHECK_34(name, text) CHECK(34, text)
DICOM_WORDS_2(CHECK_2)
DICOM_WORDS_3(CHECK_3)
DICOM_WORDS_4(CHECK_4)
DICOM_WORDS_5(CHECK_5)
DICOM_WORDS_6(CHECK_6)
DICOM_WORDS_7(CHECK_7)
DICOM_WORDS_8(CHECK_8)
DICOM_WORDS_9(CHECK_9)
DICOM_WORDS_10(CHECK_10)
DICOM_WORDS_11(CHECK_11)
DICOM_WORDS_12(CHECK_12)
DICOM_WORDS_13(CHECK_13)
DICOM_WORDS_14(CHECK_14)
DICOM_WORDS_15(CHECK_15)
DICOM_WORDS_18(CHECK_18)
DICOM_WORDS_21(CHECK_21)
DICOM_WORDS_34(CHECK_34)

typedef struct {
    uint8_t first, end;
} range_t;

static const range_t ranges[DICOM_WORD_SIZE_MAX + 1] = {
    [2] = {FIRST_2, FIRST_3},    [3] = {FIRST_3, FIRST_4},
    [4] = {FIRST_4, FIRST_5},    [5] = {FIRST_5, FIRST_6},
    [6] = {FIRST_6, FIRST_7},    [7] = {FIRST_7, FIRST_8},
    [8] = {FIRST_8, FIRST_9},    [9] = {FIRST_9, FIRST_10},
    [10] = {FIRST_10, FIRST_11}, [11] = {FIRST_11, FIRST_12},
    [12] = {FIRST_12, FIRST_13}, [13] = {FIRST_13, FIRST_14},
    [14] = {FIRST_14, FIRST_15}, [15] = {FIRST_15, FIRST_18},
    [18] = {FIRST_18, FIRST_21}, [21] = {FIRST_21, FIRST_34},
    [34] = {FIRST_34, FIRST_END}};

/* ASCII letters of eight bytes as small ones. */
static inline uint64_t
lower_word(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t low = word & ones * 0x7f;
    /* the highest bit of a byte: it is 'A' or more, and more than 'Z' */
    uint64_t from_a = low + ones * (0x80 - 'A');
    uint64_t beyond_z = low + ones * (0x7f - 'Z');

    return word | ((from_a ^ beyond_z) & ~word & ones * 0x80) >> 2;
}


/* The same for a text of 2 to 7 bytes, with zeros behind it: parts that lie on
 * each other agree. */
static inline uint64_t
short_word(const char *text, size_t size)
{
    if (size >= 4) {
        return load_le32(text) | (uint64_t) load_le32(text + size - 4)
                                     << (size - 4) * 8;
    }
    return load_le16(text) | (uint64_t) (uint8_t) text[size - 1]
                                 << (size - 1) * 8;
}


/* Of more than 16 bytes, of which the first eight are those of the entry. */
static bool
same_long(const char *text, const char *entry, size_t size)
{
    for (size_t i = 8; i < size; i++) {
        char c = text[i];

        if ((c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c) != entry[i]) {
            return false;
        }
    }

    return true;
}


/* Case does not count: a PACS on a Windows file system does not tell it. */
dicom_word_t
dicom_word(const char *text, size_t size)
{
    const entry_t *entry, *end;
    uint64_t head, tail;

    /* Windows also ignores spaces and dots at the end of a name. */
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '.')) {
        size--;
    }
    if (size > DICOM_WORD_SIZE_MAX) {
        return WORD_OTHER;
    }
    entry = &entries[ranges[size].first];
    end = &entries[ranges[size].end];
    if (entry == end) {
        return WORD_OTHER;
    }

    if (size < 8) {
        head = lower_word(short_word(text, size));
        while (load_le64(entry->text) != head) {
            if (++entry == end) {
                return WORD_OTHER;
            }
        }
        return (dicom_word_t) entry->word;
    }
    head = lower_word(load_le64(text));
    tail = lower_word(load_le64(text + size - 8));
    for (; entry < end; entry++) {
        if (load_le64(entry->text) == head &&
            load_le64(entry->text + size - 8) == tail &&
            (size <= 16 || same_long(text, entry->text, size)))
        {
            return (dicom_word_t) entry->word;
        }
    }

    return WORD_OTHER;
}


static bool
is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
           (c >= 'A' && c <= 'F');
}


dicom_form_t
dicom_form(const char *text, size_t size)
{
    bool uid = size > 0 && size <= DICOM_UID_SIZE_MAX && text[0] != '.';
    size_t i;

    for (i = 0; uid && i < size; i++) {
        uid = (text[i] >= '0' && text[i] <= '9') || text[i] == '.';
    }
    if (uid) {
        return FORM_UID;
    }

    if (size != 44) {
        return FORM_OTHER;
    }
    for (i = 0; i < size; i++) {
        if (i % 9 == 8 ? text[i] != '-' : !is_hex(text[i])) {
            return FORM_OTHER;
        }
    }

    return FORM_ORTHANC;
}
