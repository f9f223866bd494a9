/*
 * Emergency codes: how a host is entered when sekishod is dead.
 *
 * A folder of root's, by default EMERGENCY_FOLDER:
 *
 *   codes/NN         one file of EMERGENCY_FILE_SIZE bytes per unused code,
 *                    root, 0400, in a folder of 0700: its crypt(3) hash, and
 *                    until when it is valid
 *   spool/SET-NN     a use that the trail does not have yet
 *   spool/SET-sealed new codes that the trail does not know of yet
 *
 * A code is used up by renaming its file into the spool: of many processes
 * one succeeds, and it takes no space.  Then who, why and where are written
 * over the hash, in place, and file and folders are synced; only after that is
 * it a yes.  So it works on a full disk (of a file system that writes in place:
 * ext4, xfs), and no use goes without its file.  The spool and what is in it
 * belong to the daemon, which makes records of them and removes them.
 *
 * emergency.c needs -lcrypt; the spool's reader, emergency_spool.c, does not.
 */

#ifndef SEKISHO_OTP_EMERGENCY_H
#define SEKISHO_OTP_EMERGENCY_H

#include <stdint.h>
#include <sys/types.h>

#include "../base/slice.h"

#define EMERGENCY_FOLDER    "/var/lib/sekisho/emergency"
#define EMERGENCY_FILE_SIZE 4096
#define EMERGENCY_CODES_MAX 99
#define EMERGENCY_ERROR_MAX 256

/* "em07-abcd-efgh-ijkm-npqr" and a NUL; 80 random bits. */
#define EMERGENCY_TEXT_SIZE 25
#define EMERGENCY_KEY_SIZE  20 /* the same without hyphens */

/* "0123456789abcdef-07", "0123456789abcdef-sealed" and a NUL. */
#define EMERGENCY_NAME_SIZE 24

/* A person's words and names, in bytes; more is cut. */
#define EMERGENCY_REASON_MAX 512
#define EMERGENCY_VALUE_MAX  256

/* What was typed, if it has the shape; a secret. */
typedef struct {
    unsigned number;
    char key[EMERGENCY_KEY_SIZE + 1]; /* what is hashed */
} emergency_code_t;

/*
 * Whether that is an emergency code by its shape: "em", two digits, sixteen
 * letters and digits, in either case; spaces and hyphens are passed over.
 */
bool emergency_parse(slice_t typed, emergency_code_t *code);

/* Zeroed memory is no yes. */
typedef enum {
    EMERGENCY_NONE = 0,
    EMERGENCY_ACCEPTED,
    EMERGENCY_WRONG,   /* no such code: never was, is void, or was used */
    EMERGENCY_EXPIRED, /* its time is over, or the clock is before its making */
    EMERGENCY_UNSAFE,  /* folder or file are not root's alone */
    EMERGENCY_FAILED   /* the use could not be written: used up, but a no */
} emergency_result_t;

/* Stable: "emergency-ok" "emergency-wrong" "emergency-expired"
 * "emergency-unsafe" "emergency-failed" "emergency-none"; never NULL. */
const char *emergency_result_name(emergency_result_t result);

/* One use, as it goes into the spool. */
typedef struct {
    slice_t user, reason, service, address, tty;
    int64_t now_seconds; /* Unix */
} emergency_use_t;

/*
 * Checks the code and uses it up.  One line about what is wrong, and its cure,
 * in `error` if it is not ACCEPTED.
 */
emergency_result_t emergency_use(const char *folder,
                                 const emergency_code_t *code,
                                 const emergency_use_t *use,
                                 char error[EMERGENCY_ERROR_MAX]);

/*
 * Makes `count` new codes, valid for `valid_seconds` from `now_seconds`; all
 * codes before are void.  Folder and spool are made if they are not there; the
 * spool is given to `owner` and `group`, the daemon's.  `codes` has room for
 * `count` texts; the caller shows them once and wipes them.  `by`: who did it.
 * 0 or negative errno, one line in `error`; then the old codes are as before.
 */
int emergency_seal(const char *folder, unsigned count, int64_t now_seconds,
                   int64_t valid_seconds, uid_t owner, gid_t group, slice_t by,
                   char (*codes)[EMERGENCY_TEXT_SIZE],
                   char error[EMERGENCY_ERROR_MAX]);

typedef struct {
    unsigned number;
    char set[17]; /* of codes sealed together */
    int64_t sealed_seconds, until_seconds;
} emergency_entry_t;

/* Unused codes by their numbers, never the codes.  Stops on false. */
typedef bool (*emergency_list_fn)(void *context,
                                  const emergency_entry_t *entry);
int emergency_list(const char *folder, emergency_list_fn fn, void *context);

/* ---- The spool, for the daemon ------------------------------------------ */

typedef enum {
    EMERGENCY_USED = 1,   /* a code was used: EVENT_EMERGENCY_ON */
    EMERGENCY_SEALED,     /* new codes, the old are void: EVENT_EMERGENCY_OFF */
    EMERGENCY_INTERRUPTED /* used up, and then the process or the host died
                             before it said by whom; nobody got in by it */
} emergency_kind_t;

/* Slices last for the call only. */
typedef struct {
    emergency_kind_t kind;
    const char *name;     /* of the spool file, for emergency_spool_remove() */
    int64_t time_seconds; /* Unix; INTERRUPTED: of the file's last change */
    slice_t user, reason, service, address, tty; /* USED; "" if not known */
    slice_t by;                                  /* SEALED: who */
    uint64_t codes;                              /* SEALED: how many */
    int64_t until_seconds;                       /* SEALED: valid until */
} emergency_event_t;

/*
 * Calls fn for every file in the spool that nobody is just writing, until it
 * returns false.  Remove a file after its record is on disk.  A spool that is
 * not there is empty.  0 or negative errno.
 */
typedef bool (*emergency_spool_fn)(void *context,
                                   const emergency_event_t *event);
int emergency_spool_read(const char *folder, int64_t now_seconds,
                         emergency_spool_fn fn, void *context);
int emergency_spool_remove(const char *folder, const char *name);

#endif
