/*
 * A request's question to the policy, and what is noted of the answer.
 */

#include "ngx_http_facility.h"
#include "../../lib/dicom/dicom.h"

/* What one request may be taken for: the client's target, and another one
 * after a rewrite or an internal redirect. */
#define NGX_HTTP_FACILITY_ACTIONS 2

static ngx_http_facility_ctx_t *
ngx_http_facility_create_ctx(ngx_http_request_t *r);
static void ngx_http_facility_cleanup(void *data);
static ngx_int_t ngx_http_facility_actions(
    ngx_http_request_t *r, ngx_http_facility_loc_conf_t *conf,
    action_t actions[NGX_HTTP_FACILITY_ACTIONS], ngx_uint_t *count);
static void ngx_http_facility_classify(ngx_http_request_t *r,
                                       const ngx_str_t *uri,
                                       dicom_request_t *request);
static void ngx_http_facility_headers(ngx_http_request_t *r, slice_t *accept,
                                      ngx_uint_t *overridden);
static ngx_uint_t ngx_http_facility_is_override(const ngx_str_t *name);
static ngx_int_t ngx_http_facility_current_uri(ngx_http_request_t *r,
                                               ngx_str_t *uri);
static ngx_uint_t ngx_http_facility_would_deny(policy_reason_t reason);
static ngx_uint_t
ngx_http_facility_severity(const ngx_http_facility_entry_t *entry);
static void ngx_http_facility_fail(ngx_http_facility_entry_t *entry,
                                   policy_reason_t reason);
static void ngx_http_facility_set(ngx_http_facility_entry_t *to,
                                  const ngx_http_facility_entry_t *from);
static ngx_int_t ngx_http_facility_note(ngx_http_request_t *r,
                                        ngx_http_facility_ctx_t *ctx,
                                        ngx_uint_t dry_run);
static void ngx_http_facility_log(ngx_http_request_t *r,
                                  const ngx_http_facility_entry_t *entry,
                                  policy_reason_t reason, const char *verdict);


ngx_http_facility_ctx_t *
ngx_http_facility_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;
    ngx_http_facility_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_facility_module);

    if (ctx == NULL && (r->internal || r->filter_finalize)) {
        /*
         * if module context was reset, the original verdict
         * can still be found in the cleanup handler
         */

        for (cln = r->pool->cleanup; cln; cln = cln->next) {
            if (cln->handler == ngx_http_facility_cleanup) {
                ctx = cln->data;
                ngx_http_set_ctx(r, ctx, ngx_http_facility_module);
                break;
            }
        }
    }

    return ctx;
}


static ngx_http_facility_ctx_t *
ngx_http_facility_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;
    ngx_http_facility_ctx_t *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_facility_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_facility_ctx_t));

    cln->handler = ngx_http_facility_cleanup;

    ngx_http_set_ctx(r, ctx, ngx_http_facility_module);

    return ctx;
}


static void
ngx_http_facility_cleanup(void *data)
{
    ngx_http_facility_ctx_t *ctx = data;

    ngx_http_facility_image_release(ctx->first.image);
    ngx_http_facility_image_release(ctx->last.image);
}


