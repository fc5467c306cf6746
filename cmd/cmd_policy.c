/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice policy`: check policy files, and say what a policy makes of one destination and why. It
 * asks the same policy_decide() as the sandbox; it opens no connection, and looks up a name (with
 * this machine's resolver) only when no address for it was given.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json_out.h"
#include "cmd/cli.h"
#include "cmd/commands.h"
#include "policy/policy.h"

#define ADDRESSES_MAX 16u

/** What is asked about. */
struct question {
    enum policy_proto proto;
    uint16_t port;
    char name[POLICY_HOSTNAME_MAX + 1]; /* "": an address was given */
    struct ip ips[ADDRESSES_MAX];
    unsigned ip_count;
    bool is_json;
};

static void print_why(const struct why *why)
{
    char text[WHY_TEXT_MAX + 160];

    why_print(why, text, sizeof(text));
    (void)fprintf(stderr, "lattice policy: %s\n", text);
}

/* --- check ------------------------------------------------------------------------------------ */

static int check_file(const char *path)
{
    enum policy_mode mode = POLICY_ENFORCE;
    struct policy *p = NULL;
    struct why why = {0};
    int err = policy_new(POLICY_ENFORCE, &p);

    if (err < 0)
        (void)why_set(&why, err, "out of memory");
    else
        err = policy_load(p, path, &mode, &why);
    if (err < 0)
        print_why(&why);
    else
        printf("%s: good: %u rules, mode %s%s\n", path, policy_rule_count(p),
               policy_mode_name(mode),
               policy_files(p)->mode == POLICY_FILES_WORKSPACE ? ", files workspace" : "");
    policy_free(p);
    return err < 0 ? CLI_EXIT_ERROR : CLI_EXIT_OK;
}

static int policy_check_command(int argc, char **argv)
{
    static const struct cli_command command = {
        .path = "lattice policy check",
        .synopsis = "FILE…",
        .summary = "Read policy files and say what is wrong with them, with line and column.",
        .more = "Exit status: 0 all are good, 1 some is not.",
        .usage_status = CLI_EXIT_USAGE,
    };
    struct cli_parser p;
    int status = CLI_EXIT_OK;

    cli_begin(&p, &command, argc, argv);
    if (cli_next(&p) == CLI_STOP)
        return p.status;
    if (p.index >= argc)
        return cli_usage_error(&command, "a file is missing");
    for (int i = p.index; i < argc; i++)
        if (check_file(argv[i]) != CLI_EXIT_OK)
            status = CLI_EXIT_ERROR;
    return status;
}

/* --- why -------------------------------------------------------------------------------------- */

/** HOST or [V6] or V4: an address goes to @q->ips, a name to @q->name. */
static int parse_host(struct bytes host, struct question *q)
{
    bool is_bracketed = host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
    struct ip ip;

    if (is_bracketed)
        host = bytes_of(host.data + 1, host.len - 2);
    if (ip_parse(host, &ip) < 0)
        return is_bracketed ? -EINVAL : hostname_canonical(host, q->name);
    if ((ip.family == IP_V6) != is_bracketed)
        return -EINVAL;
    q->ips[q->ip_count++] = ip;
    return 0;
}

/** `[tcp://|udp://|icmp://]HOST[:PORT]` or `unix:NAME`. */
static int parse_destination(const char *text, struct question *q)
{
    static const char *const schemes[] = {
        [POLICY_TCP] = "tcp://", [POLICY_UDP] = "udp://", [POLICY_ICMP] = "icmp://"};
    const char *colon;

    if (strncmp(text, "unix:", 5) == 0) {
        q->proto = POLICY_UNIX;
        return policy_unix_canonical(bytes_of_str(text + 5), q->name);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(schemes); i++) {
        size_t len = strlen(schemes[i]);

        if (strncmp(text, schemes[i], len) != 0)
            continue;
        q->proto = (enum policy_proto)i;
        text += len;
        break;
    }
    if (q->proto == POLICY_ICMP)
        return parse_host(bytes_of_str(text), q);
    colon = strrchr(text, ':');
    if (colon == NULL || port_parse(bytes_of_str(colon + 1), &q->port) < 0 || q->port == 0)
        return -EINVAL;
    return parse_host(bytes_of(text, (size_t)(colon - text)), q);
}

/** Fill in the addresses of a name for which none was given. */
static int resolve(struct question *q)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int err = getaddrinfo(q->name, NULL, &hints, &list);

    if (err != 0) {
        (void)fprintf(stderr, "lattice policy: %s: %s; give an address with --ip\n", q->name,
                      gai_strerror(err));
        return -ENOENT;
    }
    for (struct addrinfo *a = list; a != NULL && q->ip_count < ADDRESSES_MAX; a = a->ai_next) {
        struct endpoint e;

        if (endpoint_from_sockaddr(bytes_of(a->ai_addr, a->ai_addrlen), &e) == 0)
            q->ips[q->ip_count++] = e.ip;
    }
    freeaddrinfo(list);
    return 0;
}

