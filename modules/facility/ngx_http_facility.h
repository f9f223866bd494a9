/*
 * The facility gate: only known places get in.
 *
 * What is decided lies in lib/policy; here are its questions and its
 * consequences.  A request has one ngx_http_facility_ctx_t in a pool cleanup,
 * because internal redirects zero r->ctx and run the phases again.
 */

#ifndef NGX_HTTP_FACILITY_H
#define NGX_HTTP_FACILITY_H

#include "../common/ngx_http_sekisho.h"
#include "../../lib/policy/decide.h"

#define NGX_HTTP_FACILITY_OFF     0
#define NGX_HTTP_FACILITY_ON      1
#define NGX_HTTP_FACILITY_DRY_RUN 2

/* The values of $facility_verdict, as limit_req does it. */
typedef enum {
    NGX_HTTP_FACILITY_NOT_ASKED = 0,
    NGX_HTTP_FACILITY_ALLOW,
    NGX_HTTP_FACILITY_DENY,
    NGX_HTTP_FACILITY_ALLOW_DRY_RUN,
    NGX_HTTP_FACILITY_DENY_DRY_RUN
} ngx_http_facility_status_e;

/* An image in use; requests in flight keep the one they were decided by. */
typedef struct {
    policy_image_t *policy;
    ngx_uint_t references;
} ngx_http_facility_image_t;

/* What tells one state of a file from another. */
typedef struct {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
    struct timespec ctime;
} ngx_http_facility_identity_t;

/* One per path, shared by all locations that name it. */
typedef struct {
    ngx_str_t path;                        /* NUL-terminated */
    ngx_http_facility_image_t *image;      /* never NULL in a worker */
    ngx_http_facility_identity_t identity; /* of the file last looked at */

    ngx_event_t event;
    policy_loader_t *loader; /* while a new image is read */

    /* what was complained of last: said once, not every second */
    ngx_uint_t complaint; /* policy_image_result_t */
    ngx_err_t complaint_error;

    unsigned settled : 1; /* identity was dealt with */
    unsigned uses_country_warned : 1;
} ngx_http_facility_policy_t;

/* A MaxMind DB; one per path. */
typedef struct ngx_http_facility_country_s ngx_http_facility_country_t;

typedef struct {
    ngx_array_t policies;  /* of ngx_http_facility_policy_t * */
    ngx_array_t countries; /* of ngx_http_facility_country_t * */

    ngx_int_t request_id; /* index of the variable $request_id */
    ngx_int_t auth_basic; /* ctx_index of that module, or NGX_ERROR */
} ngx_http_facility_main_conf_t;

typedef struct {
    ngx_http_facility_policy_t *policy;   /* NULL: off */
    ngx_http_facility_country_t *country; /* NULL: off */
    ngx_http_complex_value_t *action;     /* NULL: auto */
    ngx_http_complex_value_t *user;       /* NULL: nobody is named */

    ngx_uint_t access;
    ngx_uint_t plain;   /* facility_transport plain */
    ngx_uint_t residue; /* as written, or unset */
    ngx_uint_t block;   /* what comes of it */
    ngx_int_t deny_status;

    u_char *file; /* where facility_access was written */
    ngx_uint_t line;

    unsigned user_basic : 1; /* `user` has $remote_user */
} ngx_http_facility_loc_conf_t;

/* One evaluation. */
typedef struct {
    ngx_http_facility_image_t *image; /* a reference is held */
    policy_decision_t decision;
    action_t action;
    ngx_http_facility_status_e status;
} ngx_http_facility_entry_t;

typedef struct {
    /*
     * `first` is what variables and the log tell: the first verdict, or the
     * first denial if there was one.  `last` is what holds now, after
     * internal redirects.
     */
    ngx_http_facility_entry_t first;
    ngx_http_facility_entry_t last;

    ngx_http_facility_loc_conf_t *conf; /* `last` was decided under this */
    void **loc_conf;                    /* and other modules' of that place */
    ngx_str_t user;                     /* certain; empty: nobody */

    unsigned denied : 1;  /* and not admitted any more */
    unsigned residue : 1; /* to be blocked, wherever it goes */
} ngx_http_facility_ctx_t;

/* The languages of the denial page. */
typedef enum {
    NGX_HTTP_FACILITY_ENGLISH = 0,
    NGX_HTTP_FACILITY_JAPANESE
} ngx_http_facility_language_e;

