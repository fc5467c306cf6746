/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enters the namespaces and furnishes them: `lo` is up, and where the host has /dev/net/tun there
 * is the interface that the emulated views show, too, with the sandbox's addresses and the default
 * route. Nothing ever passes it: no socket inside is one of the kernel's network.
 *
 * The user namespace maps one user and one group to themselves. With `auto` all is first tried in a
 * child, since a namespace cannot be left again. No process namespace: the agent would be its
 * number 1, which signals do not end.
 */
#include "sandbox/isolate.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <linux/mount.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "sandbox/interfaces.h"

#define NAMESPACES (CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC)

static int write_file(const char *path, const char *text)
{
    auto_fd fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return io_write_all(fd, text, strlen(text));
}

/** The namespaces themselves, and who we are in them. */
static int enter(int namespaces)
{
    int was_dumpable = prctl(PR_GET_DUMPABLE);
    unsigned uid = getuid();
    unsigned gid = getgid();
    char map[64];
    int err;

    if (unshare(namespaces) < 0)
        return -errno;
    /* Files of /proc/self belong to us only while we are dumpable. */
    (void)prctl(PR_SET_DUMPABLE, 1);
    err = write_file("/proc/self/setgroups", "deny");
    (void)snprintf(map, sizeof(map), "%u %u 1", uid, uid);
    if (err == 0)
        err = write_file("/proc/self/uid_map", map);
    (void)snprintf(map, sizeof(map), "%u %u 1", gid, gid);
    if (err == 0)
        err = write_file("/proc/self/gid_map", map);
    (void)prctl(PR_SET_DUMPABLE, was_dumpable);
    if (err == 0 && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        err = -errno;
    return err;
}

/** The masks of the file policy take the newer calls for mounts, which a filter may refuse. */
static int enter_and_mount(int namespaces)
{
    int err = enter(namespaces);

    if (err == 0 && namespaces != NAMESPACES &&
        syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | AT_RECURSIVE) < 0)
        err = -errno;
    return err;
}

static int try_in_child(int namespaces)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0)
        _exit(-enter_and_mount(namespaces) & 0xff);
    if (child < 0)
        return -errno;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

/* Furniture: whatever of it fails is left out, for it is only a view. */

static void name_request(struct ifreq *r, const char *name)
{
    *r = (struct ifreq){0};
    (void)snprintf(r->ifr_name, sizeof(r->ifr_name), "%s", name);
}

static bool bring_up(int fd, const char *name)
{
    struct ifreq r;

    name_request(&r, name);
    if (ioctl(fd, SIOCGIFFLAGS, &r) < 0)
        return false;
    r.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &r) == 0;
}

static void add_v4(int fd, const struct interface *i)
{
    const struct sockaddr_in zero = {.sin_family = AF_INET};
    char device[IFNAMSIZ];
    struct rtentry route = {.rt_flags = RTF_UP, .rt_dev = device};
    struct ifreq r;
    struct sockaddr_in *a = (struct sockaddr_in *)(void *)&r.ifr_addr;

    name_request(&r, i->name);
    a->sin_family = AF_INET;
    memcpy(&a->sin_addr, i->v4.bytes, 4);
    if (ioctl(fd, SIOCSIFADDR, &r) < 0)
        return;
    a->sin_addr.s_addr = INADDR_NONE; /* 32 bits */
    (void)ioctl(fd, SIOCSIFNETMASK, &r);
    (void)snprintf(device, sizeof(device), "%s", i->name);
    memcpy(&route.rt_dst, &zero, sizeof(zero));
    memcpy(&route.rt_genmask, &zero, sizeof(zero));
    (void)ioctl(fd, SIOCADDRT, &route);
}

static void add_v6(const struct interface *i)
{
    auto_fd fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct in6_ifreq address = {.ifr6_prefixlen = i->v6_bits};
    struct in6_rtmsg route = {.rtmsg_flags = RTF_UP, .rtmsg_metric = 1};

    address.ifr6_ifindex = (int)if_nametoindex(i->name);
    route.rtmsg_ifindex = address.ifr6_ifindex;
    memcpy(&address.ifr6_addr, i->v6.bytes, 16);
    if (fd >= 0 && ioctl(fd, SIOCSIFADDR, &address) == 0)
        (void)ioctl(fd, SIOCADDRT, &route);
}

/** The interface that the emulated views show; it stays when we close it. */
static void make_out(int fd, const struct interface *i)
{
    auto_fd tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    struct ifreq r;

    name_request(&r, i->name);
    r.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (tun < 0 || ioctl(tun, TUNSETIFF, &r) < 0 || ioctl(tun, TUNSETPERSIST, 1UL) < 0)
        return;
    name_request(&r, i->name);
    r.ifr_mtu = (int)i->mtu;
    (void)ioctl(fd, SIOCSIFMTU, &r);
    (void)bring_up(fd, i->name);
    if (i->v4.family != IP_NONE)
        add_v4(fd, i);
    if (i->v6.family != IP_NONE)
        add_v6(i);
}

/** /sys shows the interfaces of the namespace in which it was mounted: lay ours over the two
 * directories that show them. */
static void cover_sysfs(void)
{
    static const char *const shown[] = {"class/net", "devices/virtual/net"};
    auto_fd context = (int)syscall(SYS_fsopen, "sysfs", FSOPEN_CLOEXEC);
    auto_fd tree = -1;

    if (context < 0 || syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return;
    tree = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    for (unsigned i = 0; i < ARRAY_COUNT(shown) && tree >= 0; i++) {
        char path[64];
        auto_fd part =
            (int)syscall(SYS_open_tree, tree, shown[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

        (void)snprintf(path, sizeof(path), "/sys/%s", shown[i]);
        if (part >= 0)
            (void)syscall(SYS_move_mount, part, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
    }
}

static void furnish(const struct isolate_view *view)
{
    auto_fd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct interface list[2];

    if (fd >= 0 && bring_up(fd, "lo") && interfaces_list(&view->v4, &view->v6, list) == 2)
        make_out(fd, &list[1]);
    cover_sysfs();
}

int isolate_enter(enum sandbox_isolation how, const struct isolate_view *view, int *ret_diag_fd,
                  struct why *why)
{
    int namespaces = how == SANDBOX_ISOLATE_FILES ? CLONE_NEWUSER | CLONE_NEWNS : NAMESPACES;
    int err = 0;

    *ret_diag_fd = -1;
    if (how == SANDBOX_ISOLATE_NONE ||
        (how != SANDBOX_ISOLATE_FULL && try_in_child(namespaces) < 0))
        return 0;
    err = enter(namespaces);
    if (err < 0)
        return why_set(why, err,
                       "this host does not grant user namespaces to you (%s); --isolate=auto goes "
                       "without them",
                       strerror(-err));
    if (how == SANDBOX_ISOLATE_FILES)
        return 1;
    furnish(view);
    *ret_diag_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (*ret_diag_fd < 0)
        return why_set(why, -errno, "cannot look at sockets: %s", strerror(errno));
    return 1;
}
