/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses the agent's variables. A variable of the table below is an address of a daemon of the
 * host: the daemon's socket is closed without a rule, so the address is of no use then, and a
 * program that does not find it goes on without (headless, without an agent of keys), while one
 * that finds it fails. Addresses that lead through the network stay: those are judged when they are
 * used. Nothing is hidden by this; what keeps the agent out is the judgement of the connection.
 */
#include "sandbox/environment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/own.h"

#define NAME_MAX_BYTES 128u

/** How a variable spells the socket. */
enum spelling {
    SPELL_PATH,    /* the whole value; @NAME is an abstract one */
    SPELL_PATH_TO, /* the path ends at the first `,` or `:` */
    SPELL_URL,     /* unix:PATH, unix:///PATH, unix:@NAME; other schemes are the network's */
    SPELL_DBUS,    /* addresses between `;`, each unix:path=… or unix:abstract=… */
    SPELL_PULSE,   /* as SPELL_URL, a machine's {id} in front, or a mere path */
    SPELL_RUNTIME, /* a path, relative to XDG_RUNTIME_DIR */
    SPELL_DISPLAY, /* :N, unix:N; HOST:N is the network's */
    SPELL_FRIEND,  /* goes with DISPLAY */
    SPELL_OTHER,   /* no socket that a rule could name (a FIFO, a number of a descriptor) */
};

struct door {
    const char *name;
    enum spelling spelling;
};

static const struct door doors[] = {
    {"SSH_AUTH_SOCK", SPELL_PATH},
    {"GPG_AGENT_INFO", SPELL_PATH_TO},
    {"DBUS_SESSION_BUS_ADDRESS", SPELL_DBUS},
    {"DBUS_SYSTEM_BUS_ADDRESS", SPELL_DBUS},
    {"DBUS_STARTER_ADDRESS", SPELL_DBUS},
    {"AT_SPI_BUS_ADDRESS", SPELL_DBUS},
    {"DOCKER_HOST", SPELL_URL},
    {"CONTAINER_HOST", SPELL_URL},
    {"BUILDKIT_HOST", SPELL_URL},
    {"CONTAINERD_ADDRESS", SPELL_PATH},
    {"DISPLAY", SPELL_DISPLAY},
    {"XAUTHORITY", SPELL_FRIEND},
    {"WAYLAND_DISPLAY", SPELL_RUNTIME},
    {"WAYLAND_SOCKET", SPELL_OTHER},
    {"PIPEWIRE_REMOTE", SPELL_RUNTIME},
    {"PULSE_SERVER", SPELL_PULSE},
    {"SESSION_MANAGER", SPELL_OTHER},
    {"GNOME_KEYRING_CONTROL", SPELL_OTHER},
    {"NOTIFY_SOCKET", SPELL_PATH},
    {"TMUX", SPELL_PATH_TO},
    {"STY", SPELL_OTHER},
    {"KITTY_LISTEN_ON", SPELL_URL},
    {"WEZTERM_UNIX_SOCKET", SPELL_PATH},
    {"SWAYSOCK", SPELL_PATH},
    {"I3SOCK", SPELL_PATH},
    {"NVIM", SPELL_PATH},
    {"NVIM_LISTEN_ADDRESS", SPELL_PATH},
    {"VSCODE_IPC_HOOK_CLI", SPELL_PATH},
    {"VSCODE_GIT_IPC_HANDLE", SPELL_PATH},
};

/** Operators' tokens: whoever has one commands latticed. Not even --env passes them. */
static const char *const secrets[] = {"LATTICE_AUTH_TOKEN"};

/** What --clear-env leaves, `…_` with whatever follows; the last are given by lattice itself. */
static const char *const base_set[] = {
    "HOME",
    "PATH",
    "TERM",
    "COLORTERM",
    "LANG",
    "LC_",
    "LANGUAGE",
    "TZ",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "PWD",
    "LATTICE_TOKEN_FILE",
    "LATTICE_SERVER_URL",
    "LATTICE_SANDBOX_NAME",
    "LATTICE_MCP_CONFIG",
};

static size_t name_len(const char *var)
{
    return strcspn(var, "=");
}

static bool is_named(const char *var, const char *name)
{
    size_t len = name_len(var);

    return strlen(name) == len && strncmp(var, name, len) == 0;
}

