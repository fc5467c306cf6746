/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of allowed system calls (syscalls.def) as a classic BPF program: a binary search over
 * ranges of numbers that have the same answer. For filter.c; the door is filter.h.
 */
#ifndef SANDBOX_FILTER_LIST_H
#define SANDBOX_FILTER_LIST_H

#include <linux/filter.h>

#include "sandbox/filter.h"

#define FILTER_LIST_NUMBERS  512 /* call numbers from here on do not exist */
#define FILTER_LIST_CODE_MAX 512 /* offsets of jumps, 8 bits, allow hardly more */

struct filter_program {
    struct sock_filter code[FILTER_LIST_CODE_MAX];
    unsigned len;
};

/** filter_list_build() - Errors: -E2BIG the table does not fit (never with the tables as they are:
 * a test builds them). */
int filter_list_build(const struct filter_config *config, struct filter_program *ret) MUST_USE;

#endif
