/*
 * Denials and answers that could not be held, folded: the first of a minute is
 * recorded at once, the rest by one record with their count.  The table is of
 * a fixed size, so that no scanner can fill disk or memory; what finds no
 * place in it is counted all the same.
 */

#include "ngx_http_audit.h"

/* Of the table, in one go; the rest has its turn a second later. */
#define NGX_HTTP_AUDIT_SWEEP 32

/* Instead of how many are told: the first of a minute, and its event. */
#define NGX_HTTP_AUDIT_FOLD_FIRST (UINT64_C(1) << 32)

static ngx_http_audit_fold_t *
ngx_http_audit_fold_find(ngx_http_audit_shared_t *shared, uint64_t hash,
                         ngx_uint_t *fresh);
static ngx_int_t ngx_http_audit_fold_send(ngx_http_audit_main_conf_t *amcf,
                                          const ngx_http_audit_fold_t *fold,
                                          ngx_uint_t place);
static void ngx_http_audit_fold_count(ngx_http_audit_fold_t *fold, int64_t now);
static void
ngx_http_audit_fold_untold(ngx_http_audit_shared_t *shared,
                           const ngx_http_sekisho_subject_t *subject);
static ngx_int_t ngx_http_audit_fold_first(
    ngx_http_request_t *r, ngx_http_audit_main_conf_t *amcf,
    record_event_t event, const char *reason, slice_t facility,
    ngx_str_t *ticket, const ngx_http_audit_what_t *what,
    const ngx_http_sekisho_subject_t *subject);
static void ngx_http_audit_fold_copy(char *to, size_t size, slice_t from);
static ngx_uint_t ngx_http_audit_fold_outcome(record_event_t event,
                                              ngx_uint_t status);


void
ngx_http_audit_fold(ngx_http_request_t *r, ngx_http_audit_main_conf_t *amcf,
                    record_event_t event, const char *reason, slice_t facility,
                    const ngx_http_audit_what_t *what)
{
    int64_t now;
    u_char text[sizeof(address_t) + 4 + 64], *p;
    uint64_t hash;
    ngx_str_t ticket;
    address_t address;
    ngx_uint_t fresh, status, up;
    ngx_http_audit_fold_t *fold;
    ngx_http_audit_shared_t *shared;
    ngx_http_sekisho_subject_t subject;

    shared = amcf->zone->shared;
    now = ngx_http_audit_now();
    status = ngx_http_audit_answer_status(r);

    address_from_sockaddr(r->connection->sockaddr, r->connection->socklen,
                          &address);

    p = text;
    *p++ = (u_char) event;
    *p++ = address.family;
    p = ngx_cpymem(p, address.bytes, sizeof(address.bytes));

    if (event != EVENT_DENIED) {
        *p++ = (u_char) (status >> 8);
        *p++ = (u_char) status;
    }

    p = ngx_cpymem(p, reason, ngx_min(ngx_strlen(reason), 64));

    hash = siphash(shared->secret, text, (size_t) (p - text)).low | 1;

    if (ngx_http_facility_ticket(r, &ticket) != NGX_OK) {
        ngx_str_null(&ticket);
    }

    up = ngx_http_sekisho_is_up(amcf->connection) &&
         ngx_http_sekisho_room(amcf->connection, 1);

    if (!up) {
        /* a pause may be over before the next tick sees it */
        amcf->was_up = 0;
    }

    ngx_shmtx_lock(&amcf->zone->shpool->mutex);

    fold = ngx_http_audit_fold_find(shared, hash, &fresh);

    if (fold == NULL) {
        fold = &shared->folds[NGX_HTTP_AUDIT_FOLDS + (event != EVENT_DENIED)];
        fresh = fold->hash == 0;

        if (fresh) {
            ngx_memzero(fold, sizeof(ngx_http_audit_fold_t));
            fold->several = 1;
            fold->hash = 1;
        }

        up = 0;

    } else if (fresh) {
        ngx_memzero(fold, sizeof(ngx_http_audit_fold_t));
        fold->hash = hash;
        fold->address = address;
        fold->status = (uint16_t) status;
        ngx_http_audit_fold_copy(fold->reason, sizeof(fold->reason),
                                 slice_of(reason));
        ngx_http_audit_fold_copy(fold->facility, sizeof(fold->facility),
                                 facility);
        ngx_http_audit_fold_copy(fold->ticket, sizeof(fold->ticket),
                                 ngx_http_sekisho_slice(&ticket));
    }

    if (fresh) {
        fold->event = (uint8_t) event;
        fold->until = now + NGX_HTTP_AUDIT_FOLD_MS;
    }

    if (!fresh || !up) {
        ngx_http_audit_fold_count(fold, now);
    }

    /* the one that is told by itself: none of those that are counted */

    subject.tag = (uint64_t) (fold - shared->folds) | NGX_HTTP_AUDIT_TAG_FOLD;
    subject.key[0] = fold->hash;
    subject.key[1] = NGX_HTTP_AUDIT_FOLD_FIRST | event;

    ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

    if (fresh && up &&
        ngx_http_audit_fold_first(r, amcf, event, reason, facility, &ticket,
                                  what, &subject) != NGX_OK)
    {
        ngx_shmtx_lock(&amcf->zone->shpool->mutex);
        ngx_http_audit_fold_untold(shared, &subject);
        ngx_shmtx_unlock(&amcf->zone->shpool->mutex);
    }
}


