/*
 * The facility gate: directives, configuration, and where its handlers go.
 */

#include "ngx_http_facility.h"

static char *ngx_http_facility_policy(ngx_conf_t *cf, ngx_command_t *cmd,
                                      void *conf);
static char *ngx_http_facility_access(ngx_conf_t *cf, ngx_command_t *cmd,
                                      void *conf);
static char *ngx_http_facility_action(ngx_conf_t *cf, ngx_command_t *cmd,
                                      void *conf);
static char *ngx_http_facility_geoip(ngx_conf_t *cf, ngx_command_t *cmd,
                                     void *conf);
static char *ngx_http_facility_user(ngx_conf_t *cf, ngx_command_t *cmd,
                                    void *conf);
static char *ngx_http_facility_deny_status(ngx_conf_t *cf, void *post,
                                           void *data);
static void *ngx_http_facility_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_facility_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_facility_merge_loc_conf(ngx_conf_t *cf, void *parent,
                                              void *child);
static ngx_int_t ngx_http_facility_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_facility_init_process(ngx_cycle_t *cycle);

static ngx_conf_enum_t ngx_http_facility_access_values[] = {
    {ngx_string("off"), NGX_HTTP_FACILITY_OFF},
    {ngx_string("on"), NGX_HTTP_FACILITY_ON},
    {ngx_string("dry_run"), NGX_HTTP_FACILITY_DRY_RUN},
    {ngx_null_string, 0}};

static ngx_conf_enum_t ngx_http_facility_residue_values[] = {
    {ngx_string("off"), 0}, {ngx_string("block"), 1}, {ngx_null_string, 0}};

static ngx_conf_enum_t ngx_http_facility_transport_values[] = {
    {ngx_string("tls"), 0}, {ngx_string("plain"), 1}, {ngx_null_string, 0}};

static ngx_conf_post_t ngx_http_facility_deny_status_post = {
    ngx_http_facility_deny_status};

#define NGX_HTTP_FACILITY_ANYWHERE                                             \
    (NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF)

static ngx_command_t ngx_http_facility_commands[] = {

    {ngx_string("facility_policy"), NGX_HTTP_FACILITY_ANYWHERE | NGX_CONF_TAKE1,
     ngx_http_facility_policy, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},

    {ngx_string("facility_access"), NGX_HTTP_FACILITY_ANYWHERE | NGX_CONF_TAKE1,
     ngx_http_facility_access, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_facility_loc_conf_t, access),
     &ngx_http_facility_access_values},

    {ngx_string("facility_action"), NGX_HTTP_FACILITY_ANYWHERE | NGX_CONF_TAKE1,
     ngx_http_facility_action, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},

    {ngx_string("facility_user"), NGX_HTTP_FACILITY_ANYWHERE | NGX_CONF_TAKE1,
     ngx_http_facility_user, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},

    {ngx_string("facility_geoip"), NGX_HTTP_FACILITY_ANYWHERE | NGX_CONF_TAKE1,
     ngx_http_facility_geoip, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},

    {ngx_string("facility_residue"),
     NGX_HTTP_FACILITY_ANYWHERE | NGX_CONF_TAKE1, ngx_conf_set_enum_slot,
     NGX_HTTP_LOC_CONF_OFFSET, offsetof(ngx_http_facility_loc_conf_t, residue),
     &ngx_http_facility_residue_values},

    {ngx_string("facility_transport"),
     NGX_HTTP_FACILITY_ANYWHERE | NGX_CONF_TAKE1, ngx_conf_set_enum_slot,
     NGX_HTTP_LOC_CONF_OFFSET, offsetof(ngx_http_facility_loc_conf_t, plain),
     &ngx_http_facility_transport_values},

    {ngx_string("facility_deny_status"),
     NGX_HTTP_FACILITY_ANYWHERE | NGX_CONF_TAKE1, ngx_conf_set_num_slot,
     NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_facility_loc_conf_t, deny_status),
     &ngx_http_facility_deny_status_post},

    ngx_null_command};

static ngx_http_module_t ngx_http_facility_module_ctx = {
    ngx_http_facility_add_variables, /* preconfiguration */
    ngx_http_facility_init,          /* postconfiguration */

    ngx_http_facility_create_main_conf, /* create main configuration */
    NULL,                               /* init main configuration */

    NULL, /* create server configuration */
    NULL, /* merge server configuration */

    ngx_http_facility_create_loc_conf, /* create location configuration */
    ngx_http_facility_merge_loc_conf   /* merge location configuration */
};

