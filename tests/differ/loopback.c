/* SPDX-License-Identifier: Apache-2.0 */
/* TCP among processes of the same machine, or of the same sandbox. */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/differ/differ.h"

static void backlog_full(void)
{
    enum { CLIENTS = 3 };
    uint16_t port;
    int listener = listening(1, &port);
    int fds[CLIENTS];
    int accepted;
    char byte;

    for (unsigned i = 0; i < CLIENTS; i++) {
        fds[i] = tcp_socket(SOCK_NONBLOCK);
        (void)show("connect", connect_port(fds[i], port));
    }
    await_events("first", fds[0], POLLOUT);
    await_events("second", fds[1], POLLOUT);
    show_events("waiting", fds[2]);
    (void)show("connect", connect_port(fds[2], port));
    (void)show("write", write(fds[2], "x", 1));
    for (unsigned i = 0; i < CLIENTS; i++) {
        await_events("listener", listener, POLLIN);
        accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        (void)show_ok("accept", accepted);
        await_events("accepted", fds[i], POLLOUT); /* the last comes again after a second */
        show_error("accepted", fds[i]);
        (void)show("write", write(fds[i], "y", 1));
        await_events("data", accepted, POLLIN);
        (void)show("read", read(accepted, &byte, 1));
        (void)printf("'%c'\n", byte);
        (void)close(accepted);
        await_events("closed", fds[i], POLLIN | POLLRDHUP);
    }
    show_events("listener", listener);
}

/* A connection that waits for room when the listener goes away. */
static void backlog_gone(void)
{
    uint16_t port;
    int listener = listening(0, &port);
    int first = tcp_socket(SOCK_NONBLOCK);
    int second = tcp_socket(SOCK_NONBLOCK);

    (void)show("connect", connect_port(first, port));
    (void)show("connect", connect_port(second, port));
    show_events("waiting", second);
    (void)close(listener);
    await_events("first", first, POLLHUP);
    show_error("first", first);
    await_events("second", second, POLLHUP);
    show_error("second", second);
}

static void backlog_timeout(void)
{
    struct timeval shortly = {.tv_usec = 100000};
    uint16_t port;
    int listener = listening(0, &port);
    int first = tcp_socket(0);
    int second = tcp_socket(0);

    (void)show("connect", connect_port(first, port));
    (void)show("timeout", setsockopt(second, SOL_SOCKET, SO_SNDTIMEO, &shortly, sizeof(shortly)));
    (void)show("connect", connect_port(second, port));
    (void)show_ok("accept", accept(listener, NULL, NULL));
}

static void listener_closed(void)
{
    uint16_t port;
    int listener = listening(4, &port);
    int queued = tcp_socket(0);
    char byte;

    (void)show("connect", connect_port(queued, port));
    (void)close(listener);
    await_events("never accepted", queued, POLLHUP);
    (void)show("read", read(queued, &byte, 1));
    (void)show("connect", connect_port(tcp_socket(0), port));
}

static void listener_calls(void)
{
    uint16_t port;
    int fd = listening(4, &port);
    struct sockaddr_in at = at_port(port);

    show_events("listener", fd);
    (void)show("write", write(fd, "x", 1));
    (void)show("connect", connect_port(fd, port));
    (void)show("bind", bind(fd, (struct sockaddr *)&at, sizeof(at)));
    (void)show("listen again", listen(fd, 8));
    show_name("peer", fd, true);
    show_error("listener", fd);
    (void)show("in use", bind(tcp_socket(0), (struct sockaddr *)&at, sizeof(at)));
    (void)show("shutdown", shutdown(fd, SHUT_WR));
    (void)show("nonblock", fcntl(fd, F_SETFL, O_NONBLOCK));
    (void)show("accept", accept(fd, NULL, NULL));
    (void)show("unspec", connect_nowhere(fd));
    (void)show("accept", accept(fd, NULL, NULL));
}

static void half_close(void)
{
    char data[8];
    int client, server;

    tcp_pair(&client, &server);
    (void)show("write", write(client, "ab", 2));
    (void)show("shutdown", shutdown(client, SHUT_WR));
    await_events("server", server, POLLRDHUP);
    (void)show("read", read(server, data, 8));
    (void)show("read", read(server, data, 8));
    (void)show("write", write(server, "cd", 2));
    await_events("client", client, POLLIN);
    (void)show("read", read(client, data, 8));
    (void)show("write", write(client, "x", 1));
    (void)show("shutdown", shutdown(server, SHUT_WR));
    await_events("client", client, POLLHUP);
    await_events("server", server, POLLHUP);
    (void)show("shutdown", shutdown(server, SHUT_WR));
    show_error("server", server);
}

