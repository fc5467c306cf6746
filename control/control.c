/* SPDX-License-Identifier: Apache-2.0 */
/*
 * latticed's parts put together: the data directory with its secrets, the store, the keys, the HTTP
 * server, and the timer that ends identities when their time is over.
 */
#include "control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/wipe.h"
#include "control/call.h"

#define CONNECTIONS_MAX 512u
#define REQUEST_MS_MAX  15000u
#define TIDY_MS         3600000
#define EXPIRY_MS_MAX   3600000 /* look again at least once an hour: the wall clock may be set */

void control_expire(struct control *c)
{
    int64_t now_ns = wall_now_ns();
    int64_t next_s = IDENTITY_NEVER;
    int64_t wait_ms = EXPIRY_MS_MAX;
    int count = store_expire(c->store, now_ns / NS_PER_S, &next_s);

    if (count < 0) {
        log_error("identities cannot be marked as expired; trying again", F_INT("errno", -count));
        wait_ms = 1000;
    } else if (next_s != IDENTITY_NEVER && next_s - now_ns / NS_PER_S < EXPIRY_MS_MAX / 1000) {
        wait_ms = next_s * 1000 - now_ns / NS_PER_MS;
    }
    (void)!loop_timer_set(c->config.loop, &c->expiry,
                          mono_add_ms(mono_now(), wait_ms > 0 ? wait_ms : 1));
    waiters_wake(c);
}

/** Old rows go once an hour; a failure waits for the next time. */
static void tidy(struct control *c, struct mono now)
{
    if (mono_before(now, mono_add_ms(c->tidied, TIDY_MS)))
        return;
    c->tidied = now;
    if (store_tidy(c->store, wall_now_ns() / NS_PER_S) < 0)
        log_warn("old rows cannot be removed now");
}

static void on_expiry(void *self, struct mono now)
{
    tidy(self, now);
    control_expire(self);
}

/** Read the secret in @path, or make one. Only its hash stays in memory. */
static int load_secret(const char *path, const char *prefix, uint8_t ret_hash[static HASH_LEN],
                       struct why *why)
{
    char secret[SECRET_CAP];
    struct buf text;
    struct stat st;
    int err;

    buf_init(&text, SECRET_CAP);
    if (lstat(path, &st) == 0) {
        if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0 || st.st_uid != geteuid()) {
            err = why_set(why, -EACCES,
                          "%s must be a file that only its owner may read (chmod 600)", path);
            goto out;
        }
        err = io_read_file(path, &text, why);
        if (err < 0)
            goto out;
        while (text.len > 0 && text.data[text.len - 1] == '\n')
            text.len--;
        err = text.len >= 32 ? secret_hash(buf_text(&text), ret_hash) : -EINVAL;
        if (err < 0)
            (void)why_set(why, err, "%s does not hold a token; remove it to get a new one", path);
        goto out;
    }
    err = secret_make(prefix, secret, ret_hash);
    if (err == 0) {
        auto_fd fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

        buf_printf(&text, "%s\n", secret);
        err = fd < 0 ? -errno : io_write_all(fd, text.data, text.len);
        if (err == 0 && fsync(fd) < 0)
            err = -errno;
    }
    wipe(secret, sizeof(secret));
    if (err < 0)
        (void)why_set(why, err, "cannot write %s: %s", path, strerror(-err));
out:
    if (text.data != NULL)
        wipe(text.data, text.cap);
    buf_done(&text);
    return err;
}

static int data_path(const struct control *c, const char *name, char *ret, size_t cap,
                     struct why *why)
{
    int len = snprintf(ret, cap, "%s/%s", c->config.data_dir, name);

    if (len < 0 || (size_t)len >= cap)
        return why_set(why, -ENAMETOOLONG, "the data directory's name is too long");
    return 0;
}

static int open_data(struct control *c, struct why *why)
{
    char path[1024], replay[1024];
    int err;

    if ((err = data_path(c, "lattice.db", path, sizeof(path), why)) < 0 ||
        (err = data_path(c, "admin-token", c->admin_path, sizeof(c->admin_path), why)) < 0 ||
        (err = data_path(c, "gateway-token", c->gateway_path, sizeof(c->gateway_path), why)) < 0 ||
        (err = load_secret(c->admin_path, "lt-admin-", c->admin_hash, why)) < 0 ||
        (err = load_secret(c->gateway_path, "lt-gateway-", c->gateway_hash, why)) < 0 ||
        (err = data_path(c, "replay-secret", replay, sizeof(replay), why)) < 0 ||
        (err = load_secret(replay, "lt-replay-", c->replay_secret, why)) < 0 ||
        (err = keyring_open(c->config.data_dir, &c->keys, why)) < 0)
        return err;
    err = store_open(path, &c->store, why);
    if (err < 0 || (err = data_path(c, "traces.db", path, sizeof(path), why)) < 0)
        return err;
    return audit_store_open(path, &c->traces, why);
}

static int start_http(struct control *c, struct why *why)
{
    struct http_config http = {
        .loop = c->config.loop,
        .listen = c->config.listen,
        .tls_cert = c->config.tls_cert,
        .tls_key = c->config.tls_key,
        .body_max = CALL_BODY_MAX,
        .connections_max = CONNECTIONS_MAX,
        .request_ms_max = REQUEST_MS_MAX,
        .request = api_request,
        .refused = api_refused,
        .dropped = waiters_drop,
        .self = c,
    };

    return http_server_new(&http, &c->http, why);
}

int control_new(const struct control_config *config, struct control **ret, struct why *why)
{
    struct control *c = calloc(1, sizeof(*c));
    const struct bus_sources sources = {.is_confined = nats_users_has, .self = c};
    int err;

    if (c == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    c->config = *config;
    c->expiry = (struct loop_timer){.expired = on_expiry, .self = c};
    err = buckets_new(&c->buckets);
    if (err == 0)
        err = open_data(c, why);
    else
        (void)why_set(why, err, "out of memory");
    if (err == 0 && config->stream != NULL) {
        (void)snprintf(c->nats_url, sizeof(c->nats_url), "%s", config->stream->url);
        err = bus_open(config->loop, config->stream, c->traces, &sources, &c->bus, why);
    }
    c->config.stream = NULL; /* it was borrowed for the call */
    if (err == 0)
        err = start_http(c, why);
    if (err < 0) {
        control_free(c);
        return err;
    }
    control_expire(c);
    nats_users_follow(c);
    *ret = c;
    return 0;
}

const char *control_audience(const struct control *c)
{
    return c->config.audience != NULL ? c->config.audience : "lattice";
}

uint16_t control_port(const struct control *c)
{
    return http_server_port(c->http);
}

const char *control_admin_token_path(const struct control *c)
{
    return c->admin_path;
}

void control_free(struct control *c)
{
    if (c == NULL)
        return;
    http_server_free(c->http);
    loop_timer_clear(c->config.loop, &c->expiry);
    loop_timer_clear(c->config.loop, &c->nats_grace);
    loop_timer_clear(c->config.loop, &c->waiters_timer);
    bus_close(c->bus);
    audit_store_close(c->traces);
    store_close(c->store);
    keyring_free(c->keys);
    wipe(c->replay_secret, sizeof(c->replay_secret));
    free(c->buckets);
    free(c);
}
