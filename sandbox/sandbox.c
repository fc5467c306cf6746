/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One session, from start to exit status. The order matters: the auditor is forked before anything
 * secret is in use; the agent waits, confined, until everything that may fail has not; then it
 * goes. When the auditor dies, the session ends (fail closed). The end is the guardian's word that
 * the agent's first process has ended, never a hang-up of the notification descriptor.
 */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "base/selfjail.h"
#include "base/wipe.h"
#include "sandbox/dispatch.h"
#include "sandbox/environment.h"
#include "sandbox/epolls.h"
#include "sandbox/files.h"
#include "sandbox/followed.h"
#include "sandbox/holders.h"
#include "sandbox/judge.h"
#include "sandbox/janitor.h"
#include "sandbox/programs.h"
#include "sandbox/resolver.h"
#include "sandbox/spawn.h"

#define LISTENER_EVENTS EPOLLIN
#define GRACE_MS        3000
#define DEPART_MS       60000 /* for what an ended program wrote to be delivered … */
#define DEPART_STILL_MS 10000 /* … but not so long without progress */
#define DEPART_TELL_MS  1000
#define DESCRIPTORS_MAX 65536u

struct run {
    struct session session;
    struct spawned agent;
    bool has_agent;
    bool has_agents;  /* session.agents was set up: at the first trapped call */
    bool is_notified; /* the notification descriptor is watched */
    int signal_fd;
    sigset_t old_mask;
    struct loop_watch notify_watch;
    struct loop_watch event_watch;
    struct loop_watch signal_watch;
    struct loop_watch audit_watch;
    int status;      /* -1: still running */
    bool departs;    /* the program has ended by itself: what it wrote is delivered */
    bool is_hurried; /* not any longer */
    struct why *why;
    struct files_plan *files;  /* NULL: every file is open to the agent */
    int janitor_fd;            /* -1: none */
    struct followed *followed; /* NULL: not enrolled */
    bool is_ended;             /* the identity has: the agent gets GRACE_MS to end itself */
    struct loop_timer grace;
};

static const int forwarded[] = {SIGINT,  SIGTERM, SIGHUP,   SIGQUIT,
                                SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT};

static void stop(struct run *r, int status)
{
    r->is_hurried = r->status >= 0;
    if (r->status < 0)
        r->status = status;
    loop_stop(r->session.loop);
}

/** Loopback is relayed by the network stack; offline there is one for that only. */
static int start_relay(struct run *r)
{
    struct session *s = &r->session;
    const struct netstack_config config = {.loop = s->loop, .mode = NETSTACK_OFFLINE};

    s->relay_stack = s->netstack;
    return s->netstack != NULL ? 0 : netstack_new(&config, &s->relay_stack, r->why);
}

/** The agent has run its first program and may be looked at: only now is it known how. */
static int meet_agent(struct run *r)
{
    struct session *s = &r->session;

    r->has_agents = true;
    s->agents_err = agents_init(&s->agents, r->agent.pid);
    if (s->agents_err < 0 || s->agents.can_get_fd || s->relay_stack != NULL ||
        s->config->loopback != SANDBOX_LOOPBACK_AUTO)
        return 0;
    log_info("loopback inside is relayed: pidfd_getfd is denied here");
    return start_relay(r);
}

/* Events */

static void on_notify(void *self, uint32_t events)
{
    struct run *r = self;
    struct session *s = &r->session;
    int err;

    if ((events & EPOLLIN) == 0) { /* nobody uses the filter any more; the guardian will say so */
        loop_watch_directly(s->loop, NULL);
        return;
    }
    if (!r->has_agents && meet_agent(r) < 0) {
        stop(r, SANDBOX_EXIT_FAILED);
        return;
    }
    err = dispatch_ready(s);
    if (err < 0 && err == s->agents_err)
        stop(r, why_set(r->why, SANDBOX_EXIT_FAILED,
                        "the agent's memory cannot be read: %s; lattice needs a process to be "
                        "allowed to trace its own children",
                        strerror(-err)));
    else if (err < 0)
        stop(r, why_set(r->why, SANDBOX_EXIT_FAILED, "system calls cannot be received any more: %s",
                        strerror(-err)));
}

