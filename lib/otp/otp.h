/*
 * One-time codes: who is enrolled, and whether a code opens the door.
 *
 * RFC 4226 (HOTP), RFC 6238 (TOTP), by liboath; the store is SQLite, in
 * sekishod alone.  Secrets are sealed in it by AES-256-GCM under a key from
 * outside, with user, device and version as associated data, so that a row
 * cannot be moved to another user.
 *
 * The rule that everything here serves: a code opens one door once, whatever
 * happens at the same instant, and whatever crashes.  So a verification is one
 * critical section (otp_verify() between otp_begin() and otp_commit()), and
 * nobody is told its outcome before otp_commit() returned 0.
 */

#ifndef SEKISHO_OTP_OTP_H
#define SEKISHO_OTP_OTP_H

#include <stdint.h>

#include "../base/slice.h"

#define OTP_USER_MAX        256 /* bytes of a user's name */
#define OTP_DEVICE_MAX      64  /* bytes of a device's name, UTF-8 */
#define OTP_DEVICES_MAX     8   /* of one user */
#define OTP_SECRET_MIN      16  /* bytes: RFC 4226 4 R6, 128 bits */
#define OTP_SECRET_MAX      64
#define OTP_SECRET_IMPORTED 10 /* bytes: what others let pass, imports only */
#define OTP_CODE_MAX        64 /* bytes that a person may type */
#define OTP_RECOVERY_CODES  10
#define OTP_RECOVERY_SIZE   20  /* text "xxxx-xxxx-xxxx-xxxx" and the NUL */
#define OTP_LOCK_MAX        100 /* NIST SP 800-63B-4 3.2.2 */
#define OTP_KEY_SIZE        32
#define OTP_KEYS_MAX        8

/* Zeroed memory is never a yes. */
typedef enum {
    OTP_NONE = 0, /* not decided: a no */
    OTP_ACCEPTED,
    OTP_WRONG,        /* no device has this code now */
    OTP_REPLAYED,     /* was right, and has been used: an alert, no guess */
    OTP_THROTTLED,    /* too soon after failures: was not looked at */
    OTP_LOCKED,       /* until an administrator unlocks: was not looked at */
    OTP_NOT_ENROLLED, /* the same time and the same writes as OTP_WRONG */
    OTP_CLOCK,        /* the clock is behind what the store has seen */
    OTP_UNAVAILABLE,  /* store or key failed */
    OTP_RESULTS
} otp_result_t;

/* Stable: "ok" "wrong-code" "code-used-twice" "throttled" "locked"
 * "not-enrolled" "clock" "unavailable"; never NULL. */
const char *otp_result_name(otp_result_t result);

typedef enum { OTP_TOTP = 1, OTP_HOTP } otp_kind_t;
typedef enum { OTP_SHA1 = 1, OTP_SHA256, OTP_SHA512 } otp_digest_t;

/* What a device is set to.  0 in a field: the default (TOTP, SHA1, 6 digits,
 * 30 s): what phone applications know (others they ignore without a word). */
typedef struct {
    otp_kind_t kind;
    otp_digest_t digest;
    uint32_t digits;         /* 6..8 */
    uint32_t period_seconds; /* TOTP: 15..120 */
    uint64_t counter;        /* HOTP: the next one; import only */
} otp_parameters_t;

typedef struct {
    uint32_t window_steps;     /* accepted before and after now: 0..10, 1 */
    uint32_t hotp_look_ahead;  /* RFC 4226 7.4: 1..100, 10 */
    uint32_t drift_steps_max;  /* learned drift, at most: 0..20, 2 */
    uint32_t wait_from;        /* the first failure that makes one wait: 3 */
    uint32_t wait_seconds_max; /* 1 s, 2 s, 4 s … at most: 300 */
    uint32_t lock_at;          /* consecutive failures: 20, at most 100 */
    uint32_t source_lock_at;   /* the same for a source, over all users: 100;
                                  forgotten after source_forget_seconds */
    uint32_t source_forget_seconds; /* 900 */
    uint32_t clock_back_seconds;    /* tolerated step back of the clock: 5 */
} otp_rules_t;

