/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "netstack/wg/wg.h"
#include "tests/support/suite.h"

/* Our device against wireguard-go, an independent implementation, over real UDP sockets. Each test
 * makes a network namespace of its own, which ends with the process; in it wireguard-go has a TUN
 * device with 10.7.0.1 and fd07::1, and we are its peer 10.7.0.2 and fd07::2. Inner packets are
 * made and read by hand; the kernel answers ICMP behind wireguard-go. */

#define WAIT_MS 4000

static struct {
    struct wg *w;
    struct wg_peer_id peer;
    int udp;
    pid_t go;
    int go_log; /* what it writes, and what was read of that */
    char go_text[16384];
    size_t go_len;
    char name[16]; /* of the TUN device */
    char our_private[WG_KEY_TEXT_CAP];
    char our_public[WG_KEY_TEXT_CAP];
    char their_public[WG_KEY_TEXT_CAP];
    struct endpoint theirs;
    int64_t skew_ns;    /* our clocks are ahead by this */
    uint8_t last[2048]; /* inner packet delivered last */
    size_t last_len;
    unsigned delivered;
    unsigned handshakes;
    unsigned initiations_in; /* datagrams of type 1 that came in */
    unsigned initiations_out;
    unsigned keepalives_in;
} t;

static struct mono now(void)
{
    return mono_add_ns(mono_now(), t.skew_ns);
}

static int64_t wall_ns(void *self)
{
    (void)self;
    return wall_now_ns() + t.skew_ns;
}

static void on_send(void *self, const struct endpoint *to, struct bytes datagram)
{
    struct sockaddr_storage addr;
    socklen_t len = endpoint_to_sockaddr(to, &addr);

    (void)self;
    t.initiations_out += datagram.data[0] == 1;
    ck_assert_int_eq(sendto(t.udp, datagram.data, datagram.len, 0, (struct sockaddr *)&addr, len),
                     (ssize_t)datagram.len);
}

static void on_deliver(void *self, struct wg_peer_id peer, struct bytes packet)
{
    (void)self;
    ck_assert_uint_eq(peer.n, t.peer.n);
    ck_assert_uint_le(packet.len, sizeof(t.last));
    memcpy(t.last, packet.data, packet.len);
    t.last_len = packet.len;
    t.delivered++;
}

static void on_event(void *self, struct wg_peer_id peer, enum wg_event event)
{
    (void)self;
    (void)peer;
    t.handshakes += event == WG_EVENT_HANDSHAKE_DONE;
}

/** Start a program; its standard output and error go to the pipe *ret_out, if wanted. */
static pid_t start(const char *const argv[], int *ret_out)
{
    union {
        const char *const *given;
        char *const *wanted; /* execvp() changes nothing, but POSIX cannot say so */
    } args = {.given = argv};
    int fds[2];
    pid_t pid;

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (ret_out != NULL) {
            (void)dup2(fds[1], 1);
            (void)dup2(fds[1], 2);
        }
        (void)execvp(argv[0], args.wanted);
        _exit(127);
    }
    (void)close(fds[1]);
    if (ret_out != NULL)
        *ret_out = fds[0];
    else
        (void)close(fds[0]);
    return pid;
}

/** Run a program to its end; its output, if wanted, into @ret. */
static void run(const char *const argv[], char *ret, size_t cap)
{
    int out = -1;
    pid_t pid = start(argv, ret != NULL ? &out : NULL);
    int status = 0;
    size_t len = 0;

    if (ret != NULL) {
        ssize_t got;

        while ((got = read(out, ret + len, cap - 1 - len)) > 0)
            len += (size_t)got;
        ret[len] = '\0';
        (void)close(out);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0, "%s %s failed (%d)", argv[0], argv[1], status);
}

#define RUN(...)       run((const char *[]){__VA_ARGS__, NULL}, NULL, 0)
#define RUN_TO(b, ...) run((const char *[]){__VA_ARGS__, NULL}, (b), sizeof(b))

static bool has_program(const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "/usr/bin/%s", name);
    return access(path, X_OK) == 0;
}

