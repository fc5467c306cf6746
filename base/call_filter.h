/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules about system calls as a classic BPF program for seccomp(2): a binary search by number, and
 * at its leaves comparisons of registers. Written here because libseccomp spends most of a
 * millisecond on a list that this makes in microseconds, at each start and in each process.
 *
 * For each call the first rule counts whose conditions all hold; when none does, or there is no
 * rule for the call, the fallback answers. A foreign architecture, x32 among them, has an answer of
 * its own. Nothing here loads a program.
 */
#ifndef BASE_CALL_FILTER_H
#define BASE_CALL_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"

#define CALL_FILTER_RULES_MAX  256u
#define CALL_FILTER_WHEN_MAX   2u
#define CALL_FILTER_CODE_MAX   1024u
#define CALL_FILTER_NUMBER_MAX 0x3fffffff /* bit 30 marks x32 */

enum call_op {
    CALL_OP_EQ = 0, /* of the bits in the mask */
    CALL_OP_NE,     /* the others look at the whole register */
    CALL_OP_LT,
    CALL_OP_GT,
};

/** A condition on one register, unsigned, all 64 bits. */
struct call_when {
    enum call_op op;
    unsigned arg;
    uint64_t mask; /* of CALL_OP_EQ */
    uint64_t value;
};

struct call_rule {
    int number;
    uint32_t answer; /* SECCOMP_RET_… */
    unsigned count;  /* conditions that must all hold; 0: always */
    struct call_when when[CALL_FILTER_WHEN_MAX];
};

struct call_filter {
    uint32_t arch;     /* AUDIT_ARCH_… of our own calls */
    uint32_t foreign;  /* answer to calls of another architecture */
    uint32_t fallback; /* answer where no rule holds */
    unsigned count;
    struct call_rule rules[CALL_FILTER_RULES_MAX];
};

struct call_program {
    unsigned len;
    struct sock_filter code[CALL_FILTER_CODE_MAX];
};

/* Both structures are large: keep them on the heap. */

/** call_filter_add() - One more rule. Errors: -E2BIG too many; -EINVAL its number or count is none
 * that a filter can have. */
int call_filter_add(struct call_filter *f, const struct call_rule *rule) MUST_USE;
/** call_filter_build() - Write the program; sorts the rules by number, keeping their order within
 * one. Errors: -E2BIG it does not fit; -ENOMEM. */
int call_filter_build(struct call_filter *f, struct call_program *ret) MUST_USE;

#endif
