/*
 * The layout of policy.img, for this folder (and its fuzzer) alone.
 *
 * A header of 256 bytes, then sections in the order of image_section_t, each
 * at the next multiple of 64 bytes.  Where a section lies follows from the
 * number of elements before it, so there is no offset that could be wrong and
 * no byte that belongs to nothing; padding is zero.  All integers are
 * little-endian.  A "list" is a first element and a count.
 *
 * IPv4: the upper bits of an address choose a line of 16 words, so that as a
 * rule one cache line tells it all.  A word is a prefix within the line and, in
 * the place of the upper bits, its candidate set.  Of the prefix the lower bits
 * of its address are there with a 1 behind the last that counts, so one bit more
 * than an address would need: 10... is the whole line, x10... a half of it.  The
 * first word is that of the whole line, perhaps repeated; then its prefixes,
 * sorted, so that the last one with the address in it is the longest.  Where
 * more than 15 are in a line it is a branch instead (BRANCH4_*): further bits
 * of the address choose one of further lines.
 *
 * IPv6: the same with the upper 64 bits of the address, in lines of 8 words of
 * 64 bits, within the smallest block that holds all prefixes; outside of it is
 * nobody's space.  Where a /64 is divided further, what would be its set is the
 * number of sets plus that of a group of LOWS, which are segments of the lower
 * 64 bits: the first address of each, and the set from there to the next one.
 *
 * Candidate sets: number i below the number of facilities is facility i alone;
 * then SETS follow, the first two of which are those of `network any` (all
 * space that nobody's prefix covers) and of `network local`.
 */

#ifndef SEKISHO_POLICY_IMAGE_LAYOUT_H
#define SEKISHO_POLICY_IMAGE_LAYOUT_H

#include <openssl/evp.h>
#include <stdint.h>

#include "../base/endian.h"
#include "image.h"
#include "zone.h"

#define IMAGE_MAGIC          "SEKISHO\n"
#define IMAGE_LAYOUT_VERSION 1
#define IMAGE_ALIGNMENT      64u
#define IMAGE_HEADER_SIZE    256u
#define IMAGE_SHA256_SIZE    32u

/* Offsets in the header. */
enum {
    IMAGE_AT_MAGIC = 0,
    IMAGE_AT_VERSION = 8,
    IMAGE_AT_LINES4_BITS = 12,
    IMAGE_AT_SIZE = 16,        /* of the whole image, 64 bits */
    IMAGE_AT_SEAL = 24,        /* SHA-256 of all bytes but these 32 */
    IMAGE_AT_BLOCK6 = 56,      /* 64 bits: upper half of the block's address */
    IMAGE_AT_BLOCK6_BITS = 64, /* of its prefix */
    IMAGE_AT_LINES6_BITS = 68,
    IMAGE_AT_COUNTS = 72 /* 32 bits for each section: number of elements */
};

