/* SPDX-License-Identifier: Apache-2.0 */
/*
 * latticed, the control plane: options, the auditor (forked before anything secret is read), the
 * loop, the REST API. Plain HTTP is served on loopback only, unless the user insists.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "cmd/cli.h"
#include "control/control.h"

#define PEM_FILE_MAX 65536u

enum {
    OPT_DATA,
    OPT_LISTEN,
    OPT_TLS_CERT,
    OPT_TLS_KEY,
    OPT_INSECURE,
    OPT_AUDIENCE,
    OPT_NATS,
    OPT_NATS_CREDS,
    OPT_NO_NATS,
    OPT_READY_FD,
    OPT_VERBOSE,
};

static const struct cli_option options[] = {
    [OPT_DATA] = {"data", "DIR",
                  "Directory for the database, keys and tokens; created with mode 0700"},
    [OPT_LISTEN] = {"listen", "ADDR:PORT",
                    "Where to serve the REST API (127.0.0.1:8443 with TLS, :8080 without)"},
    [OPT_TLS_CERT] = {"tls-cert", "FILE", "Certificate chain, PEM"},
    [OPT_TLS_KEY] = {"tls-key", "FILE", "Its private key, PEM"},
    [OPT_INSECURE] = {"insecure-http", NULL,
                      "Serve plain HTTP also on other addresses than loopback"},
    [OPT_AUDIENCE] = {"audience", "NAME", "Audience of the tokens (lattice)"},
    [OPT_NATS] = {"nats", "URL", "Use this NATS server, with JetStream, instead of starting one"},
    [OPT_NATS_CREDS] = {"nats-creds", "FILE", "Credentials for it (JWT and seed)"},
    [OPT_NO_NATS] = {"no-nats", NULL,
                     "Go without NATS: only latticed's own records can be queried"},
    [OPT_READY_FD] = {"ready-fd", "N", "Write the port and a newline to descriptor N when ready"},
    [OPT_VERBOSE] = {"verbose", NULL, "Say more"},
};

static const struct cli_command command = {
    .path = "latticed",
    .synopsis = "--data DIR [OPTIONS]",
    .summary = "The control plane: identities of agents, their tokens, delegation, revocation.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .more = "Files in DIR: lattice.db, signing-key.pem, admin-token, gateway-token, audit.jsonl.\n"
            "\n"
            "Example:\n"
            "  latticed --data ~/.local/state/latticed",
    .usage_status = CLI_EXIT_USAGE,
};

struct settings {
    const char *data;
    const char *listen;
    const char *tls_cert;
    const char *tls_key;
    const char *audience;
    const char *nats;
    const char *nats_creds;
    bool no_nats;
    bool insecure;
    bool verbose;
    int ready_fd;
};

struct daemon {
    struct loop *loop;
    struct loop_watch signals;
    struct audit *audit;
    struct loop_watch auditor;
    struct control_nats *nats;         /* our own server; NULL: none */
    struct audit_stream named;         /* the one that --nats names */
    const struct audit_stream *stream; /* either; NULL: no NATS */
    struct control *control;
    struct buf cert, key;
    char audit_log[1024];
    int status;
};

static int parse(int argc, char **argv, struct settings *s, int *ret_status)
{
    struct cli_parser p;
    int option;

    cli_begin(&p, &command, argc, argv);
    while ((option = cli_next(&p)) >= 0) {
        uint16_t fd;

        switch (option) {
        case OPT_DATA:
            s->data = p.value;
            break;
        case OPT_LISTEN:
            s->listen = p.value;
            break;
        case OPT_TLS_CERT:
            s->tls_cert = p.value;
            break;
        case OPT_TLS_KEY:
            s->tls_key = p.value;
            break;
        case OPT_INSECURE:
            s->insecure = true;
            break;
        case OPT_AUDIENCE:
            s->audience = p.value;
            break;
        case OPT_NATS:
            s->nats = p.value;
            break;
        case OPT_NATS_CREDS:
            s->nats_creds = p.value;
            break;
        case OPT_NO_NATS:
            s->no_nats = true;
            break;
        case OPT_READY_FD:
            if (port_parse(bytes_of_str(p.value), &fd) < 0) {
                *ret_status =
                    cli_usage_error(&command, "--ready-fd takes a number, not \"%s\"", p.value);
                return -EINVAL;
            }
            s->ready_fd = fd;
            break;
        default:
            s->verbose = true;
            break;
        }
    }
    *ret_status = p.status;
    if (option == CLI_STOP)
        return -EINVAL;
    if (p.index < argc)
        *ret_status = cli_usage_error(&command, "unexpected word \"%s\"", argv[p.index]);
    else if (s->data == NULL)
        *ret_status = cli_usage_error(&command, "--data DIR is missing");
    else if ((s->tls_cert == NULL) != (s->tls_key == NULL))
        *ret_status = cli_usage_error(&command, "--tls-cert and --tls-key belong together");
    else
        return 0;
    return -EINVAL;
}

