/*
 * What answers told about studies and patients, and Orthanc's ids of series
 * and instances with what they belong to, so that a request which names only
 * these is still known by its study: a table in the zone, of a fixed size, in
 * which the new replaces the old.
 */

#include "ngx_http_audit.h"

#define NGX_HTTP_AUDIT_LEARN_WAY 4 /* places where one may lie */

static void ngx_http_audit_learn_begin(ngx_http_audit_main_conf_t *amcf,
                                       ngx_http_request_t *r,
                                       ngx_http_audit_record_t *record);
static ngx_int_t ngx_http_audit_learn_name(ngx_http_request_t *r,
                                           ngx_http_audit_main_conf_t *amcf,
                                           const dicom_learned_t *learned,
                                           slice_t name, uint64_t also);
static void ngx_http_audit_learn_patient(ngx_http_request_t *r,
                                         ngx_http_audit_main_conf_t *amcf,
                                         const dicom_learned_t *learned);
static uint64_t ngx_http_audit_learn_study(ngx_http_request_t *r,
                                           ngx_http_audit_shared_t *shared,
                                           slice_t study);
static void ngx_http_audit_learn_parent(ngx_http_request_t *r,
                                        ngx_http_audit_main_conf_t *amcf,
                                        slice_t child, slice_t parent,
                                        ngx_uint_t of_instance);
static void ngx_http_audit_learn_stored(ngx_http_request_t *r,
                                        ngx_http_audit_ctx_t *ctx,
                                        slice_t study);
static ngx_http_audit_link_t *
ngx_http_audit_link(ngx_http_audit_shared_t *shared, const uint8_t *child,
                    ngx_uint_t make);


/* ---- The zone ---- */

ngx_int_t
ngx_http_audit_learn_init(ngx_slab_pool_t *shpool,
                          ngx_http_audit_shared_t *shared, size_t size)
{
    shared->links_mask = ngx_http_audit_learn_power(
                             size / 32, sizeof(ngx_http_audit_link_t)) -
                         1;

    shared->links = ngx_slab_calloc(shpool, (shared->links_mask + 1) *
                                                sizeof(ngx_http_audit_link_t));

    return shared->links ? ngx_http_audit_learn_tell_init(shpool, shared, size)
                         : NGX_ERROR;
}


/* ---- Facts ---- */

static void
ngx_http_audit_learn_begin(ngx_http_audit_main_conf_t *amcf,
                           ngx_http_request_t *r,
                           ngx_http_audit_record_t *record)
{
    uint8_t id[NGX_HTTP_AUDIT_ID_SIZE];
    slice_t *values;
    ngx_http_core_srv_conf_t *cscf;

    ngx_http_sekisho_random_id(amcf->connection, id);
    ngx_http_audit_record_init(record, EVENT_PATIENT_LEARNED, id,
                               ngx_http_audit_now(), 0);

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);
    values = record->record.values;
    values[RECORD_SERVICE] = SLICE("web");
    values[RECORD_SERVER] = ngx_http_sekisho_slice(&cscf->server_name);
}


void
ngx_http_audit_learned(void *context, const dicom_learned_t *learned)
{
    char study[ORTHANC_ID_SIZE];
    ngx_http_audit_what_t *what;
    ngx_http_request_t *r = context;
    ngx_http_audit_ctx_t *ctx;
    ngx_http_audit_main_conf_t *amcf;

    ctx = ngx_http_audit_get_ctx(r);

    if (ctx == NULL) {
        return;
    }

    amcf = ctx->main_conf;
    what = &ctx->what;

    switch (learned->kind) {
    case DICOM_LEARNED_PATIENT:
        ngx_http_audit_learn_patient(r, amcf, learned);

        /* the answer about a series or an instance: theirs is that study */

        if (what->study.size == 0 && learned->study.size &&
            (what->instance.size || what->series.size) &&
            orthanc_id_study(learned->patient, learned->study, study) == 0)
        {
            ngx_http_audit_learn_parent(
                r, amcf, what->instance.size ? what->instance : what->series,
                (slice_t){study, sizeof(study)}, 0);
        }

        break;

    case DICOM_LEARNED_PARENT:
        ngx_http_audit_learn_parent(r, amcf, learned->child, learned->parent,
                                    learned->of_instance);
        break;

    default:
        ngx_http_audit_learn_stored(
            r, ctx,
            learned->study.size ? learned->study : learned->orthanc_study);
    }
}


/* One name of what belongs to a patient, and `also` is known with it; NGX_OK if
 * the trail has it or will. */

