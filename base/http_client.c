/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's easy interface, cut down: two schemes, no redirects, no cookies, no signals. A token is
 * not sent in clear to another host unless the caller insists, because one mistyped URL would give
 * it away.
 *
 * libcurl is opened when the first request is made (base/library.h): it brings some thirty
 * libraries, and the same program is also the sandbox's supervisor.
 */
#define CURL_DISABLE_TYPECHECK
#include "base/http_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "base/library.h"
#include "base/wipe.h"

#define HEADER_MAX 16384u

/* The functions of libcurl that we use; the same for every caller. */
#define CURL_FUNCTIONS(X)                                                                          \
    X(curl_url)                                                                                    \
    X(curl_url_set)                                                                                \
    X(curl_url_get)                                                                                \
    X(curl_url_cleanup)                                                                            \
    X(curl_free)                                                                                   \
    X(curl_slist_append)                                                                           \
    X(curl_slist_free_all)                                                                         \
    X(curl_easy_init)                                                                              \
    X(curl_easy_setopt)                                                                            \
    X(curl_easy_perform)                                                                           \
    X(curl_easy_getinfo)                                                                           \
    X(curl_easy_strerror)                                                                          \
    X(curl_easy_cleanup)

struct curl_api {
    CURL_FUNCTIONS(LIBRARY_MEMBER)
};

static const char *const curl_names[] = {CURL_FUNCTIONS(LIBRARY_NAME)};

static size_t on_data(char *data, size_t size, size_t count, void *self)
{
    struct buf *to = self;

    buf_add(to, data, size * count);
    return buf_error(to) < 0 ? 0 : size * count;
}

/** One line of the answer's head: keep the ETag, if it fits. */
static size_t on_header(char *data, size_t size, size_t count, void *self)
{
    char *etag = self;
    size_t len = size * count;
    size_t at = 5;

    if (len <= at || strncasecmp(data, "etag:", at) != 0)
        return len;
    while (at < len && data[at] == ' ')
        at++;
    while (len > at && (data[len - 1] == '\r' || data[len - 1] == '\n'))
        len--;
    if (len > at && len - at < HTTP_CLIENT_ETAG_CAP) {
        memcpy(etag, data + at, len - at);
        etag[len - at] = '\0';
    }
    return size * count;
}

static bool is_this_host(const char *host)
{
    struct bytes text = bytes_of_str(host);
    struct ip ip;

    if (strcasecmp(host, "localhost") == 0)
        return true;
    if (text.len > 2 && host[0] == '[')
        text = bytes_of(host + 1, text.len - 2);
    return ip_parse(text, &ip) == 0 && ip_is_loopback(&ip);
}

/** Is the URL one that we take, and may the token go there? */
static int judge_url(const struct curl_api *c, const struct http_client_request *req,
                     struct why *why)
{
    CURLU *u = c->curl_url();
    char *scheme = NULL;
    char *host = NULL;
    int err = 0;