static int fail(const struct why *why)
{
    char text[WHY_TEXT_MAX + 160];

    why_print(why, text, sizeof(text));
    (void)fprintf(stderr, "latticed: %s\n", text);
    return CLI_EXIT_ERROR;
}

static void on_signal(void *self, uint32_t events)
{
    struct daemon *d = self;
    struct signalfd_siginfo info;

    (void)events;
    (void)!io_read(d->signals.fd, &info, sizeof(info));
    loop_stop(d->loop);
}

/** Without its auditor nothing may go on: what cannot be remembered is not done. */
static void on_auditor(void *self, uint32_t events)
{
    struct daemon *d = self;

    (void)events;
    (void)fprintf(stderr, "latticed: the auditor has ended; stopping\n");
    d->status = CLI_EXIT_ERROR;
    loop_stop(d->loop);
}

static int watch_signals(struct daemon *d, struct why *why)
{
    sigset_t set;
    int fd;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN); /* a client that goes away is an error code, not an end */
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return why_set(why, -errno, "signalfd: %s", strerror(errno));
    d->signals = (struct loop_watch){.fd = fd, .ready = on_signal, .self = d};
    return loop_watch(d->loop, &d->signals, EPOLLIN);
}

static int choose_address(const struct settings *s, struct endpoint *ret, struct why *why)
{
    const char *text = s->listen != NULL     ? s->listen
                       : s->tls_cert != NULL ? "127.0.0.1:8443"
                                             : "127.0.0.1:8080";
    size_t len = strlen(text);

    /* endpoint_parse() refuses port 0, which here means: any free one */
    if (len > 2 && strcmp(text + len - 2, ":0") == 0 &&
        ip_parse(bytes_of(text, len - 2), &ret->ip) == 0)
        ret->port = 0;
    else if (endpoint_parse(bytes_of_str(text), ret) < 0)
        return why_set(why, -EINVAL, "--listen takes ADDRESS:PORT, not \"%s\"", text);
    if (s->tls_cert == NULL && !s->insecure && !ip_is_loopback(&ret->ip))
        return why_set(why, -EINVAL,
                       "plain HTTP on %s would show tokens to the network; give --tls-cert and "
                       "--tls-key, or insist with --insecure-http",
                       text);
    return 0;
}

static int make_data_dir(const char *path, struct why *why)
{
    struct stat st;
    int err = io_mkdirs(path);

    if (err < 0)
        return why_set(why, err, "cannot create %s: %s", path, strerror(-err));
    if (stat(path, &st) < 0)
        return why_set(why, -errno, "cannot look at %s: %s", path, strerror(errno));
    if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
        return why_set(why, -EACCES,
                       "%s must belong to the user who runs this, and nobody else may write there",
                       path);
    return 0;
}

