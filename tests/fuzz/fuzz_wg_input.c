/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two devices, and an attacker between them who has read their public keys. The input is the
 * attacker's script: let a datagram through, replay it, flip its bits, cut it, put a fresh MAC1 on
 * it, send bytes of his own, let time pass. Whatever he does, each inner packet arrives unchanged
 * and at most once, only at the node it was meant for.
 */
#include "netstack/wg/cookie.h"
#include "tests/support/wg_net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define STEPS_MAX 64u
#define WAITS_MAX 4u /* long ones, in which many timers run: they cost most of the time */

static struct net net; /* of the present input */

struct script {
    struct bytes rest;
    unsigned waits;
};

static uint8_t next_byte(struct script *s)
{
    uint8_t b = 0;

    if (s->rest.len > 0) {
        b = s->rest.data[0];
        s->rest = bytes_of(s->rest.data + 1, s->rest.len - 1);
    }
    return b;
}

static struct bytes next_bytes(struct script *s, size_t want)
{
    struct bytes b = bytes_of(s->rest.data, want < s->rest.len ? want : s->rest.len);

    s->rest = bytes_of(s->rest.data + b.len, s->rest.len - b.len);
    return b;
}

static void restamp(unsigned to, uint8_t *msg, size_t len)
{
    struct cookie_maker maker = {.has_last_mac1 = false};
    size_t mac1 = msg[0] == WG_MSG_INITIATION ? WG_INIT_MAC1 : WG_RESP_MAC1;

    if (len < mac1 + 2 * WG_MAC_LEN)
        return;
    wg_cookie_keys_init(&maker.keys, net.nodes[to].public_key);
    wg_cookie_stamp(&maker, (struct cookie_msg){.data = msg, .mac1 = mac1}, net.now);
}

static struct endpoint place(uint8_t choice)
{
    return choice % 4 == 0 ? (struct endpoint){.ip = ip_v4(203, 0, 113, 1), .port = choice}
                           : net.nodes[choice % 2].endpoint;
}

/** The last datagram of one node's type, tampered with as the script says, to node @to. */
static void tamper(struct script *s, unsigned to, uint8_t how)
{
    const struct net_bytes *last = &net.nodes[1 - to].last_sent[1 + how % 4];
    struct endpoint from = place(next_byte(s));
    uint8_t copy[2048];
    size_t len = last->len < sizeof(copy) ? last->len : sizeof(copy);

    if (last->data == NULL)
        return;
    memcpy(copy, last->data, len);
    if (how & 0x10)
        copy[next_byte(s) % len] ^= next_byte(s);
    if (how & 0x20)
        len = len * next_byte(s) / 256;
    if ((how & 0x40) && len > 0)
        restamp(to, copy, len);
    (void)net_inject(&net, to, &from, copy, len);
}

static void step(struct script *s, uint32_t tag)
{
    uint8_t op = next_byte(s);
    unsigned node = op >> 7;
    struct endpoint from;
    struct bytes own;

    switch (op & 7) {
    case 0:
    case 1:
        (void)net_send(&net, op & 8 ? IP_V4 : IP_V6, node, 1 - node, tag, 60 + next_byte(s));
        break;
    case 2:
    case 3:
    case 4:
        tamper(s, node, next_byte(s));
        break;
    case 5:
        from = place(next_byte(s));
        own = next_bytes(s, next_byte(s));
        (void)net_inject(&net, node, &from, own.data, own.len);
        break;
    case 6:
        net_run(&net, next_byte(s) * 20);
        break;
    default:
        if (s->waits++ < WAITS_MAX)
            net_run(&net, next_byte(s) * 1000);
        break;
    }
}

/** Each delivered packet is one that the other node sent, whole, and there is no second one. */
static void check_delivered(unsigned i)
{
    const struct net_node *node = &net.nodes[i];

    for (unsigned j = 0; j < node->delivered_count; j++) {
        const struct net_bytes *d = &node->delivered[j];
        enum ip_family v = d->data[0] >> 4 == 4 ? IP_V4 : IP_V6;
        uint32_t tag = load_be32(d->data + (v == IP_V4 ? 20 : 40));

        must(tag < STEPS_MAX);
        must(net_got(&net, i, v, 1 - i, i, tag, d->len) == 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct script s = {.rest = bytes_of(data, len)};
    uint8_t setting = next_byte(&s);
    struct net_options options = {.has_preshared = (setting & 1) != 0,
                                  .keepalive_s = setting & 2 ? 25 : 0};

    net_init(&net, setting, 2, &options);
    net.holds = (setting & 4) != 0; /* nothing arrives but by the attacker's hand */
    net.delay_ms_max = 40;
    for (uint32_t tag = 0; tag < STEPS_MAX && s.rest.len > 0; tag++)
        step(&s, tag);
    check_delivered(0);
    check_delivered(1);
    net_done(&net);
    return 0;
}
