/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice doctor`: turns what probe.c found into findings, one table row each, and prints them for
 * a person or for a program. It judges nothing by version numbers and changes nothing.
 */
#include "sandbox/sandbox.h"

#include <linux/capability.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/json_out.h"
#include "base/paragraph.h"
#include "sandbox/files.h"
#include "sandbox/probe.h"
#include "sandbox/spawn.h"

#define REPORT_MAX_BYTES 65536
#define TITLE_COLUMNS    24
#define WIDTH_MIN        60u  /* narrower terminals break lines themselves */
#define WIDTH_MAX        110u /* longer lines are hard to read */

enum group {
    GROUP_NEEDED,
    GROUP_FASTER,
    GROUP_WALLS,
    GROUP_AROUND,
    GROUP_COUNT,
};

enum state {
    STATE_OK,
    STATE_WEAK,    /* works, but something is slower or thinner */
    STATE_MISSING, /* the sandbox cannot run */
    STATE_NOTE,    /* neither good nor bad */
};

/** One line of the report. */
struct finding {
    enum group group;
    const char *id;
    const char *title;
    enum state state;
    const char *detail;
    const char *remedy; /* NULL: nothing to mend */
};

struct report {
    struct finding all[32];
    unsigned count;
    bool can_run;
    char listener[WHY_TEXT_MAX];
    char landlock[96];
    char files[64];
    char yama[64];
    char ping[128];
    struct utsname kernel;
};

/** How the report is to look. */
struct look {
    bool colour;
    unsigned width; /* columns; 0: lines are not broken */
};

static const char *const group_titles[GROUP_COUNT] = {"Needed", "Makes it faster",
                                                      "Walls round the agent", "Around it"};
static const char *const group_ids[GROUP_COUNT] = {"needed", "faster", "walls", "around"};
static const char *const state_ids[] = {"ok", "weak", "missing", "note"};
static const char *const state_marks[] = {"✓", "!", "✗", "·"};
static const char *const state_colours[] = {"\033[32m", "\033[33m", "\033[31m", "\033[2m"};

/** What was found, said one way when it is there and another way when it is not. */
struct saying {
    enum group group;
    const char *id;
    const char *title;
    const char *yes;
    const char *no;
    enum state no_state;
    const char *remedy;
};

static void add(struct report *r, bool is_there, const struct saying *say)
{
    must(r->count < ARRAY_COUNT(r->all));
    r->all[r->count++] = (struct finding){.group = say->group,
                                          .id = say->id,
                                          .title = say->title,
                                          .state = is_there ? STATE_OK : say->no_state,
                                          .detail = is_there ? say->yes : say->no,
                                          .remedy = is_there ? NULL : say->remedy};
    if (!is_there && say->no_state == STATE_MISSING)
        r->can_run = false;
}

static void examine_needs(struct report *r, const struct probe *p)
{
    if (!p->has_listener)
        (void)snprintf(r->listener, sizeof(r->listener), "%s",
                       p->why.text[0] != '\0' ? p->why.text : "no call was heard");
    add(r, p->has_listener,
        &(struct saying){GROUP_NEEDED, "user_notification", "user notification",
                         "a supervisor hears the agent's calls and answers them", r->listener,
                         STATE_MISSING,
                         p->is_nested ? "start lattice outside of the other sandbox"
                                      : "use Linux 5.14 or newer, and a container runtime that "
                                        "allows seccomp(2)"});
    if (!p->has_listener)
        return; /* the rest could not be tried */
    add(r, p->has_addfd_send,
        &(struct saying){GROUP_NEEDED, "addfd_send", "descriptor injection",
                         "given together with the answer, in one step",
                         "the kernel cannot give a descriptor with the answer", STATE_MISSING,
                         "use Linux 5.14 or newer"});
    add(r, p->has_process_vm || p->has_proc_mem,
        &(struct saying){GROUP_NEEDED, "agent_memory", "the agent's memory",
                         p->has_process_vm ? "read and written by process_vm_readv, _writev"
                                           : "read and written through /proc/PID/mem",
                         "cannot be read: neither process_vm_readv nor /proc/PID/mem is allowed",
                         STATE_MISSING,
                         p->yama_scope >= 2 ? "sysctl kernel.yama.ptrace_scope=1"
                                            : "allow process_vm_readv in the container's profile"});
    add(r, p->has_unix_diag,
        &(struct saying){GROUP_NEEDED, "unix_diag", "sockets by path",
                         "the kernel names the socket behind a path (unix_diag)",
                         "connect(2) to an AF_UNIX path is refused, the sandbox's own as well: the "
                         "kernel does not say which socket is behind it (unix_diag)",
                         STATE_WEAK,
                         "modprobe unix_diag, once as root; in a container, on its host"});
}

static void examine_speed(struct report *r, const struct probe *p)
{
    if (!p->has_listener)
        return;
    add(r, p->has_sync_wake_up,
        &(struct saying){GROUP_FASTER, "sync_wake_up", "synchronous wake-up",
                         "the supervisor wakes on the agent's CPU",
                         "calls across CPUs take some 50 µs instead of 5", STATE_WEAK,
                         "Linux 6.6 or newer has it"});
    add(r, p->has_pidfd_getfd,
        &(struct saying){GROUP_FASTER, "pidfd_getfd", "pidfd_getfd",
                         "the agent's sockets are looked at directly",
                         "refused (as Docker does); the supervisor keeps duplicates of its own",
                         STATE_WEAK, "optional: docker run --cap-add SYS_PTRACE allows it"});
    add(r, p->has_pidfd_getfd,
        &(struct saying){GROUP_FASTER, "loopback", "loopback inside",
                         "handed over directly between two programs",
                         "relayed by the supervisor, at about half the speed of TCP", STATE_WEAK,
                         "optional: --loopback=direct is faster, and resets close in order there"});
    add(r, p->has_process_vm,
        &(struct saying){GROUP_FASTER, "process_vm_readv", "process_vm_readv",
                         "one call to read the agent's arguments",
                         "refused; /proc/PID/mem is used instead", STATE_WEAK, NULL});
    add(r, p->has_pidfd_thread,
        &(struct saying){GROUP_FASTER, "pidfd_thread", "pidfd of a thread",
                         "threads are found without a look into /proc",
                         "threads are looked up in /proc", STATE_NOTE, NULL});
}

static void examine_walls(struct report *r, const struct probe *p)
{
    bool keeps_signals = (p->walls & SPAWN_WALL_SCOPE_SIGNAL) != 0;
    bool keeps_tracing = (p->walls & (SPAWN_WALL_LANDLOCK | SPAWN_WALL_YAMA)) != 0;

    add(r, true,
        &(struct saying){.group = GROUP_WALLS,
                         .id = "syscall_filter",
                         .title = "system call filter",
                         .yes = "an allow-list; no kernel socket but AF_UNIX; no io_uring, no "
                                "foreign architecture"});
    add(r, true,
        &(struct saying){.group = GROUP_WALLS,
                         .id = "privilege",
                         .title = "privilege",
                         .yes = "no_new_privs, and no capability in any set"});
    (void)snprintf(r->landlock, sizeof(r->landlock), "ABI %d", p->landlock_abi);
    add(r, (p->walls & SPAWN_WALL_LANDLOCK) != 0,
        &(struct saying){GROUP_WALLS, "landlock", "Landlock", r->landlock,
                         p->landlock_abi == 1 ? "ABI 1 is not used: it would break moving files"
                                              : "the kernel has none, or does not let it be used",
                         STATE_WEAK, "boot with lsm=landlock,… on Linux 5.19 or newer"});
    (void)snprintf(r->files, sizeof(r->files), "--files=workspace is enforced by Landlock, ABI %d",
                   p->landlock_abi);
    add(r, p->landlock_abi >= FILES_ABI_MIN && (p->walls & SPAWN_WALL_LANDLOCK) != 0,
        &(struct saying){GROUP_WALLS, "files", "file policy", r->files,
                         "--files=workspace cannot be enforced, and is refused", STATE_WEAK,
                         "Landlock (above) of ABI 2 or newer"});
    add(r, p->has_user_namespace,
        &(struct saying){GROUP_WALLS, "workspace_names", "names in the workspace",
                         "with --files=workspace .git/hooks, .vscode, .mcp.json, … are read-only",
                         "with --files=workspace .git/hooks, .vscode, .mcp.json, … stay writable",
                         STATE_NOTE, "user namespaces (unprivileged) protect them"});
    add(r, keeps_tracing,
        &(struct saying){GROUP_WALLS, "outside_memory", "your other programs",
                         "the agent can neither trace them nor read their memory",
                         "the agent runs as you and could trace your other programs", STATE_WEAK,
                         "Landlock (above) or `sysctl kernel.yama.ptrace_scope=1` closes this"});
    add(r, keeps_signals,
        &(struct saying){GROUP_WALLS, "signals", "signals", "stay inside the sandbox",
                         "the agent can signal your other programs, but not the supervisor",
                         STATE_WEAK, "Linux 6.12 or newer with Landlock closes this"});
    add(r, (p->walls & SPAWN_WALL_SCOPE_ABSTRACT) != 0,
        &(struct saying){GROUP_WALLS, "abstract_names", "abstract socket names",
                         "those of other programs are out of reach, by the kernel too",
                         "guarded by the supervisor alone", STATE_NOTE, NULL});
}

/** Ping sockets of the host's: what --direct and `lattice gateway` ping with. */
static void examine_ping(struct report *r)
{
    FILE *file = fopen("/proc/sys/net/ipv4/ping_group_range", "re");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
    long first = 1, last = 0;

    if (file != NULL) {
        if (fscanf(file, "%ld %ld", &first, &last) != 2)
            first = last = -1;
        (void)fclose(file);
    }
    if (first > last)
        (void)snprintf(r->ping, sizeof(r->ping), "net.ipv4.ping_group_range lets nobody");
    else
        (void)snprintf(r->ping, sizeof(r->ping), "net.ipv4.ping_group_range is %ld %ld", first,
                       last);
    add(r, fd >= 0,
        &(struct saying){
            GROUP_AROUND, "ping", "ping", "works; to other hosts an icmp:// rule lets it", r->ping,
            STATE_NOTE,
            "optional: sysctl net.ipv4.ping_group_range=\"0 2147483647\" lets --direct "
            "and `lattice gateway` ping; through a tunnel it works without"});
    if (fd >= 0)
        (void)close(fd);
}

static void examine_rest(struct report *r, const struct probe *p)
{
    if (p->yama_scope >= 0)
        (void)snprintf(r->yama, sizeof(r->yama), "kernel.yama.ptrace_scope is %d", p->yama_scope);
    add(r, p->yama_scope < 2,
        &(struct saying){GROUP_AROUND, "yama", "Yama",
                         p->yama_scope < 0 ? "not in this kernel; not needed" : r->yama, r->yama,
                         STATE_MISSING,
                         p->yama_scope == 3 ? "it cannot be lowered: boot with another default"
                                            : "sysctl kernel.yama.ptrace_scope=1"});
    add(r, p->has_user_namespace,
        &(struct saying){GROUP_AROUND, "user_namespaces", "user namespaces",
                         "available: --isolate=full makes them (and network, mount, IPC) a wall",
                         "denied on this machine; not needed", STATE_NOTE, NULL});
    add(r, p->has_killable_wait,
        &(struct saying){GROUP_AROUND, "killable_wait", "killable waits",
                         "available; not used, so that a signal can end a call that waits",
                         "not in this kernel (before 5.19); not needed", STATE_NOTE, NULL});
    add(r, p->has_io_uring,
        &(struct saying){GROUP_AROUND, "io_uring", "io_uring",
                         "available outside; programs inside fall back to system calls",
                         "not available on this machine; not needed", STATE_NOTE, NULL});
}

static void print_json(const struct report *r, struct buf *out)
{
    struct json_out j;

    json_out_init(&j, out);
    json_open_object(&j);
    json_put_bool(&j, "canRun", r->can_run);
    json_put_str(&j, "kernel", r->kernel.release);
    json_put_str(&j, "machine", r->kernel.machine);
    json_key(&j, "findings");
    json_open_array(&j);
    for (unsigned i = 0; i < r->count; i++) {
        const struct finding *f = &r->all[i];

        json_open_object(&j);
        json_put_str(&j, "id", f->id);
        json_put_str(&j, "group", group_ids[f->group]);
        json_put_str(&j, "state", state_ids[f->state]);
        json_put_str(&j, "detail", f->detail);
        json_put_str(&j, "remedy", f->remedy);
        json_close_object(&j);
    }
    json_close_array(&j);
    json_close_object(&j);
    buf_add_char(out, '\n');
}

/** Text in a colour, or plain. */
static void add_styled(struct buf *out, bool colour, const char *style, const char *text)
{
    buf_printf(out, "%s%s%s", colour ? style : "", text, colour ? "\033[0m" : "");
}

static void print_finding(const struct finding *f, const struct look *look, struct buf *out)
{
    buf_add_str(out, "  ");
    add_styled(out, look->colour, state_colours[f->state], state_marks[f->state]);
    buf_printf(out, " %-*s", TITLE_COLUMNS, f->title);
    paragraph_add(out, 4 + TITLE_COLUMNS, look->width, f->detail);
    if (f->remedy == NULL)
        return;
    buf_printf(out, "    %-*s", TITLE_COLUMNS, "");
    add_styled(out, look->colour, "\033[2m", "→ ");
    paragraph_add(out, 6 + TITLE_COLUMNS, look->width, f->remedy);
}

/** The last line: can it run, and is there something that could be better? */
static void print_verdict(const struct report *r, const struct look *look, struct buf *out)
{
    unsigned weak = 0;

    for (unsigned i = 0; i < r->count; i++)
        weak += r->all[i].state == STATE_WEAK;
    add_styled(out, look->colour, r->can_run ? "\033[1;32m" : "\033[1;31m",
               r->can_run ? "The sandbox can run here." : "The sandbox cannot run here.");
    if (r->can_run && weak > 0)
        buf_printf(out, " %u of %u points are weaker than they could be (%s above).", weak,
                   r->count, state_marks[STATE_WEAK]);
    buf_add_char(out, '\n');
}

static void print_text(const struct report *r, const struct look *look, struct buf *out)
{
    buf_printf(out, "%s %s on %s\n", r->kernel.sysname, r->kernel.release, r->kernel.machine);
    for (unsigned g = 0; g < GROUP_COUNT; g++) {
        bool has_title = false;

        for (unsigned i = 0; i < r->count; i++) {
            if (r->all[i].group != (enum group)g)
                continue;
            if (!has_title) {
                buf_add_char(out, '\n');
                add_styled(out, look->colour, "\033[1m", group_titles[g]);
                buf_add_char(out, '\n');
            }
            has_title = true;
            print_finding(&r->all[i], look, out);
        }
    }
    buf_add_char(out, '\n');
    print_verdict(r, look, out);
}

/** Columns of the terminal, in which long lines are broken; 0: not a terminal, or a tiny one. */
static unsigned terminal_width(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < WIDTH_MIN)
        return 0;
    return size.ws_col < WIDTH_MAX ? size.ws_col : WIDTH_MAX;
}

/** See what an ordinary user would see: the supervisor gives its privilege up, too. */
static void become_ordinary(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};

    (void)syscall(SYS_capset, &head, none); /* giving up is always allowed */
}

int sandbox_doctor(bool json, bool colour)
{
    struct report r = {.can_run = true};
    struct probe p;
    struct why why;
    struct buf out;

    become_ordinary();
    if (uname(&r.kernel) < 0 || probe_kernel(&p, &why) < 0) {
        (void)fprintf(stderr, "lattice doctor: %s\n", why.text);
        return 1;
    }
    examine_needs(&r, &p);
    examine_speed(&r, &p);
    if (p.has_listener)
        examine_walls(&r, &p);
    examine_rest(&r, &p);
    if (p.has_listener) /* under a foreign one socket(2) may wait for ever */
        examine_ping(&r);
    buf_init(&out, REPORT_MAX_BYTES);
    if (json)
        print_json(&r, &out);
    else
        print_text(&r, &(struct look){.colour = colour, .width = terminal_width()}, &out);
    (void)fputs(buf_text(&out), stdout);
    buf_done(&out);
    return r.can_run ? 0 : 1;
}
