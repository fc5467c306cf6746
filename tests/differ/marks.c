/* SPDX-License-Identifier: Apache-2.0 */
/* Time to live and type of service of datagrams: as the peer sees them, and as it sends them. */
#include <sys/time.h>

#include "tests/differ/differ.h"

/** Ask the peer what the datagram had, and show what the answer has. */
static void ask(int fd, int type, int value)
{
    struct sockaddr_in to = at_port(env_port("UDP"));
    struct iovec iov = {(char[]){"marks"}, 5};
    union {
        struct cmsghdr align;
        char bytes[256];
    } control = {0};
    struct msghdr m = {
        .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1};
    char text[32] = "";

    if (type != 0) {
        struct cmsghdr *c;

        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(sizeof(value));
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = type;
        c->cmsg_len = CMSG_LEN(sizeof(value));
        memcpy(CMSG_DATA(c), &value, sizeof(value));
    }
    (void)show("sendmsg", sendmsg(fd, &m, 0));
    iov = (struct iovec){text, sizeof(text) - 1};
    m.msg_control = control.bytes;
    m.msg_controllen = sizeof(control);
    (void)show("recvmsg", recvmsg(fd, &m, 0));
    (void)printf("the peer saw %s; the answer:\n", text);
    show_control(&m);
}

static void peer_marks(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 5};
    int on = 1, ttl = 33, tos = 0xb8, none = 0;

    must(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    must(setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)) == 0);
    must(setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)) == 0);
    ask(fd, 0, 0);
    (void)show("tos", setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)));
    (void)show("ttl", setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)));
    ask(fd, 0, 0);
    ask(fd, IP_TOS, 0x20);
    ask(fd, IP_TTL, 5);
    ask(fd, 0, 0);
    (void)show("tos", setsockopt(fd, IPPROTO_IP, IP_TOS, &none, sizeof(none)));
    ask(fd, 0, 0);
    (void)show("connect", connect_port(fd, env_port("UDP")));
    (void)show("send", send(fd, "marks", 5, 0));
    {
        char text[32] = "";

        (void)show("recv", recv(fd, text, sizeof(text) - 1, 0));
        (void)printf("the peer saw %s\n", text);
    }
}

static void peer_handshake(void)
{
    static const int ttls[] = {64, 33}, toses[] = {0, 0xb8};

    for (unsigned i = 0; i < 2; i++) {
        int fd = tcp_socket(0);
        char text[32] = "";

        (void)show("tos", setsockopt(fd, IPPROTO_IP, IP_TOS, &toses[i], sizeof(int)));
        (void)show("ttl", setsockopt(fd, IPPROTO_IP, IP_TTL, &ttls[i], sizeof(int)));
        (void)show("connect", connect_port(fd, env_port("TCP")));
        (void)show("ask", write(fd, "M", 1));
        (void)show("read", read(fd, text, sizeof(text) - 1));
        (void)printf("the peer saw %s\n", text);
        (void)show("ttl", setsockopt(fd, IPPROTO_IP, IP_TTL, &(int){50}, sizeof(int)));
        (void)show("ask", write(fd, "M", 1));
        (void)show_ok("read", read(fd, text, sizeof(text) - 1));
        (void)close(fd);
    }
}

const struct differ_case mark_cases[] = {
    {"udp_peer_marks", peer_marks},
    {"tcp_peer_marks", peer_handshake},
};
const unsigned mark_case_count = ARRAY_COUNT(mark_cases);
