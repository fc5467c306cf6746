/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lattice-mcp wrap FILE`: rewrite a client's configuration. The new text is written beside the
 * file and renamed over it, so that a client sees the old file or the new one; a symbolic link
 * stays one, and what it leads to is rewritten. The file as it was is kept. Nothing is written when
 * nothing changes, or when the file changed meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "cmd/cli.h"
#include "cmd/mcp_commands.h"
#include "mcp/mcp.h"

#define REAL_CAP    2048u /* longer paths are refused */
#define PATH_CAP    (REAL_CAP + 64)
#define BACKUPS_MAX 99u

enum { OPT_DRY_RUN, OPT_ONLY };

static const struct cli_option options[] = {
    [OPT_DRY_RUN] = {"dry-run", NULL, "Print the new file; write nothing."},
    [OPT_ONLY] = {"server", "NAME", "Only this server (default: all)."},
};

static const struct cli_command wrap_command = {
    .path = "lattice-mcp wrap",
    .synopsis = "[OPTIONS] FILE [-- GATEWAY OPTIONS…]",
    .summary =
        "Rewrite the \"mcpServers\" of a client's configuration so that each stdio server runs "
        "behind\n'lattice-mcp gateway'. Without gateway options each gets --audit: everything is "
        "recorded,\nnothing refused.",
    .options = options,
    .option_count = ARRAY_COUNT(options),
    .more = "The file as it was is kept as FILE.lattice-backup. Running it again changes nothing.\n"
            "\n"
            "Example:\n"
            "  lattice-mcp wrap ~/.cursor/mcp.json -- --allow-tool read_file --offline",
    .usage_status = CLI_EXIT_USAGE,
};

static const struct cli_command unwrap_command = {
    .path = "lattice-mcp unwrap",
    .synopsis = "[--dry-run] FILE",
    .summary = "Undo 'lattice-mcp wrap': each server runs as it did before.",
    .options = options,
    .option_count = 1,
    .usage_status = CLI_EXIT_USAGE,
};

struct job {
    const char *file;
    bool is_dry;
    const struct mcp_wrap_options *wrap; /* NULL: unwrap */
    char real[REAL_CAP];                 /* what @file leads to */
    struct stat was;
};

static int fail(const char *path, const char *what, int err)
{
    (void)fprintf(stderr, "lattice-mcp: %s: %s: %s\n", path, what, strerror(err < 0 ? -err : err));
    return CLI_EXIT_ERROR;
}

/** Write @text to a new file @path with the old one's mode and owner. Returns 0 or -errno. */
static int write_new(const struct job *job, const char *path, struct bytes text)
{
    auto_fd fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int err;

    if (fd < 0)
        return -errno;
    err = io_write_all(fd, text.data, text.len);
    if (err == 0 && job->was.st_uid != geteuid() &&
        fchown(fd, job->was.st_uid, job->was.st_gid) < 0)
        err = -errno;
    if (err == 0 && (fchmod(fd, job->was.st_mode & 0777) < 0 || fsync(fd) < 0))
        err = -errno;
    if (err < 0)
        (void)unlink(path);
    return err;
}

/** Keep the file as it was, under the first free name. */
static int keep_backup(const struct job *job, struct bytes text, char ret[static PATH_CAP])
{
    int err = -EEXIST;

    (void)snprintf(ret, PATH_CAP, "%s.lattice-backup", job->real);
    for (unsigned i = 2; i <= BACKUPS_MAX + 1; i++) {
        err = write_new(job, ret, text);
        if (err != -EEXIST)
            break;
        (void)snprintf(ret, PATH_CAP, "%s.lattice-backup-%u", job->real, i);
    }
    return err;
}

static bool is_unchanged(const struct job *job)
{
    struct stat now;

    return stat(job->real, &now) == 0 && now.st_ino == job->was.st_ino &&
           now.st_dev == job->was.st_dev && now.st_size == job->was.st_size &&
           now.st_mtim.tv_sec == job->was.st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == job->was.st_mtim.tv_nsec;
}

static int replace(const struct job *job, struct bytes old_text, struct bytes new_text,
                   unsigned changed)
{
    char temporary[PATH_CAP], backup[PATH_CAP];
    int err = keep_backup(job, old_text, backup);

    if (err < 0)
        return fail(job->file, "the file as it was cannot be kept", err);
    (void)snprintf(temporary, sizeof(temporary), "%s.lattice-new-%d", job->real, (int)getpid());
    err = write_new(job, temporary, new_text);
    if (err == 0 && !is_unchanged(job))
        err = -EBUSY;
    if (err == 0 && rename(temporary, job->real) < 0)
        err = -errno;
    if (err < 0) {
        (void)unlink(temporary);
        (void)unlink(backup);
        return fail(job->file,
                    err == -EBUSY ? "it changed meanwhile; nothing was written"
                                  : "it cannot be written",
                    err);
    }
    (void)fprintf(stderr, "lattice-mcp: %s %u server%s in %s; as it was: %s\n",
                  job->wrap != NULL ? "wrapped" : "unwrapped", changed, changed == 1 ? "" : "s",
                  job->file, backup);
    return CLI_EXIT_OK;
}

static int rewrite(const struct job *job, struct buf *old_text, struct buf *new_text)
{
    struct why why = {.text = ""};
    char text[WHY_TEXT_MAX + 200];
    unsigned changed;
    int err = io_read_file(job->real, old_text, &why);

    if (err == 0)
        err = mcp_wrap(buf_bytes(old_text), job->wrap, new_text, &changed, &why);
    if (err < 0) {
        if (why.file[0] == '\0')
            why_at(&why, job->file, why.line, why.column);
        why_print(&why, text, sizeof(text));
        (void)fprintf(stderr, "lattice-mcp: %s\n", why.text[0] != '\0' ? text : strerror(-err));
        return CLI_EXIT_ERROR;
    }
    if (job->is_dry) {
        err = io_write_all(STDOUT_FILENO, new_text->data, new_text->len);
        return err < 0 ? fail("standard output", "cannot be written", err) : CLI_EXIT_OK;
    }
    if (changed == 0) {
        (void)fprintf(stderr, "lattice-mcp: nothing to change in %s\n", job->file);
        return CLI_EXIT_OK;
    }
    return replace(job, buf_bytes(old_text), buf_bytes(new_text), changed);
}

static int run(struct job *job)
{
    struct buf old_text, new_text;
    int status;

    auto_free char *real = realpath(job->file, NULL);

    if (real == NULL || stat(real, &job->was) < 0)
        return fail(job->file, "cannot be found", errno);
    if (strlen(real) >= sizeof(job->real))
        return fail(job->file, "cannot be rewritten", ENAMETOOLONG);
    memcpy(job->real, real, strlen(real) + 1);
    if (!S_ISREG(job->was.st_mode))
        return fail(job->file, "is no file", EINVAL);
    buf_init(&old_text, MCP_CONFIG_MAX);
    buf_init(&new_text, 2 * MCP_CONFIG_MAX);
    status = rewrite(job, &old_text, &new_text);
    buf_done(&old_text);
    buf_done(&new_text);
    return status;
}

/** Options and FILE in either order. Returns -1, or the exit status. @ret_rest: what stands behind
 * `--`. */
static int parse(const struct cli_command *command, struct job *job, int argc, char **argv,
                 const char **ret_only, int *ret_rest)
{
    struct cli_parser p;
    int lead = argc > 1 && argv[1][0] != '-' ? 1 : 0;
    int option;

    if (lead == 1)
        job->file = argv[1];
    cli_begin(&p, command, argc - lead, argv + lead);
    while ((option = cli_next(&p)) >= 0) {
        if (option == OPT_DRY_RUN)
            job->is_dry = true;
        else
            *ret_only = p.value;
    }
    if (option == CLI_STOP)
        return p.status;
    p.index += lead;
    if (job->file == NULL && p.index < argc && !p.saw_dashes)
        job->file = argv[p.index++];
    if (!p.saw_dashes && p.index < argc && strcmp(argv[p.index], "--") == 0) {
        p.saw_dashes = true;
        p.index++;
    }
    if (job->file == NULL)
        return cli_usage_error(command, "say which file");
    if (p.index < argc && !p.saw_dashes)
        return cli_usage_error(command, "unexpected word \"%s\"", argv[p.index]);
    *ret_rest = p.index;
    return -1;
}

int mcp_wrap_command(int argc, char **argv)
{
    static const char *const audit[] = {"--audit"};
    struct mcp_wrap_options wrap = {.words = audit, .word_count = 1};
    struct job job = {.wrap = &wrap};
    char program[REAL_CAP];
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
    int rest = argc;
    int status = parse(&wrap_command, &job, argc, argv, &wrap.only, &rest);

    if (status >= 0)
        return status;
    if (len < 0)
        return fail("/proc/self/exe", "cannot be read", errno);
    program[len] = '\0';
    wrap.program = program;
    if (rest < argc) {
        wrap.words = (const char *const *)(uintptr_t)(argv + rest);
        wrap.word_count = (unsigned)(argc - rest);
    }
    for (unsigned i = 0; i < wrap.word_count; i++)
        if (strcmp(wrap.words[i], "--") == 0 || strcmp(wrap.words[i], "--name") == 0)
            return cli_usage_error(&wrap_command, "\"%s\" is not for you to give", wrap.words[i]);
    return run(&job);
}

int mcp_unwrap_command(int argc, char **argv)
{
    struct job job = {.wrap = NULL};
    const char *only = NULL;
    int rest = argc;
    int status = parse(&unwrap_command, &job, argc, argv, &only, &rest);

    if (status >= 0)
        return status;
    if (rest < argc)
        return cli_usage_error(&unwrap_command, "unexpected word \"%s\"", argv[rest]);
    return run(&job);
}