typedef enum {
    SECTION_LINES4 = 0, /* LINE4_WORDS of u32; 2^bits, and those of branches */
    SECTION_LINES6,     /* LINE6_WORDS of u64; the same */
    SECTION_DEEP,       /* u32 first of LOWS; one more than there are groups */
    SECTION_LOWS,       /* u64 lower half of the first address, u32 set */
    SECTION_FACILITIES, /* FACILITY_*: what a decision reads; one cache line */
    SECTION_SETS,       /* SET_* */
    SECTION_MEMBERS,    /* u32 facility, ascending in each set */
    SECTION_ZONES,      /* ZONE_* */
    SECTION_ZONE_STEPS, /* u8, ZONE_STEPS for each zone */
    SECTION_CHANGES,    /* i64 Unix seconds, i32 offset, u32 zero */
    SECTION_WINDOWS,    /* u16 start, u16 end: minutes of the week */
    SECTION_CALENDARS,  /* u32 first of CLOSED; one more than there are */
    SECTION_CLOSED,     /* i32 first, i32 last: days; ascending in a calendar */
    SECTION_VIA,        /* u8 family, 16 bytes of address */
    SECTION_COUNTRIES,  /* 2 letters */
    SECTION_USER_LISTS, /* u32 first of USERS; one more than there are */
    SECTION_USERS,      /* u32 offset, u32 size; ascending in a list */
    SECTION_PIN_HASHES, /* 32 bytes, ascending */
    SECTION_PIN_FIRST,  /* u32 first of PIN_MEMBERS; one more than hashes */
    SECTION_PIN_MEMBERS, /* u32 facility, ascending for each hash */
    SECTION_AUTHORITY_HASHES,
    SECTION_AUTHORITY_FIRST,
    SECTION_AUTHORITY_MEMBERS,
    SECTION_DETAILS,             /* DETAIL_*: what no decision reads */
    SECTION_IDS,                 /* u32 facility, ascending by id */
    SECTION_NETWORKS4,           /* u32 address */
    SECTION_NETWORKS4_BITS,      /* u8 */
    SECTION_NETWORKS6,           /* u64 upper half, of prefixes up to /64 */
    SECTION_NETWORKS6_BITS,      /* u8 */
    SECTION_NETWORKS6_LONG,      /* u64 upper half, u64 lower half: above /64 */
    SECTION_NETWORKS6_LONG_BITS, /* u8 */
    SECTION_PINS,                /* u32 number of a PIN_HASH */
    SECTION_AUTHORITIES,         /* u32 number of an AUTHORITY_HASH */
    SECTION_STRINGS,             /* bytes */
    SECTION_COUNT
} image_section_t;

_Static_assert(IMAGE_AT_COUNTS + 4 * SECTION_COUNT <= IMAGE_HEADER_SIZE,
               "the counts fit in the header");

/* Offsets in a record of FACILITIES. */
enum {
    FACILITY_DEVICE = 0,   /* u8 policy_device_t */
    FACILITY_SERVICES = 1, /* u8 set */
    FACILITY_ACTIONS = 2,  /* u8 set */
    FACILITY_FLAGS = 3,    /* u8 */
    FACILITY_VALID_FROM = 4,
    FACILITY_VALID_TO = 8,
    FACILITY_ZONE = 12,
    FACILITY_HOURS = 16,    /* list of WINDOWS */
    FACILITY_CALENDAR = 24, /* 0: never closed; calendar 0 is empty */
    FACILITY_USER_LIST = 28,
    FACILITY_VIA = 32,       /* list */
    FACILITY_COUNTRIES = 40, /* list */
    FACILITY_IDLE = 48,
    FACILITY_MAX = 52,
    FACILITY_ZERO = 56, /* 8 bytes */
    FACILITY_SIZE = 64
};

enum {
    FACILITY_DRY_RUN = 1,
    FACILITY_SECOND_FACTOR = 2,
    FACILITY_OFF_HOURS_FACTOR = 4,
    FACILITY_ANY = 8,
    FACILITY_LOCAL = 16,
    FACILITY_HAS_HOURS = 32,
    FACILITY_HAS_USERS = 64,
    FACILITY_ALL_FLAGS = 127
};

/* Offsets in a record of SETS. */
enum {
    SET_MEMBERS = 0, /* list */
    SET_OPEN = 8, /* the member without `device required`; NO_FACILITY: none */
    SET_DRY_RUN = 12, /* 1: all members are in dry run, and there are some */
    SET_SIZE = 16
};
enum { SET_ANY = 0, SET_LOCAL = 1, SETS_FIXED = 2 };

enum { ZONE_NAME = 0 /* list of STRINGS */, ZONE_LIST = 8, ZONE_SIZE = 16 };

/*
 * Step i of a zone is the number of the change that holds 2^ZONE_STEP_SHIFT * i
 * seconds after ZONE_FROM (zone.h): from there it is at most one more, as a rule.
 */
#define ZONE_STEPS      384
#define ZONE_STEP_SHIFT 22 /* 48 days and a half; so all steps are 51 years */