/* Under the lock. */

static void
ngx_http_audit_fold_count(ngx_http_audit_fold_t *fold, int64_t now)
{
    if (fold->count == 0) {
        fold->first = now;
    }

    fold->last = now;
    fold->count++;
}


/* Under the lock: the first of a minute did not come to be on record; it is
 * counted like the others. */

static void
ngx_http_audit_fold_untold(ngx_http_audit_shared_t *shared,
                           const ngx_http_sekisho_subject_t *subject)
{
    uint8_t event;
    ngx_http_audit_fold_t *fold;

    fold = &shared->folds[subject->tag & ~NGX_HTTP_AUDIT_TAG_FOLD];

    if (fold->hash != subject->key[0]) {
        /* its minute is over, and its place free or taken */
        event = (uint8_t) subject->key[1];
        fold = &shared->folds[NGX_HTTP_AUDIT_FOLDS + (event != EVENT_DENIED)];

        if (fold->hash == 0) {
            ngx_memzero(fold, sizeof(ngx_http_audit_fold_t));
            fold->several = 1;
            fold->hash = 1;
            fold->event = event;
        }
    }

    ngx_http_audit_fold_count(fold, ngx_http_audit_now());
}


/* Under the lock: the place of that hash, or a free one for it. */

static ngx_http_audit_fold_t *
ngx_http_audit_fold_find(ngx_http_audit_shared_t *shared, uint64_t hash,
                         ngx_uint_t *fresh)
{
    ngx_uint_t i;
    ngx_http_audit_fold_t *fold, *free;

    free = NULL;
    fold = &shared->folds[(hash >> 8) & (NGX_HTTP_AUDIT_FOLDS - 1) &
                          ~(uint64_t) (NGX_HTTP_AUDIT_FOLD_WAY - 1)];

    for (i = 0; i < NGX_HTTP_AUDIT_FOLD_WAY; i++) {
        if (fold[i].hash == hash) {
            *fresh = 0;
            return &fold[i];
        }

        if (fold[i].hash == 0 && free == NULL) {
            free = &fold[i];
        }
    }

    *fresh = 1;

    return free;
}


/* The whole of it, as nobody else tells more of the request. */

