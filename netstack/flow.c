/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of flows, their states, and the run queue. It decides when a flow's owner is told what;
 * it does not move bytes (relay.c) and does not know how the far end is reached (carriers).
 */
#include "netstack/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netstack/stack.h"
#include "netstack/packet.h"

/* From which state (row) a flow may move to which (bit). */
#define TO(state) (1u << (state))
static const unsigned moves[FLOW_STATE_COUNT] = {
    [FLOW_FREE] = TO(FLOW_HELD) | TO(FLOW_OPENING),
    [FLOW_HELD] = TO(FLOW_OPENING) | TO(FLOW_ENDED),
    [FLOW_OPENING] = TO(FLOW_OPEN) | TO(FLOW_RELAYING) | TO(FLOW_ENDED),
    [FLOW_OPEN] = TO(FLOW_RELAYING) | TO(FLOW_ENDED),
    [FLOW_RELAYING] = TO(FLOW_ENDED),
    [FLOW_ENDED] = TO(FLOW_FREE),
};

void flow_move(struct flow *f, enum flow_state to)
{
    must((moves[f->state] & TO(to)) != 0);
    f->state = to;
}

const char *flow_state_name(enum flow_state state)
{
    static const char *const names[FLOW_STATE_COUNT] = {
        [FLOW_FREE] = "free", [FLOW_HELD] = "held",         [FLOW_OPENING] = "opening",
        [FLOW_OPEN] = "open", [FLOW_RELAYING] = "relaying", [FLOW_ENDED] = "ended",
    };

    must(state < FLOW_STATE_COUNT);
    return names[state];
}

struct flow *flow_new(struct netstack *ns, const struct carrier *carrier)
{
    struct flow *f;

    if (ns->flow_free != 0) {
        f = &ns->flows[ns->flow_free - 1];
        ns->flow_free = f->next_free;
    } else if (ns->flow_touched < FLOW_MAX) {
        f = &ns->flows[ns->flow_touched++];
    } else {
        return NULL;
    }
    must(f->state == FLOW_FREE);
    *f = (struct flow){
        .ns = ns, .carrier = carrier, .since = loop_now(ns->loop), .near = {.fd = -1}};
    ns->flow_count++;
    return f;
}

static void unqueue(struct flow *f)
{
    struct netstack *ns = f->ns;

    if (!f->is_queued)
        return;
    *(f->run_prev != NULL ? &f->run_prev->run_next : &ns->run_head) = f->run_next;
    *(f->run_next != NULL ? &f->run_next->run_prev : &ns->run_tail) = f->run_prev;
    f->run_prev = f->run_next = NULL;
    f->is_queued = false;
    ns->run_count--;
}

void flow_free(struct flow *f)
{
    struct netstack *ns = f->ns;

    must(f->near.fd < 0 && f->out.data == NULL);
    unqueue(f);
    flow_move(f, FLOW_FREE);
    f->next_free = ns->flow_free;
    ns->flow_free = (uint32_t)(f - ns->flows) + 1;
    ns->flow_count--;
}

void flow_queue(struct flow *f)
{
    struct netstack *ns = f->ns;

    if (f->is_queued)
        return;
    f->is_queued = true;
    f->run_next = NULL;
    f->run_prev = ns->run_tail;
    *(ns->run_tail != NULL ? &ns->run_tail->run_next : &ns->run_head) = f;
    ns->run_tail = f;
    ns->run_count++;
}

void flow_answered(struct flow *f, int err)
{
    must(f->state == FLOW_OPENING);
    f->is_answered = true;
    f->err = err;
    flow_queue(f);
}

void flow_far_failed(struct flow *f, int err)
{
    f->far_failed = true;
    f->err = err;
    flow_queue(f);
}

void flow_end(struct flow *f, int err, bool reset_far)
{
    struct flow_stats stats = {.bytes_out = f->bytes_out,
                               .bytes_in = f->bytes_in,
                               .duration_ns = loop_now(f->ns->loop).ns - f->since.ns};
    bool was_told = f->state == FLOW_OPEN || f->state == FLOW_RELAYING || f->near.fd >= 0;

    flow_move(f, FLOW_ENDED);
    relay_stop(f, err != 0);
    f->carrier->close(f, reset_far);
    if (was_told && f->events != NULL)
        f->events->closed(f->self, f, err, &stats);
    flow_free(f);
}

static void run_relaying(struct flow *f)
{
    if (relay_run(f) == RELAY_AGAIN)
        flow_queue(f);
}

