/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A destination belongs to the sandbox when the socket that is bound to it was bound inside, which
 * bind(2) told us. A path is opened once (O_PATH) in place of the agent, the socket behind it is
 * asked of the kernel (unix_diag) by device and inode, and that same open file is connected to: a
 * link that moves meanwhile moves nothing. An address in memory is copied once. What cannot be
 * learnt is refused with ECONNREFUSED, as if no daemon ran.
 *
 * A message with a name is sent by us: copied name, copied payload, through our duplicate of the
 * agent's descriptor. Where descriptors cannot be duplicated it leaves from a socket of our own,
 * which is the same to the receiver as long as the agent's socket has no name to answer to; from
 * one with a name it is refused with EACCES.
 *
 * DEVIATES: the peer sees the supervisor's process number in SO_PEERCRED and SCM_CREDENTIALS (uid
 * and gid are the same). A named message that carries control data (SCM_RIGHTS) is refused with
 * EPERM; one of more than SESSION_SCRATCH bytes with EMSGSIZE; when the receiver's queue is full it
 * is EAGAIN even on a blocking socket.
 *
 * Not closed: sendmsg(2) and sendmmsg(2) without a name are continued, so that descriptors can be
 * passed. A thread that puts a name into the header meanwhile could reach a datagram daemon of the
 * host (syslog), and gets no answer. sendto(2) has no such gap: its name is a register.
 */
#include "sandbox/sys_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "sandbox/session.h"

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)

/** What a destination is, apart from its spelling. */
struct target {
    const struct sockaddr_un *addr;
    unsigned len;
    int file;       /* O_PATH of the socket's file; -1: abstract name */
    uint32_t dev;   /* as the kernel packs it: major << 20 | minor */
    uint32_t inode; /* low half, as unix_diag says it */
};

static bool is_inside(const struct unix_inside *set, uint32_t inode)
{
    for (unsigned i = 0; i < UNIX_INSIDE_MAX; i++)
        if (set->inodes[i] == inode)
            return inode != 0;
    return false;
}

void unix_note_bound(struct session *s, const struct trap *t)
{
    struct unix_inside *set = &s->unix_inside;

    if (t->inode == 0 || is_inside(set, (uint32_t)t->inode))
        return;
    set->inodes[set->next] = (uint32_t)t->inode;
    set->next = (set->next + 1) % UNIX_INSIDE_MAX;
}

static bool diag_matches(const struct target *target, struct unix_diag_msg *msg, unsigned len)
{
    unsigned left = len - (unsigned)NLMSG_ALIGN(sizeof(*msg));
    struct rtattr *attr = (struct rtattr *)(void *)((char *)msg + NLMSG_ALIGN(sizeof(*msg)));

    for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
        if (target->file >= 0 && attr->rta_type == UNIX_DIAG_VFS) {
            struct unix_diag_vfs vfs;

            memcpy(&vfs, RTA_DATA(attr), sizeof(vfs));
            if (vfs.udiag_vfs_ino == target->inode && vfs.udiag_vfs_dev == target->dev)
                return true;
        }
        if (target->file < 0 && attr->rta_type == UNIX_DIAG_NAME &&
            RTA_PAYLOAD(attr) == target->len - PATH_OFFSET &&
            memcmp(RTA_DATA(attr), target->addr->sun_path, RTA_PAYLOAD(attr)) == 0)
            return true;
    }
    return false;
}

/** Look through one answer of the dump. Returns 1 more to come, 0 the end; @ret_inode: the match.
 */
static int diag_scan(const struct target *target, struct nlmsghdr *h, unsigned len,
                     const struct unix_inside *set, bool *ret_inside)
{
    for (; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
        struct unix_diag_msg *msg = NLMSG_DATA(h);

        if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY)
            return 0; /* NLMSG_DONE, or an error */
        /* Of several sockets with the file (an old one not yet closed), one inside is enough. */
        if (diag_matches(target, msg, h->nlmsg_len - NLMSG_HDRLEN) &&
            is_inside(set, msg->udiag_ino))
            *ret_inside = true;
    }
    return 1;
}

/** Is the socket bound to @target one of the sandbox's? */
static bool target_is_inside(const struct session *s, const struct target *target)
{
    struct {
        struct nlmsghdr header;
        struct unix_diag_req request;
    } ask = {
        .header = {.nlmsg_len = sizeof(ask),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = AF_UNIX,
                    .udiag_states = UINT32_MAX,
                    .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS},
    };
    auto_fd fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    bool inside = false;
    ssize_t n;

    if (fd < 0 || send(fd, &ask, sizeof(ask), 0) < 0)
        return false;
    do {
        n = recv(fd, s->scratch, SESSION_SCRATCH, 0);
    } while (n > 0 && diag_scan(target, (struct nlmsghdr *)(void *)s->scratch, (unsigned)n,
                                &s->unix_inside, &inside) > 0);
    return inside;
}