static const char *reason_text(const struct policy_answer *a)
{
    switch (a->reason) {
    case POLICY_RULE:
        return a->would_deny ? "a deny rule covers it" : "an allow rule covers it";
    case POLICY_BUILTIN:
        return "it is on the built-in list; only a rule with this very address opens it";
    case POLICY_NAME_UNPINNED:
        return "no rule covers the address, and no name that rules allow has it";
    case POLICY_NO_RULE:
        return "nothing allows it";
    case POLICY_FAILED:
        break;
    }
    return "judging it failed";
}

static void print_json(const char *what, const struct policy_answer *a, const char *suggestion)
{
    struct json_out j;
    struct buf out;

    buf_init(&out, 8192);
    json_out_init(&j, &out);
    json_open_object(&j);
    json_put_str(&j, "destination", what);
    json_put_str(&j, "verdict", a->verdict == VERDICT_ALLOW ? "allow" : "deny");
    json_put_bool(&j, "wouldDeny", a->would_deny);
    json_put_str(&j, "reason", policy_reason_name(a->reason));
    json_put_str(&j, "rule", a->rule[0] != '\0' ? a->rule : NULL);
    json_put_str(&j, "name", a->name[0] != '\0' ? a->name : NULL);
    json_put_str(&j, "suggestion", suggestion[0] != '\0' ? suggestion : NULL);
    json_close_object(&j);
    printf("%s\n", buf_text(&out));
    buf_done(&out);
}

static void print_answer(const struct question *q, const char *what, const struct policy_answer *a,
                         const char *suggestion)
{
    bool is_allowed = a->verdict == VERDICT_ALLOW;

    if (q->is_json) {
        print_json(what, a, suggestion);
        return;
    }
    printf("%s: %s%s\n", is_allowed ? "allow" : "deny", what,
           is_allowed && a->would_deny ? " (audit mode: enforced, it would be denied)" : "");
    printf("  reason: %s: %s\n", policy_reason_name(a->reason), reason_text(a));
    if (a->rule[0] != '\0')
        printf("  rule: %s\n", a->rule);
    if (a->name[0] != '\0')
        printf("  name: %s\n", a->name);
    if (suggestion[0] != '\0')
        printf("  to allow it: %s\n", suggestion);
}

