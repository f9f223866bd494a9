/*
 * The audit: no image leaves before its record is on disk.
 *
 * A request is held in PRECONTENT until sekishod has acknowledged its opening
 * record; requests that belong to an access which is open already are only
 * counted, in shared memory, when they are done.  A request has one
 * ngx_http_audit_ctx_t in a pool cleanup, because internal redirects zero
 * r->ctx and run the phases again.
 */

#ifndef NGX_HTTP_AUDIT_H
#define NGX_HTTP_AUDIT_H

#include "../common/ngx_http_sekisho_connection.h"
#include "../common/ngx_http_sekisho_dicom.h"
#include "../facility/ngx_http_facility.h"
#include "../../lib/base/siphash.h"
#include "../../lib/dicom/learn.h"

#define NGX_HTTP_AUDIT_STUDY   0
#define NGX_HTTP_AUDIT_REQUEST 1

#define NGX_HTTP_AUDIT_DENY  0
#define NGX_HTTP_AUDIT_ALLOW 1

#define NGX_HTTP_AUDIT_ZONE_MIN (512 * 1024)

#define NGX_HTTP_AUDIT_ID_SIZE  16
#define NGX_HTTP_AUDIT_NODE     1024 /* bytes of an access in the zone */
#define NGX_HTTP_AUDIT_STATUSES 8    /* different ones that are told apart */

/* Instances that are told apart by their hashes; more are estimated from as
 * many bits as these take. */
#define NGX_HTTP_AUDIT_INSTANCES 32
#define NGX_HTTP_AUDIT_ESTIMATE  (NGX_HTTP_AUDIT_INSTANCES * 64)

#define NGX_HTTP_AUDIT_FOLDS    512 /* denials of a minute, a power of two */
#define NGX_HTTP_AUDIT_FOLD_WAY 8   /* places where one may lie */
#define NGX_HTTP_AUDIT_FOLD_MS  60000
#define NGX_HTTP_AUDIT_WORKERS  128 /* shown in the status */
#define NGX_HTTP_AUDIT_PLACES   128 /* facilities counted one by one */
#define NGX_HTTP_AUDIT_VERDICTS 4   /* of ngx_http_facility_status_e, from 1 */

/* ---- Shared memory ---- */

typedef enum {
    NGX_HTTP_AUDIT_OPENING = 0, /* its record may not be on disk */
    NGX_HTTP_AUDIT_OPEN,
    NGX_HTTP_AUDIT_CLOSING /* its close may not be on disk */
} ngx_http_audit_state_e;

/* What is told of a settled record: the tag of an opening is the serial number
 * of its access. */
#define NGX_HTTP_AUDIT_TAG_CLOSE (UINT64_C(1) << 63) /* and the serial */
#define NGX_HTTP_AUDIT_TAG_LOST  (UINT64_C(1) << 62) /* the key: how many */
#define NGX_HTTP_AUDIT_TAG_LEARN                                               \
    (UINT64_C(1) << 60) /* and bits of the hash; the key: what is known then */
#define NGX_HTTP_AUDIT_TAG_FOLD                                                \
    (UINT64_C(1) << 61) /* and the place; the key:
                                                     * hash, how many */

typedef struct {
    uint32_t count;
    uint16_t status;
} ngx_http_audit_status_t;

/* An access: opened once, counted in, closed once. */
typedef struct ngx_http_audit_node_s ngx_http_audit_node_t;

struct ngx_http_audit_node_s {
    ngx_queue_t queue;           /* newest use first, or free */
    ngx_http_audit_node_t *next; /* of the same bucket */

    siphash_t key;
    uint64_t serial; /* never used twice in a zone */
    uint8_t id[NGX_HTTP_AUDIT_ID_SIZE];

    /* Unix milliseconds */
    int64_t opened;
    int64_t last;    /* use */
    int64_t touched; /* when it was put in front of the queue */

    uint64_t requests;
    uint64_t bytes;
    uint32_t refs; /* requests and openings under way */

    uint16_t last_status;
    uint8_t state;      /* ngx_http_audit_state_e */
    uint8_t superseded; /* too old, or closing: requests go to a new one */
    uint8_t unopened;   /* it was to be closed, and nobody had heard of its
                         * opening */

