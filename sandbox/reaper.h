/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends process trees. The caller must be a child subreaper (PR_SET_CHILD_SUBREAPER), so that
 * whatever its descendants orphan stays its descendant.
 */
#ifndef SANDBOX_REAPER_H
#define SANDBOX_REAPER_H

#include <sys/types.h>

/** reaper_kill_descendants() - SIGKILL every descendant of the calling process, again and again
 * until none is left, and reap them. @spare: a child that is left alone with its own descendants;
 * 0: none. Waits for a process that the kernel cannot end at once. Errors: -errno, /proc cannot be
 * read. */
int reaper_kill_descendants(pid_t spare);

#endif
