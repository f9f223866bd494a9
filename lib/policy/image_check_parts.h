/* The parts of the check (image_check*.c) among each other. */

#ifndef SEKISHO_POLICY_IMAGE_CHECK_PARTS_H
#define SEKISHO_POLICY_IMAGE_CHECK_PARTS_H

#include "image_layout.h"

/* Does the list of a record lie in its section? */
static inline bool
image_list_in(const policy_image_t *image, const uint8_t *list,
              image_section_t section)
{
    return (uint64_t) load_le32(list) + load_le32(list + 4) <=
           image->count[section];
}

/*
 * Entries from..to of a table of first elements, each with its successor: they
 * begin at 0, never step back, and end where `section` does.
 */
bool image_table_ok(const policy_image_t *image, image_section_t table,
                    uint32_t from, uint32_t to, image_section_t section);

/* Elements from..to of SETS, of the indexes with their segments, … */
bool image_check_sets(policy_image_t *image, uint32_t from, uint32_t to);
bool image_check_lines4(policy_image_t *image, uint32_t from, uint32_t to);
bool image_check_lines6(policy_image_t *image, uint32_t from, uint32_t to);
bool image_check_deep(policy_image_t *image, uint32_t from, uint32_t to);
bool image_check_networks4(policy_image_t *image, uint32_t from, uint32_t to);
bool image_check_networks6(policy_image_t *image, uint32_t from, uint32_t to);
bool image_check_networks6_long(policy_image_t *image, uint32_t from,
                                uint32_t to);

#endif
