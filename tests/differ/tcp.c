/* SPDX-License-Identifier: Apache-2.0 */
/* TCP to a peer outside. */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/time.h>

#include "tests/differ/differ.h"

static int connected(const char *command)
{
    int fd = tcp_socket(0);

    must(connect_port(fd, env_port("TCP")) == 0);
    must(write(fd, command, strlen(command)) == (ssize_t)strlen(command));
    return fd;
}

static void echo(const char *what, int out, int in)
{
    char answer[8] = "";

    (void)show(what, write(out, "ping", 4));
    (void)show(what, read(in, answer, 4));
    (void)printf("%s \"%s\"\n", what, answer);
}

/** Wait until so many bytes can be read. */
static void await_bytes(int fd, int wanted)
{
    int there = 0;

    for (unsigned i = 0; i < 5000 && there < wanted; i++) {
        must(ioctl(fd, FIONREAD, &there) == 0);
        (void)usleep(there < wanted ? 1000 : 0);
    }
    (void)show("bytes", there);
}

static int watch_on(int ep, int fd, uint32_t events, uint32_t tag)
{
    struct epoll_event ev = {.events = events, .data.u32 = tag};

    return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

/** Wait until the registration @tag reports @events; other events pass. */
static void await_epoll(const char *what, int ep, uint32_t tag, uint32_t events)
{
    struct epoll_event ev;

    for (unsigned i = 0; i < 64; i++) {
        if (epoll_wait(ep, &ev, 1, 5000) != 1)
            break;
        if (ev.data.u32 == tag && (ev.events & events) == events) {
            (void)printf("%s: epoll %u%s%s%s\n", what, tag, (events & EPOLLIN) != 0 ? " IN" : "",
                         (events & EPOLLOUT) != 0 ? " OUT" : "",
                         (ev.events & EPOLLERR) != 0 ? " ERR" : "");
            return;
        }
    }
    (void)printf("%s: epoll %u says nothing\n", what, tag);
}

static void connect_twice(int fd, uint16_t port)
{
    (void)show("connect", connect_port(fd, port));
    await_events("connected", fd, POLLOUT);
    show_error("connected", fd);
    (void)show("connect again", connect_port(fd, port));
}

/* A non-blocking connection fails; the same descriptor, its duplicate and its epoll registrations
 * then serve the next one. */
static void retry(void)
{
    int fd = tcp_socket(SOCK_NONBLOCK);
    int copy = dup(fd);
    int ep = epoll_create1(EPOLL_CLOEXEC);
    int ep2 = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = 9};

    (void)show("add", watch_on(ep, fd, EPOLLIN | EPOLLOUT | EPOLLET, 7));
    (void)show("add copy", watch_on(ep2, copy, EPOLLIN | EPOLLOUT, 8));
    (void)show("connect", connect_port(fd, env_port("CLOSED")));
    await_events("refused", fd, POLLERR | POLLHUP | POLLOUT);
    await_epoll("refused", ep, 7, EPOLLIN | EPOLLOUT);
    await_epoll("refused", ep2, 8, EPOLLIN | EPOLLOUT);
    show_error("refused", fd);
    show_error("refused", copy);
    show_events("read", fd);
    (void)show("connect", connect_port(fd, env_port("TCP")));
    (void)show("connect", connect_port(fd, env_port("TCP")));
    await_epoll("connected", ep, 7, EPOLLOUT);
    await_epoll("connected", ep2, 8, EPOLLOUT);
    show_error("connected", copy);
    (void)show("write", write(copy, "E", 1));
    (void)fcntl(fd, F_SETFL, 0);
    echo("through the copy", copy, fd);
    echo("and back", fd, copy);
    (void)show("write", write(fd, "x", 1));
    await_epoll("answer", ep, 7, EPOLLIN);
    await_epoll("answer", ep2, 8, EPOLLIN);
    (void)show("modify", epoll_ctl(ep2, EPOLL_CTL_MOD, copy, &ev));
    await_epoll("modified", ep2, 9, EPOLLIN);
    (void)show("delete", epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
    (void)show("delete", epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
    (void)show("read", read(copy, (char[1]){0}, 1));
    (void)show("close", close(fd));
    echo("the copy alone", copy, copy);
}

/* The same without reading SO_ERROR: connect() itself says what became of the attempt. */
static void retry_unread(void)
{
    int fd = tcp_socket(SOCK_NONBLOCK);

    (void)show("connect", connect_port(fd, env_port("CLOSED")));
    await_events("refused", fd, POLLERR | POLLHUP | POLLOUT);
    (void)show("connect", connect_port(fd, env_port("TCP")));
    connect_twice(fd, env_port("TCP"));
    show_name("name", fd, false);
}

/* What was set on the socket is there for the next attempt. */
static void retry_options(void)
{
    struct timeval limit = {.tv_usec = 50000};
    int fd = tcp_socket(SOCK_NONBLOCK);
    socklen_t len = sizeof(limit);
    char byte;

    (void)show("timeout", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
    (void)show("connect", connect_port(fd, env_port("CLOSED")));
    await_events("refused", fd, POLLERR | POLLHUP | POLLOUT);
    show_error("refused", fd);
    (void)show("connect", connect_port(fd, env_port("TCP")));
    (void)fcntl(fd, F_SETFL, 0);
    (void)show("connect", connect_port(fd, env_port("TCP")));
    (void)show("get", getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &len));
    (void)show("limit", limit.tv_usec > 40000);
    (void)show("read", read(fd, &byte, 1));
}

static void retry_blocking(void)
{
    int fd = tcp_socket(0);
    int copy = dup(fd);

    (void)show("connect", connect_port(fd, env_port("CLOSED")));
    show_error("refused", fd);
    show_events("refused", fd);
    (void)show("connect", connect_port(copy, env_port("CLOSED")));
    (void)show("connect", connect_port(copy, env_port("TCP")));
    (void)show("connect", connect_port(fd, env_port("TCP")));
    (void)show("write", write(fd, "E", 1));
    echo("echo", fd, copy);
}

/* What read(2) and write(2) say before and after. */
static void unconnected(void)
{
    int fd = tcp_socket(0);
    char byte;

    show_events("fresh", fd);
    (void)show("read", read(fd, &byte, 1));
    (void)show("write", write(fd, "x", 1));
    (void)show("recv", recv(fd, &byte, 1, MSG_DONTWAIT));
    (void)show("shutdown", shutdown(fd, SHUT_WR));
    show_name("own", fd, false);
    show_name("peer", fd, true);
    (void)show("accept", accept(fd, NULL, NULL));
    (void)show("unspec", connect_nowhere(fd));
    show_error("fresh", fd);
}

static void disconnect(void)
{
    int fd = connected("E");
    int copy = dup(fd);
    char byte;

    echo("echo", fd, copy);
    (void)show("unspec", connect_nowhere(fd));
    peer_status("unspec");
    show_name("own", fd, false);
    show_name("peer", copy, true);
    (void)show("write", write(copy, "x", 1));
    (void)show("read", recv(copy, &byte, 1, MSG_DONTWAIT));
    show_error("after", fd);
    (void)show("unspec", connect_nowhere(fd));
    (void)show("connect", connect_port(fd, env_port("TCP")));
    (void)show("write", write(copy, "E", 1));
    echo("again", copy, fd);
    (void)show("connect", connect_port(fd, env_port("TCP")));
}

/* connect(AF_UNSPEC) while the attempt is under way, and while it has failed. */
static void disconnect_failed(void)
{
    int fd = tcp_socket(SOCK_NONBLOCK);

    (void)show("connect", connect_port(fd, env_port("CLOSED")));
    await_events("refused", fd, POLLERR | POLLHUP | POLLOUT);
    (void)show("unspec", connect_nowhere(fd));
    show_error("unspec", fd);
    connect_twice(fd, env_port("TCP"));
}

static void reset_by_peer(void)
{
    int fd = connected("R");
    char byte;

    await_events("reset", fd, POLLERR | POLLHUP | POLLOUT);
    (void)show("read", read(fd, &byte, 1));
    (void)show("read", read(fd, &byte, 1));
    (void)show("write", write(fd, "x", 1));
    show_error("after", fd);
    show_name("peer", fd, true);
    show_events("after", fd);
    (void)show("shutdown", shutdown(fd, SHUT_WR));
}

static void reset_write_first(void)
{
    int fd = connected("R");

    await_events("reset", fd, POLLERR | POLLHUP | POLLOUT);
    (void)show("write", write(fd, "x", 1));
    (void)show("write", write(fd, "x", 1));
}

static void reset_error_first(void)
{
    int fd = connected("R");
    char byte;

    await_events("reset", fd, POLLERR | POLLHUP | POLLOUT);
    show_error("first", fd);
    show_error("then", fd);
    (void)show("read", read(fd, &byte, 1));
    (void)show("write", write(fd, "x", 1));
}

static void data_then_reset(void)
{
    int fd = connected("D");
    char data[8] = "";

    await_events("reset", fd, POLLERR | POLLHUP | POLLOUT);
    (void)show("read", read(fd, data, sizeof(data)));
    (void)show("read", read(fd, data, sizeof(data)));
    (void)show("read", read(fd, data, sizeof(data)));
}

static void linger_zero(void)
{
    static const struct linger at_once = {.l_onoff = 1};
    int fd = connected("Q");

    (void)show("linger", setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
    (void)close(fd);
    peer_status("linger 0");
    fd = connected("E");
    (void)show("write", write(fd, "unread", 6));
    await_events("unread", fd, POLLIN);
    (void)close(fd);
    peer_status("closed with unread data");
    fd = connected("Q");
    (void)close(fd);
    peer_status("closed");
}

/* A close that lingers returns when the peer has everything. */
static void linger_long(void)
{
    static const struct linger ten = {.l_onoff = 1, .l_linger = 10};
    int fd = connected("Q");

    (void)show("linger", setsockopt(fd, SOL_SOCKET, SO_LINGER, &ten, sizeof(ten)));
    (void)show("write", write(fd, "xyz", 3));
    (void)show("close", close(fd));
    peer_status("lingered");
}

static void half_close(void)
{
    int fd = connected("H");
    char data[8];

    await_events("their end", fd, POLLRDHUP);
    (void)show("read", read(fd, data, sizeof(data)));
    (void)show("read", read(fd, data, sizeof(data)));
    (void)show("write", write(fd, "x", 1));
    show_events("half", fd);
    (void)show("shutdown", shutdown(fd, SHUT_WR));
    await_events("both", fd, POLLHUP);
    (void)show("write", write(fd, "x", 1));
    (void)show("read", read(fd, data, sizeof(data)));
    peer_status("half close");
    fd = connected("E");
    (void)show("shutdown", shutdown(fd, SHUT_WR));
    await_events("answered by an end", fd, POLLRDHUP);
    (void)show("shutdown", shutdown(fd, SHUT_RDWR));
    (void)close(fd);
    fd = connected("E");
    (void)show("shut for reading", shutdown(fd, SHUT_RD));
    (void)show("read", read(fd, data, sizeof(data)));
    show_events("deaf", fd);
    (void)show("write", write(fd, "x", 1));
}

static void simultaneous_close(void)
{
    for (unsigned i = 0; i < 20; i++) {
        int fd = connected("F");

        (void)shutdown(fd, SHUT_WR);
        if (!await_quiet(fd, POLLHUP))
            (void)printf("round %u is not over\n", i);
        show_error("over", fd);
        (void)close(fd);
    }
}

static void flags(void)
{
    int fd = connected("E");
    struct timeval shortly = {.tv_usec = 30000};
    struct timeval patient = {.tv_sec = 20};
    char data[16] = "";

    (void)show("dontwait", recv(fd, data, 1, MSG_DONTWAIT));
    (void)show("timeout", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &shortly, sizeof(shortly)));
    (void)show("timed read", read(fd, data, 1));
    (void)show("timed recvfrom", recvfrom(fd, data, 1, 0, NULL, NULL));
    (void)show("send", send(fd, "abcdef", 6, MSG_DONTWAIT | MSG_NOSIGNAL));
    await_bytes(fd, 6);
    (void)show("peek", recv(fd, data, 3, MSG_PEEK));
    (void)show("peek", recv(fd, data, 16, MSG_PEEK | MSG_DONTWAIT));
    (void)show("wait for all", recv(fd, data, 16, MSG_WAITALL)); /* cut by the timeout */
    (void)printf("\"%s\"\n", data);
    (void)show("send", send(fd, "wxyz", 4, 0));
    (void)show("timeout", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patient, sizeof(patient)));
    (void)show("wait for all", recv(fd, data, 4, MSG_WAITALL));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &shortly, sizeof(shortly));
    (void)show("recv 0", recv(fd, data, 0, MSG_DONTWAIT));
    (void)show("errqueue", recv(fd, data, 1, MSG_ERRQUEUE));
    (void)show("oob", recv(fd, data, 1, MSG_OOB));
    (void)show("send", send(fd, "wxyz", 4, 0));
    await_events("there", fd, POLLIN);
    (void)show("thrown away", recv(fd, NULL, 2, MSG_TRUNC));
}