static ngx_int_t
ngx_http_audit_fold_first(ngx_http_request_t *r,
                          ngx_http_audit_main_conf_t *amcf,
                          record_event_t event, const char *reason,
                          slice_t facility, ngx_str_t *ticket,
                          const ngx_http_audit_what_t *what,
                          const ngx_http_sekisho_subject_t *subject)
{
    uint8_t id[NGX_HTTP_AUDIT_ID_SIZE];
    slice_t *values;
    ngx_http_audit_record_t record;
    ngx_http_facility_ctx_t *fctx;
    const ngx_http_sekisho_dicom_t *dicom;

    ngx_http_sekisho_random_id(amcf->connection, id);

    ngx_http_audit_record_init(
        &record, event, id, ngx_http_audit_now(),
        ngx_http_audit_fold_outcome(event, ngx_http_audit_answer_status(r)));
    ngx_http_audit_record_request(&record, r, what);
    ngx_http_audit_record_answer(&record, r);

    values = record.record.values;

    ngx_http_audit_record_text(&record, RECORD_REASON, reason);
    values[RECORD_FACILITY] = facility;
    values[RECORD_TICKET] = ngx_http_sekisho_slice(ticket);

    fctx = ngx_http_facility_get_ctx(r);

    if (what == NULL && fctx) {
        values[RECORD_USER] = ngx_http_sekisho_slice(&fctx->user);
        values[RECORD_ACTION] = slice_of(action_name(fctx->first.action));
    }

    /* an early 400 has no target that could be understood */

    if (what == NULL && r->uri.len) {
        dicom = ngx_http_sekisho_dicom(r);

        if (dicom) {
            values[RECORD_PATIENT] = dicom->patient;
            values[RECORD_STUDY] = dicom->study;
            values[RECORD_SERIES] = dicom->series;
            values[RECORD_INSTANCE] = dicom->instance;

            if (values[RECORD_ACTION].size == 0) {
                values[RECORD_ACTION] = slice_of(action_name(dicom->action));
            }
        }
    }

    if (event == EVENT_UNRECORDED) {
        values[RECORD_PHASE] = SLICE("log");
    }

    return ngx_http_sekisho_send(amcf->connection, &record.record, subject,
                                 NULL);
}


ngx_uint_t
ngx_http_audit_fold_sweep(ngx_http_audit_main_conf_t *amcf, ngx_uint_t all)
{
    int64_t now;
    ngx_uint_t i, n, k, whole, places[NGX_HTTP_AUDIT_SWEEP];
    ngx_http_audit_fold_t *fold, due[NGX_HTTP_AUDIT_SWEEP];
    ngx_http_audit_shared_t *shared;

    shared = amcf->zone->shared;
    now = ngx_http_audit_now();
    i = 0;
    whole = 1;

    do {
        n = 0;

        ngx_shmtx_lock(&amcf->zone->shpool->mutex);

        /* one worker a second is enough */

        if (!all && (uint64_t) (now - shared->swept) < 900) {
            ngx_shmtx_unlock(&amcf->zone->shpool->mutex);
            return 1;
        }

        for (/* void */; i < NGX_HTTP_AUDIT_FOLDS + 2; i++) {
            fold = &shared->folds[i];

            if (fold->hash == 0 ||
                (now < fold->until && (!all || fold->count == 0))) {
                continue;
            }

            if (fold->count) {
                if (fold->teller && !ngx_http_audit_is_gone(fold->teller)) {
                    continue;
                }

                if (n == NGX_HTTP_AUDIT_SWEEP) {
                    break;
                }

                if (!ngx_http_sekisho_room(amcf->connection, n + 1)) {
                    i = NGX_HTTP_AUDIT_FOLDS + 2;
                    whole = 0;
                    break;
                }

                /* it is free when its count is on disk; else, or if this
                 * worker dies before it hears so, it is told again */
                fold->told = fold->count;
                fold->teller = ngx_pid;
                fold->until = now + NGX_HTTP_AUDIT_FOLD_MS;

                places[n] = i;
                due[n++] = *fold;

            } else {
                fold->hash = 0;
            }
        }

        if (i == NGX_HTTP_AUDIT_FOLDS + 2) {
            shared->swept = now;
        }

        ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

        for (k = 0; k < n; k++) {
            if (ngx_http_audit_fold_send(amcf, &due[k], places[k]) == NGX_OK) {
                continue;
            }

            ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                          "audit: a count of %uD could not be recorded, and is "
                          "tried again",
                          due[k].count);

            ngx_shmtx_lock(&amcf->zone->shpool->mutex);
            shared->folds[places[k]].teller = 0;
            ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

            whole = 0;
        }

    } while (i < NGX_HTTP_AUDIT_FOLDS + 2);

    return whole;
}


