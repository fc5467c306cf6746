/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves lines between descriptors and the gateway. A side that does not read stops the other side
 * from being read, so memory stays bounded; a line that is too long ends its side, because a
 * gateway that skipped it could not say what it had let through.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "mcp/mcp.h"

#define READ_CHUNK 65536u
#define QUEUE_LOW  (1u << 20)          /* above this, the other side is not read */
#define QUEUE_MAX  (4u * MCP_LINE_MAX) /* a full line from each side fits many times */

struct input {
    struct mcp_stdio *stdio;
    struct loop_watch watch;
    struct buf line; /* what was read and is not a whole line yet */
    bool is_over;
    bool is_client;
};

struct output {
    struct mcp_stdio *stdio;
    struct loop_watch watch;
    struct buf queue;
    bool is_broken; /* nobody reads any more; what comes is dropped */
};

struct mcp_stdio {
    struct mcp_stdio_config config;
    struct mcp_gateway *gateway; /* borrowed */
    struct input client;
    struct input server;
    struct output to_client;
    struct output to_server;
    bool is_ended;
};

static void end(struct mcp_stdio *s)
{
    if (s->is_ended)
        return;
    s->is_ended = true;
    loop_unwatch(s->config.loop, &s->client.watch);
    loop_unwatch(s->config.loop, &s->server.watch);
    s->config.ended(s->config.self);
}

/** Read a side only while what it causes can be written. */
static void steer(struct mcp_stdio *s)
{
    bool is_slow = s->to_client.queue.len > QUEUE_LOW || s->to_server.queue.len > QUEUE_LOW;
    struct input *inputs[] = {&s->client, &s->server};

    if (s->is_ended)
        return;
    for (unsigned i = 0; i < ARRAY_COUNT(inputs); i++) {
        struct input *in = inputs[i];

        if (is_slow || in->is_over)
            loop_unwatch(s->config.loop, &in->watch);
        else if (!in->watch.is_active && loop_watch(s->config.loop, &in->watch, EPOLLIN) < 0)
            end(s); /* no descriptor to wait with: nothing more can be passed on */
    }
    if (s->server.is_over && (s->to_client.queue.len == 0 || s->to_client.is_broken))
        end(s);
}

static void output_flush(struct output *out)
{
    while (out->queue.len > 0 && !out->is_broken) {
        ssize_t put = io_write(out->watch.fd, out->queue.data, out->queue.len);

        if (put == -EAGAIN)
            break;
        if (put < 0)
            out->is_broken = true;
        else
            buf_consume(&out->queue, (size_t)put);
    }
    if (out->is_broken)
        buf_reset(&out->queue);
    if (out->queue.len == 0)
        loop_unwatch(out->stdio->config.loop, &out->watch);
    else if (!out->watch.is_active &&
             loop_watch(out->stdio->config.loop, &out->watch, EPOLLOUT) < 0)
        out->is_broken = true;
}

static void output_ready(void *self, uint32_t events)
{
    struct output *out = self;

    (void)events; /* an error shows at the write */
    output_flush(out);
    if (out->is_broken && out == &out->stdio->to_client)
        end(out->stdio);
    steer(out->stdio);
}

static void output_add(struct output *out, struct bytes line)
{
    if (out->is_broken)
        return;
    buf_add(&out->queue, line.data, line.len);
    if (buf_error(&out->queue) != 0)
        out->is_broken = true; /* beyond every bound that steer() keeps */
    output_flush(out);
}

void mcp_stdio_to_client(struct mcp_stdio *s, struct bytes line)
{
    output_add(&s->to_client, line);
}

void mcp_stdio_to_server(struct mcp_stdio *s, struct bytes line)
{
    output_add(&s->to_server, line);
}

static void hand_over(struct input *in, struct bytes line)
{
    struct mono now = mono_now();
    int64_t now_s = wall_now_ns() / NS_PER_S;

    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    if (line.len == 0)
        return; /* an empty line is no message */
    if (in->is_client)
        mcp_gateway_from_client(in->stdio->gateway, line, now, now_s);
    else
        mcp_gateway_from_server(in->stdio->gateway, line, now, now_s);
}

