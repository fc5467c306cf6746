/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shape of a program:
 *
 *   foreign architecture or x32 → its answer
 *   number ≥ first of the right half? → right half : left half; …
 *   leaf: for each rule, conditions that skip to the next rule when they do not hold; its answer
 *
 * Calls without conditions that are neighbours and have the same answer share a leaf.
 */
#include "base/call_filter.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>

#define X32_BIT 0x40000000u

#define OFFSET_NUMBER  offsetof(struct seccomp_data, nr)
#define OFFSET_ARCH    offsetof(struct seccomp_data, arch)
#define OFFSET_LOW(i)  ((uint32_t)offsetof(struct seccomp_data, args) + 8 * (i))
#define OFFSET_HIGH(i) (OFFSET_LOW(i) + 4)
static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "the low half of a register comes first");

#define LOAD(offset)      (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(offset))
#define AND(bits)         (struct sock_filter) BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (bits))
#define RETURN(answer)    (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, (answer))
#define JUMP(op, k, t, f) (struct sock_filter) BPF_JUMP(BPF_JMP | (op) | BPF_K, (k), (t), (f))

/* In a condition's code, until it is complete: where a jump leads. (Offsets are 8 bits.) */
#define TO_FAIL 254 /* this condition does not hold: the next rule */
#define TO_HOLD 253 /* it does */

/** Calls from @from up to the next leaf's: all have this answer, or the rules of one call. */
struct leaf {
    uint32_t from;
    uint32_t answer;
    unsigned rule_first; /* of rule_count, when that is not 0 */
    unsigned rule_count;
};

struct leaves {
    struct leaf at[2 * CALL_FILTER_RULES_MAX + 1];
    unsigned count;
};

int call_filter_add(struct call_filter *f, const struct call_rule *rule)
{
    if (rule->number < 0 || rule->number > CALL_FILTER_NUMBER_MAX ||
        rule->count > CALL_FILTER_WHEN_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < rule->count; i++)
        if (rule->when[i].arg > 5)
            return -EINVAL;
    if (f->count == CALL_FILTER_RULES_MAX)
        return -E2BIG;
    f->rules[f->count++] = *rule;
    return 0;
}

/** By number; rules of one call stay in their order. */
static void sort_rules(struct call_filter *f)
{
    for (unsigned i = 1; i < f->count; i++) {
        struct call_rule rule = f->rules[i];
        unsigned k = i;

        for (; k > 0 && f->rules[k - 1].number > rule.number; k--)
            f->rules[k] = f->rules[k - 1];
        f->rules[k] = rule;
    }
}

static void leaf_add(struct leaves *l, const struct leaf *leaf)
{
    struct leaf *last = l->count > 0 ? &l->at[l->count - 1] : NULL;

    if (last != NULL && last->from == leaf->from) { /* it had no call of its own */
        l->count--;
        last = l->count > 0 ? &l->at[l->count - 1] : NULL;
    }
    if (last != NULL && last->rule_count == 0 && leaf->rule_count == 0 &&
        last->answer == leaf->answer)
        return;
    must(l->count < ARRAY_COUNT(l->at));
    l->at[l->count++] = *leaf;
}

static void find_leaves(const struct call_filter *f, struct leaves *ret)
{
    const struct leaf rest = {.answer = f->fallback};
    struct leaf leaf = rest;

    ret->count = 0;
    leaf_add(ret, &leaf);
    for (unsigned i = 0; i < f->count;) {
        const struct call_rule *rule = &f->rules[i];
        unsigned count = 1;

        while (i + count < f->count && f->rules[i + count].number == rule->number)
            count++;
        leaf = (struct leaf){.from = (uint32_t)rule->number, .answer = rule->answer};
        if (rule->count > 0) {
            leaf.rule_first = i;
            leaf.rule_count = count;
        }
        leaf_add(ret, &leaf);
        leaf = rest;
        leaf.from = (uint32_t)rule->number + 1;
        leaf_add(ret, &leaf);
        i += count;
    }
}

static int put(struct call_program *p, struct sock_filter instruction)
{
    if (p->len == ARRAY_COUNT(p->code))
        return -E2BIG;
    p->code[p->len++] = instruction;
    return 0;
}

static int put_all(struct call_program *p, const struct sock_filter *code, unsigned count)
{
    int err = 0;

    for (unsigned i = 0; i < count && err == 0; i++)
        err = put(p, code[i]);
    return err;
}

/** The bits of @mask in the half of a register that is at @offset equal those of @value. */
static int put_equal(struct call_program *p, uint32_t offset, uint32_t mask, uint32_t value)
{
    int err;

    if (mask == 0)
        return 0;
    err = put(p, LOAD(offset));
    if (err == 0 && mask != UINT32_MAX)
        err = put(p, AND(mask));
    return err == 0 ? put(p, JUMP(BPF_JEQ, value & mask, 0, TO_FAIL)) : err;
}