static void closed_in_order(void)
{
    char data[8];
    int client, server;

    tcp_pair(&client, &server);
    (void)show("write", write(client, "ab", 2));
    (void)close(client);
    await_events("closed", server, POLLRDHUP);
    (void)show("read", read(server, data, 8));
    (void)show("read", read(server, data, 8));
    show_error("closed", server);
}

/* Writing to a peer that has closed: the first goes, the answer is a reset. */
static void write_after_close(void)
{
    char data[8];
    int client, server;

    tcp_pair(&client, &server);
    (void)close(client);
    await_events("closed", server, POLLRDHUP);
    (void)show("write", write(server, "x", 1));
    await_events("reset", server, POLLHUP);
    (void)show("write", write(server, "x", 1));
    (void)show("read", read(server, data, 8));
    show_name("peer", server, true);
}

static void reset_with_unread(void)
{
    char data[8];
    int client, server;

    tcp_pair(&client, &server);
    (void)show("write", write(server, "unread", 6));
    await_events("there", client, POLLIN);
    (void)close(client);
    await_events("reset", server, POLLHUP);
    (void)show("read", read(server, data, 8));
    (void)show("read", read(server, data, 8));
    (void)show("write", write(server, "x", 1));
}

static void reset_by_linger(void)
{
    static const struct linger at_once = {.l_onoff = 1};
    char data[8];
    int client, server;

    tcp_pair(&client, &server);
    (void)show("linger", setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
    (void)close(client);
    await_events("reset", server, POLLHUP);
    (void)show("read", read(server, data, 8));
    show_name("peer", server, true);
}

static void disconnect_pair(void)
{
    char data[8];
    int client, server;

    tcp_pair(&client, &server);
    (void)show("unspec", connect_nowhere(client));
    await_events("reset", server, POLLHUP);
    (void)show("read", read(server, data, 8));
    show_name("client", client, true);
    tcp_pair(&client, &server);
    (void)show("unspec", connect_nowhere(server));
    await_events("reset", client, POLLHUP);
    (void)show("read", read(client, data, 8));
}

static volatile sig_atomic_t urgent_signals;

static void on_urgent(int n)
{
    (void)n;
    urgent_signals++;
}

static void urgent(void)
{
    char data[8] = "";
    int client, server, mark = -1;

    (void)signal(SIGURG, on_urgent);
    tcp_pair(&client, &server);
    (void)show("owner", fcntl(server, F_SETOWN, getpid()));
    (void)show("send", send(client, "ab", 2, 0));
    (void)show("send oob", send(client, "!", 1, MSG_OOB));
    (void)show("send", send(client, "cd", 2, 0));
    await_events("urgent", server, POLLPRI);
    (void)show("signals", urgent_signals);
    (void)show("recv", recv(server, data, 8, 0));
    (void)show("mark", ioctl(server, SIOCATMARK, &mark));
    (void)show("at mark", mark);
    (void)show("oob", recv(server, data, 8, MSG_OOB));
    (void)printf("'%c'\n", data[0]);
    (void)show("oob again", recv(server, data, 8, MSG_OOB));
    await_events("rest", server, POLLIN);
    (void)show("recv", recv(server, data, 8, MSG_DONTWAIT));
    show_events("after", server);
}

static void urgent_inline(void)
{
    char data[8] = "";
    int client, server, on = 1;

    tcp_pair(&client, &server);
    (void)show("inline", setsockopt(server, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)));
    (void)show("send", send(client, "ab", 2, 0));
    (void)show("send oob", send(client, "!", 1, MSG_OOB));
    (void)show("send", send(client, "cd", 2, 0));
    (void)show("recv", recv(server, data, 5, MSG_WAITALL));
    (void)printf("\"%.5s\"\n", data);
    (void)show("oob", recv(server, data, 8, MSG_OOB));
}

static void send_timeout(void)
{
    static char data[65536];
    struct timeval shortly = {.tv_usec = 50000};
    struct timeval got = {0};
    struct pollfd room = {.events = POLLOUT};
    socklen_t len = sizeof(got);
    int client, server;
    ssize_t n;

    tcp_pair(&client, &server);
    room.fd = client;
    (void)show("timeout", setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &shortly, sizeof(shortly)));
    (void)show("get", getsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &got, &len));
    (void)printf("%ld.%06ld\n", got.tv_sec, got.tv_usec);
    for (unsigned i = 0; i < 1000 && write(client, data, sizeof(data)) > 0; i++)
        ;
    n = write(client, data, sizeof(data));
    for (unsigned i = 0; i < 50 && n > 0; i++) /* Linux may find room again: its buffers grow */
        n = write(client, data, sizeof(data));
    (void)show("write", n);
    show_events("full", client);
    while (poll(&room, 1, 10) != 1) {
        while (recv(server, data, sizeof(data), MSG_DONTWAIT) > 0)
            ;
    }
    show_events("room", client);
}

