/* What the files of lib/otp share; for this folder and its tests only. */

#ifndef SEKISHO_OTP_OTP_INTERNAL_H
#define SEKISHO_OTP_OTP_INTERNAL_H

#include <errno.h>
#include <openssl/evp.h>
#include <sqlite3.h>

#include "../base/siphash.h"
#include "../base/wipe.h"
#include "otp.h"

/* ---- Codes: code.c -------------------------------------------------------- */

#define CODE_DIGITS_MIN  6
#define CODE_DIGITS_MAX  8
#define RECOVERY_LETTERS 16 /* of 5 bits: 80 bits, NIST SP 800-63B 3.1.2.2 */

typedef enum {
    CODE_NONE = 0, /* neither: wrong, whoever's it is */
    CODE_DIGITS,
    CODE_RECOVERY
} code_shape_t;

/* What somebody typed, made canonical; unused bytes are 0. */
typedef struct {
    code_shape_t shape;
    char text[RECOVERY_LETTERS];
} code_t;

typedef struct {
    uint8_t bytes[OTP_SECRET_MAX];
    size_t size;
} secret_t;

static inline void
secret_wipe(secret_t *secret)
{
    wipe_bytes(secret, sizeof(*secret));
}

static inline void
code_wipe(code_t *code)
{
    wipe_bytes(code, sizeof(*code));
}

/* Spaces, hyphens and case are people's; all else must be right. */
code_t code_read(slice_t typed);

/* The code of a counter or time step, RFC 4226 5.3; 8 bytes, the unused 0. */
int code_make(const secret_t *secret, const otp_parameters_t *parameters,
              uint64_t step, char code[CODE_DIGITS_MAX]);

/* Steps to look at: `count` from `first` on. */
typedef struct {
    uint64_t first;
    uint32_t count;
    uint64_t next;  /* the first one not used yet; next - 1 is the last used */
    uint64_t floor; /* the first one that is good; see otp_clock_accept() */
} code_window_t;

typedef struct {
    bool accepted;
    bool replayed; /* it is the code of step next - 1 */
    bool early;    /* right, but of a step before the floor */
    uint64_t step; /* accepted: which */
} code_match_t;

/* All codes of the window are made and compared, whatever they are. */
int code_match(const secret_t *secret, const otp_parameters_t *parameters,
               const code_window_t *window, const code_t *code,
               code_match_t *match);

bool parameters_valid(const otp_parameters_t *parameters);
otp_parameters_t parameters_default(const otp_parameters_t *parameters);

/* ---- Throttling: throttle.c ------------------------------------------------ */

/* Seconds to wait after that many consecutive failures. */
int64_t throttle_wait(uint32_t failures, uint32_t from, uint32_t max);

typedef struct throttle_sources_s throttle_sources_t;

/* NULL when out of memory. */
throttle_sources_t *throttle_sources_new(void);
void throttle_sources_free(throttle_sources_t *sources);
/* Seconds until an attempt from there is looked at; 0: now. */
int64_t throttle_source_wait(const throttle_sources_t *sources,
                             const otp_rules_t *rules, slice_t source,
                             int64_t now_ms);
void throttle_source_failed(throttle_sources_t *sources,
                            const otp_rules_t *rules, slice_t source,
                            int64_t now_ms);

/* ---- Sealing: seal.c -------------------------------------------------------- */

#define SEAL_NONCE_SIZE 12
#define SEAL_TAG_SIZE   16
#define SEAL_OVERHEAD   (4 + SEAL_NONCE_SIZE + SEAL_TAG_SIZE)
#define SEAL_DATA_MAX   256 /* bytes of plain text */
#define SEAL_ID_SIZE    16

typedef struct {
    otp_keys_t keys;
    uint32_t newest; /* index of the key that seals */
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *context;
    uint8_t id[SEAL_ID_SIZE]; /* of the store */
} sealer_t;

/* What a sealed value belongs to: it opens for nothing else. */
typedef struct {
    const char *purpose; /* "secret", "recovery", "check" */
    slice_t user, device;
    uint8_t parameters[8];
} seal_label_t;

int otp_sealer_init(sealer_t *sealer, const otp_keys_t *keys);
void otp_sealer_wipe(sealer_t *sealer);
/* Writes size + SEAL_OVERHEAD bytes: version, nonce, text, tag. */
int otp_seal(sealer_t *sealer, const seal_label_t *label, const void *data,
             size_t size, uint8_t *sealed);
