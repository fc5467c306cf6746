/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allow-list. A call that is not on it answers EPERM, so a library that tries a
 * new call copes or fails closed, and every agent does not die with it; the kernel's audit log gets
 * a line. exec is different: none of our processes ever does it, so an attempt is an attack and
 * ends the process. Filter decisions rest on registers only; that is why files are told apart by
 * the flags of openat(2), and openat2(2), whose flags are in memory, does not exist.
 */
#include "base/selfjail.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/call_filter.h"
#include "base/landlock.h"

#define SELFJAIL_ANY_SOCKETS (SELFJAIL_SOCKETS_UNIX | SELFJAIL_SOCKETS_INET | SELFJAIL_SOCK_DIAG)
#define NETLINK_DIAG         4 /* linux/netlink.h: NETLINK_SOCK_DIAG */

/* Flags that make, change or empty a file; the low two bits are the access mode. */
#define OPEN_CHANGES (O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))

struct jail_row {
    unsigned need; /* 0: always; else any of these bits */
    const char *name;
};

static const struct jail_row rows[] = {
#define CALL(need_, name_) {.need = (need_), .name = #name_},
#include "base/selfjail.def"
#undef CALL
};

/** A call that is allowed only if one register, masked, has one value. */
struct jail_cond {
    unsigned need;
    const char *name;
    unsigned arg;
    uint64_t mask;
    uint64_t value;
};

#define ALL_BITS UINT64_MAX

static const struct jail_cond conds[] = {
    {0, "mmap", 2, PROT_EXEC, 0},
    {0, "mprotect", 2, PROT_EXEC, 0},
    {0, "openat", 2, OPEN_CHANGES | O_ACCMODE, O_RDONLY},
    {0, "open", 1, OPEN_CHANGES | O_ACCMODE, O_RDONLY},
    {SELFJAIL_OPEN_WRITE, "openat", 2, OPEN_CHANGES, 0},
    {SELFJAIL_SOCKETS_UNIX, "socket", 0, ALL_BITS, AF_UNIX},
    {SELFJAIL_SOCKETS_INET, "socket", 0, ALL_BITS, AF_INET},
    {SELFJAIL_SOCKETS_INET, "socket", 0, ALL_BITS, AF_INET6},
    {SELFJAIL_THREADS, "clone", 0, CLONE_THREAD, CLONE_THREAD},
    {SELFJAIL_PROCESSES, "kcmp", 2, ALL_BITS, KCMP_FILE}, /* is it the same open file? */
    {0, "prlimit64", 2, ALL_BITS, 0},                     /* read our limits, set none */
    {0, "prctl", 0, ALL_BITS, PR_SET_NAME},
    {0, "prctl", 0, ALL_BITS, PR_GET_DUMPABLE},
    {0, "prctl", 0, ALL_BITS, PR_SET_VMA}, /* glibc and sanitizers name their mappings */
};

static int drop_capabilities(void)
{
    bool may_bound;

    if (capng_get_caps_process() < 0)
        return -EPERM;
    may_bound = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) == 1;
    capng_clear(CAPNG_SELECT_BOTH);
    if (capng_apply(may_bound ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) < 0 ||
        capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
        return -EPERM;
    return 0;
}

/** Answer calls of @name so when @count conditions hold; names that this architecture lacks are
 * skipped. */
static int answer(struct call_filter *f, uint32_t answer, const char *name, unsigned count,
                  const struct call_when *when)
{
    struct call_rule rule = {
        .number = seccomp_syscall_resolve_name(name), .answer = answer, .count = count};

    for (unsigned i = 0; i < count; i++)
        rule.when[i] = when[i];
    return rule.number < 0 ? 0 : call_filter_add(f, &rule);
}

