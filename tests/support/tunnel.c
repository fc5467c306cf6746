/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "gateway/gateway.h"
#include "tests/support/suite.h"

static struct prefix prefix_of(const char *text)
{
    struct prefix p;

    ck_assert_int_eq(prefix_parse(bytes_of_str(text), /*host_bits=*/true, &p), 0);
    return p;
}

static void make_conf(struct wg_conf *conf, const uint8_t private_key[static WG_KEY_LEN],
                      const uint8_t peer_private[static WG_KEY_LEN], bool is_gateway, uint16_t mtu)
{
    struct wg_peer_conf *peer = calloc(1, sizeof(*peer));

    *conf = (struct wg_conf){.mtu = mtu, .address_count = 2, .peers = peer, .peer_count = 1};
    memcpy(conf->private_key, private_key, WG_KEY_LEN);
    conf->addresses[0] = prefix_of(is_gateway ? "10.9.0.1/24" : "10.9.0.2/24");
    conf->addresses[1] = prefix_of(is_gateway ? "fd09::1/64" : "fd09::2/64");
    ck_assert_int_eq(wg_key_public(peer_private, peer->public_key), 0);
    peer->allowed_ips = calloc(2, sizeof(peer->allowed_ips[0]));
    peer->allowed_ip_count = 2;
    peer->allowed_ips[0] = prefix_of(is_gateway ? "10.9.0.2/32" : "0.0.0.0/0");
    peer->allowed_ips[1] = prefix_of(is_gateway ? "fd09::2/128" : "::/0");
}

/** One more peer. */
static void add_rogue(struct wg_conf *conf, const uint8_t public_key[static WG_KEY_LEN],
                      const char *allowed)
{
    struct wg_peer_conf *peers = calloc(2, sizeof(*peers));

    must(peers != NULL);
    peers[0] = conf->peers[0];
    free(conf->peers);
    conf->peers = peers;
    conf->peer_count = 2;
    memcpy(peers[1].public_key, public_key, WG_KEY_LEN);
    peers[1].allowed_ips = calloc(1, sizeof(peers[1].allowed_ips[0]));
    must(peers[1].allowed_ips != NULL);
    peers[1].allowed_ip_count = 1;
    peers[1].allowed_ips[0] = prefix_of(allowed);
}

struct gateway_side {
    struct loop *loop;
    struct loop_watch control;
};

static void control_ready(void *self, uint32_t events)
{
    struct gateway_side *g = self;

    (void)events;
    loop_stop(g->loop);
}

/** The child: run the gateway until the control pipe closes; the exit status says what leaked. */
static void run_gateway(const struct wg_conf *conf, const struct tunnel_options *options,
                        int control, int ready)
{
    static const char *const loopback[] = {"127.0.0.1:*",   "udp://127.0.0.1:*", "[::1]:*",
                                           "udp://[::1]:*", "[2001:db8::1]:*",   NULL};
    struct gateway_side side = {.control = {.fd = control, .ready = control_ready, .self = &side}};
    struct gateway_config config = {.wg = conf};
    struct gateway_usage usage;
    struct policy *policy;
    struct gateway *gateway;
    struct why why = {0};
    bool is_clean;
    uint16_t port;

    must(policy_new(POLICY_ENFORCE, &policy) == 0);
    for (const char *const *rule = options->allow != NULL ? options->allow : loopback;
         *rule != NULL; rule++)
        must(policy_add_rule(policy, POLICY_RULE_ALLOW, bytes_of_str(*rule), &why) == 0);
    must(loop_new(&side.loop) == 0);
    config.loop = side.loop;
    config.policy = policy;
    must(gateway_new(&config, &gateway, &why) == 0);
    must(loop_watch(side.loop, &side.control, EPOLLIN) == 0);
    port = gateway_port(gateway);
    must(io_write_all(ready, &port, sizeof(port)) == 0);
    must(loop_run(side.loop) == 0);
    gateway_usage(gateway, &usage);
    gateway_free(gateway);
    policy_free(policy);
    loop_unwatch(side.loop, &side.control);
    loop_free(side.loop);
    is_clean = usage.stack.flows == 0 || options->rogue_public != NULL || options->leaves_flows;
    if (!is_clean)
        fprintf(stderr, "gateway: %u flows were left\n", usage.stack.flows);
    _exit(is_clean ? 0 : 1);
}