/* -ENOKEY: no key of that version; -EBADMSG: changed, or another's. */
int otp_unseal(sealer_t *sealer, const seal_label_t *label,
               const uint8_t *sealed, size_t sealed_size, void *data,
               size_t capacity, size_t *size);
uint32_t otp_seal_version(const uint8_t *sealed,
                          size_t sealed_size); /* 0: none */
uint32_t otp_sealer_newest(const sealer_t *sealer);

/* ---- Recovery codes: recovery.c --------------------------------------------- */

#define RECOVERY_SALT_SIZE 16
#define RECOVERY_HASH_SIZE 16
#define RECOVERY_SIZE                                                          \
    (RECOVERY_SALT_SIZE + OTP_RECOVERY_CODES * RECOVERY_HASH_SIZE)
#define RECOVERY_SEALED (RECOVERY_SIZE + SEAL_OVERHEAD)

typedef struct {
    uint8_t salt[RECOVERY_SALT_SIZE];
    uint8_t hashes[OTP_RECOVERY_CODES][RECOVERY_HASH_SIZE];
} recovery_t;

_Static_assert(sizeof(recovery_t) == RECOVERY_SIZE, "no padding");

int recovery_make(char codes[OTP_RECOVERY_CODES][OTP_RECOVERY_SIZE],
                  recovery_t *recovery);
/* The code's index, or -1; all ten are compared.  Negative errno below. */
int recovery_find(const recovery_t *recovery, const code_t *code, int *index);
extern const char recovery_alphabet[33];

/* ---- Rows: row.c ------------------------------------------------------------- */

/*
 * States have a fixed size and are only ever written over by as many bytes:
 * no page of the data base splits and no file grows by a verification.
 */
typedef struct {
    uint32_t failures; /* consecutive */
    bool locked;
    int64_t until_ms; /* not looked at before */
    int64_t last_used_ms, created_ms;
    uint32_t grace_logins;
    uint16_t recovery_used; /* bits */
    uint64_t touched;       /* a page that stays as it is is not written */
    bool has_recovery;
    uint8_t recovery[RECOVERY_SEALED];
} user_row_t;

#define SECRET_SEALED_MAX (OTP_SECRET_MAX + SEAL_OVERHEAD)

typedef struct {
    char name[OTP_DEVICE_MAX];
    size_t name_size;
    otp_parameters_t parameters;
    uint64_t next; /* the first step or counter that was not used */
    int64_t last_used_ms, created_ms;
    int32_t drift, hint; /* steps; hint: where the last code would move it */
    bool confirmed;
    uint8_t refused; /* codes, while pending */
    uint64_t touched;
    uint8_t sealed[SECRET_SEALED_MAX];
    size_t sealed_size;
} device_row_t;

typedef struct {
    uint32_t count;
    device_row_t rows[OTP_DEVICES_MAX];
} device_rows_t;

static inline slice_t
device_name(const device_row_t *row)
{
    return (slice_t){row->name, row->name_size};
}

/* A name nobody can have: the row that pays for unknown users. */
#define DECOY ((slice_t){"", 0})

/* All: -ENOENT, or what the data base failed with, told in the store. */
int user_get(otp_store_t *store, slice_t user, user_row_t *row);
int user_put(otp_store_t *store, slice_t user, user_row_t *row); /* in place */
int user_add(otp_store_t *store, slice_t user, const user_row_t *row);
int user_put_recovery(otp_store_t *store, slice_t user, const user_row_t *row);
int user_delete(otp_store_t *store, slice_t user); /* with all devices */
int devices_get(otp_store_t *store, slice_t user, device_rows_t *devices);
int device_get(otp_store_t *store, slice_t user, slice_t device,
               device_row_t *row);
int device_put(otp_store_t *store, slice_t user, device_row_t *row);
int device_add(otp_store_t *store, slice_t user, const device_row_t *row);
int device_put_sealed(otp_store_t *store, slice_t user,
                      const device_row_t *row);
int device_delete(otp_store_t *store, slice_t user, slice_t device);
bool user_state_load(user_row_t *row, const void *bytes, size_t size);
bool device_load(device_row_t *row, sqlite3_stmt *statement, int column);
bool user_load(user_row_t *row, sqlite3_stmt *statement, int column);

