/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's judge: policy_decide() with this sandbox's pins, then the record, then the verdict.
 * A judgement that cannot be recorded is a refusal.
 */
#include "sandbox/judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sandbox/knocks.h"
#include "sandbox/programs.h"

struct refusal {
    uint64_t key;    /* 0: empty */
    uint64_t unsaid; /* repetitions since the last line */
    char what[ENDPOINT_TEXT_CAP + POLICY_HOSTNAME_MAX + 4];
};

struct refusals {
    struct session *session;
    struct knocks *knocks;
    struct loop_timer timer;
    struct refusal entries[REFUSALS_MAX];
    uint64_t others; /* refusals that found no entry, since the last line */
};

static void say_counts(struct refusals *r)
{
    for (unsigned i = 0; i < REFUSALS_MAX; i++) {
        struct refusal *e = &r->entries[i];

        if (e->unsaid > 0)
            log_warn("refused again", F_STR("destination", e->what), F_INT("times", e->unsaid));
        e->unsaid = 0;
    }
    if (r->others > 0)
        log_warn("refused, many different destinations", F_INT("times", r->others));
    r->others = 0;
}

static void on_timer(void *self, struct mono now)
{
    struct refusals *r = self;

    (void)now;
    say_counts(r);
}

/** FNV-1a, to tell refusals apart; an accidental equal only merges two counts. */
static uint64_t text_key(uint64_t key, const char *text)
{
    for (; *text != '\0'; text++)
        key = (key ^ (uint8_t)*text) * UINT64_C(1099511628211);
    return key;
}

/** Is this refusal to be said now? Otherwise it is counted. */
static bool is_news(struct refusals *r, const char *exe, const char *what)
{
    uint64_t key = text_key(text_key(UINT64_C(14695981039346656037), exe), what) | 1;
    struct refusal *empty = NULL;

    if (r->timer.index_ == 0 &&
        loop_timer_set(r->session->loop, &r->timer,
                       mono_add_ms(mono_now(), REFUSAL_REPEAT_S * 1000)) < 0)
        log_debug("no timer: repeated refusals are counted at the end");
    for (unsigned i = 0; i < REFUSALS_MAX; i++) {
        struct refusal *e = &r->entries[i];

        if (e->key == key) {
            e->unsaid++;
            return false;
        }
        if (e->key == 0 && empty == NULL)
            empty = e;
    }
    if (empty == NULL) {
        r->others++;
        return false;
    }
    empty->key = key;
    (void)snprintf(empty->what, sizeof(empty->what), "%s", what);
    return true;
}

/** The destination as people read it: `192.0.2.1:443 (name)`. */
static void print_destination(enum policy_proto proto, const struct endpoint *dst, const char *name,
                              char *ret, size_t cap)
{
    char text[ENDPOINT_TEXT_CAP];

    (void)(proto == POLICY_ICMP ? ip_print(&dst->ip, text) : endpoint_print(dst, text));
    if (name[0] != '\0')
        (void)snprintf(ret, cap, "%s (%s)", text, name);
    else
        (void)snprintf(ret, cap, "%s", text);
}

/** Why, as people read it. */
static void print_because(const struct policy_answer *answer, char *ret, size_t cap)
{
    switch (answer->reason) {
    case POLICY_RULE:
        (void)snprintf(ret, cap, "rule '%s'", answer->rule);
        break;
    case POLICY_BUILTIN:
        (void)snprintf(ret, cap, "on the built-in list of addresses that only an exact rule opens");
        break;
    case POLICY_NAME_UNPINNED:
        (void)snprintf(ret, cap,
                       "a rule allows a name, but no DNS answer here gave it this address");
        break;
    case POLICY_FAILED:
        (void)snprintf(ret, cap, "the policy could not be asked");
        break;
    case POLICY_NO_RULE:
        (void)snprintf(ret, cap, "no rule allows it");
        break;
    }
}

/** One line: who wanted what, why not, and what would allow it. */
static void say(const char *verb, const struct flow_info *info, const char *protocol,
                const char *what, const struct policy_answer *answer, const char *option)
{
    char because[POLICY_RULE_TEXT_MAX + 64];
    char sentence[1400];
    const struct log_field fields[] = {
        F_STR("exe", info->exe),
        F_INT("pid", info->pid),
        F_STR("protocol", protocol),
        F_STR("destination", what),
        F_STR("reason", policy_reason_name(answer->reason)),
        F_STR("rule", answer->rule),
        F_STR("to_allow", option),
    };

    print_because(answer, because, sizeof(because));
    (void)snprintf(sentence, sizeof(sentence), "%s %s %s for %s (pid %d): %s; to allow it: %s",
                   verb, protocol, what, info->exe, (int)info->pid, because, option);
    log_sentence(sentence, verb, fields, ARRAY_COUNT(fields));
}

