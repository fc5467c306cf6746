/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The carrier of tunnels: lwIP's TCP. Its callbacks only note what happened and queue the flow; all
 * calls back into lwIP are made from the flow's turn, so no pcb is ever freed under lwIP's feet.
 *
 * Server side: a SYN to a new connection is held, as bytes, until the owner has decided; then it is
 * fed to lwIP with one listening pcb that has, for this moment, the wanted port. So a peer's
 * connect is answered with exactly what the far connect gave: an open connection, a reset, an ICMP
 * error, or silence.
 */
#include "netstack/tunnel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>

#include "netstack/lwip/port.h"

#define PORT_TRIES     256u
#define RX_PACKETS_MAX 2048u /* received and not taken, of one flow; more are refused for now */
#define UNSENT_SLACK                                                                               \
    (128u << 10)         /* queued beyond what the window lets out: tcp_write() walks it           \
                          */
#define WRITE_MAX 65535u /* of one tcp_write() */

static struct tcp_pcb *listener; /* made by lwip_tcp_start(); one in a process, as lwIP is */

static void to_lwip(const struct ip *ip, ip_addr_t *ret)
{
    if (ip->family == IP_V4) {
        ip4_addr_t v4;

        memcpy(&v4.addr, ip->bytes, sizeof(v4.addr));
        ip_addr_copy_from_ip4(*ret, v4);
    } else {
        ip6_addr_t v6;

        memcpy(v6.addr, ip->bytes, sizeof(v6.addr));
        ip_addr_copy_from_ip6(*ret, v6);
    }
}

static struct tcp_pcb *find_pcb(const struct endpoint *local, const struct endpoint *remote)
{
    ip_addr_t local_ip, remote_ip;

    to_lwip(&local->ip, &local_ip);
    to_lwip(&remote->ip, &remote_ip);
    return tcp_hash_find(&local_ip, local->port, &remote_ip, remote->port);
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct flow *f = arg;

    (void)pcb;
    (void)err; /* always ERR_OK */
    if (!f->is_answered)
        flow_answered(f, 0);
    return ERR_OK;
}

static void disown(struct tcp_pcb *pcb)
{
    tcp_arg(pcb, NULL);
    tcp_err(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
}

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    struct flow *f = arg;
    struct lwip_end *l = &f->lwip;

    (void)err;
    if (p == NULL) {
        f->far_over = true;
        if (pcb->state == CLOSING || pcb->state == TIME_WAIT) { /* both have said their last */
            disown(pcb);                     /* lwIP ends it by itself, and would not say so */
            tcp_set_flags(pcb, TF_RXCLOSED); /* and within bounds: TCP_ORPHAN_TIMEOUT */
            l->pcb = NULL;
        }
        flow_queue(f);
        return ERR_OK;
    }
    if (l->rx_count >= RX_PACKETS_MAX)
        return ERR_MEM; /* lwIP keeps it, and offers it again */
    if (l->rx_tail != NULL)
        l->rx_tail->next = p;
    else
        l->rx_head = p;
    for (l->rx_count++; p->next != NULL; p = p->next)
        l->rx_count++;
    l->rx_tail = p;
    flow_queue(f);
    return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    (void)pcb;
    (void)len;
    flow_queue(arg);
    return ERR_OK;
}

/** lwIP has freed the pcb. */
static void on_error(void *arg, err_t err)
{
    struct flow *f = arg;
    bool is_opening = f->state == FLOW_OPENING && !f->is_answered;
    bool is_ours = f->near.fd < 0; /* our own connect: a reset refuses it */

    f->lwip.pcb = NULL;
    if (err == ERR_CLSD) { /* both ends of stream are through */
        f->far_over = true;
        flow_queue(f);
    } else if (is_opening) {
        flow_answered(f, err != ERR_RST ? -ETIMEDOUT : is_ours ? -ECONNREFUSED : -ECONNRESET);
    } else {
        flow_far_failed(f, err == ERR_RST ? -ECONNRESET : -ETIMEDOUT);
    }
}

/** Of a batch of segments only the flow's turn lets something out: one ACK, and data with it. */
static int defer_output(struct tcp_pcb *pcb)
{
    if (pcb->errf != on_error || pcb->state < ESTABLISHED)
        return 0;
    flow_queue(pcb->callback_arg);
    return 1;
}

