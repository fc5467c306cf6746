/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds control messages (cmsg(3)) in our memory and copies them out; checks those that come in.
 */
#include "sandbox/ancillary.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <linux/icmp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "sandbox/inet.h"

#define LOOPBACK_INDEX 1
#define TUNNEL_INDEX   2

struct writer {
    struct ancillary *to;
    size_t room;
    bool is_cut;
};

static void put(struct writer *w, int level, int type, const void *value, size_t len)
{
    struct cmsghdr header = {.cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type};
    struct ancillary *to = w->to;
    size_t room = (w->room < sizeof(to->data) ? w->room : sizeof(to->data)) - to->len;
    size_t space = CMSG_SPACE(len) < room ? CMSG_SPACE(len) : room;

    if (room < sizeof(header)) {
        w->is_cut = true;
        return;
    }
    if (header.cmsg_len > room) { /* put_cmsg(): the last one is cut */
        w->is_cut = true;
        header.cmsg_len = room;
    }
    memset(to->data + to->len, 0, space);
    memcpy(to->data + to->len, &header, sizeof(header));
    memcpy(to->data + to->len + CMSG_LEN(0), value, header.cmsg_len - sizeof(header));
    to->len += space;
}

static bool wants(const struct vsock *v, int level, int name)
{
    int32_t value;

    return vsock_option_get(v, level, name, &value) && value != 0;
}

static void put_int(struct writer *w, int level, int type, int value)
{
    put(w, level, type, &value, sizeof(value));
}

static void put_times(struct writer *w, const struct vsock *v, int64_t wall_ns)
{
    struct timeval us = {.tv_sec = wall_ns / NS_PER_S, .tv_usec = wall_ns % NS_PER_S / NS_PER_US};
    struct timespec ns = {.tv_sec = wall_ns / NS_PER_S, .tv_nsec = wall_ns % NS_PER_S};

    if (wants(v, SOL_SOCKET, SO_TIMESTAMP))
        put(w, SOL_SOCKET, SCM_TIMESTAMP, &us, sizeof(us));
    if (wants(v, SOL_SOCKET, SO_TIMESTAMPNS))
        put(w, SOL_SOCKET, SCM_TIMESTAMPNS, &ns, sizeof(ns));
}

static struct ip arrived_at(const struct session *s, const struct vsock *v,
                            const struct vsock_note *note)
{
    if (!ip_is_any(&v->local.ip))
        return v->local.ip;
    if (ip_is_loopback(&note->from.ip))
        return note->from.ip;
    return note->from.ip.family == IP_V4 ? s->local_v4 : s->local_v6;
}

