/*
 * sekisho_status: counters in the text format of Prometheus.
 */

#include "ngx_http_audit.h"

#define NGX_HTTP_AUDIT_STATUS_SIZE 8192 /* of a part */

typedef struct {
    ngx_http_request_t *request;
    ngx_chain_t *first;
    ngx_chain_t **last;
    ngx_buf_t *buf;
    off_t size;
    unsigned failed : 1;
} ngx_http_audit_text_t;

static ngx_int_t ngx_http_audit_status_handler(ngx_http_request_t *r);
static void ngx_http_audit_print(ngx_http_audit_text_t *text, const char *fmt,
                                 ...);
static void ngx_http_audit_print_metric(ngx_http_audit_text_t *text,
                                        const char *name, const char *type,
                                        const char *help);
static void ngx_http_audit_print_value(ngx_http_audit_text_t *text,
                                       const char *name, const char *type,
                                       const char *help, uint64_t value);
static void ngx_http_audit_print_verdicts(ngx_http_audit_text_t *text,
                                          ngx_http_audit_shared_t *shared);
static void ngx_http_audit_print_records(ngx_http_audit_text_t *text,
                                         ngx_http_audit_shared_t *shared);
static void ngx_http_audit_print_workers(ngx_http_audit_text_t *text,
                                         ngx_http_audit_main_conf_t *amcf);
static void ngx_http_audit_print_review(ngx_http_audit_text_t *text,
                                        ngx_http_audit_main_conf_t *amcf);
static void ngx_http_audit_print_policies(ngx_http_audit_text_t *text,
                                          ngx_http_request_t *r);
static void ngx_http_audit_escape(u_char *to, size_t size,
                                  const ngx_str_t *from);

static const char *const ngx_http_audit_verdicts[NGX_HTTP_AUDIT_VERDICTS] = {
    "allow", "deny", "allow_dry_run", "deny_dry_run"};


