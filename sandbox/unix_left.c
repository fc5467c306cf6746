/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small table. Once a second, while it holds something, the kernel (unix_diag(7)) is asked
 * whether the sockets still exist: descriptors that nobody will fetch must not stay open here.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sandbox/session.h"
#include "sandbox/unix_arrival.h"
#include "sandbox/unix_creds.h"

#define LOOK_MS 1000

struct unix_left_entry {
    uint64_t inode;
    struct arrival arrival;
    uint8_t bytes[];
};

static void drop(struct unix_left *l, unsigned i)
{
    rights_done(&l->entries[i]->arrival.rights);
    free(l->entries[i]);
    l->entries[i] = NULL;
    l->count--;
}

static void on_timer(void *self, struct mono now)
{
    struct session *s = self;
    struct unix_left *l = &s->unix_left;

    for (unsigned i = 0; i < UNIX_LEFT_MAX; i++)
        if (l->entries[i] != NULL && !unix_socket_exists(s, (uint32_t)l->entries[i]->inode))
            drop(l, i);
    if (l->count > 0) /* without a timer they stay until the end */
        (void)!loop_timer_set(s->loop, &l->timer, mono_add_ms(now, LOOK_MS));
}

void unix_left_keep(struct session *s, uint64_t inode, struct arrival *a)
{
    struct unix_left *l = &s->unix_left;
    size_t len = a->piece.iov_len;
    struct unix_left_entry *e = NULL;
    unsigned i = 0;

    while (i < UNIX_LEFT_MAX && l->entries[i] != NULL)
        i++;
    if (i < UNIX_LEFT_MAX)
        e = malloc(sizeof(*e) + len);
    if (e == NULL) {
        log_warn("a message was lost: its receiver was interrupted", F_INT("kept", l->count));
        return;
    }
    e->inode = inode;
    e->arrival = *a;
    a->rights.count = 0;
    memcpy(e->bytes, a->piece.iov_base, len);
    e->arrival.piece.iov_base = e->bytes;
    e->arrival.in.msg_iov = &e->arrival.piece;
    e->arrival.in.msg_name = &e->arrival.name;
    if (a->in.msg_control != NULL)
        e->arrival.in.msg_control = e->arrival.rights.control.bytes;
    l->entries[i] = e;
    if (l->count++ == 0) {
        l->timer.expired = on_timer;
        l->timer.self = s;
        (void)!loop_timer_set(s->loop, &l->timer, mono_add_ms(mono_now(), LOOK_MS));
    }
}

struct arrival *unix_left_find(struct session *s, uint64_t inode)
{
    const struct unix_left *l = &s->unix_left;

    for (unsigned i = 0; i < UNIX_LEFT_MAX && l->count > 0; i++)
        if (l->entries[i] != NULL && l->entries[i]->inode == inode)
            return &l->entries[i]->arrival;
    return NULL;
}

void unix_left_cut(struct session *s, struct arrival *a, size_t len)
{
    struct unix_left *l = &s->unix_left;

    if (len < a->piece.iov_len) {
        rights_done(&a->rights);
        a->piece.iov_len -= len;
        memmove(a->piece.iov_base, (uint8_t *)a->piece.iov_base + len, a->piece.iov_len);
        a->in.msg_controllen = 0;
        a->is_given = false;
        a->value = (int64_t)a->piece.iov_len;
        return;
    }
    for (unsigned i = 0; i < UNIX_LEFT_MAX; i++)
        if (l->entries[i] != NULL && &l->entries[i]->arrival == a) {
            drop(l, i);
            return;
        }
}

void unix_left_done(struct session *s)
{
    for (unsigned i = 0; i < UNIX_LEFT_MAX; i++)
        if (s->unix_left.entries[i] != NULL)
            drop(&s->unix_left, i);
    loop_timer_clear(s->loop, &s->unix_left.timer);
}
