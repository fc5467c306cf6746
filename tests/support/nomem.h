/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocator whose n-th call fails, in programs named *_nomem: the linker puts the wrappers
 * before the C library's (tests/CMakeLists.txt). A test loops n = 0, 1, 2, … until nothing fails.
 */
#ifndef TESTS_SUPPORT_NOMEM_H
#define TESTS_SUPPORT_NOMEM_H

#include <stdbool.h>

/** nomem_begin() - Refuse the allocation after @calls more, once, in each process that comes to it;
 * negative: none. @ret_has_failed: set when that happens; may be shared memory, or NULL. */
void nomem_begin(long calls, bool *ret_has_failed);
/** nomem_end() - All allocations succeed again. */
void nomem_end(void);

#endif
