/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy itself: its rules, kept as text and as compiled tables, and the judgement. It decides;
 * it neither resolves names nor keeps anything about a request.
 *
 * How a destination is judged. Its address is unmapped; if it is an IPv6 address that carries IPv4
 * addresses, those are judged besides.
 *  1. A deny rule that covers any of these addresses denies.
 *  2. An address on the built-in list denies, unless an allow rule names that address, or the
 *     destination's own, in full length.
 *  3. An allow rule that covers the destination's own address allows.
 *  4. All else is denied.
 * A rule covers an address by prefix, or by a name that a live pin gives to the address. Of several
 * rules that cover it, the answer shows the most specific one: name, suffix, prefix, `*`, and the
 * fewest ports.
 */
#include "policy/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/nameset.h"
#include "policy/build.h"
#include "policy/files.h"
#include "policy/identity.h"
#include "policy/judged.h"
#include "policy/pins.h"
#include "policy/table.h"
#include "policy/unix_name.h"

#define ACTIONS   2
#define PROTOS    3 /* those with addresses and ports: all but POLICY_UNIX */
#define TEXTS_MAX ((size_t)POLICY_RULES_MAX * (POLICY_RULE_TEXT_MAX + 8))

/** The rules for AF_UNIX sockets. There are few, so they are looked through one by one. */
struct unix_rules {
    uint32_t *list; /* owned: numbers of rules */
    unsigned count;
    unsigned cap;
};

struct policy {
    enum policy_mode mode;
    struct table tables[ACTIONS][PROTOS];
    struct unix_rules unix_rules[ACTIONS];
    struct buf texts; /* "allow api.github.com:443" and a NUL, one after the other */
    uint32_t *starts; /* owned: where in texts each rule begins */
    unsigned count;
    unsigned cap;
    struct nameset tools;      /* that may be called; no part of any judgement here */
    struct policy_files files; /* the same */
    bool is_broken; /* memory ran out inside a table: every judgement fails from then on */
};

/** What covers an address: a rule, and the pinned name when it is by name. */
struct hit {
    uint32_t rule;
    const char *name; /* NULL: by address */
};

int policy_new(enum policy_mode mode, struct policy **ret)
{
    struct policy *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return -ENOMEM;
    p->mode = mode;
    buf_init(&p->texts, TEXTS_MAX);
    nameset_init(&p->tools, IDENTITY_TOOLS_MAX);
    nameset_init(&p->files.read, POLICY_PATHS_MAX);
    nameset_init(&p->files.write, POLICY_PATHS_MAX);
    *ret = p;
    return 0;
}

static void policy_done(struct policy *p)
{
    nameset_done(&p->tools);
    nameset_done(&p->files.read);
    nameset_done(&p->files.write);
    for (unsigned action = 0; action < ACTIONS; action++)
        for (unsigned proto = 0; proto < PROTOS; proto++)
            table_done(&p->tables[action][proto]);
    for (unsigned action = 0; action < ACTIONS; action++)
        free(p->unix_rules[action].list);
    buf_done(&p->texts);
    free(p->starts);
}

void policy_swap(struct policy *a, struct policy *b)
{
    struct policy kept = *a;

    *a = *b;
    *b = kept;
}

void policy_free(struct policy *p)
{
    if (p == NULL)
        return;
    policy_done(p);
    free(p);
}

/* Rules */

static const char *rule_text(const struct policy *p, uint32_t rule)
{
    return (const char *)p->texts.data + p->starts[rule];
}

/** Room for one more. */
static int grow(uint32_t **list, unsigned count, unsigned *cap)
{
    unsigned wanted = *cap > 0 ? *cap * 2 : 16;
    uint32_t *grown;

    if (count < *cap)
        return 0;
    grown = reallocarray(*list, wanted, sizeof(*grown));
    if (grown == NULL)
        return -ENOMEM;
    *list = grown;
    *cap = wanted;
    return 0;
}