static int add_fixed(struct call_filter *f, const struct selfjail *jail)
{
    const struct call_when diag[] = {
        {.arg = 0, .mask = ALL_BITS, .value = AF_NETLINK},
        {.arg = 2, .mask = ALL_BITS, .value = NETLINK_DIAG},
    };
    /* abort(3): a broken invariant must still end us. */
    const struct call_when self = {.mask = ALL_BITS, .value = (uint64_t)getpid()};
    int err = answer(f, SECCOMP_RET_KILL_PROCESS, "execve", 0, NULL);

    if (err == 0)
        err = answer(f, SECCOMP_RET_KILL_PROCESS, "execveat", 0, NULL);
    if (err == 0 && (jail->needs & SELFJAIL_PROCESSES) == 0)
        err = answer(f, SECCOMP_RET_ALLOW, "tgkill", 1, &self);
    if (err == 0 && (jail->needs & SELFJAIL_SOCK_DIAG) != 0)
        err = answer(f, SECCOMP_RET_ALLOW, "socket", ARRAY_COUNT(diag), diag);
    if (err == 0 && (jail->needs & SELFJAIL_THREADS) != 0) /* flags in memory: fall back to clone */
        err = answer(f, SECCOMP_RET_ERRNO | ENOSYS, "clone3", 0, NULL);
    return err;
}

static bool is_needed(unsigned need, unsigned needs)
{
    return need == 0 || (need & needs) != 0;
}

static int add_rows(struct call_filter *f, const struct selfjail *jail)
{
    int err = add_fixed(f, jail);

    for (unsigned i = 0; i < ARRAY_COUNT(rows) && err == 0; i++)
        if (is_needed(rows[i].need, jail->needs))
            err = answer(f, SECCOMP_RET_ALLOW, rows[i].name, 0, NULL);
    for (unsigned i = 0; i < ARRAY_COUNT(conds) && err == 0; i++) {
        const struct jail_cond *c = &conds[i];
        const struct call_when when = {.arg = c->arg, .mask = c->mask, .value = c->value};

        if (is_needed(c->need, jail->needs))
            err = answer(f, SECCOMP_RET_ALLOW, c->name, 1, &when);
    }
    return err;
}

static int load(struct call_program *program)
{
    struct sock_fprog raw = {.len = (unsigned short)program->len, .filter = program->code};

    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &raw) < 0 ? -errno : 0;
}

static int load_filter(const struct selfjail *jail)
{
    struct call_filter *f = calloc(1, sizeof(*f));
    struct call_program *program = malloc(sizeof(*program));
    int err = f == NULL || program == NULL ? -ENOMEM : 0;

    if (err == 0) {
        f->arch = seccomp_arch_native();
        f->foreign = SECCOMP_RET_KILL_PROCESS;
        f->fallback = SECCOMP_RET_ERRNO | EPERM;
        err = add_rows(f, jail);
    }
    if (err == 0)
        err = call_filter_build(f, program);
    if (err == 0)
        err = load(program);
    free(program);
    free(f);
    return err;
}

static int enter_landlock(const struct selfjail *jail, bool *ret_stands)
{
    const struct landlock_domain wanted = {.fs = LANDLOCK_FS_ALL};
    const struct landlock_rule allowed[] = {
        {.path = "/", .fs = LANDLOCK_FS_READ_FILE | LANDLOCK_FS_READ_DIR | LANDLOCK_FS_IOCTL_DEV},
        {.path = jail->writable_dir, .fs = LANDLOCK_FS_ALL & ~LANDLOCK_FS_EXECUTE},
    };
    struct landlock_domain standing = {0};
    unsigned count = jail->writable_dir != NULL ? 2 : 1;
    int err = 0;

    if ((jail->needs & SELFJAIL_PROCESSES) == 0)
        err = landlock_enter(&wanted, allowed, count, &standing);
    *ret_stands = err == 0 && standing.fs != 0;
    return err;
}

#ifdef LATTICE_SANITIZED
/* The leak check at exit would fork and trace us. Written once, by selfjail_enter(). */
static bool is_jailed;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return is_jailed;
}
static void note_jailed(void)
{
    is_jailed = true;
}
#else
static void note_jailed(void)
{
}
#endif

int selfjail_enter(const struct selfjail *jail, struct selfjail_result *ret, struct why *why)
{
    struct selfjail_result result;
    int err = drop_capabilities();

    if (err < 0)
        return why_set(why, err, "cannot drop capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
        return why_set(why, -errno, "cannot jail this process: prctl: %s", strerror(errno));
    err = enter_landlock(jail, &result.has_landlock);
    if (err < 0)
        return why_set(why, err, "cannot jail this process: Landlock: %s", strerror(-err));
    note_jailed();
    err = load_filter(jail);
    if (err < 0)
        return why_set(why, err, "cannot jail this process: seccomp: %s", strerror(-err));
    if (ret != NULL)
        *ret = result;
    return 0;
}