static void on_agent_event(void *self, uint32_t events)
{
    struct run *r = self;
    struct spawn_event e;
    struct why why = {0};

    (void)events;
    while (r->status < 0 && spawn_read_event(&r->agent, &e, &why) == 0) {
        if (e.kind != SPAWN_ENDED)
            continue;
        if (e.status == SANDBOX_EXIT_NOT_FOUND && why.text[0] != '\0')
            (void)why_set(r->why, 0, "%s: %s", r->session.config->argv[0], why.text);
        else if (why.text[0] != '\0')
            (void)why_set(r->why, 0, "%s", why.text);
        r->departs = !r->is_ended && why.text[0] == '\0';
        stop(r, r->is_ended ? SANDBOX_EXIT_FAILED : e.status);
    }
}

static void on_signal(void *self, uint32_t events)
{
    struct run *r = self;
    struct signalfd_siginfo info;

    (void)events;
    while (read(r->signal_fd, &info, sizeof(info)) == sizeof(info))
        if (r->departs)
            r->is_hurried |= info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM ||
                             info.ssi_signo == SIGHUP || info.ssi_signo == SIGQUIT;
        else if (spawn_signal(&r->agent, (int)info.ssi_signo) < 0)
            log_debug("a signal came too late for the agent", F_INT("signal", info.ssi_signo));
}

static void on_auditor(void *self, uint32_t events)
{
    struct run *r = self;

    (void)events;
    stop(r, why_set(r->why, SANDBOX_EXIT_FAILED,
                    "the auditor has died; without a record nothing may happen"));
}

/* An enrolled sandbox */

static void on_tunnel_up(void *self)
{
    struct run *r = self;

    spawn_go(&r->agent);
}

static void on_grace_over(void *self, struct mono now)
{
    (void)now;
    stop(self, SANDBOX_EXIT_FAILED);
}

/** Nothing leads out any more; what the agent still wants to put in order, it may. */
static void on_identity_ended(void *self, const char *text)
{
    struct run *r = self;

    r->is_ended = true;
    (void)why_set(r->why, 0, "%s; its connections were cut and its program was ended", text);
    log_error("the agent's identity has ended; its connections are cut", F_STR("why", text));
    r->grace = (struct loop_timer){.expired = on_grace_over, .self = r};
    if (spawn_signal(&r->agent, SIGTERM) < 0 ||
        loop_timer_set(r->session.loop, &r->grace, mono_add_ms(mono_now(), GRACE_MS)) < 0)
        stop(r, SANDBOX_EXIT_FAILED);
}

static void on_follow_failed(void *self, const char *text)
{
    struct run *r = self;

    stop(r, why_set(r->why, SANDBOX_EXIT_FAILED, "%s", text));
}

static int start_following(struct run *r)
{
    const struct followed_events events = {
        .up = on_tunnel_up, .ended = on_identity_ended, .failed = on_follow_failed, .self = r};

    if (r->session.config->enroll == NULL)
        return 0;
    return followed_new(&r->session, &events, &r->followed, r->why);
}

static void on_peer_event(void *self, const uint8_t public_key[static WG_KEY_LEN],
                          enum wg_event event)
{
    struct run *r = self;
    char key[WG_KEY_TEXT_CAP];

    wg_key_print(public_key, key);
    switch (event) {
    case WG_EVENT_HANDSHAKE_DONE:
        r->session.handshakes++;
        if (r->followed != NULL)
            followed_tunnel_up(r->followed);
        log_info("tunnel: handshake completed", F_STR("peer", key));
        break;
    case WG_EVENT_HANDSHAKE_RETRY:
        log_info("tunnel: no answer to the handshake yet, trying again", F_STR("peer", key));
        break;
    case WG_EVENT_HANDSHAKE_GAVE_UP:
        log_warn("tunnel: no handshake completed; is the peer's endpoint right, and does it know "
                 "our public key?",
                 F_STR("peer", key));
        break;
    case WG_EVENT_ROAMED:
        log_info("tunnel: the peer has a new address", F_STR("peer", key));
        break;
    }
}

/* Start */