static ngx_int_t
ngx_http_audit_fold_send(ngx_http_audit_main_conf_t *amcf,
                         const ngx_http_audit_fold_t *fold, ngx_uint_t place)
{
    uint8_t id[NGX_HTTP_AUDIT_ID_SIZE];
    ngx_http_audit_record_t record;
    ngx_http_sekisho_subject_t subject;

    subject.tag = place | NGX_HTTP_AUDIT_TAG_FOLD;
    subject.key[0] = fold->hash;
    subject.key[1] = fold->told;

    ngx_http_sekisho_random_id(amcf->connection, id);

    ngx_http_audit_record_init(&record, (record_event_t) fold->event, id,
                               ngx_http_audit_now(),
                               ngx_http_audit_fold_outcome(
                                   (record_event_t) fold->event, fold->status));

    record.record.values[RECORD_SERVICE] = SLICE("web");
    ngx_http_audit_record_number(&record, RECORD_COUNT_FOLDED, fold->count);
    ngx_http_audit_record_span(&record, fold->first, fold->last);

    if (fold->several) {
        ngx_http_audit_record_text(&record, RECORD_NOTE,
                                   "of several addresses, beyond those that "
                                   "are told apart");

    } else {
        ngx_http_audit_record_address(&record, &fold->address);
        ngx_http_audit_record_text(&record, RECORD_REASON, fold->reason);
        ngx_http_audit_record_text(&record, RECORD_FACILITY, fold->facility);
        ngx_http_audit_record_text(&record, RECORD_TICKET, fold->ticket);

        if (fold->status) {
            ngx_http_audit_record_number(&record, RECORD_STATUS, fold->status);
        }
    }

    if (fold->event == EVENT_UNRECORDED) {
        record.record.values[RECORD_PHASE] = SLICE("log");
    }

    return ngx_http_sekisho_send(amcf->connection, &record.record, &subject,
                                 NULL);
}


void
ngx_http_audit_fold_told(ngx_http_audit_shared_t *shared,
                         const ngx_http_sekisho_subject_t *subject,
                         ngx_http_sekisho_result_e result)
{
    ngx_http_audit_fold_t *fold;

    if (subject->key[1] & NGX_HTTP_AUDIT_FOLD_FIRST) {
        if (result != NGX_HTTP_SEKISHO_RECORDED) {
            ngx_http_audit_fold_untold(shared, subject);
        }

        return;
    }

    fold = &shared->folds[subject->tag & ~NGX_HTTP_AUDIT_TAG_FOLD];

    if (fold->hash != subject->key[0] || fold->teller != ngx_pid ||
        fold->told != subject->key[1])
    {
        return;
    }

    fold->teller = 0;

    if (result != NGX_HTTP_SEKISHO_RECORDED) {
        return;
    }

    fold->count -= fold->told;
    fold->first = fold->last;

    if (fold->count == 0) {
        fold->hash = 0;
    }
}


ngx_uint_t
ngx_http_audit_is_gone(ngx_pid_t pid)
{
    return kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH;
}


static void
ngx_http_audit_fold_copy(char *to, size_t size, slice_t from)
{
    size = ngx_min(size - 1, from.size);

    if (size) {
        ngx_memcpy(to, from.data, size);
    }

    to[size] = '\0';
}


static ngx_uint_t
ngx_http_audit_fold_outcome(record_event_t event, ngx_uint_t status)
{
    return event == EVENT_DENIED ? 8 : ngx_http_audit_outcome(status);
}