/** The path as we must spell it to mean what the thread means. */
static int path_for(pid_t tid, const char *path, char ret[static PATH_MAX])
{
    static const char self[] = "/proc/self/";
    int n;

    if (path[0] != '/')
        n = snprintf(ret, PATH_MAX, "/proc/%d/cwd/%s", (int)tid, path);
    else if (strncmp(path, self, sizeof(self) - 1) == 0)
        n = snprintf(ret, PATH_MAX, "/proc/%d/%s", (int)tid, path + sizeof(self) - 1);
    else
        n = snprintf(ret, PATH_MAX, "%s", path);
    return n > 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/** Open what the address names. Errors: those of connect(2). */
static int target_open(const struct session *s, const struct trap *t,
                       const struct sockaddr_un *addr, unsigned len, struct target *ret)
{
    char name[sizeof(addr->sun_path) + 1] = {0}, path[PATH_MAX];
    struct stat st;
    int err;

    *ret = (struct target){.addr = addr, .len = len, .file = -1};
    if (len <= PATH_OFFSET || len > sizeof(*addr) || addr->sun_family != AF_UNIX)
        return -EINVAL;
    if (addr->sun_path[0] == '\0')
        return 0;
    memcpy(name, addr->sun_path, len - PATH_OFFSET);
    err = path_for(t->call.tid, name, path);
    if (err < 0)
        return err;
    ret->file = open(path, O_PATH | O_CLOEXEC);
    if (ret->file < 0)
        return -errno;
    if (!notify_is_valid(&s->notify, t->call.id)) /* was that its directory? */
        return -ESRCH;
    if (fstat(ret->file, &st) < 0 || !S_ISSOCK(st.st_mode))
        return -ECONNREFUSED;
    ret->dev = major(st.st_dev) << 20 | minor(st.st_dev);
    ret->inode = (uint32_t)st.st_ino;
    return 0;
}

/** Open and judge. On success @ret may hold a file to close. */
static int target_judge(const struct session *s, const struct trap *t,
                        const struct sockaddr_un *addr, unsigned len, struct target *ret)
{
    char shown[sizeof(addr->sun_path) + 1] = {0};
    int err = target_open(s, t, addr, len, ret);

    if (err < 0)
        return err;
    if (target_is_inside(s, ret))
        return 0;
    memcpy(shown, addr->sun_path, len - PATH_OFFSET);
    if (shown[0] == '\0')
        shown[0] = '@';
    log_info("refused a local socket that is not of the sandbox", F_STR("path", shown),
             F_INT("pid", t->call.tid));
    return -ECONNREFUSED;
}

/** Connect the agent's socket on its behalf. It must not make us wait: a full queue is EAGAIN. */
static int connect_for(int fd, const struct target *target)
{
    struct sockaddr_un via = {.sun_family = AF_UNIX};
    const struct sockaddr_un *addr = target->addr;
    socklen_t len = target->len;
    int flags = fcntl(fd, F_GETFL);
    int err;

    if (flags < 0)
        return -errno;
    if (target->file >= 0) {
        (void)snprintf(via.sun_path, sizeof(via.sun_path), "/proc/self/fd/%d", target->file);
        addr = &via;
        len = sizeof(via);
    }
    if ((flags & O_NONBLOCK) == 0)
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK); /* the thread waits for us meanwhile */
    err = connect(fd, (const struct sockaddr *)addr, len) < 0 ? -errno : 0;
    if ((flags & O_NONBLOCK) == 0)
        (void)fcntl(fd, F_SETFL, flags);
    return err;
}

int64_t unix_connect(struct session *s, struct trap *t)
{
    struct sockaddr_storage raw;
    struct target target;
    unsigned len;
    int err = sockaddr_read(s, t, t->call.arg[1], t->call.arg[2], &raw, &len);

    if (err < 0)
        return err;
    if (t->inode == 0)
        return -ENOTSOCK;
    if (raw.ss_family == AF_UNSPEC && len >= sizeof(raw.ss_family)) /* forget the peer */
        return t->fd < 0 ? -EACCES : connect(t->fd, (struct sockaddr *)&raw, len) < 0 ? -errno : 0;
    err = target_judge(s, t, (const struct sockaddr_un *)&raw, len, &target);
    if (err == 0)
        err = t->fd >= 0 ? connect_for(t->fd, &target) : 1;
    own_close(&target.file);
    return err == 1 ? CALL_CONTINUE : err;
}

/** Send what is in the scratch buffer. */
static int64_t send_for(struct session *s, const struct trap *t, const struct target *target,
                        int flags, size_t len)
{
    struct sockaddr_un via = {.sun_family = AF_UNIX};
    const struct sockaddr_un *addr = target->addr;
    socklen_t addr_len = target->len;
    auto_fd own = -1;
    ssize_t n;

    if (t->fd < 0) {
        if (is_inside(&s->unix_inside, (uint32_t)t->inode))
            return -EACCES; /* ours would not have its name */
        own = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (own < 0)
            return -errno;
    }
    if (target->file >= 0) {
        (void)snprintf(via.sun_path, sizeof(via.sun_path), "/proc/self/fd/%d", target->file);
        addr = &via;
        addr_len = sizeof(via);
    }
    n = sendto(t->fd >= 0 ? t->fd : own, s->scratch, len,
               (flags & (MSG_OOB | MSG_EOR)) | MSG_DONTWAIT | MSG_NOSIGNAL,
               (const struct sockaddr *)addr, addr_len);
    return n < 0 ? -errno : n;
}

int64_t unix_send(struct session *s, const struct trap *t, const struct unix_message *m)
{
    struct sockaddr_storage raw;
    struct target target;
    unsigned len;
    int64_t n = sockaddr_read(s, t, m->name, m->name_len, &raw, &len);

    if (n < 0)
        return n;
    if (t->inode == 0)
        return -ENOTSOCK;
    n = target_judge(s, t, (const struct sockaddr_un *)&raw, len, &target);
    if (n == 0 && m->has_control)
        n = -EPERM;
    if (n == 0 && m->total > SESSION_SCRATCH)
        n = -EMSGSIZE;
    if (n == 0) /* after the judgement, which uses the buffer */
        n = agent_gather(&s->agents, t->call.tid, m->iov, m->iov_count, s->scratch, m->total);
    if (n == 0 && !notify_is_valid(&s->notify, t->call.id))
        n = -ESRCH;
    if (n == 0)
        n = send_for(s, t, &target, m->flags, m->total);
    own_close(&target.file);
    return n;
}