/** Enter the rule that is about to get the number p->count. */
static int add_compiled(struct policy *p, enum policy_action action, const struct rule *rule)
{
    struct unix_rules *list = &p->unix_rules[action];

    if (rule->proto != POLICY_UNIX)
        return table_add(&p->tables[action][rule->proto], rule, p->count);
    if (grow(&list->list, list->count, &list->cap) < 0)
        return -ENOMEM;
    list->list[list->count++] = p->count;
    return 0;
}

int policy_add(struct policy *p, enum policy_action action, const struct rule *rule,
               struct why *why)
{
    char text[POLICY_RULE_TEXT_MAX + 1];
    size_t start = p->texts.len;
    size_t len = rule_print(rule, text);

    if (p->count >= POLICY_RULES_MAX)
        return why_set(why, -ENOSPC, "more than %u rules", POLICY_RULES_MAX);
    if (p->is_broken || grow(&p->starts, p->count, &p->cap) < 0)
        return why_set(why, -ENOMEM, "out of memory");
    buf_add_str(&p->texts, action == POLICY_RULE_ALLOW ? "allow " : "deny ");
    buf_add(&p->texts, text, len + 1);
    if (buf_error(&p->texts) < 0 || add_compiled(p, action, rule) < 0) {
        p->is_broken = true;
        return why_set(why, -ENOMEM, "out of memory");
    }
    p->starts[p->count++] = (uint32_t)start;
    return 0;
}

int policy_add_rule(struct policy *p, enum policy_action action, struct bytes text, struct why *why)
{
    struct rule rule;
    int err = rule_parse(text, &rule, why);

    return err < 0 ? err : policy_add(p, action, &rule, why);
}

int policy_copy(const struct policy *p, struct policy **ret)
{
    struct policy *copy;
    int err = policy_new(p->mode, &copy);

    for (unsigned i = 0; err == 0 && i < p->count; i++) {
        const char *text = rule_text(p, i);
        bool is_allow = text[0] == 'a';

        err = policy_add_rule(copy, is_allow ? POLICY_RULE_ALLOW : POLICY_RULE_DENY,
                              bytes_of_str(strchr(text, ' ') + 1), NULL);
        if (err < 0)
            policy_free(copy);
    }
    if (err < 0)
        return err;
    copy->files.mode = p->files.mode;
    if ((err = nameset_copy(&p->tools, &copy->tools)) < 0 ||
        (err = nameset_copy(&p->files.read, &copy->files.read)) < 0 ||
        (err = nameset_copy(&p->files.write, &copy->files.write)) < 0) {
        policy_free(copy);
        return err;
    }
    *ret = copy;
    return 0;
}

void policy_take(struct policy *p, struct policy *from)
{
    enum policy_mode mode = p->mode;

    policy_done(p);
    *p = *from;
    p->mode = mode;
    free(from);
}

const struct policy_files *policy_files(const struct policy *p)
{
    return &p->files;
}

void policy_set_files_mode(struct policy *p, enum policy_files_mode mode)
{
    p->files.mode = mode;
}

int policy_add_path(struct policy *p, enum policy_files_access access, struct bytes text,
                    struct why *why)
{
    int err = files_check_path(text, why);

    if (err < 0)
        return err;
    err = nameset_add(access == POLICY_FILES_READ ? &p->files.read : &p->files.write, text);
    if (err == -ENOSPC)
        return why_set(why, err, "more than %u paths", POLICY_PATHS_MAX);
    return err < 0 ? why_set(why, err, "out of memory") : 0;
}

int policy_add_tool(struct policy *p, struct bytes name)
{
    int err = identity_tool_check(name);

    return err < 0 ? err : nameset_add(&p->tools, name);
}

const struct nameset *policy_tools(const struct policy *p)
{
    return &p->tools;
}

void policy_set_mode(struct policy *p, enum policy_mode mode)
{
    p->mode = mode;
}

enum policy_mode policy_get_mode(const struct policy *p)
{
    return p->mode;
}

unsigned policy_rule_count(const struct policy *p)
{
    return p->count;
}

const char *policy_rule_text(const struct policy *p, unsigned i)
{
    return i < p->count ? rule_text(p, i) : NULL;
}

/* Judgement */

/** The most specific rule of @t that covers @ip by name, prefix or `*`. */
static bool covers(const struct table *t, const struct policy_request *req, const struct ip *ip,
                   struct hit *ret)
{
    uint16_t port = req->dst.port;
    struct pin_walk walk;