static void put_v4(struct writer *w, const struct vsock *v, const struct ip *to, int index,
                   const struct vsock_mark *mark)
{
    struct in_pktinfo info = {.ipi_ifindex = index};
    struct sockaddr_storage name;

    memcpy(&info.ipi_addr, to->bytes, 4);
    if (v->kind != VSOCK_PING) /* ping_rcv() does not look it up */
        info.ipi_spec_dst = info.ipi_addr;
    if (wants(v, IPPROTO_IP, IP_PKTINFO))
        put(w, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    if (wants(v, IPPROTO_IP, IP_RECVTTL))
        put_int(w, IPPROTO_IP, IP_TTL, mark->hops);
    if (wants(v, IPPROTO_IP, IP_RECVTOS))
        put(w, IPPROTO_IP, IP_TOS, &mark->class, 1);
    if (wants(v, IPPROTO_IP, IP_RECVORIGDSTADDR)) {
        struct endpoint at = {.ip = *to, .port = v->local.port};

        put(w, IPPROTO_IP, IP_ORIGDSTADDR, &name, inet_write(&at, /*is_v6=*/false, &name));
    }
}

static void put_v6(struct writer *w, const struct vsock *v, const struct ip *to, int index,
                   const struct vsock_mark *mark)
{
    struct in6_pktinfo info = {.ipi6_ifindex = (unsigned)index};

    if (to->family == IP_V4) {
        info.ipi6_addr.s6_addr[10] = 0xff;
        info.ipi6_addr.s6_addr[11] = 0xff;
        memcpy(info.ipi6_addr.s6_addr + 12, to->bytes, 4);
    } else {
        memcpy(&info.ipi6_addr, to->bytes, 16);
    }
    if (wants(v, IPPROTO_IPV6, IPV6_RECVPKTINFO))
        put(w, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    if (to->family == IP_V4)
        return; /* the rest is about IPv6 headers */
    if (wants(v, IPPROTO_IPV6, IPV6_RECVHOPLIMIT))
        put_int(w, IPPROTO_IPV6, IPV6_HOPLIMIT, mark->hops);
    if (wants(v, IPPROTO_IPV6, IPV6_RECVTCLASS))
        put_int(w, IPPROTO_IPV6, IPV6_TCLASS, mark->class);
}

/** An entry of the error queue. Where it is not known who said it: the destination itself, as with
 * a closed port. */
static void put_error(struct writer *w, const struct vsock *v, const struct vsock_note *note)
{
    struct {
        struct sock_extended_err error;
        struct sockaddr_in6 offender; /* or sockaddr_in */
    } value = {.error = {.ee_errno = (uint32_t)note->error}};
    bool is_v4 = note->from.ip.family == IP_V4;
    bool is_refused = note->error == ECONNREFUSED;
    struct endpoint offender = {.ip = note->from.ip};
    struct sockaddr_storage name;
    unsigned len;

    value.error.ee_origin = is_v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6;
    value.error.ee_type = is_v4 ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH;
    if (is_v4)
        value.error.ee_code = is_refused ? ICMP_PORT_UNREACH : ICMP_HOST_UNREACH;
    else
        value.error.ee_code = is_refused ? ICMP6_DST_UNREACH_NOPORT : ICMP6_DST_UNREACH_ADDR;
    if (note->offender.family != IP_NONE) {
        offender.ip = note->offender;
        value.error.ee_type = note->icmp_type;
        value.error.ee_code = note->icmp_code;
    }
    len = inet_write(&offender, v->is_v6, &name);
    memcpy(&value.offender, &name, len);
    put(w, v->is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, v->is_v6 ? IPV6_RECVERR : IP_RECVERR, &value,
        sizeof(value.error) + len);
}

void ancillary_make(struct session *s, const struct vsock *v, const struct vsock_note *note,
                    size_t room, struct ancillary *ret, int *flags)
{
    struct writer w = {.to = ret, .room = room};
    struct ip to = arrived_at(s, v, note);
    int index = ip_is_loopback(&to) ? LOOPBACK_INDEX : TUNNEL_INDEX;

    ret->len = 0;
    put_times(&w, v, note->wall_ns);
    if (note->error != 0) {
        put_error(&w, v, note);
    } else {
        if (v->is_v6)
            put_v6(&w, v, &to, index, &note->mark);
        if (note->from.ip.family == IP_V4)
            put_v4(&w, v, &to, index, &note->mark);
    }
    if (w.is_cut)
        *flags |= MSG_CTRUNC;
}

/** The number in a control message: a byte or an int. -1: neither. */
static int32_t number_of(const struct cmsghdr *header, const uint8_t *value)
{
    int32_t number = -1;

    if (header->cmsg_len == CMSG_LEN(sizeof(number)))
        memcpy(&number, value, sizeof(number));
    else if (header->cmsg_len == CMSG_LEN(1))
        number = value[0];
    return number;
}

/** ip_cmsg_send() */
static int take_v4(const struct session *s, const struct cmsghdr *header, const uint8_t *value,
                   struct udp_wish *wish)
{
    int32_t number = number_of(header, value);
    struct in_pktinfo info;
    struct ip source = {.family = IP_V4};

    switch (header->cmsg_type) {
    case IP_TTL:
        if (number < 1 || number > 255)
            return -EINVAL;
        wish->mark.hops = (uint8_t)number;
        return 0;
    case IP_TOS:
        if (number < 0 || number > 255)
            return -EINVAL;
        wish->mark.class = (uint8_t)number;
        return 0;
    case IP_RETOPTS:
        return 0; /* header options are not sent */
    case IP_PKTINFO:
        if (header->cmsg_len != CMSG_LEN(sizeof(info)))
            return -EINVAL;
        memcpy(&info, value, sizeof(info));
        memcpy(source.bytes, &info.ipi_spec_dst, 4);
        if (!ip_is_any(&source) && sock_is_own_ip(s, &source))
            wish->source = source; /* only an address of our own: it cannot widen anything */
        return 0;
    default:
        return -EINVAL;
    }
}

static int take_v6(const struct session *s, const struct cmsghdr *header, const uint8_t *value,
                   struct udp_wish *wish)
{
    int32_t number = number_of(header, value);
    struct in6_pktinfo info;
    struct ip source = {.family = IP_V6};

    switch (header->cmsg_type) {
    case IPV6_HOPLIMIT:
    case IPV6_TCLASS:
        if (number < -1 || number > 255 || header->cmsg_len != CMSG_LEN(sizeof(number)))
            return -EINVAL;
        if (number >= 0 && header->cmsg_type == IPV6_HOPLIMIT)
            wish->mark.hops = (uint8_t)number;
        else if (number >= 0)
            wish->mark.class = (uint8_t)number;
        return 0;
    case IPV6_PKTINFO:
        if (header->cmsg_len < CMSG_LEN(sizeof(info)))
            return -EINVAL;
        memcpy(&info, value, sizeof(info));
        memcpy(source.bytes, &info.ipi6_addr, 16);
        if (!ip_is_any(&source) && sock_is_own_ip(s, &source))
            wish->source = source;
        return 0;
    default:
        return 0; /* extension headers and the like are not sent */
    }
}

/** One control message: -EINVAL when it, or its value, is not known. */
static int take(const struct session *s, const struct cmsghdr *header, const uint8_t *value,
                bool is_v6, struct udp_wish *wish)
{
    if (header->cmsg_level == SOL_SOCKET) /* __sock_cmsg_send() */
        return header->cmsg_type == SCM_RIGHTS || header->cmsg_type == SCM_CREDENTIALS ||
                       header->cmsg_type == SO_TIMESTAMPING
                   ? 0
                   : -EINVAL;
    if (header->cmsg_level == IPPROTO_IP && !is_v6)
        return take_v4(s, header, value, wish);
    if (header->cmsg_level == IPPROTO_IPV6 && is_v6)
        return take_v6(s, header, value, wish);
    return 0; /* of another protocol */
}

int ancillary_read(struct session *s, const struct trap *t, uint64_t control, uint64_t len,
                   bool is_v6, struct udp_wish *wish)
{
    uint8_t data[ANCILLARY_MAX];
    size_t at = 0;
    int err;

    if (len > sizeof(data))
        return -ENOBUFS;
    err = trap_read(s, t, control, data, len);
    while (err == 0 && len - at >= sizeof(struct cmsghdr)) {
        struct cmsghdr header;

        memcpy(&header, data + at, sizeof(header));
        if (header.cmsg_len < sizeof(header) || header.cmsg_len > len - at)
            return -EINVAL;
        err = take(s, &header, data + at + CMSG_LEN(0), is_v6, wish);
        if (CMSG_ALIGN(header.cmsg_len) >= len - at)
            break;
        at += CMSG_ALIGN(header.cmsg_len);
    }
    return err;
}
