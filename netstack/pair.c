/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The carrier between two flows of this stack: each is the far end of the other. For connections
 * inside a sandbox that shall close exactly as TCP does. A chunk that one side sent goes to the
 * other's near end at once, or waits with the other until that takes it; at most one does, so
 * back-pressure passes through. A flow may also be its own far end.
 */
#include "netstack/flow.h"

#include <errno.h>
#include <sys/socket.h>

#include "netstack/stack.h"

static int pair_connect(struct flow *f, uint16_t local_port)
{
    (void)f;
    (void)local_port;
    return -EOPNOTSUPP; /* a pair is born connected */
}

static size_t pair_room(const struct flow *f)
{
    const struct flow *peer = f->pair.peer;

    return peer == NULL || peer->pair.in.data == NULL ? RELAY_CHUNK : 0;
}

static ssize_t pair_send(struct flow *f, const uint8_t *data, size_t len)
{
    struct flow *peer = f->pair.peer;
    size_t put;
    int err;

    if (peer == NULL)
        return -ECONNRESET; /* nobody is there any more: TCP's answer to data is a reset */
    if (peer->pair.in.data != NULL)
        return 0;
    put = relay_deliver(peer, data, len, f->out_ends_urgent);
    if (put == len)
        return (ssize_t)len;
    err = leftover_keep(&peer->pair.in, data + put, len - put);
    if (err < 0)
        return err;
    peer->in_ends_urgent = f->out_ends_urgent;
    flow_queue(peer);
    return (ssize_t)len;
}

static void pair_send_end(struct flow *f)
{
    if (f->pair.peer == NULL)
        return;
    f->pair.peer->pair.is_over = true;
    flow_queue(f->pair.peer);
}

static int pair_peek(struct flow *f, struct iovec *iov, int cap)
{
    struct leftover *in = &f->pair.in;

    must(cap >= 1);
    if (in->data == NULL)
        return f->pair.is_over ? -ENODATA : 0;
    iov[0] = (struct iovec){.iov_base = in->data + in->at, .iov_len = in->len - in->at};
    return 1;
}

static void pair_take(struct flow *f, size_t len)
{
    struct leftover *in = &f->pair.in;

    in->at += len;
    if (in->data == NULL || in->at < in->len)
        return;
    leftover_drop(in);
    f->in_ends_urgent = false;
    if (f->pair.peer != NULL)
        flow_queue(f->pair.peer); /* there is room again */
}

static void pair_flush(struct flow *f)
{
    (void)f; /* what was sent is there already */
}

static void pair_close(struct flow *f, bool reset)
{
    struct flow *peer = f->pair.peer;

    leftover_drop(&f->pair.in);
    f->pair.peer = NULL;
    if (peer == NULL || peer == f)
        return;
    peer->pair.peer = NULL;
    if (reset) { /* no end of stream: its near end would read that first */
        flow_far_failed(peer, -ECONNRESET);
        return;
    }
    peer->pair.is_over = true;
    flow_queue(peer);
}

static const struct carrier pair_carrier = {
    .connect = pair_connect,
    .room = pair_room,
    .send = pair_send,
    .send_end = pair_send_end,
    .peek = pair_peek,
    .take = pair_take,
    .flush = pair_flush,
    .close = pair_close,
    .is_outrun = true,
};

void flow_limit(struct flow *f, int32_t bytes)
{
    int half = bytes / 2; /* the kernel doubles it */

    if (f->carrier != &pair_carrier || f->state != FLOW_RELAYING)
        return;
    relay_keep_nothing(f);
    if (f->pair.peer != NULL && f->pair.peer->near.fd >= 0)
        (void)setsockopt(f->pair.peer->near.fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof(half));
}

int flow_pair(struct netstack *ns, const struct flow_events *events, void *self_a, void *self_b,
              struct flow **ret_a, struct flow **ret_b)
{
    struct flow *ends[2] = {flow_new(ns, &pair_carrier), NULL};

    if (ends[0] == NULL)
        return -EMFILE;
    flow_move(ends[0], FLOW_OPENING);
    ends[1] = flow_new(ns, &pair_carrier);
    if (ends[1] == NULL) {
        flow_move(ends[0], FLOW_ENDED);
        flow_free(ends[0]);
        return -EMFILE;
    }
    flow_move(ends[1], FLOW_OPENING);
    for (unsigned i = 0; i < 2; i++) {
        ends[i]->events = events;
        ends[i]->self = i == 0 ? self_a : self_b;
        ends[i]->pair = (struct pair_end){.peer = ends[1 - i]};
        flow_move(ends[i], FLOW_OPEN);
    }
    *ret_a = ends[0];
    *ret_b = ends[1];
    return 0;
}

int flow_self(struct netstack *ns, const struct flow_events *events, void *self, struct flow **ret)
{
    struct flow *f = flow_new(ns, &pair_carrier);

    if (f == NULL)
        return -EMFILE;
    flow_move(f, FLOW_OPENING);
    f->events = events;
    f->self = self;
    f->pair = (struct pair_end){.peer = f};
    flow_move(f, FLOW_OPEN);
    *ret = f;
    return 0;
}
