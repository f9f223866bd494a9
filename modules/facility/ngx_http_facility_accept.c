/*
 * What a client would like to read: Accept and Accept-Language, as far as the
 * denial page can do either.
 */

#include "ngx_http_facility.h"

/* The quality of one range, in thousandths; 0 is "not this". */
#define NGX_HTTP_FACILITY_QUALITY_MAX 1000

static ngx_uint_t ngx_http_facility_next_range(slice_t *rest, slice_t *range,
                                               ngx_uint_t *quality);
static ngx_uint_t ngx_http_facility_quality(slice_t parameter,
                                            ngx_uint_t *quality);
static slice_t ngx_http_facility_trim(slice_t text);
static ngx_uint_t ngx_http_facility_is(slice_t text, const char *name);


ngx_uint_t
ngx_http_facility_accept_json(const ngx_str_t *accept)
{
    slice_t rest, range;
    ngx_uint_t quality, json, html;

    json = 0;
    html = 0;
    rest = ngx_http_sekisho_slice(accept);

    while (ngx_http_facility_next_range(&rest, &range, &quality)) {
        if (ngx_http_facility_is(range, "application/json") ||
            ngx_http_facility_is(range, "application/dicom+json"))
        {
            json = ngx_max(json, quality);

        } else if (ngx_http_facility_is(range, "text/html") ||
                   ngx_http_facility_is(range, "application/xhtml+xml"))
        {
            html = ngx_max(html, quality);
        }
    }

    return json > html;
}


ngx_http_facility_language_e
ngx_http_facility_accept_language(const ngx_str_t *accept)
{
    size_t i;
    slice_t rest, range;
    ngx_uint_t quality, english, japanese, first;

    english = 0;
    japanese = 0;
    first = NGX_HTTP_FACILITY_ENGLISH;
    rest = ngx_http_sekisho_slice(accept);

    while (ngx_http_facility_next_range(&rest, &range, &quality)) {
        /* "ja-JP" is as good as "ja" */
        for (i = 0; i < range.size && range.data[i] != '-'; i++) {
            /* void */
        }

        range.size = i;

        if (ngx_http_facility_is(range, "ja")) {
            if (english == 0 && japanese == 0) {
                first = NGX_HTTP_FACILITY_JAPANESE;
            }

            japanese = ngx_max(japanese, quality);

        } else if (ngx_http_facility_is(range, "en")) {
            english = ngx_max(english, quality);
        }
    }

    if (japanese > english || (japanese && japanese == english &&
                               first == NGX_HTTP_FACILITY_JAPANESE))
    {
        return NGX_HTTP_FACILITY_JAPANESE;
    }

    return NGX_HTTP_FACILITY_ENGLISH;
}


/* Takes the next range of a list off `rest`; 0 at its end. */

static ngx_uint_t
ngx_http_facility_next_range(slice_t *rest, slice_t *range, ngx_uint_t *quality)
{
    size_t i, start;
    slice_t part;
    ngx_uint_t quoted, first;

    if (rest->size == 0) {
        return 0;
    }

    *quality = NGX_HTTP_FACILITY_QUALITY_MAX;
    *range = SLICE("");

    quoted = 0;
    first = 1;
    start = 0;

    for (i = 0; i <= rest->size; i++) {
        if (i < rest->size) {
            if (rest->data[i] == '"') {
                quoted = !quoted;
                continue;
            }

            if (quoted) {
                if (rest->data[i] == '\\' && i + 1 < rest->size) {
                    i++;
                }

                continue;
            }

            if (rest->data[i] != ';' && rest->data[i] != ',') {
                continue;
            }
        }

        part = ngx_http_facility_trim((slice_t){rest->data + start, i - start});
        start = i + 1;

        if (first) {
            *range = part;
            first = 0;

        } else if (part.size > 1 && (part.data[0] | 0x20) == 'q' &&
                   !ngx_http_facility_quality(part, quality))
        {
            /* what cannot be understood is no wish */
            *quality = 0;
        }

        if (i == rest->size || rest->data[i] == ',') {
            break;
        }
    }

    *rest = i < rest->size ? slice_from(*rest, i + 1) : SLICE("");

    return 1;
}


/* "q=0.5": RFC 9110, 12.4.2.  A parameter of another name is left alone. */

static ngx_uint_t
ngx_http_facility_quality(slice_t parameter, ngx_uint_t *quality)
{
    size_t i;
    ngx_uint_t value, unit;

    for (i = 1; i < parameter.size && parameter.data[i] == ' '; i++) {
        /* void */
    }

    if (i == parameter.size || parameter.data[i] != '=') {
        return 1;
    }

    for (i++; i < parameter.size && parameter.data[i] == ' '; i++) {
        /* void */
    }

    if (i == parameter.size ||
        (parameter.data[i] != '0' && parameter.data[i] != '1'))
    {
        return 0;
    }

    value = (ngx_uint_t) (parameter.data[i++] - '0') *
            NGX_HTTP_FACILITY_QUALITY_MAX;

    if (i < parameter.size && parameter.data[i] == '.') {
        unit = NGX_HTTP_FACILITY_QUALITY_MAX / 10;

        for (i++; i < parameter.size; i++, unit /= 10) {
            if (parameter.data[i] < '0' || parameter.data[i] > '9') {
                break;
            }

            value += (ngx_uint_t) (parameter.data[i] - '0') * unit;
        }
    }

    if (i != parameter.size || value > NGX_HTTP_FACILITY_QUALITY_MAX) {
        return 0;
    }

    *quality = value;

    return 1;
}


static slice_t
ngx_http_facility_trim(slice_t text)
{
    while (text.size && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = slice_from(text, 1);
    }

    while (text.size && (text.data[text.size - 1] == ' ' ||
                         text.data[text.size - 1] == '\t'))
    {
        text.size--;
    }

    return text;
}


static ngx_uint_t
ngx_http_facility_is(slice_t text, const char *name)
{
    return text.size == ngx_strlen(name) &&
           ngx_strncasecmp((u_char *) text.data, (u_char *) name, text.size) ==
               0;
}