static void say_refusal(struct session *s, const struct flow_info *info,
                        const struct policy_request *req, const struct policy_answer *answer)
{
    char what[ENDPOINT_TEXT_CAP + POLICY_HOSTNAME_MAX + 4];
    char option[512];

    print_destination(req->proto, &req->dst, answer->name, what, sizeof(what));
    if (!is_news(s->refusals, info->exe, what))
        return;
    policy_suggest(req, answer, option, sizeof(option));
    say(answer->verdict == VERDICT_ALLOW ? "would refuse" : "refused", info,
        policy_proto_name(req->proto), what, answer, option);
}

/** A record of the decision that @info keeps the reasons of. */
static int record(struct session *s, const struct flow_info *info, enum verdict verdict,
                  const char *protocol, const struct endpoint *dst, const char *name,
                  const char *detail)
{
    struct audit_record r = {
        .kind = AUDIT_DECISION,
        .wall_ns = wall_now_ns(),
        .verdict = verdict == VERDICT_ALLOW ? "allow" : "drop",
        .would_deny = info->would_deny,
        .mode = policy_mode_name(policy_get_mode(s->config->policy)),
        .direction = "egress",
        .protocol = protocol,
        .dst = *dst,
        .name = name[0] != '\0' ? name : NULL,
        .rule = info->rule[0] != '\0' ? info->rule : NULL,
        .reason = policy_reason_name(info->reason),
        .parent_span_id = info->span[0] != '\0' ? info->span : NULL,
        .pid = info->pid,
        .exe = info->exe,
        .duration_ns = -1,
        .detail = detail,
    };

    return audit_emit(s->audit, &r);
}

static void keep_answer(struct flow_info *info, const struct policy_answer *answer)
{
    memcpy(info->rule, answer->rule, sizeof(info->rule));
    memcpy(info->name, answer->name, sizeof(info->name));
    info->reason = answer->reason;
    info->would_deny = answer->would_deny;
}

static int record_decision(struct session *s, struct flow_info *info, const char *protocol,
                           const struct endpoint *dst, const struct policy_answer *answer,
                           const char *name)
{
    keep_answer(info, answer);
    return record(s, info, answer->verdict, protocol, dst, name, NULL);
}

static void keep_span(struct session *s, struct flow_info *info)
{
    (void)snprintf(info->span, sizeof(info->span), "%s",
                   programs_span_of(s->programs, info->pid, info->exe));
}

static void who_is_it(struct session *s, pid_t tid, struct flow_info *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->pid = agent_pid(&s->agents, tid);
    agent_exe(&s->agents, tid, ret->exe, sizeof(ret->exe));
    keep_span(s, ret);
}

static void decide(struct session *s, enum policy_proto proto, const struct endpoint *dst,
                   struct policy_request *ret_req, struct policy_answer *ret)
{
    *ret_req =
        (struct policy_request){.proto = proto, .dst = *dst, .pins = s->pins, .now = mono_now()};
    if (policy_decide(s->config->policy, ret_req, ret) < 0)
        *ret = (struct policy_answer){.would_deny = true, .reason = POLICY_FAILED};
}

static int refusal_errno(enum policy_proto proto)
{
    return proto == POLICY_TCP ? -ECONNREFUSED : -EACCES;
}

int judge(struct session *s, pid_t tid, enum policy_proto proto, const struct endpoint *dst,
          struct flow_info *ret_info)
{
    struct policy_request req;
    struct policy_answer answer;

    who_is_it(s, tid, ret_info);
    decide(s, proto, dst, &req, &answer);
    if (answer.verdict != VERDICT_ALLOW || answer.would_deny)
        say_refusal(s, ret_info, &req, &answer);
    if (record_decision(s, ret_info, policy_proto_name(proto), dst, &answer, answer.name) < 0)
        return -EACCES; /* what cannot be recorded does not happen */
    return answer.verdict == VERDICT_ALLOW ? 0 : refusal_errno(proto);
}

/** A refusal on loopback: one record for the first of its kind, one for how often it came again. */
static void record_knock(struct session *s, const struct knock *knock, const char *what)
{
    char detail[512];

    (void)snprintf(detail, sizeof(detail), "nothing listens there inside the sandbox%s", what);
    if (record(s, &knock->info, VERDICT_DENY, policy_proto_name(knock->proto), &knock->dst, "",
               detail) < 0)
        log_debug("no record of a refusal"); /* refused it is all the same */
}

static void on_knock_again(void *self, const struct knock *knock, uint64_t times)
{
    const struct refusals *r = self;
    char what[64];

    (void)snprintf(what, sizeof(what), "; refused %llu more times", (unsigned long long)times);
    record_knock(r->session, knock, what);
}

static void refuse_knock(struct session *s, pid_t tid, const struct policy_request *req,
                         const struct policy_answer *answer)
{
    struct knock knock = {.proto = req->proto, .dst = req->dst};
    char option[400];
    char what[512];

    who_is_it(s, tid, &knock.info);
    keep_answer(&knock.info, answer);
    if (!knocks_add(s->refusals->knocks, &knock))
        return;
    policy_suggest(req, answer, option, sizeof(option));
    (void)snprintf(what, sizeof(what), "; to reach the host's: %s", option);
    record_knock(s, &knock, what);
    log_info("nothing listens inside the sandbox, and no rule names the host's loopback",
             F_INT("port", req->dst.port));
}

