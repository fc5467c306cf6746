/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs against an oracle that reads the rules themselves: random rules, and calls around every
 * number and value that occurs in them. The kernel then loads one, too.
 */
#include "base/call_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/suite.h"

#define ARCH    0xc000003eu /* any value: nothing here runs */
#define FOREIGN 0x80000000u
#define REST    0x00050001u

static struct call_filter filter;   /* of the test that runs; each has its own process */
static struct call_program program; /* likewise */

static bool holds(const struct call_when *w, const struct seccomp_data *d)
{
    uint64_t seen = d->args[w->arg];

    switch (w->op) {
    case CALL_OP_EQ:
        return (seen & w->mask) == (w->value & w->mask);
    case CALL_OP_NE:
        return seen != w->value;
    case CALL_OP_LT:
        return seen < w->value;
    case CALL_OP_GT:
        return seen > w->value;
    }
    return false;
}

static uint32_t oracle(const struct call_rule *rules, unsigned count, const struct seccomp_data *d)
{
    if (d->arch != ARCH || (uint32_t)d->nr >= 0x40000000u)
        return FOREIGN;
    for (unsigned i = 0; i < count; i++) {
        bool all = rules[i].number == d->nr;

        for (unsigned k = 0; all && k < rules[i].count; k++)
            all = holds(&rules[i].when[k], d);
        if (all)
            return rules[i].answer;
    }
    return REST;
}

static uint32_t run(const struct call_program *p, const struct seccomp_data *data)
{
    uint32_t a = 0;

    for (unsigned pc = 0; pc < p->len; pc++) {
        const struct sock_filter *i = &p->code[pc];

        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (i->k > sizeof(*data) - sizeof(a)) /* Check's assertions write to a pipe each time */
                ck_abort_msg("a load at %u", i->k);
            memcpy(&a, (const char *)data + i->k, sizeof(a));
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            break;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += a == i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            pc += a > i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            pc += a >= i->k ? i->jt : i->jf;
            break;
        case BPF_RET | BPF_K:
            return i->k;
        default:
            ck_abort_msg("instruction %x", i->code);
        }
    }
    ck_abort_msg("the program runs off its end");
    return 0;
}

static uint64_t state; /* of the generator; set at the start of a test */

/** The next number below @limit: splitmix64 (Steele, Lea, Flood 2014). */
static unsigned below(unsigned limit)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (unsigned)((z ^ z >> 31) % limit);
}

/** Values that lie at the edges of halves. */
static uint64_t edge(void)
{
    static const uint64_t near[] = {
        0, 1, 7, 0xffffffff, UINT64_C(1) << 32, UINT64_MAX, UINT64_C(0x700000007)};

    return near[below(ARRAY_COUNT(near))] + below(3) - 1;
}

static void random_rule(struct call_rule *ret, unsigned i)
{
    *ret = (struct call_rule){.number = (int)below(40), .answer = 0x7fc00000u + i};
    if (below(20) == 0)
        ret->number = 0x3fffffff;
    ret->count = below(3);
    for (unsigned k = 0; k < ret->count; k++)
        ret->when[k] = (struct call_when){.op = (enum call_op)below(4),
                                          .arg = below(6),
                                          .mask = below(2) != 0 ? UINT64_MAX : edge(),
                                          .value = edge()};
}

static void random_call(struct seccomp_data *ret)
{
    *ret = (struct seccomp_data){.arch = below(50) != 0 ? ARCH : ARCH - 1, .nr = (int)below(42)};
    if (below(20) == 0)
        ret->nr = below(2) != 0 ? 0x3fffffff : 0x40000000 + (int)below(3);
    for (unsigned i = 0; i < 6; i++)
        ret->args[i] = edge();
}

