/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one POST to one path. No folded lines, no transfer codings, no second request behind the
 * first, no header twice whose value counts, no byte in a value that is not printable ASCII.
 */
#include "enroll/desk_request.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/json.h"

struct head {
    struct desk_request *to;
    bool has_length, has_bearer, has_key, has_type;
    size_t length;
};

/** The next line without its CRLF. -EAGAIN: not whole; 400: a bare CR, LF or NUL. */
static int take_line(struct bytes *rest, struct bytes *ret)
{
    for (size_t i = 0; i < rest->len; i++) {
        uint8_t c = rest->data[i];

        if (c == '\r' && i + 1 == rest->len)
            return -EAGAIN;
        if (c == '\r' && rest->data[i + 1] == '\n') {
            *ret = bytes_of(rest->data, i);
            *rest = bytes_of(rest->data + i + 2, rest->len - i - 2);
            return 0;
        }
        if (c == '\r' || c == '\n' || c == '\0')
            return 400;
    }
    return rest->len > DESK_HEAD_MAX ? 431 : -EAGAIN;
}

static bool has_prefix(struct bytes text, const char *prefix)
{
    size_t len = strlen(prefix);

    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

static bool is_version(struct bytes text)
{
    return bytes_equal(text, bytes_of_str("HTTP/1.1")) ||
           bytes_equal(text, bytes_of_str("HTTP/1.0"));
}

static int read_request_line(struct bytes line)
{
    const uint8_t *first = memchr(line.data, ' ', line.len);
    const uint8_t *end = line.data + line.len, *second;
    struct bytes target;

    if (line.len == 0 || first == NULL)
        return 400;
    second = memchr(first + 1, ' ', (size_t)(end - first - 1));
    if (second == NULL || !is_version(bytes_of(second + 1, (size_t)(end - second - 1))))
        return 400;
    target = bytes_of(first + 1, (size_t)(second - first - 1));
    if (!bytes_equal(target, bytes_of_str(DESK_PATH)))
        return 404; /* nothing else is here, whatever the verb */
    return has_prefix(line, "POST ") ? 0 : 405;
}

static bool is_header(struct bytes name, const char *wanted)
{
    return name.len == strlen(wanted) &&
           strncasecmp((const char *)name.data, wanted, name.len) == 0;
}

static int read_length(struct head *h, struct bytes value)
{
    if (h->has_length || value.len == 0 || value.len > 9)
        return 400;
    h->has_length = true;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return 400;
        h->length = 10 * h->length + (size_t)(value.data[i] - '0');
    }
    return h->length > DESK_BODY_MAX ? 413 : 0;
}

static int keep(bool *has, struct bytes value, char *ret, size_t cap)
{
    if (*has || value.len == 0 || value.len >= cap)
        return 400;
    *has = true;
    memcpy(ret, value.data, value.len);
    ret[value.len] = '\0';
    return 0;
}

static int take_header(struct head *h, struct bytes name, struct bytes value)
{
    static const char scheme[] = "Bearer ";

    if (is_header(name, "Content-Length"))
        return read_length(h, value);
    if (is_header(name, "Transfer-Encoding"))
        return 411;
    if (is_header(name, "Idempotency-Key"))
        return keep(&h->has_key, value, h->to->idempotency_key, sizeof(h->to->idempotency_key));
    if (is_header(name, "Authorization")) {
        size_t skip = sizeof(scheme) - 1;

        if (value.len <= skip || memcmp(value.data, scheme, skip) != 0)
            return 401;
        return keep(&h->has_bearer, bytes_of(value.data + skip, value.len - skip), h->to->bearer,
                    sizeof(h->to->bearer));
    }
    if (is_header(name, "Content-Type")) {
        if (h->has_type || value.len < 16 ||
            strncasecmp((const char *)value.data, "application/json", 16) != 0)
            return 415;
        h->has_type = true;
    }
    if (is_header(name, "Expect"))
        h->to->expects_continue = true;
    return 0;
}

/** A field name is a token (RFC 9110 5.6.2): here, letters, digits, '-' and '_'. */
static bool is_name(struct bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return name.len > 0;
}

static int read_header(struct head *h, struct bytes line)
{
    const uint8_t *colon = memchr(line.data, ':', line.len);
    struct bytes name, value;

    if (colon == NULL)
        return 400;
    name = bytes_of(line.data, (size_t)(colon - line.data));
    value = bytes_of(colon + 1, line.len - name.len - 1);
    if (!is_name(name))
        return 400;
    while (value.len > 0 && (value.data[0] == ' ' || value.data[0] == '\t'))
        value = bytes_of(value.data + 1, value.len - 1);
    while (value.len > 0 && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
        value.len--;
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] < 0x20 || value.data[i] > 0x7e)
            return 400;
    return take_header(h, name, value);
}

int desk_request_parse(struct bytes input, struct desk_request *ret)
{
    struct bytes rest = input, line = {0};
    struct head h = {.to = ret};
    int status;

    ret->bearer[0] = ret->idempotency_key[0] = '\0';
    ret->expects_continue = false;
    ret->body = (struct bytes){0};
    status = take_line(&rest, &line);
    if (status == 0)
        status = read_request_line(line);
    while (status == 0) {
        if (input.len - rest.len > DESK_HEAD_MAX)
            return 431;
        status = take_line(&rest, &line);
        if (status != 0 || line.len == 0)
            break;
        status = read_header(&h, line);
    }
    if (status != 0)
        return status;
    if (!h.has_length)
        return 411;
    if (rest.len < h.length)
        return -EAGAIN;
    if (rest.len > h.length)
        return 400; /* one request a connection */
    ret->body = rest;
    return 0;
}

int desk_request_bearer_check(const struct desk_request *r, const struct desk_agent *who)
{
    const struct json_limits limits = {.bytes = DESK_VALUE_CAP, .depth = 4};
    const char *payload = strchr(r->bearer, '.');
    const char *end = payload != NULL ? strchr(payload + 1, '.') : NULL;
    struct json_doc *doc = NULL;
    struct buf text;
    int status = 401;

    buf_init(&text, DESK_VALUE_CAP);
    if (end != NULL &&
        base64url_read(bytes_of(payload + 1, (size_t)(end - payload - 1)), &text) == 0 &&
        json_parse(buf_bytes(&text), &limits, &doc, /*why=*/NULL) == 0)
        status = json_is_str(json_get(json_root(doc), "agent_id"), who->name) &&
                         json_is_str(json_get(json_root(doc), "namespace"), who->ns)
                     ? 0
                     : 403;
    json_free(doc);
    buf_done(&text);
    return status;
}