int judge_loopback(struct session *s, pid_t tid, enum policy_proto proto,
                   const struct endpoint *dst, struct flow_info *ret_info)
{
    struct policy_request req;
    struct policy_answer answer;

    decide(s, proto, dst, &req, &answer);
    if (answer.verdict == VERDICT_ALLOW && !answer.would_deny)
        return judge(s, tid, proto, dst, ret_info);
    refuse_knock(s, tid, &req, &answer);
    return -ECONNREFUSED;
}

int judge_name(struct session *s, pid_t pid, const char *exe, const char *name,
               const struct endpoint *server)
{
    struct flow_info info = {.pid = pid};
    struct policy_answer answer;

    (void)snprintf(info.exe, sizeof(info.exe), "%s", exe);
    keep_span(s, &info);
    if (policy_decide_name(s->config->policy, bytes_of_str(name), &answer) < 0)
        answer = (struct policy_answer){.would_deny = true, .reason = POLICY_FAILED};
    if ((answer.verdict != VERDICT_ALLOW || answer.would_deny) && is_news(s->refusals, exe, name)) {
        char option[POLICY_HOSTNAME_MAX + 32];

        (void)snprintf(option, sizeof(option), "--allow '%s:443'", name);
        say(answer.verdict == VERDICT_ALLOW ? "would refuse" : "refused", &info, "dns", name,
            &answer, option);
    }
    if (record_decision(s, &info, "dns", server, &answer, name) < 0)
        return -EACCES;
    return answer.verdict == VERDICT_ALLOW ? 0 : -EACCES;
}

/** One line about a socket of the host's, unless it is a name service: programs ask those first and
 * go on with DNS when they do not answer. */
static void say_unix(struct session *s, const struct flow_info *info, const char *name,
                     const struct policy_answer *answer)
{
    char option[POLICY_RULE_TEXT_MAX + 64];

    if (answer->reason == POLICY_BUILTIN || !is_news(s->refusals, info->exe, name))
        return;
    policy_suggest_unix(name, answer, option, sizeof(option));
    say(answer->verdict == VERDICT_ALLOW ? "would refuse" : "refused", info, "unix", name, answer,
        option);
}

int judge_unix(struct session *s, pid_t tid, const char *name, const char *other)
{
    static const struct endpoint nowhere = {0};
    const char *const names[] = {name, other};
    struct flow_info info;
    struct policy_answer answer = {0};
    unsigned shown = 0;

    who_is_it(s, tid, &info);
    for (unsigned i = 0; i < ARRAY_COUNT(names) && names[i] != NULL; i++) {
        shown = i;
        if (policy_decide_unix(s->config->policy, names[i], &answer) < 0)
            answer = (struct policy_answer){.would_deny = true, .reason = POLICY_FAILED};
        if (answer.verdict != VERDICT_ALLOW || answer.would_deny)
            break;
    }
    if (answer.verdict != VERDICT_ALLOW || answer.would_deny)
        say_unix(s, &info, names[shown], &answer);
    if (record_decision(s, &info, "unix", &nowhere, &answer, names[shown]) < 0)
        return -ECONNREFUSED; /* what cannot be recorded does not happen */
    return answer.verdict == VERDICT_ALLOW ? 0 : -ECONNREFUSED;
}

void judge_refuse_descriptor(struct session *s, pid_t tid)
{
    static const char what[] = "a descriptor from outside";
    static const struct endpoint nowhere = {0};
    const struct policy_answer answer = {.would_deny = true, .reason = POLICY_BUILTIN};
    struct flow_info info;

    who_is_it(s, tid, &info);
    if (is_news(s->refusals, info.exe, what))
        log_warn("kept a descriptor from the program: it would lead round the sandbox",
                 F_STR("exe", info.exe), F_INT("pid", info.pid));
    if (record_decision(s, &info, "unix", &nowhere, &answer, "SCM_RIGHTS") < 0)
        log_debug("no record of a refused descriptor"); /* refused it is all the same */
}

/* Birth and end */

int refusals_new(struct session *s, struct refusals **ret)
{
    static const struct knocks_events events = {.again = on_knock_again};
    struct refusals *r = calloc(1, sizeof(*r));
    int err;

    if (r == NULL)
        return -ENOMEM;
    r->session = s;
    r->timer.expired = on_timer;
    r->timer.self = r;
    err = knocks_new(s->loop, &events, r, &r->knocks);
    if (err < 0) {
        free(r);
        return err;
    }
    *ret = r;
    return 0;
}

void refusals_free(struct refusals *r)
{
    if (r == NULL)
        return;
    loop_timer_clear(r->session->loop, &r->timer);
    say_counts(r);
    knocks_free(r->knocks);
    free(r);
}