static void messages(void)
{
    int fd = connected("E");
    char a[3], b[8], control[64];
    struct iovec iov[2] = {{a, 3}, {b, 8}};
    struct sockaddr_in name = at_port(9);
    struct msghdr m = {.msg_name = &name,
                       .msg_namelen = sizeof(name),
                       .msg_iov = iov,
                       .msg_iovlen = 2,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct sockaddr_in from = {0};
    socklen_t len = sizeof(from);
    struct mmsghdr two[2] = {{.msg_hdr = {.msg_iov = iov, .msg_iovlen = 1}},
                             {.msg_hdr = {.msg_iov = iov + 1, .msg_iovlen = 1}}};

    (void)show("sendto with an address", sendto(fd, "12345", 5, 0, (struct sockaddr *)&name, 16));
    await_events("there", fd, POLLIN);
    (void)show("recvmsg", recvmsg(fd, &m, 0));
    (void)printf("namelen %u controllen %zu flags %d\n", m.msg_namelen, m.msg_controllen,
                 m.msg_flags);
    (void)show("sendmmsg", sendmmsg(fd, two, 2, 0));
    await_bytes(fd, 11);
    (void)show("recvfrom", recvfrom(fd, b, 2, MSG_WAITALL, (struct sockaddr *)&from, &len));
    (void)printf("len %u family %d\n", len, from.sin_family);
    (void)show("recvmmsg", recvmmsg(fd, two, 2, MSG_WAITFORONE, NULL));
}

static void fast_open(void)
{
    struct sockaddr_in to = at_port(env_port("TCP"));
    int fd = tcp_socket(0);
    char answer[4];

    (void)show("fast open",
               sendto(fd, "Eabc", 4, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to)));
    (void)show("fallback", connect_port(fd, env_port("TCP")));
    (void)show("write", write(fd, "Eabc", 4));
    (void)show("read", read(fd, answer, 3));
}