otp_rules_t otp_rules_default(void);

typedef struct otp_store_s otp_store_t;

/* A sealing key; wiped by otp_keys_wipe().  Files hold one line per version:
 * "VERSION base64(32 bytes)"; the greatest version seals, all unseal. */
typedef struct {
    uint32_t count;
    uint32_t version[OTP_KEYS_MAX];
    uint8_t key[OTP_KEYS_MAX][OTP_KEY_SIZE];
} otp_keys_t;

/*
 * Reads a key file: absolute path, O_NOFOLLOW, regular, owned by root or the
 * caller, not readable by others (0400, 0600, 0440 of a systemd credential).
 * 0 or negative errno, with one line for people in `error`.
 */
int otp_keys_read(const char *path, otp_keys_t *keys, char error[256]);
void otp_keys_wipe(otp_keys_t *keys);
/* Makes a file with a new key, or adds the next version to one that is there.
 */
int otp_keys_make(const char *path, char error[256]);

/*
 * Opens the store, making it if `create`; it is locked against a second
 * process.  Space for the work of enrolled users is taken at once, so that
 * they can enter on a full disk.  `keys` and `rules` are copied.  0 or
 * negative errno (-EBUSY: another process has it; -EBADMSG: not our store or
 * damaged; -EKEYREJECTED: the key is not its key), one line in `error`.
 */
int otp_open(const char *path, const otp_keys_t *keys, const otp_rules_t *rules,
             bool create, otp_store_t **store, char error[256]);
void otp_close(otp_store_t *store); /* takes NULL; wipes */
void otp_configure(otp_store_t *store, const otp_rules_t *rules);
const char *otp_strerror(const otp_store_t *store); /* of the last call */

/*
 * A group of verifications and changes: durable together.  All of the below is
 * called between the two.  otp_commit(): 0, or negative errno, and then
 * nothing of the group happened and every answer to it is OTP_UNAVAILABLE.
 */
int otp_begin(otp_store_t *store);
int otp_commit(otp_store_t *store);
void otp_rollback(otp_store_t *store);

/*
 * How often the store has changed, ever; with the greatest time it has seen.
 * An older copy of the store put in its place has a smaller one.  otp_open()
 * compares it to PATH.high, a small file beside the store that is written with
 * each commit; who keeps it elsewhere as well (the trail) also sees that both
 * files have been put back.
 */
uint64_t otp_generation(const otp_store_t *store, int64_t *greatest_ms);
/* The store is older than PATH.high says: every code is OTP_CLOCK. */
bool otp_stale(const otp_store_t *store);
/*
 * An administrator's word that the clock is right and the store is the one to
 * go on with.  Ends OTP_CLOCK; codes of steps up to now are good no more, as
 * some of them may have been used.  Counters of HOTP and recovery codes used
 * since the copy was made are good again: make those anew.
 */
int otp_clock_accept(otp_store_t *store, int64_t now_ms);

typedef struct {
    slice_t user;
    slice_t code;   /* as typed: spaces and hyphens are ignored */
    slice_t source; /* address text, "local", "" if unknown */
    int64_t now_ms; /* Unix milliseconds */
} otp_attempt_t;

typedef struct {
    otp_result_t result;
    bool recovery;                   /* accepted: by a recovery code */
    char device[OTP_DEVICE_MAX + 1]; /* accepted: by this device */
    uint32_t recovery_left;          /* codes */
    uint32_t failures;               /* consecutive, with this one */
    bool locked_now;                 /* this failure locked the user */
    int64_t wait_seconds;            /* throttled: until looked at again */
} otp_outcome_t;

/*
 * Throttle, charge, compare, step greater than the last one used.  Never
 * fails: what goes wrong is OTP_UNAVAILABLE in the outcome.  A replay is not
 * charged.  Constant-time comparison over all devices and steps.
 */