static ngx_int_t
ngx_http_audit_learn_name(ngx_http_request_t *r,
                          ngx_http_audit_main_conf_t *amcf,
                          const dicom_learned_t *learned, slice_t name,
                          uint64_t also)
{
    uint64_t hash;
    slice_t *values;
    ngx_http_audit_record_t record;

    const slice_t parts[] = {name, learned->patient, learned->issuer,
                             learned->name};

    hash = ngx_http_audit_learn_hash(amcf->zone->shared, 'p', parts, 4);

    if (ngx_http_audit_learn_knows(amcf->zone->shared, hash)) {
        return NGX_OK;
    }

    ngx_http_audit_learn_begin(amcf, r, &record);

    values = record.record.values;
    values[RECORD_STUDY] = name;
    values[RECORD_PATIENT] = learned->patient;
    values[RECORD_ISSUER] = learned->issuer;
    values[RECORD_NAME] = learned->name;

    return ngx_http_audit_learn_tell(amcf, &record.record, hash, also);
}


/*
 * The study's UID comes last: when the trail has that, it has Orthanc's names
 * too, or they lie beside it until it does, and they need not be made again.
 */

static void
ngx_http_audit_learn_patient(ngx_http_request_t *r,
                             ngx_http_audit_main_conf_t *amcf,
                             const dicom_learned_t *learned)
{
    char id[ORTHANC_ID_SIZE];
    slice_t last, name;
    uint64_t hash;

    last = learned->study.size           ? learned->study
           : learned->orthanc_study.size ? learned->orthanc_study
                                         : learned->orthanc_patient;

    const slice_t parts[] = {last, learned->patient, learned->issuer,
                             learned->name};

    hash = ngx_http_audit_learn_hash(amcf->zone->shared, 'p', parts, 4);

    if (ngx_http_audit_learn_knows(amcf->zone->shared, hash)) {
        return;
    }

    name = learned->orthanc_patient;

    if (name.size == 0) {
        if (orthanc_id_patient(learned->patient, id) != 0) {
            return;
        }

        name = (slice_t){id, sizeof(id)};
    }

    if (!slice_equal(name, last) &&
        ngx_http_audit_learn_name(r, amcf, learned, name, 0) != NGX_OK)
    {
        return;
    }

    name = learned->orthanc_study;

    if (name.size == 0 && learned->study.size) {
        if (orthanc_id_study(learned->patient, learned->study, id) != 0) {
            return;
        }

        name = (slice_t){id, sizeof(id)};
    }

    if (name.size && !slice_equal(name, last) &&
        ngx_http_audit_learn_name(r, amcf, learned, name, 0) != NGX_OK)
    {
        return;
    }

    (void) ngx_http_audit_learn_name(
        r, amcf, learned, last,
        learned->study.size
            ? ngx_http_audit_learn_study(r, amcf->zone->shared, learned->study)
            : 0);
}


/* That a study is known, to a location that keeps names or to one that does
 * not. */

static uint64_t
ngx_http_audit_learn_study(ngx_http_request_t *r,
                           ngx_http_audit_shared_t *shared, slice_t study)
{
    ngx_http_audit_loc_conf_t *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_audit_module);

    return ngx_http_audit_learn_hash(shared, alcf->learn_names ? 'n' : 'k',
                                     &study, 1);
}


ngx_uint_t
ngx_http_audit_learn_is_known(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx)
{
    slice_t study;
    ngx_http_audit_shared_t *shared;

    study = ctx->what.study;
    shared = ctx->main_conf->zone->shared;

    return study.size && study.size < r->uri.len &&
           memmem(r->uri.data, r->uri.len, study.data, study.size) &&
           ngx_http_audit_learn_knows(
               shared, ngx_http_audit_learn_study(r, shared, study));
}


/* What is stored, by whom: the request itself does not name it. */

static void
ngx_http_audit_learn_stored(ngx_http_request_t *r, ngx_http_audit_ctx_t *ctx,
                            slice_t study)
{
    uint64_t hash;
    slice_t *values;
    ngx_http_audit_record_t record;
    ngx_http_audit_main_conf_t *amcf;

    amcf = ctx->main_conf;

    const slice_t parts[] = {
        study,
        ctx->what.user,
        ctx->what.facility,
        {(const char *) &ctx->what.address, sizeof(address_t)}};

    hash = ngx_http_audit_learn_hash(amcf->zone->shared, 's', parts, 4);

    if (ngx_http_audit_learn_knows(amcf->zone->shared, hash)) {
        return;
    }

    ngx_http_audit_learn_begin(amcf, r, &record);

    values = record.record.values;
    values[RECORD_STUDY] = study;
    values[RECORD_USER] = ctx->what.user;
    values[RECORD_FACILITY] = ctx->what.facility;
    values[RECORD_ACTION] = slice_of(action_name(ACTION_STORE));
    ngx_http_audit_record_address(&record, &ctx->what.address);

    (void) ngx_http_audit_learn_tell(amcf, &record.record, hash, 0);
}


/* ---- Series and instances ---- */

/* Under the lock.  NULL only if it is not to be made. */