/** The whole of @total bytes of 'x' comes back through the echo. */
static void drain(const char *what, int fd, size_t total)
{
    static char data[65536];
    size_t got = 0;
    ssize_t n = 0;

    while (got < total && (n = read(fd, data, sizeof(data))) > 0)
        got += (size_t)n;
    (void)printf("%s: %zu bytes\n", what, got);
}

static void sendfile_splice(void)
{
    enum { SIZE = 300000 };
    int fd = connected("Q");
    int file = memfd_create("data", MFD_CLOEXEC);
    off_t at = 0;
    int pipes[2];
    char data[64];

    must(file >= 0 && ftruncate(file, SIZE) == 0 && pipe2(pipes, O_CLOEXEC) == 0);
    while (at < SIZE && sendfile(fd, file, &at, (size_t)(SIZE - at)) > 0)
        ;
    (void)show("sendfile", (long)at);
    must(write(pipes[1], "through a pipe", 14) == 14);
    (void)show("splice in", splice(pipes[0], NULL, fd, NULL, 14, 0));
    (void)close(fd);
    peer_status("sendfile");
    fd = connected("E");
    must(write(fd, "echoed", 6) == 6);
    await_events("there", fd, POLLIN);
    (void)show("splice out", splice(fd, NULL, pipes[1], NULL, 6, 0));
    (void)show("read", read(pipes[0], data, sizeof(data)));
    (void)show("tee", tee(fd, pipes[1], 6, 0));
    (void)show("seek", lseek(fd, 0, SEEK_CUR));
    (void)show("pread", pread(fd, data, 1, 0));
    at = 0;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)show_ok("sendfile", sendfile(fd, file, &at, 65536));
    (void)fcntl(fd, F_SETFL, 0);
    drain("echoed", fd, (size_t)at);
}