seal_label_t device_label(slice_t user, const device_row_t *row);
int device_unseal(otp_store_t *store, slice_t user, const device_row_t *row,
                  secret_t *secret);
int device_seal(otp_store_t *store, slice_t user, device_row_t *row,
                const secret_t *secret);
int recovery_unseal(otp_store_t *store, slice_t user, const user_row_t *row,
                    recovery_t *recovery);
int recovery_seal(otp_store_t *store, slice_t user, user_row_t *row,
                  const recovery_t *recovery);

/* ---- The store: store.c, meta.c, high.c ---------------------------------------- */

typedef enum {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_META_GET,
    SQL_META_PUT,
    SQL_META_SEALED,
    SQL_USER_GET,
    SQL_USER_PUT,
    SQL_USER_ADD,
    SQL_USER_RECOVERY,
    SQL_USER_DELETE,
    SQL_DEVICES_GET,
    SQL_DEVICE_GET,
    SQL_DEVICE_PUT,
    SQL_DEVICE_ADD,
    SQL_DEVICE_SEALED,
    SQL_DEVICE_DELETE,
    SQL_DEVICES_DELETE,
    SQL_LIST_ONE,
    SQL_LIST_AFTER,
    SQL_OLD_DEVICES,
    SQL_OLD_USERS,
    SQL_OLD_DEVICES_COUNT,
    SQL_OLD_USERS_COUNT,
    SQL_STATEMENTS
} sql_t;

typedef struct {
    uint64_t generation;
    int64_t greatest_ms; /* time seen */
    int64_t floor_ms;    /* no step up to this time is accepted */
} meta_t;

typedef struct {
    size_t size;
    char text[OTP_USER_MAX];
} rekey_name_t;

/* Where the last otp_rekey() ended. */
typedef struct {
    bool counted, devices_done;
    uint64_t left;
    rekey_name_t user, device; /* the last device's */
    rekey_name_t owner;        /* the last recovery codes' */
} rekey_t;

struct otp_store_s {
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_STATEMENTS];
    sealer_t sealer;
    otp_rules_t rules;
    throttle_sources_t *sources;
    int high_fd;     /* PATH.high */
    meta_t meta;     /* with the changes of this group */
    meta_t durable;  /* as committed */
    bool in_group;   /* between otp_begin() and otp_commit() */
    bool changed;    /* this group has something to commit */
    bool grown;      /* it may have added pages */
    bool stale;      /* the store is older than PATH.high */
    bool accepted;   /* this group holds otp_clock_accept() */
    bool floor_due;  /* PATH.high was not there: no codes before now */
    bool floor_done; /* this group sets the floor */
    uint64_t high;   /* generation in PATH.high at opening */
    int failed;      /* a change failed: this group must not be committed */
    rekey_t rekey;
    char error[256];
};

int store_fail(otp_store_t *store, int result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* After a failed call of SQLite: the errno of it, told in store->error. */
int store_sql_error(otp_store_t *store, const char *what);
sqlite3_stmt *store_statement(otp_store_t *store, sql_t which);
/* Steps a statement to its end and resets it. */
int store_run(otp_store_t *store, sqlite3_stmt *statement, const char *what);
/* True if codes can be looked at now; then the time is remembered. */
bool store_clock(otp_store_t *store, int64_t now_ms);
int store_writable(otp_store_t *store); /* in a group that has not failed */

/* The steps to look at for a device; `floor_ms` of the store is heeded. */
code_window_t device_window(const otp_store_t *store, const device_row_t *row,
                            int64_t now_ms);
/* Uses up the step. */
void device_used(const otp_store_t *store, device_row_t *row, uint64_t step,
                 int64_t now_ms);

#define HIGH_SIZE 64

/* PATH.high; *fd stays open.  0, 1 if it was made, or negative errno. */
int high_open(const char *path, const uint8_t id[SEAL_ID_SIZE], int *fd,
              bool *valid, uint64_t *generation);
void high_write(int fd, const uint8_t id[SEAL_ID_SIZE], const meta_t *meta);

void user_state(const otp_store_t *store, const user_row_t *row,
                otp_user_t *state);
bool user_name_valid(slice_t user);
bool device_name_valid(slice_t device);

#endif