/** The host's address toward the network, as its routing says; nothing is sent. */
static void host_address(enum ip_family family, struct ip *ret)
{
    struct endpoint to = {.ip = family == IP_V4 ? ip_v4(192, 0, 2, 1) : ip_any(IP_V6), .port = 9};
    struct sockaddr_storage raw;
    struct endpoint from;
    socklen_t len;
    auto_fd fd = -1;

    if (family == IP_V6) { /* 2001:db8::1, RFC 3849 */
        to.ip.bytes[0] = 0x20;
        to.ip.bytes[1] = 0x01;
        to.ip.bytes[2] = 0x0d;
        to.ip.bytes[3] = 0xb8;
        to.ip.bytes[15] = 1;
    }
    fd = socket(family == IP_V4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    len = endpoint_to_sockaddr(&to, &raw);
    if (fd < 0 || connect(fd, (struct sockaddr *)&raw, len) < 0)
        return;
    len = sizeof(raw);
    if (getsockname(fd, (struct sockaddr *)&raw, &len) == 0 &&
        endpoint_from_sockaddr(bytes_of(&raw, len), &from) == 0)
        *ret = from.ip;
}

static void find_own_addresses(struct session *s)
{
    struct ip *const slots[] = {&s->local_v4, &s->local_v6};
    const enum ip_family families[] = {IP_V4, IP_V6};

    for (unsigned i = 0; i < ARRAY_COUNT(slots); i++) {
        if (s->netstack == NULL || netstack_local_ip(s->netstack, families[i], slots[i]) < 0)
            continue;
        if (ip_is_any(slots[i])) {
            *slots[i] = (struct ip){0};
            host_address(families[i], slots[i]);
        }
    }
}

static int start_engines(struct run *r)
{
    struct session *s = &r->session;
    const struct netstack_notes notes = {.peer_event = on_peer_event};
    struct netstack_config config = {
        .loop = s->loop,
        .mode = s->config->network,
        .wg = s->config->wg,
        .notes = &notes,
        .notes_self = r,
    };
    int err = pins_new(&s->pins);

    if (err == 0)
        err = rendezvous_init(&s->rendezvous);
    if (err < 0)
        return why_set(r->why, err, "cannot start: %s", strerror(-err));
    unix_diag_init(&s->diag);
    if (config.mode != NETSTACK_OFFLINE) {
        err = netstack_new(&config, &s->netstack, r->why);
        if (err < 0)
            return err;
    }
    if (s->config->loopback == SANDBOX_LOOPBACK_RELAY) {
        err = start_relay(r);
        if (err < 0)
            return err;
    }
    find_own_addresses(s);
    err = resolver_new(s, &s->resolver);
    if (err == 0)
        err = refusals_new(s, &s->refusals);
    if (err == 0)
        err = dispatch_init(s);
    return err < 0 ? why_set(r->why, err, "cannot start: %s", strerror(-err)) : 0;
}

static int make_tables(struct run *r)
{
    struct session *s = &r->session;
    int err = loop_new(&s->loop);

    if (err == 0)
        err = vsock_table_new(VSOCK_MAX, &s->sockets);
    s->flow_infos = calloc(VSOCK_MAX, sizeof(s->flow_infos[0]));
    s->scratch = malloc(SESSION_SCRATCH);
    if (err == 0 && (s->flow_infos == NULL || s->scratch == NULL))
        err = -ENOMEM;
    return err < 0 ? why_set(r->why, err, "cannot start: %s", strerror(-err)) : 0;
}

/** Signals to pass on arrive at a descriptor from now on; the agent gets the old mask. */
static int take_signals(struct run *r)
{
    sigset_t set;

    sigemptyset(&set);
    for (unsigned i = 0; i < ARRAY_COUNT(forwarded); i++)
        sigaddset(&set, forwarded[i]);
    (void)sigprocmask(SIG_BLOCK, &set, &r->old_mask);
    r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (r->signal_fd < 0)
        return why_set(r->why, -errno, "cannot receive signals: %s", strerror(errno));
    return 0;
}

/** Connections and programs each need some. The agent has been forked and keeps what it was given.
 */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* fewer at a time then, refused one by one */
}

/** The addresses as they will be, for the agent's own view of its network namespace. */
static struct isolate_view view_of(const struct sandbox_config *c)
{
    struct isolate_view v = {0};

    if (c->network == NETSTACK_DIRECT) {
        host_address(IP_V4, &v.v4);
        host_address(IP_V6, &v.v6);
    }
    for (unsigned i = 0; c->network == NETSTACK_TUNNEL && i < c->wg->address_count; i++) {
        const struct ip *ip = &c->wg->addresses[i].ip;
        struct ip *slot = ip->family == IP_V4 ? &v.v4 : &v.v6;

        if (slot->family == IP_NONE)
            *slot = *ip;
    }
    return v;
}