/** Judge each address; the exit status is that of the worst. */
static int judge_addresses(const struct policy *p, const struct question *q)
{
    struct policy_request req = {.proto = q->proto, .dst = {.port = q->port}};
    struct pins *pins = NULL;
    int status = CLI_EXIT_OK;

    if (pins_new(&pins) < 0)
        return CLI_EXIT_ERROR;
    req.pins = pins;
    for (unsigned i = 0; i < q->ip_count && status != CLI_EXIT_ERROR; i++) {
        char suggestion[POLICY_RULE_TEXT_MAX + 64];
        char to[ENDPOINT_TEXT_CAP];
        char what[ENDPOINT_TEXT_CAP + 8];
        struct policy_answer a;

        req.dst.ip = q->ips[i];
        if (q->name[0] != '\0')
            pins_add(pins, q->name, &req.dst.ip, UINT32_MAX, req.now);
        if (policy_decide(p, &req, &a) < 0)
            status = CLI_EXIT_ERROR;
        else if (a.verdict != VERDICT_ALLOW)
            status = CLI_EXIT_DENIED;
        (void)(q->proto == POLICY_ICMP ? ip_print(&req.dst.ip, to) : endpoint_print(&req.dst, to));
        (void)snprintf(what, sizeof(what), "%s %s", policy_proto_name(q->proto), to);
        policy_suggest(&req, &a, suggestion, sizeof(suggestion));
        print_answer(q, what, &a, suggestion);
    }
    pins_free(pins);
    return status;
}

/** May the name be looked up at all? Printed only when not: the addresses say the rest. */
static int judge_name(const struct policy *p, const struct question *q)
{
    char what[POLICY_HOSTNAME_MAX + 32];
    struct policy_answer a;

    if (policy_decide_name(p, bytes_of_str(q->name), &a) < 0)
        return CLI_EXIT_ERROR;
    if (a.verdict == VERDICT_ALLOW)
        return CLI_EXIT_OK;
    (void)snprintf(what, sizeof(what), "look-up of %s", q->name);
    print_answer(q, what, &a, "");
    return CLI_EXIT_DENIED;
}

static int judge_unix(const struct policy *p, const struct question *q)
{
    char suggestion[POLICY_RULE_TEXT_MAX + 64];
    char what[sizeof(q->name) + 8];
    struct policy_answer a;

    if (policy_decide_unix(p, q->name, &a) < 0)
        return CLI_EXIT_ERROR;
    (void)snprintf(what, sizeof(what), "unix %s", q->name);
    policy_suggest_unix(q->name, &a, suggestion, sizeof(suggestion));
    print_answer(q, what, &a, suggestion);
    return a.verdict == VERDICT_ALLOW ? CLI_EXIT_OK : CLI_EXIT_DENIED;
}

static int judge(const struct policy *p, struct question *q)
{
    int name_status = CLI_EXIT_OK;
    int status;

    if (q->proto == POLICY_UNIX)
        return judge_unix(p, q);
    if (q->name[0] != '\0' && q->ip_count == 0 && resolve(q) < 0)
        return CLI_EXIT_ERROR;
    if (q->name[0] != '\0')
        name_status = judge_name(p, q);
    status = judge_addresses(p, q);
    return status != CLI_EXIT_OK ? status : name_status;
}

static int take_option(struct policy *p, struct question *q, const char *name, const char *value)
{
    enum policy_mode mode = policy_get_mode(p);
    struct why why = {0};
    int err = 0;

    if (strcmp(name, "json") == 0)
        q->is_json = true;
    else if (strcmp(name, "policy") == 0)
        err = policy_load(p, value, &mode, &why);
    else if (strcmp(name, "allow") == 0)
        err = policy_add_rule(p, POLICY_RULE_ALLOW, bytes_of_str(value), &why);
    else if (strcmp(name, "deny") == 0)
        err = policy_add_rule(p, POLICY_RULE_DENY, bytes_of_str(value), &why);
    else if (q->ip_count == ADDRESSES_MAX)
        err = why_set(&why, -EINVAL, "more than %u addresses", ADDRESSES_MAX);
    else if (ip_parse(bytes_of_str(value), &q->ips[q->ip_count]) < 0)
        err = why_set(&why, -EINVAL, "--ip '%s': expected an IPv4 or IPv6 address", value);
    else
        q->ip_count++;
    policy_set_mode(p, mode);
    if (err < 0)
        print_why(&why);
    return err;
}

