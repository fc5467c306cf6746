/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds control messages (cmsg(3)) in our memory and copies them out; checks those that come in.
 */
#include "sandbox/ancillary.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define LOOPBACK_INDEX 1
#define TUNNEL_INDEX   2

struct writer {
    uint8_t data[512];
    size_t len;
    size_t room;
    bool is_cut;
};

static void put(struct writer *w, int level, int type, const void *value, size_t len)
{
    struct cmsghdr header = {.cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type};

    if (w->len + CMSG_LEN(len) > w->room || w->len + CMSG_SPACE(len) > sizeof(w->data)) {
        w->is_cut = true;
        return;
    }
    memset(w->data + w->len, 0, CMSG_SPACE(len));
    memcpy(w->data + w->len, &header, sizeof(header));
    memcpy(w->data + w->len + CMSG_LEN(0), value, len);
    w->len += CMSG_SPACE(len);
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

    memcpy(&info.ipi_addr, to->bytes, 4);
    info.ipi_spec_dst = info.ipi_addr;
    if (wants(v, IPPROTO_IP, IP_PKTINFO))
        put(w, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    if (wants(v, IPPROTO_IP, IP_RECVTTL))
        put_int(w, IPPROTO_IP, IP_TTL, mark->hops);
    if (wants(v, IPPROTO_IP, IP_RECVTOS))
        put(w, IPPROTO_IP, IP_TOS, &mark->class, 1);
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
    if (wants(v, IPPROTO_IPV6, IPV6_RECVHOPLIMIT))
        put_int(w, IPPROTO_IPV6, IPV6_HOPLIMIT, mark->hops);
    if (wants(v, IPPROTO_IPV6, IPV6_RECVTCLASS))
        put_int(w, IPPROTO_IPV6, IPV6_TCLASS, mark->class);
}

int ancillary_write(struct session *s, const struct trap *t, uint64_t control, uint64_t room,
                    const struct vsock_note *note, size_t *ret_len, int *flags)
{
    const struct vsock *v = t->sock;
    struct writer w = {.room = room};
    struct ip to = arrived_at(s, v, note);
    int index = ip_is_loopback(&to) ? LOOPBACK_INDEX : TUNNEL_INDEX;

    put_times(&w, v, note->wall_ns);
    if (note->from.ip.family == IP_V4)
        put_v4(&w, v, &to, index, &note->mark);
    if (v->is_v6)
        put_v6(&w, v, &to, index, &note->mark);
    if (w.is_cut)
        *flags |= MSG_CTRUNC;
    *ret_len = w.len < room ? w.len : room;
    return trap_write(s, t, control, w.data, *ret_len);
}

/** One control message: -EINVAL when its value is out of range. */
static int take(const struct cmsghdr *header, const uint8_t *value, struct vsock_mark *mark)
{
    int32_t number = -1;

    if (header->cmsg_len >= CMSG_LEN(sizeof(number)))
        memcpy(&number, value, sizeof(number));
    else if (header->cmsg_len >= CMSG_LEN(1))
        number = value[0];
    if ((header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_HOPLIMIT) ||
        (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_TTL)) {
        if (number < -1 || number > 255)
            return -EINVAL;
        mark->hops = number < 0 ? mark->hops : (uint8_t)number;
    }
    if ((header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_TCLASS) ||
        (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_TOS)) {
        if (number < -1 || number > 255)
            return -EINVAL;
        mark->class = number < 0 ? mark->class : (uint8_t)number;
    }
    return 0;
}

int ancillary_read(struct session *s, const struct trap *t, uint64_t control, uint64_t len,
                   struct vsock_mark *mark)
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
        err = take(&header, data + at + CMSG_LEN(0), mark);
        if (CMSG_ALIGN(header.cmsg_len) >= len - at)
            break;
        at += CMSG_ALIGN(header.cmsg_len);
    }
    return err;
}
