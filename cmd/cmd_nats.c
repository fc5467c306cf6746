/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice nats`: is the NATS server there, does it let us in, what does the stream hold, what
 * passes by? For a person who looks for a fault, so it speaks the client protocol itself, over
 * plain TCP, and shows what the server answers. It publishes nothing but questions.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/json_out.h"
#include "base/own.h"
#include "base/wipe.h"
#include "cmd/commands.h"
#include "cmd/nats_options.h"
#include "cmd/session.h"

#define LINE_CAP_MAX (1u << 20)
#define WAIT_S       5

enum { OPTION_NATS, OPTION_CREDS, OPTION_JSON };

static const struct cli_option options[] = {
    [OPTION_NATS] = {"nats", "URL", "The server: nats://HOST:PORT (latticed's: see discovery)"},
    [OPTION_CREDS] = {"nats-creds", "FILE",
                      "Who we are there: a file of two lines, user and password"},
    [OPTION_JSON] = {"json", NULL, "What the server answers, as JSON"},
};

static const struct cli_command command = {
    .path = "lattice nats",
    .synopsis = "status|streams|sub [SUBJECT] --nats URL [OPTIONS]",
    .summary = "Look at a NATS server and at the stream of records.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .more = "  status         is it there, does it let us in, how long does an answer take\n"
            "  streams        what the stream " AUDIT_STREAM_NAME " holds\n"
            "  sub [SUBJECT]  print messages as they pass (default: lattice.>)\n\n"
            "latticed's own user is in DATA/nats/server.conf, agents' are in their registration.",
    .usage_status = CLI_EXIT_USAGE,
};

struct line_reader {
    int fd;
    struct buf data;
    size_t at;
};

/** The next line, without its end, or @len bytes of a message; borrowed until the next call. */
static int read_part(struct line_reader *r, size_t len, struct bytes *ret)
{
    char more[4096];

    if (r->at > 0) {
        memmove(r->data.data, r->data.data + r->at, r->data.len - r->at);
        r->data.len -= r->at;
        r->at = 0;
    }
    for (;;) {
        const uint8_t *end =
            len == 0 && r->data.len > 0 ? memmem(r->data.data, r->data.len, "\r\n", 2) : NULL;
        size_t have = len > 0 ? (r->data.len >= len + 2 ? len : 0)
                              : (end != NULL ? (size_t)(end - r->data.data) : 0);
        ssize_t got;

        if (end != NULL || (len > 0 && have > 0)) {
            *ret = bytes_of(r->data.data, have);
            r->at = have + 2;
            return 0;
        }
        got = io_read(r->fd, more, sizeof(more));
        if (got <= 0)
            return got == 0 ? -ECONNRESET : (int)got;
        buf_add(&r->data, more, (size_t)got);
        if (buf_error(&r->data) < 0)
            return -EMSGSIZE;
    }
}

static int connect_to(const char *url, struct why *why)
{
    const struct timeval wait = {.tv_sec = WAIT_S};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char host[256], port[8];
    int fd = -1;

    if (sscanf(url, "nats://%255[^:/]:%7[0-9]", host, port) != 2)
        return why_set(why, -EINVAL, "--nats '%s': nats://HOST:PORT expected", url);
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return why_set(why, -EHOSTUNREACH, "%s cannot be resolved", host);
    for (struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
                        connect(fd, a->ai_addr, a->ai_addrlen) < 0))
            own_close(&fd);
    }
    freeaddrinfo(found);
    return fd >= 0 ? fd : why_set(why, -ECONNREFUSED, "nobody answers at %s", url);
}

static int say(const struct line_reader *r, const struct buf *text)
{
    return buf_error(text) < 0 ? -ENOMEM : io_write_all(r->fd, text->data, text->len);
}

/** Greet; the server's INFO goes to @info, as JSON. */
static int enter(struct line_reader *r, const struct audit_stream *as, struct buf *info,
                 struct why *why)
{
    struct bytes line;
    struct json_out j;
    struct buf text;
    int err = read_part(r, 0, &line);

    if (err < 0 || line.len < 6 || memcmp(line.data, "INFO ", 5) != 0)
        return why_set(why, -EPROTO, "this is no NATS server");
    buf_add(info, line.data + 5, line.len - 5);
    buf_init(&text, 8192);
    buf_add_str(&text, "CONNECT ");
    json_out_init(&j, &text);
    json_open_object(&j);
    json_put_bool(&j, "verbose", false);
    json_put_str(&j, "name", "lattice nats");
    json_put_str(&j, "user", as->user);
    json_put_str(&j, "pass", as->password);
    json_close_object(&j);
    buf_add_str(&text, "\r\nPING\r\n");
    err = say(r, &text);
    if (text.data != NULL)
        wipe(text.data, text.cap);
    buf_done(&text);
    if (err == 0)
        err = read_part(r, 0, &line);
    if (err < 0)
        return why_set(why, err, "the server closed the connection");
    if (line.len >= 4 && memcmp(line.data, "-ERR", 4) == 0)
        return why_set(why, -EACCES, "the server refuses us: %.*s", (int)line.len, line.data);
    return 0;
}

static const char *text_of(const struct json *object, const char *key)
{
    const char *text = "";

    (void)!json_read_str(json_get(object, key), &text); /* absent: "" */
    return text;
}

static int show_status(struct line_reader *r, const struct buf *info, bool is_json)
{
    const struct json_limits limits = {.bytes = LINE_CAP_MAX};
    struct mono begin = mono_now();
    struct json_doc *doc = NULL;
    struct bytes line;
    bool has_stream = false;

    if (is_json) {
        printf("%.*s\n", (int)info->len, (const char *)info->data);
        return 0;
    }
    if (io_write_all(r->fd, "PING\r\n", 6) < 0 || read_part(r, 0, &line) < 0)
        return -EIO;
    if (json_parse(buf_bytes(info), &limits, &doc, NULL) < 0)
        return -EPROTO;
    (void)!json_read_bool(json_get(json_root(doc), "jetstream"), &has_stream);
    printf("server     %s (nats-server %s)\njetstream  %s\nanswers in %.2f ms\n",
           text_of(json_root(doc), "server_id"), text_of(json_root(doc), "version"),
           has_stream ? "yes" : "no", (double)(mono_now().ns - begin.ns) / 1e6);
    json_free(doc);
    return 0;
}

/** The next message; the server's own questions are answered on the way. */
static int next_message(struct line_reader *r, char subject[static 256], struct bytes *ret)
{
    struct bytes line;
    char text[1024];
    int err;

    while ((err = read_part(r, 0, &line)) == 0) {
        char *last;

        (void)snprintf(text, sizeof(text), "%.*s", (int)line.len, (const char *)line.data);
        if (strcmp(text, "PING") == 0 && io_write_all(r->fd, "PONG\r\n", 6) < 0)
            return -EIO;
        if (strncmp(text, "-ERR", 4) == 0) {
            (void)fprintf(stderr, "lattice: %s\n", text);
            return -EACCES;
        }
        if (strncmp(text, "MSG ", 4) != 0 || sscanf(text, "MSG %255s", subject) != 1)
            continue;
        last = strrchr(text, ' ');
        return read_part(r, (size_t)strtoul(last + 1, NULL, 10), ret);
    }
    return err;
}

static uint64_t count_of(const struct json *object, const char *key)
{
    uint64_t n = 0;

    (void)!json_read_u64(json_get(object, key), &n);
    return n;
}

static int show_streams(struct line_reader *r, const struct audit_stream *as, bool is_json)
{
    const struct json_limits limits = {.bytes = LINE_CAP_MAX};
    const char *inbox = as->inbox != NULL ? as->inbox : "_INBOX";
    struct json_doc *doc = NULL;
    const struct json *state;
    char subject[256];
    struct bytes body;
    struct buf text;
    int err;

    buf_init(&text, 4096);
    buf_printf(&text,
               "SUB %s.nats 1\r\nPUB $JS.API.STREAM.INFO." AUDIT_STREAM_NAME " %s.nats 0\r\n\r\n",
               inbox, inbox);
    err = say(r, &text);
    buf_done(&text);
    if (err == 0)
        err = next_message(r, subject, &body);
    if (err < 0)
        return err;
    if (is_json) {
        printf("%.*s\n", (int)body.len, (const char *)body.data);
        return 0;
    }
    if (json_parse(body, &limits, &doc, NULL) < 0)
        return -EPROTO;
    state = json_get(json_root(doc), "state");
    if (state == NULL)
        printf("there is no stream " AUDIT_STREAM_NAME " yet\n");
    else
        printf("stream     " AUDIT_STREAM_NAME "\nmessages   %llu\nbytes      %llu\nfirst      %s\n"
               "last       %s\nconsumers  %llu\n",
               (unsigned long long)count_of(state, "messages"),
               (unsigned long long)count_of(state, "bytes"), text_of(state, "first_ts"),
               text_of(state, "last_ts"), (unsigned long long)count_of(state, "consumer_count"));
    json_free(doc);
    return 0;
}

static int show_messages(struct line_reader *r, const char *wanted)
{
    const struct timeval forever = {0};
    char subject[256];
    struct bytes body;
    struct buf text;
    int err;

    if (strpbrk(wanted, " \t\r\n") != NULL)
        return -EINVAL;
    buf_init(&text, 1024);
    buf_printf(&text, "SUB %s 1\r\n", wanted);
    err = say(r, &text);
    buf_done(&text);
    (void)setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever));
    while (err == 0 && (err = next_message(r, subject, &body)) == 0) {
        printf("%s %.*s\n", subject, (int)body.len, (const char *)body.data);
        if (fflush(stdout) != 0)
            return -EPIPE;
    }
    return err;
}

static int run(const struct audit_stream *as, const struct operands *words, bool is_json)
{
    struct line_reader r = {.fd = -1};
    struct why why = {0};
    struct buf info;
    int err;

    buf_init(&info, LINE_CAP_MAX);
    buf_init(&r.data, LINE_CAP_MAX * 2);
    r.fd = connect_to(as->url, &why);
    err = r.fd < 0 ? r.fd : enter(&r, as, &info, &why);
    if (err == 0 && strcmp(words->items[0], "status") == 0)
        err = show_status(&r, &info, is_json);
    else if (err == 0 && strcmp(words->items[0], "streams") == 0)
        err = show_streams(&r, as, is_json);
    else if (err == 0)
        err = show_messages(&r, words->count > 1 ? words->items[1] : "lattice.>");
    if (err < 0 && why.text[0] == '\0')
        (void)why_set(&why, err, "%s: %s", as->url, strerror(-err));
    own_close(&r.fd);
    buf_done(&r.data);
    buf_done(&info);
    return err < 0 ? session_fail(&why) : fflush(stdout) == 0 ? CLI_EXIT_OK : CLI_EXIT_ERROR;
}

int cmd_nats(int argc, char **argv)
{
    struct nats_options o = {0};
    struct operands words = {0};
    struct audit_stream as;
    struct why why = {0};
    bool is_json = false;
    struct cli_parser p;
    int option, status;

    operands_begin(&p, &command, argc, argv, &words);
    while ((option = cli_next(&p)) >= 0)
        if (option == OPTION_JSON)
            is_json = true;
        else
            *(option == OPTION_NATS ? &o.url : &o.creds) = p.value;
    if (option == CLI_STOP)
        return p.status;
    operands_end(&p, &words);
    if (words.count == 0 || words.count > 2 ||
        (strcmp(words.items[0], "sub") != 0 &&
         (words.count > 1 ||
          (strcmp(words.items[0], "status") != 0 && strcmp(words.items[0], "streams") != 0))))
        return cli_usage_error(&command, "expected: %s", command.synopsis);
    if (o.url == NULL)
        return cli_usage_error(&command, "say which server by --nats URL");
    if (nats_options_stream(&o, &as, &why) < 0)
        return session_fail(&why);
    status = run(&as, &words, is_json);
    nats_options_done(&o);
    return status;
}