ngx_int_t
ngx_http_facility_decide(ngx_http_request_t *r,
                         ngx_http_facility_loc_conf_t *conf,
                         policy_user_state_t users)
{
    action_t actions[NGX_HTTP_FACILITY_ACTIONS];
    ngx_uint_t i, count;
    ngx_connection_t *c;
    policy_request_t request;
    policy_image_t *policy;
    ngx_http_facility_ctx_t *ctx;
    ngx_http_facility_image_t *image;
    ngx_http_facility_entry_t *entry;

    c = r->connection;

    ctx = ngx_http_facility_get_ctx(r);
    if (ctx == NULL) {
        ctx = ngx_http_facility_create_ctx(r);
        if (ctx == NULL) {
            return NGX_ERROR;
        }
    }

    entry = &ctx->last;

    /*
     * The same location again (users, when they are certain): by the image
     * that was asked first, whatever was applied in between.
     */

    if (ctx->conf != conf || entry->image == NULL) {
        image = ngx_http_facility_image_hold(conf->policy->image);
        ngx_http_facility_image_release(entry->image);
        entry->image = image;
    }

    ctx->conf = conf;
    ctx->residue |= (conf->block != 0);

    if (ngx_http_facility_actions(r, conf, actions, &count) != NGX_OK) {
        return NGX_ERROR;
    }

    policy = entry->image ? entry->image->policy : NULL;

    ngx_memzero(&request, sizeof(policy_request_t));

    address_from_sockaddr(c->sockaddr, c->socklen, &request.address);

    request.now = ngx_time();
    request.service = POLICY_SERVICE_WEB;

    if (policy && policy_uses_via(policy) &&
        ngx_connection_local_sockaddr(c, NULL, 0) == NGX_OK)
    {
        address_from_sockaddr(c->local_sockaddr, c->local_socklen,
                              &request.local);
    }

#if (NGX_HTTP_SSL)
    if (c->ssl) {
        request.transport = POLICY_TRANSPORT_ENCRYPTED;

        if (policy && policy_uses_certificates(policy)) {
            request.certificate = ngx_http_facility_certificate(r);
        }

    } else
#endif
        if (conf->plain)
    {
        request.transport = POLICY_TRANSPORT_WAIVED;
    }

    /* nobody asks for a second factor at this door yet: where it is owed,
     * entry is refused */
    request.factor = POLICY_FACTOR_MISSING_YET;

    request.user_state = users;
    request.user = ngx_http_sekisho_slice(&ctx->user);

    if (conf->country) {
        request.country = ngx_http_facility_country;
        request.country_context = conf->country;
    }

    for (i = 0; i < count; i++) {
        request.action = actions[i] == ACTION_NONE ? ACTION_ADMIN : actions[i];
        entry->action = actions[i];

        policy_decide(policy, &request, &entry->decision, NULL);

        if (actions[i] == ACTION_NONE) {
            ngx_http_facility_fail(entry, POLICY_ACTION_NOT_ALLOWED);
        }

        if (entry->decision.verdict != POLICY_ALLOW) {
            break;
        }
    }

    /* the variables tell what the client asked for, unless it was another
     * action that was denied */
    if (i == count) {
        entry->action = actions[0];
    }

    return ngx_http_facility_note(r, ctx,
                                  conf->access == NGX_HTTP_FACILITY_DRY_RUN);
}


ngx_int_t
ngx_http_facility_overrule(ngx_http_request_t *r, ngx_http_facility_ctx_t *ctx,
                           policy_reason_t reason)
{
    ngx_http_facility_fail(&ctx->last, reason);

    return ngx_http_facility_note(
        r, ctx, ctx->conf->access == NGX_HTTP_FACILITY_DRY_RUN);
}


static ngx_uint_t
ngx_http_facility_would_deny(policy_reason_t reason)
{
    return reason != POLICY_REASON_NONE && reason != POLICY_OK;
}


/* From 0 for what was not asked to 4 for a denial. */

static ngx_uint_t
ngx_http_facility_severity(const ngx_http_facility_entry_t *entry)
{
    switch (entry->status) {
    case NGX_HTTP_FACILITY_NOT_ASKED:
        return 0;

    case NGX_HTTP_FACILITY_DENY:
        return 4;

    case NGX_HTTP_FACILITY_DENY_DRY_RUN:
        return 3;

    default:
        break;
    }

    return ngx_http_facility_would_deny(entry->decision.dry_run_reason) ? 2 : 1;
}


/* In a facility's own dry run the verdict stays what it is. */

static void
ngx_http_facility_fail(ngx_http_facility_entry_t *entry, policy_reason_t reason)
{
    ngx_uint_t dry_run;
    policy_facility_t facility;
    policy_decision_t *decision;

    decision = &entry->decision;

    if (decision->verdict != POLICY_ALLOW) {
        return;
    }

    /* one of several facilities in a dry run, and nobody knows which */
    dry_run = decision->reason == POLICY_DRY_RUN;

    if (entry->image &&
        policy_facility(entry->image->policy, decision->facility, &facility))
    {
        dry_run = facility.dry_run;
    }

    if (dry_run) {
        decision->reason = POLICY_DRY_RUN;

        if (!ngx_http_facility_would_deny(decision->dry_run_reason)) {
            decision->dry_run_reason = reason;
        }

        return;
    }

    decision->verdict = POLICY_DENY;
    decision->reason = reason;
    ngx_memzero(&decision->obligations, sizeof(policy_obligations_t));
}


