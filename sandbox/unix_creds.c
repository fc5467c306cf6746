/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only a message's own end knows its peer: unix_diag(7) names it by inode, which is asked at each
 * message once credentials matter in this sandbox. A socket with several senders names the latest.
 */
#include "sandbox/unix_creds.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"
#include "sandbox/session.h"

/** The inode of the socket that @inode is connected to; 0: none. */
static uint32_t peer_of(struct session *s, uint32_t inode)
{
    struct {
        struct nlmsghdr header;
        struct unix_diag_req request;
    } ask = {
        .header = {.nlmsg_len = sizeof(ask),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST},
        .request = {.sdiag_family = AF_UNIX,
                    .udiag_states = UINT32_MAX,
                    .udiag_ino = inode,
                    .udiag_cookie = {UINT32_MAX, UINT32_MAX},
                    .udiag_show = UDIAG_SHOW_PEER},
    };
    union {
        struct nlmsghdr header;
        uint8_t bytes[512];
    } answer;
    auto_fd own =
        s->agent_diag_fd >= 0 ? -1 : socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    int fd = s->agent_diag_fd >= 0 ? s->agent_diag_fd : own;
    struct unix_diag_msg *msg = NLMSG_DATA(&answer.header);
    struct rtattr *attr;
    unsigned left;
    ssize_t n;

    if (fd < 0 || send(fd, &ask, sizeof(ask), 0) < 0)
        return 0;
    n = recv(fd, answer.bytes, sizeof(answer.bytes), 0);
    if (n < 0 || !NLMSG_OK(&answer.header, (unsigned)n) ||
        answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        answer.header.nlmsg_len < NLMSG_LENGTH(sizeof(*msg)))
        return 0;
    left = answer.header.nlmsg_len - (unsigned)NLMSG_LENGTH(NLMSG_ALIGN(sizeof(*msg)));
    attr = (struct rtattr *)(void *)((uint8_t *)msg + NLMSG_ALIGN(sizeof(*msg)));
    for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left))
        if (attr->rta_type == UNIX_DIAG_PEER && RTA_PAYLOAD(attr) >= sizeof(uint32_t)) {
            uint32_t peer;

            memcpy(&peer, RTA_DATA(attr), sizeof(peer));
            return peer;
        }
    return 0;
}

void unix_creds_sent(struct session *s, const struct trap *t)
{
    uint32_t peer;

    if (!s->unix_senders.is_wanted)
        return;
    peer = peer_of(s, (uint32_t)t->inode);
    if (peer == 0)
        return;
    s->unix_senders.rows[peer % UNIX_SENDERS].receiver = peer;
    s->unix_senders.rows[peer % UNIX_SENDERS].sender = agent_pid(&s->agents, t->call.tid);
}

pid_t unix_creds_sender(const struct session *s, const struct trap *t)
{
    uint32_t inode = (uint32_t)t->inode;
    unsigned row = inode % UNIX_SENDERS;

    return s->unix_senders.rows[row].receiver == inode ? s->unix_senders.rows[row].sender : 0;
}
