/*
 * What a denied client gets, and one whose access could not be recorded: a page
 * or JSON with a ticket number, and with whom to call where the place is known.  To a stranger nothing is told about
 * facilities, reasons or this software.
 */

#include "ngx_http_facility.h"
#include "../common/ngx_http_sekisho_headers.h"
#include "../../lib/base/json.h"

/* Of the JSON but the contact, which may grow six-fold by escapes. */
#define NGX_HTTP_FACILITY_JSON_SIZE 512

typedef struct {
    const char *tag;
    const char *title;
    const char *explanation;
    const char *unrecorded; /* title, where no record could be made */
    const char *why_unrecorded;
    const char *ticket;
    const char *contact;
} ngx_http_facility_words_t;

static ngx_uint_t ngx_http_facility_has_error_page(ngx_http_request_t *r,
                                                   ngx_int_t status);
static ngx_int_t ngx_http_facility_send_denial(ngx_http_request_t *r,
                                               ngx_int_t status);
static ngx_int_t ngx_http_facility_send_page(ngx_http_request_t *r,
                                             ngx_int_t status,
                                             ngx_uint_t unrecorded);
static slice_t ngx_http_facility_contact(ngx_http_request_t *r);
static ngx_buf_t *ngx_http_facility_page(ngx_http_request_t *r,
                                         const ngx_http_facility_words_t *words,
                                         ngx_uint_t unrecorded,
                                         const ngx_str_t *ticket,
                                         slice_t contact);
static ngx_buf_t *ngx_http_facility_json(ngx_http_request_t *r,
                                         const ngx_http_facility_words_t *words,
                                         ngx_uint_t unrecorded,
                                         const ngx_str_t *ticket,
                                         slice_t contact);

/* By ngx_http_facility_language_e. */
static const ngx_http_facility_words_t ngx_http_facility_words[] = {
    {"en", "Entry is refused",
     "You cannot enter here from where you are, at this time or for this "
     "purpose.",
     "Images cannot be opened at present",
     "Each access is recorded before it is answered, and that is not possible "
     "just now. Please try again in a few minutes.",
     "Ticket number", "Whom to call"},

    {"ja", "ご利用いただけません",
     "現在の場所・時間帯・操作では、このページをご利用いただけません。",
     "ただいま画像を開けません",
     "アクセスは応答の前に必ず記録されますが、現在は記録できません。"
     "数分後にもう一度お試しください。",
     "受付番号", "お問い合わせ先"},
};

/* %s: tag, title, title, explanation, ticket's label; %V: ticket.  The title
 * and the explanation are those of `status`. */
