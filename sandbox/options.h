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

enum value_kind {
    VALUE_NUMBER,     /* min to max */
    VALUE_OR_DEFAULT, /* the same, and -1 asks for the default */
    VALUE_BOOL,       /* any number but 0 is kept as 1 */
    VALUE_IGNORED,    /* taken, and forgotten */
};

struct option_row {
    int level;
    int name;
    unsigned kinds;
    int32_t initial;
    int32_t min;
    int32_t max;
    enum value_kind kind;
};

/** option_find() - The row of an option that @v has; NULL: it has not. */
const struct option_row *option_find(const struct vsock *v, int level, int name);
/** option_check() - Make @*value what Linux keeps of it. Errors: what setsockopt(2) says to it. */
int option_check(const struct vsock *v, const struct option_row *r, int32_t *value) MUST_USE;
/** option_level_is_known() - getsockopt(2) says EOPNOTSUPP where not, which is in IPv4 only. */
bool option_level_is_known(const struct vsock *v, int level);

#endif