/* ---- Without a record ---- */

void
ngx_http_audit_lose(ngx_http_audit_main_conf_t *amcf, ngx_uint_t end)
{
    ngx_http_audit_shared_t *shared;

    shared = amcf->zone->shared;

    ngx_shmtx_lock(&amcf->zone->shpool->mutex);

    if (shared->lost == 0 && shared->lost_ends == 0) {
        shared->lost_first = ngx_http_audit_now();
    }

    shared->lost_last = ngx_http_audit_now();

    if (end) {
        shared->lost_ends++;

    } else {
        shared->lost++;
    }

    ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

    if (!end) {
        (void) ngx_atomic_fetch_add(&shared->unrecorded, 1);
    }
}


/* What is told stays counted until it is on disk; a worker that dies before it
 * hears so is told of by the next, rather twice than not at all. */

void
ngx_http_audit_tell_lost(ngx_http_audit_main_conf_t *amcf)
{
    u_char note[128], *p;
    int64_t first, last;
    uint8_t id[NGX_HTTP_AUDIT_ID_SIZE];
    uint64_t lost, ends;
    ngx_uint_t tell;
    ngx_http_audit_record_t record;
    ngx_http_audit_shared_t *shared;
    ngx_http_sekisho_subject_t subject;

    shared = amcf->zone->shared;

    if ((shared->lost == 0 && shared->lost_ends == 0) ||
        !ngx_http_sekisho_room(amcf->connection, 1))
    {
        return;
    }

    ngx_shmtx_lock(&amcf->zone->shpool->mutex);

    lost = shared->lost;
    ends = shared->lost_ends;
    first = shared->lost_first;
    last = shared->lost_last;

    tell = (lost || ends) && (shared->lost_teller == 0 ||
                              ngx_http_audit_is_gone(shared->lost_teller));

    if (tell) {
        shared->lost_teller = ngx_pid;
        shared->lost_told = lost;
        shared->lost_ends_told = ends;
    }

    ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

    if (!tell) {
        return;
    }

    ngx_http_sekisho_random_id(amcf->connection, id);
    ngx_http_audit_record_init(&record, EVENT_LOST, id, ngx_http_audit_now(),
                               8);
    record.record.values[RECORD_SERVICE] = SLICE("web");
    ngx_http_audit_record_text(&record, RECORD_REASON,
                               policy_reason_name(POLICY_AUDIT_UNAVAILABLE));
    ngx_http_audit_record_number(&record, RECORD_LOST, lost);
    ngx_http_audit_record_span(&record, first, last);

    if (ends) {
        p = ngx_sprintf(note, "and the outcome of %uL recorded requests", ends);
        record.record.values[RECORD_NOTE] = (slice_t){(char *) note,
                                                      (size_t) (p - note)};
    }

    subject.tag = NGX_HTTP_AUDIT_TAG_LOST;
    subject.key[0] = lost;
    subject.key[1] = ends;

    if (ngx_http_sekisho_send(amcf->connection, &record.record, &subject,
                              NULL) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                      "audit: the loss of %uL records could not be recorded, "
                      "and is tried again",
                      lost);

        ngx_shmtx_lock(&amcf->zone->shpool->mutex);
        shared->lost_teller = 0;
        ngx_shmtx_unlock(&amcf->zone->shpool->mutex);
    }
}


void
ngx_http_audit_lost_told(ngx_http_audit_shared_t *shared, uint64_t lost,
                         uint64_t ends, ngx_http_sekisho_result_e result)
{
    if (shared->lost_teller != ngx_pid || shared->lost_told != lost ||
        shared->lost_ends_told != ends)
    {
        return;
    }

    shared->lost_teller = 0;

    if (result != NGX_HTTP_SEKISHO_RECORDED) {
        return;
    }

    shared->lost -= lost;
    shared->lost_ends -= ends;
    /* those that came meanwhile, as exactly as that is known */
    shared->lost_first = shared->lost_last;
}