static const char *find(char *const *vars, const char *name)
{
    for (; *vars != NULL; vars++)
        if (is_named(*vars, name) && (*vars)[strlen(name)] == '=')
            return *vars;
    return NULL;
}

static const char *value_of(char *const *vars, const char *name)
{
    const char *var = find(vars, name);

    return var != NULL ? var + strlen(name) + 1 : "";
}

static bool is_secret(const char *var)
{
    for (unsigned i = 0; i < ARRAY_COUNT(secrets); i++)
        if (is_named(var, secrets[i]))
            return true;
    return false;
}

static bool is_base(const char *var)
{
    for (unsigned i = 0; i < ARRAY_COUNT(base_set); i++) {
        size_t len = strlen(base_set[i]);

        if (base_set[i][len - 1] == '_' ? strncmp(var, base_set[i], len) == 0
                                        : is_named(var, base_set[i]))
            return true;
    }
    return false;
}

/* The socket that is meant */

/** @name: an abstract one begins with NUL. */
static bool may_speak_to(const struct policy *p, struct bytes name)
{
    char text[POLICY_HOSTNAME_MAX + 1];
    struct policy_answer answer;

    return policy_unix_print(name, text, sizeof(text)) >= 0 &&
           policy_decide_unix(p, text, &answer) == 0 && answer.verdict == VERDICT_ALLOW;
}

