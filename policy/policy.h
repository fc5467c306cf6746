/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of the policy room: text in, a verdict out. Pure: no clock is read, no descriptor
 * opened.
 *
 * A policy is an ordered set of allow and deny rules over destinations. Deny wins over allow; what
 * no rule allows is denied; an empty policy denies all. Destinations on the built-in list (metadata
 * services, link-local, the host's loopback, "this host" addresses, broadcast, multicast) are
 * denied in both modes unless a rule names that very address. A rule that names a host applies to
 * an address only while this sandbox's own DNS answers say that the name has that address (struct
 * pins).
 *
 * Lifecycle: policy_new → policy_add_rule / policy_load → policy_decide … → policy_free.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/must.h"
#include "base/nameset.h"
#include "base/why.h"

#define POLICY_RULES_MAX     100000u    /* rules of one policy */
#define POLICY_RULE_TEXT_MAX 320u       /* bytes of one rule's text, without NUL */
#define POLICY_FILE_MAX      (8u << 20) /* bytes of a policy file */
#define POLICY_PATHS_MAX     256u       /* paths of one kind that a policy names */
#define POLICY_PATH_MAX      1024u      /* bytes of one */
#define POLICY_HOSTNAME_MAX  253u       /* bytes of a name in text form, RFC 1035 2.3.4 */

enum verdict {
    VERDICT_DENY = 0, /* zeroed memory denies */
    VERDICT_ALLOW,
};

enum policy_mode {
    POLICY_ENFORCE = 0, /* a denied destination is refused */
    POLICY_AUDIT,       /* it is allowed, and recorded as one that would have been refused */
};

enum policy_proto {
    POLICY_TCP = 0,
    POLICY_UDP,
    POLICY_ICMP, /* echo; the port is 0 */
    POLICY_UNIX, /* an AF_UNIX socket of the host: policy_decide_unix() */
};

enum policy_action {
    POLICY_RULE_DENY = 0,
    POLICY_RULE_ALLOW,
};

/** Why a request got its verdict. The names (policy_reason_name) are stable: records carry them. */
enum policy_reason {
    POLICY_NO_RULE = 0, /* "no_rule": nothing allows it */
    POLICY_RULE,        /* "rule": the answer's rule decided */
    POLICY_BUILTIN, /* "builtin": the built-in deny list; only a rule naming the address helps */
    POLICY_NAME_UNPINNED, /* "name_unpinned": a name rule would fit the port, but no DNS answer of
                             this sandbox ties such a name to this address */
    POLICY_FAILED,        /* "policy_failed": deciding itself failed; denied */
};

/** What the program may do with files. */
enum policy_files_mode {
    POLICY_FILES_UNSAID = 0, /* as OPEN */
    POLICY_FILES_OPEN,       /* whatever its user may */
    POLICY_FILES_WORKSPACE,  /* read the system, write the working directory and temporary ones */
};

enum policy_files_access {
    POLICY_FILES_READ,  /* and execute */
    POLICY_FILES_WRITE, /* and read, make, rename, remove */
};

/** As it was written: `/…`, `~`, `~/…`, `.`, `./…`, `..`, `../…`. A path goes with all below it. */
struct policy_files {
    enum policy_files_mode mode;
    struct nameset read; /* what is opened besides, in WORKSPACE */
    struct nameset write;
};

struct policy;
struct pins;
struct json;

struct policy_request {
    enum policy_proto proto;
    struct endpoint dst;     /* IPv4-mapped addresses are unmapped inside */
    const struct pins *pins; /* borrowed; NULL: no name is known for any address */
    struct mono now;         /* judged against the pins' lifetimes */
};