    ret->name = NULL;
    if (t->name_count > 0) {
        walk = pins_walk(req->pins, ip, req->now);
        while ((ret->name = pins_next(&walk)) != NULL)
            if (table_find_name(t, ret->name, port, &ret->rule))
                return true;
    }
    return table_find_ip(t, ip, port, &ret->rule) || table_find_any(t, port, &ret->rule);
}

static bool is_opened(const struct table *allow, const struct policy_request *req,
                      const struct ip *own, const struct ip *ip)
{
    uint32_t rule;

    return table_find_exact(allow, own, req->dst.port, &rule) ||
           table_find_exact(allow, ip, req->dst.port, &rule);
}

/** Judge one request by the rules, whatever the mode. @judged: the own address, then embedded ones.
 */
static enum policy_reason judge(const struct policy *p, const struct policy_request *req,
                                const struct ip *judged, unsigned count, bool *ret_allow,
                                struct hit *ret_hit)
{
    const struct table *deny = &p->tables[POLICY_RULE_DENY][req->proto];
    const struct table *allow = &p->tables[POLICY_RULE_ALLOW][req->proto];

    *ret_allow = false;
    for (unsigned i = 0; i < count; i++)
        if (covers(deny, req, &judged[i], ret_hit))
            return POLICY_RULE;
    for (unsigned i = 0; i < count; i++)
        if (builtin_name(&judged[i]) != NULL && !is_opened(allow, req, &judged[0], &judged[i]))
            return POLICY_BUILTIN;
    if (covers(allow, req, &judged[0], ret_hit)) {
        *ret_allow = true;
        return POLICY_RULE;
    }
    return table_has_named(allow, req->dst.port) ? POLICY_NAME_UNPINNED : POLICY_NO_RULE;
}

static void put_text(char *ret, size_t cap, const char *text)
{
    size_t len = strlen(text);

    must(len < cap);
    memcpy(ret, text, len + 1);
}

static void put_hit(const struct policy *p, const struct hit *hit, struct policy_answer *ret)
{
    put_text(ret->rule, sizeof(ret->rule), rule_text(p, hit->rule));
    if (hit->name != NULL)
        put_text(ret->name, sizeof(ret->name), hit->name);
}

static void conclude(const struct policy *p, bool is_allowed, struct policy_answer *ret)
{
    bool is_lenient = p->mode == POLICY_AUDIT && ret->reason != POLICY_BUILTIN;

    ret->would_deny = !is_allowed;
    ret->verdict = is_allowed || is_lenient ? VERDICT_ALLOW : VERDICT_DENY;
}

static void clear_answer(struct policy_answer *ret, enum policy_reason reason)
{
    ret->verdict = VERDICT_DENY;
    ret->would_deny = true;
    ret->reason = reason;
    ret->rule[0] = '\0';
    ret->name[0] = '\0';
}

int policy_decide(const struct policy *p, const struct policy_request *req,
                  struct policy_answer *ret)
{
    struct ip judged[1 + EMBEDDED_MAX];
    struct hit hit = {0};
    bool is_allowed;
    unsigned count;

    clear_answer(ret, POLICY_FAILED);
    if ((unsigned)req->proto >= PROTOS ||
        (req->dst.ip.family != IP_V4 && req->dst.ip.family != IP_V6))
        return -EINVAL;
    if (p->is_broken)
        return -ENOMEM;
    judged[0] = ip_unmap(&req->dst.ip);
    count = 1 + embedded_v4(&judged[0], judged + 1);
    ret->reason = judge(p, req, judged, count, &is_allowed, &hit);
    if (ret->reason == POLICY_RULE)
        put_hit(p, &hit, ret);
    if (ret->name[0] == '\0' && req->pins != NULL) {
        struct pin_walk walk = pins_walk(req->pins, &judged[0], req->now);
        const char *name = pins_next(&walk);

        put_text(ret->name, sizeof(ret->name), name != NULL ? name : "");
    }
    conclude(p, is_allowed, ret);
    return 0;
}

/* Names */

