/*
 * What answers told about studies and patients: remembered in the zone, so
 * that each is told once, and sent to the trail.
 *
 * Two tables, both of a fixed size, in which the new replaces the old: hashes
 * of what the trail was told already, and Orthanc's ids of series and
 * instances with what they belong to, so that a request which names only these
 * is still known by its study.
 */

#include "ngx_http_audit.h"

#define NGX_HTTP_AUDIT_LEARN_WAY 4 /* places where one may lie */

/* Records that wait for the daemon; beyond that they are lost, not queued. */
#define NGX_HTTP_AUDIT_LEARN_PENDING 2048

#define NGX_HTTP_AUDIT_LEARN_PARTS 6

static ngx_uint_t ngx_http_audit_learn_power(size_t size, size_t of);
static uint64_t ngx_http_audit_learn_hash(ngx_http_audit_shared_t *shared,
                                          u_char kind, const slice_t *parts,
                                          ngx_uint_t n);
static ngx_uint_t ngx_http_audit_learn_knows(ngx_http_audit_shared_t *shared,
                                             uint64_t hash);
static void ngx_http_audit_learn_note(ngx_http_audit_main_conf_t *amcf,
                                      uint64_t hash);
static ngx_int_t ngx_http_audit_learn_send(ngx_http_audit_main_conf_t *amcf,
                                           ngx_http_audit_record_t *record);
static void ngx_http_audit_learn_begin(ngx_http_audit_main_conf_t *amcf,
                                       ngx_http_request_t *r,
                                       ngx_http_audit_record_t *record);
static ngx_int_t ngx_http_audit_learn_name(ngx_http_request_t *r,
                                           ngx_http_audit_main_conf_t *amcf,
                                           const dicom_learned_t *learned,
                                           slice_t name);
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
    shared->told_mask = ngx_http_audit_learn_power(size / 64,
                                                   sizeof(uint64_t)) -
                        1;
    shared->links_mask = ngx_http_audit_learn_power(
                             size / 32, sizeof(ngx_http_audit_link_t)) -
                         1;

    shared->told = ngx_slab_calloc(shpool,
                                   (shared->told_mask + 1) * sizeof(uint64_t));
    shared->links = ngx_slab_calloc(shpool, (shared->links_mask + 1) *
                                                sizeof(ngx_http_audit_link_t));

    return shared->told && shared->links ? NGX_OK : NGX_ERROR;
}


/* The greatest power of two of them that has room. */

static ngx_uint_t
ngx_http_audit_learn_power(size_t size, size_t of)
{
    ngx_uint_t n;

    for (n = NGX_HTTP_AUDIT_LEARN_WAY; 2 * n * of <= size; n *= 2) {
        /* void */
    }

    return n;
}


/* ---- What the trail was told ---- */

static uint64_t
ngx_http_audit_learn_hash(ngx_http_audit_shared_t *shared, u_char kind,
                          const slice_t *parts, ngx_uint_t n)
{
    u_char text[2048], *p;
    siphash_t hash;
    ngx_uint_t i;

    p = text;
    *p++ = kind;

    for (i = 0; i < n; i++) {
        if (parts[i].size > 320) {
            /* no length is that long */
            *p++ = 0xff;
            *p++ = 0xff;
            hash = siphash(shared->secret, parts[i].data, parts[i].size);
            p = ngx_cpymem(p, &hash, sizeof(hash));
            continue;
        }

        *p++ = (u_char) (parts[i].size >> 8);
        *p++ = (u_char) parts[i].size;

        if (parts[i].size) {
            p = ngx_cpymem(p, parts[i].data, parts[i].size);
        }
    }

    return siphash(shared->secret, text, (size_t) (p - text)).low | 1;
}


/* Without the lock: a place is written in one go, and one that is missed is
 * told twice at worst. */