/* select(2) with a descriptor above FD_SETSIZE, in a set of our own size. */
static void select_high(void)
{
    enum { HIGH = 1500 };
    static fd_set sets[2][2];
    struct rlimit limit;
    struct timeval wait = {.tv_sec = 5};
    int fd = connected("E");
    long *words = (long *)sets[0];

    must(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    (void)show("dup2", dup2(fd, HIGH));
    (void)close(fd);
    must(write(HIGH, "x", 1) == 1);
    words[HIGH / 64] |= 1L << HIGH % 64;
    (void)show("select", select(HIGH + 1, &sets[0][0], NULL, NULL, &wait));
    (void)show("set", (words[HIGH / 64] >> HIGH % 64) & 1);
    (void)show("read", read(HIGH, words, 1));
}

static void epoll_edges(void)
{
    int fd = tcp_socket(SOCK_NONBLOCK);
    int before = epoll_create1(EPOLL_CLOEXEC);
    int during = epoll_create1(EPOLL_CLOEXEC);
    int after = epoll_create1(EPOLL_CLOEXEC);
    const uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    struct epoll_event ev;

    (void)watch_on(before, fd, events, 1);
    (void)show("fresh", epoll_wait(before, &ev, 1, 0));
    (void)show("connect", connect_port(fd, env_port("TCP")));
    (void)watch_on(during, fd, events, 2);
    await_epoll("before", before, 1, EPOLLOUT);
    await_epoll("during", during, 2, EPOLLOUT);
    (void)watch_on(after, fd, events, 3);
    await_epoll("after", after, 3, EPOLLOUT);
    (void)show("write", write(fd, "Ex", 2));
    await_epoll("before", before, 1, EPOLLIN);
    await_epoll("during", during, 2, EPOLLIN);
    await_epoll("after", after, 3, EPOLLIN);
    (void)show("no second edge", epoll_wait(after, &ev, 1, 0));
    (void)show("shutdown", shutdown(fd, SHUT_WR));
    await_epoll("end", before, 1, EPOLLIN | EPOLLRDHUP);
}

static int state_of(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ? -1 : info.tcpi_state;
}

static void tcp_states(void)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    int fd = tcp_socket(0);

    (void)show("fresh", state_of(fd));
    (void)show("connect", connect_port(fd, env_port("TCP")));
    (void)show("connected", state_of(fd));
    must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
    (void)show("mss", info.tcpi_snd_mss > 500 && info.tcpi_rcv_mss > 500);
    (void)show("rtt", info.tcpi_rtt > 0 && info.tcpi_rto > 1000);
    (void)show("window", info.tcpi_snd_cwnd > 1 && info.tcpi_rcv_space > 1000);
    (void)show("mtu", info.tcpi_pmtu > 1000);
    (void)show("write", write(fd, "H", 1));
    await_events("their end", fd, POLLRDHUP);
    (void)show("close wait", state_of(fd));
    (void)show("shutdown", shutdown(fd, SHUT_WR));
    await_events("both", fd, POLLHUP);
    fd = connected("Q");
    (void)show("shutdown", shutdown(fd, SHUT_WR));
    fd = connected("R");
    await_events("reset", fd, POLLHUP);
    (void)show("reset", state_of(fd));
}

