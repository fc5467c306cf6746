/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connect whose SYNs nobody answers fails with ETIMEDOUT when Linux's TCP does (tcp_syn_retries
 * 6: after 127 s). Live, because lwIP's clock is the loop's; it sleeps nearly all of the time.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netstack/netstack.h"
#include "tests/support/suite.h"

struct owner {
    struct loop *loop;
    int opened;
};

static void on_opened(void *self, struct flow *f, int err)
{
    struct owner *o = self;

    (void)f;
    o->opened = err;
    loop_stop(o->loop);
}

static const struct flow_events events = {.opened = on_opened};

START_TEST(connect_without_answer_times_out_as_tcp_does)
{
    struct rng rng = rng_system();
    struct wg_conf conf = {.address_count = 1, .peer_count = 1};
    struct netstack_config config = {.mode = NETSTACK_TUNNEL, .wg = &conf};
    struct endpoint silent = {.ip = ip_v4(127, 0, 0, 1)}, dst;
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&silent, &sa);
    struct netstack *ns;
    struct owner o = {.opened = 1};
    struct flow *f;
    struct why why;
    uint8_t key[WG_KEY_LEN];
    int64_t start;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC,
                    0); /* bound, and never read: a peer that is dead */

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
    len = sizeof(sa);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    ck_assert_int_eq(endpoint_from_sockaddr(bytes_of(&sa, len), &silent), 0);
    wg_key_generate(rng, conf.private_key);
    wg_key_generate(rng, key);
    conf.peers = calloc(1, sizeof(conf.peers[0]));
    conf.peers[0].allowed_ips = calloc(1, sizeof(conf.peers[0].allowed_ips[0]));
    conf.peers[0].allowed_ip_count = 1;
    conf.peers[0].has_endpoint = true;
    conf.peers[0].endpoint = silent;
    ck_assert_int_eq(wg_key_public(key, conf.peers[0].public_key), 0);
    ck_assert_int_eq(prefix_parse(bytes_of_str("10.9.0.2/24"), true, &conf.addresses[0]), 0);
    ck_assert_int_eq(prefix_parse(bytes_of_str("0.0.0.0/0"), false, conf.peers[0].allowed_ips), 0);
    ck_assert_int_eq(loop_new(&o.loop), 0);
    config.loop = o.loop;
    ck_assert_int_eq(netstack_new(&config, &ns, &why), 0);
    ck_assert_int_eq(endpoint_parse(bytes_of_str("192.0.2.1:80"), &dst), 0);
    start = mono_now().ns;
    ck_assert_int_eq(flow_open(ns, &dst, 0, &events, &o, &f), 0);
    while (o.opened == 1)
        ck_assert_int_eq(loop_run(o.loop), 0);
    ck_assert_int_eq(o.opened, -ETIMEDOUT);
    ck_assert_int_ge((mono_now().ns - start) / NS_PER_S, 120);
    ck_assert_int_le((mono_now().ns - start) / NS_PER_S, 150);
    printf("timed out after %lld s\n", (long long)((mono_now().ns - start) / NS_PER_S));
    netstack_free(ns);
    wg_conf_done(&conf);
    loop_free(o.loop);
    close(fd);
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_SLOW(connect_without_answer_times_out_as_tcp_does, 200),
};
SUITE_MAIN("connect timeout", tests)