extern ngx_module_t ngx_http_facility_module;
extern ngx_module_t ngx_http_facility_filter_module;
extern ngx_module_t ngx_http_facility_residue_module;

/* ---- ngx_http_facility_gate.c: the handlers ---- */

ngx_int_t ngx_http_facility_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_facility_users_handler(ngx_http_request_t *r);

/* ---- ngx_http_facility_decide.c ---- */

/*
 * The request's context, also after r->ctx was zeroed; NULL if the gate was
 * not asked yet.
 */
ngx_http_facility_ctx_t *ngx_http_facility_get_ctx(ngx_http_request_t *r);

/*
 * Asks the policy of `conf` and notes the answer.  `users` is what is known of
 * the user: LATER from PREACCESS, else what ngx_http_facility_name() said.
 * NGX_OK admitted (also in a dry run), NGX_DECLINED denied and logged,
 * NGX_ERROR out of memory.
 */
ngx_int_t ngx_http_facility_decide(ngx_http_request_t *r,
                                   ngx_http_facility_loc_conf_t *conf,
                                   policy_user_state_t users);

/* Turns what was admitted into a denial (or a line in the log, in a dry run):
 * the same results. */
ngx_int_t ngx_http_facility_overrule(ngx_http_request_t *r,
                                     ngx_http_facility_ctx_t *ctx,
                                     policy_reason_t reason);

/* Puts the user's name into ctx->user if it is certain here. */
ngx_int_t ngx_http_facility_name(ngx_http_request_t *r,
                                 ngx_http_facility_loc_conf_t *conf,
                                 ngx_http_facility_ctx_t *ctx,
                                 policy_user_state_t *users);

/* ---- ngx_http_facility_policy.c: images and their refreshment ---- */

/* The policy of that path, read at configuration time; NULL after an [emerg]
 * line. */
ngx_http_facility_policy_t *ngx_http_facility_policy_add(ngx_conf_t *cf,
                                                         ngx_str_t *path);

/* Begins to watch the file, in the process that serves requests. */
void ngx_http_facility_policy_watch(ngx_http_facility_policy_t *policy);

ngx_http_facility_image_t *
ngx_http_facility_image_hold(ngx_http_facility_image_t *image);
void ngx_http_facility_image_release(ngx_http_facility_image_t *image);

/* ---- ngx_http_facility_certificate.c ---- */

/* The client's certificate, looked at once per connection; NULL if there is
 * none (or no memory for it: then none is as good as any). */
const policy_certificate_t *
ngx_http_facility_certificate(ngx_http_request_t *r);
ngx_int_t ngx_http_facility_certificate_init(ngx_conf_t *cf);

/* ---- ngx_http_facility_country.c ---- */

ngx_http_facility_country_t *ngx_http_facility_country_add(ngx_conf_t *cf,
                                                           ngx_str_t *path);
/* A policy_country_fn. */
bool ngx_http_facility_country(void *context, const address_t *address,
                               char code[2]);

/* ---- ngx_http_facility_denial.c ---- */

/*
 * Answers a denied request.  For the gate: what the handler has to return.
 * Where error_page knows the status (and this is not the second denial of the
 * same request), nginx does it.
 */
ngx_int_t ngx_http_facility_deny(ngx_http_request_t *r,
                                 ngx_http_facility_loc_conf_t *conf,
                                 ngx_uint_t again);

/* The same from a header filter, in the place of the answer at hand. */
ngx_int_t ngx_http_facility_filter_deny(ngx_http_request_t *r,
                                        ngx_http_facility_loc_conf_t *conf);

/*
 * Answers 503 to a request that could not be recorded: what a handler of a
 * phase has to return.  error_page comes first here, too.
 */
ngx_int_t ngx_http_facility_unrecorded(ngx_http_request_t *r);

/* The ticket is $request_id. */
ngx_int_t ngx_http_facility_ticket(ngx_http_request_t *r, ngx_str_t *ticket);

/* ---- ngx_http_facility_accept.c ---- */

/* true if JSON is preferred to HTML (RFC 9110, 12.5.1); wildcards are no
 * preference. */
ngx_uint_t ngx_http_facility_accept_json(const ngx_str_t *accept);
/* RFC 9110, 12.5.4; English if neither is preferred. */
ngx_http_facility_language_e
ngx_http_facility_accept_language(const ngx_str_t *accept);

/* ---- ngx_http_facility_variables.c ---- */

ngx_int_t ngx_http_facility_add_variables(ngx_conf_t *cf);

#endif