static const char ngx_http_facility_head[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"%s\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, "
    "initial-scale=1\">\n"
    "<title>%s</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark }\n"
    "body { font: 1.125rem/1.6 system-ui, sans-serif; max-width: 34rem; "
    "margin: 12vh auto; padding: 0 1.5rem }\n"
    "h1 { font-size: 1.6rem; border-left: .4rem solid #b3261e; "
    "padding-left: .8rem }\n"
    "dt { font-weight: 600; margin-top: 1rem }\n"
    "dd { margin: 0; overflow-wrap: anywhere }\n"
    "code { font-size: 1.05rem }\n"
    "</style>\n"
    "</head>\n"
    "<body>\n"
    "<main>\n"
    "<h1>%s</h1>\n"
    "<p>%s</p>\n"
    "<dl>\n"
    "<dt>%s</dt>\n"
    "<dd><code>%V</code></dd>\n";

/* %s: the contact's label; then the contact */
static const char ngx_http_facility_whom[] = "<dt>%s</dt>\n<dd>";

static const char ngx_http_facility_whom_end[] = "</dd>\n";

static const char ngx_http_facility_tail[] = "</dl>\n"
                                             "</main>\n"
                                             "</body>\n"
                                             "</html>\n";


ngx_int_t
ngx_http_facility_deny(ngx_http_request_t *r,
                       ngx_http_facility_loc_conf_t *conf, ngx_uint_t again)
{
    /* the connection is closed without a word */
    if (conf->deny_status == NGX_HTTP_CLOSE) {
        return NGX_HTTP_CLOSE;
    }

    if (!again && ngx_http_facility_has_error_page(r, conf->deny_status)) {
        return conf->deny_status;
    }

    ngx_http_finalize_request(
        r, ngx_http_facility_send_denial(r, conf->deny_status));

    return NGX_DONE;
}


ngx_int_t
ngx_http_facility_unrecorded(ngx_http_request_t *r)
{
    if (ngx_http_facility_has_error_page(r, NGX_HTTP_SERVICE_UNAVAILABLE)) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    ngx_http_finalize_request(
        r, ngx_http_facility_send_page(r, NGX_HTTP_SERVICE_UNAVAILABLE, 1));

    return NGX_DONE;
}


ngx_int_t
ngx_http_facility_filter_deny(ngx_http_request_t *r,
                              ngx_http_facility_loc_conf_t *conf)
{
    ngx_int_t rc;
    ngx_http_facility_ctx_t *ctx;

    if (conf->deny_status == NGX_HTTP_CLOSE) {
        return NGX_ERROR;
    }

    if (ngx_http_facility_has_error_page(r, conf->deny_status)) {
        return ngx_http_filter_finalize_request(r, &ngx_http_facility_module,
                                                conf->deny_status);
    }

    /* ngx_http_filter_finalize_request(), but with a page of ours */

    ctx = ngx_http_get_module_ctx(r, ngx_http_facility_module);

    ngx_http_clean_header(r);
    ngx_memzero(r->ctx, sizeof(void *) * ngx_http_max_module);
    ngx_http_set_ctx(r, ctx, ngx_http_facility_module);

    r->filter_finalize = 1;

    rc = ngx_http_facility_send_denial(r, conf->deny_status);

    /* NGX_ERROR resets any pending data */

    return (rc == NGX_OK || rc == NGX_DONE) ? NGX_ERROR : rc;
}


static ngx_uint_t
ngx_http_facility_has_error_page(ngx_http_request_t *r, ngx_int_t status)
{
    ngx_uint_t i;
    ngx_http_err_page_t *page;
    ngx_http_core_loc_conf_t *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->error_pages == NULL || r->error_page || r->uri_changes == 0) {
        return 0;
    }

    page = clcf->error_pages->elts;

    for (i = 0; i < clcf->error_pages->nelts; i++) {
        if (page[i].status == status) {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_facility_send_denial(ngx_http_request_t *r, ngx_int_t status)
{
    return ngx_http_facility_send_page(r, status, 0);
}


static ngx_int_t
ngx_http_facility_send_page(ngx_http_request_t *r, ngx_int_t status,
                            ngx_uint_t unrecorded)
{
    slice_t contact;
    ngx_int_t rc;
    ngx_str_t ticket;
    ngx_buf_t *b;
    ngx_uint_t json;
    ngx_chain_t out;
    const ngx_http_facility_words_t *words;

    if (ngx_http_facility_ticket(r, &ticket) != NGX_OK) {
        return NGX_ERROR;
    }

    contact = ngx_http_facility_contact(r);

    words = &ngx_http_facility_words[NGX_HTTP_FACILITY_ENGLISH];
    json = 0;

    if (r->headers_in.accept_language) {
        words = &ngx_http_facility_words[ngx_http_facility_accept_language(
            &r->headers_in.accept_language->value)];
    }

    if (r->headers_in.accept) {
        json = ngx_http_facility_accept_json(&r->headers_in.accept->value);
    }

    b = json ? ngx_http_facility_json(r, words, unrecorded, &ticket, contact)
             : ngx_http_facility_page(r, words, unrecorded, &ticket, contact);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    /* as nginx does for its own pages */

    r->expect_tested = 1;

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    r->err_status = (ngx_uint_t) status;

    r->headers_out.status = (ngx_uint_t) status;
    r->headers_out.status_line.len = 0;
    r->headers_out.content_length_n = b->last - b->pos;

    if (r->headers_out.content_length) {
        r->headers_out.content_length->hash = 0;
        r->headers_out.content_length = NULL;
    }

    if (json) {
        ngx_str_set(&r->headers_out.content_type, "application/json");

    } else {
        ngx_str_set(&r->headers_out.content_type, "text/html; charset=utf-8");
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset.len = 0;

    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    if (ngx_http_sekisho_add_header(r, "Cache-Control", "no-store") == NULL ||
        ngx_http_sekisho_add_header(r, "Content-Language", words->tag) ==
            NULL ||
        ngx_http_sekisho_add_header(r, "Content-Security-Policy",
                                    "default-src 'none'; "
                                    "style-src 'unsafe-inline'; "
                                    "frame-ancestors 'none'") == NULL ||
        ngx_http_sekisho_add_header(r, "X-Content-Type-Options", "nosniff") ==
            NULL)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_facility_ticket(ngx_http_request_t *r, ngx_str_t *ticket)
{
    ngx_http_variable_value_t *v;
    ngx_http_facility_main_conf_t *fmcf;

    fmcf = ngx_http_get_module_main_conf(r, ngx_http_facility_module);

    /* by its index, so that $request_id in a log format is the same one */

    v = ngx_http_get_indexed_variable(r, (ngx_uint_t) fmcf->request_id);

    if (v == NULL || v->not_found) {
        return NGX_ERROR;
    }

    ticket->len = v->len;
    ticket->data = v->data;

    return NGX_OK;
}


/*
 * Whom to call: told only to who belongs to a facility.  An address that only
 * `network any` takes in belongs to none until its certificate does.
 */

static slice_t
ngx_http_facility_contact(ngx_http_request_t *r)
{
    policy_facility_t facility;
    ngx_http_facility_ctx_t *ctx;

    ctx = ngx_http_facility_get_ctx(r);

    if (ctx && ctx->first.image &&
        policy_facility(ctx->first.image->policy, ctx->first.decision.facility,
                        &facility))
    {
        return facility.contact;
    }

    return SLICE("");
}


static ngx_buf_t *
ngx_http_facility_page(ngx_http_request_t *r,
                       const ngx_http_facility_words_t *words,
                       ngx_uint_t unrecorded, const ngx_str_t *ticket,
                       slice_t contact)
{
    u_char *data;
    size_t size;
    ngx_buf_t *b;
    const char *title, *explanation;

    data = (u_char *) contact.data;
    title = unrecorded ? words->unrecorded : words->title;
    explanation = unrecorded ? words->why_unrecorded : words->explanation;

    size = sizeof(ngx_http_facility_head) + ngx_strlen(words->tag) +
           2 * ngx_strlen(title) + ngx_strlen(explanation) +
           ngx_strlen(words->ticket) + ticket->len +
           sizeof(ngx_http_facility_whom) + ngx_strlen(words->contact) +
           contact.size + ngx_escape_html(NULL, data, contact.size) +
           sizeof(ngx_http_facility_whom_end) + sizeof(ngx_http_facility_tail);

    b = ngx_create_temp_buf(r->pool, size);
    if (b == NULL) {
        return NULL;
    }

    b->last = ngx_slprintf(b->last, b->end, ngx_http_facility_head, words->tag,
                           title, title, explanation, words->ticket, ticket);

    if (contact.size) {
        b->last = ngx_slprintf(b->last, b->end, ngx_http_facility_whom,
                               words->contact);
        b->last = (u_char *) ngx_escape_html(b->last, data, contact.size);
        b->last = ngx_cpymem(b->last, ngx_http_facility_whom_end,
                             sizeof(ngx_http_facility_whom_end) - 1);
    }

    b->last = ngx_cpymem(b->last, ngx_http_facility_tail,
                         sizeof(ngx_http_facility_tail) - 1);

    return b;
}


static ngx_buf_t *
ngx_http_facility_json(ngx_http_request_t *r,
                       const ngx_http_facility_words_t *words,
                       ngx_uint_t unrecorded, const ngx_str_t *ticket,
                       slice_t contact)
{
    json_t json;
    size_t size;
    slice_t text;
    ngx_buf_t *b;

    size = NGX_HTTP_FACILITY_JSON_SIZE + 6 * contact.size;

    b = ngx_create_temp_buf(r->pool, size);
    if (b == NULL) {
        return NULL;
    }

    json_init_fixed(&json, (char *) b->pos, size);
    json_object(&json, NULL);
    json_string(&json, "error",
                unrecorded ? "audit-unavailable" : "entry-refused");
    json_string(&json, "message",
                unrecorded ? words->unrecorded : words->title);
    json_text(&json, "ticket", ngx_http_sekisho_slice(ticket));

    if (contact.size) {
        json_text(&json, "contact", contact);
    }

    json_end_object(&json);

    text = json_result(&json);
    if (text.size == 0) {
        return NULL;
    }

    b->last = b->pos + text.size;

    return b;
}