static void adopt(struct flow *f, struct tcp_pcb *pcb)
{
    f->lwip.pcb = pcb;
    tcp_arg(pcb, f);
    tcp_err(pcb, on_error);
    tcp_recv(pcb, on_received);
    tcp_sent(pcb, on_sent);
    tcp_nagle_disable(pcb); /* the relay writes what there is; waiting would only add latency */
}

/** RFC 6056 3.3.1: a random port, free toward this remote end. */
static int choose_port(struct flow *f)
{
    for (unsigned i = 0; i < PORT_TRIES; i++) {
        f->local.port = TCP_ENSURE_LOCAL_PORT_RANGE(LWIP_RAND());
        if (find_pcb(&f->local, &f->remote) == NULL)
            return 0;
    }
    return -EADDRNOTAVAIL;
}

static void lwip_remark(struct flow *f)
{
    if (f->lwip.pcb == NULL)
        return;
    f->lwip.pcb->ttl = f->mark.hops;
    f->lwip.pcb->tos = f->mark.class;
}

static int lwip_connect(struct flow *f, uint16_t local_port)
{
    struct tcp_pcb *pcb;
    ip_addr_t remote;
    int err;

    f->lwip = (struct lwip_end){0};
    err = tunnel_source(f->ns, &f->remote.ip, &f->local.ip);
    if (err < 0)
        return err;
    f->local.port = local_port;
    if (local_port == 0)
        err = choose_port(f);
    else if (find_pcb(&f->local, &f->remote) != NULL)
        err = -EADDRINUSE;
    if (err < 0)
        return err;
    pcb = tcp_new_ip_type(f->remote.ip.family == IP_V4 ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6);
    if (pcb == NULL)
        return -ENOBUFS;
    pcb->ttl = f->mark.hops;
    pcb->tos = f->mark.class;
    lattice_lwip_time(loop_now(f->ns->loop).ns);
    to_lwip(&f->local.ip, &pcb->local_ip);
    to_lwip(&f->remote.ip, &remote);
    pcb->local_port =
        f->local.port; /* instead of tcp_bind(): that takes the port for all remote ends */
    if (tcp_connect(pcb, &remote, f->remote.port, on_connected) != ERR_OK) {
        pcb->local_port = 0;
        (void)tcp_close(pcb); /* frees a pcb that was never used */
        return -ENOBUFS;
    }
    adopt(f, pcb);
    return 0;
}

static size_t lwip_room(const struct flow *f)
{
    const struct tcp_pcb *pcb = f->lwip.pcb;
    size_t window, queued;

    if (pcb == NULL || pcb->snd_queuelen + RELAY_CHUNK / 512 >= TCP_SND_QUEUELEN)
        return 0;
    window = LWIP_MIN(pcb->snd_wnd, pcb->cwnd) + UNSENT_SLACK;
    queued = TCP_SND_BUF - pcb->snd_buf;
    if (queued >= window)
        return 0;
    return LWIP_MIN(window - queued, pcb->snd_buf);
}

static ssize_t lwip_send(struct flow *f, const uint8_t *data, size_t len)
{
    struct tcp_pcb *pcb = f->lwip.pcb;
    size_t sent = 0;

    if (pcb == NULL)
        return f->err != 0 ? f->err : -EPIPE;
    while (sent < len) {
        size_t part = LWIP_MIN(len - sent, WRITE_MAX);
        err_t err;

        part = LWIP_MIN(part, pcb->snd_buf);
        if (part == 0)
            break;
        err = tcp_write(pcb, data + sent, (u16_t)part, TCP_WRITE_FLAG_COPY);
        if (err == ERR_MEM)
            break; /* the memory limit, or too many segments: later */
        if (err != ERR_OK)
            return -EPIPE;
        sent += part;
    }
    return (ssize_t)sent;
}

static void lwip_send_end(struct flow *f)
{
    if (f->lwip.pcb != NULL)
        (void)tcp_shutdown(f->lwip.pcb, /*rx=*/0, /*tx=*/1); /* short of memory: lwIP tries again */
}