static void names(void)
{
    static const char *const v6 = "::1";
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t len = sizeof(at);
    struct sockaddr_in where;
    int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int v4 = tcp_socket(0);
    int on = 1;

    (void)v6;
    (void)show("v6only", setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)));
    at.sin6_addr = in6addr_any;
    (void)show("bind", bind(listener, (struct sockaddr *)&at, sizeof(at)));
    (void)show("listen", listen(listener, 4));
    (void)show("name", getsockname(listener, (struct sockaddr *)&at, &len));
    (void)show("v4 to v6only", connect_port(v4, ntohs(at.sin6_port)));
    where = at_port(ntohs(at.sin6_port));
    (void)show("v4 beside it", bind(tcp_socket(0), (struct sockaddr *)&where, sizeof(where)));
    at.sin6_addr = in6addr_loopback;
    (void)show("connect", connect(client, (struct sockaddr *)&at, sizeof(at)));
    show_name("client", client, false);
    show_name("client", client, true);
    client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    show_name("server", client, false);
    show_name("server", client, true);
    show_name("listener", listener, false);
}

static void mapped(void)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6};
    struct sockaddr_in where;
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = tcp_socket(0);
    int server;

    (void)show("bind", bind(listener, (struct sockaddr *)&at, sizeof(at)));
    (void)show("listen", listen(listener, 4));
    (void)show("name", getsockname(listener, (struct sockaddr *)&at, &len));
    where = at_port(ntohs(at.sin6_port));
    (void)show("v4 in use", bind(tcp_socket(0), (struct sockaddr *)&where, sizeof(where)));
    (void)show("connect", connect_port(client, ntohs(at.sin6_port)));
    server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    show_name("server", server, false);
    show_name("server", server, true);
    show_name("client", client, true);
    where.sin_addr.s_addr = htonl(0x7f010203);
    client = tcp_socket(0);
    (void)show("127.1.2.3", connect(client, (struct sockaddr *)&where, sizeof(where)));
    show_name("client", client, false);
    where.sin_addr.s_addr = 0;
    client = tcp_socket(0);
    (void)show("any", connect(client, (struct sockaddr *)&where, sizeof(where)));
    show_name("client", client, true);
}