struct policy_answer {
    enum verdict verdict; /* what the mode makes of it: in audit mode, ALLOW also when would_deny */
    bool would_deny;      /* the rules refuse it, whatever the mode */
    enum policy_reason reason;
    char rule[POLICY_RULE_TEXT_MAX + 8]; /* "allow api.github.com:443"; "" when no rule decided */
    char name[POLICY_HOSTNAME_MAX + 1];  /* the pinned name that the decision rests on, or the most
                                            recent name known for the address; "" none */
};

int policy_new(enum policy_mode mode, struct policy **ret) MUST_USE;
void policy_free(struct policy *p);
/** policy_swap() - The two change places, rules and modes: a new policy comes into force at once,
 * wherever @a is borrowed. */
void policy_swap(struct policy *a, struct policy *b);

/**
 * policy_add_rule() - Add one rule in text form: `[SCHEME://]HOST:PORTS`.
 * @text: borrowed. SCHEME is tcp (default), udp or icmp (icmp has no port). HOST is an IPv4 address
 * or prefix, an IPv6 address or prefix in brackets, a host name, `*.name` (one or more labels
 * before the name, never the name itself), or `*` (any). PORTS is N, N-M or `*`. Or for AF_UNIX
 * sockets of the host: `unix:/PATH`, `unix:@ABSTRACT`, each with `*` at the end for whatever
 * follows (behind a `/` in paths). Errors: -EINVAL not a rule, @why says column and what was
 * expected; -ENOSPC POLICY_RULES_MAX reached.
 */
int policy_add_rule(struct policy *p, enum policy_action action, struct bytes text,
                    struct why *why) MUST_USE;

/**
 * policy_load() - Add the rules of a policy file (JSON, apiVersion lattice.dev/v1, kind Policy).
 * @path:     for messages and reading; at most POLICY_FILE_MAX bytes.
 * @ret_mode: the file's spec.mode, or unchanged when it has none. May be NULL.
 * Errors: -errno of reading; -EINVAL with file, line and column in @why; @p is unchanged then.
 */
int policy_load(struct policy *p, const char *path, enum policy_mode *ret_mode,
                struct why *why) MUST_USE;
/** policy_parse() - As policy_load(), from memory; @file is the name for messages. */
int policy_parse(struct policy *p, const char *file, struct bytes json, enum policy_mode *ret_mode,
                 struct why *why) MUST_USE;

void policy_set_mode(struct policy *p, enum policy_mode mode);
enum policy_mode policy_get_mode(const struct policy *p);
/** policy_add_tool() - Allow a tool by its exact name. Errors: -EINVAL no tool's name; -ENOSPC. */
int policy_add_tool(struct policy *p, struct bytes name) MUST_USE;
/** policy_tools() - The tools that may be called, for those who judge calls. Borrowed. */
const struct nameset *policy_tools(const struct policy *p);
/** policy_files() - What the sandbox room is to make of files. Borrowed. */
const struct policy_files *policy_files(const struct policy *p);
void policy_set_files_mode(struct policy *p, enum policy_files_mode mode);
/** policy_parse_files() - Add what an object like a policy file's spec.files says (NULL: nothing).
 * @file: its name, for @why. Errors: -EINVAL with the place; @p may hold a part of it then. */
int policy_parse_files(struct policy *p, const char *file, const struct json *v,
                       struct why *why) MUST_USE;
/** policy_add_path() - Errors: -EINVAL no path as above, @why has the column; -ENOSPC. */
int policy_add_path(struct policy *p, enum policy_files_access access, struct bytes text,
                    struct why *why) MUST_USE;
unsigned policy_rule_count(const struct policy *p);
/** policy_rule_text() - The @i-th rule as "allow HOST:PORTS" or "deny …"; NULL beyond the last. */
const char *policy_rule_text(const struct policy *p, unsigned i);

/** policy_decide() - Judge one destination. Never fails open: returns 0 with an answer, or -errno
 * with *ret zeroed to a denial. */
int policy_decide(const struct policy *p, const struct policy_request *req,
                  struct policy_answer *ret) MUST_USE;

