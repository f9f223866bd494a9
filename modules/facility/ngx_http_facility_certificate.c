/*
 * The client's certificate, as the policy wants to know it.
 *
 * Who somebody is does not change while a TLS connection lasts (nginx allows
 * no renegotiation), so it is found out once and kept with the connection, for
 * all its requests and HTTP/2 streams.  Whether that is good enough now is
 * decided anew by every request.
 */

#include "ngx_http_facility.h"

#if (NGX_HTTP_SSL)

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

typedef struct {
    ngx_uint_t shown;
    policy_certificate_t certificate;
} ngx_http_facility_peer_t;

static ngx_int_t
ngx_http_facility_certificate_read(ngx_connection_t *c, X509 *leaf,
                                   policy_certificate_t *certificate);
static ngx_int_t ngx_http_facility_certificate_time(const ASN1_TIME *time,
                                                    int64_t *seconds);
static void
ngx_http_facility_certificate_chain(ngx_connection_t *c, X509 *leaf,
                                    policy_certificate_t *certificate);
static void
ngx_http_facility_certificate_issuers(STACK_OF(X509) * chain,
                                      policy_certificate_t *certificate);

/*
 * Where a connection's SSL object points to the above, which lives in the
 * connection's pool.  No destructor is registered: OpenSSL would call it after
 * a reload has unloaded this module.
 */
static int ngx_http_facility_peer_index = -1;


ngx_int_t
ngx_http_facility_certificate_init(ngx_conf_t *cf)
{
    if (ngx_http_facility_peer_index == -1) {
        ngx_http_facility_peer_index = SSL_get_ex_new_index(0, NULL, NULL, NULL,
                                                            NULL);

        if (ngx_http_facility_peer_index == -1) {
            ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                          "SSL_get_ex_new_index() failed");
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


const policy_certificate_t *
ngx_http_facility_certificate(ngx_http_request_t *r)
{
    X509 *leaf;
    ngx_pool_t *pool;
    ngx_connection_t *c;
    ngx_ssl_conn_t *ssl;
    ngx_http_facility_peer_t *peer;

    c = r->connection;

    if (c->ssl == NULL) {
        return NULL;
    }

    ssl = c->ssl->connection;

    peer = SSL_get_ex_data(ssl, ngx_http_facility_peer_index);

    if (peer == NULL) {
        pool = c->pool;

#if (NGX_QUIC)
        /* a stream has a pool of its own, and is outlived by the connection */
        if (c->quic) {
            pool = c->quic->parent->pool;
        }
#endif

        peer = ngx_pcalloc(pool, sizeof(ngx_http_facility_peer_t));
        if (peer == NULL) {
            return NULL;
        }

        leaf = SSL_get_peer_certificate(ssl);

        if (leaf) {
            peer->shown = (ngx_http_facility_certificate_read(
                               c, leaf, &peer->certificate) == NGX_OK);
            X509_free(leaf);
        }

        if (SSL_set_ex_data(ssl, ngx_http_facility_peer_index, peer) == 0) {
            ngx_ssl_error(NGX_LOG_CRIT, c->log, 0, "SSL_set_ex_data() failed");
            return NULL;
        }

        /* what OpenSSL did not like is no error of the connection's */
        ERR_clear_error();
    }

    return peer->shown ? &peer->certificate : NULL;
}


static ngx_int_t
ngx_http_facility_certificate_read(ngx_connection_t *c, X509 *leaf,
                                   policy_certificate_t *certificate)
{
    unsigned int size;

    size = 0;

    if (X509_digest(leaf, EVP_sha256(), certificate->sha256, &size) != 1 ||
        size != POLICY_SHA256_BYTES)
    {
        ngx_ssl_error(NGX_LOG_CRIT, c->log, 0, "X509_digest() failed");
        return NGX_ERROR;
    }

    if (ngx_http_facility_certificate_time(
            X509_get0_notBefore(leaf), &certificate->not_before) != NGX_OK ||
        ngx_http_facility_certificate_time(X509_get0_notAfter(leaf),
                                           &certificate->not_after) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "client certificate has no valid dates");
        return NGX_ERROR;
    }

    if (SSL_get_verify_result(c->ssl->connection) == X509_V_OK) {
        ngx_http_facility_certificate_chain(c, leaf, certificate);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_facility_certificate_time(const ASN1_TIME *time, int64_t *seconds)
{
    struct tm tm;

    if (time == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&tm, sizeof(struct tm));

    if (ASN1_TIME_to_tm(time, &tm) != 1) {
        return NGX_ERROR;
    }

    /* always UTC; a year of up to four digits cannot overflow */
    *seconds = (int64_t) timegm(&tm);

    return NGX_OK;
}


/*
 * A resumed session says "verified", but not by whom, and it may have been
 * begun at another server with other authorities: the chain is built again,
 * from this server's, under its flags (CRLs) and depth.
 */

static void
ngx_http_facility_certificate_chain(ngx_connection_t *c, X509 *leaf,
                                    policy_certificate_t *certificate)
{
    X509_STORE *store;
    ngx_ssl_conn_t *ssl;
    X509_STORE_CTX *ctx;
    STACK_OF(X509) * chain;

    ssl = c->ssl->connection;

    chain = SSL_get0_verified_chain(ssl);

    if (chain && !SSL_session_reused(ssl)) {
        ngx_http_facility_certificate_issuers(chain, certificate);
        return;
    }

    store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
    if (store == NULL) {
        return;
    }

    ctx = X509_STORE_CTX_new();
    if (ctx == NULL) {
        return;
    }

    if (X509_STORE_CTX_init(ctx, store, leaf, SSL_get_peer_cert_chain(ssl)) ==
            1 &&
        X509_STORE_CTX_set_default(ctx, "ssl_client") == 1 &&
        X509_VERIFY_PARAM_set1(X509_STORE_CTX_get0_param(ctx),
                               SSL_get0_param(ssl)) == 1)
    {
        if (X509_verify_cert(ctx) == 1) {
            ngx_http_facility_certificate_issuers(
                X509_STORE_CTX_get0_chain(ctx), certificate);

        } else {
            ngx_log_error(
                NGX_LOG_INFO, c->log, 0,
                "client certificate of a resumed session cannot be "
                "verified here: (%d:%s)",
                X509_STORE_CTX_get_error(ctx),
                X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
        }
    }

    X509_STORE_CTX_free(ctx);
}


static void
ngx_http_facility_certificate_issuers(STACK_OF(X509) * chain,
                                      policy_certificate_t *certificate)
{
    int i;
    unsigned int size;

    /* the first is the leaf, which is nobody's issuer; beyond the bound a
     * facility's authority is not found, and that is a denial */

    for (i = 1; i < sk_X509_num(chain) && i <= POLICY_CHAIN_MAX; i++) {
        size = 0;

        if (X509_digest(sk_X509_value(chain, i), EVP_sha256(),
                        certificate->chain_sha256[i - 1], &size) != 1 ||
            size != POLICY_SHA256_BYTES)
        {
            return;
        }

        certificate->chain_count = (uint8_t) i;
    }

    certificate->verified = 1;
}

#else

ngx_int_t
ngx_http_facility_certificate_init(ngx_conf_t *cf)
{
    return NGX_OK;
}


const policy_certificate_t *
ngx_http_facility_certificate(ngx_http_request_t *r)
{
    return NULL;
}

#endif