    uint32_t other_statuses;
    ngx_http_audit_status_t statuses[NGX_HTTP_AUDIT_STATUSES];

    uint32_t instances_count; /* of hashes; above the bound: bits */
    uint64_t instances[NGX_HTTP_AUDIT_INSTANCES];

    /* what its close repeats, encoded */
    uint32_t record_size;
    uint8_t record[];
};

#define NGX_HTTP_AUDIT_RECORD_MAX                                              \
    (NGX_HTTP_AUDIT_NODE - offsetof(ngx_http_audit_node_t, record))

/* A copy of an access that was taken out, to be closed. */
typedef union {
    ngx_http_audit_node_t node;
    uint8_t bytes[NGX_HTTP_AUDIT_NODE];
} ngx_http_audit_taken_t;

/* What is the same within a minute: one record, then one with a count. */
typedef struct {
    uint64_t hash; /* 0: free */
    int64_t first; /* Unix milliseconds, of those that are counted */
    int64_t last;
    int64_t until;
    uint32_t count; /* not recorded yet */
    uint32_t told;  /* of these, in a record that is on its way */
    ngx_pid_t teller;
    uint16_t status;
    uint8_t event;   /* record_event_t */
    uint8_t several; /* of several addresses and reasons: no place was left */
    address_t address;
    char reason[32];
    char facility[64];
    char ticket[40];
} ngx_http_audit_fold_t;

typedef struct {
    char id[64]; /* "": requests that no facility was found for */
    ngx_atomic_t counts[NGX_HTTP_AUDIT_VERDICTS][POLICY_REASON_COUNT];
} ngx_http_audit_place_t;

typedef struct {
    ngx_atomic_t pid; /* 0: free */
    ngx_atomic_t up;
    ngx_atomic_t pending; /* records */
    ngx_atomic_t held;    /* requests */
} ngx_http_audit_worker_t;

/* What a worker last made a key from for one of its connections, and the key;
 * as long as nobody hashed anything, a size of 0. */
#define NGX_HTTP_AUDIT_MEMOS    64
#define NGX_HTTP_AUDIT_MEMO_MAX 232 /* bytes; longer ones are always hashed */

typedef struct {
    siphash_t key;
    size_t size;
    u_char text[NGX_HTTP_AUDIT_MEMO_MAX];
} ngx_http_audit_memo_t;

typedef enum {
    NGX_HTTP_AUDIT_LINK_FREE = 0,
    NGX_HTTP_AUDIT_LINK_WANTED, /* asked for, and not known */
    NGX_HTTP_AUDIT_LINK_KNOWN
} ngx_http_audit_link_e;

/* What a series or instance belongs to, by Orthanc's ids. */
typedef struct {
    uint8_t child[ORTHANC_ID_BYTES];
    uint8_t parent[ORTHANC_ID_BYTES];
    uint8_t state;     /* ngx_http_audit_link_e */
    uint8_t to_series; /* `parent` is a series; else a study */
} ngx_http_audit_link_t;

typedef struct ngx_http_audit_untold_s ngx_http_audit_untold_t;

