/*
 * The audit: directives, configuration, and where its handlers go.
 */

#include "ngx_http_audit.h"

static char *ngx_http_audit_trail(ngx_conf_t *cf, ngx_command_t *cmd,
                                  void *conf);
static char *ngx_http_audit_zone(ngx_conf_t *cf, ngx_command_t *cmd,
                                 void *conf);
static ngx_int_t ngx_http_audit_same_size(ngx_conf_t *cf, ngx_str_t *name,
                                          size_t size);
static char *ngx_http_audit_on(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_audit_time_bounds(ngx_conf_t *cf, void *post, void *data);
static ngx_int_t ngx_http_audit_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_audit_id_variable(ngx_http_request_t *r,
                                            ngx_http_variable_value_t *v,
                                            uintptr_t data);
static void *ngx_http_audit_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_audit_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_audit_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_audit_merge_loc_conf(ngx_conf_t *cf, void *parent,
                                           void *child);
static ngx_int_t ngx_http_audit_init(ngx_conf_t *cf);

static ngx_conf_enum_t ngx_http_audit_details[] = {
    {ngx_string("study"), NGX_HTTP_AUDIT_STUDY},
    {ngx_string("request"), NGX_HTTP_AUDIT_REQUEST},
    {ngx_null_string, 0}};

static ngx_conf_enum_t ngx_http_audit_fails[] = {
    {ngx_string("deny"), NGX_HTTP_AUDIT_DENY},
    {ngx_string("allow"), NGX_HTTP_AUDIT_ALLOW},
    {ngx_null_string, 0}};

static ngx_conf_post_t ngx_http_audit_time_post = {ngx_http_audit_time_bounds};

#define NGX_HTTP_AUDIT_ANYWHERE                                                \
    (NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF)

static ngx_command_t ngx_http_audit_commands[] = {

    {ngx_string("audit_trail"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     ngx_http_audit_trail, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},

    {ngx_string("audit_zone"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     ngx_http_audit_zone, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},

    {ngx_string("audit_idle"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     ngx_conf_set_msec_slot, NGX_HTTP_MAIN_CONF_OFFSET,
     offsetof(ngx_http_audit_main_conf_t, idle), &ngx_http_audit_time_post},

    {ngx_string("audit_age"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     ngx_conf_set_msec_slot, NGX_HTTP_MAIN_CONF_OFFSET,
     offsetof(ngx_http_audit_main_conf_t, age), &ngx_http_audit_time_post},

    {ngx_string("audit"), NGX_HTTP_AUDIT_ANYWHERE | NGX_CONF_FLAG,
     ngx_http_audit_on, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_audit_loc_conf_t, on), NULL},

    {ngx_string("audit_detail"), NGX_HTTP_AUDIT_ANYWHERE | NGX_CONF_TAKE1,
     ngx_conf_set_enum_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_audit_loc_conf_t, detail), &ngx_http_audit_details},

    {ngx_string("audit_fail"), NGX_HTTP_AUDIT_ANYWHERE | NGX_CONF_TAKE1,
     ngx_conf_set_enum_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_audit_loc_conf_t, fail), &ngx_http_audit_fails},

    {ngx_string("audit_timeout"), NGX_HTTP_AUDIT_ANYWHERE | NGX_CONF_TAKE1,
     ngx_conf_set_msec_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_audit_loc_conf_t, timeout), &ngx_http_audit_time_post},

    {ngx_string("audit_id_header"), NGX_HTTP_AUDIT_ANYWHERE | NGX_CONF_FLAG,
     ngx_conf_set_flag_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_audit_loc_conf_t, id_header), NULL},

    {ngx_string("audit_learn"), NGX_HTTP_AUDIT_ANYWHERE | NGX_CONF_FLAG,
     ngx_conf_set_flag_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_audit_loc_conf_t, learn), NULL},

    {ngx_string("audit_learn_names"), NGX_HTTP_AUDIT_ANYWHERE | NGX_CONF_FLAG,
     ngx_conf_set_flag_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_audit_loc_conf_t, learn_names), NULL},

    {ngx_string("audit_user"), NGX_HTTP_AUDIT_ANYWHERE | NGX_CONF_TAKE1,
     ngx_http_set_complex_value_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_audit_loc_conf_t, user), NULL},

    {ngx_string("audit_patient"), NGX_HTTP_AUDIT_ANYWHERE | NGX_CONF_TAKE1,
     ngx_http_set_complex_value_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_audit_loc_conf_t, patient), NULL},

    {ngx_string("audit_study"), NGX_HTTP_AUDIT_ANYWHERE | NGX_CONF_TAKE1,
     ngx_http_set_complex_value_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_audit_loc_conf_t, study), NULL},

    {ngx_string("audit_purpose"), NGX_HTTP_AUDIT_ANYWHERE | NGX_CONF_TAKE1,
     ngx_http_set_complex_value_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_audit_loc_conf_t, purpose), NULL},

    {ngx_string("sekisho_status"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
     ngx_http_audit_status, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},

    ngx_null_command};

