/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds out what an AF_UNIX address means, and judges it.
 *
 * A destination belongs to the sandbox when the socket that is bound to it was bound inside, which
 * bind(2) told us. A path is opened once (O_PATH) in place of the agent, the socket behind it is
 * asked of the kernel (unix_diag) by device and inode, and that same open file is connected to: a
 * link that moves meanwhile moves nothing. An address in memory is copied once.
 *
 * Every other destination is the host's, and the policy's to judge: by the path that the open file
 * has (not the one that was asked for), and by the name that the socket was bound under, when that
 * is another one: a socket that was moved to an allowed path is not what the rule meant. What
 * cannot be learnt is refused with ECONNREFUSED, as if no daemon ran.
 *
 * Never reached, whatever the policy says: the supervisor's own rendezvous.
 */
#include "sandbox/unix_target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "sandbox/judge.h"
#include "sandbox/sandbox.h"
#include "sandbox/session.h"
#include "sandbox/unix_diag.h"

#define NAME_TEXT_CAP 1024u /* of a name as rules have it; a longer one is refused */

/* Which sockets were bound inside */

static bool is_inside(const struct unix_inside *set, uint32_t inode)
{
    for (unsigned i = 0; i < UNIX_INSIDE_MAX; i++)
        if (set->inodes[i] == inode)
            return inode != 0;
    return false;
}

bool unix_is_bound_inside(const struct session *s, uint64_t inode)
{
    return is_inside(&s->unix_inside, (uint32_t)inode);
}

void unix_note_bound(struct session *s, const struct trap *t)
{
    struct unix_inside *set = &s->unix_inside;

    if (t->inode == 0 || is_inside(set, (uint32_t)t->inode))
        return;
    set->inodes[set->next] = (uint32_t)t->inode;
    set->next = (set->next + 1) % UNIX_INSIDE_MAX;
}

/** The socket that is bound to a target, as the kernel tells. */
struct bound {
    uint32_t inode;              /* of one that was bound inside; 0: none is */
    uint8_t name[UNIX_PATH_LEN]; /* sun_path as it was given to bind(2) */
    unsigned name_len;           /* 0: no socket was found */
    bool has_other;              /* one that was not bound inside matches, too */
};

static void diag_message(const struct unix_target *target, const struct unix_inside *set,
                         struct unix_diag_msg *msg, unsigned len, struct bound *ret)
{
    unsigned left = len - (unsigned)NLMSG_ALIGN(sizeof(*msg));
    struct rtattr *attr = (struct rtattr *)(void *)((char *)msg + NLMSG_ALIGN(sizeof(*msg)));
    struct rtattr *name = NULL;
    bool is_it = false;

    for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
        if (target->file >= 0 && attr->rta_type == UNIX_DIAG_VFS) {
            struct unix_diag_vfs vfs;

            memcpy(&vfs, RTA_DATA(attr), sizeof(vfs));
            is_it = vfs.udiag_vfs_ino == target->inode && vfs.udiag_vfs_dev == target->dev;
        }
        if (attr->rta_type == UNIX_DIAG_NAME)
            name = attr;
    }
    if (name == NULL || RTA_PAYLOAD(name) > sizeof(ret->name))
        return;
    if (target->file < 0)
        is_it = RTA_PAYLOAD(name) == target->len - UNIX_PATH_AT &&
                memcmp(RTA_DATA(name), target->addr->sun_path, RTA_PAYLOAD(name)) == 0;
    if (!is_it)
        return;
    /* Of several sockets with the file (an old one not yet closed), one inside is enough. */
    if (is_inside(set, msg->udiag_ino))
        ret->inode = msg->udiag_ino;
    else
        ret->has_other = true;
    if (ret->inode == msg->udiag_ino && ret->name_len > 0)
        return; /* the other's name is the one to judge */
    ret->name_len = (unsigned)RTA_PAYLOAD(name);
    memcpy(ret->name, RTA_DATA(name), ret->name_len);
}