/** Abstract names are those of a network namespace: a rule for one needs the host's. */
static int choose_isolation(const struct sandbox_config *c, enum sandbox_isolation *ret,
                            struct why *why)
{
    const enum sandbox_isolation less =
        c->isolation == SANDBOX_ISOLATE_NONE ? SANDBOX_ISOLATE_NONE : SANDBOX_ISOLATE_FILES;
    static const char abstract[] = "allow unix:@";
    const char *text;

    *ret = c->isolation;
    for (unsigned i = 0; (text = policy_rule_text(c->policy, i)) != NULL; i++) {
        if (strncmp(text, abstract, sizeof(abstract) - 1) != 0)
            continue;
        *ret = less;
        if (c->isolation == SANDBOX_ISOLATE_FULL)
            return why_set(why, -EINVAL,
                           "the rule '%s' needs the host's network namespace: it does not go with "
                           "--isolate=full",
                           text);
    }
    if (policy_get_mode(c->policy) == POLICY_AUDIT && c->isolation == SANDBOX_ISOLATE_AUTO)
        *ret = less;
    return 0;
}

static int make_environment(const struct sandbox_config *c, const struct files_plan *files,
                            struct environment *ret, struct why *why)
{
    static char *const nothing[] = {NULL};
    int err = environment_make(environ, files != NULL ? files->env : nothing, &c->environment,
                               c->policy, ret, why);

    if (err == 0 && ret->withheld[0] != '\0')
        log_info(
            "variables that lead to daemons without a rule are not given; --env NAME gives one",
            F_STR("variables", ret->withheld));
    return err;
}

static int start_agent(struct run *r)
{
    struct session *s = &r->session;
    struct environment environment = {0};
    struct spawn_config config = {
        .argv = s->config->argv,
        .files = r->files,
        .signal_mask = &r->old_mask,
        .spare_pid = audit_pid(s->audit),
        .guarded_pid = s->config->enroll != NULL ? enroll_pid(s->config->enroll) : 0,
        .view = view_of(s->config),
    };
    int err = make_environment(s->config, r->files, &environment, r->why);

    if (err == 0)
        err = choose_isolation(s->config, &config.isolation, r->why);
    if (r->files == NULL && config.isolation == SANDBOX_ISOLATE_FILES)
        config.isolation = SANDBOX_ISOLATE_NONE;
    config.envp = environment.vars;
    if (err == 0 && r->files != NULL)
        err = janitor_start(r->files, &r->janitor_fd, r->why);
    if (err == 0)
        err = spawn_agent(&config, &r->agent, r->why);
    environment_done(&environment); /* the agent was forked with it */
    if (err < 0)
        return err;
    janitor_follow(r->janitor_fd, r->agent.guardian_pid);
    if (r->files != NULL && (r->agent.walls & SPAWN_WALL_MASKS) == 0)
        log_warn("without user namespaces nothing protects .git/hooks, .vscode, .mcp.json and the "
                 "like in the workspace: look at them before you use it outside");
    s->agent_diag_fd = r->agent.diag_fd;
    if ((r->agent.walls & SPAWN_WALL_SCOPE_SIGNAL) == 0) {
        s->guarded_pids[0] = getpid();
        s->guarded_pids[1] = r->agent.guardian_pid;
        s->guarded_pids[2] = config.guarded_pid;
        s->guarded_pids[3] = config.spare_pid;
    }
    r->has_agent = true;
    raise_descriptor_limit();
    err = programs_new(s, r->agent.guardian_pid, &s->programs);
    if (err < 0)
        return why_set(r->why, err, "out of memory");
    err = notify_init(&s->notify, r->agent.notify_fd);
    return err < 0 ? why_set(r->why, err, "the kernel's user notification is not usable: %s",
                             strerror(-err))
                   : 0;
}

static int watch_one(struct run *r, struct loop_watch *w, int fd,
                     void (*ready)(void *self, uint32_t events))
{
    *w = (struct loop_watch){.fd = fd, .ready = ready, .self = r};
    return loop_watch(r->session.loop, w, EPOLLIN);
}

