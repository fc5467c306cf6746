/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies struct msghdr and its pieces out of the agent. What is pointed to by it (name, payload,
 * control messages) is not read here.
 */
#include "sandbox/message.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

void message_done(struct message *m)
{
    if (m->iov != m->few)
        free(m->iov);
}

int message_read(struct session *s, const struct trap *t, uint64_t header, int flags,
                 struct message *ret)
{
    struct msghdr raw;
    int err;

    ret->iov = ret->few;
    ret->is_fetched = false;
    err = trap_read(s, t, header, &raw, sizeof(raw));
    if (err < 0)
        return err;
    if ((int)raw.msg_namelen < 0)
        return -EINVAL;
    ret->name = (uint64_t)(uintptr_t)raw.msg_name;
    ret->name_len = raw.msg_namelen;
    ret->control = (uint64_t)(uintptr_t)raw.msg_control;
    ret->control_len = raw.msg_controllen;
    ret->header = header;
    ret->flags = flags;
    if (raw.msg_iovlen > AGENT_IOV_MAX)
        return -EMSGSIZE;
    ret->iov_count = (unsigned)raw.msg_iovlen;
    if (ret->iov_count > MESSAGE_IOV_FEW) {
        ret->iov = calloc(ret->iov_count, sizeof(ret->iov[0]));
        if (ret->iov == NULL) {
            ret->iov = ret->few;
            return -ENOMEM;
        }
    }
    return agent_read_iov(&s->agents, t->call.tid,
                          (struct agent_ptr){(uint64_t)(uintptr_t)raw.msg_iov}, ret->iov_count,
                          ret->iov, &ret->total);
}

void message_of_call(const struct trap *t, struct message *ret)
{
    size_t len = t->call.arg[2] < INT_MAX ? t->call.arg[2] : INT_MAX;

    ret->name = t->call.arg[4];
    ret->name_len = (uint32_t)t->call.arg[5];
    ret->control = 0;
    ret->control_len = 0;
    ret->header = 0;
    ret->flags = (int)t->call.arg[3];
    ret->is_fetched = false;
    ret->iov_count = 1;
    ret->iov = ret->few;
    ret->iov[0] = (struct iovec){.iov_base = (void *)(uintptr_t)t->call.arg[1], .iov_len = len};
    ret->total = len;
}

struct unix_message message_for_unix(const struct trap *t, const struct message *m)
{
    return (struct unix_message){
        .name = m->name,
        .name_len = m->name_len,
        .control = m->control,
        .control_len = m->control_len,
        .header = m->header,
        .flags = m->flags,
        .iov_count = m->iov_count,
        .iov = m->iov,
        .total = m->total,
        .is_tcp = t->sock != NULL,
    };
}