static int why_command(struct policy *policy, int argc, char **argv)
{
    static const struct cli_option options[] = {
        {"policy", "FILE", "the policy file to ask; may be given several times"},
        {"allow", "RULE", "a rule to add, as with `lattice sandbox start`"},
        {"deny", "RULE", "a rule to add"},
        {"ip", "ADDRESS", "the address that DNS gives to the destination's name"},
        {"json", NULL, "the answers as JSON, one object a line"},
    };
    static const struct cli_command command = {
        .path = "lattice policy why",
        .synopsis = "[OPTIONS] [PROTO://]HOST[:PORT]|unix:SOCKET",
        .summary = "Say what a policy makes of a destination, by which rule, and what would allow "
                   "it. A name is looked up here unless --ip gives its address.",
        .options = options,
        .option_count = ARRAY_COUNT(options),
        .more = "Exit status: 0 allowed, 3 denied, 1 the policy or the name cannot be read.",
        .usage_status = CLI_EXIT_USAGE,
    };
    struct question q = {0};
    struct cli_parser p;
    unsigned given;
    int option;

    cli_begin(&p, &command, argc, argv);
    while ((option = cli_next(&p)) >= 0)
        if (take_option(policy, &q, options[option].name, p.value) < 0)
            return CLI_EXIT_ERROR;
    if (option == CLI_STOP)
        return p.status;
    if (argc - p.index != 1)
        return cli_usage_error(&command, "expected one destination");
    given = q.ip_count;
    if (given == ADDRESSES_MAX || parse_destination(argv[p.index], &q) < 0)
        return cli_usage_error(&command,
                               "'%s' is not a destination: write HOST:443, 192.0.2.1:443, "
                               "[2001:db8::1]:443, udp://HOST:53 or icmp://HOST",
                               argv[p.index]);
    if (given > 0 && q.name[0] == '\0')
        return cli_usage_error(&command, "--ip is for a name; %s is an address", argv[p.index]);
    return judge(policy, &q);
}

static int policy_why_command(int argc, char **argv)
{
    struct policy *policy = NULL;
    int status;

    if (policy_new(POLICY_ENFORCE, &policy) < 0)
        return CLI_EXIT_ERROR;
    status = why_command(policy, argc, argv);
    policy_free(policy);
    return status;
}

/* --- lattice policy --------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} subcommands[] = {
    {"check", policy_check_command},
    {"why", policy_why_command},
};

static const char *subcommand_name(void *self, unsigned i)
{
    (void)self;
    return i < ARRAY_COUNT(subcommands) ? subcommands[i].name : NULL;
}

int cmd_policy(int argc, char **argv)
{
    static const struct cli_command command = {
        .path = "lattice policy",
        .synopsis = "check|why …",
        .summary = "Check policy files, and ask what a policy makes of a destination.",
        .more = "  lattice policy check FILE…          read files, say what is wrong\n"
                "  lattice policy why [OPTIONS] DEST   verdict, reason, rule, suggestion",
        .usage_status = CLI_EXIT_USAGE,
    };
    const char *near;
    struct cli_parser p;

    for (unsigned i = 0; argc > 1 && i < ARRAY_COUNT(subcommands); i++)
        if (strcmp(argv[1], subcommands[i].name) == 0)
            return subcommands[i].run(argc - 1, argv + 1);
    cli_begin(&p, &command, argc, argv);
    if (cli_next(&p) == CLI_STOP)
        return p.status;
    if (p.index >= argc)
        return cli_usage_error(&command, "expected check or why");
    near = cli_nearest(argv[p.index], subcommand_name, NULL);
    return cli_usage_error(&command, "'%s' is not one of check, why%s%s%s", argv[p.index],
                           near != NULL ? "; did you mean " : "", near != NULL ? near : "",
                           near != NULL ? "?" : "");
}