static ngx_http_module_t ngx_http_audit_module_ctx = {
    ngx_http_audit_add_variables, /* preconfiguration */
    ngx_http_audit_init,          /* postconfiguration */

    ngx_http_audit_create_main_conf, /* create main configuration */
    ngx_http_audit_init_main_conf,   /* init main configuration */

    NULL, /* create server configuration */
    NULL, /* merge server configuration */

    ngx_http_audit_create_loc_conf, /* create location configuration */
    ngx_http_audit_merge_loc_conf   /* merge location configuration */
};

ngx_module_t ngx_http_audit_module = {
    NGX_MODULE_V1,
    &ngx_http_audit_module_ctx,  /* module context */
    ngx_http_audit_commands,     /* module directives */
    NGX_HTTP_MODULE,             /* module type */
    NULL,                        /* init master */
    ngx_http_audit_init_module,  /* init module */
    ngx_http_audit_init_process, /* init process */
    NULL,                        /* init thread */
    NULL,                        /* exit thread */
    ngx_http_audit_exit_process, /* exit process */
    NULL,                        /* exit master */
    NGX_MODULE_V1_PADDING};

static ngx_str_t ngx_http_audit_id_name = ngx_string("audit_id");


int64_t
ngx_http_audit_now(void)
{
    ngx_time_t *tp;

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + (int64_t) tp->msec;
}


/* ---- Directives ---- */

static char *
ngx_http_audit_trail(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_audit_main_conf_t *amcf = conf;

    ngx_str_t *value, path;

    if (amcf->trail.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        amcf->trail = value[1];
        return NGX_CONF_OK;
    }

    if (value[1].len <= 5 || ngx_strncmp(value[1].data, "unix:", 5) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive, it must "
                           "be \"unix:\" and the path of sekishod's socket, or "
                           "\"off\"",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    path.data = value[1].data + 5;
    path.len = value[1].len - 5;

    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (path.len >= sizeof(amcf->address.sun_path)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the path \"%V\" in \"%V\" directive is too long "
                           "for a socket",
                           &path, &cmd->name);
        return NGX_CONF_ERROR;
    }

    amcf->address.sun_family = AF_UNIX;
    ngx_memcpy(amcf->address.sun_path, path.data, path.len + 1);
    amcf->trail = path;

    return NGX_CONF_OK;
}


static char *
ngx_http_audit_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_audit_main_conf_t *amcf = conf;

    u_char *p;
    ssize_t size;
    ngx_str_t *value, name, s;

    if (amcf->shm_zone) {
        return "is duplicate";
    }

    value = cf->args->elts;
    name = value[1];

    p = ngx_strlchr(name.data, name.data + name.len, ':');

    if (p == NULL || p == name.data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone \"%V\", it must be a name, a colon "
                           "and a size: \"sekisho:8m\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    s.data = p + 1;
    s.len = (size_t) (name.data + name.len - s.data);
    name.len = (size_t) (p - name.data);

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (size < NGX_HTTP_AUDIT_ZONE_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small, it must have at least "
                           "512k",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_audit_same_size(cf, &name, (size_t) size) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    amcf->shm_zone = ngx_shared_memory_add(cf, &name, (size_t) size,
                                           &ngx_http_audit_module);
    if (amcf->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    amcf->zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_audit_zone_t));
    if (amcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    amcf->shm_zone->init = ngx_http_audit_init_zone;
    amcf->shm_zone->data = amcf->zone;

    return NGX_CONF_OK;
}


/*
 * A zone of another size would be a new, empty one, while the old workers
 * count on in theirs: what is open would be opened twice, and closed by
 * nobody.
 */

static ngx_int_t
ngx_http_audit_same_size(ngx_conf_t *cf, ngx_str_t *name, size_t size)
{
    ngx_uint_t i;
    ngx_shm_zone_t *zone;
    ngx_list_part_t *part;

    part = &cf->cycle->old_cycle->shared_memory.part;

    for (/* void */; part; part = part->next) {
        zone = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (zone[i].init == ngx_http_audit_init_zone &&
                zone[i].shm.name.len == name->len &&
                ngx_strncmp(zone[i].shm.name.data, name->data, name->len) ==
                    0 &&
                zone[i].shm.size != size)
            {
                ngx_conf_log_error(
                    NGX_LOG_EMERG, cf, 0,
                    "the size of the audit zone \"%V\" cannot be changed by a "
                    "reload, from %uz to %uz bytes: restart nginx, or give the "
                    "zone another name",
                    name, zone[i].shm.size, size);
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static char *
ngx_http_audit_on(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_audit_loc_conf_t *alcf = conf;

    /* for what is missing at the end of the configuration, which has no line */
    alcf->file = cf->conf_file->file.name.data;
    alcf->line = cf->conf_file->line;

    return ngx_conf_set_flag_slot(cf, cmd, conf);
}


static char *
ngx_http_audit_time_bounds(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t *time = data;

    if (*time < 10 || *time > 24 * 3600 * 1000) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "value must be between 10 milliseconds and a day");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* ---- The variable ---- */

static ngx_int_t
ngx_http_audit_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t *var;

    var = ngx_http_add_variable(cf, &ngx_http_audit_id_name,
                                NGX_HTTP_VAR_NOCACHEABLE);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_http_audit_id_variable;

    return NGX_OK;
}


static ngx_int_t
ngx_http_audit_id_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                           uintptr_t data)
{
    ngx_http_audit_ctx_t *ctx;

    ctx = ngx_http_audit_get_ctx(r->main);

    if (ctx == NULL || !ctx->named) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_audit_hex(ctx->id_text, ctx->id, NGX_HTTP_AUDIT_ID_SIZE);

    v->len = sizeof(ctx->id_text);
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = ctx->id_text;

    return NGX_OK;
}


/* ---- Configuration ---- */

static void *
ngx_http_audit_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_audit_main_conf_t *amcf;

    amcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_audit_main_conf_t));
    if (amcf == NULL) {
        return NULL;
    }

    amcf->idle = NGX_CONF_UNSET_MSEC;
    amcf->age = NGX_CONF_UNSET_MSEC;

    return amcf;
}


