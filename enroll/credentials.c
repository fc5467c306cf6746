/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The credentials' files. Each is written beside and renamed, so a reader sees the old or the new
 * one, never a part; and none is used that others than its owner could read.
 */
#include "enroll/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/json_out.h"
#include "base/own.h"
#include "base/wipe.h"

#define FILE_NAME "sandbox-credentials.json"
#define LOCK_NAME "sandbox-credentials.lock"
#define AGENT_DIR "agent" /* what the agent itself may read lies apart from the rest */
#define TOKEN     AGENT_DIR "/token"
#define FILE_MAX  65536u

int enroll_config_dir(char *ret, size_t cap, struct why *why)
{
    const char *dir = getenv("LATTICE_CONFIG_DIR");
    const char *xdg = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int len;

    if (dir != NULL && dir[0] != '\0')
        len = snprintf(ret, cap, "%s", dir);
    else if (xdg != NULL && xdg[0] == '/')
        len = snprintf(ret, cap, "%s/lattice", xdg);
    else if (home != NULL && home[0] == '/')
        len = snprintf(ret, cap, "%s/.config/lattice", home);
    else
        return why_set(why, -ENOENT, "no place for credentials: set LATTICE_CONFIG_DIR or HOME");
    return len > 0 && (size_t)len < cap
               ? 0
               : why_set(why, -ENAMETOOLONG, "the credentials' path is too long");
}

/** FOLDER/NAME; "" when it does not fit, which no file has. */
static void join(const char *folder, const char *name, char *ret, size_t cap)
{
    if ((size_t)snprintf(ret, cap, "%s/%s", folder, name) >= cap)
        ret[0] = '\0';
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────
 */

static int judge_file(const char *path, struct why *why)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return errno == ENOENT ? -ENOENT : why_set(why, -errno, "%s: %s", path, strerror(errno));
    if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
        return why_set(why, -EACCES, "%s must be yours, and readable by nobody else (chmod 600)",
                       path);
    return 0;
}

static int copy(const struct json *v, char *ret, size_t cap)
{
    const char *text;

    if (v == NULL) {
        ret[0] = '\0';
        return 0;
    }
    if (json_read_str(v, &text) < 0 || strlen(text) >= cap)
        return -EINVAL;
    (void)snprintf(ret, cap, "%s", text);
    return 0;
}

static int read_members(const struct json *root, struct credentials *c)
{
    const char *key;

    if (json_read_str(json_get(root, "privateKey"), &key) < 0 ||
        c->keys->parse(bytes_of_str(key), c->private_key) < 0)
        return -EINVAL;
    c->has_key = true;
    if (copy(json_get(root, "agentName"), c->name, sizeof(c->name)) < 0 ||
        copy(json_get(root, "jwt"), c->jwt, sizeof(c->jwt)) < 0)
        return -EINVAL;
    return copy(json_get(root, "refreshToken"), c->refresh, sizeof(c->refresh));
}

/** Read the file of @c->folder. -ENOENT, without @why: there is none. */
static int load(struct credentials *c, struct why *why)
{
    const struct json_limits limits = {.bytes = FILE_MAX};
    char path[ENROLL_PATH_CAP + 32];
    struct json_doc *doc = NULL;
    struct buf text;
    int err;

    join(c->folder, FILE_NAME, path, sizeof(path));
    err = judge_file(path, why);
    if (err < 0)
        return err;
    buf_init(&text, FILE_MAX);
    err = io_read_file(path, &text, why);
    if (err == 0) {
        err = json_parse(buf_bytes(&text), &limits, &doc, why);
        if (err == 0 && read_members(json_root(doc), c) < 0)
            err = why_set(why, -EINVAL, "not a sandbox's credentials; remove it to enrol again");
        if (err < 0)
            why_at(why, path, 0, 0);
        json_free(doc);
    }
    if (text.data != NULL)
        wipe(text.data, text.cap);
    buf_done(&text);
    return err;
}