uint64_t tunnel_chance(uint64_t *seed, uint64_t below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    return (*seed >> 33) % below;
}

static void relay_send(struct tunnel_relay *r, bool to_client, const uint8_t *data, size_t len)
{
    struct sockaddr_storage sa;
    socklen_t sa_len = endpoint_to_sockaddr(to_client ? &r->client : &r->gateway, &sa);

    r->passed++;
    (void)!sendto(r->watch.fd, data, len, 0, (struct sockaddr *)&sa, sa_len);
}

/** Send what is due, and come again for the rest. */
static void relay_late(void *self, struct mono now)
{
    struct tunnel_relay *r = self;
    struct mono next = MONO_NEVER;

    for (unsigned i = 0; i < TUNNEL_LATE_MAX; i++) {
        struct tunnel_late *late = &r->late[i];

        if (late->data != NULL && !mono_before(now, late->at)) {
            relay_send(r, late->to_client, late->data, late->len);
            free(late->data);
            late->data = NULL;
        }
        if (late->data != NULL && mono_before(late->at, next))
            next = late->at;
    }
    must(loop_timer_set(r->loop, &r->timer, next) == 0);
}

/** Keep a copy for later; one too many is lost. */
static void relay_delay(struct tunnel_relay *r, bool to_client, const uint8_t *data, size_t len)
{
    struct tunnel_late *late = r->late;
    struct mono at =
        mono_add_ms(loop_now(r->loop), (int64_t)tunnel_chance(&r->seed, r->weather.late_ms + 1));

    while (late < r->late + TUNNEL_LATE_MAX && late->data != NULL)
        late++;
    if (late == r->late + TUNNEL_LATE_MAX) {
        r->lost++;
        return;
    }
    *late = (struct tunnel_late){.at = at, .to_client = to_client, .len = len, .data = malloc(len)};
    must(late->data != NULL);
    memcpy(late->data, data, len);
    if (r->timer.index_ == 0 || mono_before(at, r->timer.at))
        must(loop_timer_set(r->loop, &r->timer, at) == 0);
}

static void relay_ready(void *self, uint32_t events)
{
    struct tunnel_relay *r = self;
    const struct tunnel_weather *w = &r->weather;

    (void)events;
    for (;;) {
        static uint8_t datagram[65536];
        struct sockaddr_storage sa;
        socklen_t len = sizeof(sa);
        struct endpoint from;
        bool to_client;
        ssize_t got = recvfrom(r->watch.fd, datagram, sizeof(datagram), MSG_DONTWAIT,
                               (struct sockaddr *)&sa, &len);

        if (got <= 0)
            return;
        ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&sa, len), &from), 0);
        to_client = from.port == r->gateway.port;
        if (!to_client)
            r->client = from;
        if (w->is_dead || tunnel_chance(&r->seed, 100) < w->loss_percent) {
            r->lost++;
            continue;
        }
        if (tunnel_chance(&r->seed, 100) < w->late_percent)
            relay_delay(r, to_client, datagram, (size_t)got);
        else
            relay_send(r, to_client, datagram, (size_t)got);
        if (tunnel_chance(&r->seed, 100) < w->twice_percent)
            relay_delay(r, to_client, datagram, (size_t)got);
    }
}

