/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a notification to its handler and back to an answer.
 */
#ifndef SANDBOX_DISPATCH_H
#define SANDBOX_DISPATCH_H

#include "sandbox/session.h"

/** dispatch_init() - Make the table of held calls of @s. Returns 0 or -ENOMEM. */
int dispatch_init(struct session *s) MUST_USE;
/** dispatch_ready() - The notification descriptor is readable. Errors: those after which the
 * session cannot go on. */
int dispatch_ready(struct session *s) MUST_USE;

/* The handlers, one for each trapped call. */
int64_t sys_socket(struct session *s, struct trap *t);
int64_t sys_bind(struct session *s, struct trap *t);
int64_t sys_connect(struct session *s, struct trap *t);
int64_t sys_listen(struct session *s, struct trap *t);
int64_t sys_accept(struct session *s, struct trap *t);
int64_t sys_getsockname(struct session *s, struct trap *t);
int64_t sys_getpeername(struct session *s, struct trap *t);
int64_t sys_getsockopt(struct session *s, struct trap *t);
int64_t sys_setsockopt(struct session *s, struct trap *t);
int64_t sys_sendto(struct session *s, struct trap *t);
int64_t sys_recvfrom(struct session *s, struct trap *t);
int64_t sys_sendmsg(struct session *s, struct trap *t);
int64_t sys_recvmsg(struct session *s, struct trap *t);
int64_t sys_sendmmsg(struct session *s, struct trap *t);
int64_t sys_recvmmsg(struct session *s, struct trap *t);
int64_t sys_shutdown(struct session *s, struct trap *t);
int64_t sys_ioctl(struct session *s, struct trap *t);
int64_t sys_epoll_create(struct session *s, struct trap *t);
int64_t sys_pidfd_send_signal(struct session *s, struct trap *t);

#endif
