/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice gateway`: read the configuration and the policy, start the auditor, then carry what
 * peers open until a signal ends it. Nothing is started when anything is wrong.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "cmd/cli.h"
#include "cmd/commands.h"
#include "cmd/enroll_options.h"
#include "cmd/gateway_conf.h"
#include "gateway/gateway.h"

#define EXIT_OWN_FAILURE 125

enum {
    OPT_WG,
    OPT_POLICY,
    OPT_ALLOW,
    OPT_DENY,
    OPT_AUDIT,
    OPT_ENFORCE,
    OPT_AUDIT_LOG,
    OPT_NAME,
    OPT_VERBOSE,
    OPT_JSON,
    OPT_READY_FD,
    OPT_SERVER_URL,
    OPT_TOKEN,
    OPT_TOKEN_FILE,
    OPT_CA_FILE,
    OPT_INSECURE_HTTP,
    OPT_ENDPOINT,
    OPT_PORT,
    OPT_DNS
};

static const struct cli_option options[] = {
    [OPT_WG] = {"wg", "FILE",
                "The tunnel: a wg-quick configuration. Required, unless latticed is followed:\n"
                "then one is made, with a fresh key, in $LATTICE_CONFIG_DIR/gateway.conf."},
    [OPT_POLICY] = {"policy", "FILE", "Rules and mode from a policy file."},
    [OPT_ALLOW] = {"allow", "RULE", "Allow a destination, e.g. 10.0.0.0/8:443; may be repeated."},
    [OPT_DENY] = {"deny", "RULE", "Deny a destination; deny wins."},
    [OPT_AUDIT] = {"audit", NULL, "Let everything pass, and record what would have been refused."},
    [OPT_ENFORCE] = {"enforce", NULL, "Refuse what no rule allows. The default."},
    [OPT_AUDIT_LOG] = {"audit-log", "FILE", "Where records go (default: the state directory)."},
    [OPT_NAME] = {"name", "NAME", "The gateway's name in its records (default: gateway)."},
    [OPT_VERBOSE] = {"verbose", NULL, "Say what happens."},
    [OPT_JSON] = {"json", NULL, "Records as JSON lines on standard error, too."},
    [OPT_READY_FD] = {"ready-fd", "N",
                      "Write the UDP port and a newline to this descriptor when ready."},
    [OPT_SERVER_URL] = {"server-url", "URL",
                        "Take the peers from the latticed at this address, live: each may reach\n"
                        "what its agent's identity allows, as long as that lives."},
    [OPT_TOKEN] = {"token", "TOKEN", "The gateway's token; it is erased from the command line."},
    [OPT_TOKEN_FILE] = {"token-file", "FILE",
                        "File that holds it: gateway-token in latticed's data directory."},
    [OPT_CA_FILE] = {"ca-file", "FILE", ENROLL_OPTION_HELP_CA},
    [OPT_INSECURE_HTTP] = {"insecure-http", NULL, ENROLL_OPTION_HELP_PLAIN},
    [OPT_ENDPOINT] = {"endpoint", "ADDRESS[:PORT]",
                      "Where agents reach this gateway (default: the address from which it\n"
                      "reaches latticed, and its own port)."},
    [OPT_DNS] = {"dns", "ADDRESS[:PORT]",
                 "Name server to ask for the agents; may be repeated (default: the host's)."},
    [OPT_PORT] = {"port", "N", "The UDP port (default: the file's, or any that is free)."},
};

static const struct cli_command command = {
    .path = "lattice gateway",
    .synopsis = "--wg FILE|--server-url URL [OPTIONS]",
    .summary = "Terminate WireGuard tunnels without privilege, and carry what peers open to the\n"
               "destinations that this gateway's own policy allows.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .more = "Rules: [tcp://|udp://]HOST:PORTS or icmp://HOST (ping), HOST an address, a prefix, "
            "[IPv6]\n"
            "or *; PORTS a number, a range or *. Without a rule nothing is allowed; with\n"
            "--server-url the identities' own lists decide, and rules given here bound them all.\n",
    .usage_status = EXIT_OWN_FAILURE,
};

struct setup {
    const char *wg_path;
    const char *audit_path;
    const char *name;
    struct policy *policy; /* owned */
    bool has_mode;
    enum policy_mode mode;
    bool verbose;
    bool json;
    int ready_fd; /* -1: none */
    struct enroll_options enroll;
    const char *endpoint; /* NULL: found out */
    uint16_t port;        /* 0: as the file says */
    struct endpoint dns[GATEWAY_DNS_MAX];
    unsigned dns_count;
};

/** Print what a person must mend. */
static int fail(const struct why *why)
{
    char text[WHY_TEXT_MAX + 192];

    why_print(why, text, sizeof(text));
    fprintf(stderr, "lattice gateway: %s\n", text);
    return EXIT_OWN_FAILURE;
}

static int parse_fd(const char *text)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(text, &end, 10);
    return errno != 0 || end == text || *end != '\0' || n < 0 || n > INT_MAX ? -1 : (int)n;
}

/** Apply an option about latticed. */
static int apply_enroll(struct setup *s, int option, const char *value)
{
    struct why why = {0};

    switch (option) {
    case OPT_SERVER_URL:
        s->enroll.server.url = value;
        break;
    case OPT_TOKEN:
        return enroll_options_token(&s->enroll, value, &why) < 0 ? fail(&why) : 0;
    case OPT_TOKEN_FILE:
        s->enroll.token_file = value;
        break;
    case OPT_CA_FILE:
        s->enroll.server.ca_file = value;
        break;
    case OPT_INSECURE_HTTP:
        s->enroll.server.may_be_plain = true;
        break;
    case OPT_ENDPOINT:
        s->endpoint = value;
        break;
    case OPT_DNS:
        if (s->dns_count == GATEWAY_DNS_MAX || !gateway_dns_parse(value, &s->dns[s->dns_count++]))
            return cli_usage_error(&command, "--dns %s: up to %u of ADDRESS or ADDRESS:PORT", value,
                                   GATEWAY_DNS_MAX);
        break;
    case OPT_PORT:
        if (port_parse(bytes_of_str(value), &s->port) < 0 || s->port == 0)
            return cli_usage_error(&command, "--port %s: 1 to 65535, expected", value);
        break;
    default:
        break;
    }
    return 0;
}

/** Apply one option. Returns 0, or the exit status of a refusal. */
static int apply(struct setup *s, int option, const char *value)
{
    struct why why = {0};
    enum policy_mode file_mode = s->mode;
    int err = 0;

    switch (option) {
    case OPT_WG:
        s->wg_path = value;
        break;
    case OPT_POLICY:
        err = policy_load(s->policy, value, &file_mode, &why);
        if (!s->has_mode)
            s->mode = file_mode; /* --audit and --enforce win over the file */
        break;
    case OPT_ALLOW:
    case OPT_DENY:
        err = policy_add_rule(s->policy, option == OPT_ALLOW ? POLICY_RULE_ALLOW : POLICY_RULE_DENY,
                              bytes_of_str(value), &why);
        break;
    case OPT_AUDIT:
    case OPT_ENFORCE:
        s->mode = option == OPT_AUDIT ? POLICY_AUDIT : POLICY_ENFORCE;
        s->has_mode = true;
        break;
    case OPT_AUDIT_LOG:
        s->audit_path = value;
        break;
    case OPT_NAME:
        s->name = value;
        break;
    case OPT_VERBOSE:
        s->verbose = true;
        break;
    case OPT_JSON:
        s->json = true;
        break;
    case OPT_READY_FD:
        s->ready_fd = parse_fd(value);
        if (s->ready_fd < 0)
            return cli_usage_error(&command, "--ready-fd %s: expected a descriptor number", value);
        break;
    default:
        return apply_enroll(s, option, value);
    }
    return err < 0 ? fail(&why) : 0;
}

struct stop {
    struct loop *loop;
    struct loop_watch signals;
    struct loop_watch auditor;
    int status;
};

static void stop_on_signal(void *self, uint32_t events)
{
    struct stop *s = self;
    struct signalfd_siginfo info;

    (void)events;
    if (io_read(s->signals.fd, &info, sizeof(info)) == sizeof(info))
        loop_stop(s->loop);
}

static void stop_without_auditor(void *self, uint32_t events)
{
    struct stop *s = self;

    (void)events;
    fprintf(stderr,
            "lattice gateway: the auditor is gone; what cannot be recorded is not carried\n");
    s->status = EXIT_OWN_FAILURE;
    loop_stop(s->loop);
}

/** As many descriptors as we may have: each connection takes one. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* fewer connections then, refused one by one */
}

static int tell_ready(const struct setup *s, uint16_t port)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%u\n", port);
    int err;

    printf("lattice gateway: ready on UDP port %u\n", port);
    (void)fflush(stdout); /* a closed standard output is not our end */
    if (s->ready_fd < 0)
        return 0;
    err = io_write_all(s->ready_fd, text, (size_t)len);
    (void)close(s->ready_fd);
    if (err < 0)
        fprintf(stderr, "lattice gateway: --ready-fd %d: %s\n", s->ready_fd, strerror(-err));
    return err;
}

static int emit_lifecycle(struct audit *audit, const struct setup *s, enum audit_kind kind,
                          int status)
{
    struct audit_record record = {.kind = kind,
                                  .wall_ns = wall_now_ns(),
                                  .mode = policy_mode_name(s->mode),
                                  .duration_ns = -1,
                                  .exit_status = status,
                                  .detail = "gateway"};

    return audit_emit(audit, &record);
}

/** Everything is set up: run until a signal. Returns the exit status. */
static int run(const struct setup *s, struct stop *stop, struct audit *audit,
               struct gateway *gateway)
{
    int err = emit_lifecycle(audit, s, AUDIT_START, 0);

    if (err < 0) {
        fprintf(stderr, "lattice gateway: the log cannot be written: %s\n", strerror(-err));
        return EXIT_OWN_FAILURE;
    }
    if (policy_rule_count(s->policy) == 0 && s->mode == POLICY_ENFORCE &&
        s->enroll.server.url == NULL)
        fprintf(stderr, "lattice gateway: no rule allows anything; see --allow\n");
    if (tell_ready(s, gateway_port(gateway)) < 0)
        return EXIT_OWN_FAILURE;
    err = loop_run(stop->loop);
    if (err < 0) {
        fprintf(stderr, "lattice gateway: %s\n", strerror(-err));
        return EXIT_OWN_FAILURE;
    }
    return stop->status;
}

static int watch_ends(struct stop *stop, struct audit *audit, int signal_fd)
{
    int err;

    stop->signals = (struct loop_watch){.fd = signal_fd, .ready = stop_on_signal, .self = stop};
    stop->auditor =
        (struct loop_watch){.fd = audit_fd(audit), .ready = stop_without_auditor, .self = stop};
    err = loop_watch(stop->loop, &stop->signals, EPOLLIN);
    return err < 0 ? err : loop_watch(stop->loop, &stop->auditor, EPOLLIN | EPOLLRDHUP);
}

static void stop_unfollowed(void *self)
{
    struct stop *s = self;

    fprintf(stderr, "lattice gateway: the process that follows latticed is gone; nobody would hear "
                    "of a revocation\n");
    s->status = EXIT_OWN_FAILURE;
    loop_stop(s->loop);
}

/** The processes that speak with latticed; all NULL: it is not followed. */
struct helpers {
    struct enroll *peers;
    struct enroll *desk;
};

/** Let the agents know where we are, and take them as peers. */
static int follow(const struct setup *s, struct stop *stop, const struct helpers *helpers,
                  const struct wg_conf *conf, struct gateway *gateway, struct why *why)
{
    struct gateway_following following = {
        .peers = helpers->peers,
        .desk = helpers->desk,
        .dns = s->dns,
        .dns_count = s->dns_count,
        .lost = stop_unfollowed,
        .self = stop,
    };
    uint8_t public_key[WG_KEY_LEN];
    struct endpoint where;
    int err = gateway_endpoint(&s->enroll.server, s->endpoint, gateway_port(gateway), &where, why);

    if (err < 0)
        return err;
    if (wg_key_public(conf->private_key, public_key) < 0)
        return why_set(why, -EINVAL, "the private key has no public one");
    err = enroll_announce(helpers->peers, public_key, &where);
    if (err == 0)
        err = gateway_follow(gateway, &following);
    return err < 0 ? why_set(why, err, "latticed cannot be followed: %s", strerror(-err)) : 0;
}

/** With auditor and configuration at hand: make the gateway, run it, take it down in order. */
static int serve(const struct setup *s, const struct wg_conf *conf, struct audit *audit,
                 const struct helpers *helpers, int signal_fd)
{
    struct stop stop = {0};
    struct gateway_config config = {.wg = conf, .policy = s->policy, .audit = audit};
    struct gateway *gateway = NULL;
    struct why why = {0};
    int status;

    if (loop_new(&stop.loop) < 0 || watch_ends(&stop, audit, signal_fd) < 0) {
        (void)why_set(&why, -ENOMEM, "cannot set up the event loop: %s", strerror(errno));
        loop_free(stop.loop);
        return fail(&why);
    }
    config.loop = stop.loop;
    if (gateway_new(&config, &gateway, &why) < 0 ||
        (helpers->peers != NULL && follow(s, &stop, helpers, conf, gateway, &why) < 0))
        status = fail(&why);
    else
        status = run(s, &stop, audit, gateway);
    gateway_free(gateway);
    if (gateway != NULL && stop.status == 0 && emit_lifecycle(audit, s, AUDIT_STOP, status) < 0)
        status = EXIT_OWN_FAILURE;
    loop_unwatch(stop.loop, &stop.signals);
    loop_unwatch(stop.loop, &stop.auditor);
    loop_free(stop.loop);
    return status;
}

static int load_conf(const struct setup *s, struct wg_conf *ret, struct why *why)
{
    int err = s->wg_path != NULL ? wg_conf_load(s->wg_path, ret, why) : gateway_conf_own(ret, why);

    if (err == 0 && s->port != 0)
        ret->listen_port = s->port;
    return err;
}

static void stop_helpers(struct helpers *h)
{
    enroll_stop(h->peers);
    enroll_stop(h->desk);
}

/** Fork the helpers, before anything else that is secret is in use. */
static int start_helpers(struct setup *s, struct helpers *ret, struct why *why)
{
    struct enroll_gateway_config config = {.server = s->enroll.server, .token = s->enroll.token};
    int err;

    if (s->enroll.server.url == NULL)
        return 0;
    err = enroll_options_finish(&s->enroll, why);
    if (err == 0 && s->enroll.token[0] == '\0')
        err = why_set(why, -EINVAL,
                      "--server-url needs the gateway's token: --token-file DATA/gateway-token");
    if (err == 0)
        err = enroll_gateway_start(&config, &ret->peers, why);
    enroll_options_done(&s->enroll);
    if (err == 0)
        err = enroll_desk_start(&s->enroll.server, &ret->desk, why); /* without the token */
    if (err < 0)
        stop_helpers(ret);
    return err;
}

static int start(struct setup *s)
{
    struct wg_conf conf = {0};
    struct helpers helpers = {0};
    auto_free char *path = malloc(PATH_MAX);
    struct audit_config audit_config = {
        .path = s->audit_path, .identity = s->name, .echo_json = s->json};
    struct audit *audit;
    struct why why = {0};
    sigset_t ends;
    auto_fd signal_fd = -1;
    int status, err;

    policy_set_mode(s->policy, s->mode);
    if (s->audit_path == NULL) {
        err = path != NULL ? audit_default_path(s->name, path, PATH_MAX) : -ENOMEM;
        if (err < 0)
            return cli_usage_error(&command, "no place for records (%s): give --audit-log",
                                   strerror(-err));
        audit_config.path = path;
    }
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    /* The auditor inherits the mask: a Ctrl-C that reaches both must not end it before us. */
    if (sigprocmask(SIG_BLOCK, &ends, NULL) < 0 ||
        (signal_fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) {
        (void)why_set(&why, -errno, "signals: %s", strerror(errno));
        return fail(&why);
    }
    if (start_helpers(s, &helpers, &why) < 0)
        return fail(&why);
    if (audit_start(&audit_config, &audit, &why) < 0) { /* before anything secret is loaded */
        stop_helpers(&helpers);
        return fail(&why);
    }
    if (s->dns_count == 0)
        s->dns_count = gateway_dns_of_host(s->dns);
    if (load_conf(s, &conf, &why) < 0) {
        status = fail(&why);
    } else {
        for (unsigned i = 0; i < conf.warning_count; i++)
            fprintf(stderr, "lattice gateway: %s\n", conf.warnings[i]);
        raise_descriptor_limit();
        status = serve(s, &conf, audit, &helpers, signal_fd);
    }
    wg_conf_done(&conf);
    stop_helpers(&helpers);
    if (audit_stop(audit) < 0) {
        fprintf(stderr, "lattice gateway: records could not be written to %s\n", audit_config.path);
        status = EXIT_OWN_FAILURE;
    }
    return status;
}

int cmd_gateway(int argc, char **argv)
{
    struct setup s = {.name = "gateway", .ready_fd = -1};
    struct cli_parser parser;
    int option, status = 0;

    if (policy_new(POLICY_ENFORCE, &s.policy) < 0) {
        fprintf(stderr, "lattice gateway: out of memory\n");
        return EXIT_OWN_FAILURE;
    }
    cli_begin(&parser, &command, argc, argv);
    while (status == 0 && (option = cli_next(&parser)) >= 0)
        status = apply(&s, option, parser.value);
    if (status == 0 && option == CLI_STOP)
        status = parser.status;
    else if (status == 0 && parser.index < argc)
        status = cli_usage_error(&command, "unexpected argument: %s", argv[parser.index]);
    else if (status == 0 && s.wg_path == NULL && s.enroll.server.url == NULL)
        status = cli_usage_error(&command, "--wg FILE or --server-url URL is required");
    else if (status == 0) {
        log_setup("lattice gateway", s.verbose ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, s.json);
        status = start(&s);
    }
    policy_free(s.policy);
    return status;
}
