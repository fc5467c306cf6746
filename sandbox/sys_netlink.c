/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers route netlink (rtnetlink(7)): links, addresses and routes of the sandbox's own
 * interfaces. Requests that would change something are refused with EPERM, unknown ones with
 * EOPNOTSUPP.
 */
#include "sandbox/sys_netlink.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "sandbox/interfaces.h"

#define REPLY_MAX    4096u
#define REQUESTS_MAX 16u /* in one message */

/** A message under construction. It cannot overflow: what does not fit is a bug of ours. */
struct reply {
    uint8_t data[REPLY_MAX];
    size_t len;
    size_t header_at;
    const struct nlmsghdr *to;
    uint32_t port;
};

static void *append(struct reply *r, size_t len)
{
    void *at = r->data + r->len;

    must(NLMSG_ALIGN(len) <= sizeof(r->data) - r->len);
    memset(at, 0, NLMSG_ALIGN(len));
    r->len += NLMSG_ALIGN(len);
    return at;
}

static void begin(struct reply *r, uint16_t type, uint16_t flags, const void *payload, size_t len)
{
    struct nlmsghdr header = {.nlmsg_type = type,
                              .nlmsg_flags = flags,
                              .nlmsg_seq = r->to->nlmsg_seq,
                              .nlmsg_pid = r->port};

    r->header_at = r->len;
    memcpy(append(r, sizeof(header)), &header, sizeof(header));
    memcpy(append(r, len), payload, len);
}

static void attribute(struct reply *r, uint16_t type, const void *value, size_t len)
{
    struct rtattr header = {.rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = type};
    uint8_t *at = append(r, RTA_LENGTH(len));

    memcpy(at, &header, sizeof(header));
    memcpy(at + RTA_LENGTH(0), value, len);
}

static void attribute_u32(struct reply *r, uint16_t type, uint32_t value)
{
    attribute(r, type, &value, sizeof(value));
}

static void end(struct reply *r)
{
    uint32_t len = (uint32_t)(r->len - r->header_at);

    memcpy(r->data + r->header_at, &len, sizeof(len));
}

static void put_link(struct reply *r, const struct interface *i, uint16_t flags)
{
    struct ifinfomsg info = {.ifi_type = i->hardware, .ifi_index = i->index, .ifi_flags = i->flags};
    static const uint8_t no_address[6];

    begin(r, RTM_NEWLINK, flags, &info, sizeof(info));
    attribute(r, IFLA_IFNAME, i->name, strlen(i->name) + 1);
    attribute_u32(r, IFLA_TXQLEN, 1000);
    attribute_u32(r, IFLA_MTU, i->mtu);
    attribute(r, IFLA_OPERSTATE, &(uint8_t){i->index == INTERFACE_LO_INDEX ? 0 : 6}, 1);
    if (i->index == INTERFACE_LO_INDEX) {
        attribute(r, IFLA_ADDRESS, no_address, sizeof(no_address));
        attribute(r, IFLA_BROADCAST, no_address, sizeof(no_address));
    }
    end(r);
}

static void put_address(struct reply *r, const struct interface *i, const struct ip *ip,
                        uint8_t bits)
{
    bool is_loopback = i->index == INTERFACE_LO_INDEX;
    struct ifaddrmsg info = {.ifa_family = ip->family == IP_V4 ? AF_INET : AF_INET6,
                             .ifa_prefixlen = bits,
                             .ifa_flags = IFA_F_PERMANENT,
                             .ifa_scope = is_loopback ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE,
                             .ifa_index = (uint32_t)i->index};

    begin(r, RTM_NEWADDR, NLM_F_MULTI, &info, sizeof(info));
    attribute(r, IFA_ADDRESS, ip->bytes, ip_len(ip));
    if (ip->family == IP_V4) {
        attribute(r, IFA_LOCAL, ip->bytes, 4);
        attribute(r, IFA_LABEL, i->name, strlen(i->name) + 1);
    }
    attribute_u32(r, IFA_FLAGS, IFA_F_PERMANENT);
    end(r);
}

static void put_default_route(struct reply *r, const struct ip *source)
{
    struct rtmsg info = {.rtm_family = source->family == IP_V4 ? AF_INET : AF_INET6,
                         .rtm_table = RT_TABLE_MAIN,
                         .rtm_protocol = RTPROT_BOOT,
                         .rtm_scope = RT_SCOPE_LINK,
                         .rtm_type = RTN_UNICAST};

    begin(r, RTM_NEWROUTE, NLM_F_MULTI, &info, sizeof(info));
    attribute_u32(r, RTA_TABLE, RT_TABLE_MAIN);
    attribute_u32(r, RTA_OIF, INTERFACE_OUT_INDEX);
    attribute(r, RTA_PREFSRC, source->bytes, ip_len(source));
    end(r);
}

static void put_error(struct reply *r, int err)
{
    struct nlmsgerr e = {.error = err, .msg = *r->to};

    begin(r, NLMSG_ERROR, 0, &e, sizeof(e));
    end(r);
}

static void put_done(struct reply *r)
{
    int32_t none = 0;

    begin(r, NLMSG_DONE, NLM_F_MULTI, &none, sizeof(none));
    end(r);
}

static bool is_family(uint8_t wanted, const struct ip *ip)
{
    if (ip->family == IP_NONE)
        return false;
    return wanted == AF_UNSPEC || wanted == (ip->family == IP_V4 ? AF_INET : AF_INET6);
}