/** Take the lock of @c->folder. -EBUSY, without @why: somebody has it. */
static int lock(struct credentials *c, struct why *why)
{
    char path[ENROLL_PATH_CAP + 32];
    int err;

    join(c->folder, AGENT_DIR, path, sizeof(path));
    err = io_mkdirs(path);
    if (err < 0)
        return why_set(why, err, "cannot make %s: %s", path, strerror(-err));
    join(c->folder, LOCK_NAME, path, sizeof(path));
    c->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (c->lock_fd < 0)
        return why_set(why, -errno, "cannot open %s: %s", path, strerror(errno));
    if (flock(c->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    own_close(&c->lock_fd);
    return -EBUSY;
}

static void forget(struct credentials *c)
{
    own_close(&c->lock_fd);
    wipe(c->private_key, sizeof(c->private_key));
    c->has_key = false;
    c->name[0] = c->jwt[0] = c->refresh[0] = '\0';
}

static bool is_of(const struct credentials *c, const char *name)
{
    return !c->has_key || c->name[0] == '\0' || strcmp(c->name, name) == 0;
}

static int say_busy(const char *name, struct why *why)
{
    return why_set(why, -EBUSY, "a sandbox of agent \"%s\" runs with these credentials already",
                   name);
}

/** Lock and read one folder. Returns 1: it is another agent's; then nothing is held. */
static int open_folder(struct credentials *c, const char *name, struct why *why)
{
    int locked = lock(c, why);
    int err = locked == 0 || locked == -EBUSY ? load(c, why) : locked;

    if (err == -ENOENT)
        err = 0;
    if (err == 0 && !is_of(c, name))
        err = 1;
    else if (err == 0 && locked == -EBUSY)
        err = c->has_key ? say_busy(name, why) : 1; /* another one enrols there just now */
    if (err != 0)
        forget(c);
    return err;
}

int credentials_open(const char *dir, const char *name, const struct enroll_keys *keys,
                     struct credentials *ret, struct why *why)
{
    int err;

    *ret = (struct credentials){.keys = keys, .lock_fd = -1};
    if (strlen(dir) + strlen(name) + 64 > sizeof(ret->folder))
        return why_set(why, -ENAMETOOLONG, "the path of the credentials is too long");
    (void)snprintf(ret->folder, sizeof(ret->folder), "%s", dir);
    err = open_folder(ret, name, why);
    if (err == 1) {
        (void)snprintf(ret->folder, sizeof(ret->folder), "%s/sandboxes/%s", dir, name);
        err = open_folder(ret, name, why);
        if (err == 1)
            err = say_busy(name, why);
    }
    if (err == 0)
        (void)snprintf(ret->name, sizeof(ret->name), "%s", name);
    return err;
}

/* ── Writing ─────────────────────────────────────────────────────────────────────────────────────
 */

static int replace_file(const char *folder, const char *name, struct bytes text, struct why *why)
{
    char path[ENROLL_PATH_CAP + 32], fresh[ENROLL_PATH_CAP + 64];
    auto_fd fd = -1;
    int err = 0;

    join(folder, name, path, sizeof(path));
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path); /* the lock keeps others away */
    (void)unlink(fresh);
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return why_set(why, -errno, "cannot write %s: %s", fresh, strerror(errno));
    err = io_write_all(fd, text.data, text.len);
    if (err == 0 && fsync(fd) < 0)
        err = -errno;
    if (err == 0 && rename(fresh, path) < 0)
        err = -errno;
    if (err < 0)
        (void)unlink(fresh);
    return err < 0 ? why_set(why, err, "cannot write %s: %s", path, strerror(-err)) : 0;
}

void credentials_token_path(const struct credentials *c, char *ret, size_t cap)
{
    join(c->folder, TOKEN, ret, cap);
}

int credentials_save(const struct credentials *c, struct why *why)
{
    char key[ENROLL_KEY_TEXT_CAP];
    struct json_out j;
    struct buf text;
    int err;

    buf_init(&text, FILE_MAX);
    json_out_init(&j, &text);
    c->keys->print(c->private_key, key);
    json_open_object(&j);
    json_put_str(&j, "agentName", c->name);
    json_put_str(&j, "privateKey", key);
    json_put_str(&j, "jwt", c->jwt[0] != '\0' ? c->jwt : NULL);
    json_put_str(&j, "refreshToken", c->refresh[0] != '\0' ? c->refresh : NULL);
    json_close_object(&j);
    buf_add_char(&text, '\n');
    wipe(key, sizeof(key));
    err = buf_error(&text) < 0 ? why_set(why, -ENOMEM, "out of memory")
                               : replace_file(c->folder, FILE_NAME, buf_bytes(&text), why);
    if (text.data != NULL)
        wipe(text.data, text.cap);
    buf_done(&text);
    if (err == 0 && c->jwt[0] != '\0')
        err = replace_file(c->folder, TOKEN, bytes_of_str(c->jwt), why);
    return err;
}