/** Falls through when the condition holds; the jumps in it are still marks. */
static int put_condition(struct call_program *p, const struct call_when *w)
{
    uint32_t high = (uint32_t)(w->value >> 32);
    uint32_t low = (uint32_t)w->value;
    const struct sock_filter not_equal[] = {
        LOAD(OFFSET_HIGH(w->arg)),
        JUMP(BPF_JEQ, high, 0, TO_HOLD),
        LOAD(OFFSET_LOW(w->arg)),
        JUMP(BPF_JEQ, low, TO_FAIL, 0),
    };
    const struct sock_filter less[] = {
        LOAD(OFFSET_HIGH(w->arg)), JUMP(BPF_JGT, high, TO_FAIL, 0), JUMP(BPF_JEQ, high, 0, TO_HOLD),
        LOAD(OFFSET_LOW(w->arg)),  JUMP(BPF_JGE, low, TO_FAIL, 0),
    };
    const struct sock_filter greater[] = {
        LOAD(OFFSET_HIGH(w->arg)), JUMP(BPF_JGT, high, TO_HOLD, 0), JUMP(BPF_JEQ, high, 0, TO_FAIL),
        LOAD(OFFSET_LOW(w->arg)),  JUMP(BPF_JGT, low, 0, TO_FAIL),
    };
    int err;

    switch (w->op) {
    case CALL_OP_EQ:
        err = put_equal(p, OFFSET_HIGH(w->arg), (uint32_t)(w->mask >> 32), high);
        return err == 0 ? put_equal(p, OFFSET_LOW(w->arg), (uint32_t)w->mask, low) : err;
    case CALL_OP_NE:
        return put_all(p, not_equal, ARRAY_COUNT(not_equal));
    case CALL_OP_LT:
        return put_all(p, less, ARRAY_COUNT(less));
    case CALL_OP_GT:
        return put_all(p, greater, ARRAY_COUNT(greater));
    }
    return -EINVAL;
}

/** Point the marked jumps of code[from..len) to @target. */
static void resolve(struct call_program *p, unsigned from, unsigned mark, unsigned target)
{
    for (unsigned i = from; i < p->len; i++) {
        struct sock_filter *c = &p->code[i];

        if (BPF_CLASS(c->code) != BPF_JMP)
            continue;
        must(target - i - 1 < TO_HOLD); /* a rule is a few instructions */
        if (c->jt == mark)
            c->jt = (uint8_t)(target - i - 1);
        if (c->jf == mark)
            c->jf = (uint8_t)(target - i - 1);
    }
}

static int put_rule(struct call_program *p, const struct call_rule *rule)
{
    unsigned begin = p->len;
    int err = 0;

    for (unsigned i = 0; i < rule->count && err == 0; i++) {
        unsigned from = p->len;

        err = put_condition(p, &rule->when[i]);
        resolve(p, from, TO_HOLD, p->len);
    }
    if (err == 0)
        err = put(p, RETURN(rule->answer));
    resolve(p, begin, TO_FAIL, p->len);
    return err;
}

static int put_leaf(struct call_program *p, const struct call_filter *f, const struct leaf *leaf)
{
    int err = 0;

    if (leaf->rule_count == 0)
        return put(p, RETURN(leaf->answer));
    for (unsigned i = 0; i < leaf->rule_count && err == 0; i++)
        err = put_rule(p, &f->rules[leaf->rule_first + i]);
    return err == 0 ? put(p, RETURN(f->fallback)) : err;
}

/** The search among @count leaves. As deep as the logarithm of their number. */
static int put_search(struct call_program *p, const struct call_filter *f, const struct leaf *at,
                      unsigned count)
{
    unsigned half = count / 2;
    unsigned test = p->len;
    int err;

    if (count == 1)
        return put_leaf(p, f, at);
    err = put(p, JUMP(BPF_JGE, at[half].from, 0, 0));
    if (err == 0) /* the right half may be too far for a conditional jump */
        err = put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 0, 0, 0));
    if (err == 0)
        err = put_search(p, f, at, half);
    if (err < 0)
        return err;
    p->code[test].jf = 1;
    p->code[test + 1].k = p->len - test - 2;
    return put_search(p, f, at + half, count - half);
}

int call_filter_build(struct call_filter *f, struct call_program *ret)
{
    const struct sock_filter head[] = {
        LOAD(OFFSET_ARCH),   JUMP(BPF_JEQ, f->arch, 1, 0), RETURN(f->foreign),
        LOAD(OFFSET_NUMBER), JUMP(BPF_JGE, X32_BIT, 0, 1), RETURN(f->foreign),
    };
    struct leaves *leaves = malloc(sizeof(*leaves));
    int err;

    if (leaves == NULL)
        return -ENOMEM;
    sort_rules(f);
    find_leaves(f, leaves);
    ret->len = 0;
    err = put_all(ret, head, ARRAY_COUNT(head));
    if (err == 0)
        err = put_search(ret, f, leaves->at, leaves->count);
    free(leaves);
    return err;
}