static char *temp_file(const char *content)
{
    static char paths[4][32];
    static unsigned count; /* written by this function, each test being a process */
    char *path = paths[count++ % 4];
    int fd;

    (void)snprintf(path, sizeof(paths[0]), "/tmp/live_wg_go.XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    (void)close(fd);
    return path;
}

static int udp_open(enum ip_family family, uint16_t *ret_port)
{
    struct endpoint any = {.ip = ip_any(family)};
    struct sockaddr_storage addr;
    socklen_t len = endpoint_to_sockaddr(&any, &addr);
    int fd = socket(addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
    len = sizeof(addr);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&addr, len), &any), 0);
    *ret_port = any.port;
    return fd;
}

/** Wait until wireguard-go has said @what. */
static void go_says(const char *what)
{
    while (strstr(t.go_text, what) == NULL) {
        ssize_t got = read(t.go_log, t.go_text + t.go_len, sizeof(t.go_text) - 1 - t.go_len);

        ck_assert_msg(got > 0, "wireguard-go ended, or says too much: %s", t.go_text);
        t.go_len += (size_t)got;
        t.go_text[t.go_len] = '\0';
    }
    /* The pipe stays open, or its log would kill it. */
}

static void go_start(void)
{
    (void)snprintf(t.name, sizeof(t.name), "wgt%d", (int)getpid());
    ck_assert_int_eq(setenv("WG_PROCESS_FOREGROUND", "1", 1), 0);
    ck_assert_int_eq(setenv("LOG_LEVEL", "verbose", 1), 0);
    t.go = start((const char *[]){"wireguard-go", t.name, NULL}, &t.go_log);
    go_says("UAPI listener started");
}

static void peer_set(bool has_preshared, uint16_t our_port, enum ip_family outer)
{
    char endpoint[ENDPOINT_TEXT_CAP];
    char *preshared = temp_file(has_preshared ? t.our_private : "");

    (void)snprintf(endpoint, sizeof(endpoint), "%s:%u", outer == IP_V4 ? "127.0.0.1" : "[::1]",
                   our_port);
    RUN("wg", "set", t.name, "peer", t.our_public, "preshared-key", preshared, "allowed-ips",
        "10.7.0.2/32,fd07::2/128", "endpoint", endpoint);
    (void)unlink(preshared);
}

/** Both ends, ready, no handshake yet. The preshared key, where there is one, is our private key's
 * text: any 32 bytes will do. */
static void setup(bool has_preshared, uint16_t keepalive_s, enum ip_family outer)
{
    struct wg_sink sink = {.send = on_send, .deliver = on_deliver, .event = on_event};
    struct wg_env env = {.rng = rng_system(), .wall_ns = wall_ns};
    struct prefix allowed[2] = {{.ip = ip_v4(10, 7, 0, 0), .bits = 24}, {.bits = 64}};
    struct wg_peer_conf peer = {.has_endpoint = true, .keepalive_s = keepalive_s};
    struct wg_conf conf = {.peers = &peer, .peer_count = 1};
    uint8_t their_private[WG_KEY_LEN];
    uint8_t public[WG_KEY_LEN];
    char private[WG_KEY_TEXT_CAP];
    char port[8];
    uint16_t their_port;
    uint16_t our_port;
    char *key_file;

    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    RUN("ip", "link", "set", "lo", "up");
    go_start();

    wg_key_generate(env.rng, conf.private_key);
    wg_key_generate(env.rng, their_private);
    ck_assert_int_eq(wg_key_public(conf.private_key, public), 0);
    wg_key_print(conf.private_key, t.our_private);
    wg_key_print(public, t.our_public);
    ck_assert_int_eq(wg_key_public(their_private, peer.public_key), 0);
    wg_key_print(peer.public_key, t.their_public);
    wg_key_print(their_private, private);
    if (has_preshared)
        memcpy(peer.preshared_key, conf.private_key, WG_KEY_LEN);

    /* A free port: bind, look, and close. Nobody else is in this namespace. */
    (void)close(udp_open(outer, &their_port));
    (void)snprintf(port, sizeof(port), "%u", their_port);
    key_file = temp_file(private);
    RUN("wg", "set", t.name, "private-key", key_file, "listen-port", port);
    (void)unlink(key_file);
    t.udp = udp_open(outer, &our_port);
    peer_set(has_preshared, our_port, outer);
    RUN("ip", "addr", "add", "10.7.0.1/24", "dev", t.name);
    RUN("ip", "addr", "add", "fd07::1/64", "dev", t.name, "nodad");
    RUN("ip", "link", "set", t.name, "mtu", "1420", "up");
    /* It takes the device as up in its own time, and answers nothing before. */
    go_says("now Up");

    peer.endpoint = (struct endpoint){.ip = ip_v4(127, 0, 0, 1), .port = their_port};
    if (outer == IP_V6)
        ck_assert_int_eq(ip_parse(bytes_of_str("::1"), &peer.endpoint.ip), 0);
    t.theirs = peer.endpoint;
    ck_assert_int_eq(ip_parse(bytes_of_str("fd07::"), &allowed[1].ip), 0);
    peer.allowed_ips = allowed;
    peer.allowed_ip_count = 2;
    ck_assert_int_eq(wg_new(&conf, &sink, &env, &t.w, NULL), 0);
    ck_assert_int_eq(
        wg_peer_find(t.w, &(struct ip){.family = IP_V4, .bytes = {10, 7, 0, 1}}, &t.peer), 0);
}

