/*
 * Filling records: docs/record.md has the fields.
 */

#include "ngx_http_audit.h"

/* Values of a close, at first; halved until all fit. */
#define NGX_HTTP_AUDIT_KEPT_MAX 64

/* What one more value takes besides its bytes, and the mask of cut fields. */
#define NGX_HTTP_AUDIT_QUERY_SPARE (3 + 3 + RECORD_CUT_SIZE)

static void ngx_http_audit_record_connection(ngx_http_audit_record_t *record,
                                             ngx_http_request_t *r);
static void ngx_http_audit_record_statuses(ngx_http_audit_record_t *record,
                                           const ngx_http_audit_node_t *node);

static const record_field_t ngx_http_audit_kept[] = {
    RECORD_USER,   RECORD_FACILITY, RECORD_ADDRESS,     RECORD_SERVICE,
    RECORD_ACTION, RECORD_PATIENT,  RECORD_STUDY,       RECORD_SERIES,
    RECORD_SERVER, RECORD_PURPOSE,  RECORD_CERTIFICATE, RECORD_INSTANCE,
    RECORD_QUERY};


void
ngx_http_audit_record_init(ngx_http_audit_record_t *record,
                           record_event_t event, const uint8_t *id, int64_t now,
                           ngx_uint_t outcome)
{
    slice_t *values;

    ngx_memzero(&record->record, sizeof(record_t));
    record->numbers_used = 0;

    values = record->record.values;

    ngx_http_audit_hex((u_char *) record->id, id, NGX_HTTP_AUDIT_ID_SIZE);
    values[RECORD_ID] = (slice_t){record->id, sizeof(record->id)};
    values[RECORD_TIME] = (slice_t){record->time,
                                    record_time(now, record->time)};
    values[RECORD_EVENT] = slice_of(record_event_name(event));

    ngx_http_audit_record_number(record, RECORD_OUTCOME, outcome);
}


void
ngx_http_audit_record_number(ngx_http_audit_record_t *record,
                             record_field_t field, uint64_t number)
{
    u_char *p, *text;

    if (record->numbers_used == NGX_HTTP_AUDIT_NUMBERS) {
        return;
    }

    text = (u_char *) record->numbers[record->numbers_used++];
    p = ngx_sprintf(text, "%uL", number);

    record->record.values[field] = (slice_t){(char *) text,
                                             (size_t) (p - text)};
}


void
ngx_http_audit_record_text(ngx_http_audit_record_t *record,
                           record_field_t field, const char *text)
{
    record->record.values[field] = slice_of(text);
}


void
ngx_http_audit_record_span(ngx_http_audit_record_t *record, int64_t first,
                           int64_t last)
{
    record->record.values[RECORD_FIRST] = (slice_t){
        record->first, record_time(first, record->first)};
    record->record.values[RECORD_LAST] = (slice_t){
        record->last, record_time(last, record->last)};
}


void
ngx_http_audit_record_address(ngx_http_audit_record_t *record,
                              const address_t *address)
{
    record->record.values[RECORD_ADDRESS] = (slice_t){
        record->address, address_format(address, record->address)};
}


void
ngx_http_audit_record_open(ngx_http_audit_record_t *record, const uint8_t *id)
{
    ngx_http_audit_hex((u_char *) record->open, id, NGX_HTTP_AUDIT_ID_SIZE);
    record->record.values[RECORD_OPEN] = (slice_t){record->open,
                                                   sizeof(record->open)};
}


