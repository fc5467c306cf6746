/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the netstack room: what a flow is, what a carrier must do, and the stack that holds
 * them.
 *
 * A flow's events never run inside the call that caused them. Whatever happens (a segment, a
 * readable descriptor, an answered connect) only notes it in the flow and puts the flow on the run
 * queue; the queue is worked through once a turn, before the loop sleeps (flow_run_all()). So
 * callbacks find whole state, a batch of packets costs one write and one ACK, and a flow gets
 * bounded work a turn.
 */
#ifndef NETSTACK_FLOW_H
#define NETSTACK_FLOW_H

#include <sys/types.h>
#include <sys/uio.h>

#include "netstack/netstack.h"

#define RELAY_CHUNK          65536u /* bytes of one read; also the most that waits in a flow */
#define RELAY_BYTES_PER_TURN (256u << 10) /* each way, of one flow in one turn */
#define RELAY_IOV_MAX        64
#define RELAY_KEPT_CAP       4096u /* bytes passed on that are still in a near end's queue */

/** Where a flow is in its life. flow_move() owns the table of allowed moves. */
enum flow_state {
    FLOW_FREE = 0, /* the slot is unused; no call is legal */
    FLOW_HELD, /* gateway: a SYN waits; flow_accept(), flow_refuse(). Valid: local, remote, carrier
                */
    FLOW_OPENING,  /* the far end has not answered; flow_abort(). A gateway's flow has its near end
                    */
    FLOW_OPEN,     /* opened(0) was called; flow_attach(), flow_abort() */
    FLOW_RELAYING, /* both ends are there; flow_abort() */
    FLOW_ENDED,    /* closed() or opened(err) is being called; no call is legal */
    FLOW_STATE_COUNT
};

struct pbuf;
struct tcp_pcb;

/** Bytes that were taken from one end and wait for the other. */
struct leftover {
    uint8_t *data; /* owned; NULL: nothing waits */
    size_t at;
    size_t len;
};

/** The far end, as its carrier keeps it. */
struct host_end {
    struct loop_watch watch; /* fd -1: none */
    bool is_readable;
    bool is_writable;
    struct leftover in; /* read from the host's socket, not yet taken by the near end */
    size_t scratch_len; /* bytes of the shared buffer that the last peek handed out */
};
struct lwip_end {
    struct tcp_pcb *pcb;  /* NULL: lwIP has let go of it */
    struct pbuf *rx_head; /* received and not yet taken, linked by next */
    struct pbuf *rx_tail;
    size_t rx_at;      /* bytes of the head already taken */
    unsigned rx_count; /* packets in the list */
    uint8_t *syn;      /* FLOW_HELD: the SYN as it came; owned */
    size_t syn_len;
    struct flow *held_next; /* FLOW_HELD: others of this bucket */
};

/** Another flow of this stack (pair.c). */
struct pair_end {
    struct flow *peer;  /* NULL: it is gone */
    struct leftover in; /* what the peer sent, not yet taken by the near end */
    bool is_over;       /* the peer sends no more */
};

struct flow {
    struct netstack *ns;
    enum flow_state state;
    uint32_t next_free;    /* FLOW_FREE: 1-based slot */
    struct flow *run_prev; /* the run queue */
    struct flow *run_next;
    bool is_queued;
    bool is_answered; /* FLOW_OPENING: the far end answered, result in err */
    int err;          /* how it ended, 0 or -errno */
    const struct flow_events *events;
    void *self;
    const struct carrier *carrier;
    struct endpoint local;
    struct endpoint remote;
    struct wire_mark mark;
    struct mono since;
    uint64_t bytes_out;
    uint64_t bytes_in;

    struct loop_watch near;  /* fd -1: not attached */
    bool near_is_tcp;        /* a host socket, not AF_UNIX: a reset is said by SO_LINGER */
    bool near_keeps_byte;    /* flow_attach_canary() */
    uint32_t near_kept;      /* … bytes in its queue that were passed on, or are the stand-in */
    uint8_t near_kept_count; /* … reads that left them there */
    struct loop_timer near_late; /* … takes them out at last */
    uint8_t near_needless;       /* edges since near_awaits_room that told nothing */
    bool near_awaits_room;       /* it is watched for EPOLLOUT */
    bool near_is_bulk;           /* the last read was a large one */
    bool near_is_urgent;         /* an urgent byte may be in its queue */
    bool near_readable;
    bool near_writable;
    bool near_rdhup;      /* the near end will send no more than what is queued */
    bool near_hup;        /* the near end is closed both ways */
    bool near_err;        /* an error waits in SO_ERROR */
    bool near_resets;     /* its close is a reset: flow_reset_on_close() */
    bool near_has_more;   /* the last read stopped before an urgent byte */
    bool near_is_unheard; /* the far end is broken; what was sent before is thrown away */
    bool near_deaf;       /* it refuses data (SHUT_RD); what comes is thrown away */
    bool out_ends_urgent; /* the last byte of what is being sent to the carrier is urgent */
    bool in_ends_urgent;  /* carrier: the last byte of what peek() shows is urgent */
    bool out_over;        /* near → far is finished: end of stream passed on */
    bool in_over;         /* far → near is finished */
    bool far_failed;      /* carrier: err is how the far end broke */
    bool far_over;        /* carrier: the far end's end of stream, after what is queued */
    struct leftover out;  /* read from the near end, not yet taken by the carrier */