void otp_verify(otp_store_t *store, const otp_attempt_t *attempt,
                otp_outcome_t *outcome);

typedef struct {
    bool enrolled; /* has a confirmed device */
    bool pending;  /* has one that was not confirmed */
    bool locked;
    uint32_t failures;
    uint32_t recovery_left;
    uint32_t devices;
    uint32_t grace_logins; /* entries without a code so far */
    int64_t last_used_ms;  /* 0: never */
    int64_t created_ms;
} otp_user_t;

/* 0, or -ENOENT for who has no row at all. */
int otp_user(otp_store_t *store, slice_t user, otp_user_t *state);
/* Counts an entry without a code (not enrolled yet); creates the row. */
int otp_grace(otp_store_t *store, slice_t user, int64_t now_ms,
              uint32_t *logins);

/*
 * A new device, pending until otp_confirm() saw one code of it.  A pending
 * one of that name is replaced; a confirmed one is -EEXIST; -EDQUOT above
 * OTP_DEVICES_MAX; -EINVAL for a name or a parameter.  The secret (20
 * bytes for SHA1, 32, 64) is made here and given out once; the caller wipes.
 */
int otp_enroll(otp_store_t *store, slice_t user, slice_t device,
               const otp_parameters_t *parameters, int64_t now_ms,
               uint8_t secret[OTP_SECRET_MAX], size_t *secret_size);
/* -EAGAIN: not the code; counted, after five the pending device is removed
 * (-ENOENT).  That code is used up by it.  -ESTALE: as OTP_CLOCK. */
int otp_confirm(otp_store_t *store, slice_t user, slice_t device, slice_t code,
                int64_t now_ms);
/* A confirmed device with a secret from elsewhere. */
int otp_import(otp_store_t *store, slice_t user, slice_t device,
               const otp_parameters_t *parameters, const uint8_t *secret,
               size_t secret_size, int64_t now_ms);
/* All devices if `device` is empty; then also recovery codes and the row. */
int otp_remove(otp_store_t *store, slice_t user, slice_t device);
int otp_unlock(otp_store_t *store, slice_t user);
/* New codes; the old ones are void.  Hashed by scrypt; the caller wipes. */
int otp_recovery(otp_store_t *store, slice_t user,
                 char codes[OTP_RECOVERY_CODES][OTP_RECOVERY_SIZE]);

typedef struct {
    slice_t user;
    slice_t device; /* "" for a user without any */
    bool confirmed;
    otp_parameters_t parameters;
    int64_t created_ms, last_used_ms;
    otp_user_t state;
    const uint8_t *secret; /* otp_export() only; NULL in otp_list() */
    size_t secret_size;
} otp_device_t;

/* In order of user and device; only `user` if it is not empty, else the users
 * after `after` (to page).  A callback that returns false ends it. */
typedef bool (*otp_device_fn)(void *context, const otp_device_t *device);
int otp_list(otp_store_t *store, slice_t user, slice_t after, otp_device_fn fn,
             void *context);
int otp_export(otp_store_t *store, slice_t user, slice_t after,
               otp_device_fn fn, void *context);

/* Seals up to `count` rows of older key versions anew; *left tells how many
 * are left after it. */
int otp_rekey(otp_store_t *store, uint32_t count, uint64_t *left);

/* otpauth://totp/… (Key URI format of phone applications).  The size, or 0 if
 * it does not fit; the caller wipes. */
size_t otp_uri(char *text, size_t capacity, slice_t issuer, slice_t user,
               const otp_parameters_t *parameters, const uint8_t *secret,
               size_t secret_size);

/*
 * `data` as a QR code (ISO/IEC 18004, level L) in UTF-8 half blocks, two rows
 * of modules a line, a margin of two modules.  What is light in the code is
 * drawn: right on a dark terminal.  The size, or 0 if it does not fit; the
 * caller wipes.
 */
#define OTP_QR_TEXT_MAX 32768
size_t otp_qr_text(char *text, size_t capacity, slice_t data);

#endif