static uint16_t start_relay(struct tunnel *t, uint16_t gateway_port)
{
    struct tunnel_relay *r = &t->relay;
    struct endpoint at = {.ip = ip_v4(127, 0, 0, 1)};
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&at, &sa);

    r->gateway = (struct endpoint){.ip = ip_v4(127, 0, 0, 1), .port = gateway_port};
    r->seed = 42;
    r->late = calloc(TUNNEL_LATE_MAX, sizeof(r->late[0]));
    must(r->late != NULL);
    r->loop = t->loop;
    r->timer = (struct loop_timer){.expired = relay_late, .self = r};
    r->watch = (struct loop_watch){
        .fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), .ready = relay_ready, .self = r};
    ck_assert_int_ge(r->watch.fd, 0);
    ck_assert_int_eq(bind(r->watch.fd, (struct sockaddr *)&sa, len), 0);
    len = sizeof(sa);
    ck_assert_int_eq(getsockname(r->watch.fd, (struct sockaddr *)&sa, &len), 0);
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&sa, len), &at), 0);
    ck_assert_int_eq(loop_watch(t->loop, &r->watch, EPOLLIN), 0);
    return at.port;
}

void tunnel_up(struct tunnel *t, const struct tunnel_options *options)
{
    struct rng rng = rng_system();
    uint8_t client_key[WG_KEY_LEN], gateway_key[WG_KEY_LEN];
    struct wg_conf client, gateway;
    struct netstack_config config = {.mode = NETSTACK_TUNNEL, .wg = &client};
    struct netstack_usage usage;
    struct why why = {0};
    int control[2], ready[2];
    uint16_t port;

    *t = (struct tunnel){.fds = suite_open_fds(), .relay = {.watch = {.fd = -1}}};
    wg_key_generate(rng, client_key);
    wg_key_generate(rng, gateway_key);
    make_conf(&client, client_key, gateway_key, /*is_gateway=*/false, options->mtu);
    make_conf(&gateway, gateway_key, client_key, /*is_gateway=*/true, options->mtu);
    ck_assert_int_eq(wg_key_public(gateway_key, t->gateway_public), 0);
    ck_assert_int_eq(wg_key_public(client_key, t->client_public), 0);
    if (options->rogue_public != NULL)
        add_rogue(&gateway, options->rogue_public, "10.9.0.3/32");
    if (options->client_rogue != NULL)
        add_rogue(&client, options->client_rogue, "10.8.0.0/24");
    ck_assert_int_eq(pipe2(control, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
    t->gateway = fork();
    ck_assert_int_ge(t->gateway, 0);
    if (t->gateway == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(control[1]);
        close(ready[0]);
        run_gateway(&gateway, options, control[0], ready[1]);
    }
    close(control[0]);
    close(ready[1]);
    t->control = control[1];
    ck_assert_int_eq(io_read(ready[0], &port, sizeof(port)), sizeof(port));
    close(ready[0]);
    t->gateway_port = port;
    ck_assert_int_eq(loop_new(&t->loop), 0);
    if (options->has_relay)
        port = start_relay(t, port);
    client.peers[0].has_endpoint = true;
    client.peers[0].endpoint = (struct endpoint){.ip = ip_v4(127, 0, 0, 1), .port = port};
    config.loop = t->loop;
    if (netstack_new(&config, &t->ns, &why) < 0)
        ck_abort_msg("netstack_new: %s", why.text);
    netstack_usage(t->ns, &usage);
    t->lwip_bytes = usage.lwip_bytes;
    wg_conf_done(&client);
    wg_conf_done(&gateway);
}

void tunnel_down(struct tunnel *t)
{
    struct netstack_usage usage;
    int status;

    tunnel_turns(t, 4);
    netstack_usage(t->ns, &usage);
    ck_assert_uint_eq(usage.flows, 0);
    ck_assert_uint_eq(usage.dgrams, 0);
    netstack_free(t->ns);
    close(t->control);
    ck_assert_int_eq(waitpid(t->gateway, &status, 0), t->gateway);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the gateway ended with status %x",
                  status);
    if (t->relay.watch.fd >= 0) {
        loop_unwatch(t->loop, &t->relay.watch);
        loop_timer_clear(t->loop, &t->relay.timer);
        close(t->relay.watch.fd);
        for (unsigned i = 0; i < TUNNEL_LATE_MAX; i++)
            free(t->relay.late[i].data);
        free(t->relay.late);
    }
    loop_free(t->loop);
    ck_assert_uint_eq(suite_open_fds(), t->fds);
}

void tunnel_turns(struct tunnel *t, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(loop_turn(t->loop, mono_now()), 0);
}

void tunnel_wait(struct tunnel *t, const int *what, int while_equal, int64_t limit_ms)
{
    struct mono limit = mono_add_ms(mono_now(), limit_ms);

    while (*what == while_equal && mono_before(mono_now(), limit))
        ck_assert_int_eq(loop_turn(t->loop, mono_add_ms(mono_now(), 5)), 0);
    ck_assert_int_ne(*what, while_equal);
}

static void on_opened(void *self, struct flow *f, int err)
{
    struct tunnel_owner *o = self;

    (void)f;
    ck_assert_int_eq(o->opened, 1);
    o->opened = err;
}

static void on_closed(void *self, struct flow *f, int err, const struct flow_stats *stats)
{
    struct tunnel_owner *o = self;

    (void)f;
    ck_assert_int_eq(o->closed, 1);
    o->closed = err;
    o->stats = *stats;
}

const struct flow_events tunnel_owner_events = {.opened = on_opened, .closed = on_closed};

int tunnel_listen(enum ip_family family, struct endpoint *ret)
{
    struct endpoint at = {.ip = family == IP_V4 ? ip_v4(127, 0, 0, 1) : ip_any(IP_V6)};
    struct sockaddr_storage sa;
    socklen_t len;
    int fd;

    if (family == IP_V6)
        at.ip.bytes[15] = 1;
    len = endpoint_to_sockaddr(&at, &sa);
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
    ck_assert_int_eq(listen(fd, 4096), 0);
    len = sizeof(sa);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&sa, len), ret), 0);
    return fd;
}