static int lwip_peek(struct flow *f, struct iovec *iov, int cap)
{
    const struct lwip_end *l = &f->lwip;
    size_t at = l->rx_at;
    int count = 0;

    for (const struct pbuf *p = l->rx_head; p != NULL && count < cap; p = p->next) {
        iov[count++] =
            (struct iovec){.iov_base = (uint8_t *)p->payload + at, .iov_len = p->len - at};
        at = 0;
    }
    if (count == 0 && f->far_over && !f->far_failed)
        return -ENODATA;
    return count;
}

/** Free the first packet of the list; the packets behind it are not part of it. */
static void drop_head(struct lwip_end *l)
{
    struct pbuf *p = l->rx_head;

    l->rx_head = p->next;
    if (l->rx_head == NULL)
        l->rx_tail = NULL;
    l->rx_count--;
    l->rx_at = 0;
    p->next = NULL;
    p->tot_len = p->len;
    (void)pbuf_free(p);
}

static void lwip_take(struct flow *f, size_t len)
{
    struct lwip_end *l = &f->lwip;
    size_t left = len;

    while (l->rx_head != NULL && (left > 0 || l->rx_head->len == l->rx_at)) {
        size_t part = l->rx_head->len - l->rx_at;

        if (left < part) {
            l->rx_at += left;
            break;
        }
        left -= part;
        drop_head(l);
    }
    for (left = len; l->pcb != NULL && left > 0;) {
        u16_t part = (u16_t)LWIP_MIN(left, 65535u);

        tcp_recved(l->pcb, part);
        left -= part;
    }
}

static void lwip_flush(struct flow *f)
{
    if (f->lwip.pcb != NULL)
        (void)tcp_output(f->lwip.pcb); /* short of memory: the tick tries again */
}

static size_t lwip_unsent(const struct flow *f)
{
    return f->lwip.pcb != NULL ? TCP_SND_BUF - f->lwip.pcb->snd_buf : 0;
}

static struct flow **held_bucket(struct netstack *ns, const struct flow *f)
{
    ip_addr_t local, remote;

    to_lwip(&f->local.ip, &local);
    to_lwip(&f->remote.ip, &remote);
    return &ns->held[lattice_lwip_hash(&local, f->local.port, &remote, f->remote.port) %
                     HELD_BUCKETS];
}

/** A held SYN is over: out of the table, and its bytes freed. */
static void unhold(struct flow *f)
{
    struct flow **at;

    if (f->lwip.syn == NULL)
        return;
    for (at = held_bucket(f->ns, f); *at != f; at = &(*at)->lwip.held_next)
        must(*at != NULL);
    *at = f->lwip.held_next;
    f->ns->held_count--;
    free(f->lwip.syn);
    f->lwip.syn = NULL;
}

static void lwip_close(struct flow *f, bool reset)
{
    struct lwip_end *l = &f->lwip;
    struct tcp_pcb *pcb = l->pcb;

    unhold(f);
    while (l->rx_head != NULL)
        drop_head(l);
    l->pcb = NULL;
    if (pcb == NULL)
        return;
    disown(pcb);
    if (reset || tcp_close(pcb) != ERR_OK)
        tcp_abort(pcb);
}

const struct carrier lwip_carrier = {
    .connect = lwip_connect,
    .room = lwip_room,
    .send = lwip_send,
    .send_end = lwip_send_end,
    .peek = lwip_peek,
    .take = lwip_take,
    .remark = lwip_remark,
    .flush = lwip_flush,
    .unsent = lwip_unsent,
    .close = lwip_close,
};

void lwip_tcp_error(struct netstack *ns, const struct packet_error *e)
{
    struct tcp_pcb *pcb = find_pcb(&e->src, &e->dst);
    struct flow *f;

    (void)ns;
    /* Only a connection attempt fails by ICMP, and only when the sequence number shows that the
     * sender of the error saw our SYN (RFC 5927 sections 4 and 5). */
    if (pcb == NULL || pcb->state != SYN_SENT || pcb->errf != on_error ||
        e->seq != pcb->lastack + 1 || e->err == -EMSGSIZE)
        return;
    f = pcb->callback_arg;
    if (f->state == FLOW_OPENING && !f->is_answered)
        flow_answered(f, e->err);
}