START_TEST(call_filter_does_what_its_rules_say)
{
    struct call_rule rules[60];

    state = (uint64_t)_i;
    for (unsigned round = 0; round < 40; round++) {
        unsigned count = below(ARRAY_COUNT(rules));

        filter = (struct call_filter){.arch = ARCH, .foreign = FOREIGN, .fallback = REST};
        for (unsigned i = 0; i < count; i++) {
            random_rule(&rules[i], i);
            if (call_filter_add(&filter, &rules[i]) != 0)
                ck_abort_msg("rule %u is not taken", i);
        }
        ck_assert_int_eq(call_filter_build(&filter, &program), 0);
        for (unsigned i = 0; i < 600; i++) {
            struct seccomp_data call;

            random_call(&call);
            if (run(&program, &call) != oracle(rules, count, &call))
                ck_abort_msg("call %d: %x, not %x", call.nr, run(&program, &call),
                             oracle(rules, count, &call));
        }
    }
}
END_TEST

START_TEST(call_filter_refuses_what_does_not_fit)
{
    struct call_rule rule = {.number = -1};

    filter = (struct call_filter){.arch = ARCH};
    ck_assert_int_eq(call_filter_add(&filter, &rule), -EINVAL);
    rule.number = 0x40000000;
    ck_assert_int_eq(call_filter_add(&filter, &rule), -EINVAL);
    rule = (struct call_rule){.count = 1, .when = {{.arg = 6}}};
    ck_assert_int_eq(call_filter_add(&filter, &rule), -EINVAL);
    rule = (struct call_rule){.count = 2,
                              .when = {{.op = CALL_OP_LT, .value = 1}, {.op = CALL_OP_GT}}};
    for (unsigned i = 0; i < CALL_FILTER_RULES_MAX; i++, rule.number++)
        ck_assert_int_eq(call_filter_add(&filter, &rule), 0);
    ck_assert_int_eq(call_filter_add(&filter, &rule), -E2BIG);
    ck_assert_int_eq(call_filter_build(&filter, &program), -E2BIG); /* 256 × 11 instructions */
}
END_TEST

/** The kernel takes the program, and answers as it says. */
START_TEST(call_filter_is_loaded_by_the_kernel)
{
    struct call_rule rules[] = {
        {.number = SYS_sched_get_priority_max, .answer = SECCOMP_RET_ERRNO | ENOTTY},
        {.number = SYS_dup,
         .answer = SECCOMP_RET_ERRNO | EXDEV,
         .count = 1,
         .when = {{.op = CALL_OP_GT, .value = 1000}}},
    };
    struct sock_fprog raw = {.filter = program.code};

    filter =
        (struct call_filter){.foreign = SECCOMP_RET_KILL_PROCESS, .fallback = SECCOMP_RET_ALLOW};
#if defined(__x86_64__)
    filter.arch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
    filter.arch = AUDIT_ARCH_AARCH64;
#else
    suite_skip("an architecture that this test does not know");
#endif
    for (unsigned i = 0; i < ARRAY_COUNT(rules); i++)
        ck_assert_int_eq(call_filter_add(&filter, &rules[i]), 0);
    ck_assert_int_eq(call_filter_build(&filter, &program), 0);
    raw.len = (unsigned short)program.len;
    ck_assert_int_ge(syscall(SYS_sched_get_priority_max, 0), 0);
    ck_assert(dup(2000) < 0 && errno == EBADF);
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &raw), 0);
    ck_assert(syscall(SYS_sched_get_priority_max, 0) < 0 && errno == ENOTTY);
    ck_assert(dup(2000) < 0 && errno == EXDEV);
    ck_assert(dup(999) < 0 && errno == EBADF);
    _exit(0); /* a sanitizer's way out is not for filtered processes */
}
END_TEST

static const struct suite_test tests[] = {
    SUITE_ROWS(call_filter_does_what_its_rules_say, 4),
    SUITE_TEST(call_filter_refuses_what_does_not_fit),
    SUITE_TEST(call_filter_is_loaded_by_the_kernel),
};

SUITE_MAIN("base/call_filter", tests)