static void urgent(void)
{
    int fd = connected("E");
    char data[8] = "";
    int mark = -1;

    (void)show("at mark", ioctl(fd, SIOCATMARK, &mark));
    (void)show("send", send(fd, "ab", 2, 0));
    (void)show("send oob", send(fd, "!", 1, MSG_OOB));
    (void)show("send", send(fd, "cd", 2, 0));
    (void)show("recv", recv(fd, data, 2, MSG_WAITALL));
    (void)show("recv", recv(fd, data + 2, 2, MSG_WAITALL));
    (void)printf("\"%.4s\"\n", data);
}

const struct differ_case tcp_cases[] = {
    {"tcp_unconnected", unconnected},
    {"tcp_retry", retry},
    {"tcp_retry_unread", retry_unread},
    {"tcp_retry_blocking", retry_blocking},
    {"tcp_retry_options", retry_options},
    {"tcp_disconnect", disconnect},
    {"tcp_disconnect_failed", disconnect_failed},
    {"tcp_reset_by_peer", reset_by_peer},
    {"tcp_reset_write_first", reset_write_first},
    {"tcp_reset_error_first", reset_error_first},
    {"tcp_data_then_reset", data_then_reset},
    {"tcp_linger_zero", linger_zero},
    {"tcp_linger_long", linger_long},
    {"tcp_half_close", half_close},
    {"tcp_simultaneous_close", simultaneous_close},
    {"tcp_flags", flags},
    {"tcp_messages", messages},
    {"tcp_fast_open", fast_open},
    {"tcp_sendfile_splice", sendfile_splice},
    {"tcp_select_high", select_high},
    {"tcp_epoll_edges", epoll_edges},
    {"tcp_states", tcp_states},
    {"tcp_urgent", urgent},
};
const unsigned tcp_case_count = ARRAY_COUNT(tcp_cases);
