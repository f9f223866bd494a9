/*
 * Policy images: read by the master when it reads the configuration, watched
 * by every worker, replaced while requests are in flight.
 */

#include "ngx_http_facility.h"

#include <fcntl.h>

/* A new image is live within a second: look this often, in ms. */
#define NGX_HTTP_FACILITY_WATCH 500
/* Between two slices of a new image: let requests through. */
#define NGX_HTTP_FACILITY_SLICE 1

static ngx_http_facility_image_t *
ngx_http_facility_image_create(policy_image_t *policy, ngx_log_t *log);
static void ngx_http_facility_policy_cleanup(void *data);
static ngx_int_t
ngx_http_facility_identify(const ngx_str_t *path,
                           ngx_http_facility_identity_t *identity);
static ngx_uint_t ngx_http_facility_same(const ngx_http_facility_identity_t *a,
                                         const ngx_http_facility_identity_t *b);
static void ngx_http_facility_policy_event(ngx_event_t *ev);
static ngx_msec_t
ngx_http_facility_policy_look(ngx_http_facility_policy_t *policy);
static ngx_msec_t
ngx_http_facility_policy_load(ngx_http_facility_policy_t *policy);
static void ngx_http_facility_policy_swap(ngx_http_facility_policy_t *policy,
                                          policy_image_t *image);
static void
ngx_http_facility_policy_complain(ngx_http_facility_policy_t *policy,
                                  policy_image_result_t result, ngx_err_t err);
static void
ngx_http_facility_policy_permission(ngx_http_facility_policy_t *policy,
                                    ngx_err_t err, char *text, size_t size);


ngx_http_facility_policy_t *
ngx_http_facility_policy_add(ngx_conf_t *cf, ngx_str_t *path)
{
    ngx_err_t err;
    ngx_uint_t i;
    policy_image_t *image;
    ngx_pool_cleanup_t *cln;
    policy_image_result_t result;
    ngx_http_facility_policy_t *policy, **added;
    ngx_http_facility_main_conf_t *fmcf;

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NULL;
    }

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_facility_module);

    added = fmcf->policies.elts;

    for (i = 0; i < fmcf->policies.nelts; i++) {
        if (added[i]->path.len == path->len &&
            ngx_strncmp(added[i]->path.data, path->data, path->len) == 0)
        {
            return added[i];
        }
    }

    cln = ngx_pool_cleanup_add(cf->pool, sizeof(ngx_http_facility_policy_t));
    if (cln == NULL) {
        return NULL;
    }

    policy = cln->data;
    ngx_memzero(policy, sizeof(ngx_http_facility_policy_t));
    policy->path = *path;

    cln->handler = ngx_http_facility_policy_cleanup;

    added = ngx_array_push(&fmcf->policies);
    if (added == NULL) {
        return NULL;
    }

    *added = policy;

    /* `nginx -s stop` must work without an image, too */

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return policy;
    }

    /* the identity first: what is applied from now on is seen by the watch */

    (void) ngx_http_facility_identify(path, &policy->identity);
    policy->settled = 1;

    image = NULL;
    ngx_set_errno(0);
    result = policy_image_open_file((const char *) path->data, &image);
    err = result == POLICY_IMAGE_SYSTEM ? ngx_errno : 0;

    if (result != POLICY_IMAGE_OK || image == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                           "facility policy \"%V\" cannot be used: %s; "
                           "make it with: sekisho policy apply "
                           "facilities.conf --image %V",
                           path,
                           result == POLICY_IMAGE_SYSTEM
                               ? "it cannot be read"
                               : policy_image_strerror(result),
                           path);
        return NULL;
    }

    policy->image = ngx_http_facility_image_create(image, cf->log);

    return policy->image ? policy : NULL;
}


static ngx_http_facility_image_t *
ngx_http_facility_image_create(policy_image_t *policy, ngx_log_t *log)
{
    ngx_http_facility_image_t *image;

    image = ngx_alloc(sizeof(ngx_http_facility_image_t), log);
    if (image == NULL) {
        policy_image_free(policy);
        return NULL;
    }

    image->policy = policy;
    image->references = 1;

    return image;
}


ngx_http_facility_image_t *
ngx_http_facility_image_hold(ngx_http_facility_image_t *image)
{
    if (image) {
        image->references++;
    }

    return image;
}


void
ngx_http_facility_image_release(ngx_http_facility_image_t *image)
{
    if (image && --image->references == 0) {
        policy_image_free(image->policy);
        ngx_free(image);
    }
}