static void ports(void)
{
    struct sockaddr_in at = at_port(0);
    struct sockaddr_in again;
    socklen_t len = sizeof(at);
    int on = 1;
    int first = tcp_socket(0);
    int second = tcp_socket(0);

    (void)show("bind", bind(first, (struct sockaddr *)&at, sizeof(at)));
    (void)show("name", getsockname(first, (struct sockaddr *)&at, &len));
    (void)show("ephemeral", ntohs(at.sin_port) >= 32768 && ntohs(at.sin_port) <= 60999);
    (void)show("twice", bind(first, (struct sockaddr *)&at, sizeof(at)));
    (void)show("taken", bind(second, (struct sockaddr *)&at, sizeof(at)));
    again = at;
    again.sin_addr.s_addr = htonl(0x7f000002);
    (void)show("other address", bind(second, (struct sockaddr *)&again, sizeof(again)));
    again.sin_addr.s_addr = 0;
    second = tcp_socket(0);
    (void)show("wildcard", bind(second, (struct sockaddr *)&again, sizeof(again)));
    (void)show("reuse", setsockopt(first, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
    (void)show("reuse", setsockopt(second, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
    (void)show("wildcard", bind(second, (struct sockaddr *)&again, sizeof(again)));
    (void)show("listen", listen(first, 1));
    (void)show("listen", listen(second, 1));
    second = tcp_socket(0);
    (void)show("reuse", setsockopt(second, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
    (void)show("against a listener", bind(second, (struct sockaddr *)&at, sizeof(at)));
    at.sin_addr.s_addr = htonl(0xc6336401);
    at.sin_port = 0;
    (void)show("foreign", bind(tcp_socket(0), (struct sockaddr *)&at, sizeof(at)));
    at.sin_family = AF_INET6;
    (void)show("family", bind(tcp_socket(0), (struct sockaddr *)&at, sizeof(at)));
    (void)show("short", bind(tcp_socket(0), (struct sockaddr *)&at, 8));
}

/** A socket of @flags, connected to its own name. */
static int connected_to_itself(int flags)
{
    struct sockaddr_in at = at_port(0);
    socklen_t len = sizeof(at);
    int fd = tcp_socket(flags);

    (void)show("bind", bind(fd, (struct sockaddr *)&at, sizeof(at)));
    (void)show("name", getsockname(fd, (struct sockaddr *)&at, &len));
    (void)show("connect", connect(fd, (struct sockaddr *)&at, len));
    return fd;
}

static void self_connect(void)
{
    static char much[100000];
    char data[4] = "";
    size_t got = 0;
    ssize_t n;
    int fd = connected_to_itself(0);
    int other;

    show_name("own", fd, false);
    show_name("peer", fd, true);
    (void)show("write", write(fd, "ab", 2));
    await_events("there", fd, POLLIN);
    (void)show("read", recv(fd, data, 4, MSG_DONTWAIT));
    (void)show("write", write(fd, much, sizeof(much)));
    while (got < sizeof(much) && (n = read(fd, much, sizeof(much))) > 0)
        got += (size_t)n;
    (void)show("read all", (long)got);
    (void)show("write", write(fd, "c", 1));
    (void)show("shutdown", shutdown(fd, SHUT_WR));
    await_events("over", fd, POLLRDHUP);
    (void)show("read", read(fd, data, 4));
    (void)show("read", read(fd, data, 4));
    (void)show("write", write(fd, "d", 1));
    (void)close(fd);
    fd = connected_to_itself(SOCK_NONBLOCK);
    await_events("connected", fd, POLLOUT);
    show_error("connected", fd);
    other = dup(fd);
    (void)show("write", write(other, "ab", 2));
    await_events("there", fd, POLLIN);
    (void)show("read", read(fd, data, 4));
}

static void inherited(void)
{
    uint16_t port;
    int listener = listening(4, &port);
    int client = tcp_socket(0);
    int on = 1, value;
    socklen_t len = sizeof(value);
    int server;

    (void)show("nodelay", setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
    (void)show("keepalive", setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)));
    (void)show("nonblock", fcntl(listener, F_SETFL, O_NONBLOCK));
    (void)show("connect", connect_port(client, port));
    await_events("listener", listener, POLLIN);
    server = accept(listener, NULL, NULL);
    (void)show("flags", fcntl(server, F_GETFL) & O_NONBLOCK);
    (void)show("cloexec", fcntl(server, F_GETFD));
    value = -1;
    (void)show("get", getsockopt(server, IPPROTO_TCP, TCP_NODELAY, &value, &len));
    (void)show("nodelay", value);
    (void)show("get", getsockopt(server, SOL_SOCKET, SO_KEEPALIVE, &value, &len));
    (void)show("keepalive", value);
    (void)show("get", getsockopt(server, SOL_SOCKET, SO_ACCEPTCONN, &value, &len));
    (void)show("accepts", value);
    (void)show("get", getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &value, &len));
    (void)show("accepts", value);
    (void)show("accept", accept(listener, NULL, NULL));
    (void)show("bad flags", accept4(listener, NULL, NULL, 1));
}

/* A listener is there as long as one process has it, under whatever number; then its port is free.
 */
static void holders(void)
{
    struct sockaddr_in at;
    uint16_t port;
    int line[2];
    int listener = listening(4, &port);
    int moved = dup2(listener, 200);
    int queued = tcp_socket(0);
    pid_t child;

    must(pipe2(line, O_CLOEXEC) == 0);
    (void)close(listener);
    (void)show("connect", connect_port(tcp_socket(0), port));
    child = fork();
    if (child == 0) {
        (void)close(line[1]);
        exit(read(line[0], &at, 1) == 0 ? 0 : 1); /* until the parent says so */
    }
    (void)close(line[0]);
    (void)show("close", close(moved));
    (void)show("connect", connect_port(queued, port));
    at = at_port(port);
    (void)show("in use", bind(tcp_socket(0), (struct sockaddr *)&at, sizeof(at)));
    show_events("queued", queued);
    (void)close(line[1]);
    must(waitpid(child, NULL, 0) == child);
    await_events("the last one is gone", queued, POLLHUP);
    (void)show("connect", connect_port(tcp_socket(0), port));
    (void)show("bind", bind(tcp_socket(0), (struct sockaddr *)&at, sizeof(at)));
}

/* A socket that was only bound holds its port until it is closed. */
static void bound_only(void)
{
    struct sockaddr_in at = at_port(0);
    socklen_t len = sizeof(at);
    int first = tcp_socket(0);
    int second = tcp_socket(0);
    int copy = dup(first);

    must(bind(first, (struct sockaddr *)&at, len) == 0);
    must(getsockname(first, (struct sockaddr *)&at, &len) == 0);
    (void)close(first);
    (void)show("a copy is left", bind(second, (struct sockaddr *)&at, len));
    (void)close(copy);
    (void)show("none is left", bind(second, (struct sockaddr *)&at, len));
}

/* A non-blocking attempt on a port where nobody listens, then one on a port where somebody does, by
 * the same descriptor. */
static void refused(void)
{
    struct sockaddr_in nobody = at_port(0), at = at_port(0);
    socklen_t len = sizeof(at);
    int held = tcp_socket(0), listener = tcp_socket(0), fd = tcp_socket(SOCK_NONBLOCK);
    char byte = 'x';

    must(bind(held, (struct sockaddr *)&nobody, len) == 0);
    must(getsockname(held, (struct sockaddr *)&nobody, &len) == 0);
    must(bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 1) == 0);
    must(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    (void)show("connect", connect(fd, (struct sockaddr *)&nobody, len));
    await_events("refused", fd, POLLERR | POLLHUP | POLLOUT);
    show_error("refused", fd);
    show_error("asked again", fd);
    (void)show("connect", connect(fd, (struct sockaddr *)&at, len));
    (void)show("connect", connect(fd, (struct sockaddr *)&at, len));
    await_events("connected", fd, POLLOUT);
    (void)show_ok("accept", accept(listener, NULL, NULL));
    (void)show("write", send(fd, &byte, 1, MSG_NOSIGNAL));
}

/* Calls with an address on connected sockets. */
static void addresses(void)
{
    struct sockaddr_in name = at_port(9);
    struct sockaddr_in from = {0};
    socklen_t len = sizeof(from);
    struct iovec iov = {(char[]){'m'}, 1};
    struct msghdr m = {
        .msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = &iov, .msg_iovlen = 1};
    char data[8];
    int client, server;

    tcp_pair(&client, &server);
    (void)show("sendmsg", sendmsg(client, &m, 0));
    (void)show("recvfrom", recvfrom(server, data, 8, 0, (struct sockaddr *)&from, &len));
    (void)printf("len %u family %d\n", len, from.sin_family);
    (void)show("write", write(server, "ab", 2));
    len = sizeof(from);
    (void)show("recvfrom", recvfrom(client, data, 8, 0, (struct sockaddr *)&from, &len));
    (void)printf("len %u family %d\n", len, from.sin_family);
    (void)show("sendto", sendto(client, "c", 1, 0, (struct sockaddr *)&name, sizeof(name)));
    (void)shutdown(client, SHUT_WR);
    (void)show("recv", recv(server, data, 8, MSG_WAITALL));
}

static void queue_sizes(void)
{
    int client, server, n = -1;

    tcp_pair(&client, &server);
    (void)show("write", write(client, "abc", 3));
    await_events("there", server, POLLIN);
    (void)show("inq", ioctl(server, FIONREAD, &n));
    (void)show("inq", n);
    n = -1;
    (void)show("outq", ioctl(server, TIOCOUTQ, &n));
    (void)show("outq", client >= 0 && n >= 0);
}

const struct differ_case loopback_cases[] = {
    {"loopback_backlog_full", backlog_full},
    {"loopback_backlog_gone", backlog_gone},
    {"loopback_backlog_timeout", backlog_timeout},
    {"loopback_listener_closed", listener_closed},
    {"loopback_listener_calls", listener_calls},
    {"loopback_half_close", half_close},
    {"loopback_closed_in_order", closed_in_order},
    {"loopback_write_after_close", write_after_close},
    {"loopback_reset_with_unread", reset_with_unread},
    {"loopback_reset_by_linger", reset_by_linger},
    {"loopback_disconnect", disconnect_pair},
    {"loopback_urgent", urgent},
    {"loopback_urgent_inline", urgent_inline},
    {"loopback_send_timeout", send_timeout},
    {"loopback_names", names},
    {"loopback_mapped", mapped},
    {"loopback_ports", ports},
    {"loopback_self_connect", self_connect},
    {"loopback_inherited", inherited},
    {"loopback_queue_sizes", queue_sizes},
    {"loopback_holders", holders},
    {"loopback_bound_only", bound_only},
    {"loopback_refused", refused},
    {"loopback_addresses", addresses},
};
const unsigned loopback_case_count = ARRAY_COUNT(loopback_cases);
