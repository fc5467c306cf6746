/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches programs begin and end without standing in their way.
 *
 * Begin: execve(2) itself is not trapped. Before it, nothing is true yet: the path may be raced, it
 * may fail, and searching PATH makes many calls. Instead the filter stops the first thing that a
 * new program does: setting its thread pointer (arch_prctl(ARCH_SET_FS) on x86-64; glibc, musl and
 * Go all do so once, before any code of the program's own). By then /proc/PID/exe and
 * /proc/PID/cmdline say what really runs, the process has one thread and stands still. The call is
 * then continued: its arguments are scalars. A program that sets no thread pointer is noticed when
 * it first wants a connection or a name, by an executable that is not its ancestor's.
 *
 * End: a pidfd is watched for each program. Its exit status comes from the zombie's /proc/PID/stat,
 * or, when the parent was faster, from PIDFD_GET_INFO (Linux 6.15); else it is unknown and said so.
 */
#include "sandbox/programs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json_out.h"
#include "base/log.h"
#include "base/own.h"

#define BUCKETS       1024u
#define NONE          UINT16_MAX
#define CMDLINE_MAX   3000u /* bytes of arguments that a record keeps */
#define ARGUMENTS_MAX 4000u /* … as JSON: what audit takes whole */
#define WORD_MAX      400u  /* bytes of one argument */
#define ANCESTORS_MAX 64u
#define CAUSE_LINE    AUDIT_SPAN_CAP /* a span id and its newline */

static_assert(AUDIT_PROGRAMS_MAX < NONE, "an index is 16 bits wide");

/* linux/pidfd.h of 6.15; the first 64 bytes, which never change. */
struct pidfd_info_v0 {
    uint64_t mask;
    uint64_t cgroupid;
    uint32_t ids[11];
    int32_t exit_code;
};
#define PIDFD_INFO_EXIT_BIT (UINT64_C(1) << 3)
#define PIDFD_GET_INFO_V0   _IOWR(0xFF, 11, struct pidfd_info_v0)
static_assert(sizeof(struct pidfd_info_v0) == 64, "PIDFD_INFO_SIZE_VER0");

/** What /proc/PID/stat says. */
struct stat_line {
    char state;
    pid_t ppid;
    pid_t pgrp;
    pid_t sid;
    uint64_t started;
    uint64_t args; /* 0: not for our eyes */
    int exit_code;
};

/** A program that runs. */
struct seen {
    struct programs_seen *all;
    struct loop_watch watch; /* of its pidfd, which we own */
    pid_t pid;
    uint64_t started;  /* of the process: field 22 of /proc/PID/stat */
    uint64_t image;    /* of the program in it: where its arguments lie, random for each execve */
    uint64_t exe_hash; /* what /proc/PID/exe said last */
    uint16_t next;     /* in the bucket, or in the list of free slots */
};

struct programs_seen {
    struct session *session;
    pid_t guardian;
    unsigned count;
    unsigned max;
    uint16_t used; /* slots that were ever in use */
    uint16_t free; /* list of those that are not any more */
    uint16_t buckets[BUCKETS];
    struct seen slots[AUDIT_PROGRAMS_MAX];
    char cause_line[CAUSE_LINE + 1]; /* what was read of the starter's next word */
    size_t cause_len;
    pid_t known_pid; /* whose stat_line was read just now; 0: nobody's */
    struct stat_line known_stat;
};

static uint64_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
    return hash;
}

/* ---- /proc ---- */

static int read_proc(pid_t pid, const char *name, char *ret, size_t cap, size_t *ret_len)
{
    char path[64];
    ssize_t got;
    auto_fd fd = -1;

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    got = io_read(fd, ret, cap - 1);
    if (got < 0)
        return (int)got;
    ret[got] = '\0';
    *ret_len = (size_t)got;
    return 0;
}