/**
 * policy_decide_name() - May this sandbox ask DNS for @name?
 *
 * Yes when some port of some protocol could be allowed for it: an allow rule names it, or covers
 * any host (`*`, 0.0.0.0/0, ::/0), with a port that no deny rule for the name or for `*` has. The
 * name of the answer is the canonical one. Errors: -EINVAL not a host name, *ret denies.
 */
int policy_decide_name(const struct policy *p, struct bytes name,
                       struct policy_answer *ret) MUST_USE;

/**
 * policy_decide_unix() - May this sandbox speak to the host's AF_UNIX socket @name?
 * @name: as policy_unix_print() spells it; a path is absolute, without links, `.` and `..`.
 * As destinations: deny wins, what nothing allows is denied, and the built-in list (name services,
 * which would answer past the sandbox's resolver) is denied in both modes without an exact rule.
 */
int policy_decide_unix(const struct policy *p, const char *name,
                       struct policy_answer *ret) MUST_USE;
/** policy_unix_print() - The one spelling of a socket's name in rules, requests and records.
 * @name: the bytes of sun_path; an abstract name begins with its NUL, which is printed as `@`.
 * Bytes that are not printable ASCII, blanks, `%`, `*` and `'` become %XX. Returns the length, or
 * -ENAMETOOLONG. */
int policy_unix_print(struct bytes name, char *ret, size_t cap) MUST_USE;
/** policy_unix_canonical() - That spelling of a name as a rule may have it, without `unix:`.
 * Errors: -EINVAL not one socket's name. */
int policy_unix_canonical(struct bytes text, char ret[static POLICY_HOSTNAME_MAX + 1]) MUST_USE;
/** policy_suggest_unix() - As policy_suggest(). */
void policy_suggest_unix(const char *name, const struct policy_answer *answer, char *ret,
                         size_t cap);

/** policy_suggest() - The option that would allow @req, e.g. `--allow 'example.org:443'`. For
 * people. */
void policy_suggest(const struct policy_request *req, const struct policy_answer *answer, char *ret,
                    size_t cap);

const char *policy_reason_name(enum policy_reason reason);
const char *policy_proto_name(enum policy_proto proto); /* "tcp", "udp", "icmp", "unix" */
const char *policy_mode_name(enum policy_mode mode);    /* "enforce", "audit" */

/**
 * hostname_canonical() - The one spelling in which names are compared: lower case, no trailing dot.
 * @text: borrowed bytes, letters, digits, '-', '_' and '.' only; labels of 1..63 bytes; not all
 * numeric in the last label (that would be an address). Errors: -EINVAL anything else (NUL, control
 * bytes, UTF-8, `%`, `@`, …), or too long. Source: RFC 1035 2.3.1 with '_' added (RFC 8552); RFC
 * 1123 2.1.
 */
int hostname_canonical(struct bytes text, char ret[static POLICY_HOSTNAME_MAX + 1]) MUST_USE;

/*
 * Pins: which names this sandbox's own DNS answers gave to which address, each until its time to
 * live is over. Bounded; when full, the pin that ends first makes room.
 */
#define PINS_MAX 8192u
#define PIN_TTL_MIN_S                                                                              \
    60u /* shorter answers live this long: programs keep addresses longer than TTLs */
#define PIN_TTL_MAX_S 86400u

int pins_new(struct pins **ret) MUST_USE;
void pins_free(struct pins *pins);
/** pins_add() - Record that @name (canonical) has @ip for @ttl_s seconds from @now; UINT32_MAX: for
 * ever (the hosts file). */
void pins_add(struct pins *pins, const char *name, const struct ip *ip, uint32_t ttl_s,
              struct mono now);
/** pins_find() - The @nth (0-based, most recent first) live name of @ip; NULL when there are no
 * more. */
const char *pins_find(const struct pins *pins, const struct ip *ip, unsigned nth, struct mono now);

#endif
