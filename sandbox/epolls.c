/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes epoll instances for the agent and keeps duplicates, a bounded number: the oldest makes
 * room. A kept instance keeps none of the files open that are registered in it. Nothing is refused
 * here: what cannot be kept is left to the kernel. Shown live: tcp_retry of tests/differ, in a box.
 */
#include "sandbox/epolls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/own.h"
#include "sandbox/dispatch.h"

#define EPOLLS_MAX 256u

struct epoll_kept {
    int fd; /* owned; -1: none */
    uint64_t mark;
};

struct epolls {
    int marker; /* owned */
    uint64_t marker_inode;
    uint64_t last_mark;
    unsigned next; /* makes room */
    struct epoll_kept kept[EPOLLS_MAX];
};

static void epolls_free(struct epolls *e)
{
    own_close(&e->marker);
    for (unsigned i = 0; i < EPOLLS_MAX; i++)
        own_close(&e->kept[i].fd);
    free(e);
}

static struct epolls *epolls_new(struct session *s)
{
    struct epolls *e = calloc(1, sizeof(*e));

    if (e == NULL)
        return NULL;
    for (unsigned i = 0; i < EPOLLS_MAX; i++)
        e->kept[i].fd = -1;
    e->last_mark = (uint64_t)rng_u32(s->rng) << 32 | rng_u32(s->rng); /* not to be guessed */
    e->marker = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* never hangs up, never fails */
    if (e->marker < 0 || inject_inode(e->marker, &e->marker_inode) < 0) {
        epolls_free(e);
        return NULL;
    }
    return e;
}

void epolls_done(struct session *s)
{
    if (s->epolls != NULL)
        epolls_free(s->epolls);
    s->epolls = NULL;
}

uint64_t epolls_marker(const struct session *s)
{
    return s->epolls != NULL ? s->epolls->marker_inode : 0;
}

int epolls_dup(const struct session *s, uint64_t mark)
{
    for (unsigned i = 0; s->epolls != NULL && mark != 0 && i < EPOLLS_MAX; i++) {
        const struct epoll_kept *k = &s->epolls->kept[i];

        if (k->fd >= 0 && k->mark == mark) {
            int copy = fcntl(k->fd, F_DUPFD_CLOEXEC, 0);

            return copy < 0 ? -errno : copy;
        }
    }
    return -ENOENT;
}

int64_t sys_epoll_create(struct session *s, struct trap *t)
{
    bool has_flags = t->call.nr == SYS_epoll_create1;
    int arg = (int)t->call.arg[0];
    struct epoll_event ev = {.events = 0};
    struct epoll_kept *k;
    auto_fd fd = -1;
    int number;

    if (has_flags ? (arg & ~EPOLL_CLOEXEC) != 0 : arg <= 0)
        return -EINVAL;
    if (s->agents.can_get_fd)
        return CALL_CONTINUE;
    if (s->epolls == NULL)
        s->epolls = epolls_new(s);
    fd = s->epolls != NULL ? epoll_create1(EPOLL_CLOEXEC) : -1;
    if (fd < 0)
        return CALL_CONTINUE;
    ev.data.u64 = ++s->epolls->last_mark;
    if (epoll_ctl(fd, EPOLL_CTL_ADD, s->epolls->marker, &ev) < 0)
        return CALL_CONTINUE;
    number = notify_give_fd(&s->notify, t->call.id, fd, has_flags && (arg & EPOLL_CLOEXEC) != 0);
    if (number < 0)
        return number == -ENOENT ? CALL_DONE : number;
    k = &s->epolls->kept[s->epolls->next++ % EPOLLS_MAX];
    own_close(&k->fd);
    *k = (struct epoll_kept){.fd = take_fd(&fd), .mark = ev.data.u64};
    return CALL_DONE;
}