static bool may_open(const struct policy *p, const char *path, size_t len)
{
    char text[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
    auto_free char *real = NULL;

    if (len == 0 || len >= sizeof(text))
        return false;
    memcpy(text, path, len);
    text[len] = '\0';
    if (text[0] == '@') {
        text[0] = '\0';
        return may_speak_to(p, bytes_of(text, len));
    }
    real = realpath(text, NULL); /* NULL: there is none, then its name alone counts */
    return text[0] == '/' && may_speak_to(p, bytes_of_str(real != NULL ? real : text));
}

static bool may_open_url(const struct policy *p, const char *value)
{
    if (strncmp(value, "unix:", 5) != 0)
        return strstr(value, "://") != NULL; /* tcp, ssh, http: the network's */
    value += 5;
    if (strncmp(value, "//", 2) == 0)
        value += 2;
    return may_open(p, value, strlen(value));
}

static bool may_open_bus(const struct policy *p, const char *value)
{
    for (; *value != '\0'; value += strcspn(value, ";"), value += *value == ';') {
        size_t end = strcspn(value, ",;");
        char name[128];

        if (strncmp(value, "unix:path=", 10) == 0 && may_open(p, value + 10, end - 10))
            return true;
        if (strncmp(value, "unix:abstract=", 14) != 0 || end - 14 >= sizeof(name) - 1)
            continue;
        name[0] = '@';
        memcpy(name + 1, value + 14, end - 14);
        if (may_open(p, name, end - 13))
            return true;
    }
    return false;
}

static bool may_open_display(const struct policy *p, const char *value)
{
    char path[64];

    if (strncmp(value, "unix:", 5) == 0)
        value += 4;
    if (value[0] != ':')
        return value[0] == '/' ? may_open(p, value, strlen(value)) : strchr(value, ':') != NULL;
    (void)snprintf(path, sizeof(path), "@/tmp/.X11-unix/X%.*s",
                   (int)strspn(value + 1, "0123456789"), value + 1);
    return may_open(p, path + 1, strlen(path + 1)) || may_open(p, path, strlen(path));
}

static bool may_use(const struct policy *p, char *const *outer, const struct door *d)
{
    const char *value = value_of(outer, d->name);
    char path[256];

    switch (d->spelling) {
    case SPELL_PATH:
        return may_open(p, value, strlen(value));
    case SPELL_PATH_TO:
        return may_open(p, value, strcspn(value, ",:"));
    case SPELL_URL:
        return may_open_url(p, value);
    case SPELL_DBUS:
        return may_open_bus(p, value);
    case SPELL_PULSE:
        if (value[0] == '{')
            value += strcspn(value, "}") + (strchr(value, '}') != NULL);
        return value[0] == '/' ? may_open(p, value, strlen(value))
                               : strncmp(value, "unix:", 5) != 0 || may_open_url(p, value);
    case SPELL_RUNTIME:
        (void)snprintf(path, sizeof(path), "%s/%s", value_of(outer, "XDG_RUNTIME_DIR"), value);
        return value[0] == '/' ? may_open(p, value, strlen(value))
                               : may_open(p, path, strlen(path));
    case SPELL_DISPLAY:
        return may_open_display(p, value);
    case SPELL_FRIEND:
        return may_open_display(p, value_of(outer, "DISPLAY"));
    case SPELL_OTHER:
        return false;
    }
    return false;
}

static bool leads_to_closed_door(const struct policy *p, char *const *outer, const char *var)
{
    for (unsigned i = 0; i < ARRAY_COUNT(doors); i++)
        if (is_named(var, doors[i].name))
            return !may_use(p, outer, &doors[i]);
    return false;
}

/* The choice */

static void note_withheld(struct environment *e, const char *var)
{
    size_t at = strlen(e->withheld);

    (void)snprintf(e->withheld + at, sizeof(e->withheld) - at, "%s%.*s", at > 0 ? " " : "",
                   (int)name_len(var), var);
}

/** Is @var said (again) by an entry of @named from @i on? */
static bool is_said(const struct sandbox_environment *named, unsigned i, const char *var)
{
    char name[NAME_MAX_BYTES + 1];
    size_t len = name_len(var);

    if (len >= sizeof(name))
        return false;
    memcpy(name, var, len);
    name[len] = '\0';
    for (; i < named->count; i++)
        if (is_named(named->named[i], name))
            return true;
    return false;
}

static int add_named(struct environment *e, char *const *outer,
                     const struct sandbox_environment *named, struct why *why)
{
    for (unsigned i = 0; i < named->count; i++) {
        const char *var = named->named[i];

        if (is_said(named, i + 1, var))
            continue; /* the last one counts */
        if (strchr(var, '=') == NULL && (var = find(outer, named->named[i])) == NULL)
            return why_set(why, -ENOENT, "--env %s: it is not set here; --env %s=VALUE sets it",
                           named->named[i], named->named[i]);
        e->vars[e->count++] = (char *)(uintptr_t)var;
    }
    return 0;
}

/** Is a variable of @var's name in @vars? */
static bool is_among(char *const *vars, const char *var)
{
    size_t len = name_len(var);

    for (; *vars != NULL; vars++)
        if (name_len(*vars) == len && strncmp(*vars, var, len) == 0)
            return true;
    return false;
}

static size_t count_of(char *const *vars)
{
    size_t count = 0;

    while (vars[count] != NULL)
        count++;
    return count;
}

int environment_make(char *const *outer, char *const *given,
                     const struct sandbox_environment *named, const struct policy *p,
                     struct environment *ret, struct why *why)
{
    struct environment e = {0};
    size_t all = count_of(outer);
    int err;

    e.vars = calloc(all + count_of(given) + named->count + 1, sizeof(*e.vars));
    if (e.vars == NULL)
        return why_set(why, -ENOMEM, "out of memory");
    for (; *given != NULL; given++)
        if (!is_said(named, 0, *given))
            e.vars[e.count++] = *given;
    for (size_t i = 0; i < all; i++) {
        if (is_among(e.vars, outer[i]) || is_said(named, 0, outer[i]) ||
            (named->is_cleared && !is_base(outer[i])))
            continue;
        if (is_secret(outer[i]) || leads_to_closed_door(p, outer, outer[i]))
            note_withheld(&e, outer[i]);
        else
            e.vars[e.count++] = outer[i];
    }
    err = add_named(&e, outer, named, why);
    if (err < 0) {
        environment_done(&e);
        return err;
    }
    *ret = e;
    return 0;
}

void environment_done(struct environment *e)
{
    free(e->vars);
    *e = (struct environment){0};
}

int sandbox_env_check(const char *text, struct why *why)
{
    size_t len = name_len(text);

    if (len == 0 || len > NAME_MAX_BYTES)
        return why_set(why, -EINVAL, "'%s': NAME or NAME=VALUE, expected", text);
    if (is_secret(text))
        return why_set(why, -EPERM, "%.*s would let the program command latticed: never given",
                       (int)len, text);
    return 0;
}