/** proc_pid_stat(5): the fields behind the name in brackets, which may hold anything. */
static int read_stat(pid_t pid, struct stat_line *ret)
{
    enum { FIRST = 3, PPID = 4, PGRP, SID, STARTED = 22, ARG_START = 48, EXIT_CODE = 52 };
    char text[1536];
    size_t len;
    char *at;
    int err = read_proc(pid, "stat", text, sizeof(text), &len);

    at = err == 0 ? strrchr(text, ')') : NULL;
    if (at == NULL || at[1] != ' ' || at[2] == '\0')
        return err < 0 ? err : -ESRCH;
    *ret = (struct stat_line){.state = at[2]};
    at += 3;
    for (int field = FIRST + 1; field <= EXIT_CODE; field++) {
        uint64_t value = strtoull(at, &at, 10); /* negative ones wrap and are not looked at */

        if (field == PPID)
            ret->ppid = (pid_t)value;
        else if (field == PGRP)
            ret->pgrp = (pid_t)value;
        else if (field == SID)
            ret->sid = (pid_t)value;
        else if (field == STARTED)
            ret->started = value;
        else if (field == ARG_START)
            ret->args = value;
        else if (field == EXIT_CODE)
            ret->exit_code = (int)value;
    }
    return 0;
}

/** One argument; a long one loses its end. */
static void print_word(struct json_out *j, const char *word, size_t len, bool is_cut)
{
    char text[WORD_MAX + 4];

    (void)snprintf(text, sizeof(text), "%.*s%s", (int)len, word, is_cut ? "…" : "");
    json_str(j, text);
}

/** argv as a JSON array; what does not fit ends in one element "…". */
static void print_arguments(const char *cmdline, size_t len, struct buf *to)
{
    struct json_out j;
    size_t at = 0;

    json_out_init(&j, to);
    json_open_array(&j);
    while (at < len && to->len < CMDLINE_MAX) {
        size_t word = strnlen(cmdline + at, len - at);
        size_t room = CMDLINE_MAX - to->len;
        size_t cut = word < WORD_MAX ? word : WORD_MAX;

        if (cut > room / 6) /* each byte may become \u00XX */
            break;
        print_word(&j, cmdline + at, cut, cut < word);
        at += word + 1;
    }
    if (at < len)
        json_str(&j, "…");
    json_close_array(&j);
}

/* ---- the table ---- */

static uint16_t *bucket_of(struct programs_seen *p, pid_t pid)
{
    return &p->buckets[(uint32_t)pid * 2654435761u / (UINT32_MAX / BUCKETS + 1)];
}

static struct seen *find(struct programs_seen *p, pid_t pid)
{
    for (uint16_t i = *bucket_of(p, pid); i != NONE; i = p->slots[i].next)
        if (p->slots[i].pid == pid)
            return &p->slots[i];
    return NULL;
}

static struct seen *add(struct programs_seen *p, pid_t pid)
{
    struct seen *e;
    uint16_t *head = bucket_of(p, pid);
    uint16_t at = p->free != NONE ? p->free : p->used;

    if (p->count >= p->max)
        return NULL;
    e = &p->slots[at];
    if (at == p->used)
        p->used++;
    else
        p->free = e->next;
    *e = (struct seen){.all = p, .pid = pid, .next = *head, .watch = {.fd = -1}};
    *head = at;
    p->count++;
    return e;
}

static void drop(struct seen *e)
{
    struct programs_seen *p = e->all;
    uint16_t at = (uint16_t)(e - p->slots);
    uint16_t *link = bucket_of(p, e->pid);

    while (*link != at)
        link = &p->slots[*link].next;
    *link = e->next;
    if (e->watch.fd >= 0) {
        loop_unwatch(p->session->loop, &e->watch);
        own_close(&e->watch.fd);
    }
    *e = (struct seen){.watch = {.fd = -1}, .next = p->free};
    p->free = at;
    p->count--;
}

/* ---- lineage ---- */

/** Who is its parent? For an orphan, which the guardian adopted, the leader of its process group or
 * session that still runs. */
static int32_t parent_of(void *self, int32_t pid)
{
    struct programs_seen *p = self;
    struct stat_line stat;

    if (pid == p->known_pid)
        stat = p->known_stat;
    else if (read_stat(pid, &stat) < 0)
        return 0;
    if (stat.ppid != p->guardian)
        return stat.ppid;
    if (stat.pgrp != pid && find(p, stat.pgrp) != NULL)
        return stat.pgrp;
    return stat.sid != pid && find(p, stat.sid) != NULL ? stat.sid : 0;
}