typedef struct {
    uint64_t magic;
    uint32_t layout;
    uint32_t node_size;

    uint8_t instance[MESSAGE_INSTANCE_SIZE];
    uint8_t secret[SIPHASH_KEY_SIZE];

    uint64_t serial;
    ngx_int_t places; /* with audit on, that the trail was told of; -1: none */
    int64_t swept;    /* when somebody last looked for what is to be sent */

    /* Configurations are numbered, so that the last worker knows whether nginx
     * stops or others take its place. */
    uint64_t configured;   /* the master's latest one */
    uint64_t started;      /* the latest one that has workers */
    ngx_atomic_t given_up; /* the latest one has no audit in any place */

    ngx_queue_t used;
    ngx_queue_t free;
    ngx_uint_t capacity; /* some places are kept for those that close */
    ngx_uint_t count;    /* that are not closing */

    ngx_uint_t mask;
    ngx_http_audit_node_t **buckets;

    /* the last two are for those that found no place: denied, others */
    ngx_http_audit_fold_t *folds;

    ngx_http_audit_place_t *facilities;

    /* what answers told: hashes of it, and what belongs to what */
    ngx_uint_t told_mask;
    uint64_t *told;
    ngx_uint_t untold_mask;
    ngx_http_audit_untold_t *untold; /* records of it, not acknowledged yet */
    ngx_uint_t untold_count;
    ngx_uint_t untold_turn; /* who is looked at next */
    ngx_msec_t learn_pause; /* after the last refusal; 0: none since */
    ngx_msec_t learn_pause_end;
    ngx_uint_t links_mask;
    ngx_http_audit_link_t *links;
    ngx_uint_t learn_turn; /* who goes next when a place is needed */

    /* served without a record, not told yet */
    uint64_t lost;
    uint64_t lost_ends;
    int64_t lost_first;
    int64_t lost_last;
    ngx_pid_t lost_teller; /* of the first so many; 0: nobody yet */
    uint64_t lost_told;
    uint64_t lost_ends_told;

    ngx_atomic_t unrecorded; /* served without a record, ever */
    ngx_atomic_t holds;      /* requests that waited */
    ngx_atomic_t counted;    /* requests that were only counted */
    ngx_atomic_t denials;    /* audit-unavailable */

    ngx_atomic_t learn_answers; /* that were read */
    ngx_atomic_t learn_unread;  /* compressed, or not understood */
    ngx_atomic_t learned;       /* records of it, on disk */
    ngx_atomic_t learned_lost;  /* … that there was no room for */

    ngx_http_audit_worker_t workers[NGX_HTTP_AUDIT_WORKERS];
    ngx_http_sekisho_stats_t stats;
} ngx_http_audit_shared_t;

typedef struct {
    ngx_http_audit_shared_t *shared;
    ngx_slab_pool_t *shpool;
} ngx_http_audit_zone_t;

/* ---- Configuration ---- */

typedef struct {
    ngx_str_t trail; /* "off", or unset; else a path, NUL-terminated */
    struct sockaddr_un address;
    ngx_shm_zone_t *shm_zone;
    ngx_msec_t idle;
    ngx_msec_t age;      /* what is asked for later is a new access */
    ngx_int_t places;    /* locations with audit on */
    uint64_t configured; /* number of this configuration in the zone */

    /* of a worker */
    ngx_http_audit_zone_t *zone;
    ngx_http_sekisho_connection_t *connection;
    ngx_http_audit_worker_t *worker; /* NULL: no place was left */
    ngx_http_audit_place_t *place;   /* counted in last */
    ngx_http_audit_memo_t *memos;    /* NGX_HTTP_AUDIT_MEMOS */
    ngx_event_t tick;
    unsigned was_up : 1; /* and what was counted before is told */
} ngx_http_audit_main_conf_t;

typedef struct {
    ngx_flag_t on;
    ngx_uint_t detail;
    ngx_uint_t fail;
    ngx_msec_t timeout;
    ngx_flag_t id_header;
    ngx_flag_t learn;
    ngx_flag_t learn_names;

    /* NULL: the default */
    ngx_http_complex_value_t *user;
    ngx_http_complex_value_t *patient;
    ngx_http_complex_value_t *study;
    ngx_http_complex_value_t *purpose;

    u_char *file; /* where audit was written */
    ngx_uint_t line;
} ngx_http_audit_loc_conf_t;

/* ---- A request ---- */

/* Who touches what, from where. */
typedef struct {
    siphash_t key;          /* the same: the same access */
    uint64_t instance_hash; /* 0: none is named */
    address_t address;
    action_t action;
    slice_t user;
    slice_t facility;
    slice_t purpose;
    slice_t patient;
    slice_t study;
    slice_t series;
    slice_t instance;
    slice_t query;
} ngx_http_audit_what_t;

typedef enum {
    NGX_HTTP_AUDIT_NEW = 0,
    NGX_HTTP_AUDIT_WAITING,
    NGX_HTTP_AUDIT_ASKED,  /* the waiter tells what came of it */
    NGX_HTTP_AUDIT_PASSED, /* recorded, or served without as configured */
    NGX_HTTP_AUDIT_DENIED
} ngx_http_audit_step_e;