static void split_lines(struct input *in, size_t searched)
{
    size_t start = 0;

    for (;;) {
        const uint8_t *from = in->line.data + start + searched;
        const uint8_t *end_of_line = memchr(from, '\n', in->line.len - start - searched);

        if (end_of_line == NULL)
            break;
        hand_over(in,
                  bytes_of(in->line.data + start, (size_t)(end_of_line - in->line.data) - start));
        start = (size_t)(end_of_line - in->line.data) + 1;
        searched = 0;
    }
    buf_consume(&in->line, start);
}

static void input_over(struct input *in)
{
    struct mcp_stdio *s = in->stdio;

    in->is_over = true;
    if (in->is_client) {
        s->config.client_ended(s->config.self);
        return;
    }
    mcp_gateway_server_gone(s->gateway, mono_now());
}

static void input_ready(void *self, uint32_t events)
{
    struct input *in = self;
    size_t before = in->line.len;
    uint8_t *room = buf_reserve(&in->line, READ_CHUNK);
    ssize_t got;

    (void)events; /* an end or an error shows at the read */
    if (room == NULL) {
        input_over(in); /* no line may be that long */
    } else {
        got = io_read(in->watch.fd, room, READ_CHUNK);
        if (got > 0) {
            buf_commit(&in->line, (size_t)got);
            split_lines(in, before);
        } else if (got != -EAGAIN) {
            input_over(in);
        }
    }
    steer(in->stdio);
}

int mcp_stdio_new(const struct mcp_stdio_config *config, struct mcp_stdio **ret)
{
    const int fds[] = {config->client_in, config->client_out, config->server_in,
                       config->server_out};
    struct mcp_stdio *s;

    for (unsigned i = 0; i < ARRAY_COUNT(fds); i++) {
        int err = io_set_nonblock(fds[i]);

        if (err < 0)
            return err;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->config = *config;
    s->client = (struct input){.stdio = s, .is_client = true};
    s->server = (struct input){.stdio = s};
    s->to_client = (struct output){.stdio = s};
    s->to_server = (struct output){.stdio = s};
    s->client.watch =
        (struct loop_watch){.fd = config->client_in, .ready = input_ready, .self = &s->client};
    s->server.watch =
        (struct loop_watch){.fd = config->server_out, .ready = input_ready, .self = &s->server};
    s->to_client.watch =
        (struct loop_watch){.fd = config->client_out, .ready = output_ready, .self = &s->to_client};
    s->to_server.watch =
        (struct loop_watch){.fd = config->server_in, .ready = output_ready, .self = &s->to_server};
    buf_init(&s->client.line, MCP_LINE_MAX + READ_CHUNK);
    buf_init(&s->server.line, MCP_LINE_MAX + READ_CHUNK);
    buf_init(&s->to_client.queue, QUEUE_MAX);
    buf_init(&s->to_server.queue, QUEUE_MAX);
    *ret = s;
    return 0;
}

int mcp_stdio_start(struct mcp_stdio *s, struct mcp_gateway *gateway)
{
    int err;

    s->gateway = gateway;
    err = loop_watch(s->config.loop, &s->client.watch, EPOLLIN);
    if (err == 0)
        err = loop_watch(s->config.loop, &s->server.watch, EPOLLIN);
    return err;
}

void mcp_stdio_free(struct mcp_stdio *s)
{
    if (s == NULL)
        return;
    loop_unwatch(s->config.loop, &s->client.watch);
    loop_unwatch(s->config.loop, &s->server.watch);
    loop_unwatch(s->config.loop, &s->to_client.watch);
    loop_unwatch(s->config.loop, &s->to_server.watch);
    buf_done(&s->client.line);
    buf_done(&s->server.line);
    buf_done(&s->to_client.queue);
    buf_done(&s->to_server.queue);
    free(s);
}