char *
ngx_http_audit_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_audit_status_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_audit_status_handler(ngx_http_request_t *r)
{
    ngx_int_t rc;
    ngx_http_audit_text_t text;
    ngx_http_audit_main_conf_t *amcf;

    if (!(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    amcf = ngx_http_get_module_main_conf(r, ngx_http_audit_module);

    ngx_memzero(&text, sizeof(ngx_http_audit_text_t));
    text.request = r;
    text.last = &text.first;

    if (amcf->connection) {
        ngx_http_audit_print_verdicts(&text, amcf->zone->shared);
        ngx_http_audit_print_records(&text, amcf->zone->shared);
        ngx_http_audit_print_workers(&text, amcf);
        ngx_http_audit_print_review(&text, amcf);
    }

    ngx_http_audit_print_policies(&text, r);

    if (text.failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = text.size;
    ngx_str_set(&r->headers_out.content_type, "text/plain; version=0.0.4");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    text.buf->last_buf = 1;
    text.buf->last_in_chain = 1;

    return ngx_http_output_filter(r, text.first);
}


/* One line at most; a part that is full is followed by another. */

static void
ngx_http_audit_print(ngx_http_audit_text_t *text, const char *fmt, ...)
{
    u_char line[1024], *p;
    size_t size;
    va_list args;
    ngx_chain_t *cl;

    va_start(args, fmt);
    p = ngx_vslprintf(line, line + sizeof(line), fmt, args);
    va_end(args);

    size = (size_t) (p - line);

    if (text->buf == NULL || (size_t) (text->buf->end - text->buf->last) < size)
    {
        cl = ngx_alloc_chain_link(text->request->pool);

        if (cl) {
            cl->next = NULL;
            cl->buf = ngx_create_temp_buf(text->request->pool,
                                          NGX_HTTP_AUDIT_STATUS_SIZE);
        }

        if (cl == NULL || cl->buf == NULL) {
            text->failed = 1;
            return;
        }

        text->buf = cl->buf;
        *text->last = cl;
        text->last = &cl->next;
    }

    text->buf->last = ngx_cpymem(text->buf->last, line, size);
    text->size += (off_t) size;
}


static void
ngx_http_audit_print_metric(ngx_http_audit_text_t *text, const char *name,
                            const char *type, const char *help)
{
    ngx_http_audit_print(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                         type);
}


static void
ngx_http_audit_print_value(ngx_http_audit_text_t *text, const char *name,
                           const char *type, const char *help, uint64_t value)
{
    ngx_http_audit_print_metric(text, name, type, help);
    ngx_http_audit_print(text, "%s %uL\n", name, value);
}


static void
ngx_http_audit_print_verdicts(ngx_http_audit_text_t *text,
                              ngx_http_audit_shared_t *shared)
{
    u_char id[2 * sizeof(((ngx_http_audit_place_t *) NULL)->id)];
    ngx_str_t name;
    ngx_uint_t i, verdict, reason;
    ngx_atomic_uint_t count;
    ngx_http_audit_place_t *place;

    ngx_http_audit_print_metric(text, "sekisho_verdicts_total", "counter",
                                "Requests by facility, verdict and reason.");

    for (i = 0; i < NGX_HTTP_AUDIT_PLACES; i++) {
        place = &shared->facilities[i];
        name.data = (u_char *) place->id;
        name.len = ngx_strlen(place->id);
        ngx_http_audit_escape(id, sizeof(id), &name);

        for (verdict = 0; verdict < NGX_HTTP_AUDIT_VERDICTS; verdict++) {
            for (reason = 0; reason < POLICY_REASON_COUNT; reason++) {
                count = place->counts[verdict][reason];

                if (count) {
                    ngx_http_audit_print(
                        text,
                        "sekisho_verdicts_total{facility=\"%s\",verdict=\"%s\","
                        "reason=\"%s\"} %uA\n",
                        id, ngx_http_audit_verdicts[verdict],
                        policy_reason_name((policy_reason_t) reason), count);
                }
            }
        }
    }
}


static void
ngx_http_audit_print_records(ngx_http_audit_text_t *text,
                             ngx_http_audit_shared_t *shared)
{
    uint64_t sum;
    ngx_uint_t i;
    ngx_http_sekisho_stats_t *stats;

    stats = &shared->stats;

    ngx_http_audit_print_value(text, "sekisho_records_sent_total", "counter",
                               "Records handed over to sekishod.", stats->sent);
    ngx_http_audit_print_value(text, "sekisho_records_acknowledged_total",
                               "counter", "Records that are on disk.",
                               stats->recorded);
    ngx_http_audit_print_value(text, "sekisho_records_refused_total", "counter",
                               "Records that sekishod refused.",
                               stats->refused);
    ngx_http_audit_print_value(
        text, "sekisho_records_turned_away_total", "counter",
        "Records for which a worker had no room.", stats->turned_away);

    ngx_http_audit_print_metric(text, "sekisho_record_seconds", "histogram",
                                "From handing a record over to its "
                                "acknowledgement.");
    sum = 0;

    for (i = 0; i < NGX_HTTP_SEKISHO_LATENCIES; i++) {
        sum += stats->latencies[i];
        ngx_http_audit_print(
            text, "sekisho_record_seconds_bucket{le=\"%ui.%06ui\"} %uL\n",
            ngx_http_sekisho_latencies[i] / 1000000,
            ngx_http_sekisho_latencies[i] % 1000000, sum);
    }

    sum += stats->latencies[i];
    ngx_http_audit_print(text,
                         "sekisho_record_seconds_bucket{le=\"+Inf\"} %uL\n"
                         "sekisho_record_seconds_sum %uA.%06uA\n"
                         "sekisho_record_seconds_count %uL\n",
                         sum, stats->latency_us / 1000000,
                         stats->latency_us % 1000000, sum);

    ngx_http_audit_print_value(text, "sekisho_requests_held_total", "counter",
                               "Requests that waited for a record.",
                               shared->holds);
    ngx_http_audit_print_value(text, "sekisho_requests_folded_total", "counter",
                               "Requests of an access that was open.",
                               shared->counted);
    ngx_http_audit_print_value(text, "sekisho_requests_without_record_total",
                               "counter",
                               "Requests served without a record, as "
                               "configured.",
                               shared->unrecorded);
    ngx_http_audit_print_value(
        text, "sekisho_requests_refused_total", "counter",
        "Requests refused for want of a record.", shared->denials);
    ngx_http_audit_print_value(text, "sekisho_learn_answers_total", "counter",
                               "Answers that were read for whose study it is.",
                               shared->learn_answers);
    ngx_http_audit_print_value(text, "sekisho_learn_unread_total", "counter",
                               "Answers that were compressed, or not "
                               "understood.",
                               shared->learn_unread);
    ngx_http_audit_print_value(text, "sekisho_learned_total", "counter",
                               "Records of what answers told.",
                               shared->learned);
    ngx_http_audit_print_value(text, "sekisho_learned_lost_total", "counter",
                               "Records of it that there was no room for.",
                               shared->learned_lost);
    ngx_http_audit_print_value(text, "sekisho_accesses_open", "gauge",
                               "Accesses in the zone.", shared->count);
    ngx_http_audit_print_value(text, "sekisho_accesses_max", "gauge",
                               "Accesses that the zone has room for.",
                               shared->capacity);
}


static void
ngx_http_audit_print_workers(ngx_http_audit_text_t *text,
                             ngx_http_audit_main_conf_t *amcf)
{
    ngx_uint_t i, up, down, pending, held;
    ngx_http_audit_worker_t *worker;

    if (amcf->worker) {
        /* of the others what they noted in the last second */
        amcf->worker->up = ngx_http_sekisho_is_up(amcf->connection);
        amcf->worker->pending = ngx_http_sekisho_pending(amcf->connection);
    }

    up = 0;
    down = 0;
    pending = 0;
    held = 0;

    for (i = 0; i < NGX_HTTP_AUDIT_WORKERS; i++) {
        worker = &amcf->zone->shared->workers[i];

        if (worker->pid == 0 ||
            (kill((ngx_pid_t) worker->pid, 0) == -1 && ngx_errno == NGX_ESRCH))
        {
            continue;
        }

        if (worker->up) {
            up++;

        } else {
            down++;
        }

        pending += worker->pending;
        held += worker->held;
    }

    ngx_http_audit_print_metric(text, "sekisho_daemon_connections", "gauge",
                                "Workers by their connection to sekishod.");
    ngx_http_audit_print(text,
                         "sekisho_daemon_connections{state=\"up\"} %ui\n"
                         "sekisho_daemon_connections{state=\"down\"} %ui\n",
                         up, down);
    ngx_http_audit_print_value(text, "sekisho_records_waiting", "gauge",
                               "Records that are not acknowledged yet.",
                               pending);
    ngx_http_audit_print_value(text, "sekisho_requests_waiting", "gauge",
                               "Requests that are held now.", held);
    ngx_http_audit_print_value(text, "sekisho_daemon_connects_total", "counter",
                               "Connections to sekishod that were made.",
                               amcf->zone->shared->stats.connects);
}


/* Of what is not known there is no line: an alert on its absence is possible,
 * one on a number that means nothing is not. */

static void
ngx_http_audit_print_review(ngx_http_audit_text_t *text,
                            ngx_http_audit_main_conf_t *amcf)
{
    int64_t due;

    due = ngx_http_sekisho_review_due(amcf->connection);

    if (due == 0) {
        return;
    }

    ngx_http_audit_print_value(text, "sekisho_review_due_timestamp_seconds",
                               "gauge",
                               "End of the day on which a review of the trail "
                               "is due.",
                               (uint64_t) due);
    ngx_http_audit_print_value(text, "sekisho_review_overdue", "gauge",
                               "1 if that is over.",
                               (int64_t) ngx_time() >= due);
}


static void
ngx_http_audit_print_policies(ngx_http_audit_text_t *text,
                              ngx_http_request_t *r)
{
    u_char path[512];
    time_t age;
    ngx_uint_t i, n;
    ngx_http_facility_policy_t **policy;
    ngx_http_facility_main_conf_t *fmcf;

    static const char *const names[] = {"sekisho_policy_info",
                                        "sekisho_policy_age_seconds"};

    fmcf = ngx_http_get_module_main_conf(r, ngx_http_facility_module);
    policy = fmcf->policies.elts;

    for (n = 0; n < 2; n++) {
        ngx_http_audit_print_metric(
            text, names[n], "gauge",
            n == 0 ? "The policy in use, by its version."
                   : "Time since the policy's file was written.");

        for (i = 0; i < fmcf->policies.nelts; i++) {
            if (policy[i]->image == NULL) {
                continue;
            }

            ngx_http_audit_escape(path, sizeof(path), &policy[i]->path);

            if (n == 0) {
                ngx_http_audit_print(
                    text, "%s{path=\"%s\",version=\"%s\"} 1\n", names[n], path,
                    policy_image_version(policy[i]->image->policy));
                continue;
            }

            age = ngx_time() - policy[i]->identity.mtime.tv_sec;
            ngx_http_audit_print(text, "%s{path=\"%s\"} %T\n", names[n], path,
                                 ngx_max(age, 0));
        }
    }
}


/* Of a label's value; cut where it does not fit. */

static void
ngx_http_audit_escape(u_char *to, size_t size, const ngx_str_t *from)
{
    size_t i;
    u_char c, *last;

    last = to + size - 3;

    for (i = 0; i < from->len && to < last; i++) {
        c = from->data[i];

        if (c == '\\' || c == '"') {
            *to++ = '\\';

        } else if (c == '\n') {
            *to++ = '\\';
            c = 'n';
        }

        *to++ = c;
    }

    *to = '\0';
}