static ngx_uint_t
ngx_http_audit_learn_knows(ngx_http_audit_shared_t *shared, uint64_t hash)
{
    ngx_uint_t i, first;

    first = (hash >> 8) & shared->told_mask &
            ~(ngx_uint_t) (NGX_HTTP_AUDIT_LEARN_WAY - 1);

    for (i = first; i < first + NGX_HTTP_AUDIT_LEARN_WAY; i++) {
        if (__atomic_load_n(&shared->told[i], __ATOMIC_RELAXED) == hash) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_audit_learn_note(ngx_http_audit_main_conf_t *amcf, uint64_t hash)
{
    ngx_uint_t i, first;
    ngx_http_audit_shared_t *shared;

    shared = amcf->zone->shared;
    first = (hash >> 8) & shared->told_mask &
            ~(ngx_uint_t) (NGX_HTTP_AUDIT_LEARN_WAY - 1);

    ngx_shmtx_lock(&amcf->zone->shpool->mutex);

    for (i = first; i < first + NGX_HTTP_AUDIT_LEARN_WAY; i++) {
        if (shared->told[i] == 0 || shared->told[i] == hash) {
            break;
        }
    }

    if (i == first + NGX_HTTP_AUDIT_LEARN_WAY) {
        i = first + shared->learn_turn++ % NGX_HTTP_AUDIT_LEARN_WAY;
    }

    __atomic_store_n(&shared->told[i], hash, __ATOMIC_RELAXED);

    ngx_shmtx_unlock(&amcf->zone->shpool->mutex);
}


/* Nobody waits for these, and they must not take the room of those that
 * somebody waits for. */

static ngx_int_t
ngx_http_audit_learn_send(ngx_http_audit_main_conf_t *amcf,
                          ngx_http_audit_record_t *record)
{
    if (ngx_http_sekisho_is_hopeful(amcf->connection) &&
        ngx_http_sekisho_pending(amcf->connection) <
            NGX_HTTP_AUDIT_LEARN_PENDING &&
        ngx_http_sekisho_send(amcf->connection, &record->record, NULL, NULL) ==
            NGX_OK)
    {
        (void) ngx_atomic_fetch_add(&amcf->zone->shared->learned, 1);
        return NGX_OK;
    }

    (void) ngx_atomic_fetch_add(&amcf->zone->shared->learned_lost, 1);

    return NGX_ERROR;
}


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


/* ---- Facts ---- */

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


/* One name of what belongs to a patient; NGX_OK if the trail has it. */

static ngx_int_t
ngx_http_audit_learn_name(ngx_http_request_t *r,
                          ngx_http_audit_main_conf_t *amcf,
                          const dicom_learned_t *learned, slice_t name)
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

    if (ngx_http_audit_learn_send(amcf, &record) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_audit_learn_note(amcf, hash);

    return NGX_OK;
}


/*
 * The study's UID comes last: when the trail has that, it has Orthanc's names
 * too, and they need not be made again.
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

    if (ngx_http_audit_learn_name(r, amcf, learned, name) != NGX_OK) {
        return;
    }

    name = learned->orthanc_study;

    if (name.size == 0 && learned->study.size) {
        if (orthanc_id_study(learned->patient, learned->study, id) != 0) {
            return;
        }

        name = (slice_t){id, sizeof(id)};
    }

    if (name.size &&
        ngx_http_audit_learn_name(r, amcf, learned, name) != NGX_OK) {
        return;
    }

    if (ngx_http_audit_learn_name(r, amcf, learned, last) == NGX_OK &&
        learned->study.size)
    {
        ngx_http_audit_learn_note(
            amcf,
            ngx_http_audit_learn_study(r, amcf->zone->shared, learned->study));
    }
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

    if (ngx_http_audit_learn_send(amcf, &record) == NGX_OK) {
        ngx_http_audit_learn_note(amcf, hash);
    }
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

    (void) ngx_http_audit_learn_send(amcf, &record);
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