static ngx_http_audit_link_t *
ngx_http_audit_link(ngx_http_audit_shared_t *shared, const uint8_t *child,
                    ngx_uint_t make)
{
    uint64_t hash;
    ngx_uint_t i;
    ngx_http_audit_link_t *link, *free;

    /* clients choose what they ask for: SHA-1 alone would let them choose the
     * place as well */
    hash = siphash(shared->secret, child, ORTHANC_ID_BYTES).low;
    link = &shared->links[hash & shared->links_mask &
                          ~(uint64_t) (NGX_HTTP_AUDIT_LEARN_WAY - 1)];
    free = NULL;

    for (i = 0; i < NGX_HTTP_AUDIT_LEARN_WAY; i++) {
        if (link[i].state == NGX_HTTP_AUDIT_LINK_FREE) {
            if (free == NULL) {
                free = &link[i];
            }

        } else if (ngx_memcmp(link[i].child, child, ORTHANC_ID_BYTES) == 0) {
            return &link[i];
        }
    }

    if (!make) {
        return NULL;
    }

    if (free == NULL) {
        free = &link[shared->learn_turn++ % NGX_HTTP_AUDIT_LEARN_WAY];
    }

    ngx_memzero(free, sizeof(ngx_http_audit_link_t));
    ngx_memcpy(free->child, child, ORTHANC_ID_BYTES);
    free->state = NGX_HTTP_AUDIT_LINK_WANTED;

    return free;
}


static void
ngx_http_audit_learn_parent(ngx_http_request_t *r,
                            ngx_http_audit_main_conf_t *amcf, slice_t child,
                            slice_t parent, ngx_uint_t of_instance)
{
    char study[ORTHANC_ID_SIZE];
    uint8_t from[ORTHANC_ID_BYTES], to[ORTHANC_ID_BYTES];
    slice_t *values;
    ngx_uint_t wanted, known;
    ngx_http_audit_link_t *link;
    ngx_http_audit_record_t record;
    ngx_http_audit_shared_t *shared;

    if (!orthanc_id_parse(child, from) || !orthanc_id_parse(parent, to)) {
        return;
    }

    shared = amcf->zone->shared;
    known = 0;

    ngx_shmtx_lock(&amcf->zone->shpool->mutex);

    link = ngx_http_audit_link(shared, from, 0);
    wanted = link && link->state == NGX_HTTP_AUDIT_LINK_WANTED;

    if (link == NULL || wanted) {
        link = ngx_http_audit_link(shared, from, 1);
        link->state = NGX_HTTP_AUDIT_LINK_KNOWN;
        link->to_series = (uint8_t) of_instance;
        ngx_memcpy(link->parent, to, ORTHANC_ID_BYTES);
    }

    if (wanted && of_instance) {
        /* the series' study is wanted now, if it is not known */
        link = ngx_http_audit_link(shared, to, 1);

        if (link->state == NGX_HTTP_AUDIT_LINK_KNOWN) {
            known = 1;
            orthanc_id_format(link->parent, study);
        }
    }

    ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

    if (!wanted) {
        return;
    }

    /* somebody opened it before it was known whose it is */

    ngx_http_audit_learn_begin(amcf, r, &record);

    values = record.record.values;

    if (of_instance) {
        values[RECORD_INSTANCE] = child;
        values[RECORD_SERIES] = parent;

        if (known) {
            values[RECORD_STUDY] = (slice_t){study, sizeof(study)};
        }

    } else {
        values[slice_equal(child, ngx_http_audit_get_ctx(r)->what.instance)
                   ? RECORD_INSTANCE
                   : RECORD_SERIES] = child;
        values[RECORD_STUDY] = parent;
    }

    const slice_t parts[] = {child, parent, values[RECORD_STUDY]};

    (void) ngx_http_audit_learn_tell(
        amcf, &record.record, ngx_http_audit_learn_hash(shared, 'l', parts, 3),
        0);
}


ngx_int_t
ngx_http_audit_learn_resolve(ngx_http_request_t *r,
                             ngx_http_audit_main_conf_t *amcf,
                             ngx_http_audit_what_t *what)
{
    char *p;
    uint8_t id[ORTHANC_ID_BYTES];
    ngx_uint_t found;
    ngx_http_audit_link_t *link;
    ngx_http_audit_shared_t *shared;

    if (!orthanc_id_parse(what->instance.size ? what->instance : what->series,
                          id)) {
        return NGX_OK;
    }

    shared = amcf->zone->shared;

    ngx_shmtx_lock(&amcf->zone->shpool->mutex);

    link = ngx_http_audit_link(shared, id, 1);

    if (link->state == NGX_HTTP_AUDIT_LINK_KNOWN && link->to_series) {
        ngx_memcpy(id, link->parent, ORTHANC_ID_BYTES);
        link = ngx_http_audit_link(shared, id, 1);
    }

    found = link->state == NGX_HTTP_AUDIT_LINK_KNOWN && !link->to_series;

    if (found) {
        ngx_memcpy(id, link->parent, ORTHANC_ID_BYTES);
    }

    ngx_shmtx_unlock(&amcf->zone->shpool->mutex);

    if (!found) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, ORTHANC_ID_SIZE);
    if (p == NULL) {
        return NGX_ERROR;
    }

    orthanc_id_format(id, p);
    what->study = (slice_t){p, ORTHANC_ID_SIZE};

    return NGX_OK;
}
