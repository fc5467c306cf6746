/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client stack in this process, joined by a real tunnel over loopback to a gateway in a child
 * process (lwIP's state is global, so each needs a process of its own). Optionally through a relay
 * that is a bad network. Servers are the test's own host sockets.
 */
#ifndef TESTS_SUPPORT_TUNNEL_H
#define TESTS_SUPPORT_TUNNEL_H

#include <sys/types.h>

#include "netstack/netstack.h"

#define TUNNEL_LATE_MAX 1024u

/** What the relay does to datagrams; may be changed at any time. All zero: it passes them on. */
struct tunnel_weather {
    unsigned loss_percent;
    unsigned twice_percent; /* comes once more, late */
    unsigned late_percent;  /* comes up to late_ms later, behind others */
    unsigned late_ms;
    bool is_dead; /* nothing passes */
};

struct tunnel_relay {
    struct loop_watch watch;
    struct loop_timer timer;
    struct loop *loop;
    struct endpoint gateway;
    struct endpoint client;
    struct tunnel_weather weather;
    uint64_t seed;
    uint64_t passed;
    uint64_t lost;
    struct tunnel_late {
        struct mono at;
        bool to_client;
        size_t len;
        uint8_t *data; /* owned; NULL: not in use */
    } * late;          /* owned; TUNNEL_LATE_MAX */
};

struct tunnel {
    struct loop *loop;
    struct netstack *ns;
    pid_t gateway;
    int control;         /* closing it ends the gateway */
    unsigned fds;        /* open before tunnel_up() */
    uint64_t lwip_bytes; /* held before tunnel_up() */
    struct tunnel_relay relay;
    uint16_t gateway_port;
    uint8_t gateway_public[WG_KEY_LEN];
    uint8_t client_public[WG_KEY_LEN];
};

struct tunnel_options {
    const char *const
        *allow; /* rules of the gateway's policy; NULL-terminated; NULL: all of loopback */
    bool has_relay;
    bool leaves_flows; /* of which the gateway cannot know that they are over */
    uint16_t mtu;
    const uint8_t *rogue_public; /* a second peer of the gateway, 10.9.0.3, whose flows may be left
                                    open at the end; NULL: none */
    const uint8_t *client_rogue; /* a second peer of the client, 10.8.0.0/24, whose address is not
                                    known beforehand; NULL: none */
};

/** tunnel_up() - Start both ends; the addresses are 10.9.0.2, fd09::2 (client) and .1, ::1. */
void tunnel_up(struct tunnel *t, const struct tunnel_options *options);
/** tunnel_down() - End both, and check that nothing was leaked on either side. */
void tunnel_down(struct tunnel *t);
/** tunnel_chance() - The next number of a generator that starts at *@seed; evenly below @below. */
uint64_t tunnel_chance(uint64_t *seed, uint64_t below);
/** tunnel_turns() - Turn the loop @count times without waiting. */
void tunnel_turns(struct tunnel *t, unsigned count);
/** tunnel_wait() - Turn the loop until *@what differs from @while_equal; fails after @limit_ms. */
void tunnel_wait(struct tunnel *t, const int *what, int while_equal, int64_t limit_ms);

/** A flow's owner that remembers what it was told; 1 means not called. */
struct tunnel_owner {
    int opened;
    int closed;
    struct flow_stats stats;
    struct flow *flow;
    int agent; /* our end of the near stream; -1 before tunnel_connect() returned */
};
extern const struct flow_events tunnel_owner_events;
/** tunnel_listen() - A host listener on loopback; gives its address. */
int tunnel_listen(enum ip_family family, struct endpoint *ret);
/** tunnel_open() - Begin to connect and wait for the answer. Returns opened()'s err. */
int tunnel_open(struct tunnel *t, const struct endpoint *dst, struct tunnel_owner *o);
/** tunnel_connect() - Connect to the listener and attach a socket pair; @ret_server: its accepted
 * end. */
void tunnel_connect(struct tunnel *t, int listener, const struct endpoint *at,
                    struct tunnel_owner *o, int *ret_server);
/** tunnel_pass() - Move @len patterned bytes from @from to @to, and compare. */
void tunnel_pass(struct tunnel *t, int from, int to, size_t len, uint8_t seed, int64_t limit_ms);

#endif