typedef struct {
    ngx_http_request_t *request;
    ngx_http_audit_main_conf_t *main_conf;
    ngx_http_audit_what_t what;
    ngx_http_sekisho_waiter_t waiter;
    ngx_http_audit_step_e step;

    /* of the verdict that what.facility comes from; never followed */
    const void *image;
    uint32_t facility;

    uint64_t serial; /* of the access that it is counted in; 0: of none */
    uint8_t id[NGX_HTTP_AUDIT_ID_SIZE]; /* of the opening record */
    u_char id_text[2 * NGX_HTTP_AUDIT_ID_SIZE];

    unsigned begun : 1; /* a `request` record went out: its end is due */
    unsigned named : 1; /* `id` is that of a record on disk */
    unsigned learn : 1; /* the answer may tell whose study it is */
    unsigned learn_stored : 1;

    dicom_learn_t *scan; /* NULL: the answer is not read */
} ngx_http_audit_ctx_t;

/* A record under construction, with room for its texts. */
#define NGX_HTTP_AUDIT_NUMBERS 10

typedef struct {
    record_t record;
    ngx_uint_t numbers_used;
    char id[2 * NGX_HTTP_AUDIT_ID_SIZE];
    char open[2 * NGX_HTTP_AUDIT_ID_SIZE];
    char time[RECORD_TIME_TEXT_MAX];
    char first[RECORD_TIME_TEXT_MAX];
    char last[RECORD_TIME_TEXT_MAX];
    char address[ADDRESS_TEXT_MAX];
    char certificate[2 * POLICY_SHA256_BYTES];
    char statuses[(NGX_HTTP_AUDIT_STATUSES + 1) * 20];
    char numbers[NGX_HTTP_AUDIT_NUMBERS][NGX_INT64_LEN + 1];
} ngx_http_audit_record_t;

extern ngx_module_t ngx_http_audit_module;

/* Unix milliseconds, as of this turn of the event loop. */
int64_t ngx_http_audit_now(void);

/* ---- ngx_http_audit_hold.c ---- */

ngx_int_t ngx_http_audit_handler(ngx_http_request_t *r);
/* Also after r->ctx was zeroed; NULL if it was not held. */
ngx_http_audit_ctx_t *ngx_http_audit_get_ctx(ngx_http_request_t *r);

/* ---- ngx_http_audit_what.c ---- */

ngx_int_t ngx_http_audit_what(ngx_http_request_t *r,
                              ngx_http_audit_main_conf_t *amcf,
                              ngx_http_audit_loc_conf_t *alcf,
                              ngx_http_facility_ctx_t *fctx,
                              ngx_http_audit_what_t *what);
/* "" if there is none. */
slice_t ngx_http_audit_facility(ngx_http_facility_entry_t *entry);

/* ---- ngx_http_audit_record.c ---- */

void ngx_http_audit_record_init(ngx_http_audit_record_t *record,
                                record_event_t event, const uint8_t *id,
                                int64_t now, ngx_uint_t outcome);
/* What the request itself says; `what` may be NULL. */
void ngx_http_audit_record_request(ngx_http_audit_record_t *record,
                                   ngx_http_request_t *r,
                                   const ngx_http_audit_what_t *what);
/* What came of it. */
void ngx_http_audit_record_answer(ngx_http_audit_record_t *record,
                                  ngx_http_request_t *r);
void ngx_http_audit_record_number(ngx_http_audit_record_t *record,
                                  record_field_t field, uint64_t number);
void ngx_http_audit_record_text(ngx_http_audit_record_t *record,
                                record_field_t field, const char *text);
void ngx_http_audit_record_span(ngx_http_audit_record_t *record, int64_t first,
                                int64_t last);
void ngx_http_audit_record_address(ngx_http_audit_record_t *record,
                                   const address_t *address);
void ngx_http_audit_record_open(ngx_http_audit_record_t *record,
                                const uint8_t *id);
/* The close of an access; `node` must outlast the record. */
void ngx_http_audit_record_close(ngx_http_audit_record_t *record,
                                 const ngx_http_audit_node_t *node,
                                 const uint8_t *id, int64_t now,
                                 const char *reason);
