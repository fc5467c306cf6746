/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs of lattice are installed in one directory, and start each other from there: not by
 * $PATH, which says what the user's shell would run.
 */
#ifndef CMD_SIBLING_H
#define CMD_SIBLING_H

#include <stddef.h>

#include "base/must.h"

/** sibling_program() - The path of program @name beside this one. Errors: -errno it is not there,
 * or may not be run (@ret says where it was looked for); -ENAMETOOLONG. */
int sibling_program(const char *name, char *ret, size_t cap) MUST_USE;

#endif