static struct audit_lineage lineage_of(struct programs_seen *p)
{
    return (struct audit_lineage){.parent_of = parent_of, .self = p};
}

/* ---- on whose behalf ---- */

static void take_cause(struct programs_seen *p, const char *line)
{
    if (audit_set_cause(p->session->audit, line[0] != '\0' ? line : NULL) < 0)
        log_warn("the starter named a span that is none");
}

/** What the starter said meanwhile about the span that caused what happens now: one span id a line,
 * an empty line for none. */
static void read_cause(struct programs_seen *p)
{
    int fd = p->session->config->cause_fd;
    char text[512];
    ssize_t got;

    if (fd <= 0)
        return;
    while ((got = io_read(fd, text, sizeof(text))) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (text[i] == '\n') {
                p->cause_line[p->cause_len] = '\0';
                take_cause(p, p->cause_line);
                p->cause_len = 0;
            } else if (p->cause_len < CAUSE_LINE) {
                p->cause_line[p->cause_len++] = text[i];
            }
        }
    }
}

/* ---- the end of a program ---- */

static int shell_status(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

static int ask_exit_status(const struct seen *e)
{
    struct pidfd_info_v0 info = {.mask = PIDFD_INFO_EXIT_BIT};
    struct stat_line stat;

    if (read_stat(e->pid, &stat) == 0 && stat.state == 'Z' && stat.started == e->started)
        return shell_status(stat.exit_code);
    if (e->watch.fd >= 0 && ioctl(e->watch.fd, PIDFD_GET_INFO_V0, &info) == 0 &&
        (info.mask & PIDFD_INFO_EXIT_BIT) != 0)
        return shell_status(info.exit_code);
    return AUDIT_EXIT_UNKNOWN;
}

static void record_end(struct seen *e, int status)
{
    if (audit_exit(e->all->session->audit, e->pid, status) < 0)
        log_warn("the record of a program's end is lost", F_INT("pid", e->pid));
    drop(e);
}

static void on_end(void *self, uint32_t events)
{
    struct seen *e = self;

    (void)events;
    record_end(e, ask_exit_status(e));
}

/* ---- the beginning ---- */

static void watch_end(struct seen *e, int pidfd)
{
    e->watch = (struct loop_watch){.fd = pidfd, .ready = on_end, .self = e};
    if (e->watch.fd < 0 || loop_watch(e->all->session->loop, &e->watch, EPOLLIN) < 0)
        log_debug("a program's end cannot be watched", F_INT("pid", e->pid));
}

static void record_begin(struct programs_seen *p, pid_t pid, const char *exe, const char *cmdline,
                         size_t len)
{
    const struct audit_lineage lineage = lineage_of(p);
    struct buf arguments;

    buf_init(&arguments, ARGUMENTS_MAX * 6);
    if (len > 0)
        print_arguments(cmdline, len, &arguments);
    if (audit_exec(p->session->audit, pid, exe[0] != '\0' ? exe : "unknown",
                   arguments.len > 0 && buf_error(&arguments) == 0 ? buf_text(&arguments) : NULL,
                   &lineage) < 0)
        log_warn("the record of a program is lost", F_STR("exe", exe));
    buf_done(&arguments);
}

/** What can be seen of a program. */
struct look {
    pid_t pid;
    int pidfd; /* owned; -1: already watched, or not to be had */
    struct stat_line stat;
    char exe[AGENT_EXE_CAP];
    char cmdline[CMDLINE_MAX + 1];
    size_t cmdline_len;
    bool is_beginning; /* it stands where programs begin */
};

/** Is it a program that was not seen yet? Where programs begin, another executable is another
 * program even if its arguments lie at the same address. */
static bool is_new(const struct seen *e, const struct look *l)
{
    bool is_same_exe = e != NULL && e->exe_hash == hash_of(l->exe);

    return e == NULL || e->started != l->stat.started || e->image != l->stat.args ||
           (!is_same_exe && (l->stat.args == 0 || l->is_beginning));
}

/** Look while it stands still. False: there is nothing new. */
static bool look_at(struct programs_seen *p, pid_t pid, bool is_beginning, struct look *ret)
{
    struct seen *e = find(p, pid);
    char path[64];
    ssize_t len;

    ret->pid = pid;
    ret->pidfd = -1;
    ret->is_beginning = is_beginning;
    (void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    len = readlink(path, ret->exe, sizeof(ret->exe) - 1);
    ret->exe[len > 0 ? len : 0] = '\0';
    if (read_stat(pid, &ret->stat) < 0)
        return false;
    if (!is_new(e, ret)) {
        e->exe_hash = hash_of(ret->exe); /* its file may have been moved meanwhile */
        return false;
    }
    if (read_proc(pid, "cmdline", ret->cmdline, sizeof(ret->cmdline), &ret->cmdline_len) < 0)
        ret->cmdline_len = 0;
    errno = 0;
    if (e == NULL || e->started != ret->stat.started)
        ret->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    return ret->pidfd >= 0 || errno != EINVAL; /* a thread that sets a pointer of its own */
}

static void note_program(struct programs_seen *p, struct look *l)
{
    struct seen *e = find(p, l->pid);
    auto_fd pidfd = take_fd(&l->pidfd);

    if (e != NULL && e->started != l->stat.started) { /* another process with the same number */
        record_end(e, ask_exit_status(e));
        e = NULL;
    }
    p->known_pid = l->pid;
    p->known_stat = l->stat;
    record_begin(p, l->pid, l->exe, l->cmdline, l->cmdline_len);
    p->known_pid = 0;
    if (e == NULL) {
        e = add(p, l->pid);
        if (e == NULL)
            return;
        e->started = l->stat.started;
        watch_end(e, take_fd(&pidfd));
    }
    e->image = l->stat.args;
    e->exe_hash = hash_of(l->exe);
}

int programs_started(struct programs_seen *p, const struct call *call)
{
    struct look look;
    bool is_new_one = look_at(p, call->tid, /*is_beginning=*/true, &look);
    int err;

    read_cause(p); /* before it goes on: afterwards the starter may say something else */
    err = notify_continue(&p->session->notify, call->id);

    if (is_new_one)
        note_program(p, &look);
    return err;
}

/* ---- whose doing it is ---- */

/** Does the process run what its nearest known ancestor runs, because it only forked? */
static bool is_fork_of_known(struct programs_seen *p, pid_t pid, uint64_t exe_hash)
{
    for (unsigned i = 0; i < ANCESTORS_MAX && pid > 0 && pid != p->guardian; i++) {
        const struct seen *e = find(p, pid);

        if (e != NULL)
            return e->exe_hash == exe_hash;
        pid = parent_of(p, pid);
    }
    return false;
}

const char *programs_span_of(struct programs_seen *p, pid_t pid, const char *exe)
{
    const struct audit_lineage lineage = lineage_of(p);
    struct look look;

    read_cause(p);
    if (exe[0] != '\0' && !is_fork_of_known(p, pid, hash_of(exe)) &&
        look_at(p, pid, /*is_beginning=*/false, &look))
        note_program(p, &look);
    return audit_span_of(p->session->audit, pid, &lineage);
}

/* ---- lifecycle ---- */

int programs_new(struct session *s, pid_t guardian, struct programs_seen **ret)
{
    struct programs_seen *p = calloc(1, sizeof(*p));
    struct rlimit limit;

    if (p == NULL)
        return -ENOMEM;
    p->session = s;
    p->guardian = guardian;
    p->max = AUDIT_PROGRAMS_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 4 < p->max)
        p->max = (unsigned)(limit.rlim_cur / 4); /* most descriptors are for connections */
    memset(p->buckets, 0xff, sizeof(p->buckets));
    p->free = NONE;
    *ret = p;
    return 0;
}

void programs_end(struct programs_seen *p, pid_t first, int status)
{
    if (p == NULL)
        return;
    for (unsigned i = 0; i < p->used; i++) {
        struct seen *e = &p->slots[i];
        int own = e->pid > 0 ? ask_exit_status(e) : 0;

        if (e->pid > 0)
            record_end(e, e->pid == first && own == AUDIT_EXIT_UNKNOWN ? status : own);
    }
}

void programs_free(struct programs_seen *p)
{
    if (p == NULL)
        return;
    for (unsigned i = 0; i < p->used; i++)
        if (p->slots[i].pid > 0)
            drop(&p->slots[i]);
    free(p);
}