void
ngx_http_audit_record_request(ngx_http_audit_record_t *record,
                              ngx_http_request_t *r,
                              const ngx_http_audit_what_t *what)
{
    slice_t *values;
    address_t address;
    policy_reason_t reason;
    ngx_http_facility_ctx_t *fctx;
    ngx_http_core_srv_conf_t *cscf;

    values = record->record.values;

    values[RECORD_SERVICE] = SLICE("web");
    values[RECORD_METHOD] = ngx_http_sekisho_slice(&r->method_name);
    values[RECORD_URI] = ngx_http_sekisho_slice(&r->unparsed_uri);

    if (what) {
        values[RECORD_USER] = what->user;
        values[RECORD_FACILITY] = what->facility;
        values[RECORD_PURPOSE] = what->purpose;
        values[RECORD_ACTION] = slice_of(action_name(what->action));
        values[RECORD_PATIENT] = what->patient;
        values[RECORD_STUDY] = what->study;
        values[RECORD_SERIES] = what->series;
        values[RECORD_INSTANCE] = what->instance;
        values[RECORD_QUERY] = what->query;
        ngx_http_audit_record_address(record, &what->address);

    } else {
        address_from_sockaddr(r->connection->sockaddr, r->connection->socklen,
                              &address);
        ngx_http_audit_record_address(record, &address);
    }

    if (r->headers_in.user_agent) {
        values[RECORD_AGENT] = ngx_http_sekisho_slice(
            &r->headers_in.user_agent->value);
    }

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);
    values[RECORD_SERVER] = ngx_http_sekisho_slice(&cscf->server_name);

    fctx = ngx_http_facility_get_ctx(r);

    if (fctx && fctx->last.image) {
        values[RECORD_POLICY] = slice_of(
            policy_image_version(fctx->last.image->policy));

        reason = fctx->first.decision.reason;

        if (reason != POLICY_OK && reason != POLICY_REASON_NONE) {
            values[RECORD_REASON] = slice_of(policy_reason_name(reason));
        }
    }

    ngx_http_audit_record_connection(record, r);
}


static void
ngx_http_audit_record_connection(ngx_http_audit_record_t *record,
                                 ngx_http_request_t *r)
{
#if (NGX_HTTP_SSL)

    const policy_certificate_t *certificate;

    if (r->connection->ssl == NULL) {
        return;
    }

    record->record.values[RECORD_TLS] = slice_of(
        SSL_get_version(r->connection->ssl->connection));

    certificate = ngx_http_facility_certificate(r);

    if (certificate) {
        ngx_http_audit_hex((u_char *) record->certificate, certificate->sha256,
                           POLICY_SHA256_BYTES);
        record->record.values[RECORD_CERTIFICATE] = (slice_t){
            record->certificate, sizeof(record->certificate)};
    }

#endif
}


void
ngx_http_audit_record_answer(ngx_http_audit_record_t *record,
                             ngx_http_request_t *r)
{
    ngx_uint_t status;
    ngx_time_t *tp;
    ngx_msec_int_t ms;
    ngx_http_upstream_state_t *state;

    status = ngx_http_audit_answer_status(r);

    if (status) {
        ngx_http_audit_record_number(record, RECORD_STATUS, status);
    }

    ngx_http_audit_record_number(record, RECORD_BYTES,
                                 (uint64_t) r->connection->sent);

    tp = ngx_timeofday();
    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000 + (time_t) tp->msec -
                           (time_t) r->start_msec);

    ngx_http_audit_record_number(record, RECORD_DURATION_MS,
                                 (uint64_t) ngx_max(ms, 0));

    if (r->upstream_states && r->upstream_states->nelts) {
        /* the last one is the one that was listened to */
        state = r->upstream_states->elts;
        state += r->upstream_states->nelts - 1;

        if (state->status) {
            ngx_http_audit_record_number(record, RECORD_UPSTREAM_STATUS,
                                         state->status);
        }
    }
}


ngx_uint_t
ngx_http_audit_answer_status(ngx_http_request_t *r)
{
    if (r->err_status) {
        return r->err_status;
    }

    return r->headers_out.status;
}


/* DICOM PS3.15 A.5: 0 success, 4 minor, 8 serious failure. */

ngx_uint_t
ngx_http_audit_outcome(ngx_uint_t status)
{
    if (status >= 500) {
        return 8;
    }

    return status >= 400 ? 4 : 0;
}


/* ---- The close of an access ---- */