ngx_module_t ngx_http_facility_module = {
    NGX_MODULE_V1,
    &ngx_http_facility_module_ctx,  /* module context */
    ngx_http_facility_commands,     /* module directives */
    NGX_HTTP_MODULE,                /* module type */
    NULL,                           /* init master */
    NULL,                           /* init module */
    ngx_http_facility_init_process, /* init process */
    NULL,                           /* init thread */
    NULL,                           /* exit thread */
    NULL,                           /* exit process */
    NULL,                           /* exit master */
    NGX_MODULE_V1_PADDING};


static char *
ngx_http_facility_policy(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_facility_loc_conf_t *flcf = conf;

    ngx_str_t *value;

    if (flcf->policy != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        flcf->policy = NULL;
        return NGX_CONF_OK;
    }

    flcf->policy = ngx_http_facility_policy_add(cf, &value[1]);

    return flcf->policy ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_facility_access(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_facility_loc_conf_t *flcf = conf;

    /* for "no policy" at the end of the configuration, which has no line */
    flcf->file = cf->conf_file->file.name.data;
    flcf->line = cf->conf_file->line;

    return ngx_conf_set_enum_slot(cf, cmd, conf);
}


static char *
ngx_http_facility_action(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_facility_loc_conf_t *flcf = conf;

    ngx_str_t *value;
    ngx_http_complex_value_t *cv;
    ngx_http_compile_complex_value_t ccv;

    if (flcf->action != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "auto") == 0) {
        flcf->action = NULL;
        return NGX_CONF_OK;
    }

    if (ngx_http_script_variables_count(&value[1]) == 0 &&
        action_parse(ngx_http_sekisho_slice(&value[1])) == ACTION_NONE)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive, it must "
                           "be \"auto\", \"query\", \"view\", \"download\", "
                           "\"store\", \"delete\", \"admin\" or have a "
                           "variable",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    cv = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (cv == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[1];
    ccv.complex_value = cv;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    flcf->action = cv;

    return NGX_CONF_OK;
}


static char *
ngx_http_facility_user(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_facility_loc_conf_t *flcf = conf;

    ngx_str_t *value;
    ngx_http_complex_value_t *cv;
    ngx_http_compile_complex_value_t ccv;

    if (flcf->user != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        flcf->user = NULL;
        return NGX_CONF_OK;
    }

    if (ngx_http_script_variables_count(&value[1]) == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "value \"%V\" in \"%V\" directive names the same "
                           "user for everybody: give the variable that holds "
                           "the name, or \"off\"",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    cv = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (cv == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[1];
    ccv.complex_value = cv;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    flcf->user = cv;

    /* $remote_user is what the client claims until auth_basic has checked it */
    flcf->user_basic = ngx_strnstr(value[1].data, "remote_user",
                                   value[1].len) != NULL;

    return NGX_CONF_OK;
}


static char *
ngx_http_facility_geoip(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_facility_loc_conf_t *flcf = conf;

    ngx_str_t *value;

    if (flcf->country != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        flcf->country = NULL;
        return NGX_CONF_OK;
    }

    flcf->country = ngx_http_facility_country_add(cf, &value[1]);

    return flcf->country ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_facility_deny_status(ngx_conf_t *cf, void *post, void *data)
{
    ngx_int_t *status = data;

    /* 494..499 are nginx's own, and mean something else to it */

    if (*status < 400 || *status > 493) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "value must be between 400 and 493 "
                           "(444 closes the connection)");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_facility_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_facility_main_conf_t *fmcf;

    fmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_facility_main_conf_t));
    if (fmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&fmcf->policies, cf->pool, 1,
                       sizeof(ngx_http_facility_policy_t *)) != NGX_OK ||
        ngx_array_init(&fmcf->countries, cf->pool, 1,
                       sizeof(ngx_http_facility_country_t *)) != NGX_OK)
    {
        return NULL;
    }

    fmcf->request_id = NGX_ERROR;
    fmcf->auth_basic = NGX_ERROR;

    return fmcf;
}


