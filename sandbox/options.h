/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket options whose value is one number: which sockets have them, what they are at first, and
 * which values Linux takes. Pure.
 */
#ifndef SANDBOX_OPTIONS_H
#define SANDBOX_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/must.h"
#include "sandbox/vsock.h"

/* Newer than Debian 12's headers, or not named there for 64 bits. */
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SO_RCVTIMEO_NEW
#define SO_RCVTIMEO_NEW 66
#define SO_SNDTIMEO_NEW 67
#endif

#define OPTION_CONGESTION_BYTES 16 /* TCP_CA_NAME_MAX */

enum value_kind {
    VALUE_NUMBER,     /* min to max */
    VALUE_OR_DEFAULT, /* the same, and -1 asks for the default */
    VALUE_BOOL,       /* any number but 0 is kept as 1 */
    VALUE_IGNORED,    /* taken, and forgotten */
    VALUE_INTERFACE,  /* index of an interface in network order, or 0 */
};

#define OPTION_IS_FULL 16u /* among kinds: an empty value is not 0 */

struct option_row {
    int level;
    int name;
    unsigned kinds;
    int32_t initial;
    int32_t min;
    int32_t max;
    enum value_kind kind;
};

/** An option that is known and whose value is not kept (answers.def). */
struct option_answer {
    int level;
    int first; /* number, or range of numbers */
    int last;
    unsigned kinds;
    int get;       /* -errno, or how many zero bytes are read */
    int set_zero;  /* what setsockopt(2) says to the number 0 */
    int set_other; /* … and to any other */
};

/** option_answer() - NULL: none is prepared. */
const struct option_answer *option_answer(const struct vsock *v, int level, int name);
/** option_find() - The row of an option that @v has; NULL: it has not. */
const struct option_row *option_find(const struct vsock *v, int level, int name);
/** option_initial() - What it is as long as nobody has set it. */
int32_t option_initial(const struct vsock *v, const struct option_row *r);
/** option_keeps_inside() - Is the socket bound to lo (SO_BINDTODEVICE)? Then nothing else is
 * reached. */
bool option_keeps_inside(const struct vsock *v);
/** option_congestion() - The names that TCP_CONGESTION takes, by number, in as many bytes as are
 * read; NULL: there are no more. The first is the default. */
const char *option_congestion(int32_t number);
/** option_check() - Make @*value what Linux keeps of it. Errors: what setsockopt(2) says to it. */
int option_check(const struct vsock *v, const struct option_row *r, int32_t *value) MUST_USE;
/** option_level_is_known() - getsockopt(2) says EOPNOTSUPP where not, which is in IPv4 only. */
bool option_level_is_known(const struct vsock *v, int level);

#endif