int tunnel_open(struct tunnel *t, const struct endpoint *dst, struct tunnel_owner *o)
{
    *o = (struct tunnel_owner){.opened = 1, .closed = 1, .agent = -1};
    ck_assert_int_eq(flow_open(t->ns, dst, 0, &tunnel_owner_events, o, &o->flow), 0);
    ck_assert_int_eq(o->opened, 1);
    tunnel_wait(t, &o->opened, 1, 10000);
    return o->opened;
}

void tunnel_connect(struct tunnel *t, int listener, const struct endpoint *at,
                    struct tunnel_owner *o, int *ret_server)
{
    int pair[2];

    ck_assert_int_eq(tunnel_open(t, at, o), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    o->agent = pair[0];
    ck_assert_int_eq(write(o->agent, "?", 1), 1); /* the stand-in */
    ck_assert_int_eq(flow_attach_canary(o->flow, pair[1]), 0);
    *ret_server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ck_assert_int_ge(*ret_server, 0);
}

void tunnel_pass(struct tunnel *t, int from, int to, size_t len, uint8_t seed, int64_t limit_ms)
{
    auto_free uint8_t *out = malloc(len), *in = malloc(len);
    size_t sent = 0, got = 0;
    struct mono limit = mono_add_ms(mono_now(), limit_ms);

    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(i * 7 + i / 251 + seed);
    while (got < len) {
        ssize_t put = sent < len ? io_write(from, out + sent, len - sent) : 0;
        ssize_t n = io_read(to, in + got, len - got);

        ck_assert(put >= 0 || put == -EAGAIN);
        ck_assert_msg(n > 0 || n == -EAGAIN, "read gave %zd after %zu of %zu bytes", n, got, len);
        sent += put > 0 ? (size_t)put : 0;
        got += n > 0 ? (size_t)n : 0;
        ck_assert_msg(mono_before(mono_now(), limit), "only %zu of %zu bytes", got, len);
        ck_assert_int_eq(loop_turn(t->loop, mono_add_ms(mono_now(), n > 0 || put > 0 ? 0 : 2)), 0);
    }
    ck_assert_int_eq(memcmp(in, out, len), 0);
}