static void teardown(void)
{
    int status;

    wg_free(t.w);
    (void)close(t.udp);
    (void)kill(t.go, SIGTERM);
    ck_assert_int_eq(waitpid(t.go, &status, 0), t.go);
}

/** Take what came in, run what is due. */
static void turn(int timeout_ms)
{
    struct pollfd p = {.fd = t.udp, .events = POLLIN};
    uint8_t datagram[2048];
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);
    struct endpoint from;
    ssize_t got;

    if (!mono_before(now(), wg_deadline(t.w)))
        wg_tick(t.w, now());
    if (poll(&p, 1, timeout_ms) <= 0)
        return;
    got = recvfrom(t.udp, datagram, sizeof(datagram), 0, (struct sockaddr *)&addr, &len);
    if (got <= 0)
        return;
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&addr, len), &from), 0);
    t.initiations_in += datagram[0] == 1;
    t.keepalives_in += datagram[0] == 4 && got == 32;
    (void)wg_input(t.w, &from, datagram, (size_t)got, now());
}

/** Let things happen until *@counter is at least @target. */
static void until(const unsigned *counter, unsigned target, const char *what)
{
    struct mono end = mono_add_ms(mono_now(), WAIT_MS);

    while (*counter < target) {
        ck_assert_msg(mono_before(mono_now(), end), "no %s within %d ms", what, WAIT_MS);
        turn(20);
    }
}

/** wireguard-go ignores a second initiation within 20 ms of its own clock, which we cannot skew. */
static void let_pass_its_limit(void)
{
    struct mono end = mono_add_ms(mono_now(), 25);

    while (mono_before(mono_now(), end))
        turn(5);
}