static ngx_int_t
ngx_http_facility_note(ngx_http_request_t *r, ngx_http_facility_ctx_t *ctx,
                       ngx_uint_t dry_run)
{
    policy_reason_t would;
    ngx_http_facility_entry_t *entry;

    entry = &ctx->last;

    if (entry->decision.verdict == POLICY_ALLOW) {
        entry->status = dry_run ? NGX_HTTP_FACILITY_ALLOW_DRY_RUN
                                : NGX_HTTP_FACILITY_ALLOW;

    } else {
        entry->status = dry_run ? NGX_HTTP_FACILITY_DENY_DRY_RUN
                                : NGX_HTTP_FACILITY_DENY;
    }

    /* a denial is what is told of a request, and the first of them */

    if (ngx_http_facility_severity(entry) >
        ngx_http_facility_severity(&ctx->first)) {
        ngx_http_facility_set(&ctx->first, entry);

        if (entry->decision.verdict != POLICY_ALLOW) {
            ngx_http_facility_log(r, entry, entry->decision.reason,
                                  dry_run ? "denied, dry run" : "denied");

        } else {
            would = entry->decision.dry_run_reason;

            if (ngx_http_facility_would_deny(would)) {
                ngx_http_facility_log(r, entry, would,
                                      "would be denied, dry run");
            }
        }
    }

    if (entry->status == NGX_HTTP_FACILITY_DENY) {
        ctx->denied = 1;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_http_facility_set(ngx_http_facility_entry_t *to,
                      const ngx_http_facility_entry_t *from)
{
    ngx_http_facility_image_t *image;

    image = ngx_http_facility_image_hold(from->image);
    ngx_http_facility_image_release(to->image);

    *to = *from;
    to->image = image;
}


static void
ngx_http_facility_log(ngx_http_request_t *r,
                      const ngx_http_facility_entry_t *entry,
                      policy_reason_t reason, const char *verdict)
{
    char text[ADDRESS_TEXT_MAX];
    slice_t id;
    address_t address;
    ngx_str_t ticket;
    policy_facility_t facility;

    id = SLICE("-");

    if (entry->image && policy_facility(entry->image->policy,
                                        entry->decision.facility, &facility))
    {
        id = facility.id;
    }

    address_from_sockaddr(r->connection->sockaddr, r->connection->socklen,
                          &address);
    (void) address_format(&address, text);

    if (ngx_http_facility_ticket(r, &ticket) != NGX_OK) {
        ngx_str_set(&ticket, "-");
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "facility: %s, reason: %s, facility: %*s, ticket: %V, "
                  "action: %s, address: %s",
                  verdict, policy_reason_name(reason), id.size, id.data,
                  &ticket, action_name(entry->action), text);
}


/*
 * What the request is taken for.  ACTION_NONE stands for a facility_action
 * that came out as no action at all, which is never allowed.
 */

static ngx_int_t
ngx_http_facility_actions(ngx_http_request_t *r,
                          ngx_http_facility_loc_conf_t *conf,
                          action_t actions[NGX_HTTP_FACILITY_ACTIONS],
                          ngx_uint_t *count)
{
    ngx_str_t value;
    dicom_request_t request;

    *count = 1;

    if (conf->action) {
        if (ngx_http_complex_value(r, conf->action, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (value.len != 4 || ngx_strncmp(value.data, "auto", 4) != 0) {
            actions[0] = action_parse(ngx_http_sekisho_slice(&value));

            if (actions[0] == ACTION_NONE) {
                ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                              "facility: \"%V\" from \"facility_action\" is no "
                              "action",
                              &value);
            }

            return NGX_OK;
        }
    }

    ngx_http_facility_classify(r, &r->unparsed_uri, &request);
    actions[0] = request.action;

    if (r->valid_unparsed_uri) {
        return NGX_OK;
    }

    /*
     * A rewrite or an internal redirect: what is asked for now may be more
     * than the client's words said.  Both have to be allowed.
     */

    if (ngx_http_facility_current_uri(r, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_facility_classify(r, &value, &request);

    if (request.certain && request.action != actions[0]) {
        actions[1] = request.action;
        *count = 2;
    }

    return NGX_OK;
}


static void
ngx_http_facility_classify(ngx_http_request_t *r, const ngx_str_t *uri,
                           dicom_request_t *request)
{
    slice_t accept;
    ngx_uint_t overridden;

    ngx_http_facility_headers(r, &accept, &overridden);

    dicom_classify(ngx_http_sekisho_slice(&r->method_name),
                   ngx_http_sekisho_slice(uri), accept, request);

    if (overridden) {
        request->action = ACTION_ADMIN;
        request->certain = 1;
    }
}


/*
 * Headers that make the same target another request for some PACS.
 *
 * More than one Accept line: some read all of them, some the first; no one
 * reading is safe, so it counts as none at all, which is the strictest.  And
 * Orthanc does what X-HTTP-Method-Override says instead of the method.
 */

static void
ngx_http_facility_headers(ngx_http_request_t *r, slice_t *accept,
                          ngx_uint_t *overridden)
{
    ngx_uint_t i, lines;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;

    *accept = SLICE("");
    *overridden = 0;
    lines = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == sizeof("Accept") - 1 &&
                ngx_strncasecmp(h[i].key.data, (u_char *) "accept",
                                sizeof("Accept") - 1) == 0)
            {
                *accept = lines++ ? SLICE("")
                                  : ngx_http_sekisho_slice(&h[i].value);

            } else if (h[i].key.len >= sizeof("X-HTTP-Method") - 1 &&
                       (h[i].key.data[0] | 0x20) == 'x' &&
                       ngx_http_facility_is_override(&h[i].key))
            {
                *overridden = 1;
            }
        }
    }
}


static ngx_uint_t
ngx_http_facility_is_override(const ngx_str_t *name)
{
    static const ngx_str_t names[] = {
        ngx_string("x-http-method-override"),
        ngx_string("x-http-method"),
        ngx_string("x-method-override"),
    };

    ngx_uint_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (name->len == names[i].len &&
            ngx_strncasecmp(name->data, names[i].data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* r->uri and r->args as a request target: percent-encoded again. */

static ngx_int_t
ngx_http_facility_current_uri(ngx_http_request_t *r, ngx_str_t *uri)
{
    u_char *p;
    uintptr_t escape;

    escape = 2 * ngx_escape_uri(NULL, r->uri.data, r->uri.len, NGX_ESCAPE_URI);

    p = ngx_pnalloc(r->pool, r->uri.len + escape + 1 + r->args.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    uri->data = p;

    if (escape) {
        p = (u_char *) ngx_escape_uri(p, r->uri.data, r->uri.len,
                                      NGX_ESCAPE_URI);

    } else {
        p = ngx_cpymem(p, r->uri.data, r->uri.len);
    }

    if (r->args.len) {
        *p++ = '?';
        p = ngx_cpymem(p, r->args.data, r->args.len);
    }

    uri->len = (size_t) (p - uri->data);

    return NGX_OK;
}


ngx_int_t
ngx_http_facility_name(ngx_http_request_t *r,
                       ngx_http_facility_loc_conf_t *conf,
                       ngx_http_facility_ctx_t *ctx, policy_user_state_t *users)
{
    ngx_str_t name, realm;
    ngx_http_complex_value_t **basic;
    ngx_http_core_loc_conf_t *clcf;
    ngx_http_facility_main_conf_t *fmcf;

    /* once certain, certain for the request */
    *users = ctx->user.len ? POLICY_USER_NAMED : POLICY_USER_UNKNOWN;

    if (ctx->user.len || conf->user == NULL) {
        return NGX_OK;
    }

    /* with `satisfy any` an address may have been enough */

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->satisfy == NGX_HTTP_SATISFY_ANY) {
        return NGX_OK;
    }

    if (conf->user_basic) {
        /*
         * $remote_user is what the Authorization header says, whether or not
         * anybody checked the password.  The configuration of auth_basic is
         * not public, but its first two fields are the realm and the file
         * (complex values, since 1.21.0), and without either it does not ask.
         */

        fmcf = ngx_http_get_module_main_conf(r, ngx_http_facility_module);

        if (fmcf->auth_basic == NGX_ERROR) {
            return NGX_OK;
        }

        basic = r->loc_conf[fmcf->auth_basic];

        if (basic == NULL || basic[0] == NULL || basic[1] == NULL) {
            return NGX_OK;
        }

        if (ngx_http_complex_value(r, basic[0], &realm) != NGX_OK) {
            return NGX_ERROR;
        }

        if (realm.len == 3 && ngx_strncmp(realm.data, "off", 3) == 0) {
            return NGX_OK;
        }
    }

    if (ngx_http_complex_value(r, conf->user, &name) != NGX_OK) {
        return NGX_ERROR;
    }

    if (name.len) {
        ctx->user = name;
        *users = POLICY_USER_NAMED;
    }

    return NGX_OK;
}