    if (u == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    if (c->curl_url_set(u, CURLUPART_URL, req->url, 0) != CURLUE_OK ||
        c->curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        c->curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        err = why_set(why, -EINVAL, "expected http://HOST or https://HOST, not \"%s\"", req->url);
    else if (req->bearer != NULL && strcmp(scheme, "http") == 0 && !req->may_be_plain &&
             !is_this_host(host))
        err = why_set(why, -EPERM,
                      "%s would show the token to the network; use https, or insist with "
                      "--insecure-http",
                      req->url);
    c->curl_free(scheme);
    c->curl_free(host);
    c->curl_url_cleanup(u);
    return err;
}

static void free_headers(const struct curl_api *c, struct curl_slist *list)
{
    for (struct curl_slist *h = list; h != NULL; h = h->next)
        wipe(h->data, strlen(h->data));
    c->curl_slist_free_all(list);
}

/** Add a header to @list (taken). NULL: no memory, and the list is gone. */
static struct curl_slist *add_header(const struct curl_api *c, struct curl_slist *list,
                                     const char *name, const char *value)
{
    struct curl_slist *more;
    struct buf text;

    if (list == NULL || value == NULL)
        return list;
    buf_init(&text, HEADER_MAX);
    buf_printf(&text, "%s%s", name, value);
    more = buf_error(&text) == 0 ? c->curl_slist_append(list, buf_text(&text)) : NULL;
    if (more == NULL)
        free_headers(c, list);
    if (text.data != NULL)
        wipe(text.data, text.cap);
    buf_done(&text);
    return more;
}

static struct curl_slist *make_headers(const struct curl_api *c,
                                       const struct http_client_request *req)
{
    struct curl_slist *list = c->curl_slist_append(NULL, "Accept: application/json");
    const char *etag = req->etag != NULL && req->etag[0] != '\0' ? req->etag : NULL;

    list = add_header(c, list, "Content-Type: application/json", req->body != NULL ? "" : NULL);
    list = add_header(c, list, "Authorization: Bearer ", req->bearer);
    list = add_header(c, list, "If-None-Match: ", etag);
    return add_header(c, list, "Idempotency-Key: ", req->idempotency_key);
}

static int perform(const struct curl_api *c, CURL *curl, const struct http_client_request *req,
                   unsigned *ret_status, struct buf *ret_body, struct why *why)
{
    char text[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURLcode rc;

    (void)c->curl_easy_setopt(curl, CURLOPT_URL, req->url);
    (void)c->curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, req->method);
    (void)c->curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)c->curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)c->curl_easy_setopt(curl, CURLOPT_TIMEOUT,
                              (long)(req->timeout_s > 0 ? req->timeout_s : HTTP_CLIENT_TIMEOUT_S));
    if (req->etag != NULL) {
        (void)c->curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
        (void)c->curl_easy_setopt(curl, CURLOPT_HEADERDATA, req->etag);
    }
    (void)c->curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
    (void)c->curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    (void)c->curl_easy_setopt(curl, CURLOPT_WRITEDATA, ret_body);
    if (req->body != NULL)
        (void)c->curl_easy_setopt(curl, CURLOPT_POSTFIELDS, req->body);
    if (req->ca_file != NULL)
        (void)c->curl_easy_setopt(curl, CURLOPT_CAINFO, req->ca_file);
    rc = c->curl_easy_perform(curl);
    if (buf_error(ret_body) < 0)
        return why_set(why, buf_error(ret_body), "the answer of %s is too large", req->url);
    if (rc != CURLE_OK)
        return why_set(why, -ECONNREFUSED, "%s: %s", req->url,
                       text[0] != '\0' ? text : c->curl_easy_strerror(rc));
    (void)c->curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    *ret_status = (unsigned)status;
    return 0;
}

int http_client_call(const struct http_client_request *req, unsigned *ret_status,
                     struct buf *ret_body, struct why *why)
{
    struct curl_slist *headers;
    struct curl_api c;
    CURL *curl;
    int err =
        library_open("libcurl.so.4", "libcurl4", curl_names, ARRAY_COUNT(curl_names), &c, why);

    if (err == 0)
        err = judge_url(&c, req, why);
    if (err < 0)
        return err;
    curl = c.curl_easy_init();
    headers = make_headers(&c, req);
    if (curl == NULL || headers == NULL) {
        err = why_set(why, -ENOMEM, "out of memory");
    } else {
        (void)c.curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        err = perform(&c, curl, req, ret_status, ret_body, why);
    }
    free_headers(&c, headers);
    c.curl_easy_cleanup(curl);
    return err;
}

void http_client_escape(const char *text, struct buf *to)
{
    for (const char *p = text; *p != '\0'; p++) {
        bool is_plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                        (*p >= '0' && *p <= '9') || strchr("-._~", *p) != NULL;

        if (is_plain)
            buf_add_char(to, *p);
        else
            buf_printf(to, "%%%02X", (unsigned)(unsigned char)*p);
    }
}