    union {
        struct host_end host;
        struct lwip_end lwip;
        struct pair_end pair;
    };
};

/** The far side of flows. All run with the flow in FLOW_OPENING or FLOW_RELAYING. */
struct carrier {
    /** Begin to connect to f->remote, with f->mark; set f->local if it is known. Answers with
     * flow_answered(). */
    int (*connect)(struct flow *f, uint16_t local_port);
    /** Bytes that send() would take now. */
    size_t (*room)(const struct flow *f);
    /** Take up to @len bytes; returns how many, or -errno when the far end is broken. */
    ssize_t (*send)(struct flow *f, const uint8_t *data, size_t len);
    /** No more will be sent. */
    void (*send_end)(struct flow *f);
    /** Received bytes, borrowed until take() or the next peek(): returns the number of vectors, 0
     * when nothing is there yet, -ENODATA after the far end's last byte, or -errno when it is
     * broken. */
    int (*peek)(struct flow *f, struct iovec *iov, int cap);
    /** The first @len bytes of what peek() showed were delivered. */
    void (*take)(struct flow *f, size_t len);
    /** f->mark is another one now. NULL: it has no wire. */
    void (*remark)(struct flow *f);
    /** End of this flow's turn: let out what is due. */
    void (*flush)(struct flow *f);
    /** Bytes that were taken and that the far end has not acknowledged, nor the kernel taken over.
     * NULL: it leads to another near end here. */
    size_t (*unsent)(const struct flow *f);
    /** Let go of the far end: in order (after send_end), or by a reset. Also frees what is queued.
     */
    void (*close)(struct flow *f, bool reset);
    /** What waits here for the near end is still the sender's: its reset overtakes it. */
    bool is_outrun;
};
extern const struct carrier host_carrier;
extern const struct carrier lwip_carrier;

/* flow.c */
void flow_move(struct flow *f, enum flow_state to);
const char *flow_state_name(enum flow_state state);
/** flow_new() - Take a free slot; NULL when FLOW_MAX are in use. */
struct flow *flow_new(struct netstack *ns, const struct carrier *carrier);
/** flow_free() - Give the slot back; both ends must have been let go of. */
void flow_free(struct flow *f);
/** flow_queue() - Put @f on the run queue; harmless when it is there. */
void flow_queue(struct flow *f);
/** flow_answered() - The far end answered (0) or cannot be reached; told at the end of the turn. */
void flow_answered(struct flow *f, int err);
/** flow_far_failed() - The far end broke after it was open. */
void flow_far_failed(struct flow *f, int err);
/** flow_run_all() - Work through the flows that were queued when the turn ended. Returns whether
 * more are queued. */
bool flow_run_all(struct netstack *ns);
/** flow_end() - Tell closed(@err) and free. */
void flow_end(struct flow *f, int err, bool reset_far);

/* relay.c */
int relay_start(struct flow *f, int fd);
/** relay_run() - Move bytes both ways within the turn's budget. May end the flow. Returns true
 * while the flow lives and wants another turn at once. */
enum relay_result { RELAY_WAIT, RELAY_AGAIN, RELAY_GONE };
enum relay_result relay_run(struct flow *f);
/** relay_deliver() - Write to the near end at once, if it can be. Returns bytes taken, 0 when it is
 * full, broken, or not yet there: then they wait for its turn. Nothing older may wait. */
size_t relay_deliver(struct flow *f, const uint8_t *data, size_t len, bool ends_urgent);
/** relay_keep_nothing() - From now on a reset of the near end is told as an end of the stream. */
void relay_keep_nothing(struct flow *f);
/** relay_unsent() - What a near end that is closed has left to be passed on: bytes, and 1 for the
 * end of the stream. 0 when it is open. */
size_t relay_unsent(const struct flow *f);
/** relay_stop() - Let go of the near end, in order or so that it sees a reset. */
void relay_stop(struct flow *f, bool reset);
/** leftover_keep() - Copy what could not be passed on; -ENOMEM. */
int leftover_keep(struct leftover *l, const uint8_t *data, size_t len);
void leftover_drop(struct leftover *l);

#endif
