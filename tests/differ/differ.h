/* SPDX-License-Identifier: Apache-2.0 */
/*
 * differ: one program, run natively and inside a sandbox, whose output must be the same line for
 * line. A case is a function that makes calls and says what they returned, with errno names and
 * poll(2) events, never with numbers that differ between two native runs.
 *
 *   differ serve            print "ready tcp=… closed=… udp=… udp_closed=…" and serve until killed
 *   differ list             print the cases
 *   differ CASE…            run these, each after a line "== CASE"; ports of the server from $TCP,
 *                           $CLOSED, $UDP, $UDP_CLOSED
 */
#ifndef TESTS_DIFFER_H
#define TESTS_DIFFER_H

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"

struct differ_case {
    const char *name;
    void (*run)(void);
};
extern const struct differ_case tcp_cases[];
extern const unsigned tcp_case_count;
extern const struct differ_case loopback_cases[];
extern const unsigned loopback_case_count;
extern const struct differ_case option_cases[];
extern const unsigned option_case_count;
extern const struct differ_case address_cases[];
extern const unsigned address_case_count;
extern const struct differ_case sweep_cases[];
extern const unsigned sweep_case_count;
extern const struct differ_case ping_cases[];
extern const unsigned ping_case_count;
extern const struct differ_case udp_cases[];
extern const unsigned udp_case_count;
extern const struct differ_case batch_cases[];
extern const unsigned batch_case_count;
extern const struct differ_case mark_cases[];
extern const unsigned mark_case_count;

int differ_serve(void);

/** show() - "WHAT = N" or "WHAT: ERRNO"; returns @ret. */
long show(const char *what, long ret);
/** show_ok() - The same, but any success is "ok": for numbers that vary. */
long show_ok(const char *what, long ret);
/** show_events() - What poll(2) says about @fd now. */
void show_events(const char *what, int fd);
/** await_events() - Wait, at most five seconds, until poll(2) says all of @events; then show. */
void await_events(const char *what, int fd, short events);
/** await_quiet() - As await_events(), without a line. Returns whether they came. */
bool await_quiet(int fd, short events);
/** show_name() - getsockname(2) or getpeername(2): the address, and whether there is a port. */
void show_name(const char *what, int fd, bool is_peer);
/** show_error() - SO_ERROR. */
void show_error(const char *what, int fd);

/** show_control() - A received message's control data, but for times. */
void show_control(struct msghdr *m);

uint16_t env_port(const char *name);
struct sockaddr_in at_port(uint16_t port); /* 127.0.0.1 */
int connect_port(int fd, uint16_t port);
int connect_nowhere(int fd); /* AF_UNSPEC */
int tcp_socket(int flags);
/** peer_status() - Ask the server how the connection before this one ended. */
void peer_status(const char *what);
/** listening() - A listener on 127.0.0.1 and its port. */
int listening(int backlog, uint16_t *ret_port);
/** tcp_pair() - Two connected ends through a listener of our own. */
void tcp_pair(int *ret_client, int *ret_server);

#endif
