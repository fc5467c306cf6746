/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Written here and not by libseccomp, which spends two milliseconds of every start on these three
 * hundred rules. Neighbours with the same answer become one range, so the kernel, which runs the
 * program once for every call number when it is loaded, has less to do too. Shape:
 *
 *   foreign architecture → ENOSYS; no call at all (-1) → allowed; number ≥ first of the right half?
 * → right half : left half; …
 *
 * x32 calls have bit 30 set: they are above every range and get ENOSYS like all that is not named.
 */
#include "sandbox/filter_list.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

#define BY_NAME     (-1)
#define REFUSE(err) (SECCOMP_RET_ERRNO | (err))
#define QUERY       UINT32_MAX /* not an answer: the program looks at the first register */
#define JUMP_MAX    255        /* offsets of conditional jumps are 8 bits */

#define OFFSET_NUMBER offsetof(struct seccomp_data, nr)
#define OFFSET_ARCH   offsetof(struct seccomp_data, arch)
#define OFFSET_LOW    offsetof(struct seccomp_data, args[0])
#define OFFSET_HIGH   (OFFSET_LOW + sizeof(uint32_t))
static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "the low half of a register comes first");

enum verdict {
    V_ALLOW,
    V_EPERM,
    V_ENOSYS,
    V_TRACE, /* ALLOW or EPERM by filter_config.may_trace */
    V_QUERY, /* ALLOW when the first register is 0 or all ones, else ENOSYS */
};

struct call_row {
    const char *name;
    int number; /* or BY_NAME */
    enum verdict verdict;
};

#if defined(__x86_64__)
#define V_X86_ALLOW V_ALLOW
#else
#define V_X86_ALLOW V_ENOSYS
#endif

static const struct call_row calls[] = {
#define SYSCALL(n, number_, v) {.name = #n, .number = (number_), .verdict = V_##v},
#include "sandbox/syscalls.def"
#undef SYSCALL
};

/** Numbers from @from up to the next range's. */
struct range {
    uint32_t from;
    uint32_t answer; /* or QUERY */
};

struct ranges {
    struct range at[FILTER_LIST_NUMBERS + 1];
    unsigned count;
};

static uint32_t answer_of(const struct filter_config *config, enum verdict verdict)
{
    switch (verdict) {
    case V_ALLOW:
        return SECCOMP_RET_ALLOW;
    case V_QUERY:
        return QUERY;
    case V_TRACE:
        return config->may_trace ? SECCOMP_RET_ALLOW : REFUSE(EPERM);
    case V_ENOSYS:
        return REFUSE(ENOSYS);
    case V_EPERM:
        break;
    }
    return REFUSE(EPERM);
}

static int find_ranges(const struct filter_config *config, struct ranges *ret)
{
    uint32_t answers[FILTER_LIST_NUMBERS + 1]; /* the last: all that is above */

    for (unsigned i = 0; i < ARRAY_COUNT(answers); i++)
        answers[i] = REFUSE(ENOSYS);
    for (unsigned i = 0; i < ARRAY_COUNT(calls); i++) {
        int number = calls[i].number;

        if (number == BY_NAME)
            number = seccomp_syscall_resolve_name(calls[i].name);
        if (number < 0)
            continue; /* not on this architecture */
        if (number >= FILTER_LIST_NUMBERS)
            return -E2BIG;
        answers[number] = answer_of(config, calls[i].verdict);
    }
    ret->count = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(answers); i++)
        if (i == 0 || answers[i] != answers[i - 1])
            ret->at[ret->count++] = (struct range){.from = i, .answer = answers[i]};
    return 0;
}

static int put(struct filter_program *p, struct sock_filter instruction)
{
    if (p->len == ARRAY_COUNT(p->code))
        return -E2BIG;
    p->code[p->len++] = instruction;
    return 0;
}

static int put_answer(struct filter_program *p, uint32_t answer)
{
    const struct sock_filter query[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET_HIGH),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET_LOW),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UINT32_MAX, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, REFUSE(ENOSYS)),
    };
    int err = 0;

    if (answer != QUERY)
        return put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, answer));
    for (unsigned i = 0; i < ARRAY_COUNT(query) && err == 0; i++)
        err = put(p, query[i]);
    return err;
}

/** The search among @count ranges. Recursion is as deep as the logarithm of FILTER_LIST_NUMBERS. */
static int put_search(struct filter_program *p, const struct range *at, unsigned count)
{
    unsigned half = count / 2;
    unsigned jump = p->len;
    int err;

    if (count == 1)
        return put_answer(p, at[0].answer);
    err = put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, at[half].from, 0, 0));
    if (err == 0)
        err = put_search(p, at, half);
    if (err < 0)
        return err;
    if (p->len - jump - 1 > JUMP_MAX)
        return -E2BIG;
    p->code[jump].jt = (uint8_t)(p->len - jump - 1);
    return put_search(p, at + half, count - half);
}

int filter_list_build(const struct filter_config *config, struct filter_program *ret)
{
    const struct sock_filter head[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET_ARCH),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, seccomp_arch_native(), 1, 0), /* an AUDIT_ARCH_… */
        BPF_STMT(BPF_RET | BPF_K, REFUSE(ENOSYS)),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET_NUMBER),
        /* A tracer's way to leave a call out (ptrace(2)): there is none, and the result is its. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)-1, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct ranges ranges;
    int err = find_ranges(config, &ranges);

    ret->len = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(head) && err == 0; i++)
        err = put(ret, head[i]);
    return err < 0 ? err : put_search(ret, ranges.at, ranges.count);
}