static int watch_all(struct run *r)
{
    struct session *s = &r->session;
    int err;

    r->notify_watch = (struct loop_watch){.fd = r->agent.notify_fd, .ready = on_notify, .self = r};
    loop_watch_directly(s->loop, &r->notify_watch);
    err = watch_one(r, &r->event_watch, r->agent.event_fd, on_agent_event);
    if (err == 0)
        err = watch_one(r, &r->signal_watch, r->signal_fd, on_signal);
    if (err == 0)
        err = watch_one(r, &r->audit_watch, audit_fd(s->audit), on_auditor);
    return err < 0 ? why_set(r->why, err, "cannot start: %s", strerror(-err)) : 0;
}

static int record_session(struct session *s, enum audit_kind kind, int status, const char *detail)
{
    struct audit_record record = {
        .kind = kind,
        .wall_ns = wall_now_ns(),
        .mode = policy_mode_name(policy_get_mode(s->config->policy)),
        .exe = s->config->argv[0],
        .duration_ns = -1,
        .exit_status = status,
        .detail = detail,
    };

    return audit_emit(s->audit, &record);
}

/** The auditor has its own copy; neither we nor the agent's processes are to keep one. */
static void forget(const char *secret)
{
    if (secret != NULL)
        wipe((char *)(uintptr_t)secret, strlen(secret));
}

static int start_audit(struct run *r)
{
    struct session *s = &r->session;
    const struct audit_config config = {
        .path = s->config->audit_log,
        .identity = s->config->agent != NULL ? s->config->agent : s->config->name,
        .parent_id = s->config->parent_id,
        .namespace_id = s->config->namespace_id,
        .trace_id = s->config->trace_id,
        .parent_span_id = s->config->parent_span_id,
        .root_span_id = s->config->root_span_id,
        .echo_json = s->config->json,
        .stream = s->config->stream,
    };
    int err = audit_start(&config, &s->audit, r->why);

    if (s->config->stream != NULL)
        forget(s->config->stream->password);
    if (err < 0)
        return err;
    err = record_session(s, AUDIT_START, 0, r->files != NULL ? "files: workspace" : NULL);
    return err < 0 ? why_set(r->why, err, "the first record cannot be written: %s", strerror(-err))
                   : 0;
}

/** From here on, all that we can do is this session's work. No file is opened for writing, unless
 * /proc/PID/mem is the only way into the agent's memory. */
static int jail(struct run *r)
{
    struct selfjail config = {
        .needs =
            SELFJAIL_SOCKETS_UNIX | SELFJAIL_SOCKETS_INET | SELFJAIL_SOCK_DIAG | SELFJAIL_PROCESSES,
    };

    if (!agent_vm_is_allowed())
        config.needs |= SELFJAIL_OPEN_WRITE;

    return selfjail_enter(&config, NULL, r->why);
}

static int start(struct run *r)
{
    int err = files_plan_new(&r->session.config->files, &r->files, r->why);

    if (err == 0)
        err = start_audit(r);
    if (err == 0)
        err = make_tables(r);
    if (err == 0)
        err = take_signals(r);
    if (err == 0)
        err = start_agent(r);
    if (err == 0)
        err = start_engines(r);
    if (err == 0)
        err = watch_all(r);
    if (err == 0)
        err = start_following(r);
    if (err == 0)
        err = jail(r);
    return err;
}

/* End */

static void end_sockets(struct session *s)
{
    if (s->sockets == NULL)
        return;
    for (uint32_t i = 0; i < vsock_slots_used(s->sockets); i++) {
        struct vsock *v = vsock_at(s->sockets, i);

        if (v != NULL && !v->is_queued) /* a listener ends those in its queue */
            sock_end(s, v);
    }
}

/** Flush the log last: what the end of the flows says belongs into it. */
static int end_audit(struct run *r)
{
    struct session *s = &r->session;
    int err;

    if (s->audit == NULL)
        return 0;
    if (record_session(s, AUDIT_STOP, r->status, r->is_ended ? r->why->text : NULL) < 0)
        log_debug("no last record"); /* a dead auditor was reported already */
    err = audit_stop(s->audit);
    s->audit = NULL;
    return err;
}

static void end_janitor(struct run *r)
{
    char made[JANITOR_MADE_CAP];

    janitor_stop(&r->janitor_fd, made);
    if (made[0] != '\0')
        log_warn("the program made repositories in the workspace: look at their .git/config and "
                 "hooks before you use git there",
                 F_STR("paths", made));
}