/** Look through one answer of the kernel. Returns 1 more may come, 0 the end. */
static int diag_scan(const struct unix_target *target, const struct unix_inside *set,
                     struct nlmsghdr *h, unsigned len, struct bound *ret)
{
    for (; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
        if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY)
            return 0; /* NLMSG_DONE, or an error */
        diag_message(target, set, NLMSG_DATA(h), h->nlmsg_len - NLMSG_HDRLEN, ret);
    }
    return 1;
}

/** Ask for the socket with @inode, or for all when it is 0. @fd: sees the network namespace. */
static void diag_find(struct session *s, int fd, const struct unix_target *target, uint32_t inode,
                      struct bound *ret)
{
    ssize_t n;

    if (fd < 0 || !unix_diag_send(fd, inode, UDIAG_SHOW_NAME | UDIAG_SHOW_VFS,
                                  inode == 0 ? NLM_F_DUMP : 0, /*serial=*/0))
        return;
    do {
        n = recv(fd, s->scratch, SESSION_SCRATCH, 0);
    } while (n > 0 &&
             diag_scan(target, &s->unix_inside, (struct nlmsghdr *)(void *)s->scratch, (unsigned)n,
                       ret) > 0 &&
             inode == 0);
}

/** Where the answer to the same question was, last time. */
static uint32_t *hint_of(struct session *s, const struct unix_target *target)
{
    uint32_t key = target->inode ^ target->dev * 2654435761u;

    if (target->file < 0)
        for (unsigned i = 0; i < target->len - UNIX_PATH_AT; i++)
            key = (key ^ (uint8_t)target->addr->sun_path[i]) * 16777619u;
    return &s->unix_inside.hints[key % UNIX_HINTS];
}

/** Which socket has the target? Asking for one costs the same whatever the host runs, so the one
 * that was found last is asked about first. */
static void find_exact(struct session *s, const struct unix_target *target, struct bound *ret)
{
    auto_fd host = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    int agents = s->agent_diag_fd >= 0 ? s->agent_diag_fd : host;
    uint32_t *hint = hint_of(s, target);

    *ret = (struct bound){0};
    if (*hint != 0)
        diag_find(s, agents, target, *hint, ret);
    if (ret->inode == 0) {
        *ret = (struct bound){0};
        diag_find(s, agents, target, 0, ret);
    }
    *hint = ret->inode;
    if (ret->inode == 0 && agents != host) {
        *ret = (struct bound){0};
        diag_find(s, host, target, 0, ret);
        ret->inode = 0; /* none of the host's is the sandbox's */
    }
}