static struct flow *held_find(struct netstack *ns, const struct endpoint *local,
                              const struct endpoint *remote)
{
    struct flow key = {.local = *local, .remote = *remote};
    struct flow *f = *held_bucket(ns, &key);

    while (f != NULL && !(endpoint_equal(&f->local, local) && endpoint_equal(&f->remote, remote)))
        f = f->lwip.held_next;
    return f;
}

/** Take the flow out of the table without an answer to the peer. */
static void held_forget(struct flow *f)
{
    flow_move(f, FLOW_ENDED);
    lwip_close(f, /*reset=*/false);
    flow_free(f);
}

/** Keep the SYN and ask the owner. */
static void hold(struct netstack *ns, const struct packet *p, const struct netstack_inbound *who)
{
    struct flow *f = ns->held_count < HELD_MAX ? flow_new(ns, &lwip_carrier) : NULL;
    struct flow **head;

    if (f == NULL)
        return; /* the peer will try again */
    f->local = who->dst;
    f->remote = who->src;
    f->lwip = (struct lwip_end){.syn = malloc(p->raw.len), .syn_len = p->raw.len};
    flow_move(f, FLOW_HELD);
    if (f->lwip.syn == NULL) {
        held_forget(f);
        return;
    }
    memcpy(f->lwip.syn, p->raw.data, p->raw.len);
    head = held_bucket(ns, f);
    f->lwip.held_next = *head;
    *head = f;
    ns->held_count++;
    ns->server.tcp_open(ns->server.self, f, who);
}

static void answer_rst(struct netstack *ns, const struct packet *about)
{
    uint8_t rst[PACKET_RST_MAX];
    int len = packet_write_rst(about, rst, sizeof(rst));

    if (len > 0)
        tunnel_send(ns, bytes_of(rst, (size_t)len));
}

/**
 * A peer that starts anew may take a port that its last life left in TIME_WAIT here, with a lower
 * sequence number. Its SYN is then answered with an ACK, and it answers that with a reset, exactly
 * in sequence: the old connection is over, and the SYN that follows begins the new one. Linux does
 * so, too, unless net.ipv4.tcp_rfc1337 is set. Returns true when the reset was for such a one.
 */
static bool end_time_wait(const struct packet *p, const struct packet_tcp *tcp,
                          const struct netstack_inbound *who)
{
    struct tcp_pcb *pcb = find_pcb(&who->dst, &who->src);

    if (pcb == NULL || pcb->state != TIME_WAIT || tcp->seq != pcb->rcv_nxt ||
        !packet_checksum_ok(p))
        return false;
    tcp_abort(pcb); /* says nothing; nobody owns it any more: on_received() */
    return true;
}

bool lwip_tcp_syn(struct netstack *ns, const struct packet *p)
{
    struct netstack_inbound who = {0};
    struct wg_peer_stats peer;
    struct packet_tcp tcp;
    struct tcp_pcb *pcb;
    struct flow *f;

    if (packet_tcp(p, &tcp) < 0)
        return false;
    who.src = (struct endpoint){.ip = p->src, .port = tcp.src_port};
    who.dst = (struct endpoint){.ip = p->dst, .port = tcp.dst_port};
    if ((tcp.flags & PACKET_RST) != 0) {
        f = held_find(ns, &who.dst, &who.src);
        if (f == NULL)
            return end_time_wait(p, &tcp, &who);
        if (!packet_checksum_ok(p))
            return false;
        if (ns->server.tcp_cancel != NULL)
            ns->server.tcp_cancel(ns->server.self, f);
        held_forget(f);
        return true;
    }
    if ((tcp.flags & (PACKET_SYN | PACKET_ACK | PACKET_FIN)) != PACKET_SYN)
        return false;
    pcb = find_pcb(&who.dst, &who.src);
    if (pcb != NULL && pcb->state == TIME_WAIT && (int32_t)(tcp.seq - pcb->rcv_nxt) > 0) {
        tcp_abort(pcb); /* RFC 9293 3.10.7.4: a new incarnation may begin */
        pcb = NULL;
    }
    if (pcb != NULL)
        return false;
    if (!packet_checksum_ok(p) || held_find(ns, &who.dst, &who.src) != NULL ||
        wg_peer_stats(ns->wg, ns->inbox_peer, &peer) < 0)
        return true; /* broken, or the same SYN again: dropped */
    if (ns->server.tcp_open == NULL) {
        answer_rst(ns, p);
        return true;
    }
    memcpy(who.peer_key, peer.public_key, WG_KEY_LEN);
    hold(ns, p, &who);
    return true;
}