static uint16_t checksum(uint32_t sum, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += load_be16(data + i);
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/** An ICMP echo request to wireguard-go's address, with @id; returns its length. */
static size_t echo_make(enum ip_family v, uint16_t id, uint8_t ret[static 84])
{
    memset(ret, 0, 84);
    if (v == IP_V4) {
        memcpy(ret, (uint8_t[]){0x45, 0, 0, 84, 0, 0, 0, 0, 64, 1, 0, 0, 10, 7, 0, 2, 10, 7, 0, 1},
               20);
        store_be16(ret + 10, checksum(0, ret, 20));
        ret[20] = 8;
        store_be16(ret + 24, id);
        store_be16(ret + 22, checksum(0, ret + 20, 64));
    } else {
        memcpy(ret, (uint8_t[]){0x60, 0, 0, 0, 0, 44, 58, 64, 0xfd, 7}, 10);
        ret[23] = 2;
        memcpy(ret + 24, (uint8_t[]){0xfd, 7}, 2);
        ret[39] = 1;
        ret[40] = 128;
        store_be16(ret + 44, id);
        store_be16(ret + 42, checksum(58 + 44 + 2u * 0xfd07 + 3, ret + 40, 44));
    }
    return 84;
}

/** Ping wireguard-go's side through the tunnel and wait for the answer. */
static void ping(enum ip_family v, uint16_t id)
{
    size_t icmp = v == IP_V4 ? 20 : 40;
    unsigned before = t.delivered;
    uint8_t packet[84];

    ck_assert_int_eq(wg_output(t.w, bytes_of(packet, echo_make(v, id, packet)), now()),
                     WG_DROP_NONE);
    until(&t.delivered, before + 1, "echo reply");
    ck_assert_uint_eq(t.last_len, 84);
    ck_assert_uint_eq(t.last[0] >> 4, v);
    ck_assert_uint_eq(t.last[icmp], v == IP_V4 ? 0 : 129);
    ck_assert_uint_eq(load_be16(t.last + icmp + 4), id);
}

/** Let the kernel behind wireguard-go send us a datagram, and wait for it. */
static void be_called(enum ip_family v)
{
    struct endpoint us = {.ip = ip_v4(10, 7, 0, 2), .port = 7};
    struct sockaddr_storage addr;
    unsigned before = t.delivered;
    uint16_t port;
    socklen_t len;
    int fd = udp_open(v, &port);

    if (v == IP_V6)
        ck_assert_int_eq(ip_parse(bytes_of_str("fd07::2"), &us.ip), 0);
    len = endpoint_to_sockaddr(&us, &addr);
    ck_assert_int_eq(sendto(fd, "hello", 5, 0, (struct sockaddr *)&addr, len), 5);
    until(&t.delivered, before + 1, "datagram from wireguard-go");
    ck_assert_uint_eq(t.last_len, (v == IP_V4 ? 20u : 40u) + 8 + 5);
    ck_assert_mem_eq(t.last + t.last_len - 5, "hello", 5);
    (void)close(fd);
}

static enum ip_family outer_of(int row)
{
    return row % 2 == 0 ? IP_V4 : IP_V6;
}

/* Goal: we initiate; both inner families, over both outer ones, with and without preshared key. */
START_TEST(we_initiate)
{
    setup(_i >= 2, 0, outer_of(_i));
    ping(IP_V4, 1);
    ping(IP_V6, 2);
    be_called(IP_V4);
    ck_assert_uint_eq(t.handshakes, 1);
    ck_assert_uint_eq(t.initiations_in, 0);
    teardown();
}
END_TEST

/* Goal: wireguard-go initiates; we answer, and send after its first data. */
START_TEST(they_initiate)
{
    setup(_i >= 2, 0, outer_of(_i));
    be_called(IP_V6);
    ck_assert_uint_ge(t.initiations_in, 1);
    ck_assert_uint_eq(t.initiations_out, 0);
    ping(IP_V4, 3);
    ck_assert_uint_eq(t.handshakes, 1);
    teardown();
}
END_TEST

/* Goal: after REKEY_AFTER_TIME on our clock we make a new session, and data goes on. */
START_TEST(we_rekey)
{
    setup(true, 0, IP_V4);
    ping(IP_V4, 1);
    let_pass_its_limit();
    t.skew_ns += 121 * NS_PER_S;
    ping(IP_V4, 2);
    until(&t.handshakes, 2, "second handshake");
    ping(IP_V6, 3);
    ck_assert_uint_eq(t.initiations_out, 2);
    teardown();
}
END_TEST

/* Goal: wireguard-go loses its session (its peer is set anew) and makes another one with us, while
 * we still have ours. */
START_TEST(they_start_over)
{
    setup(false, 0, IP_V4);
    ping(IP_V4, 1);
    RUN("wg", "set", t.name, "peer", t.our_public, "remove");
    peer_set(false, 0x1234, IP_V4); /* no such port: it must learn where we are */
    RUN("wg", "set", t.name, "peer", t.our_public, "persistent-keepalive", "0");
    let_pass_its_limit();
    t.skew_ns += 6 * NS_PER_S; /* past REKEY_TIMEOUT */
    wg_handshake(t.w, t.peer, now());
    until(&t.handshakes, 2, "second handshake");
    be_called(IP_V4);
    ping(IP_V4, 2);
    teardown();
}
END_TEST

static uint64_t bytes_that_go_received(void)
{
    char text[512];
    char *tab;

    RUN_TO(text, "wg", "show", t.name, "transfer");
    tab = strchr(text, '\t');
    ck_assert_ptr_nonnull(tab);
    return strtoull(tab + 1, NULL, 10);
}

/* Goal: persistent keepalives go both ways: theirs each second, ours when our clock says so. */
START_TEST(keepalives)
{
    uint64_t before;
    unsigned in;

    setup(false, 25, IP_V4);
    turn(0); /* ours is due at once and makes the handshake */
    until(&t.handshakes, 1, "handshake without data");
    ping(IP_V4, 1);
    in = t.keepalives_in;
    RUN("wg", "set", t.name, "peer", t.our_public, "persistent-keepalive", "1");
    until(&t.keepalives_in, in + 2, "keepalives of wireguard-go");

    RUN("wg", "set", t.name, "peer", t.our_public, "persistent-keepalive", "0");
    before = bytes_that_go_received();
    t.skew_ns += 26 * NS_PER_S;
    turn(0);
    for (struct mono end = mono_add_ms(mono_now(), WAIT_MS);
         bytes_that_go_received() < before + 32;)
        ck_assert(mono_before(mono_now(), end));
    teardown();
}
END_TEST

/* Goal: wireguard-go follows us to another port (roaming), and we follow it. */
START_TEST(roaming)
{
    char port[8];
    uint16_t fresh;

    setup(false, 0, IP_V4);
    ping(IP_V4, 1);
    (void)close(t.udp);
    t.udp = udp_open(IP_V4, &fresh);
    ping(IP_V4, 2);
    be_called(IP_V4);

    (void)close(udp_open(IP_V4, &fresh));
    (void)snprintf(port, sizeof(port), "%u", fresh);
    RUN("wg", "set", t.name, "listen-port", port);
    be_called(IP_V6);
    ping(IP_V6, 3);
    teardown();
}
END_TEST

/* Goal: a wrong preshared key on our side gives no session: the deny neighbour of we_initiate. */
START_TEST(wrong_preshared_key_gives_no_session)
{
    struct wg_peer_stats stats;
    uint8_t packet[84];

    setup(true, 0, IP_V4);
    peer_set(false, 1, IP_V4);
    ck_assert_int_eq(wg_output(t.w, bytes_of(packet, echo_make(IP_V4, 1, packet)), now()),
                     WG_DROP_NONE);
    for (struct mono end = mono_add_ms(mono_now(), WAIT_MS);
         wg_drop_count(t.w, WG_DROP_HANDSHAKE) == 0;) {
        ck_assert(mono_before(mono_now(), end));
        turn(20);
    }
    ck_assert_int_eq(wg_peer_stats(t.w, t.peer, &stats), 0);
    ck_assert_int_eq(stats.last_handshake.ns, 0);
    teardown();
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(we_initiate, 4),
    SUITE_ROWS(they_initiate, 4),
    SUITE_TEST(we_rekey),
    SUITE_TEST(they_start_over),
    SUITE_TEST(keepalives),
    SUITE_TEST(roaming),
    SUITE_TEST(wrong_preshared_key_gives_no_session),
};

/** Root in a container without CAP_SYS_ADMIN may not. */
static bool may_make_namespaces(void)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0)
        _exit(unshare(CLONE_NEWNET) == 0 ? 0 : 1);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(void)
{
    if (geteuid() != 0 || !may_make_namespaces())
        suite_skip("needs root, to make a network namespace and a TUN device");
    if (!has_program("wireguard-go") || !has_program("wg"))
        suite_skip("needs wireguard-go and wireguard-tools");
    if (access("/dev/net/tun", R_OK | W_OK) != 0)
        suite_skip("needs /dev/net/tun");
    return suite_run("wg_go", tests, (unsigned)ARRAY_COUNT(tests));
}
