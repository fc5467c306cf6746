/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions about our own code, and the function attributes that we use.
 */
#ifndef BASE_MUST_H
#define BASE_MUST_H

#include <stddef.h>

/** The caller may not drop the result. */
#define MUST_USE __attribute__((warn_unused_result))
/** Checked as printf: format argument @f, first variadic argument @a (both 1-based). */
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/**
 * must() - Stop the program when one of our own invariants is broken.
 *
 * Stays on in release builds. Never for data that an agent, a peer or a client chose: such data
 * gets an error path, a counter and a test.
 */
#define must(cond) ((cond) ? (void)0 : must_failed(#cond, __FILE__, __LINE__, __func__))

__attribute__((noreturn, cold)) void must_failed(const char *cond, const char *file, int line,
                                                 const char *func);

#endif