static char *
ngx_http_audit_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_audit_main_conf_t *amcf = conf;

    ngx_conf_init_msec_value(amcf->idle, 15 * 60 * 1000);
    ngx_conf_init_msec_value(amcf->age, 8 * 3600 * 1000);

    return NGX_CONF_OK;
}


static void *
ngx_http_audit_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_audit_loc_conf_t *alcf;

    alcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_audit_loc_conf_t));
    if (alcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     alcf->user, patient, study, purpose = NULL;
     *     alcf->file = NULL;
     *     alcf->line = 0;
     */

    alcf->on = NGX_CONF_UNSET;
    alcf->detail = NGX_CONF_UNSET_UINT;
    alcf->fail = NGX_CONF_UNSET_UINT;
    alcf->timeout = NGX_CONF_UNSET_MSEC;
    alcf->id_header = NGX_CONF_UNSET;
    alcf->learn = NGX_CONF_UNSET;
    alcf->learn_names = NGX_CONF_UNSET;

    return alcf;
}


static char *
ngx_http_audit_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_audit_loc_conf_t *prev = parent;
    ngx_http_audit_loc_conf_t *conf = child;

    const char *missing;
    ngx_http_audit_main_conf_t *amcf;

    if (conf->on == NGX_CONF_UNSET) {
        conf->file = prev->file;
        conf->line = prev->line;
    }

    if (conf->user == NULL) {
        conf->user = prev->user;
    }

    if (conf->patient == NULL) {
        conf->patient = prev->patient;
    }

    if (conf->study == NULL) {
        conf->study = prev->study;
    }

    if (conf->purpose == NULL) {
        conf->purpose = prev->purpose;
    }

    ngx_conf_merge_value(conf->on, prev->on, 0);
    ngx_conf_merge_uint_value(conf->detail, prev->detail, NGX_HTTP_AUDIT_STUDY);
    ngx_conf_merge_uint_value(conf->fail, prev->fail, NGX_HTTP_AUDIT_DENY);
    ngx_conf_merge_msec_value(conf->timeout, prev->timeout, 2000);
    ngx_conf_merge_value(conf->id_header, prev->id_header, 0);
    ngx_conf_merge_value(conf->learn, prev->learn, 0);
    ngx_conf_merge_value(conf->learn_names, prev->learn_names, 0);

    if (!conf->on) {
        return NGX_CONF_OK;
    }

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_audit_module);

    missing = NULL;

    if (amcf->address.sun_family != AF_UNIX) {
        missing = "audit_trail";

    } else if (amcf->shm_zone == NULL) {
        missing = "audit_zone";
    }

    if (missing) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no \"%s\" is defined for the \"audit\" directive in "
                      "%s:%ui",
                      missing, conf->file, conf->line);
        return NGX_CONF_ERROR;
    }

    amcf->places++;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_audit_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt *h;
    ngx_http_core_main_conf_t *cmcf;
    ngx_http_audit_main_conf_t *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_audit_module);

    if (amcf->shm_zone == NULL) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_audit_note_handler;

    /* the last one is the first to run */

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_audit_learn_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_audit_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_audit_log_handler;

    return NGX_OK;
}