/** The first run of @lists that has @port; NULL: none. */
static const struct segment *any_list_has(const struct segments *const *lists, unsigned count,
                                          uint16_t port)
{
    for (unsigned i = 0; i < count; i++) {
        const struct segment *found = segments_find(lists[i], port);

        if (found != NULL)
            return found;
    }
    return NULL;
}

/** A rule that allows some port of the name; @ret_denied: the rule that denies one that was
 * allowed. */
static const struct segment *open_port(const struct policy *p, unsigned proto, const char *name,
                                       const struct segment **ret_denied)
{
    const struct segments *allows[NAME_LISTS_MAX];
    const struct segments *denies[NAME_LISTS_MAX];
    unsigned allow_count = table_name_lists(&p->tables[POLICY_RULE_ALLOW][proto], name,
                                            /*with_zero_prefixes=*/true, allows);
    unsigned deny_count = table_name_lists(&p->tables[POLICY_RULE_DENY][proto], name,
                                           /*with_zero_prefixes=*/false, denies);

    for (unsigned i = 0; i < allow_count; i++) {
        for (uint32_t k = 0; k < allows[i]->count; k++) {
            const struct segment *run = &allows[i]->list[k];
            unsigned port = run->min;

            while (port <= run->max) {
                const struct segment *deny = any_list_has(denies, deny_count, (uint16_t)port);

                if (deny == NULL)
                    return run;
                *ret_denied = deny;
                port = deny->max + 1u;
            }
        }
    }
    return NULL;
}

int policy_decide_name(const struct policy *p, struct bytes name, struct policy_answer *ret)
{
    const struct segment *allowed = NULL;
    const struct segment *denied = NULL;
    int err;

    clear_answer(ret, POLICY_FAILED);
    if (p->is_broken)
        return -ENOMEM;
    if ((err = hostname_canonical(name, ret->name)) < 0)
        return err;
    for (unsigned proto = 0; proto < PROTOS && allowed == NULL; proto++)
        allowed = open_port(p, proto, ret->name, &denied);
    ret->reason = POLICY_NO_RULE;
    if (allowed != NULL || denied != NULL) {
        const struct segment *shown = allowed != NULL ? allowed : denied;

        ret->reason = POLICY_RULE;
        put_text(ret->rule, sizeof(ret->rule), rule_text(p, shown->rule));
    }
    conclude(p, allowed != NULL, ret);
    return 0;
}

/* AF_UNIX sockets */

/** The most specific rule that covers the name; SIZE_MAX: one for exactly this name; 0: none. */
static size_t find_unix(const struct policy *p, enum policy_action action, const char *name,
                        struct hit *ret)
{
    static const size_t skips[ACTIONS] = {[POLICY_RULE_DENY] = sizeof("deny unix:") - 1,
                                          [POLICY_RULE_ALLOW] = sizeof("allow unix:") - 1};
    const struct unix_rules *rules = &p->unix_rules[action];
    size_t best = 0;

    for (unsigned i = 0; i < rules->count; i++) {
        size_t how = unix_rule_covers(rule_text(p, rules->list[i]) + skips[action], name);

        if (how > best) {
            best = how;
            ret->rule = rules->list[i];
        }
    }
    return best;
}

int policy_decide_unix(const struct policy *p, const char *name, struct policy_answer *ret)
{
    struct hit hit = {0};
    size_t allowed = 0;

    clear_answer(ret, POLICY_FAILED);
    if (name[0] != '/' && name[0] != '@')
        return -EINVAL;
    if (p->is_broken)
        return -ENOMEM;
    ret->reason = POLICY_RULE;
    if (find_unix(p, POLICY_RULE_DENY, name, &hit) == 0) {
        allowed = find_unix(p, POLICY_RULE_ALLOW, name, &hit);
        if (allowed == 0)
            ret->reason = POLICY_NO_RULE;
        if (allowed != SIZE_MAX && unix_builtin_name(name) != NULL) {
            ret->reason = POLICY_BUILTIN;
            allowed = 0;
        }
    }
    if (ret->reason == POLICY_RULE)
        put_hit(p, &hit, ret);
    conclude(p, allowed != 0, ret);
    return 0;
}
