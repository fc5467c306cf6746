/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A foreign library that is opened when it is first needed (dlopen(3)), not linked. Every start of
 * a program maps and relocates what is linked, and every fork copies the pages that this touched;
 * the sandbox's supervisor must start fast and hold little, and most of its sessions need neither
 * TLS, nor SQL, nor a tunnel's ciphers.
 *
 * The functions that are used are listed once, and their types come from the library's own header:
 *
 *   #define X_FUNCTIONS(F) F(x_open) F(x_close)
 *   static struct { X_FUNCTIONS(LIBRARY_MEMBER) } x;
 *   static const char *const x_names[] = {X_FUNCTIONS(LIBRARY_NAME)};
 *   err = library_open("libx.so.1", "libx1", x_names, ARRAY_COUNT(x_names), &x, why);
 *   x.x_open(…);
 */
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include "base/must.h"
#include "base/why.h"

#define LIBRARY_MEMBER(name) __typeof__(name) *name;
#define LIBRARY_NAME(name)   #name,

/** library_open() - Open the library @soname and fill @ret, a struct of nothing but pointers to the
 * @count functions of @names, in their order. It stays open until the process ends. @package: the
 * Debian package that has it, for the message. Errors: -ENOENT it is not there, or lacks one. */
int library_open(const char *soname, const char *package, const char *const *names, unsigned count,
                 void *ret, struct why *why) MUST_USE;

#endif