/* As the access log has it. */
ngx_uint_t ngx_http_audit_answer_status(ngx_http_request_t *r);
ngx_uint_t ngx_http_audit_outcome(ngx_uint_t status);
/* Encodes what a close repeats, in at most NGX_HTTP_AUDIT_RECORD_MAX bytes. */
size_t ngx_http_audit_encode_kept(const record_t *record, uint8_t *bytes);
void ngx_http_audit_hex(u_char *text, const uint8_t *bytes, size_t size);

/* ---- ngx_http_audit_zone.c ---- */

ngx_int_t ngx_http_audit_init_zone(ngx_shm_zone_t *shm_zone, void *data);
/* In the master: a configuration is taken up, and another may give way. */
ngx_int_t ngx_http_audit_init_module(ngx_cycle_t *cycle);

/*
 * Takes part in the access of ctx->what, which is opened if there is none:
 * NGX_OK it is open, NGX_AGAIN its opening is not known to be on disk,
 * NGX_BUSY no room.  ctx->serial and ctx->id are set but for the last.
 */
ngx_int_t ngx_http_audit_enter(ngx_http_request_t *r,
                               ngx_http_audit_ctx_t *ctx);
/* The opening of ctx's access was handed over. */
void ngx_http_audit_opening(ngx_http_audit_ctx_t *ctx);
/* Counts the request in: NGX_OK, or NGX_DECLINED if the access was closed. */
ngx_int_t ngx_http_audit_leave(ngx_http_audit_ctx_t *ctx, ngx_uint_t status,
                               off_t bytes);
/* A ngx_http_sekisho_settled_pt. */
void ngx_http_audit_settled(void *data,
                            const ngx_http_sekisho_subject_t *subject,
                            ngx_http_sekisho_result_e result);
/* Distinct instances; `exact` tells whether they were counted. */
uint64_t ngx_http_audit_instances(const ngx_http_audit_node_t *node,
                                  ngx_uint_t *exact);

static inline ngx_http_audit_node_t **
ngx_http_audit_bucket(ngx_http_audit_shared_t *shared, const siphash_t *key)
{
    return &shared->buckets[key->low & shared->mask];
}

/* ---- ngx_http_audit_close.c ---- */

/*
 * Under the lock: a free place.  If accesses are as many as there may be, the
 * one used longest ago is copied and to be closed: `close` is set.  NULL: there
 * is none.
 */
ngx_http_audit_node_t *
ngx_http_audit_make_room(ngx_http_audit_main_conf_t *amcf,
                         ngx_http_audit_taken_t *taken, ngx_uint_t *close);
/*
 * Records the close; room for two records was made sure of.  The access stays
 * in the zone until that is on disk, so that it can be closed again if this
 * worker dies or the record is refused: the daemon keeps the first close of an
 * access.  In the same way the opening of an access whose worker was killed
 * before it heard of it goes out again.
 */
void ngx_http_audit_close(ngx_http_audit_main_conf_t *amcf,
                          const ngx_http_audit_node_t *node,
                          const char *reason);
/* Closes what was idle, as long as there is room for records; whether there
 * may be more of it. */
ngx_uint_t ngx_http_audit_close_idle(ngx_http_audit_main_conf_t *amcf);
/* Under the lock: what came of the record of its close. */
void ngx_http_audit_closed(ngx_http_audit_shared_t *shared,
                           ngx_http_audit_node_t *node,
                           ngx_http_sekisho_result_e result);

/* ---- ngx_http_audit_worker.c ---- */

ngx_int_t ngx_http_audit_init_process(ngx_cycle_t *cycle);
void ngx_http_audit_exit_process(ngx_cycle_t *cycle);

/* ---- ngx_http_audit_fold.c ---- */

/* No process has that id. */
ngx_uint_t ngx_http_audit_is_gone(ngx_pid_t pid);
/* One more denial, or answer that could not be held. */
void ngx_http_audit_fold(ngx_http_request_t *r,
                         ngx_http_audit_main_conf_t *amcf, record_event_t event,
                         const char *reason, slice_t facility,
                         const ngx_http_audit_what_t *what);