/** The connect was answered: tell the owner; a gateway's flow has its near end and goes on at once.
 */
static void run_opening(struct flow *f)
{
    if (!f->is_answered)
        return;
    if (f->near.fd >= 0) {
        if (f->err != 0) {
            flow_end(f, f->err, /*reset_far=*/true);
            return;
        }
        flow_move(f, FLOW_RELAYING);
        run_relaying(f);
        return;
    }
    if (f->err == 0) {
        flow_move(f, FLOW_OPEN);
        f->carrier->flush(f);
        f->events->opened(f->self, f, 0);
        return;
    }
    flow_move(f, FLOW_ENDED);
    f->carrier->close(f, /*reset=*/true);
    f->events->opened(f->self, f, f->err);
    flow_free(f);
}

static void run(struct flow *f)
{
    switch (f->state) {
    case FLOW_OPENING:
        run_opening(f);
        break;
    case FLOW_OPEN:
        if (f->far_failed)
            flow_end(f, f->err, /*reset_far=*/true);
        else
            f->carrier->flush(f);
        break;
    case FLOW_RELAYING:
        run_relaying(f);
        break;
    case FLOW_FREE:
    case FLOW_HELD:
    case FLOW_ENDED:
    case FLOW_STATE_COUNT:
        break;
    }
}

bool flow_run_all(struct netstack *ns)
{
    for (uint32_t left = ns->run_count; left > 0 && ns->run_head != NULL; left--) {
        struct flow *f = ns->run_head;

        unqueue(f);
        run(f);
    }
    return ns->run_head != NULL;
}

int flow_open_marked(struct netstack *ns, const struct endpoint *dst, uint16_t local_port,
                     const struct wire_mark *mark, const struct flow_events *events, void *self,
                     struct flow **ret)
{
    const struct carrier *carrier = ns->mode == NETSTACK_DIRECT ? &host_carrier : &lwip_carrier;
    struct flow *f;
    int err;

    if (ns->mode == NETSTACK_OFFLINE)
        return -ENETUNREACH;
    f = flow_new(ns, carrier);
    if (f == NULL)
        return -EMFILE;
    f->remote = *dst;
    f->remote.ip = ip_unmap(&dst->ip);
    f->mark = *mark;
    f->events = events;
    f->self = self;
    flow_move(f, FLOW_OPENING);
    err = carrier->connect(f, local_port);
    if (err < 0) {
        flow_move(f, FLOW_ENDED);
        carrier->close(f, /*reset=*/true);
        flow_free(f);
        return err;
    }
    *ret = f;
    return 0;
}

int flow_open(struct netstack *ns, const struct endpoint *dst, uint16_t local_port,
              const struct flow_events *events, void *self, struct flow **ret)
{
    static const struct wire_mark usual = {.hops = PACKET_HOPS};

    return flow_open_marked(ns, dst, local_port, &usual, events, self, ret);
}

void flow_set_mark(struct flow *f, struct wire_mark mark)
{
    f->mark = mark;
    if (f->carrier->remark != NULL)
        f->carrier->remark(f);
}

static int attach(struct flow *f, int stream_fd, bool keeps_byte)
{
    int err;

    must(f->state == FLOW_OPEN);
    f->near_keeps_byte = keeps_byte;
    err = relay_start(f, stream_fd);
    if (err < 0) {
        (void)close(stream_fd); /* taken, whatever happens */
        return err;
    }
    flow_move(f, FLOW_RELAYING);
    flow_queue(f);
    return 0;
}

int flow_attach(struct flow *f, int stream_fd)
{
    return attach(f, stream_fd, /*keeps_byte=*/false);
}

int flow_attach_canary(struct flow *f, int stream_fd)
{
    return attach(f, stream_fd, /*keeps_byte=*/true);
}

void flow_abort(struct flow *f)
{
    if (f->state == FLOW_ENDED)
        return; /* its own closed() is being called */
    must(f->state == FLOW_OPENING || f->state == FLOW_OPEN || f->state == FLOW_RELAYING);
    flow_end(f, -ECONNRESET, /*reset_far=*/true);
}

void flow_reset_on_close(struct flow *f, bool is_on)
{
    f->near_resets = is_on;
}

int flow_local(const struct flow *f, struct endpoint *ret)
{
    if (f->local.ip.family == IP_NONE)
        return -ENOTCONN;
    *ret = f->local;
    return 0;
}

int flow_remote(const struct flow *f, struct endpoint *ret)
{
    *ret = f->remote;
    return 0;
}
