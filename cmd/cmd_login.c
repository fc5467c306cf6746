/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice login`: remembers latticed's address and a token. Tokens never stand on a command line:
 * they come from a file that is named, from the environment or from standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/own.h"
#include "base/wipe.h"
#include "cmd/cli.h"
#include "cmd/commands.h"
#include "cmd/session.h"

static const struct cli_option login_options[] = {SHARED_OPTIONS};
static const struct cli_command login_command = {
    .path = "lattice login",
    .synopsis = "--server-url URL [--token-file FILE]",
    .summary = "Check a token and remember it, with latticed's address, for the other commands.",
    .options = login_options,
    .option_count = ARRAY_COUNT(login_options),
    .more =
        "The token is read from --token-file, $LATTICE_AUTH_TOKEN or standard input, and kept in\n"
        "$LATTICE_CONFIG_DIR/lattice.yaml (~/.lattice/lattice.yaml), mode 0600.\n"
        "\n"
        "Example:\n"
        "  lattice login --server-url http://127.0.0.1:8080 --token-file DIR/admin-token",
    .usage_status = CLI_EXIT_USAGE,
};

/** Write beside, then rename: a reader sees the old file or the new one. */
static int save_login(struct session *s, char *ret_path, size_t cap, struct why *why)
{
    char temporary[SESSION_SETTING_CAP + 32];
    char dir[SESSION_SETTING_CAP - 64];
    struct buf text;
    int err = session_config_dir(dir, sizeof(dir), why);

    if (err < 0 || (err = io_mkdirs(dir)) < 0)
        return err == 0
                   ? 0
                   : why_set(why, err, "cannot create the settings' directory: %s", strerror(-err));
    (void)snprintf(ret_path, cap, "%s/lattice.yaml", dir);
    (void)snprintf(temporary, sizeof(temporary), "%s/.lattice.yaml.%d", dir, (int)getpid());
    auto_fd fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return why_set(why, -errno, "cannot write %s: %s", temporary, strerror(errno));
    buf_init(&text, SESSION_TOKEN_CAP + SESSION_SETTING_CAP + 64);
    buf_printf(&text, "server-url: %s\nauth-token: %s\n", s->url, buf_text(&s->token));
    err = io_write_all(fd, text.data, text.len);
    wipe(text.data, text.cap);
    buf_done(&text);
    if (err == 0 && (fsync(fd) < 0 || rename(temporary, ret_path) < 0))
        err = -errno;
    if (err < 0) {
        (void)unlink(temporary);
        (void)why_set(why, err, "cannot write %s: %s", ret_path, strerror(-err));
    }
    return err;
}

static int login(struct session *s)
{
    struct why why = {.text = ""};
    char path[SESSION_SETTING_CAP] = "";
    struct json_doc *doc;
    int status = session_call(s, "GET", ISO "/agents?limit=1", NULL, &doc);

    if (status != 0)
        return status;
    json_free(doc);
    if (save_login(s, path, sizeof(path), &why) < 0)
        return session_fail(&why);
    (void)fprintf(stderr, "lattice: logged in to %s; kept in %s\n", s->url, path);
    return CLI_EXIT_OK;
}

int cmd_login(int argc, char **argv)
{
    struct cli_parser p;
    struct session s;
    int option;
    int status;

    session_init(&s);
    cli_begin(&p, &login_command, argc, argv);
    while ((option = cli_next(&p)) >= 0)
        (void)session_take(&s, &p, option);
    if (option == CLI_STOP)
        return session_done(&s, p.status);
    if (p.index < argc)
        return cli_usage_error(&login_command, "unexpected word \"%s\"", argv[p.index]);
    if (s.token_file == NULL && getenv("LATTICE_AUTH_TOKEN") == NULL)
        s.token_file = "-";
    status = session_open(&s, NULL);
    return session_done(&s, status != 0 ? status : login(&s));
}