static void
ngx_http_facility_policy_cleanup(void *data)
{
    ngx_http_facility_policy_t *policy = data;

    if (policy->event.timer_set) {
        ngx_del_timer(&policy->event);
    }

    policy_loader_free(policy->loader);
    policy->loader = NULL;

    ngx_http_facility_image_release(policy->image);
    policy->image = NULL;
}


static ngx_int_t
ngx_http_facility_identify(const ngx_str_t *path,
                           ngx_http_facility_identity_t *identity)
{
    ngx_file_info_t fi;

    /* may be compared: nothing between the fields may be left to chance */
    ngx_memzero(identity, sizeof(ngx_http_facility_identity_t));

    if (ngx_file_info(path->data, &fi) == NGX_FILE_ERROR) {
        return NGX_ERROR;
    }

    identity->dev = fi.st_dev;
    identity->ino = fi.st_ino;
    identity->size = fi.st_size;
    identity->mtime = fi.st_mtim;
    identity->ctime = fi.st_ctim;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_facility_same(const ngx_http_facility_identity_t *a,
                       const ngx_http_facility_identity_t *b)
{
    return a->ino == b->ino && a->dev == b->dev && a->size == b->size &&
           a->mtime.tv_sec == b->mtime.tv_sec &&
           a->mtime.tv_nsec == b->mtime.tv_nsec &&
           a->ctime.tv_sec == b->ctime.tv_sec &&
           a->ctime.tv_nsec == b->ctime.tv_nsec;
}


void
ngx_http_facility_policy_watch(ngx_http_facility_policy_t *policy)
{
    char text[512];
    ngx_event_t *ev;

    ev = &policy->event;

    /* an image that this process will never be able to refresh: better told
     * now than found out on the day when a facility is closed */

    if (faccessat(AT_FDCWD, (const char *) policy->path.data, R_OK,
                  AT_EACCESS) == -1)
    {
        ngx_http_facility_policy_permission(policy, ngx_errno, text,
                                            sizeof(text));
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "facility policy \"%V\": %s; changes will not be seen, "
                      "keeping version %s",
                      &policy->path, text,
                      policy_image_version(policy->image->policy));
    }

    ngx_memzero(ev, sizeof(ngx_event_t));

    ev->handler = ngx_http_facility_policy_event;
    ev->data = policy;
    ev->log = ngx_cycle->log;

    /* a worker that is to exit does not wait for it */
    ev->cancelable = 1;

    ngx_add_timer(ev, NGX_HTTP_FACILITY_WATCH);
}


static void
ngx_http_facility_policy_event(ngx_event_t *ev)
{
    ngx_msec_t next;
    ngx_http_facility_policy_t *policy;

    policy = ev->data;

    if (policy->loader) {
        next = ngx_http_facility_policy_load(policy);

    } else {
        next = ngx_http_facility_policy_look(policy);
    }

    ngx_add_timer(ev, next);
}


static ngx_msec_t
ngx_http_facility_policy_look(ngx_http_facility_policy_t *policy)
{
    ngx_err_t err;
    policy_image_result_t result;
    ngx_http_facility_identity_t identity;

    if (ngx_http_facility_identify(&policy->path, &identity) != NGX_OK) {
        ngx_http_facility_policy_complain(policy, POLICY_IMAGE_SYSTEM,
                                          ngx_errno);
        policy->settled = 0;
        return NGX_HTTP_FACILITY_WATCH;
    }

    if (policy->settled && ngx_http_facility_same(&identity, &policy->identity))
    {
        return NGX_HTTP_FACILITY_WATCH;
    }

    if (!ngx_http_facility_same(&identity, &policy->identity)) {
        /* another file: what was said of the last one is over */
        policy->complaint = POLICY_IMAGE_INVALID;
        policy->complaint_error = 0;
    }

    policy->identity = identity;
    policy->settled = 1;

    ngx_set_errno(0);
    result = policy_loader_start((const char *) policy->path.data,
                                 &policy->loader);
    err = result == POLICY_IMAGE_SYSTEM ? ngx_errno : 0;

    if ((result == POLICY_IMAGE_OK || result == POLICY_IMAGE_AGAIN) &&
        policy->loader)
    {
        return NGX_HTTP_FACILITY_SLICE;
    }

    policy_loader_free(policy->loader);
    policy->loader = NULL;

    ngx_http_facility_policy_complain(policy, result, err);

    return NGX_HTTP_FACILITY_WATCH;
}