static int start_audit(struct daemon *d, const char *data, struct why *why)
{
    struct audit_config config = {
        .path = d->audit_log, .identity = "latticed", .stream = d->stream};
    int err;

    if (snprintf(d->audit_log, sizeof(d->audit_log), "%s/audit.jsonl", data) >=
        (int)sizeof(d->audit_log))
        return why_set(why, -ENAMETOOLONG, "the data directory's name is too long");
    err = audit_start(&config, &d->audit, why);
    if (err < 0)
        return err;
    err = audit_emit(d->audit, &(struct audit_record){
                                   .kind = AUDIT_START, .mode = "enforce", .duration_ns = -1});
    if (err < 0)
        return why_set(why, err, "cannot write %s: %s", d->audit_log, strerror(-err));
    d->auditor = (struct loop_watch){.fd = audit_fd(d->audit), .ready = on_auditor, .self = d};
    return loop_watch(d->loop, &d->auditor, EPOLLIN);
}

/** Before the auditor is forked: it publishes there. */
static int start_nats(struct daemon *d, const struct settings *s, struct why *why)
{
    int err;

    if (s->no_nats)
        return 0;
    if (s->nats != NULL) {
        d->named =
            (struct audit_stream){.url = s->nats, .creds_file = s->nats_creds, .make_stream = true};
        d->stream = &d->named;
        return 0;
    }
    err = control_nats_start(d->loop, s->data, &d->nats, why);
    if (err == 0)
        d->stream = control_nats_stream(d->nats);
    return err;
}

static int start(struct daemon *d, const struct settings *s, struct why *why)
{
    struct control_config config = {.audience = s->audience, .audit_log = d->audit_log};
    int err;

    if ((err = choose_address(s, &config.listen, why)) < 0 ||
        (err = make_data_dir(s->data, why)) < 0 || (err = start_nats(d, s, why)) < 0 ||
        (err = start_audit(d, s->data, why)) < 0 || (err = watch_signals(d, why)) < 0)
        return err;
    if (s->tls_cert != NULL) {
        if ((err = io_read_file(s->tls_cert, &d->cert, why)) < 0 ||
            (err = io_read_file(s->tls_key, &d->key, why)) < 0)
            return err;
        config.tls_cert = buf_text(&d->cert);
        config.tls_key = buf_text(&d->key);
    }
    config.loop = d->loop;
    config.data_dir = s->data;
    config.audit = d->audit;
    config.stream = d->stream;
    config.nats = d->nats;
    return control_new(&config, &d->control, why);
}

static void say_ready(const struct daemon *d, const struct settings *s)
{
    char line[16];
    int len = snprintf(line, sizeof(line), "%u\n", control_port(d->control));

    (void)fprintf(stderr, "latticed: serving on port %u; the administrator's token is in %s\n",
                  control_port(d->control), control_admin_token_path(d->control));
    if (s->ready_fd >= 0 && len > 0)
        (void)!io_write_all(s->ready_fd, line, (size_t)len); /* who waited is gone: no matter */
}

static void stop(struct daemon *d)
{
    control_free(d->control);
    if (d->loop != NULL) {
        loop_unwatch(d->loop, &d->signals);
        loop_unwatch(d->loop, &d->auditor);
    }
    if (audit_stop(d->audit) < 0)
        d->status = CLI_EXIT_ERROR;
    control_nats_free(d->nats); /* after the auditor, which still had something to say */
    if (d->signals.fd > 0)
        (void)close(d->signals.fd);
    loop_free(d->loop);
    buf_done(&d->cert);
    buf_done(&d->key);
}

int main(int argc, char **argv)
{
    struct settings s = {.ready_fd = -1};
    struct daemon d = {.status = CLI_EXIT_OK};
    struct why why = {.text = ""};
    int status;

    if (parse(argc, argv, &s, &status) < 0)
        return status;
    (void)umask(077); /* whatever is created is the owner's alone */
    log_setup("latticed", s.verbose ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, /*json=*/false);
    buf_init(&d.cert, PEM_FILE_MAX);
    buf_init(&d.key, PEM_FILE_MAX);
    if (loop_new(&d.loop) < 0)
        (void)why_set(&why, -ENOMEM, "no event loop");
    else if (start(&d, &s, &why) == 0) {
        say_ready(&d, &s);
        if (loop_run(d.loop) < 0)
            d.status = CLI_EXIT_ERROR;
    }
    if (why.text[0] != '\0')
        d.status = fail(&why);
    stop(&d);
    return d.status;
}
