/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which sandboxes of this user run on this machine: a directory with one small file for each, named
 * after its supervisor's process. A supervisor cannot remove its file (its jail forbids that), so a
 * file counts only while the very process that wrote it lives, and others are removed when somebody
 * looks.
 */
#ifndef CMD_RUNNING_H
#define CMD_RUNNING_H

#include <stdint.h>
#include <sys/types.h>

#include "audit/audit.h"
#include "base/must.h"
#include "base/why.h"

#define RUNNING_PATH_CAP 1024u
#define RUNNING_TEXT_CAP 512u
#define RUNNING_MAX      1024u /* sandboxes that are listed */

struct running {
    pid_t pid;
    uint64_t started_ticks; /* proc_pid_stat(5), field 22 */
    int64_t started_ns;     /* wall clock */
    char name[AUDIT_NAME_MAX + 1];
    char trace_id[AUDIT_TRACE_CAP];
    char network[16]; /* "tunnel", "direct", "offline" */
    char files[16];   /* "open", "workspace" */
    char audit_log[RUNNING_PATH_CAP];
    char command[RUNNING_TEXT_CAP]; /* the program and its arguments, cut */
};

/** running_note() - Tell others that the calling process is @r's sandbox; pid and start are filled
 * in here. Errors: -errno with @why; a sandbox can run without being listed. */
int running_note(struct running *r, struct why *why) MUST_USE;
/** running_list() - Call @each for every sandbox that runs, in the order of their start. A negative
 * return ends the walk. Returns 0 or -errno with @why. */
int running_list(int (*each)(void *self, const struct running *r), void *self,
                 struct why *why) MUST_USE;
/** running_open() - A pidfd of @r's supervisor. Errors: -ESRCH it has ended. */
int running_open(const struct running *r) MUST_USE;

#endif