/**
 * The programs are gone; what they wrote before is still delivered, as a kernel does it behind the
 * back of a process that has ended. Nobody waits long for a peer that takes nothing.
 */
static void depart(struct run *r)
{
    struct session *s = &r->session;
    struct mono begun = mono_now(), now = begun, still = begun, until = begun;
    struct mono tell = mono_add_ms(begun, DEPART_TELL_MS), end = mono_add_ms(begun, DEPART_MS);
    uint64_t left = 0, before = 0;

    if (!r->departs || s->netstack == NULL)
        return;
    do {
        if (loop_turn(s->loop, until) < 0)
            return;
        now = mono_now();
        left = netstack_unsent(s->netstack);
        if (left != before)
            still = mono_add_ms(now, DEPART_STILL_MS);
        before = left;
        if (left > 0 && !mono_before(now, tell)) {
            log_warn("the program has ended; what it wrote is still being delivered (an interrupt "
                     "drops it)",
                     F_INT("bytes", (int64_t)left));
            tell = MONO_NEVER;
        }
        until = mono_min(mono_min(still, end), tell);
    } while (left > 0 && !r->is_hurried && mono_before(now, mono_min(still, end)));
    if (left > 0)
        log_warn("the program has ended, and not all that it wrote was delivered",
                 F_INT("bytes", (int64_t)left));
}

static void finish(struct run *r)
{
    struct session *s = &r->session;
    pid_t first = r->agent.pid;

    files_plan_free(r->files);
    if (r->departs) {
        loop_watch_directly(s->loop, NULL);
        loop_unwatch(s->loop, &r->event_watch);
    }
    if (r->has_agent)
        spawn_done(&r->agent);
    depart(r);
    followed_free(r->followed); /* until now: an identity that ends cuts what is on its way */
    if (r->is_ended)
        loop_timer_clear(s->loop, &r->grace);
    end_janitor(r); /* nothing of the agent is left to take advantage of it */
    if (s->held != NULL && s->sockets != NULL)
        end_sockets(s);
    if (s->loop != NULL)
        holders_done(s);
    resolver_free(s->resolver);
    refusals_free(s->refusals);
    programs_end(s->programs, first, r->status);
    programs_free(s->programs);
    if (end_audit(r) < 0 && r->status != SANDBOX_EXIT_FAILED)
        r->status = why_set(r->why, SANDBOX_EXIT_FAILED, "records could not be written to %s",
                            s->config->audit_log);
    held_table_free(s->held);
    vsock_table_free(s->sockets);
    if (s->relay_stack != s->netstack)
        netstack_free(s->relay_stack);
    netstack_free(s->netstack);
    pins_free(s->pins);
    rendezvous_done(&s->rendezvous);
    unix_diag_done(&s->diag);
    unix_kept_done(s);
    epolls_done(s);
    unix_left_done(s);
    if (r->has_agents)
        agents_done(&s->agents);
    loop_free(s->loop);
    free(s->flow_infos);
    free(s->scratch);
    if (r->signal_fd >= 0) {
        own_close(&r->signal_fd);
        (void)sigprocmask(SIG_SETMASK, &r->old_mask, NULL);
    }
}

int sandbox_run(const struct sandbox_config *config, struct why *why)
{
    struct run *r = calloc(1, sizeof(*r));
    int status;
    int err;

    if (r == NULL)
        return why_set(why, SANDBOX_EXIT_FAILED, "not enough memory");
    r->session.config = config;
    r->session.rng = rng_system();
    r->session.sweep_at = 256;
    r->session.rendezvous = (struct rendezvous){.listener = -1, .spare_fd = -1, .path_fd = -1};
    r->session.diag = (struct unix_diag){.fd = -1, .proc_unix_fd = -1};
    r->session.agent_diag_fd = -1;
    r->signal_fd = -1;
    r->janitor_fd = -1;
    r->status = -1;
    r->why = why;
    err = start(r);
    if (err == 0) {
        if (r->followed == NULL) /* else as soon as its tunnel stands */
            spawn_go(&r->agent);
        err = loop_run(r->session.loop);
        if (err < 0)
            stop(r, why_set(why, SANDBOX_EXIT_FAILED, "waiting failed: %s", strerror(-err)));
    } else {
        r->status = SANDBOX_EXIT_FAILED;
    }
    finish(r);
    status = r->status;
    free(r);
    return status;
}