static void *
ngx_http_facility_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_facility_loc_conf_t *flcf;

    flcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_facility_loc_conf_t));
    if (flcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     flcf->file = NULL;
     *     flcf->line = 0;
     *     flcf->block = 0;
     *     flcf->user_basic = 0;
     */

    flcf->policy = NGX_CONF_UNSET_PTR;
    flcf->country = NGX_CONF_UNSET_PTR;
    flcf->action = NGX_CONF_UNSET_PTR;
    flcf->user = NGX_CONF_UNSET_PTR;
    flcf->access = NGX_CONF_UNSET_UINT;
    flcf->plain = NGX_CONF_UNSET_UINT;
    flcf->residue = NGX_CONF_UNSET_UINT;
    flcf->deny_status = NGX_CONF_UNSET;

    return flcf;
}


static char *
ngx_http_facility_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_facility_loc_conf_t *prev = parent;
    ngx_http_facility_loc_conf_t *conf = child;

    if (conf->access == NGX_CONF_UNSET_UINT) {
        conf->file = prev->file;
        conf->line = prev->line;
    }

    if (conf->user == NGX_CONF_UNSET_PTR) {
        conf->user_basic = prev->user_basic;
    }

    ngx_conf_merge_ptr_value(conf->policy, prev->policy, NULL);
    ngx_conf_merge_ptr_value(conf->country, prev->country, NULL);
    ngx_conf_merge_ptr_value(conf->action, prev->action, NULL);
    ngx_conf_merge_ptr_value(conf->user, prev->user, NULL);
    ngx_conf_merge_uint_value(conf->access, prev->access,
                              NGX_HTTP_FACILITY_OFF);
    ngx_conf_merge_uint_value(conf->plain, prev->plain, 0);
    ngx_conf_merge_value(conf->deny_status, prev->deny_status,
                         NGX_HTTP_FORBIDDEN);

    /*
     * Left unset where nobody said anything, as the default depends on the
     * facility_access of each place.
     */
    if (conf->residue == NGX_CONF_UNSET_UINT) {
        conf->residue = prev->residue;
    }

    conf->block = conf->residue == NGX_CONF_UNSET_UINT
                      ? conf->access == NGX_HTTP_FACILITY_ON
                      : conf->residue;

    if (conf->access == NGX_HTTP_FACILITY_OFF) {
        return NGX_CONF_OK;
    }

    if (conf->policy == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no \"facility_policy\" is defined for the "
                      "\"facility_access\" directive in %s:%ui",
                      conf->file, conf->line);
        return NGX_CONF_ERROR;
    }

    if (conf->country == NULL && conf->policy->image &&
        policy_uses_country(conf->policy->image->policy) &&
        !conf->policy->uses_country_warned)
    {
        conf->policy->uses_country_warned = 1;

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "facility policy \"%V\" has \"country\" rules, but there "
                      "is no \"facility_geoip\" for the \"facility_access\" "
                      "directive in %s:%ui: those facilities are denied",
                      &conf->policy->path, conf->file, conf->line);
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_facility_init(ngx_conf_t *cf)
{
    ngx_str_t name = ngx_string("request_id");
    ngx_uint_t i;
    ngx_http_handler_pt *h;
    ngx_http_core_main_conf_t *cmcf;
    ngx_http_facility_main_conf_t *fmcf;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_facility_module);

    fmcf->request_id = ngx_http_get_variable_index(cf, &name);
    if (fmcf->request_id == NGX_ERROR) {
        return NGX_ERROR;
    }

    for (i = 0; cf->cycle->modules[i]; i++) {
        if (ngx_strcmp(cf->cycle->modules[i]->name,
                       "ngx_http_auth_basic_module") == 0) {
            fmcf->auth_basic = (ngx_int_t) cf->cycle->modules[i]->ctx_index;
        }
    }

    if (ngx_http_facility_certificate_init(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_facility_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_facility_users_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_facility_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t i;
    ngx_http_facility_policy_t **policy;
    ngx_http_facility_main_conf_t *fmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    fmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_facility_module);
    if (fmcf == NULL) {
        return NGX_OK;
    }

    policy = fmcf->policies.elts;

    for (i = 0; i < fmcf->policies.nelts; i++) {
        ngx_http_facility_policy_watch(policy[i]);
    }

    return NGX_OK;
}
