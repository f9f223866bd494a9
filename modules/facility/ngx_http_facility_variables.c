/* The gate's variables; of a subrequest they are those of its main request. */

#include "ngx_http_facility.h"

typedef enum {
    NGX_HTTP_FACILITY_VAR_ID = 0,
    NGX_HTTP_FACILITY_VAR_NAME,
    NGX_HTTP_FACILITY_VAR_VERDICT,
    NGX_HTTP_FACILITY_VAR_REASON,
    NGX_HTTP_FACILITY_VAR_DRY_RUN_REASON,
    NGX_HTTP_FACILITY_VAR_ACTION,
    NGX_HTTP_FACILITY_VAR_VERSION
} ngx_http_facility_var_e;

static ngx_int_t ngx_http_facility_variable(ngx_http_request_t *r,
                                            ngx_http_variable_value_t *v,
                                            uintptr_t data);
static slice_t ngx_http_facility_variable_text(ngx_http_facility_ctx_t *ctx,
                                               ngx_http_facility_var_e which);

/* Not cacheable: what is asked before the gate must not stick. */
static ngx_http_variable_t ngx_http_facility_vars[] = {

    {ngx_string("facility"), NULL, ngx_http_facility_variable,
     NGX_HTTP_FACILITY_VAR_ID, NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("facility_name"), NULL, ngx_http_facility_variable,
     NGX_HTTP_FACILITY_VAR_NAME, NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("facility_verdict"), NULL, ngx_http_facility_variable,
     NGX_HTTP_FACILITY_VAR_VERDICT, NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("facility_reason"), NULL, ngx_http_facility_variable,
     NGX_HTTP_FACILITY_VAR_REASON, NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("facility_dry_run_reason"), NULL, ngx_http_facility_variable,
     NGX_HTTP_FACILITY_VAR_DRY_RUN_REASON, NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("facility_action"), NULL, ngx_http_facility_variable,
     NGX_HTTP_FACILITY_VAR_ACTION, NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("facility_policy_version"), NULL, ngx_http_facility_variable,
     NGX_HTTP_FACILITY_VAR_VERSION, NGX_HTTP_VAR_NOCACHEABLE, 0},

    ngx_http_null_variable};

static const char *const ngx_http_facility_verdicts[] = {
    "", "allow", "deny", "allow_dry_run", "deny_dry_run"};


ngx_int_t
ngx_http_facility_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t *var, *v;

    for (v = ngx_http_facility_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_facility_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                           uintptr_t data)
{
    slice_t text;
    ngx_http_facility_ctx_t *ctx;

    ctx = ngx_http_facility_get_ctx(r->main);

    text = ctx ? ngx_http_facility_variable_text(ctx,
                                                 (ngx_http_facility_var_e) data)
               : SLICE("");

    /* an image lives as long as the requests that it decided */

    v->len = (unsigned) text.size & 0xfffffff;
    v->valid = (text.size != 0);
    v->no_cacheable = 0;
    v->not_found = (text.size == 0);
    v->data = (u_char *) text.data;

    return NGX_OK;
}


static slice_t
ngx_http_facility_variable_text(ngx_http_facility_ctx_t *ctx,
                                ngx_http_facility_var_e which)
{
    policy_facility_t facility;
    ngx_http_facility_entry_t *entry;

    entry = &ctx->first;

    if (entry->status == NGX_HTTP_FACILITY_NOT_ASKED) {
        return SLICE("");
    }

    switch (which) {
    case NGX_HTTP_FACILITY_VAR_VERDICT:
        return slice_of(ngx_http_facility_verdicts[entry->status]);

    case NGX_HTTP_FACILITY_VAR_REASON:
        return slice_of(policy_reason_name(entry->decision.reason));

    case NGX_HTTP_FACILITY_VAR_DRY_RUN_REASON:
        return entry->decision.dry_run_reason == POLICY_REASON_NONE
                   ? SLICE("")
                   : slice_of(
                         policy_reason_name(entry->decision.dry_run_reason));

    case NGX_HTTP_FACILITY_VAR_ACTION:
        return entry->action == ACTION_NONE
                   ? SLICE("")
                   : slice_of(action_name(entry->action));

    case NGX_HTTP_FACILITY_VAR_VERSION:
        return entry->image
                   ? slice_of(policy_image_version(entry->image->policy))
                   : SLICE("");

    case NGX_HTTP_FACILITY_VAR_ID:
    case NGX_HTTP_FACILITY_VAR_NAME:
        break;
    }

    if (entry->image == NULL ||
        !policy_facility(entry->image->policy, entry->decision.facility,
                         &facility))
    {
        return SLICE("");
    }

    return which == NGX_HTTP_FACILITY_VAR_ID ? facility.id : facility.name;
}