size_t
ngx_http_audit_encode_kept(const record_t *record, uint8_t *bytes)
{
    size_t i, limit, size, room;
    record_t kept;
    record_field_t field;

    size = 0;

    for (limit = NGX_HTTP_AUDIT_KEPT_MAX; limit && size == 0; limit /= 2) {
        ngx_memzero(&kept, sizeof(record_t));

        for (i = 0; i < sizeof(ngx_http_audit_kept) / sizeof(record_field_t);
             i++) {
            field = ngx_http_audit_kept[i];

            if (field != RECORD_QUERY) {
                kept.values[field] = record->values[field];
                record_limit(&kept, field, limit);
            }
        }

        size = record_encode(&kept, bytes, NGX_HTTP_AUDIT_RECORD_MAX);
    }

    /* the terms of a search get what is left: they are what it is about */

    room = NGX_HTTP_AUDIT_RECORD_MAX - NGX_HTTP_AUDIT_QUERY_SPARE;

    if (size && size < room && record->values[RECORD_QUERY].size) {
        kept.values[RECORD_QUERY] = record->values[RECORD_QUERY];
        record_limit(&kept, RECORD_QUERY, room - size);
        size = record_encode(&kept, bytes, NGX_HTTP_AUDIT_RECORD_MAX);
    }

    return size;
}


void
ngx_http_audit_record_close(ngx_http_audit_record_t *record,
                            const ngx_http_audit_node_t *node,
                            const uint8_t *id, int64_t now, const char *reason)
{
    size_t i;
    record_t kept;
    ngx_uint_t f, exact;
    uint64_t instances;

    ngx_http_audit_record_init(record, EVENT_ACCESS_END, id, now,
                               ngx_http_audit_outcome(node->last_status));

    if (record_decode(node->record, node->record_size, &kept)) {
        for (i = 0; i < sizeof(ngx_http_audit_kept) / sizeof(record_field_t);
             i++) {
            f = ngx_http_audit_kept[i];
            record->record.values[f] = kept.values[f];
        }

        ngx_memcpy(record->record.cut, kept.cut, RECORD_CUT_SIZE);
        record->record.any_cut = kept.any_cut;
    }

    ngx_http_audit_record_open(record, node->id);
    ngx_http_audit_record_text(record, RECORD_REASON, reason);
    ngx_http_audit_record_span(record, node->opened, node->last);
    ngx_http_audit_record_number(record, RECORD_REQUESTS, node->requests);
    ngx_http_audit_record_number(record, RECORD_BYTES, node->bytes);
    ngx_http_audit_record_number(record, RECORD_DURATION_MS,
                                 (uint64_t) (node->last - node->opened));

    if (node->last_status) {
        ngx_http_audit_record_number(record, RECORD_STATUS, node->last_status);
    }

    instances = ngx_http_audit_instances(node, &exact);

    if (instances) {
        ngx_http_audit_record_number(record, RECORD_INSTANCES, instances);

        if (!exact) {
            ngx_http_audit_record_text(record, RECORD_NOTE,
                                       "the number of instances is estimated");
        }
    }

    ngx_http_audit_record_statuses(record, node);
}


/* "200:24 404:1", and "other:2" for more than can be told apart. */

static void
ngx_http_audit_record_statuses(ngx_http_audit_record_t *record,
                               const ngx_http_audit_node_t *node)
{
    u_char *p, *last;
    ngx_uint_t i;

    p = (u_char *) record->statuses;
    last = p + sizeof(record->statuses);

    for (i = 0; i < NGX_HTTP_AUDIT_STATUSES && node->statuses[i].count; i++) {
        p = ngx_slprintf(p, last, "%s%03ui:%uD", i ? " " : "",
                         (ngx_uint_t) node->statuses[i].status,
                         node->statuses[i].count);
    }

    if (node->other_statuses) {
        p = ngx_slprintf(p, last, " other:%uD", node->other_statuses);
    }

    record->record.values[RECORD_STATUSES] = (slice_t){
        record->statuses, (size_t) (p - (u_char *) record->statuses)};
}


void
ngx_http_audit_hex(u_char *text, const uint8_t *bytes, size_t size)
{
    (void) ngx_hex_dump(text, (u_char *) bytes, size);
}