static err_t on_accepted(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct flow *f = arg;

    (void)pcb;
    if (err == ERR_OK && f != NULL && !f->is_answered)
        flow_answered(f, 0);
    return ERR_OK;
}

/** Feed the held SYN to lwIP; the pcb that it makes is the flow's. */
static int feed_syn(struct flow *f)
{
    struct pbuf *syn = lwip_packet_new(bytes_of(f->lwip.syn, f->lwip.syn_len));
    struct tcp_pcb *pcb;

    if (syn == NULL)
        return -ENOBUFS;
    listener->local_port = f->local.port;
    tcp_arg(listener, f);
    lwip_input(f->ns, syn, &f->local.ip);
    listener->local_port = 0;
    tcp_arg(listener, NULL);
    pcb = find_pcb(&f->local, &f->remote);
    if (pcb == NULL)
        return -ENOBUFS;
    adopt(f, pcb);
    return 0;
}

int flow_accept(struct flow *f, int stream_fd, const struct flow_events *events, void *self)
{
    int err;

    must(f->state == FLOW_HELD);
    err = relay_start(f, stream_fd);
    if (err < 0)
        (void)close(stream_fd);
    else
        err = feed_syn(f);
    if (err < 0) {
        relay_stop(f, /*reset=*/true);
        flow_refuse(f, -ECONNREFUSED);
        return err;
    }
    unhold(f);
    f->events = events;
    f->self = self;
    flow_move(f, FLOW_OPENING);
    return 0;
}

void flow_refuse(struct flow *f, int err)
{
    struct netstack *ns = f->ns;
    struct packet about;
    uint8_t answer[PACKET_ERROR_MAX];
    int len;

    must(f->state == FLOW_HELD);
    len = packet_parse(bytes_of(f->lwip.syn, f->lwip.syn_len), &about);
    must(len == 0); /* it was parsed before it was held */
    if (err == -ECONNREFUSED || err == -EACCES || err == -ECONNRESET) {
        answer_rst(ns, &about);
    } else if (err != -ETIMEDOUT) {
        len = packet_write_error(&about, err, answer, sizeof(answer));
        if (len > 0)
            tunnel_send(ns, bytes_of(answer, (size_t)len));
    }
    held_forget(f);
}

int lwip_tcp_start(struct netstack *ns)
{
    struct tcp_pcb *pcb;

    lattice_lwip_set_defer(defer_output);
    if (!ns->is_server)
        return 0;
    pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);
    if (pcb == NULL)
        return -ENOMEM;
    pcb->local_port = 0;
    listener = tcp_listen(pcb);
    if (listener == NULL) {
        (void)tcp_close(pcb);
        return -ENOMEM;
    }
    tcp_accept(listener, on_accepted);
    return 0;
}

/** Closed by its flow, and not acknowledged up to its end. */
static bool is_finishing(const struct tcp_pcb *pcb)
{
    return (pcb->flags & TF_RXCLOSED) != 0 &&
           (pcb->state == FIN_WAIT_1 || pcb->state == CLOSING || pcb->state == LAST_ACK);
}

uint64_t lwip_tcp_unsent(void)
{
    uint64_t left = 0;

    for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next)
        if (is_finishing(pcb))
            left += pcb->snd_lbb - pcb->lastack + 1;
    return left;
}

void lwip_tcp_stop(struct netstack *ns)
{
    (void)ns;
    lattice_lwip_set_defer(NULL);
    /* A reset would overtake what the peer has acknowledged and not delivered yet. */
    while (tcp_active_pcbs != NULL)
        tcp_abandon(tcp_active_pcbs, /*reset=*/tcp_active_pcbs->state != FIN_WAIT_2);
    while (tcp_tw_pcbs != NULL)
        tcp_abort(tcp_tw_pcbs);
    if (listener != NULL)
        (void)tcp_close(listener);
    listener = NULL;
}
