/* Pages: text that cannot act on the page, and the policy that says so too. */

#define _GNU_SOURCE
#include <openssl/evp.h>
#include <stdlib.h>

#include "../lib/trail/base64.h"
#include "report.h"

#define HASH_TEXT_MAX 96 /* 'sha256-…' */

void
page_add(page_t *page, slice_t text)
{
    if (page->failed || text.size == 0) {
        return;
    }
    if (page->capacity - page->size < text.size) {
        size_t capacity = page->capacity * 2 + text.size + 65536;
        char *data = realloc(page->data, capacity);

        if (data == NULL) {
            page->failed = true;
            return;
        }
        page->data = data;
        page->capacity = capacity;
    }
    memcpy(page->data + page->size, text.data, text.size);
    page->size += text.size;
}


void
page_escape(page_t *page, slice_t text)
{
    static const struct {
        char character;
        const char *reference;
    } references[] = {{'&', "&amp;"},  {'<', "&lt;"},   {'>', "&gt;"},
                      {'"', "&quot;"}, {'\'', "&#39;"}, {'`', "&#96;"}};

    while (text.size > 0) {
        slice_t out;
        bool safe;
        size_t size = character_size(text, &safe);

        out = safe ? (slice_t){text.data, size} : SLICE("\xef\xbf\xbd");
        for (size_t i = 0;
             safe && i < sizeof(references) / sizeof(references[0]); i++) {
            if (text.data[0] == references[i].character) {
                out = slice_of(references[i].reference);
            }
        }
        page_add(page, out);
        text = slice_from(text, size);
    }
}


/* These stand only within strings, where \u is the same to JSON. */
void
page_json(page_t *page, slice_t json)
{
    while (json.size > 0) {
        size_t size = 0;
        char escaped[8];

        while (size < json.size && json.data[size] != '<' &&
               json.data[size] != '>' && json.data[size] != '&')
        {
            size++;
        }
        page_add(page, (slice_t){json.data, size});
        json = slice_from(json, size);
        if (json.size > 0) {
            (void) snprintf(escaped, sizeof(escaped), "\\u%04x",
                            (unsigned char) json.data[0]);
            page_add(page, slice_of(escaped));
            json = slice_from(json, 1);
        }
    }
}


/* ---- Content Security Policy --------------------------------------------- */

static bool
add_hash(page_t *page, slice_t text)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    char hash[HASH_TEXT_MAX];
    unsigned size = 0;
    size_t at;

    if (EVP_Digest(text.data, text.size, bytes, &size, EVP_sha256(), NULL) != 1)
    {
        return false;
    }
    at = (size_t) snprintf(hash, sizeof(hash), " 'sha256-");
    at += base64_encode(bytes, size, hash + at);
    hash[at++] = '\'';
    page_add(page, (slice_t){hash, at});
    return true;
}


/* Nothing may be fetched, sent or run but what the program put in. */
static bool
add_policy(page_t *page, bool scripts)
{
    page_add(page, SLICE("default-src 'none'; style-src"));
    if (!add_hash(page, report_file_style())) {
        return false;
    }
    if (scripts) {
        page_add(page, SLICE("; script-src"));
        if (!add_hash(page, report_file_charts()) ||
            !add_hash(page, report_file_script()))
        {
            return false;
        }
    }
    page_add(page, SLICE("; base-uri 'none'; form-action 'none'"));
    return true;
}


/* ---- Templates ----------------------------------------------------------- */

typedef struct {
    const audit_report_t *report;
    const char *title; /* key */
    slice_t body;      /* JSON, or HTML that is already escaped */
} filling_t;

static int
fill(page_t *page, const filling_t *filling, slice_t name)
{
    bool scripts = filling->report->patient == NULL;

    if (slice_is(name, "lang")) {
        page_add(page, slice_of(filling->report->words.lang));
    } else if (slice_is(name, "title")) {
        page_escape(page, word(&filling->report->words, filling->title));
    } else if (slice_is(name, "policy")) {
        return add_policy(page, scripts) ? STATUS_OK : STATUS_ERROR;
    } else if (slice_is(name, "style")) {
        page_add(page, report_file_style());
    } else if (slice_is(name, "charts_library")) {
        page_add(page, report_file_charts());
    } else if (slice_is(name, "script")) {
        page_add(page, report_file_script());
    } else if (slice_is(name, "data")) {
        page_json(page, filling->body);
    } else if (slice_is(name, "body")) {
        page_add(page, filling->body);
    } else {
        char key[64];

        (void) snprintf(key, sizeof(key), "%.*s", SLICE_ARG(name));
        page_escape(page, word(&filling->report->words, key));
    }
    return STATUS_OK;
}


int
page_template(const audit_report_t *report, slice_t template, const char *title,
              slice_t body, page_t *page)
{
    filling_t filling = {report, title, body};

    while (template.size > 0) {
        const char *begin = memmem(template.data, template.size, "{{", 2);
        const char *end;

        if (begin == NULL) {
            page_add(page, template);
            break;
        }
        page_add(page,
                 (slice_t){template.data, (size_t) (begin - template.data)});
        template = slice_from(template, (size_t) (begin + 2 - template.data));
        end = memmem(template.data, template.size, "}}", 2);
        if (end == NULL ||
            fill(page, &filling,
                 (slice_t){template.data, (size_t) (end - template.data)}) !=
                STATUS_OK)
        {
            return fail(report->command, "the page could not be made");
        }
        template = slice_from(template, (size_t) (end + 2 - template.data));
    }
    return page->failed ? fail(report->command, "out of memory") : STATUS_OK;
}


int
page_officer(audit_report_t *report, slice_t json, page_t *page)
{
    return page_template(report, report_file_page(), "title", json, page);
}