enum { CHANGE_AT = 0, CHANGE_OFFSET = 8, CHANGE_ZERO = 12, CHANGE_SIZE = 16 };

/* Offsets in a record of DETAILS; all of them lists. */
enum {
    DETAIL_ID = 0, /* of STRINGS, as the next two */
    DETAIL_NAME = 8,
    DETAIL_CONTACT = 16,
    DETAIL_NETWORKS4 = 24,
    DETAIL_NETWORKS6 = 32,
    DETAIL_NETWORKS6_LONG = 40,
    DETAIL_PINS = 48,
    DETAIL_AUTHORITIES = 56,
    DETAIL_SIZE = 64
};

#define LINE4_WORDS 16u
#define LINE4_SIZE  64u
#define LINE4_WHOLE 0x80000000u /* the prefix that is the line */
/* The bits of a word that are its set, where `bits` choose a line; all ones in
 * the first word: this is a branch. */
#define LINE4_SET_MASK(bits) ((1u << ((bits) -1)) - 1)

#define LINE6_WORDS 8u
#define LINE6_SIZE  64u
#define LINE6_WHOLE (UINT64_C(1) << 63)
/* `bits`: those of the block's prefix, and those that choose a line. */
#define LINE6_SET_MASK(bits) ((UINT64_C(1) << ((bits) -1)) - 1)

/*
 * Offsets in a branch.  The key is the address without the bits that choose a
 * line.  Where it differs from KEY in a bit of MASK, SET holds; else the BITS
 * bits behind the first SKIP choose one of the lines from FIRST on, which come
 * behind this one.  What is left of the line is 0.
 */
enum {
    BRANCH4_FIRST = 4,
    BRANCH4_SKIP = 8, /* u8 */
    BRANCH4_BITS = 9, /* u8 */
    BRANCH4_KEY = 12,
    BRANCH4_MASK = 16,
    BRANCH4_SET = 20,
    BRANCH4_SIZE = 24
};
enum {
    BRANCH6_FIRST = 8,
    BRANCH6_SKIP = 12, /* u8 */
    BRANCH6_BITS = 13, /* u8 */
    BRANCH6_KEY = 16,
    BRANCH6_MASK = 24,
    BRANCH6_SET = 32,
    BRANCH6_SIZE = 40
};

/* Bits of an address that choose a line. */
#define LINES4_BITS_MIN 2u
#define LINES6_BITS_MIN 2u
#define LINES_BITS_MAX  21u
#define BLOCK6_BITS_MAX 61u

#define LOW_SIZE 12u /* u64 lower half of the first address, u32 set */
#define VIA_SIZE 17u /* u8 family, 16 bytes of address */

#define IMAGE_NONE         UINT32_MAX
#define IMAGE_WEEK_MINUTES 10080

extern const uint8_t image_element_size[SECTION_COUNT];

struct policy_image_s {
    const uint8_t *section[SECTION_COUNT];
    uint32_t count[SECTION_COUNT];
    uint32_t lines4_bits;
    uint32_t lines6_bits;
    uint32_t block6_bits;
    uint64_t block6;
    uint64_t block6_mask;
    uint32_t sets;   /* facilities, and SETS */
    bool nobody_any; /* no facility has `network any` */
    bool uses_via;
    bool uses_country;
    bool uses_users;
    bool uses_certificates;
    char version[POLICY_VERSION_TEXT_MAX];

    uint8_t *bytes; /* of the image, in the mapping */
    size_t size;
    void *mapping;
    size_t mapping_size;
};

static inline const uint8_t *
image_element(const policy_image_t *image, image_section_t section,
              size_t element_size, uint32_t i)
{
    return image->section[section] + element_size * i;
}

static inline uint32_t
image_u32(const policy_image_t *image, image_section_t section, uint32_t i)
{
    return load_le32(image_element(image, section, 4, i));
}

static inline const uint8_t *
image_facility(const policy_image_t *image, uint32_t facility)
{
    return image_element(image, SECTION_FACILITIES, FACILITY_SIZE, facility);
}