static ngx_msec_t
ngx_http_facility_policy_load(ngx_http_facility_policy_t *policy)
{
    ngx_err_t err;
    policy_image_t *image;
    policy_image_result_t result;

    image = NULL;
    ngx_set_errno(0);
    result = policy_loader_step(policy->loader, &image);
    err = result == POLICY_IMAGE_SYSTEM ? ngx_errno : 0;

    if (result == POLICY_IMAGE_AGAIN) {
        return NGX_HTTP_FACILITY_SLICE;
    }

    policy_loader_free(policy->loader);
    policy->loader = NULL;

    if (result == POLICY_IMAGE_OK && image) {
        ngx_http_facility_policy_swap(policy, image);

    } else {
        ngx_http_facility_policy_complain(policy, result, err);
    }

    return NGX_HTTP_FACILITY_WATCH;
}


static void
ngx_http_facility_policy_swap(ngx_http_facility_policy_t *policy,
                              policy_image_t *image)
{
    char before[POLICY_VERSION_TEXT_MAX];
    ngx_http_facility_image_t *fresh;

    policy->complaint = POLICY_IMAGE_INVALID;
    policy->complaint_error = 0;

    ngx_cpystrn((u_char *) before,
                (u_char *) policy_image_version(policy->image->policy),
                sizeof(before));

    if (ngx_strcmp(before, policy_image_version(image)) == 0) {
        /* touched, or applied again: the same bytes */
        policy_image_free(image);
        return;
    }

    fresh = ngx_http_facility_image_create(image, policy->event.log);
    if (fresh == NULL) {
        policy->settled = 0;
        return;
    }

    ngx_http_facility_image_release(policy->image);
    policy->image = fresh;

    ngx_log_error(NGX_LOG_NOTICE, policy->event.log, 0,
                  "facility policy \"%V\": version %s is replaced by %s",
                  &policy->path, before, policy_image_version(fresh->policy));
}


/* What keeps being wrong is told once; what may heal by itself is tried again
 * at the next look. */

static void
ngx_http_facility_policy_complain(ngx_http_facility_policy_t *policy,
                                  policy_image_result_t result, ngx_err_t err)
{
    char text[512];
    ngx_err_t shown;

    if (result == POLICY_IMAGE_SYSTEM || result == POLICY_IMAGE_CHANGED) {
        policy->settled = 0;
    }

    if (policy->complaint == (ngx_uint_t) result &&
        policy->complaint_error == err) {
        return;
    }

    policy->complaint = (ngx_uint_t) result;
    policy->complaint_error = err;

    /* half-written is no news yet: somebody is at it */
    if (result == POLICY_IMAGE_CHANGED) {
        return;
    }

    shown = 0;

    if (result != POLICY_IMAGE_SYSTEM) {
        ngx_cpystrn((u_char *) text, (u_char *) policy_image_strerror(result),
                    sizeof(text));

    } else if (err == NGX_EACCES) {
        ngx_http_facility_policy_permission(policy, err, text, sizeof(text));

    } else {
        ngx_cpystrn((u_char *) text, (u_char *) "it cannot be read",
                    sizeof(text));
        shown = err;
    }

    ngx_log_error(NGX_LOG_ERR, policy->event.log, shown,
                  "facility policy \"%V\" is refused: %s; keeping version %s",
                  &policy->path, text,
                  policy_image_version(policy->image->policy));
}


/* Which permission is missing, and where. */

static void
ngx_http_facility_policy_permission(ngx_http_facility_policy_t *policy,
                                    ngx_err_t err, char *text, size_t size)
{
    char path[NGX_MAX_PATH];
    size_t i;
    u_char *last;

    last = (u_char *) text + size - 1;

    if (err != NGX_EACCES || policy->path.len >= sizeof(path)) {
        last = ngx_slprintf((u_char *) text, last, "it cannot be read (%d)",
                            err);
        *last = '\0';
        return;
    }

    ngx_memcpy(path, policy->path.data, policy->path.len);
    path[policy->path.len] = '\0';

    for (i = 1; i < policy->path.len; i++) {
        if (path[i] != '/') {
            continue;
        }

        path[i] = '\0';

        if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == -1) {
            last = ngx_slprintf((u_char *) text, last,
                                "user id %d of the worker lacks the search "
                                "permission (x) on the folder \"%s\"",
                                (int) geteuid(), path);
            *last = '\0';
            return;
        }

        path[i] = '/';
    }

    last = ngx_slprintf((u_char *) text, last,
                        "user id %d of the worker lacks the read permission "
                        "(r) on the file",
                        (int) geteuid());
    *last = '\0';
}
