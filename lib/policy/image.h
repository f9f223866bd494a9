/*
 * policy.img: a compiled policy.
 *
 * One position-independent block, offsets only, little-endian, versioned and
 * sealed by SHA-256.  It is validated once, when it is opened, so fully that
 * no content whatsoever can make a reader leave it; after that nothing at run
 * time parses text, reads time-zone files, allocates or checks a bound again.
 * The layout is in image_layout.h, for this folder alone.
 */

#ifndef SEKISHO_POLICY_IMAGE_H
#define SEKISHO_POLICY_IMAGE_H

#include <stdint.h>
#include <sys/types.h>

#include "../base/slice.h"
#include "../base/address.h"

typedef struct policy_image_s policy_image_t;

/* An image above this is refused before it is read. */
#define POLICY_IMAGE_SIZE_MAX (256u * 1024 * 1024)

/* Text of the policy's version: the first 16 hex digits of the seal. */
#define POLICY_VERSION_TEXT_MAX 17

/* Why an image was refused; 0 is never a success. */
typedef enum {
    POLICY_IMAGE_INVALID = 0,
    POLICY_IMAGE_OK,
    POLICY_IMAGE_AGAIN, /* loader: call again */
    POLICY_IMAGE_TOO_SMALL,
    POLICY_IMAGE_TOO_LARGE,
    POLICY_IMAGE_NOT_ONE, /* magic */
    POLICY_IMAGE_VERSION, /* of another layout version */
    POLICY_IMAGE_SEAL,    /* SHA-256 differs: damaged or half-written */
    POLICY_IMAGE_CONTENT, /* sealed, but breaks a rule of the layout */
    POLICY_IMAGE_CHANGED, /* the file changed while it was read */
    POLICY_IMAGE_SYSTEM   /* errno tells */
} policy_image_result_t;

/* A sentence with what is wrong and what to do; never NULL. */
const char *policy_image_strerror(policy_image_result_t result);

/*
 * Validates `size` bytes and copies them.  *image is then owned by the caller
 * and freed by policy_image_free(), which takes NULL.  Memory comes from mmap,
 * not from malloc: freeing gives it back to the system.
 */
policy_image_result_t policy_image_open(const void *bytes, size_t size,
                                        policy_image_t **image);

/* Reads the file and opens it.  For programs that may wait. */
policy_image_result_t policy_image_open_file(const char *path,
                                             policy_image_t **image);

void policy_image_free(policy_image_t *image);

/*
 * Loads in slices, for an event loop that must not wait: each call of
 * policy_loader_step() reads, hashes or checks about a megabyte (well under a
 * millisecond or two), until it answers something else than
 * POLICY_IMAGE_AGAIN.
 */
typedef struct policy_loader_s policy_loader_t;
policy_image_result_t policy_loader_start(const char *path,
                                          policy_loader_t **loader);
policy_image_result_t policy_loader_step(policy_loader_t *loader,
                                         policy_image_t **image);
void policy_loader_free(policy_loader_t *loader);

/* ---- Reading. Slices point into the image and live as long as it. ---- */

const char *policy_image_version(const policy_image_t *image);
size_t policy_image_size(const policy_image_t *image);
uint32_t policy_facilities(const policy_image_t *image);
bool policy_uses_via(const policy_image_t *image);
bool policy_uses_country(const policy_image_t *image);
bool policy_uses_users(const policy_image_t *image);
bool policy_uses_certificates(const policy_image_t *image);

/* One facility as it was written, for pages, `show` and `diff`. */
typedef struct {
    slice_t id;      /* "aoba-clinic" */
    slice_t name;    /* "" if none */
    slice_t contact; /* "" if none */
    slice_t zone;    /* "Asia/Tokyo" */
    uint8_t device;  /* policy_device_t of policy.h */
    bool dry_run;
    bool second_factor;
    bool off_hours_factor;
    bool any;   /* `network any` */
    bool local; /* `network local` */
    bool has_hours;
    bool has_users;
    int32_t valid_from; /* days since 1970-01-01, local; INT32_MIN: open */
    int32_t valid_to;   /* inclusive; INT32_MAX: open */
    uint32_t services;  /* POLICY_SERVICE_BIT()s */
    uint32_t actions;   /* ACTION_BIT()s */
    uint32_t idle_seconds;
    uint32_t max_seconds;
    uint32_t networks_count;
    uint32_t via_count;
    uint32_t countries_count;
    uint32_t pins_count;
    uint32_t authorities_count; /* device-ca */
    uint32_t hours_count;       /* windows */
    uint32_t closed_count;      /* ranges of days */
    uint32_t users_count;
} policy_facility_t;

/* false if there is no facility of that index. */
bool policy_facility(const policy_image_t *image, uint32_t index,
                     policy_facility_t *facility);
/* Its id alone, which lies in the image; "" if there is none of that index. */
slice_t policy_facility_id(const policy_image_t *image, uint32_t index);
/* Index of the facility with that id, or POLICY_NO_FACILITY (decide.h). */
uint32_t policy_facility_find(const policy_image_t *image, slice_t id);

/* Item i of a facility's lists; i below the count, or false. */
bool policy_facility_network(const policy_image_t *image, uint32_t facility,
                             uint32_t i, prefix_t *prefix);
bool policy_facility_via(const policy_image_t *image, uint32_t facility,
                         uint32_t i, address_t *address);
bool policy_facility_country(const policy_image_t *image, uint32_t facility,
                             uint32_t i, char code[2]);
bool policy_facility_pin(const policy_image_t *image, uint32_t facility,
                         uint32_t i, uint8_t sha256[32]);
bool policy_facility_authority(const policy_image_t *image, uint32_t facility,
                               uint32_t i, uint8_t sha256[32]);
/* Local minutes of the week from Monday 00:00; end exclusive, and above 10,080
 * where the window runs over Sunday's midnight. */
bool policy_facility_hours(const policy_image_t *image, uint32_t facility,
                           uint32_t i, uint16_t *start, uint16_t *end);
/* Days since 1970-01-01, both inclusive. */
bool policy_facility_closed(const policy_image_t *image, uint32_t facility,
                            uint32_t i, int32_t *first, int32_t *last);
bool policy_facility_user(const policy_image_t *image, uint32_t facility,
                          uint32_t i, slice_t *user);
/* Offset from UTC in seconds at a moment, in the facility's zone. */
int32_t policy_facility_offset(const policy_image_t *image, uint32_t facility,
                               int64_t unix_seconds);

#endif