/** The device of the file system that is mounted there, as the kernel packs it; 0: not known. */
static uint32_t device_of_mount(struct session *s, long mount)
{
    auto_fd info = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    char *text = (char *)s->scratch;
    size_t len = 0;
    ssize_t n;

    while ((n = io_read(info, text + len, SESSION_SCRATCH - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0'; /* of more than this the rest is not known */
    for (char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        unsigned dev[2];
        int id;

        line += *line == '\n';
        if (sscanf(line, "%d %*d %u:%u ", &id, &dev[0], &dev[1]) == 3 && id == mount)
            return dev[0] << 20 | dev[1];
    }
    return 0;
}

/**
 * Once more, where stat(2) tells another device than the file system's own: on btrfs that of the
 * subvolume, on an overlay over several file systems that of the layer. The kernel's sockets know
 * the file system's, in which an inode's number need not be the only one of its kind. So the
 * target is the sandbox's only when every socket that it could be is.
 */
static void find_shared(struct session *s, const struct unix_target *target, struct bound *ret)
{
    long mount = -1; /* through which the file was opened */
    uint32_t dev = io_fdinfo(target->file, "mnt_id:", &mount) == 0 ? device_of_mount(s, mount) : 0;
    struct unix_target shared = *target;
    struct bound outside = {0};
    auto_fd host = -1;

    if (dev == 0 || dev == target->dev)
        return;
    shared.dev = dev;
    host = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (s->agent_diag_fd >= 0)
        diag_find(s, host, &shared, 0, &outside);
    diag_find(s, s->agent_diag_fd >= 0 ? s->agent_diag_fd : host, &shared, 0, ret);
    if (outside.name_len > 0)
        *ret = outside;
    if (ret->has_other || outside.name_len > 0)
        ret->inode = 0;
}

static void find_bound(struct session *s, const struct unix_target *target, struct bound *ret)
{
    find_exact(s, target, ret);
    if (ret->name_len == 0 && target->file >= 0)
        find_shared(s, target, ret);
}

/* What an address means */

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

/** Is it the socket at which we meet the agent's sockets? */
static bool is_rendezvous(const struct session *s, const struct unix_target *target)
{
    const struct rendezvous *r = &s->rendezvous;
    struct stat ours;
    struct stat st;

    if (target->file < 0)
        return r->path_fd < 0 && r->addr_len == target->len &&
               memcmp(&r->addr, target->addr, target->len) == 0;
    return r->path_fd >= 0 && fstat(r->path_fd, &ours) == 0 && fstat(target->file, &st) == 0 &&
           ours.st_dev == st.st_dev && ours.st_ino == st.st_ino;
}

/** Open what the address names. Errors: those of connect(2). */
static int target_open(const struct session *s, const struct trap *t,
                       const struct sockaddr_un *addr, unsigned len, struct unix_target *ret)
{
    char name[sizeof(addr->sun_path) + 1] = {0}, path[PATH_MAX];
    struct stat st;
    int err;

    *ret = (struct unix_target){.addr = addr, .len = len, .file = -1};
    if (len <= UNIX_PATH_AT || len > sizeof(*addr) || addr->sun_family != AF_UNIX)
        return -EINVAL;
    if (addr->sun_path[0] != '\0') {
        memcpy(name, addr->sun_path, len - UNIX_PATH_AT);
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
    }
    return is_rendezvous(s, ret) ? -ECONNREFUSED : 0;
}

/** The path of the open file, as rules have it. */
static int print_file(int file, char *ret, size_t cap)
{
    char link[32], path[PATH_MAX];
    ssize_t n;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
    n = readlink(link, path, sizeof(path));
    if (n < 0 || n == sizeof(path) || path[0] != '/')
        return -ENAMETOOLONG;
    return policy_unix_print(bytes_of(path, (size_t)n), ret, cap);
}

/** @dir (followed to where it leads) and @base as rules have it. */
static int print_in_directory(const char *dir, const char *base, char *ret, size_t cap)
{
    char path[PATH_MAX];
    size_t len;

    if (realpath(dir[0] != '\0' ? dir : "/", path) == NULL)
        return -errno;
    len = strlen(path);
    if (len > 1)
        path[len++] = '/';
    if (strlen(base) >= sizeof(path) - len)
        return -ENAMETOOLONG;
    memcpy(path + len, base, strlen(base));
    return policy_unix_print(bytes_of(path, len + strlen(base)), ret, cap);
}

/** The name under which the socket was bound, as rules have it; @shown: where it lies now. */
static int print_bound(const struct bound *bound, const char *shown, char *ret, size_t cap)
{
    char name[UNIX_PATH_LEN + 1] = {0};
    char *base;

    memcpy(name, bound->name, bound->name_len);
    base = strrchr(name, '/');
    if (name[0] != '/') { /* relative to a directory that nobody knows: its last part can be told */
        const char *slash = strrchr(shown, '/');
        int n = snprintf(ret, cap, "%.*s", (int)(slash + 1 - shown), shown);

        base = base != NULL ? base + 1 : name;
        return n > 0 && (size_t)n < cap
                   ? policy_unix_print(bytes_of_str(base), ret + n, cap - (size_t)n)
                   : -ENAMETOOLONG;
    }
    *base++ = '\0';
    if (print_in_directory(name, base, ret, cap) >= 0)
        return 0;
    base[-1] = '/';
    return policy_unix_print(bytes_of_str(name), ret, cap);
}

/** A socket of the host's: ask the policy. */
static int judge_outside(struct session *s, const struct trap *t, const struct unix_target *target,
                         const struct bound *bound)
{
    char name[NAME_TEXT_CAP];
    char other[NAME_TEXT_CAP];
    bool has_other = false;
    int err;

    if (target->file < 0)
        err = policy_unix_print(bytes_of(target->addr->sun_path, target->len - UNIX_PATH_AT), name,
                                sizeof(name));
    else
        err = print_file(target->file, name, sizeof(name));
    if (err >= 0 && target->file >= 0 && bound->name_len > 0) {
        err = print_bound(bound, name, other, sizeof(other));
        has_other = strcmp(name, other) != 0;
    }
    return err < 0 ? -ECONNREFUSED : judge_unix(s, t->call.tid, name, has_other ? other : NULL);
}

int unix_target_judge(struct session *s, const struct trap *t, const struct sockaddr_un *addr,
                      unsigned len, struct unix_target *ret)
{
    struct bound bound;
    int err = target_open(s, t, addr, len, ret);

    if (err < 0)
        return err;
    find_bound(s, ret, &bound);
    return bound.inode != 0 ? 0 : judge_outside(s, t, ret, &bound);
}

const struct sockaddr *unix_target_address(const struct unix_target *target,
                                           struct sockaddr_un *via, socklen_t *ret_len)
{
    *ret_len = target->len;
    if (target->file < 0)
        return (const struct sockaddr *)target->addr;
    *via = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(via->sun_path, sizeof(via->sun_path), "/proc/self/fd/%d", target->file);
    *ret_len = sizeof(*via);
    return (const struct sockaddr *)via;
}

/* Rules with links in their directories */

static void undo_escapes(const char *text, char ret[static PATH_MAX])
{
    size_t len = 0;

    for (; *text != '\0' && len < PATH_MAX - 1; text++) {
        char digits[3] = {0};

        if (*text != '%') {
            ret[len++] = *text;
            continue;
        }
        memcpy(digits, text + 1, 2); /* canonical: there are always two */
        ret[len++] = (char)strtoul(digits, NULL, 16);
        text += 2;
    }
    ret[len] = '\0';
}

/** The rule again with its directory's real name; false: that is no other. */
static bool follow_rule(const char *name, char *ret, size_t cap)
{
    char path[PATH_MAX];
    size_t len = strlen(name);
    bool is_below = name[len - 1] == '*';
    char *base;
    int n;

    undo_escapes(name, path);
    base = strrchr(path, '/');
    *base++ = '\0';
    n = print_in_directory(path, is_below ? "" : base, ret, cap - 1);
    if (n < 0)
        return false;
    if (is_below)
        (void)snprintf(ret + n, cap - (size_t)n, "*");
    return strcmp(ret, name) != 0;
}

int sandbox_follow_links(struct policy *p)
{
    static const char *const kinds[] = {"deny unix:/", "allow unix:/"};
    unsigned count = policy_rule_count(p);
    int err = 0;

    for (unsigned i = 0; i < count && err == 0; i++) {
        for (unsigned action = 0; action < ARRAY_COUNT(kinds) && err == 0; action++) {
            const char *text = policy_rule_text(p, i);
            size_t skip = strlen(kinds[action]);
            char rule[NAME_TEXT_CAP + 8] = "unix:";

            if (strncmp(text, kinds[action], skip) != 0 ||
                !follow_rule(text + skip - 1, rule + 5, sizeof(rule) - 5))
                continue;
            err = policy_add_rule(p, (enum policy_action)action, bytes_of_str(rule), NULL);
            if (err == -EINVAL)
                err = 0; /* too long for a rule: it stays as it was written */
        }
    }
    return err;
}