static inline const uint8_t *
image_detail(const policy_image_t *image, uint32_t facility)
{
    return image_element(image, SECTION_DETAILS, DETAIL_SIZE, facility);
}

static inline slice_t
image_string(const policy_image_t *image, const uint8_t *list)
{
    return (slice_t){(const char *) image->section[SECTION_STRINGS] +
                         load_le32(list),
                     load_le32(list + 4)};
}

/* User i of USERS. */
static inline slice_t
image_user(const policy_image_t *image, uint32_t i)
{
    return image_string(image, image_element(image, SECTION_USERS, 8, i));
}

/*
 * UTC offset in seconds of a zone (record number in ZONES) at `now`; before its
 * first change that of the first.  From step to change without a branch: which
 * zone it is cannot be predicted.
 */
static inline int32_t
image_zone_offset(const policy_image_t *image, uint32_t zone, int64_t now)
{
    const uint8_t *record = image_element(image, SECTION_ZONES, ZONE_SIZE,
                                          zone);
    const uint8_t *changes = image_element(image, SECTION_CHANGES, CHANGE_SIZE,
                                           load_le32(record + ZONE_LIST));
    uint32_t last = load_le32(record + ZONE_LIST + 4) - 1, change, next;
    int64_t step = (now < ZONE_FROM ? 0 : now - ZONE_FROM) >> ZONE_STEP_SHIFT;

    step = step < ZONE_STEPS ? step : ZONE_STEPS - 1;
    change = image->section[SECTION_ZONE_STEPS]
                           [(size_t) ZONE_STEPS * zone + (size_t) step];
    next = change + (change < last);
    change = (int64_t) load_le64(changes + (size_t) CHANGE_SIZE * next) <= now
                 ? next
                 : change;
    /* A second change within one step is rare. */
    next = change + (change < last);
    while (__builtin_expect(
        (next != change) &
            ((int64_t) load_le64(changes + (size_t) CHANGE_SIZE * next) <= now),
        0))
    {
        change = next;
        next += next < last;
    }
    return (int32_t) load_le32(changes + (size_t) CHANGE_SIZE * change +
                               CHANGE_OFFSET);
}

/* -1, 0, 1 in the order of bytes; the shorter first. */
int image_compare(slice_t a, slice_t b);

/* ---- Taking an image over, in slices ---- */

/*
 * Private memory for `size` bytes (zero), by mmap; image->bytes is where they
 * go.  NULL with errno.
 */
policy_image_t *image_new(size_t size);

/* What the first IMAGE_HEADER_SIZE bytes alone tell of an image of `size`
 * bytes: POLICY_IMAGE_OK or why not. */
policy_image_result_t image_check_head(const uint8_t *head, uint64_t size);

/* The SHA-256 that seals an image: over all but the seal itself. */
typedef struct {
    EVP_MD_CTX *context;
    size_t done; /* bytes */
} image_seal_t;

int image_seal_start(image_seal_t *seal);
/* The next bytes of the image; the first call has at least the header. */
int image_seal_add(image_seal_t *seal, const uint8_t *bytes, size_t size);
int image_seal_end(image_seal_t *seal, uint8_t sha256[IMAGE_SHA256_SIZE]);
void image_seal_free(image_seal_t *seal);

/* Writes size and seal of finished bytes into their header. */
int image_seal(uint8_t *bytes, size_t size);

/* Where the check of an image is. */
typedef struct {
    bool started;
    uint32_t task;
    uint32_t next; /* element of the running task */
} image_check_t;

/*
 * Checks the next slice (zeroed *check: the first) of image->bytes, whose head
 * and seal are right.  POLICY_IMAGE_AGAIN, POLICY_IMAGE_OK once all is checked
 * and the image can be used, or POLICY_IMAGE_CONTENT.
 */
policy_image_result_t image_check(policy_image_t *image, image_check_t *check);

#endif
