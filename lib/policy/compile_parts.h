/*
 * The compiler's parts (compile*.c) among each other.
 *
 * Each section of the image grows in a buffer of its own, in the bytes that
 * the image will have; compile.c puts them together.
 */

#ifndef SEKISHO_POLICY_COMPILE_PARTS_H
#define SEKISHO_POLICY_COMPILE_PARTS_H

#include "image_layout.h"
#include "policy.h"

typedef struct {
    uint8_t *data;
    size_t size; /* bytes */
    size_t capacity;
} compile_buffer_t;

/* A list that is in a section already, to be shared by whoever has the same. */
typedef struct {
    uint64_t hash;
    uint32_t first;
    uint32_t count;
} compile_list_t;

typedef struct {
    compile_list_t *lists; /* in the order in which they came */
    uint32_t lists_count;
    uint32_t lists_capacity;
    uint32_t *slots;      /* number of a list + 1; open addressing */
    uint32_t slots_count; /* a power of 2, or 0 */
} compile_pool_t;

typedef struct {
    const policy_source_t *source;
    report_t *report;
    uint32_t facilities;
    compile_buffer_t sections[SECTION_COUNT];
    compile_pool_t pools[SECTION_COUNT];
    uint32_t lines4_bits;
    uint32_t lines6_bits;
    uint32_t block6_bits;
    uint64_t block6;
} compile_t;

/* Like all below: 0, -ENOMEM, or -EFBIG above POLICY_IMAGE_SIZE_MAX. */
int compile_put(compile_buffer_t *buffer, const void *bytes, size_t size);
int compile_put32(compile_buffer_t *buffer, uint32_t number);

/* Makes the buffer `size` bytes longer, with zeroes. */
int compile_extend(compile_buffer_t *buffer, size_t size);

/* Elements that a section has. */
uint32_t compile_count(const compile_t *compile, image_section_t section);

/*
 * Puts `count` elements into a section, unless the same list is there already.
 * *first is its first element (0 if it is empty).  *number (may be NULL) tells
 * the lists of the section apart, from 1, in the order in which they came; 0 is
 * the empty list.
 */
int compile_list(compile_t *compile, image_section_t section,
                 const void *elements, size_t count, uint32_t *first,
                 uint32_t *number);

/* A list as it is in a record: its first element and its count. */
void compile_store_list(uint8_t *record, uint32_t first, size_t count);

/* The records of a facility in FACILITIES and DETAILS. */
static inline uint8_t *
compile_facility(compile_t *compile, size_t facility)
{
    return compile->sections[SECTION_FACILITIES].data +
           FACILITY_SIZE * facility;
}

static inline uint8_t *
compile_detail(compile_t *compile, size_t facility)
{
    return compile->sections[SECTION_DETAILS].data + DETAIL_SIZE * facility;
}

/* Everything of the facilities but networks and certificates.
 * -EINVAL after an error was reported, as those below. */
int compile_facilities(compile_t *compile);

/* Pins and authorities: tables, and the lists of each facility. */
int compile_devices(compile_t *compile);

/* Prefixes: candidate sets, segments, indexes, and each facility's lists. */
int compile_networks(compile_t *compile);

/* From its first address on, a candidate set; an IPv4 address is the upper 32
 * bits of `high`. */
typedef struct {
    uint64_t high, low; /* its first address */
    uint32_t set;
} compile_segment_t;

typedef struct {
    compile_segment_t *segments;
    size_t count;
    size_t capacity;
} compile_segments_t;

/* A prefix and its set; IPv4 again in the upper bits. */
typedef struct {
    uint64_t high;
    uint32_t set;
    uint8_t bits;
} compile_prefix_t;

/* Adds a segment behind the others; what changes nothing is left out. */
int compile_begin_segment(compile_segments_t *segments, uint64_t high,
                          uint64_t low, uint32_t set);

/*
 * The sections that look-ups search.  `prefixes` are sorted, by address and
 * then by length, each once; for IPv6 `segments` say the same in another way,
 * and of prefixes above /64 the upper half alone is looked at.
 */
int compile_put_lines4(compile_t *compile, const compile_prefix_t *prefixes,
                       size_t count);
int compile_put_lines6(compile_t *compile, const compile_prefix_t *prefixes,
                       size_t count, const compile_segments_t *segments);

/* What compile_put_lines() is to know of a family. */
typedef struct {
    image_section_t section;
    uint32_t words; /* of a line */
    /*
     * Prefixes in a line, on average: few, so that hardly any line has more
     * than fit; many, where the lines would else outgrow a cache.
     */
    uint32_t few, many;
    uint32_t outer; /* bits in front of those that choose a line */
    uint32_t size;  /* bits of an address, at most 64 */
    /* Writes a line: the prefixes longer than `bits` among `count`, at most
     * words - 1, in a line whose set is `set`. */
    void (*put_words)(const compile_t *compile,
                      const compile_prefix_t *prefixes, size_t count,
                      uint32_t bits, uint32_t set, uint8_t *line);
    /* Writes a branch: lines from `first` are chosen by `inner` bits behind
     * the `outer` first, which all are those of `high`; else `set` holds. */
    void (*put_branch)(const compile_t *compile, uint64_t high, uint32_t outer,
                       uint32_t inner, uint32_t first, uint32_t set,
                       uint8_t *line);
} compile_lines_t;

/* Bits that choose a line: at least `bits`, and so many that a line has not too
 * many prefixes, on average. */
uint32_t compile_line_bits(const compile_lines_t *lines,
                           const compile_prefix_t *prefixes, size_t count,
                           uint32_t bits);

/* Fills the section: 2^bits lines, and the lines of branches. */
int compile_put_lines(compile_t *compile, const compile_lines_t *lines,
                      const compile_prefix_t *prefixes, size_t count,
                      uint32_t bits);

/*
 * Reports what keeps the facilities of one candidate set (ascending) from being
 * told apart by a certificate.  `where` is the prefix they share, or NULL with
 * `what` ("network any").
 */
int compile_check_set(compile_t *compile, const uint32_t *members,
                      uint32_t count, const prefix_t *where, const char *what);

#endif