/* Sends what minutes that are over have counted, or all; whether that was all
 * there is to send now. */
ngx_uint_t ngx_http_audit_fold_sweep(ngx_http_audit_main_conf_t *amcf,
                                     ngx_uint_t all);
/* Under the lock: what came of such a record. */
void ngx_http_audit_fold_told(ngx_http_audit_shared_t *shared,
                              const ngx_http_sekisho_subject_t *subject,
                              ngx_http_sekisho_result_e result);
/* Served without a record. */
void ngx_http_audit_lose(ngx_http_audit_main_conf_t *amcf, ngx_uint_t end);
void ngx_http_audit_tell_lost(ngx_http_audit_main_conf_t *amcf);
/* Under the lock: what came of the record that tells of so many. */
void ngx_http_audit_lost_told(ngx_http_audit_shared_t *shared, uint64_t lost,
                              uint64_t ends, ngx_http_sekisho_result_e result);

/* ---- ngx_http_audit_log.c ---- */

ngx_int_t ngx_http_audit_log_handler(ngx_http_request_t *r);
/* In PREACCESS: an error page of nginx's own may take the request to where
 * audit is off, and then nothing else tells that it was on. */
ngx_int_t ngx_http_audit_note_handler(ngx_http_request_t *r);
/* The end of a `request`. */
void ngx_http_audit_end(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx,
                        const char *note);

/* ---- ngx_http_audit_learn.c ---- */

/* The tables, in a zone of that size. */
ngx_int_t ngx_http_audit_learn_init(ngx_slab_pool_t *shpool,
                                    ngx_http_audit_shared_t *shared,
                                    size_t size);
/* The greatest power of two of them that has room. */
ngx_uint_t ngx_http_audit_learn_power(size_t size, size_t of);
/* A dicom_learned_fn; the context is the request. */
void ngx_http_audit_learned(void *context, const dicom_learned_t *learned);
/* Whether the request is for something beneath a study (in its path, a UID)
 * whose patient was told. */
ngx_uint_t ngx_http_audit_learn_is_known(ngx_http_request_t *r,
                                         ngx_http_audit_ctx_t *ctx);
/*
 * Sets what->study where a request names only Orthanc's id of a series or
 * instance and an answer told before what that belongs to.
 */
ngx_int_t ngx_http_audit_learn_resolve(ngx_http_request_t *r,
                                       ngx_http_audit_main_conf_t *amcf,
                                       ngx_http_audit_what_t *what);

/* ---- ngx_http_audit_learn_tell.c ---- */

ngx_int_t ngx_http_audit_learn_tell_init(ngx_slab_pool_t *shpool,
                                         ngx_http_audit_shared_t *shared,
                                         size_t size);
/* Of a fact; never 0. */
uint64_t ngx_http_audit_learn_hash(ngx_http_audit_shared_t *shared, u_char kind,
                                   const slice_t *parts, ngx_uint_t n);
/* Whether the trail has it. */
ngx_uint_t ngx_http_audit_learn_knows(ngx_http_audit_shared_t *shared,
                                      uint64_t hash);
/*
 * Sends the record unless it is under way already, now or when the daemon is
 * there; once it is acknowledged, `hash` is known, and so is `also` if it is
 * not 0.  NGX_OK, or NGX_ERROR if there was no place for it.
 */
ngx_int_t ngx_http_audit_learn_tell(ngx_http_audit_main_conf_t *amcf,
                                    const record_t *record, uint64_t hash,
                                    uint64_t also);
/* Under the lock: what came of such a record. */
void ngx_http_audit_learn_settled(ngx_http_audit_shared_t *shared,
                                  const ngx_http_sekisho_subject_t *subject,
                                  ngx_http_sekisho_result_e result);
/* Sends some of those that could not be sent; whether there may be more. */
ngx_uint_t ngx_http_audit_learn_sweep(ngx_http_audit_main_conf_t *amcf);

/* ---- ngx_http_audit_learn_filter_module.c ---- */

ngx_int_t ngx_http_audit_learn_handler(ngx_http_request_t *r);

/* ---- ngx_http_audit_status.c ---- */

char *ngx_http_audit_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

#endif
