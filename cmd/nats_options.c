/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads who we are at a NATS server. A file of credentials that others may read is refused, as ssh
 * refuses such a key. Nothing is taken from the environment or the command line itself.
 */
#include "cmd/nats_options.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/wipe.h"

#define CREDS_MAX 16384u

static int check_url(const struct nats_options *o, struct why *why)
{
    if (strncmp(o->url, "nats://", 7) != 0 && strncmp(o->url, "tls://", 6) != 0)
        return why_set(why, -EINVAL, "--nats '%s': nats://HOST:PORT or tls://HOST:PORT expected",
                       o->url);
    if (strchr(o->url, '@') != NULL)
        return why_set(why, -EINVAL,
                       "--nats: a password in the URL can be seen by everybody; use --nats-creds");
    return 0;
}

static int check_owner_only(const char *path, struct why *why)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return why_set(why, -errno, "--nats-creds %s: %s", path, strerror(errno));
    if ((st.st_mode & 077) != 0)
        return why_set(why, -EACCES,
                       "--nats-creds %s: others have access to it; chmod 600 mends it", path);
    return 0;
}

/** One line of @text from *@at. */
static int take_line(struct bytes text, size_t *at, char *ret, size_t cap)
{
    const uint8_t *begin = text.data + *at;
    const uint8_t *end = memchr(begin, '\n', text.len - *at);
    size_t len = end != NULL ? (size_t)(end - begin) : text.len - *at;

    if (len == 0 || len >= cap || memchr(begin, '\0', len) != NULL)
        return -EINVAL;
    memcpy(ret, begin, len);
    ret[len] = '\0';
    *at += len + (end != NULL ? 1 : 0);
    return 0;
}

static int read_creds(struct nats_options *o, struct audit_stream *stream, struct why *why)
{
    struct buf text;
    size_t at = 0;
    int err = check_owner_only(o->creds, why);

    if (err < 0)
        return err;
    buf_init(&text, CREDS_MAX);
    err = io_read_file(o->creds, &text, why);
    if (err == 0 && memmem(text.data, text.len, "-----BEGIN", 10) != NULL) {
        stream->creds_file = o->creds;
    } else if (err == 0) {
        err = take_line(buf_bytes(&text), &at, o->user, sizeof(o->user));
        if (err == 0)
            err = take_line(buf_bytes(&text), &at, o->password, sizeof(o->password));
        if (err < 0)
            (void)why_set(why, err,
                          "--nats-creds %s: neither a NATS credentials file nor lines: user, "
                          "password",
                          o->creds);
        if (err == 0 && take_line(buf_bytes(&text), &at, o->inbox, sizeof(o->inbox)) == 0)
            stream->inbox = o->inbox;
        stream->make_stream = stream->inbox == NULL; /* such a user may not */
        stream->user = o->user;
        stream->password = o->password;
    }
    if (text.data != NULL)
        wipe(text.data, text.cap);
    buf_done(&text);
    return err;
}

int nats_options_stream(struct nats_options *o, struct audit_stream *ret, struct why *why)
{
    struct audit_stream stream = {
        .url = o->url, .ca_file = o->ca, .workspace = o->workspace, .make_stream = true};
    int err;

    if (o->url == NULL)
        return o->creds == NULL && o->ca == NULL && o->workspace == NULL
                   ? 1
                   : why_set(why, -EINVAL, "say where by --nats URL");
    err = check_url(o, why);
    if (err == 0 && o->creds != NULL)
        err = read_creds(o, &stream, why);
    if (err == 0)
        *ret = stream;
    return err;
}

void nats_options_done(struct nats_options *o)
{
    wipe(o->user, sizeof(o->user));
    wipe(o->password, sizeof(o->password));
}