static void dump(struct session *s, struct reply *r, uint8_t family)
{
    struct interface list[2];
    unsigned count = interfaces_list(&s->local_v4, &s->local_v6, list);

    for (unsigned i = 0; i < count; i++) {
        if (r->to->nlmsg_type == RTM_GETLINK)
            put_link(r, &list[i], NLM_F_MULTI);
        if (r->to->nlmsg_type == RTM_GETADDR && is_family(family, &list[i].v4))
            put_address(r, &list[i], &list[i].v4, list[i].v4_bits);
        if (r->to->nlmsg_type == RTM_GETADDR && is_family(family, &list[i].v6))
            put_address(r, &list[i], &list[i].v6, list[i].v6_bits);
        if (r->to->nlmsg_type == RTM_GETROUTE && i > 0 && is_family(family, &list[i].v4))
            put_default_route(r, &list[i].v4);
        if (r->to->nlmsg_type == RTM_GETROUTE && i > 0 && is_family(family, &list[i].v6))
            put_default_route(r, &list[i].v6);
    }
    put_done(r);
}

/** The name that an RTM_GETLINK request asks for in an attribute; "" none. */
static void wanted_name(struct bytes payload, char ret[static IFNAMSIZ])
{
    size_t at = NLMSG_ALIGN(sizeof(struct ifinfomsg));

    ret[0] = '\0';
    while (at < payload.len && payload.len - at >= sizeof(struct rtattr)) {
        struct rtattr a;
        size_t len;

        memcpy(&a, payload.data + at, sizeof(a));
        if (a.rta_len < sizeof(a) || a.rta_len > payload.len - at)
            return;
        len = a.rta_len - RTA_LENGTH(0);
        if (a.rta_type == IFLA_IFNAME && len > 0 && len <= IFNAMSIZ) {
            memcpy(ret, payload.data + at + RTA_LENGTH(0), len);
            ret[len - 1] = '\0';
            return;
        }
        at += RTA_ALIGN(a.rta_len);
    }
}

static void one_link(struct session *s, struct reply *r, struct bytes payload)
{
    struct interface list[2];
    unsigned count = interfaces_list(&s->local_v4, &s->local_v6, list);
    struct ifinfomsg info;
    char name[IFNAMSIZ];

    if (payload.len < sizeof(info)) {
        put_error(r, -EINVAL);
        return;
    }
    memcpy(&info, payload.data, sizeof(info));
    wanted_name(payload, name);
    for (unsigned i = 0; i < count; i++) {
        if (info.ifi_index == list[i].index ||
            (info.ifi_index == 0 && strcmp(name, list[i].name) == 0)) {
            put_link(r, &list[i], 0);
            return;
        }
    }
    put_error(r, -ENODEV);
}

static void answer(struct session *s, struct reply *r, struct bytes payload)
{
    uint8_t family = payload.len > 0 ? payload.data[0] : AF_UNSPEC;
    bool is_dump = (r->to->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;

    switch (r->to->nlmsg_type) {
    case RTM_GETLINK:
        if (!is_dump) {
            one_link(s, r, payload);
            return;
        }
        dump(s, r, family);
        return;
    case RTM_GETADDR:
    case RTM_GETROUTE:
        if (is_dump)
            dump(s, r, family);
        else
            put_error(r, -EOPNOTSUPP);
        return;
    case RTM_GETNEIGH:
    case RTM_GETRULE:
    case RTM_GETQDISC:
        if (is_dump)
            put_done(r);
        else
            put_error(r, -EOPNOTSUPP);
        return;
    default:
        /* Every kind has four types: NEW, DEL, GET, SET; only GET asks. */
        put_error(r, r->to->nlmsg_type >= RTM_BASE && (r->to->nlmsg_type & 3) != 2 ? -EPERM
                                                                                   : -EOPNOTSUPP);
    }
}

int netlink_send(struct session *s, struct vsock *v, struct bytes message)
{
    size_t at = 0;

    for (unsigned i = 0; i < REQUESTS_MAX && message.len - at >= sizeof(struct nlmsghdr); i++) {
        struct nlmsghdr header;
        struct reply r = {.to = &header, .port = (uint32_t)v->pid};

        memcpy(&header, message.data + at, sizeof(header));
        if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > message.len - at)
            break; /* the kernel ignores the rest, too */
        if (header.nlmsg_type >= NLMSG_MIN_TYPE) {
            answer(s, &r,
                   bytes_of(message.data + at + NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN));
            if (send(v->our_end, r.data, r.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                return -ENOBUFS;
        }
        if (NLMSG_ALIGN(header.nlmsg_len) >= message.len - at)
            break;
        at += NLMSG_ALIGN(header.nlmsg_len);
    }
    held_wake(s->held, v, HELD_INPUT);
    return 0;
}

void netlink_ready(void *self, uint32_t events)
{
    struct vsock *v = self;
    struct session *s = v->owner;
    ssize_t n = recv(v->our_end, s->scratch, SESSION_SCRATCH, MSG_DONTWAIT);

    if (n > 0)
        (void)netlink_send(s, v, bytes_of(s->scratch, (size_t)n)); /* full: the answer is lost */
    else if ((events & (EPOLLHUP | EPOLLRDHUP)) != 0 && sock_is_open(s, v))
        loop_unwatch(s->loop, &v->watch); /* shut down, not closed */
}
